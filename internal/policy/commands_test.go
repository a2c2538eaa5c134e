package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

var (
	mender = pull.Actor{ID: 20, Login: "renovate[bot]", Type: pull.Bot}
	ghost  = pull.Actor{}
)

// talk is the world after somebody has said something in the conversation, a minute ago, when the head was what it is now.
func talk(who pull.Actor, body string, change ...func(*pull.Snapshot)) (pull.Snapshot, pull.Memory) {
	s := world(func(s *pull.Snapshot) {
		s.AsApp = true
		s.Comments = []pull.Comment{said(100, who, body, noon.Add(-time.Minute))}
		s.Known.People = everybody()
	})
	for _, c := range change {
		c(&s)
	}
	return s, pull.Memory{Heads: []pull.HeadAt{{SHA: head, At: noon.Add(-time.Hour)}}}
}

func said(id int64, who pull.Actor, body string, at time.Time) pull.Comment {
	return pull.Comment{Source: pull.Conversation, ID: id, NodeID: fmt.Sprint("IC_", id), Author: who, Body: body, At: at}
}

// everybody has been looked up: bob writes, carol maintains, alice may triage, eve only reads.
func everybody() map[string]pull.Person {
	return map[string]pull.Person{
		"alice": {Actor: alice, Permission: pull.PermissionRead}, "bob": {Actor: bob, Permission: pull.PermissionWrite},
		"carol": {Actor: carol, Permission: pull.PermissionMaintain}, "eve": {Actor: eve, Permission: pull.PermissionRead},
		"renovate[bot]": {Actor: mender, Permission: pull.PermissionWrite},
	}
}

