package github_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/github"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// needed are an App's permissions and events as the service needs them.
func needed() githubtest.AppOptions {
	return githubtest.AppOptions{Permissions: pull.AppPermissions(), Events: pull.AppEvents()}
}

// words is all that the client has to say about how it stands with GitHub.
func words(c *github.Client) string {
	w, _, _ := c.Trouble()
	if l := c.Lacks(); l != "" {
		if w != "" {
			w += "; "
		}
		w += l
	}
	return w
}

// TestGitHubIsAskedWithoutAReason: before anything else talks to GitHub it is known what is wrong there, and within a
// minute or so that it is mended.
func TestGitHubIsAskedWithoutAReason(t *testing.T) {
	for _, tt := range []struct {
		name, as      string
		broken, whole func(h *hub)
		want          string
	}{
		{"unreachable", "token", func(h *hub) { h.Fail(githubtest.Fault{Kind: githubtest.NoHost, Times: -1}) }, nil, "GitHub can't be reached"},
		{"unreachable", "app", func(h *hub) { h.Fail(githubtest.Fault{Kind: githubtest.Reset, Times: -1}) }, nil, "GitHub can't be reached"},
		{"errors", "token", func(h *hub) { h.Fail(githubtest.Fault{Status: 503, Times: -1}) }, nil, "GitHub answers with errors of its own"},
		{"a proxy's page", "token", func(h *hub) { h.Fail(githubtest.Fault{Kind: githubtest.HTML, Times: -1}) }, nil, "GitHub answers with errors of its own"},
		{
			"revoked", "token", func(h *hub) { h.Fail(githubtest.Fault{Status: 401, Times: -1}) }, nil,
			"GitHub does not accept the credentials (GITHUB_TOKEN)",
		},
		{
			"another key", "app", func(h *hub) { h.app.RenewKey() }, func(h *hub) { h.key = h.app.PrivateKey(); h.client.Recheck() },
			"GitHub does not accept the credentials (GITHUB_APP_ID and GITHUB_PRIVATE_KEY)",
		},
		{
			"no scope", "token", func(h *hub) { h.Scopes(h.secret()) }, func(h *hub) { h.Scopes(h.secret(), "repo") },
			"GITHUB_TOKEN has no scope: it needs repo (or public_repo, for public repositories only)",
		},
		{
			"another scope", "token", func(h *hub) { h.Scopes(h.secret(), "gist", "read:org") }, func(h *hub) { h.Scopes(h.secret(), "public_repo") },
			"GITHUB_TOKEN has the scopes gist, read:org: it needs repo (or public_repo, for public repositories only)",
		},
		{
			"a permission", "app", func(h *hub) {
				o := needed()
				delete(o.Permissions, "contents")
				o.Permissions["checks"] = "read"
				h.app.Change(o)
			}, func(h *hub) { h.app.Change(needed()) },
			"the App lacks permissions it needs (checks: write, contents: write)",
		},
		{
			"an event", "app", func(h *hub) {
				o := needed()
				o.Events = slices.DeleteFunc(o.Events, func(e string) bool { return e == "push" || e == "check_run" })
				h.app.Change(o)
			}, func(h *hub) { h.app.Change(needed()) },
			"the App is not told of events it needs (check_run, push)",
		},
	} {
		in(t, func(t *testing.T, h *hub) {
			if h.as != tt.as {
				return
			}
			h.app.Change(needed())
			tt.broken(h)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			h.client.WillWatch()
			go func() { ended <- h.client.Watch(ctx) }()
			if !h.client.Asked(ctx) {
				t.Fatal("GitHub was not asked")
			}
			if got := words(h.client); got != tt.want {
				t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if got := words(h.client); got != tt.want {
				t.Errorf("%s, ten minutes later: %q, want %q", tt.name, got, tt.want)
			}
			if tt.whole != nil {
				tt.whole(h)
			} else {
				h.Heal()
			}
			time.Sleep(75 * time.Second)
			synctest.Wait()
			if got := words(h.client); got != "" {
				t.Errorf("%s, mended: %q", tt.name, got)
			}
			stop()
			if err := <-ended; err != nil {
				t.Errorf("Watch = %v", err)
			}
		})
	}
}

// TestGitHubIsNotAskedMoreThanNeeded: once a minute while nothing happens, not at all by a token that is at work, every ten
// minutes by an App that is; and never while told to wait.
func TestGitHubIsNotAskedMoreThanNeeded(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		h.app.Change(needed())
		op := map[string]string{"token": "rate-limit.get", "app": "apps.get-authenticated"}[h.as]
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		h.client.WillWatch()
		go func() { _ = h.client.Watch(ctx) }()
		asked := func(during func()) int {
			synctest.Wait()
			before := h.Usage().Requests[op]
			during()
			synctest.Wait()
			return h.Usage().Requests[op] - before
		}
		h.client.Asked(ctx)
		if n := asked(func() { time.Sleep(10*time.Minute + time.Second) }); n != 10 {
			t.Errorf("idle for ten minutes: asked %d times, want 10", n)
		}
		most := map[string]int{"token": 0, "app": 2}[h.as]
		if n := asked(func() {
			for range 60 {
				h.look()
				time.Sleep(20 * time.Second)
			}
		}); n > most {
			t.Errorf("at work for twenty minutes: asked %d times, want at most %d", n, most)
		}
		if h.as == "token" { // an App's own requests are counted apart from its installations'
			h.Fail(githubtest.Fault{Kind: githubtest.Secondary, RetryAfter: 10 * time.Minute})
			if _, err := h.client.Snapshot(ctx, h.scope, pull.Repo{Owner: "octo", Name: "app"}, 1); class(err) != pull.FaultThrottled {
				t.Fatalf("Snapshot = %v, want throttled", err)
			}
			if n := asked(func() { time.Sleep(9 * time.Minute) }); n != 0 {
				t.Errorf("told to wait: asked %d times, want none", n)
			}
			if n := asked(func() { time.Sleep(3 * time.Minute) }); n == 0 {
				t.Error("after the wait: not asked again")
			}
		}
		if u := h.Usage(); u.WhileTold+u.OverPrimary+u.OverSecondary > 0 {
			t.Errorf("usage = %+v", u)
		}
	})
}

