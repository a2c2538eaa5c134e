package githubtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // GitHub still sends it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DeliveryTimeout is how long GitHub waits for an answer to a webhook.
const DeliveryTimeout = 10 * time.Second

// MaxPayload is the largest body that GitHub sends. It drops larger ones without a trace.
const MaxPayload = 25 << 20

// Hook is a webhook: of a repository, of an organization (all of its repositories), or of an App.
type Hook struct {
	s        *Server
	ID       int64
	url      string
	secret   string
	events   []string
	form     bool
	insecure bool
	off      bool
	repo     *Repo
	org      *User
	app      *App
	log      []*Delivery // oldest first
	bytes    int         // of the payloads in it
}

// logBytes bounds the payloads in a hook's log: beyond it the oldest deliveries are forgotten, as GitHub forgets them
// after three days, so that a world can live for long.
const logBytes = 64 << 20

func (h *Hook) record(d *Delivery) {
	h.log = append(h.log, d)
	h.bytes += len(d.Payload)
	for h.bytes > logBytes && len(h.log) > 1 {
		h.bytes -= len(h.log[0].Payload)
		h.log[0] = nil
		h.log = h.log[1:]
	}
}

// HookOptions are the settings of a webhook.
type HookOptions struct {
	URL    string
	Secret string
	Events []string // none is all
	Form   bool     // application/x-www-form-urlencoded
	// InsecureTLS has GitHub take any certificate. Inactive keeps it from sending anything.
	InsecureTLS, Inactive bool
}

// Hook adds a webhook to the repository and pings it.
func (r *Repo) Hook(by *User, o HookOptions) *Hook {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	h := r.s.newHook(o)
	h.repo = r
	r.s.ping(h, actor{user: by})
	return h
}

// Hook adds a webhook to the organization and pings it.
func (u *User) Hook(by *User, o HookOptions) *Hook {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	h := u.s.newHook(o)
	h.org = u
	u.s.ping(h, actor{user: by})
	return h
}

// Hook sets the App's webhook and pings it. Its events are those of the App.
func (a *App) Hook(o HookOptions) *Hook {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	h := a.s.newHook(o)
	h.app, h.events = a, a.events
	a.s.ping(h, actor{user: a.Owner})
	return h
}

func (s *Server) newHook(o HookOptions) *Hook {
	h := &Hook{s: s, ID: s.id("hook"), url: o.URL, secret: o.Secret, events: o.Events, form: o.Form, insecure: o.InsecureTLS, off: o.Inactive}
	s.hooks = append(s.hooks, h)
	return h
}

// SetSecret changes the secret. What is sent again later is signed with the new one.
func (h *Hook) SetSecret(secret string) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.secret = secret
}

// SetURL changes where the webhook goes.
func (h *Hook) SetURL(u string) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.url = u
}

func (h *Hook) wants(event string) bool {
	if h.off {
		return false
	}
	switch event {
	case "ping", "installation", "installation_repositories":
		return true
	}
	return h.app == nil && len(h.events) == 0 || slices.Contains(h.events, event) || slices.Contains(h.events, "*")
}

// Delivery is one sending of a webhook. Sending it again makes another Delivery with the same GUID.
type Delivery struct {
	ID         int64
	GUID       string
	Event      string
	Action     string
	Payload    []byte // the JSON, however it is encoded on its way
	Redelivery bool
	At         time.Time // when it was sent; when it happened, until then
	Duration   time.Duration
	StatusCode int    // 0 when there was no answer
	Status     string // OK, or GitHub's word for what went wrong
	Answer     []byte

	hook         *Hook
	repo         *Repo
	installation int64
	due          time.Time
	header       http.Header
	answered     http.Header
}

// Deliveries are the knobs of the way from GitHub to the receiver. The zero value delivers everything once, in order
// and at once.
type Deliveries struct {
	Lag       time.Duration // how long after the event
	Jitter    time.Duration // up to this much longer, each by itself: later ones overtake
	Drop      float64       // this part is never sent and leaves no trace
	Fail      float64       // this part can't be connected: it is in the log, and can be sent again
	Duplicate float64       // this part is sent twice, as if the button had been pressed
	Shuffle   bool          // Flush sends what waits in random order
	Parallel  int           // how many Run sends at once; 0 is 8
}

