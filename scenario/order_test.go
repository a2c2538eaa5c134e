package scenario

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// A letter is a webhook as GitHub sent it, kept back to be delivered when a test wants it.
type letter struct {
	event, id string
	header    http.Header
	body      []byte
}

// A postbox stands between GitHub and the service, and keeps back what it is asked to.
type postbox struct {
	mu   sync.Mutex
	keep func(event string) bool
	kept []letter
}

// collect keeps back the webhooks that keep says, until the returned function hands them out.
func (s *world) collect(keep func(event string) bool) (letters func() []letter) {
	s.post.mu.Lock()
	s.post.keep, s.post.kept = keep, nil
	s.post.mu.Unlock()
	return func() []letter {
		for s.hub.Waiting() > 0 {
			time.Sleep(time.Millisecond)
		}
		s.post.mu.Lock()
		defer s.post.mu.Unlock()
		s.post.keep = nil
		return s.post.kept
	}
}

// take keeps a webhook back, if it is one to keep.
func (p *postbox) take(r *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keep == nil || !p.keep(r.Header.Get("X-GitHub-Event")) {
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	p.kept = append(p.kept, letter{r.Header.Get("X-GitHub-Event"), r.Header.Get("X-GitHub-Delivery"), r.Header.Clone(), body})
	return true
}

// send delivers a letter under an id, its own when empty, and returns the status and the body of the answer.
func (s *world) send(l letter, id string) (status int, answer string) {
	s.touch()
	s.mu.Lock()
	h := s.handler
	s.mu.Unlock()
	r := httptest.NewRequest(http.MethodPost, "http://service.test/webhook", bytes.NewReader(l.body))
	r.RequestURI = ""
	r.Header = l.header.Clone()
	if id != "" {
		r.Header.Set("X-GitHub-Delivery", id)
	}
	resp, err := githubtest.InProcess(h).RoundTrip(r)
	if err != nil {
		return 0, err.Error()
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

const orderPolicy = `version: 1
labels:
  documentation: { files: ["docs/**"] }
  renamed: { title: "^New" }
  seen: { if: '"urgent" in pr.labels' }
merge:
  if: approved && checks.green
`

// sixEvents lets a pull request live through the six events whose order is tried, and returns them as GitHub sent them.
func (s *world) sixEvents(n int) (*githubtest.PR, []letter) {
	alice, carol := s.hub.User("alice"), s.hub.User("carol")
	branch := "topic-" + strconv.Itoa(n)
	s.repo.Push(branch, map[string]string{"docs/" + branch + ".md": "one\n"}, "Write", alice)
	letters := s.collect(func(event string) bool { return event == "pull_request" })
	pr := s.repo.Open(alice, branch, "main", "Old title", "")
	pr.Label(carol, "urgent")
	s.repo.Push(branch, map[string]string{"docs/" + branch + ".md": "two\n"}, "Go on", alice)
	pr.Edit(alice, "New title", "")
	pr.Close(carol)
	pr.Reopen(carol)
	s.pulls[fmt.Sprintf("%04d", n)] = pr
	return pr, letters()
}

// model is what the service shows of a pull request, without what differs from one to the next.
func (s *world) model(pr *githubtest.PR) string {
	var got struct {
		Title, State, Verdict, Sentence, Head, Base string
		Labels                                      []string
		Actions                                     []struct {
			Kind, Target, Status string
			Attempt              int
		}
		Deliveries []struct{ Status string }
	}
	if err := s.ask(fmt.Sprintf("/api/pulls/octo/app/%d", pr.Number()), &got); err != nil {
		return err.Error()
	}
	if got.Head != pr.Head() {
		return "its head is " + got.Head
	}
	slices.Sort(got.Labels)
	var actions []string
	for _, a := range got.Actions {
		actions = append(actions, fmt.Sprint(a.Kind, " ", strings.ReplaceAll(a.Target, pr.Head(), "head"), " ", a.Status))
	}
	slices.Sort(actions)
	open := slices.ContainsFunc(got.Deliveries, func(d struct{ Status string }) bool { return d.Status != "processed" })
	return fmt.Sprintf("%s %s %q %s %q %v %v, deliveries wait: %v", got.State, got.Base, got.Title, got.Verdict, anySHA.ReplaceAllString(got.Sentence, "<sha>"), got.Labels, actions, open)
}

// permutations returns every order of n things.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(p), at, n-1))
		}
	}
	return all
}

