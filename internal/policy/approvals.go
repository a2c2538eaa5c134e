package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	celast "cel.dev/cel-go/common/ast"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// The section approvals is a list of rules that all have to hold. A rule asks for approvals, or it joins others with any
// and all; each says which pull requests it is about, and where it is not about one it is skipped. That all of them are
// skipped is a mistake of the policy and never a yes: a rule that asks for nothing says so (count: 0).
//
// What each rule comes to is worked out in approve.go, from what people have said.

// An approvalLeafShape is a rule that asks for approvals.
type approvalLeafShape struct {
	Name ruleName `json:"name,omitempty" jsonschema_description:"What it is for, in a few words."`
	selectorShape
	Count *int    `json:"count,omitempty" jsonschema:"minimum=0,maximum=20" default:"1" jsonschema_description:"How many have to approve. 1 without it; 0 says that nobody has to."`
	From  texts   `json:"from,omitempty" default:"everybody who may write" jsonschema_description:"Whose approvals count: logins, teams (@acme/backend), permissions (maintain), codeowners. Without it, those of everybody who may write."`
	Allow allowed `json:"allow,omitempty" jsonschema_description:"author, contributors: their approvals count too."`
}

// An approvalPartShape is a rule inside another.
type approvalPartShape struct {
	approvalLeafShape
	Any []approvalLeafShape `json:"any,omitempty" jsonschema:"minItems=1,maxItems=20" jsonschema_description:"Rules, one of which has to hold."`
	All []approvalLeafShape `json:"all,omitempty" jsonschema:"minItems=1,maxItems=20" jsonschema_description:"Rules, all of which have to hold."`
}

// An approvalShape is one rule of the section approvals.
type approvalShape struct {
	approvalLeafShape
	Any  []approvalPartShape `json:"any,omitempty" jsonschema:"minItems=1,maxItems=20" jsonschema_description:"Rules, one of which has to hold."`
	All  []approvalPartShape `json:"all,omitempty" jsonschema:"minItems=1,maxItems=20" jsonschema_description:"Rules, all of which have to hold."`
	Veto vetoes              `json:"veto,omitempty" default:"everybody who may write" jsonschema_description:"Who can hold a pull request back by requesting changes: logins, teams, permissions, codeowners; or false: nobody. Without such a rule, everybody who may write."`
}

// ruleName is a text of at most 100 characters, vetoes are people or false, and allowed are author and contributors.
type (
	ruleName string
	vetoes   []string
	allowed  []string
)

// approvalKeys are the keys of a rule by how deep it is inside others.
var approvalKeys = [][]string{keysOf[approvalShape](), keysOf[approvalPartShape](), keysOf[approvalLeafShape]()}

// Bounds of the section.
const (
	maxApprovalRules = 100 // all of them, those inside others too
	maxApprovalParts = 20  // inside one rule
	maxApprovalCount = 20
	maxRuleName      = 100 // characters
)

// An approvalTree is what has to be approved by whom.
type approvalTree struct {
	pos    Pos
	rules  []approvalRule
	vetoes []vetoRule // nil: everybody who may write
}

// An approvalRule asks for approvals, or joins other rules.
type approvalRule struct {
	name  string // as the file calls it, or "rule 2"
	named bool   // the file does
	pos   Pos
	selector
	count             int
	from              *people // nil: everybody who may write
	allowAuthor       bool
	allowContributors bool
	any, all          []approvalRule
}

// A vetoRule says whose requested changes hold a pull request back.
type vetoRule struct {
	pos Pos
	selector
	who *people // nil: nobody's
}

// wordContributors stands in allow beside wordAuthor.
const wordContributors = "contributors"

// approvals reads the section.
func (r *reader) approvals(e entry) *approvalTree {
	t := &approvalTree{pos: e.at}
	a := approvalReader{reader: r, tree: t, names: map[string]Pos{}}
	before := len(r.problems)
	t.rules = a.list(e, "", 0)
	if len(t.rules) == 0 && len(r.problems) == before {
		r.say(e.at, `For example "- name: a review".`, "approvals has no rule that asks for an approval, so that nothing could ever be approved.")
	}
	return t
}

// An approvalReader reads the rules of one section.
type approvalReader struct {
	*reader
	tree  *approvalTree
	names map[string]Pos
	rules int
}

