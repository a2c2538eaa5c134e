package githubtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// world is a small GitHub: octo/app with alice and bob who may write, carol who maintains, mallory who may read; a CI
// App; the service's App with a webhook; and a personal token of carol's.
type world struct {
	*testing.T
	*githubtest.Server
	repo                       *githubtest.Repo
	alice, bob, carol, mallory *githubtest.User
	ci, self                   *githubtest.App
	install                    *githubtest.Installation
	hook                       *githubtest.Hook
	got                        []webhook // what the receiver was sent
	answer                     int       // and what it answers
}

type webhook struct {
	event, action, guid string
	header              http.Header
	body                []byte
	payload             map[string]any
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, answer: http.StatusAccepted}
	s, err := githubtest.New(githubtest.Options{Dir: t.TempDir(), Deliver: w.receive, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.Server = s
	w.alice, w.bob, w.carol, w.mallory = s.User("alice"), s.User("bob"), s.User("carol"), s.User("mallory")
	w.repo = s.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{
		"README.md": "hello\n", "src/main.go": "package main\n", ".github/pr-manager.yml": "version: 1\n",
	}})
	w.repo.Grant(w.alice, githubtest.CanWrite)
	w.repo.Grant(w.bob, githubtest.CanWrite)
	w.repo.Grant(w.carol, githubtest.CanMaintain)
	w.ci = s.App("ci", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
	w.self = s.App("pr-manager", githubtest.AppOptions{
		Permissions: map[string]string{"checks": "write", "contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write"},
		Events:      []string{"pull_request", "pull_request_review", "issue_comment", "check_run", "check_suite", "status", "push", "create", "delete", "label", "repository", "pull_request_review_comment", "pull_request_review_thread", "merge_group"},
	})
	w.install = w.self.Install(w.repo.Owner())
	w.hook = w.self.Hook(githubtest.HookOptions{URL: "http://service.test/webhook", Secret: "a secret of some length"})
	w.Flush(context.Background())
	w.got = nil
	return w
}

