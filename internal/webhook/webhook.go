// Package webhook is the entrance: POST /webhook, from the first byte of a request to its answer.
//
// It decides whether a request is a delivery of GitHub's (signed, small enough, one JSON object with GitHub's headers),
// reads from it the few fields that routing needs, and hands it to an inbox. It answers 202 only after the inbox has
// returned, so that what is acknowledged is kept. It bounds what strangers can cost: memory by a budget for bodies,
// time by the server's time-outs, noise by a limit per address and one log line a second.
//
// It refuses to know what a delivery is for. It does not store, route or process, it calls nobody, and nothing of a
// payload is parsed before its signature is right. The headers are not signed at GitHub, so that an event's name and a
// delivery's id are only as good as whoever sent them: nothing behind the entrance may trust them with more than
// "look again".
//
// Start at [New]; [Read] is what is read of a payload, [Sign] what GitHub signs it with.
package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/visitor"
)

// An Inbox keeps deliveries. Accept returns once the delivery is durably kept, or with an error if it is not known to
// be; it does not use the delivery's Body after it has returned. Concurrent calls are the normal case.
type Inbox interface {
	Accept(context.Context, pull.Delivery) (pull.Receipt, error)
}

// Options say whom to believe.
type Options struct {
	// Secrets returns the active secrets, each of which may have signed. It is called for every request, so that a
	// rotation takes effect at once. The result is only read.
	Secrets func() [][]byte
	// Validate is whether signatures are checked. With true and no secret every webhook is answered 503: better loud
	// than open.
	Validate  bool
	RateLimit visitor.RateLimit // of failed signatures; a correctly signed webhook is never counted and never refused by it
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
}

// Timeouts sets what bounds a slow or large request before it reaches a handler, and an answer that nobody reads. GitHub
// gives up after 10 seconds; a request must have arrived within 8. The deadlines stay on the connection: a handler that
// streams for longer moves them with http.NewResponseController(w).
func Timeouts(s *http.Server) {
	s.ReadHeaderTimeout = 5 * time.Second
	s.ReadTimeout = 8 * time.Second
	s.WriteTimeout = 30 * time.Second
	s.IdleTimeout = 2 * time.Minute
	s.MaxHeaderBytes = 64 << 10
}

// New returns the handler of /webhook. It answers any method; where it is mounted is the caller's business.
func New(o Options, in Inbox, m *telemetry.Metrics, log *slog.Logger) http.Handler {
	return &handler{
		Options: o, inbox: in, metrics: m, log: log,
		limit: visitor.NewLimiter(o.RateLimit),
	}
}

type handler struct {
	Options
	inbox   Inbox
	metrics *telemetry.Metrics
	log     *slog.Logger
	budget  budget
	limit   *visitor.Limiter
	quiet   telemetry.Throttle
}

// A refusal is an answer other than 202: what the sender is told, and how it is counted.
type refusal struct {
	status  int
	outcome string
	text    string
	retry   time.Duration // Retry-After; 0: none
	policy  string        // RateLimit-Policy; "": none
	hangUp  bool          // the rest of the request is not worth reading
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			h.log.Error("webhook handler panicked", telemetry.KeyErr, fmt.Sprint(v), "stack", string(debug.Stack()))
			answer(w, &refusal{status: http.StatusInternalServerError, text: "internal error", hangUp: true})
		}
	}()
	id, receipt, no := h.receive(r)
	if no != nil {
		h.metrics.Webhook(r.Header.Get("X-GitHub-Event"), no.outcome)
		answer(w, no)
		return
	}
	status := "accepted"
	if receipt.Duplicate {
		status = "duplicate"
	}
	writeJSON(w, http.StatusAccepted, `{"status":"`+status+`","delivery_id":"`+id+`"}`) // id is of a harmless alphabet
}

