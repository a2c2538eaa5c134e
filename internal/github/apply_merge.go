package github

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	gh "github.com/google/go-github/v92/github"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// merge merges the very commit that was decided on.
func (w write) merge() *pull.Fault {
	if w.a.SHA == "" {
		return w.refuse("a merge has to name the commit that it is about")
	}
	if w.a.Method == pull.FastForward {
		return w.fastForward()
	}
	body := struct {
		SHA     pull.SHA         `json:"sha"`
		Method  pull.MergeMethod `json:"merge_method,omitempty"`
		Title   string           `json:"commit_title,omitempty"`
		Message *string          `json:"commit_message,omitempty"`
	}{SHA: w.a.SHA, Method: w.a.Method, Title: w.a.Title}
	if w.a.Body != "" || w.a.Blank {
		body.Message = &w.a.Body // without it GitHub writes one
	}
	var got gh.PullRequestMergeResult
	f := w.send("merge", http.MethodPut, w.path("pulls", strconv.Itoa(w.s.Number), "merge"), body, &got)
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
// Only what a change of settings, of the method or of the head alone can turn is refused. Everything else (the base moved,
// mergeability is being computed, a check or a review that GitHub requires is missing) passes: by itself or by what other
// people do, and that must not find the merge put off for hours. A 409 means that the head is not the commit we named.
func mergeRefusal(status int, message string) pull.FaultClass {
	m := strings.ToLower(message)
	switch {
	case strings.Contains(m, "base branch was modified"):
		return pull.FaultPassing
	case status == http.StatusConflict:
		return pull.FaultMoved
	case slices.ContainsFunc(lastingRefusals, func(words string) bool { return strings.Contains(m, words) }):
		return pull.FaultRefused
	}
	return pull.FaultPassing
}

// lastingRefusals are words of GitHub's sentences about what time does not change, in small letters: "You're not authorized to
// push to this branch", "Squash merges are not allowed on this repository", "Merge method rebase merging is not allowed on this
// repository", "Repository rule violations found: Changes must be made through the merge queue", "Rebase merges cannot be
// automatically signed by GitHub", "This branch can't be rebased", "This branch must not contain merge commits", "Commits must
// have verified signatures", "Cannot change this locked branch" and "refusing to allow a GitHub App to create or update
// workflow … without `workflows` permission".
var lastingRefusals = []string{
	"not authorized", "not allowed on this repository", "not an allowed merge method", "merge queue", "cannot be automatically signed", "can't be rebased",
	"must not contain merge commits", "verified signatures", "locked branch", "refusing to allow",
}

// fastForward moves the base branch to the very commit that was decided on, if that contains it. GitHub then finds the pull
// request merged by itself. It takes no head as a precondition, so that is looked at last; a push in the moment between
// can't smuggle anything in, since the commit is named.
func (w write) fastForward() *pull.Fault {
	var now gh.PullRequest
	if f := w.read("pull.get", w.path("pulls", strconv.Itoa(w.s.Number)), &now); f != nil {
		return f
	}
	moved := ""
	switch {
	case now.GetState() != "open":
		moved = "it is not open any more"
	case pull.SHA(now.GetHead().GetSHA()) != w.a.SHA:
		moved = "the head branch was modified"
	case now.GetBase().GetRef() != w.s.Base.Name:
		moved = "it goes into another branch now"
	}
	if moved != "" {
		return &pull.Fault{Class: pull.FaultMoved, Op: w.on, Message: moved}
	}
	f := w.send("ref.update", http.MethodPatch, w.path(append([]string{"git", "refs", "heads"}, strings.Split(w.s.Base.Name, "/")...)...),
		struct {
			SHA   pull.SHA `json:"sha"`
			Force bool     `json:"force"`
		}{w.a.SHA, false}, nil)
	if f != nil && (f.Status == http.StatusUnprocessableEntity || f.Status == http.StatusConflict) {
		switch m := strings.ToLower(f.Message); {
		case strings.Contains(m, "not a fast forward"):
			f.Class = pull.FaultMoved
		case strings.Contains(m, "required status check"), strings.Contains(m, "review"):
			f.Class = pull.FaultPassing
		}
	}
	return f
}

// updateBranch brings the base's commits into the head, which must still be what was decided on: as a merge, or by
// replaying the head's commits on the base. GitHub does it after it has answered.
func (w write) updateBranch() *pull.Fault {
	if w.a.SHA == "" {
		return w.refuse("it has to name the commit that it is about")
	}
	var f *pull.Fault
	if w.a.Method == pull.Rebase {
		f = w.mutate(updateBranchMutation, subject{Pull: w.s.NodeID, Head: w.a.SHA})
	} else {
		f = w.send("branch.update", http.MethodPut, w.path("pulls", strconv.Itoa(w.s.Number), "update-branch"),
			map[string]pull.SHA{"expected_head_sha": w.a.SHA}, nil)
	}
	if f == nil || f.Class != pull.FaultRefused {
		return f
	}
	switch m := strings.ToLower(f.Message); {
	case headMoved(m):
		f.Class = pull.FaultMoved
	case strings.Contains(m, "no new commits on the base"), strings.Contains(m, "already up to date"), strings.Contains(m, "already up-to-date"):
		return nil
	}
	return f
}

// headMoved reports whether GitHub's words (in small letters) say that the head is not the commit that was named.
func headMoved(m string) bool {
	return strings.Contains(m, "expected head") || strings.Contains(m, "head branch was modified") || strings.Contains(m, "head sha") ||
		strings.Contains(m, "head oid")
}

// enqueue puts the pull request into GitHub's own merge queue, if its head is what was decided on.
func (w write) enqueue() *pull.Fault {
	if w.a.SHA == "" {
		return w.refuse("it has to name the commit that it is about")
	}
	f := w.mutate(enqueueMutation, subject{Pull: w.s.NodeID, Head: w.a.SHA})
	if f == nil || f.Class != pull.FaultRefused {
		return f
	}
	switch m := strings.ToLower(f.Message); {
	case strings.Contains(m, "already in the queue"), strings.Contains(m, "already queued"):
		return nil
	case headMoved(m):
		f.Class = pull.FaultMoved
	case strings.Contains(m, "not authorized"), strings.Contains(m, "not enabled"), strings.Contains(m, "permission"), strings.Contains(m, "not accessible"), strings.Contains(m, "could not resolve"):
	default:
		f.Class = pull.FaultPassing // as with a merge: a check or a review that is missing comes
	}
	return f
}

// dequeue takes the pull request out of GitHub's merge queue.
func (w write) dequeue() *pull.Fault {
	f := w.mutate(dequeueMutation, subject{Pull: w.s.NodeID})
	if f != nil && f.Class == pull.FaultRefused && (strings.Contains(strings.ToLower(f.Message), "not in the queue") || strings.Contains(strings.ToLower(f.Message), "not queued")) {
		return nil
	}
	return f
}

// retarget gives another pull request, which goes into this one's head branch, another base, so that the branch can go. If
// somebody has changed its base meanwhile, that stays.
func (w write) retarget() *pull.Fault {
	if w.a.Branch == "" {
		return w.refuse("it has to name the new base")
	}
	var now gh.PullRequest
	if f := w.read("pull.get", w.path("pulls", w.a.Target), &now); f != nil {
		return f
	}
	switch base := now.GetBase().GetRef(); {
	case base == w.a.Branch, now.GetState() != "open":
		return nil
	case base != w.s.Head.Name:
		return w.refuse("it goes into " + base + " now")
	}
	return w.send("pull.update", http.MethodPatch, w.path("pulls", w.a.Target), map[string]string{"base": w.a.Branch}, nil)
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
