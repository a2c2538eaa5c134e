package notice

import (
	"fmt"
	"slices"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Report returns what a pull request's report on GitHub should say, and whether there should be one at all. Without a
// policy, in dry-run mode or in an archived repository there is none, and a pull request that is no longer open gets none that it did not have.
// pageURL is where the whole story is; it may be "".
//
// The colour answers one question: is everything there that the policy asks for? So it is green also while GitHub's own
// rules or a refusal of GitHub's hold the merge back: those rules may be waiting for this very report.
func Report(s pull.Snapshot, v policy.Verdict, pageURL string) (pull.Report, bool) {
	switch {
	case s.Archived, !v.Policy.Found, v.Policy.Mode == policy.DryOnly, v.State == policy.Observing, v.State == policy.DryRun:
		return pull.Report{}, false
	case s.Head.SHA == "", (s.State != pull.Open || v.State == policy.Off) && s.Report == nil:
		return pull.Report{}, false
	}
	v = lasting(v)
	r := pull.Report{SHA: s.Head.SHA, State: colour(v), Title: sentence(v, pull.StatusLimit), URL: pageURL}
	if s.Report != nil && s.Report.SHA == r.SHA {
		r.ID = s.Report.ID
	}
	if s.AsApp {
		r.Summary = summary(v, pageURL)
		r.Digest = r.Fingerprint()
	}
	return r, true
}

// Differs reports whether what stands on GitHub has to be written again. A check run carries the fingerprint of what was
// written; of a commit status only the state and what GitHub keeps of the text can be compared.
func Differs(observed *pull.Report, wanted pull.Report, asApp bool) bool {
	switch {
	case observed == nil:
		return true
	case asApp:
		return observed.Digest != wanted.Digest
	}
	return observed.State != wanted.State || observed.Title != pull.StatusText(wanted.Title)
}

// lasting returns a verdict without what changes with every check that ends: which ones are still running, and which
// have passed. GitHub shows that beside the report anyway, and a write for each would eat the budget of writes; the page
// has the names. What has failed stays: somebody has to do something about it. For the same reason a part of the condition
// that holds is shown without the values that it saw: a label more or less is not news.
func lasting(v policy.Verdict) policy.Verdict {
	v.Reasons = lastingReasons(v.Reasons)
	rules := slices.Clone(v.Rules)
	for i := range rules {
		rules[i].Why = lastingReasons(rules[i].Why)
		if rules[i].Section != "labels" { // labels depend on the head, and a new head has a new report
			rules[i].Condition = lastingNode(rules[i].Condition)
		}
		if rules[i].Section == "reviewers" {
			rules[i] = lastingReviewers(rules[i])
		}
	}
	v.Rules = rules
	return v
}

func lastingReasons(rs []policy.Reason) []policy.Reason {
	rs = slices.Clone(rs)
	for i := range rs {
		rs[i].Any = lastingReasons(rs[i].Any)
		if rs[i].Code == policy.ChecksPending {
			rs[i].Names = nil
		}
		if strings.Contains(rs[i].Text, "checks.") && rs[i].Code == policy.ConditionFalse {
			rs[i].Value = ""
		}
	}
	return rs
}

func lastingNode(n *policy.Node) *policy.Node {
	if n == nil {
		return nil
	}
	out := *n
	out.Children = nil
	if n.Result == policy.True && n.Op != policy.And && n.Op != policy.Or {
		return &out
	}
	for _, c := range n.Children {
		c = lastingNode(c)
		if c.Result == "" && strings.Contains(c.Text, "checks.") && !strings.Contains(c.Text, "checks.failed") {
			c.Value = "…"
		}
		out.Children = append(out.Children, c)
	}
	return &out
}

// colour is the state of the report.
func colour(v policy.Verdict) pull.ReportState {
	switch v.State {
	case policy.Merged, policy.Ready:
		return pull.ReportGood
	case policy.Closed:
		return pull.ReportWaiting
	case policy.Broken:
		return pull.ReportBad
	}
	if v.Holds {
		return pull.ReportGood
	}
	state := pull.ReportWaiting
	for _, r := range v.Reasons {
		switch r.Code {
		case policy.NoMergeRule:
			state = pull.ReportGood
		case policy.Conflict, policy.ChecksFailed, policy.ChangesRequested, policy.ApprovalsSkipped, policy.ConditionError, policy.MethodNotAllowed,
			policy.NoMethodAllowed, policy.CannotWrite, policy.Archived, policy.DefaultsGone, policy.DefaultsBroken, policy.HeadGone, policy.CheckNotStarted, policy.CheckForged:
			return pull.ReportBad
		}
	}
	return state
}

// maxSummary keeps a summary below the 65,535 characters that GitHub takes, in bytes.
const maxSummary = 60_000

// summary is the report's body: why, who can help, every rule with what it came to, and of merging every part of the
// condition with what it saw.
func summary(v policy.Verdict, pageURL string) string {
	e := Explain(v)
	var b strings.Builder
	for _, r := range e.Reasons {
		fmt.Fprintf(&b, "- %s\n", markdown(r.String()))
	}
	if len(e.Problems) > 0 {
		b.WriteString("\n#### Problems of the policy\n\n")
		for _, p := range e.Problems {
			b.WriteString("- " + markdown(p) + "\n")
		}
	}
	tables(&b, e.Rules)
	return foot(b.String(), v, pageURL)
}

// tables writes what rules came to, section by section.
func tables(b *strings.Builder, rules []Told) {
	section := ""
	for _, rule := range rules {
		if rule.Section == "merge" && rule.Condition != nil {
			fmt.Fprintf(b, "\n#### The condition for merging\n\n%s, at %s\n\n", mark(rule.Condition.Result)+" "+markdown(verdictOf(rule.Condition)), markdown(rule.Pos.String()))
			b.WriteString("| | condition | value |\n|---|---|---|\n")
			rows(b, rule.Condition, 0)
			continue
		}
		if rule.Section != section {
			section = rule.Section
			one, all := sectionTitle(section)
			fmt.Fprintf(b, "\n#### %s\n\n| | %s | why |\n|---|---|---|\n", markdown(or(all, one)), markdown(strings.ToLower(one)))
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", rule.Mark, markdown(rule.Name), markdown(rule.because()))
	}
}

// foot puts the footer under the body of a report, and cuts the body to what GitHub takes.
func foot(s string, v policy.Verdict, pageURL string) string {
	footer := "\n"
	if v.Policy.Path != "" {
		footer += "Policy: " + markdown(v.Policy.Path)
		if v.Policy.OID != "" {
			footer += " (" + markdown(v.Policy.OID.Short()) + ")"
		}
	}
	if link := address(pageURL); link != "" {
		footer += fmt.Sprintf(" · [Everything about this pull request](<%s>)", link)
	}
	if len(s) > maxSummary {
		s = s[:strings.LastIndexByte(s[:maxSummary], '\n')+1] + "\nThis was too long for GitHub, and is cut here.\n"
	}
	return s + footer + "\n"
}

// because says in a few words what became of a rule and because of what. Where a label follows its condition, that is it.
func (t Told) because() string {
	switch t.Outcome {
	case policy.LabelAdd, policy.LabelRemove, policy.LabelOn, policy.LabelOff:
		if t.Section == "labels" && t.Condition != nil {
			return verdictOf(t.Condition)
		}
	}
	var parts []string
	for _, r := range t.Why {
		parts = append(parts, r.String())
	}
	if len(parts) == 0 {
		parts = append(parts, finish(t.Came))
		if t.Condition != nil {
			parts = append(parts, finish(verdictOf(t.Condition)))
		}
	}
	return strings.Join(parts, " ")
}

func verdictOf(n *policy.Node) string {
	s := plain(n.Text, maxText)
	switch n.Result {
	case policy.True:
		s += " holds"
	case policy.False:
		s += " does not hold"
	case policy.Unknown:
		s += " is not known"
	default:
		s += " can't be worked out"
	}
	if len(n.Children) == 1 && n.Op == "" {
		s += " (" + plain(n.Children[0].Text, maxName) + ": " + or(plain(n.Children[0].Value, maxText), string(n.Children[0].Result)) + ")"
	}
	return s
}

// rows writes a condition operand by operand as rows of a table.
func rows(b *strings.Builder, n *policy.Node, depth int) {
	value := plain(n.Value, maxText)
	if value == "" && n.Result != "" {
		value = string(n.Result)
	}
	fmt.Fprintf(b, "| %s | %s%s | %s |\n", mark(n.Result), strings.Repeat("&emsp;", min(depth, 8)), markdown(plain(n.Text, maxText)), markdown(value))
	for _, c := range n.Children {
		rows(b, c, depth+1)
	}
}

func mark(r policy.Result) string {
	switch r {
	case policy.True:
		return "✓"
	case policy.False:
		return "✗"
	case policy.Unknown, policy.Failed:
		return "?"
	}
	return ""
}

// Problem renders a problem of a policy file in one line.
func Problem(p policy.Problem) string { return plain(p.String(), 1000) }

// markdown writes plain text so that Markdown leaves it as it is. Every ASCII punctuation mark becomes a character
// reference, which can start neither formatting nor HTML; what GitHub looks for after rendering (@mentions, #references,
// addresses) is broken by a character of no width.
func markdown(s string) string {
	var b strings.Builder
	for _, r := range plain(s, 2000) {
		switch {
		case r == ' ' || r == '.' || r == ',' || r == '-' && b.Len() > 0:
			b.WriteRune(r)
		case r < 0x80 && (r < '0' || (r > '9' && r < 'A') || (r > 'Z' && r < 'a') || r > 'z'):
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
		switch r {
		case '@', '#', ':', '/':
			b.WriteString("\u200b")
		}
	}
	return b.String()
}

// address returns a URL that can stand between < and > in Markdown, or "".
func address(url string) string {
	if (!strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://")) || strings.ContainsAny(url, "<> \t\r\n\\\"") {
		return ""
	}
	return url
}
