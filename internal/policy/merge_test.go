package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// on is a label that somebody has set.
func on(name string, by pull.Actor, at time.Time) pull.Label {
	return pull.Label{Name: name, Present: true, SetBy: by, SetAt: at}
}

// can makes an account known with a permission.
func can(s *pull.Snapshot, who pull.Actor, level pull.PermissionLevel) {
	if s.Known.People == nil {
		s.Known.People = map[string]pull.Person{}
	}
	s.Known.People[strings.ToLower(who.Login)] = pull.Person{Actor: who, Permission: level}
}

// ledger is a memory with rows of the ledger.
func ledger(rows ...pull.Intent) pull.Memory { return pull.Memory{Intents: rows} }

// did is a row of the ledger for something that was done a while ago.
func did(kind pull.ActionKind, target string, ago time.Duration) pull.Intent {
	return pull.Intent{Action: pull.Action{Kind: kind, Target: target, SHA: head}, Status: pull.Done, Attempt: 1, StartedAt: noon.Add(-ago), DoneAt: noon.Add(-ago)}
}

// refusal is a row of the ledger for something that GitHub has just refused.
func refusal(kind pull.ActionKind, target string) pull.Intent {
	return pull.Intent{Action: pull.Action{Kind: kind, Target: target}, Status: pull.Failed, Failures: 1, Attempt: 1, Error: "No.", DoneAt: noon}
}

// A wanted is what a test expects of a decision.
type wanted struct {
	state   State
	codes   string
	actions string
	again   time.Duration // after noon; 0: none
}

func (want wanted) check(t *testing.T, d Decision) {
	t.Helper()
	got := wanted{state: d.Verdict.State, codes: codes(d.Verdict.Reasons), actions: acted(d.Actions)}
	if !d.Again.IsZero() {
		got.again = d.Again.Sub(noon)
	}
	if got != want {
		t.Errorf("Evaluate = %+v\nwant       %+v", got, want)
	}
}

var (
	merges   = "merge " + string(head)
	enqueues = "queue.add " + string(head)
	dequeues = "queue.remove " + string(head)
	updates  = "branch.update " + string(head)
)

// TestMergeIsAskedFor: by the condition alone, by a label of somebody who may, or by a command for this very commit.
func TestMergeIsAskedFor(t *testing.T) {
	const (
		alone   = "version: 1\nmerge: { if: approved }\n"
		label   = "version: 1\nmerge: { if: approved, label: automerge }\n"
		command = "version: 1\nmerge: { if: approved, command: true }\n"
		both    = "version: 1\nmerge: { if: approved, label: [automerge, ship], command: true }\n"
	)
	order := func(sha pull.SHA) *pull.Order {
		return &pull.Order{By: bob, SHA: sha, At: noon.Add(-time.Minute), Command: "c1"}
	}
	set := func(by pull.Actor, level pull.PermissionLevel) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) {
			s.Labels = []pull.Label{on("AutoMerge", by, noon.Add(-time.Minute))}
			can(s, by, level)
		}
	}
	for _, tt := range []struct {
		name   string
		policy string
		change func(*pull.Snapshot)
		memory pull.Memory
		want   wanted
	}{
		{"by the condition alone", alone, nil, pull.Memory{}, wanted{Ready, "ready", merges, 0}},
		{"by the condition, and by a command that is not needed", alone, nil, pull.Memory{Merge: order(older)}, wanted{Ready, "ready", merges, 0}},
		{"label missing", label, nil, pull.Memory{}, wanted{Waiting, "merge_not_asked", "", 0}},
		{"label by one who may", label, set(carol, pull.PermissionWrite), pull.Memory{}, wanted{Ready, "ready", merges, 0}},
		{"label by one who may not", label, set(eve, pull.PermissionTriage), pull.Memory{}, wanted{Blocked, "merge_label_denied", "", 0}},
		{"label by one whose login is another's now", label, func(s *pull.Snapshot) {
			s.Labels = []pull.Label{on("automerge", eve, noon)}
			s.Known.People = map[string]pull.Person{"eve": {Actor: carol, Permission: pull.PermissionAdmin}}
		}, pull.Memory{}, wanted{Blocked, "merge_label_denied", "", 0}},
		{"label by nobody that GitHub names", label, func(s *pull.Snapshot) { s.Labels = []pull.Label{{Name: "automerge", Present: true}} }, pull.Memory{}, wanted{Waiting, "merge_label_unknown", "", 0}},
		{"label by one whose permission can't be had", label, func(s *pull.Snapshot) {
			s.Labels = []pull.Label{on("automerge", eve, noon)}
			s.Known.People = map[string]pull.Person{"eve": {Actor: eve, Missing: "GitHub does not say"}}
		}, pull.Memory{}, wanted{Waiting, "merge_label_unknown", "", 0}},
		{"label by the service", label, func(s *pull.Snapshot) { s.AsApp = true; set(us, pull.PermissionAdmin)(s) }, pull.Memory{}, wanted{Blocked, "merge_label_denied", "", 0}},
		{"label by the service, with a person's token", label, set(us, pull.PermissionAdmin), ledger(did(pull.AddLabel, "AutoMerge", time.Minute)), wanted{Blocked, "merge_label_denied", "", 0}},
		{"label by the service, in other letters, with a person's token", label, set(us, pull.PermissionAdmin), ledger(did(pull.AddLabel, "AUTOMERGE", time.Minute)), wanted{Blocked, "merge_label_denied", "", 0}},
		{"label by the person whose token it is", label, set(us, pull.PermissionAdmin), pull.Memory{}, wanted{Ready, "ready", merges, 0}},
		{"label taken off", label, func(s *pull.Snapshot) { s.Labels = []pull.Label{{Name: "automerge", SetBy: carol, TakenBy: carol}} }, pull.Memory{}, wanted{Waiting, "merge_not_asked", "", 0}},
		{"label, and the condition does not hold", label, func(s *pull.Snapshot) { s.Reviews = nil; set(carol, pull.PermissionWrite)(s) }, pull.Memory{}, wanted{Waiting, "approval_missing", "", 0}},
		{"a command where only the label counts", label, nil, pull.Memory{Merge: order(head)}, wanted{Waiting, "merge_not_asked", "", 0}},
		{"command missing", command, nil, pull.Memory{}, wanted{Waiting, "merge_not_asked", "", 0}},
		{"command", command, nil, pull.Memory{Merge: order(head)}, wanted{Ready, "ready", merges, 0}},
		{"command, then a push", command, nil, pull.Memory{Merge: order(older)}, wanted{Waiting, "command_outdated", "", 0}},
		{"command that saw no commit", command, nil, pull.Memory{Merge: order("")}, wanted{Waiting, "command_outdated", "", 0}},
		{"either: neither", both, nil, pull.Memory{}, wanted{Waiting, "merge_not_asked", "", 0}},
		{"either: command", both, nil, pull.Memory{Merge: order(head)}, wanted{Ready, "ready", merges, 0}},
		{"either: the second label", both, func(s *pull.Snapshot) {
			s.Labels = []pull.Label{on("ship", bob, noon)}
			can(s, bob, pull.PermissionWrite)
		}, pull.Memory{Merge: order(older)}, wanted{Ready, "ready", merges, 0}},
		{"either: a label by one who may not, and a command that may", both, set(eve, pull.PermissionRead), pull.Memory{Merge: order(head)}, wanted{Ready, "ready", merges, 0}},
		{"either: a label by one who may not", both, set(eve, pull.PermissionRead), pull.Memory{}, wanted{Blocked, "merge_label_denied", "", 0}},
		{"label, and the command is off", label + "commands: { merge: off }\n", set(carol, pull.PermissionWrite), pull.Memory{}, wanted{Ready, "ready", merges, 0}},
		{"label by one who may not, and all commands are off", label + "commands: off\n", set(eve, pull.PermissionTriage), pull.Memory{}, wanted{Blocked, "merge_label_denied", "", 0}},
		{"label by one who may not by the policy", label + "commands: { merge: { allow: maintain } }\n", set(carol, pull.PermissionWrite), pull.Memory{}, wanted{Blocked, "merge_label_denied", "", 0}},
		{"command, and it is off", command + "commands: { merge: off }\n", nil, pull.Memory{}, wanted{Waiting, "command_off", "", 0}},
		{"command, which was switched off since", command + "commands: off\n", nil, pull.Memory{Merge: order(head)}, wanted{Waiting, "command_off", "", 0}},
		{"either: neither, and the command is off", both + "commands: off\n", nil, pull.Memory{}, wanted{Waiting, "merge_not_asked", "", 0}},
		{"held", alone, nil, pull.Memory{Hold: &pull.Order{By: carol, Args: "the release is out on Monday"}}, wanted{Blocked, "held", "", 0}},
		{"held, and asked for", both, nil, pull.Memory{Merge: order(head), Hold: &pull.Order{By: carol}}, wanted{Blocked, "held", "", 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change == nil {
				tt.change = func(*pull.Snapshot) {}
			}
			tt.want.check(t, must(t, tt.policy).Evaluate(world(tt.change), tt.memory, noon))
		})
	}
}

