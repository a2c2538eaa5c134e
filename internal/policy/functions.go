package policy

import (
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// The functions that conditions have beside CEL's own. What they look at of the pull request they are given as an argument,
// by a macro: functions of CEL know nothing but their arguments.
const (
	fnSchedule = "@schedule" // schedule(text) → @schedule(now, text)
	fnCheck    = "@check"    // checks.by(app, name) → @check(checks.list, app, name)
)

// checkMissing is the state of a check that has not reported. No check of GitHub's has it.
const checkMissing pull.CheckState = "missing"

var functions = []cel.EnvOption{
	cel.Macros(
		cel.GlobalMacro("schedule", 1, func(h cel.MacroExprFactory, _ celast.Expr, args []celast.Expr) (celast.Expr, *common.Error) {
			return h.NewCall(fnSchedule, h.NewIdent("now"), args[0]), nil
		}),
		cel.ReceiverMacro("by", 2, func(h cel.MacroExprFactory, target celast.Expr, args []celast.Expr) (celast.Expr, *common.Error) {
			if target.Kind() != celast.IdentKind || target.AsIdent() != "checks" {
				return nil, nil
			}
			return h.NewCall(fnCheck, h.NewSelect(target, "list"), args[0], args[1]), nil
		}),
	),
	cel.Function(fnSchedule, cel.Overload("schedule_at", []*cel.Type{cel.TimestampType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(now, text ref.Val) ref.Val {
			s, err := parseSchedule(string(text.(types.String)))
			if err != nil {
				return types.NewErr("%v", err) // unreachable: it was read with the file
			}
			return types.Bool(s.open(now.(types.Timestamp).Time))
		}))),
	cel.Function(fnCheck,
		cel.Overload("check_of_app", []*cel.Type{cel.ListType(cel.ObjectType(checkObject.name)), cel.StringType, cel.StringType}, cel.ObjectType(checkObject.name),
			cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				app := string(args[1].(types.String))
				return checkBy(args[0], pull.Check{App: app, Name: string(args[2].(types.String))}, func(c pull.Check) bool { return strings.EqualFold(c.App, app) })
			})),
		cel.Overload("check_of_app_id", []*cel.Type{cel.ListType(cel.ObjectType(checkObject.name)), cel.IntType, cel.StringType}, cel.ObjectType(checkObject.name),
			cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				id := int64(args[1].(types.Int))
				return checkBy(args[0], pull.Check{AppID: id, Name: string(args[2].(types.String))}, func(c pull.Check) bool { return c.AppID == id })
			}))),
	cel.Function("can", cel.MemberOverload("account_can", []*cel.Type{accountType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(who, level ref.Val) ref.Val {
			t := who.(*thing)
			switch have := t.f.permissionValue(t.v.(pull.Actor)).(type) {
			case string:
				return types.Bool(reaches(pull.PermissionLevel(have), pull.PermissionLevel(level.(types.String))))
			case *types.Unknown:
				return have
			}
			return types.False
		}))),
}

// checkBy finds a check among those of one App. Several of one name, of workflows that were started together, count as one:
// it has passed when all of them have.
func checkBy(list ref.Val, named pull.Check, of func(pull.Check) bool) ref.Val {
	found := named
	found.State = checkMissing
	var f *facts
	for it := list.(traits.Lister).Iterator(); it.HasNext() == types.True; {
		t := it.Next().(*thing)
		c := t.v.(pull.Check)
		f = t.f
		if c.Name != named.Name || !of(c) {
			continue
		}
		rank := []pull.CheckState{checkMissing, pull.CheckPassed, pull.CheckPending, pull.CheckFailed}
		required := found.Required || c.Required
		if slices.Index(rank, c.State) > slices.Index(rank, found.State) {
			found = c
		}
		found.Required = required
	}
	return &thing{f, checkObject, found}
}

// A call of one of the functions is checked when the file is read, where its arguments are written out.
// It reports whether that was said of it which makes all else about it idle.
func checkCall(e celast.Expr, say func(e celast.Expr, hint, message string)) bool {
	c := e.AsCall()
	text := func(e celast.Expr) (string, bool) {
		if e.Kind() != celast.LiteralKind {
			return "", false
		}
		s, ok := e.AsLiteral().(types.String)
		return string(s), ok
	}
	switch c.FunctionName() {
	case fnSchedule:
		s, ok := text(c.Args()[1])
		if !ok {
			say(c.Args()[1], scheduleHint, "A schedule is a text, written out.")
			return true
		}
		if _, err := parseSchedule(s); err != nil {
			bad := err.(*badSchedule)
			say(c.Args()[1], bad.hint, bad.message)
		}
	case "schedule": // with another number of arguments: the macro takes the others
		say(e, scheduleHint, "schedule takes one text.")
	case "by":
		if c.IsMemberFunction() && c.Target().Kind() == celast.IdentKind && c.Target().AsIdent() == "checks" {
			say(e, `For example, checks.by("github-actions", "build").passed.`, "checks.by takes an App and the name of its check.")
			return true
		}
	case "can":
		if len(c.Args()) != 1 {
			return false
		}
		if level, ok := text(c.Args()[0]); ok && permissionRank[pull.PermissionLevel(level)] == 0 {
			say(c.Args()[0], didYouMean(level, []string{"read", "triage", "write", "maintain", "admin"}), "\""+level+"\" is not a permission.")
		}
	}
	return false
}

