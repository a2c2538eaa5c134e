package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/probe"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A visit is what smoke and readiness can be told.
type visit struct {
	url        string
	secretFile string
	ca         string
	timeout    time.Duration
	patience   time.Duration
	asJSON     bool
}

const visitHelp = `Each line says pass, fail or skipped, and why; a failure also what to do. The exit code is 0 when nothing failed, 1
when something did, and 2 for wrong usage or configuration. It is safe against production at any time: it sends two
deliveries that have to be refused, and one ping, twice under one id.

The secret comes from --secret-file, or else from WEBHOOK_SECRET or WEBHOOK_SECRET_FILE; the sign-in from
DASHBOARD_TOKEN or DASHBOARD_TOKEN_FILE (environment or .env). Without a secret the test fails, because then the
most important thing was not looked at. Certificates of an authority of your own: --ca, or SSL_CERT_FILE.`

func (w *world) smokeCommand() *cobra.Command {
	var v visit
	cmd := &cobra.Command{
		Use:   "smoke",
		Short: "Tests in seconds whether a running service does what it should",
		Long: `Looks at a running service from outside: /health, /ready (warnings count as failures), /metrics, /webhook/stats, the
headers for browsers, the event stream, and /webhook: what is not signed, or wrongly, has to be refused, a signed
ping accepted, and the same one again recognised.

` + visitHelp,
		Example: `  github-pr-manager smoke
  github-pr-manager smoke --url http://localhost:3002            # the green release, before traffic is switched to it
  github-pr-manager smoke --json | jq '.checks[] | select(.outcome == "fail")'`,
		Args: arguments(0, 0, "no arguments: the service is the one of --url"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.visit(cmd.Context(), "smoke", v, func(app.Config) []probe.Check { return probe.Smoke() })
		},
	}
	v.flags(cmd)
	return cmd
}

func (w *world) readinessCommand() *cobra.Command {
	var v visit
	cmd := &cobra.Command{
		Use:   "readiness",
		Short: "Tests whether an installation is ready for production",
		Long: `The smoke test, and what production needs beside it: the ping is processed within seconds; the certificate is valid
for two more weeks (of --url and of PUBLIC_URL, where they are https); the pages ask for a sign-in; failed
signatures are limited; clocks agree; backups are made. Run where the service's DATABASE_URL and REDIS_URL are set,
it also looks at these: whether the schema is current, the ping has come in there, and the queue is not paused;
whether Redis answers, never throws keys away, and has a list where the queue is.

` + visitHelp,
		Example: `  github-pr-manager readiness
  github-pr-manager readiness --url https://pulls.example.com --ca authority.pem
  docker-compose -f docker-compose.production.yml exec github-pr-manager github-pr-manager readiness`,
		Args: arguments(0, 0, "no arguments: the service is the one of --url"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.visit(cmd.Context(), "readiness", v, func(cfg app.Config) []probe.Check {
				return append(probe.Readiness(), w.databaseVisit(cfg, v.url != ""), w.redisVisit(cfg))
			})
		},
	}
	v.flags(cmd)
	cmd.Flags().DurationVar(&v.patience, "patience", 15*time.Second, "how long the ping may take until it is processed")
	return cmd
}

func (v *visit) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&v.url, "url", "", "the service's `URL` (default http://localhost:$PORT)")
	f.StringVar(&v.secretFile, "secret-file", "", "read the secret from this `file`")
	f.StringVar(&v.ca, "ca", "", "believe certificates of the authorities in this PEM `file` too")
	f.DurationVar(&v.timeout, "timeout", 10*time.Second, "how long to wait for one answer; GitHub waits 10s")
	f.BoolVar(&v.asJSON, "json", false, "print JSON")
}

