package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/visitor"
)

// The values of ACCESS_LOG.
const (
	AccessOff  = "off"
	AccessSome = "some" // what was refused and what was not, each up to accessMost lines a second
	AccessAll  = "all"
)

// accessMost bounds the lines of a second: thousands of deliveries, or a flood of wrong signatures, must not fill a disk,
// nor cost more than what they are about. What was refused is counted apart, so that neither hides the other.
const accessMost = 50

// AccessLog writes a line for each request that next has answered: what was asked, by whom, and what came of it. No line
// holds a query, a body or a header but the delivery's id; the route is the one that was registered, never a path as it came.
func AccessLog(which string, trusted []netip.Prefix, log *slog.Logger, next http.Handler) http.Handler {
	if which == AccessOff {
		return next
	}
	a := &access{all: which == AccessAll, trusted: trusted, log: log, next: next}
	a.answers.New = func() any { return new(answered) }
	return a
}

type access struct {
	all     bool
	trusted []netip.Prefix
	log     *slog.Logger
	next    http.Handler
	answers sync.Pool

	mu      sync.Mutex
	second  int64
	written [2]int // in this second: answered, refused
	left    [2]int // not written since the last line that says so
}

func (a *access) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	res := a.answers.Get().(*answered)
	*res = answered{ResponseWriter: w}
	defer func() {
		a.note(r, res, began) // also when the handler gave up in the middle, with a panic that net/http catches
		res.ResponseWriter = nil
		a.answers.Put(res)
	}()
	a.next.ServeHTTP(res, r)
}

func (a *access) note(r *http.Request, res *answered, began time.Time) {
	route := r.Pattern
	if _, path, ok := strings.Cut(route, " "); ok {
		route = path
	}
	if !a.all && res.status/100 == 2 && (route == "/health" || route == "/ready" || route == "/metrics") {
		return // those who look after us look every second
	}
	kind := 0
	if res.status >= 400 || res.status == 0 {
		kind = 1
	}
	now := time.Now()
	write, left := a.room(kind, now)
	if left[0]+left[1] > 0 {
		a.log.Info("requests not logged", "answered", left[0], "refused", left[1])
	}
	if !write {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("method", method(r.Method)), slog.String("route", route), slog.Int(telemetry.KeyStatus, res.status),
		slog.Int64("bytes", res.bytes), slog.Duration(telemetry.KeyTook, now.Sub(began)), slog.String("client", visitor.Addr(r, a.trusted).String()))
	if id := r.Header.Get("X-Github-Delivery"); route == "/webhook" && id != "" && len(id) <= 128 {
		attrs = append(attrs, slog.String(telemetry.KeyDelivery, id))
	}
	a.log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}

// room reports whether a line may be written now, and once a second how many were not since this was last said.
func (a *access) room(kind int, now time.Time) (write bool, left [2]int) {
	if a.all {
		return true, left
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := now.Unix(); s != a.second {
		a.second, a.written = s, [2]int{}
		left, a.left = a.left, left
	}
	if a.written[kind] >= accessMost {
		a.left[kind]++
		return false, left
	}
	a.written[kind]++
	return true, left
}

// method is what a request's method is called in a line: strangers can send any word.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return m
	}
	return "other"
}

// An answered response remembers what was answered; status is 0 when nothing was.
type answered struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *answered) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answered) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection: the event stream flushes and sets deadlines.
func (w *answered) Unwrap() http.ResponseWriter { return w.ResponseWriter }
