package scenario

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const docsPolicy = `version: 1
labels:
  documentation: { files: ["docs/**"] }
merge:
  if: approved && checks.green
  delete-branch: true
`

// docs opens a pull request that gets a label and a report, and returns it with the webhook that told of it, which has
// been delivered already.
func (s *world) docs(branch string) (*githubtest.PR, letter) {
	s.t.Helper()
	letters := s.collect(func(event string) bool { return event == "pull_request" })
	pr := s.pullOf(branch, map[string]string{"docs/" + branch + ".md": "hello\n"})
	opened := letters()
	if len(opened) != 1 {
		s.t.Fatalf("%d webhooks about an opened pull request, want 1", len(opened))
	}
	if status, answer := s.send(opened[0], ""); status != http.StatusAccepted {
		s.t.Fatalf("the webhook is answered %d %s", status, answer)
	}
	return pr, opened[0]
}

// counters are the service's totals.
type counters struct {
	Received, Processed, Errors, Duplicates, Actions int64
}

func (s *world) totals() (c counters) {
	s.t.Helper()
	var stats struct{ Total counters }
	time.Sleep(2 * time.Second) // they may be as old as that
	if err := s.ask("/webhook/stats", &stats); err != nil {
		s.t.Fatal(err)
	}
	return stats.Total
}

// since runs what happens and returns how many writes and reads of GitHub followed from it, once the world is at rest.
func (s *world) since(happens func()) (writes []string, reads int) {
	before := len(s.hub.Applied())
	s.mu.Lock()
	s.reads = 0
	s.mu.Unlock()
	happens()
	s.settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hub.Applied()[before:], s.reads
}

// TestTheSameIDAHundredTimesAtOnce: GitHub, or whoever has caught a webhook, sends it again and again.
func TestTheSameIDAHundredTimesAtOnce(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.policy(docsPolicy)
		s.start()
		s.settle()
		letters := s.collect(func(event string) bool { return event == "pull_request" })
		pr := s.pullOf("topic", map[string]string{"docs/a.md": "a\n"})
		opened := letters()[0]
		before := s.totals()
		writes, reads := s.since(func() {
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					if status, answer := s.send(opened, ""); status != http.StatusAccepted {
						t.Errorf("a webhook is answered %d %s, want 202", status, answer)
					}
				})
			}
			all.Wait()
		})
		after := s.totals()
		if got := after.Received - before.Received; got > 3 { // the opened one, and those of the label and the report that followed
			t.Errorf("%d deliveries are received, want 1 and two of the service's own making", got)
		}
		if got := after.Duplicates - before.Duplicates; got != 99 {
			t.Errorf("%d duplicates, want 99", got)
		}
		if want := []string{"label.add documentation on octo/app#1", "check.create pr-manager=in_progress on octo/app"}; !slices.Equal(writes, want) || !slices.Equal(pr.Labels(), []string{"documentation"}) {
			t.Errorf("the writes are %v, want %v", writes, want)
		}
		if reads > 3 {
			t.Errorf("%d reads, want at most 3", reads)
		}
	})
}

// TestTheSameBodyUnderNewIDs: a webhook that somebody has caught is sent again under a hundred new ids: their headers
// are not signed. Each is a reason to look, none to do anything again, and to look a hundred times would be too often.
func TestTheSameBodyUnderNewIDs(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.policy(docsPolicy)
		s.start()
		s.settle()
		_, opened := s.docs("topic")
		s.settle()
		before := s.totals()
		writes, reads := s.since(func() {
			for i := range 100 {
				if status, answer := s.send(opened, fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)); status != http.StatusAccepted || !strings.Contains(answer, "accepted") {
					t.Errorf("a replay is answered %d %s, want accepted", status, answer)
				}
				if i%10 == 9 {
					s.run(time.Second)
				}
			}
		})
		if len(writes) > 0 || reads < 1 || reads > 11 {
			t.Errorf("%d reads and the writes %v, want one read a second at most and no write", reads, writes)
		}
		if after := s.totals(); after.Received-before.Received != 100 || after.Duplicates != before.Duplicates || after.Processed-before.Processed != 100 {
			t.Errorf("from %+v to %+v, want 100 received and processed", before, after)
		}
	})
}

