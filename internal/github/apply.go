package github

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	gh "github.com/google/go-github/v92/github"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// outputLimit is how much GitHub keeps of a check run's summary.
const outputLimit = 65535

// titleLimit keeps a check run's title on one line of GitHub's page.
const titleLimit = 255

// Apply does one thing on GitHub that a snapshot of it was decided on, and returns GitHub's id for the result where it
// has one. Doing what is done already is a success. Its error is a *[pull.Fault]; unclear is the only class after
// which the thing may have happened.
func (c *Client) Apply(ctx context.Context, scope pull.Scope, s pull.Snapshot, a pull.Action) (int64, error) {
	w := write{c: c, ctx: ctx, scope: scope, s: s, a: a}
	w.on = w.name()
	if a.Command != "" || slices.Contains([]pull.ActionKind{pull.Merge, pull.Enqueue, pull.DeleteBranch}, a.Kind) {
		w.ctx = c.Lane(ctx, pull.Urgent)
	}
	do, known := writes[a.Kind]
	if !known {
		return 0, w.refuse("there is no such action")
	}
	id, f := do(w)
	if f != nil {
		return 0, f
	}
	return id, nil
}

// writes are how each kind of action is carried out. What has no id at GitHub returns 0.
var writes = map[pull.ActionKind]func(write) (int64, *pull.Fault){
	pull.AddLabel:     write.addLabel,
	pull.RemoveLabel:  noID(write.removeLabel),
	pull.AskReview:    noID(write.askReview),
	pull.UnaskReview:  noID(write.unaskReview),
	pull.Assign:       noID(write.assign),
	pull.Unassign:     noID(write.unassign),
	pull.Retitle:      noID(write.retitle),
	pull.MarkReady:    noID(write.markReady),
	pull.MarkDraft:    noID(write.markDraft),
	pull.Approve:      write.approve,
	pull.Unapprove:    noID(write.unapprove),
	pull.SetReport:    write.report,
	pull.Rerun:        noID(write.rerun),
	pull.UpdateBranch: noID(write.updateBranch),
	pull.Enqueue:      noID(write.enqueue),
	pull.Dequeue:      noID(write.dequeue),
	pull.Merge:        noID(write.merge),
	pull.Close:        noID(write.close),
	pull.Reopen:       noID(write.reopen),
	pull.Retarget:     noID(write.retarget),
	pull.DeleteBranch: noID(write.deleteBranch),
	pull.WriteComment: write.comment,
	pull.DropComment:  noID(write.dropComment),
	pull.React:        noID(write.react),
}

func noID(f func(write) *pull.Fault) func(write) (int64, *pull.Fault) {
	return func(w write) (int64, *pull.Fault) { return 0, f(w) }
}

// name says what is done to what, for people.
func (w write) name() string {
	where := fmt.Sprintf("%s#%d", w.s.Repo.FullName(), w.s.Number)
	switch w.a.Kind {
	case pull.SetReport:
		return fmt.Sprintf("report on %s at %s", where, w.a.SHA.Short())
	case pull.Merge, pull.UpdateBranch, pull.Enqueue, pull.Approve:
		return fmt.Sprintf("%s %s at %s", w.a.Kind, where, w.a.SHA.Short())
	case pull.DeleteBranch:
		return fmt.Sprintf("delete the branch %s of %s", w.a.Target, w.s.Repo.FullName())
	case pull.AddLabel, pull.RemoveLabel, pull.AskReview, pull.UnaskReview, pull.Assign, pull.Unassign:
		return fmt.Sprintf("%s %s on %s", w.a.Kind, w.a.Target, where)
	case pull.Retarget:
		return fmt.Sprintf("%s of %s#%s", w.a.Kind, w.s.Repo.FullName(), w.a.Target)
	}
	return fmt.Sprintf("%s on %s", w.a.Kind, where)
}

// A write is one action being carried out.
type write struct {
	c     *Client
	ctx   context.Context
	scope pull.Scope
	s     pull.Snapshot
	a     pull.Action
	on    string
}

func (w write) refuse(why string) *pull.Fault {
	return &pull.Fault{Class: pull.FaultRefused, Op: w.on, Message: why}
}

func (w write) path(parts ...string) string {
	return w.c.path(append([]string{"repos", w.s.Repo.Owner, w.s.Repo.Name}, parts...)...)
}

func (w write) read(op, address string, into any) *pull.Fault {
	return w.c.do(w.ctx, w.scope, call{op: op, on: w.on, method: http.MethodGet, url: address, accept: reading(into)})
}

// send writes. A 404 on a write is about the whole repository or pull request; as GitHub hides what credentials may
// not see, it mostly means a missing permission, so it is a refusal, unless the caller knows better.
func (w write) send(op, method, address string, body, into any) *pull.Fault {
	q := call{op: op, on: w.on, method: method, url: address, write: true, content: method != http.MethodDelete}
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return w.refuse("it can't be written as JSON")
		}
		q.body = text
	}
	if q.accept = anAnswer; into != nil {
		q.accept = reading(into)
	}
	f := w.c.do(w.ctx, w.scope, q)
	if f != nil && f.Class == pull.FaultGone && f.Status != 0 {
		f.Class = pull.FaultRefused
	}
	return f
}