// outcome shows commands as "merge done; hold refused: command_not_allowed".
func outcome(commands []pull.Command) string {
	var out []string
	for _, c := range commands {
		s := c.Verb + " " + string(c.Status)
		if c.Reason != "" {
			var r Reason
			if err := json.Unmarshal([]byte(c.Reason), &r); err != nil {
				panic(err)
			}
			s += ": " + string(r.Code)
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

// follow is the memory after a decision was written down and carried out, as far as commands go; the ledger says that all that
// was wanted is in a state.
func follow(m pull.Memory, d Decision, status pull.IntentStatus, at time.Time) pull.Memory {
	next := d.Memory
	next.Heads, next.Intents = m.Heads, slices.Clone(m.Intents)
	byKey := map[string]int{}
	next.Commands = slices.Clone(m.Commands)
	for i, c := range next.Commands {
		byKey[c.Key] = i
	}
	for _, c := range d.Commands {
		if i, known := byKey[c.Key]; known {
			next.Commands[i] = c
			continue
		}
		next.Commands = append(next.Commands, c)
	}
	actions := slices.Clone(d.Actions)
	for _, r := range d.Replies {
		actions = append(actions, pull.Action{Kind: pull.WriteComment, Target: r.Target()})
	}
	for _, a := range actions {
		in := pull.Intent{Action: a, Status: status, Attempt: 1, PlannedAt: at, StartedAt: at, DoneAt: at}
		if status == pull.Failed {
			in.Failures, in.Error = 1, "Reviews may only be requested from collaborators."
		}
		next.Intents = slices.DeleteFunc(next.Intents, func(old pull.Intent) bool { return old.Action.Kind == a.Kind && old.Action.Target == a.Target })
		next.Intents = append(next.Intents, in)
	}
	return next
}

const plain = "version: 1\nmerge: { if: 'false', command: true }\n"

func TestWhoMayGiveACommand(t *testing.T) {
	for _, tt := range []struct {
		policy, body string
		who          pull.Actor
		want         string
	}{
		{plain, "/merge", bob, "merge done"},
		{plain, "/merge", carol, "merge done"},
		{plain, "/merge", alice, "merge refused: command_not_allowed"},
		{plain, "/merge", eve, "merge refused: command_not_allowed"},
		{plain, "/merge", ghost, ""},
		{plain, "/hold", alice, "hold done"},
		{plain, "/hold", eve, "hold refused: command_not_allowed"},
		{plain, "/why", eve, "why done"},
		{plain, "/help me", eve, "help done"},
		{plain, "/merge", mender, "merge ignored"},
		{plain, "/lgtm", mender, ""},
		{plain + "commands: { bots: 'renovate[bot]' }\n", "/merge", mender, "merge done"},
		{plain + "commands: { bots: 'dependabot[bot]' }\n", "/merge", mender, "merge ignored"},
		{plain + "commands: { merge: { allow: [maintain] } }\n", "/merge", bob, "merge refused: command_not_allowed"},
		{plain + "commands: { merge: { allow: maintain } }\n", "/merge", carol, "merge done"},
		{plain + "commands: { merge: { allow: [author] } }\n", "/merge", alice, "merge done"},
		{plain + "commands: { merge: { allow: [eve, '@octo/core'] } }\n", "/merge", eve, "merge done"},
		{plain + "commands: { merge: off }\n", "/merge", carol, "merge refused: command_off"},
		{plain + "commands: { merge: { allow: [] } }\n", "/merge", carol, "merge refused: command_off"},
		{plain + "commands: off\n", "/merge", carol, ""},
		{plain + "mode: dry-run\n", "/merge", carol, ""},
		{plain + "commands:\n", "/merge", bob, "merge done"},
		{"version: 1\n", "/merge", bob, "merge refused: command_pointless"},
		{"version: 1\nmerge: { if: approved }\n", "/merge", bob, "merge done"},
		{"version: 1\nmerge: { if: approved, label: automerge }\n", "/merge", bob, "merge refused: command_pointless"},
		{plain, "/mege", eve, "mege refused: command_unknown"},
		{plain, "/test", eve, ""},
		{plain, "/usr/bin/merge is fine", eve, ""},
		{plain, "/merge later", bob, "merge refused: command_arguments"},
		{plain, "/close the door", bob, "close refused: command_arguments"},
		{plain, "/label", bob, "label refused: command_arguments"},
		{plain, "/cc", bob, "cc refused: command_arguments"},
		{plain, "/cc @acme/core", bob, "cc refused: command_pointless"},
		{plain, "/unmerge", bob, "unmerge refused: command_pointless"},
		{plain, "/unhold", bob, "unhold refused: command_pointless"},
		{plain, "/approve cancel", bob, "approve refused: command_pointless"},
		{plain, "/retest", bob, "retest refused: command_pointless"},
		{plain, "/reroll", bob, "reroll refused: command_pointless"},
		{plain, "/hold\n/unhold", alice, "hold done; unhold done"}, // one's own
		{plain, "/merge\n/unmerge", bob, "merge done; unmerge done"},
		{plain, "/ready", alice, "ready done"}, // it is no draft
	} {
		s, m := talk(tt.who, tt.body)
		d := must(t, tt.policy).Evaluate(s, m, noon)
		if len(d.Needs) > 0 {
			t.Errorf("%s by %s: needs %v", tt.body, tt.who.Login, d.Needs)
		}
		if got := outcome(d.Commands); got != tt.want {
			t.Errorf("%q by %s under %q: %q, want %q", tt.body, tt.who.Login, tt.policy, got, tt.want)
		}
	}
}

// What somebody may is asked of GitHub when it is decided, and what can't be had is no yes.
func TestPermissionIsAskedWhenDecided(t *testing.T) {
	p := must(t, plain+"commands: { merge: { allow: ['@octo/core', write] } }\n")
	s, m := talk(bob, "/merge", func(s *pull.Snapshot) { s.Known.People = nil })
	d := p.Evaluate(s, m, noon)
	want := []pull.Need{{Kind: pull.NeedPerson, Name: "bob", Fresh: true}, {Kind: pull.NeedTeam, Name: "octo/core"}}
	if diff := cmp.Diff(want, d.Needs); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	if len(d.Commands) > 0 || d.Memory.Merge != nil {
		t.Errorf("decided before anybody was asked: %s", outcome(d.Commands))
	}
	s.Known.People = map[string]pull.Person{"bob": {Missing: "GitHub does not answer"}}
	s.Known.Teams = map[string]pull.Team{"octo/core": {Missing: "the App may not see the organization's members"}}
	if got := outcome(p.Evaluate(s, m, noon).Commands); got != "merge refused: command_unsure" {
		t.Errorf("with nothing to be had: %s", got)
	}
	s.Known.Teams["octo/core"] = pull.Team{Members: []pull.Actor{bob}}
	if got := outcome(p.Evaluate(s, m, noon).Commands); got != "merge done" {
		t.Errorf("as a member of the team: %s", got)
	}
	// Somebody else has the login by now.
	s.Known.Teams["octo/core"] = pull.Team{}
	s.Known.People["bob"] = pull.Person{Actor: eve, Permission: pull.PermissionAdmin}
	if got := outcome(p.Evaluate(s, m, noon).Commands); got != "merge refused: command_not_allowed" {
		t.Errorf("with a login that changed hands: %s", got)
	}
}

// /merge and /approve count for the commit that their writer saw.
func TestCommandsAreBoundToTheHead(t *testing.T) {
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute-60) * time.Minute) }
	said := at(30)
	for _, tt := range []struct {
		name   string
		heads  []pull.HeadAt
		moves  []pull.HeadAt
		change func(*pull.Comment)
		want   string
	}{
		{"seen before", []pull.HeadAt{{SHA: head, At: at(1)}}, nil, nil, "done"},
		{"nothing known", nil, nil, nil, "refused: command_head_unknown"},
		{"seen only later", []pull.HeadAt{{SHA: head, At: at(31)}}, nil, nil, "refused: command_head_unknown"},
		{"pushed after it", []pull.HeadAt{{SHA: older, At: at(1)}, {SHA: head, At: at(31)}}, nil, nil, "refused: command_old_head"},
		{"pushed before it", []pull.HeadAt{{SHA: older, At: at(1)}, {SHA: head, At: at(29)}}, nil, nil, "done"},
		{"in the same second", []pull.HeadAt{{SHA: older, At: at(1)}, {SHA: head, At: said.Add(400 * time.Millisecond)}}, nil, nil, "refused: command_head_unknown"},
		{"a second before", []pull.HeadAt{{SHA: older, At: at(1)}, {SHA: head, At: said.Add(-time.Second)}}, nil, nil, "done"},
		{"forced there after it", []pull.HeadAt{{SHA: older, At: at(1)}}, []pull.HeadAt{{SHA: head, At: at(31)}}, nil, "refused: command_old_head"},
		{"forced there before it", nil, []pull.HeadAt{{SHA: head, At: at(29)}}, nil, "done"},
		{"forced away and back, unseen", []pull.HeadAt{{SHA: head, At: at(1)}}, []pull.HeadAt{{SHA: head, At: at(31)}}, nil, "refused: command_head_unknown"},
		{"forced away and back, seen", []pull.HeadAt{{SHA: head, At: at(1)}, {SHA: older, At: at(31)}}, []pull.HeadAt{{SHA: head, At: at(32)}}, nil, "refused: command_head_unknown"},
		{"forced away and back by way of another, unseen", []pull.HeadAt{{SHA: head, At: at(1)}}, []pull.HeadAt{{SHA: older, At: at(31)}, {SHA: head, At: at(32)}}, nil, "refused: command_head_unknown"},
		{"seen again after it", []pull.HeadAt{{SHA: head, At: at(1)}, {SHA: head, At: at(40)}}, nil, nil, "done"},
		{"a review of the head", nil, nil, func(c *pull.Comment) { c.Source, c.Commit = pull.ReviewBody, head }, "done"},
		{"a review of an older commit", []pull.HeadAt{{SHA: head, At: at(1)}}, nil, func(c *pull.Comment) { c.Source, c.Commit = pull.ReviewLine, older }, "refused: command_old_head"},
		{"a review of nobody knows what", []pull.HeadAt{{SHA: head, At: at(1)}}, nil, func(c *pull.Comment) { c.Source = pull.ReviewBody }, "refused: command_head_unknown"},
		{"edited on the same head", []pull.HeadAt{{SHA: head, At: at(1)}}, nil, func(c *pull.Comment) { c.Editor, c.EditedAt = bob, at(40) }, "done"},
		{"edited after a push", []pull.HeadAt{{SHA: older, At: at(1)}, {SHA: head, At: at(35)}}, nil, func(c *pull.Comment) { c.Editor, c.EditedAt = bob, at(40) }, "refused: command_edited"},
		{"edited by somebody else", []pull.HeadAt{{SHA: head, At: at(1)}}, nil, func(c *pull.Comment) { c.Editor, c.EditedAt = carol, at(40) }, "refused: command_edited"},
	} {
		for _, verb := range []string{"merge", "approve"} {
			s, m := talk(bob, "/"+verb, func(s *pull.Snapshot) { s.Moves = tt.moves })
			s.Comments[0].At = said
			if tt.change != nil {
				tt.change(&s.Comments[0])
			}
			m.Heads = tt.heads
			d := must(t, plain).Evaluate(s, m, noon)
			if got := outcome(d.Commands); got != verb+" "+tt.want {
				t.Errorf("%s: %q, want %q", tt.name, got, verb+" "+tt.want)
			}
			if _, approved := d.Memory.Approvals[bob.ID]; (d.Memory.Merge != nil || approved) != (tt.want == "done") {
				t.Errorf("%s: /%s leaves %+v, %+v in force", tt.name, verb, d.Memory.Merge, d.Memory.Approvals)
			}
		}
	}
	// It is about a change to the base as well: who can choose another must not have little asked for and much merged.
	for _, verb := range []string{"merge", "approve"} {
		s, m := talk(bob, "/"+verb)
		d := must(t, plain).Evaluate(s, m, noon)
		m = follow(m, d, pull.Done, noon)
		m.Merge, m.Approvals = d.Memory.Merge, d.Memory.Approvals
		s.BaseSince = noon.Add(time.Second)
		d = must(t, plain).Evaluate(s, m, noon.Add(time.Minute))
		if d.Memory.Merge != nil {
			t.Errorf("/%s before the base was changed leaves %+v in force", verb, d.Memory.Merge)
		}
		s.Comments[0].ID = 101
		if d = must(t, plain).Evaluate(s, pull.Memory{Heads: m.Heads}, noon.Add(time.Minute)); outcome(d.Commands) != verb+" refused: command_head_unknown" {
			t.Errorf("/%s before the base was changed, and read after: %s", verb, outcome(d.Commands))
		}
	}
	// What only holds things up needs no such care.
	s, m := talk(alice, "/hold")
	m.Heads = nil
	if got := outcome(must(t, plain).Evaluate(s, m, noon).Commands); got != "hold done" {
		t.Errorf("/hold on an unknown head: %s", got)
	}
}

