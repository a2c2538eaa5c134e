package probe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// series are the metrics that the contract names. Each must be there before any traffic: an alert about what is missing
// never fires.
var series = []string{
	"github_webhooks_total", "github_webhook_queue_length", "github_webhook_processed_total", "github_webhook_errors_total",
	"github_webhook_processing_duration_seconds_bucket", "github_errors_total", "github_dead_letters", "github_build_info",
	"go_goroutines", "process_resident_memory_bytes",
}

// Smoke are the checks of the smoke test: seconds, and safe against production at any time.
func Smoke() []Check {
	return []Check{
		{Name: "health", Want: "GET /health answers 200, healthy or degraded", Look: health},
		{Name: "ready", Want: "GET /ready answers 200, ready, without warnings", Look: ready},
		{Name: "metrics", Want: "GET /metrics has every series that alerts and dashboards read", Look: metrics},
		{Name: "statistics", Want: "GET /webhook/stats answers 200 with counters, fresh from the database", Look: statistics},
		{Name: "cors", Want: "OPTIONS /webhook/events names one origin, the methods and the headers", Look: cors},
		{Name: "event stream", Want: "the first message of /webhook/events is a snapshot", Look: eventStream},
		{Name: "wrong method", Want: "GET /webhook is answered 405", Look: refusedWith(http.MethodGet, "/webhook", http.StatusMethodNotAllowed)},
		{Name: "wrong path", Want: "//webhook is answered 404, and not redirected", Look: refusedWith(http.MethodGet, "//webhook", http.StatusNotFound)},
		{Name: "unsigned webhook", Want: "a webhook without a signature is answered 401", Look: unsigned},
		{Name: "wrong signature", Want: "a webhook that another secret has signed is answered 401", Look: wronglySigned},
		{Name: "signed ping", Want: "a signed ping is answered 202, accepted", Look: signedPing},
		{Name: "same ping again", Want: "the same delivery again is answered 202, duplicate", Look: samePing},
	}
}

// A stateAnswer is what /health and /ready say.
type stateAnswer struct {
	Status   string                `json:"status"`
	Version  string                `json:"version"`
	Uptime   string                `json:"uptime"`
	Checks   map[string]stateCheck `json:"checks"`
	Warnings []string              `json:"warnings"`
}

type stateCheck struct {
	Status string `json:"status"` // ok, warning, failing
	Detail string `json:"detail"`
	Code   string `json:"code"` // which of several warnings it is, where somebody has to tell them apart
}

func health(ctx context.Context, v *Visit) []Finding {
	a, err := v.ask(ctx, http.MethodGet, "/health", nil)
	if err != nil {
		return fail(err.Error(), unreachable(err))
	}
	v.answers = true
	var s stateAnswer
	if json.Unmarshal(a.body, &s) != nil || s.Status == "" {
		v.answers = false // whoever it is, it is nobody to send deliveries to
		return fail(fmt.Sprintf("%s/health is not this service's: %s", v.URL, a.text()), "is the address right? --url names another one")
	}
	said := s.Status
	if s.Version != "" {
		said += ", version " + s.Version
	}
	if s.Uptime != "" {
		said += ", up " + s.Uptime
	}
	if a.status != http.StatusOK {
		return fail(said+trouble(s, "failing"), "restart it: /health says 503 only when that helps")
	}
	return pass(said)
}

