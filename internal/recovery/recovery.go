// Package recovery finds what never arrived. GitHub tries to deliver a webhook once: what it could not hand over, or
// dropped without a trace, is nobody's to send again unless somebody asks.
//
//	audit   compares GitHub's log of deliveries with what is here, and asks for what is missing   audit.go
//	sweep   looks over all open pull requests from afar, and makes due what has changed unseen    sweep.go
//	beat    says each minute that the service is alive, so that the next start knows how long it was away
//
// The audit finds deliveries, exactly and within minutes, as long as GitHub has them in its log (three days) and shows
// it (an App's always; a repository's to a token that may administer its webhooks; an organization's not yet). The sweep
// finds states, whatever became of their deliveries: it needs no log and no memory of what was missed. Each covers for
// the other; neither decides anything. What the audit finds comes in as any delivery does, and what the sweep finds is
// looked at by a pass, which reads GitHub itself.
//
// One more thing is told of by deliveries alone: the command in a comment, an edge rather than a state. There are no
// commands yet. A comment moves its pull request's updatedAt, so until there are, the sweep looks at everything that was
// commented on, and asking for comments too would find nothing more. What commands will need is a watermark: the moment up
// to which every comment was told of or its pull request looked at since. That is when the last complete sweep of the
// repository began (sweeps.swept_at), and it is kept already.
//
// Of several replicas one does all this: the one that holds the lead, a row in the database that each beat renews. Its
// writes check the lead's fence, so that one that was frozen writes nothing when it wakes; and GitHub is asked for a
// delivery only by whoever has noted in the database that it is about to.
//
// The package owns these two interfaces to GitHub and the store, and everything about how often and how much. All its
// requests are of the lane that leaves the most to others. It refuses to know what a delivery is about or what a policy
// says, and it starts nothing by itself: [Recovery.Run] is its loop, [Recovery.Fetch] the audit by hand.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A Hub is GitHub, as far as recovery needs it. Errors are *pull.Fault.
type Hub interface {
	// Lane returns a context whose requests are charged to the lane of a priority.
	Lane(ctx context.Context, p pull.Priority) context.Context
	AsApp() bool
	Configured() bool

	// Sendings reads a page of the log of a webhook, newest first, and the cursor of the next page.
	Sendings(ctx context.Context, h pull.Hook, cursor string) (page []pull.Sending, next string, err error)
	// SendAgain asks for a delivery again, at least a second after whatever was asked before. FaultGone: it is too old.
	SendAgain(ctx context.Context, h pull.Hook, id int64) error
	// Hooks lists a repository's webhooks. FaultGone and FaultRefused: they are not ours to see.
	Hooks(ctx context.Context, scope pull.Scope, repo pull.Repo) ([]pull.Hook, error)

	// OpenPulls reads a page of the open pull requests of a repository, as seen from afar.
	OpenPulls(ctx context.Context, scope pull.Scope, repo pull.Repo, cursor string) (pull.OpenPage, error)
	Installations(ctx context.Context) ([]pull.Scope, error)
	InstallationRepos(ctx context.Context, scope pull.Scope) ([]pull.Repo, error)
	Repository(ctx context.Context, scope pull.Scope, owner, name string) (pull.Repo, error)
}

// A Store keeps the lead, how far everything was compared, and what is missing. Methods that take a lead fail with
// pull.ErrLost once another replica has it.
type Store interface {
	Beat(ctx context.Context, owner string, term time.Duration) (pull.Beat, error)
	Resign(ctx context.Context, l pull.Lead) error
	Paused(ctx context.Context) (pull.Pause, bool, error)
	Now() time.Time

	Restores(ctx context.Context) ([]pull.Restore, error)
	OurHooks(ctx context.Context) (names map[string]bool, err error)
	Audit(ctx context.Context, hook string) (pull.Audit, error)
	Compare(ctx context.Context, found []pull.Missing) (fresh []pull.Missing, err error)
	Audited(ctx context.Context, l pull.Lead, hook string, a pull.Audit) error
	Missing(ctx context.Context, limit int) ([]pull.Missing, error)
	Asking(ctx context.Context, l pull.Lead, m pull.Missing, next time.Time) (mine bool, err error)
	NotAsked(ctx context.Context, m pull.Missing, next time.Time) error
	AskingByHand(ctx context.Context, guid string, next time.Time) (mine bool, err error)
	EndMissing(ctx context.Context, guid string, state pull.MissingState, why string) (first bool, err error)
	Absent(ctx context.Context, guids []string) ([]string, error)

	Sweepable(ctx context.Context) ([]pull.Sweepable, error)
	Seen(ctx context.Context, repoID int64) (map[int]pull.Seen, error)
	Swept(ctx context.Context, l pull.Lead, repo pull.Repo, scope pull.Scope, w pull.Swept) (marked int, err error)
	NotSwept(ctx context.Context, l pull.Lead, repoID int64, retry time.Time) error
	NoteRepositories(ctx context.Context, l pull.Lead, repos []pull.Sweepable) error
}

