package reconcile

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// An outage of the store is told once when it begins and once when it is over, however many workers meet it and however
// often.
type outage struct {
	mu    sync.Mutex
	count int
	last  time.Time
}

// outageCalm is for how long the store must have failed nobody before an outage is over: one that lets half of the
// writes through is one outage.
const outageCalm = 5 * time.Second

// met notes an error of the store, and reports whether it is one of an outage.
func (o *outage) met(err error, log *slog.Logger) bool {
	if !ofOutage(err) {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = time.Now()
	if o.count++; o.count == 1 {
		log.Error("the database fails: what is due waits, and what was under way is looked at again", telemetry.KeyErr, err)
	}
	return true
}

// over notes a pass that the store has failed nowhere.
func (o *outage) over(log *slog.Logger) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == 0 || time.Since(o.last) < outageCalm {
		return
	}
	log.Info("the database works again: what is due is worked on", "failures", o.count)
	o.count = 0
}

// ofOutage reports whether a store calls an error one that nobody who asked is to blame for.
func ofOutage(err error) bool {
	var o interface{ Outage() bool }
	return errors.As(err, &o) && o.Outage()
}
