package policy

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file. They are far beyond what anyone writes by hand, and keep what a file costs small.
const (
	maxNesting = 8    // the format itself needs four
	maxLabels  = 200  // GitHub keeps at most 100 on one pull request
	maxList    = 500  // entries of one list
	maxText    = 1000 // characters of one pattern
	maxName    = 50   // characters of a label's name, as at GitHub
)

// Parse reads a policy file. It returns the policy, or everything that is wrong with the file; never both. path is what
// positions call the file. Parse accepts any bytes.
func Parse(path string, text []byte) (p *Policy, problems Problems) {
	r := &reader{path: path}
	defer func() {
		// goccy/go-yaml indexes into token lists in many places; a crash of it over a strange file is a problem of
		// the file, and must not become one of every repository.
		if v := recover(); v != nil {
			p, problems = nil, Problems{{Pos: Pos{Path: path}, Message: "The file can't be read as YAML."}}
		}
	}()
	p = r.file(text)
	if len(r.problems) > 0 {
		return nil, r.problems.Tidy()
	}
	return p, nil
}

// A reader walks the tree of one YAML file and collects what is wrong with it.
type reader struct {
	path     string
	lines    []string // of the file, for positions inside scalars
	problems Problems
}

func (r *reader) say(at Pos, hint, format string, args ...any) {
	r.problems = append(r.problems, Problem{Pos: at, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (r *reader) at(tk *token.Token) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{Path: r.path}
	}
	return Pos{Path: r.path, Line: tk.Position.Line, Column: tk.Position.Column}
}

func (r *reader) pos(n ast.Node) Pos {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return r.at(n.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		return r.at(n.Key.GetToken())
	case *ast.LiteralNode:
		return r.at(n.Start)
	}
	return r.at(n.GetToken())
}

// file reads the whole file.
func (r *reader) file(text []byte) *Policy {
	body := r.document(text, "a policy", MaxSize)
	if body == nil {
		return nil
	}
	return r.policy(body)
}

// document reads the one YAML document of a file that is a what and has at most most bytes; nil if there is none, or
// something wrong with it.
func (r *reader) document(text []byte, what string, most int) ast.Node {
	start := Pos{Path: r.path, Line: 1, Column: 1}
	if len(text) > most {
		r.say(start, "", "The file has %d bytes; %s may have %d.", len(text), what, most)
		return nil
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	if at, ok := r.unprintable(text); ok {
		r.say(at, "Save it as UTF-8 without control characters.", "The file is not text here.")
		return nil
	}
	r.lines = strings.Split(string(text), "\n")

	tokens := lexer.Tokenize(string(text))
	if r.refused(tokens); len(r.problems) > 0 {
		return nil
	}
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return nil
	}
	var body ast.Node
	for _, d := range tree.Docs {
		if d.Body == nil {
			continue
		}
		if body != nil {
			r.say(r.pos(d.Body), "Keep one document and drop what follows ---.", "The file holds more than one YAML document.")
			return nil
		}
		body = d.Body
	}
	if body == nil {
		r.say(start, `Begin it with the line "version: 1".`, "The file is empty.")
		return nil
	}
	return body
}

// unprintable finds bytes that no text file has.
func (r *reader) unprintable(text []byte) (Pos, bool) {
	line, column := 1, 1
	for len(text) > 0 {
		c, n := utf8.DecodeRune(text)
		switch {
		case c == utf8.RuneError && n == 1, c != '\n' && c != '\t' && unicode.IsControl(c), c == 0xFEFF:
			return Pos{Path: r.path, Line: line, Column: column}, true
		case c == '\n':
			line, column = line+1, 1
		default:
			column++
		}
		text = text[n:]
	}
	return Pos{}, false
}

// refused reports what the format leaves out of YAML, before a parser sees it: anchors and aliases (they hide what a
// rule says, and a few lines of them can stand for gigabytes), tags, directives, keys that are not text, and deep nesting.
// Most who meet this wanted a pattern or a condition that begins with ! or *.
func (r *reader) refused(tokens token.Tokens) {
	depth, line, dashes := 0, 0, 0
	for i, tk := range tokens {
		if tk.Position.Line != line {
			line, dashes = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.TagType:
			r.say(r.at(tk), fmt.Sprintf("Put the value into quotes: '%s'.", r.rest(tk)), "YAML takes an unquoted ! at the start of a value for a tag.")
		case token.AliasType:
			if i > 0 && tokens[i-1].Type == token.AliasType {
				continue // the second star of **
			}
			r.say(r.at(tk), fmt.Sprintf("Put the value into quotes: '%s'. Anchors and aliases are not supported.", r.rest(tk)), "YAML takes an unquoted * at the start of a value for an alias.")
		case token.AnchorType:
			r.say(r.at(tk), "Write the value out where it is used, or put it into quotes if it begins with &.", "Anchors and aliases are not supported.")
		case token.MergeKeyType:
			r.say(r.at(tk), "Write the keys out.", "Merge keys (<<) are not supported.")
		case token.DirectiveType:
			r.say(r.at(tk), "Drop the line, or put the value into quotes if it begins with %.", "YAML directives are not supported.")
		case token.MappingKeyType:
			r.say(r.at(tk), "Write the key plainly, or put the value into quotes if it begins with ?.", "Keys marked with ? are not supported.")
		case token.MappingStartType, token.SequenceStartType:
			if depth++; depth == maxNesting+1 {
				r.say(r.at(tk), "", "This is nested too deeply.")
				return
			}
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			if dashes++; dashes == maxNesting+1 {
				r.say(r.at(tk), "", "This is nested too deeply.")
				return
			}
		}
		if len(r.problems) > maxProblems {
			return
		}
	}
}

// rest returns the word that begins at a token, for a hint that shows it in quotes.
func (r *reader) rest(tk *token.Token) string {
	if tk.Position.Line > len(r.lines) {
		return ""
	}
	line := []rune(r.lines[tk.Position.Line-1])
	if tk.Position.Column > len(line) {
		return ""
	}
	s := string(line[tk.Position.Column-1:])
	before := string(line[:tk.Position.Column-1])
	if strings.ContainsAny(before, "[{") {
		if i := strings.IndexAny(s, ",]}"); i >= 0 {
			s = s[:i]
		}
	}
	if s = strings.TrimSpace(s); len(s) > 80 {
		s = s[:80] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "'", "''")
}

// syntax reports what the YAML parser refused.
func (r *reader) syntax(err error) {
	var bad *yaml.SyntaxError
	if !errors.As(err, &bad) {
		r.say(Pos{Path: r.path}, "", "The file can't be read as YAML: %s.", firstLine(err.Error()))
		return
	}
	at := r.at(bad.Token)
	hint := ""
	if at.Line > 0 && at.Line <= len(r.lines) {
		switch line := r.lines[at.Line-1]; {
		case strings.Contains(line, "\t"):
			hint = "Indent with spaces."
		case conditionLine.MatchString(line):
			hint = `Put the whole condition into single quotes, or write it on lines of its own after "if: |".`
		}
	}
	r.say(at, hint, "This is not valid YAML: %s.", strings.ReplaceAll(firstLine(bad.Message), "'\t'", "tab"))
}

var conditionLine = regexp.MustCompile(`\bif\s*:`)

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimRight(s, ". ")
}

