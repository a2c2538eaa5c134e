package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
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
