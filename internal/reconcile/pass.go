package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// afterMerge is how soon a merged pull request is looked at again, to say so on GitHub and to delete its branch, if no
// event comes first.
const afterMerge = 2 * time.Second

// mergeWithin is how old a look may be when a merge follows from it, or what GitHub itself may merge on: an approval, a place
// in its queue. They are pinned to the head commit, but not to the base, the labels and the reviews that they were decided
// on: other writes, a second apart each, must not give anybody the time to change those.
const mergeWithin = 3 * time.Second

// A pass is one observe–decide–act round for one claim.
type pass struct {
	*Reconciler
	claim pull.Claim
	log   *slog.Logger
	stop  <-chan struct{}
	acted int
}

// run makes the pass and says how it ended. An error means that it failed, or that the lease is lost.
func (p *pass) run(ctx context.Context) (pull.PassResult, error) {
	if p.claim.Scope == "" || !p.o.MayAct(p.claim.Repo) {
		return pull.PassResult{Outcome: pull.PassIgnored}, nil
	}
	hist, err := p.store.History(ctx, p.claim)
	if err != nil {
		return pull.PassResult{}, fmt.Errorf("recall %s: %w", p.claim.Key, err)
	}
	if at := awaited(hist.Memory); p.store.Now().Before(at) {
		return pull.PassResult{Outcome: pull.PassParked, NotBefore: at, Again: at}, nil
	}

	began := time.Now()
	snap, err := p.forge.Snapshot(ctx, p.claim.Scope, p.claim.Repo, p.claim.Key.Number)
	if err != nil {
		return p.unseen(err)
	}
	if !p.o.MayAct(snap.Repo) {
		return pull.PassResult{Outcome: pull.PassIgnored}, nil // renamed or moved to where the service may not act
	}
	if p.claim.Scope.Installation() != 0 && !strings.EqualFold(snap.Repo.Owner, p.claim.Repo.Owner) {
		// It belongs to another account now, which the installation has no rights in. An installation there, or one of the
		// same account under a new name, sends events that say so.
		return pull.PassResult{Outcome: pull.PassIgnored}, nil
	}
	now := p.store.Now()
	var settled []pull.Intent
	known := hist
	settled, known.Memory = settle(hist.Memory, snap, now)
	look, err := p.Reconciler.decide(ctx, p.claim.Scope, snap, known, now, p.turn)
	if err != nil {
		return p.unseen(err)
	}
	snap, memory := look.Snapshot, known.Memory
	took := time.Since(began)
	p.o.Metrics.Decided(took)

	plan, err := p.plan(snap, &look, settled, memory, hist, took)
	if err != nil {
		return pull.PassResult{}, err
	}
	if err := p.store.Plan(ctx, p.claim, plan); err != nil {
		return pull.PassResult{}, fmt.Errorf("write the plan of %s: %w", p.claim.Key, err)
	}
	if had := hist.Memory.Turn; had != "" && had != look.Decision.Memory.Turn {
		if err := p.store.EndTurn(ctx, p.claim, had); err != nil {
			return pull.PassResult{}, err
		}
	}
	p.countCommands(plan.Commands)
	return p.carryOut(ctx, snap, look.Decision, plan.Actions, memory, began)
}

// unseen ends a pass whose snapshot could not be had.
//
// An event may be ahead of what GitHub's API shows: what an event about the pull request itself calls for and is not
// there may be looked at once more. That look is nobody's, so it is of less priority, and the last.
//
// What waits for a budget is not held back: a more urgent hint may come that the budget still has something for.
func (p *pass) unseen(err error) (pull.PassResult, error) {
	if f, ok := pull.FaultOf(err); ok {
		switch f.Class {
		case pull.FaultGone:
			res := pull.PassResult{Outcome: pull.PassGone, Gone: true, Error: f.Error()}
			if p.claim.Priority <= pull.Ordinary && !f.Until.IsZero() {
				res.Again = p.byStore(f.Until)
			}
			return res, nil
		case pull.FaultThrottled:
			return pull.PassResult{Outcome: pull.PassParked, Again: p.byStore(f.Until)}, nil
		}
	}
	return pull.PassResult{}, err
}

// A Look is what a pass decides on, and what `explain` shows.
type Look struct {
	Snapshot pull.Snapshot
	Policy   policy.Effective
	Decision policy.Decision
	Verdict  policy.Verdict
}

// rounds is how often a decision may ask for more. Each round is for what only the answers of the one before it called for
// (who owns a file, then who is in that team, then what they may do), so a few are enough.
const rounds = 8

