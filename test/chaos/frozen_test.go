package chaos

import (
	"strings"
	"syscall"
	"testing"
	"time"
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
	s.post.targets = []string{b.url()}
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
