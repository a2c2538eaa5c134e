package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// lookedUp lists needs, for comparison.
func lookedUp(needs []pull.Need) string {
	var out []string
	for _, n := range needs {
		out = append(out, strings.TrimSpace(string(n.Kind)+" "+n.Name))
	}
	return strings.Join(out, ", ")
}

func label(name string, by pull.Actor) pull.Label {
	return pull.Label{Name: name, Present: true, SetBy: by, SetAt: noon.Add(-time.Hour)}
}

// person is what is known of somebody's permission.
func person(s *pull.Snapshot, a pull.Actor, p pull.PermissionLevel) {
	if s.Known.People == nil {
		s.Known.People = map[string]pull.Person{}
	}
	s.Known.People[a.Login] = pull.Person{Actor: a, Permission: p}
}

// TestEnvironment: what each name says, what has to be looked up for it, and when it is looked at again.
func TestEnvironment(t *testing.T) {
	tests := []struct {
		name, condition string
		change          func(*pull.Snapshot)
		result          Result
		needs           string
		again           time.Duration // after noon; 0: none
	}{
		{name: "author", condition: `pr.author == "alice" && pr.author_id == 2 && pr.author_type == "User"`, result: True},
		{name: "author's permission is asked for", condition: `pr.author_permission == "read"`, result: Unknown, needs: "person alice"},
		{name: "author's permission", condition: `pr.author_permission == "read"`, change: func(s *pull.Snapshot) { person(s, alice, pull.PermissionRead) }, result: True},
		{name: "the login is another account's by now", condition: `pr.author_permission == "none"`, change: func(s *pull.Snapshot) {
			s.Known.People = map[string]pull.Person{"alice": {Actor: eve, Permission: pull.PermissionAdmin}}
		}, result: True},
		{name: "author's permission is not to be had", condition: `pr.author_permission == "read"`, change: func(s *pull.Snapshot) {
			s.Known.People = map[string]pull.Person{"alice": {Missing: "there is no such account"}}
		}, result: Unknown},
		{name: "decided without it", condition: `pr.draft && pr.author_permission == "admin"`, result: False},
		{name: "decided without it, from the other side", condition: `pr.author_permission == "admin" || !pr.draft`, result: True},
		{name: "chosen without it", condition: `pr.draft ? pr.author_permission == "admin" : pr.number == 7`, result: True},

		{name: "labels by name", condition: `"hold" in pr.labels`, change: func(s *pull.Snapshot) { s.Labels = []pull.Label{label("hold", bob)} }, result: True},
		{name: "who set a label", condition: `pr.labelled.exists(l, l.name == "hold" && l.set_by.login == "bob" && l.set_at < now)`, change: func(s *pull.Snapshot) { s.Labels = []pull.Label{label("hold", bob)} }, result: True, again: coarse},
		{name: "may who set it", condition: `pr.labelled.exists(l, l.name == "ship" && l.set_by.can("maintain"))`, change: func(s *pull.Snapshot) { s.Labels = []pull.Label{label("ship", bob), label("x", eve)} }, result: Unknown, needs: "person bob"},
		{name: "who set it may", condition: `pr.labelled.exists(l, l.name == "ship" && l.set_by.can("maintain"))`, change: func(s *pull.Snapshot) {
			s.Labels = []pull.Label{label("ship", bob)}
			person(s, bob, pull.PermissionAdmin)
		}, result: True},
		{name: "who set it may not", condition: `pr.labelled.exists(l, l.name == "ship" && l.set_by.can("maintain"))`, change: func(s *pull.Snapshot) {
			s.Labels = []pull.Label{label("ship", eve)}
			person(s, eve, pull.PermissionTriage)
		}, result: False},
		{name: "nobody knows who set it", condition: `pr.labelled.exists(l, l.set_by.can("read"))`, change: func(s *pull.Snapshot) { s.Labels = []pull.Label{label("ship", pull.Actor{})} }, result: False},
		{name: "the label is not there", condition: `pr.labelled.exists(l, l.name == "ship" && l.set_by.can("maintain"))`, result: False},
		{name: "labels cut short", condition: `pr.labelled == []`, change: func(s *pull.Snapshot) { s.LabelsTruncated = true }, result: Unknown},
		{name: "milestone and assignees", condition: `pr.milestone == "1.0" && pr.assignees == ["bob"]`, change: func(s *pull.Snapshot) { s.Milestone, s.Assignees = "1.0", []pull.Actor{bob} }, result: True},

		{name: "changed files", condition: `pr.changes.exists(f, f.path == "src/door.go" && f.status == "" && f.additions + f.deletions == 0 && f.previous == "")`, result: True},
		{name: "a renamed file asks for its previous path", condition: `pr.files.exists(f, f.startsWith("core/"))`, change: renamed(false), result: Unknown, needs: "renames"},
		{name: "a renamed file was in core", condition: `pr.files.exists(f, f.startsWith("core/"))`, change: renamed(true), result: True},
		{name: "its previous path", condition: `pr.changes.exists(f, f.previous == "core/a" && f.status == "renamed")`, change: renamed(true), result: True},
		{name: "its previous path is asked for", condition: `pr.changes.exists(f, f.previous == "core/a")`, change: renamed(false), result: Unknown, needs: "renames"},
		{name: "its previous path does not matter", condition: `pr.changes.exists(f, f.path == "lib/a" || f.previous == "core/a")`, change: renamed(false), result: True},
		{name: "files cut short", condition: `pr.changes.exists(f, f.path == "x")`, change: func(s *pull.Snapshot) { s.FilesTruncated = true }, result: Unknown},

		{name: "commits are asked for", condition: `pr.commits.all(c, c.verified)`, result: Unknown, needs: "commits"},
		{name: "commits", condition: `pr.commits.all(c, c.verified && c.author.id == 2 && c.committer.type == "User" && c.message.startsWith("fix") && !c.merge)`, change: func(s *pull.Snapshot) {
			s.Known.Commits = &pull.Commits{List: []pull.Commit{{SHA: head, Author: alice, Committer: alice, Verified: true, Message: "fix: it"}}}
		}, result: True},
		{name: "commits cut short", condition: `pr.commits.all(c, c.verified)`, change: func(s *pull.Snapshot) { s.Known.Commits = &pull.Commits{Truncated: true} }, result: Unknown},
		{name: "accounts are compared by number", condition: `pr.commits.all(c, c.author == c.committer)`, change: func(s *pull.Snapshot) {
			again := alice
			again.Login = "alice-2"
			s.Known.Commits = &pull.Commits{List: []pull.Commit{{Author: alice, Committer: again}}}
		}, result: True},
		{name: "an unknown account is nobody's", condition: `pr.commits.exists(c, c.author == c.committer)`, change: func(s *pull.Snapshot) { s.Known.Commits = &pull.Commits{List: []pull.Commit{{}}} }, result: False},

		{name: "a check by its App", condition: `checks.by("ci", "build").passed && checks.by(9, "build").state == "passed"`, result: True},
		{name: "a check of another App", condition: `checks.by("forge", "build").state == "missing" && !checks.by(8, "build").passed`, result: True},
		{name: "a check forged by another", condition: `checks.by("ci", "build").passed`, change: func(s *pull.Snapshot) { s.Checks[0].App, s.Checks[0].AppID = "forge", 8 }, result: False},
		{name: "two of one App and name", condition: `checks.by("ci", "build").passed`, change: func(s *pull.Snapshot) {
			two := s.Checks[0]
			two.ID, two.Suite, two.State = 2, 5, pull.CheckPending
			s.Checks = append(s.Checks, two)
		}, result: False},
		{name: "a commit status", condition: `checks.by("", "lint").passed`, change: func(s *pull.Snapshot) {
			s.Checks = append(s.Checks, pull.Check{Name: "lint", State: pull.CheckPassed})
		}, result: True},
		{name: "all required checks", condition: `checks.list.all(c, !c.required || c.passed) && checks.list.exists(c, c.required && c.detail == "success" && c.app == "ci" && c.app_id == 9)`, change: func(s *pull.Snapshot) { s.Checks[0].Required, s.Checks[0].Detail = true, "success" }, result: True},
		{name: "checks cut short", condition: `checks.by("ci", "build").passed`, change: func(s *pull.Snapshot) { s.ChecksTruncated = true }, result: Unknown},

		{name: "reviews", condition: `reviews.list.exists(r, r.author.login == "bob" && r.state == "approved" && r.on_head && r.can_write)`, result: True},
		{name: "who is asked", condition: `reviews.requested == ["carol", "@acme/web"]`, change: func(s *pull.Snapshot) { s.ReviewRequests = []pull.ReviewRequest{{Who: carol}, {Team: "acme/web"}} }, result: True},
		{name: "threads", condition: `threads.unresolved == 1 && threads.list.exists(t, t.resolved && t.outdated && t.author.login == "bob")`, change: func(s *pull.Snapshot) {
			s.Threads = []pull.Thread{{Author: carol}, {Author: bob, Resolved: true, Outdated: true}}
		}, result: True},
		{name: "threads cut short", condition: `threads.unresolved == 0`, change: func(s *pull.Snapshot) { s.ThreadsTruncated = true }, result: Unknown},

		{name: "old enough in an hour", condition: `now - pr.created_at > duration("2h")`, result: False, again: time.Hour + time.Microsecond},
		{name: "old enough, and stays so", condition: `now - pr.created_at > duration("30m")`, result: True},
		{name: "at least so old", condition: `pr.created_at + duration("2h") <= now`, result: False, again: time.Hour},
		{name: "young for another hour", condition: `now - pr.created_at < duration("2h")`, result: True, again: time.Hour},
		{name: "young, the last moment included", condition: `now <= pr.created_at + duration("2h")`, result: True, again: time.Hour + time.Microsecond},
		{name: "no longer young", condition: `now - pr.created_at < duration("30m")`, result: False},
		{name: "before a day", condition: `now < timestamp("2026-03-02T18:00:00Z")`, result: True, again: 6 * time.Hour},
		{name: "the sooner counts", condition: `now < timestamp("2026-03-02T18:00:00Z") && now < timestamp("2026-03-02T13:00:00Z")`, result: True, again: time.Hour},
		{name: "not while something else is in the way", condition: `pr.draft && now < timestamp("2026-03-02T18:00:00Z")`, result: False},
		{name: "not when something else will do", condition: `!pr.draft || now < timestamp("2026-03-02T18:00:00Z")`, result: True},
		{name: "negated", condition: `!(now < timestamp("2026-03-02T18:00:00Z"))`, result: False, again: 6 * time.Hour},
		{name: "in the branch that is taken", condition: `pr.draft ? now < timestamp("2026-03-02T13:00:00Z") : now < timestamp("2026-03-02T14:00:00Z")`, result: True, again: 2 * time.Hour},
		{name: "the clock's hour", condition: `now.getHours("Europe/Paris") == 13`, result: True, again: coarse},
		{name: "open until five in Paris", condition: `schedule("Mon-Fri 09:00-17:00 Europe/Paris")`, result: True, again: 4 * time.Hour},
		{name: "opens in the afternoon", condition: `schedule("13:30-17:00 UTC")`, result: False, again: 90 * time.Minute},
		{name: "always open", condition: `schedule("00:00-24:00 UTC")`, result: True},
		{name: "some of the time, in a list", condition: `pr.labels.exists(l, now > timestamp("2026-03-02T18:00:00Z"))`, change: func(s *pull.Snapshot) { s.Labels = []pull.Label{label("x", bob)} }, result: False, again: coarse},

		{name: "no update", condition: `update.level == "" && update.name == "" && update.from == "" && update.to == ""`, result: True},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := world()
			if tt.change != nil {
				tt.change(&s)
			}
			p := must(t, "version: 1\nlabels: { x: { if: '"+tt.condition+"' } }\n")
			d := p.Evaluate(s, pull.Memory{}, noon)
			if got := d.Verdict.Rules[0].Condition; got.Result != tt.result {
				t.Errorf("%s is %s (%s), want %s", tt.condition, got.Result, got.Value, tt.result)
			}
			if got := lookedUp(d.Needs); got != tt.needs {
				t.Errorf("%s needs %q, want %q", tt.condition, got, tt.needs)
			}
			var again time.Duration
			if !d.Again.IsZero() && !d.Again.Equal(noon.Add(echoed)) { // which is for the event about the label
				again = d.Again.Sub(noon)
			}
			if again != tt.again {
				t.Errorf("%s is looked at again in %v, want %v", tt.condition, again, tt.again)
			}
		})
	}
}

