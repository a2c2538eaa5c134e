package store

import (
	"errors"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestTurns: of the pull requests into one base branch, one at a time has the turn, until it gives it back or its time is up.
func TestTurns(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("seven", 7)
		seven := w.claim()
		w.hint("nine", 9)
		nine := w.claim()
		take := func(c pull.Claim, base string, d time.Duration) int {
			t.Helper()
			turn, err := w.TakeTurn(w.ctx, c, base, w.Now().Add(d))
			if err != nil {
				t.Fatal(err)
			}
			read, err := w.Turn(w.ctx, c.Key.RepoID, base)
			if err != nil || read != turn {
				t.Fatalf("Turn = %+v, %v, want %+v", read, err, turn)
			}
			return turn.Number
		}
		expect := func(what string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: the turn is of #%d, want #%d", what, got, want)
			}
		}
		expect("the first", take(seven, "main", time.Hour), 7)
		expect("the second", take(nine, "main", time.Hour), 7)
		expect("the first again", take(seven, "main", 2*time.Hour), 7)
		expect("another base", take(nine, "release/1", time.Hour), 9)

		if err := w.EndTurn(w.ctx, nine, "main"); err != nil {
			t.Fatal(err)
		}
		expect("after the second gave back what it did not have", take(nine, "main", time.Hour), 7)
		if err := w.EndTurn(w.ctx, seven, "main"); err != nil {
			t.Fatal(err)
		}
		expect("after the first gave it back", take(nine, "main", -time.Second), 0)
		expect("after its time was up", take(seven, "main", time.Hour), 7)

		lost := seven
		lost.Fence--
		if _, err := w.TakeTurn(w.ctx, lost, "main", w.Now().Add(time.Hour)); !errors.Is(err, pull.ErrLost) {
			t.Errorf("TakeTurn without the claim = %v, want ErrLost", err)
		}
		if err := w.EndTurn(w.ctx, lost, "main"); !errors.Is(err, pull.ErrLost) {
			t.Errorf("EndTurn without the claim = %v, want ErrLost", err)
		}
	})
}
