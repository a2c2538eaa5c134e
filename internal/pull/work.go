package pull

import (
	"errors"
	"time"
)

// A Claim is the right to work on one key until Until. It is a value one must hold: every write that a pass makes to
// the store takes it and fails with ErrLost once another holder has taken over.
type Claim struct {
	Key      Key
	Repo     Repo // as last heard
	Scope    Scope
	Fence    int64 // grows with every claim of the key
	Gen      int64 // hints up to this generation are answered by the pass
	Fails    int   // failed passes in a row before this one
	Priority Priority
	Since    time.Time // when the oldest hint that it answers arrived
	Until    time.Time // end of the lease, unless renewed
}

// ErrLost means that the lease ran out and somebody else has the key: stop, write nothing.
var ErrLost = errors.New("lease lost: another worker has taken the key over")

// A Plan is what a pass has decided, written in one transaction before anything is done.
type Plan struct {
	Pull     Row       // the read model of the pages
	Verdict  Verdict   // kept when its digest differs from the last one
	Memory   Memory    // labels and counters; Intents is not written
	Actions  []Action  // wanted and not observed: each becomes, or re-opens, a ledger row
	Commands []Command // found in comments or decided on now: each becomes, or changes, a row
	Settled  []Intent  // open rows whose outcome the snapshot told: done, failed or superseded
	Policy   *Document // set when this is a valid policy that the store does not know as the last valid one
	Problem  string    // why the current policy file is not valid; "" when it is
	Sight    string    // what the pull request looks like from afar (Sight), for the sweep to compare with
	// DefaultsSeen: the owner has defaults. It is remembered for every repository of the owner, for good.
	DefaultsSeen bool
	// Head is set when the head is another commit than the last one that is known, with since when by GitHub's clock.
	Head *HeadAt
}

// A Verdict is a decision as it is stored: the tree as JSON, and what lists show of it.
type Verdict struct {
	State    string // waiting, ready, merged … (policy.State)
	Sentence string // why the pull request is where it is
	Tree     []byte // JSON of policy.Verdict
	Digest   string // of Tree without times
	Changes  []byte // JSON of what is different from the verdict before (a list of policy.Change); nil: nothing, or not known
	Took     time.Duration
}

// A Row is the read model of one pull request.
type Row struct {
	Key       Key
	Repo      Repo
	Number    int
	Title     string
	Author    string
	URL       string
	State     State
	Draft     bool
	Head      SHA
	HeadRef   string
	Base      string
	Labels    []string
	UpdatedAt time.Time
	Verdict   string // state of the newest verdict
	Sentence  string
	DecidedAt time.Time
	NextLook  time.Time // zero: only when something happens
}

// A History is what the store knows of a key when a pass begins.
type History struct {
	Memory    Memory   // with Intents
	Verdict   Verdict  // the newest, as Tree and Digest; zero when there was none
	LastValid Document // the repository's last valid policy
	Problem   string   // the last recorded problem of the policy
	// DefaultsSeen: the owner's defaults were there once, for whichever of the owner's repositories.
	DefaultsSeen bool
}

// A PassResult ends a pass.
type PassResult struct {
	Outcome Outcome
	Again   time.Time // the next look that is wanted; zero: only when something happens
	// NotBefore holds the key back whatever hints arrive: backoff, an outcome that must be read back later.
	NotBefore time.Time
	Error     string // for failed passes
	// Outage says that a failure is nobody's here: GitHub can't be reached, or does not accept the credentials. The pass
	// is made again, later and later, for as long as that lasts, and never becomes a dead letter.
	Outage bool
	Gone   bool // GitHub does not know the pull request (any more)
}

// An Outcome is how a pass ended.
type Outcome string

// How passes end. Only Failed counts as an error of the deliveries that the pass was for.
const (
	PassDone    Outcome = "done"
	PassGone    Outcome = "gone"    // 404: deleted, transferred, or not ours to see
	PassParked  Outcome = "parked"  // GitHub's budget is spent, or an outcome has to be awaited: no failure, come back later
	PassFailed  Outcome = "failed"  // counted; six in a row are a dead letter
	PassIgnored Outcome = "ignored" // not one of the repositories that the service may act on, or no credentials
)

// MaxFails is how many failed passes in a row, or failed intakes of a delivery, make a dead letter.
const MaxFails = 6

// A Change is one entry of the change feed: that something about a key is new. Readers look it up again.
type Change struct {
	ID   int64
	At   time.Time
	Kind ChangeKind
	Key  string // a pull request's key; "" for deliveries and settings
	Text string // one short line for people
}

// A ChangeKind is what changed.
type ChangeKind string

// Kinds of change.
const (
	ChangeDelivery ChangeKind = "delivery"
	ChangePull     ChangeKind = "pull"
	ChangeAction   ChangeKind = "action"
	ChangePolicy   ChangeKind = "policy"
	ChangeSetting  ChangeKind = "setting"
)
