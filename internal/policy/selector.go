package policy

import (
	"fmt"
	"slices"
	"strings"

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
	author *logins
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
		l.author = r.logins(k)
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
func (l *selector) evaluate(f *facts) *Node {
	var parts []*Node
	s := f.s
	if l.files != nil {
		parts = append(parts, l.files.overFiles(s))
	}
	if l.lines != nil {
		n := s.Additions + s.Deletions
		parts = append(parts, &Node{
			Text: l.lines.source, Pos: l.lines.pos, Result: resultIf(l.lines.match(n)),
			Children: []*Node{{Text: "pr.lines", Value: fmt.Sprint(n)}},
		})
	}
	if l.title != nil {
		parts = append(parts, &Node{
			Text: l.title.source, Pos: l.title.pos, Result: resultIf(l.title.match(s.Title)),
			Children: []*Node{{Text: "pr.title", Value: quote(s.Title)}},
		})
	}
	if l.branch != nil {
		parts = append(parts, &Node{
			Text: l.branch.source, Pos: l.branch.pos, Result: resultIf(l.branch.match(s.Head.Name)),
			Children: []*Node{{Text: "pr.head", Value: quote(s.Head.Name)}},
		})
	}
	if l.base != nil {
		parts = append(parts, &Node{
			Text: l.base.source, Pos: l.base.pos, Result: resultIf(l.base.match(s.Base.Name)),
			Children: []*Node{{Text: "pr.base", Value: quote(s.Base.Name)}},
		})
	}
	if l.author != nil {
		parts = append(parts, &Node{
			Text: l.author.source, Pos: l.author.pos, Result: resultIf(l.author.match(s.Author)),
			Children: []*Node{{Text: "pr.author", Value: quote(s.Author.Login)}},
		})
	}
	if l.labels != nil {
		parts = append(parts, l.labels.over(s))
	}
	if l.when != nil {
		parts = append(parts, l.when.evaluate(f))
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

// over looks for one of the labels.
func (l *names) over(s *pull.Snapshot) *Node {
	n := &Node{Text: l.source, Pos: l.pos, Result: False}
	var have []string
	for _, label := range s.Labels {
		if !label.Present {
			continue
		}
		have = append(have, label.Name)
		if slices.ContainsFunc(l.list, func(name string) bool { return strings.EqualFold(name, label.Name) }) {
			n.Result = True
		}
	}
	if n.Result == False && s.LabelsTruncated {
		n.Result = Unknown
	}
	n.Children = []*Node{{Text: "pr.labels", Value: showList(have)}}
	return n
}

// overFiles looks for one changed file that matches. Where GitHub has cut the list short, one that is found is found all
// the same, but none found means nothing.
func (g *globs) overFiles(s *pull.Snapshot) *Node {
	n := &Node{Text: g.source, Pos: g.pos}
	for _, file := range s.Files {
		if g.match(file.Path) {
			n.Result = True
			n.Children = []*Node{{Text: "first match", Value: quote(file.Path)}}
			return n
		}
	}
	n.Result = False
	n.Children = []*Node{{Text: "changed files", Value: fmt.Sprintf("none of %d matches", len(s.Files))}}
	if s.FilesTruncated {
		n.Result = Unknown
		n.Children[0].Value = fmt.Sprintf("none of the %d matches that GitHub lists, of %d", len(s.Files), s.ChangedFiles)
	}
	return n
}

func resultIf(ok bool) Result {
	if ok {
		return True
	}
	return False
}
