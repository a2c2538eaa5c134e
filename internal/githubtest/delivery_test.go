package githubtest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

func TestDeliveriesAreSignedAsSent(t *testing.T) {
	w := newWorld(t)
	const secret = "It's a Secret to Everybody"
	w.repo.Hook(w.carol, githubtest.HookOptions{URL: "http://service.test/webhook", Secret: secret, Form: true, Events: []string{"push"}})
	w.repo.Push("main", map[string]string{"a": "ü & b=c\n"}, "a", w.bob)
	w.events()
	var forms int
	for _, h := range w.got {
		if h.header.Get("X-GitHub-Hook-Installation-Target-Type") != "repository" {
			continue
		}
		forms++
		m, m1 := hmac.New(sha256.New, []byte(secret)), hmac.New(sha1.New, []byte(secret))
		m.Write(h.body)
		m1.Write(h.body)
		eq(t, "X-Hub-Signature-256", h.header.Get("X-Hub-Signature-256"), "sha256="+hex.EncodeToString(m.Sum(nil)))
		eq(t, "X-Hub-Signature", h.header.Get("X-Hub-Signature"), "sha1="+hex.EncodeToString(m1.Sum(nil)))
		eq(t, "Content-Type", h.header.Get("Content-Type"), "application/x-www-form-urlencoded")
		eq(t, "User-Agent", strings.HasPrefix(h.header.Get("User-Agent"), "GitHub-Hookshot/"), true)
		form, err := url.ParseQuery(string(h.body))
		if err != nil || !json.Valid([]byte(form.Get("payload"))) {
			t.Errorf("payload = %q, %v, want JSON", form.Get("payload"), err)
		}
	}
	eq(t, "deliveries to the repository's hook", forms, 2) // ping and push
}

func TestAnAppHearsOnlyOfItsRepositories(t *testing.T) {
	w := newWorld(t)
	other := w.Repo("else/where", githubtest.RepoOptions{})
	other.Grant(w.bob, githubtest.CanWrite)
	other.Push("main", map[string]string{"a": "a"}, "a", w.bob)
	same(t, "events of a repository without the App", w.events(), []string{})
	w.repo.Push("main", map[string]string{"a": "a"}, "a", w.bob)
	same(t, "events", w.events(), []string{"push", "check_suite.requested"})
	eq(t, "installation.id", fmt.Sprint(at(w.got[0].payload, "installation.id")), fmt.Sprint(float64(w.install.ID)))
	w.install.Suspend(w.carol, true)
	w.repo.Push("main", map[string]string{"b": "b"}, "b", w.bob)
	same(t, "events while suspended", w.events(), []string{"installation.suspend"})
	w.install.Suspend(w.carol, false)
	w.install.Uninstall(w.carol)
	w.repo.Push("main", map[string]string{"c": "c"}, "c", w.bob)
	same(t, "events when uninstalled", w.events(), []string{"installation.unsuspend", "installation.deleted"})
}

