package process

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// PostgreSQL may crash, vanish, freeze, fill up, turn read-only or run out of connections. Whatever it does: what was
// acknowledged is there, a sender hears at once that its delivery can't be kept, the service says what is wrong, and
// goes on by itself.

func TestPostgresCrashesUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("crashes a server six times")
	}
	crashes := testenv.Pick(6, 60)
	pg := testenv.OwnPostgres(t, "", "max_connections=60", "shared_buffers=64MB")
	source := pg.Database(t)
	p := testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL="+source, "LEASE=1s"), Ready: "/ready"})
	f := startFlood(p, 0x100, 32, 2*time.Millisecond)
	var worst time.Duration
	for range crashes {
		f.more(t, 20*time.Second, 200)
		pg.Stop(t, testenv.Immediate)
		namesTrouble(t, p, "does not answer")
		pg.Start(t)
		began := time.Now()
		f.more(t, 20*time.Second, 1)
		worst = max(worst, time.Since(began))
	}
	account := f.end(t, source)
	recovered(t, p, 5*time.Second)
	t.Logf("%d crashes: %s; taken again at most %v after the server answered", crashes, account, worst.Round(time.Millisecond))
	if worst > 5*time.Second {
		t.Errorf("deliveries were taken again only %v after the server answered, want within 5s", worst)
	}
	quietLog(t, p, 0, crashes)
	if metric(t, p, "github_errors_total", `kind="database"`) == 0 {
		t.Error("the crashes are not counted as errors of the database")
	}
	if metric(t, p, "github_dead_letters") != 0 {
		t.Error("crashes of the database made dead letters")
	}
}

