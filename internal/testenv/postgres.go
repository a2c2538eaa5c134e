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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
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

// Open opens the database of a URL, as the program is told it, behind the program's back and with nothing of its code.
func Open(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatalf("open a database beside the program: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	return db
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
var server shared

type shared struct {
	once sync.Once
	err  error
	url  string
	pg   *PostgresServer
}

func (c *shared) start(bin string) (string, error) {
	c.once.Do(func() {
		dir, err := os.MkdirTemp("", "pg")
		if err != nil {
			c.err = err
			return
		}
		c.pg = &PostgresServer{Dir: dir, bin: bin, config: []string{"max_connections=200", "shared_buffers=64MB", "max_wal_size=512MB"}}
		c.err = c.pg.launch()
		c.url = c.pg.URL
	})
	return c.url, c.err
}

func (c *shared) stop() {
	if c.pg != nil {
		_ = c.pg.end(Immediate)
		_ = os.RemoveAll(c.pg.Dir)
	}
}

// A PostgresServer is a real PostgreSQL that may be stopped, frozen, filled and started again, on the same port and
// files. [OwnPostgres] makes one; it ends with the test.
type PostgresServer struct {
	URL  string // of its superuser, database postgres
	Port int
	Dir  string // where its files are

	bin, password string
	config        []string // NAME=VALUE
	as            *syscall.Credential
	cmd           *exec.Cmd
	over          chan struct{} // closed when the server has ended
}

// How to stop a PostgreSQL server.
const (
	Fast      = syscall.SIGINT  // transactions are rolled back, files are left in order
	Immediate = syscall.SIGQUIT // as if it had crashed: it recovers at the next start
)

// OwnPostgres starts a server for one test, whose files are in dir (empty: a directory of its own), with settings
// beside the defaults of the tests, as NAME=VALUE.
func OwnPostgres(t testing.TB, dir string, config ...string) *PostgresServer {
	t.Helper()
	bin, err := postgresBin()
	if err != nil {
		Missing(t, "PostgreSQL is not installed (%v); run: apt-get install postgresql", err)
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "pg"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	s := &PostgresServer{Dir: dir, bin: bin, config: config}
	t.Cleanup(func() {
		if err := s.end(Immediate); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
		if t.Failed() {
			t.Logf("PostgreSQL's log:\n%s", s.Log())
		}
	})
	if err := s.launch(); err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	return s
}

// launch makes a cluster in the server's directory and starts a server on it.
func (s *PostgresServer) launch() (err error) {
	if os.Geteuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(s.Dir, int(uid), int(gid))); err != nil {
			return err
		}
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	s.password = random()
	if err := s.initdb(); err != nil {
		return err
	}
	for range 3 { // another process may take the free port first
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.Port = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return err
		}
		s.URL = "postgres://postgres:" + s.password + "@" + s.address() + "/postgres?sslmode=disable"
		if err = s.serve(); err == nil {
			return nil
		}
	}
	return err
}

// initdb makes an empty cluster.
func (s *PostgresServer) initdb() error {
	secret := filepath.Join(s.Dir, "password")
	if err := os.WriteFile(secret, []byte(s.password), 0o644); err != nil { // in a directory that is the server's alone
		return err
	}
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata="+s.data(), "--username=postgres", "--auth=scram-sha-256",
		"--pwfile="+secret, "--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync", "--wal-segsize=4")
	initdb.Dir = s.Dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// Destroy deletes the files of the running server, as whoever mistakes a directory does, and what runs on without them.
func (s *PostgresServer) Destroy(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(s.data()); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
		t.Fatalf("delete PostgreSQL's files: %v", err)
	}
	s.Stop(t, Immediate)
	if err := os.RemoveAll(s.data()); err != nil { // what it wrote while it was deleted
		t.Fatalf("delete PostgreSQL's files: %v", err)
	}
}

// Rebuild makes an empty server in the place of one that was destroyed, with the same address and password.
func (s *PostgresServer) Rebuild(t testing.TB) {
	t.Helper()
	if err := s.initdb(); err != nil {
		t.Fatalf("make PostgreSQL anew: %v", err)
	}
	s.Start(t)
}

