package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// What people do by hand: drop a delivery, take one again, give a dead letter another chance or up, claim a key whatever
// it waits for. Each is one transaction that also notes who did it (audits) and tells the pages.

// What an operation is called in audits.
const (
	auditDiscard = "queue.discard"
	auditRetry   = "queue.dead.retry"
	auditDrop    = "queue.dead.drop"
	auditReplay  = "deliveries.replay"
	auditIntake  = "process.intake"
	auditPass    = "process.pass"
)

// Unprocessed returns deliveries that are accepted and not yet processed, without their bodies, oldest first.
func (s *Store) Unprocessed(ctx context.Context, limit int) ([]pull.Delivery, error) {
	out, err := s.deliveries(ctx, listUnprocessed, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("unprocessed deliveries: %w", err)
	}
	return out, nil
}

// deliveries reads deliveryColumns of any number of rows.
func (s *Store) deliveries(ctx context.Context, st *statement, args ...any) ([]pull.Delivery, error) {
	var out []pull.Delivery
	err := s.query(ctx, st, args, func(scan scanner) error {
		d, err := scanDelivery(scan)
		out = append(out, d)
		return err
	})
	return out, err
}

// Work returns what a key waits for, or [ErrNotFound] when it was never due.
func (s *Store) Work(ctx context.Context, key pull.Key) (w WorkRow, err error) {
	found := false
	err = s.query(ctx, workOfKey, []any{key.String()}, func(scan scanner) (err error) {
		found = true
		w, err = scanWork(scan)
		return err
	})
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return w, fmt.Errorf("work on %s: %w", key, err)
	}
	return w, nil
}

// Repository returns what a repository was called when last heard of, or [ErrNotFound].
func (s *Store) Repository(ctx context.Context, id int64) (pull.Repo, error) {
	r := pull.Repo{}
	err := s.query(ctx, repositoryName, []any{id}, func(scan scanner) error { r.ID = id; return scan(&r.Owner, &r.Name) })
	if err == nil && r.ID == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return r, fmt.Errorf("repository %d: %w", id, err)
	}
	return r, nil
}

// PullKey returns the key of a pull request by its repository's name, as last heard, or [ErrNotFound].
func (s *Store) PullKey(ctx context.Context, owner, name string, number int) (pull.Key, error) {
	var id int64
	err := s.query(ctx, repositoryNamed, []any{owner, name}, func(scan scanner) error { return scan(&id) })
	if err == nil && id == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return pull.Key{}, fmt.Errorf("repository %s/%s: %w", owner, name, err)
	}
	return pull.PullKey(id, number), nil
}

// Discard drops a delivery that waits; it reports false, and changes nothing, when that one waits no longer or never did.
//
// A key that was due for this delivery alone is due no longer, but for the look that its last decision has asked for. It
// stays due when another delivery waits for it, when anything else was heard of it, before or since, that waits for nobody
// (a sweep, a push to its base branch), or while somebody works on it.
func (s *Store) Discard(ctx context.Context, by, id string) (bool, error) {
	done := false
	err := s.write(ctx, "discard", func(t *tx) error {
		var key sql.NullString
		var gen, received int64
		var err error
		if done, err = t.row(discardDelivery, []any{clean(id), t.now.UnixMicro()}, &key, &gen, &received); err != nil {
			return err
		}
		if !done {
			return errNothing
		}
		if key.Valid {
			if _, err := t.exec(dismissKey, key.String, gen, received); err != nil {
				return err
			}
		}
		t.announce(pull.ChangeDelivery, key.String, "delivery "+id+" discarded by "+by)
		return t.audit(by, auditDiscard, id, "")
	})
	return done && err == nil, err
}

// Replay takes a delivery in again that is processed, dead or discarded: it waits as if it had just come, whether or not
// its body is still kept. It reports false, and changes nothing, when the delivery waits anyway or is not known.
func (s *Store) Replay(ctx context.Context, by, id string) (bool, error) {
	done := false
	err := s.write(ctx, "replay", func(t *tx) error {
		n, err := t.exec(replayDelivery, clean(id))
		if err != nil {
			return err
		}
		if done = n > 0; !done {
			return errNothing
		}
		t.announce(pull.ChangeDelivery, "", "delivery "+id+" is taken in again, says "+by)
		return t.audit(by, auditReplay, id, "")
	})
	return done && err == nil, err
}