// renamed moves a file out of core/; known: GitHub was asked from where.
func renamed(known bool) func(*pull.Snapshot) {
	return func(s *pull.Snapshot) {
		f := pull.File{Path: "lib/a", Status: "renamed"}
		if s.Known.Renames = known; known {
			f.Previous = "core/a"
		}
		s.Files = append(s.Files, f)
	}
}

// TestEveryNameHasAValue reads each name and field of the environment once, of a pull request that has everything.
func TestEveryNameHasAValue(t *testing.T) {
	s := world(func(s *pull.Snapshot) {
		s.Labels, s.Threads, s.Assignees = []pull.Label{label("x", bob)}, []pull.Thread{{Author: bob}}, []pull.Actor{bob}
		s.Known.Commits = &pull.Commits{List: []pull.Commit{{SHA: head, Author: alice}}}
		s.Known.Files = map[string]pull.Document{attributesFile: {}}
		person(s, alice, pull.PermissionRead)
		person(s, bob, pull.PermissionWrite)
	})
	conditions := map[string]string{}
	for _, v := range environment {
		conditions[v.name] = fmt.Sprintf("%s == %s", v.name, v.name)
		o := objectNamed(v.typ.String())
		if o == nil {
			continue
		}
		for _, f := range o.fields {
			conditions[v.name+" "+f.name] = fmt.Sprintf("%s.exists(x, x.%s == x.%s)", v.name, f.name, f.name)
			if f.typ.TypeName() == accountObject.name {
				for _, a := range accountObject.fields {
					conditions[v.name+" "+f.name+" "+a.name] = fmt.Sprintf("%s.exists(x, x.%s.%s == x.%s.%s)", v.name, f.name, a.name, f.name, a.name)
				}
			}
		}
	}
	for name, c := range conditions {
		prog, bad := compile(c, func(int) Pos { return Pos{} })
		if bad != nil {
			t.Errorf("%s: %v", c, bad)
			continue
		}
		n := prog.evaluate(newFacts(must(t, "version: 1\n"), &s, &pull.Memory{}, noon))
		// Where GitHub knows no account, it is equal to none, itself not excepted.
		if n.Result != True && !strings.HasSuffix(name, "pr.commits committer") {
			t.Errorf("%s is %s %s, want true", c, n.Result, n.Value)
		}
	}
}

