package recovery

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

const (
	// overlap is how far an audit looks back behind the last one: GitHub may deliver a quarter of an hour late.
	overlap = 15 * time.Minute
	// firstLook is how far the first one looks back.
	firstLook = 24 * time.Hour
	// keeps is how long GitHub keeps deliveries at most: an Enterprise Server seven days, github.com three, and then its
	// log ends by itself. Ids are kept here for eight.
	keeps = 7 * 24 * time.Hour
	// young is how old an acknowledgement must be before the absence of its delivery is a loss: the two clocks differ.
	young = time.Minute

	pagesPerRound = 20 // of a hundred deliveries, and of one webhook
	hooksPerRound = 100
	listsPerRound = 50
	unfinished    = time.Minute // until a walk that had too many pages for a round goes on

	asksPerRound = 100
	afterAsking  = 30 * time.Second // until it is seen what has come of it
)

// patience is how long after each time that GitHub was asked for a delivery the next time is, or it is given up: first it
// may have been a hiccup, then a repair.
var patience = []time.Duration{5 * time.Minute, time.Hour, 10 * time.Minute}

// absent says which deliveries of a log ought to be here: those that no try of GitHub's brought here, and those that
// were acknowledged. Whether they are here is for the store to say. since is when the log was first looked at: what was
// acknowledged before then went to somebody else, or to a database that is gone. What was acknowledged between a backup and
// its restore is missing for that reason, and no alarm.
func absent(log []pull.Sending, h pull.Hook, since, now time.Time, restores []pull.Restore) []pull.Missing {
	type group struct {
		newest pull.Sending
		ok     time.Time // of the newest success
	}
	groups := make(map[string]*group, len(log))
	var order []string
	for _, s := range log {
		g := groups[s.GUID]
		if g == nil {
			g = &group{newest: s}
			groups[s.GUID] = g
			order = append(order, s.GUID)
		}
		if s.At.After(g.newest.At) {
			g.newest = s
		}
		if s.OK && s.At.After(g.ok) {
			g.ok = s.At
		}
	}
	var out []pull.Missing
	for _, guid := range order {
		g := groups[guid]
		acked := !g.ok.IsZero()
		behind := acked && slices.ContainsFunc(restores, func(r pull.Restore) bool { return r.Explains(g.ok, young) })
		if acked && !behind && (g.ok.Before(since) || now.Sub(g.ok) < young) {
			continue
		}
		s := g.newest
		out = append(out, pull.Missing{
			GUID: guid, Hook: h, ID: s.ID, Event: s.Event, Action: s.Action, Status: s.Status, SentAt: s.At, Lost: acked && !behind, Behind: behind,
		})
	}
	return out
}

// audit is one round over all webhooks, and says when the next one is.
func (r *Recovery) audit(ctx context.Context, lead pull.Lead) (next time.Duration, err error) {
	if !r.hub.Configured() {
		return r.o.Audit, nil
	}
	hooks, err := r.ours(ctx)
	if err != nil {
		return 0, err
	}
	next = r.o.Audit
	trouble := ""
hooks:
	for _, h := range hooks {
		done, fault, err := r.auditHook(ctx, lead, h)
		switch {
		case err != nil || ctx.Err() != nil:
			return 0, err
		case fault != nil && (fault.Class == pull.FaultGone || fault.Class == pull.FaultRefused):
			trouble = r.unread(fault) // that webhook's: it was deleted, or is no longer ours to see
		case fault != nil:
			switch fault.Class {
			case pull.FaultThrottled:
				next = min(next, max(unfinished, time.Until(fault.Until)))
			case pull.FaultAuth:
				trouble = r.unread(fault)
			default:
				trouble = r.unread(fault)
				next = min(next, unfinished)
			}
			break hooks
		case !done:
			next = min(next, unfinished)
		}
	}
	r.note(func(s *status) {
		s.trouble, s.blind = trouble, r.hooks.blind()
		known := r.hooks.names()
		maps.DeleteFunc(s.behind, func(name string, _ time.Time) bool { return !r.hub.AsApp() && !known[name] })
	})
	asked, more, err := r.ask(ctx, lead)
	switch {
	case err != nil:
		return 0, err
	case more:
		next = min(next, time.Second)
	case asked > 0:
		next = min(next, afterAsking)
	}
	return next, nil
}

