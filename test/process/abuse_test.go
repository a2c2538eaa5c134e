package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// What strangers can do to the service from outside, tried on the built binary over real sockets, while GitHub's own
// deliveries have to go through. Every test says in numbers what it cost. TEST_LONG=1 runs the long forms.

// abuse marks a test that measures under load: it does not run beside others, nor in a quick check.
func abuse(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("puts the machine under load for seconds")
	}
}

// A traffic is what GitHub sends meanwhile: signed deliveries at a steady rate, each of which must be kept.
type traffic struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	took    []time.Duration
	refused map[int]int

	service         *testenv.Process
	began           time.Time
	machine, wanted time.Duration // processor time at the beginning: everybody's, and the service's with the test's own
}

// sendGood sends so many deliveries a second, each when its time has come, whether or not those before it are answered.
func sendGood(t *testing.T, p *testenv.Process, perSecond int) *traffic {
	ctx, stop := context.WithCancel(t.Context())
	g := &traffic{stop: stop, refused: map[int]int{}, service: p, began: time.Now()}
	g.machine, g.wanted = processorTime(t, p)
	run := int(time.Now().UnixNano() & 0xffffffff)
	g.done.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			g.done.Go(func() {
				began := time.Now()
				status := deliver(p.URL, secret, deliveryID(run, n), pullRequest(n%50))
				took := time.Since(began)
				g.mu.Lock()
				defer g.mu.Unlock()
				g.took = append(g.took, took)
				if status != http.StatusAccepted {
					g.refused[status]++
				}
			})
		}
	})
	t.Cleanup(stop)
	return g
}

// processorTime is what all processes of the machine have used, and of it the service and the test with its attackers.
func processorTime(t *testing.T, p *testenv.Process) (all, ours time.Duration) {
	t.Helper()
	var user, nice, system int64
	if _, err := fmt.Sscanf(readFile(t, "/proc/stat"), "cpu %d %d %d", &user, &nice, &system); err != nil {
		t.Fatalf("/proc/stat: %v", err)
	}
	ours = p.CPU(t)
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			t.Fatal(err)
		}
		ours += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return time.Duration(user+nice+system) * 10 * time.Millisecond, ours
}

// end stops the traffic and checks that all of it was kept, in time. What is promised is promised for a machine that has
// nothing else to do: while others use it, the time that they take is not the service's, and five times as long is allowed.
func (g *traffic) end(t *testing.T, most time.Duration) {
	t.Helper()
	g.stop()
	g.done.Wait()
	if len(g.took) == 0 || len(g.refused) > 0 {
		t.Errorf("GitHub's deliveries: %d sent, not kept by status: %v, want none", len(g.took), g.refused)
		return
	}
	slices.Sort(g.took)
	p99 := g.took[len(g.took)*99/100]
	all, ours := processorTime(t, g.service)
	others := ((all - g.machine) - (ours - g.wanted)).Seconds() / time.Since(g.began).Seconds()
	if others > 0.3 {
		most *= 5
	}
	t.Logf("GitHub's deliveries: %d, all kept, p50 %v, p99 %v, slowest %v; others used %.2f cores meanwhile", len(g.took),
		g.took[len(g.took)/2].Round(time.Millisecond), p99.Round(time.Millisecond), g.took[len(g.took)-1].Round(time.Millisecond), max(0, others))
	if p99 > most {
		t.Errorf("GitHub's deliveries: p99 %v, want at most %v", p99, most)
	}
}

// A watch keeps the highest memory that a process has.
type watch struct {
	peak atomic.Int64
	stop chan struct{}
	done sync.WaitGroup
}

func watchMemory(t *testing.T, p *testenv.Process) *watch {
	w := &watch{stop: make(chan struct{})}
	w.peak.Store(p.RSS(t))
	w.done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				w.peak.Store(max(w.peak.Load(), p.RSS(t)))
			}
		}
	})
	return w
}

func (w *watch) end() int64 {
	close(w.stop)
	w.done.Wait()
	return w.peak.Load()
}

func address(p *testenv.Process) string { return strings.TrimPrefix(p.URL, "http://") }

