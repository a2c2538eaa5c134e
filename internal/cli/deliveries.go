package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) deliveriesCommand() *cobra.Command {
	return group(
		&cobra.Command{
			Use:   "deliveries",
			Short: "Shows deliveries, takes them in again, and fetches those that never arrived",
			Long: `Works on the database of DATABASE_URL directly, beside a running service or without one: whoever may open the database
may operate.`,
			Example: `  github-pr-manager deliveries list
  github-pr-manager deliveries show --body 72d3162e-cc78-11e3-81ab-4c9367dc0958`,
		},
		w.deliveriesListCommand(), w.deliveriesShowCommand(), w.deliveriesReplayCommand(), w.deliveriesRecoverCommand(),
	)
}

func (w *world) deliveriesListCommand() *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the newest deliveries",
		Long:  `Lists deliveries, the newest first, whatever became of them. queue list shows those that wait, the oldest first.`,
		Example: `  github-pr-manager deliveries list
  github-pr-manager deliveries list --limit 500 --json | jq -r '.deliveries[] | select(.status == "dead") | .error'`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := atLeastOne(limit); err != nil {
				return err
			}
			return w.withStore(cmd.Context(), func(s *store.Store, _ app.Config) error {
				ds, err := s.Deliveries(cmd.Context(), limit)
				if err != nil {
					return err
				}
				if asJSON {
					return w.json(map[string]any{"deliveries": allShown(ds)})
				}
				if len(ds) == 0 {
					w.printf("Nothing has arrived yet.\n")
					return nil
				}
				w.deliveryTable(ds, s.Now())
				return nil
			})
		},
	}
	limited(cmd, &limit)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (w *world) deliveriesShowCommand() *cobra.Command {
	var asJSON, body bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Shows everything about a delivery",
		Long: `Prints a delivery's status and times, the headers that are kept of it, the hint (all that was read from the body), and
with --body the body as it was signed, as long as it is kept (RETENTION_DAYS).`,
		Example: `  github-pr-manager deliveries show 72d3162e-cc78-11e3-81ab-4c9367dc0958
  github-pr-manager deliveries show --body --json 72d3162e-cc78-11e3-81ab-4c9367dc0958 | jq .body.pull_request.title`,
		Args: arguments(1, 1, "one delivery's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return w.withStore(cmd.Context(), func(s *store.Store, cfg app.Config) error {
				d, err := s.Delivery(cmd.Context(), args[0])
				if err != nil {
					return unknownDelivery(err, args[0], cfg)
				}
				if asJSON {
					out := struct {
						shownDelivery
						Headers  map[string]string `json:"headers"`
						Hint     pull.Hint         `json:"hint"`
						SHA256   string            `json:"body_sha256"`
						BodyKept bool              `json:"body_kept"`
						Body     any               `json:"body,omitempty"`
					}{shown(d), d.Headers, d.Hint, fmt.Sprintf("%x", d.BodyHash), d.Body != nil, nil}
					if body && d.Body != nil {
						out.Body = rawOrText(d.Body)
					}
					return w.json(out)
				}
				w.tellDelivery(d)
				switch {
				case !body:
				case d.Body == nil:
					w.printf("\nIts body is not kept any more.\n")
				default:
					w.printf("\n%s\n", bodyText(d.Body))
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&body, "body", false, "print the body too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// tellDelivery prints a delivery for people.
func (w *world) tellDelivery(d pull.Delivery) {
	line := func(name, value string) { w.printf("%-10s %s\n", name, telemetry.Printable(value)) }
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			line(name, stamp(t))
		}
	}
	line("delivery", d.ID)
	line("event", event(d.Hint))
	line("about", about(d.Hint))
	if d.Hint.Sender.Login != "" {
		line("sender", d.Hint.Sender.Login)
	}
	line("status", string(d.Status))
	if d.Key != (pull.Key{}) {
		line("key", d.Key.String())
	}
	line("attempts", fmt.Sprint(d.Attempts))
	if d.Error != "" {
		line("error", d.Error)
	}
	at("received", d.ReceivedAt)
	if d.SeenCount > 1 {
		line("again", fmt.Sprintf("%s, seen %d times", stamp(d.LastSeenAt), d.SeenCount))
	}
	at("taken", d.TakenAt)
	if d.Status == pull.Discarded {
		at("discarded", d.ProcessedAt)
	} else {
		at("processed", d.ProcessedAt)
	}
	if d.SecretSlot >= 0 {
		line("signed by", fmt.Sprintf("secret %d, counted from 0", d.SecretSlot))
	} else {
		line("signed by", "nobody: signatures were not validated")
	}
	w.printf("\n")
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		w.printf("%s: %s\n", telemetry.Printable(name), telemetry.Printable(d.Headers[name]))
	}
	w.printf("\nhint %s\n", printable(asText(d.Hint)))
}

// bodyText is a body for people: indented where it is JSON, and one that moves no terminal.
func bodyText(body []byte) string {
	if json.Valid(body) {
		return printable(asText(json.RawMessage(body)))
	}
	if !utf8.Valid(body) {
		return fmt.Sprintf("%q", body)
	}
	return printable(string(body))
}

func (w *world) deliveriesReplayCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "replay ID",
		Short: "Takes a delivery in again",
		Long: `Makes a delivery that is processed, dead or discarded wait again, as if it had just come: the service takes it in, and
looks at the pull request that it is about. What was done for it before is not done twice: a look writes only what is
missing. It works for a delivery whose body is no longer kept too, since what was read from the body is.`,
		Example: `  github-pr-manager deliveries replay 72d3162e-cc78-11e3-81ab-4c9367dc0958`,
		Args:    arguments(1, 1, "one delivery's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return w.withStore(cmd.Context(), func(s *store.Store, cfg app.Config) error {
				done, err := s.Replay(cmd.Context(), w.operator(), args[0])
				if err != nil {
					return err
				}
				d, err := s.Delivery(cmd.Context(), args[0])
				if err != nil {
					return unknownDelivery(err, args[0], cfg)
				}
				_, paused, err := s.Paused(cmd.Context())
				if err != nil {
					return err
				}
				note := ""
				if paused {
					note = " once the queue goes on: it is paused"
				}
				if !done {
					w.printf("%s waits already; it is taken up%s.\n", telemetry.Printable(d.ID), note)
					return nil
				}
				w.printf("%s is taken in again%s.\n", telemetry.Printable(d.ID), note)
				return nil
			})
		},
	}
}
