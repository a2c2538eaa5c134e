package process

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// GitHub never sends a delivery twice by itself, so a restart must not refuse one while the listener is open.
func TestSIGTERMDrainsWithoutRefusingADelivery(t *testing.T) {
	t.Parallel()
	p := testenv.Start(t, testenv.Options{Env: working(t)})
	var (
		mu       sync.Mutex
		kept     int
		refused  []int
		senders  sync.WaitGroup
		stopping = make(chan struct{})
	)
	for s := range 4 {
		senders.Go(func() {
			for n := 0; ; n++ {
				status := deliver(p.URL, secret, deliveryID(s, n), pullRequest(n%50))
				mu.Lock()
				switch status {
				case http.StatusAccepted:
					kept++
				case 0: // no answer: the listener is closed
					mu.Unlock()
					return
				default:
					refused = append(refused, status)
				}
				mu.Unlock()
				select {
				case <-stopping: // a connection that is closed after its answer ends the loop, but not one that stays
					time.Sleep(5 * time.Millisecond)
				default:
				}
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	start := time.Now()
	p.Signal(t, syscall.SIGTERM)
	close(stopping)
	sawNotReady := false
	for p.Running() && !sawNotReady && time.Since(start) < 5*time.Second {
		if res, err := client.Get(p.URL + "/ready"); err == nil {
			sawNotReady = res.StatusCode == http.StatusServiceUnavailable
			res.Body.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	code := p.Wait(t, 28*time.Second)
	took := time.Since(start)
	senders.Wait()
	if code != 0 || took > 25*time.Second {
		t.Errorf("SIGTERM: exit %d after %v, want 0 within 25s", code, took)
	}
	if !sawNotReady {
		t.Error("SIGTERM: /ready never said 503 while the listener was open")
	}
	if len(refused) > 0 || kept == 0 {
		t.Errorf("SIGTERM: %d deliveries kept, %d refused with %v, want none refused", kept, len(refused), refused)
	}
	t.Logf("drained in %v, %d deliveries kept meanwhile and before", took.Round(time.Millisecond), kept)
}

func TestSIGHUPTakesTheNewSecretUp(t *testing.T) {
	t.Parallel()
	const next = "the-next-secret-for-tests"
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secret + "\n")
	p := testenv.Start(t, testenv.Options{Env: []string{"WEBHOOK_SECRET_FILE=" + file}})
	reload := func(text string) {
		t.Helper()
		write(text)
		before := strings.Count(p.Logs(), "reload")
		p.Signal(t, syscall.SIGHUP)
		eventually(t, 5*time.Second, "the log speaks of the reload", func() bool { return strings.Count(p.Logs(), "reload") > before })
	}
	check := func(when, key string, want int) {
		t.Helper()
		if got := deliver(p.URL, key, deliveryID(int(time.Now().UnixNano()&0xffffff), 0), pullRequest(1)); got != want {
			t.Errorf("%s: a delivery signed with %q is answered %d, want %d", when, key, got, want)
		}
	}
	check("at first", secret, 202)
	check("at first", next, 401)
	reload(next + "\n" + secret + "\n")
	check("with both", secret, 202)
	check("with both", next, 202)
	reload("short")
	check("after a secret that is too short", next, 202)
	reload(next)
	check("with the new one", next, 202)
	check("with the new one", secret, 401)
	if strings.Contains(p.Logs(), secret) || strings.Contains(p.Logs(), next) {
		t.Error("the log shows a secret")
	}
}

func TestSIGUSR2WritesAHeapProfile(t *testing.T) {
	t.Parallel()
	p := testenv.Start(t, testenv.Options{Env: working(t, "HEAP_DUMP_DIR=heaps")})
	p.Signal(t, syscall.SIGUSR2)
	eventually(t, 10*time.Second, "a profile is there and the log says where", func() bool {
		found, err := filepath.Glob(filepath.Join(p.Dir, "heaps", "*.pprof"))
		return err == nil && len(found) == 1 && strings.Contains(p.Logs(), filepath.Base(found[0]))
	})
	if !p.Running() {
		t.Error("SIGUSR2 ended the process")
	}
}

func TestASecondServiceOnOneFileIsRefused(t *testing.T) {
	t.Parallel()
	p := testenv.Start(t, testenv.Options{Env: working(t)})
	file := filepath.Join(p.Dir, "data", "github-pr-manager.db")
	r := testenv.Run(t, []string{"PORT=0", "HOST=127.0.0.1", "DATABASE_URL=sqlite:" + file}, "", "serve")
	if r.Code != 2 || !strings.Contains(r.Stderr, "another service") || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("a second serve: exit %d, stderr %q, want 2 and one line that says who has the file", r.Code, r.Stderr)
	}
	if s, body := get(t, p.URL+"/health"); s != 200 {
		t.Errorf("the first one's /health afterwards = %d %s, want 200", s, body)
	}
	r = testenv.Run(t, []string{"DATABASE_URL=sqlite:" + file}, "", "migrate", "status")
	if r.Code != 0 {
		t.Errorf("migrate status beside a running service: exit %d, %s%s, want 0", r.Code, r.Stdout, r.Stderr)
	}
}
