package notice

import (
	"fmt"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// checkClause says a reason about checks that have to pass.
func checkClause(r policy.Reason) string {
	app := plain(r.By, maxName)
	switch r.Code {
	case policy.CheckAwaited:
		return "waiting for " + requiredChecks(r.Names) + of(app) + " to start"
	case policy.CheckNotStarted:
		s := requiredChecks(r.Names) + of(app) + hasOrHave(r.Names) + " not started"
		if !r.Until.IsZero() {
			s += ", though nothing has happened since " + r.Until.UTC().Format("2006-01-02 15:04:05") + " UTC"
		}
		return s + "; a filter of paths, a workflow that waits to be approved or an App that is not installed may be why"
	case policy.CheckForged:
		s := requiredChecks(r.Names) + " counts only when " + or(app, "another App") + " reports it"
		if who := plain(r.Value, maxName); who != "" {
			s += ", and came from " + who
		}
		return s
	}
	return ""
}

// mergeClause says a reason about merging, beyond those that there are in any policy.
func mergeClause(r policy.Reason) string {
	label, by := quoted(r.Label), plain(r.By, maxName)
	base := or(plain(r.Branch, maxName), "its base")
	switch r.Code {
	case policy.MergeNotAsked:
		switch {
		case r.Label != "" && r.Verb != "":
			return "nobody has asked for the merge yet: the label " + label + " or the command /" + plain(r.Verb, maxName) + " does that"
		case r.Label != "":
			return "nobody has asked for the merge yet: the label " + label + " does that"
		}
		return "nobody has asked for the merge yet: the command /" + or(plain(r.Verb, maxName), "merge") + " does that"
	case policy.MergeLabelDenied:
		return "the label " + label + " was set by " + or(by, "somebody") + ", whose word is not enough to merge; it counts when it is set by someone who may ask for the merge"
	case policy.MergeLabelUnknown:
		s := "it can't be told whether " + or(by, "whoever set the label "+label) + " may ask for the merge"
		if by != "" {
			s += " by the label " + label
		}
		if why := plain(r.Text, maxText); why != "" {
			s += " (" + why + ")"
		}
		return s + ", so the label does not count"
	case policy.MergeByRules:
		return "only the rules of the policy merge here, and none of those that hold asks for it"
	case policy.Held:
		s := "held"
		if by != "" {
			s += " by " + by
		}
		if why := plain(r.Text, maxText); why != "" {
			s += " (" + why + ")"
		}
		return s + ", until somebody says /unhold"

	case policy.IsBehind:
		return "it has to be brought up to date with " + or(plain(r.Branch, maxName), "its base") + " first"
	case policy.NotForward:
		return "the branch " + base + " has commits that this branch lacks, so it can't be moved forward to it; the branch has to be brought up to date first"
	case policy.Updating:
		if r.Method == pull.Rebase {
			return "being rebased on " + base + "; then it is checked once more"
		}
		return "being brought up to date with " + base + "; then it is checked once more"
	case policy.Updated:
		return "brought up to date with " + base + " a moment ago; GitHub does not show it yet"
	case policy.UpdatedFor:
		return fmt.Sprintf("it has to be brought up to date with %s first, after #%d, whose turn it is", base, r.Count)
	case policy.UpdatedMuch:
		return fmt.Sprintf("the branch %s moves faster than this can be checked: it was brought up to date %s lately", base, counted(r.Count, "time", "times")) + triedAgain(r.Until)

	case policy.GitHubCheckFailed:
		return "GitHub requires checks that failed: " + names(r.Names)
	case policy.GitHubCheckPending:
		return "waiting for checks that GitHub requires: " + names(r.Names)
	case policy.GitHubReport:
		return "all that the policy asks for is there; GitHub waits for this very report, which says so now"
	case policy.GitHubApprovals:
		return fmt.Sprintf("GitHub requires %s", counted(r.Count, "approving review", "approving reviews")) + there(r.Value)
	case policy.GitHubOwners:
		return "GitHub may be waiting for an approval by a code owner, which it requires"
	case policy.GitHubLastPush:
		return "GitHub may be waiting for an approval by somebody other than who pushed last, which it requires"
	case policy.GitHubThreads:
		if r.Count == 0 {
			return "GitHub requires that all conversations are resolved, and there are too many to see whether they are"
		}
		return fmt.Sprintf("GitHub requires that all conversations are resolved; %s not", counted(r.Count, "is", "are"))
	case policy.GitHubSignatures:
		return "GitHub requires signed commits; these are not: " + names(r.Names)
	case policy.GitHubLocked:
		return "GitHub's rules lock the branch " + base + ", so nothing is merged into it"
	case policy.GitHubDeployments:
		return "GitHub may be waiting for a deployment, which it requires: " + names(r.Names)
	case policy.GitHubOther:
		return "GitHub may be waiting for a rule of its own: " + names(r.Names)

	case policy.QueueNow:
		return "ready; putting " + commit(r.SHA) + " into GitHub's merge queue for " + base
	case policy.QueueSettles:
		return "put into GitHub's merge queue for " + base + " a moment ago; GitHub does not show it yet"
	case policy.InQueue:
		s := "in GitHub's merge queue for " + base
		if r.Count > 0 {
			s += fmt.Sprintf(", position %d", r.Count)
		}
		if by != "" {
			s += ", put there by " + by
		}
		return s
	case policy.QueueLeft:
		return "taken out of GitHub's merge queue for " + base + " without being merged, so it waits for a new commit or for somebody who asks again" + triedAgain(r.Until)
	case policy.QueueOut:
		return "being taken out of GitHub's merge queue for " + base + ", as something is missing again"

	case policy.BranchInUse:
		s := "the branch " + plain(r.Branch, maxName) + " stays for now, as other pull requests are based on it"
		if len(r.Names) > 0 {
			s += " (" + names(r.Names) + ")"
		}
		return s + ": they go into " + or(plain(r.Value, maxName), "this one's base") + " from now on"
	}
	return ""
}

func requiredChecks(list []string) string {
	if len(list) == 1 {
		return "the required check " + quoted(list[0])
	}
	return "the required checks " + names(list)
}

func hasOrHave(list []string) string {
	if len(list) == 1 {
		return " has"
	}
	return " have"
}

func of(app string) string {
	if app == "" {
		return ""
	}
	return " of " + app
}

// there says how many of what is required there are.
func there(count string) string {
	switch count = plain(count, 20); count {
	case "":
		return ""
	case "0":
		return "; none is there"
	case "1":
		return "; 1 is there"
	}
	return "; " + count + " are there"
}
