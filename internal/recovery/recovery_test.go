package recovery_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/github"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/recovery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// A world is a simulated GitHub with one repository, and a receiver that keeps what it is sent in a store.
type world struct {
	t       *testing.T
	hub     *githubtest.Server
	repo    *githubtest.Repo
	alice   *githubtest.User
	robot   *githubtest.User
	app     *githubtest.App
	install *githubtest.Installation
	hook    *githubtest.Hook
	store   *store.Store
	url     string

	mu     sync.Mutex
	refuse func(guid string) (int, error) // what the receiver answers instead of a 202; nil, nil: it keeps it
	asked  []time.Time                    // when GitHub was asked for a delivery
}

type options struct {
	token bool // act with a token
	pages int  // the largest page of GitHub's lists
	url   string
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "recovery-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{t: t, url: o.url}
	if w.url == "" {
		w.url = "sqlite:" + filepath.Join(dir, "service.db")
	}
	w.hub, err = githubtest.New(githubtest.Options{
		Dir: filepath.Join(dir, "github"), Seed: 1, PageLimit: o.pages,
		Deliver: func(r *http.Request) (*http.Response, error) { return w.receive(r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.hub.OnRequest(func(op string, _ *http.Request) {
		if strings.HasSuffix(op, ".redeliver-webhook-delivery") {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked = append(w.asked, time.Now())
		}
	})
	w.store = w.open()
	if _, _, err := w.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	org := w.hub.Org("octo")
	w.repo = w.hub.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{"README.md": "hello\n", ".github/pr-manager.yml": "version: 1\n"}})
	w.alice, w.robot = w.hub.User("alice"), w.hub.User("robot")
	w.repo.Grant(w.alice, githubtest.CanMaintain)
	w.repo.Grant(w.robot, githubtest.CanAdmin)
	w.app = w.hub.App("pr-manager", githubtest.AppOptions{
		Permissions: map[string]string{"checks": "write", "contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write"},
		Events:      []string{"pull_request", "push", "check_run", "label"},
	})
	h := githubtest.HookOptions{URL: "http://service.test/webhook", Secret: "a secret of these tests"}
	if o.token {
		w.hook = w.repo.Hook(w.alice, h)
	} else {
		w.hook = w.app.Hook(h)
		w.install = w.app.Install(org, w.repo)
	}
	return w
}

// open opens the store as one replica does.
func (w *world) open() *store.Store {
	w.t.Helper()
	s, err := store.Open(w.t.Context(), w.url, store.Options{Beside: true})
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

// receive keeps a delivery as the entrance does, as far as recovery can see.
func (w *world) receive(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "service.test" {
		return nil, errors.New("connection refused")
	}
	guid := r.Header.Get("X-GitHub-Delivery")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	refuse := w.refuse
	w.mu.Unlock()
	status := http.StatusAccepted
	if refuse != nil {
		code, err := refuse(guid)
		if err != nil {
			return nil, err
		}
		if code != 0 {
			status = code
		}
	}
	if status == http.StatusAccepted {
		var payload struct {
			Repository struct {
				ID       int64
				FullName string `json:"full_name"`
			}
			Installation struct{ ID int64 }
		}
		if err := json.Unmarshal(body, &payload); err != nil {
			return nil, err
		}
		owner, name, _ := strings.Cut(payload.Repository.FullName, "/")
		headers := map[string]string{}
		for _, h := range []string{"X-Github-Hook-Id", "X-Github-Hook-Installation-Target-Type"} {
			headers[h] = r.Header.Get(h)
		}
		d := pull.Delivery{
			ID: guid, Body: body, BodyHash: sha256.Sum256(body), Headers: headers, ReceivedAt: w.store.Now(),
			Hint: pull.Hint{
				Event: r.Header.Get("X-GitHub-Event"), Installation: payload.Installation.ID,
				Repo: pull.Repo{ID: payload.Repository.ID, Owner: owner, Name: name},
			},
		}
		if _, err := w.store.Insert(r.Context(), []pull.Delivery{d}); err != nil {
			return nil, err
		}
		// Routing is not what is tested here: only the repository's name is to be known.
		if _, _, err := w.store.Intake(r.Context(), pull.Taking{Limit: 10}, func(pull.Delivery) pull.Route { return pull.Route{} }); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil))}, nil
}

func (w *world) answer(refuse func(guid string) (int, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = refuse
}

// down is a receiver that is not there.
func down(string) (int, error) { return 0, errors.New("connection refused") }

func (w *world) asks() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

// A replica is a recovery at work.
type replica struct {
	*recovery.Recovery
	w       *world
	log     *lockedBuffer
	metrics *telemetry.Metrics
	end     context.CancelFunc
	ended   chan struct{}
}

// made builds a replica; it doesn't run yet.
func (w *world) made(token string, s recovery.Store, change ...func(*recovery.Options)) *replica {
	w.t.Helper()
	r := &replica{w: w, log: &lockedBuffer{}, metrics: telemetry.NewMetrics("", ""), ended: make(chan struct{})}
	o := github.Options{HTTP: w.hub.Transport(), Metrics: r.metrics}
	if token != "" {
		o.Token = func() string { return token }
	} else {
		o.AppID, o.AppKey = w.app.ID, func() []byte { return []byte(w.app.PrivateKey()) }
	}
	client, err := github.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	ro := recovery.Options{
		Owner: fmt.Sprintf("replica %p", r), Sweep: 10 * time.Minute, Audit: 5 * time.Minute, Metrics: r.metrics,
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, c := range change {
		c(&ro)
	}
	r.Recovery = recovery.New(client, s, ro)
	return r
}

func (r *replica) run() *replica {
	ctx, end := context.WithCancel(context.Background())
	r.end = end
	go func() {
		defer close(r.ended)
		if err := r.Run(ctx); err != nil {
			r.w.t.Errorf("Run = %v", err)
		}
	}()
	return r
}

func (r *replica) stop() {
	r.end()
	<-r.ended
}

// A lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// count reads a counter.
func (r *replica) count(name string) int {
	r.w.t.Helper()
	families, err := r.metrics.Registry.Gather()
	if err != nil {
		r.w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			sum := 0.0
			for _, m := range f.GetMetric() {
				sum += valueOf(m)
			}
			return int(sum)
		}
	}
	r.w.t.Fatalf("there is no metric %s", name)
	return 0
}

func valueOf(m *dto.Metric) float64 { return m.GetCounter().GetValue() + m.GetGauge().GetValue() }

// counts are the audit's counters in a line.
func (r *replica) counts() string {
	return fmt.Sprintf("missing %d, asked %d, recovered %d, gave up %d, lost %d", r.count("github_deliveries_missing_total"), r.count("github_deliveries_asked_again_total"),
		r.count("github_deliveries_recovered_total"), r.count("github_deliveries_gave_up_total"), r.count("github_lost_after_acknowledgement_total"))
}

// simulated runs a test in simulated time, with GitHub sending by itself.
func simulated(t *testing.T, o options, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o)
		ctx, end := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := w.hub.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		test(t, w)
		end()
		<-ended
	})
}

