// Package migrations carries the database's schema: plain SQL, upwards only, every file safe to run twice.
//
// The files are the truth and can be run by hand (psql -f 001_add_new_columns.sql). A file in sqlite/ replaces the one
// of the same name where the two engines need different words; everything else is written in the types that both
// take: bigint, text, bytea. Times are bigint, microseconds since 1970 in UTC.
//
// A new file only adds, so that the version before still runs on it: a column has a default or may be null, nothing
// is renamed, nothing is dropped.
package migrations

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

//go:embed *.sql sqlite/*.sql
var files embed.FS

// A File is one step of the schema.
type File struct {
	Version int
	Name    string // as it stands in the repository
	SQL     string
}

// For returns the steps for an engine, "sqlite" or "postgres", in the order in which they are applied.
func For(engine string) ([]File, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	var steps []File
	for _, name := range names {
		version, err := strconv.Atoi(name[:min(3, len(name))])
		if err != nil || version < 1 {
			return nil, fmt.Errorf("migration %s: its name must begin with a number of three digits", name)
		}
		path := name
		if engine == "sqlite" {
			if _, err := fs.Stat(files, "sqlite/"+name); err == nil {
				path = "sqlite/" + name
			}
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", path, err)
		}
		steps = append(steps, File{Version: version, Name: path, SQL: string(text)})
	}
	slices.SortFunc(steps, func(a, b File) int { return cmp.Compare(a.Version, b.Version) })
	return steps, nil
}
