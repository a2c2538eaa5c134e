package scenario

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// hostile runs a story that somebody tells on purpose, with the service acting as an App.
func hostile(t *testing.T, story func(t *testing.T, s *world)) {
	synctest.Test(t, func(t *testing.T) {
		s := newWorld(t, way{name: "plain", seed: 1}, "")
		defer s.open()()
		defer s.stop()
		story(t, s)
	})
}

func (s *world) policy(text string) {
	s.repo.Push("main", map[string]string{".github/pr-manager.yml": text}, "Change the policy", s.hub.User("carol"))
}

func (s *world) pullOf(branch string, files map[string]string) *githubtest.PR {
	alice := s.hub.User("alice")
	s.repo.Push(branch, files, "Work on "+branch, alice)
	return s.repo.Open(alice, branch, "main", "Work on "+branch, "")
}

// TestDefaultsThatVanishHoldNewPullRequests: the owner's defaults kept everything in dry-run mode. When they disappear,
// a pull request that was opened afterwards must be held as well as those that were there before.
func TestDefaultsThatVanishHoldNewPullRequests(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		defaults := s.hub.Repo("octo/.github", githubtest.RepoOptions{Files: map[string]string{".github/pr-manager.yml": "version: 1\nmode: dry-run\n"}})
		s.policy("version: 1\nmerge: { if: \"true\" }\n")
		s.start()
		before := s.pullOf("before", map[string]string{"src/a.go": "a\n"})
		s.run(20 * time.Second)
		if before.State() != "open" {
			t.Fatalf("in dry-run mode the pull request is %s", before.State())
		}
		defaults.Delete(s.hub.User("carol"))
		after := s.pullOf("after", map[string]string{"src/b.go": "b\n"})
		s.run(20 * time.Second)
		if before.State() != "open" || after.State() != "open" {
			t.Errorf("without the defaults the earlier pull request is %s and the later one %s, want both open", before.State(), after.State())
		}
	})
}

// TestRetargetWhileLabelsAreWritten: the policy merges into a sandbox only. The author has the service write many labels
// before it merges, and changes the base meanwhile. GitHub takes the head as a merge's precondition, not the base: so
// what is merged must have been looked at just before.
func TestRetargetWhileLabelsAreWritten(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		policy := "version: 1\nmerge: { if: pr.base == \"sandbox\" && checks.green }\nlabels:\n"
		for i := range 12 {
			policy += fmt.Sprintf("  area/%d: { title: now }\n", i)
		}
		s.policy(policy)
		alice := s.hub.User("alice")
		s.repo.Branch("sandbox", "main", s.hub.User("carol"))
		s.repo.Push("topic", map[string]string{"src/a.go": "a\n"}, "Work", alice)
		s.start()
		pr := s.repo.Open(alice, "topic", "sandbox", "Harmless", "")
		s.settle()
		labels := 0
		s.hub.OnRequest(func(op string, _ *http.Request) {
			if op == "issues.add-labels" {
				if labels++; labels == 2 {
					pr.Retarget(alice, "main")
				}
			}
		})
		before := s.repo.Tip("main")
		pr.Edit(alice, "Harmless now", "")
		s.repo.Check(pr.Head(), s.ci, "build", "completed", "success")
		s.settle()
		if labels != 12 || s.repo.Tip("main") != before {
			t.Errorf("%d labels were written, and main went from %.7s to %.7s, which the policy forbids", labels, before, s.repo.Tip("main"))
		}
	})
}

// TestLabelsThatContradictThemselves: conditions that depend on what they cause never come to rest. They must not eat
// the budget of everybody else's writes.
func TestLabelsThatContradictThemselves(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.policy("version: 1\nlabels:\n  a: { if: '!(\"b\" in pr.labels)' }\n  b: { if: '\"a\" in pr.labels' }\n")
		s.start()
		s.pullOf("topic", map[string]string{"src/a.go": "a\n"})
		s.run(time.Hour)
		if n := len(s.hub.Journal()); n > 80 {
			t.Errorf("%d writes in an hour", n)
		}
	})
}

// TestTwoHooks: beside the App's webhook, the repository has one of its own that leads to the same service, left over
// from a trial with a token. Its deliveries name no installation; they must not take the App's access away.
func TestTwoHooks(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.policy("version: 1\nlabels: { docs: { files: \"docs/**\" } }\n")
		s.start()
		s.repo.Hook(s.hub.User("carol"), githubtest.HookOptions{URL: "http://service.test/webhook", Secret: secret})
		s.settle()
		for i := range 5 {
			pr := s.pullOf(fmt.Sprintf("topic-%d", i), map[string]string{fmt.Sprintf("docs/%d.md", i): "a\n"})
			s.settle()
			if got := pr.Labels(); len(got) != 1 {
				t.Errorf("pull request %d has the labels %v, want docs", pr.Number(), got)
			}
		}
	})
}

// TestAnEditASecond: somebody changes the title of a pull request once a second. What that costs GitHub's budget is
// bounded, and in the end the newest title counts.
func TestAnEditASecond(t *testing.T) {
	hostile(t, func(t *testing.T, s *world) {
		s.policy("version: 1\nlabels: { last: { title: \"the last one\" } }\n")
		s.start()
		pr := s.pullOf("topic", map[string]string{"src/a.go": "a\n"})
		s.settle()
		s.reads = 0
		for i := range 900 {
			pr.Edit(s.hub.User("alice"), fmt.Sprintf("Title %d", i), "")
			s.run(time.Second)
		}
		pr.Edit(s.hub.User("alice"), "This is the last one", "")
		s.settle()
		t.Logf("%d reads for 900 edits in 15 minutes", s.reads)
		if s.reads > 200 || len(pr.Labels()) != 1 {
			t.Errorf("%d reads in 15 minutes, and the labels are %v; want at most 200, and last", s.reads, pr.Labels())
		}
	})
}
