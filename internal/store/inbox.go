package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// redeliverySettle is how long a key waits for more after a repeated delivery.
const redeliverySettle = 200 * time.Millisecond

// InsertErrors says which deliveries of a batch could not be kept, by their position; nil where one was. The others
// are kept.
type InsertErrors []error

// Error names the first one.
func (e InsertErrors) Error() string {
	n := 0
	var first error
	for _, err := range e {
		if err != nil {
			n++
			first = cmp.Or(first, err)
		}
	}
	return fmt.Sprintf("%d of %d deliveries can't be kept; the first: %v", n, len(e), first)
}

// RowError returns why the delivery at position i could not be kept, or nil.
func (e InsertErrors) RowError(i int) error { return e[i] }

// compress returns a body as the store keeps it, for a delivery that was not packed before: see pull.Delivery.Packed.
func compress(body []byte) []byte { return s2.Encode(nil, body) }

// An entry is one row to insert: a delivery, and how often it occurs in the batch.
type entry struct {
	id    string
	args  []any
	first int   // position of the occurrence that is kept
	all   []int // positions of all occurrences
}

// Insert keeps deliveries, in one transaction, and says of each whether its id was known, within the batch too. When
// it returns without an error, or with InsertErrors, what it says is on disk. A row that the database refuses for its
// content costs its neighbours nothing.
//
// A repeated delivery changes nothing of the row but its count; it makes the row's key due again.
func (s *Store) Insert(ctx context.Context, batch []pull.Delivery) ([]pull.Receipt, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	if t := s.full(); t != nil {
		return nil, fmt.Errorf("insert: %w", t) // what room there is belongs to what was taken already
	}
	entries := make([]*entry, 0, len(batch))
	known := make(map[string]*entry, len(batch))
	for i := range batch {
		d := &batch[i]
		id := clean(d.ID)
		if e, ok := known[id]; ok {
			e.all = append(e.all, i)
			continue
		}
		args, err := insertArgs(d, id)
		if err != nil {
			return nil, err
		}
		e := &entry{id: id, args: args, first: i, all: []int{i}}
		known[id] = e
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b *entry) int { return strings.Compare(a.id, b.id) })

	receipts := make([]pull.Receipt, len(batch))
	err := s.write(ctx, "insert", func(t *tx) error { return t.insert(batch, entries, receipts) })
	if err == nil || !badData(err) {
		return receipts, err
	}
	failed := make(InsertErrors, len(batch))
	bad := false
	for _, e := range entries {
		err := s.write(ctx, "insert", func(t *tx) error { return t.insert(batch, []*entry{e}, receipts) })
		switch {
		case err != nil && !badData(err):
			return nil, err // what was kept before it is a duplicate when it is tried again
		case err != nil:
			bad = true
			for _, i := range e.all {
				failed[i] = fmt.Errorf("delivery %.40q: %w", e.id, err)
			}
		}
	}
	if bad {
		return receipts, failed
	}
	return receipts, nil
}

// insertArgs are the columns of a delivery; the count and the time of the last sight are filled in later.
func insertArgs(d *pull.Delivery, id string) ([]any, error) {
	hint, err := json.Marshal(d.Hint)
	if err != nil {
		return nil, fmt.Errorf("encode the hint of delivery %s: %w", id, err)
	}
	headers, err := json.Marshal(d.Headers)
	if err != nil {
		return nil, fmt.Errorf("encode the headers of delivery %s: %w", id, err)
	}
	packed := d.Packed
	if packed == nil {
		packed = compress(d.Body)
	}
	var repo, number any
	if d.Hint.Repo.ID != 0 {
		repo = d.Hint.Repo.ID
	}
	if n := d.Hint.Number(); n != 0 {
		number = int64(n)
	}
	return []any{
		id, clean(d.Hint.Event), clean(d.Hint.Action), clean(d.Hint.Repo.FullName()), repo, number, clean(d.Hint.Sender.Login),
		clean(string(d.Hint.HeadSHA)), int64(d.SecretSlot), nil, micros(d.ReceivedAt), nil, d.BodyHash[:], string(headers), string(hint), packed,
	}, nil
}

// Positions in insertArgs: of what insert fills in, and of the body.
const argSeen, argReceived, argLastSeen, argBody = 9, 10, 11, 15

