package backup

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Target is where backups are.
type Target interface {
	// Address is what a backup is called as a whole.
	Address(name string) string
	// Prepare finds out whether backups can be put there, and names a directory to write them in first.
	Prepare(ctx context.Context) (work string, err error)
	// Has reports whether there is a backup of that name already.
	Has(ctx context.Context, name string) (bool, error)
	// Put takes a file over under a name, and the checksum beside it.
	Put(ctx context.Context, name, path, sum string) error
	// List returns what is there, newest first.
	List(ctx context.Context) ([]Entry, error)
	// Fetch brings a backup, or another file, to this machine. sum is "" when no checksum lies beside it.
	Fetch(ctx context.Context, name string) (path, sum string, done func(), err error)
	Remove(ctx context.Context, name string) error
}

// An Entry is one backup in a target.
type Entry struct {
	Name    string
	Address string
	TakenAt time.Time
	Bytes   int64
	Sum     bool // its checksum lies beside it
}

// OpenTarget returns the target of an address: a directory, or s3://bucket/prefix. It does not look at it yet.
func OpenTarget(address string, getenv func(string) string) (Target, error) {
	if strings.HasPrefix(address, "s3://") {
		return openBucket(address, getenv)
	}
	if scheme, _, found := strings.Cut(address, "://"); found {
		return nil, fmt.Errorf("backups can't go to %s://: want a directory, or s3://BUCKET/PREFIX", scheme)
	}
	if address == "" {
		return nil, errors.New("no place is named for backups: want a directory, or s3://BUCKET/PREFIX")
	}
	return directory(address), nil
}

// Split says in which target a file is, and what it is called there. The name is "" for a target as a whole: a directory,
// or an address of S3 that ends with a slash.
func Split(address string) (target, name string) {
	if strings.HasPrefix(address, "s3://") {
		at := strings.LastIndexByte(address, '/')
		if at < len("s3://") {
			return address, ""
		}
		return address[:at], address[at+1:]
	}
	if info, err := os.Stat(address); err == nil && info.IsDir() {
		return address, ""
	}
	return filepath.Dir(address), filepath.Base(address)
}

// A directory is a target on this machine.
type directory string

func (d directory) Address(name string) string { return filepath.Join(string(d), name) }

// Prepare makes the directory, and none above it: one on a disk that is not mounted is not there.
func (d directory) Prepare(context.Context) (string, error) {
	err := os.Mkdir(string(d), 0o700)
	if errors.Is(err, fs.ErrExist) {
		info, err := os.Stat(string(d))
		switch {
		case err != nil:
			return "", fmt.Errorf("look at %s: %w", string(d), bare(err))
		case !info.IsDir():
			return "", fmt.Errorf("%s is a file: backups want a directory", string(d))
		}
		return string(d), nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no directory %s to make %s in: is its disk mounted?", filepath.Dir(string(d)), filepath.Base(string(d)))
	}
	if err != nil {
		return "", room(filepath.Dir(string(d)), err)
	}
	return string(d), nil
}

func (d directory) Has(_ context.Context, name string) (bool, error) {
	_, err := os.Lstat(d.Address(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", d.Address(name), bare(err))
	}
	return true, nil
}

// Put renames a file that is written and synced. The checksum comes first: a backup is never there without.
func (d directory) Put(_ context.Context, name, path, sum string) error {
	if _, err := os.Lstat(d.Address(name)); err == nil {
		return fmt.Errorf("%s is there already: two backups in one second", d.Address(name))
	}
	beside, err := os.CreateTemp(string(d), "."+prefix+"*"+tempTail)
	if err != nil {
		return room(string(d), err)
	}
	defer os.Remove(beside.Name())
	_, err = io.WriteString(beside, sumLine(name, sum))
	if err = errors.Join(err, beside.Sync(), beside.Close()); err != nil {
		return room(string(d), err)
	}
	if err := os.Rename(beside.Name(), d.Address(name+sumTail)); err != nil {
		return room(string(d), err)
	}
	if err := os.Rename(path, d.Address(name)); err != nil {
		return room(string(d), err)
	}
	self, err := os.Open(string(d))
	if err != nil {
		return room(string(d), err)
	}
	return errors.Join(self.Sync(), self.Close())
}

func (d directory) List(context.Context) ([]Entry, error) {
	found, err := os.ReadDir(string(d))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", string(d), bare(err))
	}
	sums := map[string]bool{}
	var out []Entry
	for _, f := range found {
		if name, ok := strings.CutSuffix(f.Name(), sumTail); ok {
			sums[name] = true
		}
		at, ok := when(f.Name())
		info, err := f.Info()
		if !ok || err != nil || !info.Mode().IsRegular() {
			continue
		}
		out = append(out, Entry{Name: f.Name(), Address: d.Address(f.Name()), TakenAt: at, Bytes: info.Size()})
	}
	for i := range out {
		out[i].Sum = sums[out[i].Name]
	}
	newestFirst(out)
	return out, nil
}

func newestFirst(list []Entry) {
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(b.TakenAt.Compare(a.TakenAt), strings.Compare(b.Name, a.Name))
	})
}

func (d directory) Fetch(_ context.Context, name string) (path, sum string, done func(), err error) {
	path = d.Address(name)
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", "", nil, fmt.Errorf("there is no backup %s", path)
	case err != nil:
		return "", "", nil, fmt.Errorf("look at %s: %w", path, bare(err))
	case !info.Mode().IsRegular():
		return "", "", nil, fmt.Errorf("%s is no file", path)
	}
	text, err := os.ReadFile(path + sumTail)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, "", func() {}, nil
	case err != nil:
		return "", "", nil, fmt.Errorf("read %s: %w", path+sumTail, bare(err))
	}
	if sum, err = readSum(string(text)); err != nil {
		return "", "", nil, fmt.Errorf("%s: %w", path+sumTail, err)
	}
	return path, sum, func() {}, nil
}

func (d directory) Remove(_ context.Context, name string) error {
	for _, path := range []string{d.Address(name), d.Address(name + sumTail)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", path, bare(err))
		}
	}
	return nil
}

// sumLine is a checksum as sha256sum writes and checks it.
func sumLine(name, sum string) string { return sum + "  " + name + "\n" }

func readSum(text string) (string, error) {
	sum, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 {
		return "", errors.New("it holds no SHA-256")
	}
	return strings.ToLower(sum), nil
}
