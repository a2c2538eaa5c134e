package githubtest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Deleted is the content of a file that a push takes away.
const Deleted = "\x00deleted"

// An actor is who does something: an account, and the App through which it is done.
type actor struct {
	user *User
	inst *Installation
}

// PR is a pull request.
type PR struct {
	s          *Server
	repo       *Repo
	id         int64
	nodeID     string
	number     int
	title      string
	body       string
	author     *User
	headRepo   *Repo // nil when the fork was deleted
	headOwner  *User
	headBranch string
	headSHA    string
	pusher     *User // of the last push to the head
	baseBranch string
	baseSHA    string // the base when the pull request last moved
	closed     bool
	merged     bool
	mergedBy   *User
	mergedAt   time.Time
	mergeSHA   string
	draft      bool
	createdAt  time.Time
	updatedAt  time.Time
	closedAt   time.Time
	labels     []*Label
	reviews    []*Review
	threads    []*Thread
	requests   []request
	assignees  []*User
	milestone  *milestone
	timeline   []*event

	computed     [2]string // the base and head that mergeability was last asked for
	unknownReads int       // how many more reads find it unknown
}

// Label is a label of a repository.
type Label struct {
	id          int64
	nodeID      string
	repo        *Repo
	name        string
	color       string
	description string
	createdAt   time.Time
}

// Review is a submitted review.
type Review struct {
	written
	id        int64
	nodeID    string
	pr        *PR
	author    *User
	state     string // APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED
	body      string
	commit    string
	submitted time.Time
	updated   time.Time
}

// Comment is a comment on a pull request's conversation.
type Comment struct {
	written
	id      int64
	nodeID  string
	repo    *Repo
	number  int
	author  *User
	app     *App
	body    string
	created time.Time
	updated time.Time
}

// An event is an entry of a pull request's timeline, by GraphQL's name for its type.
type event struct {
	kind     string // LabeledEvent, …
	nodeID   string
	actor    *User
	at       time.Time
	label    *Label
	from, to string // of a rename, a base change or a force push
	review   *Review
	comment  *Comment
	commit   string
}

func (r *Repo) writeRef(branch, sha string) {
	path := filepath.Join(r.dir, "refs/heads", branch)
	must(os.MkdirAll(filepath.Dir(path), 0o755))
	must(os.WriteFile(path, []byte(sha+"\n"), 0o644))
	r.refs[branch] = sha
}

// Push commits files onto the branch and pushes it, and returns the new commit. A branch that is not there is made from
// the default branch. A file whose content is Deleted is taken away.
func (r *Repo) Push(branch string, files map[string]string, message string, by *User) string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.commitOn(branch, cmp.Or(r.refs[branch], r.refs[r.branch]), files, message, by, false)
}

// ForcePush replaces the branch by one commit with files on top of from, another branch or a commit, and returns it.
func (r *Repo) ForcePush(branch, from string, files map[string]string, message string, by *User) string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	parent := cmp.Or(r.refs[from], from)
	if r.objects.commit(parent) == nil {
		panic(fmt.Sprintf("githubtest: force push to %s: no branch or commit %q", branch, from))
	}
	return r.commitOn(branch, parent, files, message, by, true)
}

func (r *Repo) commitOn(branch, parent string, files map[string]string, message string, by *User, forced bool) string {
	p := r.objects.commit(parent)
	if p == nil {
		panic(fmt.Sprintf("githubtest: push to %s of %s: the repository has no commit to start from", branch, r.full()))
	}
	sig := by.sign(r.s.now())
	sha := r.objects.writeCommit(commit{
		tree: r.objects.withFiles(p.tree, files), parents: []string{parent}, author: sig, committer: sig, message: message,
	})
	r.setRef(branch, sha, actor{user: by}, forced)
	return sha
}

// Branch makes a branch at another branch's tip or at a commit, without a commit of its own.
func (r *Repo) Branch(name, from string, by *User) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	sha := cmp.Or(r.refs[from], from)
	if r.objects.commit(sha) == nil {
		panic(fmt.Sprintf("githubtest: branch %s: no branch or commit %q", name, from))
	}
	r.setRef(name, sha, actor{user: by}, true)
}

