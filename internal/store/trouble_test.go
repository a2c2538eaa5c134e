package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestDiagnose(t *testing.T) {
	state := func(code string) error {
		return fmt.Errorf("insert: %w", &pgconn.PgError{Code: code, Message: "hunter2"})
	}
	for _, c := range []struct {
		name   string
		engine string
		err    error
		want   TroubleKind // empty: none
		says   string
	}{
		{"disk full", "postgres", state("53100"), Full, "its disk is full"},
		{"too many connections", "postgres", state("53300"), Crowded, "too many connections"},
		{"read-only", "postgres", state("25006"), ReadOnly, "is read-only"},
		{"shutting down", "postgres", state("57P01"), Away, "does not answer"},
		{"starting up", "postgres", state("57P03"), Away, "does not answer"},
		{"statement_timeout", "postgres", state("57014"), Slow, "statement_timeout"},
		{"deadlock, again and again", "postgres", state("40P01"), Locked, "in each other's way"},
		{"wrong password", "postgres", state("28P01"), Refused, "credentials"},
		{"may not write", "postgres", state("42501"), Refused, "credentials"},
		{"damaged", "postgres", state("XX001"), Damaged, "damaged"},
		{"refused", "postgres", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, Away, "does not answer"},
		{"broken off", "postgres", fmt.Errorf("commit: %w", io.ErrUnexpectedEOF), Away, "does not answer"},
		{"too late", "postgres", context.DeadlineExceeded, Away, "does not answer"},
		{"the caller has gone", "postgres", context.Canceled, "", ""},
		{"a bad row", "postgres", state("22021"), "", ""},
		{"a lost lease", "sqlite", pull.ErrLost, "", ""},
		{"a bug", "sqlite", errors.New("it is a bug"), "", ""},
	} {
		got := (&Store{engine: c.engine}).diagnose(c.err)
		switch {
		case got == nil && c.want == "":
		case got == nil || got.Kind != c.want:
			t.Errorf("%s: diagnose(%v) = %+v, want %s", c.name, c.err, got, c.want)
		case !strings.HasPrefix(got.Plain(), c.engine+": ") || !strings.Contains(got.Plain(), c.says) || strings.Contains(got.Plain(), "hunter2"):
			t.Errorf("%s: Plain() = %q, want %q in it and nothing of the error", c.name, got.Plain(), c.says)
		case !errors.Is(got, c.err) || !got.Outage():
			t.Errorf("%s: the trouble does not wrap its cause, or is no outage", c.name)
		}
	}
	if (&Store{}).diagnose(nil) != nil {
		t.Error("diagnose(nil) is trouble")
	}
}

// maintained opens a store as the service does, with all that runs beside it.
func maintained(t *testing.T, address string) *Store {
	t.Helper()
	s, err := Open(t.Context(), address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-over, s.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, _, err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	go func() { over <- s.Maintain(ctx) }()
	return s
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 10s still not: %s", what)
		}
	}
}

// The same as a full disk, without one: a limit to the file. What was taken can't be finished either then, because
// ballast makes no room in a file; all else is as on a full disk.
func TestSQLiteFileMayNotGrow(t *testing.T) {
	address := testenv.SQLite(t)
	s := maintained(t, address)
	path := strings.TrimPrefix(address, "sqlite:")
	until(t, "there is ballast", func() bool { return s.sqlite.ballast.there() })
	n := 0
	insert := func() error {
		n++
		d := delivery(fmt.Sprint("d", n), n)
		d.Packed = make([]byte, 50<<10)
		_, err := s.Insert(t.Context(), []pull.Delivery{d})
		return err
	}
	if err := insert(); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		s.sqlite.turn <- struct{}{}
		defer func() { <-s.sqlite.turn }()
		if _, err := s.sqlite.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite makes it what the file has
	var err error
	for range 100 {
		if err = insert(); err != nil {
			break
		}
	}
	var trouble *Trouble
	if !errors.As(err, &trouble) || trouble.Kind != Full {
		t.Fatalf("Insert into a file that may not grow = %v, want trouble: full", err)
	}
	select {
	case <-s.Filled():
	default:
		t.Error("nobody is told to make room")
	}
	before := n
	for range 50 {
		if err := insert(); !errors.As(err, &trouble) || trouble.Kind != Full {
			t.Fatalf("Insert while it is full = %v", err)
		}
	}
	if now, since := s.Trouble(); now == nil || now.Kind != Full || since.IsZero() {
		t.Errorf("Trouble() = %+v since %v, want full", now, since)
	}
	if err := s.MarkDue(t.Context(), pull.PullKey(1, 1), pull.Ordinary); err != nil {
		t.Errorf("a small change on a full disk: %v", err)
	}
	if now, _ := s.Trouble(); now == nil {
		t.Error("a small change has ended the trouble")
	}
	limit(1 << 20)
	until(t, "the trouble is over", func() bool { now, _ := s.Trouble(); return now == nil })
	if !s.sqlite.ballast.there() {
		t.Error("there is no ballast again")
	}
	if err := insert(); err != nil {
		t.Errorf("Insert when there is room again: %v", err)
	}
	var ok string
	if err := s.db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&ok); err != nil || ok != "ok" {
		t.Errorf("integrity_check = %q, %v", ok, err)
	}
	var kept int
	if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM webhook_logs").Scan(&kept); err != nil || kept != before-1+1 {
		t.Errorf("%d deliveries are kept, %v, want the %d that were acknowledged", kept, err, before)
	}
	if _, err := os.Stat(path + ".ballast"); err != nil {
		t.Error(err)
	}
}

