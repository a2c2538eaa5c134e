package chaos

import (
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

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
