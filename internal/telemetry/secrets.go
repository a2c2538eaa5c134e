package telemetry

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Blank stands where a secret was.
const Blank = "[secret]"

// shortest is the least length at which a value is blanked out. A shorter one would be found in ordinary words.
const shortest = 6

// Secrets are the values that must never be seen outside: webhook secrets, tokens, keys, passwords in URLs. The zero
// value is empty and ready; a nil *Secrets holds nothing. Safe for concurrent use.
type Secrets struct {
	mu       sync.Mutex
	values   map[string]bool
	replacer atomic.Pointer[strings.Replacer]
}

// Add registers secrets from now on, for good: a rotated secret stays one. Each is also known as it looks inside
// JSON and inside a URL, and a PEM file also by its lines.
func (s *Secrets) Add(secrets ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = map[string]bool{}
	}
	add := func(v string) {
		if len(v) >= shortest {
			s.values[v] = true
		}
	}
	for _, v := range secrets {
		v = strings.TrimSpace(v)
		add(v)
		add(url.QueryEscape(v))
		add(url.PathEscape(v))
		add(strings.ReplaceAll(v, "\n", `\n`))
		if b, err := json.Marshal(v); err == nil {
			add(strings.Trim(string(b), `"`))
		}
		if strings.Contains(v, "\n") {
			for line := range strings.Lines(v) {
				if line = strings.TrimSpace(line); len(line) >= 20 && !strings.HasPrefix(line, "-----") {
					add(line)
				}
			}
		}
	}
	// At one position the replacer takes the first pair that fits, so the longest goes first: a secret that begins with
	// another is blanked whole.
	all := make([]string, 0, len(s.values))
	for v := range s.values {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	pairs := make([]string, 0, 2*len(all))
	for _, v := range all {
		pairs = append(pairs, v, Blank)
	}
	s.replacer.Store(strings.NewReplacer(pairs...))
}

// Scrub returns text with every registered secret blanked out.
func (s *Secrets) Scrub(text string) string {
	if s == nil {
		return text
	}
	if r := s.replacer.Load(); r != nil {
		return r.Replace(text)
	}
	return text
}
