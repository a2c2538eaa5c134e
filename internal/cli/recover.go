package cli

import (
	"context"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/github"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/recovery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) deliveriesRecoverCommand() *cobra.Command {
	var asJSON bool
	since := 24 * time.Hour
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Asks GitHub for the deliveries that never arrived",
		Long: `Reads GitHub's own log of deliveries and compares it with the database. Whatever is not here, GitHub is asked to send
again, one a second: what it could not deliver, what the service has given up, and what was acknowledged and is gone.
The service does the same by itself, every AUDIT_INTERVAL; this is for those who don't want to wait, or want to see.

GitHub keeps deliveries for three days. It shows an App its own log, and a token those of the webhooks that it may
administer. What GitHub sends comes in at the webhook's address, so the service has to be reachable there.

The exit code is 1 when something that is missing could not be asked for, or a log could not be read.`,
		Example: `  github-pr-manager deliveries recover
  github-pr-manager deliveries recover --since 72h --json | jq -r '.missing[] | select(.asked | not) | .delivery_id'`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since <= 0 {
				return usagef("--since is %s: want how far to look back, such as 6h", since)
			}
			return w.withStore(cmd.Context(), func(s *store.Store, cfg app.Config) error {
				return w.recover(cmd.Context(), s, cfg, since, asJSON)
			})
		},
	}
	cmd.Flags().DurationVar(&since, "since", since, "how far to look back")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (w *world) recover(ctx context.Context, s *store.Store, cfg app.Config, since time.Duration, asJSON bool) error {
	build := ThisBuild()
	metrics := telemetry.NewMetrics(build.Version, build.Commit)
	client, err := github.New(github.Options{
		API: cfg.GitHubAPI, Token: cfg.Secrets.Token, AppID: cfg.AppID, AppKey: cfg.Secrets.AppKey,
		Metrics: metrics, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return &usageError{err}
	}
	if !client.Configured() {
		return usagef("there are no credentials to ask GitHub with: set GITHUB_APP_ID and GITHUB_PRIVATE_KEY_FILE, or GITHUB_TOKEN")
	}
	r := recovery.New(client, s, recovery.Options{
		MayAct:  func(r pull.Repo) bool { return cfg.Repositories.Allows(r.Owner, r.Name) },
		Address: cfg.PublicURL + "/webhook", Metrics: metrics,
	})
	progress := func(string) {}
	if isTerminal(w.stderr) {
		progress = func(what string) { fmt.Fprintf(w.stderr, "%s …\n", what) }
	}
	found, err := r.Fetch(ctx, since, progress)
	if err != nil {
		return err
	}
	if asJSON {
		if err := w.json(found); err != nil {
			return err
		}
	} else {
		w.tellFetched(found)
	}
	if found.Error != "" {
		return fmt.Errorf("GitHub's log of deliveries could not be read: %s", found.Error)
	}
	if found.Blind > 0 || found.Refused() > 0 {
		return errSaid
	}
	return nil
}

// tellFetched prints what was found and done, for people.
func (w *world) tellFetched(f recovery.Fetched) {
	if f.Error == "" || f.Hooks > 0 {
		w.printf("GitHub's log has %s since %s, of %s.\n", counted(f.Looked, "delivery", "deliveries"), f.Since.UTC().Format("2006-01-02 15:04 UTC"), counted(f.Hooks, "webhook", "webhooks"))
	}
	if f.Blind > 0 {
		w.printf("The token may not see the webhooks of %s: what was missed there can't be fetched. It needs the scope admin:repo_hook and its account the role admin.\n",
			counted(f.Blind, "repository", "repositories"))
	}
	if len(f.Missing) == 0 {
		if f.Hooks > 0 && f.Error == "" {
			w.printf("All of them are here.\n")
		}
		return
	}
	asked, arrived, lost := 0, 0, 0
	t := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nDELIVERY\tEVENT\tSENT\tGITHUB SAID\tNOW\n")
	for _, m := range f.Missing {
		event, said, now := m.Event, m.Status, "asked for again"
		if m.Action != "" {
			event += "." + m.Action
		}
		if m.Lost {
			lost++
			said += " (acknowledged, and lost here)"
		}
		switch {
		case m.Arrived:
			now = "has arrived"
			arrived++
			asked++
		case m.Asked:
			asked++
		default:
			now = m.Error
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", telemetry.Printable(m.ID), telemetry.Printable(event), m.SentAt.UTC().Format(time.RFC3339), telemetry.Printable(said), telemetry.Printable(now))
	}
	_ = t.Flush() // a reader who has closed the pipe has seen enough
	w.printf("\n%s not here; GitHub was asked for %d, and %d have arrived.\n", counted(len(f.Missing), "delivery was", "deliveries were"), asked, arrived)
	if rest := asked - arrived; rest > 0 {
		w.printf("The other %d may take minutes: they come in at the webhook's address, and the service looks after them.\n", rest)
	}
	if lost > 0 {
		w.printf("%d of them had been acknowledged: that must never happen. Was the database restored from a backup?\n", lost)
	}
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
