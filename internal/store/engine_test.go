package store

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
	"github.com/brandonlacoste9-tech/github-pr-manager/migrations"
)

func TestOpenExplainsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("this is a text and no database, however long one reads on in it: "+strings.Repeat("no. ", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	for _, c := range []struct{ name, url, want string }{
		{"empty", "", "must begin with sqlite:"},
		{"another engine", "mysql://root:hunter2secret@localhost/x", "must begin with sqlite:"},
		{"no file", "sqlite:", "names no file"},
		{"memory", "sqlite::memory:", "names no file"},
		{"a directory", "sqlite:" + dir, "is a directory"},
		{"below a file", "sqlite:" + file + "/x/test.db", "not a directory"},
		{"no database", "sqlite:" + file, "not a database"},
		{"not a URL", "postgres://user:hunter2secret@host:port/x", "not a valid one"},
		{"a slash in the password", "postgres://user:hunter2/secret@host/x", "not a valid one"},
		{"nobody listens", "postgres://user:hunter2secret@" + closed + "/x", "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(t.Context(), c.url, Options{})
			if err == nil {
				s.Close()
				t.Fatalf("Open(%s) gave no error", c.url)
			}
			explained(t, err, c.want)
		})
	}
}

// explained checks that an error is one line with certain words and without the password.
func explained(t *testing.T, err error, want string) {
	t.Helper()
	if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error = %q, want one line with %q and no password", err, want)
	}
}

func TestOpenWithAWrongPassword(t *testing.T) {
	u, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("postgres", "hunter2secret")
	_, err = Open(t.Context(), u.String(), Options{})
	if err == nil {
		t.Fatal("Open gave no error")
	}
	explained(t, err, "password authentication failed")
	u.Path, u.User = "/nosuchdatabase", nil
	good, _ := url.Parse(testenv.Postgres(t))
	u.User = good.User
	_, err = Open(t.Context(), u.String(), Options{})
	if err == nil {
		t.Fatal("Open gave no error")
	}
	explained(t, err, `"nosuchdatabase" does not exist`)
}

func TestASecondServiceIsRefused(t *testing.T) {
	address := testenv.SQLite(t)
	first, err := Open(t.Context(), address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := first.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), address, Options{})
	if err == nil {
		t.Fatal("a second service opened the file")
	}
	explained(t, err, fmt.Sprintf("another service (process %d) is running", os.Getpid()))

	beside, err := Open(t.Context(), address, Options{Beside: true})
	if err != nil {
		t.Fatalf("a command beside the service: %v", err)
	}
	if err := beside.MarkDue(t.Context(), pull.PullKey(1, 1), pull.Ordinary); err != nil {
		t.Error(err)
	}
	if _, ok, err := first.NextDue(t.Context()); err != nil || !ok {
		t.Errorf("the service doesn't see what the command wrote: %v", err)
	}
	if err := errors.Join(beside.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	third, err := Open(t.Context(), address, Options{})
	if err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	third.Close()
}

func TestSQLitePathsMayBeOdd(t *testing.T) {
	for _, name := range []string{"with space.db", "what?.db", "50%.db", "a#b.db", "ü/tief/x.db"} {
		path := filepath.Join(t.TempDir(), name)
		s, err := Open(t.Context(), "sqlite:"+path, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, _, err := s.Migrate(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() < pageSize {
			t.Errorf("%s is not where the data is: %v", name, err)
		}
	}
}

func TestAcknowledgedMeansSynced(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		if w.engine == "postgres" {
			var got string
			if err := w.db.QueryRowContext(w.ctx, "SHOW synchronous_commit").Scan(&got); err != nil || got != "on" {
				t.Errorf("synchronous_commit = %q, %v, want on", got, err)
			}
			return
		}
		for name, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "wal_autocheckpoint": fmt.Sprint(lateCheckpoint)} {
			var got string
			if err := w.sqlite.conn.QueryRowContext(w.ctx, "PRAGMA "+name).Scan(&got); err != nil || got != want {
				t.Errorf("%s = %q, %v, want %s", name, got, err, want)
			}
		}
		if _, err := w.db.ExecContext(w.ctx, "DELETE FROM work"); err == nil {
			t.Error("a reading connection could write")
		}
	})
}

