// Package notice is where verdicts become words: every sentence that people read about a pull request, on GitHub, on a
// page or in a terminal, is made here from the typed reasons of package policy, and nowhere else.
//
// It owns the wording, and the shape of what pull requests get from us: [Sentence] for lists, [Reports] for GitHub, [Reply]
// for whoever has written a command, [Tree] for a terminal, [Changes] for what is different from before, [Why] beside a
// single action. All of them show what [Explain] makes of a verdict. It refuses to decide anything: what a verdict says is
// said, what it does not say is not looked up. The reasons of each section of a policy are worded in a file of its name.
//
// Names of labels, checks and branches, titles and GitHub's own words are other people's text. They are cleaned of control
// characters everywhere, and in Markdown they are written so that they stay text: no formatting, no link, no mention.
package notice

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Sentence says in one sentence why a pull request is where it is: what is missing, and who can help where that is not
// plain.
func Sentence(v policy.Verdict) string { return sentence(v, 0) }

// sentence is Sentence in at most limit characters, if limit is not 0 and the first reason leaves room for that.
func sentence(v policy.Verdict, limit int) string {
	var clauses []string
	for _, r := range v.Reasons {
		clauses = append(clauses, clause(r))
	}
	if len(clauses) == 0 {
		clauses = []string{"there is nothing to do"}
	}
	prefix := ""
	if v.State == policy.DryRun {
		prefix = "dry run, nothing is written: "
		if would := acts(v.Would); would != "" {
			clauses = append([]string{"this would " + would}, dropReady(v.Reasons, clauses)...)
		}
	}
	const most = 3
	for n := min(len(clauses), most); ; n-- {
		s := prefix + strings.Join(clauses[:n], "; ")
		if rest := len(clauses) - n; rest > 0 {
			s += fmt.Sprintf("; and %s more", counted(rest, "reason", "reasons"))
		}
		s = finish(s)
		if n == 1 || limit == 0 || utf8.RuneCountInString(s) <= limit {
			return s
		}
	}
}

// dropReady leaves out "ready" where what would be done says it already.
func dropReady(reasons []policy.Reason, clauses []string) []string {
	var out []string
	for i, r := range reasons {
		if r.Code != policy.ReadyToMerge {
			out = append(out, clauses[i])
		}
	}
	return out
}

// Reason says one reason as a whole sentence.
func Reason(r policy.Reason) string { return finish(clause(r)) }

// finish makes a sentence of a clause.
func finish(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[size:]
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "!") {
		return s
	}
	return s + "."
}

// sections word the reasons of one section of the policy each, in a file of their own; "" is not theirs. They may say other
// reasons inside theirs, so they are put together in init.
var sections []func(policy.Reason) string

func init() {
	sections = []func(policy.Reason) string{conditionClause, reviewerClause, approvalClause, commandClause, checkClause, mergeClause, ruleClause}
}

