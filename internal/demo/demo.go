// Package demo is a small company that never stops working: authors, reviewers and a CI who open, review, break, fix
// and get pull requests merged in a simulated GitHub, so that a newcomer sees the service at work without an account.
//
// It owns the cast and its habits: who is there, what their repositories' policies say, and the stories that their pull
// requests go through (stories.go). It never speaks to the service. Everything that the service learns, it learns as
// from the real GitHub: by webhooks and by asking.
//
// New builds the world and its opening scene; Run plays until its context ends. Several pull requests are under way at
// any time, and at least one is stuck for a reason worth reading.
package demo

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// Options are what a cast needs to know.
type Options struct {
	// Hook is where the App's webhook goes, and the secret that it is signed with.
	Hook, Secret string
	// Pace is the beat of the play: most things take a few beats. 0 is one second.
	Pace time.Duration
	// Seed repeats a play.
	Seed uint64
	Log  *slog.Logger
}

// App is what the service needs to act in the demo's GitHub.
type App struct {
	ID  int64
	Key string // PEM
}

// How busy the company is. GitHub wants a second between two writes, and a pull request takes the service about ten: a
// company that opens them faster than it can be served shows a queue and little else.
const (
	crowd   = 9  // pull requests open at a time, about
	between = 14 // beats from one new pull request to the next
)

// A Cast is the company at work. Make it with New.
type Cast struct {
	world *githubtest.Server
	o     Options
	rand  *rand.Rand
	app   *githubtest.App
	ci    *githubtest.App

	mira, tom, yuki, sam *githubtest.User // maintainer, and three who may write
	noor                 *githubtest.User // contributes from a fork

	projects []*project
	now      func() time.Time
	agenda   agenda
	serial   int
	open     int
}

// A project is one repository with its policy.
type project struct {
	*githubtest.Repo
	fork  *githubtest.Repo
	areas []area
}

// An area is a part of a project that people work on.
type area struct {
	dir, ext string
	topics   []string
}

// New makes the company in a new world: accounts, repositories with policies, the CI, and the App that the service
// acts as. The first pull requests are opened when Run begins.
func New(w *githubtest.Server, o Options) *Cast {
	if o.Pace <= 0 {
		o.Pace = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cast{world: w, o: o, rand: rand.New(rand.NewPCG(o.Seed, 7)), now: time.Now}
	c.mira, c.tom, c.yuki, c.sam = w.User("mira"), w.User("tom"), w.User("yuki"), w.User("sam")
	c.noor = w.User("noor")
	c.ci = w.App("acme-ci", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
	c.app = w.App("pr-manager", githubtest.AppOptions{
		Permissions: map[string]string{
			"checks": "write", "contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write", "actions": "write",
			"merge_queues": "read", "members": "read",
		},
		Events: []string{
			"pull_request", "pull_request_review", "pull_request_review_comment", "pull_request_review_thread", "issue_comment", "check_run",
			"check_suite", "status", "push", "merge_group",
		},
	})

	acme := w.Org("acme")
	c.projects = []*project{
		c.project("acme/shop", shopPolicy, []area{
			{"web", ".ts", []string{"the basket", "the search box", "the login form", "the product page", "keyboard navigation"}},
			{"server", ".go", []string{"the order queue", "price rounding", "the stock cache", "retries of payments"}},
			{"docs", ".md", []string{"the deployment guide", "the API examples", "the glossary"}},
		}),
		c.project("acme/billing", billingPolicy, []area{
			{"ledger", ".go", []string{"rounding of refunds", "the month's end", "the audit trail"}},
			{"docs", ".md", []string{"the tax table", "the upgrade notes"}},
		}),
		c.project("acme/website", websitePolicy, []area{
			{"pages", ".html", []string{"the front page", "the job offers", "the imprint"}},
		}),
	}
	repos := make([]*githubtest.Repo, 0, len(c.projects))
	for _, p := range c.projects {
		repos = append(repos, p.Repo)
	}
	c.ci.Install(acme, repos...)
	c.app.Hook(githubtest.HookOptions{URL: o.Hook, Secret: o.Secret})
	c.app.Install(acme, repos...)
	return c
}

// App returns the credentials of the App that is installed in the company's repositories.
func (c *Cast) App() App { return App{ID: c.app.ID, Key: c.app.PrivateKey()} }

func (c *Cast) project(name, policy string, areas []area) *project {
	files := map[string]string{"README.md": "# " + name + "\n", ".github/pr-manager.yml": policy}
	for _, a := range areas {
		files[a.dir+"/index"+a.ext] = "first line\n"
	}
	p := &project{Repo: c.world.Repo(name, githubtest.RepoOptions{Files: files}), areas: areas}
	p.Grant(c.mira, githubtest.CanMaintain)
	for _, u := range []*githubtest.User{c.tom, c.yuki, c.sam} {
		p.Grant(u, githubtest.CanWrite)
	}
	return p
}

// Run plays until ctx ends.
func (c *Cast) Run(ctx context.Context) error {
	c.opening()
	for {
		next, ok := c.agenda.next()
		if !ok || !wait(ctx, next.at.Sub(c.now())) {
			return nil // unreachable but for ctx: there is always a next beginning
		}
		heap.Pop(&c.agenda)
		next.do()
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// after plans a step some beats from now, give or take a third.
func (c *Cast) after(beats float64, do func()) {
	d := time.Duration(beats * (0.67 + 0.66*c.rand.Float64()) * float64(c.o.Pace))
	c.agenda.add(step{at: c.now().Add(d), do: do})
}

// pick chooses one at random.
func pick[T any](c *Cast, of ...T) T { return of[c.rand.IntN(len(of))] }

// other chooses a colleague who may write and is not u.
func (c *Cast) other(u *githubtest.User) *githubtest.User {
	for {
		if r := pick(c, c.tom, c.yuki, c.sam, c.mira); r != u {
			return r
		}
	}
}

// A step is something that somebody is going to do.
type step struct {
	at  time.Time
	seq int
	do  func()
}

// An agenda is what is going to happen, soonest first.
type agenda struct {
	steps []step
	seq   int
}

func (a *agenda) Len() int { return len(a.steps) }
func (a *agenda) Less(i, j int) bool {
	if !a.steps[i].at.Equal(a.steps[j].at) {
		return a.steps[i].at.Before(a.steps[j].at)
	}
	return a.steps[i].seq < a.steps[j].seq
}
func (a *agenda) Swap(i, j int) { a.steps[i], a.steps[j] = a.steps[j], a.steps[i] }
func (a *agenda) Push(x any)    { a.steps = append(a.steps, x.(step)) }

// Pop is heap.Interface's.
func (a *agenda) Pop() any {
	last := a.steps[len(a.steps)-1]
	a.steps = a.steps[:len(a.steps)-1]
	return last
}

func (a *agenda) add(s step) {
	a.seq++
	s.seq = a.seq
	heap.Push(a, s)
}

func (a *agenda) next() (step, bool) {
	if len(a.steps) == 0 {
		return step{}, false
	}
	return a.steps[0], true
}

// branch numbers a change's branch, so that no two have one name.
func (c *Cast) branch(prefix string) string {
	c.serial++
	return fmt.Sprintf("%s-%d", prefix, c.serial)
}
