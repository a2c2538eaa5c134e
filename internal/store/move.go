package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// A MovedTable is how many rows of a table were moved.
type MovedTable struct {
	Table string
	Rows  int64
}

// Move copies everything from an SQLite file to PostgreSQL, in one transaction: all of it is there, or nothing. Both
// schemas are this program's; the target is empty, and no service runs on either. told hears of every table, and of
// progress in one, by rows.
func Move(ctx context.Context, from, to *Store, told func(table string, done, of int64)) (moved []MovedTable, err error) {
	if from.sqlite == nil || to.sqlite != nil {
		return nil, errors.New("only an SQLite file can be moved, and only to PostgreSQL")
	}
	names, err := from.tables(ctx)
	if err != nil {
		return nil, err
	}
	there, err := to.tables(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !slices.Contains(there, name) {
			return nil, fmt.Errorf("the file has a table %s that PostgreSQL has not: is it of another version, or somebody else's?", name)
		}
	}
	source, err := from.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", from.name, plain(err))
	}
	defer source.Close()
	if _, err := source.ExecContext(ctx, "BEGIN"); err != nil { // one moment of the file
		return nil, fmt.Errorf("read %s: %w", from.name, plain(err))
	}
	defer source.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") //nolint:errcheck // it only read
	target, err := to.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", to.name, plain(err))
	}
	defer target.Close()
	err = target.Raw(func(c any) error {
		conn := c.(*stdlib.Conn).Conn()
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			m := mover{ctx, source, tx, told}
			moved, err = m.all(names)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("move %s to %s: %w", from.name, to.name, cut(ctx, plain(err)))
	}
	_, err = to.db.ExecContext(ctx, "ANALYZE")
	if err != nil {
		return moved, fmt.Errorf("everything is moved; PostgreSQL could not count it for its plans (ANALYZE): %w", plain(err))
	}
	return moved, nil
}

// A mover has both ends of a move.
type mover struct {
	ctx  context.Context
	from *sql.Conn
	to   pgx.Tx
	told func(table string, done, of int64)
}

func (m mover) all(names []string) (moved []MovedTable, err error) {
	if _, err := m.to.Exec(m.ctx, postgresLock); err != nil { // no service brings the schema up meanwhile
		return nil, err
	}
	if _, err := m.to.Exec(m.ctx, "SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == "schema_migrations" {
			continue
		}
		n, err := m.table(name)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", name, err)
		}
		moved = append(moved, MovedTable{name, n})
	}
	return moved, m.sequences()
}

func (m mover) table(name string) (int64, error) {
	table := pgx.Identifier{name}.Sanitize()
	var there, rows int64
	if err := m.to.QueryRow(m.ctx, "SELECT count(*) FROM "+table).Scan(&there); err != nil {
		return 0, err
	}
	if there > 0 {
		return 0, fmt.Errorf("PostgreSQL has %d rows there already: a database that is not empty is not moved into", there)
	}
	if err := m.from.QueryRowContext(m.ctx, "SELECT count(*) FROM "+table).Scan(&rows); err != nil {
		return 0, err
	}
	m.told(name, 0, rows)
	columns, err := m.columns(name)
	if err != nil {
		return 0, err
	}
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	list, err := m.from.QueryContext(m.ctx, "SELECT "+strings.Join(quoted, ", ")+" FROM "+table+" ORDER BY rowid")
	if err != nil {
		return 0, err
	}
	defer list.Close()
	src := &rowsOf{rows: list, width: len(columns), each: func(n int64) { m.told(name, n, rows) }}
	n, err := m.to.CopyFrom(m.ctx, pgx.Identifier{name}, columns, src)
	if err != nil {
		return 0, err
	}
	// Counted where it has come to, not where it was sent.
	if err := m.to.QueryRow(m.ctx, "SELECT count(*) FROM "+table).Scan(&there); err != nil {
		return 0, err
	}
	if n != rows || there != rows {
		return 0, fmt.Errorf("of %d rows %d were sent and %d have come", rows, n, there)
	}
	m.told(name, rows, rows)
	return rows, nil
}

func (m mover) columns(name string) (columns []string, err error) {
	rows, err := m.from.QueryContext(m.ctx, `SELECT name FROM pragma_table_info($1) ORDER BY cid`, name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, rows.Err()
}

// sequences lets PostgreSQL number on from where SQLite was, also where the last rows have been forgotten.
func (m mover) sequences() error {
	rows, err := m.from.QueryContext(m.ctx, `SELECT name, seq FROM sqlite_sequence`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var last int64
		if err := rows.Scan(&name, &last); err != nil {
			return err
		}
		if last < 1 {
			continue
		}
		tag, err := m.to.Exec(m.ctx, `
SELECT setval(pg_get_serial_sequence(quote_ident($1), attname), $2) FROM pg_attribute WHERE attrelid = quote_ident($1)::regclass AND attidentity <> ''`, name, last)
		if err != nil {
			return fmt.Errorf("number %s on: %w", name, err)
		}
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("number %s on: PostgreSQL does not number it", name)
		}
	}
	return rows.Err()
}

// rowsOf hands rows of SQLite to PostgreSQL's COPY.
type rowsOf struct {
	rows  *sql.Rows
	width int
	done  int64
	each  func(done int64)
}

// toldEvery is how many rows are copied between two words about it.
const toldEvery = 5000

// Next goes to the next row.
func (r *rowsOf) Next() bool {
	if !r.rows.Next() {
		return false
	}
	if r.done++; r.done%toldEvery == 0 {
		r.each(r.done)
	}
	return true
}

// Values reads it.
func (r *rowsOf) Values() ([]any, error) {
	values, into := make([]any, r.width), make([]any, r.width)
	for i := range values {
		into[i] = &values[i]
	}
	return values, r.rows.Scan(into...)
}

// Err says why there is no next one.
func (r *rowsOf) Err() error { return r.rows.Err() }
