package github_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func (h *hub) us() *githubtest.User {
	if h.as == "app" {
		return h.app.Bot
	}
	return h.User("keeper")
}

// Everything that people say and do around a pull request is in one look, and that is one request of one point.
func TestPeopleInALook(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		ann, ben := h.User("ann"), h.User("ben")
		h.repo.Grant(ann, githubtest.CanWrite)
		h.repo.Grant(ben, githubtest.CanMaintain)
		crew := h.Team("octo/crew").Add(ben)
		h.pr.RequestReview(h.dev, ann)
		h.pr.RequestOwnerTeam(crew)
		h.pr.Assign(h.dev, ann, ben)
		h.pr.Milestone(h.dev, "v1")
		first := h.pr.Comment(ann, "/merge")
		time.Sleep(time.Second)
		first.Edit(ben, "/hold")
		first.React(h.us(), "+1")
		first.React(ann, "eyes")
		review := h.pr.ReviewWith(ann, "request_changes", "No.\n/hold")
		h.pr.Review(ben, "approve") // without a word
		thread := h.pr.CommentOnLine(ben, "a.go", 1, "why?")
		reply := thread.Reply(ann, "because")
		reply.React(h.us(), "confused")
		thread.Resolve(ann)
		old := h.pr.Head()
		moved := h.repo.ForcePush("topic/one", "main", map[string]string{"a.go": "package b\n"}, "again", h.dev)

		var s pull.Snapshot
		h.look() // a first one, which fetches a token
		if spent := h.spent(func() { s = h.look() }); !slices.Equal(spent, []string{"graphql.PullRequest 1"}) {
			t.Errorf("asked %v, want one request", spent)
		}
		points := h.Usage().Points
		h.look()
		if n := h.Usage().Points - points; n != 1 {
			t.Errorf("a look costs %d points, want 1", n)
		}
		actor := func(u *githubtest.User) pull.Actor { return pull.Actor{ID: u.ID, Login: u.Login, Type: pull.User} }
		if diff := cmp.Diff([]pull.ReviewRequest(nil), s.ReviewRequests); diff != "" {
			t.Errorf("both have reviewed, ann for herself and ben for the team (-want +got):\n%s", diff)
		}
		h.pr.RequestReview(h.dev, ann)
		h.pr.RequestOwnerTeam(crew)
		s = h.look()
		if diff := cmp.Diff([]pull.ReviewRequest{{Who: actor(ann)}, {Team: "octo/crew", ByOwners: true}}, s.ReviewRequests); diff != "" {
			t.Errorf("asked again (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]pull.Actor{actor(ann), actor(ben)}, s.Assignees); diff != "" || s.Milestone != "v1" || s.CommitCount != 1 {
			t.Errorf("milestone %q, %d commits, assignees (-want +got):\n%s", s.Milestone, s.CommitCount, diff)
		}
		type seen struct {
			Source                pull.CommentSource
			ID                    int64
			Author, Editor, Body  string
			Commit                pull.SHA
			Reacted               []string
			Edited, NodeID, Dated bool
		}
		var got []seen
		for _, c := range s.Comments {
			got = append(got, seen{c.Source, c.ID, c.Author.Login, c.Editor.Login, c.Body, c.Commit, c.Reacted, !c.EditedAt.IsZero(), c.NodeID != "", !c.At.IsZero()})
		}
		want := []seen{
			{pull.Conversation, first.ID(), "ann", "ben", "/hold", "", []string{"+1"}, true, true, true},
			{pull.ReviewBody, review.ID(), "ann", "", "No.\n/hold", pull.SHA(old), nil, false, true, true},
			{pull.ReviewLine, thread.First().ID(), "ben", "", "why?", pull.SHA(old), nil, false, true, true},
			{pull.ReviewLine, reply.ID(), "ann", "", "because", pull.SHA(old), []string{"confused"}, false, true, true},
		}
		if diff := cmp.Diff(want, got); diff != "" || s.CommentsTruncated {
			t.Errorf("truncated %v, comments (-want +got):\n%s", s.CommentsTruncated, diff)
		}
		if diff := cmp.Diff([]pull.Thread{{Resolved: true, Outdated: true, Author: actor(ben)}}, s.Threads); diff != "" || s.ThreadsTruncated {
			t.Errorf("truncated %v, threads (-want +got):\n%s", s.ThreadsTruncated, diff)
		}
		if len(s.Moves) != 1 || s.Moves[0].SHA != pull.SHA(moved) || s.Moves[0].At.IsZero() {
			t.Errorf("moves = %+v, want one to %.7s", s.Moves, moved)
		}
	})
}