// pushes makes n deliveries.
func (w *world) pushes(n int) {
	for i := range n {
		w.repo.Push("work", map[string]string{"a.txt": strconv.Itoa(i) + " " + time.Now().String()}, "Work", w.alice)
		time.Sleep(100 * time.Millisecond)
	}
}

// here reports whether each delivery that GitHub has sent is here.
func (w *world) here() bool {
	var ids []string
	for _, d := range w.hook.Deliveries() {
		ids = append(ids, d.GUID)
	}
	absent, err := w.store.Absent(context.Background(), ids)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(absent) == 0
}

// TestTheAuditFetchesWhatFailed: the receiver was away for an hour. What GitHub could not deliver is asked for once each,
// a second apart, and nothing else ever is.
func TestTheAuditFetchesWhatFailed(t *testing.T) {
	for _, as := range []string{"an App", "a token"} {
		t.Run("as "+as, func(t *testing.T) {
			simulated(t, options{token: as == "a token"}, func(t *testing.T, w *world) {
				token := map[bool]string{true: w.robot.Token()}[as == "a token"]
				time.Sleep(time.Second)
				w.answer(down)
				w.pushes(12)
				time.Sleep(time.Hour)
				w.answer(nil)
				w.pushes(3)
				failed := 0
				for _, d := range w.hook.Deliveries() {
					if d.Status != "OK" {
						failed++
					}
				}
				if failed < 12 {
					t.Fatalf("only %d deliveries have failed", failed)
				}
				r := w.made(token, w.store).run()
				time.Sleep(2 * time.Minute)
				if got, want := r.counts(), fmt.Sprintf("missing %[1]d, asked %[1]d, recovered %[1]d, gave up 0, lost 0", failed); got != want || !w.here() {
					t.Errorf("%s, all here: %v; want %s\n%s", got, w.here(), want, r.log)
				}
				asks := w.asks()
				for i := 1; i < len(asks); i++ {
					if gap := asks[i].Sub(asks[i-1]); gap < time.Second {
						t.Errorf("asks %d and %d are %s apart, want a second", i, i+1, gap)
					}
				}
				w.pushes(5)
				time.Sleep(6 * time.Hour)
				if got := len(w.asks()); got != failed {
					t.Errorf("GitHub was asked %d times in the end, want %d", got, failed)
				}
				if c := r.Health(); c.Status != telemetry.CheckOK {
					t.Errorf("Health = %+v", c)
				}
				if lag := r.Lag(); lag <= 0 || lag > 301 {
					t.Errorf("the lag is %f s, want at most an interval", lag)
				}
				r.stop()

				// The next process goes on where this one ended, and knows how long the service was away.
				w.answer(down)
				w.pushes(2)
				time.Sleep(2 * time.Hour)
				w.answer(nil)
				r = w.made(token, w.store).run()
				time.Sleep(time.Minute)
				if got, want := r.counts(), "missing 2, asked 2, recovered 2, gave up 0, lost 0"; got != want {
					t.Errorf("after a restart: %s; want %s\n%s", got, want, r.log)
				}
				if !strings.Contains(r.log.String(), "the service was away for 2h0m") {
					t.Errorf("the log does not say how long the service was away:\n%s", r.log)
				}
				r.stop()
			})
		})
	}
}