// GitHub's events are late by seconds: what tells which commit was the head may come after the comment.
func TestTheHeadMayBeToldOfLater(t *testing.T) {
	p := must(t, plain)
	at := noon.Add(-5 * time.Second)
	s, m := talk(bob, "/merge\n/label a", func(s *pull.Snapshot) { s.Comments[0].At = at })
	m.Heads = []pull.HeadAt{{SHA: older, At: noon.Add(-time.Hour)}}
	d := p.Evaluate(s, m, noon)
	if outcome(d.Commands) != "label open" || d.Again != at.Add(headsFor) {
		t.Errorf("at first: %s, again %v", outcome(d.Commands), d.Again)
	}
	m = follow(m, d, pull.Done, noon)
	if d = p.Evaluate(s, m, noon); outcome(d.Commands) != "label done" || len(d.Actions) > 0 {
		t.Errorf("answered before all of it is decided: %s, %s", outcome(d.Commands), acted(d.Actions))
	}
	told := m
	told.Heads = append(slices.Clone(m.Heads), pull.HeadAt{SHA: head, At: at.Add(-10 * time.Second)})
	if d = p.Evaluate(s, told, noon); !strings.Contains(outcome(d.Commands), "merge done") {
		t.Errorf("told of the push: %s", outcome(d.Commands))
	}
	if d = p.Evaluate(s, m, at.Add(headsFor)); !strings.Contains(outcome(d.Commands), "merge refused: command_old_head") {
		t.Errorf("never told: %s", outcome(d.Commands))
	}
	// Meanwhile it can be taken back, by whoever may.
	s.Comments = append(s.Comments, said(101, alice, "/unmerge", noon.Add(-time.Second)))
	if d = p.Evaluate(s, told, noon); !strings.Contains(outcome(d.Commands), "merge done; unmerge done") || d.Memory.Merge != nil {
		t.Errorf("told of the push, and taken back: %s", outcome(d.Commands))
	}
	if d = p.Evaluate(s, m, noon); !strings.Contains(outcome(d.Commands), "unmerge done; merge done") || d.Memory.Merge != nil {
		t.Errorf("taken back before it was clear: %s, %+v", outcome(d.Commands), d.Memory.Merge)
	}
	m = follow(m, d, pull.Done, noon)
	m.Heads = told.Heads
	if d = p.Evaluate(s, m, noon.Add(time.Minute)); d.Memory.Merge != nil || len(d.Commands) > 0 {
		t.Errorf("it comes back: %s, %+v", outcome(d.Commands), d.Memory.Merge)
	}
}