// TestWhyNot: what a condition of each kind that does not hold is said to lack.
func TestWhyNot(t *testing.T) {
	at := func(h, m int) time.Time { return time.Date(2026, 3, 2, h, m, 0, 0, time.UTC) }
	tests := []struct {
		condition string
		change    func(*pull.Snapshot)
		want      Reason
	}{
		{condition: `checks.by("ci", "test").passed`, want: Reason{Code: ChecksPending, Names: []string{"test"}, SHA: head}},
		{condition: `checks.by("ci", "build").state == "passed"`, change: func(s *pull.Snapshot) { s.Checks[0].State = pull.CheckFailed }, want: Reason{Code: ChecksFailed, Names: []string{"build"}, SHA: head, Who: []string{"alice"}}},
		{condition: `checks.by(8, "build").passed`, want: Reason{Code: ChecksPending, Names: []string{"build"}, SHA: head}},
		{condition: `schedule("Mon-Fri 13:30-17:00 UTC")`, want: Reason{Code: ScheduleClosed, Text: "Mon-Fri 13:30-17:00 UTC", Until: at(13, 30)}},
		{condition: `!schedule("09:00-17:00 UTC")`, want: Reason{Code: ScheduleOpen, Text: "09:00-17:00 UTC", Until: at(17, 0)}},
		{condition: `now >= timestamp("2026-03-02T18:00:00Z")`, want: Reason{Code: TimeFalse, Text: `now >= timestamp("2026-03-02T18:00:00Z")`, Until: at(18, 0)}},
		{condition: `!(now < timestamp("2026-03-02T18:00:00Z"))`, want: Reason{Code: TimeTrue, Text: `now < timestamp("2026-03-02T18:00:00Z")`, Until: at(18, 0)}},
		{condition: `now < timestamp("2026-03-02T10:00:00Z")`, want: Reason{Code: ConditionFalse, Text: `now < timestamp("2026-03-02T10:00:00Z")`, Value: `timestamp("2026-03-02T10:00:00Z") is 2026-03-02T10:00:00Z`}},
		{condition: `update.level == "patch"`, want: Reason{Code: UpdateUnknown, Text: `update.level == "patch"`, Value: "the author is not a bot that updates dependencies"}},
		{condition: `pr.changes.all(f, f.path.startsWith("src/"))`, want: Reason{Code: ConditionFalse, Text: `pr.changes.all(f, f.path.startsWith("src/"))`, Value: `pr.changes is ["src/door.go", "docs/door.md"], what does not match is "docs/door.md"`}},
		{condition: `pr.author_permission == "read"`, change: func(s *pull.Snapshot) {
			s.Known.People = map[string]pull.Person{"alice": {Missing: "there is no such account"}}
		}, want: Reason{Code: FactUnknown, Names: []string{"permission of alice"}, Text: `pr.author_permission == "read"`, Value: "there is no such account"}},
		{condition: `pr.files.all(f, !f.startsWith("core/"))`, change: func(s *pull.Snapshot) {
			renamed(true)(s)
			s.Files[2].Previous = ""
		}, want: Reason{Code: FactUnknown, Names: []string{"pr.files"}, Text: `pr.files.all(f, !f.startsWith("core/"))`, Value: "GitHub does not tell from where a file was renamed"}},
	}
	for _, tt := range tests {
		s := world()
		if tt.change != nil {
			tt.change(&s)
		}
		d := must(t, "version: 1\nmerge: { if: '"+tt.condition+"' }\n").Evaluate(s, pull.Memory{}, noon)
		if len(d.Verdict.Reasons) != 1 || identity(d.Verdict.Reasons[0]) != identity(tt.want) {
			t.Errorf("%s lacks\n%s\nwant\n%s", tt.condition, identity(d.Verdict.Reasons), identity(tt.want))
		}
	}
}