// turnLasts is how long a pull request has the turn to be brought up to date: about as long as its checks may take.
const turnLasts = time.Hour

// turn takes the turn of a base branch for this pass, if nobody else has it.
func (p *pass) turn(ctx context.Context, base string) (pull.Turn, error) {
	if p.o.ObserveOnly {
		return p.store.Turn(ctx, p.claim.Key.RepoID, base)
	}
	return p.store.TakeTurn(ctx, p.claim, base, p.store.Now().Add(turnLasts))
}

// decide resolves the policy, evaluates it, looks up what the decision turns out to need, and makes it again, until it needs
// nothing more. Everything is GitHub's to tell but whose turn it is.
func (r *Reconciler) decide(ctx context.Context, scope pull.Scope, s pull.Snapshot, h pull.History, now time.Time, turn func(context.Context, string) (pull.Turn, error)) (Look, error) {
	eff := r.policies.resolve(s, h)
	for n := 0; ; n++ {
		d := eff.Evaluate(s, h.Memory, now)
		if len(d.Needs) == 0 {
			return Look{Snapshot: s, Policy: eff, Decision: d, Verdict: d.Verdict}, nil
		}
		if n == rounds {
			return Look{}, fmt.Errorf("decide about %s#%d: it still needs %v after %d rounds: a bug in the service", s.Repo.FullName(), s.Number, d.Needs, n)
		}
		if i := slices.IndexFunc(d.Needs, func(n pull.Need) bool { return n.Kind == pull.NeedTurn }); i >= 0 {
			t, err := turn(ctx, d.Needs[i].Name)
			if err != nil {
				return Look{}, fmt.Errorf("decide about %s#%d: %w", s.Repo.FullName(), s.Number, err)
			}
			s.Known.Turn = &t
			if d.Needs = slices.Delete(d.Needs, i, i+1); len(d.Needs) == 0 {
				continue
			}
		}
		var err error
		if s, err = r.learn(ctx, scope, s, d.Needs, now); err != nil {
			return Look{}, err
		}
	}
}

// Look observes a pull request and decides about it as a pass would, and writes nothing anywhere.
func (r *Reconciler) Look(ctx context.Context, scope pull.Scope, repo pull.Repo, number int, h pull.History) (Look, error) {
	s, err := r.forge.Snapshot(ctx, scope, repo, number)
	if err != nil {
		return Look{}, err
	}
	now := r.store.Now()
	_, h.Memory = settle(h.Memory, s, now)
	return r.decide(ctx, scope, s, h, now, func(ctx context.Context, base string) (pull.Turn, error) {
		return r.store.Turn(ctx, s.Repo.ID, base)
	})
}

// plan turns a decision into what is written down before anything is done: the difference between what is wanted and
// what is there, with the report among it. A report that GitHub refused lately waits: then look asks for another look.
func (p *pass) plan(s pull.Snapshot, look *Look, settled []pull.Intent, m pull.Memory, hist pull.History, took time.Duration) (pull.Plan, error) {
	var reports []pull.Action
	for _, report := range p.reports(s, look.Decision) {
		if until, _, held := m.Withheld(report, p.store.Now()); held {
			look.Decision.Again = sooner(look.Decision.Again, until)
			continue
		}
		reports = append(reports, report)
	}
	d := look.Decision
	tree, err := json.Marshal(d.Verdict)
	if err != nil {
		return pull.Plan{}, fmt.Errorf("keep the verdict of %s: %w", p.claim.Key, err)
	}
	digest := d.Verdict.Digest()
	changes, err := changed(hist.Verdict, d.Verdict, digest)
	if err != nil {
		return pull.Plan{}, fmt.Errorf("keep what changed about %s: %w", p.claim.Key, err)
	}
	plan := pull.Plan{
		Pull: row(p.claim.Key, s, d),
		Verdict: pull.Verdict{
			State: string(d.Verdict.State), Sentence: notice.Sentence(d.Verdict), Tree: tree,
			Digest: digest, Changes: changes, Took: took,
		},
		Memory:  d.Memory,
		Settled: settled,
		Policy:  look.Policy.NewlyValid,
		Problem: look.Policy.Problem(),
		Sight:   s.Sight().String(),

		DefaultsSeen: look.Policy.DefaultsSeen && !hist.DefaultsSeen,
		Head:         moved(s, hist.Memory.Heads),
	}
	plan.Pull.Verdict, plan.Pull.Sentence = plan.Verdict.State, plan.Verdict.Sentence
	if plan.Problem != "" && plan.Problem != hist.Problem {
		p.o.Metrics.Error(telemetry.ErrPolicy)
		p.log.Error("the policy file is not valid; the last valid one stays in force", telemetry.KeyErr, plan.Problem)
	}
	if p.o.ObserveOnly {
		// What commands have asked for is not remembered either: whoever looks for them again finds them.
		plan.Memory.Merge, plan.Memory.Hold, plan.Memory.Approvals, plan.Memory.Passed = m.Merge, m.Hold, m.Approvals, m.Passed
		return plan, nil
	}
	plan.Actions, plan.Commands = slices.Clone(d.Actions), d.Commands
	if _, speaks := notice.Report(s, d.Verdict, ""); speaks {
		plan.Actions = append(plan.Actions, spares(s)...)
	}
	for _, r := range d.Replies {
		plan.Actions = append(plan.Actions, pull.Action{
			Kind: pull.WriteComment, Target: r.Target(), Body: notice.Reply(r, d.Verdict, p.o.Page(s.Repo, s.Number)),
		})
	}
	for i := range plan.Actions {
		plan.Actions[i].Why = notice.Why(d.Verdict, plan.Actions[i])
	}
	plan.Actions = append(plan.Actions, reports...)
	// What GitHub has refused lately is not asked for again before that may have changed, whoever wants it.
	plan.Actions = slices.DeleteFunc(plan.Actions, func(a pull.Action) bool {
		until, _, held := m.Withheld(a, p.store.Now())
		if held {
			look.Decision.Again = sooner(look.Decision.Again, until)
		}
		return held
	})
	plan.Pull.NextLook = look.Decision.Again
	slices.SortStableFunc(plan.Actions, func(a, b pull.Action) int {
		return slices.Index(pull.ActionKinds, a.Kind) - slices.Index(pull.ActionKinds, b.Kind)
	})
	return plan, nil
}

