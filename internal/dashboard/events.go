package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

const (
	heartbeatEvery = 15 * time.Second
	pollEvery      = 300 * time.Millisecond
	writeDeadline  = 3 * time.Second // a reader that takes nothing for so long is dropped, not waited for
	sendBuffer     = 32 << 10        // of the kernel, per client: unread events must not pile up there either
	clientQueue    = 16              // between the hub and one client: what that many polls found
	replayLimit    = 1000

	// With thousands of clients a message is work: after one the hub rests for so long per client, so that GitHub's
	// deliveries find a processor. Still everybody hears of everything within a second.
	restPerClient = 50 * time.Microsecond
	restMost      = 500 * time.Millisecond

	// PostgreSQL gives out ids before it commits, so that 8 can be seen before 7. A message is held back until the ids
	// before it have been seen, for at most holdBack (a rolled back transaction leaves a hole for good), and ids are
	// looked for again for lookBack.
	holdBack     = 500 * time.Millisecond
	lookBack     = 10 * time.Second
	lookBackRows = 200
)

var (
	errStreamFull = &httpError{
		status: http.StatusServiceUnavailable, title: "Too many listeners", retry: 10 * time.Second,
		text: "The event stream has as many clients as it takes. Try again in a while.",
	}
	errStreamEnds = &httpError{
		status: http.StatusServiceUnavailable, title: "Shutting down", retry: 2 * time.Second,
		text: "The service is shutting down. Try again in a moment.",
	}
)

// boundBuffer bounds what the kernel keeps for a reader that does not read.
func boundBuffer(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	if b, ok := c.(interface{ SetWriteBuffer(int) error }); ok {
		_ = b.SetWriteBuffer(sendBuffer) // a hint; the deadline holds in any case
	}
}

