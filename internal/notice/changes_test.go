package notice

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestChangeSentences holds what is said when a reason comes, goes, has other facts or stays: of every code it is fit to be
// read, and where it has words of its own they are those of testdata/changes.txt.
func TestChangeSentences(t *testing.T) {
	var b strings.Builder
	for _, code := range policy.Codes {
		r := full(code)
		for _, c := range []policy.Change{
			{Kind: policy.ReasonWent, Reason: &r},
			{Kind: policy.ReasonWent, Reason: &r, Met: true},
			{Kind: policy.ReasonMoved, Reason: &r},
			{Kind: policy.ReasonStays, Reason: &r},
		} {
			s := Changes([]policy.Change{c})
			if s == "" {
				continue
			}
			if bad := unfit(s); bad != "" {
				t.Errorf("%s %s: %q %s", code, c.Kind, s, bad)
			}
			how := string(c.Kind)
			if c.Met {
				how += ", met"
			}
			if common := strings.HasPrefix(s, "No longer in the way: ") || strings.HasPrefix(s, "Still in the way: ") || c.Kind == policy.ReasonMoved; !common {
				fmt.Fprintf(&b, "%s %s: %s\n", code, how, s)
			}
		}
	}
	for _, o := range policy.Outcomes {
		s := Changes([]policy.Change{{Kind: policy.RuleMoved, Section: "labels", Name: "core", To: string(o)}})
		if bad := unfit(s); bad != "" {
			t.Errorf("the outcome %s: %q %s", o, s, bad)
		}
	}
	golden(t, "testdata/changes.txt", b.String())
}

// TestChanges tells the story of a pull request, verdict by verdict.
func TestChanges(t *testing.T) {
	const other pull.SHA = "def5678222222222222222222222222222222222"
	pending := func(names ...string) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) {
			s.Checks = nil
			for i, n := range names {
				s.Checks = append(s.Checks, pull.Check{ID: int64(i), Name: n, State: pull.CheckPending})
			}
		}
	}
	unreviewed := func(s *pull.Snapshot) { s.Reviews = nil }
	both := func(a, b func(*pull.Snapshot)) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) { a(s); b(s) }
	}
	held := func(s *pull.Snapshot) { s.Labels = []pull.Label{{Name: "hold", Present: true, SetBy: bob}} }
	for _, tt := range []struct {
		name          string
		before, after func(*pull.Snapshot)
		want          string
	}{
		{"nothing", unreviewed, unreviewed, ""},
		{"checks pass", both(unreviewed, pending("build")), unreviewed, "Checks passed; still needs an approval of abc1234 by someone with write access."},
		{"one of two checks", pending("build", "test"), pending("test"), "Now waiting for checks: test."},
		{"a check fails", pending("build"), func(s *pull.Snapshot) { s.Checks[0].State = pull.CheckFailed }, "Failed checks: build (a re-run or a new commit can mend that)."},
		{"approved", unreviewed, func(*pull.Snapshot) {}, "Approved; ready; merging with squash."},
		{"held", func(*pull.Snapshot) {}, held, "Carries the label “hold”, set by bob."},
		{"no longer held", held, func(*pull.Snapshot) {}, "The label “hold” is off; ready; merging with squash."},
		{"pushed", func(*pull.Snapshot) {}, func(s *pull.Snapshot) { s.Head.SHA, s.Checks = other, nil }, "Pushed: the head is def5678 now; needs an approval of def5678 by someone with write access (bob approved an older commit); waiting for checks: none has reported on def5678 yet."},
		{"pushed without more", unreviewed, func(s *pull.Snapshot) { s.Head.SHA, s.Reviews = other, nil }, "Pushed: the head is def5678 now; still needs an approval of def5678 by someone with write access."},
		{"grown", unreviewed, both(unreviewed, func(s *pull.Snapshot) { s.Additions = 200 }), "The label “big” is put on; still needs an approval of abc1234 by someone with write access."},
		{"ready for review", both(unreviewed, func(s *pull.Snapshot) { s.Draft = true }), unreviewed, "Marked as ready for review; still needs an approval of abc1234 by someone with write access."},
		{"merged", func(*pull.Snapshot) {}, func(s *pull.Snapshot) { s.State = pull.Merged }, "Merged."},
		{"closed", unreviewed, func(s *pull.Snapshot) { s.State = pull.Closed }, "Closed."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// A second later: what is but a matter of time is no news.
			e := policy.Resolve(pull.Document{Found: true, OID: "deadbeef", Text: usual}, pull.Document{}, pull.Document{}, false)
			before := e.Evaluate(world(tt.before), pull.Memory{}, noon).Verdict
			after := e.Evaluate(world(tt.after), pull.Memory{}, noon.Add(time.Second)).Verdict
			if got := Changes(policy.Changes(before, after)); got != tt.want {
				t.Errorf("Changes = %q\nwant      %q", got, tt.want)
			}
			if again := policy.Changes(after, after); len(again) != 0 {
				t.Errorf("a verdict differs from itself: %+v", again)
			}
		})
	}
	first := policy.Changes(policy.Verdict{}, decide(t, usual, world(), pull.Memory{}))
	if got := Changes(first); got != "Looked at for the first time." {
		t.Errorf("Changes of the first = %q", got)
	}
	moved := policy.Changes(decide(t, usual, world(unreviewed), pull.Memory{}), decide(t, "mode: dry-run\n"+usual, world(unreviewed), pull.Memory{}))
	if got := Changes(moved); got != "The policy changed; nothing is written from now on: the policy says dry run; still needs an approval of abc1234 by someone with write access." {
		t.Errorf("Changes of a policy = %q", got)
	}
}

// TestOutcomesHaveWords: what became of a rule is said in words, and with a mark.
func TestOutcomesHaveWords(t *testing.T) {
	for _, o := range policy.Outcomes {
		if w := outcomeWords[o]; w.words == "" || w.mark == "" {
			t.Errorf("the outcome %q has no words or no mark", o)
		}
	}
}
