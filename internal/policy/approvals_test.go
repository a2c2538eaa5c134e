package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

const before pull.SHA = "bbbbbbb2222222222222222222222222222222222"

// answers are what GitHub says when a decision asks for more.
type answers struct {
	permissions map[string]pull.PermissionLevel // by login; others have none
	teams       map[string][]pull.Actor         // by name; others are not shown
	commits     []pull.Commit                   // nil: one of alice's
	truncated   bool
	same        map[string]pull.Sameness // by SameKey; others differ
	files       map[string]string        // on the base branch
	ahead       []pull.Ahead
}

// told answers every need of a decision, as github.Learn does.
func (a answers) told(s pull.Snapshot, needs []pull.Need) pull.Snapshot {
	k := &s.Known
	for _, n := range needs {
		name := strings.ToLower(n.Name)
		switch n.Kind {
		case pull.NeedPerson:
			k.People = maps.Clone(k.People)
			if k.People == nil {
				k.People = map[string]pull.Person{}
			}
			p := pull.Person{Permission: pull.PermissionNone}
			for _, who := range []pull.Actor{us, alice, bob, carol, dave, eve} {
				if who.Login == name {
					p.Actor = who
				}
			}
			if level := a.permissions[name]; level != "" {
				p.Permission = level
			}
			k.People[name] = p
		case pull.NeedTeam:
			k.Teams = maps.Clone(k.Teams)
			if k.Teams == nil {
				k.Teams = map[string]pull.Team{}
			}
			members, ok := a.teams[name]
			k.Teams[name] = pull.Team{Members: members}
			if !ok {
				k.Teams[name] = pull.Team{Missing: "the App may not see the organization's members"}
			}
		case pull.NeedCommits:
			k.Commits = &pull.Commits{List: a.commits, Truncated: a.truncated}
			if a.commits == nil {
				k.Commits.List = []pull.Commit{commit(head, alice)}
			}
		case pull.NeedSame:
			k.Same = maps.Clone(k.Same)
			if k.Same == nil {
				k.Same = map[string]pull.Sameness{}
			}
			k.Same[pull.SameKey(n.A, n.B)] = a.same[pull.SameKey(n.A, n.B)]
		case pull.NeedFile:
			k.Files = maps.Clone(k.Files)
			if k.Files == nil {
				k.Files = map[string]pull.Document{}
			}
			text, ok := a.files[n.Name]
			k.Files[n.Name] = pull.Document{Found: ok, Text: text}
		case pull.NeedAhead:
			k.Ahead = &a.ahead
		default:
			panic("nobody answers " + n.Kind)
		}
	}
	return s
}

func commit(sha pull.SHA, author pull.Actor, change ...func(*pull.Commit)) pull.Commit {
	c := pull.Commit{SHA: sha, Parents: []pull.SHA{older}, Author: author, Committer: author}
	for _, f := range change {
		f(&c)
	}
	return c
}

// informed decides, with every need answered. asked are the needs, in order.
func informed(t interface{ Fatalf(string, ...any) }, p *Policy, s pull.Snapshot, m pull.Memory, a answers) (d Decision, asked []pull.Need) {
	for range 7 {
		d = p.Evaluate(s, m, noon)
		if len(d.Needs) == 0 {
			return d, asked
		}
		asked = append(asked, d.Needs...)
		s = a.told(s, d.Needs)
	}
	t.Fatalf("it still needs %v", d.Needs)
	return d, asked
}

// whyNot is what a verdict says about approvals, in codes: "approvals_needed(approval_older)".
func whyNot(d Decision) string {
	if d.Verdict.Approvals == nil {
		return "no section"
	}
	return codes(d.Verdict.Approvals.Reasons)
}

func request(who pull.Actor) pull.ReviewRequest { return pull.ReviewRequest{Who: who} }

// rebased changes the base after all that the tests let people say.
func rebased(s *pull.Snapshot) { s.BaseSince = noon }

func order(by pull.Actor, sha pull.SHA, at time.Time) map[int64]pull.Order {
	return map[int64]pull.Order{by.ID: {By: by, SHA: sha, At: at}}
}

const oneApproval = "version: 1\napprovals: [{ name: review }]\n"

func approvals(rules string) string { return "version: 1\napprovals:\n" + rules }

