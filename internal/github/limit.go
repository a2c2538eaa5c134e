package github

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// GitHub's limits, each with room to spare (docs.github.com: rate limits and best practices for the REST API).
const (
	// maxInFlight is a tenth of what GitHub allows at once.
	maxInFlight = 10
	// writeSpacing is the second that GitHub asks for between writes, and what two requests may lose of it on the
	// way. It also keeps content-creating requests below 60 a minute, so that no second count is needed.
	writeSpacing = 1050 * time.Millisecond
	// writeQueue is how many writes may wait for their turn: about three seconds of them.
	writeQueue = 3
	// contentPerHour keeps below GitHub's 500 content-creating requests an hour, which people share.
	contentPerHour = 400

	// queriesPerMinute keeps below the 2,000 points a minute that GitHub allows to GraphQL, at one point a query, with room
	// for a write a second, which costs five.
	queriesPerMinute = 1500
	// placeWait is how long a request waits for one of maxInFlight to end. When they take longer GitHub is in trouble,
	// and whoever waits would keep others, of scopes that are well, from being served.
	placeWait = 5 * time.Second

	// A scope that GitHub does not answer is left alone for ever longer, and then tried with one request at a time.
	// Only when several things fail in a row is it the scope; one pull request may just be too much for GitHub.
	unansweredMost   = 3 // in a row
	unansweredThings = 2 // among them
	silenceLeast     = 2 * time.Second
	silenceMost      = 30 * time.Second
	// silenceTry is how often a single thing is tried, once nothing else of its scope has been answered for as long.
	silenceTry = 40 * time.Second

	minWait       = time.Second
	maxWait       = time.Hour
	secondaryWait = time.Minute // when GitHub says "slow down" without saying for how long
)

// Why a scope is parked, as the metrics call it.
const (
	reasonPrimary    = "primary"
	reasonSecondary  = "secondary"
	reasonRetryAfter = "retry_after"
	reasonUnanswered = "unanswered"
)

// A resource is one of GitHub's primary budgets.
type resource string

const (
	restBudget    resource = "rest"
	graphqlBudget resource = "graphql"
)

// trying is why a request has to wait for another one that is on its way to a scope without answers.
const trying = "GitHub does not answer, and one request is trying whether it does again"

// A need is what a request takes from its scope's limits.
type need struct {
	resource resource
	write    bool
	content  bool // a write that creates something
	free     bool // takes nothing of the primary budget
	lane     pull.Priority
}

// reserve is the share of every budget that a lane leaves to more urgent ones.
func (n need) reserve(total int) int {
	switch n.lane {
	case pull.Urgent:
		return 0
	case pull.Bulk:
		return total * 2 / 5
	}
	return total / 5
}

// A budget is what GitHub last said is left of a primary limit.
type budget struct {
	limit, remaining int
	window           int64     // GitHub's own number for the end of the window: tells windows apart
	reset            time.Time // the same by our clock
}

// A limiter guards one scope. Nothing waits in it for longer than a few writes take; whoever would have to is told
// when to come back.
type limiter struct {
	mu        sync.Mutex
	inFlight  int
	freed     chan struct{} // closed when a request ends; made by whoever waits for that
	lastWrite time.Time
	writers   int             // waiting for their turn
	spill     time.Time       // the turn that the last refused writer was given
	content   []time.Time     // content-creating requests of the last hour, oldest first
	queries   []time.Time     // GraphQL requests of the last minute, oldest first
	silent    int             // requests in a row that were not answered
	silentOn  map[string]bool // what they were about
	silence   time.Time       // since when
	hushed    time.Time       // until when everybody knows that one request is trying
	parked    time.Time
	reason    string
	heeded    time.Time // when others were last asked what they were told
	strikes   int       // secondary limits in a row
	budgets   map[resource]budget
}

func (c *Client) limiter(scope pull.Scope) *limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.limiters[scope]
	if l == nil {
		l = &limiter{budgets: map[resource]budget{}}
		c.limiters[scope] = l
	}
	return l
}

// closed says until when a need can't be met, and why. The caller holds mu.
func (l *limiter) closed(n need, now time.Time) (until time.Time, why string) {
	if now.Before(l.parked) {
		if l.reason == reasonUnanswered {
			return l.parked, "GitHub does not answer"
		}
		return l.parked, "GitHub told us to wait (" + strings.ReplaceAll(l.reason, "_", " ") + ")"
	}
	if l.broken() && l.inFlight > 0 {
		return now.Add(silenceLeast), trying
	}
	if b, ok := l.budgets[n.resource]; ok && !n.free && now.Before(b.reset) && b.remaining <= n.reserve(b.limit) {
		if b.remaining > 0 {
			return b.reset, "what is left of GitHub's hourly limit is kept for more urgent work"
		}
		return b.reset, "GitHub's hourly limit is used up"
	}
	if n.content {
		l.content = since(l.content, now.Add(-time.Hour))
		most := contentPerHour - n.reserve(contentPerHour)
		if over := len(l.content) - most; over >= 0 {
			return l.content[over].Add(time.Hour), "GitHub limits how much may be written in an hour"
		}
	}
	if n.resource == graphqlBudget {
		l.queries = since(l.queries, now.Add(-time.Minute))
		most := queriesPerMinute - n.reserve(queriesPerMinute)
		if over := len(l.queries) - most; over >= 0 {
			return l.queries[over].Add(time.Minute), "GitHub limits how much may be asked in a minute"
		}
	}
	return time.Time{}, ""
}

