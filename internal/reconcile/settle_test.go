package reconcile

import (
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

var (
	us    = pull.Actor{ID: 1, Login: "pr-manager[bot]", Type: pull.Bot}
	alice = pull.Actor{ID: 2, Login: "alice", Type: pull.User}
	t0    = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
)

func TestSettle(t *testing.T) {
	report := pull.Report{SHA: "aaa", State: pull.ReportWaiting, Title: "Waiting.", Digest: "d1"}
	labelled := func(by pull.Actor) pull.Snapshot {
		return pull.Snapshot{Us: us, Labels: []pull.Label{{Name: "docs", Present: true, SetBy: by}}}
	}
	merged := pull.Snapshot{State: pull.Merged, Head: pull.Branch{SHA: "aaa"}}
	for _, tt := range []struct {
		name   string
		action pull.Action
		snap   pull.Snapshot
		want   pull.IntentStatus
		ours   bool
	}{
		{"a label that shows was added", pull.Action{Kind: pull.AddLabel, Target: "docs"}, labelled(us), pull.Done, true},
		{"a label that a person added meanwhile is that person's", pull.Action{Kind: pull.AddLabel, Target: "docs"}, labelled(alice), pull.Done, false},
		{"a label that does not show was not added", pull.Action{Kind: pull.AddLabel, Target: "docs"}, pull.Snapshot{Us: us}, pull.Superseded, false},
		{"a label that is gone was removed", pull.Action{Kind: pull.RemoveLabel, Target: "docs"}, pull.Snapshot{Us: us}, pull.Done, false},
		{"a label that shows was not removed", pull.Action{Kind: pull.RemoveLabel, Target: "docs"}, labelled(us), pull.Superseded, false},
		{"a merge that shows happened", pull.Action{Kind: pull.Merge, SHA: "aaa", Target: "aaa"}, merged, pull.Done, false},
		{"a merge of another head is not ours", pull.Action{Kind: pull.Merge, SHA: "bbb", Target: "bbb"}, merged, pull.Superseded, false},
		{"a merge that does not show did not happen", pull.Action{Kind: pull.Merge, SHA: "aaa", Target: "aaa"}, pull.Snapshot{State: pull.Open, Head: pull.Branch{SHA: "aaa"}}, pull.Superseded, false},
		{
			"a check run that shows was made",
			pull.Action{Kind: pull.SetReport, SHA: "aaa", Target: "aaa", Report: &report},
			pull.Snapshot{Head: pull.Branch{SHA: "aaa"}, Report: &pull.Report{ID: 9, SHA: "aaa", State: pull.ReportWaiting, Digest: "d1"}},
			pull.Done, false,
		},
		{
			"an older check run is not it",
			pull.Action{Kind: pull.SetReport, SHA: "aaa", Target: "aaa", Report: &report},
			pull.Snapshot{Head: pull.Branch{SHA: "aaa"}, Report: &pull.Report{ID: 9, SHA: "aaa", State: pull.ReportWaiting, Digest: "d0"}},
			pull.Superseded, false,
		},
		{"a branch that is gone was deleted", pull.Action{Kind: pull.DeleteBranch, Target: "topic"}, pull.Snapshot{}, pull.Done, false},
		{"a branch that is there was not", pull.Action{Kind: pull.DeleteBranch, Target: "topic"}, pull.Snapshot{HeadBranchTip: "aaa"}, pull.Superseded, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := pull.Memory{Intents: []pull.Intent{{Action: tt.action, Status: pull.Executing, StartedAt: t0}}}
			settled, after := settle(before, tt.snap, t0.Add(time.Minute))
			if len(settled) != 1 || settled[0].Status != tt.want {
				t.Fatalf("settle(%s) = %+v, want one %s", tt.action.Kind, settled, tt.want)
			}
			if got := after.Intents[0].Status; got != tt.want {
				t.Errorf("the memory after settle has it %s, want %s", got, tt.want)
			}
			if got := after.Labels["docs"].Ours; got != tt.ours {
				t.Errorf("after settle the label is ours: %v, want %v", got, tt.ours)
			}
			if before.Intents[0].Status != pull.Executing || before.Labels != nil {
				t.Error("settle changed the memory that it was given")
			}
		})
	}
}

func TestSettleLeavesTheRest(t *testing.T) {
	for _, st := range []pull.IntentStatus{pull.Planned, pull.Done, pull.Failed, pull.Superseded} {
		m := pull.Memory{Intents: []pull.Intent{{Action: pull.Action{Kind: pull.AddLabel, Target: "docs"}, Status: st}}}
		if settled, after := settle(m, pull.Snapshot{}, t0); len(settled) != 0 || after.Intents[0].Status != st {
			t.Errorf("settle touched an intent that is %s: %+v", st, settled)
		}
	}
}

func TestAwaited(t *testing.T) {
	sent := func(a pull.Action, st pull.IntentStatus) pull.Memory {
		return pull.Memory{Intents: []pull.Intent{{Action: a, Status: st, StartedAt: t0}}}
	}
	newRun := pull.Action{Kind: pull.SetReport, Report: &pull.Report{Digest: "d"}}
	for _, tt := range []struct {
		name string
		m    pull.Memory
		want time.Time
	}{
		{"nothing is open", pull.Memory{}, time.Time{}},
		{"a merge of unknown outcome", sent(pull.Action{Kind: pull.Merge}, pull.Executing), t0.Add(readBackAfter)},
		{"a new check run of unknown outcome", sent(newRun, pull.Executing), t0.Add(readBackAfter)},
		{"a merge that is done", sent(pull.Action{Kind: pull.Merge}, pull.Done), time.Time{}},
		{"a label may be set again at once", sent(pull.Action{Kind: pull.AddLabel}, pull.Executing), time.Time{}},
	} {
		if got := awaited(tt.m); !got.Equal(tt.want) {
			t.Errorf("%s: awaited = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestPoliciesOfEqualContent: two owners may have the very same file. Neither is told where the other's is.
func TestPoliciesOfEqualContent(t *testing.T) {
	var cache policyCache
	file := func(owner string) pull.Document {
		return pull.Document{Found: true, Path: owner + "/.github/.github/pr-manager.yml@main", OID: "f11e", Text: "version: 1\n"}
	}
	for _, owner := range []string{"secretive", "octo"} {
		e := cache.resolve(pull.Snapshot{Policy: file(owner), Defaults: file(owner)}, pull.History{})
		if want := file(owner).Path; e.NewlyValid == nil || e.NewlyValid.Path != want {
			t.Errorf("the policy of %s is kept as %+v", owner, e.NewlyValid)
		}
		if e := cache.resolve(pull.Snapshot{Defaults: file(owner)}, pull.History{}); e.Source.Path != file(owner).Path {
			t.Errorf("the policy of %s is said to be %s", owner, e.Source.Path)
		}
	}
}
