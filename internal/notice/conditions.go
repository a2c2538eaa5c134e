package notice

import (
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

// conditionClause words what only conditions give as a reason, and the label that keeps the service off.
func conditionClause(r policy.Reason) string {
	text := plain(r.Text, maxText)
	switch r.Code {
	case policy.ScheduleClosed:
		return "waits for the hours of " + text + moment(", which begin", r.Until)
	case policy.ScheduleOpen:
		return "waits for the end of the hours of " + text + moment(", which is", r.Until)
	case policy.TimeFalse:
		return "waits" + moment(" until", r.Until) + ", when " + text + " holds"
	case policy.TimeTrue:
		return "waits" + moment(" until", r.Until) + ", when " + text + " no longer holds"
	case policy.UpdateUnknown:
		return "needs " + text + ", but nothing is known of an update here" + because(r.Value)
	case policy.OptedOut:
		s := "the label " + quoted(r.Label)
		if r.By != "" {
			s += ", set by " + plain(r.By, maxName) + ","
		}
		return s + " keeps the service off this pull request, so nothing is done here until it is taken off"
	}
	return ""
}

// moment says when, if that is known.
func moment(words string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return words + " " + t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}