func TestAPushTakesAMergeBack(t *testing.T) {
	p := must(t, plain)
	s, m := talk(bob, "/merge squash")
	d := p.Evaluate(s, m, noon)
	if o := d.Memory.Merge; o == nil || !o.By.Same(bob) || o.SHA != head || o.Args != "squash" {
		t.Fatalf("/merge squash = %+v", o)
	}
	m = follow(m, d, pull.Done, noon)
	s.Head.SHA = "bbbbbbb"
	if d = p.Evaluate(s, m, noon); !strings.Contains(codes(d.Verdict.Reasons), "command_outdated") {
		t.Errorf("after a push: %s", codes(d.Verdict.Reasons))
	}
	s.Head.SHA, s.State = head, pull.Closed
	if d = p.Evaluate(s, m, noon); d.Memory.Merge != nil {
		t.Error("the /merge outlives a close")
	}
}

func TestOnceAndOnlyOnce(t *testing.T) {
	p := must(t, plain)
	s, m := talk(bob, "/close\n/label a \"b c\"\n/why")
	d := p.Evaluate(s, m, noon)
	if got, want := acted(d.Actions), "label.add a, label.add b c, close "+d.Commands[0].Key; got != want {
		t.Errorf("first: %s, want %s", got, want)
	}
	if got := outcome(d.Commands); got != "close open; label open; why done" {
		t.Errorf("first: %s", got)
	}
	if len(d.Replies) != 0 {
		t.Error("answered before everything is decided")
	}
	// Nothing of it was done yet: it is wanted again, and is no other command.
	before := follow(m, d, pull.Planned, noon)
	if again := p.Evaluate(s, before, noon); acted(again.Actions) != acted(d.Actions) || len(again.Commands) != 0 {
		t.Errorf("again: %s, %s", acted(again.Actions), outcome(again.Commands))
	}
	// All was done: now it is answered, once.
	m = follow(m, d, pull.Done, noon)
	d = p.Evaluate(s, m, noon)
	if acted(d.Actions) != "reaction IC_100:+1" || outcome(d.Commands) != "close done; label done" || len(d.Replies) != 1 || !d.Replies[0].Why {
		t.Errorf("done: %s, %s, %+v", acted(d.Actions), outcome(d.Commands), d.Replies)
	}
	m = follow(m, d, pull.Done, noon)
	if d = p.Evaluate(s, m, noon); len(d.Actions)+len(d.Commands)+len(d.Replies) > 0 {
		t.Errorf("after all: %s, %s, %+v", acted(d.Actions), outcome(d.Commands), d.Replies)
	}
	// The world goes on; what was done stays done.
	s.State = pull.Open
	s.Comments[0].EditedAt, s.Comments[0].Editor = noon.Add(time.Hour), bob
	s.Comments[0].Body = "/label a   \"b c\"\n\nsorry\n\n/close\n/hold"
	d = p.Evaluate(s, m, noon.Add(2*time.Hour))
	if got := outcome(d.Commands); got != "hold done" {
		t.Errorf("after an edit: %s", got)
	}
}

