package githubtest

import (
	"cmp"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

//go:embed schema.graphql
var schemaText string

//go:embed mutations.graphql
var mutationsText string

// Schema is the text of the part of GitHub's GraphQL schema that the simulation answers.
func Schema() string { return schemaText + mutationsText }

var schema = sync.OnceValue(func() *ast.Schema {
	return gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: Schema()})
})

// A gqlRequest is a GraphQL request, read.
type gqlRequest struct {
	Query         string         `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`

	bad string // why it could not be read
	doc *ast.QueryDocument
	op  *ast.OperationDefinition
	err []any // what the schema has against it
}

var unknownField = regexp.MustCompile(`^Cannot query field "(\w+)" on type "(\w+)"`)

// parseGraphQL reads a request and holds it against the schema.
func parseGraphQL(body []byte) *gqlRequest {
	q := &gqlRequest{}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(q); err != nil {
		q.bad = "Problems parsing JSON"
		return q
	}
	doc, errs := gqlparser.LoadQueryWithRules(schema(), q.Query, rules.NewDefaultRules())
	for _, e := range errs {
		o := object{"message": e.Message, "extensions": object{"code": e.Rule}}
		if m := unknownField.FindStringSubmatch(e.Message); m != nil {
			o["message"] = fmt.Sprintf("Field '%s' doesn't exist on type '%s'", m[1], m[2])
			o["extensions"] = object{"code": "undefinedField", "typeName": m[2], "fieldName": m[1]}
		}
		if len(e.Locations) > 0 {
			o["locations"] = []any{object{"line": e.Locations[0].Line, "column": e.Locations[0].Column}}
		}
		q.err = append(q.err, o)
	}
	if len(errs) > 0 {
		return q
	}
	q.doc, q.op = doc, doc.Operations.ForName(q.OperationName)
	if q.op == nil {
		q.err = append(q.err, object{"message": "An operation name is required"})
		return q
	}
	vars, err := validator.VariableValues(schema(), q.op, plainNumbers(q.Variables))
	if err != nil {
		q.err = append(q.err, object{"message": err.Error()})
		return q
	}
	q.Variables = vars
	return q
}

// plainNumbers turns json.Number into int64 where it is one, so that ids beyond 2^53 stay what they are.
func plainNumbers(vars map[string]any) map[string]any {
	out := make(map[string]any, len(vars))
	for k, v := range vars {
		if n, ok := v.(json.Number); ok {
			if i, err := n.Int64(); err == nil {
				v = i
			}
		}
		out[k] = v
	}
	return out
}

func (q *gqlRequest) name() string {
	if q.op != nil && q.op.Name != "" {
		return q.op.Name
	}
	return "query"
}

// graphql answers POST /graphql. What the schema does not have, and what the viewer may not see, are errors in a 200.
func (c *call) graphql() (reply, *apiError) {
	q := c.gql
	switch {
	case c.method != "POST":
		return reply{}, refuse(404, "Not Found")
	case c.auth.token == nil && c.auth.app == nil:
		return reply{}, refuse(401, "This endpoint requires you to be authenticated.")
	case c.auth.token == nil:
		return reply{}, refuse(403, "Resource not accessible by integration")
	case q.bad != "":
		return reply{}, refuse(400, q.bad)
	case len(q.err) > 0:
		return ok(object{"errors": q.err})
	}
	if in := c.auth.token.inst; in != nil && in.suspended {
		return reply{}, refuse(403, "This installation has been suspended")
	}
	if over := c.beyond(q.op.SelectionSet); len(over) > 0 {
		return ok(object{"errors": over})
	}
	x := &gqlExec{c: c, s: c.s, vars: q.Variables, merges: map[*PR]*mergeAnswer{}}
	x.cost = max(1, (x.requests(q.op.SelectionSet, 1)+50)/100)
	if x.nodes > nodeLimit {
		return ok(object{"errors": []any{object{
			"type": "MAX_NODE_LIMIT_EXCEEDED", "message": fmt.Sprintf("This query requests up to %d possible nodes which exceeds the maximum limit of 500,000.", x.nodes),
		}}})
	}
	p := c.budget.resource(c.s, "graphql")
	p.used += x.cost
	c.s.usage.Points += x.cost
	var data any
	if q.mutation() != nil {
		data = x.object(mutation{}, "Mutation", q.op.SelectionSet, nil)
		c.refused = len(x.errors) > 0
	} else {
		data = x.object(query{}, "Query", q.op.SelectionSet, nil)
	}
	out := object{"data": data}
	if len(x.errors) > 0 {
		out["errors"] = x.errors
	}
	return ok(out)
}

// A gqlExec carries one operation out.
type gqlExec struct {
	c      *call
	s      *Server
	vars   map[string]any
	cost   int
	nodes  int
	errors []any
	merges map[*PR]*mergeAnswer
}

// nodeLimit is how many nodes a query may ask for.
const nodeLimit = 500_000

// A mergeAnswer is what one query is told about a pull request's mergeability, the same in each of its fields.
type mergeAnswer struct {
	mergeable, state string
	asked            bool
}

// merging tells it. Only selecting mergeable makes GitHub find out.
func (x *gqlExec) merging(pr *PR, ask bool) *mergeAnswer {
	m := x.merges[pr]
	if m == nil {
		m = &mergeAnswer{mergeable: "UNKNOWN", state: pr.mergeState()}
		switch clean, known := pr.mergeable(false); {
		case known && clean:
			m.mergeable = "MERGEABLE"
		case known:
			m.mergeable = "CONFLICTING"
		}
		x.merges[pr] = m
	}
	if ask && !m.asked {
		m.asked = true
		pr.mergeable(true)
	}
	return m
}

