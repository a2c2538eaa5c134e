// Package backup copies everything that the service keeps to somewhere else, and brings such a copy back.
//
//	Take     a consistent copy of the database while services work on it, verified before it counts    backup.go
//	targets  a directory (dir.go) or a bucket of a service that speaks S3 (s3.go)
//	dumps    what pg_dump writes, read line by line: whether it is whole, and of which schema          dump.go
//	Restore  puts a copy in the place of the database, whole or not at all                             restore.go
//
// A file under a backup's name is a whole one: it is written under another name, read from end to end, synced, and renamed
// last. Beside each lies its checksum in the form of sha256sum. Only files with such names are ever removed, and only
// after a newer one is there and good.
//
// The package owns the files, pg_dump and psql. Every statement is the store's, which it knows by the interfaces
// [Database] and [Restorer]. Which database, and what the operator is told, is for the commands to say.
package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A Database is what is copied.
type Database interface {
	Engine() string
	Now() time.Time
	SchemaVersion(ctx context.Context) (have, want int, err error)
	// CopyTo writes a consistent copy of an SQLite file while others use it, and CheckCopy reads one through.
	CopyTo(ctx context.Context, path string) error
	CheckCopy(ctx context.Context, path string) (schema int, err error)
	// PlanDump says how PostgreSQL is to be dumped.
	PlanDump(ctx context.Context, b pull.Backup) (Plan, error)
	NoteBackup(ctx context.Context, b pull.Backup) error
}

// A Plan is what pg_dump has to be told, and what goes around what it says.
type Plan struct {
	Server     int // major version
	Tables     []string
	Head, Tail string
}

// Options say how a backup is taken.
type Options struct {
	To     string        // a directory, or s3://bucket/prefix
	Keep   time.Duration // older ones are removed; 0 keeps all
	Plain  bool          // not compressed
	URL    string        // of the database
	Getenv func(string) string
	Log    *slog.Logger
}

// A Taker takes backups. Make it with New.
type Taker struct {
	o      Options
	target Target
}

// New returns a Taker, without looking at the target yet.
func New(o Options) (*Taker, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t, err := OpenTarget(o.To, o.Getenv)
	if err != nil {
		return nil, err
	}
	return &Taker{o, t}, nil
}

// A Taken is a backup that is there and good.
type Taken struct {
	pull.Backup
	Name    string
	Took    time.Duration
	Removed []string // older ones
	Unnoted error    // the database could not be told of it
}