func TestApprovals(t *testing.T) {
	byBob := review(bob, pull.Approved, head)
	tests := []struct {
		name    string
		policy  string // oneApproval unless set
		reviews []pull.Review
		change  func(*pull.Snapshot)
		memory  pull.Memory
		answers answers
		result  Result
		codes   string
		given   string
		asked   string // kinds of needs
	}{
		{name: "approved by who may write", reviews: []pull.Review{byBob}, result: True, given: "bob", asked: "commits"},
		{name: "nobody has said anything", result: False, codes: "approvals_needed"},
		{name: "approved without rights", reviews: []pull.Review{review(eve, pull.Approved, head)}, result: False, codes: "approvals_needed(approval_not_from)"},
		{name: "the author", reviews: []pull.Review{review(alice, pull.Approved, head)}, result: False, codes: "approvals_needed(approval_by_author)"},
		{name: "an account that GitHub does not name", reviews: []pull.Review{review(pull.Actor{Login: "bob"}, pull.Approved, head)}, result: False, codes: "approvals_needed"},
		{name: "reviews cut short", reviews: []pull.Review{byBob}, change: func(s *pull.Snapshot) { s.ReviewsTruncated = true }, result: Unknown, codes: "fact_unknown", given: "bob", asked: "commits"},
		{name: "a comment takes nothing back", reviews: []pull.Review{byBob, review(bob, pull.Commented, head)}, result: True, given: "bob", asked: "commits"},
		{name: "dismissed", reviews: []pull.Review{review(bob, pull.Dismissed, head)}, result: False, codes: "approvals_needed(approval_dismissed)"},
		{name: "dismissed, and approved again", reviews: []pull.Review{review(bob, pull.Dismissed, head), byBob}, result: True, given: "bob", asked: "commits"},
		{name: "asked to review again", reviews: []pull.Review{byBob}, change: func(s *pull.Snapshot) { s.ReviewRequests = []pull.ReviewRequest{request(bob)} }, result: False, codes: "approvals_needed(approval_asked_again)"},
		{name: "given for another base", reviews: []pull.Review{byBob}, change: rebased, result: False, codes: "approvals_needed(approval_other_base)"},
		{name: "given for another base, on an older commit: not even compared", reviews: []pull.Review{review(bob, pull.Approved, before)}, change: rebased, answers: answers{same: map[string]pull.Sameness{pull.SameKey(before, head): {Same: true}}}, result: False, codes: "approvals_needed(approval_other_base)"},
		{name: "given for another base, and again", reviews: []pull.Review{byBob, {Author: bob, CanWrite: true, State: pull.Approved, Commit: head, SubmittedAt: noon.Add(time.Hour)}}, change: rebased, result: True, given: "bob", asked: "commits"},
		{name: "by command, for another base", memory: pull.Memory{Approvals: order(bob, head, noon.Add(-time.Hour))}, change: rebased, answers: answers{permissions: map[string]pull.PermissionLevel{"bob": pull.PermissionWrite}}, result: False, codes: "approvals_needed(approval_other_base)", asked: "person"},
		{name: "another is asked too", reviews: []pull.Review{byBob}, change: func(s *pull.Snapshot) {
			s.ReviewRequests = []pull.ReviewRequest{request(carol), {Team: "acme/backend"}}
		}, result: True, given: "bob", asked: "commits"},

		{name: "changes requested by another", reviews: []pull.Review{byBob, review(carol, pull.ChangesRequested, older)}, result: False, codes: "changes_requested", given: "bob", asked: "commits"},
		{name: "changes requested, and approved since", reviews: []pull.Review{review(bob, pull.ChangesRequested, head), byBob}, result: True, given: "bob", asked: "commits"},
		{name: "approved, and changes requested since", reviews: []pull.Review{byBob, review(bob, pull.ChangesRequested, head)}, result: False, codes: "changes_requested approvals_needed"},
		{name: "changes requested, and dismissed", reviews: []pull.Review{byBob, review(carol, pull.Dismissed, head)}, result: True, given: "bob", asked: "commits"},
		{name: "changes requested, and asked again: a request takes nothing back", reviews: []pull.Review{byBob, review(carol, pull.ChangesRequested, head)}, change: func(s *pull.Snapshot) { s.ReviewRequests = []pull.ReviewRequest{request(carol)} }, result: False, codes: "changes_requested", given: "bob", asked: "commits"},
		{name: "changes requested without rights", reviews: []pull.Review{byBob, review(eve, pull.ChangesRequested, head)}, result: True, given: "bob", asked: "commits"},

		{name: "by command", memory: pull.Memory{Approvals: order(bob, head, noon)}, answers: answers{permissions: map[string]pull.PermissionLevel{"bob": pull.PermissionWrite}}, result: True, given: "bob", asked: "person commits"},
		{name: "by command, of an older head", memory: pull.Memory{Approvals: order(bob, before, noon)}, answers: answers{permissions: map[string]pull.PermissionLevel{"bob": pull.PermissionWrite}}, result: False, codes: "approvals_needed(approval_changed)", asked: "person same"},
		{name: "by command, without rights", memory: pull.Memory{Approvals: order(eve, head, noon)}, result: False, codes: "approvals_needed(approval_not_from)", asked: "person"},
		{name: "by command, while asked for a review", memory: pull.Memory{Approvals: order(bob, head, noon)}, answers: answers{permissions: map[string]pull.PermissionLevel{"bob": pull.PermissionWrite}}, change: func(s *pull.Snapshot) { s.ReviewRequests = []pull.ReviewRequest{request(bob)} }, result: True, given: "bob", asked: "person commits"},
		{name: "by the author's command", memory: pull.Memory{Approvals: order(alice, head, noon)}, result: False, codes: "approvals_needed(approval_by_author)"},
		{name: "changes requested after the command", reviews: []pull.Review{{Author: bob, CanWrite: true, State: pull.ChangesRequested, Commit: head, SubmittedAt: noon.Add(time.Hour)}}, memory: pull.Memory{Approvals: order(bob, head, noon)}, result: False, codes: "changes_requested approvals_needed"},
		{name: "a command after the requested changes", reviews: []pull.Review{{Author: bob, CanWrite: true, State: pull.ChangesRequested, Commit: head, SubmittedAt: noon}}, memory: pull.Memory{Approvals: order(bob, head, noon.Add(time.Hour))}, result: True, given: "bob", asked: "commits"},

		{name: "who wrote a commit", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{commit(before, bob), commit(head, alice)}}, result: False, codes: "approvals_needed(approval_by_contributor)", asked: "commits"},
		{name: "who committed one", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{commit(head, alice, func(c *pull.Commit) { c.Committer = bob })}}, result: False, codes: "approvals_needed(approval_by_contributor)", asked: "commits"},
		{name: "whom one names as co-author", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{commit(head, alice, func(c *pull.Commit) { c.CoAuthors = []pull.Actor{bob} })}}, result: False, codes: "approvals_needed(approval_by_contributor)", asked: "commits"},
		{name: "who wrote one that came by a second parent", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{
			commit("c1", bob), commit(before, alice), commit(head, alice, func(c *pull.Commit) { c.Parents = []pull.SHA{before, "c1"} }),
		}}, result: False, codes: "approvals_needed(approval_by_contributor)", asked: "commits"},
		{name: "who merged the base, cleanly", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{
			commit(before, alice), commit(head, bob, func(c *pull.Commit) { c.Parents = []pull.SHA{before, older}; c.Committer = gitHub }),
		}, same: map[string]pull.Sameness{pull.SameKey(before, head): {Same: true}}}, result: True, given: "bob", asked: "commits same"},
		{name: "who merged the base, and more", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{
			commit(before, alice), commit(head, bob, func(c *pull.Commit) { c.Parents = []pull.SHA{before, older} }),
		}}, result: False, codes: "approvals_needed(approval_by_contributor)", asked: "commits same"},
		{name: "who merged, which can't be compared", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{
			commit(before, alice), commit(head, bob, func(c *pull.Commit) { c.Parents = []pull.SHA{before, older} }),
		}, same: map[string]pull.Sameness{pull.SameKey(before, head): {Unknown: "too large"}}}, result: False, codes: "approvals_needed(approval_by_contributor)", asked: "commits same"},
		{name: "GitHub committed what alice did on its pages", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{commit(head, alice, func(c *pull.Commit) { c.Committer = gitHub })}}, result: True, given: "bob", asked: "commits"},
		{name: "GitHub committed, and says so by its signature only", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{commit(head, alice, func(c *pull.Commit) { c.Committer, c.Verified = pull.Actor{}, true })}}, result: True, given: "bob", asked: "commits"},
		{name: "nobody knows who wrote one", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{commit(head, pull.Actor{}, func(c *pull.Commit) { c.Committer = alice })}}, result: False, codes: "approvals_needed(author_unknown)", given: "bob", asked: "commits"},
		{name: "nobody knows who committed one", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{commit(head, alice, func(c *pull.Commit) { c.Committer = pull.Actor{} })}}, result: False, codes: "approvals_needed(author_unknown)", given: "bob", asked: "commits"},
		{name: "nobody knows who wrote one, but two have approved", reviews: []pull.Review{byBob, review(carol, pull.Approved, head)}, answers: answers{commits: []pull.Commit{commit(head, pull.Actor{})}}, result: True, given: "bob carol", asked: "commits"},
		{name: "nobody knows a co-author", reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{commit(head, alice, func(c *pull.Commit) { c.CoAuthors = []pull.Actor{{}} })}}, result: True, given: "bob", asked: "commits"},
		{name: "commits cut short", reviews: []pull.Review{byBob, review(carol, pull.Approved, head)}, answers: answers{truncated: true}, result: False, codes: "approvals_needed(commits_truncated)", asked: "commits"},
		{name: "commits cut short, without a word", reviews: []pull.Review{byBob}, change: func(s *pull.Snapshot) { s.CommitCount = 2 }, result: False, codes: "approvals_needed(commits_truncated)", asked: "commits"},
		{name: "commits cut short, contributors allowed", policy: approvals("- allow: contributors\n"), reviews: []pull.Review{byBob}, answers: answers{truncated: true}, result: True, given: "bob"},
		{name: "contributors allowed", policy: approvals("- allow: contributors\n"), reviews: []pull.Review{byBob}, answers: answers{commits: []pull.Commit{commit(head, bob)}}, result: True, given: "bob"},
		{name: "contributors allowed, the author not", policy: approvals("- allow: contributors\n"), memory: pull.Memory{Approvals: order(alice, head, noon)}, result: False, codes: "approvals_needed(approval_by_author)"},
		{name: "the author allowed", policy: approvals("- allow: author\n"), memory: pull.Memory{Approvals: order(alice, head, noon)}, answers: answers{permissions: map[string]pull.PermissionLevel{"alice": pull.PermissionWrite}}, result: True, given: "alice", asked: "person"},

		{name: "approved an older commit", reviews: []pull.Review{review(bob, pull.Approved, before)}, result: False, codes: "approvals_needed(approval_changed)", asked: "same"},
		{name: "kept", reviews: []pull.Review{review(bob, pull.Approved, before)}, answers: answers{same: map[string]pull.Sameness{pull.SameKey(before, head): {Same: true}}}, result: True, given: "bob", asked: "same commits"},
		{name: "kept, as remembered", reviews: []pull.Review{review(bob, pull.Approved, before)}, memory: pull.Memory{Same: map[string]bool{pull.SameKey(before, head) + " main": true}}, result: True, given: "bob", asked: "commits"},
		{name: "remembered of another base", reviews: []pull.Review{review(bob, pull.Approved, before)}, memory: pull.Memory{Same: map[string]bool{pull.SameKey(before, head) + " release": true}}, result: False, codes: "approvals_needed(approval_changed)", asked: "same"},
		{name: "can't be compared", reviews: []pull.Review{review(bob, pull.Approved, before)}, answers: answers{same: map[string]pull.Sameness{pull.SameKey(before, head): {Unknown: "too large", Same: true}}}, result: False, codes: "approvals_needed(approval_not_compared)", asked: "same"},
		{name: "of no commit at all", reviews: []pull.Review{review(bob, pull.Approved, "")}, result: False, codes: "approvals_needed(approval_older)"},
		{name: "kept by way of another commit is not kept", reviews: []pull.Review{review(bob, pull.Approved, older)}, answers: answers{same: map[string]pull.Sameness{pull.SameKey(older, before): {Same: true}, pull.SameKey(before, head): {Same: true}}}, result: False, codes: "approvals_needed(approval_changed)", asked: "same"},
		{name: "kept, but a contributor's", reviews: []pull.Review{review(bob, pull.Approved, before)}, answers: answers{same: map[string]pull.Sameness{pull.SameKey(before, head): {Same: true}}, commits: []pull.Commit{commit(head, bob)}}, result: False, codes: "approvals_needed(approval_by_contributor)", asked: "same commits"},
		{name: "an older approval makes no difference: there is enough", reviews: []pull.Review{review(carol, pull.Approved, before), byBob}, result: True, given: "bob", asked: "commits"},
		{name: "an older approval makes no difference: there can't be enough", policy: approvals("- count: 3\n"), reviews: []pull.Review{review(carol, pull.Approved, before), byBob}, result: False, codes: "approvals_needed(approval_older)", given: "bob", asked: "commits"},
		{name: "an older approval without rights is not compared", reviews: []pull.Review{review(eve, pull.Approved, before)}, result: False, codes: "approvals_needed(approval_not_from)"},

		{name: "two of two", policy: approvals("- count: 2\n"), reviews: []pull.Review{byBob, review(carol, pull.Approved, head)}, result: True, given: "bob carol", asked: "commits"},
		{name: "the same one twice", policy: approvals("- count: 2\n"), reviews: []pull.Review{byBob, byBob}, result: False, codes: "approvals_needed", given: "bob", asked: "commits"},
		{name: "of two accounts with one name", policy: approvals("- count: 2\n"), reviews: []pull.Review{byBob, review(pull.Actor{ID: 99, Login: "bob"}, pull.Approved, head)}, result: True, given: "bob", asked: "commits"},
		{name: "by name", policy: approvals("- from: [carol, dave]\n"), reviews: []pull.Review{byBob}, result: False, codes: "approvals_needed(approval_not_from)"},
		{name: "by name, in another case", policy: approvals("- from: BOB\n"), reviews: []pull.Review{byBob}, result: True, given: "bob", asked: "commits"},
		{name: "by team", policy: approvals("- from: '@acme/core'\n"), reviews: []pull.Review{byBob}, answers: answers{teams: map[string][]pull.Actor{"acme/core": {bob}}}, result: True, given: "bob", asked: "team commits"},
		{name: "by team, whose member's name another has taken", policy: approvals("- from: '@acme/core'\n"), reviews: []pull.Review{byBob}, answers: answers{teams: map[string][]pull.Actor{"acme/core": {{ID: 77, Login: "bob"}}}}, result: False, codes: "approvals_needed(approval_not_from)", asked: "team"},
		{name: "by team, not shown", policy: approvals("- from: '@acme/core'\n"), reviews: []pull.Review{byBob}, result: Unknown, codes: "approvals_needed(approver_unknown)", asked: "team"},
		{name: "by permission", policy: approvals("- from: maintain\n"), reviews: []pull.Review{byBob}, answers: answers{permissions: map[string]pull.PermissionLevel{"bob": pull.PermissionAdmin}}, result: True, given: "bob", asked: "person commits"},
		{name: "by permission, too little", policy: approvals("- from: maintain\n"), reviews: []pull.Review{byBob}, answers: answers{permissions: map[string]pull.PermissionLevel{"bob": pull.PermissionWrite}}, result: False, codes: "approvals_needed(approval_not_from)", asked: "person"},
		{name: "by permission, which the review tells", policy: approvals("- from: triage\n"), reviews: []pull.Review{byBob}, result: True, given: "bob", asked: "commits"},

		{name: "skipped", policy: approvals("- { name: core, files: 'core/**', count: 2 }\n- name: review\n"), reviews: []pull.Review{byBob}, result: True, given: "bob", asked: "commits"},
		{name: "all skipped", policy: approvals("- { name: core, files: 'core/**' }\n- { name: web, files: 'web/**' }\n"), reviews: []pull.Review{byBob}, result: False, codes: "approvals_skipped"},
		{name: "nothing asked for", policy: approvals("- { name: bots, author: alice, count: 0 }\n- { name: web, files: 'web/**' }\n"), result: True},
		{name: "both apply, one lacks", policy: approvals("- { name: docs, files: 'docs/**', from: carol }\n- name: review\n"), reviews: []pull.Review{byBob}, result: False, codes: "approvals_needed(approval_not_from)", given: "bob", asked: "commits"},
		{name: "files cut short", policy: approvals("- { name: core, files: 'core/**' }\n- name: review\n"), reviews: []pull.Review{byBob}, change: func(s *pull.Snapshot) { s.FilesTruncated = true }, result: Unknown, codes: "fact_unknown", given: "bob", asked: "commits"},
		{name: "files cut short, of a rule that nobody could have met", policy: approvals("- { name: core, files: 'core/**' }\n- name: review\n"), change: func(s *pull.Snapshot) { s.FilesTruncated = true }, result: False, codes: "fact_unknown approvals_needed"},
		{name: "a condition that can't be worked out", policy: approvals("- { name: odd, if: pr.number / 0 == 1 }\n- name: review\n"), reviews: []pull.Review{byBob}, result: Unknown, codes: "condition_error", given: "bob", asked: "commits"},

		{name: "any: one holds", policy: approvals("- any: [{ from: carol }, { from: bob }]\n"), reviews: []pull.Review{byBob}, result: True, given: "bob", asked: "commits"},
		{name: "any: none holds", policy: approvals("- { name: either, any: [{ from: carol }, { from: dave }] }\n"), reviews: []pull.Review{byBob}, result: False, codes: "approvals_any(approvals_needed(approval_not_from) approvals_needed(approval_not_from))"},
		{name: "any: one is not known", policy: approvals("- any: [{ from: carol }, { from: '@acme/core' }]\n"), reviews: []pull.Review{byBob}, result: Unknown, codes: "approvals_any(approvals_needed(approval_not_from) approvals_needed(approver_unknown))", asked: "team"},
		{name: "any: one holds, one is not known", policy: approvals("- any: [{ from: bob }, { from: '@acme/core' }]\n"), reviews: []pull.Review{byBob}, result: True, given: "bob", asked: "commits team"},
		{name: "any: one is skipped, which is no yes", policy: approvals("- any: [{ files: 'core/**', from: carol }, { from: dave }]\n"), reviews: []pull.Review{byBob}, result: False, codes: "approvals_needed(approval_not_from)"},
		{name: "any: all skipped", policy: approvals("- any: [{ files: 'core/**', from: carol }]\n"), reviews: []pull.Review{byBob}, result: False, codes: "approvals_skipped"},
		{name: "all: one lacks", policy: approvals("- all: [{ from: carol }, { from: bob }]\n"), reviews: []pull.Review{byBob}, result: False, codes: "approvals_needed(approval_not_from)", given: "bob", asked: "commits"},
		{name: "any of all", policy: approvals("- any:\n  - all: [{ from: bob }, { from: carol }]\n  - { from: dave, count: 1 }\n"), reviews: []pull.Review{byBob, review(carol, pull.Approved, head)}, result: True, given: "bob carol", asked: "commits"},
		{name: "any of all, lacking two", policy: approvals("- any:\n  - all: [{ from: dave }, { from: carol }]\n  - { from: dave }\n"), result: False, codes: "approvals_any(approvals_all(approvals_needed approvals_needed) approvals_needed)"},
		{name: "the rule around is skipped", policy: approvals("- { name: core, files: 'core/**', any: [{ from: carol }] }\n- name: review\n"), reviews: []pull.Review{byBob}, result: True, given: "bob", asked: "commits"},

		{name: "veto by others only", policy: approvals("- name: review\n- veto: '@acme/core'\n"), reviews: []pull.Review{byBob, review(carol, pull.ChangesRequested, head)}, answers: answers{teams: map[string][]pull.Actor{"acme/core": {dave}}}, result: True, given: "bob", asked: "commits team"},
		{name: "veto by team", policy: approvals("- name: review\n- veto: '@acme/core'\n"), reviews: []pull.Review{byBob, review(carol, pull.ChangesRequested, head)}, answers: answers{teams: map[string][]pull.Actor{"acme/core": {carol}}}, result: False, codes: "changes_requested", given: "bob", asked: "commits team"},
		{name: "veto by a team that is not shown", policy: approvals("- name: review\n- veto: '@acme/core'\n"), reviews: []pull.Review{byBob, review(carol, pull.ChangesRequested, head)}, result: Unknown, codes: "veto_unknown", given: "bob", asked: "commits team"},
		{name: "veto by nobody", policy: approvals("- name: review\n- veto: false\n"), reviews: []pull.Review{byBob, review(carol, pull.ChangesRequested, head)}, result: True, given: "bob", asked: "commits"},
		{name: "veto for other files: as without", policy: approvals("- name: review\n- { files: 'core/**', veto: dave }\n"), reviews: []pull.Review{byBob, review(carol, pull.ChangesRequested, head)}, result: False, codes: "changes_requested", given: "bob", asked: "commits"},
		{name: "nobody's veto for some files, and not known whether for these", policy: approvals("- name: review\n- { files: 'core/**', veto: false }\n"), reviews: []pull.Review{byBob, review(carol, pull.ChangesRequested, head)}, change: func(s *pull.Snapshot) { s.FilesTruncated = true }, result: False, codes: "changes_requested", given: "bob", asked: "commits"},
		{name: "veto without write access, if named", policy: approvals("- name: review\n- veto: eve\n"), reviews: []pull.Review{byBob, review(eve, pull.ChangesRequested, head)}, result: False, codes: "changes_requested", given: "bob", asked: "commits"},

		{name: "code owners of every file", policy: approvals("- from: codeowners\n"), reviews: []pull.Review{byBob, review(carol, pull.Approved, head)}, answers: answers{files: map[string]string{"CODEOWNERS": "src/ @bob\ndocs/ @carol\n"}}, result: True, given: "bob carol", asked: "file file file commits"},
		{name: "code owners of one file only", policy: approvals("- from: codeowners\n"), reviews: []pull.Review{byBob}, answers: answers{files: map[string]string{"CODEOWNERS": "src/ @bob\ndocs/ @carol\n"}}, result: False, codes: "approvals_needed(approval_not_from)", given: "bob", asked: "file file file commits"},
		{name: "code owners, or others", policy: approvals("- from: [codeowners, carol]\n"), reviews: []pull.Review{review(carol, pull.Approved, head)}, answers: answers{files: map[string]string{"CODEOWNERS": "src/ @bob\ndocs/ @dave\n"}}, result: True, given: "carol", asked: "file file file commits"},
		{name: "nobody owns the files", policy: approvals("- from: codeowners\n- name: review\n"), reviews: []pull.Review{byBob}, result: True, given: "bob", asked: "commits file file file"},
		{name: "nobody owns the files, and no other rule applies", policy: approvals("- from: codeowners\n"), reviews: []pull.Review{byBob}, result: False, codes: "approvals_skipped", asked: "file file file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := world(func(s *pull.Snapshot) { s.Reviews = tt.reviews })
			if tt.change != nil {
				tt.change(&s)
			}
			if tt.policy == "" {
				tt.policy = oneApproval
			}
			d, asked := informed(t, must(t, tt.policy), s, tt.memory, tt.answers)
			a := d.Verdict.Approvals
			if a == nil {
				t.Fatal("there is no result")
			}
			var kinds []string
			for _, n := range asked {
				kinds = append(kinds, string(n.Kind))
			}
			if a.Result != tt.result || whyNot(d) != tt.codes || strings.Join(a.Given, " ") != tt.given || strings.Join(kinds, " ") != tt.asked {
				t.Errorf("%s: %q, given by %q, after asking for %q\nwant %s: %q, %q, %q", a.Result, whyNot(d), strings.Join(a.Given, " "), strings.Join(kinds, " "), tt.result, tt.codes, tt.given, tt.asked)
			}
			if (a.Result == True) != (len(a.Reasons) == 0) {
				t.Errorf("%s for these reasons: %v", a.Result, a.Reasons)
			}
		})
	}
}

