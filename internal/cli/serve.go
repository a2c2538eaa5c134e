package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Runs the service",
		Long: `Receives webhooks at /webhook, keeps them, works on the pull requests that they are about, and shows everything at /.

The service is configured by environment variables and a .env file in the working directory; the environment wins.
Every secret may also be given as NAME_FILE with a path. The ones to begin with:

  WEBHOOK_SECRET           the secret of the webhook, at least 16 bytes; several, comma-separated, are all accepted
  GITHUB_APP_ID            the GitHub App to act as, with GITHUB_PRIVATE_KEY_FILE (see "setup"),
  GITHUB_TOKEN             or a personal access token; without either, the service observes and writes nothing
  DATABASE_URL             sqlite:data/github-pr-manager.db, or postgres://USER:PASSWORD@HOST/DATABASE
  REDIS_URL                optional: a Redis that shows what waits in a list, and shares it between replicas
  PORT, HOST               3001, all interfaces
  PUBLIC_URL               where people reach the pages; DASHBOARD_ORIGIN is the one origin that CORS allows
  DASHBOARD_TOKEN          sign-in for the pages; without it they answer this machine only
  GITHUB_REPOSITORY        owner/repo or owner/*, comma-separated: the only repositories that it may act on
  AGENTS_ENABLED           false: observe only

SIGTERM and SIGINT end it once the work in hand is done, within 25 seconds. SIGHUP reads secrets and certificates again.
SIGUSR2 writes a heap profile into HEAP_DUMP_DIR. Logs go to stdout.

The exit code is 2 when the configuration can't be used (a malformed variable, a port in use, a database that can't be
opened), 1 when the service had to stop by itself, 0 after a signal.`,
		Example: `  github-pr-manager serve
  PORT=3002 GITHUB_TOKEN_FILE=/run/secrets/token github-pr-manager serve`,
		Args: arguments(0, 0, "no arguments: it is configured by the environment"),
		RunE: func(cmd *cobra.Command, _ []string) error { return w.serve(cmd.Context()) },
	}
}

func (w *world) serve(ctx context.Context) error {
	// From the first moment on: the default of both signals is to kill.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)

	cfg, warnings, err := app.Load(w.environ, os.ReadFile, dotenvFile)
	if err != nil {
		w.warn(warnings)
		return err
	}
	w.secrets.Add(cfg.SecretTexts()...)
	log := telemetry.NewLogger(w.stdout, cfg.LogLevel, w.logFormat(cfg.LogFormat), &w.secrets)
	for _, warning := range warnings {
		log.Warn(string(warning))
	}
	fitMachine(log)

	build := ThisBuild()
	a, err := app.New(ctx, cfg, app.Options{Log: log, Secrets: &w.secrets, Version: build.Version, Commit: build.Commit})
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return nil // asked to end before it had begun
	case err != nil:
		// A server that is not there yet is nobody's mistake: who supervises the service shall start it again.
		if t := (*store.Trouble)(nil); errors.As(err, &t) && (t.Kind == store.Away || t.Kind == store.Crowded) {
			return fmt.Errorf("can't start: %w", err)
		}
		return &usageError{fmt.Errorf("can't start: %w", err)}
	}
	return operate(ctx, a, signals)
}

// operate runs the service and answers the operator's signals until it ends.
func operate(ctx context.Context, a *app.App, signals <-chan os.Signal) error {
	ended := make(chan struct{})
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for {
			select {
			case <-ended:
				return
			case s := <-signals:
				// Both log what came of it, good or bad.
				if s == syscall.SIGHUP {
					_ = a.Reload()
				} else {
					_, _ = a.HeapProfile()
				}
			}
		}
	}()
	err := a.Run(ctx)
	close(ended)
	<-answered
	return err
}

// logFormat settles what "" means: text for a person at a terminal, JSON for everything else.
func (w *world) logFormat(f string) string {
	switch {
	case f != "":
		return f
	case isTerminal(w.stdout):
		return telemetry.FormatText
	}
	return telemetry.FormatJSON
}

// fitMachine fits the runtime to the container. The collector has to know the memory limit, or it meets the kernel's
// first; and with one P every fsync of the inbox would hold up the whole program.
func fitMachine(log *slog.Logger) {
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
	if _, err := memlimit.Set(memlimit.WithRatio(0.9), memlimit.WithProvider(memlimit.FromCgroup)); err != nil {
		log.Debug("no memory limit to respect", telemetry.KeyErr, err)
	}
	// Where nobody has set a limit, the collector lets garbage grow to as much as what is in use, and a minute of large
	// bodies from strangers shows as twice their size. Well above what the service needs, it works harder instead.
	if os.Getenv("GOMEMLIMIT") == "" && debug.SetMemoryLimit(-1) > softMemory {
		debug.SetMemoryLimit(softMemory)
	}
}

// softMemory is how much memory the collector aims at, in bytes; operators are promised less than 512 MB.
const softMemory = 320 << 20
