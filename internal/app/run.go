package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/doctor"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/webhook"
)

// Run serves until ctx ends, then drains and returns nil; or ends early with the first error of a part. It closes the
// store, whatever happens.
func (a *App) Run(ctx context.Context) error {
	defer a.Close()

	// Parts end in stages, each with a context of its own: what takes up work first, what keeps deliveries last.
	failed, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	defer fail(nil)
	working, stopWorking := context.WithCancel(failed)
	defer stopWorking()
	keeping, stopKeeping := context.WithCancel(failed)
	defer stopKeeping()

	var workers, keepers errgroup.Group
	part := func(g *errgroup.Group, ctx context.Context, name string, run func(context.Context) error) {
		g.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				fail(fmt.Errorf("%s stopped: %w", name, err))
			}
			return nil
		})
	}
	part(&keepers, keeping, "inbox", a.inbox.Run)
	if a.hints != nil {
		part(&keepers, keeping, "queue in Redis", a.hints.Run)
	}
	if a.cfg.Workers > 0 {
		part(&workers, working, "intake", a.intake.Run)
		part(&workers, working, "reconciler", a.reconciler.Run)
		part(&workers, working, "recovery", a.recovery.Run)
	}
	a.github.WillWatch()
	part(&workers, working, "look at GitHub", a.github.Watch)
	part(&workers, working, "dashboard", a.dashboard.Run)
	part(&workers, working, "store upkeep", a.store.Maintain)
	part(&workers, working, "retention", a.retain)
	part(&keepers, keeping, "secrets", a.watchSecrets)

	var server *http.Server
	if a.listener != nil {
		server = a.serve(keeping, func(err error) { fail(fmt.Errorf("listener stopped: %w", err)) })
	}

	select {
	case <-ctx.Done():
	case <-failed.Done():
		// Every part's context has ended with it; the store stays open until the last of them has let go of it.
		if server != nil {
			_ = server.Close()
		}
		_ = keepers.Wait()
		_ = workers.Wait()
		return context.Cause(failed)
	}

	began := time.Now()
	a.health.Drain()
	stopWorking()
	if server != nil {
		a.log.Info("stopping: no new work is taken; deliveries are still kept until the listener closes")
		if !a.o.Demo {
			pause(failed, drainDelay)
		}
		grace, done := context.WithTimeout(failed, requestGrace)
		if err := server.Shutdown(grace); err != nil {
			_ = server.Close()
		}
		done()
	}
	stopKeeping()
	_ = keepers.Wait()
	_ = workers.Wait()
	if server != nil {
		a.log.Info("stopped", telemetry.KeyTook, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// serve starts the HTTP server on the listener that New made.
func (a *App) serve(ctx context.Context, broken func(error)) *http.Server {
	s := &http.Server{
		Handler:     a.handler,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    quietLog(a.log),
		ConnState:   newConnections(connectionLimit() - streamLimit(a.cfg.StreamClients)).state,
	}
	webhook.Timeouts(s)
	l := a.listener
	if a.certs != nil {
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.certs.get, NextProtos: []string{"http/1.1"}})
	}
	s.RegisterOnShutdown(a.dashboard.Disconnect)
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			broken(err)
		}
	}()
	a.log.Info("listening", "address", a.listener.Addr().String(), "version", a.o.Version, "database", a.store.Engine(),
		"credentials", a.github.Configured(), "workers", a.cfg.Workers)
	return s
}

// retain removes what is older than the retention, once an hour, and when the disk is full.
func (a *App) retain(ctx context.Context) error {
	t := time.NewTicker(purgeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-a.store.Filled():
		}
		switch n, err := a.store.Purge(ctx, a.cfg.Retention); {
		case err != nil && ctx.Err() == nil:
			a.metrics.Error(telemetry.ErrDatabase)
			a.log.Error("what is older than the retention could not be removed", telemetry.KeyErr, err)
		case n > 0:
			a.log.Info("removed what is older than the retention", telemetry.KeyCount, n)
		}
	}
}

// Handler serves everything that the service serves, for tests that need no socket.
func (a *App) Handler() http.Handler { return a.handler }

// Close gives back what New took. Run does it by itself.
func (a *App) Close() {
	if a.listener != nil {
		_ = a.listener.Close()
	}
	if a.hints != nil {
		_ = a.hints.Close()
	}
	if a.store != nil {
		if err := a.store.Close(); err != nil {
			a.log.Error("close the database", telemetry.KeyErr, err)
		}
	}
}

