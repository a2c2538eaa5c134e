// Package importtest holds the architecture: which package may know which. It has no code, only this table and the
// test that reads the real imports and fails with a sentence.
//
// Arrows point down only. The packages of the middle row never import each other: what one needs of another it names
// as an interface of its own, and app joins them. The core below decides without doing: no I/O, no context, no clock,
// no logger, so that everything the service decides can be tested with values alone.
package importtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/brandonlacoste9-tech/github-pr-manager"

// Groups of packages, named for the table.
var (
	core = []string{"internal/pull", "internal/policy", "internal/mergequeue", "internal/notice"}
	row  = []string{
		"internal/webhook", "internal/delivery", "internal/store", "internal/github", "internal/dashboard",
		"internal/reconcile", "internal/recovery", "internal/backup", "internal/doctor",
	}
	support = []string{"internal/telemetry", "internal/visitor"}
	// pure are the core, and what decides with it and acts as little.
	pure = join(core, []string{"internal/policytest"})
)

// may says for each package which others of the module it may import, outside its tests. A package that isn't named
// fails the test: say here where it belongs. A package below another that is its helper obeys the same line, and a package
// may always import packages below its own directory.
var may = map[string][]string{
	"cmd/github-pr-manager": {"internal/cli"},
	"internal/cli":          join(core, row, support, []string{"internal/app", "internal/demo", "internal/githubtest", "internal/policytest", "internal/probe", "migrations"}),
	"internal/app":          join(core, row, support, []string{"migrations"}),
	"internal/demo":         {"internal/githubtest"},

	"internal/webhook":   join(core, support),
	"internal/delivery":  join(core, support),
	"internal/store":     join(core, support, []string{"migrations"}),
	"internal/github":    join(core, support),
	"internal/dashboard": join(core, support),
	"internal/reconcile": join(core, support),
	"internal/recovery":  join(core, support),
	"internal/backup":    join(core, support),
	"internal/doctor":    join(core, support),
	"internal/probe":     {}, // looks at a service from outside: it knows the contract, and none of the code

	"internal/telemetry":  {"internal/pull"},
	"internal/visitor":    {},
	"internal/notice":     {"internal/policy", "internal/mergequeue", "internal/pull"},
	"internal/policy":     {"internal/pull"},
	"internal/policytest": {"internal/policy", "internal/notice", "internal/pull"},
	"internal/mergequeue": {"internal/pull"},
	"internal/pull":       {},
	"migrations":          {},

	// A double that shared our code would share our misunderstandings.
	"internal/githubtest": {},

	// For tests.
	"internal/testenv":    {},
	"internal/importtest": {},
	"internal/doctest":    {},
	"scenario":            join(core, row, support, []string{"internal/app", "internal/githubtest", "internal/testenv"}),
	"bench":               join(core, row, support, []string{"internal/app", "internal/githubtest", "internal/testenv"}),
	"test/alerts":         {"internal/testenv", "internal/githubtest"},
	"test/chaos":          {"internal/testenv", "internal/githubtest"},
	"test/deploy":         {"internal/testenv"},
	"test/process":        {"internal/testenv", "internal/githubtest"},
	"test/runbook":        {"internal/testenv", "internal/githubtest"},
}

// onlyIn says which packages of other modules and of the standard library belong to whom.
var onlyIn = []struct {
	prefix, why string
	packages    []string
}{
	{"database/sql", "every SQL statement is in internal/store", []string{"internal/store", "internal/testenv"}},
	{"modernc.org/sqlite", "every SQL statement is in internal/store", []string{"internal/store", "internal/testenv"}},
	{"github.com/jackc/pgx", "every SQL statement is in internal/store", []string{"internal/store", "internal/testenv"}},
	{"github.com/redis/go-redis", "hints in Redis are in internal/delivery", []string{"internal/delivery", "internal/testenv"}},
	{"github.com/minio/minio-go", "what speaks S3 is in internal/backup", []string{"internal/backup"}},
	{"github.com/google/go-github", "all talk to GitHub is in internal/github", []string{"internal/github"}},
	{"github.com/spf13/cobra", "commands are in internal/cli", []string{"internal/cli"}},
	{"cel.dev/cel-go", "conditions are read and evaluated in internal/policy", []string{"internal/policy"}},
	{"html/template", "web pages are in internal/dashboard", []string{"internal/dashboard", "internal/cli"}},
}

// impure is what the core may not import: with these it could act, wait, or depend on more than its arguments.
var impure = []string{
	"context", "crypto/rand", "database/sql", "log", "log/slog", "math/rand", "math/rand/v2", "net", "net/http", "os", "os/exec",
	"path/filepath", "syscall",
}

