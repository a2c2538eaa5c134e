package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// The drill: the database is destroyed while replicas work on it, the last backup is restored by the documented commands,
// and the service goes on. What counts is what GitHub shows in the end, and that nothing was done twice.
func TestDrill(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	seed := newSeed(t)
	drills := []drill{
		{name: "PostgreSQL, its files deleted", engine: "own-redis", replicas: 2},
		{name: "SQLite, its file deleted", engine: "sqlite", replicas: 1},
	}
	if testenv.Long() {
		drills = append(drills,
			drill{name: "PostgreSQL, restored by psql", engine: "own-redis", replicas: 2, psql: true},
			drill{name: "PostgreSQL, from a dump by plain pg_dump", engine: "own", replicas: 2, foreign: true},
			drill{name: "PostgreSQL, from a backup a day old", engine: "own-redis", replicas: 2, stale: true},
			drill{name: "SQLite, from a backup a day old", engine: "sqlite", replicas: 1, stale: true},
		)
	}
	for _, d := range drills {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.run(t, seed)
		})
	}
}

// A backup a day old is nearly always one from before a pull request had its label, its report and its merge. The short form
// of it is one backup at the beginning and no day in between.
func TestAnOldBackupRepeatsNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	drill{engine: "sqlite", replicas: 1, early: true}.run(t, newSeed(t))
}

// A drill says what is destroyed, and how it is brought back.
type drill struct {
	name     string
	engine   string
	replicas int
	psql     bool // the operators' own command: psql < backup.sql
	foreign  bool // a dump by plain pg_dump
	early    bool // the only backup is from the beginning
	stale    bool // the same, and the store's clock has gone on by a day
}

func (d drill) run(t *testing.T, seed uint64) {
	o := setup{
		engine: d.engine, replicas: d.replicas, orgs: 6, pulls: testenv.Pick(8, 24),
		env: []string{"AUDIT_INTERVAL=1s", "SWEEP_INTERVAL=2s"},
	}
	// Backups are taken while people work; then, in the middle of it, everything is destroyed.
	steps, deliveries := testenv.Pick(40, 120), testenv.Pick(70, 300)
	if d.early { // GitHub is asked for what was lost one by one, a second apart
		o.orgs, o.pulls, steps, deliveries = 2, 2, 9, 15
	}
	if d.stale {
		o.binary = failing(t)
	}
	s := newStage(t, plan(seed, t.Name()), o)
	s.open()
	old := d.early || d.stale
	dir := filepath.Join(t.TempDir(), "backups")
	var last string
	var taken time.Time
	backup := func() {
		last, taken = s.takeBackup(dir, d)
	}
	r := rand.New(rand.NewPCG(seed, 7))
	var destroyed, back time.Time
	s.play(deliveries, 40*time.Millisecond, func(step int) {
		switch {
		case step == steps/8, !old && (step == steps/2 || step == steps*7/8):
			backup()
		case step == steps:
			if old { // what can be done twice is done
				eventually(6*time.Second, func() bool { return s.hub.Waiting() == 0 && s.merged() > 0 })
			}
			load := s.talk(r)
			defer load()
			destroyed, back = s.disaster(d, last)
		}
	})
	if back.IsZero() {
		t.Fatalf("nothing was destroyed: people were done after fewer than %d steps", steps)
	}
	settled := s.settle(testenv.Pick(60*time.Second, 5*time.Minute))
	// What was acknowledged after the backup comes in once more, one a second.
	lost := len(s.restored)
	missing := s.absent()
	eventually(testenv.Pick(60*time.Second, 10*time.Minute), func() bool { s.keep(); missing = s.absent(); return missing == 0 })
	refetched := time.Since(back)
	s.settle(60 * time.Second)
	if f := s.check(); len(f) > 0 {
		t.Errorf("after the restore:\n%s", f)
	}
	alarms := 0.0
	for _, re := range s.replicas {
		alarms += max(re.metric("github_lost_after_acknowledgement_total"), 0)
		if got := re.metric("github_last_backup_timestamp_seconds"); got <= 0 && !d.foreign {
			t.Errorf("replica %s says that the last backup was at %v", re.name, got)
		}
	}
	if alarms > 0 {
		t.Errorf("%v deliveries were called lost, although a restore explains that they were missing", alarms)
	}
	rto := back.Sub(destroyed)
	t.Logf("%s: recovery point: the backup was %s old; %d deliveries acknowledged since, %d of them still missing after %s. "+
		"Recovery time: serving again after %s; GitHub as it should be after another %s",
		t.Name(), destroyed.Sub(taken).Round(10*time.Millisecond), lost, missing, refetched.Round(100*time.Millisecond), rto.Round(10*time.Millisecond), settled.Round(100*time.Millisecond))
	if rto > 5*time.Minute {
		t.Errorf("serving again took %s, must take less than 5 minutes", rto)
	}
}

