package github

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gh "github.com/google/go-github/v92/github"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

const (
	// maxFiles is where GitHub itself stops listing the files of a pull request.
	maxFiles = 3000
	// maxPages bounds the requests for one list, whatever the page size.
	maxPages = 40
	// defaultsRepo is the repository of an owner that holds the defaults; pullRequestQuery asks for it.
	defaultsRepo = ".github"
	// maxLooks bounds how often a look begins anew because the pull request moved, or had another address.
	maxLooks = 3
)

// Snapshot reads what a pull request is now. It costs one request unless a list is longer than a page. Its error is a
// *[pull.Fault]: gone when the pull request is not there or not ours to see, throttled when GitHub has to be left
// alone, and never partial: what GitHub half answered is unavailable.
//
// A repository that was renamed is found by its old name, and one whose name somebody else has taken by its id: the
// snapshot says what it is called now. With no id, the name decides.
func (c *Client) Snapshot(ctx context.Context, scope pull.Scope, repo pull.Repo, number int) (pull.Snapshot, error) {
	l := look{c: c, ctx: ctx, scope: scope, repo: repo, number: number}
	for range maxLooks {
		s, again, f := l.once()
		if f != nil {
			return pull.Snapshot{}, f
		}
		if !again {
			return s, nil
		}
	}
	return pull.Snapshot{}, &pull.Fault{Class: pull.FaultUnavailable, Op: l.on(), Message: "it kept changing while it was being read"}
}

// A look is one reading of one pull request.
type look struct {
	c      *Client
	ctx    context.Context
	scope  pull.Scope
	repo   pull.Repo
	number int
	page   int
	head   pull.SHA
	base   pull.SHA
}

func (l *look) on() string { return fmt.Sprintf("look at %s#%d", l.repo.FullName(), l.number) }

func (l *look) variables() *variables {
	return &variables{Owner: l.repo.Owner, Name: l.repo.Name, Number: l.number, Page: l.page, Inner: l.page / 2}
}

