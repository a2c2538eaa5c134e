package githubtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Write is a mutating request of the audience, whatever became of it.
type Write struct {
	At      time.Time
	Actor   string // login
	Method  string
	Path    string
	Kind    string // label.add, reviewer.add, assignee.add, status, check.create, merge, branch.delete, ready, queue.add, comment.create, …
	What    string // "label.add bug on octo/app#1"
	SHA     string // the commit it names, if any
	Text    string // what a comment, a review or a commit says
	Status  int    // answered; 0 when there was no answer
	Applied bool   // it took effect
}

// Journal returns the audience's writes, oldest first. Asking for tokens and redeliveries is not among them: they
// change nothing that people see.
func (s *Server) Journal() []Write {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Write(nil), s.journal...)
}

// Applied are the writes that took effect, as their What.
func (s *Server) Applied() []string {
	out := []string{}
	for _, w := range s.Journal() {
		if w.Applied {
			out = append(out, w.What)
		}
	}
	return out
}

const anonymous = "anonymous"

// An identity is who makes a request.
type identity struct {
	token *token
	app   *App // by JWT
	bad   string
}

func (id identity) key() string {
	switch {
	case id.app != nil:
		return fmt.Sprintf("app:%d", id.app.ID)
	case id.token == nil:
		return anonymous
	case id.token.inst != nil:
		return fmt.Sprintf("installation:%d", id.token.inst.ID)
	}
	return fmt.Sprintf("user:%d", id.token.user.ID)
}

func (id identity) words() string {
	kind, n, ok := strings.Cut(id.key(), ":")
	if !ok {
		return "127.0.0.1"
	}
	return kind + " ID " + n
}

// user is the account that acts: an App's bot for an installation.
func (id identity) user() *User {
	switch {
	case id.token == nil:
		return nil
	case id.token.inst != nil:
		return id.token.inst.App.Bot
	}
	return id.token.user
}

func (id identity) actor() actor {
	a := actor{user: id.user()}
	if id.token != nil {
		a.inst = id.token.inst
	}
	return a
}

// An apiError is an answer that is not a success.
type apiError struct {
	status  int
	message string
	docs    string
	errors  []any
	body    any // instead of the usual one
	header  http.Header
}

func refuse(status int, message string) *apiError { return &apiError{status: status, message: message} }

func invalid(resource, field, code string) *apiError {
	return &apiError{status: 422, message: "Validation Failed", errors: []any{object{"resource": resource, "field": field, "code": code}}}
}

// A call is one request on its way through.
type call struct {
	s       *Server
	r       *http.Request
	method  string
	path    string
	query   url.Values
	body    []byte
	route   *route
	op      string
	vars    map[string]string
	auth    identity
	budget  *budget
	repo    *Repo
	header  http.Header
	gql     *gqlRequest
	applied bool
	refused bool // in an answer of status 200, as GraphQL does
}

func (c *call) mutates() bool {
	if c.route == graphqlRoute {
		return c.gql.mutation() != nil
	}
	return c.method != http.MethodGet && c.method != http.MethodHead && c.op != "apps.create-installation-access-token"
}

// creates reports whether the request counts towards the limits for content. Sending a webhook again makes nothing new.
func (c *call) creates() bool {
	return c.mutates() && c.method != http.MethodDelete && !strings.HasSuffix(c.op, ".redeliver-webhook-delivery")
}

func (c *call) resource() string {
	if c.route == graphqlRoute {
		return "graphql"
	}
	return "core"
}

// A reply is what a handler answers.
type reply struct {
	status int
	body   any
}

func ok(body any) (reply, *apiError) { return reply{http.StatusOK, body}, nil }

// ServeHTTP answers like api.github.com, or like the API of a GitHub Enterprise Server under /api.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "body could not be read", http.StatusBadRequest)
		return
	}
	c := s.newCall(r, body)
	s.mu.Lock()
	latency, onRequest := s.knobs.latency, s.knobs.onRequest
	c.budget.inFlight++
	s.usage.MaxConcurrent = max(s.usage.MaxConcurrent, c.budget.inFlight)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		c.budget.inFlight--
		s.mu.Unlock()
	}()
	if !wait(r.Context(), latency) {
		return
	}
	if onRequest != nil {
		onRequest(c.op, r)
	}
	s.answer(w, c)
}

