package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

var (
	dave = pull.Actor{ID: 6, Login: "dave", Type: pull.User}
	erin = pull.Actor{ID: 7, Login: "erin", Type: pull.User}
	bot  = pull.Actor{ID: 8, Login: "helper[bot]", Type: pull.Bot}
)

// A directory is what GitHub would say when it is asked about people.
type directory struct {
	people map[string]pull.Person
	teams  map[string]pull.Team
	owners string // CODEOWNERS
	same   bool   // what compares is the same change
	asked  int    // how many things were looked up
}

// usual is who there is: all may write but eve, and all have other things to review.
func usual() *directory {
	d := &directory{people: map[string]pull.Person{}, teams: map[string]pull.Team{
		"acme/backend": {Members: []pull.Actor{alice, bob, carol, dave}},
		"acme/bots":    {Members: []pull.Actor{bot}},
	}}
	for i, a := range []pull.Actor{alice, bob, carol, dave, erin} {
		d.people[a.Login] = pull.Person{Actor: a, Permission: pull.PermissionWrite, Loaded: true, Requests: i}
	}
	d.people["eve"] = pull.Person{Actor: eve, Permission: pull.PermissionRead, Loaded: true}
	return d
}

// learn answers needs, as package github does.
func (g *directory) learn(s pull.Snapshot, needs []pull.Need) pull.Snapshot {
	g.asked += len(needs)
	people, teams, files, same := map[string]pull.Person{}, map[string]pull.Team{}, map[string]pull.Document{}, map[string]pull.Sameness{}
	maps.Copy(people, s.Known.People)
	maps.Copy(teams, s.Known.Teams)
	maps.Copy(files, s.Known.Files)
	maps.Copy(same, s.Known.Same)
	for _, n := range needs {
		name := strings.ToLower(n.Name)
		switch n.Kind {
		case pull.NeedPerson, pull.NeedLoad:
			p, ok := g.people[name]
			if !ok {
				p.Missing = "there is no such account"
			}
			have := people[name]
			have.Actor, have.Missing = p.Actor, p.Missing
			if n.Kind == pull.NeedPerson {
				have.Permission = p.Permission
			} else {
				have.Loaded, have.Requests, have.Away = p.Loaded, p.Requests, p.Away
			}
			people[name] = have
		case pull.NeedTeam:
			team, ok := g.teams[name]
			if !ok {
				team.Missing = "there is no such team"
			}
			teams[name] = team
		case pull.NeedFile:
			files[n.Name] = pull.Document{Found: g.owners != "" && n.Name == ownerFiles[0], Text: g.owners}
		case pull.NeedRenames:
			s.Known.Renames = true
		case pull.NeedSame:
			same[pull.SameKey(n.A, n.B)] = pull.Sameness{Same: g.same}
		}
	}
	s.Known.People, s.Known.Teams, s.Known.Files, s.Known.Same = people, teams, files, same
	return s
}

// ask decides as a pass does: until nothing more has to be looked up.
func (g *directory) ask(t interface{ Fatalf(string, ...any) }, p *Policy, s pull.Snapshot, m pull.Memory, now time.Time) Decision {
	for range 6 {
		d := p.Evaluate(s, m, now)
		if len(d.Needs) == 0 {
			return d
		}
		s = g.learn(s, d.Needs)
	}
	t.Fatalf("still needs %v", p.Evaluate(s, m, now).Needs)
	return Decision{}
}

// asks are those whom a decision asks.
func asks(d Decision) []string {
	var out []string
	for _, a := range d.Actions {
		if a.Kind == pull.AskReview {
			out = append(out, a.Target)
		}
	}
	return out
}

