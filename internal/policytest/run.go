package policytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A Result is what became of a case.
type Result struct {
	Name     string          `json:"name"`
	Pos      policy.Pos      `json:"pos"`
	Holds    bool            `json:"holds"`
	Failures policy.Problems `json:"failures,omitempty"` // what came out otherwise, and where that was expected
	Verdict  policy.Verdict  `json:"verdict"`
}

// rounds is how often a decision may ask for more, and looks how often a pull request is looked at until nothing follows from
// a look any more.
const (
	rounds = 10
	looks  = 6
)

// Run decides every case by a policy, as the service would, and compares.
func (s *Suite) Run(e policy.Effective) []Result {
	out := make([]Result, len(s.Cases))
	for i, c := range s.Cases {
		out[i] = c.run(e)
	}
	return out
}

// run looks at the pull request as the service would: what a look calls for is done, and looked at again, since one thing
// follows from another (a label lets it be merged). It ends with a merge, or when nothing follows any more.
func (c Case) run(e policy.Effective) Result {
	w := build(c)
	d := w.decide(e)
	done := slices.Concat(d.Verdict.Actions, d.Verdict.Would)
	for n := 1; n < looks && len(d.Actions) > 0 && !ends(d.Actions); n++ {
		w.apply(d)
		d = w.decide(e)
		done = append(done, d.Actions...)
	}
	for _, need := range d.Needs { // unreachable unless learn knows less than decisions ask for; a test holds that it does not
		w.bad = append(w.bad, policy.Problem{Pos: c.Pos, Message: fmt.Sprintf("The decision needs to know %s %s, which no case can give.", need.Kind, need.Name)})
	}
	r := Result{Name: c.Name, Pos: c.Pos, Verdict: d.Verdict, Failures: w.bad}
	if len(w.bad) == 0 {
		r.Failures = c.expect.compare(w, d, done)
	}
	r.Holds = len(r.Failures) == 0
	return r
}

// decide decides about the pull request as it is, and answers what has to be looked up for that.
func (w *world) decide(e policy.Effective) policy.Decision {
	d := e.Evaluate(w.s, w.m, w.at)
	for n := 0; len(d.Needs) > 0 && n < rounds; n++ {
		for _, need := range d.Needs {
			w.learn(need)
		}
		d = e.Evaluate(w.s, w.m, w.at)
	}
	return d
}

// ends reports whether nothing follows from a look that the case could show: the head or the state is another one then.
func ends(actions []pull.Action) bool {
	return slices.ContainsFunc(actions, func(a pull.Action) bool {
		switch a.Kind {
		case pull.Merge, pull.Enqueue, pull.UpdateBranch, pull.Close, pull.Reopen, pull.DeleteBranch, pull.Retarget:
			return true
		}
		return false
	})
}

// compare says what is otherwise than expected.
func (e expectation) compare(w *world, d policy.Decision, actions []pull.Action) (bad policy.Problems) {
	v := d.Verdict
	say := func(key, format string, args ...any) {
		bad = append(bad, policy.Problem{Pos: e.at[key], Message: fmt.Sprintf(format, args...)})
	}
	if e.State != "" && e.State != string(v.State) {
		say("state", "The state is %s, not %s.", v.State, e.State)
	}
	sentence := notice.Sentence(v)
	for _, part := range e.Sentence {
		if !strings.Contains(strings.ToLower(sentence), strings.ToLower(part)) {
			say("sentence", "The sentence is %q, without %q.", sentence, part)
		}
	}
	last := slices.Concat(v.Actions, v.Would)
	e.among("reasons", e.Reasons, codesOf(v), say)
	e.among("labels", e.Labels, labelsAfter(w.s, last), say)
	e.among("reviewers", e.Reviewers, w.withTeams(reviewersAfter(w.s, last)), say)
	if e.Merge != "" {
		if got := mergeOf(actions); got != string(e.Merge) && (e.Merge != "true" || got == "false") {
			say("merge", "merge is %s, not %s.", got, e.Merge)
		}
	}
	for _, part := range e.Message {
		text, no := strings.CutPrefix(part, "!")
		if message := messageOf(actions); strings.Contains(message, text) == no {
			say("message", "The message of the merge is %q, %s %q.", message, map[bool]string{true: "with", false: "without"}[no], text)
		}
	}
	var done []string
	for _, a := range actions {
		done = append(done, string(a.Kind), string(a.Kind)+" "+a.Target)
	}
	e.among("actions", e.Actions, done, say)
	for name, want := range e.Rules {
		var got []string
		for _, r := range v.Rules {
			if strings.EqualFold(r.Name, name) || r.Section == name && r.Name == "" {
				got = append(got, string(r.Outcome))
			}
		}
		switch {
		case len(got) == 0:
			say("rules", "There is no rule %q that came to anything.", name)
		case !slices.Contains(got, want):
			say("rules", "The rule %q came to %s, not %s.", name, strings.Join(got, " and "), want)
		}
	}
	slices.SortStableFunc(bad, func(a, b policy.Problem) int { return strings.Compare(a.Message, b.Message) })
	return bad.Tidy()
}

