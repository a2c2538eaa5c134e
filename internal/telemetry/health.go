package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A CheckStatus is how one dependency or condition is.
type CheckStatus string

// How a check can come out.
const (
	CheckOK      CheckStatus = "ok"
	CheckWarning CheckStatus = "warning" // works, and somebody should look
	CheckFailing CheckStatus = "failing"
)

// A Check is the answer of a named check, with one sentence for people. The sentence is public: no names of hosts, no
// error texts with internals.
type Check struct {
	Status CheckStatus `json:"status"`
	Detail string      `json:"detail,omitempty"`
	// Code tells programs which of several warnings this is, where they have to tell them apart; "" mostly.
	Code string `json:"code,omitempty"`
}

const (
	checkTimeout = time.Second
	checkCache   = time.Second
)

// Health answers the two questions that a supervisor asks: is a restart needed (/health), and may traffic come here
// (/ready). Nothing runs between requests: checks run when they are asked for, at once and beside each other,
// at most once a second and for at most a second. Safe for concurrent use; register before serving.
type Health struct {
	version string
	secrets *Secrets
	started time.Time

	draining atomic.Bool
	mu       sync.Mutex
	checks   []*check
	stuck    []stuckCheck
}

type check struct {
	name     string
	required bool
	run      func(ctx context.Context) Check

	last    Check
	at      time.Time
	running chan struct{} // closed when the run in progress has ended; nil while there is none
}

type stuckCheck struct {
	name  string
	stuck func() bool
}

// NewHealth makes the health of a process that starts now. Details are scrubbed of secrets (nil: of none).
func NewHealth(version string, secrets *Secrets) *Health {
	return &Health{version: version, secrets: secrets, started: time.Now()}
}

// Register adds a named check. When a required one fails, the service is not ready; a failure of any other is a
// warning. A check gets a context that ends after a second; one that answers later counts as failing meanwhile and is
// not started a second time. A name that is taken already is a mistake: one of the two would hide the other.
func (h *Health) Register(name string, required bool, run func(ctx context.Context) Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.ContainsFunc(h.checks, func(c *check) bool { return c.name == name }) {
		panic("two checks named " + name)
	}
	h.checks = append(h.checks, &check{name: name, required: required, run: run})
}

// RegisterStuck adds a condition that only a restart mends. It must answer at once.
func (h *Health) RegisterStuck(name string, stuck func() bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stuck = append(h.stuck, stuckCheck{name, stuck})
}

// Drain makes /ready say 503 from now on: the process is about to end and wants no more traffic.
func (h *Health) Drain() { h.draining.Store(true) }

// Uptime is how long the process has been running.
func (h *Health) Uptime() time.Duration { return time.Since(h.started) }

type healthAnswer struct {
	Status   string           `json:"status"`
	Version  string           `json:"version"`
	Uptime   string           `json:"uptime,omitempty"`
	Seconds  float64          `json:"uptime_seconds,omitempty"`
	Checks   map[string]Check `json:"checks"`
	Warnings []string         `json:"warnings,omitempty"`
}

// ServeHealth serves GET /health: 200 healthy or degraded, and 503 unhealthy only when a restart would help.
// A dead dependency is not mended by restarting its clients.
func (h *Health) ServeHealth(w http.ResponseWriter, r *http.Request) {
	if !onlyGet(w, r) {
		return
	}
	a := healthAnswer{Status: "healthy", Version: h.version, Checks: map[string]Check{}}
	up := h.Uptime()
	a.Uptime, a.Seconds = up.Round(time.Second).String(), up.Seconds()
	code := http.StatusOK
	for _, c := range h.results() {
		a.Checks[c.name] = c.Check
		if c.Status != CheckOK {
			a.Status = "degraded"
		}
	}
	h.mu.Lock()
	stuck := slices.Clone(h.stuck)
	h.mu.Unlock()
	for _, s := range stuck {
		if s.stuck() {
			a.Checks[s.name] = Check{Status: CheckFailing, Detail: "stuck; a restart helps"}
			a.Status, code = "unhealthy", http.StatusServiceUnavailable
		}
	}
	answer(w, code, a)
}

// ServeReady serves GET /ready: 200 ready, with what is not well as warnings, or 503 not_ready.
func (h *Health) ServeReady(w http.ResponseWriter, r *http.Request) {
	if !onlyGet(w, r) {
		return
	}
	a := healthAnswer{Status: "ready", Version: h.version, Checks: map[string]Check{}}
	code := http.StatusOK
	fail := func() { a.Status, code = "not_ready", http.StatusServiceUnavailable }
	for _, c := range h.results() {
		a.Checks[c.name] = c.Check
		switch {
		case c.Status == CheckFailing && c.required:
			fail()
		case c.Status != CheckOK:
			a.Warnings = append(a.Warnings, c.name+": "+c.Detail)
		}
	}
	a.Checks["draining"] = Check{Status: CheckOK}
	if h.draining.Load() {
		a.Checks["draining"] = Check{Status: CheckFailing, Detail: "the service is shutting down"}
		fail()
	}
	answer(w, code, a)
}

// Ready is 1 while /ready answers 200, and 0 otherwise, for those who read metrics.
func (h *Health) Ready() float64 {
	if h.draining.Load() || slices.ContainsFunc(h.results(), func(c result) bool { return c.required && c.Status == CheckFailing }) {
		return 0
	}
	return 1
}

func answer(w http.ResponseWriter, code int, a healthAnswer) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(a) // the client may be gone
}

type result struct {
	Check
	name     string
	required bool
}

// results runs what is older than the cache, waits for at most the time-out, and returns every check's newest answer
// in the order of registration.
func (h *Health) results() []result {
	now := time.Now()
	h.mu.Lock()
	var wait []chan struct{}
	for _, c := range h.checks {
		if c.running == nil && (c.at.IsZero() || now.Sub(c.at) >= checkCache) {
			c.running = make(chan struct{})
			go h.run(c, c.running)
		}
		if c.running != nil {
			wait = append(wait, c.running)
		}
	}
	h.mu.Unlock()

	late := time.NewTimer(checkTimeout)
	defer late.Stop()
waiting:
	for _, done := range wait {
		select {
		case <-done:
		case <-late.C:
			break waiting
		}
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]result, 0, len(h.checks))
	for _, c := range h.checks {
		res := result{c.last, c.name, c.required}
		if c.running != nil {
			res.Check = Check{Status: CheckFailing, Detail: fmt.Sprintf("no answer within %s", checkTimeout)}
		}
		if res.Status == CheckFailing && !c.required {
			res.Status = CheckWarning
		}
		res.Detail = Printable(h.secrets.Scrub(res.Detail))
		out = append(out, res)
	}
	return out
}

// run runs one check and keeps its answer. The context does not come from a request: the answer is for all that wait.
func (h *Health) run(c *check, done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	got := Check{Status: CheckFailing, Detail: "the check itself broke"}
	defer func() {
		_ = recover() // a broken check is a failing one
		h.mu.Lock()
		c.last, c.at, c.running = got, time.Now(), nil
		h.mu.Unlock()
		close(done)
	}()
	got = c.run(ctx)
}