// told is what a rule came to: its outcome, then each code with whom it is about.
func told(rule Rule) string {
	out := []string{string(rule.Outcome)}
	for _, r := range rule.Why {
		s := string(r.Code)
		if len(r.Names) > 0 {
			s += " " + strings.Join(r.Names, "+")
		}
		if r.Count > 0 {
			s += fmt.Sprint(" ", r.Count)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func asked(name string, status pull.IntentStatus, at time.Time, change ...func(*pull.Intent)) func(*pull.Memory) {
	return func(m *pull.Memory) {
		in := pull.Intent{Action: pull.Action{Kind: pull.AskReview, Target: name}, Status: status, PlannedAt: at, StartedAt: at, DoneAt: at}
		for _, c := range change {
			c(&in)
		}
		m.Intents = append(m.Intents, in)
	}
}

func refused(words string, passing bool) func(*pull.Intent) {
	return func(in *pull.Intent) { in.Error, in.Failures, in.Passing = words, 1, passing }
}

func requested(who ...pull.ReviewRequest) func(*pull.Snapshot) {
	return func(s *pull.Snapshot) { s.ReviewRequests = append(s.ReviewRequests, who...) }
}

func fresh(s *pull.Snapshot) { s.Reviews = nil }

func TestReviewers(t *testing.T) {
	const notCollaborator = "Reviews may only be requested from collaborators."
	long := noon.Add(-time.Hour)
	type change = func(*pull.Snapshot)
	tests := []struct {
		name   string
		rule   string
		github func(*directory)
		change []change
		memory []func(*pull.Memory)
		asks   string
		told   string
		looked int // how many things were looked up
		again  time.Duration
	}{
		{name: "one person", rule: "from: bob", asks: "bob", told: "ask, reviewer_only bob", looked: 2},
		{name: "nobody else", rule: "from: [bob, carol], count: 2", asks: "bob carol", told: "ask, reviewer_only bob+carol", looked: 4},
		{name: "the least loaded of a team", rule: `from: "@acme/backend", pick: least-loaded`, asks: "bob", told: "ask, reviewer_idle bob 3, reviewer_author alice", looked: 1 + 6},
		{name: "the least loaded two", rule: `from: "@acme/backend", pick: least-loaded, count: 2`, asks: "bob carol", told: "ask, reviewer_idle bob 3, reviewer_idle carol 3, reviewer_author alice", looked: 7},
		{name: "the least loaded by shares", rule: `from: "@acme/backend", pick: least-loaded, weights: { "@Dave": 10 }`, asks: "dave", told: "ask, reviewer_idle dave 3, reviewer_author alice", looked: 7},
		{name: "the author alone", rule: "from: alice", told: "short, reviewer_author alice, reviewers_few 1"},
		{name: "away by the policy", rule: "from: [bob, carol], away: Bob", asks: "carol", told: "ask, reviewer_only carol, reviewer_away bob", looked: 2, again: time.Hour},
		{name: "away by their profile", rule: "from: [bob, carol, dave], count: 3", github: func(g *directory) {
			p := g.people["carol"]
			p.Away = true
			g.people["carol"] = p
		}, asks: "bob dave", told: "ask, reviewer_only bob+dave, reviewer_away carol, reviewers_few 1", looked: 6, again: time.Hour},
		{name: "at capacity", rule: "from: [bob, carol, dave], count: 3, capacity: 2", asks: "bob", told: "ask, reviewer_only bob, reviewer_full carol+dave 2, reviewers_few 2", looked: 6, again: time.Hour},
		{name: "may not write", rule: "from: [eve, bob], count: 2", asks: "bob", told: "ask, reviewer_only bob, reviewer_no_write eve, reviewers_few 1", looked: 4},
		{name: "no such account", rule: "from: nemo", told: "short, reviewer_unknown nemo, reviewers_few 1", looked: 2},
		{name: "a bot", rule: `from: ["@acme/bots", "dependabot[bot]"]`, told: "short, reviewer_bot dependabot[bot]+helper[bot], reviewers_few 1", looked: 1},
		{name: "no such team", rule: `from: ["@acme/none", bob]`, asks: "bob", told: "ask, reviewer_only bob, reviewers_team acme/none", looked: 3},

		{name: "the team itself", rule: `from: "@acme/backend", as: team`, asks: "acme/backend", told: "ask, reviewer_only acme/backend"},
		{name: "the team is asked", rule: `from: "@Acme/Backend", as: team`, change: []change{requested(pull.ReviewRequest{Team: "acme/backend"})}, told: "asked, reviewer_asked Acme/Backend"},
		{name: "a member was asked in the team's place", rule: `from: "@acme/backend", as: team`, change: []change{requested(pull.ReviewRequest{Who: carol})}, told: "asked, reviewer_asked acme/backend", looked: 1},
		{name: "a member has reviewed for the team", rule: `from: "@acme/backend", as: team`, change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.Commented, head)} }}, told: "asked, reviewer_reviewed acme/backend", looked: 1},
		{name: "the author's own words are not the team's", rule: `from: "@acme/backend", as: team`, change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(alice, pull.Commented, head)} }}, asks: "acme/backend", told: "ask, reviewer_only acme/backend", looked: 1},

		{name: "asked already", rule: "from: [bob, carol]", change: []change{requested(pull.ReviewRequest{Who: bob})}, told: "asked, reviewer_asked bob"},
		{name: "asked by GitHub", rule: "from: [bob, carol]", change: []change{requested(pull.ReviewRequest{Who: bob, ByOwners: true})}, told: "asked, reviewer_owner bob"},
		{name: "has reviewed", rule: "from: [bob, carol]", change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.Commented, older)} }}, told: "asked, reviewer_reviewed bob"},
		{name: "one has reviewed, one more", rule: "from: [bob, carol], count: 2", change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.Dismissed, head)} }}, asks: "carol", told: "ask, reviewer_only carol, reviewer_reviewed bob", looked: 2},
		{name: "a review that is not sent is none", rule: "from: bob", change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.PendingReview, head)} }}, asks: "bob", told: "ask, reviewer_only bob", looked: 2},
		{name: "somebody else is asked", rule: "from: bob", change: []change{requested(pull.ReviewRequest{Who: erin})}, asks: "bob", told: "ask, reviewer_only bob", looked: 2},
		{name: "more are asked than should be", rule: "from: [bob, carol]", change: []change{requested(pull.ReviewRequest{Who: bob}, pull.ReviewRequest{Who: carol})}, told: "asked, reviewer_asked bob+carol"},

		{name: "asked a moment ago", rule: "from: [bob, carol]", memory: []func(*pull.Memory){asked("Bob", pull.Done, noon.Add(-10*time.Second))}, told: "asked, reviewer_settling bob", again: 20 * time.Second},
		{name: "taken off the list", rule: "from: [bob, carol]", memory: []func(*pull.Memory){asked("bob", pull.Done, long)}, told: "asked, reviewer_gone bob"},
		{name: "taken off the list, and one more is to be asked anyway", rule: "from: [bob, carol], count: 2", memory: []func(*pull.Memory){asked("bob", pull.Done, long)}, asks: "carol", told: "ask, reviewer_only carol, reviewer_gone bob", looked: 2},
		{name: "passed over", rule: "from: [bob, carol]", memory: []func(*pull.Memory){asked("bob", pull.Done, long), func(m *pull.Memory) { m.Passed = []string{"BOB"} }}, asks: "carol", told: "ask, reviewer_only carol, reviewer_passed bob", looked: 2},
		{name: "passed over, and still being taken off", rule: "from: [bob, carol]", change: []change{requested(pull.ReviewRequest{Who: bob})}, memory: []func(*pull.Memory){func(m *pull.Memory) {
			m.Passed = []string{"bob"}
			m.Intents = append(m.Intents, pull.Intent{Action: pull.Action{Kind: pull.UnaskReview, Target: "bob"}, Status: pull.Done, DoneAt: noon.Add(-time.Second)})
		}}, asks: "carol", told: "ask, reviewer_only carol, reviewer_passed bob", looked: 2},
		{name: "passed over, and asked by a person since", rule: "from: [bob, carol]", change: []change{requested(pull.ReviewRequest{Who: bob})}, memory: []func(*pull.Memory){func(m *pull.Memory) { m.Passed = []string{"bob"} }}, told: "asked, reviewer_asked bob"},
		{name: "GitHub refused one", rule: "from: [bob, carol]", memory: []func(*pull.Memory){asked("bob", pull.Failed, noon.Add(-time.Second), refused(notCollaborator, false))}, asks: "carol", told: "ask, reviewer_only carol, reviewer_refused bob", looked: 2, again: time.Hour - time.Second},
		{name: "GitHub refused for a moment", rule: "from: [bob, carol]", memory: []func(*pull.Memory){asked("bob", pull.Failed, noon.Add(-time.Second), refused("try later", true))}, told: "asked, reviewer_refused bob", again: 3 * time.Second},
		{name: "GitHub refuses them all", rule: "from: [bob, carol, dave, erin]", memory: []func(*pull.Memory){
			asked("bob", pull.Failed, noon, refused("no", false)), asked("carol", pull.Failed, noon, refused("no", false)), asked("dave", pull.Failed, noon, refused("no", false)),
		}, told: "short, reviewer_refused bob+carol+dave, reviewers_few 1", again: time.Hour},
		{name: "whoever was about to be asked stays first", rule: "from: [bob, carol, dave], pick: least-loaded", memory: []func(*pull.Memory){asked("dave", pull.Planned, noon)}, asks: "dave", told: "ask, reviewer_idle dave 3", looked: 6},

		{name: "a draft", rule: "from: bob", change: []change{func(s *pull.Snapshot) { s.Draft = true }}, told: "later, reviewers_draft"},
		{name: "an archive", rule: "from: bob", change: []change{func(s *pull.Snapshot) { s.Archived = true }}, told: "none, archived"},
		{name: "about other files", rule: `from: bob, files: "api/**"`, told: "none"},
		{name: "about files that GitHub does not list", rule: `from: bob, files: "api/**"`, change: []change{func(s *pull.Snapshot) { s.FilesTruncated = true }}, told: "undecided, fact_unknown pr.files"},
		{name: "more reviews than GitHub lists", rule: "from: bob", change: []change{func(s *pull.Snapshot) { s.ReviewsTruncated = true }}, told: "undecided, fact_unknown reviews"},

		{name: "not asked again", rule: "from: bob", change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.Approved, older)} }}, told: "asked, reviewer_reviewed bob"},
		{name: "asked again", rule: "from: bob, again: true", change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.Approved, older)} }}, asks: "bob", told: "ask, reviewer_again bob", looked: 1},
		{name: "a comment on the head is no review of it", rule: "from: bob, again: true", change: []change{func(s *pull.Snapshot) {
			s.Reviews = []pull.Review{review(bob, pull.ChangesRequested, older), review(bob, pull.Commented, head)}
		}}, asks: "bob", told: "ask, reviewer_again bob", looked: 1},
		{name: "not again for a merge of the base", rule: "from: bob, again: true", github: func(g *directory) { g.same = true }, change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.Approved, older)} }}, told: "asked, reviewer_reviewed bob", looked: 1},
		{name: "not again for a merge of the base, as remembered", rule: "from: bob, again: true", memory: []func(*pull.Memory){func(m *pull.Memory) {
			m.Same = map[string]bool{pull.SameKey(older, head) + " main": true}
		}}, change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.Approved, older)} }}, told: "asked, reviewer_reviewed bob"},
		{name: "asked again once for each review", rule: "from: bob, again: true", change: []change{func(s *pull.Snapshot) {
			s.Reviews = []pull.Review{review(bob, pull.Approved, older)}
			s.Reviews[0].SubmittedAt = long
		}}, memory: []func(*pull.Memory){asked("bob", pull.Done, long.Add(time.Minute))}, told: "asked, reviewer_reviewed bob"},
		{name: "not again on the head itself", rule: "from: bob, again: true", change: []change{func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.Approved, head)} }}, told: "asked, reviewer_reviewed bob"},

		{name: "code owners, one for each group of files", rule: "from: codeowners", github: func(g *directory) { g.owners = "/src/ @bob @dave\n/docs/ @carol\n" }, change: []change{requested(pull.ReviewRequest{Who: bob, ByOwners: true})}, asks: "carol", told: "ask, reviewer_only carol, reviewer_owner bob", looked: 3 + 2},
		{name: "a code owner of both groups is enough", rule: "from: codeowners, pick: least-loaded", github: func(g *directory) { g.owners = "/src/ @bob\n/docs/ @bob @carol\n" }, asks: "bob", told: "ask, reviewer_only bob", looked: 3 + 2 + 1},
		{name: "a team of code owners", rule: "from: codeowners, pick: least-loaded", github: func(g *directory) { g.owners = "* @acme/backend\n" }, asks: "bob", told: "ask, reviewer_idle bob 3, reviewer_author alice", looked: 3 + 1 + 6},
		{name: "nobody owns the files", rule: "from: codeowners", github: func(g *directory) { g.owners = "/api/ @bob\n" }, told: "none, owners_nobody", looked: 3},
		{name: "nobody owns the files, and somebody else is listed", rule: "from: [codeowners, erin]", github: func(g *directory) { g.owners = "/api/ @bob\n" }, asks: "erin", told: "ask, reviewer_only erin", looked: 5},
		{name: "no CODEOWNERS", rule: "from: codeowners", told: "none, owners_nobody", looked: 3},
		{name: "an address and a line that GitHub skips", rule: "from: codeowners", github: func(g *directory) { g.owners = "* a@example.com @erin\n*.js js\n" }, asks: "erin", told: "ask, reviewer_only erin, owners_line_skipped, owners_mail_unknown a@example.com", looked: 5},
		{name: "more files than GitHub lists", rule: "from: codeowners", github: func(g *directory) { g.owners = "* @bob\n" }, change: []change{func(s *pull.Snapshot) { s.FilesTruncated = true }}, told: "undecided, owners_unclear", looked: 3},
		{name: "a file that was moved from its owner", rule: "from: codeowners", github: func(g *directory) { g.owners = "/api/ @bob\n" }, change: []change{changed(pull.File{Path: "a", Previous: "api/a", Status: "renamed"})}, asks: "bob", told: "ask, reviewer_only bob", looked: 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := usual()
			if tt.github != nil {
				tt.github(g)
			}
			p := must(t, "version: 1\nreviewers: [{ "+tt.rule+" }]\n")
			s := world(append([]func(*pull.Snapshot){fresh}, tt.change...)...)
			var m pull.Memory
			for _, c := range tt.memory {
				c(&m)
			}
			d := g.ask(t, p, s, m, noon)
			who := asks(d)
			slices.Sort(who)
			if got := strings.Join(who, " "); got != tt.asks {
				t.Errorf("asks %q, want %q", got, tt.asks)
			}
			if got := told(d.Verdict.Rules[0]); got != tt.told {
				t.Errorf("says %q\nwant %q", got, tt.told)
			}
			if g.asked != tt.looked {
				t.Errorf("looks up %d things, want %d", g.asked, tt.looked)
			}
			if again := time.Duration(0); !d.Again.IsZero() {
				if again = d.Again.Sub(noon); again != tt.again {
					t.Errorf("looks again after %s, want %s", again, tt.again)
				}
			} else if tt.again != 0 {
				t.Errorf("never looks again, want after %s", tt.again)
			}
		})
	}
}

