package policy

import (
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

var (
	dependabot = pull.Actor{ID: 49699333, Login: "dependabot[bot]", Type: pull.Bot}
	renovate   = pull.Actor{ID: 29139614, Login: "renovate[bot]", Type: pull.Bot}
	ourBot     = pull.Actor{ID: 77, Login: "acme-renovate[bot]", Type: pull.Bot}
	gitHub     = pull.Actor{ID: webFlowID, Login: "web-flow", Type: pull.User}
)

// Messages as the two bots write them.
const (
	bumpLodash = "Bump lodash from 4.17.20 to 4.17.21\n\nBumps [lodash](https://github.com/lodash/lodash) from 4.17.20 to 4.17.21.\n- [Commits](https://github.com/lodash/lodash/compare/4.17.20...4.17.21)\n\n---\nupdated-dependencies:\n- dependency-name: lodash\n  dependency-version: 4.17.21\n  dependency-type: direct:production\n  update-type: version-update:semver-patch\n...\n\nSigned-off-by: dependabot[bot] <support@github.com>"
	bumpGroup  = "Bump the web group with 2 updates\n\nBumps the web group with 2 updates: [a](https://x/a) and [b](https://x/b).\n\n\nUpdates `a` from 1.2.3 to 1.3.0\n- [Commits](https://x/a)\n\nUpdates `b` from 2.0.0 to 2.0.1\n\n---\nupdated-dependencies:\n- dependency-name: a\n  dependency-version: 1.3.0\n  dependency-type: direct:production\n  update-type: version-update:semver-minor\n- dependency-name: b\n  dependency-version: 2.0.1\n  dependency-type: indirect\n...\n"
	bumpTable  = "fix(deps): update dependency lodash to v5\n\n| datasource | package | from    | to    |\n| ---------- | ------- | ------- | ----- |\n| npm        | lodash  | 4.17.21 | 5.0.0 |\n"
	bumpWant   = "Update rails requirement from ~> 6.1 to ~> 7.0\n\nUpdates the requirements on rails to permit the latest version.\n\n---\nupdated-dependencies:\n- dependency-name: rails\n  dependency-type: direct:production\n...\n"
)

func byBot(bot pull.Actor, messages ...string) func(*pull.Snapshot) {
	return func(s *pull.Snapshot) {
		s.Author = bot
		s.Known.Commits = &pull.Commits{}
		for _, m := range messages {
			s.Known.Commits.List = append(s.Known.Commits.List, pull.Commit{SHA: head, Author: bot, Committer: gitHub, Verified: true, Message: m})
		}
	}
}

func TestUpdate(t *testing.T) {
	commit := func(change func(*pull.Commit)) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) {
			byBot(dependabot, bumpLodash, bumpLodash)(s)
			change(&s.Known.Commits.List[1])
		}
	}
	tests := []struct {
		name                  string
		change                func(*pull.Snapshot)
		level, what, from, to string
		why                   string // what it has to be said with, if the level is ""
	}{
		{"a patch by Dependabot", byBot(dependabot, bumpLodash), "patch", "lodash", "4.17.20", "4.17.21", ""},
		{"a group: the largest step", byBot(dependabot, bumpGroup), "minor", "a, b", "", "", ""},
		{"a requirement", byBot(dependabot, bumpWant), "major", "rails", "6.1", "7.0", ""},
		{"Renovate's table", byBot(renovate, bumpTable), "major", "lodash", "4.17.21", "5.0.0", ""},
		{"an App of the policy", byBot(ourBot, bumpTable), "major", "lodash", "4.17.21", "5.0.0", ""},
		{"committed by itself", commit(func(c *pull.Commit) { c.Committer = dependabot }), "patch", "lodash", "", "", ""},
		{"the lines say more than the block", byBot(dependabot, strings.ReplaceAll(bumpLodash, "to 4.17.21.", "to 5.0.0.")), "major", "lodash", "4.17.20", "4.17.21", ""},

		{"a person", func(s *pull.Snapshot) { byBot(alice, bumpLodash)(s) }, "", "", "", "", "the author is not a bot"},
		{"the name only", func(s *pull.Snapshot) {
			byBot(pull.Actor{ID: 666, Login: "dependabot[bot]", Type: pull.Bot}, bumpLodash)(s)
		}, "", "", "", "", "the author is not a bot"},
		{"the number, and not a bot", func(s *pull.Snapshot) {
			byBot(pull.Actor{ID: dependabot.ID, Login: "dependabot[bot]", Type: pull.User}, bumpLodash)(s)
		}, "", "", "", "", "the author is not a bot"},
		{"another bot", func(s *pull.Snapshot) {
			byBot(pull.Actor{ID: 78, Login: "evil[bot]", Type: pull.Bot}, bumpLodash)(s)
		}, "", "", "", "", "the author is not a bot"},
		{"one foreign commit", commit(func(c *pull.Commit) { c.Author = eve }), "", "", "", "", "is by eve, not by dependabot[bot]"},
		{"by nobody that GitHub knows", commit(func(c *pull.Commit) { c.Author = pull.Actor{Login: "dependabot[bot]"} }), "", "", "", "", "not by dependabot[bot]"},
		{"not verified", commit(func(c *pull.Commit) { c.Verified = false }), "", "", "", "", "is not verified"},
		{"signed by somebody else", commit(func(c *pull.Commit) { c.Committer = eve }), "", "", "", "", "was committed by eve"},
		{"a co-author", commit(func(c *pull.Commit) { c.CoAuthors = []pull.Actor{eve} }), "", "", "", "", "has eve as co-author"},
		{"commits cut short", func(s *pull.Snapshot) { byBot(dependabot, bumpLodash)(s); s.Known.Commits.Truncated = true }, "", "", "", "", "does not list all"},
		{"no commits", byBot(dependabot), "", "", "", "", "it has no commit"},
		{"a message that says nothing", byBot(dependabot, "Bump lodash"), "", "", "", "", "commitBodyTable"},
		{"a level in the title alone", func(s *pull.Snapshot) { byBot(dependabot, "x")(s); s.Title = "Bump a from 1.0.0 to 1.0.1" }, "", "", "", "", "commitBodyTable"},
		{"no versions", byBot(renovate, strings.ReplaceAll(bumpTable, "4.17.21", "sha-1")), "", "", "", "", "sha-1 is not a version"},
		{"a step back", byBot(renovate, strings.ReplaceAll(bumpTable, "5.0.0", "4.0.0")), "", "", "", "", "4.0.0 is older than 4.17.21"},
		{"a row that can't be read", byBot(renovate, strings.ReplaceAll(bumpTable, "| 5.0.0 |", "| 5.0.0 | x |")), "", "", "", "", "a version is missing"},
		{"a block that is no YAML", byBot(dependabot, strings.ReplaceAll(bumpLodash, "- dependency-name: lodash", "{[")), "", "", "", "", "ends in a block that can't be read"},
	}
	p := must(t, "version: 1\nupdate-bots: ['acme-renovate[bot]']\nmerge: { if: 'update.level == \"none\"' }\n")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := world(tt.change)
			u := newFacts(p, &s, &pull.Memory{}, noon).update()
			if u.level != tt.level || u.name != tt.what || u.from != tt.from || u.to != tt.to || !strings.Contains(u.why, tt.why) || (tt.why == "") != (u.why == "") {
				t.Errorf("%+v", u)
			}
			r := p.Evaluate(s, pull.Memory{}, noon).Verdict.Reasons
			if tt.why != "" && (len(r) != 1 || r[0].Code != UpdateUnknown || r[0].Value != u.why) {
				t.Errorf("the reasons are %+v, want why nothing is known of the update", r)
			}
		})
	}
	s := world(func(s *pull.Snapshot) { s.Author = dependabot })
	if d := p.Evaluate(s, pull.Memory{}, noon); lookedUp(d.Needs) != "commits" {
		t.Errorf("a bot's pull request needs %v, want its commits", d.Needs)
	}
}

func TestLevelOf(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"1.2.3", "1.2.4", "patch"},
		{"1.2.3", "1.3.0", "minor"},
		{"1.2.3", "2.0.0", "major"},
		{"v1", "v2", "major"},
		{"v3.1", "v3.2", "minor"},
		{"v3", "v3.0.1", "patch"},
		{"1.2.3.4", "1.2.3.5", "patch"},
		{"0.1.0", "0.2.0", "minor"},
		{"1.0.0-rc.1", "1.0.0", "patch"},
		{"2024.01.01", "2024.02.01", "minor"},
		{"33.1.0-jre", "33.2.0-jre", "minor"},
		{"1.2.3", "1.2.3", ""},
		{"1.2.3", "1.2.2", ""},
		{"2.0.0", "1.9.9", ""},
		{"1.2.3", "latest", ""},
		{"", "1.0.0", ""},
		{"abc1234", "def5678", ""},
		{"99999999999999999999", "1", ""},
	} {
		got, problem := levelOf(tt.from, tt.to)
		if got != tt.want || (got == "") == (problem == "") {
			t.Errorf("levelOf(%q, %q) = %q, %q, want %q", tt.from, tt.to, got, problem, tt.want)
		}
	}
}
