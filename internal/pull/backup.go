package pull

import "time"

// A Backup is a copy of everything that the service keeps, somewhere else.
type Backup struct {
	TakenAt time.Time // it holds all that was acknowledged before
	Target  string    // where it is, without anything secret
	Bytes   int64
	SHA256  string // of the file, in hex
	Schema  int
}

// A Restore is a moment at which the database was replaced by a copy of an earlier one. What was acknowledged in between
// is not in it, and that is no surprise.
type Restore struct {
	Taken, At time.Time
}

// Explains reports whether something that was acknowledged at a moment may be missing because of the restore: clocks differ
// by as much as slack.
func (r Restore) Explains(acknowledged time.Time, slack time.Duration) bool {
	return !acknowledged.Before(r.Taken.Add(-slack)) && acknowledged.Before(r.At.Add(slack))
}
