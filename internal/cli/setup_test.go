package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// A registry is GitHub as far as making an App goes: the page that a form is posted to, and the exchange of its code.
type registry struct {
	*httptest.Server
	mu       sync.Mutex
	manifest manifest
	path     string // where the form was posted
	codes    map[string]bool
	answer   int    // status of the exchange; 0 is as GitHub does
	secret   string // the webhook secret it gives
}

func newRegistry(t *testing.T) *registry {
	g := &registry{codes: map[string]bool{}, secret: "webhook-" + canary}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	return g
}

func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/settings/apps/new"):
		g.path = r.URL.Path
		if err := json.Unmarshal([]byte(r.FormValue("manifest")), &g.manifest); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		g.codes["code1"] = true
		http.Redirect(w, r, g.manifest.Redirect+"?code=code1&state="+url.QueryEscape(r.URL.Query().Get("state")), http.StatusFound)
	case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/app-manifests/"):
		code := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/app-manifests/"), "/conversions")
		if !g.codes[code] || r.Header.Get("Accept") != "application/vnd.github+json" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		delete(g.codes, code) // once
		if g.answer != 0 {
			w.WriteHeader(g.answer)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"id": 4242, "slug": "acme-prs", "html_url": g.URL + "/apps/acme-prs", "pem": "-----BEGIN RSA PRIVATE KEY-----\n" + canary + "\n-----END RSA PRIVATE KEY-----\n",
			"webhook_secret": g.secret, "client_secret": canary,
		})
	default:
		http.NotFound(w, r)
	}
}

// A settingUp is `setup` as it runs, and a browser beside it.
type settingUp struct {
	t       *testing.T
	form    string // the address that it printed
	dir     string
	ended   chan int
	out     *bufio.Reader
	stderr  *strings.Builder
	cancel  context.CancelFunc
	browser *http.Client
}