// TestReviewersOfTwoRules: whom one rule asks counts for the next.
func TestReviewersOfTwoRules(t *testing.T) {
	p := must(t, "version: 1\nreviewers:\n  - { name: a, from: bob }\n  - { name: b, from: [bob, carol] }\n  - { name: c, from: [bob, carol], count: 2 }\n")
	d := usual().ask(t, p, world(fresh), pull.Memory{}, noon)
	var got []string
	for _, r := range d.Verdict.Rules[:3] {
		got = append(got, r.Name+": "+told(r))
	}
	want := "a: ask, reviewer_only bob; b: asked, reviewer_asked bob; c: ask, reviewer_only carol, reviewer_asked bob"
	if s := strings.Join(got, "; "); s != want || strings.Join(asks(d), " ") != "bob carol" {
		t.Errorf("says %s, asks %v, want %s", s, asks(d), want)
	}
}

// TestAskedOnceByWhomever: a command, a rule of reviewers and a free rule that mean the same person ask once.
func TestAskedOnceByWhomever(t *testing.T) {
	p := must(t, "version: 1\nreviewers: [{ from: [bob, carol] }]\nrules: [{ name: x, if: true, do: [{ request-review: [Bob, carol] }] }]\ncommands: { cc: { allow: read } }\n")
	s := world(fresh, func(s *pull.Snapshot) {
		s.Comments = []pull.Comment{{Source: pull.Conversation, ID: 1, NodeID: "IC_1", Author: alice, Body: "/cc @Carol", At: noon.Add(-time.Minute)}}
	})
	d := usual().ask(t, p, s, pull.Memory{}, noon)
	who := asks(d)
	for i := range who {
		who[i] = strings.ToLower(who[i])
	}
	slices.Sort(who)
	if got := strings.Join(who, " "); got != "bob carol" {
		t.Errorf("asks %s, want bob (by the free rule) and carol (by the command) once each", got)
	}
	if rule := d.Verdict.Rules[slices.IndexFunc(d.Verdict.Rules, func(r Rule) bool { return r.Section == "reviewers" })]; told(rule) != "asked, reviewer_asked carol" {
		t.Errorf("the rule of reviewers says %s, want that carol is asked", told(rule))
	}
}