// since drops what is not after a moment from the front of times.
func since(times []time.Time, after time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(after) {
		times = times[1:]
	}
	return times
}

// broken reports whether the scope as a whole gets no answers. The caller holds mu.
func (l *limiter) broken() bool {
	return l.silent >= unansweredMost && len(l.silentOn) >= unansweredThings
}

// unanswered counts a request about something that GitHub did not answer. It returns until when to leave the scope alone
// for it, zero while it may be just that thing, and since when there has been no answer.
func (l *limiter) unanswered(on string, now time.Time) (until, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent++; l.silent == 1 {
		l.silence, l.silentOn = now, make(map[string]bool)
	}
	if len(l.silentOn) < unansweredThings {
		l.silentOn[on] = true
	}
	if l.broken() && !now.Before(l.parked) { // those that were on their way together count once
		until = now.Add(min(silenceLeast<<min(l.silent-unansweredMost, 10), silenceMost))
	}
	return until, l.silence
}

// hush reports whether it is news that the scope has to wait until then for the request that is trying.
func (l *limiter) hush(until time.Time, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.hushed) {
		return false
	}
	l.hushed = until
	return true
}

// answered ends a row of requests without an answer.
func (l *limiter) answered() {
	l.mu.Lock()
	l.silent = 0
	l.mu.Unlock()
}

// check reports whether a need could be met now, without taking anything.
func (l *limiter) check(n need, on string) *pull.Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until, why := l.closed(n, time.Now()); why != "" {
		return throttled(on, why, until)
	}
	return nil
}

// acquire takes a place for one request and returns how to give it back. It waits for a free place and for the second
// between writes, never for a budget.
func (l *limiter) acquire(ctx context.Context, n need, on string) (release func(), f *pull.Fault) {
	queued := false
	var patience time.Time // until when to wait for a place
	defer func() {
		if queued {
			l.mu.Lock()
			l.writers--
			l.mu.Unlock()
		}
	}()
	for {
		if ctx.Err() != nil {
			return nil, notSent(on, ctx.Err())
		}
		l.mu.Lock()
		now := time.Now()
		if until, why := l.closed(n, now); why != "" {
			l.mu.Unlock()
			return nil, throttled(on, why, until)
		}
		var wait time.Duration
		if n.write {
			wait = l.lastWrite.Add(writeSpacing).Sub(now)
		}
		if wait > 0 && !queued {
			if l.writers >= writeQueue {
				// Each refused writer is given a turn of its own, so that they don't all come back at once.
				turn := l.lastWrite.Add(time.Duration(l.writers+1) * writeSpacing)
				if l.spill.Before(turn) {
					l.spill = turn
				} else {
					l.spill = l.spill.Add(writeSpacing)
				}
				until := l.spill
				l.mu.Unlock()
				return nil, throttled(on, "other writes are waiting for their turn", until)
			}
			l.writers++
			queued = true
		}
		var freed <-chan struct{}
		if wait <= 0 {
			if l.inFlight < maxInFlight {
				l.take(n, now)
				l.mu.Unlock()
				return l.release, nil
			}
			if l.freed == nil {
				l.freed = make(chan struct{})
			}
			if patience.IsZero() {
				patience = now.Add(placeWait)
			}
			if freed, wait = l.freed, patience.Sub(now); wait <= 0 {
				l.mu.Unlock()
				return nil, throttled(on, "GitHub answers slowly, and enough requests are on their way", now.Add(placeWait))
			}
		}
		l.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-freed:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

func (l *limiter) take(n need, now time.Time) {
	l.inFlight++
	if n.write {
		l.lastWrite = now
	}
	if n.content {
		l.content = append(l.content, now)
	}
	if n.resource == graphqlBudget {
		l.queries = append(l.queries, now)
	}
	if b, ok := l.budgets[n.resource]; ok && !n.free {
		b.remaining-- // until its answer says what is really left
		l.budgets[n.resource] = b
	}
}

func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	if l.freed != nil {
		close(l.freed)
		l.freed = nil
	}
}

// observe keeps what an answer says about a budget. Answers overtake one another: within one window less is newer.
func (l *limiter) observe(res resource, r rate, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.budgets[res]
	switch {
	case known && r.window < b.window && now.Before(b.reset):
		// an answer from the window before
	case known && r.window == b.window && now.Before(b.reset) && r.remaining > b.remaining:
	default:
		l.budgets[res] = budget(r)
	}
}

// ratio is the share of a budget that is left: all of it when nothing is known. The caller holds mu.
func (l *limiter) ratio(res resource, now time.Time) float64 {
	b, ok := l.budgets[res]
	if !ok || !now.Before(b.reset) || b.limit <= 0 {
		return 1
	}
	return float64(max(b.remaining, 0)) / float64(b.limit)
}

// park keeps the scope quiet until then; more says for how much longer than before.
func (l *limiter) park(until time.Time, reason string, now time.Time) (more time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := now
	if l.parked.After(now) {
		from = l.parked
	}
	if !until.After(from) {
		return 0
	}
	l.parked, l.reason = until, reason
	return until.Sub(from)
}

// heedEvery is how long an answer about what other replicas were told is believed.
const heedEvery = time.Second

// heed learns what other replicas were told to wait for. A pass has heard of it when it claimed its key; what nobody
// claims, the token of an installation or a look into the log of deliveries, would go out in spite of it.
func (c *Client) heed(ctx context.Context, scope pull.Scope) {
	l, now := c.limiter(scope), time.Now()
	l.mu.Lock()
	fresh := !l.heeded.IsZero() && now.Sub(l.heeded) < heedEvery
	if !fresh {
		l.heeded = now
	}
	l.mu.Unlock()
	if fresh {
		return
	}
	if until, reason := c.waits(ctx, scope); until.After(now) {
		l.park(until, reason, now)
	}
}

// strike counts secondary limits in a row and returns how many there were before this one; calm ends the row.
func (l *limiter) strike() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strikes++
	return l.strikes - 1
}

