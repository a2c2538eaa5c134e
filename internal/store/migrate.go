package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/brandonlacoste9-tech/github-pr-manager/migrations"
)

// Migrate brings the schema up to what this version needs, under a lock, and says from which version to which; they
// are equal when there was nothing to do. A schema that is newer than this version needs is left alone: it only has
// more than is used here.
func (s *Store) Migrate(ctx context.Context) (from, to int, err error) {
	steps, err := migrations.For(s.engine)
	if err != nil {
		return 0, 0, err
	}
	err = s.write(ctx, "migrate", func(t *tx) error {
		if err := t.lockSchema(); err != nil {
			return err
		}
		if err := t.script(createVersions); err != nil {
			return err
		}
		if _, err := t.row(schemaVersion, nil, &from); err != nil {
			return err
		}
		to = from
		for _, step := range steps {
			if step.Version <= from {
				continue
			}
			if err := t.script(step.SQL); err != nil {
				return fmt.Errorf("%s: %w", step.Name, err)
			}
			if _, err := t.exec(addVersion, int64(step.Version), step.Name, t.now.UnixMicro()); err != nil {
				return err
			}
			to = step.Version
		}
		return nil
	})
	return from, to, err
}

// SchemaVersion returns the schema's version and the one that this program needs. It has 0 before the first Migrate.
func (s *Store) SchemaVersion(ctx context.Context) (have, want int, err error) {
	steps, err := migrations.For(s.engine)
	if err != nil {
		return 0, 0, err
	}
	if len(steps) > 0 {
		want = steps[len(steps)-1].Version
	}
	exists := schemaTableSQLite
	if s.sqlite == nil {
		exists = schemaTablePostgres
	}
	var n int
	s.gate.RLock()
	err = s.db.QueryRowContext(ctx, exists).Scan(&n)
	s.gate.RUnlock()
	if err != nil {
		return 0, want, fmt.Errorf("read the schema's version: %w", err)
	}
	if n == 0 {
		return 0, want, nil
	}
	err = s.query(ctx, schemaVersion, nil, func(scan scanner) error { return scan(&have) })
	return have, want, err
}

const (
	schemaTableSQLite   = `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'`
	schemaTablePostgres = `SELECT count(*) FROM pg_tables WHERE tablename = 'schema_migrations' AND schemaname = ANY (current_schemas(false))`
)

// lockSchema waits until nobody else migrates. SQLite's transaction is that lock.
func (t *tx) lockSchema() error {
	if t.pg == nil {
		return nil
	}
	_, err := t.pg.ExecContext(t.ctx, postgresLock)
	return err
}

// script runs several statements.
func (t *tx) script(text string) error {
	if t.pg == nil {
		_, err := t.s.sqlite.conn.ExecContext(t.ctx, text)
		return err
	}
	_, err := t.pg.ExecContext(t.ctx, text, pgx.QueryExecModeSimpleProtocol)
	return err
}
