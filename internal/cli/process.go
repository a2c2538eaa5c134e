package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) processCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "process [FILE|-]",
		Short: "Processes one queued item by hand, to the end",
		Long: `Reads one item of the queue, as redis-cli prints it, from FILE or standard input, and brings exactly that delivery to
its end: takes it in, looks at its pull request, decides, writes to GitHub what is missing, and prints the decision and
what was done. It works while the queue is paused and while services run: a pull request that one of them is looking at
is waited for, for LEASE at most.

Without credentials for GitHub nobody can look: the delivery is ended without, as the service does it.

The exit code is 0 when the delivery is done, now or before, and when the queue was empty; 1 when it is not: it could
not be looked at, and waits in the database as before, whatever was taken out of Redis; or nobody knows it.`,
		Example: `  redis-cli LPOP queue:github-webhook | github-pr-manager process -
  github-pr-manager process item.json`,
		Args: arguments(0, 1, "one file at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := w.item(append(args, "-")[0])
			if err != nil {
				return err
			}
			if id == "" {
				if asJSON {
					return w.json(processAnswer{Outcome: "empty"})
				}
				w.printf("The queue is empty.\n")
				return nil
			}
			return w.process(cmd.Context(), id, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// item reads the item that process is given, and returns the delivery's id; "" when the queue had none.
func (w *world) item(name string) (string, error) {
	b, err := w.input(name)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(b))
	// redis-cli prints a string as it is into a pipe, quoted and escaped on a terminal; and nothing, or (nil), for no string.
	if strings.HasPrefix(text, `"`) {
		unquoted, err := strconv.Unquote(text)
		if err != nil {
			return "", errNoItem(errors.New("it is one quoted string only in part"))
		}
		text = unquoted
	}
	if text == "" || text == "(nil)" {
		return "", nil
	}
	i, err := delivery.ParseItem(text)
	if err != nil {
		return "", errNoItem(err)
	}
	return i.DeliveryID, nil
}

func errNoItem(err error) error {
	return fmt.Errorf("that is not an item of the queue (%w): want one line as `redis-cli LPOP` prints it; queue list shows what waits", err)
}

// A processAnswer is what came of an item, for programs.
type processAnswer struct {
	Outcome  string         `json:"outcome"`
	Delivery *shownDelivery `json:"delivery"`
	Pass     string         `json:"pass,omitempty"`
	Error    string         `json:"error,omitempty"`
	Until    *time.Time     `json:"until,omitempty"` // when what is in the way ends
	Decision *explanation   `json:"decision"`
	Did      []didAction    `json:"did"`
}

type didAction struct {
	Kind   pull.ActionKind   `json:"kind"`
	Target string            `json:"target"`
	Status pull.IntentStatus `json:"status"`
	Why    string            `json:"why"`
	Error  string            `json:"error,omitempty"`
}

// outcomes names how processing ended, for programs.
var outcomes = map[app.ProcessOutcome]string{
	app.ProcessedByPass: "pass", app.ProcessedAtIntake: "intake", app.ProcessedBefore: "before", app.ProcessedByOther: "other",
	app.ProcessDiscarded: "discarded", app.ProcessNotTaken: "not_taken", app.ProcessHeldUp: "held_up",
}

func (w *world) process(ctx context.Context, id string, asJSON bool) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	if err := present(cfg); err != nil {
		return err
	}
	build := ThisBuild()
	o, err := app.NewOperator(ctx, cfg, app.Options{Secrets: &w.secrets, Version: build.Version, Commit: build.Commit}, w.operator())
	if err != nil {
		return &usageError{fmt.Errorf("can't use the database %s: %w", cfg.DatabaseName(), err)}
	}
	defer o.Close()
	if err := migrated(ctx, o.Store(), cfg); err != nil {
		return err
	}
	p, err := o.Process(ctx, id, func(h store.Holdup) {
		if isTerminal(w.stderr) {
			fmt.Fprintf(w.stderr, "%s\n", telemetry.Printable(waiting(h)))
		}
	})
	if err != nil {
		return unknownDelivery(err, id, cfg)
	}
	if asJSON {
		if err := w.json(processAnswerOf(p)); err != nil {
			return err
		}
	} else if err := w.tellProcessed(p, o.Observes()); err != nil {
		return err
	}
	return unfinished(p)
}

// waiting says what a person waits for.
func waiting(h store.Holdup) string {
	if h.Owner == "" {
		return "Waiting until " + stamp(h.Until) + " to read back what became of an earlier write…"
	}
	return "Waiting for " + h.Owner + ", which is looking at this pull request…"
}

