package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// What a condition may cost, in CEL's units (about one for each operation and each ten characters looked at). The
// estimate is of the worst pull request there can be: 3,000 files with long paths. A condition is run to the end for its
// explanation, both sides of every || included, so running gets more room than the estimate.
const (
	maxEstimate  = 5_000_000
	maxRun       = 4 * maxEstimate
	maxCondition = 2000 // characters
)

// A program is a compiled condition.
type program struct {
	source string
	ast    *celast.AST
	run    cel.Program
	start  Pos
	parts  map[int64]part   // by the id of the expression
	timed  map[int64]bool   // expressions that depend on the time
	picks  map[int64]*picks // of exists and all: which entries decided
}

// picks finds the entries of a list that decided an exists or an all: those that match, or those that don't.
type picks struct {
	macro string
	of    celast.Expr // the list
	run   cel.Program
}

// A part is how one expression of a condition is shown.
type part struct {
	text string
	pos  Pos
}

// language is the CEL environment, version 1: the variables of the environment with their types and CEL's standard
// functions. The names are declared whole ("pr.title"), so that a misspelt one is found when the file is read.
var language = sync.OnceValue(func() *cel.Env {
	opts := []cel.EnvOption{
		cel.EnableMacroCallTracking(), // so that explanations show exists(…) as it was written
		cel.ParserRecursionLimit(64),
		cel.ParserExpressionSizeLimit(maxCondition),
		cel.ASTValidators(
			cel.ValidateRegexLiterals(),
			cel.ValidateTimestampLiterals(),
			cel.ValidateDurationLiterals(),
			cel.ValidateComprehensionNestingLimit(2),
		),
	}
	opts = append(opts, functions...)
	registry, err := types.NewRegistry()
	if err != nil {
		panic("policy: CEL's own types are constant: " + err.Error())
	}
	opts = append(opts, cel.CustomTypeProvider(objectTypes{registry}))
	for _, v := range environment {
		opts = append(opts, cel.Variable(v.name, v.typ))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		panic("policy: the environment of conditions is constant: " + err.Error())
	}
	return env
})

// compile reads a condition. at tells where in the file each of its characters stands.
func compile(source string, at func(offset int) Pos) (*program, Problems) {
	var bad Problems
	say := func(offset int, hint, format string, args ...any) {
		bad = append(bad, Problem{Pos: at(offset), Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	if utf8.RuneCountInString(source) > maxCondition {
		say(0, "", "The condition is longer than %d characters.", maxCondition)
		return nil, bad
	}
	env := language()
	parsed, issues := env.Parse(source)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			message, hint := parseMessage(e.Message, source)
			say(offsetOf(source, e.Location), hint, "%s", message)
			break // what follows is about the same place
		}
		return nil, bad
	}
	info := parsed.NativeRep().SourceInfo()
	misread(parsed.NativeRep().Expr(), nil, func(e celast.Expr, hint, message string) {
		say(startOf(info, e), hint, "%s", message)
	})
	if bad != nil {
		return nil, bad
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			message, hint := checkMessage(e.Message)
			say(offsetOf(source, e.Location), hint, "%s", message)
		}
		return nil, bad
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		say(0, "Compare it with something.", "A condition must be true or false; this is %s.", typeName(checked.OutputType().String()))
		return nil, bad
	}
	estimate, err := env.EstimateCost(checked, estimator{})
	if err != nil {
		say(0, "", "What the condition may cost can't be told: %v.", err)
		return nil, bad
	}
	if estimate.Max > maxEstimate {
		say(0, "Look through a list once, not once for each entry of another; files, title and branch are cheaper than if.",
			"The condition may cost too much on a large pull request.")
		return nil, bad
	}
	run, err := env.Program(checked,
		cel.EvalOptions(cel.OptExhaustiveEval, cel.OptTrackState, cel.OptOptimize),
		cel.CostLimit(maxRun))
	if err != nil {
		say(0, "", "The condition can't be used: %v.", err)
		return nil, bad
	}
	p := &program{source: source, ast: checked.NativeRep(), run: run, start: at(0), parts: map[int64]part{}, timed: map[int64]bool{}}
	p.show(p.ast.Expr(), at)
	p.time(p.ast.Expr())
	p.pick(p.ast.Expr(), env)
	return p, nil
}

