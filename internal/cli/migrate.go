package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
)

func (w *world) migrateCommand() *cobra.Command {
	var from string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Shows the database's schema, brings it up to date, or moves all to another engine",
		Long: `Works on the database of DATABASE_URL. "serve" brings the schema up by itself when it starts; these commands are for
those who want to see it, or to do it, beforehand. A schema only ever goes up, and the version before this one still
runs on it.

With --from sqlite:PATH, everything in an SQLite file is moved to the PostgreSQL of DATABASE_URL, which must be
empty: all of it in one transaction, or nothing. The service must be stopped; the file stays as it is.`,
		Example: `  github-pr-manager migrate status
  DATABASE_URL=postgres://app@localhost/github_agent github-pr-manager migrate --from sqlite:data/github-pr-manager.db
  github-pr-manager migrate status || github-pr-manager migrate up`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			if from == "" {
				return cmd.Help()
			}
			cfg, err := w.config()
			if err != nil {
				return err
			}
			return w.move(cmd.Context(), cfg, from, asJSON)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "move everything from `sqlite:PATH`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with --from")
	cmd.AddCommand(
		w.migration("status", "Shows which version the schema has", `Prints the version of the database's schema and the one that this program needs. The exit code is 1 when they differ.`, w.migrateStatus),
		w.migration("up", "Brings the schema up to date", `Applies the migrations that the database does not have yet. On a database that is up to date it does nothing.`, w.migrateUp),
	)
	return cmd
}

func (w *world) migration(name, short, long string, run func(context.Context, app.Config, bool) error) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long,
		Example: "  DATABASE_URL=postgres://app@localhost/github_agent github-pr-manager migrate " + name,
		Args:    arguments(0, 0, "no arguments: the database is the one of DATABASE_URL"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := w.config()
			if err != nil {
				return err
			}
			return run(cmd.Context(), cfg, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// errNoDatabase is a SQLite file that is not there, which opening would make.
var errNoDatabase = errors.New("there is no database yet")

// open opens the database as a command does: beside a running service, and never making one.
func (w *world) open(ctx context.Context, cfg app.Config) (*store.Store, error) {
	if err := present(cfg); err != nil {
		return nil, err
	}
	return w.make(ctx, cfg)
}

// present refuses a SQLite file that is not there.
func present(cfg app.Config) error {
	path := sqlitePath(cfg)
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w at %s: serve and migrate up make it", errNoDatabase, path)
	}
	return nil
}

// sqlitePath is the SQLite file of the configuration; "" where there is another engine.
func sqlitePath(cfg app.Config) string {
	path, ok := strings.CutPrefix(cfg.DatabaseURL.Reveal(), "sqlite:")
	if !ok {
		return ""
	}
	return strings.TrimPrefix(path, "//")
}

// make opens the database, and makes a SQLite file that is not there.
func (w *world) make(ctx context.Context, cfg app.Config) (*store.Store, error) {
	s, err := store.Open(ctx, cfg.DatabaseURL.Reveal(), store.Options{Beside: true})
	if err != nil {
		return nil, &usageError{fmt.Errorf("can't use the database %s: %w", cfg.DatabaseName(), err)}
	}
	return s, nil
}

func (w *world) migrateStatus(ctx context.Context, cfg app.Config, asJSON bool) error {
	s, err := w.open(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	have, want, err := s.SchemaVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version of %s: %w", cfg.DatabaseName(), err)
	}
	if asJSON {
		err = w.json(map[string]any{"database": cfg.DatabaseName(), "engine": s.Engine(), "have": have, "want": want, "current": have == want})
	} else {
		w.printf("%s: schema %d, this program needs %d\n", cfg.DatabaseName(), have, want)
	}
	switch {
	case err != nil:
		return err
	case have < want:
		return fmt.Errorf("the schema is behind: run %s migrate up", program)
	case have > want:
		return errors.New("the schema is of a newer version of this program: use that version")
	}
	return nil
}

func (w *world) migrateUp(ctx context.Context, cfg app.Config, asJSON bool) error {
	s, err := w.make(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	from, to, err := s.Migrate(ctx)
	if err != nil {
		return fmt.Errorf("bring the schema of %s up: %w", cfg.DatabaseName(), err)
	}
	if asJSON {
		return w.json(map[string]any{"database": cfg.DatabaseName(), "engine": s.Engine(), "from": from, "to": to})
	}
	if from == to {
		w.printf("%s: schema %d, nothing to do\n", cfg.DatabaseName(), to)
		return nil
	}
	w.printf("%s: schema brought from %d to %d\n", cfg.DatabaseName(), from, to)
	return nil
}
