package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/webhook"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// The store's way to refuse single rows is the one that the inbox understands.
var _ delivery.RowErrors = store.InsertErrors(nil)

const secret = "a secret of sixteen bytes"

// A desk is an inbox and an intake on a real store, and, where it is given a Redis, with a queue there.
type desk struct {
	inbox   *delivery.Inbox
	intake  *delivery.Intake
	hints   *delivery.Hints // nil without Redis
	store   *store.Store
	metrics *telemetry.Metrics
	logs    *logs
	woken   atomic.Int64
	stop    context.CancelFunc
	done    chan struct{}
}

// doors runs a test on every engine, without and with a Redis: what is promised to a sender does not depend on either.
func doors(t *testing.T, test func(t *testing.T, url string, r *testenv.RedisServer)) {
	testenv.Engines(t, func(t *testing.T, url string) { test(t, url, nil) })
	t.Run("redis", func(t *testing.T) {
		testenv.Engines(t, func(t *testing.T, url string) { test(t, url, testenv.Redis(t)) })
	})
}

type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }

func (l *logs) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func (l *logs) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// newDesk opens the database at url with the given hook; run starts the loops. Several desks may share a database.
func newDesk(t *testing.T, url string, r *testenv.RedisServer, o delivery.Options, hook func(op string, committed bool) error) *desk {
	t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, url, store.Options{Beside: true, Hook: func(op string, committed bool) error {
		if hook == nil {
			return nil
		}
		return hook(op, committed)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	d := &desk{store: st, metrics: telemetry.NewMetrics("test", "test"), logs: &logs{}, done: make(chan struct{})}
	log := slog.New(slog.NewTextHandler(d.logs, nil))
	poll := 20 * time.Millisecond
	o.Committed = func([]pull.Delivery) { d.intake.Nudge() }
	if r != nil {
		d.hints, err = delivery.NewHints(st, d.metrics, log, delivery.HintOptions{
			URL: r.URL, Key: queue, Lease: 30 * time.Second, Probe: 100 * time.Millisecond, Told: func() { d.intake.Nudge() },
		})
		if err != nil {
			t.Fatal(err)
		}
		poll, o.Committed = time.Second, d.hints.Tell
	}
	d.intake = delivery.NewIntake(st, d.metrics, log, delivery.IntakeOptions{
		Poll: poll, Hints: d.hints, Woken: func() { d.woken.Add(1) }, Busy: func() bool { return d.inbox.Busy() },
	})
	d.inbox = delivery.NewInbox(st, d.metrics, log, o)
	t.Cleanup(func() {
		if d.hints != nil {
			if err := d.hints.Close(); err != nil {
				t.Errorf("close Redis: %v", err)
			}
		}
		if err := st.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func (d *desk) run(t *testing.T, intake bool) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	var wg sync.WaitGroup
	start := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	start("inbox", d.inbox.Run)
	if d.hints != nil {
		start("hints", d.hints.Run)
	}
	if intake {
		start("intake", d.intake.Run)
	}
	go func() { wg.Wait(); close(d.done) }()
	t.Cleanup(func() { stop(); <-d.done })
}

func sqliteURL(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "inbox.db") }

func some(id string, number int) pull.Delivery {
	return pull.Delivery{
		ID:         id,
		Hint:       pull.Hint{Event: "pull_request", Action: "opened", Repo: pull.Repo{ID: 1, Owner: "octo", Name: "app"}, Numbers: []int{number}},
		Body:       []byte(`{"id":"` + id + `"}`),
		SecretSlot: -1,
	}
}

func (d *desk) rows(t *testing.T) int64 {
	t.Helper()
	st, err := d.store.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return st.Received
}

// TestThroughTheDoor is the whole way on both engines: signed requests, rows, due keys.
func TestThroughTheDoor(t *testing.T) {
	doors(t, func(t *testing.T, url string, r *testenv.RedisServer) {
		d := newDesk(t, url, r, delivery.Options{}, nil)
		d.run(t, true)
		h := webhook.New(webhook.Options{Secrets: func() [][]byte { return [][]byte{[]byte(secret)} }, Validate: true}, d.inbox, d.metrics, slog.New(slog.DiscardHandler))
		post := func(event, id, body string) string {
			r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-GitHub-Event", event)
			r.Header.Set("X-GitHub-Delivery", id)
			r.Header.Set("X-Hub-Signature-256", webhook.Sign(secret, []byte(body)))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String()))
		}
		const repo = `"repository":{"id":1,"name":"app","owner":{"login":"octo"},"default_branch":"main"}`
		body := `{"action":"opened","number":7,"pull_request":{"number":7,"title":"zero \u0000 <script>\u001b[31m","head":{"sha":"ec26c3e57ca3a959ca5aad62de7213c562f8c821"}},` + repo + `}`
		for i, want := range []string{"accepted", "duplicate", "duplicate"} {
			if got := post("pull_request", "one", body); got != `202 {"status":"`+want+`","delivery_id":"one"}` {
				t.Errorf("answer %d = %s, want %s", i+1, got, want)
			}
		}
		if got := post("ping", "two", `{"zen":"x",`+repo+`}`); !strings.HasPrefix(got, "202") {
			t.Errorf("ping = %s", got)
		}
		eventually(t, "both are taken in, the ping is done", func() bool {
			one, err1 := d.store.Delivery(t.Context(), "one")
			two, err2 := d.store.Delivery(t.Context(), "two")
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			return one.Status == pull.Queued && two.Status == pull.Processed
		})
		eventually(t, "the key can be claimed", func() bool {
			c, ok, err := d.store.Claim(t.Context(), "test", time.Minute, "")
			if err != nil {
				t.Fatal(err)
			}
			return ok && c.Key == pull.PullKey(1, 7) && c.Repo.FullName() == "octo/app"
		})
		one, err := d.store.Delivery(t.Context(), "one")
		if err != nil || string(one.Body) != body || one.SeenCount != 3 || one.Headers["X-Github-Event"] != "pull_request" {
			t.Errorf("kept %+v, %v; want the body as signed, seen three times", one, err)
		}
		if d.woken.Load() == 0 {
			t.Error("nobody was woken")
		}
		if err := onlyNonZero(d.metrics, "github_webhook_processed_total", `{event="ping"} 1`); err != nil {
			t.Error(err)
		}
	})
}

// onlyNonZero compares those series of a counter with one label that are not 0.
func onlyNonZero(m *telemetry.Metrics, name, want string) error {
	families, err := m.Registry.Gather()
	if err != nil {
		return err
	}
	var got []string
	for _, f := range families {
		for _, s := range f.GetMetric() {
			if f.GetName() == name && s.GetCounter().GetValue() != 0 {
				got = append(got, fmt.Sprintf("{%s=%q} %v", s.GetLabel()[0].GetName(), s.GetLabel()[0].GetValue(), s.GetCounter().GetValue()))
			}
		}
	}
	if lines := strings.Join(got, " "); lines != want {
		return fmt.Errorf("%s = %s, want %s", name, lines, want)
	}
	return nil
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// TestSameIDConcurrently is row E1: one row, one acceptance, and everybody gets a receipt.
func TestSameIDConcurrently(t *testing.T) {
	doors(t, func(t *testing.T, url string, r *testenv.RedisServer) {
		d := newDesk(t, url, r, delivery.Options{}, nil)
		d.run(t, true)
		var fresh, again, differ atomic.Int64
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				v := some("same", 7)
				if i%10 == 9 {
					v.Body = []byte(`{"another":"body"}`)
				}
				r, err := d.inbox.Accept(t.Context(), v)
				if err != nil {
					t.Errorf("Accept = %v", err)
				}
				if r.Duplicate {
					again.Add(1)
				} else {
					fresh.Add(1)
				}
				if r.Differs {
					differ.Add(1)
				}
			})
		}
		wg.Wait()
		if fresh.Load() != 1 || again.Load() != 99 || differ.Load() == 0 {
			t.Errorf("%d fresh, %d duplicates, %d with another body; want 1, 99 and some", fresh.Load(), again.Load(), differ.Load())
		}
		if n := d.rows(t); n != 1 {
			t.Errorf("%d deliveries kept, want 1", n)
		}
		one, err := d.store.Delivery(t.Context(), "same")
		if err != nil || one.SeenCount != 100 {
			t.Errorf("seen %d times, %v; want 100", one.SeenCount, err)
		}
	})
}

