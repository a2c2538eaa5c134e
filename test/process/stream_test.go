package process

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A stream is a client of the event stream over a socket of its own.
type stream struct {
	conn net.Conn
	in   *bufio.Reader

	mu    sync.Mutex
	first int64   // the id that the stream began with
	place int64   // the id that the client would resume from
	got   []int64 // the ids of the updates, in the order in which they came
	reset bool    // told to start afresh
}

// openStream asks for the event stream, from where the client was when last is not negative. The answer is a refusal
// when its status is not 200.
func openStream(to string, last int64) (*stream, *http.Response, error) {
	c, err := net.DialTimeout("tcp", to, 5*time.Second)
	if err != nil {
		return nil, nil, err
	}
	more := ""
	if last >= 0 {
		more = fmt.Sprintf("Last-Event-ID: %d\r\n", last)
	}
	// HTTP/1.0, so that the stream comes as it is and not in chunks.
	if _, err := io.WriteString(c, "GET /webhook/events HTTP/1.0\r\nHost: localhost\r\n"+more+"\r\n"); err != nil {
		c.Close()
		return nil, nil, err
	}
	s := &stream{conn: c, in: bufio.NewReaderSize(c, 4096), first: last, place: last}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	res, err := http.ReadResponse(s.in, nil)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	_ = c.SetReadDeadline(time.Time{})
	return s, res, nil
}

// listen reads until the stream ends.
func (s *stream) listen() {
	defer s.conn.Close()
	id := int64(-1) // of the message that is being read
	for {
		line, err := s.in.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !long {
			return
		}
		s.mu.Lock()
		switch {
		case bytes.HasPrefix(line, []byte("id: ")):
			id, _ = strconv.ParseInt(strings.TrimSpace(string(line[4:])), 10, 64)
		case bytes.HasPrefix(line, []byte(`data: {"type":"update","id":`)):
			n, _, _ := strings.Cut(string(line[len(`data: {"type":"update","id":`):]), ",")
			if v, err := strconv.ParseInt(n, 10, 64); err == nil {
				s.got = append(s.got, v)
			}
		case bytes.HasPrefix(line, []byte(`data: {"type":"reset"`)):
			s.reset = true
		case len(line) == 1 && id >= 0: // a message is over; a client that loses the rest resumes before it
			if s.first < 0 {
				s.first = id
			}
			s.place, id = id, -1
		}
		s.mu.Unlock()
		for long {
			_, err = s.in.ReadSlice('\n')
			long = errors.Is(err, bufio.ErrBufferFull)
		}
	}
}

func (s *stream) state() (first, place int64, got []int64, reset bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.place, slices.Clone(s.got), s.reset
}

// last is the id of the last update.
func (s *stream) last() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.got) == 0 {
		return -1
	}
	return s.got[len(s.got)-1]
}