func processAnswerOf(p app.Processed) processAnswer {
	d := shown(p.Delivery)
	a := processAnswer{Outcome: outcomes[p.Outcome], Delivery: &d, Pass: string(p.Pass.Outcome), Error: p.Pass.Error, Did: []didAction{}}
	switch {
	case p.Outcome == app.ProcessHeldUp:
		a.Until = moment(p.Holdup.Until)
	case p.Pass.Outcome == pull.PassParked:
		a.Until = moment(p.Pass.NotBefore)
	}
	if p.Detail != nil {
		x := explained(*p.Detail, fromPass)
		a.Decision = &x
	}
	for _, in := range p.Did {
		a.Did = append(a.Did, didAction{in.Action.Kind, in.Action.Target, in.Status, in.Action.Why, in.Error})
	}
	return a
}

// tellProcessed prints what came of an item for people, as far as it is no error. observes says that nothing is
// written to GitHub at all.
func (w *world) tellProcessed(p app.Processed, observes bool) error {
	id := telemetry.Printable(p.Delivery.ID)
	switch p.Outcome {
	case app.ProcessedBefore:
		w.printf("%s was processed already, at %s. deliveries replay takes it in again.\n", id, stamp(p.Delivery.ProcessedAt))
	case app.ProcessedByOther:
		w.printf("%s has been processed meanwhile, by a service.\n", id)
	case app.ProcessDiscarded:
		w.printf("%s was discarded. deliveries replay takes it in again.\n", id)
	case app.ProcessedAtIntake:
		w.printf("%s is processed: it is a %s, which names no pull request of its own to look at; what it concerns, if anything, is due.\n",
			id, telemetry.Printable(event(p.Delivery.Hint)))
	case app.ProcessedByPass:
		if p.Detail != nil {
			if err := w.tell(explained(*p.Detail, fromPass)); err != nil {
				return err
			}
			w.printf("\n")
		}
		for _, in := range p.Did {
			line := fmt.Sprintf("%s %s: %s", in.Action.Kind, in.Action.Target, in.Status)
			if in.Error != "" {
				line += ": " + in.Error
			}
			w.printf("%s\n", telemetry.Printable(line))
		}
		switch p.Pass.Outcome {
		case pull.PassDone:
			switch {
			case len(p.Did) > 0:
			case observes:
				w.printf("Nothing is written to GitHub: AGENTS_ENABLED is false.\n")
			default:
				w.printf("There was nothing to write to GitHub.\n")
			}
			w.printf("%s is processed.\n", id)
		case pull.PassGone:
			w.printf("%s is processed: GitHub does not know %s (any more).\n", id, telemetry.Printable(about(p.Delivery.Hint)))
		case pull.PassIgnored:
			why := "it is about a repository that GITHUB_REPOSITORY leaves out"
			if p.NoScope {
				why = "there are no credentials for GitHub (GITHUB_APP_ID or GITHUB_TOKEN), so nobody looked"
			}
			w.printf("%s is ended without a look: %s.\n", id, why)
		}
	}
	return nil
}

// unfinished is the error of an item that is not done; nil when it is.
func unfinished(p app.Processed) error {
	const waits = "the delivery waits in the database as before"
	id := p.Delivery.ID
	switch {
	case p.Outcome == app.ProcessNotTaken:
		return fmt.Errorf("%s could not be taken in: %s; it is %s", id, p.Delivery.Error, p.Delivery.Status)
	case p.Outcome == app.ProcessHeldUp && p.Holdup.Limit:
		return fmt.Errorf("GitHub's limit is reached until %s (%s): %s", stamp(p.Holdup.Until), p.Holdup.Reason, waits)
	case p.Outcome == app.ProcessHeldUp:
		return fmt.Errorf("%s is still looking at the pull request of %s: %s, and is answered by that look or the next", p.Holdup.Owner, id, waits)
	case p.Pass.Outcome == pull.PassFailed && p.Delivery.Status == pull.Dead:
		return fmt.Errorf("the look at %s failed: %s; it is a dead letter: queue dead retry %s tries again", about(p.Delivery.Hint), p.Pass.Error, id)
	case p.Pass.Outcome == pull.PassFailed:
		return fmt.Errorf("the look at %s failed: %s; %s, and is tried again", about(p.Delivery.Hint), p.Pass.Error, waits)
	case p.Pass.Outcome == pull.PassParked && !p.Pass.NotBefore.IsZero():
		return fmt.Errorf("the look at %s has to wait until %s: %s", about(p.Delivery.Hint), stamp(p.Pass.NotBefore), waits)
	case p.Pass.Outcome == pull.PassParked:
		return fmt.Errorf("the look at %s was handed back before its end: %s", about(p.Delivery.Hint), waits)
	}
	return nil
}
