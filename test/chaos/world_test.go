package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// policyFile is the policy of every repository.
const policyFile = `version: 1
labels:
  documentation: { files: ["docs/**"] }
merge:
  if: checks.green && !("hold" in pr.labels)
  method: squash
  delete-branch: true
`

// A world is GitHub with its people, and what they will do to their pull requests.
//
// Each organization has one repository and an installation of the App, so each has a budget of its own: GitHub wants a
// second between two writes of one installation.
type world struct {
	t      *testing.T
	rand   *rand.Rand
	hub    *githubtest.Server
	url    string
	self   *githubtest.App
	ci     *githubtest.App
	alice  *githubtest.User
	hook   *githubtest.Hook
	pulls  []*change
	faulty *unreliable
}

// A change is one pull request and its story. Whether it is to be merged in the end, or held back by a person, and
// whether it gets a label, is clear from the start: that is what the checker expects of the service.
type change struct {
	w      *world
	repo   *githubtest.Repo
	branch string
	held   bool
	docs   bool
	story  []func() // still to happen
	pr     *githubtest.PR
}

// newWorld makes a world of orgs organizations with pulls pull requests in all. Its webhooks go to deliver.
func newWorld(t *testing.T, r *rand.Rand, orgs, pulls int, secret string, deliver func(*http.Request) (*http.Response, error)) *world {
	t.Helper()
	w := &world{t: t, rand: r}
	front := httptest.NewUnstartedServer(nil)
	w.url = "http://" + front.Listener.Addr().String()
	hub, err := githubtest.New(githubtest.Options{
		Dir: testenv.Memory(t), APIURL: w.url, HTMLURL: w.url, Seed: r.Uint64(), Deliver: deliver,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.hub = hub
	w.faulty = &unreliable{hub: hub, rand: rand.New(rand.NewPCG(r.Uint64(), 1))}
	front.Config.Handler = w.faulty
	front.Start()
	t.Cleanup(front.Close)

	w.alice = hub.User("alice")
	w.ci = hub.App("ci", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
	w.self = hub.App("pr-manager", githubtest.AppOptions{
		Permissions: map[string]string{
			"checks": "write", "contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write", "actions": "write",
			"merge_queues": "read", "members": "read",
		},
		Events: []string{
			"pull_request", "pull_request_review", "pull_request_review_comment", "pull_request_review_thread", "issue_comment", "check_run",
			"check_suite", "status", "push", "merge_group",
		},
	})
	repos := make([]*githubtest.Repo, orgs)
	for i := range repos {
		org := hub.Org(fmt.Sprintf("org%d", i))
		repos[i] = hub.Repo(org.Login+"/app", githubtest.RepoOptions{Files: map[string]string{"README.md": "hello\n", ".github/pr-manager.yml": policyFile}})
		repos[i].Grant(w.alice, githubtest.CanMaintain)
		w.ci.Install(org)
		w.self.Install(org)
	}
	hub.Deliveries(githubtest.Deliveries{Parallel: 24})
	w.hook = w.self.Hook(githubtest.HookOptions{URL: "http://service.test/webhook", Secret: secret})
	for i := range pulls {
		w.pulls = append(w.pulls, w.change(repos[i%orgs], i))
	}

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := hub.Run(ctx); err != nil {
			t.Errorf("GitHub ended by itself: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// change writes the story of a pull request.
func (w *world) change(repo *githubtest.Repo, n int) *change {
	c := &change{w: w, repo: repo, branch: fmt.Sprintf("topic%d", n), held: w.rand.IntN(4) == 0, docs: w.rand.IntN(2) == 0}
	files := 0
	push := func(dir string) map[string]string {
		files++
		return map[string]string{fmt.Sprintf("%s/%d-%d.txt", dir, n, files): strings.Repeat("words\n", files)}
	}
	c.story = append(c.story, func() {
		c.repo.Branch(c.branch, "main", w.alice)
		c.repo.Push(c.branch, push("src"), "Begin", w.alice)
		c.pr = c.repo.Open(w.alice, c.branch, "main", fmt.Sprintf("Change %d", n), "Why not.")
	})
	middle := []func(){
		func() { c.pr.Edit(w.alice, fmt.Sprintf("Change %d, better", n), "Because.") },
		func() { c.pr.Comment(w.alice, "What about this?") },
		func() { c.pr.Label(w.alice, "talk") },
		func() { c.repo.Push(c.branch, push("src"), "Go on", w.alice) },
		func() { c.repo.Check(c.pr.Head(), w.ci, "lint", "in_progress", "") },
	}
	w.rand.Shuffle(len(middle), func(i, j int) { middle[i], middle[j] = middle[j], middle[i] })
	middle = middle[:2+w.rand.IntN(len(middle)-1)]
	if c.docs {
		at := w.rand.IntN(len(middle) + 1)
		middle = slices.Insert(middle, at, func() { c.repo.Push(c.branch, push("docs"), "Explain it", w.alice) })
	}
	if c.held {
		at := w.rand.IntN(len(middle) + 1)
		middle = slices.Insert(middle, at, func() { c.pr.Label(w.alice, "hold") })
	}
	c.story = append(append(c.story, middle...), func() {
		c.repo.Check(c.pr.Head(), w.ci, "lint", "completed", "success")
		c.repo.Check(c.pr.Head(), w.ci, "build", "completed", "success")
	})
	return c
}

// act lets somebody do the next thing, and says whether there is anything left of the stories. When there is not, people
// go on talking.
func (w *world) act() (more bool) {
	var open []*change
	for _, c := range w.pulls {
		if len(c.story) > 0 {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		w.pulls[w.rand.IntN(len(w.pulls))].pr.Comment(w.alice, "Ping.")
		return false
	}
	c := open[w.rand.IntN(len(open))]
	next := c.story[0]
	c.story = c.story[1:]
	next()
	return true
}

// missing says what GitHub should show of a pull request and does not.
func (c *change) missing() []string {
	if c.pr == nil || len(c.story) > 0 {
		return nil
	}
	var out []string
	note := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("%s (held %v, docs %v): ", c.pr, c.held, c.docs)+fmt.Sprintf(format, args...))
	}
	state, report := "merged", "completed success"
	if c.held {
		state, report = "open", "in_progress "
	}
	if got := c.pr.State(); got != state {
		note("it is %s, want %s", got, state)
	}
	if labels := c.pr.Labels(); slices.Contains(labels, "documentation") != c.docs {
		note("its labels are %v", labels)
	}
	if tip := c.repo.Tip(c.branch); !c.held && tip != "" {
		note("its branch is still there")
	}
	switch runs, err := c.reports(); {
	case err != nil:
		note("its reports can't be read: %v", err)
	case len(runs) == 0:
		note("it has no report")
	case runs[0] != report:
		note("its report is %q, want %q", runs[0], report)
	}
	return out
}

// reports are the service's check runs on the head, newest first.
func (c *change) reports() ([]string, error) {
	req := httptest.NewRequest(http.MethodGet, c.w.url+"/repos/"+c.repo.FullName()+"/commits/"+c.pr.Head()+"/check-runs?check_name=pr-manager&filter=all", nil)
	req.RequestURI = ""
	req.Header.Set("Authorization", "Bearer "+c.w.alice.Token())
	resp, err := c.w.hub.Transport().RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var list struct {
		CheckRuns []struct {
			Status, Conclusion string
			App                struct{ Slug string }
		} `json:"check_runs"`
	}
	if err := json.Unmarshal(text, &list); err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%d %s: %w", resp.StatusCode, text, err)
	}
	var out []string
	for _, r := range list.CheckRuns {
		if r.App.Slug == "pr-manager" {
			out = append(out, r.Status+" "+r.Conclusion)
		}
	}
	return out, nil
}

// missing says what GitHub should show, and does not.
func (w *world) missing() []string {
	var out []string
	for _, c := range w.pulls {
		out = append(out, c.missing()...)
	}
	return out
}

// doubled says what was done on GitHub twice. Merging what is merged changes nothing at GitHub, which refuses it; asking
// for it is a mistake all the same, since only GitHub's answer tells such a service from one that does everything twice.
func (w *world) doubled() []string {
	var out []string
	done := map[string]int{}
	for _, e := range w.hub.Journal() {
		what := e.What + " at " + e.SHA
		switch {
		case e.Kind == "merge" && done[what] > 0:
			out = append(out, fmt.Sprintf("%s: asked for again after it was done (%d)", what, e.Status))
		case !e.Applied:
		case e.Kind == "check.create", e.Kind == "comment.create":
			if done[what] > 0 {
				out = append(out, fmt.Sprintf("%s: done %d times", what, done[what]+1))
			}
		}
		if e.Applied {
			done[what]++
		}
	}
	return out
}

// An unreliable GitHub answers a part of the writes with a 502: of some it has done nothing, of others everything. It
// notes every credential that it was shown.
type unreliable struct {
	hub http.Handler

	mu            sync.Mutex
	rand          *rand.Rand
	before, after float64
	failed        int
	losing        string // a part of a path: answers to such writes are lost …
	losses, done  int    // … so many of them; so many were
	credentials   map[string]bool
}

// fail sets the parts of the writes that fail.
func (u *unreliable) fail(before, after float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.before, u.after = before, after
}

// lose loses the answers to the next n writes whose path has a certain part.
func (u *unreliable) lose(part string, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.losing, u.losses = part, n
}

func (u *unreliable) lost() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.done
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		if u.credentials == nil {
			u.credentials = map[string]bool{}
		}
		u.credentials[token] = true
	}
	roll := 1.0
	if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/graphql") && !strings.HasSuffix(r.URL.Path, "/access_tokens") {
		roll = u.rand.Float64()
	}
	before, after := roll < u.before, roll >= u.before && roll < u.before+u.after
	if before || after {
		u.failed++
	}
	if u.losing != "" && r.Method != http.MethodGet && u.losses > u.done && strings.Contains(r.URL.Path, u.losing) {
		u.done++
		before, after = false, true
	}
	u.mu.Unlock()
	switch {
	case after:
		u.hub.ServeHTTP(httptest.NewRecorder(), r)
	case !before:
		u.hub.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = io.WriteString(w, `{"message":"Server Error"}`)
}

func (u *unreliable) failures() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failed
}

// shown are the credentials that GitHub was shown.
func (u *unreliable) shown() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []string
	for c := range u.credentials {
		out = append(out, c)
	}
	return out
}

// eventually waits until a condition holds, and reports whether it did.
func eventually(atMost time.Duration, holds func() bool) bool {
	for deadline := time.Now().Add(atMost); ; time.Sleep(20 * time.Millisecond) {
		if holds() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