// TestStillWaterInTime: a condition on time says the same at every look until it turns over, and only then wants something.
func TestStillWaterInTime(t *testing.T) {
	p := must(t, "version: 1\nmerge: { if: 'approved && now - pr.created_at > duration(\"5h\") && schedule(\"Mon-Fri 09:00-18:00 Europe/Paris\")' }\n")
	s, now := world(), noon
	first := p.Evaluate(s, pull.Memory{}, now)
	for range 3 {
		d := p.Evaluate(s, pull.Memory{}, now.Add(7*time.Minute))
		if d.Verdict.Digest() != first.Verdict.Digest() {
			t.Errorf("it says something else seven minutes later:\n%s\n%s", identity(first.Verdict), identity(d.Verdict))
		}
	}
	if want := noon.Add(4*time.Hour + time.Microsecond); !first.Again.Equal(want) {
		t.Fatalf("it looks again at %v, want %v", first.Again, want)
	}
	before := p.Evaluate(s, pull.Memory{}, first.Again.Add(-time.Microsecond))
	after := p.Evaluate(s, pull.Memory{}, first.Again)
	if len(before.Actions) != 0 || acted(after.Actions) != "merge "+string(head) {
		t.Errorf("a moment before it wants %q, then %q", acted(before.Actions), acted(after.Actions))
	}
}

