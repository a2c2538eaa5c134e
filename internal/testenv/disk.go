package testenv

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A Disk is a small file system of a test's own. It ends with the test.
type Disk struct{ Dir string }

// SmallDisk mounts one of so many bytes, which takes root.
func SmallDisk(t testing.TB, size int64) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "only root may mount a small disk; run this test as root")
	}
	dir, err := os.MkdirTemp("", "disk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	d := &Disk{Dir: dir}
	if err := syscall.Mount("tmpfs", d.Dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", size)); err != nil {
		Missing(t, "a small disk can't be mounted: %v", err)
	}
	t.Cleanup(func() {
		// What was started on it later has ended by now; its last files may take a moment to close.
		var err error
		for range 100 {
			if err = syscall.Unmount(d.Dir, 0); !errors.Is(err, syscall.EBUSY) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("unmount the small disk: %v", errors.Join(err, syscall.Unmount(d.Dir, syscall.MNT_DETACH)))
		}
	})
	return d
}

// ReadOnly makes every further write on it fail. Nothing on it may be open for writing.
func (d *Disk) ReadOnly(t testing.TB) {
	t.Helper()
	if err := syscall.Mount("tmpfs", d.Dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("make the small disk read-only: %v", err)
	}
}

// Free is how many bytes fit on it.
func (d *Disk) Free(t testing.TB) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.Dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// Fill writes a file until only so many bytes are free; Empty removes it.
func (d *Disk) Fill(t testing.TB, left int64) {
	t.Helper()
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	_, _ = rand.Read(block) // never fails
	for free := d.Free(t) - left; free > 0; free = d.Free(t) - left {
		if _, err := f.Write(block[:min(free, int64(len(block)))]); errors.Is(err, syscall.ENOSPC) {
			return // somebody else took the rest
		} else if err != nil {
			t.Fatalf("fill the small disk: %v", err)
		}
	}
}

// Empty removes what Fill has written.
func (d *Disk) Empty(t testing.TB) {
	t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		t.Fatal(err)
	}
}

func (d *Disk) filler() string { return filepath.Join(d.Dir, "filler") }