// unread says that a log can't be read, in the log the first time in a row, and returns what /health shows.
func (r *Recovery) unread(f *pull.Fault) string {
	const what = "GitHub's log of deliveries can't be read; it is tried again, and the log says why"
	r.mu.Lock()
	known := r.status.trouble != ""
	r.mu.Unlock()
	if !known {
		r.o.Log.Warn("GitHub's log of deliveries can't be read; it is tried again", telemetry.KeyErr, f)
	}
	return what
}

// auditHook compares one webhook's log from now back to where the last audit began. A log that is too long for one round
// is gone on with in the next one; done is false then.
func (r *Recovery) auditHook(ctx context.Context, lead pull.Lead, h pull.Hook) (done bool, fault *pull.Fault, err error) {
	name := h.String()
	a, err := r.store.Audit(ctx, name)
	if err != nil {
		return false, nil, err
	}
	now := r.store.Now()
	top := now
	if a.Next != "" {
		top = a.Top
	}
	restores, err := r.store.Restores(ctx)
	if err != nil {
		return false, nil, err
	}
	log, next, fault := r.walk(ctx, h, a.Next, back(a, now, restores))
	if ctx.Err() != nil {
		return false, nil, nil
	}
	if fault != nil && len(log) == 0 && a.Next != "" && fault.Class == pull.FaultRefused {
		next = "" // GitHub does not know its cursor any more: the walk begins anew
	}
	fresh, err := r.store.Compare(ctx, absent(log, h, a.Since, now, restores))
	r.tell(fresh)
	if err != nil {
		return false, fault, err
	}
	done = fault == nil && next == ""
	switch {
	case done:
		a.Done, a.Top, a.Next = top, time.Time{}, ""
	case next != "":
		a.Top, a.Next = top, next
	default:
		a.Top, a.Next = time.Time{}, ""
	}
	behind := a.Done
	if behind.IsZero() {
		behind = a.Since
	}
	r.hooks.audited(name, now)
	r.note(func(s *status) {
		if s.behind == nil {
			s.behind = make(map[string]time.Time)
		}
		s.behind[name] = behind
	})
	return done, fault, r.store.Audited(ctx, lead, name, a)
}

// back is how far an audit has to look back: a database that was restored from before the first one has all to compare
// that came since its backup was taken.
func back(a pull.Audit, now time.Time, restores []pull.Restore) time.Time {
	from := a.Since.Add(-firstLook)
	if !a.Done.IsZero() {
		from = a.Done.Add(-overlap)
	} else {
		for _, r := range restores {
			if taken := r.Taken.Add(-overlap); taken.Before(from) {
				from = taken
			}
		}
	}
	if oldest := now.Add(-keeps); from.Before(oldest) {
		return oldest
	}
	return from
}

// walk reads a log from a cursor back to a moment. next is where to go on when a round has no more pages, or a page
// could not be had.
func (r *Recovery) walk(ctx context.Context, h pull.Hook, cursor string, from time.Time) (log []pull.Sending, next string, fault *pull.Fault) {
	for range pagesPerRound {
		page, further, err := r.hub.Sendings(ctx, h, cursor)
		if err != nil {
			return log, cursor, faultOf(err)
		}
		for _, s := range page {
			if !s.At.Before(from) {
				log = append(log, s)
			}
		}
		if further == "" || len(page) == 0 || page[len(page)-1].At.Before(from) {
			return log, "", nil
		}
		cursor = further
	}
	return log, cursor, nil
}

// byStore is a moment of this machine's clock, by which faults go, by the store's.
func (r *Recovery) byStore(at time.Time) time.Time { return r.store.Now().Add(time.Until(at)) }

// faultOf is the fault in an error of the hub, which has no other errors.
func faultOf(err error) *pull.Fault {
	if f, ok := pull.FaultOf(err); ok {
		return f
	}
	return &pull.Fault{Class: pull.FaultUnavailable, Op: "ask GitHub", Err: err}
}

