package cli

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
)

// decided makes a database in the working directory in which the service has decided about octo/app#7, as it would by
// a webhook, and returns the decision.
func decided(t *testing.T, title string) policy.Verdict {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:data/github-pr-manager.db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	repo := pull.Repo{ID: 42, Owner: "octo", Name: "app"}
	_, err = s.Insert(t.Context(), []pull.Delivery{{
		ID: "d1", Hint: pull.Hint{Event: "pull_request", Action: "opened", Repo: repo, Numbers: []int{7}}, Body: []byte(`{}`),
		SecretSlot: 0, ReceivedAt: s.Now(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, n, err := s.Intake(t.Context(), pull.Taking{Limit: 10}, func(d pull.Delivery) pull.Route { return pull.Route{Numbers: d.Hint.Numbers} }); err != nil || n != 1 {
		t.Fatalf("Intake took %d, %v", n, err)
	}
	claim, ok, err := s.Claim(t.Context(), "test", time.Minute, "")
	if err != nil || !ok {
		t.Fatalf("Claim = %v, %v", ok, err)
	}
	snap := pull.Snapshot{
		Repo: repo, Number: 7, Title: title, State: pull.Open, Head: pull.Branch{Repo: repo, Name: "fix", SHA: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		Base: pull.Branch{Repo: repo, Name: "main"}, Mergeable: pull.MergeableClean, AllowedMethods: []pull.MergeMethod{pull.Squash},
		Permission: pull.PermissionWrite, Author: pull.Actor{ID: 1, Login: "ana", Type: pull.User},
	}
	p, problems := policy.Parse(policy.FileName, []byte("version: 1\nmerge:\n  if: approved && checks.green\n"))
	if problems != nil {
		t.Fatal(problems)
	}
	v := p.Effective().Evaluate(snap, pull.Memory{}, s.Now()).Verdict
	tree, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := json.Marshal(policy.Changes(policy.Verdict{}, v))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Plan(t.Context(), claim, pull.Plan{
		Pull: pull.Row{
			Key: claim.Key, Repo: repo, Number: 7, Title: title, Author: "ana", URL: "https://github.com/octo/app/pull/7", State: pull.Open,
			Head: snap.Head.SHA, HeadRef: "fix", Base: "main", UpdatedAt: s.Now(), DecidedAt: s.Now(), Verdict: string(v.State), Sentence: notice.Sentence(v),
		},
		Verdict: pull.Verdict{State: string(v.State), Sentence: notice.Sentence(v), Tree: tree, Digest: v.Digest(), Changes: changes},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Record(t.Context(), claim, pull.PassResult{Outcome: pull.PassDone}); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestExplainFromTheDatabase(t *testing.T) {
	t.Chdir(t.TempDir())
	v := decided(t, "Fix \x1b[31mit\nall")
	explain := func(args ...string) (int, string, string) {
		var out, errs strings.Builder
		code := Run(t.Context(), append([]string{"explain"}, args...), nil, &out, &errs, nil)
		return code, out.String(), errs.String()
	}

	for _, ref := range []string{"octo/app#7", "Octo/APP#7", "https://github.com/octo/app/pull/7"} {
		code, out, errs := explain(ref)
		if code != exitFine || errs != "" {
			t.Fatalf("explain %s = %d, %s", ref, code, errs)
		}
		for _, want := range []string{
			"octo/app#7  Fix \\x1b[31mit\\nall\nhttps://github.com/octo/app/pull/7\n", notice.Sentence(v), "checks.green", "approved",
			policy.FileName + ":2:1", " at aaaaaaa (from the database; --live asks GitHub).\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("explain %s: no %q in\n%s", ref, want, out)
			}
		}
	}

	code, out, errs := explain("--json", "octo/app#7")
	var got explanation
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFine {
		t.Fatalf("explain --json = %d, %s %s, %v", code, out, errs, err)
	}
	var tree policy.Verdict
	if err := json.Unmarshal(got.Verdict, &tree); err != nil || tree.Digest() != v.Digest() {
		t.Errorf("explain --json has the tree %s, %v, want that of the decision", got.Verdict, err)
	}
	if got.Repository != "octo/app" || got.Number != 7 || got.State != string(v.State) || got.Sentence != notice.Sentence(v) || got.Source != fromDatabase || got.DecidedAt.IsZero() {
		t.Errorf("explain --json = %+v", got)
	}

	if code, _, errs := explain("octo/app#8"); code != exitNo || !strings.Contains(errs, "the database knows no decision about octo/app#8") {
		t.Errorf("explain of an unknown one = %d, %s", code, errs)
	}
}

// TestExplainHistory tells what changed from one decision to the next, and where that is not kept, what was decided.
func TestExplainHistory(t *testing.T) {
	t.Chdir(t.TempDir())
	v := decided(t, "Fix it")
	run := func(args ...string) (int, string, string) {
		var out, errs strings.Builder
		code := Run(t.Context(), append([]string{"explain"}, args...), nil, &out, &errs, nil)
		return code, out.String(), errs.String()
	}
	code, out, errs := run("--history", "octo/app#7")
	if code != exitFine || errs != "" || !strings.HasPrefix(out, "octo/app#7  Fix it\n\n20") || !strings.Contains(out, "  waiting   aaaaaaa  Looked at for the first time.\n") {
		t.Errorf("explain --history = %d, %s%s", code, out, errs)
	}
	code, out, _ = run("--history", "--json", "octo/app#7")
	var got struct {
		Number  int
		History []struct {
			State, Changed, Sentence string
			Changes                  []policy.Change
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFine || got.Number != 7 || len(got.History) != 1 ||
		got.History[0].Sentence != notice.Sentence(v) || len(got.History[0].Changes) != 1 || got.History[0].Changes[0].Kind != policy.FirstVerdict {
		t.Errorf("explain --history --json = %d, %s, %v", code, out, err)
	}
	if code, _, errs := run("--history", "octo/app#8"); code != exitNo || !strings.Contains(errs, "knows no decision about octo/app#8") {
		t.Errorf("explain --history of an unknown one = %d, %s", code, errs)
	}
	if code, _, _ := run("--history", "--live", "octo/app#7"); code != exitUsage {
		t.Errorf("explain --history --live = %d", code)
	}
}

// TestExplainLive asks a GitHub: without a database, and with one that knows the pull request by a decision of before.
func TestExplainLive(t *testing.T) {
	world, err := githubtest.New(githubtest.Options{Dir: filepath.Join(t.TempDir(), "github")})
	if err != nil {
		t.Fatal(err)
	}
	world.MergeableAfter(0)
	mira := world.User("mira")
	repo := world.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{
		"README.md": "# app\n", policy.FileName: "version: 1\nmerge:\n  if: approved && checks.green\n",
	}})
	repo.Grant(mira, githubtest.CanMaintain)
	repo.Push("fix", map[string]string{"a.txt": "a\n"}, "Fix it", mira)
	repo.Open(mira, "fix", "main", "Fix the thing", "")
	hub := httptest.NewServer(world)
	defer hub.Close()
	environ := []string{"GITHUB_API_URL=" + hub.URL, "GITHUB_TOKEN=" + mira.Token()}

	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"explain", "octo/app#1"}, {"explain", "--live", "octo/app#1"}} {
		var out, errs strings.Builder
		if code := Run(t.Context(), args, nil, &out, &errs, environ); code != exitFine {
			t.Fatalf("%s = %d, %s", args, code, &errs)
		}
		for _, want := range []string{"octo/app#1  Fix the thing\n", "waiting: ", "✗ merge: waits", "approved && checks.green", " (asked GitHub).\n"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", args, want, &out)
			}
		}
	}
	if writes := world.Journal(); len(writes) != 0 {
		t.Errorf("explain wrote to GitHub: %v", writes)
	}
	if _, err := os.Stat("data"); err == nil {
		t.Error("explain made a database")
	}

	var out, errs strings.Builder
	if code := Run(t.Context(), []string{"explain", "--json", "octo/app#99"}, nil, &out, &errs, environ); code != exitNo || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("explain of a pull request that GitHub doesn't have = %d, %s %s", code, &out, &errs)
	}
}
