package pull

import (
	"strings"
	"time"
)

// A Snapshot is what GitHub said one pull request is, at one moment, in one answer. A decision is made from a snapshot
// and a memory, and from nothing else.
//
// Where GitHub could not tell everything (a page limit, a file too large), the fact is in a Truncated field: a rule
// that depends on it must fail closed.
type Snapshot struct {
	ObservedAt time.Time `json:"observed_at"` // by our clock
	Us         Actor     `json:"us"`          // the account that the service acts as
	AsApp      bool      `json:"as_app"`      // acting as a GitHub App: reports are check runs; with a token, commit statuses

	Repo           Repo            `json:"repo"` // as it is called now
	DefaultBranch  string          `json:"default_branch"`
	Archived       bool            `json:"archived"`
	Private        bool            `json:"private"`
	AllowedMethods []MergeMethod   `json:"allowed_methods"` // in the order merge, squash, rebase
	Policy         Document        `json:"policy"`          // PolicyFile on the default branch
	Defaults       Document        `json:"defaults"`        // the same file in the owner's .github repository
	Permission     PermissionLevel `json:"permission"`      // ours, on the repository; "" when GitHub did not say

	Number    int       `json:"number"`
	NodeID    string    `json:"node_id"`
	URL       string    `json:"url"`
	Title     string    `json:"title"`
	Body      string    `json:"body"`
	Author    Actor     `json:"author"`
	State     State     `json:"state"`
	Draft     bool      `json:"draft"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	MergedAt  time.Time `json:"merged_at"`
	MergedBy  Actor     `json:"merged_by"`
	MergeSHA  SHA       `json:"merge_sha"` // the commit on the base branch, once merged

	Head          Branch    `json:"head"`
	HeadBranchTip SHA       `json:"head_branch_tip"` // where the head branch is now; "" when it is gone
	Base          Branch    `json:"base"`
	BaseBranchTip SHA       `json:"base_branch_tip"` // where the base branch is now; Base.SHA is where it was at the last push to the head
	Fork          bool      `json:"fork"`            // the head branch is in another repository
	Mergeable     Mergeable `json:"mergeable"`
	Behind        bool      `json:"behind"`  // GitHub says that the head must be brought up to date before a merge
	Blocked       bool      `json:"blocked"` // GitHub's own rules (branch protection, rulesets) hold it back

	Additions      int    `json:"additions"`
	Deletions      int    `json:"deletions"`
	ChangedFiles   int    `json:"changed_files"` // GitHub's count, true even where Files is truncated
	Files          []File `json:"files"`
	FilesTruncated bool   `json:"files_truncated"`

	Labels           []Label  `json:"labels"`
	LabelsTruncated  bool     `json:"labels_truncated"`
	Reviews          []Review `json:"reviews"` // oldest first
	ReviewsTruncated bool     `json:"reviews_truncated"`
	Checks           []Check  `json:"checks"` // every run on the head, ours left out; a re-run appears beside its older runs
	ChecksTruncated  bool     `json:"checks_truncated"`
	Rollup           string   `json:"rollup"` // how many checks on the head are in which state, ours among them
	Report           *Report  `json:"report"` // our own report on the head; nil while there is none
	// Reports are the others of ours, told apart by Name and SHA: about approvals, on the head and on the commit that GitHub's
	// merge queue tests.
	Reports []Report `json:"reports,omitempty"`

	Milestone         string          `json:"milestone,omitempty"`
	Assignees         []Actor         `json:"assignees,omitempty"`
	ReviewRequests    []ReviewRequest `json:"review_requests,omitempty"`
	Comments          []Comment       `json:"comments,omitempty"` // oldest first: of the conversation, of reviews and of their threads
	CommentsTruncated bool            `json:"comments_truncated,omitempty"`
	Threads           []Thread        `json:"threads,omitempty"` // of reviews
	ThreadsTruncated  bool            `json:"threads_truncated,omitempty"`
	// Moves are the moments at which GitHub says that the head was moved by force, oldest first.
	Moves []HeadAt `json:"moves,omitempty"`
	// BaseSince is when the base was last changed to another branch; zero: never. What was said before is about another change.
	BaseSince time.Time `json:"base_since,omitzero"`
	// CommitCount is GitHub's count of the commits that the base does not have.
	CommitCount int `json:"commit_count,omitempty"`
	// MergeQueue: only GitHub's own merge queue merges into the base.
	MergeQueue bool `json:"merge_queue,omitempty"`
	// Queued is the pull request's place in GitHub's own merge queue; nil while it is not in it.
	Queued *QueueEntry `json:"queued,omitempty"`

	// Known is what was looked up because a decision needs it (Decision.Needs of package policy).
	Known Lookups `json:"known,omitzero"`
}

// Has returns the label of a name, if the pull request carries it. GitHub compares names without regard to case.
func (s *Snapshot) Has(label string) (Label, bool) {
	for _, l := range s.Labels {
		if l.Present && strings.EqualFold(l.Name, label) {
			return l, true
		}
	}
	return Label{}, false
}

// ReportOn returns our report of a name ("" is the main one) on a commit; nil where there is none.
func (s *Snapshot) ReportOn(name string, sha SHA) *Report {
	if name == ReportName {
		name = ""
	}
	if name == "" && sha == s.Head.SHA {
		return s.Report
	}
	for i := range s.Reports {
		if r := &s.Reports[i]; r.SHA == sha && (r.Name == name || name == "" && r.Name == ReportName) {
			return r
		}
	}
	return nil
}

// A ReviewRequest is somebody who is asked to review: an account, or a team.
type ReviewRequest struct {
	Who  Actor  `json:"who,omitzero"`
	Team string `json:"team,omitempty"` // "acme/backend"
	// ByOwners: GitHub asked by itself, because of CODEOWNERS.
	ByOwners bool `json:"by_owners,omitempty"`
}

// A Comment is something that a person wrote, as it reads now.
type Comment struct {
	Source CommentSource `json:"source"`
	ID     int64         `json:"id"`      // among those of its source
	NodeID string        `json:"node_id"` // for reactions
	Author Actor         `json:"author"`
	Body   string        `json:"body"` // Markdown
	At     time.Time     `json:"at"`
	// Commit is what GitHub says that a review, or a comment of one, is about; "" for the conversation.
	Commit SHA `json:"commit,omitempty"`
	// Editor wrote what it says now, if it was edited: not always its author, since who may write to a repository may edit
	// everybody's comments. Zero while it was not.
	Editor   Actor     `json:"editor,omitzero"`
	EditedAt time.Time `json:"edited_at,omitzero"`
	// Reacted are the reactions that we have left on it: "+1", "confused", "eyes".
	Reacted []string `json:"reacted,omitempty"`
}

// A CommentSource says what kind of comment it is.
type CommentSource string

// Where people write.
const (
	Conversation CommentSource = "comment" // an issue comment, in GitHub's words
	ReviewBody   CommentSource = "review"
	ReviewLine   CommentSource = "review_comment" // on a line of the diff
)

// A Thread is a conversation about a line of the diff.
type Thread struct {
	Resolved bool  `json:"resolved"`
	Outdated bool  `json:"outdated"`
	Author   Actor `json:"author"` // who began it
}

// A HeadAt says that the head was at a commit from a moment on.
type HeadAt struct {
	SHA SHA       `json:"sha"`
	At  time.Time `json:"at"`
}

// A Commit is one that the pull request would bring to its base, through whichever parent it is reached.
type Commit struct {
	SHA     SHA   `json:"sha"`
	Parents []SHA `json:"parents"`
	// Author and Committer are the accounts that GitHub knows behind the names in the commit; with ID 0 where it knows none.
	// Anybody can write anybody's name there: only a verified commit proves who made it.
	Author    Actor   `json:"author"`
	Committer Actor   `json:"committer"`
	CoAuthors []Actor `json:"co_authors,omitempty"` // the accounts behind its Co-authored-by lines
	Written   string  `json:"written,omitempty"`    // its author as written in it, "Name <mail>"
	// Trailers are its Co-authored-by lines as written, "Name <mail>".
	Trailers []string `json:"trailers,omitempty"`
	Verified bool     `json:"verified"` // its signature is valid, by GitHub
	Message  string   `json:"message"`
}

// A QueueEntry is a place in GitHub's own merge queue.
type QueueEntry struct {
	Position int    `json:"position"`
	State    string `json:"state"`           // queued, awaiting_checks, mergeable, unmergeable, locked
	Head     SHA    `json:"head,omitempty"`  // the commit that the queue tests for this entry: what it would make of the base
	Base     SHA    `json:"base,omitempty"`  // what that commit is based on
	Ahead    []int  `json:"ahead,omitempty"` // the numbers of the pull requests before it
	// AheadTruncated: there are more before it than GitHub lists at once.
	AheadTruncated bool  `json:"ahead_truncated,omitempty"`
	By             Actor `json:"by,omitzero"`
}

// PolicyFile is the path of the policy in a repository, and of the defaults in an owner's .github repository.
const PolicyFile = ".github/pr-manager.yml"

// A Document is a file in a repository, by the id of its content.
type Document struct {
	Found bool   `json:"found"`
	Path  string `json:"path"`           // "octo/app/.github/pr-manager.yml@main", for people
	OID   SHA    `json:"oid"`            // the blob
	Text  string `json:"text,omitempty"` // "" when Unreadable
	// Unreadable says why the file is there and yet has no text: "it is a binary file".
	Unreadable string `json:"unreadable,omitempty"`
}

// A State is open, closed or merged.
type State string

// The states of a pull request.
const (
	Open   State = "open"
	Closed State = "closed"
	Merged State = "merged"
)

// Mergeable is GitHub's answer to whether the head merges cleanly into the base. GitHub computes it late: unknown means
// that it has started to, and that one should ask again. Unknown is never a conflict and never a yes.
type Mergeable string

// GitHub's answers.
const (
	MergeableUnknown  Mergeable = "unknown"
	MergeableClean    Mergeable = "clean"
	MergeableConflict Mergeable = "conflict"
)

// A MergeMethod is how GitHub merges: "merge", "squash" or "rebase".
type MergeMethod string

// The methods that GitHub has, and one that it has not: the base branch is moved to the head, which must contain it.
const (
	MergeCommit MergeMethod = "merge"
	Squash      MergeMethod = "squash"
	Rebase      MergeMethod = "rebase"
	FastForward MergeMethod = "fast-forward"
)

// A PermissionLevel is a role on a repository, in GitHub's words.
type PermissionLevel string

// The roles, from most to least.
const (
	PermissionAdmin    PermissionLevel = "admin"
	PermissionMaintain PermissionLevel = "maintain"
	PermissionWrite    PermissionLevel = "write"
	PermissionTriage   PermissionLevel = "triage"
	PermissionRead     PermissionLevel = "read"
	PermissionNone     PermissionLevel = "none"
)

// A Branch is one end of a pull request.
type Branch struct {
	Repo Repo   `json:"repo"` // zero when the fork was deleted
	Name string `json:"name"` // without refs/heads/
	SHA  SHA    `json:"sha"`
}

// A File is one changed file.
type File struct {
	Path      string `json:"path"`
	Previous  string `json:"previous,omitempty"` // of one that was renamed; known when Lookups.Renames is
	Status    string `json:"status"`             // added, modified, deleted, renamed, copied, changed
	Additions int    `json:"additions"`
	Deletions int    `json:"deletions"`
}

// A Label is a label of a pull request with its history as far as GitHub tells it. Present is false for a label that
// was taken off: its history matters too.
type Label struct {
	Name    string    `json:"name"`
	Present bool      `json:"present"`
	SetBy   Actor     `json:"set_by"` // who put it on last; zero when the timeline does not reach back
	SetAt   time.Time `json:"set_at"`
	TakenBy Actor     `json:"taken_by"` // who took it off last
	TakenAt time.Time `json:"taken_at"`
}

// A Review is one submitted review.
type Review struct {
	ID          int64       `json:"id"`
	Author      Actor       `json:"author"`
	CanWrite    bool        `json:"can_write"` // its author may push to the repository
	State       ReviewState `json:"state"`
	Commit      SHA         `json:"commit"` // the head that it was given on
	SubmittedAt time.Time   `json:"submitted_at"`
}

// A ReviewState is GitHub's state of a review.
type ReviewState string

// The states of a review.
const (
	Approved         ReviewState = "approved"
	ChangesRequested ReviewState = "changes_requested"
	Commented        ReviewState = "commented"
	Dismissed        ReviewState = "dismissed"
	PendingReview    ReviewState = "pending"
)

// A Check is one check run or commit status on the head commit.
type Check struct {
	ID        int64      `json:"id"`  // of the check run; 0 for a commit status
	App       string     `json:"app"` // slug of the App that reports it; "" for a commit status
	AppID     int64      `json:"app_id"`
	Name      string     `json:"name"` // the check run's name, or the status's context
	State     CheckState `json:"state"`
	Detail    string     `json:"detail"`   // GitHub's own word: success, neutral, skipped, timed_out, in_progress …
	Required  bool       `json:"required"` // GitHub requires it before a merge
	StartedAt time.Time  `json:"started_at"`
	URL       string     `json:"url"`
	// Suite is what the run belongs to, and SuiteAt when that began. A commit has one for each App, and for GitHub Actions
	// one for each time that a workflow was started; a re-run stays in its suite. 0 for a commit status.
	Suite   int64     `json:"suite,omitempty"`
	SuiteAt time.Time `json:"suite_at,omitzero"`
}

// A CheckState is what a check means for a decision.
type CheckState string

// What a check means. Neutral and skipped runs pass, as they do for GitHub's own branch protection.
const (
	CheckPending CheckState = "pending"
	CheckPassed  CheckState = "passed"
	CheckFailed  CheckState = "failed"
)

// together is how far apart the suites may be created that one event starts, several workflows at a time.
const together = time.Minute

// LatestChecks returns the runs that count. Of each (app, name) that is the newest: a run that started again after an
// older success is pending, and a later success makes an older failure history.
//
// Two workflows may have a job of the same name, and nothing that GitHub shows to everybody tells their runs from those
// of one workflow that was started twice, but that their suites begin together. Then neither speaks for the other, and
// both count, unless one was cancelled, which is what happens to a workflow that is started anew.
func (s *Snapshot) LatestChecks() []Check {
	type id struct {
		app  int64
		slug string
		name string
	}
	type run struct {
		id
		suite int64
	}
	required := map[id]bool{}
	last := map[id]time.Time{} // when the newest suite was created
	at := map[run]int{}
	var newest []Check // of each suite
	for _, c := range s.Checks {
		k := run{id{c.AppID, c.App, c.Name}, c.Suite}
		required[k.id] = required[k.id] || c.Required
		if c.SuiteAt.After(last[k.id]) {
			last[k.id] = c.SuiteAt
		}
		i, seen := at[k]
		if !seen {
			at[k] = len(newest)
			newest = append(newest, c)
			continue
		}
		// Check run ids only grow; they settle two runs of the same second, and a queued run that has not started.
		if old := newest[i]; c.ID > old.ID || (c.ID == old.ID && c.StartedAt.After(old.StartedAt)) {
			newest[i] = c
		}
	}
	var out []Check
	for _, c := range newest {
		k := id{c.AppID, c.App, c.Name}
		age := last[k].Sub(c.SuiteAt)
		if age > together || (age > 0 && c.Detail == "cancelled") {
			continue
		}
		c.Required = required[k]
		out = append(out, c)
	}
	return out
}

// ReportName is the name of the service's one check run, and the context of its commit status.
const ReportName = "pr-manager"

// ApprovalsName is the name of the report about approvals, which there is where a policy has a section on them.
const ApprovalsName = ReportName + "/approvals"

// A Report is what the service says about a pull request on GitHub: a check run with an App, a commit status with a
// token. There is one of each name per commit.
type Report struct {
	ID      int64       `json:"id"` // of the check run; 0 for a commit status
	SHA     SHA         `json:"sha"`
	Name    string      `json:"name,omitempty"` // "" is ReportName
	State   ReportState `json:"state"`
	Title   string      `json:"title"`             // one sentence; a status keeps its first 140 characters
	Summary string      `json:"summary,omitempty"` // Markdown; check runs only
	URL     string      `json:"url,omitempty"`
	// Digest is the fingerprint that was written with a check run (its external_id), so that "is it up to date" is
	// one comparison. "" for a status.
	Digest string `json:"digest,omitempty"`
	// Required says that GitHub's own rules require this report before a merge.
	Required bool `json:"required,omitempty"`
}

// Target is what names the report in the ledger: the commit, and the name before it where it is not the main one.
func (r Report) Target() string {
	if r.Name == "" || r.Name == ReportName {
		return string(r.SHA)
	}
	return r.Name + "@" + string(r.SHA)
}

// A ReportState is the colour of the report.
type ReportState string

// The states of a report. A check run shows waiting as "in progress", a status as "pending".
const (
	ReportWaiting ReportState = "waiting"
	ReportGood    ReportState = "good"
	ReportBad     ReportState = "bad"
)
