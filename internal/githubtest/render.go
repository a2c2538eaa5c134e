package githubtest

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// An object is a JSON object.
type object = map[string]any

// when is a time as GitHub writes it, null when there is none.
func when(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// orNull is null for "".
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (s *Server) api(format string, args ...any) string {
	return s.o.APIURL + fmt.Sprintf(format, args...)
}

func (s *Server) html(format string, args ...any) string {
	return s.o.HTMLURL + fmt.Sprintf(format, args...)
}

func (u *User) json() any {
	if u == nil {
		return nil
	}
	s := u.s
	login := url.PathEscape(u.Login)
	page := s.html("/%s", login)
	if u.app != nil {
		page = s.html("/apps/%s", u.app.Slug)
	}
	o := object{
		"login": u.Login, "id": u.ID, "node_id": u.nodeID, "type": u.Type, "site_admin": false, "gravatar_id": "",
		"avatar_url": fmt.Sprintf("https://avatars.githubusercontent.com/u/%d?v=4", u.ID), "html_url": page, "user_view_type": "public",
	}
	root := s.api("/users/%s", login)
	o["url"] = root
	for key, path := range map[string]string{
		"followers_url": "/followers", "following_url": "/following{/other_user}", "gists_url": "/gists{/gist_id}",
		"starred_url": "/starred{/owner}{/repo}", "subscriptions_url": "/subscriptions", "organizations_url": "/orgs",
		"repos_url": "/repos", "events_url": "/events{/privacy}", "received_events_url": "/received_events",
	} {
		o[key] = root + path
	}
	return o
}

var repoLinks = map[string]string{
	"archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
	"branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}", "comments_url": "/comments{/number}",
	"commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}", "contents_url": "/contents/{+path}",
	"contributors_url": "/contributors", "deployments_url": "/deployments", "downloads_url": "/downloads", "events_url": "/events",
	"forks_url": "/forks", "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}",
	"hooks_url": "/hooks", "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
	"issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}", "languages_url": "/languages",
	"merges_url": "/merges", "milestones_url": "/milestones{/number}", "notifications_url": "/notifications{?since,all,participating}",
	"pulls_url": "/pulls{/number}", "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
	"subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams", "trees_url": "/git/trees{/sha}",
}

// url is the repository's place in the REST API.
func (r *Repo) url(format string, args ...any) string {
	return r.s.api("/repos/%s", r.full()) + fmt.Sprintf(format, args...)
}

func (r *Repo) page(format string, args ...any) string {
	return r.s.html("/%s", r.full()) + fmt.Sprintf(format, args...)
}

// json is the repository as events and pull requests carry it; full adds what only GET /repos/{owner}/{repo} tells.
func (r *Repo) json(full bool) any {
	if r == nil {
		return nil
	}
	open, forks := 0, 0
	for _, pr := range r.pulls {
		if !pr.closed {
			open++
		}
	}
	for _, f := range r.s.repos {
		if f.parent == r {
			forks++
		}
	}
	visibility := "public"
	if r.private {
		visibility = "private"
	}
	o := object{
		"id": r.ID, "node_id": r.nodeID, "name": r.name, "full_name": r.full(), "owner": r.owner.json(), "private": r.private,
		"html_url": r.page(""), "description": nil, "fork": r.parent != nil, "url": r.url(""),
		"created_at": when(r.createdAt), "updated_at": when(r.updatedAt), "pushed_at": when(r.pushedAt),
		"git_url": "git://github.com/" + r.full() + ".git", "ssh_url": "git@github.com:" + r.full() + ".git",
		"clone_url": r.page(".git"), "svn_url": r.page(""), "homepage": nil, "size": 1, "stargazers_count": 0, "watchers_count": 0,
		"language": nil, "has_issues": true, "has_projects": true, "has_downloads": true, "has_wiki": true, "has_pages": false,
		"has_discussions": false, "forks_count": forks, "mirror_url": nil, "archived": r.archived, "disabled": false,
		"open_issues_count": open, "license": nil, "allow_forking": true, "is_template": false, "web_commit_signoff_required": false,
		"topics": []string{}, "custom_properties": object{}, "visibility": visibility, "forks": forks, "open_issues": open, "watchers": 0, "default_branch": r.branch,
	}
	for key, path := range repoLinks {
		o[key] = r.url("") + path
	}
	if full {
		o["network_count"], o["subscribers_count"] = forks, 0
		o["allow_merge_commit"], o["allow_squash_merge"], o["allow_rebase_merge"] = r.methods["merge"], r.methods["squash"], r.methods["rebase"]
		o["delete_branch_on_merge"], o["allow_auto_merge"], o["allow_update_branch"] = r.deleteHead, false, false
		if r.parent != nil {
			o["parent"], o["source"] = r.parent.json(false), r.parent.json(false)
		}
	}
	return o
}

func (l *Label) json() any {
	return object{
		"id": l.id, "node_id": l.nodeID, "url": l.repo.url("/labels/%s", url.PathEscape(l.name)), "name": l.name, "color": l.color,
		"default": false, "description": orNull(l.description),
	}
}

func (pr *PR) url() string  { return pr.repo.url("/pulls/%d", pr.number) }
func (pr *PR) page() string { return pr.repo.page("/pull/%d", pr.number) }

// state is the REST API's: a merged pull request is closed.
func (pr *PR) restState() string {
	if pr.closed {
		return "closed"
	}
	return "open"
}

// json is a pull request. A list doesn't tell what costs GitHub a look; full does, and event payloads carry it, with
// mergeability as far as it is known.
func (pr *PR) json(full, ask bool) object {
	r := pr.repo
	labels := []any{}
	for _, l := range pr.labels {
		labels = append(labels, l.json())
	}
	assignees, reviewers, teams := []any{}, []any{}, []any{}
	for _, u := range pr.assignees {
		assignees = append(assignees, u.json())
	}
	for _, q := range pr.requests {
		if q.team != nil {
			teams = append(teams, q.team.json())
		} else {
			reviewers = append(reviewers, q.user.json())
		}
	}
	issue := r.url("/issues/%d", pr.number)
	link := func(href string) object { return object{"href": href} }
	end := func(repo *Repo, owner *User, branch, sha string) object {
		return object{"label": owner.Login + ":" + branch, "ref": branch, "sha": sha, "user": owner.json(), "repo": repo.json(false)}
	}
	var mergeSHA any
	if pr.merged {
		mergeSHA = pr.mergeSHA
	}
	o := object{
		"url": pr.url(), "id": pr.id, "node_id": pr.nodeID, "html_url": pr.page(), "diff_url": pr.page() + ".diff", "patch_url": pr.page() + ".patch",
		"issue_url": issue, "number": pr.number, "state": pr.restState(), "locked": false, "title": pr.title, "user": pr.author.json(),
		"body": orNull(pr.body), "created_at": when(pr.createdAt), "updated_at": when(pr.updatedAt), "closed_at": when(pr.closedAt),
		"merged_at": when(pr.mergedAt), "merge_commit_sha": mergeSHA, "assignee": nil, "assignees": assignees,
		"requested_reviewers": reviewers, "requested_teams": teams, "labels": labels, "milestone": pr.milestone.json(), "draft": pr.draft,
		"commits_url": pr.url() + "/commits", "review_comments_url": pr.url() + "/comments",
		"review_comment_url": r.url("/pulls/comments{/number}"), "comments_url": issue + "/comments", "statuses_url": r.url("/statuses/%s", pr.headSHA),
		"head": end(pr.headRepo, pr.headOwner, pr.headBranch, pr.headSHA), "base": end(r, r.owner, pr.baseBranch, pr.baseSHA),
		"_links": object{
			"self": link(pr.url()), "html": link(pr.page()), "issue": link(issue), "comments": link(issue + "/comments"),
			"review_comments": link(pr.url() + "/comments"), "review_comment": link(r.url("/pulls/comments{/number}")),
			"commits": link(pr.url() + "/commits"), "statuses": link(r.url("/statuses/%s", pr.headSHA)),
		},
		"author_association": r.association(pr.author), "auto_merge": nil, "active_lock_reason": nil,
	}
	if len(assignees) > 0 {
		o["assignee"] = assignees[0]
	}
	if !full {
		return o
	}
	var mergeable any
	state := pr.mergeState() // before asking: both are told as of the same moment
	if clean, known := pr.mergeable(ask); known {
		mergeable = clean
	}
	additions, deletions, files := 0, 0, pr.files()
	for _, f := range files {
		additions += f.additions
		deletions += f.deletions
	}
	o["merged"], o["mergeable"], o["rebaseable"], o["mergeable_state"] = pr.merged, mergeable, mergeable, strings.ToLower(state)
	o["merged_by"], o["comments"], o["review_comments"], o["maintainer_can_modify"] = pr.mergedBy.json(), len(pr.comments()), len(pr.threadComments()), pr.headRepo != nil && pr.headRepo != r
	o["commits"], o["additions"], o["deletions"], o["changed_files"] = len(pr.commits()), additions, deletions, len(files)
	return o
}

// issue is the pull request as an issue, which is how comments refer to it.
func (pr *PR) issue() object {
	p := pr.json(false, false)
	issue := pr.repo.url("/issues/%d", pr.number)
	o := object{
		"url": issue, "repository_url": pr.repo.url(""), "labels_url": issue + "/labels{/name}", "comments_url": issue + "/comments",
		"events_url": issue + "/events", "html_url": pr.page(), "comments": len(pr.comments()),
		"pull_request": object{"url": pr.url(), "html_url": pr.page(), "diff_url": pr.page() + ".diff", "patch_url": pr.page() + ".patch", "merged_at": when(pr.mergedAt)},
		"reactions":    reactions(issue + "/reactions"), "timeline_url": issue + "/timeline", "performed_via_github_app": nil, "state_reason": nil,
	}
	for _, k := range []string{
		"id", "node_id", "number", "title", "user", "labels", "state", "locked", "assignee", "assignees", "milestone", "created_at",
		"updated_at", "closed_at", "author_association", "active_lock_reason", "body", "draft",
	} {
		o[k] = p[k]
	}
	return o
}

func reactions(at string) object {
	return object{"url": at, "total_count": 0, "+1": 0, "-1": 0, "laugh": 0, "hooray": 0, "confused": 0, "heart": 0, "rocket": 0, "eyes": 0}
}

// json is a review. Events write its state in small letters, the REST API in capitals.
func (rv *Review) json(event bool) object {
	pr := rv.pr
	state := rv.state
	if event {
		state = strings.ToLower(state)
	}
	page := fmt.Sprintf("%s#pullrequestreview-%d", pr.page(), rv.id)
	return object{
		"id": rv.id, "node_id": rv.nodeID, "user": rv.author.json(), "body": rv.body, "commit_id": rv.commit, "submitted_at": when(rv.submitted),
		"updated_at": when(rv.updated), "state": state, "html_url": page, "pull_request_url": pr.url(),
		"author_association": pr.repo.association(rv.author),
		"_links":             object{"html": object{"href": page}, "pull_request": object{"href": pr.url()}},
	}
}

func (c *Comment) json() object {
	var via any
	if c.app != nil {
		via = c.app.json()
	}
	at := c.repo.url("/issues/comments/%d", c.id)
	return object{
		"url": at, "html_url": c.repo.page("/pull/%d#issuecomment-%d", c.number, c.id), "issue_url": c.repo.url("/issues/%d", c.number),
		"id": c.id, "node_id": c.nodeID, "user": c.author.json(), "created_at": when(c.created), "updated_at": when(c.updated),
		"author_association": c.repo.association(c.author), "body": c.body, "reactions": reactionsOf(at+"/reactions", c.written), "performed_via_github_app": via,
	}
}

func (a *App) json() object {
	return object{
		"id": a.ID, "slug": a.Slug, "node_id": a.nodeID, "client_id": a.clientID, "owner": a.Owner.json(), "name": a.Name, "description": "",
		"external_url": a.s.html(""), "html_url": a.s.html("/apps/%s", a.Slug), "created_at": when(a.createdAt), "updated_at": when(a.createdAt),
		"permissions": a.permissions, "events": orEmpty(a.events), "installations_count": len(a.installations),
	}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (in *Installation) json() object {
	selection := "all"
	if in.repos != nil {
		selection = "selected"
	}
	var suspendedAt, suspendedBy any
	if in.suspended {
		suspendedAt, suspendedBy = when(in.createdAt), in.Account.json()
	}
	return object{
		"id": in.ID, "node_id": in.nodeID, "account": in.Account.json(), "repository_selection": selection, "app_id": in.App.ID, "app_slug": in.App.Slug,
		"client_id": in.App.clientID, "access_tokens_url": in.App.s.api("/app/installations/%d/access_tokens", in.ID),
		"repositories_url": in.App.s.api("/installation/repositories"), "html_url": in.App.s.html("/settings/installations/%d", in.ID),
		"target_id": in.Account.ID, "target_type": in.Account.Type, "permissions": in.permissions, "events": orEmpty(in.App.events),
		"created_at": when(in.createdAt), "updated_at": when(in.createdAt), "single_file_name": nil, "has_multiple_single_files": false,
		"single_file_paths": []any{}, "suspended_by": suspendedBy, "suspended_at": suspendedAt,
	}
}

func (st *Status) json() object {
	return object{
		"url": st.repo.url("/statuses/%s", st.sha), "avatar_url": fmt.Sprintf("https://avatars.githubusercontent.com/u/%d?v=4", st.creator.ID),
		"id": st.id, "node_id": st.nodeID, "state": st.state, "description": orNull(st.description), "target_url": orNull(st.targetURL),
		"context": st.context, "created_at": when(st.created), "updated_at": when(st.created), "creator": st.creator.json(),
	}
}

// pullsAt are the open pull requests of the repository's own branches with this head. GitHub doesn't look for those of
// forks, so that their checks seem to belong to none.
func (r *Repo) pullsAt(sha string) []any {
	out := []any{}
	for _, pr := range r.pulls {
		if !pr.closed && pr.headRepo == r && pr.headSHA == sha {
			small := object{"id": r.ID, "url": r.url(""), "name": r.name}
			out = append(out, object{
				"url": pr.url(), "id": pr.id, "number": pr.number,
				"head": object{"ref": pr.headBranch, "sha": pr.headSHA, "repo": small},
				"base": object{"ref": pr.baseBranch, "sha": pr.baseSHA, "repo": small},
			})
		}
	}
	return out
}

// headBranch is the branch that GitHub connects a suite with, null for what came from a fork.
func (r *Repo) headBranch(sha string) any {
	for _, b := range r.branches() {
		if r.refs[b] == sha {
			return b
		}
	}
	return nil
}

func (c *Check) json() object {
	return object{
		"id": c.id, "node_id": c.nodeID, "name": c.name, "head_sha": c.suite.sha, "external_id": c.externalID, "url": c.repo.url("/check-runs/%d", c.id),
		"html_url": c.repo.page("/runs/%d", c.id), "details_url": c.details(), "status": c.status, "conclusion": orNull(c.conclusion),
		"started_at": when(c.started), "completed_at": when(c.completed),
		"output": object{
			"title": orNull(c.title), "summary": orNull(c.summary), "text": orNull(c.text), "annotations_count": 0,
			"annotations_url": c.repo.url("/check-runs/%d/annotations", c.id),
		},
		"check_suite": object{"id": c.suite.id}, "app": c.suite.app.json(), "pull_requests": c.repo.pullsAt(c.suite.sha),
	}
}

func (c *Check) details() string {
	if c.detailsURL != "" {
		return c.detailsURL
	}
	return c.repo.page("/runs/%d", c.id)
}

func (su *suite) json() object {
	status, conclusion := su.state()
	r := su.repo
	cm := r.objects.commit(su.sha)
	before := strings.Repeat("0", 40)
	if len(cm.parents) > 0 {
		before = cm.parents[0]
	}
	return object{
		"id": su.id, "node_id": su.nodeID, "head_branch": r.headBranch(su.sha), "head_sha": su.sha, "status": status, "conclusion": orNull(conclusion),
		"url": r.url("/check-suites/%d", su.id), "before": before, "after": su.sha, "pull_requests": r.pullsAt(su.sha), "app": su.app.json(),
		"created_at": when(su.created), "updated_at": when(su.updated), "latest_check_runs_count": len(su.runs(true)),
		"check_runs_url": r.url("/check-suites/%d/check-runs", su.id), "rerequestable": true, "runs_rerequestable": true,
		"head_commit": object{
			"id": cm.sha, "tree_id": cm.tree, "message": cm.message, "timestamp": when(cm.committer.at),
			"author": object{"name": cm.author.name, "email": cm.author.email}, "committer": object{"name": cm.committer.name, "email": cm.committer.email},
		},
	}
}

// accountOf finds the account whose name a commit carries: as far as GitHub can tell from an address.
func (s *Server) accountOf(g signature) *User {
	u := s.accounts[strings.ToLower(g.name)]
	if u == nil || u.sign(g.at) != g {
		return nil
	}
	return u
}

func (r *Repo) commitJSON(c *commit) object {
	person := func(g signature) object {
		return object{"name": g.name, "email": g.email, "date": when(g.at)}
	}
	parents := []any{}
	for _, p := range c.parents {
		parents = append(parents, object{"sha": p, "url": r.url("/commits/%s", p), "html_url": r.page("/commit/%s", p)})
	}
	return object{
		"sha": c.sha, "node_id": "C_" + c.sha, "url": r.url("/commits/%s", c.sha), "html_url": r.page("/commit/%s", c.sha),
		"comments_url": r.url("/commits/%s/comments", c.sha), "author": r.s.accountOf(c.author).json(), "committer": r.s.accountOf(c.committer).json(), "parents": parents,
		"commit": object{
			"url": r.url("/git/commits/%s", c.sha), "author": person(c.author), "committer": person(c.committer), "message": c.message, "comment_count": 0,
			"tree":         object{"sha": c.tree, "url": r.url("/git/trees/%s", c.tree)},
			"verification": c.verification(),
		},
	}
}

// verification is what GitHub makes of a commit's signature.
func (c *commit) verification() object {
	if !c.signed {
		return object{"verified": false, "reason": "unsigned", "signature": nil, "payload": nil, "verified_at": nil}
	}
	return object{
		"verified": true, "reason": "valid", "signature": "-----BEGIN PGP SIGNATURE-----\n\niQEzBAABCAAdFiEE\n-----END PGP SIGNATURE-----",
		"payload": "tree " + c.tree + "\n", "verified_at": when(c.committer.at),
	}
}

func (f changedFile) json(r *Repo, sha string) object {
	o := object{
		"sha": f.sha, "filename": f.path, "status": f.status, "additions": f.additions, "deletions": f.deletions, "changes": f.additions + f.deletions,
		"blob_url": r.page("/blob/%s/%s", sha, f.path), "raw_url": r.page("/raw/%s/%s", sha, f.path),
		"contents_url": r.url("/contents/%s?ref=%s", f.path, sha),
	}
	if f.previous != "" {
		o["previous_filename"] = f.previous
	}
	return o
}

func (r *Repo) refJSON(branch string) object {
	sha := r.refs[branch]
	return object{
		"ref": "refs/heads/" + branch, "node_id": base64.StdEncoding.EncodeToString([]byte(r.nodeID + ":refs/heads/" + branch)),
		"url":    r.url("/git/refs/heads/%s", branch),
		"object": object{"sha": sha, "type": "commit", "url": r.url("/git/commits/%s", sha)},
	}
}
