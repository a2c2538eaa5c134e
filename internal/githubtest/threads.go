package githubtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// written is what everything has that people write: who has changed it last, and what others think of it.
type written struct {
	editor    *User // nil while nobody has changed it
	edited    time.Time
	reactions []*reaction
}

// A reaction is one account's small picture below what somebody wrote.
type reaction struct {
	id      int64
	nodeID  string
	user    *User
	content string // as the REST API calls it: +1, -1, laugh, confused, heart, hooray, rocket, eyes
	at      time.Time
}

// reactionNames are GitHub's reactions, as REST and GraphQL call them, in GraphQL's order.
var reactionNames = [][2]string{
	{"+1", "THUMBS_UP"},
	{"-1", "THUMBS_DOWN"},
	{"laugh", "LAUGH"},
	{"hooray", "HOORAY"},
	{"confused", "CONFUSED"},
	{"heart", "HEART"},
	{"rocket", "ROCKET"},
	{"eyes", "EYES"},
}

// react leaves a reaction, and reports whether it is new. GitHub sends no event about it.
func (w *written) react(s *Server, u *User, content string) (*reaction, bool) {
	for _, x := range w.reactions {
		if x.user == u && x.content == content {
			return x, false
		}
	}
	x := &reaction{id: s.id("reaction"), user: u, content: content, at: s.now()}
	x.nodeID = s.node("REA", x.id, x)
	w.reactions = append(w.reactions, x)
	return x, true
}

// Reactions are the reactions to something that people wrote, as "login content", in the order in which they came.
func (w *written) list() []string {
	out := []string{}
	for _, x := range w.reactions {
		out = append(out, x.user.Login+" "+x.content)
	}
	return out
}

func (w *written) changed(by *User, now time.Time) { w.editor, w.edited = by, now }

// React leaves a reaction on the comment: "+1", "confused", "eyes" and so on.
func (c *Comment) React(by *User, content string) {
	c.repo.s.mu.Lock()
	defer c.repo.s.mu.Unlock()
	c.react(c.repo.s, by, content)
}

// Reactions are those on the comment, as "login content".
func (c *Comment) Reactions() []string {
	c.repo.s.mu.Lock()
	defer c.repo.s.mu.Unlock()
	return c.list()
}

// React leaves a reaction on the review.
func (rv *Review) React(by *User, content string) {
	rv.pr.s.mu.Lock()
	defer rv.pr.s.mu.Unlock()
	rv.react(rv.pr.s, by, content)
}

// Reactions are those on the review, as "login content".
func (rv *Review) Reactions() []string {
	rv.pr.s.mu.Lock()
	defer rv.pr.s.mu.Unlock()
	return rv.list()
}

// ID is the review's database id.
func (rv *Review) ID() int64 { return rv.id }

// State is the review's state, as the REST API writes it.
func (rv *Review) State() string {
	rv.pr.s.mu.Lock()
	defer rv.pr.s.mu.Unlock()
	return rv.state
}

// ReviewWith submits a review of the head with words: "approve", "request_changes" or "comment".
func (pr *PR) ReviewWith(by *User, verdict, body string) *Review {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	return pr.review(by, pr.verdict(by, verdict), body, pr.headSHA)
}

// Reviews are the reviews, oldest first.
func (pr *PR) Reviews() []*Review {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	return slices.Clone(pr.reviews)
}

// Edit changes what a review says, as its author may and whoever may write to the repository.
func (rv *Review) Edit(by *User, body string) {
	rv.pr.s.mu.Lock()
	defer rv.pr.s.mu.Unlock()
	old := rv.body
	rv.body, rv.updated = body, rv.pr.s.now()
	rv.changed(by, rv.updated)
	rv.pr.touch()
	rv.pr.s.fire(rv.pr.repo, "pull_request_review", "edited", actor{user: by}, object{
		"review": rv.json(true), "pull_request": rv.pr.json(false, false), "changes": object{"body": object{"from": old}},
	})
}

// A Thread is a conversation about a line of the diff.
type Thread struct {
	s        *Server
	nodeID   string
	pr       *PR
	path     string
	line     int
	resolved *User // who has resolved it
	comments []*ReviewComment
}

// A ReviewComment is a comment in a thread. GitHub keeps each in a review of its own, without words, unless it was
// submitted as part of one.
type ReviewComment struct {
	written
	id      int64
	nodeID  string
	thread  *Thread
	review  *Review
	author  *User
	body    string
	commit  string // the head that it was written on
	created time.Time
	updated time.Time
}

// CommentOnLine begins a thread on a line of a changed file.
func (pr *PR) CommentOnLine(by *User, path string, line int, body string) *Thread {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if !slices.ContainsFunc(pr.files(), func(f changedFile) bool { return f.path == path }) {
		panic(fmt.Sprintf("githubtest: comment on %s of %s: it is not among the changed files", path, pr.ref()))
	}
	t := &Thread{s: pr.s, pr: pr, path: path, line: line}
	t.nodeID = pr.s.node("PRRT", pr.s.id("thread"), t)
	pr.threads = append(pr.threads, t)
	t.say(actor{user: by}, body)
	return t
}

// Reply adds a comment to the thread.
func (t *Thread) Reply(by *User, body string) *ReviewComment {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.say(actor{user: by}, body)
}

