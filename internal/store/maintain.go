package store

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// Maintain keeps the store in shape until ctx ends: it follows the database's clock; while there is trouble, it does what
// can be done about it and finds out when it is over; on SQLite it writes the write-ahead log back into the file when
// enough has been written, so that no writer ever does, and keeps ballast.
func (s *Store) Maintain(ctx context.Context) error {
	t := time.NewTicker(clockEvery)
	defer t.Stop()
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	waiting := false // for the next try: whoever meets the trouble meanwhile, this loop among them, brings it no sooner
	mend := func() {
		if waiting = !s.mend(ctx); waiting {
			retry.Reset(probeEvery)
		}
	}
	if s.sqlite != nil && s.sqlite.lock != nil && s.full() == nil {
		switch err := s.sqlite.ballast.make(); {
		case errors.Is(err, errNoRoom): // without ballast, what is taken might never be finished
			s.ill(&Trouble{Full, s.engine, err})
		case err != nil:
			s.log.Warn("no ballast could be made: on a full disk, work could not go on", "database", s.name, telemetry.KeyErr, err)
		}
	}
	clockFails, logFails := 0, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.nudge:
			err := s.checkpoint(ctx)
			t := s.diagnose(err)
			switch {
			case err == nil:
				logFails = 0
			case ctx.Err() != nil:
			case t != nil && t.Kind == Full: // the file is what has to grow, before the log does
				s.ill(t)
			default:
				if logFails++; logFails == 1 {
					s.log.Warn("the write-ahead log could not be written back", telemetry.KeyErr, err)
				}
			}
		case <-s.state.alarm:
			if !waiting {
				mend()
			}
		case <-retry.C:
			mend()
		case <-t.C:
			switch err := s.syncClock(ctx); {
			case err == nil:
				clockFails = 0
			case ctx.Err() == nil:
				if clockFails++; clockFails == 1 {
					s.log.Warn("the database's clock could not be read; time goes on by this machine's", telemetry.KeyErr, err)
				}
			}
		}
	}
}

const (
	clockEvery = time.Minute
	// checkpointEvery is after how many writes the log is written back; a batch of deliveries is one write, and so are so
	// many bytes of them. Thus what the file has yet to grow by fits into the ballast.
	checkpointEvery = 64
	writeBytes      = 64 << 10
	// longLog is when somebody should look at what keeps the log from being written back.
	longLog = 256 << 20
)

// wrote counts a committed write, and wakes Maintain when there are enough.
func (s *Store) wrote(bytes int) {
	if s.sqlite == nil || s.pending.Add(int64(1+bytes/writeBytes)) < checkpointEvery && s.full() == nil {
		return
	}
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// LogBytes is how long SQLite's write-ahead log is; 0 on PostgreSQL.
func (s *Store) LogBytes() int64 {
	if s.sqlite == nil {
		return 0
	}
	info, err := os.Stat(s.sqlite.path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

// checkpoint writes the log back beside the writer. Only what is left after that, and only when the log has grown
// long, is written back while the writer waits, so that the log starts over.
func (s *Store) checkpoint(ctx context.Context) error {
	s.pending.Store(0)
	q := s.sqlite
	if pages, _, err := writeBack(ctx, q.back, "PASSIVE"); err != nil || pages*pageSize < walLimit {
		return err
	}
	if err := q.take(ctx); err != nil {
		return err
	}
	defer q.give()
	_, _, err := writeBack(ctx, q.back, "PASSIVE")
	return err
}

// shorten writes the whole log back and gives its room to others. Writers wait meanwhile. While somebody reads what is in
// the log, it can't be done.
func (s *Store) shorten(ctx context.Context) error {
	if err := s.checkpoint(ctx); err != nil {
		return err
	}
	q := s.sqlite
	if err := q.take(ctx); err != nil {
		return err
	}
	defer q.give()
	_, _, err := writeBack(ctx, q.back, "TRUNCATE")
	return err
}
