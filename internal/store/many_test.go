package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// An inbox that has grown for a month: statistics, claims and intake cost what waits, not what was; and what is
// forgotten is forgotten in batches that are in nobody's way. TEST_LONG=1 fills it with five million deliveries on PostgreSQL.
func TestManyRows(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a database")
	}
	rows, statsWithin, claimWithin := 200_000, 100*time.Millisecond, 20*time.Millisecond
	if testenv.Long() {
		rows = 5_000_000
		t.Run("postgres", func(t *testing.T) { manyRows(t, newWorld(t, testenv.Postgres(t)), rows, statsWithin, claimWithin) })
		return
	}
	worlds(t, func(t *testing.T, w *world) { manyRows(t, w, rows, statsWithin, claimWithin) })
}

func manyRows(t *testing.T, w *world, rows int, statsWithin, claimWithin time.Duration) {
	long := testenv.Long()
	const keys, perKey = 5000, 4 // of the keys that wait, each with this many deliveries
	const received, dead, days = 2000, 500, 40
	began := time.Now()
	waiting := keys*perKey + received + dead
	first := w.now().Add(-days * 24 * time.Hour).UnixMicro()
	step := (days * 24 * time.Hour).Microseconds() / int64(rows)
	fill := func(from, to int, status, workKey string) {
		t.Helper()
		at := fmt.Sprintf("%d + n.i * %d", first, step)
		hash, body := "x'"+strings.Repeat("00", 32)+"'", "zeroblob(60)"
		series := fmt.Sprintf("(WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n) AS n", from, to-1)
		if w.engine == "postgres" {
			hash, body = "decode(repeat('00', 32), 'hex')", "decode(repeat('00', 60), 'hex')"
			series = fmt.Sprintf("generate_series(CAST(%d AS bigint), %d) AS n(i)", from, to-1)
		}
		done := "NULL"
		if status == "processed" {
			done = at
		}
		w.run(fmt.Sprintf(`INSERT INTO webhook_logs (delivery_id, event, action, repository, repo_id, number, sender, status, attempts, received_at, last_seen_at,
  taken_at, processed_at, work_gen, work_key, body_sha256, headers, hint, body)
SELECT 'many-' || n.i, 'check_run', 'completed', 'octo/app', %d, n.i %% %d + 1, 'octocat', '%s', 1, %s, %s, %s, %s, 1, %s, %s,
  '{"X-Github-Event":"check_run"}', '{"Event":"check_run","Action":"completed","Repo":{"ID":%d,"Owner":"octo","Name":"app"}}', %s FROM %s`,
			repoID, keys, status, at, at, at, done, workKey, hash, repoID, body, series))
	}
	key := fmt.Sprintf("'pr:%d#' || (n.i %% %d + 1)", repoID, keys)
	const chunk = 250_000
	for from := 0; from < rows-waiting; from += chunk {
		fill(from, min(from+chunk, rows-waiting), "processed", key)
	}
	fill(rows-waiting, rows-waiting+keys*perKey, "queued", key)
	fill(rows-waiting+keys*perKey, rows-dead, "received", "NULL")
	fill(rows-dead, rows, "dead", key)
	w.run(fmt.Sprintf(`INSERT INTO repositories (id, owner, name, updated_at) VALUES (%d, 'octo', 'app', 1)`, repoID))
	n := "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " + fmt.Sprint(keys) + ") SELECT i FROM n) AS n"
	w.run(fmt.Sprintf(`INSERT INTO work (key, repo_id, number, scope, gen, due_at, ready_at, prio, first_due_at)
SELECT 'pr:%d#' || n.i, %d, n.i, 'token', 1, %d + n.i, %d + n.i, n.i %% 4, %d FROM %s`, repoID, repoID, first, first, first, n))
	for e := range 16 {
		w.run(fmt.Sprintf(`INSERT INTO counters (slot, event, received, processed) VALUES (%d, 'check_run', %d, %d)`, e, rows/16, rows/16))
	}
	if w.engine == "postgres" { // as its own upkeep would have done in a month
		if _, err := w.db.ExecContext(w.ctx, `VACUUM (ANALYZE) webhook_logs`); err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.ExecContext(w.ctx, `ANALYZE`); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("filled with %d deliveries, %d of them waiting, in %v", rows, waiting, time.Since(began).Round(time.Second))

	for _, st := range []*statement{countReceived, countQueued, countDead, oldestReceived} {
		if plan := w.plan(st); strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "SCAN webhook_logs\n") || !strings.Contains(plan, "webhook_logs_") {
			t.Errorf("%s reads the whole table:\n%s", st.name, plan)
		}
	}
	measure := func(what string, times int, within time.Duration, do func(i int) error) {
		t.Helper()
		var took []time.Duration
		for i := range times {
			began := time.Now()
			if err := do(i); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		high := took[len(took)*99/100]
		t.Logf("%s: p50 %v, p99 %v, slowest %v of %d", what, took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond),
			took[len(took)-1].Round(10*time.Microsecond), times)
		// The short form runs beside the whole suite: the plans above are what it can tell, time is for the long form.
		if long && high > within {
			t.Errorf("%s: nearly all within %v with %d rows, want at most %v", what, high, rows, within)
		}
	}
	stats := func(int) error {
		s, err := w.Stats(w.ctx)
		if err == nil && s.QueueLength == 0 {
			return fmt.Errorf("statistics of nothing: %+v", s)
		}
		return err
	}
	claim := func(int) error {
		_, ok, err := w.Claim(w.ctx, "worker", lease, "")
		if err == nil && !ok {
			return fmt.Errorf("nothing to claim")
		}
		return err
	}
	s, err := w.Stats(w.ctx)
	if err != nil || s.QueueLength != keys*perKey+received || s.Dead != dead || s.Due != keys {
		t.Fatalf("Stats = queue %d, dead %d, due %d, %v; want %d, %d, %d", s.QueueLength, s.Dead, s.Due, err, keys*perKey+received, dead, keys)
	}
	measure("statistics", 50, statsWithin, stats)
	measure("claim", 500, claimWithin, claim)
	measure("newest deliveries", 50, statsWithin, func(int) error { _, err := w.Deliveries(w.ctx, 50); return err })
	measure("intake of 100", 10, 2*time.Second, func(int) error { _, _, err := w.Intake(w.ctx, pull.Taking{Limit: 100}, byNumber); return err })

	// A quarter is older than the retention, and all of it goes while the service works.
	purged := make(chan error, 1)
	before := w.number(`SELECT count(*) FROM webhook_logs`)
	batches := 0
	w.setHook(func(op string, committed bool) error {
		if op == "purge" && committed {
			batches++ // by the one goroutine that purges
		}
		return nil
	})
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	began = time.Now()
	go func() {
		_, err := w.Purge(ctx, 30*24*time.Hour)
		purged <- err
	}()
	var took, inserts []time.Duration
	for i, over := 0, false; !over; i++ {
		select {
		case err := <-purged:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		default:
		}
		began := time.Now()
		if _, ok, err := w.Claim(w.ctx, "worker", lease, ""); err != nil || !ok && i < keys-600 {
			t.Fatalf("Claim beside the purge = %v, %v", ok, err)
		}
		took = append(took, time.Since(began))
		began = time.Now()
		w.insert(w.delivery(fmt.Sprint("beside-", i), 1))
		inserts = append(inserts, time.Since(began))
	}
	slices.Sort(took)
	slices.Sort(inserts)
	gone := before + int64(len(inserts)) - w.number(`SELECT count(*) FROM webhook_logs`)
	t.Logf("purge of %d rows in %v, %d batches; beside it %d claims: p50 %v, p99 %v, slowest %v; as many deliveries kept: p99 %v",
		gone, time.Since(began).Round(time.Millisecond), batches, len(took), took[len(took)/2].Round(10*time.Microsecond),
		took[len(took)*99/100].Round(10*time.Microsecond), took[len(took)-1].Round(time.Millisecond), inserts[len(inserts)*99/100].Round(10*time.Microsecond))
	if gone < int64(rows/4-waiting-rows/100) || batches < rows/4/purgeBatch {
		t.Errorf("%d of %d rows were forgotten in %d batches, want a quarter in batches of at most %d", gone, rows, batches, purgeBatch)
	}
	if p90 := took[len(took)*9/10]; long && p90 > 2*claimWithin {
		t.Errorf("a claim takes %v (p90) beside the purge, want at most %v", p90, 2*claimWithin)
	}
	measure("statistics after the purge", 50, statsWithin, stats)
}
