package store

import (
	"context"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestEveryStatementIsUnderstood(t *testing.T) {
	testenv.Engines(t, func(t *testing.T, url string) {
		ctx := context.Background()
		s, err := Open(ctx, url, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, _, err := s.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		conn, err := s.db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, st := range statements {
			text := st.sqlite
			if s.engine == "postgres" {
				text = st.postgres
			}
			p, err := conn.PrepareContext(ctx, text)
			if err != nil {
				t.Errorf("prepare %s: %v\n%s", st.name, err, text)
				continue
			}
			p.Close()
		}
	})
}
