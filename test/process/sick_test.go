package process

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// The smoke test, the readiness test and the integration test are what an operator believes at three in the morning.
// They have to pass where all is well, and where something is not they have to say what, in words that help. Here they
// meet healthy services and sick ones, each with one illness.

const operatorToken = "a-dashboard-token-for-tests-only"

// A patient is a service, and what its operator has in hand to look at it with.
type patient struct {
	url string
	env []string // of the tools
}

// A tool is one of the three tests.
type tool struct {
	name string
	run  func(t *testing.T, p patient) testenv.Result
}

var tools = []tool{
	{"smoke", func(t *testing.T, p patient) testenv.Result {
		return testenv.Run(t, p.env, "", "smoke", "--url", p.url)
	}},
	{"readiness", func(t *testing.T, p patient) testenv.Result {
		return testenv.Run(t, p.env, "", "readiness", "--url", p.url, "--patience", "5s")
	}},
	{"integration", integration},
}

// integration runs webhook-integration-test.js.
func integration(t *testing.T, p patient) testenv.Result {
	t.Helper()
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	cmd := exec.CommandContext(ctx, filepath.Join(testenv.Root(t), "webhook-integration-test.js"))
	cmd.Dir = t.TempDir()
	cmd.Env = append(testenv.Environ(t, p.env...), "BASE_URL="+p.url)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("webhook-integration-test.js: %v\n%s%s", err, &out, &errs)
	}
	return testenv.Result{Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errs.String()}
}

// admit starts a service with one setting or another, and gives its operator the same secrets.
func admit(t *testing.T, more ...string) patient {
	t.Helper()
	p := testenv.Start(t, testenv.Options{Env: append(ward(hub(t, nil)), more...)})
	return patient{p.URL, operator(more...)}
}

// ward is the environment of a service that wants for nothing but a database.
func ward(github string) []string {
	return []string{
		"WEBHOOK_SECRET=" + secret, "DASHBOARD_TOKEN=" + operatorToken, "GITHUB_TOKEN=ghp_for_tests_only", "GITHUB_API_URL=" + github,
		"LOG_FORMAT=json", "LEASE=1s",
	}
}

// operator is the environment of whoever tests it.
func operator(more ...string) []string {
	env := []string{"WEBHOOK_SECRET=" + secret, "DASHBOARD_TOKEN=" + operatorToken}
	for _, kv := range more {
		if name, _, _ := strings.Cut(kv, "="); slices.Contains([]string{"DATABASE_URL", "REDIS_URL", "PUBLIC_URL"}, name) {
			env = append(env, kv)
		}
	}
	return env
}

