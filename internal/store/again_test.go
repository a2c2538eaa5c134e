package store

import (
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestWhatComesUnderAKnownIDIsLookedAt: ids are not signed. Whoever may sign anything can take an id first; what GitHub
// then sends under it is acknowledged, and so must not be lost.
func TestWhatComesUnderAKnownIDIsLookedAt(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.o.Route = func(h pull.Hint) pull.Route { return pull.Route{Numbers: h.Numbers, Priority: pull.Ordinary} }
		other := func(id string, number int) pull.Delivery {
			d := w.delivery(id, number)
			d.Hint.Repo = pull.Repo{ID: 7, Owner: "acme", Name: "tool"}
			d.Hint.Installation = 43
			return d
		}
		w.insert(other("taken", 1))
		w.intake(byNumber)
		w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		if r := w.insert(w.delivery("taken", 5)); !r[0].Differs {
			t.Fatal("another body under a known id is not told")
		}
		w.pass(time.Second)
		looks := func() map[pull.Key]pull.Scope {
			looked := make(map[pull.Key]pull.Scope)
			for range 2 {
				c := w.claim()
				looked[c.Key] = c.Scope
				w.record(c, pull.PassResult{Outcome: pull.PassDone})
			}
			return looked
		}
		equal(t, "looked at", looks(), map[pull.Key]pull.Scope{pull.PullKey(7, 1): pull.ScopeApp(43), pull.PullKey(repoID, 5): pull.ScopeApp(42)})
		// Both in one batch.
		w.insert(other("both", 2), w.delivery("both", 6))
		w.intake(byNumber)
		w.pass(time.Second)
		equal(t, "looked at", looks(), map[pull.Key]pull.Scope{pull.PullKey(7, 2): pull.ScopeApp(43), pull.PullKey(repoID, 6): pull.ScopeApp(42)})
	})
}

// TestARepeatedPushWaitsInOrder: the keys of a repeated push are locked in the order in which everybody locks them, or
// two transactions would wait for each other, and senders for both.
func TestARepeatedPushWaitsInOrder(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		if w.Engine() != "postgres" {
			t.Skip("SQLite has one writer")
		}
		w.o.Route = func(pull.Hint) pull.Route { return pull.Route{Base: "main", Priority: pull.Bulk} }
		for n := 9; n <= 10; n++ { // as names of keys, 10 comes before 9
			w.run(`INSERT INTO pulls (key, repo_id, number, state, base) VALUES ($1, $2, $3, 'open', 'main')`, pull.PullKey(repoID, n).String(), repoID, n)
		}
		w.insert(w.delivery("push", 0))
		w.intake(func(d pull.Delivery) pull.Route { return w.o.Route(d.Hint) })
		other, err := w.db.BeginTx(w.ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Rollback() }()
		lock := func(n int) error {
			_, err := other.ExecContext(w.ctx, `UPDATE work SET gen = gen WHERE key = $1`, pull.PullKey(repoID, n).String())
			return err
		}
		if _, err := other.ExecContext(w.ctx, `SET LOCAL lock_timeout = '400ms'`); err != nil {
			t.Fatal(err)
		}
		if err := lock(10); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := w.Insert(w.ctx, []pull.Delivery{w.delivery("push", 0)})
			done <- err
		}()
		for w.number(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		if err := lock(9); err != nil {
			t.Errorf("the second key is held by whoever waits for the first: %v", strings.TrimSpace(err.Error()))
		}
		_ = other.Rollback()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
