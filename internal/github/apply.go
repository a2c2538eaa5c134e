package github

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
	w.on = fmt.Sprintf("%s %s on %s#%d", a.Kind, a.Target, s.Repo.FullName(), s.Number)
	var id int64
	var f *pull.Fault
	switch a.Kind {
	case pull.AddLabel:
		id, f = w.addLabel()
	case pull.RemoveLabel:
		f = w.removeLabel()
	case pull.SetReport:
		w.on = fmt.Sprintf("report on %s#%d at %s", s.Repo.FullName(), s.Number, a.SHA.Short())
		id, f = w.report()
	case pull.Merge:
		w.on = fmt.Sprintf("merge %s#%d at %s", s.Repo.FullName(), s.Number, a.SHA.Short())
		w.ctx = c.Lane(ctx, pull.Urgent)
		f = w.merge()
	case pull.DeleteBranch:
		w.on = fmt.Sprintf("delete the branch %s of %s", a.Target, s.Repo.FullName())
		w.ctx = c.Lane(ctx, pull.Urgent)
		f = w.deleteBranch()
	default:
		f = w.refuse("there is no such action")
	}
	if f != nil {
		return 0, f
	}
	return id, nil
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

// addLabel adds one label and leaves the others alone. GitHub makes a label that the repository does not have.
func (w write) addLabel() (int64, *pull.Fault) {
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

// removeLabel takes one label off. GitHub says of a label that is not there "Label does not exist"; any other 404 is
// about the pull request, or a permission.
func (w write) removeLabel() *pull.Fault {
	if w.a.Target == "." || w.a.Target == ".." {
		// What such an address leads to depends on who stands in between; one reading of it takes every label off.
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

func (w write) status(r pull.Report) (int64, *pull.Fault) {
	state := map[pull.ReportState]string{pull.ReportGood: "success", pull.ReportBad: "failure"}[r.State]
	if state == "" {
		state = "pending"
	}
	var got gh.RepoStatus
	f := w.send("status.create", http.MethodPost, w.path("statuses", string(r.SHA)), gh.RepoStatus{
		State: &state, Context: new(pull.ReportName), Description: new(pull.StatusText(r.Title)), TargetURL: optional(r.URL),
	}, &got)
	return got.GetID(), f
}

func (w write) checkRun(r pull.Report) (int64, *pull.Fault) {
	title, summary := cut(r.Title, titleLimit), cut(r.Summary, outputLimit)
	if summary == "" {
		summary = title // GitHub wants both
	}
	run := gh.CreateCheckRunOptions{
		Name: pull.ReportName, HeadSHA: string(r.SHA), DetailsURL: optional(r.URL), ExternalID: optional(r.Digest),
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

// merge merges the very commit that was decided on.
func (w write) merge() *pull.Fault {
	if w.a.SHA == "" {
		return w.refuse("a merge has to name the commit that it is about")
	}
	var got gh.PullRequestMergeResult
	f := w.send("merge", http.MethodPut, w.path("pulls", strconv.Itoa(w.s.Number), "merge"), struct {
		SHA    pull.SHA         `json:"sha"`
		Method pull.MergeMethod `json:"merge_method,omitempty"`
	}{w.a.SHA, w.a.Method}, &got)
	switch {
	case f == nil && !got.GetMerged():
		return &pull.Fault{Class: pull.FaultUnclear, Op: w.on, Status: http.StatusOK, Message: "GitHub did not say that it is merged"}
	case f != nil && (f.Status == http.StatusMethodNotAllowed || f.Status == http.StatusConflict):
		f.Class = mergeRefusal(f.Status, f.Message)
	}
	return f
}

// mergeRefusal tells apart what GitHub says with 405 and 409; there are only sentences to go by.
//
// Only what a change of settings alone can turn is refused. Everything else (the base moved, mergeability is being
// computed, a check or a review that GitHub requires is missing) passes: by itself or by what other people do, and
// that must not find the merge put off for hours. A 409 means that the head is not the commit we named.
func mergeRefusal(status int, message string) pull.FaultClass {
	m := strings.ToLower(message)
	switch {
	case strings.Contains(m, "base branch was modified"):
		return pull.FaultPassing
	case status == http.StatusConflict:
		return pull.FaultMoved
	case strings.Contains(m, "not authorized"), strings.Contains(m, "are not allowed on this repository"), strings.Contains(m, "merge queue"):
		return pull.FaultRefused
	}
	return pull.FaultPassing
}

// deleteBranch deletes the head branch of a merged pull request, if it still is what was merged and nothing else needs
// it. GitHub takes no precondition with it, so between looking and deleting there is a moment; the reads are its very
// last steps to keep that short.
func (w write) deleteBranch() *pull.Fault {
	switch {
	case w.a.Target == "" || w.a.SHA == "":
		return w.refuse("a deletion has to name the branch and where it is")
	case w.s.Fork || w.s.Head.Repo.ID != w.s.Repo.ID:
		return w.refuse("the branch belongs to another repository")
	case w.a.Target == w.s.DefaultBranch:
		return w.refuse("it is the default branch")
	}
	heads := append([]string{"heads"}, strings.Split(w.a.Target, "/")...) // the slashes of a branch stay slashes
	address := w.path("pulls") + "?" + url.Values{"state": {"open"}, "base": {w.a.Target}, "per_page": {"100"}}.Encode()
	if f := w.unneeded(address, "open pull requests go into it: %s", func(p *gh.PullRequest) bool {
		return p.GetBase().GetRef() == w.a.Target
	}); f != nil {
		return f
	}
	address = w.path("pulls") + "?" + url.Values{"state": {"open"}, "head": {w.s.Repo.Owner + ":" + w.a.Target}, "per_page": {"100"}}.Encode()
	if f := w.unneeded(address, "other open pull requests come from it: %s", func(p *gh.PullRequest) bool {
		return p.GetHead().GetRef() == w.a.Target && p.GetHead().GetRepo().GetID() == w.s.Repo.ID
	}); f != nil {
		return f
	}
	var ref gh.Reference
	f := w.read("ref.get", w.path(append([]string{"git", "ref"}, heads...)...), &ref)
	switch {
	case f != nil && f.Status == http.StatusNotFound:
		return nil
	case f != nil:
		return f
	case pull.SHA(ref.GetObject().GetSHA()) != w.a.SHA:
		return w.refuse("the branch has moved on since")
	}
	f = w.send("ref.delete", http.MethodDelete, w.path(append([]string{"git", "refs"}, heads...)...), nil, nil)
	if f != nil && (f.Status == http.StatusNotFound ||
		f.Status == http.StatusUnprocessableEntity && strings.Contains(strings.ToLower(f.Message), "reference does not exist")) {
		return nil
	}
	return f
}

// unneeded refuses if one of the listed pull requests, other than this one, needs the branch.
func (w write) unneeded(address, why string, needs func(*gh.PullRequest) bool) *pull.Fault {
	var list []*gh.PullRequest
	if f := w.read("pulls.list", address, &list); f != nil {
		return f
	}
	var who []string
	for _, p := range list {
		if p != nil && p.GetNumber() != w.s.Number && needs(p) {
			who = append(who, "#"+strconv.Itoa(p.GetNumber()))
		}
	}
	if len(who) > 0 {
		return w.refuse(fmt.Sprintf(why, strings.Join(who[:min(len(who), 5)], ", ")))
	}
	return nil
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
