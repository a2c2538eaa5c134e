package policy

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A messageRule says what the message of the commit is made of that squash and merge make.
type messageRule struct {
	title, body textSource // "" leaves it to GitHub
	open, close string     // for fromBetween: the marks in the description
}

// A textSource is where a text comes from.
type textSource string

const (
	fromPull    textSource = "pull-request"
	fromCommits textSource = "commits"
	fromNowhere textSource = "empty"
	fromBetween textSource = "between"
)

// Bounds of a message, in characters. GitHub itself cuts a title at 256.
const (
	maxSubject   = 250
	maxMessage   = 20_000
	maxMark      = 100
	maxCoAuthors = 100
)

// body reads where the body of the message comes from.
func (r *reader) body(e entry, m *messageRule) {
	if !isMapping(e.value) {
		m.body = textSource(r.oneOf(e.value, "body", string(fromPull), string(fromCommits), string(fromNowhere)))
		return
	}
	keys, _ := r.mapping(e.value, "body", bodyKeys, false)
	m.body = fromBetween
	if len(keys) == 0 && len(r.problems) == 0 {
		r.say(e.at, `For example, "{ between: ["<!-- commit -->", "<!-- /commit -->"] }".`, "body does not say what it is made of.")
	}
	for _, k := range keys {
		marks := r.items(k, "between", 2)
		var texts []string
		for _, n := range marks {
			switch s, ok := r.text(n, "between"); {
			case !ok:
			case strings.TrimSpace(s.text) == "" || utf8.RuneCountInString(s.text) > maxMark:
				r.say(s.at, "", "A mark has 1 to %d characters.", maxMark)
			default:
				texts = append(texts, s.text)
			}
		}
		if len(marks) == 1 {
			r.say(r.pos(k.value), `For example, ["<!-- commit -->", "<!-- /commit -->"].`, "between needs two marks: where the text begins, and where it ends.")
		}
		if len(texts) == 2 {
			m.open, m.close = texts[0], texts[1]
		}
	}
}

// message composes the message of the commit that a merge makes: the first line and the rest, each "" where GitHub is to
// make it, unless blank says that the rest is to be empty. What comes from descriptions and commits is other people's text: it is bounded, cleaned of what can't be seen, and
// takes part in nothing but the message.
func (d *decider) message(m messageRule, method pull.MergeMethod) (title, body string, blank bool) {
	if m == (messageRule{}) || method != pull.Squash && method != pull.MergeCommit {
		return "", "", false
	}
	squash := method == pull.Squash
	var commits []pull.Commit
	if m.title == fromCommits || m.body == fromCommits || m.body != "" && squash {
		if !d.f.need(pull.Need{Kind: pull.NeedCommits}) {
			return "", "", false // the decision is made again
		}
		commits = d.s.Known.Commits.List
	}
	s := d.s
	if m.title != "" {
		title = tidyLine(s.Title)
		if m.title == fromCommits && len(commits) == 1 && !d.s.Known.Commits.Truncated {
			subject, _ := parts(commits[0].Message)
			title = or(subject, title)
		}
		title = shorten(title, maxSubject)
		if number := fmt.Sprintf("(#%d)", s.Number); !strings.HasSuffix(title, number) {
			title = strings.TrimSpace(title + " " + number)
		}
	}
	if m.body == "" {
		return title, "", false
	}
	switch m.body {
	case fromPull:
		body = withoutComments(s.Body)
	case fromBetween:
		body = withoutComments(between(s.Body, m.open, m.close))
	case fromCommits:
		body = ofCommits(commits)
		if d.s.Known.Commits.Truncated {
			body += "\n\n…"
		}
	}
	body = readable(body)
	if !squash {
		return title, body, body == ""
	}
	body, named := cutTrailers(body)
	if trailers := d.coAuthors(commits, named); len(trailers) > 0 {
		body = strings.TrimSpace(body + "\n\n" + strings.Join(trailers, "\n"))
	}
	return title, body, body == ""
}

// ofCommits is what several commits say, as GitHub lists them; of a single one, what follows its first line.
func ofCommits(commits []pull.Commit) string {
	var out []string
	for _, c := range commits {
		subject, rest := parts(c.Message)
		rest, _ = cutTrailers(rest)
		switch {
		case len(commits) == 1:
			out = append(out, rest)
		case len(c.Parents) > 1: // a merge of the base says nothing about the change
		case rest == "":
			out = append(out, "* "+subject)
		default:
			out = append(out, "* "+subject+"\n\n"+rest)
		}
	}
	return strings.Join(out, "\n\n")
}