// once reads it. again means that it has to be read anew: under the name that l now knows, or because it moved.
func (l *look) once() (s pull.Snapshot, again bool, f *pull.Fault) {
	where := fmt.Sprintf("%s#%d", l.repo.FullName(), l.number)
	l.page = l.c.pages.of(where)
	vars := l.variables()
	vars.Policy = "HEAD:" + pull.PolicyFile
	var data pullRequestData
	f = l.c.query(l.ctx, l.scope, l.query(), l.on(), vars, &data, readPullErrors)
	if f != nil && f.Class == pull.FaultRefused && l.query() == teamlessQuery {
		// GitHub has just told what the token may do: not see teams.
		data = pullRequestData{}
		f = l.c.query(l.ctx, l.scope, teamlessQuery, l.on(), vars, &data, readPullErrors)
	}
	if tooHeavy(f) {
		l.c.pages.halve(where)
	}
	if f != nil {
		return s, false, f
	}
	if data.Repository == nil || data.Repository.PullRequest == nil {
		return s, false, &pull.Fault{Class: pull.FaultGone, Op: l.on(), Message: "there is no such pull request"}
	}
	r, p := data.Repository, data.Repository.PullRequest
	if l.repo.ID != 0 && r.DatabaseID != l.repo.ID {
		return s, true, l.findByID()
	}
	if !strings.EqualFold(r.Owner.Login, l.repo.Owner) {
		// Its owner is another one now, and so are the owner's defaults: those of whoever holds the old name are not
		// to be trusted.
		l.repo = r.repo()
		return s, true, nil
	}
	l.head, l.base = p.HeadRefOid, p.BaseRefOid

	s = pull.Snapshot{
		ObservedAt:     time.Now().UTC(),
		Us:             us(l.scope, data.Viewer.DatabaseID, data.Viewer.Login),
		AsApp:          l.scope.Installation() > 0,
		Repo:           r.repo(),
		Archived:       r.IsArchived,
		Private:        r.IsPrivate,
		AllowedMethods: r.methods(),
		Policy:         r.document(pull.PolicyFile),
		Permission:     pull.PermissionLevel(strings.ToLower(r.ViewerPermission)),

		Number:    p.Number,
		NodeID:    p.ID,
		URL:       p.URL,
		Title:     p.Title,
		Body:      p.Body,
		Author:    p.Author.actor(),
		State:     state(p.State),
		Draft:     p.IsDraft,
		CreatedAt: p.CreatedAt.UTC(),
		UpdatedAt: p.UpdatedAt.UTC(),

		Head:       pull.Branch{Name: p.HeadRefName, SHA: p.HeadRefOid},
		Base:       pull.Branch{Repo: r.repo(), Name: p.BaseRefName, SHA: p.BaseRefOid},
		Fork:       p.IsCrossRepository,
		MergeQueue: p.IsMergeQueueEnabled,
		Mergeable:  mergeable(p.Mergeable),
		Behind:     p.MergeStateStatus == "BEHIND",
		Blocked:    p.MergeStateStatus == "BLOCKED",

		Additions:    p.Additions,
		Deletions:    p.Deletions,
		ChangedFiles: p.ChangedFiles,
		CommitCount:  p.Commits.TotalCount,
	}
	if p.Milestone != nil {
		s.Milestone = p.Milestone.Title
	}
	if r.DefaultBranchRef != nil {
		s.DefaultBranch = r.DefaultBranchRef.Name
	}
	// GitHub answers with a repository that was moved or renamed, wherever it is now: somebody else's are no defaults.
	if o := data.Defaults; o != nil && strings.EqualFold(o.Owner.Login, r.Owner.Login) && strings.EqualFold(o.Name, defaultsRepo) {
		s.Defaults = data.Defaults.document(pull.PolicyFile)
	}
	if p.MergedAt != nil {
		s.MergedAt, s.MergedBy = p.MergedAt.UTC(), p.MergedBy.actor()
	}
	if p.MergeCommit != nil {
		s.MergeSHA = p.MergeCommit.OID
	}
	if p.HeadRef != nil && p.HeadRef.Target != nil {
		s.HeadBranchTip = p.HeadRef.Target.OID
	}
	if p.BaseRef != nil && p.BaseRef.Target != nil {
		s.BaseBranchTip = p.BaseRef.Target.OID
	}
	if p.HeadRepository != nil {
		s.Head.Repo = p.HeadRepository.repo()
	}
	for _, step := range []func(*pull.Snapshot, *pullRequest) (bool, *pull.Fault){l.files, l.labels, l.people, l.reviews, l.comments, l.threads, l.moves, l.checks, l.queue} {
		if again, f := step(&s, p); again || f != nil {
			if tooHeavy(f) {
				l.c.pages.halve(where)
			}
			return s, again, f
		}
	}
	s.Comments = inOrder(s.Comments)
	return s, false, nil
}

// readPullErrors knows the errors of pullRequestQuery. Most owners have no .github repository.
func readPullErrors(e gqlError) *pull.Fault {
	f := &pull.Fault{Class: pull.FaultUnavailable, Message: oneLine(e.Message)}
	switch {
	case e.Type == "NOT_FOUND" && e.at("defaults"):
		return nil
	case e.Type == "FORBIDDEN" && (e.under("repository", "pullRequest", "reviewRequests") || e.under("repository", "pullRequest", "mergeQueueEntry")):
		return nil // an App that may not see the organization's members, or the merge queue
	case e.Type == "NOT_FOUND" && e.at("repository"):
		f.Class = pull.FaultGone
	case e.Type == "NOT_FOUND" && e.at("repository", "pullRequest"):
		f.Class, f.Until = pull.FaultGone, time.Now().Add(copiesLag).UTC() // an event may be ahead of what GitHub shows
	case e.Type == "FORBIDDEN" || e.Type == "INSUFFICIENT_SCOPES":
		f.Class = pull.FaultRefused
	}
	return f
}

// findByID asks what the repository is called now, because somebody else's answers to the name that we know.
func (l *look) findByID() *pull.Fault {
	var got gh.Repository
	f := l.c.do(l.ctx, l.scope, call{
		op: "repository.get", on: l.on(), method: http.MethodGet,
		url: l.c.path("repositories", strconv.FormatInt(l.repo.ID, 10)), accept: reading(&got),
	})
	if f != nil {
		return f
	}
	if got.GetID() != l.repo.ID || got.GetName() == "" || got.GetOwner().GetLogin() == "" {
		return &pull.Fault{Class: pull.FaultGone, Op: l.on(), Message: "another repository has its name now"}
	}
	l.repo.Owner, l.repo.Name = got.GetOwner().GetLogin(), got.GetName()
	return nil
}

