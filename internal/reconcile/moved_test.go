package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/reconcile"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// running passes over one pull request that is due, until end, which says if it ended badly.
func running(t *testing.T, f reconcile.Forge) (s *store.Store, end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s = opened(t)
	if err := s.MarkDue(ctx, pull.PullKey(5, 1), pull.Ordinary); err != nil {
		t.Fatal(err)
	}
	r := reconcile.New(f, s, reconcile.Options{Owner: "only", Metrics: telemetry.NewMetrics("", ""), Log: slog.New(slog.DiscardHandler)})
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	return s, func() {
		t.Helper()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.Close()
	}
}

// A stubborn forge shows a pull request that wants a label, and says each time that it has changed since.
type stubborn struct {
	*hand
	looks, writes int
}

func (f *stubborn) Snapshot(ctx context.Context, scope pull.Scope, repo pull.Repo, number int) (pull.Snapshot, error) {
	f.looks++
	return f.hand.Snapshot(ctx, scope, repo, number)
}

func (f *stubborn) Apply(_ context.Context, _ pull.Scope, _ pull.Snapshot, a pull.Action) (int64, error) {
	if a.Kind != pull.AddLabel {
		return 1, nil
	}
	f.writes++
	return 0, &pull.Fault{Class: pull.FaultMoved, Op: "label", Status: 409, Message: "Conflict"}
}

// TestAConflictThatStays: what GitHub shows and what it says to a write may disagree for long. Looking again at once is
// right the first time, and ever later after that.
func TestAConflictThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &stubborn{hand: &hand{&forge{}, "only", nil}}
		_, end := running(t, f)
		time.Sleep(time.Hour)
		end()
		if f.writes < 3 || f.writes > 20 || f.looks > 20 {
			t.Errorf("%d looks and %d writes in an hour, want a few", f.looks, f.writes)
		}
	})
}

// A sulky forge shows a comment of ours twice, and does not let either be deleted.
type sulky struct {
	*hand
	looks, writes int
}

func (f *sulky) Snapshot(ctx context.Context, scope pull.Scope, repo pull.Repo, number int) (pull.Snapshot, error) {
	f.looks++
	s, err := f.hand.Snapshot(ctx, scope, repo, number)
	for id := range int64(2) {
		s.Comments = append(s.Comments, pull.Comment{Source: pull.Conversation, ID: 97 + id, Author: s.Us, Body: pull.Marker("c1")})
	}
	return s, err
}

func (f *sulky) Apply(ctx context.Context, scope pull.Scope, s pull.Snapshot, a pull.Action) (int64, error) {
	if a.Kind != pull.DropComment {
		return f.hand.Apply(ctx, scope, s, a)
	}
	f.writes++
	if a.Target != "98" {
		return 0, fmt.Errorf("it is the younger one, 98, that has to go, not %s", a.Target)
	}
	return 0, &pull.Fault{Class: pull.FaultRefused, Op: "comment.delete", Status: 403, Message: "Forbidden"}
}

// TestWhatIsRefusedIsLeftAlone: also what no policy has asked for.
func TestWhatIsRefusedIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &sulky{hand: &hand{&forge{}, "only", nil}}
		_, end := running(t, f)
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		writes, looks := f.writes, f.looks
		time.Sleep(time.Hour)
		end()
		if writes != 1 || looks > 4 || f.writes != 2 {
			t.Errorf("%d tries and %d looks in fifty minutes, %d tries an hour later; want one, a few, and two", writes, looks, f.writes)
		}
	})
}

// A cursed forge shows a pull request that nobody can digest.
type cursed struct{ *hand }

func (cursed) Snapshot(context.Context, pull.Scope, pull.Repo, int) (pull.Snapshot, error) {
	panic("index out of range")
}

// TestAPanicIsAFailedPass: a pull request that this code can't digest is given up, and the others are looked at.
func TestAPanicIsAFailedPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, end := running(t, cursed{&hand{&forge{}, "only", nil}})
		time.Sleep(time.Hour)
		_, due, err := s.NextDue(t.Context())
		if due || err != nil {
			t.Errorf("after an hour the key is still due: %v, %v", due, err)
		}
		end()
	})
}
