package github

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	gh "github.com/google/go-github/v92/github"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// bodyLimit is how much GitHub keeps of a comment or a review.
const bodyLimit = 65535

// update changes one thing of the pull request itself.
func (w write) update(field, value string) *pull.Fault {
	return w.send("pull.update", http.MethodPatch, w.path("pulls", strconv.Itoa(w.s.Number)), map[string]string{field: value}, nil)
}

func (w write) retitle() *pull.Fault {
	if strings.TrimSpace(w.a.Title) == "" {
		return w.refuse("a title has to say something")
	}
	return w.update("title", w.a.Title)
}

func (w write) close() *pull.Fault  { return w.update("state", "closed") }
func (w write) reopen() *pull.Fault { return w.update("state", "open") }

// markReady ends a draft; there is no way to do it over REST. One that is none is what was wanted.
func (w write) markReady() *pull.Fault {
	f := w.mutate(readyMutation, subject{Pull: w.s.NodeID})
	if f != nil && f.Class == pull.FaultRefused && strings.Contains(strings.ToLower(f.Message), "not a draft") {
		return nil
	}
	return f
}

func (w write) markDraft() *pull.Fault {
	f := w.mutate(draftMutation, subject{Pull: w.s.NodeID})
	if f != nil && f.Class == pull.FaultRefused && strings.Contains(strings.ToLower(f.Message), "already a draft") {
		return nil
	}
	return f
}

// comment writes into the conversation.
func (w write) comment() (int64, *pull.Fault) {
	if strings.TrimSpace(w.a.Body) == "" {
		return 0, w.refuse("it says nothing")
	}
	var got gh.IssueComment
	f := w.send("comment.create", http.MethodPost, w.path("issues", strconv.Itoa(w.s.Number), "comments"), map[string]string{"body": fit(w.a.Body)}, &got)
	return got.GetID(), f
}

// dropComment deletes a comment of ours; one that is gone is what was wanted.
func (w write) dropComment() *pull.Fault {
	f := w.send("comment.delete", http.MethodDelete, w.path("issues", "comments", w.a.Target), nil, nil)
	if f != nil && f.Status == http.StatusNotFound {
		return nil
	}
	return f
}

// fit keeps of a body what GitHub takes, and its last line: that is the marker by which it is found again.
func fit(body string) string {
	if len(body) <= bodyLimit {
		return body
	}
	text, marker := body, ""
	if i := strings.LastIndexByte(strings.TrimRight(body, "\n"), '\n'); i >= 0 && len(body)-i <= bodyLimit/2 {
		text, marker = body[:i], body[i:]
	}
	return cut(text, bodyLimit-len(marker)) + marker
}

// contents are GitHub's names for reactions, by those of its REST API.
var contents = map[string]string{
	"+1": "THUMBS_UP", "-1": "THUMBS_DOWN", "laugh": "LAUGH", "hooray": "HOORAY", "confused": "CONFUSED", "heart": "HEART",
	"rocket": "ROCKET", "eyes": "EYES",
}

// react leaves a reaction, on whatever can have one; over REST the body of a review can't. Leaving it again changes nothing.
func (w write) react() *pull.Fault {
	_, name, _ := cutLast(w.a.Target, ":")
	content := contents[name]
	if content == "" || w.a.Node == "" {
		return w.refuse("there is no such reaction, or nothing to leave it on")
	}
	return w.mutate(reactMutation, subject{Subject: w.a.Node, Content: content})
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// actionsApp is the App by which GitHub's own workflows report.
const actionsApp = "github-actions"

// rerun has what failed in a check suite run again. The target begins with the suite's id. GitHub asks the App of a suite to
// begin anew, but does not take that for its own workflows: of those the failed jobs are started again.
func (w write) rerun() *pull.Fault {
	suite, _, _ := strings.Cut(w.a.Target, ":")
	id, err := strconv.ParseInt(suite, 10, 64)
	if err != nil || id <= 0 {
		return w.refuse("it has to name the suite of the checks")
	}
	app := ""
	for _, c := range w.s.Checks {
		if c.Suite == id {
			app = c.App
		}
	}
	if app != actionsApp {
		return w.running(w.send("checks.rerequest", http.MethodPost, w.path("check-suites", suite, "rerequest"), nil, nil))
	}
	var runs gh.WorkflowRuns
	address := w.path("actions", "runs") + "?" + url.Values{"check_suite_id": {suite}, "per_page": {"10"}}.Encode()
	if f := w.read("workflow.runs", address, &runs); f != nil {
		return f
	}
	if len(runs.WorkflowRuns) == 0 {
		return w.refuse(fmt.Sprintf("GitHub knows no workflow run of the suite %d any more", id))
	}
	for _, run := range runs.WorkflowRuns {
		f := w.send("workflow.rerun", http.MethodPost, w.path("actions", "runs", strconv.FormatInt(run.GetID(), 10), "rerun-failed-jobs"), nil, nil)
		if f = w.running(f); f != nil {
			return f
		}
	}
	return nil
}

// running takes it for done that what should run again is running already.
func (w write) running(f *pull.Fault) *pull.Fault {
	if f != nil && f.Status == http.StatusForbidden && strings.Contains(strings.ToLower(f.Message), "already running") {
		return nil
	}
	return f
}