// TestEveryOrder delivers the six events of a pull request's life in each of the 720 orders, each to a pull request of
// its own: half of them all at once, half a second apart, so that passes come in between. GitHub, the pages and the
// writes must be the same for all, and the index of heads must know them all: at the end a status comes in, which names
// nothing but a commit.
func TestEveryOrder(t *testing.T) {
	orders := permutations(6)
	const worlds = 12
	for part := range worlds {
		t.Run(strconv.Itoa(part), func(t *testing.T) {
			if (testing.Short() || underRace) && part%6 != 0 {
				t.Skip("a sample")
			}
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newWorld(t, way{name: "plain", seed: 1}, "")
				defer s.open()()
				defer s.stop()
				s.policy(orderPolicy)
				s.start()
				var first string
				var prs []*githubtest.PR
				var mine [][]int
				for i, order := range orders {
					if i%worlds == part {
						mine = append(mine, order)
					}
				}
				for i, order := range mine {
					pr, six := s.sixEvents(i)
					if len(six) != 6 {
						t.Fatalf("%d events were kept, want 6", len(six))
					}
					for _, at := range order {
						if status, answer := s.send(six[at], ""); status != http.StatusAccepted {
							t.Fatalf("a delivery is answered %d %s", status, answer)
						}
						if i%2 == 1 {
							s.run(time.Second)
						}
					}
					prs = append(prs, pr)
					s.run(5 * time.Second)
				}
				s.settle()
				for i, pr := range prs {
					if got := s.model(pr); first == "" {
						first = got
						t.Log(first)
					} else if got != first {
						t.Fatalf("after the order %v the pages say\n%s\nand after %v\n%s", mine[i], got, mine[0], first)
					}
				}
				once := strings.Split(strings.TrimSpace(s.ending()), "\n#")
				for i, line := range once {
					if _, got, _ := strings.Cut(line, " "); got != strings.SplitN(once[0], " ", 2)[1] || !strings.HasPrefix(got, "open labels=[documentation renamed seen urgent] report=waiting") {
						t.Errorf("after the order %v GitHub ends as %s, after %v as %s", mine[i], line, mine[0], once[0])
					}
				}
				for what, n := range applied(s.hub.Journal()) {
					if n != 1 && !strings.HasPrefix(what, "check.update") {
						t.Errorf("%d × %s", n, what)
					}
				}
				// Three labels, the report, and the report as it is with the labels on.
				if n := len(s.hub.Applied()); n != 5*len(mine) {
					t.Errorf("%d writes for %d pull requests, want 5 each", n, len(mine))
				}
				for _, pr := range prs {
					s.repo.Status(pr.Head(), "build", "success", s.hub.User("bob"))
				}
				s.settle()
				for _, pr := range prs {
					if got := s.model(pr); strings.Contains(got, "checks") || got == first {
						t.Fatalf("a status that names only the commit did not reach pull request %d: %s", pr.Number(), got)
					}
				}
				s.mannered(t)
			})
		})
	}
}

// TestAnyStory tells random stories of one pull request with random post: letters get lost, doubled, late and out of
// order. After the look that a sweep takes at every open pull request, GitHub and the pages are as after the same story
// with a perfect post, and nothing was written twice.
func TestAnyStory(t *testing.T) {
	checks := "25"
	if testing.Short() || underRace {
		checks = "4"
	}
	if !flagGiven("rapid.checks") {
		if err := flag.Set("rapid.checks", checks); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"label", "unlabel", "push", "edit", "back", "close", "reopen", "approve", "dismiss", "check", "fail", "draft", "ready", "wait"}), 3, 14).Draw(rt, "story")
		post := githubtest.Deliveries{
			Drop: rapid.SampledFrom([]float64{0, 0.1, 0.5}).Draw(rt, "lost"), Duplicate: rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(rt, "doubled"),
			Shuffle: true, Jitter: time.Duration(rapid.IntRange(0, 600).Draw(rt, "late")) * time.Second,
		}
		seed := rapid.Uint64Range(1, 1000).Draw(rt, "seed")
		perfect, err := anyStory(t, way{name: "plain", seed: seed}, steps)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := anyStory(t, way{name: "any", seed: seed, delivery: post}, steps)
		if err != nil {
			rt.Fatal(err)
		}
		if got != perfect {
			rt.Fatalf("with this post it ends as\n%s\nand with a perfect one as\n%s", got, perfect)
		}
	})
}