// TestRedeliver: the Redeliver button, an hour later and after all went well, is one more look and nothing else, also
// for an event that names no pull request.
func TestRedeliver(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.start()
		s.policy(docsPolicy)
		s.settle()
		_, opened := s.docs("topic")
		s.docs("other")
		s.settle()
		s.run(time.Hour)
		// No check has come in that hour, so both are looked at every ten minutes, and GitHub's rules every quarter of an
		// hour: one look at both now, and neither is due while it is counted.
		s.redeliverLast("push", "refs/heads/main")
		s.settle()
		for _, tt := range []struct {
			name  string
			again func()
			reads int
		}{
			{"what opened it", func() { s.send(opened, "") }, 1},
			{"the same once more", func() { s.send(opened, "") }, 1},
			{"a push to the default branch", func() { s.redeliverLast("push", "refs/heads/main") }, 2},
		} {
			before := s.totals()
			writes, reads := s.since(tt.again)
			after := s.totals()
			if len(writes) > 0 || reads != tt.reads {
				t.Errorf("%s: %d reads and the writes %v, want %d and none", tt.name, reads, writes, tt.reads)
			}
			if after.Duplicates != before.Duplicates+1 || after.Received != before.Received || after.Processed != before.Processed {
				t.Errorf("%s: from %+v to %+v, want one duplicate more", tt.name, before, after)
			}
		}
	})
}

// redeliverLast presses the button at the last delivery of an event that says so.
func (s *world) redeliverLast(event, says string) {
	s.t.Helper()
	for _, d := range slices.Backward(s.hook.Deliveries()) {
		if d.Event == event && bytes.Contains(d.Payload, []byte(says)) {
			s.hook.Redeliver(d.ID)
			return
		}
	}
	s.t.Fatalf("there was no %s that says %s", event, says)
}

// TestPostAboutWhatIsGone: webhooks that arrive late, about what is not there any more. Two requests to GitHub at most,
// nothing that fails, and no loop.
func TestPostAboutWhatIsGone(t *testing.T) {
	for _, tt := range []struct {
		name    string
		happens func(s *world)
	}{
		{"three days late", func(*world) {}},
		{"repository deleted", func(s *world) { s.repo.Delete(s.hub.User("carol")) }},
		{"repository renamed", func(s *world) {
			s.repo.Rename(s.hub.User("carol"), "application")
			s.pulls["1"].Label(s.hub.User("carol"), "hello") // an event that names it, and a report with the new name
		}},
		{"repository transferred to where the App is not", func(s *world) { s.repo.Transfer(s.hub.User("carol"), s.hub.Org("elsewhere")) }},
		{"App uninstalled", func(s *world) { s.installed.Uninstall(s.hub.User("carol")) }},
		{"installation suspended", func(s *world) { s.installed.Suspend(s.hub.User("carol"), true) }},
		{"pull request closed and its branch gone", func(s *world) {
			s.pulls["1"].Close(s.hub.User("carol"))
			s.repo.DeleteBranch("topic", s.hub.User("carol"))
		}},
	} {
		for _, late := range []time.Duration{0, 3 * 24 * time.Hour} {
			t.Run(fmt.Sprintf("%s, %v later", tt.name, late), func(t *testing.T) {
				hostile(t, func(t *testing.T, s *world) {
					s.policy("version: 1\nlabels: { documentation: { files: \"docs/**\" } }\n") // nothing to look after by itself
					s.start()
					s.settle()
					s.pulls["1"], _ = s.docs("topic")
					s.settle()
					letters := s.collect(func(event string) bool { return event == "pull_request" })
					s.pulls["1"].Edit(s.hub.User("alice"), "Another title", "")
					edited := letters()
					s.settle()
					tt.happens(s)
					s.settle()
					time.Sleep(late)
					calls, before := s.calls(), s.totals()
					s.send(edited[0], "")
					time.Sleep(time.Hour)
					got, after := s.calls()-calls, s.totals()
					if got > 2 {
						t.Errorf("%d requests to GitHub, want at most 2\n%s", got, s.log.tail(30))
					}
					if after.Errors != before.Errors {
						t.Errorf("%d errors, want none\n%s", after.Errors-before.Errors, s.log.tail(30))
					}
					if after.Processed != before.Processed+1 {
						t.Errorf("%d deliveries are processed, want 1", after.Processed-before.Processed)
					}
				})
			})
		}
	}
}

// calls is how many requests the service has made to GitHub, but for tokens.
func (s *world) calls() int {
	s.manners.mu.Lock()
	defer s.manners.mu.Unlock()
	return s.manners.calls
}

