// Package app joins the parts into a running service, and is the only place where they meet.
//
// New builds everything and starts nothing: a wrong setting, an unreachable file or a taken port is an error before the
// first goroutine. Run starts the long-lived parts and ends them in the reverse order of what depends on what: first
// the service says that it is leaving (/ready), then it stops taking up work, then the listener closes and requests end,
// then what waits in the inbox is kept, then the store closes. Nobody loses an acknowledged delivery over it, because
// acknowledged means that it is in the database already.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/dashboard"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/github"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/reconcile"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/recovery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/webhook"
)

// How long the stages of a shutdown may take; together less than the 25 seconds that operators are promised.
const (
	drainDelay   = 3 * time.Second // /ready says 503, the listener is still open: GitHub never retries
	requestGrace = 8 * time.Second
)

// stuckAfter is how long one transaction of the inbox may take before a restart is the better choice.
const stuckAfter = 30 * time.Second

// stalledAfter is how long it may take before deliveries go elsewhere: their senders have been answered 503 by then.
const stalledAfter = 2 * time.Second

// askedWait is how long /ready waits for the first question to GitHub, or to Redis, to be answered: less than a check may take.
const askedWait = 800 * time.Millisecond

// purgeEvery is how often what is older than the retention is removed.
const purgeEvery = time.Hour

// Options are what a process brings along beside its configuration.
type Options struct {
	Log     *slog.Logger
	Secrets *telemetry.Secrets // what log lines and pages blank out
	Version string
	Commit  string

	// GitHub carries requests to GitHub; nil: the network.
	GitHub http.RoundTripper
	// Self asks the service itself, and its public address, for the doctor; nil: a client of its own.
	Self *http.Client
	// Listener takes the place of HOST and PORT. NoListener serves nobody: tests call Handler.
	Listener   net.Listener
	NoListener bool
	// Demo says on the pages that the GitHub behind them is a simulated one, and ends without a drain delay.
	Demo bool
	// Poll is how often to look for what other replicas or commands have left in the database; 0 is a second.
	Poll time.Duration
	// Ask is how often to ask GitHub how we stand with it while nothing else does; 0 is a minute.
	Ask time.Duration
	// StoreClock and StoreHook are the store's, for tests.
	StoreClock func() time.Time
	StoreHook  func(op string, committed bool) error
}

// An App is the service. Make it with New, run it once with Run.
type App struct {
	cfg        Config
	o          Options
	log        *slog.Logger
	metrics    *telemetry.Metrics
	health     *telemetry.Health
	store      *store.Store
	inbox      *delivery.Inbox
	intake     *delivery.Intake
	hints      *delivery.Hints // nil without Redis
	github     *github.Client
	reconciler *reconcile.Reconciler
	recovery   *recovery.Recovery
	dashboard  *dashboard.Dashboard
	handler    http.Handler
	listener   net.Listener
	certs      *certificate
	watched    *watchedCertificates
	stats      stats
}

