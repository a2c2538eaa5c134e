// Package github does all the talking to GitHub: it reads a pull request into a [pull.Snapshot], carries a
// [pull.Action] out, and says of everything that goes wrong which [pull.Fault] it is.
//
// It owns three things that nobody else may do. Credentials: the personal token and the App's key come in through
// functions, so that they can be changed while the service runs, and leave only in an Authorization header to the one
// host that was configured. Limits: every request of a scope passes one limiter, which never lets a request out while
// GitHub has told us to wait, and rather refuses at once than sleeps. Outcomes: an answer, or its absence, is put into
// a class exactly once, here; whether a write may be repeated hangs on that class, so whatever leaves room for doubt
// is unclear.
//
// It refuses to know what a pull request ought to be. It does not decide, retry on its own (but for one new token after a
// 401), or read a URL from an answer other than a redirect within its own host. It remembers nothing but answers, for as
// long as they can be taken for true (learn.go), so that an unchanged pull request costs one query.
//
// Read it from [Client.Snapshot] (one GraphQL query, and its pages; people and comments in talk.go), [Client.Learn] (what
// some decisions need besides: learn*.go) and [Client.Apply] (writes: apply*.go over REST, and over GraphQL, in
// mutations.go, what REST has no way for), down to send.go (one request and its class), limit.go (budgets, and what GitHub
// does not answer) and auth.go (tokens). What recovery asks for is in deliveries.go (GitHub's log of deliveries) and sweep.go
// (a hundred pull requests in a request). How we stand with GitHub, asked by itself, is in probe.go.
package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// Options configure a Client. The zero value talks to github.com without credentials.
type Options struct {
	// API is the root of the REST API: https://api.github.com when empty, https://host/api/v3 of an Enterprise
	// Server, or the address of a test double.
	API string
	// Token returns the personal access token, "" when there is none. It is asked for every request.
	Token func() string
	// AppID and AppKey are the credentials of a GitHub App. The key is PEM, PKCS #1 or PKCS #8; line ends may be
	// written out as \n, as environment variables need it. It is asked whenever a token is needed.
	AppID  int64
	AppKey func() []byte
	// HTTP carries the requests; nil is Go's default transport, which knows proxies and private authorities.
	HTTP http.RoundTripper
	// Ask is how often Watch asks GitHub while nothing else does; 0 is a minute.
	Ask time.Duration
	// Parked is told when GitHub makes a whole scope wait, so that replicas and restarts know it too. It is called
	// without any lock held, from the request that was told.
	Parked func(scope pull.Scope, until time.Time, reason string)
	// Waits is the other direction: until when a scope has to wait because another replica was told so, or this one before
	// it was started anew; zero when it need not. It is asked at most once a second for a scope.
	Waits func(ctx context.Context, scope pull.Scope) (until time.Time, reason string)

	Metrics *telemetry.Metrics
	Logger  *slog.Logger
}

// A Client talks to one GitHub. It is safe for concurrent use and starts nothing by itself.
type Client struct {
	rest    *url.URL // without a trailing slash
	graphql string
	token   func() string
	appID   int64
	appKey  func() []byte
	http    *http.Client
	ask     time.Duration
	parked  func(pull.Scope, time.Time, string)
	waits   func(context.Context, pull.Scope) (time.Time, string)
	metrics *telemetry.Metrics
	log     *slog.Logger

	skew     atomic.Int64 // GitHub's clock minus ours, nanoseconds, as last seen
	standing standing
	pages    pageSizes
	learned  learned

	mu        sync.Mutex
	limiters  map[pull.Scope]*limiter
	sessions  map[int64]*session // by installation
	signature signature
}