// post is the queue of webhooks on their way.
type post struct {
	knobs    Deliveries
	queue    []*Delivery
	held     bool
	dropNext []func(*Delivery) bool
	wake     chan struct{}
	sending  int
}

// Deliveries sets the knobs of webhook delivery, for events from now on.
func (s *Server) Deliveries(d Deliveries) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.post.knobs = d
}

// Hold keeps webhooks in the queue until Release.
func (s *Server) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.post.held = true
}

// Release ends Hold.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.post.held = false
	s.wake()
}

// DropNext loses the next webhook that f chooses, without a trace.
func (s *Server) DropNext(f func(event, action string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.post.dropNext = append(s.post.dropNext, func(d *Delivery) bool { return f(d.Event, d.Action) })
}

// Waiting is how many webhooks have not been answered yet: those in the queue and those on their way.
func (s *Server) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.post.queue) + s.post.sending
}

// Deliveries is the log of what was sent, oldest first.
func (h *Hook) Deliveries() []Delivery {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	out := make([]Delivery, len(h.log))
	for i, d := range h.log {
		out[i] = *d
	}
	return out
}

// Redeliver queues a delivery again, as GitHub's button does.
func (h *Hook) Redeliver(id int64) bool {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.redeliver(id)
}

func (h *Hook) redeliver(id int64) bool {
	for _, d := range h.log {
		if d.ID == id {
			h.s.enqueue(again(h.s, d))
			return true
		}
	}
	return false
}

func again(s *Server, d *Delivery) *Delivery {
	return &Delivery{
		ID: s.id("delivery"), GUID: d.GUID, Event: d.Event, Action: d.Action, Payload: d.Payload, Redelivery: true, At: s.o.Now(),
		hook: d.hook, repo: d.repo, installation: d.installation, due: s.o.Now(),
	}
}

func (s *Server) guid() string {
	return fmt.Sprintf("%08x-%04x-11f0-%04x-%012x", s.rand.Uint32(), s.rand.Uint32()&0xffff, 0x8000|s.rand.Uint32()&0x3fff, s.rand.Uint64()&0xffffffffffff)
}

// fire queues an event of a repository for every hook that wants it.
func (s *Server) fire(r *Repo, event, action string, by actor, payload object) {
	s.fireTo(nil, r, event, action, by, payload)
}

// fireTo is fire for the one App that an event is for; nil is for everybody.
func (s *Server) fireTo(only *App, r *Repo, event, action string, by actor, payload object) {
	if len(s.hooks) == 0 {
		return
	}
	if action != "" {
		payload["action"] = action
	}
	payload["sender"] = by.user.json()
	if payload["repository"] == nil {
		payload["repository"] = r.json(false)
	}
	if r.owner.Type == "Organization" {
		payload["organization"] = r.owner.organization()
	}
	for _, h := range s.hooks {
		if !h.wants(event) || only != nil && h.app != only {
			continue
		}
		var in *Installation
		switch {
		case h.repo != nil && h.repo != r, h.org != nil && h.org != r.owner:
			continue
		case h.app != nil:
			if in = h.app.installation(r); in == nil || in.suspended {
				continue
			}
		}
		s.send(h, r, in, event, action, payload)
	}
}

func (s *Server) send(h *Hook, r *Repo, in *Installation, event, action string, payload object) {
	d := &Delivery{ID: s.id("delivery"), GUID: s.guid(), Event: event, Action: action, At: s.o.Now(), hook: h, repo: r}
	delete(payload, "installation")
	if in != nil {
		d.installation = in.ID
		payload["installation"] = object{"id": in.ID, "node_id": in.nodeID}
		if event == "installation" {
			o := in.json()
			if action == "created" || action == "deleted" { // these two count seconds
				o["created_at"], o["updated_at"] = in.createdAt.Unix(), in.createdAt.Unix()
			}
			payload["installation"] = o
		}
	}
	body, err := json.Marshal(payload)
	must(err)
	d.Payload = body
	if len(body) > MaxPayload {
		return
	}
	k := s.post.knobs
	for i, f := range s.post.dropNext {
		if f(d) {
			s.post.dropNext = slices.Delete(s.post.dropNext, i, i+1)
			return
		}
	}
	if s.chance(k.Drop) {
		return
	}
	d.due = d.At.Add(k.Lag + s.jitter(k.Jitter))
	if s.chance(k.Fail) {
		d.Status = "failed to connect to host"
		h.record(d)
		return
	}
	s.enqueue(d)
	if s.chance(k.Duplicate) {
		d2 := again(s, d)
		d2.due = d.due.Add(s.jitter(k.Jitter))
		s.enqueue(d2)
	}
}