// clause says one reason without a capital and a full stop, so that several make one sentence.
func clause(r policy.Reason) string {
	label, by := quoted(r.Label), plain(r.By, maxName)
	branch := plain(r.Branch, maxName)
	switch r.Code {
	case policy.NoPolicy:
		return "this repository has no " + policy.FileName + " on its default branch, so nothing is done here"
	case policy.PolicyBroken:
		return "the policy is not valid, so nothing is done here until it is mended: " + plain(r.Text, maxText)
	case policy.PolicyUsingLast:
		return "the policy on the default branch is not valid, so the last valid one is in force: " + plain(r.Text, maxText)
	case policy.DefaultsGone:
		return "the owner's defaults (" + policy.FileName + " in the .github repository) can't be found any more, so nothing is merged until they are back"
	case policy.DefaultsBroken:
		return "the owner's defaults are not valid, so nothing is merged until they are mended: " + plain(r.Text, maxText)
	case policy.NoMergeRule:
		return "the policy has no merge section, so merging is left to people"

	case policy.IsMerged:
		s := "merged"
		if branch != "" {
			s += " into " + branch
		}
		if r.SHA != "" {
			s += " as " + r.SHA.Short()
		}
		return s
	case policy.IsClosed:
		return "closed without being merged"

	case policy.ReadyToMerge:
		s := "ready; merging with " + string(r.Method)
		if len(r.Names) > 0 {
			s += " (passed without saying that all is well: " + names(r.Names) + ")"
		}
		return s
	case policy.Merging:
		return "merged a moment ago; GitHub does not show it yet"
	case policy.IsDraft:
		if who := people(r.Who); who != "" {
			return "this is a draft, which " + who + " can mark as ready for review"
		}
		return "this is a draft, and has to be marked as ready for review"
	case policy.Conflict:
		if who := people(r.Who); who != "" {
			return "it conflicts with " + or(branch, "its base") + ", which " + who + " can resolve"
		}
		return "it conflicts with " + or(branch, "its base") + ", which has to be resolved"
	case policy.MergeableUnknown:
		return "GitHub is still working out whether it merges"
	case policy.HeadGone:
		return "GitHub does not tell which commit would be merged into what, so nothing can be merged safely"
	case policy.Archived:
		return "the repository is archived, so nothing can be merged"
	case policy.CannotWrite:
		return "the service's account" + named(by) + " may not write to this repository, which an administrator can change"
	case policy.MethodNotAllowed:
		return fmt.Sprintf("the policy merges with %s, but the repository allows only %s", r.Method, names(r.Names))
	case policy.NoMethodAllowed:
		return "the repository allows no way of merging, which an administrator can change"
	case policy.GitHubRules:
		s := "all that the policy asks for is there, but GitHub's own rules (branch protection or rulesets) hold it back"
		if why := plain(r.Text, maxText); why != "" {
			s += "; which of them can't be seen: " + why
		}
		return s
	case policy.Refused:
		s := "GitHub refused this lately"
		if words := plain(r.Text, maxText); words != "" {
			s = "GitHub refused: " + strings.TrimRight(words, ". ")
		}
		return s + triedAgain(r.Until)

	case policy.ChecksMissing:
		return "waiting for checks: none has reported on " + commit(r.SHA) + " yet"
	case policy.ChecksPending:
		if len(r.Names) == 0 {
			return "waiting for the checks to finish"
		}
		return "waiting for checks: " + names(r.Names)
	case policy.ChecksFailed:
		return "failed checks: " + names(r.Names) + " (a re-run or a new commit can mend that)"
	case policy.ApprovalMissing:
		return "needs an approval of " + commit(r.SHA) + " by someone with write access"
	case policy.ApprovalStale:
		return "needs an approval of " + commit(r.SHA) + " by someone with write access (" + names(r.Names) + " approved an older commit)"
	case policy.ApprovalRebased:
		return "needs an approval of " + commit(r.SHA) + " by someone with write access (" + names(r.Names) + " approved before the base was changed to " + quoted(r.Branch) + ")"
	case policy.ApprovalNoWrite:
		return "needs an approval of " + commit(r.SHA) + " by someone with write access (" + names(r.Names) + " approved without it)"
	case policy.ChangesRequested:
		return "changes requested by " + names(r.Names) + ", who can approve instead"
	case policy.LabelBlocks:
		if by != "" {
			return "carries the label " + label + ", set by " + by
		}
		return "carries the label " + label
	case policy.LabelMissing:
		return "needs the label " + label
	case policy.ConditionFalse:
		return "needs " + plain(r.Text, maxText) + seen(r.Value)
	case policy.ConditionTrue:
		return "needs this not to be: " + plain(r.Text, maxText) + seen(r.Value)
	case policy.ConditionError:
		return "the condition " + plain(r.Text, maxText) + " can't be worked out: " + or(plain(r.Value, maxText), "an error")
	case policy.FactUnknown:
		return "GitHub does not tell everything that " + plain(r.Text, maxText) + " looks at (" + or(names(r.Names), "some fact") + because(r.Value) + "), so it does not count"
	case policy.AnyOf:
		var options []string
		for _, o := range r.Any {
			options = append(options, clause(o))
		}
		return "held back until one of these changes: " + strings.Join(options, "; or ")

	case policy.Holds:
		return "the condition of the label " + label + " holds"
	case policy.DoesNotHold:
		return "the condition of the label " + label + " does not hold"
	case policy.LabelSetByOther:
		return "the label " + label + " was set by " + or(by, "somebody else") + ", so it stays though its condition does not hold"
	case policy.LabelTakenByOther:
		return "the label " + label + " was taken off by " + or(by, "somebody") + ", so it stays off; it will come back when its condition has been false once and holds again"
	case policy.LabelWritten:
		return "the label " + label + " was put on a moment ago; GitHub does not show it yet"
	case policy.LabelRestless:
		return "the label " + label + " has come and gone again and again, as its condition depends on what it causes, so it is left as it is for now" + triedAgain(r.Until)

	case policy.BranchUnused:
		return "the branch " + branch + " is merged, so it is deleted"
	case policy.BranchMoved:
		return "the branch " + branch + " has moved on since, so it stays"
	case policy.BranchOfFork:
		return "the branch " + branch + " is in another repository, so it stays"
	case policy.BranchProtected:
		return "the branch " + branch + " is one that others are based on, so it stays"
	case policy.BranchNotOurs:
		return "this was merged by " + or(by, "somebody else") + ", so the branch " + branch + " stays"
	case policy.BranchIsDeleted:
		return "the branch " + branch + " is deleted"
	}
	for _, section := range sections {
		if s := section(r); s != "" {
			return s
		}
	}
	return "the reason is " + plain(string(r.Code), maxName) // unreachable unless a code lacks its sentence; a test holds that none does
}

