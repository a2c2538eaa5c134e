package pull

import (
	"errors"
	"fmt"
	"time"
)

// A Fault is an answer of GitHub, or its absence, as the rest of the service has to treat it. It is the one error type
// that crosses from the client to the passes; everything about retrying follows from its class.
type Fault struct {
	Class   FaultClass
	Op      string // the operation, on what: "merge octo/app#7"
	Status  int    // HTTP; 0 when there was no answer
	Message string // GitHub's words, or the transport's
	// Until: nothing of a Throttled scope before then. For Unavailable, Auth and Gone: when another try may help; zero where
	// that is not known.
	Until time.Time
	Err   error // the cause, where there is one
}

// A FaultClass says what to do about a fault.
type FaultClass string

// The classes.
const (
	// FaultGone: 404 or 410 on the thing itself.
	FaultGone FaultClass = "gone"
	// FaultRefused: a definite no that only a change of configuration or of the pull request can turn.
	FaultRefused FaultClass = "refused"
	// FaultPassing: a definite no that passes by itself ("Base branch was modified").
	FaultPassing FaultClass = "passing"
	// FaultMoved: the precondition failed (409: the head is another one): look again.
	FaultMoved FaultClass = "moved"
	// FaultUnclear: sent, and what became of it is unknown (time-out, 5xx, reset). Read back before repeating.
	FaultUnclear FaultClass = "unclear"
	// FaultThrottled: a rate limit. The whole scope waits until Until.
	FaultThrottled FaultClass = "throttled"
	// FaultAuth: the credentials are not accepted (401), or there are none.
	FaultAuth FaultClass = "auth"
	// FaultUnavailable: a read failed, or a write was certainly not sent. Try again later.
	FaultUnavailable FaultClass = "unavailable"
)

// Error says which operation on which object met what.
func (f *Fault) Error() string {
	switch {
	case f.Status != 0 && f.Message != "":
		return fmt.Sprintf("%s: GitHub answered %d: %s", f.Op, f.Status, f.Message)
	case f.Status != 0:
		return fmt.Sprintf("%s: GitHub answered %d", f.Op, f.Status)
	case f.Message != "":
		return fmt.Sprintf("%s: %s", f.Op, f.Message)
	case f.Err != nil:
		return fmt.Sprintf("%s: %v", f.Op, f.Err)
	}
	return fmt.Sprintf("%s: %s", f.Op, f.Class)
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// FaultOf returns the fault in err's chain. An error of any other kind is treated as unavailable by the caller.
func FaultOf(err error) (*Fault, bool) {
	var f *Fault
	ok := errors.As(err, &f)
	return f, ok
}