// MergeInto merges a branch into another with git, as a person does at their desk, and pushes the result. It panics on
// a conflict.
func (r *Repo) MergeInto(branch, from string, by *User) string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	ours, theirs := r.refs[branch], cmp.Or(r.refs[from], from)
	m := r.objects.merge(ours, theirs)
	if m.conflict {
		panic(fmt.Sprintf("githubtest: merge of %s into %s: conflict", from, branch))
	}
	sig := by.sign(r.s.now())
	sha := r.objects.writeCommit(commit{tree: m.tree, parents: []string{ours, theirs}, author: sig, committer: sig, message: "Merge branch '" + from + "' into " + branch})
	r.setRef(branch, sha, actor{user: by}, false)
	return sha
}

// Tip is the commit at the end of a branch, or "" when there is no such branch.
func (r *Repo) Tip(branch string) string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.refs[branch]
}

// File is the content of a file at a branch or commit.
func (r *Repo) File(ref, path string) (string, bool) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	c := r.objects.find(cmp.Or(r.refs[ref], ref))
	if c == nil {
		return "", false
	}
	e, ok := r.objects.lookup(c.tree, path)
	if !ok || e.isTree() {
		return "", false
	}
	b, ok := r.objects.blob(e.sha)
	return string(b), ok
}

// DeleteBranch deletes a branch. Pull requests from it or into it are closed, as at GitHub.
func (r *Repo) DeleteBranch(name string, by *User) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.refs[name] == "" {
		panic(fmt.Sprintf("githubtest: delete branch %s: %s has none", name, r.full()))
	}
	r.deleteRef(name, actor{user: by}, "")
}

// setRef moves a branch, and with it whatever hangs on it.
func (r *Repo) setRef(branch, sha string, by actor, forced bool) {
	before := r.refs[branch]
	if before == sha {
		return
	}
	r.writeRef(branch, sha)
	r.pushedAt = r.s.now()
	if before != "" && r.objects.contains(sha, before) {
		forced = false
	}
	if before == "" {
		r.s.fire(r, "create", "", by, object{
			"ref": branch, "ref_type": "branch", "master_branch": r.branch, "description": nil, "pusher_type": "user",
		})
	}
	r.firePush(branch, before, sha, by, forced)
	r.autoSuites(sha, branch, by)
	r.s.eachPull(func(pr *PR) {
		switch {
		case pr.closed:
		case pr.headRepo == r && pr.headBranch == branch:
			pr.moved(before, sha, by, forced)
		case pr.repo == r && pr.baseBranch == branch && r.objects.contains(sha, pr.headSHA):
			// What was pushed contains the head: GitHub calls that merged.
			pr.finish(by, sha)
		}
	})
	r.baseMoved(branch)
}

// eachPull calls f for every pull request of the world, oldest first.
func (s *Server) eachPull(f func(*PR)) {
	for _, r := range s.repos {
		for _, pr := range r.pulls {
			f(pr)
		}
	}
}

// deleteRef deletes a branch. Pull requests that were based on it are retargeted to another branch when that is given,
// as GitHub does when it deletes a merged branch itself, and closed otherwise.
func (r *Repo) deleteRef(branch string, by actor, retarget string) {
	sha := r.refs[branch]
	delete(r.refs, branch)
	must(os.Remove(filepath.Join(r.dir, "refs/heads", branch)))
	r.pushedAt = r.s.now()
	r.s.fire(r, "delete", "", by, object{"ref": branch, "ref_type": "branch", "pusher_type": "user"})
	r.firePush(branch, sha, "", by, false)
	r.s.eachPull(func(pr *PR) {
		fromHere := pr.headRepo == r && pr.headBranch == branch
		if fromHere {
			pr.note(&event{kind: "HeadRefDeletedEvent", actor: by.user, from: branch})
		}
		switch {
		case pr.closed:
		case pr.repo == r && pr.baseBranch == branch && retarget != "":
			pr.retarget(retarget, by, "AutomaticBaseChangeSucceededEvent")
		case fromHere, pr.repo == r && pr.baseBranch == branch:
			pr.close(by)
		}
	})
}

// Open opens a pull request from head, "branch" or "owner:branch", into base.
func (r *Repo) Open(by *User, head, base, title, body string) *PR {
	return r.open(by, head, base, title, body, false)
}

// OpenDraft opens a pull request that is not ready for review.
func (r *Repo) OpenDraft(by *User, head, base, title, body string) *PR {
	return r.open(by, head, base, title, body, true)
}

