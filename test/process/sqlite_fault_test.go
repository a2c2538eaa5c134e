package process

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// The disk under an SQLite file may fill up, the file be locked by another program, held open by a reader for hours, or
// lose what belongs to it. What was acknowledged is there afterwards, and the file is in order.

// intact checks an SQLite database with SQLite's own means.
func intact(t *testing.T, database string) {
	t.Helper()
	db := testenv.Open(t, database)
	var result string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Errorf("integrity_check of %s = %q, %v, want ok", filepath.Base(database), result, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func TestSQLiteDiskIsFull(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a disk of its own")
	}
	t.Parallel()
	disk := testenv.SmallDisk(t, 6<<20)
	file := filepath.Join(disk.Dir, "service.db")
	env := working(t, "DATABASE_URL=sqlite:"+file, "LEASE=1s")
	p := testenv.Start(t, testenv.Options{Env: env, Ready: "/ready"})
	eventually(t, 5*time.Second, "there is ballast", func() bool { return exists(file + ".ballast") })
	for round := range testenv.Pick(3, 50) {
		f := startFlood(p, 0x1000+round, 8, 50*time.Millisecond) // what it sends must fit
		f.more(t, 10*time.Second, 50)
		before := len(complaints(p))
		disk.Fill(t, 0)
		eventually(t, 10*time.Second, "deliveries are refused", func() bool { _, refused := f.counts(); return refused > 8 })
		namesTrouble(t, p, "the disk is full")
		if exists(file + ".ballast") {
			t.Error("the ballast is still there on a full disk")
		}
		eventually(t, 20*time.Second, "what was taken is processed on the full disk", func() bool { return askStats(t, p).QueueLength == 0 })
		kept, _ := f.counts()
		for n := range 5 {
			send(p.URL, deliveryID(0x1080+round, n), pullRequest(n)).refused(t, "on a full disk")
		}
		if now, _ := f.counts(); now != kept {
			t.Errorf("%d deliveries were acknowledged on a full disk", now-kept)
		}
		if round == 1 { // it may also end and begin there
			f.kill(t)
			p = testenv.Start(t, testenv.Options{Env: env})
			f.move(p)
			before = 0
			namesTrouble(t, p, "the disk is full")
		}
		disk.Empty(t)
		began := time.Now()
		f.more(t, 10*time.Second, 50)
		took := time.Since(began)
		account := f.end(t, "sqlite:"+file)
		recovered(t, p, 5*time.Second)
		if !exists(file + ".ballast") {
			t.Error("there is room again and no ballast")
		}
		quietLog(t, p, before, 2) // the room that the log gives back may be enough for a moment
		t.Logf("%s; taken again %v after there was room", account, took.Round(time.Millisecond))
	}
	if n := metric(t, p, "github_dead_letters"); n != 0 {
		t.Errorf("%v dead letters, want none", n)
	}
	if code, _ := p.Stop(t); code != 0 {
		t.Errorf("SIGTERM at the end: exit %d, want 0", code)
	}
	intact(t, "sqlite:"+file)
}

func TestSQLiteIsLockedByAnotherProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "service.db")
	p := testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL=sqlite:"+file, "LEASE=1s"), Ready: "/ready"})
	f := startFlood(p, 0x1100, 8, 2*time.Millisecond)
	f.more(t, 10*time.Second, 50)
	before := len(complaints(p))
	other, err := testenv.Open(t, "sqlite:"+file).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, st := range []string{"PRAGMA busy_timeout = 5000", "BEGIN IMMEDIATE"} {
		if _, err := other.ExecContext(t.Context(), st); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 10*time.Second, "deliveries are refused", func() bool { _, refused := f.counts(); return refused > 8 })
	eventually(t, 10*time.Second, "/ready says who is to blame", func() bool {
		h := askHealth(t, p, "/ready")
		return h.code == 503 && strings.Contains(h.Checks["database"].Detail, "another process holds the write lock")
	})
	if h := askHealth(t, p, "/health"); h.code != 200 || h.Status != "degraded" {
		t.Errorf("/health = %d %s, want 200 degraded: a restart would not help", h.code, h.Status)
	}
	if testenv.Long() {
		time.Sleep(time.Minute)
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	f.more(t, 10*time.Second, 50)
	took := time.Since(began)
	account := f.end(t, "sqlite:"+file)
	recovered(t, p, 5*time.Second)
	quietLog(t, p, before, 1)
	t.Logf("%s; taken again %v after the lock was given up", account, took.Round(time.Millisecond))
}