// addLabel adds one label and leaves the others alone. GitHub makes a label that the repository does not have, but grey and
// without a word, so one that should look like something is made first.
func (w write) addLabel() (int64, *pull.Fault) {
	if (w.a.Color != "" || w.a.Description != "") && !dots(w.a.Target) {
		if f := w.makeLabel(); f != nil {
			return 0, f
		}
	}
	var now []gh.Label
	f := w.send("label.add", http.MethodPost, w.path("issues", strconv.Itoa(w.s.Number), "labels"),
		map[string][]string{"labels": {w.a.Target}}, &now)
	for _, l := range now {
		if strings.EqualFold(l.GetName(), w.a.Target) {
			return l.GetID(), f
		}
	}
	return 0, f
}

// makeLabel makes the label if the repository lacks it. How one looks that is there is its people's business.
func (w write) makeLabel() *pull.Fault {
	var have gh.Label
	f := w.read("label.get", w.path("labels", w.a.Target), &have)
	if f == nil || f.Status != http.StatusNotFound {
		return f
	}
	f = w.send("label.create", http.MethodPost, w.path("labels"), struct {
		Name        string `json:"name"`
		Color       string `json:"color,omitempty"`
		Description string `json:"description,omitempty"`
	}{w.a.Target, strings.TrimPrefix(w.a.Color, "#"), w.a.Description}, nil)
	if f != nil && f.Status == http.StatusUnprocessableEntity && strings.Contains(f.Message, "already_exists") {
		return nil // somebody was faster
	}
	return f
}

// dots reports whether a name can't stand in an address: what such an address leads to depends on who stands in between,
// and one reading of it is about every label.
func dots(name string) bool { return name == "." || name == ".." }

// removeLabel takes one label off. GitHub says of a label that is not there "Label does not exist"; any other 404 is
// about the pull request, or a permission.
func (w write) removeLabel() *pull.Fault {
	if dots(w.a.Target) {
		return w.refuse("a label of that name has no address of its own")
	}
	f := w.send("label.remove", http.MethodDelete, w.path("issues", strconv.Itoa(w.s.Number), "labels", w.a.Target), nil, nil)
	if f != nil && f.Status == http.StatusNotFound && strings.Contains(strings.ToLower(f.Message), "label does not exist") {
		return nil
	}
	return f
}

// report says what the service thinks: a check run as an App, which alone may make one, a commit status otherwise.
func (w write) report() (int64, *pull.Fault) {
	r := w.a.Report
	if r == nil || r.SHA == "" {
		return 0, w.refuse("it says nothing")
	}
	if w.scope.Installation() == 0 {
		return w.status(*r)
	}
	return w.checkRun(*r)
}

// nameOf is what a report is called on GitHub: the main one's name, or its own.
func nameOf(r pull.Report) string { return cmp.Or(r.Name, pull.ReportName) }

func (w write) status(r pull.Report) (int64, *pull.Fault) {
	state := map[pull.ReportState]string{pull.ReportGood: "success", pull.ReportBad: "failure"}[r.State]
	if state == "" {
		state = "pending"
	}
	var got gh.RepoStatus
	f := w.send("status.create", http.MethodPost, w.path("statuses", string(r.SHA)), gh.RepoStatus{
		State: &state, Context: new(nameOf(r)), Description: new(pull.StatusText(r.Title)), TargetURL: optional(r.URL),
	}, &got)
	return got.GetID(), f
}

func (w write) checkRun(r pull.Report) (int64, *pull.Fault) {
	title, summary := cut(r.Title, titleLimit), cut(r.Summary, outputLimit)
	if summary == "" {
		summary = title // GitHub wants both
	}
	run := gh.CreateCheckRunOptions{
		Name: nameOf(r), HeadSHA: string(r.SHA), DetailsURL: optional(r.URL), ExternalID: optional(r.Digest),
		Output: &gh.CheckRunOutput{Title: &title, Summary: &summary},
	}
	switch r.State {
	case pull.ReportGood:
		run.Status, run.Conclusion = new("completed"), new("success")
	case pull.ReportBad:
		run.Status, run.Conclusion = new("completed"), new("failure")
	default:
		run.Status = new("in_progress")
	}
	var got gh.CheckRun
	if r.ID == 0 {
		f := w.send("check.create", http.MethodPost, w.path("check-runs"), run, &got)
		return got.GetID(), f
	}
	f := w.send("check.update", http.MethodPatch, w.path("check-runs", strconv.FormatInt(r.ID, 10)), gh.UpdateCheckRunOptions{
		Name: run.Name, DetailsURL: run.DetailsURL, ExternalID: run.ExternalID, Status: run.Status, Conclusion: run.Conclusion, Output: run.Output,
	}, &got)
	return got.GetID(), f
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// cut keeps at most n bytes of s, in whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
