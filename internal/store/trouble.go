package store

import (
	"context"
	"crypto/rand"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A Trouble is an error that comes from the state of the database, and neither from what was asked of it nor from who
// asked. It passes when the database is well again.
type Trouble struct {
	Kind TroubleKind

	engine string
	err    error
}

// A TroubleKind says what kind of trouble a database is in.
type TroubleKind string

// The kinds.
const (
	Away     TroubleKind = "away"
	Full     TroubleKind = "full"
	ReadOnly TroubleKind = "read-only"
	Crowded  TroubleKind = "crowded" // too many connections
	Locked   TroubleKind = "locked"
	Slow     TroubleKind = "slow"
	Refused  TroubleKind = "refused"
	Moved    TroubleKind = "moved"
	Damaged  TroubleKind = "damaged"
)

// Error is the cause's.
func (t *Trouble) Error() string { return t.err.Error() }

// Unwrap returns the cause.
func (t *Trouble) Unwrap() error { return t.err }

// Outage says that whoever met this error is not to blame for it.
func (t *Trouble) Outage() bool { return true }

// Plain says in a few words, which anybody may read, what kind of trouble it is.
func (t *Trouble) Plain() string {
	sqlite := t.engine == "sqlite"
	what := "does not answer"
	switch t.Kind {
	case Full:
		what = "its disk is full"
		if sqlite {
			what = "the disk is full; no delivery is taken until there is room again"
		}
	case ReadOnly:
		what = "is read-only"
	case Crowded:
		what = "too many connections"
	case Locked:
		what = "transactions keep getting in each other's way"
		if sqlite {
			what = "another process holds the write lock"
		}
	case Slow:
		what = "cuts statements off before they end (statement_timeout, lock_timeout)"
	case Refused:
		what = "does not accept the credentials, or does not let them write"
	case Moved:
		what = "the file, or what belongs to it, was moved or deleted"
	case Damaged:
		what = "is damaged, or its disk can't be read or written"
	}
	return t.engine + ": " + what
}

// diagnose says what trouble an error tells of; nil for an error of any other kind.
func (s *Store) diagnose(err error) *Trouble {
	var known *Trouble
	if errors.As(err, &known) {
		return &Trouble{known.Kind, s.engine, err}
	}
	var kind TroubleKind
	var pg *pgconn.PgError
	var lite *driver.Error
	switch {
	case errors.As(err, &pg):
		kind = postgresTrouble(pg.Code)
	case errors.As(err, &lite):
		kind = sqliteTrouble(lite.Code())
	case errors.Is(err, context.DeadlineExceeded), unconnected(err):
		kind = Away
	}
	if kind == "" {
		return nil
	}
	return &Trouble{kind, s.engine, err}
}

func postgresTrouble(state string) TroubleKind {
	switch state {
	case "53100":
		return Full
	case "53300":
		return Crowded
	case "25006":
		return ReadOnly
	case "57014", "55P03":
		return Slow
	case "40P01", "40001":
		return Locked
	case "42501", "3D000":
		return Refused
	case "58030":
		return Damaged
	case "25P03":
		return Away
	}
	switch state[:min(2, len(state))] {
	case "08", "53", "57":
		return Away
	case "28":
		return Refused
	case "XX":
		return Damaged
	}
	return ""
}

func sqliteTrouble(result int) TroubleKind {
	switch result {
	case code.SQLITE_READONLY_DBMOVED:
		return Moved
	case code.SQLITE_IOERR_SHMSIZE: // the file for shared memory could not grow
		return Full
	}
	switch result & 0xff {
	case code.SQLITE_FULL:
		return Full
	case code.SQLITE_READONLY:
		return ReadOnly
	case code.SQLITE_BUSY, code.SQLITE_LOCKED:
		return Locked
	case code.SQLITE_CORRUPT, code.SQLITE_NOTADB, code.SQLITE_IOERR, code.SQLITE_CANTOPEN:
		return Damaged
	}
	return ""
}

// unconnected reports whether there was no connection, or it broke.
func unconnected(err error) bool {
	var op net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &op) || errors.As(err, &connect) || errors.Is(err, sqldriver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// broken reports whether a transaction failed because its connection broke or its backend was ended, so that it may be
// made once more on another one, if its commit was not on the way yet.
func broken(err error) bool {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &connect), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return false // another one is not to be had
	case errors.As(err, &pg):
		return pg.Code == "57P01" || pg.Code == "57P02" || pg.Code == "25P03"
	}
	return unconnected(err)
}

// A condition is the trouble that the store is in, as far as its writes have found out.
type condition struct {
	mu    sync.Mutex
	now   *Trouble
	since time.Time
	alarm chan struct{} // holds a token once there is trouble, for Maintain
}

// Trouble returns the trouble that the last write met and since when there has been some; nil when all is well. While
// Maintain runs, it finds out by itself that all is well again.
func (s *Store) Trouble() (*Trouble, time.Time) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.now, s.state.since
}