// list reads the rules under a key: those of the section, or those that another rule joins, whose number is above.
func (r *approvalReader) list(e entry, above string, depth int) []approvalRule {
	seq, ok := e.value.(*ast.SequenceNode)
	switch {
	case !ok:
		r.say(r.pos(e.value), `Begin each rule with "- ".`, "%s must be a list of rules; this is %s.", e.key, kindOf(e.value))
		return nil
	case len(seq.Values) == 0:
		r.say(r.pos(seq), "Give it at least one rule, or drop the key.", "%s is an empty list.", e.key)
		return nil
	case depth > 0 && len(seq.Values) > maxApprovalParts:
		r.say(r.pos(seq), "", "%s has %d rules; at most %d are possible.", e.key, len(seq.Values), maxApprovalParts)
		return nil
	}
	var out []approvalRule
	for i, n := range seq.Values {
		if r.rules++; r.rules > maxApprovalRules {
			if r.rules == maxApprovalRules+1 {
				r.say(r.pos(n), "", "approvals has more than %d rules.", maxApprovalRules)
			}
			break
		}
		number := strconv.Itoa(i + 1)
		if above != "" {
			number = above + "." + number
		}
		if rule, ok := r.rule(n, number, depth); ok {
			out = append(out, rule)
		}
	}
	return out
}

// rule reads one rule; a veto goes to the tree instead.
func (r *approvalReader) rule(n ast.Node, number string, depth int) (approvalRule, bool) {
	rule := approvalRule{name: "rule " + number, pos: r.pos(n), count: 1}
	keys, ok := r.mapping(n, "A rule of approvals", approvalKeys[depth], false)
	if !ok {
		return rule, false
	}
	at := map[string]entry{}
	var veto *vetoRule
	for _, k := range keys {
		at[k.key] = k
		switch k.key {
		case "name":
			r.name(&rule, k)
		case "count":
			rule.count = r.number(k, 0, maxApprovalCount)
		case "from":
			rule.from = r.from(k)
		case "allow":
			r.allow(&rule, k)
		case "any":
			rule.any = r.list(k, number, depth+1)
		case "all":
			rule.all = r.list(k, number, depth+1)
		case "veto":
			veto = &vetoRule{pos: k.at, who: r.veto(k)}
		default:
			r.selectorKey(&rule.selector, k)
		}
	}
	if rule.when != nil {
		r.notOfItself(rule.when)
	}
	joins, join := entry{}, false
	if joins, join = at["any"]; !join {
		joins, join = at["all"]
	}
	asks := slices.DeleteFunc([]string{"count", "from", "allow"}, func(key string) bool { _, ok := at[key]; return !ok })
	switch {
	case veto != nil:
		for _, key := range append(asks, "any", "all") {
			if k, ok := at[key]; ok {
				r.say(k.at, "Make it a rule of its own.", "A rule with veto asks for no approval, so it has no %s.", key)
			}
		}
		veto.selector = rule.selector
		r.tree.vetoes = append(r.tree.vetoes, *veto)
		return rule, false
	case join && len(asks) > 0:
		r.say(at[asks[0]].at, fmt.Sprintf("Write it into the rules under %s.", joins.key), "A rule with %s asks for no approval itself, so it has no %s.", joins.key, asks[0])
	}
	if k, both := at["all"]; join && both && joins.key == "any" {
		r.say(k.at, "Put one of them into a rule inside the other.", "A rule has any or all, not both.")
	}
	if f := rule.from; f != nil && len(f.logins) > 0 && len(f.teams) == 0 && f.atLeast == "" && !f.owners && rule.count > len(f.logins) {
		r.say(at["count"].at, "", "This asks for %d approvals of %d possible.", rule.count, len(f.logins))
	}
	return rule, true
}

func (r *approvalReader) name(rule *approvalRule, k entry) {
	text, _ := r.text(k.value, "name")
	name := strings.Join(strings.Fields(text.text), " ")
	switch first, twice := r.names[strings.ToLower(name)]; {
	case name == "":
		return // said already, or empty, which is no name
	case utf8.RuneCountInString(text.text) > maxRuleName:
		r.say(r.pos(k.value), "", "A name has at most %d characters.", maxRuleName)
	case twice:
		r.say(r.pos(k.value), "Reports go by the names: give each its own.", "Two rules have the name %q; the first is on line %d.", name, first.Line)
	}
	r.names[strings.ToLower(name)] = k.at
	rule.name, rule.named = name, true
}

func (r *approvalReader) from(k entry) *people {
	p := r.people(k, wordOwners)
	if slices.Contains(p.logins, wordContributors) {
		r.say(k.at, `Write "allow: contributors" beside from.`, "from names accounts, teams and permissions; whether contributors may approve is said by allow.")
	}
	return p
}

func (r *approvalReader) allow(rule *approvalRule, k entry) {
	for _, s := range r.reader.list(k.value, "allow") {
		switch s.text {
		case wordAuthor:
			rule.allowAuthor = true
		case wordContributors:
			rule.allowContributors = true
		default:
			r.say(s.at, didYouMean(s.text, []string{wordAuthor, wordContributors}), "allow can't be %q.", s.text)
		}
	}
}