func TestNobodyIsAskedWhenItIsOver(t *testing.T) {
	p := must(t, "version: 1\nreviewers: [{ from: bob }]\n")
	for _, state := range []pull.State{pull.Closed, pull.Merged} {
		d := usual().ask(t, p, world(fresh, func(s *pull.Snapshot) { s.State = state }), pull.Memory{}, noon)
		if got := asks(d); got != nil {
			t.Errorf("asks %v when %s", got, state)
		}
	}
	dry := must(t, "version: 1\nmode: dry-run\nreviewers: [{ from: bob }]\n")
	if d := usual().ask(t, dry, world(fresh), pull.Memory{}, noon); len(d.Actions) != 0 || len(d.Verdict.Would) != 1 {
		t.Errorf("in dry-run mode does %v and would do %v, want nothing and one thing", d.Actions, d.Verdict.Would)
	}
}

// somebody is a crowd to pick from.
func crowd(n int) (*directory, []string) {
	g := &directory{people: map[string]pull.Person{}}
	var logins []string
	for i := range n {
		a := pull.Actor{ID: int64(100 + i), Login: fmt.Sprintf("p%02d", i), Type: pull.User}
		g.people[a.Login] = pull.Person{Actor: a, Permission: pull.PermissionWrite, Loaded: true}
		logins = append(logins, a.Login)
	}
	return g, logins
}

