package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A Decision is what follows from one look at a pull request.
type Decision struct {
	Verdict Verdict
	// Actions are wanted and not observed, in the order in which they are to be carried out. The report is not among
	// them: what it says follows from the verdict, in package notice.
	Actions []pull.Action
	// Commands are those that were found or decided on now, to be kept beside the actions that they ask for.
	Commands []pull.Command
	// Replies are what is to be answered to comments; their words are made in package notice.
	Replies []Reply
	// Needs are what the decision depends on and the snapshot does not have. While there are any it is not final: they are
	// looked up (Snapshot.Known), and it is made again.
	Needs []pull.Need
	// Memory is what to remember instead of what was passed in, before anything is done. It is for whoever carries the
	// actions out to change it once more when one is done: a label becomes the service's own (LabelMemory.Ours) when the
	// ledger says that it was put on, and stops being so when it was taken off.
	Memory pull.Memory
	// Again is when to look again though nothing happens; zero: only when something happens.
	Again time.Time
}

// A Verdict is a decision explained: what state the pull request is in, why, and what every rule made of it. It marshals
// to the same JSON whenever it says the same.
type Verdict struct {
	State   State    `json:"state"`
	Reasons []Reason `json:"reasons,omitempty"` // what is missing or what happened, the most telling first
	Rules   []Rule   `json:"rules,omitempty"`   // in the order of the file
	Policy  Source   `json:"policy"`
	// Holds: there is a merge rule, and all that it asks for and all that merging needs is there. What may still be
	// missing then is GitHub's doing (its own rules, a refusal that it gave lately).
	Holds bool `json:"holds,omitempty"`
	// Would lists what would be done if the policy were not in dry-run mode, or not held back for want of its defaults.
	Would []pull.Action `json:"would,omitempty"`
	// Actions lists what is being done.
	Actions []pull.Action `json:"actions,omitempty"`
	// Approvals is what the section approvals came to; nil where the policy has none.
	Approvals *Approvals `json:"approvals,omitempty"`
	// Queue is what is said of the commit that GitHub's merge queue tests; nil while it tests none.
	Queue *Queue   `json:"queue,omitempty"`
	Head  pull.SHA `json:"head,omitempty"`
}