// Comments are read back to what was changed a day ago; what is older is left where it is.
func TestManyComments(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		old := h.pr.Comment(h.dev, "old")
		for i := range 150 {
			h.pr.Comment(h.dev, fmt.Sprint("old ", i))
		}
		time.Sleep(26 * time.Hour)
		h.look()
		var s pull.Snapshot
		if spent := h.spent(func() { s = h.look() }); !slices.Equal(spent, []string{"graphql.PullRequest 1"}) || len(s.Comments) != 100 || s.CommentsTruncated {
			t.Errorf("a day later: %v for %d comments, want one request for the newest page", spent, len(s.Comments))
		}
		old.Edit(h.dev, "/merge")
		for i := range 250 {
			h.pr.Comment(h.dev, fmt.Sprint("new ", i))
		}
		if spent := h.spent(func() { s = h.look() }); !slices.Equal(spent, []string{"graphql.PullRequest 1", "graphql.PullRequestComments 2"}) {
			t.Errorf("asked %v, want two more pages", spent)
		}
		fresh := 0
		for _, c := range s.Comments {
			if strings.HasPrefix(c.Body, "new ") {
				fresh++
			}
		}
		edited := slices.ContainsFunc(s.Comments, func(c pull.Comment) bool { return c.ID == old.ID() && c.Body == "/merge" && !c.EditedAt.IsZero() })
		if fresh != 250 || !edited || s.CommentsTruncated {
			t.Errorf("%d of 250 new comments, the edited one: %v, truncated %v", fresh, edited, s.CommentsTruncated)
		}
		if !slices.IsSortedFunc(s.Comments, func(a, b pull.Comment) int { return a.At.Compare(b.At) }) {
			t.Error("they are not in the order in which they were written")
		}
	})
}

// Threads are all read, to their beginnings.
func TestManyThreads(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		ann := h.User("ann")
		for i := range 120 {
			th := h.pr.CommentOnLine(ann, "a.go", 1, fmt.Sprint("thread ", i))
			if i%2 == 0 {
				th.Resolve(ann)
			}
			if i == 60 {
				for n := range 70 {
					th.Reply(h.dev, fmt.Sprint("reply ", n))
				}
			}
		}
		h.look()
		var s pull.Snapshot
		spent := h.spent(func() { s = h.look() })
		if want := []string{"graphql.PullRequest 1", "graphql.PullRequestReviews 1", "graphql.PullRequestThreads 1", "graphql.ThreadComments 1"}; !slices.Equal(spent, want) {
			t.Errorf("asked %v, want %v", spent, want)
		}
		resolved, lines := 0, 0
		for _, th := range s.Threads {
			if th.Resolved {
				resolved++
			}
			if th.Author.Login != "ann" {
				t.Errorf("a thread was begun by %q", th.Author.Login)
			}
		}
		for _, c := range s.Comments {
			if c.Source == pull.ReviewLine {
				lines++
			}
		}
		if len(s.Threads) != 120 || resolved != 60 || lines != 190 || s.ThreadsTruncated || s.CommentsTruncated {
			t.Errorf("%d threads, %d resolved, %d comments, truncated %v %v", len(s.Threads), resolved, lines, s.ThreadsTruncated, s.CommentsTruncated)
		}
	})
}

// What GitHub does not show the credentials costs a request of its own or is left out; the look itself never fails for it.
func TestALookThatMayNotSeeTeams(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		ann := h.User("ann")
		h.repo.Grant(ann, githubtest.CanWrite)
		h.pr.RequestReview(h.dev, ann)
		want, more := []pull.ReviewRequest{{Who: pull.Actor{ID: ann.ID, Login: "ann", Type: pull.User}}}, []string(nil)
		query := "graphql.PullRequest 1"
		if h.as == "token" {
			h.Scopes(h.secret(), "repo")
			query = "graphql.PullRequestTeamless 1"
			// The first request does not know what the token may do; its refusal says so.
			if spent := h.spent(func() { h.look() }); !slices.Equal(spent, []string{"graphql.PullRequest 1", "graphql.PullRequestTeamless 1"}) {
				t.Errorf("at first: %v", spent)
			}
		} else {
			h.app.Change(githubtest.AppOptions{Permissions: map[string]string{"contents": "write", "pull_requests": "write", "checks": "write", "statuses": "write"}})
			h.look()
		}
		var s pull.Snapshot
		if spent := h.spent(func() { s = h.look() }); !slices.Equal(spent, []string{query}) {
			t.Errorf("asked %v, want one request", spent)
		}
		if diff := cmp.Diff(want, s.ReviewRequests); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		h.pr.RequestTeam(h.dev, h.Team("octo/crew"))
		want, more = append(want, pull.ReviewRequest{Team: "octo/crew"}), []string{query, "pulls.list-requested-reviewers 1"}
		if spent := h.spent(func() { s = h.look() }); !slices.Equal(spent, more) {
			t.Errorf("asked %v, want %v", spent, more)
		}
		if diff := cmp.Diff(want, s.ReviewRequests); diff != "" {
			t.Errorf("requests, one of a team (-want +got):\n%s", diff)
		}
	})
}