// TestChecksOfAForkAreFoundByTheirCommit: GitHub names no pull request in the checks of a fork. The index of heads does,
// and GitHub is never asked for lists.
func TestChecksOfAForkAreFoundByTheirCommit(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.policy("version: 1\nlabels: { tested: { if: checks.green } }\n")
		s.start()
		mallory := s.hub.User("mallory")
		fork := s.repo.Fork(mallory)
		var prs []*githubtest.PR
		for i := range 5 {
			branch := "contribution-" + strconv.Itoa(i)
			fork.Push(branch, map[string]string{branch + ".md": "hello\n"}, "Contribute", mallory)
			prs = append(prs, s.repo.Open(mallory, "mallory:"+branch, "main", "Contribute", ""))
		}
		s.settle()
		_, reads := s.since(func() {
			for _, pr := range prs {
				s.repo.Check(pr.Head(), s.ci, "build", "completed", "success")
			}
		})
		for _, pr := range prs {
			if got := pr.Labels(); !slices.Equal(got, []string{"tested"}) {
				t.Errorf("pull request %d has the labels %v, want tested", pr.Number(), got)
			}
		}
		if reads > 3*len(prs) {
			t.Errorf("%d reads for the checks of %d pull requests, want at most three each: run, suite, and our own label", reads, len(prs))
		}
		for op, n := range s.hub.Usage().Requests {
			if strings.Contains(op, "list") && !strings.Contains(op, "check-runs") {
				t.Errorf("%d × %s", n, op)
			}
		}
	})
}

// TestOwnEventsAreNoLoop: what the service writes makes events of its own. They cause one look more at most.
func TestOwnEventsAreNoLoop(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.policy(docsPolicy)
		s.start()
		s.settle()
		_, reads := s.since(func() { s.docs("topic") })
		if reads > 2 {
			t.Errorf("%d reads for an opened pull request that gets a label and a report, want at most 2", reads)
		}
		_, reads = s.since(func() { s.repo.Check(s.repo.Tip("topic"), s.ci, "build", "completed", "success") })
		if reads > 2 {
			t.Errorf("%d reads for a check that changes the report, want at most 2", reads)
		}
	})
}

// TestUnknownEvents are accepted, processed and nothing else.
func TestUnknownEvents(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.start()
		s.settle()
		_, opened := s.docs("topic")
		s.settle()
		before, calls := s.totals(), s.calls()
		for i, event := range []string{"ping", "installation", "installation_repositories", "marketplace_purchase", "an_event_of_next_year", "pull_request"} {
			l := opened
			l.header = l.header.Clone()
			l.header.Set("X-GitHub-Event", event)
			if event == "pull_request" { // of an action that nobody knows: it is looked at
				l.body = bytes.Replace(l.body, []byte(`"action":"opened"`), []byte(`"action":"levitated"`), 1)
				l.header.Set("X-Hub-Signature-256", testenv.Sign(secret, l.body))
			}
			if status, answer := s.send(l, fmt.Sprintf("%08d-0000-4000-8000-000000000001", i)); status != http.StatusAccepted {
				t.Errorf("%s is answered %d %s, want 202", event, status, answer)
			}
		}
		s.settle()
		after := s.totals()
		if after.Errors != before.Errors || after.Processed-before.Processed != 6 || s.calls()-calls > 1 {
			t.Errorf("from %+v to %+v with %d requests, want 6 processed, no error and one look", before, after, s.calls()-calls)
		}
	})
}

// TestMergeabilityThatComesLate: GitHub says for the first time at the n-th question whether a pull request can be
// merged. It is asked after 1, 2, 4, 8, 15 seconds and every half minute, and merged when it is known.
func TestMergeabilityThatComesLate(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 10, 15, 20} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			hostile(t, func(t *testing.T, s *world) {
				s.policy("version: 1\nmerge: { if: checks.green }\n")
				s.start()
				s.settle()
				pr := s.pullOf("topic", map[string]string{"src/a.go": "a\n"})
				s.settle()
				s.hub.MergeableAfter(n)
				s.repo.Push("topic", map[string]string{"src/a.go": "b\n"}, "Go on", s.hub.User("alice"))
				s.run(400 * time.Millisecond) // the look that the push asks for; it waits for checks
				asked := 1
				var at []time.Time
				s.hub.OnRequest(func(op string, _ *http.Request) {
					if op == pullQuery {
						at = append(at, time.Now())
					}
				})
				s.repo.Check(pr.Head(), s.ci, "build", "completed", "success")
				began := time.Now()
				for pr.State() != "merged" && time.Since(began) < time.Hour {
					s.run(time.Second)
				}
				took := time.Since(began)
				if pr.State() != "merged" {
					t.Fatalf("after an hour it is %s", pr.State())
				}
				most := 12 * time.Second // the checks settle, events of the service's own
				waits := []time.Duration{1, 2, 4, 8, 15}
				for i := range max(0, n-asked) {
					w := 30 * time.Second
					if i < len(waits) {
						w = waits[i] * time.Second
					}
					most += w
				}
				if took > most {
					t.Errorf("merged after %v, want at most %v", took, most)
				}
				if len(at) > n+5 {
					t.Errorf("%d looks, want about %d", len(at), n)
				}
				for i := 6; i < len(at)-4; i++ {
					if gap := at[i+1].Sub(at[i]); gap < 25*time.Second {
						t.Errorf("look %d came %v after the one before, want half a minute", i+1, gap)
					}
				}
			})
		})
	}
}

