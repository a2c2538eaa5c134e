package github

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// What GitHub lets be written over GraphQL only. Like the queries, each is checked against GitHub's schema by a test.
var (
	readyMutation = operation{"MarkReady", `
mutation MarkReady($pull: ID!) {
  markPullRequestReadyForReview(input: {pullRequestId: $pull}) { clientMutationId }
}
`}

	draftMutation = operation{"MarkDraft", `
mutation MarkDraft($pull: ID!) {
  convertPullRequestToDraft(input: {pullRequestId: $pull}) { clientMutationId }
}
`}

	updateBranchMutation = operation{"RebaseBranch", `
mutation RebaseBranch($pull: ID!, $head: GitObjectID!) {
  updatePullRequestBranch(input: {pullRequestId: $pull, expectedHeadOid: $head, updateMethod: REBASE}) { clientMutationId }
}
`}

	enqueueMutation = operation{"Enqueue", `
mutation Enqueue($pull: ID!, $head: GitObjectID!) {
  enqueuePullRequest(input: {pullRequestId: $pull, expectedHeadOid: $head}) { clientMutationId }
}
`}

	dequeueMutation = operation{"Dequeue", `
mutation Dequeue($pull: ID!) {
  dequeuePullRequest(input: {id: $pull}) { clientMutationId }
}
`}

	reactMutation = operation{"React", `
mutation React($subject: ID!, $content: ReactionContent!) {
  addReaction(input: {subjectId: $subject, content: $content}) { clientMutationId }
}
`}
)

// mutations are all there are, for that test and for the metrics.
var mutations = []operation{readyMutation, draftMutation, updateBranchMutation, enqueueMutation, dequeueMutation, reactMutation}

// A subject is what a mutation is about, and its precondition.
type subject struct {
	Content string   `json:"content,omitempty"` // of a reaction
	Head    pull.SHA `json:"head,omitempty"`
	Pull    string   `json:"pull,omitempty"`    // the pull request's node id
	Subject string   `json:"subject,omitempty"` // the node id of what a reaction is left on
}

// mutate writes over GraphQL. What GitHub refuses it says in an answer of status 200.
func (w write) mutate(op operation, about subject) *pull.Fault {
	body, err := json.Marshal(struct {
		Query     string  `json:"query"`
		Operation string  `json:"operationName"`
		Variables subject `json:"variables"`
	}{op.text, op.name, about})
	if err != nil {
		return w.refuse("it can't be written as JSON")
	}
	f := w.c.do(w.ctx, w.scope, call{
		op: "graphql." + op.name, on: w.on, method: http.MethodPost, url: w.c.graphql, body: body, budget: graphqlBudget, write: true, content: true,
		accept: func(a answer) *pull.Fault {
			var got struct {
				Data    map[string]json.RawMessage `json:"data"`
				Errors  []gqlError                 `json:"errors"`
				Message string                     `json:"message"`
			}
			if f := a.decode(&got); f != nil {
				return f
			}
			if speaksOfLimit(got.Message) {
				return w.c.park(w.scope, &pull.Fault{Op: w.on, Status: a.status, Message: oneLine(got.Message)}, a.header)
			}
			if len(got.Errors) > 0 {
				e := got.Errors[0]
				f := &pull.Fault{Op: w.on, Status: a.status, Message: oneLine(e.Message), Class: e.refusal()}
				if e.Type == "RATE_LIMITED" || e.Type == "RATE_LIMIT" || speaksOfLimit(e.Message) {
					return w.c.park(w.scope, f, a.header)
				}
				return f
			}
			for _, done := range got.Data {
				if string(done) != "null" {
					return nil
				}
			}
			return &pull.Fault{Class: pull.FaultUnclear, Op: w.on, Status: a.status, Message: "its answer does not say that it is done"}
		},
	})
	if f != nil && f.Class == pull.FaultGone && f.Status != 0 {
		f.Class = pull.FaultRefused
	}
	return f
}

// refusal is the class of an error beside a mutation. GitHub gives a type to what it refuses; an error without one is its own
// trouble, unless it is about the text of the request, which then was not carried out.
func (e gqlError) refusal() pull.FaultClass {
	m := strings.ToLower(e.Message)
	switch e.Type {
	case "STALE_DATA":
		return pull.FaultMoved
	case "FORBIDDEN", "INSUFFICIENT_SCOPES", "NOT_FOUND", "UNPROCESSABLE":
		if headMoved(m) {
			return pull.FaultMoved
		}
		return pull.FaultRefused
	case "":
		if e.Extensions.Code != "" || strings.Contains(m, "doesn't exist on type") {
			return pull.FaultRefused // a server that is too old for it
		}
	}
	return pull.FaultUnclear
}
