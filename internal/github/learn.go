package github

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// How long answers are good for. What is about a commit can't change; it is kept as long as there is room.
const (
	peopleFor   = time.Minute
	loadFor     = time.Minute
	rulesFor    = 15 * time.Minute // longer than a stuck pull request waits for its next look
	teamsFor    = 10 * time.Minute
	doubtFor    = 10 * time.Minute // a comparison that GitHub does not show
	missingFor  = time.Minute      // what we may not see, until somebody lets us
	contentsFor = 24 * time.Hour
)

// learned are the answers that are kept, each under whose credentials it was given: what one installation may see another
// may not.
type learned struct {
	people  shelf[person, pull.Person]
	loads   shelf[person, pull.Person]
	teams   shelf[person, pull.Team] // by "org/slug"; its repo is 0
	files   shelf[content, pull.Document]
	commits shelf[change, pull.Commits]
	renames shelf[change, map[string]string]
	diffs   shelf[diffed, diff]
	same    shelf[compared, pull.Sameness]
	rules   shelf[content, pull.Rules]
	failed  shelf[diffed, int] // how often in a row GitHub failed at a comparison
}

type (
	person struct {
		scope pull.Scope
		repo  int64
		name  string // in lower case
	}
	content struct {
		scope pull.Scope
		repo  int64
		at    string // a commit, or a branch
		path  string
	}
	change struct {
		scope      pull.Scope
		repo       int64
		number     int
		base, head pull.SHA
		into       string
		count      int
	}
	diffed struct {
		scope     pull.Scope
		repo      int64
		base, sha pull.SHA
	}
	compared struct {
		scope      pull.Scope
		repo       int64
		base, a, b pull.SHA
	}
)

// A shelf keeps answers for a while. The zero value is ready.
type shelf[K comparable, V any] struct {
	mu     sync.Mutex
	m      map[K]kept[V]
	weight int
}

type kept[V any] struct {
	v      V
	weight int
	until  time.Time
}

// shelfRoom is how much a shelf holds, in bytes or in what comes near to that.
const shelfRoom = 8 << 20

func (s *shelf[K, V]) get(k K) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.m[k]
	if !ok || !time.Now().Before(e.until) {
		var none V
		return none, false
	}
	return e.v, true
}

// put keeps an answer. When there is no room, what has run out goes first, and then everything: to forget an answer costs a
// request.
func (s *shelf[K, V]) put(k K, v V, weight int, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	weight += 256
	if s.m == nil {
		s.m = map[K]kept[V]{}
	}
	s.drop(k)
	if s.weight+weight > shelfRoom {
		for k, e := range s.m {
			if !now.Before(e.until) {
				s.drop(k)
			}
		}
	}
	if s.weight+weight > shelfRoom {
		clear(s.m)
		s.weight = 0
	}
	s.m[k] = kept[V]{v, weight, now.Add(d)}
	s.weight += weight
}

func (s *shelf[K, V]) drop(k K) {
	if e, ok := s.m[k]; ok {
		s.weight -= e.weight
		delete(s.m, k)
	}
}

// change changes an answer that is kept, if it is.
func (s *shelf[K, V]) change(k K, f func(*V)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.m[k]; ok {
		f(&e.v)
		s.m[k] = e
	}
}

// Learn looks up what a decision needs beyond a snapshot, and returns the snapshot with the answers. Every need has one
// afterwards: what GitHub does not have, or does not show us, is marked as missing, so that whoever needs it fails closed.
// Its error is a *[pull.Fault] about GitHub as a whole: unavailable, throttled, or not accepting the credentials.
//
// Answers are kept, so that an unchanged pull request that is looked at again costs nothing here: people, loads and rules
// for a minute, teams for ten, and what is about certain commits for as long as there is room.
func (c *Client) Learn(ctx context.Context, scope pull.Scope, s pull.Snapshot, needs []pull.Need) (pull.Snapshot, error) {
	s.Known.People, s.Known.Teams = maps.Clone(s.Known.People), maps.Clone(s.Known.Teams)
	s.Known.Files, s.Known.Same = maps.Clone(s.Known.Files), maps.Clone(s.Known.Same)
	l := learner{c: c, ctx: ctx, scope: scope, s: &s}
	if f := l.loads(needs); f != nil {
		return s, f
	}
	for _, n := range needs {
		l.on = strings.TrimSpace(fmt.Sprintf("look up %s %s", n.Kind, oneLine(n.Name))) + fmt.Sprintf(" for %s#%d", s.Repo.FullName(), s.Number)
		if f := l.learn(n); f != nil {
			return s, f
		}
	}
	return s, nil
}

// A learner answers the needs of one decision.
type learner struct {
	c     *Client
	ctx   context.Context
	scope pull.Scope
	s     *pull.Snapshot
	on    string
}

func (l *learner) learn(n pull.Need) *pull.Fault {
	switch n.Kind {
	case pull.NeedPerson:
		return l.person(n)
	case pull.NeedLoad:
		return nil // all at once, before
	case pull.NeedTeam:
		return l.team(n)
	case pull.NeedFile:
		return l.file(n.Name)
	case pull.NeedCommits:
		return l.commits()
	case pull.NeedRenames:
		return l.renames()
	case pull.NeedSame:
		return l.same(n.A, n.B)
	case pull.NeedRules:
		return l.rules(n.Fresh)
	case pull.NeedDependents:
		return l.dependents()
	case pull.NeedAhead:
		// Whoever asks judges those before it; what nobody has judged does not hold.
		ahead := []pull.Ahead{}
		if l.s.Queued != nil {
			for _, n := range l.s.Queued.Ahead {
				ahead = append(ahead, pull.Ahead{Number: n, Why: "Nobody has judged it anew."})
			}
		}
		l.s.Known.Ahead = &ahead
		return nil
	}
	return &pull.Fault{Class: pull.FaultRefused, Op: l.on, Message: "nothing of that kind can be looked up"}
}

// whole reports whether a fault is about GitHub, or our standing with it, and not about what was asked for.
func whole(f *pull.Fault) bool {
	switch f.Class {
	case pull.FaultGone:
		return f.Status == 0 // the installation is suspended
	case pull.FaultRefused, pull.FaultMoved, pull.FaultPassing:
		return false
	}
	return true
}

// get reads something over REST.
func (l *learner) get(op string, accept func(answer) *pull.Fault, media string, parts ...string) *pull.Fault {
	return l.c.do(l.ctx, l.scope, call{op: op, on: l.on, method: "GET", url: l.c.path(parts...), media: media, accept: accept})
}

// list reads a list over REST to its end, or until page says that it is enough.
func (l *learner) list(op string, page func(answer) *pull.Fault, parts ...string) (complete bool, f *pull.Fault) {
	f = l.c.pages100(l.c.path(parts...), func(address string) (next string, f *pull.Fault) {
		f = l.c.do(l.ctx, l.scope, call{op: op, on: l.on, method: "GET", url: address, accept: func(a answer) *pull.Fault {
			next = nextParam(a.header, "page")
			return page(a)
		}})
		complete = next == ""
		return next, f
	})
	return complete, f
}

func (l *learner) repo(parts ...string) []string {
	return slices.Concat([]string{"repos", l.s.Repo.Owner, l.s.Repo.Name}, parts)
}

// put writes into a map that may be nil.
func put[V any](m *map[string]V, k string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[k] = v
}