// Reload reads secrets and certificates again (SIGHUP). What is wrong stays as it was, and the error says what.
func (a *App) Reload() error {
	changed, err := a.cfg.Secrets.Reload()
	if err == nil {
		a.hide()
		a.github.Recheck()
	}
	if cerr := a.certs.reload(); cerr != nil {
		err = errors.Join(err, cerr)
	}
	a.watched.forget()
	if err != nil {
		a.log.Error("reload", telemetry.KeyErr, err)
		return err
	}
	a.log.Info("reloaded secrets and certificates", "changed", strings.Join(changed, ", "))
	return nil
}

// secretsLook is how often the files of secrets are looked at. One that has changed is read at the look after: whoever
// writes it may be in the middle.
const secretsLook = 5 * time.Second

// watchSecrets takes up what is new in the files of secrets without a signal, which not everybody can send.
func (a *App) watchSecrets(ctx context.Context) error {
	s := a.cfg.Secrets
	if len(s.files) == 0 {
		return nil
	}
	t := time.NewTicker(secretsLook)
	defer t.Stop()
	for last := s.stamps(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		now := s.stamps()
		if now == last && s.stale(now) {
			_ = a.Reload() // it logs what came of it
		}
		last = now
	}
}

// HeapProfile writes a heap profile and logs where (SIGUSR2).
func (a *App) HeapProfile() (string, error) {
	path, err := telemetry.WriteHeapProfile(a.cfg.HeapDumpDir)
	if err != nil {
		a.log.Error("heap profile", telemetry.KeyErr, err)
		return "", err
	}
	a.log.Info("heap profile written", "path", path)
	return path, nil
}

// hide registers the secrets of the moment with what log lines and pages blank out.
func (a *App) hide() {
	a.o.Secrets.Add(a.cfg.SecretTexts()...)
}

// parked keeps a scope parked for every replica.
func (a *App) parked(scope pull.Scope, until time.Time, reason string) {
	ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	// The moment is by this machine's clock, and replicas go by the database's.
	if err := a.store.ParkScope(ctx, scope, a.store.Now().Add(time.Until(until)), reason); err != nil {
		a.log.Error("note that GitHub's limit is reached", telemetry.KeyScope, scope, telemetry.KeyErr, err)
	}
}

// waits tells for how long a scope is parked, by this machine's clock. A database that does not answer knows of nothing.
func (a *App) waits(ctx context.Context, scope pull.Scope) (time.Time, string) {
	ctx, done := context.WithTimeout(ctx, time.Second)
	defer done()
	until, reason, err := a.store.ParkedUntil(ctx, scope)
	if err != nil || until.IsZero() {
		return time.Time{}, ""
	}
	return time.Now().Add(until.Sub(a.store.Now())), reason
}

// page is the address of a pull request's page.
func (a *App) page(r pull.Repo, number int) string {
	return a.cfg.PublicURL + "/pulls/" + r.Owner + "/" + r.Name + "/" + strconv.Itoa(number)
}

// owner names this process in leases. Containers share process ids, and may share a hostname: what tells them apart is
// chance.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d:%08x", host, os.Getpid(), rand.Uint32())
}

// listen opens the port and explains what most often goes wrong.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		_, text, _ := net.SplitHostPort(address)
		if port, err := strconv.Atoi(text); err == nil {
			return nil, errors.New(doctor.PortTaken(port))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// numbers are the statistics that gauges read.
type numbers struct{ queue, dead, oldest, overdue, backup float64 }

// stats reads the statistics at most once a second, however many gauges a scrape has. While the database is away, the
// last ones stand, and what waits grows older.
type stats struct {
	mu     sync.Mutex
	at     time.Time
	last   store.Stats
	backup float64
}

func (a *App) stat() numbers {
	a.stats.mu.Lock()
	defer a.stats.mu.Unlock()
	if time.Since(a.stats.at) >= time.Second || a.stats.at.IsZero() {
		ctx, done := context.WithTimeout(context.Background(), 2*time.Second)
		defer done()
		if s, err := a.store.Stats(ctx); err == nil { // otherwise /health says that the database is gone
			a.stats.last = s
		}
		if b, err := a.store.LastBackup(ctx); err == nil {
			a.stats.backup = 0
			if !b.TakenAt.IsZero() {
				a.stats.backup = float64(b.TakenAt.UnixMicro()) / 1e6
			}
		}
		a.stats.at = time.Now() // after a failure too: a scrape must not wait for a dead database once per gauge
	}
	since := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return max(0, a.store.Now().Sub(t).Seconds())
	}
	s := a.stats.last
	return numbers{queue: float64(s.QueueLength), dead: float64(s.Dead), oldest: since(s.OldestWaiting), overdue: since(s.OldestDue), backup: a.stats.backup}
}
