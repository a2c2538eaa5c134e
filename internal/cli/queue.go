package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) queueCommand() *cobra.Command {
	return group(
		&cobra.Command{
			Use:   "queue",
			Short: "Shows, pauses and resumes the queue, drops work, and deals with dead letters",
			Long: `Works on the database of DATABASE_URL directly, beside a running service or without one: whoever may open the database
may operate. Every replica obeys within a second. What changes something is noted in the table audits.`,
			Example: `  github-pr-manager queue status
  github-pr-manager queue pause
  github-pr-manager queue dead retry --all`,
		},
		w.queueStatusCommand(), w.queueListCommand(), w.queueShowCommand(), w.queuePauseCommand(), w.queueResumeCommand(),
		w.queueDiscardCommand(), w.deadCommand(),
	)
}

// A queueStatus is the queue in numbers.
type queueStatus struct {
	Length        int64          `json:"length"`
	InFlight      int64          `json:"in_flight"`
	Due           int64          `json:"due"`
	Dead          int64          `json:"dead"`
	OldestWaiting *time.Time     `json:"oldest_waiting"`
	LastProcessed *time.Time     `json:"last_processed"`
	Paused        bool           `json:"paused"`
	PausedSince   *time.Time     `json:"paused_since"`
	PausedBy      string         `json:"paused_by"`
	Parked        []parkedStatus `json:"parked"`
	Redis         *redisStatus   `json:"redis"` // null: not configured
}

type parkedStatus struct {
	Scope  pull.Scope `json:"scope"`
	Until  time.Time  `json:"until"`
	Reason string     `json:"reason"`
}

type redisStatus struct {
	Key    string `json:"key"`
	Length int64  `json:"length"`
	Error  string `json:"error,omitempty"`
}

func (w *world) queueStatusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tells how much waits, and whether the queue is paused",
		Long: `Prints how many deliveries wait, how many pull requests are being looked at, how many deliveries are dead letters, how
long the oldest has waited, whether the queue is paused (since when, by whom), what waits for GitHub's limit, and with
REDIS_URL how many items the list in Redis has.`,
		Example: `  github-pr-manager queue status
  github-pr-manager queue status --json | jq .length`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.withStore(cmd.Context(), func(s *store.Store, cfg app.Config) error {
				st, err := queueStatusOf(cmd.Context(), s, cfg)
				if err != nil {
					return err
				}
				if asJSON {
					return w.json(st)
				}
				w.tellStatus(st, s.Now())
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func queueStatusOf(ctx context.Context, s *store.Store, cfg app.Config) (queueStatus, error) {
	st, err := s.Stats(ctx)
	if err != nil {
		return queueStatus{}, err
	}
	pause, paused, err := s.Paused(ctx)
	if err != nil {
		return queueStatus{}, err
	}
	out := queueStatus{
		Length: st.QueueLength, InFlight: st.InFlight, Due: st.Due, Dead: st.Dead, OldestWaiting: moment(st.OldestWaiting),
		LastProcessed: moment(st.LastProcessed), Paused: paused, PausedSince: moment(pause.Since), PausedBy: pause.By, Parked: []parkedStatus{},
	}
	for _, p := range st.Parked {
		out.Parked = append(out.Parked, parkedStatus(p))
	}
	if cfg.RedisURL != "" {
		out.Redis = &redisStatus{Key: cfg.QueueKey}
		err := withHints(ctx, s, cfg, func(ctx context.Context, h *delivery.Hints) (err error) {
			out.Redis.Length, err = h.Len(ctx)
			return err
		})
		if err != nil {
			out.Redis.Error = err.Error()
		}
	}
	return out, nil
}

// redisPatience is how long a command waits for Redis, which nothing depends on.
const redisPatience = 5 * time.Second

// withHints runs do on the list in Redis.
func withHints(ctx context.Context, s *store.Store, cfg app.Config, do func(context.Context, *delivery.Hints) error) error {
	h, err := delivery.NewHints(s, nil, nil, delivery.HintOptions{URL: cfg.RedisURL.Reveal(), Key: cfg.QueueKey})
	if err != nil {
		return err
	}
	defer h.Close()
	ctx, done := context.WithTimeout(ctx, redisPatience)
	defer done()
	return do(ctx, h)
}

func (w *world) tellStatus(st queueStatus, now time.Time) {
	waiting := fmt.Sprintf("%d", st.Length)
	if st.OldestWaiting != nil {
		waiting += fmt.Sprintf(", the oldest for %s (since %s)", span(now.Sub(*st.OldestWaiting)), stamp(*st.OldestWaiting))
	}
	dead := fmt.Sprintf("%d", st.Dead)
	if st.Dead > 0 {
		dead += ": see queue dead list"
	}
	queue := "goes on"
	if st.Paused {
		queue = "paused"
		if st.PausedSince != nil {
			queue += fmt.Sprintf(" since %s by %s", stamp(*st.PausedSince), telemetry.Printable(st.PausedBy))
		}
		queue += fmt.Sprintf("; %s queue resume ends that", program)
	}
	w.printf("waiting    %s\nin flight  %d\ndue        %d\ndead       %s\nqueue      %s\n", waiting, st.InFlight, st.Due, dead, queue)
	for _, p := range st.Parked {
		w.printf("parked     %s until %s: %s\n", telemetry.Printable(string(p.Scope)), stamp(p.Until), telemetry.Printable(p.Reason))
	}
	switch r := st.Redis; {
	case r == nil:
	case r.Error != "":
		w.printf("redis      %s\n", telemetry.Printable(r.Error))
	default:
		w.printf("redis      %d in %s\n", r.Length, telemetry.Printable(r.Key))
	}
}

func (w *world) queueListCommand() *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the deliveries that wait, oldest first",
		Long: `Lists the deliveries that are accepted and not yet processed, the oldest first: "received" ones have yet to be taken in,
"queued" ones wait for a look at their pull request.`,
		Example: `  github-pr-manager queue list
  github-pr-manager queue list --limit 1 --json | jq -r '.deliveries[0].delivery_id'`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := atLeastOne(limit); err != nil {
				return err
			}
			return w.withStore(cmd.Context(), func(s *store.Store, _ app.Config) error {
				ds, err := s.Unprocessed(cmd.Context(), limit)
				if err != nil {
					return err
				}
				st, err := s.Stats(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return w.json(map[string]any{"length": st.QueueLength, "deliveries": allShown(ds)})
				}
				if len(ds) == 0 {
					w.printf("Nothing waits.\n")
					return nil
				}
				w.deliveryTable(ds, s.Now())
				if more := st.QueueLength - int64(len(ds)); more > 0 {
					w.printf("and %d more\n", more)
				}
				return nil
			})
		},
	}
	limited(cmd, &limit)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// A shownWork is what a key waits for, for programs.
