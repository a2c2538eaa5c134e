package notice

import (
	"fmt"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

const twoForTheDocs = `version: 1
approvals:
  - { name: review }
  - { name: two for the docs, files: docs/**, count: 2, from: [bob, carol, maintain] }
  - { name: core, files: core/** }
merge: { if: checks.green }
`

var carol = pull.Actor{ID: 4, Login: "carol", Type: pull.User}

const queueHead pull.SHA = "fff0001111111111111111111111111111111111"

// known is what GitHub answers to everything that the tests here need.
func known(s *pull.Snapshot) {
	s.Known.Commits = &pull.Commits{List: []pull.Commit{{SHA: head, Author: alice, Committer: alice}}}
	s.Known.Ahead = &[]pull.Ahead{}
}

func approve(who pull.Actor) func(*pull.Snapshot) {
	return func(s *pull.Snapshot) {
		s.Reviews = append(s.Reviews, pull.Review{ID: who.ID, Author: who, CanWrite: true, State: pull.Approved, Commit: head})
	}
}

func queue(ahead ...pull.Ahead) func(*pull.Snapshot) {
	return func(s *pull.Snapshot) {
		s.Queued = &pull.QueueEntry{Position: 1, Head: queueHead}
		for _, a := range ahead {
			s.Queued.Ahead = append(s.Queued.Ahead, a.Number)
		}
		s.Known.Ahead = &ahead
	}
}

func TestReports(t *testing.T) {
	none := func(s *pull.Snapshot) { s.Reviews = nil }
	tests := []struct {
		name   string
		policy string
		change []func(*pull.Snapshot)
		want   []string // name@sha state: title
	}{
		{"no section", usual, nil, []string{"@abc1234 good: Ready; merging with squash."}},
		{"approved", oneReview, nil, []string{
			"@abc1234 good: Ready; merging with squash.", "pr-manager/approvals@abc1234 good: Approved by bob.",
		}},
		{"approved by two", twoForTheDocs, []func(*pull.Snapshot){approve(carol)}, []string{
			"@abc1234 good: Ready; merging with squash.", "pr-manager/approvals@abc1234 good: Approved by bob, carol.",
		}},
		{"lacking", twoForTheDocs, nil, []string{
			"@abc1234 waiting: The rule “two for the docs” needs 1 more approval by bob, carol or someone who maintains the repository (bob has approved).",
			"pr-manager/approvals@abc1234 waiting: The rule “two for the docs” needs 1 more approval by bob, carol or someone who maintains the repository (bob has approved).",
		}},
		{"a draft has one too", oneReview, []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Draft = true }}, []string{
			"@abc1234 waiting: This is a draft, which alice can mark as ready for review.", "pr-manager/approvals@abc1234 good: Approved by bob.",
		}},
		{"changes requested", oneReview, []func(*pull.Snapshot){func(s *pull.Snapshot) {
			s.Reviews = append(s.Reviews, pull.Review{Author: carol, CanWrite: true, State: pull.ChangesRequested})
		}}, []string{
			"@abc1234 bad: Changes requested by carol, who can approve instead.", "pr-manager/approvals@abc1234 bad: Changes requested by carol, who can approve instead.",
		}},
		{"nothing is asked for", "version: 1\napprovals: [{ count: 0 }]\n", []func(*pull.Snapshot){none}, []string{
			"@abc1234 good: The policy has no merge section, so merging is left to people.", "pr-manager/approvals@abc1234 good: No approval is needed.",
		}},
		{"all skipped", "version: 1\napprovals: [{ files: core/** }]\nmerge: { if: checks.green }\n", nil, []string{
			"@abc1234 bad: No rule of the section approvals is about this pull request, so the policy does not say who has to approve it (a rule without files, if and the like is about every one).",
			"pr-manager/approvals@abc1234 bad: No rule of the section approvals is about this pull request, so the policy does not say who has to approve it (a rule without files, if and the like is about every one).",
		}},
		{"dry run", "mode: dry-run\n" + oneReview, nil, nil},
		{"merged", oneReview, []func(*pull.Snapshot){func(s *pull.Snapshot) { s.State, s.Report = pull.Merged, &pull.Report{} }}, []string{"@abc1234 good: Merged into main."}},
		{"queued", oneReview, []func(*pull.Snapshot){queue(pull.Ahead{Number: 5, Holds: true})}, []string{
			"@abc1234 good: In GitHub's merge queue for main, position 1.", "pr-manager/approvals@abc1234 good: Approved by bob.",
			"pr-manager/approvals@fff0001 good: The approvals of this pull request, and of all before it in the merge queue, hold.",
			"@fff0001 good: The approvals of this pull request, and of all before it in the merge queue, hold.",
		}},
		{"queued, and one before it lost", oneReview, []func(*pull.Snapshot){queue(pull.Ahead{Number: 5, Why: "Needs an approval by someone with write access."})}, []string{
			"@abc1234 good: In GitHub's merge queue for main, position 1.", "pr-manager/approvals@abc1234 good: Approved by bob.",
			"pr-manager/approvals@fff0001 bad: The approvals of #5, which is before it in the merge queue, no longer hold: Needs an approval by someone with write access.",
			"@fff0001 bad: The approvals of #5, which is before it in the merge queue, no longer hold: Needs an approval by someone with write access.",
		}},
		{"queued, and one before it not known", oneReview, []func(*pull.Snapshot){queue(pull.Ahead{Number: 5, Unknown: true, Why: "GitHub does not show it"})}, []string{
			"@abc1234 good: In GitHub's merge queue for main, position 1.", "pr-manager/approvals@abc1234 good: Approved by bob.",
			"pr-manager/approvals@fff0001 waiting: It is not known whether the approvals of #5, which is before it in the merge queue, still hold: GitHub does not show it.",
			"@fff0001 waiting: It is not known whether the approvals of #5, which is before it in the merge queue, still hold: GitHub does not show it.",
		}},
		{"queued, and no longer approved", oneReview, []func(*pull.Snapshot){none, queue()}, []string{
			"@abc1234 waiting: In GitHub's merge queue for main, position 1; the rule “review” needs an approval by someone with write access.", "pr-manager/approvals@abc1234 waiting: The rule “review” needs an approval by someone with write access.",
			"pr-manager/approvals@fff0001 bad: The rule “review” needs an approval by someone with write access.", "@fff0001 bad: The rule “review” needs an approval by someone with write access.",
		}},
		{"queued, and its own condition no longer holds", oneReview, []func(*pull.Snapshot){queue(), func(s *pull.Snapshot) { s.Checks[0].State = pull.CheckFailed }}, []string{
			"@abc1234 bad: In GitHub's merge queue for main, position 1; failed checks: build (a re-run or a new commit can mend that).", "pr-manager/approvals@abc1234 good: Approved by bob.",
			"pr-manager/approvals@fff0001 good: The approvals of this pull request, and of all before it in the merge queue, hold.",
			"@fff0001 bad: In GitHub's merge queue for main, position 1; failed checks: build (a re-run or a new commit can mend that).",
		}},
		{"queued, without a section", usual, []func(*pull.Snapshot){queue()}, []string{"@abc1234 good: In GitHub's merge queue for main, position 1.", "@fff0001 good: In GitHub's merge queue for main, position 1."}},
	}
	for _, tt := range tests {
		for _, asApp := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, app %v", tt.name, asApp), func(t *testing.T) {
				s := world(append([]func(*pull.Snapshot){known, func(s *pull.Snapshot) {
					s.AsApp = asApp
					s.Known.People = map[string]pull.Person{"carol": {Actor: carol, Permission: pull.PermissionMaintain}}
				}}, tt.change...)...)
				v := decide(t, tt.policy, s, pull.Memory{})
				got := Reports(s, v, "https://pr.example/octo/app/7")
				var said []string
				seen := map[string]bool{}
				for _, r := range got {
					said = append(said, fmt.Sprintf("%s@%s %s: %s", r.Name, r.SHA.Short(), r.State, r.Title))
					if seen[r.Target()] {
						t.Errorf("two reports go by %s", r.Target())
					}
					seen[r.Target()] = true
					if (r.Digest != "") != asApp || (r.Summary != "") != asApp {
						t.Errorf("%s has the digest %q and the summary %q", r.Target(), r.Digest, r.Summary)
					}
					if bad := unfit(r.Title); bad != "" {
						t.Errorf("%q %s", r.Title, bad)
					}
				}
				if strings.Join(said, "\n") != strings.Join(tt.want, "\n") {
					t.Errorf("the reports are\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(tt.want, "\n"))
				}
				// Once they are there, they are not written again.
				for _, r := range got {
					r.ID = 7
					r.Title = pull.StatusText(r.Title)
					if r.Name == "" && r.SHA == head {
						s.Report = &r
					} else {
						s.Reports = append(s.Reports, r)
					}
				}
				for _, r := range Reports(s, v, "https://pr.example/octo/app/7") {
					if had := s.ReportOn(r.Name, r.SHA); had == nil || r.ID != 7 || Differs(had, r, asApp) {
						t.Errorf("%s would be written again, with the id %d", r.Target(), r.ID)
					}
				}
			})
		}
	}
}

