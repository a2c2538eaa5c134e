package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// The scripts at the root that operators type: each hands over to a command of the program, and its PowerShell twin does
// the same.
var scripts = map[string]string{
	"smoke-tests": "smoke", "test-webhook-signature": "send", "production-readiness-test": "readiness",
}

// An installation is a copy of the scripts with a program that only tells how it was called.
func installation(t *testing.T, program string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	files := []string{"scripts/operator.sh"}
	for name := range scripts {
		files = append(files, name+".sh", name+".ps1")
	}
	for _, name := range files {
		from := filepath.Join(testenv.Root(t), name)
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(text), info.Mode())
	}
	if program != "" {
		write(t, filepath.Join(dir, "bin", "github-pr-manager"), program, 0o755)
	}
	return dir
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

const teller = `#!/bin/sh
for a; do printf 'arg %s\n' "$a"; done
env | sed -n 's/^\(WEBHOOK_SECRET\|WEBHOOK_SECRET_FILE\|SECRETS_DIR\)=/env \1=/p' | sort
exit 7
`

// call runs a script as an operator types it, in a directory of its own, and returns the lines it prints.
func call(t *testing.T, env []string, path string, args ...string) (code int, out []string, errs string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = testenv.Environ(t, env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", path, err)
	}
	return cmd.ProcessState.ExitCode(), strings.Split(strings.TrimSpace(string(text)), "\n"), stderr.String()
}

