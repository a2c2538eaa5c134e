package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// maxAhead is how many pull requests before one in GitHub's merge queue are judged with it. Each costs a look. One that is
// further behind waits until there are fewer.
const maxAhead = 20

// learn answers needs: GitHub most of them, and the passes over other pull requests what only they could: whether what is
// before this one in the merge queue is still approved.
func (r *Reconciler) learn(ctx context.Context, scope pull.Scope, s pull.Snapshot, needs []pull.Need, now time.Time) (pull.Snapshot, error) {
	rest := slices.DeleteFunc(slices.Clone(needs), func(n pull.Need) bool { return n.Kind == pull.NeedAhead })
	if len(rest) < len(needs) {
		ahead, err := r.ahead(ctx, scope, s, now)
		if err != nil {
			return s, err
		}
		s.Known.Ahead = &ahead
	}
	if len(rest) == 0 {
		return s, nil
	}
	return r.forge.Learn(ctx, scope, s, rest)
}

// ahead judges the pull requests before s in GitHub's merge queue, each as it is now. Its error is about GitHub as a whole.
func (r *Reconciler) ahead(ctx context.Context, scope pull.Scope, s pull.Snapshot, now time.Time) ([]pull.Ahead, error) {
	out := []pull.Ahead{}
	if s.Queued == nil {
		return out, nil
	}
	for i, n := range s.Queued.Ahead {
		if i >= maxAhead {
			out = append(out, pull.Ahead{Number: n, Unknown: true, Why: fmt.Sprintf("only the first %d of a queue are looked at", maxAhead)})
			continue
		}
		a, err := r.judge(ctx, scope, s.Repo, n, now)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// judge looks at another pull request and says what its approvals come to, with what is remembered of it. Nothing is written:
// it has passes of its own.
func (r *Reconciler) judge(ctx context.Context, scope pull.Scope, repo pull.Repo, number int, now time.Time) (pull.Ahead, error) {
	out := pull.Ahead{Number: number}
	s, err := r.forge.Snapshot(ctx, scope, repo, number)
	if f, ok := pull.FaultOf(err); ok && f.Class == pull.FaultGone {
		out.Unknown, out.Why = true, "GitHub does not show it"
		return out, nil
	}
	if err != nil {
		return out, err
	}
	switch s.State {
	case pull.Merged:
		out.Holds = true // it is part of the base by now
		return out, nil
	case pull.Closed:
		out.Unknown, out.Why = true, "it is closed, so the queue is being built anew"
		return out, nil
	}
	h, err := r.store.History(ctx, pull.Claim{Key: pull.PullKey(s.Repo.ID, number), Repo: s.Repo})
	if err != nil {
		return out, fmt.Errorf("recall %s#%d: %w", s.Repo.FullName(), number, err)
	}
	eff := r.policies.resolve(s, h)
	for range rounds + 1 {
		a, needs := eff.Judge(s, h.Memory, now)
		if len(needs) == 0 {
			out.Holds, out.Unknown = a.Result == policy.True, a.Result == policy.Unknown
			if !out.Holds {
				out.Why = notice.Sentence(policy.Verdict{Reasons: a.Reasons})
			}
			return out, nil
		}
		if s, err = r.forge.Learn(ctx, scope, s, needs); err != nil {
			return out, err
		}
	}
	return out, fmt.Errorf("judge %s#%d: it still needs more after %d rounds: a bug in the service", s.Repo.FullName(), number, rounds)
}
