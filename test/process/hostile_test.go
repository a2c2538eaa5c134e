package process

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A dump is SQL, whoever has written it: what psql does beyond that, such as to run a program, it does not do for a file.
func TestADumpRunsNoProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	k := newKeeper(t, testenv.Postgres(t), 2)
	path := k.backup("--plain")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	good = regexp.MustCompile(`(?m)^\\(un)?restrict .*\n`).ReplaceAll(good, nil) // an attacker leaves that out
	sign := filepath.Join(t.TempDir(), "was-here")
	evil := filepath.Join(t.TempDir(), "evil.sql")
	for name, command := range map[string]string{
		"a line":                `\! touch ` + sign + "\n",
		"after SQL":             `SELECT 1 \! touch ` + sign + "\n",
		"a pipe":                `SELECT 1 \g |touch ` + sign + "\n",
		"a copy":                `\copy (SELECT 1) TO PROGRAM 'touch ` + sign + "'\n",
		"backquotes":            "\\set x `touch " + sign + "`\n",
		"where data seem to be": "/*\nCOPY public.webhook_logs (id) FROM stdin;\n*/ SELECT 1; \\! touch " + sign + "\n\\.\n",
	} {
		i := bytes.Index(good, []byte("CREATE TABLE "))
		text := bytes.Join([][]byte{good[:i], []byte(command), good[i:]}, nil)
		for _, text := range [][]byte{text, text[bytes.IndexByte(text, '\n')+1:]} { // ours, and somebody else's
			if err := os.WriteFile(evil, text, 0o600); err != nil {
				t.Fatal(err)
			}
			got := k.run("restore", "--replace", evil)
			if _, err := os.Stat(sign); err == nil {
				t.Errorf("%s: the dump ran a program:\n%s%s", name, got.Stdout, got.Stderr)
				_ = os.Remove(sign)
			}
		}
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // what is set aside is called by its second
	k.must("restore", "--replace", path)
	if got := k.rows()["webhook_logs"]; got != 2 {
		t.Errorf("%d deliveries after the restore of the good one, want 2", got)
	}
}

// However many requests are sent by halves, HAProxy stays within half of the memory that its container has: beyond that the
// kernel would end it, and with it the way in for everybody.
func TestHAProxyBuffersFitIntoItsContainer(t *testing.T) {
	number := func(file, pattern string) int {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(pattern).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s has no %s", file, pattern)
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	config := testenv.HAProxyConfig(t)
	size, most := number(config, `(?m)^ *tune\.bufsize +(\d+)`), number(config, `(?m)^ *tune\.buffers\.limit +(\d+)`)
	limit := number(filepath.Join(testenv.Root(t), "docker-compose.production.yml"), `(?s)\n  haproxy:\n.*?mem_limit: (\d+)m`)
	if size*most > limit<<20/2 {
		t.Errorf("%d buffers of %d bytes are more than half of %d MB", most, size, limit)
	}
}

// A clock that has jumped ahead for one backup does not cost those that are there; and once it is right again, the one from
// the future is not taken for the newest.
func TestABackupFromTheFuture(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	k := newKeeper(t, testenv.SQLite(t), 1)
	good := k.backup()
	old := make([]string, 5)
	for i := range old { // as if the clock said 2026 and were right, and five backups of last month were there
		old[i] = filepath.Join(k.dir, time.Now().Add(time.Duration(-i-40*24)*time.Hour).UTC().Format("github-pr-manager-20060102T150405Z.db.gz"))
		if err := os.Rename(good, old[i]); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(old[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(good, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(good); err != nil {
		t.Fatal(err)
	}
	k.backup("--keep", "30d")
	if left, err := filepath.Glob(filepath.Join(k.dir, "*.db.gz")); err != nil || len(left) != 3 {
		t.Errorf("%d backups are left, want 3: %v %v", len(left), left, err)
	}
	if err := os.Rename(old[0], filepath.Join(k.dir, time.Now().AddDate(1, 0, 0).UTC().Format("github-pr-manager-20060102T150405Z.db.gz"))); err != nil {
		t.Fatal(err)
	}
	k.refused("is from the future", "restore", "--replace", k.dir)
	k.must("restore", "--replace", old[1])
}