// head is the beginning of a webhook request, up to its last header.
func head(signature string, more ...string) string {
	return "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: a\r\n" +
		"X-Hub-Signature-256: " + signature + "\r\n" + strings.Join(more, "")
}

// statusOf reads one answer; 0 when the connection ended without one.
func statusOf(c net.Conn) int {
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func TestHugeUnsignedBodies(t *testing.T) {
	abuse(t)
	const mostMemory = 400 << 20
	p := testenv.Start(t, testenv.Options{Env: working(t, "LOG_LEVEL=warn")})
	memory, good, before := watchMemory(t, p), sendGood(t, p, 40), p.CPU(t)
	r := attack(t, p, "huge", testenv.Pick(6*time.Second, time.Minute))
	peak, used := memory.end(), p.CPU(t)-before
	t.Logf("%d senders of 25 MB: answers %v, 503 after %v (p50) and %v (p99), memory at most %d MB, processor time %v of the service, %v of the senders",
		hugeSenders, r.Answers, r.P50.Round(time.Millisecond), r.P99.Round(time.Millisecond), peak>>20, used, r.cpu)
	good.end(t, time.Second)
	if r.Answers[503] == 0 || r.Answers[401]+r.Answers[429] == 0 || r.Answers[202] > 0 {
		t.Errorf("answers to bodies of 25 MB with a wrong signature: %v, want some 401 or 429, and 503 for those without room", r.Answers)
	}
	if peak > mostMemory {
		t.Errorf("memory: %d MB at most, want under %d", peak>>20, mostMemory>>20)
	}
	if r.P99 > 2*time.Second {
		t.Errorf("a body without room is refused after %v (p99), want at once", r.P99)
	}
}

// Thousands who send next to nothing: each is cut when its time is over, however busily it dribbles.
func TestSlowHeadersAndBodiesAreCut(t *testing.T) {
	abuse(t)
	each := testenv.Pick(700, 5000)
	p := testenv.Start(t, testenv.Options{Env: working(t, "LOG_LEVEL=warn")})
	kinds := []struct {
		name, first string
		after       time.Duration // of silence or dribbling
	}{
		{"slow headers", "POST /webhook HTTP/1.1\r\nHost: x\r\nX-Slow: ", 5 * time.Second},
		{"slow bodies", head(testenv.Sign(secret, nil), "Content-Length: 100000\r\n\r\n{"), 8 * time.Second},
	}
	if !testenv.Long() { // in the long form these would be more sockets than a process has
		kinds = append(kinds, []struct {
			name, first string
			after       time.Duration
		}{
			{"silence", "", 5 * time.Second},
			{"slow chunks", head(testenv.Sign(secret, nil), "Transfer-Encoding: chunked\r\n\r\nffff\r\n{"), 8 * time.Second},
			{"slow unsigned bodies", head("none", "Content-Length: 100000\r\n\r\n{"), 8 * time.Second},
		}...)
	}
	good, memory := sendGood(t, p, 40), watchMemory(t, p)
	var wg sync.WaitGroup
	var mu sync.Mutex
	type result struct{ first, last time.Duration }
	results := map[string]result{}
	opened := 0
	for _, k := range kinds {
		for range each {
			c, err := net.DialTimeout("tcp", address(p), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			opened++
			wg.Go(func() {
				defer c.Close()
				_, _ = io.WriteString(c, k.first)
				ended := make(chan struct{})
				go func() {
					_ = c.SetReadDeadline(began.Add(30 * time.Second))
					_, _ = io.Copy(io.Discard, c) // an answer, then the end
					close(ended)
				}()
				dribble := time.NewTicker(2 * time.Second)
				defer dribble.Stop()
				for {
					select {
					case <-dribble.C:
						if k.first != "" {
							_, _ = io.WriteString(c, "1")
						}
						continue
					case <-ended:
					}
					break
				}
				took := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				r, ok := results[k.name]
				if !ok || took < r.first {
					r.first = took
				}
				r.last = max(r.last, took)
				results[k.name] = r
			})
		}
	}
	wg.Wait()
	peak := memory.end()
	for _, k := range kinds {
		r := results[k.name]
		t.Logf("%d times %s: cut after %v to %v", each, k.name, r.first.Round(10*time.Millisecond), r.last.Round(10*time.Millisecond))
		if r.last > k.after+2*time.Second {
			t.Errorf("%s: the last is cut after %v, want %v", k.name, r.last, k.after)
		}
		if r.first < k.after-time.Second && !strings.Contains(k.name, "unsigned") {
			t.Errorf("%s: the first is cut after %v: the test does not send what it means to", k.name, r.first)
		}
	}
	t.Logf("%d connections, memory at most %d MB", opened, peak>>20)
	good.end(t, time.Second)
	if peak > 400<<20 {
		t.Errorf("memory: %d MB at most, want under 400", peak>>20)
	}
}

func TestFloodOfWrongSignatures(t *testing.T) {
	abuse(t)
	p := testenv.Start(t, testenv.Options{Env: working(t, "LOG_LEVEL=warn")})
	good, memory, before := sendGood(t, p, 40), watchMemory(t, p), p.CPU(t)
	took := testenv.Pick(10*time.Second, time.Minute)
	r := attack(t, p, "flood", took)
	used, peak := p.CPU(t)-before, memory.end()
	good.end(t, time.Second)
	sent := r.Answers[401] + r.Answers[429]
	warned := strings.Count(p.Logs(), "signature is missing or wrong")
	t.Logf("%d wrong signatures in %v (%.0f a second), %d of them 429, p99 %v: processor time %v of the service (%.2f cores), %v of the senders (%.2f cores), %d log lines, memory at most %d MB",
		sent, took, float64(sent)/took.Seconds(), r.Answers[429], r.P99.Round(time.Millisecond), used, used.Seconds()/took.Seconds(), r.cpu, r.cpu.Seconds()/took.Seconds(), warned, peak>>20)
	if len(r.Answers) > 2 || float64(sent) < 0.8*floodRate*took.Seconds() {
		t.Errorf("answers to wrong signatures: %v, want 401 and 429 only, %d a second", r.Answers, floodRate)
	}
	if used > took {
		t.Errorf("the flood costs %.2f cores, want at most one", used.Seconds()/took.Seconds())
	}
	if most := int(took.Seconds()) + 2; warned == 0 || warned > most {
		t.Errorf("%d log lines about it in %v, want one a second", warned, took)
	}
	if r.Answers[401] > 200 {
		t.Errorf("%d are answered 401 and not 429, want the first hundred a minute", r.Answers[401])
	}
	if counted := metric(t, p, "github_errors_total", `kind="signature"`); counted != float64(sent) {
		t.Errorf("github_errors_total counts %v wrong signatures, want %d", counted, sent)
	}
}

// Names that a sender invents cost no series, no rows and no log lines of their own.
func TestInventedNamesCostNothing(t *testing.T) {
	abuse(t)
	const names, mostSeries = 10_000, 2000
	p := testenv.Start(t, testenv.Options{Env: []string{"WEBHOOK_SECRET=" + secret}})
	series := func() (n int, text string) {
		_, text = get(t, p.URL+"/metrics")
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				n++
			}
		}
		return n, text
	}
	before, _ := series()
	lines := strings.Count(p.Logs(), "\n")
	var wg sync.WaitGroup
	var failed atomic.Int64
	for s := range 16 {
		wg.Go(func() {
			for n := s; n < names; n += 16 {
				body := fmt.Appendf(nil, `{"action":"made_up_%[1]d","repository":{"id":%[1]d,"name":"invented-%[1]d","owner":{"login":"nobody-%[1]d"}},"sender":{"login":"nobody-%[1]d","id":%[1]d,"type":"User"}}`, n+1)
				event := fmt.Sprint("invented_event_", strings.Repeat("x", n%7), n)
				if a := post(p.URL, secret, deliveryID(4, n), event, "application/json", body); a.status != 202 {
					failed.Add(1)
					t.Errorf("event %s is answered %d %s, want 202", event, a.status, a.body)
					return
				}
			}
		})
	}
	wg.Wait()
	eventually(t, time.Minute, "all is processed", func() bool { return askStats(t, p).QueueLength == 0 })
	after, text := series()
	_, stats := get(t, p.URL+"/webhook/stats")
	for _, word := range []string{"invented_event", "invented-", "nobody-", "made_up_"} {
		if strings.Contains(text, word) || strings.Contains(stats, word) {
			t.Errorf("%q is in the metrics or in the statistics: it comes from a payload or a header", word)
		}
	}
	p.Stop(t)
	rows := count(t, sqliteIn(p.Dir), `SELECT count(*) FROM counters`)
	kept := count(t, sqliteIn(p.Dir), `SELECT count(*) FROM webhook_logs WHERE status = 'processed'`)
	said := strings.Count(p.Logs(), "\n") - lines
	t.Logf("%d events of %d repositories that nobody knows: %d series before, %d after; %d rows of counters; %d log lines", kept, names, before, after, rows, said)
	if kept != names || after > mostSeries || after > before {
		t.Errorf("%d of %d kept, %d series before and %d after, want all, and no more than %d", kept, names, before, after, mostSeries)
	}
	if rows > 30 {
		t.Errorf("%d rows of counters, want one for everything that is not known", rows)
	}
	if said > 20 {
		t.Errorf("%d log lines about %d events, want a handful:\n%.2000s", said, names, p.Logs())
	}
}