// TestWhatNeverArrivesIsGivenUp: three times, later and later; then it is said, once.
func TestWhatNeverArrivesIsGivenUp(t *testing.T) {
	simulated(t, options{}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		w.answer(func(string) (int, error) { return http.StatusBadRequest, nil })
		w.pushes(1)
		began := time.Now()
		r := w.made("", w.store).run()
		time.Sleep(3 * time.Hour)
		if got, want := r.counts(), "missing 1, asked 3, recovered 0, gave up 1, lost 0"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		asks := w.asks()
		if len(asks) != 3 || asks[0].Sub(began) > time.Second || asks[1].Sub(asks[0]) < 5*time.Minute || asks[2].Sub(asks[1]) < time.Hour || asks[2].Sub(began) > 2*time.Hour {
			t.Errorf("GitHub was asked at %v, want at once, after 5 minutes, and an hour after that", asks)
		}
		if n := strings.Count(r.log.String(), "given up"); n != 1 {
			t.Errorf("it is said %d times that it is given up, want once\n%s", n, r.log)
		}
		r.stop()
	})
}

// TestALossIsToldOnce: a delivery that GitHub has as OK and the database has not.
func TestALossIsToldOnce(t *testing.T) {
	simulated(t, options{}, func(t *testing.T, w *world) {
		// An old hook: its deliveries went to a service that is gone with its database.
		time.Sleep(time.Second)
		w.answer(func(string) (int, error) { return http.StatusOK, nil })
		w.pushes(5)
		time.Sleep(time.Hour)
		w.answer(nil)
		r := w.made("", w.store).run()
		time.Sleep(time.Hour)
		w.pushes(3)
		time.Sleep(time.Hour)
		if got, want := r.counts(), "missing 0, asked 0, recovered 0, gave up 0, lost 0"; got != want {
			t.Fatalf("on a new database with an old hook, and all in order: %s; want %s\n%s", got, want, r.log)
		}

		w.pushes(1)
		log := w.hook.Deliveries()
		lost := log[len(log)-1].GUID
		w.forget(lost)
		time.Sleep(6 * time.Minute)
		if got, want := r.counts(), "missing 1, asked 1, recovered 1, gave up 0, lost 1"; got != want || !w.kept(lost) {
			t.Errorf("%s, here again: %v; want %s\n%s", got, w.kept(lost), want, r.log)
		}
		if n := strings.Count(r.log.String(), "level=ERROR"); n != 1 || !strings.Contains(r.log.String(), lost) {
			t.Errorf("%d errors, want one that names %s\n%s", n, lost, r.log)
		}
		r.stop()
		r = w.made("", w.store).run()
		time.Sleep(6 * time.Hour)
		if got, want := r.counts(), "missing 0, asked 0, recovered 0, gave up 0, lost 0"; got != want {
			t.Errorf("afterwards: %s; want %s", got, want)
		}
		r.stop()
	})
}