// TestExplainsEntries: what an exists or an all found in a list.
func TestExplainsEntries(t *testing.T) {
	s := world(func(s *pull.Snapshot) {
		s.Files = nil
		for i := range 30 {
			s.Files = append(s.Files, pull.File{Path: fmt.Sprintf("a/%d", i), Status: []string{"added", "modified", "deleted"}[i%3]})
		}
	})
	for condition, want := range map[string]string{
		`pr.changes.exists(f, f.status == "deleted")`:           `"a/2" and 9 more of 30`,
		`pr.changes.exists(f, f.path == "a/7")`:                 `"a/7"`,
		`pr.changes.exists(f, f.status == "renamed")`:           "none of 30",
		`pr.changes.all(f, f.path.startsWith("a/"))`:            "all of 30",
		`pr.changes.all(f, f.status != "added")`:                `"a/0" and 9 more of 30`,
		`pr.files.exists_one(f, f == "a/3")`:                    `"a/3"`,
		`size(pr.changes.filter(f, f.status == "added")) == 10`: "",
	} {
		prog, bad := compile(condition, func(int) Pos { return Pos{} })
		if bad != nil {
			t.Errorf("%s: %v", condition, bad)
			continue
		}
		n := prog.evaluate(newFacts(must(t, "version: 1\n"), &s, &pull.Memory{}, noon))
		got := ""
		for _, c := range n.Children {
			if strings.HasPrefix(c.Text, "what ") {
				got = c.Value
			}
		}
		if got != want {
			t.Errorf("%s is explained with %q, want %q", condition, got, want)
		}
	}
}

