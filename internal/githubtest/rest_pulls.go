package githubtest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

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
