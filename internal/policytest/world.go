package policytest

import (
	"crypto/sha1" //nolint:gosec // as git names commits
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Service is the login of the account that the service acts as in every case: a label that it has set is its own.
const Service = "pr-manager[bot]"

// monday is the time of a case that does not say.
var monday = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// How long before now what happens to an ordinary pull request has happened.
const (
	openedAgo  = time.Hour
	pushedAgo  = 30 * time.Minute
	checkedAgo = 25 * time.Minute
	labelAgo   = 20 * time.Minute
	updatedAgo = time.Minute
	saidAgo    = 15 * time.Minute
)

var reviewStates = map[string]pull.ReviewState{
	"approved": pull.Approved, "changes-requested": pull.ChangesRequested, "commented": pull.Commented, "dismissed": pull.Dismissed,
}

var checkStates = map[string]pull.CheckState{
	"passed": pull.CheckPassed, "failed": pull.CheckFailed, "pending": pull.CheckPending,
	"skipped": pull.CheckPassed, "neutral": pull.CheckPassed, "cancelled": pull.CheckFailed,
	// As GitHub says it.
	"success": pull.CheckPassed, "failure": pull.CheckFailed, "timed_out": pull.CheckFailed, "queued": pull.CheckPending, "in_progress": pull.CheckPending,
}

// details are GitHub's own words where they differ.
var details = map[string]string{"passed": "success", "failed": "failure", "pending": "in_progress"}

// Commits of a case, by what a statement can be about.
const (
	onHead   = "head"
	onSame   = "same-change"
	onOther  = "other-change"
	mergedAs = "merged"
)

// sha makes the id of a commit from what it is.
func sha(what string) pull.SHA {
	sum := sha1.Sum([]byte(what)) //nolint:gosec // as git names commits
	return pull.SHA(hex.EncodeToString(sum[:]))
}

// numbers are those of accounts whose number on github.com means something.
var numbers = map[string]int64{"dependabot[bot]": 49699333, "renovate[bot]": 29139614, "web-flow": 19864447}

// actor is the account with a login; the same login is the same account.
func actor(login string) pull.Actor {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.ToLower(login)))
	a := pull.Actor{ID: or(numbers[strings.ToLower(login)], int64(h.Sum32())+1<<32), Login: login, Type: pull.User}
	if strings.HasSuffix(login, "[bot]") {
		a.Type = pull.Bot
	}
	return a
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// A world is the pull request of one case, and what a look-up finds.
type world struct {
	g   given
	at  time.Time
	s   pull.Snapshot
	m   pull.Memory
	bad policy.Problems
	pos policy.Pos
}

func build(c Case) *world {
	g := c.given
	w := &world{g: g, at: g.Now.before(monday, 0), pos: c.Pos}
	w.repository()
	w.pull()
	w.people()
	w.checks()
	w.said()
	return w
}

func (w *world) author() pull.Actor { return actor(or(w.g.Author, "alice")) }

func (w *world) repository() {
	owner, name, _ := strings.Cut(or(w.g.Repo, "acme/app"), "/")
	s := &w.s
	s.ObservedAt, s.Us, s.AsApp = w.at, actor(Service), true
	s.Repo = pull.Repo{ID: 1, Owner: owner, Name: name}
	s.DefaultBranch = or(w.g.DefaultBranch, "main")
	s.Archived, s.Private = w.g.Archived, w.g.Private
	s.Permission = pull.PermissionWrite
	s.AllowedMethods = []pull.MergeMethod{pull.MergeCommit, pull.Squash, pull.Rebase}
	if w.g.Methods != nil {
		s.AllowedMethods = nil
		for _, m := range w.g.Methods {
			s.AllowedMethods = append(s.AllowedMethods, pull.MergeMethod(m))
		}
	}
}

func (w *world) pull() {
	g, s := w.g, &w.s
	s.Number, s.Title, s.Body = or(g.Number, 7), or(g.Title, "Change the app"), g.Body
	s.URL = fmt.Sprintf("https://github.com/%s/pull/%d", s.Repo.FullName(), s.Number)
	s.NodeID = "PR_1"
	s.Author, s.Draft, s.Fork = w.author(), g.Draft, g.Fork
	s.State = pull.State(or(g.State, string(pull.Open)))
	s.CreatedAt = g.Opened.before(w.at, openedAgo)
	s.UpdatedAt = g.Updated.before(w.at, updatedAgo)
	headRepo := s.Repo
	if g.Fork {
		headRepo = pull.Repo{ID: 2, Owner: s.Author.Login, Name: s.Repo.Name}
	}
	s.Head = pull.Branch{Repo: headRepo, Name: or(g.Branch, "feature"), SHA: sha(onHead)}
	s.HeadBranchTip = s.Head.SHA
	s.Base = pull.Branch{Repo: s.Repo, Name: or(g.Base, s.DefaultBranch), SHA: sha("base")}
	s.BaseBranchTip = s.Base.SHA
	if s.State == pull.Merged {
		s.MergedBy, s.MergedAt, s.MergeSHA = actor(or(g.MergedBy, Service)), w.at.Add(-time.Minute), sha(mergedAs)
	}
	s.Behind, s.Blocked = g.Behind, g.Blocked
	switch g.Conflicting {
	case "true":
		s.Mergeable = pull.MergeableConflict
	case "unknown":
		s.Mergeable = pull.MergeableUnknown
	default:
		s.Mergeable = pull.MergeableClean
	}
	w.files()
	s.CommitCount = max(len(g.Commits), 1)
	s.Milestone = g.Milestone
	for _, login := range g.Assignees {
		s.Assignees = append(s.Assignees, actor(login))
	}
	w.m.Heads = []pull.HeadAt{{SHA: s.Head.SHA, At: g.Pushed.before(w.at, pushedAgo)}}
}

