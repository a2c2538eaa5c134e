package notice

import (
	"fmt"
	"slices"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// approvalClause says a reason about approvals.
func approvalClause(r policy.Reason) string {
	switch r.Code {
	case policy.ApprovalsNeeded:
		return needed(r)
	case policy.ApprovalsAny:
		var ways []string
		for _, way := range r.Any {
			ways = append(ways, clause(way))
		}
		return ruleName(r) + "needs one of these: " + strings.Join(ways, "; or ")
	case policy.ApprovalsAll:
		var parts []string
		for _, part := range r.Any {
			parts = append(parts, clause(part))
		}
		return strings.Join(parts, ", and ")
	case policy.ApprovalsSkipped:
		return "no rule of the section approvals is about this pull request, so the policy does not say who has to approve it (a rule without files, if and the like is about every one)"
	case policy.ApprovalGiven:
		return "approved by " + somebody(r)
	case policy.ApprovalKept:
		return "approved by " + somebody(r) + " (kept: the change is the same as at " + commitOr(r.SHA, "an older commit") + ")"
	case policy.ApprovalNotAsked:
		return "no approval is needed here"
	case policy.NobodyOwns:
		return "nobody owns the changed files"
	case policy.VetoUnknown:
		return "changes requested by " + somebody(r) + ", and it is not known whether that holds the pull request back" + because(r.Value)
	case policy.OwnersUnknown:
		return ruleName(r) + "needs approvals by code owners, and it is not known who they are" + because(r.Value)
	case policy.CommitsTruncated:
		return "no approval counts, since GitHub does not list all of the commits, so that it can't be told who has taken part in them"
	case policy.AuthorUnknown:
		return "GitHub does not know whose account made " + commitOr(r.SHA, "a commit") + ", and it may be somebody's who approves, so one approval more is needed"
	case policy.QueueAheadLost:
		return "the approvals of " + or(names(r.Names), "a pull request") + ", which is before it in the merge queue, no longer hold" + because(r.Value)
	case policy.QueueAheadUnknown:
		return "it is not known whether the approvals of " + or(names(r.Names), "a pull request") + ", which is before it in the merge queue, still hold" + because(r.Value)
	}
	if who := notCounted(r); who != "" {
		return "the approval of " + who + ", does not count"
	}
	return ""
}

// needed says what a rule lacks, who has approved, and whose approval does not count.
func needed(r policy.Reason) string {
	s := ruleName(r) + "needs "
	switch more := len(r.Names) > 0; {
	case more:
		s += counted(max(r.Count, 1), "more approval", "more approvals")
	case r.Count > 1:
		s += fmt.Sprintf("%d approvals", r.Count)
	default:
		s += "an approval"
	}
	if who := people(r.Who); who != "" {
		s += " by " + who
	}
	if r.Value != "" {
		s += " for " + plain(r.Value, maxText)
	}
	var beside []string
	if len(r.Names) == 1 {
		beside = append(beside, names(r.Names)+" has approved")
	} else if len(r.Names) > 1 {
		beside = append(beside, names(r.Names)+" have approved")
	}
	var not, notes []string
	for _, o := range r.Any {
		switch who := notCounted(o); {
		case who != "":
			not = append(not, who)
		default:
			notes = append(notes, clause(o))
		}
	}
	if len(not) > 0 {
		list := strings.Join(not[:min(len(not), maxNames)], "; ")
		if rest := len(not) - maxNames; rest > 0 {
			list += fmt.Sprintf("; and %d more", rest)
		}
		beside = append(beside, "not counted: "+list)
	}
	if beside = append(beside, notes...); len(beside) > 0 {
		s += " (" + strings.Join(beside, "; ") + ")"
	}
	return s
}

// notCounted names somebody whose approval does not count, with why; "" where the reason is another.
func notCounted(r policy.Reason) string {
	who := somebody(r)
	at := commitOr(r.SHA, "an older commit")
	switch r.Code {
	case policy.ApprovalByAuthor:
		return who + ", who is the author"
	case policy.ApprovalByContributor:
		return who + ", who has taken part in " + commitOr(r.SHA, "a commit of it")
	case policy.ApprovalNotFrom:
		return who + ", who is not among them"
	case policy.ApprovalOlder:
		if r.SHA == "" {
			return who + ", who approved an older commit"
		}
		return who + ", who approved the older commit " + at
	case policy.ApprovalOtherBase:
		return who + ", who approved before the base was changed to " + quoted(r.Branch)
	case policy.ApprovalChanged:
		return who + ", who approved " + at + ", since when the change is another"
	case policy.ApprovalNotCompared:
		return who + ", who approved " + at + ", with which the head can't be compared" + seen(r.Value)
	case policy.ApprovalAskedAgain:
		return who + ", who is asked to review again"
	case policy.ApprovalDismissed:
		return who + ", whose review was dismissed"
	case policy.ApproverUnknown:
		return who + ", of whom it is not known whether they may approve" + seen(r.Value)
	}
	return ""
}

func ruleName(r policy.Reason) string {
	if r.Text == "" {
		return ""
	}
	return "the rule " + quoted(r.Text) + " "
}

func somebody(r policy.Reason) string { return or(plain(r.By, maxName), "somebody") }

func commitOr(sha pull.SHA, otherwise string) string { return or(sha.Short(), otherwise) }

// because adds somebody else's words for why.
func because(why string) string {
	if why = strings.TrimRight(plain(why, maxText), ". "); why == "" {
		return ""
	}
	return ": " + why
}

// Reports are all that the service says about a pull request on GitHub: [Report] first; where the policy has a section on
// approvals one about them, on drafts too; and while GitHub's merge queue tests a commit for the pull request, the same two
// of that commit. A check that GitHub requires of a queue has to be reported there.
func Reports(s pull.Snapshot, v policy.Verdict, pageURL string) []pull.Report {
	var out []pull.Report
	main, ok := Report(s, v, pageURL)
	if ok {
		out = append(out, main)
	}
	if s.State != pull.Open || (!ok && v.State != policy.Off) {
		return out
	}
	add := func(name string, sha pull.SHA, state pull.ReportState, title, text string) {
		r := pull.Report{SHA: sha, Name: name, State: state, Title: title, URL: pageURL}
		if had := s.ReportOn(name, sha); had != nil {
			r.ID = had.ID
		}
		if s.AsApp {
			r.Summary = text
			r.Digest = r.Fingerprint()
		}
		out = append(out, r)
	}
	if v.State == policy.Off && s.ReportOn(pull.ApprovalsName, s.Head.SHA) != nil {
		// Nobody looks after the approvals now: what it said must not go on to speak for them.
		add(pull.ApprovalsName, s.Head.SHA, pull.ReportWaiting, sentence(v, pull.StatusLimit), summary(v, pageURL))
	}
	if a := v.Approvals; a != nil {
		add(pull.ApprovalsName, s.Head.SHA, approvalsColour(a.Result, a.Reasons), approvalsTitle(a), approvalsSummary(v, a.Reasons, pageURL))
	}
	if q := v.Queue; q != nil {
		state := queueColour(q)
		title := sentence(policy.Verdict{Reasons: q.Reasons}, pull.StatusLimit)
		if state == pull.ReportGood {
			title = "The approvals of this pull request, and of all before it in the merge queue, hold."
		}
		if v.Approvals != nil {
			add(pull.ApprovalsName, q.Head, state, title, approvalsSummary(v, q.Reasons, pageURL))
		}
		if state == pull.ReportGood && main.State != pull.ReportGood || v.Approvals == nil && len(q.Reasons) == 0 {
			state, title = main.State, main.Title
		}
		add("", q.Head, state, title, approvalsSummary(v, q.Reasons, pageURL))
	}
	return out
}

// approvalsColour is red where a person has said no, or where the policy has to be mended.
func approvalsColour(result policy.Result, reasons []policy.Reason) pull.ReportState {
	if result == policy.True {
		return pull.ReportGood
	}
	if slices.ContainsFunc(reasons, func(r policy.Reason) bool {
		return r.Code == policy.ChangesRequested || r.Code == policy.ApprovalsSkipped || r.Code == policy.ConditionError
	}) {
		return pull.ReportBad
	}
	return pull.ReportWaiting
}

// queueColour: a queue waits for a report that is yellow, and throws out what has a red one. What was approved when it was
// queued and no longer is has lost its place.
func queueColour(q *policy.Queue) pull.ReportState {
	switch q.Result {
	case policy.True:
		return pull.ReportGood
	case policy.False:
		return pull.ReportBad
	}
	return pull.ReportWaiting
}

func approvalsTitle(a *policy.Approvals) string {
	switch {
	case a.Result != policy.True:
		return sentence(policy.Verdict{Reasons: a.Reasons}, pull.StatusLimit)
	case len(a.Given) == 0:
		return "No approval is needed."
	}
	return "Approved by " + names(a.Given) + "."
}

// approvalsSummary is the body of a report about approvals: what is missing, who can help, and every rule.
func approvalsSummary(v policy.Verdict, reasons []policy.Reason, pageURL string) string {
	var b strings.Builder
	for _, r := range said(reasons) {
		fmt.Fprintf(&b, "- %s\n", markdown(r.String()))
	}
	tables(&b, slices.DeleteFunc(Explain(v).Rules, func(t Told) bool { return t.Section != "approvals" }))
	return foot(b.String(), v, pageURL)
}
