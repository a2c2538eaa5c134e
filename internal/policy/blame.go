package policy

import (
	"slices"
	"strings"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Blame turns a condition that does not hold into reasons that people can do something about. It goes down the explained
// condition to the parts that would have to be different, and says of each what GitHub shows: not "checks.green is
// false" but which checks are still running.

// blame returns why n is not what it would have to be (want).
func blame(n *Node, want bool, f *facts) []Reason {
	if n.Result == resultIf(want) {
		return nil
	}
	switch n.Op {
	case Not:
		return blame(n.Children[0], !want, f)
	case Choose:
		switch n.Children[0].Result {
		case True:
			return blame(n.Children[1], want, f)
		case False:
			return blame(n.Children[2], want, f)
		}
		return blame(n.Children[0], true, f)
	case And, Or:
		// One operand decides: any of them would do. Otherwise all are needed.
		if oneDecides := (n.Op == Or) == want; oneDecides && len(n.Children) > 1 {
			var any []Reason
			for _, c := range n.Children {
				any = append(any, blame(c, want, f)...)
			}
			any = distinct(any)
			if len(any) == 1 {
				return any
			}
			return []Reason{{Code: AnyOf, Any: any}}
		}
		var all []Reason
		for _, c := range n.Children {
			all = append(all, blame(c, want, f)...)
		}
		return distinct(all)
	}
	switch n.Result {
	case Failed:
		return []Reason{{Code: ConditionError, Text: n.Text, Value: n.Value, Who: []string{WhoPolicy}}}
	case Unknown:
		if n.leaf != nil && nameOf(n.leaf) == "approved" && f.p.approvals != nil {
			return f.notApproved()
		}
		return unknownFacts(n, f)
	}
	return blameLeaf(n, want, f)
}

// blameLeaf words the parts of conditions that have a meaning of their own.
func blameLeaf(n *Node, want bool, f *facts) []Reason {
	if e := n.leaf; e != nil {
		if name := nameOf(e); name != "" {
			switch {
			case name == "checks.green" && want:
				return f.notGreen()
			case name == "approved" && want:
				return f.notApproved()
			case name == "pr.draft" && !want:
				return []Reason{f.draft()}
			case name == "pr.conflicting" && !want:
				return []Reason{f.conflict()}
			case name == "pr.behind" && !want:
				return []Reason{f.behind()}
			}
		}
		if app, name, ok := checkOf(e); ok && want {
			return f.notPassed(app, name)
		}
		if rs := f.notNow(n, want); rs != nil {
			return rs
		}
		if mentions(e, "update.") && f.update().why != "" {
			return []Reason{{Code: UpdateUnknown, Text: n.Text, Value: f.update().why}}
		}
		if label, ok := labelOf(e); ok {
			if want {
				return []Reason{{Code: LabelMissing, Label: label, Who: []string{WhoTriage}}}
			}
			r := Reason{Code: LabelBlocks, Label: label, Who: []string{WhoTriage}}
			if l, found := findLabel(f.s, label); found {
				r.By = l.SetBy.Login
			}
			return []Reason{r}
		}
	}
	r := Reason{Code: ConditionFalse, Text: n.Text}
	if !want {
		r.Code = ConditionTrue
	}
	var seen []string
	for _, c := range n.Children {
		v := c.Value
		if v == "" {
			v = string(c.Result)
		}
		seen = append(seen, c.Text+" is "+v)
	}
	r.Value = shorten(strings.Join(seen, ", "), 300)
	return []Reason{r}
}

// nameOf returns the variable that an expression is, or "".
func nameOf(e celast.Expr) string {
	if e.Kind() == celast.IdentKind {
		return strings.TrimPrefix(e.AsIdent(), ".")
	}
	return ""
}

// labelOf recognises "name" in pr.labels.
func labelOf(e celast.Expr) (string, bool) {
	if e.Kind() != celast.CallKind || e.AsCall().FunctionName() != operators.In {
		return "", false
	}
	args := e.AsCall().Args()
	if args[0].Kind() != celast.LiteralKind || nameOf(args[1]) != "pr.labels" {
		return "", false
	}
	s, ok := args[0].AsLiteral().(types.String)
	return string(s), ok
}

// unknownFacts names the facts that a part of a condition lacks.
func unknownFacts(n *Node, f *facts) []Reason {
	var out []Reason
	var names []string
	why := ""
	for _, l := range n.lacks {
		if l.soon {
			out = []Reason{{Code: MergeableUnknown}}
			continue
		}
		names = append(names, l.name)
		why = or(why, l.why)
	}
	if len(names) > 0 || out == nil {
		out = append(out, Reason{Code: FactUnknown, Names: distinct(names), Text: n.Text, Value: why})
	}
	return out
}

// allOperands is operandsOf with the insides of comprehensions.
func allOperands(e celast.Expr) []celast.Expr {
	out := operandsOf(e)
	switch e.Kind() {
	case celast.ComprehensionKind:
		c := e.AsComprehension()
		out = append(slices.Clone(out), c.LoopCondition(), c.LoopStep(), c.Result())
	case celast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			out = append(out, entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
		}
	}
	return out
}

// distinct drops repetitions, keeping the order.
func distinct[T any](list []T) []T {
	var out []T
	seen := map[string]bool{}
	for _, v := range list {
		k := identity(v)
		if !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	return out
}

func (f *facts) notApproved() []Reason {
	if f.p.approvals != nil {
		return f.judged().reasons
	}
	o := f.reviews()
	head := f.s.Head.SHA
	var out []Reason
	if len(o.changesBy) > 0 {
		out = append(out, Reason{Code: ChangesRequested, Names: o.changesBy, Who: o.changesBy})
	}
	if len(o.approvedBy) > 0 {
		return out
	}
	switch {
	case len(o.otherBaseBy) > 0:
		out = append(out, Reason{Code: ApprovalRebased, Names: o.otherBaseBy, SHA: head, Branch: f.s.Base.Name, Who: append(slices.Clone(o.otherBaseBy), WhoWriter)})
	case len(o.staleBy) > 0:
		out = append(out, Reason{Code: ApprovalStale, Names: o.staleBy, SHA: head, Who: append(slices.Clone(o.staleBy), WhoWriter)})
	case len(o.powerlessBy) > 0:
		out = append(out, Reason{Code: ApprovalNoWrite, Names: o.powerlessBy, SHA: head, Who: []string{WhoWriter}})
	default:
		out = append(out, Reason{Code: ApprovalMissing, SHA: head, Who: []string{WhoWriter}})
	}
	return out
}

func (f *facts) draft() Reason { return Reason{Code: IsDraft, Who: who(f.s.Author)} }

func (f *facts) conflict() Reason {
	return Reason{Code: Conflict, Branch: f.s.Base.Name, Who: who(f.s.Author)}
}

// who is the login of an account, where GitHub names one.
func who(a pull.Actor) []string {
	if a.Login == "" {
		return nil
	}
	return []string{a.Login}
}

// checkOf recognises checks.by("ci", "build").passed, and its state == "passed". app is a text or a number.
func checkOf(e celast.Expr) (app any, name string, ok bool) {
	if e.Kind() == celast.CallKind && e.AsCall().FunctionName() == operators.Equals {
		args := e.AsCall().Args()
		if args[1].Kind() != celast.LiteralKind || args[1].AsLiteral() != types.String(pull.CheckPassed) || args[0].Kind() != celast.SelectKind || args[0].AsSelect().FieldName() != "state" {
			return nil, "", false
		}
		e = args[0]
	} else if e.Kind() != celast.SelectKind || e.AsSelect().FieldName() != "passed" {
		return nil, "", false
	}
	call := e.AsSelect().Operand()
	if call.Kind() != celast.CallKind || call.AsCall().FunctionName() != fnCheck {
		return nil, "", false
	}
	a, b := call.AsCall().Args()[1], call.AsCall().Args()[2]
	if a.Kind() != celast.LiteralKind || b.Kind() != celast.LiteralKind {
		return nil, "", false
	}
	s, isText := b.AsLiteral().(types.String)
	return a.AsLiteral().Value(), string(s), isText
}

// notPassed says why a check of one App has not passed.
func (f *facts) notPassed(app any, name string) []Reason {
	of := func(c pull.Check) bool { return false }
	switch app := app.(type) {
	case string:
		of = func(c pull.Check) bool { return strings.EqualFold(c.App, app) }
	case int64:
		of = func(c pull.Check) bool { return c.AppID == app }
	}
	r := Reason{Code: ChecksPending, Names: []string{name}, SHA: f.s.Head.SHA}
	t := checkBy(things(f, checkObject, f.latest), pull.Check{Name: name}, of).(*thing)
	if t.v.(pull.Check).State == pull.CheckFailed {
		r.Code, r.Who = ChecksFailed, who(f.s.Author)
	}
	return []Reason{r}
}

// notNow says of a part that depends on the time when it will be as it would have to be.
func (f *facts) notNow(n *Node, want bool) []Reason {
	if s := scheduleOf(n.leaf); s != nil {
		r := Reason{Code: ScheduleClosed, Text: s.text, Until: s.next(f.now)}
		if !want {
			r.Code = ScheduleOpen
		}
		return []Reason{r}
	}
	if n.changes.IsZero() {
		return nil
	}
	r := Reason{Code: TimeFalse, Text: n.Text, Until: n.changes}
	if !want {
		r.Code = TimeTrue
	}
	return []Reason{r}
}
