package reconcile_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/reconcile"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A fullStore lets every pass begin and end, and keeps no plan, until it is mended.
type fullStore struct {
	*store.Store
	mu    sync.Mutex
	whole bool
	fails int
}

func (s *fullStore) mend() { s.mu.Lock(); s.whole = true; s.mu.Unlock() }

type outageError struct{}

func (outageError) Error() string { return "the disk is full" }
func (outageError) Outage() bool  { return true }

func (s *fullStore) Plan(ctx context.Context, c pull.Claim, p pull.Plan) error {
	s.mu.Lock()
	whole := s.whole
	if !whole {
		s.fails++
	}
	s.mu.Unlock()
	if !whole {
		return outageError{}
	}
	return s.Store.Plan(ctx, c, p)
}

type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// TestAnOutageOfTheDatabaseMakesNoDeadLetters: an hour of it, told in one line, and then the work is done.
func TestAnOutageOfTheDatabaseMakesNoDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		defer s.Close()
		if err := s.MarkDue(t.Context(), pull.PullKey(5, 1), pull.Ordinary); err != nil {
			t.Fatal(err)
		}
		full, f, log := &fullStore{Store: s}, &forge{}, &lines{}
		r := reconcile.New(&hand{f, "me", nil}, full, reconcile.Options{
			Owner: "me", Lease: time.Minute, Metrics: telemetry.NewMetrics("", ""), Log: slog.New(slog.NewTextHandler(log, nil)),
		})
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- r.Run(ctx) }()
		time.Sleep(time.Hour)
		if full.fails < 8 {
			t.Errorf("%d tries in an hour, want more than make a dead letter", full.fails)
		}
		if st, err := s.Stats(ctx); err != nil || st.Dead != 0 || st.Due+st.InFlight != 1 {
			t.Errorf("after an hour: %+v, %v, want no dead letter and the key still due", st, err)
		}
		full.mend()
		time.Sleep(20 * time.Minute)
		if len(f.applied) != 1 {
			t.Errorf("the label was put on %d times after the outage, want once", len(f.applied))
		}
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		said := log.text.String()
		if n := strings.Count(said, "the database fails"); n != 1 || strings.Contains(said, "level=ERROR msg=\"pass failed") {
			t.Errorf("the outage is told %d times, want once:\n%s", n, said)
		}
		if strings.Count(said, "the database works again") != 1 {
			t.Errorf("the end of the outage is not told once:\n%s", said)
		}
	})
}