// moved returns the head where it is another commit than the last one that was known, and since when: not before it was last
// seen to be that one.
func moved(s pull.Snapshot, known []pull.HeadAt) *pull.HeadAt {
	at := pull.HeadAt{SHA: s.Head.SHA, At: s.UpdatedAt}
	if at.SHA == "" || at.At.IsZero() {
		return nil
	}
	if n := len(known); n > 0 {
		last := known[n-1]
		switch {
		case last.SHA == at.SHA:
			return nil
		case !at.At.After(last.At):
			at.At = later(s.ObservedAt, last.At.Add(time.Second))
		}
	}
	return &at
}

// countCommands counts commands that are decided on for good.
func (p *pass) countCommands(commands []pull.Command) {
	for _, c := range commands {
		if c.Status != pull.CommandOpen {
			p.o.Metrics.Command(c.Verb, string(c.Status))
		}
		p.log.Info("command "+string(c.Status), "verb", c.Verb, "by", c.Writer.Login, telemetry.KeySHA, c.HeadSeen.Short(), "comment", c.CommentID, "reason", c.Reason)
	}
}

// changed returns, as JSON, what is different from the verdict before; nil if nothing is that people would notice.
func changed(was pull.Verdict, now policy.Verdict, digest string) ([]byte, error) {
	if was.Digest == digest {
		return nil, nil // most passes: the tree of before is not even read
	}
	var before policy.Verdict
	if len(was.Tree) > 0 && json.Unmarshal(was.Tree, &before) != nil {
		return nil, nil // of another version; what is different from it can't be told
	}
	list := policy.Changes(before, now)
	if len(list) == 0 {
		return nil, nil
	}
	return json.Marshal(list)
}

// reports returns the actions that bring the reports up to date: those that are needed.
func (p *pass) reports(s pull.Snapshot, d policy.Decision) []pull.Action {
	var out []pull.Action
	// About to merge: a report that GitHub does not ask for says "merged" a moment later, in one write instead of two.
	merging := slices.ContainsFunc(d.Actions, func(a pull.Action) bool { return a.Kind == pull.Merge })
	for _, want := range notice.Reports(s, d.Verdict, p.o.Page(s.Repo, s.Number)) {
		had := s.ReportOn(want.Name, want.SHA)
		if !notice.Differs(had, want, s.AsApp) || merging && want.Name == "" && had != nil && !had.Required {
			continue
		}
		out = append(out, pull.Action{Kind: pull.SetReport, Target: want.Target(), SHA: want.SHA, Report: &want, Why: want.Title})
	}
	return out
}

