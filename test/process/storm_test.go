package process

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A watchedGitHub is a simulated one on a real socket, which notes when each pull request was looked at.
type watchedGitHub struct {
	*githubtest.Server
	url string

	mu    sync.Mutex
	looks map[int][]time.Time // by number
}

func watchGitHub(t *testing.T, deliver func(*http.Request) (*http.Response, error)) *watchedGitHub {
	t.Helper()
	hub, err := githubtest.New(githubtest.Options{Dir: filepath.Join(t.TempDir(), "github"), Seed: 1, Deliver: deliver})
	if err != nil {
		t.Fatal(err)
	}
	w := &watchedGitHub{Server: hub, looks: map[int][]time.Time{}}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		var q struct{ Variables struct{ Number int } }
		if strings.HasSuffix(r.URL.Path, "/graphql") && json.Unmarshal(body, &q) == nil {
			w.mu.Lock()
			w.looks[q.Variables.Number] = append(w.looks[q.Variables.Number], time.Now())
			w.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		hub.ServeHTTP(rw, r)
	}))
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

// between are the looks at a pull request between two moments.
func (w *watchedGitHub) between(number int, from, to time.Time) (looks []time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.looks[number] {
		if l.After(from) && l.Before(to) {
			looks = append(looks, l)
		}
	}
	return looks
}

// TestStormOfChecks: thousands of check events about twenty pull requests. GitHub is asked about each once in two
// seconds at most and twelve times in all, nothing piles up, and memory stays bounded. `make test` has a quarter of the
// storm, in the same density; TEST_LONG=1 has all 10,000 events in a minute.
func TestStormOfChecks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			storm(t, engine)
		})
	}
}

func storm(t *testing.T, engine string) {
	const pulls, perSecond, green = 20, 167, 3
	length := testenv.Pick(15*time.Second, time.Minute)
	// A webhook is kept when it comes from the checks, to be sent again and again; the others go through.
	var mu sync.Mutex
	var letters []*http.Request
	var bodies [][]byte
	hub := watchGitHub(t, func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Header.Get("X-GitHub-Event") == "check_run" {
			mu.Lock()
			letters, bodies = append(letters, r.Clone(context.Background())), append(bodies, body)
			mu.Unlock()
		}
		return client.Do(r)
	})
	env := []string{"WEBHOOK_SECRET=" + secret, "GITHUB_TOKEN=" + hub.User("robot").Token(), "GITHUB_API_URL=" + hub.url, "LOG_FORMAT=json"}
	if engine == "postgres" {
		env = append(env, "DATABASE_URL="+testenv.Postgres(t))
	}
	p := testenv.Start(t, testenv.Options{Env: env, Ready: "/ready"})

	alice, robot := hub.User("alice"), hub.User("robot")
	hub.Org("octo")
	repo := hub.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{
		"README.md": "hello\n", ".github/pr-manager.yml": "version: 1\nlabels: { tested: { if: checks.green } }\n",
	}})
	repo.Grant(alice, githubtest.CanWrite)
	repo.Grant(robot, githubtest.CanWrite)
	ci := hub.App("ci", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
	ci.Install(hub.Org("octo"), repo)
	repo.Hook(alice, githubtest.HookOptions{URL: p.URL + "/webhook", Secret: secret})
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	defer func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var prs []*githubtest.PR
	var open []*githubtest.Check
	for i := range pulls {
		branch := fmt.Sprintf("topic-%d", i)
		repo.Push(branch, map[string]string{branch + ".md": "hello\n"}, "Work", alice)
		pr := repo.Open(alice, branch, "main", "Work on "+branch, "")
		prs = append(prs, pr)
		for c := range 4 {
			open = append(open, repo.Check(pr.Head(), ci, fmt.Sprintf("check %d", c), "in_progress", ""))
		}
	}
	eventually(t, time.Minute, "the pull requests are known", func() bool {
		return hub.Waiting() == 0 && askStats(t, p).QueueLength == 0 && len(hub.between(prs[pulls-1].Number(), time.Time{}, time.Now())) > 0
	})
	mu.Lock()
	kept, texts := slices.Clone(letters), slices.Clone(bodies)
	mu.Unlock()
	points := hub.Usage().Points

	began := time.Now()
	var sending sync.WaitGroup
	slots := make(chan struct{}, 32)
	var refused, slowest int64
	sent := 0
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for all := int(length.Seconds() * perSecond); sent < all; {
		<-tick.C
		for ; sent < min(all, int(time.Since(began).Seconds()*perSecond)); sent++ {
			r, body := kept[sent%len(kept)], texts[sent%len(kept)]
			id := fmt.Sprintf("%08x-0000-4000-8000-%012x", sent, began.UnixNano()&0xffffffffffff)
			slots <- struct{}{}
			sending.Go(func() {
				defer func() { <-slots }()
				at := time.Now()
				q := r.Clone(context.Background())
				q.Header.Set("X-GitHub-Delivery", id)
				q.Body, q.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				res, err := client.Do(q)
				mu.Lock()
				defer mu.Unlock()
				slowest = max(slowest, int64(time.Since(at)))
				if err != nil || res.StatusCode != http.StatusAccepted {
					refused++
				}
				if err == nil {
					res.Body.Close()
				}
			})
		}
	}
	sending.Wait()
	over := time.Now()
	eventually(t, time.Minute, "all is processed", func() bool { return hub.Waiting() == 0 && askStats(t, p).QueueLength == 0 })
	lag := time.Since(over)
	spent := hub.Usage().Points - points
	memory := p.RSS(t)
	for _, c := range open[:4*green] { // what the storm was about: some are green now, and labels follow, a second apart
		c.Complete("success")
	}

	most, closest := 0, time.Hour
	for _, pr := range prs {
		looks := hub.between(pr.Number(), began, over.Add(lag))
		most = max(most, len(looks))
		for i := 1; i < len(looks); i++ {
			closest = min(closest, looks[i].Sub(looks[i-1]))
		}
	}
	t.Logf("%s: %d events about %d pull requests in %v: the slowest answer took %v; at most %d looks at one, two of them %v apart at least; %d points; all processed %v after the end; %d MB",
		engine, sent, pulls, length, time.Duration(slowest).Round(time.Millisecond), most, closest.Round(10*time.Millisecond), spent, lag.Round(10*time.Millisecond), memory>>20)
	if refused > 0 {
		t.Errorf("%d webhooks were not accepted", refused)
	}
	if most > 12 || spent > 12*pulls {
		t.Errorf("%d looks at one pull request and %d points in all, want at most 12 each", most, spent)
	}
	if closest < 1500*time.Millisecond { // as they arrive; how long a request is on its way differs on a busy machine
		t.Errorf("two looks at one pull request %v apart, want two seconds", closest)
	}
	if lag > 10*time.Second {
		t.Errorf("all is processed %v after the end, want within 10 s", lag)
	}
	if memory > 512<<20 {
		t.Errorf("%d MB of memory, want under 512", memory>>20)
	}
	eventually(t, time.Minute, "the green ones have their label", func() bool {
		for _, pr := range prs[:green] {
			if !slices.Equal(pr.Labels(), []string{"tested"}) {
				return false
			}
		}
		return true
	})
}
