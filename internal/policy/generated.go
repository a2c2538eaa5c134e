package policy

import (
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Lines of generated files don't count. Which those are say the section generated of the policy, and, as on GitHub's own
// pages, the attribute linguist-generated in the .gitattributes at the root of the base branch. That file is asked for only
// where its answer could change something: never for a pull request whose lines are few enough, or many enough, whatever it
// says.

const attributesFile = ".gitattributes"

// attributes are the lines of a .gitattributes that say whether files are generated. The last one that matches counts.
type attributes []attribute

type attribute struct {
	glob
	on bool
}

// readAttributes reads what a .gitattributes says about linguist-generated. It accepts any text; what git would not
// understand says nothing.
func readAttributes(text string) attributes {
	var out attributes
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || strings.HasPrefix(words[0], "#") || strings.HasPrefix(words[0], "!") || strings.HasPrefix(words[0], `"`) {
			continue
		}
		set, on := false, false
		for _, w := range words[1:] {
			switch w {
			case "linguist-generated", "linguist-generated=true":
				set, on = true, true
			case "-linguist-generated", "!linguist-generated", "linguist-generated=false":
				set, on = true, false
			}
		}
		if !set {
			continue
		}
		if p := gitPattern(words[0]); p != "" {
			out = append(out, attribute{newGlob(p), on})
		}
	}
	return out
}

// gitPattern turns a pattern of git's into a glob: without a slash it is a name in any directory. Unlike in .gitignore, one
// that matches a directory says nothing about what is in it. "" matches nothing.
func gitPattern(p string) string {
	p = strings.NewReplacer("{", `\{`, "}", `\}`).Replace(p) // git knows no alternatives
	if strings.HasSuffix(p, "/") {
		return ""
	}
	if !strings.Contains(p, "/") {
		p = "**/" + p
	}
	p = strings.TrimPrefix(p, "/")
	if !doublestar.ValidatePattern(p) {
		return ""
	}
	return p
}

func (as attributes) generated(path string) bool {
	on := false
	for _, a := range as {
		if a.match(path) {
			on = a.on
		}
	}
	return on
}

// attributes are those of the base branch, once they were asked for.
func (f *facts) attributes() attributes {
	if f.attrs == nil {
		read := readAttributes(f.s.Known.Files[attributesFile].Text)
		f.attrs = &read
	}
	return *f.attrs
}

// lineCount is how many lines count: surely at least low and at most high. The two differ while GitHub has not told enough.
type lineCount struct {
	low, high int
	why       string // the key of the lack, if they differ
}

// lines counts the lines added and deleted that are not in generated files. GitHub's own sum is the beginning, since it is
// true also where the list of files is cut short.
func (f *facts) lines() lineCount {
	if f.counted != nil {
		return *f.counted
	}
	total := f.s.Additions + f.s.Deletions
	known := f.lackOf(lackAttributes) == nil
	listed, off, maybe := 0, 0, 0
	for _, c := range f.s.Files {
		n := c.Additions + c.Deletions
		listed += n
		switch {
		case n == 0:
		case f.p.generated != nil && f.p.generated.match(c.Path):
			off += n
		case !known:
			maybe += n
		case f.attributes().generated(c.Path):
			off += n
		}
	}
	c := lineCount{high: max(0, total-off)}
	c.low = max(0, c.high-maybe)
	if maybe > 0 {
		c.why = lackAttributes
	}
	if f.s.FilesTruncated && (f.p.generated != nil || !known || len(f.attributes()) > 0) {
		// What is not listed may be generated.
		if hidden := max(0, total-listed); hidden > 0 {
			c.low = max(0, c.low-hidden)
			if c.why == "" && c.low != c.high {
				c.why = "pr.changes"
			}
		}
	}
	if f.s.FilesTruncated && !known && c.low != c.high {
		c.why = lackAttributes
	}
	f.counted = &c
	return c
}

func linesUnknown(f *facts) *lack {
	c := f.lines()
	if c.low == c.high {
		return nil
	}
	l := f.lackOf(c.why)
	if l == nil {
		l = &lack{}
	}
	l.name = "pr.lines"
	return l
}

// filesUnknown is for what needs every changed file.
func filesUnknown(f *facts) *lack {
	if f.s.FilesTruncated {
		return &lack{name: "pr.files"}
	}
	return nil
}

// pathsUnknown is for what needs the paths before a rename too.
func pathsUnknown(f *facts) *lack {
	if l := filesUnknown(f); l != nil {
		return l
	}
	for _, c := range f.s.Files {
		if f.moved(c) {
			l := f.lackOf(lackRenames)
			l.name = "pr.files"
			return l
		}
	}
	return nil
}

// paths are the paths of the changed files. A renamed one has two: a file that was moved out of core/ is a change of core/.
func (f *facts) paths() []string {
	paths := make([]string, 0, len(f.s.Files))
	for _, c := range f.s.Files {
		paths = append(paths, c.Path)
		if c.Previous != "" && c.Previous != c.Path {
			paths = append(paths, c.Previous)
		}
	}
	return paths
}