// coarse is how soon a condition is looked at again that depends on the time in a way that does not tell when it changes.
const coarse = 5 * time.Minute

// again notes when a condition that depends on the time may change by itself. Only what can change the outcome counts: in
// a && b, b's time is of no matter while a is false for a reason that no clock mends.
func (x explainer) again(n *Node) {
	if !x.timed(n.leaf) {
		return
	}
	switch n.Op {
	case And, Or:
		decides := resultIf(n.Op == Or)
		for _, c := range n.Children {
			if c.Result == decides && !x.timed(c.leaf) {
				return
			}
		}
		for _, c := range n.Children {
			x.again(c)
		}
		return
	case Not:
		x.again(n.Children[0])
		return
	case Choose:
		x.again(n.Children[0])
		if n.Children[0].Result != False || x.timed(n.Children[0].leaf) {
			x.again(n.Children[1])
		}
		if n.Children[0].Result != True || x.timed(n.Children[0].leaf) {
			x.again(n.Children[2])
		}
		return
	}
	if at, exact := x.changes(n.leaf); exact {
		x.f.lookAt(at)
	} else {
		x.f.lookAt(x.f.now.Add(coarse))
	}
}

// timed reports whether an expression depends on the time.
func (x explainer) timed(e celast.Expr) bool { return e != nil && x.p.timed[e.ID()] }

// changes returns when the truth of an expression that depends on the time changes next by itself: zero, if it does not any
// more. exact is false if that can't be told.
func (x explainer) changes(e celast.Expr) (at time.Time, exact bool) {
	if e.Kind() != celast.CallKind {
		return time.Time{}, false
	}
	c := e.AsCall()
	name := c.FunctionName()
	if name == fnSchedule {
		if s := scheduleOf(e); s != nil {
			return s.next(x.f.now), true
		}
		return time.Time{}, false
	}
	sign, compares := map[string]int{"_<_": -1, "_<=_": -1, "_>_": 1, "_>=_": 1}[name]
	if !compares {
		return time.Time{}, false
	}
	left, ok1 := x.rate(c.Args()[0])
	right, ok2 := x.rate(c.Args()[1])
	rate := left - right
	if !ok1 || !ok2 || rate < -1 || rate > 1 {
		return time.Time{}, false
	}
	if rate == 0 {
		return time.Time{}, true
	}
	a, okA := x.value(c.Args()[0])
	b, okB := x.value(c.Args()[1])
	if !okA || !okB {
		return time.Time{}, false
	}
	ahead, ok := difference(a, b)
	if !ok {
		return time.Time{}, false
	}
	// left − right grows, or shrinks, by a second each second, and is zero after wait.
	wait := -ahead * time.Duration(rate)
	late := (sign > 0) == (rate > 0) == (name == "_>_" || name == "_<_") // changes only after the two are equal
	if wait < 0 || (wait == 0 && !late) {
		return time.Time{}, true
	}
	at = x.f.now.Add(wait)
	if late {
		at = at.Add(time.Microsecond)
	}
	return at.UTC(), true
}

// difference is a − b of two times or two durations.
func difference(a, b ref.Val) (time.Duration, bool) {
	switch a := a.(type) {
	case types.Timestamp:
		if b, ok := b.(types.Timestamp); ok {
			return a.Sub(b.Time), true
		}
	case types.Duration:
		if b, ok := b.(types.Duration); ok {
			return a.Duration - b.Duration, true
		}
	}
	return 0, false
}

// rate is by how many seconds a time or a duration grows each second; ok is false if that is not constant.
func (x explainer) rate(e celast.Expr) (rate int, ok bool) {
	if !x.timed(e) {
		return 0, true
	}
	switch e.Kind() {
	case celast.IdentKind:
		return 1, nameOf(e) == "now"
	case celast.CallKind:
		c := e.AsCall()
		if len(c.Args()) != 2 || c.IsMemberFunction() {
			return 0, false
		}
		a, ok1 := x.rate(c.Args()[0])
		b, ok2 := x.rate(c.Args()[1])
		switch c.FunctionName() {
		case "_-_":
			return a - b, ok1 && ok2
		case "_+_":
			return a + b, ok1 && ok2
		}
	}
	return 0, false
}

// scheduleOf returns the schedule that an expression asks about, if it is a call of schedule.
func scheduleOf(e celast.Expr) *schedule {
	if e == nil || e.Kind() != celast.CallKind || e.AsCall().FunctionName() != fnSchedule {
		return nil
	}
	lit := e.AsCall().Args()[1]
	if lit.Kind() != celast.LiteralKind {
		return nil
	}
	text, _ := lit.AsLiteral().(types.String)
	s, err := parseSchedule(string(text))
	if err != nil {
		return nil
	}
	return s
}

// conditionCodes are the codes of reasons that only conditions give.
var conditionCodes = []Code{ScheduleClosed, ScheduleOpen, TimeFalse, TimeTrue, UpdateUnknown, OptedOut}

// The codes.
const (
	ScheduleClosed Code = "schedule_closed" // Text: the schedule; Until: when it opens
	ScheduleOpen   Code = "schedule_open"   // Text, Until: it would have to be closed
	TimeFalse      Code = "time_false"      // Text; Until: when it becomes true
	TimeTrue       Code = "time_true"       // Text; Until: when it stops being true, as it would have to
	UpdateUnknown  Code = "update_unknown"  // Text: the condition; Value: why nothing is known of the update
	OptedOut       Code = "opted_out"       // Label, By
)
