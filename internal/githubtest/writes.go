package githubtest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// writeRoutes are operations that change something, beyond those of rest.go.
var writeRoutes = []*route{
	{method: "POST", pattern: repoPath + "/pulls/{number}/requested_reviewers", op: "pulls.request-reviewers", role: CanTriage, app: "pull_requests:write", handle: onPull((*call).requestReviewers), kind: (*call).reviewersKind},
	{method: "DELETE", pattern: repoPath + "/pulls/{number}/requested_reviewers", op: "pulls.remove-requested-reviewers", role: CanTriage, app: "pull_requests:write", handle: onPull((*call).unrequestReviewers), kind: (*call).reviewersKind},
	{method: "POST", pattern: repoPath + "/issues/{number}/assignees", op: "issues.add-assignees", role: CanRead, app: writePulls, handle: onPull((*call).addAssignees), kind: (*call).assigneesKind},
	{method: "DELETE", pattern: repoPath + "/issues/{number}/assignees", op: "issues.remove-assignees", role: CanRead, app: writePulls, handle: onPull((*call).removeAssignees), kind: (*call).assigneesKind},
	{method: "PUT", pattern: repoPath + "/pulls/{number}/reviews/{review}/dismissals", op: "pulls.dismiss-review", role: CanWrite, app: "pull_requests:write", handle: onPull((*call).dismissReview), kind: (*call).dismissKind},
	{method: "PATCH", pattern: repoPath + "/git/refs/{ref...}", op: "git.update-ref", role: CanWrite, app: "contents:write", handle: (*call).updateRef, kind: func(c *call) (string, string, string) {
		return "ref.update", strings.TrimPrefix(c.vars["ref"], "heads/") + " on " + c.where(), text(c.input()["sha"])
	}},
	{method: "POST", pattern: repoPath + "/check-suites/{suite}/rerequest", op: "checks.rerequest-suite", role: CanWrite, app: "checks:write", handle: onSuite((*call).rerequestSuite), kind: (*call).suiteKind},
	{method: "GET", pattern: repoPath + "/actions/runs", op: "actions.list-workflow-runs-for-repo", role: CanRead, app: "actions:read", appPublic: true, handle: (*call).workflowRuns},
	{method: "POST", pattern: repoPath + "/actions/runs/{run}/rerun-failed-jobs", op: "actions.re-run-workflow-failed-jobs", role: CanWrite, app: "actions:write", handle: onSuite((*call).rerunFailed), kind: (*call).suiteKind},
}

// updateKind says what of a pull request is changed, and to what.
func (c *call) updateKind() (kind, what, sha string) {
	in := c.input()
	for _, field := range []string{"title", "body", "state", "base"} {
		if v, given := in[field]; given {
			what += fmt.Sprintf("%s=%v ", field, v)
		}
	}
	return "pull.update", what + "on " + c.where(), ""
}

// A people is who a request for reviews names.
type people struct {
	Reviewers []string `json:"reviewers"`
	Teams     []string `json:"team_reviewers"`
}

func (c *call) reviewersKind() (kind, what, sha string) {
	var in people
	if c.decode(&in) != nil {
		return "reviewer", "? on " + c.where(), ""
	}
	for i, t := range in.Teams {
		in.Teams[i] = c.vars["owner"] + "/" + t
	}
	kind = map[string]string{"POST": "reviewer.add", "DELETE": "reviewer.remove"}[c.method]
	return kind, strings.Join(slices.Concat(in.Reviewers, in.Teams), ",") + " on " + c.where(), ""
}

// reviewers finds whom a request names. The error is GitHub's about somebody who can't review.
func (c *call) reviewers(pr *PR) ([]*User, []*Team, *apiError) {
	var in people
	if err := c.decode(&in); err != nil {
		return nil, nil, err
	}
	var users []*User
	var teams []*Team
	const outside = "Reviews may only be requested from collaborators. One or more of the %s you specified is not a collaborator of the %s repository."
	for _, login := range in.Reviewers {
		u := c.s.accounts[strings.ToLower(login)]
		switch {
		case u == pr.author:
			return nil, nil, refuse(422, "Review cannot be requested from pull request author.")
		case u == nil || !pr.mayReview(u):
			return nil, nil, refuse(422, fmt.Sprintf(outside, "users or teams", pr.repo.full()))
		}
		users = append(users, u)
	}
	for _, slug := range in.Teams {
		t := pr.repo.owner.team(slug)
		switch {
		case t == nil || pr.repo.teams[t] < CanRead:
			return nil, nil, refuse(422, fmt.Sprintf(outside, "teams", pr.repo.full()))
		case c.auth.token.inst != nil && !permitted(c.auth.token.permissions, "members:read"):
			return nil, nil, refuse(422, fmt.Sprintf("Could not resolve to a node with the global id of '%s'", t.nodeID))
		}
		teams = append(teams, t)
	}
	return users, teams, nil
}

