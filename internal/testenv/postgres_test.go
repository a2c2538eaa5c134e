package testenv

import (
	"database/sql"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func TestPostgresGivesFreshDatabases(t *testing.T) {
	a, b := Postgres(t), Postgres(t)
	if a == b {
		t.Fatalf("Postgres returned %s twice", a)
	}
	if err := execute(a, "CREATE TABLE only_here (n bigint)"); err != nil {
		t.Fatal(err)
	}
	if err := execute(b, "SELECT n FROM only_here"); err == nil {
		t.Error("a table of one test's database is seen in another's")
	}
	db, err := sql.Open("pgx", a)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for name, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "server_encoding": "UTF8"} {
		var got string
		if err := db.QueryRow("SHOW " + name).Scan(&got); err != nil || got != want {
			t.Errorf("SHOW %s = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestPostgresRefusesAWrongPassword(t *testing.T) {
	Postgres(t)
	if server.url == "" {
		t.Skip("TEST_POSTGRES_URL names the server")
	}
	u := server.url
	if err := execute("postgres://postgres:wrong"+u[len("postgres://postgres:")+16:], "SELECT 1"); err == nil {
		t.Error("a wrong password was accepted")
	}
}