// wait reports whether d has passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Server) newCall(r *http.Request, body []byte) *call {
	c := &call{s: s, r: r, method: r.Method, query: r.URL.Query(), body: body, header: http.Header{}}
	c.path = strings.TrimPrefix(r.URL.EscapedPath(), "/api/v3")
	if c.path == "/api/graphql" {
		c.path = "/graphql"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.path = s.byRepositoryID(c.path)
	c.auth = s.identify(bearer(r.Header.Get("Authorization")))
	c.budget = s.budget(c.auth.key())
	c.route, c.vars = match(c.method, c.path)
	c.op = c.route.op
	if c.route == graphqlRoute {
		c.gql = parseGraphQL(body)
		c.op = "graphql." + c.gql.name()
	}
	if s.usage.Requests == nil {
		s.usage.Requests = map[string]int{}
	}
	s.usage.Requests[c.op]++
	return c
}

// byRepositoryID turns /repositories/1/…, where a renamed repository's answers point to, into its present path.
func (s *Server) byRepositoryID(path string) string {
	rest, found := strings.CutPrefix(path, "/repositories/")
	if !found {
		return path
	}
	id, rest, _ := strings.Cut(rest, "/")
	for _, r := range s.repos {
		if strconv.FormatInt(r.ID, 10) == id {
			return strings.TrimSuffix("/repos/"+r.full()+"/"+rest, "/")
		}
	}
	return path
}

func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "token") {
		return strings.TrimSpace(token)
	}
	return header
}

// identify says whose token it is.
func (s *Server) identify(text string) identity {
	if text == "" {
		return identity{}
	}
	if strings.Count(text, ".") == 2 {
		app, why := s.verify(text)
		return identity{app: app, bad: why}
	}
	t := s.tokens[text]
	switch {
	case t == nil, t.revoked, !t.expires.IsZero() && !s.o.Now().Before(t.expires), t.inst != nil && t.inst.gone:
		return identity{bad: "Bad credentials"}
	}
	return identity{token: t}
}

// verify checks an App's JSON Web Token as GitHub does: RS256, at most ten minutes ahead, and not issued in the future.
func (s *Server) verify(jwt string) (*App, string) {
	const undecodable = "A JSON web token could not be decoded"
	parts := strings.Split(jwt, ".")
	var head struct{ Alg string }
	var claims struct {
		Iss any      `json:"iss"`
		Iat *float64 `json:"iat"`
		Exp *float64 `json:"exp"`
	}
	for i, into := range []any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return nil, undecodable
		}
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || head.Alg != "RS256" {
		return nil, undecodable
	}
	iss := fmt.Sprint(claims.Iss)
	if f, ok := claims.Iss.(float64); ok {
		iss = strconv.FormatInt(int64(f), 10)
	}
	var app *App
	for _, a := range s.apps {
		if strconv.FormatInt(a.ID, 10) == iss || a.clientID == iss {
			app = a
		}
	}
	if app == nil {
		return nil, "'Issuer' claim ('iss') must be an Integer"
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if app.key == nil || !slices.ContainsFunc(append(app.older, app.key), func(k *rsa.PrivateKey) bool {
		return rsa.VerifyPKCS1v15(&k.PublicKey, crypto.SHA256, sum[:], sig) == nil
	}) {
		return nil, undecodable
	}
	now := float64(s.o.Now().Add(s.knobs.clockSkew).Unix())
	switch {
	case claims.Exp == nil || *claims.Exp <= now:
		return nil, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
	case *claims.Exp > now+600:
		return nil, "'Expiration time' claim ('exp') is too far in the future"
	case claims.Iat == nil || *claims.Iat > now || math.Trunc(*claims.Iat) != *claims.Iat:
		return nil, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
	}
	return app, ""
}

