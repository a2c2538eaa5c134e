package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A push to a base branch concerns many pull requests at once; they are looked at one after the other.
const (
	spreadStep = 50 * time.Millisecond
	spreadMost = 10 * time.Second
)

// errUndecodable ends a delivery at once: no retry will make it readable.
var errUndecodable = errors.New("what routing needs of it can't be decoded")

// A taken delivery is a received row in the hands of intake.
type taken struct {
	pull.Delivery
	route pull.Route
	err   error // of reading or routing it
}

// Intake takes at most limit received deliveries, oldest first, and makes due what they are about: route says what
// that is, and is given each delivery without its body. Everything happens in one transaction. It returns the attempts
// that are finished with that, and how many deliveries it took.
//
// A delivery about one key waits for the pass that answers it; one about none or several is done. A delivery that
// can't be routed fails alone; so does one that makes the transaction fail.
func (s *Store) Intake(ctx context.Context, limit int, route func(pull.Delivery) pull.Route) ([]pull.Attempt, int, error) {
	attempts, n, err := s.intake(ctx, limit, route)
	if err == nil || !badData(err) {
		return attempts, n, err
	}
	// Some row of the batch poisons it: one by one, so that only that row pays.
	attempts, n = nil, 0
	for range limit {
		var at int64
		some, one, err := s.intake(ctx, 1, func(d pull.Delivery) pull.Route { at = d.Seq; return route(d) })
		if err != nil && badData(err) {
			poison := err
			some, one, err = s.intake(ctx, 1, func(d pull.Delivery) pull.Route {
				if d.Seq == at {
					panic(poison)
				}
				return route(d)
			})
		}
		attempts = append(attempts, some...)
		n += one
		if err != nil || one == 0 {
			return attempts, n, err
		}
	}
	return attempts, n, nil
}

func (s *Store) intake(ctx context.Context, limit int, route func(pull.Delivery) pull.Route) (attempts []pull.Attempt, n int, err error) {
	var repos map[int64]repository
	err = s.write(ctx, "intake", func(t *tx) error {
		attempts, repos = nil, nil // it may run again
		batch, err := t.take(limit)
		if n = len(batch); err != nil {
			return err
		}
		if n == 0 {
			return errNothing
		}
		for i := range batch {
			d := &batch[i]
			if d.err == nil {
				d.route, d.err = safely(route, d.Delivery)
			}
		}
		w := intakeWork{tx: t, marks: make(map[pull.Key]*marking), heads: make(map[pull.Key]heading), echoes: make(map[echoKey]*pull.Report)}
		if attempts, err = w.run(batch); err != nil {
			return err
		}
		repos, err = t.noteRepositories(batch)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	s.repos.learn(repos)
	return attempts, n, nil
}

// safely calls route, which is not ours: what it can't digest is an error of that delivery alone.
func safely(route func(pull.Delivery) pull.Route, d pull.Delivery) (r pull.Route, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("routing failed: %v", p)
		}
	}()
	return route(d), nil
}

// take reads received deliveries that nobody else has taken.
func (t *tx) take(limit int) ([]taken, error) {
	var batch []taken
	err := t.query(takeReceived, []any{t.now.UnixMicro(), int64(limit)}, func(scan scanner) error {
		var d taken
		var received, seen int64
		var first sql.NullInt64
		var hint, headers string
		if err := scan(&d.Seq, &d.ID, &d.SecretSlot, &d.Attempts, &d.SeenCount, &received, &seen, &first, &hint, &headers); err != nil {
			return err
		}
		d.Status = pull.Received
		d.ReceivedAt, d.LastSeenAt, d.TakenAt = time.UnixMicro(received).UTC(), time.UnixMicro(seen).UTC(), moment(first)
		if d.TakenAt.IsZero() {
			d.TakenAt = t.now
		}
		if json.Unmarshal([]byte(hint), &d.Hint) != nil || json.Unmarshal([]byte(headers), &d.Headers) != nil {
			d.err = errUndecodable
		}
		batch = append(batch, d)
		return nil
	})
	slices.SortFunc(batch, func(a, b taken) int { return cmp.Compare(a.Seq, b.Seq) })
	return batch, err
}

// A marking is what a batch has to say about one key.
type marking struct {
	due   time.Time
	prio  pull.Priority
	since time.Time
	scope pull.Scope
	gen   int64
}

// A heading is what a batch says of the head of a pull request: the newest, or that it is no longer open.
type heading struct {
	sha  pull.SHA
	gone bool
}

type echoKey struct {
	key pull.Key
	sha pull.SHA
}

// intakeWork is one batch on its way: what it marks is collected, and written in the order of keys.
type intakeWork struct {
	*tx
	marks  map[pull.Key]*marking
	heads  map[pull.Key]heading
	echoes map[echoKey]*pull.Report // nil: nothing was written there
}

