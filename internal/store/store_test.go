package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// A world is a migrated store on one engine, whose time moves only when the test says so.
type world struct {
	*Store
	t   *testing.T
	ctx context.Context
	url string

	mu   sync.Mutex
	at   time.Time
	hook func(op string, committed bool) error
}

const (
	repoID = 1296269
	lease  = 30 * time.Second
)

var octoApp = pull.Repo{ID: repoID, Owner: "octo", Name: "app"}

// worlds runs a test on every engine.
func worlds(t *testing.T, test func(t *testing.T, w *world)) {
	testenv.Engines(t, func(t *testing.T, url string) { test(t, newWorld(t, url)) })
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), url: url, at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.Store = w.open()
	if _, _, err := w.Migrate(w.ctx); err != nil {
		t.Fatal(err)
	}
	return w
}

// open opens the world's database once more, as another replica would.
func (w *world) open() *Store {
	w.t.Helper()
	s, err := Open(w.ctx, w.url, Options{
		Beside: true,
		Clock:  w.now,
		Hook: func(op string, committed bool) error {
			w.mu.Lock()
			hook := w.hook
			w.mu.Unlock()
			if hook == nil {
				return nil
			}
			return hook(op, committed)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return s
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *world) setHook(hook func(op string, committed bool) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = hook
}

// number reads one number out of the database, past everything that the store says of itself.
func (w *world) number(query string, args ...any) int64 {
	w.t.Helper()
	var n int64
	if err := w.db.QueryRowContext(w.ctx, query, args...).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// run executes a statement past the store.
func (w *world) run(query string, args ...any) {
	w.t.Helper()
	st := &statement{name: "test", sqlite: query, postgres: query}
	if err := w.write(w.ctx, "test", func(t *tx) error { _, err := t.exec(st, args...); return err }); err != nil {
		w.t.Fatal(err)
	}
}

// delivery makes a pull_request delivery about a number.
func (w *world) delivery(id string, number int) pull.Delivery {
	body := []byte(fmt.Sprintf(`{"number":%d,"id":%q}`, number, id))
	return pull.Delivery{
		ID: id, Body: body, BodyHash: sha256.Sum256(body), ReceivedAt: w.now(),
		Headers: map[string]string{"X-GitHub-Event": "pull_request"},
		Hint:    pull.Hint{Event: "pull_request", Action: "synchronize", Repo: octoApp, Installation: 42, Numbers: []int{number}},
	}
}

func (w *world) insert(ds ...pull.Delivery) []pull.Receipt {
	w.t.Helper()
	r, err := w.Insert(w.ctx, ds)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// byNumber is the simplest routing: at once, to what the hint names.
func byNumber(d pull.Delivery) pull.Route {
	return pull.Route{Numbers: d.Hint.Numbers, Priority: pull.Ordinary}
}

func (w *world) intake(route func(pull.Delivery) pull.Route) []pull.Attempt {
	w.t.Helper()
	a, _, err := w.Intake(w.ctx, pull.Taking{Limit: 100}, route)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// hint makes a key due the way the service does: a delivery, taken in.
func (w *world) hint(id string, number int) {
	w.t.Helper()
	w.insert(w.delivery(id, number))
	w.intake(byNumber)
}

func (w *world) claim() pull.Claim {
	w.t.Helper()
	c, ok, err := w.Claim(w.ctx, "worker", lease, "")
	if err != nil {
		w.t.Fatal(err)
	}
	if !ok {
		w.t.Fatal("Claim = nothing, want a key")
	}
	return c
}

func (w *world) noClaim(why string) {
	w.t.Helper()
	c, ok, err := w.Claim(w.ctx, "worker", lease, "")
	if err != nil {
		w.t.Fatal(err)
	}
	if ok {
		w.t.Fatalf("Claim = %s, want nothing: %s", c.Key, why)
	}
}

func (w *world) record(c pull.Claim, r pull.PassResult) []pull.Attempt {
	w.t.Helper()
	a, err := w.Record(w.ctx, c, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// statuses are the deliveries' statuses by id.
func (w *world) statuses() map[string]pull.DeliveryStatus {
	w.t.Helper()
	ds, err := w.Deliveries(w.ctx, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]pull.DeliveryStatus{}
	for _, d := range ds {
		out[d.ID] = d.Status
	}
	return out
}

func (w *world) work(number int) WorkRow {
	w.t.Helper()
	var row WorkRow
	err := w.query(w.ctx, workOfKey, []any{pull.PullKey(repoID, number).String()}, func(scan scanner) (err error) {
		row, err = scanWork(scan)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return row
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

func TestEveryStatementIsUnderstood(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		conn, err := w.db.Conn(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, st := range statements {
			text := st.sqlite
			if w.engine == "postgres" {
				text = st.postgres
			}
			p, err := conn.PrepareContext(w.ctx, text)
			if err != nil {
				t.Errorf("prepare %s: %v\n%s", st.name, err, text)
				continue
			}
			p.Close()
		}
	})
}

// The engines run one text, and the only words that differ are the ones that take rows nobody else has taken.
func TestTheTextDiffersInOneClauseOnly(t *testing.T) {
	marked := map[string]bool{}
	for _, st := range statements {
		if st.sqlite != st.postgres {
			name, _, _ := strings.Cut(st.name, ", rows:")
			marked[name] = true
			if got := strings.ReplaceAll(st.postgres, "FOR UPDATE SKIP LOCKED", skipLocked); got != st.sqlite {
				t.Errorf("%s differs in more than the marked clause", st.name)
			}
		}
	}
	if len(marked) != 3 {
		t.Errorf("%v have the marked clause, want 3: taking deliveries, the oldest and by name, and claiming keys", marked)
	}
}

// What is big is never read from end to end by what runs all the time.
func TestHotStatementsUseTheirIndexes(t *testing.T) {
	w := newWorld(t, testenv.SQLite(t))
	for _, c := range []struct {
		st   *statement
		args []any
		want string
	}{
		{takeReceived, []any{1, 1, 1}, "webhook_logs_received"},
		{takeNamed.of[len(bulkRows)-1], []any{1, 1, ""}, "webhook_logs_delivery"},
		{claimKey, []any{1, 1, "", 1, ""}, "work_claim"},
		{nextReady, []any{1}, "work_ready"},
		{deliveriesDone, []any{"", 1, 1}, "webhook_logs_queued"},
		{deadDone, []any{"", 1, 1}, "webhook_logs_dead"},
		{deliveriesFailed, []any{"", 1, "", ""}, "webhook_logs_queued"},
		{countReceived, nil, "webhook_logs_received"},
		{countQueued, nil, "webhook_logs_queued"},
		{countDead, nil, "webhook_logs_dead"},
		{oldestReceived, nil, "webhook_logs_received"},
		{deliveriesQueued.of[len(bulkRows)-1], []any{1, 1, "", 1}, "SEARCH webhook_logs USING INTEGER PRIMARY KEY"},
		{deliveriesIdle.of[len(bulkRows)-1], []any{1, 1}, "SEARCH webhook_logs USING INTEGER PRIMARY KEY"},
		{openWithHead, []any{1, ""}, "open_heads_sha"},
		{openIntoBase, []any{1, ""}, "pulls_base"},
		{deliveriesOfKey, []any{"", 1}, "webhook_logs_key"},
		{deliveriesHere.of[len(bulkRows)-1], []any{""}, "webhook_logs_delivery"},
		{listMissing, []any{1, 1}, "missing_open"},
		{listSightings, []any{1}, "sightings_repo"},
		{listSweepable, nil, "sightings_repo"},
	} {
		if plan := w.plan(c.st, c.args...); !strings.Contains(plan, c.want) {
			t.Errorf("%s doesn't use %s: %s", c.st.name, c.want, plan)
		}
	}
}

// plan is how the database would run a statement.
func (w *world) plan(st *statement, args ...any) string {
	w.t.Helper()
	text := "EXPLAIN " + st.postgres
	if w.sqlite != nil {
		text = "EXPLAIN QUERY PLAN " + st.sqlite
	}
	rows, err := w.db.QueryContext(w.ctx, text, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", st.name, err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var detail string
		dest := []any{&detail}
		if w.sqlite != nil {
			var id, parent, unused int
			dest = []any{&id, &parent, &unused, &detail}
		}
		if err := rows.Scan(dest...); err != nil {
			w.t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	return strings.Join(plan, "\n") + "\n"
}