// TestApprovalsExplained: the reasons name the rule, how many are missing, of whom, and who has approved.
func TestApprovalsExplained(t *testing.T) {
	p := must(t, approvals("- name: two for the docs\n  files: docs/**\n  count: 2\n  from: [carol, '@acme/docs', maintain]\n"))
	s := world(func(s *pull.Snapshot) {
		s.Reviews = []pull.Review{review(carol, pull.Approved, head), review(bob, pull.Approved, before), review(alice, pull.Approved, head)}
	})
	d, _ := informed(t, p, s, pull.Memory{}, answers{teams: map[string][]pull.Actor{"acme/docs": {bob}}})
	want := []Reason{{
		Code: ApprovalsNeeded, Text: "two for the docs", Count: 1, Names: []string{"carol"}, Who: []string{"carol", "@acme/docs", WhoMaintainer},
		Any: []Reason{{Code: ApprovalByAuthor, By: "alice"}, {Code: ApprovalChanged, By: "bob", SHA: before}},
	}}
	if diff := cmp.Diff(want, d.Verdict.Approvals.Reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	rule := d.Verdict.Rules[0]
	if rule.Section != "approvals" || rule.Name != "two for the docs" || rule.Outcome != ApprovalLacks || rule.Condition.Text != "files: docs/**" || rule.Pos.Line != 3 {
		t.Errorf("the rule is %+v", rule)
	}
	if got := codes(rule.Why); got != "approval_given approvals_needed(approval_by_author approval_changed)" {
		t.Errorf("why: %s", got)
	}
}

// TestApprovedInConditions: what conditions see of the section, and what merging does.
func TestApprovedInConditions(t *testing.T) {
	section := "version: 1\napprovals: [{ name: review, from: '@acme/core' }]\n"
	team := answers{teams: map[string][]pull.Actor{"acme/core": {bob, carol}}}
	tests := []struct {
		name    string
		policy  string
		reviews []pull.Review
		answers answers
		state   State
		codes   string
	}{
		{"approved", section + "merge: { if: approved }\n", []pull.Review{review(bob, pull.Approved, head)}, team, Ready, "ready"},
		{"not approved", section + "merge: { if: approved }\n", []pull.Review{review(dave, pull.Approved, head)}, team, Waiting, "approvals_needed(approval_not_from)"},
		{"not known", section + "merge: { if: approved }\n", []pull.Review{review(bob, pull.Approved, head)}, answers{}, Waiting, "approvals_needed(approver_unknown)"},
		{"not known, and not needed", section + "merge: { if: approved || pr.number == 7 }\n", []pull.Review{review(bob, pull.Approved, head)}, answers{}, Ready, "ready"},
		{"a condition that does not ask", section + "merge: { if: checks.green }\n", nil, team, Waiting, "approvals_needed"},
		{"a condition that does not ask, approved", section + "merge: { if: checks.green }\n", []pull.Review{review(bob, pull.Approved, head)}, team, Ready, "ready"},
		{"a condition with another way", section + "merge: { if: 'approved || \"docs/door.md\" in pr.files' }\n", nil, team, Ready, "ready"},
		{"who has approved", section + "merge: { if: 'reviews.approved_by == [\"bob\"]' }\n", []pull.Review{review(bob, pull.Approved, head), review(dave, pull.Approved, head)}, team, Ready, "ready"},
		{"who has approved is looked at whole", section + "merge: { if: size(reviews.approved_by) == 2 }\n", []pull.Review{review(bob, pull.Approved, head), review(carol, pull.Approved, before)}, answers{teams: team.teams, same: map[string]pull.Sameness{pull.SameKey(before, head): {Same: true}}}, Ready, "ready"},
		{"who has approved is not known", section + "merge: { if: '!(\"dave\" in reviews.approved_by)' }\n", []pull.Review{review(bob, pull.Approved, head)}, answers{}, Waiting, "fact_unknown"},
		{"all skipped", "version: 1\napprovals: [{ files: 'core/**' }]\nmerge: { if: checks.green }\n", nil, team, Blocked, "approvals_skipped"},
		{"without a section all is as it was", "version: 1\nmerge: { if: approved }\n", []pull.Review{review(bob, pull.Approved, head)}, answers{}, Ready, "ready"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := world(func(s *pull.Snapshot) { s.Reviews = tt.reviews })
			d, _ := informed(t, must(t, tt.policy), s, pull.Memory{}, tt.answers)
			if d.Verdict.State != tt.state || codes(d.Verdict.Reasons) != tt.codes {
				t.Errorf("%s: %s, want %s: %s", d.Verdict.State, codes(d.Verdict.Reasons), tt.state, tt.codes)
			}
		})
	}
}

