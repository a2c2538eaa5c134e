package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/recovery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
)

// TestDeliveriesRecover: the service was down for two pushes. The command fetches them, and the second time there is
// nothing to fetch; what GitHub does not deliver after all is said; a token that may not see the log is an answer of no.
func TestDeliveriesRecover(t *testing.T) {
	t.Chdir(t.TempDir())
	s, err := store.Open(t.Context(), "sqlite:data/github-pr-manager.db", store.Options{Beside: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var down atomic.Bool
	world, err := githubtest.New(githubtest.Options{
		Dir: filepath.Join(t.TempDir(), "github"),
		Deliver: func(r *http.Request) (*http.Response, error) {
			if down.Load() {
				return nil, errors.New("connection refused")
			}
			repo := pull.Repo{ID: 1, Owner: "octo", Name: "app"}
			d := pull.Delivery{ID: r.Header.Get("X-GitHub-Delivery"), Body: []byte("{}"), Hint: pull.Hint{Event: r.Header.Get("X-GitHub-Event"), Repo: repo}}
			if _, err := s.Insert(r.Context(), []pull.Delivery{d}); err != nil {
				return nil, err
			}
			// So that the repository is known.
			if _, _, err := s.Intake(r.Context(), pull.Taking{Limit: 10}, func(pull.Delivery) pull.Route { return pull.Route{} }); err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	mira := world.User("mira")
	repo := world.Repo("octo/app", githubtest.RepoOptions{})
	repo.Grant(mira, githubtest.CanMaintain)
	app := world.App("pr-manager", githubtest.AppOptions{Permissions: map[string]string{"contents": "read"}, Events: []string{"push"}})
	app.Hook(githubtest.HookOptions{URL: "http://service.test/webhook", Secret: canary})
	app.Install(world.Org("octo"), repo)
	world.Flush(t.Context())

	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := world.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	defer func() { end(); <-ended }()
	hub := httptest.NewServer(world)
	defer hub.Close()
	if err := os.WriteFile("key.pem", []byte(app.PrivateKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	asApp := []string{"GITHUB_API_URL=" + hub.URL, "GITHUB_APP_ID=" + strconv.FormatInt(app.ID, 10), "GITHUB_PRIVATE_KEY_FILE=key.pem"}
	recover := func(environ []string, args ...string) (int, string, string) {
		var out, errs strings.Builder
		code := Run(t.Context(), append([]string{"deliveries", "recover"}, args...), nil, &out, &errs, environ)
		return code, out.String(), errs.String()
	}
	says := func(what string, code, want int, text string, parts ...string) {
		t.Helper()
		if code != want {
			t.Errorf("%s: exit code %d, want %d\n%s", what, code, want, text)
		}
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Errorf("%s: no %q in\n%s", what, p, text)
			}
		}
	}

	down.Store(true)
	for _, text := range []string{"one", "two"} {
		repo.Push("main", map[string]string{"a.txt": text}, text, mira)
	}
	world.Flush(t.Context())
	for world.Waiting() > 0 {
		world.Flush(t.Context())
	}
	down.Store(false)
	code, out, errs := recover(asApp)
	says("two are missing", code, exitFine, out+errs, "of 1 webhook.\n", "push", "failed to connect to host", "has arrived", "2 deliveries were not here; GitHub was asked for 2, and 2 have arrived.")
	code, out, errs = recover(asApp)
	says("nothing is missing", code, exitFine, out+errs, "All of them are here.\n")

	down.Store(true)
	repo.Push("main", map[string]string{"a.txt": "three"}, "three", mira)
	for world.Waiting() > 0 {
		world.Flush(t.Context())
	}
	world.Fail(githubtest.Fault{Op: "apps.redeliver-webhook-delivery", Status: http.StatusUnprocessableEntity, Message: "it is too old"})
	code, out, errs = recover(asApp, "--since", "2h", "--json")
	var got recovery.Fetched
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("--json printed %s %s: %v", out, errs, err)
	}
	if code != exitNo || len(got.Missing) != 1 || got.Missing[0].Asked || !strings.Contains(got.Missing[0].Error, "it is too old") || got.Hooks != 1 {
		t.Errorf("one that can't be asked for: exit code %d, %+v", code, got)
	}

	token := []string{"GITHUB_API_URL=" + hub.URL, "GITHUB_TOKEN=" + mira.Token()}
	code, out, errs = recover(token)
	says("a token that may not", code, exitNo, out+errs, "The token may not see the webhooks of 1 repository")
	code, out, errs = recover(nil)
	says("no credentials", code, exitUsage, out+errs, "there are no credentials")
	code, out, errs = recover(asApp, "--since", "-1h")
	says("into the future", code, exitUsage, out+errs, "--since is -1h0m0s")
	t.Chdir(t.TempDir())
	code, out, errs = recover(token)
	says("no database", code, exitNo, out+errs, "there is no database yet")
}
