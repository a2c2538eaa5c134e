package delivery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// Options bound an inbox. Zero values are replaced by what suits a service of ordinary size.
type Options struct {
	BatchRows    int // deliveries per transaction at most; 256
	BatchBytes   int // compressed bytes per transaction, unless one delivery alone has more; 8 MiB
	WaitingRows  int // deliveries that may wait for the writer; 4,096
	WaitingBytes int // compressed bytes of them; 64 MiB
	// Patience is how long Accept waits for its receipt; 2 s, and a quarter of it once deliveries can't be kept. GitHub
	// hangs up after 10, and a sender that is told at once that the database is away is better served than one that waits.
	Patience time.Duration
	// InsertTimeout is how long one transaction may take; 5 s.
	InsertTimeout time.Duration
	// Committed is called by the writer after each commit, with the deliveries that were new: it must not block, and must
	// keep nothing of them. Whoever tells the intake belongs here.
	Committed func(fresh []pull.Delivery)
}

func (o Options) withDefaults() Options {
	o.BatchRows = cmp.Or(o.BatchRows, 256)
	o.BatchBytes = cmp.Or(o.BatchBytes, 8<<20)
	o.WaitingRows = cmp.Or(o.WaitingRows, 4096)
	o.WaitingBytes = cmp.Or(o.WaitingBytes, 64<<20)
	o.Patience = cmp.Or(o.Patience, 2*time.Second)
	o.InsertTimeout = cmp.Or(o.InsertTimeout, 5*time.Second)
	if o.Committed == nil {
		o.Committed = func([]pull.Delivery) {}
	}
	return o
}

// An Inbox keeps deliveries, many per transaction. Its writer is Run; without it nothing is kept and Accept runs out
// of patience. Make it with NewInbox.
type Inbox struct {
	Options
	store   Store
	metrics *telemetry.Metrics
	log     *slog.Logger
	wake    chan struct{} // holds one token while something may wait

	mu      sync.Mutex
	waiting []*entry
	bytes   int // of the packed bodies that wait
	closed  bool
	since   time.Time // when the running transaction began; zero between two

	failing int         // batches that failed in a row; the writer's
	outage  atomic.Bool // the last one failed
}

// An entry is a delivery that waits for its receipt.
type entry struct {
	delivery pull.Delivery
	done     chan outcome // has room for the one outcome, so that the writer never waits for a caller that left
}

type outcome struct {
	receipt pull.Receipt
	err     error
}

// NewInbox returns an inbox on s. It starts nothing.
func NewInbox(s Store, m *telemetry.Metrics, log *slog.Logger, o Options) *Inbox {
	return &Inbox{Options: o.withDefaults(), store: s, metrics: m, log: log, wake: make(chan struct{}, 1)}
}

// Accept keeps d and returns its receipt once the transaction is committed. Its errors are ErrBusy and ErrUnavailable,
// and that of ctx: with either of the last two the delivery may be kept all the same. d.Body is not used after Accept
// has returned. Calls from many goroutines share transactions.
func (in *Inbox) Accept(ctx context.Context, d pull.Delivery) (pull.Receipt, error) {
	// Hashing and compressing happen here, in parallel, so that the one writer only writes. A compressed body is a
	// seventh of the size, which more than doubles what a database keeps per second.
	if d.BodyHash == [sha256.Size]byte{} {
		d.BodyHash = sha256.Sum256(d.Body)
	}
	if d.Packed == nil {
		d.Packed = pack(d.Body)
	}
	d.Body = nil
	e := &entry{delivery: d, done: make(chan outcome, 1)}
	if err := in.enqueue(e); err != nil {
		return pull.Receipt{}, err
	}
	wait := in.Patience
	if in.outage.Load() {
		wait /= 4
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	select {
	case o := <-e.done:
		return o.receipt, o.err
	case <-patience.C:
		return pull.Receipt{}, fmt.Errorf("keep delivery %s: no answer within %v: %w", d.ID, wait, ErrUnavailable)
	case <-ctx.Done():
		return pull.Receipt{}, fmt.Errorf("keep delivery %s: %w", d.ID, ctx.Err())
	}
}

func (in *Inbox) enqueue(e *entry) error {
	n := len(e.delivery.Packed)
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.closed:
		return fmt.Errorf("keep delivery %s: the service is stopping: %w", e.delivery.ID, ErrUnavailable)
	case len(in.waiting) >= in.WaitingRows, len(in.waiting) > 0 && in.bytes+n > in.WaitingBytes:
		return ErrBusy
	}
	in.waiting = append(in.waiting, e)
	in.bytes += n
	in.nudge()
	return nil
}

func (in *Inbox) nudge() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// Busy reports whether deliveries wait for the writer, or are being written.
func (in *Inbox) Busy() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.waiting) > 0 || !in.since.IsZero()
}

// Writing returns for how long the writer has been at its present transaction; 0 when it is at none. A writer that
// does not come back in spite of its time limit is a reason to restart.
func (in *Inbox) Writing() time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.since.IsZero() {
		return 0
	}
	return time.Since(in.since)
}