func (r *Repo) open(by *User, head, base, title, body string, draft bool) *PR {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	from, branch := r, head
	if owner, b, ok := strings.Cut(head, ":"); ok {
		branch = b
		from = nil
		for _, f := range s.repos {
			if strings.EqualFold(f.owner.Login, owner) && (f == r || f.parent == r) {
				from = f
			}
		}
	}
	if from == nil || from.refs[branch] == "" || r.refs[base] == "" {
		panic(fmt.Sprintf("githubtest: open pull request in %s: %s or %s is not there", r.full(), head, base))
	}
	sha := from.refs[branch]
	if r.objects.contains(r.refs[base], sha) {
		panic(fmt.Sprintf("githubtest: open pull request in %s: no commits between %s and %s", r.full(), base, head))
	}
	r.numbers++
	pr := &PR{
		s: s, repo: r, id: s.id("pull"), number: r.numbers, title: title, body: body, author: by,
		headRepo: from, headOwner: from.owner, headBranch: branch, headSHA: sha, baseBranch: base, baseSHA: r.refs[base],
		draft: draft, createdAt: s.now(), updatedAt: s.now(), pusher: by,
	}
	pr.nodeID = s.node("PR", pr.id, pr)
	r.pulls = append(r.pulls, pr)
	pr.keepHead()
	pr.fire("opened", actor{user: by}, nil)
	return pr
}

// keepHead writes refs/pull/N/head, under which the base repository keeps a fork's commits.
func (pr *PR) keepHead() {
	dir := filepath.Join(pr.repo.dir, "refs/pull", fmt.Sprint(pr.number))
	must(os.MkdirAll(dir, 0o755))
	must(os.WriteFile(filepath.Join(dir, "head"), []byte(pr.headSHA+"\n"), 0o644))
}

// moved tells the pull request that its head branch was pushed to.
func (pr *PR) moved(before, sha string, by actor, forced bool) {
	pr.dequeue(by, "BRANCH_PROTECTIONS")
	pr.headSHA = sha
	pr.pusher = by.user
	pr.baseSHA = pr.repo.refs[pr.baseBranch]
	pr.keepHead()
	pr.touch()
	if forced {
		pr.note(&event{kind: "HeadRefForcePushedEvent", actor: by.user, from: before, to: sha})
	}
	pr.fire("synchronize", by, object{"before": before, "after": sha})
	if p := pr.repo.protected[pr.baseBranch]; p != nil && p.DismissStale {
		for _, rv := range pr.reviews {
			if rv.state == "APPROVED" {
				pr.dismiss(rv, by)
			}
		}
	}
	if pr.repo.objects.contains(pr.baseSHA, sha) {
		pr.close(by) // nothing is left to merge
	}
}

func (pr *PR) touch() { pr.updatedAt = pr.s.now() }

func (pr *PR) note(e *event) {
	e.at = pr.s.now()
	e.nodeID = pr.s.node("EV", pr.s.id("event"), e)
	pr.timeline = append(pr.timeline, e)
}

// Repo is the repository that the pull request is in.
func (pr *PR) Repo() *Repo { return pr.repo }

// Number is the pull request's number.
func (pr *PR) Number() int { return pr.number }

// ID is the pull request's database id.
func (pr *PR) ID() int64 { return pr.id }

// String is "owner/name#number".
func (pr *PR) String() string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	return pr.ref()
}

func (pr *PR) ref() string { return fmt.Sprintf("%s#%d", pr.repo.full(), pr.number) }

// Head is the commit at the pull request's head.
func (pr *PR) Head() string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	return pr.headSHA
}

// State is "open", "closed" or "merged".
func (pr *PR) State() string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	switch {
	case pr.merged:
		return "merged"
	case pr.closed:
		return "closed"
	}
	return "open"
}

// MergeSHA is the commit that merged it, or "".
func (pr *PR) MergeSHA() string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if !pr.merged {
		return ""
	}
	return pr.mergeSHA
}

// Labels are the names of its labels, sorted.
func (pr *PR) Labels() []string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	out := []string{}
	for _, l := range pr.labels {
		out = append(out, l.name)
	}
	slices.Sort(out)
	return out
}

// Comments are the texts of its comments, oldest first.
func (pr *PR) Comments() []string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	out := []string{}
	for _, c := range pr.comments() {
		out = append(out, c.body)
	}
	return out
}

func (pr *PR) comments() []*Comment {
	var out []*Comment
	for _, c := range pr.repo.comments {
		if c.number == pr.number {
			out = append(out, c)
		}
	}
	return out
}

