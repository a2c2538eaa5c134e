package githubtest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// GraphQL's face of reviewers, comments, reactions, queues and rules.

type (
	userStatus struct{ *User }
	askedFor   struct {
		pr *PR
		request
	}
	reactionGroup struct {
		content string // GraphQL's name
		of      written
		by      string // REST's name
	}
	refRule struct {
		repo   *Repo
		branch string
	}
	protectionRule struct {
		branch string
		*Protection
	}
	gitSignature struct{ *commit }
)

// peopleTypes are GraphQL's names for the types of this file.
func peopleTypes(v any) string {
	switch v.(type) {
	case userStatus:
		return "UserStatus"
	case *Team:
		return "Team"
	case *milestone:
		return "Milestone"
	case askedFor:
		return "ReviewRequest"
	case *Thread:
		return "PullRequestReviewThread"
	case *ReviewComment:
		return "PullRequestReviewComment"
	case reactionGroup:
		return "ReactionGroup"
	case *queue:
		return "MergeQueue"
	case *queued:
		return "MergeQueueEntry"
	case gitSignature:
		return "GpgSignature"
	case refRule:
		return "RefUpdateRule"
	case protectionRule:
		return "BranchProtectionRule"
	}
	return ""
}

// ofPeople resolves one field of one of them.
func (x *gqlExec) ofPeople(of any, f *ast.Field, args map[string]any, path []any) any {
	switch of := of.(type) {
	case userStatus:
		switch f.Name {
		case "id":
			return "US_" + of.nodeID
		case "indicatesLimitedAvailability":
			return of.busy
		case "message":
			return "Busy"
		case "user":
			return of.User
		}
		return of.createdAt
	case *Team:
		switch f.Name {
		case "id":
			return of.nodeID
		case "databaseId":
			return of.id
		case "name", "slug":
			return of.slug
		case "combinedSlug":
			return of.Name()
		case "organization":
			return of.org
		case "parentTeam":
			if of.parent == nil {
				return nil
			}
			return of.parent
		case "url":
			return x.s.html("/orgs/%s/teams/%s", of.org.Login, of.slug)
		case "createdAt":
			return of.created
		}
	case *milestone:
		switch f.Name {
		case "id":
			return of.nodeID
		case "number":
			return of.number
		case "title":
			return of.title
		case "url":
			return of.repo.page("/milestone/%d", of.number)
		case "createdAt":
			return of.created
		}
	case askedFor:
		switch f.Name {
		case "id":
			return of.nodeID
		case "asCodeOwner":
			return of.byOwner
		case "pullRequest":
			return of.pr
		case "requestedReviewer":
			if of.team == nil {
				return who(of.user)
			}
			if t := x.c.auth.token; t.inst != nil && !permitted(t.permissions, "members:read") {
				x.fail("FORBIDDEN", path, f, "Resource not accessible by integration")
				return nil
			}
			return of.team
		}
	case *Thread:
		return x.ofThread(of, f, args, path)
	case *ReviewComment:
		return x.ofReviewComment(of, f)
	case reactionGroup:
		u := x.c.auth.user()
		mine := func(r *reaction) bool { return r.content == of.by && r.user == u }
		switch f.Name {
		case "content":
			return of.content
		case "viewerHasReacted":
			return slices.ContainsFunc(of.of.reactions, mine)
		case "createdAt":
			for _, r := range of.of.reactions {
				if r.content == of.by {
					return r.at
				}
			}
		}
	case *queue:
		switch f.Name {
		case "id":
			return of.nodeID
		case "entries":
			return x.page(f, args, path, "MergeQueueEntry", anys(of.entries), nil)
		case "repository":
			return of.repo
		case "url":
			return of.repo.page("/queue/%s", of.base)
		}
	case *queued:
		switch f.Name {
		case "id":
			return of.nodeID
		case "baseCommit":
			return x.commit(of.q.repo, of.onto)
		case "headCommit":
			return x.commit(of.q.repo, of.head)
		case "enqueuedAt":
			return of.at
		case "enqueuer":
			return who(of.by)
		case "jump", "solo":
			return false
		case "mergeQueue":
			return of.q
		case "position":
			return of.position()
		case "pullRequest":
			return of.pr
		case "state":
			return of.state()
		}
	case gitSignature:
		switch f.Name {
		case "email":
			return of.committer.email
		case "isValid":
			return true
		case "state":
			return "VALID"
		case "signer":
			if u := x.s.accountOf(of.committer); u != nil && u.Type == "User" {
				return u
			}
		case "wasSignedByGitHub":
			return of.committer.email == "noreply@github.com"
		}
	case refRule:
		return x.ofRefRule(of, f)
	case protectionRule:
		switch f.Name {
		case "id":
			return "BPR_" + of.branch
		case "pattern":
			return of.branch
		case "dismissesStaleReviews":
			return of.DismissStale
		case "isAdminEnforced":
			return of.EnforceAdmins
		case "lockBranch":
			return of.Locked
		case "requireLastPushApproval":
			return of.LastPush
		case "requiredApprovingReviewCount":
			return of.Reviews
		case "requiredDeploymentEnvironments":
			return anys(of.Deployments)
		case "requiresStrictStatusChecks":
			return of.Strict
		}
	}
	return nil
}

