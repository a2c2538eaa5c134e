package scenario

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// The times of the story below: the receiver dies, comes back, and is given a quarter of an hour; then life goes on.
const (
	dies    = time.Hour
	returns = dies + 2*time.Hour
	caught  = returns + 15*time.Minute
	ends    = caught + 45*time.Minute
	settled = ends + 15*time.Minute
)

const lossyPolicy = `version: 1
labels:
  backend: { files: ["src/**"] }
  docs:    { files: ["docs/**"] }
  size/L:  { lines: 100.. }
  urgent:  { title: "urgent" }
merge:
  if: approved && checks.green && !("hold" in pr.labels)
  method: squash
  delete-branch: true
`

// An act is what somebody does to a pull request, at a time of the story.
type act struct {
	at time.Duration
	do func()
}

// TestNothingStaysLost: of all deliveries a twentieth is dropped without a trace and a twentieth fails, and the receiver
// is dead for two hours, while 48 pull requests are opened, pushed to, checked, reviewed, labelled and merged. A quarter of
// an hour after its return everything at GitHub is as if each delivery had arrived, and so it is at the end.
// TEST_LONG=1 tries twenty lives.
func TestNothingStaysLost(t *testing.T) {
	if testing.Short() {
		t.Skip("`make test` runs it")
	}
	if underRace {
		t.Skip("it takes long, and its parts are raced elsewhere")
	}
	for seed := uint64(1); seed <= testenv.Pick[uint64](1, 20); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			perfect := liveOn(t, "an App", seed, false)
			if t.Failed() {
				return
			}
			for _, as := range []string{"an App", "a token", "a token that may not see webhooks"} {
				lossy := liveOn(t, as, seed, true)
				for i, when := range []string{"a quarter of an hour after the return", "in the end"} {
					if lossy[i] != perfect[i] {
						t.Errorf("as %s, %s GitHub is\n%s\nand with perfect delivery\n%s", as, when, differing(lossy[i], perfect[i]), differing(perfect[i], lossy[i]))
					}
				}
			}
		})
	}
}

// differing are the lines of a that b does not have.
func differing(a, b string) string {
	theirs := strings.Split(b, "\n")
	return strings.Join(slices.DeleteFunc(strings.Split(a, "\n"), func(l string) bool { return slices.Contains(theirs, l) }), "\n")
}

// liveOn tells the story and returns what GitHub looks like at its two times.
func liveOn(t *testing.T, as string, seed uint64, lossy bool) (states [2]string) {
	name := "perfectly delivered"
	if lossy {
		name = "lossy, as " + as
	}
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := way{name: name, seed: seed}
			if lossy {
				w.delivery = githubtest.Deliveries{Drop: .05, Fail: .05}
			}
			s := newWorld(t, w, "")
			s.recovers = true
			s.token = as != "an App"
			if as == "a token" {
				s.repo.Grant(s.hub.User("robot"), githubtest.CanAdmin)
			}
			defer s.open()()
			defer s.stop()
			s.policy(lossyPolicy)
			s.start()
			began := time.Now()
			until := func(d time.Duration) { time.Sleep(d - time.Since(began)) }
			stopped := false
			for _, a := range s.story(seed) {
				for _, turn := range []struct {
					at time.Duration
					do func()
				}{
					{dies, func() {
						if lossy {
							s.stop()
						}
						stopped = true
					}},
					{returns, func() {
						if lossy {
							s.start()
						}
						stopped = false
					}},
					{caught, func() { states[0] = s.ending() }},
				} {
					if time.Since(began) < turn.at && a.at >= turn.at {
						until(turn.at)
						turn.do()
					}
				}
				until(a.at)
				a.do()
			}
			until(settled)
			states[1] = s.ending()
			s.once()
			s.labelledOnce()
			if stopped {
				t.Error("the receiver has not come back")
			}
			if u := s.hub.Usage(); u.WhileTold+u.OverPrimary+u.OverSecondary+u.Unauthorized > 0 {
				t.Errorf("the service broke GitHub's rules: %+v", u)
			}
			sent, failed := 0, 0
			for _, d := range s.hook.Deliveries() {
				if sent++; d.Status != "OK" {
					failed++
				}
			}
			t.Logf("%d deliveries sent, %d failed; %d reads", sent, failed, s.reads)
			if strings.Contains(s.log.tail(1<<20), "was lost here") {
				t.Error("a loss was told of, and there was none")
			}
		})
	})
	return states
}

