package chaos

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// behind starts the first release behind HAProxy and sends everything to that, over plain HTTP and TLS in turn.
func (s *stage) behind() {
	s.t.Helper()
	s.open()
	s.list(false)
	s.post.client = s.haproxy.Client()
	s.post.aim(s.haproxy.URL, s.haproxy.TLS)
}

// list tells HAProxy's name server of the replicas of a release, and waits until HAProxy finds them ready.
func (s *stage) list(green bool) {
	s.t.Helper()
	var numbers []int
	for i, r := range s.replicas {
		if r.green == green {
			numbers = append(numbers, i+1)
		}
	}
	s.haproxy.Names(colour(green), numbers...)
	s.haproxy.Await(s.t, colour(green), len(numbers))
}

func colour(green bool) string {
	if green {
		return "green"
	}
	return "blue"
}

// restart replaces a replica as a deployment does, and returns when HAProxy has it back.
func (s *stage) restart(r *replica) {
	s.t.Helper()
	s.stop(r)
	r.start()
	r.ready()
	s.haproxy.Await(s.t, colour(r.green), len(s.release(r.green)))
}

// stop ends a replica in order.
func (s *stage) stop(r *replica) {
	s.t.Helper()
	r.doing = "down"
	if code, took := r.p.Stop(s.t); code != 0 || took > 25*time.Second {
		s.t.Errorf("SIGTERM to replica %s: exit %d after %v, want 0 within 25s", r.name, code, took)
	}
}

// rotate changes the webhook secret in the order of the runbook: the new one beside the old, then GitHub, then the old one
// away once nobody has used it for a while.
func (s *stage) rotate() {
	s.t.Helper()
	old, next := s.post.secret, "canary-webhook-"+strconv.FormatUint(s.plan.Uint64(), 36)
	s.secrets["WEBHOOK_SECRET "+strconv.Itoa(len(s.secrets))] = next
	s.reload(next, old)
	before := s.signed("0")
	s.post.sign(next)
	if !eventually(10*time.Second, func() bool { return s.signed("0") > before+20 }) {
		s.t.Errorf("signed with the new secret are %v after 10s, and were %v", s.signed("0"), before)
	}
	used := -1.0
	if !eventually(20*time.Second, func() bool {
		now := s.signed("1")
		same := now == used
		used = now
		time.Sleep(500 * time.Millisecond)
		return same
	}) {
		s.t.Errorf("the old secret is still used 20s after nobody signs with it")
	}
	s.reload(next)
}

// reload gives all replicas other secrets.
func (s *stage) reload(secrets ...string) {
	s.t.Helper()
	s.keepSecret(secrets...)
	for _, r := range s.replicas {
		if r.p == nil || !r.p.Running() {
			continue
		}
		const line = "reloaded secrets and certificates"
		before := strings.Count(r.p.Logs(), line)
		r.signal(syscall.SIGHUP)
		if !eventually(10*time.Second, func() bool { return strings.Count(r.p.Logs(), line) > before }) {
			s.t.Fatalf("replica %s has not reloaded 10s after SIGHUP", r.name)
		}
	}
}

// signed is how many deliveries were accepted with the secret in a place, by all replicas that run.
func (s *stage) signed(slot string) (n float64) {
	for _, r := range s.replicas {
		if r.p != nil && r.p.Running() {
			n += max(0, r.metric(`github_webhook_secret_used_total{slot="`+slot+`"}`))
		}
	}
	return n
}

// received is how many webhooks the replicas of a release have been sent.
func (s *stage) received(green bool) (n float64) {
	s.t.Helper()
	for _, r := range s.release(green) {
		if r.p == nil || !r.p.Running() {
			continue
		}
		text, err := s.ask(r, http.MethodGet, "/metrics")
		if err != nil {
			s.t.Fatalf("metrics of replica %s: %v", r.name, err)
		}
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "github_webhooks_total{"); ok {
				var v float64
				if json.Unmarshal([]byte(strings.TrimSpace(rest[strings.LastIndex(rest, "}")+1:])), &v) == nil {
					n += v
				}
			}
		}
	}
	return n
}