// pageData is one further page of a list of a pull request.
type pageData struct {
	Repository *struct {
		PullRequest *pullRequest
		Object      *commit
	}
}

// further reads one more page. moved means that it is of another state of the pull request than the pages before.
func (l *look) further(op operation, cursor string) (p *pullRequest, moved bool, f *pull.Fault) {
	vars := l.variables()
	vars.Cursor = &cursor
	var data pageData
	if f := l.c.query(l.ctx, l.scope, op, l.on(), vars, &data, readPullErrors); f != nil {
		return nil, false, f
	}
	if data.Repository == nil || data.Repository.PullRequest == nil {
		return nil, true, nil
	}
	p = data.Repository.PullRequest
	return p, p.HeadRefOid != l.head || p.BaseRefOid != l.base, nil
}

func (l *look) files(s *pull.Snapshot, p *pullRequest) (again bool, f *pull.Fault) {
	list := p.Files
	for n := 1; list != nil; n++ {
		for _, e := range list.Nodes {
			if e != nil {
				s.Files = append(s.Files, pull.File{Path: e.Path, Status: strings.ToLower(e.ChangeType), Additions: e.Additions, Deletions: e.Deletions})
			}
		}
		if !list.PageInfo.HasNextPage || len(s.Files) >= maxFiles || n == maxPages {
			break
		}
		next, moved, f := l.further(filesQuery, list.PageInfo.EndCursor)
		if f != nil || moved {
			return moved, f
		}
		list = next.Files
	}
	s.FilesTruncated = list == nil && s.ChangedFiles > 0 || list != nil && list.PageInfo.HasNextPage || len(s.Files) < s.ChangedFiles
	return false, nil
}

func (l *look) labels(s *pull.Snapshot, p *pullRequest) (again bool, f *pull.Fault) {
	history := map[string]*pull.Label{} // label names differ in more than case
	var order []*pull.Label
	at := func(name string) *pull.Label {
		k := strings.ToLower(name)
		if history[k] == nil {
			history[k] = &pull.Label{Name: name}
			order = append(order, history[k])
		}
		return history[k]
	}
	list := p.Labels
	for n := 1; list != nil; n++ {
		for _, e := range list.Nodes {
			if e != nil {
				at(e.Name).Present = true
			}
		}
		s.LabelsTruncated = list.PageInfo.HasNextPage
		if !list.PageInfo.HasNextPage || n == maxPages {
			break
		}
		next, moved, f := l.further(labelsQuery, list.PageInfo.EndCursor)
		if f != nil || moved {
			return moved, f
		}
		list = next.Labels
	}
	for _, e := range p.TimelineItems.Nodes {
		if e == nil || e.Label == nil {
			continue
		}
		b := at(e.Label.Name)
		switch e.Typename {
		case "LabeledEvent":
			b.SetBy, b.SetAt = e.Actor.actor(), e.CreatedAt.UTC()
		case "UnlabeledEvent":
			b.TakenBy, b.TakenAt = e.Actor.actor(), e.CreatedAt.UTC()
		}
	}
	for _, b := range order {
		s.Labels = append(s.Labels, *b)
	}
	return false, nil
}

func (l *look) reviews(s *pull.Snapshot, p *pullRequest) (again bool, f *pull.Fault) {
	var pages [][]pull.Review // newest page first
	list := p.Reviews
	for n := 1; list != nil; n++ {
		var page []pull.Review
		for _, e := range list.Nodes {
			if e != nil {
				page = append(page, e.review())
				if e.State != "PENDING" && strings.TrimSpace(e.Body) != "" {
					s.Comments = append(s.Comments, e.words())
				}
			}
		}
		pages = append(pages, page)
		s.ReviewsTruncated = list.PageInfo.HasPreviousPage
		if !list.PageInfo.HasPreviousPage || n == maxPages {
			break
		}
		next, moved, f := l.further(reviewsQuery, list.PageInfo.StartCursor)
		if f != nil || moved {
			return moved, f
		}
		list = next.Reviews
	}
	slices.Reverse(pages)
	s.Reviews = slices.Concat(pages...)
	return false, nil
}

