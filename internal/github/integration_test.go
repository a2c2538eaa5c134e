package github_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/github"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A hub is a simulated GitHub with one repository, one pull request, and a client that acts there.
type hub struct {
	*githubtest.Server
	t      *testing.T
	as     string // token or app
	key    string // the App's, that the client signs with
	app    *githubtest.App
	dev    *githubtest.User
	repo   *githubtest.Repo
	pr     *githubtest.PR
	client *github.Client
	scope  pull.Scope
	secret func() string // the token that the client uses now
	parked int
}

// in runs a test at a hub in a bubble, once with a personal token and once as an App.
func in(t *testing.T, test func(*testing.T, *hub)) {
	for _, as := range []string{"token", "app"} {
		dir := t.TempDir()
		t.Run(as, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := githubtest.New(githubtest.Options{Dir: dir, Seed: 1})
				if err != nil {
					t.Fatal(err)
				}
				h := &hub{Server: s, t: t, as: as, dev: s.User("mona")}
				h.repo = s.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{
					"README.md": "# app\n", ".github/pr-manager.yml": "version: 1\n",
				}})
				h.repo.Grant(h.dev, githubtest.CanWrite)
				h.app = s.App("keeper", githubtest.AppOptions{Permissions: pull.AppPermissions()})
				h.repo.Push("topic/one", map[string]string{"a.go": "package a\n"}, "work", h.dev)
				h.pr = h.repo.Open(h.dev, "topic/one", "main", "One", "please")

				o := github.Options{HTTP: s.Transport(), Parked: func(pull.Scope, time.Time, string) { h.parked++ }}
				if as == "app" {
					installation := h.app.Install(h.repo.Owner())
					h.key = h.app.PrivateKey()
					o.AppID, o.AppKey = h.app.ID, func() []byte { return []byte(h.key) }
					h.scope = pull.ScopeApp(installation.ID)
				} else {
					keeper := s.User("keeper")
					h.repo.Grant(keeper, githubtest.CanWrite)
					token := keeper.Token()
					o.Token = func() string { return token }
					h.secret = o.Token
					h.scope = pull.ScopeToken
				}
				if h.client, err = github.New(o); err != nil {
					t.Fatal(err)
				}
				test(t, h)
			})
		})
	}
}

