package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// HintOptions say where the list is. Zero values of the rest are replaced by what suits a service of ordinary size.
type HintOptions struct {
	URL string // redis:// or rediss://
	Key string // of the list
	// Lease is for how long a delivery that is in the list is left to whoever takes from the list.
	Lease time.Duration
	Probe time.Duration // how often Redis is looked at; 1 s
	// Told is called after deliveries have been put into the list, or could not be. It must not block.
	Told func()
}

// Every command has a time limit; none is on the way of an acknowledgement.
const (
	hintTimeout  = 200 * time.Millisecond // of a push or a pop
	probeTimeout = time.Second
	dialTimeout  = time.Second
	fillTimeout  = 10 * time.Second
	breakAfter   = 3 // unanswered commands in a row: no more are tried until a probe finds Redis well

	hintsWaiting = 10_000  // items that wait for their push; beyond it they are left to the database, and refilled later
	hintsPushed  = 500     // items per push
	refillMost   = 100_000 // items that a refill looks at; more than that wait in the database alone
	removeMost   = 1000    // items that a refill removes; what takes from the list removes the others
	insertMost   = 1000    // items that a refill puts between others, for each of which Redis looks through the list

	// settled is how old a delivery must be before it is missed in the list: younger ones may be on their way there.
	settled = 500 * time.Millisecond

	junkMost  = 1000        // entries of the list that are no items, kept for whoever put them there
	junkEvery = time.Minute // how often that is logged
	policyAge = time.Minute // how long an answer about Redis's settings is believed
)

// Commands are those that the user in REDIS_URL needs.
const Commands = "RPUSH, LPUSH, LPOP, LLEN, LRANGE, LREM, LINSERT, LTRIM, TYPE, SET, DEL, INFO"

// Other keys that the service uses. Epoch and refill are followed by the name of the list, so that two installations on
// one Redis don't disturb each other.
const (
	keyEpoch  = "github-pr-manager:epoch:"  // there since the list was last brought up to date: gone means flushed
	keyRefill = "github-pr-manager:refill:" // held by the replica that does so
	keyJunk   = "github-pr-manager:junk"
)

// Hints are the Redis list: one Item for every delivery that waits to be taken in, the oldest at the left. The list is how
// replicas share the deliveries, and an operator's window on them. It is never needed: an item that is lost, taken away,
// doubled or made up loses nothing and doubles nothing, since the deliveries are in the database, and while Redis is not
// well they are taken from there without it.
//
// Run puts items in and looks after the list; the intake takes them out. Make it with NewHints.
type Hints struct {
	HintOptions
	client  *redis.Client
	store   Store
	metrics *telemetry.Metrics
	log     *slog.Logger
	wake    chan struct{}
	looked  chan struct{} // closed when Run has looked at Redis for the first time

	mu      sync.Mutex
	waiting []string  // items on their way to the list
	gap     bool      // some did not get there: the list has to be filled up
	gapAt   time.Time // with what was received up to then, by the store's clock

	trouble atomic.Pointer[trouble] // nil: all is well
	warning atomic.Pointer[string]  // works, and somebody should look
	failing atomic.Int32            // commands that failed in a row
	asked   time.Time               // when Redis was last asked for its settings; Run's

	unfilled int // times in a row that the list could not be filled up; Run's

	junk      atomic.Int64 // not yet logged
	junkSince atomic.Int64 // when it was last logged, Unix nanoseconds
}

// A trouble is why the list is not used.
type trouble struct {
	what  string // for people, without names of hosts
	since time.Time
	full  bool // it takes nothing in, but gives out what it has
}

// NewHints returns hints that use the Redis at o.URL. It connects to nothing yet; its error is about the URL, and never
// shows the password.
func NewHints(s Store, m *telemetry.Metrics, log *slog.Logger, o HintOptions) (*Hints, error) {
	client, err := dial(o.URL)
	if err != nil {
		return nil, err
	}
	o.Probe = cmp.Or(o.Probe, time.Second)
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	if o.Told == nil {
		o.Told = func() {}
	}
	h := &Hints{HintOptions: o, client: client, store: s, metrics: m, log: log, wake: make(chan struct{}, 1), looked: make(chan struct{})}
	// Until the first look nobody knows: the database is asked.
	h.trouble.Store(&trouble{what: "Redis has not been asked yet", since: time.Now()})
	return h, nil
}

