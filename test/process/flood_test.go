package process

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// atOnce is how soon a sender must hear that its delivery can't be kept. The service promises two seconds; the rest is for
// a machine that has other things to do.
const atOnce = 2500 * time.Millisecond

// refused checks that an answer is the one that a sender gets while deliveries can't be kept.
func (a answer) refused(t *testing.T, when string) {
	t.Helper()
	if a.status != http.StatusServiceUnavailable || a.retryAfter == "" || a.took > atOnce {
		t.Errorf("%s: a delivery is answered %d %q after %v, Retry-After %q; want 503 with Retry-After within 2s",
			when, a.status, strings.TrimSpace(a.body), a.took.Round(time.Millisecond), a.retryAfter)
	}
}

// A flood is deliveries from several writers at once, and the account of their answers.
type flood struct {
	p       *testenv.Process
	series  int
	stop    chan struct{}
	writers sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]bool
	refused      []answer
	killed       bool
}

// startFlood lets writers send until the flood is ended, each with a pause between two. Each series has ids of its own.
func startFlood(p *testenv.Process, series, writers int, pace time.Duration) *flood {
	f := &flood{p: p, series: series, stop: make(chan struct{}), acknowledged: map[string]bool{}}
	for w := range writers {
		f.writers.Go(func() {
			for n := 0; ; n++ {
				f.mu.Lock()
				url := f.p.URL
				f.mu.Unlock()
				a := send(url, deliveryID(series, w<<32|n), pullRequest(n%100))
				f.mu.Lock()
				wait := pace
				switch {
				case a.status == http.StatusAccepted:
					f.acknowledged[a.id] = true
				case a.status == 0 && f.killed: // it was never answered
					wait = 50 * time.Millisecond
				default:
					f.refused = append(f.refused, a)
					wait = 200 * time.Millisecond
				}
				f.mu.Unlock()
				select {
				case <-f.stop:
					return
				case <-time.After(wait):
				}
			}
		})
	}
	return f
}

// kill kills the process under the flood; move lets it go on to the next one.
func (f *flood) kill(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	f.killed = true
	f.mu.Unlock()
	f.p.Kill(t)
}

func (f *flood) move(p *testenv.Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.p = p
}

// counts returns how many deliveries were acknowledged and refused so far.
func (f *flood) counts() (acknowledged, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acknowledged), len(f.refused)
}

// more waits until so many more deliveries were acknowledged.
func (f *flood) more(t *testing.T, atMost time.Duration, n int) {
	t.Helper()
	before, _ := f.counts()
	eventually(t, atMost, "deliveries are acknowledged again", func() bool { now, _ := f.counts(); return now >= before+n })
}

// end stops the writers, and checks the account: every refusal was a proper one; what was refused can be delivered
// again; and in the end everything is in the database once, and processed. It returns the account in words.
func (f *flood) end(t *testing.T, database string) string {
	t.Helper()
	close(f.stop)
	f.writers.Wait()
	var slowest, sum time.Duration
	shown := 0
	for _, a := range f.refused {
		slowest, sum = max(slowest, a.took), sum+a.took
		if (a.status != 503 || a.retryAfter == "" || a.took > atOnce) && shown < 5 {
			shown++
			a.refused(t, "in the flood")
		}
	}
	var kept atomic.Int64 // although the answer was 503: the commit had been made
	var again sync.WaitGroup
	for part := range slices.Chunk(f.refused, len(f.refused)/8+1) {
		again.Go(func() {
			for _, a := range part {
				var n int
				fmt.Sscanf(a.id[len(a.id)-8:], "%x", &n)
				b := send(f.p.URL, a.id, pullRequest(n%100))
				if b.status != http.StatusAccepted {
					t.Errorf("%s, redelivered after the outage, is answered %d %s, want 202", a.id, b.status, b.body)
					return
				}
				if strings.Contains(b.body, `"duplicate"`) {
					kept.Add(1)
				}
			}
		})
	}
	again.Wait()
	// Not by what the service says: that may be a second old.
	eventually(t, 90*time.Second, "everything is processed", func() bool {
		time.Sleep(100 * time.Millisecond)
		rows := keptStatuses(t, database)
		return rows.count("processed") == len(rows)
	})
	rows := keptStatuses(t, database)
	lost, doubled, waiting := 0, 0, 0
	ids := make([]string, 0, len(f.acknowledged)+len(f.refused))
	for id := range f.acknowledged {
		ids = append(ids, id)
	}
	for _, a := range f.refused {
		ids = append(ids, a.id)
	}
	for _, id := range ids {
		switch {
		case len(rows[id]) == 0:
			lost++
		case len(rows[id]) > 1:
			doubled++
		case rows[id][0] != "processed":
			waiting++
		}
	}
	mean := time.Duration(0)
	if len(f.refused) > 0 {
		mean = sum / time.Duration(len(f.refused))
	}
	account := fmt.Sprintf("%d acknowledged; %d refused, in %v on average and %v at most; %d of these had been kept all the same",
		len(f.acknowledged), len(f.refused), mean.Round(time.Millisecond), slowest.Round(time.Millisecond), kept.Load())
	if lost > 0 || doubled > 0 || waiting > 0 {
		t.Errorf("%s: %d are lost, %d there twice, %d not processed; want none", account, lost, doubled, waiting)
	}
	return account
}