func TestDeliveryLogAndRedelivery(t *testing.T) {
	w := newWorld(t)
	w.answer = 503
	w.repo.Push("main", map[string]string{"a": "a"}, "a", w.bob)
	w.events()
	eq(t, "sent again by itself", w.Flush(context.Background()), 0)
	jwt := token(t, w.self, time.Now(), 9*time.Minute)
	list := func(query string) []obj {
		var out []obj
		a := w.do(jwt, "GET", "/app/hook/deliveries"+query, nil)
		if err := json.Unmarshal(a.body, &out); err != nil {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return out
	}
	all := list("?per_page=100")
	eq(t, "newest", fmt.Sprintf("%v %v %v", all[0]["event"], all[0]["status"], all[0]["status_code"]), "check_suite Service Unavailable 503")
	eq(t, "failures", len(list("?status=failure")), 2)
	push := all[1]
	w.answer = 202
	path := fmt.Sprintf("/app/hook/deliveries/%.0f", push["id"])
	eq(t, "attempt", w.do(jwt, "POST", path+"/attempts", nil).status, 202)
	same(t, "redelivered", w.events(), []string{"push"})
	again := list("?per_page=100")[0]
	if again["guid"] != push["guid"] || again["id"] == push["id"] || again["redelivery"] != true || again["status"] != "OK" {
		t.Errorf("redelivery = %v, want the guid of %v under a new id", again, push)
	}
	one := w.do(jwt, "GET", path, nil).json(t)
	eq(t, "recorded payload", fmt.Sprint(at(one, "request.payload.ref")), "refs/heads/main")
	eq(t, "recorded header", fmt.Sprint(at(one, "request.headers.X-Github-Event")), "push")
	eq(t, "a personal token", w.do(w.carol.Token(), "GET", "/app/hook/deliveries", nil).status, 401)
	eq(t, "journal", len(w.Journal()), 0)

	first := w.do(jwt, "GET", "/app/hook/deliveries?per_page=2", nil)
	next := first.header.Get("Link")
	next = next[strings.Index(next, "https://api.github.com")+len("https://api.github.com") : strings.Index(next, ">")]
	var page []obj
	if err := json.Unmarshal(w.do(jwt, "GET", next, nil).body, &page); err != nil || fmt.Sprint(page[0]["id"]) != fmt.Sprint(push["id"]) {
		t.Errorf("second page = %v, %v, want it to begin with the push", page, err)
	}
}

func TestTheLogOfDeliveriesIsBounded(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "a", "a\n")
	w.events()
	first := w.hook.Deliveries()[0].ID
	text := strings.Repeat("x", 60_000)
	for range 1200 {
		pr.Comment(w.bob, text)
	}
	w.events()
	log := w.hook.Deliveries()
	sum := 0
	for _, d := range log {
		sum += len(d.Payload)
	}
	if sum > 64<<20 || log[0].ID == first || len(log) < 900 {
		t.Errorf("log = %d deliveries of %d bytes from %d on, want about 1,000 of at most 64 MiB", len(log), sum, log[0].ID)
	}
}

func TestDeliveryKnobs(t *testing.T) {
	run := func(d githubtest.Deliveries, pushes int) (*world, []string) {
		w := newWorld(t)
		w.Deliveries(d)
		for i := range pushes {
			w.repo.Push("main", map[string]string{"a": fmt.Sprint(i)}, "a", w.bob)
		}
		got := w.events()
		return w, slices.DeleteFunc(got, func(e string) bool { return e != "push" })
	}
	if _, got := run(githubtest.Deliveries{Duplicate: 1}, 3); len(got) != 6 {
		t.Errorf("doubled: %d deliveries, want 6", len(got))
	}
	if w, got := run(githubtest.Deliveries{Drop: 1}, 3); len(got) != 0 || slices.ContainsFunc(w.hook.Deliveries(), func(d githubtest.Delivery) bool { return d.Event == "push" }) {
		t.Errorf("dropped: %d deliveries, want none and no trace", len(got))
	}
	w, got := run(githubtest.Deliveries{Fail: 1}, 3)
	failed := 0
	for _, d := range w.hook.Deliveries() {
		if d.Event == "push" && d.StatusCode == 0 && d.Status != "OK" {
			failed++
		}
	}
	if len(got) != 0 || failed != 3 {
		t.Errorf("failed: %d deliveries, %d in the log, want 0 and 3", len(got), failed)
	}
	w, _ = run(githubtest.Deliveries{Shuffle: true}, 8)
	var order []int64
	for _, d := range w.hook.Deliveries() {
		if d.Event == "push" {
			order = append(order, d.ID)
		}
	}
	if slices.IsSorted(order) {
		t.Errorf("shuffled: order = %v", order)
	}

	w = newWorld(t)
	w.DropNext(func(event, _ string) bool { return event == "push" })
	w.Hold()
	w.repo.Push("main", map[string]string{"a": "1"}, "a", w.bob)
	w.repo.Push("main", map[string]string{"a": "2"}, "a", w.bob)
	same(t, "held", w.events(), []string{})
	eq(t, "waiting", w.Waiting(), 3)
	w.Release()
	same(t, "released", w.events(), []string{"check_suite.requested", "push", "check_suite.requested"})
}

