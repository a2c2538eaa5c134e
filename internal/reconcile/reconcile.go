// Package reconcile brings pull requests into the state that their policy asks for, one pass at a time.
//
// A pass is about one key and always the same five steps:
//
//	observe   one snapshot of the pull request, and what the store remembers of it
//	decide    policy.Evaluate, a pure function: a verdict, and the actions that are wanted and not there; where it needs to
//	          know more, that is looked up and it decides again
//	plan      verdict, memory and intentions are written down in one transaction, before anything is done
//	act       for each action: fence, request to GitHub with its precondition, result
//	record    the lease is given back, the deliveries that the pass answered are done, the next look is set
//
// The package owns this order and everything that follows from an outcome: what is retried, when, and what is read
// back first (see act.go and settle.go). It owns how passes share what there is: one that waits for GitHub gives its place
// to another (slow.go), and a key that is looked at all the time waits for its next look (pace.go). Before GitHub's merge
// queue may merge several pull requests together, each is judged again (ahead.go). It owns the two interfaces that it calls,
// Forge and Store. It refuses to know what a policy says, how a sentence reads, what SQL or HTTP look like, and which event
// made a key due: a webhook is a hint to look, never a fact.
//
// A pass holds a pull.Claim. Whoever lost its lease can't write to the store any more: every write takes the claim and
// fails with pull.ErrLost, and the pass ends there. What such a pass may have sent to GitHub meanwhile, the next one
// finds out from GitHub.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A Forge is GitHub, as far as a pass needs it. Errors are *pull.Fault; their class says what to do.
type Forge interface {
	// Lane returns a context whose requests are charged to the lane of a priority: the urgent ones have a part of the
	// budget to themselves.
	Lane(ctx context.Context, p pull.Priority) context.Context
	// Snapshot observes a pull request. FaultGone: it does not exist for these credentials.
	Snapshot(ctx context.Context, scope pull.Scope, repo pull.Repo, number int) (pull.Snapshot, error)
	// Learn looks needs up and returns the snapshot with the answers (pull.Lookups), every one of them: what can't be had is
	// marked as missing. An error is about GitHub as a whole.
	Learn(ctx context.Context, scope pull.Scope, s pull.Snapshot, needs []pull.Need) (pull.Snapshot, error)
	// Apply does one action with its precondition and returns GitHub's id for what it made, where there is one.
	// FaultUnclear means that it may have happened; any other fault means that it did not.
	Apply(ctx context.Context, scope pull.Scope, s pull.Snapshot, a pull.Action) (int64, error)
}

// A Store keeps claims, memory and the ledger. Methods that take a claim fail with pull.ErrLost once somebody else
// holds the key; after that nothing of the pass is written any more.
type Store interface {
	// Claim takes the most urgent key that is due; of those that are as urgent, one of the scope last comes last.
	Claim(ctx context.Context, owner string, lease time.Duration, last pull.Scope) (pull.Claim, bool, error)
	NextDue(ctx context.Context) (time.Time, bool, error)
	Renew(ctx context.Context, c pull.Claim, lease time.Duration) error
	History(ctx context.Context, c pull.Claim) (pull.History, error)
	Plan(ctx context.Context, c pull.Claim, p pull.Plan) error
	Start(ctx context.Context, c pull.Claim, a pull.Action, lease time.Duration) (pull.Intent, error)
	Finish(ctx context.Context, c pull.Claim, in pull.Intent, m pull.Memory) error
	Record(ctx context.Context, c pull.Claim, r pull.PassResult) ([]pull.Attempt, error)
	// TakeTurn takes the turn of a base branch (pull.Turn) unless another pull request has it, Turn reads whose it is, EndTurn
	// gives it back.
	TakeTurn(ctx context.Context, c pull.Claim, base string, until time.Time) (pull.Turn, error)
	Turn(ctx context.Context, repo int64, base string) (pull.Turn, error)
	EndTurn(ctx context.Context, c pull.Claim, base string) error
	Now() time.Time
}

