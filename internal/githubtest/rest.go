package githubtest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A route is an operation of the REST API, with what it takes to be allowed to use it.
type route struct {
	method    string
	pattern   string
	op        string
	role      Role   // of a person
	app       string // permissions of an installation, alternatives separated by |
	appPublic bool   // an installation may do it in public repositories anyway
	appOnly   bool   // persons may not
	jwt       bool   // the App's own token is wanted
	handle    func(*call) (reply, *apiError)
	kind      func(*call) (kind, what, sha string) // of a write, for the journal
	parts     []string
}

var graphqlRoute = &route{method: "POST", pattern: "/graphql", op: "graphql", handle: (*call).graphql}

const repoPath = "/repos/{owner}/{repo}"

const (
	readContents = "contents:read"
	readPulls    = "pull_requests:read|issues:read"
	writePulls   = "pull_requests:write|issues:write"
)

var routes []*route

func init() {
	routes = []*route{
		graphqlRoute,
		{method: "GET", pattern: "/zen", op: "meta.zen", handle: func(c *call) (reply, *apiError) { return ok("Design for failure.") }},
		{method: "GET", pattern: "/meta", op: "meta.get", handle: (*call).meta},
		{method: "GET", pattern: "/rate_limit", op: "rate-limit.get", handle: (*call).rateLimit},
		{method: "GET", pattern: "/user", op: "users.get-authenticated", handle: (*call).currentUser},
		{method: "GET", pattern: "/users/{login...}", op: "users.get", handle: (*call).getUser},
		{method: "GET", pattern: "/app", op: "apps.get-authenticated", jwt: true, handle: func(c *call) (reply, *apiError) { return ok(c.auth.app.json()) }},
		{method: "GET", pattern: "/app/installations", op: "apps.list-installations", jwt: true, handle: (*call).installations},
		{method: "GET", pattern: "/app/installations/{id}", op: "apps.get-installation", jwt: true, handle: (*call).installation},
		{method: "POST", pattern: "/app/installations/{id}/access_tokens", op: "apps.create-installation-access-token", jwt: true, handle: (*call).accessToken},
		{method: "GET", pattern: "/app/hook/config", op: "apps.get-webhook-config-for-app", jwt: true, handle: (*call).hookConfig},
		{method: "GET", pattern: "/app/hook/deliveries", op: "apps.list-webhook-deliveries", jwt: true, handle: (*call).deliveries},
		{method: "GET", pattern: "/app/hook/deliveries/{id}", op: "apps.get-webhook-delivery", jwt: true, handle: (*call).delivery},
		{method: "POST", pattern: "/app/hook/deliveries/{id}/attempts", op: "apps.redeliver-webhook-delivery", jwt: true, handle: (*call).redeliver},
		{method: "GET", pattern: "/installation/repositories", op: "apps.list-repos-accessible-to-installation", handle: (*call).installationRepos},
		{method: "GET", pattern: "/user/repos", op: "repos.list-for-authenticated-user", handle: (*call).userRepos},
		{method: "POST", pattern: "/app-manifests/{code}/conversions", op: "apps.create-from-manifest", handle: (*call).convertManifest},

		{method: "GET", pattern: repoPath, op: "repos.get", role: CanRead, app: "metadata:read", appPublic: true, handle: func(c *call) (reply, *apiError) { return ok(c.repo.json(true)) }},
		{method: "GET", pattern: repoPath + "/installation", op: "apps.get-repo-installation", jwt: true, handle: (*call).repoInstallation},
		{method: "GET", pattern: repoPath + "/hooks", op: "repos.list-webhooks", role: CanAdmin, app: "repository_hooks:read", handle: (*call).listHooks},
		{method: "GET", pattern: repoPath + "/hooks/{hook}/deliveries", op: "repos.list-webhook-deliveries", role: CanAdmin, app: "repository_hooks:read", handle: (*call).deliveries},
		{method: "GET", pattern: repoPath + "/hooks/{hook}/deliveries/{id}", op: "repos.get-webhook-delivery", role: CanAdmin, app: "repository_hooks:read", handle: (*call).delivery},
		{method: "POST", pattern: repoPath + "/hooks/{hook}/deliveries/{id}/attempts", op: "repos.redeliver-webhook-delivery", role: CanAdmin, app: "repository_hooks:write", handle: (*call).redeliver},
		{method: "GET", pattern: repoPath + "/collaborators/{user}/permission", op: "repos.get-collaborator-permission-level", role: CanRead, app: "metadata:read", appPublic: true, handle: (*call).permission},
		{method: "GET", pattern: repoPath + "/contents/{path...}", op: "repos.get-content", role: CanRead, app: readContents, appPublic: true, handle: (*call).contents},
		{method: "GET", pattern: repoPath + "/branches/{branch}", op: "repos.get-branch", role: CanRead, app: readContents, appPublic: true, handle: (*call).branch},
		{method: "GET", pattern: repoPath + "/rules/branches/{branch}", op: "repos.get-branch-rules", role: CanRead, app: "metadata:read", appPublic: true, handle: (*call).branchRules},
		{method: "GET", pattern: repoPath + "/codeowners/errors", op: "repos.codeowners-errors", role: CanRead, app: readContents, appPublic: true, handle: (*call).ownersErrors},
		{method: "GET", pattern: repoPath + "/branches/{branch}/protection", op: "repos.get-branch-protection", role: CanAdmin, app: "administration:read", handle: (*call).protection},
		{method: "GET", pattern: repoPath + "/git/ref/{ref...}", op: "git.get-ref", role: CanRead, app: readContents, appPublic: true, handle: (*call).getRef},
		{method: "DELETE", pattern: repoPath + "/git/refs/{ref...}", op: "git.delete-ref", role: CanWrite, app: "contents:write", handle: (*call).removeRef, kind: func(c *call) (string, string, string) {
			return "branch.delete", strings.TrimPrefix(c.vars["ref"], "heads/") + " on " + c.where(), ""
		}},
		{method: "GET", pattern: repoPath + "/commits/{sha}/pulls", op: "repos.list-pull-requests-associated-with-commit", role: CanRead, app: readPulls, appPublic: true, handle: (*call).commitPulls},
		{method: "GET", pattern: repoPath + "/commits/{ref...}", op: "repos.get-commit", role: CanRead, app: readContents, appPublic: true, handle: (*call).commitOrReports},

		{method: "GET", pattern: repoPath + "/pulls", op: "pulls.list", role: CanRead, app: "pull_requests:read", appPublic: true, handle: (*call).listPulls},
		{method: "GET", pattern: repoPath + "/pulls/{number}", op: "pulls.get", role: CanRead, app: "pull_requests:read", appPublic: true, handle: onPull((*call).getPull)},
		{method: "PATCH", pattern: repoPath + "/pulls/{number}", op: "pulls.update", role: CanRead, app: "pull_requests:write", handle: onPull((*call).updatePull), kind: (*call).updateKind},
		{method: "GET", pattern: repoPath + "/pulls/{number}/files", op: "pulls.list-files", role: CanRead, app: "pull_requests:read", appPublic: true, handle: onPull((*call).listFiles)},
		{method: "GET", pattern: repoPath + "/pulls/{number}/commits", op: "pulls.list-commits", role: CanRead, app: "pull_requests:read", appPublic: true, handle: onPull((*call).listCommits)},
		{method: "GET", pattern: repoPath + "/pulls/{number}/reviews", op: "pulls.list-reviews", role: CanRead, app: "pull_requests:read", appPublic: true, handle: onPull((*call).listReviews)},
		{method: "POST", pattern: repoPath + "/pulls/{number}/reviews", op: "pulls.create-review", role: CanRead, app: "pull_requests:write", handle: onPull((*call).createReview), kind: func(c *call) (string, string, string) {
			in := c.input()
			return "review.create", fmt.Sprintf("%v on %s", in["event"], c.where()), text(in["commit_id"])
		}},
		{method: "GET", pattern: repoPath + "/pulls/{number}/merge", op: "pulls.check-if-merged", role: CanRead, app: "contents:read", handle: onPull((*call).isMerged)},
		{method: "PUT", pattern: repoPath + "/pulls/{number}/merge", op: "pulls.merge", role: CanWrite, app: "contents:write", handle: onPull((*call).mergePull), kind: func(c *call) (string, string, string) {
			in := c.input()
			return "merge", cmp.Or(text(in["merge_method"]), "merge") + " on " + c.where(), text(in["sha"])
		}},
		{method: "PUT", pattern: repoPath + "/pulls/{number}/update-branch", op: "pulls.update-branch", role: CanRead, app: "pull_requests:write", handle: onPull((*call).updateBranch), kind: func(c *call) (string, string, string) {
			return "branch.update", c.where(), text(c.input()["expected_head_sha"])
		}},

		{method: "GET", pattern: repoPath + "/labels", op: "issues.list-labels-for-repo", role: CanRead, app: readPulls, appPublic: true, handle: (*call).repoLabels},
		{method: "POST", pattern: repoPath + "/labels", op: "issues.create-label", role: CanWrite, app: writePulls, handle: (*call).createLabel, kind: func(c *call) (string, string, string) {
			return "label.create", text(c.input()["name"]) + " on " + c.where(), ""
		}},
		{method: "GET", pattern: repoPath + "/labels/{label}", op: "issues.get-label", role: CanRead, app: readPulls, appPublic: true, handle: (*call).getLabel},
		{method: "GET", pattern: repoPath + "/issues/{number}/labels", op: "issues.list-labels-on-issue", role: CanRead, app: readPulls, appPublic: true, handle: onPull((*call).pullLabels)},
		{method: "POST", pattern: repoPath + "/issues/{number}/labels", op: "issues.add-labels", role: CanTriage, app: writePulls, handle: onPull((*call).addLabels), kind: func(c *call) (string, string, string) {
			return "label.add", strings.Join(c.labelNames(), ",") + " on " + c.where(), ""
		}},
		{method: "DELETE", pattern: repoPath + "/issues/{number}/labels/{label}", op: "issues.remove-label", role: CanTriage, app: writePulls, handle: onPull((*call).dropLabel), kind: func(c *call) (string, string, string) {
			return "label.remove", c.vars["label"] + " on " + c.where(), ""
		}},
		{method: "GET", pattern: repoPath + "/issues/{number}/comments", op: "issues.list-comments", role: CanRead, app: readPulls, appPublic: true, handle: onPull((*call).listComments)},
		{method: "POST", pattern: repoPath + "/issues/{number}/comments", op: "issues.create-comment", role: CanRead, app: writePulls, handle: onPull((*call).createComment), kind: func(c *call) (string, string, string) {
			return "comment.create", c.where(), ""
		}},
		{method: "GET", pattern: repoPath + "/issues/comments/{id}", op: "issues.get-comment", role: CanRead, app: readPulls, appPublic: true, handle: (*call).getComment},
		{method: "PATCH", pattern: repoPath + "/issues/comments/{id}", op: "issues.update-comment", role: CanRead, app: writePulls, handle: (*call).editComment, kind: func(c *call) (string, string, string) {
			return "comment.update", c.vars["id"] + " on " + c.where(), ""
		}},
		{method: "DELETE", pattern: repoPath + "/issues/comments/{id}", op: "issues.delete-comment", role: CanRead, app: writePulls, handle: (*call).deleteComment, kind: func(c *call) (string, string, string) {
			return "comment.delete", c.vars["id"] + " on " + c.where(), ""
		}},

		{method: "POST", pattern: repoPath + "/statuses/{sha}", op: "repos.create-commit-status", role: CanWrite, app: "statuses:write", handle: (*call).createStatus, kind: func(c *call) (string, string, string) {
			in := c.input()
			return "status", fmt.Sprintf("%s=%s on %s", cmp.Or(text(in["context"]), "default"), text(in["state"]), c.where()), c.vars["sha"]
		}},
		{method: "POST", pattern: repoPath + "/check-runs", op: "checks.create", appOnly: true, app: "checks:write", handle: (*call).createCheck, kind: func(c *call) (string, string, string) {
			in := c.input()
			return "check.create", fmt.Sprintf("%s=%s on %s", text(in["name"]), cmp.Or(text(in["conclusion"]), text(in["status"]), "queued"), c.where()), text(in["head_sha"])
		}},
		{method: "GET", pattern: repoPath + "/check-runs/{id}", op: "checks.get", role: CanRead, app: "checks:read", appPublic: true, handle: (*call).getCheck},
		{method: "PATCH", pattern: repoPath + "/check-runs/{id}", op: "checks.update", appOnly: true, app: "checks:write", handle: (*call).updateCheck, kind: func(c *call) (string, string, string) {
			in, name, sha := c.input(), c.vars["id"], ""
			if run := c.check(); run != nil {
				name, sha = run.name, run.suite.sha
			}
			return "check.update", fmt.Sprintf("%s=%s on %s", name, cmp.Or(text(in["conclusion"]), text(in["status"])), c.where()), sha
		}},
	}
	routes = slices.Concat(routes, readRoutes, writeRoutes)
	for _, rt := range routes {
		rt.parts = strings.Split(strings.Trim(rt.pattern, "/"), "/")
	}
}

