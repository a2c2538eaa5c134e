package chaos

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A balancer is what stands before the replicas: it sends each request to the next one that was ready when it last
// asked, four times a second, and never twice. It is as plain as they come.
type balancer struct {
	proxies []*httputil.ReverseProxy
	ready   []atomic.Bool
	turn    atomic.Int64
	failed  atomic.Int64 // requests that it could not bring to anybody
}

func balance(t *testing.T, replicas []*replica) (*balancer, string) {
	t.Helper()
	b := &balancer{ready: make([]atomic.Bool, len(replicas))}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i, r := range replicas {
		to, err := url.Parse(r.url())
		if err != nil {
			t.Fatal(err)
		}
		p := httputil.NewSingleHostReverseProxy(to)
		p.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
		p.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			b.failed.Add(1)
			t.Logf("the balancer: %v", err)
			w.WriteHeader(http.StatusBadGateway)
		}
		b.proxies = append(b.proxies, p)
		running.Go(func() {
			for ctx.Err() == nil {
				b.ready[i].Store(get(to.String()+"/ready") == http.StatusOK)
				time.Sleep(250 * time.Millisecond)
			}
		})
	}
	front := httptest.NewServer(b)
	t.Cleanup(func() {
		cancel()
		running.Wait()
		front.Close()
	})
	return b, front.URL
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	turn := int(b.turn.Add(1))
	for i := range b.proxies {
		if n := (turn + i) % len(b.proxies); b.ready[n].Load() {
			b.proxies[n].ServeHTTP(w, r)
			return
		}
	}
	b.failed.Add(1)
	w.WriteHeader(http.StatusServiceUnavailable)
}

// Replicas can be restarted one after the other, as a deployment does it, under 200 deliveries a second, and nobody
// outside notices.
func TestRollingRestart(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	duration := testenv.Pick(20*time.Second, 3*time.Minute)
	s := newStage(t, plan(newSeed(t), "rolling"), setup{engine: "redis", replicas: 3, orgs: 6, pulls: 12, binary: testenv.Binary(t)})
	s.open()
	b, front := balance(t, s.replicas)
	if !eventually(5*time.Second, func() bool { return b.ready[0].Load() && b.ready[1].Load() && b.ready[2].Load() }) {
		t.Fatal("the balancer finds no three replicas")
	}
	s.post.aim(front)
	s.play(20, 20*time.Millisecond, nil)
	before := s.post.answers()

	stop := make(chan struct{})
	var sent atomic.Int64
	var sender sync.WaitGroup
	sender.Go(func() { sent.Store(int64(s.post.flood(200, stop))) })
	restarts := 0
	for end := time.Now().Add(duration); time.Now().Before(end); {
		r := s.replicas[restarts%3]
		r.doing = "down"
		if code, took := r.p.Stop(t); code != 0 || took > 25*time.Second {
			t.Errorf("SIGTERM to replica %s: exit %d after %v, want 0 within 25s", r.name, code, took)
		}
		r.start()
		r.ready()
		time.Sleep(500 * time.Millisecond) // the balancer looks again
		restarts++
	}
	close(stop)
	sender.Wait()
	settled := s.settle(60 * time.Second)
	answers := s.post.answers()
	t.Logf("%d restarts, %d deliveries at 200 a second, worst acknowledgement %v, answers other than 202: %v, settled %v",
		restarts, sent.Load(), s.post.worst.Round(time.Millisecond), answers, settled.Round(100*time.Millisecond))
	if !maps.Equal(answers, before) || b.failed.Load() != 0 {
		t.Errorf("answers other than 202, by status: %v, %v before the restarts; the balancer failed %d times; want none", answers, before, b.failed.Load())
	}
	if sent.Load() < int64(duration.Seconds()*150) {
		t.Errorf("only %d deliveries in %v: too few to prove anything", sent.Load(), duration)
	}
	if f := s.check(); len(f) > 0 {
		t.Errorf("after %d restarts:\n%s", restarts, f)
	}
}

// SIGTERM under 200 deliveries a second: what is sent while the listener is open is kept, the process ends in time, and
// no key stays leased.
func TestSIGTERMUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, plan(newSeed(t), "SIGTERM"), setup{engine: engine, replicas: 1, orgs: 4, pulls: 8, binary: testenv.Binary(t)})
			s.open()
			s.play(40, 10*time.Millisecond, nil)
			stop := make(chan struct{})
			var sender sync.WaitGroup
			sender.Go(func() { s.post.flood(200, stop) })
			time.Sleep(time.Second)
			r := s.replicas[0]
			r.doing = "down"
			r.signal(syscall.SIGTERM)
			saw := eventually(3*time.Second, func() bool { return get(r.url()+"/ready") == http.StatusServiceUnavailable })
			began := time.Now()
			code := r.p.Wait(t, 28*time.Second)
			took := time.Since(began)
			close(stop)
			sender.Wait()
			for status, n := range s.post.answers() {
				if status != 0 { // no answer: the listener was closed
					t.Errorf("%d deliveries were answered %d while the service was stopping, want none refused", n, status)
				}
			}
			if !saw || code != 0 || took > 25*time.Second {
				t.Errorf("SIGTERM: /ready turned 503: %v; exit %d after %v; want true, 0 within 25s", saw, code, took)
			}
			leased, err := texts(s.db.Query("SELECT key FROM work WHERE lease_owner IS NOT NULL"))
			if err != nil || len(leased) > 0 {
				t.Errorf("still leased after the end: %v, %v", leased, err)
			}
			t.Logf("ended in %v", took.Round(10*time.Millisecond))
			r.start()
			s.settle(45 * time.Second)
			if f := s.check(); len(f) > 0 {
				t.Errorf("after SIGTERM under load:\n%s", f)
			}
		})
	}
}

// Three replicas and their database start at the same moment, as after a power cut, and are sent to from their first
// "ready" on.
func TestColdStart(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	s := newStage(t, plan(newSeed(t), "cold"), setup{engine: "own-redis", replicas: 3, orgs: 4, pulls: 4, binary: testenv.Binary(t)})
	s.open()
	s.play(20, 10*time.Millisecond, nil)
	for range number("RUNS", 3) {
		s.postgres.Stop(t, testenv.Immediate)
		for _, r := range s.replicas {
			r.kill()
		}
		s.postgres.Spawn(t)
		began := time.Now()
		for _, r := range s.replicas {
			r.start()
		}
		var ready []string
		if !eventually(30*time.Second, func() bool {
			s.keep()
			ready = nil
			for _, r := range s.replicas {
				if get(r.url()+"/ready") == http.StatusOK {
					ready = append(ready, r.url())
				}
			}
			return len(ready) > 0
		}) {
			t.Fatal("no replica is ready 30s after the database was started")
		}
		first := time.Since(began)
		s.post.aim(ready...)
		before := s.post.answers()
		stop := make(chan struct{})
		time.AfterFunc(2*time.Second, func() { close(stop) })
		n := s.post.flood(200, stop)
		after := s.post.answers()
		for status, m := range after {
			if m > before[status] {
				t.Errorf("from the first ready on, %d of %d deliveries were answered %d, want none", m-before[status], n, status)
			}
		}
		for _, r := range s.replicas {
			s.keep()
			r.ready()
			s.post.aim(s.replicas[0].url(), s.replicas[1].url(), s.replicas[2].url())
		}
		t.Logf("ready %v after the database was started, then %d deliveries in 2s", first.Round(time.Millisecond), n)
	}
	s.settle(60 * time.Second)
	if f := s.check(); len(f) > 0 {
		t.Errorf("after cold starts:\n%s", f)
	}
}