// TestComparisonsAreRemembered, each once, and forgotten when they no longer matter.
func TestComparisonsAreRemembered(t *testing.T) {
	p := must(t, oneApproval)
	s := world(func(s *pull.Snapshot) { s.Reviews = []pull.Review{review(bob, pull.Approved, before)} })
	d, asked := informed(t, p, s, pull.Memory{}, answers{same: map[string]pull.Sameness{pull.SameKey(before, head): {Same: true}}})
	if len(asked) != 2 || len(d.Memory.Same) != 1 {
		t.Fatalf("asked for %v and remembered %v", asked, d.Memory.Same)
	}
	m := d.Memory
	d, asked = informed(t, p, s, m, answers{})
	if len(asked) != 1 || asked[0].Kind != pull.NeedCommits || d.Verdict.Approvals.Result != True || !maps.Equal(d.Memory.Same, m.Same) {
		t.Errorf("asked for %v again, and came to %s", asked, d.Verdict.Approvals.Result)
	}
	s.Reviews = append(s.Reviews, review(carol, pull.Approved, head))
	if d, _ = informed(t, p, s, m, answers{}); d.Memory.Same != nil {
		t.Errorf("remembers %v, which matters no more", d.Memory.Same)
	}
	if len(m.Same) != 1 {
		t.Error("what was passed in has changed")
	}
	unknown := answers{same: map[string]pull.Sameness{pull.SameKey(before, head): {Unknown: "too large"}}}
	s.Reviews = s.Reviews[:1]
	if d, _ = informed(t, p, s, pull.Memory{}, unknown); d.Memory.Same != nil {
		t.Errorf("remembers %v, which could not be compared", d.Memory.Same)
	}
}

