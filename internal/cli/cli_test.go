package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// canary is part of every secret that these tests plant, so that one search finds a leak of any.
const canary = "canary-0123456789abcdef"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		program: func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
		},
	})
}

// TestScripts runs testdata/*.txtar: the commands as a person meets them. $URL is a service of this test's own; it
// answers as the service does, from what it is asked.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			service := httptest.NewServer(http.HandlerFunc(echo))
			e.Defer(service.Close)
			e.Setenv("URL", service.URL)
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Defer(func() { taken.Close() })
			e.Setenv("TAKEN", strconv.Itoa(taken.Addr().(*net.TCPAddr).Port))
			e.Setenv("CANARY", canary)
			// A script's files end in a newline, which would be signed too.
			return os.WriteFile(filepath.Join(e.WorkDir, "hello"), []byte("Hello, World!"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// code N COMMAND…: the command ends with this exit code, and what it prints shows no canary.
			"code": code,
			// lines stdout|stderr N: an error is one line.
			"lines": lines,
		},
	})
}

// code runs the program with the script's environment and checks the exit code. Its output is then
// there for stdout and stderr, and in no case holds a secret.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: code N ARGUMENTS…")
	}
	err := ts.Exec(program, args[1:]...)
	got := 0
	if err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%s %s: %v", program, strings.Join(args[1:], " "), err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%s %s: exit code %d, want %s", program, strings.Join(args[1:], " "), got, args[0])
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if strings.Contains(ts.ReadFile(stream), canary) {
			ts.Fatalf("%s %s: %s shows a secret", program, strings.Join(args[1:], " "), stream)
		}
	}
}

// lines checks how many lines a stream has: an error is one line.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines stdout|stderr N")
	}
	if got := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(got) != args[1] {
		ts.Fatalf("%s has %d lines, want %s:\n%s", args[0], got, args[1], ts.ReadFile(args[0]))
	}
}