// A DeadLetter is what failed too often and waits for a person: a key whose passes failed, with the deliveries that they
// were for, or a delivery that could not be taken in.
type DeadLetter struct {
	Key        pull.Key // zero: a delivery that could not be taken in
	Repo       pull.Repo
	Title      string
	Fails      int
	Error      string    // the last one
	Since      time.Time // when the oldest of the deliveries arrived; zero when there is none
	Deliveries int
	// Revived: something was heard of the key since, so that it is being looked at again already.
	Revived  bool
	Delivery pull.Delivery // the one that could not be taken in
}

// DeadLetters returns what waits for a person: keys first, then deliveries that could not be taken in.
func (s *Store) DeadLetters(ctx context.Context, limit int) ([]DeadLetter, error) {
	var out []DeadLetter
	err := s.query(ctx, listDeadKeys, []any{int64(limit)}, func(scan scanner) error {
		l, err := scanDead(scan)
		out = append(out, l)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	unrouted, err := s.deliveries(ctx, listDeadDeliveries, int64(limit-len(out)))
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	for _, d := range unrouted {
		out = append(out, deadDelivery(d))
	}
	return out, nil
}

// DeadKey returns the dead letter of a key with its deliveries, newest first, or [ErrNotFound] when it is not dead.
func (s *Store) DeadKey(ctx context.Context, key pull.Key) (l DeadLetter, deliveries []pull.Delivery, err error) {
	found := false
	err = s.query(ctx, oneDeadKey, []any{key.String()}, func(scan scanner) (err error) {
		found = true
		l, err = scanDead(scan)
		return err
	})
	if err == nil && !found {
		err = ErrNotFound
	}
	if err == nil {
		deliveries, err = s.deliveries(ctx, deadOfKey, key.String(), int64(detailDeliveries))
	}
	if err != nil {
		return l, nil, fmt.Errorf("dead letter %s: %w", key, err)
	}
	return l, deliveries, nil
}

// DeadDelivery returns the dead letter of a delivery: its own when it could not be taken in, else that of its key. It is
// [ErrNotFound] when the delivery is not known or not dead.
func (s *Store) DeadDelivery(ctx context.Context, id string) (DeadLetter, []pull.Delivery, error) {
	d, err := s.Delivery(ctx, id)
	switch {
	case err != nil:
		return DeadLetter{}, nil, err
	case d.Status != pull.Dead:
		return DeadLetter{}, nil, fmt.Errorf("dead letter %s: the delivery is %s: %w", id, d.Status, ErrNotFound)
	case d.Key != pull.Key{}:
		return s.DeadKey(ctx, d.Key)
	}
	d.Body, d.Packed = nil, nil
	return deadDelivery(d), []pull.Delivery{d}, nil
}

func deadDelivery(d pull.Delivery) DeadLetter {
	return DeadLetter{Repo: d.Hint.Repo, Fails: d.Attempts, Error: d.Error, Since: d.ReceivedAt, Deliveries: 1, Delivery: d}
}

// scanDead reads deadColumns.
func scanDead(scan scanner) (l DeadLetter, err error) {
	var key string
	var dead bool
	var since sql.NullInt64
	if err := scan(&key, &l.Repo.ID, &l.Repo.Owner, &l.Repo.Name, &l.Title, &l.Fails, &dead, &l.Deliveries, &l.Error, &since); err != nil {
		return l, err
	}
	l.Revived, l.Since = !dead, moment(since)
	l.Key, err = pull.ParseKey(key)
	return l, err
}

// RetryDead makes a dead letter live again, at once and as if nothing had failed: its deliveries wait, and its key is due.
// It reports false when nothing is dead there (any more).
func (s *Store) RetryDead(ctx context.Context, by string, l DeadLetter) (bool, error) {
	return s.bury(ctx, "retry a dead letter", by, auditRetry, l, "live again", func(t *tx) (bool, error) {
		if l.Delivery.ID != "" {
			n, err := t.exec(retryDelivery, clean(l.Delivery.ID))
			return n > 0, err
		}
		// Deliveries first, then the key. The key is made due whether or not it is dead itself: a pass that ends just now, and
		// has not seen its deliveries wait, then goes on to another one that does.
		n, err := t.exec(deadAgain, l.Key.String())
		if err != nil {
			return false, err
		}
		var one int64
		dead, err := t.row(deadKey, []any{l.Key.String()}, &one)
		if err != nil || (n == 0 && !dead) {
			return false, err
		}
		return true, t.markAgain(l.Key, t.now, pull.Ordinary)
	})
}

// DropDead gives a dead letter up: its deliveries are discarded, and its key is not looked at until something new is heard
// of it. It reports false when nothing is dead there (any more).
func (s *Store) DropDead(ctx context.Context, by string, l DeadLetter) (bool, error) {
	return s.bury(ctx, "drop a dead letter", by, auditDrop, l, "dropped", func(t *tx) (bool, error) {
		if l.Delivery.ID != "" {
			n, err := t.exec(dropDeadDelivery, clean(l.Delivery.ID), t.now.UnixMicro())
			return n > 0, err
		}
		n, err := t.exec(dropDeadOfKey, l.Key.String(), t.now.UnixMicro())
		if err != nil {
			return false, err
		}
		keys, err := t.exec(buryKey, l.Key.String()) // none when something was heard of it meanwhile: it lives
		return n+keys > 0, err
	})
}

// bury does something with a dead letter, and notes and tells it.
func (s *Store) bury(ctx context.Context, op, by, action string, l DeadLetter, became string, do func(*tx) (bool, error)) (bool, error) {
	key, target := "", l.Delivery.ID
	if target == "" {
		if l.Key == (pull.Key{}) {
			return false, errors.New(op + ": it names neither a key nor a delivery")
		}
		key, target = l.Key.String(), l.Key.String()
	}
	done := false
	err := s.write(ctx, op, func(t *tx) (err error) {
		if done, err = do(t); err != nil {
			return err
		}
		if !done {
			return errNothing
		}
		kind := pull.ChangePull
		if key == "" {
			kind = pull.ChangeDelivery
		}
		t.announce(kind, key, "dead letter "+target+" "+became+", says "+by)
		return t.audit(by, action, target, "")
	})
	return done && err == nil, err
}

// A Holdup says why a key can't be claimed by hand now.
type Holdup struct {
	Owner  string    // who works on it
	Until  time.Time // the end of that lease, unless it is renewed; or of GitHub's limit
	Limit  bool      // its scope waits for GitHub's limit
	Reason string    // of that
}

// ClaimKey takes one key by hand, for delivery id: whatever the pause, its due time and its backoff say, dead or alive.
// It is refused, with what holds it up, while somebody else has the lease, and while its scope waits for GitHub's limit;
// [ErrNotFound] says that there never was such a key.
func (s *Store) ClaimKey(ctx context.Context, key pull.Key, by, id, owner string, lease time.Duration) (pull.Claim, *Holdup, error) {
	var c pull.Claim
	var held *Holdup
	err := s.write(ctx, "claim by hand", func(t *tx) error {
		held = nil
		c = pull.Claim{Key: key, Until: t.now.Add(lease).Truncate(time.Microsecond)}
		var scope string
		var since sql.NullInt64
		found, err := t.row(claimNamed, []any{key.String(), t.now.UnixMicro(), owner, c.Until.UnixMicro()},
			&c.Repo.ID, &scope, &c.Fence, &c.Gen, &c.Fails, &since, &c.Priority)
		if err != nil {
			return err
		}
		if !found {
			if held, err = t.holdup(key); err != nil {
				return err
			}
			return errNothing
		}
		c.Scope, c.Since = pull.Scope(scope), moment(since)
		if c.Since.IsZero() {
			c.Since = t.now
		}
		if _, err := t.row(repositoryName, []any{c.Repo.ID}, &c.Repo.Owner, &c.Repo.Name); err != nil {
			return err
		}
		t.announce(pull.ChangePull, key.String(), "taken by hand, says "+by)
		return t.audit(by, auditPass, id, key.String())
	})
	if err != nil {
		return pull.Claim{}, nil, err
	}
	return c, held, nil
}

// holdup says why a key could not be claimed.
func (t *tx) holdup(key pull.Key) (*Holdup, error) {
	var h Holdup
	var lease, parked sql.NullInt64
	found, err := t.row(whyNotClaimed, []any{key.String()}, &h.Owner, &lease, &parked, &h.Reason)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, ErrNotFound
	}
	if until := moment(parked); until.After(t.now) {
		return &Holdup{Until: until, Limit: true, Reason: h.Reason}, nil
	}
	h.Until, h.Reason = moment(lease), "" // free since the moment of the claim: then it is asked for again
	return &h, nil
}
