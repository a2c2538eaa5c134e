package process

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const dashboardToken = "a-token-for-the-pages-0123456789"

// startBehind starts a service on SQLite as a replica with a number behind HAProxy, as the only one of its release. Its
// DASHBOARD_ORIGIN names it, and so tells who has answered (see origin).
func startBehind(t *testing.T, h *testenv.HAProxyServer, release string, n int) *testenv.Process {
	t.Helper()
	env := append(h.Environ(n), "DASHBOARD_TOKEN="+dashboardToken, "DASHBOARD_ORIGIN=http://"+release+".test")
	p := testenv.Start(t, testenv.Options{Env: append(working(t), env...)})
	h.Names(release, n)
	h.Await(t, release, 1)
	return p
}

// origin asks which release answers; "" and the status when none does.
func origin(t *testing.T, at string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, at+"/webhook/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	if name, ok := strings.CutSuffix(strings.TrimPrefix(res.Header.Get("Access-Control-Allow-Origin"), "http://"), ".test"); ok {
		return name
	}
	return res.Status
}

// HAProxy and whoever reads its configuration find nothing to say about it.
func TestHAProxyHasNothingToSayAboutItsConfiguration(t *testing.T) {
	h := testenv.HAProxy(t)
	out, err := h.Check(t)
	if err != nil || strings.TrimSpace(out) != "Configuration file is valid" {
		t.Errorf("haproxy -c: %v\n%s\nwant nothing but that it is valid", err, out)
	}
}

