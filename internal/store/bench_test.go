package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// payload returns a body of 24 KB that compresses as GitHub's do, to about a seventh.
func payload(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	var b strings.Builder
	fmt.Fprintf(&b, `{"action":"opened","number":%d`, n)
	for b.Len() < 24_000 {
		fmt.Fprintf(&b, `,"x%d":{"node_id":"%016x","url":"https://api.github.com/repos/octo/app/pulls/%d","html_url":"https://github.com/octo/app/pull/%d","type":"User","site_admin":false,"gravatar_id":"","starred_url":"https://api.github.com/users/octocat/starred{/owner}{/repo}"}`,
			r.IntN(1000), r.Uint64(), n, n)
	}
	b.WriteString("}")
	return []byte(b.String())
}

func BenchmarkInsert(b *testing.B) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", testenv.SQLite}, {"postgres", testenv.Postgres}} {
		b.Run(engine.name, func(b *testing.B) { benchmarkInsert(b, engine.url(b)) })
	}
}

func benchmarkInsert(b *testing.B, url string) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s, err := Open(ctx, url, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Migrate(ctx); err != nil {
		b.Fatal(err)
	}
	over := make(chan error)
	go func() { over <- s.Maintain(ctx) }()
	defer func() { stop(); <-over }()

	const rows = 64
	var bodies [rows][]byte
	size := 0
	for i := range bodies {
		bodies[i] = compress(payload(i))
		size += len(bodies[i])
	}
	run := rand.Uint64()
	n := 0
	b.ReportMetric(float64(size)/rows, "B/body")
	slowest := time.Duration(0)
	for b.Loop() {
		batch := make([]pull.Delivery, rows)
		for i := range batch {
			n++
			batch[i] = pull.Delivery{
				ID: fmt.Sprintf("%08x-%016x", rand.Uint32(), run+uint64(n)), Packed: bodies[i], ReceivedAt: s.Now(),
				BodyHash: sha256.Sum256(bodies[i][:32]),
				Headers:  map[string]string{"X-GitHub-Event": "pull_request", "User-Agent": "GitHub-Hookshot/044aadd", "Content-Type": "application/json"},
				Hint: pull.Hint{
					Event: "pull_request", Action: "opened", Repo: pull.Repo{ID: 1296269, Owner: "octo", Name: "app"},
					Installation: 42, Sender: pull.Actor{ID: 1, Login: "octocat", Type: pull.User}, Numbers: []int{n},
					HeadSHA: "6dcb09b5b57875f334f61aebed695e2e4193db5e", DefaultBranch: "main",
				},
			}
		}
		began := time.Now()
		if _, err := s.Insert(ctx, batch); err != nil {
			b.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(slowest.Milliseconds()), "slowest-ms")
}
