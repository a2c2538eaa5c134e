package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

const testToken = "ghp_canarycanarycanary"

// A hub is the other end of the wire: it keeps what it was sent and answers what a test says.
type hub struct {
	// serve answers the n-th request, counted from 1.
	serve func(n int, r sent) (*http.Response, error)

	mu   sync.Mutex
	sent []sent
}

// A sent is a request as the hub saw it.
type sent struct {
	*http.Request
	body string
	at   time.Time
}

func (h *hub) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	s := sent{Request: r, body: string(body), at: time.Now()}
	h.mu.Lock()
	h.sent = append(h.sent, s)
	n := len(h.sent)
	h.mu.Unlock()
	return h.serve(n, s)
}

func (h *hub) requests() []sent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]sent(nil), h.sent...)
}

// reply makes an answer. head is name, value, name, value …
func reply(status int, body string, head ...string) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(head); i += 2 {
		h.Set(head[i], head[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
}

// always answers every request alike.
func always(status int, body string, head ...string) *hub {
	return &hub{serve: func(int, sent) (*http.Response, error) { return reply(status, body, head...) }}
}

// fails never answers.
func fails(err error) *hub {
	return &hub{serve: func(int, sent) (*http.Response, error) { return nil, err }}
}

// brokenBody ends in the middle.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
func (brokenBody) Close() error { return nil }

// world is a client at a hub with what it told the rest of the service.
type world struct {
	*Client
	hub     *hub
	metrics *telemetry.Metrics
	parked  []parking
}

type parking struct {
	scope  pull.Scope
	until  time.Time
	reason string
}

func newWorld(t testing.TB, h *hub, change ...func(*Options)) *world {
	t.Helper()
	w := &world{hub: h, metrics: telemetry.NewMetrics("test", "test")}
	o := Options{
		Token: func() string { return testToken }, HTTP: h, Metrics: w.metrics,
		Parked: func(s pull.Scope, until time.Time, reason string) {
			w.parked = append(w.parked, parking{s, until, reason})
		},
	}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Client = c
	return w
}

var octoApp = pull.Repo{ID: 42, Owner: "octo", Name: "app"}

// look takes a snapshot of octo/app#7 with the token.
func (w *world) look() (pull.Snapshot, error) {
	return w.Snapshot(context.Background(), pull.ScopeToken, octoApp, 7)
}

// do applies an action to octo/app#7 with the token.
func (w *world) do(a pull.Action) (int64, error) {
	return w.Apply(context.Background(), pull.ScopeToken, seven, a)
}

var (
	seven = pull.Snapshot{
		Repo: octoApp, Number: 7, DefaultBranch: "main", Head: pull.Branch{Repo: octoApp, Name: "topic/a b", SHA: "aaaa"},
	}
	addBug    = pull.Action{Kind: pull.AddLabel, Target: "bug"}
	removeBug = pull.Action{Kind: pull.RemoveLabel, Target: "needs/café"}
	mergeIt   = pull.Action{Kind: pull.Merge, Target: "aaaa", SHA: "aaaa", Method: pull.Squash}
	deleteIt  = pull.Action{Kind: pull.DeleteBranch, Target: "topic/a b", SHA: "aaaa"}
)

// recorded is an answer to the query of a pass, changed by pairs of old and new text.
func recorded(t testing.TB, change ...string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/pull_request.json")
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	for i := 0; i < len(change); i += 2 {
		if !strings.Contains(s, change[i]) {
			t.Fatalf("testdata/pull_request.json does not hold %q", change[i])
		}
		s = strings.ReplaceAll(s, change[i], change[i+1])
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(s)); err != nil {
		t.Fatalf("changed to what is not JSON: %v", err)
	}
	return compact.String()
}

// wantFault returns err as a fault of the class, or ends the test. No fault ever holds a secret.
func wantFault(t testing.TB, what string, err error, class pull.FaultClass) *pull.Fault {
	t.Helper()
	f, ok := pull.FaultOf(err)
	if !ok {
		t.Fatalf("%s = %v, want a fault of class %q", what, err, class)
	}
	if f.Class != class {
		t.Errorf("%s = class %q (%v), want %q", what, f.Class, err, class)
	}
	for e := error(f); e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), testToken) {
			t.Errorf("%s: the error holds the token: %v", what, e)
		}
	}
	return f
}

// metric reads one sample of a counter or gauge; labels are name, value, name, value …
func (w *world) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := w.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	sample:
		for _, m := range f.GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
					return l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}) {
					continue sample
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}
