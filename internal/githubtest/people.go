package githubtest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Team is a team of an organization. It holds the members of its child teams too.
type Team struct {
	s       *Server
	id      int64
	nodeID  string
	org     *User
	slug    string
	parent  *Team
	members []*User
	created time.Time
}

// Team returns the team "org/slug", which is created when new, and its organization with it.
func (s *Server) Team(name string) *Team {
	s.mu.Lock()
	defer s.mu.Unlock()
	login, slug, ok := strings.Cut(name, "/")
	if !ok {
		panic(fmt.Sprintf("githubtest: team %q: want org/slug", name))
	}
	org := s.accountLocked(login, "Organization")
	if t := org.team(slug); t != nil {
		return t
	}
	t := &Team{s: s, id: s.id("team"), org: org, slug: strings.ToLower(slug), created: s.now()}
	t.nodeID = s.node("T", t.id, t)
	org.teams = append(org.teams, t)
	return t
}

func (u *User) team(slug string) *Team {
	for _, t := range u.teams {
		if strings.EqualFold(t.slug, slug) {
			return t
		}
	}
	return nil
}

// Under makes the team a child of another one.
func (t *Team) Under(parent *Team) *Team {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.parent = parent
	return t
}

// Add adds members, who join the organization with that.
func (t *Team) Add(members ...*User) *Team {
	for _, u := range members {
		u.Join(t.org)
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, u := range members {
		if !slices.Contains(t.members, u) {
			t.members = append(t.members, u)
		}
	}
	return t
}

// Remove takes a member out of the team. The organization keeps them.
func (t *Team) Remove(u *User) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.members = slices.DeleteFunc(t.members, func(x *User) bool { return x == u })
}

// Name is "org/slug".
func (t *Team) Name() string { return t.org.Login + "/" + t.slug }

// all are the team's members and those of its child teams, in the order of their ids.
func (t *Team) all() []*User {
	out := slices.Clone(t.members)
	for _, child := range t.org.teams {
		if child.parent == t {
			out = append(out, child.all()...)
		}
	}
	slices.SortFunc(out, func(a, b *User) int { return int(a.ID - b.ID) })
	return slices.Compact(out)
}

// GrantTeam gives a team, and its child teams, a role in the repository.
func (r *Repo) GrantTeam(t *Team, role Role) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.teams[t] = role
}

// granted is what an account was given in the repository, by itself or through a team: nothing for whoever may only
// look because everybody may.
func (r *Repo) granted(u *User) Role {
	if u == r.owner {
		return CanAdmin
	}
	role := r.roles[u]
	if role == CanNothing && slices.Contains(r.owner.members, u) {
		role = CanRead
	}
	for t, of := range r.teams {
		if of > role && slices.Contains(t.all(), u) {
			role = of
		}
	}
	return role
}

// Busy says on the account's profile that it has little time, or no longer does.
func (u *User) Busy(on bool) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.busy = on
}

// A request is somebody who is asked to review.
type request struct {
	nodeID  string
	user    *User
	team    *Team
	byOwner bool // GitHub asked by itself, because of CODEOWNERS
}

// RequestReview asks somebody to review. It panics where GitHub would refuse.
func (pr *PR) RequestReview(by *User, reviewers ...*User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	for _, u := range reviewers {
		if !pr.mayReview(u) {
			panic(fmt.Sprintf("githubtest: request a review of %s from %s: they are its author, or no collaborator", pr.ref(), u.Login))
		}
		pr.ask(request{user: u}, actor{user: by})
	}
}

// RequestTeam asks a team to review.
func (pr *PR) RequestTeam(by *User, teams ...*Team) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	for _, t := range teams {
		pr.ask(request{team: t}, actor{user: by})
	}
}

// RequestOwner asks somebody to review because CODEOWNERS names them, as GitHub does by itself.
func (pr *PR) RequestOwner(u *User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	pr.ask(request{user: u, byOwner: true}, actor{user: pr.author})
}

// RequestOwnerTeam does the same with a team.
func (pr *PR) RequestOwnerTeam(t *Team) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	pr.ask(request{team: t, byOwner: true}, actor{user: pr.author})
}

// Unrequest no longer asks somebody to review.
func (pr *PR) Unrequest(by, reviewer *User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	pr.unask(reviewer, nil, actor{user: by})
}

// UnrequestTeam no longer asks a team.
func (pr *PR) UnrequestTeam(by *User, t *Team) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	pr.unask(nil, t, actor{user: by})
}

// Requested are the logins and teams ("org/slug") that are asked to review, in the order in which they were.
func (pr *PR) Requested() []string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	out := []string{}
	for _, q := range pr.requests {
		if q.team != nil {
			out = append(out, q.team.Name())
		} else {
			out = append(out, q.user.Login)
		}
	}
	return out
}

// mayReview reports whether GitHub lets an account be asked: a collaborator who is not the author.
func (pr *PR) mayReview(u *User) bool { return u != pr.author && pr.repo.granted(u) >= CanRead }

func (pr *PR) asks(u *User, t *Team) int {
	return slices.IndexFunc(pr.requests, func(q request) bool { return q.user == u && q.team == t })
}

