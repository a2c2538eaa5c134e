package githubtest

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// readRoutes are what the REST API tells of teams, reviewers, threads, reactions and comparisons.
var readRoutes = []*route{
	{method: "GET", pattern: "/orgs/{org}/teams/{slug}/members", op: "teams.list-members-in-org", handle: (*call).teamMembers},
	{method: "GET", pattern: repoPath + "/pulls/{number}/requested_reviewers", op: "pulls.list-requested-reviewers", role: CanRead, app: "pull_requests:read", appPublic: true, handle: onPull((*call).requestedReviewers)},
	{method: "GET", pattern: repoPath + "/pulls/{number}/comments", op: "pulls.list-review-comments", role: CanRead, app: "pull_requests:read", appPublic: true, handle: onPull((*call).reviewComments)},
	{method: "GET", pattern: repoPath + "/pulls/comments/{id}", op: "pulls.get-review-comment", role: CanRead, app: "pull_requests:read", appPublic: true, handle: (*call).reviewComment},
	{method: "GET", pattern: repoPath + "/issues/comments/{id}/reactions", op: "reactions.list-for-issue-comment", role: CanRead, app: readPulls, appPublic: true, handle: (*call).commentReactions},
	{method: "GET", pattern: repoPath + "/pulls/comments/{id}/reactions", op: "reactions.list-for-pull-request-review-comment", role: CanRead, app: "pull_requests:read", appPublic: true, handle: (*call).reviewCommentReactions},
	{method: "GET", pattern: repoPath + "/git/blobs/{sha}", op: "git.get-blob", role: CanRead, app: readContents, appPublic: true, handle: (*call).getBlob},
	{method: "GET", pattern: repoPath + "/compare/{basehead...}", op: "repos.compare-commits-with-basehead", role: CanRead, app: readContents, appPublic: true, handle: (*call).compare},
}

// teamMembers are a team's members and those of its child teams. A team that the caller may not know of is not there.
func (c *call) teamMembers() (reply, *apiError) {
	org := c.s.accounts[strings.ToLower(c.vars["org"])]
	var t *Team
	if org != nil {
		t = org.team(c.vars["slug"])
	}
	a := c.auth.token
	switch {
	case a == nil:
		return reply{}, refuse(401, "Requires authentication")
	case a.inst != nil && (!permitted(a.permissions, "members:read") || a.inst.Account != org):
		return reply{}, refuse(403, "Resource not accessible by integration")
	case a.inst == nil && a.scopes != nil && !slices.ContainsFunc([]string{"read:org", "write:org", "admin:org", "repo"}, func(s string) bool { return slices.Contains(a.scopes, s) }):
		return reply{}, refuse(404, "Not Found")
	case t == nil, a.inst == nil && !slices.Contains(org.members, a.user):
		return reply{}, refuse(404, "Not Found")
	}
	return list(c, t.all(), func(u *User) object { return u.json().(object) })
}

func (c *call) requestedReviewers(pr *PR) (reply, *apiError) {
	o := pr.json(false, false)
	return ok(object{"users": o["requested_reviewers"], "teams": o["requested_teams"]})
}

func (c *call) reviewComments(pr *PR) (reply, *apiError) {
	return list(c, pr.threadComments(), (*ReviewComment).json)
}

// findReviewComment finds a comment of a thread by the id in the path.
func (c *call) findReviewComment() *ReviewComment {
	for _, pr := range c.repo.pulls {
		for _, k := range pr.threadComments() {
			if strconv.FormatInt(k.id, 10) == c.vars["id"] {
				return k
			}
		}
	}
	return nil
}

func (c *call) reviewComment() (reply, *apiError) {
	k := c.findReviewComment()
	if k == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(k.json())
}

func (c *call) commentReactions() (reply, *apiError) {
	k := c.findComment()
	if k == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return list(c, k.reactions, (*reaction).json)
}

func (c *call) reviewCommentReactions() (reply, *apiError) {
	k := c.findReviewComment()
	if k == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return list(c, k.reactions, (*reaction).json)
}