// TestGroupCommit: while one transaction is at the disk, whatever arrives waits together and is written together.
func TestGroupCommit(t *testing.T) {
	gate := make(chan struct{})
	var commits atomic.Int64
	d := newDesk(t, sqliteURL(t), nil, delivery.Options{BatchRows: 40}, func(op string, committed bool) error {
		if op == "insert" && !committed && commits.Add(1) == 1 {
			<-gate
		}
		return nil
	})
	d.run(t, false)
	var wg sync.WaitGroup
	accept := func(i int) {
		wg.Go(func() {
			if r, err := d.inbox.Accept(t.Context(), some(fmt.Sprint("d", i), i)); err != nil || r.Duplicate {
				t.Errorf("Accept %d = %+v, %v", i, r, err)
			}
		})
	}
	accept(1)
	eventually(t, "the first is being written", func() bool { return commits.Load() == 1 && d.inbox.Writing() > 0 })
	for i := range 100 {
		accept(i + 2)
	}
	eventually(t, "the others wait", func() bool { return d.inbox.Waiting() == 100 })
	if n := d.rows(t); n != 0 {
		t.Errorf("%d rows before the first commit, want 0", n)
	}
	close(gate)
	wg.Wait()
	if n := commits.Load(); n != 1+3 {
		t.Errorf("%d transactions for 1 and 100 deliveries with at most 40 in each, want 4", n)
	}
	if n := d.rows(t); n != 101 {
		t.Errorf("%d rows, want 101", n)
	}
	if d.inbox.Writing() != 0 {
		t.Errorf("Writing = %v between transactions, want 0", d.inbox.Writing())
	}
}