func TestScriptsHandOver(t *testing.T) {
	dir := installation(t, teller)
	for name, command := range scripts {
		for _, ext := range []string{".sh", ".ps1"} {
			if ext == ".ps1" && testing.Short() {
				continue
			}
			t.Run(name+ext, func(t *testing.T) {
				path := filepath.Join(dir, name+ext)
				says := func(env, args, want []string) {
					t.Helper()
					code, got, errs := call(t, env, path, args...)
					if code != 7 || !slices.Equal(got, want) {
						t.Errorf("%s %q: exit %d, %q, %s; want exit 7, %q", name, args, code, got, errs, want)
					}
				}
				says(nil, nil, []string{"arg " + command})
				says(nil, []string{"-BaseUrl", "http://localhost:3002", "--json"},
					[]string{"arg " + command, "arg --url", "arg http://localhost:3002", "arg --json"})
				if command != "send" {
					return
				}
				// A secret goes on by the environment, where no other user reads it.
				says([]string{"WEBHOOK_SECRET_FILE=/old", "WEBHOOK_SECRET=old"}, []string{"-Secret", "the new one"},
					[]string{"arg send", "env WEBHOOK_SECRET=the new one"})
				says(nil, []string{"-secret", "s", "-baseurl", "http://x"}, []string{"arg send", "arg --url", "arg http://x", "env WEBHOOK_SECRET=s"})
			})
		}
	}
	t.Run("secrets of the production stack", func(t *testing.T) {
		dir := installation(t, teller)
		write(t, filepath.Join(dir, "secrets", "webhook-secret"), secret+"\n", 0o600)
		for env, want := range map[string]string{"A=b": filepath.Join(dir, "secrets"), "SECRETS_DIR=/elsewhere": "/elsewhere"} {
			_, got, errs := call(t, []string{env}, filepath.Join(dir, "smoke-tests.sh"))
			if !slices.Equal(got, []string{"arg smoke", "env SECRETS_DIR=" + want}) {
				t.Errorf("with %s: %q %s, want SECRETS_DIR=%s", env, got, errs, want)
			}
		}
	})
	t.Run("in PATH", func(t *testing.T) {
		dir, bin := installation(t, ""), t.TempDir()
		write(t, filepath.Join(bin, "github-pr-manager"), teller, 0o755)
		if code, got, errs := call(t, []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, filepath.Join(dir, "smoke-tests.sh")); code != 7 {
			t.Errorf("exit %d, %q, %s; want that the program in PATH is run", code, got, errs)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		code, _, errs := call(t, []string{"PATH=/usr/bin:/bin"}, filepath.Join(installation(t, ""), "smoke-tests.sh"))
		if code != 2 || !strings.Contains(errs, "make build") || strings.Count(errs, "\n") != 1 {
			t.Errorf("without a program: exit %d, %q; want exit 2 and one line that says how to get one", code, errs)
		}
	})
	t.Run("without its value", func(t *testing.T) {
		if code, _, errs := call(t, nil, filepath.Join(dir, "smoke-tests.sh"), "-BaseUrl"); code != 2 || !strings.Contains(errs, "-BaseUrl needs a value") {
			t.Errorf("-BaseUrl without a value: exit %d, %q; want exit 2", code, errs)
		}
	})
}

// PowerShell is nowhere to be had where this is tested, so the twins are held to what can be read: that their brackets and
// quotes close, that they declare the parameters which the runbook uses before anything else, and that they do what
// the tested scripts do.
func TestPowerShellTwins(t *testing.T) {
	for name, command := range scripts {
		path := filepath.Join(testenv.Root(t), name+".ps1")
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s.ps1 can't be executed: %v", name, err)
		}
		text := string(raw)
		if first, _, _ := strings.Cut(text, "\n"); len(first) > 126 || !strings.HasPrefix(first, "#!/usr/bin/env -S sh -c ") {
			t.Errorf("%s.ps1 begins with %q (%d bytes), want a line that old kernels take (126) and that runs pwsh or the twin", name, first, len(first))
		}
		if !strings.Contains(text, "was not executed where") {
			t.Errorf("%s.ps1 does not say that it has not been executed", name)
		}
		code, err := powerShellCode(text)
		if err != nil {
			t.Errorf("%s.ps1: %v", name, err)
			continue
		}
		if !strings.HasPrefix(strings.TrimSpace(code), "param(") {
			t.Errorf("%s.ps1: something stands before param(...), which has to come first", name)
		}
		want := []string{"BaseUrl", "Rest"}
		if command == "send" {
			want = []string{"BaseUrl", "Secret", "Rest"}
		}
		declared, rest, _ := strings.Cut(code, "\n)\n")
		var got []string
		for _, m := range regexp.MustCompile(`\] \$(\w+)`).FindAllStringSubmatch(declared, -1) {
			got = append(got, m[1])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s.ps1 takes %q, want %q", name, got, want)
		}
		for _, m := range regexp.MustCompile(`\$(\w+)\b`).FindAllStringSubmatch(rest, -1) {
			known := slices.Concat(want, []string{"ErrorActionPreference", "program", "PSScriptRoot", "env", "arguments", "LASTEXITCODE", "null"})
			if !slices.Contains(known, m[1]) {
				t.Errorf("%s.ps1 uses $%s, which nothing sets", name, m[1])
			}
		}
		for _, line := range []string{"$arguments = @('" + command + "')", "& $program @arguments @Rest", "exit $LASTEXITCODE"} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s.ps1 has no line %q", name, line)
			}
		}
		for line := range strings.Lines(rest) {
			if strings.Contains(line, "$Secret") && !strings.HasPrefix(line, "if ($Secret) { $env:WEBHOOK_SECRET = $Secret;") {
				t.Errorf("%s.ps1 does something with the secret other than to set the environment: %s", name, line)
			}
		}
	}
	for bad, want := range map[string]string{
		"if ($x) { 'a' ": "is not closed", "'abc": "is not closed", "(]": "closes", "# }\n}": "closes", "\"$(\"": "is not closed", "<# {": "is not closed",
	} {
		if _, err := powerShellCode(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("powerShellCode(%q) = %v, want that something %s", bad, err, want)
		}
	}
}

// powerShellCode returns a script without its comments, and an error where brackets, quotes or comments don't close.
func powerShellCode(text string) (string, error) {
	var code strings.Builder
	var open []byte
	closes := map[byte]byte{')': '(', '}': '{', ']': '['}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case strings.HasPrefix(text[i:], "<#"):
			end := strings.Index(text[i:], "#>")
			if end < 0 {
				return "", errors.New("a comment <# is not closed")
			}
			i += end + 1
			continue
		case c == '#':
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				end = len(text) - i
			}
			i += end - 1
			continue
		case c == '\'', c == '"':
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 {
				return "", errors.New("a quote is not closed")
			}
			if quoted := text[i+1 : i+1+end]; c == '"' && strings.Count(quoted, "(") != strings.Count(quoted, ")") {
				return "", errors.New("a bracket in a quote is not closed")
			}
			code.WriteString(text[i : i+2+end])
			i += 1 + end
			continue
		case c == '(', c == '{', c == '[':
			open = append(open, c)
		case closes[c] != 0:
			if len(open) == 0 || open[len(open)-1] != closes[c] {
				return "", errors.New(string(c) + " closes what is not open")
			}
			open = open[:len(open)-1]
		}
		code.WriteByte(c)
	}
	if len(open) > 0 {
		return "", errors.New(string(open[len(open)-1]) + " is not closed")
	}
	return code.String(), nil
}
