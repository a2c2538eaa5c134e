package reconcile

import (
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Every event costs a look, and every look a piece of the budget that a whole installation shares. Whoever may edit a
// title can cause an event a second for hours. So a key has looksInHand, gets one back every lookEvery, and after that
// waits for them: a busy pull request notices nothing, a noisy one is a few seconds late, and the others go on. Of looks
// that only checks ask for there are fewer in hand: thousands of them may report within a minute, and nobody watches each.
const (
	looksInHand = 60
	lookEvery   = 10 * time.Second
	checkLooks  = 3
	checkEvery  = 8 * time.Second
)

// A pace is how many looks each key has had lately. It is kept in memory: what it forgets with the process, or does not
// know of another replica, costs a few looks more.
type pace struct {
	inHand int
	every  time.Duration

	mu    sync.Mutex
	until map[pull.Key]time.Time // when the key has all its looks in hand again
}

// pacedKeys bounds the memory; keys that have all their looks in hand are forgotten first.
const pacedKeys = 10_000

// took counts a look at a key, and returns the moment before which it gets no other; zero when it has some in hand.
func (p *pace) took(k pull.Key, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil {
		p.until = make(map[pull.Key]time.Time)
	}
	if len(p.until) >= pacedKeys {
		for k, t := range p.until {
			if t.Before(now) {
				delete(p.until, k)
			}
		}
		if len(p.until) >= pacedKeys {
			clear(p.until)
		}
	}
	full := p.until[k]
	if full.Before(now) {
		full = now
	}
	full = full.Add(p.every)
	p.until[k] = full
	if over := full.Sub(now) - time.Duration(p.inHand)*p.every; over > 0 {
		return now.Add(over)
	}
	return time.Time{}
}