// New opens the database, brings its schema up, and builds every part. Nothing runs yet. Close what New returned with
// Run, or with Close when it is never run.
func New(ctx context.Context, cfg Config, o Options) (_ *App, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &App{cfg: cfg, o: o, log: o.Log}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	if err := a.arm(); err != nil {
		return nil, err
	}
	if !o.NoListener {
		if a.listener = o.Listener; a.listener == nil {
			if a.listener, err = listen(ctx, cfg.Address()); err != nil {
				return nil, err
			}
		}
		if a.certs, err = loadCertificate(cfg.TLSCertFile, cfg.TLSKeyFile, a.log); err != nil {
			return nil, err
		}
	}
	a.watched = &watchedCertificates{paths: cfg.Certificates, log: a.log}
	if o.Secrets == nil {
		a.o.Secrets = &telemetry.Secrets{}
	}
	a.hide()
	a.metrics = telemetry.NewMetrics(o.Version, o.Commit)
	a.health = telemetry.NewHealth(o.Version, a.o.Secrets)

	if err := a.connect(ctx, false); err != nil {
		return nil, err
	}
	from, to, err := a.store.Migrate(ctx)
	if err != nil {
		return nil, fmt.Errorf("bring the database's schema up: %w", err)
	}
	if from != to {
		a.log.Info("database schema brought up", "from", from, "to", to, "database", cfg.DatabaseName())
	}

	committed := func([]pull.Delivery) { a.intake.Nudge() }
	if cfg.RedisURL != "" {
		a.hints, err = delivery.NewHints(a.store, a.metrics, a.log, delivery.HintOptions{
			URL: cfg.RedisURL.Reveal(), Key: cfg.QueueKey, Lease: cfg.Lease, Told: a.told,
		})
		if err != nil {
			return nil, err
		}
		committed = a.hints.Tell
	}
	a.inbox = delivery.NewInbox(a.store, a.metrics, a.log, delivery.Options{Committed: committed})
	a.intake = delivery.NewIntake(a.shelf(), a.metrics, a.log, delivery.IntakeOptions{
		Busy: a.inbox.Busy, Poll: o.Poll, Hints: a.hints,
		Woken: func() { a.reconciler.Wake(); a.dashboard.Nudge() },
	})
	a.reconciler = a.passes()
	a.recovery = recovery.New(a.github, a.store, recovery.Options{
		Owner: owner(), Sweep: cfg.SweepInterval, Audit: cfg.AuditInterval,
		MayAct: func(r pull.Repo) bool { return cfg.Repositories.Allows(r.Owner, r.Name) }, Named: cfg.Repositories.Named(),
		Address: cfg.PublicURL + "/webhook", Metrics: a.metrics, Log: a.log,
	})
	a.dashboard = dashboard.New(reader{a.store}, dashboard.Options{
		Token: cfg.Secrets.Dashboard, Origin: cfg.DashboardOrigin, PublicURL: cfg.PublicURL,
		TrustedProxies: cfg.TrustedProxies, RateLimit: cfg.RateLimit,
		Version: o.Version, Logger: a.log, Metrics: a.metrics, Secrets: a.o.Secrets, Demo: o.Demo,
		ReadOnly: !cfg.AgentsEnabled || !a.github.Configured(), MaxClients: streamLimit(cfg.StreamClients),
	})
	a.watch()
	a.handler = a.routes()
	return a, nil
}

// connect builds the client of GitHub and opens the database; beside means beside a service that runs on it.
func (a *App) connect(ctx context.Context, beside bool) (err error) {
	a.github, err = github.New(github.Options{
		API: a.cfg.GitHubAPI, Token: a.cfg.Secrets.Token, AppID: a.cfg.AppID, AppKey: a.cfg.Secrets.AppKey,
		HTTP: a.o.GitHub, Ask: a.o.Ask, Metrics: a.metrics, Logger: a.log, Parked: a.parked, Waits: a.waits,
	})
	if err != nil {
		return err
	}
	a.store, err = store.Open(ctx, a.cfg.DatabaseURL.Reveal(), store.Options{
		Logger: a.log, Clock: a.o.StoreClock, Hook: a.o.StoreHook, Scope: a.github.Scope, Route: delivery.Route,
		Lease: a.cfg.Lease, Beside: beside,
	})
	return err
}

// passes builds what makes passes over pull requests.
func (a *App) passes() *reconcile.Reconciler {
	return reconcile.New(a.github, a.store, reconcile.Options{
		Owner: owner(), Workers: a.cfg.Workers, Lease: a.cfg.Lease,
		MayAct:      func(r pull.Repo) bool { return a.cfg.Repositories.Allows(r.Owner, r.Name) },
		ObserveOnly: !a.cfg.AgentsEnabled,
		Poll:        a.o.Poll, Page: a.page, Metrics: a.metrics, Log: a.log,
	})
}

