package process

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A database with a hundred thousand deliveries is backed up, restored and moved in minutes at most. The short form has
// fewer; the times are printed.
func TestAGrownDatabase(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	n := testenv.Pick(5000, 100_000)
	k := newKeeper(t, testenv.SQLite(t), 0)
	db := testenv.Open(t, k.url)
	body := make([]byte, 3000) // compressed already, as bodies are
	_, _ = rand.Read(body)     // never fails
	if _, err := db.Exec(`
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
INSERT INTO webhook_logs (delivery_id, event, repo_id, number, status, received_at, last_seen_at, processed_at, body_sha256, hint, body)
SELECT printf('%08x-0000-4000-8000-%012x', n, n), 'pull_request', 1296269, n % 2000, 'processed', 1764000000000000 + n, 1764000000000000 + n, 1764000000000000 + n,
  randomblob(32), '{"event":"pull_request","action":"synchronize"}', $2 FROM numbers`, n, body); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
INSERT INTO changes (at, kind, key, text) SELECT 1764000000000000 + n, 'pull', 'pr:1#1', 'a sentence about a pull request' FROM numbers`, n); err != nil {
		t.Fatal(err)
	}
	db.Close()
	from, limit := k.url, 5*time.Minute
	took := func(what string, args ...string) {
		t.Helper()
		began := time.Now()
		p := testenv.Start(t, testenv.Options{Args: args, Env: k.env, NoWait: true})
		if code := p.Wait(t, limit); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", what, code, p.Logs())
		}
		d := time.Since(began)
		if t.Logf("%d deliveries: %s took %s", n, what, d.Round(10*time.Millisecond)); d > limit {
			t.Errorf("%s took longer than %s", what, limit)
		}
	}
	size := func(pattern string) {
		if info, err := os.Stat(pattern); err == nil {
			t.Logf("%s: %d MB", pattern[strings.LastIndexByte(pattern, '.'):], info.Size()>>20)
		}
	}
	took("a backup of SQLite", "backup", "--to", k.dir)
	took("its restore", "restore", "--replace", k.dir)
	k.url = testenv.Postgres(t)
	k.env = []string{"DATABASE_URL=" + k.url}
	took("the move to PostgreSQL", "migrate", "--from", from)
	k.dir += "-pg"
	path := ""
	took("a backup of PostgreSQL", "backup", "--to", k.dir)
	if list, err := os.ReadDir(k.dir); err == nil && len(list) > 0 {
		path = k.dir + "/" + list[0].Name()
	}
	size(strings.TrimPrefix(from, "sqlite:"))
	size(path)
	took("its restore", "restore", "--replace", k.dir)
	if got := k.rows()["webhook_logs"]; got != n {
		t.Errorf("%d deliveries in the end, want %d", got, n)
	}
}