// Take takes one backup.
func (t *Taker) Take(ctx context.Context, db Database) (out Taken, err error) {
	began := time.Now()
	have, want, err := db.SchemaVersion(ctx)
	switch {
	case err != nil:
		return out, err
	case have == 0:
		return out, errEmpty
	case have > want:
		t.o.Log.Warn("the database's schema is newer than this program; all its tables are backed up", "have", have, "want", want)
	}
	work, err := t.target.Prepare(ctx)
	if err != nil {
		return out, err
	}
	sweepTemps(work)
	// What is acknowledged from here on may be in it or not.
	for out.Schema = have; ; {
		out.TakenAt = db.Now()
		out.Name = nameOf(out.TakenAt, db.Engine(), !t.o.Plain)
		taken, err := t.target.Has(ctx, out.Name)
		if err != nil {
			return out, stopped(ctx, err)
		}
		if !taken {
			break
		}
		if !pause(ctx, time.Until(time.Now().Truncate(time.Second).Add(time.Second))) { // a name has a second
			return out, ctx.Err()
		}
	}
	out.Target = t.target.Address(out.Name)
	file, err := os.CreateTemp(work, "."+prefix+"*"+tempTail) // for its owner's eyes only
	if err != nil {
		return out, room(work, err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	s := newSink(file, !t.o.Plain)
	if db.Engine() == "sqlite" {
		err = t.copySQLite(ctx, db, work, s)
	} else {
		err = t.dump(ctx, db, &out.Backup, s)
	}
	if err == nil {
		err = s.close()
	}
	if err != nil {
		return out, room(work, stopped(ctx, err))
	}
	out.Bytes, out.SHA256 = s.bytes, s.sum()
	if err := check(ctx, file.Name(), out.SHA256, !t.o.Plain); err != nil {
		return out, fmt.Errorf("the backup does not read back as it was written: %w", err)
	}
	if err := t.target.Put(ctx, out.Name, file.Name(), out.SHA256); err != nil {
		return out, stopped(ctx, err)
	}
	out.Took = time.Since(began)
	out.Unnoted = db.NoteBackup(ctx, out.Backup)
	out.Removed, err = t.prune(ctx, out.Name, out.TakenAt)
	return out, err
}

// copySQLite copies the file beside whoever uses it, reads the copy through, and packs it.
func (t *Taker) copySQLite(ctx context.Context, db Database, work string, s *sink) error {
	raw, err := os.CreateTemp(work, "."+prefix+"*"+tempTail)
	if err != nil {
		return err
	}
	defer os.Remove(raw.Name())
	defer raw.Close()
	if err := db.CopyTo(ctx, raw.Name()); err != nil {
		return err
	}
	if _, err := db.CheckCopy(ctx, raw.Name()); err != nil {
		return fmt.Errorf("the copy is not good: %w", err)
	}
	_, err = io.Copy(s, reader{ctx, raw})
	return err
}

// dump lets pg_dump write, and watches what it says.
func (t *Taker) dump(ctx context.Context, db Database, b *pull.Backup, s *sink) error {
	plan, err := db.PlanDump(ctx, *b)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(s, headMark+"\n"+plan.Head); err != nil {
		return err
	}
	scan := newScanner()
	out := &lines{each: func(line []byte) error {
		if scan.line(line) == drop {
			return nil
		}
		_, err := s.Write(line)
		return err
	}}
	if err := pgDump(ctx, t.o.URL, t.o.Getenv, plan, out); err != nil {
		return err
	}
	if err := out.end(); err != nil {
		return err
	}
	found := scan.found() // without head and tail it is somebody else's
	switch {
	case !found.whole:
		return errors.New("pg_dump ended early: its dump has no end mark")
	case found.schema != b.Schema:
		return fmt.Errorf("the dump is of schema %d, and the database's is %d: it was changed meanwhile", found.schema, b.Schema)
	}
	_, err = io.WriteString(s, plan.Tail)
	return err
}

// fewest is how many backups stay, however old: a clock that has jumped ahead would have all that are good removed.
const fewest = 3

// prune removes what is older than is to be kept. The newest few are never among it.
func (t *Taker) prune(ctx context.Context, newest string, now time.Time) (removed []string, err error) {
	if t.o.Keep <= 0 {
		return nil, nil
	}
	list, err := t.target.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("the backup is there; which older ones to remove can't be told: %w", err)
	}
	for i, e := range list {
		if i < fewest || e.Name == newest || !e.TakenAt.Before(now.Add(-t.o.Keep)) {
			continue
		}
		if err := t.target.Remove(ctx, e.Name); err != nil {
			return removed, fmt.Errorf("the backup is there; an older one can't be removed: %w", err)
		}
		removed = append(removed, e.Name)
	}
	return removed, nil
}

// How soon a backup that failed is tried again: at first, and at most; and how soon a database is looked at that has nothing to
// back up yet, because the service that fills it has just been started beside.
const (
	againSoon  = 30 * time.Second
	againLate  = 10 * time.Minute
	againEmpty = time.Second
)

var errEmpty = errors.New("the database has no schema yet, so there is nothing to back up: serve and migrate up make it")

// Run takes a backup now and then every so often, until ctx ends. One that fails is tried again sooner.
func (t *Taker) Run(ctx context.Context, every time.Duration, open func(context.Context) (Database, func(), error)) {
	empty := false
	for again := againSoon; ; {
		began := time.Now()
		out, err := t.once(ctx, open)
		if ctx.Err() != nil {
			return
		}
		wait := max(every-time.Since(began), 0)
		switch {
		case errors.Is(err, errEmpty):
			wait = min(againEmpty, every)
			if !empty {
				t.o.Log.Info("there is nothing to back up yet: the database has no schema; the first backup is taken as soon as it has")
			}
			empty = true
		case err != nil && out.SHA256 == "" || err != nil && out.Took == 0:
			wait = min(again, every)
			again = min(2*again, againLate)
			t.o.Log.Error("no backup could be taken; it is tried again", telemetry.KeyErr, err, "next", stamp(time.Now().Add(wait)))
		default:
			again, empty = againSoon, false
			t.o.Log.Info("backup taken", "to", out.Target, "bytes", out.Bytes, "sha256", out.SHA256, telemetry.KeyTook, out.Took.Round(time.Millisecond),
				"removed", len(out.Removed), "next", stamp(time.Now().Add(wait)))
			if err = errors.Join(err, out.Unnoted); err != nil {
				t.o.Log.Warn("the backup is good, and not all that follows could be done", telemetry.KeyErr, err)
			}
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// pause reports whether d has passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *Taker) once(ctx context.Context, open func(context.Context) (Database, func(), error)) (out Taken, err error) {
	db, done, err := open(ctx)
	if err != nil {
		return out, err
	}
	defer done()
	return t.Take(ctx, db)
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

// A sink writes a file, packed or plain, and knows its checksum.
type sink struct {
	file  *os.File
	gz    *gzip.Writer // nil: plain
	buf   *bufio.Writer
	hash  hash.Hash
	bytes int64
}

func newSink(f *os.File, pack bool) *sink {
	s := &sink{file: f, hash: sha256.New()}
	s.buf = bufio.NewWriterSize(counting{s}, 1<<18)
	if pack {
		s.gz = gzip.NewWriter(s.buf)
	}
	return s
}

// counting is the way from the buffer to the file.
type counting struct{ s *sink }

func (c counting) Write(b []byte) (int, error) {
	n, err := c.s.file.Write(b)
	c.s.hash.Write(b[:n])
	c.s.bytes += int64(n)
	return n, err
}

// Write packs b.
func (s *sink) Write(b []byte) (int, error) {
	if s.gz != nil {
		return s.gz.Write(b)
	}
	return s.buf.Write(b)
}

func (s *sink) close() error {
	var err error
	if s.gz != nil {
		err = s.gz.Close()
	}
	return errors.Join(err, s.buf.Flush(), s.file.Sync(), s.file.Close())
}

func (s *sink) sum() string { return hex.EncodeToString(s.hash.Sum(nil)) }

// check reads a file from end to end: it has the checksum, and is readable.
func check(ctx context.Context, path, want string, packed bool) error {
	f, err := os.Open(path)
	if err != nil {
		return bare(err)
	}
	defer f.Close()
	h := sha256.New()
	all := io.TeeReader(reader{ctx, f}, h)
	if packed {
		gz, err := gzip.NewReader(bufio.NewReaderSize(all, 1<<18))
		if err != nil {
			return fmt.Errorf("it is not in the form of gzip: %w", err)
		}
		if _, err := io.Copy(io.Discard, gz); err != nil {
			return fmt.Errorf("it can't be unpacked: %w", err)
		}
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return bare(err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); want != "" && got != want {
		return fmt.Errorf("its checksum is %s, and must be %s", got, want)
	}
	return nil
}

// A reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

// Read reads, while there is time.
func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// abandoned is when a file that nobody has written to belongs to a backup that was killed.
const abandoned = time.Hour

func sweepTemps(dir string) {
	old, err := filepath.Glob(filepath.Join(dir, "."+prefix+"*"+tempTail))
	if err != nil {
		return
	}
	for _, path := range old {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(path)
		}
	}
}

// room says what most often keeps a backup from being written.
func room(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("there is no room for a backup in %s: make room, or name another place with --to", dir)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("a backup can't be written in %s: %w; the directory must be writable for this user", dir, bare(err))
	}
	return err
}

// stopped prefers the end of a context to what it led to.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func bare(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// oneLine makes one line of what a program has said.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