// An entry is one key of a mapping with its value.
type entry struct {
	key   string
	at    Pos
	value ast.Node
}

// mapping reads the entries of a mapping. With known keys, any other is a problem. what names the place in messages.
func (r *reader) mapping(n ast.Node, what string, known []string, fold bool) ([]entry, bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		hint := ""
		if known != nil {
			hint = "Possible keys: " + strings.Join(known, ", ") + "."
		}
		r.say(r.pos(n), hint, "%s must be a mapping of keys to values; this is %s.", what, kindOf(n))
		return nil, false
	}
	seen := map[string]Pos{}
	var out []entry
	for _, v := range values {
		e := entry{at: r.at(v.Key.GetToken()), value: v.Value}
		switch k := v.Key.(type) {
		case *ast.StringNode:
			e.key = k.Value
		default:
			e.key = v.Key.GetToken().Value // a number or a word such as true is a fine name of a label
		}
		id := e.key
		if fold {
			id = strings.ToLower(id)
		}
		if first, twice := seen[id]; twice {
			r.say(e.at, "Keep one of them.", "%q is there twice; the first is on line %d.", e.key, first.Line)
			continue
		}
		seen[id] = e.at
		if known != nil && !slices.Contains(known, e.key) {
			r.say(e.at, didYouMean(e.key, known), "%s has no key %q.", what, e.key)
			continue
		}
		out = append(out, e)
	}
	return out, true
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "empty"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	}
	return "text"
}

// A scalar is a text of the file with its place.
type scalar struct {
	text string
	at   Pos
	node ast.Node
}