// trouble lists the checks that are in a state, in words.
func trouble(s stateAnswer, state string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		if c := s.Checks[name]; c.Status == state {
			words = append(words, name+": "+c.Detail)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "; " + strings.Join(words, "; ")
}

// tolerated are warnings that somebody may have decided to live with, by check and code.
var tolerated = map[string]string{"recovery": "webhooks-not-visible"}

// advice says for each check of /ready what to do when it is not well.
var advice = map[string]string{
	"database":    "mend that; docs/operating.md has a line for each under \"When the database is in trouble\"",
	"migrations":  "run github-pr-manager migrate up, or restart the service, which does it by itself",
	"secret":      "set WEBHOOK_SECRET (or WEBHOOK_SECRET_FILE) where the service runs to the one that GitHub signs with, and restart it",
	"draining":    "wait for the one that takes its place, or find out who has stopped it",
	"redis":       "look at Redis; meanwhile deliveries are taken from the database, and none is lost",
	"github":      "github-pr-manager doctor, where the service runs, says more",
	"queue":       "github-pr-manager queue status says who has paused it, github-pr-manager queue resume ends that",
	"certificate": "renew it: the files are read again within a minute",
	"recovery":    "docs/operating.md says more under \"After it was away\"",
}

func ready(ctx context.Context, v *Visit) []Finding {
	a, err := v.ask(ctx, http.MethodGet, "/ready", nil)
	if err != nil {
		return fail(err.Error(), unreachable(err))
	}
	if json.Unmarshal(a.body, &v.ready) != nil || v.ready.Status == "" {
		return fail("/ready is not this service's: "+a.text(), "is there something else between here and the service?")
	}
	var found []Finding
	for _, name := range slices.Sorted(maps.Keys(v.ready.Checks)) {
		c := v.ready.Checks[name]
		if c.Status == "ok" {
			continue
		}
		f := Finding{About: name, Outcome: Fail, Seen: c.Detail, Do: advice[name]}
		if f.Do == "" {
			f.Do = "the service's log says more"
		}
		if v.ready.Checks["database"].Status == "failing" && (name == "migrations" || name == "queue") {
			f.Do = "it is in the database: mend that first"
		}
		if code, ok := tolerated[name]; ok && c.Status == "warning" && c.Code == code {
			f = Finding{About: name, Outcome: Pass, Seen: "a note: " + c.Detail}
		}
		found = append(found, f)
	}
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Outcome == Fail }) {
		if a.status != http.StatusOK || v.ready.Status != "ready" {
			return append(found, fail("it is not ready, and names no reason: "+a.text(), "the service's log says more")...)
		}
		found = append(pass("ready: "+strings.Join(slices.Sorted(maps.Keys(v.ready.Checks)), ", ")), found...)
	}
	return found
}

func metrics(ctx context.Context, v *Visit) []Finding {
	a, err := v.ask(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return fail(err.Error(), unreachable(err))
	}
	if a.status == http.StatusForbidden && v.public() {
		return skip("it is kept from the public address (403), as it may be; --url with the service's own address looks at it")
	}
	if a.status != http.StatusOK {
		return fail("/metrics answers "+a.text(), "does a proxy keep it back? Prometheus needs it; --url may name the service itself")
	}
	there := values(a.body)
	var missing []string
	for _, name := range series {
		if _, ok := there[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fail("without "+strings.Join(missing, ", "), "alerts about these can't fire: is it this service that answers, and which version?")
	}
	return pass(fmt.Sprintf("%d series, among them all of the contract's", len(there)))
}

// public reports whether the service is asked at an address for everybody: by HTTPS, or by the name of another machine.
func (v *Visit) public() bool {
	u, err := url.Parse(v.URL)
	return err == nil && (u.Scheme == "https" || !own(u.Hostname()))
}

// values returns the sample of each series without labels, or one of those with, by name.
func values(text []byte) map[string]string {
	there := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		if n, _, labels := strings.Cut(name, "{"); labels {
			name = n
			if i := strings.LastIndexByte(line, ' '); i >= 0 {
				rest = strings.TrimSpace(line[i:])
			}
		}
		there[name] = rest
	}
	return there
}

// stats is the part of /webhook/stats that is needed.
type stats struct {
	Received *int64 `json:"received"`
	Total    *struct {
		Received  int64 `json:"received"`
		Processed int64 `json:"processed"`
	} `json:"total"`
	QueueLength   *int64     `json:"queue_length"`
	LastProcessed *time.Time `json:"last_processed"`
	Paused        bool       `json:"paused"`
	Stale         bool       `json:"stale"`
}

