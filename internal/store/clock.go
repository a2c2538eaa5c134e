package store

import (
	"context"
	"sync/atomic"
	"time"
)

// A clock is a known moment, and Go's monotonic time since.
type clock struct{ at atomic.Pointer[reference] }

type reference struct {
	base time.Time // the database's clock …
	when time.Time // … at this reading of ours, which carries Go's monotonic clock
}

// Now is the store's time, to the microsecond: the only one that leases, due times and timestamps go by.
func (s *Store) Now() time.Time {
	if s.o.Clock != nil {
		return s.o.Clock().UTC().Truncate(time.Microsecond)
	}
	r := s.clock.at.Load()
	return r.base.Add(time.Since(r.when)).UTC().Truncate(time.Microsecond)
}

// syncClock looks at the database's clock. SQLite's is this machine's, as long as that does not go back: whatever is due
// by the time before would have to wait for it.
func (s *Store) syncClock(ctx context.Context) error {
	if s.sqlite != nil {
		now := time.Now()
		next := &reference{base: now.Round(0), when: now}
		if r := s.clock.at.Load(); r != nil {
			if ours := r.base.Add(now.Sub(r.when)); ours.After(next.base) {
				next.base = ours
			}
		} else if last := s.lastChange(ctx); last.After(next.base) && last.Before(next.base.Add(clockTrust)) {
			next.base = last
		}
		s.clock.at.Store(next)
		return nil
	}
	best := time.Duration(-1)
	var ref reference
	for range 3 { // the quickest answer says it most exactly
		asked := time.Now()
		var us int64
		if err := s.db.QueryRowContext(ctx, postgresClock).Scan(&us); err != nil {
			return err
		}
		answered := time.Now()
		if took := answered.Sub(asked); best < 0 || took < best {
			best = took
			ref = reference{base: time.UnixMicro(us).Add(took / 2), when: answered}
		}
	}
	s.clock.at.Store(&ref)
	return nil
}

// clockTrust is by how much a clock may have been set back while nobody looked. A file from further in the future was
// written by a clock that nobody should follow.
const clockTrust = 24 * time.Hour

// lastChange is when an SQLite file was last written to, by the clock of then; zero when that is not known.
func (s *Store) lastChange(ctx context.Context) (at time.Time) {
	var us int64
	err := s.query(ctx, newestChange, nil, func(scan scanner) error { return scan(&us) })
	if err != nil || us == 0 {
		return time.Time{} // a file that has no tables yet
	}
	return time.UnixMicro(us)
}
