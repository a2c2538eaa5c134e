package testenv

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// CopyTree copies what belongs to the repository into dir, as it stands in the work tree, committed or not: what git knows or
// would take up, and where no git answers (an unpacked archive) whatever is not built. Top directories named are left out.
func CopyTree(t testing.TB, dir string, leaveOut ...string) {
	t.Helper()
	root := Root(t)
	for _, name := range tree(t, root) {
		if top, _, _ := strings.Cut(name, "/"); slices.Contains(leaveOut, top) {
			continue
		}
		from, to := filepath.Join(root, name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue // git knows it, and it was deleted
		}
		text, rerr := os.ReadFile(from)
		if err := errors.Join(err, rerr, os.MkdirAll(filepath.Dir(to), 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

// Upstream makes a repository of one commit that holds what CopyTree copies, for tests that clone it.
func Upstream(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	CopyTree(t, dir)
	for _, line := range []string{"init -q -b main", "add -A", "-c user.name=Mira -c user.email=mira@example.com commit -q -m Release"} {
		cmd := exec.Command("git", strings.Fields(line)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", line, err, out)
		}
	}
	return dir
}

// tree lists the files of the repository.
func tree(t testing.TB, root string) (names []string) {
	t.Helper()
	// The repository may belong to somebody else than who runs the test.
	out, err := exec.Command("git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err == nil && bytes.Contains(out, []byte("go.mod\x00")) {
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name, rerr := filepath.Rel(root, path); {
		case err != nil || rerr != nil:
			return errors.Join(err, rerr)
		case d.IsDir() && slices.Contains([]string{".git", "bin", "data", "secrets", "tls", "node_modules"}, d.Name()):
			return fs.SkipDir
		case d.Type().IsRegular() && name != ".env":
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("list the repository's files: %v", err)
	}
	return names
}