// checks reads what has reported on the head commit. The last of a pull request's commits nearly always is its head;
// where GitHub lists them otherwise, or has not caught up with a push, the head is asked for by its id.
func (l *look) checks(s *pull.Snapshot, p *pullRequest) (again bool, f *pull.Fault) {
	var head *commit
	if n := p.Commits.Nodes; len(n) > 0 && n[len(n)-1] != nil && n[len(n)-1].Commit.OID == l.head {
		head = &n[len(n)-1].Commit
	} else if head, f = l.commit(l.head, nil); f != nil {
		return false, f
	}
	for n := 1; ; n++ {
		if head == nil {
			s.ChecksTruncated = true // GitHub does not show us the commit: what reports on it is unknown
			return false, nil
		}
		if head.StatusCheckRollup == nil {
			return false, nil // nothing has reported yet
		}
		s.Rollup = head.StatusCheckRollup.String()
		list := head.StatusCheckRollup.Contexts
		for _, e := range list.Nodes {
			if e != nil {
				l.check(s, *e)
			}
		}
		s.ChecksTruncated = list.PageInfo.HasNextPage
		if !list.PageInfo.HasNextPage || n == maxPages {
			return false, nil
		}
		if head, f = l.commit(l.head, &list.PageInfo.EndCursor); f != nil {
			return false, f
		}
	}
}

// commit reads a page of what has reported on a commit; nil when GitHub does not know the commit.
func (l *look) commit(oid pull.SHA, cursor *string) (*commit, *pull.Fault) {
	vars := l.variables()
	vars.OID, vars.Cursor = oid, cursor
	var data pageData
	if f := l.c.query(l.ctx, l.scope, checksQuery, l.on(), vars, &data, readPullErrors); f != nil {
		return nil, f
	}
	if data.Repository == nil || data.Repository.Object == nil || data.Repository.Object.OID != oid {
		return nil, nil
	}
	return data.Repository.Object, nil
}

// check sorts one run or status on the head: ours is a report, any other of a report's name is nobody's business, the rest
// are checks.
func (l *look) check(s *pull.Snapshot, e gqlContext) {
	if e.reports() {
		if r := l.report(s, l.head, e); r != nil {
			keep(s, *r)
		}
		return
	}
	if e.Typename == "StatusContext" {
		s.Checks = append(s.Checks, pull.Check{
			Name: e.Context, State: statusState(e.State), Detail: strings.ToLower(e.State), Required: e.IsRequired,
			StartedAt: utc(e.CreatedAt), URL: webURL(e.TargetURL),
		})
		return
	}
	run := pull.Check{
		ID: e.DatabaseID, Name: e.Name, State: runState(e.Status, e.Conclusion), Detail: strings.ToLower(e.Status),
		Required: e.IsRequired, StartedAt: utc(e.StartedAt), URL: webURL(e.Permalink),
		Suite: e.CheckSuite.DatabaseID, SuiteAt: e.CheckSuite.CreatedAt.UTC(),
	}
	if e.Conclusion != "" {
		run.Detail = strings.ToLower(e.Conclusion)
	}
	if app := e.CheckSuite.App; app != nil {
		run.App, run.AppID = app.Slug, app.DatabaseID
	}
	s.Checks = append(s.Checks, run)
}

// name is the run's name, or the status's context.
func (e gqlContext) name() string {
	if e.Typename == "StatusContext" {
		return e.Context
	}
	return e.Name
}

// reports reports whether it has the name of a report of the service.
func (e gqlContext) reports() bool {
	return e.name() == pull.ReportName || strings.HasPrefix(e.name(), pull.ReportName+"/")
}

// report is what a run or status says if it is ours, else nil.
func (l *look) report(s *pull.Snapshot, sha pull.SHA, e gqlContext) *pull.Report {
	r := pull.Report{SHA: sha, Name: e.name(), Required: e.IsRequired}
	if r.Name == pull.ReportName {
		r.Name = ""
	}
	if e.Typename == "StatusContext" {
		if s.AsApp || !e.Creator.actor().Same(s.Us) {
			return nil
		}
		r.State, r.Title, r.URL = reportOfStatus(e.State), e.Description, e.TargetURL
		return &r
	}
	if app := e.CheckSuite.App; !s.AsApp || app == nil || app.DatabaseID != l.c.appID {
		return nil
	}
	r.ID, r.Title, r.Summary, r.URL, r.Digest = e.DatabaseID, e.Title, e.Summary, e.DetailsURL, e.ExternalID
	switch {
	case e.Status != "COMPLETED":
		r.State = pull.ReportWaiting
	case e.Conclusion == "SUCCESS":
		r.State = pull.ReportGood
	case e.Conclusion == "FAILURE":
		r.State = pull.ReportBad
	default:
		// GitHub has ended the run itself (stale after two weeks): it no longer says what we wrote.
		r.State, r.Digest = pull.ReportBad, ""
	}
	return &r
}

