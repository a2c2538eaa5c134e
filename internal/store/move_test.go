package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// Every table that the schema has is moved, and every row of it as it was: each is given a row whose columns all hold
// something, so that one that is forgotten is found here.
func TestMoveTakesEverything(t *testing.T) {
	ctx := t.Context()
	from := fillEverything(t, testenv.SQLite(t))
	url := testenv.Postgres(t)
	to, err := Open(ctx, url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, _, err := to.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	before := everything(t, from)
	moved, err := Move(ctx, from, to, func(string, int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, everything(t, to)); diff != "" {
		t.Errorf("moved (-SQLite +PostgreSQL):\n%s", diff)
	}
	names, err := to.tables(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name != "schema_migrations" && !slices.Contains(moved, MovedTable{name, 1}) {
			t.Errorf("%s was not moved: %v", name, moved)
		}
	}
	// The next numbers follow on the last that were given, also on those that are gone.
	for _, table := range []string{"verdicts", "changes", "audits", "webhook_logs"} {
		column := map[bool]string{true: "seq", false: "id"}[table == "webhook_logs"]
		var next int64
		if err := to.db.QueryRowContext(ctx, `SELECT nextval(pg_get_serial_sequence($1, $2))`, table, column).Scan(&next); err != nil || next != 1001 {
			t.Errorf("%s goes on with %d, %v; want 1001", table, next, err)
		}
	}
	if _, err := Move(ctx, from, to, func(string, int64, int64) {}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("moved a second time: %v, want a refusal", err)
	}
	if diff := cmp.Diff(before, everything(t, to)); diff != "" {
		t.Errorf("the refused move changed something:\n%s", diff)
	}
}

// fillEverything makes an SQLite file with one row in every table. The numbered ones are numbered up to 1000, and the row
// is 7: the others have been forgotten.
func fillEverything(t *testing.T, url string) *Store {
	t.Helper()
	ctx := t.Context()
	s, err := Open(ctx, url, Options{Beside: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, _, err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	names, err := s.tables(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name == "schema_migrations" {
			continue
		}
		rows, err := s.db.QueryContext(ctx, `SELECT name, lower(type) FROM pragma_table_info($1)`, name)
		if err != nil {
			t.Fatal(err)
		}
		var columns, values []string
		for rows.Next() {
			var c, kind string
			if err := rows.Scan(&c, &kind); err != nil {
				t.Fatal(err)
			}
			value := map[string]string{"text": `'tab` + "\t" + `, \n, quote '' and ü'`, "blob": "x'00ff5c0a'", "bigint": "9007199254740993", "integer": "7"}[kind]
			if value == "" {
				t.Fatalf("%s.%s is of type %q, which this test does not know", name, c, kind)
			}
			columns, values = append(columns, c), append(values, value)
		}
		rows.Close()
		if _, err := s.sqlite.conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", name, strings.Join(columns, ", "), strings.Join(values, ", "))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.sqlite.conn.ExecContext(ctx, `UPDATE sqlite_sequence SET seq = 1000`); err != nil {
		t.Fatal(err)
	}
	return s
}

// everything is what all tables hold, as text.
func everything(t *testing.T, s *Store) map[string][]string {
	t.Helper()
	ctx := context.Background()
	names, err := s.tables(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, name := range names {
		if name == "schema_migrations" {
			continue
		}
		rows, err := s.db.QueryContext(ctx, `SELECT * FROM `+name)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			line := ""
			for i, c := range columns {
				line += fmt.Sprintf("%s=%v ", c, values[i])
			}
			out[name] = append(out[name], line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	return out
}
