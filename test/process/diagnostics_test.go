package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A line of the access log.
type accessLine struct {
	Msg, Method, Route, Client, Delivery, Took string
	Status, Bytes, Answered, Refused           int
}

func accessLines(p *testenv.Process) (lines []accessLine, text string) {
	var raw strings.Builder
	for line := range strings.Lines(p.Logs()) {
		var l accessLine
		if json.Unmarshal([]byte(line), &l) == nil && (l.Msg == "request" || l.Msg == "requests not logged") {
			lines = append(lines, l)
			raw.WriteString(line)
		}
	}
	return lines, raw.String()
}

// TestAccessLog: a line for each request, with what an operator needs and nothing that is secret.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	p := testenv.Start(t, testenv.Options{Env: working(t, "DASHBOARD_TOKEN=a-token-of-the-dashboard", "TRUSTED_PROXIES=127.0.0.0/8", "ACCESS_LOG=some")})
	do := func(method, path string, head map[string]string, body string) int {
		t.Helper()
		req, err := http.NewRequest(method, p.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range head {
			req.Header.Set(k, v)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	body := []byte(`{"zen":"body-canary"}`)
	signed := map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": "ping", "X-GitHub-Delivery": "d-1", "X-Hub-Signature-256": testenv.Sign(secret, body),
		"X-Forwarded-For": "203.0.113.9",
	}
	do("POST", "/webhook?key=query-canary", signed, string(body))
	do("POST", "/webhook", map[string]string{"Content-Type": "application/json", "X-GitHub-Delivery": "d-2"}, "{}")
	do("GET", "/pulls/octo/secret-name/7?token=query-canary", map[string]string{"Authorization": "Bearer wrong-token-canary"}, "")
	do("GET", "/nothing/path-canary", nil, "")
	do("GET", "/health", nil, "")
	do("GET", "/webhook/stats", nil, "")
	want := []accessLine{
		{Method: "POST", Route: "/webhook", Status: 202, Client: "203.0.113.9", Delivery: "d-1"},
		{Method: "POST", Route: "/webhook", Status: 401, Client: "127.0.0.1", Delivery: "d-2"},
		{Method: "GET", Route: "/pulls/{owner}/{repo}/{number}", Status: 401, Client: "127.0.0.1"},
		{Method: "GET", Route: "/", Status: 404, Client: "127.0.0.1"},
		{Method: "GET", Route: "/webhook/stats", Status: 200, Client: "127.0.0.1"},
	}
	var got []accessLine
	var text string
	eventually(t, 5*time.Second, "every request has its line", func() bool {
		got, text = accessLines(p)
		return len(got) >= len(want)
	})
	for i, w := range want {
		if i >= len(got) {
			t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), text)
		}
		g := got[i]
		if g.Bytes <= 0 || g.Took == "" || g.Msg != "request" {
			t.Errorf("line %d = %+v, want bytes and a time", i, g)
		}
		g.Bytes, g.Took, g.Msg = 0, "", ""
		if g != w {
			t.Errorf("line %d = %+v, want %+v", i, g, w)
		}
	}
	for _, secret := range []string{"canary", "secret-name", "sha256="} {
		if strings.Contains(text, secret) {
			t.Errorf("the access log holds %q:\n%s", secret, text)
		}
	}
}