// TestSpread holds how evenly requests are spread over people, by every way of picking.
func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rule  string
		step  int     // every how manyth number is a pull request, the others being issues
		least float64 // how many of an even share everybody has at least
		most  float64
	}{
		{"round-robin", "pick: round-robin", 1, 1, 1},
		{"round-robin, two each", "pick: round-robin, count: 2", 1, 0.97, 1.03},
		{"round-robin, every second number", "pick: round-robin", 2, 0.85, 1.15},
		{"round-robin, every fifth number, as many as there are people", "pick: round-robin", 5, 0.85, 1.15},
		{"random", "pick: random", 1, 0.85, 1.15},
		{"random, two each", "pick: random, count: 2", 3, 0.85, 1.15},
		{"least-loaded, all equally", "pick: least-loaded", 1, 0.85, 1.15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, logins := crowd(5)
			p := must(t, "version: 1\nreviewers: [{ from: ["+strings.Join(logins, ", ")+"], "+tt.rule+" }]\n")
			times, total := map[string]int{}, 0
			for i := range 1000 {
				s := world(fresh)
				s.Number = 5 + i*tt.step
				got := asks(g.ask(t, p, s, pull.Memory{}, noon))
				for _, who := range got {
					times[who]++
					total++
				}
			}
			for _, who := range logins {
				share := float64(times[who]) * float64(len(logins)) / float64(total)
				if share < tt.least || share > tt.most {
					t.Errorf("%s is asked %d times of %d, want %.0f%% to %.0f%% of an even share", who, times[who], total, tt.least*100, tt.most*100)
				}
			}
		})
	}
}

