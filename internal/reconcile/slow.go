package reconcile

import (
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A pass that takes longer than passPatience waits for GitHub. It gives its place to another pass, so that an
// installation which GitHub answers slowly, or not at all, does not keep the others waiting; slowPasses bounds how many
// of these there are at a time.
const (
	passPatience = 2 * time.Second
	slowPasses   = 32
)

// slowScopes counts the passes that have given their places away, by scope. The zero value is ready.
type slowScopes struct {
	mu   sync.Mutex
	all  int
	each map[pull.Scope]int
}

// enter reports whether there is room for one more.
func (s *slowScopes) enter(scope pull.Scope) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= slowPasses {
		return false
	}
	if s.each == nil {
		s.each = make(map[pull.Scope]int)
	}
	s.all++
	s.each[scope]++
	return true
}

func (s *slowScopes) leave(scope pull.Scope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.each[scope]--; s.each[scope] == 0 {
		delete(s.each, scope)
	}
}

// most returns the scope that has the most of them, "" when there are none: the others are claimed first.
func (s *slowScopes) most() (scope pull.Scope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for each, m := range s.each {
		if m > n || m == n && each < scope {
			scope, n = each, m
		}
	}
	return scope
}

// hold makes a pass that has a place among slots.
func (r *Reconciler) hold(slots chan struct{}, scope pull.Scope, pass func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pass()
	}()
	t := time.NewTimer(passPatience)
	defer t.Stop()
	for {
		select {
		case <-ended:
			<-slots
			r.Wake()
			return
		case <-t.C:
			if !r.slow.enter(scope) {
				t.Reset(passPatience)
				continue
			}
			<-slots
			r.Wake()
			<-ended
			r.slow.leave(scope)
			return
		}
	}
}
