package github

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

const (
	// requestTimeout is longer than the ten seconds after which GitHub itself gives up.
	requestTimeout = 15 * time.Second
	maxBody        = 32 << 20
	// copiesLag is after how long what GitHub has told of is in all of its copies.
	copiesLag    = 5 * time.Second
	maxRedirects = 3
	maxMessage   = 400 // characters of GitHub's words that are kept in a fault
)

// errTooLong: an answer is not read whole.
var errTooLong = fmt.Errorf("the answer is longer than %d MB", maxBody>>20)

// A call is one request to GitHub, before it is signed.
type call struct {
	op     string // its name in the metrics: one of a fixed set
	on     string // what it is and on what, for people: the Op of its faults
	method string
	url    string
	body   []byte
	budget resource // restBudget when empty
	media  string   // of the answer; GitHub's JSON when empty
	write  bool     // changes something: doubt about its outcome is unclear, not unavailable
	// content: it creates something, and counts towards GitHub's hourly limit for that.
	content bool
	free    bool // it costs nothing of an hourly limit
	// accept reads the body of a success; nil when there is nothing to read. Its fault is the outcome of the call.
	accept func(answer) *pull.Fault
}

func (q call) doubt() pull.FaultClass {
	if q.write {
		return pull.FaultUnclear
	}
	return pull.FaultUnavailable
}

// An answer is what came back.
type answer struct {
	call   call
	status int
	header http.Header
	body   []byte
	broken error // why the body is not all there
}

// reading returns an accept that decodes a body of JSON.
func reading(into any) func(answer) *pull.Fault {
	return func(a answer) *pull.Fault { return a.decode(into) }
}

// anAnswer accepts any answer of GitHub's own: one without a body, or one of JSON.
func anAnswer(a answer) *pull.Fault {
	if len(bytes.TrimSpace(a.body)) == 0 {
		return nil
	}
	var body json.RawMessage
	return a.decode(&body)
}

// decode reads a body that has to be JSON. A proxy's page, or half an answer, says nothing about what was done.
func (a answer) decode(into any) *pull.Fault {
	err := json.Unmarshal(a.body, into)
	if err == nil {
		return nil
	}
	what := "its answer is not the JSON that was expected"
	if t := strings.TrimSpace(string(a.body[:min(len(a.body), 64)])); strings.HasPrefix(t, "<") {
		what = "a web page came back instead of an answer: is there a proxy in between?"
	}
	return &pull.Fault{Class: a.call.doubt(), Op: a.call.on, Status: a.status, Message: what, Err: err}
}