// later builds the release after this one: the same program, which knows one step of the schema more. With two real
// releases, TEST_BINARY names the earlier one and TEST_LATER_BINARY the later.
func later(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("TEST_LATER_BINARY"); path != "" {
		return path
	}
	root := testenv.Root(t)
	steps, err := filepath.Glob(filepath.Join(root, "migrations", "0*.sql"))
	if err != nil || len(steps) == 0 {
		t.Fatalf("there are no migrations: %v", err)
	}
	dir := t.TempDir()
	step := filepath.Join(dir, "step.sql")
	// What a later release may do to tables of which an earlier one knows less.
	text := `ALTER TABLE webhook_logs ADD COLUMN IF NOT EXISTS later bigint NOT NULL DEFAULT 7;
ALTER TABLE work ADD COLUMN IF NOT EXISTS later text;
ALTER TABLE ledger ADD COLUMN IF NOT EXISTS later text NOT NULL DEFAULT '';
CREATE INDEX IF NOT EXISTS webhook_logs_later ON webhook_logs (later, received_at);
CREATE TABLE IF NOT EXISTS later (id text PRIMARY KEY, at bigint NOT NULL);
`
	if err := os.WriteFile(step, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(root, "migrations", fmt.Sprintf("%03d_later.sql", len(steps)+1))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{name: step}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	return testenv.Build(t, "-overlay", list)
}

// more are the answers that have been added between two moments. Those before the first are of replicas that were starting.
func more(before, after map[int]int) map[int]int {
	out := map[int]int{}
	for status, n := range after {
		if n > before[status] {
			out[status] = n - before[status]
		}
	}
	return out
}

// schema is the version that a service says it runs on.
func (s *stage) schema(url string) string {
	s.t.Helper()
	resp, err := quick.Get(url + "/ready")
	if err != nil {
		s.t.Errorf("GET %s/ready: %v", url, err)
		return ""
	}
	defer resp.Body.Close()
	var answer struct {
		Checks map[string]struct{ Detail string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Errorf("GET %s/ready: %s, %v", url, resp.Status, err)
	}
	return answer.Checks["migrations"].Detail
}

// deploy brings the second release up beside the first on the same data, gives it the traffic, lets the first one die,
// and goes back to it. The first time, that brings the schema up.
func (s *stage) deploy(first bool) {
	s.t.Helper()
	t, green := s.t, s.release(true)
	before := s.schema(s.replicas[0].url())
	if r := s.haproxy.Switch(t, "green"); r.Code != 1 || !strings.Contains(r.Stderr, "no replica that is ready") {
		t.Errorf("switch to a release that does not run: exit %d, %s%s; want 1 and why", r.Code, r.Stdout, r.Stderr)
	}
	for _, r := range green {
		r.start()
	}
	for _, r := range green {
		r.ready()
	}
	s.list(true)
	if after := s.schema(s.haproxy.Green); first && after == before || after == "" {
		t.Errorf("the second release is on %q, the first on %q; want one step of the schema more", after, before)
	}
	if n := s.received(true); n != 0 {
		t.Errorf("before the switch the second release got %v webhooks, want none", n)
	}

	to := s.haproxy.Switch(t, "green")
	if to.Code != 0 {
		t.Errorf("switch to the second release: exit %d, %s%s", to.Code, to.Stdout, to.Stderr)
	}
	drained := s.received(false)
	if !eventually(15*time.Second, func() bool { return s.received(true) > 200 }) {
		t.Errorf("the second release has got %v webhooks 15s after it was given the traffic", s.received(true))
	}
	if n := s.received(false); n != drained {
		t.Errorf("the first release got %v webhooks after it was drained, want none", n-drained)
	}

	for _, r := range s.release(false) {
		r.kill()
		r.doing = "down"
	}
	s.haproxy.Await(t, "blue", 0)
	if r := s.haproxy.Switch(t, "blue"); r.Code != 1 || !strings.Contains(r.Stderr, "green has the traffic") {
		t.Errorf("switch to a release that is dead: exit %d, %s%s; want 1, and that green keeps the traffic", r.Code, r.Stdout, r.Stderr)
	}
	for _, r := range s.release(false) {
		r.start()
	}
	for _, r := range s.release(false) {
		r.ready()
	}
	s.list(false)
	back := s.haproxy.Switch(t, "blue")
	if back.Code != 0 {
		t.Errorf("switch back: exit %d, %s%s", back.Code, back.Stdout, back.Stderr)
	}
	for _, r := range green {
		s.stop(r)
	}
	s.haproxy.Names("green")
	t.Logf("switched in %v and back in %v, drained", to.Took.Round(time.Millisecond), back.Took.Round(time.Millisecond))
}

// renew changes the certificate of HAProxy and has it read again.
func (s *stage) renew() {
	s.t.Helper()
	serial := s.haproxy.Certify(s.t)
	s.haproxy.Reload(s.t)
	s.haproxy.Await(s.t, "blue", len(s.release(false)))
	c, err := tls.Dial("tcp", strings.TrimPrefix(s.haproxy.TLS, "https://"), s.haproxy.Client().Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		s.t.Errorf("TLS after the renewal: %v", err)
		return
	}
	defer c.Close()
	if got := c.ConnectionState().PeerCertificates[0].SerialNumber; got.Cmp(serial) != 0 {
		s.t.Errorf("the certificate that is served has number %v after the renewal, want %v", got, serial)
	}
}

// What an operator does to a service that runs, nobody outside notices: replicas are replaced one by one, the webhook secret
// and the certificate change, a release with another schema gets the traffic and loses it again, under 200 deliveries a
// second by plain HTTP and TLS.
func TestDeploymentsUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes most of a minute")
	}
	duration := testenv.Pick(0, 3*time.Minute)
	s := newStage(t, plan(newSeed(t), "deployments"), setup{
		engine: "redis", replicas: 3, green: 3, orgs: 6, pulls: 12, binary: testenv.Binary(t), later: later(t), haproxy: true,
	})
	s.behind()
	s.play(20, 20*time.Millisecond, nil)
	before, unheard := s.post.answers(), s.post.unheard

	stop := make(chan struct{})
	var sent atomic.Int64
	var sender sync.WaitGroup
	began := time.Now()
	sender.Go(func() { sent.Store(int64(s.post.flood(200, stop))) })
	rounds := 0
	for rounds == 0 || time.Since(began) < duration {
		for _, r := range s.release(false) {
			s.restart(r)
		}
		s.rotate()
		s.deploy(rounds == 0)
		s.renew()
		rounds++
	}
	took := time.Since(began)
	close(stop)
	sender.Wait()
	settled := s.settle(60 * time.Second)
	answers := more(before, s.post.answers())
	t.Logf("%d rounds in %v, %d deliveries, worst acknowledgement %v, answers other than 202: %v, settled %v",
		rounds, took.Round(time.Second), sent.Load(), s.post.worst.Round(time.Millisecond), answers, settled.Round(100*time.Millisecond))
	if len(answers) > 0 || s.post.unheard != unheard {
		t.Errorf("answers other than 202, by status: %v; connections that nobody took: %d; want none", answers, s.post.unheard-unheard)
	}
	if sent.Load() < int64(took.Seconds()*150) {
		t.Errorf("only %d deliveries in %v: too few to prove anything", sent.Load(), took)
	}
	if f := s.check(); len(f) > 0 {
		t.Errorf("after %d rounds:\n%s", rounds, f)
	}
}