// ask reports whether the request is new. GitHub tells nobody of one that was there.
func (pr *PR) ask(q request, by actor) bool {
	if pr.asks(q.user, q.team) >= 0 {
		return false
	}
	q.nodeID = pr.s.node("RR", pr.s.id("event"), nil)
	pr.requests = append(pr.requests, q)
	pr.touch()
	pr.fire("review_requested", by, q.about())
	return true
}

func (pr *PR) unask(u *User, t *Team, by actor) bool {
	i := pr.asks(u, t)
	if i < 0 {
		return false
	}
	q := pr.requests[i]
	pr.requests = slices.Delete(pr.requests, i, i+1)
	pr.touch()
	pr.fire("review_request_removed", by, q.about())
	return true
}

// answered takes the requests away that a review answers: its author's, and those of the author's teams. GitHub sends
// no event about them.
func (pr *PR) answered(by *User) {
	pr.requests = slices.DeleteFunc(pr.requests, func(q request) bool {
		return q.user == by && q.team == nil || q.team != nil && slices.Contains(q.team.all(), by)
	})
}

// about is the part of an event that names who is asked.
func (q request) about() object {
	if q.team != nil {
		return object{"requested_team": q.team.json()}
	}
	return object{"requested_reviewer": q.user.json()}
}

// Assign assigns the pull request to somebody.
func (pr *PR) Assign(by *User, users ...*User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	for _, u := range users {
		pr.assign(u, actor{user: by})
	}
}

// Unassign ends that.
func (pr *PR) Unassign(by *User, users ...*User) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	for _, u := range users {
		pr.unassign(u, actor{user: by})
	}
}

// Assignees are the logins of those whom the pull request is assigned to.
func (pr *PR) Assignees() []string {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	out := []string{}
	for _, u := range pr.assignees {
		out = append(out, u.Login)
	}
	return out
}

// assignable reports whether GitHub assigns anything to an account: whoever may be asked, the author, and who has commented.
func (pr *PR) assignable(u *User) bool {
	return u == pr.author || pr.repo.granted(u) >= CanRead ||
		slices.ContainsFunc(pr.comments(), func(c *Comment) bool { return c.author == u })
}

// maxAssignees is how many GitHub takes.
const maxAssignees = 10

// assign reports whether the account is assigned now that was not before.
func (pr *PR) assign(u *User, by actor) bool {
	if slices.Contains(pr.assignees, u) || len(pr.assignees) == maxAssignees {
		return false
	}
	pr.assignees = append(pr.assignees, u)
	pr.touch()
	pr.fire("assigned", by, object{"assignee": u.json()})
	return true
}

func (pr *PR) unassign(u *User, by actor) bool {
	i := slices.Index(pr.assignees, u)
	if i < 0 {
		return false
	}
	pr.assignees = slices.Delete(pr.assignees, i, i+1)
	pr.touch()
	pr.fire("unassigned", by, object{"assignee": u.json()})
	return true
}

// A milestone is one of a repository.
type milestone struct {
	id      int64
	nodeID  string
	repo    *Repo
	number  int
	title   string
	creator *User
	created time.Time
}

// Milestone puts the pull request into a milestone, which is made when new; "" takes it out.
func (pr *PR) Milestone(by *User, title string) {
	pr.s.mu.Lock()
	defer pr.s.mu.Unlock()
	r, was := pr.repo, pr.milestone
	if title == "" {
		pr.milestone = nil
		pr.touch()
		pr.fire("demilestoned", actor{user: by}, object{"milestone": was.json()})
		return
	}
	i := slices.IndexFunc(r.milestones, func(m *milestone) bool { return m.title == title })
	if i < 0 {
		m := &milestone{id: r.s.id("milestone"), repo: r, number: len(r.milestones) + 1, title: title, creator: by, created: r.s.now()}
		m.nodeID = r.s.node("MI", m.id, m)
		i, r.milestones = len(r.milestones), append(r.milestones, m)
	}
	pr.milestone = r.milestones[i]
	pr.touch()
	pr.fire("milestoned", actor{user: by}, object{"milestone": pr.milestone.json()})
}

func (m *milestone) json() any {
	if m == nil {
		return nil
	}
	at := m.repo.url("/milestones/%d", m.number)
	return object{
		"url": at, "html_url": m.repo.page("/milestone/%d", m.number), "labels_url": at + "/labels", "id": m.id, "node_id": m.nodeID, "number": m.number,
		"title": m.title, "description": nil, "creator": m.creator.json(), "open_issues": 0, "closed_issues": 0, "state": "open",
		"created_at": when(m.created), "updated_at": when(m.created), "due_on": nil, "closed_at": nil,
	}
}

func (t *Team) json() any {
	if t == nil {
		return nil
	}
	at := t.s.api("/organizations/%d/team/%d", t.org.ID, t.id)
	return object{
		"name": t.slug, "id": t.id, "node_id": t.nodeID, "slug": t.slug, "description": "", "privacy": "closed", "notification_setting": "notifications_enabled",
		"url": at, "html_url": t.s.html("/orgs/%s/teams/%s", t.org.Login, t.slug), "members_url": at + "/members{/member}",
		"repositories_url": at + "/repos", "permission": "pull", "type": "organization", "organization_id": t.org.ID, "parent": t.parent.json(),
	}
}