// TestComparisonsAreBounded: whoever has many accounts can't make the service compare without end.
func TestComparisonsAreBounded(t *testing.T) {
	p := must(t, oneApproval)
	s := world(func(s *pull.Snapshot) {
		s.Reviews = nil
		for i := range 50 {
			s.Reviews = append(s.Reviews, review(pull.Actor{ID: int64(100 + i), Login: fmt.Sprint("u", i)}, pull.Approved, pull.SHA(fmt.Sprintf("%040d", i))))
		}
	})
	d, asked := informed(t, p, s, pull.Memory{}, answers{})
	if len(asked) != maxComparisons || d.Verdict.Approvals.Result != False {
		t.Errorf("asked for %d comparisons, want %d", len(asked), maxComparisons)
	}
}

func TestQueue(t *testing.T) {
	inQueue := func(ahead ...int) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) {
			s.Queued = &pull.QueueEntry{Position: len(ahead) + 1, State: "awaiting_checks", Head: "fff0001", Ahead: ahead}
		}
	}
	approved := []pull.Review{review(bob, pull.Approved, head)}
	tests := []struct {
		name    string
		change  func(*pull.Snapshot)
		reviews []pull.Review
		ahead   []pull.Ahead
		result  Result
		codes   string
	}{
		{"alone", inQueue(), approved, nil, True, ""},
		{"alone, and no longer approved", inQueue(), nil, nil, False, "approvals_needed"},
		{"changes requested since", inQueue(), append(slices.Clone(approved), review(carol, pull.ChangesRequested, head)), nil, False, "changes_requested"},
		{"behind one that holds", inQueue(5), approved, []pull.Ahead{{Number: 5, Holds: true}}, True, ""},
		{"behind one that is lost", inQueue(5, 6), approved, []pull.Ahead{{Number: 5, Holds: true}, {Number: 6, Why: "Needs an approval."}}, False, "queue_ahead_lost"},
		{"behind one that is not known", inQueue(5), approved, []pull.Ahead{{Number: 5, Unknown: true}}, Unknown, "queue_ahead_unknown"},
		{"behind one that nobody has judged", inQueue(5, 6), approved, []pull.Ahead{{Number: 5, Holds: true}}, Unknown, "queue_ahead_unknown"},
		{"behind nobody knows what", func(s *pull.Snapshot) { inQueue()(s); s.Queued.AheadTruncated = true }, approved, nil, Unknown, "queue_ahead_unknown"},
		{"behind one that holds, and nobody knows what", func(s *pull.Snapshot) { inQueue(5)(s); s.Queued.AheadTruncated = true }, approved, []pull.Ahead{{Number: 5, Holds: true}}, Unknown, "queue_ahead_unknown"},
		{"behind one lost and one not known", inQueue(5, 6), approved, []pull.Ahead{{Number: 5, Unknown: true}, {Number: 6}}, False, "queue_ahead_unknown queue_ahead_lost"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := world(func(s *pull.Snapshot) { s.Reviews = tt.reviews }, tt.change)
			d, _ := informed(t, must(t, oneApproval), s, pull.Memory{}, answers{ahead: tt.ahead})
			q := d.Verdict.Queue
			if q == nil || q.Head != "fff0001" || q.Result != tt.result || codes(q.Reasons) != tt.codes {
				t.Errorf("the queue is %+v, want %s: %s", q, tt.result, tt.codes)
			}
			if wait := len(s.Queued.Ahead) > 0 || s.Queued.AheadTruncated; wait != d.Again.Equal(noon.Add(awaitQueue)) {
				t.Errorf("looks again at %v", d.Again)
			}
		})
	}
	s := world(inQueue(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20))
	if d, _ := informed(t, must(t, oneApproval), s, pull.Memory{}, answers{}); !d.Again.Equal(noon.Add(20 * time.Minute)) {
		t.Errorf("behind twenty it looks again at %v", d.Again)
	}
	s = world(func(s *pull.Snapshot) { s.Queued = &pull.QueueEntry{Position: 1, State: "queued"} })
	if d, _ := informed(t, must(t, oneApproval), s, pull.Memory{}, answers{}); d.Verdict.Queue != nil {
		t.Errorf("judges %+v, which nothing tests", d.Verdict.Queue)
	}
}

