package policy

import (
	"regexp"
	"strings"
)

// optedOut turns the service off for a pull request that carries a label which the policy names for that: nothing is
// decided, no command is read, nothing is written but the report, where one stands already, which says so once.
//
// Whether the label is there may not be known, where GitHub does not list all labels. Then it counts as there.
func (d *decider) optedOut() bool {
	for _, name := range d.p.optOut {
		l, ok := d.s.Has(name)
		if !ok {
			continue
		}
		d.off(Reason{Code: OptedOut, Label: l.Name, By: l.SetBy.Login, Who: []string{WhoTriage}})
		return true
	}
	if len(d.p.optOut) > 0 && d.s.LabelsTruncated {
		d.off(Reason{Code: FactUnknown, Names: []string{"pr.labels"}, Text: "opt-out", Who: []string{WhoTriage}})
		return true
	}
	return false
}

func (d *decider) off(r Reason) {
	if d.v.State == "" { // of one that is merged or closed, that is what there is to say
		d.v.State, d.v.Reasons = Off, []Reason{r}
	}
}

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
