package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

type checksShape struct {
	Required     required `json:"required,omitempty" jsonschema_description:"Checks that have to pass before checks.green holds, whether GitHub requires them or not: their names, or a mapping of name and app for one that only this App may report."`
	NoneExpected bool     `json:"none-expected,omitempty" jsonschema_description:"true: nothing reports on this repository's commits, so checks.green holds although there is no check."`
}

// required is the name of a check, a mapping of its name and App, or a list of these.
type required []requiredShape

type requiredShape struct {
	Name words `json:"name" jsonschema:"required" jsonschema_description:"The check run's name, or the context of a commit status."`
	App  words `json:"app,omitempty" jsonschema_description:"The slug of the App that has to report it, such as github-actions. Without it, whoever reports it counts."`
}

var (
	checksKeys   = keysOf[checksShape]()
	requiredKeys = keysOf[requiredShape]()
)

type checksRule struct {
	noneExpected bool
	required     []requirement
}

// A requirement is a check that has to pass, of one App or of any. The policy names Apps by slug, GitHub's rules by id.
type requirement struct {
	name  string
	slug  string
	appID int64
}

// maxRequired bounds how many checks a policy may require.
const maxRequired = 100

func (r *reader) checks(n ast.Node) *checksRule {
	c := &checksRule{}
	entries, _ := r.mapping(n, "checks", checksKeys, false)
	for _, e := range entries {
		switch e.key {
		case "none-expected":
			c.noneExpected = r.truth(e.value, e.key)
		case "required":
			c.required = r.required(e)
		}
	}
	return c
}

func (r *reader) required(e entry) []requirement {
	items := r.items(e, "required", maxRequired)
	var out []requirement
	for _, item := range items {
		var q requirement
		if isMapping(item) {
			keys, ok := r.mapping(item, "A required check", requiredKeys, false)
			if !ok {
				continue
			}
			for _, k := range keys {
				s, ok := r.text(k.value, k.key)
				switch {
				case !ok:
				case strings.TrimSpace(s.text) == "":
					r.say(s.at, "Fill it in, or drop it.", "%s is empty here.", k.key)
				case k.key == "name":
					q.name = s.text
				default:
					q.slug = strings.ToLower(s.text)
				}
			}
			if !slices.ContainsFunc(keys, func(k entry) bool { return k.key == "name" }) {
				r.say(r.pos(item), `For example, "{ name: build, app: github-actions }".`, "A required check needs the key name.")
			}
		} else if s, ok := r.text(item, "required"); ok {
			if q.name = s.text; strings.TrimSpace(q.name) == "" {
				r.say(s.at, "Fill it in, or drop it.", "required is empty here.")
			}
		}
		out = append(out, q)
	}
	return out
}

// items returns the entries of a list, or the one value that stands for a list of one.
func (r *reader) items(e entry, what string, most int) []ast.Node {
	items := []ast.Node{e.value}
	if seq, ok := e.value.(*ast.SequenceNode); ok {
		if items = seq.Values; len(items) == 0 {
			r.say(r.pos(e.value), "Name at least one, or drop the key.", "%s is an empty list.", what)
		}
	}
	if len(items) > most {
		r.say(r.pos(e.value), "", "%s has %d entries; at most %d are possible.", what, len(items), most)
		return nil
	}
	return items
}

