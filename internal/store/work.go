package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// moreSettle is how long a key waits at least after a pass during which more was heard of it.
const moreSettle = 200 * time.Millisecond

// backoffMost is the longest time between two tries.
const backoffMost = 10 * time.Minute

// backoff is how long to wait after a number of failures in a row: 2, 4, 8 … seconds, give or take a fifth, so that
// what failed together doesn't come back together. The fifth follows from the name: the same name waits the same time.
func backoff(name string, fails int) time.Duration {
	d := min(time.Second<<min(fails, 20), backoffMost)
	h := fnv.New32a()
	_, _ = h.Write([]byte(name + "/" + strconv.Itoa(fails)))
	return min(d*4/5+d*time.Duration(h.Sum32()%400)/1000, backoffMost)
}

// Claim takes the most urgent key that is due, for the length of a lease. Nobody else gets it until the lease has run
// out or the claim is recorded. It reports false when nothing can be claimed now. Keys of the scope last come after
// others that are as urgent.
//
// A key whose holder vanished comes back when its lease has run out, whether or not anything new was heard of it.
func (s *Store) Claim(ctx context.Context, owner string, lease time.Duration, last pull.Scope) (pull.Claim, bool, error) {
	var c pull.Claim
	err := s.write(ctx, "claim", func(t *tx) error {
		until := t.now.Add(lease).Truncate(time.Microsecond)
		found := false
		for prio := pull.Urgent; prio <= pull.Bulk && !found; prio++ {
			var err error
			c = pull.Claim{Priority: prio, Until: until}
			found, err = t.claim(&c, owner, last)
			if err == nil && !found && last != "" {
				found, err = t.claim(&c, owner, "")
			}
			if err != nil {
				return err
			}
		}
		if !found {
			return errNothing
		}
		return nil
	})
	return c, err == nil && c.Fence != 0, err
}

// claim takes a key of c's priority that is due and not of a scope.
func (t *tx) claim(c *pull.Claim, owner string, not pull.Scope) (bool, error) {
	var key, scope string
	var since sql.NullInt64
	found, err := t.row(claimKey, []any{int64(c.Priority), t.now.UnixMicro(), owner, c.Until.UnixMicro(), string(not)},
		&key, &c.Repo.ID, &scope, &c.Fence, &c.Gen, &c.Fails, &since)
	if err != nil || !found {
		return false, err
	}
	if c.Key, err = pull.ParseKey(key); err != nil {
		return false, err
	}
	c.Scope, c.Since = pull.Scope(scope), moment(since)
	if c.Since.IsZero() {
		c.Since = t.now
	}
	_, err = t.row(repositoryName, []any{c.Repo.ID}, &c.Repo.Owner, &c.Repo.Name)
	return err == nil, err
}

// NextDue returns the earliest moment at which a key can be claimed; ok is false when there is none. It may be a little
// early for keys of a scope that is parked.
func (s *Store) NextDue(ctx context.Context) (at time.Time, ok bool, err error) {
	for _, st := range []*statement{nextReady, nextParked} {
		err := s.query(ctx, st, []any{s.Now().UnixMicro()}, func(scan scanner) error {
			var us int64
			err := scan(&us)
			if t := time.UnixMicro(us).UTC(); !ok || t.Before(at) {
				at, ok = t, true
			}
			return err
		})
		if err != nil {
			return time.Time{}, false, fmt.Errorf("next due: %w", err)
		}
	}
	return at, ok, nil
}

// Renew makes a lease last from now. It returns [pull.ErrLost] when somebody else has the key.
func (s *Store) Renew(ctx context.Context, c pull.Claim, lease time.Duration) error {
	return s.write(ctx, "renew", func(t *tx) error { return t.extend(c, lease) })
}

func (t *tx) extend(c pull.Claim, lease time.Duration) error {
	n, err := t.exec(extendLease, c.Key.String(), c.Fence, t.now.Add(lease).UnixMicro())
	if err == nil && n == 0 {
		return pull.ErrLost
	}
	return err
}

// held is what a key's row says while its claim is checked.
type held struct {
	gen          int64
	due          time.Time
	prio         pull.Priority
	first, since sql.NullInt64
}

// hold checks that a claim is still the newest, and keeps others off the key until the transaction ends.
func (t *tx) hold(c pull.Claim) (h held, err error) {
	var due sql.NullInt64
	found, err := t.row(hold, []any{c.Key.String(), c.Fence}, &h.gen, &due, &h.prio, &h.first, &h.since)
	if err == nil && !found {
		err = pull.ErrLost
	}
	h.due = moment(due)
	return h, err
}