func TestRunDeliversInABubble(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		type arrival struct {
			event string
			after time.Duration
		}
		var got []arrival
		start := time.Now()
		var slow atomic.Bool
		var mu sync.Mutex
		s, err := githubtest.New(githubtest.Options{Dir: dir, Deliver: func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			got = append(got, arrival{r.Header.Get("X-GitHub-Event"), time.Since(start)})
			mu.Unlock()
			if slow.Load() {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: 202, Body: io.NopCloser(strings.NewReader(""))}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		repo := s.Repo("octo/app", githubtest.RepoOptions{})
		hook := repo.Hook(repo.Owner(), githubtest.HookOptions{URL: "http://service.test"})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		s.Deliveries(githubtest.Deliveries{Lag: 3 * time.Second})
		repo.Push("main", map[string]string{"a": "a"}, "a", repo.Owner())
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []arrival{{"ping", 0}, {"push", 3 * time.Second}}; !slices.Equal(got, want) {
			t.Errorf("arrivals = %v, want %v", got, want)
		}
		slow.Store(true)
		repo.Push("main", map[string]string{"a": "b"}, "b", repo.Owner())
		time.Sleep(time.Minute)
		log := hook.Deliveries()
		if d := log[len(log)-1]; d.Status != "timed out" || d.Duration != githubtest.DeliveryTimeout {
			t.Errorf("slow delivery = %s after %s, want timed out after 10s", d.Status, d.Duration)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
}

func TestFaults(t *testing.T) {
	label := func(w *world, ctx context.Context) (answer, error) {
		return w.try(ctx, w.carol.Token(), "POST", "/repos/octo/app/issues/1/labels", obj{"labels": []string{"bug"}})
	}
	for _, tt := range []struct {
		name    string
		fault   githubtest.Fault
		status  int
		applied bool
		err     error
	}{
		{"502 before", githubtest.Fault{}, 502, false, nil},
		{"502 after", githubtest.Fault{After: true}, 502, true, nil},
		{"401", githubtest.Fault{Status: 401}, 401, false, nil},
		{"reset before", githubtest.Fault{Kind: githubtest.Reset}, 0, false, errReset},
		{"reset after", githubtest.Fault{Kind: githubtest.Reset, After: true}, 0, true, errReset},
		{"hang before", githubtest.Fault{Kind: githubtest.Hang}, 0, false, context.DeadlineExceeded},
		{"hang after", githubtest.Fault{Kind: githubtest.Hang, After: true}, 0, true, context.DeadlineExceeded},
		{"slow", githubtest.Fault{Kind: githubtest.Hang, Delay: 5 * time.Second}, 200, true, nil},
		{"HTML", githubtest.Fault{Kind: githubtest.HTML}, 200, false, nil},
		{"truncated", githubtest.Fault{Kind: githubtest.Truncated}, 200, true, io.ErrUnexpectedEOF},
		{"secondary", githubtest.Fault{Kind: githubtest.Secondary, Status: 429, RetryAfter: 3 * time.Second}, 429, false, nil},
		{"primary", githubtest.Fault{Kind: githubtest.Exhausted}, 403, false, nil},
		{"another operation", githubtest.Fault{Op: "pulls.merge"}, 200, true, nil},
		{"by pattern", githubtest.Fault{Op: "issues.*", Path: "/repos/*/*/issues/*/labels", Method: "POST", Status: 500}, 500, false, nil},
		{"the second", githubtest.Fault{Skip: 1}, 200, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			pr := w.open("topic", "a", "a\n")
			synctest.Test(t, func(t *testing.T) {
				w.Fail(tt.fault)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				a, err := label(w, ctx)
				if tt.err == errReset {
					var reset interface{ Timeout() bool }
					if err == nil || !errors.As(err, &reset) || reset.Timeout() {
						t.Errorf("error = %v, want a reset connection", err)
					}
				} else if !errors.Is(err, tt.err) {
					t.Errorf("error = %v, want %v", err, tt.err)
				}
				eq(t, "status", a.status, tt.status)
				eq(t, "has the label", len(pr.Labels()) == 1, tt.applied)
				if j := w.Journal(); len(j) != 1 || j[0].Applied != tt.applied {
					t.Errorf("Journal() = %+v, want one write with applied %v", j, tt.applied)
				}
				if tt.fault.Op == "pulls.merge" || tt.fault.Skip > 0 {
					return
				}
				time.Sleep(2 * time.Hour)
				if a, err := label(w, context.Background()); err != nil || a.status != 200 {
					t.Errorf("next request = %d, %v, want 200", a.status, err)
				}
			})
		})
	}
}

var errReset = errors.New("reset")

func TestGraphQLFaults(t *testing.T) {
	w := newWorld(t)
	w.Fail(githubtest.Fault{Op: "graphql.Who", Kind: githubtest.Exhausted, RetryAfter: time.Hour})
	a := w.do(w.carol.Token(), "POST", "/graphql", obj{"query": "query Who {viewer{login}}"})
	eq(t, "exhausted", fmt.Sprint(a.status, a.header.Get("X-RateLimit-Remaining"), at(a.json(t), "errors.0.type")), "2000RATE_LIMITED")
	eq(t, "the next is told so, too", fmt.Sprint(at(w.query(w.carol.Token(), "{viewer{login}}", nil), "errors.0.type")), "RATE_LIMITED")
	eq(t, "calls while told to wait", w.Usage().WhileTold, 1)
	eq(t, "another account", fmt.Sprint(at(w.query(w.bob.Token(), "{viewer{login}}", nil), "data.viewer.login")), "bob")
	w.Fail(githubtest.Fault{Op: "graphql.*", Kind: githubtest.Partial})
	d := w.query(w.bob.Token(), "{viewer{login}}", nil)
	if d["errors"] == nil || at(d, "data.viewer") != nil {
		t.Errorf("partial answer = %v, want null and an error", d)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.open("topic", "a", "a\n")
	l := githubtest.DefaultLimits()
	l.REST, l.ContentMinute = 5, 2
	w.Limits(l)
	status := func(user *githubtest.User, method, path string, body any, header ...string) (int, answer) {
		a := w.do(user.Token(), method, path, body, header...)
		return a.status, a
	}
	_, a := status(w.bob, "GET", "/repos/octo/app", nil)
	eq(t, "remaining", a.header.Get("X-RateLimit-Remaining"), "4")
	tag := a.header.Get("ETag")
	n, a := status(w.bob, "GET", "/repos/octo/app", nil, "If-None-Match", tag)
	eq(t, "with the ETag", fmt.Sprint(n, " ", a.header.Get("X-RateLimit-Remaining"), " ", len(a.body)), "304 4 0")
	n, _ = status(w.carol, "GET", "/repos/octo/app", nil, "If-None-Match", tag)
	eq(t, "another's ETag", n, 200)
	for range 4 {
		status(w.bob, "GET", "/repos/octo/app", nil)
	}
	n, a = status(w.bob, "GET", "/repos/octo/app", nil)
	eq(t, "beyond the budget", fmt.Sprint(n, " ", a.header.Get("X-RateLimit-Remaining")), "403 0")
	n, _ = status(w.bob, "GET", "/rate_limit", nil)
	eq(t, "GET /rate_limit", n, 200)

	comment := func() answer {
		return w.do(w.alice.Token(), "POST", "/repos/octo/app/issues/1/comments", obj{"body": "x"})
	}
	comment()
	comment()
	a = comment()
	eq(t, "third content within a minute", fmt.Sprint(a.status, " ", a.header.Get("Retry-After")), "403 60")
	comment()
	u := w.Usage()
	eq(t, "usage", fmt.Sprint(u.OverPrimary, u.OverSecondary, u.WhileTold, u.NotModified), "1 2 1 1")
}

func TestOnRequestActsBefore(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "a", "a\n")
	head := pr.Head()
	w.OnRequest(func(op string, _ *http.Request) {
		if op == "pulls.merge" {
			w.OnRequest(nil)
			w.repo.Push("topic", map[string]string{"b": "b"}, "b", w.alice)
		}
	})
	a := w.do(w.carol.Token(), "PUT", "/repos/octo/app/pulls/1/merge", obj{"sha": head})
	eq(t, "status", a.status, 409)
}
