package policy

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// globs match paths: one of want has to match and none of not. With nothing but exceptions, everything else matches.
type globs struct {
	source    string
	pos       Pos
	want, not []glob
}

func (g *globs) match(path string) bool {
	ok := len(g.want) == 0
	for i := range g.want {
		if g.want[i].match(path) {
			ok = true
			break
		}
	}
	if !ok {
		return false
	}
	for i := range g.not {
		if g.not[i].match(path) {
			return false
		}
	}
	return true
}

// A glob is a pattern with what any path that matches begins and ends with, which is quickly compared.
type glob struct{ pattern, prefix, suffix string }

func newGlob(pattern string) glob {
	const special = `*?[{\`
	g := glob{pattern: pattern}
	first := strings.IndexAny(pattern, special)
	if first < 0 {
		g.prefix = pattern
		return g
	}
	g.prefix = strings.TrimSuffix(pattern[:first], "/") // a/** matches a too
	if !strings.ContainsAny(pattern, `[{\`) {
		g.suffix = strings.TrimPrefix(pattern[strings.LastIndexAny(pattern, special)+1:], "/") // and **/a matches a
	}
	return g
}

func (g glob) match(path string) bool {
	return strings.HasPrefix(path, g.prefix) && strings.HasSuffix(path, g.suffix) && doublestar.MatchUnvalidated(g.pattern, path)
}

// maxAlternatives bounds {a,b} in one glob: each set multiplies the work of matching it.
const maxAlternatives = 200

func (r *reader) globs(e entry, what string) *globs {
	g := &globs{pos: e.at}
	items := r.list(e.value, what)
	g.source = sourceOf(what, items)
	for _, s := range items {
		pattern, except := strings.CutPrefix(s.text, "!")
		alternatives := 1
		for _, set := range strings.Split(pattern, "{")[1:] {
			alternatives = min(alternatives*(1+strings.Count(set, ",")), maxAlternatives+1)
		}
		switch {
		case pattern == "":
			r.say(s.at, "", "There is no pattern after the !.")
		case !doublestar.ValidatePattern(pattern):
			r.say(s.at, "Every [ needs its ], every { its }; a \\ before a character takes it literally.", "%q is not a valid glob.", pattern)
		case what == "files" && (strings.HasPrefix(pattern, "/") || strings.HasPrefix(pattern, "./")):
			r.say(s.at, fmt.Sprintf("Write %q.", strings.TrimLeft(strings.TrimPrefix(pattern, "."), "/")), "Paths begin at the root of the repository, without a slash.")
		case what == "files" && strings.HasSuffix(pattern, "/"):
			r.say(s.at, fmt.Sprintf("Write %q for everything below it.", pattern+"**"), "Only files have paths here, and no path ends in a slash.")
		case alternatives > maxAlternatives:
			r.say(s.at, "Split it into several patterns.", "This glob has more than %d alternatives.", maxAlternatives)
		case except:
			g.not = append(g.not, newGlob(pattern))
		default:
			g.want = append(g.want, newGlob(pattern))
		}
	}
	return g
}

// spans are ranges of a number, ends included.
type spans struct {
	source string
	pos    Pos
	list   [][2]int
}

func (s *spans) match(n int) bool {
	for _, r := range s.list {
		if r[0] <= n && n <= r[1] {
			return true
		}
	}
	return false
}

var spanForm = regexp.MustCompile(`^\s*(\d*)\s*(\.\.)?\s*(\d*)\s*$`)

func (r *reader) ranges(e entry) *spans {
	out := &spans{pos: e.at}
	items := r.list(e.value, "lines")
	out.source = sourceOf("lines", items)
	const hint = "Write 500.. (500 or more), ..10 (10 or fewer), 10..499 (both included) or 42."
	for _, s := range items {
		m := spanForm.FindStringSubmatch(s.text)
		if m == nil || (m[1] == "" && m[3] == "") || (m[2] == "" && m[3] != "") {
			r.say(s.at, hint, "%q is not a range of lines.", s.text)
			continue
		}
		span := [2]int{0, math.MaxInt}
		var err1, err2 error
		if m[1] != "" {
			span[0], err1 = strconv.Atoi(m[1])
		}
		if m[3] != "" {
			span[1], err2 = strconv.Atoi(m[3])
		}
		if m[2] == "" {
			span[1] = span[0]
		}
		switch {
		case err1 != nil || err2 != nil:
			r.say(s.at, hint, "%q is too large a number.", s.text)
		case span[0] > span[1]:
			r.say(s.at, fmt.Sprintf("Write %d..%d.", span[1], span[0]), "The range %q ends before it begins.", s.text)
		default:
			out.list = append(out.list, span)
		}
	}
	return out
}

// patterns are regular expressions that match anywhere in a text.
type patterns struct {
	source string
	pos    Pos
	list   []*regexp.Regexp
}

func (p *patterns) match(text string) bool {
	for _, re := range p.list {
		if re.MatchString(text) {
			return true
		}
	}
	return false
}

func (r *reader) expressions(e entry) *patterns {
	out := &patterns{pos: e.at}
	items := r.list(e.value, "title")
	out.source = sourceOf("title", items)
	for _, s := range items {
		re, err := regexp.Compile(s.text)
		if err != nil {
			hint := "See https://github.com/google/re2/wiki/Syntax; a \\ before a character takes it literally."
			if strings.Contains(s.text, "(?=") || strings.Contains(s.text, "(?!") || strings.Contains(s.text, "(?<") {
				hint = "Looking ahead and behind is not part of RE2; use if with && and ! instead."
			}
			r.say(s.at, hint, "%q is not a valid regular expression: %s.", s.text, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
			continue
		}
		out.list = append(out.list, re)
	}
	return out
}

// logins are accounts by name.
type logins struct{ list []string }

func (l *logins) match(a pull.Actor) bool {
	for _, name := range l.list {
		if a.Login != "" && strings.EqualFold(name, a.Login) {
			return true
		}
	}
	return false
}

var (
	teamForm  = regexp.MustCompile(`^@?[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?/[A-Za-z0-9_.-]+$`)
	loginForm = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9_-])?(?:\[bot\])?$`)
)

// authors reads who may be the author: logins and teams.
func (r *reader) authors(e entry) *people {
	out := &people{pos: e.at}
	items := r.list(e.value, e.key)
	out.source = sourceOf(e.key, items)
	for _, s := range items {
		switch login := strings.TrimPrefix(s.text, "@"); {
		case teamForm.MatchString(s.text):
			out.teams = append(out.teams, login)
		case loginForm.MatchString(login):
			out.logins = append(out.logins, login)
		default:
			r.say(s.at, "For example: octocat, dependabot[bot] for an App, @acme/backend for a team.", "%q can't be the login of an account.", s.text)
		}
	}
	return out
}

// bots reads the logins of Apps.
func (r *reader) bots(e entry) *logins {
	out := &logins{}
	for _, s := range r.list(e.value, e.key) {
		if !strings.HasSuffix(s.text, "[bot]") || !loginForm.MatchString(s.text) {
			r.say(s.at, "For example: acme-renovate[bot].", "%q can't be the login of an App, which ends in [bot].", s.text)
			continue
		}
		out.list = append(out.list, s.text)
	}
	return out
}

// sourceOf is how an explanation shows a shorthand.
func sourceOf(key string, items []scalar) string {
	words := make([]string, len(items))
	for i, s := range items {
		words[i] = s.text
	}
	return key + ": " + shorten(strings.Join(words, ", "), 200)
}

// shorten cuts s to n characters.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
