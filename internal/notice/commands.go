package notice

import (
	"fmt"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// commandClause says a reason about commands.
func commandClause(r policy.Reason) string {
	verb, by := "/"+plain(r.Verb, maxName), plain(r.By, maxName)
	switch r.Code {
	case policy.CommandUnknown:
		s := "there is no command " + verb
		if len(r.Names) == 1 {
			s += "; did you mean /" + plain(r.Names[0], maxName) + "?"
		}
		return s
	case policy.CommandOff:
		return "the policy of this repository switches " + verb + " off"
	case policy.CommandState:
		return "this pull request is " + or(plain(r.Value, maxName), "not open") + ", and " + verb + " is for open ones"
	case policy.CommandArguments:
		s := "the command " + verb + " needs to be told more"
		if text := plain(r.Text, maxName); text != "" {
			s = "the command " + verb + " does not know what to do with “" + text + "”"
		}
		if usage := plain(r.Value, maxText); usage != "" {
			s += "; it is written as " + usage
		}
		return s
	case policy.CommandEdited:
		return "a comment that was edited across a push, or by somebody else, does not tell which commit " + verb + " is about; please say it in a new comment"
	case policy.CommandHeadUnknown:
		return "it is not certain that " + commit(r.SHA) + " is the commit that this " + verb + " is about; please look at it and say it again in a new comment"
	case policy.CommandOldHead:
		return "this " + verb + " is about " + commit(pull.SHA(plain(r.Value, maxName))) + ", and the head is " + commit(r.SHA) + " now; please look at what is new and say it again"
	case policy.CommandPointless:
		return pointless(r)
	case policy.CommandUnsure:
		s := "it can't be told whether " + or(by, "the writer") + " may give " + verb
		if text := plain(r.Text, maxText); text != "" {
			s += " (" + strings.TrimRight(text, ". ") + ")"
		}
		return s + ", so it does not count"
	case policy.CommandNotAllowed:
		s := "the writer" + named(by) + " may not give " + verb + " here"
		if who := people(r.Who); who != "" {
			s += "; " + who + " may"
		}
		return s
	case policy.CommandFailed:
		if words := plain(r.Text, maxText); words != "" {
			return "GitHub refused " + verb + ": " + strings.TrimRight(words, ". ")
		}
		return "GitHub refused " + verb
	case policy.CommandOutdated:
		return "the " + verb + " of " + or(by, "somebody") + " was about " + commit(r.SHA) + "; something was pushed since, so it counts no more and has to be given again"
	case policy.LabelAsked:
		return "it is as " + or(by, "somebody") + " has asked in a comment, whatever the condition of the label " + quoted(r.Label) + " says"
	}
	return ""
}

// pointless says why a command could do nothing.
func pointless(r policy.Reason) string {
	switch r.Verb {
	case "merge":
		return "the policy of this repository does not merge by command (that takes command: true in its section merge), so /merge would change nothing"
	case "unmerge":
		return "there is no /merge to take back; /hold keeps it from being merged, whatever else is there"
	case "unhold":
		return "nobody holds it by /hold"
	case "approve":
		return "there is no /approve of the writer's to take back"
	case "reroll":
		return "nobody can be picked anew: the service has not asked anybody by itself who has yet to answer"
	case "retest":
		if len(r.Names) > 0 {
			return "what has failed on " + commit(r.SHA) + " can't be run again from here: " + names(r.Names)
		}
		return "no check has failed on " + commit(r.SHA)
	case "cc", "uncc":
		return "only teams of the repository's own organization can be asked for a review, and " + or(names(r.Names), "that one") + " is none"
	}
	return "/" + plain(r.Verb, maxName) + " could do nothing here"
}

// Reply is what is answered to a comment: what of it was not done and why, the verdict to who asked for it, and what somebody
// may use. pageURL is where the whole story is; it may be "". The text ends in its marker, and nothing in it is a command, a
// mention or a link of somebody else's.
func Reply(r policy.Reply, v policy.Verdict, pageURL string) string {
	var b strings.Builder
	to := markdown(plain(r.To, maxName))
	switch len(r.Refused) {
	case 0:
	case 1:
		fmt.Fprintf(&b, "%s: %s\n\n", to, markdown(Reason(r.Refused[0])))
	default:
		fmt.Fprintf(&b, "%s:\n\n", to)
		for _, reason := range r.Refused {
			fmt.Fprintf(&b, "- %s\n", markdown(Reason(reason)))
		}
		b.WriteString("\n")
	}
	if r.Why {
		e := Explain(v)
		fmt.Fprintf(&b, "%s: **%s**\n\n", to, markdown(e.Sentence))
		if len(e.Reasons) > 1 || len(e.Reasons) == 1 && e.Reasons[0].String() != e.Sentence {
			for _, r := range e.Reasons {
				fmt.Fprintf(&b, "- %s\n", markdown(r.String()))
			}
			b.WriteString("\n")
		}
		if link := address(pageURL); link != "" {
			fmt.Fprintf(&b, "[Everything about this pull request](<%s>)\n\n", link)
		}
	}
	if len(r.Help) > 0 {
		fmt.Fprintf(&b, "What %s may use here, each at the start of a line:\n\n| | command | what it does |\n|---|---|---|\n", to)
		for _, h := range r.Help {
			sign := "✗"
			if h.May {
				sign = "✓"
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s |\n", sign, strings.ReplaceAll(h.Usage, "|", "\\|"), markdown(h.Does))
		}
		b.WriteString("\n")
	}
	return b.String() + pull.Marker(r.Target())
}