// Pull returns the pull request with the number, or nil.
func (r *Repo) Pull(number int) *PR {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.pull(number)
}

func (r *Repo) pull(number int) *PR {
	for _, pr := range r.pulls {
		if pr.number == number {
			return pr
		}
	}
	return nil
}

func (r *Repo) label(name string) *Label {
	for _, l := range r.labels {
		if strings.EqualFold(l.name, name) {
			return l
		}
	}
	return nil
}

func (r *Repo) makeLabel(name, color, description string) *Label {
	l := &Label{id: r.s.id("label"), repo: r, name: name, color: color, description: description, createdAt: r.s.now()}
	l.nodeID = r.s.node("LA", l.id, l)
	r.labels = append(r.labels, l)
	return l
}

// NewLabel defines a label in the repository. Label and the REST API define what is missing by themselves.
func (r *Repo) NewLabel(name, color, description string, by *User) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	l := r.makeLabel(name, color, description)
	r.s.fire(r, "label", "created", actor{user: by}, object{"label": l.json()})
}

// Label puts a label on.
func (pr *PR) Label(by *User, name string) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	pr.addLabel(name, actor{user: by})
}

// Unlabel takes a label off.
func (pr *PR) Unlabel(by *User, name string) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if !pr.removeLabel(name, actor{user: by}) {
		panic(fmt.Sprintf("githubtest: unlabel %s: it has no label %q", pr.ref(), name))
	}
}

func (pr *PR) hasLabel(name string) bool {
	return slices.ContainsFunc(pr.labels, func(l *Label) bool { return strings.EqualFold(l.name, name) })
}

// addLabel reports whether the label was not there before. GitHub tells nobody of a label that was.
func (pr *PR) addLabel(name string, by actor) bool {
	if pr.hasLabel(name) {
		return false
	}
	l := pr.repo.label(name)
	if l == nil {
		l = pr.repo.makeLabel(name, "ededed", "")
		pr.s.fire(pr.repo, "label", "created", by, object{"label": l.json()})
	}
	pr.labels = append(pr.labels, l)
	pr.touch()
	pr.note(&event{kind: "LabeledEvent", actor: by.user, label: l})
	pr.fire("labeled", by, object{"label": l.json()})
	return true
}

func (pr *PR) removeLabel(name string, by actor) bool {
	i := slices.IndexFunc(pr.labels, func(l *Label) bool { return strings.EqualFold(l.name, name) })
	if i < 0 {
		return false
	}
	l := pr.labels[i]
	pr.labels = slices.Delete(pr.labels, i, i+1)
	pr.touch()
	pr.note(&event{kind: "UnlabeledEvent", actor: by.user, label: l})
	pr.fire("unlabeled", by, object{"label": l.json()})
	return true
}

// Review submits a review of the head: "approve", "request_changes" or "comment".
func (pr *PR) Review(by *User, verdict string) *Review {
	return pr.ReviewOf(by, verdict, "")
}

// ReviewOf submits a review of a commit; the head when sha is empty.
func (pr *PR) ReviewOf(by *User, verdict, sha string) *Review {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	return pr.review(by, pr.verdict(by, verdict), "", cmp.Or(sha, pr.headSHA))
}

// verdict is the state of a review that says so.
func (pr *PR) verdict(by *User, verdict string) string {
	state := map[string]string{"approve": "APPROVED", "request_changes": "CHANGES_REQUESTED", "comment": "COMMENTED"}[verdict]
	if state == "" {
		panic(fmt.Sprintf("githubtest: review %q: want approve, request_changes or comment", verdict))
	}
	if by == pr.author && state != "COMMENTED" {
		panic(fmt.Sprintf("githubtest: review %s: GitHub lets nobody %s their own pull request", pr.ref(), verdict))
	}
	return state
}

func (pr *PR) review(by *User, state, body, sha string) *Review {
	rv := &Review{id: pr.s.id("review"), pr: pr, author: by, state: state, body: body, commit: sha, submitted: pr.s.now(), updated: pr.s.now()}
	rv.nodeID = pr.s.node("PRR", rv.id, rv)
	pr.reviews = append(pr.reviews, rv)
	pr.answered(by)
	pr.touch()
	pr.note(&event{kind: "PullRequestReview", actor: by, review: rv})
	pr.fireReview("submitted", rv, actor{user: by})
	return rv
}

