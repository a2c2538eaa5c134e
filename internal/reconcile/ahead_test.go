package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/reconcile"
)

// A line is a repository whose pull requests stand in GitHub's merge queue, by their numbers.
type line struct {
	hand
	pulls map[int]func(*pull.Snapshot)
	fault *pull.Fault // of looking at number 5
	looks []int
}

var (
	ann = pull.Actor{ID: 1, Login: "ann"}
	ben = pull.Actor{ID: 2, Login: "ben"}
)

func (l *line) Snapshot(_ context.Context, _ pull.Scope, repo pull.Repo, number int) (pull.Snapshot, error) {
	l.looks = append(l.looks, number)
	change, ok := l.pulls[number]
	switch {
	case number == 5 && l.fault != nil:
		return pull.Snapshot{}, l.fault
	case !ok:
		return pull.Snapshot{}, &pull.Fault{Class: pull.FaultGone}
	}
	head := pull.SHA(fmt.Sprintf("%040d", number))
	s := pull.Snapshot{
		ObservedAt: time.Now(), Us: pull.Actor{ID: 9, Login: "robot"}, Repo: repo, Number: number, State: pull.Open, Author: ann,
		DefaultBranch: "main", AllowedMethods: []pull.MergeMethod{pull.Squash}, Mergeable: pull.MergeableClean,
		Head:    pull.Branch{Repo: repo, Name: "topic", SHA: head},
		Base:    pull.Branch{Repo: repo, Name: "main", SHA: "2222222222222222222222222222222222222222"},
		Policy:  pull.Document{Found: true, OID: "3333", Text: "version: 1\napprovals: [{ name: review }]\n"},
		Reviews: []pull.Review{{Author: ben, CanWrite: true, State: pull.Approved, Commit: head}},
	}
	if change != nil {
		change(&s)
	}
	return s, nil
}

func (l *line) Learn(_ context.Context, _ pull.Scope, s pull.Snapshot, needs []pull.Need) (pull.Snapshot, error) {
	for _, n := range needs {
		switch n.Kind {
		case pull.NeedCommits:
			s.Known.Commits = &pull.Commits{List: []pull.Commit{{SHA: s.Head.SHA, Author: ann, Committer: ann}}}
		case pull.NeedPerson:
			s.Known.People = map[string]pull.Person{"ben": {Actor: ben, Permission: pull.PermissionWrite}}
		default:
			return s, fmt.Errorf("GitHub is asked for %s", n.Kind)
		}
	}
	return s, nil
}

// A recall is a store that knows what is remembered of pull requests, and nothing else.
type recall struct {
	reconcile.Store
	memory map[int]pull.Memory
}

func (r recall) History(_ context.Context, c pull.Claim) (pull.History, error) {
	return pull.History{Memory: r.memory[c.Key.Number]}, nil
}
func (recall) Now() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

// queued is number 7 behind others.
func queued(ahead ...int) func(*pull.Snapshot) {
	return func(s *pull.Snapshot) {
		s.Queued = &pull.QueueEntry{Position: len(ahead) + 1, Head: "ffff000000000000000000000000000000000000", Ahead: ahead}
	}
}

// TestWhatIsAheadInTheQueue: each pull request before one is looked at as it is now, with what is remembered of it, and is
// judged by its approvals and nothing else.
func TestWhatIsAheadInTheQueue(t *testing.T) {
	unapproved := func(s *pull.Snapshot) { s.Reviews = nil }
	tests := []struct {
		name   string
		ahead  map[int]func(*pull.Snapshot)
		memory map[int]pull.Memory
		result policy.Result
		why    string
	}{
		{"both hold, one of them a draft with a conflict and itself in the queue", map[int]func(*pull.Snapshot){5: nil, 6: func(s *pull.Snapshot) {
			s.Draft, s.Mergeable = true, pull.MergeableConflict
			queued(5)(s)
		}}, nil, policy.True, ""},
		{"one is no longer approved", map[int]func(*pull.Snapshot){5: unapproved, 6: nil}, nil, policy.False, "#5: The rule “review” needs an approval by someone with write access."},
		{"one is approved by a command that is remembered", map[int]func(*pull.Snapshot){5: unapproved, 6: nil}, map[int]pull.Memory{
			5: {Approvals: map[int64]pull.Order{ben.ID: {By: ben, SHA: pull.SHA(fmt.Sprintf("%040d", 5))}}},
		}, policy.True, ""},
		{"one is merged already", map[int]func(*pull.Snapshot){5: func(s *pull.Snapshot) { s.State, s.Reviews = pull.Merged, nil }, 6: nil}, nil, policy.True, ""},
		{"one is closed", map[int]func(*pull.Snapshot){5: func(s *pull.Snapshot) { s.State = pull.Closed }, 6: nil}, nil, policy.Unknown, "#5: it is closed, so the queue is being built anew"},
		{"one is not to be seen", map[int]func(*pull.Snapshot){6: nil}, nil, policy.Unknown, "#5: GitHub does not show it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &line{pulls: tt.ahead}
			l.pulls[7] = queued(5, 6)
			r := reconcile.New(l, recall{memory: tt.memory}, reconcile.Options{})
			look, err := r.Look(t.Context(), pull.ScopeToken, pull.Repo{ID: 1, Owner: "octo", Name: "app"}, 7, pull.History{})
			if err != nil {
				t.Fatal(err)
			}
			q := look.Verdict.Queue
			why := ""
			for _, reason := range q.Reasons {
				why += reason.Names[0] + ": " + reason.Value
			}
			if q.Result != tt.result || why != tt.why {
				t.Errorf("the queue is %s, %q, want %s, %q", q.Result, why, tt.result, tt.why)
			}
			if len(l.looks) != 3 {
				t.Errorf("looked at %v, want each once", l.looks)
			}
		})
	}
}

// TestALongQueue: only so many are looked at, and what is behind them waits.
func TestALongQueue(t *testing.T) {
	l := &line{pulls: map[int]func(*pull.Snapshot){}}
	var ahead []int
	for n := 100; n < 130; n++ {
		ahead = append(ahead, n)
		l.pulls[n] = nil
	}
	l.pulls[7] = queued(ahead...)
	r := reconcile.New(l, recall{}, reconcile.Options{})
	look, err := r.Look(t.Context(), pull.ScopeToken, pull.Repo{ID: 1, Owner: "octo", Name: "app"}, 7, pull.History{})
	if err != nil {
		t.Fatal(err)
	}
	if q := look.Verdict.Queue; q.Result != policy.Unknown || len(q.Reasons) != 10 || len(l.looks) != 21 {
		t.Errorf("the queue is %s for %d reasons after %d looks, want unknown, 10, 21", q.Result, len(q.Reasons), len(l.looks))
	}
}

// TestAnOutageIsNoJudgement: when GitHub can't be asked about one before it, the pass fails, and nobody is told anything.
func TestAnOutageIsNoJudgement(t *testing.T) {
	l := &line{pulls: map[int]func(*pull.Snapshot){7: queued(5)}, fault: &pull.Fault{Class: pull.FaultUnavailable}}
	r := reconcile.New(l, recall{}, reconcile.Options{})
	_, err := r.Look(t.Context(), pull.ScopeToken, pull.Repo{ID: 1, Owner: "octo", Name: "app"}, 7, pull.History{})
	if fault := new(pull.Fault); !errors.As(err, &fault) || fault.Class != pull.FaultUnavailable {
		t.Errorf("Look = %v, want the outage", err)
	}
}