// After a power cut the service may be there before its database. A supervisor that does not start a service again which ends
// with 2, as the shipped unit does not, must not take that for a wrong configuration.
func TestPostgresIsNotThereYet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	t.Parallel()
	pg := testenv.OwnPostgres(t, "", "max_connections=60")
	source := pg.Database(t)
	pg.Stop(t, testenv.Fast)
	p := testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL="+source), NoWait: true})
	if code := p.Wait(t, 20*time.Second); code != 1 || !strings.Contains(p.Logs(), "can't start: connect to PostgreSQL database") {
		t.Errorf("serve without its PostgreSQL ends with %d, want 1 and a sentence\n%s", code, p.Logs())
	}
	p = testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL="+source), NoWait: true})
	time.Sleep(time.Second) // longer than the service needs to find that nobody is there
	pg.Start(t)
	eventually(t, 15*time.Second, "the service is ready", func() bool {
		res, err := client.Get(p.URL + "/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func TestPostgresIsDown(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	t.Parallel()
	down := testenv.Pick(8*time.Second, 5*time.Minute)
	pg := testenv.OwnPostgres(t, "", "max_connections=60")
	source := pg.Database(t)
	// GitHub can't be reached either, so that what is taken has to wait.
	p := testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL="+source, "LEASE=1s", "GITHUB_API_URL=http://127.0.0.1:1"), Ready: "/ready"})
	const waiting = 25
	for n := range waiting {
		if a := send(p.URL, deliveryID(0x200, n), pullRequest(n+1)); a.status != 202 {
			t.Fatalf("delivery %d is answered %d %s", n, a.status, a.body)
		}
	}
	eventually(t, 5*time.Second, "the gauge shows what waits", func() bool { return metric(t, p, "github_webhook_queue_length") == waiting })
	age := metric(t, p, "github_oldest_delivery_seconds")
	before := len(complaints(p))

	pg.Stop(t, testenv.Fast)
	namesTrouble(t, p, "does not answer")
	var slowest time.Duration
	asked := 0
	for end := time.Now().Add(down); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		a := send(p.URL, deliveryID(0x201, asked), pullRequest(asked))
		a.refused(t, "while the server is down")
		slowest = max(slowest, a.took)
		asked++
	}
	if n := metric(t, p, "github_webhook_queue_length"); n != waiting {
		t.Errorf("github_webhook_queue_length = %v while the database is away, want the last known %d", n, waiting)
	}
	if now := metric(t, p, "github_oldest_delivery_seconds"); now < age+down.Seconds()-2 {
		t.Errorf("github_oldest_delivery_seconds went from %v to %v in %v, want it to grow", age, now, down)
	}
	namesTrouble(t, p, "does not answer")
	during := complaints(p)[before:]
	pg.Start(t)
	took := recovered(t, p, 10*time.Second)
	if a := send(p.URL, deliveryID(0x202, 0), pullRequest(1)); a.status != 202 {
		t.Errorf("after the outage: a delivery is answered %d %s, want 202", a.status, a.body)
	}
	t.Logf("down for %v: %d deliveries refused in at most %v, %d lines of complaint, ready %v after its return",
		down, asked, slowest.Round(time.Millisecond), len(during), took.Round(time.Millisecond))
	if slowest > time.Second {
		t.Errorf("a sender waited %v although nobody listens, want to hear at once", slowest)
	}
	byMessage := map[string]int{}
	for _, line := range during {
		_, rest, _ := strings.Cut(line, `"msg":"`)
		message, _, _ := strings.Cut(rest, `"`)
		byMessage[message]++
	}
	for message, n := range byMessage {
		if n > 1 && !strings.HasPrefix(message, "pass ") {
			t.Errorf("%q is in the log %d times for one outage, want once", message, n)
		}
	}
}

// What a server that answers may still have against us.
func TestPostgresRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server of its own")
	}
	t.Parallel()
	const connectionsForAll = 30 // and one more for the test itself
	pg := testenv.OwnPostgres(t, "", fmt.Sprintf("max_connections=%d", connectionsForAll+5+1), "superuser_reserved_connections=5")
	source := pg.Database(t)
	name := source[strings.LastIndexByte(source, '/')+1 : strings.IndexByte(source, '?')]
	p := testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL="+source, "LEASE=1s"), Ready: "/ready"})
	admin := testenv.Open(t, pg.URL)
	admin.SetMaxOpenConns(1)
	inside := testenv.Open(t, strings.Replace(pg.URL, "/postgres?", "/"+name+"?", 1)) // the superuser, in the service's database
	inside.SetMaxIdleConns(0)

	// lock keeps everybody off the inbox until it is called again.
	lock := func() (release func()) {
		c, err := inside.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range []string{"SET statement_timeout = 0", "BEGIN", "LOCK TABLE webhook_logs IN ACCESS EXCLUSIVE MODE"} {
			if _, err := c.ExecContext(t.Context(), st); err != nil {
				t.Fatal(err)
			}
		}
		return func() {
			if _, err := c.ExecContext(context.Background(), "ROLLBACK"); err != nil {
				t.Error(err)
			}
			c.Close()
		}
	}

	for i, c := range []struct {
		name  string
		want  string // in the check of the database
		begin func() (end func())
	}{
		{"read-only", "is read-only", func() func() {
			pg.Set(t, "default_transaction_read_only", "on")
			return func() { pg.Set(t, "default_transaction_read_only", "off") }
		}},
		{"no connection left", "too many connections", func() func() {
			var hoard []*sql.Conn
			others := testenv.Open(t, pg.Database(t))
			for deadline := time.Now().Add(20 * time.Second); len(hoard) < connectionsForAll; {
				if time.Now().After(deadline) {
					t.Fatalf("only %d of %d connections could be taken", len(hoard), connectionsForAll)
				}
				if c, err := others.Conn(t.Context()); err == nil {
					hoard = append(hoard, c)
				} else {
					kick(t, admin, name) // the rest is the service's
				}
			}
			return func() {
				for _, c := range hoard {
					c.Close()
				}
				others.Close()
			}
		}},
		{"statement timeout", "cuts statements off", func() func() {
			pg.Set(t, "statement_timeout", "300ms")
			release := lock()
			return func() {
				release()
				pg.Set(t, "statement_timeout", "0")
			}
		}},
		{"a lock that nobody gives up", "does not answer", lock},
		{"frozen", "answer", func() func() {
			pg.Freeze()
			return pg.Thaw
		}},
		{"the password was changed", "does not accept the credentials", func() func() {
			// The password of the moment is kept as it is stored, so that it can be put back.
			var stored string
			if err := admin.QueryRow(`SELECT rolpassword FROM pg_authid WHERE rolname = $1`, name).Scan(&stored); err != nil {
				t.Fatal(err)
			}
			pg.Exec(t, "ALTER ROLE "+name+" PASSWORD 'another'")
			kick(t, admin, name)
			return func() { pg.Exec(t, "ALTER ROLE "+name+" PASSWORD '"+stored+"'") }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := startFlood(p, 0x300+i, 8, 2*time.Millisecond)
			f.more(t, 10*time.Second, 50)
			before := len(complaints(p))
			end := c.begin()
			eventually(t, 10*time.Second, "deliveries are refused", func() bool { _, refused := f.counts(); return refused > 8 })
			namesTrouble(t, p, c.want)
			kept, _ := f.counts()
			for n := range 5 {
				send(p.URL, deliveryID(0x380+i, n), pullRequest(n)).refused(t, c.name)
			}
			if now, _ := f.counts(); now != kept {
				t.Errorf("%d deliveries were acknowledged meanwhile", now-kept)
			}
			end()
			began := time.Now()
			f.more(t, 15*time.Second, 50)
			took := time.Since(began)
			account := f.end(t, source)
			recovered(t, p, 5*time.Second)
			quietLog(t, p, before, 1)
			t.Logf("%s; taken again %v after it was over", account, took.Round(time.Millisecond))
		})
	}
	if n := metric(t, p, "github_dead_letters"); n != 0 {
		t.Errorf("%v dead letters, want none", n)
	}
}

