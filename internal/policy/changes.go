package policy

import (
	"slices"
	"strings"
	"time"
)

// A Change is one thing in which a verdict differs from the one before it.
type Change struct {
	Kind ChangeKind `json:"kind"`
	// From and To are states, commits, policies or outcomes, by the kind; "" is none.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Section and Name are of the rule whose outcome is another.
	Section string `json:"section,omitempty"`
	Name    string `json:"name,omitempty"`
	// Reason is what came, went, moved or stays.
	Reason *Reason `json:"reason,omitempty"`
	// Met: the reason went because what it asked for is there, and not because it is no longer asked for.
	Met bool `json:"met,omitempty"`
}

// A ChangeKind is what sort of thing is different.
type ChangeKind string

// The kinds, in the order in which they are told.
const (
	FirstVerdict ChangeKind = "first"  // To: the state; there was no verdict before
	HeadMoved    ChangeKind = "head"   // From, To: commits
	PolicyMoved  ChangeKind = "policy" // another file, another mode, or the last valid one instead of a broken one
	StateMoved   ChangeKind = "state"  // From, To: states
	ReasonWent   ChangeKind = "went"
	ReasonCame   ChangeKind = "came"
	ReasonMoved  ChangeKind = "moved" // the same reason with other facts: fewer checks to wait for
	RuleMoved    ChangeKind = "rule"  // Section, Name; From, To: outcomes
	ReasonStays  ChangeKind = "stays" // told beside others only
)

// ChangeKinds lists every kind.
var ChangeKinds = []ChangeKind{
	FirstVerdict, HeadMoved, PolicyMoved, StateMoved, ReasonWent, ReasonCame, ReasonMoved, RuleMoved, ReasonStays,
}

// maxChanges bounds what is kept of one step.
const maxChanges = 50

// Changes returns what is different in after, in a fixed order: nothing when the two say the same to people, however much
// the values differ that their conditions saw.
func Changes(before, after Verdict) []Change {
	if before.State == "" {
		return []Change{{Kind: FirstVerdict, To: string(after.State)}}
	}
	var out []Change
	if before.Head != after.Head && before.Head != "" {
		out = append(out, Change{Kind: HeadMoved, From: string(before.Head), To: string(after.Head)})
	}
	if a, b := before.Policy, after.Policy; a.OID != b.OID || a.Path != b.Path || a.Mode != b.Mode || a.UsingLast != b.UsingLast || a.Defaults != b.Defaults {
		out = append(out, Change{Kind: PolicyMoved, From: string(a.OID), To: string(b.OID)})
	}
	if before.State != after.State {
		out = append(out, Change{Kind: StateMoved, From: string(before.State), To: string(after.State)})
	}
	var stay []Change
	if !before.State.over() && !after.State.over() {
		var told []Change
		told, stay = reasonChanges(before, after)
		out = append(out, told...)
	}
	out = append(out, ruleChanges(before, after)...)
	if len(out) > 0 {
		out = append(out, stay...)
	}
	return out[:min(len(out), maxChanges)]
}

// over reports whether nothing is awaited any more.
func (s State) over() bool { return s == Merged || s == Closed }

func reasonChanges(before, after Verdict) (told, stay []Change) {
	var came, moved []Change
	for _, r := range after.Reasons {
		i := slices.IndexFunc(before.Reasons, func(b Reason) bool { return about(b) == about(r) })
		switch {
		case i < 0:
			came = append(came, Change{Kind: ReasonCame, Reason: &r})
		case identity(newsOf(before.Reasons[i])) != identity(newsOf(r)):
			moved = append(moved, Change{Kind: ReasonMoved, Reason: &r})
		default:
			stay = append(stay, Change{Kind: ReasonStays, Reason: &r})
		}
	}
	for _, r := range before.Reasons {
		if !slices.ContainsFunc(after.Reasons, func(a Reason) bool { return about(a) == about(r) }) {
			told = append(told, Change{Kind: ReasonWent, Reason: &r, Met: met(r, after)})
		}
	}
	return slices.Concat(told, came, moved), stay
}

// about tells reasons apart that may stand beside each other: two with the same are one reason at two times.
func about(r Reason) string {
	parts := []string{string(r.Code), r.Label, r.Verb, r.Text}
	for _, o := range r.Any {
		parts = append(parts, about(o))
	}
	return strings.Join(parts, "\x00")
}

// newsOf leaves out of a reason what changes without being news.
func newsOf(r Reason) Reason {
	r.SHA, r.Until, r.Value, r.Who = "", time.Time{}, "", nil
	any := slices.Clone(r.Any)
	for i := range any {
		any[i] = newsOf(any[i])
	}
	r.Any = any
	return r
}

// met tells whether a reason has gone because what it asked for is there, as far as the verdict shows that.
func met(r Reason, after Verdict) bool {
	text, want := "", True
	switch r.Code {
	case ChecksPending, ChecksMissing, ChecksFailed:
		text = "checks.green"
	case ApprovalMissing, ApprovalStale, ApprovalRebased, ApprovalNoWrite, ChangesRequested:
		text = "approved"
	case LabelMissing:
		text = quote(r.Label) + " in pr.labels"
	case LabelBlocks:
		text, want = quote(r.Label)+" in pr.labels", False
	case ConditionFalse:
		text = r.Text
	case ConditionTrue:
		text, want = r.Text, False
	case IsDraft:
		return true // one is always told of
	default:
		return false
	}
	for _, rule := range after.Rules {
		if n := rule.Condition.find(text); n != nil && rule.Section == "merge" {
			return n.Result == want
		}
	}
	return false
}

// find returns the part of an explained condition with a text.
func (n *Node) find(text string) *Node {
	if n == nil || n.Text == text {
		return n
	}
	for _, c := range n.Children {
		if found := c.find(text); found != nil {
			return found
		}
	}
	return nil
}

// ruleChanges compares the outcomes of rules. That of merging is told by its reasons.
func ruleChanges(before, after Verdict) []Change {
	type id struct {
		section, name string
		nth           int
	}
	outcomes := func(v Verdict) (order []id, of map[id]string) {
		of = map[id]string{}
		for _, r := range v.Rules {
			if r.Section == "merge" && r.Name == "" {
				continue
			}
			k := id{section: r.Section, name: r.Name}
			for _, taken := of[k]; taken; _, taken = of[k] {
				k.nth++
			}
			order = append(order, k)
			of[k] = effect(r.Outcome)
		}
		return order, of
	}
	_, was := outcomes(before)
	order, is := outcomes(after)
	var out []Change
	for _, k := range order {
		if from, known := was[k]; is[k] != from && (known || is[k] != string(LabelOff)) {
			out = append(out, Change{Kind: RuleMoved, Section: k.section, Name: k.name, From: from, To: is[k]})
		}
	}
	return out
}

// effect folds the outcomes that lead to each other by themselves: a label that is being added is on in the next look.
func effect(o Outcome) string {
	switch o {
	case LabelAdd, LabelOn, LabelSettling:
		return string(LabelOn)
	case LabelRemove, LabelOff:
		return string(LabelOff)
	case RuleDoes:
		return string(RuleDone)
	}
	return string(o)
}
