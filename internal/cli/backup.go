package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/joho/godotenv"
	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/backup"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

type backupOptions struct {
	to, keep, every string
	plain, asJSON   bool
}

func (w *world) backupCommand() *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Copies everything that the service keeps, while it runs",
		Long: `Takes a consistent copy of the database of DATABASE_URL, beside running services or without any: of an SQLite file a
copy of the file, of PostgreSQL what pg_dump writes, as one transaction that psql takes as it is. The copy is read
through before it counts, and a half one never has a backup's name. Beside it lies its checksum (sha256sum -c).

It goes to a directory, or to s3://BUCKET/PREFIX of any service that speaks S3: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY (or AWS_SECRET_ACCESS_KEY_FILE), AWS_REGION, and AWS_ENDPOINT_URL for one that is not
Amazon's, from the environment or .env. On its way there it needs room in TMPDIR.

With --keep, backups that are older are removed once the new one is there. With --every it goes on for ever, says
when the next one is, and tries one that failed again sooner; SIGTERM ends it.`,
		Example: `  github-pr-manager backup --to /var/backups/github-pr-manager --keep 30d
  github-pr-manager backup --to s3://ops/pr-manager --every 1h --keep 30d
  github-pr-manager backup list /var/backups/github-pr-manager
  github-pr-manager restore /var/backups/github-pr-manager    # the newest there`,
		Args: cobra.ArbitraryArgs, // so that an unknown command is ours to explain
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return w.backup(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.to, "to", "", "a `directory`, or s3://BUCKET/PREFIX")
	cmd.Flags().StringVar(&o.keep, "keep", "", "remove backups that are `older`, such as 30d; without it, none")
	cmd.Flags().StringVar(&o.every, "every", "", "take one now and then every so `often`, such as 1h")
	cmd.Flags().BoolVar(&o.plain, "plain", false, "don't compress it")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	cmd.AddCommand(w.backupListCommand(), w.backupVerifyCommand())
	return cmd
}

// getenv is a variable that isn't the service's own, of the environment or .env.
func (w *world) getenv() func(string) string {
	file, err := godotenv.Read(dotenvFile)
	if err != nil {
		file = nil // there is none, or app.Load has said what is wrong with it
	}
	get := func(name string) string {
		if v := w.lookup(name); v != "" {
			return v
		}
		return file[name]
	}
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD"} {
		if v := get(name); v != "" {
			w.secrets.Add(v)
		}
	}
	return get
}

func (w *world) backup(ctx context.Context, o backupOptions) error {
	if o.to == "" {
		return usagef("--to is missing: name a directory for backups, or s3://BUCKET/PREFIX")
	}
	var keep, every time.Duration
	for _, length := range []struct {
		flag, text string
		into       *time.Duration
	}{{"keep", o.keep, &keep}, {"every", o.every, &every}} {
		if length.text == "" {
			continue
		}
		d, err := backup.Duration(length.text)
		if err != nil {
			return usagef("--%s: %w", length.flag, err)
		}
		*length.into = d
	}
	if every > 0 && (o.asJSON || every < time.Second) {
		return usagef("--every goes on for ever: it takes no --json, and at least 1s")
	}
	cfg, err := w.config()
	if err != nil {
		return err
	}
	log := telemetry.NewLogger(w.stdout, cfg.LogLevel, w.logFormat(cfg.LogFormat), &w.secrets)
	opts := backup.Options{To: o.to, Keep: keep, Plain: o.plain, URL: cfg.DatabaseURL.Reveal(), Getenv: w.getenv()}
	if every > 0 {
		opts.Log = log
	}
	t, err := backup.New(opts)
	if err != nil {
		return &usageError{err}
	}
	open := func(ctx context.Context) (backup.Database, func(), error) {
		s, err := w.open(ctx, cfg)
		if err != nil {
			return nil, nil, err
		}
		return database{s}, func() { _ = s.Close() }, nil
	}
	if every > 0 {
		log.Info("backups are taken", "to", o.to, "every", every.String(), "keep", o.keep, "database", cfg.DatabaseName())
		t.Run(ctx, every, open)
		return nil
	}
	db, done, err := open(ctx)
	if err != nil {
		return err
	}
	defer done()
	taken, err := t.Take(ctx, db)
	if err != nil {
		return fmt.Errorf("back up %s: %w", cfg.DatabaseName(), err)
	}
	if o.asJSON {
		err = w.json(map[string]any{
			"target": taken.Target, "taken_at": taken.TakenAt, "bytes": taken.Bytes, "sha256": taken.SHA256, "schema": taken.Schema,
			"took_seconds": taken.Took.Seconds(), "removed": append([]string{}, taken.Removed...),
		})
	} else {
		w.printf("%s: %d bytes, sha256 %s, read back and good, in %s\n", taken.Target, taken.Bytes, taken.SHA256, taken.Took.Round(time.Millisecond))
		for _, name := range taken.Removed {
			w.printf("removed %s: it is older than %s\n", name, o.keep)
		}
	}
	if taken.Unnoted != nil {
		return errors.Join(err, fmt.Errorf("the backup is there and good, but the database could not be told of it, so the metric of its age does not know: %w", taken.Unnoted))
	}
	return err
}

