package delivery

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// IntakeOptions say how an intake behaves. Zero values are replaced by what suits a service of ordinary size.
type IntakeOptions struct {
	Batch int           // deliveries per transaction at most; 1,000
	Poll  time.Duration // how often to look without a nudge: rows that a crash or another replica left; 1 s
	// Hints is the list of what waits, where there is one.
	Hints *Hints
	// Busy reports whether the inbox has something to write. While it does, the intake lets it go first, for at most
	// 200 ms at a time, which is how long a key settles anyway: an acknowledgement is awaited by somebody, and a larger
	// batch costs less per delivery.
	Busy func() bool
	// Woken is called when keys may have been marked due. It must not block.
	Woken func()
}

const (
	yieldStep  = 10 * time.Millisecond
	yieldSteps = 20
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// An Intake turns kept deliveries into due keys. Make it with NewIntake; Run is its loop.
type Intake struct {
	IntakeOptions
	store   Store
	metrics *telemetry.Metrics
	log     *slog.Logger
	wake    chan struct{}
	looked  time.Time // when the database was last looked into; Run's
}

// NewIntake returns an intake on s. It starts nothing.
func NewIntake(s Store, m *telemetry.Metrics, log *slog.Logger, o IntakeOptions) *Intake {
	o.Batch = cmp.Or(o.Batch, 1000)
	o.Poll = cmp.Or(o.Poll, time.Second)
	if o.Busy == nil {
		o.Busy = func() bool { return false }
	}
	if o.Woken == nil {
		o.Woken = func() {}
	}
	return &Intake{IntakeOptions: o, store: s, metrics: m, log: log, wake: make(chan struct{}, 1)}
}

// Nudge says that deliveries may wait. It never blocks, and may be called by anybody at any time.
func (t *Intake) Nudge() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Run takes deliveries until ctx ends. Errors of the store are logged once per outage, counted, and waited out.
func (t *Intake) Run(ctx context.Context) error {
	failures := 0
	for look := true; ; {
		err := t.round(ctx, look)
		if ctx.Err() != nil {
			return nil
		}
		if look || t.Hints == nil {
			t.looked = time.Now()
		}
		// Nudges never keep the look into the database from its time.
		wait, nudged := max(0, t.Poll-time.Since(t.looked)), t.wake
		switch {
		case err != nil:
			t.metrics.Error(telemetry.ErrDatabase)
			if failures++; failures == 1 {
				t.log.Error("deliveries wait: intake failed and is tried again", telemetry.KeyErr, err)
			}
			wait, nudged = min(minBackoff<<min(failures-1, 10), maxBackoff), nil // a nudge must not shorten a backoff
		case failures > 0:
			t.log.Info("intake works again", "failed_attempts", failures)
			failures = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-nudged:
			t.yield(ctx, yieldSteps)
		case <-timer.C:
		case <-ctx.Done():
		}
		look = time.Since(t.looked) >= t.Poll
		timer.Stop()
	}
}

// round takes everything that waits and is this replica's to take. Without a list in Redis that is whatever the database
// has. With one, it is what the list names; and, when it is time to look, what is not in the list though it should be:
// at once if the list is empty, else once nobody can be said to be about to take it.
func (t *Intake) round(ctx context.Context, look bool) error {
	if t.Hints == nil {
		return t.all(ctx, pull.Taking{Limit: t.Batch})
	}
	take, complete := t.Hints.usable()
	patience := t.Hints.Lease
	if take {
		drained, err := t.told(ctx)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if drained {
			patience = settled
		}
	}
	switch {
	case !complete:
		return t.all(ctx, pull.Taking{Limit: t.Batch})
	case look:
		return t.all(ctx, pull.Taking{Limit: t.Batch, Before: t.store.Now().Add(-patience)})
	}
	return nil
}

// told takes what the list names, and reports whether the list is empty now. A list that can't be taken from is no error:
// the database knows everything that it knew.
func (t *Intake) told(ctx context.Context) (drained bool, err error) {
	for {
		// Not even an item may leave the list while the queue is paused: its length is what an operator goes by.
		if _, paused, err := t.store.Paused(ctx); err != nil || paused {
			return false, err
		}
		items, drained, err := t.Hints.take(ctx, t.Batch)
		if err != nil {
			return false, nil
		}
		if len(items) > 0 {
			if err := t.takeItems(ctx, items); err != nil {
				return false, err
			}
		}
		if drained || ctx.Err() != nil {
			return drained, nil
		}
		t.yield(ctx, 1)
	}
}

// takeItems takes the deliveries that items name. An item whose delivery has been taken already says nothing new.
func (t *Intake) takeItems(ctx context.Context, items []Item) error {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = item.DeliveryID
	}
	n, err := t.once(ctx, pull.Taking{IDs: ids})
	if err != nil {
		t.Hints.putBack(ctx, items)
		return err
	}
	t.metrics.Hints(telemetry.HintTaken, n)
	if n == len(items) {
		return nil
	}
	if _, paused, err := t.store.Paused(ctx); err != nil || paused {
		t.Hints.putBack(ctx, items) // paused since the look
		return err
	}
	t.metrics.Hints(telemetry.HintStale, len(items)-n)
	return nil
}

// yield lets the inbox go first, but not for ever.
func (t *Intake) yield(ctx context.Context, steps int) {
	for range steps {
		if !t.Busy() {
			return
		}
		select {
		case <-time.After(yieldStep):
		case <-ctx.Done():
			return
		}
	}
}

// all takes what waits in the database, batch by batch.
func (t *Intake) all(ctx context.Context, which pull.Taking) error {
	for {
		taken, err := t.once(ctx, which)
		if err != nil {
			return err
		}
		if taken < which.Limit {
			return nil
		}
		t.yield(ctx, 1) // more waits already: with all the patience of a nudge it would never catch up
		if ctx.Err() != nil {
			return nil
		}
	}
}

// once takes one batch.
func (t *Intake) once(ctx context.Context, which pull.Taking) (taken int, err error) {
	attempts, taken, err := t.store.Intake(ctx, which, func(d pull.Delivery) pull.Route { return Route(d.Hint) })
	if err != nil {
		return 0, err
	}
	for _, a := range attempts {
		t.metrics.Attempt(a)
	}
	if taken > 0 {
		t.Woken()
	}
	return taken, nil
}
