package notice

import (
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// ruleClause says a reason about the section rules.
func ruleClause(r policy.Reason) string {
	name := quoted(r.Label)
	switch r.Code {
	case policy.RuleHolds:
		return "the rule " + name + " holds, and all that it asks for is done"
	case policy.RuleHoldsNot:
		return "the rule " + name + " does not hold"
	case policy.RuleEffect:
		return "the rule " + name + " holds, so this is done: " + act(pull.Action{Kind: pull.ActionKind(r.Verb), Target: r.Text, SHA: pull.SHA(r.Text)})
	case policy.RuleOnce:
		return "the rule " + name + " has done this once, and somebody has undone it since, so it stays so: " + act(pull.Action{Kind: pull.ActionKind(r.Verb), Target: r.Text, SHA: pull.SHA(r.Text)})
	case policy.RuleOwnPull:
		return "the service has opened this pull request itself, so it can't approve it as the rule " + name + " asks"
	case policy.RuleWithdraws:
		return "no rule asks for the service's approval any more, so it is taken back"
	case policy.RuleAsksMerge:
		return "the rule " + name + " asks for the merge"
	}
	return ""
}
