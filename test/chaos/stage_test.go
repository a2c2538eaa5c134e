package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// lease is how long a dead or frozen replica keeps its keys: the shortest that the service takes.
const lease = time.Second

// A setup is what a stage is built from.
type setup struct {
	engine   string // sqlite, postgres, redis (PostgreSQL with Redis), own (a PostgreSQL that may be restarted) or own-redis
	replicas int
	green    int // replicas of a second release, which the scenario starts
	orgs     int
	pulls    int
	binary   string
	later    string   // of the second release
	haproxy  bool     // HAProxy stands in front, and the secret is in a file
	env      []string // for every replica
	redis    []string // settings of its server
}

// engines are those that everything runs on.
var engines = []string{"sqlite", "postgres", "redis"}

// A stage is where a scenario plays.
type stage struct {
	*world
	t        *testing.T
	setup    setup
	plan     *rand.Rand
	post     *post
	replicas []*replica
	db       *sql.DB
	source   string                  // of the database, as the service is told
	postgres *testenv.PostgresServer // one that may be restarted; nil: the one that all tests share
	redis    *testenv.RedisServer
	haproxy  *testenv.HAProxyServer
	secret   string            // the file with the webhook secret; "": it is in the environment
	secrets  map[string]string // by name: what may appear nowhere
	problems []string          // what went wrong beside the checker's questions
	restored map[string]bool   // ids that a destroyed database has taken with it, and that may come in as new once more
}

// A replica is one process of the service, and those before it in the same place.
type replica struct {
	s       *stage
	name    string
	green   bool   // of the second release
	binary  string // the program
	address string
	dir     string
	p       *testenv.Process
	env     []string // of its own
	doing   string   // "", or why its end is no surprise
	logs    strings.Builder
	lives   int
	began   time.Time // of the present life
	counted int       // lives whose end is known
	ended   time.Time // when the last one was found to have ended
}

