package github

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// epoch is when a bubble's clock begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) string { return strconv.FormatInt(epoch.Add(d).Unix(), 10) }

// GitHub's order of rules, and what is not to be believed.
func TestWhatGitHubTellsUsToWait(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		head   []string
		wait   time.Duration // 0: it is not about a limit
		reason string
	}{
		{"retry-after first", 403, `{}`, []string{"Retry-After", "30", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", at(time.Minute)}, 30 * time.Second, reasonRetryAfter},
		{"retry-after as a date", 429, `{}`, []string{"Retry-After", epoch.Add(90 * time.Second).Format(http.TimeFormat)}, 90 * time.Second, reasonRetryAfter},
		{"retry-after of nothing", 429, `{}`, []string{"Retry-After", "0"}, time.Second, reasonRetryAfter},
		{"retry-after in the past", 429, `{}`, []string{"Retry-After", "-5"}, time.Second, reasonRetryAfter},
		{"retry-after of a year", 429, `{}`, []string{"Retry-After", "31536000"}, time.Hour, reasonRetryAfter},
		{"retry-after beyond all numbers", 429, `{}`, []string{"Retry-After", "99999999999999999999"}, time.Minute, reasonSecondary},
		{"retry-after that is none", 403, `{}`, []string{"Retry-After", "soon"}, time.Minute, reasonSecondary},
		{"used up", 403, `{"message":"API rate limit exceeded for user ID 1."}`, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", at(10 * time.Minute)}, 10 * time.Minute, reasonPrimary},
		{"used up, with 429", 429, `{}`, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", at(10 * time.Minute)}, 10 * time.Minute, reasonPrimary},
		{"reset in the past", 403, `{}`, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", at(-time.Hour)}, time.Second, reasonPrimary},
		{"reset in ten years", 403, `{}`, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", at(87600 * time.Hour)}, time.Hour, reasonPrimary},
		{"GitHub's clock is ten minutes ahead", 403, `{}`, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", at(15 * time.Minute), "Date", epoch.Add(10 * time.Minute).Format(http.TimeFormat)}, 5 * time.Minute, reasonPrimary},
		{"secondary in words", 403, `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`, nil, time.Minute, reasonSecondary},
		{"secondary by its page", 403, `{"message":"slow down","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`, nil, time.Minute, reasonSecondary},
		{"the old name of it", 403, `{"message":"You have triggered an abuse detection mechanism."}`, nil, time.Minute, reasonSecondary},
		{"429 without a word", 429, ``, nil, time.Minute, reasonSecondary},
		{"a permission", 403, `{"message":"Resource not accessible by integration"}`, []string{"X-RateLimit-Remaining", "4999", "X-RateLimit-Reset", at(time.Hour)}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := always(c.status, c.body, c.head...)
				w := newWorld(t, h)
				_, err := w.do(addBug)
				if c.wait == 0 {
					wantFault(t, "Apply", err, pull.FaultRefused)
					return
				}
				f := wantFault(t, "Apply", err, pull.FaultThrottled)
				if got := f.Until.Sub(epoch); got != c.wait {
					t.Errorf("wait = %s, want %s", got, c.wait)
				}
				if len(w.parked) != 1 || w.parked[0] != (parking{pull.ScopeToken, epoch.Add(c.wait), c.reason}) {
					t.Errorf("parked = %+v, want once until %s for %s", w.parked, epoch.Add(c.wait), c.reason)
				}
				if got := w.metric(t, "github_paused_seconds_total", "reason", c.reason); got != c.wait.Seconds() {
					t.Errorf("github_paused_seconds_total = %v, want %v", got, c.wait.Seconds())
				}
				if got := w.metric(t, "github_errors_total", "kind", "rate_limit"); got != 1 {
					t.Errorf("github_errors_total of rate_limit = %v, want 1", got)
				}

				// Until then nothing of the scope goes out; afterwards it does.
				for _, ask := range []func() error{
					func() error { _, err := w.look(); return err },
					func() error { _, err := w.do(mergeIt); return err },
				} {
					if f := wantFault(t, "while it is parked", ask(), pull.FaultThrottled); !f.Until.Equal(epoch.Add(c.wait)) {
						t.Errorf("Until = %s, want %s", f.Until, epoch.Add(c.wait))
					}
				}
				if n := len(h.requests()); n != 1 {
					t.Fatalf("%d requests while told to wait, want none after the first", n-1)
				}
				if !time.Now().Equal(epoch) {
					t.Errorf("it waited for %s instead of saying so at once", time.Since(epoch))
				}
				time.Sleep(c.wait)
				w.look()
				if n := len(h.requests()); n != 2 {
					t.Errorf("%d requests after the wait, want 2", n)
				}
			})
		})
	}
}

func TestSecondaryLimitsInARowWaitLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited := true
		h := &hub{serve: func(int, sent) (*http.Response, error) {
			if limited {
				return reply(429, "")
			}
			return reply(200, recorded(t))
		}}
		w := newWorld(t, h)
		for _, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
			_, err := w.look()
			f := wantFault(t, "Snapshot", err, pull.FaultThrottled)
			if got := time.Until(f.Until); got != want {
				t.Fatalf("wait = %s, want %s", got, want)
			}
			time.Sleep(want)
		}
		limited = false
		if _, err := w.look(); err != nil {
			t.Fatal(err)
		}
		limited = true
		_, err := w.look()
		if got := time.Until(wantFault(t, "Snapshot", err, pull.FaultThrottled).Until); got != time.Minute {
			t.Errorf("wait after a success = %s, want %s again", got, time.Minute)
		}
	})
}