// carryOut does what the plan says, action by action. seen is when the snapshot began to be read.
func (p *pass) carryOut(ctx context.Context, s pull.Snapshot, d policy.Decision, actions []pull.Action, m pull.Memory, seen time.Time) (pull.PassResult, error) {
	intents := m.Intents
	m = d.Memory
	m.Intents = intents
	res := pull.PassResult{Outcome: pull.PassDone, Again: d.Again}
	for i, a := range actions {
		select {
		case <-p.stop:
			return pull.PassResult{Outcome: pull.PassParked, Again: p.store.Now()}, nil // handed back for the next process
		default:
		}
		merges := a.Kind == pull.Merge || a.Kind == pull.Enqueue || a.Kind == pull.Approve
		if merges && i > 0 && time.Since(seen) > mergeWithin {
			// Look again first; then there is nothing else to write.
			return pull.PassResult{Outcome: pull.PassDone, Again: p.store.Now()}, nil
		}
		var end *pull.PassResult
		var err error
		if m, end, err = p.act(ctx, s, a, m); err != nil {
			return pull.PassResult{}, err
		}
		if end != nil {
			return *end, nil
		}
		in, _ := m.Intent(a.Kind, a.Target)
		switch {
		case in.Status == pull.Failed:
			// The verdict was made before GitHub said no: look once more, so that it says why.
			res.Again = sooner(res.Again, p.store.Now().Add(time.Second))
		case a.Kind == pull.Merge:
			res.Again = sooner(res.Again, p.store.Now().Add(afterMerge))
			if m.Turn != "" { // the push to the base wakes those that wait for it: they should find it free
				if err := p.store.EndTurn(ctx, p.claim, m.Turn); err != nil {
					return pull.PassResult{}, err
				}
			}
		case a.Command != "" && a.Kind != pull.React:
			res.Again = sooner(res.Again, p.store.Now()) // to say so beneath the comment
		}
	}
	return res, nil
}

// failed ends a pass that met an error; when it is made again is the store's backoff to say. GitHub's outages and the
// database's make no dead letters.
func (r *Reconciler) failed(err error) *pull.PassResult {
	res := &pull.PassResult{Outcome: pull.PassFailed, Error: err.Error(), Outage: ofOutage(err)}
	if f, ok := pull.FaultOf(err); ok && (f.Class == pull.FaultUnavailable || f.Class == pull.FaultAuth) {
		res.Outage = true
		if !f.Until.IsZero() {
			res.NotBefore = r.byStore(f.Until)
		}
	}
	return res
}

// byStore is a moment of this machine's clock as the store's clock will show it, which is what due times go by. It
// is not a moment too early, though the store counts in microseconds.
func (r *Reconciler) byStore(at time.Time) time.Time {
	return r.store.Now().Add(time.Until(at) + time.Microsecond)
}

// row is what lists show of a pull request.
func row(k pull.Key, s pull.Snapshot, d policy.Decision) pull.Row {
	r := pull.Row{
		Key: k, Repo: s.Repo, Number: s.Number, Title: s.Title, Author: s.Author.Login, URL: s.URL, State: s.State,
		Draft: s.Draft, Head: s.Head.SHA, HeadRef: s.Head.Name, Base: s.Base.Name, UpdatedAt: s.UpdatedAt,
		DecidedAt: s.ObservedAt, NextLook: d.Again,
	}
	for _, l := range s.Labels {
		if l.Present {
			r.Labels = append(r.Labels, l.Name)
		}
	}
	return r
}

// sooner returns the earlier of two moments; the zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// A policyCache keeps policies compiled: compiling CEL costs a hundred times what evaluating it does. It is keyed by
// content, so it can't be stale, and by where that was read, which is part of what a verdict says.
type policyCache struct {
	mu   sync.Mutex
	made map[policyKey]policy.Effective
}

type policyKey struct {
	repo, defaults, last     pull.SHA
	repoPath, defaultsPath   string
	unreadable, defaultsSeen bool
}

// cachedPolicies bounds the cache; beyond it, it starts anew.
const cachedPolicies = 512

func (c *policyCache) resolve(s pull.Snapshot, h pull.History) policy.Effective {
	k := policyKey{
		repo: s.Policy.OID, defaults: s.Defaults.OID, last: h.LastValid.OID, repoPath: s.Policy.Path, defaultsPath: s.Defaults.Path,
		unreadable: s.Policy.Unreadable != "" || s.Defaults.Unreadable != "", defaultsSeen: h.DefaultsSeen,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.made[k]; ok {
		return e
	}
	if c.made == nil || len(c.made) >= cachedPolicies {
		c.made = make(map[policyKey]policy.Effective)
	}
	e := policy.Resolve(s.Policy, s.Defaults, h.LastValid, h.DefaultsSeen)
	c.made[k] = e
	return e
}