type shownWork struct {
	Key         string        `json:"key"`
	PullRequest string        `json:"pull_request"`
	DueAt       *time.Time    `json:"due_at"`
	NotBefore   *time.Time    `json:"not_before"`
	Since       *time.Time    `json:"since"`
	Priority    pull.Priority `json:"priority"`
	Fails       int           `json:"fails"`
	Dead        bool          `json:"dead"`
	Worker      string        `json:"worker"`
	LeaseUntil  *time.Time    `json:"lease_until"`
	ParkedUntil *time.Time    `json:"parked_until"`
	Scope       pull.Scope    `json:"scope"`
}

func shownWorkOf(r store.WorkRow) *shownWork {
	return &shownWork{
		Key: r.Key.String(), PullRequest: fmt.Sprintf("%s#%d", r.Repo.FullName(), r.Key.Number), DueAt: moment(r.DueAt), NotBefore: moment(r.NotBefore),
		Since: moment(r.Since), Priority: r.Priority, Fails: r.Fails, Dead: r.Dead, Worker: r.Owner, LeaseUntil: moment(r.Until),
		ParkedUntil: moment(r.Parked), Scope: r.Scope,
	}
}

func (w *world) queueShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Tells what a delivery waits for",
		Long: `Tells how far a delivery has come and what it waits for: the end of the pause, its turn, more hints about its pull
request, a free worker, the time until a failed look is made again, or GitHub's limit. ID is a delivery's, as queue list
prints it.`,
		Example: `  github-pr-manager queue show 72d3162e-cc78-11e3-81ab-4c9367dc0958`,
		Args:    arguments(1, 1, "one delivery's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return w.withStore(cmd.Context(), func(s *store.Store, cfg app.Config) error {
				d, err := s.Delivery(cmd.Context(), args[0])
				if err != nil {
					return unknownDelivery(err, args[0], cfg)
				}
				_, paused, err := s.Paused(cmd.Context())
				if err != nil {
					return err
				}
				var work *store.WorkRow
				if d.Key != (pull.Key{}) {
					row, err := s.Work(cmd.Context(), d.Key)
					if err != nil {
						return err
					}
					work = &row
				}
				waits := waitsFor(d, work, paused, s.Now())
				if asJSON {
					out := struct {
						shownDelivery
						WaitsFor string     `json:"waits_for"`
						Work     *shownWork `json:"work"`
					}{shown(d), waits, nil}
					if work != nil {
						out.Work = shownWorkOf(*work)
					}
					return w.json(out)
				}
				w.printf("%s  %s about %s, received %s\n%s: %s\n", telemetry.Printable(d.ID), telemetry.Printable(event(d.Hint)),
					telemetry.Printable(about(d.Hint)), stamp(d.ReceivedAt), d.Status, telemetry.Printable(waits))
				if d.Error != "" {
					w.printf("The last of %d attempts failed: %s\n", d.Attempts, telemetry.Printable(d.Error))
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// waitsFor says in a sentence what a delivery waits for.
func waitsFor(d pull.Delivery, k *store.WorkRow, paused bool, now time.Time) string {
	switch d.Status {
	case pull.Processed:
		return "it waits for nothing; done at " + stamp(d.ProcessedAt)
	case pull.Discarded:
		return "it waits for nothing; deliveries replay takes it in again"
	case pull.Dead:
		if k != nil && !k.Dead {
			return "its pull request is looked at again already"
		}
		return "it waits for a person: queue dead show " + d.ID
	}
	switch {
	case k != nil && k.Owner != "" && k.Until.After(now):
		return "its pull request is being looked at by " + k.Owner
	case paused:
		return "the queue is paused: queue resume ends that, process does this one"
	case k == nil && d.Attempts > 0:
		return "it could not be taken in, and is tried again"
	case k == nil:
		return "it waits to be taken in"
	case k.Parked.After(now):
		return "GitHub's limit is reached until " + stamp(k.Parked)
	case k.NotBefore.After(now) && k.Fails > 0:
		return fmt.Sprintf("the last look at its pull request failed (%d in a row), the next is at %s", k.Fails, stamp(k.NotBefore))
	case k.ReadyAt.After(now):
		return "its pull request is looked at at " + stamp(k.ReadyAt)
	}
	return "it waits for a free worker"
}

func (w *world) queuePauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pause",
		Short: "Keeps every replica from taking anything up",
		Long: `Keeps every replica from taking anything up until queue resume, also over restarts: no delivery is taken in and no pull
request looked at. Looks that have begun go on to their end, deliveries are still accepted and kept, and process works.`,
		Example: `  github-pr-manager queue pause`,
		Args:    arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.withStore(cmd.Context(), func(s *store.Store, _ app.Config) error {
				if err := s.Pause(cmd.Context(), w.operator()); err != nil {
					return err
				}
				p, _, err := s.Paused(cmd.Context())
				if err != nil {
					return err
				}
				w.printf("The queue is paused since %s by %s. Deliveries are kept; queue resume takes them up.\n", stamp(p.Since), telemetry.Printable(p.By))
				return nil
			})
		},
	}
}

