package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
)

// move copies everything from an SQLite file to the PostgreSQL of DATABASE_URL.
func (w *world) move(ctx context.Context, cfg app.Config, from string, asJSON bool) error {
	path, ok := strings.CutPrefix(from, "sqlite:")
	if !ok || path == "" {
		return usagef("--from wants sqlite:PATH: everything is moved from an SQLite file to the PostgreSQL of DATABASE_URL")
	}
	if sqlitePath(cfg) != "" {
		return usagef("DATABASE_URL is %s: set it to the PostgreSQL database to move to, such as postgres://app@localhost/github_agent", cfg.DatabaseName())
	}
	if _, err := os.Stat(strings.TrimPrefix(path, "//")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s to move from", path)
	}
	began := time.Now()
	source, err := store.Open(ctx, from, store.Options{}) // with the lock: a service that runs on it refuses, and none can start
	if err != nil {
		return fmt.Errorf("can't move from it: %w", err)
	}
	defer source.Close()
	target, err := w.make(ctx, cfg)
	if err != nil {
		return err
	}
	defer target.Close()
	for _, s := range []*store.Store{source, target} {
		have, want, err := s.SchemaVersion(ctx)
		switch {
		case err != nil:
			return err
		case have > want:
			return fmt.Errorf("the schema of %s is %d, and this program knows up to %d: use the version of the program that made it", s.Name(), have, want)
		case have == 0 && s == source:
			return fmt.Errorf("%s has no schema: it is no database of this service", s.Name())
		}
		if _, _, err := s.Migrate(ctx); err != nil {
			return fmt.Errorf("bring the schema of %s up: %w", s.Name(), err)
		}
	}
	moved, err := store.Move(ctx, source, target, w.rowsMoved())
	if err != nil {
		return err
	}
	total := int64(0)
	for _, m := range moved {
		total += m.Rows
	}
	if asJSON {
		tables := map[string]int64{}
		for _, m := range moved {
			tables[m.Table] = m.Rows
		}
		return w.json(map[string]any{"from": from, "database": cfg.DatabaseName(), "rows": total, "tables": tables, "took_seconds": time.Since(began).Seconds()})
	}
	var rows [][]string
	for _, m := range moved {
		if m.Rows > 0 {
			rows = append(rows, []string{m.Table, fmt.Sprint(m.Rows)})
		}
	}
	w.table("TABLE\tROWS", rows)
	w.printf("\n%s moved in %s, counted on both sides. Now:\n", counted(int(total), "row", "rows"), time.Since(began).Round(time.Millisecond))
	w.printf("  1. set DATABASE_URL to %s wherever the service is configured, and start it\n", cfg.DatabaseName())
	w.printf("  2. move %s away, so that nobody starts a service on it again by mistake; it was left as it is\n", path)
	w.printf("What arrived in between, the service asks GitHub for.\n")
	return nil
}

// rowsMoved tells a person at a terminal how far it is.
func (w *world) rowsMoved() func(table string, done, of int64) {
	if !isTerminal(w.stderr) {
		return func(string, int64, int64) {}
	}
	return func(table string, done, of int64) {
		switch {
		case of == 0:
		case done == of:
			fmt.Fprintf(w.stderr, "\r%-20s %d of %d rows\n", table, done, of)
		default:
			fmt.Fprintf(w.stderr, "\r%-20s %d of %d rows", table, done, of)
		}
	}
}