func (c *call) requestReviewers(pr *PR) (reply, *apiError) {
	users, teams, err := c.reviewers(pr)
	if err != nil {
		return reply{}, err
	}
	for _, u := range users {
		pr.ask(request{user: u}, c.auth.actor())
	}
	for _, t := range teams {
		pr.ask(request{team: t}, c.auth.actor())
	}
	return reply{201, pr.json(false, false)}, nil
}

func (c *call) unrequestReviewers(pr *PR) (reply, *apiError) {
	var in people
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Reviewers == nil {
		return reply{}, refuse(422, "Invalid request.\n\n\"reviewers\" wasn't supplied.")
	}
	for _, login := range in.Reviewers {
		if u := c.s.accounts[strings.ToLower(login)]; u != nil {
			pr.unask(u, nil, c.auth.actor())
		}
	}
	for _, slug := range in.Teams {
		if t := pr.repo.owner.team(slug); t != nil {
			pr.unask(nil, t, c.auth.actor())
		}
	}
	return ok(pr.json(false, false))
}

func (c *call) assignees() []string {
	var in struct {
		Assignees []string `json:"assignees"`
	}
	if c.decode(&in) != nil {
		return nil
	}
	return in.Assignees
}

func (c *call) assigneesKind() (kind, what, sha string) {
	kind = map[string]string{"POST": "assignee.add", "DELETE": "assignee.remove"}[c.method]
	return kind, strings.Join(c.assignees(), ",") + " on " + c.where(), ""
}

// addAssignees assigns whom it can. GitHub leaves out the others without a word, and everybody when the caller may not write.
func (c *call) addAssignees(pr *PR) (reply, *apiError) {
	for _, login := range c.assignees() {
		if u := c.s.accounts[strings.ToLower(login)]; u != nil && pr.assignable(u) && c.maySort() {
			pr.assign(u, c.auth.actor())
		}
	}
	return reply{201, pr.issue()}, nil
}

func (c *call) removeAssignees(pr *PR) (reply, *apiError) {
	for _, login := range c.assignees() {
		if u := c.s.accounts[strings.ToLower(login)]; u != nil && c.maySort() {
			pr.unassign(u, c.auth.actor())
		}
	}
	return ok(pr.issue())
}

// maySort reports whether the caller may say whose a pull request is: an App that got here, and people who may triage.
func (c *call) maySort() bool {
	return c.auth.token.inst != nil || c.role(c.repo) >= CanTriage
}

func (c *call) review() *Review {
	n, err := strconv.Atoi(c.vars["number"])
	if err != nil || c.repo == nil {
		return nil
	}
	if pr := c.repo.pull(n); pr != nil {
		for _, rv := range pr.reviews {
			if strconv.FormatInt(rv.id, 10) == c.vars["review"] {
				return rv
			}
		}
	}
	return nil
}

func (c *call) dismissKind() (kind, what, sha string) {
	who := "?"
	if rv := c.review(); rv != nil {
		who, sha = rv.author.Login, rv.commit
	}
	return "review.dismiss", who + " on " + c.where(), sha
}

func (c *call) dismissReview(*PR) (reply, *apiError) {
	var in struct{ Message, Event string }
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	rv := c.review()
	switch {
	case rv == nil:
		return reply{}, refuse(404, "Not Found")
	case strings.TrimSpace(in.Message) == "":
		return reply{}, refuse(422, "Invalid request.\n\n\"message\" wasn't supplied.")
	case rv.state != "APPROVED" && rv.state != "CHANGES_REQUESTED":
		return reply{}, refuse(422, "Can not dismiss a "+strings.ToLower(rv.state)+" pull request review")
	}
	rv.pr.dismiss(rv, c.auth.actor())
	return ok(rv.json(false))
}

