package cli

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// manifestLife is how long GitHub lets the three steps of the manifest flow take.
const manifestLife = time.Hour

// A setup makes a GitHub App by GitHub's manifest flow: a form on this machine sends the browser to GitHub with the
// App's description, GitHub sends it back with a code, and the code is exchanged, once, for the App's credentials.
// https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
type setup struct {
	*world
	webhookURL string
	homepage   string
	name       string
	org        string
	dir        string
	port       int
	asJSON     bool

	api, web string // GitHub's API and website, without a trailing slash
	self     string // where the form is
	done     chan outcome

	mu    sync.Mutex
	state string // what GitHub must send back, so that nobody else's code is taken; "" once one was taken
}

// An outcome is what the exchange came to.
type outcome struct {
	app registered
	err error
}

// registered is GitHub's answer to the exchange, as far as it is needed.
type registered struct {
	ID            int64  `json:"id"`
	Slug          string `json:"slug"`
	HTMLURL       string `json:"html_url"`
	PEM           string `json:"pem"`
	WebhookSecret string `json:"webhook_secret"`
}

// A manifest describes the App to GitHub.
type manifest struct {
	Name        string            `json:"name"`
	URL         string            `json:"url"`
	Hook        manifestHook      `json:"hook_attributes"`
	Redirect    string            `json:"redirect_url"`
	Description string            `json:"description"`
	Public      bool              `json:"public"`
	Permissions map[string]string `json:"default_permissions"`
	Events      []string          `json:"default_events"`
}

type manifestHook struct {
	URL    string `json:"url"`
	Active bool   `json:"active"`
}

func (w *world) setupCommand() *cobra.Command {
	s := &setup{world: w}
	cmd := &cobra.Command{
		Use:   "setup --webhook-url URL",
		Short: "Makes a GitHub App for this service",
		Long: `Registers a GitHub App with the permissions and events that the service needs, and keeps its credentials in files.

It prints an address on this machine. Open it in a browser where you are signed in to GitHub, press the button, confirm
on GitHub, and come back: the App's id, private key and webhook secret are then in --dir, readable by you alone, and
the lines for .env are printed. Nothing secret is shown. Then install the App on your repositories; the link is printed.

On a machine without a browser, choose a --port and forward it: ssh -L 3999:127.0.0.1:3999 HOST`,
		Example: `  github-pr-manager setup --webhook-url https://pulls.example.com/webhook
  github-pr-manager setup --webhook-url https://pulls.example.com/webhook --org acme --name "Acme pull requests"`,
		Args: arguments(0, 0, "no arguments, only flags"),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&s.webhookURL, "webhook-url", "", "where GitHub sends webhooks: the `URL` of this service's /webhook (default $PUBLIC_URL/webhook)")
	f.StringVar(&s.name, "name", "", "what the App is called; unique on GitHub (default \"PR Manager\" and four letters)")
	f.StringVar(&s.org, "org", "", "the `organization` that owns the App (default: you)")
	f.StringVar(&s.homepage, "homepage", "https://github.com/brandonlacoste9-tech/github-pr-manager", "the `URL` that the App's page on GitHub links to")
	f.StringVar(&s.dir, "dir", "", "where to keep the credentials (default $DATA_DIR/github-app)")
	f.IntVar(&s.port, "port", 0, "the port of the form on this machine (default any free one)")
	f.BoolVar(&s.asJSON, "json", false, "print what was made as JSON; what to do goes to stderr")
	return cmd
}

// The files that setup writes.
const (
	fileAppID  = "app-id"
	fileKey    = "private-key.pem"
	fileSecret = "webhook-secret"
)

