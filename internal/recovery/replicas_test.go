package recovery_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/recovery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A mortal is a replica's way to the store. Once it is dead nothing of the replica reaches the database any more, as when
// its process was killed.
type mortal struct {
	*store.Store
	dead atomic.Bool
}

var errDead = errors.New("this process was killed")

func (m *mortal) Beat(ctx context.Context, owner string, term time.Duration) (pull.Beat, error) {
	if m.dead.Load() {
		return pull.Beat{}, errDead
	}
	return m.Store.Beat(ctx, owner, term)
}

func (m *mortal) Resign(ctx context.Context, l pull.Lead) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Store.Resign(ctx, l)
}

func (m *mortal) Asking(ctx context.Context, l pull.Lead, x pull.Missing, next time.Time) (bool, error) {
	if m.dead.Load() {
		return false, errDead
	}
	return m.Store.Asking(ctx, l, x, next)
}

func (m *mortal) NotAsked(ctx context.Context, x pull.Missing, next time.Time) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Store.NotAsked(ctx, x, next)
}

// TestTwoReplicasAskOnce: two replicas on one PostgreSQL, in real time. Between them they ask for each missing delivery
// once; the one that leads is killed in the middle, and the other one goes on.
func TestTwoReplicasAskOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("it asks once a second, and really waits")
	}
	w := newWorld(t, options{url: testenv.Postgres(t)})
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.hub.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	defer func() { end(); <-ended }()
	wait := func(what string, ok func() bool) {
		t.Helper()
		for limit := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("after a minute: %s", what)
			}
		}
	}
	wait("the first deliveries are not here", func() bool { return w.hub.Waiting() == 0 && w.here() })

	w.answer(down)
	w.pushes(6)
	wait("deliveries wait", func() bool { return w.hub.Waiting() == 0 })
	w.answer(nil)
	quick := func(name string) func(*recovery.Options) {
		return func(o *recovery.Options) {
			o.Owner, o.Beat, o.Audit, o.Sweep = name, 400*time.Millisecond, 500*time.Millisecond, 0
		}
	}
	ways := []*mortal{{Store: w.open()}, {Store: w.open()}}
	a, b := w.made("", ways[0], quick("a")).run(), w.made("", ways[1], quick("b")).run()
	wait("nobody asks", func() bool { return len(w.asks()) >= 2 })
	leader, heir := a, b
	if b.Lag() > 0 {
		leader, heir = b, a
	}
	for i, r := range []*replica{a, b} {
		if r == leader {
			ways[i].dead.Store(true)
		}
	}
	killed := time.Now()
	leader.stop()
	wait("the other replica does not lead", func() bool { return heir.Lag() > 0 })
	t.Logf("the lead went over %s after the kill; the term is 1s", time.Since(killed).Round(time.Millisecond))
	// What was noted and not sent when the leader was killed is asked for again five minutes later, and not sooner.
	missing := func() (n int) {
		for _, d := range w.hook.Deliveries() {
			if !w.kept(d.GUID) && !d.Redelivery {
				n++
			}
		}
		return n
	}
	wait("not all of them are here", func() bool { return missing() <= 1 })
	asked := func() map[string]int {
		times := map[string]int{}
		for _, d := range w.hook.Deliveries() {
			if d.Redelivery {
				times[d.GUID]++
			}
		}
		return times
	}
	// GitHub's log has a delivery once it is answered, which is after it is here.
	wait("GitHub was asked for fewer than five of the six", func() bool { return len(asked()) >= 5 })
	for id, times := range asked() {
		if times > 1 {
			t.Errorf("GitHub was asked %d times for %s", times, id)
		}
	}
	heir.stop()
}
