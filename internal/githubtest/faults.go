package githubtest

import (
	"path"
	"strings"
	"time"
)

// Fault makes requests fail. What it leaves empty matches everything.
type Fault struct {
	Op     string // the operation, or a pattern of path.Match: "pulls.merge", "graphql.*"
	Method string
	Path   string // a pattern of path.Match for the whole path, without /api/v3
	Repo   string // "octo/app": what is asked of it, over REST or GraphQL

	Kind  Kind
	After bool // the request takes effect first; only its answer is lost
	Times int  // how many matching requests; 0 is one, negative is all
	Skip  int  // let so many matching requests pass first

	Status     int           // of Answer, and of Secondary (403 unless set)
	Message    string        // of Answer
	RetryAfter time.Duration // of Answer and Secondary: the header, when positive; of Exhausted: until the reset, a minute unless set
	Delay      time.Duration // of Hang: how long; for ever unless set

	hits int
}

// Kind is how a request fails.
type Kind int

// The ways in which a request fails.
const (
	Answer         Kind = iota // an answer with Status, 502 unless set
	Hang                       // no answer until the client gives up, or Delay has passed; then the true answer
	Reset                      // the connection is reset
	HTML                       // 200 with a page for people
	Truncated                  // the true answer, cut off in the middle
	Partial                    // GraphQL: data with a hole and an error
	Exhausted                  // the primary budget is used up
	Secondary                  // a secondary limit
	NoHost                     // the name can't be looked up: nothing is sent; by Transport only
	BadCertificate             // somebody else's certificate: nothing is sent; by Transport only
)

// Fail adds a fault. Faults are tried in the order in which they were added. The result is for Hits and Heal.
func (s *Server) Fail(f Fault) *Injected {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
	return &Injected{s, &f}
}

// Injected is a fault at work.
type Injected struct {
	s *Server
	f *Fault
}

// Hits is how many requests have met the fault.
func (i *Injected) Hits() int {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	return i.f.hits
}

// Heal ends the fault.
func (i *Injected) Heal() {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	i.f.Times = 0
}

// Heal ends all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault returns the fault that the request meets, if any, and counts it.
func (s *Server) fault(c *call) *Fault {
	for _, f := range s.faults {
		if f.Times == 0 || f.Method != "" && f.Method != c.method || !matches(f.Op, c.op) || !matches(f.Path, c.path) || f.Repo != "" && !strings.EqualFold(f.Repo, c.about()) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.hits++
		if f.Times > 0 {
			f.Times--
		}
		return f
	}
	return nil
}

// about is the full name of the repository that the request is about, or "".
func (c *call) about() string {
	owner, name := c.vars["owner"], c.vars["repo"]
	if c.gql != nil {
		owner, _ = c.gql.Variables["owner"].(string)
		name, _ = c.gql.Variables["name"].(string)
	}
	if owner == "" {
		return ""
	}
	return owner + "/" + name
}

func matches(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(pattern, name)
	must(err)
	return ok
}
