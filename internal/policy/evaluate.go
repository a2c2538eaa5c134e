package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// How long to wait before looking again, where GitHub announces nothing.
var (
	// lookAgain spaces the looks at something that GitHub works out within seconds.
	lookAgain = []time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 30 * time.Second}
	// awaitChecks is for checks, whose events can get lost.
	awaitChecks = 10 * time.Minute
	// echoed is how soon GitHub's event about a write of our own is expected.
	echoed = 5 * time.Second
	// settle is how long GitHub may go on showing what was there before a write.
	settle = 30 * time.Second
	// A label that the service itself has put on and taken off more than restlessAfter times waits restlessFor between
	// two turns: its condition depends on what it causes, and would eat everybody's budget of writes.
	restlessAfter = 3
	restlessFor   = 10 * time.Minute
)

func lookAfter(looks int) time.Duration { return lookAgain[min(max(looks, 0), len(lookAgain)-1)] }

// Evaluate decides what a pull request needs. It is a function of its arguments and of nothing else: the same snapshot,
// memory and time give the same decision, and a snapshot that reflects the actions of a decision gives one without
// actions.
func (e Effective) Evaluate(s pull.Snapshot, m pull.Memory, now time.Time) Decision {
	d := e.decider(&s, m, now)
	d.decide()

	for name, l := range d.next.Labels {
		if l == (pull.LabelMemory{}) {
			delete(d.next.Labels, name)
		}
	}
	if len(d.next.Labels) == 0 {
		d.next.Labels = nil
	}
	slices.SortStableFunc(d.actions, func(a, b pull.Action) int {
		return slices.Index(pull.ActionKinds, a.Kind) - slices.Index(pull.ActionKinds, b.Kind)
	})
	// Two rules may ask for one thing: it is done once, for the first of them.
	seen := map[string]bool{}
	d.actions = slices.DeleteFunc(d.actions, func(a pull.Action) bool {
		name := string(a.Kind) + " " + a.Target
		twice := seen[name]
		seen[name] = true
		return twice
	})
	if e.Source.Mode == DryOnly {
		d.v.Would, d.actions = d.actions, nil
		if s.State == pull.Open && d.v.State != Off {
			d.v.State = DryRun
		}
	} else if e.hold != nil && (e.Policy == nil || e.Policy.mode == "") {
		// The defaults that can't be read may have said dry-run.
		d.v.Would, d.actions = d.actions, nil
	}
	if s.Archived {
		d.actions, d.replies = nil, nil // GitHub takes no writes there, and says so of each
	}
	d.v.Actions = d.actions
	if d.f != nil && !d.f.again.IsZero() {
		d.lookAt(d.f.again)
	}
	if d.p != nil && d.p.readsLabels() && slices.ContainsFunc(d.actions, func(a pull.Action) bool { return a.Kind == pull.AddLabel || a.Kind == pull.RemoveLabel }) {
		d.lookAt(now.Add(echoed)) // what is put on now may decide something else, and the event that says so can get lost
	}
	out := Decision{Verdict: d.v, Actions: d.actions, Commands: d.commanded, Replies: d.replies, Memory: d.next, Again: d.again}
	if d.f != nil && (d.f.compared != nil || d.v.Approvals != nil && d.p.approvals != nil) {
		out.Memory.Same = d.f.compared
	}
	if d.f != nil {
		out.Needs = pull.SortNeeds(d.f.needs)
	}
	return out
}

// decider returns an evaluation that has not begun.
func (e Effective) decider(s *pull.Snapshot, m pull.Memory, now time.Time) decider {
	d := decider{e: e, p: e.Policy, s: s, was: m, now: now}
	d.next = m
	d.next.Intents, d.next.Commands, d.next.Heads = nil, nil, nil
	d.next.Looks, d.next.Turn = 0, ""
	d.next.Labels = map[string]pull.LabelMemory{}
	maps.Copy(d.next.Labels, m.Labels)
	d.v = Verdict{Policy: e.Source, Head: s.Head.SHA}
	return d
}