// hub is a GitHub without repositories, to which the token of these tests may do everything, unless change says otherwise.
func hub(t *testing.T, change func(http.Header)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("X-Oauth-Scopes", "repo, admin:repo_hook")
		if change != nil {
			change(h)
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/rate_limit"):
			reset := time.Now().Add(time.Hour).Unix()
			fmt.Fprintf(w, `{"resources":{"core":{"limit":5000,"remaining":4999,"reset":%[1]d},"graphql":{"limit":5000,"remaining":4999,"reset":%[1]d}}}`, reset)
		case strings.HasSuffix(r.URL.Path, "/graphql"):
			fmt.Fprint(w, `{"data":{"repository":null},"errors":[{"type":"NOT_FOUND","path":["repository"],"message":"Could not resolve to a Repository."}]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"Not Found","status":"404"}`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// certified starts a service that serves a certificate, good until a moment, which its operator believes.
func certified(t *testing.T, until time.Time, more ...string) patient {
	t.Helper()
	dir := t.TempDir()
	cert, key := testenv.Certificate(t, until)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, text := range map[string]string{certFile: cert, keyFile: key} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := testenv.FreePort(t)
	address := fmt.Sprintf("https://localhost:%d", port)
	testenv.Start(t, testenv.Options{NoWait: true, Env: append(ward(hub(t, nil)), append([]string{
		fmt.Sprintf("PORT=%d", port), "TLS_CERT_FILE=" + certFile, "TLS_KEY_FILE=" + keyFile, "PUBLIC_URL=" + address,
	}, more...)...)})
	blind := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	eventually(t, 15*time.Second, "the service answers", func() bool {
		res, err := blind.Get(address + "/health")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return patient{address, append(operator(append(more, "PUBLIC_URL="+address)...), "SSL_CERT_FILE="+certFile)}
}

func TestToolsPassOnAHealthyService(t *testing.T) {
	needsNode(t)
	for _, healthy := range []struct {
		name  string
		admit func(t *testing.T) patient
	}{
		{"SQLite, TLS", func(t *testing.T) patient {
			dir := t.TempDir()
			return certified(t, time.Now().Add(60*24*time.Hour), "DATABASE_URL="+sqliteIn(dir), "DATA_DIR="+filepath.Join(dir, "data"))
		}},
		{"PostgreSQL, Redis, two replicas behind HAProxy", func(t *testing.T) patient {
			h := testenv.HAProxy(t)
			data := []string{"DATABASE_URL=" + testenv.Postgres(t), "REDIS_URL=" + testenv.Redis(t).URL, "PUBLIC_URL=" + h.TLS}
			for n := 1; n <= 2; n++ {
				// HAProxy's look at /ready is what is waited for: a replica has an address of its own.
				testenv.Start(t, testenv.Options{NoWait: true, Env: slices.Concat(ward(hub(t, nil)), data, h.Environ(n))})
			}
			h.Names("blue", 1, 2)
			h.Await(t, "blue", 2)
			return patient{h.TLS, append(operator(data...), "SSL_CERT_FILE="+h.Authority())}
		}},
	} {
		t.Run(healthy.name, func(t *testing.T) {
			t.Parallel()
			p := healthy.admit(t)
			if r := testenv.Run(t, p.env, "", "backup", "--to", t.TempDir()); r.Code != 0 { // production has one
				t.Fatalf("backup: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
			}
			for _, tool := range tools {
				t.Run(tool.name, func(t *testing.T) {
					if tool.name == "integration" && testing.Short() {
						t.Skip("waits for a heartbeat")
					}
					t.Parallel()
					began := time.Now()
					r := tool.run(t, p)
					quiet(t, p, r)
					if r.Code != 0 {
						t.Errorf("%s of a healthy service: exit %d, want 0\n%s%s", tool.name, r.Code, r.Stdout, r.Stderr)
					}
					t.Logf("%v", time.Since(began).Round(time.Millisecond))
				})
			}
		})
	}
}

func TestToolsNameWhatIsWrong(t *testing.T) {
	if testing.Short() {
		t.Skip("starts ten services, and the servers that they need")
	}
	needsNode(t)
	for _, sick := range []struct {
		name  string
		admit func(t *testing.T) patient
		names []string // words that every tool says
		by    map[string]string
	}{
		{
			name:  "no secret",
			admit: func(t *testing.T) patient { return admit(t, "WEBHOOK_SECRET=") },
			names: []string{"no WEBHOOK_SECRET"},
		},
		{
			name: "wrong secret",
			admit: func(t *testing.T) patient {
				return admit(t, "WEBHOOK_SECRET=another-"+secret)
			},
			names: []string{"the secret here is not the one of the service"},
		},
		{
			name: "Redis down",
			admit: func(t *testing.T) patient {
				redis := testenv.Redis(t)
				p := admit(t, "REDIS_URL="+redis.URL)
				redis.Kill(t)
				p.until(t, "redis")
				return p
			},
			names: []string{"redis", "Redis does not answer"},
		},
		{
			name: "database down",
			admit: func(t *testing.T) patient {
				pg := testenv.OwnPostgres(t, "", "max_connections=60", "shared_buffers=64MB")
				p := admit(t, "DATABASE_URL="+pg.Database(t))
				pg.Stop(t, testenv.Immediate)
				p.until(t, "database")
				return p
			},
			names: []string{"database", "postgres: does not answer"},
		},
		{
			name:  "GitHub unreachable",
			admit: func(t *testing.T) patient { return admit(t, "GITHUB_API_URL=http://127.0.0.1:1") },
			names: []string{"github", "GitHub can't be reached"},
		},
		{
			name: "token without scope",
			admit: func(t *testing.T) patient {
				return admit(t, "GITHUB_API_URL="+hub(t, func(h http.Header) { h.Set("X-Oauth-Scopes", "") }))
			},
			names: []string{"github", "GITHUB_TOKEN has no scope: it needs repo"},
		},
		{
			name: "disk full",
			admit: func(t *testing.T) patient {
				disk := testenv.SmallDisk(t, 6<<20)
				file := filepath.Join(disk.Dir, "service.db")
				p := admit(t, "DATABASE_URL=sqlite:"+file)
				eventually(t, 5*time.Second, "there is ballast", func() bool { return exists(file + ".ballast") })
				disk.Fill(t, 0)
				return p
			},
			names: []string{"database", "disk"},
		},
		{
			name: "clock off by an hour",
			admit: func(t *testing.T) patient {
				return admit(t, "GITHUB_API_URL="+hub(t, func(h http.Header) {
					h.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
				}))
			},
			names: []string{"github", "this machine's clock is", "off GitHub's: set it right"},
		},
		{
			name: "queue paused",
			admit: func(t *testing.T) patient {
				p := admit(t, "DATABASE_URL="+testenv.Postgres(t))
				if r := testenv.Run(t, p.env, "", "queue", "pause"); r.Code != 0 {
					t.Fatalf("queue pause: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
				}
				p.until(t, "queue")
				return p
			},
			names: []string{"paused since", "queue resume"},
			by:    map[string]string{"readiness": ", by "},
		},
		{
			name:  "certificate expired",
			admit: func(t *testing.T) patient { return certified(t, time.Now().Add(-time.Hour)) },
			names: []string{"certificate", "has expired"},
		},
	} {
		t.Run(sick.name, func(t *testing.T) {
			t.Parallel()
			p := sick.admit(t)
			for _, tool := range tools {
				t.Run(tool.name, func(t *testing.T) {
					t.Parallel()
					r := tool.run(t, p)
					quiet(t, p, r)
					words := sick.names
					if w := sick.by[tool.name]; w != "" {
						words = append(slices.Clone(words), w)
					}
					said := failures(r)
					for _, w := range words {
						if !strings.Contains(said, w) {
							t.Errorf("%s does not name %q among what failed:\n%s", tool.name, w, said)
						}
					}
					if r.Code != 1 {
						t.Errorf("%s: exit %d, want 1\n%s%s", tool.name, r.Code, r.Stdout, r.Stderr)
					}
				})
			}
		})
	}
}

// until waits until a service notices by itself that something is wrong with what a check of /ready looks at.
func (p patient) until(t *testing.T, check string) {
	t.Helper()
	eventually(t, 10*time.Second, "/ready tells of "+check, func() bool {
		_, body := get(t, p.url+"/ready")
		_, after, _ := strings.Cut(body, `"`+check+`": {`)
		status, _, _ := strings.Cut(after, "}")
		return strings.Contains(status, `"status": "warning"`) || strings.Contains(status, `"status": "failing"`)
	})
}

// failures returns what a tool says of each check that failed, with the lines below it.
func failures(r testenv.Result) string {
	var said []string
	failing := false
	for line := range strings.Lines(r.Stdout) {
		if !strings.HasPrefix(line, " ") {
			failing = strings.HasPrefix(line, "✗ fail ") || strings.HasPrefix(line, "FAIL ")
		}
		if failing {
			said = append(said, line)
		}
	}
	return strings.Join(said, "")
}

// quiet checks that a tool shows no secret, and that an error is one line.
func quiet(t *testing.T, p patient, r testenv.Result) {
	t.Helper()
	secrets := []string{secret, operatorToken}
	for _, kv := range p.env {
		_, value, _ := strings.Cut(kv, "=")
		if u, err := url.Parse(value); err == nil {
			if password, ok := u.User.Password(); ok {
				secrets = append(secrets, password)
			}
		}
	}
	for _, s := range secrets {
		if strings.Contains(r.Stdout+r.Stderr, s) {
			t.Errorf("the output shows a secret:\n%s%s", r.Stdout, r.Stderr)
		}
	}
	if n := strings.Count(r.Stderr, "\n"); n > 1 {
		t.Errorf("stderr has %d lines, want one at most:\n%s", n, r.Stderr)
	}
}

func needsNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		testenv.Missing(t, "node is not installed: run make setup")
	}
}
