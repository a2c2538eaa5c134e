package store

import (
	"context"
	"strings"
)

// What is remembered of an owner goes by the login, as the defaults do: a repository that is transferred takes its last
// valid policy along, and leaves its former owner's defaults behind.
var (
	seeDefaults = sqlText("note that an owner has defaults", `
INSERT INTO owners (login, defaults_seen_at) VALUES ($1, $2) ON CONFLICT (login) DO NOTHING`)
	readDefaultsSeen = sqlText("read whether an owner had defaults", `
SELECT 1 FROM owners WHERE login = (SELECT lower(owner) FROM repositories WHERE id = $1)`)
)

// seeDefaults notes that an owner's defaults are there, for good.
func (t *tx) seeDefaults(owner string) error {
	if owner == "" {
		return nil
	}
	_, err := t.exec(seeDefaults, strings.ToLower(clean(owner)), t.now.UnixMicro())
	return err
}

// defaultsSeen reports whether the defaults of a repository's owner were ever there.
func (s *Store) defaultsSeen(ctx context.Context, repo int64) (seen bool, err error) {
	err = s.query(ctx, readDefaultsSeen, []any{repo}, func(scan scanner) error {
		var one int
		seen = true
		return scan(&one)
	})
	return seen, err
}
