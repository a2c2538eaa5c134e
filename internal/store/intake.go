package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A push to a base branch concerns many pull requests at once; they are looked at one after the other. The first
// spreadSoon of them come quickly, which is all of them for most repositories; thousands are looked at in the pace that
// GitHub, which counts its own time, allows.
const (
	spreadStep = 50 * time.Millisecond
	spreadSoon = 200
	spreadSlow = 200 * time.Millisecond
)

// spread is how much later than the first the n-th pull request is looked at.
func spread(n int) time.Duration {
	return time.Duration(min(n, spreadSoon))*spreadStep + time.Duration(max(n-spreadSoon, 0))*spreadSlow
}

// errUndecodable ends a delivery at once: no retry will make it readable.
var errUndecodable = errors.New("what routing needs of it can't be decoded")

// A taken delivery is a received row in the hands of intake.
type taken struct {
	pull.Delivery
	route pull.Route
	err   error // of reading or routing it
}

// Intake takes received deliveries, oldest first, and makes due what they are about: route says what that is, and is
// given each delivery without its body. Everything happens in one transaction. It returns the attempts that are finished
// with that, and how many deliveries it took: none while the queue is paused.
//
// A delivery about one key waits for the pass that answers it; one about none or several is done. A delivery that
// can't be routed fails alone; so does one that makes the transaction fail.
func (s *Store) Intake(ctx context.Context, t pull.Taking, route func(pull.Delivery) pull.Route) ([]pull.Attempt, int, error) {
	attempts, n, err := s.intake(ctx, t, route)
	if err == nil || !badData(err) {
		return attempts, n, err
	}
	// Some row of the batch poisons it: one by one, so that only that row pays.
	ones := make([]pull.Taking, max(len(t.IDs), t.Limit))
	for i := range ones {
		ones[i] = t
		ones[i].Limit = 1
		if len(t.IDs) > 0 {
			ones[i].IDs = t.IDs[i : i+1]
		}
	}
	attempts, n = nil, 0
	for _, t := range ones {
		var at int64
		some, one, err := s.intake(ctx, t, func(d pull.Delivery) pull.Route { at = d.Seq; return route(d) })
		if err != nil && badData(err) {
			poison := err
			some, one, err = s.intake(ctx, t, func(d pull.Delivery) pull.Route {
				if d.Seq == at {
					panic(poison)
				}
				return route(d)
			})
		}
		attempts = append(attempts, some...)
		n += one
		if err != nil || (one == 0 && len(t.IDs) == 0) {
			return attempts, n, err
		}
	}
	return attempts, n, nil
}

