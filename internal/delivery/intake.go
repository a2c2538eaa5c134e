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
	for {
		err := t.all(ctx)
		if ctx.Err() != nil {
			return nil
		}
		wait, nudged := t.Poll, t.wake
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
		timer.Stop()
	}
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

// all takes everything that waits, batch by batch.
func (t *Intake) all(ctx context.Context) error {
	for {
		attempts, taken, err := t.store.Intake(ctx, pull.Taking{Limit: t.Batch}, func(d pull.Delivery) pull.Route { return Route(d.Hint) })
		if err != nil {
			return err
		}
		for _, a := range attempts {
			t.metrics.Attempt(a)
		}
		if taken > 0 {
			t.Woken()
		}
		if taken < t.Batch {
			return nil
		}
		t.yield(ctx, 1) // more waits already: with all the patience of a nudge it would never catch up
		if ctx.Err() != nil {
			return nil
		}
	}
}