// kick ends every connection of a user.
func kick(t *testing.T, admin *sql.DB, user string) (n int) {
	t.Helper()
	if err := admin.QueryRow(`WITH theirs AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE usename = $1) SELECT count(pg_terminate_backend(pid)) FROM theirs`, user).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Backends are ended in the middle of transactions, those that keep deliveries and those that take them in among them.
func TestPostgresBackendsAreKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("kills backends for some seconds")
	}
	t.Parallel()
	span := testenv.Pick(5*time.Second, 2*time.Minute)
	pg := testenv.OwnPostgres(t, "", "max_connections=60")
	source := pg.Database(t)
	user := source[strings.LastIndexByte(source, '/')+1 : strings.IndexByte(source, '?')]
	p := testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL="+source, "LEASE=1s"), Ready: "/ready"})
	admin := testenv.Open(t, pg.URL)
	f := startFlood(p, 0x400, 8, 2*time.Millisecond)
	f.more(t, 10*time.Second, 50)
	killed := map[string]int{}
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		rows, err := admin.Query(`WITH busy AS MATERIALIZED (SELECT pid, query FROM pg_stat_activity WHERE usename = $1 AND xact_start IS NOT NULL)
SELECT query FROM busy WHERE pg_terminate_backend(pid)`, user)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var query string
			if err := rows.Scan(&query); err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.Contains(query, "INSERT INTO webhook_logs"):
				killed["insert"]++
			case strings.Contains(query, "FROM webhook_logs") || strings.Contains(query, "UPDATE webhook_logs") || strings.Contains(query, "INTO work"):
				killed["intake or record"]++
			case strings.Contains(query, "commit"):
				killed["commit"]++
			default:
				killed["other"]++
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	account := f.end(t, source)
	recovered(t, p, 5*time.Second)
	t.Logf("killed in transactions, by the last statement: %v; %s", killed, account)
	if killed["insert"]+killed["commit"] == 0 || killed["intake or record"] == 0 {
		t.Errorf("killed %v, want some in the middle of every kind", killed)
	}
	if n := metric(t, p, "github_dead_letters"); n != 0 {
		t.Errorf("%v dead letters, want none", n)
	}
}

func TestPostgresDiskIsFull(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server on a disk of its own")
	}
	t.Parallel()
	disk := testenv.SmallDisk(t, 160<<20)
	pg := testenv.OwnPostgres(t, disk.Dir, "max_connections=60", "min_wal_size=8MB", "max_wal_size=16MB", "shared_buffers=16MB")
	source := pg.Database(t)
	p := testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL="+source, "LEASE=1s"), Ready: "/ready"})
	f := startFlood(p, 0x500, 4, 2*time.Millisecond)
	f.more(t, 10*time.Second, 50)
	before := len(complaints(p))
	disk.Fill(t, 256<<10)
	eventually(t, 30*time.Second, "deliveries are refused", func() bool { _, refused := f.counts(); return refused > 8 })
	// A server that can't write its log crashes, and recovers as soon as it can.
	var seen []string
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		disk.Fill(t, 0)
		if d := askHealth(t, p, "/ready"); d.code == 503 {
			what, _, _ := strings.Cut(d.Checks["database"].Detail, ", since")
			seen = append(seen, what)
		}
	}
	slices.Sort(seen)
	seen = slices.Compact(seen)
	if !slices.Contains(seen, "postgres: its disk is full") {
		t.Errorf("/ready said %q, want that the disk is full", seen)
	}
	if h := askHealth(t, p, "/health"); h.code != 200 || h.Status != "degraded" {
		t.Errorf("/health = %d %s, want 200 degraded", h.code, h.Status)
	}
	disk.Empty(t)
	pg.Ensure(t)
	began := time.Now()
	f.more(t, 20*time.Second, 50)
	took := time.Since(began)
	account := f.end(t, source)
	recovered(t, p, 10*time.Second)
	quietLog(t, p, before, 2)
	t.Logf("%s; /ready said %q; taken again %v after there was room", account, seen, took.Round(time.Millisecond))
}