// The permission of whoever set the label is asked for anew when the merge follows from it, and not before.
func TestMergeLabelIsAskedForFresh(t *testing.T) {
	p := must(t, "version: 1\nmerge: { if: approved, label: automerge }\n")
	s := world(func(s *pull.Snapshot) { s.Labels = []pull.Label{on("automerge", carol, noon)} })
	for _, fresh := range []bool{true, false} {
		if !fresh {
			s.Reviews = nil
		}
		want := []pull.Need{{Kind: pull.NeedPerson, Name: "carol", Fresh: fresh}}
		d := p.Evaluate(s, pull.Memory{}, noon)
		if diff := cmp.Diff(want, d.Needs); diff != "" || len(d.Actions) > 0 {
			t.Errorf("Needs, fresh %v (-want +got):\n%s, doing %q", fresh, diff, acted(d.Actions))
		}
	}
}

func TestMergeMethods(t *testing.T) {
	const choice = "version: 1\nmerge:\n  if: approved\n  command: true\n  method:\n  - { if: pr.fork, method: rebase }\n  - { if: 'pr.files.exists(f, f == \"x\")', method: merge }\n  - squash\n"
	ordered := func(args string) pull.Memory {
		return pull.Memory{Merge: &pull.Order{By: bob, SHA: head, Args: args}}
	}
	all := []pull.MergeMethod{pull.MergeCommit, pull.Squash, pull.Rebase}
	for _, tt := range []struct {
		name   string
		policy string
		change func(*pull.Snapshot)
		memory pull.Memory
		want   pull.MergeMethod // "": none, because of codes
		codes  string
	}{
		{"the last", choice, func(*pull.Snapshot) {}, ordered(""), pull.Squash, "ready"},
		{"the first that holds", choice, func(s *pull.Snapshot) { s.Fork = true }, ordered(""), pull.Rebase, "ready"},
		{"the command's", choice, func(*pull.Snapshot) {}, ordered("rebase"), pull.Rebase, "ready"},
		{"not what a command says beyond that", choice, func(*pull.Snapshot) {}, ordered("quickly"), pull.Squash, "ready"},
		{"not known which", choice, func(s *pull.Snapshot) { s.FilesTruncated = true }, ordered(""), "", "fact_unknown"},
		{"of a command that does not ask", "version: 1\nmerge: { if: approved, method: squash }\n", func(*pull.Snapshot) {}, ordered("rebase"), pull.Squash, "ready"},
		{"not allowed by a ruleset", "version: 1\nmerge: { if: approved, method: merge }\n", func(s *pull.Snapshot) { s.Known.Rules.Methods = []pull.MergeMethod{pull.Squash} }, pull.Memory{}, "", "method_not_allowed"},
		{"the first that a ruleset allows", "version: 1\nmerge: { if: approved }\n", func(s *pull.Snapshot) { s.Known.Rules.Methods = []pull.MergeMethod{pull.Rebase} }, pull.Memory{}, pull.Rebase, "ready"},
		{"linear history", "version: 1\nmerge: { if: approved, method: merge }\n", func(s *pull.Snapshot) { s.Known.Rules.Linear = true }, pull.Memory{}, "", "method_not_allowed"},
		{"fast-forward", "version: 1\nmerge: { if: approved, method: fast-forward }\n", func(s *pull.Snapshot) {
			s.BaseBranchTip, s.Known.Commits = older, &pull.Commits{List: []pull.Commit{{SHA: "b", Parents: []pull.SHA{older}}, {SHA: head, Parents: []pull.SHA{"b"}}}}
		}, pull.Memory{}, pull.FastForward, "ready"},
		{"fast-forward, the base has moved on", "version: 1\nmerge: { if: approved, method: fast-forward }\n", func(s *pull.Snapshot) {
			s.BaseBranchTip, s.Known.Commits = "1234567", &pull.Commits{List: []pull.Commit{{SHA: head, Parents: []pull.SHA{older}}}}
		}, pull.Memory{}, "", "not_forward"},
		{"fast-forward, the tip of the base is not known", "version: 1\nmerge: { if: approved, method: fast-forward }\n", func(s *pull.Snapshot) {
			s.BaseBranchTip, s.Known.Commits = "", &pull.Commits{List: []pull.Commit{{SHA: head, Parents: []pull.SHA{""}}}}
		}, pull.Memory{}, "", "not_forward"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := must(t, tt.policy).Evaluate(world(func(s *pull.Snapshot) { s.AllowedMethods = all; tt.change(s) }), tt.memory, noon)
			var got pull.MergeMethod
			if len(d.Actions) == 1 {
				got = d.Actions[0].Method
			}
			if got != tt.want || codes(d.Verdict.Reasons) != tt.codes {
				t.Errorf("merges with %q because of %s, want %q because of %s", got, codes(d.Verdict.Reasons), tt.want, tt.codes)
			}
		})
	}
}