// Record ends a pass: it gives the key back, says when to look again, and ends or fails the deliveries that the pass
// answered, which it returns for the counters. It returns [pull.ErrLost], and writes nothing, when somebody else has
// the key.
func (s *Store) Record(ctx context.Context, c pull.Claim, r pull.PassResult) ([]pull.Attempt, error) {
	var attempts []pull.Attempt
	err := s.write(ctx, "record", func(t *tx) error {
		var err error
		fails := c.Fails
		var dead bool
		switch r.Outcome {
		case pull.PassDone, pull.PassGone, pull.PassIgnored:
			fails = 0
			attempts, err = t.deliveriesDone(c)
		case pull.PassFailed:
			if !r.Outage || r.NotBefore.IsZero() { // who says when to try again asks for no longer wait the next time
				fails++
			}
			dead = fails >= pull.MaxFails && !r.Outage
			attempts, err = t.deliveriesFailed(c, r.Error, dead)
		case pull.PassParked:
			attempts = nil
		default:
			err = fmt.Errorf("no such outcome: %q", r.Outcome)
		}
		if err != nil {
			return err
		}
		// Deliveries first, then the key: the order in which an insert locks them.
		h, err := t.hold(c)
		if err != nil {
			return err
		}
		if r.Gone || r.Outcome == pull.PassGone {
			if err := t.gone(c.Key); err != nil {
				return err
			}
		}
		if dead && h.gen > c.Gen {
			dead, fails = false, 0 // something new was heard meanwhile: it lives again
		}
		return t.release(c, r, h, fails, dead)
	})
	if err != nil {
		return nil, err
	}
	return attempts, nil
}

// release frees a key and decides when it is due.
func (t *tx) release(c pull.Claim, r pull.PassResult, h held, fails int, dead bool) error {
	due, notBefore, prio, first := r.Again, r.NotBefore, pull.Background, h.first
	if r.Outcome == pull.PassFailed || r.Outcome == pull.PassParked {
		prio = c.Priority
		if h.since.Valid { // what this pass was to answer still waits
			first = h.since
		}
		if r.Outcome == pull.PassFailed && notBefore.IsZero() {
			notBefore = t.now.Add(backoff(c.Key.String(), fails))
		}
		if due.IsZero() {
			due = notBefore
		}
		if due.IsZero() {
			due = t.now
		}
	}
	if h.gen > c.Gen {
		// Heard meanwhile: not before that hint has settled, and not at once after this pass.
		more := t.now.Add(moreSettle)
		if h.due.After(more) {
			more = h.due
		}
		if due.IsZero() || more.Before(due) {
			due = more
		}
		prio = min(h.prio, prio)
	}
	if dead {
		due, notBefore = time.Time{}, time.Time{}
		t.announce(pull.ChangePull, c.Key.String(), fmt.Sprintf("dead letter after %d failed passes: %s", fails, r.Error))
	}
	ready := due
	if !due.IsZero() && notBefore.After(due) {
		ready = notBefore
	}
	if _, err := t.exec(setNext, c.Key.String(), micros(ready)); err != nil {
		return err
	}
	var since any
	if first.Valid && !due.IsZero() {
		since = first.Int64
	}
	_, err := t.exec(release, c.Key.String(), micros(due), micros(notBefore), micros(ready), int64(prio), int64(fails), flag(dead), since)
	return err
}

// gone notes that GitHub doesn't know a pull request, or not any more.
func (t *tx) gone(key pull.Key) error {
	if err := t.bulk(dropOpen, nil, []any{key.String()}, nil); err != nil {
		return err
	}
	n, err := t.exec(closePull, key.String())
	if err == nil && n > 0 {
		t.announce(pull.ChangePull, key.String(), "GitHub does not know it any more")
	}
	return err
}

// deliveriesDone ends the deliveries that a pass answered, those that had been given up among them.
func (t *tx) deliveriesDone(c pull.Claim) ([]pull.Attempt, error) {
	var attempts []pull.Attempt
	for _, st := range []*statement{deliveriesDone, deadDone} {
		if err := t.query(st, []any{c.Key.String(), c.Gen, t.now.UnixMicro()}, t.attempts(&attempts, pull.Attempt{Status: pull.Processed})); err != nil {
			return nil, err
		}
	}
	if len(attempts) > 0 {
		t.announce(pull.ChangeDelivery, "", plural(len(attempts), "delivery processed", "deliveries processed"))
	}
	return attempts, nil
}