// A replica that dies under load takes along what it was about to answer. HAProxy gives that to another one.
func TestAReplicaDiesBehindHAProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	s := newStage(t, plan(newSeed(t), "dies"), setup{engine: "redis", replicas: 3, orgs: 4, pulls: 8, binary: testenv.Binary(t), haproxy: true})
	s.behind()
	s.play(20, 20*time.Millisecond, nil)
	before, unheard := s.post.answers(), s.post.unheard
	stop := make(chan struct{})
	var sent atomic.Int64
	var sender sync.WaitGroup
	sender.Go(func() { sent.Store(int64(s.post.flood(200, stop))) })
	kills := testenv.Pick(6, 60)
	for i := range kills {
		r := s.replicas[i%3]
		time.Sleep(time.Duration(s.plan.Int64N(int64(200 * time.Millisecond))))
		r.kill()
		s.keep()
		r.ready()
		s.haproxy.Await(t, "blue", 3)
	}
	close(stop)
	sender.Wait()
	s.settle(60 * time.Second)
	answers := more(before, s.post.answers())
	t.Logf("%d kills, %d deliveries, worst acknowledgement %v, answers other than 202: %v", kills, sent.Load(), s.post.worst.Round(time.Millisecond), answers)
	if len(answers) > 0 || s.post.unheard != unheard {
		t.Errorf("answers other than 202, by status: %v; connections that nobody took: %d; want none", answers, s.post.unheard-unheard)
	}
	if f := s.check(); len(f) > 0 {
		t.Errorf("after %d kills:\n%s", kills, f)
	}
}