// Dismiss dismisses a review.
func (rv *Review) Dismiss(by *User) {
	rv.pr.s.mu.Lock()
	defer rv.pr.s.mu.Unlock()
	rv.pr.dismiss(rv, actor{user: by})
}

func (pr *PR) dismiss(rv *Review, by actor) {
	rv.state = "DISMISSED"
	rv.updated = pr.s.now()
	pr.touch()
	pr.note(&event{kind: "ReviewDismissedEvent", actor: by.user, review: rv})
	pr.fireReview("dismissed", rv, by)
}

// Comment writes a comment.
func (pr *PR) Comment(by *User, body string) *Comment {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	return pr.comment(actor{user: by}, body)
}

func (pr *PR) comment(by actor, body string) *Comment {
	c := &Comment{id: pr.s.id("comment"), repo: pr.repo, number: pr.number, author: by.user, body: body, created: pr.s.now(), updated: pr.s.now()}
	if by.inst != nil {
		c.app = by.inst.App
	}
	c.nodeID = pr.s.node("IC", c.id, c)
	pr.repo.comments = append(pr.repo.comments, c)
	pr.touch()
	pr.note(&event{kind: "IssueComment", actor: by.user, comment: c})
	pr.fireComment("created", c, by, nil)
	return c
}

// ID is the comment's database id.
func (c *Comment) ID() int64 { return c.id }

// Edit changes a comment's text.
func (c *Comment) Edit(by *User, body string) {
	c.repo.s.mu.Lock()
	defer c.repo.s.mu.Unlock()
	c.edit(body, actor{user: by})
}

func (c *Comment) edit(body string, by actor) {
	old := c.body
	c.body, c.updated = body, c.repo.s.now()
	c.changed(by.user, c.updated)
	pr := c.repo.pull(c.number)
	pr.touch()
	pr.fireComment("edited", c, by, object{"changes": object{"body": object{"from": old}}})
}

// Delete deletes a comment.
func (c *Comment) Delete(by *User) {
	c.repo.s.mu.Lock()
	defer c.repo.s.mu.Unlock()
	c.remove(actor{user: by})
}

func (c *Comment) remove(by actor) {
	r := c.repo
	pr := r.pull(c.number)
	pr.fireComment("deleted", c, by, nil)
	r.comments = slices.DeleteFunc(r.comments, func(x *Comment) bool { return x == c })
	pr.timeline = slices.DeleteFunc(pr.timeline, func(e *event) bool { return e.comment == c })
	delete(r.s.nodes, c.nodeID)
	pr.touch()
}

// Close closes the pull request without merging it.
func (pr *PR) Close(by *User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if pr.closed {
		panic(fmt.Sprintf("githubtest: close %s: it is closed", pr.ref()))
	}
	pr.close(actor{user: by})
}

func (pr *PR) close(by actor) {
	pr.dequeue(by, "MANUAL")
	pr.closed = true
	pr.closedAt = pr.s.now()
	pr.touch()
	pr.note(&event{kind: "ClosedEvent", actor: by.user})
	pr.fire("closed", by, nil)
}

// Reopen opens a closed pull request again, at wherever its branch is now.
func (pr *PR) Reopen(by *User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if why := pr.reopen(actor{user: by}); why != "" {
		panic(fmt.Sprintf("githubtest: reopen %s: %s", pr.ref(), why))
	}
}

func (pr *PR) reopen(by actor) (refused string) {
	switch {
	case !pr.closed || pr.merged:
		return "it is not a closed, unmerged pull request"
	case pr.headTip() == "":
		return "its branch " + pr.headBranch + " is gone"
	case pr.repo.refs[pr.baseBranch] == "":
		return "its base " + pr.baseBranch + " is gone"
	}
	pr.closed = false
	pr.closedAt = time.Time{}
	pr.headSHA = pr.headTip()
	pr.baseSHA = pr.repo.refs[pr.baseBranch]
	pr.keepHead()
	pr.touch()
	pr.note(&event{kind: "ReopenedEvent", actor: by.user})
	pr.fire("reopened", by, nil)
	return ""
}

// headTip is where the head branch is now, or "" when it is gone.
func (pr *PR) headTip() string {
	if pr.headRepo == nil {
		return ""
	}
	return pr.headRepo.refs[pr.headBranch]
}

// MarkReady says that a draft is ready for review.
func (pr *PR) MarkReady(by *User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	pr.setDraft(false, actor{user: by})
}