// A database is the store, as backups need it.
type database struct{ *store.Store }

func (database) CheckCopy(ctx context.Context, path string) (int, error) {
	return store.CheckCopy(ctx, path)
}

func (d database) PlanDump(ctx context.Context, b pull.Backup) (backup.Plan, error) {
	p, err := d.Store.PlanDump(ctx, b)
	return backup.Plan{Server: p.Server, Tables: p.Tables, Head: p.Head, Tail: p.Tail}, err
}

func (w *world) backupListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list PLACE",
		Short: "Lists the backups in a place, newest first",
		Long: `Lists the backups in a directory or at s3://BUCKET/PREFIX. It looks at names and sizes only: "backup verify" reads
one.`,
		Example: `  github-pr-manager backup list s3://ops/pr-manager --json | jq -r '.backups[0].address'`,
		Args:    arguments(1, 1, "one place: a directory, or s3://BUCKET/PREFIX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := backup.OpenTarget(args[0], w.getenv())
			if err != nil {
				return &usageError{err}
			}
			list, err := t.List(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				out := make([]map[string]any, 0, len(list))
				for _, e := range list {
					out = append(out, map[string]any{"address": e.Address, "taken_at": e.TakenAt, "bytes": e.Bytes, "checksum": e.Sum})
				}
				return w.json(map[string]any{"backups": out})
			}
			if len(list) == 0 {
				w.printf("There is no backup in %s.\n", telemetry.Printable(args[0]))
				return nil
			}
			rows := make([][]string, 0, len(list))
			for _, e := range list {
				sum := "yes"
				if !e.Sum {
					sum = "missing"
				}
				rows = append(rows, []string{e.Address, stamp(e.TakenAt), fmt.Sprint(e.Bytes), sum})
			}
			w.table("BACKUP\tTAKEN\tBYTES\tCHECKSUM", rows)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (w *world) backupVerifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify BACKUP",
		Short: "Reads a backup through and says whether it is good",
		Long: `Compares a backup with its checksum and reads it from end to end: an SQLite file's integrity, a dump's end mark. Of
a place, the newest is meant. The exit code is 1 when it is not good, or can't be had.`,
		Example: `  github-pr-manager backup verify /var/backups/github-pr-manager/github-pr-manager-20261125T131500Z.sql.gz`,
		Args:    arguments(1, 1, "one backup: a file or s3://…, or a place for the newest there"),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := backup.Verify(cmd.Context(), store.CheckCopy, args[0], w.getenv())
			if err != nil {
				return err
			}
			if asJSON {
				return w.json(map[string]any{"backup": found.From, "schema": found.Schema, "checksum": found.Checked, "taken_at": optional(found.TakenAt)})
			}
			sum := "its checksum is right"
			if !found.Checked {
				sum = "no checksum lies beside it"
			}
			w.printf("%s: good, schema %d; %s\n", telemetry.Printable(found.From), found.Schema, sum)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// optional is a time for programs, null when there is none.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type restoreOptions struct {
	replace, asJSON bool
}

func (w *world) restoreCommand() *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore BACKUP",
		Short: "Puts a backup in the place of the database",
		Long: `Restores a backup into the database of DATABASE_URL: a file, s3://BUCKET/PREFIX/NAME, or a directory or
s3://BUCKET/PREFIX/ for the newest there. What plain pg_dump has written, and SQLite's VACUUM INTO, is restored as
well.

It is done as a whole or not at all. Services must be stopped: one that runs is found, and nothing is changed. A
database that holds something is refused without --replace; then what is in it is set aside, never deleted: an
SQLite file beside its place, PostgreSQL's tables in a schema before_restore_…. A backup of a newer version of this
program is refused; an older one is brought up to date.

Once the service runs again it asks GitHub for the deliveries that the backup does not have, as far back as GitHub
has them (three days), and looks over all open pull requests. What was done since the backup is found on GitHub, and
not done again.`,
		Example: `  github-pr-manager restore /var/backups/github-pr-manager/github-pr-manager-20261125T131500Z.sql.gz
  github-pr-manager restore --replace s3://ops/pr-manager/`,
		Args: arguments(1, 1, "one backup: a file or s3://…, or a place for the newest there"),
		RunE: func(cmd *cobra.Command, args []string) error { return w.restore(cmd.Context(), args[0], o) },
	}
	cmd.Flags().BoolVar(&o.replace, "replace", false, "set aside what is in the database")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

