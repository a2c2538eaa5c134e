package store

import "testing"

func TestCondition(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		c, err := w.Condition(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if c.Engine != w.engine || c.Version == "" || c.Major < 3 || c.Have != c.Want || c.Want == 0 {
			t.Errorf("Condition = %+v, want the engine %s, its version, and the schema", c, w.engine)
		}
		switch w.engine {
		case "postgres":
			if c.SynchronousCommit != "on" || c.Fsync == "" || c.Used < 1 || c.Most < c.Used || c.Major < 10 {
				t.Errorf("Condition = %+v, want how it commits, and its connections", c)
			}
		default:
			if c.Journal != "wal" || c.Free <= 0 || c.Ballast <= 0 {
				t.Errorf("Condition = %+v, want its journal, and the room on its disk", c)
			}
		}
	})
}

func TestRepositoriesAreListed(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		if got, err := w.Repositories(w.ctx, 10); err != nil || len(got) != 0 {
			t.Errorf("Repositories of a new database = %v, %v, want none", got, err)
		}
		w.hint("d-1", 7)
		got, err := w.Repositories(w.ctx, 10)
		if err != nil || len(got) != 1 || got[0].Owner == "" || got[0].Name == "" {
			t.Errorf("Repositories = %v, %v, want the one of the delivery", got, err)
		}
	})
}
