package githubtest

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A queue is GitHub's own merge queue of one base branch. Each entry has a commit of its own that is what the base would
// become: the entry's head merged onto the one before it. When the checks that the branch requires pass on the first
// entry's commit, the branch is moved there.
type queue struct {
	nodeID  string
	repo    *Repo
	base    string
	entries []*queued
	moving  bool // it is moving its branch itself
}

// A queued is a pull request in a queue.
type queued struct {
	nodeID string
	q      *queue
	pr     *PR
	by     *User
	at     time.Time
	head   string // the commit that is tested; "" while it is not built
	onto   string // what that is based on
	branch string // the branch that it is on
}

// Enqueue puts the pull request into its base's merge queue. It panics where GitHub would refuse.
func (pr *PR) Enqueue(by *User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if why := pr.enqueue(actor{user: by}, ""); why != "" {
		panic(fmt.Sprintf("githubtest: enqueue %s: %s", pr.ref(), why))
	}
}

// Dequeue takes the pull request out of its queue.
func (pr *PR) Dequeue(by *User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if !pr.dequeue(actor{user: by}, "MANUAL") {
		panic(fmt.Sprintf("githubtest: dequeue %s: it is in no queue", pr.ref()))
	}
}

// QueueHead is the commit that the merge queue tests for the pull request, "" when it is in none.
func (pr *PR) QueueHead() string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if e := pr.queued(); e != nil {
		return e.head
	}
	return ""
}

// Queue are the numbers of the pull requests in the merge queue of a branch, first the one that is next.
func (r *Repo) Queue(base string) []int {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	out := []int{}
	if q := r.queues[base]; q != nil {
		for _, e := range q.entries {
			out = append(out, e.pr.number)
		}
	}
	return out
}

func (r *Repo) queue(base string) *queue {
	q := r.queues[base]
	if q == nil {
		q = &queue{repo: r, base: base}
		q.nodeID = r.s.node("MQ", r.s.id("queue"), q)
		r.queues[base] = q
	}
	return q
}

// queued is the pull request's place in its queue, or nil.
func (pr *PR) queued() *queued {
	if q := pr.repo.queues[pr.baseBranch]; q != nil {
		for _, e := range q.entries {
			if e.pr == pr {
				return e
			}
		}
	}
	return nil
}

// enqueue says why GitHub does not take it into the queue, or takes it. head is what the caller believes to be the head;
// "" is not asked for.
func (pr *PR) enqueue(by actor, head string) (refused string) {
	switch clean, known := pr.mergeable(true); {
	case !pr.repo.rules[pr.baseBranch].MergeQueue:
		return "Merge queue is not enabled on this branch"
	case pr.closed:
		return "Pull request is closed"
	case pr.queued() != nil:
		return "Pull request is already in the queue"
	case head != "" && head != pr.headSHA:
		return "Head sha didn't match the expected head sha"
	case pr.draft:
		return "Pull request is in draft state"
	case known && !clean:
		return "Pull request has merge conflicts"
	}
	if why := cmp.Or(pr.blocked(), pr.ruled()); why != "" {
		return "Pull request is not ready to be merged: " + why
	}
	q := pr.repo.queue(pr.baseBranch)
	e := &queued{q: q, pr: pr, by: by.user, at: pr.s.now()}
	e.nodeID = pr.s.node("MQE", pr.s.id("queue"), e)
	q.entries = append(q.entries, e)
	pr.touch()
	pr.note(&event{kind: "AddedToMergeQueueEvent", actor: by.user})
	pr.fire("enqueued", by, nil)
	q.build()
	return ""
}

// dequeue reports whether it was in a queue. Those behind it are built anew.
func (pr *PR) dequeue(by actor, reason string) bool {
	e := pr.queued()
	if e == nil {
		return false
	}
	q := e.q
	at := slices.Index(q.entries, e)
	q.entries = slices.Delete(q.entries, at, at+1)
	e.destroy("dequeued")
	for _, later := range q.entries[at:] {
		later.destroy("invalidated")
	}
	pr.touch()
	pr.note(&event{kind: "RemovedFromMergeQueueEvent", actor: by.user})
	pr.fire("dequeued", by, object{"reason": reason})
	q.build()
	return true
}