// An exhausted GraphQL budget answers 200.
func TestGraphQLSaysSoWith200(t *testing.T) {
	for name, body := range map[string]string{
		"rate limited":   `{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded for installation."}]}`,
		"the newer word": `{"errors":[{"type":"RATE_LIMIT","message":"API rate limit already exceeded"}]}`,
		"secondary":      `{"message":"You have exceeded a secondary rate limit."}`,
		"beside data":    recorded(t, `"type": "NOT_FOUND"`, `"type": "RATE_LIMITED"`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := always(200, body, "X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", at(20*time.Minute), "X-RateLimit-Resource", "graphql")
				w := newWorld(t, h)
				_, err := w.look()
				if f := wantFault(t, "Snapshot", err, pull.FaultThrottled); !f.Until.Equal(epoch.Add(20 * time.Minute)) {
					t.Errorf("Until = %s, want the reset", f.Until)
				}
				if len(w.parked) != 1 || w.parked[0].reason != reasonPrimary {
					t.Errorf("parked = %+v, want once for %s", w.parked, reasonPrimary)
				}
			})
		})
	}
}

// What is left of a budget is kept for what matters most.
func TestLanes(t *testing.T) {
	for _, c := range []struct {
		remaining int
		goes      map[pull.Priority]bool
	}{
		{2001, map[pull.Priority]bool{pull.Urgent: true, pull.Ordinary: true, pull.Background: true, pull.Bulk: true}},
		{2000, map[pull.Priority]bool{pull.Urgent: true, pull.Ordinary: true, pull.Background: true}},
		{1000, map[pull.Priority]bool{pull.Urgent: true}},
		{1, map[pull.Priority]bool{pull.Urgent: true}},
		{0, nil},
	} {
		for p := pull.Urgent; p <= pull.Bulk; p++ {
			synctest.Test(t, func(t *testing.T) {
				h := always(200, recorded(t), "X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", strconv.Itoa(c.remaining), "X-RateLimit-Reset", at(time.Hour/2), "X-RateLimit-Resource", "graphql")
				w := newWorld(t, h)
				if _, err := w.look(); err != nil {
					t.Fatal(err)
				}
				_, err := w.Snapshot(w.Lane(t.Context(), p), pull.ScopeToken, octoApp, 7)
				if c.goes[p] {
					if err != nil {
						t.Errorf("with %d left, priority %d: %v, want it to go out", c.remaining, p, err)
					}
					return
				}
				if f := wantFault(t, fmt.Sprintf("with %d left, priority %d", c.remaining, p), err, pull.FaultThrottled); !f.Until.Equal(epoch.Add(time.Hour / 2)) {
					t.Errorf("Until = %s, want the reset", f.Until)
				}
				if len(w.parked) != 0 {
					t.Errorf("parked = %v: a reserve is no reason to stop the whole scope", w.parked)
				}
				if got, want := w.metric(t, "github_api_budget_remaining_ratio", "resource", "graphql"), float64(c.remaining)/5000; got != want {
					t.Errorf("budget = %v, want %v", got, want)
				}
				time.Sleep(time.Hour / 2)
				if got := w.metric(t, "github_api_budget_remaining_ratio", "resource", "graphql"); got != 1 {
					t.Errorf("budget after the reset = %v with nothing asked since, want 1", got)
				}
				if _, err := w.look(); err != nil {
					t.Errorf("after the reset: %v, want it to go out", err)
				}
			})
		}
	}
}

