package githubtest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Limits are GitHub's limits for one account or installation.
type Limits struct {
	REST, GraphQL  int // points an hour
	Anonymous      int // requests an hour without a token
	Concurrent     int // requests at once
	RESTPoints     int // points a minute: 1 a read, 5 a write
	GraphQLPoints  int // points a minute
	ContentMinute  int // writes that create or change something
	ContentHour    int
	CountSecondary bool // count violations of the last five, and let them pass
}

// DefaultLimits are GitHub's.
func DefaultLimits() Limits {
	return Limits{REST: 5000, GraphQL: 5000, Anonymous: 60, Concurrent: 100, RESTPoints: 900, GraphQLPoints: 2000, ContentMinute: 80, ContentHour: 500}
}

// Limits sets the limits for everyone.
func (s *Server) Limits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
}

// Exhaust uses up the primary budget of whoever has the token, "core" or "graphql", until it is renewed after d.
func (s *Server) Exhaust(token, resource string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.budget(s.identify(token).key())
	r := b.resource(s, resource)
	r.used, r.reset = r.limit, s.o.Now().Add(d)
}

// Usage is what the audience's requests added up to. The fields after Points stay zero for a client that behaves.
type Usage struct {
	Requests      map[string]int // by operation
	NotModified   int            // answered 304, which costs nothing
	Points        int            // GraphQL cost
	MaxConcurrent int
	ShortestGap   time.Duration // between two writes of one account, when there were two
	WhileTold     int           // requests made while told to wait
	OverPrimary   int           // refused since the hour's budget was used up
	OverSecondary int           // beyond a secondary limit
	Unauthorized  int           // answered 401
	writes        int
}

// Usage returns a copy of the counters.
func (s *Server) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.usage
	u.Requests = maps.Clone(u.Requests)
	return u
}

// A budget is what one account or installation has left.
type budget struct {
	core, graphql primary
	waitCore      time.Time // told to wait until
	waitGraphQL   time.Time
	waitAll       time.Time
	inFlight      int
	rest, gql     []spent // of the last minute
	content       []time.Time
}

type primary struct {
	limit, used int
	reset       time.Time
}

type spent struct {
	at     time.Time
	points int
}

func (s *Server) budget(key string) *budget {
	b := s.budgets[key]
	if b == nil {
		b = &budget{}
		s.budgets[key] = b
	}
	return b
}

// resource returns the primary budget, renewed when its hour is over.
func (b *budget) resource(s *Server, name string) *primary {
	p, limit := &b.core, s.limits.REST
	if name == "graphql" {
		p, limit = &b.graphql, s.limits.GraphQL
	}
	if b == s.budgets[anonymous] {
		limit = s.limits.Anonymous
	}
	now := s.o.Now()
	if !now.Before(p.reset) {
		*p = primary{reset: now.Add(time.Hour).Truncate(time.Second)}
	}
	p.limit = limit
	return p
}

func (p *primary) header(s *Server, h http.Header, resource string) {
	h.Set("X-RateLimit-Limit", strconv.Itoa(p.limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, p.limit-p.used)))
	h.Set("X-RateLimit-Used", strconv.Itoa(min(p.used, p.limit)))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(p.reset.Add(s.knobs.clockSkew).Unix(), 10))
	h.Set("X-RateLimit-Resource", resource)
}

// told is until when this kind of request must wait.
func (b *budget) told(resource string) time.Time {
	t := b.waitAll
	w := b.waitCore
	if resource == "graphql" {
		w = b.waitGraphQL
	}
	if w.After(t) {
		t = w
	}
	return t
}

// admit accounts for a request before it is carried out, and refuses it when a limit is reached.
func (s *Server) admit(c *call) *apiError {
	now := s.o.Now()
	b, res := c.budget, c.resource()
	p := b.resource(s, res)
	if c.op == "rate-limit.get" {
		return nil
	}
	if now.Before(b.told(res)) {
		s.usage.WhileTold++
	}
	if p.used >= p.limit {
		s.usage.OverPrimary++
		b.wait(res, p.reset)
		return exhausted(c)
	}
	minute := now.Add(-time.Minute)
	list, points := &b.rest, 1
	most := s.limits.RESTPoints
	if res == "graphql" {
		list, most = &b.gql, s.limits.GraphQLPoints
	}
	if c.mutates() {
		points = 5
	}
	*list = slices.DeleteFunc(*list, func(x spent) bool { return x.at.Before(minute) })
	sum := points
	for _, x := range *list {
		sum += x.points
	}
	over := most > 0 && sum > most || s.limits.Concurrent > 0 && b.inFlight > s.limits.Concurrent
	if c.creates() {
		b.content = slices.DeleteFunc(b.content, func(t time.Time) bool { return t.Before(now.Add(-time.Hour)) })
		inMinute := 0
		for _, t := range b.content {
			if !t.Before(minute) {
				inMinute++
			}
		}
		over = over || s.limits.ContentMinute > 0 && inMinute >= s.limits.ContentMinute || s.limits.ContentHour > 0 && len(b.content) >= s.limits.ContentHour
	}
	if over {
		s.usage.OverSecondary++
		if !s.limits.CountSecondary {
			return s.secondary(c, http.StatusForbidden, time.Minute)
		}
	}
	*list = append(*list, spent{now, points})
	if c.creates() {
		if n := len(b.content); n > 0 {
			if gap := now.Sub(b.content[n-1]); s.usage.writes < 2 || gap < s.usage.ShortestGap {
				s.usage.ShortestGap = gap
			}
		}
		s.usage.writes++
		b.content = append(b.content, now)
	}
	if res == "core" {
		p.used++
	}
	return nil
}

func (b *budget) wait(resource string, until time.Time) {
	w := &b.waitCore
	if resource == "graphql" {
		w = &b.waitGraphQL
	}
	if until.After(*w) {
		*w = until
	}
}

// exhausted is the answer to a request beyond the primary budget. GraphQL says it with a 200.
func exhausted(c *call) *apiError {
	const docs = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"
	message := "API rate limit exceeded for " + c.auth.words() + "."
	if c.resource() == "graphql" {
		return &apiError{status: 200, body: object{"errors": []any{object{"type": "RATE_LIMITED", "message": message}}}}
	}
	return &apiError{status: 403, message: message, docs: docs}
}

// secondary is the answer to a request beyond a secondary limit. Without after, GitHub doesn't say for how long: a
// minute at least.
func (s *Server) secondary(c *call, status int, after time.Duration) *apiError {
	const docs = "https://docs.github.com/free-pro-team@latest/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
	e := &apiError{status: status, docs: docs, message: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}
	until := s.o.Now().Add(time.Minute)
	if after > 0 {
		until = s.o.Now().Add(after)
		e.header = http.Header{"Retry-After": {strconv.Itoa(int(max(1, after.Seconds())))}}
	}
	if until.After(c.budget.waitAll) {
		c.budget.waitAll = until
	}
	return e
}
