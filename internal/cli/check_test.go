package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckRunsTheTestsBesideThePolicy: a policy with a file of tests beside it is checked with them.
func TestCheckRunsTheTestsBesideThePolicy(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(args ...string) (int, string, string) {
		var out, errs strings.Builder
		code := Run(t.Context(), append([]string{"check"}, args...), strings.NewReader("version: 1\n"), &out, &errs, nil)
		return code, out.String(), errs.String()
	}
	const policy, tests = ".github/pr-manager.yml", ".github/pr-manager.test.yml"
	write(policy, "version: 1\nlabels:\n  docs: { files: 'docs/**' }\nmerge:\n  if: approved && checks.green\n")
	if code, out, errs := check(); code != exitFine || out != policy+" is valid.\n" || errs != "" {
		t.Errorf("check without tests = %d, %q, %q", code, out, errs)
	}

	write(tests, "version: 1\ncases:\n  - name: labelled\n    given: { files: docs/a.md }\n    expect: { labels: docs }\n")
	if code, out, errs := check(); code != exitFine || out != policy+" is valid.\n"+tests+": its one case holds.\n" || errs != "" {
		t.Errorf("check with a test = %d, %q, %q", code, out, errs)
	}
	if code, out, _ := check("-"); code != exitFine || out != "stdin is valid.\n" {
		t.Errorf("check of stdin = %d, %q: nothing stands beside it", code, out)
	}

	write(tests, "version: 1\ncases:\n  - name: labelled\n    given: { files: docs/a.md }\n    expect: { labels: docs }\n  - name: merged\n    expect: { merge: true }\n")
	code, out, errs := check()
	for _, want := range []string{
		tests + ":7:22: merged: merge is false, not true.\n", "    waiting: Needs an approval of ", "    ✗ merge: waits   " + policy + ":4:1\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("check with a test that fails says\n%s\nwithout\n%s", out, want)
		}
	}
	if code != exitNo || !strings.Contains(errs, "1 of the 2 cases in "+tests+" came out otherwise than expected") {
		t.Errorf("check with a test that fails = %d, %q", code, errs)
	}
	code, out, _ = check("--json")
	var got struct {
		Valid   bool
		Tests   string
		Results []struct {
			Name     string
			Holds    bool
			Failures []struct {
				Message string
				Pos     struct{ Line, Column int }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitNo || !got.Valid || got.Tests != tests || len(got.Results) != 2 ||
		!got.Results[0].Holds || got.Results[1].Holds || got.Results[1].Failures[0].Pos.Line != 7 {
		t.Errorf("check --json = %d, %s, %v", code, out, err)
	}

	write("other.yml", "version: 1\ncases:\n  - expect: { stat: ready }\n")
	code, out, errs = check("--tests", "other.yml")
	if code != exitNo || !strings.Contains(out, `other.yml:3:15: expect has no key "stat". Did you mean "state"?`) || !strings.Contains(errs, "its tests in other.yml can't be read") {
		t.Errorf("check with a broken file of tests = %d, %q, %q", code, out, errs)
	}
	if code, _, errs := check("--tests", "none.yml"); code != exitUsage || !strings.Contains(errs, "none.yml") {
		t.Errorf("check with tests that are not there = %d, %q", code, errs)
	}

	write("own.yml", "version: 1\nlabels: { docs: { files: 'docs/**' } }\n")
	write("own.test.yml", "version: 1\ncases:\n  - given: { reviews: { bea: approved }, files: docs/a.md }\n    expect: { merge: true, labels: docs }\n")
	if code, out, _ := check("own.yml"); code != exitNo {
		t.Errorf("check without the defaults = %d, %q", code, out)
	}
	if code, out, errs := check("own.yml", "--defaults", policy); code != exitFine {
		t.Errorf("check with the defaults = %d, %q, %q", code, out, errs)
	}
}
