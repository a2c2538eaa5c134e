// Package testenv is what the tests stand on: real servers, GitHub's recorded payloads, and the program itself as a
// process with its own port, directory and environment.
//
// A test asks for what it needs and gets it or is skipped: a newcomer with nothing but Go can run every test that
// needs nothing but Go. With TEST_REQUIRE_SERVERS=1, which `make test` and CI set, nothing is skipped: what is missing
// fails the test, so that a green run means that everything ran.
//
// It knows nothing of what the program does and imports no other package of it. Whatever it starts, it stops by its
// process id, and it never touches a server that it did not start or was not handed.
package testenv

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// Required reports whether a missing server or fixture fails a test instead of skipping it.
func Required() bool { return os.Getenv("TEST_REQUIRE_SERVERS") == "1" }

// Long reports whether the long forms of tests are asked for: with TEST_LONG=1, as `make chaos` does.
func Long() bool { return os.Getenv("TEST_LONG") == "1" }

// Pick returns what a test works with in its short form, or in its long one.
func Pick[T any](short, long T) T {
	if Long() {
		return long
	}
	return short
}

// Missing ends the test because something outside the repository isn't there: a skip, or a failure if [Required].
// The message should say what is missing and which command brings it.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if Required() {
		t.Fatalf("TEST_REQUIRE_SERVERS=1, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// Until waits until something holds, looking ten times a second, or fails the test.
func Until(t testing.TB, what string, atMost time.Duration, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > atMost {
			t.Fatalf("waited %v in vain until %s", atMost, what)
		}
	}
}

// Root returns the directory of the module, wherever in it the test runs.
func Root(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) { // -trimpath leaves no path: walk up from the package's directory instead
		var err error
		if file, err = filepath.Abs("x"); err != nil {
			t.Fatalf("find the module's root: %v", err)
		}
	}
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("find the module's root: no go.mod above %s", filepath.Dir(file))
		}
	}
}

// Memory returns a directory that costs no waiting for a disk, for what no test kills the power under: GitHub's
// repositories, or a database whose commits matter and not its sync. Where there is none, it is a usual one.
func Memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