func (s *PostgresServer) data() string    { return filepath.Join(s.Dir, "data") }
func (s *PostgresServer) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Log is everything that the server has logged.
func (s *PostgresServer) Log() string {
	text, err := os.ReadFile(filepath.Join(s.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// serve starts the server and returns when it answers.
func (s *PostgresServer) serve() error {
	if err := s.spawn(); err != nil {
		return err
	}
	return s.answers()
}

// answers waits until the server answers.
func (s *PostgresServer) answers() (err error) {
	for range 600 {
		if err = execute(s.URL, "SELECT 1"); err == nil {
			return nil
		}
		select {
		case <-s.over:
			return fmt.Errorf("the server ended at once: %s", s.Log())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server does not answer: %w", err)
}

func (s *PostgresServer) spawn() error {
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.Port)}
	for _, c := range append([]string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=on", "logging_collector=off"}, s.config...) {
		args = append(args, "-c", c)
	}
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), args...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.Dir, log, log
	// The server must not outlive the tests, not even when they are killed: the kernel tells it.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGQUIT}
	s.over = make(chan struct{})
	started, over := make(chan error), s.over
	go func() {
		runtime.LockOSThread() // the signal is sent when the thread ends that started the process
		defer close(over)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
		}
	}()
	return <-started
}

// end stops the server, if it runs, and returns when it is gone.
func (s *PostgresServer) end(how syscall.Signal) error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	select {
	case <-s.over:
		return nil
	default:
	}
	s.signal(syscall.SIGCONT) // a frozen server can't stop
	if err := s.cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.over:
		return nil
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.over
		return fmt.Errorf("it was still running 30 s after %v, and was killed", how)
	}
}

// Stop ends the server, [Fast] or [Immediate].
func (s *PostgresServer) Stop(t testing.TB, how syscall.Signal) {
	t.Helper()
	if err := s.end(how); err != nil {
		t.Fatalf("stop PostgreSQL: %v", err)
	}
}

// Start starts it again and returns when it answers.
func (s *PostgresServer) Start(t testing.TB) {
	t.Helper()
	if err := s.serve(); err != nil {
		t.Fatalf("start PostgreSQL again: %v", err)
	}
}

// Spawn starts it again and returns as soon as it listens: it recovers first, and says meanwhile that it is starting up.
func (s *PostgresServer) Spawn(t testing.TB) {
	t.Helper()
	err := s.spawn()
	for range 600 {
		if err != nil {
			break
		}
		if c, err := net.Dial("tcp", s.address()); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-s.over:
			err = errors.New("the server ended at once: " + s.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("start PostgreSQL again: %v", err)
}

// Ensure starts it again if it has ended by itself, and returns when it answers.
func (s *PostgresServer) Ensure(t testing.TB) {
	t.Helper()
	select {
	case <-s.over:
		s.Start(t)
	default:
		if err := s.answers(); err != nil {
			t.Fatalf("wait for PostgreSQL: %v", err)
		}
	}
}

// Freeze stops every process of the server in its tracks: connections stay open and nobody answers. Thaw ends it.
func (s *PostgresServer) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw ends what Freeze began.
func (s *PostgresServer) Thaw() { s.signal(syscall.SIGCONT) }

// signal sends a signal to the server's first process and to its children, which are sessions of their own.
func (s *PostgresServer) signal(sig syscall.Signal) {
	pid := s.cmd.Process.Pid
	_ = s.cmd.Process.Signal(sig)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for child := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				_ = syscall.Kill(n, sig)
			}
		}
	}
}

// Database makes a database and an ordinary user that owns it, and returns that user's URL.
func (s *PostgresServer) Database(t testing.TB) string {
	t.Helper()
	name, password := "app_"+random(), random()
	s.Exec(t, "CREATE ROLE "+name+" LOGIN PASSWORD '"+password+"'", "CREATE DATABASE "+name+" OWNER "+name)
	return "postgres://" + name + ":" + password + "@" + s.address() + "/" + name + "?sslmode=disable"
}

// Exec runs statements as the superuser, each by itself.
func (s *PostgresServer) Exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, st := range statements {
		if err := execute(s.URL, st); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
	}
}

// Set changes a setting of the running server; sessions that are open follow within moments.
func (s *PostgresServer) Set(t testing.TB, name, value string) {
	t.Helper()
	s.Exec(t, "ALTER SYSTEM SET "+name+" = '"+value+"'", "SELECT pg_reload_conf()")
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