func TestMessage(t *testing.T) {
	dave := pull.Actor{ID: 40, Login: "dave", Type: pull.User}
	commits := func(s *pull.Snapshot) {
		s.Known.Commits = &pull.Commits{List: []pull.Commit{
			{SHA: "a", Author: alice, Written: "Alice <alice@home.example>", Message: "Add a door\n\nIt opens.\n"},
			{SHA: "b", Author: bob, Written: "Bob B. <bob@work.example>", Message: "Paint it\r\n\r\nCo-authored-by: Dave <dave@d.example>", Trailers: []string{"Dave <dave@d.example>"}, CoAuthors: []pull.Actor{dave}},
			{SHA: "c", Author: bob, Written: "Bob <BOB@work.example>", Message: "Paint it again"},
			{SHA: "d", Parents: []pull.SHA{"c", "m"}, Author: alice, Message: "Merge branch 'main' into door"},
			{SHA: "e", Author: us, Written: "x <1+pr-manager[bot]@users.noreply.github.com>", Message: "Bot"},
			{SHA: "f", Written: "No Account <none@x.example>", Message: "From afar", Trailers: []string{"Alice <alice@home.example>", "dave <DAVE@d.example>", "not an address", "pr-manager[bot] <1+pr-manager[bot]@users.noreply.github.com>"}},
			{SHA: head, Author: carol, Message: "Carol's"},
			{SHA: "g", Author: pull.Actor{ID: 41, Login: "fay"}, Written: "Fay <41+fay@users.noreply.github.com>", Message: "Fay's"},
		}}
	}
	const trailers = "Co-authored-by: Bob B. <bob@work.example>\nCo-authored-by: No Account <none@x.example>\nCo-authored-by: carol <4+carol@users.noreply.github.com>\nCo-authored-by: Fay <41+fay@users.noreply.github.com>\nCo-authored-by: Dave <dave@d.example>"
	for _, tt := range []struct {
		name        string
		keys        string
		change      func(*pull.Snapshot)
		title, body string
		blank       bool
	}{
		{name: "GitHub's", keys: "method: squash"},
		{name: "of the pull request", keys: "title: pull-request, body: pull-request", title: "Add a door (#7)", body: "A door.\n\nSee it.\n\n" + trailers},
		{name: "title only", keys: "title: pull-request", title: "Add a door (#7)"},
		{name: "numbered already", keys: "title: pull-request", change: func(s *pull.Snapshot) { s.Title = "Add a door (#7)" }, title: "Add a door (#7)"},
		{name: "of the commits", keys: "title: commits, body: commits", title: "Add a door (#7)", body: "* Add a door\n\nIt opens.\n\n* Paint it\n\n* Paint it again\n\n* Bot\n\n* From afar\n\n* Carol's\n\n* Fay's\n\n" + trailers},
		{name: "of the only commit", keys: "title: commits, body: commits", change: func(s *pull.Snapshot) {
			s.Title = "Doors"
			s.Known.Commits.List = s.Known.Commits.List[:1]
		}, title: "Add a door (#7)", body: "It opens."},
		{name: "of the only commit that is shown", keys: "title: commits", change: func(s *pull.Snapshot) {
			s.Title = "Doors"
			s.Known.Commits = &pull.Commits{List: s.Known.Commits.List[:1], Truncated: true}
		}, title: "Doors (#7)"},
		{name: "between", keys: "body: { between: ['<!-- commit -->', '<!-- /commit -->'] }", change: func(s *pull.Snapshot) {
			s.Body = "Hello <!-- commit -->\nOpens doors.<!-- not\nthis -->\n\nCo-authored-by: Eve <eve@e.example>\n<!-- /commit --> bye <!-- commit -->no<!-- /commit -->"
		}, body: "Opens doors.\n\n" + trailers + "\nCo-authored-by: Eve <eve@e.example>"},
		{name: "between marks that are not there", keys: "body: { between: ['<!-- commit -->', '<!-- /commit -->'] }", body: trailers},
		{name: "empty", keys: "body: empty", change: func(s *pull.Snapshot) { s.Known.Commits.List = s.Known.Commits.List[:1] }, blank: true},
		{name: "rebased", keys: "method: rebase, title: pull-request, body: pull-request"},
		{name: "merged", keys: "method: merge, title: pull-request, body: pull-request", title: "Add a door (#7)", body: "A door.\n\nSee it."},
		{name: "unseen characters", keys: "title: pull-request, body: pull-request", change: func(s *pull.Snapshot) {
			s.Title, s.Body = " a\u202eb\n\x1bc\x00 ", "x\u2066y\r\n\r\n\r\n\r\n\x07z  \n\u200bCo-authored-by: Alice <alice@home.example>"
			s.Known.Commits.List = s.Known.Commits.List[:1]
		}, title: "ab c (#7)", body: "xy\n\nz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := world(func(s *pull.Snapshot) { s.Body = "A door.<!-- a template's word -->\n\nSee it." }, commits)
			if tt.change != nil {
				tt.change(&s)
			}
			d := must(t, "version: 1\nmerge: { if: approved, "+tt.keys+" }\n").Evaluate(s, pull.Memory{}, noon)
			if len(d.Actions) != 1 || len(d.Needs) > 0 {
				t.Fatalf("does %q, needs %v, want a merge", acted(d.Actions), d.Needs)
			}
			a := d.Actions[0]
			if a.Title != tt.title || a.Body != tt.body || a.Blank != tt.blank {
				t.Errorf("title %q\nbody %q, blank %v\nwant  %q\nbody %q, blank %v", a.Title, a.Body, a.Blank, tt.title, tt.body, tt.blank)
			}
		})
	}
	long := world(func(s *pull.Snapshot) {
		s.Title, s.Body = strings.Repeat("é", 9000), strings.Repeat("é", 90_000)
		commits(s)
	})
	a := must(t, "version: 1\nmerge: { if: approved, title: pull-request, body: pull-request }\n").Evaluate(long, pull.Memory{}, noon).Actions[0]
	if len([]rune(a.Title)) > 256 || len([]rune(a.Body)) > maxMessage+1000 || !strings.HasSuffix(a.Title, "… (#7)") || !strings.HasSuffix(a.Body, trailers) {
		t.Errorf("a title of %d and a body of %d characters, want them bounded, with the number and the co-authors kept", len([]rune(a.Title)), len([]rune(a.Body)))
	}
}

