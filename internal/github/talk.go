package github

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// What a snapshot holds of people: who is asked, who has said what, and when the head was moved.

// commentsOf is how far back comments are read at least: a little more than the day for which a command in one counts.
const commentsOf = 25 * time.Hour

type (
	reviewRequest struct {
		AsCodeOwner       bool
		RequestedReviewer *struct {
			account
			CombinedSlug string
		}
	}
	// comment is one of the conversation or of a thread, and what a review has in common with them.
	comment struct {
		ID                   string
		FullDatabaseID       bigInt
		Author, Editor       *account
		Body                 string
		CreatedAt, UpdatedAt time.Time
		LastEditedAt         *time.Time
		OriginalCommit       *struct{ OID pull.SHA }
		ReactionGroups       []struct {
			Content          string
			ViewerHasReacted bool
		}
	}
	thread struct {
		ID                     string
		IsResolved, IsOutdated bool
		Comments               *page[comment]
	}
	move struct {
		CreatedAt   time.Time
		AfterCommit *struct{ OID pull.SHA }
	}
	queueEntry struct {
		Position   int
		State      string
		Enqueuer   *account
		BaseCommit *struct{ OID pull.SHA }
		HeadCommit *commit
		MergeQueue *struct {
			Entries page[struct{ PullRequest *struct{ Number int } }]
		}
	}
)

// reactionNames are GraphQL's reactions by the names that the REST API takes.
var reactionNames = map[string]string{
	"THUMBS_UP": "+1", "THUMBS_DOWN": "-1", "LAUGH": "laugh", "HOORAY": "hooray", "CONFUSED": "confused", "HEART": "heart", "ROCKET": "rocket", "EYES": "eyes",
}

func (k *comment) from(source pull.CommentSource) pull.Comment {
	c := pull.Comment{
		Source: source, ID: int64(k.FullDatabaseID), NodeID: k.ID, Author: k.Author.actor(), Body: k.Body, At: k.CreatedAt.UTC(), EditedAt: utc(k.LastEditedAt),
	}
	if k.LastEditedAt != nil {
		c.Editor = k.Editor.actor()
	}
	if k.OriginalCommit != nil {
		c.Commit = k.OriginalCommit.OID
	}
	for _, g := range k.ReactionGroups {
		if g.ViewerHasReacted {
			c.Reacted = append(c.Reacted, cmp.Or(reactionNames[g.Content], strings.ToLower(g.Content)))
		}
	}
	return c
}

// comment is what a review says in words.
func (r *review) words() pull.Comment {
	c := r.from(pull.ReviewBody)
	c.At = utc(r.SubmittedAt)
	if r.Commit != nil {
		c.Commit = r.Commit.OID
	}
	return c
}

// inOrder sorts comments by when they were written.
func inOrder(all []pull.Comment) []pull.Comment {
	slices.SortStableFunc(all, func(a, b pull.Comment) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Source, b.Source), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// query is the one that the credentials may ask.
func (l *look) query() operation {
	if l.scope.Installation() == 0 && l.c.standing.blind() {
		return teamlessQuery
	}
	return pullRequestQuery
}

// blind reports whether the token is known to be one that GitHub shows no team to.
func (s *standing) blind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token != nil && s.token.Kind == pull.TokenClassic && !s.token.SeesTeams()
}

// people reads who is assigned and who is asked to review. A team's name is for those who may see the organization's teams;
// where GitHub keeps it from us in the one query, it tells it when it is asked for that alone.
func (l *look) people(s *pull.Snapshot, p *pullRequest) (again bool, f *pull.Fault) {
	for _, a := range p.Assignees.Nodes {
		if a != nil {
			s.Assignees = append(s.Assignees, a.actor())
		}
	}
	if p.ReviewRequests == nil {
		return false, nil
	}
	hidden := false
	for _, q := range p.ReviewRequests.Nodes {
		switch {
		case q == nil:
		case q.RequestedReviewer == nil, q.RequestedReviewer.Typename == "Team" && q.RequestedReviewer.CombinedSlug == "":
			hidden = true
		case q.RequestedReviewer.Typename == "Team":
			s.ReviewRequests = append(s.ReviewRequests, pull.ReviewRequest{Team: q.RequestedReviewer.CombinedSlug, ByOwners: q.AsCodeOwner})
		default:
			s.ReviewRequests = append(s.ReviewRequests, pull.ReviewRequest{Who: q.RequestedReviewer.actor(), ByOwners: q.AsCodeOwner})
		}
	}
	if !hidden {
		return false, nil
	}
	var got struct{ Teams []struct{ Slug string } }
	f = l.c.do(l.ctx, l.scope, call{
		op: "reviewers.list", on: l.on(), method: http.MethodGet,
		url:    l.c.path("repos", l.repo.Owner, l.repo.Name, "pulls", strconv.Itoa(l.number), "requested_reviewers"),
		accept: reading(&got),
	})
	if f != nil {
		return false, f
	}
	for _, t := range got.Teams {
		s.ReviewRequests = append(s.ReviewRequests, pull.ReviewRequest{Team: s.Repo.Owner + "/" + t.Slug})
	}
	return false, nil
}

