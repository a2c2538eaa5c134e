package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A ballast is a file beside the database that is there to be thrown out. On a full disk SQLite can neither change nor
// delete anything, nor write its log back: all of that needs room first. The ballast is that room. Once it is out, no
// delivery is taken any more, but what was taken is finished, and what may be forgotten is. When there is room for
// ballast again, deliveries are taken again.
type ballast struct {
	path string
	size int64
}

// ballastMost is the size of a ballast. What is written between two looks at the write-ahead log fits into it. A small
// disk gives a sixth.
const (
	ballastMost  = 4 << 20
	ballastShare = 6
)

func newBallast(database string) ballast {
	b := ballast{path: database + ".ballast", size: ballastMost}
	var st unix.Statfs_t
	if unix.Statfs(filepath.Dir(database), &st) == nil {
		b.size = min(b.size, int64(st.Blocks)*st.Bsize/ballastShare)
	}
	return b
}

// there reports whether the ballast is on board.
func (b ballast) there() bool {
	info, err := os.Stat(b.path)
	return err == nil && info.Size() >= b.size
}

// errNoRoom: the disk is full, or so nearly that there is no room for ballast.
var errNoRoom = errors.New("the disk is full")

// make takes the ballast on board, if there is room for half as much again.
func (b ballast) make() error {
	if b.there() {
		return nil
	}
	free, err := freeBytes(b.path)
	if err != nil {
		return err
	}
	if need := b.size + b.size/2; free < need {
		return fmt.Errorf("%w: %d bytes are free, ballast and work need %d", errNoRoom, free, need)
	}
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return cause(err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, b.size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		content := make([]byte, b.size)
		_, _ = rand.Read(content) // never fails; a file system may make nothing of zeros
		_, err = f.WriteAt(content, 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(b.path)
	}
	return err
}

// drop throws it out, and reports whether it was there.
func (b ballast) drop() bool { return os.Remove(b.path) == nil }

// makeRoom gives the ballast up, and the first time tells those who can make more room.
func (s *Store) makeRoom(first bool) {
	dropped := s.sqlite.ballast.drop()
	if !first {
		return
	}
	s.log.Error("the disk is full: no delivery is taken until there is room again; what was taken is worked on",
		"database", s.name, "ballast_freed", dropped)
	select {
	case s.filled <- struct{}{}:
	default:
	}
}

// Filled has a token when the disk has become full, so that a purge may be worth more than at its usual time.
func (s *Store) Filled() <-chan struct{} { return s.filled }

// freeBytes is how much fits on the disk that a file is on.
func freeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", path, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
