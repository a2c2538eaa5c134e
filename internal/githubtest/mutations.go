package githubtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

type (
	mutation struct{}             // GraphQL's root of what changes something
	payload  struct{ typ string } // answers a mutation, and says nothing but that it is done
)

// mutation is the one thing that a GraphQL request changes, or nil when it only asks.
func (q *gqlRequest) mutation() *ast.Field {
	if q == nil || q.op == nil || q.op.Operation != ast.Mutation || len(q.op.SelectionSet) == 0 {
		return nil
	}
	f, _ := q.op.SelectionSet[0].(*ast.Field)
	return f
}

// A gqlWrite is a mutation: what it takes to be allowed to use it, and what it does or why it is refused.
type gqlWrite struct {
	kind   string // in the journal
	id     string // the argument that names what it is about
	app    []string
	handle func(x *gqlExec, of any, in map[string]any) (refused string)
}

// An App needs both permissions for what GitHub counts as a change of the code, drafts among it.
var changesCode = []string{"pull_requests:write", "contents:write"}

var gqlWrites map[string]gqlWrite

func init() {
	graphqlRoute.kind = (*call).graphKind
	gqlWrites = map[string]gqlWrite{
		"markPullRequestReadyForReview": {"ready", "pullRequestId", changesCode, onGraphPull((*gqlExec).markReady)},
		"convertPullRequestToDraft":     {"draft", "pullRequestId", changesCode, onGraphPull((*gqlExec).markDraft)},
		"updatePullRequestBranch":       {"branch.update", "pullRequestId", changesCode, onGraphPull((*gqlExec).updateBranch)},
		"enqueuePullRequest":            {"queue.add", "pullRequestId", changesCode, onGraphPull((*gqlExec).enqueue)},
		"dequeuePullRequest":            {"queue.remove", "id", changesCode, onGraphPull((*gqlExec).dequeue)},
		"addReaction":                   {"reaction.add", "subjectId", []string{"pull_requests:write"}, (*gqlExec).addReaction},
	}
}

// mutate carries a mutation out.
func (x *gqlExec) mutate(f *ast.Field, args map[string]any, path []any) any {
	w := gqlWrites[f.Name]
	in, _ := args["input"].(map[string]any)
	of := x.byID(text(in[w.id]), f, path)
	if of == nil {
		return nil // byID has said so
	}
	pr, author := x.s.about(of)
	switch {
	case pr == nil:
		x.fail("NOT_FOUND", path, f, "Could not resolve to a node with the global id of '%s'", text(in[w.id]))
		return nil
	case !x.mayWrite(pr.repo, w, author):
		x.fail("FORBIDDEN", path, f, "Resource not accessible by %s", map[bool]string{true: "integration", false: "personal access token"}[x.c.auth.token.inst != nil])
		return nil
	case pr.repo.archived:
		x.fail("UNPROCESSABLE", path, f, "Repository was archived so is read-only.")
		return nil
	}
	if refused := w.handle(x, of, in); refused != "" {
		x.fail("UNPROCESSABLE", path, f, "%s", refused)
		return nil
	}
	return payload{f.Definition.Type.Name()}
}

// about is the pull request that a node is or belongs to, and who wrote it.
func (s *Server) about(of any) (*PR, *User) {
	switch of := of.(type) {
	case *PR:
		return of, of.author
	case *Comment:
		return of.repo.pull(of.number), of.author
	case *Review:
		return of.pr, of.author
	case *ReviewComment:
		return of.thread.pr, of.author
	}
	return nil, nil
}

// mayWrite reports whether the caller may do that there: an App with its permissions; a person who may write, or whose pull
// request it is, and to react whoever may read.
func (x *gqlExec) mayWrite(r *Repo, w gqlWrite, author *User) bool {
	if x.c.auth.token.inst != nil {
		return x.c.covered(r) && !slices.ContainsFunc(w.app, func(p string) bool { return !permitted(x.c.auth.token.permissions, p) })
	}
	switch role := x.c.role(r); w.kind {
	case "reaction.add":
		return role >= CanRead
	case "ready", "draft":
		return role >= CanWrite || x.c.auth.user() == author
	default:
		return role >= CanWrite
	}
}

func onGraphPull(f func(*gqlExec, *PR, map[string]any) string) func(*gqlExec, any, map[string]any) string {
	return func(x *gqlExec, of any, in map[string]any) string {
		pr, isPull := of.(*PR)
		if !isPull {
			return "Could not resolve to a PullRequest"
		}
		return f(x, pr, in)
	}
}

func (x *gqlExec) markReady(pr *PR, _ map[string]any) string {
	switch {
	case pr.closed:
		return "Pull request is closed"
	case !pr.draft:
		return "Pull request is not a draft"
	}
	pr.setDraft(false, x.c.auth.actor())
	return ""
}

func (x *gqlExec) markDraft(pr *PR, _ map[string]any) string {
	switch {
	case pr.closed:
		return "Pull request is closed"
	case pr.draft:
		return "Pull request is already a draft"
	}
	pr.setDraft(true, x.c.auth.actor())
	return ""
}

func (x *gqlExec) updateBranch(pr *PR, in map[string]any) string {
	if err := x.c.bringUpToDate(pr, text(in["expectedHeadOid"]), text(in["updateMethod"]) == "REBASE"); err != nil {
		return err.message
	}
	return ""
}

func (x *gqlExec) enqueue(pr *PR, in map[string]any) string {
	x.c.between()
	return pr.enqueue(x.c.auth.actor(), text(in["expectedHeadOid"]))
}

func (x *gqlExec) dequeue(pr *PR, _ map[string]any) string {
	if !pr.dequeue(x.c.auth.actor(), "MANUAL") {
		return "Pull request is not in the queue"
	}
	return ""
}

// addReaction leaves a reaction; one that is there already is no error, and nothing new.
func (x *gqlExec) addReaction(of any, in map[string]any) string {
	var w *written
	switch of := of.(type) {
	case *Comment:
		w = &of.written
	case *Review:
		w = &of.written
	case *ReviewComment:
		w = &of.written
	default:
		return "Could not resolve to a Reactable"
	}
	w.react(x.s, x.c.auth.user(), restReaction(text(in["content"])))
	return ""
}

func restReaction(graphql string) string {
	for _, n := range reactionNames {
		if n[1] == graphql {
			return n[0]
		}
	}
	return ""
}

// graphKind is a mutation as the journal has it.
func (c *call) graphKind() (kind, what, sha string) {
	f := c.gql.mutation()
	w := gqlWrites[f.Name]
	in, _ := f.ArgumentMap(c.gql.Variables)["input"].(map[string]any)
	where := "?"
	if pr, _ := c.s.about(c.s.nodes[text(in[w.id])]); pr != nil {
		where = pr.ref()
	}
	switch w.kind {
	case "reaction.add":
		where = restReaction(text(in["content"])) + " on " + where
	case "branch.update":
		if text(in["updateMethod"]) == "REBASE" {
			where = "rebase on " + where
		}
	}
	return w.kind, where, text(in["expectedHeadOid"])
}

// text is what a write says to people.
func (c *call) text() string {
	if c.route == graphqlRoute {
		return ""
	}
	in := c.input()
	return strings.TrimSpace(cmp.Or(text(in["body"]), strings.TrimSpace(fmt.Sprintf("%s\n\n%s", text(in["commit_title"]), text(in["commit_message"])))))
}
