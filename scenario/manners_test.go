package scenario

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// manners are how the service treats GitHub: what GitHub asks of its clients, whatever it answers them. The zero value
// is ready.
type manners struct {
	mu       sync.Mutex
	calls    int            // but for tokens, which last an hour
	inFlight map[string]int // by token
	most     int
	writes   map[string][]time.Time // by account, when they began
	content  map[string][]time.Time
	asked    []time.Time // when GraphQL was
}

// note counts a request that begins; what it returns counts its end.
func (m *manners) note(r *http.Request) (ended func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inFlight == nil {
		m.inFlight, m.writes, m.content = map[string]int{}, map[string][]time.Time{}, map[string][]time.Time{}
	}
	if !strings.HasSuffix(r.URL.Path, "/access_tokens") {
		m.calls++
	}
	if strings.HasSuffix(r.URL.Path, "/graphql") {
		m.asked = append(m.asked, time.Now())
	}
	token := r.Header.Get("Authorization")
	m.inFlight[token]++
	m.most = max(m.most, m.inFlight[token])
	if path := strings.Split(r.URL.Path, "/"); r.Method != http.MethodGet && len(path) > 2 && path[1] == "repos" {
		account := path[2]
		m.writes[account] = append(m.writes[account], time.Now())
		if r.Method != http.MethodDelete {
			m.content[account] = append(m.content[account], time.Now())
		}
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.inFlight[token]--
	}
}

// mannered checks that the service did what GitHub asks of its clients.
func (s *world) mannered(t *testing.T) {
	t.Helper()
	if u := s.hub.Usage(); u.WhileTold+u.OverPrimary+u.OverSecondary > 0 {
		t.Errorf("%d requests while told to wait, %d beyond the hourly limit, %d beyond a secondary one", u.WhileTold, u.OverPrimary, u.OverSecondary)
	}
	m := &s.manners
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.most > 10 {
		t.Errorf("%d requests at once, want at most 10", m.most)
	}
	for account, times := range m.writes {
		for i := 1; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < time.Second {
				t.Errorf("two writes to %s %v apart, want a second", account, gap)
				break
			}
		}
	}
	for account, times := range m.content {
		if n := mostWithin(times, time.Minute); n > 60 {
			t.Errorf("%d times content was made for %s in a minute, want at most 60", n, account)
		}
		if n := mostWithin(times, time.Hour); n > 400 {
			t.Errorf("%d times content was made for %s in an hour, want at most 400", n, account)
		}
	}
}

// mostWithin is how many of the times, in order, lie within d of each other at most.
func mostWithin(times []time.Time, d time.Duration) (most int) {
	from := 0
	for i, at := range times {
		for at.Sub(times[from]) >= d {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// applied counts the writes that took effect, by what they did and to which commit.
func applied(journal []githubtest.Write) map[string]int {
	n := map[string]int{}
	for _, w := range journal {
		if w.Applied {
			n[w.What+" at "+w.SHA]++
		}
	}
	return n
}
