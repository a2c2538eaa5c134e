package pull

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// A Need is one more thing that a decision depends on and that is too dear to be read with every snapshot. A decision that
// has needs is not final: they are looked up, and it is made again. Needs are comparable.
type Need struct {
	Kind NeedKind `json:"kind"`
	Name string   `json:"name,omitempty"` // a login, a team as "acme/backend", a path
	A, B SHA      `json:"-"`              // NeedSame: the commits to compare
	// Fresh asks GitHub even if the answer is known from the last minute: what a merge or a command depends on.
	Fresh bool `json:"fresh,omitempty"`
}

// A NeedKind is what sort of thing is looked up, and where the answer goes.
type NeedKind string

// What can be looked up.
const (
	NeedPerson     NeedKind = "person"     // Name: a login → Lookups.People, with the permission on this repository
	NeedLoad       NeedKind = "load"       // Name: a login → Lookups.People, with how many reviews it is asked for, and whether it is away
	NeedTeam       NeedKind = "team"       // Name: "acme/backend" → Lookups.Teams
	NeedFile       NeedKind = "file"       // Name: a path on the base branch → Lookups.Files
	NeedCommits    NeedKind = "commits"    // → Lookups.Commits
	NeedRenames    NeedKind = "renames"    // → File.Previous, Lookups.Renames
	NeedSame       NeedKind = "same"       // A, B → Lookups.Same: do two commits make the same change to the base?
	NeedRules      NeedKind = "rules"      // → Lookups.Rules: GitHub's own rules for the base branch
	NeedDependents NeedKind = "dependents" // → Lookups.Dependents: open pull requests into the head branch
	NeedAhead      NeedKind = "ahead"      // → Lookups.Ahead: what is before this one in GitHub's merge queue
	NeedTurn       NeedKind = "turn"       // → Lookups.Turn: the turn to be brought up to date with the base; the store's to give, not GitHub's
)

// NeedKinds lists every kind.
var NeedKinds = []NeedKind{
	NeedPerson, NeedLoad, NeedTeam, NeedFile, NeedCommits, NeedRenames, NeedSame, NeedRules, NeedDependents, NeedAhead, NeedTurn,
}

// Lookups are the answers to needs. Each says when it could not be had (Missing), so that nothing is asked for twice and
// whoever needs it fails closed.
type Lookups struct {
	People map[string]Person   `json:"people,omitempty"` // by login, in lower case
	Teams  map[string]Team     `json:"teams,omitempty"`  // by "acme/backend", in lower case
	Files  map[string]Document `json:"files,omitempty"`  // by path; of the base branch as it is now
	Same   map[string]Sameness `json:"same,omitempty"`   // by SameKey
	// Commits are all that the pull request would bring to its base; nil until they were asked for.
	Commits    *Commits `json:"commits,omitempty"`
	Renames    bool     `json:"renames,omitempty"`    // File.Previous is filled in
	Rules      *Rules   `json:"rules,omitempty"`      // nil until they were asked for
	Dependents *Pulls   `json:"dependents,omitempty"` // nil until they were asked for
	Ahead      *[]Ahead `json:"ahead,omitempty"`      // nil until they were asked for; in the order of the queue
	Turn       *Turn    `json:"turn,omitempty"`       // nil until it was asked for
}

// A Turn says which pull request into a base branch is brought up to date now, so that checks run for one that merges and
// not for all that wait. It ends by itself.
type Turn struct {
	Number int       `json:"number"` // 0: nobody's
	Until  time.Time `json:"until,omitzero"`
}

// A Person is an account as far as it was looked up.
type Person struct {
	Actor      Actor           `json:"actor,omitzero"`
	Permission PermissionLevel `json:"permission,omitempty"` // on this repository; "" until it was asked for
	Loaded     bool            `json:"loaded,omitempty"`     // Requests and Away are known
	Requests   int             `json:"requests,omitempty"`   // open pull requests of this repository that wait for its review
	Away       bool            `json:"away,omitempty"`       // its profile says that it is busy
	Missing    string          `json:"missing,omitempty"`    // why nothing is known: "there is no such account"
}

// A Team is a team's members, those of its child teams among them.
type Team struct {
	Members []Actor `json:"members,omitempty"`
	Missing string  `json:"missing,omitempty"` // why they are not known: "the App may not see the organization's members"
}