func (t *tx) deliveriesFailed(c pull.Claim, why string, dead bool) ([]pull.Attempt, error) {
	var attempts []pull.Attempt
	a := pull.Attempt{Failed: true, Status: pull.Queued}
	if dead {
		a.Status = pull.Dead
	}
	err := t.query(deliveriesFailed, []any{c.Key.String(), c.Gen, string(a.Status), clean(why)}, t.attempts(&attempts, a))
	return attempts, err
}

// attempts collects the attempts at the deliveries of an answer, and counts them.
func (t *tx) attempts(into *[]pull.Attempt, a pull.Attempt) func(scanner) error {
	return func(scan scanner) error {
		var taken sql.NullInt64
		if err := scan(&a.Event, &taken); err != nil {
			return err
		}
		a.Took = 0
		if taken.Valid {
			a.Took = max(0, t.now.Sub(moment(taken)))
		}
		*into = append(*into, a)
		n := t.count(a.Event)
		n.processed++
		if a.Failed {
			n.errors++
		} else {
			n.last = t.now.UnixMicro()
		}
		return nil
	}
}

// MarkDue makes a key due now, as a hint would.
func (s *Store) MarkDue(ctx context.Context, key pull.Key, p pull.Priority) error {
	if key.Kind == "" {
		return errors.New("mark due: the key is empty")
	}
	return s.write(ctx, "mark due", func(t *tx) error {
		return t.markAgain(key, t.now, p)
	})
}

// notADelivery keeps apart since when a key waits for something else from when any delivery was received, which is how
// Discard knows that a key was due before.
const notADelivery = time.Microsecond

// markAgain makes a key due without a new hint: its scope stays as it is, or is the repository's.
func (t *tx) markAgain(key pull.Key, due time.Time, p pull.Priority) error {
	return t.markAll(map[pull.Key]*marking{key: {key: key, name: key.String(), due: due, prio: p, scope: pull.ScopeToken}})
}

// markAll is markAgain for many keys, in their order. The scope of a marking is for a repository that nobody has heard of.
func (t *tx) markAll(marks map[pull.Key]*marking) error {
	byName := make(map[string]*marking, len(marks))
	scopes := make(map[int64]*pull.Scope)
	for key, m := range marks {
		byName[m.name] = m
		known, ok := scopes[key.RepoID]
		if !ok {
			var scope string
			found, err := t.row(repositoryScope, []any{key.RepoID}, &scope)
			if err != nil {
				return err
			}
			if found {
				known = new(pull.Scope)
				*known = pull.Scope(scope)
			}
			scopes[key.RepoID] = known
		}
		if known != nil {
			m.scope = *known
		}
	}
	rows := make([]any, 0, len(byName)*markAgain.width)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		m := byName[name]
		rows = append(rows, name, m.key.RepoID, int64(m.key.Number), string(m.scope), m.due.UnixMicro(), int64(m.prio), t.now.Add(-notADelivery).UnixMicro())
	}
	return t.bulk(markAgain, nil, rows, nil)
}

// ParkScope keeps the keys of a scope from being claimed until a moment, for every replica. An earlier moment than one
// that is known changes nothing.
func (s *Store) ParkScope(ctx context.Context, scope pull.Scope, until time.Time, reason string) error {
	return s.write(ctx, "park scope", func(t *tx) error {
		n, err := t.exec(parkScope, string(scope), until.UnixMicro(), clean(reason), t.now.UnixMicro())
		if err == nil && n > 0 {
			t.announce(pull.ChangeSetting, "", fmt.Sprintf("%s waits for GitHub: %s", scope, reason))
		}
		return err
	})
}

// ParkedUntil returns until when a scope is parked, and why; the zero time when it is not.
func (s *Store) ParkedUntil(ctx context.Context, scope pull.Scope) (until time.Time, reason string, err error) {
	err = s.query(ctx, parkedUntil, []any{string(scope), s.Now().UnixMicro()}, func(scan scanner) error {
		var us int64
		err := scan(&us, &reason)
		until = time.UnixMicro(us).UTC()
		return err
	})
	if err != nil {
		return time.Time{}, "", fmt.Errorf("parked until: %w", err)
	}
	return until, reason, nil
}
