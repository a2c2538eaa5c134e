package reconcile

import (
	"slices"
	"strconv"
	"strings"
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
		if happened(in, s) {
			in.Status, in.Error, in.Failures = pull.Done, "", 0
			m = remember(m, in.Action, s)
		}
		intents[i] = in
		settled = append(settled, in)
	}
	m.Intents = intents
	return settled, m
}

// happened reports whether a snapshot shows the effect of what was sent. What it can't show (another pull request's base) is
// taken for not done: then it is harmless to do again, and whether it is still wanted is decided anew.
func happened(in pull.Intent, s pull.Snapshot) bool {
	a := in.Action
	switch a.Kind {
	case pull.AddLabel:
		return hasLabel(s, a.Target)
	case pull.RemoveLabel:
		return !hasLabel(s, a.Target) && !s.LabelsTruncated
	case pull.AskReview:
		return asked(s, a.Target) || reviewedSince(s, a.Target, in.StartedAt)
	case pull.UnaskReview:
		return !asked(s, a.Target)
	case pull.Assign:
		return slices.ContainsFunc(s.Assignees, is(a.Target))
	case pull.Unassign:
		return !slices.ContainsFunc(s.Assignees, is(a.Target))
	case pull.Retitle:
		return s.Title == a.Title
	case pull.MarkReady:
		return !s.Draft
	case pull.MarkDraft:
		return s.Draft
	case pull.Approve:
		return slices.ContainsFunc(s.Reviews, func(r pull.Review) bool {
			return r.Author.Same(s.Us) && r.State == pull.Approved && r.Commit == a.SHA
		})
	case pull.Unapprove:
		return !slices.ContainsFunc(s.Reviews, func(r pull.Review) bool {
			return strconv.FormatInt(r.ID, 10) == a.Target && r.State != pull.Dismissed
		})
	case pull.SetReport:
		return slices.ContainsFunc(reports(s), func(r pull.Report) bool {
			return a.Report != nil && r.Name == a.Report.Name && r.SHA == a.SHA && r.State == a.Report.State && r.Digest == a.Report.Digest
		})
	case pull.Rerun:
		return slices.ContainsFunc(s.Checks, func(c pull.Check) bool {
			suite, _, _ := strings.Cut(a.Target, ":")
			return strconv.FormatInt(c.Suite, 10) == suite && (c.State == pull.CheckPending || c.StartedAt.After(in.StartedAt))
		})
	case pull.UpdateBranch:
		return s.Head.SHA != a.SHA
	case pull.Enqueue:
		return s.Queued != nil || s.State == pull.Merged && s.Head.SHA == a.SHA
	case pull.Dequeue:
		return s.Queued == nil
	case pull.Merge:
		return s.State == pull.Merged && s.Head.SHA == a.SHA || a.Method == pull.FastForward && s.BaseBranchTip == a.SHA
	case pull.Close:
		return s.State != pull.Open
	case pull.Reopen:
		return s.State != pull.Closed
	case pull.DeleteBranch:
		return s.HeadBranchTip == ""
	case pull.WriteComment:
		return slices.ContainsFunc(s.Comments, func(c pull.Comment) bool {
			return c.Author.Same(s.Us) && c.Source == pull.Conversation && pull.Marked(c.Body, a.Target)
		})
	case pull.DropComment:
		return !slices.ContainsFunc(s.Comments, func(c pull.Comment) bool {
			return c.Source == pull.Conversation && strconv.FormatInt(c.ID, 10) == a.Target
		})
	case pull.React:
		return slices.ContainsFunc(s.Comments, func(c pull.Comment) bool {
			return c.NodeID == a.Node && slices.Contains(c.Reacted, strings.TrimPrefix(a.Target, a.Node+":"))
		})
	}
	return false
}

// spares are comments of ours of which there is an older copy, with the same marker. GitHub takes no fence: a process that was
// frozen between its last check of the lease and the request, or an answer that took longer to show than anybody waits, may
// leave one. The oldest stays, since it may have been answered.
func spares(s pull.Snapshot) (drop []pull.Action) {
	seen := map[string]bool{}
	for _, c := range s.Comments {
		mark := pull.MarkOf(c.Body)
		if mark == "" || c.Source != pull.Conversation || !c.Author.Same(s.Us) || c.Editor.ID != 0 && !c.Editor.Same(s.Us) {
			continue
		}
		if seen[mark] {
			drop = append(drop, pull.Action{Kind: pull.DropComment, Target: strconv.FormatInt(c.ID, 10)})
		}
		seen[mark] = true
	}
	return drop
}

// reports are all of ours that a snapshot shows.
func reports(s pull.Snapshot) []pull.Report {
	if s.Report == nil {
		return s.Reports
	}
	return append([]pull.Report{*s.Report}, s.Reports...)
}

func is(login string) func(pull.Actor) bool {
	return func(a pull.Actor) bool { return strings.EqualFold(a.Login, login) }
}

// asked reports whether somebody, or a team, is asked for a review.
func asked(s pull.Snapshot, target string) bool {
	return slices.ContainsFunc(s.ReviewRequests, func(r pull.ReviewRequest) bool {
		return strings.EqualFold(r.Team, target) || strings.EqualFold(r.Who.Login, target)
	})
}

// reviewedSince reports whether somebody has given a review, which ends GitHub's request for it.
func reviewedSince(s pull.Snapshot, login string, since time.Time) bool {
	return slices.ContainsFunc(s.Reviews, func(r pull.Review) bool {
		return strings.EqualFold(r.Author.Login, login) && r.SubmittedAt.After(since)
	})
}

func hasLabel(s pull.Snapshot, name string) bool {
	l, ok := s.Has(name)
	return ok && l.Present
}

// remember returns the memory after an action is known to have happened: whose a label is follows from it.
func remember(m pull.Memory, a pull.Action, s pull.Snapshot) pull.Memory {
	if a.Kind != pull.AddLabel && a.Kind != pull.RemoveLabel {
		return m
	}
	if a.Command != "" {
		return m // whoever asked for it in a comment: it is theirs (LabelMemory.Asked), and was so before it was written
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
