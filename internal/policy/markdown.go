package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Commands are read from comments as GitHub shows them. The Markdown is parsed, and a command is a line of a paragraph that
// stands by itself: what is in code, in a quote, in a list, in a table, in a heading, in HTML or in a comment of HTML, in the
// text of a link or between asterisks is talk about commands.

// How much of a comment is read. Beyond it, the comment has no commands: what is cut may close what was opened before.
const (
	maxComment  = 64 << 10 // bytes
	maxCommands = 20       // in a comment; those that come after are not read
	maxLinks    = 4000     // parsing takes the square of these two
	maxQuotes   = 1000     // in a line
)

// A commandLine is a line that looks like a command.
type commandLine struct {
	verb string // as written, in lower case
	args string // what follows, its spaces as written
	// id tells it from every other line of the comment, also when others come and go: a digest of what it says, and which of
	// the lines it is that say so.
	id string
}

// commandForm is a slash, a word, and nothing else or a space: no path, no address, no end of a sentence.
var commandForm = regexp.MustCompile(`^/([A-Za-z][A-Za-z-]{0,30})(?:[ \t]+(.*?))?[ \t]*$`)

// mayCommand spares comments the parser that have no such line: nearly all of them.
var mayCommand = regexp.MustCompile(`(?m)^[ \t]*/[A-Za-z]`)

var markdownParser = goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote)).Parser()

// commandLines finds what may be commands in the Markdown of a comment, in their order.
func commandLines(body string) []commandLine {
	if len(body) > maxComment {
		return nil
	}
	body = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\uFFFD").Replace(body)
	if !mayCommand.MatchString(body) || strings.Count(body, "](") > maxLinks {
		return nil
	}
	for line := range strings.Lines(body) {
		if strings.Count(line, ">") > maxQuotes {
			return nil
		}
	}
	source := []byte(body)
	root := markdownParser.Parse(text.NewReader(source), parser.WithContext(parser.NewContext()))
	var out []commandLine
	nth := map[string]int{}
	hidden := map[string]int{} // elements that an HTML block has opened, and none has closed yet
	for n := root.FirstChild(); n != nil; n = n.NextSibling() {
		switch {
		case n.Kind() == ast.KindHTMLBlock:
			elements(n, source, hidden)
		case n.Kind() == ast.KindParagraph && len(hidden) == 0:
			for _, line := range plainLines(n, source) {
				m := commandForm.FindStringSubmatch(line)
				if m == nil {
					continue
				}
				c := commandLine{verb: strings.ToLower(m[1]), args: m[2]}
				says := digest(c.verb + " " + strings.Join(strings.Fields(c.args), " "))
				c.id = says + "." + string(rune('a'+nth[says]))
				nth[says]++
				if out = append(out, c); len(out) == maxCommands {
					return out
				}
			}
		}
	}
	return out
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// plainLines are the lines of a paragraph that begin with plain text of its own, without the HTML in them.
func plainLines(p ast.Node, source []byte) []string {
	var plain, html []text.Segment
	for n := p.FirstChild(); n != nil; n = n.NextSibling() {
		switch n := n.(type) {
		case *ast.Text:
			plain = append(plain, n.Segment)
		case *ast.RawHTML:
			html = append(html, n.Segments.Sliced(0, n.Segments.Len())...)
		}
	}
	covers := func(list []text.Segment, at int) bool {
		return slices.ContainsFunc(list, func(s text.Segment) bool { return s.Start <= at && at < s.Stop })
	}
	var out []string
	lines := p.Lines()
	for i := range lines.Len() {
		line := lines.At(i)
		at := line.Start
		for at < line.Stop && (source[at] == ' ' || source[at] == '\t') {
			at++
		}
		if !covers(plain, at) {
			continue
		}
		var b bytes.Buffer
		for ; at < line.Stop; at++ {
			if !covers(html, at) && source[at] != '\n' {
				b.WriteByte(source[at])
			}
		}
		out = append(out, b.String())
	}
	return out
}

var tagForm = regexp.MustCompile(`<(/?)([A-Za-z]+)[^<>]*>`)

// covering are elements whose content is not what their writer says to everybody, though Markdown in it is shown as such.
var covering = []string{"details", "blockquote", "pre", "table", "del", "s", "strike", "code", "samp", "q"}

// elements counts which of them an HTML block opens and closes.
func elements(n ast.Node, source []byte, open map[string]int) {
	var b bytes.Buffer
	lines := n.Lines()
	for i := range lines.Len() {
		b.Write(source[lines.At(i).Start:lines.At(i).Stop])
	}
	if h, ok := n.(*ast.HTMLBlock); ok && h.HasClosure() {
		b.Write(source[h.ClosureLine.Start:h.ClosureLine.Stop])
	}
	// What stands in a comment of HTML opens nothing.
	shown := htmlComment.ReplaceAll(b.Bytes(), nil)
	for _, m := range tagForm.FindAllSubmatch(shown, -1) {
		name := strings.ToLower(string(m[2]))
		switch {
		case !slices.Contains(covering, name):
		case len(m[1]) == 0:
			open[name]++
		case open[name] > 1:
			open[name]--
		default:
			delete(open, name)
		}
	}
}

var htmlComment = regexp.MustCompile(`(?s)<!--(?:-?>|.*?(?:-->|$))`)