// delivery makes a delivery about a number, outside of any world.
func delivery(id string, number int) pull.Delivery {
	return pull.Delivery{ID: id, Body: []byte("{}"), Hint: pull.Hint{Event: "pull_request", Action: "synchronize", Repo: octoApp, Numbers: []int{number}}}
}

// A command that works beside the service leaves the service's ballast alone.
func TestCommandsKeepTheirHandsOffTheBallast(t *testing.T) {
	address := testenv.SQLite(t)
	s := maintained(t, address)
	until(t, "there is ballast", func() bool { return s.sqlite.ballast.there() })
	beside, err := Open(t.Context(), address, Options{Beside: true})
	if err != nil {
		t.Fatal(err)
	}
	beside.ill(&Trouble{Full, "sqlite", errors.New("full")})
	if err := beside.Close(); err != nil {
		t.Fatal(err)
	}
	if !s.sqlite.ballast.there() {
		t.Error("a command threw the ballast out")
	}
}

func TestThePragmasHold(t *testing.T) {
	s := maintained(t, testenv.SQLite(t))
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "foreign_keys": "1", "page_size": fmt.Sprint(pageSize)} {
		var got string
		if err := s.sqlite.conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got); err != nil || got != want {
			t.Errorf("the writer's %s = %q, %v, want %s", name, got, err, want)
		}
	}
	var only string
	if err := s.db.QueryRowContext(t.Context(), "PRAGMA query_only").Scan(&only); err != nil || only != "1" {
		t.Errorf("the readers' query_only = %q, %v, want 1", only, err)
	}
	if n := s.sqlite.db.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d connections may write, want 1", n)
	}
	var sync string
	if err := s.sqlite.back.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&sync); err != nil || sync != "2" {
		t.Errorf("what writes the log back has synchronous = %q, %v, want 2", sync, err)
	}
}