// takeBackup takes one as the hourly service does, or as the operators' own command does.
func (s *stage) takeBackup(dir string, d drill) (path string, at time.Time) {
	s.t.Helper()
	at = time.Now()
	if d.foreign {
		path = filepath.Join(filepath.Dir(dir), fmt.Sprintf("weekly_backup_%d.sql", at.UnixNano()))
		out, err := exec.Command(testenv.PostgresTool(s.t, "pg_dump"), "--file="+path, s.source).CombinedOutput()
		if err != nil {
			s.t.Fatalf("pg_dump: %v\n%s", err, out)
		}
		return path, at
	}
	args := []string{"backup", "--to", dir, "--json"}
	if d.psql {
		args = append(args, "--plain")
	}
	r := testenv.Run(s.t, []string{"DATABASE_URL=" + s.source}, "", args...)
	var out struct{ Target string }
	if err := json.Unmarshal([]byte(r.Stdout), &out); err != nil || r.Code != 0 {
		s.t.Fatalf("backup: %d, %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	return out.Target, at
}

// talk lets people go on talking until it is called.
func (s *stage) talk(r *rand.Rand) (end func()) {
	stop := make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(250 * time.Millisecond):
			}
			if c := s.pulls[r.IntN(len(s.pulls))]; c.pr != nil {
				c.pr.Comment(s.alice, "Is anybody there?")
			}
		}
	})
	return func() { close(stop); talking.Wait() }
}

// disaster destroys the database and brings the backup back, as docs/operating.md says. It returns when the one happened
// and since when the service accepts deliveries again.
func (s *stage) disaster(d drill, backup string) (destroyed, back time.Time) {
	t := s.t
	t.Helper()
	destroyed = time.Now()
	if s.postgres != nil {
		s.postgres.Destroy(t)
	} else {
		for _, tail := range []string{"", "-wal", "-shm", ".ballast"} {
			_ = os.Remove(strings.TrimPrefix(s.source, "sqlite:") + tail)
		}
	}
	s.post.mu.Lock()
	acked := map[string]bool{}
	for id := range s.post.acked {
		acked[id] = true
	}
	s.post.mu.Unlock()
	// The replicas run on and answer 503. They are stopped.
	if !eventually(15*time.Second, func() bool { return get(s.replicas[0].url()+"/ready") == http.StatusServiceUnavailable }) {
		t.Error("a replica without a database says that it is ready")
	}
	for _, re := range s.replicas {
		re.doing = "down"
		re.p.Signal(t, 15)
	}
	for _, re := range s.replicas {
		re.p.Wait(t, 28*time.Second)
	}
	if s.postgres != nil {
		s.postgres.Rebuild(t)
	}
	if d.psql {
		sql, err := os.Open(backup)
		if err != nil {
			t.Fatal(err)
		}
		defer sql.Close()
		psql := exec.Command(testenv.PostgresTool(t, "psql"), s.source) // no option that would help it
		psql.Stdin = sql
		if out, err := psql.CombinedOutput(); err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
	} else {
		from := backup
		if !d.foreign {
			from = filepath.Dir(backup) // the newest there
		}
		r := testenv.Run(t, []string{"DATABASE_URL=" + s.source}, "", "restore", from)
		if r.Code != 0 {
			t.Fatalf("restore: %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		t.Logf("%s", r.Stdout)
	}
	kept := map[string]bool{}
	ids, err := texts(s.db.Query("SELECT delivery_id FROM webhook_logs"))
	if err != nil {
		ids, err = texts(s.db.Query("SELECT delivery_id FROM webhook_logs")) // a connection that was to the server before
	}
	if err != nil {
		t.Fatalf("read what was restored: %v", err)
	}
	for _, id := range ids {
		kept[id] = true
	}
	s.restored = map[string]bool{}
	for id := range acked {
		if !kept[id] {
			s.restored[id] = true
		}
	}
	for _, re := range s.replicas {
		if d.stale {
			re.env = append(re.env, "CLOCK_SKEW=24h")
		}
		re.start()
	}
	for _, re := range s.replicas {
		re.ready()
	}
	return destroyed, time.Now()
}

// merged is how many pull requests are.
func (s *stage) merged() (n int) {
	for _, c := range s.pulls {
		if c.pr != nil && c.pr.State() == "merged" {
			n++
		}
	}
	return n
}

// absent is how many deliveries were acknowledged and are not here.
func (s *stage) absent() (n int) {
	ids, err := texts(s.db.Query("SELECT delivery_id FROM webhook_logs"))
	if err != nil {
		return -1
	}
	kept := map[string]bool{}
	for _, id := range ids {
		kept[id] = true
	}
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	for id := range s.post.acked {
		if !kept[id] {
			n++
		}
	}
	return n
}
