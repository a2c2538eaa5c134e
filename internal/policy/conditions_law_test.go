package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// plainConditions look at the whole environment, one thing at a time. Those over the time tell when they turn over.
var plainConditions = []string{
	"pr.draft", "pr.fork", "approved", "checks.green", "pr.conflicting", "pr.behind", "1 / (pr.number - 7) == 0",
	"pr.lines > 100", "pr.lines < 40", "pr.changed_files == 2", `pr.title.startsWith("Add")`, `pr.author == "alice"`, `pr.author_permission == "write"`,
	`"hold" in pr.labels`, "size(pr.labels) > 1", `pr.labelled.exists(l, l.name == "hold" && l.set_by.can("maintain"))`, `pr.labelled.all(l, l.set_by.permission != "none")`,
	`pr.files.exists(f, f.startsWith("docs/"))`, `pr.files.all(f, f.matches("^(src|docs)/"))`, `pr.changes.exists(f, f.status == "renamed" && f.previous.startsWith("src/"))`,
	`pr.changes.exists(f, f.generated)`, `pr.changes.exists_one(f, f.path == "LOCK")`, `size(pr.changes.filter(f, f.additions > 3)) > 0`,
	`pr.commits.all(c, c.verified)`, `pr.commits.exists(c, c.author.login == "eve" || c.committer == c.author)`, `size(pr.commits.map(c, c.message)) == 1`,
	`checks.by("ci", "a").passed`, `checks.by(9, "b").state == "missing"`, `checks.list.all(c, !c.required || c.passed)`, `"a" in checks.failed`,
	`reviews.list.exists(r, r.on_head && r.author.can("write"))`, `size(reviews.requested) == 0`, `threads.unresolved == 0`, `threads.list.exists(t, t.resolved)`,
	`update.level == "patch"`, `update.level in ["minor", "major"] || update.name == "lodash"`, `pr.milestone != "" && pr.assignees == []`,
	`schedule("Mon-Fri 09:00-17:00 Europe/Paris")`, `schedule("22:00-06:00 America/New_York")`, `now - pr.created_at > duration("3h")`, `pr.updated_at + duration("90m") <= now`,
	`now < timestamp("2026-03-02T14:00:00Z")`, `duration("2h") >= now - pr.updated_at`, "true", "false",
}

// conditions are made of plain ones.
func conditions() *rapid.Generator[string] {
	leaves := rapid.SampledFrom(plainConditions)
	joined := leaves
	for range 3 {
		part := joined
		joined = rapid.Custom(func(t *rapid.T) string {
			switch rapid.IntRange(0, 5).Draw(t, "shape") {
			case 1:
				return "(" + part.Draw(t, "left") + " && " + part.Draw(t, "right") + ")"
			case 2:
				return "(" + part.Draw(t, "left") + " || " + part.Draw(t, "right") + ")"
			case 3:
				return "!(" + part.Draw(t, "not") + ")"
			case 4:
				return "(" + part.Draw(t, "if") + " ? " + part.Draw(t, "then") + " : " + part.Draw(t, "else") + ")"
			}
			return leaves.Draw(t, "leaf")
		})
	}
	return joined
}

// everythingKnown are pull requests of every kind of which all was looked up; some of it could not be had.
func everythingKnown() *rapid.Generator[pull.Snapshot] {
	return rapid.Custom(func(t *rapid.T) pull.Snapshot {
		s := snapshots().Draw(t, "s")
		yes := func(name string, oneIn int) bool { return rapid.IntRange(1, oneIn).Draw(t, name) == 1 }
		if yes("bot", 3) {
			s.Author = dependabot
		}
		for i := range s.Files {
			s.Files[i].Additions = rapid.IntRange(0, 60).Draw(t, "lines")
			if yes("renamed", 3) {
				s.Files[i].Status = "renamed"
				s.Files[i].Previous = rapid.SampledFrom([]string{"", "src/old", "docs/old"}).Draw(t, "previous")
			}
		}
		for i := range s.Checks {
			s.Checks[i].App, s.Checks[i].AppID, s.Checks[i].Required = "ci", 9, yes("required", 2)
		}
		for range rapid.IntRange(0, 2).Draw(t, "threads") {
			s.Threads = append(s.Threads, pull.Thread{Author: actors().Draw(t, "began"), Resolved: yes("resolved", 2)})
		}
		s.ThreadsTruncated = yes("threads truncated", 8)
		k := &s.Known
		k.Commits, k.Renames, k.People = &pull.Commits{Truncated: yes("commits truncated", 8)}, true, map[string]pull.Person{}
		for range rapid.IntRange(0, 3).Draw(t, "commits") {
			a := rapid.SampledFrom([]pull.Actor{dependabot, dependabot, dependabot, eve, alice}).Draw(t, "author")
			k.Commits.List = append(k.Commits.List, pull.Commit{
				SHA: head, Author: a, Committer: rapid.SampledFrom([]pull.Actor{gitHub, a}).Draw(t, "committer"), Verified: !yes("unverified", 4),
				Message: rapid.SampledFrom([]string{bumpLodash, bumpGroup, bumpTable, "x"}).Draw(t, "message"),
			})
		}
		for _, a := range []pull.Actor{us, alice, bob, carol, eve, dependabot} {
			p := pull.Person{Actor: a, Permission: rapid.SampledFrom([]pull.PermissionLevel{pull.PermissionAdmin, pull.PermissionWrite, pull.PermissionNone}).Draw(t, "permission")}
			if yes("missing", 6) {
				p = pull.Person{Missing: "there is no such account"}
			}
			k.People[strings.ToLower(a.Login)] = p
		}
		k.Files = map[string]pull.Document{attributesFile: rapid.SampledFrom([]pull.Document{
			{}, {Found: true, Text: "docs/** linguist-generated\n"}, {Found: true, Unreadable: "it is a binary file"},
		}).Draw(t, "attributes")}
		return s
	})
}