// TestNoReceiptBeforeCommit: a failure before the commit leaves no row and gives nobody a receipt; one after the
// commit (its answer was lost) gives nobody a receipt either, but the rows are there and a second try is a duplicate.
func TestNoReceiptBeforeCommit(t *testing.T) {
	doors(t, func(t *testing.T, url string, r *testenv.RedisServer) {
		var when atomic.Value // "before", "after" or ""
		when.Store("before")
		crash := errors.New("crash")
		d := newDesk(t, url, r, delivery.Options{}, func(op string, committed bool) error {
			if op == "insert" && (when.Load() == "before" && !committed || when.Load() == "after" && committed) {
				return crash
			}
			return nil
		})
		d.run(t, false)
		all := func() (receipts []pull.Receipt, refused int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					r, err := d.inbox.Accept(t.Context(), some(fmt.Sprint("d", i), i+1))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						receipts = append(receipts, r)
					case errors.Is(err, delivery.ErrUnavailable):
						refused++
					default:
						t.Errorf("Accept = %v, want %v", err, delivery.ErrUnavailable)
					}
				})
			}
			wg.Wait()
			return receipts, refused
		}
		if r, n := all(); len(r) != 0 || n != 20 || d.rows(t) != 0 {
			t.Errorf("stopped before the commit: %d receipts, %d refused, %d rows; want 0, 20, 0", len(r), n, d.rows(t))
		}
		when.Store("after")
		if r, n := all(); len(r) != 0 || n != 20 || d.rows(t) != 20 {
			t.Errorf("stopped after the commit: %d receipts, %d refused, %d rows; want 0, 20, 20", len(r), n, d.rows(t))
		}
		when.Store("")
		got, n := all()
		if len(got) != 20 || n != 0 || d.rows(t) != 20 {
			t.Errorf("then: %d receipts, %d refused, %d rows; want 20, 0, 20", len(got), n, d.rows(t))
		}
		for _, one := range got {
			if !one.Duplicate {
				t.Error("a receipt says that the delivery is new, though it was kept before")
			}
		}
		if n := d.logs.count("can't be kept"); n != 1 || d.logs.count("kept again") != 1 {
			t.Errorf("the outage was logged %d times, its end %d times; want once each", n, d.logs.count("kept again"))
		}
	})
}