// TestSelectorAsksForNothingInVain: what would have to be looked up is not when another test of the rule decides.
func TestSelectorAsksForNothingInVain(t *testing.T) {
	for rule, want := range map[string]string{
		`{ files: "core/**" }`:                                            "renames",
		`{ files: "lib/**" }`:                                             "",
		`{ files: "core/**", title: "^fix" }`:                             "",
		`{ files: "core/**", if: pr.draft }`:                              "",
		`{ author: "@acme/backend" }`:                                     "team acme/backend",
		`{ author: "@acme/backend", title: "^fix" }`:                      "",
		`{ author: ["@acme/backend", alice] }`:                            "",
		`{ author: [bob], if: 'pr.commits.all(c, c.verified)' }`:          "",
		`{ author: [alice], if: 'pr.commits.all(c, c.verified)' }`:        "commits",
		`{ title: "^fix", if: 'now < timestamp("2026-03-02T18:00:00Z")'}`: "",
		`{ if: 'update.level == "patch"' }`:                               "",
	} {
		s := world(renamed(false))
		d := must(t, "version: 1\nlabels: { x: "+rule+" }\n").Evaluate(s, pull.Memory{}, noon)
		if got := lookedUp(d.Needs); got != want {
			t.Errorf("%s needs %q, want %q", rule, got, want)
		}
		if strings.Contains(rule, "now") && !d.Again.IsZero() {
			t.Errorf("%s is looked at again at %v though its title decides", rule, d.Again)
		}
	}
}

func TestAuthorInTeam(t *testing.T) {
	p := must(t, "version: 1\nlabels: { x: { author: '@acme/backend' } }\n")
	for _, tt := range []struct {
		team pull.Team
		want Result
	}{
		{pull.Team{Members: []pull.Actor{bob, alice}}, True},
		{pull.Team{Members: []pull.Actor{bob}}, False},
		{pull.Team{Missing: "the App may not see the organization's members"}, Unknown},
	} {
		s := world(func(s *pull.Snapshot) { s.Known.Teams = map[string]pull.Team{"acme/backend": tt.team} })
		d := p.Evaluate(s, pull.Memory{}, noon)
		rule := d.Verdict.Rules[0]
		if rule.Condition.Result != tt.want || len(d.Needs) > 0 {
			t.Errorf("with %+v: %s, needs %v, want %s", tt.team, rule.Condition.Result, d.Needs, tt.want)
		}
		if tt.want == Unknown && (len(rule.Why) != 1 || rule.Why[0].Value != tt.team.Missing) {
			t.Errorf("unknown because of %+v, want the team's own words", rule.Why)
		}
	}
}

func TestRenamesInFiles(t *testing.T) {
	p := must(t, "version: 1\nlabels: { x: { files: ['core/**', '!core/docs/**'] } }\n")
	for _, tt := range []struct {
		name, previous string
		known          bool
		want           Result
		seen           string
	}{
		{"not known", "", false, Unknown, "none of 3 matches"},
		{"out of core", "core/a", true, True, `"core/a", renamed to "lib/a"`},
		{"out of an exception", "core/docs/a", true, False, "none of 3 matches"},
		{"GitHub does not tell", "", true, Unknown, "none of 3 matches"},
	} {
		s := world(func(s *pull.Snapshot) {
			s.Files = append(s.Files, pull.File{Path: "lib/a", Previous: tt.previous, Status: "renamed"})
			s.Known.Renames = tt.known
		})
		n := p.Evaluate(s, pull.Memory{}, noon).Verdict.Rules[0].Condition
		if n.Result != tt.want || n.Children[0].Value != tt.seen {
			t.Errorf("%s: %s with %s, want %s with %s", tt.name, n.Result, n.Children[0].Value, tt.want, tt.seen)
		}
	}
}

