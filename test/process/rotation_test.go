package process

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// Each kind of secret is changed by file and SIGHUP while the service works, and nobody notices.

// A safe is a directory of files with secrets, as an operator keeps it.
type safe struct {
	t   *testing.T
	dir string
}

func (s safe) path(name string) string { return filepath.Join(s.dir, name) }

func (s safe) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// reload sends SIGHUP and returns what the service says of it, and how long that took.
func reload(t *testing.T, p *testenv.Process, want string) (said string, took time.Duration) {
	t.Helper()
	before := len(p.Logs())
	began := time.Now()
	p.Signal(t, syscall.SIGHUP)
	eventually(t, 5*time.Second, "the log speaks of the reload", func() bool {
		said = p.Logs()[before:]
		return strings.Contains(said, `"msg":"reloaded`) || strings.Contains(said, `"msg":"reload"`)
	})
	if !strings.Contains(said, want) {
		t.Errorf("the reload says %q, want %s", said, want)
	}
	return said, time.Since(began)
}

// Senders send signed deliveries, so many a second, as GitHub sends them: with the secret that is set there at the moment.
type senders struct {
	url    string
	secret atomic.Pointer[string]
	client *http.Client

	mu     sync.Mutex
	sent   int
	failed []string
}

func (s *senders) sign(secret string) { s.secret.Store(&secret) }

// one sends one delivery with a secret.
func (s *senders) one(secret, id string) int {
	body := pullRequest(1 + len(id)%7)
	req, err := testenv.Webhook(context.Background(), s.url, secret, "pull_request", id, body)
	if err != nil {
		return 0
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode
}

// flow sends until ctx ends, and returns when every answer is there.
func (s *senders) flow(ctx context.Context, name string, each time.Duration) {
	var all sync.WaitGroup
	defer all.Wait()
	t := time.NewTicker(each)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		all.Go(func() {
			status := s.one(*s.secret.Load(), fmt.Sprintf("%s-%d", name, n))
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sent++
			if status/100 != 2 {
				s.failed = append(s.failed, fmt.Sprintf("%s-%d: %d", name, n, status))
			}
		})
	}
}

// count is how many were sent, and which were not accepted.
func (s *senders) count() (int, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.failed
}