func (w *world) kept(guid string) bool {
	absent, err := w.store.Absent(context.Background(), []string{guid})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(absent) == 0
}

// forget removes a delivery from the database by hand.
func (w *world) forget(guid string) {
	w.t.Helper()
	db := testenv.Open(w.t, w.url)
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), `DELETE FROM webhook_logs WHERE delivery_id = $1`, guid); err != nil {
		w.t.Fatal(err)
	}
}

// TestALongLogTakesSeveralRounds: twenty pages a round, gone on with by whoever leads then.
func TestALongLogTakesSeveralRounds(t *testing.T) {
	simulated(t, options{pages: 2}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		w.answer(down)
		w.pushes(90)
		w.answer(nil)
		r := w.made("", w.store).run()
		time.Sleep(3 * time.Second)
		if n := r.count("github_deliveries_missing_total"); n != 40 {
			t.Errorf("the first round found %d, want the 40 of its twenty pages", n)
		}
		r.stop()
		r = w.made("", w.store).run()
		time.Sleep(5 * time.Minute)
		if !w.here() {
			t.Errorf("%s: not all of them are here\n%s", r.counts(), r.log)
		}
		time.Sleep(time.Hour)
		if lag := r.Lag(); lag > 301 {
			t.Errorf("the lag is %f s, want at most an interval", lag)
		}
		r.stop()
	})
}

// TestATokenThatMayNotSeeWebhooks says so once, and shows it.
func TestATokenThatMayNotSeeWebhooks(t *testing.T) {
	simulated(t, options{token: true}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		w.pushes(1)
		r := w.made(w.alice.Token(), w.store).run()
		time.Sleep(13 * time.Hour)
		if n := strings.Count(r.log.String(), "may not see the repository's webhooks"); n != 1 {
			t.Errorf("it is said %d times, want once\n%s", n, r.log)
		}
		if n := w.hub.Usage().Requests["repos.list-webhooks"]; n != 3 {
			t.Errorf("GitHub was asked %d times in 13 hours, want every six", n)
		}
		if c := r.Health(); c.Status != telemetry.CheckWarning || c.Code != "webhooks-not-visible" || !strings.Contains(c.Detail, "may not see the webhooks of 1 repository") {
			t.Errorf("Health = %+v, want a warning", c)
		}
		r.stop()
	})
}

