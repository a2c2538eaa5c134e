package pull

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// An Action is something wanted on GitHub: an effect, as data. Which fields it uses depends on its kind; Target tells
// two actions of one kind apart, so that (key, kind, target) names an intention in the ledger.
type Action struct {
	Kind   ActionKind `json:"kind"`
	Target string     `json:"target"`        // label name, head sha, branch
	SHA    SHA        `json:"sha,omitempty"` // the commit it is about, and its precondition where GitHub takes one

	Method MergeMethod `json:"method,omitempty"` // merge, branch.update (merge or rebase)
	Report *Report     `json:"report,omitempty"` // report
	// Title and Body are texts: of the squash or merge commit, of a comment or review, which ends in Marker(Target); Title is
	// the new title of a retitle. With a merge, an empty Body beside a Title is an empty body; with neither GitHub writes both.
	Title string `json:"title,omitempty"`
	Body  string `json:"body,omitempty"`
	// Blank: an empty Body is what the merge's message is to have, and is not left to GitHub.
	Blank bool `json:"blank,omitempty"`
	// Color (six hex digits) and Description are for a label that the repository does not have yet.
	Color       string `json:"color,omitempty"`
	Description string `json:"description,omitempty"`
	Branch      string `json:"branch,omitempty"`  // retarget: the new base
	Node        string `json:"node,omitempty"`    // reaction: the comment's node id
	Command     string `json:"command,omitempty"` // the key of the command that it is done for; "" when the policy wants it
	// Why is the sentence shown beside the action on the page and in the journal.
	Why string `json:"why,omitempty"`
}

// An ActionKind is what an action does. Labels of metrics come from this bounded set.
type ActionKind string

// Every kind of action.
const (
	AddLabel     ActionKind = "label.add"       // target: the label
	RemoveLabel  ActionKind = "label.remove"    // target: the label
	AskReview    ActionKind = "reviewer.add"    // target: a login, or a team as "acme/backend"
	UnaskReview  ActionKind = "reviewer.remove" // target: likewise
	Assign       ActionKind = "assignee.add"    // target: a login
	Unassign     ActionKind = "assignee.remove" // target: a login
	Retitle      ActionKind = "title"           // target: the command's key
	MarkReady    ActionKind = "ready"           // target: the head sha, or the command's key
	MarkDraft    ActionKind = "draft"           // target: likewise
	Approve      ActionKind = "review.approve"  // target: the head sha; Body ends in its marker
	Unapprove    ActionKind = "review.dismiss"  // target: the id of our review
	SetReport    ActionKind = "report"          // target: the commit's sha; for another report than the main one, name@sha
	Rerun        ActionKind = "checks.rerun"    // target: the id of the suite, then ":" and the command's key
	UpdateBranch ActionKind = "branch.update"   // target: the head sha, which GitHub takes as a precondition; Method: merge or rebase
	Enqueue      ActionKind = "queue.add"       // target: the head sha, likewise
	Dequeue      ActionKind = "queue.remove"    // target: the head sha
	Merge        ActionKind = "merge"           // target: the head sha, pinned in the request
	Close        ActionKind = "close"           // target: the head sha, or the command's key
	Reopen       ActionKind = "reopen"          // target: the command's key
	Retarget     ActionKind = "base"            // target: the number of another pull request; Branch: its new base
	DeleteBranch ActionKind = "branch.delete"   // target: the branch; SHA is where it has to be
	WriteComment ActionKind = "comment"         // target: what it is about; Body ends in its marker
	DropComment  ActionKind = "comment.delete"  // target: the id of a comment of ours of which there is an older copy
	React        ActionKind = "reaction"        // target: the comment's node id and the reaction: "IC_x:+1"; repeating it changes nothing
)

// ActionKinds lists every kind, in the order in which a pass carries actions out.
var ActionKinds = []ActionKind{
	RemoveLabel, AddLabel, AskReview, UnaskReview, Assign, Unassign, Retitle, MarkReady, MarkDraft, Approve, Unapprove, SetReport,
	Rerun, UpdateBranch, Dequeue, Enqueue, Merge, Close, Reopen, Retarget, DeleteBranch, WriteComment, DropComment, React,
}

// Repeatable reports whether sending the action twice does the same as sending it once. What is not repeatable is
// read back after an unknown outcome before it is tried again.
func (a Action) Repeatable() bool {
	switch a.Kind {
	case AddLabel, RemoveLabel, DeleteBranch, AskReview, UnaskReview, Assign, Unassign, Retitle, MarkReady, MarkDraft, Unapprove,
		Dequeue, Retarget, DropComment, React:
		return true
	case SetReport:
		return a.Report != nil && (a.Report.ID != 0 || a.Report.Digest == "") // a status, or an update of a known check run
	}
	return false
}

// Marker is the line that ends a comment or a review of ours, and by which it is found again: nobody sees it.
func Marker(target string) string { return markBegins + inMark(target) + markEnds }

const (
	markBegins = "<!-- pr-manager:"
	markEnds   = " -->"
)

// inMark is a target as a marker holds it: whatever people have named, in one line that does not end the marker.
func inMark(target string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(target), " "), ">", "&gt;")
}

// MarkOf is what a text's marker says it is about; "" when it has none. It is the last line, so that quoting it is not it.
func MarkOf(body string) string {
	body = strings.TrimRight(body, " \t\r\n")
	line := body[strings.LastIndexByte(body, '\n')+1:]
	mark, begins := strings.CutPrefix(line, markBegins)
	mark, ends := strings.CutSuffix(mark, markEnds)
	if !begins || !ends {
		return ""
	}
	return mark
}

