package visitor

import (
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// TestBlocked: an address has its failures, then waits for the end of the window that the first of them began.
func TestBlocked(t *testing.T) {
	l := NewLimiter(RateLimit{Enabled: true, Max: 2, Window: time.Minute})
	began := time.Now()
	a, b := netip.MustParseAddr("2001:db8:1:2::1"), netip.MustParseAddr("2001:db8:1:2:ffff::9") // one subscriber
	other := netip.MustParseAddr("2001:db8:1:3::1")
	for i, wait := range []time.Duration{0, 0, 40 * time.Second} {
		if got := l.Failed(a, began.Add(time.Duration(i)*10*time.Second)); got != wait {
			t.Errorf("failure %d: Failed = %v, want %v", i+1, got, wait)
		}
	}
	for _, tt := range []struct {
		name  string
		addr  netip.Addr
		after time.Duration
		want  time.Duration
	}{
		{"the same", a, 20 * time.Second, 40 * time.Second},
		{"the same subscriber", b, 20 * time.Second, 40 * time.Second},
		{"another", other, 20 * time.Second, 0},
		{"after the window", a, time.Minute, 0},
	} {
		if got := l.Blocked(tt.addr, began.Add(tt.after)); got != tt.want {
			t.Errorf("%s: Blocked = %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := l.Failed(a, began.Add(time.Minute)); got != 0 {
		t.Errorf("the first failure of the next window: Failed = %v, want 0", got)
	}
	if got := (&Limiter{}).Blocked(a, began); got != 0 {
		t.Errorf("a limiter that is off: Blocked = %v, want 0", got)
	}
}

func TestTheTableIsBounded(t *testing.T) {
	l := NewLimiter(RateLimit{Enabled: true, Max: 1, Window: time.Minute})
	now := time.Now()
	for i := range 3 * maxAddresses {
		l.Failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
		if len(l.table) > maxAddresses {
			t.Fatalf("%d addresses in the table after %d", len(l.table), i)
		}
	}
	l.Failed(netip.MustParseAddr("192.0.2.1"), now.Add(time.Hour))
	if len(l.table) > maxAddresses-50 {
		t.Errorf("%d addresses in the table an hour later, want room to be made", len(l.table))
	}
	if wait := (&Limiter{}).Failed(netip.Addr{}, now); wait != 0 {
		t.Errorf("a limiter that is off = %v, want 0", wait)
	}
}

func TestAddr(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"direct", "192.0.2.1:1", nil, "192.0.2.1"},
		{"a stranger's word", "192.0.2.1:1", []string{"198.51.100.1"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"one proxy, forged entry before it", "10.0.0.1:1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two headers", "10.0.0.1:1", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
		{"with a port", "10.0.0.1:1", []string{"198.51.100.1:99"}, "198.51.100.1"},
		{"IPv6", "[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"mapped proxy", "[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"nonsense", "10.0.0.1:1", []string{"198.51.100.1, <script>"}, "10.0.0.1"},
		{"nothing", "10.0.0.1:1", nil, "10.0.0.1"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
	} {
		r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
		if got := Addr(r, trusted); got.String() != tt.want {
			t.Errorf("%s: Addr = %v, want %s", tt.name, got, tt.want)
		}
	}
	if got := Addr(&http.Request{RemoteAddr: "@"}, trusted); got.IsValid() {
		t.Errorf("Addr of a socket without address = %v, want none", got)
	}
}