func (w *intakeWork) run(batch []taken) ([]pull.Attempt, error) {
	keys := make([][]pull.Key, len(batch))
	for i := range batch {
		d := &batch[i]
		if d.err != nil {
			continue
		}
		w.head(d)
		found, err := w.resolve(d)
		if err != nil {
			return nil, err
		}
		for n, key := range found {
			echo, err := w.echoed(key, d.route.Echo)
			if err != nil {
				return nil, err
			}
			if echo {
				continue
			}
			due := w.now.Add(d.route.Settle)
			if d.route.Base != "" && len(found) > 1 {
				due = due.Add(min(time.Duration(n)*spreadStep, spreadMost))
			}
			w.mark(key, due, d)
			keys[i] = append(keys[i], key)
		}
	}
	for _, key := range sortedKeys(w.marks) {
		m := w.marks[key]
		if _, err := w.row(markHinted, []any{
			key.String(), key.RepoID, int64(key.Number), string(m.scope), m.due.UnixMicro(), int64(m.prio), m.since.UnixMicro(),
		}, &m.gen); err != nil {
			return nil, err
		}
	}
	if err := w.writeHeads(); err != nil {
		return nil, err
	}
	var attempts []pull.Attempt
	done := 0
	for i := range batch {
		a, finished, err := w.conclude(&batch[i], keys[i])
		if err != nil {
			return nil, err
		}
		if finished {
			attempts = append(attempts, a)
		}
		if finished && !a.Failed {
			done++
		}
	}
	if done > 0 {
		w.announce(pull.ChangeDelivery, "", plural(done, "delivery needed no look", "deliveries needed no look"))
	}
	return attempts, nil
}

// resolve names the keys that a delivery is about: by number, else by head, else by base.
func (w *intakeWork) resolve(d *taken) ([]pull.Key, error) {
	repo := d.Hint.Repo.ID
	if repo == 0 {
		return nil, nil
	}
	var numbers []int
	each := func(scan scanner) error {
		var n int
		err := scan(&n)
		numbers = append(numbers, n)
		return err
	}
	var err error
	switch r := d.route; {
	case len(r.Numbers) > 0:
		numbers = slices.Clone(r.Numbers)
	case r.SHA != "":
		err = w.query(openWithHead, []any{repo, string(r.SHA)}, each)
		// What the batch itself says of heads is newer than the table.
		numbers = slices.DeleteFunc(numbers, func(n int) bool { _, said := w.heads[pull.PullKey(repo, n)]; return said })
		for key, h := range w.heads {
			if key.RepoID == repo && h.sha == r.SHA && !h.gone {
				numbers = append(numbers, key.Number)
			}
		}
	case r.Base == "*":
		err = w.query(openInRepo, []any{repo}, each)
	case r.Base != "":
		err = w.query(openIntoBase, []any{repo, r.Base}, each)
	}
	slices.Sort(numbers)
	var keys []pull.Key
	for _, n := range slices.Compact(numbers) {
		keys = append(keys, pull.PullKey(repo, n))
	}
	return keys, err
}

// head notes what a delivery says of the head of the pull request that it is about.
func (w *intakeWork) head(d *taken) {
	if d.Hint.Repo.ID == 0 || len(d.route.Numbers) == 0 || (d.route.Head == "" && !d.route.Gone) {
		return
	}
	w.heads[pull.PullKey(d.Hint.Repo.ID, d.route.Numbers[0])] = heading{d.route.Head, d.route.Gone}
}

func (w *intakeWork) writeHeads() error {
	for _, key := range sortedKeys(w.heads) {
		h := w.heads[key]
		if err := w.setHead(key, h.sha, !h.gone); err != nil {
			return err
		}
	}
	return nil
}

// setHead writes the head of an open pull request, or that it is not open, into the index and the history.
func (t *tx) setHead(key pull.Key, sha pull.SHA, open bool) error {
	if !open || sha == "" {
		_, err := t.exec(dropHead, key.String())
		return err
	}
	var was string
	if _, err := t.row(headOf, []any{key.String()}, &was); err != nil || was == string(sha) {
		return err
	}
	if _, err := t.exec(setHead, key.String(), key.RepoID, int64(key.Number), string(sha)); err != nil {
		return err
	}
	_, err := t.exec(addHead, key.String(), t.now.UnixMicro(), string(sha))
	return err
}

// echoed reports whether an event says of a report only what the ledger says we wrote.
func (w *intakeWork) echoed(key pull.Key, said *pull.Report) (bool, error) {
	if said == nil {
		return false, nil
	}
	k := echoKey{key, said.SHA}
	ours, known := w.echoes[k]
	if !known {
		var request string
		found, err := w.row(reportWritten, []any{key.String(), string(said.SHA)}, &request)
		if err != nil {
			return false, err
		}
		var a pull.Action
		if found && json.Unmarshal([]byte(request), &a) == nil {
			ours = a.Report
		}
		w.echoes[k] = ours
	}
	if ours == nil || ours.State != said.State {
		return false, nil
	}
	if ours.Digest != "" || said.Digest != "" {
		return ours.Digest == said.Digest, nil
	}
	return pull.StatusText(ours.Title) == said.Title, nil
}