// dial makes a client that tries everything once: whoever calls it knows what else to do.
func dial(url string) (*redis.Client, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("REDIS_URL is not a URL that Redis takes: want redis://:PASSWORD@HOST:6379/0, or rediss:// for TLS")
	}
	redis.SetLogger(silence{})
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, probeTimeout, probeTimeout, probeTimeout
	o.ContextTimeoutEnabled = true
	o.PoolSize = 4
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

// silence keeps the client from writing to stderr: what goes wrong is said here.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// Close gives the connections back.
func (h *Hints) Close() error { return h.client.Close() }

// Trouble says what is wrong with Redis in one sentence for people; ok is false while all is well.
func (h *Hints) Trouble() (what string, ok bool) {
	if t := h.trouble.Load(); t != nil {
		return fmt.Sprintf("%s (since %s UTC; meanwhile deliveries are taken from the database alone, and none is lost)", t.what, t.since.UTC().Format("15:04:05")), true
	}
	if w := h.warning.Load(); w != nil {
		return *w, true
	}
	return "", false
}

// Looked waits until Run has looked at Redis for the first time, or ctx ends: before that nobody knows how it is.
func (h *Hints) Looked(ctx context.Context) {
	select {
	case <-h.looked:
	case <-ctx.Done():
	}
}

// usable reports whether the list can be taken from, and whether it is complete: then nobody needs to look elsewhere for
// what has just come in.
func (h *Hints) usable() (take, complete bool) {
	t := h.trouble.Load()
	return t == nil || t.full, t == nil
}

// Len is how many items are in the list.
func (h *Hints) Len(ctx context.Context) (int64, error) {
	n, err := h.client.LLen(ctx, h.Key).Result()
	if err != nil {
		return 0, fmt.Errorf("length of %s: %w", h.Key, plain(err))
	}
	return n, nil
}

// Remove takes the item of one delivery out of the list, wherever it stands. Nothing depends on that but the list's length.
func (h *Hints) Remove(ctx context.Context, id string) error {
	there, err := h.client.LRange(ctx, h.Key, 0, refillMost-1).Result()
	if err != nil {
		return fmt.Errorf("read %s: %w", h.Key, plain(err))
	}
	for _, text := range there {
		if i, err := ParseItem(text); err != nil || i.DeliveryID != id {
			continue
		}
		if err := h.client.LRem(ctx, h.Key, 0, text).Err(); err != nil {
			return fmt.Errorf("remove an item from %s: %w", h.Key, plain(err))
		}
	}
	return nil
}

// Tell puts an item into the list for each of the deliveries, soon. It never blocks and keeps nothing of them.
func (h *Hints) Tell(fresh []pull.Delivery) {
	if len(fresh) == 0 {
		return
	}
	_, complete := h.usable()
	now := h.store.Now()
	items := make([]string, 0, len(fresh))
	if complete {
		for _, d := range fresh {
			d.ReceivedAt = now
			items = append(items, itemOf(d).String())
		}
	}
	h.mu.Lock()
	room := hintsWaiting - len(h.waiting)
	if !complete || len(items) > room {
		h.miss()
		h.metrics.Hints(telemetry.HintDropped, len(fresh)-min(len(items), room))
		items = items[:min(len(items), room)]
	}
	h.waiting = append(h.waiting, items...)
	h.mu.Unlock()
	if !complete {
		h.Told() // straight to the database
		return
	}
	h.nudge()
}

// miss notes that the list lacks items. The caller holds mu.
func (h *Hints) miss() { h.gap, h.gapAt = true, h.store.Now() }

// missed is miss for who does not hold mu.
func (h *Hints) missed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.miss()
}