// A merge goes out when nothing else does any more.
func TestMergesUseTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := always(200, `{"merged":true}`, "X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "500", "X-RateLimit-Reset", at(time.Hour/2))
		w := newWorld(t, h)
		if _, err := w.do(mergeIt); err != nil {
			t.Fatal(err)
		}
		_, err := w.do(addBug)
		wantFault(t, "Apply(label.add) on the reserve", err, pull.FaultThrottled)
		if _, err := w.do(mergeIt); err != nil {
			t.Errorf("Apply(merge) on the reserve = %v, want nil", err)
		}
	})
}

// Answers overtake one another; within one window less is newer, and a request in flight is spent already.
func TestBudgetsAcrossAnswers(t *testing.T) {
	l := &limiter{budgets: map[resource]budget{}}
	for i, c := range []struct {
		rate rate
		want int
	}{
		{rate{limit: 5000, remaining: 4000, window: 100, reset: epoch.Add(time.Hour)}, 4000},
		{rate{limit: 5000, remaining: 4100, window: 100, reset: epoch.Add(time.Hour)}, 4000},
		{rate{limit: 5000, remaining: 3900, window: 100, reset: epoch.Add(time.Hour)}, 3900},
		{rate{limit: 5000, remaining: 5000, window: 200, reset: epoch.Add(2 * time.Hour)}, 5000},
		{rate{limit: 5000, remaining: 3800, window: 100, reset: epoch.Add(time.Hour)}, 5000},
	} {
		l.observe(restBudget, c.rate, epoch)
		if got := l.budgets[restBudget].remaining; got != c.want {
			t.Errorf("after answer %d: %d left, want %d", i, got, c.want)
		}
	}
	l.take(need{resource: restBudget}, epoch)
	if got := l.budgets[restBudget].remaining; got != 4999 {
		t.Errorf("with a request in flight: %d left, want 4999", got)
	}
}

func TestAtMostTenInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		body := recorded(t)
		h := &hub{serve: func(int, sent) (*http.Response, error) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Second)
			now.Add(-1)
			return reply(200, body)
		}}
		w := newWorld(t, h)
		var wg sync.WaitGroup
		for range 35 {
			wg.Go(func() {
				if _, err := w.look(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := most.Load(); got != maxInFlight {
			t.Errorf("at most %d requests at once, want %d", got, maxInFlight)
		}
		if took := time.Since(epoch); took != 4*time.Second {
			t.Errorf("35 requests of a second took %s, want 4s: places are used as they become free", took)
		}
	})
}

// Many workers write at once: what can't go out within a few seconds is told to come back, each at another time.
func TestWritesKeepASecondApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := always(200, `[]`)
		w := newWorld(t, h)
		var mu sync.Mutex
		turns := map[time.Time]int{}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := w.do(addBug)
				if err == nil {
					return
				}
				f := wantFault(t, "Apply", err, pull.FaultThrottled)
				mu.Lock()
				turns[f.Until]++
				mu.Unlock()
				if !time.Now().Equal(epoch) {
					t.Errorf("a refusal came after %s, want it at once", time.Since(epoch))
				}
			})
		}
		wg.Wait()
		sent := h.requests()
		if len(sent) != writeQueue+1 || len(turns) != 10-len(sent) {
			t.Errorf("%d writes went out and %d turns were given, want %d and %d", len(sent), len(turns), writeQueue+1, 10-writeQueue-1)
		}
		for i := 1; i < len(sent); i++ {
			if gap := sent[i].at.Sub(sent[i-1].at); gap != writeSpacing {
				t.Errorf("write %d came %s after the one before, want %s", i, gap, writeSpacing)
			}
		}
		if len(w.parked) != 0 {
			t.Errorf("parked = %v, want nothing: GitHub said nothing", w.parked)
		}
		if writeSpacing < time.Second || time.Minute/writeSpacing >= 60 {
			t.Errorf("writeSpacing = %s allows %d writes a minute, want fewer than 60, a second apart", writeSpacing, time.Minute/writeSpacing)
		}
	})
}

func TestFourHundredContentsAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always(200, `{"merged":true,"name":"bug"}`))
		// Labels give the last fifth to merges.
		write := func(a pull.Action) error {
			time.Sleep(writeSpacing)
			_, err := w.do(a)
			if f, ok := pull.FaultOf(err); ok && f.Class == pull.FaultUnclear {
				return nil // this hub answers every write alike; it was sent, and that is what counts
			}
			return err
		}
		n := 0
		var err error
		for err = write(addBug); err == nil; err = write(addBug) {
			n++
		}
		f := wantFault(t, "Apply(label.add)", err, pull.FaultThrottled)
		if n != 320 {
			t.Errorf("%d labels in an hour, want 320", n)
		}
		if want := epoch.Add(writeSpacing + time.Hour); !f.Until.Equal(want) {
			t.Errorf("Until = %s, want %s: when the first of them is an hour old", f.Until, want)
		}
		for err = write(mergeIt); err == nil; err = write(mergeIt) {
			n++
		}
		wantFault(t, "Apply(merge)", err, pull.FaultThrottled)
		if n != contentPerHour {
			t.Errorf("%d writes in an hour, want %d", n, contentPerHour)
		}
		if err := write(removeBug); err != nil {
			t.Errorf("Apply(label.remove) = %v, want nil: it creates nothing", err)
		}
		time.Sleep(time.Until(f.Until) + 100*writeSpacing)
		if err := write(addBug); err != nil {
			t.Errorf("an hour later: %v, want nil", err)
		}
	})
}

// Waiting for a turn ends with the context, and gives the turn back.
func TestWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := always(200, `[]`)
		w := newWorld(t, h)
		if _, err := w.do(addBug); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := w.Apply(ctx, pull.ScopeToken, seven, addBug)
		wantFault(t, "Apply", err, pull.FaultUnavailable)
		if l := w.limiter(pull.ScopeToken); l.writers != 0 || l.inFlight != 0 {
			t.Errorf("%d waiting, %d in flight, want none", l.writers, l.inFlight)
		}
		if len(h.requests()) != 1 {
			t.Errorf("%d requests, want 1", len(h.requests()))
		}
	})
}