// TestAPushBeforeTheMerge: somebody pushes between the decision and the merge. The approval was given to another commit,
// so the new one needs one of its own.
func TestAPushBeforeTheMerge(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.policy("version: 1\nmerge: { if: approved && checks.green }\n")
		s.start()
		s.settle()
		pr := s.pullOf("topic", map[string]string{"src/a.go": "a\n"})
		s.repo.Check(pr.Head(), s.ci, "build", "completed", "success")
		s.settle()
		seen := pr.Head()
		pushed := false
		s.hub.OnRequest(func(op string, _ *http.Request) {
			if op == "pulls.merge" && !pushed {
				pushed = true
				s.repo.Push("topic", map[string]string{"src/a.go": "something else\n"}, "Slip in", s.hub.User("alice"))
				s.repo.Check(pr.Head(), s.ci, "build", "completed", "success")
			}
		})
		pr.Review(s.hub.User("bob"), "approve")
		s.settle()
		s.run(time.Hour)
		if !pushed || pr.State() != "open" {
			t.Fatalf("pushed just before the merge: %v; then it is %s, want open", pushed, pr.State())
		}
		if r, err := s.reportOf(pr.Head()); err != nil || r.state != "waiting" || !strings.Contains(r.title, "approval") {
			t.Errorf("the report is %v, %v, want waiting for an approval", r, err)
		}
		pr.Review(s.hub.User("bob"), "approve")
		s.settle()
		if pr.State() != "merged" || pr.Head() == seen {
			t.Errorf("after an approval of the new head it is %s", pr.State())
		}
		for _, w := range s.hub.Journal() {
			if w.Kind == "merge" && w.Applied && w.SHA == seen {
				t.Error("the head that nobody approved any more was merged")
			}
		}
	})
}

// TestABrokenInstallationHoldsNobodyUp: GitHub does not answer anything about one installation's many pull requests.
// There are more of them than places for passes, and yet another installation is served at once; and when GitHub
// answers again, all is done within a minute.
func TestABrokenInstallationHoldsNobodyUp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault githubtest.Fault
	}{
		{"no answer", githubtest.Fault{Kind: githubtest.Hang}},
		{"502", githubtest.Fault{Status: 502}},
		{"401", githubtest.Fault{Status: 401}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hostile(t, func(t *testing.T, s *world) {
				w := troubledIn(s, false)
				w.begin()
				var prs []*githubtest.PR
				for i := range 40 {
					pr, _ := w.docs("topic-" + strconv.Itoa(i))
					prs = append(prs, pr)
				}
				w.settle()
				f := tt.fault
				f.Op, f.Repo, f.Times = "graphql.*", "octo/app", -1
				fault := w.hub.Fail(f)
				for i, pr := range prs {
					pr.Edit(w.hub.User("alice"), "wip: "+strconv.Itoa(i), "")
				}
				for i := range 20 {
					w.run(time.Duration(i) * time.Second)
					if wrong := w.unaffected(); wrong != "" {
						t.Errorf("the other installation, %d: %s", i, wrong)
					}
				}
				lasted := fault.Hits()
				if lasted > 120 {
					t.Errorf("GitHub was asked %d times in five minutes although it does not answer, want at most 120", lasted)
				}
				fault.Heal()
				w.run(time.Minute + 2*40*1100*time.Millisecond) // and 40 labels and reports, a second apart
				left := 0
				for _, pr := range prs {
					if !slices.Contains(pr.Labels(), "wip") {
						left++
					}
				}
				if left > 0 {
					t.Errorf("%d of %d are not done", left, len(prs))
				}
				w.settle()
				w.mannered(t)
				t.Logf("%d requests met the fault", lasted)
			})
		})
	}
}