// Evaluate decides by p alone; see Effective.Evaluate.
func (p *Policy) Evaluate(s pull.Snapshot, m pull.Memory, now time.Time) Decision {
	return p.Effective().Evaluate(s, m, now)
}

// A decider is one evaluation under way.
type decider struct {
	e   Effective
	p   *Policy
	s   *pull.Snapshot
	f   *facts
	was pull.Memory
	now time.Time

	v           Verdict
	actions     []pull.Action
	commanded   []pull.Command
	replies     []Reply
	outdated    *Reason                // the last word about a merge was a /merge of another commit
	labelsAsked map[string]pull.Action // labels, in lower case, that a command is about to put on or take off
	next        pull.Memory
	again       time.Time

	merging   *ask // a rule of the section rules asks for the merge
	turnTaken bool // it is this pull request's turn to be brought up to date
}

// lookAt asks for a look at t, unless one is wanted sooner.
func (d *decider) lookAt(t time.Time) {
	if d.again.IsZero() || t.Before(d.again) {
		d.again = t
	}
}

func (d *decider) decide() {
	switch {
	case d.s.State == pull.Merged:
		d.v.State = Merged
		d.v.Reasons = []Reason{{Code: IsMerged, Branch: d.s.Base.Name, SHA: d.s.MergeSHA, By: d.s.MergedBy.Login}}
	case d.s.State == pull.Closed:
		d.v.State = Closed
		d.v.Reasons = []Reason{{Code: IsClosed, Who: who(d.s.Author)}}
	}
	if d.p == nil {
		if d.v.State == "" {
			d.nothingInForce()
		}
		return
	}
	d.f = newFacts(d.p, d.s, &d.next, d.now)
	d.f.heads = d.was.Heads
	if d.optedOut() {
		d.leaveQueue()
		return
	}
	d.commands()
	switch d.v.State {
	case Merged:
		d.branch()
		return
	case Closed:
		return
	}
	unknown := false
	for i := range d.p.labels {
		unknown = d.label(&d.p.labels[i]) || unknown
	}
	d.reviewers()
	d.approvals()
	d.rules()
	d.merge(unknown)
	d.queue()
	if d.e.Source.UsingLast {
		d.v.Reasons = append(d.v.Reasons, Reason{Code: PolicyUsingLast, Text: d.e.Problem(), Who: []string{WhoPolicy}})
	}
}

// nothingInForce says why there is no policy to go by.
func (d *decider) nothingInForce() {
	switch {
	case d.e.hold != nil:
		d.v.State, d.v.Reasons = Broken, []Reason{*d.e.hold}
	case len(d.e.Source.Problems) > 0:
		d.v.State, d.v.Reasons = Broken, []Reason{{Code: PolicyBroken, Text: d.e.Problem(), Who: []string{WhoPolicy}}}
	default:
		d.v.State, d.v.Reasons = Observing, []Reason{{Code: NoPolicy}}
	}
}

// findLabel finds a label by name. GitHub compares the names of labels without regard to case.
func findLabel(s *pull.Snapshot, name string) (pull.Label, bool) {
	var found pull.Label
	ok := false
	for _, l := range s.Labels {
		if strings.EqualFold(l.Name, name) && (!ok || l.Present) {
			found, ok = l, true
		}
	}
	return found, ok
}

