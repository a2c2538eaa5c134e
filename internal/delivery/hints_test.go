package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const queue = "queue:github-webhook"

// A shop is a desk with a Redis, and what a test does with both.
type shop struct {
	*desk
	t     *testing.T
	redis *testenv.RedisServer
	sent  int
}

// open starts a replica on a database and a Redis.
func open(t *testing.T, url string, r *testenv.RedisServer) *shop {
	t.Helper()
	s := &shop{desk: newDesk(t, url, r, delivery.Options{}, nil), t: t, redis: r}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.logs.String())
		}
	})
	s.run(t, true)
	return s
}

// well waits until the queue in Redis is used.
func (s *shop) well() {
	s.t.Helper()
	s.until(5*time.Second, "the queue in Redis is used", func() bool { _, trouble := s.hints.Trouble(); return !trouble })
}

func (s *shop) until(atMost time.Duration, what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(atMost); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("after %v still not: %s", atMost, what)
		}
	}
}

// send hands deliveries in and returns how long the slowest took.
func (s *shop) send(n int) (slowest time.Duration) {
	s.t.Helper()
	for range n {
		s.sent++
		body := fmt.Appendf(nil, `{"number":%d}`, s.sent)
		began := time.Now()
		r, err := s.inbox.Accept(s.t.Context(), pull.Delivery{
			ID: fmt.Sprintf("d-%05d", s.sent), Body: body,
			Hint: pull.Hint{Event: "pull_request", Action: "opened", Repo: pull.Repo{ID: 1, Owner: "octo", Name: "app"}, Numbers: []int{s.sent}},
		})
		if err != nil || r.Duplicate {
			s.t.Fatalf("delivery %d: %v, %v", s.sent, r, err)
		}
		slowest = max(slowest, time.Since(began))
	}
	return slowest
}

func (s *shop) length() int64 {
	s.t.Helper()
	n, err := s.redis.Client.LLen(s.t.Context(), queue).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *shop) waiting() int {
	s.t.Helper()
	w, err := s.store.Waiting(s.t.Context(), s.store.Now(), 100_000)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(w)
}

func (s *shop) taken() {
	s.t.Helper()
	s.until(5*time.Second, "everything is taken", func() bool { return s.waiting() == 0 })
}

