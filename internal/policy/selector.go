package policy

import (
	"fmt"
	"slices"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A selector says which pull requests a rule is about: tests that need no CEL, and a condition. Those that are there must
// all hold; of the entries of one, one has to.
type selector struct {
	pos    Pos
	files  *globs
	branch *globs
	base   *globs
	lines  *spans
	title  *patterns
	author *people
	labels *names
	when   *program // nil: there is no `if`
}

// names are names of labels.
type names struct {
	source string
	pos    Pos
	list   []string
}

// empty reports whether the selector has no test at all, and so selects everything.
func (l *selector) empty() bool {
	return l.files == nil && l.branch == nil && l.base == nil && l.lines == nil && l.title == nil && l.author == nil && l.labels == nil && l.when == nil
}

// selectorKey reads one of selectorKeys into l, and reports whether it was one.
func (r *reader) selectorKey(l *selector, k entry) bool {
	if l.pos == (Pos{}) {
		l.pos = k.at
	}
	switch k.key {
	case "files":
		l.files = r.globs(k, "files")
	case "branch":
		l.branch = r.globs(k, "branch")
	case "base":
		l.base = r.globs(k, "base")
	case "lines":
		l.lines = r.ranges(k)
	case "title":
		l.title = r.expressions(k)
	case "author":
		l.author = r.authors(k)
	case "label":
		items := r.list(k.value, "label")
		l.labels = &names{source: sourceOf("label", items), pos: k.at}
		for _, s := range items {
			l.labels.list = append(l.labels.list, s.text)
		}
	case "if":
		l.when = r.condition(k)
	default:
		return false
	}
	return true
}

// evaluate tells whether a rule is about a pull request, and explains it. All of its tests have to hold; with none, it is
// about every pull request.
//
// What would have to be looked up is asked for only when the rest does not decide.
func (l *selector) evaluate(f *facts) *Node {
	var parts []*Node
	var when *Node
	s := f.s
	text := func(source string, pos Pos, ok bool, name, value string) {
		parts = append(parts, &Node{Text: source, Pos: pos, Result: resultIf(ok), Children: []*Node{{Text: name, Value: quote(value)}}})
	}
	if l.title != nil {
		text(l.title.source, l.title.pos, l.title.match(s.Title), "pr.title", s.Title)
	}
	if l.branch != nil {
		text(l.branch.source, l.branch.pos, l.branch.match(s.Head.Name), "pr.head", s.Head.Name)
	}
	if l.base != nil {
		text(l.base.source, l.base.pos, l.base.match(s.Base.Name), "pr.base", s.Base.Name)
	}
	if l.labels != nil {
		parts = append(parts, l.labels.over(s))
	}
	if l.files != nil {
		parts = append(parts, l.files.overFiles(f))
	}
	if l.lines != nil {
		parts = append(parts, l.lines.over(f))
	}
	if l.when != nil {
		when = l.when.explain(f)
		parts = append(parts, when)
	}
	if l.author != nil {
		parts = append(parts, l.author.overAuthor(f, decided(parts, nil)))
	}
	if !decided(parts, nil) {
		for _, n := range parts {
			f.ask(n)
		}
	}
	if when != nil && !decided(parts, when) {
		l.when.mayChange(when, f)
	}
	switch len(parts) {
	case 0:
		return &Node{Text: "every pull request", Result: True, Pos: l.pos}
	case 1:
		return parts[0]
	}
	all := &Node{Text: "all of these", Op: And, Result: True, Pos: l.pos, Children: parts}
	for _, p := range parts {
		switch {
		case p.Result == False:
			all.Result = False
		case p.Result != True && all.Result == True:
			all.Result = p.Result
		case p.Result == Failed && all.Result == Unknown:
			all.Result = Failed
		}
	}
	return all
}

// decided reports whether one of the tests, beside one, fails whatever the others say.
func decided(parts []*Node, beside *Node) bool {
	return slices.ContainsFunc(parts, func(n *Node) bool { return n != beside && n.Result == False })
}

// ask notes what has to be looked up to know what is unknown.
func (f *facts) ask(n *Node) {
	if n.Result != Unknown {
		return
	}
	for _, l := range n.lacks {
		if l.need != nil {
			f.need(*l.need)
		}
	}
}

// over tells whether the lines that count are in one of the ranges. They need not be known exactly for that.
func (l *spans) over(f *facts) *Node {
	c := f.lines()
	n := &Node{Text: l.source, Pos: l.pos, Result: l.between(c.low, c.high)}
	value := fmt.Sprint(c.high)
	if c.low != c.high {
		value = fmt.Sprintf("%d at most", c.high)
		if n.Result == Unknown {
			n.lacks = []lack{*linesUnknown(f)}
		}
	}
	if off := f.s.Additions + f.s.Deletions - c.high; off > 0 {
		value += fmt.Sprintf(", without %d in generated files", off)
	}
	n.Children = []*Node{{Text: "pr.lines", Value: value}}
	return n
}

// between tells whether all numbers from low to high are in the ranges, or none, or only some.
func (l *spans) between(low, high int) Result {
	r := resultIf(l.match(low))
	for _, span := range l.list {
		// Where a range begins or ends in between, the answer may change.
		for _, edge := range []int{span[0] - 1, span[0], span[1], span[1] + 1} {
			if low <= edge && edge <= high && resultIf(l.match(edge)) != r {
				return Unknown
			}
		}
	}
	return r
}

// overAuthor tells whether the author is one of p. Where that has to be looked up and is of no matter, it is not.
func (p *people) overAuthor(f *facts, decided bool) *Node {
	n := &Node{Text: p.source, Pos: p.pos, Children: []*Node{{Text: "pr.author", Value: quote(f.s.Author.Login)}}}
	asked := len(f.needs)
	var why string
	n.Result, why = f.among(p, f.s.Author, false)
	if decided {
		f.needs = f.needs[:asked]
	}
	if n.Result == Unknown {
		n.lacks = []lack{{name: p.source, why: why}}
	}
	return n
}

// over looks for one of the labels.
func (l *names) over(s *pull.Snapshot) *Node {
	n := &Node{Text: l.source, Pos: l.pos, Result: False}
	var have []string
	for _, name := range l.list {
		if label, ok := s.Has(name); ok {
			n.Result = True
			have = append(have, label.Name)
		}
	}
	if n.Result == False && s.LabelsTruncated {
		n.Result = Unknown
		n.lacks = []lack{{name: "pr.labels"}}
	}
	n.Children = []*Node{{Text: "those there", Value: showList(have)}}
	return n
}

// overFiles looks for one changed file that matches. A file that was renamed counts with its previous path too: moved out of
// core/, it is a change of core/. Where GitHub has cut the list short, one that is found is found all the same, but none
// found means nothing.
func (g *globs) overFiles(f *facts) *Node {
	s := f.s
	n := &Node{Text: g.source, Pos: g.pos}
	moved := false
	for _, file := range s.Files {
		switch {
		case g.match(file.Path):
			n.Result = True
			n.Children = []*Node{{Text: "first match", Value: quote(file.Path)}}
			return n
		case file.Previous != "" && g.match(file.Previous):
			n.Result = True
			n.Children = []*Node{{Text: "first match", Value: quote(file.Previous) + ", renamed to " + quote(file.Path)}}
			return n
		}
		moved = moved || f.moved(file)
	}
	n.Result = False
	n.Children = []*Node{{Text: "changed files", Value: fmt.Sprintf("none of %d matches", len(s.Files))}}
	switch {
	case s.FilesTruncated:
		n.Result = Unknown
		n.Children[0].Value = fmt.Sprintf("none of the %d matches that GitHub lists, of %d", len(s.Files), s.ChangedFiles)
		n.lacks = []lack{{name: "pr.files"}}
		if moved {
			n.lacks = append(n.lacks, *f.lackOf(lackRenames)) // one of them may be found
		}
	case moved:
		n.Result = Unknown
		n.lacks = []lack{*f.lackOf(lackRenames)}
	}
	return n
}

func resultIf(ok bool) Result {
	if ok {
		return True
	}
	return False
}