// TestDrainsAtTheEnd: what waits when Run is told to end is kept; what comes later is refused at once.
func TestDrainsAtTheEnd(t *testing.T) {
	gate := make(chan struct{})
	var once sync.Once
	begun := make(chan struct{})
	d := newDesk(t, sqliteURL(t), nil, delivery.Options{}, func(op string, committed bool) error {
		if op == "insert" && !committed {
			once.Do(func() { close(begun); <-gate })
		}
		return nil
	})
	d.run(t, false)
	errs := make(chan error, 11)
	accept := func(i int) {
		go func() {
			_, err := d.inbox.Accept(context.Background(), some(fmt.Sprint("d", i), i+1))
			errs <- err
		}()
	}
	accept(0)
	<-begun
	for i := range 10 {
		accept(i + 1)
	}
	eventually(t, "ten wait", func() bool { return d.inbox.Waiting() == 10 })
	d.stop()
	close(gate)
	for range 11 {
		if err := <-errs; err != nil {
			t.Errorf("Accept = %v, want nil", err)
		}
	}
	<-d.done
	if n := d.rows(t); n != 11 {
		t.Errorf("%d rows, want 11", n)
	}
	began := time.Now()
	if _, err := d.inbox.Accept(t.Context(), some("late", 1)); !errors.Is(err, delivery.ErrUnavailable) || time.Since(began) > time.Second {
		t.Errorf("Accept after the end = %v after %v, want %v at once", err, time.Since(began), delivery.ErrUnavailable)
	}
}

// TestFullAndSlow: the waiting room is bounded, nobody waits longer than its patience, and a caller that gives up
// leaves the others alone.
func TestFullAndSlow(t *testing.T) {
	gate := make(chan struct{})
	d := newDesk(t, sqliteURL(t), nil, delivery.Options{WaitingRows: 3, Patience: 2 * time.Second}, func(op string, committed bool) error {
		if op == "insert" && !committed {
			<-gate
		}
		return nil
	})
	d.run(t, false)
	results := make(chan error, 10)
	ctx, cancel := context.WithCancel(t.Context())
	accept := func(ctx context.Context, id string) {
		go func() { _, err := d.inbox.Accept(ctx, some(id, 1)); results <- err }()
	}
	accept(t.Context(), "first")
	eventually(t, "the first is being written", func() bool { return d.inbox.Writing() > 0 })
	for i := range 3 {
		accept(ctx, fmt.Sprint("d", i))
	}
	eventually(t, "three wait", func() bool { return d.inbox.Waiting() == 3 })
	if _, err := d.inbox.Accept(t.Context(), some("one too many", 1)); !errors.Is(err, delivery.ErrBusy) {
		t.Errorf("Accept into a full inbox = %v, want %v", err, delivery.ErrBusy)
	}
	cancel()
	for range 3 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("Accept of a caller that left = %v, want %v", err, context.Canceled)
		}
	}
	if err := <-results; !errors.Is(err, delivery.ErrUnavailable) {
		t.Errorf("Accept beyond its patience = %v, want %v", err, delivery.ErrUnavailable)
	}
	close(gate)
	eventually(t, "all four are kept though nobody waited for it", func() bool { return d.rows(t) == 4 })
}

// A broken store fails as it is told to. The real ones can't be made to hang, or to return too little.
type broken struct {
	insert func(context.Context, []pull.Delivery) ([]pull.Receipt, error)
	intake func() ([]pull.Attempt, int, error)
}

func (b broken) Insert(ctx context.Context, d []pull.Delivery) ([]pull.Receipt, error) {
	return b.insert(ctx, d)
}

func (b broken) Paused(context.Context) (pull.Pause, bool, error) { return pull.Pause{}, false, nil }

func (b broken) Waiting(context.Context, time.Time, int) ([]pull.Delivery, error) { return nil, nil }

func (b broken) Now() time.Time { return time.Now() }