// TestShares: who has more shares is asked more often, in proportion.
func TestShares(t *testing.T) {
	for _, pick := range []string{roundRobin, byLot} {
		g, logins := crowd(4)
		p := must(t, "version: 1\nreviewers: [{ from: ["+strings.Join(logins, ", ")+"], pick: "+pick+", weights: { P00: 3, p01: 2 } }]\n")
		times := map[string]int{}
		for i := range 1400 {
			s := world(fresh)
			s.Number = 7 + i
			times[asks(g.ask(t, p, s, pull.Memory{}, noon))[0]]++
		}
		for who, want := range map[string]int{"p00": 600, "p01": 400, "p02": 200, "p03": 200} {
			if slack := want / 6; times[who] < want-slack || times[who] > want+slack {
				t.Errorf("%s: %s is asked %d times of 1400, want about %d", pick, who, times[who], want)
			}
		}
	}
}

// TestTurnsOfAQuarter: with round-robin nobody waits for long: of any ten numbers in a row, five people each have at least one.
func TestTurnsOfAQuarter(t *testing.T) {
	g, logins := crowd(5)
	p := must(t, "version: 1\nreviewers: [{ from: ["+strings.Join(logins, ", ")+"] }]\n")
	last := map[string]int{}
	for n := 1; n < 500; n++ {
		s := world(fresh)
		s.Number = n
		who := asks(g.ask(t, p, s, pull.Memory{}, noon))[0]
		if before, ok := last[who]; ok && n-before > 9 {
			t.Errorf("%s is asked for #%d and then for #%d, want within 9", who, before, n)
		}
		last[who] = n
	}
}

// play is a pull request to whose reviewers all kinds of things happen. check sees each decision.
func play(t *rapid.T, rule string, moves int, check func(pull.Snapshot, Decision)) {
	g := usual()
	g.owners = rapid.SampledFrom([]string{"", "* @bob\n", "/src/ @acme/backend\n/docs/ @erin @alice\n", "/docs/ @eve x@example.com\n"}).Draw(t, "owners")
	logins := slices.Sorted(maps.Keys(g.people))
	for _, login := range logins {
		p := g.people[login]
		p.Requests = rapid.IntRange(0, 4).Draw(t, "requests")
		p.Away = rapid.IntRange(0, 5).Draw(t, "away") == 0
		g.people[login] = p
	}
	p, problems := Parse(FileName, []byte("version: 1\nreviewers: [{ "+rule+" }]\n"))
	if problems != nil {
		t.Fatalf("%v", problems)
	}
	s := world(fresh)
	s.Number = rapid.IntRange(1, 50).Draw(t, "number")
	m, now := pull.Memory{}, noon
	for range moves {
		switch rapid.SampledFrom([]string{"look", "look", "push", "review", "take off", "ask", "draft", "load"}).Draw(t, "move") {
		case "push":
			s.Head.SHA = pull.SHA(fmt.Sprintf("%040d", rapid.IntRange(1, 1000).Draw(t, "sha")))
			s.HeadBranchTip = s.Head.SHA
		case "review":
			if len(s.ReviewRequests) > 0 {
				r := s.ReviewRequests[rapid.IntRange(0, len(s.ReviewRequests)-1).Draw(t, "who")]
				s.ReviewRequests = slices.DeleteFunc(slices.Clone(s.ReviewRequests), func(o pull.ReviewRequest) bool { return o == r })
				s.Reviews = append(slices.Clone(s.Reviews), pull.Review{Author: r.Who, State: pull.Approved, CanWrite: true, Commit: s.Head.SHA, SubmittedAt: now})
			}
		case "take off":
			if len(s.ReviewRequests) > 0 {
				s.ReviewRequests = slices.Clone(s.ReviewRequests)[1:]
			}
		case "ask":
			who := rapid.SampledFrom([]pull.Actor{bob, erin}).Draw(t, "asked")
			if !slices.ContainsFunc(s.ReviewRequests, func(r pull.ReviewRequest) bool { return r.Who.Same(who) }) {
				s.ReviewRequests = append(slices.Clone(s.ReviewRequests), pull.ReviewRequest{Who: who})
			}
		case "draft":
			s.Draft = !s.Draft
		case "load":
			for _, login := range logins {
				p := g.people[login]
				p.Requests = rapid.IntRange(0, 4).Draw(t, "requests")
				g.people[login] = p
			}
		}
		now = now.Add(time.Minute)
		d := g.ask(t, p, s, m, now)
		check(s, d)
		// GitHub does what it is asked for.
		intents := slices.Clone(m.Intents)
		m = d.Memory
		for _, a := range d.Actions {
			who, known := g.people[strings.ToLower(a.Target)]
			if !known {
				t.Fatalf("asks %s, of whom GitHub knows nothing", a.Target)
			}
			intents = slices.DeleteFunc(intents, func(in pull.Intent) bool { return in.Action.Target == a.Target })
			intents = append(intents, pull.Intent{Action: a, Status: pull.Done, PlannedAt: now, StartedAt: now, DoneAt: now})
			s.ReviewRequests = append(slices.Clone(s.ReviewRequests), pull.ReviewRequest{Who: who.Actor})
		}
		m.Intents = intents
		now = now.Add(time.Minute)
		if left := asks(g.ask(t, p, s, m, now)); len(left) > 0 {
			t.Fatalf("not still: asks %v too", left)
		}
	}
}