// label keeps one label in step with its condition, and reports whether it could not because mergeability is unknown.
//
// Who owns the label decides. The service takes off only what its own ledger put on and nobody has put on again since.
// What a person took off while its condition held stays off until the condition has been false.
func (d *decider) label(rule *labelRule) (awaitsMergeability bool) {
	cond := rule.evaluate(d.f)
	mem := d.next.Labels[rule.name]
	l, _ := findLabel(d.s, rule.name)
	out := Rule{Section: "labels", Name: rule.name, Pos: rule.pos, Condition: cond}
	setByOther := l.Present && l.SetBy.ID != 0 && !l.SetBy.Same(d.s.Us)
	takenByOther := l.TakenBy.ID != 0 && !l.TakenBy.Same(d.s.Us)
	last := d.lastWrite(rule.name)

	// What somebody asks for in a comment goes before the condition, and is theirs from then on.
	if a, ok := d.labelsAsked[strings.ToLower(rule.name)]; ok {
		out.Outcome, out.Why = LabelAdd, []Reason{{Code: LabelAsked, Label: rule.name, By: mem.Asked}}
		if a.Kind == pull.RemoveLabel {
			out.Outcome = LabelRemove
		}
		d.v.Rules = append(d.v.Rules, out)
		return false
	}
	if last.Action.Command != "" && last.Status == pull.Done && l.Present == (last.Action.Kind == pull.RemoveLabel) && d.now.Before(last.DoneAt.Add(settle)) &&
		!(setByOther && l.SetAt.After(last.StartedAt)) && !(takenByOther && l.TakenAt.After(last.StartedAt)) {
		out.Outcome, out.Why = LabelSettling, []Reason{{Code: LabelWritten, Label: rule.name}}
		d.lookAt(last.DoneAt.Add(settle))
		d.v.Rules = append(d.v.Rules, out)
		return false
	}
	if mem.Asked != "" && l.Present == mem.KeptOff {
		mem.Asked = "" // somebody has done otherwise since
	}

	// Whose is it? With a personal token the account alone proves nothing: the service shares it with a person. An App's
	// is nobody else's, also where the ledger knows nothing of it, because it was restored from an earlier backup.
	switch {
	case setByOther, mem.Asked != "":
		mem.Ours = false
	case l.Present && l.SetBy.Same(d.s.Us) && !d.s.AsApp && !last.DoneAt.IsZero() && l.SetAt.After(last.DoneAt.Add(settle)):
		mem.Ours = false // long after the service did: by the person whose token it uses
	case l.Present && l.SetBy.Same(d.s.Us) && (d.s.AsApp || last.Action.Kind == pull.AddLabel):
		// Also when the pass that set it never learned that it had: the ledger says it tried, GitHub says it is there.
		mem.Ours = true
	}
	add := pull.Action{Kind: pull.AddLabel, Target: rule.name, Color: rule.color, Description: rule.about}
	remove := pull.Action{Kind: pull.RemoveLabel, Target: rule.name}

	switch {
	case cond.Result == Unknown || cond.Result == Failed || (!l.Present && d.s.LabelsTruncated):
		out.Outcome, out.Why = LabelUnknown, blame(cond, true, d.f)
		if cond.Result == True || cond.Result == False {
			out.Why = []Reason{{Code: FactUnknown, Names: []string{"pr.labels"}, Text: cond.Text}}
		}
		awaitsMergeability = slices.ContainsFunc(out.Why, func(r Reason) bool { return r.Code == MergeableUnknown })

	case cond.Result == False:
		if mem.KeptOff {
			mem.KeptOff, mem.Asked = false, ""
		}
		if takenByOther && l.TakenAt.After(mem.Released) {
			mem.Released = l.TakenAt
		}
		switch {
		case !l.Present:
			mem.Ours = false
			out.Outcome, out.Why = LabelOff, []Reason{{Code: DoesNotHold, Label: rule.name}}
		case mem.Ours:
			out.Outcome, out.Why = LabelRemove, []Reason{{Code: DoesNotHold, Label: rule.name}}
			d.turn(&out, remove, last)
		default:
			by := l.SetBy.Login
			if mem.Asked != "" {
				by = mem.Asked
			}
			out.Outcome, out.Why = LabelLeft, []Reason{{Code: LabelSetByOther, Label: rule.name, By: by, Who: []string{WhoTriage}}}
		}

	case l.Present:
		mem.KeptOff = false
		out.Outcome, out.Why = LabelOn, []Reason{{Code: Holds, Label: rule.name}}

	default: // it should be there and is not
		offAgain := takenByOther && l.TakenAt.After(mem.Released)
		switch {
		case mem.Ours && last.Action.Kind == pull.RemoveLabel:
			mem.Ours = false // the service took it off itself
		case mem.Ours && !offAgain && last.Status == pull.Done && d.now.Before(last.DoneAt.Add(settle)):
			// Put on a moment ago, and nothing says that it was taken off: GitHub may be showing what was before.
			out.Outcome, out.Why = LabelSettling, []Reason{{Code: LabelWritten, Label: rule.name}}
			d.lookAt(last.DoneAt.Add(settle))
			d.v.Rules = append(d.v.Rules, out)
			return false
		case mem.Ours || offAgain:
			// If it was ours, somebody took it off, whoever GitHub says it was.
			mem.KeptOff, mem.Ours = true, false
		}
		if mem.KeptOff {
			r := Reason{Code: LabelTakenByOther, Label: rule.name, By: mem.Asked, Who: []string{WhoTriage}}
			if takenByOther {
				r.By = l.TakenBy.Login
			}
			out.Outcome, out.Why = LabelKeptOff, []Reason{r}
		} else {
			out.Outcome, out.Why = LabelAdd, []Reason{{Code: Holds, Label: rule.name}}
			d.turn(&out, add, last)
		}
	}
	d.next.Labels[rule.name] = mem
	d.v.Rules = append(d.v.Rules, out)
	return awaitsMergeability
}

