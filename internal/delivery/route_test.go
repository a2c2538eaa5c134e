package delivery

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

const head pull.SHA = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"

func TestRoute(t *testing.T) {
	repo := pull.Repo{ID: 1, Owner: "octo", Name: "app"}
	echo := &pull.Report{SHA: head, State: pull.ReportGood, Digest: "x"}
	look := pull.Route{Settle: 200 * time.Millisecond, Priority: pull.Ordinary, Numbers: []int{7}}
	words := pull.Route{Priority: pull.Urgent, Numbers: []int{7}}
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	with := func(r pull.Route, change func(*pull.Route)) pull.Route { change(&r); return r }
	checks := pull.Route{Settle: 2 * time.Second, Priority: pull.Background}
	bulk := pull.Route{Settle: 5 * time.Second, Priority: pull.Bulk, Base: "*"}
	for _, tt := range []struct {
		name string
		hint pull.Hint
		want pull.Route
	}{
		{"opened", pull.Hint{Event: "pull_request", Action: "opened", Numbers: []int{7}, HeadSHA: head, UpdatedAt: at}, with(look, func(r *pull.Route) { r.Head, r.HeadAt = head, at })},
		{"synchronize", pull.Hint{Event: "pull_request", Action: "synchronize", Numbers: []int{7}, HeadSHA: head}, with(look, func(r *pull.Route) { r.Head = head })},
		{"reopened", pull.Hint{Event: "pull_request", Action: "reopened", Numbers: []int{7}, HeadSHA: head}, with(look, func(r *pull.Route) { r.Head = head })},
		{"labeled, whose head may be an old one", pull.Hint{Event: "pull_request", Action: "labeled", Numbers: []int{7}, HeadSHA: head, UpdatedAt: at}, look},
		{"an action of tomorrow", pull.Hint{Event: "pull_request", Action: "enchanted", Numbers: []int{7}}, look},
		{"closed", pull.Hint{Event: "pull_request", Action: "closed", Numbers: []int{7}, HeadSHA: head, Closed: true}, with(look, func(r *pull.Route) { r.Gone = true })},
		{"pull request without a number", pull.Hint{Event: "pull_request", Action: "opened", HeadSHA: head}, pull.Route{}},
		{"review", pull.Hint{Event: "pull_request_review", Numbers: []int{7}}, words},
		{"review comment", pull.Hint{Event: "pull_request_review_comment", Numbers: []int{7}}, words},
		{"review thread", pull.Hint{Event: "pull_request_review_thread", Numbers: []int{7}}, look},
		{"comment", pull.Hint{Event: "issue_comment", Numbers: []int{7}}, words},
		{"comment on an issue", pull.Hint{Event: "issue_comment"}, pull.Route{}},
		{"check run with numbers", pull.Hint{Event: "check_run", Numbers: []int{7, 8}, HeadSHA: head}, with(checks, func(r *pull.Route) { r.Numbers = []int{7, 8} })},
		{"check run of a fork", pull.Hint{Event: "check_run", HeadSHA: head}, with(checks, func(r *pull.Route) { r.SHA = head })},
		{"check run about nothing", pull.Hint{Event: "check_run"}, pull.Route{}},
		{"our own check run", pull.Hint{Event: "check_run", HeadSHA: head, Report: echo}, with(checks, func(r *pull.Route) { r.SHA, r.Echo = head, echo })},
		{"check suite", pull.Hint{Event: "check_suite", HeadSHA: head}, with(checks, func(r *pull.Route) { r.SHA = head })},
		{"workflow run", pull.Hint{Event: "workflow_run", HeadSHA: head}, with(checks, func(r *pull.Route) { r.SHA = head })},
		{"status", pull.Hint{Event: "status", HeadSHA: head}, with(checks, func(r *pull.Route) { r.SHA = head })},
		{"push", pull.Hint{Event: "push", Branch: "release", DefaultBranch: "main"}, with(bulk, func(r *pull.Route) { r.Base = "release" })},
		{"push to the default branch", pull.Hint{Event: "push", Branch: "main", DefaultBranch: "main"}, bulk},
		{"push of a tag, or a deletion", pull.Hint{Event: "push", HeadSHA: head, DefaultBranch: "main"}, pull.Route{}},
		{"push with nothing known", pull.Hint{Event: "push"}, pull.Route{}},
		{"label renamed", pull.Hint{Event: "label", Action: "edited"}, bulk},
		{"label deleted", pull.Hint{Event: "label", Action: "deleted"}, bulk},
		{"label created", pull.Hint{Event: "label", Action: "created"}, pull.Route{}},
		{"repository settings", pull.Hint{Event: "repository", Action: "edited"}, bulk},
		{"branch protection", pull.Hint{Event: "branch_protection_rule", Action: "edited"}, bulk},
		{"ping", pull.Hint{Event: "ping"}, pull.Route{}},
		{"issues", pull.Hint{Event: "issues", Action: "opened"}, pull.Route{}},
		{"merge group", pull.Hint{Event: "merge_group", Action: "checks_requested", HeadSHA: head, Numbers: []int{7}}, pull.Route{Settle: settlePull, Priority: pull.Ordinary, Numbers: []int{7}}},
		{"merge group of nobody knows what", pull.Hint{Event: "merge_group", HeadSHA: head}, pull.Route{}},
		{"unknown", pull.Hint{Event: "tomorrow", Numbers: []int{7}, HeadSHA: head}, pull.Route{}},
	} {
		tt.hint.Repo = repo
		if d := cmp.Diff(tt.want, Route(tt.hint)); d != "" {
			t.Errorf("%s: Route (-want +got):\n%s", tt.name, d)
		}
		tt.hint.Repo = pull.Repo{}
		if d := cmp.Diff(pull.Route{}, Route(tt.hint)); d != "" {
			t.Errorf("%s, of no repository: Route (-want +got):\n%s", tt.name, d)
		}
	}
}

// TestRouteNamesOneWay: whatever the hint, a route resolves in at most one way, and what finds something waits its turn.
func TestRouteNamesOneWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := pull.Hint{
			Event: rapid.SampledFrom([]string{
				"pull_request", "pull_request_review", "issue_comment", "check_run", "check_suite", "status", "push", "label",
				"repository", "workflow_run", "ping", "merge_group",
			}).Draw(t, "event"),
			Action:        rapid.SampledFrom([]string{"", "opened", "closed", "synchronize", "edited", "deleted", "completed"}).Draw(t, "action"),
			Repo:          pull.Repo{ID: rapid.Int64Range(0, 2).Draw(t, "repo")},
			Numbers:       rapid.SliceOfN(rapid.IntRange(1, 9), 0, 3).Draw(t, "numbers"),
			HeadSHA:       rapid.SampledFrom([]pull.SHA{"", head}).Draw(t, "head"),
			Branch:        rapid.SampledFrom([]string{"", "main", "x"}).Draw(t, "branch"),
			DefaultBranch: rapid.SampledFrom([]string{"", "main"}).Draw(t, "default"),
			Closed:        rapid.Bool().Draw(t, "closed"),
		}
		r := Route(h)
		ways := 0
		for _, is := range []bool{len(r.Numbers) > 0, r.SHA != "", r.Base != ""} {
			if is {
				ways++
			}
		}
		if ways > 1 || ways == 1 && r.Settle == 0 && r.Priority != pull.Urgent || ways == 0 && !cmp.Equal(r, pull.Route{}) || h.Repo.ID == 0 && ways != 0 {
			t.Fatalf("Route(%+v) = %+v", h, r)
		}
	})
}
