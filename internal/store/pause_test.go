package store

import (
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestPause: while the queue is paused nobody takes anything up, whichever store is asked, and what is done by hand is
// done all the same.
func TestPause(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		other := w.open()
		w.insert(w.delivery("before", 1))
		w.intake(byNumber)
		if err := w.Pause(w.ctx, "carol"); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if err := w.Pause(w.ctx, "mallory"); err != nil {
			t.Fatal(err)
		}
		p, paused, err := other.Paused(w.ctx)
		if err != nil || !paused || p.By != "carol" || !p.Since.Equal(w.now().Add(-time.Minute)) {
			t.Errorf("Paused() = %v, %v, %v; want since a minute ago by carol, who came first", p, paused, err)
		}
		w.insert(w.delivery("during", 2), w.delivery("by hand", 3))
		for _, s := range []*Store{w.Store, other} {
			if _, n, err := s.Intake(w.ctx, pull.Taking{Limit: 10}, byNumber); err != nil || n != 0 {
				t.Errorf("intake while paused took %d deliveries, %v; want none", n, err)
			}
			if _, n, err := s.Intake(w.ctx, pull.Taking{IDs: []string{"during"}}, byNumber); err != nil || n != 0 {
				t.Errorf("intake by id while paused took %d deliveries, %v; want none", n, err)
			}
			if at, due, err := s.NextDue(w.ctx); err != nil || due {
				t.Errorf("while paused the next key is due at %v, %v; want none", at, err)
			}
			if c, ok, err := s.Claim(w.ctx, "me", lease, ""); err != nil || ok {
				t.Errorf("%v was claimed while paused, %v", c.Key, err)
			}
		}
		if _, n, err := w.Intake(w.ctx, pull.Taking{IDs: []string{"by hand", "unknown", "by hand"}, By: "carol"}, byNumber); err != nil || n != 1 {
			t.Errorf("intake by hand took %d deliveries, %v; want 1", n, err)
		}
		if err := other.Resume(w.ctx, "bob"); err != nil {
			t.Fatal(err)
		}
		if _, paused, err := w.Paused(w.ctx); err != nil || paused {
			t.Errorf("after Resume the queue is paused: %v, %v", paused, err)
		}
		if _, n, err := w.Intake(w.ctx, pull.Taking{Limit: 10}, byNumber); err != nil || n != 1 {
			t.Errorf("intake after Resume took %d deliveries, %v; want the one that is left", n, err)
		}
		w.pass(time.Minute)
		for range 3 {
			if _, ok, err := w.Claim(w.ctx, "me", lease, ""); err != nil || !ok {
				t.Fatalf("a key could not be claimed after Resume: %v", err)
			}
		}
	})
}

// TestIntakeLeavesTheYoung: what somebody else has been told of is theirs, until it is old or has to be taken again.
func TestIntakeLeavesTheYoung(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.insert(w.delivery("old", 1))
		w.pass(time.Minute)
		w.insert(w.delivery("young", 2), w.delivery("poison", 3))
		before := w.now().Add(-30 * time.Second)
		if _, n, err := w.Intake(w.ctx, pull.Taking{Limit: 10, Before: before}, byNumber); err != nil || n != 1 {
			t.Fatalf("intake took %d deliveries, %v; want the old one", n, err)
		}
		failing := func(pull.Delivery) pull.Route { panic("no route") }
		if _, n, err := w.Intake(w.ctx, pull.Taking{IDs: []string{"poison"}}, failing); err != nil || n != 1 {
			t.Fatalf("intake of the poisoned one took %d, %v", n, err)
		}
		if _, n, err := w.Intake(w.ctx, pull.Taking{IDs: []string{"poison"}}, byNumber); err != nil || n != 0 {
			t.Errorf("intake of the poisoned one during its backoff took %d, %v; want none", n, err)
		}
		w.pass(10 * time.Second)
		if _, n, err := w.Intake(w.ctx, pull.Taking{Limit: 10, Before: before}, byNumber); err != nil || n != 1 {
			t.Errorf("intake took %d deliveries, %v; want the one that has to be taken again", n, err)
		}
		if got := w.statuses()["young"]; got != pull.Received {
			t.Errorf("the young delivery is %s, want received", got)
		}
	})
}