func TestWhatGitHubRefuses(t *testing.T) {
	p := must(t, plain)
	s, m := talk(bob, "/cc @eve\n/label a")
	d := p.Evaluate(s, m, noon)
	m = follow(m, d, pull.Failed, noon)
	d = p.Evaluate(s, m, noon)
	if got := outcome(d.Commands); got != "cc refused: command_failed; label refused: command_failed" {
		t.Errorf("refused: %s", got)
	}
	if acted(d.Actions) != "reaction IC_100:confused" || len(d.Replies) != 1 || codes(d.Replies[0].Refused) != "command_failed command_failed" {
		t.Errorf("refused: %s, %+v", acted(d.Actions), d.Replies)
	}
	m = follow(m, d, pull.Done, noon)
	// Said again, it is tried again: the refusal was another command's.
	s.Comments = append(s.Comments, said(101, bob, "/cc @eve", noon))
	if d = p.Evaluate(s, m, noon); acted(d.Actions) != "reviewer.add eve" {
		t.Errorf("again: %s", acted(d.Actions))
	}
	// What passes is tried again for itself, later.
	m = follow(m, d, pull.Failed, noon)
	for i := range m.Intents {
		m.Intents[i].Passing = m.Intents[i].Status == pull.Failed
	}
	if d = p.Evaluate(s, m, noon); len(d.Actions) > 0 || d.Again != noon.Add(4*time.Second) || outcome(d.Commands) != "" {
		t.Errorf("passing: %s, %s, again %v", acted(d.Actions), outcome(d.Commands), d.Again)
	}
	if d = p.Evaluate(s, m, noon.Add(5*time.Second)); acted(d.Actions) != "reviewer.add eve" {
		t.Errorf("passed: %s", acted(d.Actions))
	}
}

func TestCommandsOnWhatIsNotOpen(t *testing.T) {
	for _, tt := range []struct {
		state pull.State
		body  string
		want  string
	}{
		{pull.Closed, "/reopen", "reopen open"},
		{pull.Closed, "/label a", "label open"},
		{pull.Closed, "/why\n/help", "why done; help done"},
		{pull.Closed, "/merge", "merge refused: command_state"},
		{pull.Closed, "/close", "close refused: command_state"},
		{pull.Merged, "/reopen", "reopen refused: command_state"},
		{pull.Merged, "/unlabel hold", "unlabel done"},
		{pull.Merged, "/why", "why done"},
		{pull.Merged, "/rebase", "rebase refused: command_state"},
		{pull.Open, "/reopen", "reopen done"},
	} {
		s, m := talk(bob, tt.body, func(s *pull.Snapshot) { s.State = tt.state })
		if got := outcome(must(t, plain).Evaluate(s, m, noon).Commands); got != tt.want {
			t.Errorf("%s when %s: %s, want %s", tt.body, tt.state, got, tt.want)
		}
	}
}