func (v *Visit) stats(ctx context.Context) (stats, []Finding) {
	var s stats
	a, err := v.ask(ctx, http.MethodGet, "/webhook/stats", nil)
	if err != nil {
		return s, fail(err.Error(), unreachable(err))
	}
	if json.Unmarshal(a.body, &s) != nil || a.status != http.StatusOK || s.Received == nil || s.Total == nil || s.QueueLength == nil {
		return s, fail("/webhook/stats is not this service's: "+a.text(), "is there something else between here and the service?")
	}
	return s, nil
}

func statistics(ctx context.Context, v *Visit) []Finding {
	s, no := v.stats(ctx)
	if no != nil {
		return no
	}
	if v.before = s; s.Stale {
		return fail("the counters are old: the database does not answer", advice["database"])
	}
	return pass(fmt.Sprintf("%d received and %d processed ever since, %d waiting", s.Total.Received, s.Total.Processed, *s.QueueLength))
}

func cors(ctx context.Context, v *Visit) []Finding {
	a, err := v.ask(ctx, http.MethodOptions, "/webhook/events", nil)
	if err != nil {
		return fail(err.Error(), unreachable(err))
	}
	if a.status/100 != 2 {
		return fail("it answers "+a.text(), "does a proxy answer OPTIONS itself?")
	}
	var missing []string
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods"} {
		if a.header.Get(name) == "" {
			missing = append(missing, name)
		}
	}
	origin := a.header.Get("Access-Control-Allow-Origin")
	switch {
	case len(missing) > 0:
		return fail("without "+strings.Join(missing, ", "), "does a proxy take headers away?")
	case origin == "*":
		return fail("every origin may read the event stream (*)", "does a proxy set Access-Control-Allow-Origin? DASHBOARD_ORIGIN alone should")
	}
	return pass("pages of " + origin + " may read it")
}

// bearer signs in, where there is a token.
func (v *Visit) bearer() []header {
	if v.Token == "" {
		return nil
	}
	return []header{{"Authorization", "Bearer " + v.Token}}
}

const (
	wrongToken = "the DASHBOARD_TOKEN here is not the one of the service"
	setToken   = "set DASHBOARD_TOKEN, or DASHBOARD_TOKEN_FILE, to the one of the service"
)

func eventStream(ctx context.Context, v *Visit) []Finding {
	s, a, err := v.snapshot(ctx)
	if no := v.noEntry(a, err); no != nil {
		return no
	}
	if err != nil {
		return fail(err.Error(), "does a proxy keep the stream back? It must not buffer text/event-stream")
	}
	v.stream = true
	return pass(fmt.Sprintf("a snapshot; open pull requests in it: %d", len(s.Pulls)))
}

// noEntry says why the stream could not be read, where the answer tells.
func (v *Visit) noEntry(a answer, err error) []Finding {
	switch {
	case a.status == 0 && err != nil:
		return fail(err.Error(), unreachable(err))
	case a.status == http.StatusUnauthorized && v.Token == "":
		return skip("it asks for a sign-in, and there is no DASHBOARD_TOKEN here")
	case a.status == http.StatusForbidden && v.Token == "":
		return skip("it answers on the service's own machine only, since the service has no DASHBOARD_TOKEN")
	case a.status == http.StatusUnauthorized:
		return fail(wrongToken+": "+a.text(), setToken)
	case a.status != http.StatusOK:
		return fail("it answers "+a.text(), "/ready says why, or the service's log")
	}
	return nil
}

// A snapshot is the part of the stream's first message that is needed.
type snapshot struct {
	Type       string            `json:"type"`
	Pulls      []json.RawMessage `json:"pulls"`
	Deliveries []struct {
		ID     string `json:"delivery_id"`
		Status string `json:"status"`
		Error  string `json:"error"`
	} `json:"deliveries"`
}