// time finds the expressions that depend on the time.
func (p *program) time(e celast.Expr) bool {
	timed := nameOf(e) == "now"
	for _, o := range allOperands(e) {
		timed = p.time(o) || timed
	}
	if timed {
		p.timed[e.ID()] = true
	}
	return timed
}

// pick prepares to say which entries of a list decided: exists(x, …) is explained with the entries that filter(x, …) leaves,
// all(x, …) with those that filter(x, !(…)) does.
func (p *program) pick(e celast.Expr, env *cel.Env) {
	for _, o := range operandsOf(e) {
		p.pick(o, env)
	}
	call, ok := p.ast.SourceInfo().GetMacroCall(e.ID())
	if !ok || e.Kind() != celast.ComprehensionKind || call.Kind() != celast.CallKind || len(call.AsCall().Args()) != 2 {
		return
	}
	c := call.AsCall()
	condition := "%s"
	switch c.FunctionName() {
	case operators.Exists, operators.ExistsOne, "existsOne":
	case operators.All:
		condition = "!(%s)"
	default:
		return
	}
	text := func(e celast.Expr) string {
		s, err := cel.ExprToString(e, p.ast.SourceInfo())
		if err != nil {
			return ""
		}
		return s
	}
	filter := fmt.Sprintf("%s.filter(%s, "+condition+")", text(c.Target()), text(c.Args()[0]), text(c.Args()[1]))
	ast, issues := env.Compile(filter)
	if issues.Err() != nil {
		return
	}
	run, err := env.Program(ast, cel.CostLimit(maxRun))
	if err != nil {
		return
	}
	if p.picks == nil {
		p.picks = map[int64]*picks{}
	}
	p.picks[e.ID()] = &picks{c.FunctionName(), e.AsComprehension().IterRange(), run}
}

// show prepares how e and the expressions that it is made of are shown, so that explaining costs no more than looking up.
func (p *program) show(e celast.Expr, at func(offset int) Pos) {
	text := p.source
	if s, err := cel.ExprToString(e, p.ast.SourceInfo()); err == nil && s != "" {
		text = s
	}
	p.parts[e.ID()] = part{oneLine(text), at(startOf(p.ast.SourceInfo(), e))}
	for _, o := range operandsOf(e) {
		p.show(o, at)
	}
}

// An estimator tells CEL how large the values of the environment can be.
type estimator struct{}

// EstimateSize bounds a variable, or the entries of one.
func (estimator) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	v, ok := variables[path[0]]
	if !ok {
		return nil
	}
	var max uint64
	switch {
	case len(path) == 1 && v.entries > 0:
		max = v.entries
	case len(path) == 1:
		max = v.chars
	default:
		max = v.chars // of the entries of a list of texts
		o := objectNamed(v.typ.String())
		for _, name := range path[1:] {
			if o == nil || name == "@items" {
				continue
			}
			f := o.field(name)
			if f == nil {
				return nil
			}
			max, o = f.chars, objectNamed(f.typ.String())
		}
		if o != nil {
			max = 1
		}
	}
	if max == 0 {
		return nil
	}
	return &cost.SizeEstimate{Min: 0, Max: max}
}

// EstimateCallCost knows what the functions of our own cost, and leaves all others at CEL's own estimate.
func (estimator) EstimateCallCost(function, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	var max uint64
	switch function {
	case fnSchedule:
		max = 20
	case fnCheck:
		max = variables["checks.list"].entries
	case "can":
		max = 10
	default:
		return nil
	}
	return cost.NewCallEstimate(cost.Estimate{Min: 1, Max: max}, nil)
}

// offsetOf turns CEL's line (from 1) and column (from 0) into an offset in characters.
func offsetOf(source string, l common.Location) int {
	offset := 0
	lines := strings.Split(source, "\n")
	for i := 0; i < l.Line()-1 && i < len(lines); i++ {
		offset += utf8.RuneCountInString(lines[i]) + 1
	}
	return offset + max(0, l.Column())
}

// startOf returns the first character of an expression: its leftmost part's.
func startOf(info *celast.SourceInfo, e celast.Expr) int {
	start := -1
	var visit func(celast.Expr)
	visit = func(e celast.Expr) {
		if m, ok := info.GetMacroCall(e.ID()); ok && m != e {
			visit(m)
			return
		}
		if at, ok := info.GetOffsetRange(e.ID()); ok && e.Kind() != celast.UnspecifiedExprKind {
			here := int(at.Start)
			if e.Kind() == celast.IdentKind {
				here -= max(0, strings.IndexByte(e.AsIdent(), '.')) // a checked pr.title is one name that stands at its dot
			}
			if start < 0 || here < start {
				start = here
			}
		}
		for _, c := range operandsOf(e) {
			visit(c)
		}
	}
	visit(e)
	return max(0, start)
}