// parts divides a commit's message into its first line and the rest.
func parts(message string) (subject, rest string) {
	subject, rest, _ = strings.Cut(strings.TrimSpace(readable(message)), "\n")
	return tidyLine(subject), strings.TrimSpace(rest)
}

// between returns what stands between the first pair of marks, or "".
func between(text, open, close string) string {
	_, rest, found := strings.Cut(text, open)
	if !found {
		return ""
	}
	inside, _, found := strings.Cut(rest, close)
	if !found {
		return ""
	}
	return inside
}

// withoutComments leaves HTML comments out: templates hold them for the writer, not for the reader. What a comment that does
// not end hides is left out too.
func withoutComments(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "<!--")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if _, text, found = strings.Cut(rest, "-->"); !found {
			return b.String()
		}
	}
}

var manyLines = regexp.MustCompile(`\n{3,}`)

// readable cleans a text of several lines and bounds it.
func readable(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200d', r == utf8.RuneError, unicode.In(r, unicode.Zl, unicode.Zp):
			return -1 // \u200d joins emoji
		}
		return r
	}, text)
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRightFunc(lines[i], unicode.IsSpace)
	}
	text = strings.TrimSpace(manyLines.ReplaceAllString(strings.Join(lines, "\n"), "\n\n"))
	if r := []rune(text); len(r) > maxMessage {
		text = strings.TrimRightFunc(string(r[:maxMessage]), unicode.IsSpace) + " …"
	}
	return text
}

// tidyLine cleans a text for one line.
func tidyLine(text string) string { return strings.Join(strings.Fields(readable(text)), " ") }

var (
	coAuthorLine = regexp.MustCompile(`(?im)^co-authored-by:[ \t]*(.+?)[ \t]*$\n?`)
	writtenForm  = regexp.MustCompile(`^([^<>\n]{1,200}?) *<([^<>\s]{3,250})>$`)
)

// cutTrailers takes the Co-authored-by lines out of a text.
func cutTrailers(text string) (rest string, named []string) {
	for _, m := range coAuthorLine.FindAllStringSubmatch(text, -1) {
		named = append(named, m[1])
	}
	return strings.TrimSpace(coAuthorLine.ReplaceAllString(text, "")), named
}

// coAuthors are the Co-authored-by lines of a squash commit, each person once: of every commit's author, and of those whom
// commits or the text (named) name so. GitHub makes the author of the pull request the author of the commit, and the service
// has written nothing.
func (d *decider) coAuthors(commits []pull.Commit, named []string) []string {
	var out []string
	accounts := map[int64]bool{d.s.Author.ID: true, d.s.Us.ID: true, 0: true}
	mails := map[string]bool{}
	skip := func(mail string) bool {
		mail = strings.ToLower(mail)
		for _, a := range []pull.Actor{d.s.Author, d.s.Us} {
			if a.Login != "" && (mail == strings.ToLower(noReply(a)) || mail == strings.ToLower(a.Login)+"@users.noreply.github.com") {
				return true
			}
		}
		if mails[mail] {
			return true
		}
		mails[mail] = true
		return false
	}
	add := func(written string) {
		m := writtenForm.FindStringSubmatch(tidyLine(written))
		if m != nil && len(out) < maxCoAuthors && !skip(m[2]) {
			out = append(out, fmt.Sprintf("Co-authored-by: %s <%s>", m[1], m[2]))
		}
	}
	for _, c := range commits {
		m := writtenForm.FindStringSubmatch(tidyLine(c.Written))
		switch {
		case c.Author.ID == 0:
			add(c.Written)
		case accounts[c.Author.ID]:
			if m != nil {
				mails[strings.ToLower(m[2])] = true // another address of somebody who is named already
			}
		default:
			accounts[c.Author.ID] = true
			if m == nil {
				add(c.Author.Login + " <" + noReply(c.Author) + ">")
			} else {
				add(c.Written)
				mails[strings.ToLower(noReply(c.Author))] = true
			}
		}
	}
	for _, c := range commits {
		for _, t := range c.Trailers {
			add(t)
		}
	}
	for _, t := range named {
		add(t)
	}
	return out
}

// noReply is the address that GitHub gives an account, which it knows the account by.
func noReply(a pull.Actor) string {
	return fmt.Sprintf("%d+%s@users.noreply.github.com", a.ID, a.Login)
}