// requests counts how many requests a selection would take if each connection were one, as GitHub's cost does.
func (x *gqlExec) requests(set ast.SelectionSet, times int) int {
	sum := 0
	for _, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			n := times
			if strings.HasSuffix(sel.Definition.Type.Name(), "Connection") {
				sum += times
				args := sel.ArgumentMap(x.vars)
				n *= max(1, number(args["first"])+number(args["last"]))
				x.nodes += n
			}
			sum += x.requests(sel.SelectionSet, n)
		case *ast.InlineFragment:
			sum += x.requests(sel.SelectionSet, times)
		case *ast.FragmentSpread:
			sum += x.requests(sel.Definition.SelectionSet, times)
		}
	}
	return sum
}

func (x *gqlExec) fail(kind string, path []any, f *ast.Field, format string, args ...any) {
	e := object{"path": append([]any{}, path...), "message": fmt.Sprintf(format, args...)}
	if kind != "" {
		e["type"] = kind
	}
	if f.Position != nil {
		e["locations"] = []any{object{"line": f.Position.Line, "column": f.Position.Column}}
	}
	x.errors = append(x.errors, e)
}

// object answers a selection on one object of a type.
func (x *gqlExec) object(of any, typ string, set ast.SelectionSet, path []any) any {
	fields, names := map[string]*ast.Field{}, []string{}
	x.collect(set, typ, fields, &names)
	out := object{}
	for _, name := range names {
		f := fields[name]
		if f.Name == "__typename" {
			out[name] = typ
			continue
		}
		at := append(slices.Clone(path), name)
		out[name] = x.value(x.field(of, f, at), f, at)
	}
	return out
}

// collect gathers the fields that a selection has for a type. What is selected twice is selected with both selections.
func (x *gqlExec) collect(set ast.SelectionSet, typ string, fields map[string]*ast.Field, names *[]string) {
	for _, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			if !x.included(sel.Directives) {
				continue
			}
			if had := fields[sel.Alias]; had != nil {
				both := *had
				both.SelectionSet = slices.Concat(had.SelectionSet, sel.SelectionSet)
				fields[sel.Alias] = &both
				continue
			}
			fields[sel.Alias] = sel
			*names = append(*names, sel.Alias)
		case *ast.InlineFragment:
			if x.included(sel.Directives) && (sel.TypeCondition == "" || is(typ, sel.TypeCondition)) {
				x.collect(sel.SelectionSet, typ, fields, names)
			}
		case *ast.FragmentSpread:
			if x.included(sel.Directives) && is(typ, sel.Definition.TypeCondition) {
				x.collect(sel.Definition.SelectionSet, typ, fields, names)
			}
		}
	}
}

func (x *gqlExec) included(ds ast.DirectiveList) bool {
	for _, d := range ds {
		on, _ := d.ArgumentMap(x.vars)["if"].(bool)
		if d.Name == "skip" && on || d.Name == "include" && !on {
			return false
		}
	}
	return true
}

// is reports whether a concrete type is what a fragment asks for.
func is(typ, condition string) bool {
	if typ == condition {
		return true
	}
	for _, d := range schema().PossibleTypes[condition] {
		if d.Name == typ {
			return true
		}
	}
	return false
}

// value turns what a field resolved to into what is answered.
func (x *gqlExec) value(v any, f *ast.Field, path []any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case time.Time:
		return when(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = x.value(e, f, append(slices.Clone(path), i))
		}
		return out
	}
	if len(f.SelectionSet) == 0 {
		return v
	}
	// A review or a comment stands in the timeline as itself.
	if e, ok := v.(*event); ok && e.kind == "PullRequestReview" {
		v = e.review
	} else if ok && e.kind == "IssueComment" {
		v = e.comment
	}
	return x.object(v, typeName(v), f.SelectionSet, path)
}

// What GraphQL has types for and the model does not.
type (
	query     struct{}
	rateLimit struct{}
	viewer    struct{ *User } // a User even where it is an App's bot, and then with "[bot]" in its login
	ref       struct {
		repo *Repo
		name string
	}
	gitObject struct {
		repo *Repo
		sha  string
		kind string // Blob, Tree
		path string // of a tree
	}
	entry struct {
		repo *Repo
		treeEntry
		path string
	}
	commitOf struct {
		repo *Repo
		*commit
	}
	gitActor struct{ s signature }
	prCommit struct {
		pr *PR
		commitOf
	}
	rollup struct {
		repo *Repo
		sha  string
	}
	connection struct {
		typ      string
		all      []any
		from, to int
		extra    map[string]any
	}
	edge struct {
		typ    string
		node   any
		cursor string
	}
	pageInfo   struct{ connection }
	stateCount struct {
		typ, state string
		count      int
	}
)

func typeName(v any) string {
	switch v := v.(type) {
	case query:
		return "Query"
	case mutation:
		return "Mutation"
	case payload:
		return v.typ
	case rateLimit:
		return "RateLimit"
	case viewer:
		return "User"
	case *User:
		return v.Type
	case *App:
		return "App"
	case *Repo:
		return "Repository"
	case ref:
		return "Ref"
	case gitObject:
		return v.kind
	case entry:
		return "TreeEntry"
	case commitOf:
		return "Commit"
	case gitActor:
		return "GitActor"
	case *PR:
		return "PullRequest"
	case *Label:
		return "Label"
	case changedFile:
		return "PullRequestChangedFile"
	case *Review:
		return "PullRequestReview"
	case *Comment:
		return "IssueComment"
	case *event:
		return v.kind
	case prCommit:
		return "PullRequestCommit"
	case rollup:
		return "StatusCheckRollup"
	case *Check:
		return "CheckRun"
	case *suite:
		return "CheckSuite"
	case *Status:
		return "StatusContext"
	case connection:
		return v.typ + "Connection"
	case edge:
		return v.typ + "Edge"
	case pageInfo:
		return "PageInfo"
	case stateCount:
		return v.typ
	}
	if typ := peopleTypes(v); typ != "" {
		return typ
	}
	panic(fmt.Sprintf("githubtest: GraphQL has no type for %T", v))
}