// updateRef moves a branch. A merge by hand is held to what the branch's rules ask for, as a push is.
func (c *call) updateRef() (reply, *apiError) {
	var in struct {
		SHA   string `json:"sha"`
		Force bool   `json:"force"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	branch, isHead := strings.CutPrefix(c.vars["ref"], "heads/")
	c.between()
	tip := c.repo.refs[branch]
	if !isHead || tip == "" {
		return reply{}, refuse(422, "Reference does not exist")
	}
	if c.repo.objects.commit(in.SHA) == nil {
		return reply{}, refuse(422, "Object does not exist")
	}
	if !in.Force && !c.repo.objects.contains(in.SHA, tip) {
		return reply{}, refuse(422, "Update is not a fast forward")
	}
	if why := c.repo.pushRefusal(branch, in.SHA, c.auth.user()); why != "" {
		return reply{}, refuse(422, why)
	}
	c.repo.setRef(branch, in.SHA, c.auth.actor(), in.Force)
	return ok(c.repo.refJSON(branch))
}

// pushRefusal is GitHub's sentence about a push of a commit to a branch whose rules don't allow it, or "". A commit that an
// open pull request would bring is let through where that may be merged.
func (r *Repo) pushRefusal(branch, sha string, by *User) string {
	p, rules := r.protected[branch], r.rules[branch]
	for _, pr := range r.pulls {
		if pr.closed || pr.baseBranch != branch || pr.headSHA != sha {
			continue
		}
		switch {
		case rules.MergeQueue:
			return violation("Changes must be made through the merge queue")
		case pr.ruled() != "":
			return pr.ruled()
		case p != nil && (p.EnforceAdmins || r.role(by) < CanAdmin):
			return pr.blocked()
		}
		return ""
	}
	if p != nil && p.Pushers != nil && !slices.Contains(p.Pushers, by) {
		return "You're not authorized to push to this branch. Visit https://docs.github.com/articles/about-protected-branches/ for more information."
	}
	return ""
}

// bringUpToDate brings the base's commits into a pull request's head: by a merge, or by replaying the head's commits.
func (c *call) bringUpToDate(pr *PR, expected string, rebase bool) *apiError {
	by := c.auth.actor()
	c.between()
	base, o := pr.repo.refs[pr.baseBranch], pr.repo.objects
	switch {
	case expected != "" && expected != pr.headSHA:
		return refuse(422, "expected head sha didn’t match current head ref.")
	case pr.closed || pr.headTip() == "":
		return invalid("PullRequest", "state", "invalid")
	case c.auth.token.inst == nil && pr.headRepo.role(by.user) < CanWrite:
		return refuse(403, "Resource not accessible by personal access token")
	case c.auth.token.inst != nil && !c.covered(pr.headRepo):
		return refuse(403, "Resource not accessible by integration") // a fork that the App is not installed in
	case o.contains(pr.headSHA, base):
		return refuse(422, "There are no new commits on the base branch.")
	}
	sig := by.user.sign(c.s.now())
	if rebase {
		tip, conflict := o.rebase(base, pr.headSHA, sig)
		if conflict {
			return refuse(422, "merge conflict between base and head")
		}
		pr.headRepo.setRef(pr.headBranch, tip, by, true)
		return nil
	}
	m := o.merge(pr.headSHA, base)
	if m.conflict {
		return refuse(422, "merge conflict between base and head")
	}
	sha := o.writeCommit(commit{
		tree: m.tree, parents: []string{pr.headSHA, base}, author: sig, committer: signature{name: "GitHub", email: "noreply@github.com", at: sig.at}, signed: true,
		message: fmt.Sprintf("Merge branch '%s' into %s", pr.baseBranch, pr.headBranch),
	})
	pr.headRepo.setRef(pr.headBranch, sha, by, false)
	return nil
}

// Rebase replays a branch's own commits on another branch, as git does at a person's desk, without the merges among them, and
// pushes the result by force. It panics on a conflict.
func (r *Repo) Rebase(branch, onto string, by *User) string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	commits := slices.DeleteFunc(r.objects.between(r.refs[onto], r.refs[branch]), func(c *commit) bool { return len(c.parents) != 1 })
	tip, conflict := r.objects.replay(r.refs[onto], commits, by.sign(r.s.now()))
	if conflict {
		panic(fmt.Sprintf("githubtest: rebase %s on %s: conflict", branch, onto))
	}
	r.setRef(branch, tip, actor{user: by}, true)
	return tip
}

// setDraft makes a draft of the pull request, or ends that.
func (pr *PR) setDraft(draft bool, by actor) {
	pr.draft = draft
	pr.touch()
	kind, action := "ReadyForReviewEvent", "ready_for_review"
	if draft {
		kind, action = "ConvertToDraftEvent", "converted_to_draft"
		pr.dequeue(by, "MANUAL")
	}
	pr.note(&event{kind: kind, actor: by.user})
	pr.fire(action, by, nil)
}

// actionsSlug is the App that GitHub's own workflows report as. Each of its suites is a run of a workflow.
const actionsSlug = "github-actions"

func (c *call) suite() *suite {
	if c.repo == nil {
		return nil
	}
	for _, su := range c.repo.suites {
		if strconv.FormatInt(su.id, 10) == c.vars["suite"] || su.app.Slug == actionsSlug && strconv.FormatInt(su.workflow(), 10) == c.vars["run"] {
			return su
		}
	}
	return nil
}

// workflow is the id of the workflow run that a suite is.
func (su *suite) workflow() int64 { return su.id + 30_000_000_000 }

func onSuite(f func(*call, *suite) (reply, *apiError)) func(*call) (reply, *apiError) {
	return func(c *call) (reply, *apiError) {
		su := c.suite()
		if su == nil {
			return reply{}, refuse(404, "Not Found")
		}
		return f(c, su)
	}
}

func (c *call) suiteKind() (kind, what, sha string) {
	what = "?"
	if su := c.suite(); su != nil {
		what, sha = su.app.Slug, su.sha
	}
	return map[string]string{"checks.rerequest-suite": "checks.rerequest", "actions.re-run-workflow-failed-jobs": "workflow.rerun"}[c.op], what + " on " + c.where(), sha
}

// rerequestSuite asks the suite's App to begin anew, which is that App's to do.
func (c *call) rerequestSuite(su *suite) (reply, *apiError) {
	if su.app.Slug == actionsSlug {
		return reply{}, refuse(403, "This check suite is not rerequestable")
	}
	su.updated = c.s.now()
	c.s.fireSuite("rerequested", su, c.auth.actor())
	return reply{http.StatusCreated, object{}}, nil
}

func (c *call) workflowRuns() (reply, *apiError) {
	var all []*suite
	for _, su := range c.repo.suites {
		if want := c.query.Get("check_suite_id"); su.app.Slug == actionsSlug && (want == "" || want == strconv.FormatInt(su.id, 10)) {
			all = append(all, su)
		}
	}
	out := []any{}
	for _, su := range page(c, all) {
		out = append(out, su.workflowJSON())
	}
	return ok(object{"total_count": len(all), "workflow_runs": out})
}

// rerunFailed starts the failed jobs of a workflow run again, in the same suite.
func (c *call) rerunFailed(su *suite) (reply, *apiError) {
	status, _ := su.state()
	if status != "completed" {
		return reply{}, refuse(403, "This workflow is already running")
	}
	failed := slices.DeleteFunc(su.runs(true), func(k *Check) bool { return checkState(k) != "FAILURE" })
	if len(failed) == 0 {
		return reply{}, refuse(403, "This workflow run cannot be retried")
	}
	for _, k := range failed {
		c.repo.addCheck(&Check{name: k.name, status: "queued"}, su.app, su.sha, c.auth.actor())
	}
	return reply{http.StatusCreated, object{}}, nil
}

func (su *suite) workflowJSON() object {
	r := su.repo
	status, conclusion := su.state()
	cm := r.objects.commit(su.sha)
	at := r.url("/actions/runs/%d", su.workflow())
	pulls := r.pullsAt(su.sha)
	return object{
		"id": su.workflow(), "name": "CI", "node_id": fmt.Sprintf("WFR_%d", su.workflow()), "check_suite_id": su.id, "check_suite_node_id": su.nodeID,
		"head_branch": r.headBranch(su.sha), "head_sha": su.sha, "path": ".github/workflows/ci.yml", "run_number": 1, "run_attempt": 1, "event": "pull_request",
		"display_title": "CI", "status": status, "conclusion": orNull(conclusion), "workflow_id": 159038, "url": at, "html_url": r.page("/actions/runs/%d", su.workflow()),
		"pull_requests": pulls, "created_at": when(su.created), "updated_at": when(su.updated), "run_started_at": when(su.created), "actor": su.app.Bot.json(), "triggering_actor": su.app.Bot.json(),
		"jobs_url": at + "/jobs", "logs_url": at + "/logs", "check_suite_url": r.url("/check-suites/%d", su.id), "artifacts_url": at + "/artifacts", "cancel_url": at + "/cancel",
		"rerun_url": at + "/rerun", "workflow_url": r.url("/actions/workflows/159038"), "previous_attempt_url": nil, "referenced_workflows": []any{},
		"head_commit": object{
			"id": cm.sha, "tree_id": cm.tree, "message": cm.message, "timestamp": when(cm.committer.at),
			"author": object{"name": cm.author.name, "email": cm.author.email}, "committer": object{"name": cm.committer.name, "email": cm.committer.email},
		},
		"repository": r.json(false), "head_repository": r.json(false),
	}
}
