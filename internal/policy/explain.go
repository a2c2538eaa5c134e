package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// A Node is one part of a condition with what it saw: an operator with its operands, or a value.
type Node struct {
	Text     string  `json:"text"`
	Op       Op      `json:"op,omitempty"`
	Result   Result  `json:"result,omitempty"` // of what is true or false
	Value    string  `json:"value,omitempty"`  // of anything else, and the words of an error
	Pos      Pos     `json:"pos,omitzero"`
	Children []*Node `json:"children,omitempty"`

	leaf    celast.Expr                    // what blame looks at
	lacks   []lack                         // what it is unknown for
	changes time.Time                      // when it changes by itself
	state   func(id int64) (ref.Val, bool) // of a whole condition: the values that it saw
}

// An Op says how a node follows from its children.
type Op string

// The operators. The children of a node without one are the values that it looked at.
const (
	And    Op = "and"
	Or     Op = "or"
	Not    Op = "not"
	Choose Op = "choose" // children: condition, then, else
)

// A Result is what a condition came to.
type Result string

// The results. Unknown: GitHub has not told enough. Failed: it can't be worked out, as with a division by zero.
const (
	True    Result = "true"
	False   Result = "false"
	Unknown Result = "unknown"
	Failed  Result = "error"
)

// evaluate runs the condition and explains it. It notes what has to be looked up to know the result, and when that may change
// by itself.
func (p *program) evaluate(f *facts) *Node {
	n := p.explain(f)
	f.ask(n)
	p.mayChange(n, f)
	return n
}

// mayChange notes when the result may change by itself. n is what explain made; it has no state where nothing could be worked out.
func (p *program) mayChange(n *Node, f *facts) {
	if len(p.timed) > 0 && n.state != nil {
		x := explainer{p: p, f: f, state: n.state}
		x.again(n)
	}
}

// explain runs the condition and explains it.
func (p *program) explain(f *facts) *Node {
	out, details, err := p.run.Eval(f)
	x := explainer{p: p, f: f}
	if details != nil {
		x.state = details.State().Value
	}
	if x.state == nil || (err != nil && out == nil) { // the cost limit, or a bug of CEL's
		return &Node{Text: oneLine(p.source), Result: Failed, Value: fmt.Sprint(err), Pos: p.start, leaf: p.ast.Expr()}
	}
	n := x.node(p.ast.Expr())
	// The tree's own root is what CEL returned, whatever a part of it looks like.
	n.Result, n.Value = resultOf(out)
	if u, ok := out.(*types.Unknown); ok {
		n.lacks = f.lacksOf(u)
	}
	n.state = x.state
	return n
}

type explainer struct {
	p     *program
	f     *facts
	state func(id int64) (ref.Val, bool)
}

// node explains an expression that is true or false.
func (x explainer) node(e celast.Expr) *Node {
	shown := x.p.parts[e.ID()]
	n := &Node{Text: shown.text, Pos: shown.pos, leaf: e}
	if v, ok := x.value(e); ok {
		n.Result, n.Value = resultOf(v)
		if u, ok := v.(*types.Unknown); ok {
			n.lacks = x.f.lacksOf(u)
		}
	} else {
		n.Result = Unknown
	}
	if e.Kind() == celast.CallKind {
		c := e.AsCall()
		switch c.FunctionName() {
		case operators.LogicalAnd:
			n.Op, n.Children = And, x.flat(e, operators.LogicalAnd, nil)
			return n
		case operators.LogicalOr:
			n.Op, n.Children = Or, x.flat(e, operators.LogicalOr, nil)
			return n
		case operators.LogicalNot:
			n.Op, n.Children = Not, []*Node{x.node(c.Args()[0])}
			return n
		case operators.Conditional:
			n.Op = Choose
			for _, a := range c.Args() {
				n.Children = append(n.Children, x.node(a))
			}
			return n
		}
	}
	n.Children = x.operands(e, nil)
	if name := nameOf(e); name != "" {
		n.Children = x.behind(name)
	}
	if mentions(e, "update.") && x.f.update().why != "" {
		n.Children = append(n.Children, &Node{Text: "because", Value: x.f.update().why})
	}
	if p := x.p.picks[e.ID()]; p != nil && n.Result != Unknown {
		n.Children = append(n.Children, x.picked(p, n.Result)...)
	}
	if x.timed(e) {
		if at, exact := x.changes(e); exact && !at.IsZero() {
			zone := time.UTC
			if s := scheduleOf(e); s != nil {
				zone = s.zone
			}
			n.changes = at
			n.Children = append(n.Children, &Node{Text: "changes", Value: at.In(zone).Format("Mon 2 Jan 2006 15:04:05 MST")})
		}
	}
	return n
}

// operands shows what a comparison looked at. Of the time itself nothing is shown, since that changes with each look: an
// explanation changes when there is something new to say.
func (x explainer) operands(e celast.Expr, into []*Node) []*Node {
	for _, o := range operandsOf(e) {
		switch {
		case x.timed(o) && o.Kind() != celast.ComprehensionKind && steady(o):
			into = x.operands(o, into)
		default:
			if v := x.operand(o); v != nil {
				into = append(into, v)
			}
		}
	}
	return into
}

// steady reports whether an expression that depends on the time is the time, or as long before or after it as something else.
func steady(e celast.Expr) bool {
	switch e.Kind() {
	case celast.IdentKind:
		return true
	case celast.CallKind:
		return slices.Contains([]string{operators.Subtract, operators.Add}, e.AsCall().FunctionName())
	}
	return false
}