// TestLookingUpChangesNothingDecided: what a condition or a shorthand decides without something that could be looked up, it
// decides with it too, whatever the answer. And with everything looked up there is nothing more to ask.
func TestLookingUpChangesNothingDecided(t *testing.T) {
	rules := []string{
		"files: 'src/**'", "files: ['src/**', '!src/old']", "lines: 100..", "lines: ..30", "lines: [5..20, 60..90]", "author: alice", "label: hold",
	}
	each := "version: 1\nlabels:\n"
	for i, c := range plainConditions {
		each += fmt.Sprintf("  p%d: { if: '%s' }\n", i, c)
	}
	for i, r := range rules {
		each += fmt.Sprintf("  r%d: { %s }\n", i, r)
	}
	every := must(t, each)
	rapid.Check(t, func(t *rapid.T) {
		policy := "version: 1\nlabels:\n"
		for i := range 4 {
			c := conditions().Draw(t, "condition")
			policy += fmt.Sprintf("  x%d: { if: '%s' }\n  y%d: { %s, if: '%s' }\n", i, c, i, rapid.SampledFrom(rules).Draw(t, "rule"), c)
		}
		if rapid.Bool().Draw(t, "generated") {
			policy += "generated: ['LOCK']\n"
		}
		p, problems := Parse("p.yml", []byte(policy))
		if problems != nil {
			p = every // too dear
		}
		full := everythingKnown().Draw(t, "s")
		full.State = pull.Open
		bare := full
		bare.Known = pull.Lookups{}
		bare.Files = nil
		for _, f := range full.Files {
			f.Previous = ""
			bare.Files = append(bare.Files, f)
		}
		for _, p := range []*Policy{p, every} {
			a, b := p.Evaluate(bare, pull.Memory{}, noon), p.Evaluate(full, pull.Memory{}, noon)
			if len(b.Needs) > 0 {
				t.Fatalf("with everything looked up it needs %v", b.Needs)
			}
			for i := range a.Verdict.Rules {
				was, is := a.Verdict.Rules[i].Condition, b.Verdict.Rules[i].Condition
				if (was.Result == True || was.Result == False) && is.Result != was.Result {
					t.Fatalf("%s: %s before looking up, %s after", is.Text, was.Result, is.Result)
				}
				if was.Result == Unknown && is.Result != Unknown && len(a.Needs) == 0 {
					t.Fatalf("%s: unknown, and asks for nothing; looked up, it is %s", is.Text, is.Result)
				}
			}
		}
	})
}

// TestAgainIsSoonEnough: until the moment at which a decision asks for another look, it stays as it is.
func TestAgainIsSoonEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := conditions().Draw(t, "condition")
		p, problems := Parse("p.yml", []byte(fmt.Sprintf("version: 1\nlabels: { x: { if: '%s' } }\n", c)))
		if problems != nil {
			t.Skip(problems)
		}
		s := everythingKnown().Draw(t, "s")
		s.State = pull.Open
		d := p.Evaluate(s, pull.Memory{}, noon)
		until := noon.Add(48 * time.Hour)
		if !d.Again.IsZero() {
			until = d.Again
		}
		for range 5 {
			at := noon.Add(time.Duration(rapid.Int64Range(0, until.Sub(noon).Microseconds()-1).Draw(t, "microseconds")) * time.Microsecond)
			if e := p.Evaluate(s, pull.Memory{}, at); e.Verdict.Rules[0].Condition.Result != d.Verdict.Rules[0].Condition.Result {
				t.Fatalf("%s is %s at noon and %s at %s, though the next look is at %s", c, d.Verdict.Rules[0].Condition.Result, e.Verdict.Rules[0].Condition.Result, at, until)
			}
		}
	})
}

