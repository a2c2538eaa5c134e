package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func BenchmarkIntake(b *testing.B) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", testenv.SQLite}, {"postgres", testenv.Postgres}} {
		b.Run(engine.name, func(b *testing.B) { benchmarkIntake(b, engine.url(b)) })
	}
}

// benchmarkIntake takes in what a full load leaves: five hundred deliveries, nearly all of them of other pull requests.
func benchmarkIntake(b *testing.B, url string) {
	ctx := context.Background()
	s, err := Open(ctx, url, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Migrate(ctx); err != nil {
		b.Fatal(err)
	}
	const rows = 500
	packed := compress(payload(1))
	n := 0
	for b.Loop() {
		b.StopTimer()
		batch := make([]pull.Delivery, rows)
		for i := range batch {
			n++
			batch[i] = pull.Delivery{
				ID: fmt.Sprintf("%08x-%d", rand.Uint32(), n), Packed: packed, ReceivedAt: s.Now(), BodyHash: sha256.Sum256(packed[:32]),
				Headers: map[string]string{"X-GitHub-Event": "pull_request", "User-Agent": "GitHub-Hookshot/044aadd", "Content-Type": "application/json"},
				Hint: pull.Hint{
					Event: "pull_request", Action: "opened", Repo: pull.Repo{ID: 1_000_000 + rand.Int64N(20), Owner: "octo", Name: "app"},
					Installation: 42, Sender: pull.Actor{ID: 1, Login: "octocat", Type: pull.User}, Numbers: []int{1 + rand.IntN(500)},
					HeadSHA: pull.SHA(fmt.Sprintf("%040x", rand.Uint64())), DefaultBranch: "main",
				},
			}
		}
		if _, err := s.Insert(ctx, batch); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		_, took, err := s.Intake(ctx, pull.Taking{Limit: rows}, func(d pull.Delivery) pull.Route {
			return pull.Route{Settle: 200 * time.Millisecond, Priority: pull.Ordinary, Numbers: d.Hint.Numbers, Head: d.Hint.HeadSHA}
		})
		if err != nil || took != rows {
			b.Fatalf("Intake = %d, %v, want %d", took, err, rows)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}