// routes joins what every package serves.
func (a *App) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/webhook", failingBodies(webhook.New(webhook.Options{
		Secrets: a.cfg.Secrets.Webhook, Validate: a.cfg.SignatureValidation, TrustedProxies: a.cfg.TrustedProxies,
		RateLimit: a.cfg.RateLimit,
	}, a.entrance(), a.metrics, a.log)))
	mux.HandleFunc("/health", a.health.ServeHealth)
	mux.HandleFunc("/ready", a.health.ServeReady)
	mux.Handle("/metrics", a.metrics.Handler(a.log))
	mux.Handle("/", a.dashboard)
	return AccessLog(a.cfg.AccessLog, a.cfg.TrustedProxies, a.log, exact(mux))
}

// watch registers what /health, /ready and the gauges look at.
func (a *App) watch() {
	a.health.Register("database", true, a.databaseCheck)
	a.health.Register("migrations", true, func(ctx context.Context) telemetry.Check {
		have, want, err := a.store.SchemaVersion(ctx)
		switch {
		case err != nil:
			return telemetry.Check{Status: telemetry.CheckFailing, Detail: "the schema's version can't be read"}
		case have < want:
			return telemetry.Check{Status: telemetry.CheckFailing, Detail: fmt.Sprintf("schema %d, need %d: run migrate up", have, want)}
		}
		return telemetry.Check{Status: telemetry.CheckOK, Detail: fmt.Sprintf("schema %d", have)}
	})
	a.health.Register("secret", true, func(context.Context) telemetry.Check {
		switch {
		case !a.cfg.SignatureValidation:
			return telemetry.Check{Status: telemetry.CheckWarning, Detail: "signatures are not validated (WEBHOOK_SIGNATURE_VALIDATION=false)"}
		case len(a.cfg.Secrets.Webhook()) == 0:
			return telemetry.Check{Status: telemetry.CheckFailing, Detail: "no WEBHOOK_SECRET: every webhook is refused"}
		}
		return telemetry.Check{Status: telemetry.CheckOK}
	})
	if a.hints != nil {
		a.health.Register("redis", false, func(ctx context.Context) telemetry.Check {
			// A service that has just started is not to be taken for one that has lost its Redis.
			soon, done := context.WithTimeout(ctx, askedWait)
			defer done()
			a.hints.Looked(soon)
			if what, ok := a.hints.Trouble(); ok {
				return telemetry.Check{Status: telemetry.CheckWarning, Detail: what}
			}
			return telemetry.Check{Status: telemetry.CheckOK}
		})
	}
	a.health.Register("github", false, a.githubCheck)
	a.health.Register("recovery", false, func(context.Context) telemetry.Check { return a.recovery.Health() })
	a.health.Register("queue", false, func(ctx context.Context) telemetry.Check {
		p, paused, err := a.store.Paused(ctx)
		switch {
		case err != nil:
			return telemetry.Check{Status: telemetry.CheckWarning, Detail: "whether it is paused can't be read"}
		case !paused:
			return telemetry.Check{Status: telemetry.CheckOK}
		case p.Since.IsZero():
			return telemetry.Check{Status: telemetry.CheckWarning, Detail: "paused; queue resume ends that"}
		}
		return telemetry.Check{Status: telemetry.CheckWarning, Detail: fmt.Sprintf("paused since %s UTC; queue resume ends that", p.Since.UTC().Format("2006-01-02 15:04:05"))}
	})
	if a.certs != nil || len(a.cfg.Certificates) > 0 {
		a.health.Register("certificate", false, func(context.Context) telemetry.Check { return a.certificateCheck(time.Now()) })
	}
	a.health.RegisterStuck("writer", func() bool { return a.inbox.Writing() > stuckAfter })
	a.metrics.Gauge("github_ready", "1 while /ready answers 200.", a.health.Ready)
	a.metrics.Gauge("github_webhook_queue_length", "Deliveries accepted and not yet processed, all replicas.", func() float64 { return a.stat().queue })
	a.metrics.Gauge("github_dead_letters", "Deliveries that failed too often and wait for a person.", func() float64 { return a.stat().dead })
	a.metrics.Gauge("github_oldest_delivery_seconds", "Age of the oldest delivery that is not yet processed.", func() float64 { return a.stat().oldest })
	a.metrics.Gauge("github_oldest_due_seconds", "How long the most overdue key has been due.", func() float64 { return a.stat().overdue })
	a.metrics.Gauge("github_audit_lag_seconds", "For how long GitHub's log of deliveries has not been compared with what is here.", a.recovery.Lag)
	a.metrics.Gauge("github_certificate_expiry_timestamp_seconds", "When the certificate that is served expires, the earliest of all, in seconds since 1970; 0 while none is known.", a.certificateExpiry)
	a.metrics.Gauge("github_last_backup_timestamp_seconds", "When the last backup was taken, in seconds since 1970; 0 when none is known.", func() float64 { return a.stat().backup })
	a.metrics.Gauge("github_sqlite_wal_bytes", "Length of SQLite's write-ahead log; 0 on PostgreSQL.", func() float64 { return float64(a.store.LogBytes()) })
	a.metrics.Gauge("github_event_stream_clients", "Clients of /webhook/events.", func() float64 { return float64(a.dashboard.Clients()) })
}