func (h *hub) look() pull.Snapshot {
	h.t.Helper()
	s, err := h.client.Snapshot(h.t.Context(), h.scope, pull.Repo{Owner: "octo", Name: "app"}, h.pr.Number())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (h *hub) apply(s pull.Snapshot, a pull.Action) error {
	_, err := h.client.Apply(context.Background(), h.scope, s, a)
	return err
}

func (h *hub) must(s pull.Snapshot, a pull.Action) {
	h.t.Helper()
	if err := h.apply(s, a); err != nil {
		h.t.Fatal(err)
	}
}

func class(err error) pull.FaultClass {
	if f, ok := pull.FaultOf(err); ok {
		return f.Class
	}
	return ""
}

func label(s pull.Snapshot, name string) pull.Label {
	i := slices.IndexFunc(s.Labels, func(l pull.Label) bool { return l.Name == name })
	if i < 0 {
		return pull.Label{}
	}
	return s.Labels[i]
}

// A pull request's whole life, seen and done through the client.
func TestALife(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		ci := h.App("ci", githubtest.AppOptions{})
		h.pr.Label(h.dev, "bug")
		run := h.repo.Check(h.pr.Head(), ci, "build", "in_progress", "")
		reviewer := h.User("hubot")
		h.repo.Grant(reviewer, githubtest.CanWrite)
		h.pr.Review(reviewer, "approve")

		s := h.look()
		if s.Title != "One" || s.Author.Login != "mona" || s.State != pull.Open || string(s.Head.SHA) != h.pr.Head() || s.Head.Name != "topic/one" || s.HeadBranchTip != s.Head.SHA || s.Fork {
			t.Errorf("Snapshot = %+v", s)
		}
		if s.Policy.Text != "version: 1\n" || s.Defaults.Found || s.DefaultBranch != "main" || s.Repo.ID == 0 {
			t.Errorf("Policy = %+v, Defaults = %+v on %s", s.Policy, s.Defaults, s.DefaultBranch)
		}
		if len(s.Files) != 1 || s.Files[0].Path != "a.go" || s.Files[0].Status != "added" || s.FilesTruncated {
			t.Errorf("Files = %+v, truncated %v", s.Files, s.FilesTruncated)
		}
		if l := label(s, "bug"); !l.Present || l.SetBy.Login != "mona" || l.SetBy.ID == 0 {
			t.Errorf("label bug = %+v, want it set by mona", l)
		}
		if len(s.Reviews) != 1 || s.Reviews[0].State != pull.Approved || !s.Reviews[0].CanWrite || s.Reviews[0].Commit != s.Head.SHA || s.Reviews[0].ID == 0 {
			t.Errorf("Reviews = %+v", s.Reviews)
		}
		if len(s.Checks) != 1 || s.Checks[0].State != pull.CheckPending || s.Checks[0].App != "ci" || s.Checks[0].ID != run.ID() {
			t.Errorf("Checks = %+v", s.Checks)
		}
		if s.Report != nil {
			t.Errorf("Report = %+v, want none yet", s.Report)
		}
		wantUs := map[bool]string{true: "keeper[bot]", false: "keeper"}[s.AsApp]
		if s.Us.Login != wantUs {
			t.Errorf("Us = %+v, want %s", s.Us, wantUs)
		}

		h.must(s, pull.Action{Kind: pull.AddLabel, Target: "size/S"})
		h.must(s, pull.Action{Kind: pull.RemoveLabel, Target: "bug"})
		h.must(s, pull.Action{Kind: pull.RemoveLabel, Target: "bug"}) // done already
		report := pull.Report{SHA: s.Head.SHA, State: pull.ReportWaiting, Title: "Waiting for build", Summary: "all of it", URL: "https://pr.example/7", Digest: "d1"}
		h.must(s, pull.Action{Kind: pull.SetReport, SHA: s.Head.SHA, Report: &report})
		run.Complete("success")

		s = h.look()
		if l := label(s, "size/S"); !l.Present || !l.SetBy.Same(s.Us) {
			t.Errorf("label size/S = %+v, want it set by us (%+v)", l, s.Us)
		}
		if l := label(s, "bug"); l.Present || !l.TakenBy.Same(s.Us) || l.SetBy.Login != "mona" {
			t.Errorf("label bug = %+v, want it set by mona and taken by us", l)
		}
		if len(s.Checks) != 1 || s.Checks[0].State != pull.CheckPassed {
			t.Errorf("Checks = %+v, want one that passed", s.Checks)
		}
		if s.Report == nil || s.Report.State != pull.ReportWaiting || s.Report.Title != report.Title || s.Report.URL != report.URL ||
			s.AsApp != (s.Report.ID != 0) || s.AsApp != (s.Report.Digest == "d1") {
			t.Fatalf("Report = %+v, want what was written", s.Report)
		}
		report.ID, report.State, report.Title, report.Digest = s.Report.ID, pull.ReportGood, "Ready", "d2"
		h.must(s, pull.Action{Kind: pull.SetReport, SHA: s.Head.SHA, Report: &report})
		for s = h.look(); s.Mergeable == pull.MergeableUnknown; s = h.look() {
			time.Sleep(time.Second)
		}
		if s.Report == nil || s.Report.State != pull.ReportGood || s.Report.Title != "Ready" || s.Report.ID != report.ID {
			t.Errorf("Report = %+v, want the one report brought up to date", s.Report)
		}

		merge := pull.Action{Kind: pull.Merge, SHA: s.Head.SHA, Method: pull.Squash}
		h.repo.Push("topic/one", map[string]string{"b.go": "package a\n"}, "more", h.dev)
		if got := class(h.apply(s, merge)); got != pull.FaultMoved {
			t.Errorf("merging an old head = %q, want %q", got, pull.FaultMoved)
		}
		for s = h.look(); s.Mergeable == pull.MergeableUnknown; s = h.look() {
			time.Sleep(time.Second)
		}
		merge.SHA = s.Head.SHA
		h.must(s, merge)
		s = h.look()
		if s.State != pull.Merged || string(s.MergeSHA) != h.pr.MergeSHA() || !s.MergedBy.Same(s.Us) || s.MergedAt.IsZero() {
			t.Errorf("after the merge: %s as %s by %+v", s.State, s.MergeSHA, s.MergedBy)
		}
		remove := pull.Action{Kind: pull.DeleteBranch, Target: "topic/one", SHA: s.Head.SHA}
		h.repo.Push("two", map[string]string{"c.go": "package a\n"}, "two", h.dev)
		stacked := h.repo.Open(h.dev, "two", "topic/one", "Two", "")
		if err := h.apply(s, remove); class(err) != pull.FaultRefused || !strings.Contains(err.Error(), fmt.Sprintf("#%d", stacked.Number())) {
			t.Errorf("deleting a base = %v, want a refusal that names #%d", err, stacked.Number())
		}
		stacked.Close(h.dev)
		h.must(s, remove)
		h.must(s, remove) // done already
		if s = h.look(); s.HeadBranchTip != "" {
			t.Errorf("HeadBranchTip = %q, want none", s.HeadBranchTip)
		}

		u := h.Usage()
		if u.WhileTold != 0 || u.OverPrimary != 0 || u.OverSecondary != 0 || u.Unauthorized != 0 || u.ShortestGap < time.Second || u.MaxConcurrent > 10 {
			t.Errorf("Usage = %+v, want a well-behaved client", u)
		}
	})
}