func (t *tx) insert(batch []pull.Delivery, entries []*entry, receipts []pull.Receipt) error {
	rows := len(entries)
	if t.pg == nil {
		rows = 1 // a statement costs SQLite little, and many parameters a lot
	} else {
		rows = min(rows, maxRows)
	}
	at := make(map[string]*entry, len(entries))
	for _, e := range entries {
		at[e.id] = e
		e.args[argSeen] = int64(len(e.all))
		e.args[argLastSeen] = t.now.UnixMicro()
		if e.args[argReceived] == nil {
			e.args[argReceived] = t.now.UnixMicro()
		}
	}
	var due []string  // keys of repeated deliveries
	var lain []string // that nobody would look at
	var wide []taken  // repeated ones that named no pull request, or several, or say something else than the first time
	fresh := 0
	args := make([]any, 0, rows*insertColumns)
	for chunk := range slices.Chunk(entries, rows) {
		args = args[:0]
		for _, e := range chunk {
			args = append(args, e.args...)
			t.bytes += len(e.args[argBody].([]byte))
		}
		err := t.query(insertDeliveries[len(chunk)], args, func(scan scanner) error {
			var id, status string
			var seen int64
			var hash []byte
			var key sql.NullString
			if err := scan(&id, &seen, &hash, &status, &key); err != nil {
				return err
			}
			e, ok := at[id]
			if !ok {
				return fmt.Errorf("the database answered about delivery %q, which it was not given", id)
			}
			isNew := seen == int64(len(e.all))
			for _, i := range e.all {
				receipts[i] = pull.Receipt{Duplicate: !isNew || i != e.first, Differs: !bytes.Equal(hash, batch[i].BodyHash[:])}
				c := t.count(batch[i].Hint.Event)
				if receipts[i].Duplicate {
					c.duplicates++
				} else {
					c.received++
				}
				if receipts[i].Differs {
					wide = append(wide, taken{Delivery: batch[i]})
				}
			}
			if isNew {
				fresh++
				return nil
			}
			switch {
			case key.Valid:
				due = append(due, key.String)
			case pull.DeliveryStatus(status) == pull.Dead, pull.DeliveryStatus(status) == pull.Discarded:
				lain = append(lain, id)
			case pull.DeliveryStatus(status) == pull.Processed:
				wide = append(wide, taken{Delivery: batch[e.first]})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, id := range lain { // not taken in: there is no key yet to mark
		if _, err := t.exec(reviveDelivery, id); err != nil {
			return err
		}
	}
	if err := t.lookAgain(due, wide); err != nil {
		return err
	}
	if fresh > 0 {
		t.announce(pull.ChangeDelivery, "", plural(fresh, "delivery received", "deliveries received"))
	}
	return nil
}

// lookAgain makes due what repeated deliveries are about: keys that they are known to wait for, and what those that have
// none say. Nothing waits for these looks. Whoever sent something else under an id that is known is acknowledged, so what
// that is about is looked at too.
//
// A push may be about thousands of pull requests, and senders wait for this transaction.
func (t *tx) lookAgain(due []string, wide []taken) error {
	marks := make(map[pull.Key]*marking)
	mark := func(key pull.Key, at time.Time, p pull.Priority, scope pull.Scope) {
		m, ok := marks[key]
		if !ok {
			m = &marking{key: key, name: key.String(), due: at, prio: p, scope: scope}
			marks[key] = m
		}
		if at.Before(m.due) {
			m.due = at
		}
		m.prio = min(m.prio, p)
	}
	soon := t.now.Add(redeliverySettle)
	for _, name := range due {
		key, err := pull.ParseKey(name)
		if err != nil {
			return err
		}
		mark(key, soon, pull.Ordinary, pull.ScopeToken)
	}
	if t.s.o.Route == nil {
		wide = nil
	}
	if err := t.fillInstallations(wide); err != nil {
		return err
	}
	w := intakeWork{tx: t}
	for i := range wide {
		d := &wide[i]
		d.route = t.s.o.Route(d.Hint)
		keys, err := w.resolve(d)
		if err != nil {
			return err
		}
		for n, key := range keys {
			mark(key, soon.Add(spread(n)), d.route.Priority, t.s.o.Scope(d.Hint))
		}
	}
	if err := t.markAll(marks); err != nil {
		return err
	}
	// What is known of a repository is newer than what comes again.
	for i := range wide {
		var scope string
		found, err := t.row(repositoryScope, []any{wide[i].Hint.Repo.ID}, &scope)
		if err == nil && !found {
			_, err = t.noteRepositories(wide[i : i+1])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// A count is what a transaction adds to the totals of an event.
type count struct{ received, duplicates, processed, errors, actions, last int64 }

// count returns what the transaction adds for an event. Events that the metrics don't know share one row: the header
// that carries the name is not signed, and whoever replays a delivery may write anything there.
func (t *tx) count(event string) *count {
	event = telemetry.EventLabel(event)
	if t.counts == nil {
		t.counts = make(map[string]*count, 4)
	}
	c, ok := t.counts[event]
	if !ok {
		c = &count{}
		t.counts[event] = c
	}
	return c
}

// A pullChange is an entry of the change feed to be written.
type pullChange struct {
	kind pull.ChangeKind
	key  string
	text string
}

// announce adds an entry to the change feed when the transaction ends.
func (t *tx) announce(kind pull.ChangeKind, key, text string) {
	t.feed = append(t.feed, pullChange{kind, key, text})
}

// finish writes the totals and the feed. They come last: they are the rows that everybody wants.
func (t *tx) finish() error {
	events := make([]string, 0, len(t.counts))
	for e := range t.counts {
		events = append(events, e)
	}
	slices.Sort(events)
	slot := t.s.slot()
	for _, e := range events {
		c := t.counts[e]
		if _, err := t.exec(addCounts, slot, e, c.received, c.duplicates, c.processed, c.errors, c.actions, c.last); err != nil {
			return err
		}
	}
	for _, c := range t.feed {
		if _, err := t.exec(addChange, t.now.UnixMicro(), string(c.kind), c.key, clean(c.text)); err != nil {
			return err
		}
	}
	return nil
}

// unpack is the inverse of compress.
func unpack(packed []byte) ([]byte, error) {
	if packed == nil {
		return nil, nil
	}
	body, err := s2.Decode(nil, packed)
	if err != nil {
		return nil, errors.New("the kept body is damaged")
	}
	return body, nil
}