// TestQueueWithoutDefaults: defaults that are gone may have asked for approvals.
func TestQueueWithoutDefaults(t *testing.T) {
	e := Resolve(pull.Document{Found: true, OID: "1", Text: "version: 1\nmerge: { if: checks.green }\n"}, pull.Document{}, pull.Document{}, true)
	s := world(func(s *pull.Snapshot) { s.Queued = &pull.QueueEntry{Position: 1, Head: "fff0001"} })
	if q := e.Evaluate(s, pull.Memory{}, noon).Verdict.Queue; q == nil || q.Result != Unknown || codes(q.Reasons) != "defaults_gone" {
		t.Errorf("the queue is %+v, want that it waits for the defaults", q)
	}
}

// TestApprovalsWithoutDefaults: what was reported by defaults that are gone is taken back.
func TestApprovalsWithoutDefaults(t *testing.T) {
	e := Resolve(pull.Document{Found: true, OID: "1", Text: "version: 1\nmerge: { if: checks.green }\n"}, pull.Document{}, pull.Document{}, true)
	s := world()
	if a := e.Evaluate(s, pull.Memory{}, noon).Verdict.Approvals; a != nil {
		t.Errorf("says %+v of approvals, of which nothing was ever said", a)
	}
	s.Reports = []pull.Report{{SHA: head, Name: pull.ApprovalsName, State: pull.ReportGood}}
	d := e.Evaluate(s, pull.Memory{Same: map[string]bool{"x": true}}, noon)
	if a := d.Verdict.Approvals; a == nil || a.Result != Unknown || codes(a.Reasons) != "defaults_gone" || d.Memory.Same == nil {
		t.Errorf("says %+v of approvals, want that it is not known", a)
	}
}