// One installation's trouble is not another's.
func TestScopesAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pull.ScopeApp(1), pull.ScopeApp(2)
		h := appHub(t, func(s sent) (*http.Response, error) {
			if s.Header.Get("Authorization") == "Bearer token-1-1" {
				return reply(429, "", "Retry-After", "60")
			}
			return reply(200, recorded(t))
		})
		w := newWorld(t, h, asApp(t))
		_, err := w.Snapshot(t.Context(), a, octoApp, 7)
		wantFault(t, "Snapshot for the first", err, pull.FaultThrottled)
		if _, err := w.Snapshot(t.Context(), b, octoApp, 7); err != nil {
			t.Errorf("Snapshot for the second = %v, want nil", err)
		}
		if len(w.parked) != 1 || w.parked[0].scope != a {
			t.Errorf("parked = %v, want the first only", w.parked)
		}
	})
}

// Headers are from outside: whatever they hold, a wait is between a second and an hour, and a budget makes sense.
func FuzzRateLimit(f *testing.F) {
	for _, s := range [][5]string{
		{"5000", "4999", "946684900", "", ""},
		{"5000", "0", "946688400", "60", ""},
		{"", "0", "", "", ""},
		{"-1", "-1", "-1", "-1", "-1"},
		{"60", "0", "99999999999999", "Sat, 01 Jan 2000 00:01:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"},
		{"5000", "0", "9223372036854775807", "9223372036854775807", "Mon, 01 Jan 0001 00:00:00 GMT"},
		{"1e3", " 0 ", "0x10", "1.5", "never"},
	} {
		f.Add(s[0], s[1], s[2], s[3], s[4], 1)
	}
	f.Fuzz(func(t *testing.T, limit, remaining, reset, after, date string, strikes int) {
		h := http.Header{}
		for k, v := range map[string]string{"X-Ratelimit-Limit": limit, "X-Ratelimit-Remaining": remaining, "X-Ratelimit-Reset": reset, "Retry-After": after, "Date": date} {
			if v != "" {
				h.Set(k, v)
			}
		}
		strikes = max(strikes, 0)
		until, reason := waitOf(h, epoch, func() int { return strikes })
		if wait := until.Sub(epoch); wait < minWait || wait > maxWait {
			t.Errorf("waitOf(%v) = %s, want between %s and %s", h, wait, minWait, maxWait)
		}
		if reason != reasonPrimary && reason != reasonSecondary && reason != reasonRetryAfter {
			t.Errorf("waitOf(%v) = reason %q", h, reason)
		}
		if r, ok := rateOf(h, epoch); ok {
			if r.limit <= 0 || r.remaining < 0 || r.reset.Before(epoch.Add(minWait)) || r.reset.After(epoch.Add(maxWait)) {
				t.Errorf("rateOf(%v) = %+v", h, r)
			}
		}
	})
}

// A budget that is used up is believed to come back within a second to an hour, whatever the headers of a success say.
func TestTheEndOfABudgetIsClamped(t *testing.T) {
	for _, c := range []struct {
		reset, wait time.Duration
	}{{-time.Hour, time.Second}, {0, time.Second}, {10 * time.Minute, 10 * time.Minute}, {87600 * time.Hour, time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			h := always(200, `[{"id":5,"name":"bug"}]`, "X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", at(c.reset))
			w := newWorld(t, h)
			if _, err := w.do(addBug); err != nil {
				t.Fatal(err)
			}
			_, err := w.do(addBug)
			if f := wantFault(t, "Apply", err, pull.FaultThrottled); f.Until.Sub(epoch) != c.wait {
				t.Errorf("with the end %v away: until %v, want %v", c.reset, f.Until.Sub(epoch), c.wait)
			}
		})
	}
}