func (w *world) queueResumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resume",
		Short: "Lets every replica go on",
		Long:  `Ends a pause. Every replica goes on within a second with what has come in meanwhile, oldest first.`,
		Example: `  github-pr-manager queue resume
  github-pr-manager queue resume && github-pr-manager queue status`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.withStore(cmd.Context(), func(s *store.Store, _ app.Config) error {
				p, paused, err := s.Paused(cmd.Context())
				if err != nil {
					return err
				}
				if !paused {
					w.printf("The queue is not paused.\n")
					return nil
				}
				if err := s.Resume(cmd.Context(), w.operator()); err != nil {
					return err
				}
				w.printf("The queue goes on, after %s.\n", span(s.Now().Sub(p.Since)))
				return nil
			})
		},
	}
}

func (w *world) queueDiscardCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "discard ID",
		Short: "Drops a delivery that waits",
		Long: `Drops one delivery: nobody waits for it any more, and its row says "discarded". A pull request that was due for this
delivery alone is not looked at for it; it is when another delivery waits, when more was heard of it, while somebody
works on it, and when its last decision asked for a look. deliveries replay takes a discarded delivery in again.`,
		Example: `  github-pr-manager queue discard 72d3162e-cc78-11e3-81ab-4c9367dc0958`,
		Args:    arguments(1, 1, "one delivery's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return w.withStore(cmd.Context(), func(s *store.Store, cfg app.Config) error {
				done, err := s.Discard(cmd.Context(), w.operator(), args[0])
				if err != nil {
					return err
				}
				d, err := s.Delivery(cmd.Context(), args[0])
				if err != nil {
					return unknownDelivery(err, args[0], cfg)
				}
				id := telemetry.Printable(d.ID)
				switch {
				case done:
					if cfg.RedisURL != "" {
						// So that LLEN tells the truth while the queue is paused. An item that stays does no harm: who takes it finds
						// nothing that waits.
						_ = withHints(cmd.Context(), s, cfg, func(ctx context.Context, h *delivery.Hints) error { return h.Remove(ctx, d.ID) })
					}
					w.printf("%s is discarded.\n", id)
				case d.Status == pull.Discarded:
					w.printf("%s is discarded already.\n", id)
				case d.Status == pull.Dead:
					return fmt.Errorf("%s does not wait, it is dead: queue dead drop gives it up", id)
				default:
					return fmt.Errorf("%s does not wait, it is %s: there is nothing left to drop", id, d.Status)
				}
				return nil
			})
		},
	}
}

