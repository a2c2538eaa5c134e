package store

import (
	"context"
	"fmt"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// Maintain keeps the store in shape until ctx ends: it follows the database's clock, and on SQLite writes the
// write-ahead log back into the file when enough has been written, so that no writer ever does.
func (s *Store) Maintain(ctx context.Context) error {
	t := time.NewTicker(clockEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.nudge:
			if err := s.checkpoint(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("the write-ahead log could not be written back", telemetry.KeyErr, err)
			}
		case <-t.C:
			if err := s.syncClock(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("the database's clock could not be read", telemetry.KeyErr, err)
			}
		}
	}
}

const (
	clockEvery = time.Minute
	// checkpointEvery is after how many writes the log is written back; a batch of deliveries is one write.
	checkpointEvery = 64
)

// wrote counts a committed write, and wakes Maintain when there are enough.
func (s *Store) wrote() {
	if s.sqlite == nil || s.pending.Add(1) < checkpointEvery {
		return
	}
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// checkpoint writes the log back beside the writer. Only what is left after that, and only when the log has grown
// long, is written back while the writer waits, so that the log starts over.
func (s *Store) checkpoint(ctx context.Context) error {
	s.pending.Store(0)
	q := s.sqlite
	var busy, pages, moved int
	if err := q.back.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &pages, &moved); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if pages*pageSize < walLimit {
		return nil
	}
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := q.back.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &pages, &moved); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}
