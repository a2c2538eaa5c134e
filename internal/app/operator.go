package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// An Operator does by hand what the service does by itself: it has the store, the reconciler and GitHub, and neither a
// listener nor a loop. It works beside running services. Make it with NewOperator, and close it.
type Operator struct {
	app   *App
	owner string // of its leases
	by    string // who operates
}

// NewOperator opens the database beside whatever service runs on it. by names the person, for the audit log.
func NewOperator(ctx context.Context, cfg Config, o Options, by string) (_ *Operator, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &App{cfg: cfg, o: o, log: o.Log, metrics: telemetry.NewMetrics(o.Version, o.Commit)}
	if err := a.connect(ctx, true); err != nil {
		a.Close()
		return nil, err
	}
	a.reconciler = a.passes()
	return &Operator{app: a, owner: owner(), by: by}, nil
}

// Close closes the database.
func (o *Operator) Close() { o.app.Close() }

// Store is the database.
func (o *Operator) Store() *store.Store { return o.app.store }

// Observes reports whether nothing is written to GitHub, by AGENTS_ENABLED.
func (o *Operator) Observes() bool { return !o.app.cfg.AgentsEnabled }

// A Processed says what came of processing one delivery by hand.
type Processed struct {
	Outcome  ProcessOutcome
	Delivery pull.Delivery     // as it is afterwards, without its body
	Pass     pull.PassResult   // of ProcessedByPass
	NoScope  bool              // there were no credentials for that pass
	Detail   *store.PullDetail // what is known of the pull request after a pass that looked at it
	Did      []pull.Intent     // what that pass wrote to GitHub, or tried to
	Holdup   store.Holdup      // of ProcessHeldUp
}

// A ProcessOutcome is how processing by hand ended.
type ProcessOutcome int

// How processing by hand ends.
const (
	ProcessedByPass   ProcessOutcome = iota + 1 // a pass was made; its result says how it went
	ProcessedAtIntake                           // it names no pull request, or many, and is done with being taken in
	ProcessedBefore                             // it was processed when we came
	ProcessedByOther                            // somebody else was at it, and has done it meanwhile
	ProcessDiscarded                            // somebody has dropped it
	ProcessNotTaken                             // it could not be taken in: Delivery.Error says why
	ProcessHeldUp                               // somebody else works on its pull request, or GitHub's limit is reached
)

// handBack is how long the action in hand may take to end once whoever operates wants to stop.
const handBack = 10 * time.Second

// processPoll is how often to look whether what holds a delivery up is over.
const processPoll = 200 * time.Millisecond

// Process brings one delivery to its end, by hand: it is taken in, its pull request claimed, and a pass made, whatever the
// pause, due times and backoff say. While somebody else works on that pull request it waits, for the length of a lease at
// most; waiting is called when that begins. An unknown delivery is [store.ErrNotFound].
//
// When ctx ends, the action in hand is ended first, and what is left is handed back.
func (o *Operator) Process(ctx context.Context, id string, waiting func(store.Holdup)) (Processed, error) {
	p, err := o.takeIn(ctx, id)
	if err != nil || p.Outcome != 0 {
		return p, err
	}
	work, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(handBack, abort) })()
	s, lease := o.app.store, o.app.cfg.Lease
	patience := s.Now().Add(lease)
	for told := false; ; {
		claim, held, err := s.ClaimKey(ctx, p.Delivery.Key, o.by, id, o.owner, lease)
		if err != nil {
			return p, err
		}
		wait := processPoll
		switch {
		case held == nil:
			p.Outcome, p.NoScope = ProcessedByPass, claim.Scope == ""
			began := s.Now()
			p.Pass = o.app.reconciler.Pass(work, ctx.Done(), claim)
			// A write whose outcome is not known yet is read back seconds later: that is waited for.
			if p.Pass.Outcome != pull.PassParked || p.Pass.NotBefore.IsZero() || p.Pass.NotBefore.After(patience) || ctx.Err() != nil {
				return o.passed(context.WithoutCancel(ctx), p, claim, began)
			}
			held = &store.Holdup{Until: p.Pass.NotBefore}
			wait = max(wait, held.Until.Sub(s.Now()))
		case held.Limit || s.Now().After(patience):
			p.Outcome, p.Holdup = ProcessHeldUp, *held
			return p, nil
		}
		if !told && !held.Until.IsZero() { // zero: it has become free this moment
			told = true
			waiting(*held)
		}
		pause(ctx, wait)
		if p.Delivery, err = o.read(ctx, id); err != nil {
			return p, err
		}
		if p.Delivery.Status == pull.Processed {
			p.Outcome = ProcessedByOther
			return p, nil
		}
	}
}

