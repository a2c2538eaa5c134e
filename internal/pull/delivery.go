package pull

import "time"

// A Delivery is one webhook as it was received.
type Delivery struct {
	Seq      int64  // given by the store, in the order of commits of one writer
	ID       string // X-GitHub-Delivery: constant over redeliveries
	Hint     Hint
	Headers  map[string]string // by an allow-list
	Body     []byte            // as signed
	BodyHash [32]byte          // SHA-256 of Body
	// Packed is the body compressed (an s2 block), as it is stored. The inbox fills it and drops Body, so that neither the
	// writer's time nor its memory is spent on whole bodies; the store compresses Body itself where Packed is nil.
	Packed []byte
	// SecretSlot is the position of the secret that signed it (0 the first); -1 when signatures are not validated.
	SecretSlot int

	Status      DeliveryStatus
	Key         Key // what it waits for, or waited for; zero: nothing yet, or neither
	Attempts    int
	Error       string
	SeenCount   int
	ReceivedAt  time.Time
	LastSeenAt  time.Time
	TakenAt     time.Time
	ProcessedAt time.Time
}

// A DeliveryStatus is how far a delivery has come.
type DeliveryStatus string

// The life of a delivery.
const (
	Received  DeliveryStatus = "received"  // kept; the sender has its 202
	Queued    DeliveryStatus = "queued"    // its key is marked due
	Processed DeliveryStatus = "processed" // a pass that began after it was queued is recorded, or it named nothing to do
	Dead      DeliveryStatus = "dead"      // failed too often; waits for a person
	Discarded DeliveryStatus = "discarded" // dropped by a person
)

// A Hint is all that routing reads from a payload. A webhook says "look at this", never "this happened": nothing
// here is used as a fact about a pull request.
type Hint struct {
	Event         string `json:"event"`
	Action        string `json:"action,omitempty"`
	Repo          Repo   `json:"repo,omitzero"`
	Installation  int64  `json:"installation,omitempty"`
	Sender        Actor  `json:"sender,omitzero"`
	Numbers       []int  `json:"numbers,omitempty"` // the pull requests that it names
	HeadSHA       SHA    `json:"head_sha,omitempty"`
	Branch        string `json:"branch,omitempty"` // push: the branch that moved
	DefaultBranch string `json:"default_branch,omitempty"`
	Closed        bool   `json:"closed,omitempty"` // pull_request: it says that the pull request is closed
	// UpdatedAt is when GitHub says that the pull request was last updated: beside HeadSHA, a moment at which that was its head.
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	// Report is set where the event tells of a check run or status with our own report's name: an event that says
	// exactly what our ledger says we wrote is an echo, and needs no look.
	Report *Report `json:"report,omitempty"`
}

// Number returns the one pull request that the hint names, or 0 when it names none or several.
func (h Hint) Number() int {
	if len(h.Numbers) == 1 {
		return h.Numbers[0]
	}
	return 0
}

// A Receipt says what became of a delivery that was handed in.
type Receipt struct {
	Duplicate bool // the id was known; the row's status is as it was
	Differs   bool // and the body was another one; the first is kept
}

// A Taking says which of the waiting deliveries an intake takes.
type Taking struct {
	Limit int // at most so many of the oldest; without effect where IDs are given
	// IDs are the only ones that are taken, whatever their age, of those that wait; nil: the oldest.
	IDs []string
	// Before leaves what was received after it to others, who have been told of it; zero takes everything. What was taken
	// before and has to be taken again is nobody else's business, and is taken however young it is.
	Before time.Time
	// By is who takes IDs by hand: while the queue is paused too, and in spite of a backoff. "" is nobody.
	By string
}

// A Pause is an order to take nothing up. It is kept in the database and holds for every replica until it is lifted.
type Pause struct {
	Since time.Time
	By    string // who gave it
}

// A Route is what intake does with a delivery. A hint is resolved to keys by numbers, else by head sha among the open
// heads, else by base branch among the open pull requests; none of them is an API call.
type Route struct {
	Settle   time.Duration // how long to wait for more hints about the same key
	Priority Priority
	Numbers  []int
	SHA      SHA    // find open pull requests with this head
	Base     string // find open pull requests into this branch; "*" all of the repository
	// Head records that the pull request Numbers[0] has this head, or (Gone) is no longer open.
	Head   SHA
	HeadAt time.Time // by GitHub's clock, where it tells; the history of heads is made of these
	Gone   bool
	Echo   *Report // see Hint.Report
}

// A Priority orders what is due; less is more urgent.
type Priority int

// Priorities.
const (
	Urgent     Priority = 0 // a command, a merge
	Ordinary   Priority = 1 // an event of the pull request itself
	Background Priority = 2 // checks
	Bulk       Priority = 3 // a push to a base branch, the sweep
)

// An Attempt is a finished try at one delivery, for the counters.
type Attempt struct {
	Event  string
	Took   time.Duration // since it was first taken
	Failed bool
	Status DeliveryStatus // what the delivery is now
}
