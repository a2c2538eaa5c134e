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
	person := pull.Actor{ID: 3, Login: "Bob", Type: pull.User}
	reviewed := func(by pull.Actor, state pull.ReviewState, sha pull.SHA, at time.Time) pull.Snapshot {
		return pull.Snapshot{Us: us, Reviews: []pull.Review{{ID: 81, Author: by, State: state, Commit: sha, SubmittedAt: at}}}
	}
	said := func(by pull.Actor, body string) pull.Snapshot {
		return pull.Snapshot{Us: us, Comments: []pull.Comment{{Source: pull.Conversation, ID: 97, NodeID: "IC_1", Author: by, Body: body, Reacted: []string{"eyes"}}}}
	}
	checked := func(state pull.CheckState, at time.Time) pull.Snapshot {
		return pull.Snapshot{Checks: []pull.Check{{Suite: 118, State: state, StartedAt: at}}}
	}
	note := pull.Action{Kind: pull.WriteComment, Target: "c1", Body: "No.\n\n" + pull.Marker("c1")}
	approve, rerun := pull.Action{Kind: pull.Approve, SHA: "aaa", Target: "aaa"}, pull.Action{Kind: pull.Rerun, Target: "118:c1"}
	fast := pull.Action{Kind: pull.Merge, SHA: "aaa", Target: "aaa", Method: pull.FastForward}
	other := pull.Report{Name: pull.ApprovalsName, SHA: "aaa", State: pull.ReportGood, Digest: "d1"}
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
		{
			"a report of another name that shows was made",
			pull.Action{Kind: pull.SetReport, SHA: "aaa", Target: "pr-manager/approvals@aaa", Report: &other},
			pull.Snapshot{Report: &pull.Report{SHA: "aaa", State: pull.ReportGood, Digest: "d1"}, Reports: []pull.Report{other}},
			pull.Done, false,
		},
		{
			"the main report is not it",
			pull.Action{Kind: pull.SetReport, SHA: "aaa", Target: "pr-manager/approvals@aaa", Report: &other},
			pull.Snapshot{Report: &pull.Report{SHA: "aaa", State: pull.ReportGood, Digest: "d1"}},
			pull.Superseded, false,
		},
		{"who is asked was asked", pull.Action{Kind: pull.AskReview, Target: "bob"}, pull.Snapshot{ReviewRequests: []pull.ReviewRequest{{Who: person}}}, pull.Done, false},
		{"a team that is asked was asked", pull.Action{Kind: pull.AskReview, Target: "octo/Backend"}, pull.Snapshot{ReviewRequests: []pull.ReviewRequest{{Team: "octo/backend"}}}, pull.Done, false},
		{"who has reviewed since was asked", pull.Action{Kind: pull.AskReview, Target: "bob"}, reviewed(person, pull.Commented, "aaa", t0.Add(time.Second)), pull.Done, false},
		{"who had reviewed before was not", pull.Action{Kind: pull.AskReview, Target: "bob"}, reviewed(person, pull.Commented, "aaa", t0.Add(-time.Second)), pull.Superseded, false},
		{"who is not asked is no longer asked", pull.Action{Kind: pull.UnaskReview, Target: "bob"}, pull.Snapshot{}, pull.Done, false},
		{"who is asked still is", pull.Action{Kind: pull.UnaskReview, Target: "bob"}, pull.Snapshot{ReviewRequests: []pull.ReviewRequest{{Who: person}}}, pull.Superseded, false},
		{"who is assigned was assigned", pull.Action{Kind: pull.Assign, Target: "bob"}, pull.Snapshot{Assignees: []pull.Actor{person}}, pull.Done, false},
		{"who is not assigned was not", pull.Action{Kind: pull.Assign, Target: "bob"}, pull.Snapshot{}, pull.Superseded, false},
		{"who is not assigned was unassigned", pull.Action{Kind: pull.Unassign, Target: "bob"}, pull.Snapshot{}, pull.Done, false},
		{"the title that shows was set", pull.Action{Kind: pull.Retitle, Target: "c1", Title: "Better"}, pull.Snapshot{Title: "Better"}, pull.Done, false},
		{"another title was not", pull.Action{Kind: pull.Retitle, Target: "c1", Title: "Better"}, pull.Snapshot{Title: "Worse"}, pull.Superseded, false},
		{"what is no draft was made ready", pull.Action{Kind: pull.MarkReady}, pull.Snapshot{}, pull.Done, false},
		{"a draft was not", pull.Action{Kind: pull.MarkReady}, pull.Snapshot{Draft: true}, pull.Superseded, false},
		{"a draft was made one", pull.Action{Kind: pull.MarkDraft}, pull.Snapshot{Draft: true}, pull.Done, false},
		{"an approval that shows was given", approve, reviewed(us, pull.Approved, "aaa", t0), pull.Done, false},
		{"an approval of another commit was not", approve, reviewed(us, pull.Approved, "bbb", t0), pull.Superseded, false},
		{"an approval of somebody else is not ours", approve, reviewed(person, pull.Approved, "aaa", t0), pull.Superseded, false},
		{"a dismissed review was dismissed", pull.Action{Kind: pull.Unapprove, Target: "81"}, reviewed(us, pull.Dismissed, "aaa", t0), pull.Done, false},
		{"a review that stands was not", pull.Action{Kind: pull.Unapprove, Target: "81"}, reviewed(us, pull.Approved, "aaa", t0), pull.Superseded, false},
		{"a suite that runs was started again", rerun, checked(pull.CheckPending, t0.Add(-time.Hour)), pull.Done, false},
		{"a suite that has run since was too", rerun, checked(pull.CheckFailed, t0.Add(time.Second)), pull.Done, false},
		{"a suite that has not was not", rerun, checked(pull.CheckFailed, t0.Add(-time.Hour)), pull.Superseded, false},
		{"a head that has moved was updated", pull.Action{Kind: pull.UpdateBranch, SHA: "aaa"}, pull.Snapshot{Head: pull.Branch{SHA: "bbb"}}, pull.Done, false},
		{"one that has not was not", pull.Action{Kind: pull.UpdateBranch, SHA: "aaa"}, pull.Snapshot{Head: pull.Branch{SHA: "aaa"}}, pull.Superseded, false},
		{"what is queued was enqueued", pull.Action{Kind: pull.Enqueue, SHA: "aaa"}, pull.Snapshot{State: pull.Open, Queued: &pull.QueueEntry{}}, pull.Done, false},
		{"what the queue has merged too", pull.Action{Kind: pull.Enqueue, SHA: "aaa"}, merged, pull.Done, false},
		{"what is not queued was not", pull.Action{Kind: pull.Enqueue, SHA: "aaa"}, pull.Snapshot{State: pull.Open}, pull.Superseded, false},
		{"what is not queued was dequeued", pull.Action{Kind: pull.Dequeue, SHA: "aaa"}, pull.Snapshot{State: pull.Open}, pull.Done, false},
		{"what is queued was not", pull.Action{Kind: pull.Dequeue, SHA: "aaa"}, pull.Snapshot{Queued: &pull.QueueEntry{}}, pull.Superseded, false},
		{"a base that is at the commit was moved to it", fast, pull.Snapshot{State: pull.Open, Head: pull.Branch{SHA: "bbb"}, BaseBranchTip: "aaa"}, pull.Done, false},
		{"a base that is elsewhere was not", fast, pull.Snapshot{State: pull.Open, Head: pull.Branch{SHA: "aaa"}, BaseBranchTip: "ccc"}, pull.Superseded, false},
		{"what is closed was closed", pull.Action{Kind: pull.Close}, pull.Snapshot{State: pull.Closed}, pull.Done, false},
		{"what is open was not", pull.Action{Kind: pull.Close}, pull.Snapshot{State: pull.Open}, pull.Superseded, false},
		{"what is open was reopened", pull.Action{Kind: pull.Reopen}, pull.Snapshot{State: pull.Open}, pull.Done, false},
		{"what is closed was not", pull.Action{Kind: pull.Reopen}, pull.Snapshot{State: pull.Closed}, pull.Superseded, false},
		{"another pull request's base does not show", pull.Action{Kind: pull.Retarget, Target: "9", Branch: "main"}, pull.Snapshot{}, pull.Superseded, false},
		{"a comment with the marker was written", note, said(us, note.Body+"\r\n"), pull.Done, false},
		{"somebody who quotes it has not", note, said(person, note.Body), pull.Superseded, false},
		{"a marker in the middle is none", note, said(us, note.Body+"\n\nMore."), pull.Superseded, false},
		{"a reaction that shows was left", pull.Action{Kind: pull.React, Target: "IC_1:eyes", Node: "IC_1"}, said(alice, "/merge"), pull.Done, false},
		{"another one was not", pull.Action{Kind: pull.React, Target: "IC_1:+1", Node: "IC_1"}, said(alice, "/merge"), pull.Superseded, false},
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