// Unblock says who can change a reason: "alice or someone with write access". It is "" where nobody has to.
func Unblock(r policy.Reason) string { return people(r.Who) }

// Why is the sentence that stands beside an action: what is done, and because of what.
func Why(v policy.Verdict, a pull.Action) string {
	done := finish(acts([]pull.Action{a}))
	for _, rule := range v.Rules {
		match := false
		switch a.Kind {
		case pull.AddLabel, pull.RemoveLabel:
			match = rule.Section == "labels" && rule.Name == a.Target
		case pull.Merge, pull.Enqueue, pull.Dequeue, pull.UpdateBranch:
			match = rule.Section == "merge" && rule.Name == ""
		case pull.DeleteBranch, pull.Retarget:
			match = rule.Section == "merge" && rule.Name != ""
		case pull.AskReview:
			match = rule.Section == "reviewers" && askedBecause(rule, a) != ""
		}
		for _, r := range rule.Why {
			if r.Code == policy.RuleEffect && r.Verb == string(a.Kind) && r.Text == a.Target || r.Code == policy.RuleWithdraws && a.Kind == pull.Unapprove {
				return finish(clause(r))
			}
		}
		if !match {
			continue
		}
		switch {
		case a.Kind == pull.AskReview:
			return askedBecause(rule, a)
		case a.Kind == pull.AddLabel || a.Kind == pull.RemoveLabel:
			if rule.Condition != nil {
				verb := " holds"
				if a.Kind == pull.RemoveLabel {
					verb = " does not hold"
				}
				done = strings.TrimSuffix(done, ".") + ": its condition (" + plain(rule.Condition.Text, maxText) + ")" + verb + "."
			}
		case a.Kind == pull.Merge || a.Kind == pull.Enqueue || a.Kind == pull.UpdateBranch:
			if rule.Condition != nil {
				done = strings.TrimSuffix(done, ".") + ": " + plain(rule.Condition.Text, maxText) + " holds."
			}
		case len(rule.Why) > 0:
			done = finish(clause(rule.Why[0]))
		}
	}
	return done
}

// How much of other people's text a sentence takes.
const (
	maxName  = 60
	maxText  = 300
	maxNames = 3
)

// plain cleans other people's text for a line of plain text: no control or direction-changing characters, no line breaks.
func plain(s string, limit int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
	clean = strings.Join(strings.Fields(clean), " ")
	if r := []rune(clean); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return clean
}

// quoted is plain in quotes, for names that may hold spaces.
func quoted(s string) string { return "“" + plain(s, maxName) + "”" }

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// named puts a login beside what it is the name of.
func named(login string) string {
	if login == "" {
		return ""
	}
	return " " + login
}

func seen(values string) string {
	if values == "" {
		return ""
	}
	return " (" + plain(values, maxText) + ")"
}

func commit(sha pull.SHA) string { return or(sha.Short(), "the head") }

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// names lists a few names and counts the rest.
func names(list []string) string {
	var out []string
	for _, s := range list[:min(len(list), maxNames)] {
		out = append(out, plain(s, maxName))
	}
	s := strings.Join(out, ", ")
	if rest := len(list) - len(out); rest > 0 {
		s += fmt.Sprintf(" and %d more", rest)
	}
	return s
}

// people lists who can do something, as "alice or someone with write access".
func people(who []string) string {
	var out []string
	for _, w := range who[:min(len(who), maxNames+1)] {
		switch w {
		case policy.WhoWriter:
			w = "someone with write access"
		case policy.WhoTriage:
			w = "someone who may set labels"
		case policy.WhoReader:
			w = "everybody who can read the repository"
		case policy.WhoMaintainer:
			w = "someone who maintains the repository"
		case policy.WhoCodeOwner:
			w = "an owner of the changed files"
		case policy.WhoAdmin:
			w = "an administrator of the repository"
		case policy.WhoPolicy:
			w = "someone who may change " + policy.FileName
		case policy.WhoOwner:
			w = "someone who may change the owner's .github repository"
		default:
			if strings.HasPrefix(w, "@") {
				w = "someone of " + w
			}
		}
		out = append(out, plain(w, 100))
	}
	return enumerate(out, "or")
}

func enumerate(words []string, last string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}

// triedAgain says when, if that is known.
func triedAgain(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return "; it is tried again at " + t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}