// drawn are an approvals policy, a pull request and what GitHub answers.
func drawn(t *rapid.T) (*Policy, pull.Snapshot, pull.Memory, answers) {
	people := rapid.SampledFrom([]pull.Actor{alice, bob, carol, dave, eve, us, {}})
	one := rapid.SampledFrom([]string{"{ from: write }", "{ count: 2 }", "{ from: [bob, carol], allow: contributors }", "{ from: '@acme/core', files: 'docs/**' }", "{ from: maintain }", "{ from: codeowners }", "{ from: dave, files: 'none/**' }"})
	var text strings.Builder
	text.WriteString("version: 1\napprovals:\n")
	for range rapid.IntRange(1, 3).Draw(t, "rules") {
		switch rapid.IntRange(0, 3).Draw(t, "shape") {
		case 0:
			fmt.Fprintf(&text, "- any: [%s, %s]\n", one.Draw(t, "rule"), one.Draw(t, "rule"))
		case 1:
			fmt.Fprintf(&text, "- all: [%s, %s]\n", one.Draw(t, "rule"), one.Draw(t, "rule"))
		default:
			fmt.Fprintf(&text, "- %s\n", one.Draw(t, "rule"))
		}
	}
	if rapid.Bool().Draw(t, "veto") {
		text.WriteString("- veto: [carol, '@acme/core']\n")
	}
	p, problems := Parse(FileName, []byte(text.String()))
	if problems != nil {
		t.Fatalf("%s: %v", text.String(), problems)
	}
	s := snapshots().Draw(t, "s")
	s.State, s.Reviews = pull.Open, nil
	commits := rapid.SampledFrom([]pull.SHA{head, head, before, older, ""})
	for i := range rapid.IntRange(0, 5).Draw(t, "reviews") {
		s.Reviews = append(s.Reviews, pull.Review{
			Author: people.Draw(t, "reviewer"), Commit: commits.Draw(t, "commit"), SubmittedAt: noon.Add(time.Duration(i) * time.Minute),
			State: rapid.SampledFrom([]pull.ReviewState{pull.Approved, pull.Approved, pull.Approved, pull.ChangesRequested, pull.Commented, pull.Dismissed}).Draw(t, "state"),
		})
	}
	writers := map[int64]bool{}
	for i := range s.Reviews {
		id := s.Reviews[i].Author.ID
		if _, drawn := writers[id]; !drawn {
			writers[id] = rapid.Bool().Draw(t, "may write")
		}
		s.Reviews[i].CanWrite = writers[id]
	}
	if who := people.Draw(t, "asked"); rapid.IntRange(0, 3).Draw(t, "is asked") == 0 {
		s.ReviewRequests = []pull.ReviewRequest{request(who)}
	}
	var m pull.Memory
	if who := people.Draw(t, "by command"); rapid.Bool().Draw(t, "command") && who.ID != 0 {
		m.Approvals = order(who, commits.Draw(t, "seen"), noon.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "at"))*time.Second))
	}
	a := answers{
		permissions: map[string]pull.PermissionLevel{}, teams: map[string][]pull.Actor{}, same: map[string]pull.Sameness{},
		truncated: rapid.IntRange(0, 5).Draw(t, "truncated") == 0, files: map[string]string{"CODEOWNERS": "docs/ @carol @acme/core\n"},
	}
	for _, who := range []pull.Actor{alice, bob, carol, dave, eve} {
		a.permissions[who.Login] = rapid.SampledFrom([]pull.PermissionLevel{pull.PermissionRead, pull.PermissionWrite, pull.PermissionMaintain}).Draw(t, "permission")
	}
	if rapid.IntRange(0, 3).Draw(t, "team shown") > 0 {
		a.teams["acme/core"] = []pull.Actor{people.Draw(t, "member"), people.Draw(t, "member")}
	}
	for _, sha := range []pull.SHA{before, older} {
		a.same[pull.SameKey(sha, head)] = rapid.SampledFrom([]pull.Sameness{{Same: true}, {}, {Unknown: "too large"}}).Draw(t, "same")
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "commits") {
		a.commits = append(a.commits, commit(pull.SHA(fmt.Sprint("c", i)), people.Draw(t, "by"), func(c *pull.Commit) {
			if rapid.Bool().Draw(t, "another commits") {
				c.Committer = people.Draw(t, "committer")
			}
		}))
	}
	return p, s, m, a
}