// openStreams opens many at once; each listens. They are closed when the test ends.
func openStreams(t *testing.T, p *testenv.Process, n int) []*stream {
	t.Helper()
	all := make([]*stream, n)
	var wg sync.WaitGroup
	var failed sync.Once
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				s, res, err := openStream(address(p), -1)
				if err != nil || res.StatusCode != 200 {
					failed.Do(func() { t.Errorf("client %d of the event stream: %v, %v", i, err, res) })
					return
				}
				all[i] = s
				go s.listen()
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, s := range all {
			if s != nil {
				s.conn.Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// changes are the ids of the change feed after one of them.
func changes(t *testing.T, db *sql.DB, after int64) (ids []int64) {
	t.Helper()
	rows, err := db.Query(`SELECT id FROM changes WHERE id > ` + strconv.FormatInt(after, 10) + ` ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// told checks that every client was told each change after its first place once and in order, up to the last one of
// now, and returns how many that were for the first client.
func told(t *testing.T, clients []*stream, db *sql.DB) (each int) {
	t.Helper()
	feed := changes(t, db, -1)
	last := feed[len(feed)-1]
	eventually(t, 20*time.Second, "every client has the last change", func() bool {
		return !slices.ContainsFunc(clients, func(s *stream) bool { return s.last() < last })
	})
	wrong := 0
	for i, s := range clients {
		first, _, got, reset := s.state()
		from, _ := slices.BinarySearch(feed, first+1)
		want := feed[from:]
		if i == 0 {
			each = len(want)
		}
		if n := slices.IndexFunc(got, func(id int64) bool { return id > last }); n >= 0 {
			got = got[:n]
		}
		if !slices.Equal(got, want) || reset {
			if wrong++; wrong < 3 {
				t.Errorf("client %d was told %d changes after %d (reset %v), want each of the %d once and in order", i, len(got), first, reset, len(want))
			}
		}
	}
	if wrong > 2 {
		t.Errorf("%d of %d clients were not told everything", wrong, len(clients))
	}
	return each
}

func TestManyClientsOfTheEventStream(t *testing.T) {
	abuse(t)
	clients, lasts := testenv.Pick(500, 9500), testenv.Pick(4*time.Second, 30*time.Second)
	const most = 30 << 10
	p := testenv.Start(t, testenv.Options{Env: working(t, "LOG_LEVEL=warn", "EVENT_STREAM_CLIENTS="+strconv.Itoa(clients))})
	db := testenv.Open(t, sqliteIn(p.Dir))
	for n := range 300 {
		if s := deliver(p.URL, secret, deliveryID(20, n), pullRequest(n%50)); s != 202 {
			t.Fatalf("a delivery is answered %d, want 202", s)
		}
	}
	before, cpu := p.RSS(t), p.CPU(t)
	began := time.Now()
	all := openStreams(t, p, clients)
	opened, connecting := time.Since(began), p.CPU(t)-cpu
	eventually(t, 10*time.Second, "every client has its snapshot", func() bool {
		return !slices.ContainsFunc(all, func(s *stream) bool { first, _, _, _ := s.state(); return first < 0 })
	})
	if n := metric(t, p, "github_event_stream_clients"); n != float64(clients) {
		t.Errorf("github_event_stream_clients is %v, want %d", n, clients)
	}
	each := (p.RSS(t) - before) / int64(clients)

	_, refused, err := openStream(address(p), -1)
	if err != nil || refused.StatusCode != 503 || refused.Header.Get("Retry-After") == "" {
		t.Errorf("one client more: %v, %v; want 503 with Retry-After", refused, err)
	}

	cpu = p.CPU(t)
	good := sendGood(t, p, testenv.Pick(40, 4))
	time.Sleep(lasts)
	good.end(t, time.Second)
	used := p.CPU(t) - cpu
	n := told(t, all, db)
	t.Logf("%d clients: let in within %v (%v of processor time), %d bytes of memory each, %d changes told to each, %v of processor time meanwhile, memory %d MB",
		clients, opened.Round(time.Millisecond), connecting, each, n, used, p.RSS(t)>>20)
	if each > most {
		t.Errorf("a client costs %d bytes, want at most %d", each, most)
	}
}

// Readers that stop reading are dropped; neither the others nor the kernel's memory pay for them.
func TestStalledReadersAreDropped(t *testing.T) {
	abuse(t)
	readers, stalled := testenv.Pick(150, 1500), testenv.Pick(50, 500)
	p := testenv.Start(t, testenv.Options{Env: working(t, "LOG_LEVEL=warn", "EVENT_STREAM_CLIENTS="+strconv.Itoa(readers+stalled))})
	db := testenv.Open(t, sqliteIn(p.Dir))
	all := openStreams(t, p, readers)
	for range stalled {
		s, res, err := openStream(address(p), -1)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("a client of the event stream: %v, %v", err, res)
		}
		defer s.conn.Close()
		_ = s.conn.(*net.TCPConn).SetReadBuffer(4 << 10) // and nobody reads
	}
	began := time.Now()
	var gone time.Duration
	text := strings.Repeat("x", 300)
	for range testenv.Pick(60, 80) {
		if _, err := db.Exec(`INSERT INTO changes (at, kind, key, text) SELECT 1, 'setting', '', '` + text +
			`' FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) SELECT i FROM n)`); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if gone == 0 && metric(t, p, "github_event_stream_clients") <= float64(readers) {
			gone = time.Since(began)
		}
	}
	n := told(t, all, db)
	eventually(t, 10*time.Second, "the stalled readers are gone", func() bool {
		return metric(t, p, "github_event_stream_clients") == float64(readers)
	})
	eventually(t, 10*time.Second, "their sockets are closed", func() bool { return files(t, p) < readers+stalled/2 })
	t.Logf("%d of %d clients stalled: dropped within %v; each of the others was told all %d changes; memory %d MB; %s",
		stalled, readers+stalled, gone.Round(100*time.Millisecond), n, p.RSS(t)>>20, kernelMemory(t))
}

// kernelMemory is what the kernel says that TCP takes at the moment, on the whole machine.
func kernelMemory(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(readFile(t, "/proc/net/sockstat")) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == "TCP:" {
			pages, _ := strconv.Atoi(f[len(f)-1])
			return fmt.Sprintf("TCP buffers of the machine %d MB", pages*4>>10)
		}
	}
	return ""
}

// A client that comes back after a restart, by SIGTERM or SIGKILL, goes on where it was: no gap, nothing twice.
func TestEventStreamResumesOverRestarts(t *testing.T) {
	abuse(t)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			env := working(t, "LEASE=1s", "LOG_LEVEL=warn", "PORT="+strconv.Itoa(testenv.FreePort(t)))
			database := sqliteIn(dir)
			if engine == "postgres" {
				database = testenv.Postgres(t)
				env = append(env, "DATABASE_URL="+database)
			}
			start := func() *testenv.Process {
				return testenv.Start(t, testenv.Options{Env: env, Dir: dir, Ready: "/ready", Timeout: 30 * time.Second})
			}
			p := start()
			to := address(p)
			db := testenv.Open(t, database)

			stop := make(chan struct{})
			var sender sync.WaitGroup
			sender.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					deliver(p.URL, secret, deliveryID(21, n), pullRequest(n%50)) // refused while nobody listens
					time.Sleep(10 * time.Millisecond)
				}
			})

			// One client, as a browser has it: it comes back by itself, with the last id that it was given.
			var mu sync.Mutex
			var got []int64
			first, place := int64(-1), int64(-1)
			lives := 0
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				for {
					s, res, err := openStream(to, place)
					if err == nil && res.StatusCode == 200 {
						ended := make(chan struct{})
						go func() { s.listen(); close(ended) }()
						for open := true; open; {
							select {
							case <-ended:
								open = false
							case <-stop:
								time.Sleep(2 * time.Second) // what is under way
								s.conn.Close()
								<-ended
								open = false
							case <-time.After(10 * time.Millisecond):
							}
							began, now, all, reset := s.state()
							if first < 0 {
								first = began
							}
							place = now
							if reset {
								t.Errorf("the client was told to start afresh after its place %d", place)
							}
							if !open {
								mu.Lock()
								got = append(got, all...)
								mu.Unlock()
								lives++
							}
						}
					}
					select {
					case <-stop:
						return
					case <-time.After(50 * time.Millisecond):
					}
				}
			}()

			for _, end := range testenv.Pick([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}, slices.Repeat([]syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM}, 7)) {
				time.Sleep(700 * time.Millisecond)
				p.Signal(t, end)
				p.Wait(t, 28*time.Second)
				p = start()
			}
			time.Sleep(700 * time.Millisecond)
			eventually(t, 10*time.Second, "deliveries are taken again", func() bool {
				return deliver(p.URL, secret, deliveryID(22, 1), pullRequest(1)) == 202
			})
			time.Sleep(time.Second)
			close(stop)
			sender.Wait()
			<-gone
			want := changes(t, db, first)
			if place < want[0] || place > want[len(want)-1] {
				t.Fatalf("the client's place is %d at the end, outside of the feed %d to %d", place, want[0], want[len(want)-1])
			}
			want = slices.DeleteFunc(want, func(id int64) bool { return id > place })
			slices.Sort(got)
			missing, double := 0, len(got)-len(slices.Compact(slices.Clone(got)))
			for _, id := range want {
				if _, ok := slices.BinarySearch(got, id); !ok {
					missing++
				}
			}
			t.Logf("%d changes over %d connections: %d missing, %d twice", len(want), lives, missing, double)
			if missing > 0 || double > 0 || lives < 2 || len(want) < 50 {
				t.Errorf("of %d changes %d are missing and %d came twice over %d connections, want none", len(want), missing, double, lives)
			}
		})
	}
}