func flagGiven(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

const anyPolicy = `version: 1
labels:
  documentation: { files: ["docs/**"] }
  renamed: { title: "^New" }
  seen: { if: '"urgent" in pr.labels' }
  good: { if: approved && checks.green }
merge:
  if: approved && checks.green && "ship" in pr.labels
`

// anyStory tells a story of one pull request, and returns how GitHub and the pages end.
func anyStory(t *testing.T, w way, steps []string) (ending string, err error) {
	synctest.Test(t, func(t *testing.T) {
		delivery := w.delivery
		w.delivery = githubtest.Deliveries{}
		s := newWorld(t, w, "")
		defer s.open()()
		defer s.stop()
		s.policy(anyPolicy)
		s.start()
		s.settle()
		alice, bob, carol := s.hub.User("alice"), s.hub.User("bob"), s.hub.User("carol")
		s.hub.Deliveries(delivery)
		s.repo.Push("topic", map[string]string{"docs/topic.md": "0\n"}, "Write", alice)
		pr := s.repo.Open(alice, "topic", "main", "Old title", "")
		s.pulls["1"] = pr
		var review *githubtest.Review
		draft := false
		for i, step := range steps {
			switch closed := pr.State() == "closed"; {
			case step == "reopen" && closed:
				pr.Reopen(carol)
			case step == "wait":
				s.run(2 * time.Minute)
			case closed: // nobody does anything to it
			case step == "label" && !slices.Contains(pr.Labels(), "urgent"):
				pr.Label(carol, "urgent")
			case step == "unlabel" && slices.Contains(pr.Labels(), "urgent"):
				pr.Unlabel(carol, "urgent")
			case step == "push":
				s.repo.Push("topic", map[string]string{"docs/topic.md": fmt.Sprint(i, "\n")}, "Go on", alice)
			case step == "edit":
				pr.Edit(alice, "New title", "")
			case step == "back":
				pr.Edit(alice, "Old title", "")
			case step == "close":
				pr.Close(carol)
			case step == "approve":
				review = pr.Review(bob, "approve")
			case step == "dismiss" && review != nil:
				review.Dismiss(carol)
				review = nil
			case step == "check":
				s.repo.Check(pr.Head(), s.ci, "build", "completed", "success")
			case step == "fail":
				s.repo.Check(pr.Head(), s.ci, "build", "completed", "failure")
			case step == "draft" && !draft:
				pr.ConvertToDraft(carol)
				draft = true
			case step == "ready" && draft:
				pr.MarkReady(carol)
				draft = false
			}
			s.run(time.Second)
		}
		if pr.State() == "closed" {
			pr.Reopen(carol)
		}
		s.run(22 * time.Minute) // longer than any webhook is on its way, and than a label that changed often waits
		s.hub.Deliveries(githubtest.Deliveries{})
		pr.Edit(alice, "", "Swept.") // what a sweep does: one look, whatever came before
		s.settle()
		for what, n := range applied(s.hub.Journal()) {
			if n > 1 && strings.HasPrefix(what, "check.create") {
				err = fmt.Errorf("%d × %s\n%s", n, what, s.log.tail(40))
			}
		}
		var model struct {
			Title, State, Verdict, Sentence, Head string
			Draft                                 bool
			Labels                                []string
		}
		if e := s.ask("/api/pulls/octo/app/1", &model); e != nil {
			err = e
		}
		if model.Head != pr.Head() {
			err = fmt.Errorf("the pages show the head %s, and it is %s", model.Head, pr.Head())
		}
		slices.Sort(model.Labels)
		ending = s.ending() + fmt.Sprintf("%s %s %s %q draft=%v %v", model.State, model.Title, model.Verdict, anySHA.ReplaceAllString(model.Sentence, "<sha>"), model.Draft, model.Labels)
	})
	return ending, err
}