// New checks the options and returns a client. A key that can't be used is refused here, not at the first request.
func New(o Options) (*Client, error) {
	if o.API == "" {
		o.API = "https://api.github.com"
	}
	rest, err := url.Parse(strings.TrimRight(o.API, "/"))
	if err != nil || rest.Host == "" || (rest.Scheme != "https" && rest.Scheme != "http") {
		return nil, fmt.Errorf("GITHUB_API_URL: %q is not an address such as https://api.github.com or https://github.example.com/api/v3", o.API)
	}
	if rest.User != nil || rest.RawQuery != "" || rest.Fragment != "" {
		return nil, errors.New("GITHUB_API_URL: the address may hold no user, query or fragment; credentials go into GITHUB_TOKEN or GITHUB_APP_ID and GITHUB_PRIVATE_KEY")
	}
	c := &Client{
		rest:     rest,
		graphql:  graphqlURL(rest),
		token:    o.Token,
		appID:    o.AppID,
		appKey:   o.AppKey,
		ask:      cmp.Or(o.Ask, probeIdle),
		parked:   o.Parked,
		waits:    o.Waits,
		metrics:  o.Metrics,
		log:      o.Logger,
		limiters: map[pull.Scope]*limiter{},
		sessions: map[int64]*session{},
		standing: standing{first: make(chan struct{}), again: make(chan struct{}, 1)},
	}
	if c.token == nil {
		c.token = func() string { return "" }
	}
	if c.appKey == nil {
		c.appKey = func() []byte { return nil }
	}
	if c.parked == nil {
		c.parked = func(pull.Scope, time.Time, string) {}
	}
	if c.waits == nil {
		c.waits = func(context.Context, pull.Scope) (time.Time, string) { return time.Time{}, "" }
	}
	if c.metrics == nil {
		c.metrics = telemetry.NewMetrics("", "")
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	transport := o.HTTP
	if transport == nil {
		transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	c.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	key := c.appKey()
	switch {
	case c.appID < 0:
		return nil, fmt.Errorf("GITHUB_APP_ID: %d is not the id of a GitHub App", c.appID)
	case c.appID > 0 && len(key) == 0:
		return nil, errors.New("GITHUB_APP_ID is set but GITHUB_PRIVATE_KEY is not: set both, or neither")
	case c.appID == 0 && len(key) > 0:
		return nil, errors.New("GITHUB_PRIVATE_KEY is set but GITHUB_APP_ID is not: set both, or neither")
	case c.appID > 0:
		if _, err := parseKey(key); err != nil {
			return nil, err
		}
	}
	c.metrics.APIOperations(calls(), outcomes)
	for _, res := range []resource{restBudget, graphqlBudget} {
		c.metrics.Budget(string(res), func() float64 { return c.left(res) })
	}
	return c, nil
}

// graphqlURL finds the GraphQL endpoint beside a REST root: an Enterprise Server has /api/v3 and /api/graphql.
func graphqlURL(rest *url.URL) string {
	u := *rest
	if base, ok := strings.CutSuffix(u.Path, "/api/v3"); ok {
		u.Path = base + "/api/graphql"
	} else {
		u.Path += "/graphql"
	}
	return u.String()
}

// AsApp reports whether the client has the credentials of a GitHub App.
func (c *Client) AsApp() bool { return c.appID > 0 }

// Configured reports whether there are any credentials.
func (c *Client) Configured() bool { return c.AsApp() || c.token() != "" }

// Scope says whose credentials a delivery's pull request is looked at with: the App's installation that sent it when
// the App is configured, else the personal token; "" when there is neither, and nothing can be asked.
func (c *Client) Scope(h pull.Hint) pull.Scope {
	switch {
	case c.AsApp() && h.Installation > 0:
		return pull.ScopeApp(h.Installation)
	case c.token() != "":
		return pull.ScopeToken
	}
	return ""
}

// InstallationFor finds the scope for a repository that no delivery told us about. A repository where the App is not
// installed is looked at with the personal token if there is one.
func (c *Client) InstallationFor(ctx context.Context, owner, repo string) (pull.Scope, error) {
	on := fmt.Sprintf("find the App's installation for %s/%s", owner, repo)
	if c.AsApp() {
		id, f := c.installationOf(ctx, on, owner, repo)
		if f == nil {
			return pull.ScopeApp(id), nil
		}
		if f.Class != pull.FaultGone {
			return "", f
		}
		if c.token() == "" {
			f.Message = "the App is not installed there, or the repository does not exist"
			return "", f
		}
	}
	if c.token() != "" {
		return pull.ScopeToken, nil
	}
	return "", &pull.Fault{Class: pull.FaultAuth, Op: on, Message: noCredentials}
}

// Skew is how far GitHub's clock was ahead of ours when it last answered; 0 before it did. Tokens of an App are
// refused when it exceeds a minute.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

// us is the account behind a scope. GitHub's viewer is of type User in the schema even for an App.
func us(scope pull.Scope, id int64, login string) pull.Actor {
	a := pull.Actor{ID: id, Login: login, Type: pull.User}
	if scope.Installation() > 0 || strings.HasSuffix(login, botSuffix) {
		a.Type = pull.Bot
		a.Login = botLogin(login)
	}
	return a
}

const botSuffix = "[bot]"

// botLogin spells the login of an App's account as REST and webhooks do; GraphQL leaves the suffix out.
func botLogin(login string) string {
	if strings.HasSuffix(login, botSuffix) {
		return login
	}
	return login + botSuffix
}

type laneKey struct{}

// Lane returns a context whose requests are of priority p. What is left of a budget is kept for the more urgent: the
// last 20 % for [pull.Urgent], the last 40 % also from [pull.Bulk]. Without a lane a request is [pull.Ordinary]; a
// merge, and what follows it, is always urgent.
func (c *Client) Lane(ctx context.Context, p pull.Priority) context.Context {
	return context.WithValue(ctx, laneKey{}, p)
}

func laneOf(ctx context.Context) pull.Priority {
	if p, ok := ctx.Value(laneKey{}).(pull.Priority); ok {
		return p
	}
	return pull.Ordinary
}