func TestImportsFollowTheArchitecture(t *testing.T) {
	for _, p := range packages(t) {
		dir := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		allowed, known := lookup(dir)
		if !known {
			t.Errorf("%s is not in the table of internal/importtest: say there which packages it may import", dir)
			continue
		}
		for _, path := range p.Imports {
			if ours, ok := strings.CutPrefix(path, module+"/"); ok {
				if !slices.Contains(allowed, ours) && !strings.HasPrefix(ours, dir+"/") {
					t.Errorf("%s imports %s, but may import only %s: %s", dir, ours, list(allowed), advice(dir, ours))
				}
				continue
			}
			for _, rule := range onlyIn {
				if within(path, rule.prefix) && !slices.ContainsFunc(rule.packages, func(o string) bool { return within(dir, o) }) {
					t.Errorf("%s imports %s, but %s", dir, path, rule.why)
				}
			}
			if slices.Contains(pure, dir) && slices.Contains(impure, path) {
				t.Errorf("%s imports %s, but it decides from its arguments alone: no I/O, no context, no clock, no logger. "+
					"Pass the fact in as a value", dir, path)
			}
		}
		if slices.Contains(row, dir) || slices.Contains(core, dir) {
			for _, path := range p.TestImports { // tests within the package: they compile into it
				ours, ok := strings.CutPrefix(path, module+"/")
				if ok && slices.Contains(row, ours) {
					t.Errorf("tests inside %s import %s: %s. A test of both belongs to package %s_test, internal/app or scenario",
						dir, ours, advice(dir, ours), dir[strings.LastIndex(dir, "/")+1:])
				}
			}
		}
	}
}

// The core must not reach the clock either; imports can't tell, since time.Duration and time.Now are one package.
func TestCoreDoesNotReadTheClock(t *testing.T) {
	for _, p := range packages(t) {
		dir := strings.TrimPrefix(p.ImportPath, module+"/")
		if !slices.Contains(core, dir) {
			continue
		}
		for name, text := range sources(t, p) {
			for _, call := range []string{"time.Now(", "time.Since(", "time.Until(", "time.Sleep(", "time.After(", "time.NewTimer(", "time.NewTicker("} {
				if strings.Contains(text, call) {
					t.Errorf("%s/%s calls %s), but the core has no clock: take now as a parameter", dir, name, call)
				}
			}
		}
	}
}

func TestTableNamesOnlyPackagesThatCanExist(t *testing.T) {
	for dir, allowed := range may {
		for _, a := range allowed {
			if _, ok := may[a]; !ok {
				t.Errorf("the table lets %s import %s, which has no line of its own", dir, a)
			}
		}
	}
}

// lookup returns what a package may import: its own line, or that of the nearest directory above.
func lookup(dir string) (allowed []string, known bool) {
	if allowed, known = may[dir]; known {
		return allowed, true
	}
	for up := dir; strings.Contains(up, "/"); {
		up = up[:strings.LastIndex(up, "/")]
		if allowed, known = may[up]; known {
			return append(slices.Clone(allowed), up), true
		}
	}
	return nil, false
}

func advice(from, to string) string {
	switch {
	case slices.Contains(row, from) && slices.Contains(row, to):
		return "name what you need as an interface of your own, internal/app joins the two"
	case to == "internal/githubtest" || to == "internal/testenv":
		return "that is for tests"
	case from == "internal/githubtest" || from == "internal/demo":
		return "a double that shared our code would share our misunderstandings"
	default:
		return "arrows point down, from cmd to internal/pull"
	}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func list(packages []string) string {
	if len(packages) == 0 {
		return "packages outside this module"
	}
	return strings.Join(packages, ", ")
}

func join(groups ...[]string) []string { return slices.Concat(groups...) }

type goPackage struct {
	ImportPath, Dir               string
	GoFiles, Imports, TestImports []string
}

// packages asks the go command, so that build constraints and generated files count as they do in a build.
func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports,TestImports", module+"/...")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &errs)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
	if !slices.ContainsFunc(all, func(p goPackage) bool { return p.ImportPath == module+"/internal/pull" }) {
		t.Fatalf("go list found %d packages, but not internal/pull: the test looks at the wrong module", len(all))
	}
	return all
}

func sources(t *testing.T, p goPackage) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, name := range p.GoFiles {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatalf("read source: %v", err)
		}
		texts[name] = string(text)
	}
	return texts
}