func (s *Server) chance(p float64) bool { return p > 0 && s.rand.Float64() < p }

func (s *Server) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(s.rand.Int64N(int64(d)))
}

func (s *Server) enqueue(d *Delivery) {
	s.post.queue = append(s.post.queue, d)
	s.wake()
}

func (s *Server) wake() {
	select {
	case s.post.wake <- struct{}{}:
	default:
	}
}

// take removes what is due from the queue, at most limit of it, and says when the next will be.
func (s *Server) take(all bool, limit int) (due []*Delivery, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.post.held {
		return nil, time.Time{}
	}
	slices.SortStableFunc(s.post.queue, func(a, b *Delivery) int { return a.due.Compare(b.due) })
	now := s.o.Now()
	n := 0
	for n < len(s.post.queue) && n < limit && (all || !s.post.queue[n].due.After(now)) {
		n++
	}
	due = slices.Clone(s.post.queue[:n])
	s.post.queue = slices.Delete(s.post.queue, 0, n)
	s.post.sending += n
	if len(s.post.queue) > 0 {
		next = s.post.queue[0].due
	}
	if all && s.post.knobs.Shuffle {
		s.rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	}
	return due, next
}

// Flush sends every webhook that waits, one after the other, whatever its lag, and those that are caused meanwhile. It
// returns how many it sent. While held, it sends none.
func (s *Server) Flush(ctx context.Context) int {
	sent := 0
	for ctx.Err() == nil {
		due, _ := s.take(true, 1<<30)
		if len(due) == 0 {
			break
		}
		for _, d := range due {
			s.deliver(ctx, d)
			sent++
		}
	}
	return sent
}

// Run sends webhooks as they fall due, several at once, until ctx ends; then it waits for those on their way.
func (s *Server) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	s.mu.Lock()
	if s.post.wake != nil {
		s.mu.Unlock()
		return errors.New("githubtest: Run is running already")
	}
	s.post.wake = wake
	parallel := s.post.knobs.Parallel
	s.mu.Unlock()
	if parallel <= 0 {
		parallel = 8
	}
	slots := make(chan struct{}, parallel)
	var group sync.WaitGroup
	defer func() {
		group.Wait()
		s.mu.Lock()
		s.post.wake = nil
		s.mu.Unlock()
	}()
	for {
		select { // a free slot first: what is not yet taken can still be held, and be overtaken
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		due, next := s.take(false, 1)
		if len(due) == 1 {
			group.Go(func() {
				defer func() { <-slots }()
				s.deliver(ctx, due[0])
			})
			continue
		}
		<-slots
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(next.Sub(s.o.Now()))
		}
		select {
		case <-wake:
		case <-timer:
		case <-ctx.Done():
			return nil
		}
	}
}

// deliver sends one webhook and writes the log. GitHub never tries again by itself.
func (s *Server) deliver(ctx context.Context, d *Delivery) {
	s.mu.Lock()
	req := s.request(d)
	d.header = req.Header
	send := s.o.Deliver
	s.mu.Unlock()
	if send == nil {
		send = direct.Do
	}
	ctx, cancel := context.WithTimeout(ctx, DeliveryTimeout)
	defer cancel()
	start := s.o.Now()
	resp, err := send(req.WithContext(ctx))
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.post.sending--
	d.At, d.Duration = start, s.o.Now().Sub(start)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		d.Status = "timed out"
	case err != nil:
		d.Status = "failed to connect to host"
	default:
		d.StatusCode, d.Status, d.Answer, d.answered = resp.StatusCode, http.StatusText(resp.StatusCode), answer, resp.Header
		if resp.StatusCode/100 == 2 {
			d.Status = "OK"
		}
	}
	if d.Status != "OK" {
		s.log.Warn("webhook not accepted", "delivery", d.GUID, "event", d.Event, "status", d.Status, "err", err)
	}
	d.hook.record(d)
}