// answer carries the request out, and lets it meet its fault.
func (s *Server) answer(w http.ResponseWriter, c *call) {
	s.mu.Lock()
	refused := s.admit(c)
	var f *Fault
	if refused == nil {
		f = s.fault(c)
	}
	s.mu.Unlock()

	if f != nil && !f.After && s.spoil(w, c, f) {
		return
	}
	var out reply
	s.mu.Lock()
	if refused == nil && f != nil && (f.Kind == Exhausted || f.Kind == Secondary) {
		refused = s.limitFault(c, f)
	}
	if refused == nil {
		out, refused = c.run()
	}
	if refused != nil {
		out = c.refusal(refused)
	}
	c.applied = c.mutates() && out.status < 300 && !c.refused
	c.budget.resource(s, c.resource()).header(s, c.header, c.resource())
	if t := c.auth.token; t != nil && t.scopes != nil {
		c.header.Set("X-OAuth-Scopes", strings.Join(t.scopes, ", "))
	}
	c.header.Set("Date", s.o.Now().Add(s.knobs.clockSkew).UTC().Format(http.TimeFormat))
	c.header.Set("X-GitHub-Media-Type", "github.v3; format=json")
	c.header.Set("X-GitHub-Request-Id", fmt.Sprintf("%04X:%06X", s.rand.Uint32()&0xffff, s.rand.Uint32()&0xffffff))
	s.mu.Unlock()

	text := encode(out.body)
	if c.method == http.MethodGet && out.status == http.StatusOK {
		sum := sha256.Sum256(append([]byte(c.auth.key()+"\x00"+c.r.Header.Get("Authorization")+"\x00"), text...))
		tag := `W/"` + hex.EncodeToString(sum[:]) + `"`
		c.header.Set("ETag", tag)
		c.header.Set("Cache-Control", "private, max-age=60, s-maxage=60")
		if c.r.Header.Get("If-None-Match") == tag {
			s.mu.Lock()
			s.usage.NotModified++
			p := c.budget.resource(s, "core")
			p.used-- // a 304 costs nothing
			p.header(s, c.header, "core")
			s.mu.Unlock()
			out.status, text = http.StatusNotModified, nil
		}
	}
	if f != nil && (f.After || f.Kind == Truncated || f.Kind == Partial) {
		s.after(w, c, f, out.status, text)
		return
	}
	s.write(c, out.status)
	s.respond(w, c, out.status, text)
}

// spoil lets a fault take the place of the true answer, whether or not the request took effect; false when the true
// answer is given after all.
func (s *Server) spoil(w http.ResponseWriter, c *call, f *Fault) bool {
	switch f.Kind {
	case Hang:
		if f.Delay > 0 && wait(c.r.Context(), f.Delay) {
			return false
		}
		if f.Delay == 0 {
			<-c.r.Context().Done()
		}
		s.write(c, 0)
		panic(http.ErrAbortHandler)
	case Reset:
		s.write(c, 0)
		panic(http.ErrAbortHandler)
	case NoHost:
		panic(unsent{&net.DNSError{Err: "no such host", Name: c.r.URL.Host, IsNotFound: true}})
	case BadCertificate:
		panic(unsent{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: c.r.URL.Host}}})
	case Answer:
		s.answerFault(w, c, f)
		return true
	case HTML:
		s.answerHTML(w, c)
		return true
	}
	return false
}

// after spoils the answer to a request that was carried out.
func (s *Server) after(w http.ResponseWriter, c *call, f *Fault, status int, text []byte) {
	if s.spoil(w, c, f) {
		return
	}
	switch f.Kind {
	case Truncated:
		s.write(c, status)
		c.header.Set("Content-Length", strconv.Itoa(len(text)))
		s.respond(w, c, status, text[:len(text)/2])
		panic(http.ErrAbortHandler)
	case Partial:
		text = partial(text)
	}
	s.write(c, status)
	s.respond(w, c, status, text)
}

func (s *Server) limitFault(c *call, f *Fault) *apiError {
	after := f.RetryAfter
	if f.Kind == Secondary {
		status := f.Status
		if status == 0 {
			status = http.StatusForbidden
		}
		return s.secondary(c, status, after)
	}
	if after == 0 {
		after = time.Minute
	}
	p := c.budget.resource(s, c.resource())
	p.used, p.reset = p.limit, s.o.Now().Add(after)
	c.budget.wait(c.resource(), p.reset)
	return exhausted(c)
}

