package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A listener is a client of the event stream in process: a ResponseWriter that understands what it is sent.
type listener struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	header http.Header
	code   int
	text   strings.Builder
}

func (l *listener) Header() http.Header { return l.header }
func (l *listener) WriteHeader(code int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.code = code
}
func (l *listener) Flush() {}
func (l *listener) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// listen opens a stream; last is the Last-Event-ID, "" for none.
func listen(t *testing.T, d *Dashboard, last string) *listener {
	ctx, cancel := context.WithCancel(t.Context())
	l := &listener{t: t, cancel: cancel, done: make(chan struct{}), header: http.Header{}}
	r := request(http.MethodGet, "/webhook/events").WithContext(ctx)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	go func() {
		defer close(l.done)
		d.ServeHTTP(l, r)
	}()
	synctest.Wait()
	return l
}

func (l *listener) close() {
	l.cancel()
	<-l.done
}

type event struct {
	id   string
	Type string `json:"type"`
	ID   int64  `json:"id"`
	Text string `json:"text"`
}

// events parses what has come so far, the way a browser does.
func (l *listener) events() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []event
	for block := range strings.SplitSeq(strings.TrimSuffix(l.text.String(), "\n\n"), "\n\n") {
		var e event
		for line := range strings.SplitSeq(block, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			switch name {
			case "id":
				e.id = value
			case "data":
				if err := json.Unmarshal([]byte(value), &e); err != nil {
					l.t.Fatalf("event %q: %v", block, err)
				}
			case "retry":
			default:
				l.t.Fatalf("event %q has a line %q that a browser's onmessage would not get", block, line)
			}
		}
		out = append(out, e)
	}
	return out
}

// story is what came, in short: "snapshot(5) update(6) heartbeat".
func (l *listener) story() string {
	var out []string
	for _, e := range l.events() {
		s := e.Type
		if e.id != "" {
			s += "(" + e.id + ")"
		} else if e.ID != 0 && e.Type == "update" {
			s += "[" + strconv.FormatInt(e.ID, 10) + "]"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// streamTest runs f in a bubble of its own time, with a dashboard whose feed has five changes.
func streamTest(t *testing.T, o Options, f func(t *testing.T, d *Dashboard, s *fakeStore)) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeStore{}
		for i := range 5 {
			s.change(0, fmt.Sprint("change ", i+1))
		}
		d := New(s, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := d.Run(ctx); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		}()
		f(t, d, s)
		cancel()
		<-ended
	})
}

func TestStreamTellsASnapshotThenEveryChange(t *testing.T) {
	streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
		l := listen(t, d, "")
		defer l.close()
		if got := l.header.Get("Content-Type"); got != "text/event-stream" || l.code != 200 {
			t.Fatalf("stream = %d %q, want 200 text/event-stream", l.code, got)
		}
		s.change(0, "six")
		time.Sleep(time.Second)
		s.change(0, "seven")
		s.change(0, "eight")
		time.Sleep(time.Second)
		if got, want := l.story(), "snapshot(5) update(6) update(7) update(8)"; got != want {
			t.Errorf("stream = %s, want %s", got, want)
		}
		time.Sleep(30 * time.Second)
		if got, want := l.story(), "snapshot(5) update(6) update(7) update(8) heartbeat heartbeat"; got != want {
			t.Errorf("half a minute later = %s, want %s", got, want)
		}
	})
}

func TestANudgeIsHeardAtOnce(t *testing.T) {
	streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
		l := listen(t, d, "")
		defer l.close()
		s.change(0, "six")
		d.Nudge()
		synctest.Wait()
		if got, want := l.story(), "snapshot(5) update(6)"; got != want {
			t.Errorf("stream right after a nudge = %s, want %s", got, want)
		}
	})
}