// Options are what a Reconciler needs to know beside its two neighbours.
type Options struct {
	Owner   string        // of leases: one per process
	Workers int           // passes at a time
	Lease   time.Duration // how long a pass owns its key without renewal
	// MayAct says whether the service may look at and act on a repository at all.
	MayAct func(pull.Repo) bool
	// ObserveOnly decides and explains everywhere, and writes nothing to GitHub.
	ObserveOnly bool
	// Poll is how often to look for due keys that nobody told of: those of other replicas, and of commands that work on
	// the same database. 0 is a second.
	Poll time.Duration
	// Page returns the address of a pull request's page, for people who follow the report.
	Page func(r pull.Repo, number int) string

	Metrics *telemetry.Metrics
	Log     *slog.Logger
}

// grace is how long the action in hand may take to end once the service is asked to stop.
const grace = 10 * time.Second

// claimGrace is how long the stop of the service waits for the database's answer to a claim.
const claimGrace = 2 * time.Second

// A Reconciler makes passes over whatever is due. Make it with New, run it with Run.
type Reconciler struct {
	forge    Forge
	store    Store
	o        Options
	wake     chan struct{}
	policies policyCache
	pace     pace // of all looks
	checks   pace // of those that nothing more urgent than a check asked for
	slow     slowScopes
	outage   outage
}

// New returns a Reconciler; nothing runs until Run.
func New(f Forge, s Store, o Options) *Reconciler {
	if o.Workers < 1 {
		o.Workers = 1
	}
	if o.Lease <= 0 {
		o.Lease = 30 * time.Second
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	if o.MayAct == nil {
		o.MayAct = func(pull.Repo) bool { return true }
	}
	if o.Page == nil {
		o.Page = func(pull.Repo, int) string { return "" }
	}
	return &Reconciler{
		forge: f, store: s, o: o, wake: make(chan struct{}, 1),
		pace: pace{inHand: looksInHand, every: lookEvery}, checks: pace{inHand: checkLooks, every: checkEvery},
	}
}

// Wake says that a key may have become due. It never blocks.
func (r *Reconciler) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run claims what is due and passes over it until ctx ends. Then it claims nothing more, lets the actions in hand end,
// gives every lease back and returns nil.
func (r *Reconciler) Run(ctx context.Context) error {
	var passes sync.WaitGroup
	defer passes.Wait()

	// A pass outlives the order to stop by the grace that its action in hand is given.
	work, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { abort(errors.New("the service is stopping")) })
	})()

	slots := make(chan struct{}, r.o.Workers)
	trouble := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		claim, ok, wait, err := r.claim(ctx)
		if ok {
			trouble = 0
			passes.Go(func() { r.hold(slots, claim.Scope, func() { r.Pass(work, ctx.Done(), claim) }) })
			continue
		}
		<-slots
		woken := r.wake
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			wait, woken = min(500*time.Millisecond<<min(trouble, 4), 5*time.Second), nil // a hint must not shorten it
			trouble++
			r.o.Metrics.Error(telemetry.ErrDatabase)
			if !r.outage.met(err, r.o.Log) {
				r.o.Log.Error("can't look for due work", telemetry.KeyErr, err, "again_in", wait)
			}
		default:
			trouble = 0
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-woken:
		}
		t.Stop()
	}
}

// claim takes the most urgent due key, or says how long to wait before looking again. It asks with a read first, so that
// an idle service writes nothing.
func (r *Reconciler) claim(ctx context.Context) (c pull.Claim, ok bool, wait time.Duration, err error) {
	at, due, err := r.store.NextDue(ctx)
	if err != nil || !due {
		return c, false, r.o.Poll, err
	}
	if wait = at.Sub(r.store.Now()); wait > 0 {
		return c, false, min(wait, r.o.Poll), nil
	}
	// A claim that is called off may have been committed all the same, and its key would wait for the lease to run out. So the
	// stop of the service waits for it, for a while; it is handed back then.
	ask, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(claimGrace, giveUp) })()
	c, ok, err = r.store.Claim(ask, r.o.Owner, r.o.Lease, r.slow.most())
	// Due, and yet not to be had: another replica was faster, or its scope is parked. Either is over soon.
	return c, ok && err == nil, min(100*time.Millisecond, r.o.Poll), err
}