// field resolves one field of one object.
func (x *gqlExec) field(of any, f *ast.Field, path []any) any {
	args := f.ArgumentMap(x.vars)
	switch of := of.(type) {
	case query:
		return x.ofQuery(f, args, path)
	case mutation:
		return x.mutate(f, args, path)
	case payload:
		return nil // clientMutationId, which the client has not given
	case rateLimit:
		p := x.c.budget.resource(x.s, "graphql")
		switch f.Name {
		case "cost":
			return x.cost
		case "nodeCount":
			return x.nodes
		case "limit":
			return p.limit
		case "remaining":
			return max(0, p.limit-p.used)
		case "used":
			return p.used
		case "resetAt":
			return p.reset.Add(x.s.knobs.clockSkew)
		}
	case viewer:
		if f.Name == "login" {
			return of.Login
		}
		return x.ofUser(of.User, f, args)
	case *User:
		return x.ofUser(of, f, args)
	case *App:
		switch f.Name {
		case "id":
			return of.nodeID
		case "databaseId":
			return of.ID
		case "name":
			return of.Name
		case "slug":
			return of.Slug
		case "url":
			return x.s.html("/apps/%s", of.Slug)
		}
	case *Repo:
		return x.ofRepo(of, f, args, path)
	case ref:
		switch f.Name {
		case "id":
			return base64.StdEncoding.EncodeToString([]byte(of.repo.nodeID + ":refs/heads/" + of.name))
		case "name":
			return of.name
		case "prefix":
			return "refs/heads/"
		case "target":
			return x.commit(of.repo, of.repo.refs[of.name])
		case "repository":
			return of.repo
		case "refUpdateRule", "branchProtectionRule":
			return x.ofRefMore(of, f)
		}
	case gitObject:
		return x.ofObject(of, f)
	case entry:
		switch f.Name {
		case "name":
			return of.name
		case "path":
			return of.path
		case "oid":
			return of.sha
		case "mode":
			n, _ := strconv.ParseInt(of.mode, 8, 32)
			return n
		case "type":
			if of.isTree() {
				return "tree"
			}
			return "blob"
		case "object":
			return x.entryObject(of.repo, of.treeEntry, of.path)
		}
	case commitOf:
		return x.ofCommit(of, f, args, path)
	case gitActor:
		switch f.Name {
		case "name":
			return of.s.name
		case "email":
			return of.s.email
		case "date":
			return of.s.at
		case "user":
			if u := x.s.accountOf(of.s); u != nil && u.Type == "User" {
				return u
			}
			return nil
		}
	case *PR:
		return x.ofPull(of, f, args, path)
	case prCommit:
		switch f.Name {
		case "id":
			return "PRC_" + of.sha[:12]
		case "commit":
			return of.commitOf
		case "pullRequest":
			return of.pr
		case "url":
			return of.pr.page() + "/commits/" + of.sha
		}
	case *Label:
		switch f.Name {
		case "id":
			return of.nodeID
		case "name":
			return of.name
		case "color":
			return of.color
		case "description":
			return orNull(of.description)
		case "isDefault":
			return false
		case "url":
			return of.repo.page("/labels/%s", of.name)
		case "repository":
			return of.repo
		case "createdAt":
			return of.createdAt
		}
	case changedFile:
		switch f.Name {
		case "path":
			return of.path
		case "additions":
			return of.additions
		case "deletions":
			return of.deletions
		case "changeType":
			return map[string]string{"removed": "DELETED"}[of.status] + map[bool]string{true: strings.ToUpper(of.status)}[of.status != "removed"]
		}
	case *Review:
		return x.ofReview(of, f, args, path)
	case *Comment:
		return x.ofComment(of, f)
	case *event:
		return x.ofEvent(of, f)
	case rollup:
		return x.ofRollup(of, f, args, path)
	case *Check:
		return x.ofCheck(of, f, args)
	case *suite:
		return x.ofSuite(of, f, args, path)
	case *Status:
		return x.ofStatus(of, f, args)
	case connection:
		return x.ofConnection(of, f)
	case stateCount:
		if f.Name == "count" {
			return of.count
		}
		return of.state
	case edge:
		if f.Name == "cursor" {
			return of.cursor
		}
		return of.node
	case pageInfo:
		switch f.Name {
		case "hasNextPage":
			return of.to < len(of.all)
		case "hasPreviousPage":
			return of.from > 0
		case "startCursor":
			if of.from < of.to {
				return cursor(of.from)
			}
		case "endCursor":
			if of.from < of.to {
				return cursor(of.to - 1)
			}
		}
		return nil
	}
	if peopleTypes(of) != "" {
		return x.ofPeople(of, f, args, path)
	}
	panic(fmt.Sprintf("githubtest: GraphQL: nothing resolves %s of %s", f.Name, typeName(of)))
}

func (x *gqlExec) ofQuery(f *ast.Field, args map[string]any, path []any) any {
	switch f.Name {
	case "id":
		return "Q_query"
	case "viewer":
		return viewer{x.c.auth.user()}
	case "rateLimit":
		return rateLimit{}
	case "repository":
		name := text(args["owner"]) + "/" + text(args["name"])
		r := x.s.byName[strings.ToLower(name)]
		if follow, given := args["followRenames"].(bool); r != nil && given && !follow && !strings.EqualFold(r.full(), name) {
			r = nil
		}
		if r == nil || !x.sees(r) {
			x.fail("NOT_FOUND", path, f, "Could not resolve to a Repository with the name '%s'.", name)
			return nil
		}
		return r
	case "node":
		return x.byID(text(args["id"]), f, path)
	case "nodes":
		list := []any{}
		ids, _ := args["ids"].([]any)
		for i, id := range ids {
			list = append(list, x.byID(text(id), f, append(slices.Clone(path), i)))
		}
		return list
	case "user", "organization", "repositoryOwner":
		u := x.s.accounts[strings.ToLower(text(args["login"]))]
		want := map[string]string{"user": "User", "organization": "Organization"}[f.Name]
		if u == nil || want != "" && u.Type != want {
			x.fail("NOT_FOUND", path, f, "Could not resolve to a %s with the login of '%s'.", f.Definition.Type.Name(), text(args["login"]))
			return nil
		}
		return u
	case "search":
		return x.search(f, args, path)
	}
	return nil
}