func TestStreamResumes(t *testing.T) {
	for _, tt := range []struct{ last, want string }{
		{"3", "snapshot update(4) update(5) update(6)"},
		{"5", "snapshot update(6)"},
		{"0", "snapshot update(1) update(2) update(3) update(4) update(5) update(6)"},
		{"99", "snapshot reset(5) update(6)"}, // another database
		{"-1", "snapshot(5) update(6)"},
		{"rubbish", "snapshot(5) update(6)"},
		{"99999999999999999999", "snapshot(5) update(6)"},
	} {
		streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
			l := listen(t, d, tt.last)
			defer l.close()
			s.change(0, "six")
			time.Sleep(time.Second)
			if got := l.story(); got != tt.want {
				t.Errorf("stream after Last-Event-ID %s = %s, want %s", tt.last, got, tt.want)
			}
		})
	}
}

func TestStreamReplaysAThousandAndNoMore(t *testing.T) {
	for _, tt := range []struct {
		missed int
		want   int
		reset  bool
	}{{replayLimit, replayLimit, false}, {replayLimit + 1, 0, true}} {
		streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
			for range tt.missed {
				s.change(0, "missed")
			}
			l := listen(t, d, "5")
			defer l.close()
			var updates int
			var reset bool
			for _, e := range l.events() {
				updates += len(e.Type) / len("update") * min(1, strings.Count(e.Type, "update"))
				reset = reset || e.Type == "reset"
			}
			if updates != tt.want || reset != tt.reset {
				t.Errorf("after %d missed changes: %d updates, reset %v; want %d, %v", tt.missed, updates, reset, tt.want, tt.reset)
			}
		})
	}
}

func TestIdsThatCommitLate(t *testing.T) {
	t.Run("within the time of holding back they come in order", func(t *testing.T) {
		streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
			l := listen(t, d, "")
			defer l.close()
			s.change(7, "early")
			time.Sleep(350 * time.Millisecond)
			s.change(6, "late")
			time.Sleep(time.Second)
			if got, want := l.story(), "snapshot(5) update(6) update(7)"; got != want {
				t.Errorf("stream = %s, want %s", got, want)
			}
		})
	})
	t.Run("a hole delays by less than a second", func(t *testing.T) {
		streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
			l := listen(t, d, "")
			defer l.close()
			s.change(9, "after a rolled back transaction")
			time.Sleep(time.Second)
			if got, want := l.story(), "snapshot(5) update(9)"; got != want {
				t.Errorf("stream = %s, want %s", got, want)
			}
		})
	})
	t.Run("later still they come once, and leave the client's place alone", func(t *testing.T) {
		streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
			l := listen(t, d, "")
			defer l.close()
			s.change(7, "early")
			time.Sleep(2 * time.Second)
			s.change(6, "very late")
			time.Sleep(13500 * time.Millisecond)
			if got, want := l.story(), "snapshot(5) update(7) update[6] heartbeat"; got != want {
				t.Errorf("stream = %s, want %s", got, want)
			}
		})
	})
}

func TestAnIdleHubReadsNothing(t *testing.T) {
	streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
		read := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.calls["changes"] + s.calls["latest"]
		}
		d.Nudge()
		time.Sleep(time.Hour)
		if n := read(); n != 0 {
			t.Errorf("the feed was read %d times in an hour without clients, want 0", n)
		}
		l := listen(t, d, "")
		time.Sleep(time.Second)
		l.close()
		synctest.Wait()
		time.Sleep(time.Second)
		n := read()
		time.Sleep(time.Hour)
		if m := read(); m != n {
			t.Errorf("the feed was read %d times in the hour after the last client left, want 0", m-n)
		}
		s.change(0, "six")
		again := listen(t, d, "5")
		defer again.close()
		if got, want := again.story(), "snapshot update(6)"; got != want {
			t.Errorf("the next client heard %s, want %s", got, want)
		}
	})
}

func TestAThousandClientsAndNotOneMore(t *testing.T) {
	streamTest(t, Options{MaxClients: 2}, func(t *testing.T, d *Dashboard, s *fakeStore) {
		a, b := listen(t, d, ""), listen(t, d, "")
		defer a.close()
		w := do(d, request(http.MethodGet, "/webhook/events"))
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("the third of two = %d, Retry-After %q; want 503 with Retry-After that a browser may read", w.Code, w.Header().Get("Retry-After"))
		}
		if n := d.Clients(); n != 2 {
			t.Errorf("Clients() = %d, want 2", n)
		}
		b.close()
		c := listen(t, d, "")
		defer c.close()
		if c.code != 200 {
			t.Errorf("after one left the next gets %d, want 200", c.code)
		}
	})
}