// veto reads people, or false, which is nobody.
func (r *approvalReader) veto(k entry) *people {
	if b, ok := k.value.(*ast.BoolNode); ok {
		if b.Value {
			r.say(r.pos(b), "Name who can hold a pull request back, or write false.", "veto can't be true.")
		}
		return nil
	}
	return r.people(k, wordOwners)
}

// notOfItself refuses a condition that asks for what it is part of.
func (r *approvalReader) notOfItself(p *program) {
	for _, name := range []string{"approved", "reviews.approved_by"} {
		if e := p.mention(name); e != nil {
			r.say(p.parts[e.ID()].pos, "Join rules with any and all instead.", "What is approved depends on this rule, so it can't ask for %s.", name)
		}
	}
}

// mention returns an expression that is a variable, or nil where the condition does not look at it.
func (p *program) mention(name string) celast.Expr {
	var found celast.Expr
	var visit func(celast.Expr)
	visit = func(e celast.Expr) {
		if found == nil && nameOf(e) == name {
			found = e
		}
		for _, o := range allOperands(e) {
			visit(o)
		}
	}
	visit(p.ast.Expr())
	return found
}

// Approvals is what the section approvals came to.
type Approvals struct {
	// Result is true when every rule that applies holds, at least one does, and nobody's requested changes hold it back. It is
	// unknown when that depends on something that GitHub does not tell.
	Result  Result   `json:"result"`
	Reasons []Reason `json:"reasons,omitempty"` // why it is not true
	// Given are the logins of those whose approvals count for a rule.
	Given []string `json:"given,omitempty"`
}

// A Queue is what the service says of the commit that GitHub's merge queue tests for a pull request.
type Queue struct {
	Head pull.SHA `json:"head"`
	// Result is true when the approvals of this pull request and of each before it hold as they are now.
	Result  Result   `json:"result"`
	Reasons []Reason `json:"reasons,omitempty"` // why it is not true
}

// approvals puts what the section came to into the verdict.
func (d *decider) approvals() {
	if d.p.approvals == nil {
		// Defaults that are gone may have had the section: what was reported by them is no longer known to be so.
		if d.e.hold != nil && d.s.ReportOn(pull.ApprovalsName, d.s.Head.SHA) != nil {
			d.v.Approvals = &Approvals{Result: Unknown, Reasons: []Reason{*d.e.hold}}
		}
		return
	}
	j := d.f.judged()
	d.v.Rules = append(d.v.Rules, j.rules...)
	d.v.Approvals = &Approvals{Result: j.result, Reasons: j.reasons, Given: j.given}
}

// Judge says what the approvals of a pull request come to, and nothing else: for one that another depends on. While there are
// needs it is not final, as with a decision.
func (e Effective) Judge(s pull.Snapshot, m pull.Memory, now time.Time) (Approvals, []pull.Need) {
	switch {
	case e.hold != nil:
		return Approvals{Result: Unknown, Reasons: []Reason{*e.hold}}, nil
	case e.Policy == nil:
		return Approvals{Result: Unknown, Reasons: []Reason{{Code: PolicyBroken, Text: e.Problem(), Who: []string{WhoPolicy}}}}, nil
	case e.Policy.approvals == nil:
		return Approvals{Result: True}, nil
	}
	d := e.decider(&s, m, now)
	d.f = newFacts(d.p, d.s, &d.next, now)
	d.commands() // an approval by command may be new
	d.approvals()
	return *d.v.Approvals, pull.SortNeeds(d.f.needs)
}

// unapproved are the reasons why the section approvals keeps a pull request from being merged by a rule. A condition that looks
// at approvals itself says what they mean for it, and there are none then.
func (d *decider) unapproved(rule *mergeRule) []Reason {
	when := rule.when
	if when == nil && d.merging != nil {
		when = d.merging.rule.when
	}
	if d.p.approvals == nil || when != nil && (when.mention("approved") != nil || when.mention("reviews.approved_by") != nil) {
		return nil
	}
	return d.f.judged().reasons
}

// awaitQueue is how often a pull request in GitHub's merge queue is looked at: what is before it changes without an event
// of its own.
const awaitQueue = 2 * time.Minute