// operandsOf returns the parts that an expression is made of.
func operandsOf(e celast.Expr) []celast.Expr {
	switch e.Kind() {
	case celast.CallKind:
		c := e.AsCall()
		var out []celast.Expr
		if c.IsMemberFunction() {
			out = append(out, c.Target())
		}
		return append(out, c.Args()...)
	case celast.SelectKind:
		return []celast.Expr{e.AsSelect().Operand()}
	case celast.ListKind:
		return e.AsList().Elements()
	case celast.ComprehensionKind:
		return []celast.Expr{e.AsComprehension().IterRange()}
	}
	return nil
}

// A bound name is the variable of a comprehension, and what its entries are, if that is known.
type bound struct {
	name string
	o    *object
}

func lookup(names []bound, name string) (bound, bool) {
	for i := len(names) - 1; i >= 0; i-- {
		if names[i].name == name {
			return names[i], true
		}
	}
	return bound{}, false
}

// thingOf returns of which object an expression is a thing, or a list of things; nil where that is not plain before types
// are checked.
func thingOf(e celast.Expr, names []bound) *object {
	switch e.Kind() {
	case celast.IdentKind:
		b, _ := lookup(names, e.AsIdent())
		return b.o
	case celast.SelectKind:
		sel := e.AsSelect()
		if op := sel.Operand(); op.Kind() == celast.IdentKind {
			if _, local := lookup(names, op.AsIdent()); !local {
				if v, ok := variables[strings.TrimPrefix(op.AsIdent(), ".")+"."+sel.FieldName()]; ok {
					return objectNamed(v.typ.String())
				}
			}
		}
		if o := thingOf(sel.Operand(), names); o != nil {
			if f := o.field(sel.FieldName()); f != nil {
				return objectNamed(f.typ.String())
			}
		}
	case celast.CallKind:
		switch c := e.AsCall(); c.FunctionName() {
		case fnCheck:
			return checkObject
		case operators.Index:
			return thingOf(c.Args()[0], names)
		}
	}
	return nil
}

// misread finds names that are not in the environment, with better words for them than CEL's. names are the variables of
// the comprehensions around e.
func misread(e celast.Expr, names []bound, say func(e celast.Expr, hint, message string)) {
	switch e.Kind() {
	case celast.SelectKind:
		sel := e.AsSelect()
		if sel.IsTestOnly() {
			say(e, "Every field of the environment is there; compare its value.", "has() is not needed here.")
			return
		}
		if op := sel.Operand(); op.Kind() == celast.IdentKind {
			if _, local := lookup(names, op.AsIdent()); !local {
				group := strings.TrimPrefix(op.AsIdent(), ".")
				if fields := fieldsOf(group); fields != nil {
					if !slices.Contains(fields, sel.FieldName()) {
						say(e, didYouMeanField(group, sel.FieldName(), fields), fmt.Sprintf("%s has no field %q.", group, sel.FieldName()))
					}
					return
				}
			}
		}
		misread(sel.Operand(), names, say)
		if o := thingOf(sel.Operand(), names); o != nil && o.field(sel.FieldName()) == nil {
			say(e, didYouMean(sel.FieldName(), o.fieldNames()), fmt.Sprintf("%s has no field %q.", strings.ToUpper(o.what[:1])+o.what[1:], sel.FieldName()))
		}
	case celast.IdentKind:
		name := strings.TrimPrefix(e.AsIdent(), ".")
		if _, local := lookup(names, name); local || strings.HasPrefix(name, "@") || strings.HasPrefix(name, "__") {
			return
		}
		if fields := fieldsOf(name); fields != nil {
			say(e, "Use one of its fields: "+strings.Join(fields, ", ")+".", fmt.Sprintf("%s alone is not a value.", name))
			return
		}
		if _, ok := variables[name]; !ok && !slices.Contains(typeNames, name) {
			hint := didYouMean(name, topNames())
			for _, v := range environment {
				if _, field, _ := strings.Cut(v.name, "."); field == name {
					hint = fmt.Sprintf("Did you mean %q?", v.name)
					break
				}
			}
			say(e, hint, fmt.Sprintf("There is nothing called %q.", name))
		}
	case celast.CallKind:
		if e.AsCall().FunctionName() == "dyn" {
			say(e, "Leave it out: every value has its type.", "dyn() is not available.")
			return
		}
		if checkCall(e, say) {
			return
		}
		for _, c := range operandsOf(e) {
			misread(c, names, say)
		}
	case celast.ListKind:
		for _, c := range operandsOf(e) {
			misread(c, names, say)
		}
	case celast.StructKind:
		say(e, "Compare the fields instead.", "Things can't be made here.")
	case celast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			misread(entry.AsMapEntry().Key(), names, say)
			misread(entry.AsMapEntry().Value(), names, say)
		}
	case celast.ComprehensionKind:
		c := e.AsComprehension()
		misread(c.IterRange(), names, say)
		misread(c.AccuInit(), names, say)
		inner := append(slices.Clone(names), bound{c.IterVar(), thingOf(c.IterRange(), names)}, bound{name: c.AccuVar()})
		if c.HasIterVar2() {
			inner = append(inner, bound{name: c.IterVar2()})
		}
		misread(c.LoopCondition(), inner, say)
		misread(c.LoopStep(), inner, say)
		misread(c.Result(), inner, say)
	}
}

