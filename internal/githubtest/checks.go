package githubtest

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Status is a commit status.
type Status struct {
	id          int64
	nodeID      string
	repo        *Repo
	sha         string
	context     string
	state       string // error, failure, pending, success
	description string
	targetURL   string
	creator     *User
	created     time.Time
}

// A suite is the check suite of one App on one commit.
type suite struct {
	id      int64
	nodeID  string
	repo    *Repo
	app     *App
	sha     string
	created time.Time
	updated time.Time
}

// Check is a check run.
type Check struct {
	id         int64
	nodeID     string
	repo       *Repo
	suite      *suite
	name       string
	status     string // queued, in_progress, completed, …
	conclusion string // "" until completed
	externalID string
	detailsURL string
	title      string
	summary    string
	text       string
	started    time.Time
	completed  time.Time
}

// Status reports a commit status: "success", "failure", "error" or "pending".
func (r *Repo) Status(sha, context, state string, by *User) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.setStatus(&Status{sha: sha, context: context, state: state}, actor{user: by})
}

func (r *Repo) setStatus(st *Status, by actor) *Status {
	st.id, st.repo, st.creator, st.created = r.s.id("status"), r, by.user, r.s.now()
	st.nodeID = r.s.node("SC", st.id, st)
	r.statuses[st.sha] = append(r.statuses[st.sha], st)
	r.s.fireStatus(st, by)
	r.settleQueues(st.sha)
	return st
}

// Check reports a new check run by an App: status "queued", "in_progress" or "completed" with a conclusion. Several
// runs of one name may exist; the newest is what GitHub's own rules count.
func (r *Repo) Check(sha string, app *App, name, status, conclusion string) *Check {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	c := &Check{name: name, status: status, conclusion: conclusion}
	return r.addCheck(c, app, sha, actor{user: app.Bot})
}

// Complete ends a run.
func (c *Check) Complete(conclusion string) {
	c.repo.s.mu.Lock()
	defer c.repo.s.mu.Unlock()
	c.status, c.conclusion = "completed", conclusion
	c.update(actor{user: c.suite.app.Bot})
}

// ID is the run's database id.
func (c *Check) ID() int64 { return c.id }

func (r *Repo) suite(app *App, sha string) *suite {
	for _, su := range r.suites {
		if su.app == app && su.sha == sha {
			return su
		}
	}
	su := &suite{id: r.s.id("suite"), repo: r, app: app, sha: sha, created: r.s.now(), updated: r.s.now()}
	su.nodeID = r.s.node("CS", su.id, su)
	r.suites = append(r.suites, su)
	return su
}

// autoSuites does what GitHub does after a push: it makes a check suite for each installed App that may write checks,
// and asks that App to begin.
func (r *Repo) autoSuites(sha, branch string, by actor) {
	for _, a := range r.s.apps {
		if in := a.installation(r); in != nil && in.permissions["checks"] == "write" && slices.Contains(a.events, "check_suite") {
			r.s.fireSuite("requested", r.suite(a, sha), by)
		}
	}
}

func (r *Repo) addCheck(c *Check, app *App, sha string, by actor) *Check {
	if r.objects.commit(sha) == nil {
		panic(fmt.Sprintf("githubtest: check %s: %s has no commit %s", c.name, r.full(), sha))
	}
	c.id, c.repo, c.suite = r.s.id("run"), r, r.suite(app, sha)
	c.nodeID = r.s.node("CR", c.id, c)
	c.status = cmp.Or(c.status, "queued")
	if c.started.IsZero() {
		c.started = r.s.now()
	}
	c.settle()
	r.runs[sha] = append(r.runs[sha], c)
	r.s.fireCheck("created", c, by)
	if c.status == "completed" {
		r.s.fireCheck("completed", c, by)
		r.suiteDone(c.suite, by)
	}
	r.settleQueues(sha)
	return c
}

// settle keeps status, conclusion and times in step.
func (c *Check) settle() {
	if c.conclusion != "" {
		c.status = "completed"
	}
	if c.status == "completed" && c.completed.IsZero() {
		c.completed = c.repo.s.now()
	}
	if c.status != "completed" {
		c.completed = time.Time{}
	}
	c.suite.updated = c.repo.s.now()
}