// Run is the writer. It ends when ctx does, after it has answered everything that waits; from then on Accept refuses.
// End the HTTP server first.
func (in *Inbox) Run(ctx context.Context) error {
	defer in.close()
	keep := context.WithoutCancel(ctx) // what waits is kept or refused, never dropped in the middle
	for ctx.Err() == nil {
		select {
		case <-in.wake:
			in.drain(keep, func() bool { return false })
		case <-ctx.Done():
		}
	}
	// One failure is enough now: a database that is away would make the end take longer than anybody waits.
	in.drain(keep, func() bool { return in.failing > 0 })
	return nil
}

// drain writes batches until nothing waits or stop says so.
func (in *Inbox) drain(ctx context.Context, stop func() bool) {
	for {
		batch := in.take()
		if len(batch) == 0 {
			return
		}
		in.write(ctx, batch)
		if stop() {
			return
		}
	}
}

// close refuses what still waits, and everything from now on.
func (in *Inbox) close() {
	in.mu.Lock()
	left := in.waiting
	in.waiting, in.bytes, in.closed = nil, 0, true
	in.mu.Unlock()
	for _, e := range left {
		e.done <- outcome{err: fmt.Errorf("keep delivery %s: the service is stopping: %w", e.delivery.ID, ErrUnavailable)}
	}
}

// take removes the next batch from the waiting room: all of it, within the bounds.
func (in *Inbox) take() []*entry {
	in.mu.Lock()
	defer in.mu.Unlock()
	n, size := 0, 0
	for n < len(in.waiting) && n < in.BatchRows {
		next := len(in.waiting[n].delivery.Packed)
		if n > 0 && size+next > in.BatchBytes {
			break
		}
		size += next
		n++
	}
	in.bytes -= size
	if n == len(in.waiting) {
		batch := in.waiting
		in.waiting = nil
		return batch
	}
	batch := append([]*entry(nil), in.waiting[:n]...)
	rest := copy(in.waiting, in.waiting[n:])
	clear(in.waiting[rest:])
	in.waiting = in.waiting[:rest]
	return batch
}

// write keeps one batch and answers every entry of it.
func (in *Inbox) write(ctx context.Context, batch []*entry) {
	rows := make([]pull.Delivery, len(batch))
	for i, e := range batch {
		rows[i] = e.delivery
	}
	receipts, err := in.insert(ctx, rows)
	var refused RowErrors
	switch {
	case errors.As(err, &refused):
		in.log.Error("deliveries refused by the database", telemetry.KeyErr, err, telemetry.KeyCount, len(batch))
		in.metrics.Error(telemetry.ErrDatabase)
	case err != nil:
		in.failed(err, len(batch))
	default:
		in.succeeded()
	}
	fresh := make([]pull.Delivery, 0, len(rows))
	for i, e := range batch {
		var o outcome
		switch {
		case refused != nil && refused.RowError(i) != nil:
			o.err = fmt.Errorf("keep delivery %s: %w: %w", e.delivery.ID, ErrUnavailable, refused.RowError(i))
		case refused == nil && err != nil:
			o.err = fmt.Errorf("keep delivery %s: %w: %w", e.delivery.ID, ErrUnavailable, err)
		default:
			if o.receipt = receipts[i]; !o.receipt.Duplicate {
				fresh = append(fresh, rows[i])
			}
		}
		e.done <- o
	}
	if err == nil || refused != nil {
		in.Committed(fresh)
	}
}

func (in *Inbox) insert(ctx context.Context, rows []pull.Delivery) (receipts []pull.Receipt, err error) {
	in.mu.Lock()
	in.since = time.Now()
	in.mu.Unlock()
	defer func() {
		in.mu.Lock()
		in.since = time.Time{}
		in.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, in.InsertTimeout)
	defer cancel()
	receipts, err = in.store.Insert(ctx, rows)
	if err == nil && len(receipts) != len(rows) {
		return nil, fmt.Errorf("insert %d deliveries: the store returned %d receipts", len(rows), len(receipts))
	}
	return receipts, err
}

// failed says once that an outage has begun, and counts every batch of it.
func (in *Inbox) failed(err error, rows int) {
	in.metrics.Error(telemetry.ErrDatabase)
	in.outage.Store(true)
	if in.failing++; in.failing == 1 {
		in.log.Error("deliveries can't be kept, senders are answered 503", telemetry.KeyErr, err, telemetry.KeyCount, rows)
	}
}

func (in *Inbox) succeeded() {
	if in.failing > 0 {
		in.log.Info("deliveries are kept again", "failed_batches", in.failing)
		in.failing = 0
		in.outage.Store(false)
	}
}

// Compressing needs room for the worst case, more than the body's own size, for a moment. Usual bodies take it from a
// pool; of large ones there is one at a time.
const largeBody = 1 << 20

var (
	scratch sync.Pool
	large   sync.Mutex
)

// pack returns body as an s2 block, in exactly the memory that it needs.
func pack(body []byte) []byte {
	if len(body) > largeBody {
		large.Lock()
		defer large.Unlock()
		return append([]byte(nil), s2.Encode(nil, body)...)
	}
	b, ok := scratch.Get().(*[]byte)
	if !ok || cap(*b) < s2.MaxEncodedLen(len(body)) {
		b = new([]byte)
		*b = make([]byte, s2.MaxEncodedLen(max(len(body), 64<<10)))
	}
	defer scratch.Put(b)
	return append([]byte(nil), s2.Encode((*b)[:cap(*b)], body)...)
}