const oneReview = "version: 1\napprovals: [{ name: review }]\nmerge: { if: checks.green }\n"

// TestApprovalsSummary holds the body of the report about approvals.
func TestApprovalsSummary(t *testing.T) {
	s := world(known, func(s *pull.Snapshot) {
		s.Reviews = append(s.Reviews, pull.Review{Author: alice, CanWrite: true, State: pull.Approved, Commit: head})
	})
	v := decide(t, "version: 1\napprovals:\n- { name: review }\n- { name: docs, files: docs/**, any: [{ name: the owner, from: carol }, { count: 2 }] }\n- { name: core, files: core/** }\n", s, pull.Memory{})
	reports := Reports(s, v, "https://pr.example/octo/app/7")
	if len(reports) != 2 {
		t.Fatalf("%d reports", len(reports))
	}
	golden(t, "testdata/approvals.md", reports[1].Title+"\n\n"+reports[1].Summary)
}

// TestReportsAreToldApart: the same words of two reports have two fingerprints, and the main one keeps the one it always had.
func TestReportsAreToldApart(t *testing.T) {
	r := pull.Report{SHA: head, State: pull.ReportGood, Title: "Good.", Summary: "Good.", URL: "https://pr.example"}
	main := r.Fingerprint()
	r.Name = pull.ApprovalsName
	if main == r.Fingerprint() || main != "6756badd6f154c78" {
		t.Errorf("fingerprints %s and %s", main, r.Fingerprint())
	}
}

// TestOthersTextInApprovals: names of rules and what conditions saw are other people's text.
func TestOthersTextInApprovals(t *testing.T) {
	v := policy.Verdict{
		Policy: policy.Source{Found: true}, State: policy.Waiting, Head: head,
		Approvals: &policy.Approvals{Result: policy.False, Reasons: []policy.Reason{{Code: policy.ApprovalsNeeded, Text: "x](http://evil) @octo/all\n# h", Who: []string{"@octo/all"}}}},
	}
	for _, r := range Reports(world(), v, "") {
		if strings.Contains(r.Summary, "](http") || strings.Contains(r.Summary, "@octo") || strings.Contains(r.Summary, "\n#\x20h") {
			t.Errorf("the summary is\n%s", r.Summary)
		}
	}
}