// echo is a service as commands that ask one need it.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case "/webhook":
		h := r.Header
		if h.Get("X-GitHub-Event") == "refused" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintln(w, `{"error":"the signature is missing or wrong"}`)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"status":"accepted","delivery_id":%q,"event":%q,"type":%q,"signature":%q,"body":%q}`+"\n",
			h.Get("X-GitHub-Delivery"), h.Get("X-GitHub-Event"), h.Get("Content-Type"), h.Get("X-Hub-Signature-256"), body)
	case "/health":
		fmt.Fprintln(w, `{"status":"degraded","checks":{"secret":"none"}}`)
	case "/ready":
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, `{"status":"not_ready","checks":{"secret":"none"}}`)
	case "/moved":
		http.Redirect(w, r, "/webhook", http.StatusMovedPermanently)
	default:
		http.NotFound(w, r)
	}
}

// run runs the program in this process, in a directory of its own.
func run(t *testing.T, environ []string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	var out, errs bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(stdin), &out, &errs, environ)
	return code, out.String(), errs.String()
}

// TestWrongVariables: each wrong variable ends each command that reads it with one line and exit code 2, and shows no
// secret. What the lines say is tested where they are made, in package app.
func TestWrongVariables(t *testing.T) {
	wrong := []string{
		"PORT=x", "HOST=http://x", "WEBHOOK_SECRET=" + canary[:8], "WEBHOOK_SECRET=" + canary + ",", "WEBHOOK_SECRET_FILE=absent",
		"WEBHOOK_SIGNATURE_VALIDATION=perhaps", "WEBHOOK_SIGNATURE_VALIDATION=false", "GITHUB_TOKEN=a " + canary, "GITHUB_TOKEN_FILE=absent",
		"GITHUB_APP_ID=1", "GITHUB_PRIVATE_KEY=" + canary, "GITHUB_API_URL=https://u:" + canary + "@x", "PUBLIC_URL=x", "TRUSTED_PROXIES=x",
		"GITHUB_REPOSITORY=x", "DATABASE_URL=mysql://u:" + canary + "@x/y", "DATABASE_URL_FILE=absent", "REDIS_URL=http://u:" + canary + "@x",
		"WEBHOOK_QUEUE_KEY=a b", "WORKERS=0", "LEASE=1", "SWEEP_INTERVAL=x", "AUDIT_INTERVAL=-5m", "DASHBOARD_ORIGIN=*",
		"DASHBOARD_TOKEN=a " + canary, "DASHBOARD_TOKEN_FILE=absent", "RATE_LIMIT_ENABLED=x", "RATE_LIMIT_MAX_REQUESTS=0", "RATE_LIMIT_WINDOW_MS=x", "LOG_LEVEL=x",
		"LOG_FORMAT=x", "TLS_CERT_FILE=absent", "TLS_KEY_FILE=absent", "RETENTION_DAYS=0", "AGENTS_ENABLED=x",
	}
	for _, variable := range wrong {
		name, _, _ := strings.Cut(variable, "=")
		for _, args := range [][]string{{"serve"}, {"migrate", "status"}, {"migrate", "up"}, {"explain", "o/r#1"}, {"healthcheck"}, {"queue", "status"}, {"deliveries", "list"}, {"setup", "--webhook-url", "https://x.example"}} {
			environ := []string{variable}
			if name == "GITHUB_PRIVATE_KEY" {
				environ = append(environ, "GITHUB_APP_ID=1")
			}
			code, stdout, stderr := run(t, environ, "", args...)
			shown := strings.ReplaceAll(variable, canary, "…")
			if code != exitUsage || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, program+": "+name+" ") || stdout != "" {
				t.Errorf("%s %s: exit code %d, stdout %q, stderr %q, want 2 and one line about %s", shown, args, code, stdout, stderr, name)
			}
			if strings.Contains(stderr, canary) {
				t.Errorf("%s %s shows the secret: %s", shown, args, stderr)
			}
		}
	}
}

// TestWarnings: a near miss is told of, without its value, and stops nothing.
func TestWarnings(t *testing.T) {
	code, _, stderr := run(t, []string{"WEBHOK_SECRET=" + canary}, "", "migrate", "status")
	if code != exitNo || !strings.Contains(stderr, "warning: WEBHOK_SECRET is not a variable of this program and is ignored: did you mean WEBHOOK_SECRET?") || strings.Contains(stderr, canary) {
		t.Errorf("exit code %d, stderr %s", code, stderr)
	}
}

// TestEveryCommandHelps: every command has a description, an example that begins with the program's name or sets a
// variable, and --json where it lists or shows.
func TestEveryCommandHelps(t *testing.T) {
	root := (&world{}).root()
	shows := map[string]bool{"version": true, "check": true, "explain": true, "sign": true, "send": true, "healthcheck": true, "status": true, "up": true, "setup": true, "list": true, "show": true, "process": true}
	commands := append(root.Commands(), root.Commands()[0].Commands()...)
	for i := 0; i < len(commands); i++ {
		c := commands[i]
		commands = append(commands, c.Commands()...)
		if c.Name() == "completion" || (c.HasParent() && c.Parent().Name() == "completion") {
			continue
		}
		if c.Short == "" || c.Example == "" || !strings.Contains(c.Example, program) {
			t.Errorf("%s: Short %q, Example %q, want both", c.CommandPath(), c.Short, c.Example)
		}
		if shows[c.Name()] && c.Flags().Lookup("json") == nil {
			t.Errorf("%s shows something and has no --json", c.CommandPath())
		}
		for line := range strings.Lines(c.Long) {
			if len([]rune(line)) > 121 {
				t.Errorf("%s: this line of its help has more than 120 characters: %s", c.CommandPath(), line)
			}
		}
	}
}

func TestReference(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"octo/app#7", "octo app 7"},
		{"octo-org/a.b_c#123", "octo-org a.b_c 123"},
		{"https://github.com/octo/app/pull/7", "octo app 7"},
		{"https://ghe.example.com/octo/app/pull/7/files?w=1#diff", "octo app 7"},
		{"http://127.0.0.1:4000/octo/app/pull/7/", "octo app 7"},
		{"octo/app", ""},
		{"octo/app#0", ""},
		{"octo/app#-1", ""},
		{"octo/app#99999999999", ""},
		{"octo/app/7", ""},
		{"../app#7", ""},
		{"https://github.com/octo/app/issues/7", ""},
		{"ssh://github.com/octo/app/pull/7", ""},
		{"", ""},
	} {
		owner, name, number, err := reference(tt.in)
		got := fmt.Sprintf("%s %s %d", owner, name, number)
		if err != nil {
			got = ""
		}
		if got != tt.want {
			t.Errorf("reference(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestWebsite(t *testing.T) {
	for api, want := range map[string]string{
		"https://api.github.com":         "https://github.com",
		"https://api.acme.ghe.com":       "https://acme.ghe.com",
		"https://ghe.example.com/api/v3": "https://ghe.example.com",
		"http://127.0.0.1:4000":          "http://127.0.0.1:4000",
	} {
		if got := website(api); got != want {
			t.Errorf("website(%q) = %q, want %q", api, got, want)
		}
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := newID()
		if len(id) != 36 || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) || seen[id] {
			t.Fatalf("newID() = %q, want a new random UUID", id)
		}
		seen[id] = true
	}
}

// writeFile writes a file of a test into its directory.
func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
