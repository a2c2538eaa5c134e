package notice

import (
	"slices"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Changes says in one sentence what is different from the verdict before: "checks passed; still needs an approval". It is ""
// when nothing is that people would notice.
func Changes(list []policy.Change) string {
	clauses := changeClauses(list)
	if len(clauses) == 0 {
		return ""
	}
	const most = 4
	s := strings.Join(clauses[:min(len(clauses), most)], "; ")
	if rest := len(clauses) - most; rest > 0 {
		s += "; and " + counted(rest, "change", "changes") + " more"
	}
	return finish(s)
}

// ChangeList says each change as a sentence of its own.
func ChangeList(list []policy.Change) []string {
	clauses := changeClauses(list)
	for i, c := range clauses {
		clauses[i] = finish(c)
	}
	return clauses
}

func changeClauses(list []policy.Change) []string {
	var out []string
	for _, c := range list {
		if s := change(c, list); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// change says one change; "" where another of the list says it already.
func change(c policy.Change, list []policy.Change) string {
	switch c.Kind {
	case policy.FirstVerdict:
		return "looked at for the first time"
	case policy.HeadMoved:
		return "pushed: the head is " + commit(pull.SHA(c.To)) + " now"
	case policy.PolicyMoved:
		return "the policy changed"
	case policy.StateMoved:
		return stateMoved(policy.State(c.To))
	case policy.RuleMoved:
		return ruleMoved(c)
	}
	if c.Reason == nil {
		return ""
	}
	switch r := *c.Reason; c.Kind {
	case policy.ReasonWent:
		if sameSubject(r, list) {
			return ""
		}
		return went(r, c.Met)
	case policy.ReasonCame:
		return clause(r)
	case policy.ReasonMoved:
		return "now " + clause(r)
	case policy.ReasonStays:
		return stays(r)
	}
	return ""
}

// stateMoved says what the reasons beside it don't.
func stateMoved(to policy.State) string {
	switch to {
	case policy.Merged:
		return "merged"
	case policy.Closed:
		return "closed"
	case policy.Observing:
		return "there is no policy any more"
	case policy.DryRun:
		return "nothing is written from now on: the policy says dry run"
	}
	return ""
}

func ruleMoved(c policy.Change) string {
	name := plain(c.Section, maxName)
	if c.Section == "labels" {
		name = "the label"
	}
	if c.Name != "" {
		name += " " + quoted(c.Name)
	}
	switch to := policy.Outcome(c.To); {
	case c.Section == "labels" && to == policy.LabelOn:
		return name + " is put on"
	case c.Section == "labels" && to == policy.LabelOff:
		return name + " is taken off"
	case c.Section == "labels" && to == policy.LabelLeft:
		return name + " stays, as a person set it"
	case c.Section == "labels" && to == policy.LabelKeptOff:
		return name + " stays off, as a person took it off"
	case to == policy.LabelUnknown:
		return name + ": not known for now"
	case to == policy.Withheld:
		return name + ": GitHub refused it"
	default:
		return name + ": " + plain(c.To, maxName)
	}
}

// sameSubject reports whether something came or moved about the very thing that a reason which went was about: a check that
// failed says why it is no longer waited for.
func sameSubject(r policy.Reason, list []policy.Change) bool {
	for _, c := range list {
		if (c.Kind == policy.ReasonCame || c.Kind == policy.ReasonMoved) && c.Reason != nil && subject(r.Code) != "" && subject(r.Code) == subject(c.Reason.Code) {
			return true
		}
	}
	return false
}

func subject(c policy.Code) string {
	switch c {
	case policy.ChecksMissing, policy.ChecksPending, policy.ChecksFailed:
		return "checks"
	case policy.ApprovalMissing, policy.ApprovalStale, policy.ApprovalRebased, policy.ApprovalNoWrite, policy.ChangesRequested:
		return "approval"
	}
	return ""
}

// went says that a reason is none any more. met: what it asked for is there.
func went(r policy.Reason, met bool) string {
	switch r.Code {
	case policy.ChecksMissing, policy.ChecksPending, policy.ChecksFailed:
		if met {
			return "checks passed"
		}
		return "no longer waiting for checks"
	case policy.ApprovalMissing, policy.ApprovalStale, policy.ApprovalRebased, policy.ApprovalNoWrite:
		if met {
			return "approved"
		}
		return "an approval is no longer missing"
	case policy.ChangesRequested:
		return "changes are no longer requested"
	case policy.IsDraft:
		return "marked as ready for review"
	case policy.Conflict:
		return "GitHub shows no conflict with " + or(plain(r.Branch, maxName), "its base") + " any more"
	case policy.MergeableUnknown:
		return "GitHub has worked out whether it merges"
	case policy.GitHubRules:
		return "GitHub's own rules no longer hold it back"
	case policy.Refused:
		return "what GitHub refused is no longer in the way"
	case policy.LabelMissing:
		if met {
			return "it has the label " + quoted(r.Label)
		}
	case policy.LabelBlocks:
		if met {
			return "the label " + quoted(r.Label) + " is off"
		}
	case policy.ConditionFalse:
		if met {
			return "the condition " + plain(r.Text, maxText) + " holds"
		}
	case policy.ConditionTrue:
		if met {
			return "the condition " + plain(r.Text, maxText) + " no longer holds"
		}
	case policy.PolicyBroken, policy.PolicyUsingLast:
		return "the policy is valid again"
	case policy.DefaultsGone:
		return "the owner's defaults are back"
	case policy.DefaultsBroken:
		return "the owner's defaults are valid again"
	case policy.NoPolicy:
		return "there is a policy now"
	case policy.ReadyToMerge, policy.Merging, policy.NoMergeRule, policy.IsMerged, policy.IsClosed:
		return "" // what is the case now says it
	}
	return "no longer in the way: " + strings.TrimRight(clause(r), ".?!")
}

// stays puts "still" where it belongs. What was never in the way does not stay there.
func stays(r policy.Reason) string {
	switch r.Code {
	case policy.ReadyToMerge, policy.Merging, policy.NoMergeRule, policy.NoPolicy, policy.IsMerged, policy.IsClosed, policy.PolicyUsingLast:
		return ""
	}
	text := clause(r)
	switch first, rest, _ := strings.Cut(text, " "); first {
	case "needs", "waiting", "carries":
		return "still " + text
	case "it":
		return "it still " + rest
	}
	return "still in the way: " + text
}
