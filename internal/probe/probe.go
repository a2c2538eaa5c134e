// Package probe looks at a service from outside, over HTTP, as GitHub, Prometheus, a browser and a load balancer do: the
// smoke test and the test whether an installation is ready for production.
//
// It knows the service's contract and none of its code (it imports nothing of ours), so that it finds out where the two
// differ, and works against any release. A check is a row of a table: a name, what ought to be, and a function that looks.
// What it saw comes back as findings: pass, fail or skipped, each with one sentence in the words of whoever has to act on
// it, and for a failure what to do. Checks run one after the other, because a later one may need what an earlier one saw.
//
// Everything here is safe against production at any time: it reads, it sends two deliveries that have to be refused, and
// one `ping`, twice under one id.
//
// Start at [Smoke] and [Readiness]; [Run] runs checks. A caller adds checks of its own, which know a database or a Redis.
package probe

import (
	"context"
	"crypto/x509"
	"time"
)

// An Outcome is how a finding came out.
type Outcome string

// The outcomes.
const (
	Pass    Outcome = "pass"
	Fail    Outcome = "fail"
	Skipped Outcome = "skipped" // could not be looked at, and nothing says that something is wrong
)

// A Service is what is looked at, and what there is to look with.
type Service struct {
	URL    string         // without a path and a slash at the end
	Public string         // where people reach it: its certificate counts too, when this is https
	Secret string         // that signs deliveries; "" has none
	Token  string         // of the pages and the event stream; "" has none
	Roots  *x509.CertPool // whom to believe; nil: whom the system believes
	Agent  string         // User-Agent

	Timeout  time.Duration // of one request
	Patience time.Duration // how long a delivery may take until it is processed
}

// A Finding is what a check saw.
type Finding struct {
	About   string // which of several things the check looks at; "" where it is one
	Outcome Outcome
	Seen    string // one sentence: what is, and where something is wrong, why
	Do      string // what to do about it
}

// A Check looks at one thing.
type Check struct {
	Name  string
	Want  string // what ought to be seen
	Alone bool   // needs no answer of the service
	Look  func(context.Context, *Visit) []Finding
}

// A Result is a finding of a check, for people and programs.
type Result struct {
	Check    string  `json:"check"`
	Outcome  Outcome `json:"outcome"`
	Expected string  `json:"expected"`
	Seen     string  `json:"seen"`
	Do       string  `json:"do,omitempty"`
	Took     float64 `json:"seconds"`
}

// A Visit is one run of checks against a service, and what they have seen so far.
type Visit struct {
	Service
	// Ping is the delivery that the service has accepted; its ID is empty while there is none.
	Ping struct {
		ID   string
		Sent time.Time
	}

	answers bool // the service has answered at all
	stream  bool // the event stream can be read
	ready   stateAnswer
	before  stats // as they were before the ping
	refused refusal
}

// Run runs checks one after the other, and tells each result as soon as it is there. A service that does not answer is
// asked nothing more.
func Run(ctx context.Context, s Service, checks []Check, tell func(Result)) []Result {
	if s.Timeout <= 0 {
		s.Timeout = 10 * time.Second
	}
	if s.Patience <= 0 {
		s.Patience = 15 * time.Second
	}
	v := &Visit{Service: s}
	var all []Result
	for i, c := range checks {
		began := time.Now()
		var found []Finding
		switch {
		case ctx.Err() != nil:
			found = skip("the test was stopped before")
		case i > 0 && !c.Alone && !v.answers:
			found = skip("the service does not answer")
		default:
			found = c.Look(ctx, v)
		}
		for _, f := range found {
			r := Result{c.Name, f.Outcome, c.Want, f.Seen, f.Do, time.Since(began).Seconds()}
			if f.About != "" {
				r.Check += ": " + f.About
			}
			all = append(all, r)
			tell(r)
		}
	}
	return all
}

// Count returns how many results came out in a way.
func Count(all []Result, o Outcome) (n int) {
	for _, r := range all {
		if r.Outcome == o {
			n++
		}
	}
	return n
}

// The ways in which a check that looks at one thing ends.

func pass(seen string) []Finding { return []Finding{{Outcome: Pass, Seen: seen}} }
func skip(seen string) []Finding { return []Finding{{Outcome: Skipped, Seen: seen}} }
func fail(seen, do string) []Finding {
	return []Finding{{Outcome: Fail, Seen: seen, Do: do}}
}