// receive is the order of refusals, from the cheapest to the dearest.
func (h *handler) receive(r *http.Request) (id string, _ pull.Receipt, _ *refusal) {
	none := pull.Receipt{}
	if r.Method != http.MethodPost {
		return "", none, &refusal{status: http.StatusMethodNotAllowed, outcome: telemetry.OutcomeUnsupported, text: "use POST"}
	}
	form, ok := mediaType(r.Header)
	if !ok {
		return "", none, &refusal{
			status: http.StatusUnsupportedMediaType, outcome: telemetry.OutcomeUnsupported, hangUp: true,
			text: "send application/json or application/x-www-form-urlencoded, without a Content-Encoding",
		}
	}
	if r.ContentLength > maxBody {
		return "", none, h.unreadable(errTooLarge)
	}
	var secrets [][]byte
	if h.Validate {
		if secrets = h.Secrets(); len(secrets) == 0 {
			return "", none, &refusal{
				status: http.StatusServiceUnavailable, outcome: telemetry.OutcomeUnavailable, retry: time.Minute, hangUp: true,
				text: "no WEBHOOK_SECRET is configured, so no webhook can be verified",
			}
		}
	}
	sum, signed := signature(r.Header)
	if h.Validate && !signed {
		// Whether it is 413 or 401 depends on the length, and nothing else of the body matters.
		if err := measure(r.Body, r.ContentLength); err != nil {
			return "", none, h.unreadable(err)
		}
		return "", none, h.unsigned(r)
	}
	began := time.Now()
	body, err := h.budget.readBody(r.Body, r.ContentLength)
	if err != nil {
		return "", none, h.unreadable(err)
	}
	defer body.free()
	slot := -1
	if h.Validate {
		if slot = signer(secrets, sum, body.b); slot < 0 {
			return "", none, h.unsigned(r)
		}
	}

	event, ok1 := header(r.Header, "X-Github-Event")
	id, ok2 := header(r.Header, "X-Github-Delivery")
	if !ok1 || !ok2 {
		return "", none, malformed("the headers X-GitHub-Event and X-GitHub-Delivery are required, once each, of letters, digits, '-', '_', '.' and ':'")
	}
	text := body.b
	if form {
		decoded, err := h.budget.newBuffer(len(body.b))
		if err != nil {
			return "", none, h.unreadable(err)
		}
		defer decoded.free()
		if text, err = formPayload(decoded.b, body.b); err != nil {
			return "", none, malformed(err.Error())
		}
	}
	hint, err := Read(event, text)
	if err != nil {
		h.log.Warn("signed webhook refused", telemetry.KeyDelivery, id, telemetry.KeyEvent, event, telemetry.KeyErr, err)
		return "", none, malformed(err.Error())
	}
	receipt, err := h.inbox.Accept(r.Context(), pull.Delivery{
		ID: id, Hint: hint, Headers: keptHeaders(r.Header), Body: body.b, SecretSlot: slot,
	})
	if err != nil {
		return "", none, &refusal{
			status: http.StatusServiceUnavailable, outcome: telemetry.OutcomeUnavailable, retry: 5 * time.Second,
			text: "the delivery can't be kept at the moment; send it again",
		}
	}
	outcome := telemetry.OutcomeAccepted
	switch {
	case receipt.Differs:
		outcome = telemetry.OutcomeDiffers
		h.log.Warn("a delivery id came again with another body; the first is kept", telemetry.KeyDelivery, id, telemetry.KeyEvent, event)
	case receipt.Duplicate:
		outcome = telemetry.OutcomeDuplicate
	}
	h.metrics.Webhook(event, outcome)
	h.metrics.Signed(slot)
	h.metrics.Acknowledged(time.Since(began))
	return id, receipt, nil
}

// unreadable answers for a body that could not be read.
func (h *handler) unreadable(err error) *refusal {
	switch {
	case errors.Is(err, errTooLarge):
		return &refusal{status: http.StatusRequestEntityTooLarge, outcome: telemetry.OutcomeTooLarge, text: err.Error(), hangUp: true}
	case errors.Is(err, errNoRoom):
		return &refusal{
			status: http.StatusServiceUnavailable, outcome: telemetry.OutcomeUnavailable, text: err.Error(),
			retry: 2 * time.Second, hangUp: true,
		}
	}
	return &refusal{ // the sender was too slow, or has gone
		status: http.StatusRequestTimeout, outcome: telemetry.OutcomeMalformed, text: "the body did not arrive", hangUp: true,
	}
}

