package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/github"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/reconcile"
)

// A stage is a pull request at a simulated GitHub, and a client that acts on it.
type stage struct {
	t                 *testing.T
	hub               *githubtest.Server
	repo              *githubtest.Repo
	alice, bob, carol *githubtest.User
	ci, workflows     *githubtest.App
	pr, other         *githubtest.PR
	client            *github.Client
	scope             pull.Scope
	comment           *githubtest.Comment
	ours              int64 // the id of the newest review of ours
}

func (s *stage) look() pull.Snapshot {
	s.t.Helper()
	snap, err := s.client.Snapshot(s.t.Context(), s.scope, pull.Repo{Owner: "octo", Name: "app"}, s.pr.Number())
	if err != nil {
		s.t.Fatal(err)
	}
	return snap
}

// onStage runs a test with a stage of its own, as an App or with a token.
func onStage(t *testing.T, as string, test func(*stage)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		hub, err := githubtest.New(githubtest.Options{Dir: dir, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		hub.MergeableAfter(0)
		s := &stage{t: t, hub: hub, alice: hub.User("alice"), bob: hub.User("bob"), carol: hub.User("carol")}
		s.repo = hub.Repo("octo/app", githubtest.RepoOptions{})
		for _, u := range []*githubtest.User{s.alice, s.bob, s.carol, hub.User("robot")} {
			s.repo.Grant(u, githubtest.CanWrite)
		}
		s.repo.GrantTeam(hub.Team("octo/backend").Add(s.carol), githubtest.CanWrite)
		s.ci = hub.App("ci", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
		s.workflows = hub.App("github-actions", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
		self := hub.App("pr-manager", githubtest.AppOptions{Permissions: pull.AppPermissions(), Events: pull.AppEvents()})
		for _, app := range []*githubtest.App{s.ci, s.workflows, self} {
			app.Install(s.repo.Owner(), s.repo)
		}
		s.repo.Push("topic", map[string]string{"a": "a\n"}, "Work", s.alice)
		s.pr = s.repo.Open(s.alice, "topic", "main", "One", "")
		s.repo.Branch("next", "topic", s.alice)
		s.repo.Push("next", map[string]string{"b": "b\n"}, "More", s.alice)
		s.other = s.repo.Open(s.alice, "next", "topic", "Two", "")
		s.comment = s.pr.Comment(s.bob, "/merge")
		o := github.Options{HTTP: hub.Transport()}
		if as == "app" {
			o.AppID, o.AppKey = self.ID, func() []byte { return []byte(self.PrivateKey()) }
			s.scope = pull.ScopeApp(self.Install(s.repo.Owner(), s.repo).ID)
		} else {
			o.Token = hub.User("robot").Token
			s.scope = pull.ScopeToken
		}
		if s.client, err = github.New(o); err != nil {
			t.Fatal(err)
		}
		test(s)
	})
}

// acts are one action of every kind: what has to be there before it, and the action as it follows from a snapshot.
var acts = []struct {
	kind   pull.ActionKind
	before func(*stage)
	action func(*stage, pull.Snapshot) pull.Action
}{
	{pull.AddLabel, nil, func(*stage, pull.Snapshot) pull.Action {
		return pull.Action{Target: "bug", Color: "d73a4a", Description: "It is broken"}
	}},
	{pull.RemoveLabel, func(s *stage) { s.pr.Label(s.bob, "old") }, func(*stage, pull.Snapshot) pull.Action { return pull.Action{Target: "old"} }},
	{pull.AskReview, nil, func(*stage, pull.Snapshot) pull.Action { return pull.Action{Target: "bob"} }},
	{pull.AskReview, nil, func(*stage, pull.Snapshot) pull.Action { return pull.Action{Target: "octo/backend"} }},
	{pull.UnaskReview, func(s *stage) { s.pr.RequestReview(s.alice, s.bob) }, func(*stage, pull.Snapshot) pull.Action { return pull.Action{Target: "bob"} }},
	{pull.UnaskReview, func(s *stage) { s.pr.RequestTeam(s.alice, s.hub.Team("octo/backend")) }, func(*stage, pull.Snapshot) pull.Action {
		return pull.Action{Target: "octo/backend"}
	}},
	{pull.Assign, nil, func(*stage, pull.Snapshot) pull.Action { return pull.Action{Target: "bob"} }},
	{pull.Unassign, func(s *stage) { s.pr.Assign(s.alice, s.bob) }, func(*stage, pull.Snapshot) pull.Action { return pull.Action{Target: "bob"} }},
	{pull.Retitle, nil, func(*stage, pull.Snapshot) pull.Action { return pull.Action{Target: "c1", Title: "Better"} }},
	{pull.MarkReady, func(s *stage) { s.pr.ConvertToDraft(s.alice) }, onHead},
	{pull.MarkDraft, nil, onHead},
	{pull.Approve, nil, func(_ *stage, snap pull.Snapshot) pull.Action {
		sha := string(snap.Head.SHA)
		return pull.Action{Target: sha, SHA: snap.Head.SHA, Body: "Fine.\n\n" + pull.Marker(sha)}
	}},
	{pull.Unapprove, func(s *stage) {
		snap := s.look()
		id, err := s.client.Apply(s.t.Context(), s.scope, snap, pull.Action{Kind: pull.Approve, Target: string(snap.Head.SHA), SHA: snap.Head.SHA})
		if err != nil {
			s.t.Fatal(err)
		}
		s.ours = id
	}, func(s *stage, _ pull.Snapshot) pull.Action {
		return pull.Action{Target: fmt.Sprint(s.ours), Why: "It was pushed to."}
	}},
	{pull.SetReport, nil, report("")},
	{pull.SetReport, nil, report(pull.ApprovalsName)},
	{pull.Rerun, func(s *stage) { s.repo.Check(s.pr.Head(), s.workflows, "build", "completed", "failure") }, func(_ *stage, snap pull.Snapshot) pull.Action {
		return pull.Action{Target: fmt.Sprintf("%d:c1", snap.Checks[0].Suite)}
	}},
	{pull.UpdateBranch, func(s *stage) { s.repo.Push("main", map[string]string{"z": "z\n"}, "Go on", s.bob) }, onHead},
	{pull.UpdateBranch, func(s *stage) { s.repo.Push("main", map[string]string{"z": "z\n"}, "Go on", s.bob) }, func(s *stage, snap pull.Snapshot) pull.Action {
		a := onHead(s, snap)
		a.Method = pull.Rebase
		return a
	}},
	{pull.Enqueue, func(s *stage) {
		s.repo.Rules("main", githubtest.Ruleset{MergeQueue: true, Checks: []string{"slow"}})
		s.slow()
	}, onHead},
	{pull.Dequeue, func(s *stage) {
		s.repo.Rules("main", githubtest.Ruleset{MergeQueue: true, Checks: []string{"slow"}})
		s.slow()
		s.pr.Enqueue(s.bob)
	}, onHead},
	{pull.Merge, nil, func(s *stage, snap pull.Snapshot) pull.Action {
		a := onHead(s, snap)
		a.Method, a.Title, a.Body = pull.Squash, "Do it (#1)", "For this."
		return a
	}},
	{pull.Merge, nil, func(s *stage, snap pull.Snapshot) pull.Action {
		a := onHead(s, snap)
		a.Method = pull.FastForward
		return a
	}},
	{pull.Close, nil, onHead},
	{pull.Reopen, func(s *stage) { s.pr.Close(s.alice) }, func(*stage, pull.Snapshot) pull.Action { return pull.Action{Target: "c1"} }},
	{pull.DeleteBranch, func(s *stage) {
		s.pr.Merge(s.bob, "merge")
		s.other.Retarget(s.bob, "main")
	}, func(_ *stage, snap pull.Snapshot) pull.Action {
		return pull.Action{Target: "topic", SHA: snap.Head.SHA}
	}},
	{pull.WriteComment, nil, func(*stage, pull.Snapshot) pull.Action {
		return pull.Action{Target: "c1", Body: "No, since it is too late.\n\n" + pull.Marker("c1")}
	}},
	{pull.DropComment, func(s *stage) { s.comment = s.pr.Comment(s.hub.User("robot"), "No.") }, func(s *stage, _ pull.Snapshot) pull.Action {
		return pull.Action{Target: fmt.Sprint(s.comment.ID())}
	}},
	{pull.React, nil, func(s *stage, snap pull.Snapshot) pull.Action {
		i := slices.IndexFunc(snap.Comments, func(c pull.Comment) bool { return c.ID == s.comment.ID() })
		return pull.Action{Target: snap.Comments[i].NodeID + ":+1", Node: snap.Comments[i].NodeID}
	}},
}

func onHead(_ *stage, snap pull.Snapshot) pull.Action {
	return pull.Action{Target: string(snap.Head.SHA), SHA: snap.Head.SHA}
}

func (s *stage) slow() { s.repo.Check(s.pr.Head(), s.ci, "slow", "completed", "success") }

func report(name string) func(*stage, pull.Snapshot) pull.Action {
	return func(_ *stage, snap pull.Snapshot) pull.Action {
		r := pull.Report{Name: name, SHA: snap.Head.SHA, State: pull.ReportGood, Title: "Fine"}
		target := string(snap.Head.SHA)
		if name != "" {
			target = name + "@" + target
		}
		if snap.AsApp {
			r.Digest = r.Fingerprint()
		}
		return pull.Action{Target: target, SHA: snap.Head.SHA, Report: &r}
	}
}

// Every kind of action, done at GitHub, shows in the next snapshot as done, also when GitHub's answer to it was lost; what has
// not been done does not. What may be repeated may be, and what may not is only ever sent once.
func TestActionsShow(t *testing.T) {
	tried := map[pull.ActionKind]bool{}
	for _, as := range []string{"app", "token"} {
		for _, lost := range []bool{false, true} {
			for i, act := range acts {
				tried[act.kind] = true
				t.Run(fmt.Sprintf("%s %d as %s, lost %v", act.kind, i, as, lost), func(t *testing.T) {
					onStage(t, as, func(s *stage) {
						if act.before != nil {
							act.before(s)
						}
						before := s.look()
						in := pull.Intent{Action: act.action(s, before), Status: pull.Executing, StartedAt: time.Now()}
						in.Action.Kind = act.kind
						if reconcile.Happened(in, before) {
							s.t.Fatalf("it shows as done before it is: %+v", before)
						}
						marked := len(s.hub.Journal())
						time.Sleep(2 * time.Second)
						if lost {
							s.hub.Fail(githubtest.Fault{Op: writeOf(in.Action, as), After: true})
						}
						_, err := s.client.Apply(s.t.Context(), s.scope, before, in.Action)
						if f, ok := pull.FaultOf(err); lost && (!ok || f.Class != pull.FaultUnclear) || !lost && err != nil {
							s.t.Fatalf("Apply = %v", err)
						}
						after := s.look()
						if !reconcile.Happened(in, after) {
							s.t.Errorf("it does not show as done: %+v\n%+v", after, s.hub.Journal()[marked:])
						}
						if _, err := s.client.Apply(s.t.Context(), s.scope, before, in.Action); in.Action.Repeatable() && err != nil {
							s.t.Errorf("done again: %v", err)
						}
					})
				})
			}
		}
	}
	for _, k := range pull.ActionKinds {
		if !tried[k] && k != pull.Retarget {
			t.Errorf("no %s is tried", k)
		}
	}
}

// writeOf is GitHub's name for what carries an action out.
func writeOf(a pull.Action, as string) string {
	switch {
	case a.Kind == pull.SetReport && as == "token":
		return "repos.create-commit-status"
	case a.Kind == pull.UpdateBranch && a.Method == pull.Rebase:
		return "graphql.RebaseBranch"
	case a.Method == pull.FastForward:
		return "git.update-ref"
	}
	return map[pull.ActionKind]string{
		pull.AddLabel: "issues.add-labels", pull.RemoveLabel: "issues.remove-label", pull.AskReview: "pulls.request-reviewers",
		pull.UnaskReview: "pulls.remove-requested-reviewers", pull.Assign: "issues.add-assignees", pull.Unassign: "issues.remove-assignees",
		pull.Retitle: "pulls.update", pull.MarkReady: "graphql.MarkReady", pull.MarkDraft: "graphql.MarkDraft", pull.Approve: "pulls.create-review",
		pull.Unapprove: "pulls.dismiss-review", pull.SetReport: "checks.create", pull.Rerun: "actions.re-run-workflow-failed-jobs",
		pull.UpdateBranch: "pulls.update-branch", pull.Enqueue: "graphql.Enqueue", pull.Dequeue: "graphql.Dequeue", pull.Merge: "pulls.merge",
		pull.Close: "pulls.update", pull.Reopen: "pulls.update", pull.Retarget: "pulls.update", pull.DeleteBranch: "git.delete-ref",
		pull.WriteComment: "issues.create-comment", pull.DropComment: "issues.delete-comment", pull.React: "graphql.React",
	}[a.Kind]
}

// TestARetargetIsReadBeforeItIsDone: it does not show in the snapshot of the pull request that it is done for, so doing it again
// must be harmless, and what somebody else has decided meanwhile stays.
func TestARetargetIsReadBeforeItIsDone(t *testing.T) {
	onStage(t, "app", func(s *stage) {
		snap := s.look()
		a := pull.Action{Kind: pull.Retarget, Target: fmt.Sprint(s.other.Number()), Branch: "main"}
		s.hub.Fail(githubtest.Fault{Op: writeOf(a, "app"), After: true})
		_, err := s.client.Apply(s.t.Context(), s.scope, snap, a)
		if f, ok := pull.FaultOf(err); !ok || f.Class != pull.FaultUnclear {
			s.t.Fatalf("Apply = %v, want unclear", err)
		}
		if reconcile.Happened(pull.Intent{Action: a}, s.look()) {
			s.t.Error("it is taken for done, and nothing shows it")
		}
		marked := len(s.hub.Journal())
		if _, err := s.client.Apply(s.t.Context(), s.scope, snap, a); err != nil || len(s.hub.Journal()) != marked {
			s.t.Errorf("done again: %v, with %v", err, s.hub.Journal()[marked:])
		}
		s.repo.Branch("release", "main", s.bob)
		s.other.Retarget(s.bob, "release")
		_, err = s.client.Apply(s.t.Context(), s.scope, snap, a)
		if f, ok := pull.FaultOf(err); !ok || f.Class != pull.FaultRefused || !strings.Contains(f.Message, "release now") {
			s.t.Errorf("after somebody has moved it: %v, want refused", err)
		}
	})
}
