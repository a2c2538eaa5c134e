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
	if server.pg == nil {
		t.Skip("TEST_POSTGRES_URL names the server")
	}
	u := server.url
	if err := execute("postgres://postgres:wrong"+u[len("postgres://postgres:")+16:], "SELECT 1"); err == nil {
		t.Error("a wrong password was accepted")
	}
}

func TestOwnPostgresKeepsItsDataOverACrash(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server of its own")
	}
	s := OwnPostgres(t, "", "max_connections=10")
	url := s.Database(t)
	if err := execute(url, "CREATE TABLE kept (n bigint)"); err != nil {
		t.Fatal(err)
	}
	s.Stop(t, Immediate)
	if err := execute(url, "SELECT n FROM kept"); err == nil {
		t.Error("a stopped server answers")
	}
	s.Start(t)
	if err := execute(url, "SELECT n FROM kept"); err != nil {
		t.Errorf("after a crash and a restart: %v", err)
	}
	if err := execute(url, "CREATE ROLE another"); err == nil {
		t.Error("the user of a database may do what only a superuser may")
	}
}

func TestASmallDiskFills(t *testing.T) {
	d := SmallDisk(t, 1<<20)
	d.Fill(t, 0)
	if free := d.Free(t); free != 0 {
		t.Errorf("%d bytes are free on a full disk", free)
	}
	d.Empty(t)
	if free := d.Free(t); free < 900<<10 {
		t.Errorf("%d bytes are free on an emptied disk of 1 MiB", free)
	}
}
