package scenario

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// A trouble is one way in which GitHub misbehaves.
type trouble struct {
	name  string
	fault githubtest.Fault
	// lasts is how long, from the first request that meets it; zero is for one request. After that, or when the time is
	// over that GitHub said to wait, everything is right within a minute.
	lasts time.Duration
	// stays marks what only a person mends: the service gives up after a few tries and says why, with these words, on
	// the pull request's page or in /health.
	stays string
	only  []string // operations that can meet it; all
}

const pullQuery = "graphql.PullRequest"

// The operations of a pull request's life that meet a trouble: a read, and every kind of write.
var (
	appOps   = []string{pullQuery, "issues.add-labels", "issues.remove-label", "checks.create", "checks.update", "pulls.merge", "git.delete-ref"}
	tokenOps = []string{"repos.create-commit-status"}
)

const away = 30 * time.Second

var troubles = []trouble{
	{name: "500", fault: githubtest.Fault{Status: 500}, lasts: away},
	{name: "502", fault: githubtest.Fault{Status: 502}, lasts: away},
	{name: "503", fault: githubtest.Fault{Status: 503}, lasts: away},
	{name: "504", fault: githubtest.Fault{Status: 504}, lasts: away},
	{name: "500 after it was done", fault: githubtest.Fault{Status: 500, After: true}},
	{name: "502 after it was done", fault: githubtest.Fault{Status: 502, After: true}},
	{name: "503 after it was done", fault: githubtest.Fault{Status: 503, After: true}},
	{name: "504 after it was done, for long", fault: githubtest.Fault{Status: 504, After: true}, lasts: away},
	{name: "502 for half an hour", fault: githubtest.Fault{Status: 502}, lasts: 30 * time.Minute, stays: "502"},
	{name: "a page for people", fault: githubtest.Fault{Kind: githubtest.HTML}, lasts: away},
	{name: "a page for people after it was done", fault: githubtest.Fault{Kind: githubtest.HTML, After: true}},
	{name: "half an answer", fault: githubtest.Fault{Kind: githubtest.Truncated}, lasts: away},
	{name: "no answer for a minute", fault: githubtest.Fault{Kind: githubtest.Hang, Delay: time.Minute}, lasts: away},
	{name: "no answer after it was done", fault: githubtest.Fault{Kind: githubtest.Hang, After: true}},
	{name: "reset", fault: githubtest.Fault{Kind: githubtest.Reset}, lasts: away},
	{name: "reset after it was done", fault: githubtest.Fault{Kind: githubtest.Reset, After: true}},
	{name: "401 once", fault: githubtest.Fault{Status: 401}},
	{name: "401", fault: githubtest.Fault{Status: 401}, lasts: away},
	{name: "403 about a permission", fault: githubtest.Fault{Status: 403, Message: "Resource not accessible by integration"}, lasts: 30 * time.Minute, stays: "not accessible"},
	{name: "secondary limit, 403, with Retry-After", fault: githubtest.Fault{Kind: githubtest.Secondary, RetryAfter: 90 * time.Second}},
	{name: "secondary limit, 403, without Retry-After", fault: githubtest.Fault{Kind: githubtest.Secondary}},
	{name: "secondary limit, 429, with Retry-After", fault: githubtest.Fault{Kind: githubtest.Secondary, Status: 429, RetryAfter: 90 * time.Second}},
	{name: "secondary limit, 429, without Retry-After", fault: githubtest.Fault{Kind: githubtest.Secondary, Status: 429}},
	{name: "hourly limit", fault: githubtest.Fault{Kind: githubtest.Exhausted, RetryAfter: 20 * time.Minute}},
	{name: "part of the data", fault: githubtest.Fault{Kind: githubtest.Partial}, lasts: away, only: []string{pullQuery}},
	{name: "404, then it is there", fault: githubtest.Fault{Status: 404}, only: appOps[:6]},
	{name: "404", fault: githubtest.Fault{Status: 404}, lasts: 30 * time.Minute, stays: "Not Found", only: appOps[1:6]},
	{name: "422 already exists", fault: githubtest.Fault{Status: 422, Message: "Validation Failed: already_exists", After: true}, only: []string{"issues.add-labels"}},
	{name: "304", fault: githubtest.Fault{Status: 304}, lasts: away},
	{name: "405 base modified", fault: githubtest.Fault{Status: 405, Message: "Base branch was modified. Review and try the merge again."}, lasts: 10 * time.Second, only: []string{"pulls.merge"}},
	{name: "405 not mergeable", fault: githubtest.Fault{Status: 405, Message: "Pull Request is not mergeable"}, lasts: 10 * time.Second, only: []string{"pulls.merge"}},
	{name: "405 not authorized", fault: githubtest.Fault{Status: 405, Message: "You're not authorized to push to this branch."}, lasts: 30 * time.Minute, stays: "not authorized", only: []string{"pulls.merge"}},
	{name: "409", fault: githubtest.Fault{Status: 409, Message: "Head branch was modified. Review and try the merge again."}, lasts: 10 * time.Second},
	{name: "451", fault: githubtest.Fault{Status: 451}, lasts: 30 * time.Minute, stays: "blocked"},
	{name: "a stranger's certificate", fault: githubtest.Fault{Kind: githubtest.BadCertificate}, lasts: away},
	{name: "no such host", fault: githubtest.Fault{Kind: githubtest.NoHost}, lasts: away},
}