// visit runs checks against a service and tells how they came out.
func (w *world) visit(ctx context.Context, name string, v visit, checks func(app.Config) []probe.Check) error {
	if v.timeout <= 0 {
		return usagef("--timeout is %s: want a positive duration such as 10s", v.timeout)
	}
	if v.patience < 0 {
		return usagef("--patience is %s: want a positive duration such as 15s", v.patience)
	}
	cfg, err := w.config()
	if err != nil {
		return err
	}
	s, err := w.visited(cfg, v)
	if err != nil {
		return err
	}
	rows := checks(cfg)
	tell := w.telling(rows)
	if v.asJSON {
		tell = func(probe.Result) {}
	} else {
		w.printf("%s of %s\n\n", name, s.URL)
	}
	began := time.Now()
	all := probe.Run(ctx, s, rows, tell)
	passed, failed, skipped := probe.Count(all, probe.Pass), probe.Count(all, probe.Fail), probe.Count(all, probe.Skipped)
	outcome := probe.Pass
	if failed > 0 || ctx.Err() != nil {
		outcome = probe.Fail
	}
	if v.asJSON {
		for i := range all {
			all[i].Seen = w.secrets.Scrub(all[i].Seen)
		}
		err = w.json(map[string]any{"test": name, "url": s.URL, "outcome": outcome, "passed": passed, "failed": failed, "skipped": skipped, "checks": all})
	} else {
		w.printf("\n%d passed, %d failed, %d skipped, in %.1f s\n", passed, failed, skipped, time.Since(began).Seconds())
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: stopped before its end", name)
	case failed == 0:
		return nil
	}
	var names []string
	for _, r := range all {
		if r.Outcome == probe.Fail {
			names = append(names, r.Check)
		}
	}
	return fmt.Errorf("%s: %d of %d checks failed: %s", name, failed, len(all), strings.Join(names, ", "))
}

// visited is the service to look at, and what there is to look with.
func (w *world) visited(cfg app.Config, v visit) (probe.Service, error) {
	s := probe.Service{
		Token: cfg.Secrets.Dashboard(), Agent: program + "/" + ThisBuild().Version, Timeout: v.timeout, Patience: v.patience,
	}
	if v.url == "" {
		s.URL = strings.Replace(localURL(cfg), "127.0.0.1", "localhost", 1)
	} else {
		u, err := url.Parse(v.url)
		if err != nil || !webAddress(v.url) || u.User != nil || strings.Trim(u.Path, "/")+u.RawQuery+u.Fragment != "" {
			return s, usagef("--url is not the address of a service: want http://HOST:PORT, without a path")
		}
		s.URL = u.Scheme + "://" + u.Host
	}
	if strings.HasPrefix(cfg.PublicURL, "https:") {
		s.Public = cfg.PublicURL
	}
	switch secrets := cfg.Secrets.Webhook(); {
	case v.secretFile != "":
		secret, err := w.secret(v.secretFile)
		if err != nil {
			return s, err
		}
		w.secrets.Add(secret)
		s.Secret = secret
	case len(secrets) > 0:
		s.Secret = string(secrets[0])
	}
	if v.ca != "" {
		text, err := os.ReadFile(v.ca)
		if err != nil {
			return s, usagef("can't read --ca %s: %w", v.ca, bare(err))
		}
		if s.Roots, err = x509.SystemCertPool(); err != nil {
			s.Roots = x509.NewCertPool() // a machine without authorities
		}
		if !s.Roots.AppendCertsFromPEM(text) {
			return s, usagef("--ca %s holds no certificate: want a PEM file", v.ca)
		}
	}
	return s, nil
}

// telling prints results as they come, in columns.
func (w *world) telling(rows []probe.Check) func(probe.Result) {
	width := 20
	for _, c := range rows {
		width = max(width, utf8.RuneCountInString(c.Name))
	}
	marks := map[probe.Outcome]string{probe.Pass: "✓ pass   ", probe.Fail: "✗ fail   ", probe.Skipped: "- skipped"}
	return func(r probe.Result) {
		line := func(text string) string { return telemetry.Printable(w.secrets.Scrub(text)) }
		w.printf("%s  %-*s  %s\n", marks[r.Outcome], width, line(r.Check), line(r.Seen))
		if r.Outcome == probe.Fail {
			w.printf("%*swanted: %s\n", width+13, "", r.Expected)
			w.printf("%*sdo:     %s\n", width+13, "", line(r.Do))
		}
	}
}

