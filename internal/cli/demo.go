package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/demo"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/doctor"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A demonstration is what `demo` can be told.
type demonstration struct {
	cfg     app.Config // of PORT and HOST, and of nothing else
	seed    uint64
	pace    float64
	verbose bool
}

func (w *world) demoCommand() *cobra.Command {
	var (
		d          demonstration
		host, port string
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Shows everything work, with a simulated GitHub",
		Long: `Runs the service against a simulated GitHub on this machine, in which a small cast opens, reviews, breaks, repairs and
merges pull requests for as long as it runs. It needs no account, no set-up and no network, and leaves nothing behind:
the database, the secret and GitHub are its own and temporary. Of the environment it reads PORT and HOST only, and no
.env; it listens on this machine alone unless HOST says otherwise.`,
		Example: `  github-pr-manager demo
  github-pr-manager demo --pace 4          # four times as fast
  PORT=8080 github-pr-manager demo`,
		Args: arguments(0, 0, "no arguments, only flags"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.pace < 0.1 || d.pace > 100 {
				return usagef("--pace is %v: want a factor from 0.1 to 100", d.pace)
			}
			environ := only(w.environ, "PORT", "HOST")
			if host != "" {
				environ = append(environ, "HOST="+host)
			}
			if cmd.Flags().Changed("port") {
				environ = append(environ, "PORT="+port)
			}
			cfg, _, err := app.Load(environ, nil, "")
			if err != nil {
				return err
			}
			if cfg.Host == "" {
				cfg.Host = "127.0.0.1"
			}
			d.cfg = cfg
			return w.demo(cmd.Context(), d)
		},
	}
	f := cmd.Flags()
	f.StringVar(&port, "port", "", "the `port` to listen on (default $PORT, or 3001)")
	f.StringVar(&host, "host", "", "the `address` to listen on (default $HOST, or 127.0.0.1)")
	f.Float64Var(&d.pace, "pace", 1, "how fast the cast works: 2 is twice as fast")
	f.Uint64Var(&d.seed, "seed", 1, "which story is told: the same seed tells the same one")
	f.BoolVar(&d.verbose, "verbose", false, "print the service's log, not only its warnings")
	return cmd
}

// only returns the named variables of an environment; an empty one is none. The last of a name counts.
func only(environ []string, names ...string) []string {
	var out []string
	for _, name := range names {
		for _, kv := range environ {
			if value, ok := strings.CutPrefix(kv, name+"="); ok && value != "" {
				out = append(out, kv)
			}
		}
	}
	return out
}

// demo runs the service, a GitHub and its cast in this process. They meet as they would in life: the cast uses
// GitHub, GitHub sends signed webhooks, the service asks GitHub. Everything else stays on loopback.
func (w *world) demo(ctx context.Context, d demonstration) error {
	if _, err := exec.LookPath("git"); err != nil {
		return usagef("the demonstration keeps real git repositories and needs git: install git")
	}
	dir, err := os.MkdirTemp("", program+"-demo-")
	if err != nil {
		return usagef("can't make a temporary directory: %w", bare(err))
	}
	defer os.RemoveAll(dir)
	level := slog.LevelWarn
	if d.verbose {
		level = slog.LevelInfo
	}
	log := telemetry.NewLogger(w.stdout, level, telemetry.FormatText, &w.secrets)

	front, err := net.Listen("tcp", d.cfg.Address())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return usagef("%s", strings.Replace(doctor.PortTaken(d.cfg.Port), "set PORT to another one: PORT=", "choose another one: --port ", 1))
	case err != nil:
		return usagef("can't listen on %s: %w", d.cfg.Address(), err)
	}
	defer front.Close()
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return usagef("can't open a port for the simulated GitHub: %w", err)
	}
	defer back.Close()

	port := front.Addr().(*net.TCPAddr).Port
	d.cfg.Port = port
	hub := "http://" + back.Addr().String()
	world, err := githubtest.New(githubtest.Options{Dir: filepath.Join(dir, "github"), APIURL: hub, HTMLURL: hub, Seed: d.seed, Logger: log})
	if err != nil {
		return fmt.Errorf("make the simulated GitHub: %w", err)
	}
	secret := rand.Text()
	secretFile := filepath.Join(dir, "webhook-secret")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		return usagef("can't write %s: %w", secretFile, bare(err))
	}
	cast := demo.New(world, demo.Options{
		Hook: localURL(d.cfg) + "/webhook", Secret: secret, Seed: d.seed, Log: log,
		Pace: time.Duration(float64(time.Second) / d.pace),
	})
	here := fmt.Sprintf("http://localhost:%d", port)
	cfg := app.Default()
	cfg.Host, cfg.Port = d.cfg.Host, port
	cfg.PublicURL, cfg.DashboardOrigin = here, here
	cfg.DataDir, cfg.HeapDumpDir = dir, dir
	cfg.DatabaseURL = app.Secret("sqlite:" + filepath.Join(dir, "demo.db"))
	cfg.GitHubAPI, cfg.AppID = hub, cast.App().ID
	cfg.Secrets = app.NewSecrets(app.SecretValues{Webhook: [][]byte{[]byte(secret)}, AppKey: []byte(cast.App().Key)})
	w.secrets.Add(cfg.SecretTexts()...)

	build := ThisBuild()
	a, err := app.New(ctx, cfg, app.Options{
		Log: log, Secrets: &w.secrets, Version: build.Version, Commit: build.Commit, Listener: front, Demo: true,
	})
	if err != nil {
		return fmt.Errorf("start the demonstration: %w", err)
	}
	w.welcome(d, secretFile)

	// The cast and GitHub end first, so that nobody speaks to a service that is leaving.
	stage, leave := context.WithCancel(ctx)
	defer leave()
	github := &http.Server{Handler: world, ReadHeaderTimeout: 5 * time.Second}
	var play errgroup.Group
	play.Go(func() error { return world.Run(stage) })
	play.Go(func() error { return cast.Run(stage) })
	play.Go(func() error {
		if err := github.Serve(back); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("the simulated GitHub stopped: %w", err)
		}
		return nil
	})
	err = a.Run(ctx)
	leave()
	_ = github.Close()
	return errors.Join(err, play.Wait())
}

// welcome tells a newcomer what there is to see.
func (w *world) welcome(d demonstration, secretFile string) {
	at := strings.Replace(localURL(d.cfg), "127.0.0.1", "localhost", 1)
	me := program
	if filepath.Base(os.Args[0]) == program {
		me = os.Args[0]
	}
	w.printf(`
  GitHub PR Manager, demonstration

  Open  %[1]s/

  A simulated GitHub sends signed webhooks about the repositories of a small company. Its people open
  pull requests, review them and push repairs; its CI breaks and recovers. Watch labels come and go
  and pull requests get merged, and read in one sentence why the others are not. Click one of them for
  the reasons, rule by rule, and for what was done.

  Also  %[1]s/health   /ready   /metrics   /webhook/stats   /webhook/events

  Test it as its operators do, in another terminal:
  %[2]s smoke --url %[1]s --secret-file %[3]s

  Nothing here is real and nothing is kept. Ctrl-C ends it.

`, at, me, secretFile)
}
