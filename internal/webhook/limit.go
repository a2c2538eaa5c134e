package webhook

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A RateLimit bounds failed signatures per client address. A correctly signed webhook is never counted and never
// refused by it.
type RateLimit struct {
	Enabled bool
	Max     int           // failures that an address has per window
	Window  time.Duration // from its first failure
}

// maxAddresses bounds the table of addresses. A flood from more addresses than that makes the service forget the
// oldest of them, which costs a check of a signature: it is a limit on noise, the signature is the defence.
const maxAddresses = 10_000

// A limiter counts failures by address in fixed windows.
type limiter struct {
	RateLimit
	mu    sync.Mutex
	table map[netip.Prefix]*failures
}

type failures struct {
	count int
	ends  time.Time
}

// failed counts a failure and reports how long the address has to wait once it has had too many; 0 before.
func (l *limiter) failed(addr netip.Addr, now time.Time) time.Duration {
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

// forget makes room: everything that has run out, or else the oldest tenth of what was looked at. The map's random
// order spreads the looking, and only a hundred entries are looked at so that a flood can't make this expensive.
func (l *limiter) forget(now time.Time) {
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

// client returns the address that a request comes from. X-Forwarded-For is believed only as far as the chain of
// trusted proxies reaches: from the right, the first address that is not one of them.
func client(r *http.Request, trusted []netip.Prefix) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := ap.Addr().Unmap()
	if !isTrusted(addr, trusted) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		next, err := netip.ParseAddr(hop)
		if err != nil {
			if ap, err := netip.ParseAddrPort(hop); err == nil {
				next = ap.Addr() // some proxies write the port too
			} else {
				return addr
			}
		}
		addr = next.Unmap()
		if !isTrusted(addr, trusted) {
			return addr
		}
	}
	return addr
}

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if p.Contains(a.WithZone("")) {
			return true
		}
	}
	return false
}