// keep puts a report into the snapshot, unless a newer run of its name on its commit is there. Ids only grow.
func keep(s *pull.Snapshot, r pull.Report) {
	if r.Name == "" && r.SHA == s.Head.SHA {
		if s.Report == nil || s.Report.ID <= r.ID {
			s.Report = &r
		}
		return
	}
	for i, had := range s.Reports {
		if had.Name == r.Name && had.SHA == r.SHA {
			if had.ID <= r.ID {
				s.Reports[i] = r
			}
			return
		}
	}
	s.Reports = append(s.Reports, r)
}

// The shapes of GitHub's answers.
type (
	pullRequestData struct {
		Viewer struct {
			DatabaseID int64
			Login      string
		}
		Repository *repository
		Defaults   *repository
	}
	repository struct {
		DatabaseID         int64
		Name               string
		Owner              struct{ Login string }
		IsArchived         bool
		IsPrivate          bool
		MergeCommitAllowed bool
		SquashMergeAllowed bool
		RebaseMergeAllowed bool
		ViewerPermission   string
		DefaultBranchRef   *struct{ Name string }
		Object             *document
		PullRequest        *pullRequest
	}
	document struct {
		Typename    string `json:"__typename"`
		OID         pull.SHA
		ByteSize    int
		IsBinary    bool
		IsTruncated bool
		Text        *string
	}
	pullRequest struct {
		ID, URL, Title, Body, State string
		Number                      int
		IsDraft                     bool
		CreatedAt, UpdatedAt        time.Time
		MergedAt                    *time.Time
		Author, MergedBy            *account
		MergeCommit                 *struct{ OID pull.SHA }
		HeadRefName, BaseRefName    string
		HeadRefOid, BaseRefOid      pull.SHA
		HeadRef, BaseRef            *struct{ Target *struct{ OID pull.SHA } }
		HeadRepository              *repository
		IsCrossRepository           bool
		IsMergeQueueEnabled         bool
		Mergeable, MergeStateStatus string
		Additions, Deletions        int
		ChangedFiles                int
		Labels                      *page[struct{ Name string }]
		Files                       *page[struct {
			Path, ChangeType     string
			Additions, Deletions int
		}]
		Reviews       *page[review]
		TimelineItems page[struct {
			Typename  string `json:"__typename"`
			CreatedAt time.Time
			Actor     *account
			Label     *struct{ Name string }
		}]
		Commits         page[struct{ Commit commit }]
		Milestone       *struct{ Title string }
		Assignees       page[account]
		ReviewRequests  *page[reviewRequest]
		Comments        *page[comment]
		ReviewThreads   *page[thread]
		Moves           page[move]
		Rebased         page[struct{ CreatedAt time.Time }]
		MergeQueueEntry *queueEntry
	}
	commit struct {
		OID               pull.SHA
		StatusCheckRollup *rollup
	}
	// page is a connection. GitHub's lists may hold nulls.
	page[T any] struct {
		PageInfo struct {
			HasNextPage, HasPreviousPage bool
			StartCursor, EndCursor       string
		}
		TotalCount int
		Nodes      []*T
	}
	account struct {
		Typename   string `json:"__typename"`
		Login      string
		DatabaseID int64
	}
	review struct {
		comment
		AuthorCanPushToRepository bool
		State                     string
		Commit                    *struct{ OID pull.SHA }
		SubmittedAt               *time.Time
	}
	// gqlContext is a check run or a commit status, by its Typename.
	gqlContext struct {
		Typename   string `json:"__typename"`
		IsRequired bool

		DatabaseID            int64
		Name                  string
		Status, Conclusion    string
		StartedAt             *time.Time
		Permalink, DetailsURL string
		ExternalID            string
		Title, Summary        string
		CheckSuite            struct {
			DatabaseID int64
			CreatedAt  time.Time
			App        *struct {
				DatabaseID int64
				Slug       string
			}
		}

		Context, State         string
		Description, TargetURL string
		CreatedAt              *time.Time
		Creator                *account
	}
)