// among compares a list with what there is.
func (e expectation) among(key string, want, have []string, say func(key, format string, args ...any)) {
	for _, w := range want {
		name, no := strings.CutPrefix(w, "!")
		has := slices.ContainsFunc(have, func(h string) bool {
			return strings.EqualFold(strings.TrimPrefix(h, "@"), strings.TrimPrefix(name, "@"))
		})
		there := "none"
		if len(have) > 0 {
			there = strings.Join(have, ", ")
		}
		switch {
		case no && has:
			say(key, "%q is among the %s (%s), and should not be.", name, key, there)
		case !no && !has:
			say(key, "%q is not among the %s: %s.", name, key, there)
		}
	}
}

// codesOf returns the codes of all reasons that a verdict gives, each once.
func codesOf(v policy.Verdict) []string {
	var out []string
	var visit func([]policy.Reason)
	visit = func(rs []policy.Reason) {
		for _, r := range rs {
			if !slices.Contains(out, string(r.Code)) {
				out = append(out, string(r.Code))
			}
			visit(r.Any)
		}
	}
	visit(v.Reasons)
	for _, r := range v.Rules {
		visit(r.Why)
	}
	return out
}

func labelsAfter(s pull.Snapshot, actions []pull.Action) []string {
	var out []string
	for _, l := range s.Labels {
		gone := slices.ContainsFunc(actions, func(a pull.Action) bool {
			return a.Kind == pull.RemoveLabel && strings.EqualFold(a.Target, l.Name)
		})
		if l.Present && !gone {
			out = append(out, l.Name)
		}
	}
	return append(out, targets(actions, pull.AddLabel)...)
}

func reviewersAfter(s pull.Snapshot, actions []pull.Action) []string {
	var out []string
	gone := targets(actions, pull.UnaskReview)
	for _, r := range s.ReviewRequests {
		name := r.Team
		if name == "" {
			name = r.Who.Login
		}
		if !slices.ContainsFunc(gone, func(g string) bool { return strings.EqualFold(g, name) }) {
			out = append(out, name)
		}
	}
	return append(out, targets(actions, pull.AskReview)...)
}

func targets(actions []pull.Action, kind pull.ActionKind) []string {
	var out []string
	for _, a := range actions {
		if a.Kind == kind {
			out = append(out, a.Target)
		}
	}
	return out
}

// messageOf is the message with which it is merged, as far as the policy makes it.
func messageOf(actions []pull.Action) string {
	for _, a := range actions {
		if a.Kind == pull.Merge {
			return strings.TrimSpace(a.Title + "\n\n" + a.Body)
		}
	}
	return ""
}

// mergeOf is the method with which it is merged; true for GitHub's queue, false for not at all.
func mergeOf(actions []pull.Action) string {
	for _, a := range actions {
		switch a.Kind {
		case pull.Merge:
			return string(a.Method)
		case pull.Enqueue:
			return "true"
		}
	}
	return "false"
}
