package app

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestReadyKnowsHowWeStandWithGitHub: a service that has just started, and that nobody has sent a webhook, says in /ready
// what is wrong at GitHub, in words that name no host and no secret.
func TestReadyKnowsHowWeStandWithGitHub(t *testing.T) {
	for _, tt := range []struct {
		name string
		app  bool
		make func(s *githubtest.Server, token string, a *githubtest.App)
		want string // HH:MM:SS stands for a time
	}{
		{"all well with a token", false, nil, ""},
		{"all well as an App", true, nil, ""},
		{"unreachable", false, func(s *githubtest.Server, _ string, _ *githubtest.App) {
			s.Fail(githubtest.Fault{Kind: githubtest.NoHost, Times: -1})
		}, "GitHub can't be reached, since HH:MM:SS UTC; what is due waits"},
		{"slow", true, func(s *githubtest.Server, _ string, _ *githubtest.App) {
			s.Fail(githubtest.Fault{Kind: githubtest.Hang, Times: -1})
		}, "GitHub has not answered since the start"},
		{"revoked", false, func(s *githubtest.Server, token string, _ *githubtest.App) {
			s.Revoke(token)
		}, "GitHub does not accept the credentials (GITHUB_TOKEN), since HH:MM:SS UTC; what is due waits"},
		{"no scope", false, func(s *githubtest.Server, token string, _ *githubtest.App) {
			s.Scopes(token, "read:user")
		}, "GITHUB_TOKEN has the scopes read:user: it needs repo (or public_repo, for public repositories only)"},
		{"permissions and events", true, func(_ *githubtest.Server, _ string, a *githubtest.App) {
			few := pull.AppPermissions()
			delete(few, "checks")
			a.Change(githubtest.AppOptions{Permissions: few, Events: pull.AppEvents()[1:]})
		}, "the App lacks permissions it needs (checks: write); the App is not told of events it needs (pull_request)"},
		{"the clock", false, func(s *githubtest.Server, _ string, _ *githubtest.App) {
			s.ClockSkew(time.Hour)
		}, "this machine's clock is 1h0m0s off GitHub's: set it right"},
		{"the clock of an App", true, func(s *githubtest.Server, _ string, _ *githubtest.App) {
			s.ClockSkew(-time.Hour)
		}, "this machine's clock is 1h0m0s off GitHub's: set it right; GitHub does not accept the credentials (GITHUB_APP_ID and GITHUB_PRIVATE_KEY), since HH:MM:SS UTC; what is due waits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			hub, err := githubtest.New(githubtest.Options{Dir: filepath.Join(dir, "hub"), Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			self := hub.App("pr-manager", githubtest.AppOptions{Permissions: pull.AppPermissions(), Events: pull.AppEvents()})
			token := hub.User("keeper").Token()
			env := []string{"DATA_DIR=" + dir, "WEBHOOK_SECRET=a-secret-of-some-length", "GITHUB_TOKEN=" + token, "GITHUB_API_URL=http://github.internal.example"}
			if tt.app {
				env[2] = "GITHUB_APP_ID=" + strconv.FormatInt(self.ID, 10)
				env = append(env, "GITHUB_PRIVATE_KEY="+self.PrivateKey())
			}
			if tt.make != nil {
				tt.make(hub, token, self)
			}
			cfg, _, err := Load(env, files{}.read, "")
			if err != nil {
				t.Fatal(err)
			}
			a, err := New(t.Context(), cfg, Options{GitHub: hub.Transport(), NoListener: true})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- a.Run(ctx) }()
			defer func() {
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			a.github.WillWatch() // Run says so too, in its own time
			w := httptest.NewRecorder()
			a.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/ready", nil))
			var got struct {
				Checks   map[string]struct{ Status, Detail string }
				Warnings []string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			detail := regexp.MustCompile(`\d\d:\d\d:\d\d`).ReplaceAllString(got.Checks["github"].Detail, "HH:MM:SS")
			detail = strings.NewReplacer("1h0m1s", "1h0m0s", "59m59s", "1h0m0s").Replace(detail)
			if detail != tt.want || w.Code != 200 || (len(got.Warnings) > 0) != (tt.want != "") {
				t.Errorf("/ready = %d, github: %q, warnings %q; want %q", w.Code, detail, got.Warnings, tt.want)
			}
		})
	}
}