func (w *world) receive(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	h := webhook{event: r.Header.Get("X-GitHub-Event"), guid: r.Header.Get("X-GitHub-Delivery"), header: r.Header, body: body}
	if json.Unmarshal(body, &h.payload) == nil {
		h.action, _ = h.payload["action"].(string)
	}
	w.got = append(w.got, h)
	return &http.Response{StatusCode: w.answer, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// events delivers what waits and returns it as "event.action".
func (w *world) events() []string {
	w.Helper()
	w.got = nil
	w.Flush(context.Background())
	out := []string{}
	for _, h := range w.got {
		out = append(out, strings.TrimSuffix(h.event+"."+h.action, "."))
	}
	return out
}

// open pushes a branch that changes one file and opens a pull request.
func (w *world) open(branch, path, content string) *githubtest.PR {
	w.Helper()
	w.repo.Push(branch, map[string]string{path: content}, "Change "+path, w.alice)
	return w.repo.Open(w.alice, branch, "main", "Change "+path, "Because.")
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// json is the answer's body.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(a.body, &o); err != nil {
		t.Fatalf("answer is not a JSON object: %v\n%s", err, a.body)
	}
	return o
}

// at walks through a decoded JSON value: a.b.0.c.
func at(v any, path string) any {
	for _, key := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// do sends a request of the audience.
func (w *world) do(token, method, path string, body any, header ...string) answer {
	w.Helper()
	a, err := w.try(context.Background(), token, method, path, body, header...)
	if err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (w *world) try(ctx context.Context, token, method, path string, body any, header ...string) (answer, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://api.github.com"+path, in)
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.Transport().RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, err
}

// query sends a GraphQL query.
func (w *world) query(token, text string, vars map[string]any) map[string]any {
	w.Helper()
	a := w.do(token, "POST", "/graphql", map[string]any{"query": text, "variables": vars})
	if a.status != http.StatusOK {
		w.Fatalf("GraphQL answered %d: %s", a.status, a.body)
	}
	return a.json(w.T)
}

func (w *world) git(args ...string) string {
	w.Helper()
	out, err := exec.Command("git", append([]string{"--git-dir=" + w.repo.Dir()}, args...)...).CombinedOutput()
	if err != nil {
		w.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

type obj = map[string]any

func eq[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s = %q, want %q", what, got, want)
	}
}

func TestRepositoriesAreRealGit(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "docs/a/b.md", "one\ntwo\n")
	w.repo.Push("topic", map[string]string{"src/main.go": githubtest.Deleted, "README.md": "hello\nworld\n"}, "More", w.bob)
	sha := pr.Head()
	eq(t, "git rev-parse topic", w.git("rev-parse", "refs/heads/topic"), sha)
	eq(t, "git rev-parse refs/pull/1/head", w.git("rev-parse", "refs/pull/1/head"), sha)
	eq(t, "git show", w.git("show", "topic:docs/a/b.md"), "one\ntwo")
	eq(t, "git log", w.git("log", "--format=%an %s", "topic"), "bob More\nalice Change docs/a/b.md\nocto Initial commit")
	eq(t, "git fsck", w.git("fsck", "--strict", "--full", "--no-dangling"), "")
	eq(t, "files", w.git("ls-tree", "-r", "--name-only", "topic"), ".github/pr-manager.yml\nREADME.md\ndocs/a/b.md")

	files := w.do(w.carol.Token(), "GET", "/repos/octo/app/pulls/1/files", nil)
	var list []obj
	if err := json.Unmarshal(files.body, &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list {
		got = append(got, fmt.Sprintf("%s %s +%v -%v", f["status"], f["filename"], f["additions"], f["deletions"]))
	}
	same(t, "files", got, []string{"modified README.md +1 -0", "added docs/a/b.md +2 -0", "removed src/main.go +0 -1"})
}

func TestMergeMethods(t *testing.T) {
	for _, method := range []string{"merge", "squash", "rebase"} {
		t.Run(method, func(t *testing.T) {
			w := newWorld(t)
			pr := w.open("topic", "a.txt", "a\n")
			w.repo.Push("topic", map[string]string{"b.txt": "b\n"}, "Second", w.alice)
			base := w.repo.Push("main", map[string]string{"c.txt": "c\n"}, "Meanwhile", w.bob)
			a := w.do(w.carol.Token(), "PUT", "/repos/octo/app/pulls/1/merge", obj{"sha": pr.Head(), "merge_method": method})
			eq(t, "status", a.status, 200)
			sha := fmt.Sprint(a.json(t)["sha"])
			eq(t, "state", pr.State(), "merged")
			eq(t, "tip of main", w.repo.Tip("main"), sha)
			eq(t, "merge sha", pr.MergeSHA(), sha)
			want := map[string]string{
				"merge":  "carol <583234+carol@users.noreply.github.com>|" + base + " " + pr.Head(),
				"squash": "alice <583232+alice@users.noreply.github.com>|" + base,
				"rebase": "alice <583232+alice@users.noreply.github.com>|" + w.git("rev-parse", "main~1"),
			}[method]
			eq(t, "author and parents", w.git("log", "-1", "--format=%an <%ae>|%P", "main"), want)
			eq(t, "files", w.git("ls-tree", "--name-only", "main", "--", "a.txt", "b.txt", "c.txt"), "a.txt\nb.txt\nc.txt")
			if method == "rebase" {
				eq(t, "commits on top", w.git("log", "--format=%s", base+"..main"), "Second\nChange a.txt")
			}
			same(t, "journal", w.Applied(), []string{"merge " + method + " on octo/app#1"})
		})
	}
}

func TestMergeIsRefused(t *testing.T) {
	type step func(w *world, pr *githubtest.PR)
	tests := []struct {
		name    string
		before  step
		body    obj
		by      string
		status  int
		message string
	}{
		{name: "another head", body: obj{"sha": strings.Repeat("1", 40)}, status: 409, message: "Head branch was modified. Review and try the merge again."},
		{name: "draft", before: func(w *world, pr *githubtest.PR) { pr.ConvertToDraft(w.alice) }, status: 405, message: "Pull Request is still a draft"},
		{name: "closed", before: func(w *world, pr *githubtest.PR) { pr.Close(w.alice) }, status: 405, message: "Pull Request is not mergeable"},
		{name: "merged", before: func(w *world, pr *githubtest.PR) { pr.Merge(w.carol, "merge") }, status: 405, message: "Pull Request is not mergeable"},
		{name: "conflict", before: func(w *world, _ *githubtest.PR) {
			w.repo.Push("main", map[string]string{"README.md": "other\n"}, "x", w.bob)
		}, status: 405, message: "Pull Request is not mergeable"},
		{name: "method", before: func(w *world, _ *githubtest.PR) { w.repo.Methods("squash") }, status: 405, message: "Merge commits are not allowed on this repository."},
		{name: "no such method", body: obj{"merge_method": "octopus"}, status: 422, message: ""},
		{name: "reader", by: "mallory", status: 403, message: "Resource not accessible by personal access token"},
		{name: "stranger to a token", by: "nobody", status: 401, message: "Bad credentials"},
		{name: "check missing", before: func(w *world, _ *githubtest.PR) {
			w.repo.Protect("main", &githubtest.Protection{Checks: []githubtest.RequiredCheck{{Context: "ci"}}})
		}, status: 405, message: `Required status check "ci" is expected.`},
		{name: "check failing", before: func(w *world, pr *githubtest.PR) {
			w.repo.Protect("main", &githubtest.Protection{Checks: []githubtest.RequiredCheck{{Context: "ci"}}})
			w.repo.Status(pr.Head(), "ci", "failure", w.bob)
		}, status: 405, message: `Required status check "ci" is failing.`},
		{name: "check by another app", before: func(w *world, pr *githubtest.PR) {
			w.repo.Protect("main", &githubtest.Protection{Checks: []githubtest.RequiredCheck{{Context: "ci", App: w.ci}}})
			w.repo.Check(pr.Head(), w.App("impostor", githubtest.AppOptions{}), "ci", "completed", "success")
		}, status: 405, message: `Required status check "ci" is expected.`},
		{name: "review missing", before: func(w *world, pr *githubtest.PR) {
			w.repo.Protect("main", &githubtest.Protection{Reviews: 1})
			pr.Review(w.mallory, "approve")
		}, status: 405, message: "At least 1 approving review is required by reviewers with write access."},
		{name: "not a pusher", before: func(w *world, _ *githubtest.PR) {
			w.repo.Protect("main", &githubtest.Protection{Pushers: []*githubtest.User{w.bob}})
		}, status: 405, message: "You're not authorized to push to this branch. Visit https://docs.github.com/articles/about-protected-branches/ for more information."},
		{name: "behind", before: func(w *world, _ *githubtest.PR) {
			w.repo.Protect("main", &githubtest.Protection{Strict: true})
			w.repo.Push("main", map[string]string{"z": "z"}, "z", w.bob)
		}, status: 405, message: "Head branch is out of date. Review and try the merge again."},
		{name: "base moves meanwhile", before: func(w *world, _ *githubtest.PR) {
			w.Between(func(string) {
				w.Between(nil)
				w.repo.Push("main", map[string]string{"z": "z"}, "z", w.bob)
			})
		}, status: 405, message: "Base branch was modified. Review and try the merge again."},
		{name: "head moves meanwhile", before: func(w *world, _ *githubtest.PR) {
			w.Between(func(string) {
				w.Between(nil)
				w.repo.Push("topic", map[string]string{"z": "z"}, "z", w.bob)
			})
		}, status: 409, message: "Head branch was modified. Review and try the merge again."},
		{name: "archived", before: func(w *world, _ *githubtest.PR) { w.repo.Archive(w.carol, true) }, status: 403, message: "Repository was archived so is read-only."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			pr := w.open("topic", "README.md", "mine\n")
			if tt.before != nil {
				tt.before(w, pr)
			}
			was := pr.State()
			token := w.carol.Token()
			switch tt.by {
			case "mallory":
				token = w.mallory.Token()
			case "nobody":
				token = "ghp_wrong"
			}
			a := w.do(token, "PUT", "/repos/octo/app/pulls/1/merge", tt.body)
			eq(t, "status", a.status, tt.status)
			if got := a.json(t)["message"]; tt.message != "" && got != tt.message {
				t.Errorf("message = %q, want %q", got, tt.message)
			}
			eq(t, "state afterwards", pr.State(), was)
			j := w.Journal()
			if len(j) != 1 || j[0].Applied || j[0].Status != tt.status || j[0].Kind != "merge" {
				t.Errorf("Journal() = %+v, want one merge that was not applied", j)
			}
		})
	}
}

func TestMergeCleansUpAsGitHubDoes(t *testing.T) {
	w := newWorld(t)
	w.repo.DeleteBranchOnMerge(true)
	first := w.open("first", "a", "a\n")
	w.repo.Branch("second", "first", w.alice)
	w.repo.Push("second", map[string]string{"b": "b\n"}, "b", w.alice)
	stacked := w.repo.Open(w.alice, "second", "first", "Stacked", "")
	w.repo.Branch("third", "second", w.alice)
	w.repo.Push("third", map[string]string{"c": "c\n"}, "c", w.alice)
	based := w.repo.Open(w.alice, "third", "second", "On second", "")
	w.events()

	w.do(w.carol.Token(), "PUT", "/repos/octo/app/pulls/1/merge", obj{"merge_method": "squash"})
	eq(t, "first", first.State(), "merged")
	eq(t, "tip of first", w.repo.Tip("first"), "")
	eq(t, "stacked", stacked.State(), "open") // retargeted, since GitHub deleted the branch itself
	got := w.events()
	same(t, "events", got, []string{"push", "check_suite.requested", "pull_request.closed", "delete", "push", "pull_request.edited"})
	eq(t, "base of stacked", fmt.Sprint(at(w.got[5].payload, "pull_request.base.ref")), "main")

	a := w.do(w.carol.Token(), "DELETE", "/repos/octo/app/git/refs/heads/second", nil)
	eq(t, "delete", a.status, 204)
	eq(t, "what came from it", stacked.State(), "closed")
	eq(t, "what was based on it", based.State(), "closed")
	eq(t, "again", w.do(w.carol.Token(), "DELETE", "/repos/octo/app/git/refs/heads/second", nil).status, 422)
	eq(t, "default branch", w.do(w.carol.Token(), "DELETE", "/repos/octo/app/git/refs/heads/main", nil).status, 422)
}

func TestPushOfTheHeadMerges(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "a", "a\n")
	w.repo.MergeInto("main", "topic", w.bob)
	eq(t, "state", pr.State(), "merged")
}

func TestForkedPullRequests(t *testing.T) {
	w := newWorld(t)
	fork := w.repo.Fork(w.mallory)
	sha := fork.Push("topic", map[string]string{"a": "a\n"}, "a", w.mallory)
	pr := w.repo.Open(w.mallory, "mallory:topic", "main", "From a fork", "")
	eq(t, "git knows the head in the base repository", w.git("rev-parse", "refs/pull/1/head^{commit}"), sha)
	w.events()
	w.repo.Check(pr.Head(), w.ci, "test", "completed", "success")
	same(t, "events", w.events(), []string{"check_run.created", "check_run.completed", "check_suite.completed"})
	run := at(w.got[0].payload, "check_run")
	eq(t, "pull_requests", len(at(run, "pull_requests").([]any)), 0)
	if b := at(run, "check_suite.head_branch"); b != nil {
		t.Errorf("head_branch = %v, want null", b)
	}
	fork.Delete(w.mallory)
	a := w.do(w.carol.Token(), "GET", "/repos/octo/app/pulls/1", nil).json(t)
	if at(a, "head.repo") != nil || at(a, "head.sha") != sha {
		t.Errorf("head after the fork is gone = %v, want no repository and the same commit", at(a, "head"))
	}
	eq(t, "it can still be merged", w.do(w.carol.Token(), "PUT", "/repos/octo/app/pulls/1/merge", obj{"sha": sha}).status, 200)
}

func TestMergeabilityIsLate(t *testing.T) {
	w := newWorld(t)
	w.MergeableAfter(2)
	w.open("topic", "README.md", "mine\n")
	read := func() string {
		a := w.do(w.carol.Token(), "GET", "/repos/octo/app/pulls/1", nil).json(t)
		return fmt.Sprint(a["mergeable"], " ", a["mergeable_state"])
	}
	same(t, "REST", []string{read(), read(), read()}, []string{"<nil> unknown", "<nil> unknown", "true clean"})
	w.repo.Push("main", map[string]string{"README.md": "theirs\n"}, "theirs", w.bob)
	ask := func(fields string) string {
		d := w.query(w.carol.Token(), `{repository(owner:"octo",name:"app"){pullRequest(number:1){`+fields+`}}}`, nil)
		return fmt.Sprint(at(d, "data.repository.pullRequest"))
	}
	same(t, "GraphQL", []string{
		ask("mergeStateStatus"), ask("mergeStateStatus"), ask("mergeStateStatus"), // asks for nothing to be computed
		ask("mergeable mergeStateStatus"), ask("mergeable mergeStateStatus"), ask("mergeable mergeStateStatus"),
	}, []string{
		"map[mergeStateStatus:UNKNOWN]", "map[mergeStateStatus:UNKNOWN]", "map[mergeStateStatus:UNKNOWN]",
		"map[mergeStateStatus:UNKNOWN mergeable:UNKNOWN]", "map[mergeStateStatus:UNKNOWN mergeable:UNKNOWN]", "map[mergeStateStatus:DIRTY mergeable:CONFLICTING]",
	})
}

func TestWritesAndTheirJournal(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "a", "a\n")
	w.events()
	token := w.install.Token()
	for _, tt := range []struct {
		method, path string
		body         obj
		status       int
	}{
		{"POST", "/repos/octo/app/issues/1/labels", obj{"labels": []string{"bug", "size/L"}}, 200},
		{"DELETE", "/repos/octo/app/issues/1/labels/size%2FL", nil, 200},
		{"DELETE", "/repos/octo/app/issues/1/labels/nothing", nil, 404},
		{"POST", "/repos/octo/app/statuses/" + pr.Head(), obj{"state": "success", "context": "pr-manager"}, 201},
		{"POST", "/repos/octo/app/statuses/" + pr.Head(), obj{"state": "success", "description": strings.Repeat("ü", 141)}, 422},
		{"POST", "/repos/octo/app/statuses/" + strings.Repeat("0", 40), obj{"state": "success"}, 422},
		{"POST", "/repos/octo/app/check-runs", obj{"name": "pr-manager", "head_sha": pr.Head(), "status": "in_progress", "output": obj{"title": "t", "summary": "s"}}, 201},
		{"PATCH", "/repos/octo/app/check-runs/128620229", obj{"status": "completed", "conclusion": "success"}, 200},
		{"POST", "/repos/octo/app/issues/1/comments", obj{"body": "hi"}, 201},
		{"PATCH", "/repos/octo/app/issues/comments/970000001", obj{"body": "hello"}, 200},
		{"DELETE", "/repos/octo/app/issues/comments/970000001", nil, 204},
		{"PATCH", "/repos/octo/app/pulls/1", obj{"title": "Better"}, 200},
		{"PUT", "/repos/octo/app/pulls/1/merge", obj{"sha": pr.Head()}, 200},
		{"DELETE", "/repos/octo/app/git/refs/heads/topic", nil, 204},
	} {
		if a := w.do(token, tt.method, tt.path, tt.body); a.status != tt.status {
			t.Errorf("%s %s = %d, want %d\n%s", tt.method, tt.path, a.status, tt.status, a.body)
		}
	}
	var got []string
	for _, j := range w.Journal() {
		mark := "✓"
		if !j.Applied {
			mark = "✗"
		}
		got = append(got, fmt.Sprint(mark, j.Status, " ", j.Actor, " ", j.What))
	}
	same(t, "journal", got, []string{
		"✓200 pr-manager[bot] label.add bug,size/L on octo/app#1",
		"✓200 pr-manager[bot] label.remove size/L on octo/app#1",
		"✗404 pr-manager[bot] label.remove nothing on octo/app#1",
		"✓201 pr-manager[bot] status pr-manager=success on octo/app",
		"✗422 pr-manager[bot] status default=success on octo/app",
		"✗422 pr-manager[bot] status default=success on octo/app",
		"✓201 pr-manager[bot] check.create pr-manager=in_progress on octo/app",
		"✓200 pr-manager[bot] check.update pr-manager=success on octo/app",
		"✓201 pr-manager[bot] comment.create octo/app#1",
		"✓200 pr-manager[bot] comment.update 970000001 on octo/app",
		"✓204 pr-manager[bot] comment.delete 970000001 on octo/app",
		"✓200 pr-manager[bot] pull.update title=Better on octo/app#1",
		"✓200 pr-manager[bot] merge merge on octo/app#1",
		"✓204 pr-manager[bot] branch.delete topic on octo/app",
	})
	same(t, "labels", pr.Labels(), []string{"bug"})
	same(t, "events of the service's own writes", w.events(), []string{
		"label.created", "pull_request.labeled", "label.created", "pull_request.labeled", "pull_request.unlabeled", "status", "check_run.created",
		"check_run.completed", "check_suite.completed", "issue_comment.created", "issue_comment.edited", "issue_comment.deleted", "pull_request.edited",
		"push", "check_suite.requested", "pull_request.closed", "delete", "push",
	})
	for _, h := range w.got {
		if login := at(h.payload, "sender.login"); login != "pr-manager[bot]" {
			t.Errorf("%s.%s: sender = %v, want pr-manager[bot]", h.event, h.action, login)
		}
	}
}

func TestWhatPeopleDoIsNotInTheJournal(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "a", "a\n")
	w.events()
	pr.Label(w.bob, "bug")
	pr.Unlabel(w.bob, "bug")
	pr.Review(w.bob, "approve").Dismiss(w.carol)
	pr.Comment(w.bob, "x").Edit(w.bob, "y")
	pr.ConvertToDraft(w.alice)
	pr.MarkReady(w.alice)
	pr.Edit(w.alice, "New title", "")
	w.repo.Push("topic", map[string]string{"b": "b"}, "b", w.alice)
	w.repo.ForcePush("topic", "main", map[string]string{"c": "c"}, "c", w.alice)
	pr.Close(w.alice)
	pr.Reopen(w.alice)
	w.repo.Status(pr.Head(), "lint", "pending", w.bob)
	w.repo.Check(pr.Head(), w.ci, "test", "queued", "").Complete("failure")
	same(t, "events", w.events(), []string{
		"label.created", "pull_request.labeled", "pull_request.unlabeled", "pull_request_review.submitted", "pull_request_review.dismissed",
		"issue_comment.created", "issue_comment.edited", "pull_request.converted_to_draft", "pull_request.ready_for_review", "pull_request.edited",
		"push", "check_suite.requested", "pull_request.synchronize", "push", "check_suite.requested", "pull_request.synchronize",
		"pull_request.closed", "pull_request.reopened", "status", "check_run.created", "check_run.completed", "check_suite.completed",
	})
	if j := w.Journal(); len(j) != 0 {
		t.Errorf("Journal() = %v, want nothing", j)
	}
}

func TestChecksDoNotTouchThePullRequest(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s, err := githubtest.New(githubtest.Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Server: s, alice: s.User("alice")}
	w.repo = s.Repo("octo/app", githubtest.RepoOptions{})
	w.repo.Grant(w.alice, githubtest.CanWrite)
	pr := w.open("topic", "a", "a\n")
	updated := func() string {
		return fmt.Sprint(w.do(w.alice.Token(), "GET", "/repos/octo/app/pulls/1", nil).json(t)["updated_at"])
	}
	now = now.Add(time.Minute)
	w.repo.Check(pr.Head(), s.App("ci", githubtest.AppOptions{}), "test", "completed", "success")
	w.repo.Status(pr.Head(), "lint", "success", w.alice)
	w.repo.Push("main", map[string]string{"z": "z"}, "z", w.alice)
	eq(t, "updated_at after checks and a push to the base", updated(), "2026-01-01T12:00:00Z")
	pr.Label(w.alice, "bug")
	eq(t, "updated_at after a label", updated(), "2026-01-01T12:01:00Z")
}