// snapshot reads the first message of the event stream. An answer other than 200 comes without an error.
func (v *Visit) snapshot(ctx context.Context) (s snapshot, a answer, err error) {
	ctx, done := context.WithTimeout(ctx, v.Timeout)
	defer done()
	res, err := v.open(ctx, http.MethodGet, "/webhook/events", nil, &a, append(v.bearer(), header{"Accept", "text/event-stream"})...)
	if err != nil {
		return s, a, err
	}
	defer res.Body.Close()
	if a.status != http.StatusOK {
		a.body, _ = io.ReadAll(io.LimitReader(res.Body, answerLimit)) // what it has said so far will do
		return s, a, nil
	}
	if t := res.Header.Get("Content-Type"); !strings.HasPrefix(t, "text/event-stream") {
		return s, a, fmt.Errorf("it is no event stream, but %q", t)
	}
	data, err := firstMessage(io.LimitReader(res.Body, answerLimit))
	if err != nil {
		return s, a, fmt.Errorf("no message came within %s", v.Timeout)
	}
	if json.Unmarshal(data, &s) != nil || s.Type != "snapshot" {
		return s, a, errors.New("the first message is no snapshot")
	}
	return s, a, nil
}

// firstMessage returns the data of a stream's first message, as a browser's onmessage gets it.
func firstMessage(r io.Reader) ([]byte, error) {
	b := bufio.NewReader(r)
	var data []byte
	for {
		line, err := b.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if d, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, bytes.TrimPrefix(d, []byte(" "))...)
		}
		if len(line) == 0 && len(data) > 0 {
			return data, nil
		}
	}
}

// refusedWith looks at a request that the contract refuses in one way only.
func refusedWith(method, path string, want int) func(context.Context, *Visit) []Finding {
	return func(ctx context.Context, v *Visit) []Finding {
		a, err := v.ask(ctx, method, path, nil)
		switch {
		case err != nil:
			return fail(err.Error(), unreachable(err))
		case a.status == want:
			return pass(a.text())
		case a.status/100 == 3:
			return fail(fmt.Sprintf("%s %s is redirected (%d)", method, path, a.status), "GitHub follows no redirect: does a proxy make one?")
		case path != "/webhook" && a.status == http.StatusMethodNotAllowed:
			return pass(a.text() + " (something in front makes it /webhook)")
		}
		return fail(fmt.Sprintf("%s %s is answered %s", method, path, a.text()), "does a proxy answer in the service's place?")
	}
}

// pingBody is what GitHub sends when a webhook has been set up, as far as anybody needs it.
var pingBody = []byte(`{"zen":"Keep it logically awesome.","hook_id":0}`)

// post sends a ping; an empty signature sends none.
func (v *Visit) post(ctx context.Context, id, signature string) (answer, error) {
	headers := []header{{"Content-Type", "application/json"}, {"X-GitHub-Event", "ping"}, {"X-GitHub-Delivery", id}}
	if signature != "" {
		headers = append(headers, header{"X-Hub-Signature-256", signature})
	}
	return v.ask(ctx, http.MethodPost, "/webhook", pingBody, headers...)
}

// A refusal is what the answer to an unsigned webhook told.
type refusal struct {
	seen   bool
	policy string // of the rate limit: empty means none
}

func unsigned(ctx context.Context, v *Visit) []Finding {
	a, err := v.post(ctx, newID(), "")
	if err == nil && (a.status == http.StatusUnauthorized || a.status == http.StatusTooManyRequests) {
		v.refused = refusal{true, a.header.Get("RateLimit-Policy")}
	}
	return refusedUnsigned(a, err)
}

func wronglySigned(ctx context.Context, v *Visit) []Finding {
	a, err := v.post(ctx, newID(), sign("not the secret of any service: "+newID(), pingBody))
	return refusedUnsigned(a, err)
}