// topNames are what a name may begin with.
func topNames() []string {
	var out []string
	for _, v := range environment {
		group, _, _ := strings.Cut(v.name, ".")
		if !slices.Contains(out, group) {
			out = append(out, group)
		}
	}
	return append(out, "schedule")
}

// typeNames are identifiers of CEL itself.
var typeNames = []string{"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "timestamp", "duration", "google"}

// fieldsOf returns the fields of a group such as "pr", or nil.
func fieldsOf(group string) []string {
	var out []string
	for _, v := range environment {
		if rest, ok := strings.CutPrefix(v.name, group+"."); ok {
			out = append(out, rest)
		}
	}
	return out
}

// didYouMeanField looks in the other groups too: pr.green is checks.green.
func didYouMeanField(group, field string, fields []string) string {
	if c := nearest(field, fields); c != "" {
		return fmt.Sprintf("Did you mean %q?", group+"."+c)
	}
	for _, v := range environment {
		if _, f, ok := strings.Cut(v.name, "."); f == field || (!ok && v.name == field) {
			return fmt.Sprintf("Did you mean %q?", v.name)
		}
	}
	return "It has: " + strings.Join(fields, ", ") + "."
}

// parseMessage words a complaint of CEL's parser for people.
func parseMessage(m, source string) (message, hint string) {
	m = strings.TrimPrefix(m, "Syntax error: ")
	switch {
	case strings.Contains(m, "'<EOF>'"):
		return "The condition is not complete: something is missing at its end.", "Every ( needs its ), every text its closing quote, every operator something on its right."
	case strings.Contains(m, "token recognition error"):
		if i := strings.Index(m, "at: "); i >= 0 {
			m = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(m[i+4:], "'"), "'"))
		}
		hint = ""
		if strings.HasPrefix(m, `"`) || strings.HasPrefix(m, `'`) {
			hint = "A text needs the same quote at both ends."
		}
		if m == "=" {
			hint = "Compare with ==."
		}
		return fmt.Sprintf("CEL does not know what to do with %s here.", shorten(m, 40)), hint
	case strings.Contains(m, "recursion") || strings.Contains(m, "exceeds"):
		return "The condition is nested too deeply or too long.", ""
	}
	if i := strings.Index(m, " expecting "); i >= 0 {
		m = m[:i]
	}
	for _, p := range []string{"mismatched input ", "extraneous input ", "no viable alternative at input ", "missing "} {
		if rest, ok := strings.CutPrefix(m, p); ok {
			rest = strings.Trim(rest, "'")
			switch {
			case rest == "=" || strings.HasPrefix(rest, "="):
				hint = "Compare with ==."
			case slices.Contains([]string{"and", "or", "not"}, rest):
				hint = "CEL writes && for and, || for or, ! for not."
			}
			return fmt.Sprintf("This is not expected here: %s", shorten(rest, 40)) + ".", hint
		}
	}
	if containsWord(source, "and") || containsWord(source, "or") || containsWord(source, "not") {
		hint = "CEL writes && for and, || for or, ! for not."
	}
	return "This is not valid CEL: " + shorten(firstLine(m), 120) + ".", hint
}