// A deadlock costs time and no delivery: whoever PostgreSQL chooses as its victim begins again.
func TestPostgresDeadlock(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server of its own")
	}
	t.Parallel()
	pg := testenv.OwnPostgres(t, "", "max_connections=60", "deadlock_timeout=200ms")
	source := pg.Database(t)
	name := source[strings.LastIndexByte(source, '/')+1 : strings.IndexByte(source, '?')]
	p := testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL="+source), Ready: "/ready"})
	for n := range 2 {
		if a := send(p.URL, deliveryID(0x600, n), pullRequest(n)); a.status != 202 {
			t.Fatalf("delivery %d is answered %d %s", n, a.status, a.body)
		}
	}
	eventually(t, 10*time.Second, "both are processed", func() bool { return askStats(t, p).QueueLength == 0 })

	inside := testenv.Open(t, strings.Replace(pg.URL, "/postgres?", "/"+name+"?", 1))
	c, err := inside.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exec := func(statement string) {
		t.Helper()
		if _, err := c.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	// The repeated delivery takes its own row and waits for the key's; this session has the key's and wants the row. Its
	// own patience is endless, so the service's transaction is the one that is ended.
	exec("SET deadlock_timeout = '1h'")
	exec("BEGIN")
	exec("UPDATE work SET prio = prio WHERE key = 'pr:1296269#1'")
	answered := make(chan answer, 1)
	go func() { answered <- send(p.URL, deliveryID(0x600, 1), pullRequest(1)) }()
	eventually(t, 5*time.Second, "the service waits for the key", func() bool {
		var n int
		if err := inside.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'`, name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
	exec("UPDATE webhook_logs SET status = status WHERE delivery_id = '" + deliveryID(0x600, 1) + "'")
	exec("COMMIT")
	a := <-answered
	if a.status != 202 || !strings.Contains(a.body, "duplicate") {
		t.Errorf("the delivery whose transaction was ended is answered %d %s after %v, want 202 duplicate", a.status, a.body, a.took)
	}
	deadlocks := strings.Count(pg.Log(), "deadlock detected")
	if deadlocks == 0 {
		t.Error("there was no deadlock")
	}
	eventually(t, 10*time.Second, "all is processed", func() bool { return askStats(t, p).QueueLength == 0 })
	t.Logf("%d deadlock; the delivery was acknowledged after %v", deadlocks, a.took.Round(time.Millisecond))
	quietLog(t, p, 0, 0)
}

// Replicas that start while the server is just starting wait for it, and are ready only when they have connections.
func TestReplicasStartWithPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server of its own")
	}
	t.Parallel()
	pg := testenv.OwnPostgres(t, "", "max_connections=60")
	source := pg.Database(t)
	env := working(t, "DATABASE_URL="+source, "LEASE=1s")
	first := testenv.Start(t, testenv.Options{Env: env, Ready: "/ready"})
	f := startFlood(first, 0x700, 8, 2*time.Millisecond)
	f.more(t, 10*time.Second, 500)
	pg.Stop(t, testenv.Immediate)
	f.kill(t)
	close(f.stop)
	f.writers.Wait()
	pg.Spawn(t)
	t.Run("replicas", func(t *testing.T) {
		for i := range 3 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				p := testenv.Start(t, testenv.Options{Env: env, Ready: "/ready"})
				if n := connections(t, pg, p); n < 4 {
					t.Errorf("a ready replica has %d connections, want some to work with", n)
				}
				for n := range 50 {
					if a := send(p.URL, deliveryID(0x701+i, n), pullRequest(n)); a.status != 202 {
						t.Errorf("a delivery to a ready replica is answered %d %s after %v, want 202", a.status, a.body, a.took)
					}
				}
				t.Logf("ready after %v", p.Took.Round(time.Millisecond))
			})
		}
	})
	last := testenv.Start(t, testenv.Options{Env: env, Ready: "/ready"})
	eventually(t, 30*time.Second, "everything is processed", func() bool { return askStats(t, last).QueueLength == 0 })
	rows := keptStatuses(t, source)
	for id := range f.acknowledged {
		if len(rows[id]) != 1 {
			t.Errorf("%s was acknowledged and is there %d times", id, len(rows[id]))
		}
	}
}

// connections counts those of a process to the server, as the system sees them.
func connections(t *testing.T, pg *testenv.PostgresServer, p *testenv.Process) (n int) {
	t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", p.PID()))
	if err != nil {
		testenv.Missing(t, "the connections of a process can't be read: %v", err)
	}
	inodes := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		// sl local remote state queues timer retransmits uid timeout inode; state 01 is an open connection
		if f := strings.Fields(line); len(f) > 9 && f[3] == "01" && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", pg.Port)) {
			inodes["socket:["+f[9]+"]"] = true
		}
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range open {
		if target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.PID(), e.Name())); err == nil && inodes[target] {
			n++
		}
	}
	return n
}