// TestSomebodyElsesHook: of two webhooks of a repository, one leads elsewhere, and its failures are not ours.
func TestSomebodyElsesHook(t *testing.T) {
	simulated(t, options{token: true}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		theirs := w.repo.Hook(w.alice, githubtest.HookOptions{URL: "http://elsewhere.test/hook"})
		w.pushes(3)
		r := w.made(w.robot.Token(), w.store).run()
		time.Sleep(10 * time.Minute)
		w.pushes(3)
		time.Sleep(10 * time.Minute)
		if log := theirs.Deliveries(); len(log) < 6 || log[5].Status == "OK" {
			t.Fatalf("their log is %+v: it must have failures", log)
		}
		if got, want := r.counts(), "missing 0, asked 0, recovered 0, gave up 0, lost 0"; got != want {
			t.Errorf("%s; want %s\n%s", got, want, r.log)
		}
		r.stop()
	})
}

// TestAHookThatLeadsHereButNeverDid: the service was not there yet when the webhook was made, so no delivery has told
// which one it is; its address does.
func TestAHookThatLeadsHereButNeverDid(t *testing.T) {
	simulated(t, options{token: true}, func(t *testing.T, w *world) {
		w.answer(down)
		w.pushes(3)
		w.answer(nil)
		r := w.made(w.robot.Token(), w.store, func(o *recovery.Options) {
			o.Address, o.Named = "https://Service.test/webhook", []pull.Repo{{Owner: "octo", Name: "app"}}
		}).run()
		time.Sleep(10 * time.Minute)
		if !w.here() {
			t.Errorf("%s: not all of them are here\n%s", r.counts(), r.log)
		}
		r.stop()
	})
}

// looked makes a pass over a pull request, as far as a sweep can see.
func (w *world) looked(client *github.Client, scope pull.Scope, pr *githubtest.PR) {
	w.t.Helper()
	ctx := context.Background()
	repo := pull.Repo{ID: w.repo.ID, Owner: "octo", Name: "app"}
	snap, err := client.Snapshot(ctx, scope, repo, pr.Number())
	if err != nil {
		w.t.Fatal(err)
	}
	key := pull.PullKey(w.repo.ID, pr.Number())
	if err := w.store.MarkDue(ctx, key, pull.Urgent); err != nil {
		w.t.Fatal(err)
	}
	c, ok, err := w.store.Claim(ctx, "test", time.Minute, "")
	if err != nil || !ok || c.Key != key {
		w.t.Fatalf("Claim = %+v, %v, %v, want %s", c, ok, err, key)
	}
	plan := pull.Plan{
		Pull: pull.Row{Key: key, Repo: repo, State: snap.State, Head: snap.Head.SHA, Base: snap.Base.Name}, Verdict: pull.Verdict{Tree: []byte("{}")}, Sight: snap.Sight().String(),
	}
	if err := w.store.Plan(ctx, c, plan); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Record(ctx, c, pull.PassResult{Outcome: pull.PassDone}); err != nil {
		w.t.Fatal(err)
	}
}

