// Package delivery is the way in: it keeps deliveries, and turns what they say into work.
//
// Three long-lived parts share a store. The [Inbox] is where the entrance hands a delivery over: its one writer commits
// whatever waits as soon as it is free, many deliveries in one transaction, and each caller hears of its own only
// after the commit. The [Intake] takes kept deliveries in batches and marks the keys due that they name; [Route] is
// the pure function that says which, how soon and how urgently. [Hints], where there is a Redis, are a list in it of what
// waits for the intake.
//
// What counts is in the database and nowhere else. The intake needs no message from the inbox: a nudge, or an item in
// the list, only saves the wait until it next looks. So a crash between the two, a second replica, or a Redis that is
// flushed, full, frozen or gone, changes nothing but a second or two.
//
// The package refuses to know HTTP, GitHub's API and what a pass does. It never calls out, and it reads of a delivery
// only the hint that the entrance has read.
package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A Store keeps deliveries and work. Concurrent calls of different methods are the normal case; the inbox calls
// Insert, and the intake Intake, one at a time each.
type Store interface {
	// Insert keeps deliveries in one transaction and returns a receipt for each, in the order given. When only some of
	// them can't be kept because of what they are, the error is a RowErrors and the others are kept. With any other
	// error it is not known whether anything was kept.
	Insert(context.Context, []pull.Delivery) ([]pull.Receipt, error)
	// Intake takes waiting deliveries in one transaction, marks due what route says of each, and returns how many it took
	// and the attempts that are finished with that: of deliveries that name no key, or many. While the queue is paused it
	// takes none.
	Intake(ctx context.Context, which pull.Taking, route func(pull.Delivery) pull.Route) (attempts []pull.Attempt, taken int, err error)
	// Paused reports whether the queue is paused.
	Paused(context.Context) (pull.Pause, bool, error)
	// Waiting returns the oldest deliveries that wait for their first intake and were received before a moment: what an
	// item says of each, and no more.
	Waiting(ctx context.Context, before time.Time, limit int) ([]pull.Delivery, error)
	// Now is the time that deliveries are received by.
	Now() time.Time
}

// RowErrors is how a store says that single rows of an Insert were refused. RowError returns the reason of row i, or
// nil when that row is kept.
type RowErrors interface {
	error
	RowError(i int) error
}

// Why Accept refuses. The sender is asked to try again in both cases.
var (
	// ErrBusy means that too much waits already: the delivery was not looked at.
	ErrBusy = errors.New("the inbox is full")
	// ErrUnavailable means that the delivery is not known to be kept. It may have been: the answer of a commit can get
	// lost. Then it is processed like any other, and the sender's next try is a duplicate of it.
	ErrUnavailable = errors.New("the inbox can't keep deliveries at the moment")
)