func (x *gqlExec) byID(id string, f *ast.Field, path []any) any {
	v := x.s.nodes[id]
	switch v.(type) {
	case *User, *App, *Label, *Review, *Comment, *Thread, *ReviewComment, *Check, *suite, *Status, *event:
		return v
	}
	if r, ok := v.(*Repo); ok && x.sees(r) {
		return r
	}
	if pr, ok := v.(*PR); ok && x.sees(pr.repo) {
		return pr
	}
	x.fail("NOT_FOUND", path, f, "Could not resolve to a node with the global id of '%s'", id)
	return nil
}

// sees reports whether the caller may know of a repository.
func (x *gqlExec) sees(r *Repo) bool {
	if !r.private {
		return true
	}
	if x.c.auth.token.inst != nil {
		return x.c.covered(r)
	}
	return x.c.role(r) >= CanRead
}

// forbidden refuses an installation that lacks a permission in a private repository.
func (x *gqlExec) forbidden(r *Repo, permission string, path []any, f *ast.Field) bool {
	t := x.c.auth.token
	if !r.private || t.inst == nil || permitted(t.permissions, permission) {
		return false
	}
	x.fail("FORBIDDEN", path, f, "Resource not accessible by integration")
	return true
}

func (x *gqlExec) ofUser(u *User, f *ast.Field, args map[string]any) any {
	switch f.Name {
	case "id":
		return u.nodeID
	case "databaseId":
		return u.ID
	case "login":
		return strings.TrimSuffix(u.Login, "[bot]")
	case "name":
		return u.Login
	case "email":
		return ""
	case "url":
		return u.json().(object)["html_url"]
	case "avatarUrl":
		return u.json().(object)["avatar_url"]
	case "createdAt":
		return u.createdAt
	case "status":
		if u.busy {
			return userStatus{u}
		}
	case "team":
		if t := u.team(text(args["slug"])); t != nil {
			return t
		}
	}
	return nil
}

func (x *gqlExec) ofRepo(r *Repo, f *ast.Field, args map[string]any, path []any) any {
	switch f.Name {
	case "databaseId":
		return r.ID
	case "id":
		return r.nodeID
	case "name":
		return r.name
	case "nameWithOwner":
		return r.full()
	case "owner":
		return r.owner
	case "url":
		return r.page("")
	case "isArchived":
		return r.archived
	case "isPrivate":
		return r.private
	case "isFork":
		return r.parent != nil
	case "isDisabled":
		return false
	case "mergeCommitAllowed":
		return r.methods["merge"]
	case "squashMergeAllowed":
		return r.methods["squash"]
	case "rebaseMergeAllowed":
		return r.methods["rebase"]
	case "deleteBranchOnMerge":
		return r.deleteHead
	case "viewerPermission":
		if x.c.auth.token.inst != nil {
			if x.c.covered(r) && x.c.auth.token.permissions["contents"] == "write" {
				return "WRITE"
			}
			return "READ"
		}
		if role := x.c.role(r); role >= CanRead {
			return strings.ToUpper(role.String())
		}
		return nil
	case "defaultBranchRef":
		return x.ref(r, r.branch)
	case "createdAt":
		return r.createdAt
	case "updatedAt":
		return r.updatedAt
	case "pushedAt":
		return r.pushedAt
	case "parent":
		if r.parent == nil {
			return nil
		}
		return r.parent
	case "mergeQueue":
		if x.forbidden(r, "merge_queues:read", path, f) {
			return nil
		}
		return x.queue(r, text(args["branch"]))
	case "object":
		if x.forbidden(r, readContents, path, f) {
			return nil
		}
		return x.expression(r, text(args["expression"]), text(args["oid"]))
	case "ref":
		return x.ref(r, strings.TrimPrefix(text(args["qualifiedName"]), "refs/heads/"))
	case "pullRequest", "pullRequests":
		if x.forbidden(r, "pull_requests:read", path, f) {
			return nil
		}
		if f.Name == "pullRequests" {
			return x.page(f, args, path, "PullRequest", x.pulls(r, args), nil)
		}
		n := number(args["number"])
		for _, pr := range r.pulls {
			if pr.number == n {
				return pr
			}
		}
		x.fail("NOT_FOUND", path, f, "Could not resolve to a PullRequest with the number of %d.", n)
		return nil
	case "label":
		for _, l := range r.labels {
			if strings.EqualFold(l.name, text(args["name"])) {
				return l
			}
		}
		return nil
	case "labels":
		return x.page(f, args, path, "Label", anys(r.labels), nil)
	}
	return nil
}

func (x *gqlExec) pulls(r *Repo, args map[string]any) []any {
	list := slices.Clone(r.pulls)
	keep := func(ok func(*PR) bool) {
		list = slices.DeleteFunc(list, func(pr *PR) bool { return !ok(pr) })
	}
	if states := listed(args["states"]); states != nil {
		keep(func(pr *PR) bool { return slices.Contains(states, any(pullState(pr))) })
	}
	if base, ok := args["baseRefName"].(string); ok {
		keep(func(pr *PR) bool { return pr.baseBranch == base })
	}
	if head, ok := args["headRefName"].(string); ok {
		keep(func(pr *PR) bool { return pr.headBranch == head })
	}
	if names, ok := args["labels"].([]any); ok {
		keep(func(pr *PR) bool {
			return slices.ContainsFunc(pr.labels, func(l *Label) bool { return slices.Contains(names, any(l.name)) })
		})
	}
	return ordered(list, args)
}

