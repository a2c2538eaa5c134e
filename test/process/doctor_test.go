package process

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// TestDoctorBesideAService: the command finds the service on its port, its database and GitHub, changes nothing, and says by
// its exit code whether something fails.
func TestDoctorBesideAService(t *testing.T) {
	t.Parallel()
	hub, err := githubtest.New(githubtest.Options{Dir: t.TempDir(), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	hub.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{".github/pr-manager.yml": "version: 1\n"}})
	token := hub.User("keeper").Token()
	front := httptest.NewServer(hub)
	t.Cleanup(front.Close)
	dir := t.TempDir()
	env := []string{
		"WEBHOOK_SECRET=" + secret, "GITHUB_TOKEN=" + token, "GITHUB_API_URL=" + front.URL, "DASHBOARD_TOKEN=a-token-of-the-dashboard",
		"DATABASE_URL=" + sqliteIn(dir), "GITHUB_REPOSITORY=octo/app",
	}
	p := testenv.Start(t, testenv.Options{Env: env, Dir: dir})
	port := "PORT=" + p.URL[strings.LastIndex(p.URL, ":")+1:]
	type finding struct{ Name, About, Status, Detail, Do string }
	doctor := func(more ...string) (r testenv.Result, well bool, found map[string]finding) {
		t.Helper()
		r = testenv.Run(t, append(append([]string{port, "HOST=127.0.0.1"}, env...), more...), "", "doctor", "--json")
		var out struct {
			Well     bool
			Findings []finding
		}
		if err := json.Unmarshal([]byte(r.Stdout), &out); err != nil {
			t.Fatalf("doctor --json printed %q, stderr %q: %v", r.Stdout, r.Stderr, err)
		}
		found = map[string]finding{}
		for _, f := range out.Findings {
			found[f.Name] = f
		}
		for _, s := range []string{secret, token, "a-token-of-the-dashboard"} {
			if strings.Contains(r.Stdout+r.Stderr, s) {
				t.Errorf("doctor shows a secret:\n%s%s", r.Stdout, r.Stderr)
			}
		}
		return r, out.Well, found
	}
	r, well, found := doctor()
	if r.Code != 0 || !well {
		t.Errorf("doctor of a service that is well: exit %d\n%s", r.Code, r.Stdout)
	}
	for name, want := range map[string]string{"port": "the service answers on port ", "scopes": "repo, read:org", "database": "SQLite ", "policy": ".github/pr-manager.yml is valid", "clock": "it differs from GitHub's by less than a minute"} {
		if f := found[name]; f.Status != "ok" || !strings.HasPrefix(f.Detail, want) {
			t.Errorf("%s = %+v, want ok and %q", name, f, want)
		}
	}
	hub.Scopes(token, "gist")
	if r, well, found := doctor(); r.Code != 1 || well || found["scopes"].Status != "failing" {
		t.Errorf("doctor without the scope: exit %d, %+v", r.Code, found["scopes"])
	}
	if r, _, found := doctor("LEASE=long"); r.Code != 1 || found["configuration"].Status != "failing" || len(found) != 1 {
		t.Errorf("doctor of a configuration that can't be used: exit %d, %+v", r.Code, found)
	}
	r = testenv.Run(t, append([]string{port, "HOST=127.0.0.1"}, env...), "", "doctor", "--repo", "octo/nope")
	if want := "failing  repository (octo/nope): it is not there, or not ours to see\n         → see that the account of GITHUB_TOKEN may see it\n"; r.Code != 1 || !strings.Contains(r.Stdout, want) || strings.Contains(r.Stdout, "port:") {
		t.Errorf("doctor --repo octo/nope: exit %d, %q; want 1, the sentence, and the repository alone", r.Code, r.Stdout)
	}
	if r := testenv.Run(t, env, "", "doctor", "--repo", "octo"); r.Code != 2 {
		t.Errorf("doctor --repo octo: exit %d, want 2", r.Code)
	}
	if got := hub.Journal(); len(got) > 0 {
		t.Errorf("the doctor wrote %v", got)
	}
}
