package chaos

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// frozen is a scenario in which a replica stops in the middle of a pass, for longer than its lease, while another one
// takes its key over, and wakes up when that one is at work on the same thing. Whoever has lost a key must not write.
//
// A stops after its plan is kept and before anything is written down as sent. B takes over, makes the report on GitHub,
// and dawdles before it reads the answer: its action is still in progress when A comes back.
func frozen(t *testing.T, binary string) (findings, *stage) {
	t.Helper()
	s := newStage(t, plan(newSeed(t), "frozen"), setup{engine: "postgres", replicas: 2, orgs: 1, pulls: 1, binary: binary})
	a, b := s.replicas[0], s.replicas[1]
	s.pulls[0].held, s.pulls[0].docs, s.pulls[0].story = true, false, s.pulls[0].story[:1]
	a.start("FAILPOINTS=R3=pause@1")
	a.ready()
	s.act()
	if !eventually(20*time.Second, a.stopped) {
		t.Fatalf("A was not stopped at R3: nothing is tested\n%s", tail(a.p.Logs(), 10))
	}
	s.post.aim(b.url())
	b.start("FAILPOINTS=R5=sleep:3000@1")
	created := func() (n int) {
		for _, w := range s.hub.Journal() {
			if w.Applied && w.Kind == "check.create" {
				n++
			}
		}
		return n
	}
	if !eventually(20*time.Second, func() bool { return created() > 0 }) {
		t.Fatalf("B did not take over: nothing is tested\n%s", tail(b.p.Logs(), 10))
	}
	a.signal(syscall.SIGCONT)
	s.settle(20 * time.Second)
	return s.check(), s
}

// A frozen replica that comes back finds out that it has lost its key before it writes anything, to GitHub or to the
// database.
func TestAFrozenReplicaWritesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	f, s := frozen(t, failing(t))
	if len(f) > 0 {
		t.Errorf("a replica froze after its plan and came back:\n%s", f)
	}
	a := s.replicas[0]
	if n := a.metric("github_leases_lost_total"); n != 1 {
		t.Errorf("github_leases_lost_total = %v, want 1", n)
	}
	if !strings.Contains(a.p.Logs(), "another worker has taken the key over") {
		t.Errorf("its log does not say that it lost the key:\n%s", tail(a.p.Logs(), 10))
	}
	fences, err := texts(s.db.Query("SELECT DISTINCT fence FROM ledger"))
	if err != nil || len(fences) != 1 || fences[0] == "1" {
		t.Errorf("the ledger was written under the fences %v, %v; want only one of the second replica", fences, err)
	}
}

// A replica that is frozen between writing an action down and sending it can send it when it comes back: GitHub offers no
// fence. For as long as that may still happen, the one that took over waits and looks before it does anything again.
func TestAReplicaFrozenBeforeItsRequestDoublesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for _, c := range []struct {
		name   string
		asleep time.Duration
	}{
		{"for four leases", 4 * lease},
		{"for longer than a request may take", 14 * time.Second},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, plan(newSeed(t), "frozen before its request"), setup{engine: "postgres", replicas: 2, orgs: 1, pulls: 1, binary: failing(t)})
			a, b := s.replicas[0], s.replicas[1]
			s.pulls[0].held, s.pulls[0].docs, s.pulls[0].story = true, false, s.pulls[0].story[:1]
			a.start("FAILPOINTS=R4=pause@1")
			a.ready()
			s.act()
			if !eventually(20*time.Second, a.stopped) {
				t.Fatalf("A was not stopped at R4: nothing is tested\n%s", tail(a.p.Logs(), 10))
			}
			stopped := time.Now()
			s.post.aim(b.url())
			b.start()
			b.ready()
			time.Sleep(time.Until(stopped.Add(c.asleep)))
			a.signal(syscall.SIGCONT)
			s.settle(30 * time.Second)
			if f := s.check(); len(f) > 0 {
				t.Errorf("a replica froze before its request and came back after %v:\n%s", c.asleep, f)
			}
			if n := a.metric("github_leases_lost_total"); n != 1 {
				t.Errorf("github_leases_lost_total = %v, want 1", n)
			}
		})
	}
}

// A replica that is stopped at any moment, under load, and comes back after its leases have run out, does no harm.
func TestReplicasFreezeUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	rounds := testenv.Pick(3, 50)
	r := plan(newSeed(t), "freezing under load")
	s := newStage(t, r, setup{engine: "postgres", replicas: 3, orgs: 6, pulls: 6 * rounds, binary: failing(t)})
	s.open()
	stopped := -1
	var since time.Time
	frozen := 0
	s.play(60*rounds, 25*time.Millisecond, func(int) {
		victim, dice := r.IntN(3), r.Float64()
		switch {
		case stopped >= 0 && time.Since(since) > 4*lease/3:
			s.replicas[stopped].signal(syscall.SIGCONT)
			stopped = -1
		case stopped < 0 && dice < 0.1:
			stopped, since = victim, time.Now()
			s.post.aim(s.replicas[(victim+1)%3].url(), s.replicas[(victim+2)%3].url())
			s.replicas[victim].signal(syscall.SIGSTOP)
			frozen++
		}
	})
	if stopped >= 0 {
		time.Sleep(time.Until(since.Add(4 * lease / 3)))
		s.replicas[stopped].signal(syscall.SIGCONT)
	}
	s.settle(60 * time.Second)
	if f := s.check(); len(f) > 0 {
		t.Errorf("after %d freezes:\n%s", frozen, f)
	}
	lost := 0.0
	for _, r := range s.replicas {
		lost += r.metric("github_leases_lost_total")
	}
	t.Logf("%d freezes of %v, %v leases lost", frozen, 4*lease/3, lost)
	if frozen == 0 {
		t.Error("nobody was frozen: nothing is tested")
	}
}