// comments reads the conversation, back to what was written or edited a day ago.
func (l *look) comments(s *pull.Snapshot, p *pullRequest) (again bool, f *pull.Fault) {
	since := time.Now().Add(l.c.Skew() - commentsOf)
	list := p.Comments
	for n := 1; list != nil; n++ {
		oldest := time.Time{}
		for _, e := range list.Nodes {
			if e == nil {
				continue
			}
			s.Comments = append(s.Comments, e.from(pull.Conversation))
			if oldest.IsZero() {
				oldest = e.UpdatedAt
			}
		}
		if !list.PageInfo.HasPreviousPage || oldest.Before(since) && !oldest.IsZero() {
			return false, nil
		}
		if n == maxPages {
			break
		}
		next, moved, f := l.further(commentsQuery, list.PageInfo.StartCursor)
		if f != nil || moved {
			return moved, f
		}
		list = next.Comments
	}
	s.CommentsTruncated = true
	return false, nil
}

// threads reads all conversations about lines of the diff.
func (l *look) threads(s *pull.Snapshot, p *pullRequest) (again bool, f *pull.Fault) {
	var pages [][]pull.Thread // newest page first
	list := p.ReviewThreads
	s.ThreadsTruncated = list == nil
	for n := 1; list != nil; n++ {
		var page []pull.Thread
		for _, e := range list.Nodes {
			if e == nil {
				continue
			}
			t, f := l.thread(s, e)
			if f != nil {
				return false, f
			}
			page = append(page, t)
		}
		pages = append(pages, page)
		s.ThreadsTruncated = s.ThreadsTruncated || list.PageInfo.HasPreviousPage && n == maxPages
		if !list.PageInfo.HasPreviousPage || n == maxPages {
			break
		}
		next, moved, f := l.further(threadsQuery, list.PageInfo.StartCursor)
		if f != nil || moved {
			return moved, f
		}
		if list = next.ReviewThreads; list == nil {
			s.ThreadsTruncated = true
		}
	}
	s.CommentsTruncated = s.CommentsTruncated || s.ThreadsTruncated
	slices.Reverse(pages)
	s.Threads = slices.Concat(pages...)
	return false, nil
}

// thread reads one conversation back to its beginning, which says who began it.
func (l *look) thread(s *pull.Snapshot, t *thread) (pull.Thread, *pull.Fault) {
	out := pull.Thread{Resolved: t.IsResolved, Outdated: t.IsOutdated}
	list := t.Comments
	for n := 1; list != nil; n++ {
		var first *comment
		for _, e := range list.Nodes {
			if e == nil {
				continue
			}
			if first == nil {
				first = e
			}
			s.Comments = append(s.Comments, e.from(pull.ReviewLine))
		}
		if first != nil {
			out.Author = first.Author.actor()
		}
		if !list.PageInfo.HasPreviousPage {
			return out, nil
		}
		if n == maxPages {
			break
		}
		var data struct {
			Node *struct{ Comments *page[comment] }
		}
		vars := &variables{Node: t.ID, Page: l.page, Cursor: &list.PageInfo.StartCursor}
		if f := l.c.query(l.ctx, l.scope, threadQuery, l.on(), vars, &data, readPullErrors); f != nil {
			return out, f
		}
		if list = nil; data.Node != nil {
			list = data.Node.Comments
		}
	}
	out.Author = pull.Actor{}
	s.ThreadsTruncated = true
	return out, nil
}

// moves reads when the head was moved by force, and when the base was last changed. A commit that is gone from GitHub has no id.
func (l *look) moves(s *pull.Snapshot, p *pullRequest) (again bool, f *pull.Fault) {
	for _, m := range p.Moves.Nodes {
		if m == nil {
			continue
		}
		h := pull.HeadAt{At: m.CreatedAt.UTC()}
		if m.AfterCommit != nil {
			h.SHA = m.AfterCommit.OID
		}
		s.Moves = append(s.Moves, h)
	}
	for _, e := range p.Rebased.Nodes {
		if e != nil {
			s.BaseSince = e.CreatedAt.UTC()
		}
	}
	return false, nil
}

// queue reads the pull request's place in GitHub's merge queue, and our reports on the commit that is tested there.
func (l *look) queue(s *pull.Snapshot, p *pullRequest) (again bool, f *pull.Fault) {
	e := p.MergeQueueEntry
	if e == nil {
		return false, nil
	}
	q := &pull.QueueEntry{Position: e.Position, State: strings.ToLower(e.State), AheadTruncated: true}
	if e.Enqueuer != nil {
		q.By = e.Enqueuer.actor()
	}
	if e.BaseCommit != nil {
		q.Base = e.BaseCommit.OID
	}
	if e.MergeQueue != nil {
		for _, o := range e.MergeQueue.Entries.Nodes {
			if o == nil || o.PullRequest == nil {
				break // somebody is before it, and we can't tell who
			}
			if o.PullRequest.Number == l.number {
				q.AheadTruncated = false
				break
			}
			q.Ahead = append(q.Ahead, o.PullRequest.Number)
		}
	}
	s.Queued = q
	head := e.HeadCommit
	if head == nil {
		return false, nil
	}
	q.Head = head.OID
	for n := 1; head != nil && head.StatusCheckRollup != nil && n <= maxPages; n++ {
		list := head.StatusCheckRollup.Contexts
		for _, c := range list.Nodes {
			if c == nil || !c.reports() {
				continue
			}
			if r := l.report(s, q.Head, *c); r != nil {
				keep(s, *r)
			}
		}
		if !list.PageInfo.HasNextPage {
			break
		}
		if head, f = l.commit(q.Head, &list.PageInfo.EndCursor); f != nil {
			return false, f
		}
	}
	return false, nil
}
