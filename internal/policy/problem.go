package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// A Pos is a place in a file, counted from 1. The zero Pos is nowhere.
type Pos struct {
	Path   string `json:"path,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String returns "path:line:column", as far as it is known.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.Path
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.Path, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.Path, p.Line, p.Column)
}

// A Problem is something wrong with a policy file. Message says what, Hint what to do; both are whole sentences.
type Problem struct {
	Pos     Pos    `json:"pos"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// String returns the problem in one line, as compilers and editors know it: "path:line:column: message hint".
func (p Problem) String() string {
	s := p.Message
	if at := p.Pos.String(); at != "" {
		s = at + ": " + s
	}
	if p.Hint != "" {
		s += " " + p.Hint
	}
	return s
}

// Problems are everything wrong with a file, in the order of the file. A file with problems is not in force.
type Problems []Problem

// maxProblems bounds what one broken file can make people read.
const maxProblems = 20

// Error lets Problems travel as an error.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Tidy sorts by position, drops repetitions and cuts to maxProblems.
func (ps Problems) Tidy() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if a.Pos.Line != b.Pos.Line {
			return a.Pos.Line - b.Pos.Line
		}
		return a.Pos.Column - b.Pos.Column
	})
	ps = slices.Compact(ps)
	if len(ps) > maxProblems {
		more := len(ps) - maxProblems
		ps = append(ps[:maxProblems:maxProblems], Problem{
			Pos:     Pos{Path: ps[0].Pos.Path},
			Message: fmt.Sprintf("There are %d more problems.", more),
		})
	}
	return ps
}

// nearest returns the candidate that word is most likely a misspelling of, or "".
func nearest(word string, candidates []string) string {
	best, dist := "", min(3, max(1, len(word)/2))+1 // beyond that, any short word is near any other
	if len(word) < 9 {
		dist = min(dist, 3)
	}
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(c)); d < dist {
			best, dist = c, d
		}
	}
	return best
}

// didYouMean is a hint: the nearest candidate, or else all of them.
func didYouMean(word string, candidates []string) string {
	if c := nearest(word, candidates); c != "" {
		return fmt.Sprintf("Did you mean %q?", c)
	}
	return "Possible here: " + strings.Join(candidates, ", ") + "."
}