const troubledPolicy = `version: 1
labels:
  documentation: { files: ["docs/**"] }
  wip: { title: "^wip" }
merge:
  if: checks.green
  method: squash
  delete-branch: true
`

// TestMisbehaviour lets every operation meet every trouble, one pull request each, and watches three things: that the
// pull request ends as it would have without, that nothing was done twice and no limit was overstepped, and that
// another installation notices nothing.
func TestMisbehaviour(t *testing.T) {
	for i, tr := range troubles {
		for _, token := range []bool{false, true} {
			ops, name := appOps, tr.name+", as an App"
			if token {
				ops, name = tokenOps, tr.name+", with a token"
			}
			if tr.only != nil {
				ops = slices.DeleteFunc(slices.Clone(ops), func(op string) bool { return !slices.Contains(tr.only, op) })
			}
			if len(ops) == 0 || (underRace || testing.Short()) && i%6 != 0 {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newTroubled(t, token)
					defer w.open()()
					defer w.stop()
					w.begin()
					for _, op := range ops {
						w.meet(tr, op)
					}
					w.once()
					w.mannered(t)
				})
			})
		}
	}
}

// A troubled world has a second installation beside the one in trouble.
type troubled struct {
	*world
	other     *githubtest.Repo
	published int // pull requests of the other
}

func newTroubled(t *testing.T, token bool) *troubled {
	return troubledIn(newWorld(t, way{name: "plain", seed: 1}, ""), token)
}

func troubledIn(s *world, token bool) *troubled {
	s.token = token
	s.hub.Latency(50 * time.Millisecond)
	l := githubtest.DefaultLimits()
	l.REST = 100_000 // carol looks every second
	s.hub.Limits(l)
	w := &troubled{world: s}
	w.other = s.hub.Repo("acme/tool", githubtest.RepoOptions{Files: map[string]string{"README.md": "hello\n", ".github/pr-manager.yml": troubledPolicy}})
	w.other.Grant(s.hub.User("alice"), githubtest.CanWrite)
	w.other.Grant(s.hub.User("carol"), githubtest.CanMaintain)
	w.other.Grant(s.hub.User("robot"), githubtest.CanWrite)
	return w
}

func (w *troubled) begin() {
	w.policy(troubledPolicy)
	w.start()
	if !w.token {
		w.self.Install(w.hub.Org("acme"), w.other)
	}
	w.settle()
}

// A step of a pull request's life: what happens, and how it shows that the service has done its part.
type step struct {
	do   func()
	done func() string // what is still wrong, or ""
}

func (w *troubled) life(op string) (*githubtest.PR, []step) {
	alice := w.hub.User("alice")
	branch := "topic-" + strings.ReplaceAll(op, ".", "-")
	w.repo.Push(branch, map[string]string{"docs/" + branch + ".md": op + "\n"}, "Write", alice)
	var pr *githubtest.PR
	looks := func(state, report string, labels ...string) func() string {
		return func() string {
			got := pr.Labels()
			slices.Sort(got)
			r, err := w.reportOf(pr.Head())
			if err != nil {
				w.t.Fatal(err)
			}
			there := w.repo.Tip(branch) != ""
			if pr.State() != state || !slices.Equal(got, labels) || r.state != report || there != (state == "open") {
				return fmt.Sprintf("it is %s with labels %v and report %s %q, its branch is there: %v; want %s, %v, %s", pr.State(), got, r.state, r.title, there, state, labels, report)
			}
			return ""
		}
	}
	pr = w.repo.Open(alice, branch, "main", "wip: "+op, "")
	w.pulls[branch] = pr
	return pr, []step{
		{func() {}, looks("open", "waiting", "documentation", "wip")},
		{func() { pr.Edit(alice, "Write about "+op, "") }, looks("open", "waiting", "documentation")},
		{func() { w.repo.Check(pr.Head(), w.ci, "build", "completed", "success") }, looks("merged", "good", "documentation")},
	}
}