// Pass makes one pass for a claim and records its end. stop closes when the service is asked to stop: the action in
// hand then ends, and what is left of the pass is handed back.
func (r *Reconciler) Pass(ctx context.Context, stop <-chan struct{}, c pull.Claim) pull.PassResult {
	began := time.Now()
	log := r.o.Log.With(telemetry.KeyKey, c.Key.String(), telemetry.KeyRepo, c.Repo.FullName(), telemetry.KeyNumber, c.Key.Number)

	held, drop := context.WithCancelCause(r.forge.Lane(ctx, c.Priority))
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		r.keepLease(held, drop, c)
	}()
	p := pass{Reconciler: r, claim: c, log: log, stop: stop}
	res, err := p.safely(held)
	drop(nil)
	<-renewed

	if errors.Is(err, pull.ErrLost) || errors.Is(context.Cause(held), pull.ErrLost) {
		r.o.Metrics.LeaseLost()
		log.Warn("pass stopped: another worker has taken the key over", telemetry.KeyTook, time.Since(began))
		return pull.PassResult{Outcome: pull.PassParked}
	}
	if err != nil {
		r.outage.met(err, log)
		res = *r.failed(err)
	}
	if res.Outcome == pull.PassDone {
		at := r.pace.took(c.Key, r.store.Now())
		if c.Priority >= pull.Background {
			at = later(at, r.checks.took(c.Key, r.store.Now()))
		}
		res.NotBefore = later(res.NotBefore, at)
	}
	attempts, rerr := r.store.Record(ctx, c, res)
	if rerr != nil {
		if errors.Is(rerr, pull.ErrLost) {
			r.o.Metrics.LeaseLost()
		} else {
			r.o.Metrics.Error(telemetry.ErrDatabase)
		}
		// Unreleased, the lease runs out and another pass looks again: nothing is lost but time.
		if !r.outage.met(rerr, log) {
			log.Error("the end of a pass could not be recorded; its lease will run out", telemetry.KeyErr, rerr)
		}
		return res
	}
	if !ofOutage(err) {
		r.outage.over(r.o.Log)
	}
	for _, a := range attempts {
		r.o.Metrics.Attempt(a)
	}
	r.o.Metrics.Pass(res.Outcome)
	level := slog.LevelDebug
	switch {
	case res.Outcome == pull.PassFailed && !ofOutage(err):
		level = slog.LevelError
	case res.Outcome == pull.PassGone || p.acted > 0:
		level = slog.LevelInfo
	}
	log.Log(ctx, level, "pass "+string(res.Outcome), "answered", len(attempts), "acted", p.acted,
		telemetry.KeyTook, time.Since(began).Round(time.Millisecond), telemetry.KeyErr, res.Error)
	return res
}

// safely makes the pass, and turns a panic into a failed one. A pull request's content is up to whoever opened it: one
// that this code can't digest becomes a dead letter, and must not take the service down, again after every restart.
func (p *pass) safely(ctx context.Context) (res pull.PassResult, err error) {
	defer func() {
		if v := recover(); v != nil {
			p.log.Error("a pass panicked", telemetry.KeyErr, fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("pass over %s: a bug in the service: %v", p.claim.Key, v)
		}
	}()
	return p.run(ctx)
}

// keepLease renews the lease until ctx ends, and ends the pass when the lease is lost.
func (r *Reconciler) keepLease(ctx context.Context, drop context.CancelCauseFunc, c pull.Claim) {
	t := time.NewTicker(max(r.o.Lease/3, 50*time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := r.store.Renew(ctx, c, r.o.Lease); errors.Is(err, pull.ErrLost) {
				drop(fmt.Errorf("renew %s: %w", c.Key, err))
				return
			}
			// Any other error is left to the fence check before the next write.
		}
	}
}
