package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const (
	queue = "queue:github-webhook"
	junk  = "github-pr-manager:junk"
)

// A mishap is something that happens to Redis while people are at work.
type mishap struct {
	name   string
	config []string // of the server
	before func(s *stage)
	during func(s *stage, step int)
	after  func(s *stage)
	says   string // what /ready says of it meanwhile
	quiet  bool   // a replica logs at most two lines a second about it
}

var ctx = context.Background()

// do sends a command to Redis, which has to carry it out.
func (s *stage) do(args ...any) any {
	s.t.Helper()
	v, err := s.redis.Client.Do(ctx, args...).Result()
	if err != nil && err != redis.Nil {
		s.t.Errorf("redis %v: %v", args[0], err)
	}
	return v
}

// fill takes up what is left of Redis's memory.
func (s *stage) fill() {
	for _, size := range []int{5000, 500, 5} {
		for {
			err := s.redis.Client.RPush(ctx, "filler", strings.Repeat("x", size)).Err()
			if redis.IsOOMError(err) {
				break
			}
			if err != nil {
				s.t.Fatalf("fill Redis: %v", err)
			}
		}
	}
}

var mishaps = []mishap{
	{
		name: "killed and started again", during: func(s *stage, step int) {
			switch step % 12 {
			case 3:
				s.redis.Kill(s.t)
			case 11:
				s.redis.Start(s.t)
			}
		},
		after: func(s *stage) { s.redis.Start(s.t) },
	},
	{
		name: "gone", says: "Redis does not answer", quiet: true,
		before: func(s *stage) { s.redis.Kill(s.t) },
		after:  func(s *stage) { s.redis.Start(s.t) },
	},
	{
		name: "frozen", says: "Redis does not answer", quiet: true,
		before: func(s *stage) { s.redis.Signal(s.t, syscall.SIGSTOP) },
		after:  func(s *stage) { s.redis.Signal(s.t, syscall.SIGCONT) },
	},
	{
		name: "flushed", during: func(s *stage, step int) {
			if step%5 == 0 {
				s.do("FLUSHALL")
			}
		},
	},
	{
		name: "full", says: "Redis is full", quiet: true,
		before: func(s *stage) { s.do("CONFIG", "SET", "maxmemory", "3mb"); s.fill() },
		during: func(s *stage, _ int) { s.fill() },
		after:  func(s *stage) { s.do("CONFIG", "SET", "maxmemory", "0") },
	},
	{
		name: "evicting", says: "maxmemory-policy is allkeys-lru", config: []string{"--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"},
		during: func(s *stage, step int) {
			for n := range 50 {
				s.do("SET", fmt.Sprintf("filler:%d", step*50+n), strings.Repeat("x", 2000))
			}
		},
	},
	{
		name: "another type at the key", says: "holds something else than a list", quiet: true,
		before: func(s *stage) { s.do("DEL", queue); s.do("SET", queue, "x") },
		after:  func(s *stage) { s.do("DEL", queue) },
	},
	{
		name: "a read-only replica", says: "read-only replica", quiet: true,
		before: func(s *stage) { s.do("REPLICAOF", "127.0.0.1", fmt.Sprint(testenv.FreePort(s.t))) },
		after:  func(s *stage) { s.do("REPLICAOF", "NO", "ONE") },
	},
	{
		name: "loading", says: "Redis is loading", quiet: true,
		config: []string{"--appendonly", "yes", "--key-load-delay", "400"},
		before: func(s *stage) {
			pipe := s.redis.Client.Pipeline()
			for n := range 20_000 { // Redis looks at its clients after every 1,024th
				pipe.Set(ctx, fmt.Sprintf("filler:%d", n), "x", 0)
			}
			if _, err := pipe.Exec(ctx); err != nil {
				s.t.Error(err)
			}
			s.redis.Kill(s.t)
			s.redis.Start(s.t)
		},
		after: func(s *stage) {
			if !eventually(30*time.Second, func() bool { return s.redis.Client.Ping(ctx).Err() == nil }) {
				s.t.Error("Redis is still loading")
			}
		},
	},
	{
		name: "junk in the list", quiet: true,
		during: func(s *stage, step int) {
			if step%10 != 0 {
				return
			}
			for range 10 {
				items := make([]any, 0, 202)
				items = append(items, "RPUSH", queue)
				for n := range 200 {
					items = append(items, []string{"junk", "{}", `{"v":1}`, `{"v":1,"delivery_id":"` + strings.Repeat("x", 300) + `"}`, "\x00\xff", "[]"}[n%6])
				}
				s.do(items...)
			}
		},
		after: func(s *stage) {
			if !eventually(5*time.Second, func() bool { n, err := s.redis.Client.LLen(ctx, junk).Result(); return err == nil && n > 0 }) {
				s.t.Errorf("nothing is kept in %s", junk)
			}
		},
	},
	{
		name: "an operator at work",
		during: func(s *stage, step int) {
			switch step % 4 {
			case 0:
				s.do("LPOP", queue)
			case 1:
				s.do("LTRIM", queue, 1, -1)
			case 2:
				s.do("DEL", queue)
			case 3: // and doubled, and made up
				if items, err := s.redis.Client.LRange(ctx, queue, 0, 0).Result(); err == nil && len(items) == 1 {
					s.do("RPUSH", queue, items[0], items[0])
				}
				s.do("RPUSH", queue, `{"v":1,"delivery_id":"11111111-0000-11f0-8000-000000000000","event":"push","action":"","repository":"a/b","number":0,"received_at":"2026-01-01T00:00:00Z"}`)
			}
		},
	},
}