func (h *Hints) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Run pushes items and looks after the list until ctx ends; then it pushes what still waits, once.
func (h *Hints) Run(ctx context.Context) error {
	probe := time.NewTicker(h.Probe)
	defer probe.Stop()
	h.missed() // what came in before, and is waiting
	h.look(ctx)
	close(h.looked)
	for {
		select {
		case <-h.wake:
			h.push(ctx)
		case <-probe.C:
			h.look(ctx)
		case <-ctx.Done():
			h.push(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// push puts what waits into the list, a few hundred at a time in one command.
func (h *Hints) push(ctx context.Context) {
	for {
		h.mu.Lock()
		n := min(len(h.waiting), hintsPushed)
		batch := h.waiting[:n:n]
		h.waiting = h.waiting[n:]
		if len(h.waiting) == 0 {
			h.waiting = nil
		}
		h.mu.Unlock()
		if n == 0 {
			return
		}
		if _, complete := h.usable(); complete {
			err := h.rpush(ctx, batch)
			if err == nil {
				h.failing.Store(0)
				h.metrics.Hints(telemetry.HintPushed, n)
				h.Told()
				continue
			}
			h.failed(err)
		}
		h.metrics.Hints(telemetry.HintDropped, n)
		h.missed()
		h.Told()
	}
}

func (h *Hints) rpush(ctx context.Context, items []string) error {
	ctx, done := context.WithTimeout(ctx, hintTimeout)
	defer done()
	return h.client.RPush(ctx, h.Key, anys(items)...).Err()
}

func anys(items []string) []any {
	out := make([]any, len(items))
	for i, s := range items {
		out[i] = s
	}
	return out
}

// failed notes that a command of ours failed. An answer that says no is believed; silence, which a busy machine makes as
// well, only when it goes on. What was asked may have been done: the list is compared with the database later.
func (h *Hints) failed(err error) {
	h.metrics.Error(telemetry.ErrRedis)
	h.missed()
	var answer redis.Error
	if n := h.failing.Add(1); n >= breakAfter || errors.As(err, &answer) {
		h.broken(err)
	}
}

// broken notes that the list can't be used, and says so once.
func (h *Hints) broken(err error) {
	t := &trouble{what: explain(err, h.Key), since: time.Now(), full: redis.IsOOMError(err)}
	was := h.trouble.Load()
	if was != nil && was.what == t.what {
		return
	}
	if was != nil {
		t.since = was.since
	}
	h.trouble.Store(t)
	h.metrics.RedisUp(false)
	h.log.Error("the queue in Redis can't be used: deliveries are taken from the database alone", "what", t.what, telemetry.KeyErr, plain(err))
}

// explain says what an error of Redis means, and what to do about it. No host is named: anybody may read it.
func explain(err error, key string) string {
	switch {
	case redis.IsOOMError(err):
		return "Redis is full (maxmemory is reached): give it more memory, or remove what fills it"
	case redis.HasErrorPrefix(err, "WRONGTYPE"), errors.Is(err, errWrongType):
		return fmt.Sprintf("the key %s holds something else than a list: remove it (redis-cli DEL %s), or set WEBHOOK_QUEUE_KEY to a key that nobody else uses", key, key)
	case redis.IsReadOnlyError(err):
		return "Redis is a read-only replica: point REDIS_URL at the primary"
	case redis.IsLoadingError(err):
		return "Redis is loading its data"
	case redis.IsAuthError(err):
		return "Redis does not accept the password in REDIS_URL"
	case redis.HasErrorPrefix(err, "ERR wrong number of arguments"):
		return "Redis is older than version 6.2: update it"
	case redis.IsPermissionError(err):
		return "the user in REDIS_URL may not use the commands that the queue needs (" + Commands + ")"
	}
	var answer redis.Error
	if errors.As(err, &answer) {
		return "Redis answers with an error: see the log"
	}
	return "Redis does not answer: is it running?"
}

// plain is an error of the client as one line without the address, which may be private.
func plain(err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Err != nil:
		return op.Err
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.Is(err, io.EOF):
		return errors.New("the connection was closed")
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
}

var errWrongType = errors.New("the key is not a list")

// look asks Redis how it is: whether it can be written to, whether it has been flushed or started anew, and, now and then,
// whether it may throw the list away. What is missing in the list is filled up.
func (h *Hints) look(ctx context.Context) {
	ctx, done := context.WithTimeout(ctx, probeTimeout)
	defer done()
	epoch, err := h.ask(ctx)
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return
	}
	if err != nil {
		h.metrics.Error(telemetry.ErrRedis)
		h.broken(err)
		return
	}
	h.failing.Store(0)
	h.mu.Lock()
	if epoch {
		h.miss()
	}
	refill := h.gap && h.store.Now().Sub(h.gapAt) >= settled // what is on its way has arrived
	h.mu.Unlock()
	if t := h.trouble.Swap(nil); t != nil {
		h.metrics.RedisUp(true)
		h.log.Info("the queue in Redis is used", telemetry.KeyTook, time.Since(t.since).Round(time.Millisecond))
	}
	if refill {
		h.refill(context.WithoutCancel(ctx))
	}
	h.sayJunk()
}

// ask reports whether Redis has lost the mark that an earlier look left. Its error is why the list can't be used.
func (h *Hints) ask(ctx context.Context) (lost bool, err error) {
	pipe := h.client.Pipeline()
	kind := pipe.Type(ctx, h.Key)
	mark := pipe.SetNX(ctx, keyEpoch+h.Key, time.Now().UTC().Format(time.RFC3339), 0)
	var info *redis.StringCmd
	if time.Since(h.asked) > policyAge {
		info = pipe.Info(ctx, "memory")
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	if err := cmp.Or(kind.Err(), mark.Err()); err != nil {
		return false, err
	}
	if k := kind.Val(); k != "list" && k != "none" {
		return false, errWrongType
	}
	if info != nil {
		h.asked = time.Now()
		h.judge(info.Val())
	}
	return mark.Val(), nil
}

// judge looks for settings under which Redis throws keys away: the list would lose items, and its length would lie.
func (h *Hints) judge(info string) {
	text := evicts(section(info)["maxmemory_policy"], h.Key)
	if text == "" {
		h.warning.Store(nil)
		return
	}
	if was := h.warning.Swap(&text); was == nil || *was != text {
		h.log.Error(text)
	}
}

// evicts says that a Redis with this maxmemory-policy may throw the list away; "" when it won't, or does not tell.
func evicts(policy, key string) string {
	if policy == "" || policy == "noeviction" {
		return ""
	}
	return fmt.Sprintf("Redis may throw the queue away when it is full (maxmemory-policy is %s): set it to noeviction; no delivery would be lost, but %s would not tell the truth", policy, key)
}

// section is an answer to INFO by its names.
func section(info string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			values[name] = value
		}
	}
	return values
}

// refill makes the list say what waits. One replica does it at a time.
func (h *Hints) refill(ctx context.Context) {
	ctx, done := context.WithTimeout(ctx, fillTimeout)
	defer done()
	held, err := h.client.SetNX(ctx, keyRefill+h.Key, "1", 2*fillTimeout).Result()
	if err != nil || !held {
		return // later
	}
	defer h.client.Del(context.WithoutCancel(ctx), keyRefill+h.Key)
	h.mu.Lock()
	until := h.gapAt
	h.gap = false
	h.mu.Unlock()
	added, removed, err := h.fill(ctx, until)
	if err != nil {
		h.missed()
		if h.unfilled++; h.unfilled == 1 {
			h.log.Warn("the queue in Redis could not be filled up, and is tried again every second", telemetry.KeyErr, err)
		}
		return
	}
	h.unfilled = 0
	if removed == removeMost { // there may be more of them
		h.missed()
	}
	h.metrics.Hints(telemetry.HintStale, removed)
	if added > 0 {
		h.metrics.Hints(telemetry.HintRefilled, added)
		h.log.Info("filled the queue in Redis up with what waits in the database", telemetry.KeyCount, added)
		h.Told()
	}
}

// fill puts the items of deliveries that were received up to a moment, wait and are not in the list where they belong:
// most often to the left end, since they were received before what is there; what was lost from the middle or the end goes
// back to there, or LPOP would not take the oldest. And it removes items whose deliveries don't wait any more:
// pushes that a frozen Redis carried out after everybody had given them up.
func (h *Hints) fill(ctx context.Context, until time.Time) (added, removed int, err error) {
	// The list is read first: what is in it now and does not wait a moment later has been taken.
	there, err := h.client.LRange(ctx, h.Key, 0, refillMost-1).Result()
	if err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", h.Key, plain(err))
	}
	waiting, err := h.store.Waiting(ctx, h.store.Now(), refillMost)
	if err != nil {
		return 0, 0, err
	}
	waits := make(map[string]bool, len(waiting))
	for _, d := range waiting {
		waits[d.ID] = true
	}
	listed := make(map[string]string, len(there))
	pipe := h.client.Pipeline()
	for _, text := range there {
		i, err := ParseItem(text)
		switch {
		case err != nil: // whoever takes it puts it aside
		case (!waits[i.DeliveryID] && len(waiting) < refillMost || listed[i.DeliveryID] != "") && removed < removeMost:
			pipe.LRem(ctx, h.Key, -1, text)
			removed++
		default:
			listed[i.DeliveryID] = text
		}
	}
	oldest := slices.IndexFunc(waiting, func(d pull.Delivery) bool { return listed[d.ID] != "" })
	var left, right []string // the youngest first
	var between []*redis.IntCmd
	next := "" // what is there and comes right after
	for i, d := range slices.Backward(waiting) {
		text := listed[d.ID]
		switch {
		case text != "":
			next = text
			continue
		case d.ReceivedAt.After(until):
			continue
		}
		switch text = itemOf(d).String(); {
		case i < oldest || oldest < 0:
			left = append(left, text)
		case next == "":
			right = append(right, text)
		case len(between) < insertMost:
			between = append(between, pipe.LInsertBefore(ctx, h.Key, next, text))
			next = text
		default:
			h.missed()
		}
	}
	slices.Reverse(right)
	for batch := range slices.Chunk(right, hintsPushed) {
		pipe.RPush(ctx, h.Key, anys(batch)...)
	}
	for batch := range slices.Chunk(left, hintsPushed) {
		pipe.LPush(ctx, h.Key, anys(batch)...)
	}
	if pipe.Len() == 0 {
		return 0, 0, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, 0, fmt.Errorf("fill %s: %w", h.Key, plain(err))
	}
	added = len(left) + len(right)
	for _, c := range between {
		if c.Val() > 0 {
			added++
		} else { // the one before which it belongs has been taken meanwhile
			h.missed()
		}
	}
	return added, removed, nil
}

// take removes up to n items from the left of the list and returns the ids that they name. drained reports whether the
// list is empty with that. What is no item is put aside.
func (h *Hints) take(ctx context.Context, n int) (items []Item, drained bool, err error) {
	ctx, done := context.WithTimeout(ctx, hintTimeout)
	defer done()
	texts, err := h.client.LPopCount(ctx, h.Key, n).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		h.failed(err)
		return nil, false, err
	}
	h.failing.Store(0)
	var junk []string
	for _, text := range texts {
		i, err := ParseItem(text)
		if err != nil {
			junk = append(junk, text)
			continue
		}
		items = append(items, i)
	}
	if len(junk) > 0 {
		h.putAside(ctx, junk)
	}
	return items, len(texts) < n, nil
}