// TestMessageNeedsCommitsOnlyForTheMerge: what the message is made of is asked for when there is one to be made.
func TestMessageNeedsCommitsOnlyForTheMerge(t *testing.T) {
	p := must(t, "version: 1\nmerge: { if: approved, body: commits }\n")
	if d := p.Evaluate(world(), pull.Memory{}, noon); !slices.Contains(d.Needs, pull.Need{Kind: pull.NeedCommits}) {
		t.Errorf("Needs = %v, want the commits", d.Needs)
	}
	if d := p.Evaluate(world(func(s *pull.Snapshot) { s.Reviews = nil }), pull.Memory{}, noon); len(d.Needs) > 0 {
		t.Errorf("Needs = %v before there is anything to merge, want none", d.Needs)
	}
}

func TestRequiredChecks(t *testing.T) {
	const pinned = "version: 1\nchecks: { required: [build, { name: lint, app: Linter }] }\nmerge: { if: checks.green }\n"
	lint := func(app string, id int64, state pull.CheckState, detail string) pull.Check {
		return pull.Check{ID: 20, AppID: id, App: app, Name: "lint", State: state, Detail: detail}
	}
	with := func(c ...pull.Check) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) { s.Checks = append(s.Checks, c...) }
	}
	ago := func(d time.Duration) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) { s.UpdatedAt = noon.Add(-d) }
	}
	for _, tt := range []struct {
		name   string
		policy string
		change []func(*pull.Snapshot)
		memory pull.Memory
		want   wanted
	}{
		{"there", pinned, []func(*pull.Snapshot){with(lint("linter", 5, pull.CheckPassed, ""))}, pull.Memory{}, wanted{Ready, "ready", merges, 0}},
		{"not started yet", pinned, nil, pull.Memory{}, wanted{Waiting, "check_awaited", "", neverStarted}},
		{"never started", pinned, []func(*pull.Snapshot){ago(neverStarted)}, pull.Memory{}, wanted{Blocked, "check_not_started", "", awaitChecks}},
		{"another one started a moment ago", pinned, []func(*pull.Snapshot){ago(time.Hour), with(pull.Check{ID: 30, Name: "slow", State: pull.CheckPassed, StartedAt: noon.Add(-time.Minute)})}, pull.Memory{}, wanted{Waiting, "check_awaited", "", neverStarted - time.Minute}},
		{"pushed a moment ago, by what the service saw", pinned, []func(*pull.Snapshot){ago(time.Hour)}, pull.Memory{Heads: []pull.HeadAt{{SHA: head, At: noon.Add(-time.Minute)}}}, wanted{Waiting, "check_awaited", "", neverStarted - time.Minute}},
		{"commented on a moment ago, pushed long before", pinned, nil, pull.Memory{Heads: []pull.HeadAt{{SHA: head, At: noon.Add(-time.Hour)}}}, wanted{Blocked, "check_not_started", "", awaitChecks}},
		{"forged", pinned, []func(*pull.Snapshot){with(lint("forge", 6, pull.CheckPassed, ""))}, pull.Memory{}, wanted{Blocked, "check_forged", "", 0}},
		{"forged by a commit status", pinned, []func(*pull.Snapshot){with(lint("", 0, pull.CheckPassed, ""))}, pull.Memory{}, wanted{Blocked, "check_forged", "", 0}},
		{"forged, and there", pinned, []func(*pull.Snapshot){with(lint("forge", 6, pull.CheckPassed, ""), lint("linter", 5, pull.CheckPassed, ""))}, pull.Memory{}, wanted{Ready, "ready", merges, 0}},
		{"forged, and failed", pinned, []func(*pull.Snapshot){with(lint("forge", 6, pull.CheckPassed, ""), lint("linter", 5, pull.CheckFailed, ""))}, pull.Memory{}, wanted{Blocked, "checks_failed", "", 0}},
		{"re-run", pinned, []func(*pull.Snapshot){with(lint("linter", 5, pull.CheckPassed, ""), pull.Check{ID: 21, AppID: 5, App: "linter", Name: "lint", State: pull.CheckPending})}, pull.Memory{}, wanted{Waiting, "checks_pending", "", awaitChecks}},
		{"skipped", pinned, []func(*pull.Snapshot){with(lint("linter", 5, pull.CheckPassed, "skipped"))}, pull.Memory{}, wanted{Ready, "ready", merges, 0}},
		{"none wanted, and one required", "version: 1\nchecks: { none-expected: true, required: lint }\nmerge: { if: checks.green }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Checks = nil }}, pull.Memory{}, wanted{Waiting, "check_awaited", "", neverStarted}},

		{"required by GitHub and forged", "version: 1\nmerge: { if: checks.green }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) {
			s.Blocked, s.Known.Rules.Checks = true, []pull.RequiredCheck{{Name: "lint", AppID: gitHubActions}}
		}, with(lint("forge", 6, pull.CheckPassed, ""))}, pull.Memory{}, wanted{Blocked, "check_forged", "", 0}},
		{"required by GitHub, and reported by a status that it counts", "version: 1\nmerge: { if: checks.green }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) {
			s.Known.Rules.Checks = []pull.RequiredCheck{{Name: "lint", AppID: 5}}
		}, with(pull.Check{Name: "lint", State: pull.CheckPassed, Required: true})}, pull.Memory{}, wanted{Ready, "ready", merges, 0}},
		{"required by GitHub and never started", "version: 1\nmerge: { if: checks.green }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) {
			s.Blocked, s.Known.Rules.Checks = true, []pull.RequiredCheck{{Name: "deploy", AppID: 77}, {Name: pull.ReportName}}
		}, ago(time.Hour)}, pull.Memory{}, wanted{Blocked, "check_not_started", "", awaitChecks}},
		{"required by GitHub, and nothing has reported at all", "version: 1\nmerge: { if: checks.green }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) {
			s.Checks, s.Known.Rules.Checks = nil, []pull.RequiredCheck{{Name: "build"}, {Name: "test"}}
		}, ago(time.Hour)}, pull.Memory{}, wanted{Blocked, "check_not_started", "", awaitChecks}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.check(t, must(t, tt.policy).Evaluate(world(tt.change...), tt.memory, noon))
		})
	}

	d := must(t, pinned).Evaluate(world(ago(time.Hour), with(lint("forge", 6, pull.CheckPassed, ""))), pull.Memory{}, noon)
	want := []Reason{{Code: CheckForged, Names: []string{"lint"}, By: "linter", Value: "forge", SHA: head, Who: []string{WhoAdmin}}}
	if diff := cmp.Diff(want, d.Verdict.Reasons); diff != "" {
		t.Errorf("Reasons (-want +got):\n%s", diff)
	}
	d = must(t, pinned).Evaluate(world(with(lint("linter", 5, pull.CheckFailed, "timed_out"))), pull.Memory{}, noon)
	if got := d.Verdict.Reasons[0].Names; !slices.Equal(got, []string{"lint (timed out)"}) {
		t.Errorf("Names = %q, want how it failed", got)
	}
	d = must(t, pinned).Evaluate(world(with(lint("linter", 5, pull.CheckPassed, "neutral"))), pull.Memory{}, noon)
	if got := d.Verdict.Reasons[0].Names; !slices.Equal(got, []string{"lint (neutral)"}) {
		t.Errorf("Names = %q, want what passed without saying so", got)
	}
}