// What HAProxy adds to the service and what it takes away, asked by plain HTTP and by TLS.
func TestBehindHAProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	h := testenv.HAProxy(t)
	p := startBehind(t, h, "blue", 1)
	c := h.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ask := func(method, url string, body io.Reader, headers ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, body)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Add(headers[i], headers[i+1])
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, url, err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("%s %s: %v", method, url, err)
		}
		return res, string(text)
	}

	dial := func() net.Conn {
		t.Helper()
		conn, err := tls.Dial("tcp", strings.TrimPrefix(h.TLS, "https://"), c.Transport.(*http.Transport).TLSClientConfig)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		return conn
	}

	t.Run("operators' pages are not for those who come by TLS", func(t *testing.T) {
		for _, path := range []string{"/metrics", "/metrics/", "/%6detrics", "/metric%73?x=1", "/debug/pprof/", "/debug%2fpprof/heap"} {
			if res, text := ask("GET", h.TLS+path, nil); res.StatusCode != http.StatusForbidden || !strings.Contains(text, "error") {
				t.Errorf("GET %s by TLS = %s %s, want 403 and why", path, res.Status, text)
			}
		}
		if res, text := ask("GET", h.URL+"/metrics", nil); res.StatusCode != http.StatusOK || !strings.Contains(text, "github_webhooks_total") {
			t.Errorf("GET /metrics by plain HTTP = %s, want the metrics", res.Status)
		}
		conn := dial()
		defer conn.Close()
		fmt.Fprintf(conn, "GET https://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if got := statusOf(conn); got != http.StatusForbidden {
			t.Errorf("GET with a whole URL = %d, want 403", got)
		}
		for _, path := range []string{"/health", "/ready", "/webhook/stats"} {
			if res, _ := ask("GET", h.TLS+path, nil); res.StatusCode != http.StatusOK {
				t.Errorf("GET %s by TLS = %s, want 200", path, res.Status)
			}
		}
	})

	t.Run("what a client claims about itself is not believed", func(t *testing.T) {
		claims := []string{
			"X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "Forwarded", "for=192.0.2.7;proto=https",
			"X-Forwarded-Host", "evil.test", "X-Real-IP", "192.0.2.7",
		}
		form := url.Values{"token": {dashboardToken}}.Encode()
		signIn := func(at string) string {
			res, text := ask("POST", at+"/sign-in", strings.NewReader(form), append(claims, "Content-Type", "application/x-www-form-urlencoded")...)
			if res.Header.Get("Set-Cookie") == "" {
				t.Fatalf("POST %s/sign-in = %s, without a cookie: %s", at, res.Status, text)
			}
			return res.Header.Get("Set-Cookie")
		}
		if cookie := signIn(h.URL); strings.Contains(cookie, "Secure") {
			t.Errorf("the cookie by plain HTTP is %q: the service believes that it was TLS", cookie)
		}
		if cookie := signIn(h.TLS); !strings.Contains(cookie, "Secure") {
			t.Errorf("the cookie by TLS is %q, want it for TLS only", cookie)
		}
		if res, _ := ask("POST", h.TLS+"/webhook", strings.NewReader("{}"), append(claims, "Content-Type", "application/json")...); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("POST /webhook without a signature = %s, want 401", res.Status)
		}
		eventually(t, 5*time.Second, "the refusal is in the log", func() bool { return strings.Contains(p.Logs(), `"client":`) })
		if logs := p.Logs(); strings.Contains(logs, "192.0.2.7") || !strings.Contains(logs, `"client":"127.0.0.1"`) {
			t.Errorf("the service takes the client for somebody else:\n%s", logs)
		}
	})

	t.Run("browsers that came by TLS come by TLS", func(t *testing.T) {
		for _, path := range []string{"/health", "/metrics"} { // an answer of the service's and one of HAProxy's own
			if res, _ := ask("GET", h.TLS+path, nil); res.Header.Get("Strict-Transport-Security") == "" {
				t.Errorf("GET %s by TLS has no Strict-Transport-Security", path)
			}
			if res, _ := ask("GET", h.URL+path, nil); res.Header.Get("Strict-Transport-Security") != "" {
				t.Errorf("GET %s by plain HTTP has Strict-Transport-Security", path)
			}
		}
		old := &tls.Config{RootCAs: c.Transport.(*http.Transport).TLSClientConfig.RootCAs, MaxVersion: tls.VersionTLS11, ServerName: "localhost"}
		if conn, err := tls.Dial("tcp", strings.TrimPrefix(h.TLS, "https://"), old); err == nil {
			conn.Close()
			t.Error("TLS 1.1 is spoken, want 1.2 at least")
		}
	})

	t.Run("as large as GitHub sends", func(t *testing.T) {
		big := pullRequest(7)
		big = append(big[:len(big)-1], fmt.Appendf(nil, `,"padding":"%s"}`, bytes.Repeat([]byte("x"), 25<<20-len(big)-14))...)
		for i, at := range []string{h.URL, h.TLS} {
			req, err := testenv.Webhook(t.Context(), at, secret, "pull_request", deliveryID(25, i), big)
			if err != nil {
				t.Fatal(err)
			}
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusAccepted {
				t.Errorf("%d bytes by %s = %s, want 202", len(big), at, res.Status)
			}
		}
		conn := dial()
		defer conn.Close()
		io.WriteString(conn, head(testenv.Sign(secret, nil), fmt.Sprintf("Content-Length: %d\r\n\r\n", 25<<20+1)))
		if got := statusOf(conn); got != http.StatusRequestEntityTooLarge {
			t.Errorf("a byte more, announced = %d, want 413 before it is sent", got)
		}
	})

	t.Run("no HTTP", func(t *testing.T) {
		for _, text := range []string{
			"GET /he alth HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
			"POST /webhook HTTP/1.1\r\nHost: x\r\nContent Length: 3\r\n\r\nabc",
			"GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
		} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(h.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			io.WriteString(conn, text)
			if got := statusOf(conn); got != http.StatusBadRequest {
				t.Errorf("%q = %d, want 400", text, got)
			}
			conn.Close()
		}
	})

	t.Run("a slow sender", func(t *testing.T) {
		t.Parallel()
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, head(testenv.Sign(secret, nil), "Content-Length: 100\r\n\r\n{"))
		began := time.Now()
		if got := statusOf(conn); got != http.StatusRequestTimeout || time.Since(began) > 12*time.Second {
			t.Errorf("a body that does not come = %d after %v, want 408 within 12s", got, time.Since(began))
		}
	})

	t.Run("events", func(t *testing.T) {
		t.Parallel()
		for _, at := range []string{h.URL, h.TLS} {
			t.Run(strings.Split(at, ":")[0], func(t *testing.T) {
				t.Parallel()
				events(t, h, at)
			})
		}
	})

	t.Run("of HAProxy itself", func(t *testing.T) {
		if res, text := ask("GET", h.Metrics+"/metrics", nil); res.StatusCode != http.StatusOK || !strings.Contains(text, `haproxy_backend_http_responses_total{proxy="blue",code="2xx"}`) {
			t.Errorf("GET /metrics of HAProxy = %s, without the answers of blue", res.Status)
		}
		if res, _ := ask("GET", h.Metrics+"/healthz", nil); res.StatusCode != http.StatusOK {
			t.Errorf("GET /healthz of HAProxy = %s, want 200", res.Status)
		}
	})
}

