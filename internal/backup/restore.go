package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A Place is the database that a backup is restored to.
type Place interface {
	Engine() string
	Known() (schema int, err error) // the newest that this program can work with
	// Holds reports whether there is anything that somebody would miss, and fails where that can't be told.
	Holds(ctx context.Context) (bool, error)

	// Path is the SQLite file. Lock keeps services off it; Fit brings a copy's schema up and notes the restore in it; Swap
	// puts it in the file's place, and what was there aside.
	Path() string
	Lock() (unlock func() error, err error)
	CheckCopy(ctx context.Context, path string) (schema int, err error)
	Fit(ctx context.Context, path, from string, b pull.Backup) error
	Swap(replacement, aside string) (kept string, err error)

	// Wrap says what goes around a dump that somebody else has made, of tables in a schema. Finish brings the schema of
	// what was restored up, and returns its version.
	Wrap(schema, from string) (head, tail string)
	Finish(ctx context.Context) (schema int, err error)
}

// RestoreOptions say what is restored and how.
type RestoreOptions struct {
	From    string // a file, or s3://…; a directory or an address that ends with a slash: the newest there
	Replace bool   // what is in the database may be set aside
	URL     string // of the database
	Getenv  func(string) string
	Told    func(string) // what is being done
}

// A Restored says what came of a restore.
type Restored struct {
	From     string
	TakenAt  time.Time // zero: nobody knows
	Schema   int       // of the backup
	Now      int       // of the database
	Checked  bool      // its checksum was there, and right
	Aside    string    // where what was there is
	Took     time.Duration
	Warnings []string
}

// Restore puts a backup in the place of a database.
func Restore(ctx context.Context, p Place, o RestoreOptions) (out Restored, err error) {
	began := time.Now()
	if o.Told == nil {
		o.Told = func(string) {}
	}
	path, sum, done, err := open(ctx, &o)
	if err != nil {
		return out, err
	}
	defer done()
	out.From, out.Checked = o.From, sum != ""
	o.Told("reading the backup through")
	kind, packed, err := kindOf(path)
	if err == nil {
		err = check(ctx, path, sum, packed)
	}
	if err != nil {
		return out, fmt.Errorf("%s can't be restored: %w", o.From, err)
	}
	if at, ok := when(filepath.Base(path)); ok {
		out.TakenAt = at
	}
	switch {
	case kind == "sqlite" && p.Engine() != "sqlite":
		return out, fmt.Errorf("%s is a copy of an SQLite file, and DATABASE_URL is PostgreSQL's: restore it with DATABASE_URL=sqlite:PATH, then move it with migrate --from sqlite:PATH", o.From)
	case kind == "postgres" && p.Engine() != "postgres":
		return out, fmt.Errorf("%s is a dump of PostgreSQL, and DATABASE_URL is an SQLite file: set it to the PostgreSQL database", o.From)
	case kind == "sqlite":
		err = restoreFile(ctx, p, o, path, packed, &out)
	default:
		err = restoreDump(ctx, p, o, path, packed, &out)
	}
	out.Took = time.Since(began)
	return out, err
}

// ofTomorrow is how far a backup may be ahead of this machine's clock.
const ofTomorrow = time.Hour

// open finds the file that is meant.
func open(ctx context.Context, o *RestoreOptions) (path, sum string, done func(), err error) {
	at, name := Split(o.From)
	t, err := OpenTarget(at, o.Getenv)
	if err != nil {
		return "", "", nil, err
	}
	if name == "" {
		list, err := t.List(ctx)
		if err != nil {
			return "", "", nil, err
		}
		if len(list) == 0 {
			return "", "", nil, fmt.Errorf("there is no backup in %s", o.From)
		}
		if ahead := time.Until(list[0].TakenAt); ahead > ofTomorrow {
			return "", "", nil, fmt.Errorf("the newest backup in %s by its name, %s, is from the future: a clock is or was wrong, so which is the newest can't be told; name the one that you mean", o.From, list[0].Name)
		}
		name = list[0].Name
	}
	o.From = t.Address(name)
	o.Told("fetching " + o.From)
	return t.Fetch(ctx, name)
}