// noted returns err as the trouble that it is, and remembers how a write has ended.
func (s *Store) noted(op string, err error) error {
	if err == nil {
		s.well(op)
		return nil
	}
	t := s.diagnose(err)
	if t == nil {
		return err
	}
	s.ill(t)
	return t
}

// ill notes trouble.
func (s *Store) ill(t *Trouble) {
	s.state.mu.Lock()
	was := s.state.now
	switch {
	case was == nil:
		s.state.now, s.state.since = t, time.Now()
	case t.Kind != Away && was.Kind != Full: // a time-out says less than what is known already
		s.state.now = t
	}
	s.state.mu.Unlock()
	if t.Kind == Full && s.sqlite != nil && s.sqlite.lock != nil {
		s.makeRoom(was == nil || was.Kind != Full)
	}
	select {
	case s.state.alarm <- struct{}{}:
	default:
	}
}

// probeOp is the write that only wants to know whether one is possible.
const probeOp = "probe"

// full returns the trouble of an SQLite file whose disk is full; nil otherwise.
func (s *Store) full() *Trouble {
	if s.sqlite == nil {
		return nil
	}
	if t, _ := s.Trouble(); t != nil && t.Kind == Full {
		return t
	}
	return nil
}

// well notes a write that went through. Only one that takes what a delivery takes says that deliveries can be kept; and on
// a full disk a small delivery may go through and the next one does not: then only the probe counts, which asks for room.
func (s *Store) well(op string) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if s.state.now == nil || (op != probeOp && (op != "insert" || s.state.now.Kind == Full)) {
		return
	}
	if s.state.now.Kind == Full && s.sqlite != nil {
		s.log.Info("there is room on the disk again: deliveries are taken", telemetry.KeyTook, time.Since(s.state.since).Round(time.Millisecond))
	}
	s.state.now, s.state.since = nil, time.Time{}
}

const (
	probeEvery   = time.Second
	probeTimeout = 3 * time.Second
	probeBytes   = 64 << 10 // what a delivery may ask for
)

// mend does what the store can do about its trouble, and reports whether it is over.
func (s *Store) mend(ctx context.Context) bool {
	t, _ := s.Trouble()
	if t == nil {
		return true
	}
	if s.sqlite != nil {
		switch t.Kind {
		case Moved:
			if err := s.reopen(ctx); err != nil {
				s.ill(&Trouble{Moved, s.engine, err})
				return false
			}
		case Full:
			if s.shorten(ctx) != nil || s.sqlite.ballast.make() != nil {
				return false
			}
		}
	}
	size := 0
	if t.Kind == Full {
		size = probeBytes
	}
	return s.probe(ctx, size) == nil
}

// probe writes a row of a size that no compression makes smaller, and takes it away again; and it takes the lock on the
// inbox that a delivery takes.
func (s *Store) probe(ctx context.Context, size int) error {
	ctx, done := context.WithTimeout(ctx, probeTimeout)
	defer done()
	content := make([]byte, size/2)
	_, _ = rand.Read(content) // never fails
	return s.write(ctx, probeOp, func(t *tx) error {
		if _, err := t.exec(touchInbox); err != nil {
			return err
		}
		if _, err := t.exec(setSetting, probeOp, hex.EncodeToString(content), t.now.UnixMicro()); err != nil {
			return err
		}
		_, err := t.exec(dropSetting, probeOp)
		return err
	})
}

// Ping reports whether the database answers and would let us write, as far as reading can tell.
func (s *Store) Ping(ctx context.Context) error {
	if s.sqlite != nil {
		s.gate.RLock()
		err := s.sqlite.missing()
		s.gate.RUnlock()
		if err != nil {
			t := &Trouble{Moved, s.engine, err}
			s.ill(t)
			return t
		}
		return s.query(ctx, selectOne, nil, func(scan scanner) error { var n int; return scan(&n) })
	}
	var readOnly string
	if err := s.db.QueryRowContext(ctx, postgresReadOnly).Scan(&readOnly); err != nil {
		if t := s.diagnose(err); t != nil {
			return t
		}
		return err
	}
	if readOnly == "on" {
		return &Trouble{ReadOnly, s.engine, errors.New("the database is read-only")}
	}
	return nil
}

// Warning says what is not well yet still works; "" when nothing is.
func (s *Store) Warning() string {
	if s.sqlite == nil {
		return ""
	}
	if size := s.LogBytes(); size > longLog {
		return fmt.Sprintf("sqlite: the write-ahead log has %d MB: a program that has been reading for long keeps it from being written back", size>>20)
	}
	if free, err := freeBytes(s.sqlite.path); err == nil && free < 2*s.sqlite.ballast.size {
		return fmt.Sprintf("sqlite: only %.1f MB are free on its disk", float64(free)/(1<<20))
	}
	return ""
}