// Whatever happens to Redis: the service goes on accepting and working, delays nothing beyond two seconds, says what is
// wrong, and loses and doubles nothing.
func TestRedisMishaps(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	deliveries, gap := testenv.Pick(80, 4000), testenv.Pick(25*time.Millisecond, 150*time.Millisecond)
	seed := newSeed(t)
	// It measures, so it is not run beside the other scenarios, and no more than a few of these at a time.
	few := make(chan struct{}, 3)
	for _, m := range mishaps {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			few <- struct{}{}
			defer func() { <-few }()
			s := newStage(t, plan(seed, m.name), setup{engine: "redis", replicas: 2, orgs: 6, pulls: 8, binary: testenv.Binary(t), redis: m.config})
			s.open()
			healthy := func() bool {
				says := s.ready()
				return says == "" || strings.Contains(says, "may throw the queue away")
			}
			if !eventually(5*time.Second, healthy) {
				t.Errorf("Redis is not used: %s", s.ready())
			}
			before := s.post.answers()
			if m.before != nil {
				m.before(s)
			}
			said, began := 0, time.Now()
			for _, r := range s.replicas {
				said -= strings.Count(r.allLogs(), "Redis")
			}
			if m.says != "" && !eventually(5*time.Second, func() bool { return strings.Contains(s.ready(), m.says) }) {
				t.Errorf("/ready does not say %q of Redis but %q", m.says, s.ready())
			}
			s.play(deliveries, gap, func(step int) {
				if m.during != nil {
					m.during(s, step)
				}
			})
			took := time.Since(began)
			for _, r := range s.replicas {
				said += strings.Count(r.allLogs(), "Redis")
			}
			if m.after != nil {
				m.after(s)
			}
			if !eventually(10*time.Second, healthy) {
				t.Errorf("Redis is not used again: %s", s.ready())
			}
			s.settle(45 * time.Second)
			if m.quiet && said > 4+int(took.Seconds()*4) { // of two replicas
				t.Errorf("%d log lines about Redis in %v, want at most two a second and replica", said, took)
			}
			lag, err := s.lag()
			p99 := s.post.percentile(0.99)
			slow := 2 * time.Second // beside other tests on a busy machine: only that nobody waits for Redis to time out
			if testenv.Long() {
				slow = 500 * time.Millisecond
			}
			if err != nil || lag > 2*time.Second || p99 > slow {
				t.Errorf("deliveries waited at most %v for intake, %v, and 99 of 100 acknowledgements took at most %v; want 2s and %v", lag, err, p99, slow)
			}
			if after := s.post.answers(); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("answers other than 202: %v, before %v; want none because of Redis", after, before)
			}
			ids, _, _ := s.post.count()
			t.Logf("%d deliveries; taken within %v; 99 of 100 acknowledged within %v; %d log lines about it in %v", ids, lag.Round(time.Millisecond), p99.Round(time.Millisecond), said, took.Round(time.Second))
			if f := s.check(); len(f) > 0 {
				t.Errorf("Redis was %s:\n%s", m.name, f)
			}
		})
	}
}

// What Redis has written to its own file may be cut off or spoilt: an item that can't be read is put aside, and what it
// was about is taken from the database.
func TestRedisFileDamaged(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	seed := newSeed(t)
	for name, damage := range map[string]func(text []byte) []byte{
		"cut off": func(text []byte) []byte { return text[:max(0, len(text)-5000)] },
		"spoilt": func(text []byte) []byte {
			for n := range 5 { // inside of values, so that Redis itself notices nothing
				at := bytes.Index(text, []byte(`"delivery_id"`))
				if at < 0 {
					break
				}
				copy(text[at:], []byte{'"', 0xff, 0, 'x', byte('0' + n)})
			}
			return text
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, plan(seed, name), setup{
				engine: "redis", replicas: 2, orgs: 6, pulls: 6, binary: testenv.Binary(t),
				redis: []string{"--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"},
			})
			s.open()
			s.pause(true)
			s.play(60, 10*time.Millisecond, nil)
			if !eventually(10*time.Second, func() bool { return s.post.waiting() == 0 && s.hub.Waiting() == 0 }) {
				t.Error("GitHub's webhooks are still on their way")
			}
			wait, err := s.unprocessed(time.Time{})
			var n int64
			if err != nil || !eventually(5*time.Second, func() bool { n = s.redis.Client.LLen(ctx, queue).Val(); return n == int64(wait) }) {
				t.Errorf("LLEN %s = %d with the queue paused, want the %d that wait (%v)", queue, n, wait, err)
			}
			s.redis.Kill(t)
			files, err := filepath.Glob(filepath.Join(s.redis.Dir, "appendonlydir", "*.incr.aof"))
			if err != nil || len(files) != 1 {
				t.Fatalf("Redis's files: %v, %v", files, err)
			}
			text, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[0], damage(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s.redis.Start(t)
			left := s.redis.Client.LLen(ctx, queue).Val()
			s.pause(false)
			s.settle(45 * time.Second)
			t.Logf("%d items before, %d after", n, left)
			if f := s.check(); len(f) > 0 {
				t.Errorf("Redis's file was %s:\n%s", name, f)
			}
		})
	}
}

