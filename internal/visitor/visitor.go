// Package visitor tells who is at the other end of a request, as far as that can be told, and how often an address has
// failed at something lately.
//
// It owns two things that must be alike wherever strangers knock, at the webhook and at the pages: whose X-Forwarded-For is
// believed, and what counts as one client. It refuses to know what was tried; whoever lets visitors in counts their
// failures here and decides what to say.
package visitor

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Remote returns the other end of the connection; the zero Addr when it has no IP address.
func Remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// Addr returns the address that a request comes from. X-Forwarded-For is believed only as far as the chain of trusted
// proxies reaches: from the right, the first address that is not one of them.
func Addr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	addr := Remote(r)
	if !Trusted(addr, trusted) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		next, err := netip.ParseAddr(hop)
		if err != nil {
			ap, err := netip.ParseAddrPort(hop) // some proxies write the port too
			if err != nil {
				return addr
			}
			next = ap.Addr()
		}
		addr = next.Unmap()
		if !Trusted(addr, trusted) {
			return addr
		}
	}
	return addr
}

// Trusted reports whether an address is one of the proxies whose word is believed.
func Trusted(a netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if p.Contains(a.WithZone("")) {
			return true
		}
	}
	return false
}

// A RateLimit bounds the failures of one client address. The zero value does not limit.
type RateLimit struct {
	Enabled bool
	Max     int           // failures that an address has per window
	Window  time.Duration // from its first failure
}

// Policy says what the limit is, as the value of a RateLimit-Policy header under a name; "" when there is none. It is no
// secret: whoever tries finds it out, and a test from outside need not try.
func (l RateLimit) Policy(name string) string {
	if !l.Enabled {
		return ""
	}
	return fmt.Sprintf("%q;q=%d;w=%d", name, l.Max, max(1, int(l.Window.Round(time.Second)/time.Second)))
}

// maxAddresses bounds the table of addresses. A flood from more addresses than that makes the service forget some of
// them, which costs a check of a signature or a token: it is a limit on noise, those are the defence.
const maxAddresses = 10_000

// A Limiter counts failures by address in fixed windows. Make it with NewLimiter; it may be used by many at once.
type Limiter struct {
	RateLimit
	mu    sync.Mutex
	table map[netip.Prefix]*failures
}

type failures struct {
	count int
	ends  time.Time
}

// NewLimiter returns a limiter that has seen nobody.
func NewLimiter(l RateLimit) *Limiter {
	return &Limiter{RateLimit: l, table: map[netip.Prefix]*failures{}}
}

// Blocked returns how long an address that has had its failures has to wait before it may try again; 0 when it may try.
func (l *Limiter) Blocked(addr netip.Addr, now time.Time) time.Duration {
	if !l.Enabled {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.table[group(addr)]
	if f == nil || f.count < l.Max {
		return 0
	}
	return max(0, f.ends.Sub(now))
}

// Failed counts a failure and reports how long the address has to wait once it has had too many; 0 before.
func (l *Limiter) Failed(addr netip.Addr, now time.Time) time.Duration {
	if !l.Enabled {
		return 0
	}
	p := group(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.table[p]
	if f == nil || !now.Before(f.ends) {
		if f == nil && len(l.table) >= maxAddresses {
			l.forget(now)
		}
		f = &failures{ends: now.Add(l.Window)}
		l.table[p] = f
	}
	f.count++
	if f.count <= l.Max {
		return 0
	}
	return f.ends.Sub(now)
}

// forget makes room: everything that has run out among what is looked at, or else the oldest of it. The map's random
// order spreads the looking, and only a hundred entries are looked at so that a flood can't make this expensive.
func (l *Limiter) forget(now time.Time) {
	looked := 0
	var oldest netip.Prefix
	var at time.Time
	dropped := false
	for p, f := range l.table {
		if !now.Before(f.ends) {
			delete(l.table, p)
			dropped = true
		} else if at.IsZero() || f.ends.Before(at) {
			oldest, at = p, f.ends
		}
		if looked++; looked == 100 {
			break
		}
	}
	if !dropped {
		delete(l.table, oldest)
	}
}

// group is what counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which is what one subscriber has.
func group(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	n := 32
	if a.Is6() {
		n = 64
	}
	p, _ := a.Prefix(n) // the zero Addr gives the zero Prefix: all unknown addresses together
	return p
}
