package pull

import "time"

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

// The methods that GitHub has.
const (
	MergeCommit MergeMethod = "merge"
	Squash      MergeMethod = "squash"
	Rebase      MergeMethod = "rebase"
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
	Status    string `json:"status"` // added, modified, deleted, renamed, copied, changed
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

// A Report is what the service says about a pull request on GitHub: a check run with an App, a commit status with a
// token. There is one per head commit.
type Report struct {
	ID      int64       `json:"id"` // of the check run; 0 for a commit status
	SHA     SHA         `json:"sha"`
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

// A ReportState is the colour of the report.
type ReportState string

// The states of a report. A check run shows waiting as "in progress", a status as "pending".
const (
	ReportWaiting ReportState = "waiting"
	ReportGood    ReportState = "good"
	ReportBad     ReportState = "bad"
)
