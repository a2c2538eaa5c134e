package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// lagging is how many times a 404 may be a copy of GitHub's that lags behind.
const lagging = 3

// act carries one action out: fence and write-ahead, request, result. It returns the memory after it, and a non-nil
// end when the pass must not go on.
//
// What follows from GitHub's answer is decided here and nowhere else:
//
//	done       the result and what it teaches are written
//	refused    a definite no: kept with GitHub's words; withheld until it may have changed; the pass goes on
//	passing    a definite no that passes: the same, for seconds instead of hours; a 404 about what has just been seen may
//	           pass, since GitHub's copies lag, so it is taken for one the first few times
//	moved      the precondition failed, so what was decided is about the past: look again, ever later when that goes on
//	unclear    it may have happened: the row stays "executing", and the next pass reads back before repeating
//	throttled  the scope is parked; the intention waits and is wanted again
//	otherwise  nothing was sent: the pass fails and is made again
func (p *pass) act(ctx context.Context, s pull.Snapshot, a pull.Action, m pull.Memory) (pull.Memory, *pull.PassResult, error) {
	began := time.Now()
	in, err := p.store.Start(ctx, p.claim, a, p.o.Lease)
	if err != nil {
		return m, nil, fmt.Errorf("write down %s %s: %w", a.Kind, a.Target, err)
	}
	if time.Since(began) > p.o.Lease {
		// This process was frozen, and the lease that it has just extended is over: somebody else may have the key, and
		// GitHub takes no fence. The row stays as after a crash, and the next pass finds out that nothing came of it.
		return m, nil, fmt.Errorf("write down %s %s: it took longer than the lease: %w", a.Kind, a.Target, pull.ErrLost)
	}
	began = time.Now()
	id, err := p.forge.Apply(ctx, p.claim.Scope, s, a)
	if errors.Is(context.Cause(ctx), pull.ErrLost) {
		return m, nil, pull.ErrLost
	}
	now := p.store.Now()
	in.DoneAt = now
	var end *pull.PassResult
	fault, isFault := pull.FaultOf(err)
	switch {
	case err == nil:
		in.Status, in.GitHubID, in.Failures, in.Error, in.Passing = pull.Done, id, 0, "", false
		m = remember(m, a, s)
		p.acted++
		p.o.Metrics.Action(a.Kind, "done")
		p.log.Info("did "+string(a.Kind), telemetry.KeyAction, a.Kind, telemetry.KeyTarget, a.Target, telemetry.KeySHA, a.SHA.Short(),
			telemetry.KeyAttempt, in.Attempt, "why", a.Why, telemetry.KeyTook, time.Since(began).Round(time.Millisecond))
	case isFault && (fault.Class == pull.FaultRefused || fault.Class == pull.FaultPassing || fault.Class == pull.FaultGone):
		lags := fault.Status == http.StatusNotFound && in.Failures < lagging && (in.Failures == 0 || in.Passing)
		if in.Passing && fault.Class != pull.FaultPassing && !lags {
			in.Failures = 0 // from here on it counts in hours
		}
		in.Status, in.Error, in.Passing = pull.Failed, fault.Message, fault.Class == pull.FaultPassing || lags
		in.Failures++
		p.o.Metrics.Action(a.Kind, "failed")
		p.log.Warn("GitHub refused "+string(a.Kind), telemetry.KeyAction, a.Kind, telemetry.KeyTarget, a.Target,
			telemetry.KeyAttempt, in.Attempt, telemetry.KeyStatus, fault.Status, telemetry.KeyErr, fault.Message)
	case isFault && fault.Class == pull.FaultMoved:
		in.Status, in.Error = pull.Superseded, fault.Message
		p.o.Metrics.Action(a.Kind, "failed")
		end = &pull.PassResult{Outcome: pull.PassDone, Again: now.Add(min(time.Second<<min(in.Failures, 10), 10*time.Minute))}
		in.Failures++
	case isFault && fault.Class == pull.FaultThrottled:
		in.Status, in.Error, in.DoneAt = pull.Planned, "waits for GitHub's rate limit", time.Time{}
		until := p.byStore(fault.Until)
		end = &pull.PassResult{Outcome: pull.PassParked, NotBefore: until, Again: until}
	case isFault && fault.Class != pull.FaultUnclear:
		in.Status, in.Error, in.DoneAt = pull.Planned, fault.Message, time.Time{}
		end = p.failed(err)
	default: // unclear, or an error that nobody has classified: it may have happened
		in.Status, in.Error, in.DoneAt = pull.Executing, err.Error(), time.Time{}
		p.o.Metrics.Action(a.Kind, "unclear")
		end = p.failed(err)
		if !a.Repeatable() {
			end.NotBefore = now.Add(readBackAfter)
		}
	}
	m = noteIntent(m, in)
	// The answer is in: it is written down even if the service is asked to stop meanwhile.
	if err := p.store.Finish(context.WithoutCancel(ctx), p.claim, in, m); err != nil {
		return m, nil, fmt.Errorf("write the result of %s %s: %w", a.Kind, a.Target, err)
	}
	return m, end, nil
}