func TestOldCommandsAreLeft(t *testing.T) {
	p := must(t, plain)
	for _, tt := range []struct {
		name   string
		change func(*pull.Snapshot)
		want   string
	}{
		{"a day", func(s *pull.Snapshot) { s.Comments[0].At = noon.Add(-25 * time.Hour) }, "close ignored"},
		{"half a year", func(s *pull.Snapshot) { s.Comments[0].At = noon.Add(-180 * 24 * time.Hour) }, ""},
		{"half a year, edited now", func(s *pull.Snapshot) {
			s.Comments[0].At, s.Comments[0].EditedAt, s.Comments[0].Editor = noon.Add(-180*24*time.Hour), noon, bob
		}, "close ignored"},
		{"answered by us, and not remembered", func(s *pull.Snapshot) { s.Comments[0].Reacted = []string{"+1"} }, "close ignored"},
		{"edited by a deleted account", func(s *pull.Snapshot) { s.Comments[0].EditedAt = noon }, ""},
		{"edited by a bot", func(s *pull.Snapshot) { s.Comments[0].EditedAt, s.Comments[0].Editor = noon, mender }, "close ignored"},
		{"our own", func(s *pull.Snapshot) { s.Comments[0].Author = us }, ""},
	} {
		s, m := talk(bob, "/close", tt.change)
		d := p.Evaluate(s, m, noon)
		if got := outcome(d.Commands); got != tt.want || len(d.Actions) > 0 || len(d.Replies) > 0 {
			t.Errorf("%s: %q and %s, want %q and nothing", tt.name, got, acted(d.Actions), tt.want)
		}
		m = follow(m, d, pull.Done, noon)
		if d = p.Evaluate(s, m, noon.Add(time.Hour)); len(d.Commands) > 0 {
			t.Errorf("%s: decided again: %s", tt.name, outcome(d.Commands))
		}
	}
	// With a token the service and a person have one account: what carries our marker is ours, the rest is the person's.
	s, m := talk(us, "/close", func(s *pull.Snapshot) { s.AsApp = false; s.Us.Type = pull.User; s.Comments[0].Author = s.Us })
	s.Known.People["pr-manager[bot]"] = pull.Person{Actor: us, Permission: pull.PermissionWrite}
	if got := outcome(p.Evaluate(s, m, noon).Commands); got != "close open" {
		t.Errorf("the token's person: %s", got)
	}
	s.Comments[0].Body += "\n\n" + pull.Marker("reply:comment:1")
	if got := outcome(p.Evaluate(s, m, noon).Commands); got != "" {
		t.Errorf("ours, by the token: %s", got)
	}
}

func TestEditorsAreWriters(t *testing.T) {
	s, m := talk(eve, "/close", func(s *pull.Snapshot) { s.Comments[0].EditedAt, s.Comments[0].Editor = noon, bob })
	d := must(t, plain).Evaluate(s, m, noon)
	if outcome(d.Commands) != "close open" || !d.Commands[0].Writer.Same(bob) {
		t.Errorf("edited by bob: %+v", d.Commands)
	}
	s.Comments[0].Author, s.Comments[0].Editor = bob, eve
	if got := outcome(must(t, plain).Evaluate(s, m, noon).Commands); got != "close refused: command_not_allowed" {
		t.Errorf("edited by eve: %s", got)
	}
}

// A label that was asked for in a comment is a person's: the condition neither takes it off nor puts it back.
func TestLabelsByCommand(t *testing.T) {
	p := must(t, "version: 1\nlabels:\n  Docs: { files: 'nowhere/**', color: d73a4a }\n  code: { files: 'src/**' }\n")
	s, m := talk(bob, "/label docs\n/unlabel code", func(s *pull.Snapshot) {
		s.Labels = []pull.Label{{Name: "code", Present: true, SetBy: us, SetAt: noon.Add(-time.Hour)}}
	})
	m.Labels = map[string]pull.LabelMemory{"code": {Ours: true}}
	d := p.Evaluate(s, m, noon)
	if got := acted(d.Actions); got != "label.remove code, label.add Docs" {
		t.Fatalf("asked for: %s", got)
	}
	if d.Actions[1].Color != "d73a4a" {
		t.Error("the label's colour is forgotten")
	}
	m = follow(m, d, pull.Done, noon)
	// GitHub shows for a moment what was before.
	if d = p.Evaluate(s, m, noon.Add(time.Second)); acted(d.Actions) != "reaction IC_100:+1" {
		t.Fatalf("while GitHub lags: %s", acted(d.Actions))
	}
	m = follow(m, d, pull.Done, noon.Add(time.Second))
	set(&s, "code", false, us, noon)
	set(&s, "Docs", true, us, noon)
	for _, later := range []time.Duration{2 * time.Second, time.Minute, 10 * 24 * time.Hour} {
		if later > time.Hour {
			m.Intents = nil // the ledger forgets
		}
		d = p.Evaluate(s, m, noon.Add(later))
		if len(d.Actions) > 0 {
			t.Fatalf("%v later: %s", later, acted(d.Actions))
		}
		for _, r := range d.Verdict.Rules {
			if want := map[string]Outcome{"Docs": LabelLeft, "code": LabelKeptOff}[r.Name]; r.Outcome != want || r.Why[0].By != "bob" {
				t.Errorf("%v later: %s is %s because of %s, want %s", later, r.Name, r.Outcome, r.Why[0].By, want)
			}
		}
		m = follow(m, d, pull.Done, noon.Add(later))
	}
	// A person changes it back, and the rules follow.
	set(&s, "Docs", false, carol, noon.Add(time.Hour))
	m = follow(m, p.Evaluate(s, m, noon.Add(11*24*time.Hour)), pull.Done, noon)
	set(&s, "Docs", true, us, noon.Add(2*time.Hour)) // by nobody's command
	if d = p.Evaluate(s, m, noon.Add(12*24*time.Hour)); acted(d.Actions) != "label.remove Docs" {
		t.Errorf("after a person took it off and we put it on: %s", acted(d.Actions))
	}
}

