package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// The cast of every test: alice writes, bob and carol maintain, eve has no rights, us is the service.
var (
	us    = pull.Actor{ID: 1, Login: "pr-manager[bot]", Type: pull.Bot}
	alice = pull.Actor{ID: 2, Login: "alice", Type: pull.User}
	bob   = pull.Actor{ID: 3, Login: "bob", Type: pull.User}
	carol = pull.Actor{ID: 4, Login: "carol", Type: pull.User}
	eve   = pull.Actor{ID: 5, Login: "eve", Type: pull.User}
)

const (
	head  pull.SHA = "aaaaaaa1111111111111111111111111111111111"
	older pull.SHA = "0000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// world is a pull request of alice's that everything is right with: approved by bob on its head, its one check passed.
func world(change ...func(*pull.Snapshot)) pull.Snapshot {
	repo := pull.Repo{ID: 10, Owner: "octo", Name: "app"}
	s := pull.Snapshot{
		ObservedAt: noon, Us: us, Repo: repo, DefaultBranch: "main", Permission: pull.PermissionWrite,
		AllowedMethods: []pull.MergeMethod{pull.MergeCommit, pull.Squash, pull.Rebase},
		Number:         7, Title: "Add a door", Author: alice, State: pull.Open,
		CreatedAt: noon.Add(-time.Hour), UpdatedAt: noon,
		Head: pull.Branch{Repo: repo, Name: "door", SHA: head}, HeadBranchTip: head,
		Base:      pull.Branch{Repo: repo, Name: "main", SHA: older},
		Mergeable: pull.MergeableClean,
		Additions: 20, Deletions: 5, ChangedFiles: 2, Files: []pull.File{{Path: "src/door.go"}, {Path: "docs/door.md"}},
		Reviews: []pull.Review{{ID: 1, Author: bob, CanWrite: true, State: pull.Approved, Commit: head}},
		Checks:  []pull.Check{{ID: 1, AppID: 9, App: "ci", Name: "build", State: pull.CheckPassed}},
		Known:   pull.Lookups{Rules: &pull.Rules{}, Dependents: &pull.Pulls{}},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func must(t testing.TB, text string) *Policy {
	t.Helper()
	p, problems := Parse(FileName, []byte(text))
	if problems != nil {
		t.Fatalf("Parse(%s): %v", text, problems)
	}
	return p
}

const mergeWhenGreen = "version: 1\nmerge:\n  if: approved && checks.green && !(\"hold\" in pr.labels)\n"

func review(who pull.Actor, state pull.ReviewState, commit pull.SHA) pull.Review {
	return pull.Review{Author: who, CanWrite: who.ID != eve.ID, State: state, Commit: commit}
}

func codes(rs []Reason) string {
	var out []string
	for _, r := range rs {
		c := string(r.Code)
		if len(r.Any) > 0 {
			c += "(" + codes(r.Any) + ")"
		}
		out = append(out, c)
	}
	return strings.Join(out, " ")
}

func acted(as []pull.Action) string {
	var out []string
	for _, a := range as {
		out = append(out, fmt.Sprintf("%s %s", a.Kind, a.Target))
	}
	return strings.Join(out, ", ")
}

func TestMerge(t *testing.T) {
	merges := "merge " + string(head)
	tests := []struct {
		name    string
		policy  string // mergeWhenGreen unless set
		change  func(*pull.Snapshot)
		memory  pull.Memory
		state   State
		codes   string
		actions string
		again   time.Duration // after noon; 0: none
	}{
		{name: "all is well", state: Ready, codes: "ready", actions: merges},
		{name: "no check yet", change: func(s *pull.Snapshot) { s.Checks = nil }, state: Waiting, codes: "checks_missing", again: neverStarted},
		{name: "no check expected", policy: mergeWhenGreen + "checks: { none-expected: true }\n", change: func(s *pull.Snapshot) { s.Checks = nil }, state: Ready, codes: "ready", actions: merges},
		{name: "no check expected and one failed", policy: mergeWhenGreen + "checks: { none-expected: true }\n", change: func(s *pull.Snapshot) { s.Checks[0].State = pull.CheckFailed }, state: Blocked, codes: "checks_failed"},
		{name: "a check pending", change: func(s *pull.Snapshot) { s.Checks[0].State = pull.CheckPending }, state: Waiting, codes: "checks_pending", again: awaitChecks},
		{name: "re-run pending after success", change: func(s *pull.Snapshot) {
			s.Checks = append(s.Checks, pull.Check{ID: 2, AppID: 9, App: "ci", Name: "build", State: pull.CheckPending})
		}, state: Waiting, codes: "checks_pending", again: awaitChecks},
		{name: "re-run passed after failure, listed first", change: func(s *pull.Snapshot) {
			s.Checks = []pull.Check{{ID: 2, AppID: 9, App: "ci", Name: "build", State: pull.CheckPassed}, {ID: 1, AppID: 9, App: "ci", Name: "build", State: pull.CheckFailed}}
		}, state: Ready, codes: "ready", actions: merges},
		{name: "same name, other app failed", change: func(s *pull.Snapshot) {
			s.Checks = append(s.Checks, pull.Check{ID: 2, AppID: 8, App: "forge", Name: "build", State: pull.CheckFailed})
		}, state: Blocked, codes: "checks_failed"},
		{name: "one failed, one pending", change: func(s *pull.Snapshot) {
			s.Checks = append(s.Checks, pull.Check{ID: 2, Name: "a", State: pull.CheckPending}, pull.Check{ID: 3, Name: "b", State: pull.CheckFailed})
		}, state: Blocked, codes: "checks_failed checks_pending", again: awaitChecks},
		{name: "checks cut short", change: func(s *pull.Snapshot) { s.ChecksTruncated = true }, state: Waiting, codes: "fact_unknown"},

		{name: "no review", change: func(s *pull.Snapshot) { s.Reviews = nil }, state: Waiting, codes: "approval_missing"},
		{name: "approved an older commit", change: func(s *pull.Snapshot) { s.Reviews[0].Commit = older }, state: Waiting, codes: "approval_stale"},
		{name: "approved without rights", change: func(s *pull.Snapshot) { s.Reviews[0].CanWrite = false }, state: Waiting, codes: "approval_no_write"},
		{name: "approved by the author", change: func(s *pull.Snapshot) { s.Reviews[0].Author = alice }, state: Waiting, codes: "approval_missing"},
		{name: "approved by nobody that GitHub names", change: func(s *pull.Snapshot) { s.Reviews[0].Author = pull.Actor{Login: "bob"} }, state: Waiting, codes: "approval_missing"},
		{name: "a comment does not erase an approval", change: func(s *pull.Snapshot) { s.Reviews = append(s.Reviews, review(bob, pull.Commented, head)) }, state: Ready, codes: "ready", actions: merges},
		{name: "dismissed", change: func(s *pull.Snapshot) { s.Reviews[0].State = pull.Dismissed }, state: Waiting, codes: "approval_missing"},
		{name: "pending reviews are nobody's business", change: func(s *pull.Snapshot) { s.Reviews = append(s.Reviews, review(carol, pull.PendingReview, head)) }, state: Ready, codes: "ready", actions: merges},
		{name: "changes requested by another", change: func(s *pull.Snapshot) {
			s.Reviews = append(s.Reviews, review(carol, pull.ChangesRequested, older))
		}, state: Blocked, codes: "changes_requested"},
		{name: "changes requested without rights", change: func(s *pull.Snapshot) {
			s.Reviews = append(s.Reviews, review(eve, pull.ChangesRequested, head))
		}, state: Ready, codes: "ready", actions: merges},
		{name: "changes requested, then approved", change: func(s *pull.Snapshot) {
			s.Reviews = []pull.Review{review(bob, pull.ChangesRequested, head), review(bob, pull.Approved, head)}
		}, state: Ready, codes: "ready", actions: merges},
		{name: "approved, then changes requested", change: func(s *pull.Snapshot) { s.Reviews = append(s.Reviews, review(bob, pull.ChangesRequested, head)) }, state: Blocked, codes: "changes_requested approval_missing"},
		{name: "took the approval of the head back, approved an older commit since", change: func(s *pull.Snapshot) {
			s.Reviews = append(s.Reviews, review(bob, pull.ChangesRequested, head), review(bob, pull.Approved, older))
		}, state: Waiting, codes: "approval_stale"},
		{name: "approved the head, then changes dismissed", change: func(s *pull.Snapshot) { s.Reviews = append(s.Reviews, review(bob, pull.Dismissed, head)) }, state: Waiting, codes: "approval_missing"},
		{name: "reviews cut short", change: func(s *pull.Snapshot) { s.ReviewsTruncated = true }, state: Waiting, codes: "fact_unknown"},

		{name: "hold", change: func(s *pull.Snapshot) { s.Labels = []pull.Label{{Name: "hold", Present: true, SetBy: carol}} }, state: Blocked, codes: "label_blocks"},
		{name: "hold taken off", change: func(s *pull.Snapshot) { s.Labels = []pull.Label{{Name: "hold", SetBy: carol, TakenBy: carol}} }, state: Ready, codes: "ready", actions: merges},
		{name: "labels cut short", change: func(s *pull.Snapshot) { s.LabelsTruncated = true }, state: Waiting, codes: "fact_unknown"},

		{name: "draft", change: func(s *pull.Snapshot) { s.Draft = true }, state: Blocked, codes: "draft"},
		{name: "draft, whatever the condition", policy: "version: 1\nmerge: { if: pr.draft }", change: func(s *pull.Snapshot) { s.Draft = true }, state: Blocked, codes: "draft"},
		{name: "draft, said twice", policy: "version: 1\nmerge: { if: '!pr.draft' }", change: func(s *pull.Snapshot) { s.Draft = true }, state: Blocked, codes: "draft"},
		{name: "conflict", change: func(s *pull.Snapshot) { s.Mergeable = pull.MergeableConflict }, state: Blocked, codes: "conflict"},
		{name: "conflict, whatever the condition", policy: "version: 1\nmerge: { if: pr.conflicting }", change: func(s *pull.Snapshot) { s.Mergeable = pull.MergeableConflict }, state: Blocked, codes: "conflict"},
		{name: "mergeability unknown", change: func(s *pull.Snapshot) { s.Mergeable = pull.MergeableUnknown }, state: Waiting, codes: "mergeable_unknown", again: 1 * time.Second},
		{name: "mergeability unknown again", change: func(s *pull.Snapshot) { s.Mergeable = pull.MergeableUnknown }, memory: pull.Memory{Looks: 3}, state: Waiting, codes: "mergeable_unknown", again: 8 * time.Second},
		{name: "mergeability unknown for long", change: func(s *pull.Snapshot) { s.Mergeable = pull.MergeableUnknown }, memory: pull.Memory{Looks: 300}, state: Waiting, codes: "mergeable_unknown", again: 30 * time.Second},
		{name: "mergeability unknown and more missing", change: func(s *pull.Snapshot) { s.Mergeable, s.Reviews = pull.MergeableUnknown, nil }, state: Waiting, codes: "approval_missing"},
		{name: "mergeability unknown, asked about, and more missing", policy: "version: 1\nmerge: { if: approved && !pr.conflicting }", change: func(s *pull.Snapshot) { s.Mergeable, s.Reviews = pull.MergeableUnknown, nil }, state: Waiting, codes: "approval_missing"},
		{name: "mergeability unknown, asked about", policy: "version: 1\nmerge: { if: approved && !pr.conflicting }", change: func(s *pull.Snapshot) { s.Mergeable = pull.MergeableUnknown }, state: Waiting, codes: "mergeable_unknown", again: time.Second},
		{name: "archived", change: func(s *pull.Snapshot) { s.Archived = true }, state: Blocked, codes: "archived"},
		{name: "head gone", change: func(s *pull.Snapshot) { s.Head.SHA = "" }, policy: "version: 1\nmerge: { if: true }", state: Blocked, codes: "head_gone"},
		{name: "no rights", change: func(s *pull.Snapshot) { s.Permission = pull.PermissionRead }, state: Blocked, codes: "cannot_write"},
		{name: "method not allowed", policy: "version: 1\nmerge: { if: approved, method: rebase }", change: func(s *pull.Snapshot) { s.AllowedMethods = []pull.MergeMethod{pull.Squash} }, state: Blocked, codes: "method_not_allowed"},
		{name: "no method allowed", change: func(s *pull.Snapshot) { s.AllowedMethods = nil }, state: Blocked, codes: "no_method_allowed"},
		{name: "GitHub's own rules", change: func(s *pull.Snapshot) { s.Blocked = true }, state: Waiting, codes: "github_rules", again: time.Second},
		{name: "GitHub's own rules for long", change: func(s *pull.Snapshot) { s.Blocked = true }, memory: pull.Memory{Looks: 6}, state: Waiting, codes: "github_rules", again: awaitChecks},

		{name: "refused for a while", memory: pull.Memory{Intents: []pull.Intent{{
			Action: pull.Action{Kind: pull.Merge, Target: string(head), Method: pull.Squash}, Status: pull.Failed, Failures: 1, Error: "Merge commits are not allowed", DoneAt: noon.Add(-10 * time.Minute),
		}}}, state: Blocked, codes: "refused", again: 50 * time.Minute},
		{name: "refused in passing", memory: pull.Memory{Intents: []pull.Intent{{
			Action: pull.Action{Kind: pull.Merge, Target: string(head), Method: pull.Squash}, Status: pull.Failed, Failures: 2, Passing: true, Error: "Base branch was modified", DoneAt: noon.Add(-time.Second),
		}}}, state: Waiting, codes: "refused", again: 7 * time.Second},
		{name: "refused long ago", memory: pull.Memory{Intents: []pull.Intent{{
			Action: pull.Action{Kind: pull.Merge, Target: string(head), Method: pull.Squash}, Status: pull.Failed, Failures: 1, DoneAt: noon.Add(-2 * time.Hour),
		}}}, state: Ready, codes: "ready", actions: merges},
		{name: "merged and not yet seen", memory: pull.Memory{Intents: []pull.Intent{{
			Action: pull.Action{Kind: pull.Merge, Target: string(head)}, Status: pull.Done, DoneAt: noon.Add(-time.Second),
		}}}, state: Waiting, codes: "merging", again: 29 * time.Second},

		{name: "no merge section", policy: "version: 1\n", state: Waiting, codes: "no_merge_rule"},
		{name: "merged", change: func(s *pull.Snapshot) { s.State = pull.Merged }, state: Merged, codes: "merged"},
		{name: "closed", change: func(s *pull.Snapshot) { s.State = pull.Closed }, state: Closed, codes: "closed"},
		{name: "dry run", policy: "mode: dry-run\n" + mergeWhenGreen, state: DryRun, codes: "ready"},

		{name: "either", policy: "version: 1\nmerge: { if: '(approved || \"trivial\" in pr.labels) && pr.lines < 10' }", change: func(s *pull.Snapshot) { s.Reviews = nil }, state: Waiting, codes: "any_of(approval_missing label_missing) condition_false"},
		{name: "not all", policy: "version: 1\nmerge: { if: '!(approved && checks.green)' }", state: Waiting, codes: "any_of(condition_true condition_true)"},
		{name: "neither", policy: "version: 1\nmerge: { if: '!(approved || pr.fork)' }", state: Waiting, codes: "condition_true"},
		{name: "choose", policy: "version: 1\nmerge: { if: 'pr.fork ? approved : pr.lines < 10' }", state: Waiting, codes: "condition_false"},
		{name: "an error", policy: "version: 1\nmerge: { if: 'pr.lines / (pr.number - 7) > 1' }", state: Blocked, codes: "condition_error"},
		{name: "an error that does not matter", policy: "version: 1\nmerge: { if: 'approved || pr.lines / (pr.number - 7) > 1' }", state: Ready, codes: "ready", actions: merges},
		{name: "unknown that does not matter", policy: "version: 1\nmerge: { if: 'approved || pr.files.exists(f, f == \"x\")' }", change: func(s *pull.Snapshot) { s.FilesTruncated = true }, state: Ready, codes: "ready", actions: merges},
		{name: "files cut short", policy: "version: 1\nmerge: { if: 'pr.files.all(f, f != \"x\")' }", change: func(s *pull.Snapshot) { s.FilesTruncated = true }, state: Waiting, codes: "fact_unknown"},
		{name: "never", policy: "version: 1\nmerge: { if: false }", state: Waiting, codes: "condition_false"},
		{name: "two approvals", policy: "version: 1\nmerge: { if: size(reviews.approved_by) >= 2 }", state: Waiting, codes: "condition_false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.policy == "" {
				tt.policy = mergeWhenGreen
			}
			if tt.change == nil {
				tt.change = func(*pull.Snapshot) {}
			}
			d := must(t, tt.policy).Evaluate(world(tt.change), tt.memory, noon)
			if d.Verdict.State != tt.state || codes(d.Verdict.Reasons) != tt.codes || acted(d.Actions) != tt.actions {
				t.Errorf("Evaluate = %s because of %s, doing %q\nwant %s because of %s, doing %q", d.Verdict.State, codes(d.Verdict.Reasons), acted(d.Actions), tt.state, tt.codes, tt.actions)
			}
			again := time.Duration(0)
			if !d.Again.IsZero() {
				again = d.Again.Sub(noon)
			}
			if again != tt.again {
				t.Errorf("Again = noon + %v, want + %v", again, tt.again)
			}
			if looks := codes(d.Verdict.Reasons) == "mergeable_unknown"; looks && d.Memory.Looks != tt.memory.Looks+1 {
				t.Errorf("Looks = %d, want %d", d.Memory.Looks, tt.memory.Looks+1)
			}
			for _, a := range d.Actions {
				if a.Kind == pull.Merge && (a.SHA != head || a.Method != pull.Squash) {
					t.Errorf("merge of %s with %s, want %s with squash", a.SHA, a.Method, head)
				}
			}
		})
	}
}

// TestReasonsSayWho: what is missing comes with the facts that its sentence needs.
func TestReasonsSayWho(t *testing.T) {
	tests := []struct {
		name   string
		policy string
		change func(*pull.Snapshot)
		want   Reason
	}{
		{"for another base", mergeWhenGreen, func(s *pull.Snapshot) { s.BaseSince = noon }, Reason{Code: ApprovalRebased, Names: []string{"bob"}, SHA: head, Branch: "main", Who: []string{"bob", WhoWriter}}},
		{"stale", mergeWhenGreen, func(s *pull.Snapshot) { s.Reviews[0].Commit = older }, Reason{Code: ApprovalStale, Names: []string{"bob"}, SHA: head, Who: []string{"bob", WhoWriter}}},
		{"changes", mergeWhenGreen, func(s *pull.Snapshot) { s.Reviews = append(s.Reviews, review(carol, pull.ChangesRequested, head)) }, Reason{Code: ChangesRequested, Names: []string{"carol"}, Who: []string{"carol"}}},
		{"failed", mergeWhenGreen, func(s *pull.Snapshot) { s.Checks[0].State = pull.CheckFailed }, Reason{Code: ChecksFailed, Names: []string{"build"}, SHA: head, Who: []string{"alice"}}},
		{"hold", mergeWhenGreen, func(s *pull.Snapshot) {
			s.Labels = []pull.Label{{Name: "HOLD"}, {Name: "hold", Present: true, SetBy: carol}}
		}, Reason{Code: LabelBlocks, Label: "hold", By: "carol", Who: []string{WhoTriage}}},
		{"lines", "version: 1\nmerge: { if: pr.lines < 10 }", func(*pull.Snapshot) {}, Reason{Code: ConditionFalse, Text: "pr.lines < 10", Value: "pr.lines is 25"}},
		{"files", "version: 1\nmerge: { if: 'pr.files.exists(f, f.startsWith(\"web/\"))' }", func(*pull.Snapshot) {}, Reason{Code: ConditionFalse, Text: `pr.files.exists(f, f.startsWith("web/"))`, Value: `pr.files is ["src/door.go", "docs/door.md"], what matches is none of 2`}},
		{"method", "version: 1\nmerge: { if: approved, method: rebase }", func(s *pull.Snapshot) { s.AllowedMethods = []pull.MergeMethod{pull.Squash} }, Reason{Code: MethodNotAllowed, Method: pull.Rebase, Names: []string{"squash"}, Who: []string{WhoAdmin, WhoPolicy}}},
		{"unknown", "version: 1\nmerge: { if: '!(\"a\" in pr.files)' }", func(s *pull.Snapshot) { s.FilesTruncated = true }, Reason{Code: FactUnknown, Names: []string{"pr.files"}, Text: `"a" in pr.files`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := must(t, tt.policy).Evaluate(world(tt.change), pull.Memory{}, noon)
			if diff := cmp.Diff([]Reason{tt.want}, d.Verdict.Reasons); diff != "" {
				t.Errorf("Reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMergeMethod(t *testing.T) {
	for _, tt := range []struct {
		policy  string
		allowed []pull.MergeMethod
		want    pull.MergeMethod
	}{
		{"", []pull.MergeMethod{pull.MergeCommit, pull.Squash}, pull.Squash},
		{"", []pull.MergeMethod{pull.MergeCommit, pull.Rebase}, pull.MergeCommit},
		{"", []pull.MergeMethod{pull.Rebase}, pull.Rebase},
		{"method: rebase", []pull.MergeMethod{pull.MergeCommit, pull.Rebase}, pull.Rebase},
	} {
		d := must(t, "version: 1\nmerge: { if: approved, "+tt.policy+" }").Evaluate(world(func(s *pull.Snapshot) { s.AllowedMethods = tt.allowed }), pull.Memory{}, noon)
		if len(d.Actions) != 1 || d.Actions[0].Method != tt.want {
			t.Errorf("with %q and %v allowed: %v, want one merge with %s", tt.policy, tt.allowed, d.Actions, tt.want)
		}
	}
}

func TestDeleteBranch(t *testing.T) {
	ours := pull.Memory{Intents: []pull.Intent{{Action: pull.Action{Kind: pull.Merge, Target: string(head)}, Status: pull.Done}}}
	maybe := pull.Memory{Intents: []pull.Intent{{Action: pull.Action{Kind: pull.Merge, Target: string(head)}, Status: pull.Executing}}}
	tests := []struct {
		name   string
		memory pull.Memory
		change func(*pull.Snapshot)
		why    Code
	}{
		{"merged by us", ours, func(s *pull.Snapshot) { s.MergedBy = us }, BranchUnused},
		{"merged by us as far as is known", maybe, func(s *pull.Snapshot) { s.MergedBy = us }, BranchUnused},
		{"merged by bob while we tried", maybe, func(s *pull.Snapshot) { s.MergedBy = bob }, BranchNotOurs},
		{"merged by bob", pull.Memory{}, func(s *pull.Snapshot) { s.MergedBy = bob }, BranchNotOurs},
		{"gone", ours, func(s *pull.Snapshot) { s.HeadBranchTip = "" }, BranchIsDeleted},
		{"moved on", ours, func(s *pull.Snapshot) { s.HeadBranchTip = older }, BranchMoved},
		{"fork", ours, func(s *pull.Snapshot) { s.Fork = true }, BranchOfFork},
		{"default branch", ours, func(s *pull.Snapshot) { s.Head.Name = "main"; s.Base.Name = "release" }, BranchProtected},
		{"base", ours, func(s *pull.Snapshot) { s.Base.Name = "door" }, BranchProtected},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := must(t, mergeWhenGreen+"  delete-branch: true\nlabels: { x: { lines: 1.. } }\n")
			d := p.Evaluate(world(func(s *pull.Snapshot) { s.State = pull.Merged }, tt.change), tt.memory, noon)
			want := ""
			if tt.why == BranchUnused {
				want = "branch.delete door"
			}
			if got := d.Verdict.Rules[0].Why[0].Code; got != tt.why || acted(d.Actions) != want {
				t.Errorf("Evaluate = %s, %q, want %s, %q", got, acted(d.Actions), tt.why, want)
			}
			if want != "" && d.Actions[0].SHA != head {
				t.Errorf("the branch is deleted at %q, want %q", d.Actions[0].SHA, head)
			}
		})
	}
}

func TestLabels(t *testing.T) {
	earlier, later := noon.Add(-time.Hour), noon.Add(-time.Minute)
	on := func(by pull.Actor) pull.Label {
		return pull.Label{Name: "docs", Present: true, SetBy: by, SetAt: earlier}
	}
	off := func(by pull.Actor, at time.Time) pull.Label {
		return pull.Label{Name: "docs", SetBy: us, SetAt: earlier.Add(-time.Hour), TakenBy: by, TakenAt: at}
	}
	wrote := func(kind pull.ActionKind, status pull.IntentStatus, at time.Time) pull.Intent {
		return pull.Intent{Action: pull.Action{Kind: kind, Target: "docs"}, Status: status, StartedAt: at, DoneAt: at}
	}
	turned := func(kind pull.ActionKind, attempt int, at time.Time) pull.Intent {
		in := wrote(kind, pull.Done, at)
		in.Attempt = attempt
		return in
	}
	asApp := func(s *pull.Snapshot) { s.AsApp = true }
	holds, fails := "src/**", "web/**"
	mem := func(m pull.LabelMemory, intents ...pull.Intent) pull.Memory {
		return pull.Memory{Labels: map[string]pull.LabelMemory{"docs": m}, Intents: intents}
	}
	tests := []struct {
		name    string
		files   string
		labels  []pull.Label
		memory  pull.Memory
		change  func(*pull.Snapshot)
		outcome Outcome
		actions string
		next    pull.LabelMemory
	}{
		{name: "added", files: holds, outcome: LabelAdd, actions: "label.add docs"},
		{name: "there", files: holds, labels: []pull.Label{on(us)}, memory: mem(pull.LabelMemory{Ours: true}), outcome: LabelOn, next: pull.LabelMemory{Ours: true}},
		{name: "there, spelt otherwise", files: holds, labels: []pull.Label{{Name: "Docs", Present: true, SetBy: bob}}, outcome: LabelOn},
		{name: "removed", files: fails, labels: []pull.Label{on(us)}, memory: mem(pull.LabelMemory{Ours: true}), outcome: LabelRemove, actions: "label.remove docs", next: pull.LabelMemory{Ours: true}},
		{name: "removed, setter not known", files: fails, labels: []pull.Label{on(pull.Actor{})}, memory: mem(pull.LabelMemory{Ours: true}), outcome: LabelRemove, actions: "label.remove docs", next: pull.LabelMemory{Ours: true}},
		{name: "absent and rightly so", files: fails, outcome: LabelOff},
		{name: "set by a person", files: fails, labels: []pull.Label{on(bob)}, outcome: LabelLeft},
		{name: "set by us, then again by a person", files: fails, labels: []pull.Label{on(bob)}, memory: mem(pull.LabelMemory{Ours: true}), outcome: LabelLeft},
		{name: "set by a person while its condition holds", files: holds, labels: []pull.Label{on(bob)}, memory: mem(pull.LabelMemory{Ours: true}), outcome: LabelOn},
		{name: "set by our account, and not by the ledger", files: fails, labels: []pull.Label{on(us)}, outcome: LabelLeft},
		{name: "set by a crashed pass", files: fails, labels: []pull.Label{on(us)}, memory: mem(pull.LabelMemory{}, wrote(pull.AddLabel, pull.Executing, earlier)), outcome: LabelRemove, actions: "label.remove docs", next: pull.LabelMemory{Ours: true}},
		{name: "set by the service, whose token somebody uses", files: fails, labels: []pull.Label{on(us)}, memory: mem(pull.LabelMemory{}, wrote(pull.AddLabel, pull.Done, earlier)), outcome: LabelRemove, actions: "label.remove docs", next: pull.LabelMemory{Ours: true}},
		{name: "set again by somebody with our token", files: fails, labels: []pull.Label{on(us)}, memory: mem(pull.LabelMemory{Ours: true}, wrote(pull.AddLabel, pull.Done, earlier.Add(-time.Hour))), outcome: LabelLeft},
		{name: "set by the App long after it was asked to", files: fails, labels: []pull.Label{on(us)}, memory: mem(pull.LabelMemory{Ours: true}, wrote(pull.AddLabel, pull.Done, earlier.Add(-time.Hour))), change: asApp, outcome: LabelRemove, actions: "label.remove docs", next: pull.LabelMemory{Ours: true}},
		{name: "about to be put on once more", files: holds, memory: mem(pull.LabelMemory{}, turned(pull.AddLabel, 4, earlier), turned(pull.RemoveLabel, 4, later)), outcome: Withheld},
		{name: "about to be taken off once more", files: fails, labels: []pull.Label{on(us)}, memory: mem(pull.LabelMemory{Ours: true}, turned(pull.AddLabel, 4, later), turned(pull.RemoveLabel, 4, earlier)), outcome: Withheld, next: pull.LabelMemory{Ours: true}},
		{name: "put on for the fourth time", files: holds, memory: mem(pull.LabelMemory{}, turned(pull.AddLabel, 3, earlier), turned(pull.RemoveLabel, 3, later)), outcome: LabelAdd, actions: "label.add docs"},
		{name: "put on often, but not lately", files: holds, memory: mem(pull.LabelMemory{}, turned(pull.AddLabel, 9, earlier.Add(-time.Hour)), turned(pull.RemoveLabel, 9, earlier)), outcome: LabelAdd, actions: "label.add docs"},
		{name: "refused by the ledger, set by our account", files: fails, labels: []pull.Label{on(us)}, memory: mem(pull.LabelMemory{}, wrote(pull.AddLabel, pull.Failed, earlier)), outcome: LabelLeft},

		{name: "taken off by a person", files: holds, labels: []pull.Label{off(bob, later)}, memory: mem(pull.LabelMemory{Ours: true}), outcome: LabelKeptOff, next: pull.LabelMemory{KeptOff: true}},
		{name: "taken off by a person with our account", files: holds, labels: []pull.Label{off(us, later)}, memory: mem(pull.LabelMemory{Ours: true}), outcome: LabelKeptOff, next: pull.LabelMemory{KeptOff: true}},
		{name: "taken off, memory lost", files: holds, labels: []pull.Label{off(bob, later)}, outcome: LabelKeptOff, next: pull.LabelMemory{KeptOff: true}},
		{name: "stays off", files: holds, labels: []pull.Label{off(us, earlier)}, memory: mem(pull.LabelMemory{KeptOff: true}), outcome: LabelKeptOff, next: pull.LabelMemory{KeptOff: true}},
		{name: "its condition became false", files: fails, labels: []pull.Label{off(bob, later)}, memory: mem(pull.LabelMemory{KeptOff: true}), outcome: LabelOff, next: pull.LabelMemory{Released: later}},
		{name: "comes back after that", files: holds, labels: []pull.Label{off(bob, later)}, memory: mem(pull.LabelMemory{Released: later}), outcome: LabelAdd, actions: "label.add docs", next: pull.LabelMemory{Released: later}},
		{name: "taken off once more", files: holds, labels: []pull.Label{off(bob, later)}, memory: mem(pull.LabelMemory{Released: earlier}), outcome: LabelKeptOff, next: pull.LabelMemory{KeptOff: true, Released: earlier}},
		{name: "put on again by a person", files: holds, labels: []pull.Label{on(bob)}, memory: mem(pull.LabelMemory{KeptOff: true}), outcome: LabelOn},
		{name: "released is not forgotten", files: fails, labels: []pull.Label{off(us, later)}, memory: mem(pull.LabelMemory{Released: earlier}), outcome: LabelOff, next: pull.LabelMemory{Released: earlier}},
		{name: "taken off by us, as far as the ledger knows", files: holds, labels: []pull.Label{off(us, later)}, memory: mem(pull.LabelMemory{Ours: true}, wrote(pull.AddLabel, pull.Done, earlier), wrote(pull.RemoveLabel, pull.Executing, later)), outcome: LabelAdd, actions: "label.add docs"},
		{name: "just put on and not yet shown", files: holds, memory: mem(pull.LabelMemory{Ours: true}, wrote(pull.AddLabel, pull.Done, noon.Add(-time.Second))), outcome: LabelSettling, next: pull.LabelMemory{Ours: true}},
		{name: "put on a while ago and gone", files: holds, memory: mem(pull.LabelMemory{Ours: true}, wrote(pull.AddLabel, pull.Done, later)), outcome: LabelKeptOff, next: pull.LabelMemory{KeptOff: true}},

		{name: "files cut short, one found", files: holds, change: func(s *pull.Snapshot) { s.FilesTruncated = true }, outcome: LabelAdd, actions: "label.add docs"},
		{name: "files cut short, none found", files: fails, labels: []pull.Label{on(us)}, memory: mem(pull.LabelMemory{Ours: true}), change: func(s *pull.Snapshot) { s.FilesTruncated = true }, outcome: LabelUnknown, next: pull.LabelMemory{Ours: true}},
		{name: "labels cut short", files: holds, change: func(s *pull.Snapshot) { s.LabelsTruncated = true }, outcome: LabelUnknown},
		{name: "refused lately", files: holds, memory: mem(pull.LabelMemory{}, pull.Intent{Action: pull.Action{Kind: pull.AddLabel, Target: "docs"}, Status: pull.Failed, Failures: 1, DoneAt: later}), outcome: Withheld},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := must(t, "version: 1\nlabels: { docs: { files: '"+tt.files+"' } }\n")
			s := world(func(s *pull.Snapshot) { s.Labels = tt.labels })
			if tt.change != nil {
				tt.change(&s)
			}
			d := p.Evaluate(s, tt.memory, noon)
			if got := d.Verdict.Rules[0].Outcome; got != tt.outcome || acted(d.Actions) != tt.actions {
				t.Errorf("Evaluate = %s, %q, want %s, %q", got, acted(d.Actions), tt.outcome, tt.actions)
			}
			if diff := cmp.Diff(tt.next, d.Memory.Labels["docs"]); diff != "" {
				t.Errorf("memory (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLabelAwaitsMergeability: a label about conflicts stays as it is while GitHub works out whether there is one.
// TestPassedChecksOfTwoApps: a second App, or a job that a pull request brings along, can't pass in the place of another
// App's check of the same name.
func TestPassedChecksOfTwoApps(t *testing.T) {
	p := must(t, "version: 1\nmerge: { if: '\"scan\" in checks.passed' }\n")
	for state, want := range map[pull.CheckState]string{pull.CheckPassed: "merge", pull.CheckFailed: "", pull.CheckPending: ""} {
		s := world(func(s *pull.Snapshot) {
			s.Checks = []pull.Check{{ID: 1, AppID: 9, App: "scanner", Name: "scan", State: state}, {ID: 2, AppID: 8, App: "actions", Name: "scan", State: pull.CheckPassed}}
		})
		if got := acted(p.Evaluate(s, pull.Memory{}, noon).Actions); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("with the scanner's check %s: %q, want %q", state, got, want)
		}
	}
}

func TestLabelAwaitsMergeability(t *testing.T) {
	p := must(t, "version: 1\nlabels: { needs-rebase: { if: pr.conflicting } }\n")
	s := world(func(s *pull.Snapshot) {
		s.Mergeable = pull.MergeableUnknown
		s.Labels = []pull.Label{{Name: "needs-rebase", Present: true, SetBy: us}}
	})
	d := p.Evaluate(s, pull.Memory{Labels: map[string]pull.LabelMemory{"needs-rebase": {Ours: true}}, Looks: 1}, noon)
	if len(d.Actions) != 0 || d.Verdict.Rules[0].Outcome != LabelUnknown || d.Memory.Looks != 2 || !d.Again.Equal(noon.Add(2*time.Second)) {
		t.Errorf("Evaluate = %v, %s, %d looks, again at %v; want nothing, unknown, 2 looks, in 2 s", d.Actions, d.Verdict.Rules[0].Outcome, d.Memory.Looks, d.Again)
	}
}

func TestLabelShorthands(t *testing.T) {
	tests := map[string]bool{
		"{ files: 'src/*.go' }":                              true,
		"{ files: 'web/**' }":                                false,
		"{ lines: 25 }":                                      true,
		"{ lines: 26.. }":                                    false,
		"{ lines: ..25 }":                                    true,
		"{ lines: 20..24 }":                                  false,
		"{ lines: [1, 24..26] }":                             true,
		"{ title: '(?i)^add' }":                              true,
		"{ title: add }":                                     false,
		"{ title: [nope, door] }":                            true,
		"{ branch: 'do*' }":                                  true,
		"{ branch: ['**', '!door'] }":                        false,
		"{ author: ALICE }":                                  true,
		"{ author: [bob, 'alice[bot]'] }":                    false,
		"{ files: 'src/**', lines: 25.. }":                   true,
		"{ files: 'src/**', lines: 26.. }":                   false,
		"{ files: 'src/**', if: !pr.draft }":                 true,
		"{ if: pr.base == repo.default_branch }":             true,
		"{ if: pr.author_type == 'User' }":                   true,
		"{ if: repo.owner + '/' + repo.name == 'octo/app' }": true,
		"{ if: pr.state == 'open' && pr.number == 7 }":       true,
		"{ if: 'build' in checks.passed && size(checks.failed + checks.pending) == 0 }":                                   true,
		"{ if: reviews.approved_by == ['bob'] && reviews.changes_requested_by == [] && size(reviews.commented_by) == 0 }": true,
		"{ if: pr.additions == 20 && pr.deletions == 5 && pr.changed_files == 2 && pr.head == 'door' && pr.body == '' }":  true,
		"{ if: pr.fork || pr.behind || pr.conflicting || repo.private }":                                                  false,
		"{ if: pr.updated_at - pr.created_at == duration('1h') }":                                                         true,
	}
	for text, want := range tests {
		text = strings.Replace(strings.TrimSuffix(text, " }"), "if: ", "if: >-\n      ", 1)
		text = "version: 1\nlabels:\n  x:\n    " + strings.NewReplacer("{ ", "", "', lines", "'\n    lines", "', if", "'\n    if").Replace(text) + "\n"
		d := must(t, text).Evaluate(world(), pull.Memory{}, noon)
		if got := d.Verdict.Rules[0].Condition.Result == True; got != want {
			t.Errorf("%s holds: %v, want %v", text, got, want)
		}
	}
}

// TestNothingInForce: without a valid policy nothing is done, and it is said why.
func TestNothingInForce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		e     Effective
		state State
		codes string
	}{
		{"no policy", Resolve(pull.Document{}, pull.Document{}, pull.Document{}, false), Observing, "no_policy"},
		{"broken", Resolve(doc("version: 3"), pull.Document{}, pull.Document{}, false), Broken, "policy_broken"},
		{"defaults gone", Resolve(pull.Document{}, pull.Document{}, pull.Document{}, true), Broken, "defaults_gone"},
		{"defaults broken", Resolve(pull.Document{}, doc("version: 3"), pull.Document{}, false), Broken, "defaults_broken"},
	} {
		d := tt.e.Evaluate(world(), pull.Memory{Labels: map[string]pull.LabelMemory{"x": {Ours: true}}}, noon)
		if d.Verdict.State != tt.state || codes(d.Verdict.Reasons) != tt.codes || d.Actions != nil || !d.Memory.Labels["x"].Ours {
			t.Errorf("%s: Evaluate = %s %s %v, memory %v, want %s %s and nothing done or forgotten", tt.name, d.Verdict.State, codes(d.Verdict.Reasons), d.Actions, d.Memory, tt.state, tt.codes)
		}
	}
}

// TestDefaultsGone: with the owner's defaults gone, nothing is merged; and since they may have said dry-run, labels are
// kept in step only where the repository's own file says that it is active.
func TestDefaultsGone(t *testing.T) {
	for _, tt := range []struct{ mode, acted, would string }{
		{"", "", "label.add x"},
		{"mode: active\n", "label.add x", ""},
	} {
		e := Resolve(doc(tt.mode+mergeWhenGreen+"labels: { x: { lines: 1.. } }\n"), pull.Document{}, pull.Document{}, true)
		d := e.Evaluate(world(), pull.Memory{}, noon)
		if d.Verdict.State != Blocked || codes(d.Verdict.Reasons) != "defaults_gone" || acted(d.Actions) != tt.acted || acted(d.Verdict.Would) != tt.would {
			t.Errorf("%q: Evaluate = %s %s, does %q, would do %q; want blocked by defaults_gone, %q and %q",
				tt.mode, d.Verdict.State, codes(d.Verdict.Reasons), acted(d.Actions), acted(d.Verdict.Would), tt.acted, tt.would)
		}
	}
}

// TestLastValidStaysInForce: a broken file changes nothing but what is said.
func TestLastValidStaysInForce(t *testing.T) {
	e := Resolve(doc("version: 1\nmerg: {}"), pull.Document{}, doc(mergeWhenGreen), false)
	d := e.Evaluate(world(), pull.Memory{}, noon)
	if d.Verdict.State != Ready || codes(d.Verdict.Reasons) != "ready policy_using_last" || len(d.Actions) != 1 {
		t.Errorf("Evaluate = %s %s %v, want a merge, and the problem said", d.Verdict.State, codes(d.Verdict.Reasons), d.Actions)
	}
}

func TestDryRunSaysWhatItWouldDo(t *testing.T) {
	d := must(t, "mode: dry-run\n"+mergeWhenGreen+"labels: { x: { lines: 1.. } }\n").Evaluate(world(), pull.Memory{}, noon)
	if len(d.Actions) != 0 || acted(d.Verdict.Would) != "label.add x, merge "+string(head) {
		t.Errorf("Evaluate does %q and would do %q, want nothing, and x and the merge", acted(d.Actions), acted(d.Verdict.Would))
	}
}

// TestExplanation: the tree shows every operand with what it saw, also those that could not change the outcome any more.
func TestExplanation(t *testing.T) {
	p := must(t, "version: 1\nmerge:\n  if: |\n    (pr.draft || approved)\n      && pr.lines < 10\n      && pr.files.exists(f, f.startsWith(\"web/\"))\n      && !(\"hold\" in pr.labels)\n      && (pr.fork ? checks.green : true)\n")
	d := p.Evaluate(world(), pull.Memory{}, noon)
	var b strings.Builder
	var walk func(n *Node, depth int)
	walk = func(n *Node, depth int) {
		fmt.Fprintf(&b, "%s%s|%s|%s|%d:%d\n", strings.Repeat(" ", depth), n.Text, n.Result, n.Value, n.Pos.Line, n.Pos.Column)
		for _, c := range n.Children {
			walk(c, depth+1)
		}
	}
	walk(d.Verdict.Rules[0].Condition, 0)
	const want = `(pr.draft || approved) && pr.lines < 10 && pr.files.exists(f, f.startsWith("web/")) && !("hold" in pr.labels) && (pr.fork ? checks.green : true)|false||4:6
 pr.draft || approved|true||4:6
  pr.draft|false||4:6
  approved|true||4:18
   reviews.approved_by||["bob"]|0:0
   reviews.changes_requested_by||[]|0:0
 pr.lines < 10|false||5:10
  pr.lines||25|5:10
 pr.files.exists(f, f.startsWith("web/"))|false||6:10
  pr.files||["src/door.go", "docs/door.md"]|6:10
  what matches||none of 2|0:0
 !("hold" in pr.labels)|true||7:10
  "hold" in pr.labels|false||7:12
   pr.labels||[]|7:22
 pr.fork ? checks.green : true|true||8:11
  pr.fork|false||8:11
  checks.green|true||8:21
   checks.passed||["build"]|0:0
   checks.pending||[]|0:0
   checks.failed||[]|0:0
  true|true||8:36
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("explanation (-want +got):\n%s", diff)
	}
}

// TestVerdictMarshals: a verdict survives JSON, and says the same thing the same way.
func TestVerdictMarshals(t *testing.T) {
	d := must(t, everything).Evaluate(world(), pull.Memory{}, noon)
	text, err := json.Marshal(d.Verdict)
	if err != nil {
		t.Fatal(err)
	}
	var back Verdict
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Digest() != d.Verdict.Digest() || len(d.Verdict.Digest()) != 32 {
		t.Errorf("Digest of what came back = %s, want %s", back.Digest(), d.Verdict.Digest())
	}
}

func TestEnvironmentIsDocumented(t *testing.T) {
	for _, v := range Environment() {
		if v.Doc == "" || v.Type == "" {
			t.Errorf("%s has no documentation or type", v.Name)
		}
	}
	if !slices.ContainsFunc(Environment(), func(v Variable) bool { return v.Name == "approved" }) {
		t.Error("approved is missing")
	}
}