// Options are what a Recovery needs to know beside its two neighbours.
type Options struct {
	Owner string        // of the lead: one per process
	Sweep time.Duration // how often open pull requests are looked over; 0 is never
	Audit time.Duration // how often GitHub is asked for missed deliveries; 0 is never
	Beat  time.Duration // how often the service says that it is alive; 0 is a minute
	// MayAct says whether the service may look at a repository at all.
	MayAct func(pull.Repo) bool
	// Named are repositories that the operator has named, by owner and name: they are looked over although no delivery
	// has told of them.
	Named []pull.Repo
	// Address is where the service receives webhooks, as far as it knows: a webhook that leads there is ours.
	Address string

	Metrics *telemetry.Metrics
	Log     *slog.Logger
}

// A Recovery finds what never arrived. Make it with New, run it with Run.
type Recovery struct {
	hub    Hub
	store  Store
	o      Options
	hooks  hookCache // of the audit
	waits  waits     // of the sweep
	spread spread

	mu     sync.Mutex
	status status
}

// A status is what /health and the metrics show.
type status struct {
	leads   bool
	behind  map[string]time.Time // up to when each webhook's log has been compared
	blind   int                  // repositories whose webhooks may not be seen
	trouble string               // what kept the last audit from its end
}

// New returns a Recovery; nothing runs until Run.
func New(h Hub, s Store, o Options) *Recovery {
	if o.Beat <= 0 {
		o.Beat = time.Minute
	}
	if o.MayAct == nil {
		o.MayAct = func(pull.Repo) bool { return true }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = telemetry.NewMetrics("", "")
	}
	return &Recovery{hub: h, store: s, o: o}
}

// Run says that the service is alive, and audits and sweeps while this replica holds the lead, until ctx ends. Then it
// gives the lead up.
func (r *Recovery) Run(ctx context.Context) error {
	if r.o.Audit <= 0 && r.o.Sweep <= 0 {
		<-ctx.Done() // nothing to do, and nothing to look back for
		return nil
	}
	var led *leadership
	end := func() {
		if led != nil {
			led.end()
			led = nil
		}
	}
	defer end()
	t := time.NewTicker(r.o.Beat)
	defer t.Stop()
	for failures, first := 0, true; ; {
		// Twice and a half: one beat may be missed.
		b, err := r.store.Beat(ctx, r.o.Owner, 5*r.o.Beat/2)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			r.o.Metrics.Error(telemetry.ErrDatabase)
			if failures++; failures == 1 {
				r.o.Log.Error("can't say that the service is alive", telemetry.KeyErr, err)
			}
		default:
			failures = 0
			if first {
				r.lookBack(b)
				first = false
			}
			if led != nil && (!b.Leads || led.over() || led.lead != b.Lead) {
				end()
			}
			if led == nil && b.Leads {
				led = r.take(ctx, b.Lead)
			}
			r.note(func(s *status) { s.leads = b.Leads })
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			if led != nil {
				lead := led.lead
				end()
				late, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
				defer done()
				_ = r.store.Resign(late, lead) // else it ends by itself
			}
			return nil
		}
	}
}