func (w *world) files() {
	list := w.g.Files
	if list == nil {
		list = files{{Path: "src/app.go"}}
	}
	lines := 0
	for _, f := range list {
		one := pull.File{Path: f.Path, Previous: f.Previous, Status: f.Status, Additions: f.Additions, Deletions: f.Deletions}
		if one.Status == "" {
			one.Status = "modified"
			if f.Previous != "" {
				one.Status = "renamed"
			}
		}
		lines += f.Additions + f.Deletions
		w.s.Files = append(w.s.Files, one)
	}
	if n := w.g.Lines; len(w.s.Files) > 0 && (lines == 0 || n > lines) {
		w.s.Files[0].Additions += or(n, 20) - lines
	}
	for _, f := range w.s.Files {
		w.s.Additions += f.Additions
		w.s.Deletions += f.Deletions
	}
	w.s.ChangedFiles = len(w.s.Files)
}

// may is what an account may do on the repository.
func (w *world) may(login string) pull.PermissionLevel {
	for name, level := range w.g.Permissions {
		if strings.EqualFold(name, login) {
			return pull.PermissionLevel(level)
		}
	}
	if w.g.Fork && strings.EqualFold(login, w.author().Login) {
		return pull.PermissionRead
	}
	return pull.PermissionWrite
}

func (w *world) people() {
	for _, name := range w.g.Requested {
		r := pull.ReviewRequest{Who: actor(name)}
		if strings.Contains(name, "/") {
			r = pull.ReviewRequest{Team: strings.TrimPrefix(name, "@")}
		}
		w.s.ReviewRequests = append(w.s.ReviewRequests, r)
	}
	for _, l := range w.g.Labels {
		w.s.Labels = append(w.s.Labels, pull.Label{
			Name: l.name, Present: true, SetBy: actor(or(l.Says, w.author().Login)), SetAt: l.At.before(w.at, labelAgo),
		})
	}
}

func (w *world) checks() {
	list := w.g.Checks
	if list == nil {
		list = checks{{Name: "build", App: "github-actions"}}
	}
	for i, c := range list {
		state := or(c.State, "passed")
		h := fnv.New32a()
		_, _ = h.Write([]byte(c.App))
		w.s.Checks = append(w.s.Checks, pull.Check{
			ID: int64(i + 1), App: c.App, AppID: int64(h.Sum32()), Name: c.Name, State: checkStates[state], Detail: or(details[state], state),
			Required:  c.Required || slices.Contains(w.g.GitHub.Checks, c.Name),
			StartedAt: w.at.Add(-checkedAgo), Suite: 1, SuiteAt: w.at.Add(-checkedAgo),
		})
	}
}

// said fills in reviews, comments and threads, and the history of the head that they presuppose.
func (w *world) said() {
	older := ""
	on := func(e entry) pull.SHA {
		what := or(e.On, onHead)
		if what != onHead {
			older = what
		}
		return sha(what)
	}
	at := func(e entry, n int) time.Time {
		ago := saidAgo - time.Duration(min(n, 13))*time.Minute
		if or(e.On, onHead) != onHead {
			ago += pushedAgo
		}
		return e.At.before(w.at, ago)
	}
	n := 0
	for _, said := range w.g.Reviews {
		for _, e := range said {
			who := actor(e.name)
			level := w.may(who.Login)
			n++
			w.s.Reviews = append(w.s.Reviews, pull.Review{
				ID: int64(n), Author: who, State: reviewStates[e.Says], Commit: on(e), SubmittedAt: at(e, n),
				CanWrite: level == pull.PermissionWrite || level == pull.PermissionMaintain || level == pull.PermissionAdmin,
			})
		}
	}
	n = 0
	for _, said := range w.g.Comments {
		for _, e := range said {
			on(e)
			n++
			w.s.Comments = append(w.s.Comments, pull.Comment{
				Source: pull.Conversation, ID: int64(n), NodeID: fmt.Sprint("IC_", n), Author: actor(e.name), Body: e.Says, At: at(e, n),
			})
		}
	}
	for _, t := range w.g.Threads {
		w.s.Threads = append(w.s.Threads, pull.Thread{Resolved: t.Resolved, Outdated: t.Outdated, Author: actor(or(t.By, "bob"))})
	}
	if older != "" {
		w.m.Heads = slices.Insert(w.m.Heads, 0, pull.HeadAt{SHA: sha(older), At: w.s.CreatedAt})
	}
}

