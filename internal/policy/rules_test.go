package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func TestRules(t *testing.T) {
	const (
		bots  = "version: 1\nrules:\n- { name: bots, author: 'dependabot[bot]', if: checks.green, do: [approve, merge: rebase] }\n"
		hello = "version: 1\nrules:\n- { name: hello, if: '!pr.fork', do: [{ comment: 'Hi @{author}, #{number} into {base}.' }, { assign: [author, bob] }, { request-review: ['@octo/core', carol, alice] }] }\n"
		shut  = "version: 1\nrules:\n- { name: wrong branch, base: main, do: [{ close: No. }] }\n"
	)
	dependabot := func(s *pull.Snapshot) {
		s.Author = pull.Actor{ID: 50, Login: "dependabot[bot]", Type: pull.Bot}
		s.Reviews = nil
	}
	approved := func(by pull.Actor, sha pull.SHA) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) {
			s.AsApp = true
			s.Reviews = append(s.Reviews, pull.Review{ID: 77, Author: by, CanWrite: true, State: pull.Approved, Commit: sha})
		}
	}
	red := func(s *pull.Snapshot) { s.Checks[0].State = pull.CheckFailed }
	helloed := "rule:" + slug("hello")
	shutted := "close:" + slug("wrong branch")
	for _, tt := range []struct {
		name   string
		policy string
		change []func(*pull.Snapshot)
		memory pull.Memory
		want   wanted
		rule   Outcome
		why    string
	}{
		{"approves and merges", bots, []func(*pull.Snapshot){dependabot}, pull.Memory{}, wanted{Ready, "ready", "review.approve " + string(head) + ", " + merges, 0}, RuleDoes, "rule_effect rule_asks_merge"},
		{"has approved", bots, []func(*pull.Snapshot){dependabot, approved(us, head)}, pull.Memory{}, wanted{Ready, "ready", merges, 0}, RuleDone, "rule_asks_merge"},
		{"approves the new head", bots, []func(*pull.Snapshot){dependabot, approved(us, older)}, ledger(did(pull.Approve, string(older), time.Hour)), wanted{Ready, "ready", "review.approve " + string(head) + ", " + merges, 0}, RuleDoes, "rule_effect rule_asks_merge"},
		{"somebody dismissed it", bots, []func(*pull.Snapshot){dependabot}, ledger(did(pull.Approve, string(head), time.Hour)), wanted{Ready, "ready", merges, 0}, RuleDone, "rule_once rule_asks_merge"},
		{"approved a moment ago", bots, []func(*pull.Snapshot){dependabot}, ledger(did(pull.Approve, string(head), time.Second)), wanted{Ready, "ready", merges, settle - time.Second}, RuleDone, "rule_asks_merge"},
		{"another author", bots, nil, pull.Memory{}, wanted{Waiting, "merge_by_rules", "", 0}, RuleIdle, "rule_holds_not"},
		{"no longer holds: the approval is taken back", bots, []func(*pull.Snapshot){dependabot, approved(us, head), red}, pull.Memory{}, wanted{Waiting, "merge_by_rules", "review.dismiss 77", 0}, RuleIdle, "rule_holds_not"},
		{"no longer holds: a person's approval stays", bots, []func(*pull.Snapshot){dependabot, approved(bob, head), red}, pull.Memory{}, wanted{Waiting, "merge_by_rules", "", 0}, RuleIdle, "rule_holds_not"},
		{"no longer holds: what the token's owner approved stays", bots, []func(*pull.Snapshot){dependabot, approved(us, head), red, func(s *pull.Snapshot) { s.AsApp = false }}, pull.Memory{}, wanted{Waiting, "merge_by_rules", "", 0}, RuleIdle, "rule_holds_not"},
		{"no longer holds: what the ledger knows of is taken back", bots, []func(*pull.Snapshot){dependabot, approved(us, head), red, func(s *pull.Snapshot) { s.AsApp = false }}, ledger(did(pull.Approve, string(head), time.Hour)), wanted{Waiting, "merge_by_rules", "review.dismiss 77", 0}, RuleIdle, "rule_holds_not"},
		{"not known: the approval stays", bots, []func(*pull.Snapshot){dependabot, approved(us, head), func(s *pull.Snapshot) { s.ChecksTruncated = true }}, pull.Memory{}, wanted{Waiting, "merge_by_rules", "", 0}, LabelUnknown, "fact_unknown"},
		{"of the service's own", "version: 1\nrules: [{ if: true, do: approve }]\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Author = us }}, pull.Memory{}, wanted{Waiting, "no_merge_rule", "", 0}, RuleDone, "rule_own_pull"},
		{"a draft is approved, and not merged", bots, []func(*pull.Snapshot){dependabot, func(s *pull.Snapshot) { s.Draft = true }}, pull.Memory{}, wanted{Blocked, "draft", "review.approve " + string(head), 0}, RuleDoes, "rule_effect rule_asks_merge"},
		{"held", bots, []func(*pull.Snapshot){dependabot, approved(us, head)}, pull.Memory{Hold: &pull.Order{By: carol}}, wanted{Blocked, "held", "", 0}, RuleDone, "rule_asks_merge"},
		{"a merge section has its say", bots + "merge: { if: pr.lines < 5, label: automerge }\n", []func(*pull.Snapshot){dependabot, approved(us, head)}, pull.Memory{}, wanted{Waiting, "condition_false", "", 0}, RuleDone, "rule_asks_merge"},
		{"a merge section is asked by the rule", bots + "merge: { if: checks.green, label: automerge }\n", []func(*pull.Snapshot){dependabot, approved(us, head)}, pull.Memory{}, wanted{Ready, "ready", merges, 0}, RuleDone, "rule_asks_merge"},

		{"comments, assigns and asks", hello, nil, pull.Memory{}, wanted{Waiting, "no_merge_rule", "reviewer.add octo/core, reviewer.add carol, assignee.add alice, assignee.add bob, comment " + helloed, time.Second}, RuleDoes, "rule_effect rule_effect rule_effect rule_effect rule_effect"},
		{"has done so", hello, []func(*pull.Snapshot){func(s *pull.Snapshot) {
			s.Assignees, s.ReviewRequests = []pull.Actor{alice, bob}, []pull.ReviewRequest{{Team: "Octo/Core"}}
			s.Comments = []pull.Comment{{Author: us, Body: "Hi\n\n" + pull.Marker(helloed)}}
			s.Reviews = append(s.Reviews, review(carol, pull.Commented, head))
		}}, pull.Memory{}, wanted{Waiting, "no_merge_rule", "", 0}, RuleDone, "rule_holds"},
		{"somebody quotes its comment", hello, []func(*pull.Snapshot){func(s *pull.Snapshot) {
			s.Assignees, s.ReviewRequests = []pull.Actor{alice, bob}, []pull.ReviewRequest{{Team: "octo/core"}, {Who: carol}}
			s.Comments = []pull.Comment{{Author: eve, Body: "Hi\n\n" + pull.Marker(helloed)}, {Author: us, Body: pull.Marker(helloed) + "\nmore"}}
		}}, pull.Memory{}, wanted{Waiting, "no_merge_rule", "comment " + helloed, time.Second}, RuleDoes, "rule_effect"},
		{"what people undo stays undone", hello, nil, ledger(did(pull.Assign, "alice", time.Hour), did(pull.Assign, "bob", time.Hour), did(pull.AskReview, "carol", time.Hour), did(pull.AskReview, "octo/core", time.Hour), did(pull.WriteComment, helloed, time.Hour)), wanted{Waiting, "no_merge_rule", "", 0}, RuleDone, "rule_once rule_once rule_once rule_once"},
		{"assigns no bot", hello, []func(*pull.Snapshot){dependabot, func(s *pull.Snapshot) {
			s.ReviewRequests, s.Assignees = []pull.ReviewRequest{{Team: "octo/core"}, {Who: carol}, {Who: alice}}, []pull.Actor{bob}
		}}, ledger(did(pull.WriteComment, helloed, time.Hour)), wanted{Waiting, "no_merge_rule", "", 0}, RuleDone, "rule_holds"},

		{"two comments", "version: 1\nrules: [{ name: wrong branch, if: true, do: [{ comment: One. }, { comment: Two. }] }]\n", nil, ledger(did(pull.WriteComment, "rule:"+slug("wrong branch"), time.Hour)), wanted{Waiting, "no_merge_rule", "comment rule:" + slug("wrong branch") + ":2", time.Second}, RuleDoes, "rule_effect"},
		{"says why before it closes", shut, nil, pull.Memory{}, wanted{Waiting, "no_merge_rule", "comment " + shutted, time.Second}, RuleDoes, "rule_effect"},
		{"GitHub refuses its comment", shut, nil, ledger(refusal(pull.WriteComment, shutted)), wanted{Waiting, "no_merge_rule", "", time.Hour}, Withheld, "refused"},
		{"two rules approve", bots + "- { name: more bots, author: 'dependabot[bot]', do: approve }\n", []func(*pull.Snapshot){dependabot}, pull.Memory{}, wanted{Ready, "ready", "review.approve " + string(head) + ", " + merges, 0}, RuleDoes, "rule_effect rule_asks_merge"},
		{"closes", shut, nil, ledger(did(pull.WriteComment, shutted, time.Second)), wanted{Waiting, "no_merge_rule", "close " + string(head), 0}, RuleDoes, "rule_effect"},
		{"reopened", shut, nil, ledger(did(pull.WriteComment, shutted, time.Hour), did(pull.Close, string(head), time.Hour)), wanted{Waiting, "no_merge_rule", "", 0}, RuleDone, "rule_once"},
		{"reopened and pushed to", shut, nil, ledger(did(pull.WriteComment, shutted, time.Hour), did(pull.Close, string(older), time.Hour)), wanted{Waiting, "no_merge_rule", "close " + string(head), 0}, RuleDoes, "rule_effect"},
		{"draft", "version: 1\nrules: [{ if: pr.fork, do: draft }, { if: '!pr.fork', do: ready }]\n", []func(*pull.Snapshot){func(s *pull.Snapshot) { s.Draft = true }}, pull.Memory{}, wanted{Waiting, "no_merge_rule", "ready " + string(head), 0}, RuleIdle, "rule_holds_not"},
		{"refused lately", shut, nil, pull.Memory{Intents: []pull.Intent{did(pull.WriteComment, shutted, time.Hour), {Action: pull.Action{Kind: pull.Close, Target: string(head)}, Status: pull.Failed, Failures: 1, Error: "Not allowed", DoneAt: noon}}}, wanted{Waiting, "no_merge_rule", "", time.Hour}, Withheld, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := must(t, tt.policy).Evaluate(world(tt.change...), tt.memory, noon)
			tt.want.check(t, d)
			if r := d.Verdict.Rules[0]; r.Outcome != tt.rule || codes(r.Why) != tt.why {
				t.Errorf("the rule %s because of %s, want %s because of %s", r.Outcome, codes(r.Why), tt.rule, tt.why)
			}
		})
	}

	// Nothing that other people have written comes into a text but a login.
	s := world(func(s *pull.Snapshot) {
		s.Author.Login, s.Title = "a b @octo/all", "{base} @octo/all"
		s.Known.People = map[string]pull.Person{}
	})
	for _, a := range must(t, hello).Evaluate(s, pull.Memory{}, noon).Actions {
		if a.Kind == pull.WriteComment && (strings.Contains(a.Body, "octo/all") || !strings.HasPrefix(a.Body, "Hi @author, #7 into main.") || !pull.Marked(a.Body, a.Target)) {
			t.Errorf("writes %q, want the text of the policy, and its marker at the end", a.Body)
		}
	}
	if a, b := slug("a --> b"), slug("a -- b"); strings.Contains(a, ">") || a == b {
		t.Errorf("slugs %q and %q, want two that can stand in a comment", a, b)
	}
}

