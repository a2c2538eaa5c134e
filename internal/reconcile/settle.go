package reconcile

import (
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// readBackAfter is how long a request of unknown outcome is given to show up in what GitHub says, before the service
// believes that it did not happen. GitHub ends its own work on a request after ten seconds.
const readBackAfter = 10 * time.Second

// awaited returns when a key may be looked at again because of a request that can't be repeated and whose outcome is
// still open; zero when there is none. Looking earlier could miss an effect that is about to appear, and do it twice.
func awaited(m pull.Memory) time.Time {
	var until time.Time
	for _, in := range m.Intents {
		if in.Status == pull.Executing && !in.Action.Repeatable() {
			if at := in.StartedAt.Add(readBackAfter); at.After(until) {
				until = at
			}
		}
	}
	return until
}

// settle tells from a snapshot what became of the intents that were sent and never answered. It returns them with
// their outcome, and the memory as it is with them: an intent that happened is done, any other is superseded and will
// be wanted again if it still has to be.
func settle(m pull.Memory, s pull.Snapshot, now time.Time) ([]pull.Intent, pull.Memory) {
	var settled []pull.Intent
	intents := append([]pull.Intent(nil), m.Intents...)
	for i, in := range intents {
		if in.Status != pull.Executing {
			continue
		}
		in.Status, in.DoneAt = pull.Superseded, now
		if happened(in.Action, s) {
			in.Status, in.Error, in.Failures = pull.Done, "", 0
			m = remember(m, in.Action, s)
		}
		intents[i] = in
		settled = append(settled, in)
	}
	m.Intents = intents
	return settled, m
}

// happened reports whether a snapshot shows the effect of an action.
func happened(a pull.Action, s pull.Snapshot) bool {
	switch a.Kind {
	case pull.AddLabel:
		return hasLabel(s, a.Target)
	case pull.RemoveLabel:
		return !hasLabel(s, a.Target)
	case pull.SetReport:
		return s.Report != nil && a.Report != nil && s.Head.SHA == a.SHA && s.Report.State == a.Report.State &&
			(s.Report.Digest == a.Report.Digest)
	case pull.Merge:
		return s.State == pull.Merged && s.Head.SHA == a.SHA
	case pull.DeleteBranch:
		return s.HeadBranchTip == ""
	}
	return false
}

func hasLabel(s pull.Snapshot, name string) bool {
	for _, l := range s.Labels {
		if l.Name == name {
			return l.Present
		}
	}
	return false
}

// remember returns the memory after an action is known to have happened: whose a label is follows from it.
func remember(m pull.Memory, a pull.Action, s pull.Snapshot) pull.Memory {
	if a.Kind != pull.AddLabel && a.Kind != pull.RemoveLabel {
		return m
	}
	labels := make(map[string]pull.LabelMemory, len(m.Labels)+1)
	for k, v := range m.Labels {
		labels[k] = v
	}
	l := labels[a.Target]
	l.Ours = a.Kind == pull.AddLabel
	l.KeptOff = false
	// A label that a person had put on in the meantime stays that person's.
	for _, have := range s.Labels {
		if l.Ours && have.Name == a.Target && have.Present && have.SetBy.ID != 0 && !have.SetBy.Same(s.Us) {
			l.Ours = false
		}
	}
	labels[a.Target] = l
	m.Labels = labels
	return m
}

// noteIntent returns the memory with the ledger's row for in replaced.
func noteIntent(m pull.Memory, in pull.Intent) pull.Memory {
	intents := append([]pull.Intent(nil), m.Intents...)
	for i := range intents {
		if intents[i].Action.Kind == in.Action.Kind && intents[i].Action.Target == in.Action.Target {
			intents[i] = in
			m.Intents = intents
			return m
		}
	}
	m.Intents = append(intents, in)
	return m
}