func (s *setup) run(ctx context.Context) error {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	if err := s.complete(cfg); err != nil {
		return err
	}
	// Before GitHub makes anything: credentials that can't be kept are lost.
	if err := s.prepareDir(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	if err != nil {
		return usagef("can't open the form on port %d: choose another --port, or none", s.port)
	}
	s.self = "http://" + l.Addr().String()
	s.state = rand.Text()
	s.done = make(chan outcome, 1)
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	defer func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = server.Shutdown(grace) // so that the browser gets its last page
		<-served
	}()

	out := s.stdout
	if s.asJSON {
		out = s.stderr
	}
	fmt.Fprintf(out, "Open this in a browser where you are signed in to GitHub:\n\n  %s/\n\nWaiting for GitHub. Ctrl-C ends it; nothing is made then.\n", s.self)
	deadline := time.NewTimer(manifestLife)
	defer deadline.Stop()
	select {
	case <-ctx.Done():
		return errors.New("ended before GitHub had answered: nothing was kept; run setup again")
	case <-deadline.C:
		return errors.New("GitHub had not answered within an hour, which is as long as it takes answers: run setup again")
	case o := <-s.done:
		if o.err != nil {
			return o.err
		}
		return s.report(o.app)
	}
}

// complete fills in what no flag says and refuses what GitHub would refuse later.
func (s *setup) complete(cfg app.Config) error {
	if s.webhookURL == "" && cfg.PublicURL != app.Default().PublicURL {
		s.webhookURL = cfg.PublicURL + "/webhook"
	}
	if s.webhookURL == "" {
		return usagef("setup needs --webhook-url: where GitHub can reach this service, such as https://pulls.example.com/webhook")
	}
	hook, err := url.Parse(s.webhookURL)
	if err != nil || !webAddress(s.webhookURL) || hook.User != nil {
		return usagef("--webhook-url is not a web address: want one such as https://pulls.example.com/webhook")
	}
	if hook.Path == "" || hook.Path == "/" {
		hook.Path = "/webhook"
		s.webhookURL = hook.String()
	}
	if private(hook.Hostname()) && cfg.GitHubAPI == app.Default().GitHubAPI {
		s.warn([]app.Warning{app.Warning("GitHub can't reach " + hook.Hostname() + ": webhooks will fail until the App has a public address")})
	}
	if !webAddress(s.homepage) {
		return usagef("--homepage is not a web address: want one such as https://pulls.example.com")
	}
	if s.port < 0 || s.port > 65535 {
		return usagef("--port is %d: want a port number from 1 to 65535", s.port)
	}
	if s.org != "" && !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`).MatchString(s.org) {
		return usagef("--org is %q: want the name of an organization on GitHub", s.org)
	}
	if s.name == "" {
		s.name = "PR Manager " + strings.ToLower(rand.Text()[:4])
	}
	if n := len([]rune(s.name)); n > 34 {
		return usagef("--name has %d characters: GitHub takes 34 at most", n)
	}
	if s.dir == "" {
		s.dir = filepath.Join(cfg.DataDir, "github-app")
	}
	s.api, s.web = cfg.GitHubAPI, website(cfg.GitHubAPI)
	return nil
}

// private reports whether a host name or address means something on this machine or network only.
func private(host string) bool {
	if host == "localhost" || !strings.ContainsAny(host, ".:") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified())
}

// website returns the address of GitHub's pages beside its API: api.github.com has github.com, api.NAME.ghe.com has
// NAME.ghe.com, and an Enterprise Server has both on one host.
func website(api string) string {
	u, err := url.Parse(api)
	if err != nil {
		return "https://github.com" // unreachable: the configuration has parsed it
	}
	u.Path = strings.TrimSuffix(u.Path, "/api/v3")
	if h := u.Hostname(); h == "api.github.com" || strings.HasSuffix(h, ".ghe.com") {
		u.Host = strings.TrimPrefix(u.Host, "api.")
	}
	return strings.TrimRight(u.String(), "/")
}

// prepareDir makes the directory and proves that files can be written there, over no others.
func (s *setup) prepareDir() error {
	for _, name := range []string{fileAppID, fileKey, fileSecret} {
		if _, err := os.Lstat(filepath.Join(s.dir, name)); err == nil {
			return usagef("%s holds an App's credentials already: choose another --dir, or move them away", s.dir)
		}
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return usagef("can't make --dir %s: %w", s.dir, bare(err))
	}
	probe, err := os.CreateTemp(s.dir, ".setup-*")
	if err != nil {
		return usagef("can't write into --dir %s: %w", s.dir, bare(err))
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

// manifest is what the App is to be.
func (s *setup) manifest() manifest {
	return manifest{
		Name: s.name, URL: s.homepage, Redirect: s.self + "/callback",
		Hook:        manifestHook{URL: s.webhookURL, Active: true},
		Description: "Labels, explains and merges pull requests by the policy in .github/pr-manager.yml.",
		Permissions: pull.AppPermissions(),
		Events:      pull.AppEvents(),
	}
}

// page is everything that the form's pages say.
//
//go:embed setup.html
var pageText string

var page = template.Must(template.New("setup").Parse(pageText))

type pageData struct {
	Title, Text     string
	Action          string // where the form goes; "" has no form
	Manifest        string
	Link, LinkTitle string
}

// ServeHTTP serves the form, and takes GitHub's answer.
func (s *setup) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action "+origin(s.web)+"; frame-ancestors 'none'; base-uri 'none'")
	show := func(status int, d pageData) {
		w.WriteHeader(status)
		_ = page.Execute(w, d)
	}
	// Another site's page must not be able to read the state by a name that it lets resolve to this machine.
	if "http://"+r.Host != s.self && r.Host != "localhost:"+s.self[strings.LastIndexByte(s.self, ':')+1:] {
		show(http.StatusForbidden, pageData{Title: "Not here", Text: "Open the address that setup printed."})
		return
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		show(http.StatusMethodNotAllowed, pageData{Title: "Not so", Text: "Open the address that setup printed."})
	case r.URL.Path == "/":
		s.form(show)
	case r.URL.Path == "/callback" && r.Method == http.MethodGet:
		s.callback(r, show)
	default:
		show(http.StatusNotFound, pageData{Title: "Nothing here", Text: "Open the address that setup printed."})
	}
}

func (s *setup) form(show func(int, pageData)) {
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	text, err := json.Marshal(s.manifest())
	if err != nil || state == "" {
		show(http.StatusGone, pageData{Title: "This form has been used", Text: "Look at the terminal, and run setup again if you need another App."})
		return
	}
	path := "/settings/apps/new"
	if s.org != "" {
		path = "/organizations/" + s.org + path
	}
	show(http.StatusOK, pageData{
		Title:    "Make a GitHub App for GitHub PR Manager",
		Text:     "GitHub shows what the App may do and asks you to confirm. Its webhooks go to " + s.webhookURL + ".",
		Action:   s.web + path + "?state=" + url.QueryEscape(state),
		Manifest: string(text),
	})
}

var codeShape = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)

// callback takes the code that GitHub sends the browser back with. The state proves that it is the answer to our form.
func (s *setup) callback(r *http.Request, show func(int, pageData)) {
	q := r.URL.Query()
	code := q.Get("code")
	s.mu.Lock()
	ours := s.state != "" && subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(s.state)) == 1
	if ours && codeShape.MatchString(code) {
		s.state = "" // a code is exchanged once
	}
	s.mu.Unlock()
	if !ours {
		show(http.StatusBadRequest, pageData{Title: "This is not the answer to your form", Text: "The state does not match. Go back to the address that setup printed, and press the button there."})
		return
	}
	if !codeShape.MatchString(code) {
		show(http.StatusBadRequest, pageData{Title: "GitHub sent no code", Text: "Go back to the address that setup printed, and press the button again."})
		return
	}
	// The exchange must not end because the browser is closed: GitHub gives the credentials out only once.
	a, err := s.exchange(context.WithoutCancel(r.Context()), code)
	if err == nil {
		err = s.keep(a)
	}
	if err != nil {
		show(http.StatusBadGateway, pageData{Title: "It did not work", Text: err.Error()})
	} else {
		show(http.StatusOK, pageData{
			Title: "The App is made", Text: "Its credentials are in " + s.dir + ". Go on in the terminal, and install the App on your repositories.",
			Link: a.HTMLURL + "/installations/new", LinkTitle: "Install " + a.Slug,
		})
	}
	s.done <- outcome{a, err}
}

// exchange gives GitHub the code for the App's credentials.
func (s *setup) exchange(ctx context.Context, code string) (registered, error) {
	var a registered
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.api+"/app-manifests/"+code+"/conversions", nil)
	if err != nil {
		return a, fmt.Errorf("fetch the App's credentials: %w", err)
	}
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	req.Header.Set("User-Agent", program+"/"+ThisBuild().Version)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the URL holds the code
		}
		return a, fmt.Errorf("fetch the App's credentials from %s: %w; delete the App on GitHub and run setup again", s.api, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return a, fmt.Errorf("fetch the App's credentials from %s: %w; delete the App on GitHub and run setup again", s.api, err)
	case resp.StatusCode == http.StatusNotFound:
		return a, errors.New("GitHub does not know the code (any more): it can be used once, within an hour; run setup again")
	case resp.StatusCode != http.StatusCreated:
		return a, fmt.Errorf("GitHub answered %d when asked for the App's credentials: delete the App on GitHub and run setup again", resp.StatusCode)
	}
	if json.Unmarshal(body, &a) != nil || a.ID == 0 || a.PEM == "" || !webAddress(a.HTMLURL) {
		return registered{}, errors.New("GitHub's answer holds no App: delete the App on GitHub and run setup again")
	}
	s.secrets.Add(a.PEM, a.WebhookSecret)
	return a, nil
}

// webAddress reports whether s is an address that a browser can follow.
func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != ""
}

// keep writes the credentials down, readable by their owner alone.
func (s *setup) keep(a registered) error {
	files := [][2]string{{fileAppID, strconv.FormatInt(a.ID, 10) + "\n"}, {fileKey, strings.TrimSpace(a.PEM) + "\n"}}
	if a.WebhookSecret != "" {
		files = append(files, [2]string{fileSecret, a.WebhookSecret + "\n"})
	}
	for _, f := range files {
		if err := writeNew(filepath.Join(s.dir, f[0]), f[1]); err != nil {
			return fmt.Errorf("keep %s in %s: %w; delete the App on GitHub and run setup again", f[0], s.dir, bare(err))
		}
	}
	return nil
}

// writeNew writes a file that was not there, to the disk.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// report prints what to do now.
func (s *setup) report(a registered) error {
	key, secret := filepath.Join(s.dir, fileKey), filepath.Join(s.dir, fileSecret)
	install := a.HTMLURL + "/installations/new"
	if a.WebhookSecret == "" {
		secret = ""
	}
	if s.asJSON {
		return s.json(map[string]any{
			"app_id": a.ID, "slug": a.Slug, "private_key_file": key, "webhook_secret_file": secret, "install_url": install,
			"github_api_url": s.api,
		})
	}
	s.printf("\nThe App %s is made. Put these lines into .env:\n\n", a.Slug)
	s.printf("GITHUB_APP_ID=%d\nGITHUB_PRIVATE_KEY_FILE=%s\n", a.ID, key)
	if secret != "" {
		s.printf("WEBHOOK_SECRET_FILE=%s\n", secret)
	}
	if s.api != app.Default().GitHubAPI {
		s.printf("GITHUB_API_URL=%s\n", s.api)
	}
	s.printf("\nThen install it on your repositories:\n\n  %s\n", install)
	if secret == "" {
		return fmt.Errorf("GitHub gave the App no webhook secret: set one at %s and put it into WEBHOOK_SECRET", a.HTMLURL)
	}
	return nil
}

// origin returns scheme, host and port of an address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "'none'"
	}
	return u.Scheme + "://" + u.Host
}
