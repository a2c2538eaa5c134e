package pull

import (
	"fmt"
	"strconv"
	"time"
)

// A Lead is the right to do what one replica does for all of them. Like a claim it is a value that writes take, and
// they fail with ErrLost once another replica has taken over.
type Lead struct {
	Owner string
	Fence int64 // grows each time that another replica takes over
}

// A Beat is what a replica learns when it says that it is alive.
type Beat struct {
	Lead  Lead
	Leads bool      // the caller holds the lead until its term ends, or its next beat
	Last  time.Time // the last beat of any replica before this one; zero on a new database
}

// A Hook is a webhook at GitHub whose log of deliveries can be asked for: the App's own, or one of a repository.
type Hook struct {
	ID    int64 // 0: the App's
	Repo  Repo  // of a repository's webhook
	Scope Scope
	URL   string // where it leads, as far as that was asked
}

// String names the hook in the database: "app", or "repo:<repository id>/<hook id>".
func (h Hook) String() string {
	if h.ID == 0 {
		return "app"
	}
	return "repo:" + strconv.FormatInt(h.Repo.ID, 10) + "/" + strconv.FormatInt(h.ID, 10)
}

// A Sending is one try of GitHub's to deliver a webhook, from GitHub's own log. All tries of one delivery have its GUID.
type Sending struct {
	ID     int64
	GUID   string
	At     time.Time
	OK     bool   // the receiver answered with a success
	Status string // GitHub's word for how it ended
	Code   int    // the receiver's answer, 0 when there was none
	Event  string
	Action string
}

// An Audit is how far the log of a hook has been compared with what was kept.
type Audit struct {
	Since time.Time // when it was first looked at: what GitHub delivered before is not ours to miss
	Done  time.Time // everything up to here has been compared; zero: nothing yet
	Top   time.Time // of a walk that has not come to its end: when it began …
	Next  string    // … and GitHub's cursor of its next page; "" when there is no such walk
}

// A Missing is a delivery that GitHub has in its log and that is not here.
type Missing struct {
	GUID   string
	Hook   Hook // ID, Repo and Scope
	ID     int64
	Event  string
	Action string
	Status string // GitHub's word for how its newest try ended
	SentAt time.Time
	Lost   bool // GitHub was told that it had arrived, and nothing explains that it is not here
	Behind bool // it had arrived after a backup was taken that the database was restored from
	Asked  int  // how often GitHub was asked to send it again
	Here   bool // it has come in meanwhile
}

// A MissingState is what became of a missing delivery.
type MissingState string

// The ends of a missing delivery.
const (
	Recovered MissingState = "recovered" // it has come in
	GaveUp    MissingState = "gave_up"   // GitHub won't send it, or was asked often enough
)

// A Sight is what can be seen of a pull request from afar, a hundred of them in one request. A pull request whose sight
// is another one has changed; checks belong to commits, so that its UpdatedAt alone does not tell.
type Sight struct {
	UpdatedAt time.Time
	Head      SHA
	Base      SHA    // where the base branch is now
	Checks    string // how many of them are in which state
	Policy    SHA    // the policy file's blob; "" without one
	Defaults  SHA    // the one of the owner's defaults
}

// String is the sight in a form that can be kept and compared.
func (s Sight) String() string {
	return fmt.Sprintf("%d %s %s [%s] %s %s", s.UpdatedAt.Unix(), s.Head, s.Base, s.Checks, s.Policy, s.Defaults)
}

// Sight is what the snapshot looks like from afar. GitHub tells times to the second: what changes later in the second of the
// last change, as what a pass does itself, looks from afar like what was seen. So a snapshot of that second is like none of it.
func (s *Snapshot) Sight() Sight {
	updated := s.UpdatedAt
	if s.ObservedAt.Before(updated.Add(time.Second)) {
		updated = updated.Add(-time.Second)
	}
	return Sight{
		UpdatedAt: updated, Head: s.Head.SHA, Base: s.BaseBranchTip, Checks: s.Rollup,
		Policy: s.Policy.OID, Defaults: s.Defaults.OID,
	}
}

// An OpenPage is a page of a repository's open pull requests, seen from afar.
type OpenPage struct {
	Repo   Repo // as it is called now
	Policy bool // there is a policy file, or the owner has defaults
	Pulls  map[int]Sight
	Next   string // cursor of the next page; "" for the last
}

// Seen are the sights of a pull request that are known here, in their kept form.
type Seen struct {
	ByPass  string // as the last pass saw it; "" when none has
	BySweep string // as the last sweep did
	Open    bool   // it is open, as far as is known here
}

// A Sweepable is a repository to look over, and what the last time brought.
type Sweepable struct {
	Repo     Repo
	Scope    Scope
	SweptAt  time.Time // when the last complete sweep of it began; zero: never
	Requests int       // that it took
	Moved    bool      // it found something changed
	ActiveAt time.Time // when a pass over one of its pull requests last saw something new
	RetryAt  time.Time // not before then: GitHub does not show it to us
}

// A Swept is what a complete sweep of a repository found.
type Swept struct {
	At       time.Time // when it began
	Requests int
	Moved    bool
	Sights   map[int]string // to be kept: those that are new or have changed
	Due      []Mark         // what has to be looked at
}

// A Mark says from when on a pull request is due.
type Mark struct {
	Number int
	Due    time.Time
}