func (t *Thread) say(by actor, body string) *ReviewComment {
	pr := t.pr
	rv := pr.review(by.user, "COMMENTED", "", pr.headSHA)
	c := &ReviewComment{
		id: pr.s.id("review-comment"), thread: t, review: rv, author: by.user, body: body, commit: pr.headSHA, created: pr.s.now(), updated: pr.s.now(),
	}
	c.nodeID = pr.s.node("PRRC", c.id, c)
	t.comments = append(t.comments, c)
	t.fire("created", c, by, nil)
	return c
}

// First is the comment that began the thread.
func (t *Thread) First() *ReviewComment {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.comments[0]
}

// Comments are the texts of its comments, oldest first.
func (t *Thread) Comments() []string {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	out := []string{}
	for _, c := range t.comments {
		out = append(out, c.body)
	}
	return out
}

// Resolve resolves the thread.
func (t *Thread) Resolve(by *User) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.resolved = by
	t.tell("resolved", by)
}

// Unresolve opens it again.
func (t *Thread) Unresolve(by *User) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.resolved = nil
	t.tell("unresolved", by)
}

func (t *Thread) tell(action string, by *User) {
	all := []any{}
	for _, c := range t.comments {
		all = append(all, c.json())
	}
	t.s.fire(t.pr.repo, "pull_request_review_thread", action, actor{user: by}, object{
		"pull_request": t.pr.json(false, false), "thread": object{"node_id": t.nodeID, "comments": all},
	})
}

// outdated reports whether the file is no longer what the thread was begun on.
func (t *Thread) outdated() bool {
	o := t.pr.repo.objects
	was, _ := o.lookup(o.commit(t.comments[0].commit).tree, t.path)
	is, _ := o.lookup(o.commit(t.pr.headSHA).tree, t.path)
	return was.sha != is.sha
}

// ID is the comment's database id.
func (c *ReviewComment) ID() int64 { return c.id }

// React leaves a reaction on the comment.
func (c *ReviewComment) React(by *User, content string) {
	c.thread.s.mu.Lock()
	defer c.thread.s.mu.Unlock()
	c.react(c.thread.s, by, content)
}

// Reactions are those on the comment, as "login content".
func (c *ReviewComment) Reactions() []string {
	c.thread.s.mu.Lock()
	defer c.thread.s.mu.Unlock()
	return c.list()
}

// Edit changes what the comment says.
func (c *ReviewComment) Edit(by *User, body string) {
	s := c.thread.s
	s.mu.Lock()
	defer s.mu.Unlock()
	old := c.body
	c.body, c.updated = body, s.now()
	c.changed(by, c.updated)
	c.thread.pr.touch()
	c.thread.fire("edited", c, actor{user: by}, object{"changes": object{"body": object{"from": old}}})
}

func (t *Thread) fire(action string, c *ReviewComment, by actor, more object) {
	payload := object{"comment": c.json(), "pull_request": t.pr.json(false, false)}
	maps.Copy(payload, more)
	t.s.fire(t.pr.repo, "pull_request_review_comment", action, by, payload)
}

func (c *ReviewComment) page() string {
	return fmt.Sprintf("%s#discussion_r%d", c.thread.pr.page(), c.id)
}

// now is the commit that the comment is shown on: the head, unless what it is about has changed.
func (c *ReviewComment) now() string {
	if c.thread.outdated() {
		return c.commit
	}
	return c.thread.pr.headSHA
}

func (c *ReviewComment) json() object {
	t := c.thread
	r, pr := t.pr.repo, t.pr
	at := r.url("/pulls/comments/%d", c.id)
	var line any = t.line
	if t.outdated() {
		line = nil
	}
	o := object{
		"url": at, "pull_request_review_id": c.review.id, "id": c.id, "node_id": c.nodeID, "diff_hunk": fmt.Sprintf("@@ -%d,1 +%d,1 @@", t.line, t.line),
		"path": t.path, "commit_id": c.now(), "original_commit_id": c.commit, "user": c.author.json(), "body": c.body,
		"created_at": when(c.created), "updated_at": when(c.updated), "html_url": c.page(), "pull_request_url": pr.url(),
		"author_association": r.association(c.author), "reactions": reactionsOf(at+"/reactions", c.written),
		"_links": object{"self": object{"href": at}, "html": object{"href": c.page()}, "pull_request": object{"href": pr.url()}},
		"line":   line, "original_line": t.line, "start_line": nil, "original_start_line": nil, "start_side": nil, "side": "RIGHT",
		"position": line, "original_position": t.line, "subject_type": "line",
	}
	if first := t.comments[0]; first != c {
		o["in_reply_to_id"] = first.id
	}
	return o
}

// reactionsOf counts reactions as the REST API does.
func reactionsOf(at string, w written) object {
	o := reactions(at)
	for _, x := range w.reactions {
		o[x.content] = o[x.content].(int) + 1
		o["total_count"] = o["total_count"].(int) + 1
	}
	return o
}

// threadComments are the comments of all threads, oldest first.
func (pr *PR) threadComments() []*ReviewComment {
	var out []*ReviewComment
	for _, t := range pr.threads {
		out = append(out, t.comments...)
	}
	slices.SortFunc(out, func(a, b *ReviewComment) int { return cmp.Compare(a.id, b.id) })
	return out
}