// ConvertToDraft makes the pull request a draft.
func (pr *PR) ConvertToDraft(by *User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	pr.setDraft(true, actor{user: by})
}

// Edit changes title and body. What is empty stays as it is.
func (pr *PR) Edit(by *User, title, body string) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	pr.edit(cmp.Or(title, pr.title), cmp.Or(body, pr.body), actor{user: by})
}

func (pr *PR) edit(title, body string, by actor) {
	changes := object{}
	if title != pr.title {
		changes["title"] = object{"from": pr.title}
		pr.note(&event{kind: "RenamedTitleEvent", actor: by.user, from: pr.title, to: title})
	}
	if body != pr.body {
		changes["body"] = object{"from": pr.body}
	}
	if len(changes) == 0 {
		return
	}
	pr.title, pr.body = title, body
	pr.touch()
	pr.fire("edited", by, object{"changes": changes})
}

// Retarget changes the branch that the pull request is to be merged into.
func (pr *PR) Retarget(by *User, base string) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if pr.repo.refs[base] == "" {
		panic(fmt.Sprintf("githubtest: retarget %s: there is no branch %q", pr.ref(), base))
	}
	pr.retarget(base, actor{user: by}, "BaseRefChangedEvent")
}

func (pr *PR) retarget(base string, by actor, kind string) {
	pr.dequeue(by, "MANUAL")
	old, oldSHA := pr.baseBranch, pr.baseSHA
	pr.baseBranch, pr.baseSHA = base, pr.repo.refs[base]
	pr.touch()
	pr.note(&event{kind: kind, actor: by.user, from: old, to: base})
	pr.fire("edited", by, object{"changes": object{"base": object{"ref": object{"from": old}, "sha": object{"from": oldSHA}}}})
}

// Merge merges the pull request as a person does with the button: "merge", "squash" or "rebase". It panics when GitHub
// would refuse.
func (pr *PR) Merge(by *User, method string) string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	if no := pr.refusal(by, method, ""); no != nil {
		panic(fmt.Sprintf("githubtest: merge %s: %s", pr.ref(), no.message))
	}
	return pr.merge(actor{user: by}, method, "", nil)
}

// mergeable tells whether the head merges cleanly, and whether that is known yet. Asking is what starts the
// computation.
func (pr *PR) mergeable(ask bool) (clean, known bool) {
	base := pr.repo.refs[pr.baseBranch]
	if pr.closed || base == "" {
		return false, false
	}
	if now := [2]string{base, pr.headSHA}; pr.computed != now {
		pr.computed = now
		pr.unknownReads = pr.s.knobs.unknownReads
	}
	if pr.unknownReads > 0 {
		if ask {
			pr.unknownReads--
		}
		return false, false
	}
	return !pr.repo.objects.merge(base, pr.headSHA).conflict, true
}

// mergeState is GraphQL's MergeStateStatus.
func (pr *PR) mergeState() string {
	clean, known := pr.mergeable(false)
	switch {
	case !known:
		return "UNKNOWN"
	case !clean:
		return "DIRTY"
	case pr.draft:
		return "DRAFT"
	case pr.blocked() != "" || pr.ruled() != "":
		return "BLOCKED"
	case pr.behind():
		return "BEHIND"
	}
	if state, ok := pr.repo.rollup(pr.headSHA); ok && state != "SUCCESS" {
		return "UNSTABLE"
	}
	return "CLEAN"
}

func (pr *PR) behind() bool {
	p := pr.repo.protected[pr.baseBranch]
	return (p != nil && p.Strict || pr.repo.rules[pr.baseBranch].Strict) && !pr.repo.objects.contains(pr.headSHA, pr.repo.refs[pr.baseBranch])
}

// blocked is GitHub's sentence about the first rule of branch protection that holds the pull request back, or "".
func (pr *PR) blocked() string {
	p := pr.repo.protected[pr.baseBranch]
	if p == nil {
		return ""
	}
	if why := pr.unapproved(p.Reviews); why != "" {
		return why
	}
	if why := pr.unmet(p.LastPush, p.Conversation, p.Signatures); why != "" {
		return why
	}
	if p.Locked {
		return "This branch is locked and cannot be modified."
	}
	var waiting []string
	for _, c := range p.Checks {
		if state := pr.repo.requiredState(pr.headSHA, c); state != "" {
			waiting = append(waiting, fmt.Sprintf("Required status check \"%s\" is %s.", c.Context, state))
		}
	}
	switch len(waiting) {
	case 0:
		return ""
	case 1:
		return waiting[0]
	}
	return fmt.Sprintf("%d of %d required status checks have not succeeded: %s", len(waiting), len(p.Checks), waiting[0])
}