// githubCheck says what GitHub's last answers, or their absence, mean for what the service is to do. The service asks by
// itself ([github.Client.Watch]); the first question is waited for, so that nobody is told that all is well before it is known.
func (a *App) githubCheck(ctx context.Context) telemetry.Check {
	if !a.github.Configured() {
		return telemetry.Check{Status: telemetry.CheckWarning, Detail: "no credentials (GITHUB_APP_ID or GITHUB_TOKEN): the service keeps deliveries and does nothing"}
	}
	soon, done := context.WithTimeout(ctx, askedWait)
	defer done()
	var words []string
	if !a.github.Asked(soon) {
		words = append(words, "GitHub has not answered since the start")
	}
	if skew := a.github.Skew(); skew.Abs() > time.Minute {
		words = append(words, fmt.Sprintf("this machine's clock is %s off GitHub's: set it right", skew.Round(time.Second).Abs()))
	}
	if what, since, ok := a.github.Trouble(); ok {
		words = append(words, fmt.Sprintf("%s, since %s UTC; what is due waits", what, since.UTC().Format("15:04:05")))
	}
	if what := a.github.Lacks(); what != "" {
		words = append(words, what)
	}
	if len(words) > 0 {
		return telemetry.Check{Status: telemetry.CheckWarning, Detail: strings.Join(words, "; ")}
	}
	if !a.cfg.AgentsEnabled { // as the operator wants it: a release that is only tried out passes its smoke test
		return telemetry.Check{Status: telemetry.CheckOK, Detail: "AGENTS_ENABLED=false: observes only"}
	}
	return telemetry.Check{Status: telemetry.CheckOK}
}

// databaseCheck says in a few words, and without a host or a name, what is wrong with the database: what the last write
// met, if it met something, because a database that can be read may still refuse every delivery.
func (a *App) databaseCheck(ctx context.Context) telemetry.Check {
	err := a.store.Ping(ctx)
	var t *store.Trouble
	switch now, since := a.store.Trouble(); {
	case errors.As(err, &t):
		return telemetry.Check{Status: telemetry.CheckFailing, Detail: t.Plain()}
	case err != nil:
		return telemetry.Check{Status: telemetry.CheckFailing, Detail: a.store.Engine() + ": does not answer"}
	case a.inbox.Writing() > stalledAfter:
		return telemetry.Check{Status: telemetry.CheckFailing, Detail: a.store.Engine() + ": does not answer to a write"}
	case now != nil:
		return telemetry.Check{Status: telemetry.CheckFailing, Detail: fmt.Sprintf("%s, since %s UTC", now.Plain(), since.UTC().Format("15:04:05"))}
	}
	if w := a.store.Warning(); w != "" {
		return telemetry.Check{Status: telemetry.CheckWarning, Detail: w}
	}
	return telemetry.Check{Status: telemetry.CheckOK, Detail: a.store.Engine()}
}