func newStage(t *testing.T, r *rand.Rand, o setup) *stage {
	t.Helper()
	s := &stage{t: t, setup: o, plan: r}
	s.secrets = map[string]string{
		"WEBHOOK_SECRET":  "canary-webhook-" + strconv.FormatUint(r.Uint64(), 36),
		"DASHBOARD_TOKEN": "canary-dashboard-" + strconv.FormatUint(r.Uint64(), 36),
	}
	s.post = newPost(rand.New(rand.NewPCG(r.Uint64(), 2)), s.secrets["WEBHOOK_SECRET"])
	dir := t.TempDir()
	driver := "pgx"
	switch o.engine {
	case "sqlite":
		driver = "sqlite"
		s.source = "sqlite:" + filepath.Join(dir, "service.db")
	case "own", "own-redis":
		s.postgres = testenv.OwnPostgres(t, "")
		s.source = s.postgres.URL
	default:
		s.source = testenv.Postgres(t)
	}
	env := append([]string{"DATABASE_URL=" + s.source, "LEASE=" + lease.String(), "LOG_FORMAT=json", "LOG_LEVEL=info"}, o.env...)
	if strings.HasSuffix(o.engine, "redis") {
		s.redis = testenv.Redis(t, o.redis...)
		s.secrets["REDIS_URL"], _, _ = strings.Cut(strings.TrimPrefix(s.redis.URL, "redis://:"), "@")
		env = append(env, "REDIS_URL="+s.redis.URL)
	}
	s.world = newWorld(t, rand.New(rand.NewPCG(r.Uint64(), 3)), o.orgs, o.pulls, s.secrets["WEBHOOK_SECRET"], s.post.deliver)
	key := s.self.PrivateKey()
	s.secrets["GITHUB_PRIVATE_KEY"] = strings.Split(key, "\n")[3]
	env = append(env, "DASHBOARD_TOKEN="+s.secrets["DASHBOARD_TOKEN"])
	if o.haproxy {
		s.haproxy = testenv.HAProxy(t)
		s.secret = filepath.Join(dir, "webhook-secret")
		s.keepSecret(s.secrets["WEBHOOK_SECRET"])
		env = append(env, "WEBHOOK_SECRET_FILE="+s.secret)
	} else {
		env = append(env, "WEBHOOK_SECRET="+s.secrets["WEBHOOK_SECRET"])
	}
	env = append(env, "GITHUB_API_URL="+s.url, fmt.Sprintf("GITHUB_APP_ID=%d", s.self.ID), "GITHUB_PRIVATE_KEY="+strings.ReplaceAll(key, "\n", `\n`))
	for i := range o.replicas + o.green {
		re := &replica{s: s, name: string(rune('A' + i)), green: i >= o.replicas, binary: o.binary, dir: filepath.Join(dir, fmt.Sprint(i))}
		if re.green {
			re.binary = o.later
		}
		if o.haproxy {
			re.address = s.haproxy.Replica(i + 1)
			re.env = append(s.haproxy.Environ(i+1), env...)
		} else {
			port := testenv.FreePort(t)
			re.address = fmt.Sprintf("http://127.0.0.1:%d", port)
			re.env = append([]string{fmt.Sprintf("PORT=%d", port)}, env...)
		}
		if err := os.MkdirAll(re.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s.replicas = append(s.replicas, re)
		s.post.targets = append(s.post.targets, re.url())
	}
	source := s.source // read only on SQLite: nothing here may mend what a kill has left
	if o.engine == "sqlite" {
		source = "file:" + strings.TrimPrefix(source, "sqlite:") + "?mode=ro&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(2)
	s.db = db
	t.Cleanup(s.keepLogs)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.post.run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (r *replica) url() string { return r.address }

// start starts the replica and does not wait for it.
func (r *replica) start(more ...string) {
	r.s.t.Helper()
	if r.p != nil {
		r.logs.WriteString(r.p.Logs())
	}
	r.doing = ""
	r.lives++
	r.began = time.Now()
	r.p = testenv.Start(r.s.t, testenv.Options{Binary: r.binary, Env: append(more, r.env...), Dir: r.dir, NoWait: true, Quiet: true})
}

// ready waits until the replica answers that it is ready.
func (r *replica) ready() {
	r.s.t.Helper()
	if !eventually(30*time.Second, func() bool { r.s.keep(); return get(r.url()+"/ready") == 200 }) {
		r.s.t.Fatalf("replica %s is not ready after 30s:\n%s", r.name, r.p.Logs())
	}
}

// open starts every replica of the first release, the first of them with more in its environment, and waits until all
// are ready.
func (s *stage) open(first ...string) {
	s.t.Helper()
	replicas := s.release(false)
	for i, r := range replicas {
		if i == 0 {
			r.start(first...)
		} else {
			r.start()
		}
		if i == 0 {
			r.ready() // it brings the schema up
		}
	}
	for _, r := range replicas {
		r.ready()
	}
}

// release are the replicas of the second release, or of the first.
func (s *stage) release(green bool) (out []*replica) {
	for _, r := range s.replicas {
		if r.green == green {
			out = append(out, r)
		}
	}
	return out
}

// keepSecret writes the file with the webhook secret, one a line, as an operator does.
func (s *stage) keepSecret(secrets ...string) {
	s.t.Helper()
	if err := os.WriteFile(s.secret, []byte(strings.Join(secrets, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends a replica as kill -9 does.
func (r *replica) kill() {
	r.s.t.Helper()
	if r.p == nil || !r.p.Running() {
		return
	}
	r.doing = "killed"
	r.p.Kill(r.s.t)
}

// keep starts again what has ended, as whatever runs services does, and notes an end that nobody asked for.
func (s *stage) keep() {
	s.t.Helper()
	for _, r := range s.replicas {
		if r.p == nil || r.p.Running() || r.doing == "down" {
			continue
		}
		if r.counted < r.lives {
			r.ended, r.counted = time.Now(), r.lives
		}
		// One that ends as soon as it is started is not started again in a hot loop.
		if time.Since(r.began) < time.Second && time.Since(r.ended) < 250*time.Millisecond {
			continue
		}
		if r.doing == "" && r.hit() == "" && !s.mayEnd(r) {
			s.problems = append(s.problems, fmt.Sprintf("replica %s ended by itself: %s", r.name, tail(r.p.Logs(), 5)))
		}
		r.start()
	}
}

// mayEnd reports whether the end of a replica is a matter of what the scenario did to its database: a service that can't
// open its database at the start says so and ends, and is started again.
func (s *stage) mayEnd(r *replica) bool {
	return s.postgres != nil && strings.Contains(r.p.Logs(), "can't start")
}

// hit returns the failpoint at which the present life has acted.
func (r *replica) hit() string {
	for line := range strings.Lines(r.p.Logs()) {
		if rest, ok := strings.CutPrefix(line, "failpoint "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// stopped reports whether the process is stopped by a signal.
func (r *replica) stopped() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.p.PID()))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(rest, "T")
}

func (r *replica) signal(sig syscall.Signal) {
	r.s.t.Helper()
	r.p.Signal(r.s.t, sig)
}

// allLogs are the logs of all lives.
func (r *replica) allLogs() string {
	if r.p == nil {
		return r.logs.String()
	}
	return r.logs.String() + r.p.Logs()
}

// play lets people work until at least so many webhooks were sent and all stories are told, with about gap between two
// things that happen. At each step it calls also, which may break something.
func (s *stage) play(deliveries int, gap time.Duration, also func(step int)) {
	s.t.Helper()
	for step := 0; ; step++ {
		more := s.act()
		if ids, _, _ := s.post.count(); !more && ids >= deliveries {
			return
		}
		if also != nil {
			also(step)
		}
		s.keep()
		time.Sleep(gap/2 + time.Duration(s.plan.Int64N(int64(gap))))
	}
}

// unprocessed is how many rows of the inbox are not processed: all of them, or those received before a moment, without
// those about certain keys.
func (s *stage) unprocessed(before time.Time, without ...string) (n int, err error) {
	at := int64(1) << 62
	if !before.IsZero() {
		at = before.UnixMicro()
	}
	keys, err := texts(s.db.Query("SELECT coalesce(work_key, '') FROM webhook_logs WHERE status <> 'processed' AND received_at < $1", at))
	for _, key := range keys {
		if !slices.Contains(without, key) {
			n++
		}
	}
	return n, err
}

// unclear are the keys with a request that can't be repeated, and of which it is not known whether it has happened.
func (s *stage) unclear() ([]string, error) {
	return texts(s.db.Query("SELECT DISTINCT key FROM ledger WHERE status = 'executing' AND kind IN ('merge', 'report')"))
}

// settle waits until nothing is left to do: nothing on its way, all processed, everything as it should be. What is still
// missing when that takes too long is the checker's to say.
func (s *stage) settle(atMost time.Duration) (took time.Duration) {
	s.t.Helper()
	began := time.Now()
	calm := 0
	for time.Since(began) < atMost {
		s.keep()
		n, err := s.unprocessed(time.Time{})
		if err == nil && n == 0 && s.post.waiting() == 0 && s.hub.Waiting() == 0 && len(s.missing()) == 0 {
			if calm++; calm == 4 {
				return time.Since(began)
			}
		} else {
			calm = 0
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(began)
}

// keepLogs keeps the logs of a scenario that failed where they can be read.
func (s *stage) keepLogs() {
	if !s.t.Failed() {
		return
	}
	dir := filepath.Join(testenv.Root(s.t), "bin", "chaos", strings.ReplaceAll(s.t.Name(), "/", "_"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Error(err)
		return
	}
	var journal strings.Builder
	for _, w := range s.hub.Journal() {
		fmt.Fprintf(&journal, "%s %s %s at %s: %d, applied %v\n", w.At.Format("15:04:05.000"), w.Actor, w.What, w.SHA, w.Status, w.Applied)
	}
	files := map[string]string{"github": journal.String()}
	for _, r := range s.replicas {
		files["replica-"+r.name] = r.allLogs()
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".log"), []byte(text), 0o600); err != nil {
			s.t.Error(err)
		}
	}
	s.t.Logf("the logs are in %s", dir)
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