func (b broken) Intake(context.Context, pull.Taking, func(pull.Delivery) pull.Route) ([]pull.Attempt, int, error) {
	return b.intake()
}

type rowErrors []error

func (r rowErrors) Error() string        { return "some rows" }
func (r rowErrors) RowError(i int) error { return r[i] }

// TestHangingDatabase is row D2: every sender has its 503 within two seconds, however long the database thinks, and
// sooner once it is known not to answer.
func TestHangingDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ []pull.Delivery) ([]pull.Receipt, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		in := delivery.NewInbox(broken{insert: hang}, telemetry.NewMetrics("", ""), slog.New(slog.DiscardHandler), delivery.Options{})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- in.Run(ctx) }()
		for i := range 60 { // one a second
			go func() {
				began := time.Now()
				_, err := in.Accept(ctx, some(fmt.Sprint(i), 1))
				most := 2 * time.Second
				if i > 5 { // the first transaction has timed out
					most /= 4
				}
				if took := time.Since(began); !errors.Is(err, delivery.ErrUnavailable) || took > most {
					t.Errorf("Accept = %v after %v, want %v within %v", err, took, delivery.ErrUnavailable, most)
				}
			}()
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// TestEndWithoutDatabase: a writer whose database is away ends after one more try, not after one per batch.
func TestEndWithoutDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ []pull.Delivery) ([]pull.Receipt, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		in := delivery.NewInbox(broken{insert: hang}, telemetry.NewMetrics("", ""), slog.New(slog.DiscardHandler),
			delivery.Options{BatchRows: 1, Patience: time.Hour})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if _, err := in.Accept(t.Context(), some(fmt.Sprint(i), 1)); !errors.Is(err, delivery.ErrUnavailable) {
					t.Errorf("Accept = %v, want %v", err, delivery.ErrUnavailable)
				}
			})
		}
		synctest.Wait()
		stop()
		began := time.Now()
		if err := in.Run(ctx); err != nil || time.Since(began) > 6*time.Second {
			t.Errorf("Run = %v after %v, want its end after one time-out", err, time.Since(began))
		}
		wg.Wait()
	})
}