// Whatever happens on the way back, the class tells what may have happened at GitHub.
func TestWhatMayHaveHappened(t *testing.T) {
	for _, c := range []struct {
		fault githubtest.Fault
		write pull.FaultClass
		read  pull.FaultClass
	}{
		{githubtest.Fault{Kind: githubtest.Answer, Status: 500}, pull.FaultUnclear, pull.FaultUnavailable},
		{githubtest.Fault{Kind: githubtest.Answer, Status: 502, After: true}, pull.FaultUnclear, pull.FaultUnavailable},
		{githubtest.Fault{Kind: githubtest.Answer, Status: 503}, pull.FaultUnclear, pull.FaultUnavailable},
		{githubtest.Fault{Kind: githubtest.Answer, Status: 504, After: true}, pull.FaultUnclear, pull.FaultUnavailable},
		{githubtest.Fault{Kind: githubtest.Hang, After: true}, pull.FaultUnclear, pull.FaultUnavailable},
		{githubtest.Fault{Kind: githubtest.Reset}, pull.FaultUnclear, pull.FaultUnavailable},
		{githubtest.Fault{Kind: githubtest.Reset, After: true}, pull.FaultUnclear, pull.FaultUnavailable},
		{githubtest.Fault{Kind: githubtest.HTML}, pull.FaultUnclear, pull.FaultUnavailable},
		{githubtest.Fault{Kind: githubtest.Truncated, After: true}, pull.FaultUnclear, pull.FaultUnavailable},
		{githubtest.Fault{Kind: githubtest.Secondary, RetryAfter: 30 * time.Second}, pull.FaultThrottled, pull.FaultThrottled},
		{githubtest.Fault{Kind: githubtest.Secondary}, pull.FaultThrottled, pull.FaultThrottled},
		{githubtest.Fault{Kind: githubtest.Exhausted, RetryAfter: 5 * time.Minute}, pull.FaultThrottled, pull.FaultThrottled},
	} {
		t.Run(fmt.Sprintf("%d %d after %v", c.fault.Kind, c.fault.Status, c.fault.After), func(t *testing.T) {
			in(t, func(t *testing.T, h *hub) {
				s := h.look()
				write := c.fault
				write.Method, write.Path = "POST", "/repos/octo/app/issues/*/labels"
				h.Fail(write)
				err := h.apply(s, pull.Action{Kind: pull.AddLabel, Target: "bug"})
				if class(err) != c.write {
					t.Errorf("a write met %v, want class %q", err, c.write)
				}
				there := slices.Contains(h.pr.Labels(), "bug")
				if c.fault.After && !there {
					t.Error("the label is not there: the fault did not come after the deed")
				}
				if c.write != pull.FaultUnclear && there {
					t.Errorf("the label is there, yet the class is %q", c.write)
				}
				h.recover(err)

				read := c.fault
				read.Op, read.After = "graphql.*", false
				h.Fail(read)
				_, err = h.client.Snapshot(t.Context(), h.scope, s.Repo, s.Number)
				if class(err) != c.read {
					t.Errorf("a read met %v, want class %q", err, c.read)
				}
				h.recover(err)
				h.must(h.look(), pull.Action{Kind: pull.AddLabel, Target: "after"})
				if u := h.Usage(); u.WhileTold != 0 {
					t.Errorf("%d requests while told to wait, want none", u.WhileTold)
				}
			})
		})
	}
}

