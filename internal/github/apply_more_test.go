package github

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Every kind of action is carried out by something, and nothing else is.
func TestEveryKindOfActionIsCarriedOut(t *testing.T) {
	for _, k := range pull.ActionKinds {
		if writes[k] == nil {
			t.Errorf("nothing carries out %q", k)
		}
	}
	if len(writes) != len(pull.ActionKinds) {
		t.Errorf("%d kinds are carried out, and there are %d", len(writes), len(pull.ActionKinds))
	}
}

// A step is a request that an action makes, and GitHub's answer to it.
type step struct {
	method, path string // with the query
	body         string // of REST; of GraphQL the name of the operation and its variables
	status       int
	answer       string
}

func rest(method, path, body string, status int, answer string) step {
	return step{method, "/repos/octo/app" + path, body, status, answer}
}

func mutation(name, vars, answer string) step {
	return step{"POST", "/graphql", name + " " + vars, 200, answer}
}

// refused is GitHub's answer to a mutation that it does not carry out.
func refused(kind, message string) string {
	return fmt.Sprintf(`{"data":{"x":null},"errors":[{"type":%q,"path":["x"],"message":%q}]}`, kind, message)
}

// What every kind of action asks of GitHub, step by step, and what becomes of GitHub's answers.
func TestActionsStepByStep(t *testing.T) {
	const (
		pulls  = "/pulls/7"
		issue  = "/issues/7"
		asked  = `{"requested_reviewers":[{"login":"Bob"}],"requested_teams":[{"slug":"backend"}]}`
		nobody = `{"requested_reviewers":[],"requested_teams":[]}`
		one    = `{"assignees":[{"login":"Bob"}]}`
		none   = `{"assignees":[]}`
		open   = `{"state":"open","head":{"sha":"aaaa"},"base":{"ref":"main"}}`
		done   = `{"data":{"x":{"ok":true}}}`
	)
	at := func(a pull.Action) pull.Action { a.SHA, a.Target = "aaaa", "aaaa"; return a }
	coloured := pull.Action{Kind: pull.AddLabel, Target: "bug", Color: "d73a4a", Description: "It is broken"}
	ff := at(pull.Action{Kind: pull.Merge, Method: pull.FastForward})
	squash := at(pull.Action{Kind: pull.Merge, Method: pull.Squash, Title: "Do it (#7)", Body: ""})
	blank := squash
	blank.Blank = true
	update, rebase := at(pull.Action{Kind: pull.UpdateBranch, Method: pull.MergeCommit}), at(pull.Action{Kind: pull.UpdateBranch, Method: pull.Rebase})
	enqueue, dequeue := at(pull.Action{Kind: pull.Enqueue}), at(pull.Action{Kind: pull.Dequeue})
	approve := at(pull.Action{Kind: pull.Approve, Body: "Fine.\n\n<!-- pr-manager:x -->"})
	retarget := pull.Action{Kind: pull.Retarget, Target: "9", Branch: "main"}
	react := pull.Action{Kind: pull.React, Target: "IC_1:+1", Node: "IC_1"}
	const headIs = `{"head":"aaaa","pull":"PR_7"}`
	for _, c := range []struct {
		name   string
		action pull.Action
		steps  []step
		id     int64
		class  pull.FaultClass // "": it is done
		words  string          // of the fault
	}{
		{"a label that is there keeps its looks", coloured, []step{
			rest("GET", "/labels/bug", "", 200, `{"name":"bug","color":"ffffff"}`),
			rest("POST", issue+"/labels", `{"labels":["bug"]}`, 200, `[{"id":5,"name":"bug"}]`),
		}, 5, "", ""},
		{"a label that is not there is made", coloured, []step{
			rest("GET", "/labels/bug", "", 404, `{"message":"Not Found"}`),
			rest("POST", "/labels", `{"name":"bug","color":"d73a4a","description":"It is broken"}`, 201, `{}`),
			rest("POST", issue+"/labels", `{"labels":["bug"]}`, 200, `[{"id":5,"name":"bug"}]`),
		}, 5, "", ""},
		{"a label that somebody made meanwhile", coloured, []step{
			rest("GET", "/labels/bug", "", 404, `{"message":"Not Found"}`),
			rest("POST", "/labels", `{"name":"bug","color":"d73a4a","description":"It is broken"}`, 422, `{"message":"Validation Failed","errors":[{"resource":"Label","code":"already_exists","field":"name"}]}`),
			rest("POST", issue+"/labels", `{"labels":["bug"]}`, 200, `[{"id":5,"name":"bug"}]`),
		}, 5, "", ""},
		{"a label whose making is unclear", coloured, []step{
			rest("GET", "/labels/bug", "", 404, `{"message":"Not Found"}`),
			rest("POST", "/labels", `{"name":"bug","color":"d73a4a","description":"It is broken"}`, 502, ``),
		}, 0, pull.FaultUnclear, ""},

		{"ask somebody", pull.Action{Kind: pull.AskReview, Target: "bob"}, []step{rest("POST", pulls+"/requested_reviewers", `{"reviewers":["bob"]}`, 201, asked)}, 0, "", ""},
		{"ask a team", pull.Action{Kind: pull.AskReview, Target: "Octo/backend"}, []step{rest("POST", pulls+"/requested_reviewers", `{"reviewers":[],"team_reviewers":["backend"]}`, 201, asked)}, 0, "", ""},
		{"ask a team of others", pull.Action{Kind: pull.AskReview, Target: "acme/backend"}, nil, 0, pull.FaultRefused, "only teams of octo"},
		{"ask the author", pull.Action{Kind: pull.AskReview, Target: "alice"}, []step{rest("POST", pulls+"/requested_reviewers", `{"reviewers":["alice"]}`, 422, `{"message":"Review cannot be requested from pull request author."}`)}, 0, pull.FaultRefused, "from pull request author"},
		{"ask who is not heard of again", pull.Action{Kind: pull.AskReview, Target: "ghost"}, []step{rest("POST", pulls+"/requested_reviewers", `{"reviewers":["ghost"]}`, 201, nobody)}, 0, pull.FaultRefused, "did not ask ghost"},
		{"no longer ask somebody", pull.Action{Kind: pull.UnaskReview, Target: "bob"}, []step{rest("DELETE", pulls+"/requested_reviewers", `{"reviewers":["bob"]}`, 200, nobody)}, 0, "", ""},
		{"no longer ask a team", pull.Action{Kind: pull.UnaskReview, Target: "octo/backend"}, []step{rest("DELETE", pulls+"/requested_reviewers", `{"reviewers":[],"team_reviewers":["backend"]}`, 200, nobody)}, 0, "", ""},
		{"assign somebody", pull.Action{Kind: pull.Assign, Target: "bob"}, []step{rest("POST", issue+"/assignees", `{"assignees":["bob"]}`, 201, one)}, 0, "", ""},
		{"assign who can't be", pull.Action{Kind: pull.Assign, Target: "ghost"}, []step{rest("POST", issue+"/assignees", `{"assignees":["ghost"]}`, 201, one)}, 0, pull.FaultRefused, "does not let ghost be assigned"},
		{"unassign somebody", pull.Action{Kind: pull.Unassign, Target: "bob"}, []step{rest("DELETE", issue+"/assignees", `{"assignees":["bob"]}`, 200, none)}, 0, "", ""},
		{"unassign without the right to", pull.Action{Kind: pull.Unassign, Target: "bob"}, []step{rest("DELETE", issue+"/assignees", `{"assignees":["bob"]}`, 200, one)}, 0, pull.FaultRefused, "stays assigned"},

		{"retitle", pull.Action{Kind: pull.Retitle, Target: "c1", Title: "Better"}, []step{rest("PATCH", pulls, `{"title":"Better"}`, 200, `{}`)}, 0, "", ""},
		{"retitle to nothing", pull.Action{Kind: pull.Retitle, Target: "c1", Title: " "}, nil, 0, pull.FaultRefused, "say something"},
		{"close", at(pull.Action{Kind: pull.Close}), []step{rest("PATCH", pulls, `{"state":"closed"}`, 200, `{}`)}, 0, "", ""},
		{"reopen", pull.Action{Kind: pull.Reopen, Target: "c1"}, []step{rest("PATCH", pulls, `{"state":"open"}`, 200, `{}`)}, 0, "", ""},
		{"reopen what can't be", pull.Action{Kind: pull.Reopen, Target: "c1"}, []step{rest("PATCH", pulls, `{"state":"open"}`, 422, `{"message":"Validation Failed","errors":[{"message":"state cannot be changed. The topic branch has been deleted."}]}`)}, 0, pull.FaultRefused, "has been deleted"},
		{"ready", pull.Action{Kind: pull.MarkReady, Target: "aaaa"}, []step{mutation("MarkReady", `{"pull":"PR_7"}`, done)}, 0, "", ""},
		{"ready already", pull.Action{Kind: pull.MarkReady, Target: "aaaa"}, []step{mutation("MarkReady", `{"pull":"PR_7"}`, refused("UNPROCESSABLE", "Pull request is not a draft"))}, 0, "", ""},
		{"ready without the right to", pull.Action{Kind: pull.MarkReady, Target: "aaaa"}, []step{mutation("MarkReady", `{"pull":"PR_7"}`, refused("FORBIDDEN", "Resource not accessible by integration"))}, 0, pull.FaultRefused, "not accessible"},
		{"draft", pull.Action{Kind: pull.MarkDraft, Target: "aaaa"}, []step{mutation("MarkDraft", `{"pull":"PR_7"}`, done)}, 0, "", ""},
		{"draft already", pull.Action{Kind: pull.MarkDraft, Target: "aaaa"}, []step{mutation("MarkDraft", `{"pull":"PR_7"}`, refused("UNPROCESSABLE", "Pull request is already a draft"))}, 0, "", ""},

		{"approve", approve, []step{rest("POST", pulls+"/reviews", `{"commit_id":"aaaa","event":"APPROVE","body":"Fine.\n\n\u003c!-- pr-manager:x --\u003e"}`, 200, `{"id":81}`)}, 81, "", ""},
		{"approve one's own", approve, []step{rest("POST", pulls+"/reviews", `{"commit_id":"aaaa","event":"APPROVE","body":"Fine.\n\n\u003c!-- pr-manager:x --\u003e"}`, 422, `{"message":"Unprocessable Entity","errors":["Can not approve your own pull request"]}`)}, 0, pull.FaultRefused, "your own"},
		{"take an approval back", pull.Action{Kind: pull.Unapprove, Target: "81", Why: "It was pushed to."}, []step{rest("PUT", pulls+"/reviews/81/dismissals", `{"event":"DISMISS","message":"It was pushed to."}`, 200, `{}`)}, 0, "", ""},
		{"take one back that is dismissed", pull.Action{Kind: pull.Unapprove, Target: "81"}, []step{rest("PUT", pulls+"/reviews/81/dismissals", `{"event":"DISMISS","message":"It no longer holds."}`, 422, `{"message":"Can not dismiss a dismissed pull request review"}`)}, 0, "", ""},

		{"run a suite again", pull.Action{Kind: pull.Rerun, Target: "118:c1"}, []step{rest("POST", "/check-suites/118/rerequest", ``, 201, `{}`)}, 0, "", ""},
		{"run a workflow again", pull.Action{Kind: pull.Rerun, Target: "119:c1"}, []step{
			rest("GET", "/actions/runs?check_suite_id=119&per_page=10", ``, 200, `{"total_count":1,"workflow_runs":[{"id":30}]}`),
			rest("POST", "/actions/runs/30/rerun-failed-jobs", ``, 201, `{}`),
		}, 0, "", ""},
		{"run a workflow again that is running", pull.Action{Kind: pull.Rerun, Target: "119"}, []step{
			rest("GET", "/actions/runs?check_suite_id=119&per_page=10", ``, 200, `{"total_count":1,"workflow_runs":[{"id":30}]}`),
			rest("POST", "/actions/runs/30/rerun-failed-jobs", ``, 403, `{"message":"This workflow is already running"}`),
		}, 0, "", ""},
		{"run an old workflow again", pull.Action{Kind: pull.Rerun, Target: "119"}, []step{
			rest("GET", "/actions/runs?check_suite_id=119&per_page=10", ``, 200, `{"total_count":1,"workflow_runs":[{"id":30}]}`),
			rest("POST", "/actions/runs/30/rerun-failed-jobs", ``, 403, `{"message":"Unable to retry this workflow run because it was created over a month ago"}`),
		}, 0, pull.FaultRefused, "over a month ago"},
		{"run a workflow again that is gone", pull.Action{Kind: pull.Rerun, Target: "119"}, []step{
			rest("GET", "/actions/runs?check_suite_id=119&per_page=10", ``, 200, `{"total_count":0,"workflow_runs":[]}`),
		}, 0, pull.FaultRefused, "no workflow run"},
		{"run nothing again", pull.Action{Kind: pull.Rerun, Target: "c1"}, nil, 0, pull.FaultRefused, "name the suite"},

		{"merge the base into it", update, []step{rest("PUT", pulls+"/update-branch", `{"expected_head_sha":"aaaa"}`, 202, `{"message":"Updating pull request branch."}`)}, 0, "", ""},
		{"update after a push", update, []step{rest("PUT", pulls+"/update-branch", `{"expected_head_sha":"aaaa"}`, 422, `{"message":"expected head sha didn’t match current head ref."}`)}, 0, pull.FaultMoved, ""},
		{"update what is up to date", update, []step{rest("PUT", pulls+"/update-branch", `{"expected_head_sha":"aaaa"}`, 422, `{"message":"There are no new commits on the base branch."}`)}, 0, "", ""},
		{"update against a conflict", update, []step{rest("PUT", pulls+"/update-branch", `{"expected_head_sha":"aaaa"}`, 422, `{"message":"merge conflict between base and head"}`)}, 0, pull.FaultRefused, "conflict"},
		{"rebase", rebase, []step{mutation("RebaseBranch", headIs, done)}, 0, "", ""},
		{"rebase after a push", rebase, []step{mutation("RebaseBranch", headIs, refused("UNPROCESSABLE", "expected head oid didn't match current head ref."))}, 0, pull.FaultMoved, ""},
		{"rebase of stale data", rebase, []step{mutation("RebaseBranch", headIs, refused("STALE_DATA", "it has moved"))}, 0, pull.FaultMoved, ""},
		{"rebase against a conflict", rebase, []step{mutation("RebaseBranch", headIs, refused("UNPROCESSABLE", "merge conflict between base and head"))}, 0, pull.FaultRefused, "conflict"},
		{"rebase, and GitHub trips", rebase, []step{mutation("RebaseBranch", headIs, `{"data":null,"errors":[{"message":"Something went wrong while executing your query."}]}`)}, 0, pull.FaultUnclear, ""},
		{"rebase, and nothing is said", rebase, []step{mutation("RebaseBranch", headIs, `{"data":{"updatePullRequestBranch":null}}`)}, 0, pull.FaultUnclear, ""},
		{"rebase at a server that can't", rebase, []step{mutation("RebaseBranch", headIs, `{"errors":[{"message":"Field 'updatePullRequestBranch' doesn't exist on type 'Mutation'","extensions":{"code":"undefinedField"}}]}`)}, 0, pull.FaultRefused, ""},
		{"rebase, too often", rebase, []step{mutation("RebaseBranch", headIs, `{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded"}]}`)}, 0, pull.FaultThrottled, ""},
		{"rebase, and a gateway answers", rebase, []step{{"POST", "/graphql", "RebaseBranch " + headIs, 502, `<html>`}}, 0, pull.FaultUnclear, ""},

		{"enqueue", enqueue, []step{mutation("Enqueue", headIs, done)}, 0, "", ""},
		{"enqueue what is queued", enqueue, []step{mutation("Enqueue", headIs, refused("UNPROCESSABLE", "Pull request is already in the queue"))}, 0, "", ""},
		{"enqueue after a push", enqueue, []step{mutation("Enqueue", headIs, refused("UNPROCESSABLE", "Pull request head sha does not match"))}, 0, pull.FaultMoved, ""},
		{"enqueue too early", enqueue, []step{mutation("Enqueue", headIs, refused("UNPROCESSABLE", "Pull request Required status check \"x\" is expected."))}, 0, pull.FaultPassing, "expected"},
		{"enqueue without the right to", enqueue, []step{mutation("Enqueue", headIs, refused("FORBIDDEN", "Resource not accessible by integration"))}, 0, pull.FaultRefused, ""},
		{"dequeue", dequeue, []step{mutation("Dequeue", `{"pull":"PR_7"}`, done)}, 0, "", ""},
		{"dequeue what is not queued", dequeue, []step{mutation("Dequeue", `{"pull":"PR_7"}`, refused("UNPROCESSABLE", "Pull request is not in the queue"))}, 0, "", ""},

		{"squash with a title, and the body left to GitHub", squash, []step{rest("PUT", pulls+"/merge", `{"sha":"aaaa","merge_method":"squash","commit_title":"Do it (#7)"}`, 200, `{"merged":true}`)}, 0, "", ""},
		{"squash with a title and no body", blank, []step{rest("PUT", pulls+"/merge", `{"sha":"aaaa","merge_method":"squash","commit_title":"Do it (#7)","commit_message":""}`, 200, `{"merged":true}`)}, 0, "", ""},
		{"fast-forward", ff, []step{
			rest("GET", pulls, "", 200, open),
			rest("PATCH", "/git/refs/heads/main", `{"sha":"aaaa","force":false}`, 200, `{}`),
		}, 0, "", ""},
		{"fast-forward after a push", ff, []step{rest("GET", pulls, "", 200, strings.Replace(open, "aaaa", "bbbb", 1))}, 0, pull.FaultMoved, "modified"},
		{"fast-forward of what is closed", ff, []step{rest("GET", pulls, "", 200, strings.Replace(open, "open", "closed", 1))}, 0, pull.FaultMoved, "not open"},
		{"fast-forward of what goes elsewhere", ff, []step{rest("GET", pulls, "", 200, strings.Replace(open, "main", "next", 1))}, 0, pull.FaultMoved, "another branch"},
		{"fast-forward of what is behind", ff, []step{
			rest("GET", pulls, "", 200, open),
			rest("PATCH", "/git/refs/heads/main", `{"sha":"aaaa","force":false}`, 422, `{"message":"Update is not a fast forward"}`),
		}, 0, pull.FaultMoved, "fast forward"},
		{"fast-forward of a protected branch", ff, []step{
			rest("GET", pulls, "", 200, open),
			rest("PATCH", "/git/refs/heads/main", `{"sha":"aaaa","force":false}`, 422, `{"message":"Required status check \"x\" is expected."}`),
		}, 0, pull.FaultPassing, "expected"},

		{"give another pull request another base", retarget, []step{
			rest("GET", "/pulls/9", "", 200, `{"state":"open","base":{"ref":"topic/a b"}}`),
			rest("PATCH", "/pulls/9", `{"base":"main"}`, 200, `{}`),
		}, 0, "", ""},
		{"one that has it", retarget, []step{rest("GET", "/pulls/9", "", 200, `{"state":"open","base":{"ref":"main"}}`)}, 0, "", ""},
		{"one that is closed", retarget, []step{rest("GET", "/pulls/9", "", 200, `{"state":"closed","base":{"ref":"topic/a b"}}`)}, 0, "", ""},
		{"one that somebody has moved", retarget, []step{rest("GET", "/pulls/9", "", 200, `{"state":"open","base":{"ref":"next"}}`)}, 0, pull.FaultRefused, "next now"},
		{"one that can't have it", retarget, []step{
			rest("GET", "/pulls/9", "", 200, `{"state":"open","base":{"ref":"topic/a b"}}`),
			rest("PATCH", "/pulls/9", `{"base":"main"}`, 422, `{"message":"Validation Failed","errors":[{"message":"A pull request already exists for base branch 'main' and head branch 'x'"}]}`),
		}, 0, pull.FaultRefused, "already exists"},

		{"comment", pull.Action{Kind: pull.WriteComment, Target: "x", Body: "No."}, []step{rest("POST", issue+"/comments", `{"body":"No."}`, 201, `{"id":97}`)}, 97, "", ""},
		{"comment where it is locked", pull.Action{Kind: pull.WriteComment, Target: "x", Body: "No."}, []step{rest("POST", issue+"/comments", `{"body":"No."}`, 403, `{"message":"Unable to create comment because issue is locked."}`)}, 0, pull.FaultRefused, "locked"},
		{"comment, and it is not known", pull.Action{Kind: pull.WriteComment, Target: "x", Body: "No."}, []step{rest("POST", issue+"/comments", `{"body":"No."}`, 504, ``)}, 0, pull.FaultUnclear, ""},
		{"say nothing", pull.Action{Kind: pull.WriteComment, Target: "x"}, nil, 0, pull.FaultRefused, "says nothing"},
		{"delete a comment", pull.Action{Kind: pull.DropComment, Target: "98"}, []step{rest("DELETE", "/issues/comments/98", "", 204, "")}, 0, "", ""},
		{"delete a comment that is gone", pull.Action{Kind: pull.DropComment, Target: "98"}, []step{rest("DELETE", "/issues/comments/98", "", 404, `{"message":"Not Found"}`)}, 0, "", ""},
		{"react", react, []step{mutation("React", `{"content":"THUMBS_UP","subject":"IC_1"}`, done)}, 0, "", ""},
		{"react to what is gone", react, []step{mutation("React", `{"content":"THUMBS_UP","subject":"IC_1"}`, refused("NOT_FOUND", "Could not resolve to a node with the global id of 'IC_1'"))}, 0, pull.FaultRefused, "resolve"},
		{"react in a way that there is not", pull.Action{Kind: pull.React, Target: "IC_1:yawn", Node: "IC_1"}, nil, 0, pull.FaultRefused, "no such reaction"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				h := &hub{serve: func(_ int, s sent) (*http.Response, error) {
					if n++; n > len(c.steps) {
						return nil, fmt.Errorf("request %d: %s %s was not expected", n, s.Method, s.URL)
					}
					want := c.steps[n-1]
					got := step{method: s.Method, path: s.URL.EscapedPath(), body: s.body, status: want.status, answer: want.answer}
					if s.URL.RawQuery != "" {
						got.path += "?" + s.URL.RawQuery
					}
					if s.URL.Path == "/graphql" {
						var q struct {
							OperationName string
							Variables     json.RawMessage
						}
						if err := json.Unmarshal([]byte(s.body), &q); err != nil {
							t.Error(err)
						}
						got.body = q.OperationName + " " + string(q.Variables)
					}
					if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{})); diff != "" {
						t.Errorf("request %d (-want +got):\n%s", n, diff)
					}
					return reply(want.status, want.answer)
				}}
				s := seven
				s.NodeID, s.Base.Name = "PR_7", "main"
				s.Checks = []pull.Check{{App: "ci", Suite: 118}, {App: "github-actions", Suite: 119}}
				w := newWorld(t, h)
				id, err := w.Apply(t.Context(), pull.ScopeToken, s, c.action)
				if n != len(c.steps) {
					t.Errorf("%d requests were made, want %d", n, len(c.steps))
				}
				if c.class != "" {
					if f := wantFault(t, "Apply", err, c.class); !strings.Contains(f.Message, c.words) {
						t.Errorf("Message = %q, want %q", f.Message, c.words)
					}
					return
				}
				if err != nil || id != c.id {
					t.Errorf("Apply = %d, %v, want %d", id, err, c.id)
				}
			})
		})
	}
}

// A body that is too long loses its end, but for the marker by which it is found again.
func TestLongBodiesKeepTheirMarker(t *testing.T) {
	const marker = "\n\n<!-- pr-manager:x -->"
	got := fit(strings.Repeat("é", bodyLimit) + marker)
	if len(got) > bodyLimit || !strings.HasSuffix(got, "…\n<!-- pr-manager:x -->") && !strings.HasSuffix(got, marker) {
		t.Errorf("%d bytes that end in %q", len(got), got[max(0, len(got)-40):])
	}
	if short := "No." + marker; fit(short) != short {
		t.Error("a short body is changed")
	}
}

// The metrics know every request by a name of a fixed set.
func TestEveryRequestOfActionsHasItsName(t *testing.T) {
	for _, op := range mutations {
		if !slices.Contains(calls(), "graphql."+op.name) {
			t.Errorf("the metrics do not know graphql.%s", op.name)
		}
	}
}