// A failover of Redis loses what the old primary had accepted and not yet passed on. Nothing depends on it.
func TestRedisFailover(t *testing.T) {
	if !testenv.Long() {
		t.Skip("takes minutes; run make chaos")
	}
	s := newStage(t, plan(newSeed(t), "failover"), setup{engine: "redis", replicas: 2, orgs: 6, pulls: 12, binary: testenv.Binary(t)})
	s.open()
	for round := range number("RUNS", 5) {
		primary := s.redis
		_, password, _ := strings.Cut(primary.URL, "://:")
		password, _, _ = strings.Cut(password, "@")
		replica := testenv.Redis(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", primary.Port), "--masterauth", password)
		if !eventually(10*time.Second, func() bool {
			return strings.Contains(replica.Client.Info(ctx, "replication").Val(), "master_link_status:up")
		}) {
			t.Fatal("the replica does not follow")
		}
		s.pause(true) // so that there is something in the list to be lost
		s.play(0, 5*time.Millisecond, nil)
		// From here on the replica hears of nothing, as one that lags.
		if err := replica.Client.Do(ctx, "REPLICAOF", "NO", "ONE").Err(); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			s.act()
			time.Sleep(5 * time.Millisecond)
		}
		before := primary.Client.LLen(ctx, queue).Val()
		primary.Kill(t)
		for _, args := range [][]any{{"CONFIG", "SET", "requirepass", password}, {"CONFIG", "SET", "port", fmt.Sprint(primary.Port)}} {
			if err := replica.Client.Do(ctx, args...).Err(); err != nil {
				t.Fatalf("promote the replica: %v: %v", args, err)
			}
		}
		client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", primary.Port), Password: password, MaxRetries: -1})
		t.Cleanup(func() { _ = client.Close() })
		after := client.LLen(ctx, queue).Val()
		replica.Client, replica.Port, replica.URL = client, primary.Port, primary.URL
		s.redis = replica
		s.pause(false)
		s.settle(60 * time.Second)
		if after >= before {
			t.Errorf("failover %d lost nothing of %d items: nothing is tested", round+1, before)
		}
		t.Logf("failover %d: %d items in the list before, %d after", round+1, before, after)
	}
	if f := s.check(); len(f) > 0 {
		t.Errorf("after failovers:\n%s", f)
	}
}

// pause orders every replica to take nothing up, or lifts that.
func (s *stage) pause(on bool) {
	s.t.Helper()
	value := ""
	if on {
		value = "by the test"
	}
	_, err := s.db.Exec("INSERT INTO settings (name, value, updated_at) VALUES ('paused', $1, 0) ON CONFLICT (name) DO UPDATE SET value = excluded.value", value)
	if err != nil {
		s.t.Fatalf("pause: %v", err)
	}
}

// ready is what the first replica's /ready says of Redis; "" when all is well.
func (s *stage) ready() string {
	text, err := s.ask(s.replicas[0], "GET", "/ready")
	if err != nil {
		return err.Error()
	}
	var answer struct {
		Checks map[string]struct{ Status, Detail string }
	}
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &answer); err != nil {
		return err.Error()
	}
	if c := answer.Checks["redis"]; c.Status != "ok" {
		return c.Status + ": " + c.Detail
	}
	return ""
}

// lag is the longest that a delivery has waited from its arrival until it was taken in.
func (s *stage) lag() (time.Duration, error) {
	var us int64
	err := s.db.QueryRow("SELECT coalesce(max(taken_at - received_at), 0) FROM webhook_logs").Scan(&us)
	return time.Duration(us) * time.Microsecond, err
}

// percentile is how long a part of the acknowledgements has taken at most.
func (p *post) percentile(part float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took) == 0 {
		return 0
	}
	all := slices.Sorted(slices.Values(p.took))
	return all[int(float64(len(all)-1)*part)]
}