// events reads the event stream: the snapshot at once, a change within a second or so, a heartbeat, and in the long form
// for longer than any limit of HAProxy's on silence.
func events(t *testing.T, h *testenv.HAProxyServer, at string) {
	lasts := testenv.Pick(20*time.Second, 75*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/webhook/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+dashboardToken)
	c := h.Client()
	c.Timeout = 0
	began := time.Now()
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var snapshot, change time.Duration
	var asked time.Time
	heartbeats, first := 0, ""
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if first == "" {
			first, snapshot, asked = data, time.Since(began), time.Now()
			id := deliveryID(int(began.UnixNano()&0xffffff), 1)
			if a := send(h.URL, id, pullRequest(3)); a.status != http.StatusAccepted {
				t.Errorf("a delivery = %d %s, want 202", a.status, a.body)
			}
		}
		switch {
		case strings.Contains(data, `"type":"heartbeat"`):
			heartbeats++
		case strings.Contains(data, `"type":"update"`) && change == 0:
			change = time.Since(asked)
		}
	}
	if ctx.Err() == nil {
		t.Errorf("the stream ended after %v: %v", time.Since(began), lines.Err())
	}
	if !strings.Contains(first, `"type":"snapshot"`) || snapshot > 3*time.Second {
		t.Errorf("the first event is %.60s after %v, want a snapshot at once", first, snapshot)
	}
	if change == 0 || change > 5*time.Second {
		t.Errorf("a change shows after %v (0: never), want about a second", change)
	}
	if want := int(lasts/(15*time.Second)) - 1; heartbeats < max(1, want) {
		t.Errorf("%d heartbeats in %v, want one every 15s", heartbeats, lasts)
	}
	t.Logf("snapshot after %v, change after %v, %d heartbeats", snapshot.Round(time.Millisecond), change.Round(time.Millisecond), heartbeats)
}

// Without a certificate HAProxy serves plain HTTP, and TLS as soon as there is one.
func TestHAProxyWithoutACertificate(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	h := testenv.HAProxy(t)
	startBehind(t, h, "blue", 1)
	certificate := filepath.Join(h.Dir, "tls", "site.pem")
	if err := os.Rename(certificate, filepath.Join(h.Dir, "site.pem")); err != nil {
		t.Fatal(err)
	}
	h.Stop(t)
	h.Start(t)
	h.Await(t, "blue", 1)
	if got := origin(t, h.URL); got != "blue" {
		t.Errorf("plain HTTP without a certificate is answered by %q, want blue", got)
	}
	if res, err := h.Client().Get(h.TLS + "/health"); err == nil {
		res.Body.Close()
		t.Error("TLS without a certificate works")
	}
	if err := os.Rename(filepath.Join(h.Dir, "site.pem"), certificate); err != nil {
		t.Fatal(err)
	}
	h.Reload(t)
	h.Await(t, "blue", 1)
	res, err := h.Client().Get(h.TLS + "/health")
	if err != nil {
		t.Fatalf("TLS once there is a certificate: %v", err)
	}
	res.Body.Close()
}

// The only replica is restarted, and who sends meanwhile only has to wait.
func TestTheOnlyReplicaRestartsBehindHAProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	h := testenv.HAProxy(t)
	p := startBehind(t, h, "blue", 1)
	var mu sync.Mutex
	answers, worst := map[int]int{}, time.Duration(0)
	stop := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			sender.Go(func() {
				a := send(h.URL, deliveryID(50, n), pullRequest(n%10))
				mu.Lock()
				defer mu.Unlock()
				answers[a.status]++
				worst = max(worst, a.took)
			})
		}
	})
	for range testenv.Pick(1, 5) {
		p.Signal(t, syscall.SIGTERM)
		if code := p.Wait(t, 28*time.Second); code != 0 {
			t.Errorf("exit %d after SIGTERM, want 0", code)
		}
		eventually(t, 10*time.Second, "HAProxy finds it dead", func() bool {
			return !slices.ContainsFunc(h.Servers(t), func(b testenv.Backend) bool { return b.Name == "blue1" && strings.HasPrefix(b.Status, "UP") })
		})
		env := append(h.Environ(1), "DASHBOARD_TOKEN="+dashboardToken, "DASHBOARD_ORIGIN=http://blue.test")
		p = testenv.Start(t, testenv.Options{Env: append(working(t), env...), Dir: p.Dir})
		h.Await(t, "blue", 1)
	}
	close(stop)
	sender.Wait()
	t.Logf("answers %v, the slowest after %v", answers, worst.Round(time.Millisecond))
	if len(answers) != 1 || answers[http.StatusAccepted] == 0 || worst > 9*time.Second {
		t.Errorf("answers by status: %v, the slowest after %v; want 202 only, within the 10s that GitHub waits", answers, worst)
	}
}

