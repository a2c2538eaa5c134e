package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/recovery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
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
	client, metrics, err := gitHub(cfg)
	if err != nil {
		return err
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
		w.printf("GitHub's log has %s since %s, of %s.\n", counted(f.Looked, "delivery", "deliveries"), stamp(f.Since), counted(f.Hooks, "webhook", "webhooks"))
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
	asked, arrived, lost, behind := 0, 0, 0, 0
	rows := make([][]string, 0, len(f.Missing))
	for _, m := range f.Missing {
		said, now := m.Status, "asked for again"
		if m.Lost {
			lost++
			said += " (acknowledged, and lost here)"
		}
		if m.Behind {
			behind++
			said += " (acknowledged after the backup was taken)"
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
		rows = append(rows, []string{m.ID, event(pull.Hint{Event: m.Event, Action: m.Action}), stamp(m.SentAt), said, now})
	}
	w.printf("\n")
	w.table("DELIVERY\tEVENT\tSENT\tGITHUB SAID\tNOW", rows)
	w.printf("\n%s not here; GitHub was asked for %d, and %d have arrived.\n", counted(len(f.Missing), "delivery was", "deliveries were"), asked, arrived)
	if rest := asked - arrived; rest > 0 {
		w.printf("The other %d may take minutes: they come in at the webhook's address, and the service looks after them.\n", rest)
	}
	if lost > 0 {
		w.printf("%d of them had been acknowledged: that must never happen.\n", lost)
	}
	if behind > 0 {
		w.printf("%d of them had been acknowledged after the backup was taken that the database was restored from: that is to be expected.\n", behind)
	}
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