// Whoever opens sockets and leaves them open takes nothing from those who use theirs.
func TestSocketsAreBounded(t *testing.T) {
	abuse(t)
	const most = 400
	p := testenv.Start(t, testenv.Options{Env: working(t, "LOG_LEVEL=warn"), Files: most})
	open := func() net.Conn {
		t.Helper()
		c, err := net.DialTimeout("tcp", address(p), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for range most { // keep-alive connections that have asked once, and could stay for two minutes
		c := open()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
		if s := statusOf(c); s != 200 {
			t.Fatalf("GET /health over one of many connections = %d, want 200", s)
		}
	}
	for range 2 * most { // and some that never say a word
		open()
	}
	fresh := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var slowest time.Duration
	for n := range 50 {
		began := time.Now()
		body := pullRequest(n)
		req, err := http.NewRequest("POST", p.URL+"/webhook", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]string{
			"Content-Type": "application/json", "X-GitHub-Event": "pull_request", "X-GitHub-Delivery": deliveryID(5, n), "X-Hub-Signature-256": testenv.Sign(secret, body),
		} {
			req.Header.Set(name, v)
		}
		res, err := fresh.Do(req)
		if err != nil {
			t.Fatalf("a delivery among %d idle connections: %v", 3*most, err)
		}
		res.Body.Close()
		if res.StatusCode != 202 {
			t.Fatalf("a delivery among %d idle connections is answered %d, want 202", 3*most, res.StatusCode)
		}
		slowest = max(slowest, time.Since(began))
	}
	used := files(t, p)
	t.Logf("%d idle and silent connections to a process with %d file descriptors: %d in use, 50 new deliveries kept, the slowest in %v", 3*most, most, used, slowest.Round(time.Millisecond))
	if used > most*7/8 {
		t.Errorf("%d of %d file descriptors are in use, want an eighth left", used, most)
	}
	if slowest > time.Second {
		t.Errorf("a delivery took %v, want at most a second", slowest)
	}
}

// files is how many file descriptors a process has open.
func files(t *testing.T, p *testenv.Process) int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// Requests that are not quite HTTP, and paths that are not quite right: no answer sends anybody elsewhere.
func TestOddRequestsOnTheWire(t *testing.T) {
	t.Parallel()
	p := testenv.Start(t, testenv.Options{Env: working(t)})
	body := string(pullRequest(1))
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	n := 0
	request := func(target, more string) string {
		n++
		return "POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-GitHub-Event: pull_request\r\nX-GitHub-Delivery: " + fmt.Sprint("odd-", n) +
			"\r\nX-Hub-Signature-256: " + testenv.Sign(secret, []byte(body)) + "\r\n" + more + "\r\n" + body
	}
	for _, tt := range []struct {
		name, text string
		want       []int
	}{
		{"as GitHub sends it", request("/webhook", length), []int{202}},
		{"absolute", request("http://elsewhere.example/webhook", length), []int{202}},
		{"pipelined", request("/webhook", length) + request("/webhook", length), []int{202, 202}},
		{"a wish for HTTP/2", request("/webhook", length+"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), []int{202}},
		{"HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400}},
		{"two slashes", request("//webhook", length), []int{404}},
		{"a dot", request("/./webhook", length), []int{404}},
		{"two dots", request("/a/../webhook", length), []int{404}},
		{"another host as the path", request("//evil.example/webhook", length), []int{404}},
		{"a slash behind", request("/webhook/", length), []int{404}},
		{"an escaped slash", request("/%2Fwebhook", length), []int{404}},
		{"an escaped letter", request("/%77ebhook", length), []int{202}}, // the same address in other words
		{"upper case", request("/WEBHOOK", length), []int{404}},
		{"a query", request("/webhook?x=/../..", length), []int{202}},
		{"two lengths", request("/webhook", length+"Content-Length: 3\r\n"), []int{400}},
		{"length and chunks", "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-GitHub-Event: pull_request\r\nX-GitHub-Delivery: odd-chunked\r\nX-Hub-Signature-256: " +
			testenv.Sign(secret, []byte(body)) + "\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), []int{202}},
		{"two signatures", request("/webhook", length+"X-Hub-Signature-256: "+testenv.Sign(secret, []byte(body))+"\r\n"), []int{401}},
		{"GET", "GET /webhook HTTP/1.1\r\nHost: x\r\n\r\n", []int{405}},
		{"OPTIONS", "OPTIONS /webhook HTTP/1.1\r\nHost: x\r\n\r\n", []int{405}},
		{"TRACE", "TRACE /webhook HTTP/1.1\r\nHost: x\r\n\r\n", []int{405}},
		{"CONNECT", "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example:443\r\n\r\n", []int{404}},
		{"a page's name in another's mouth", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", []int{403}}, // DNS rebinding
		{"a page through a proxy", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", []int{403}},
		{"the event stream in another's mouth", "GET /webhook/events HTTP/1.1\r\nHost: evil.example\r\n\r\n", []int{403}},
	} {
		c, err := net.Dial("tcp", address(p))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		go func() { _, _ = io.WriteString(c, tt.text) }()
		in := bufio.NewReader(c)
		for i, want := range tt.want {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s: answer %d: %v", tt.name, i+1, err)
			}
			text, _ := io.ReadAll(res.Body)
			if res.StatusCode != want || res.Header.Get("Location") != "" {
				t.Errorf("%s: answer %d = %d %.100s (Location %q), want %d", tt.name, i+1, res.StatusCode, text, res.Header.Get("Location"), want)
			}
		}
		c.Close()
	}
}

// An address in a payload is text: nobody goes there. Nor does the token go where a redirect of GitHub's points.
func TestAddressesInPayloadsAreNotFetched(t *testing.T) {
	t.Parallel()
	var visits atomic.Int64
	trap, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer trap.Close()
	go func() {
		for {
			c, err := trap.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			c.Close()
		}
	}()
	to := "http://" + trap.Addr().String()
	var asked atomic.Int64
	github := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Location", to+r.URL.Path)
		w.WriteHeader([]int{301, 302, 307, 308}[asked.Load()%4])
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go github.Serve(l)
	defer github.Close()

	p := testenv.Start(t, testenv.Options{Env: []string{
		"WEBHOOK_SECRET=" + secret, "GITHUB_TOKEN=ghp_for_tests_only", "GITHUB_API_URL=http://" + l.Addr().String(),
	}})
	var fields []string
	for _, name := range []string{
		"url", "html_url", "diff_url", "patch_url", "issue_url", "commits_url", "statuses_url", "comments_url", "clone_url", "git_url", "ssh_url", "svn_url",
		"avatar_url", "events_url", "hooks_url", "labels_url", "contents_url", "callback_url", "access_tokens_url", "details_url", "target_url", "logs_url",
	} {
		fields = append(fields, fmt.Sprintf("%q:%q", name, to+"/"+name))
	}
	urls := strings.Join(fields, ",")
	body := fmt.Appendf(nil, `{"action":"opened","number":7,%[1]s,"installation":{"id":0,%[1]s},"pull_request":{"number":7,%[1]s,"body":"![x](%[2]s/x.png)","user":{"login":"octocat",%[1]s},"head":{"sha":"%040[3]x",%[1]s},`+
		`"_links":{"self":{"href":"%[2]s"}}},"repository":{"id":1296269,"name":"app","owner":{"login":"octo",%[1]s},%[1]s,"default_branch":"main"},"sender":{"login":"octocat","id":1,"type":"User",%[1]s}}`, urls, to, 7)
	for i, event := range []string{"pull_request", "issue_comment", "check_run", "push", "workflow_run", "ping", "package"} {
		if a := post(p.URL, secret, deliveryID(6, i), event, "application/json", body); a.status != 202 {
			t.Fatalf("%s is answered %d %s, want 202", event, a.status, a.body)
		}
	}
	eventually(t, 20*time.Second, "GitHub was asked about it", func() bool { return asked.Load() >= 2 })
	eventually(t, 20*time.Second, "what needs no look is processed", func() bool { return askStats(t, p).Total.Processed >= 3 })
	time.Sleep(500 * time.Millisecond) // whoever follows a redirect does it at once
	if n := visits.Load(); n > 0 {
		t.Errorf("%d connections to an address that is only in payloads and redirects, want none", n)
	}
	t.Logf("GitHub was asked %d times and answered with redirects to another host; nobody went there", asked.Load())
}

// A service that can do nothing says so to the balancer and is not restarted for it.
func TestHealthAndReadyDisagree(t *testing.T) {
	t.Parallel()
	p := testenv.Start(t, testenv.Options{})
	health, said := get(t, p.URL+"/health")
	ready, why := get(t, p.URL+"/ready")
	if health != 200 || !strings.Contains(said, `"degraded"`) || ready != 503 || !strings.Contains(why, "not_ready") || !strings.Contains(why, "WEBHOOK_SECRET") {
		t.Errorf("without a secret: /health = %d %s, /ready = %d %s; want 200 degraded and 503 with the cause", health, said, ready, why)
	}

	database, door := throughADoor(t, testenv.Postgres(t))
	p = testenv.Start(t, testenv.Options{Env: working(t, "DATABASE_URL="+database), Ready: "/ready"})
	door.close()
	eventually(t, 10*time.Second, "/ready says that the database is gone", func() bool {
		ready, why = get(t, p.URL+"/ready")
		var a struct {
			Checks map[string]struct{ Status string }
		}
		return ready == 503 && json.Unmarshal([]byte(why), &a) == nil && a.Checks["database"].Status == "failing"
	})
	a := post(p.URL, secret, deliveryID(8, 1), "push", "application/json", pullRequest(1))
	health, said = get(t, p.URL+"/health")
	t.Logf("without its database: /health = %d, /ready = %d, a delivery %d after %v", health, ready, a.status, a.took.Round(time.Millisecond))
	if health != 200 || !strings.Contains(said, `"degraded"`) {
		t.Errorf("without its database: /health = %d %s; want 200 degraded", health, said)
	}
	if a.status != 503 || a.took > 3*time.Second {
		t.Errorf("a delivery without the database is answered %d %s after %v, want 503 within 2s", a.status, a.body, a.took)
	}
	door.open()
	eventually(t, 15*time.Second, "/ready is 200 again", func() bool { ready, why = get(t, p.URL+"/ready"); return ready == 200 })
	if s := deliver(p.URL, secret, deliveryID(8, 1), pullRequest(1)); s != 202 {
		t.Errorf("the same delivery afterwards is answered %d, want 202", s)
	}
}

// A door is a way to a server that can be shut.
type door struct {
	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]bool
}

// throughADoor returns a PostgreSQL URL that leads to the same database by way of a door.
func throughADoor(t *testing.T, database string) (string, *door) {
	t.Helper()
	before, rest, _ := strings.Cut(database, "@")
	host, path, ok := strings.Cut(rest, "/")
	if !ok {
		t.Fatalf("the database's URL has no host")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d := &door{conns: map[net.Conn]bool{}}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", host)
			if err != nil || !d.pass(in, out) {
				in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					way[0].Close()
				}()
			}
		}
	}()
	return before + "@" + l.Addr().String() + "/" + path, d
}

func (d *door) pass(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range conns {
		if d.shut {
			c.Close()
			continue
		}
		d.conns[c] = true
	}
	return !d.shut
}

func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	for c := range maps.Keys(d.conns) {
		c.Close()
		delete(d.conns, c)
	}
}

func (d *door) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = false
}

// count reads one number out of a database.
func count(t *testing.T, database, query string) (n int) {
	t.Helper()
	if err := testenv.Open(t, database).QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Text that is made to break something is kept as it was sent, and shown as text.
func TestHostileTextGoesThrough(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			env := working(t, "LOG_LEVEL=debug")
			if engine == "postgres" {
				env = append(env, "DATABASE_URL="+testenv.Postgres(t))
			}
			p := testenv.Start(t, testenv.Options{Env: env})
			listener, res, err := openStream(address(p), -1)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("the event stream: %v, %v", err, res)
			}
			go listener.listen()
			defer listener.conn.Close()
			texts := []string{
				`\u0000`, `a\nb\r\nlevel=ERROR`, `\n\nid: 9\ndata: {}`, `\u001b[2J\u001b[31m`, `\u202egnp.exe\u200b`, `<script>alert(1)</script>`, `\"><img src=x onerror=alert(1)>`,
				`javascript:alert(1)`, `' OR 1=1; DROP TABLE webhook_logs; --`, `\ud800`, `%s%n{{.}}${jndi:ldap://x}`, strings.Repeat("x", 1<<20), "\u2028\U0001F4A9",
			}
			for n, text := range texts {
				for k, event := range []string{"pull_request", "check_run", "push", "made_up"} {
					body := fmt.Appendf(nil, `{"action":"%[1]s","number":7,"ref":"refs/heads/%[1]s","after":"%040[2]x","pull_request":{"number":7,"title":"%[1]s","body":"%[1]s","head":{"sha":"%040[2]x","ref":"%[1]s"}},`+
						`"check_run":{"name":"%[1]s","head_sha":"%040[2]x","output":{"title":"%[1]s"},"pull_requests":[{"number":7}]},"repository":{"id":1296269,"name":"%[1]s","owner":{"login":"%[1]s"},"default_branch":"%[1]s"},`+
						`"sender":{"login":"%[1]s","id":1,"type":"%[1]s"}}`, text, n+1)
					if a := post(p.URL, secret, deliveryID(30+n, k), event, "application/json", body); a.status != 202 {
						t.Errorf("%s with %.40q is answered %d %s, want 202", event, text, a.status, a.body)
					}
				}
			}
			eventually(t, 30*time.Second, "all is kept and processed", func() bool {
				s := askStats(t, p)
				return s.Total.Received == int64(4*len(texts)) && s.QueueLength == 0 && s.Dead == 0
			})
			_, page := get(t, p.URL+"/")
			for _, bad := range []string{"<script>alert", "<img", "\u202e", "\x1b", "\x00"} {
				if strings.Contains(page, bad) {
					t.Errorf("the page contains %q", bad)
				}
			}
			if n := strings.Count(page, "<script"); n != 1 {
				t.Errorf("the page has %d scripts, want ours only", n)
			}
			eventually(t, 5*time.Second, "the stream tells of it", func() bool { return listener.last() > 0 })
			p.Stop(t)
			if _, _, got, reset := listener.state(); !slices.IsSorted(got) || reset {
				t.Errorf("the stream told %v (reset %v), want ids in order", got, reset)
			}
			for line := range strings.Lines(p.Logs()) {
				if !json.Valid([]byte(line)) || strings.ContainsAny(line, "\x1b\x00\r\u2028\u202e") || len(line) > 8<<10 {
					t.Errorf("a log line is no plain line of JSON (%d bytes): %.200q", len(line), line)
				}
			}
		})
	}
}