// The traffic goes where deploy/switch says, stays there over a restart of HAProxy, and goes nowhere else by itself.
func TestSwitch(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	h := testenv.HAProxy(t)
	does := func(code int, want string, args ...string) {
		t.Helper()
		r := h.Switch(t, args...)
		if r.Code != code || !strings.Contains(r.Stdout+r.Stderr, want) {
			t.Errorf("deploy/switch %s: exit %d, %s%s; want %d and %q", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr, code, want)
		}
	}
	has := func(want string) {
		t.Helper()
		for _, at := range []string{h.URL, h.Green} {
			if at == h.Green {
				want = "green"
			}
			if got := origin(t, at); got != want {
				t.Errorf("%s is answered by %q, want %q", at, got, want)
			}
		}
	}
	does(2, "blue, green, status")
	does(2, "unknown release", "purple")
	does(0, "blue: not running", "status")
	blue := startBehind(t, h, "blue", 1)
	does(0, "blue: 1 of 1 ready", "status")
	does(1, "green has no replica that is ready, so nothing was changed and blue has the traffic", "green")

	// A release that runs and is not ready: without a secret it can accept nothing.
	sick := testenv.Start(t, testenv.Options{Env: append(h.Environ(3), "LOG_FORMAT=json")})
	h.Names("green", 3)
	eventually(t, 10*time.Second, "HAProxy has looked at it", func() bool {
		return strings.Contains(h.Switch(t, "status").Stdout, "green: 0 of 1 ready")
	})
	does(1, "green: 0 of 1 ready", "green")
	if got := origin(t, h.URL); got != "blue" {
		t.Errorf("after a switch that was refused, %q has the traffic, want blue", got)
	}
	if status, body := get(t, h.Green+"/ready"); status != http.StatusServiceUnavailable || !strings.Contains(body, "WEBHOOK_SECRET") {
		t.Errorf("/ready of a sick green = %d %s, want its own words", status, body)
	}
	sick.Kill(t)

	green := startBehind(t, h, "green", 2)
	has("blue")
	does(0, "green has the traffic", "green")
	has("green")
	does(0, "as before", "green")
	does(0, "green has the traffic", "status")

	h.Stop(t)
	h.Start(t)
	h.Await(t, "green", 1)
	has("green")
	h.Reload(t)
	h.Await(t, "green", 1)
	has("green")

	// The live release dies: the other one is ready, and does not take over.
	green.Kill(t)
	h.Await(t, "green", 0)
	if got := origin(t, h.URL); !strings.HasPrefix(got, "503") {
		t.Errorf("without the release that has the traffic, %q answers, want 503", got)
	}
	does(0, "blue has the traffic", "blue")
	if got := origin(t, h.URL); got != "blue" {
		t.Errorf("after the switch back, %q has the traffic, want blue", got)
	}

	// A file that disagrees is told of, and mended by saying again what is wanted.
	if err := os.WriteFile(h.LiveMap(), []byte("live green\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	does(1, "after a restart", "status")
	does(0, "as before", "blue")
	does(0, "blue has the traffic", "status")
	blue.Kill(t)
	h.Stop(t)
	does(1, "HAProxy does not answer", "status")
	does(1, "HAProxy does not answer", "green")
}

// A process without workers keeps what it is sent, and others do the work: so a release is tried out.
func TestAReplicaWithoutWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	t.Parallel()
	env := working(t, "DATABASE_URL="+testenv.Postgres(t), "LEASE=1s")
	idle := testenv.Start(t, testenv.Options{Env: append(env, "WORKERS=0"), Ready: "/ready"})
	const n = 20
	for i := range n {
		if a := send(idle.URL, deliveryID(60, i), pullRequest(i)); a.status != http.StatusAccepted {
			t.Fatalf("a delivery to a replica without workers = %d %s, want 202", a.status, a.body)
		}
	}
	if s := askStats(t, idle); s.Total.Processed != 0 || s.QueueLength != n {
		t.Errorf("nobody works, and %d of %d deliveries are processed, %d wait", s.Total.Processed, n, s.QueueLength)
	}
	busy := testenv.Start(t, testenv.Options{Env: env, Ready: "/ready"})
	eventually(t, 20*time.Second, "all deliveries are processed", func() bool { return askStats(t, idle).Total.Processed == n })
	if got := metric(t, busy, "github_webhook_processed_total"); got != n {
		t.Errorf("the replica with workers has processed %v, want all %d", got, n)
	}
	if got := metric(t, idle, "github_webhook_processed_total"); got != 0 {
		t.Errorf("the replica without workers has processed %v, want none", got)
	}
	if code, took := idle.Stop(t); code != 0 {
		t.Errorf("a replica without workers ends with %d after %v, want 0", code, took)
	}
}