func groupsOf(w written) any {
	out := []any{}
	for _, n := range reactionNames {
		out = append(out, reactionGroup{content: n[1], of: w, by: n[0]})
	}
	return out
}

func (x *gqlExec) ofThread(t *Thread, f *ast.Field, args map[string]any, path []any) any {
	switch f.Name {
	case "id":
		return t.nodeID
	case "comments":
		return x.page(f, args, path, "PullRequestReviewComment", anys(t.comments), nil)
	case "isOutdated":
		return t.outdated()
	case "isResolved":
		return t.resolved != nil
	case "resolvedBy":
		return who(t.resolved)
	case "line":
		if t.outdated() {
			return nil
		}
		return t.line
	case "originalLine":
		return t.line
	case "path":
		return t.path
	case "pullRequest":
		return t.pr
	case "repository":
		return t.pr.repo
	}
	return nil
}

func (x *gqlExec) ofReviewComment(c *ReviewComment, f *ast.Field) any {
	t := c.thread
	switch f.Name {
	case "id":
		return c.nodeID
	case "fullDatabaseId":
		return strconv.FormatInt(c.id, 10)
	case "author":
		return who(c.author)
	case "authorAssociation":
		return t.pr.repo.association(c.author)
	case "body":
		return c.body
	case "commit":
		return x.commit(t.pr.repo, c.now())
	case "originalCommit":
		return x.commit(t.pr.repo, c.commit)
	case "createdAt":
		return c.created
	case "updatedAt":
		return c.updated
	case "editor":
		return who(c.editor)
	case "lastEditedAt":
		return c.edited
	case "line":
		if t.outdated() {
			return nil
		}
		return t.line
	case "originalLine":
		return t.line
	case "outdated":
		return t.outdated()
	case "path":
		return t.path
	case "pullRequest":
		return t.pr
	case "pullRequestReview":
		return c.review
	case "reactionGroups":
		return groupsOf(c.written)
	case "replyTo":
		if first := t.comments[0]; first != c {
			return first
		}
	case "repository":
		return t.pr.repo
	case "url":
		return c.page()
	case "viewerDidAuthor":
		return c.author == x.c.auth.user()
	}
	return nil
}

// ofRefRule is what whoever reads a branch may know of its protection.
func (x *gqlExec) ofRefRule(of refRule, f *ast.Field) any {
	p := of.repo.protected[of.branch]
	switch f.Name {
	case "pattern":
		return of.branch
	case "requiredApprovingReviewCount":
		if p.Reviews == 0 {
			return nil
		}
		return p.Reviews
	case "requiredStatusCheckContexts":
		names := []any{}
		for _, c := range p.Checks {
			names = append(names, c.Context)
		}
		return names
	case "requiresCodeOwnerReviews":
		return p.CodeOwners
	case "requiresConversationResolution":
		return p.Conversation
	case "requiresLinearHistory":
		return p.Linear
	case "requiresSignatures":
		return p.Signatures
	case "viewerCanPush":
		u := x.c.auth.user()
		return p.Pushers == nil && of.repo.role(u) >= CanWrite || slices.Contains(p.Pushers, u)
	case "viewerAllowedToDismissReviews":
		return of.repo.role(x.c.auth.user()) >= CanWrite
	}
	return false
}