// queue judges the commit that GitHub's merge queue tests: by the approvals of this pull request and of each before it, since
// the queue may merge them all at once when the last of them has passed.
func (d *decider) queue() {
	q := d.s.Queued
	if q == nil || q.Head == "" {
		return
	}
	out := &Queue{Head: q.Head, Result: True}
	lose := func(result Result, why ...Reason) {
		out.Reasons = append(out.Reasons, why...)
		if out.Result == True || result == False {
			out.Result = result
		}
	}
	if d.e.hold != nil {
		lose(Unknown, *d.e.hold) // what asks for approvals may be what is missing
	}
	if d.v.Approvals != nil {
		if d.v.Approvals.Result != True {
			lose(d.v.Approvals.Result, d.v.Approvals.Reasons...)
		}
		if d.p.approvals != nil && (len(q.Ahead) > 0 || q.AheadTruncated) {
			// Each look costs one at each before it: a queue of twenty would spend the whole budget of an installation.
			d.lookAt(d.now.Add(max(awaitQueue, time.Duration(len(q.Ahead))*time.Minute)))
			if q.AheadTruncated {
				lose(Unknown, Reason{Code: QueueAheadUnknown, Value: "GitHub does not show all that is before it"})
			}
			d.ahead(lose)
		}
	}
	d.v.Queue = out
}

// ahead judges what is before this pull request in the queue.
func (d *decider) ahead(lose func(Result, ...Reason)) {
	if !d.f.need(pull.Need{Kind: pull.NeedAhead}) {
		lose(Unknown)
		return
	}
	known := map[int]pull.Ahead{}
	for _, a := range *d.s.Known.Ahead {
		known[a.Number] = a
	}
	for _, n := range d.s.Queued.Ahead {
		name := []string{"#" + strconv.Itoa(n)}
		switch a, ok := known[n]; {
		case !ok:
			lose(Unknown, Reason{Code: QueueAheadUnknown, Names: name})
		case a.Unknown:
			lose(Unknown, Reason{Code: QueueAheadUnknown, Names: name, Value: a.Why})
		case !a.Holds:
			lose(False, Reason{Code: QueueAheadLost, Names: name, Value: a.Why})
		}
	}
}

// Outcomes of a rule of the section approvals.
const (
	ApprovalHolds   Outcome = "approved"
	ApprovalLacks   Outcome = "not-approved"
	ApprovalSkipped Outcome = "skipped"   // it is not about this pull request
	ApprovalUnknown Outcome = "not-known" // whether it holds depends on what is not known
)

// The codes of reasons about approvals. Text is the name of the rule, "" where it has none.
const (
	ApprovalsNeeded  Code = "approvals_needed"  // Count more by one of Who; Names: whose approval counts; Any: why others' don't; Value: the files
	ApprovalsAny     Code = "approvals_any"     // Any: one of these would do
	ApprovalsSkipped Code = "approvals_skipped" // no rule applies
	ApprovalsAll     Code = "approvals_all"     // Any: all of these are needed, as one of several ways

	ApprovalGiven         Code = "approval_given"          // By
	ApprovalKept          Code = "approval_kept"           // By: on SHA, since when the change is the same
	ApprovalByAuthor      Code = "approval_by_author"      // By
	ApprovalByContributor Code = "approval_by_contributor" // By; SHA: the commit
	ApprovalNotFrom       Code = "approval_not_from"       // By
	ApprovalOlder         Code = "approval_older"          // By; SHA: the commit that was approved
	ApprovalOtherBase     Code = "approval_other_base"     // By; SHA; Branch: the base, to which it was changed since
	ApprovalChanged       Code = "approval_changed"        // By; SHA: since when the change is another
	ApprovalNotCompared   Code = "approval_not_compared"   // By; SHA; Value: why not
	ApprovalAskedAgain    Code = "approval_asked_again"    // By
	ApprovalDismissed     Code = "approval_dismissed"      // By
	ApproverUnknown       Code = "approver_unknown"        // By; Value: what is not known
	VetoUnknown           Code = "veto_unknown"            // By; Value: what is not known
	OwnersUnknown         Code = "owners_unknown"          // Value: why
	CommitsTruncated      Code = "commits_truncated"       // so nobody's approval counts
	AuthorUnknown         Code = "author_unknown"          // SHA: a commit of nobody knows whom, so one more has to approve
	ApprovalNotAsked      Code = "approval_not_asked"      // the rule asks for nothing
	NobodyOwns            Code = "nobody_owns"             // the rule asks for code owners, and the files have none

	QueueAheadLost    Code = "queue_ahead_lost"    // Names: which before it; Value: why
	QueueAheadUnknown Code = "queue_ahead_unknown" // Names; Value: why
)

// approvalCodes are the codes of reasons about approvals.
var approvalCodes = []Code{
	ApprovalsNeeded, ApprovalsAny, ApprovalsAll, ApprovalsSkipped, ApprovalGiven, ApprovalKept, ApprovalByAuthor, ApprovalByContributor,
	ApprovalNotFrom, ApprovalOlder, ApprovalOtherBase, ApprovalChanged, ApprovalNotCompared, ApprovalAskedAgain, ApprovalDismissed, ApproverUnknown, VetoUnknown,
	OwnersUnknown, CommitsTruncated, AuthorUnknown, ApprovalNotAsked, NobodyOwns, QueueAheadLost, QueueAheadUnknown,
}
