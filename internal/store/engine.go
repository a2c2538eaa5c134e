package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"
	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A sqlite is the writing side of an SQLite file: the one connection that writes, and a second that only writes the
// write-ahead log back, so that no writer ever pays for it.
type sqlite struct {
	path     string
	lock     *os.File
	turn     chan struct{} // held by whoever writes
	db       *sql.DB
	conn     *sql.Conn
	prepared map[*statement]*sql.Stmt
	back     *sql.DB
	names    []name
	ballast  ballast
}

// A name is a file that SQLite has open, by the path under which it must be found.
type name struct {
	path string
	file os.FileInfo
}

// The write-ahead log is written back by Maintain. Without one (a command, a process that hangs) the writer does it
// itself, but late: 64 MiB.
const (
	pageSize        = 4096  // SQLite's own choice
	lateCheckpoint  = 16384 // pages
	walLimit        = 32 << 20
	readConnections = 4
)

func (s *Store) openSQLite(ctx context.Context, path string) (err error) {
	path = strings.TrimPrefix(path, "//")
	if path == "" || strings.HasPrefix(path, ":memory:") {
		return errors.New("sqlite: names no file; want sqlite: and a path, such as sqlite:data/github-pr-manager.db")
	}
	s.name = "SQLite file " + path
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("make the directory of %s: %w", s.name, cause(err))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory; name a file in it", s.name)
	}
	if err := writable(path); err != nil {
		return fmt.Errorf("open %s: %w; its directory and the file must be writable", s.name, err)
	}
	q := &sqlite{path: path, turn: make(chan struct{}, 1), ballast: newBallast(path)}
	s.sqlite = q
	if !s.o.Beside {
		if q.lock, err = lockFile(path + ".lock"); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		// The last run may have ended on a full disk, and opening a file takes room too.
		if free, err := freeBytes(path); err == nil && free < q.ballast.size/2 && q.ballast.there() {
			s.ill(&Trouble{Full, s.engine, fmt.Errorf("%w: %d bytes are free", errNoRoom, free)})
		}
	}
	return s.connect(ctx)
}

// connect opens the connections to an SQLite file.
func (s *Store) connect(ctx context.Context) (err error) {
	q, path := s.sqlite, s.sqlite.path
	q.prepared = make(map[*statement]*sql.Stmt)
	late, limit := int64(lateCheckpoint), int64(walLimit)
	if q.ballast.size < ballastMost { // a small disk has no room for a long log, so its writer waits
		late, limit = max(1, q.ballast.size/pageSize/2), q.ballast.size
	}
	writer := []string{
		"busy_timeout(5000)", "journal_mode(wal)",
		"synchronous(full)", "foreign_keys(on)", fmt.Sprintf("wal_autocheckpoint(%d)", late),
		fmt.Sprintf("journal_size_limit(%d)", limit), "cache_size(-16384)", "temp_store(memory)",
	}
	if q.db, err = sql.Open("sqlite", dsn(path, writer...)); err != nil {
		return fmt.Errorf("open %s: %w", s.name, err)
	}
	q.db.SetMaxOpenConns(1)
	if q.conn, err = q.db.Conn(ctx); err != nil {
		return fmt.Errorf("open %s: %w", s.name, plain(err))
	}
	for _, want := range [][2]string{{"journal_mode", "wal"}, {"synchronous", "2"}, {"busy_timeout", "5000"}} {
		var got string
		if err := q.conn.QueryRowContext(ctx, "PRAGMA "+want[0]).Scan(&got); err != nil {
			return fmt.Errorf("open %s: %w", s.name, plain(err))
		}
		if got != want[1] {
			return fmt.Errorf("open %s: %s is %s, must be %s to lose nothing; a network file system can't hold the file", s.name, want[0], got, want[1])
		}
	}
	var tables int // the first read brings the log and the shared memory into being
	if err := q.conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return fmt.Errorf("open %s: %w", s.name, plain(err))
	}
	q.names = nil
	for _, path := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("open %s: %s: %w", s.name, filepath.Base(path), cause(err))
		}
		q.names = append(q.names, name{path, info})
	}
	if q.back, err = sql.Open("sqlite", dsn(path, "busy_timeout(250)", "synchronous(full)")); err != nil {
		return fmt.Errorf("open %s: %w", s.name, err)
	}
	q.back.SetMaxOpenConns(1)
	if s.db, err = sql.Open("sqlite", dsn(path, "busy_timeout(5000)", "query_only(true)", "cache_size(-4096)", "temp_store(memory)")); err != nil {
		return fmt.Errorf("open %s: %w", s.name, err)
	}
	s.db.SetMaxOpenConns(readConnections)
	s.db.SetMaxIdleConns(readConnections)
	return nil
}