// TestTheWebhookSecretIsChangedUnderLoad: at 200 signed deliveries a second none is refused, in the order of the manual; the old
// secret is refused a second after it was removed; and the operator sees when nobody uses it any more.
func TestTheWebhookSecretIsChangedUnderLoad(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const next = "the-next-secret-for-tests"
	keep := safe{t, t.TempDir()}
	keep.write("webhook-secret", secret+"\n")
	env := []string{"WEBHOOK_SECRET_FILE=" + keep.path("webhook-secret"), "LOG_FORMAT=json", "ACCESS_LOG=off"}
	p := testenv.Start(t, testenv.Options{Env: env})
	slot := func(n string) float64 { return metric(t, p, "github_webhook_secret_used_total", `slot="`+n+`"`) }
	s := &senders{url: p.URL, client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	s.sign(secret)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.flow(ctx, "rotation", 5*time.Millisecond) }()
	atLeast := func(n float64) {
		t.Helper()
		eventually(t, 20*time.Second, "another hundred have arrived", func() bool { return slot("0")+slot("1") >= n })
	}
	atLeast(100)

	// 1. The new one above the old one. GitHub still signs with the old one, which is in slot 1 now.
	keep.write("webhook-secret", next+"\n"+secret+"\n")
	reload(t, p, `"changed":"WEBHOOK_SECRET"`)
	first := slot("0")
	atLeast(first + slot("1") + 100)
	eventually(t, 5*time.Second, "the old one counts in slot 1", func() bool { return slot("1") > 50 })

	// 2. GitHub signs with the new one. What was signed with the old one and comes again is accepted.
	s.sign(next)
	eventually(t, 10*time.Second, "the new one counts in slot 0", func() bool { return slot("0") > first+100 })
	for i, key := range []string{secret, next} {
		if got := s.one(key, fmt.Sprintf("again-%d", i)); got != 202 {
			t.Errorf("while both are good, a delivery signed with %q is answered %d", key, got)
		}
		if got := s.one(key, "rotation-0"); got != 202 { // another body than at first, or the same: known either way
			t.Errorf("while both are good, one sent again signed with %q is answered %d", key, got)
		}
	}

	// 3. Nobody uses the old one any more.
	unused := slot("1")
	atLeast(slot("0") + unused + 100)
	if got := slot("1"); got != unused {
		t.Errorf("the old secret is used again: slot 1 went from %v to %v", unused, got)
	}

	// A file that can't be used leaves both in force, and says so.
	keep.write("webhook-secret", "short\n")
	reload(t, p, "the old ones stay in use")
	for _, key := range []string{secret, next} {
		if got := s.one(key, "after-the-broken-file-"+key); got != 202 {
			t.Errorf("after a broken file, a delivery signed with %q is answered %d", key, got)
		}
	}

	// 4. The new one alone.
	keep.write("webhook-secret", next+"\n")
	removed := time.Now()
	p.Signal(t, syscall.SIGHUP)
	for n := 0; s.one(secret, fmt.Sprintf("old-%d", n)) != 401; n++ {
		if time.Since(removed) > 10*time.Second {
			t.Fatal("the old secret is accepted 10 s after it was removed")
		}
	}
	gone := time.Since(removed)
	if gone > time.Second {
		t.Errorf("the old secret was accepted for %s after its removal, want at most a second", gone)
	}
	atLeast(slot("0") + slot("1") + 100)
	stop()
	<-done
	sent, failed := s.count()
	if len(failed) > 0 {
		t.Errorf("%d of %d deliveries were not accepted: %.500v", len(failed), sent, failed)
	}
	if logs := p.Logs(); strings.Contains(logs, secret) || strings.Contains(logs, next) {
		t.Error("the log shows a secret")
	}
	t.Logf("%d deliveries, none refused; the old secret was refused %s after its removal", sent, gone.Round(time.Millisecond))
}