// listed is an argument that is a list. One value alone is a list of it, as everywhere in GraphQL.
func listed(v any) []any {
	if list, ok := v.([]any); ok || v == nil {
		return list
	}
	return []any{v}
}

// ordered sorts pull requests as orderBy says.
func ordered(list []*PR, args map[string]any) []any {
	if order, ok := args["orderBy"].(map[string]any); ok {
		slices.SortStableFunc(list, func(a, b *PR) int {
			n := cmp.Compare(a.id, b.id)
			if order["field"] == "UPDATED_AT" {
				n = cmp.Or(a.updatedAt.Compare(b.updatedAt), n)
			}
			if order["direction"] == "DESC" {
				n = -n
			}
			return n
		})
	}
	return anys(list)
}

func pullState(pr *PR) string {
	switch {
	case pr.merged:
		return "MERGED"
	case pr.closed:
		return "CLOSED"
	}
	return "OPEN"
}

func (x *gqlExec) ref(r *Repo, branch string) any {
	if r == nil || r.refs[branch] == "" {
		return nil
	}
	return ref{r, branch}
}

func (x *gqlExec) commit(r *Repo, sha string) any {
	if c := r.objects.commit(sha); c != nil {
		return commitOf{r, c}
	}
	return nil
}

// expression resolves "HEAD:path", "branch", "<commit>:path" and the like.
func (x *gqlExec) expression(r *Repo, expr, oid string) any {
	rev, path, inside := strings.Cut(expr, ":")
	if oid != "" {
		rev, inside = oid, false
	}
	rev = strings.TrimPrefix(rev, "refs/heads/")
	if rev == "HEAD" {
		rev = r.branch
	}
	sha := r.refs[rev]
	if sha == "" {
		if c := r.objects.find(rev); c != nil {
			sha = c.sha
		}
	}
	c := r.objects.commit(sha)
	if c == nil {
		if _, ok := r.objects.blob(rev); ok && !inside {
			return gitObject{r, rev, "Blob", ""}
		}
		return nil
	}
	if !inside {
		return commitOf{r, c}
	}
	e, found := r.objects.lookup(c.tree, path)
	if !found {
		return nil
	}
	return x.entryObject(r, e, path)
}

func (x *gqlExec) entryObject(r *Repo, e treeEntry, path string) any {
	if e.isTree() {
		return gitObject{r, e.sha, "Tree", path}
	}
	return gitObject{r, e.sha, "Blob", path}
}

// textLimit is how large a blob GitHub shows as text.
const textLimit = 512 << 10

func (x *gqlExec) ofObject(o gitObject, f *ast.Field) any {
	switch f.Name {
	case "id":
		return "GO_" + o.sha[:16]
	case "oid":
		return o.sha
	case "abbreviatedOid":
		return o.sha[:7]
	case "commitUrl":
		return o.repo.page("/commit/%s", o.sha)
	case "repository":
		return o.repo
	case "entries":
		entries, _ := o.repo.objects.tree(o.sha)
		list := []any{}
		for _, e := range entries {
			list = append(list, entry{o.repo, e, strings.TrimPrefix(o.path+"/"+e.name, "/")})
		}
		return list
	}
	content, _ := o.repo.objects.blob(o.sha)
	binary := slices.Contains(content, 0) || !utf8.Valid(content)
	switch f.Name {
	case "byteSize":
		return len(content)
	case "isBinary":
		return binary
	case "isTruncated":
		return len(content) > textLimit
	case "text":
		if binary {
			return nil
		}
		return string(content[:min(len(content), textLimit)])
	}
	return nil
}

func (x *gqlExec) ofCommit(c commitOf, f *ast.Field, args map[string]any, path []any) any {
	o := c.repo.objects
	diff := func() (add, del, files int) {
		from := ""
		if len(c.parents) > 0 {
			from = c.parents[0]
		}
		for _, d := range o.diff(from, c.sha) {
			add, del, files = add+d.additions, del+d.deletions, files+1
		}
		return add, del, files
	}
	switch f.Name {
	case "id":
		return "C_" + c.sha[:16]
	case "oid":
		return c.sha
	case "abbreviatedOid":
		return c.sha[:7]
	case "commitUrl", "url":
		return c.repo.page("/commit/%s", c.sha)
	case "repository":
		return c.repo
	case "message":
		return c.message
	case "messageHeadline":
		head, _, _ := strings.Cut(c.message, "\n")
		return head
	case "committedDate":
		return c.committer.at
	case "authoredDate":
		return c.author.at
	case "author":
		return gitActor{c.author}
	case "committer":
		return gitActor{c.committer}
	case "statusCheckRollup":
		return x.rollup(c.repo, c.sha, path, f)
	case "additions":
		n, _, _ := diff()
		return n
	case "deletions":
		_, n, _ := diff()
		return n
	case "changedFilesIfAvailable":
		_, _, n := diff()
		return n
	case "authors":
		list := []any{gitActor{c.author}}
		for _, s := range c.coAuthors() {
			list = append(list, gitActor{s})
		}
		return x.page(f, args, path, "GitActor", list, nil)
	case "signature":
		if c.signed {
			return gitSignature{c.commit}
		}
	case "parents":
		list := []any{}
		for _, p := range c.parents {
			list = append(list, x.commit(c.repo, p))
		}
		return x.page(f, args, path, "Commit", list, nil)
	case "tree":
		return gitObject{c.repo, c.tree, "Tree", ""}
	case "associatedPullRequests":
		return x.page(f, args, path, "PullRequest", ordered(c.repo.pullsWith(c.sha), args), nil)
	case "checkSuites":
		list := []any{}
		for _, su := range c.repo.suites {
			if su.sha == c.sha {
				list = append(list, su)
			}
		}
		return x.page(f, args, path, "CheckSuite", list, nil)
	}
	return nil
}

