// Package deploy tries what is shipped for running the service: the files for Compose, Docker, systemd, Kubernetes,
// HAProxy, Prometheus, Alertmanager and GitHub's workflows, each by the program that will read it or by that program's
// own code, and then what they say when they are read; and the page that takes a newcomer from a clone to a service behind TLS, command
// by command. There is no Docker engine in a test: what only an engine could tell is left to the workflow.
package deploy

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// program returns the path of an installed program, or ends the test with the package that brings it.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	testenv.Missing(t, "%s is not installed; run: apt-get install %s", name, debian)
	return ""
}

// A result is what became of a command.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a command to its end in dir, with nothing in its environment but PATH, HOME, what Go was told, and env.
func run(t *testing.T, dir string, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home(), "LC_ALL=C.UTF-8"}
	for _, name := range []string{"GOPATH", "GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN"} {
		if value := os.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// home is where Go keeps its caches, which the tools that are built here need.
func home() string {
	if dir, err := os.UserHomeDir(); err == nil {
		return dir
	}
	return "/tmp"
}

// must fails the test unless a command ended well, and returns what it printed.
func must(t *testing.T, r result, what string) string {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", what, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

var built struct {
	once sync.Once
	err  string
}

// manifests builds tools/manifests once, and returns its path.
func manifests(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds tools/manifests")
	}
	root := testenv.Root(t)
	path := filepath.Join(root, "bin", "test", "manifests")
	built.once.Do(func() {
		cmd := exec.Command("go", "build", "-o", path, ".")
		cmd.Dir = filepath.Join(root, "tools", "manifests")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			built.err = string(text)
		}
	})
	if regexp.MustCompile(`dial tcp|no such host|i/o timeout|module lookup disabled`).MatchString(built.err) {
		testenv.Missing(t, "the modules of tools/manifests can't be fetched; run where the network reaches the module proxy: go -C tools/manifests build ./...")
	} else if built.err != "" {
		t.Fatalf("build tools/manifests: %s", built.err)
	}
	return path
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// write puts a file into a directory, which it makes.
func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

// replace replaces a text that must be there, so that a test notices when the file that it changes is not the one it knows.
func replace(t *testing.T, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("there is no %q in\n%s", old, text)
	}
	return strings.ReplaceAll(text, old, new)
}