// TestConditionsAreDeterministic: any condition over any pull request gives one answer, to the byte, and soon.
func TestConditionsAreDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := conditions().Draw(t, "condition")
		text := []byte(fmt.Sprintf("version: 1\nmerge: { if: '%s' }\n", c))
		p, problems := Parse("p.yml", text)
		if problems != nil {
			t.Skip(problems)
		}
		q, _ := Parse("p.yml", text)
		s := everythingKnown().Draw(t, "s")
		a, b := p.Evaluate(s, pull.Memory{}, noon), q.Evaluate(s, pull.Memory{}, noon)
		if a.Verdict.Digest() != b.Verdict.Digest() || !a.Again.Equal(b.Again) {
			t.Fatalf("two answers to %s", c)
		}
	})
}

// TestQuickGlobs: what is prepared of a glob never changes what it matches.
func TestQuickGlobs(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "b", "/", "*", "**", "**/", "?", "[ab]", "{a,b/c}", ".go", `\*`, "!"})
	rapid.Check(t, func(t *rapid.T) {
		pattern := strings.Join(rapid.SliceOfN(piece, 1, 6).Draw(t, "pattern"), "")
		if !doublestar.ValidatePattern(pattern) {
			t.Skip("not a pattern")
		}
		path := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "/", "c", ".go", "*"}), 0, 6).Draw(t, "path"), "")
		if got, want := newGlob(pattern).match(path), doublestar.MatchUnvalidated(pattern, path); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, path, got, want)
		}
	})
}

func FuzzSchedule(f *testing.F) {
	f.Add("Mon-Fri 09:00-17:00 Europe/Paris", int64(1_770_000_000))
	f.Add("22:00-06:00,12:00-12:30 America/New_York", int64(0))
	f.Add("Sun-Sat 00:00-24:00 UTC", int64(-1))
	f.Add("Mon,,Fri 9:00-17:00 ../../etc", int64(1<<40))
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := parseSchedule(text)
		if err != nil {
			if bad, ok := err.(*badSchedule); !ok || !strings.HasSuffix(bad.message, ".") || !strings.HasSuffix(bad.hint, ".") {
				t.Errorf("%v is not two sentences", err)
			}
			return
		}
		at := time.Unix(unix%(1<<38), 0)
		if next := s.next(at); !next.IsZero() && (!next.After(at) || s.open(next) == s.open(at)) {
			t.Errorf("%q is said to change after %s at %s", text, at, next)
		}
	})
}

func FuzzUpdate(f *testing.F) {
	for _, m := range []string{bumpLodash, bumpGroup, bumpTable, bumpWant, "", "---\nupdated-dependencies:\n...\n"} {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, message string) {
		bumps, why := readBumps(message)
		if (why == "") == (len(bumps) == 0) {
			t.Fatalf("readBumps = %v, %q, want one of the two", bumps, why)
		}
		for _, b := range bumps {
			if levels[b.level] == 0 {
				t.Errorf("%+v has no level", b)
			}
		}
		s := world(byBot(dependabot, message, message))
		d := must(t, "version: 1\nmerge: { if: 'update.level == \"patch\"' }\n").Evaluate(s, pull.Memory{}, noon)
		if (d.Verdict.State == Ready) != (len(bumps) > 0 && maxLevel(bumps) == 1) {
			t.Errorf("the verdict is %s for %+v", d.Verdict.State, bumps)
		}
	})
}

func maxLevel(bumps []bump) int {
	n := 0
	for _, b := range bumps {
		n = max(n, levels[b.level])
	}
	return n
}

func FuzzAttributes(f *testing.F) {
	f.Add("*.pb.go linguist-generated\nvendor/** -linguist-generated", "a/b.pb.go")
	f.Add("/a[ linguist-generated=true\n\\", "a")
	f.Add("{a,b}/** linguist-generated", "{a,b}/c")
	f.Fuzz(func(t *testing.T, text, path string) {
		as := readAttributes(text)
		if as.generated(path) && !strings.Contains(text, "linguist-generated") {
			t.Errorf("%q makes %q generated", text, path)
		}
		if utf8.ValidString(text) && len(as) > strings.Count(text, "\n")+1 {
			t.Errorf("%q has %d lines", text, len(as))
		}
	})
}
