// Package dashboard is the window through which people and programs look at the service: pages, an event stream, a
// small JSON interface and the counters.
//
// It owns everything that is shown and who may see it. It refuses to know how things come about: it reads finished
// read models through a [Reader], and nothing here changes anything. Pages are complete without JavaScript; a script
// replaces what has changed when the event stream says so, by asking for the same page again, so that there is one
// rendering of everything.
//
// Whatever comes out of a repository is hostile: titles, labels, branch names and URLs are written by anybody on the
// internet. Templates escape them, clean cuts them and takes out what moves a terminal or turns the direction of
// writing, links are followed only to http and https, and the content security policy allows nothing inline.
//
// Start at [New]; routes lists the addresses; events.go is the stream, access.go who may look, view.go what
// a page says.
package dashboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/visitor"
)

// A Reader answers with the read models of the pages. It may be asked from many goroutines; no call may take part in
// a write.
type Reader interface {
	// Totals returns the counters of the whole installation, all replicas, ever since.
	Totals(ctx context.Context) (Totals, error)
	// Pulls returns open pull requests, or those that are not, most recently changed first.
	Pulls(ctx context.Context, open bool, limit int) ([]pull.Row, error)
	// Pull returns everything known of one pull request, or ErrNotFound.
	Pull(ctx context.Context, owner, name string, number int) (Detail, error)
	// Deliveries returns the newest deliveries without bodies, newest first.
	Deliveries(ctx context.Context, limit int) ([]pull.Delivery, error)
	// Due returns keys that are due or being worked on, in the order in which they will be taken.
	Due(ctx context.Context, limit int) ([]Work, error)
	// Changes returns entries of the change feed after an id, in the order of their ids.
	Changes(ctx context.Context, after int64, limit int) ([]pull.Change, error)
	// LatestChange returns the id of the newest entry of the change feed, 0 when there is none.
	LatestChange(ctx context.Context) (int64, error)
}

// ErrNotFound is what a Reader returns for a pull request that the service has never looked at.
var ErrNotFound = errors.New("not found")

// Totals are the counters of an installation.
type Totals struct {
	Received     int64 // deliveries kept
	Processed    int64 // finished attempts at a delivery, failed ones included
	Errors       int64 // failed attempts
	Duplicates   int64 // deliveries whose id was known
	Dead         int64 // wait for a person
	QueueLength  int64 // accepted and not yet processed
	InFlight     int64 // keys being worked on now
	Due          int64 // keys that wait for their turn
	Actions      int64 // writes to GitHub that were done
	OldestQueued time.Time
	OldestDue    time.Time
	LastDone     time.Time // when a delivery was last processed
	Paused       bool      // an operator stopped the taking
	PausedSince  time.Time // and when; zero: not known
	PausedBy     string    // and who
	Parked       time.Time // some scope's budget at GitHub is spent until then; zero: none
}

// A Work is one key that is due, or in a worker's hands.
type Work struct {
	Key       pull.Key
	Repo      pull.Repo
	Title     string
	DueAt     time.Time // zero while it is worked on and nothing new has come in
	NotBefore time.Time // held back until then
	Since     time.Time // when the oldest unanswered hint arrived
	Running   bool
	Fails     int
	Dead      bool // failed too often; waits for a person, or for the next webhook about it
	Priority  pull.Priority
	Parked    time.Time // its scope's budget at GitHub is spent until then; zero, or past: it is not
}

// A Detail is everything known of one pull request.
type Detail struct {
	Row        pull.Row
	Verdict    pull.Verdict // the newest
	History    []Decision   // newest first
	Intents    []pull.Intent
	Commands   []pull.Command  // in comments, newest first
	Deliveries []pull.Delivery // newest first, without bodies
	Work       *Work           // nil when nothing is due
	Problem    string          // why the repository's policy file is not valid
}

// A Decision is a former verdict in a line.
type Decision struct {
	At       time.Time
	State    string
	Sentence string
	Head     pull.SHA
	Changes  []byte // JSON of a list of policy.Change: what was different from the one before
}

// Options are what a dashboard is made with.
type Options struct {
	Token          func() string     // DASHBOARD_TOKEN now; "" for none
	Origin         string            // DASHBOARD_ORIGIN: the one origin that CORS allows
	PublicURL      string            // where people reach the pages
	TrustedProxies []netip.Prefix    // whose X-Forwarded-* is believed
	RateLimit      visitor.RateLimit // of failed sign-ins
	MaxClients     int               // of the event stream; 0 means 1,000
	Version        string
	Logger         *slog.Logger
	Metrics        *telemetry.Metrics
	Secrets        *telemetry.Secrets
	Demo           bool // the page says that GitHub is a simulation
	ReadOnly       bool // the page says that the service only observes: no credentials, or switched off
}

// A Dashboard is an http.Handler that serves the pages. Make it with New, and run Run for the event stream.
type Dashboard struct {
	o       Options
	read    Reader
	log     *slog.Logger
	started time.Time
	public  *url.URL
	csrf    *http.CrossOriginProtection
	fails   *visitor.Limiter
	quiet   telemetry.Throttle // of lines about failed sign-ins
	session atomic.Pointer[session]
	hub     *hub

	totals    cached[Totals]
	overview  cached[*overview]
	snapshot  cached[snapshot]
	frontHTML cached[[]byte]

	handler http.Handler
}