func (l *limiter) calm() {
	l.mu.Lock()
	l.strikes = 0
	l.mu.Unlock()
}

func throttled(on, why string, until time.Time) *pull.Fault {
	return &pull.Fault{Class: pull.FaultThrottled, Op: on, Message: why, Until: until.UTC()}
}

// A rate is what the headers of one answer say about a primary limit.
type rate struct {
	limit, remaining int
	window           int64
	reset            time.Time // by our clock, a second to an hour ahead whatever the header says
}

// rateOf reads the x-ratelimit headers. Half of them, or nonsense, is nothing.
func rateOf(h http.Header, now time.Time) (rate, bool) {
	limit, err1 := strconv.ParseInt(h.Get("X-Ratelimit-Limit"), 10, 32)
	remaining, err2 := strconv.ParseInt(h.Get("X-Ratelimit-Remaining"), 10, 32)
	reset, err3 := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || limit <= 0 || remaining < 0 || reset <= 0 {
		return rate{}, false
	}
	return rate{limit: int(limit), remaining: int(remaining), window: reset, reset: resetAt(h, reset, now)}, true
}

// resetAt translates GitHub's epoch second to our clock. The difference to the answer's own Date is what counts, so
// that a clock which is wrong on either side makes nobody wait too long or too short.
func resetAt(h http.Header, epoch int64, now time.Time) time.Time {
	theirs := now
	if d, err := http.ParseTime(h.Get("Date")); err == nil {
		theirs = d
	}
	seconds := epoch - theirs.Unix()
	switch {
	case seconds >= int64(maxWait/time.Second):
		return now.Add(maxWait)
	case seconds < 1:
		return now.Add(minWait)
	}
	return now.Add(time.Duration(seconds) * time.Second)
}

// waitOf says until when an answer that speaks of a limit makes us wait, in GitHub's order of rules: Retry-After, then
// an exhausted primary budget, then a minute that doubles with every repetition.
func waitOf(h http.Header, now time.Time, strikes func() int) (until time.Time, reason string) {
	if after, ok := retryAfter(h, now); ok {
		return now.Add(after), reasonRetryAfter
	}
	if strings.TrimSpace(h.Get("X-Ratelimit-Remaining")) == "0" {
		if epoch, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64); err == nil && epoch > 0 {
			return resetAt(h, epoch, now), reasonPrimary
		}
	}
	return now.Add(min(secondaryWait<<min(strikes(), 6), maxWait)), reasonSecondary
}

// retryAfter reads Retry-After, as seconds or as a date, clamped to what we are willing to believe.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		switch {
		case n >= int64(maxWait/time.Second):
			return maxWait, true
		case n < 1:
			return minWait, true
		}
		return time.Duration(n) * time.Second, true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	return resetAt(h, at.Unix(), now).Sub(now), true
}

// limited reports whether a 403 or 429 is about a limit rather than a permission.
func limited(status int, h http.Header, text errorText) bool {
	if status == http.StatusTooManyRequests {
		return true
	}
	if status != http.StatusForbidden {
		return false
	}
	if h.Get("Retry-After") != "" || strings.TrimSpace(h.Get("X-Ratelimit-Remaining")) == "0" {
		return true
	}
	return speaksOfLimit(text.message) || strings.Contains(text.docs, "rate-limit") || strings.Contains(text.docs, "abuse")
}

// speaksOfLimit knows the sentences that GitHub has used for its limits; there is no code for them.
func speaksOfLimit(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "rate limit") || strings.Contains(m, "abuse detection") || strings.Contains(m, "submitted too quickly")
}