// due are the numbers of the pull requests that wait for a pass, and takes them up.
func (w *world) due() (numbers []int) {
	w.t.Helper()
	for {
		c, ok, err := w.store.Claim(context.Background(), "test", time.Minute, "")
		if err != nil {
			w.t.Fatal(err)
		}
		if !ok {
			slices.Sort(numbers)
			return numbers
		}
		numbers = append(numbers, c.Key.Number)
		if _, err := w.store.Record(context.Background(), c, pull.PassResult{Outcome: pull.PassDone}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) client() (*github.Client, pull.Scope) {
	w.t.Helper()
	c, err := github.New(github.Options{HTTP: w.hub.Transport(), AppID: w.app.ID, AppKey: func() []byte { return []byte(w.app.PrivateKey()) }})
	if err != nil {
		w.t.Fatal(err)
	}
	return c, pull.ScopeApp(w.install.ID)
}

func (w *world) opened(branch string) *githubtest.PR {
	w.repo.Push(branch, map[string]string{branch + ".txt": "x\n"}, "Work", w.alice)
	return w.repo.Open(w.alice, branch, "main", "Work on "+branch, "")
}

// TestTheSweepFindsWhatNobodyToldOf: every delivery is dropped. What changes is due within minutes; what does not is left
// alone, at a request for all of it.
func TestTheSweepFindsWhatNobodyToldOf(t *testing.T) {
	simulated(t, options{}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		w.hub.Deliveries(githubtest.Deliveries{Drop: 1})
		client, scope := w.client()
		prs := []*githubtest.PR{nil, w.opened("one"), w.opened("two"), w.opened("three")}
		r := w.made("", w.store, func(o *recovery.Options) { o.Audit = 0 }).run()
		time.Sleep(3 * time.Minute)
		// The repository itself is known only because the App was asked where it is installed.
		if got := w.due(); fmt.Sprint(got) != "[1 2 3]" {
			t.Fatalf("at the start %v are due, want all that nobody has heard of\n%s", got, r.log)
		}
		for _, pr := range prs[1:] {
			w.looked(client, scope, pr)
		}

		// An unchanged world.
		time.Sleep(5 * time.Minute)
		before, marked := w.hub.Usage(), r.count("github_sweep_due_total")
		time.Sleep(2 * time.Hour)
		after := w.hub.Usage()
		sweeps := after.Requests["graphql.OpenPullRequests"] - before.Requests["graphql.OpenPullRequests"]
		if sweeps < 11 || sweeps > 12 || r.count("github_sweep_due_total") != marked || len(w.due()) > 0 {
			t.Errorf("two hours of nothing cost %d requests and made %d due, want one request every ten minutes", sweeps, r.count("github_sweep_due_total")-marked)
		}
		if points := after.Points - before.Points; points != sweeps {
			t.Errorf("%d sweeps cost %d points, want one each", sweeps, points)
		}

		policy := func(text string) {
			w.repo.Push("main", map[string]string{".github/pr-manager.yml": text}, "Policy", w.alice)
		}
		var run *githubtest.Check
		ci := w.hub.App("ci", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
		ci.Install(w.hub.Org("octo"), w.repo)
		for _, change := range []struct {
			name string
			do   func()
			want string
		}{
			{"a label", func() { prs[1].Label(w.alice, "x") }, "[1]"},
			{"a push", func() { w.repo.Push("two", map[string]string{"y": "y\n"}, "More", w.alice) }, "[2]"},
			{"a check", func() { run = w.repo.Check(prs[3].Head(), ci, "build", "in_progress", "") }, "[3]"},
			{"its end", func() { run.Complete("failure") }, "[3]"},
			{"a second failure", func() { w.repo.Check(prs[3].Head(), ci, "lint", "completed", "failure") }, "[3]"},
			{"a status", func() { w.repo.Status(prs[2].Head(), "deploy", "pending", w.alice) }, "[2]"},
			{"a comment", func() { prs[1].Comment(w.alice, "hello") }, "[1]"},
			{"another policy, and base", func() { policy("version: 1\nmode: dry-run\n") }, "[1 2 3]"},
			{"defaults", func() {
				w.hub.Repo("octo/.github", githubtest.RepoOptions{Files: map[string]string{".github/pr-manager.yml": "version: 1\n"}})
			}, "[1 2 3]"},
			{"closed", func() { prs[1].Close(w.alice) }, "[1]"},
			{"nothing", func() {}, "[]"},
			{"reopened", func() { prs[1].Reopen(w.alice) }, "[1]"},
			{"a new one", func() { prs = append(prs, w.opened("four")) }, "[4]"},
		} {
			change.do()
			time.Sleep(11 * time.Minute)
			if got := fmt.Sprint(w.due()); got != change.want {
				t.Errorf("after %s, %s are due, want %s", change.name, got, change.want)
			}
			for _, pr := range prs[1:] {
				w.looked(client, scope, pr)
			}
		}
		r.stop()
	})
}

// TestThePauseHoldsTheSweep: while the queue is paused nothing is looked over.
func TestThePauseHoldsTheSweep(t *testing.T) {
	simulated(t, options{}, func(t *testing.T, w *world) {
		if err := w.store.Pause(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
		w.opened("one")
		r := w.made("", w.store).run()
		time.Sleep(time.Hour)
		if n := w.hub.Usage().Requests["graphql.OpenPullRequests"]; n != 0 {
			t.Errorf("%d sweeps while the queue is paused", n)
		}
		if err := w.store.Resume(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := w.hub.Usage().Requests["graphql.OpenPullRequests"]; n != 1 {
			t.Errorf("%d sweeps a minute after it was resumed, want 1", n)
		}
		r.stop()
	})
}

// TestAScopeThatWaitsHoldsUpNobodyElse: one installation's budget is used up, another one's is not.
func TestAScopeThatWaitsHoldsUpNobodyElse(t *testing.T) {
	simulated(t, options{}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		w.hub.Deliveries(githubtest.Deliveries{Drop: 1})
		other := w.hub.Repo("acme/tool", githubtest.RepoOptions{Files: map[string]string{".github/pr-manager.yml": "version: 1\n"}})
		w.app.Install(w.hub.Org("acme"), other)
		other.Grant(w.alice, githubtest.CanMaintain)
		other.Push("topic", map[string]string{"a": "a\n"}, "Work", w.alice)
		other.Open(w.alice, "topic", "main", "Work", "")
		w.opened("one")
		w.hub.Exhaust(w.install.Token(), "graphql", 30*time.Minute)
		r := w.made("", w.store).run()
		time.Sleep(5 * time.Minute)
		if got := len(w.due()); got != 1 {
			t.Errorf("%d are due while one installation waits, want the one of the other", got)
		}
		time.Sleep(30 * time.Minute)
		if got := len(w.due()); got != 1 {
			t.Errorf("%d are due after its wait, want the one of the first", got)
		}
		if u := w.hub.Usage(); u.WhileTold+u.OverSecondary > 0 || u.OverPrimary > 1 {
			t.Errorf("GitHub's rules were broken: %+v", u)
		}
		r.stop()
	})
}

// TestARepositoryThatIsGone: it is tried again every hour.
func TestARepositoryThatIsGone(t *testing.T) {
	simulated(t, options{}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		r := w.made("", w.store).run()
		time.Sleep(time.Minute)
		w.install.Uninstall(w.alice)
		w.repo.Delete(w.alice)
		before := w.hub.Usage().Requests["graphql.OpenPullRequests"] + w.hub.Usage().Requests["apps.create-installation-access-token"]
		time.Sleep(6 * time.Hour)
		after := w.hub.Usage().Requests["graphql.OpenPullRequests"] + w.hub.Usage().Requests["apps.create-installation-access-token"]
		if after-before > 15 {
			t.Errorf("%d requests in six hours for a repository that is gone, want two an hour at most", after-before)
		}
		r.stop()
	})
}

// TestAnOutageIsSaidOnce: GitHub is gone for an hour. That is in the log a few times, not once a minute, and the first
// round afterwards finds everything.
func TestAnOutageIsSaidOnce(t *testing.T) {
	simulated(t, options{}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		outage := w.hub.Fail(githubtest.Fault{Kind: githubtest.Reset, Times: -1})
		w.answer(down)
		w.pushes(3)
		w.answer(nil)
		w.opened("one")
		r := w.made("", w.store).run()
		time.Sleep(time.Hour)
		if n := strings.Count(r.log.String(), "\n"); n > 4 {
			t.Errorf("an hour without GitHub is %d lines:\n%s", n, r.log)
		}
		if c := r.Health(); c.Status != telemetry.CheckWarning {
			t.Errorf("Health = %+v, want a warning", c)
		}
		outage.Heal()
		time.Sleep(3 * time.Minute)
		if c := r.Health(); !w.here() || c.Status != telemetry.CheckOK || len(w.due()) != 1 {
			t.Errorf("three minutes after the outage: %s, Health = %+v\n%s", r.counts(), c, r.log)
		}
		r.stop()
	})
}

// TestAHundredInARequest: 101 open pull requests cost two requests, and all of them are seen.
func TestAHundredInARequest(t *testing.T) {
	simulated(t, options{}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		w.hub.Deliveries(githubtest.Deliveries{Drop: 1})
		for i := range 101 {
			w.opened(fmt.Sprint("topic-", i))
		}
		r := w.made("", w.store, func(o *recovery.Options) { o.Audit = 0 }).run()
		time.Sleep(time.Minute)
		if n, due := w.hub.Usage().Requests["graphql.OpenPullRequests"], len(w.due()); n != 2 || due != 101 {
			t.Errorf("%d requests found %d, want 2 and 101", n, due)
		}
		r.stop()
	})
}

