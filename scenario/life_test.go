package scenario

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// The policy of the life below.
const lifePolicy = `version: 1
labels:
  backend: { files: ["src/**"] }
  size/L:  { lines: 100.. }
merge:
  if: approved && checks.green && !("hold" in pr.labels)
  method: squash
  delete-branch: true
`

// TestLife follows one pull request from its opening to its deleted branch, as life is: three pushes, each with twenty
// check events within twenty seconds, four reviews and two labels a minute apart. The service may write only what is
// needed, and read GitHub at most one and a half times per settled window of deliveries.
func TestLife(t *testing.T) {
	for _, tt := range []struct {
		name  string
		token bool
	}{{"as an App", false}, {"with a token", true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { liveThrough(t, tt.token) })
		})
	}
}

func liveThrough(t *testing.T, token bool) {
	s := newWorld(t, way{name: "plain", seed: 1}, "")
	s.token = token
	defer s.open()()
	defer s.stop()
	s.repo.Push("main", map[string]string{".github/pr-manager.yml": lifePolicy}, "Add a policy", s.hub.User("carol"))
	alice, bob, carol := s.hub.User("alice"), s.hub.User("bob"), s.hub.User("carol")
	s.repo.Push("topic", map[string]string{"src/topic.go": "1\n"}, "Begin", alice)
	s.start()
	s.settle()
	s.reads = 0
	before := len(s.hook.Deliveries())

	pr := s.repo.Open(alice, "topic", "main", "Add the topic", "")
	s.pulls["1"] = pr
	s.run(time.Minute)
	for i := range 3 {
		s.repo.Push("topic", map[string]string{"src/topic.go": strings.Repeat("line\n", 10+60*i)}, "Go on", alice)
		var runs []*githubtest.Check
		for j := range 10 {
			s.run(time.Second)
			runs = append(runs, s.repo.Check(pr.Head(), s.ci, "check "+string(rune('a'+j)), "in_progress", ""))
		}
		for _, run := range runs {
			s.run(time.Second)
			run.Complete("success")
		}
		s.run(time.Minute)
	}
	for _, act := range []func(){
		func() { pr.Review(bob, "comment") },
		func() { pr.Label(carol, "priority") },
		func() { pr.Review(bob, "request_changes") },
		func() { pr.Review(carol, "approve") },
		func() { pr.Label(carol, "release-notes") },
		func() { pr.Review(bob, "approve") },
	} {
		act()
		s.run(time.Minute)
	}
	s.settle()

	if pr.State() != "merged" || s.repo.Tip("topic") != "" {
		t.Fatalf("the pull request is %s, its branch at %q\n%s", pr.State(), s.repo.Tip("topic"), s.log.tail(60))
	}
	deliveries := s.hook.Deliveries()[before:]
	windows := settledWindows(deliveries)
	writes := s.hub.Applied()
	t.Logf("%d deliveries in %d settled windows; %d reads, %.2f a window; %d writes:\n  %s",
		len(deliveries), windows, s.reads, float64(s.reads)/float64(windows), len(writes), strings.Join(writes, "\n  "))

	report := func(state string) string { return "check.create pr-manager=" + state + " on octo/app" }
	update := func(state string) string { return "check.update pr-manager=" + state + " on octo/app" }
	if token {
		report = func(state string) string {
			return "status pr-manager=" + map[string]string{"in_progress": "pending", "failure": "failure", "success": "success"}[state] + " on octo/app"
		}
		update = report
	}
	want := []string{
		"label.add backend on octo/app#1", report("in_progress"), // opened: no check has reported yet, and no approval is there
		report("in_progress"), update("in_progress"), update("in_progress"), // a push: none yet; running; only the approval is missing
		report("in_progress"), update("in_progress"), update("in_progress"),
		"label.add size/L on octo/app#1", report("in_progress"), update("in_progress"), update("in_progress"),
		update("failure"), update("failure"), // bob wants changes; carol approves, so an approval is no longer missing
		"merge squash on octo/app#1", update("success"), "branch.delete topic on octo/app",
	}
	if !slices.Equal(writes, want) {
		t.Errorf("the writes are\n  %s\nwant\n  %s\n%s", strings.Join(writes, "\n  "), strings.Join(want, "\n  "), s.log.tail(200))
	}
	if perWindow := float64(s.reads) / float64(windows); perWindow > 1.5 {
		t.Errorf("%d reads in %d settled windows: %.2f a window, at most 1.5 are allowed", s.reads, windows, perWindow)
	}
	if len(deliveries) < 70 {
		t.Errorf("there were %d deliveries: that is no life", len(deliveries))
	}
}

// settledWindows counts how often a pull request would be looked at if each look waited for its hints to settle: a window
// opens with a delivery that asks for a look, and takes in what comes until its first hint has settled.
func settledWindows(deliveries []githubtest.Delivery) int {
	windows := 0
	var ends time.Time
	for _, d := range deliveries {
		var settle time.Duration
		switch d.Event {
		case "pull_request", "pull_request_review":
			settle = 200 * time.Millisecond
		case "check_run", "check_suite", "status":
			settle = 2 * time.Second
		default:
			continue
		}
		if !ends.IsZero() && d.At.Before(ends) {
			if e := d.At.Add(settle); e.Before(ends) {
				ends = e
			}
			continue
		}
		windows++
		ends = d.At.Add(settle)
	}
	return windows
}
