package notice

import (
	"fmt"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// acts says what a list of actions does: "add the label docs and merge with squash".
func acts(actions []pull.Action) string {
	var words []string
	for _, a := range actions {
		if w := act(a); w != "" {
			words = append(words, w)
		}
	}
	return enumerate(words, "and")
}

// act says what one action does; every kind has its words.
func act(a pull.Action) string {
	name := plain(a.Target, maxName)
	switch a.Kind {
	case pull.AddLabel:
		return "add the label " + quoted(a.Target)
	case pull.RemoveLabel:
		return "remove the label " + quoted(a.Target)
	case pull.AskReview:
		return "ask " + name + " for a review"
	case pull.UnaskReview:
		return "no longer ask " + name + " for a review"
	case pull.Assign:
		return "assign " + name
	case pull.Unassign:
		return "unassign " + name
	case pull.Retitle:
		return "change the title to " + quoted(a.Title)
	case pull.MarkReady:
		return "mark it as ready for review"
	case pull.MarkDraft:
		return "make it a draft"
	case pull.Approve:
		return "approve " + a.SHA.Short()
	case pull.Unapprove:
		return "take the service's approval back"
	case pull.SetReport:
		return "say on GitHub where the pull request is"
	case pull.Rerun:
		return "run checks again"
	case pull.UpdateBranch:
		if a.Method == pull.Rebase {
			return "rebase it on its base"
		}
		return "merge its base into it"
	case pull.Enqueue:
		return "put " + a.SHA.Short() + " into GitHub's merge queue"
	case pull.Dequeue:
		return "take it out of GitHub's merge queue"
	case pull.Merge:
		return fmt.Sprintf("merge %s with %s", a.SHA.Short(), a.Method)
	case pull.Close:
		return "close it"
	case pull.Reopen:
		return "reopen it"
	case pull.Retarget:
		return "change the base of #" + strings.TrimPrefix(name, "#") + " to " + plain(a.Branch, maxName)
	case pull.DeleteBranch:
		return "delete the branch " + name
	case pull.WriteComment:
		return "write a comment"
	case pull.DropComment:
		return "delete the second copy of a comment of the service"
	case pull.React:
		return "react to a comment"
	}
	return "do " + plain(string(a.Kind), maxName) // unreachable unless a kind lacks its words; a test holds that none does
}