func containsWord(s, word string) bool { return slices.Contains(strings.Fields(s), word) }

var (
	noOverload     = regexp.MustCompile(`^found no matching overload for '([^']+)' applied to '(.*)'$`)
	undeclared     = regexp.MustCompile(`^undeclared reference to '([^']+)'(?: \(did you mean '([^']+)'\?\))?`)
	undefinedField = regexp.MustCompile(`^undefined field '([^']+)'$`)
	wrongType      = regexp.MustCompile(`^expected type '([^']+)' but found '([^']+)'$`)
	noFields       = regexp.MustCompile(`^type '([^']+)' does not support field selection$`)
	invalidArg     = regexp.MustCompile(`^invalid (\w+) argument`)
)

// checkMessage words a complaint of CEL's type checker for people.
func checkMessage(m string) (message, hint string) {
	m = firstLine(m)
	if f := noOverload.FindStringSubmatch(m); f != nil {
		operator := f[1]
		if sign, ok := operators.FindReverse(operator); ok && sign != "" {
			operator = sign
		}
		target, args, _ := strings.Cut(strings.TrimSuffix(f[2], ")"), "(")
		types := strings.ReplaceAll(args, ", ", " and ")
		if target = strings.TrimSuffix(target, "."); target != "" {
			types = strings.TrimSuffix(target+" and "+types, " and ")
		}
		types = typeName(types)
		if operator == "in" {
			hint = "On the right of in stands a list, such as pr.labels."
		}
		return fmt.Sprintf("%s does not work with %s.", operator, types), hint
	}
	if f := undeclared.FindStringSubmatch(m); f != nil {
		if f[2] != "" {
			hint = fmt.Sprintf("Did you mean %q?", f[2])
		}
		return fmt.Sprintf("There is nothing called %q.", f[1]), hint
	}
	if f := invalidArg.FindStringSubmatch(m); f != nil {
		switch f[1] {
		case "matches":
			return "This is not a valid regular expression.", "See https://github.com/google/re2/wiki/Syntax; in CEL, \\ is written \\\\ unless the text begins with r: r\"\\d+\"."
		case "timestamp":
			return "This is not a valid time.", "For example, timestamp(\"2026-01-31T00:00:00Z\")."
		case "duration":
			return "This is not a valid duration.", "For example, duration(\"36h\")."
		}
	}
	if f := wrongType.FindStringSubmatch(m); f != nil {
		return fmt.Sprintf("This needs to be %s; it is %s.", typeName(f[1]), typeName(f[2])), ""
	}
	if f := undefinedField.FindStringSubmatch(m); f != nil {
		var all []string
		for _, o := range objects {
			all = append(all, o.fieldNames()...)
		}
		if hint = ""; nearest(f[1], all) != "" {
			hint = fmt.Sprintf("Did you mean %q?", nearest(f[1], all))
		}
		return fmt.Sprintf("There is no field %q here.", f[1]), hint
	}
	if f := noFields.FindStringSubmatch(m); f != nil {
		return fmt.Sprintf("This is %s and has no fields.", typeName(f[1])), ""
	}
	if strings.Contains(m, "comprehension exceeds nesting limit") {
		return "This looks through lists inside lists inside lists.", "At most two levels of exists, all, filter and map are possible."
	}
	return "This is not valid here: " + shorten(typeName(m), 200) + ".", ""
}

// typeName replaces CEL's names of types by plain ones.
func typeName(s string) string {
	for _, o := range objects {
		if o.name == s {
			return o.what
		}
	}
	return strings.NewReplacer(
		"google.protobuf.Timestamp", "a time", "google.protobuf.Duration", "a duration", "timestamp", "a time", "duration", "a duration",
		"list(string)", "a list of texts", "list(File)", "a list of changed files", "list(Label)", "a list of labels", "list(Commit)", "a list of commits", "list(Check)", "a list of checks",
		"list(Review)", "a list of reviews", "list(Thread)", "a list of threads", "Account", "an account", "string", "a text", "bool", "true or false", "int", "a number", "double", "a number with a point",
	).Replace(s)
}

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
	p.turns(n, f)
	return n
}

// turns notes when the result may change by itself. n is what explain made; it has no state where nothing could be worked out.
func (p *program) turns(n *Node, f *facts) {
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