// take waits for the turn to write; whoever has it gives it back.
func (q *sqlite) take(ctx context.Context) error {
	select {
	case q.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *sqlite) give() { <-q.turn }

// writeBack writes the write-ahead log back into the file, and says how many pages it has and how many of them are in the
// file now. How is SQLite's word for what becomes of the log afterwards.
func writeBack(ctx context.Context, on interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, how string,
) (pages, moved int, err error) {
	var busy int
	if err := on.QueryRowContext(ctx, `PRAGMA wal_checkpoint(`+how+`)`).Scan(&busy, &pages, &moved); err != nil {
		return 0, 0, fmt.Errorf("checkpoint: %w", err)
	}
	return pages, moved, nil
}

// writable finds out what is wrong with a file, or makes it: SQLite says "unable to open database file" to everything.
// A file that is there is not opened for it: closing it would take away the locks that this process may have on it.
func writable(path string) error {
	err := unix.Access(path, unix.R_OK|unix.W_OK)
	if !errors.Is(err, unix.ENOENT) {
		if err == nil {
			err = unix.Access(filepath.Dir(path), unix.W_OK) // for the log
		}
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return cause(err)
	}
	return f.Close()
}

// missing reports whether a file that is open no longer has its name. What is written to it from then on is gone when
// the process ends, and other processes write elsewhere.
func (q *sqlite) missing() error {
	for _, n := range q.names {
		info, err := os.Stat(n.path)
		if err != nil {
			return fmt.Errorf("%s was moved or deleted while it was in use: %w", n.path, cause(err))
		}
		if !os.SameFile(info, n.file) {
			return fmt.Errorf("%s was replaced by another file while it was in use", n.path)
		}
	}
	return nil
}

// secure makes sure that a commit is kept in a file that has its name. When the write-ahead log has lost its own, all
// of it is written back into the database, which takes as long as it takes.
func (s *Store) secure() error {
	q := s.sqlite
	lost := q.missing()
	if lost == nil {
		return nil
	}
	t := &Trouble{Moved, s.engine, lost}
	s.ill(t)
	if info, err := os.Stat(q.path); err != nil || !os.SameFile(info, q.names[0].file) {
		return t
	}
	if pages, moved, err := writeBack(context.Background(), q.conn, "TRUNCATE"); err != nil || moved < pages {
		return t
	}
	return nil
}

// reopen opens the file anew when something that belongs to it has lost its name. Readers and writers wait meanwhile.
func (s *Store) reopen(ctx context.Context) error {
	q := s.sqlite
	if err := q.take(ctx); err != nil {
		return err
	}
	defer q.give()
	s.gate.Lock()
	defer s.gate.Unlock()
	if info, err := os.Stat(q.path); err != nil || !os.SameFile(info, q.names[0].file) {
		return q.missing() // what is there now is not what was acknowledged
	}
	if q.conn != nil {
		pages, moved, err := writeBack(ctx, q.conn, "TRUNCATE")
		if err != nil {
			return fmt.Errorf("write the write-ahead log back: %w", err)
		}
		if moved < pages {
			return fmt.Errorf("write the write-ahead log back: only %d of %d pages, because somebody reads", moved, pages)
		}
	}
	database := q.names[0]
	if err := errors.Join(s.closeReaders(), q.close()); err != nil {
		s.log.Warn("close the database", telemetry.KeyErr, err) // what is on disk is in order
	}
	q.conn, q.db, q.back = nil, nil, nil
	if err := s.connect(ctx); err != nil {
		q.conn, q.names = nil, []name{database}
		return err
	}
	s.log.Warn("a file that belongs to the database was moved or deleted while it was in use; all that it held was saved, and it is in use again",
		"database", s.name)
	return nil
}

func dsn(path string, pragmas ...string) string {
	v := url.Values{"_pragma": pragmas}
	return (&url.URL{Scheme: "file", OmitHost: true, Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: v.Encode()}).String()
}

// lockFile takes the lock that keeps a second service off a file. It ends with the process, however that ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open its lock file: %w", cause(err))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 20)
		n, _ := f.ReadAt(holder, 0)
		_ = f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("another service (process %s) is running on it; stop that one first, or set DATABASE_URL to another file", strings.TrimSpace(string(holder[:n])))
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid()) // for the message above only
	}
	return f, nil
}