// The place in GitHub's merge queue, and our reports on the commit that is tested there.
func TestALookAtTheQueue(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		ci := h.App("ci", githubtest.AppOptions{})
		h.repo.Rules("main", githubtest.Ruleset{Checks: []string{"build"}, MergeQueue: true})
		h.repo.Push("two", map[string]string{"two": "2"}, "two", h.dev)
		two := h.repo.Open(h.dev, "two", "main", "Two", "")
		for _, pr := range []*githubtest.PR{h.pr, two} {
			h.repo.Check(pr.Head(), ci, "build", "completed", "success")
		}
		if s := h.look(); s.Queued != nil {
			t.Errorf("not queued: %+v", s.Queued)
		}
		two.Enqueue(h.dev)
		h.pr.Enqueue(h.dev)
		s := h.look()
		dev := pull.Actor{ID: h.dev.ID, Login: "mona", Type: pull.User}
		want := &pull.QueueEntry{
			Position: 2, State: "awaiting_checks", Head: pull.SHA(h.pr.QueueHead()), Base: pull.SHA(two.QueueHead()), Ahead: []int{two.Number()}, By: dev,
		}
		if diff := cmp.Diff(want, s.Queued); diff != "" {
			t.Errorf("queued (-want +got):\n%s", diff)
		}
		if len(s.Checks) != 1 || len(s.Reports) != 0 {
			t.Errorf("%d checks and %d reports, want those of the head alone", len(s.Checks), len(s.Reports))
		}
		for _, name := range []string{"pr-manager/approvals", "pr-manager"} {
			if h.as == "app" {
				h.repo.Check(h.pr.QueueHead(), h.app, name, "completed", "success")
			} else {
				h.repo.Status(h.pr.QueueHead(), name, "success", h.us())
			}
		}
		if h.as == "app" {
			h.repo.Status(h.pr.QueueHead(), "pr-manager/approvals", "failure", h.User("mallory")) // who only uses our name
		}
		s = h.look()
		var names []string
		for _, r := range s.Reports {
			names = append(names, fmt.Sprintf("%q %s", r.Name, r.State))
			if r.SHA != s.Queued.Head {
				t.Errorf("a report on %s", r.SHA)
			}
		}
		if want := []string{`"pr-manager/approvals" good`, `"" good`}; !slices.Equal(names, want) {
			t.Errorf("reports = %v, want %v", names, want)
		}
		if s.Report != nil || len(s.Checks) != 1 {
			t.Errorf("what is on the queue's commit was taken for the head's: %+v, %d checks", s.Report, len(s.Checks))
		}
		h.repo.Check(two.QueueHead(), ci, "build", "completed", "failure")
		if s = h.look(); s.Queued == nil || s.Queued.Position != 1 || len(s.Queued.Ahead) != 0 || s.Queued.Head == want.Head {
			t.Errorf("after the one before it has failed: %+v, want it first, with another commit", s.Queued)
		}
		h.repo.Check(h.pr.QueueHead(), ci, "build", "completed", "success")
		if s = h.look(); s.State != pull.Merged || s.Queued != nil || s.MergeSHA == "" {
			t.Errorf("after its checks have passed: %s, %+v", s.State, s.Queued)
		}
	})
}

// Reports of ours never count as checks, whoever else uses their names.
func TestOurReportsAreNoChecks(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		evil := h.App("evil", githubtest.AppOptions{})
		for _, name := range []string{"pr-manager", "pr-manager/approvals", "pr-manager-like"} {
			h.repo.Check(h.pr.Head(), evil, name, "completed", "success")
			if h.as == "app" {
				h.repo.Check(h.pr.Head(), h.app, name, "in_progress", "")
			} else {
				h.repo.Status(h.pr.Head(), name, "pending", h.us())
			}
		}
		s := h.look()
		for _, c := range s.Checks {
			if c.Name != "pr-manager-like" {
				t.Errorf("a check %q counts", c.Name)
			}
		}
		if len(s.Checks) != 2 || s.Report == nil || s.Report.State != pull.ReportWaiting {
			t.Errorf("%d checks, report %+v", len(s.Checks), s.Report)
		}
		if len(s.Reports) != 1 || s.Reports[0].Name != pull.ApprovalsName || s.Reports[0].SHA != s.Head.SHA || s.Reports[0].State != pull.ReportWaiting {
			t.Errorf("reports = %+v", s.Reports)
		}
	})
}

// Beyond 3,000 files GitHub lists none: the look says that it does not know them all.
func TestMoreFilesThanGitHubLists(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		h.repo.Push("topic/one", githubtest.Many("many", 3000), "many", h.dev)
		s := h.look()
		if s.ChangedFiles != 3001 || len(s.Files) != 3000 || !s.FilesTruncated {
			t.Errorf("%d of %d files, truncated %v", len(s.Files), s.ChangedFiles, s.FilesTruncated)
		}
	})
}