// putAside keeps what somebody else put into the list where that person can find it, within bounds.
func (h *Hints) putAside(ctx context.Context, junk []string) {
	h.metrics.Hints(telemetry.HintJunk, len(junk))
	h.junk.Add(int64(len(junk)))
	keep := make([]string, 0, len(junk))
	for _, text := range junk[:min(len(junk), junkMost)] {
		keep = append(keep, text[:min(len(text), maxItem)])
	}
	pipe := h.client.Pipeline()
	pipe.RPush(ctx, keyJunk, anys(keep)...)
	pipe.LTrim(ctx, keyJunk, -junkMost, -1)
	_, _ = pipe.Exec(ctx) // nothing of ours: not worth a second try
	h.sayJunk()
}

// sayJunk logs what was put aside, at most once a minute.
func (h *Hints) sayJunk() {
	now, last := time.Now().UnixNano(), h.junkSince.Load()
	if h.junk.Load() == 0 || (last != 0 && time.Duration(now-last) < junkEvery) || !h.junkSince.CompareAndSwap(last, now) {
		return
	}
	h.log.Error("somebody else has put entries into the queue in Redis that are no items; they are put aside, and nothing of ours is touched",
		telemetry.KeyCount, h.junk.Swap(0), "kept_in", keyJunk)
}

// putBack returns items to the left of the list, in their order. Some of them may name nothing that waits any more: the
// list is compared with the database soon.
func (h *Hints) putBack(ctx context.Context, items []Item) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), hintTimeout)
	defer done()
	texts := make([]string, 0, len(items))
	for i := len(items) - 1; i >= 0; i-- {
		texts = append(texts, items[i].String())
	}
	_ = h.client.LPush(ctx, h.Key, anys(texts)...).Err() // what does not get there is missing then
	h.missed()
}