// A bigInt is GitHub's scalar for ids beyond 32 bits, which it writes as a string.
type bigInt int64

// UnmarshalJSON reads a number with or without quotes.
func (b *bigInt) UnmarshalJSON(text []byte) error {
	s := strings.Trim(string(text), `"`)
	if s == "null" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return &json.UnmarshalTypeError{Value: "string", Type: nil}
	}
	*b = bigInt(n)
	return nil
}

func (r *repository) repo() pull.Repo {
	return pull.Repo{ID: r.DatabaseID, Owner: r.Owner.Login, Name: r.Name}
}

func (r *repository) methods() []pull.MergeMethod {
	var out []pull.MergeMethod
	for _, m := range []struct {
		allowed bool
		method  pull.MergeMethod
	}{{r.MergeCommitAllowed, pull.MergeCommit}, {r.SquashMergeAllowed, pull.Squash}, {r.RebaseMergeAllowed, pull.Rebase}} {
		if m.allowed {
			out = append(out, m.method)
		}
	}
	return out
}

// document is the policy file of a repository, found or not.
func (r *repository) document(path string) pull.Document {
	d := pull.Document{Path: fmt.Sprintf("%s/%s/%s", r.Owner.Login, r.Name, path)}
	if r.DefaultBranchRef != nil {
		d.Path += "@" + r.DefaultBranchRef.Name
	}
	if r.Object != nil {
		r.Object.read(&d)
	}
	return d
}

// actor translates an account. nil is one that was deleted: GitHub shows it as "ghost", and it is nobody's.
func (a *account) actor() pull.Actor {
	if a == nil {
		return pull.Actor{Login: "ghost", Type: pull.User}
	}
	out := pull.Actor{ID: a.DatabaseID, Login: a.Login}
	switch a.Typename {
	case "Bot":
		out.Type, out.Login = pull.Bot, botLogin(a.Login)
	case "Organization":
		out.Type = pull.Organization
	case "Mannequin":
		out.Type = pull.Mannequin
	default: // User, and the enterprise's, which acts as one
		out.Type = pull.User
	}
	return out
}

func (r *review) review() pull.Review {
	out := pull.Review{
		ID: int64(r.FullDatabaseID), Author: r.Author.actor(), CanWrite: r.AuthorCanPushToRepository,
		State: pull.ReviewState(strings.ToLower(r.State)), SubmittedAt: utc(r.SubmittedAt),
	}
	if r.Commit != nil {
		out.Commit = r.Commit.OID
	}
	return out
}

func state(s string) pull.State {
	switch s {
	case "MERGED":
		return pull.Merged
	case "OPEN":
		return pull.Open
	}
	return pull.Closed
}

func mergeable(s string) pull.Mergeable {
	switch s {
	case "MERGEABLE":
		return pull.MergeableClean
	case "CONFLICTING":
		return pull.MergeableConflict
	}
	return pull.MergeableUnknown
}

// runState is what a check run means. As for GitHub's own branch protection, neutral and skipped pass. Everything else
// that has ended without success has failed: cancelled, timed out, failed to start, gone stale (not ended within two
// weeks), waiting for somebody to act, or a word that GitHub has invented since.
func runState(status, conclusion string) pull.CheckState {
	if status != "COMPLETED" {
		return pull.CheckPending
	}
	switch conclusion {
	case "SUCCESS", "NEUTRAL", "SKIPPED":
		return pull.CheckPassed
	}
	return pull.CheckFailed
}

// statusState is what a commit status means. Expected is GitHub's word for one that is required and has not reported.
func statusState(s string) pull.CheckState {
	switch s {
	case "SUCCESS":
		return pull.CheckPassed
	case "PENDING", "EXPECTED":
		return pull.CheckPending
	}
	return pull.CheckFailed
}

func reportOfStatus(s string) pull.ReportState {
	switch statusState(s) {
	case pull.CheckPassed:
		return pull.ReportGood
	case pull.CheckPending:
		return pull.ReportWaiting
	}
	return pull.ReportBad
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// webURL keeps what is safe to show as a link: anybody who may report a status chooses its address.
func webURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return ""
	}
	return s
}
