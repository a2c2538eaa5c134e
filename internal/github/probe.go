package github

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

const (
	// probeTick is how often it is considered whether to ask GitHub how we stand with it.
	probeTick = 15 * time.Second
	// probeIdle is for how long nothing must have talked to GitHub before it is asked, unless a test says otherwise; while
	// something is wrong there, probeTick is enough.
	probeIdle = time.Minute
	// probeApp is how often an App is asked about at least: what else talks to GitHub does not tell of its permissions.
	probeApp = 10 * time.Minute
)

// A credential is one of the two things that we can show to GitHub.
type credential int

const (
	byToken credential = iota
	byApp
	credentials
)

func (k credential) String() string {
	if k == byApp {
		return "GITHUB_APP_ID and GITHUB_PRIVATE_KEY"
	}
	return "GITHUB_TOKEN"
}

// credentialOf is what requests of a scope are signed with in the end.
func credentialOf(scope pull.Scope) credential {
	if scope == pull.ScopeToken {
		return byToken
	}
	return byApp
}

// A standing is how we stand with GitHub: what its last answers said beside what was asked.
type standing struct {
	mu    sync.Mutex
	away  *trouble              // no answer worth the name
	auth  [credentials]*trouble // the credentials are refused
	heard [credentials]time.Time
	// What the credentials may do, nil while that is not known.
	token *pull.Token
	about [sha256.Size]byte // the token that this is about: a new one is another one
	app   *pull.App

	begun bool          // Watch is running, or is about to
	first chan struct{} // closed when it has asked for the first time
	again chan struct{} // asks it to ask now
}

// A trouble is a row of requests of which GitHub answered none.
type trouble struct {
	since time.Time
	words string
}

// note keeps the first trouble of a row, and forgets it when GitHub answers.
func (s *standing) note(scope pull.Scope, f *pull.Fault, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := credentialOf(scope)
	s.heard[k] = now
	keep := func(t **trouble, words string) {
		if *t == nil {
			*t = &trouble{since: now}
		}
		(*t).words = words
	}
	switch {
	case !unanswered(f):
		s.away, s.auth[k] = nil, nil
	case f.Class == pull.FaultAuth:
		s.away = nil
		keep(&s.auth[k], fmt.Sprintf("GitHub does not accept the credentials (%s)", k))
	case f.Status != 0:
		keep(&s.away, "GitHub answers with errors of its own")
	default:
		keep(&s.away, "GitHub can't be reached")
	}
}

// scopes keeps what an answer says about the token that it was asked with. GitHub names the scopes of a classic token in
// every answer, also when there are none; what comes from a proxy, or refuses the token, has nothing to say.
func (s *standing) scopes(secret string, h http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := pull.Token{Kind: pull.TokenOther}
	list, named := h["X-Oauth-Scopes"]
	switch {
	case !named && s.token != nil && s.about == sha256.Sum256([]byte(secret)):
		return
	case named:
		t.Kind = pull.TokenClassic
		for _, scope := range strings.Split(strings.Join(list, ","), ",") {
			if scope = oneLine(scope); scope != "" {
				t.Scopes = append(t.Scopes, scope)
			}
		}
	case strings.HasPrefix(secret, "github_pat_"):
		t.Kind = pull.TokenFineGrained
	}
	s.token, s.about = &t, sha256.Sum256([]byte(secret))
}

// Trouble says in a few words, fit for strangers, since when GitHub has not taken part: it refuses the credentials, or it
// can't be reached or answers with errors of its own. ok is false while the last request was answered, be it with a no.
func (c *Client) Trouble() (words string, since time.Time, ok bool) {
	s := &c.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range append([]*trouble{s.away}, s.auth[:]...) {
		if t != nil {
			return t.words, t.since, true
		}
	}
	return "", time.Time{}, false
}

// Lacks says in a few words what the credentials would have to be allowed besides; "" when that is nothing, or not known.
func (c *Client) Lacks() string {
	s := &c.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	if s.app != nil {
		permissions, events := s.app.Lacks()
		if len(permissions) > 0 {
			words = append(words, "the App lacks permissions it needs ("+strings.Join(permissions, ", ")+")")
		}
		if len(events) > 0 {
			words = append(words, "the App is not told of events it needs ("+strings.Join(events, ", ")+")")
		}
	}
	if s.token != nil && s.about == sha256.Sum256([]byte(strings.TrimSpace(c.token()))) {
		if w := s.token.Lacks(); w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, "; ")
}

// WillWatch says that Watch is about to run: [Client.Asked] waits for it from now on.
func (c *Client) WillWatch() {
	s := &c.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
}