// mark collects that a key is due.
func (w *intakeWork) mark(key pull.Key, due time.Time, d *taken) {
	m, ok := w.marks[key]
	if !ok {
		m = &marking{due: due, prio: d.route.Priority, since: d.ReceivedAt}
		w.marks[key] = m
	}
	if due.Before(m.due) {
		m.due = due
	}
	if d.ReceivedAt.Before(m.since) {
		m.since = d.ReceivedAt
	}
	m.prio = min(m.prio, d.route.Priority)
	m.scope = w.s.o.Scope(d.Hint)
}

// conclude writes what became of a delivery, and returns its attempt if that is finished.
func (w *intakeWork) conclude(d *taken, keys []pull.Key) (a pull.Attempt, finished bool, err error) {
	a = pull.Attempt{Event: d.Hint.Event, Took: w.now.Sub(d.TakenAt), Status: pull.Processed}
	switch {
	case d.err != nil:
		a.Failed, a.Status = true, pull.Received
		if d.Attempts+1 >= pull.MaxFails || errors.Is(d.err, errUndecodable) {
			a.Status = pull.Dead
			w.announce(pull.ChangeDelivery, "", "delivery "+d.ID+" failed for good: "+d.err.Error())
		}
		w.s.log.Error("a delivery could not be taken in", telemetry.KeyDelivery, d.ID, telemetry.KeyEvent, d.Hint.Event, telemetry.KeyErr, d.err)
		_, err = w.exec(deliveryFailed, d.Seq, string(a.Status), w.now.UnixMicro(), w.now.Add(backoff(d.ID, d.Attempts+1)).UnixMicro(), clean(d.err.Error()))
		w.count(a.Event).processed++
		w.count(a.Event).errors++
		return a, true, err
	case len(keys) == 1:
		_, err = w.exec(deliveryTaken, d.Seq, string(pull.Queued), keys[0].String(), w.marks[keys[0]].gen, w.now.UnixMicro(), nil, int64(0))
		return a, false, err
	default:
		_, err = w.exec(deliveryTaken, d.Seq, string(pull.Processed), nil, int64(0), w.now.UnixMicro(), w.now.UnixMicro(), int64(1))
		c := w.count(a.Event)
		c.processed++
		c.last = w.now.UnixMicro()
		return a, true, err
	}
}

func sortedKeys[V any](m map[pull.Key]V) []pull.Key {
	return slices.SortedFunc(maps.Keys(m), func(a, b pull.Key) int { return cmp.Compare(a.String(), b.String()) })
}

// A repository is what is known of one by id.
type repository struct {
	owner, name, branch string
	scope               pull.Scope
}

// A repoCache remembers which repositories need no writing, as nearly every delivery says the same of its own.
type repoCache struct {
	mu    sync.Mutex
	known map[int64]repository
}

const knownRepos = 20_000

func (c *repoCache) has(id int64, r repository) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.known[id]
	return ok && old.owner == r.owner && old.name == r.name && old.scope == r.scope && (r.branch == "" || r.branch == old.branch)
}

func (c *repoCache) learn(repos map[int64]repository) {
	if len(repos) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) > knownRepos {
		c.known = make(map[int64]repository)
	}
	maps.Copy(c.known, repos)
}

// noteRepositories keeps the names of repositories up to date, and returns what it wrote.
func (t *tx) noteRepositories(batch []taken) (map[int64]repository, error) {
	heard := make(map[int64]repository)
	for i := range batch {
		d := &batch[i]
		if d.err != nil || d.Hint.Repo.ID == 0 || d.Hint.Repo.Owner == "" || d.Hint.Repo.Name == "" {
			continue
		}
		r := repository{clean(d.Hint.Repo.Owner), clean(d.Hint.Repo.Name), clean(d.Hint.DefaultBranch), t.s.o.Scope(d.Hint)}
		if r.branch == "" {
			r.branch = heard[d.Hint.Repo.ID].branch
		}
		heard[d.Hint.Repo.ID] = r
	}
	maps.DeleteFunc(heard, func(id int64, r repository) bool { return t.s.repos.has(id, r) })
	for _, id := range slices.Sorted(maps.Keys(heard)) {
		r := heard[id]
		if _, err := t.exec(setRepository, id, r.owner, r.name, string(r.scope), r.branch, t.now.UnixMicro()); err != nil {
			return nil, err
		}
	}
	return heard, nil
}