// TestWhoseApprovalCounts: never the author's, nobody's who has taken part (unless allowed, which here names bob and carol
// alone), never for a commit with another change.
func TestWhoseApprovalCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, m, a := drawn(t)
		d, _ := informed(t, p, s, m, a)
		if d.Verdict.Approvals == nil {
			t.Fatal("there is no result")
		}
		for _, login := range d.Verdict.Approvals.Given {
			var who pull.Actor
			for _, known := range []pull.Actor{us, alice, bob, carol, dave, eve} {
				if known.Login == login {
					who = known
				}
			}
			fits := false
			fine := func(sha pull.SHA) bool {
				same := a.same[pull.SameKey(sha, head)]
				return sha == head || sha != "" && same.Same && same.Unknown == ""
			}
			for _, r := range s.Reviews {
				fits = fits || r.Author.Same(who) && r.State == pull.Approved && fine(r.Commit)
			}
			if o, ok := m.Approvals[who.ID]; ok {
				fits = fits || fine(o.SHA)
			}
			switch {
			case who.ID == 0:
				t.Fatalf("counts %q, whom nobody knows", login)
			case who.Same(alice):
				t.Fatal("the author approves")
			case !fits:
				t.Fatalf("%s has approved no commit with this change", login)
			}
			allowed := who.Same(bob) || who.Same(carol)
			for _, c := range a.commits {
				if !allowed && (a.truncated || c.Author.Same(who) || c.Committer.Same(who)) {
					t.Fatalf("%s has taken part in the commits, and counts", login)
				}
			}
		}
	})
}

// TestAnApprovalMore never turns a yes into a no: an approval of the head by somebody who has said nothing yet.
func TestAnApprovalMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, m, a := drawn(t)
		d, _ := informed(t, p, s, m, a)
		if d.Verdict.Approvals.Result != True {
			return
		}
		newcomer := rapid.SampledFrom([]pull.Actor{{ID: 50, Login: "frank"}, {ID: 51, Login: "grace"}}).Draw(t, "who")
		s.Reviews = append(slices.Clone(s.Reviews), pull.Review{Author: newcomer, CanWrite: rapid.Bool().Draw(t, "may"), State: pull.Approved, Commit: head, SubmittedAt: noon.Add(time.Hour)})
		more, _ := informed(t, p, s, m, a)
		if more.Verdict.Approvals.Result != True {
			t.Fatalf("from true to %s: %s", more.Verdict.Approvals.Result, whyNot(more))
		}
	})
}

// TestUnknownFailsClosed: while something is not known, nothing is approved that would not be with any answer.
func TestUnknownFailsClosed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, m, a := drawn(t)
		if p.Evaluate(s, m, noon).Verdict.Approvals.Result != True {
			return
		}
		// Before anything was looked up it is a yes: so it is whatever the answers are.
		if d, _ := informed(t, p, s, m, a); d.Verdict.Approvals.Result != True {
			t.Fatalf("true without the facts, and %s with them", d.Verdict.Approvals.Result)
		}
	})
}

// TestApprovalsAreStill: what was decided once is decided again from the memory of it, and no comparison that counted is made
// twice.
func TestApprovalsAreStill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, m, a := drawn(t)
		first, _ := informed(t, p, s, m, a)
		m2 := first.Memory
		m2.Approvals = m.Approvals
		second, asked := informed(t, p, s, m2, a)
		if first.Verdict.Digest() != second.Verdict.Digest() {
			t.Fatalf("from\n%+v\nto\n%+v", first.Verdict, second.Verdict)
		}
		for _, n := range asked {
			if _, counted := m2.Same[pull.SameKey(n.A, n.B)+" "+s.Base.Name]; n.Kind == pull.NeedSame && counted {
				t.Fatalf("compares %s and %s again", n.A, n.B)
			}
		}
	})
}