func TestMigrateTwice(t *testing.T) {
	testenv.Engines(t, func(t *testing.T, address string) {
		s, err := Open(t.Context(), address, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		steps, err := migrations.For(s.Engine())
		if err != nil {
			t.Fatal(err)
		}
		newest := steps[len(steps)-1].Version
		if have, want, err := s.SchemaVersion(t.Context()); have != 0 || want != newest || err != nil {
			t.Errorf("SchemaVersion before = %d, %d, %v, want 0, %d", have, want, err, newest)
		}
		var all sync.WaitGroup
		for range 4 { // several replicas start at once
			all.Go(func() {
				if _, to, err := s.Migrate(t.Context()); err != nil || to != newest {
					t.Errorf("Migrate = to %d, %v, want %d", to, err, newest)
				}
			})
		}
		all.Wait()
		if from, to, err := s.Migrate(t.Context()); from != newest || to != newest || err != nil {
			t.Errorf("Migrate again = %d to %d, %v, want nothing done", from, to, err)
		}
		if have, want, err := s.SchemaVersion(t.Context()); have != want || err != nil {
			t.Errorf("SchemaVersion after = %d, %d, %v", have, want, err)
		}
		// A newer version has been here, and this one still runs.
		if err := s.write(t.Context(), "test", func(t *tx) error { _, err := t.exec(addVersion, 999, "999_later.sql", 1); return err }); err != nil {
			t.Fatal(err)
		}
		if from, to, err := s.Migrate(t.Context()); from != 999 || to != 999 || err != nil {
			t.Errorf("Migrate of a newer schema = %d to %d, %v, want it left alone", from, to, err)
		}
		if _, err := s.Stats(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Every file runs again over a database that is in use, and changes nothing in it; with psql too, as operators do it.
func TestMigrationsRunOverData(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		a := pull.Action{Kind: pull.AddLabel, Target: "docs"}
		p := pull.Plan{
			Pull: pull.Row{State: pull.Open, Title: "it", Head: "aaa"}, Verdict: pull.Verdict{State: "waiting", Digest: "d", Tree: []byte("{}")},
			Policy: &pull.Document{Found: true, OID: "1", Text: "x"}, Actions: []pull.Action{a},
		}
		if err := w.Plan(w.ctx, c, p); err != nil {
			t.Fatal(err)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassFailed, Error: "no"})
		see := func() string {
			d, err := w.Pull(w.ctx, "octo", "app", 7)
			if err != nil {
				t.Fatal(err)
			}
			st, err := w.Stats(w.ctx)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%+v %+v %+v", d.Row, d.Deliveries, st)
		}
		before := see()
		steps, err := migrations.For(w.engine)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps {
			for range 2 {
				if w.engine == "sqlite" {
					if err := w.write(w.ctx, "test", func(t *tx) error { return t.script(step.SQL) }); err != nil {
						t.Fatalf("%s: %v", step.Name, err)
					}
					continue
				}
				psql := exec.Command(testenv.PostgresTool(t, "psql"), "-v", "ON_ERROR_STOP=1", "-q", "-f", filepath.Join(testenv.Root(t), "migrations", step.Name), w.url)
				if out, err := psql.CombinedOutput(); err != nil {
					t.Fatalf("psql -f %s: %v\n%s", step.Name, err, out)
				}
			}
		}
		equal(t, "what is kept", see(), before)
	})
}

// The two schemas have the same tables and columns.
func TestTheTwinsAgree(t *testing.T) {
	columns := map[string]string{}
	testenv.Engines(t, func(t *testing.T, address string) {
		w := newWorld(t, address)
		query := `SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`
		if w.engine == "postgres" {
			query = `SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'`
		}
		rows, err := w.db.QueryContext(w.ctx, "SELECT * FROM ("+query+") x ORDER BY 1")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var names []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		slices.Sort(names)
		columns[w.engine] = strings.Join(names, "\n")
	})
	if columns["sqlite"] == "" || (columns["postgres"] != "" && columns["sqlite"] != columns["postgres"]) {
		equal(t, "columns", columns["sqlite"], columns["postgres"])
	}
}

func TestPurge(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		const day = 24 * time.Hour
		// Ten days, a delivery each; number 3's pass never succeeds.
		for n := 1; n <= 10; n++ {
			w.hint(fmt.Sprint("d", n), n)
			c := w.claim()
			p := pull.Plan{Pull: pull.Row{State: pull.Open, Head: "a"}, Verdict: pull.Verdict{Digest: fmt.Sprint(n), Tree: []byte("{}"), Changes: []byte("[]")}}
			if err := w.Plan(w.ctx, c, p); err != nil {
				t.Fatal(err)
			}
			if n == 3 {
				w.record(c, pull.PassResult{Outcome: pull.PassFailed, NotBefore: w.now().Add(1000 * day)})
			} else {
				w.record(c, pull.PassResult{Outcome: pull.PassDone})
			}
			w.pass(day)
		}
		purge := func(retention time.Duration) int {
			t.Helper()
			n, err := w.Purge(w.ctx, retention)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		bodies := func() int64 { return w.number(`SELECT count(*) FROM webhook_logs WHERE body IS NOT NULL`) }
		rows := func() int64 { return w.number(`SELECT count(*) FROM webhook_logs`) }

		// It is day 11. Five days of bodies are 6 to 10; eight days of ids are 3 to 10.
		if n := purge(5 * day); n == 0 || bodies() != 5 || rows() != 8 {
			t.Errorf("Purge(5 days) left %d bodies and %d rows, want 5 and 8", bodies(), rows())
		}
		if n := w.number(`SELECT count(*) FROM verdicts`); n != 5 {
			t.Errorf("%d verdicts, want 5", n)
		}
		if n := w.number(`SELECT count(*) FROM verdict_changes`); n != 5 {
			t.Errorf("what changed is kept of %d verdicts, want 5", n)
		}
		if n := w.number(`SELECT count(*) FROM changes WHERE at < $1`, w.now().Add(-5*day).UnixMicro()); n != 0 || w.number(`SELECT count(*) FROM changes`) == 0 {
			t.Errorf("%d old changes are left", n)
		}
		if n := purge(5 * day); n != 0 {
			t.Errorf("Purge at once again = %d, want nothing to do", n)
		}
		if d, err := w.Delivery(w.ctx, "d4"); err != nil || d.Body != nil || d.Status != pull.Processed {
			t.Errorf("Delivery(d4) = %s, body %s, %v, want its row without body", d.Status, d.Body, err)
		}
		if got := w.insert(w.delivery("d4", 4)); !got[0].Duplicate {
			t.Error("an id within eight days is forgotten")
		}
		w.pass(100 * day)
		purge(5 * day)
		equal(t, "what is left: the one that still waits", w.statuses(), map[string]pull.DeliveryStatus{"d3": pull.Queued})
		w.insert(w.delivery("new", 1))
		if n := purge(5 * day); n != 0 || bodies() != 1 {
			t.Errorf("Purge = %d with %d bodies, want the new one left alone", n, bodies())
		}
	})
}

func TestPurgeInBatches(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		const rows = 2*purgeBatchSQLite + 7
		var batch []pull.Delivery
		for i := range rows {
			batch = append(batch, w.delivery(fmt.Sprint(i), 0))
		}
		w.insert(batch...)
		for {
			if _, n, err := w.Intake(w.ctx, pull.Taking{Limit: 500}, func(pull.Delivery) pull.Route { return pull.Route{} }); err != nil || n == 0 {
				break
			}
		}
		w.pass(9 * 24 * time.Hour)
		w.insert(w.delivery("young", 0))
		commits := 0
		w.setHook(func(op string, committed bool) error {
			if op == "purge" && committed {
				commits++
			}
			return nil
		})
		n, err := w.Purge(w.ctx, 24*time.Hour)
		if err != nil || n < 2*rows {
			t.Errorf("Purge = %d, %v, want %d bodies and as many rows", n, err, rows)
		}
		if w.engine == "sqlite" && commits < 6 {
			t.Errorf("Purge took %d transactions, want it in batches", commits)
		}
		if left := w.number(`SELECT count(*) FROM webhook_logs`); left != 1 {
			t.Errorf("%d deliveries left, want the young one", left)
		}
	})
}

