package policy

import (
	"regexp"
	"strings"
)

func (r *reader) optOut(e entry) []string {
	var out []string
	for _, s := range r.list(e.value, "opt-out") {
		out = append(out, s.text)
	}
	return out
}

var colorForm = regexp.MustCompile(`^#?[0-9A-Fa-f]{6}$`)

func (r *reader) color(e entry) string {
	s, ok := r.text(e.value, "color")
	if ok && !colorForm.MatchString(s.text) {
		r.say(s.at, `For example "d73a4a". Put it into quotes: 000000 would be a number, and # begins a comment.`, "%q is not a colour of six hexadecimal digits.", s.text)
	}
	return strings.ToLower(strings.TrimPrefix(s.text, "#"))
}

// sentence reads one line of text for people.
func (r *reader) sentence(e entry) string {
	s, _ := r.text(e.value, e.key)
	return strings.Join(strings.Fields(s.text), " ")
}