// tell says what an audit has found that is new.
func (r *Recovery) tell(fresh []pull.Missing) {
	if len(fresh) == 0 {
		return
	}
	behind := 0
	for _, m := range fresh {
		if m.Behind {
			behind++
		}
		if m.Lost {
			r.o.Metrics.Lost()
			r.o.Log.Error("a delivery was acknowledged and is not in the database: it was lost here, and GitHub is asked for it again",
				telemetry.KeyDelivery, m.GUID, telemetry.KeyEvent, m.Event, "sent", m.SentAt)
		}
	}
	r.o.Metrics.Missing(len(fresh))
	if behind > 0 {
		r.o.Log.Warn("the database was restored from a backup: deliveries that were acknowledged since it was taken are not here, as was to be expected",
			telemetry.KeyCount, behind)
	}
	r.o.Log.Warn("GitHub has deliveries that are not here, and is asked for them again", telemetry.KeyCount, len(fresh),
		"oldest", slices.MinFunc(fresh, func(a, b pull.Missing) int { return a.SentAt.Compare(b.SentAt) }).SentAt)
}

// ask fetches what is missing: it asks GitHub for what it may be asked for, and ends what has come in or is given up.
func (r *Recovery) ask(ctx context.Context, lead pull.Lead) (asked int, more bool, err error) {
	list, err := r.store.Missing(ctx, asksPerRound)
	if err != nil {
		return 0, false, err
	}
	recovered, gaveUp := 0, 0
	defer func() {
		if recovered > 0 {
			r.o.Log.Info("deliveries that were missing have come in", telemetry.KeyCount, recovered)
		}
		if gaveUp > 0 {
			r.o.Log.Error("missing deliveries are given up: GitHub does not deliver them; only the sweep finds what they told of", telemetry.KeyCount, gaveUp)
		}
	}()
	end := func(m pull.Missing, state pull.MissingState, why string) error {
		first, err := r.store.EndMissing(ctx, m.GUID, state, why)
		switch {
		case !first:
		case state == pull.Recovered:
			recovered++
			r.o.Metrics.Recovered()
		default:
			gaveUp++
			r.o.Metrics.GaveUp()
		}
		return err
	}
	for _, m := range list {
		switch {
		case ctx.Err() != nil:
			return asked, false, nil
		case m.Here:
			err = end(m, pull.Recovered, "")
		case m.Asked >= len(patience):
			err = end(m, pull.GaveUp, fmt.Sprintf("GitHub was asked %d times, the last answer was: %s", m.Asked, m.Status))
		default:
			var fault *pull.Fault
			fault, err = r.askFor(ctx, lead, m)
			switch {
			case err != nil:
			case fault == nil:
				asked++
			case fault.Class == pull.FaultGone || fault.Class == pull.FaultRefused:
				err = end(m, pull.GaveUp, fault.Error())
			default:
				return asked, false, nil // GitHub has no time, or is not there: in the next round
			}
		}
		if err != nil {
			return asked, false, err
		}
	}
	return asked, len(list) == asksPerRound, nil
}

// askFor asks GitHub for one delivery, unless somebody else has just done so. What was certainly not asked does not
// count.
func (r *Recovery) askFor(ctx context.Context, lead pull.Lead, m pull.Missing) (*pull.Fault, error) {
	now := r.store.Now()
	mine, err := r.store.Asking(ctx, lead, m, now.Add(patience[m.Asked]))
	if err != nil || !mine {
		return nil, err
	}
	err = r.hub.SendAgain(ctx, r.reach(m.Hook), m.ID)
	if err == nil {
		r.o.Metrics.AskedAgain()
		return nil, nil
	}
	fault := faultOf(err)
	switch fault.Class {
	case pull.FaultThrottled, pull.FaultUnavailable, pull.FaultAuth:
		// Also when the service is stopping: the next process is to ask soon.
		return fault, r.store.NotAsked(context.WithoutCancel(ctx), m, now.Add(unfinished))
	case pull.FaultUnclear:
		r.o.Metrics.AskedAgain() // it may have been; the next look tells
		return nil, nil
	}
	return fault, nil
}

// reach fills in whose credentials a webhook is asked about with.
func (r *Recovery) reach(h pull.Hook) pull.Hook {
	if h.ID != 0 && !r.hub.AsApp() {
		h.Scope = pull.ScopeToken
	}
	return h
}

