package githubtest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

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