// TestGitHubsRules: when all that the policy asks for is there and GitHub holds it back, the rule that does is named.
func TestGitHubsRules(t *testing.T) {
	tests := []struct {
		name   string
		change func(*pull.Snapshot)
		codes  string
		again  time.Duration
	}{
		{"nothing that shows", func(*pull.Snapshot) {}, "github_rules", time.Second},
		{"what can't be read", func(s *pull.Snapshot) { s.Known.Rules.Missing = "the credentials may not" }, "github_rules", time.Second},
		{"reviews", func(s *pull.Snapshot) { s.Known.Rules.Approvals = 2 }, "github_approvals", awaitChecks},
		{"enough reviews", func(s *pull.Snapshot) { s.Known.Rules.Approvals = 1 }, "github_rules", time.Second},
		{"code owners", func(s *pull.Snapshot) { s.Known.Rules.CodeOwners = true }, "github_owners", time.Second},
		{"who pushed last", func(s *pull.Snapshot) { s.Known.Rules.LastPush = true }, "github_last_push", time.Second},
		{"conversations", func(s *pull.Snapshot) {
			s.Known.Rules.Conversation, s.Threads = true, []pull.Thread{{Author: bob}, {Resolved: true}}
		}, "github_threads", awaitChecks},
		{"conversations, cut short", func(s *pull.Snapshot) { s.Known.Rules.Conversation, s.ThreadsTruncated = true, true }, "github_threads", awaitChecks},
		{"conversations, all resolved", func(s *pull.Snapshot) { s.Known.Rules.Conversation, s.Threads = true, []pull.Thread{{Resolved: true}} }, "github_rules", time.Second},
		{"signatures", func(s *pull.Snapshot) {
			s.Known.Rules.Signatures, s.Known.Commits = true, &pull.Commits{List: []pull.Commit{{SHA: head}, {SHA: older, Verified: true}}}
		}, "github_signatures", awaitChecks},
		{"a lock", func(s *pull.Snapshot) { s.Known.Rules.Locked = true }, "github_locked", awaitChecks},
		{"deployments", func(s *pull.Snapshot) { s.Known.Rules.Deployments = []string{"staging"} }, "github_deployments", time.Second},
		{"others", func(s *pull.Snapshot) { s.Known.Rules.Others = []string{"code_scanning"} }, "github_other", time.Second},
		{"others, and what can't be read", func(s *pull.Snapshot) {
			s.Known.Rules.Others, s.Known.Rules.Missing = []string{"code_scanning"}, "the credentials may not"
		}, "github_other github_rules", time.Second},
		{"a failed check", func(s *pull.Snapshot) {
			s.Known.Rules.Checks = []pull.RequiredCheck{{Name: "build"}}
			s.Checks[0].State = pull.CheckFailed
		}, "github_check_failed", awaitChecks},
		{"a pending check", func(s *pull.Snapshot) {
			s.Known.Rules.Checks = []pull.RequiredCheck{{Name: "build"}}
			s.Checks[0].State = pull.CheckPending
		}, "github_check_pending", awaitChecks},
		{"a check that is not there", func(s *pull.Snapshot) { s.Known.Rules.Checks = []pull.RequiredCheck{{Name: "lint"}} }, "check_awaited", neverStarted},
		{"our own report", func(s *pull.Snapshot) { s.Known.Rules.Checks = []pull.RequiredCheck{{Name: pull.ReportName}} }, "github_report", time.Second},
		{"our own report, which is green", func(s *pull.Snapshot) {
			s.Report, s.Known.Rules.Checks = &pull.Report{State: pull.ReportGood}, []pull.RequiredCheck{{Name: pull.ReportName}}
		}, "github_rules", time.Second},
		{"changes requested, which the policy does not look at", func(s *pull.Snapshot) {
			s.Known.Rules.Approvals = 1
			s.Reviews = append(s.Reviews, review(carol, pull.ChangesRequested, head))
		}, "changes_requested", awaitChecks},
		{"two of them", func(s *pull.Snapshot) { s.Known.Rules.Approvals, s.Known.Rules.Locked = 3, true }, "github_approvals github_locked", awaitChecks},
	}
	p := must(t, "version: 1\nmerge: { if: true }\n")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := p.Evaluate(world(func(s *pull.Snapshot) { s.Blocked = true }, tt.change), pull.Memory{}, noon)
			if got := codes(d.Verdict.Reasons); got != tt.codes || d.Again.Sub(noon) != tt.again || len(d.Actions) > 0 || !d.Verdict.Holds {
				t.Errorf("because of %s, again after %v, doing %q, holds %v\nwant %s, again after %v, doing nothing, and that the policy holds", got, d.Again.Sub(noon), acted(d.Actions), d.Verdict.Holds, tt.codes, tt.again)
			}
		})
	}

	// They are read only when they matter.
	plain := world(func(s *pull.Snapshot) { s.Known = pull.Lookups{} })
	for _, tt := range []struct {
		name   string
		change func(*pull.Snapshot)
		memory pull.Memory
		want   bool
	}{
		{"ready", func(*pull.Snapshot) {}, pull.Memory{}, false},
		{"blocked", func(s *pull.Snapshot) { s.Blocked = true }, pull.Memory{}, true},
		{"blocked, and not even approved", func(s *pull.Snapshot) { s.Blocked, s.Draft = true, true }, pull.Memory{}, false},
		{"refused", func(*pull.Snapshot) {}, ledger(pull.Intent{Action: pull.Action{Kind: pull.Merge, Target: string(head), Method: pull.Squash}, Status: pull.Failed, Failures: 1, DoneAt: noon}), true},
	} {
		s := plain
		tt.change(&s)
		if got := slices.ContainsFunc(p.Evaluate(s, tt.memory, noon).Needs, func(n pull.Need) bool { return n.Kind == pull.NeedRules }); got != tt.want {
			t.Errorf("%s: needs GitHub's rules: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A refusal is explained by GitHub's rules, which may also name another way.
func TestRefusedByRules(t *testing.T) {
	refused := ledger(pull.Intent{
		Action: pull.Action{Kind: pull.Merge, Target: string(head), Method: pull.Squash}, Status: pull.Failed, Failures: 1, Passing: true,
		Error: "Waiting on code owner review", DoneAt: noon.Add(-time.Second),
	})
	p := must(t, "version: 1\nmerge: { if: approved }\n")
	wanted{Waiting, "github_approvals refused", "", 3 * time.Second}.check(t, p.Evaluate(world(func(s *pull.Snapshot) { s.Known.Rules.Approvals = 2 }), refused, noon))
	d := p.Evaluate(world(func(s *pull.Snapshot) { s.Known.Rules.Methods = []pull.MergeMethod{pull.Rebase} }), refused, noon)
	if done := acted(d.Actions); done != merges || d.Actions[0].Method != pull.Rebase {
		t.Errorf("does %q, want to merge with what the rules allow", done)
	}
	wanted{Ready, "queue_now", enqueues, 0}.check(t, p.Evaluate(world(func(s *pull.Snapshot) { s.Known.Rules.MergeQueue = true }), refused, noon))
}

func TestGitHubsQueue(t *testing.T) {
	in := func(by pull.Actor) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) { s.Queued = &pull.QueueEntry{Position: 2, State: "queued", By: by} }
	}
	asApp := func(s *pull.Snapshot) { s.AsApp = true }
	enqueued := did(pull.Enqueue, string(head), time.Hour)
	removed := func(ago time.Duration, attempt int) pull.Intent {
		in := did(pull.Enqueue, string(head), ago)
		in.Attempt = attempt
		return in
	}
	for _, tt := range []struct {
		name   string
		change []func(*pull.Snapshot)
		memory pull.Memory
		want   wanted
	}{
		{"goes in", nil, pull.Memory{}, wanted{Ready, "queue_now", enqueues, 0}},
		{"goes in though GitHub says blocked or behind", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Blocked, s.Behind = true, true }}, pull.Memory{}, wanted{Ready, "queue_now", enqueues, 0}},
		{"does not go in", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Reviews = nil }}, pull.Memory{}, wanted{Waiting, "approval_missing", "", 0}},
		{"not shown yet", nil, ledger(did(pull.Enqueue, string(head), time.Second)), wanted{Waiting, "queue_settles", "", settle - time.Second}},
		{"is in", []func(*pull.Snapshot){in(us)}, ledger(enqueued), wanted{Waiting, "in_queue", "", awaitChecks}},
		{"is in, mergeability unknown", []func(*pull.Snapshot){in(us), func(s *pull.Snapshot) { s.Mergeable = pull.MergeableUnknown }}, ledger(enqueued), wanted{Waiting, "in_queue", "", awaitChecks}},
		{"is in, the approval lost", []func(*pull.Snapshot){in(us), func(s *pull.Snapshot) { s.Reviews = nil }}, ledger(enqueued), wanted{Waiting, "queue_out approval_missing", dequeues, 0}},
		{"is in, held", []func(*pull.Snapshot){in(us)}, pull.Memory{Hold: &pull.Order{By: carol}, Intents: []pull.Intent{enqueued}}, wanted{Blocked, "queue_out held", dequeues, 0}},
		{"is in, by a ledger that is gone", []func(*pull.Snapshot){in(us), asApp, func(s *pull.Snapshot) { s.Reviews = nil }}, pull.Memory{}, wanted{Waiting, "queue_out approval_missing", dequeues, 0}},
		{"put in by a person, held", []func(*pull.Snapshot){in(bob)}, pull.Memory{Hold: &pull.Order{By: carol}}, wanted{Blocked, "in_queue held", "", awaitChecks}},
		{"taken out just now", []func(*pull.Snapshot){in(us), func(s *pull.Snapshot) { s.Reviews = nil }}, ledger(enqueued, did(pull.Dequeue, string(head), time.Second)), wanted{Waiting, "queue_out approval_missing", "", settle - time.Second}},
		{"removed by GitHub", nil, ledger(removed(10*time.Minute, 1)), wanted{Waiting, "queue_left", "", queueAgain - 10*time.Minute}},
		{"removed by GitHub a while ago", nil, ledger(removed(queueAgain, 1)), wanted{Ready, "queue_now", enqueues, 0}},
		{"removed by GitHub a second time", nil, ledger(removed(queueAgain, 2)), wanted{Waiting, "queue_left", "", queueAgain}},
		{"removed by GitHub, asked for again", nil, pull.Memory{Merge: &pull.Order{By: bob, SHA: head, At: noon.Add(-time.Minute)}, Intents: []pull.Intent{removed(10*time.Minute, 1)}}, wanted{Ready, "queue_now", enqueues, 0}},
		{"taken out by the service, and all is well again", nil, ledger(removed(10*time.Minute, 1), did(pull.Dequeue, string(head), time.Minute)), wanted{Ready, "queue_now", enqueues, 0}},
		{"taken out by the service again and again", nil, ledger(removed(10*time.Minute, 4), did(pull.Dequeue, string(head), time.Minute)), wanted{Waiting, "queue_left", "", restlessFor - time.Minute}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := world(append([]func(*pull.Snapshot){func(s *pull.Snapshot) { s.MergeQueue = true }}, tt.change...)...)
			tt.want.check(t, must(t, "version: 1\nmerge: { if: approved }\n").Evaluate(s, tt.memory, noon))
		})
	}
	// Opted out: what the service has put in goes out; what a person has put in does not.
	const keepOff = "version: 1\nopt-out: off\nmerge: { if: approved }\n"
	off := func(s *pull.Snapshot) { s.Labels = []pull.Label{on("off", carol, noon)} }
	if got := acted(must(t, keepOff).Evaluate(world(in(us), off), ledger(enqueued), noon).Actions); got != dequeues {
		t.Errorf("opted out: does %q, want it taken out of the queue", got)
	}
	if got := acted(must(t, keepOff).Evaluate(world(in(bob), off), pull.Memory{}, noon).Actions); got != "" {
		t.Errorf("opted out, and put in by a person: does %q, want nothing", got)
	}
	// /unmerge: what a command put in goes out when it is taken back.
	s := world(in(us), func(s *pull.Snapshot) { s.MergeQueue = true })
	wanted{Waiting, "queue_out merge_not_asked", dequeues, 0}.check(t, must(t, "version: 1\nmerge: { if: approved, command: true }\n").Evaluate(s, ledger(enqueued), noon))
}

