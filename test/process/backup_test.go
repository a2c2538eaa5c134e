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
	"time"

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
	testenv.Binary(t) // which may take a while
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
	if testing.Short() {
		t.Skip("takes seconds")
	}
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
	// Three stay, whatever their age. Each is called by its second, and none takes another's place.
	if second, third := k.backup(), k.backup(); second == first || third == second {
		t.Errorf("backups in one second have one name: %s, %s, %s", first, second, third)
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

// psql does what it is told, on and on after every error. A backup of ours is safe all the same: with no option that would help.
func TestABackupInTheHandsOfPsql(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	k := newKeeper(t, testenv.Postgres(t), 20)
	path := k.backup("--plain")
	if !strings.HasSuffix(path, ".sql") {
		t.Fatalf("a plain backup is called %s", path)
	}
	psql := func(file string) (string, error) {
		sql, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer sql.Close()
		cmd := exec.Command(testenv.PostgresTool(t, "psql"), k.url)
		cmd.Stdin = sql
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	p := testenv.Start(t, testenv.Options{Env: append([]string{"WEBHOOK_SECRET=" + secret}, k.env...)})
	for i := 20; i < 25; i++ {
		keep(t, p, i)
	}
	// A service runs: every way refuses, and nothing is changed.
	if out, err := psql(path); err == nil || !strings.Contains(out, "the service is running on this database") {
		t.Errorf("psql while a service runs: %v\n%s", err, out)
	}
	k.refused("the service is running on this database", "restore", "--replace", path)
	if _, body := get(t, p.URL+"/metrics"); !strings.Contains(body, "\ngithub_last_backup_timestamp_seconds 1.") {
		t.Error("the service does not know of the backup")
	}
	p.Kill(t)
	want := fmt.Sprint(k.rows())
	if got := k.rows()["webhook_logs"]; got != 25 {
		t.Errorf("refused, and %d deliveries are there, want 25", got)
	}
	// Cut off anywhere: nothing is changed.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.sql")
	for _, part := range []int{10, 50, 90, 99} {
		if err := os.WriteFile(cut, text[:len(text)*part/100], 0o600); err != nil {
			t.Fatal(err)
		}
		out, _ := psql(cut)
		if got := fmt.Sprint(k.rows()); got != want {
			t.Errorf("cut off at %d %%, and changed something:\n%s\nbefore:\n%s\n%s", part, got, want, out)
		}
	}
	k.refused("it has no end mark", "restore", "--replace", cut)
	// Into a database that a service has begun to use.
	if out, err := psql(path); err != nil || !strings.Contains(out, "is kept in its schema before_restore_") {
		t.Errorf("psql: %v\n%s", err, out)
	}
	if got := k.rows()["webhook_logs"]; got != 20 {
		t.Errorf("%d deliveries after psql, want 20", got)
	}
	k.send(25, 26)
	// And into one that is empty.
	k.url = testenv.Postgres(t)
	k.env = []string{"DATABASE_URL=" + k.url}
	if out, err := psql(path); err != nil {
		t.Errorf("psql into an empty database: %v\n%s", err, out)
	}
	k.send(30, 31)
	if got := k.rows()["webhook_logs"]; got != 21 {
		t.Errorf("%d deliveries, want 21", got)
	}
}

// What the operators' weekly pg_dump has written, restored by the command: into an empty database, into one that has been
// started, and never half.
func TestRestoreOfAPlainDump(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	k := newKeeper(t, testenv.Postgres(t), 12)
	dir := t.TempDir()
	dump := func(name string, args ...string) string {
		path := filepath.Join(dir, name)
		out, err := exec.Command(testenv.PostgresTool(t, "pg_dump"), append(args, "--file="+path, k.url)...).CombinedOutput()
		if err != nil {
			t.Fatalf("pg_dump: %v\n%s", err, out)
		}
		return path
	}
	weekly := dump("weekly_backup.sql")
	custom, data, create := dump("custom", "-Fc"), dump("data.sql", "--data-only"), dump("create.sql", "--create")
	clean := dump("clean.sql", "--clean", "--if-exists")
	text, err := os.ReadFile(weekly)
	if err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer.sql")
	at := strings.Index(string(text), "COPY public.schema_migrations ")
	line := at + strings.IndexByte(string(text[at:]), '\n') + 1
	if err := os.WriteFile(newer, []byte(string(text[:line])+"99\t099_later.sql\t0\n"+string(text[line:])), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.sql") // the last table can't be filled
	i := strings.LastIndex(string(text), "\n\\.\n")
	if err := os.WriteFile(broken, []byte(string(text[:i])+"\nnonsense\n\\.\n"+string(text[i+4:])), 0o600); err != nil {
		t.Fatal(err)
	}
	k.url = testenv.Postgres(t)
	k.env = []string{"DATABASE_URL=" + k.url}
	k.must("migrate", "up")
	k.send(100, 103)
	want := fmt.Sprint(k.rows())
	for file, why := range map[string]string{
		custom: "pg_restore -f backup.sql", data: "without --data-only", create: "--create", newer: "has schema 99",
		broken: "nothing was restored, and the database is as it was", filepath.Join(dir, "none.sql"): "there is no backup",
	} {
		k.refused(why, "restore", "--replace", file)
		if got := fmt.Sprint(k.rows()); got != want {
			t.Errorf("restore of %s was refused, and changed something:\n%s\nbefore:\n%s", file, got, want)
		}
	}
	k.refused("--replace", "restore", weekly)
	for _, file := range []string{weekly, clean} {
		out := k.must("restore", "--replace", file)
		if !strings.Contains(out, "No checksum") || !strings.Contains(out, "before_restore_") {
			t.Errorf("restore of %s says:\n%s", file, out)
		}
		if got := k.rows()["webhook_logs"]; got != 12 {
			t.Errorf("%d deliveries after the restore of %s, want 12", got, file)
		}
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // what is set aside is called by its second
	}
	k.send(200, 201)
}

// An SQLite file is not put back under a running service, nor over one that nobody can read, unless that is asked for.
func TestRestoreOfAnSQLiteFile(t *testing.T) {
	k := newKeeper(t, testenv.SQLite(t), 6)
	path := k.backup()
	file := strings.TrimPrefix(k.url, "sqlite:")
	p := testenv.Start(t, testenv.Options{Env: append([]string{"WEBHOOK_SECRET=" + secret}, k.env...)})
	keep(t, p, 10)
	k.refused("another service (process ", "restore", "--replace", path)
	k.must("backup", "--to", k.dir, "--keep", "30d") // beside it
	p.Kill(t)
	if got := k.rows()["webhook_logs"]; got != 7 {
		t.Errorf("%d deliveries, want 7", got)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(k.dir, "bad.db.gz")
	for _, b := range [][]byte{nil, text[:len(text)/2], []byte("not a backup at all \x00"), text[:1]} {
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		k.refused("can't be restored", "restore", "--replace", bad)
	}
	if err := os.WriteFile(path+".sha256", []byte(strings.Repeat("0", 64)+"  x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.refused("its checksum is", "restore", "--replace", path)
	if err := os.Remove(path + ".sha256"); err != nil {
		t.Fatal(err)
	}
	// The file is damaged.
	if err := os.WriteFile(file, []byte(strings.Repeat("rubbish ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	k.refused("--replace", "restore", path)
	out := k.must("restore", "--replace", path)
	if got := k.rows()["webhook_logs"]; got != 6 {
		t.Errorf("%d deliveries after the restore, want 6:\n%s", got, out)
	}
	if aside, err := filepath.Glob(file + ".before-restore-*"); err != nil || len(aside) == 0 {
		t.Errorf("nothing was set aside: %v", aside)
	}
	k.send(20, 21)
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".github-pr-manager-*")); err != nil || len(left) > 0 {
		t.Errorf("files are left behind: %v", left)
	}
}

// As a service: one backup after the other, a failed one is said and tried again, older ones go, SIGTERM ends it.
func TestBackupsEverySoOften(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	k := newKeeper(t, testenv.SQLite(t), 3)
	if err := os.Mkdir(k.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"github-pr-manager-20200101T000000Z.db.gz", "github-pr-manager-20200101T000000Z.db.gz.sha256", "20200101.db.gz"} {
		if err := os.WriteFile(filepath.Join(k.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := testenv.Start(t, testenv.Options{
		Args: []string{"backup", "--to", k.dir, "--every", "1s", "--keep", "1d"}, Env: k.env, NoWait: true,
	})
	taken := func() int {
		found, err := filepath.Glob(filepath.Join(k.dir, "github-pr-manager-*.db.gz"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	eventually(t, 20*time.Second, "three backups", func() bool { return taken() >= 3 })
	// The place is gone for a moment.
	away := k.dir + "-away"
	if err := os.Rename(k.dir, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "a failure is said", func() bool { return strings.Contains(p.Logs(), "no backup could be taken; it is tried again") })
	n := strings.Count(p.Logs(), "backup taken")
	if err := os.Remove(k.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, k.dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "it goes on", func() bool { return strings.Count(p.Logs(), "backup taken") > n })
	if code, took := p.Stop(t); code != 0 || took > 5*time.Second {
		t.Errorf("SIGTERM: exit code %d after %s, want 0 at once", code, took)
	}
	if !strings.Contains(p.Logs(), `"next":"20`) {
		t.Errorf("it does not say when the next one is:\n%s", p.Logs())
	}
	left, err := os.ReadDir(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if strings.HasPrefix(f.Name(), "github-pr-manager-2020") || strings.HasPrefix(f.Name(), ".") {
			t.Errorf("%s is still there", f.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(k.dir, "20200101.db.gz")); err != nil {
		t.Errorf("somebody else's file: %v", err)
	}
	k.must("backup", "verify", k.dir)
}

// From an SQLite file to PostgreSQL, by the command: refused where it must be, and the service goes on.
func TestMigrateFromSQLite(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	k := newKeeper(t, testenv.SQLite(t), 15)
	from := k.url
	p := testenv.Start(t, testenv.Options{Env: append([]string{"WEBHOOK_SECRET=" + secret}, k.env...)})
	to := testenv.Postgres(t)
	k.env = []string{"DATABASE_URL=" + to}
	k.refused("another service (process ", "migrate", "--from", from)
	p.Kill(t)
	before := k.rows() // of what the service has taken in by then
	k.url = to
	k.refused("there is no file", "migrate", "--from", from+".gone")
	out := k.must("migrate", "--from", from)
	if !strings.Contains(out, "counted on both sides") {
		t.Errorf("migrate --from says:\n%s", out)
	}
	after := k.rows()
	for name, n := range before {
		if after[name] != n && name != "leads" {
			t.Errorf("%s has %d rows, want %d", name, after[name], n)
		}
	}
	k.refused("not empty", "migrate", "--from", from)
	k.send(15, 18)
	if got := k.rows()["webhook_logs"]; got != 18 {
		t.Errorf("%d deliveries, want 18", got)
	}
}

// A restore that is killed, whenever that is, leaves the database as it was, or as it is to be.
func TestAKilledRestore(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	testenv.Engines(t, func(t *testing.T, url string) {
		k := newKeeper(t, url, 10)
		k.backup()
		k.send(10, 15)
		for try := range testenv.Pick(8, 60) {
			p := testenv.Start(t, testenv.Options{Args: []string{"restore", "--replace", k.dir}, Env: k.env, NoWait: true, Quiet: true})
			time.Sleep(time.Duration(try*15) * time.Millisecond)
			p.Kill(t)
			var got int
			for range 100 { // PostgreSQL may be at the end of what the dead had begun
				if got = k.rows()["webhook_logs"]; got == 10 || got == 15 {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if got != 10 && got != 15 {
				t.Fatalf("killed after %d ms: %d deliveries, want 10 or 15", try*15, got)
			}
		}
		k.must("restore", "--replace", k.dir)
		k.must("restore", "--replace", k.dir) // in the same second, as likely as not
		if got := k.rows()["webhook_logs"]; got != 10 {
			t.Errorf("%d deliveries in the end, want 10", got)
		}
		k.send(20, 21)
	})
}

// A disk that is full is said, and no half backup stays.
func TestABackupOntoAFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	disk := testenv.SmallDisk(t, 64<<10)
	testenv.Engines(t, func(t *testing.T, url string) {
		k := newKeeper(t, url, 40)
		k.dir = filepath.Join(disk.Dir, "backups")
		r := k.run("backup", "--plain", "--to", k.dir)
		if r.Code != 1 || !strings.Contains(r.Stderr, "there is no room for a backup in "+k.dir) {
			t.Errorf("exit code %d:\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		if left, err := os.ReadDir(k.dir); err != nil || len(left) > 0 {
			t.Errorf("something is left on the full disk: %v, %v", left, err)
		}
		k.refused("there is no directory", "backup", "--to", filepath.Join(disk.Dir, "not", "mounted"))
	})
}