// A scope that gets no answers is left alone for ever longer, tried with one request at a time, and back at once when
// it is answered. One thing alone is no scope, and a no is an answer.
func TestASilentScopeIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 502
		h := &hub{serve: func(int, sent) (*http.Response, error) {
			return reply(status, map[bool]string{true: `[{"id":5,"name":"bug"}]`, false: `{"message":"so"}`}[status < 300])
		}}
		w := newWorld(t, h)
		label := func(n int) error {
			s := seven
			s.Number = n
			_, err := w.Apply(context.Background(), pull.ScopeToken, s, addBug)
			return err
		}
		for range 5 {
			wantFault(t, "one thing", label(1), pull.FaultUnclear)
			time.Sleep(2 * time.Second)
		}
		status = 403
		wantFault(t, "a no", label(1), pull.FaultRefused)
		status = 502
		for n := range 3 {
			time.Sleep(2 * time.Second)
			wantFault(t, "several things", label(n), pull.FaultUnclear)
		}
		if len(w.parked) != 1 || w.parked[0].reason != reasonUnanswered {
			t.Fatalf("parked = %+v, want once, for silence", w.parked)
		}
		before, began := len(h.requests()), time.Now()
		for time.Since(began) < 10*time.Minute {
			if f, _ := pull.FaultOf(label(int(time.Since(began).Seconds()))); f.Class != pull.FaultThrottled && f.Class != pull.FaultUnclear {
				t.Fatalf("a scope without answers: %v", f)
			}
			time.Sleep(time.Second)
		}
		if n := len(h.requests()) - before; n < 18 || n > 26 {
			t.Errorf("%d requests in ten minutes, want one in half a minute", n)
		}
		status = 201
		began = time.Now()
		for label(1) != nil && time.Since(began) < time.Hour {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("served again after %v, want within half a minute", took)
		}
		if err := label(2); err != nil {
			t.Errorf("after an answer: %v", err)
		}
	})
}

// TestWhatOthersWereToldIsHeeded: a limit that another replica met, or this one in an earlier life, holds here too, and
// nobody is asked about it for every request.
func TestWhatOthersWereToldIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until, asked := time.Now().Add(time.Minute), 0
		w := newWorld(t, always(200, recorded(t)), func(o *Options) {
			o.Waits = func(context.Context, pull.Scope) (time.Time, string) { asked++; return until, "secondary" }
		})
		for range 10 {
			_, err := w.look()
			if f := wantFault(t, "Snapshot", err, pull.FaultThrottled); !f.Until.Equal(until) {
				t.Fatalf("it waits until %v, want %v", f.Until, until)
			}
		}
		if n := len(w.hub.requests()); n != 0 || asked != 1 {
			t.Errorf("%d requests, %d questions; want none and one", n, asked)
		}
		time.Sleep(time.Minute)
		if _, err := w.look(); err != nil {
			t.Errorf("after the minute: %v", err)
		}
	})
}

// TestWhoWaitsForTheOneThatTries: GitHub hangs. While one request is trying whether it answers again, everybody is told to
// leave the scope alone: ten thousand keys that are due must not be taken up and put back every two seconds.
func TestWhoWaitsForTheOneThatTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		var hangs atomic.Bool
		h := &hub{serve: func(int, sent) (*http.Response, error) {
			if hangs.Load() {
				<-hang
			}
			return reply(502, `{"message":"so"}`)
		}}
		w := newWorld(t, h)
		label := func(n int) error {
			s := seven
			s.Number = n
			_, err := w.Apply(context.Background(), pull.ScopeToken, s, addBug)
			return err
		}
		for n := range 3 {
			wantFault(t, "no answer", label(n), pull.FaultUnclear)
			time.Sleep(2 * time.Second)
		}
		time.Sleep(time.Minute)
		hangs.Store(true)
		tried := make(chan error)
		go func() { tried <- label(1) }()
		synctest.Wait()
		before := len(w.parked)
		for n := range 100 {
			wantFault(t, "while one is trying", label(n), pull.FaultThrottled)
			time.Sleep(50 * time.Millisecond)
		}
		if n := len(w.parked) - before; n != 3 {
			t.Errorf("others were told %d times in five seconds, want every two", n)
		}
		for _, p := range w.parked[before:] {
			if p.reason != reasonUnanswered || p.until.Before(epoch) {
				t.Errorf("told %+v", p)
			}
		}
		close(hang)
		wantFault(t, "the one that tries", <-tried, pull.FaultUnclear)
	})
}