func (c *Check) update(by actor) {
	c.settle()
	if c.status == "completed" {
		c.repo.s.fireCheck("completed", c, by)
		c.repo.suiteDone(c.suite, by)
	}
	c.repo.settleQueues(c.suite.sha)
}

func (r *Repo) suiteDone(su *suite, by actor) {
	if status, _ := su.state(); status == "completed" {
		r.s.fireSuite("completed", su, by)
	}
}

// state is the suite's status and conclusion, from its newest runs.
func (su *suite) state() (status, conclusion string) {
	runs := su.runs(true)
	if len(runs) == 0 {
		return "queued", ""
	}
	worst := ""
	for _, c := range runs {
		if c.status != "completed" {
			return "in_progress", ""
		}
		switch {
		case worst == "", checkState(c) == "FAILURE" && worst != "failure":
			worst = c.conclusion
		}
	}
	return "completed", worst
}

// runs are the suite's runs; latest leaves out those with a newer one of their name.
func (su *suite) runs(latest bool) []*Check {
	var out []*Check
	for _, c := range su.repo.runs[su.sha] {
		if c.suite == su {
			out = append(out, c)
		}
	}
	if latest {
		out = newest(out)
	}
	return out
}

func newest(runs []*Check) []*Check {
	type id struct {
		suite *suite
		name  string
	}
	last := map[id]*Check{}
	for _, c := range runs {
		last[id{c.suite, c.name}] = c
	}
	return slices.DeleteFunc(slices.Clone(runs), func(c *Check) bool { return last[id{c.suite, c.name}] != c })
}

// contexts are the newest statuses of a commit, one per context, oldest first.
func (r *Repo) contexts(sha string) []*Status {
	last := map[string]*Status{}
	for _, st := range r.statuses[sha] {
		last[st.context] = st
	}
	var out []*Status
	for _, st := range r.statuses[sha] {
		if last[st.context] == st {
			out = append(out, st)
		}
	}
	return out
}

// checkState is what a run means, as a StatusState.
func checkState(c *Check) string {
	if c.status != "completed" {
		return "PENDING"
	}
	switch c.conclusion {
	case "success", "neutral", "skipped":
		return "SUCCESS"
	}
	return "FAILURE"
}

// rollup is the state of everything that has reported on a commit; ok is false when nothing has.
func (r *Repo) rollup(sha string) (state string, ok bool) {
	seen := map[string]bool{}
	for _, c := range newest(r.runs[sha]) {
		seen[checkState(c)] = true
	}
	for _, st := range r.contexts(sha) {
		seen[map[string]string{"success": "SUCCESS", "pending": "PENDING", "failure": "FAILURE", "error": "ERROR"}[st.state]] = true
	}
	for _, s := range []string{"FAILURE", "ERROR", "PENDING", "SUCCESS"} {
		if seen[s] {
			return s, true
		}
	}
	return "", false
}

// requiredState says how a required check keeps a commit from being merged: "expected", "pending", "failing", or "".
func (r *Repo) requiredState(sha string, want RequiredCheck) string {
	state := "expected"
	words := map[string]string{"SUCCESS": "", "PENDING": "pending", "FAILURE": "failing", "success": "", "pending": "pending", "failure": "failing", "error": "failing"}
	var run *Check
	for _, c := range r.runs[sha] {
		if c.name == want.Context && (want.App == nil || c.suite.app == want.App) {
			run = c
		}
	}
	if run != nil {
		state = words[checkState(run)]
	}
	for _, st := range r.contexts(sha) {
		if st.context == want.Context && (want.App == nil || st.creator == want.App.Bot) && (run == nil || state == "") {
			state = words[st.state]
		}
	}
	return state
}

// required reports whether a merge of the pull request needs the check.
func (pr *PR) required(name string, by *App) bool {
	var all []RequiredCheck
	if p := pr.repo.protected[pr.baseBranch]; p != nil {
		all = p.Checks
	}
	return slices.ContainsFunc(slices.Concat(all, pr.repo.rules[pr.baseBranch].required()), func(c RequiredCheck) bool {
		return c.Context == name && (c.App == nil || c.App == by)
	})
}