// learn answers a need from the case.
func (w *world) learn(n pull.Need) {
	k := &w.s.Known
	switch n.Kind {
	case pull.NeedPerson, pull.NeedLoad:
		who := actor(n.Name)
		p := pull.Person{Actor: who, Permission: w.may(n.Name), Loaded: true}
		for login, count := range w.g.Load {
			if strings.EqualFold(login, n.Name) {
				p.Requests = count
			}
		}
		p.Away = slices.ContainsFunc(w.g.Away, func(login string) bool { return strings.EqualFold(login, n.Name) })
		put(&k.People, strings.ToLower(n.Name), p)
	case pull.NeedTeam:
		members, ok := w.g.Teams[strings.ToLower(n.Name)]
		if !ok {
			w.bad = append(w.bad, policy.Problem{
				Pos: w.pos, Message: fmt.Sprintf("The policy asks who is in @%s, and the case does not say.", n.Name),
				Hint: fmt.Sprintf(`Say it under given: "teams: { '@%s': [bea, ben] }".`, n.Name),
			})
		}
		t := pull.Team{}
		for _, login := range members {
			t.Members = append(t.Members, actor(login))
		}
		put(&k.Teams, strings.ToLower(n.Name), t)
	case pull.NeedFile:
		d := pull.Document{Path: n.Name}
		if n.Name == ownersFile && w.g.CodeOwners != "" {
			d = pull.Document{Found: true, Path: n.Name, OID: sha(w.g.CodeOwners), Text: w.g.CodeOwners}
		}
		put(&k.Files, n.Name, d)
	case pull.NeedCommits:
		k.Commits = w.commits()
	case pull.NeedRenames:
		k.Renames = true
	case pull.NeedSame:
		other := sha(onOther)
		put(&k.Same, pull.SameKey(n.A, n.B), pull.Sameness{Same: n.A == n.B || (n.A != other && n.B != other)})
	case pull.NeedRules:
		k.Rules = w.rules()
	case pull.NeedDependents:
		k.Dependents = &pull.Pulls{Numbers: w.g.Dependents}
	case pull.NeedTurn:
		k.Turn = &pull.Turn{Number: or(w.g.Turn, w.s.Number)}
	case pull.NeedAhead:
		k.Ahead = &[]pull.Ahead{}
	}
}

// ownersFile is where the CODEOWNERS of a case stands: the first place in which GitHub looks for it.
const ownersFile = ".github/CODEOWNERS"

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

func (w *world) commits() *pull.Commits {
	list := w.g.Commits
	if list == nil {
		list = []commit{{}}
	}
	out := &pull.Commits{}
	parent := w.s.Base.SHA
	for i, c := range list {
		author := actor(or(c.Author, w.author().Login))
		one := pull.Commit{
			SHA: sha(fmt.Sprint("commit ", i)), Parents: []pull.SHA{parent}, Author: author, Committer: author,
			Message: or(c.Message, w.s.Title), Verified: author.Type == pull.Bot,
		}
		if c.Message == "" && len(w.g.Updates) > 0 && author.Type == pull.Bot {
			one.Message = updateMessage(w.g.Updates)
		}
		if i == len(list)-1 {
			one.SHA = w.s.Head.SHA
		}
		if c.Committer != "" {
			one.Committer = actor(c.Committer)
		}
		if c.Verified != nil {
			one.Verified = *c.Verified
		}
		for _, login := range c.CoAuthors {
			one.CoAuthors = append(one.CoAuthors, actor(login))
			one.Trailers = append(one.Trailers, fmt.Sprintf("%s <%s@users.noreply.github.com>", login, login))
		}
		parent = one.SHA
		out.List = append(out.List, one)
	}
	return out
}

// updateMessage is what Dependabot writes into its commits.
func updateMessage(updates map[string]string) string {
	var lines, block strings.Builder
	for _, name := range wordsIn(updates) {
		from, to, _ := strings.Cut(updates[name], " to ")
		fmt.Fprintf(&lines, "Bumps %s from %s to %s.\n", name, from, to)
		fmt.Fprintf(&block, "- dependency-name: %q\n  dependency-version: %q\n", name, to)
	}
	return "Bump dependencies\n\n" + lines.String() + "\n---\nupdated-dependencies:\n" + block.String() + "...\n"
}

func (w *world) rules() *pull.Rules {
	g := w.g.GitHub
	r := &pull.Rules{
		Approvals: g.Approvals, CodeOwners: g.CodeOwners, LastPush: g.LastPush, Conversation: g.Conversation, UpToDate: g.UpToDate,
		Signatures: g.Signatures, Linear: g.Linear, Locked: g.Locked, MergeQueue: g.MergeQueue,
	}
	for _, name := range g.Checks {
		r.Checks = append(r.Checks, pull.RequiredCheck{Name: name})
	}
	for _, m := range g.Methods {
		r.Methods = append(r.Methods, pull.MergeMethod(m))
	}
	return r
}