// decision is GraphQL's reviewDecision: "" when no review is required.
func (pr *PR) decision() string {
	want := pr.repo.rules[pr.baseBranch].Approvals
	if p := pr.repo.protected[pr.baseBranch]; p != nil {
		want = max(want, p.Reviews)
	}
	return pr.decided(want)
}

// decided is the decision where so many approvals are wanted.
func (pr *PR) decided(want int) string {
	if want == 0 {
		return ""
	}
	approvals := 0
	for _, rv := range pr.opinions() {
		if !pr.repo.pushes(rv.author) {
			continue
		}
		switch rv.state {
		case "APPROVED":
			approvals++
		case "CHANGES_REQUESTED":
			return "CHANGES_REQUESTED"
		}
	}
	if approvals >= want {
		return "APPROVED"
	}
	return "REVIEW_REQUIRED"
}

// unapproved is GitHub's sentence about approvals that are wanted and not there, or "".
func (pr *PR) unapproved(want int) string {
	switch d := pr.decided(want); {
	case d == "" || d == "APPROVED":
		return ""
	case d == "CHANGES_REQUESTED":
		return "Changes have been requested."
	case want == 1:
		return "At least 1 approving review is required by reviewers with write access."
	}
	return fmt.Sprintf("At least %d approving reviews are required by reviewers with write access.", want)
}

// unmet is GitHub's sentence about the first of some rules that the pull request does not keep, or "".
func (pr *PR) unmet(lastPush, conversation, signatures bool) string {
	if lastPush && !slices.ContainsFunc(pr.opinions(), func(rv *Review) bool { return rv.state == "APPROVED" && rv.author != pr.pusher }) {
		return "New changes require approval from someone other than the last pusher."
	}
	if conversation && slices.ContainsFunc(pr.threads, func(t *Thread) bool { return t.resolved == nil }) {
		return "All comments must be resolved."
	}
	if signatures && slices.ContainsFunc(pr.commits(), func(c *commit) bool { return !c.signed }) {
		return "Commits must have verified signatures."
	}
	return ""
}

// opinions are the newest review of each author that approves, requests changes or was dismissed.
func (pr *PR) opinions() []*Review {
	last := map[*User]*Review{}
	for _, rv := range pr.reviews {
		if rv.state != "COMMENTED" {
			last[rv.author] = rv
		}
	}
	var out []*Review
	for _, rv := range pr.reviews {
		if last[rv.author] == rv {
			out = append(out, rv)
		}
	}
	return out
}

// refusal is GitHub's answer to a merge that it will not do, or nil. An empty sha pins nothing.
func (pr *PR) refusal(by *User, method, sha string) *apiError {
	p := pr.repo.protected[pr.baseBranch]
	base := pr.repo.refs[pr.baseBranch]
	names := map[string]string{"merge": "Merge commits are", "squash": "Squash merges are", "rebase": "Rebase merges are"}
	switch {
	case names[method] == "":
		return refuse(422, "Invalid request.\n\n\""+method+"\" is not a member of [\"merge\", \"squash\", \"rebase\"].")
	case pr.closed || base == "":
		return refuse(405, "Pull Request is not mergeable")
	case pr.draft:
		return refuse(405, "Pull Request is still a draft")
	case sha != "" && sha != pr.headSHA:
		return refuse(409, "Head branch was modified. Review and try the merge again.")
	case !pr.repo.methods[method]:
		return refuse(405, names[method]+" not allowed on this repository.")
	case p != nil && p.Pushers != nil && !slices.Contains(p.Pushers, by):
		return refuse(405, "You're not authorized to push to this branch. Visit https://docs.github.com/articles/about-protected-branches/ for more information.")
	case pr.repo.objects.merge(base, pr.headSHA).conflict:
		return refuse(405, "Pull Request is not mergeable")
	}
	if pr.repo.rules[pr.baseBranch].MergeQueue {
		return refuse(405, violation("Changes must be made through the merge queue"))
	}
	if why := pr.ruled(); why != "" {
		return refuse(405, why)
	}
	if r := pr.repo.rules[pr.baseBranch]; len(r.Methods) > 0 && !slices.Contains(r.Methods, method) {
		return refuse(405, violation("This branch can't be merged into with the method "+method))
	}
	if method == "merge" && (pr.repo.rules[pr.baseBranch].Linear || p != nil && p.Linear) {
		return refuse(405, violation("This branch must not contain merge commits."))
	}
	if p != nil && (p.EnforceAdmins || pr.repo.role(by) < CanAdmin) {
		if why := pr.blocked(); why != "" {
			return refuse(405, why)
		}
		if pr.behind() {
			return refuse(405, "Head branch is out of date. Review and try the merge again.")
		}
	}
	if method == "rebase" {
		if _, conflict := pr.repo.objects.rebase(base, pr.headSHA, by.sign(pr.s.now())); conflict {
			return refuse(405, "This branch can't be rebased")
		}
	}
	return nil
}

