package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// What the commands of an operator (queue, deliveries, process) have in common: the database, who operates, and how a
// delivery is shown.

// group is a command that only has commands.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs // so that an unknown command is ours to explain
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(commands...)
	return cmd
}

// withStore runs do on the database, beside a running service or without one.
func (w *world) withStore(ctx context.Context, do func(*store.Store, app.Config) error) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	s, err := w.open(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := migrated(ctx, s, cfg); err != nil {
		return err
	}
	return do(s, cfg)
}

// migrated refuses a database whose schema this program doesn't know how to work on.
func migrated(ctx context.Context, s *store.Store, cfg app.Config) error {
	have, want, err := s.SchemaVersion(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read the schema's version of %s: %w", cfg.DatabaseName(), err)
	case have < want:
		return fmt.Errorf("the schema of %s is version %d, and this program needs %d: run %s migrate up", cfg.DatabaseName(), have, want, program)
	}
	return nil
}

// operator is who runs the command, for the audit log: as far as the system knows, which is who may open the database.
func (w *world) operator() string {
	name := w.lookup("SUDO_USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	if name == "" {
		name = "uid " + strconv.Itoa(os.Getuid())
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// lookup is a variable of the environment.
func (w *world) lookup(name string) string {
	for _, pair := range w.environ {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			return v
		}
	}
	return ""
}

// table prints rows under a heading, aligned, each cell as one line that moves no terminal.
func (w *world) table(heading string, rows [][]string) {
	var aligned strings.Builder
	t := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, heading)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = telemetry.Printable(cell)
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
	for line := range strings.Lines(aligned.String()) {
		w.printf("%s\n", strings.TrimRight(line, " \n"))
	}
}

// A shownDelivery is a delivery for programs.
type shownDelivery struct {
	ID         string              `json:"delivery_id"`
	Event      string              `json:"event"`
	Action     string              `json:"action"`
	Repository string              `json:"repository"`
	Number     int                 `json:"number"`
	Sender     string              `json:"sender"`
	Status     pull.DeliveryStatus `json:"status"`
	Key        string              `json:"key"`
	Attempts   int                 `json:"attempts"`
	Error      string              `json:"error"`
	Seen       int                 `json:"seen_count"`
	SecretSlot int                 `json:"secret_slot"`
	Received   time.Time           `json:"received_at"`
	LastSeen   time.Time           `json:"last_seen_at"`
	Taken      *time.Time          `json:"taken_at"`
	Processed  *time.Time          `json:"processed_at"`
}

func shown(d pull.Delivery) shownDelivery {
	s := shownDelivery{
		ID: d.ID, Event: d.Hint.Event, Action: d.Hint.Action, Repository: d.Hint.Repo.FullName(), Number: d.Hint.Number(), Sender: d.Hint.Sender.Login,
		Status: d.Status, Attempts: d.Attempts, Error: d.Error, Seen: d.SeenCount, SecretSlot: d.SecretSlot,
		Received: d.ReceivedAt, LastSeen: d.LastSeenAt, Taken: moment(d.TakenAt), Processed: moment(d.ProcessedAt),
	}
	if d.Key != (pull.Key{}) {
		s.Key = d.Key.String()
	}
	return s
}

func allShown(ds []pull.Delivery) []shownDelivery {
	out := make([]shownDelivery, 0, len(ds))
	for _, d := range ds {
		out = append(out, shown(d))
	}
	return out
}

// moment is null for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// deliveryTable prints deliveries, one a line.
func (w *world) deliveryTable(ds []pull.Delivery, now time.Time) {
	rows := make([][]string, 0, len(ds))
	for _, d := range ds {
		rows = append(rows, []string{d.ID, string(d.Status), span(now.Sub(d.ReceivedAt)), event(d.Hint), about(d.Hint), short(d.Error)})
	}
	w.table("DELIVERY\tSTATUS\tAGE\tEVENT\tABOUT\tERROR", rows)
}

// event is the event with its action, as GitHub's documentation writes it.
func event(h pull.Hint) string {
	if h.Action == "" {
		return h.Event
	}
	return h.Event + "." + h.Action
}

// about is what a delivery is about, as people call it.
func about(h pull.Hint) string {
	name := h.Repo.FullName()
	switch n := h.Number(); {
	case name == "":
		return "-"
	case n != 0:
		return fmt.Sprintf("%s#%d", name, n)
	}
	return name
}

// short is an error as a table has room for.
func short(text string) string {
	const most = 80
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// span is how long something lasts, to the unit that matters.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// stamp is a moment for people.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// unknownDelivery explains that the database has no such delivery.
func unknownDelivery(err error, id string, cfg app.Config) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return fmt.Errorf("there is no delivery %q in %s: is the id right, and is this the service's DATABASE_URL?", id, cfg.DatabaseName())
}

// asText is a value for people: as JSON, indented.
func asText(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// limited adds the flag that bounds a list.
func limited(cmd *cobra.Command, n *int) {
	cmd.Flags().IntVar(n, "limit", 50, "show at most `N`")
}

// atLeastOne checks that flag.
func atLeastOne(n int) error {
	if n < 1 {
		return usagef("--limit is %d: want at least 1", n)
	}
	return nil
}