// rollup is null while nothing has reported.
func (x *gqlExec) rollup(r *Repo, sha string, path []any, f *ast.Field) any {
	if x.forbidden(r, "checks:read", path, f) || x.forbidden(r, "statuses:read", path, f) {
		return nil
	}
	if _, ok := r.rollup(sha); !ok {
		return nil
	}
	return rollup{r, sha}
}

func (x *gqlExec) ofRollup(o rollup, f *ast.Field, args map[string]any, path []any) any {
	switch f.Name {
	case "id":
		return "SCR_" + o.sha[:16]
	case "state":
		state, _ := o.repo.rollup(o.sha)
		return state
	case "commit":
		return x.commit(o.repo, o.sha)
	case "contexts":
		// A run that was repeated stands beside its older ones.
		runs, statuses := o.repo.runs[o.sha], o.repo.contexts(o.sha)
		return x.page(f, args, path, "StatusCheckRollupContext", append(anys(runs), anys(statuses)...),
			map[string]any{
				"checkRunCount": len(runs), "statusContextCount": len(statuses),
				"checkRunCountsByState":      countsByState("CheckRunStateCount", runs, (*Check).runState),
				"statusContextCountsByState": countsByState("StatusContextStateCount", statuses, func(st *Status) string { return strings.ToUpper(st.state) }),
			})
	}
	return nil
}

// runState is a run's conclusion once it has one, else its status.
func (c *Check) runState() string {
	return strings.ToUpper(cmp.Or(c.conclusion, c.status))
}

// countsByState counts those that are in each state, states that nobody is in left out.
func countsByState[T any](typ string, all []T, state func(T) string) []any {
	counts := map[string]int{}
	for _, x := range all {
		counts[state(x)]++
	}
	out := []any{}
	for _, s := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, stateCount{typ, s, counts[s]})
	}
	return out
}

func (x *gqlExec) ofPull(pr *PR, f *ast.Field, args map[string]any, path []any) any {
	sum := func(of func(changedFile) int) int {
		n := 0
		for _, d := range pr.files() {
			n += of(d)
		}
		return n
	}
	switch f.Name {
	case "databaseId":
		return pr.id
	case "fullDatabaseId":
		return strconv.FormatInt(pr.id, 10)
	case "id":
		return pr.nodeID
	case "number":
		return pr.number
	case "url", "permalink":
		return pr.page()
	case "title":
		return pr.title
	case "body":
		return pr.body
	case "state":
		return pullState(pr)
	case "isDraft":
		return pr.draft
	case "closed":
		return pr.closed
	case "closedAt":
		return pr.closedAt
	case "merged":
		return pr.merged
	case "mergedAt":
		return pr.mergedAt
	case "mergedBy":
		return who(pr.mergedBy)
	case "mergeCommit":
		return x.commit(pr.repo, pr.mergeSHA)
	case "createdAt":
		return pr.createdAt
	case "updatedAt":
		return pr.updatedAt
	case "author":
		return who(pr.author)
	case "authorAssociation":
		return pr.repo.association(pr.author)
	case "baseRefName":
		return pr.baseBranch
	case "baseRefOid":
		return pr.baseSHA // as of the last push to the head, as at GitHub
	case "baseRef":
		return x.ref(pr.repo, pr.baseBranch)
	case "baseRepository", "repository":
		return pr.repo
	case "headRefName":
		return pr.headBranch
	case "headRefOid":
		return pr.headSHA
	case "headRef":
		return x.ref(pr.headRepo, pr.headBranch)
	case "headRepository":
		if pr.headRepo == nil {
			return nil
		}
		return pr.headRepo
	case "headRepositoryOwner":
		return who(pr.headOwner)
	case "isCrossRepository":
		return pr.headRepo != pr.repo
	case "maintainerCanModify":
		return pr.headRepo != nil && pr.headRepo != pr.repo
	case "viewerCanUpdate":
		u := x.c.auth.user()
		return u == pr.author || pr.repo.role(u) >= CanWrite
	case "locked":
		return false
	case "mergeable":
		return x.merging(pr, true).mergeable
	case "mergeStateStatus":
		return x.merging(pr, false).state
	case "additions":
		return sum(func(d changedFile) int { return d.additions })
	case "deletions":
		return sum(func(d changedFile) int { return d.deletions })
	case "changedFiles":
		return len(pr.files())
	case "reviewDecision":
		return orNull(pr.decision())
	case "labels":
		list := slices.Clone(pr.labels)
		if order, ok := args["orderBy"].(map[string]any); ok {
			slices.SortStableFunc(list, func(a, b *Label) int {
				n := cmp.Compare(a.id, b.id)
				if order["field"] == "NAME" {
					n = strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name))
				}
				if order["direction"] == "DESC" {
					n = -n
				}
				return n
			})
		}
		return x.page(f, args, path, "Label", anys(list), nil)
	case "files":
		return x.page(f, args, path, "PullRequestChangedFile", anys(pr.files()[:min(len(pr.files()), 3000)]), nil)
	case "reviews":
		list := slices.Clone(pr.reviews)
		if states := listed(args["states"]); states != nil {
			list = slices.DeleteFunc(list, func(rv *Review) bool { return !slices.Contains(states, any(rv.state)) })
		}
		if login, ok := args["author"].(string); ok {
			list = slices.DeleteFunc(list, func(rv *Review) bool { return !strings.EqualFold(rv.author.Login, login) })
		}
		return x.page(f, args, path, "PullRequestReview", anys(list), nil)
	case "latestReviews":
		last := map[*User]*Review{}
		for _, rv := range pr.reviews {
			last[rv.author] = rv
		}
		list := slices.DeleteFunc(slices.Clone(pr.reviews), func(rv *Review) bool { return last[rv.author] != rv })
		return x.page(f, args, path, "PullRequestReview", anys(list), nil)
	case "latestOpinionatedReviews":
		list := pr.opinions()
		if only, _ := args["writersOnly"].(bool); only {
			list = slices.DeleteFunc(list, func(rv *Review) bool { return pr.repo.role(rv.author) < CanWrite })
		}
		return x.page(f, args, path, "PullRequestReview", anys(list), nil)
	case "comments":
		list := pr.comments()
		if order, ok := args["orderBy"].(map[string]any); ok {
			slices.SortStableFunc(list, func(a, b *Comment) int {
				n := cmp.Or(a.updated.Compare(b.updated), cmp.Compare(a.id, b.id))
				if order["direction"] == "DESC" {
					n = -n
				}
				return n
			})
		}
		return x.page(f, args, path, "IssueComment", anys(list), nil)
	case "timelineItems":
		list := pr.timelineOf(args["itemTypes"])
		return x.page(f, args, path, "PullRequestTimelineItems", list, map[string]any{
			"filteredCount": len(list), "pageCount": len(list), "updatedAt": pr.updatedAt,
		})
	case "commits":
		list := []any{}
		for _, c := range pr.commits() {
			list = append(list, prCommit{pr, commitOf{pr.repo, c}})
		}
		return x.page(f, args, path, "PullRequestCommit", list, nil)
	case "statusCheckRollup":
		return x.rollup(pr.repo, pr.headSHA, path, f)
	}
	return x.ofPullMore(pr, f, args, path)
}