func (w *world) deadCommand() *cobra.Command {
	return group(
		&cobra.Command{
			Use:   "dead",
			Short: "Shows dead letters, and gives them another chance or up",
			Long: `A dead letter is a pull request at which six looks in a row have failed, with the deliveries that they were for, or a
delivery that could not be taken in six times. It waits for a person, or for the next webhook about that pull request,
which revives it. ID is OWNER/REPO#NUMBER as dead list prints it, or the id of one of the deliveries.`,
			Example: `  github-pr-manager queue dead list
  github-pr-manager queue dead show octo/app#7
  github-pr-manager queue dead retry octo/app#7`,
		},
		w.deadListCommand(), w.deadShowCommand(),
		w.deadEndCommand("retry", "Gives dead letters another chance", `Makes a dead letter live again, at once and as if nothing had failed: its pull request is due, or its delivery waits to
be taken in.`, "live again", (*store.Store).RetryDead),
		w.deadEndCommand("drop", "Gives dead letters up", `Gives a dead letter up: its deliveries are discarded, and its pull request is not looked at until something new is heard
of it. deliveries replay takes a discarded delivery in again.`, "dropped", (*store.Store).DropDead),
	)
}

// A shownLetter is a dead letter for programs.
type shownLetter struct {
	ID         string     `json:"id"`
	Key        string     `json:"key"`
	Title      string     `json:"title"`
	Fails      int        `json:"fails"`
	Error      string     `json:"error"`
	Since      *time.Time `json:"since"`
	Deliveries int        `json:"deliveries"`
	Revived    bool       `json:"revived"`
}

func shownLetterOf(l store.DeadLetter) shownLetter {
	s := shownLetter{ID: letterID(l), Title: l.Title, Fails: l.Fails, Error: l.Error, Since: moment(l.Since), Deliveries: l.Deliveries, Revived: l.Revived}
	if l.Key != (pull.Key{}) {
		s.Key = l.Key.String()
	}
	return s
}

// letterID is what a person calls a dead letter.
func letterID(l store.DeadLetter) string {
	switch {
	case l.Key == pull.Key{}:
		return l.Delivery.ID
	case l.Repo.FullName() == "":
		return l.Key.String()
	}
	return fmt.Sprintf("%s#%d", l.Repo.FullName(), l.Key.Number)
}