// TestRulesAreStill: whatever the pull request, once everything that rules ask for is done, they ask for nothing more; and
// when people undo it, that stays.
func TestRulesAreStill(t *testing.T) {
	p := must(t, `
version: 1
rules:
- { name: a, if: approved, do: [approve, ready, { comment: a }, { assign: [author, bob] }] }
- { name: b, if: checks.green && !pr.fork, do: [{ request-review: carol }, { comment: b }, approve] }
- { name: c, lines: 150.., if: '!approved', do: [draft, { close: too much }] }
`)
	rapid.Check(t, func(t *rapid.T) {
		s := snapshots().Draw(t, "s")
		s.AsApp = rapid.Bool().Draw(t, "as an App")
		m, now := pull.Memory{}, noon
		for round := 0; ; round++ {
			d := p.Evaluate(s, m, now)
			if len(d.Actions) == 0 {
				break
			}
			if round == 5 {
				t.Fatalf("still wants %v", acted(d.Actions))
			}
			for _, a := range d.Actions {
				if a.Kind == pull.Approve && s.Author.Same(us) || a.Kind == pull.Unapprove && a.Target != "77" && a.Target != "0" {
					t.Fatalf("wants %s %s", a.Kind, a.Target)
				}
			}
			s, m = done(s, m, d, now)
			now = now.Add(2 * time.Second)
		}
		// People undo all of it, an hour later.
		now = now.Add(time.Hour)
		s.Assignees, s.ReviewRequests, s.Comments = nil, nil, nil
		s.Reviews = slices.DeleteFunc(slices.Clone(s.Reviews), func(r pull.Review) bool { return r.Author.Same(us) })
		if d := p.Evaluate(s, m, now); slices.ContainsFunc(d.Actions, func(a pull.Action) bool {
			_, known := m.Intent(a.Kind, a.Target)
			return known
		}) {
			t.Fatalf("wants %v again", acted(d.Actions))
		}
	})
}