// text reads a value that is one text. Numbers are texts too: a login may be one.
func (r *reader) text(n ast.Node, what string) (scalar, bool) {
	s := scalar{at: r.pos(n), node: n}
	switch n := n.(type) {
	case *ast.StringNode:
		s.text = n.Value
	case *ast.LiteralNode:
		s.text = n.Value.Value
	case *ast.IntegerNode:
		s.text = n.Token.Value
	case *ast.BoolNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		r.say(s.at, fmt.Sprintf("If you mean the text, put it into quotes: %q.", n.GetToken().Value), "%s must be text; this is %s.", what, kindOf(n))
		return s, false
	default:
		r.say(s.at, "", "%s must be text; this is %s.", what, kindOf(n))
		return s, false
	}
	return s, true
}

// number reads a whole number.
func (r *reader) number(e entry, least, most int) int {
	n, ok := e.value.(*ast.IntegerNode)
	if !ok {
		r.say(r.pos(e.value), "", "%s must be a whole number; this is %s.", e.key, kindOf(e.value))
		return least
	}
	var v int
	if _, err := fmt.Sscanf(n.Token.Value, "%d", &v); err != nil || fmt.Sprint(v) != n.Token.Value || v < least || v > most {
		r.say(r.pos(n), "", "%s can be %d to %d, not %s.", e.key, least, most, n.Token.Value)
		return least
	}
	return v
}

// sentence reads one line of text for people.
func (r *reader) sentence(e entry) string {
	s, _ := r.text(e.value, e.key)
	return strings.Join(strings.Fields(s.text), " ")
}

// list reads a value that is one text or a list of texts.
func (r *reader) list(n ast.Node, what string) []scalar {
	items := []ast.Node{n}
	if seq, ok := n.(*ast.SequenceNode); ok {
		items = seq.Values
		if len(items) == 0 {
			r.say(r.pos(n), "Name at least one, or drop the key.", "%s is an empty list.", what)
			return nil
		}
	}
	if len(items) > maxList {
		r.say(r.pos(n), "", "%s has %d entries; at most %d are possible.", what, len(items), maxList)
		return nil
	}
	var out []scalar
	for _, item := range items {
		s, ok := r.text(item, what)
		switch {
		case !ok:
		case strings.TrimSpace(s.text) == "":
			r.say(s.at, "Fill it in, or drop it.", "%s is empty here.", what)
		case utf8.RuneCountInString(s.text) > maxText:
			r.say(s.at, "", "This is longer than %d characters.", maxText)
		default:
			out = append(out, s)
		}
	}
	return out
}

// truth reads true or false.
func (r *reader) truth(n ast.Node, what string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.say(r.pos(n), "Write true or false, without quotes.", "%s must be true or false.", what)
		return false
	}
	return b.Value
}

// policy reads the top level.
func (r *reader) policy(body ast.Node) *Policy {
	p := &Policy{path: r.path, keys: map[string]Pos{}}
	entries, ok := r.mapping(body, "A policy", fileKeys, false)
	if !ok {
		return nil
	}
	versioned := false
	for _, e := range entries {
		p.keys[e.key] = e.at
		switch e.key {
		case "version":
			versioned = true
			if n, ok := e.value.(*ast.IntegerNode); !ok || n.Token.Value != "1" {
				r.say(r.pos(e.value), `Write "version: 1".`, "This version of the format is not known here.")
			}
		case "mode":
			p.mode = Mode(r.oneOf(e.value, "mode", string(Active), string(DryOnly)))
		case "opt-out":
			p.optOut = r.optOut(e)
		case "generated":
			p.generated = r.globs(e, "generated")
		case "update-bots":
			p.updateBots = r.bots(e)
		case "labels":
			p.labels = r.labels(e.value)
		case "reviewers":
			p.reviewers = r.reviewers(e)
		case "approvals":
			p.approvals = r.approvals(e)
		case "checks":
			p.checks = r.checks(e.value)
		case "merge":
			p.merge = r.merge(e)
		case "rules":
			p.rules = r.freeRules(e)
		case "commands":
			p.commands = r.commands(e)
		}
	}
	if !versioned {
		r.say(Pos{Path: r.path, Line: 1, Column: 1}, `Begin the file with the line "version: 1".`, "The file does not say which version of the format it is in.")
	}
	return p
}