// Nothing may delete what belongs to an open database. Somebody does.
func TestSQLiteFilesAreDeleted(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "service.db")
	env := working(t, "DATABASE_URL=sqlite:"+file, "LEASE=1s")
	p := testenv.Start(t, testenv.Options{Env: env, Ready: "/ready"})
	f := startFlood(p, 0x1200, 8, 2*time.Millisecond)
	for round, names := range [][]string{{"-wal"}, {"-shm"}, {"-wal", "-shm"}} {
		f.more(t, 10*time.Second, 50)
		for _, name := range names {
			if err := os.Remove(file + name); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, 10*time.Second, "the service has opened its file anew", func() bool {
			return strings.Count(p.Logs(), "all that it held was saved") > round && exists(file+"-wal") && exists(file+"-shm")
		})
		f.more(t, 10*time.Second, 50)
	}
	// Once more, and this time the process ends as soon as something more was acknowledged.
	if err := os.Remove(file + "-wal"); err != nil {
		t.Fatal(err)
	}
	f.more(t, 10*time.Second, 1)
	f.kill(t)
	// The shared memory may be deleted between two runs; it is made anew from the log.
	if err := os.Remove(file + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	p = testenv.Start(t, testenv.Options{Env: env, Ready: "/ready"})
	f.move(p)
	f.more(t, 10*time.Second, 50)

	// The database itself is moved away: what would be written there now is out of reach, so nothing is acknowledged.
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	namesTrouble(t, p, "was moved or deleted")
	send(p.URL, deliveryID(0x1201, 1), pullRequest(1)).refused(t, "while the file is away")
	busy := p.CPU(t)
	time.Sleep(2 * time.Second) // with the flood's refusals; a loop that does nothing else than look would take both seconds
	if busy = p.CPU(t) - busy; busy > 1500*time.Millisecond {
		t.Errorf("while the file is away: %v of processor time in 2 s", busy)
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	recovered(t, p, 10*time.Second)
	f.more(t, 10*time.Second, 50)
	t.Log(f.end(t, "sqlite:"+file))
	if code, _ := p.Stop(t); code != 0 {
		t.Errorf("SIGTERM at the end: exit %d, want 0", code)
	}
	intact(t, "sqlite:"+file)
}

func TestSQLiteOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	disk := testenv.SmallDisk(t, 6<<20)
	file := filepath.Join(disk.Dir, "service.db")
	env := working(t, "DATABASE_URL=sqlite:"+file, "PORT=0", "HOST=127.0.0.1")
	disk.ReadOnly(t)
	r := testenv.Run(t, env, "", "serve")
	if r.Code != 2 || !strings.Contains(r.Stderr, "read-only file system") || !strings.Contains(r.Stderr, file) || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("serve on a read-only disk: exit %d, stderr %q, want 2 and one line that says why", r.Code, r.Stderr)
	}
}

// A program that reads for long keeps the write-ahead log from being written back. It grows, and somebody hears of it.
func TestSQLiteLongReader(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 300 MB")
	}
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "service.db")
	p := testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL=sqlite:"+file), Ready: "/ready"})
	wal := func() int64 {
		info, err := os.Stat(file + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	content := make([]byte, 4<<20)
	chacha := rand.NewChaCha8([32]byte{1})
	n := 0
	deliver := func() {
		t.Helper()
		_, _ = chacha.Read(content) // never fails
		body := []byte(strings.Replace(string(pullRequest(n%10)), "Change", hex.EncodeToString(content), 1))
		if a := send(p.URL, deliveryID(0x1300, n), body); a.status != 202 {
			t.Fatalf("delivery %d of %d MB is answered %d %s after %v", n, len(body)>>20, a.status, a.body, a.took)
		}
		n++
	}

	for range 20 {
		deliver()
	}
	usual := wal()
	reader, err := testenv.Open(t, "sqlite:"+file).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := reader.QueryRow("SELECT count(*) FROM webhook_logs").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	for wal() <= 256<<20 {
		deliver()
	}
	most := wal()
	eventually(t, 5*time.Second, "/ready warns of the log", func() bool {
		h := askHealth(t, p, "/ready")
		return h.code == 200 && h.Checks["database"].Status == "warning" && strings.Contains(h.Checks["database"].Detail, "write-ahead log has")
	})
	if m := metric(t, p, "github_sqlite_wal_bytes"); m <= 256<<20 {
		t.Errorf("github_sqlite_wal_bytes = %v, want more than 256 MiB", m)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the log is short again", func() bool {
		deliver()
		return wal() <= 64<<20
	})
	eventually(t, 5*time.Second, "the warning is gone", func() bool { return askHealth(t, p, "/ready").Checks["database"].Status == "ok" })
	t.Logf("the log had %d MB at most without a reader, %d with one, and %d when it had gone; %d deliveries of 8 MB",
		usual>>20, most>>20, wal()>>20, n)
	p.Stop(t)
	intact(t, "sqlite:"+file)
}
