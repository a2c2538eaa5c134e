package cli

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

// TestEffective prints the policy in force with the origin of each key: of files, and of a repository on GitHub.
func TestEffective(t *testing.T) {
	const own = "version: 1\nlabels:\n  docs: { files: 'docs/**' }\n"
	const defaults = "version: 1\nmerge:\n  if: approved && checks.green\n"
	world, err := githubtest.New(githubtest.Options{Dir: filepath.Join(t.TempDir(), "github")})
	if err != nil {
		t.Fatal(err)
	}
	mira := world.User("mira")
	repo := world.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{policy.FileName: own}})
	repo.Grant(mira, githubtest.CanMaintain)
	shared := world.Repo("octo/.github", githubtest.RepoOptions{Files: map[string]string{policy.FileName: defaults}})
	shared.Grant(mira, githubtest.CanMaintain)
	bare := world.Repo("octo/bare", githubtest.RepoOptions{Files: map[string]string{"a": "b"}})
	bare.Grant(mira, githubtest.CanMaintain)
	lone := world.Repo("mira/lone", githubtest.RepoOptions{Files: map[string]string{"a": "b"}})
	lone.Grant(mira, githubtest.CanMaintain)
	hub := httptest.NewServer(world)
	defer hub.Close()

	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"own.yml": own, "defaults.yml": defaults, "bad.yml": "version: 1\nmerg: {}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	effective := func(environ []string, args ...string) (int, string, string) {
		var out, errs strings.Builder
		code := Run(t.Context(), append([]string{"effective"}, args...), nil, &out, &errs, environ)
		return code, out.String(), errs.String()
	}
	live := []string{"GITHUB_API_URL=" + hub.URL, "GITHUB_TOKEN=" + mira.Token()}
	for _, tt := range []struct {
		environ []string
		args    []string
		code    int
		want    []string
	}{
		{nil, []string{"own.yml"}, exitFine, []string{"labels:  # own.yml:2\n  docs: { files: \"docs/**\" }\n", "# merge: ", "# mode: active  (built in)\n"}},
		{nil, []string{"own.yml", "--defaults", "defaults.yml"}, exitFine, []string{"labels:  # own.yml:2\n", "merge:  # defaults.yml:2\n  if: \"approved && checks.green\"\n"}},
		{live, []string{"octo/app"}, exitFine, []string{"labels:  # .github/pr-manager.yml:2\n", "merge:  # octo/.github/.github/pr-manager.yml:2\n"}},
		{live, []string{"octo/bare"}, exitFine, []string{"version: 1  # octo/.github/.github/pr-manager.yml:1\n"}},
		{live, []string{"mira/lone"}, exitNo, []string{"there is no policy: neither .github/pr-manager.yml, nor defaults of the owner's"}},
		{nil, []string{"octo/app"}, exitUsage, []string{"to ask GitHub for the repository there are no credentials"}},
		{nil, []string{"bad.yml"}, exitNo, []string{`bad.yml:2:1: A policy has no key "merg".`, "a file with a problem is not in force"}},
		{nil, []string{"none.yml"}, exitUsage, []string{"none.yml"}},
	} {
		code, out, errs := effective(tt.environ, tt.args...)
		if code != tt.code {
			t.Errorf("effective %v = %d, %s%s", tt.args, code, out, errs)
		}
		for _, want := range tt.want {
			if !strings.Contains(out+errs, want) {
				t.Errorf("effective %v: no %q in\n%s%s", tt.args, want, out, errs)
			}
		}
		if tt.code == exitFine {
			if _, problems := policy.Parse("out.yml", []byte(out)); problems != nil {
				t.Errorf("effective %v prints no policy: %v\n%s", tt.args, problems, out)
			}
		}
	}
	code, out, errs := effective(nil, "--json", "own.yml", "--defaults", "defaults.yml")
	var got struct {
		Keys []struct {
			Key, Origin string
			Pos         struct{ Line int }
			Value       json.RawMessage
			BuiltIn     []struct{ Key, Means string } `json:"built_in"`
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFine {
		t.Fatalf("effective --json = %d, %s%s, %v", code, out, errs, err)
	}
	found := map[string]string{}
	for _, k := range got.Keys {
		found[k.Key] = k.Origin
	}
	if found["labels"] != "own" || found["merge"] != "defaults" || found["mode"] != "built-in" {
		t.Errorf("effective --json has the origins %v", found)
	}
	if writes := world.Journal(); len(writes) != 0 {
		t.Errorf("effective wrote to GitHub: %v", writes)
	}
}