// Watch finds out by itself how we stand with GitHub, before any webhook gives reason to ask: at once, and again when
// nothing else has talked to GitHub for a minute. Its requests cost nothing of any hourly limit that passes need, and none
// is made while GitHub has told us to wait. It runs until ctx ends.
func (c *Client) Watch(ctx context.Context) error {
	s := &c.standing
	c.WillWatch()
	t := time.NewTicker(probeTick)
	defer t.Stop()
	var asked [credentials]time.Time
	said := ""
	for first := true; ; first = false {
		for k := range credentials {
			if !c.holds(k) || !first && !c.due(k, asked[k]) {
				continue
			}
			asked[k] = time.Now()
			if k == byApp {
				_, _ = c.App(ctx) // what is wrong is noted on the way
			} else {
				_, _ = c.Token(ctx)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if first {
			close(s.first)
		}
		said = c.tell(said)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-s.again:
			asked = [credentials]time.Time{}
		}
	}
}

// holds reports whether there is such a credential.
func (c *Client) holds(k credential) bool {
	if k == byApp {
		return c.AsApp()
	}
	return strings.TrimSpace(c.token()) != ""
}

// due reports whether it is time to ask about a credential again; asked is when that was done last, zero to have it done now.
func (c *Client) due(k credential, asked time.Time) bool {
	s := &c.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	idle := time.Since(s.heard[k])
	wrong := s.away != nil || s.auth[k] != nil
	switch {
	case asked.IsZero(), wrong && idle >= probeTick, idle >= c.ask:
		return true
	case k == byApp && s.app != nil:
		permissions, events := s.app.Lacks()
		since := time.Since(asked)
		return since >= probeApp || len(permissions)+len(events) > 0 && since >= c.ask
	}
	return false
}

// tell logs what is wrong when that has changed, and returns it.
func (c *Client) tell(said string) string {
	words, _, ok := c.Trouble()
	if !ok {
		words = c.Lacks()
	}
	switch {
	case words == said:
	case words == "":
		c.log.Info("GitHub answers, and the credentials are allowed what they need")
	default:
		c.log.Warn("how we stand with GitHub", telemetry.KeyErr, words)
	}
	return words
}

// Recheck has a running Watch ask GitHub now: the credentials are others.
func (c *Client) Recheck() {
	select {
	case c.standing.again <- struct{}{}:
	default:
	}
}

// Asked waits until a running Watch has asked GitHub for the first time, or ctx ends, and reports whether it has. Without
// a Watch there is nothing to wait for.
func (c *Client) Asked(ctx context.Context) bool {
	s := &c.standing
	s.mu.Lock()
	begun := s.begun
	s.mu.Unlock()
	if !begun {
		return true
	}
	select {
	case <-s.first:
		return true
	case <-ctx.Done():
		return false
	}
}

// App asks GitHub what the App is allowed, as the App itself.
func (c *Client) App(ctx context.Context) (pull.App, error) {
	var got struct {
		ID          int64
		Slug        string
		Permissions map[string]string
		Events      []string
	}
	on := "ask GitHub about the App"
	f := c.asApp(ctx, call{op: "app.get", on: on, method: http.MethodGet, url: c.path("app"), accept: reading(&got)})
	if f == nil && got.ID != c.appID {
		f = &pull.Fault{Class: pull.FaultUnavailable, Op: on, Message: "GitHub's answer is not about this App"}
	}
	if f != nil {
		return pull.App{}, f
	}
	a := pull.App{ID: got.ID, Slug: oneLine(got.Slug), Permissions: got.Permissions, Events: got.Events}
	c.standing.mu.Lock()
	defer c.standing.mu.Unlock()
	c.standing.app = &a
	return a, nil
}

// limits is GitHub's answer to the question what is left.
type limits struct {
	Resources map[string]struct {
		Limit, Remaining int
		Reset            int64
	}
}

// askLimits asks what is left of the hourly limits, which costs nothing of them.
func (c *Client) askLimits(on string, accept func(answer) *pull.Fault) call {
	return call{op: "limits.get", on: on, method: http.MethodGet, url: c.path("rate_limit"), free: true, accept: accept}
}

// Token asks GitHub for what is left of its limits with the token, and returns what the answer says about the token. An
// Enterprise Server without limits says that there are none, which is as good.
func (c *Client) Token(ctx context.Context) (pull.Token, error) {
	f := c.do(ctx, pull.ScopeToken, c.askLimits("ask GitHub about the token", func(a answer) *pull.Fault {
		var got limits
		f, now := a.decode(&got), time.Now()
		for name, res := range map[string]resource{"core": restBudget, "graphql": graphqlBudget} {
			if r := got.Resources[name]; f == nil && r.Limit > 0 {
				c.limiter(pull.ScopeToken).observe(res, rate{r.Limit, r.Remaining, r.Reset, resetAt(a.header, r.Reset, now)}, now)
			}
		}
		return f
	}))
	if f != nil && f.Class != pull.FaultGone {
		return pull.Token{}, f
	}
	c.standing.mu.Lock()
	defer c.standing.mu.Unlock()
	if c.standing.token == nil {
		return pull.Token{Kind: pull.TokenOther}, nil
	}
	return *c.standing.token, nil
}