// Marked reports whether a text is the one with the target's marker.
func Marked(body, target string) bool { return target != "" && MarkOf(body) == inMark(target) }

// StatusLimit is how many characters of a description GitHub keeps in a commit status.
const StatusLimit = 140

// StatusText cuts s to what a commit status keeps.
func StatusText(s string) string {
	if utf8.RuneCountInString(s) <= StatusLimit {
		return s
	}
	r := []rune(s)
	return string(r[:StatusLimit-1]) + "…"
}

// Fingerprint is a short digest of what a report says. Two reports with one fingerprint look the same on GitHub.
func (r Report) Fingerprint() string {
	text := fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%s", r.SHA, r.State, r.Title, r.Summary, r.URL)
	if r.Name != "" {
		text += "\x00" + r.Name
	}
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:8])
}

// An Intent is an action in the ledger: written down before it is done, so that a crash at any line leaves a trace of
// what may have happened.
type Intent struct {
	Key       Key
	Action    Action
	Status    IntentStatus
	Attempt   int       // 1 for the first time this (key, kind, target) was wanted; each re-opening adds one
	Failures  int       // definite refusals in a row
	Passing   bool      // the last failure was of a kind that passes by itself
	GitHubID  int64     // what GitHub called the result, where it has an id
	Error     string    // the last error, in words
	PlannedAt time.Time // in the pass that wanted it
	StartedAt time.Time // when it was about to be sent; zero before
	DoneAt    time.Time // when its result was written; zero before
}

// An IntentStatus is where an intent is.
type IntentStatus string

// The life of an intent. Executing is the dangerous one: the request may have been sent, and its outcome is unknown
// until GitHub has been read.
const (
	Planned    IntentStatus = "planned"
	Executing  IntentStatus = "executing"
	Done       IntentStatus = "done"
	Failed     IntentStatus = "failed"     // refused by GitHub, definitely
	Superseded IntentStatus = "superseded" // no longer wanted, or the world moved on
)

// A Memory is what the service remembers of a pull request that GitHub can't tell.
type Memory struct {
	Labels map[string]LabelMemory `json:"labels,omitempty"`
	// Merge and Hold are what commands have asked for and nobody has taken back.
	Merge *Order `json:"merge,omitempty"`
	Hold  *Order `json:"hold,omitempty"`
	// Approvals are those that were given by command, by the writer's id.
	Approvals map[int64]Order `json:"approvals,omitempty"`
	// Passed are the logins of those whom /reroll took off the list of reviewers: they are not picked again.
	Passed []string `json:"passed,omitempty"`
	// Same remembers comparisons of commits (SameKey) that were made to the end: they don't change.
	Same map[string]bool `json:"same,omitempty"`
	// Heads are the commits that the head was at, and since when, oldest first, as far as the service saw. It is filled from
	// the table heads, not kept here.
	Heads []HeadAt `json:"-"`
	// Commands are those of the last days, oldest first. They are filled from the table commands, not kept here.
	Commands []Command `json:"-"`
	// Turn is the base branch for which this pull request has the turn to be brought up to date; see NeedTurn.
	Turn string `json:"turn,omitempty"`
	// Looks counts the passes in a row that found mergeability unknown where it mattered.
	Looks int `json:"looks,omitempty"`
	// Intents is the ledger's newest row of each kind and target. It is filled from the ledger, not kept here.
	Intents []Intent `json:"-"`
}

// An Order is what somebody asked for in a comment, and is in force until it is taken back or its commit is no longer the head.
type Order struct {
	By      Actor     `json:"by"`
	SHA     SHA       `json:"sha,omitempty"` // the head that they saw
	At      time.Time `json:"at"`
	Command string    `json:"command"` // the key of the command
	Args    string    `json:"args,omitempty"`
}

// A LabelMemory is what is remembered of one label that the policy governs.
type LabelMemory struct {
	// Ours: the service's own ledger set the label, and nothing since says that somebody else did.
	Ours bool `json:"ours,omitempty"`
	// Released is GitHub's time of the newest removal by a person that was visible when the label's condition was
	// last false: a removal up to then no longer keeps the label off.
	Released time.Time `json:"released,omitzero"`
	// KeptOff: a person took the label off while its condition held; it stays off until the condition has been false.
	KeptOff bool `json:"kept_off,omitempty"`
	// Asked is the login of who asked in a comment that it be on, or, with KeptOff, off: it is theirs, though the service's
	// account has written it.
	Asked string `json:"asked,omitempty"`
}

// Intent returns the ledger's row for an action's kind and target.
func (m Memory) Intent(kind ActionKind, target string) (Intent, bool) {
	for _, in := range m.Intents {
		if in.Action.Kind == kind && in.Action.Target == target {
			return in, true
		}
	}
	return Intent{}, false
}

// Withheld reports whether an action must not be tried now because GitHub refused the very same thing lately, until
// when, and what GitHub said. A refusal that passes by itself is retried after 4, 8, 16 … seconds; any other after
// one, two, four … hours at most a day, since only a change of configuration can help and GitHub announces none.
func (m Memory) Withheld(a Action, now time.Time) (until time.Time, why string, held bool) {
	in, ok := m.Intent(a.Kind, a.Target)
	if !ok || in.Status != Failed || in.Failures == 0 {
		return time.Time{}, "", false
	}
	if a.Kind == Merge && in.Action.Method != a.Method {
		return time.Time{}, "", false // another method is another request
	}
	n := min(in.Failures, 12) - 1
	wait := min(time.Hour<<n, 24*time.Hour)
	if in.Passing {
		wait = min(4*time.Second<<n, 10*time.Minute)
	}
	until = in.DoneAt.Add(wait)
	return until, in.Error, now.Before(until)
}
