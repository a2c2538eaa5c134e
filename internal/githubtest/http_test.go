package githubtest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

func TestFaultsOverARealConnection(t *testing.T) {
	w := newWorld(t)
	hub := httptest.NewServer(w.Server)
	defer hub.Close()
	client := &http.Client{Timeout: 5 * time.Second}
	get := func() (int, []byte, error) {
		req, err := http.NewRequest("GET", hub.URL+"/repos/octo/app", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, b, err
	}
	if status, b, err := get(); status != 200 || err != nil || len(b) == 0 {
		t.Fatalf("plain = %d, %v", status, err)
	}
	// Forever, since the client's transport sends a read again when the connection breaks before an answer.
	reset := w.Fail(githubtest.Fault{Kind: githubtest.Reset, Times: -1})
	if status, _, err := get(); err == nil {
		t.Errorf("reset = %d, want an error", status)
	}
	reset.Heal()
	w.Fail(githubtest.Fault{Kind: githubtest.Truncated})
	if _, _, err := get(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated = %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if status, _, err := get(); status != 200 || err != nil {
		t.Errorf("afterwards = %d, %v", status, err)
	}
	if reset.Hits() == 0 {
		t.Error("the fault met no request")
	}
}

func TestConcurrentRequestsAreCounted(t *testing.T) {
	w := newWorld(t)
	w.Latency(time.Second)
	l := githubtest.DefaultLimits()
	l.Concurrent = 2
	w.Limits(l)
	token := w.bob.Token()
	synctest.Test(t, func(t *testing.T) {
		var group sync.WaitGroup
		var mu sync.Mutex
		statuses := map[int]int{}
		for range 4 {
			group.Go(func() {
				a, err := w.try(t.Context(), token, "GET", "/repos/octo/app", nil)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				statuses[a.status]++
			})
		}
		group.Wait()
		// Those that end first make room for the rest.
		if statuses[403] == 0 || statuses[200] == 0 {
			t.Errorf("statuses = %v, want some of 200 and 403", statuses)
		}
	})
	eq(t, "at once", w.Usage().MaxConcurrent, 4)
}

// BenchmarkLife is what a scenario costs here: a pull request from its first push to its merge, with a webhook for
// everything.
func BenchmarkLife(b *testing.B) {
	s, err := githubtest.New(githubtest.Options{Dir: b.TempDir(), Deliver: func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 202, Body: http.NoBody}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	alice, bob := s.User("alice"), s.User("bob")
	repo := s.Repo("octo/app", githubtest.RepoOptions{})
	repo.Grant(alice, githubtest.CanWrite)
	repo.Grant(bob, githubtest.CanWrite)
	repo.Hook(bob, githubtest.HookOptions{URL: "http://service.test/webhook"})
	ci := s.App("ci", githubtest.AppOptions{})
	for i := 0; b.Loop(); i++ {
		branch := fmt.Sprint("b", i)
		repo.Push(branch, map[string]string{branch: "x\n"}, "x", alice)
		pr := repo.Open(alice, branch, "main", "x", "")
		pr.Label(bob, "bug")
		repo.Check(pr.Head(), ci, "test", "completed", "success")
		pr.Review(bob, "approve")
		pr.Merge(bob, "squash")
		s.Flush(b.Context())
	}
}