func (w *world) restore(ctx context.Context, from string, o restoreOptions) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	p := place{w: w, cfg: cfg}
	if p.Engine() == "postgres" {
		if p.store, err = w.open(ctx, cfg); err != nil {
			return err
		}
		defer p.store.Close()
	}
	r, err := backup.Restore(ctx, p, backup.RestoreOptions{
		From: from, Replace: o.replace, URL: cfg.DatabaseURL.Reveal(), Getenv: w.getenv(), Told: w.progress(),
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", cfg.DatabaseName(), err)
	}
	if o.asJSON {
		return w.json(map[string]any{
			"backup": r.From, "database": cfg.DatabaseName(), "taken_at": optional(r.TakenAt), "schema": r.Now, "backup_schema": r.Schema,
			"checksum": r.Checked, "set_aside": r.Aside, "took_seconds": r.Took.Seconds(),
		})
	}
	w.printf("%s is restored from %s", cfg.DatabaseName(), telemetry.Printable(r.From))
	if !r.TakenAt.IsZero() {
		w.printf(", taken %s", stamp(r.TakenAt))
	}
	w.printf(", in %s.\n", r.Took.Round(time.Millisecond))
	if !r.Checked {
		w.printf("No checksum lay beside it: only what it says itself could be checked.\n")
	}
	if r.Now != r.Schema {
		w.printf("Its schema was brought from %d to %d.\n", r.Schema, r.Now)
	}
	switch {
	case r.Aside != "" && p.Engine() == "sqlite":
		w.printf("What was there is at %s; delete it when nobody misses it.\n", r.Aside)
	case r.Aside != "":
		w.printf("What was there is in the schema %s; DROP SCHEMA %s CASCADE removes it when nobody misses it.\n", r.Aside, r.Aside)
	}
	w.printf("Start the service now: it asks GitHub for the deliveries since then, three days back at most, and does nothing twice.\n")
	return nil
}

// progress tells a person at a terminal what takes long.
func (w *world) progress() func(string) {
	if !isTerminal(w.stderr) {
		return func(string) {}
	}
	return func(what string) { fmt.Fprintf(w.stderr, "%s …\n", telemetry.Printable(what)) }
}

// A place is the database of a configuration, as a restore needs it.
type place struct {
	w     *world
	cfg   app.Config
	store *store.Store // of PostgreSQL
}

func (p place) Engine() string {
	if p.Path() != "" {
		return "sqlite"
	}
	return "postgres"
}

func (p place) Path() string { return sqlitePath(p.cfg) }

func (p place) Known() (int, error) { return store.KnownSchema() }

func (p place) Holds(ctx context.Context) (bool, error) {
	if p.store != nil {
		return p.store.Holds(ctx)
	}
	s, err := p.w.open(ctx, p.cfg)
	if errors.Is(err, errNoDatabase) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer s.Close()
	return s.Holds(ctx)
}

func (p place) Lock() (func() error, error) {
	unlock, err := store.LockSQLite(p.Path())
	if err != nil {
		return nil, fmt.Errorf("SQLite file %s: %w", p.Path(), err)
	}
	return unlock, nil
}

func (p place) CheckCopy(ctx context.Context, path string) (int, error) {
	return store.CheckCopy(ctx, path)
}

func (p place) Fit(ctx context.Context, path, from string, b pull.Backup) error {
	s, err := store.Open(ctx, "sqlite:"+path, store.Options{Beside: true})
	if err != nil {
		return err
	}
	_, _, err = s.Migrate(ctx)
	if err == nil {
		err = s.MarkRestored(ctx, p.w.operator(), from, b)
	}
	return errors.Join(err, s.Close())
}

func (p place) Swap(replacement, aside string) (string, error) {
	return store.Replace(p.Path(), replacement, aside)
}

func (p place) Wrap(schema, from string) (head, tail string) {
	return store.DumpHead(schema), store.DumpTail(schema, "", p.w.operator(), from, pull.Backup{})
}

func (p place) Finish(ctx context.Context) (int, error) {
	_, to, err := p.store.Migrate(ctx)
	if err == nil && to == 0 {
		err = errors.New("its tables are not where this user looks for them (search_path)")
	}
	if err != nil {
		return to, fmt.Errorf("bring its schema up: %w", err)
	}
	return to, nil
}