// mentions reports whether an expression looks at a variable whose name begins with prefix.
func mentions(e celast.Expr, prefix string) bool {
	return strings.HasPrefix(nameOf(e), prefix) || slices.ContainsFunc(allOperands(e), func(o celast.Expr) bool { return mentions(o, prefix) })
}

// picked says which entries of a list decided.
func (x explainer) picked(p *picks, r Result) []*Node {
	list, ok := x.value(p.of)
	if !ok {
		return nil
	}
	all, ok := list.(traits.Sizer)
	if !ok {
		return nil
	}
	of := int(all.Size().(types.Int))
	switch {
	case p.macro == operators.All && r == True:
		return []*Node{{Text: "what matches", Value: fmt.Sprintf("all of %d", of)}}
	case p.macro == operators.Exists && r == False:
		return []*Node{{Text: "what matches", Value: fmt.Sprintf("none of %d", of)}}
	}
	out, _, err := p.run.Eval(x.f)
	if err != nil {
		return nil
	}
	those, ok := out.(traits.Lister)
	if !ok {
		return nil
	}
	n := int(those.Size().(types.Int))
	first := ""
	if n > 0 {
		first = show(those.Get(types.IntZero))
		if n > 1 {
			first += fmt.Sprintf(" and %d more of %d", n-1, of)
		}
	}
	switch {
	case p.macro == operators.All:
		return []*Node{{Text: "what does not match", Value: first}}
	case n > 0:
		return []*Node{{Text: "what matches", Value: first}}
	}
	return []*Node{{Text: "what matches", Value: fmt.Sprintf("none of %d", of)}}
}

// flat collects the operands of a chain of one operator, which CEL keeps as a balanced tree.
func (x explainer) flat(e celast.Expr, operator string, into []*Node) []*Node {
	if e.Kind() == celast.CallKind && e.AsCall().FunctionName() == operator {
		for _, a := range e.AsCall().Args() {
			into = x.flat(a, operator, into)
		}
		return into
	}
	return append(into, x.node(e))
}

// operand shows a value that a comparison looked at; nil for what is plain from its text.
func (x explainer) operand(e celast.Expr) *Node {
	if e.Kind() == celast.LiteralKind || e.Kind() == celast.ListKind {
		return nil
	}
	v, ok := x.value(e)
	if !ok {
		return nil
	}
	shown := x.p.parts[e.ID()]
	n := &Node{Text: shown.text, Pos: shown.pos}
	if _, isBool := v.(types.Bool); isBool || types.IsUnknownOrError(v) {
		n.Result, n.Value = resultOf(v)
	} else {
		n.Value = show(v)
	}
	return n
}

// behind shows what a summary such as checks.green was made from.
func (x explainer) behind(name string) []*Node {
	var parts []string
	switch name {
	case "checks.green":
		parts = []string{"checks.passed", "checks.pending", "checks.failed"}
	case "approved":
		if x.f.p.approvals != nil {
			return x.f.judged().behind()
		}
		parts = []string{"reviews.approved_by", "reviews.changes_requested_by"}
	default:
		return nil
	}
	if variables[name].unknown(x.f) != nil {
		return nil
	}
	var out []*Node
	for _, p := range parts {
		v, _ := x.f.ResolveName(p)
		out = append(out, &Node{Text: p, Value: showList(v.([]string))})
	}
	return out
}

func (x explainer) value(e celast.Expr) (ref.Val, bool) {
	if e.Kind() == celast.LiteralKind {
		return e.AsLiteral(), true
	}
	if v, ok := x.state(e.ID()); ok && v != nil {
		return v, true
	}
	// CEL keeps no value of a name in the branch of ?: that was not taken.
	if e.Kind() == celast.IdentKind {
		if def, ok := variables[strings.TrimPrefix(e.AsIdent(), ".")]; ok && (def.unknown == nil || def.unknown(x.f) == nil) {
			v, _ := x.f.ResolveName(def.name)
			return types.DefaultTypeAdapter.NativeToValue(v), true
		}
	}
	return nil, false
}

func oneLine(s string) string { return shorten(strings.Join(strings.Fields(s), " "), 300) }

// resultOf reads a value that should be true or false.
func resultOf(v ref.Val) (Result, string) {
	switch v := v.(type) {
	case types.Bool:
		if v {
			return True, ""
		}
		return False, ""
	case *types.Unknown:
		return Unknown, ""
	case *types.Err:
		return Failed, shorten(firstLine(v.Error()), 200)
	}
	return Failed, "it is neither true nor false"
}

// show writes a value for people, in bounded space.
func show(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return quote(string(v))
	case *thing:
		return quote(v.String())
	case traits.Lister:
		size, ok := v.Size().(types.Int)
		if !ok {
			return "a list"
		}
		var items []string
		for i := types.Int(0); i < min(size, shownItems); i++ {
			items = append(items, show(v.Get(i)))
		}
		return listed(items, int(size))
	case traits.Mapper:
		return "a mapping"
	}
	if s, ok := v.ConvertToType(types.StringType).(types.String); ok {
		return shorten(string(s), 80)
	}
	return shorten(fmt.Sprint(v.Value()), 80)
}

func showList(list []string) string {
	var items []string
	for _, s := range list[:min(len(list), shownItems)] {
		items = append(items, quote(s))
	}
	return listed(items, len(list))
}

const shownItems = 5

func listed(items []string, size int) string {
	s := strings.Join(items, ", ")
	if size > len(items) {
		s += fmt.Sprintf(", … (%d in all)", size)
	}
	return "[" + s + "]"
}

func quote(s string) string { return fmt.Sprintf("%q", shorten(s, 80)) }