// merge merges what refusal let through, and returns the commit at the base branch. An empty title, and a message that is
// not given, are GitHub's to write.
func (pr *PR) merge(by actor, method, title string, message *string) string {
	r := pr.repo
	base := r.refs[pr.baseBranch]
	me := by.user.sign(r.s.now())
	hub := signature{name: "GitHub", email: "noreply@github.com", at: me.at}
	tree := r.objects.merge(base, pr.headSHA).tree
	var sha string
	switch method {
	case "merge":
		title = cmp.Or(title, fmt.Sprintf("Merge pull request #%d from %s/%s", pr.number, pr.headOwner.Login, pr.headBranch))
		sha = r.objects.writeCommit(commit{tree: tree, parents: []string{base, pr.headSHA}, author: me, committer: hub, signed: true, message: says(title, message, pr.title)})
	case "squash":
		title = cmp.Or(title, fmt.Sprintf("%s (#%d)", pr.title, pr.number))
		author := pr.author.sign(me.at)
		sha = r.objects.writeCommit(commit{tree: tree, parents: []string{base}, author: author, committer: hub, signed: true, message: says(title, message, pr.squashed())})
	case "rebase":
		sha, _ = r.objects.rebase(base, pr.headSHA, me)
	}
	// The pull request is merged first, so that moving the base doesn't find it open.
	pr.merged, pr.closed, pr.baseSHA = true, true, base
	r.setRef(pr.baseBranch, sha, by, false)
	pr.finish(by, sha)
	if r.deleteHead && pr.headRepo == r && pr.headTip() != "" && r.protected[pr.headBranch] == nil {
		r.deleteRef(pr.headBranch, by, pr.baseBranch)
	}
	return sha
}

// says is a commit's message, of a title and a text that may be GitHub's own.
func says(title string, text *string, otherwise string) string {
	if text == nil {
		text = &otherwise
	}
	return strings.TrimSpace(title + "\n\n" + *text)
}

// squashed is what GitHub writes into a squash commit unless it is told what to: the messages of all commits when there are
// several, of a single one what follows its first line.
func (pr *PR) squashed() string {
	commits := pr.commits()
	if len(commits) == 1 {
		_, rest, _ := strings.Cut(commits[0].message, "\n")
		return strings.TrimSpace(rest)
	}
	var out []string
	for _, c := range commits {
		out = append(out, "* "+c.message)
	}
	return strings.Join(out, "\n\n")
}

// finish records that the pull request was merged as sha.
func (pr *PR) finish(by actor, sha string) {
	pr.dequeue(by, "MERGE")
	pr.merged, pr.closed = true, true
	pr.mergedBy, pr.mergeSHA = by.user, sha
	pr.mergedAt = pr.s.now()
	pr.closedAt = pr.mergedAt
	pr.touch()
	pr.note(&event{kind: "MergedEvent", actor: by.user, commit: sha, to: pr.baseBranch})
	pr.note(&event{kind: "ClosedEvent", actor: by.user})
	pr.fire("closed", by, nil)
}

// files are the files that the pull request changes: from where it left the base to its head.
func (pr *PR) files() []changedFile {
	o := pr.repo.objects
	return o.diff(o.mergeBase(pr.diffBase(), pr.headSHA), pr.headSHA)
}

// diffBase is what a pull request is compared with: the base branch while it is open, what it was merged into later.
func (pr *PR) diffBase() string {
	if tip := pr.repo.refs[pr.baseBranch]; tip != "" && !pr.closed {
		return tip
	}
	return pr.baseSHA
}

func (pr *PR) commits() []*commit {
	return pr.repo.objects.between(pr.diffBase(), pr.headSHA)
}
