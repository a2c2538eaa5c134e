package githubtest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// mutate carries a mutation out and returns its errors as "TYPE message", "" when there are none.
func (w *world) mutate(token, name, input string) string {
	w.Helper()
	d := w.do(token, "POST", "/graphql", obj{"query": fmt.Sprintf("mutation { %s(input: {%s}) { clientMutationId } }", name, input)}).json(w.T)
	if d["errors"] == nil {
		if at(d, "data."+name) == nil {
			w.Errorf("%s: no errors, and no answer: %v", name, d)
		}
		return ""
	}
	if at(d, "data."+name) != nil {
		w.Errorf("%s: errors, and yet an answer: %v", name, d)
	}
	e := d["errors"].([]any)[0]
	return fmt.Sprint(at(e, "type"), " ", at(e, "message"))
}

// Each mutation of the schema does what it says, and is refused where GitHub refuses it.
func TestMutations(t *testing.T) {
	w := newWorld(t)
	w.MergeableAfter(0)
	pr := w.open("topic", "a", "a\n")
	w.repo.Rules("queued", githubtest.Ruleset{MergeQueue: true, Checks: []string{"x"}})
	w.repo.Branch("queued", "main", w.bob)
	w.repo.Push("other", map[string]string{"b": "b\n"}, "b", w.alice)
	waits := w.repo.Open(w.alice, "other", "queued", "Wait", "")
	w.repo.Check(waits.Head(), w.ci, "x", "completed", "success")
	said := pr.Comment(w.mallory, "/merge")
	node := func(n int) string {
		return fmt.Sprint(at(w.do(w.carol.Token(), "GET", fmt.Sprint("/repos/octo/app/pulls/", n), nil).json(t), "node_id"))
	}
	comment := fmt.Sprint(at(w.do(w.carol.Token(), "GET", fmt.Sprint("/repos/octo/app/issues/comments/", said.ID()), nil).json(t), "node_id"))
	one, two := fmt.Sprintf("pullRequestId: %q", node(1)), fmt.Sprintf("pullRequestId: %q", node(2))
	head := func(sha string) string { return fmt.Sprintf(", expectedHeadOid: %q", sha) }
	const rebase = ", updateMethod: REBASE"
	old := strings.Repeat("1", 40)

	weak := w.App("weak", githubtest.AppOptions{Permissions: map[string]string{"pull_requests": "write"}})
	few := weak.Install(w.repo.Owner()).Token()
	app, bob, mallory := w.install.Token(), w.bob.Token(), w.mallory.Token()
	w.repo.Push("main", map[string]string{"z": "z\n"}, "z", w.carol)
	before := pr.Head()
	used := map[string]bool{}
	for i, c := range []struct{ token, name, input, want string }{
		{app, "convertPullRequestToDraft", one, ""},
		{app, "convertPullRequestToDraft", one, "UNPROCESSABLE Pull request is already a draft"},
		{few, "markPullRequestReadyForReview", one, "FORBIDDEN Resource not accessible by integration"},
		{mallory, "markPullRequestReadyForReview", one, "FORBIDDEN Resource not accessible by personal access token"},
		{app, "markPullRequestReadyForReview", one, ""},
		{bob, "markPullRequestReadyForReview", one, "UNPROCESSABLE Pull request is not a draft"},
		{app, "markPullRequestReadyForReview", `pullRequestId: "PR_nothing"`, "NOT_FOUND Could not resolve to a node with the global id of 'PR_nothing'"},
		{app, "updatePullRequestBranch", one + head(old) + rebase, "UNPROCESSABLE expected head sha didn’t match current head ref."},
		{app, "updatePullRequestBranch", one + head(before) + rebase, ""},
		{app, "updatePullRequestBranch", one + rebase, "UNPROCESSABLE There are no new commits on the base branch."},
		{app, "enqueuePullRequest", one, "UNPROCESSABLE Merge queue is not enabled on this branch"},
		{app, "enqueuePullRequest", two + head(old), "UNPROCESSABLE Head sha didn't match the expected head sha"},
		{app, "enqueuePullRequest", two + head(waits.Head()), ""},
		{app, "enqueuePullRequest", two, "UNPROCESSABLE Pull request is already in the queue"},
		{app, "dequeuePullRequest", fmt.Sprintf("id: %q", node(2)), ""},
		{app, "dequeuePullRequest", fmt.Sprintf("id: %q", node(2)), "UNPROCESSABLE Pull request is not in the queue"},
		{app, "addReaction", fmt.Sprintf("subjectId: %q, content: EYES", comment), ""},
		{app, "addReaction", fmt.Sprintf("subjectId: %q, content: EYES", comment), ""},
		{mallory, "addReaction", fmt.Sprintf("subjectId: %q, content: THUMBS_UP", comment), ""},
		{app, "addReaction", `subjectId: "IC_gone", content: EYES`, "NOT_FOUND Could not resolve to a node with the global id of 'IC_gone'"},
	} {
		if got := w.mutate(c.token, c.name, c.input); got != c.want {
			t.Errorf("%d: %s(%s) = %q, want %q", i, c.name, c.input, got, c.want)
		}
		used[c.name] = true
	}
	s := gqlparser.MustLoadSchema(&ast.Source{Input: githubtest.Schema()})
	for _, f := range s.Types["Mutation"].Fields {
		if !used[f.Name] {
			t.Errorf("nothing tries %s", f.Name)
		}
	}
	same(t, "reactions", said.Reactions(), []string{"pr-manager[bot] eyes", "mallory +1"})
	var got []string
	for _, j := range w.Journal() {
		if j.Applied {
			got = append(got, j.What)
		}
	}
	same(t, "journal", got, []string{
		"draft octo/app#1", "ready octo/app#1", "branch.update rebase on octo/app#1", "queue.add octo/app#2", "queue.remove octo/app#2",
		"reaction.add eyes on octo/app#1", "reaction.add eyes on octo/app#1", "reaction.add +1 on octo/app#1",
	})
	if u := w.Usage(); u.OverSecondary > 0 {
		t.Errorf("usage = %+v", u)
	}
}