func TestGeneratedFiles(t *testing.T) {
	const attributes = "*.pb.go linguist-generated\n# a comment\nvendor/** linguist-generated=true\nvendor/ours/** -linguist-generated\n*.md text linguist-documentation\n"
	tests := []struct {
		name, policy string
		attributes   string // "-": not asked for yet; "?": it can't be read
		cut          bool   // the list of files
		want         Result
		needs        string
		seen         string
	}{
		{"small whatever is generated", "labels: { x: { lines: ..500 } }", "-", false, True, "", "130 at most"},
		{"too small whatever is generated", "labels: { x: { lines: 500.. } }", "-", false, False, "", "130 at most"},
		{"it depends", "labels: { x: { lines: 100.. } }", "-", false, Unknown, "file .gitattributes", "130 at most"},
		{"no such file", "labels: { x: { lines: 100.. } }", "", false, True, "", "130"},
		{"most is generated", "labels: { x: { lines: 100.. } }", attributes, false, False, "", "30, without 100 in generated files"},
		{"by the policy", "generated: ['**/*.pb.go']\nlabels: { x: { lines: 100.. } }", "-", false, False, "", "30 at most, without 100 in generated files"},
		{"the file can't be read", "labels: { x: { lines: 100.. } }", "?", false, Unknown, "", "130 at most"},
		{"cut short", "labels: { x: { lines: 100.. } }", "", true, True, "", "1130"},
		{"cut short, and something may be generated", "labels: { x: { lines: 100.. } }", attributes, true, Unknown, "", "1030 at most, without 100 in generated files"},
		{"cut short, and it does not matter", "labels: { x: { lines: 10.. } }", attributes, true, True, "", "1030 at most, without 100 in generated files"},
		{"in a condition", "labels: { x: { if: pr.lines < 100 } }", attributes, false, True, "", "30"},
		{"in a condition, asked for", "labels: { x: { if: pr.lines < 100 } }", "-", false, Unknown, "file .gitattributes", ""},
		{"one by one", "labels: { x: { if: 'pr.changes.exists(f, f.generated)' } }", attributes, false, True, "", `["a.pb.go", "docs/a.md", "vendor/ours/x.go"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := world(func(s *pull.Snapshot) {
				s.Additions, s.Deletions, s.FilesTruncated = 130, 0, tt.cut
				s.Files = []pull.File{{Path: "a.pb.go", Additions: 100}, {Path: "docs/a.md", Additions: 20}, {Path: "vendor/ours/x.go", Additions: 10}}
				if tt.cut {
					s.Additions += 1000
				}
				switch tt.attributes {
				case "-":
				case "?":
					s.Known.Files = map[string]pull.Document{attributesFile: {Found: true, Unreadable: "it is a binary file"}}
				default:
					s.Known.Files = map[string]pull.Document{attributesFile: {Found: tt.attributes != "", Text: tt.attributes}}
				}
			})
			d := must(t, "version: 1\n"+tt.policy+"\n").Evaluate(s, pull.Memory{}, noon)
			n := d.Verdict.Rules[0].Condition
			if n.Result != tt.want || lookedUp(d.Needs) != tt.needs {
				t.Errorf("%s, needs %q, want %s, %q", n.Result, lookedUp(d.Needs), tt.want, tt.needs)
			}
			if tt.seen != "" && n.Children[0].Value != tt.seen {
				t.Errorf("saw %q, want %q", n.Children[0].Value, tt.seen)
			}
		})
	}
}

func TestOptOut(t *testing.T) {
	p := must(t, mergeWhenGreen+"opt-out: [No-Bot, \"hands off\"]\nlabels: { docs: { files: 'docs/**' } }\n")
	on := func(s *pull.Snapshot) { s.Labels = []pull.Label{label("no-bot", carol)} }
	tests := []struct {
		name   string
		change func(*pull.Snapshot)
		state  State
		codes  string
		acts   bool
	}{
		{"not there", func(*pull.Snapshot) {}, Ready, "ready", true},
		{"there, in another case", on, Off, "opted_out", false},
		{"taken off again", func(s *pull.Snapshot) { on(s); s.Labels[0].Present = false }, Ready, "ready", true},
		{"labels cut short", func(s *pull.Snapshot) { s.LabelsTruncated = true }, Off, "fact_unknown", false},
		{"merged", func(s *pull.Snapshot) { on(s); s.State = pull.Merged }, Merged, "merged", false},
		{"closed", func(s *pull.Snapshot) { on(s); s.State = pull.Closed }, Closed, "closed", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := world(tt.change)
			d := p.Evaluate(s, pull.Memory{}, noon)
			if d.Verdict.State != tt.state || codes(d.Verdict.Reasons) != tt.codes || (len(d.Actions) > 0) != tt.acts {
				t.Errorf("%s %s, does %q", d.Verdict.State, codes(d.Verdict.Reasons), acted(d.Actions))
			}
			if tt.state == Off && (len(d.Verdict.Rules) > 0 || len(d.Commands) > 0 || !d.Again.IsZero() || len(d.Needs) > 0) {
				t.Errorf("off, and yet it decides something: %+v", d)
			}
		})
	}
	d := p.Evaluate(world(on), pull.Memory{}, noon)
	if r := d.Verdict.Reasons[0]; r.Label != "no-bot" || r.By != "carol" || !slices.Equal(r.Who, []string{WhoTriage}) {
		t.Errorf("the reason is %+v", r)
	}
}

// TestColourOfAMissingLabel: an action carries what a label that the repository does not have is made with.
func TestColourOfAMissingLabel(t *testing.T) {
	d := must(t, "version: 1\nlabels: { docs: { files: 'docs/**', color: '#D73A4A', description: Words }, x: { files: 'docs/**' } }\n").Evaluate(world(), pull.Memory{}, noon)
	want := []pull.Action{
		{Kind: pull.AddLabel, Target: "docs", Color: "d73a4a", Description: "Words"},
		{Kind: pull.AddLabel, Target: "x"},
	}
	if !slices.Equal(d.Actions, want) {
		t.Errorf("wants %+v, want %+v", d.Actions, want)
	}
}

// TestConflictLabel: set and cleared by itself; while GitHub works it out, it stays as it is, and is looked at again.
func TestConflictLabel(t *testing.T) {
	p := must(t, "version: 1\nlabels: { conflict: { if: pr.conflicting } }\n")
	ours := func(s *pull.Snapshot) { s.Labels = []pull.Label{label("conflict", us)} }
	memory := pull.Memory{Labels: map[string]pull.LabelMemory{"conflict": {Ours: true}}}
	for _, tt := range []struct {
		is    pull.Mergeable
		there bool
		want  string
		again bool
	}{
		{pull.MergeableConflict, false, "label.add conflict", false},
		{pull.MergeableConflict, true, "", false},
		{pull.MergeableUnknown, true, "", true},
		{pull.MergeableUnknown, false, "", true},
		{pull.MergeableClean, true, "label.remove conflict", false},
		{pull.MergeableClean, false, "", false},
	} {
		s, m := world(func(s *pull.Snapshot) { s.Mergeable = tt.is }), pull.Memory{}
		if tt.there {
			ours(&s)
			m = memory
		}
		d := p.Evaluate(s, m, noon)
		if acted(d.Actions) != tt.want || d.Again.IsZero() == tt.again {
			t.Errorf("%s, label there %v: does %q, again at %v", tt.is, tt.there, acted(d.Actions), d.Again)
		}
	}
}

// TestPeopleAreBounded: a push of commits by hundreds of accounts does not cost a request each, and is no yes.
func TestPeopleAreBounded(t *testing.T) {
	p := must(t, "version: 1\nmerge: { if: 'pr.commits.all(c, c.author.permission == \"write\")' }\n")
	s := world(func(s *pull.Snapshot) {
		s.Known.People = nil
		s.Known.Commits = &pull.Commits{}
		for i := range 250 {
			who := pull.Actor{ID: int64(1000 + i), Login: fmt.Sprint("crowd", i), Type: pull.User}
			s.Known.Commits.List = append(s.Known.Commits.List, commit(pull.SHA(fmt.Sprint(i)), who))
		}
		s.CommitCount = 250
	})
	d := p.Evaluate(s, pull.Memory{}, noon)
	if len(d.Needs) != maxPeople {
		t.Fatalf("asks for %d people, want %d", len(d.Needs), maxPeople)
	}
	s.Known.People = map[string]pull.Person{}
	for _, c := range s.Known.Commits.List[:maxPeople] {
		s.Known.People[c.Author.Login] = pull.Person{Actor: c.Author, Permission: pull.PermissionWrite}
	}
	if d = p.Evaluate(s, pull.Memory{}, noon); len(d.Needs) > 0 || codes(d.Verdict.Reasons) != "fact_unknown" || len(d.Actions) > 0 {
		t.Errorf("asks for %d more, and decides %s, %s", len(d.Needs), codes(d.Verdict.Reasons), acted(d.Actions))
	}
}