func TestTheClockIsTheDatabases(t *testing.T) {
	testenv.Engines(t, func(t *testing.T, address string) {
		s, err := Open(t.Context(), address, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if off := time.Since(s.Now()); off < -time.Second || off > time.Second {
			t.Errorf("Now is %v off, on one machine", off)
		}
		// As if this machine's clock were ten minutes ahead of the database's.
		r := s.clock.at.Load()
		s.clock.at.Store(&reference{base: r.base.Add(-10 * time.Minute), when: r.when})
		a := s.Now()
		time.Sleep(2 * time.Millisecond)
		if b := s.Now(); !b.After(a) || time.Since(b) < 9*time.Minute {
			t.Errorf("Now went from %v to %v, want on, ten minutes behind", a, b)
		}
		if err := s.syncClock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if off := time.Since(s.Now()); off < -time.Second || off > time.Second {
			t.Errorf("after a look at the database's clock, Now is %v off", off)
		}
	})
}

// The whole store runs in a bubble of simulated time: nothing in it waits for anything but time and contexts.
func TestTheStoreRunsInSimulatedTime(t *testing.T) {
	address := testenv.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s, err := Open(ctx, address, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		over := make(chan error, 1)
		go func() { over <- s.Maintain(ctx) }()
		start := s.Now()
		for i := range 200 {
			d := pull.Delivery{ID: fmt.Sprint(i), ReceivedAt: s.Now(), Hint: pull.Hint{Event: "push", Repo: octoApp, Numbers: []int{i}}}
			if _, err := s.Insert(ctx, []pull.Delivery{d}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Intake(ctx, pull.Taking{Limit: 10}, byNumber); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if got := s.Now().Sub(start); got != 200*time.Minute {
			t.Errorf("Now went on by %v, want 200m", got)
		}
		for range 200 {
			c, ok, err := s.Claim(ctx, "w", lease, "")
			if err != nil || !ok {
				t.Fatalf("Claim = %v, %v", ok, err)
			}
			if _, err := s.Record(ctx, c, pull.PassResult{Outcome: pull.PassDone}); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The log is written back beside the writer and stays short under a load that never pauses.
func TestTheWriteAheadLogStaysShort(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	address := testenv.SQLite(t)
	s, err := Open(ctx, address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- s.Maintain(ctx) }()
	body := make([]byte, 16<<10)
	var all sync.WaitGroup
	var longest atomic.Int64
	for writer := range 4 { // so that the next one always waits for its turn
		all.Go(func() {
			for i := range 100 {
				var batch []pull.Delivery
				for j := range 32 {
					batch = append(batch, pull.Delivery{ID: fmt.Sprint(writer, "/", i, "/", j), Packed: body})
				}
				if _, err := s.Insert(ctx, batch); err != nil {
					t.Error(err)
					return
				}
				info, err := os.Stat(strings.TrimPrefix(address, "sqlite:") + "-wal")
				if err != nil {
					t.Error(err)
					return
				}
				for seen := longest.Load(); info.Size() > seen && !longest.CompareAndSwap(seen, info.Size()); seen = longest.Load() {
				}
			}
		})
	}
	all.Wait()
	t.Logf("the log grew to %d MB", longest.Load()>>20)
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if longest.Load() > 3*walLimit {
		t.Errorf("the log grew to %d MB under 200 MB of writes, want at most %d", longest.Load()>>20, 3*walLimit>>20)
	}
}

// A process that is killed at any moment has lost nothing that it had acknowledged, and tears nothing.
func TestKilledWhileWriting(t *testing.T) {
	if os.Getenv("STORE_TEST_WRITER") != "" {
		writer(t)
		return
	}
	testenv.Engines(t, func(t *testing.T, address string) {
		const kills = 5
		acknowledged := map[string]bool{}
		for round := range kills {
			cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileWriting$", "-test.count=1")
			cmd.Env = append(os.Environ(), "STORE_TEST_WRITER="+address, fmt.Sprint("STORE_TEST_ROUND=", round))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for n := 0; lines.Scan(); {
				id, ok := strings.CutPrefix(lines.Text(), "kept ")
				if !ok {
					continue
				}
				acknowledged[id] = true
				if n++; n == 20+7*round {
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = cmd.Wait()
		}
		if len(acknowledged) < kills*20 {
			t.Fatalf("only %d deliveries were acknowledged", len(acknowledged))
		}
		s, err := Open(t.Context(), address, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		kept := map[string]bool{}
		ds, err := s.Deliveries(t.Context(), 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			kept[d.ID] = true
		}
		for id := range acknowledged {
			if !kept[id] {
				t.Errorf("%s was acknowledged and is lost", id)
			}
		}
		if s.Engine() == "sqlite" {
			var ok string
			if err := s.db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&ok); err != nil || ok != "ok" {
				t.Errorf("integrity_check = %q, %v", ok, err)
			}
		}
		// What was taken in is consistent too: every delivery that waits has a key that will be looked at.
		var orphans int
		err = s.db.QueryRowContext(t.Context(), `SELECT count(*) FROM webhook_logs w WHERE status = 'queued'
			AND NOT EXISTS (SELECT 1 FROM work WHERE key = w.work_key AND ready_at IS NOT NULL AND gen >= w.work_gen)`).Scan(&orphans)
		if err != nil && !errors.Is(err, sql.ErrNoRows) || orphans != 0 {
			t.Errorf("%d deliveries wait for a key that nobody will look at, %v", orphans, err)
		}
	})
}

// writer is the process that gets killed: it inserts, takes in and works, and says what it has kept.
func writer(t *testing.T) {
	s, err := Open(t.Context(), os.Getenv("STORE_TEST_WRITER"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Maintain(t.Context()) }()
	go func() {
		for {
			if _, _, err := s.Intake(t.Context(), pull.Taking{Limit: 5}, byNumber); err != nil {
				return
			}
			if c, ok, err := s.Claim(t.Context(), "w", 10*time.Millisecond, ""); err == nil && ok {
				_, _ = s.Record(t.Context(), c, pull.PassResult{Outcome: pull.PassDone})
			}
		}
	}()
	for i := range 100_000 {
		id := fmt.Sprint(os.Getenv("STORE_TEST_ROUND"), "-", i)
		d := pull.Delivery{ID: id, Body: []byte("{}"), Hint: pull.Hint{Event: "push", Repo: octoApp, Numbers: []int{i%50 + 1}}}
		if _, err := s.Insert(t.Context(), []pull.Delivery{d}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("kept", id)
	}
}