// Only a transaction whose commit was not sent is made again on another connection.
func TestPostgresBackendsEnd(t *testing.T) {
	s := maintained(t, testenv.Postgres(t))
	kill := func(t *tx) error {
		var pid int
		if err := t.pg.QueryRowContext(t.ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		_, err := s.db.ExecContext(t.ctx, "SELECT pg_terminate_backend($1, 5000)", pid)
		return err
	}
	for _, c := range []struct {
		name string
		at   func(n int) bool
		runs int
		ok   bool
	}{
		{"once", func(n int) bool { return n == 1 }, 2, true},
		{"every time", func(int) bool { return true }, tries, false},
	} {
		runs := 0
		err := s.write(t.Context(), "test", func(t *tx) error {
			if runs++; c.at(runs) {
				if err := kill(t); err != nil {
					return err
				}
			}
			_, err := t.exec(setSetting, "test", "x", int64(1))
			return err
		})
		if runs != c.runs || (err == nil) != c.ok {
			t.Errorf("a backend that ends %s: %d runs, %v, want %d", c.name, runs, err, c.runs)
		}
		var trouble *Trouble
		if !c.ok && (!errors.As(err, &trouble) || trouble.Kind != Away) {
			t.Errorf("a backend that ends %s: %v, want trouble: away", c.name, err)
		}
	}
	until(t, "the store has found out by itself that all is well", func() bool { now, _ := s.Trouble(); return now == nil })
}

func TestPostgresCommitOfUnknownOutcomeIsNotRepeated(t *testing.T) {
	runs := 0
	s, err := Open(t.Context(), testenv.Postgres(t), Options{Hook: func(op string, committed bool) error {
		if op == "insert" && committed {
			return io.ErrUnexpectedEOF // the connection broke, and the answer with it
		}
		if op == "insert" {
			runs++
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Insert(t.Context(), []pull.Delivery{delivery("d", 1)}); err == nil || runs != 1 {
		t.Errorf("Insert = %v after %d runs, want an error after one", err, runs)
	}
	s.o.Hook = nil
	got, err := s.Insert(t.Context(), []pull.Delivery{delivery("d", 1)})
	if err != nil || !got[0].Duplicate {
		t.Errorf("the same delivery again = %+v, %v, want a duplicate", got, err)
	}
}

// A replica whose machine has another idea of the time takes part like any other: the simulated clock here is years
// behind the server's.
func TestReplicasWithWrongClocksAgreeOnLeases(t *testing.T) {
	address := testenv.Postgres(t)
	right, err := Open(t.Context(), address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer right.Close()
	if _, _, err := right.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := pull.PullKey(1, 1)
	if err := right.MarkDue(t.Context(), key, pull.Ordinary); err != nil {
		t.Fatal(err)
	}
	claim, ok, err := right.Claim(t.Context(), "right", lease, "")
	if err != nil || !ok {
		t.Fatalf("Claim = %v, %v", ok, err)
	}
	at := right.Now() // asked for outside of the bubble: it has another clock
	synctest.Test(t, func(t *testing.T) {
		wrong, err := Open(t.Context(), address, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer wrong.Close()
		off := wrong.Now().Sub(at)
		if time.Until(wrong.Now()) < 365*24*time.Hour || off.Abs() > 20*time.Second {
			t.Errorf("a machine in %d has the store's time %v off, want the server's", time.Now().Year(), off)
		}
		if _, ok, err := wrong.Claim(t.Context(), "wrong", lease, ""); ok || err != nil {
			t.Errorf("Claim by a replica with a wrong clock = %v, %v, want nothing: the lease holds", ok, err)
		}
		if err := wrong.MarkDue(t.Context(), pull.PullKey(1, 2), pull.Ordinary); err != nil {
			t.Fatal(err)
		}
		c, ok, err := wrong.Claim(t.Context(), "wrong", lease, "")
		if err != nil || !ok || c.Until.Sub(at.Add(lease)).Abs() > 20*time.Second {
			t.Errorf("Claim by a replica with a wrong clock = until %v, %v, %v, want a lease of %v by the server's clock", c.Until, ok, err, lease)
		}
	})
	if err := right.Renew(t.Context(), claim, lease); err != nil {
		t.Errorf("Renew = %v, want the lease unaffected", err)
	}
	if _, ok, err := right.Claim(t.Context(), "third", lease, ""); ok || err != nil {
		t.Errorf("Claim of what the replica with the wrong clock holds = %v, %v, want nothing", ok, err)
	}
}

// On SQLite the clock is the machine's, and does not follow it back: what was due at ten is due at ten past nine too.
func TestSQLiteClockDoesNotGoBack(t *testing.T) {
	address := testenv.SQLite(t)
	open := func() *Store {
		t.Helper()
		s, err := Open(t.Context(), address, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	// As if the machine had been an hour ahead until now.
	ahead := func(s *Store, d time.Duration) {
		r := s.clock.at.Load()
		s.clock.at.Store(&reference{base: r.base.Add(d), when: r.when})
	}
	s := open()
	ahead(s, time.Hour)
	before := s.Now()
	if _, err := s.Insert(t.Context(), []pull.Delivery{delivery("d", 1)}); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkDue(t.Context(), pull.PullKey(1, 1), pull.Ordinary); err != nil {
		t.Fatal(err)
	}
	if err := s.syncClock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := s.Now(); now.Before(before) || now.Sub(before) > time.Minute {
		t.Errorf("Now went from %v to %v when the machine's clock was set back an hour, want it to go on", before, now)
	}
	if _, ok, err := s.Claim(t.Context(), "me", lease, ""); !ok || err != nil {
		t.Errorf("Claim of what was due before the jump = %v, %v, want it", ok, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The next process starts after the jump.
	s = open()
	if now := s.Now(); now.Before(before) || now.Sub(before) > time.Minute {
		t.Errorf("after a restart Now is %v, want it to go on from %v", now, before)
	}
	// A clock that was years ahead is nothing to go by.
	ahead(s, 5*365*24*time.Hour)
	if _, err := s.Insert(t.Context(), []pull.Delivery{delivery("e", 1)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	if off := time.Until(s.Now()).Abs(); off > 2*time.Hour {
		t.Errorf("after a time years ahead Now is %v off, want the machine's", off)
	}
}

// Times beyond 2038 and around the ends of years are numbers like any other.
func TestTimesFarAhead(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for i, at := range []time.Time{
			time.Date(2038, 1, 19, 3, 14, 7, 999999000, time.UTC), time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC),
			time.Date(2099, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(2100, 3, 1, 0, 0, 0, 0, time.UTC),
		} {
			w.mu.Lock()
			w.at = at
			w.mu.Unlock()
			w.hint(fmt.Sprint("d", i), 7)
			c := w.claim()
			if !c.Until.Equal(at.Add(lease)) {
				t.Errorf("a lease taken at %v lasts until %v, want %v", at, c.Until, at.Add(lease))
			}
			w.record(c, pull.PassResult{Outcome: pull.PassDone})
			if d, err := w.Delivery(w.ctx, fmt.Sprint("d", i)); err != nil || !d.ReceivedAt.Equal(at) || d.Status != pull.Processed {
				t.Errorf("a delivery of %v = %v, %s, %v", at, d.ReceivedAt, d.Status, err)
			}
		}
	})
}