// ofRefMore resolves what a branch says of its rules. Its whole protection is for those who administer the repository.
func (x *gqlExec) ofRefMore(r ref, f *ast.Field) any {
	p := r.repo.protected[r.name]
	if p == nil {
		return nil
	}
	if f.Name == "refUpdateRule" {
		return refRule{r.repo, r.name}
	}
	t := x.c.auth.token
	if t.inst != nil && !permitted(t.permissions, "administration:read") || t.inst == nil && x.c.role(r.repo) < CanAdmin {
		return nil
	}
	return protectionRule{r.name, p}
}

// ofPullMore resolves the fields of a pull request that are about people and queues.
func (x *gqlExec) ofPullMore(pr *PR, f *ast.Field, args map[string]any, path []any) any {
	switch f.Name {
	case "milestone":
		if pr.milestone != nil {
			return pr.milestone
		}
	case "assignees":
		return x.page(f, args, path, "User", anys(pr.assignees), nil)
	case "reviewRequests":
		list := []any{}
		for _, q := range pr.requests {
			list = append(list, askedFor{pr, q})
		}
		return x.page(f, args, path, "ReviewRequest", list, nil)
	case "reviewThreads":
		return x.page(f, args, path, "PullRequestReviewThread", anys(pr.threads), nil)
	case "isMergeQueueEnabled":
		return pr.repo.rules[pr.baseBranch].MergeQueue
	case "isInMergeQueue":
		return pr.queued() != nil
	case "mergeQueue", "mergeQueueEntry":
		if x.forbidden(pr.repo, "merge_queues:read", path, f) {
			return nil
		}
		if f.Name == "mergeQueue" {
			return x.queue(pr.repo, pr.baseBranch)
		}
		if e := pr.queued(); e != nil {
			return e
		}
	}
	return nil
}

func (x *gqlExec) queue(r *Repo, branch string) any {
	if branch = cmp.Or(branch, r.branch); r.rules[branch].MergeQueue {
		return r.queue(branch)
	}
	return nil
}

// search finds pull requests by the qualifiers repo, is, author and review-requested.
func (x *gqlExec) search(f *ast.Field, args map[string]any, path []any) any {
	list := []*PR{}
	x.s.eachPull(func(pr *PR) {
		if x.sees(pr.repo) {
			list = append(list, pr)
		}
	})
	for _, word := range strings.Fields(text(args["query"])) {
		key, value, _ := strings.Cut(word, ":")
		u := x.s.accounts[strings.ToLower(value)]
		list = slices.DeleteFunc(list, func(pr *PR) bool {
			switch key {
			case "repo":
				return !strings.EqualFold(pr.repo.full(), value)
			case "is":
				return value == "open" && pr.closed || value == "closed" && !pr.closed || value == "issue"
			case "author":
				return pr.author != u
			case "review-requested":
				return !slices.ContainsFunc(pr.requests, func(q request) bool {
					return q.user != nil && q.user == u || q.team != nil && slices.Contains(q.team.all(), u)
				})
			}
			return true // what it does not know finds nothing
		})
	}
	return x.page(f, args, path, "SearchResultItem", anys(list), map[string]any{"issueCount": len(list), "repositoryCount": 0, "userCount": 0})
}

// beyond are the errors of a query that asks for more than a classic token has been given: GitHub answers none of it.
func (c *call) beyond(set ast.SelectionSet) []any {
	t := c.auth.token
	if t.scopes == nil || slices.ContainsFunc([]string{"read:org", "write:org", "admin:org"}, func(s string) bool { return slices.Contains(t.scopes, s) }) {
		return nil
	}
	var out []any
	var walk func(ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, sel := range set {
			switch sel := sel.(type) {
			case *ast.Field:
				if sel.ObjectDefinition.Name == "Team" && sel.Name != "__typename" {
					out = append(out, object{
						"type": "INSUFFICIENT_SCOPES", "locations": []any{object{"line": sel.Position.Line, "column": sel.Position.Column}},
						"message": "Your token has not been granted the required scopes to execute this query. The '" + sel.Name +
							"' field requires one of the following scopes: ['read:org', 'read:discussion'], but your token has only been granted the: ['" +
							strings.Join(t.scopes, "', '") + "'] scopes. Please modify your token's scopes at: https://github.com/settings/tokens.",
					})
				}
				walk(sel.SelectionSet)
			case *ast.InlineFragment:
				walk(sel.SelectionSet)
			case *ast.FragmentSpread:
				walk(sel.Definition.SelectionSet)
			}
		}
	}
	walk(set)
	return out
}