// labelledOnce checks that no label was set twice: in the story below, none that the policy sets ever comes off.
func (s *world) labelledOnce() {
	s.t.Helper()
	seen := map[string]int{}
	for _, w := range s.hub.Journal() {
		if w.Applied && w.Kind == "label.add" {
			if seen[w.What]++; seen[w.What] > 1 {
				s.t.Errorf("%s: set twice", w.What)
			}
		}
	}
}

// story is the lives of 48 pull requests, in the order of their acts. What each ends in does not depend on when the
// service acts: it is approved and green last, if at all, and nobody closes one that the service may not have seen.
func (s *world) story(seed uint64) []act {
	rnd := rand.New(rand.NewPCG(seed, 48))
	alice, bob, carol := s.hub.User("alice"), s.hub.User("bob"), s.hub.User("carol")
	var acts []act
	for i := range 48 {
		branch := fmt.Sprintf("topic-%02d", i)
		dir, title := "src", "Work on "+branch
		if i%3 == 0 {
			dir = "docs"
		}
		if i%7 == 0 {
			title = "urgent: " + title
		}
		// A third begins before the receiver dies, a third while it is dead, a third later; some live through all of it.
		first := time.Duration(rnd.Int64N(int64(returns + 20*time.Minute)))
		last := min(first+time.Duration(rnd.Int64N(int64(2*time.Hour))), ends)
		if i%2 == 0 { // done when the state is looked at first
			last = min(last, returns+5*time.Minute)
			first = min(first, last-10*time.Minute)
		}
		if first < 0 {
			first = 0
		}
		// Nothing happens in the last ten minutes before a state is looked at.
		quiet := func(at time.Duration) time.Duration {
			if at > returns+5*time.Minute && at <= caught {
				return caught + time.Minute
			}
			return at
		}
		var pr *githubtest.PR
		lines := 10
		content := func() map[string]string {
			return map[string]string{fmt.Sprintf("%s/%s.txt", dir, branch): strings.Repeat(branch+"\n", lines)}
		}
		var own []func()
		own = append(own, func() {
			s.repo.Push(branch, content(), "Begin", alice)
			pr = s.repo.Open(alice, branch, "main", title, "")
			s.pulls[fmt.Sprintf("%02d", i)] = pr
		})
		for range 1 + rnd.IntN(3) {
			more := 1 + rnd.IntN(80)
			own = append(own, func() {
				lines += more
				s.repo.Push(branch, content(), "Go on", alice)
			})
			verdict := []string{"success", "failure"}[rnd.IntN(2)]
			own = append(own, func() { s.repo.Check(pr.Head(), s.ci, "build", "in_progress", "").Complete(verdict) })
		}
		switch rnd.IntN(3) {
		case 0:
			own = append(own, func() { pr.Review(bob, "request_changes") })
		case 1:
			own = append(own, func() { pr.Label(carol, "priority") })
		}
		hold := i%8 == 5
		if hold {
			own = append(own, func() { pr.Label(carol, "hold") })
		}
		end := rnd.IntN(4)
		if end > 0 { // three of four are approved
			own = append(own, func() { pr.Review(bob, "approve") })
		}
		if end > 1 {
			own = append(own, func() { s.repo.Check(pr.Head(), s.ci, "build", "completed", "success") })
		}
		for n, do := range own {
			acts = append(acts, act{quiet(first + time.Duration(n)*(last-first)/time.Duration(len(own))), do})
		}
	}
	slices.SortStableFunc(acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	return acts
}

// TestSweepsOfStillWater: once everything is said and done, hours of sweeps and audits make no pull request due, and nothing
// is written to GitHub.
func TestSweepsOfStillWater(t *testing.T) {
	for _, as := range []string{"an App", "a token"} {
		t.Run("as "+as, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newWorld(t, way{name: "plain", seed: 1}, "")
				s.recovers, s.token = true, as == "a token"
				s.repo.Grant(s.hub.User("robot"), githubtest.CanAdmin)
				defer s.open()()
				defer s.stop()
				s.policy(lossyPolicy)
				s.start()
				for i := range 5 {
					pr := s.pullOf(fmt.Sprintf("topic-%d", i), map[string]string{fmt.Sprintf("src/%d.go", i): strings.Repeat("x\n", 60*i)})
					time.Sleep(time.Minute)
					if i > 0 {
						s.repo.Check(pr.Head(), s.ci, "build", "completed", "failure")
					}
				}
				time.Sleep(30 * time.Minute)
				usage, writes := s.hub.Usage(), len(s.hub.Journal())
				time.Sleep(3 * time.Hour)
				after := s.hub.Usage()
				looks := after.Requests["graphql.PullRequest"] - usage.Requests["graphql.PullRequest"]
				sweeps := after.Requests["graphql.OpenPullRequests"] - usage.Requests["graphql.OpenPullRequests"]
				// The first waits for a check that never comes: it is looked at by the clock, every ten minutes.
				if n := len(s.hub.Journal()) - writes; n != 0 || looks != 18 || sweeps != 18 {
					t.Errorf("%d writes, %d looks and %d sweeps in three hours, want 0, 18 and 18\n%s", n, looks, sweeps, s.log.tail(60))
				}
			})
		})
	}
}

