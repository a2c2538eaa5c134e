package chaos

import (
	"testing"
	"time"
)

// Replicas agree on the time because they take it from the database. If one of them were wrong all the same, by ten
// minutes, it would take keys away from the others or leave them for later; it must not lose or double anything.
func TestAReplicaWithAWrongClock(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	seed := newSeed(t)
	for _, skew := range []string{"10m", "-10m"} {
		t.Run(skew, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, plan(seed, "skew"+skew), setup{engine: "postgres", replicas: 3, orgs: 6, pulls: 8, binary: failing(t)})
			s.open("CLOCK_SKEW=" + skew)
			s.play(80, 20*time.Millisecond, nil)
			s.settle(60 * time.Second)
			if f := s.check(); len(f) > 0 {
				t.Errorf("with one replica's clock off by %s:\n%s", skew, f)
			}
		})
	}
}

// The machine's clock is set back by an hour while the service is down, as when a board without a battery has met its
// time server: nothing waits for the hour to pass.
func TestTheClockIsSetBack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	s := newStage(t, plan(newSeed(t), "set back"), setup{engine: "sqlite", replicas: 1, orgs: 4, pulls: 6, binary: failing(t)})
	s.open("CLOCK_SKEW=1h")
	s.play(60, 15*time.Millisecond, nil)
	s.replicas[0].kill() // in the middle of what it does
	s.settle(60 * time.Second)
	if f := s.check(); len(f) > 0 {
		t.Errorf("after the clock was set back by an hour:\n%s", f)
	}
}