func (s *Store) intake(ctx context.Context, which pull.Taking, route func(pull.Delivery) pull.Route) (attempts []pull.Attempt, n int, err error) {
	var repos map[int64]repository
	err = s.write(ctx, "intake", func(t *tx) error {
		attempts, repos = nil, nil // it may run again
		batch, err := t.take(which)
		if n = len(batch); err != nil {
			return err
		}
		if n == 0 {
			return errNothing
		}
		if err := t.fillInstallations(batch); err != nil {
			return err
		}
		for i := range batch {
			d := &batch[i]
			if d.err == nil {
				d.route, d.err = safely(route, d.Delivery)
			}
		}
		if which.By != "" {
			for i := range batch {
				if err := t.audit(which.By, auditIntake, batch[i].ID, ""); err != nil {
					return err
				}
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
func (t *tx) take(which pull.Taking) ([]taken, error) {
	var batch []taken
	each := func(scan scanner) error {
		var d taken
		var received, seen int64
		var first sql.NullInt64
		var hint sql.RawBytes
		if err := scan(&d.Seq, &d.ID, &d.SecretSlot, &d.Attempts, &d.SeenCount, &received, &seen, &first, &hint); err != nil {
			return err
		}
		d.Status = pull.Received
		d.ReceivedAt, d.LastSeenAt, d.TakenAt = time.UnixMicro(received).UTC(), time.UnixMicro(seen).UTC(), moment(first)
		if d.TakenAt.IsZero() {
			d.TakenAt = t.now
		}
		if json.Unmarshal(hint, &d.Hint) != nil {
			d.err = errUndecodable
		}
		batch = append(batch, d)
		return nil
	}
	var err error
	if which.IDs != nil {
		ids := make([]any, 0, len(which.IDs))
		for _, id := range slices.Compact(slices.Sorted(slices.Values(which.IDs))) {
			ids = append(ids, clean(id))
		}
		err = t.bulk(takeNamed, []any{t.now.UnixMicro(), flag(which.By != "")}, ids, each)
	} else {
		before := int64(math.MaxInt64)
		if !which.Before.IsZero() {
			before = which.Before.UnixMicro()
		}
		err = t.query(takeReceived, []any{t.now.UnixMicro(), int64(which.Limit), before}, each)
	}
	slices.SortFunc(batch, func(a, b taken) int { return cmp.Compare(a.Seq, b.Seq) })
	return batch, err
}

// A marking is what a batch has to say about one key.
type marking struct {
	key   pull.Key
	name  string // of the key, as stored
	due   time.Time
	prio  pull.Priority
	since time.Time
	scope pull.Scope
	gen   int64
}

// fillInstallations gives hints that name no installation the one that was last heard of from their repository. A webhook
// of the repository itself names none; beside the App's own, it must not take the App's access away.
func (t *tx) fillInstallations(batch []taken) error {
	if t.s.o.Scope(pull.Hint{Installation: 1}).Installation() == 0 {
		return nil // not acting as an App
	}
	heard := make(map[int64]int64)
	for i := range batch {
		if h := &batch[i].Hint; h.Installation != 0 {
			heard[h.Repo.ID] = h.Installation
		}
	}
	for i := range batch {
		h := &batch[i].Hint
		if h.Installation != 0 || h.Repo.ID == 0 {
			continue
		}
		if _, ok := heard[h.Repo.ID]; !ok {
			var scope string
			if _, err := t.row(repositoryScope, []any{h.Repo.ID}, &scope); err != nil {
				return err
			}
			heard[h.Repo.ID] = pull.Scope(scope).Installation()
		}
		h.Installation = heard[h.Repo.ID]
	}
	return nil
}

// A heading is what a batch says of the head of a pull request: the newest, or that it is no longer open.
type heading struct {
	sha  pull.SHA
	gone bool
}

// A headRow is a row of the history of heads. They are kept in the order of GitHub's clock, so it does not matter in which one
// they are heard of.
type headRow struct {
	key string
	at  int64
	sha string
}

// addHeads writes rows of the history of heads, those that are new.
func (t *tx) addHeads(seen []headRow) error {
	slices.SortFunc(seen, func(a, b headRow) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.at, b.at), cmp.Compare(a.sha, b.sha))
	})
	rows := make([]any, 0, len(seen)*addHeads.width)
	for _, h := range slices.Compact(seen) {
		rows = append(rows, h.key, h.at, h.sha)
	}
	return t.bulk(addHeads, nil, rows, nil)
}

type echoKey struct {
	key    pull.Key
	target string
}

// intakeWork is one batch on its way: what it marks is collected, and written in the order of keys.
type intakeWork struct {
	*tx
	marks  map[pull.Key]*marking
	heads  map[pull.Key]heading
	seen   []headRow                // every head that was told of, whatever came after it
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
				due = due.Add(spread(n))
			}
			w.mark(key, due, d, len(found) == 1)
			keys[i] = append(keys[i], key)
		}
	}
	if err := w.writeMarks(); err != nil {
		return nil, err
	}
	if err := w.setHeads(w.heads); err != nil {
		return nil, err
	}
	if err := w.addHeads(w.seen); err != nil {
		return nil, err
	}
	return w.conclude(batch, keys)
}

// writeMarks makes the keys due, and learns their generations.
func (w *intakeWork) writeMarks() error {
	byName := make(map[string]*marking, len(w.marks))
	for _, m := range w.marks {
		byName[m.name] = m
	}
	rows := make([]any, 0, len(byName)*markHinted.width)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		m := byName[name]
		rows = append(rows, name, m.key.RepoID, int64(m.key.Number), string(m.scope), m.due.UnixMicro(), int64(m.prio), m.since.UnixMicro())
	}
	return w.bulk(markHinted, nil, rows, func(scan scanner) error {
		var name string
		var gen int64
		if err := scan(&name, &gen); err != nil {
			return err
		}
		m, ok := byName[name]
		if !ok {
			return fmt.Errorf("the database answered about key %q, which it was not given", name)
		}
		m.gen = gen
		return nil
	})
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
	key := pull.PullKey(d.Hint.Repo.ID, d.route.Numbers[0])
	w.heads[key] = heading{d.route.Head, d.route.Gone}
	if d.route.Head != "" && !d.route.HeadAt.IsZero() {
		w.seen = append(w.seen, headRow{key.String(), d.route.HeadAt.UnixMicro(), clean(string(d.route.Head))})
	}
}