// path returns the address of a REST resource. Each part is escaped.
func (c *Client) path(parts ...string) string {
	var b strings.Builder
	b.WriteString(c.rest.String())
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

// do sends a request of a scope and reports what is wrong with the answer. An installation's token that GitHub no
// longer takes is replaced once: a 401 has certainly done nothing.
func (c *Client) do(ctx context.Context, scope pull.Scope, q call) *pull.Fault {
	// While a scope waits, not even a token is fetched for it.
	if f := c.limiter(scope).check(q.need(ctx), q.on); f != nil {
		return c.refused(scope, f)
	}
	secret, f := c.credentials(ctx, scope, q.on, "")
	if f != nil {
		return f
	}
	f = c.follow(ctx, scope, q, secret)
	if f == nil || f.Class != pull.FaultAuth || scope.Installation() == 0 {
		return f
	}
	if secret, f = c.credentials(ctx, scope, q.on, secret); f != nil {
		return f
	}
	return c.follow(ctx, scope, q, secret)
}

// refused passes on why a limiter refuses a request. While one request is trying whether GitHub answers again, which takes
// as long as GitHub likes, all that is due in the scope waits for it, and not each key by itself, every two seconds anew.
func (c *Client) refused(scope pull.Scope, f *pull.Fault) *pull.Fault {
	if f.Message == trying && scope != scopeJWT && c.limiter(scope).hush(f.Until, time.Now()) {
		c.parked(scope, f.Until, reasonUnanswered)
	}
	return f
}

func (q call) need(ctx context.Context) need {
	n := need{resource: q.budget, write: q.write, content: q.content, free: q.free, lane: laneOf(ctx)}
	if n.resource == "" {
		n.resource = restBudget
	}
	return n
}

// follow sends a request and goes where GitHub says that a renamed repository is now, within the one host that is
// trusted with the secret. GitHub wants a redirected request repeated as it was, whatever its method.
func (c *Client) follow(ctx context.Context, scope pull.Scope, q call, secret string) *pull.Fault {
	for hop := 0; ; hop++ {
		a, f := c.once(ctx, scope, q, secret)
		if f != nil {
			return f
		}
		switch a.status {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return c.judge(scope, a, secret)
		}
		to, err := url.Parse(q.url)
		if err == nil {
			to, err = to.Parse(a.header.Get("Location"))
		}
		var refusal string
		switch {
		case err != nil || a.header.Get("Location") == "":
			refusal = "it redirects to nowhere"
		case to.Scheme != c.rest.Scheme || to.Host != c.rest.Host || to.User != nil:
			refusal = "it redirects to another host, which is not followed: is GITHUB_API_URL right?"
		case hop == maxRedirects:
			refusal = "it redirects in circles"
		}
		if refusal != "" {
			// A redirect means that nothing was done here.
			f := &pull.Fault{Class: pull.FaultRefused, Op: q.on, Status: a.status, Message: refusal}
			c.count(scope, q, f)
			return f
		}
		c.count(scope, q, nil)
		q.url = to.String()
	}
}

// once sends a request once and returns whatever came back. Its faults are those of the way there and back.
func (c *Client) once(ctx context.Context, scope pull.Scope, q call, secret string) (answer, *pull.Fault) {
	c.heed(ctx, scope)
	release, f := c.limiter(scope).acquire(ctx, q.need(ctx), q.on)
	if f != nil {
		return answer{}, c.refused(scope, f) // no request was made, and none is counted
	}
	defer release()
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var way trace
	req, err := http.NewRequestWithContext(way.follow(ctx), q.method, q.url, bytes.NewReader(q.body))
	if err != nil {
		return answer{}, &pull.Fault{Class: pull.FaultUnavailable, Op: q.on, Message: "the address can't be used", Err: err}
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Accept", cmp.Or(q.media, "application/vnd.github+json"))
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	req.Header.Set("User-Agent", "github-pr-manager")
	if len(q.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		f := &pull.Fault{Class: q.doubt(), Op: q.on, Message: transportWords(err, secret), Err: plainCause(err)}
		if way.neverSent(err) {
			f.Class = pull.FaultUnavailable
		}
		if caller.Err() == nil { // our own stopping is nobody's error
			c.count(scope, q, f)
		}
		return answer{}, f
	}
	defer res.Body.Close()
	a := answer{call: q, status: res.StatusCode, header: res.Header}
	a.body, a.broken = io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if len(a.body) > maxBody {
		a.body, a.broken = nil, errTooLong
	}
	c.observe(scope, a)
	if scope == pull.ScopeToken && a.status != http.StatusUnauthorized {
		c.standing.scopes(secret, a.header)
	}
	return a, nil
}

// observe learns from the headers of any answer.
func (c *Client) observe(scope pull.Scope, a answer) {
	now := time.Now()
	if d, err := http.ParseTime(a.header.Get("Date")); err == nil {
		c.skew.Store(int64(d.Sub(now)))
	}
	r, ok := rateOf(a.header, now)
	if !ok {
		return
	}
	res := a.call.budget
	switch a.header.Get("X-Ratelimit-Resource") {
	case "core", "integration_manifest":
		res = restBudget
	case "graphql":
		res = graphqlBudget
	case "":
		if res == "" {
			res = restBudget
		}
	default:
		return // a budget that we don't use
	}
	c.limiter(scope).observe(res, r, now)
}

// left is the share of a budget that is left, of the scope that has least.
func (c *Client) left(res resource) float64 {
	c.mu.Lock()
	all := slices.Collect(maps.Values(c.limiters))
	c.mu.Unlock()
	least, now := 1.0, time.Now()
	for _, l := range all {
		l.mu.Lock()
		least = min(least, l.ratio(res, now))
		l.mu.Unlock()
	}
	return least
}

// judge puts an answer into its class. It is the one place that does, but for what a 4xx means to a particular write.
func (c *Client) judge(scope pull.Scope, a answer, secret string) *pull.Fault {
	f := c.classify(scope, a)
	if f != nil && secret != "" {
		f.Message = strings.ReplaceAll(f.Message, secret, "…")
	}
	c.count(scope, a.call, f)
	return f
}

func (c *Client) classify(scope pull.Scope, a answer) *pull.Fault {
	f := &pull.Fault{Op: a.call.on, Status: a.status}
	if a.status >= 200 && a.status < 300 {
		if a.broken != nil {
			f.Class, f.Message, f.Err = a.call.doubt(), "its answer broke off", plainCause(a.broken)
			return f
		}
		if a.call.accept != nil {
			if f := a.call.accept(a); f != nil {
				return f
			}
		}
		c.limiter(scope).calm()
		return nil
	}
	text := readError(a.body)
	f.Message = text.message
	switch {
	case limited(a.status, a.header, text):
		return c.park(scope, f, a.header)
	case a.status == http.StatusUnauthorized:
		f.Class = pull.FaultAuth
	case a.status == http.StatusForbidden && strings.Contains(text.message, "installation has been suspended"):
		f.Class, f.Status = pull.FaultGone, 0 // about the installation, not about what was asked for
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		f.Class = pull.FaultGone
		if a.status == http.StatusNotFound && !a.call.write {
			f.Until = time.Now().Add(copiesLag).UTC()
		}
	case a.status == http.StatusConflict:
		f.Class = pull.FaultMoved
	case a.status == http.StatusRequestTimeout, a.status < 400, a.status >= 500:
		f.Class = a.call.doubt()
	default:
		f.Class = pull.FaultRefused
	}
	if a.status == http.StatusForbidden || a.status == http.StatusNotFound {
		if needs := a.header.Get("X-Accepted-Github-Permissions"); needs != "" {
			f.Message = strings.TrimSpace(f.Message + " (it needs the permission " + oneLine(needs) + ")")
		}
	}
	return f
}

// park makes the whole scope wait, tells everybody once, and turns f into that.
func (c *Client) park(scope pull.Scope, f *pull.Fault, h http.Header) *pull.Fault {
	now := time.Now()
	until, reason := waitOf(h, now, c.limiter(scope).strike)
	f.Class, f.Until = pull.FaultThrottled, until.UTC()
	c.pause(scope, until, reason, "GitHub told us to wait", now)
	return f
}

// pause keeps a scope quiet, here and wherever else it is worked for.
func (c *Client) pause(scope pull.Scope, until time.Time, reason, words string, now time.Time) {
	more := c.limiter(scope).park(until, reason, now)
	if more <= 0 {
		return
	}
	c.metrics.Paused(reason, more)
	c.log.Warn(words, telemetry.KeyScope, string(scope), telemetry.KeyUntil, until.UTC(), "reason", reason)
	if scope != scopeJWT {
		c.parked(scope, until.UTC(), reason)
	}
}

// listen notes whether GitHub answers a scope at all. A scope that gets no answers is left alone for a while; a single
// thing that gets none is worth another try at f.Until, when there has been no answer for long.
func (c *Client) listen(scope pull.Scope, q call, f *pull.Fault) {
	l := c.limiter(scope)
	if !unanswered(f) {
		l.answered()
		return
	}
	now := time.Now()
	until, since := l.unanswered(q.on, now)
	if !until.IsZero() {
		c.pause(scope, until, reasonUnanswered, "GitHub does not answer: it is left alone for a while", now)
	}
	if f.Class != pull.FaultUnclear && now.Sub(since) >= silenceTry {
		f.Until = now.Add(silenceTry).UTC()
	}
}

// unanswered reports whether a fault is none of the request's: GitHub does not take part.
func unanswered(f *pull.Fault) bool {
	return f != nil && (f.Class == pull.FaultAuth || f.Class == pull.FaultUnavailable || f.Class == pull.FaultUnclear)
}

// requests are the names of all requests over REST, as the metrics call them.
var requests = []string{
	"app.get", "assignee.add", "assignee.remove", "branch.get", "branch.rules", "branch.update", "check.create",
	"check.update", "checks.rerequest", "collaborator.get", "comment.create", "comment.delete", "commits.list", "compare", "contents.get",
	"files.list", "hook.config", "hook.deliveries", "hook.list", "hook.redeliver", "installation.find",
	"installation.list", "installation.repositories", "installation.token", "label.add", "label.create", "label.get",
	"label.remove", "limits.get", "merge", "pull.get", "pull.update", "pulls.list", "ref.delete", "ref.get", "ref.update",
	"repository.get", "repository.survey", "review.create", "review.dismiss", "reviewer.add", "reviewer.remove",
	"reviewers.list", "status.create", "team.members", "workflow.rerun", "workflow.runs",
}

// outcomes are how a request can end, as the metrics call it.
var outcomes = []string{
	"ok", string(pull.FaultGone), string(pull.FaultRefused), string(pull.FaultPassing), string(pull.FaultMoved), string(pull.FaultUnclear),
	string(pull.FaultThrottled), string(pull.FaultAuth), string(pull.FaultUnavailable),
}

// calls are the names of all requests.
func calls() []string {
	all := slices.Clone(requests)
	for _, op := range slices.Concat(operations, mutations) {
		all = append(all, "graphql."+op.name)
	}
	return all
}

// count tells the metrics, and the scope's limiter, how a request ended.
func (c *Client) count(scope pull.Scope, q call, f *pull.Fault) {
	c.standing.note(scope, f, time.Now())
	c.listen(scope, q, f)
	if f == nil {
		c.metrics.APICall(q.op, "ok")
		return
	}
	c.metrics.APICall(q.op, string(f.Class))
	switch f.Class {
	case pull.FaultThrottled:
		c.metrics.Error(telemetry.ErrRateLimit)
	case pull.FaultRefused, pull.FaultUnclear, pull.FaultUnavailable, pull.FaultAuth:
		c.metrics.Error(telemetry.ErrAPI)
	}
}

// An errorText is the body of a refusal.
type errorText struct{ message, docs string }

// readError reads GitHub's sentence, and of a validation error what is invalid. Anything else has no words.
func readError(body []byte) errorText {
	var e struct {
		Message string            `json:"message"`
		Docs    string            `json:"documentation_url"`
		Errors  []json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil && e.Message == "" {
		return errorText{}
	}
	words := []string{e.Message}
	for _, raw := range e.Errors {
		var one struct{ Message, Field, Code string }
		var s string
		switch {
		case json.Unmarshal(raw, &s) == nil:
			words = append(words, s)
		case json.Unmarshal(raw, &one) == nil && one.Message != "":
			words = append(words, one.Message)
		case one.Field != "" || one.Code != "":
			words = append(words, strings.TrimSpace(one.Field+" "+one.Code))
		}
	}
	return errorText{message: oneLine(strings.Join(words, "; ")), docs: e.Docs}
}

// oneLine makes text from outside fit for a log line and a page: printable, in one line, not endless.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "�"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if utf8.RuneCountInString(s) > maxMessage {
		s = string([]rune(s)[:maxMessage-1]) + "…"
	}
	return s
}

// A trace remembers how far a request came. Only Go's own transport reports to it.
type trace struct{ looking, connected atomic.Bool }

func (t *trace) follow(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { t.looking.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	})
}

// neverSent reports whether a request certainly did not reach GitHub: no connection was had for it. Once there is one,
// what was written to it can't be known.
func (t *trace) neverSent(err error) bool {
	if t.connected.Load() {
		return false
	}
	if t.looking.Load() {
		return true
	}
	var dial *net.OpError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, &dns) || errors.As(err, &cert) ||
		errors.As(err, &unknown) || errors.As(err, &host)
}

func notSent(on string, err error) *pull.Fault {
	return &pull.Fault{Class: pull.FaultUnavailable, Op: on, Message: "it was not sent", Err: err}
}

// transportWords says why there was no answer.
func transportWords(err error, secret string) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("GitHub did not answer within %s", requestTimeout)
	case errors.Is(err, context.Canceled):
		return "it was interrupted before GitHub answered"
	}
	return "GitHub can't be reached: " + strings.ReplaceAll(oneLine(plainCause(err).Error()), secret, "…")
}

// plainCause takes the address off a transport's error: the fault says already what was asked.
func plainCause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