// Commits are a list of commits, oldest first.
type Commits struct {
	List      []Commit `json:"list"`
	Truncated bool     `json:"truncated,omitempty"` // GitHub lists at most 250
}

// A Sameness says whether two commits make textually the same change to the base branch: each compared with where it left it.
type Sameness struct {
	Same bool `json:"same"`
	// Unknown says why they could not be compared to the end: "the comparison is too large for GitHub to show".
	Unknown string `json:"unknown,omitempty"`
}

// SameKey is where Lookups.Same keeps the comparison of two commits.
func SameKey(a, b SHA) string { return string(a) + ".." + string(b) }

// Pulls are the numbers of pull requests.
type Pulls struct {
	Numbers   []int `json:"numbers"`
	Truncated bool  `json:"truncated,omitempty"`
}

// An Ahead is a pull request before this one in GitHub's merge queue, and what its approvals came to when it was judged anew.
type Ahead struct {
	Number int  `json:"number"`
	Holds  bool `json:"holds"`
	// Unknown: it could not be judged, which is no yes either.
	Unknown bool   `json:"unknown,omitempty"`
	Why     string `json:"why,omitempty"` // a sentence, where they don't hold
}

// Rules are what GitHub itself asks for before it merges into a branch: branch protection and rulesets together, as far as
// our credentials may see them.
type Rules struct {
	Checks       []RequiredCheck `json:"checks,omitempty"`
	Approvals    int             `json:"approvals,omitempty"`    // approving reviews
	CodeOwners   bool            `json:"code_owners,omitempty"`  // one of them by an owner
	LastPush     bool            `json:"last_push,omitempty"`    // one of them by somebody other than who pushed last
	Conversation bool            `json:"conversation,omitempty"` // every thread resolved
	UpToDate     bool            `json:"up_to_date,omitempty"`   // the head contains the base
	Signatures   bool            `json:"signatures,omitempty"`   // every commit verified
	Linear       bool            `json:"linear,omitempty"`       // no merge commits
	Locked       bool            `json:"locked,omitempty"`       // nothing may be pushed or merged
	MergeQueue   bool            `json:"merge_queue,omitempty"`  // only GitHub's merge queue merges
	Methods      []MergeMethod   `json:"methods,omitempty"`      // the only ones allowed; nil: whatever the repository allows
	Deployments  []string        `json:"deployments,omitempty"`  // environments that the head has to be deployed to
	Others       []string        `json:"others,omitempty"`       // GitHub's names of rules beyond these
	Missing      string          `json:"missing,omitempty"`      // why they are not known
}

// A RequiredCheck is one that has to pass, of one App or of any.
type RequiredCheck struct {
	Name  string `json:"name"`
	AppID int64  `json:"app_id,omitempty"` // 0: whoever reports it
}

// Answers reports whether a need has its answer, be it that there is none to be had.
func (s *Snapshot) Answers(n Need) bool {
	k := &s.Known
	switch name := strings.ToLower(n.Name); n.Kind {
	case NeedPerson:
		p, ok := k.People[name]
		return ok && (p.Permission != "" || p.Missing != "")
	case NeedLoad:
		p, ok := k.People[name]
		return ok && (p.Loaded || p.Missing != "")
	case NeedTeam:
		_, ok := k.Teams[name]
		return ok
	case NeedFile:
		_, ok := k.Files[n.Name]
		return ok
	case NeedCommits:
		return k.Commits != nil
	case NeedRenames:
		return k.Renames
	case NeedSame:
		_, ok := k.Same[SameKey(n.A, n.B)]
		return ok
	case NeedRules:
		return k.Rules != nil
	case NeedDependents:
		return k.Dependents != nil
	case NeedAhead:
		return k.Ahead != nil
	case NeedTurn:
		return k.Turn != nil
	}
	return false
}

// SortNeeds puts needs into one order and drops repetitions, so that the same decision asks for the same.
func SortNeeds(needs []Need) []Need {
	slices.SortFunc(needs, func(a, b Need) int {
		fresh := 0
		if a.Fresh != b.Fresh {
			if fresh = 1; a.Fresh {
				fresh = -1
			}
		}
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B), fresh)
	})
	return slices.CompactFunc(needs, func(a, b Need) bool {
		return a.Kind == b.Kind && a.Name == b.Name && a.A == b.A && a.B == b.B // the fresh one comes first and stays
	})
}