// setHeads writes the heads of open pull requests, and which are not open, into the index.
func (t *tx) setHeads(heads map[pull.Key]heading) error {
	open := make(map[string]pull.Key, len(heads))
	var gone []string
	for key, h := range heads {
		if h.gone || h.sha == "" {
			gone = append(gone, key.String())
		} else {
			open[key.String()] = key
		}
	}
	slices.Sort(gone)
	rows := make([]any, 0, max(len(gone), len(open)*setHeads.width))
	for _, name := range gone {
		rows = append(rows, name)
	}
	if err := t.bulk(dropOpen, nil, rows, nil); err != nil {
		return err
	}
	rows = rows[:0]
	for _, name := range slices.Sorted(maps.Keys(open)) {
		key := open[name]
		rows = append(rows, name, key.RepoID, int64(key.Number), string(heads[key].sha))
	}
	return t.bulk(setHeads, nil, rows, nil)
}

// echoed reports whether an event says of a report only what the ledger says we wrote.
func (w *intakeWork) echoed(key pull.Key, said *pull.Report) (bool, error) {
	if said == nil {
		return false, nil
	}
	k := echoKey{key, said.Target()}
	ours, known := w.echoes[k]
	if !known {
		var request string
		found, err := w.row(reportWritten, []any{key.String(), said.Target()}, &request)
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

// mark collects that a key is due; waits says that the delivery then waits for it.
func (w *intakeWork) mark(key pull.Key, due time.Time, d *taken, waits bool) {
	since := d.ReceivedAt
	if !waits {
		since = since.Add(-notADelivery)
	}
	m, ok := w.marks[key]
	if !ok {
		m = &marking{key: key, name: key.String(), due: due, prio: d.route.Priority, since: since}
		w.marks[key] = m
	}
	if due.Before(m.due) {
		m.due = due
	}
	if since.Before(m.since) {
		m.since = since
	}
	m.prio = min(m.prio, d.route.Priority)
	m.scope = w.s.o.Scope(d.Hint)
}

// conclude writes what became of the deliveries, and returns the attempts that are finished.
func (w *intakeWork) conclude(batch []taken, keys [][]pull.Key) ([]pull.Attempt, error) {
	var attempts []pull.Attempt
	queued := make([]any, 0, len(batch)*deliveriesQueued.width)
	var idle []any
	for i := range batch {
		d := &batch[i]
		switch {
		case d.err != nil:
			a, err := w.failed(d)
			if err != nil {
				return nil, err
			}
			attempts = append(attempts, a)
		case len(keys[i]) == 1:
			m := w.marks[keys[i][0]]
			queued = append(queued, d.Seq, m.name, m.gen)
		default:
			idle = append(idle, d.Seq)
			attempts = append(attempts, w.attempt(d, pull.Processed))
			c := w.count(d.Hint.Event)
			c.processed++
			c.last = w.now.UnixMicro()
		}
	}
	now := []any{w.now.UnixMicro()}
	if err := w.bulk(deliveriesQueued, now, queued, nil); err != nil {
		return nil, err
	}
	if err := w.bulk(deliveriesIdle, now, idle, nil); err != nil {
		return nil, err
	}
	if n := len(idle); n > 0 {
		w.announce(pull.ChangeDelivery, "", plural(n, "delivery needed no look", "deliveries needed no look"))
	}
	return attempts, nil
}

// attempt is the attempt at a delivery that intake itself has ended.
func (w *intakeWork) attempt(d *taken, s pull.DeliveryStatus) pull.Attempt {
	return pull.Attempt{Event: d.Hint.Event, Took: w.now.Sub(d.TakenAt), Status: s}
}

// failed writes that a delivery could not be taken in.
func (w *intakeWork) failed(d *taken) (pull.Attempt, error) {
	a := w.attempt(d, pull.Received)
	a.Failed = true
	if d.Attempts+1 >= pull.MaxFails || errors.Is(d.err, errUndecodable) {
		a.Status = pull.Dead
		w.announce(pull.ChangeDelivery, "", "delivery "+d.ID+" failed for good: "+d.err.Error())
	}
	w.s.log.Error("a delivery could not be taken in", telemetry.KeyDelivery, d.ID, telemetry.KeyEvent, d.Hint.Event, telemetry.KeyErr, d.err)
	_, err := w.exec(deliveryFailed, d.Seq, string(a.Status), w.now.UnixMicro(), w.now.Add(backoff(d.ID, d.Attempts+1)).UnixMicro(), clean(d.err.Error()))
	c := w.count(a.Event)
	c.processed++
	c.errors++
	return a, err
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
