package store

import (
	"context"
	"fmt"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A Condition is how the database is set up and how much room it has, for whoever looks the installation over.
type Condition struct {
	Engine     string // sqlite or postgres
	Version    string
	Major      int // of the version
	Have, Want int // of the schema

	// Of PostgreSQL.
	SynchronousCommit, Fsync string
	Used, Most               int // connections of everybody, and how many there may be for an ordinary user

	// Of SQLite.
	Journal string
	Free    int64 // bytes on its disk
	Ballast int64 // bytes that are kept for when it is full; less than twice that much is little
}

// Condition looks the database over. It changes nothing.
func (s *Store) Condition(ctx context.Context) (c Condition, err error) {
	c.Engine = s.engine
	if c.Have, c.Want, err = s.SchemaVersion(ctx); err != nil {
		return c, err
	}
	ctx, done := context.WithTimeout(ctx, operationLimit)
	defer done()
	if s.sqlite == nil {
		err = s.db.QueryRowContext(ctx, `
			SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
				current_setting('synchronous_commit'), current_setting('fsync'),
				(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
				current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`).
			Scan(&c.Version, &c.Major, &c.SynchronousCommit, &c.Fsync, &c.Used, &c.Most)
	} else {
		s.gate.RLock()
		defer s.gate.RUnlock()
		c.Ballast = s.sqlite.ballast.size
		if c.Free, err = freeBytes(s.sqlite.path); err != nil {
			return c, err
		}
		if err = s.db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&c.Version); err == nil {
			_, _ = fmt.Sscanf(c.Version, "%d", &c.Major)
			err = s.db.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&c.Journal)
		}
	}
	if err != nil {
		return c, fmt.Errorf("look %s over: %w", s.name, plain(err))
	}
	return c, nil
}

var knownRepositories = sqlText("known repositories", `SELECT id, owner, name FROM repositories ORDER BY owner, name LIMIT $1`)

// Repositories are those that deliveries have told of, or a sweep, in the order of their names.
func (s *Store) Repositories(ctx context.Context, most int) (repos []pull.Repo, err error) {
	err = s.query(ctx, knownRepositories, []any{most}, func(row scanner) error {
		var r pull.Repo
		if err := row(&r.ID, &r.Owner, &r.Name); err != nil {
			return err
		}
		repos = append(repos, r)
		return nil
	})
	return repos, err
}