// takeIn brings a delivery to where its key is known. An outcome in what it returns says that there is no more to do.
func (o *Operator) takeIn(ctx context.Context, id string) (p Processed, err error) {
	if p.Delivery, err = o.read(ctx, id); err != nil {
		return p, err
	}
	switch p.Delivery.Status {
	case pull.Processed:
		p.Outcome = ProcessedBefore
	case pull.Discarded:
		p.Outcome = ProcessDiscarded
	case pull.Dead:
		if p.Delivery.Key != (pull.Key{}) {
			return p, nil // its key is tried again, and with it the delivery
		}
		if _, err := o.app.store.RetryDead(ctx, o.by, store.DeadLetter{Delivery: p.Delivery}); err != nil {
			return p, err
		}
	}
	route := func(d pull.Delivery) pull.Route { return delivery.Route(d.Hint) }
	for tries := 0; p.Outcome == 0; tries++ {
		_, taken, err := o.app.store.Intake(ctx, pull.Taking{IDs: []string{id}, By: o.by}, route)
		if err != nil {
			return p, err
		}
		if p.Delivery, err = o.read(ctx, id); err != nil {
			return p, err
		}
		switch {
		case p.Delivery.Status == pull.Processed && taken > 0:
			p.Outcome = ProcessedAtIntake
		case p.Delivery.Status == pull.Processed:
			p.Outcome = ProcessedByOther
		case p.Delivery.Status == pull.Discarded:
			p.Outcome = ProcessDiscarded
		case p.Delivery.Key != pull.Key{}:
			return p, nil
		case taken > 0 || tries > 10:
			p.Outcome = ProcessNotTaken
		default:
			pause(ctx, processPoll) // a service has it in hand this moment
		}
	}
	return p, nil
}

// read is a delivery as it is now, without its body.
func (o *Operator) read(ctx context.Context, id string) (pull.Delivery, error) {
	d, err := o.app.store.Delivery(ctx, id)
	d.Body, d.Packed = nil, nil
	return d, err
}

// passed adds what a pass has left behind.
func (o *Operator) passed(ctx context.Context, p Processed, c pull.Claim, began time.Time) (_ Processed, err error) {
	if p.Delivery, err = o.read(ctx, p.Delivery.ID); err != nil {
		return p, err
	}
	repo, err := o.app.store.Repository(ctx, c.Key.RepoID) // the pass may have learnt that it is renamed
	if errors.Is(err, store.ErrNotFound) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	d, err := o.app.store.Pull(ctx, repo.Owner, repo.Name, c.Key.Number)
	if errors.Is(err, store.ErrNotFound) {
		return p, nil // never seen, and not by this pass either
	}
	if err != nil {
		return p, err
	}
	if p.Pass.Outcome == pull.PassDone {
		p.Detail = &d
	}
	for _, in := range d.Intents {
		if !in.StartedAt.Before(began) {
			p.Did = append(p.Did, in)
		}
	}
	slices.SortStableFunc(p.Did, func(a, b pull.Intent) int { return a.StartedAt.Compare(b.StartedAt) })
	return p, nil
}