func (s *shop) pause() {
	s.t.Helper()
	if err := s.store.Pause(s.t.Context(), "the test"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) resume() {
	s.t.Helper()
	if err := s.store.Resume(s.t.Context(), "the test"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) do(args ...any) {
	s.t.Helper()
	if err := s.redis.Client.Do(s.t.Context(), args...).Err(); err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
}

func (s *shop) says(part string) {
	s.t.Helper()
	s.until(15*time.Second, "health says "+part, func() bool { what, _ := s.hints.Trouble(); return strings.Contains(what, part) })
}

// TestListIsTheQueue: while the queue is paused the list holds exactly what waits, oldest at the left, in words that a
// person can read; and it is empty once everything is taken.
func TestListIsTheQueue(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	testenv.Engines(t, func(t *testing.T, url string) {
		s := open(t, url, testenv.Redis(t))
		s.well()
		s.send(20)
		s.taken()
		s.until(2*time.Second, "the list is empty", func() bool { return s.length() == 0 })
		s.pause()
		s.send(150)
		s.until(2*time.Second, "LLEN is 150", func() bool { return s.length() == 150 })
		text, err := s.redis.Client.LPop(t.Context(), queue).Result()
		if err != nil {
			t.Fatal(err)
		}
		var item map[string]any
		if err := json.Unmarshal([]byte(text), &item); err != nil {
			t.Fatal(err)
		}
		received, err := time.Parse(time.RFC3339Nano, fmt.Sprint(item["received_at"]))
		if item["v"] != 1.0 || item["delivery_id"] != "d-00021" || item["event"] != "pull_request" || item["action"] != "opened" ||
			item["repository"] != "octo/app" || item["number"] != 21.0 || err != nil || time.Since(received).Abs() > time.Minute {
			t.Errorf("the oldest item is %s", text)
		}
		time.Sleep(3 * time.Second) // several looks into the database and at Redis
		if n, w := s.length(), s.waiting(); n != 149 || w != 150 {
			t.Errorf("3 s later %d items and %d waiting deliveries, want 149 and 150", n, w)
		}
		s.resume()
		s.until(3*time.Second, "all but the popped one are taken", func() bool { return s.waiting() <= 1 })
		s.until(2500*time.Millisecond, "the popped one is taken, since the list is empty", func() bool { return s.waiting() == 0 && s.length() == 0 })
	})
}

// TestTwoReplicasShareTheList: each item is taken once, whoever put it in.
func TestTwoReplicasShareTheList(t *testing.T) {
	url, r := testenv.Postgres(t), testenv.Redis(t)
	a, b := open(t, url, r), open(t, url, r)
	b.sent = 50_000
	a.well()
	b.well()
	a.pause()
	a.send(100)
	b.send(100)
	a.until(2*time.Second, "LLEN is 200", func() bool { return a.length() == 200 })
	time.Sleep(1500 * time.Millisecond)
	if n := a.length(); n != 200 {
		t.Errorf("a second and a half later LLEN is %d, want 200 still", n)
	}
	a.resume()
	a.taken()
	a.until(2*time.Second, "the list is empty", func() bool { return a.length() == 0 })
	var work int64
	if due, err := a.store.Due(t.Context(), 1000); err != nil || len(due) != 200 {
		t.Errorf("%d keys are due, %v; want 200", len(due), err)
	} else {
		for _, w := range due {
			work += w.Gen
		}
	}
	if work != 200 {
		t.Errorf("200 deliveries were taken in %d times", work)
	}
}

// TestRedisGone: a dead or frozen Redis delays nothing, is said once, and finds its list filled up when it is back.
func TestRedisGone(t *testing.T) {
	for _, how := range []string{"killed", "frozen"} {
		t.Run(how, func(t *testing.T) {
			s := open(t, testenv.SQLite(t), testenv.Redis(t))
			s.well()
			if how == "killed" {
				s.redis.Kill(t)
			} else {
				s.redis.Signal(t, syscall.SIGSTOP)
			}
			slowest := s.send(50)
			s.until(3*time.Second, "everything is taken without Redis", func() bool { return s.waiting() == 0 })
			s.says("Redis does not answer")
			began := time.Now()
			slowest = max(slowest, s.send(50))
			s.until(2*time.Second, "everything is taken without Redis", func() bool { return s.waiting() == 0 })
			t.Logf("slowest acknowledgement %v; 50 deliveries taken in %v", slowest, time.Since(began))
			s.pause()
			s.send(30)
			if how == "killed" {
				s.redis.Start(t)
			} else {
				s.redis.Signal(t, syscall.SIGCONT)
			}
			s.until(4*time.Second, "the list is filled up", func() bool { return s.length() == 30 })
			items, err := s.redis.Client.LRange(t.Context(), queue, 0, -1).Result()
			for i, text := range items {
				if !strings.Contains(text, fmt.Sprintf(`"d-%05d"`, 101+i)) {
					t.Fatalf("item %d is %s, %v: the oldest must be at the left", i, text, err)
				}
			}
			if n := s.logs.count("level=ERROR"); n > 2 {
				t.Errorf("%d lines were logged as errors for one outage, want one or two", n)
			}
			s.resume()
			s.taken()
		})
	}
}

// TestListFlushed: a list that is flushed while it is long is filled up; under load nothing waits for longer than two
// seconds.
func TestListFlushed(t *testing.T) {
	s := open(t, testenv.SQLite(t), testenv.Redis(t))
	s.well()
	s.pause()
	s.send(40)
	s.until(2*time.Second, "LLEN is 40", func() bool { return s.length() == 40 })
	s.do("FLUSHALL")
	s.send(5)
	s.until(3*time.Second, "the list is filled up", func() bool { return s.length() == 45 })
	s.resume()
	s.taken()
	for range 5 {
		s.send(20)
		s.do("FLUSHALL")
		s.send(20)
		s.until(2*time.Second, "what was flushed is taken", func() bool { return s.waiting() == 0 })
	}
}

// TestListIsNotAsItShouldBe: whatever somebody does to Redis, deliveries are taken, nobody else's data is touched, and
// health says what is wrong.
func TestListIsNotAsItShouldBe(t *testing.T) {
	s := open(t, testenv.SQLite(t), testenv.Redis(t))
	s.well()
	served := func(what string) {
		t.Helper()
		s.send(10)
		s.until(2*time.Second, "taken with "+what, func() bool { return s.waiting() == 0 })
	}

	s.do("SET", queue, "somebody's")
	served("another type at the key")
	s.says("holds something else than a list")
	served("another type at the key")
	if v, err := s.redis.Client.Get(t.Context(), queue).Result(); v != "somebody's" {
		t.Errorf("the key holds %q, %v; want what somebody put there", v, err)
	}
	s.do("DEL", queue)
	s.well()
	served("the key freed")

	junk := make([]any, 0, 10_002)
	junk = append(junk, "RPUSH", queue)
	for i := range 10_000 {
		junk = append(junk, fmt.Sprintf(`{"foreign":%d}`, i))
	}
	s.do(junk...)
	served("junk in the list")
	s.until(3*time.Second, "the junk is out of the way", func() bool { return s.length() == 0 })
	if n, err := s.redis.Client.LLen(t.Context(), "github-pr-manager:junk").Result(); n != 1000 || err != nil {
		t.Errorf("%d entries are put aside, %v; want the last 1000", n, err)
	}
	if n := s.logs.count("somebody else has put entries"); n != 1 {
		t.Errorf("the junk was logged %d times, want once", n)
	}

	s.do("CONFIG", "SET", "maxmemory", "1")
	served("Redis full")
	s.says("Redis is full")
	served("Redis full")
	s.do("CONFIG", "SET", "maxmemory", "0")
	s.well()

	s.do("REPLICAOF", "127.0.0.1", "1")
	served("Redis a replica")
	s.says("read-only replica")
	served("Redis a replica")
	s.do("REPLICAOF", "NO", "ONE")
	s.well()

	s.do("CONFIG", "SET", "requirepass", "another")
	s.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	served("the password changed")
	s.says("does not accept the password")
	s.do("CONFIG", "SET", "requirepass", "")
	if n := s.logs.count("another"); n > 0 {
		t.Error("the log shows a password")
	}
}

// TestFullRedisDrains: what is in the list when Redis is full still comes out of it.
func TestFullRedisDrains(t *testing.T) {
	s := open(t, testenv.SQLite(t), testenv.Redis(t))
	s.well()
	s.pause()
	s.send(50)
	s.until(2*time.Second, "LLEN is 50", func() bool { return s.length() == 50 })
	s.do("CONFIG", "SET", "maxmemory", "1")
	s.says("Redis is full")
	s.resume()
	s.taken()
	s.until(3*time.Second, "the list is empty", func() bool { return s.length() == 0 })
}

// TestEvictionIsSaid: a Redis that may throw the queue away is reported, loudly and once.
func TestEvictionIsSaid(t *testing.T) {
	s := open(t, testenv.SQLite(t), testenv.Redis(t, "--maxmemory-policy", "allkeys-lru"))
	s.says("maxmemory-policy is allkeys-lru")
	s.send(10)
	s.taken()
	if n := s.logs.count("may throw the queue away"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

// TestCommandsAreAllThatIsNeeded: a user of Redis who may use what docs/operating.md names, and nothing else, can do all that
// the list ever needs.
func TestCommandsAreAllThatIsNeeded(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "operating.md"))
	if err != nil || !strings.Contains(string(text), delivery.Commands) {
		t.Errorf("docs/operating.md does not name %s (%v)", delivery.Commands, err)
	}
	r := testenv.Redis(t)
	acl := []any{"ACL", "SETUSER", "clerk", "on", ">word", "~" + queue, "~github-pr-manager:*", "-@all"}
	for command := range strings.SplitSeq(strings.ToLower(delivery.Commands), ", ") {
		acl = append(acl, "+"+command)
	}
	if err := r.Client.Do(t.Context(), acl...).Err(); err != nil {
		t.Fatal(err)
	}
	limited := *r
	limited.URL = fmt.Sprintf("redis://clerk:word@127.0.0.1:%d", r.Port)
	s := open(t, testenv.SQLite(t), &limited)
	s.well()
	s.do("RPUSH", queue, "nonsense")
	s.send(5)
	s.taken()
	s.until(2*time.Second, "what is no item is put aside", func() bool {
		n, err := r.Client.LLen(t.Context(), "github-pr-manager:junk").Result()
		return err == nil && n == 1
	})
	s.pause()
	s.send(5)
	s.until(2*time.Second, "the items are in the list", func() bool { return s.length() == 5 })
	s.do("LPOP", queue)
	s.do("RPUSH", queue, delivery.Item{V: 1, DeliveryID: "nobody's"}.String())
	s.do("DEL", "github-pr-manager:epoch:"+queue) // as after a flush: the list is compared
	s.until(5*time.Second, "the list says again what waits", func() bool {
		there, err := r.Client.LRange(t.Context(), queue, 0, -1).Result()
		return err == nil && len(there) == 5 && !strings.Contains(strings.Join(there, ""), "nobody's")
	})
	if what, trouble := s.hints.Trouble(); trouble {
		t.Errorf("at the end: %s", what)
	}
	s.until(2*time.Second, "the right to fill the list up is given back", func() bool {
		n, err := r.Client.Exists(t.Context(), "github-pr-manager:refill:"+queue).Result()
		return err == nil && n == 0
	})
	s.resume()
	s.taken()
}

// TestHintsRefuseAURL: the error says what is wanted and shows no password.
func TestHintsRefuseAURL(t *testing.T) {
	_, err := delivery.NewHints(nil, nil, nil, delivery.HintOptions{URL: "http://:hunter2@x:y"})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "REDIS_URL") {
		t.Errorf("NewHints = %v", err)
	}
}

// TestPausedWhileTaking: the queue is paused just when a batch was taken, some of whose items named nothing that waits.
// The list still says what waits, for as long as the pause lasts.
func TestPausedWhileTaking(t *testing.T) {
	testenv.Engines(t, func(t *testing.T, url string) {
		s := &shop{t: t, redis: testenv.Redis(t)}
		var armed atomic.Bool
		s.desk = newDesk(t, url, s.redis, delivery.Options{}, func(op string, committed bool) error {
			if op == "intake" && committed && armed.CompareAndSwap(true, false) {
				return s.store.Pause(context.Background(), "the test")
			}
			return nil
		})
		s.run(t, true)
		s.well()
		s.pause()
		began := time.Now()
		s.until(5*time.Second, "the list was compared with the database, as at every start", func() bool { return time.Since(began) > time.Second })
		s.send(3)
		s.until(2*time.Second, "LLEN is 3", func() bool { return s.length() == 3 })
		for range 2 {
			s.do("RPUSH", queue, `{"v":1,"delivery_id":"nobody knows it"}`)
		}
		armed.Store(true)
		s.resume()
		s.until(5*time.Second, "it is paused again", func() bool { return !armed.Load() })
		if n := s.waiting(); n != 0 {
			t.Fatalf("%d wait, want all of them taken", n)
		}
		s.send(1)
		s.until(2*time.Second, "LLEN is 1", func() bool { return s.length() == 1 })
	})
}

// TestRefillKeepsTheOrder: what got lost in the middle or at the end of the list comes back to its place: LPOP takes the
// oldest.
func TestRefillKeepsTheOrder(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/db", testenv.Redis(t))
	s.well()
	s.pause()
	s.send(8)
	s.until(2*time.Second, "LLEN is 8", func() bool { return s.length() == 8 })
	for _, lost := range []int64{7, 6, 4, 3, 0} {
		text, err := s.redis.Client.LIndex(t.Context(), queue, lost).Result()
		if err != nil {
			t.Fatal(err)
		}
		s.do("LREM", queue, 1, text)
	}
	s.do("DEL", "github-pr-manager:epoch:"+queue)
	s.until(3*time.Second, "LLEN is 8 again", func() bool { return s.length() == 8 })
	for n := range 8 {
		text, err := s.redis.Client.LPop(t.Context(), queue).Result()
		if err != nil {
			t.Fatal(err)
		}
		if i, err := delivery.ParseItem(text); err != nil || i.DeliveryID != fmt.Sprintf("d-%05d", n+1) {
			t.Errorf("LPOP %d took %s, %v", n+1, text, err)
		}
	}
}