// TestAFileIsNoticedWithoutASignal: rewritten in place, and swapped through symbolic links, as Kubernetes mounts a secret.
func TestAFileIsNoticedWithoutASignal(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const next = "the-next-secret-for-tests"
	keep := safe{t, t.TempDir()}
	version := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(keep.path(name), 0o700); err != nil {
			t.Fatal(err)
		}
		keep.write(filepath.Join(name, "webhook-secret"), text)
		if err := os.Symlink(name, keep.path("..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(keep.path("..tmp"), keep.path("..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..2026_11_25_1", secret+"\n")
	if err := os.Symlink(filepath.Join("..data", "webhook-secret"), keep.path("webhook-secret")); err != nil {
		t.Fatal(err)
	}
	keep.write("dashboard-token", "the-first-dashboard-token\n")
	p := testenv.Start(t, testenv.Options{Env: []string{
		"WEBHOOK_SECRET_FILE=" + keep.path("webhook-secret"), "DASHBOARD_TOKEN_FILE=" + keep.path("dashboard-token"),
	}})
	page := func(token string) int {
		req, _ := http.NewRequest("GET", p.URL+"/api/pulls", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(req)
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	if got := page("the-first-dashboard-token"); got != 200 {
		t.Fatalf("the pages with the first token = %d", got)
	}
	version("..2026_11_25_2", next+"\n"+secret+"\n")
	keep.write("dashboard-token", "the-second-dashboard-token\n")
	n := 0
	eventually(t, 25*time.Second, "both files are taken up without a signal", func() bool {
		n++
		return deliver(p.URL, next, deliveryID(7, n), pullRequest(1)) == 202 && page("the-second-dashboard-token") == 200
	})
	if got := page("the-first-dashboard-token"); got != 401 {
		t.Errorf("the pages with the former token = %d, want 401", got)
	}
	if got := deliver(p.URL, secret, deliveryID(8, 1), pullRequest(1)); got != 202 {
		t.Errorf("the secret that is still there = %d, want 202", got)
	}
}

// A hub that can be reached over HTTP, with a pull request that every delivery makes the service look at.
type hubWorld struct {
	*githubtest.Server
	url  string
	dev  *githubtest.User
	repo *githubtest.Repo
	app  *githubtest.App
	in   *githubtest.Installation
	pr   *githubtest.PR
}

func newHub(t *testing.T) *hubWorld {
	t.Helper()
	s, err := githubtest.New(githubtest.Options{Dir: t.TempDir(), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	h := &hubWorld{Server: s, dev: s.User("mona")}
	h.repo = s.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{
		"README.md": "# app\n", ".github/pr-manager.yml": "version: 1\nlabels:\n  docs:\n    files: \"docs/**\"\n",
	}})
	h.repo.Grant(h.dev, githubtest.CanWrite)
	h.app = s.App("pr-manager", githubtest.AppOptions{
		Permissions: map[string]string{
			"checks": "write", "contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write", "actions": "write",
			"merge_queues": "read", "members": "read",
		},
		Events: []string{
			"pull_request", "pull_request_review", "pull_request_review_comment", "pull_request_review_thread", "issue_comment", "check_run",
			"check_suite", "status", "push", "merge_group",
		},
	})
	h.in = h.app.Install(h.repo.Owner())
	h.repo.Push("topic", map[string]string{"docs/a.md": "a\n"}, "work", h.dev)
	h.pr = h.repo.Open(h.dev, "topic", "main", "One", "")
	front := httptest.NewServer(h)
	t.Cleanup(front.Close)
	h.url = front.URL
	return h
}

// look makes the service look at the pull request, and waits until it has: nothing may fail on the way.
func (h *hubWorld) look(t *testing.T, p *testenv.Process, id string, installation int64) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"action": "edited", "number": h.pr.Number(),
		"pull_request": map[string]any{"number": h.pr.Number(), "head": map[string]any{"sha": h.pr.Head()}, "base": map[string]any{"ref": "main"}},
		"repository":   map[string]any{"id": h.repo.ID, "name": "app", "full_name": "octo/app", "owner": map[string]any{"login": "octo"}},
		"installation": map[string]any{"id": installation}, "sender": map[string]any{"login": "mona", "type": "User"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if installation == 0 {
		body = bytes.Replace(body, []byte(`"installation":{"id":0},`), nil, 1)
	}
	before := askStats(t, p).Total.Processed
	if got := deliver(p.URL, secret, id, body); got != 202 {
		t.Fatalf("a delivery is answered %d", got)
	}
	eventually(t, 30*time.Second, "the delivery "+id+" is processed", func() bool { return askStats(t, p).Total.Processed > before })
}

// failures are the lines of a log that tell of a look at a pull request that did not work.
func passesThatFailed(p *testenv.Process) (lines []string) {
	for line := range strings.Lines(p.Logs()) {
		if strings.Contains(line, `"msg":"pass `) && !strings.Contains(line, `"msg":"pass done"`) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// TestTheTokenIsChanged: taken up by SIGHUP, and revoked at GitHub afterwards, with no look that fails.
func TestTheTokenIsChanged(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	h := newHub(t)
	keeper := h.User("keeper")
	h.repo.Grant(keeper, githubtest.CanWrite)
	first, second := keeper.Token(), keeper.NewToken("repo")
	keep := safe{t, t.TempDir()}
	keep.write("github-token", first+"\n")
	p := testenv.Start(t, testenv.Options{Env: working(t, "GITHUB_TOKEN=", "GITHUB_TOKEN_FILE="+keep.path("github-token"), "GITHUB_API_URL="+h.url)})
	github := func() string { return askHealth(t, p, "/ready").Checks["github"].Detail }
	eventually(t, 10*time.Second, "GitHub is well", func() bool { return askHealth(t, p, "/ready").Checks["github"].Status == "ok" })
	h.look(t, p, "before", 0)

	// One that has no scope is named, and so is one that GitHub does not know; a file that holds no token changes nothing.
	keep.write("github-token", keeper.NewToken("gist")+"\n")
	reload(t, p, `"changed":"GITHUB_TOKEN"`)
	eventually(t, 10*time.Second, "a token without its scope is named", func() bool { return strings.Contains(github(), "it needs repo") })
	keep.write("github-token", "two words\n")
	reload(t, p, "the old ones stay in use")

	keep.write("github-token", second+"\n")
	reload(t, p, `"changed":"GITHUB_TOKEN"`)
	eventually(t, 10*time.Second, "GitHub is well with the new token", func() bool { return github() == "" })
	h.Revoke(first)
	h.repo.Push("topic", map[string]string{"docs/a.md": "more\n"}, "more", h.dev)
	h.look(t, p, "after", 0)
	if u := h.Usage(); u.Unauthorized > 0 {
		t.Errorf("%d requests with a revoked token", u.Unauthorized)
	}
	if failed := passesThatFailed(p); len(failed) > 0 {
		t.Errorf("looks that failed:\n%s", strings.Join(failed, "\n"))
	}
	if logs := p.Logs(); strings.Contains(logs, first) || strings.Contains(logs, second) {
		t.Error("the log shows a token")
	}
}

// TestTheAppsKeyIsChanged: both are good at GitHub for a while; then the old one is removed there, with no look that fails.
func TestTheAppsKeyIsChanged(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	h := newHub(t)
	keep := safe{t, t.TempDir()}
	keep.write("private-key.pem", h.app.PrivateKey())
	p := testenv.Start(t, testenv.Options{Env: working(t, "GITHUB_TOKEN=", "GITHUB_API_URL="+h.url,
		"GITHUB_APP_ID="+strconv.FormatInt(h.app.ID, 10), "GITHUB_PRIVATE_KEY_FILE="+keep.path("private-key.pem"))})
	status := func() string { return askHealth(t, p, "/ready").Checks["github"].Status }
	eventually(t, 10*time.Second, "GitHub is well", func() bool { return status() == "ok" })
	h.look(t, p, "before", h.in.ID)

	next := h.app.NewKey()
	keep.write("private-key.pem", next[:len(next)/2])
	reload(t, p, "the old ones stay in use")
	h.look(t, p, "after-a-broken-file", h.in.ID)
	keep.write("private-key.pem", next)
	reload(t, p, `"changed":"GITHUB_PRIVATE_KEY"`)
	h.app.RemoveOldKeys()
	before := h.Usage().Requests["apps.get-authenticated"]
	p.Signal(t, syscall.SIGHUP) // asks GitHub once more
	eventually(t, 10*time.Second, "the App has signed with its new key", func() bool { return h.Usage().Requests["apps.get-authenticated"] > before })
	h.repo.Push("topic", map[string]string{"docs/a.md": "more\n"}, "more", h.dev)
	h.look(t, p, "after", h.in.ID)
	if u := h.Usage(); u.Unauthorized > 0 || status() != "ok" {
		t.Errorf("%d requests were not accepted, github is %s", u.Unauthorized, status())
	}
	if failed := passesThatFailed(p); len(failed) > 0 {
		t.Errorf("looks that failed:\n%s", strings.Join(failed, "\n"))
	}
	for _, line := range strings.Split(next, "\n")[1:3] {
		if strings.Contains(p.Logs(), line) {
			t.Error("the log shows a key")
		}
	}
}

// TestTheDashboardTokenIsChanged: the old one is refused at once, and so is a cookie that was made with it.
func TestTheDashboardTokenIsChanged(t *testing.T) {
	t.Parallel()
	const first, second = "the-first-dashboard-token", "the-second-dashboard-token"
	keep := safe{t, t.TempDir()}
	keep.write("dashboard-token", first+"\n")
	p := testenv.Start(t, testenv.Options{Env: working(t, "DASHBOARD_TOKEN_FILE="+keep.path("dashboard-token"))})
	status := func(head, value string) int {
		t.Helper()
		req, err := http.NewRequest("GET", p.URL+"/api/pulls", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(head, value)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	signIn := *client
	signIn.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := signIn.PostForm(p.URL+"/sign-in", url.Values{"token": {first}})
	if err != nil || len(res.Cookies()) != 1 {
		t.Fatalf("sign in: %v, %v", res, err)
	}
	res.Body.Close()
	cookie := res.Cookies()[0]
	check := func(when string, a, b, session int) {
		t.Helper()
		for _, c := range []struct {
			what, head, value string
			want              int
		}{
			{"the first token", "Authorization", "Bearer " + first, a},
			{"the second token", "Authorization", "Bearer " + second, b},
			{"the cookie", "Cookie", cookie.Name + "=" + cookie.Value, session},
		} {
			if got := status(c.head, c.value); got != c.want {
				t.Errorf("%s, %s = %d, want %d", when, c.what, got, c.want)
			}
		}
	}
	check("at first", 200, 401, 200)
	keep.write("dashboard-token", "two words\n")
	reload(t, p, "the old ones stay in use")
	check("after a broken file", 200, 401, 200)
	keep.write("dashboard-token", second+"\n")
	reload(t, p, `"changed":"DASHBOARD_TOKEN"`)
	check("with the new one", 401, 200, 401)
}

// TestTheCertificateIsChanged: new connections get the new one, open ones live on, a pair that does not belong together is
// refused.
func TestTheCertificateIsChanged(t *testing.T) {
	t.Parallel()
	keep := safe{t, t.TempDir()}
	put := func(cert, key string) {
		keep.write("tls.crt", cert)
		keep.write("tls.key", key)
	}
	ends := time.Now().Add(90 * 24 * time.Hour).Truncate(time.Second)
	put(testenv.Certificate(t, ends))
	port := testenv.FreePort(t)
	p := testenv.Start(t, testenv.Options{NoWait: true, Env: working(t,
		"PORT="+strconv.Itoa(port), "TLS_CERT_FILE="+keep.path("tls.crt"), "TLS_KEY_FILE="+keep.path("tls.key"))})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	trust := &tls.Config{InsecureSkipVerify: true} // which certificate it is, is what is asked
	served := func() time.Time {
		c, err := tls.Dial("tcp", address, trust)
		if err != nil {
			return time.Time{}
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].NotAfter
	}
	eventually(t, 15*time.Second, "the service serves HTTPS", func() bool { return served().Equal(ends) })

	// One connection that stays open over all of this.
	open, err := tls.Dial("tcp", address, trust)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	one := &http.Transport{MaxConnsPerHost: 1, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return open, nil }}
	kept := &http.Client{Transport: one, Timeout: 5 * time.Second}
	use := func(when string) {
		t.Helper()
		body := pullRequest(1)
		req, err := testenv.Webhook(t.Context(), "https://"+address, secret, "pull_request", "tls-"+when, body)
		if err != nil {
			t.Fatal(err)
		}
		res, err := kept.Do(req)
		if err != nil {
			t.Fatalf("%s, over the connection that is open: %v", when, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != 202 {
			t.Errorf("%s, over the connection that is open: %d", when, res.StatusCode)
		}
	}
	use("at-first")
	cert, key := testenv.Certificate(t, ends.Add(time.Hour))
	keep.write("tls.crt", cert) // without its key
	reload(t, p, "certificate")
	if got := served(); !got.Equal(ends) {
		t.Errorf("with half a pair, new connections get the certificate until %v, want the first", got)
	}
	use("with-half-a-pair")
	put(cert, key)
	reload(t, p, "reloaded secrets and certificates")
	if got := served(); !got.Equal(ends.Add(time.Hour)) {
		t.Errorf("after the reload, new connections get the certificate until %v, want the second", got)
	}
	use("with-the-new-one")
	if got := open.ConnectionState().PeerCertificates[0].NotAfter; !got.Equal(ends) {
		t.Errorf("the open connection has the certificate until %v, want the first", got)
	}
}
