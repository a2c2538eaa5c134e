package github

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	gh "github.com/google/go-github/v92/github"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A reviewers is how GitHub is told whom a request for a review is about.
type reviewers struct {
	Logins []string `json:"reviewers"` // never null: GitHub wants it even where only a team is meant
	Teams  []string `json:"team_reviewers,omitempty"`
}

// reviewers reads the target: a login, or a team as "acme/backend", which GitHub takes by its short name.
func (w write) reviewers() (reviewers, *pull.Fault) {
	org, team, isTeam := strings.Cut(w.a.Target, "/")
	switch {
	case w.a.Target == "":
		return reviewers{}, w.refuse("it has to name somebody")
	case !isTeam:
		return reviewers{Logins: []string{w.a.Target}}, nil
	case !strings.EqualFold(org, w.s.Repo.Owner):
		return reviewers{}, w.refuse("only teams of " + w.s.Repo.Owner + " can be asked to review here")
	}
	return reviewers{Logins: []string{}, Teams: []string{team}}, nil
}

// askReview asks for a review. GitHub refuses authors and people without access to the repository in words; of anybody else
// whom it does not ask it says nothing, so the answer is looked at.
func (w write) askReview() *pull.Fault {
	who, f := w.reviewers()
	if f != nil {
		return f
	}
	var now gh.PullRequest
	if f := w.send("reviewer.add", http.MethodPost, w.path("pulls", strconv.Itoa(w.s.Number), "requested_reviewers"), who, &now); f != nil {
		return f
	}
	asked := slices.ContainsFunc(now.RequestedReviewers, func(u *gh.User) bool { return strings.EqualFold(u.GetLogin(), w.a.Target) }) ||
		slices.ContainsFunc(now.RequestedTeams, func(t *gh.Team) bool { return len(who.Teams) > 0 && strings.EqualFold(t.GetSlug(), who.Teams[0]) })
	if !asked {
		return w.refuse("GitHub took the request, and yet did not ask " + w.a.Target + ": can they see the repository?")
	}
	w.c.asked(w.scope, w.s.Repo, w.a.Target, 1)
	return nil
}

func (w write) unaskReview() *pull.Fault {
	who, f := w.reviewers()
	if f != nil {
		return f
	}
	f = w.send("reviewer.remove", http.MethodDelete, w.path("pulls", strconv.Itoa(w.s.Number), "requested_reviewers"), who, nil)
	if f == nil {
		w.c.asked(w.scope, w.s.Repo, w.a.Target, -1)
	}
	return f
}

// assign assigns somebody. GitHub leaves out without a word who can't be assigned, so the answer is looked at.
func (w write) assign() *pull.Fault {
	var now gh.Issue
	if f := w.send("assignee.add", http.MethodPost, w.assignees(), map[string][]string{"assignees": {w.a.Target}}, &now); f != nil {
		return f
	}
	if !assigned(now, w.a.Target) {
		return w.refuse("GitHub does not let " + w.a.Target + " be assigned here: only people with access to the repository, or who have commented, can be")
	}
	return nil
}

func (w write) unassign() *pull.Fault {
	var now gh.Issue
	if f := w.send("assignee.remove", http.MethodDelete, w.assignees(), map[string][]string{"assignees": {w.a.Target}}, &now); f != nil {
		return f
	}
	if assigned(now, w.a.Target) {
		return w.refuse("GitHub took the request, and yet " + w.a.Target + " stays assigned: that takes write access")
	}
	return nil
}

func (w write) assignees() string {
	return w.path("issues", strconv.Itoa(w.s.Number), "assignees")
}

func assigned(i gh.Issue, login string) bool {
	return slices.ContainsFunc(i.Assignees, func(u *gh.User) bool { return strings.EqualFold(u.GetLogin(), login) })
}

// approve approves the very commit that was decided on: whatever is pushed meanwhile is not what the review is about.
func (w write) approve() (int64, *pull.Fault) {
	if w.a.SHA == "" {
		return 0, w.refuse("an approval has to name the commit that it is about")
	}
	var got gh.PullRequestReview
	f := w.send("review.create", http.MethodPost, w.path("pulls", strconv.Itoa(w.s.Number), "reviews"), struct {
		Commit pull.SHA `json:"commit_id"`
		Event  string   `json:"event"`
		Body   string   `json:"body"`
	}{w.a.SHA, "APPROVE", fit(w.a.Body)}, &got)
	return got.GetID(), f
}

// unapprove dismisses a review of ours. One that is dismissed already is what was wanted.
func (w write) unapprove() *pull.Fault {
	f := w.send("review.dismiss", http.MethodPut, w.path("pulls", strconv.Itoa(w.s.Number), "reviews", w.a.Target, "dismissals"),
		map[string]string{"message": cmp.Or(w.a.Body, w.a.Why, "It no longer holds."), "event": "DISMISS"}, nil)
	if f != nil && f.Status == http.StatusUnprocessableEntity && strings.Contains(strings.ToLower(f.Message), "a dismissed") {
		return nil
	}
	return f
}