// An early store's clock is ahead of this machine's: the database runs elsewhere, or the machine's was set back.
type early struct {
	recovery.Store
	by    time.Duration
	lists atomic.Int64
}

func (e *early) Now() time.Time { return e.Store.Now().Add(e.by) }

func (e *early) Sweepable(ctx context.Context) ([]pull.Sweepable, error) {
	e.lists.Add(1)
	return e.Store.Sweepable(ctx)
}

// TestTwoClocks: GitHub's limit ends by this machine's clock, and sweeps go by the database's. Neither makes a scope that
// waits be asked for again and again.
func TestTwoClocks(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			simulated(t, options{}, func(t *testing.T, w *world) {
				time.Sleep(time.Second)
				w.opened("one")
				w.hub.Exhaust(w.install.Token(), "graphql", 30*time.Minute)
				s := &early{Store: w.store, by: by}
				r := w.made("", s).run()
				time.Sleep(20 * time.Minute)
				if n := s.lists.Load(); n > 200 {
					t.Errorf("looked for something to sweep %d times in 20 minutes of waiting", n)
				}
				time.Sleep(15 * time.Minute)
				if n := w.hub.Usage().Requests["graphql.OpenPullRequests"]; n < 2 {
					t.Errorf("%d sweeps, none after the wait", n)
				}
				r.stop()
			})
		})
	}
}