// TestRowErrors: one delivery that the database can't hold costs its neighbours nothing.
func TestRowErrors(t *testing.T) {
	insert := func(_ context.Context, rows []pull.Delivery) ([]pull.Receipt, error) {
		errs := make(rowErrors, len(rows))
		bad := false
		for i, d := range rows {
			if d.ID == "bad" {
				errs[i], bad = errors.New("invalid byte sequence"), true
			}
		}
		if bad {
			return make([]pull.Receipt, len(rows)), errs
		}
		return make([]pull.Receipt, len(rows)), nil
	}
	in := delivery.NewInbox(broken{insert: insert}, telemetry.NewMetrics("", ""), slog.New(slog.DiscardHandler), delivery.Options{})
	var wg sync.WaitGroup
	for _, id := range []string{"a", "bad", "c"} {
		wg.Go(func() {
			_, err := in.Accept(t.Context(), some(id, 1))
			if want := id == "bad"; errors.Is(err, delivery.ErrUnavailable) != want {
				t.Errorf("Accept %s = %v", id, err)
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	eventually(t, "the three wait, and will be one batch", func() bool { return in.Waiting() == 3 })
	go func() { done <- in.Run(ctx) }()
	wg.Wait()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestMissingReceipts(t *testing.T) {
	few := func(context.Context, []pull.Delivery) ([]pull.Receipt, error) { return nil, nil }
	in := delivery.NewInbox(broken{insert: few}, telemetry.NewMetrics("", ""), slog.New(slog.DiscardHandler), delivery.Options{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go in.Run(ctx)
	if _, err := in.Accept(t.Context(), some("x", 1)); !errors.Is(err, delivery.ErrUnavailable) {
		t.Errorf("Accept = %v, want %v", err, delivery.ErrUnavailable)
	}
}

// TestIntakeOutage: a failing store is asked less and less often, logged once, counted each time, and then all is well.
func TestIntakeOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Time
		down := true
		intake := func() ([]pull.Attempt, int, error) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			if down {
				return nil, 0, errors.New("connection refused")
			}
			return []pull.Attempt{{Event: "ping", Status: pull.Processed}}, 1, nil
		}
		l := &logs{}
		woken := 0
		m := telemetry.NewMetrics("", "")
		it := delivery.NewIntake(broken{intake: intake}, m, slog.New(slog.NewTextHandler(l, nil)), delivery.IntakeOptions{Woken: func() { woken++ }})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- it.Run(ctx) }()
		for range 600 { // a minute, nudged all the time
			it.Nudge()
			time.Sleep(100 * time.Millisecond)
		}
		mu.Lock()
		tries := len(at)
		last := at[len(at)-1].Sub(at[len(at)-2])
		down = false
		mu.Unlock()
		if tries > 20 || tries < 12 || last != 5*time.Second {
			t.Errorf("%d tries in a minute without a database, the last two %v apart; want 12 to 20, 5 s", tries, last)
		}
		time.Sleep(6 * time.Second)
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if l.count("\n") != 2 || l.count("intake works again") != 1 {
			t.Errorf("logged %d lines, want one for the outage and one for its end", l.count("\n"))
		}
		if woken == 0 {
			t.Error("nobody was woken afterwards")
		}
		if err := onlyNonZero(m, "github_errors_total", fmt.Sprintf(`{kind="database"} %d`, tries)); err != nil {
			t.Error(err)
		}
	})
}

// TestIntakeYields: while the inbox is busy, intake waits for it, but never for long.
func TestIntakeYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan time.Time, 1000)
		it := delivery.NewIntake(broken{intake: func() ([]pull.Attempt, int, error) { calls <- time.Now(); return nil, 0, nil }},
			telemetry.NewMetrics("", ""), slog.New(slog.DiscardHandler), delivery.IntakeOptions{Busy: func() bool { return true }})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- it.Run(ctx) }()
		<-calls // at the start it just looks
		it.Nudge()
		began := time.Now()
		if waited := (<-calls).Sub(began); waited != 200*time.Millisecond {
			t.Errorf("intake began %v after a nudge while the inbox was busy, want 200ms", waited)
		}
		began = time.Now()
		if waited := (<-calls).Sub(began); waited != time.Second {
			t.Errorf("intake looked after %v without a nudge, want 1s", waited)
		}
		stop()
		<-done
	})
}

// TestLeftovers: rows that a crash left between the commit and the intake are found without a nudge.
func TestLeftovers(t *testing.T) {
	doors(t, func(t *testing.T, url string, r *testenv.RedisServer) {
		d := newDesk(t, url, r, delivery.Options{}, nil)
		var batch []pull.Delivery
		for i := range 1200 {
			batch = append(batch, some(fmt.Sprint("left", i), i%30+1))
		}
		if _, err := d.store.Insert(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		d.run(t, true)
		eventually(t, "all are taken in", func() bool {
			one, err := d.store.Delivery(t.Context(), "left1199")
			if err != nil {
				t.Fatal(err)
			}
			return one.Status == pull.Queued
		})
		st, err := d.store.Stats(t.Context())
		if err != nil || st.Due != 30 {
			t.Errorf("%d keys are due, %v; want 30", st.Due, err)
		}
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	in := delivery.NewInbox(broken{insert: func(_ context.Context, d []pull.Delivery) ([]pull.Receipt, error) {
		return make([]pull.Receipt, len(d)), nil
	}}, telemetry.NewMetrics("", ""), slog.New(slog.DiscardHandler), delivery.Options{})
	it := delivery.NewIntake(broken{intake: func() ([]pull.Attempt, int, error) { return nil, 0, nil }},
		telemetry.NewMetrics("", ""), slog.New(slog.DiscardHandler), delivery.IntakeOptions{})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { in.Run(ctx) })
	wg.Go(func() { it.Run(ctx) })
	for i := range 10 {
		if _, err := in.Accept(ctx, some(fmt.Sprint(i), 1)); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	if err := goleak.Find(leaks); err != nil {
		t.Error(err)
	}
}