func TestTheLaterCommandCounts(t *testing.T) {
	p := must(t, plain)
	s, m := talk(bob, "/label a\n/unlabel a\n/draft\n/ready\n/assign\n/unassign bob")
	d := p.Evaluate(s, m, noon)
	if acted(d.Actions) != "reaction IC_100:+1" || outcome(d.Commands) != "label done; unlabel done; draft done; ready done; assign done; unassign done" {
		t.Errorf("%s, %s", acted(d.Actions), outcome(d.Commands))
	}
}

func TestReroll(t *testing.T) {
	p := must(t, plain)
	s, m := talk(alice, "/reroll", func(s *pull.Snapshot) {
		s.ReviewRequests = []pull.ReviewRequest{{Who: bob}, {Who: carol}}
	})
	m.Intents = []pull.Intent{{Action: pull.Action{Kind: pull.AskReview, Target: "bob"}, Status: pull.Done}}
	d := p.Evaluate(s, m, noon)
	if acted(d.Actions) != "reviewer.remove bob" || !slices.Equal(d.Memory.Passed, []string{"bob"}) {
		t.Errorf("%s, passed %v", acted(d.Actions), d.Memory.Passed)
	}
	s.Comments[0].Body = "/reroll @carol"
	if got := outcome(p.Evaluate(s, m, noon).Commands); got != "reroll refused: command_pointless" {
		t.Errorf("of somebody whom a person has asked: %s", got)
	}
}

func TestRetest(t *testing.T) {
	p := must(t, plain)
	s, m := talk(alice, "/retest", func(s *pull.Snapshot) {
		s.Checks = []pull.Check{{ID: 1, Name: "a", Suite: 5, State: pull.CheckFailed}, {ID: 2, Name: "b", Suite: 6, State: pull.CheckPassed}, {Name: "status", State: pull.CheckFailed}}
	})
	d := p.Evaluate(s, m, noon)
	key := d.Commands[0].Key
	if acted(d.Actions) != "checks.rerun 5:"+key {
		t.Errorf("%s", acted(d.Actions))
	}
	m = follow(m, d, pull.Superseded, noon)
	s.Checks[1].State = pull.CheckFailed // fails later: another /retest's
	if d = p.Evaluate(s, m, noon); acted(d.Actions) != "checks.rerun 5:"+key {
		t.Errorf("again: %s", acted(d.Actions))
	}
	s.Checks = s.Checks[2:]
	s.Comments = append(s.Comments, said(101, alice, "/retest", noon))
	m = follow(m, d, pull.Done, noon)
	if got := outcome(p.Evaluate(s, m, noon).Commands); got != "retest done; retest refused: command_pointless" {
		t.Errorf("%s", got)
	}
}

func TestUpdateFollowsTheHead(t *testing.T) {
	p := must(t, plain)
	s, m := talk(alice, "/rebase")
	d := p.Evaluate(s, m, noon)
	if acted(d.Actions) != "branch.update "+string(head) || d.Actions[0].Method != pull.Rebase || d.Actions[0].SHA != head {
		t.Fatalf("%+v", d.Actions)
	}
	m = follow(m, d, pull.Superseded, noon) // GitHub: the head has moved
	s.Head.SHA = "bbbbbbb"
	if d = p.Evaluate(s, m, noon); acted(d.Actions) != "branch.update bbbbbbb" || d.Actions[0].Method != pull.Rebase {
		t.Errorf("%+v", d.Actions)
	}
}

// What was asked just before a repository was archived is not answered there.
func TestArchivedIsNotAnswered(t *testing.T) {
	s, m := talk(eve, "/merge\n/help", func(s *pull.Snapshot) { s.Archived = true })
	if d := must(t, plain).Evaluate(s, m, noon); len(d.Actions)+len(d.Replies) > 0 {
		t.Errorf("writes %s and %+v", acted(d.Actions), d.Replies)
	}
}

// Nobody can make the service write without end, nor forget.
func TestFloods(t *testing.T) {
	p := must(t, plain)
	s, m := talk(eve, "", func(s *pull.Snapshot) { s.Comments = nil })
	for i := range 30 {
		s.Comments = append(s.Comments, said(int64(i), eve, "/help", noon.Add(time.Duration(i-60)*time.Second)))
	}
	d := p.Evaluate(s, m, noon)
	if len(d.Replies) != repliesAnHour {
		t.Errorf("%d replies, want %d", len(d.Replies), repliesAnHour)
	}
	m = follow(m, d, pull.Done, noon)
	if d = p.Evaluate(s, m, noon); len(d.Replies) != 0 {
		t.Errorf("%d more replies", len(d.Replies))
	}
	// Nor by deleting what was answered.
	s.Comments = []pull.Comment{said(40, eve, "/help", noon), said(41, bob, "/help", noon)}
	if d = p.Evaluate(s, m, noon); len(d.Replies) != 1 || d.Replies[0].CommentID != 41 {
		t.Errorf("replies %+v to somebody who deletes comments, want one to bob", d.Replies)
	}
	m.Commands = make([]pull.Command, pull.MaxCommands+1)
	if d = p.Evaluate(s, m, noon); len(d.Commands) != 0 {
		t.Errorf("%d commands of a flood", len(d.Commands))
	}
}

