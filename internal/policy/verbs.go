package policy

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A verb is one command that people may give in a comment.
type verb struct {
	name  string
	takes string // how its arguments are written
	does  string // for /help
	// allow says who may give it where the policy does not; nil is everybody who can read the pull request.
	allow *people
	// bound: it is about the commit that its writer saw, and about no other.
	bound bool
	// when are the states of a pull request in which it means something, beside open.
	when []pull.State
	// read takes its arguments apart; what it can't take it refuses.
	read func(args string) (arguments, bool)
}

// arguments are what a command was given.
type arguments struct {
	names []string // labels, or whom
	word  string   // a method, or cancel
	text  string   // a title, or why
}

// What is asked of people by default: holding a merge up takes little, causing one takes much.
var (
	involved = &people{author: true, atLeast: pull.PermissionTriage}
	triagers = &people{atLeast: pull.PermissionTriage}
	changers = &people{author: true, atLeast: pull.PermissionWrite}
	writers  = &people{atLeast: pull.PermissionWrite}
)

// verbs are all commands, in the order of /help.
var verbs = []verb{
	{name: "merge", takes: "[squash|merge|rebase]", does: "merge it as soon as everything is there", allow: writers, bound: true, read: oneOf("squash", "merge", "rebase")},
	{name: "unmerge", does: "take /merge back", allow: involved, read: nothing},
	{name: "hold", takes: "[why]", does: "do not merge it until /unhold", allow: involved, read: anyText},
	{name: "unhold", does: "take /hold back; who gave it may always", allow: writers, read: nothing},
	{name: "approve", takes: "[cancel]", does: "approve the commit that you see, or take that back", allow: writers, bound: true, read: oneOf("cancel")},
	{name: "label", takes: "NAME \"LONG NAME\" …", does: "put labels on", allow: triagers, when: []pull.State{pull.Closed, pull.Merged}, read: labelNames},
	{name: "unlabel", takes: "NAME \"LONG NAME\" …", does: "take labels off", allow: triagers, when: []pull.State{pull.Closed, pull.Merged}, read: labelNames},
	{name: "assign", takes: "[@LOGIN …|me]", does: "assign people, or yourself", allow: involved, read: accountsOrMe},
	{name: "unassign", takes: "[@LOGIN …|me]", does: "unassign people, or yourself", allow: involved, read: accountsOrMe},
	{name: "cc", takes: "@LOGIN @ORG/TEAM …", does: "ask for reviews", allow: involved, read: reviewersNamed},
	{name: "uncc", takes: "@LOGIN @ORG/TEAM …", does: "no longer ask for reviews", allow: involved, read: reviewersNamed},
	{name: "reroll", takes: "[@LOGIN …]", does: "ask other reviewers than the ones that the service has picked", allow: involved, read: accounts},
	{name: "ready", does: "mark it as ready for review", allow: changers, read: nothing},
	{name: "draft", does: "make it a draft", allow: involved, read: nothing},
	{name: "update", does: "merge the base branch into it", allow: changers, read: nothing},
	{name: "rebase", does: "rebase it on its base branch", allow: changers, read: nothing},
	{name: "retest", does: "run the checks again that have failed", allow: involved, read: nothing},
	{name: "close", does: "close it", allow: involved, read: nothing},
	{name: "reopen", does: "open it again", allow: involved, when: []pull.State{pull.Closed}, read: nothing},
	{name: "retitle", takes: "NEW TITLE", does: "change the title", allow: involved, read: title},
	{name: "why", does: "say why it is where it is", when: []pull.State{pull.Closed, pull.Merged}, read: whatever},
	{name: "help", does: "say what you may use here", when: []pull.State{pull.Closed, pull.Merged}, read: whatever},
}

// usage is how a command is written.
func (v *verb) usage() string { return strings.TrimSpace("/" + v.name + " " + v.takes) }

func verbNamed(name string) *verb {
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return &verbs[i]
}

// meant returns the command that a word is one slip of the keyboard away from, or "". Short words are near too many others,
// and comments are full of words after a slash that are nobody's command here.
func meant(word string) string {
	if len(word) < 4 {
		return ""
	}
	for _, v := range verbs {
		if slip(word, v.name) || slip(v.name, word) {
			return v.name
		}
	}
	return ""
}

// slip reports whether b is a with one letter left out, changed, or swapped with the next.
func slip(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	a, b = a[i:], b[i:]
	switch len(a) - len(b) {
	case 1:
		return a[1:] == b
	case 0:
		return len(a) > 0 && (a[1:] == b[1:] || len(a) > 1 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:])
	}
	return false
}

// Bounds of what a command takes; GitHub's own where it has one.
const (
	maxNames      = 10
	maxLabelName  = 50
	maxTitleChars = 256
)

func nothing(args string) (arguments, bool) { return arguments{}, args == "" }
func whatever(string) (arguments, bool)     { return arguments{}, true }
func anyText(args string) (arguments, bool) {
	return arguments{text: shorten(cleanLine(args), 200)}, true
}
func accounts(args string) (arguments, bool) { return named(args, false) }

func oneOf(words ...string) func(string) (arguments, bool) {
	return func(args string) (arguments, bool) {
		word := strings.ToLower(args)
		return arguments{word: word}, word == "" || slices.Contains(words, word)
	}
}

func title(args string) (arguments, bool) {
	text := cleanLine(args)
	return arguments{text: text}, text != "" && utf8.RuneCountInString(text) <= maxTitleChars
}

// cleanLine is text without what controls a terminal or the direction of writing.
func cleanLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200d', r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// wordForm is a word, or words in quotes, as phones write them too.
var wordForm = regexp.MustCompile(`"[^"]*"|“[^”]*”|[^\s"“”]+`)

// labelNames reads names of labels: words, or more than one between quotes.
func labelNames(args string) (arguments, bool) {
	var out arguments
	for _, w := range wordForm.FindAllString(args, -1) {
		name := cleanLine(strings.Trim(w, `"“”`))
		if !strings.ContainsAny(w, `"“`) {
			name = strings.TrimSuffix(name, ",")
		}
		if name == "" || strings.Contains(name, ",") || utf8.RuneCountInString(name) > maxLabelName {
			return arguments{}, false
		}
		if !slices.ContainsFunc(out.names, func(n string) bool { return strings.EqualFold(n, name) }) {
			out.names = append(out.names, name)
		}
	}
	rest := strings.TrimSpace(wordForm.ReplaceAllString(args, ""))
	return out, rest == "" && len(out.names) > 0 && len(out.names) <= maxNames
}

// accountsOrMe reads logins; nobody is the writer, and so is "me".
func accountsOrMe(args string) (arguments, bool) {
	if args == "" {
		args = "me"
	}
	out, ok := named(args, false)
	for i, n := range out.names {
		if strings.EqualFold(n, "me") {
			out.names[i] = "" // the writer
		}
	}
	return out, ok
}

func reviewersNamed(args string) (arguments, bool) {
	out, ok := named(args, true)
	return out, ok && len(out.names) > 0
}

// named reads logins, and teams where they mean something, with or without the @.
func named(args string, teams bool) (arguments, bool) {
	var out arguments
	for _, w := range strings.Fields(strings.ReplaceAll(args, ",", " ")) {
		name := strings.TrimPrefix(w, "@")
		if !loginForm.MatchString(name) && (!teams || !teamForm.MatchString(name)) {
			return arguments{}, false
		}
		if !slices.ContainsFunc(out.names, func(n string) bool { return strings.EqualFold(n, name) }) {
			out.names = append(out.names, name)
		}
	}
	return out, len(out.names) <= maxNames
}