// refusedUnsigned judges the answer to a webhook that nobody has to believe.
func refusedUnsigned(a answer, err error) []Finding {
	switch {
	case err != nil:
		return fail(err.Error(), unreachable(err))
	case a.status == http.StatusUnauthorized:
		return pass(a.text())
	case a.status == http.StatusTooManyRequests:
		return pass(a.text() + " (this address has sent too many of them)")
	case a.status/100 == 2:
		return fail("it was accepted: signatures are not validated", "set WEBHOOK_SIGNATURE_VALIDATION=true where the service runs, and restart it")
	}
	return fail("it is answered "+a.text(), answered(a.status))
}

// answered says what to do about an answer to a webhook other than the expected one.
func answered(status int) string {
	switch {
	case status == http.StatusServiceUnavailable:
		return "the service can't keep deliveries: what it says, and /ready, is the reason"
	case status == http.StatusNotFound, status == http.StatusForbidden, status/100 == 5:
		return "does a proxy in front of the service keep /webhook back?"
	case status/100 == 3:
		return "GitHub follows no redirect: use the address that it leads to"
	}
	return "the service's log says more"
}

// unready is why the service takes nothing, when that is its answer: what it has just met, /ready tells now and may not have
// known before.
func (v *Visit) unready(ctx context.Context, a answer) string {
	if a.status != http.StatusServiceUnavailable {
		return ""
	}
	r, err := v.ask(ctx, http.MethodGet, "/ready", nil)
	var now stateAnswer
	if err != nil || json.Unmarshal(r.body, &now) != nil {
		return ""
	}
	return trouble(now, "failing")
}

const noSecret = "there is no secret here to sign with"

func signedPing(ctx context.Context, v *Visit) []Finding {
	if v.Secret == "" {
		return fail(noSecret, "set WEBHOOK_SECRET or WEBHOOK_SECRET_FILE, or name a file with --secret-file (the demo says where its own is)")
	}
	if v.before.Total == nil { // what comes is measured against what was
		v.before, _ = v.stats(ctx)
	}
	id := newID()
	a, err := v.post(ctx, id, sign(v.Secret, pingBody))
	switch {
	case err != nil:
		return fail(err.Error(), unreachable(err))
	case a.status == http.StatusUnauthorized:
		return fail("the secret here is not the one of the service: "+a.text(),
			"find out which of the two GitHub signs with, and set the other: WEBHOOK_SECRET here, or where the service runs")
	case a.status != http.StatusAccepted:
		return fail("it is answered "+a.text()+v.unready(ctx, a), answered(a.status))
	}
	if status := receipt(a, id); status != "accepted" {
		return fail("a delivery that is new is answered "+a.text(), "is it this service that answers?")
	}
	v.Ping.ID, v.Ping.Sent = id, a.sent
	return pass(fmt.Sprintf("accepted in %d ms, as %s", a.came.Sub(a.sent).Milliseconds(), id))
}

func samePing(ctx context.Context, v *Visit) []Finding {
	if v.Ping.ID == "" {
		return skip("no ping was accepted")
	}
	a, err := v.post(ctx, v.Ping.ID, sign(v.Secret, pingBody))
	switch {
	case err != nil:
		return fail(err.Error(), unreachable(err))
	case a.status != http.StatusAccepted:
		return fail("it is answered "+a.text(), answered(a.status))
	}
	if status := receipt(a, v.Ping.ID); status != "duplicate" {
		return fail("a delivery that was accepted is answered "+a.text()+" again",
			"do two services with databases of their own stand behind this address?")
	}
	return pass("duplicate: it is kept once")
}

// receipt is the status in the answer to a webhook, when that is about a delivery.
func receipt(a answer, id string) string {
	var r struct {
		Status   string `json:"status"`
		Delivery string `json:"delivery_id"`
	}
	if json.Unmarshal(a.body, &r) != nil || r.Delivery != id {
		return ""
	}
	return r.Status
}
