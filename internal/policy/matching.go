package policy

import (
	"fmt"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// evaluate tells whether a label's conditions hold, and explains it. All of them have to.
func (l *labelRule) evaluate(f *facts) *Node {
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
	if l.author != nil {
		parts = append(parts, &Node{
			Text: l.author.source, Pos: l.author.pos, Result: resultIf(l.author.match(s.Author)),
			Children: []*Node{{Text: "pr.author", Value: quote(s.Author.Login)}},
		})
	}
	if l.when != nil {
		parts = append(parts, l.when.evaluate(f))
	}
	if len(parts) == 1 {
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