// events serves GET /webhook/events: a snapshot, what the client missed since Last-Event-ID, then one message per
// change, and heartbeats. There is no event: field, so that onmessage receives everything.
func (d *Dashboard) events(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	h := w.Header()
	if r.Method == http.MethodHead {
		h.Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	c, high, err := d.hub.join(ctx, d.o.MaxClients)
	if err != nil {
		return d.readFailed("event stream", err)
	}
	own := false // somebody else leaves for the client
	defer func() {
		if !own {
			d.hub.leave(c)
		}
	}()
	snap, err := d.snapshot.get(ctx, 0)
	if err != nil {
		return d.readFailed("event stream", err)
	}
	first := min(snap.id, high)
	last, resumed := lastEventID(r)
	if !resumed {
		last = first
	}
	missed, complete, err := d.missed(ctx, last, high)
	if err != nil {
		return d.readFailed("event stream", err)
	}

	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would keep messages back
	head := []byte("retry: 2000\n")
	if !resumed {
		head = fmt.Appendf(head, "id: %d\n", first)
	}
	start := [][]byte{head, snap.data}
	if !complete {
		start = append(start, fmt.Appendf(nil, "id: %d\ndata: {\"type\":\"reset\",\"id\":%d}\n\n", high, high))
	}
	start = append(start, missed...)

	rc := http.NewResponseController(w)
	conn, _, err := rc.Hijack()
	if err != nil { // HTTP/2, or a recorder in a test: the server's goroutine stays with the stream
		_ = rc.SetReadDeadline(time.Time{})
		w.WriteHeader(http.StatusOK)
		c.follow(start, ctx.Done(), func(b []byte) error {
			_ = rc.SetWriteDeadline(time.Now().Add(writeDeadline))
			_, err := w.Write(b)
			return errors.Join(err, rc.Flush())
		})
		return nil
	}
	// A stream lasts for hours and needs next to nothing. Away from the server it costs two small goroutines; with it, the
	// server's buffers and a stack as deep as all handlers above this one.
	var answer bytes.Buffer
	answer.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
	_ = h.Write(&answer) // to memory
	answer.WriteString("\r\n")
	own = true
	go d.serveAlone(conn, c, append([][]byte{answer.Bytes()}, start...))
	return nil
}

// serveAlone sends a stream over a connection that the server has handed over, until either side ends it.
func (d *Dashboard) serveAlone(conn net.Conn, c *client, start [][]byte) {
	defer d.hub.leave(c)
	defer func() { _ = conn.Close() }()
	boundBuffer(conn)
	_ = conn.SetDeadline(time.Time{}) // the server's time-outs are for requests; this one is meant to last
	gone := make(chan struct{})
	go func() { // a client that hangs up says so at once, not at the next heartbeat
		defer close(gone)
		var b [1]byte
		for {
			if _, err := conn.Read(b[:]); err != nil {
				return
			}
		}
	}()
	c.follow(start, gone, func(b []byte) error {
		_ = conn.SetWriteDeadline(time.Now().Add(writeDeadline))
		_, err := conn.Write(b)
		return err
	})
}

// follow sends what a client's stream begins with, then whatever is put into its queue, and heartbeats. It returns when
// the client is gone, is given up, or can't be written to.
func (c *client) follow(start [][]byte, gone <-chan struct{}, send func([]byte) error) {
	if send(bytes.Join(start, nil)) != nil {
		return
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		select {
		case f := <-c.queue:
			if send(f) != nil {
				return
			}
		case now := <-beat.C:
			if send(fmt.Appendf(nil, "data: {\"type\":\"heartbeat\",\"at\":%q}\n\n", now.UTC().Format(time.RFC3339))) != nil {
				return
			}
		case <-c.dropped:
			return
		case <-gone:
			return
		}
	}
}

// lastEventID reads where a client was. EventSource sends it by itself when it reconnects.
func lastEventID(r *http.Request) (int64, bool) {
	id, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	return id, err == nil && id >= 0
}

// missed returns the messages after last up to high. It is not complete when there are more than replayLimit, or when
// the feed never came as far as last (another database): then the client has to start afresh.
func (d *Dashboard) missed(ctx context.Context, last, high int64) (frames [][]byte, complete bool, err error) {
	if last == high {
		return nil, true, nil
	}
	if last > high {
		return nil, false, nil
	}
	changes, err := d.read.Changes(ctx, last, replayLimit+1)
	if err != nil {
		return nil, false, err
	}
	for _, c := range changes {
		if c.ID <= high {
			frames = append(frames, d.hub.frame(c, true))
		}
	}
	if len(frames) > replayLimit {
		return nil, false, nil
	}
	return frames, true, nil
}

// readFailed logs why a page could not be read and says what a client may know.
func (d *Dashboard) readFailed(what string, err error) error {
	var he *httpError
	if errors.As(err, &he) {
		return err
	}
	if !errors.Is(err, context.Canceled) {
		d.log.Error("reading for a page failed", "page", what, telemetry.KeyErr, err)
	}
	return errUnavailable
}

type snapshot struct {
	id   int64
	data []byte // the message from "data:" on
}

type snapshotMessage struct {
	Type       string         `json:"type"`
	ID         int64          `json:"id"`
	At         time.Time      `json:"at"`
	Version    string         `json:"version"`
	Stats      statsAnswer    `json:"stats"`
	Pulls      []pullJSON     `json:"pulls"`
	Deliveries []deliveryJSON `json:"deliveries"`
}

// loadSnapshot makes the first message of a stream. Its id is read before its content, so that whatever it lacks is
// among the changes after that id.
func (d *Dashboard) loadSnapshot(ctx context.Context) (snapshot, error) {
	id := d.hub.position()
	o, err := d.overview.get(ctx, 0)
	if err != nil {
		return snapshot{}, err
	}
	m := snapshotMessage{
		Type: "snapshot", ID: id, At: time.Now().UTC(), Version: d.o.Version,
		Stats: d.statsOf(o.totals, nil), Pulls: []pullJSON{}, Deliveries: []deliveryJSON{},
	}
	for _, p := range o.open[:min(len(o.open), 50)] {
		m.Pulls = append(m.Pulls, d.pullJSON(p))
	}
	for _, dl := range o.deliveries[:min(len(o.deliveries), 20)] {
		m.Deliveries = append(m.Deliveries, d.deliveryJSON(dl))
	}
	b, err := json.Marshal(m)
	if err != nil {
		return snapshot{}, err
	}
	return snapshot{id, slices.Concat([]byte("data: "), b, []byte("\n\n"))}, nil
}

// A hub follows the change feed once for all clients of the stream. It polls only while there are clients.
type hub struct {
	read    Reader
	log     *slog.Logger
	secrets *telemetry.Secrets
	wake    chan struct{}

	mu      sync.Mutex
	clients map[*client]struct{}
	ended   bool
	live    bool                // the fields below are in step with the feed
	high    int64               // the newest id that was sent
	floor   int64               // nothing up to here is looked for again
	seen    map[int64]time.Time // ids after floor, and when each was first seen
	held    []pull.Change       // seen and not sent, by id
	sent    time.Time           // when something was last sent
}

type client struct {
	queue   chan []byte
	dropped chan struct{} // closed when the hub gives the client up
}

func newHub(r Reader, o Options) *hub {
	return &hub{read: r, log: o.Logger, secrets: o.Secrets, wake: make(chan struct{}, 1), clients: map[*client]struct{}{}}
}

func (h *hub) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

func (h *hub) position() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.high
}