// TestTheClockIsCompared: by asking alone, either way.
func TestTheClockIsCompared(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		h.app.Change(needed())
		h.ClockSkew(-time.Hour)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		h.client.WillWatch()
		go func() { _ = h.client.Watch(ctx) }()
		h.client.Asked(ctx)
		if s := h.client.Skew(); s > -59*time.Minute || s < -61*time.Minute {
			t.Errorf("Skew = %s, want an hour back", s)
		}
		h.ClockSkew(0)
		time.Sleep(75 * time.Second)
		synctest.Wait()
		if s := h.client.Skew(); s.Abs() > time.Second {
			t.Errorf("Skew = %s, want none", s)
		}
		if got := words(h.client); got != "" {
			t.Errorf("with the clock right: %q", got)
		}
	})
}

// TestATokenThatIsFineGrained: GitHub names no scopes, and it can't do the work.
func TestATokenThatIsFineGrained(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		if h.as != "token" {
			return
		}
		fine := h.User("keeper").NewFineGrainedToken()
		c, err := github.New(github.Options{HTTP: h.Transport(), Token: func() string { return fine }})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Token(t.Context()); err != nil || got.Kind != pull.TokenFineGrained {
			t.Errorf("Token = %+v, %v, want a fine-grained one", got, err)
		}
		if got, want := c.Lacks(), "GITHUB_TOKEN is a fine-grained token, which GitHub lets read no checks: use a classic one with the scope repo, or an App"; got != want {
			t.Errorf("Lacks = %q, want %q", got, want)
		}
	})
}