// TestASweepLeavesRoom: 300 pull requests that nobody told of are found at once, where GitHub's hour has room for 400
// looks. The sweep's share of it is 60 %; an event, of one of them too, is answered in seconds all the same, and in the
// next hour the rest follows.
func TestASweepLeavesRoom(t *testing.T) {
	if testing.Short() {
		t.Skip("`make test` runs it")
	}
	hostile(t, func(t *testing.T, s *world) {
		s.recovers = true
		limits := githubtest.DefaultLimits()
		limits.GraphQL = 400
		s.hub.Limits(limits)
		s.policy("version: 1\nlabels: { urgent: { title: urgent } }\n")
		s.hub.Deliveries(githubtest.Deliveries{Drop: 1})
		alice := s.hub.User("alice")
		var prs []*githubtest.PR
		for i := range 300 {
			branch := fmt.Sprint("topic-", i)
			s.repo.Push(branch, map[string]string{branch: "x\n"}, "Work", alice)
			prs = append(prs, s.repo.Open(alice, branch, "main", "Work", ""))
		}
		s.start()
		time.Sleep(30 * time.Minute)
		if u := s.hub.Usage(); u.Points < 200 || u.Points > 241 {
			t.Errorf("half an hour of sweeps cost %d points, want most of their 240 of 400, and no more", u.Points)
		}
		s.hub.Deliveries(githubtest.Deliveries{})
		last := prs[len(prs)-1]
		last.Edit(alice, "urgent: work", "")
		time.Sleep(5 * time.Second)
		if len(last.Labels()) != 1 {
			t.Errorf("5 s after an event it has the labels %v, want urgent", last.Labels())
		}
		time.Sleep(2 * time.Hour)
		looked := s.hub.Usage().Requests["graphql.PullRequest"]
		if looked < 300 {
			t.Errorf("%d looks in the end, want one at each", looked)
		}
		if u := s.hub.Usage(); u.OverPrimary+u.OverSecondary+u.WhileTold > 0 {
			t.Errorf("GitHub's rules were broken: %+v", u)
		}
	})
}
