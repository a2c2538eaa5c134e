package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fine are settings under which nothing but the database and Redis is looked at.
func fine() Patient {
	return Patient{Settings: Settings{Validate: true, WebhookSecrets: 1, Agents: true, DashboardToken: true, Redis: true}}
}

// of returns the findings of some names as "status detail → do".
func of(findings []Finding, names ...string) string {
	var out []string
	for _, name := range names {
		for _, f := range findings {
			if f.Name == name {
				s := fmt.Sprintf("%s %s: %s", f.Status, f.Name, f.Detail)
				if f.Do != "" {
					s += " → " + f.Do
				}
				out = append(out, s)
			}
		}
	}
	return strings.Join(out, "\n")
}

func TestDatabases(t *testing.T) {
	postgres := Database{Engine: "postgres", Version: "15.8", Major: 15, Have: 2, Want: 2, SynchronousCommit: "on", Fsync: "on", Used: 5, Most: 97}
	sqlite := Database{Engine: "sqlite", Version: "3.50.1", Major: 3, Have: 2, Want: 2, Journal: "wal", Free: 20 << 30, Ballast: 4 << 20}
	for _, tt := range []struct {
		name string
		of   Database
		make func(*Database)
		err  error
		want string
	}{
		{"PostgreSQL", postgres, func(*Database) {}, nil, "ok database: PostgreSQL 15.8 answers\nok schema: it is version 2\nok durability: what is acknowledged is on the disk (fsync on, synchronous_commit on)\nok connections: 5 of 97 are in use"},
		{"SQLite", sqlite, func(*Database) {}, nil, "ok database: SQLite 3.50.1 answers\nok schema: it is version 2\nok durability: what is acknowledged is on the disk (journal_mode wal, synchronous full)\nok disk: 20 GiB are free where the database is"},
		{"old", postgres, func(d *Database) { d.Version, d.Major = "11.4", 11 }, nil, "warning database: PostgreSQL 11.4 answers, which is older than any that this program is tested with → use PostgreSQL 15 or newer"},
		{"newer schema", postgres, func(d *Database) { d.Have = 3 }, nil, "warning schema: it is version 3, and this program knows 2: a newer release works on it → go on with the newer release when it is well"},
		{"older schema", sqlite, func(d *Database) { d.Have = 1 }, nil, "failing schema: it is version 1, and this program needs 2 → github-pr-manager migrate up, or start the service"},
		{"fsync off", postgres, func(d *Database) { d.Fsync = "off" }, nil, "failing durability: PostgreSQL has fsync off and synchronous_commit on: acknowledged deliveries are lost with its power → set both to on"},
		{"asynchronous commits", postgres, func(d *Database) { d.SynchronousCommit = "off" }, nil, "failing durability: PostgreSQL has fsync on and synchronous_commit off: acknowledged deliveries are lost with its power → set both to on"},
		{"connections", postgres, func(d *Database) { d.Used = 90 }, nil, "warning connections: 90 of 97 are in use: another service may get none → raise max_connections, or find who holds them in pg_stat_activity"},
		{"journal", sqlite, func(d *Database) { d.Journal = "delete" }, nil, "failing durability: SQLite's journal_mode is delete, and must be wal → put the file on a local disk"},
		{"full disk", sqlite, func(d *Database) { d.Free = 5<<20 + 5<<18 }, nil, "failing disk: 6.2 MiB are free where the database is → make room: with less than that the service takes no more deliveries"},
		{"away", postgres, func(*Database) {}, errors.New("connection refused"), "failing database: it can't be used: connection refused → see DATABASE_URL, and whether the database runs"},
		{"none yet", sqlite, func(*Database) {}, ErrNoDatabase, "warning database: there is none yet: serve makes it when it starts for the first time → start the service once, or github-pr-manager migrate up"},
	} {
		p := fine()
		tt.make(&tt.of)
		p.Database = func(context.Context) (Database, error) { return tt.of, tt.err }
		p.Redis = func(context.Context) (Redis, error) { return Redis{}, nil }
		findings := Examine(t.Context(), p, nil)
		got := of(findings, "database", "schema", "durability", "connections", "disk")
		if strings.HasPrefix(tt.want, "ok") {
			if got != tt.want {
				t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
			}
			continue
		}
		if n := strings.Count(got, " → "); n != 1 || !strings.Contains("\n"+got+"\n", "\n"+tt.want+"\n") {
			t.Errorf("%s:\n%s\nwant beside what is well\n%s", tt.name, got, tt.want)
		}
	}
}

func TestRedises(t *testing.T) {
	well := Redis{Key: "queue:github-webhook", Version: "7.0.15", Policy: "noeviction", Kind: "list", Length: 3}
	for _, tt := range []struct {
		name string
		make func(*Redis)
		err  error
		want string
	}{
		{"well", func(*Redis) {}, nil, "ok redis: Redis 7.0.15 answers; queue:github-webhook holds 3 deliveries\nok redis memory: maxmemory-policy is noeviction"},
		{"empty", func(r *Redis) { r.Kind, r.Length = "none", 0 }, nil, "ok redis: Redis 7.0.15 answers; queue:github-webhook holds 0 deliveries\nok redis memory: maxmemory-policy is noeviction"},
		{"evicts", func(r *Redis) { r.Policy = "allkeys-lru" }, nil, "ok redis: Redis 7.0.15 answers; queue:github-webhook holds 3 deliveries\n" +
			"warning redis memory: maxmemory-policy is allkeys-lru: Redis may throw the queue away when it is full, and no delivery is lost, but the list does not tell the truth → redis-cli CONFIG SET maxmemory-policy noeviction"},
		{"old", func(r *Redis) { r.Version = "6.0.16" }, nil, "warning redis: Redis 6.0.16 is too old → use Redis 6.2 or newer\nok redis memory: maxmemory-policy is noeviction"},
		{"no list", func(r *Redis) { r.Kind = "string" }, nil, "warning redis: the key queue:github-webhook holds a string, where the queue would be a list → remove it (redis-cli DEL queue:github-webhook), or set WEBHOOK_QUEUE_KEY to a key that nobody else uses\n" +
			"ok redis memory: maxmemory-policy is noeviction"},
		{"away", func(*Redis) {}, errors.New("Redis does not answer: is it running?"), "warning redis: deliveries are taken from the database alone: Redis does not answer: is it running? → see REDIS_URL, and whether Redis runs"},
	} {
		p := fine()
		r := well
		tt.make(&r)
		p.Database = func(context.Context) (Database, error) { return Database{}, ErrNoDatabase }
		p.Redis = func(context.Context) (Redis, error) { return r, tt.err }
		if got := of(Examine(t.Context(), p, nil), "redis", "redis memory"); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

func TestHolderOf(t *testing.T) {
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	port := l.Addr().(*net.TCPAddr).Port
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if h, ok := HolderOf(port); !ok || h.PID != os.Getpid() || h.Program != filepath.Base(exe) {
		t.Errorf("HolderOf(our own port) = %v, %v, want this process", h, ok)
	}
	l.Close()
	if h, ok := HolderOf(port); ok {
		t.Errorf("HolderOf(a free port) = %v, want nobody", h)
	}
	want := fmt.Sprintf("port %d is already in use: see who holds it with `ss -ltnp | grep :%d` or `lsof -i :%d`, or set PORT to another one: PORT=%d", port, port, port, port+1)
	if got := PortTaken(port); got != want {
		t.Errorf("PortTaken = %q, want %q", got, want)
	}
}