// join adds a client. Every change after the id that it returns is put into the client's queue.
func (h *hub) join(ctx context.Context, limit int) (*client, int64, error) {
	for {
		c, high, err := h.tryJoin(ctx, limit)
		if err != errLostPlace {
			return c, high, err
		}
	}
}

// errLostPlace: the last client left just now, and with it the hub's place in the feed.
var errLostPlace = errors.New("the hub has lost its place")

func (h *hub) tryJoin(ctx context.Context, limit int) (*client, int64, error) {
	h.mu.Lock()
	live, full, ended := h.live, len(h.clients) >= limit, h.ended
	h.mu.Unlock()
	if ended {
		return nil, 0, errStreamEnds
	}
	if full {
		return nil, 0, errStreamFull
	}
	var latest int64
	var recent []pull.Change
	if !live {
		var err error
		if latest, err = h.read.LatestChange(ctx); err != nil {
			return nil, 0, fmt.Errorf("latest change: %w", err)
		}
		if recent, err = h.read.Changes(ctx, max(0, latest-lookBackRows), 2*lookBackRows); err != nil {
			return nil, 0, fmt.Errorf("recent changes: %w", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.ended:
		return nil, 0, errStreamEnds
	case len(h.clients) >= limit:
		return nil, 0, errStreamFull
	case !h.live && live:
		return nil, 0, errLostPlace
	case !h.live:
		now := time.Now()
		h.live, h.high, h.floor = true, latest, max(0, latest-lookBackRows)
		h.seen, h.held = map[int64]time.Time{}, nil
		for _, c := range recent {
			h.seen[c.ID] = now
			h.high = max(h.high, c.ID)
		}
	}
	c := &client{queue: make(chan []byte, clientQueue), dropped: make(chan struct{})}
	h.clients[c] = struct{}{}
	h.nudge()
	return c, h.high, nil
}

func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(c)
}

// remove forgets a client; with the last one the hub loses its place in the feed and rests. It needs h.mu.
func (h *hub) remove(c *client) {
	delete(h.clients, c)
	if len(h.clients) == 0 {
		h.live, h.seen, h.held = false, nil, nil
	}
}

// run polls while there are clients, until ctx ends; then every stream is ended.
func (h *hub) run(ctx context.Context) error {
	defer h.end()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	tick.Stop()
	failing := false
	for {
		if h.size() == 0 {
			select {
			case <-h.wake:
			case <-ctx.Done():
				return nil
			}
			continue
		}
		err := h.poll(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			h.log.Error("the event stream can't read the change feed", telemetry.KeyErr, err)
		}
		failing = err != nil
		if d := h.rest(time.Now()); d > 5*time.Millisecond {
			t := time.NewTimer(d)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return nil
			}
		}
		tick.Reset(pollEvery)
		select {
		case <-h.wake:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// rest is how long to wait before the next message, for the work that the last one was.
func (h *hub) rest(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent.Add(min(time.Duration(len(h.clients))*restPerClient, restMost)).Sub(now)
}

// end ends every stream, and lets no client join any more.
func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for c := range h.clients {
		close(c.dropped)
		h.remove(c)
	}
}

// poll reads what is new in the feed and sends it.
func (h *hub) poll(ctx context.Context) error {
	h.mu.Lock()
	after, live := h.floor, h.live
	h.mu.Unlock()
	for live {
		page, err := h.read.Changes(ctx, after, replayLimit)
		if err != nil {
			return err
		}
		if live = h.takeIfLive(page); len(page) < replayLimit {
			return nil
		}
		after = page[len(page)-1].ID
	}
	return nil
}

func (h *hub) takeIfLive(page []pull.Change) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.live {
		h.take(page, time.Now())
	}
	return h.live
}

// take notes what of page is new and sends what may be sent at now, in the order of ids. It needs h.mu.
func (h *hub) take(page []pull.Change, now time.Time) {
	for _, c := range page {
		if _, known := h.seen[c.ID]; !known && c.ID > h.floor {
			h.seen[c.ID] = now
			h.held = append(h.held, c)
		}
	}
	slices.SortFunc(h.held, func(a, b pull.Change) int { return int(a.ID - b.ID) })
	// All that a poll found is one entry of a client's queue: a burst must not look like a reader that is slow.
	var batch []byte
	sent := 0
	for _, c := range h.held {
		if c.ID > h.high+1 && now.Sub(h.seen[c.ID]) < holdBack {
			break
		}
		// A change that comes after a later one was sent has no id line: the client's place in the feed stays.
		batch = append(batch, h.frame(c, c.ID > h.high)...)
		h.high = max(h.high, c.ID)
		sent++
	}
	h.held = slices.Delete(h.held, 0, sent)
	for id, at := range h.seen {
		if now.Sub(at) > lookBack && id <= h.high {
			h.floor = max(h.floor, id)
		}
	}
	for id := range h.seen {
		if id <= h.floor {
			delete(h.seen, id)
		}
	}
	if len(batch) > 0 {
		h.sent = now
		h.send(batch) // the last thing: with the last client that it drops, the hub loses its place
	}
}

// send puts messages into every client's queue and drops the clients whose queue is full. It needs h.mu.
func (h *hub) send(frames []byte) {
	for c := range h.clients {
		select {
		case c.queue <- frames:
		default:
			close(c.dropped)
			h.remove(c)
		}
	}
}

type updateMessage struct {
	Type   string          `json:"type"`
	ID     int64           `json:"id"`
	Kind   pull.ChangeKind `json:"kind"`
	Key    string          `json:"key,omitempty"`
	Number int             `json:"number,omitempty"`
	Text   string          `json:"text,omitempty"`
	At     time.Time       `json:"at"`
}

// frame renders a change. JSON has no raw line breaks, so nothing in a title can end the message or begin another.
func (h *hub) frame(c pull.Change, withID bool) []byte {
	m := updateMessage{Type: "update", ID: c.ID, Kind: c.Kind, Key: c.Key, Text: clean(h.secrets.Scrub(c.Text), 300), At: c.At.UTC()}
	if k, err := pull.ParseKey(c.Key); err == nil {
		m.Number = k.Number
	}
	b, err := json.Marshal(m)
	if err != nil { // unreachable unless a time is out of JSON's range
		b = fmt.Appendf(nil, `{"type":"update","id":%d}`, c.ID)
	}
	var out []byte
	if withID {
		out = fmt.Appendf(out, "id: %d\n", c.ID)
	}
	return slices.Concat(out, []byte("data: "), b, []byte("\n\n"))
}