// What the REST API changes beyond labels, checks and merges, with what GitHub says where it does not.
func TestWritesAboutPeopleAndChecks(t *testing.T) {
	w := newWorld(t)
	w.self.Change(githubtest.AppOptions{Permissions: map[string]string{
		"checks": "write", "contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write", "actions": "write", "members": "read",
	}, Events: []string{"pull_request", "pull_request_review", "check_suite", "push"}})
	pr := w.open("topic", "a", "a\n")
	backend := w.Team("octo/backend").Add(w.bob)
	w.repo.GrantTeam(backend, githubtest.CanWrite)
	w.Team("octo/strangers")
	review := pr.Review(w.bob, "approve")
	workflows := w.App("github-actions", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
	workflows.Install(w.repo.Owner(), w.repo)
	w.repo.Check(pr.Head(), workflows, "build", "completed", "failure")
	w.repo.Check(pr.Head(), workflows, "lint", "completed", "success")
	w.repo.Check(pr.Head(), w.ci, "test", "completed", "failure")
	app, mallory := w.install.Token(), w.mallory.Token()
	suites := map[string]string{}
	for _, su := range at(w.do(app, "GET", "/repos/octo/app/commits/topic/check-suites", nil).json(t), "check_suites").([]any) {
		suites[fmt.Sprint(at(su, "app.slug"))] = fmt.Sprintf("%.0f", at(su, "id"))
	}
	run := fmt.Sprintf("%.0f", at(w.do(app, "GET", "/repos/octo/app/actions/runs?check_suite_id="+suites["github-actions"], nil).json(t), "workflow_runs").([]any)[0].(obj)["id"])
	w.events()
	const asked, assigned = "/repos/octo/app/pulls/1/requested_reviewers", "/repos/octo/app/issues/1/assignees"
	dismissal := fmt.Sprintf("/repos/octo/app/pulls/1/reviews/%d/dismissals", review.ID())
	for i, c := range []struct {
		token, method, path string
		body                obj
		status              int
		words               string
	}{
		{app, "POST", asked, obj{"reviewers": []string{"bob"}, "team_reviewers": []string{"backend"}}, 201, ""},
		{app, "POST", asked, obj{"reviewers": []string{"alice"}}, 422, "from pull request author"},
		{app, "POST", asked, obj{"reviewers": []string{"mallory"}}, 422, "users or teams you specified is not a collaborator"},
		{app, "POST", asked, obj{"team_reviewers": []string{"strangers"}}, 422, "teams you specified is not a collaborator"},
		{mallory, "POST", asked, obj{"reviewers": []string{"bob"}}, 403, ""},
		{app, "DELETE", asked, obj{"reviewers": []string{"bob"}}, 200, ""},
		{app, "DELETE", asked, obj{"team_reviewers": []string{"backend"}}, 422, "supplied"},
		{app, "POST", assigned, obj{"assignees": []string{"bob", "mallory", "nobody"}}, 201, ""},
		{mallory, "POST", assigned, obj{"assignees": []string{"carol"}}, 201, ""},
		{mallory, "DELETE", assigned, obj{"assignees": []string{"bob"}}, 200, ""},
		{app, "PUT", dismissal, obj{"message": ""}, 422, "supplied"},
		{app, "PUT", dismissal, obj{"message": "Old."}, 200, ""},
		{app, "PUT", dismissal, obj{"message": "Old."}, 422, "Can not dismiss a dismissed"},
		{app, "POST", "/repos/octo/app/check-suites/" + suites["ci"] + "/rerequest", nil, 201, ""},
		{app, "POST", "/repos/octo/app/check-suites/" + suites["github-actions"] + "/rerequest", nil, 403, "not rerequestable"},
		{app, "POST", "/repos/octo/app/actions/runs/" + run + "/rerun-failed-jobs", nil, 201, ""},
		{app, "POST", "/repos/octo/app/actions/runs/" + run + "/rerun-failed-jobs", nil, 403, "already running"},
		{app, "POST", "/repos/octo/app/actions/runs/1/rerun-failed-jobs", nil, 404, ""},
		{app, "PATCH", "/repos/octo/app/git/refs/heads/nope", obj{"sha": pr.Head()}, 422, "does not exist"},
		{app, "PATCH", "/repos/octo/app/git/refs/heads/topic", obj{"sha": w.repo.Tip("main")}, 422, "not a fast forward"},
		{app, "PATCH", "/repos/octo/app/git/refs/heads/main", obj{"sha": strings.Repeat("1", 40)}, 422, "Object does not exist"},
		{app, "PATCH", "/repos/octo/app/git/refs/heads/main", obj{"sha": pr.Head(), "force": false}, 200, ""},
	} {
		a := w.do(c.token, c.method, c.path, c.body)
		if a.status != c.status || !strings.Contains(string(a.body), c.words) {
			t.Errorf("%d: %s %s %v = %d %s, want %d %q", i, c.method, c.path, c.body, a.status, a.body, c.status, c.words)
		}
	}
	same(t, "requested", pr.Requested(), []string{"octo/backend"})
	same(t, "assigned", pr.Assignees(), []string{"bob"})
	eq(t, "the review", review.State(), "DISMISSED")
	eq(t, "after the base was moved to its head", pr.State(), "merged")
	var statuses []string
	for _, c := range at(w.do(app, "GET", "/repos/octo/app/commits/topic/check-runs", nil).json(t), "check_runs").([]any) {
		statuses = append(statuses, fmt.Sprint(at(c, "name"), " ", at(c, "status")))
	}
	slices.Sort(statuses)
	same(t, "runs", statuses, []string{"build queued", "lint completed", "test completed"})
	events := map[string]int{}
	for _, e := range w.events() {
		events[e]++
	}
	want := map[string]int{
		"pull_request.review_requested": 2, "pull_request.review_request_removed": 1, "pull_request.assigned": 1, "pull_request_review.dismissed": 1,
		"pull_request.closed": 1, "push": 1, "check_suite.requested": 1,
	}
	if !maps.Equal(events, want) {
		t.Errorf("events = %v, want %v", events, want)
	}
}

// A squash says what it is told to, also nothing, and without being told what GitHub makes of the commits.
func TestWhatAMergeSays(t *testing.T) {
	for _, c := range []struct {
		name string
		body obj
		want string
	}{
		{"nothing is said", obj{"merge_method": "squash"}, "Change a (#1)\n\n* Change a\n\n* More"},
		{"a title and a body", obj{"merge_method": "squash", "commit_title": "Do it", "commit_message": "For this."}, "Do it\n\nFor this."},
		{"a title and no body", obj{"merge_method": "squash", "commit_title": "Do it", "commit_message": ""}, "Do it"},
		{"a merge commit", obj{"commit_title": "Do it", "commit_message": "For this."}, "Do it\n\nFor this."},
		{"a merge commit of GitHub's", obj{}, "Merge pull request #1 from octo/topic\n\nChange a"},
	} {
		w := newWorld(t)
		w.open("topic", "a", "a\n")
		w.repo.Push("topic", map[string]string{"a": "b\n"}, "More", w.alice)
		a := w.do(w.install.Token(), "PUT", "/repos/octo/app/pulls/1/merge", c.body).json(t)
		got := at(w.do("", "GET", fmt.Sprint("/repos/octo/app/commits/", a["sha"]), nil).json(t), "commit.message")
		eq(t, c.name, strings.TrimSpace(fmt.Sprint(got)), c.want)
	}
}
