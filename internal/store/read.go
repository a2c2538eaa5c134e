package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// ErrNotFound means that the store has no such row.
var ErrNotFound = errors.New("not found")

// Stats are the numbers of the whole installation, over all replicas and restarts.
type Stats struct {
	Received      int64 // deliveries kept
	Duplicates    int64 // deliveries whose id was known
	Processed     int64 // finished attempts, failed ones included
	Errors        int64 // failed attempts
	Actions       int64 // writes to GitHub that were done
	QueueLength   int64 // deliveries accepted and not yet processed
	Dead          int64 // deliveries that wait for a person
	InFlight      int64 // keys in a worker's hands
	Due           int64 // keys that wait for their turn, or for their time
	OldestWaiting time.Time
	OldestDue     time.Time // since when the key that is overdue longest could have been claimed
	LastProcessed time.Time
	ByEvent       map[string]EventStats
	Parked        []Parked
}

// EventStats are the numbers of one event.
type EventStats struct{ Received, Duplicates, Processed, Errors int64 }

// A Parked scope waits for GitHub.
type Parked struct {
	Scope  pull.Scope
	Until  time.Time
	Reason string
}

// Stats reads the numbers. It looks at totals and at what waits, never at all that ever was.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	st := Stats{ByEvent: make(map[string]EventStats)}
	now := s.Now().UnixMicro()
	var last sql.NullInt64
	single := func(dest ...any) func(scanner) error { return func(scan scanner) error { return scan(dest...) } }
	var received, queued int64
	var firstReceived, oldestWork, oldestDue sql.NullInt64
	err := errors.Join(
		s.query(ctx, sumCounters, nil, func(scan scanner) error {
			var event string
			var e EventStats
			var actions, at int64
			if err := scan(&event, &e.Received, &e.Duplicates, &e.Processed, &e.Errors, &actions, &at); err != nil {
				return err
			}
			st.Received += e.Received
			st.Duplicates += e.Duplicates
			st.Processed += e.Processed
			st.Errors += e.Errors
			st.Actions += actions
			if at > last.Int64 {
				last = sql.NullInt64{Int64: at, Valid: true}
			}
			if e != (EventStats{}) {
				st.ByEvent[event] = e
			}
			return nil
		}),
		s.query(ctx, countReceived, nil, single(&received)),
		s.query(ctx, countQueued, nil, single(&queued)),
		s.query(ctx, countDead, nil, single(&st.Dead)),
		s.query(ctx, oldestReceived, nil, single(&firstReceived)),
		s.query(ctx, sumWork, []any{now}, single(&st.InFlight, &st.Due, &oldestWork, &oldestDue)),
		s.query(ctx, readParked, []any{now}, func(scan scanner) error {
			var p Parked
			var until int64
			err := scan(&p.Scope, &until, &p.Reason)
			p.Until = time.UnixMicro(until).UTC()
			st.Parked = append(st.Parked, p)
			return err
		}),
	)
	if err != nil {
		return Stats{}, fmt.Errorf("statistics: %w", err)
	}
	st.QueueLength = received + queued
	st.OldestWaiting, st.OldestDue, st.LastProcessed = moment(firstReceived), moment(oldestDue), moment(last)
	if w := moment(oldestWork); st.OldestWaiting.IsZero() || (!w.IsZero() && w.Before(st.OldestWaiting)) {
		st.OldestWaiting = w
	}
	return st, nil
}