// New makes a dashboard over r. It starts nothing.
func New(r Reader, o Options) *Dashboard {
	o.Origin = cmp.Or(o.Origin, "http://localhost:3001")
	o.PublicURL = cmp.Or(o.PublicURL, o.Origin)
	o.MaxClients = cmp.Or(o.MaxClients, 1000)
	if o.Token == nil {
		o.Token = func() string { return "" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = telemetry.NewMetrics(o.Version, "")
	}
	d := &Dashboard{
		o: o, read: r, log: o.Logger, started: time.Now(),
		csrf:  http.NewCrossOriginProtection(),
		fails: visitor.NewLimiter(o.RateLimit),
		hub:   newHub(r, o),
	}
	if u, err := url.Parse(o.PublicURL); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		d.public = u
		// Behind a proxy that rewrites Host, the sign-in form's Origin is the public one.
		_ = d.csrf.AddTrustedOrigin(u.Scheme + "://" + u.Host) // unreachable unless url.Parse and it disagree
	}
	d.totals = cached[Totals]{ttl: time.Second, load: r.Totals}
	d.overview = cached[*overview]{ttl: 200 * time.Millisecond, load: d.loadOverview}
	d.frontHTML = cached[[]byte]{ttl: 400 * time.Millisecond, load: d.loadFront}
	d.snapshot = cached[snapshot]{ttl: time.Second, load: d.loadSnapshot}
	d.handler = d.routes()
	return d
}

// ServeHTTP serves every page and route of the dashboard, and a friendly 404 for the rest.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, h handlerFunc) { mux.Handle(pattern, d.route(d.private(h), http.MethodGet)) }
	page("/{$}", d.front)
	page("/pulls/{owner}/{repo}/{number}", d.pullPage)
	page("/api/pulls", d.apiPulls)
	page("/api/pulls/{owner}/{repo}/{number}", d.apiPull)
	mux.Handle("/webhook/events", d.cors(d.route(d.private(d.events), http.MethodGet)))
	mux.Handle("/webhook/stats", d.cors(d.route(d.stats, http.MethodGet)))
	page("/debug/pprof/", d.profiles)
	page("/debug/pprof/{profile}", d.profiles)
	mux.Handle("/assets/{file}", d.route(d.asset, http.MethodGet))
	mux.Handle("/favicon.ico", d.route(d.favicon, http.MethodGet))
	mux.Handle("/sign-in", d.route(d.signIn, http.MethodGet, http.MethodPost))
	mux.Handle("/sign-out", d.route(d.signOut, http.MethodPost))
	mux.Handle("/", d.route(func(http.ResponseWriter, *http.Request) error { return errNoPage }))
	return d.guard(mux)
}

// Run follows the change feed for the clients of the event stream until ctx ends; then every stream is ended.
// While there are no clients it does nothing.
func (d *Dashboard) Run(ctx context.Context) error { return d.hub.run(ctx) }

// Disconnect ends every stream and takes no more, so that a server that shuts down need not wait for them. Browsers
// come back by themselves, to whoever answers then.
func (d *Dashboard) Disconnect() { d.hub.end() }

// Clients is how many clients the event stream has.
func (d *Dashboard) Clients() int { return d.hub.size() }

// Nudge says that the change feed has grown, so that clients hear of it at once.
func (d *Dashboard) Nudge() { d.hub.nudge() }

// A cached value is loaded when somebody asks and it is older than ttl, by one caller for all.
type cached[T any] struct {
	ttl  time.Duration
	load func(context.Context) (T, error)

	mu      sync.Mutex
	value   T
	err     error
	at      time.Time
	loading chan struct{} // closed when the load in progress has ended
}

const loadTimeout = 5 * time.Second

// get returns a value no older than ttl. When loading takes longer than patience (0: any time) and there is an older
// value, that one is returned. The load belongs to no request: a client that goes away must not fail the others.
func (c *cached[T]) get(ctx context.Context, patience time.Duration) (T, error) {
	c.mu.Lock()
	if c.loading == nil && !c.at.IsZero() && time.Since(c.at) < c.ttl {
		defer c.mu.Unlock()
		return c.value, c.err
	}
	if c.loading == nil {
		done := make(chan struct{})
		c.loading = done
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
			defer cancel()
			v, err := c.careful(ctx)
			c.mu.Lock()
			if err == nil || c.at.IsZero() {
				c.value = v
			}
			c.err, c.at, c.loading = err, time.Now(), nil
			c.mu.Unlock()
			close(done)
		}()
	}
	done, known := c.loading, !c.at.IsZero()
	c.mu.Unlock()

	var late <-chan time.Time
	if known && patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-done:
	case <-late:
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, c.err
}

// careful loads, and makes an error of a panic: outside of a request's goroutine nobody else would, and the process
// would end.
func (c *cached[T]) careful(ctx context.Context) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return c.load(ctx)
}