// unsigned answers for a missing or wrong signature: 401, or 429 for an address that has had too many of them.
func (h *handler) unsigned(r *http.Request) *refusal {
	now := time.Now()
	addr := visitor.Addr(r, h.TrustedProxies)
	h.metrics.Error(telemetry.ErrSignature)
	if n, ok := h.quiet.Pass(now); ok {
		h.log.Warn("webhook refused: the signature is missing or wrong; is WEBHOOK_SECRET the one set at GitHub?",
			"client", addr.String(), telemetry.KeyCount, n)
	}
	policy := h.RateLimit.Policy("failed-signatures")
	if wait := h.limit.Failed(addr, now); wait > 0 {
		return &refusal{
			status: http.StatusTooManyRequests, outcome: telemetry.OutcomeLimited, retry: wait, policy: policy,
			text: "too many requests with a missing or wrong signature",
		}
	}
	return &refusal{
		status: http.StatusUnauthorized, outcome: telemetry.OutcomeSignature, policy: policy,
		text: "the signature in " + signatureName + " is missing or wrong",
	}
}

func malformed(text string) *refusal {
	return &refusal{status: http.StatusBadRequest, outcome: telemetry.OutcomeMalformed, text: text}
}

func answer(w http.ResponseWriter, no *refusal) {
	if no.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((no.retry+time.Second-1)/time.Second)))
	}
	if no.policy != "" {
		w.Header().Set("RateLimit-Policy", no.policy)
	}
	if no.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	if no.hangUp {
		w.Header().Set("Connection", "close")
	}
	text, err := json.Marshal(struct {
		Error string `json:"error"`
	}{no.text})
	if err != nil {
		text = []byte(`{"error":"internal error"}`) // unreachable: a string always marshals
	}
	writeJSON(w, no.status, string(text))
}

func writeJSON(w http.ResponseWriter, status int, text string) {
	w.Header()["Content-Type"] = jsonType
	w.Header()["X-Content-Type-Options"] = noSniff
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // who does not read the answer has no use for an error either
}

var (
	jsonType = []string{"application/json"}
	noSniff  = []string{"nosniff"}
)

// mediaType reports whether the body is one that GitHub sends, and whether it is a form. A compressed body is refused,
// never inflated: GitHub sends none, and a few kilobytes could become gigabytes.
func mediaType(h http.Header) (form, ok bool) {
	for _, v := range h["Content-Encoding"] {
		if !strings.EqualFold(strings.TrimSpace(v), "identity") {
			return false, false
		}
	}
	v := h["Content-Type"]
	if len(v) != 1 {
		return false, false
	}
	if v[0] == "application/json" {
		return false, true
	}
	t, _, err := mime.ParseMediaType(v[0])
	if err != nil {
		return false, false
	}
	switch t {
	case "application/json":
		return false, true
	case "application/x-www-form-urlencoded":
		return true, true
	}
	return false, false
}

// header returns a header that is there once, 1 to 128 bytes long and of harmless characters: GitHub sends a GUID and
// a word, others that speak its protocol may be a little more imaginative.
func header(h http.Header, name string) (string, bool) {
	v := h[name]
	if len(v) != 1 || len(v[0]) == 0 || len(v[0]) > 128 {
		return "", false
	}
	for i := range len(v[0]) {
		c := v[0][i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' && c != ':' {
			return "", false
		}
	}
	return v[0], true
}

// keptNames are the headers that are worth keeping. None of them can hold a secret; the signature is not among them.
var keptNames = []string{
	"X-Github-Event", "X-Github-Delivery", "X-Github-Hook-Id", "X-Github-Hook-Installation-Target-Type",
	"X-Github-Hook-Installation-Target-Id", "X-Github-Enterprise-Version", "X-Github-Enterprise-Host", "User-Agent", "Content-Type",
}

func keptHeaders(h http.Header) map[string]string {
	kept := make(map[string]string, len(keptNames))
	for _, name := range keptNames {
		if v := h[name]; len(v) > 0 && v[0] != "" {
			kept[name] = strings.ToValidUTF8(v[0][:min(len(v[0]), maxName)], "")
		}
	}
	return kept
}