func isMapping(n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// neverStarted is how long a check that has to pass may be absent before it is taken for one that does not come by itself:
// what is triggered by a push starts within a minute, and what another check triggers after that check's start.
const neverStarted = 5 * time.Minute

// quietSince is when something last happened to the head that checks follow from: it was pushed, or one of them started.
func (f *facts) quietSince() time.Time {
	at := f.s.UpdatedAt // it is not older than the push
	for _, h := range f.heads {
		if h.SHA == f.s.Head.SHA {
			at = h.At
		}
	}
	for _, c := range f.s.Checks {
		if c.StartedAt.After(at) {
			at = c.StartedAt
		}
	}
	return at.UTC().Truncate(time.Second)
}

// requirements are the checks that have to pass by the policy, and those that have to by GitHub's rules where these are known.
func (f *facts) requirements() []requirement {
	var out []requirement
	if f.p.checks != nil {
		out = slices.Clone(f.p.checks.required)
	}
	if f.s.Known.Rules != nil {
		for _, c := range f.s.Known.Rules.Checks {
			if !ourReport(c.Name) {
				out = append(out, requirement{name: c.Name, appID: c.AppID})
			}
		}
	}
	return out
}

// ourReport tells whether a check is one of the service's own.
func ourReport(name string) bool { return name == pull.ReportName || name == pull.ApprovalsName }

// meets tells whether a check is the one that is asked for. A commit status names no App; that GitHub counts it as required
// says that it comes from the right one.
func (q requirement) meets(c pull.Check) bool {
	switch {
	case c.Name != q.name:
		return false
	case q.slug != "":
		return strings.EqualFold(q.slug, c.App)
	case q.appID != 0:
		return c.AppID == q.appID || (c.AppID == 0 && c.Required)
	}
	return true
}

// state is where a required check is: "" while it has not started. With several workflows of one name, all count.
func (q requirement) state(latest []pull.Check) pull.CheckState {
	state := pull.CheckState("")
	for _, c := range latest {
		switch {
		case !q.meets(c):
		case c.State == pull.CheckFailed || state == pull.CheckFailed:
			state = pull.CheckFailed
		case c.State == pull.CheckPending || state == pull.CheckPending:
			state = pull.CheckPending
		default:
			state = c.State
		}
	}
	return state
}

// green: at least one check has reported, all have passed, and those that have to report have.
func (f *facts) green() bool {
	for _, c := range f.latest {
		if c.State != pull.CheckPassed {
			return false
		}
	}
	// Where GitHub holds the pull request back although all that has reported has passed, what it waits for may be a check:
	// one that never started, or one whose name somebody else has used.
	if f.s.Blocked || len(f.latest) == 0 && f.late() {
		f.need(pull.Need{Kind: pull.NeedRules})
	}
	wanted := f.requirements()
	for _, q := range wanted {
		if q.state(f.latest) != pull.CheckPassed {
			return false
		}
	}
	return len(f.latest) > 0 || len(wanted) == 0 && f.p.checks != nil && f.p.checks.noneExpected
}

// late reports whether a check that has not started by now does not come by itself.
func (f *facts) late() bool { return !f.now.Before(f.quietSince().Add(neverStarted)) }

// notGreen says what is missing before checks.green holds.
func (f *facts) notGreen() []Reason {
	failed, pending := f.worded(pull.CheckFailed), f.checks(pull.CheckPending)
	var out []Reason
	if len(failed) > 0 {
		out = append(out, Reason{Code: ChecksFailed, Names: failed, SHA: f.s.Head.SHA, Who: who(f.s.Author)})
	}
	if len(pending) > 0 {
		out = append(out, Reason{Code: ChecksPending, Names: pending, SHA: f.s.Head.SHA})
	}
	out = append(out, f.absent()...)
	if out == nil {
		out = append(out, Reason{Code: ChecksMissing, SHA: f.s.Head.SHA})
	}
	return out
}

// absent names the checks that have to pass and have not started.
func (f *facts) absent() []Reason {
	var awaited, never, out []Reason
	since := f.quietSince()
	seen := map[string]bool{}
	for _, q := range f.requirements() {
		if q.state(f.latest) != "" || seen[q.name] {
			continue
		}
		seen[q.name] = true
		r := Reason{Code: CheckAwaited, Names: []string{q.name}, By: f.app(q), SHA: f.s.Head.SHA}
		if i := slices.IndexFunc(f.latest, func(c pull.Check) bool { return c.Name == q.name }); i >= 0 {
			r.Code, r.Value, r.Who = CheckForged, or(f.latest[i].App, "a commit status"), []string{WhoAdmin}
			out = append(out, r)
			continue
		}
		if f.late() {
			r.Code, r.Until, r.Who = CheckNotStarted, since, append(who(f.s.Author), WhoAdmin)
			if f.s.Fork {
				r.Who = []string{WhoWriter} // GitHub asks them before it runs the workflows of a newcomer
			}
			never = append(never, r)
			continue
		}
		awaited = append(awaited, r)
	}
	return slices.Concat(out, together(never), together(awaited))
}

// together makes one reason of several that differ in the name of the check only.
func together(list []Reason) []Reason {
	var out []Reason
	for _, r := range list {
		if i := slices.IndexFunc(out, func(o Reason) bool { return o.By == r.By }); i >= 0 {
			out[i].Names = append(out[i].Names, r.Names...)
			continue
		}
		out = append(out, r)
	}
	return out
}

// gitHubActions is the id of the App that GitHub's own workflows report as; it is the same everywhere on github.com.
const gitHubActions = 15368

// app names the App that has to report a check; "" where any may.
func (f *facts) app(q requirement) string {
	switch {
	case q.slug != "":
		return q.slug
	case q.appID == 0:
		return ""
	}
	for _, c := range f.s.Checks {
		if c.AppID == q.appID && c.App != "" {
			return c.App
		}
	}
	if q.appID == gitHubActions {
		return "github-actions"
	}
	return fmt.Sprintf("the App with the id %d", q.appID)
}

// worded returns the names of the checks in one state, with GitHub's word where it says more than the state.
func (f *facts) worded(state pull.CheckState) []string {
	names := f.checks(state)
	for i, name := range names {
		for _, c := range f.latest {
			if c.Name != name || c.State != state {
				continue
			}
			switch c.Detail {
			case "cancelled", "stale", "timed_out", "startup_failure", "action_required", "skipped", "neutral":
				names[i] = name + " (" + details[c.Detail] + ")"
			}
		}
	}
	return names
}

// details say GitHub's words for how a check ended.
var details = map[string]string{
	"cancelled":       "cancelled",
	"stale":           "given up by GitHub after two weeks without an end",
	"timed_out":       "timed out",
	"startup_failure": "its workflow did not start",
	"action_required": "waits for somebody to act on it",
	"skipped":         "skipped",
	"neutral":         "neutral",
}

// leftOpen names the checks that pass without having said that all is well.
func (f *facts) leftOpen() []string {
	var out []string
	for _, c := range f.latest {
		if c.Detail == "skipped" || c.Detail == "neutral" {
			out = append(out, c.Name+" ("+details[c.Detail]+")")
		}
	}
	return distinct(out)
}

// Codes of reasons about checks that have to pass.
const (
	CheckAwaited    Code = "check_awaited"     // Names: not started yet; By: the App that has to report them
	CheckNotStarted Code = "check_not_started" // Names, By; Until: since when nothing has happened
	CheckForged     Code = "check_forged"      // Names: reported by another than has to; By: who has to; Value: who did
)

var checkCodes = []Code{CheckAwaited, CheckNotStarted, CheckForged}