// TestAccessLogIsBounded: a flood of wrong signatures has fifty lines a second, and does not hide what is well.
func TestAccessLogIsBounded(t *testing.T) {
	t.Parallel()
	p := testenv.Start(t, testenv.Options{Env: working(t, "RATE_LIMIT_ENABLED=false", "ACCESS_LOG=some")})
	began := time.Now()
	const flood = 400
	for i := range flood {
		deliver(p.URL, "not-the-secret-at-all", deliveryID(1, i), pullRequest(1))
	}
	if status := deliver(p.URL, secret, "the-good-one", pullRequest(1)); status != 202 {
		t.Fatalf("a good delivery in a flood = %d", status)
	}
	seconds := int(time.Since(began)/time.Second) + 2
	var refused, left int
	good := false
	eventually(t, 10*time.Second, "what was not logged is counted", func() bool {
		_, _ = client.Get(p.URL + "/webhook/stats")
		lines, _ := accessLines(p)
		refused, left = 0, 0
		for _, l := range lines {
			left += l.Refused
			good = good || l.Delivery == "the-good-one"
			if l.Status == 401 {
				refused++
			}
		}
		return refused+left == flood
	})
	if refused > 50*seconds || !good {
		t.Errorf("%d lines of refused requests in %d s, the good one among the lines: %v; want at most 50 a second, and true", refused, seconds, good)
	}
	q := testenv.Start(t, testenv.Options{Env: working(t)})
	deliver(q.URL, secret, "quiet", pullRequest(1))
	if _, text := accessLines(q); text != "" {
		t.Errorf("without ACCESS_LOG it writes:\n%s", text)
	}
}

// TestProfilesNeedTheToken: what the runtime tells of itself is for the operator only.
func TestProfilesNeedTheToken(t *testing.T) {
	t.Parallel()
	open := testenv.Start(t, testenv.Options{Env: working(t)})
	guarded := testenv.Start(t, testenv.Options{Env: working(t, "DASHBOARD_TOKEN=a-token-of-the-dashboard")})
	get := func(p *testenv.Process, path string, head ...string) (int, []byte) {
		t.Helper()
		req, err := http.NewRequest("GET", p.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(head); i += 2 {
			req.Header.Set(head[i], head[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(res.Body)
		return res.StatusCode, b.Bytes()
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1", "/debug/pprof/symbol"} {
		if status, _ := get(guarded, path); status != 401 {
			t.Errorf("%s without the token = %d, want 401", path, status)
		}
		if status, _ := get(guarded, path, "Authorization", "Bearer another-token"); status != 401 {
			t.Errorf("%s with another token = %d, want 401", path, status)
		}
		if status, _ := get(open, path, "X-Forwarded-For", "203.0.113.9"); status != 403 {
			t.Errorf("%s forwarded, with no token set up = %d, want 403", path, status)
		}
	}
	token := []string{"Authorization", "Bearer a-token-of-the-dashboard"}
	if status, body := get(guarded, "/debug/pprof/", token...); status != 200 || !bytes.Contains(body, []byte("goroutine")) {
		t.Errorf("the list of profiles = %d, %.100s", status, body)
	}
	if status, _ := get(open, "/debug/pprof/goroutine?debug=1"); status != 200 {
		t.Errorf("on this machine, with no token set up = %d, want 200", status)
	}
	if status, _ := get(guarded, "/debug/pprof/no-such-profile", token...); status != 404 {
		t.Errorf("an unknown profile = %d, want 404", status)
	}
	for _, name := range []string{"heap", "profile?seconds=1"} {
		status, body := get(guarded, "/debug/pprof/"+name, token...)
		file := filepath.Join(t.TempDir(), "it.pprof")
		if err := os.WriteFile(file, body, 0o600); err != nil || status != 200 {
			t.Fatalf("%s = %d, %v", name, status, err)
		}
		out, err := exec.Command("go", "tool", "pprof", "-top", file).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("flat")) {
			t.Errorf("go tool pprof of %s: %v\n%s", name, err, out)
		}
	}
}

// TestPortInUse: who holds the port is named, as far as the system lets us see it, and what to do about it.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := testenv.Run(t, []string{"PORT=" + strconv.Itoa(port), "HOST=127.0.0.1"}, "", "serve")
	want := fmt.Sprintf("port %d is already in use by %s (process %d): end that with `kill %d`, or set PORT to another one: PORT=%d",
		port, filepath.Base(exe), os.Getpid(), os.Getpid(), port+1)
	if r.Code != 2 || !strings.Contains(r.Stderr, want) {
		t.Errorf("serve on a port in use: exit %d, %q; want 2 and %q", r.Code, r.Stderr, want)
	}
}
