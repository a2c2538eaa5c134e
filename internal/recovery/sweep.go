package recovery

import (
	"context"
	"slices"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

const (
	// busy is how often a repository is looked over where something moves.
	busy = 2 * time.Minute
	// pace is how far apart the requests of one scope are, and share how much of the time a repository's sweep may take:
	// one of a hundred pages is looked over less often.
	pace  = 2 * time.Second
	share = 5
	// look is how long it takes at most until it is noticed that something has begun to move.
	look = 30 * time.Second

	goneFor     = time.Hour        // until a repository that GitHub does not show us is tried again
	outageFor   = 30 * time.Second // until a scope is asked again after GitHub gave no answer …
	deniedFor   = 5 * time.Minute  // … or did not accept its credentials
	pausedFor   = 10 * time.Second
	discoverAll = time.Hour // how often it is asked which repositories there are

	// What a sweep finds is made due one after the other: a handful at once, so that what was missed in an ordinary outage
	// is caught up with in minutes, and then no faster than a third of GitHub's hourly limit.
	spreadBurst = 500
	spreadFast  = 200 * time.Millisecond
	spreadSlow  = 2 * time.Second

	// closed is the sight of a pull request that is open as far as is known here, and not at GitHub.
	closed = "not open"
)

// dueAt says when a repository is to be looked over. since is when this replica began to do that: what came in before
// may have been missed, so every repository is looked over soon after.
func dueAt(s pull.Sweepable, every time.Duration, since time.Time) time.Time {
	if s.SweptAt.IsZero() {
		return s.RetryAt
	}
	wait := every
	if s.Moved || s.ActiveAt.After(s.SweptAt) {
		wait = min(every, busy)
	}
	least := min(every, max(time.Minute, time.Duration(share*s.Requests)*pace))
	at := s.SweptAt.Add(max(wait, time.Duration(share*s.Requests)*pace))
	if soon := s.SweptAt.Add(least); s.SweptAt.Before(since) && soon.Before(at) {
		at = soon
	}
	if s.RetryAt.After(at) {
		return s.RetryAt
	}
	return at
}

// judge compares what a repository's open pull requests look like with how they were seen last. What is as the last pass
// or the last sweep saw it needs no look: what a sweep has seen, it has made due. Nothing needs one that nobody has heard
// of and that no policy speaks about.
func judge(listed map[int]pull.Sight, seen map[int]pull.Seen, policy bool) (sights map[int]string, due []int) {
	sights = make(map[int]string)
	for n, s := range listed {
		text := s.String()
		was, known := seen[n]
		if was.BySweep == text || (!known && !policy) {
			continue
		}
		sights[n] = text
		if was.ByPass != text {
			due = append(due, n)
		}
	}
	for n, was := range seen {
		if _, ok := listed[n]; !ok && was.Open && was.BySweep != closed {
			sights[n] = closed
			due = append(due, n)
		}
	}
	slices.Sort(due)
	return sights, due
}

// A spread says when what sweeps find is due, for each scope by itself. The zero value is ready; it is not safe for
// concurrent use.
type spread struct {
	full map[pull.Scope]time.Time // when the burst would be had again, if nothing more came
	last map[pull.Scope]time.Time
}

func (s *spread) next(scope pull.Scope, now time.Time) time.Time {
	if s.full == nil {
		s.full, s.last = make(map[pull.Scope]time.Time), make(map[pull.Scope]time.Time)
	}
	full := s.full[scope]
	if full.Before(now) {
		full = now
	}
	s.full[scope] = full.Add(spreadSlow)
	at := now
	if t := full.Add(-(spreadBurst - 1) * spreadSlow); t.After(at) {
		at = t
	}
	if t := s.last[scope].Add(spreadFast); t.After(at) {
		at = t
	}
	s.last[scope] = at
	return at
}

// waits are until when scopes are left alone. The zero value is ready; it is not safe for concurrent use.
type waits struct {
	until    map[pull.Scope]time.Time
	trouble  map[pull.Scope]bool // its last request failed, and that has been said
	tried    map[int64]time.Time // when a repository was tried in vain, by its id
	discover time.Time           // when to ask next which repositories there are
}

func (w *waits) wait(scope pull.Scope, until time.Time) {
	if w.until == nil {
		w.until = make(map[pull.Scope]time.Time)
	}
	w.until[scope] = until
}

// last puts repositories that were tried in vain behind the others, so that one that GitHub can't show holds up nobody.
func (w *waits) last(repos []pull.Sweepable) {
	slices.SortStableFunc(repos, func(a, b pull.Sweepable) int { return w.tried[a.Repo.ID].Compare(w.tried[b.Repo.ID]) })
}

// vain notes that a repository was tried in vain, and reports whether that is news.
func (w *waits) vain(repo int64, now time.Time) (news bool) {
	if w.tried == nil {
		w.tried = make(map[int64]time.Time)
	}
	_, known := w.tried[repo]
	w.tried[repo] = now
	return !known
}

// failed notes whether a scope's last request failed, and reports whether that is news.
func (w *waits) failed(scope pull.Scope, failed bool) (news bool) {
	if w.trouble == nil {
		w.trouble = make(map[pull.Scope]bool)
	}
	news = failed && !w.trouble[scope]
	w.trouble[scope] = failed
	return news
}

// sweep looks over the repositories whose time has come, and says when to look again. A scope that has to wait holds up
// only its own repositories.
func (r *Recovery) sweep(ctx context.Context, lead pull.Lead, since time.Time) (next time.Duration, err error) {
	if !r.hub.Configured() {
		return r.o.Sweep, nil
	}
	if _, paused, err := r.store.Paused(ctx); err != nil || paused {
		return pausedFor, err
	}
	if now := r.store.Now(); !now.Before(r.waits.discover) {
		if err := r.discover(ctx, lead); err != nil {
			return 0, err
		}
	}
	repos, err := r.store.Sweepable(ctx)
	if err != nil {
		return 0, err
	}
	r.waits.last(repos)
	next = min(look, r.o.Sweep)
	for _, s := range repos {
		if ctx.Err() != nil {
			return 0, nil
		}
		if !r.o.MayAct(s.Repo) {
			continue
		}
		if s.Scope = r.scope(s.Scope); s.Scope == "" {
			continue // nobody whose credentials could be used
		}
		now := r.store.Now()
		at := dueAt(s, r.o.Sweep, since)
		if t := r.waits.until[s.Scope]; t.After(at) {
			at = t
		}
		if wait := at.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		if err := r.sweepOne(ctx, lead, s); err != nil {
			return 0, err
		}
		// As soon as the scope's pace allows; and nothing is swept while the queue is paused.
		next = min(next, max(r.waits.until[s.Scope].Sub(r.store.Now()), 0))
		if _, paused, err := r.store.Paused(ctx); err != nil || paused {
			return pausedFor, err
		}
	}
	return max(next, 10*time.Millisecond), nil
}

// scope is whose budget a repository is looked over with.
func (r *Recovery) scope(known pull.Scope) pull.Scope {
	if !r.hub.AsApp() {
		return pull.ScopeToken
	}
	return known
}

// sweepOne looks over one repository. Its errors are the database's: what is wrong with GitHub makes the repository, or
// its scope, wait.
func (r *Recovery) sweepOne(ctx context.Context, lead pull.Lead, s pull.Sweepable) error {
	w := pull.Swept{At: r.store.Now()}
	listed := make(map[int]pull.Sight)
	var repo pull.Repo // as it is called now
	policy := false
	for cursor := ""; ; {
		page, err := r.hub.OpenPulls(ctx, s.Scope, s.Repo, cursor)
		if ctx.Err() != nil {
			return nil
		}
		r.waits.wait(s.Scope, r.store.Now().Add(pace))
		if err == nil && page.Repo.ID != s.Repo.ID {
			err = &pull.Fault{Class: pull.FaultGone, Op: "look over " + s.Repo.FullName(), Message: "another repository has its name now"}
		}
		if err != nil {
			return r.unswept(ctx, lead, s, faultOf(err))
		}
		r.waits.failed(s.Scope, false)
		if w.Requests++; page.Next == cursor && cursor != "" {
			return r.unswept(ctx, lead, s, &pull.Fault{Class: pull.FaultUnavailable, Op: "look over " + s.Repo.FullName(), Message: "GitHub's pages go in circles"})
		}
		repo, policy = page.Repo, page.Policy
		for n, sight := range page.Pulls {
			listed[n] = sight
		}
		if page.Next == "" {
			break
		}
		cursor = page.Next
		if !pause(ctx, pace) {
			return nil
		}
	}
	seen, err := r.store.Seen(ctx, s.Repo.ID)
	if err != nil {
		return err
	}
	var due []int
	w.Sights, due = judge(listed, seen, policy)
	w.Moved = len(w.Sights) > 0
	now := r.store.Now()
	for _, n := range due {
		w.Due = append(w.Due, pull.Mark{Number: n, Due: r.spread.next(s.Scope, now)})
	}
	marked, err := r.store.Swept(ctx, lead, repo, s.Scope, w)
	if err != nil {
		return err
	}
	delete(r.waits.tried, s.Repo.ID)
	r.o.Metrics.Sweep("done")
	r.o.Metrics.SweptDue(marked)
	if marked > 0 {
		r.o.Log.Info("the sweep found pull requests that nobody told of", telemetry.KeyRepo, repo.FullName(), telemetry.KeyCount, marked, "open", len(listed))
	}
	return nil
}

// unswept makes a repository or its scope wait.
func (r *Recovery) unswept(ctx context.Context, lead pull.Lead, s pull.Sweepable, f *pull.Fault) error {
	now := r.store.Now()
	switch f.Class {
	case pull.FaultThrottled:
		r.o.Metrics.Sweep("throttled")
		r.waits.wait(s.Scope, r.byStore(f.Until))
		return nil
	case pull.FaultGone, pull.FaultRefused:
		r.o.Metrics.Sweep("gone")
		r.o.Log.Info("a repository can't be looked over", telemetry.KeyRepo, s.Repo.FullName(), telemetry.KeyErr, f)
		return r.store.NotSwept(ctx, lead, s.Repo.ID, now.Add(goneFor))
	}
	r.o.Metrics.Sweep("failed")
	if known := !r.waits.vain(s.Repo.ID, now); r.waits.failed(s.Scope, true) && !known {
		r.o.Log.Warn("open pull requests can't be looked over; it is tried again", telemetry.KeyRepo, s.Repo.FullName(), telemetry.KeyScope, s.Scope, telemetry.KeyErr, f)
	}
	again := outageFor
	if f.Class == pull.FaultAuth {
		again = deniedFor
	}
	r.waits.wait(s.Scope, now.Add(again))
	return nil
}

// discover finds repositories that no delivery has told of: those of the App's installations, or those that the operator
// has named. It costs a request for each hundred, once an hour.
func (r *Recovery) discover(ctx context.Context, lead pull.Lead) error {
	known, err := r.store.Sweepable(ctx)
	if err != nil {
		return err
	}
	var found []pull.Sweepable
	retry := discoverAll
	unheard := func(scope pull.Scope, repo pull.Repo) {
		i := slices.IndexFunc(known, func(s pull.Sweepable) bool { return s.Repo.ID == repo.ID })
		if r.o.MayAct(repo) && (i < 0 || known[i].Scope != scope) {
			found = append(found, pull.Sweepable{Repo: repo, Scope: scope})
		}
	}
	const nobody pull.Scope = "" // as a scope whose trouble is said once
	failed := false
	trouble := func(err error) {
		failed, retry = true, outageFor
		switch f := faultOf(err); f.Class {
		case pull.FaultThrottled:
			retry = max(retry, time.Until(f.Until))
		case pull.FaultAuth:
			retry = deniedFor
		}
		if r.waits.failed(nobody, true) {
			r.o.Log.Warn("can't ask GitHub which repositories there are; it is tried again", telemetry.KeyErr, err)
		}
	}
	if r.hub.AsApp() {
		scopes, err := r.hub.Installations(ctx)
		if err != nil && ctx.Err() == nil {
			trouble(err)
		}
		for _, scope := range scopes {
			repos, err := r.hub.InstallationRepos(ctx, scope)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil && faultOf(err).Class != pull.FaultGone {
				trouble(err)
			}
			for _, repo := range repos {
				unheard(scope, repo)
			}
		}
	} else {
		for _, n := range r.o.Named {
			if slices.ContainsFunc(known, func(s pull.Sweepable) bool { return sameName(s.Repo, n) }) {
				continue
			}
			repo, err := r.hub.Repository(ctx, pull.ScopeToken, n.Owner, n.Name)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				if f := faultOf(err); f.Class != pull.FaultGone && f.Class != pull.FaultRefused {
					trouble(err)
				}
				continue
			}
			unheard(pull.ScopeToken, repo)
		}
	}
	if !failed {
		r.waits.failed(nobody, false)
	}
	r.waits.discover = r.store.Now().Add(retry)
	if len(found) == 0 {
		return nil
	}
	return r.store.NoteRepositories(ctx, lead, found)
}