// ours returns the webhooks whose logs are to be compared in a round: the App's, or those of repositories that lead
// here, as far as the token may see them.
func (r *Recovery) ours(ctx context.Context) ([]pull.Hook, error) {
	if r.hub.AsApp() {
		return []pull.Hook{{}}, nil
	}
	brought, err := r.store.OurHooks(ctx)
	if err != nil {
		return nil, err
	}
	repos, err := r.store.Sweepable(ctx)
	if err != nil {
		return nil, err
	}
	now, lists := r.store.Now(), 0
	for _, s := range repos {
		if !r.o.MayAct(s.Repo) || !r.hooks.stale(s.Repo.ID, now) || lists == listsPerRound {
			continue
		}
		lists++
		hooks, err := r.hub.Hooks(ctx, pull.ScopeToken, s.Repo)
		if err == nil {
			hooks = slices.DeleteFunc(hooks, func(h pull.Hook) bool { return !brought[h.String()] && !r.leadsHere(h.URL) })
			r.hooks.set(s.Repo.ID, hooks, now)
			continue
		}
		f := faultOf(err)
		if f.Class != pull.FaultGone && f.Class != pull.FaultRefused {
			break // in the next round
		}
		if r.hooks.forbid(s.Repo.ID, now) {
			r.o.Log.Info("the token may not see the repository's webhooks: deliveries that it misses can't be fetched again, and only the sweep finds what they told of",
				telemetry.KeyRepo, s.Repo.FullName(), telemetry.KeyErr, f)
		}
	}
	return r.hooks.due(hooksPerRound), nil
}

// leadsHere reports whether a webhook's address is the service's own.
func (r *Recovery) leadsHere(address string) bool {
	u, err1 := url.Parse(address)
	us, err2 := url.Parse(r.o.Address)
	return err1 == nil && err2 == nil && us.Host != "" && strings.EqualFold(u.Host, us.Host) && u.Path == us.Path
}

// How long it is believed which webhooks a repository has, and that they are not ours to see.
const (
	hooksLast = time.Hour
	blindLast = 6 * time.Hour
)

// A hookCache knows the webhooks of repositories. The zero value is ready.
type hookCache struct {
	mu    sync.Mutex
	repos map[int64]repoHooks
	last  map[string]time.Time // when each was last compared
}

type repoHooks struct {
	hooks []pull.Hook
	until time.Time
	blind bool
}

func (c *hookCache) stale(repo int64, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !now.Before(c.repos[repo].until)
}

func (c *hookCache) set(repo int64, hooks []pull.Hook, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.repos == nil {
		c.repos = make(map[int64]repoHooks)
	}
	h := repoHooks{hooks: hooks, until: now.Add(hooksLast)}
	if len(hooks) == 0 {
		h.until = now.Add(2 * unfinished) // the first delivery will tell which one is ours
	}
	c.repos[repo] = h
}

// forbid notes that a repository's webhooks may not be seen, and reports whether that is news.
func (c *hookCache) forbid(repo int64, now time.Time) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.repos == nil {
		c.repos = make(map[int64]repoHooks)
	}
	news = !c.repos[repo].blind
	c.repos[repo] = repoHooks{until: now.Add(blindLast), blind: true}
	return news
}

func (c *hookCache) blind() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.repos {
		if h.blind {
			n++
		}
	}
	return n
}

// listed is how many repositories have been asked for their webhooks.
func (c *hookCache) listed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.repos)
}

func (c *hookCache) audited(hook string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = make(map[string]time.Time)
	}
	c.last[hook] = now
}

func (c *hookCache) names() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make(map[string]bool)
	for _, r := range c.repos {
		for _, h := range r.hooks {
			names[h.String()] = true
		}
	}
	return names
}

// due returns the webhooks that were compared longest ago.
func (c *hookCache) due(most int) []pull.Hook {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []pull.Hook
	for _, h := range c.repos {
		all = append(all, h.hooks...)
	}
	slices.SortFunc(all, func(a, b pull.Hook) int {
		if n := c.last[a.String()].Compare(c.last[b.String()]); n != 0 {
			return n
		}
		return strings.Compare(a.String(), b.String())
	})
	return all[:min(len(all), most)]
}