func reviewerRules() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		from := rapid.SampledFrom([]string{`"@acme/backend"`, "codeowners", `["@acme/backend", erin, eve]`, "[codeowners, bob, erin]", "[alice, bob, carol]"}).Draw(t, "from")
		return fmt.Sprintf("from: %s, count: %d, pick: %s, capacity: %d, again: %v", from, rapid.IntRange(1, 3).Draw(t, "count"),
			rapid.SampledFrom([]string{roundRobin, leastLoaded, byLot}).Draw(t, "pick"), rapid.IntRange(1, 5).Draw(t, "capacity"), rapid.Bool().Draw(t, "again"))
	})
}

// TestReviewersLaws: whatever happens, nobody reviews their own pull request, nobody is asked who can't be, nobody is asked
// twice who did not review in between, and what is asked for is stable.
func TestReviewersLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := reviewerRules().Draw(t, "rule")
		reviews := map[string]int{} // how many somebody had written when they were asked last
		play(t, rule, 8, func(s pull.Snapshot, d Decision) {
			written := func(who string) (n int) {
				for _, r := range s.Reviews {
					if r.Author.Login == who {
						n++
					}
				}
				return n
			}
			seen := map[string]bool{}
			for _, who := range asks(d) {
				before, again := reviews[who]
				switch {
				case who == "alice":
					t.Fatalf("asks the author")
				case who == "eve":
					t.Fatalf("asks somebody who may not write")
				case s.Draft:
					t.Fatalf("asks %s about a draft", who)
				case seen[who]:
					t.Fatalf("asks %s twice at once", who)
				case slices.ContainsFunc(s.ReviewRequests, func(r pull.ReviewRequest) bool { return r.Who.Login == who }):
					t.Fatalf("asks %s, who is asked", who)
				case again && written(who) == before:
					t.Fatalf("asks %s again, who has not reviewed since", who)
				}
				seen[who], reviews[who] = true, written(who)
			}
		})
	})
}

// TestReviewersCount: nobody is asked beyond the number that a rule names.
func TestReviewersCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 4).Draw(t, "count")
		n := rapid.IntRange(1, 6).Draw(t, "people")
		g, logins := crowd(n)
		pick := rapid.SampledFrom([]string{roundRobin, leastLoaded, byLot}).Draw(t, "pick")
		p, _ := Parse(FileName, []byte(fmt.Sprintf("version: 1\nreviewers: [{ from: [%s], count: %d, pick: %s }]\n", strings.Join(logins, ", "), count, pick)))
		s := world(fresh)
		s.Number = rapid.IntRange(1, 10_000).Draw(t, "number")
		there := rapid.IntRange(0, n).Draw(t, "asked already")
		for _, login := range logins[:there] {
			s.ReviewRequests = append(s.ReviewRequests, pull.ReviewRequest{Who: g.people[login].Actor})
		}
		got := asks(g.ask(t, p, s, pull.Memory{}, noon))
		if want := max(0, min(count, n)-there); len(got) != want {
			t.Fatalf("asks %v where %d of %d are asked and %d should be, want %d more", got, there, n, count, want)
		}
		if again := asks(g.ask(t, p, s, pull.Memory{}, noon.Add(time.Hour))); !slices.Equal(again, got) {
			t.Fatalf("asks %v, and an hour later %v", got, again)
		}
		slices.Reverse(logins)
		q, _ := Parse(FileName, []byte(fmt.Sprintf("version: 1\nreviewers: [{ from: [%s], count: %d, pick: %s }]\n", strings.ToUpper(strings.Join(logins, ", ")), count, pick)))
		other := asks(g.ask(t, q, s, pull.Memory{}, noon))
		for i := range other {
			other[i] = strings.ToLower(other[i])
		}
		if !slices.Equal(other, got) {
			t.Fatalf("asks %v, and %v when the list is written the other way round in capitals", got, other)
		}
	})
}