func (s *Server) answerFault(w http.ResponseWriter, c *call, f *Fault) {
	status, message := f.Status, f.Message
	if status == 0 {
		status = http.StatusBadGateway
	}
	if message == "" {
		message = map[int]string{
			401: "Bad credentials", 404: "Not Found", 451: "Repository access blocked",
			500: "Server Error", 502: "Server Error", 503: "Service unavailable", 504: "We couldn't respond to your request in time.",
		}[status]
	}
	if f.RetryAfter > 0 {
		c.header.Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
		s.mu.Lock()
		if until := s.o.Now().Add(f.RetryAfter); until.After(c.budget.waitAll) {
			c.budget.waitAll = until
		}
		s.mu.Unlock()
	}
	s.write(c, status)
	var text []byte
	if status != http.StatusNotModified && status != http.StatusNoContent {
		text = encode(object{"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status)})
	}
	s.respond(w, c, status, text)
}

func (s *Server) answerHTML(w http.ResponseWriter, c *call) {
	s.write(c, http.StatusOK)
	c.header.Set("Content-Type", "text/html; charset=utf-8")
	s.respond(w, c, http.StatusOK, []byte("<!DOCTYPE html>\n<html><head><title>Unicorn! &middot; GitHub</title></head><body>We're having a really bad day.</body></html>\n"))
}

// partial puts a hole into a GraphQL answer, with an error beside it, as GitHub does when a query took too much.
func partial(text []byte) []byte {
	var doc struct {
		Data map[string]any `json:"data"`
	}
	if json.Unmarshal(text, &doc) != nil {
		return text
	}
	path := []any{}
	for key := range doc.Data {
		if key != "rateLimit" {
			doc.Data[key] = nil
			path = append(path, key)
			break
		}
	}
	return encode(object{"data": doc.Data, "errors": []any{object{
		"type": "RESOURCE_LIMITS_EXCEEDED", "path": path, "message": "Resource limits for this query exceeded.",
	}}})
}

// write enters a mutating request into the journal.
func (s *Server) write(c *call, status int) {
	if !c.mutates() || c.route.kind == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kind, what, sha := c.route.kind(c)
	actor := anonymous
	if u := c.auth.user(); u != nil {
		actor = u.Login
	}
	s.journal = append(s.journal, Write{
		At: s.o.Now(), Actor: actor, Method: c.method, Path: c.path, Kind: kind, What: kind + " " + what, SHA: sha, Text: c.text(), Status: status, Applied: c.applied,
	})
}

func (s *Server) respond(w http.ResponseWriter, c *call, status int, text []byte) {
	h := w.Header()
	for k, v := range c.header {
		h[k] = v
	}
	if h.Get("Content-Type") == "" && len(text) > 0 {
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	w.WriteHeader(status)
	w.Write(text) //nolint:errcheck // the client may be gone
}

func encode(body any) []byte {
	switch text := body.(type) {
	case nil:
		return nil
	case plain:
		return text
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	must(e.Encode(body))
	return b.Bytes()
}

// run carries the request out. The lock is held.
func (c *call) run() (reply, *apiError) {
	if c.auth.bad != "" {
		c.s.usage.Unauthorized++
		return reply{}, refuse(401, c.auth.bad)
	}
	if c.route.handle == nil {
		return reply{}, refuse(404, "Not Found")
	}
	if err := c.allowed(); err != nil {
		return reply{}, err
	}
	return c.route.handle(c)
}

func (c *call) refusal(e *apiError) reply {
	for k, v := range e.header {
		c.header[k] = v
	}
	if e.body != nil {
		return reply{e.status, e.body}
	}
	docs := e.docs
	if docs == "" {
		docs = "https://docs.github.com/rest"
	}
	o := object{"message": e.message, "documentation_url": docs, "status": strconv.Itoa(e.status)}
	if e.errors != nil {
		o["errors"] = e.errors
	}
	return reply{e.status, o}
}

// allowed finds the repository of the path, and refuses what the caller may not do there.
func (c *call) allowed() *apiError {
	rt := c.route
	if rt.jwt {
		if c.auth.app == nil {
			return refuse(401, "A JSON web token could not be decoded")
		}
		if c.vars["owner"] == "" {
			return nil
		}
	} else if c.auth.app != nil && c.vars["owner"] != "" {
		return refuse(401, "Bad credentials") // an App's own token opens nothing but the App's own pages
	}
	if c.vars["owner"] == "" {
		return nil
	}
	name := c.vars["owner"] + "/" + c.vars["repo"]
	r := c.s.byName[strings.ToLower(name)]
	if r == nil {
		return refuse(404, "Not Found")
	}
	if rt.jwt {
		c.repo = r
		return nil
	}
	role := c.role(r)
	var in *Installation
	if c.auth.token != nil && c.auth.token.inst != nil {
		in = c.auth.token.inst
		if in.suspended {
			return refuse(403, "This installation has been suspended")
		}
		role = r.publicRole()
		if c.covered(r) {
			role = CanAdmin // what it may do is a matter of permissions
		}
	}
	if role < CanRead {
		return refuse(404, "Not Found")
	}
	if !strings.EqualFold(r.full(), name) {
		status := http.StatusMovedPermanently
		if c.method != http.MethodGet {
			status = http.StatusTemporaryRedirect
		}
		rest := strings.TrimPrefix(c.path, "/repos/"+c.vars["owner"]+"/"+c.vars["repo"])
		to := c.s.api("/repositories/%d%s", r.ID, rest)
		if c.r.URL.RawQuery != "" {
			to += "?" + c.r.URL.RawQuery
		}
		return &apiError{status: status, header: http.Header{"Location": {to}}, body: object{"message": "Moved Permanently", "url": to, "documentation_url": "https://docs.github.com/rest"}}
	}
	c.repo = r
	if in == nil && c.mutates() && !c.scoped(r) {
		return &apiError{status: 404, message: "Not Found", header: http.Header{"X-Accepted-OAuth-Scopes": {"repo"}}}
	}
	if in != nil {
		if !permitted(c.auth.token.permissions, rt.app) && (!rt.appPublic || r.private) || role < CanAdmin && c.mutates() {
			return &apiError{status: 403, message: "Resource not accessible by integration", header: http.Header{"X-Accepted-Github-Permissions": {strings.ReplaceAll(strings.ReplaceAll(rt.app, ":", "="), "|", "; ")}}}
		}
	} else if rt.appOnly {
		return refuse(403, "You must authenticate via a GitHub App.")
	} else if role < rt.role {
		switch {
		case c.auth.token == nil:
			return refuse(401, "Requires authentication")
		case rt.role == CanAdmin:
			return refuse(404, "Not Found")
		}
		return refuse(403, "Resource not accessible by personal access token")
	}
	if r.archived && c.mutates() {
		return refuse(403, "Repository was archived so is read-only.")
	}
	return nil
}

// scoped reports whether the token is good for more than what everybody may see of the repository.
func (c *call) scoped(r *Repo) bool {
	t := c.auth.token
	return t == nil || t.scopes == nil || slices.Contains(t.scopes, "repo") || !r.private && slices.Contains(t.scopes, "public_repo")
}

// role is what the caller may do in a repository with the token at hand.
func (c *call) role(r *Repo) Role {
	if !c.scoped(r) {
		return r.publicRole()
	}
	return r.role(c.auth.user())
}

// covered reports whether the installation token reaches the repository.
func (c *call) covered(r *Repo) bool {
	t := c.auth.token
	return t.inst.covers(r) && (t.repos == nil || t.repos[r])
}

// permitted reports whether one of the alternatives "contents:write|issues:write" is granted.
func permitted(have map[string]string, want string) bool {
	if want == "" {
		return true
	}
	for _, alt := range strings.Split(want, "|") {
		name, level, _ := strings.Cut(alt, ":")
		if have[name] == "write" || have[name] == "admin" || have[name] == level {
			return true
		}
	}
	return false
}

// decode reads the JSON body.
func (c *call) decode(into any) *apiError {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return refuse(400, "Problems parsing JSON")
	}
	return nil
}

// page cuts a list to the page that was asked for, and links to the others.
func page[T any](c *call, all []T) []T {
	size, err := strconv.Atoi(c.query.Get("per_page"))
	if err != nil || size < 1 {
		size = 30
	}
	most := c.s.o.PageLimit
	if most <= 0 {
		most = 100
	}
	size = min(size, most)
	n, err := strconv.Atoi(c.query.Get("page"))
	if err != nil || n < 1 {
		n = 1
	}
	last := max(1, (len(all)+size-1)/size)
	var links []string
	link := func(rel string, page int) {
		q := url.Values{}
		for k, v := range c.query {
			q[k] = v
		}
		q.Set("page", strconv.Itoa(page))
		links = append(links, fmt.Sprintf("<%s?%s>; rel=%q", c.s.api("%s", c.path), q.Encode(), rel))
	}
	if n > 1 {
		link("prev", n-1)
	}
	if n < last {
		link("next", n+1)
		link("last", last)
	}
	if n > 1 {
		link("first", 1)
	}
	if len(links) > 0 {
		c.header.Set("Link", strings.Join(links, ", "))
	}
	from := min((n-1)*size, len(all))
	return all[from:min(from+size, len(all))]
}

// list answers a page of a list as JSON.
func list[T any](c *call, all []T, f func(T) object) (reply, *apiError) {
	out := []any{}
	for _, x := range page(c, all) {
		out = append(out, f(x))
	}
	return ok(out)
}
