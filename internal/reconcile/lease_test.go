package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/reconcile"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A forge is one pull request that wants a label, and counts who put it on.
type forge struct {
	mu      sync.Mutex
	applied []string
	present bool
}

// A hand is one worker's way to the forge; freeze is where its process stands still, once.
type hand struct {
	*forge
	name   string
	freeze map[string]time.Duration
}

func (h *hand) pause(where string) {
	d := h.freeze[where]
	delete(h.freeze, where)
	time.Sleep(d)
}

func (h *hand) Lane(ctx context.Context, _ pull.Priority) context.Context { return ctx }

func (h *hand) Snapshot(_ context.Context, _ pull.Scope, repo pull.Repo, number int) (pull.Snapshot, error) {
	h.mu.Lock()
	s := pull.Snapshot{
		ObservedAt: time.Now(), Us: pull.Actor{ID: 9, Login: "robot"}, Repo: repo, Number: number, State: pull.Open,
		DefaultBranch: "main", AllowedMethods: []pull.MergeMethod{pull.Squash}, Mergeable: pull.MergeableClean,
		Head:   pull.Branch{Repo: repo, Name: "topic", SHA: "1111111111111111111111111111111111111111"},
		Base:   pull.Branch{Repo: repo, Name: "main", SHA: "2222222222222222222222222222222222222222"},
		Policy: pull.Document{Found: true, Path: ".github/pr-manager.yml", OID: "3333333333333333333333333333333333333333", Text: "version: 1\nlabels:\n  bug: { if: \"true\" }\n"},
		Labels: []pull.Label{{Name: "bug", Present: h.present, SetBy: pull.Actor{ID: 9}}},
	}
	h.mu.Unlock()
	h.pause("after snapshot")
	return s, nil
}

func (h *hand) Learn(_ context.Context, _ pull.Scope, s pull.Snapshot, _ []pull.Need) (pull.Snapshot, error) {
	return s, nil
}

func (h *hand) Apply(_ context.Context, _ pull.Scope, _ pull.Snapshot, a pull.Action) (int64, error) {
	if a.Kind == pull.AddLabel {
		h.mu.Lock()
		h.applied = append(h.applied, h.name)
		h.present = true
		h.mu.Unlock()
	}
	h.pause("after apply")
	return 1, nil
}

// A frozenStore is the store as a process sees it that stands still: its lease is not renewed.
type frozenStore struct {
	*store.Store
	freeze map[string]time.Duration // "after start": when an action is written down, and not yet sent
}

func (f frozenStore) Start(ctx context.Context, c pull.Claim, a pull.Action, lease time.Duration) (pull.Intent, error) {
	in, err := f.Store.Start(ctx, c, a, lease)
	time.Sleep(f.freeze["after start"])
	delete(f.freeze, "after start")
	return in, err
}

func (frozenStore) Renew(context.Context, pull.Claim, time.Duration) error {
	return errors.New("the process stands still")
}

// opened returns an empty store. A bubble must not end while it is open, so the caller closes it.
func opened(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "x.db"), store.Options{Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAFrozenHolderWritesNothing: a worker that stands still for longer than its lease finds out, whatever it was doing,
// that somebody else has its key, and writes nothing more anywhere.
func TestAFrozenHolderWritesNothing(t *testing.T) {
	for _, where := range []string{"after snapshot", "after start", "after apply"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				s := opened(t)
				defer s.Close()
				if _, err := s.Insert(ctx, []pull.Delivery{{ID: "d1", ReceivedAt: time.Now(), Body: []byte("{}"), Hint: pull.Hint{
					Event: "pull_request", Action: "opened", Repo: pull.Repo{ID: 5, Owner: "octo", Name: "app"}, Numbers: []int{1},
				}}}); err != nil {
					t.Fatal(err)
				}
				if _, _, err := s.Intake(ctx, pull.Taking{Limit: 10}, func(pull.Delivery) pull.Route { return pull.Route{Numbers: []int{1}, Priority: pull.Ordinary} }); err != nil {
					t.Fatal(err)
				}

				const lease = 10 * time.Second
				f := &forge{}
				worker := func(name string, st reconcile.Store, freeze map[string]time.Duration) *reconcile.Reconciler {
					return reconcile.New(&hand{f, name, freeze}, st, reconcile.Options{
						Owner: name, Lease: lease, Metrics: telemetry.NewMetrics("", ""), Log: slog.New(slog.DiscardHandler),
					})
				}
				freeze := map[string]time.Duration{where: time.Minute}
				frozen := worker("frozen", frozenStore{s, freeze}, freeze)
				other := worker("other", s, nil)

				claim, ok, err := s.Claim(ctx, "frozen", lease, "")
				if err != nil || !ok {
					t.Fatalf("Claim = %v, %v", ok, err)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					frozen.Pass(ctx, nil, claim)
				}()
				time.Sleep(lease + time.Second)
				again, ok, err := s.Claim(ctx, "other", lease, "")
				if err != nil || !ok {
					t.Fatalf("the key of the frozen worker can't be claimed after its lease: %v, %v", ok, err)
				}
				if r := other.Pass(ctx, nil, again); r.Outcome != pull.PassDone {
					t.Fatalf("the other worker's pass ended as %+v", r)
				}
				before, err := s.Pull(ctx, "octo", "app", 1)
				if err != nil {
					t.Fatal(err)
				}
				<-done
				after, err := s.Pull(ctx, "octo", "app", 1)
				if err != nil {
					t.Fatal(err)
				}
				if len(f.applied) != 1 {
					t.Errorf("the label was put on by %v, want it once", f.applied)
				}
				if len(before.Intents) != len(after.Intents) {
					t.Fatalf("the frozen worker changed the ledger from %+v to %+v", before.Intents, after.Intents)
				}
				for i := range before.Intents {
					if b, a := before.Intents[i], after.Intents[i]; b.Status != a.Status || !b.DoneAt.Equal(a.DoneAt) || b.Attempt != a.Attempt {
						t.Errorf("the frozen worker changed the ledger's row from %+v to %+v", b, a)
					}
				}
				for _, in := range after.Intents {
					if in.Status == pull.Executing || in.Status == pull.Planned {
						t.Errorf("an intent is left %s: %+v", in.Status, in)
					}
				}
			})
		})
	}
}