func TestABurstDropsNobody(t *testing.T) {
	streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
		l := listen(t, d, "")
		defer l.close()
		for range 2500 {
			s.change(0, "one of many")
		}
		time.Sleep(time.Second)
		all := l.events()
		if last := all[len(all)-1]; len(all) != 2501 || last.id != "2505" || d.Clients() != 1 {
			t.Errorf("after a burst of 2,500: %d messages, the last %s, %d clients; want every one of them, in order", len(all)-1, last.id, d.Clients())
		}
	})
}

func TestStreamsEndWithTheService(t *testing.T) {
	streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
		l := listen(t, d, "")
		d.Disconnect()
		<-l.done
		w := do(d, request(http.MethodGet, "/webhook/events"))
		if w.Code != 503 {
			t.Errorf("a client that comes after the end gets %d, want 503", w.Code)
		}
	})
}

func TestAReaderThatTakesNothingIsDropped(t *testing.T) {
	s := &fakeStore{}
	h := newHub(s, New(s, Options{}).o)
	stalled, _, err := h.join(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	good, _, err := h.join(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for i := range clientQueue + 1 {
		h.mu.Lock()
		h.send([]byte("x"))
		h.mu.Unlock()
		if i < clientQueue {
			<-good.queue
		}
	}
	select {
	case <-stalled.dropped:
	default:
		t.Error("a client with a full queue is still served")
	}
	select {
	case <-good.dropped:
		t.Error("the client beside it was dropped, too")
	default:
	}
	h.leave(stalled) // as its handler does; the other stays
	if n := h.size(); n != 1 {
		t.Errorf("%d clients are left, want 1", n)
	}
}

func TestNothingInAChangeBreaksTheFraming(t *testing.T) {
	streamTest(t, Options{}, func(t *testing.T, d *Dashboard, s *fakeStore) {
		l := listen(t, d, "")
		defer l.close()
		s.change(0, "a\n\nevent: evil\ndata: {\"type\":\"reset\"}\r\rid: 99\u2028\u2029\x00 "+strings.Repeat("z", 1<<20))
		time.Sleep(time.Second)
		if got, want := l.story(), "snapshot(5) update(6)"; got != want {
			t.Errorf("stream = %s, want %s", got, want)
		}
		if n := l.text.Len(); n > 8<<10 {
			t.Errorf("the stream is %d bytes long, want the megabyte cut", n)
		}
	})
}

func TestCORS(t *testing.T) {
	const origin = "https://board.example"
	for _, o := range []Options{{Origin: origin}, withToken(Options{Origin: origin})} {
		d := New(newFake(), o)
		for _, from := range []string{"", origin, "https://evil.example"} {
			r := request(http.MethodOptions, "/webhook/events", func(r *http.Request) {
				if r.RemoteAddr = "192.0.2.1:5"; from != "" {
					r.Header.Set("Origin", from)
					r.Header.Set("Access-Control-Request-Method", "GET")
				}
			})
			w := do(d, r)
			h := w.Header()
			if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Allow-Credentials") != "true" ||
				!strings.Contains(h.Get("Access-Control-Allow-Methods"), "GET") || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Last-Event-ID") ||
				!slices.Contains(h.Values("Vary"), "Origin") {
				t.Errorf("OPTIONS from %q = %d %v, want 204 and exactly the one origin", from, w.Code, h)
			}
		}
		for _, path := range []string{"/webhook/events", "/webhook/stats"} {
			if got := do(d, request(http.MethodHead, path)).Header().Get("Access-Control-Allow-Origin"); got != origin {
				t.Errorf("HEAD %s: Access-Control-Allow-Origin = %q, want %q", path, got, origin)
			}
		}
		if got := do(d, request(http.MethodGet, "/")).Header().Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("the front page allows %q to read it, want nobody", got)
		}
	}
}

// serve runs a dashboard on a socket, with the time-outs of a server for webhooks.
func serve(t *testing.T, d *Dashboard) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: d, ReadTimeout: time.Second, WriteTimeout: 1500 * time.Millisecond}
	s.RegisterOnShutdown(d.Disconnect)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = s.Serve(l) })
	parts.Go(func() { _ = d.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		grace, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		if err := s.Shutdown(grace); err != nil {
			t.Errorf("Shutdown = %v: streams keep the server", err)
		}
		parts.Wait()
	})
	return l.Addr().String()
}

