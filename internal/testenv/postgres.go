package testenv

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Main runs a package's tests and stops what they have started:
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
//
// A package whose tests use [Postgres] needs it to leave nothing behind.
func Main(m *testing.M) {
	code := m.Run()
	server.stop()
	os.Exit(code)
}

// Engines runs a test once for every database engine, as a subtest, with the URL of a fresh and empty database.
func Engines(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns the URL of an SQLite database that does not exist yet.
func SQLite(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "test.db")
}

// Postgres returns the URL of a fresh database on a real PostgreSQL server, and drops it when the test ends. The
// server is TEST_POSTGRES_URL's, whose user must be allowed to create databases; without that variable, one is started
// for the test process from what is installed under /usr/lib/postgresql, with fsync on as in production.
func Postgres(t testing.TB) string {
	t.Helper()
	admin := os.Getenv("TEST_POSTGRES_URL")
	if admin == "" {
		bin, err := postgresBin()
		if err != nil {
			Missing(t, "PostgreSQL is not installed (%v); run: apt-get install postgresql, or set TEST_POSTGRES_URL", err)
		}
		if admin, err = server.start(bin); err != nil {
			t.Fatalf("start PostgreSQL: %v", err)
		}
	}
	name := "test_" + random()
	if err := execute(admin, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the database: %v", err)
		}
	})
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal("TEST_POSTGRES_URL is not a URL")
	}
	u.Path = "/" + name
	return u.String()
}

// PostgresTool returns the path of a program of the installed PostgreSQL, such as psql.
func PostgresTool(t testing.TB, name string) string {
	t.Helper()
	bin, err := postgresBin()
	if err != nil {
		Missing(t, "PostgreSQL is not installed (%v); run: apt-get install postgresql", err)
	}
	return filepath.Join(bin, name)
}

// postgresBin finds the newest installed server.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", errors.New("nothing at /usr/lib/postgresql/*/bin")
	}
	slices.SortFunc(found, func(a, b string) int { return major(b) - major(a) })
	return filepath.Dir(found[0]), nil
}

func major(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(bin))))
	return n
}

// server is the one PostgreSQL server of this test process.
var server cluster

type cluster struct {
	once sync.Once
	err  error
	url  string
	dir  string
	cmd  *exec.Cmd
	over chan struct{} // closed when the server has ended
}

func (c *cluster) start(bin string) (string, error) {
	c.once.Do(func() { c.err = c.launch(bin) })
	return c.url, c.err
}

// launch makes a cluster in a directory of its own and starts a server on it.
func (c *cluster) launch(bin string) (err error) {
	if c.dir, err = os.MkdirTemp("", "pg"); err != nil {
		return err
	}
	var as *syscall.Credential // the server refuses to run as root
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(c.dir, int(uid), int(gid))); err != nil {
			return err
		}
		as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	password, data := random(), filepath.Join(c.dir, "data")
	secret := filepath.Join(c.dir, "password")
	if err := os.WriteFile(secret, []byte(password), 0o644); err != nil { // in a directory that is the server's alone
		return err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=scram-sha-256",
		"--pwfile="+secret, "--encoding=UTF8", "--locale=C", "--no-instructions")
	initdb.Dir = c.dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	for range 3 { // another process may take the free port first
		if err = c.serve(bin, data, password, as); err == nil {
			return nil
		}
	}
	return err
}

func (c *cluster) serve(bin, data, password string, as *syscall.Credential) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=on", "-c", "max_connections=200", "-c", "shared_buffers=64MB",
		"-c", "max_wal_size=512MB", "-c", "logging_collector=off")
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = c.dir, log, log
	// The server must not outlive the tests, not even when they are killed: the kernel tells it.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT}
	c.over = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the signal is sent when the thread ends that started the process
		defer close(c.over)
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	c.url = "postgres://postgres:" + password + "@127.0.0.1:" + port + "/postgres?sslmode=disable"
	for range 300 {
		if err = execute(c.url, "SELECT 1"); err == nil {
			return nil
		}
		select {
		case <-c.over:
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the server ended at once: %s", text)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server does not answer: %w", err)
}

// stop ends the server, if one was started, and removes its directory.
func (c *cluster) stop() {
	if c.cmd != nil && c.cmd.Process != nil {
		_ = c.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-c.over:
		case <-time.After(10 * time.Second):
			_ = c.cmd.Process.Kill()
		}
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

func execute(address, statement string) error {
	db, err := sql.Open("pgx", address)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func random() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