// Verify reads a backup through, and says what it is.
func Verify(ctx context.Context, checkCopy func(context.Context, string) (int, error), address string, getenv func(string) string) (out Restored, err error) {
	o := RestoreOptions{From: address, Getenv: getenv, Told: func(string) {}}
	path, sum, done, err := open(ctx, &o)
	if err != nil {
		return out, err
	}
	defer done()
	out.From, out.Checked = o.From, sum != ""
	if at, ok := when(filepath.Base(path)); ok {
		out.TakenAt = at
	}
	kind, packed, err := kindOf(path)
	if err == nil {
		err = check(ctx, path, sum, packed)
	}
	if err == nil && kind == "sqlite" {
		raw := path
		if packed {
			if raw, err = unpack(ctx, path, os.TempDir()); err == nil {
				defer os.Remove(raw)
			}
		}
		if err == nil {
			out.Schema, err = checkCopy(ctx, raw)
		}
	} else if err == nil {
		var d dump
		if d, err = scanFile(ctx, path, packed); err == nil {
			out.Schema, err = d.schema, d.usable()
		}
	}
	if err != nil {
		return out, fmt.Errorf("%s is not good: %w", o.From, err)
	}
	return out, nil
}

// kindOf looks at the first bytes of a file.
func kindOf(path string) (kind string, packed bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", false, bare(err)
	}
	defer f.Close()
	var first [2]byte
	if _, err := io.ReadFull(f, first[:]); err != nil {
		return "", false, errors.New("it is empty")
	}
	packed = first == [2]byte{0x1f, 0x8b}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", false, bare(err)
	}
	r := io.Reader(f)
	if packed {
		if r, err = gzip.NewReader(f); err != nil {
			return "", false, fmt.Errorf("it can't be unpacked: %w", err)
		}
	}
	head := make([]byte, 4<<10)
	n, _ := io.ReadFull(r, head) // what is there tells
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("SQLite format 3\x00")):
		return "sqlite", packed, nil
	case bytes.HasPrefix(head, []byte("PGDMP")):
		return "", false, errors.New("it is in pg_dump's custom format: make a plain one of it with pg_restore -f backup.sql FILE")
	case bytes.HasPrefix(head, []byte(headMark)), bytes.Contains(head, []byte("-- PostgreSQL database dump\n")):
		return "postgres", packed, nil
	}
	return "", false, errors.New("it is neither a dump of PostgreSQL nor a copy of an SQLite file")
}

// content opens a file, unpacked.
func content(path string, packed bool) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	if !packed {
		return f, nil
	}
	gz, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<18))
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("it can't be unpacked: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{gz, f}, nil
}

// unpack writes the content of a file to a new one in a directory, synced, and returns its path.
func unpack(ctx context.Context, path, dir string) (string, error) {
	r, err := content(path, strings.HasSuffix(path, ".gz") || isPacked(path))
	if err != nil {
		return "", err
	}
	defer r.Close()
	f, err := os.CreateTemp(dir, "."+prefix+"*"+tempTail)
	if err != nil {
		return "", room(dir, err)
	}
	_, err = io.Copy(f, reader{ctx, r})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", room(dir, err)
	}
	return f.Name(), nil
}

func isPacked(path string) bool {
	_, packed, err := kindOf(path)
	return err == nil && packed
}

// tooNew refuses a backup of a later version of the program.
func tooNew(p Place, schema int, from string) error {
	known, err := p.Known()
	if err != nil {
		return err
	}
	if schema > known {
		return fmt.Errorf("%s has schema %d, and this program knows up to %d: restore it with the version of the program that took it, or a later one", from, schema, known)
	}
	return nil
}

// full refuses a database that holds something, unless it may be set aside.
func full(ctx context.Context, p Place, o RestoreOptions) error {
	if o.Replace {
		return nil
	}
	holds, err := p.Holds(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("what is in the database can't be told (%v): with --replace it is set aside, whatever it is", err)
	case holds:
		return errors.New("the database is not empty: with --replace, what is in it is set aside (not deleted) and the backup takes its place")
	}
	return nil
}