// recover waits as long as a fault says. While it does, the client asks nothing whatever is wanted of it.
func (h *hub) recover(err error) {
	f, ok := pull.FaultOf(err)
	if !ok || f.Class != pull.FaultThrottled {
		return
	}
	if _, err := h.client.Snapshot(h.t.Context(), h.scope, pull.Repo{Owner: "octo", Name: "app"}, h.pr.Number()); class(err) != pull.FaultThrottled {
		h.t.Errorf("a look while parked met %v, want %q", err, pull.FaultThrottled)
	}
	time.Sleep(time.Until(f.Until))
}

func TestARenamedRepository(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		old := h.look()
		h.repo.Rename(h.repo.Owner(), "tool")
		s, err := h.client.Snapshot(t.Context(), h.scope, old.Repo, old.Number)
		if err != nil || s.Repo.Name != "tool" || s.Repo.ID != old.Repo.ID {
			t.Fatalf("Snapshot by the old name = %+v, %v, want octo/tool", s.Repo, err)
		}
		h.repo.Delete(h.repo.Owner())
		_, err = h.client.Snapshot(t.Context(), h.scope, s.Repo, s.Number)
		if class(err) != pull.FaultGone {
			t.Errorf("Snapshot of a deleted repository = %v, want %q", err, pull.FaultGone)
		}
	})
}

func TestNoSuchPullRequest(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		_, err := h.client.Snapshot(t.Context(), h.scope, pull.Repo{Owner: "octo", Name: "app"}, 99)
		if class(err) != pull.FaultGone {
			t.Errorf("Snapshot = %v, want %q", err, pull.FaultGone)
		}
	})
}

// An App's token ends after an hour, or is revoked before.
func TestTokensOfARealInstallation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := githubtest.New(githubtest.Options{Dir: t.TempDir(), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		app := s.App("keeper", githubtest.AppOptions{Permissions: map[string]string{"contents": "read", "pull_requests": "read", "checks": "read", "statuses": "read"}})
		dev := s.User("mona")
		repo := s.Repo("octo/app", githubtest.RepoOptions{})
		repo.Grant(dev, githubtest.CanWrite)
		repo.Push("topic", map[string]string{"a": "a"}, "work", dev)
		pr := repo.Open(dev, "topic", "main", "One", "")
		installation := app.Install(repo.Owner())
		key := app.PrivateKey()
		c, err := github.New(github.Options{HTTP: s.Transport(), AppID: app.ID, AppKey: func() []byte { return []byte(key) }})
		if err != nil {
			t.Fatal(err)
		}
		scope, err := c.InstallationFor(t.Context(), "octo", "app")
		if err != nil || scope != pull.ScopeApp(installation.ID) {
			t.Fatalf("InstallationFor = %q, %v", scope, err)
		}
		look := func() error {
			_, err := c.Snapshot(t.Context(), scope, pull.Repo{Owner: "octo", Name: "app"}, pr.Number())
			return err
		}
		for i := range 3 {
			if err := look(); err != nil {
				t.Fatalf("look %d: %v", i, err)
			}
			time.Sleep(50 * time.Minute)
		}
		err = func() error {
			_, err := c.Apply(t.Context(), scope, pull.Snapshot{Repo: pull.Repo{Owner: "octo", Name: "app"}, Number: pr.Number()}, pull.Action{Kind: pull.AddLabel, Target: "bug"})
			return err
		}()
		if class(err) != pull.FaultRefused || !strings.Contains(err.Error(), "=write") {
			t.Errorf("writing with permission to read = %v, want a refusal that names the permission", err)
		}
		if u := s.Usage(); u.Unauthorized != 0 {
			t.Errorf("%d answers of 401, want none: tokens are replaced in time", u.Unauthorized)
		}
		installation.Suspend(repo.Owner(), true)
		time.Sleep(time.Hour)
		if err := look(); class(err) != pull.FaultGone {
			t.Errorf("a suspended installation = %v, want %q", err, pull.FaultGone)
		}
		installation.Suspend(repo.Owner(), false)
		key = app.RenewKey()
		if err := look(); err != nil {
			t.Errorf("with a renewed key: %v, want nil", err)
		}
		installation.Uninstall(repo.Owner())
		time.Sleep(time.Hour)
		if err := look(); class(err) != pull.FaultGone {
			t.Errorf("an installation that is gone = %v, want %q", err, pull.FaultGone)
		}
	})
}