func (q *sqlite) close() error {
	var errs []error
	for _, st := range q.prepared {
		errs = append(errs, st.Close())
	}
	if q.conn != nil {
		errs = append(errs, q.conn.Close())
	}
	for _, db := range []*sql.DB{q.back, q.db} { // the last connection to close writes the log back
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *Store) openPostgres(ctx context.Context, address string) error {
	cfg, err := pgx.ParseConfig(address)
	if err != nil {
		// The parser's own words may hold a part of the password.
		return errors.New("the database's URL is not a valid one for PostgreSQL; want postgres://user:password@host:5432/database, with characters such as @ : / # % in the password percent-encoded")
	}
	s.name = fmt.Sprintf("PostgreSQL database %s at %s:%d as %s", cfg.Database, cfg.Host, cfg.Port, cfg.User)
	if !strings.Contains(address, "connect_timeout=") {
		cfg.ConnectTimeout = 2 * time.Second
	}
	set := func(name, value string) {
		if _, given := cfg.RuntimeParams[name]; !given {
			cfg.RuntimeParams[name] = value
		}
	}
	cfg.RuntimeParams["synchronous_commit"] = "on" // acknowledged means kept
	// A restore refuses while a session with such a name is there, so the name is not the operator's to take away.
	name := serviceName
	if s.o.Beside {
		name = commandName
	}
	if given := cfg.RuntimeParams["application_name"]; given != "" {
		name += " " + given
	}
	cfg.RuntimeParams["application_name"] = name
	frozen := 30 * time.Second
	if s.o.Lease > 0 {
		frozen = min(frozen, s.o.Lease)
	}
	set("idle_in_transaction_session_timeout", strconv.FormatInt(frozen.Milliseconds(), 10)) // a frozen replica gives its row locks up
	// The statements are written for this level, and a stricter one would only make them fail.
	cfg.RuntimeParams["default_transaction_isolation"] = "read committed"
	// A server that vanished without a word is given up after half a minute.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}
	cfg.DialFunc = dialer.DialContext
	s.db = stdlib.OpenDB(*cfg)
	s.db.SetMaxOpenConns(openConnections)
	s.db.SetMaxIdleConns(idleConnections)
	s.db.SetConnMaxIdleTime(5 * time.Minute)
	if err := s.warm(ctx); err != nil {
		failed := fmt.Errorf("connect to %s: %w", s.name, plain(err))
		if t := s.diagnose(err); t != nil {
			return &Trouble{t.Kind, s.engine, failed}
		}
		return failed
	}
	return nil
}

// What the sessions of services and of commands beside them are called.
const (
	serviceName = "github-pr-manager"
	commandName = "github-pr-manager-command"
)

// Connections to PostgreSQL.
const (
	openConnections = 16
	idleConnections = 8
	warmConnections = 4
	startPatience   = 10 * time.Second
	operationLimit  = 15 * time.Second
)

// warm opens the first connections, so that the first deliveries need not wait for them. A server that is just starting, or
// that everybody connects to at once, is waited for. So is one that is not there yet, as after a power cut, by a service; a command says
// so at once.
func (s *Store) warm(ctx context.Context) error {
	patience, done := context.WithTimeout(ctx, startPatience)
	defer done()
	for {
		err := s.db.PingContext(ctx)
		if err == nil {
			break
		}
		var pg *pgconn.PgError
		starting := errors.As(err, &pg) && (pg.Code == "57P03" || pg.Code == "53300")
		if t := s.diagnose(err); !starting && (s.o.Beside || t == nil || t.Kind != Away) {
			return err
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-patience.Done():
			return err
		}
	}
	var held []*sql.Conn
	for range warmConnections {
		c, err := s.db.Conn(ctx)
		if err != nil {
			break // one is enough to work with
		}
		held = append(held, c)
	}
	for _, c := range held {
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

// forgetConnections closes the connections that nobody uses, after one of them has turned out to be dead, or to lead to
// a server that is not the one to write to any more.
func (s *Store) forgetConnections() {
	s.db.SetMaxIdleConns(0)
	s.db.SetMaxIdleConns(idleConnections)
}

// cause drops the operation and the path from an error of package os; the caller has named both.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// plain reduces a driver's error to the one line that helps: the server's words, or the network's.
func plain(err error) error {
	var pg *pgconn.PgError
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &pg):
		return errors.New(pg.Message)
	case errors.As(err, &dns):
		return fmt.Errorf("no such host: %s", dns.Name)
	case errors.As(err, &op) && op.Err != nil:
		return op.Err
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
}

// A scanner reads the columns of one row.
type scanner func(dest ...any) error

// A tx is one write in progress.
type tx struct {
	s   *Store
	ctx context.Context
	pg  *sql.Tx // nil on SQLite
	now time.Time

	counts map[string]*count
	feed   []pullChange
	bytes  int // of bodies
}

// A committer is what a write does. It may be run again from the start.
type committer func(*tx) error

// tries is how often a write is made when another one is in its way.
const tries = 4

// write runs do in a transaction and commits it. op names it in errors and for the hook.
//
// A do that found nothing to do returns errNothing: then nothing is committed, and nobody hears of it.
func (s *Store) write(ctx context.Context, op string, do committer) error {
	if s.sqlite == nil && op != "migrate" && op != "purge" {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, operationLimit)
		defer done()
	}
	for n := 1; ; n++ {
		sent, err := s.writeOnce(ctx, op, do)
		switch {
		case err == nil:
			return s.noted(op, nil)
		case err == errNothing:
			return nil
		}
		again := inTheWay(err)
		if s.sqlite == nil && numberTaken(err) {
			again = s.renumber(ctx) == nil
		}
		if s.sqlite == nil && broken(err) {
			s.forgetConnections()
			again = !sent // what became of a commit that was sent, the caller finds out
		}
		if n == tries || !again || ctx.Err() != nil {
			return s.noted(op, fmt.Errorf("%s: %w", op, err))
		}
	}
}

// errNothing ends a write that has nothing to write.
var errNothing = errors.New("nothing to write")

// writeOnce also reports whether the commit was sent.
func (s *Store) writeOnce(ctx context.Context, op string, do committer) (sent bool, err error) {
	t := &tx{s: s, ctx: ctx}
	end, err := s.begin(t)
	if err != nil {
		return false, err
	}
	open := true
	defer func() {
		if open { // an error, or a panic on its way up
			end(false) //nolint:errcheck // what made it fail is the error
		}
	}()
	t.now = s.Now()
	if err := do(t); err != nil {
		return false, err
	}
	if err := t.finish(); err != nil {
		return false, err
	}
	if s.o.Hook != nil {
		if err := s.o.Hook(op, false); err != nil {
			return false, err
		}
	}
	open = false
	if err := end(true); err != nil {
		return true, err
	}
	s.wrote(t.bytes)
	if s.o.Hook != nil {
		return true, s.o.Hook(op, true)
	}
	return true, nil
}

// begin starts t and returns what ends it.
func (s *Store) begin(t *tx) (end func(commit bool) error, err error) {
	if s.sqlite == nil {
		if t.pg, err = s.db.BeginTx(t.ctx, nil); err != nil {
			return nil, err
		}
		return func(commit bool) error {
			if commit {
				return t.pg.Commit()
			}
			return t.pg.Rollback()
		}, nil
	}
	q := s.sqlite
	if err := q.take(t.ctx); err != nil {
		return nil, err
	}
	// From here on it takes milliseconds, and nothing is gained by stopping halfway.
	t.ctx = context.WithoutCancel(t.ctx)
	if _, err := t.exec(beginImmediate); err != nil {
		q.give()
		return nil, err
	}
	return func(commit bool) error {
		defer q.give()
		if commit {
			_, err := t.exec(commitWork)
			if err == nil {
				return s.secure()
			}
			_, _ = t.exec(rollbackWork) // SQLite may have done so itself
			return err
		}
		_, err := t.exec(rollbackWork)
		return err
	}, nil
}

// stmt returns the writer's prepared statement. SQLite only.
func (t *tx) stmt(st *statement) (*sql.Stmt, error) {
	q := t.s.sqlite
	if q.conn == nil {
		return nil, &Trouble{Moved, t.s.engine, errors.New("the file could not be opened again")}
	}
	if p, ok := q.prepared[st]; ok {
		return p, nil
	}
	p, err := q.conn.PrepareContext(t.ctx, st.sqlite)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", st.name, err)
	}
	q.prepared[st] = p
	return p, nil
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(st *statement, args ...any) (int64, error) {
	var res sql.Result
	var err error
	if t.pg != nil {
		res, err = t.pg.ExecContext(t.ctx, st.postgres, args...)
	} else {
		var p *sql.Stmt
		if p, err = t.stmt(st); err == nil {
			res, err = p.ExecContext(t.ctx, args...)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", st.name, err)
	}
	return res.RowsAffected()
}

// query runs a statement and calls each for every row of its answer.
func (t *tx) query(st *statement, args []any, each func(scanner) error) error {
	var rows *sql.Rows
	var err error
	if t.pg != nil {
		rows, err = t.pg.QueryContext(t.ctx, st.postgres, args...)
	} else {
		var p *sql.Stmt
		if p, err = t.stmt(st); err == nil {
			rows, err = p.QueryContext(t.ctx, args...)
		}
	}
	return drain(st, rows, err, each)
}

// bulk runs a statement on any number of rows, given as one list of all their parameters. each is for statements that
// answer.
func (t *tx) bulk(b *bulk, shared, rows []any, each func(scanner) error) error {
	args := make([]any, 0, b.shared+min(len(rows), bulkRows[0]*b.width))
	for i, n := range bulkRows {
		if t.pg == nil && i == 0 {
			continue // a statement costs SQLite little, and many parameters a lot
		}
		for size := n * b.width; len(rows) >= size; rows = rows[size:] {
			args = append(append(args[:0], shared...), rows[:size]...)
			var err error
			if each != nil {
				err = t.query(b.of[i], args, each)
			} else {
				_, err = t.exec(b.of[i], args...)
			}
			if err != nil {
				return err
			}
		}
		if len(rows) == 0 {
			break
		}
	}
	return nil
}

// row reads the one row that a statement answers with, if there is one.
func (t *tx) row(st *statement, args []any, dest ...any) (found bool, err error) {
	err = t.query(st, args, func(scan scanner) error { found = true; return scan(dest...) })
	return found, err
}

// query reads outside of any write. each must not read in turn.
func (s *Store) query(ctx context.Context, st *statement, args []any, each func(scanner) error) error {
	err := s.read(ctx, st, args, each)
	if t := s.diagnose(err); t != nil {
		return t
	}
	return err
}

func (s *Store) read(ctx context.Context, st *statement, args []any, each func(scanner) error) error {
	if s.sqlite == nil {
		ctx, done := context.WithTimeout(ctx, operationLimit)
		defer done()
		rows, err := s.db.QueryContext(ctx, st.postgres, args...)
		return drain(st, rows, err, each)
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	p, ok := s.reads.Load(st)
	if !ok {
		fresh, err := s.db.PrepareContext(ctx, st.sqlite)
		if err != nil {
			return fmt.Errorf("prepare %s: %w", st.name, err)
		}
		var raced bool
		if p, raced = s.reads.LoadOrStore(st, fresh); raced {
			_ = fresh.Close()
		}
	}
	rows, err := p.(*sql.Stmt).QueryContext(ctx, args...)
	return drain(st, rows, err, each)
}

func drain(st *statement, rows *sql.Rows, err error, each func(scanner) error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", st.name, err)
	}
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			_ = rows.Close()
			return fmt.Errorf("%s: %w", st.name, err)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("%s: %w", st.name, err)
	}
	return nil
}

// inTheWay reports whether a transaction failed only because of another one, so that it may be tried again. SQLite has
// waited for the other one already.
func inTheWay(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001") // deadlock, serialization failure
}

// numberTaken reports whether an insert was given a number that another row has: psql, fed with a plain dump, sets the
// sequences of tables that are there back to the time of the dump, after it has failed to do anything else.
func numberTaken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && slices.Contains([]string{"webhook_logs_pkey", "verdicts_pkey", "changes_pkey", "audits_pkey"}, pg.ConstraintName)
}

// renumber lets every table number on behind its last row.
func (s *Store) renumber(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, numberOn)
	if err == nil {
		s.log.Warn("numbers were given out that rows had already, as after a dump was fed to a database in use; they go on behind the last row now",
			"database", s.name)
	}
	return err
}

// badData reports whether a statement was refused for what it was to write, so that another row may still pass.
func badData(err error) bool {
	var pg *pgconn.PgError
	var lite *driver.Error
	switch {
	case errors.As(err, &pg):
		class := pg.Code[:min(2, len(pg.Code))]
		return class == "22" || class == "23" || class == "54" // data, constraint, limit
	case errors.As(err, &lite):
		switch lite.Code() & 0xff {
		case code.SQLITE_CONSTRAINT, code.SQLITE_TOOBIG, code.SQLITE_MISMATCH, code.SQLITE_RANGE:
			return true
		}
	}
	return false
}