// build makes the commit of each entry that has none, and asks for its checks.
func (q *queue) build() {
	r := q.repo
	onto := r.refs[q.base]
	for _, e := range slices.Clone(q.entries) {
		if e.head != "" {
			onto = e.head
			continue
		}
		m := r.objects.merge(onto, e.pr.headSHA)
		if m.conflict {
			e.pr.dequeue(actor{user: e.by}, "MERGE_CONFLICT")
			return // which has built the rest
		}
		now := r.s.now()
		hub := signature{name: "GitHub", email: "noreply@github.com", at: now}
		c := commit{
			tree: m.tree, parents: []string{onto, e.pr.headSHA}, author: e.by.sign(now), committer: hub, signed: true,
			message: fmt.Sprintf("Merge pull request #%d from %s/%s\n\n%s", e.pr.number, e.pr.headOwner.Login, e.pr.headBranch, e.pr.title),
		}
		if r.rules[q.base].QueueMethod == "SQUASH" {
			c.parents, c.message = []string{onto}, fmt.Sprintf("%s (#%d)", e.pr.title, e.pr.number)
		}
		e.onto, e.head = onto, r.objects.writeCommit(c)
		e.branch = fmt.Sprintf("gh-readonly-queue/%s/pr-%d-%s", q.base, e.pr.number, onto)
		r.setRef(e.branch, e.head, actor{user: r.s.queueBot()}, true)
		r.s.fire(r, "merge_group", "checks_requested", actor{user: r.s.queueBot()}, object{"merge_group": e.group()})
		onto = e.head
	}
	q.settle()
}

// queueBot is the account in whose name GitHub's queue acts.
func (s *Server) queueBot() *User { return s.accountLocked("github-merge-queue[bot]", "Bot") }

// group is an entry as its event describes it.
func (e *queued) group() object {
	c := e.q.repo.objects.commit(e.head)
	person := func(g signature) object { return object{"name": g.name, "email": g.email} }
	return object{
		"head_sha": e.head, "head_ref": "refs/heads/" + e.branch, "base_sha": e.onto, "base_ref": "refs/heads/" + e.q.base,
		"head_commit": object{
			"id": c.sha, "tree_id": c.tree, "message": c.message, "timestamp": when(c.committer.at), "author": person(c.author), "committer": person(c.committer),
		},
	}
}

// destroy forgets the entry's commit: reason is merged, dequeued or invalidated.
func (e *queued) destroy(reason string) {
	if e.head == "" {
		return
	}
	r, by := e.q.repo, actor{user: e.q.repo.s.queueBot()}
	r.s.fire(r, "merge_group", "destroyed", by, object{"merge_group": e.group(), "reason": reason})
	if r.refs[e.branch] != "" {
		r.deleteRef(e.branch, by, "")
	}
	e.head, e.onto, e.branch = "", "", ""
}

// required are the checks that the queue waits for.
func (q *queue) required() []RequiredCheck {
	out := q.repo.rules[q.base].required()
	if p := q.repo.protected[q.base]; p != nil {
		out = append(out, p.Checks...)
	}
	return out
}

// verdict is "pending", "failing", or "" when all that is required has passed on the entry's commit.
func (e *queued) verdict() string {
	worst := ""
	for _, c := range e.q.required() {
		switch e.q.repo.requiredState(e.head, c) {
		case "failing":
			return "failing"
		case "pending", "expected":
			worst = "pending"
		}
	}
	return worst
}

// state is GraphQL's MergeQueueEntryState.
func (e *queued) state() string {
	switch {
	case e.head == "":
		return "QUEUED"
	case e.verdict() == "failing":
		return "UNMERGEABLE"
	case e.verdict() == "":
		return "MERGEABLE"
	}
	return "AWAITING_CHECKS"
}

func (e *queued) position() int { return slices.Index(e.q.entries, e) + 1 }

// settle merges from the front what has passed, and drops what has failed.
func (q *queue) settle() {
	for len(q.entries) > 0 {
		for _, e := range q.entries {
			if e.head != "" && e.verdict() == "failing" {
				e.pr.dequeue(actor{user: q.repo.s.queueBot()}, "CI_FAILURE")
				return // which has built and settled the rest
			}
		}
		e := q.entries[0]
		if e.head == "" || e.verdict() != "" {
			return
		}
		q.entries = q.entries[1:]
		pr, r, sha := e.pr, q.repo, e.head
		by := actor{user: e.by}
		pr.merged, pr.closed, pr.baseSHA = true, true, r.refs[q.base]
		q.moving = true
		r.setRef(q.base, sha, by, false)
		q.moving = false
		pr.finish(by, sha)
		e.destroy("merged")
		if r.deleteHead && pr.headRepo == r && pr.headTip() != "" && r.protected[pr.headBranch] == nil {
			r.deleteRef(pr.headBranch, by, pr.baseBranch)
		}
	}
}

// settleQueues looks at the queues again, after something has reported on a commit.
func (r *Repo) settleQueues(sha string) {
	for _, q := range r.queues {
		if slices.ContainsFunc(q.entries, func(e *queued) bool { return e.head == sha }) {
			q.settle()
		}
	}
}

// baseMoved builds a queue anew when somebody else has pushed to its branch.
func (r *Repo) baseMoved(branch string) {
	q := r.queues[branch]
	if q == nil || q.moving {
		return
	}
	for _, e := range q.entries {
		e.destroy("invalidated")
	}
	q.build()
}
