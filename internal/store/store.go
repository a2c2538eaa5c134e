// Package store keeps everything that must survive: the inbox, the keyed work, the ledger of intentions, verdicts,
// the change feed. Every SQL statement of the service is here, and all of them run as they stand on SQLite and on
// PostgreSQL.
//
// It owns durability and exclusion. What [Store.Insert] has accepted is on disk; what [Store.Claim] has handed out
// belongs to one holder at a time, across replicas, and every write of that holder is checked against the fence of its
// claim. It refuses to know what a webhook means (intake asks a function that it is given), what a verdict says (a tree
// is bytes here) and what GitHub is.
//
// Read it in the order of a delivery's life: inbox.go keeps it, intake.go turns it into a key that is due, work.go
// hands the key to one worker, plan.go writes what the worker wants and did, read.go shows it, purge.go forgets it.
// Beside that way: pause.go and operate.go are what people do by hand, recovery.go is what never arrived. statements.go
// has the SQL; engine.go and clock.go are the machinery. A database that is away, full, frozen or moved is an error of
// one kind (trouble.go), which the store gets over by itself (maintain.go, ballast.go).
//
// A write is one transaction. On PostgreSQL it may be run again from the start after a deadlock or on a new connection,
// so the functions that make up a transaction change nothing outside of it before it has committed. Rows are locked in one order: deliveries,
// then work (by key), then what hangs on a key, then counters, then the change feed.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Options are what a store is opened with. The zero value opens a database whose only user is the process.
type Options struct {
	Logger *slog.Logger
	// Clock replaces the store's time altogether, for tests. Without it, time is the database's at the last look plus
	// Go's monotonic time since, so that replicas agree on leases and a jump of the wall clock moves nothing.
	Clock func() time.Time
	// Hook is called before (committed false) and after every commit of a write; op names it. Its error becomes the
	// operation's: before the commit the transaction is rolled back, after it the caller doesn't learn that it happened.
	Hook func(op string, committed bool) error
	// Scope says whose budget at GitHub the work on a hint's repository is charged to. Without it: the installation
	// that the hint names, else the token's.
	Scope func(pull.Hint) pull.Scope
	// Lease is how long a holder keeps a key without renewal: a replica that is frozen in the middle of a transaction gives
	// up what it has locked by then, so that others can take its keys over. 0, and anything longer, is half a minute.
	Lease time.Duration
	// Route says what a repeated delivery is about that named no pull request, or several, the first time: they are looked
	// at again. Without it, only the one pull request that a delivery named is.
	Route func(pull.Hint) pull.Route
	// Beside is for commands beside a running service: it leaves out the lock that keeps a second service off an SQLite
	// file, and PostgreSQL's sessions are called otherwise than a service's.
	Beside bool
}

// A Store is an open database. It may be used from many goroutines.
type Store struct {
	o      Options
	log    *slog.Logger
	engine string // "sqlite" or "postgres"
	name   string // what to call the database in errors, without secrets
	clock  clock

	db     *sql.DB // PostgreSQL: everything; SQLite: readers
	sqlite *sqlite // nil on PostgreSQL

	reads sync.Map // *statement → *sql.Stmt, on SQLite
	repos repoCache
	slots int64 // of counters

	gate    sync.RWMutex // SQLite's readers hold it; whoever opens the file anew keeps them out
	pending atomic.Int64 // writes since the last look at the write-ahead log
	nudge   chan struct{}

	state  condition
	filled chan struct{}
}

// Open opens the database of a URL, "sqlite:path" or "postgres://…". It neither creates nor changes the schema: see
// [Store.Migrate]. Errors are one line, and never show a password.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Scope == nil {
		o.Scope = scopeOf
	}
	s := &Store{o: o, log: o.Logger, nudge: make(chan struct{}, 1), filled: make(chan struct{}, 1)}
	s.state.alarm = make(chan struct{}, 1)
	var err error
	switch {
	case strings.HasPrefix(url, "sqlite:"):
		s.engine, s.slots = "sqlite", 1
		err = s.openSQLite(ctx, strings.TrimPrefix(url, "sqlite:"))
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		s.engine, s.slots = "postgres", 16
		err = s.openPostgres(ctx, url)
	default:
		return nil, errors.New("the database's URL must begin with sqlite: (a path follows) or postgres://")
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.syncClock(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read the clock of %s: %w", s.name, err), s.Close())
	}
	return s, nil
}

// Close closes the database. On SQLite it also writes the write-ahead log back and gives the lock up.
func (s *Store) Close() error {
	errs := []error{s.closeReaders()}
	if s.sqlite != nil {
		errs = append(errs, s.sqlite.close())
		if s.sqlite.lock != nil {
			errs = append(errs, s.sqlite.lock.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", s.name, err)
	}
	return nil
}

func (s *Store) closeReaders() error {
	var errs []error
	s.reads.Range(func(_, st any) bool {
		errs = append(errs, st.(*sql.Stmt).Close())
		return true
	})
	s.reads.Clear()
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}

// Engine returns "sqlite" or "postgres".
func (s *Store) Engine() string { return s.engine }

// Name is what to call the database, without secrets.
func (s *Store) Name() string { return s.name }

// scopeOf is the default of Options.Scope.
func scopeOf(h pull.Hint) pull.Scope {
	if h.Installation > 0 {
		return pull.ScopeApp(h.Installation)
	}
	return pull.ScopeToken
}

// slot picks the row of a counter to add to, so that replicas seldom want the same one.
func (s *Store) slot() int64 { return rand.Int64N(s.slots) }

// micros is a time as it is stored; nil for the zero time.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// moment is the time of a stored value; zero for null.
func moment(v sql.NullInt64) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return time.UnixMicro(v.Int64).UTC()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// clean makes text acceptable to both engines: PostgreSQL takes neither NUL nor invalid UTF-8.
func clean(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}
