package backup

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	at := time.Date(2026, 11, 25, 13, 15, 0, 0, time.UTC)
	for _, tt := range []struct {
		engine string
		packed bool
		want   string
	}{
		{"postgres", true, "github-pr-manager-20261125T131500Z.sql.gz"},
		{"postgres", false, "github-pr-manager-20261125T131500Z.sql"},
		{"sqlite", true, "github-pr-manager-20261125T131500Z.db.gz"},
	} {
		name := nameOf(at, tt.engine, tt.packed)
		if got, ok := when(name); name != tt.want || !ok || !got.Equal(at) {
			t.Errorf("%s is called %s, and is of %s, %v", tt.engine, name, got, ok)
		}
	}
	for _, name := range []string{
		"", "github-pr-manager.db", "github-pr-manager-20261125T131500Z.db.gz.sha256", ".github-pr-manager-1.tmp", "github-pr-manager-20261325T131500Z.sql",
		"github-pr-manager-20261125T131500Z.sql.gz.part", "my-github-pr-manager-20261125T131500Z.sql",
	} {
		if at, ok := when(name); ok {
			t.Errorf("%q is taken for a backup of %s", name, at)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "2w": 336 * time.Hour, "1h": time.Hour, "90m": 90 * time.Minute} {
		if got, err := Duration(text); err != nil || got != want {
			t.Errorf("Duration(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "30", "d", "-1d", "0d", "-1h", "1.5d", "99999999d", "soon"} {
		if got, err := Duration(text); err == nil {
			t.Errorf("Duration(%q) = %s, want an error", text, got)
		}
	}
}

// The newest stays whatever --keep says, and so does what has another name.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 25, 13, 0, 0, 0, time.UTC)
	for _, name := range []string{
		"github-pr-manager-20261125T130000Z.sql.gz", "github-pr-manager-20261120T130000Z.sql.gz", "github-pr-manager-20261101T130000Z.sql.gz",
		"github-pr-manager-20261101T130000Z.sql.gz.sha256", "weekly_backup.sql", "github-pr-manager-notes",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		keep string
		left int
	}{{"30d", 6}, {"10d", 4}, {"1h", 3}, {"1s", 3}} {
		keep, err := Duration(tt.keep)
		if err != nil {
			t.Fatal(err)
		}
		taker, err := New(Options{To: dir, Keep: keep, Getenv: os.Getenv})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := taker.prune(t.Context(), "github-pr-manager-20261125T130000Z.sql.gz", now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != tt.left {
			t.Errorf("--keep %s leaves %v, %v; want %d", tt.keep, left, err, tt.left)
		}
	}
}

// However a dump comes in pieces, it comes out as it was, and the same is found in it.
func TestADumpInPieces(t *testing.T) {
	long := strings.Repeat("x", 3*longestPiece)
	text := "--\n-- PostgreSQL database dump\n--\n\nSET transaction_timeout = 0;\nCREATE TABLE public.webhook_logs (\n);\n" +
		"ALTER TABLE public.webhook_logs OWNER TO somebody;\nCOPY public.schema_migrations (version, name, applied_at) FROM stdin;\n1\tx\t0\n2\ty\t0\n\\.\n" +
		"COPY public.webhook_logs (seq, body) FROM stdin;\n1\t" + long + "\n2\tALTER TABLE x OWNER TO y;\n3\t\\\\.\n\\.\n--\n-- PostgreSQL database dump complete\n--\n"
	want := strings.Replace(strings.Replace(text, "SET transaction_timeout = 0;\n", "", 1), "ALTER TABLE public.webhook_logs OWNER TO somebody;\n", "", 1)
	for _, size := range []int{1, 7, 4096, len(text)} {
		var out bytes.Buffer
		s := newScanner()
		l := &lines{each: func(piece []byte) error {
			if s.line(piece) == pass {
				out.Write(piece)
			}
			return nil
		}}
		for part := range slices.Chunk([]byte(text), size) {
			if _, err := l.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.end(); err != nil || out.String() != want {
			t.Errorf("in pieces of %d bytes: %v, %d bytes come out, want %d", size, err, out.Len(), len(want))
		}
		if d := s.found(); !d.whole || d.schema != 2 || d.rows != 3 || d.in != "public" || d.usable() != nil {
			t.Errorf("in pieces of %d bytes: %+v, %v", size, d, d.usable())
		}
	}
}

// The password goes by the environment, and what only our driver knows does not go at all.
func TestHowPostgreSQLsProgramsAreCalled(t *testing.T) {
	cmd, err := command(t.Context(), "/usr/bin/psql", "postgres://app:s3cret%2F@db:5433/github_agent?sslmode=disable&pool_max_conns=4&search_path=here", func(string) string { return "" }, "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	args, env := strings.Join(cmd.Args, " "), strings.Join(cmd.Env, "\n")
	if strings.Contains(args, "s3cret") || !strings.Contains(env, "\nPGPASSWORD=s3cret/") {
		t.Errorf("the password is not where it belongs: %s", args)
	}
	if want := "--dbname=postgres://app@db:5433/github_agent?connect_timeout=10&sslmode=disable"; !strings.Contains(args, want) {
		t.Errorf("%s\nwant %s", args, want)
	}
	if !strings.Contains(env, "PGOPTIONS=-c search_path=here") {
		t.Errorf("a setting of the session is lost:\n%s", env)
	}
}

func TestPlacesThatAreNone(t *testing.T) {
	env := map[string]string{}
	getenv := func(name string) string { return env[name] }
	for _, tt := range []struct{ address, key, url, want string }{
		{"", "", "", "no place is named"},
		{"ftp://x/y", "", "", "can't go to ftp://"},
		{"s3://", "", "", "names no bucket"},
		{"s3://KEY:SECRET@bucket/x", "", "", "keys and hosts don't belong"},
		{"s3://bucket/x", "id", "", "belong together"},
		{"s3://bucket/x", "", "not an address", "AWS_ENDPOINT_URL is no address"},
	} {
		env = map[string]string{"AWS_ACCESS_KEY_ID": tt.key, "AWS_ENDPOINT_URL": tt.url}
		if _, err := OpenTarget(tt.address, getenv); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET@") {
			t.Errorf("%q: %v, want %q", tt.address, err, tt.want)
		}
	}
}