// TestOneRepositoryThatAlwaysFails: GitHub can't show one repository. The others of its installation are looked over.
func TestOneRepositoryThatAlwaysFails(t *testing.T) {
	simulated(t, options{}, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		w.hub.Deliveries(githubtest.Deliveries{Drop: 1})
		other := w.hub.Repo("octo/tool", githubtest.RepoOptions{Files: map[string]string{".github/pr-manager.yml": "version: 1\n"}})
		w.install.Uninstall(w.alice)
		w.install = w.app.Install(w.hub.Org("octo"), w.repo, other)
		other.Grant(w.alice, githubtest.CanMaintain)
		w.hub.Fail(githubtest.Fault{Op: "graphql.OpenPullRequests", Repo: "octo/app", Times: -1})
		r := w.made("", w.store).run()
		time.Sleep(5 * time.Minute)
		other.Push("topic", map[string]string{"a": "a\n"}, "Work", w.alice)
		other.Open(w.alice, "topic", "main", "Work", "")
		time.Sleep(11 * time.Minute)
		if got := len(w.due()); got != 1 {
			t.Errorf("%d are due, want the one of the repository that can be looked over", got)
		}
		if n := strings.Count(r.log.String(), "can't be looked over"); n != 1 {
			t.Errorf("said %d times, want once:\n%s", n, r.log)
		}
		r.stop()
	})
}