func (r *reader) oneOf(n ast.Node, what string, options ...string) string {
	s, ok := r.text(n, what)
	if !ok {
		return ""
	}
	if !slices.Contains(options, s.text) {
		r.say(s.at, didYouMean(s.text, options), "%s can't be %q.", what, s.text)
		return ""
	}
	return s.text
}

func (r *reader) labels(n ast.Node) []labelRule {
	if _, empty := n.(*ast.NullNode); empty {
		return nil
	}
	entries, ok := r.mapping(n, "labels", nil, true)
	if !ok {
		return nil
	}
	if len(entries) > maxLabels {
		r.say(entries[maxLabels].at, "", "There are %d labels; at most %d are possible.", len(entries), maxLabels)
		return nil
	}
	var out []labelRule
	for _, e := range entries {
		if utf8.RuneCountInString(e.key) > maxName || strings.TrimSpace(e.key) != e.key || e.key == "" {
			r.say(e.at, "", "A label's name has 1 to %d characters, and no space at either end.", maxName)
		}
		if strings.Contains(e.key, ",") {
			r.say(e.at, "", "GitHub allows no comma in the name of a label.")
		}
		out = append(out, r.label(e))
	}
	return out
}

func (r *reader) label(e entry) labelRule {
	l := labelRule{name: e.key, pos: e.at}
	if _, empty := e.value.(*ast.NullNode); empty {
		r.say(e.at, "Give it one of: "+strings.Join(selectorKeys, ", ")+".", "The label %q has no condition.", e.key)
		return l
	}
	before := len(r.problems)
	keys, ok := r.mapping(e.value, fmt.Sprintf("The label %q", e.key), labelKeys, false)
	if !ok {
		return l
	}
	for _, k := range keys {
		switch k.key {
		case "color":
			l.color = r.color(k)
		case "description":
			l.about = r.sentence(k)
		default:
			r.selectorKey(&l.selector, k)
		}
	}
	if l.selector.empty() && len(r.problems) == before {
		r.say(e.at, "Give it one of: "+strings.Join(selectorKeys, ", ")+".", "The label %q has no condition.", e.key)
	}
	return l
}

// condition reads and compiles CEL. Its problems are placed at the word of the condition that they are about.
func (r *reader) condition(e entry) *program {
	var s scalar
	if b, ok := e.value.(*ast.BoolNode); ok {
		s = scalar{text: strconv.FormatBool(b.Value), at: r.pos(b), node: b}
	} else if s, ok = r.text(e.value, "A condition"); !ok {
		return nil
	}
	if strings.TrimSpace(s.text) == "" {
		r.say(s.at, `For example, "if: approved && checks.green".`, "The condition is empty.")
		return nil
	}
	at := r.inside(s)
	prog, bad := compile(s.text, at)
	r.problems = append(r.problems, bad...)
	return prog
}

// inside returns where each character of a scalar's text stands in the file. YAML folds lines, drops indentation and
// knows escapes, so the two are walked side by side: white space differs freely, every other character has to be met again.
func (r *reader) inside(s scalar) func(offset int) Pos {
	text := []rune(s.text)
	places := make([]Pos, 0, len(text))
	line, column := s.at.Line, s.at.Column // 1-based
	if _, block := s.node.(*ast.LiteralNode); block {
		line, column = line+1, 1
	}
	next := func() (rune, bool) { // the character at (line, column)
		for line <= len(r.lines) {
			runes := []rune(r.lines[line-1])
			if column <= len(runes) {
				return runes[column-1], true
			}
			line, column = line+1, 1
		}
		return 0, false
	}
	for _, want := range text {
		if unicode.IsSpace(want) {
			places = append(places, Pos{Path: r.path, Line: line, Column: column})
			continue
		}
		found := false
		for budget := 200; budget > 0; budget-- {
			got, ok := next()
			if !ok {
				break
			}
			if got == want {
				found = true
				break
			}
			column++
		}
		if !found {
			return func(int) Pos { return s.at }
		}
		places = append(places, Pos{Path: r.path, Line: line, Column: column})
		column++
	}
	return func(offset int) Pos {
		switch {
		case len(places) == 0 || offset < 0:
			return s.at
		case offset >= len(places): // "something is missing at the end"
			last := places[len(places)-1]
			for i := len(places) - 1; i >= 0; i-- {
				if !unicode.IsSpace(text[i]) {
					last = places[i]
					break
				}
			}
			last.Column++
			return last
		case unicode.IsSpace(text[offset]):
			for offset < len(text)-1 && unicode.IsSpace(text[offset]) {
				offset++
			}
		}
		return places[offset]
	}
}