// Digest is a fingerprint of everything that the verdict says.
func (v Verdict) Digest() string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("policy: a verdict is plain data and always marshals: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// A State is where a pull request is.
type State string

// The states. Blocked means that a person has to change something; waiting, that nobody needs to.
const (
	Waiting   State = "waiting"
	Ready     State = "ready" // being merged now
	Merged    State = "merged"
	Closed    State = "closed"
	Blocked   State = "blocked"
	Observing State = "observing" // there is no policy
	DryRun    State = "dry-run"
	Broken    State = "broken" // the policy is not valid, and none was valid before
	Off       State = "off"    // a label keeps the service off
)

// States lists every state.
var States = []State{Waiting, Ready, Merged, Closed, Blocked, Observing, DryRun, Broken, Off}

// A Source says which policy a verdict follows.
type Source struct {
	Path      string   `json:"path,omitempty"`
	OID       pull.SHA `json:"oid,omitempty"` // of the repository's file as it is now
	Found     bool     `json:"found"`         // there is some policy, the repository's or the owner's
	Problems  Problems `json:"problems,omitempty"`
	UsingLast bool     `json:"using_last,omitempty"` // the file is broken, and the last valid one is in force
	Defaults  bool     `json:"defaults,omitempty"`   // the owner's defaults are part of it
	Mode      Mode     `json:"mode,omitempty"`
}

// A Rule is what one rule of the policy made of the pull request.
type Rule struct {
	Section   string   `json:"section"`        // the top-level key of the policy
	Name      string   `json:"name,omitempty"` // the label, or the rule's name
	Pos       Pos      `json:"pos"`
	Outcome   Outcome  `json:"outcome"`
	Why       []Reason `json:"why,omitempty"`
	Condition *Node    `json:"condition,omitempty"`
}

// An Outcome is what a rule came to.
type Outcome string

// The outcomes.
const (
	LabelAdd      Outcome = "add"
	LabelRemove   Outcome = "remove"
	LabelOn       Outcome = "on"       // there, as it should be
	LabelOff      Outcome = "off"      // not there, as it should be
	LabelLeft     Outcome = "left"     // there though its condition is false: a person set it
	LabelKeptOff  Outcome = "kept-off" // not there though its condition is true: a person took it off
	LabelUnknown  Outcome = "unknown"  // left as it is: its condition is not known
	LabelSettling Outcome = "settling" // just written; GitHub does not show it yet
	Withheld      Outcome = "withheld" // GitHub refused it lately
	MergeNow      Outcome = "merge"
	MergeWaits    Outcome = "waits"
	MergeQueue    Outcome = "enqueue" // put into GitHub's merge queue
	MergeDequeue  Outcome = "dequeue" // taken out of it
	MergeUpdate   Outcome = "update"  // brought up to date with its base
	BranchDelete  Outcome = "delete"
	BranchKept    Outcome = "kept"
	RuleDoes      Outcome = "does" // does something now
	RuleDone      Outcome = "done" // holds; all that it asks for is done
	RuleIdle      Outcome = "idle" // does not hold
	CommandOver   Outcome = "over" // a command that is no longer in force
)

// Outcomes lists every outcome.
var Outcomes = slices.Concat(coreOutcomes, reviewerOutcomes)

var coreOutcomes = []Outcome{
	LabelAdd, LabelRemove, LabelOn, LabelOff, LabelLeft, LabelKeptOff, LabelUnknown, LabelSettling, Withheld,
	MergeNow, MergeWaits, MergeQueue, MergeDequeue, MergeUpdate, BranchDelete, BranchKept, CommandOver, RuleDoes, RuleDone, RuleIdle,
	ApprovalHolds, ApprovalLacks, ApprovalSkipped, ApprovalUnknown,
}

// A Reason is why something is as it is: a code and the facts that its sentence needs. Which fields are set follows from
// the code; package notice has the sentence of each.
type Reason struct {
	Code   Code             `json:"code"`
	Label  string           `json:"label,omitempty"`
	Names  []string         `json:"names,omitempty"` // checks, logins, methods or facts, by the code
	By     string           `json:"by,omitempty"`    // the login of who did it; "" when not known
	SHA    pull.SHA         `json:"sha,omitempty"`
	Branch string           `json:"branch,omitempty"`
	Method pull.MergeMethod `json:"method,omitempty"`
	Text   string           `json:"text,omitempty"`  // a condition's text, GitHub's words, a file's first problem
	Value  string           `json:"value,omitempty"` // what the condition saw
	Count  int              `json:"count,omitempty"` // how many are needed or missing, by the code
	Verb   string           `json:"verb,omitempty"`  // the command, without its slash
	Until  time.Time        `json:"until,omitzero"`
	Any    []Reason         `json:"any,omitempty"` // AnyOf: one of these would do
	// Who can change it: logins, or one of the Who constants.
	Who []string `json:"who,omitempty"`
}

// Who can unblock, where it is a role and not a login.
const (
	WhoWriter     = "role:write" // someone with write access
	WhoTriage     = "role:triage"
	WhoReader     = "role:read"
	WhoMaintainer = "role:maintain"
	WhoAdmin      = "role:admin"
	WhoCodeOwner  = "role:codeowner" // an owner of the changed files
	WhoPolicy     = "role:policy"    // who may change the policy file
	WhoOwner      = "role:owner"     // who may change the owner's defaults
)

// A Code names a reason.
type Code string

// Every code.
const (
	NoPolicy        Code = "no_policy"
	PolicyBroken    Code = "policy_broken"     // Text: the first problem
	PolicyUsingLast Code = "policy_using_last" // Text: the first problem
	DefaultsGone    Code = "defaults_gone"
	DefaultsBroken  Code = "defaults_broken" // Text: the first problem
	NoMergeRule     Code = "no_merge_rule"

	IsMerged Code = "merged" // Branch, SHA, By
	IsClosed Code = "closed"

	ReadyToMerge     Code = "ready" // Method, SHA
	Merging          Code = "merging"
	IsDraft          Code = "draft"
	Conflict         Code = "conflict" // Branch
	MergeableUnknown Code = "mergeable_unknown"
	HeadGone         Code = "head_gone"
	Archived         Code = "archived"
	CannotWrite      Code = "cannot_write"       // By: us
	MethodNotAllowed Code = "method_not_allowed" // Method, Names: those allowed
	NoMethodAllowed  Code = "no_method_allowed"
	GitHubRules      Code = "github_rules"
	Refused          Code = "refused" // Text: GitHub's words; Until

	ChecksMissing    Code = "checks_missing"
	ChecksPending    Code = "checks_pending"    // Names
	ChecksFailed     Code = "checks_failed"     // Names
	ApprovalMissing  Code = "approval_missing"  // SHA
	ApprovalStale    Code = "approval_stale"    // Names: who approved an older commit; SHA
	ApprovalRebased  Code = "approval_rebased"  // Names: who approved before the base was changed; SHA; Branch: the base
	ApprovalNoWrite  Code = "approval_no_write" // Names: who approved without write access; SHA
	ChangesRequested Code = "changes_requested" // Names
	LabelBlocks      Code = "label_blocks"      // Label, By
	LabelMissing     Code = "label_missing"     // Label
	ConditionFalse   Code = "condition_false"   // Text, Value
	ConditionTrue    Code = "condition_true"    // Text, Value: it would have to be false
	ConditionError   Code = "condition_error"   // Text, Value: the error
	FactUnknown      Code = "fact_unknown"      // Names
	AnyOf            Code = "any_of"            // Any

	Holds             Code = "holds"     // a label's condition holds
	DoesNotHold       Code = "holds_not" // a label's condition does not hold
	LabelSetByOther   Code = "label_set_by_other"
	LabelTakenByOther Code = "label_taken_by_other"
	LabelWritten      Code = "label_written"  // written just now; GitHub does not show it yet
	LabelRestless     Code = "label_restless" // put on and taken off by the service again and again; Until

	BranchUnused    Code = "branch_unused"     // Branch: merged, to be deleted
	BranchMoved     Code = "branch_moved"      // Branch
	BranchOfFork    Code = "branch_of_fork"    // Branch
	BranchProtected Code = "branch_protected"  // Branch: the base or the default branch
	BranchNotOurs   Code = "branch_not_ours"   // By: who merged
	BranchIsDeleted Code = "branch_is_deleted" // Branch
)

// Codes lists every code; tests hold that each has its sentence.
var Codes = slices.Concat(coreCodes, conditionCodes, reviewerCodes, approvalCodes, commandCodes, checkCodes, mergeCodes, ruleCodes)

var coreCodes = []Code{
	NoPolicy, PolicyBroken, PolicyUsingLast, DefaultsGone, DefaultsBroken, NoMergeRule, IsMerged, IsClosed,
	ReadyToMerge, Merging, IsDraft, Conflict, MergeableUnknown, HeadGone, Archived, CannotWrite, MethodNotAllowed,
	NoMethodAllowed, GitHubRules, Refused, ChecksMissing, ChecksPending, ChecksFailed, ApprovalMissing, ApprovalStale, ApprovalRebased,
	ApprovalNoWrite, ChangesRequested, LabelBlocks, LabelMissing, ConditionFalse, ConditionTrue, ConditionError,
	FactUnknown, AnyOf, Holds, DoesNotHold, LabelSetByOther, LabelTakenByOther, LabelWritten, LabelRestless, BranchUnused, BranchMoved,
	BranchOfFork, BranchProtected, BranchNotOurs, BranchIsDeleted,
}

// blocks reports whether the reason goes away only when a person changes something, as against waiting for something
// that is under way or that others are expected to do anyway.
func (c Code) blocks() bool {
	switch c {
	case IsDraft, Conflict, HeadGone, Archived, CannotWrite, MethodNotAllowed, NoMethodAllowed, ChecksFailed,
		ChangesRequested, ApprovalsSkipped, LabelBlocks, ConditionError, DefaultsGone, DefaultsBroken, PolicyBroken:
		return true
	case MergeLabelDenied, Held, IsBehind, NotForward, CheckNotStarted, CheckForged, GitHubThreads, GitHubSignatures, GitHubLocked:
		return true
	}
	return false
}