func TestReviewersProblems(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"reviewers: {}", `2:12: reviewers must be a list of rules; this is a mapping. Begin each rule with a dash; write [] for none.`},
		{"reviewers:", `reviewers must be a list of rules; this is empty.`},
		{"reviewers: [{ files: a }]", `2:13: A rule of reviewers does not say whom to ask: it needs the key from. For example, from: ["@acme/backend"], or from: codeowners.`},
		{"reviewers: [{ from: bob, cuont: 2 }]", `2:26: A rule of reviewers has no key "cuont". Did you mean "count"?`},
		{"reviewers: [{ from: bob, count: 0 }]", `2:33: count can be 1 to 15, not 0.`},
		{"reviewers: [{ from: bob, count: 1_0 }]", `count can be 1 to 15, not 1_0.`},
		{"reviewers: [{ from: bob, count: many }]", `2:33: count must be a whole number; this is text.`},
		{"reviewers: [{ from: bob, pick: roundrobin }]", `2:32: pick can't be "roundrobin". Did you mean "round-robin"?`},
		{"reviewers: [{ from: write }]", `2:21: "write" can't stand here.`},
		{"reviewers: [{ from: bob, as: teams }]", `as can't be "teams". Did you mean "team"?`},
		{"reviewers: [{ from: bob, weights: { bob: 11 } }]", `bob can be 1 to 10, not 11.`},
		{"reviewers: [{ from: bob, away: \"@acme/x\" }]", `away lists people; "acme/x" is a team. Write the logins of its members.`},
		{"reviewers: [{ from: [] }]", `from is an empty list.`},
		{"reviewers: [{ from: bob, name: " + strings.Repeat("x", 101) + " }]", `A name has at most 100 characters.`},
		{"reviewers: [bob]", `A rule of reviewers must be a mapping of keys to values; this is text.`},
	} {
		_, problems := Parse("p.yml", []byte("version: 1\n"+tt.text+"\n"))
		if len(problems) != 1 || !strings.Contains(problems[0].String(), tt.want) {
			t.Errorf("of %s is said\n%v\nwant\n%s", tt.text, problems, tt.want)
		}
	}
	twice := must(t, "version: 1\nreviewers:\n  - { from: [bob, carol], lines: ..9 }\n  - { from: [bob, carol], lines: 10.. }\n  - { name: third, from: bob }\n")
	if got := twice.reviewers[0].name + ", " + twice.reviewers[1].name + ", " + twice.reviewers[2].name; got != "from: bob, carol, from: bob, carol (2), third" {
		t.Errorf("the rules are called %s", got)
	}
	if p := must(t, "version: 1\nreviewers: []\n"); len(p.reviewers) != 0 {
		t.Errorf("an empty section has %d rules", len(p.reviewers))
	}
}

// TestPicked: /reroll passes over whom the service has asked and who has not answered, also when they were taken off the list
// since, so that their place is filled.
func TestPicked(t *testing.T) {
	long := noon.Add(-time.Hour)
	by := func(command string) func(*pull.Intent) { return func(in *pull.Intent) { in.Action.Command = command } }
	m := pull.Memory{Passed: []string{"Passed"}}
	for _, c := range []func(*pull.Memory){
		asked("bob", pull.Done, long), asked("carol", pull.Done, long), asked("dave", pull.Done, long), asked("erin", pull.Done, long, by("a /cc")),
		asked("passed", pull.Done, long), asked("never", pull.Failed, long), asked("acme/backend", pull.Done, long),
	} {
		c(&m)
	}
	s := world(fresh, requested(pull.ReviewRequest{Who: bob}, pull.ReviewRequest{Who: erin}, pull.ReviewRequest{Team: "Acme/backend"}), func(s *pull.Snapshot) {
		s.Reviews = []pull.Review{review(dave, pull.Commented, head)}
	})
	d := decider{s: &s, was: m}
	for _, tt := range []struct{ named, want string }{{"", "acme/backend bob carol"}, {"Bob erin", "bob"}, {"dave", ""}} {
		if got := strings.Join(d.picked(strings.Fields(tt.named)), " "); got != tt.want {
			t.Errorf("picked(%s) = %q, want %q", tt.named, got, tt.want)
		}
	}
}