func startSetup(t *testing.T, github string, args ...string) *settingUp {
	t.Helper()
	t.Chdir(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, w := io.Pipe()
	s := &settingUp{
		t: t, dir: filepath.Join("data", "github-app"), ended: make(chan int, 1), out: bufio.NewReader(r), stderr: &strings.Builder{}, cancel: cancel,
		browser: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	args = append([]string{"setup", "--webhook-url", "https://pulls.example.com"}, args...)
	go func() {
		code := Run(ctx, args, strings.NewReader(""), w, s.stderr, []string{"GITHUB_API_URL=" + github})
		_ = w.Close()
		s.ended <- code
	}()
	for s.form == "" {
		line, err := s.out.ReadString('\n')
		if err != nil {
			t.Fatalf("setup ended with %d before it printed an address: %s", <-s.ended, s.stderr)
		}
		if strings.HasPrefix(line, "  http://127.0.0.1:") {
			s.form = strings.TrimSpace(line)
		}
	}
	return s
}

// get asks for a page and returns its status and text.
func (s *settingUp) get(address string) (int, string) {
	s.t.Helper()
	resp, err := s.browser.Get(address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

var (
	actionShape   = regexp.MustCompile(`<form action="([^"]+)" method="post">`)
	manifestShape = regexp.MustCompile(`name="manifest" value="([^"]+)"`)
)

// press presses the button of the form and returns the page that the browser ends on.
func (s *settingUp) press() (int, string) {
	s.t.Helper()
	status, page := s.get(s.form)
	action, text := actionShape.FindStringSubmatch(page), manifestShape.FindStringSubmatch(page)
	if status != http.StatusOK || action == nil || text == nil {
		s.t.Fatalf("the form answered %d: %s", status, page)
	}
	resp, err := s.browser.PostForm(html.UnescapeString(action[1]), url.Values{"manifest": {html.UnescapeString(text[1])}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// end waits for setup to end and returns what it printed since its address.
func (s *settingUp) end() (code int, out string) {
	s.t.Helper()
	b, err := io.ReadAll(s.out)
	if err != nil {
		s.t.Fatal(err)
	}
	code = <-s.ended
	for _, text := range []string{string(b), s.stderr.String()} {
		if strings.Contains(text, canary) {
			s.t.Errorf("setup printed a secret: %s", text)
		}
	}
	return code, string(b)
}

func TestSetup(t *testing.T) {
	g := newRegistry(t)
	s := startSetup(t, g.URL, "--org", "acme", "--name", "Acme <pulls>")

	// Only the answer to our own form is taken, and only by the name that was printed.
	for _, query := range []string{"", "?code=code1", "?code=code1&state=", "?code=code1&state=AAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		if status, page := s.get(s.form + "callback" + query); status != http.StatusBadRequest {
			t.Errorf("GET /callback%s = %d %s, want 400", query, status, page)
		}
	}
	req, err := http.NewRequest(http.MethodGet, s.form, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example:80"
	resp, err := s.browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusForbidden {
		t.Errorf("GET / as evil.example = %d, want 403: another site could read the state", resp.StatusCode)
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action "+g.URL+";") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy = %q", csp)
	}

	status, page := s.press()
	if status != http.StatusOK || !strings.Contains(page, "Install acme-prs") || strings.Contains(page, canary) {
		t.Errorf("the last page is %d %s", status, page)
	}
	code, out := s.end()
	want := "GITHUB_APP_ID=4242\nGITHUB_PRIVATE_KEY_FILE=data/github-app/private-key.pem\nWEBHOOK_SECRET_FILE=data/github-app/webhook-secret\nGITHUB_API_URL=" + g.URL + "\n"
	if code != exitFine || !strings.Contains(out, want) || !strings.Contains(out, g.URL+"/apps/acme-prs/installations/new") {
		t.Errorf("setup = %d, %s %s, want %s", code, out, s.stderr, want)
	}

	m := g.manifest
	if g.path != "/organizations/acme/settings/apps/new" || m.Name != "Acme <pulls>" || m.Hook.URL != "https://pulls.example.com/webhook" || !m.Hook.Active || m.Public {
		t.Errorf("GitHub got %+v at %s", m, g.path)
	}
	if got := fmt.Sprint(m.Permissions); got != "map[actions:write checks:write contents:write issues:write members:read merge_queues:read metadata:read pull_requests:write statuses:write]" {
		t.Errorf("permissions = %s", got)
	}
	if got := strings.Join(m.Events, " "); got != "pull_request pull_request_review pull_request_review_comment pull_request_review_thread issue_comment check_run check_suite status push merge_group" {
		t.Errorf("events = %s", got)
	}
	for name, want := range map[string]string{
		fileAppID: "4242\n", fileKey: "-----BEGIN RSA PRIVATE KEY-----\n" + canary + "\n-----END RSA PRIVATE KEY-----\n", fileSecret: "webhook-" + canary + "\n",
	} {
		path := filepath.Join(s.dir, name)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v, want %q", name, text, err, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(s.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v, want 0700", info.Mode(), err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("the directory holds %v, %v, want three files", entries, err)
	}

	// What is there is never overwritten.
	var errs strings.Builder
	if code := Run(t.Context(), []string{"setup", "--webhook-url", "https://x.example/webhook"}, nil, io.Discard, &errs, nil); code != exitUsage ||
		errs.String() != "github-pr-manager: data/github-app holds an App's credentials already: choose another --dir, or move them away\n" {
		t.Errorf("a second setup = %d, %s", code, &errs)
	}
}

// TestSetupConfigures: with a GitHub that makes real keys, the lines that setup prints are a configuration that loads.
func TestSetupConfigures(t *testing.T) {
	world, err := githubtest.New(githubtest.Options{Dir: filepath.Join(t.TempDir(), "github")})
	if err != nil {
		t.Fatal(err)
	}
	hub := httptest.NewServer(world)
	defer hub.Close()
	s := startSetup(t, hub.URL)
	_, page := s.get(s.form)
	action := actionShape.FindStringSubmatch(page)
	if action == nil {
		t.Fatalf("no form in %s", page)
	}
	_, state, _ := strings.Cut(html.UnescapeString(action[1]), "state=")
	code, made := world.Manifest("acme-prs", githubtest.AppOptions{})
	if status, page := s.get(s.form + "callback?code=" + code + "&state=" + state); status != http.StatusOK {
		t.Fatalf("the last page is %d %s", status, page)
	}
	exit, out := s.end()
	var environ []string
	for line := range strings.Lines(out) {
		if name, _, ok := strings.Cut(line, "="); ok && strings.ToUpper(name) == name {
			environ = append(environ, strings.TrimSpace(line))
		}
	}
	cfg, _, err := app.Load(environ, os.ReadFile, "")
	if exit != exitFine || err != nil || cfg.AppID != made.ID || string(cfg.Secrets.AppKey()) != made.PrivateKey() || len(cfg.Secrets.Webhook()) != 1 || cfg.GitHubAPI != hub.URL {
		t.Errorf("setup = %d, and Load(%q) = %v, %v", exit, environ, cfg, err)
	}
}

func TestSetupJSON(t *testing.T) {
	g := newRegistry(t)
	t.Chdir(t.TempDir())
	errs, w := io.Pipe()
	var out strings.Builder
	ended := make(chan int, 1)
	go func() {
		ended <- Run(t.Context(), []string{"setup", "--json", "--dir", "here"}, nil, &out, w, []string{"GITHUB_API_URL=" + g.URL, "PUBLIC_URL=https://pulls.example.com"})
		_ = w.Close()
	}()
	s := &settingUp{t: t, browser: http.DefaultClient}
	lines := bufio.NewScanner(errs)
	for s.form == "" && lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, "http://127.0.0.1:") {
			s.form = line
		}
	}
	go func() { _, _ = io.Copy(io.Discard, errs) }()
	if status, page := s.press(); status != http.StatusOK {
		t.Fatalf("the last page is %d %s", status, page)
	}
	code := <-ended
	var got struct {
		AppID  int64  `json:"app_id"`
		Key    string `json:"private_key_file"`
		Secret string `json:"webhook_secret_file"`
	}
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || code != exitFine || got.AppID != 4242 || got.Key != "here/private-key.pem" || got.Secret != "here/webhook-secret" {
		t.Errorf("setup --json = %d, %s, %v", code, &out, err)
	}
	if g.manifest.Hook.URL != "https://pulls.example.com/webhook" || g.path != "/settings/apps/new" || !strings.HasPrefix(g.manifest.Name, "PR Manager ") {
		t.Errorf("GitHub got %+v at %s", g.manifest, g.path)
	}
}

func TestSetupFailures(t *testing.T) {
	t.Run("the exchange fails", func(t *testing.T) {
		g := newRegistry(t)
		g.answer = http.StatusInternalServerError
		s := startSetup(t, g.URL)
		if status, page := s.press(); status != http.StatusBadGateway || !strings.Contains(page, "It did not work") {
			t.Errorf("the last page is %d %s", status, page)
		}
		if code, _ := s.end(); code != exitNo || !strings.Contains(s.stderr.String(), "GitHub answered 500 when asked for the App's credentials: delete the App on GitHub and run setup again") {
			t.Errorf("setup = %d, %s", code, s.stderr)
		}
	})
	t.Run("an unknown code", func(t *testing.T) {
		g := newRegistry(t)
		s := startSetup(t, g.URL)
		_, page := s.get(s.form)
		action := html.UnescapeString(actionShape.FindStringSubmatch(page)[1])
		_, state, _ := strings.Cut(action, "state=")
		if status, _ := s.get(s.form + "callback?code=../../x&state=" + state); status != http.StatusBadRequest {
			t.Errorf("a code that is a path = %d, want 400", status)
		}
		if status, _ := s.get(s.form + "callback?code=unknown&state=" + state); status != http.StatusBadGateway {
			t.Errorf("an unknown code = %d, want 502", status)
		}
		if code, _ := s.end(); code != exitNo || !strings.Contains(s.stderr.String(), "GitHub does not know the code") {
			t.Errorf("setup = %d, %s", code, s.stderr)
		}
	})
	t.Run("no webhook secret", func(t *testing.T) {
		g := newRegistry(t)
		g.secret = ""
		s := startSetup(t, g.URL)
		s.press()
		if code, out := s.end(); code != exitNo || strings.Contains(out, "WEBHOOK_SECRET_FILE") || !strings.Contains(s.stderr.String(), "GitHub gave the App no webhook secret") {
			t.Errorf("setup = %d, %s %s", code, out, s.stderr)
		}
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		s := startSetup(t, newRegistry(t).URL)
		s.cancel()
		if code, _ := s.end(); code != exitNo || !strings.Contains(s.stderr.String(), "ended before GitHub had answered: nothing was kept") {
			t.Errorf("setup = %d, %s", code, s.stderr)
		}
	})

	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "setup needs --webhook-url: where GitHub can reach this service, such as https://pulls.example.com/webhook"},
		{[]string{"--webhook-url", "pulls.example.com"}, "--webhook-url is not a web address: want one such as https://pulls.example.com/webhook"},
		{[]string{"--webhook-url", "https://x.example", "--homepage", "x"}, "--homepage is not a web address: want one such as https://pulls.example.com"},
		{[]string{"--webhook-url", "https://x.example", "--port", "70000"}, "--port is 70000: want a port number from 1 to 65535"},
		{[]string{"--webhook-url", "https://x.example", "--org", "a/b"}, `--org is "a/b": want the name of an organization on GitHub`},
		{[]string{"--webhook-url", "https://x.example", "--name", strings.Repeat("x", 35)}, "--name has 35 characters: GitHub takes 34 at most"},
		{[]string{"--webhook-url", "https://x.example", "--dir", "/proc/nowhere"}, "can't make --dir /proc/nowhere: no such file or directory"},
	} {
		code, _, stderr := run(t, nil, "", append([]string{"setup"}, tt.args...)...)
		if code != exitUsage || stderr != program+": "+tt.want+"\n" {
			t.Errorf("setup %s = %d, %s, want %s", tt.args, code, stderr, tt.want)
		}
	}
}