// lastWrite returns the newer of the ledger's rows that put the label on or took it off, if GitHub has it or may have it.
func (d *decider) lastWrite(label string) pull.Intent {
	var last pull.Intent
	for _, kind := range []pull.ActionKind{pull.AddLabel, pull.RemoveLabel} {
		in, ok := d.was.Intent(kind, label)
		if ok && (in.Status == pull.Executing || in.Status == pull.Done) && (last.Action.Kind == "" || in.StartedAt.After(last.StartedAt)) {
			last = in
		}
	}
	return last
}

// turn puts a label on or takes it off, unless the service did the opposite a moment ago and has gone back and forth a
// few times already: a try that came to nothing is no change of mind. last is what it wrote last.
func (d *decider) turn(rule *Rule, a pull.Action, last pull.Intent) {
	before, _ := d.was.Intent(a.Kind, a.Target)
	if until := last.DoneAt.Add(restlessFor); before.Attempt > restlessAfter && before.Status == pull.Done && last.Action.Kind != a.Kind && d.now.Before(until) {
		rule.Outcome, rule.Why = Withheld, []Reason{{Code: LabelRestless, Label: a.Target, Until: until.UTC(), Who: []string{WhoPolicy}}}
		d.lookAt(until)
		return
	}
	d.want(rule, a)
}

// want adds an action, unless GitHub refused it lately: then the rule says so, and when it is tried again.
func (d *decider) want(rule *Rule, a pull.Action) bool {
	if until, words, held := d.was.Withheld(a, d.now); held {
		rule.Outcome = Withheld
		rule.Why = []Reason{{Code: Refused, Text: shorten(words, 300), Until: until.UTC(), Who: []string{WhoAdmin}}}
		d.lookAt(until)
		return false
	}
	d.actions = append(d.actions, a)
	return true
}

// look asks for the next of a row of ever rarer looks.
func (d *decider) look(wanted bool) {
	if wanted {
		d.next.Looks = d.was.Looks + 1
		d.lookAt(d.now.Add(lookAfter(d.was.Looks)))
	}
}

// sorted puts what a person has to change before what only has to be waited for.
func sorted(reasons []Reason) []Reason {
	rank := func(r Reason) int {
		switch {
		case r.Code.blocks():
			return 0
		case r.Code == FactUnknown:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(reasons, func(a, b Reason) int { return rank(a) - rank(b) })
	return reasons
}

// identity is a key under which equal values meet.
func identity(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("policy: reasons are plain data and always marshal: " + err.Error())
	}
	return string(text)
}