// databaseVisit looks at the service's database, where this machine knows one: with DATABASE_URL, or beside the service's
// own file.
func (w *world) databaseVisit(cfg app.Config, elsewhere bool) probe.Check {
	c := probe.Check{Name: "database", Want: "the schema is current, the ping is there, and the queue is not paused", Alone: true}
	c.Look = func(ctx context.Context, v *probe.Visit) []probe.Finding {
		if own := "sqlite:" + filepath.ToSlash(filepath.Join(cfg.DataDir, "github-pr-manager.db")); cfg.DatabaseURL.Reveal() == own {
			if err := present(cfg); err != nil || elsewhere {
				return []probe.Finding{{Outcome: probe.Skipped, Seen: "no DATABASE_URL here"}}
			}
		}
		ctx, done := context.WithTimeout(ctx, v.Timeout)
		defer done()
		return w.lookAtDatabase(ctx, cfg, v)
	}
	return c
}

func (w *world) lookAtDatabase(ctx context.Context, cfg app.Config, v *probe.Visit) []probe.Finding {
	failing := func(about, seen, do string) []probe.Finding {
		return []probe.Finding{{About: about, Outcome: probe.Fail, Seen: seen, Do: do}}
	}
	unwell := func(err error) []probe.Finding {
		what := err.Error()
		if t := (*store.Trouble)(nil); errors.As(err, &t) {
			what = t.Plain()
		}
		return failing("", what, "mend that, or set DATABASE_URL here to the service's")
	}
	s, err := w.open(ctx, cfg)
	if err != nil {
		return unwell(err)
	}
	defer s.Close()
	have, want, err := s.SchemaVersion(ctx)
	switch {
	case err != nil:
		return unwell(err)
	case have < want:
		return failing("schema", fmt.Sprintf("it is version %d, and this program needs %d", have, want), "run "+program+" migrate up")
	}
	found := []probe.Finding{{About: "schema", Outcome: probe.Pass, Seen: fmt.Sprintf("version %d, as this program needs", have)}}
	if have > want { // the other way round is served, while a release is taken back
		found[0].Seen = fmt.Sprintf("version %d, of a later release than this program's %d", have, want)
	}
	switch p, paused, err := s.Paused(ctx); {
	case err != nil:
		return append(found, unwell(err)...)
	case paused:
		since := ""
		if !p.Since.IsZero() {
			since = " since " + stamp(p.Since)
		}
		if p.By != "" {
			since += ", by " + p.By
		}
		found = append(found, failing("queue", "paused"+since, "run "+program+" queue resume")...)
	default:
		found = append(found, probe.Finding{About: "queue", Outcome: probe.Pass, Seen: "not paused"})
	}
	if v.Ping.ID == "" {
		return append(found, probe.Finding{About: "ping", Outcome: probe.Skipped, Seen: "no ping was accepted"})
	}
	switch d, err := s.Delivery(ctx, v.Ping.ID); {
	case errors.Is(err, store.ErrNotFound):
		return append(found, failing("ping", "the ping that the service has accepted is not there: this is not the service's database",
			"set DATABASE_URL here to the service's, or leave it out")...)
	case err != nil:
		return append(found, unwell(err)...)
	case d.Status == pull.Dead:
		return append(found, failing("ping", "it is dead: "+d.Error, program+" queue dead list says more")...)
	default:
		return append(found, probe.Finding{About: "ping", Outcome: probe.Pass, Seen: "kept, and " + string(d.Status)})
	}
}

// redisVisit looks at the service's Redis, where REDIS_URL says which.
func (w *world) redisVisit(cfg app.Config) probe.Check {
	c := probe.Check{Name: "redis", Want: "Redis answers, throws nothing away, and has a list where the queue is", Alone: true}
	c.Look = func(ctx context.Context, v *probe.Visit) []probe.Finding {
		if cfg.RedisURL == "" {
			return []probe.Finding{{Outcome: probe.Skipped, Seen: "no REDIS_URL here"}}
		}
		ctx, done := context.WithTimeout(ctx, v.Timeout)
		defer done()
		found, err := delivery.LookAt(ctx, cfg.RedisURL.Reveal(), cfg.QueueKey)
		trouble := found.Trouble()
		if err != nil {
			trouble = err.Error()
		}
		if trouble != "" {
			return []probe.Finding{{Outcome: probe.Fail, Seen: trouble, Do: "mend that; meanwhile deliveries are taken from the database, and none is lost"}}
		}
		return []probe.Finding{{Outcome: probe.Pass, Seen: fmt.Sprintf("it answers, throws nothing away, and %d wait in %s", found.Length, cfg.QueueKey)}}
	}
	return c
}