func TestStreamOutlivesTheServersTimeouts(t *testing.T) {
	s := newFake()
	addr := serve(t, New(s, Options{}))
	res, err := http.Get("http://" + addr + "/webhook/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	until := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("the stream ended before %s: %v", want, lines.Err())
	}
	until(`"type":"snapshot"`)
	time.Sleep(2 * time.Second) // beyond both time-outs
	s.change(0, "after the time-outs")
	until("after the time-outs")
}

func TestAStalledSocketIsClosed(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a write deadline")
	}
	s := newFake()
	d := New(s, Options{})
	addr := serve(t, d)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(c, "GET /webhook/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for deadline := time.Now().Add(5 * time.Second); d.Clients() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the client did not get in")
		}
	}
	began := time.Now()
	for d.Clients() > 0 {
		if time.Since(began) > 20*time.Second {
			t.Fatal("a client that reads nothing was still there after 20 s")
		}
		for range 20 {
			s.change(0, strings.Repeat("x", 300))
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("dropped after %v", time.Since(began).Round(time.Millisecond))
}

func TestAClientCostsLittle(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector costs more than a client")
	}
	const clients, most = 300, 30 << 10
	d := New(newFake(), Options{})
	addr := serve(t, d)
	measure := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := measure()
	for range clients {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /webhook/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	for deadline := time.Now().Add(10 * time.Second); d.Clients() < clients; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d clients got in", d.Clients(), clients)
		}
	}
	each := (int64(measure()) - int64(before)) / clients
	t.Logf("%d bytes a client, its own end included", each)
	if each > most {
		t.Errorf("a client of the stream costs %d bytes, want at most %d", each, most)
	}
}

// FuzzFrame: whatever is in a change, its message is one event with one line of JSON, and nothing of it is an event, an
// id or a field of its own.
func FuzzFrame(f *testing.F) {
	f.Add(int64(7), "pull", "pr:1#2", "octo/app#2: ready", int64(1_790_000_000_000_000), true)
	f.Add(int64(-1), "delivery", "", "a\n\nevent: evil\ndata: {}\r\rid: 9", int64(0), false)
	f.Add(int64(1<<62), "x\ndata: y", "pr:1#2\r\n\r\n", "\u2028\u2029\x00\x1b[31m\xff\ufeff", int64(1<<62), true)
	h := newHub(&fakeStore{}, New(&fakeStore{}, Options{}).o)
	f.Fuzz(func(t *testing.T, id int64, kind, key, text string, at int64, withID bool) {
		frame := string(h.frame(pull.Change{ID: id, At: time.UnixMicro(at), Kind: pull.ChangeKind(kind), Key: key, Text: text}, withID))
		block, more, ended := strings.Cut(frame, "\n\n")
		if !ended || more != "" || strings.ContainsAny(frame, "\r\x00") {
			t.Fatalf("frame = %q, want one event", frame)
		}
		if withID {
			var line string
			line, block, _ = strings.Cut(block, "\n")
			if line != fmt.Sprintf("id: %d", id) {
				t.Fatalf("frame = %q, want it to begin with its id", frame)
			}
		}
		data, found := strings.CutPrefix(block, "data: ")
		var m updateMessage
		if err := json.Unmarshal([]byte(data), &m); !found || strings.Contains(data, "\n") || err != nil || m.Type != "update" || m.ID != id {
			t.Fatalf("frame = %q, want one line of data about %d: %v", frame, id, err)
		}
		if len(m.Text) > 4*300+3 {
			t.Errorf("%d bytes of text in a message, want it cut", len(m.Text))
		}
	})
}