func (x *reaction) json() object {
	return object{"id": x.id, "node_id": x.nodeID, "user": x.user.json(), "content": x.content, "created_at": when(x.at)}
}

// getBlob is the content of a file by its id.
func (c *call) getBlob() (reply, *apiError) {
	b, found := c.repo.objects.blob(c.vars["sha"])
	if !found {
		return reply{}, refuse(404, "Not Found")
	}
	if strings.Contains(c.r.Header.Get("Accept"), "raw") {
		c.header.Set("Content-Type", "application/vnd.github.raw; charset=utf-8")
		return ok(plain(b))
	}
	return ok(object{
		"sha": c.vars["sha"], "node_id": "B_" + c.vars["sha"], "size": len(b), "url": c.repo.url("/git/blobs/%s", c.vars["sha"]),
		"encoding": "base64", "content": lines(base64.StdEncoding.EncodeToString(b)),
	})
}

// DiffLimit makes GitHub's limit for the text of a comparison smaller: so many lines. 0 is GitHub's own, 20,000 lines and
// 300 files.
func (s *Server) DiffLimit(lines int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs.diffLines = lines
}

// compare compares two commits from where they parted, as "base...head": as JSON, or as the text that git makes of it.
func (c *call) compare() (reply, *apiError) {
	a, b, found := strings.Cut(c.vars["basehead"], "...")
	base, head := c.repo.commitAt(a), c.repo.commitAt(b)
	if !found || base == nil || head == nil {
		return reply{}, refuse(404, "Not Found")
	}
	o := c.repo.objects
	from := o.mergeBase(base.sha, head.sha)
	if from == "" {
		return reply{}, refuse(404, fmt.Sprintf("No common ancestor between %s and %s.", a, b))
	}
	if strings.Contains(c.r.Header.Get("Accept"), "diff") {
		text, files := o.text(from, head.sha)
		most := c.s.knobs.diffLines
		if most == 0 {
			most = 20_000
		}
		docs := []any{object{"resource": "Comparison", "field": "diff", "code": "too_large"}}
		switch {
		case strings.Count(text, "\n") > most:
			return reply{}, &apiError{status: 406, message: fmt.Sprintf("Sorry, the diff exceeded the maximum number of lines (%d)", most), errors: docs}
		case files > 300:
			return reply{}, &apiError{status: 406, message: "Sorry, the diff exceeded the maximum number of files (300). Consider using 'List pull requests files' API or locally cloning the repository instead.", errors: docs}
		}
		c.header.Set("Content-Type", "application/vnd.github.diff; charset=utf-8")
		return ok(plain(text))
	}
	ahead, behind := o.between(base.sha, head.sha), o.between(head.sha, base.sha)
	status := "identical"
	switch {
	case len(ahead) > 0 && len(behind) > 0:
		status = "diverged"
	case len(ahead) > 0:
		status = "ahead"
	case len(behind) > 0:
		status = "behind"
	}
	commits, files := []any{}, []any{}
	for _, cm := range page(c, ahead) {
		commits = append(commits, c.repo.commitJSON(cm))
	}
	if n := c.query.Get("page"); n == "" || n == "1" {
		changed := o.diff(from, head.sha)
		for _, f := range changed[:min(len(changed), 300)] {
			files = append(files, f.json(c.repo, head.sha))
		}
	}
	page := c.repo.page("/compare/%s...%s", a, b)
	return ok(object{
		"url": c.repo.url("/compare/%s...%s", a, b), "html_url": page, "permalink_url": page, "diff_url": page + ".diff", "patch_url": page + ".patch",
		"base_commit": c.repo.commitJSON(base), "merge_base_commit": c.repo.commitJSON(o.commit(from)), "status": status, "ahead_by": len(ahead),
		"behind_by": len(behind), "total_commits": len(ahead), "commits": commits, "files": files,
	})
}

// text is the difference of two commits as git writes it, with how many files it is about.
func (o *objectStore) text(from, to string) (string, int) {
	text, _ := o.git(nil, "diff-tree", "-r", "-M", "-p", o.commit(from).tree, o.commit(to).tree)
	return text, len(o.diff(from, to))
}
