package policytest

import (
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

// A given is a pull request in few words. What it does not say is as it is with an ordinary one.
type given struct {
	Repo          string `json:"repo,omitempty" jsonschema_description:"The repository. Default: acme/app."`
	Private       bool   `json:"private,omitempty" jsonschema_description:"true: it is not public."`
	Archived      bool   `json:"archived,omitempty" jsonschema_description:"true: it is archived."`
	DefaultBranch string `json:"default-branch,omitempty" jsonschema_description:"Its default branch. Default: main."`
	Methods       words  `json:"methods,omitempty" jsonschema_description:"The methods of merging that it allows. Default: merge, squash and rebase."`
	CodeOwners    string `json:"codeowners,omitempty" jsonschema_description:"The text of CODEOWNERS on the base branch. Default: there is no such file."`
	GitHub        github `json:"github,omitempty" jsonschema_description:"What GitHub's own rules (branch protection and rulesets) ask for. Default: nothing."`

	Number      int               `json:"number,omitempty" jsonschema_description:"The number of the pull request. Default: 7."`
	Title       string            `json:"title,omitempty" jsonschema_description:"Its title. Default: Change the app."`
	Body        string            `json:"body,omitempty" jsonschema_description:"Its description, Markdown. Default: empty."`
	Author      string            `json:"author,omitempty" jsonschema_description:"The login of its author; one that ends in [bot] is a bot's. Default: alice."`
	State       string            `json:"state,omitempty" jsonschema:"enum=open,enum=closed,enum=merged" jsonschema_description:"open (the default), closed or merged. What is merged was merged by the service, unless merged-by names somebody."`
	MergedBy    string            `json:"merged-by,omitempty" jsonschema_description:"The login of who merged it. Default: the service."`
	Draft       bool              `json:"draft,omitempty" jsonschema_description:"true: it is a draft."`
	Fork        bool              `json:"fork,omitempty" jsonschema_description:"true: its branch is in another repository."`
	Branch      string            `json:"branch,omitempty" jsonschema_description:"The name of its head branch. Default: feature."`
	Base        string            `json:"base,omitempty" jsonschema_description:"The name of its base branch. Default: the default branch."`
	Files       files             `json:"files,omitempty" jsonschema_description:"The changed files: a list of paths, or a mapping of paths to lines added or to what is known of each. Default: src/app.go with 20 lines."`
	Lines       int               `json:"lines,omitempty" jsonschema_description:"How many lines are added, over all files. Default: 20, or what the files come to."`
	Labels      entries           `json:"labels,omitempty" jsonschema_description:"Its labels: a list of names, or a mapping of names to the login of who set each. Default: none; set by the author."`
	Milestone   string            `json:"milestone,omitempty" jsonschema_description:"The title of its milestone. Default: none."`
	Assignees   words             `json:"assignees,omitempty" jsonschema_description:"The logins of its assignees. Default: none."`
	Requested   words             `json:"requested,omitempty" jsonschema_description:"The logins and teams (@acme/backend) that are asked to review. Default: none."`
	Reviews     []entries         `json:"reviews,omitempty" jsonschema_description:"Reviews, oldest first: logins with approved, changes-requested, commented or dismissed, or with says, on and at. Default: none."`
	Checks      checks            `json:"checks,omitempty" jsonschema_description:"The checks on the head: names with passed, failed, pending, skipped, neutral or cancelled (or GitHub's words: success, failure, timed_out, queued, in_progress), or with state, app and required; or one such word for the check build. Default: passed."`
	Commits     []commit          `json:"commits,omitempty" jsonschema_description:"Its commits, oldest first. Default: one by the author, verified if that is a bot."`
	Updates     map[string]string `json:"updates,omitempty" jsonschema_description:"Dependencies with the versions that a bot updates them from and to, such as 1.2.3 to 1.2.4: what the messages of its commits say. Default: none."`
	Comments    []entries         `json:"comments,omitempty" jsonschema_description:"Comments, oldest first: logins with what they wrote, or with says, on and at. Default: none."`
	Threads     []thread          `json:"threads,omitempty" jsonschema_description:"The conversations of reviews. Default: none."`
	Behind      bool              `json:"behind,omitempty" jsonschema_description:"true: GitHub says that it must be brought up to date first."`
	Conflicting doubt             `json:"conflicting,omitempty" jsonschema_description:"true: it conflicts with its base; unknown: GitHub is still working that out. Default: false."`
	Blocked     bool              `json:"blocked,omitempty" jsonschema_description:"true: GitHub says that its own rules hold it back."`
	Dependents  []int             `json:"dependents,omitempty" jsonschema_description:"The numbers of open pull requests that are based on its branch. Default: none."`
	Turn        int               `json:"turn,omitempty" jsonschema_description:"The number of the pull request whose turn it is to be brought up to date. Default: this one's."`

	Teams       teams             `json:"teams,omitempty" jsonschema_description:"Teams (@acme/backend) with the logins of their members. A team that the policy asks about has to be here."`
	Permissions map[string]string `json:"permissions,omitempty" jsonschema_description:"Logins with what they may do: admin, maintain, write, triage, read or none. Default: write; read for the author of a fork."`
	Away        words             `json:"away,omitempty" jsonschema_description:"The logins of those who are away. Default: nobody."`
	Load        map[string]int    `json:"load,omitempty" jsonschema_description:"Logins with how many reviews they are asked for. Default: 0."`

	Now     moment `json:"now,omitempty" jsonschema_description:"The time of the decision, such as 2026-03-02T12:00:00Z (the default, a Monday)."`
	Opened  moment `json:"opened,omitempty" jsonschema_description:"When it was opened: a time, or how long before now, such as 36h. Default: 1h."`
	Updated moment `json:"updated,omitempty" jsonschema_description:"When it last changed, by whomever. Default: 1m."`
	Pushed  moment `json:"pushed,omitempty" jsonschema_description:"When the head was pushed. Default: 30m."`
}

// github is what GitHub's own rules ask for.
type github struct {
	Checks       words `json:"checks,omitempty" jsonschema_description:"The names of required checks."`
	Approvals    int   `json:"approvals,omitempty" jsonschema_description:"How many approvals."`
	CodeOwners   bool  `json:"code-owners,omitempty" jsonschema_description:"true: one of them by a code owner."`
	LastPush     bool  `json:"last-push,omitempty" jsonschema_description:"true: one of them by somebody other than who pushed last."`
	Conversation bool  `json:"conversation,omitempty" jsonschema_description:"true: every conversation resolved."`
	UpToDate     bool  `json:"up-to-date,omitempty" jsonschema_description:"true: the branch up to date."`
	Signatures   bool  `json:"signatures,omitempty" jsonschema_description:"true: every commit signed."`
	Linear       bool  `json:"linear,omitempty" jsonschema_description:"true: no merge commits."`
	Locked       bool  `json:"locked,omitempty" jsonschema_description:"true: the branch is locked."`
	MergeQueue   bool  `json:"merge-queue,omitempty" jsonschema_description:"true: only GitHub's merge queue merges."`
	Methods      words `json:"methods,omitempty" jsonschema_description:"The only methods of merging."`
}

// A commit is one that the pull request would bring.
type commit struct {
	Author    string `json:"author,omitempty" jsonschema_description:"The login of its author. Default: the author of the pull request."`
	Committer string `json:"committer,omitempty" jsonschema_description:"The login of its committer. Default: its author."`
	CoAuthors words  `json:"co-authors,omitempty" jsonschema_description:"The logins of its co-authors."`
	Message   string `json:"message,omitempty" jsonschema_description:"Its message."`
	Verified  *bool  `json:"verified,omitempty" jsonschema_description:"true: its signature is valid. Default: true if its author is a bot."`
}

// A thread is a conversation of a review.
type thread struct {
	By       string `json:"by,omitempty" jsonschema_description:"The login of who began it. Default: bob."`
	Resolved bool   `json:"resolved,omitempty" jsonschema_description:"true: it is resolved."`
	Outdated bool   `json:"outdated,omitempty" jsonschema_description:"true: the lines that it is about have changed."`
}

// A check is one on the head.
type check struct {
	Name     string `json:"-"`
	State    string `json:"state,omitempty" jsonschema:"enum=passed,enum=failed,enum=pending,enum=skipped,enum=neutral,enum=cancelled,enum=success,enum=failure,enum=timed_out,enum=queued,enum=in_progress" jsonschema_description:"What it came to. Default: passed."`
	App      string `json:"app,omitempty" jsonschema_description:"The slug of the App that reports it. Default: github-actions."`
	Required bool   `json:"required,omitempty" jsonschema_description:"true: GitHub requires it."`
}

// A file is a changed file.
type file struct {
	Path      string `json:"-"`
	Status    string `json:"status,omitempty" jsonschema:"enum=added,enum=modified,enum=deleted,enum=renamed,enum=copied" jsonschema_description:"What happened to it. Default: modified, or renamed if it has a previous name."`
	Previous  string `json:"previous,omitempty" jsonschema_description:"Its name before."`
	Additions int    `json:"additions,omitempty" jsonschema_description:"Lines added."`
	Deletions int    `json:"deletions,omitempty" jsonschema_description:"Lines deleted."`
}

// A statement is what somebody said: a review or a comment.
type statement struct {
	Says string `json:"says,omitempty" jsonschema_description:"What is said."`
	On   string `json:"on,omitempty" jsonschema:"enum=head,enum=same-change,enum=other-change" jsonschema_description:"The commit that it was said of: head (the default); same-change, an older one that makes textually the same change; other-change, an older one that doesn't."`
	At   moment `json:"at,omitempty" jsonschema_description:"When: a time, or how long before now."`
}

// entries are names with something said of each, in the order of the file.
type entries []entry

type entry struct {
	name string
	pos  policy.Pos
	statement
}

type (
	words  []string
	files  []file
	checks []check
	teams  map[string][]string
)

// A doubt is true, false or unknown.
type doubt string

// A moment is a time, or how long before now.
type moment struct {
	at  time.Time
	ago time.Duration
	set bool
}

// before returns the moment, or, if the case does not say, what it is otherwise.
func (m moment) before(now time.Time, otherwise time.Duration) time.Time {
	switch {
	case !m.set:
		return now.Add(-otherwise)
	case !m.at.IsZero():
		return m.at
	}
	return now.Add(-m.ago)
}
