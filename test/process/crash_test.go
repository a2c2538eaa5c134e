package process

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// Acknowledged means kept: whatever got a 202 before the process was killed is in the database once, and is processed by
// the process after it.
func TestKillUnderLoadLosesNothing(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			rounds := testenv.Pick(20, 200)
			if testing.Short() {
				rounds = 3
			}
			dir := t.TempDir()
			database := sqliteIn(dir)
			env := working(t, "LEASE=1s")
			if engine == "postgres" {
				database = testenv.Postgres(t)
				env = append(env, "DATABASE_URL="+database)
			}

			var mu sync.Mutex
			acknowledged := map[string]bool{}
			sent := 0
			for round := range rounds {
				p := testenv.Start(t, testenv.Options{Env: env, Dir: dir, Timeout: 30 * time.Second})
				var senders sync.WaitGroup
				for s := range 16 {
					senders.Go(func() {
						for n := 0; ; n++ {
							id := deliveryID(round, s<<32|n)
							status := deliver(p.URL, secret, id, pullRequest(n%200))
							mu.Lock()
							sent++
							if status == 202 {
								acknowledged[id] = true
							}
							mu.Unlock()
							if status == 0 { // killed
								return
							}
						}
					})
				}
				time.Sleep(50*time.Millisecond + rand.N(400*time.Millisecond))
				p.Kill(t)
				senders.Wait()
			}

			p := testenv.Start(t, testenv.Options{Env: env, Dir: dir, Timeout: 30 * time.Second})
			eventually(t, 90*time.Second, "everything is processed", func() bool { return askStats(t, p).QueueLength == 0 })
			if code, _ := p.Stop(t); code != 0 {
				t.Errorf("SIGTERM at the end: exit %d, want 0", code)
			}

			if engine == "sqlite" {
				intact(t, database)
			}
			kept := keptStatuses(t, database)
			lost := 0
			for id := range acknowledged {
				if len(kept[id]) == 0 {
					lost++
				}
			}
			doubled := 0
			for _, rows := range kept {
				if len(rows) > 1 {
					doubled++
				}
			}
			summary := fmt.Sprintf("%d kills: %d sent, %d acknowledged, %d kept, %d processed",
				rounds, sent, len(acknowledged), len(kept), kept.count("processed"))
			t.Log(summary)
			if lost > 0 || doubled > 0 || kept.count("processed") != len(kept) {
				t.Errorf("%s; %d acknowledged are lost, %d are there twice; want none, and all processed", summary, lost, doubled)
			}
			if len(acknowledged) < 10*rounds {
				t.Errorf("%s: too few to prove anything", summary)
			}
		})
	}
}

// deliveries are the statuses of the rows that each delivery id has.
type deliveries map[string][]string

func (d deliveries) count(status string) (n int) {
	for _, rows := range d {
		for _, s := range rows {
			if s == status {
				n++
			}
		}
	}
	return n
}

// keptStatuses reads the inbox of a service that has ended, with nothing of its own code.
func keptStatuses(t *testing.T, database string) deliveries {
	t.Helper()
	db := testenv.Open(t, database)
	defer db.Close()
	rows, err := db.Query("SELECT delivery_id, status FROM webhook_logs")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	kept := deliveries{}
	for rows.Next() {
		var id, status string
		if err := rows.Scan(&id, &status); err != nil {
			t.Fatal(err)
		}
		kept[id] = append(kept[id], status)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return kept
}
