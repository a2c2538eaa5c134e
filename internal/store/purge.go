package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// How long what is kept that doesn't follow the retention that operators set.
const (
	keepIDs      = 8 * 24 * time.Hour // GitHub can redeliver for three days (Enterprise Server: seven)
	keepCommands = 90 * 24 * time.Hour
	keepAudits   = 365 * 24 * time.Hour
)

// A purge takes rows in batches, with a pause between two, so that a delivery never waits for long. SQLite has one
// writer, so its batches are smaller.
const (
	purgeBatch       = 5000
	purgeBatchSQLite = 500
	purgePause       = 10 * time.Millisecond
)

// purgedBodies is the setting that says up to which delivery bodies have been emptied.
const purgedBodies = "purged_bodies"

// Purge forgets what is older than retention, and returns how many rows it emptied or removed. Ids of deliveries stay
// for eight days at least, so that repetitions are known; what is not processed stays however old it is.
func (s *Store) Purge(ctx context.Context, retention time.Duration) (int, error) {
	now := s.Now()
	cut := now.Add(-retention)
	ids := now.Add(-max(retention, keepIDs))
	batch := int64(purgeBatch)
	if s.sqlite != nil {
		batch = purgeBatchSQLite
	}
	n, err := s.emptyBodies(ctx, cut, batch)
	if err != nil {
		return n, fmt.Errorf("purge: %w", err)
	}
	last, err := s.before(ctx, 0, ids)
	if err != nil {
		return n, fmt.Errorf("purge: %w", err)
	}
	for _, part := range []struct {
		st    *statement
		until any
	}{
		{dropDeliveries, last},
		{dropVerdicts, cut.UnixMicro()},
		{dropVerdictChanges, cut.UnixMicro()},
		{dropChanges, cut.UnixMicro()},
		{dropLedger, ids.UnixMicro()},
		{dropHeads, ids.UnixMicro()},
		{dropMissing, ids.UnixMicro()},
		{dropSightings, ids.UnixMicro()},
		{dropCommands, now.Add(-keepCommands).UnixMicro()},
		{dropAudits, now.Add(-keepAudits).UnixMicro()},
	} {
		for {
			gone, err := s.purgeOnce(ctx, func(t *tx) (int64, error) { return t.exec(part.st, part.until, batch) })
			n += int(gone)
			if err != nil {
				return n, err
			}
			if gone < batch {
				break
			}
		}
	}
	return n, nil
}

// purgeOnce removes one batch, and pauses.
func (s *Store) purgeOnce(ctx context.Context, do func(*tx) (int64, error)) (gone int64, err error) {
	err = s.write(ctx, "purge", func(t *tx) (err error) {
		gone, err = do(t)
		return err
	})
	if err != nil || gone == 0 {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return gone, ctx.Err()
	case <-time.After(purgePause):
		return gone, nil
	}
}

// before returns the last seq, above a given one, before the first delivery that was received at or after a moment.
// Deliveries are numbered in the order in which they came, all but exactly.
func (s *Store) before(ctx context.Context, above int64, at time.Time) (int64, error) {
	var seq sql.NullInt64
	read := func(scan scanner) error { return scan(&seq) }
	if err := s.query(ctx, firstSince, []any{above, at.UnixMicro()}, read); err != nil {
		return 0, err
	}
	if seq.Valid {
		return seq.Int64 - 1, nil
	}
	err := s.query(ctx, lastDelivery, nil, read)
	return seq.Int64, err
}

// emptyBodies empties the bodies of deliveries from before cut. How far it came is kept, so that no row is looked at
// twice.
func (s *Store) emptyBodies(ctx context.Context, cut time.Time, batch int64) (n int, err error) {
	var mark string
	if err := s.query(ctx, readSetting, []any{purgedBodies}, func(scan scanner) error { return scan(&mark) }); err != nil {
		return 0, err
	}
	from, err := strconv.ParseInt(mark, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrSyntax) {
		return 0, err
	}
	last, err := s.before(ctx, from, cut)
	if err != nil {
		return 0, err
	}
	for from < last {
		to := min(from+batch, last)
		gone, err := s.purgeOnce(ctx, func(t *tx) (int64, error) {
			gone, err := t.exec(emptyBodies, from, to)
			if err != nil {
				return 0, err
			}
			_, err = t.exec(setSetting, purgedBodies, strconv.FormatInt(to, 10), t.now.UnixMicro())
			return gone, err
		})
		n += int(gone)
		if err != nil {
			return n, err
		}
		from = to
	}
	return n, nil
}