// timelineOf is the timeline, only of some types when types are given.
func (pr *PR) timelineOf(types any) []any {
	wanted, some := types.([]any)
	out := []any{}
	for _, e := range pr.timeline {
		// LabeledEvent is LABELED_EVENT.
		var name strings.Builder
		for i, r := range e.kind {
			if i > 0 && r >= 'A' && r <= 'Z' {
				name.WriteByte('_')
			}
			name.WriteRune(r)
		}
		if some && !slices.Contains(wanted, any(strings.ToUpper(name.String()))) {
			continue
		}
		out = append(out, e)
	}
	return out
}

// who is an account, or null.
func who(u *User) any {
	if u == nil {
		return nil
	}
	return u
}

func (x *gqlExec) ofReview(rv *Review, f *ast.Field, args map[string]any, path []any) any {
	switch f.Name {
	case "editor":
		return who(rv.editor)
	case "lastEditedAt":
		return rv.edited
	case "reactionGroups":
		return groupsOf(rv.written)
	case "comments":
		list := slices.DeleteFunc(rv.pr.threadComments(), func(c *ReviewComment) bool { return c.review != rv })
		return x.page(f, args, path, "PullRequestReviewComment", anys(list), nil)
	case "databaseId":
		return rv.id
	case "fullDatabaseId":
		return strconv.FormatInt(rv.id, 10)
	case "id":
		return rv.nodeID
	case "author":
		return who(rv.author)
	case "body":
		return rv.body
	case "state":
		return rv.state
	case "commit":
		return x.commit(rv.pr.repo, rv.commit)
	case "submittedAt", "createdAt":
		return rv.submitted
	case "updatedAt":
		return rv.updated
	case "authorCanPushToRepository":
		return rv.pr.repo.pushes(rv.author)
	case "authorAssociation":
		return rv.pr.repo.association(rv.author)
	case "url":
		return fmt.Sprintf("%s#pullrequestreview-%d", rv.pr.page(), rv.id)
	case "pullRequest":
		return rv.pr
	case "repository":
		return rv.pr.repo
	}
	return nil
}

func (x *gqlExec) ofComment(k *Comment, f *ast.Field) any {
	switch f.Name {
	case "databaseId":
		return k.id
	case "fullDatabaseId":
		return strconv.FormatInt(k.id, 10)
	case "id":
		return k.nodeID
	case "author":
		return who(k.author)
	case "body":
		return k.body
	case "createdAt":
		return k.created
	case "updatedAt":
		return k.updated
	case "editor":
		return who(k.editor)
	case "lastEditedAt":
		return k.edited
	case "reactionGroups":
		return groupsOf(k.written)
	case "authorAssociation":
		return k.repo.association(k.author)
	case "url":
		return fmt.Sprintf("%s#issuecomment-%d", k.repo.page("/pull/%d", k.number), k.id)
	case "viewerDidAuthor":
		return k.author == x.c.auth.user()
	case "pullRequest":
		for _, pr := range k.repo.pulls {
			if pr.number == k.number {
				return pr
			}
		}
		return nil
	case "repository":
		return k.repo
	}
	return nil
}

func (x *gqlExec) ofEvent(e *event, f *ast.Field) any {
	commit := func(sha string) any {
		for _, r := range x.s.repos {
			if c := r.objects.commit(sha); c != nil {
				return commitOf{r, c}
			}
		}
		return nil
	}
	switch f.Name {
	case "id":
		return e.nodeID
	case "actor":
		return who(e.actor)
	case "createdAt":
		return e.at
	case "label":
		return e.label
	case "commit":
		return commit(e.commit)
	case "beforeCommit":
		return commit(e.from)
	case "afterCommit":
		return commit(e.to)
	case "databaseId":
		return e.review.id
	case "mergeRefName", "currentTitle", "currentRefName", "newBase":
		return e.to
	case "headRefName", "previousTitle", "previousRefName", "oldBase":
		return e.from
	}
	return nil
}

