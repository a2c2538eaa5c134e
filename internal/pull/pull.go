// Package pull is the vocabulary of the service: what a pull request is, what a webhook says about it, what may be
// done to it, and what is remembered of it.
//
// Everything here is plain data. There is no I/O, no clock, no context and no logger, so every other package may
// import it and two packages that must not know each other can still talk: what one hands to the other is a value
// from here. A value is complete in itself; nothing in this package reaches out for more.
//
// Read it in the order of a delivery's life: a [Delivery] carries a [Hint] about a [Key]; a worker holds a [Claim] on
// the key, sees a [Snapshot], remembers a [Memory], wants an [Action], and writes down an [Intent] before it acts.
package pull

import (
	"fmt"
	"strconv"
	"strings"
)

// A SHA is the full hexadecimal id of a git commit or blob. The zero value means that it is not known.
type SHA string

// Short returns the first seven characters, as GitHub shows a commit to people.
func (s SHA) Short() string {
	if len(s) > 7 {
		return string(s[:7])
	}
	return string(s)
}

// A Repo is a repository on GitHub. Its ID stays when it is renamed or transferred; Owner and Name are what it was
// called when last seen.
type Repo struct {
	ID    int64  `json:"id"`
	Owner string `json:"owner"`
	Name  string `json:"name"`
}

// FullName returns "owner/name", or "" for the zero Repo.
func (r Repo) FullName() string {
	if r.Owner == "" && r.Name == "" {
		return ""
	}
	return r.Owner + "/" + r.Name
}

// A Kind says what a key is about.
type Kind string

// KindPull is one pull request. A later kind, a lane, will be the merge queue of one base branch.
const KindPull Kind = "pr"

// A Key names what a pass is about. It goes by the repository's id, so that a rename is harmless. Keys are comparable.
type Key struct {
	Kind   Kind
	RepoID int64
	Number int
}

// PullKey returns the key of one pull request.
func PullKey(repoID int64, number int) Key {
	return Key{Kind: KindPull, RepoID: repoID, Number: number}
}

// String returns the key as it is stored: "pr:1296269#7".
func (k Key) String() string {
	return string(k.Kind) + ":" + strconv.FormatInt(k.RepoID, 10) + "#" + strconv.Itoa(k.Number)
}

// ParseKey is the inverse of Key.String.
func ParseKey(s string) (Key, error) {
	kind, rest, ok1 := strings.Cut(s, ":")
	repo, num, ok2 := strings.Cut(rest, "#")
	id, err1 := strconv.ParseInt(repo, 10, 64)
	n, err2 := strconv.Atoi(num)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || Kind(kind) != KindPull {
		return Key{}, fmt.Errorf("%q is not a key (want pr:<repository id>#<number>)", s)
	}
	return Key{Kind: Kind(kind), RepoID: id, Number: n}, nil
}

// A Scope says whose budget at GitHub a request is charged to, and whose credentials sign it: "token" for the personal
// token, "app:<installation id>" for an installation of the App.
type Scope string

// ScopeToken is the scope of the personal access token.
const ScopeToken Scope = "token"

// ScopeApp returns the scope of an App's installation.
func ScopeApp(installation int64) Scope { return Scope("app:" + strconv.FormatInt(installation, 10)) }

// Installation returns the installation id of an App scope, or 0.
func (s Scope) Installation() int64 {
	rest, ok := strings.CutPrefix(string(s), "app:")
	if !ok {
		return 0
	}
	n, _ := strconv.ParseInt(rest, 10, 64)
	return n
}

// An Actor is an account on GitHub. Identity is the ID; a login can be renamed and taken by somebody else.
type Actor struct {
	ID    int64     `json:"id"`
	Login string    `json:"login"` // as GitHub's REST API spells it: an App's account ends in "[bot]"
	Type  ActorType `json:"type"`
}

// Same reports whether two actors are the same account. An unknown account (ID 0) is nobody's.
func (a Actor) Same(b Actor) bool { return a.ID != 0 && a.ID == b.ID }

// An ActorType is GitHub's kind of account.
type ActorType string

// The kinds of account that GitHub has.
const (
	User         ActorType = "User"
	Bot          ActorType = "Bot"
	Organization ActorType = "Organization"
	Mannequin    ActorType = "Mannequin"
)