func TestHelpIsAboutWhoAsks(t *testing.T) {
	p := must(t, plain+"commands: { close: off }\n")
	s, m := talk(bob, "/help")
	may := map[string]bool{}
	for _, h := range p.Evaluate(s, m, noon).Replies[0].Help {
		verb, _, _ := strings.Cut(h.Usage, " ")
		may[verb] = h.May
	}
	if len(may) != len(verbs) || !may["/merge"] || !may["/label"] || may["/close"] || !may["/why"] {
		t.Errorf("bob may %v", may)
	}
}

// The order in which GitHub lists comments, and comments that are listed twice, make no difference; nor does it when the
// decision is made again, whatever has been done of it by then.
func TestCommandsAreAState(t *testing.T) {
	p := must(t, "version: 1\nlabels: { a: { files: 'src/**' } }\n")
	lines := []string{"/merge", "/hold", "/unhold", "/label a", "/unlabel a", "/label b", "/close", "/why", "/mege", "/cc @bob", "hello", "> /close", "/draft", "/assign me"}
	rapid.Check(t, func(t *rapid.T) {
		s, m := talk(bob, "")
		s.Comments = nil
		for i := range rapid.IntRange(0, 5).Draw(t, "comments") {
			body := strings.Join(rapid.SliceOfN(rapid.SampledFrom(lines), 0, 4).Draw(t, "lines"), "\n")
			who := rapid.SampledFrom([]pull.Actor{alice, bob, eve, mender, ghost}).Draw(t, "who")
			s.Comments = append(s.Comments, said(int64(i), who, body, noon.Add(-time.Duration(rapid.IntRange(0, 200).Draw(t, "age"))*time.Second)))
		}
		first := p.Evaluate(s, m, noon)
		shuffled := s
		shuffled.Comments = rapid.Permutation(s.Comments).Draw(t, "order")
		if len(s.Comments) > 0 {
			shuffled.Comments = append(slices.Clone(shuffled.Comments), s.Comments[0])
		}
		if diff := cmp.Diff(first.Memory, p.Evaluate(shuffled, m, noon).Memory); diff != "" {
			t.Fatalf("memory by the order of comments:\n%s", diff)
		}
		if diff := cmp.Diff(first.Commands, p.Evaluate(shuffled, m, noon).Commands); diff != "" {
			t.Fatalf("commands by the order of comments:\n%s", diff)
		}
		known := map[string]bool{}
		for n := range 6 {
			d := p.Evaluate(s, m, noon.Add(time.Duration(n)*time.Minute))
			for _, c := range d.Commands {
				if known[c.Key] && !slices.ContainsFunc(m.Commands, func(k pull.Command) bool { return k.Key == c.Key && k.Status == pull.CommandOpen }) {
					t.Fatalf("%s was decided on twice", c.Key)
				}
				known[c.Key] = true
			}
			status := rapid.SampledFrom([]pull.IntentStatus{pull.Planned, pull.Done, pull.Superseded, pull.Failed}).Draw(t, "became")
			m = follow(m, d, status, noon.Add(time.Duration(n)*time.Minute))
		}
		m = follow(m, p.Evaluate(s, m, noon.Add(time.Hour)), pull.Done, noon.Add(time.Hour))
		m = follow(m, p.Evaluate(s, m, noon.Add(time.Hour)), pull.Done, noon.Add(time.Hour))
		d := p.Evaluate(s, m, noon.Add(2*time.Hour))
		for _, a := range d.Actions {
			if a.Command != "" {
				t.Fatalf("still wanted: %s", acted(d.Actions))
			}
		}
		if len(d.Commands)+len(d.Replies) > 0 {
			t.Fatalf("still open: %s, %+v", outcome(d.Commands), d.Replies)
		}
	})
}

func TestSlips(t *testing.T) {
	for word, want := range map[string]string{
		"mege": "merge", "megre": "merge", "merged": "merge", "apporve": "approve", "lable": "label", "resset": "", "test": "", "cd": "", "who": "", "rename": "",
		"holds": "hold", "hepl": "help", "closes": "close", "rebsae": "rebase", "lgtm": "", "retset": "retest", "kind": "", "ok-to-test": "", "assing": "assign",
	} {
		if got := meant(word); got != want {
			t.Errorf("meant(%q) = %q, want %q", word, got, want)
		}
	}
}
