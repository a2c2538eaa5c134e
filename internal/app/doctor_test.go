package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/doctor"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// An installation is one whose every part is well, for tests to break.
type installation struct {
	t      *testing.T
	as     string // app or token
	dir    string
	env    map[string]string
	hub    *githubtest.Server
	app    *githubtest.App
	keeper *githubtest.User
	token  string
	in     *githubtest.Installation
	repo   *githubtest.Repo
	pr     *githubtest.PR
	hook   *githubtest.Hook
	answer int // of the receiver of webhooks
	front  *httptest.Server
	self   *http.Client
	only   []pull.Repo
}

const policyText = "version: 1\nlabels:\n  docs:\n    files: \"docs/**\"\n"

func newInstallation(t *testing.T, as string) *installation {
	t.Helper()
	dir := t.TempDir()
	i := &installation{t: t, as: as, dir: dir, answer: http.StatusAccepted}
	hub, err := githubtest.New(githubtest.Options{
		Dir: filepath.Join(dir, "hub"), Seed: 1,
		Deliver: func(r *http.Request) (*http.Response, error) {
			if i.answer == 0 {
				return nil, fmt.Errorf("connection refused")
			}
			return &http.Response{StatusCode: i.answer, Body: http.NoBody, Request: r}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	i.hub = hub
	mona := hub.User("mona")
	i.repo = hub.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{
		"README.md": "# app\n", ".github/pr-manager.yml": policyText, ".github/CODEOWNERS": "* @mona\n",
	}})
	i.repo.Grant(mona, githubtest.CanWrite)
	i.app = hub.App("pr-manager", githubtest.AppOptions{Permissions: pull.AppPermissions(), Events: pull.AppEvents()})
	i.keeper = hub.User("keeper")
	i.repo.Grant(i.keeper, githubtest.CanAdmin)
	i.token = i.keeper.Token()
	ci := hub.App("ci", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
	ci.Install(i.repo.Owner())
	o := githubtest.HookOptions{URL: "https://example.com/webhook", Secret: "a-secret-of-some-length", Events: pull.AppEvents()}
	i.env = map[string]string{
		"DATA_DIR": filepath.Join(dir, "data"), "WEBHOOK_SECRET": "a-secret-of-some-length", "PUBLIC_URL": "https://example.com",
		"DASHBOARD_TOKEN": "a-token-of-some-length", "PORT": strconv.Itoa(testenv.FreePort(t)), "HOST": "127.0.0.1",
	}
	if as == "app" {
		i.in = i.app.Install(i.repo.Owner())
		i.hook = i.app.Hook(o)
		i.env["GITHUB_APP_ID"], i.env["GITHUB_PRIVATE_KEY"] = strconv.FormatInt(i.app.ID, 10), i.app.PrivateKey()
	} else {
		i.hook = i.repo.Hook(i.keeper, o)
		i.env["GITHUB_TOKEN"] = i.token
	}
	i.repo.Protect("main", &githubtest.Protection{Checks: []githubtest.RequiredCheck{{Context: "build"}}})
	i.repo.Rules("main", githubtest.Ruleset{Checks: []string{"lint"}})
	i.repo.Push("topic", map[string]string{"docs/a.md": "a\n"}, "work", mona)
	i.pr = i.repo.Open(mona, "topic", "main", "One", "please")
	i.repo.Check(i.pr.Head(), ci, "build", "completed", "success")
	i.repo.Status(i.pr.Head(), "lint", "success", mona)

	i.front = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"status":"healthy","checks":{}}`))
	}))
	t.Cleanup(i.front.Close)
	i.self = i.front.Client()
	i.self.Timeout = 5 * time.Second
	tr := i.self.Transport.(*http.Transport)
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "example.com:443" {
			address = i.front.Listener.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}

	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "data", "github-pr-manager.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	i.env["GITHUB_REPOSITORY"] = "octo/app"
	return i
}

func (i *installation) examine() []doctor.Finding {
	i.t.Helper()
	i.hub.Flush(i.t.Context())
	var environ []string
	for k, v := range i.env {
		environ = append(environ, k+"="+v)
	}
	cfg, warnings, err := Load(environ, os.ReadFile, "")
	if err != nil {
		i.t.Fatal(err)
	}
	findings, err := Doctor(i.t.Context(), cfg, warnings, Options{GitHub: i.hub.Transport(), Self: i.self}, i.only, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	return findings
}

func (i *installation) sql(text string) {
	i.t.Helper()
	db := testenv.Open(i.t, "sqlite:"+filepath.Join(i.dir, "data", "github-pr-manager.db"))
	if _, err := db.Exec(text); err != nil {
		i.t.Fatal(err)
	}
}

// TestDoctor: of a healthy installation all is well, and each thing that is broken has exactly its one finding.
func TestDoctor(t *testing.T) {
	lackingContents := pull.AppPermissions()
	lackingContents["contents"] = "read"
	for _, tt := range []struct {
		name, as string
		broken   func(i *installation)
		want     []string // status name (about): detail → do, but for what is ok and skipped
	}{
		{name: "healthy", as: "app"},
		{name: "healthy", as: "token"},
		{"no secret", "app", func(i *installation) { delete(i.env, "WEBHOOK_SECRET") }, []string{
			"failing webhook secret: there is no WEBHOOK_SECRET: every webhook is answered 503 → make one with openssl rand -hex 32, set it here and at GitHub",
		}},
		{"a name that is nearly one", "app", func(i *installation) { i.env["WEBHOK_SECRET"] = "x" }, []string{
			"warning configuration: WEBHOK_SECRET is not a variable of this program and is ignored: did you mean WEBHOOK_SECRET? → set it right, or remove it",
		}},
		{"observes only", "app", func(i *installation) { i.env["AGENTS_ENABLED"] = "false" }, []string{
			"warning agents: AGENTS_ENABLED is false: the service decides and writes nothing → remove it when the service is to act",
		}},
		{"no database yet", "app", func(i *installation) { i.env["DATA_DIR"] = i.t.TempDir() }, []string{
			"warning database: there is none yet: serve makes it when it starts for the first time → start the service once, or github-pr-manager migrate up",
		}},
		{"an old schema", "app", func(i *installation) { i.sql("DELETE FROM schema_migrations WHERE version > 1") }, []string{
			"failing schema: it is version 1, and this program needs N → github-pr-manager migrate up, or start the service",
		}},
		{"Redis down", "app", func(i *installation) {
			i.env["REDIS_URL"] = fmt.Sprintf("redis://127.0.0.1:%d/0", testenv.FreePort(i.t))
		}, []string{
			"warning redis: deliveries are taken from the database alone: Redis does not answer: is it running? → see REDIS_URL, and whether Redis runs",
		}},
		{"somebody else on the port", "app", func(i *installation) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				i.t.Fatal(err)
			}
			i.t.Cleanup(func() { l.Close() })
			go func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					c.Close()
				}
			}()
			i.env["PORT"] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		}, []string{
			"failing port: port P is already in use by app.test (process N): end that with `kill N`, or set PORT to another one: PORT=P → end the other program, or choose another port",
		}},
		{"no public address", "token", func(i *installation) { i.env["PUBLIC_URL"] = "http://localhost:3001" }, []string{
			"warning public address: PUBLIC_URL is http://localhost:3001, which leads to the machine of whoever follows it: GitHub can't reach that, nor can people → set PUBLIC_URL to where they reach the service",
		}},
		{"a certificate that nobody trusts", "app", func(i *installation) {
			tr := i.self.Transport.(*http.Transport).Clone()
			tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
			i.self = &http.Client{Transport: tr, Timeout: 5 * time.Second}
		}, []string{
			"failing public address: the certificate of example.com can't be trusted: x509: certificate signed by unknown authority → renew it, or serve the whole chain",
		}},
		{"somebody else at the public address", "app", func(i *installation) {
			i.front.Config.Handler = http.NotFoundHandler()
		}, []string{
			"warning public address: what answers at https://example.com is not this service → see where the load balancer sends /health, /webhook and /",
		}},
		{"no credentials", "token", func(i *installation) { delete(i.env, "GITHUB_TOKEN") }, []string{
			"failing credentials: there are none: the service keeps deliveries and does nothing → set GITHUB_APP_ID and GITHUB_PRIVATE_KEY_FILE (github-pr-manager setup makes an App), or GITHUB_TOKEN",
		}},
		{"GitHub away", "app", func(i *installation) { i.hub.Fail(githubtest.Fault{Kind: githubtest.NoHost, Times: -1}) }, []string{
			"failing credentials: ask GitHub about the App: GitHub can't be reached: lookup api.github.com: no such host → see the network, HTTPS_PROXY and GITHUB_API_URL, and https://www.githubstatus.com",
		}},
		{"a revoked token", "token", func(i *installation) { i.hub.Revoke(i.token) }, []string{
			"failing credentials: GitHub does not accept GITHUB_TOKEN: Bad credentials → make a new classic token with the scope repo",
		}},
		{"another App's key", "app", func(i *installation) { i.app.RenewKey() }, []string{
			"failing credentials: GitHub does not accept GITHUB_APP_ID and GITHUB_PRIVATE_KEY: A JSON web token could not be decoded (do GITHUB_APP_ID and GITHUB_PRIVATE_KEY belong to the same App?) → take the App's id and a key from its settings page",
		}},
		{"no scope", "token", func(i *installation) {
			i.hub.Scopes(i.token, "public_repo")
		}, nil},
		{"a token without its scope", "token", func(i *installation) { i.hub.Scopes(i.token, "gist") }, []string{
			"failing scopes: GITHUB_TOKEN has the scopes gist: it needs repo (or public_repo, for public repositories only) → make a new classic token with the scope repo",
		}},
		{"a fine-grained token", "token", func(i *installation) { i.env["GITHUB_TOKEN"] = i.keeper.NewFineGrainedToken() }, []string{
			"failing scopes: GITHUB_TOKEN is a fine-grained token, which GitHub lets read no checks: use a classic one with the scope repo, or an App → make a new classic token with the scope repo",
		}},
		{"the clock", "token", func(i *installation) { i.hub.ClockSkew(time.Hour) }, []string{
			"failing clock: this machine's clock is 1h0m0s behind GitHub's → set it right and keep it so: timedatectl set-ntp true, or chrony",
		}},
		{"a permission", "app", func(i *installation) {
			i.app.Change(githubtest.AppOptions{Permissions: lackingContents, Events: pull.AppEvents()})
		}, []string{
			"failing permissions: the App lacks contents: write → change them on the App's settings page under Permissions & events, and have each owner accept them",
		}},
		{"an event", "app", func(i *installation) {
			i.app.Change(githubtest.AppOptions{Permissions: pull.AppPermissions(), Events: slices.DeleteFunc(pull.AppEvents(), func(e string) bool { return e == "push" })})
		}, []string{
			"failing events: the App's webhook lacks push → subscribe to them on the App's settings page under Permissions & events",
		}},
		{"suspended", "app", func(i *installation) { i.in.Suspend(i.keeper, true); i.only = nil; i.env["GITHUB_REPOSITORY"] = "" }, []string{
			"failing installations (octo): it is suspended: nothing there is ours to see → have its owner unsuspend it under Settings, GitHub Apps",
		}},
		{"not installed", "app", func(i *installation) { i.in.Uninstall(i.keeper) }, []string{
			"failing installations: the App is installed nowhere → install it from its public page, for the repositories that it is to look after",
			"failing repository (octo/app): it is not there, or not ours to see → install the App there",
		}},
		{"the webhook leads elsewhere", "app", func(i *installation) {
			i.hook.Change(githubtest.HookOptions{URL: "https://old.example.com/webhook"})
		}, []string{
			"failing webhook: it leads to https://old.example.com/webhook, and PUBLIC_URL says https://example.com/webhook → set that right on the App's settings page",
		}},
		{"a repository's webhook leads elsewhere", "token", func(i *installation) {
			i.hook.Change(githubtest.HookOptions{URL: "http://example.com/webhook", InsecureTLS: true, Inactive: true, Events: []string{"push"}})
		}, []string{
			"failing webhook (octo/app): it is switched off; it leads to http://example.com/webhook, and PUBLIC_URL says https://example.com/webhook; GitHub does not check the certificate that it meets there (SSL verification is off); " +
				"it does not send check_run, check_suite, issue_comment, pull_request, pull_request_review, pull_request_review_comment, status → set that right under Settings, Webhooks",
		}},
		{"no webhook", "token", func(i *installation) { i.hook.Change(githubtest.HookOptions{URL: "https://example.com/elsewhere"}) }, []string{
			"warning webhook (octo/app): none of its webhooks leads here → add one under Settings, Webhooks that leads to https://example.com/webhook, or see that the organization has one",
		}},
		{"the secret at GitHub is another one", "app", func(i *installation) { i.answer = 401; i.pr.Edit(i.keeper, "Another title", "") }, []string{
			"failing deliveries: the newest was answered 401: the secret at GitHub is not one of those here → set the webhook's secret at GitHub to WEBHOOK_SECRET",
		}},
		{"deliveries do not get through", "token", func(i *installation) { i.answer = 0; i.pr.Edit(i.keeper, "Another title", "") }, []string{
			"failing deliveries (octo/app): the newest did not get through: failed to connect to host → see whether GitHub can reach the address: DNS, load balancer, firewall, certificate",
		}},
		{"some have not arrived", "app", func(i *installation) {
			i.answer = 503
			i.pr.Edit(i.keeper, "Another title", "")
			i.hub.Flush(i.t.Context())
			i.answer = 202
			i.pr.Edit(i.keeper, "One more title", "")
		}, []string{
			"warning deliveries: N of the last N have not arrived, the newest has → nothing: the service asks for them again by itself; or github-pr-manager deliveries recover",
		}},
		{"little is left of the limits", "token", func(i *installation) { i.hub.Exhaust(i.token, "graphql", 30*time.Minute) }, []string{
			"warning limits: left in this hour: N of 5000 (REST), 0 of 5000 (GraphQL) → nothing if it is seldom: what is due waits. An App has limits of its own, and higher ones",
		}},
		{"no policy", "app", func(i *installation) {
			i.repo = i.hub.Repo("octo/bare", githubtest.RepoOptions{})
			i.only = []pull.Repo{{Owner: "octo", Name: "bare"}}
		}, []string{
			"warning policy (octo/bare): there is no .github/pr-manager.yml on main: the service observes and writes nothing, unless the owner's .github repository has one → add one: docs/policy.md has examples",
		}},
		{"a broken policy", "app", func(i *installation) {
			i.repo.Push("main", map[string]string{".github/pr-manager.yml": "version: 1\nlabel:\n  x: {}\n"}, "oops", i.keeper)
		}, []string{
			"failing policy (octo/app): .github/pr-manager.yml:2:1: A policy has no key \"label\". Did you mean \"labels\"? → github-pr-manager check .github/pr-manager.yml; the last valid policy stays in force meanwhile",
		}},
		{"a required check never reports", "app", func(i *installation) {
			i.repo.Protect("main", &githubtest.Protection{Checks: []githubtest.RequiredCheck{{Context: "build"}, {Context: "buidl"}}})
		}, []string{
			"warning required checks (octo/app): buidl: required by main, and reported on none of the last 1 pull requests, which can't be merged → see whether the name is right, and the workflow runs on pull requests; or require it no more",
		}},
		{"an owner who may not write", "token", func(i *installation) {
			i.repo.Push("main", map[string]string{".github/CODEOWNERS": "* @mona\n/docs @stranger\n"}, "owners", i.keeper)
		}, []string{
			"warning owners (octo/app): .github/CODEOWNERS:2: Unknown owner on line 2: make sure @stranger exists and has write access to the repository → give them write access, or name somebody else: GitHub asks nobody for a review meanwhile",
		}},
		{"GitHub's own merge queue", "app", func(i *installation) {
			i.repo.Rules("main", githubtest.Ruleset{Checks: []string{"lint"}, MergeQueue: true})
		}, []string{
			"warning merge queue (octo/app): its branch main takes merges from GitHub's own merge queue only: the service can't merge there → let the policy decide labels and reports there, or take the rule away",
		}},
		{"archived", "app", func(i *installation) { i.repo.Archive(i.keeper, true) }, []string{
			"warning repository (octo/app): it is archived: nothing there can be changed → nothing, or take it out of GITHUB_REPOSITORY",
		}},
		{"renamed", "token", func(i *installation) { i.repo.Rename(i.keeper, "application") }, []string{
			"warning repository (octo/app): it is called octo/application now → use its new name in GITHUB_REPOSITORY, if it is named there",
		}},
	} {
		t.Run(tt.name+", "+tt.as, func(t *testing.T) {
			t.Parallel()
			i := newInstallation(t, tt.as)
			i.hub.Flush(t.Context())
			if tt.broken != nil {
				tt.broken(i)
			}
			findings := i.examine()
			var got []string
			for _, f := range findings {
				if f.Status == doctor.OK || f.Status == doctor.Skipped {
					if f.Do != "" || f.Detail == "" {
						t.Errorf("%+v has something to do, or no words", f)
					}
					continue
				}
				name := f.Name
				if f.About != "" {
					name += " (" + f.About + ")"
				}
				got = append(got, tidyWords(fmt.Sprintf("%s %s: %s → %s", f.Status, name, f.Detail, f.Do)))
			}
			want := tt.want
			for n := range want {
				want[n] = tidyWords(want[n])
			}
			if !slices.Equal(got, want) {
				t.Errorf("found:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
			if tt.broken == nil {
				names := map[string]bool{}
				for _, f := range findings {
					names[f.Name] = true
					if f.Status != doctor.OK && f.Name != "redis" && f.Name != "limits" {
						t.Errorf("%s of a healthy installation is %s: %s", f.Name, f.Status, f.Detail)
					}
				}
				for _, name := range []string{"configuration", "webhook secret", "database", "schema", "durability", "disk", "port", "public address", "certificate", "credentials", "clock", "webhook", "deliveries", "repository", "policy", "merge queue", "required checks", "owners"} {
					if !names[name] {
						t.Errorf("nothing was found of %s", name)
					}
				}
			}
			for _, f := range findings {
				for _, secret := range []string{i.token, "a-secret-of-some-length", "a-token-of-some-length"} {
					if strings.Contains(fmt.Sprint(f), secret) {
						t.Errorf("%s holds a secret: %+v", f.Name, f)
					}
				}
			}
			if u := i.hub.Usage(); len(i.hub.Journal()) > 0 || u.WhileTold > 0 {
				t.Errorf("the doctor wrote %v, and asked %d times while told to wait", i.hub.Applied(), u.WhileTold)
			}
		})
	}
}

var numbers3 = regexp.MustCompile(`(port |PORT=|process |kill |needs |1 and |warning deliveries: |of the last |hour: )\d+`)

// tidyWords takes away what is another number each time.
func tidyWords(s string) string {
	s = numbers3.ReplaceAllStringFunc(s, func(m string) string { return strings.TrimRight(m, "0123456789") + "N" })
	return strings.NewReplacer("port P", "port N", "PORT=P", "PORT=N", "1h0m1s", "1h0m0s", "59m59s", "1h0m0s").Replace(s)
}