// health is an answer of /health or /ready.
type health struct {
	code   int
	Status string
	Checks map[string]struct{ Status, Detail string }
}

func askHealth(t *testing.T, p *testenv.Process, path string) (h health) {
	t.Helper()
	status, body := get(t, p.URL+path)
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		t.Fatalf("GET %s = %d %q, %v", path, status, body, err)
	}
	h.code = status
	return h
}

// namesTrouble waits until /ready refuses and names the database's trouble, and checks that /health asks for no restart.
func namesTrouble(t *testing.T, p *testenv.Process, want string) {
	t.Helper()
	var ready health
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ready = askHealth(t, p, "/ready")
		if ready.code == 503 && strings.Contains(ready.Checks["database"].Detail, want) {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("/ready = %d, database %+v, want 503 and %q", ready.code, ready.Checks["database"], want)
			break
		}
	}
	if h := askHealth(t, p, "/health"); h.code != 200 || h.Status != "degraded" || h.Checks["database"].Status != "failing" {
		t.Errorf("/health = %d %s, database %+v, want 200 degraded, database failing", h.code, h.Status, h.Checks["database"])
	}
}

// recovered waits until the service is ready by itself, and returns how long that took.
func recovered(t *testing.T, p *testenv.Process, atMost time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	eventually(t, atMost, "the service is ready again by itself", func() bool { return askHealth(t, p, "/ready").code == 200 })
	return time.Since(began)
}

// complaints are the lines of the log that speak of something wrong.
func complaints(p *testenv.Process) (lines []string) {
	for line := range strings.Lines(p.Logs()) {
		if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, `"level":"WARN"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// quietLog checks that what the log complained of since it had so many lines is a handful per outage: who keeps, who takes
// in, who works and who keeps time say so once; and each of the eight workers may have lost its lease, on a busy machine more than once.
func quietLog(t *testing.T, p *testenv.Process, before, outages int) {
	t.Helper()
	lost := 0
	got := slices.DeleteFunc(complaints(p)[before:], func(line string) bool {
		if strings.Contains(line, "another worker has taken the key over") {
			lost++
			return true
		}
		return false
	})
	if len(got) > 4*outages || lost > 24*outages {
		t.Errorf("%d lines of complaint about %d outages and %d about lost leases, want at most 4 and 24 each:\n%s",
			len(got), outages, lost, strings.Join(got[:min(len(got), 20)], ""))
	}
}

// The clock of a machine must be right to the minute, or tokens of an App are refused.
func TestReadyWarnsOfAWrongClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-10 * time.Minute, 10 * time.Minute, time.Second} {
		hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = io.WriteString(w, `{"data":{"repository":null},"errors":[{"type":"NOT_FOUND","path":["repository"],"message":"Could not resolve to a Repository"}]}`)
		}))
		t.Cleanup(hub.Close)
		p := testenv.Start(t, testenv.Options{Env: working(t, "GITHUB_API_URL="+hub.URL)})
		if a := send(p.URL, deliveryID(0x2000, 1), pullRequest(1)); a.status != http.StatusAccepted {
			t.Fatalf("a delivery is answered %d", a.status)
		}
		eventually(t, 10*time.Second, "it is processed", func() bool { s := askStats(t, p); return s.QueueLength == 0 && s.Total.Processed == 1 })
		want := "ok"
		if off.Abs() > time.Minute {
			want = "warning"
		}
		eventually(t, 5*time.Second, "/ready says "+want, func() bool {
			h := askHealth(t, p, "/ready")
			c := h.Checks["github"]
			return h.code == 200 && c.Status == want && (want == "ok" || strings.Contains(c.Detail, "clock is"))
		})
	}
}
