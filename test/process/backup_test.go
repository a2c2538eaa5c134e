package process

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A keeper is a database with deliveries in it, and the commands on it.
type keeper struct {
	t   *testing.T
	url string
	env []string
	dir string // of backups
}

func newKeeper(t *testing.T, url string, deliveries int) *keeper {
	t.Helper()
	k := &keeper{t: t, url: url, env: []string{"DATABASE_URL=" + url}, dir: filepath.Join(t.TempDir(), "backups")}
	k.must("migrate", "up")
	if deliveries > 0 {
		k.send(0, deliveries)
	}
	return k
}

// send lets a service keep deliveries.
func (k *keeper) send(from, to int) {
	k.t.Helper()
	p := testenv.Start(k.t, testenv.Options{Env: append([]string{"WEBHOOK_SECRET=" + secret}, k.env...)})
	for i := from; i < to; i++ {
		keep(k.t, p, i)
	}
	p.Kill(k.t) // which is what comes before most restores
}

// keep has the service keep a delivery whose body is hard on whatever copies it.
func keep(t *testing.T, p *testenv.Process, i int) {
	t.Helper()
	body := fmt.Sprintf(`{"action":"opened","number":%d,"pull_request":{"number":%d},"repository":{"id":42,"name":"app","full_name":"octo/app","owner":{"login":"octo"}},"text":"tab\t, slash \\, nul \u0000, quote '"}`, i, i)
	req, err := testenv.Webhook(context.Background(), p.URL, secret, "pull_request", fmt.Sprintf("delivery-%04d", i), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 202 {
		t.Fatalf("delivery %d: %s", i, resp.Status)
	}
}

func (k *keeper) run(args ...string) testenv.Result { return testenv.Run(k.t, k.env, "", args...) }

func (k *keeper) must(args ...string) string {
	k.t.Helper()
	r := k.run(args...)
	if r.Code != 0 {
		k.t.Fatalf("%v: exit code %d\n%s%s", args, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// refused wants a command to say no, in words.
func (k *keeper) refused(want string, args ...string) {
	k.t.Helper()
	r := k.run(args...)
	if r.Code != 1 || !strings.Contains(r.Stderr, want) || strings.Count(r.Stderr, "\n") != 1 {
		k.t.Errorf("%v: exit code %d, want 1 and one line with %q:\n%s%s", args, r.Code, want, r.Stdout, r.Stderr)
	}
}

// backup takes one, and returns its path.
func (k *keeper) backup(args ...string) string {
	k.t.Helper()
	var out struct{ Target string }
	text := k.must(append([]string{"backup", "--json", "--to", k.dir}, args...)...)
	if err := json.Unmarshal([]byte(text), &out); err != nil || out.Target == "" {
		k.t.Fatalf("backup --json: %v\n%s", err, text)
	}
	return out.Target
}

// rows are all tables and what is in them.
func (k *keeper) rows() map[string]int {
	k.t.Helper()
	db := testenv.Open(k.t, k.url)
	defer db.Close()
	query := `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
	if strings.HasPrefix(k.url, "sqlite:") {
		query = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	}
	out := map[string]int{}
	for _, name := range texts(k.t, db, query) {
		var n int
		if err := db.QueryRow(`SELECT count(*) FROM ` + name).Scan(&n); err != nil {
			k.t.Fatal(err)
		}
		out[name] = n
	}
	return out
}

func texts(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBackupAndRestore(t *testing.T) {
	testenv.Engines(t, func(t *testing.T, url string) {
		k := newKeeper(t, url, 30)
		before := k.rows()
		path := k.backup()
		if out, err := exec.Command("sh", "-c", `cd "$0" && sha256sum -c *.sha256`, k.dir).CombinedOutput(); err != nil {
			t.Errorf("sha256sum -c: %v\n%s", err, out)
		}
		for _, name := range []string{path, path + ".sha256"} {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v, want a file for its owner's eyes only", name, info.Mode(), err)
			}
		}
		k.must("backup", "verify", path)
		k.send(30, 40)
		k.refused("--replace", "restore", path)
		if got := k.rows()["webhook_logs"]; got != 40 {
			t.Errorf("a refused restore left %d deliveries, want 40", got)
		}
		out := k.must("restore", "--replace", k.dir)
		if !strings.Contains(out, "before") {
			t.Errorf("restore does not say where what was there is:\n%s", out)
		}
		after := k.rows()
		before["audits"]++ // the restore
		before["settings"] = after["settings"]
		for name, n := range before {
			if after[name] != n {
				t.Errorf("%s has %d rows after the restore, want %d", name, after[name], n)
			}
		}
		k.send(40, 45) // it goes on
		if got := k.rows()["webhook_logs"]; got != 35 {
			t.Errorf("%d deliveries, want 35", got)
		}
	})
}

// A bucket is a place like any other: a real server that checks signatures.
func TestBackupToS3(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an S3 server")
	}
	s3 := testenv.S3(t, "ops")
	k := newKeeper(t, testenv.SQLite(t), 5)
	plain := k.env
	k.env = append(k.env, s3.Environ()...)
	k.dir = "s3://ops/pr-manager"
	first := k.backup()
	if !strings.HasPrefix(first, "s3://ops/pr-manager/github-pr-manager-") {
		t.Errorf("the backup is at %s", first)
	}
	if out, err := exec.Command("sh", "-c", `cd "$0" && sha256sum -c *.sha256`, filepath.Join(s3.Dir, "ops", "pr-manager")).CombinedOutput(); err != nil {
		t.Errorf("sha256sum -c of what the server has: %v\n%s", err, out)
	}
	k.must("backup", "verify", first)
	if out := k.must("backup", "list", k.dir); !strings.Contains(out, first) || strings.Contains(out, "missing") {
		t.Errorf("list:\n%s", out)
	}
	k.send(5, 8)
	k.must("restore", "--replace", k.dir+"/")
	if got := k.rows()["webhook_logs"]; got != 5 {
		t.Errorf("%d deliveries, want 5", got)
	}
	// Only what is older goes, and only what has such a name.
	other := filepath.Join(s3.Dir, "ops", "pr-manager", "github-pr-manager-notes.txt")
	old := filepath.Join(s3.Dir, "ops", "pr-manager", "github-pr-manager-20200101T000000Z.db.gz")
	for _, path := range []string{other, old} {
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k.backup("--keep", "30d")
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("a backup of 2020 is still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("somebody else's file: %v", err)
	}
	// What is uploaded is damaged on the server: it is found before anything is touched.
	path := filepath.Join(s3.Dir, strings.TrimPrefix(first, "s3://"))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	k.refused("", "restore", "--replace", first)
	k.refused("", "backup", "verify", first)
	if got := k.rows()["webhook_logs"]; got != 5 {
		t.Errorf("%d deliveries after a refused restore, want 5", got)
	}

	k.refused("there is no backup s3://ops/pr-manager/nothing.db", "restore", "--replace", "s3://ops/pr-manager/nothing.db")
	k.refused("no such bucket", "backup", "--to", "s3://nowhere/x")
	k.env = append(plain, "AWS_ENDPOINT_URL="+s3.URL, "AWS_ACCESS_KEY_ID="+s3.Key, "AWS_SECRET_ACCESS_KEY=another-one-altogether")
	k.refused("the keys are not accepted", "backup", "--to", "s3://ops/x")
	k.env = append(plain, "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")
	k.refused("it can't be reached: connect: connection refused", "backup", "--to", "s3://ops/x")
}