func TestBroughtUpToDate(t *testing.T) {
	behind := func(s *pull.Snapshot) { s.Behind, s.Known.Turn = true, &pull.Turn{} }
	var often []pull.Intent
	for i := range updatesMost {
		often = append(often, did(pull.UpdateBranch, fmt.Sprint("old", i), time.Duration(i+1)*time.Hour))
	}
	for _, tt := range []struct {
		name   string
		policy string
		change []func(*pull.Snapshot)
		memory pull.Memory
		want   wanted
		turn   string
	}{
		{"left to people", "version: 1\nmerge: { if: approved }\n", nil, pull.Memory{}, wanted{Blocked, "behind", "", 0}, ""},
		{"never", "version: 1\nmerge: { if: approved, update: never }\n", nil, pull.Memory{}, wanted{Blocked, "behind", "", 0}, ""},
		{"merged into it", "version: 1\nmerge: { if: approved, update: merge }\n", nil, pull.Memory{}, wanted{Waiting, "updating", updates, 0}, "main"},
		{"asked for by the condition", "version: 1\nmerge: { if: approved && !pr.behind, update: rebase }\n", nil, pull.Memory{}, wanted{Waiting, "updating", updates, 0}, "main"},
		{"something else is missing", "version: 1\nmerge: { if: approved, update: merge }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Reviews = nil }}, pull.Memory{}, wanted{Waiting, "approval_missing", "", 0}, ""},
		{"not asked for", "version: 1\nmerge: { if: approved, update: merge, command: true }\n", nil, pull.Memory{}, wanted{Waiting, "merge_not_asked", "", 0}, ""},
		{"another's turn", "version: 1\nmerge: { if: approved, update: merge }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Known.Turn = &pull.Turn{Number: 5, Until: noon.Add(time.Hour)} }}, pull.Memory{}, wanted{Waiting, "updated_for", "", awaitChecks}, ""},
		{"another's turn, over soon", "version: 1\nmerge: { if: approved, update: merge }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Known.Turn = &pull.Turn{Number: 5, Until: noon.Add(time.Minute)} }}, pull.Memory{}, wanted{Waiting, "updated_for", "", time.Minute}, ""},
		{"its own turn", "version: 1\nmerge: { if: approved, update: merge }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Known.Turn = &pull.Turn{Number: 7, Until: noon.Add(time.Hour)} }}, pull.Memory{}, wanted{Waiting, "updating", updates, 0}, "main"},
		{"not shown yet", "version: 1\nmerge: { if: approved, update: merge }\n", nil, pull.Memory{Turn: "main", Intents: []pull.Intent{did(pull.UpdateBranch, string(head), time.Second)}}, wanted{Waiting, "updated", "", settle - time.Second}, "main"},
		{"checks run again", "version: 1\nmerge: { if: approved && checks.green, update: merge }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Behind, s.Checks[0].State = false, pull.CheckPending }}, pull.Memory{Turn: "main"}, wanted{Waiting, "checks_pending", "", awaitChecks}, "main"},
		{"checks failed: another may", "version: 1\nmerge: { if: approved && checks.green, update: merge }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Behind, s.Checks[0].State = false, pull.CheckFailed }}, pull.Memory{Turn: "main"}, wanted{Blocked, "checks_failed", "", 0}, ""},
		{"merges", "version: 1\nmerge: { if: approved && checks.green, update: merge }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Behind = false }}, pull.Memory{Turn: "main"}, wanted{Ready, "ready", merges, 0}, "main"},
		{"merged: another may", "version: 1\nmerge: { if: approved, update: merge }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.State = pull.Merged }}, pull.Memory{Turn: "main"}, wanted{Merged, "merged", "", 0}, ""},
		{"too often", "version: 1\nmerge: { if: approved, update: merge }\n", nil, pull.Memory{Turn: "main", Intents: often}, wanted{Blocked, "updated_much behind", "", updatesIn - updatesMost*time.Hour}, ""},
		{"fast-forward", "version: 1\nmerge: { if: approved, update: rebase, method: fast-forward }\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Behind, s.Known.Commits = false, &pull.Commits{} }}, pull.Memory{}, wanted{Waiting, "updating", updates, 0}, "main"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := must(t, tt.policy).Evaluate(world(append([]func(*pull.Snapshot){behind}, tt.change...)...), tt.memory, noon)
			tt.want.check(t, d)
			if d.Memory.Turn != tt.turn {
				t.Errorf("Turn = %q, want %q", d.Memory.Turn, tt.turn)
			}
		})
	}
	d := must(t, "version: 1\nmerge: { if: approved, update: rebase }\n").Evaluate(world(behind), pull.Memory{}, noon)
	if a := d.Actions[0]; a.Method != pull.Rebase || a.SHA != head {
		t.Errorf("updates %+v, want a rebase of the head", a)
	}
}

func TestDependents(t *testing.T) {
	const policy = "version: 1\nmerge: { if: approved, delete-branch: true }\n"
	merged := func(s *pull.Snapshot) { s.State, s.MergedBy = pull.Merged, us }
	ours := did(pull.Merge, string(head), time.Minute)
	stacked := func(s *pull.Snapshot) { s.Known.Dependents = &pull.Pulls{Numbers: []int{8, 9}} }

	wanted{Merged, "merged", "base 8, base 9", 2 * time.Second}.check(t, must(t, policy).Evaluate(world(merged, stacked), ledger(ours), noon))
	d := must(t, policy).Evaluate(world(merged, stacked), ledger(ours), noon)
	if d.Actions[0].Branch != "main" || codes(d.Verdict.Rules[0].Why) != "branch_in_use" {
		t.Errorf("does %+v because of %s, want the base main", d.Actions[0], codes(d.Verdict.Rules[0].Why))
	}
	// GitHub may still show them for a moment; the branch goes when it does not.
	wanted{Merged, "merged", "", 2 * time.Second}.check(t, must(t, policy).Evaluate(world(merged, stacked), ledger(ours, did(pull.Retarget, "8", time.Second), did(pull.Retarget, "9", time.Second)), noon))
	wanted{Merged, "merged", "branch.delete door", 0}.check(t, must(t, policy).Evaluate(world(merged), ledger(ours), noon))
	// GitHub refuses: there is no hurry.
	wanted{Merged, "merged", "", awaitChecks}.check(t, must(t, policy).Evaluate(world(merged, stacked), ledger(ours, refusal(pull.Retarget, "8"), refusal(pull.Retarget, "9")), noon))

	d = must(t, policy).Evaluate(world(merged, func(s *pull.Snapshot) { s.Known.Dependents = nil }), ledger(ours), noon)
	if diff := cmp.Diff([]pull.Need{{Kind: pull.NeedDependents, Fresh: true}}, d.Needs); diff != "" || len(d.Actions) > 0 {
		t.Errorf("Needs (-want +got):\n%s, doing %q", diff, acted(d.Actions))
	}
	// By GitHub's queue, which merges in its own name.
	wanted{Merged, "merged", "branch.delete door", 0}.check(t, must(t, policy).Evaluate(world(merged, func(s *pull.Snapshot) { s.MergedBy = pull.Actor{ID: 99, Login: "github-merge-queue[bot]"} }), ledger(did(pull.Enqueue, string(head), time.Minute)), noon))
}

// TestArchived: in an archived repository nothing is tried.
func TestArchived(t *testing.T) {
	p := must(t, "version: 1\nlabels: { big: { lines: 1.. } }\nrules: [{ if: true, do: [approve, { comment: hello }] }]\nmerge: { if: approved }\n")
	d := p.Evaluate(world(func(s *pull.Snapshot) { s.Archived = true }), pull.Memory{}, noon)
	if d.Verdict.State != Blocked || len(d.Actions) > 0 || d.Verdict.Reasons[0].Code != Archived {
		t.Errorf("Evaluate = %s because of %s, doing %q, want nothing done", d.Verdict.State, codes(d.Verdict.Reasons), acted(d.Actions))
	}
}

// TestWhoMayAsk: whoever can help is named by what the policy says of the command.
func TestWhoMayAsk(t *testing.T) {
	for _, tt := range []struct {
		policy string
		memory pull.Memory
		want   []string
	}{
		{"merge: { if: approved, command: true }\n", pull.Memory{}, []string{WhoWriter}},
		{"merge: { if: approved, command: true }\ncommands: { merge: { allow: [maintain, '@octo/release'] } }\n", pull.Memory{}, []string{"@octo/release", WhoMaintainer}},
		{"merge: { if: approved, label: ship }\ncommands: { merge: { allow: [carol] } }\n", pull.Memory{}, []string{"carol"}},
		{"merge: { if: approved, label: ship }\ncommands: off\n", pull.Memory{}, []string{WhoWriter}},
		{"merge: { if: approved, command: true }\ncommands: off\n", pull.Memory{}, []string{WhoPolicy}},
		{"merge: { if: approved }\n", pull.Memory{Hold: &pull.Order{By: bob}}, []string{"bob", WhoWriter}},
		{"merge: { if: approved }\ncommands: { unhold: { allow: [admin] } }\n", pull.Memory{Hold: &pull.Order{By: bob}}, []string{"bob", WhoAdmin}},
	} {
		d := must(t, "version: 1\n"+tt.policy).Evaluate(world(), tt.memory, noon)
		if got := d.Verdict.Reasons[0].Who; !slices.Equal(got, tt.want) {
			t.Errorf("%q names %v (%s), want %v", tt.policy, got, codes(d.Verdict.Reasons), tt.want)
		}
	}
}