var notFound = &route{op: "not-found"}

// match finds the route of a request.
func match(method, path string) (*route, map[string]string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for _, rt := range routes {
		if rt.method != method && !(rt == graphqlRoute && method == "GET") {
			continue
		}
		if vars, ok := rt.match(parts); ok {
			return rt, vars
		}
	}
	return notFound, map[string]string{}
}

func (rt *route) match(parts []string) (map[string]string, bool) {
	vars := map[string]string{}
	for i, p := range rt.parts {
		if strings.HasSuffix(p, "...}") && len(parts) > i {
			rest, err := url.PathUnescape(strings.Join(parts[i:], "/"))
			vars[p[1:len(p)-4]] = rest
			return vars, err == nil
		}
		if i >= len(parts) {
			return nil, false
		}
		if !strings.HasPrefix(p, "{") {
			if p != parts[i] {
				return nil, false
			}
			continue
		}
		v, err := url.PathUnescape(parts[i])
		if err != nil {
			return nil, false
		}
		vars[strings.Trim(p, "{}")] = v
	}
	return vars, len(parts) == len(rt.parts)
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// input is the JSON body as an object, for the journal.
func (c *call) input() object {
	var o object
	if c.decode(&o) != nil {
		return nil
	}
	return o
}

// where is "owner/name" or "owner/name#number".
func (c *call) where() string {
	where := c.vars["owner"] + "/" + c.vars["repo"]
	if n := c.vars["number"]; n != "" {
		where += "#" + n
	}
	return where
}

func onPull(f func(*call, *PR) (reply, *apiError)) func(*call) (reply, *apiError) {
	return func(c *call) (reply, *apiError) {
		n, err := strconv.Atoi(c.vars["number"])
		if err != nil {
			return reply{}, refuse(404, "Not Found")
		}
		pr := c.repo.pull(n)
		if pr == nil {
			return reply{}, refuse(404, "Not Found")
		}
		return f(c, pr)
	}
}

func (c *call) meta() (reply, *apiError) {
	return ok(object{
		"verifiable_password_authentication": false, "hooks": []string{"127.0.0.0/8", "::1/128"}, "web": []string{}, "api": []string{}, "git": []string{},
	})
}

func (c *call) rateLimit() (reply, *apiError) {
	one := func(p *primary) object {
		return object{"limit": p.limit, "used": min(p.used, p.limit), "remaining": max(0, p.limit-p.used), "reset": p.reset.Add(c.s.knobs.clockSkew).Unix()}
	}
	core, gql := one(c.budget.resource(c.s, "core")), one(c.budget.resource(c.s, "graphql"))
	return ok(object{"resources": object{"core": core, "graphql": gql, "search": core, "integration_manifest": core}, "rate": core})
}

func (c *call) currentUser() (reply, *apiError) {
	switch {
	case c.auth.token == nil:
		return reply{}, refuse(401, "Requires authentication")
	case c.auth.token.inst != nil:
		return reply{}, refuse(403, "Resource not accessible by integration")
	}
	return ok(c.auth.token.user.profile())
}

func (c *call) getUser() (reply, *apiError) {
	u := c.s.accounts[strings.ToLower(c.vars["login"])]
	if u == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(u.profile())
}

// profile is an account as its own page shows it.
func (u *User) profile() object {
	o := u.json().(object)
	for _, k := range []string{"name", "company", "location", "email", "hireable", "bio", "twitter_username"} {
		o[k] = nil
	}
	o["blog"], o["public_repos"], o["public_gists"], o["followers"], o["following"] = "", 0, 0, 0, 0
	o["created_at"], o["updated_at"] = when(u.createdAt), when(u.createdAt)
	return o
}

func (c *call) installations() (reply, *apiError) {
	return list(c, c.auth.app.installations, (*Installation).json)
}

func (c *call) findInstallation() *Installation {
	for _, in := range c.auth.app.installations {
		if strconv.FormatInt(in.ID, 10) == c.vars["id"] {
			return in
		}
	}
	return nil
}

func (c *call) installation() (reply, *apiError) {
	in := c.findInstallation()
	if in == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(in.json())
}

func (c *call) repoInstallation() (reply, *apiError) {
	in := c.auth.app.installation(c.repo)
	if in == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(in.json())
}

func (c *call) accessToken() (reply, *apiError) {
	in := c.findInstallation()
	if in == nil {
		return reply{}, refuse(404, "Not Found")
	}
	if in.suspended {
		return reply{}, refuse(403, "This installation has been suspended")
	}
	var want struct {
		Repositories  []string          `json:"repositories"`
		RepositoryIDs []int64           `json:"repository_ids"`
		Permissions   map[string]string `json:"permissions"`
	}
	if err := c.decode(&want); err != nil {
		return reply{}, err
	}
	t := &token{inst: in, permissions: in.permissions, expires: c.s.o.Now().Add(time.Hour)}
	if len(want.Permissions) > 0 {
		for name, level := range want.Permissions {
			if !permitted(in.permissions, name+":"+level) {
				return reply{}, refuse(422, "The permissions requested are not granted to this installation.")
			}
		}
		t.permissions = want.Permissions
		t.permissions["metadata"] = "read"
	}
	selection := "all"
	if len(want.Repositories)+len(want.RepositoryIDs) > 0 {
		t.repos, selection = map[*Repo]bool{}, "selected"
		for _, r := range c.s.repos {
			if in.covers(r) && (slices.Contains(want.Repositories, r.name) || slices.Contains(want.RepositoryIDs, r.ID)) {
				t.repos[r] = true
			}
		}
		if len(t.repos) != len(want.Repositories)+len(want.RepositoryIDs) {
			return reply{}, refuse(422, "There is at least one repository that does not exist or is not accessible to the parent installation.")
		}
	}
	return reply{201, object{
		"token": c.s.newToken("ghs_", t), "expires_at": when(t.expires), "permissions": t.permissions, "repository_selection": selection,
	}}, nil
}

func (c *call) installationRepos() (reply, *apiError) {
	if c.auth.token == nil || c.auth.token.inst == nil {
		return reply{}, refuse(403, "You must authenticate with an installation access token in order to list repositories for an installation.")
	}
	var all []*Repo
	for _, r := range c.s.repos {
		if c.covered(r) {
			all = append(all, r)
		}
	}
	out := []any{}
	for _, r := range page(c, all) {
		out = append(out, r.json(false))
	}
	return ok(object{"total_count": len(all), "repository_selection": "all", "repositories": out})
}

func (c *call) userRepos() (reply, *apiError) {
	u := c.auth.user()
	if u == nil || c.auth.token.inst != nil {
		return reply{}, refuse(401, "Requires authentication")
	}
	var all []*Repo
	for _, r := range c.s.repos {
		if (r.owner == u || r.roles[u] > CanNothing || slices.Contains(r.owner.members, u)) && c.role(r) > CanNothing {
			all = append(all, r)
		}
	}
	return list(c, all, func(r *Repo) object { return r.json(false).(object) })
}

// Manifest registers an App as GitHub does when somebody submits an App manifest, and returns the code with which its
// credentials are fetched, once.
func (s *Server) Manifest(slug string, o AppOptions) (code string, a *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a = s.appLocked(slug, o)
	a.secret = fmt.Sprintf("%016x%016x", s.rand.Uint64(), s.rand.Uint64())
	code = fmt.Sprintf("%016x", s.rand.Uint64())
	s.codes[code] = a
	return code, a
}

func (c *call) convertManifest() (reply, *apiError) {
	a := c.s.codes[c.vars["code"]]
	if a == nil {
		return reply{}, refuse(404, "Not Found")
	}
	delete(c.s.codes, c.vars["code"])
	o := a.json()
	o["client_secret"], o["webhook_secret"], o["pem"] = a.secret, a.secret, a.privateKey()
	return reply{201, o}, nil
}

// hook finds the webhook that the path means.
func (c *call) hook() *Hook {
	for _, h := range c.s.hooks {
		if c.auth.app != nil && h.app == c.auth.app || c.repo != nil && h.repo == c.repo && strconv.FormatInt(h.ID, 10) == c.vars["hook"] {
			return h
		}
	}
	return nil
}

func (c *call) listHooks() (reply, *apiError) {
	var all []*Hook
	for _, h := range c.s.hooks {
		if h.repo == c.repo {
			all = append(all, h)
		}
	}
	return list(c, all, (*Hook).json)
}

// deliveries lists a webhook's deliveries of the last three days, newest first, from a cursor.
func (c *call) deliveries() (reply, *apiError) {
	h := c.hook()
	if h == nil {
		return reply{}, refuse(404, "Not Found")
	}
	size, err := strconv.Atoi(c.query.Get("per_page"))
	if err != nil || size < 1 {
		size = 30
	}
	size = min(size, cmp.Or(max(c.s.o.PageLimit, 0), 100))
	cursor, _ := strconv.ParseInt(c.query.Get("cursor"), 10, 64)
	oldest := c.s.o.Now().Add(-3 * 24 * time.Hour)
	out, sorted := []any{}, slices.Clone(h.log)
	slices.SortFunc(sorted, func(a, b *Delivery) int { return cmp.Compare(b.ID, a.ID) })
	for _, d := range sorted {
		if cursor != 0 && d.ID > cursor || d.At.Before(oldest) {
			continue
		}
		if c.query.Get("status") == "failure" && d.StatusCode < 400 || c.query.Get("status") == "success" && d.Status != "OK" {
			continue
		}
		if len(out) == size {
			q := url.Values{"per_page": {strconv.Itoa(size)}, "cursor": {strconv.FormatInt(d.ID, 10)}}
			c.header.Set("Link", fmt.Sprintf("<%s?%s>; rel=\"next\"", c.s.api("%s", c.path), q.Encode()))
			break
		}
		out = append(out, d.json())
	}
	return ok(out)
}

func (d *Delivery) json() object {
	var installation, repository any
	if d.installation != 0 {
		installation = d.installation
	}
	if d.repo != nil {
		repository = d.repo.ID
	}
	return object{
		"id": d.ID, "guid": d.GUID, "delivered_at": when(d.At), "redelivery": d.Redelivery, "duration": d.Duration.Seconds(), "status": d.Status,
		"status_code": d.StatusCode, "event": d.Event, "action": orNull(d.Action), "installation_id": installation, "repository_id": repository, "throttled_at": nil,
	}
}

func (c *call) findDelivery() (*Hook, *Delivery) {
	h := c.hook()
	if h == nil {
		return nil, nil
	}
	for _, d := range h.log {
		if strconv.FormatInt(d.ID, 10) == c.vars["id"] {
			return h, d
		}
	}
	return h, nil
}

func (c *call) delivery() (reply, *apiError) {
	h, d := c.findDelivery()
	if d == nil {
		return reply{}, refuse(404, "Not Found")
	}
	flat := func(h http.Header) object {
		o := object{}
		for k := range h {
			o[k] = h.Get(k)
		}
		return o
	}
	var answer any
	if d.Answer != nil {
		answer = string(d.Answer)
	}
	o := d.json()
	o["url"] = h.url
	o["request"] = object{"headers": flat(d.header), "payload": raw(d.Payload)}
	o["response"] = object{"headers": flat(d.answered), "payload": answer}
	return ok(o)
}

// raw is JSON that goes into an answer as it is.
type raw []byte

// MarshalJSON returns the text itself.
func (r raw) MarshalJSON() ([]byte, error) { return r, nil }

func (c *call) redeliver() (reply, *apiError) {
	h, d := c.findDelivery()
	if d == nil || !h.redeliver(d.ID) {
		return reply{}, refuse(404, "Not Found")
	}
	return reply{202, object{}}, nil
}

func (c *call) permission() (reply, *apiError) {
	u := c.s.accounts[strings.ToLower(c.vars["user"])]
	if u == nil {
		return reply{}, refuse(404, "Not Found")
	}
	role := c.repo.role(u)
	old := map[Role]string{CanTriage: "read", CanMaintain: "write"}[role]
	user := u.json().(object)
	user["permissions"] = object{"pull": role >= CanRead, "triage": role >= CanTriage, "push": role >= CanWrite, "maintain": role >= CanMaintain, "admin": role >= CanAdmin}
	user["role_name"] = role.String()
	return ok(object{"permission": cmp.Or(old, role.String()), "role_name": role.String(), "user": user})
}

// commitAt resolves a branch, a full ref or a commit id.
func (r *Repo) commitAt(ref string) *commit {
	for _, name := range []string{ref, strings.TrimPrefix(ref, "refs/heads/"), strings.TrimPrefix(ref, "heads/")} {
		if sha := r.refs[name]; sha != "" {
			return r.objects.commit(sha)
		}
	}
	if strings.EqualFold(ref, "HEAD") || ref == "" {
		return r.objects.commit(r.refs[r.branch])
	}
	return r.objects.find(ref)
}

func (c *call) contents() (reply, *apiError) {
	ref := c.query.Get("ref")
	cm := c.repo.commitAt(ref)
	if cm == nil {
		return reply{}, refuse(404, "No commit found for the ref "+ref)
	}
	path := strings.Trim(c.vars["path"], "/")
	e, found := c.repo.objects.lookup(cm.tree, path)
	if !found {
		return reply{}, refuse(404, "Not Found")
	}
	if e.isTree() {
		entries, _ := c.repo.objects.tree(e.sha)
		out := []any{}
		for _, x := range entries {
			out = append(out, c.content(strings.TrimPrefix(path+"/"+x.name, "/"), x, false))
		}
		return ok(out)
	}
	if strings.Contains(c.r.Header.Get("Accept"), "raw") {
		b, _ := c.repo.objects.blob(e.sha)
		c.header.Set("Content-Type", "application/vnd.github.raw; charset=utf-8")
		return ok(plain(b))
	}
	return ok(c.content(path, e, true))
}

// plain is a body that is no JSON.
type plain []byte

func (c *call) content(path string, e treeEntry, whole bool) object {
	at, kind := c.repo.url("/contents/%s", path), "file"
	var size int
	var blob []byte
	if e.isTree() {
		kind = "dir"
	} else {
		blob, _ = c.repo.objects.blob(e.sha)
		size = len(blob)
	}
	git := c.repo.url("/git/blobs/%s", e.sha)
	page := c.repo.page("/blob/%s/%s", c.repo.branch, path)
	o := object{
		"name": path[strings.LastIndex(path, "/")+1:], "path": path, "sha": e.sha, "size": size, "url": at, "html_url": page, "git_url": git,
		"download_url": page, "type": kind, "_links": object{"self": at, "git": git, "html": page},
	}
	if whole {
		o["encoding"], o["content"] = "base64", lines(base64.StdEncoding.EncodeToString(blob))
		if size > 1<<20 {
			o["encoding"], o["content"] = "none", ""
		}
	}
	return o
}

// lines breaks base64 as GitHub does.
func lines(s string) string {
	var b strings.Builder
	for len(s) > 60 {
		b.WriteString(s[:60] + "\n")
		s = s[60:]
	}
	return b.String() + s + "\n"
}

func (c *call) protection() (reply, *apiError) {
	p := c.repo.protected[c.vars["branch"]]
	if p == nil {
		return reply{}, refuse(404, "Branch not protected")
	}
	at := c.repo.url("/branches/%s/protection", c.vars["branch"])
	o := object{"url": at, "enforce_admins": object{"url": at + "/enforce_admins", "enabled": p.EnforceAdmins}}
	if len(p.Checks) > 0 {
		names, checks := []string{}, []any{}
		for _, k := range p.Checks {
			names = append(names, k.Context)
			var app any
			if k.App != nil {
				app = k.App.ID
			}
			checks = append(checks, object{"context": k.Context, "app_id": app})
		}
		o["required_status_checks"] = object{"url": at + "/required_status_checks", "strict": p.Strict, "contexts": names, "checks": checks, "contexts_url": at + "/required_status_checks/contexts"}
	}
	if p.Reviews > 0 {
		o["required_pull_request_reviews"] = object{
			"url": at + "/required_pull_request_reviews", "dismiss_stale_reviews": p.DismissStale, "require_code_owner_reviews": false, "required_approving_review_count": p.Reviews,
		}
	}
	return ok(o)
}

func (c *call) getRef() (reply, *apiError) {
	branch, isHead := strings.CutPrefix(c.vars["ref"], "heads/")
	if !isHead || c.repo.refs[branch] == "" {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(c.repo.refJSON(branch))
}

func (c *call) removeRef() (reply, *apiError) {
	branch, isHead := strings.CutPrefix(c.vars["ref"], "heads/")
	switch {
	case !isHead || c.repo.refs[branch] == "":
		return reply{}, refuse(422, "Reference does not exist")
	case branch == c.repo.branch:
		return reply{}, refuse(422, "Cannot delete the default branch")
	case c.repo.protected[branch] != nil:
		return reply{}, refuse(422, "Cannot delete protected branch")
	}
	c.repo.deleteRef(branch, c.auth.actor(), "")
	return reply{204, nil}, nil
}

// commitOrReports serves /commits/{ref} and, since a ref may hold slashes, what hangs on it.
func (c *call) commitOrReports() (reply, *apiError) {
	ref := c.vars["ref"]
	for suffix, f := range map[string]func(*call, *commit) (reply, *apiError){
		"/status": (*call).combinedStatus, "/statuses": (*call).listStatuses, "/check-runs": (*call).listChecks, "/check-suites": (*call).listSuites,
	} {
		if name, found := strings.CutSuffix(ref, suffix); found {
			cm := c.repo.commitAt(name)
			if cm == nil {
				return reply{}, refuse(422, "No commit found for SHA: "+name)
			}
			return f(c, cm)
		}
	}
	cm := c.repo.commitAt(ref)
	if cm == nil {
		return reply{}, refuse(422, "No commit found for SHA: "+ref)
	}
	o := c.repo.commitJSON(cm)
	parent := ""
	if len(cm.parents) > 0 {
		parent = cm.parents[0]
	}
	files, additions, deletions := []any{}, 0, 0
	for _, f := range c.repo.objects.diff(parent, cm.sha) {
		files = append(files, f.json(c.repo, cm.sha))
		additions += f.additions
		deletions += f.deletions
	}
	o["files"], o["stats"] = files, object{"additions": additions, "deletions": deletions, "total": additions + deletions}
	return ok(o)
}

func (c *call) combinedStatus(cm *commit) (reply, *apiError) {
	newest := c.repo.contexts(cm.sha)
	state := "pending"
	if len(newest) > 0 {
		state = "success"
	}
	for _, st := range newest {
		switch st.state {
		case "failure", "error":
			state = "failure"
		case "pending":
			if state == "success" {
				state = "pending"
			}
		}
	}
	out := []any{}
	for _, st := range page(c, newest) {
		o := st.json()
		delete(o, "creator")
		out = append(out, o)
	}
	return ok(object{
		"state": state, "statuses": out, "sha": cm.sha, "total_count": len(newest), "repository": c.repo.json(false),
		"commit_url": c.repo.url("/commits/%s", cm.sha), "url": c.repo.url("/commits/%s/status", cm.sha),
	})
}

func (c *call) listStatuses(cm *commit) (reply, *apiError) {
	all := slices.Clone(c.repo.statuses[cm.sha])
	slices.Reverse(all)
	return list(c, all, (*Status).json)
}

func (c *call) createStatus() (reply, *apiError) {
	var in struct {
		State       string  `json:"state"`
		TargetURL   *string `json:"target_url"`
		Description *string `json:"description"`
		Context     *string `json:"context"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	cm := c.repo.objects.commit(c.vars["sha"])
	if cm == nil {
		return reply{}, refuse(422, "No commit found for SHA: "+c.vars["sha"])
	}
	st := &Status{sha: cm.sha, context: "default", state: in.State}
	if in.Context != nil {
		st.context = *in.Context
	}
	if in.Description != nil {
		st.description = *in.Description
	}
	if in.TargetURL != nil {
		st.targetURL = *in.TargetURL
	}
	if !slices.Contains([]string{"error", "failure", "pending", "success"}, in.State) {
		return reply{}, invalid("Status", "state", "custom")
	}
	if len([]rune(st.description)) > 140 {
		return reply{}, &apiError{status: 422, message: "Validation Failed", errors: []any{object{"resource": "Status", "code": "custom", "field": "description", "message": "description is too long (maximum is 140 characters)"}}}
	}
	if st.targetURL != "" && !strings.HasPrefix(st.targetURL, "http://") && !strings.HasPrefix(st.targetURL, "https://") {
		return reply{}, invalid("Status", "target_url", "custom")
	}
	n := 0
	for _, old := range c.repo.statuses[cm.sha] {
		if old.context == st.context {
			n++
		}
	}
	if n >= 1000 {
		return reply{}, &apiError{status: 422, message: "Validation Failed", errors: []any{object{"resource": "Status", "code": "custom", "message": "This SHA and context has reached the maximum number of statuses."}}}
	}
	return reply{201, c.repo.setStatus(st, c.auth.actor()).json()}, nil
}

func (c *call) listChecks(cm *commit) (reply, *apiError) {
	all := slices.Clone(c.repo.runs[cm.sha])
	if c.query.Get("filter") != "all" {
		all = newest(all)
	}
	all = slices.DeleteFunc(all, func(k *Check) bool {
		name, app, status := c.query.Get("check_name"), c.query.Get("app_id"), c.query.Get("status")
		return name != "" && k.name != name || app != "" && strconv.FormatInt(k.suite.app.ID, 10) != app || status != "" && k.status != status
	})
	slices.Reverse(all)
	out := []any{}
	for _, k := range page(c, all) {
		out = append(out, k.json())
	}
	return ok(object{"total_count": len(all), "check_runs": out})
}

func (c *call) listSuites(cm *commit) (reply, *apiError) {
	var all []*suite
	for _, su := range c.repo.suites {
		if su.sha == cm.sha {
			all = append(all, su)
		}
	}
	out := []any{}
	for _, su := range page(c, all) {
		o := su.json()
		o["repository"] = c.repo.json(false)
		out = append(out, o)
	}
	return ok(object{"total_count": len(all), "check_suites": out})
}

func (c *call) check() *Check {
	if c.repo == nil {
		return nil
	}
	for _, runs := range c.repo.runs {
		for _, k := range runs {
			if strconv.FormatInt(k.id, 10) == c.vars["id"] {
				return k
			}
		}
	}
	return nil
}

func (c *call) getCheck() (reply, *apiError) {
	k := c.check()
	if k == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(k.json())
}

type checkInput struct {
	Name       *string    `json:"name"`
	HeadSHA    string     `json:"head_sha"`
	Status     *string    `json:"status"`
	Conclusion *string    `json:"conclusion"`
	ExternalID *string    `json:"external_id"`
	DetailsURL *string    `json:"details_url"`
	StartedAt  *time.Time `json:"started_at"`
	Completed  *time.Time `json:"completed_at"`
	Output     *struct {
		Title   *string `json:"title"`
		Summary *string `json:"summary"`
		Text    *string `json:"text"`
	} `json:"output"`
}

// into writes what was given over k.
func (in checkInput) into(k *Check) *apiError {
	set := func(to, from *string) {
		if from != nil {
			*to = *from
		}
	}
	if in.Status != nil {
		if !slices.Contains([]string{"queued", "in_progress", "completed", "waiting", "requested", "pending"}, *in.Status) {
			return invalid("CheckRun", "status", "invalid")
		}
		if *in.Status != "completed" {
			k.conclusion = ""
		}
	}
	if in.Conclusion != nil && !slices.Contains([]string{"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}, *in.Conclusion) {
		return invalid("CheckRun", "conclusion", "invalid")
	}
	if in.Status != nil && *in.Status == "completed" && in.Conclusion == nil && k.conclusion == "" {
		return refuse(422, "Invalid request.\n\n\"conclusion\" wasn't supplied.")
	}
	if in.Output != nil {
		if in.Output.Title == nil && k.title == "" || in.Output.Summary == nil && k.summary == "" {
			return refuse(422, "Invalid request.\n\n\"title\", \"summary\" weren't supplied.")
		}
		for _, t := range []*string{in.Output.Summary, in.Output.Text} {
			if t != nil && len(*t) > 65535 {
				return refuse(422, "Invalid request.\n\nOnly 65535 characters are allowed.")
			}
		}
		set(&k.title, in.Output.Title)
		set(&k.summary, in.Output.Summary)
		set(&k.text, in.Output.Text)
	}
	set(&k.name, in.Name)
	set(&k.status, in.Status)
	set(&k.conclusion, in.Conclusion)
	set(&k.externalID, in.ExternalID)
	set(&k.detailsURL, in.DetailsURL)
	if in.StartedAt != nil {
		k.started = in.StartedAt.UTC()
	}
	if in.Completed != nil {
		k.completed = in.Completed.UTC()
	}
	return nil
}

func (c *call) createCheck() (reply, *apiError) {
	var in checkInput
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Name == nil || *in.Name == "" || in.HeadSHA == "" {
		return reply{}, refuse(422, "Invalid request.\n\n\"name\", \"head_sha\" weren't supplied.")
	}
	if c.repo.objects.commit(in.HeadSHA) == nil {
		return reply{}, refuse(422, "No commit found for SHA: "+in.HeadSHA)
	}
	k := &Check{}
	if err := in.into(k); err != nil {
		return reply{}, err
	}
	return reply{201, c.repo.addCheck(k, c.auth.token.inst.App, in.HeadSHA, c.auth.actor()).json()}, nil
}

func (c *call) updateCheck() (reply, *apiError) {
	k := c.check()
	if k == nil {
		return reply{}, refuse(404, "Not Found")
	}
	if k.suite.app != c.auth.token.inst.App {
		return reply{}, refuse(403, "Invalid app_id `"+strconv.FormatInt(c.auth.token.inst.App.ID, 10)+"` - check run can only be modified by the GitHub App that created it.")
	}
	var in checkInput
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	trial := *k
	if err := in.into(&trial); err != nil {
		return reply{}, err
	}
	*k = trial
	k.update(c.auth.actor())
	return ok(k.json())
}

func (c *call) commitPulls() (reply, *apiError) {
	cm := c.repo.objects.find(c.vars["sha"])
	if cm == nil {
		return reply{}, refuse(422, "No commit found for SHA: "+c.vars["sha"])
	}
	return list(c, c.repo.pullsWith(cm.sha), func(pr *PR) object { return pr.json(false, false) })
}

// pullsWith are the pull requests that brought, or would bring, the commit.
func (r *Repo) pullsWith(sha string) []*PR {
	var out []*PR
	for _, pr := range r.pulls {
		if pr.headRepo != r && !pr.merged {
			continue // GitHub doesn't look into forks
		}
		if pr.merged && pr.mergeSHA == sha || slices.ContainsFunc(pr.commits(), func(c *commit) bool { return c.sha == sha }) {
			out = append(out, pr)
		}
	}
	return out
}

func (c *call) listPulls() (reply, *apiError) {
	q := c.query
	state := cmp.Or(q.Get("state"), "open")
	var all []*PR
	for _, pr := range c.repo.pulls {
		if state != "all" && pr.restState() != state || q.Get("base") != "" && q.Get("base") != pr.baseBranch ||
			strings.Contains(q.Get("head"), ":") && q.Get("head") != pr.headOwner.Login+":"+pr.headBranch {
			continue
		}
		all = append(all, pr)
	}
	updated := q.Get("sort") == "updated"
	slices.SortStableFunc(all, func(a, b *PR) int {
		if updated {
			return cmp.Or(a.updatedAt.Compare(b.updatedAt), cmp.Compare(a.number, b.number))
		}
		return cmp.Compare(a.number, b.number)
	})
	if dir := q.Get("direction"); dir == "desc" || dir == "" && !updated {
		slices.Reverse(all)
	}
	return list(c, all, func(pr *PR) object { return pr.json(false, false) })
}

func (c *call) getPull(pr *PR) (reply, *apiError) { return ok(pr.json(true, true)) }

func (c *call) updatePull(pr *PR) (reply, *apiError) {
	var in struct {
		Title *string `json:"title"`
		Body  *string `json:"body"`
		State *string `json:"state"`
		Base  *string `json:"base"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	by := c.auth.actor()
	if c.auth.token.inst == nil && by.user != pr.author && pr.repo.role(by.user) < CanWrite {
		return reply{}, refuse(403, "Resource not accessible by personal access token")
	}
	if in.Base != nil && *in.Base != pr.baseBranch {
		if pr.repo.refs[*in.Base] == "" {
			return reply{}, invalid("PullRequest", "base", "invalid")
		}
		pr.retarget(*in.Base, by, "BaseRefChangedEvent")
	}
	title, body := pr.title, pr.body
	if in.Title != nil {
		title = *in.Title
	}
	if in.Body != nil {
		body = *in.Body
	}
	pr.edit(title, body, by)
	if in.State != nil {
		switch {
		case *in.State == "closed" && !pr.closed:
			pr.close(by)
		case *in.State == "open" && pr.closed:
			if why := pr.reopen(by); why != "" {
				return reply{}, invalid("PullRequest", "state", "invalid")
			}
		case *in.State != "open" && *in.State != "closed":
			return reply{}, invalid("PullRequest", "state", "invalid")
		}
	}
	return ok(pr.json(true, false))
}

func (c *call) listFiles(pr *PR) (reply, *apiError) {
	files := pr.files()
	return list(c, files[:min(len(files), 3000)], func(f changedFile) object { return f.json(pr.repo, pr.headSHA) })
}

func (c *call) listCommits(pr *PR) (reply, *apiError) {
	commits := pr.commits()
	return list(c, commits[:min(len(commits), 250)], pr.repo.commitJSON)
}

func (c *call) listReviews(pr *PR) (reply, *apiError) {
	return list(c, pr.reviews, func(rv *Review) object { return rv.json(false) })
}

func (c *call) createReview(pr *PR) (reply, *apiError) {
	var in struct {
		Event    string `json:"event"`
		Body     string `json:"body"`
		CommitID string `json:"commit_id"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	state := map[string]string{"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}[in.Event]
	u := c.auth.user()
	switch {
	case state == "":
		return reply{}, refuse(422, "Unprocessable Entity")
	case u == pr.author && in.Event == "APPROVE":
		return reply{}, &apiError{status: 422, message: "Unprocessable Entity", errors: []any{"Can not approve your own pull request"}}
	case u == pr.author && in.Event == "REQUEST_CHANGES":
		return reply{}, &apiError{status: 422, message: "Unprocessable Entity", errors: []any{"Can not request changes on your own pull request"}}
	case in.CommitID != "" && pr.repo.objects.commit(in.CommitID) == nil:
		return reply{}, refuse(422, "Unprocessable Entity")
	}
	return ok(pr.review(u, state, in.Body, cmp.Or(in.CommitID, pr.headSHA)).json(false))
}

func (c *call) isMerged(pr *PR) (reply, *apiError) {
	if !pr.merged {
		return reply{}, refuse(404, "Not Found")
	}
	return reply{204, nil}, nil
}

// between lets a test act in the middle of an operation, without the lock.
func (c *call) between() {
	if f := c.s.knobs.between; f != nil {
		c.s.mu.Unlock()
		f(c.op)
		c.s.mu.Lock()
	}
}

func (c *call) mergePull(pr *PR) (reply, *apiError) {
	var in struct {
		SHA     string  `json:"sha"`
		Method  string  `json:"merge_method"`
		Title   string  `json:"commit_title"`
		Message *string `json:"commit_message"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	method := cmp.Or(in.Method, "merge")
	by := c.auth.actor()
	if err := pr.refusal(by.user, method, in.SHA); err != nil {
		return reply{}, err
	}
	base, head := pr.repo.refs[pr.baseBranch], pr.headSHA
	c.between()
	switch {
	case pr.headSHA != head:
		return reply{}, refuse(409, "Head branch was modified. Review and try the merge again.")
	case pr.repo.refs[pr.baseBranch] != base:
		return reply{}, refuse(405, "Base branch was modified. Review and try the merge again.")
	}
	if err := pr.refusal(by.user, method, in.SHA); err != nil {
		return reply{}, err
	}
	return ok(object{"sha": pr.merge(by, method, in.Title, in.Message), "merged": true, "message": "Pull Request successfully merged"})
}

func (c *call) updateBranch(pr *PR) (reply, *apiError) {
	var in struct {
		Expected string `json:"expected_head_sha"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if err := c.bringUpToDate(pr, in.Expected, false); err != nil {
		return reply{}, err
	}
	return reply{202, object{"message": "Updating pull request branch.", "url": pr.page()}}, nil
}

func (c *call) repoLabels() (reply, *apiError) {
	return list(c, c.repo.labels, func(l *Label) object { return l.json().(object) })
}

func (c *call) createLabel() (reply, *apiError) {
	var in struct{ Name, Color, Description string }
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Name == "" {
		return reply{}, invalid("Label", "name", "missing_field")
	}
	if c.repo.label(in.Name) != nil {
		return reply{}, invalid("Label", "name", "already_exists")
	}
	l := c.repo.makeLabel(in.Name, cmp.Or(in.Color, "ededed"), in.Description)
	c.s.fire(c.repo, "label", "created", c.auth.actor(), object{"label": l.json()})
	return reply{201, l.json()}, nil
}

func (c *call) getLabel() (reply, *apiError) {
	l := c.repo.label(c.vars["label"])
	if l == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(l.json())
}

func (c *call) pullLabels(pr *PR) (reply, *apiError) {
	return list(c, pr.labels, func(l *Label) object { return l.json().(object) })
}

// labelNames reads {"labels": […]}, or a bare array as GitHub also takes it.
func (c *call) labelNames() []string {
	var in struct {
		Labels []string `json:"labels"`
	}
	if c.decode(&in.Labels) != nil && c.decode(&in) != nil {
		return nil
	}
	return in.Labels
}

func (c *call) addLabels(pr *PR) (reply, *apiError) {
	names := c.labelNames()
	if len(names) == 0 {
		return reply{}, refuse(422, "Invalid request.\n\nNo subschema in \"oneOf\" matched.")
	}
	for _, name := range names {
		if name == "" || len([]rune(name)) > 50 {
			return reply{}, invalid("Label", "name", "invalid")
		}
	}
	for _, name := range names {
		pr.addLabel(name, c.auth.actor())
	}
	return c.pullLabels(pr)
}

func (c *call) dropLabel(pr *PR) (reply, *apiError) {
	if !pr.removeLabel(c.vars["label"], c.auth.actor()) {
		return reply{}, refuse(404, "Label does not exist")
	}
	return c.pullLabels(pr)
}

func (c *call) listComments(pr *PR) (reply, *apiError) {
	all := pr.comments()
	if since, err := time.Parse(time.RFC3339, c.query.Get("since")); err == nil {
		all = slices.DeleteFunc(all, func(k *Comment) bool { return k.updated.Before(since) })
	}
	return list(c, all, (*Comment).json)
}

func (c *call) createComment(pr *PR) (reply, *apiError) {
	var in struct{ Body string }
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if strings.TrimSpace(in.Body) == "" {
		return reply{}, invalid("IssueComment", "body", "missing_field")
	}
	if len(in.Body) > 65536 {
		return reply{}, invalid("IssueComment", "body", "custom")
	}
	if c.auth.token == nil {
		return reply{}, refuse(401, "Requires authentication")
	}
	return reply{201, pr.comment(c.auth.actor(), in.Body).json()}, nil
}

func (c *call) findComment() *Comment {
	for _, k := range c.repo.comments {
		if strconv.FormatInt(k.id, 10) == c.vars["id"] {
			return k
		}
	}
	return nil
}

func (c *call) getComment() (reply, *apiError) {
	k := c.findComment()
	if k == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(k.json())
}

// ownComment finds a comment that the caller may change: its own, or any for those who may write.
func (c *call) ownComment() (*Comment, *apiError) {
	k := c.findComment()
	if k == nil {
		return nil, refuse(404, "Not Found")
	}
	if u := c.auth.user(); k.author != u && c.auth.token.inst == nil && c.repo.role(u) < CanWrite {
		return nil, refuse(403, "Must have admin rights to Repository.")
	}
	return k, nil
}

func (c *call) editComment() (reply, *apiError) {
	k, err := c.ownComment()
	if err != nil {
		return reply{}, err
	}
	var in struct{ Body string }
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	k.edit(in.Body, c.auth.actor())
	return ok(k.json())
}

func (c *call) deleteComment() (reply, *apiError) {
	k, err := c.ownComment()
	if err != nil {
		return reply{}, err
	}
	k.remove(c.auth.actor())
	return reply{204, nil}, nil
}
