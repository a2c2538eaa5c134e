package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestTheLastBackupIsKnown(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		if b, err := w.LastBackup(w.ctx); err != nil || b != (pull.Backup{}) {
			t.Errorf("before the first: %+v, %v", b, err)
		}
		want := pull.Backup{TakenAt: w.now(), Target: "s3://ops/x", Bytes: 7, SHA256: "abc", Schema: 2}
		if err := w.NoteBackup(w.ctx, want); err != nil {
			t.Fatal(err)
		}
		if b, err := w.LastBackup(w.ctx); err != nil || b != want {
			t.Errorf("last backup = %+v, %v; want %+v", b, err, want)
		}
	})
}

func TestARestoreIsNoted(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		lead := w.beat("a").Lead
		if _, err := w.Audit(w.ctx, "app"); err != nil {
			t.Fatal(err)
		}
		if err := w.Audited(w.ctx, lead, "app", pull.Audit{Top: w.now(), Next: "cursor"}); err != nil {
			t.Fatal(err)
		}
		taken := w.now()
		w.pass(time.Hour)
		if err := w.MarkRestored(w.ctx, "carol", "backup.db", pull.Backup{TakenAt: taken, Target: "backup.db"}); err != nil {
			t.Fatal(err)
		}
		got, err := w.Restores(w.ctx)
		if err != nil || len(got) != 1 || got[0] != (pull.Restore{Taken: taken, At: w.now()}) {
			t.Errorf("restores = %+v, %v; want one of %s at %s", got, err, taken, w.now())
		}
		if b := w.beat("b"); !b.Leads || !b.Last.Equal(taken) {
			t.Errorf("the first beat after a restore = %+v, want the lead at once, and when the service was last alive", b)
		}
		if a, err := w.Audit(w.ctx, "app"); err != nil || a.Next != "" || !a.Top.IsZero() {
			t.Errorf("a walk through GitHub's log goes on halfway: %+v, %v", a, err)
		}
		// Nobody knows how old the copy is: it is as old as the newest thing in it.
		w.insert(delivery("d", 1))
		w.pass(time.Hour)
		newest := w.now().Add(-time.Hour)
		if err := w.MarkRestored(w.ctx, "carol", "copy.db", pull.Backup{}); err != nil {
			t.Fatal(err)
		}
		if got, err = w.Restores(w.ctx); err != nil || len(got) != 2 || got[0].Taken != newest {
			t.Errorf("restores = %+v, %v; want the newest to be of a copy of %s", got, err, newest)
		}
		if holds, err := w.Holds(w.ctx); err != nil || !holds {
			t.Errorf("Holds = %v, %v with a delivery in it", holds, err)
		}
	})
}

func TestANewDatabaseHoldsNothing(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.beat("a") // a service has been there
		if holds, err := w.Holds(w.ctx); err != nil || holds {
			t.Errorf("Holds = %v, %v", holds, err)
		}
	})
}

// psql that is fed with a plain dump sets sequences back, whatever else fails. Deliveries are accepted all the same.
func TestNumbersThatAreTaken(t *testing.T) {
	w := newWorld(t, testenv.Postgres(t))
	for i := range 30 {
		w.insert(delivery(strings.Repeat("d", i+1), i))
	}
	for _, q := range []string{"webhook_logs_seq_seq", "changes_id_seq"} {
		if _, err := w.db.ExecContext(w.ctx, `SELECT setval($1, 3)`, q); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.insert(delivery("after", 31)); len(r) != 1 || r[0].Duplicate {
		t.Errorf("the next delivery: %+v, want it accepted", r)
	}
	if d, err := w.Delivery(w.ctx, "after"); err != nil || d.Seq != 31 && d.Seq != 32 {
		t.Errorf("it has the number %d, %v; want one behind the last", d.Seq, err)
	}
}

// Something whole is in the place of the file at any moment, and what was there is aside with its log.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, aside := filepath.Join(dir, "x.db"), filepath.Join(dir, "x.db.before")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			return "-"
		}
		return string(text)
	}
	first := strings.Repeat("first", 4096)
	write(filepath.Join(dir, "new"), first)
	write(path+"-wal", "log") // of a file that is gone: SQLite must not take it for the new one's
	if kept, err := Replace(path, filepath.Join(dir, "new"), aside); err != nil || kept != "" || read(path) != first || read(path+"-wal") != "-" || read(aside+"-wal") != "log" {
		t.Errorf("into an empty place: %q, %v, %d bytes, log %q, aside %q", kept, err, len(read(path)), read(path+"-wal"), read(aside+"-wal"))
	}
	write(filepath.Join(dir, "new"), "second")
	if kept, err := Replace(path, filepath.Join(dir, "new"), aside+"2"); err != nil || kept != aside+"2" || read(path) != "second" || read(aside+"2") != first {
		t.Errorf("into a full one: %q, %v: %q, aside %d bytes", kept, err, read(path), len(read(aside+"2")))
	}
}