// Pulls returns pull requests that are open, or those that are not, the latest activity first.
func (s *Store) Pulls(ctx context.Context, open bool, limit int) ([]pull.Row, error) {
	st := listClosed
	if open {
		st = listOpen
	}
	var out []pull.Row
	err := s.query(ctx, st, []any{int64(limit)}, func(scan scanner) error {
		r, err := scanPull(scan)
		out = append(out, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pull requests: %w", err)
	}
	return out, nil
}

// scanPull reads pullColumns, and whatever more the statement has.
func scanPull(scan scanner, more ...any) (r pull.Row, err error) {
	var key, labels string
	var updated int64
	var decided, next sql.NullInt64
	dest := append([]any{
		&key, &r.Repo.ID, &r.Repo.Owner, &r.Repo.Name, &r.Number, &r.Title, &r.Author, &r.URL, &r.State, &r.Draft,
		&r.Head, &r.HeadRef, &r.Base, &labels, &updated, &r.Verdict, &r.Sentence, &decided, &next,
	}, more...)
	if err := scan(dest...); err != nil {
		return r, err
	}
	if r.Key, err = pull.ParseKey(key); err != nil {
		return r, err
	}
	r.UpdatedAt, r.DecidedAt, r.NextLook = time.UnixMicro(updated).UTC(), moment(decided), moment(next)
	return r, json.Unmarshal([]byte(labels), &r.Labels)
}

// A PullDetail is everything that is known of one pull request.
type PullDetail struct {
	Row        pull.Row
	Verdict    pull.Verdict // the newest
	Memory     pull.Memory  // with Intents
	History    []Decision   // former verdicts and the newest, newest first
	Intents    []pull.Intent
	Deliveries []pull.Delivery // newest first, without bodies
	Work       *WorkRow        // nil when it was never due
	LastValid  pull.Document   // the repository's last valid policy
	Problem    string          // why its policy file is not valid

	DefaultsSeen bool // the owner's defaults were there once
}

// A Decision is a verdict in a line.
type Decision struct {
	At       time.Time
	State    string
	Sentence string
	Head     pull.SHA
	Changes  []byte // JSON: what was different from the one before; nil where that is not known
}

// How much of each list PullDetail has.
const (
	detailVerdicts   = 50
	detailIntents    = 100
	detailDeliveries = 50
)

// Pull returns everything about one pull request, or [ErrNotFound] when no pass has ever looked at it. Names are
// compared as GitHub does, without regard to case.
func (s *Store) Pull(ctx context.Context, owner, name string, number int) (PullDetail, error) {
	d, err := s.pullDetail(ctx, owner, name, number)
	if err != nil {
		return PullDetail{}, fmt.Errorf("pull request %s/%s#%d: %w", owner, name, number, err)
	}
	return d, nil
}

func (s *Store) pullDetail(ctx context.Context, owner, name string, number int) (d PullDetail, err error) {
	found := false
	var memory, tree string
	var took int64
	err = s.query(ctx, onePull, []any{owner, name, int64(number)}, func(scan scanner) (err error) {
		found = true
		d.Row, err = scanPull(scan, &d.Verdict.Digest, &took, &tree, &memory)
		return err
	})
	if err != nil {
		return d, err
	}
	if !found {
		return d, ErrNotFound
	}
	d.Verdict.State, d.Verdict.Sentence = d.Row.Verdict, d.Row.Sentence
	d.Verdict.Tree, d.Verdict.Took = []byte(tree), time.Duration(took)*time.Microsecond
	key := d.Row.Key
	h, err := s.history(ctx, key)
	if err != nil {
		return d, err
	}
	d.Memory, d.LastValid, d.Problem, d.DefaultsSeen = h.Memory, h.LastValid, h.Problem, h.DefaultsSeen
	d.Intents = h.Memory.Intents[:min(len(h.Memory.Intents), detailIntents)]
	err = errors.Join(
		s.query(ctx, listVerdicts, []any{key.String(), int64(detailVerdicts)}, func(scan scanner) error {
			var at int64
			var v Decision
			var changes string
			err := scan(&at, &v.State, &v.Sentence, &v.Head, &changes)
			v.At = time.UnixMicro(at).UTC()
			if changes != "" {
				v.Changes = []byte(changes)
			}
			d.History = append(d.History, v)
			return err
		}),
		s.query(ctx, deliveriesOfKey, []any{key.String(), int64(detailDeliveries)}, func(scan scanner) error {
			one, err := scanDelivery(scan)
			d.Deliveries = append(d.Deliveries, one)
			return err
		}),
		s.query(ctx, workOfKey, []any{key.String()}, func(scan scanner) error {
			w, err := scanWork(scan)
			d.Work = &w
			return err
		}),
	)
	return d, err
}

// Deliveries returns the newest deliveries without their bodies, newest first.
func (s *Store) Deliveries(ctx context.Context, limit int) ([]pull.Delivery, error) {
	var out []pull.Delivery
	err := s.query(ctx, listDeliveries, []any{int64(limit)}, func(scan scanner) error {
		d, err := scanDelivery(scan)
		out = append(out, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	return out, nil
}

// Waiting returns the oldest deliveries that wait for their first intake and were received up to a moment: the id, what the
// hint says for people, and the time.
func (s *Store) Waiting(ctx context.Context, before time.Time, limit int) ([]pull.Delivery, error) {
	var out []pull.Delivery
	err := s.query(ctx, waitingFirst, []any{before.UnixMicro(), int64(limit)}, func(scan scanner) error {
		var d pull.Delivery
		var repository string
		var number int
		var received int64
		if err := scan(&d.ID, &d.Hint.Event, &d.Hint.Action, &repository, &number, &received); err != nil {
			return err
		}
		d.Hint.Repo.Owner, d.Hint.Repo.Name, _ = strings.Cut(repository, "/")
		if number != 0 {
			d.Hint.Numbers = []int{number}
		}
		d.Status, d.ReceivedAt = pull.Received, time.UnixMicro(received).UTC()
		out = append(out, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting deliveries: %w", err)
	}
	return out, nil
}

// Delivery returns one delivery with its body, nil once the body's time is over, or [ErrNotFound].
func (s *Store) Delivery(ctx context.Context, id string) (pull.Delivery, error) {
	var d pull.Delivery
	found := false
	err := s.query(ctx, oneDelivery, []any{id}, func(scan scanner) (err error) {
		found = true
		d, err = scanDelivery(scan, &d.Packed)
		return err
	})
	if err == nil && !found {
		err = ErrNotFound
	}
	if err == nil {
		d.Body, err = unpack(d.Packed)
	}
	if err != nil {
		return pull.Delivery{}, fmt.Errorf("delivery %.60q: %w", id, err)
	}
	return d, nil
}

// scanDelivery reads deliveryColumns, and the packed body where the statement has it.
func scanDelivery(scan scanner, more ...any) (d pull.Delivery, err error) {
	var received, seen int64
	var taken, processed sql.NullInt64
	var hash, packed []byte
	var headers, hint, key string
	dest := []any{
		&d.Seq, &d.ID, &d.SecretSlot, &d.Status, &d.Attempts, &d.Error, &d.SeenCount, &received, &seen, &taken, &processed, &key, &hash, &headers, &hint,
	}
	if len(more) > 0 {
		dest = append(dest, &packed)
	}
	if err := scan(dest...); err != nil {
		return d, err
	}
	if key != "" {
		if d.Key, err = pull.ParseKey(key); err != nil {
			return d, err
		}
	}
	copy(d.BodyHash[:], hash)
	d.Packed = packed
	d.ReceivedAt, d.LastSeenAt = time.UnixMicro(received).UTC(), time.UnixMicro(seen).UTC()
	d.TakenAt, d.ProcessedAt = moment(taken), moment(processed)
	// A hint that can't be read is why such a delivery is dead: it is shown without.
	_ = json.Unmarshal([]byte(hint), &d.Hint)
	_ = json.Unmarshal([]byte(headers), &d.Headers)
	return d, nil
}

// A WorkRow is a key and what it waits for.
type WorkRow struct {
	Key       pull.Key
	Repo      pull.Repo
	Title     string
	Scope     pull.Scope
	DueAt     time.Time // zero while it is worked on and nothing new has come in
	NotBefore time.Time // held back until then
	ReadyAt   time.Time // when it can be claimed
	Since     time.Time // when the oldest unanswered hint arrived
	Priority  pull.Priority
	Gen       int64
	Fails     int
	Dead      bool
	Owner     string // who works on it; "" nobody
	Until     time.Time
	Parked    time.Time // its scope waits for GitHub until then, or did; zero: never
}

// Due returns keys that are due or being worked on, in the order in which they will be taken.
func (s *Store) Due(ctx context.Context, limit int) ([]WorkRow, error) {
	var out []WorkRow
	err := s.query(ctx, listWork, []any{int64(limit)}, func(scan scanner) error {
		w, err := scanWork(scan)
		out = append(out, w)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("due keys: %w", err)
	}
	return out, nil
}

// scanWork reads workColumns.
func scanWork(scan scanner) (w WorkRow, err error) {
	var key string
	var due, notBefore, ready, since, until, parked sql.NullInt64
	if err := scan(&key, &w.Repo.ID, &w.Repo.Owner, &w.Repo.Name, &w.Title, &w.Scope, &due, &notBefore, &ready,
		&w.Priority, &w.Gen, &w.Fails, &w.Dead, &since, &w.Owner, &until, &parked); err != nil {
		return w, err
	}
	w.DueAt, w.NotBefore, w.ReadyAt, w.Since, w.Until = moment(due), moment(notBefore), moment(ready), moment(since), moment(until)
	w.Parked = moment(parked)
	w.Key, err = pull.ParseKey(key)
	return w, err
}

// gapPatience is how old a change must be before a missing id below it is taken for one that will never come. Ids are
// given out before transactions commit, so a lower one may become visible after a higher one; a change is the last
// thing that a transaction writes, so it does so within a commit's time.
const gapPatience = 5 * time.Second

// Changes returns entries of the change feed after an id, in the order of their ids. A reader that goes on from the
// last id that it was given misses none: entries above one that may still appear are held back until it has.
func (s *Store) Changes(ctx context.Context, after int64, limit int) ([]pull.Change, error) {
	var out []pull.Change
	patient := s.Now().Add(-gapPatience).UnixMicro()
	next, held := after+1, false
	err := s.query(ctx, listChanges, []any{after, int64(limit)}, func(scan scanner) error {
		var c pull.Change
		var at int64
		if err := scan(&c.ID, &at, &c.Kind, &c.Key, &c.Text); err != nil {
			return err
		}
		if held = held || (c.ID != next && at > patient); held {
			return nil
		}
		next = c.ID + 1
		c.At = time.UnixMicro(at).UTC()
		out = append(out, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("changes: %w", err)
	}
	return out, nil
}

// LatestChange returns the id to follow the change feed from: everything up to it is visible to whoever reads after
// this call. It is 0 when there is nothing yet.
func (s *Store) LatestChange(ctx context.Context) (int64, error) {
	var latest, upper int64
	patient := s.Now().Add(-gapPatience).UnixMicro()
	young, first := false, true
	err := s.query(ctx, lastChanges, []any{int64(500)}, func(scan scanner) error {
		var id, at int64
		if err := scan(&id, &at); err != nil {
			return err
		}
		if first || (young && upper != id+1) {
			latest = id
		}
		first, upper, young = false, id, at > patient
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("latest change: %w", err)
	}
	return latest, nil
}