// direct is a client that follows no redirect, as GitHub's.
var direct = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// request makes the request of a delivery, signed with the secret of this moment.
func (s *Server) request(d *Delivery) *http.Request {
	h := d.hook
	body, kind := d.Payload, "application/json"
	if h.form {
		body, kind = []byte(url.Values{"payload": {string(d.Payload)}}.Encode()), "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequest(http.MethodPost, h.url, bytes.NewReader(body))
	must(err)
	target, targetID := "repository", int64(0)
	switch {
	case h.repo != nil:
		targetID = h.repo.ID
	case h.org != nil:
		target, targetID = "organization", h.org.ID
	case h.app != nil:
		target, targetID = "integration", h.app.ID
	}
	for k, v := range map[string]string{
		"Accept": "*/*", "Content-Type": kind, "User-Agent": "GitHub-Hookshot/0c1a2b3", "X-GitHub-Event": d.Event, "X-GitHub-Delivery": d.GUID,
		"X-GitHub-Hook-ID": strconv.FormatInt(h.ID, 10), "X-GitHub-Hook-Installation-Target-Type": target,
		"X-GitHub-Hook-Installation-Target-ID": strconv.FormatInt(targetID, 10),
	} {
		req.Header.Set(k, v)
	}
	if h.secret != "" {
		req.Header.Set("X-Hub-Signature", "sha1="+sign(sha1.New, h.secret, body))
		req.Header.Set("X-Hub-Signature-256", "sha256="+sign(sha256.New, h.secret, body))
	}
	return req
}

func sign(with func() hash.Hash, secret string, body []byte) string {
	m := hmac.New(with, []byte(secret))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// organization is the account as events name it beside the repository.
func (u *User) organization() object {
	at := u.s.api("/orgs/%s", u.Login)
	return object{
		"login": u.Login, "id": u.ID, "node_id": u.nodeID, "url": at, "repos_url": at + "/repos", "events_url": at + "/events", "hooks_url": at + "/hooks",
		"issues_url": at + "/issues", "members_url": at + "/members{/member}", "public_members_url": at + "/public_members{/member}",
		"avatar_url": fmt.Sprintf("https://avatars.githubusercontent.com/u/%d?v=4", u.ID), "description": "",
	}
}

// config is the hook as its ping shows it.
func (h *Hook) json() object {
	kind, masked := "json", ""
	if h.form {
		kind = "form"
	}
	if h.secret != "" {
		masked = "********"
	}
	insecure := "0"
	if h.insecure {
		insecure = "1"
	}
	o := object{
		"type": "Repository", "id": h.ID, "name": "web", "active": !h.off, "events": orEmpty(h.events),
		"config":     object{"content_type": kind, "insecure_ssl": insecure, "url": h.url, "secret": masked},
		"created_at": when(h.s.now()), "updated_at": when(h.s.now()),
	}
	switch {
	case h.repo != nil:
		at := h.repo.url("/hooks/%d", h.ID)
		o["url"], o["test_url"], o["ping_url"], o["deliveries_url"] = at, at+"/test", at+"/pings", at+"/deliveries"
		o["last_response"] = object{"code": nil, "status": "unused", "message": nil}
	case h.org != nil:
		o["type"] = "Organization"
	case h.app != nil:
		o["type"], o["app_id"] = "App", h.app.ID
	}
	return o
}

func (s *Server) ping(h *Hook, by actor) {
	payload := object{"zen": "Design for failure.", "hook_id": h.ID, "hook": h.json()}
	if h.app == nil {
		payload["sender"] = by.user.json()
	}
	if h.repo != nil {
		payload["repository"] = h.repo.json(false)
	}
	s.send(h, h.repo, nil, "ping", "", payload)
}

func (s *Server) fireInstallation(in *Installation, action string, by *User) {
	for _, h := range s.hooks {
		if h.app != in.App {
			continue
		}
		repos := []any{}
		for _, r := range s.repos {
			if r.owner == in.Account && (in.repos == nil || in.repos[r]) {
				repos = append(repos, object{"id": r.ID, "node_id": r.nodeID, "name": r.name, "full_name": r.full(), "private": r.private})
			}
		}
		s.send(h, nil, in, "installation", action, object{"action": action, "repositories": repos, "requester": nil, "sender": by.json()})
	}
}

func (pr *PR) fire(action string, by actor, more object) {
	payload := object{"number": pr.number, "pull_request": pr.json(true, false)}
	maps.Copy(payload, more)
	pr.s.fire(pr.repo, "pull_request", action, by, payload)
}

func (pr *PR) fireReview(action string, rv *Review, by actor) {
	pr.s.fire(pr.repo, "pull_request_review", action, by, object{"review": rv.json(true), "pull_request": pr.json(false, false)})
}

func (pr *PR) fireComment(action string, c *Comment, by actor, more object) {
	payload := object{"issue": pr.issue(), "comment": c.json()}
	maps.Copy(payload, more)
	pr.s.fire(pr.repo, "issue_comment", action, by, payload)
}

func (s *Server) fireCheck(action string, c *Check, by actor) {
	run := c.json()
	su := c.suite.json()
	delete(su, "head_commit")
	run["check_suite"] = su
	s.fire(c.repo, "check_run", action, by, object{"check_run": run})
}

// fireSuite tells of a suite: everybody when it is completed, and its App when it is to begin.
func (s *Server) fireSuite(action string, su *suite, by actor) {
	only := su.app
	if action == "completed" {
		only = nil
	}
	s.fireTo(only, su.repo, "check_suite", action, by, object{"check_suite": su.json()})
}

// branches are the repository's branches, sorted.
func (r *Repo) branches() []string { return slices.Sorted(maps.Keys(r.refs)) }

func (s *Server) fireStatus(st *Status, by actor) {
	r := st.repo
	branches := []any{}
	for _, b := range r.branches() {
		if len(branches) < 10 && r.objects.contains(r.refs[b], st.sha) {
			branches = append(branches, object{"name": b, "commit": object{"sha": r.refs[b], "url": r.url("/commits/%s", r.refs[b])}, "protected": r.protected[b] != nil})
		}
	}
	s.fire(r, "status", "", by, object{
		"id": st.id, "sha": st.sha, "name": r.full(), "context": st.context, "state": st.state, "description": orNull(st.description), "target_url": orNull(st.targetURL),
		"avatar_url": fmt.Sprintf("https://avatars.githubusercontent.com/u/%d?v=4", st.creator.ID), "commit": r.commitJSON(r.objects.commit(st.sha)),
		"branches": branches, "created_at": when(st.created), "updated_at": when(st.created),
	})
}

func (r *Repo) firePush(branch, before, after string, by actor, forced bool) {
	zero := strings.Repeat("0", 40)
	payload := object{
		"ref": "refs/heads/" + branch, "created": before == "", "deleted": after == "", "forced": forced, "base_ref": nil,
		"pusher": object{"name": by.user.Login, "email": by.user.sign(time.Time{}).email}, "head_commit": nil,
	}
	commits := []any{}
	if after != "" && len(r.s.hooks) > 0 {
		o := r.objects
		from := before
		if from == "" {
			from = r.refs[r.branch]
		}
		list := o.between(from, after)
		if len(list) > 20 {
			list = list[len(list)-20:] // GitHub lists 20
		}
		for _, c := range list {
			commits = append(commits, r.pushed(c))
		}
		payload["head_commit"] = r.pushed(o.commit(after))
	}
	if before == "" {
		before = zero
	}
	if after == "" {
		after = zero
	}
	payload["before"], payload["after"], payload["commits"] = before, after, commits
	payload["compare"] = r.page("/compare/%.12s...%.12s", before, after)
	// In this event alone the repository is an older version of itself.
	repo := r.json(false).(object)
	repo["created_at"], repo["pushed_at"] = r.createdAt.Unix(), r.pushedAt.Unix()
	repo["master_branch"], repo["stargazers"] = r.branch, 0
	owner := r.owner.json().(object)
	owner["name"], owner["email"] = r.owner.Login, nil
	repo["owner"] = owner
	payload["repository"] = repo
	r.s.fire(r, "push", "", by, payload)
}

// pushed is a commit as a push event describes it.
func (r *Repo) pushed(c *commit) object {
	from := ""
	if len(c.parents) > 0 {
		from = r.objects.commit(c.parents[0]).tree
	}
	added, removed, modified := r.objects.changedPaths(from, c.tree, "")
	person := func(g signature) object {
		o := object{"name": g.name, "email": g.email, "date": when(g.at)}
		if u := r.s.accountOf(g); u != nil {
			o["username"] = u.Login
		}
		return o
	}
	return object{
		"id": c.sha, "tree_id": c.tree, "distinct": true, "message": c.message, "timestamp": when(c.committer.at), "url": r.page("/commit/%s", c.sha),
		"author": person(c.author), "committer": person(c.committer), "added": orEmpty(added), "removed": orEmpty(removed), "modified": orEmpty(modified),
	}
}