func (w *world) deadListCommand() *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists what failed too often and waits for a person",
		Long:  `Lists dead letters: pull requests first, then deliveries that could not be taken in.`,
		Example: `  github-pr-manager queue dead list
  github-pr-manager queue dead list --json | jq -r '.dead[].error' | sort | uniq -c`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := atLeastOne(limit); err != nil {
				return err
			}
			return w.withStore(cmd.Context(), func(s *store.Store, _ app.Config) error {
				letters, err := s.DeadLetters(cmd.Context(), limit)
				if err != nil {
					return err
				}
				if asJSON {
					out := make([]shownLetter, 0, len(letters))
					for _, l := range letters {
						out = append(out, shownLetterOf(l))
					}
					return w.json(map[string]any{"dead": out})
				}
				if len(letters) == 0 {
					w.printf("There are no dead letters.\n")
					return nil
				}
				rows := make([][]string, 0, len(letters))
				for _, l := range letters {
					since, note := "-", l.Error
					if !l.Since.IsZero() {
						since = span(s.Now().Sub(l.Since))
					}
					if l.Revived {
						note = "tried again, since more was heard of it: " + note
					}
					rows = append(rows, []string{letterID(l), fmt.Sprint(l.Deliveries), since, fmt.Sprint(l.Fails), short(note)})
				}
				w.table("DEAD LETTER\tDELIVERIES\tAGE\tFAILURES\tERROR", rows)
				if len(letters) == limit {
					w.printf("Perhaps there are more: --limit shows them.\n")
				}
				return nil
			})
		},
	}
	limited(cmd, &limit)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (w *world) deadShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Shows a dead letter with its deliveries",
		Long:  `Shows why a dead letter is dead, and the deliveries that wait for it.`,
		Example: `  github-pr-manager queue dead show octo/app#7
  github-pr-manager queue dead show 72d3162e-cc78-11e3-81ab-4c9367dc0958 --json`,
		Args: arguments(1, 1, "one dead letter: OWNER/REPO#NUMBER, or the id of a delivery"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return w.withStore(cmd.Context(), func(s *store.Store, _ app.Config) error {
				l, ds, err := deadLetter(cmd.Context(), s, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return w.json(struct {
						shownLetter
						All []shownDelivery `json:"all"`
					}{shownLetterOf(l), allShown(ds)})
				}
				w.printf("%s\n", strings.TrimSpace(telemetry.Printable(letterID(l))+"  "+telemetry.Printable(l.Title)))
				w.printf("Failed %d times; the last time: %s\n", l.Fails, telemetry.Printable(l.Error))
				if l.Revived {
					w.printf("More was heard of it since, so it is tried again.\n")
				}
				if len(ds) > 0 {
					w.printf("\n")
					w.deliveryTable(ds, s.Now())
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// deadLetter finds a dead letter by what people call it.
func deadLetter(ctx context.Context, s *store.Store, name string) (l store.DeadLetter, ds []pull.Delivery, err error) {
	if owner, repo, number, rerr := reference(name); rerr == nil {
		var key pull.Key
		if key, err = s.PullKey(ctx, owner, repo, number); err == nil {
			l, ds, err = s.DeadKey(ctx, key)
		}
	} else if key, kerr := pull.ParseKey(name); kerr == nil {
		l, ds, err = s.DeadKey(ctx, key)
	} else {
		l, ds, err = s.DeadDelivery(ctx, name)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("there is no dead letter %q: queue dead list shows them all", name)
	}
	return l, ds, err
}

// everything is more dead letters than anybody has.
const everything = 1_000_000

// deadEndCommand is a command that ends what dead letters are: retry or drop.
func (w *world) deadEndCommand(name, brief, long, became string, end func(*store.Store, context.Context, string, store.DeadLetter) (bool, error)) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: name + " ID|--all", Short: brief, Long: long,
		Example: fmt.Sprintf("  github-pr-manager queue dead %[1]s octo/app#7\n  github-pr-manager queue dead %[1]s --all", name),
		Args:    arguments(0, 1, "one dead letter, or --all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return usagef("%s takes one dead letter, or --all: see %s --help", called(cmd), cmd.CommandPath())
			}
			return w.withStore(cmd.Context(), func(s *store.Store, _ app.Config) error {
				var letters []store.DeadLetter
				var err error
				if all {
					letters, err = s.DeadLetters(cmd.Context(), everything)
				} else {
					letters = make([]store.DeadLetter, 1)
					letters[0], _, err = deadLetter(cmd.Context(), s, args[0])
				}
				if err != nil {
					return err
				}
				n := 0
				for _, l := range letters {
					done, err := end(s, cmd.Context(), w.operator(), l)
					if err != nil {
						return fmt.Errorf("%s, after %d others: %w", letterID(l), n, err)
					}
					if !done {
						continue // somebody, or a new webhook, was faster
					}
					n++
					w.printf("%s is %s.\n", telemetry.Printable(letterID(l)), became)
				}
				if n == 0 {
					w.printf("There was nothing to do: no dead letters.\n")
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	return cmd
}