// meet lets a pull request live while an operation meets a trouble.
func (w *troubled) meet(tr trouble, op string) {
	t := w.t
	t.Helper()
	f := tr.fault
	f.Op, f.Repo = op, "octo/app"
	if f.Times = 1; tr.lasts > 0 {
		f.Times = -1
	}
	before := len(w.hub.Journal())
	fault := w.hub.Fail(f)
	pr, steps := w.life(op)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s meets %s: %s\n%s", op, tr.name, fmt.Sprintf(format, args...), w.log.tail(40))
	}
	var met, healed time.Time // when the trouble was met, and over
	limit := 3 * time.Hour
	for _, st := range steps {
		st.do()
		for since := time.Now(); ; {
			w.run(time.Second)
			if met.IsZero() && fault.Hits() > 0 {
				met = time.Now()
				healed = met.Add(max(f.RetryAfter, map[bool]time.Duration{true: time.Minute}[f.Kind == githubtest.Secondary && f.RetryAfter == 0]))
				if tr.lasts > 0 {
					healed = met.Add(tr.lasts)
				}
				if wrong := w.unaffected(); wrong != "" && !w.token { // everything is one account's with a token
					fail("the other installation: %s", wrong)
				}
			}
			if !met.IsZero() && !time.Now().Before(healed) && f.Times < 0 {
				f.Times = 0
				if tr.stays != "" {
					w.givenUp(tr, op, pr, fault, fail)
				}
				fault.Heal()
				if tr.stays != "" {
					pr.Edit(w.hub.User("alice"), "", "Somebody cares") // what was given up lives again
				}
			}
			wrong := st.done()
			if wrong == "" && (met.IsZero() || !time.Now().Before(healed)) {
				break
			}
			late := !met.IsZero() && time.Since(healed) > time.Minute+5*time.Second && time.Since(since) > time.Minute
			if tr.stays != "" {
				late = time.Since(since) > limit
			}
			if late || time.Since(since) > limit {
				fail("%v after it was over: %s", time.Since(healed), wrong)
				return
			}
		}
	}
	if met.IsZero() {
		fail("it was never met")
	}
	w.settle()
	for what, n := range applied(w.hub.Journal()[before:]) {
		if n > 1 && !strings.HasPrefix(what, "status") && !strings.HasPrefix(what, "check.update") {
			fail("%d × %s: that must happen once", n, what)
		}
	}
}

// unaffected opens a pull request where there is no trouble, and says what is wrong after five seconds.
func (w *troubled) unaffected() string {
	alice := w.hub.User("alice")
	w.published++
	branch := fmt.Sprintf("other-%d", w.published)
	w.other.Push(branch, map[string]string{"docs/" + branch + ".md": "hello\n"}, "Write", alice)
	pr := w.other.Open(alice, branch, "main", "Write about "+branch, "")
	w.run(5 * time.Second)
	if got := pr.Labels(); !slices.Equal(got, []string{"documentation"}) {
		return fmt.Sprintf("after five seconds the labels are %v", got)
	}
	return ""
}

// givenUp checks that what can't be done was tried a few times and is explained.
func (w *troubled) givenUp(tr trouble, op string, pr *githubtest.PR, fault *githubtest.Injected, fail func(string, ...any)) {
	w.t.Helper()
	most := 7 // six, and one for an event that came meanwhile
	if op == "issues.add-labels" {
		most *= 2 // there are two labels
	}
	if op == pullQuery && (tr.fault.Kind != githubtest.Answer || tr.fault.Status >= 500) {
		most = 60 // an outage is never given up; it is asked about twice a minute at most
	}
	if n := fault.Hits(); n > most {
		fail("it was tried %d times in half an hour, want at most %d", n, most)
	}
	said := w.page("/health") + w.page(fmt.Sprintf("/api/pulls/octo/app/%d", pr.Number())) + w.page(fmt.Sprintf("/pulls/octo/app/%d", pr.Number())) + w.page("/")
	if !strings.Contains(said, tr.stays) && !strings.Contains(said, "GitHub can't be reached") {
		fail("neither the page nor /health says %q:\n%s", tr.stays, said)
	}
}

// page reads a page of the service.
func (s *world) page(path string) string {
	s.mu.Lock()
	h := s.handler
	s.mu.Unlock()
	r := httptest.NewRequest(http.MethodGet, "http://localhost:3001"+path, nil)
	r.RequestURI = ""
	resp, err := githubtest.InProcess(h).RoundTrip(r)
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