func restoreFile(ctx context.Context, p Place, o RestoreOptions, path string, packed bool, out *Restored) error {
	unlock, err := p.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := full(ctx, p, o); err != nil {
		return err
	}
	dir := filepath.Dir(p.Path())
	sweepTemps(dir)
	o.Told("unpacking it beside the database")
	raw, err := unpack(ctx, path, dir)
	if err != nil {
		return err
	}
	defer os.Remove(raw)
	if out.Schema, err = p.CheckCopy(ctx, raw); err != nil {
		return fmt.Errorf("%s can't be restored: %w", o.From, err)
	}
	if err := tooNew(p, out.Schema, o.From); err != nil {
		return err
	}
	b := pull.Backup{Target: o.From, Schema: out.Schema, TakenAt: out.TakenAt}
	if err := p.Fit(ctx, raw, o.From, b); err != nil {
		return fmt.Errorf("make %s ready: %w", o.From, err)
	}
	for _, tail := range []string{"-wal", "-shm", ".lock"} { // closing has written the log back
		_ = os.Remove(raw + tail)
	}
	if out.Now, err = p.CheckCopy(ctx, raw); err != nil {
		return fmt.Errorf("%s can't be restored: %w", o.From, err)
	}
	if err := os.Chmod(raw, 0o640); err != nil {
		return bare(err)
	}
	o.Told("putting it in its place")
	out.Aside, err = p.Swap(raw, p.Path()+".before-restore-"+time.Now().UTC().Format(moment))
	return err
}

func scanFile(ctx context.Context, path string, packed bool) (dump, error) {
	r, err := content(path, packed)
	if err != nil {
		return dump{}, err
	}
	defer r.Close()
	return scan(ctx, r)
}

func restoreDump(ctx context.Context, p Place, o RestoreOptions, path string, packed bool, out *Restored) error {
	d, err := scanFile(ctx, path, packed)
	if err == nil {
		err = d.usable()
	}
	if err != nil {
		return fmt.Errorf("%s can't be restored: %w", o.From, err)
	}
	out.Schema = d.schema
	if d.ours && !d.taken.IsZero() {
		out.TakenAt = d.taken
	}
	if err := tooNew(p, d.schema, o.From); err != nil {
		return err
	}
	if err := full(ctx, p, o); err != nil {
		return err
	}
	o.Told("putting it into the database, in one transaction")
	if out.Warnings, err = psql(ctx, p, o, d, path, packed); err != nil {
		return err
	}
	for _, w := range out.Warnings {
		if _, rest, ok := strings.Cut(w, "is kept in its schema "); ok {
			out.Aside, _, _ = strings.Cut(rest, ":")
		}
	}
	if out.Now, err = p.Finish(ctx); err != nil {
		return fmt.Errorf("%s is restored; %w", o.From, err)
	}
	return nil
}

// psql lets psql run a dump. A dump of ours is a transaction of its own; one of somebody else's is made one, and what it
// says of roles is left out: what is restored belongs to whoever restores it. Whoever may write where backups are must not
// run programs here: psql takes SQL from the file and none of its own commands, as far as it knows how to (since 2025).
func psql(ctx context.Context, p Place, o RestoreOptions, d dump, path string, packed bool) ([]string, error) {
	program, err := tool("psql", 0)
	if err != nil {
		return nil, err
	}
	cmd, err := command(ctx, program, o.URL, o.Getenv, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-")
	if err != nil {
		return nil, err
	}
	said := &saying{}
	cmd.Stderr = said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("run psql: %w", err)
	}
	r, err := content(path, packed)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", program, bare(err))
	}
	head, tail := "", ""
	if !d.ours {
		head, tail = p.Wrap(d.in, o.From)
	}
	if restricts(ctx, program) {
		word := rand.Text() // what ends it; the file can't know
		head, tail = head+`\restrict `+word+"\n", `\unrestrict `+word+"\n"+tail
	}
	w := bufio.NewWriterSize(in, 1<<18)
	s := newScanner()
	l := &lines{each: func(piece []byte) error {
		if what := s.line(piece); what == drop || what == forPsql || what == owner && !d.ours {
			return nil
		}
		_, err := w.Write(piece)
		return err
	}}
	_, sent := w.WriteString(head)
	if sent == nil {
		_, sent = io.Copy(l, reader{ctx, r})
	}
	if sent == nil {
		sent = l.end()
	}
	if sent == nil { // otherwise psql never gets to see the end of the transaction
		_, sent = w.WriteString(tail)
	}
	if sent == nil {
		sent = w.Flush()
	}
	_ = in.Close() // psql has heard enough, or has gone
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		text := said.String()
		if text == "" {
			text = err.Error()
		}
		return nil, fmt.Errorf("nothing was restored, and the database is as it was: %s", text)
	case sent != nil:
		return nil, fmt.Errorf("nothing was restored, and the database is as it was: %w", sent)
	}
	return said.warnings(), nil
}