// lookBack says how long the service was away, and what follows.
func (r *Recovery) lookBack(b pull.Beat) {
	then := "GitHub is asked for what was missed, and open pull requests are looked over"
	if !r.hub.Configured() {
		then = "without credentials GitHub can't be asked for what was missed"
	}
	switch away := max(r.store.Now().Sub(b.Last), 0).Round(time.Second); {
	case b.Last.IsZero():
		r.o.Log.Info("the service begins with this database: " + then)
	case away <= 2*r.o.Beat:
		r.o.Log.Info(fmt.Sprintf("the service was last alive %s ago: %s", away, then))
	default:
		r.o.Log.Warn(fmt.Sprintf("the service was away for %s, since %s: %s", away, b.Last.UTC().Format("2006-01-02 15:04:05 UTC"), then))
	}
}

// A leadership is the time for which this replica holds the lead.
type leadership struct {
	lead pull.Lead
	stop context.CancelFunc
	done chan struct{}
}

func (l *leadership) end() {
	l.stop()
	<-l.done
}

func (l *leadership) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// take begins to audit and to sweep.
func (r *Recovery) take(ctx context.Context, lead pull.Lead) *leadership {
	ctx, stop := context.WithCancel(r.hub.Lane(ctx, pull.Bulk))
	l := &leadership{lead: lead, stop: stop, done: make(chan struct{})}
	r.o.Log.Debug("this replica looks for what never arrived", "fence", lead.Fence)
	began := r.store.Now()
	go func() {
		defer close(l.done)
		var both sync.WaitGroup
		both.Go(func() {
			r.repeat(ctx, stop, r.o.Audit, func(ctx context.Context) (time.Duration, error) { return r.audit(ctx, lead) })
		})
		both.Go(func() {
			r.repeat(ctx, stop, r.o.Sweep, func(ctx context.Context) (time.Duration, error) { return r.sweep(ctx, lead, began) })
		})
		both.Wait()
	}()
	return l
}

// troubled is how long to wait after an error of the database.
const troubled = 15 * time.Second

// repeat does something again and again, each time after as long as it says, until ctx ends or the lead is lost. An
// interval of 0 is never.
func (r *Recovery) repeat(ctx context.Context, stop func(), every time.Duration, do func(context.Context) (time.Duration, error)) {
	for failures := 0; every > 0; {
		wait, err := do(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, pull.ErrLost):
			r.o.Log.Warn("another replica has taken over to look for what never arrived")
			stop()
			return
		case err != nil:
			r.o.Metrics.Error(telemetry.ErrDatabase)
			if failures++; failures == 1 {
				r.o.Log.Error("can't look for what never arrived; it is tried again", telemetry.KeyErr, err)
			}
			wait = troubled
		default:
			failures = 0
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// pause reports whether d has passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Recovery) note(change func(*status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status)
}

// Lag is for how long GitHub's log of deliveries has not been compared, in seconds: that of the webhook that is furthest
// behind. It is 0 on a replica that does not hold the lead.
func (r *Recovery) Lag() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.status.leads {
		return 0
	}
	now, lag := r.store.Now(), 0.0
	for _, t := range r.status.behind {
		lag = max(lag, now.Sub(t).Seconds())
	}
	return lag
}

// Health is the state of the audit, for people.
func (r *Recovery) Health() telemetry.Check {
	lag := time.Duration(r.Lag() * float64(time.Second)).Round(time.Minute)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	switch {
	case !s.leads:
		return telemetry.Check{Status: telemetry.CheckOK, Detail: "another replica looks for what never arrived"}
	case s.trouble != "":
		return telemetry.Check{Status: telemetry.CheckWarning, Detail: s.trouble}
	case s.blind > 0:
		// An owner may have decided to give no more rights: the smoke test takes this code for a note.
		return telemetry.Check{Status: telemetry.CheckWarning, Code: "webhooks-not-visible", Detail: fmt.Sprintf(
			"the token may not see the webhooks of %s: deliveries missed there are not fetched again, and only the sweep finds what they told of", repositories(s.blind))}
	case lag > 2*r.o.Audit+overlap:
		return telemetry.Check{Status: telemetry.CheckWarning, Detail: fmt.Sprintf("GitHub's log of deliveries has not been compared for %s", lag)}
	}
	return telemetry.Check{Status: telemetry.CheckOK}
}

func repositories(n int) string {
	if n == 1 {
		return "1 repository"
	}
	return fmt.Sprintf("%d repositories", n)
}