func upperOrNull(s string) any { return orNull(strings.ToUpper(s)) }

func (x *gqlExec) requiredBy(r *Repo, args map[string]any, name string, app *App) bool {
	for _, pr := range r.pulls {
		if pr.number == number(args["pullRequestNumber"]) || pr.nodeID == text(args["pullRequestId"]) {
			return pr.required(name, app)
		}
	}
	return false
}

func (x *gqlExec) ofCheck(c *Check, f *ast.Field, args map[string]any) any {
	switch f.Name {
	case "databaseId":
		return c.id
	case "id":
		return c.nodeID
	case "name":
		return c.name
	case "status":
		return strings.ToUpper(c.status)
	case "conclusion":
		return upperOrNull(c.conclusion)
	case "startedAt":
		return c.started
	case "completedAt":
		return c.completed
	case "detailsUrl", "permalink", "url":
		return c.details()
	case "externalId":
		return orNull(c.externalID)
	case "title":
		return orNull(c.title)
	case "summary":
		return orNull(c.summary)
	case "text":
		return orNull(c.text)
	case "checkSuite":
		return c.suite
	case "isRequired":
		return x.requiredBy(c.repo, args, c.name, c.suite.app)
	}
	return nil
}

func (x *gqlExec) ofSuite(su *suite, f *ast.Field, args map[string]any, path []any) any {
	status, conclusion := su.state()
	switch f.Name {
	case "id":
		return su.nodeID
	case "databaseId":
		return su.id
	case "app":
		return su.app
	case "status":
		return strings.ToUpper(status)
	case "conclusion":
		return upperOrNull(conclusion)
	case "createdAt":
		return su.created
	case "updatedAt":
		return su.updated
	case "commit":
		return x.commit(su.repo, su.sha)
	case "checkRuns":
		return x.page(f, args, path, "CheckRun", anys(su.runs(true)), nil)
	}
	return nil
}

func (x *gqlExec) ofStatus(st *Status, f *ast.Field, args map[string]any) any {
	switch f.Name {
	case "id":
		return st.nodeID
	case "context":
		return st.context
	case "state":
		return strings.ToUpper(st.state)
	case "description":
		return orNull(st.description)
	case "targetUrl":
		return orNull(st.targetURL)
	case "createdAt":
		return st.created
	case "creator":
		return who(st.creator)
	case "commit":
		return x.commit(st.repo, st.sha)
	case "isRequired":
		var by *App
		for _, a := range x.s.apps {
			if a.Bot == st.creator {
				by = a
			}
		}
		return x.requiredBy(st.repo, args, st.context, by)
	}
	return nil
}

// Connections.

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

func cursor(i int) string {
	return base64.StdEncoding.EncodeToString([]byte("cursor:" + strconv.Itoa(i)))
}

func position(c any) (int, bool) {
	raw, err := base64.StdEncoding.DecodeString(text(c))
	if err != nil {
		return 0, false
	}
	rest, ok := strings.CutPrefix(string(raw), "cursor:")
	n, err := strconv.Atoi(rest)
	return n, ok && err == nil
}

// page cuts a connection to what was asked for, under GitHub's rules: first or last, 1 to 100.
func (x *gqlExec) page(f *ast.Field, args map[string]any, path []any, typ string, all []any, extra map[string]any) any {
	first, last := number(args["first"]), number(args["last"])
	name := f.Name
	switch {
	case args["first"] == nil && args["last"] == nil:
		x.fail("MISSING_PAGINATION_BOUNDARIES", path, f, "You must provide a `first` or `last` value to properly paginate the `%s` connection.", name)
		return nil
	case args["first"] != nil && args["last"] != nil:
		x.fail("", path, f, "Passing both `first` and `last` to paginate the `%s` connection is not supported.", name)
		return nil
	case first > 100 || last > 100:
		x.fail("EXCESSIVE_PAGINATION", path, f, "Requesting %d records on the `%s` connection exceeds the `first` limit of 100 records.", max(first, last), name)
		return nil
	case first < 0 || last < 0:
		x.fail("", path, f, "`first` on the `%s` connection cannot be less than zero.", name)
		return nil
	}
	from, to := 0, len(all)
	if c := args["after"]; c != nil {
		n, ok := position(c)
		if !ok {
			x.fail("INVALID_CURSOR_ARGUMENTS", path, f, "`%s` does not appear to be a valid cursor.", text(c))
			return nil
		}
		from = min(n+1, to)
	}
	if c := args["before"]; c != nil {
		n, ok := position(c)
		if !ok {
			x.fail("INVALID_CURSOR_ARGUMENTS", path, f, "`%s` does not appear to be a valid cursor.", text(c))
			return nil
		}
		to = max(from, min(n, to))
	}
	if args["first"] != nil {
		to = min(to, from+first)
	} else {
		from = max(from, to-last)
	}
	return connection{typ: typ, all: all, from: from, to: to, extra: extra}
}

func (x *gqlExec) ofConnection(c connection, f *ast.Field) any {
	switch f.Name {
	case "nodes":
		return slices.Clone(c.all[c.from:c.to])
	case "edges":
		list := []any{}
		for i := c.from; i < c.to; i++ {
			list = append(list, edge{c.typ, c.all[i], cursor(i)})
		}
		return list
	case "totalCount":
		return len(c.all)
	case "pageInfo":
		return pageInfo{c}
	}
	return c.extra[f.Name]
}

// number is an argument that is an integer, or 0.
func number(v any) int {
	switch v := v.(type) {
	case int64:
		return int(v)
	case int:
		return v
	case float64:
		return int(v)
	case json.Number:
		n, _ := v.Int64()
		return int(n)
	}
	return 0
}
