package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/migrations"
)

// lastBackup is the setting that says when the last backup was taken, and what came of it.
const lastBackup = "last_backup"

// auditRestore is what a restore is called in audits. The rows themselves say which losses a restore explains.
const auditRestore = "restore"

type backupText struct {
	Taken  int64  `json:"taken_at"` // microseconds
	Target string `json:"target"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Schema int    `json:"schema"`
}

// NoteBackup keeps when and where everything was last copied to.
func (s *Store) NoteBackup(ctx context.Context, b pull.Backup) error {
	text, err := json.Marshal(backupText{b.TakenAt.UnixMicro(), clean(b.Target), b.Bytes, b.SHA256, b.Schema})
	if err != nil {
		return err
	}
	return s.write(ctx, "note backup", func(t *tx) error {
		_, err := t.exec(setSetting, lastBackup, string(text), t.now.UnixMicro())
		return err
	})
}

// LastBackup is the newest backup that is known of; the zero value when there is none.
func (s *Store) LastBackup(ctx context.Context) (b pull.Backup, err error) {
	var value string
	if err := s.query(ctx, readSetting, []any{lastBackup}, func(scan scanner) error { return scan(&value) }); err != nil {
		return b, fmt.Errorf("last backup: %w", err)
	}
	var text backupText
	if value == "" || json.Unmarshal([]byte(value), &text) != nil || text.Taken <= 0 {
		return b, nil
	}
	return pull.Backup{TakenAt: time.UnixMicro(text.Taken).UTC(), Target: text.Target, Bytes: text.Bytes, SHA256: text.SHA256, Schema: text.Schema}, nil
}

type restoreText struct {
	Taken int64 `json:"taken_at"` // microseconds
}

// Restores are the newest times that this database was restored from a backup.
func (s *Store) Restores(ctx context.Context) (out []pull.Restore, err error) {
	err = s.query(ctx, listRestores, []any{auditRestore}, func(scan scanner) error {
		var at int64
		var detail string
		if err := scan(&at, &detail); err != nil {
			return err
		}
		var text restoreText
		if json.Unmarshal([]byte(detail), &text) == nil && text.Taken > 0 {
			out = append(out, pull.Restore{Taken: time.UnixMicro(text.Taken).UTC(), At: time.UnixMicro(at).UTC()})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("restores: %w", err)
	}
	return out, nil
}

// MarkRestored makes a restored copy fit for the service: nobody leads, no walk through GitHub's log goes on halfway, and
// the restore is noted, so that what is missing because of it is no alarm. A copy whose age nobody knows is as old as the
// newest thing in it. PostgreSQL does the same in the transaction that restores ([Store.DumpTail]).
func (s *Store) MarkRestored(ctx context.Context, by, from string, b pull.Backup) error {
	return s.write(ctx, "note restore", func(t *tx) error {
		taken := b.TakenAt.UnixMicro()
		if b.TakenAt.IsZero() {
			if _, err := t.row(newestMoment, nil, &taken); err != nil {
				return err
			}
		} else {
			text, err := json.Marshal(backupText{taken, clean(b.Target), b.Bytes, b.SHA256, b.Schema})
			if err != nil {
				return err
			}
			if _, err := t.exec(setSetting, lastBackup, string(text), t.now.UnixMicro()); err != nil {
				return err
			}
		}
		detail, err := json.Marshal(restoreText{taken})
		if err != nil {
			return err
		}
		for _, st := range []*statement{freeLeads, forgetWalks} {
			if _, err := t.exec(st); err != nil {
				return err
			}
		}
		return t.audit(by, auditRestore, from, string(detail))
	})
}

// CopyTo writes a consistent copy of an SQLite file to a path, where there is nothing yet or an empty file, while others
// read and write. It is not synced.
func (s *Store) CopyTo(ctx context.Context, path string) error {
	if s.sqlite == nil {
		return errors.New("only an SQLite file can be copied")
	}
	db, err := sql.Open("sqlite", dsn(s.sqlite.path, "busy_timeout(5000)", "temp_store(memory)"))
	if err != nil {
		return fmt.Errorf("copy %s: %w", s.name, err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, copyInto, path); err != nil {
		var lite *driver.Error
		if errors.As(err, &lite) && lite.Code()&0xff == code.SQLITE_FULL {
			return fmt.Errorf("copy %s: %w", s.name, unix.ENOSPC)
		}
		return fmt.Errorf("copy %s: %w", s.name, cut(ctx, plain(err)))
	}
	return nil
}

// cut prefers the end of a context to what the driver made of it.
func cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// CheckCopy reads every page of a copy that nobody uses, and returns its schema's version.
func CheckCopy(ctx context.Context, path string) (schema int, err error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "mode=ro&immutable=1"}).String())
	if err != nil {
		return 0, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	said, err := oneText(ctx, db, `PRAGMA integrity_check(1)`)
	switch {
	case err != nil:
		return 0, cut(ctx, plain(err))
	case said != "ok":
		return 0, fmt.Errorf("SQLite says that it is damaged: %s", strings.ReplaceAll(said, "\n", " "))
	}
	for _, table := range []string{"schema_migrations", "webhook_logs"} {
		var n int
		if err := db.QueryRowContext(ctx, tableSQLite, table).Scan(&n); err != nil {
			return 0, cut(ctx, plain(err))
		}
		if n == 0 {
			return 0, fmt.Errorf("it has no table %s: it is no database of this service", table)
		}
	}
	if err := db.QueryRowContext(ctx, schemaVersion.sqlite).Scan(&schema); err != nil {
		return 0, cut(ctx, plain(err))
	}
	return schema, nil
}

func oneText(ctx context.Context, db *sql.DB, query string, args ...any) (text string, err error) {
	err = db.QueryRowContext(ctx, query, args...).Scan(&text)
	return text, err
}

// Holds reports whether there is anything in the database that somebody would miss: not only a schema and what a service
// notes about itself.
func (s *Store) Holds(ctx context.Context) (bool, error) {
	have, _, err := s.SchemaVersion(ctx)
	if err != nil || have == 0 {
		return false, err
	}
	var n int
	err = s.query(ctx, anythingKept, nil, func(scan scanner) error { return scan(&n) })
	return n > 0, err
}

// LockSQLite takes the lock of a service on an SQLite file, so that none can start; it fails while one runs.
func LockSQLite(path string) (unlock func() error, err error) {
	path = strings.TrimPrefix(path, "//")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("make the directory of %s: %w", path, cause(err))
	}
	f, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}

// Replace puts a copy, which lies in the same directory and is closed, in the place of an SQLite file. The caller holds
// the lock. What was there is set aside under the name that it returns, "" when there was nothing; with a file goes its
// write-ahead log. There is a whole database in the place at any moment, the old one or the new one.
func Replace(path, replacement, aside string) (kept string, err error) {
	path = strings.TrimPrefix(path, "//")
	sync := func() error {
		dir, err := os.Open(filepath.Dir(path))
		if err != nil {
			return err
		}
		return errors.Join(dir.Sync(), dir.Close())
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		for _, tail := range []string{"-wal", "-shm"} { // of a file that is gone: SQLite would take them for this one's
			if err := os.Rename(path+tail, aside+tail); err != nil && !errors.Is(err, os.ErrNotExist) {
				return "", fmt.Errorf("set %s aside: %w", path+tail, cause(err))
			}
		}
		if err := os.Rename(replacement, path); err != nil {
			return "", fmt.Errorf("put the backup into its place: %w", cause(err))
		}
		return "", sync()
	} else if err != nil {
		return "", fmt.Errorf("look at %s: %w", path, cause(err))
	}
	foldLog(path)
	for _, tail := range []string{"-wal", "-shm"} {
		if err := os.Rename(path+tail, aside+tail); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("set %s aside: %w", path+tail, cause(err))
		}
	}
	// The copy gets the name that the old file is to have, and then the two change places: however early this ends, nothing
	// has a name under which it would be swept away.
	if err := os.Rename(replacement, aside); err != nil {
		return "", fmt.Errorf("put the backup beside the database: %w", cause(err))
	}
	if err := unix.Renameat2(unix.AT_FDCWD, aside, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE); err == nil {
		return aside, sync()
	}
	if err := os.Rename(aside, replacement); err != nil {
		return "", fmt.Errorf("the database is as it was, and the backup is at %s: %w", aside, cause(err))
	}
	// A file system that can't exchange two files: for a moment there is none.
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("set %s aside: %w", path, cause(err))
	}
	if err := os.Rename(replacement, path); err != nil {
		return "", fmt.Errorf("put the backup into its place: %w", errors.Join(cause(err), os.Rename(aside, path)))
	}
	return aside, sync()
}

// foldLog writes the write-ahead log of a file that nobody uses back into it, if that can be done: then it needs no log.
// SQLite deletes the log of a file without a page.
func foldLog(path string) {
	if info, err := os.Stat(path); err != nil || info.Size() < pageSize {
		return
	}
	db, err := sql.Open("sqlite", dsn(path, "busy_timeout(1000)"))
	if err != nil {
		return
	}
	defer db.Close()
	_, _, _ = writeBack(context.Background(), db, "TRUNCATE")
}

// A dump of PostgreSQL is what pg_dump writes between a head and a tail that make it safe in the hands of psql, whatever
// options that has: all of it is one transaction that ends with the first error; it refuses to begin while a service is
// connected; and what is there is moved to a schema of its own first, so that the tables of the dump meet none.

// A DumpPlan is what pg_dump has to be told about a database, and what goes around what it says.
type DumpPlan struct {
	Server int // its major version
	Schema string
	Tables []string // as patterns, quoted
	Head   string
	Tail   string
}

// PlanDump says how the database is to be dumped. The backup is as old as b says.
func (s *Store) PlanDump(ctx context.Context, b pull.Backup) (p DumpPlan, err error) {
	if s.sqlite != nil {
		return p, errors.New("only a PostgreSQL database can be dumped")
	}
	var number, owner string
	ctx, done := context.WithTimeout(ctx, operationLimit)
	defer done()
	if err := s.db.QueryRowContext(ctx, whereTables).Scan(&p.Schema, &owner, &number); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return p, fmt.Errorf("%s has no schema yet: there is nothing to back up; serve and migrate up make it", s.name)
		}
		return p, fmt.Errorf("look at %s: %w", s.name, plain(err))
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return p, fmt.Errorf("the version of %s is %q, which is no number", s.name, number)
	}
	p.Server = n / 10000
	names, err := s.tables(ctx)
	if err != nil {
		return p, err
	}
	for _, name := range names {
		p.Tables = append(p.Tables, pgx.Identifier{p.Schema, name}.Sanitize())
	}
	p.Head = fmt.Sprintf("-- taken_at %s schema %d\n%s", b.TakenAt.Format(time.RFC3339Nano), b.Schema, DumpHead(p.Schema))
	p.Tail = DumpTail(p.Schema, owner, "psql", "a plain dump", b)
	return p, nil
}

// tables are the service's own. A database that is newer than this program may have more of them than it knows.
func (s *Store) tables(ctx context.Context) (names []string, err error) {
	query := allTablesSQLite
	if s.sqlite == nil {
		query = allTablesPostgres
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list the tables of %s: %w", s.name, plain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("list the tables of %s: %w", s.name, plain(err))
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// DumpHead is what goes before a dump of tables of a schema.
func DumpHead(schema string) string {
	return strings.NewReplacer("{schema}", literal(schema), "{guard}", guardText).Replace(dumpHead)
}

// DumpTail is what goes after one: what [Store.MarkRestored] does, and the tables' owner.
func DumpTail(schema, owner, by, from string, b pull.Backup) string {
	taken, text := "NULL", "NULL"
	if !b.TakenAt.IsZero() {
		taken = strconv.FormatInt(b.TakenAt.UnixMicro(), 10)
		if line, err := json.Marshal(backupText{b.TakenAt.UnixMicro(), clean(b.Target), b.Bytes, b.SHA256, b.Schema}); err == nil {
			text = literal(string(line))
		}
	}
	return strings.NewReplacer(
		"{schema}", literal(schema), "{owner}", literal(owner), "{by}", literal(clean(by)), "{from}", literal(clean(from)),
		"{taken}", taken, "{backup}", text, "{guard}", guardText, "{ident}", pgx.Identifier{schema}.Sanitize(),
	).Replace(dumpTail)
}

// literal quotes text as SQL does, whatever standard_conforming_strings says.
func literal(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), "'", "''")
	if strings.Contains(s, `\`) {
		return `E'` + strings.ReplaceAll(s, `\`, `\\`) + `'`
	}
	return `'` + s + `'`
}

// newestSchema is the version that this program needs.
func newestSchema(engine string) (int, error) {
	steps, err := migrations.For(engine)
	if err != nil || len(steps) == 0 {
		return 0, err
	}
	return steps[len(steps)-1].Version, nil
}

// KnownSchema is the newest version of the schema that this program knows.
func KnownSchema() (int, error) { return newestSchema("postgres") }
