package telemetry

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"
)

// profilesKept is how many heap profiles stay in a directory: whoever sends signals in a loop must not fill the disk.
const profilesKept = 10

// WriteHeapProfile writes what is on the heap after a collection to a new file in dir, readable by its owner only (a
// heap holds secrets), removes the oldest beyond ten, and returns its path: `go tool pprof PATH`.
func WriteHeapProfile(dir string) (path string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("heap profile: %w", err)
	}
	path = filepath.Join(dir, "heap-"+time.Now().UTC().Format("20060102T150405.000000000")+".pprof")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("heap profile: %w", err)
	}
	runtime.GC() // the profile is of the last collection
	err = pprof.WriteHeapProfile(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(path)
		return "", fmt.Errorf("heap profile %s: %w", path, err)
	}
	if old, err := filepath.Glob(filepath.Join(dir, "heap-*.pprof")); err == nil && len(old) > profilesKept {
		slices.Sort(old) // names are times
		for _, o := range old[:len(old)-profilesKept] {
			_ = os.Remove(o)
		}
	}
	return path, nil
}
