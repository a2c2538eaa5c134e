package github

import (
	"crypto/sha256"
	"regexp"
	"strconv"
	"strings"
)

// A diff is the text of a change, as far as two of them are compared.
type diff struct {
	digest   [sha256.Size]byte
	binaries []binary // the text does not show what is in them
	doubt    string   // why it can't be compared: the text is not whole, or nothing that we know
}

// A binary is a binary file that changed: what it was called and what it is called, "" where it was not there.
type binary struct{ from, to string }

const (
	// GitHub shows comparisons up to these many files and lines. What reaches them may have been cut.
	maxDiffFiles = 300
	maxDiffLines = 20_000
)

var hunk = regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@`)

// headers are the lines that git writes before what has changed in a file.
var headers = []string{
	"old mode ", "new mode ", "deleted file mode ", "new file mode ", "copy from ", "copy to ", "rename from ", "rename to ", "similarity index ",
	"dissimilarity index ", "index ", "--- ", "+++ ",
}

// readDiff reads a change. Every line counts but one: the ids of a text file's contents before and after, since the contents
// before may differ elsewhere in the file, and what is shown of the change then still be the same.
func readDiff(text string) diff {
	bad := func(why string) diff { return diff{doubt: "GitHub's comparison can't be read: " + why} }
	if text == "" {
		return diff{digest: sha256.Sum256(nil)}
	}
	if !strings.HasSuffix(text, "\n") {
		return bad("it ends in the middle of a line")
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) >= maxDiffLines {
		return diff{doubt: "the comparison is too large for GitHub to show"}
	}
	d, files := diff{}, 0
	sum := sha256.New()
	keep := func(line string) {
		sum.Write([]byte(line))
		sum.Write([]byte{'\n'})
	}
	for i := 0; i < len(lines); {
		if !strings.HasPrefix(lines[i], "diff --git ") {
			return bad("something stands between two files")
		}
		f := section{head: lines[i]}
		keep(lines[i])
		files++
		for i++; i < len(lines) && f.header(lines[i]); i++ {
			if !strings.HasPrefix(lines[i], "index ") {
				keep(lines[i])
			}
		}
		if i < len(lines) && strings.HasPrefix(lines[i], "Binary files ") {
			b, ok := f.binary()
			if !ok {
				return bad("the name of a binary file is not plain")
			}
			keep(f.index)
			keep(lines[i])
			d.binaries = append(d.binaries, b)
			i++
			continue
		}
		_, mode, _ := strings.Cut(strings.TrimPrefix(f.index, "index "), " ")
		keep("mode " + mode)
		hunks := 0
		for i < len(lines) && strings.HasPrefix(lines[i], "@@ ") {
			m := hunk.FindStringSubmatch(lines[i])
			if m == nil {
				return bad("a part of a file has no beginning")
			}
			keep(lines[i])
			hunks++
			before, after := count(m[2]), count(m[4])
			for i++; i < len(lines) && (before > 0 || after > 0 || strings.HasPrefix(lines[i], `\`)); i++ {
				switch {
				case strings.HasPrefix(lines[i], " "):
					before, after = before-1, after-1
				case strings.HasPrefix(lines[i], "-"):
					before--
				case strings.HasPrefix(lines[i], "+"):
					after--
				case !strings.HasPrefix(lines[i], `\`):
					return bad("a part of a file is not whole")
				}
				keep(lines[i])
			}
			if before != 0 || after != 0 {
				return bad("a part of a file is not whole")
			}
		}
		if hunks == 0 && !f.complete() {
			return bad("it leaves out what changes in a file")
		}
	}
	if files >= maxDiffFiles {
		return diff{doubt: "the comparison is too large for GitHub to show"}
	}
	sum.Sum(d.digest[:0])
	return d
}

// count is the number of lines that a hunk says it has: 1 where it says nothing.
func count(s string) int {
	if s == "" {
		return 1
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// A section is the part of a diff that is about one file, without what has changed in it.
type section struct {
	head, index      string
	from, to         string // of a file that was renamed or copied
	added, deleted   bool
	modes, hasBefore bool
}

// header takes one of the lines before a change, and reports whether it is one.
func (f *section) header(line string) bool {
	for _, h := range headers {
		rest, ok := strings.CutPrefix(line, h)
		if !ok {
			continue
		}
		switch h {
		case "index ":
			f.index = line
		case "rename from ", "copy from ":
			f.from = rest
		case "rename to ", "copy to ":
			f.to = rest
		case "new file mode ":
			f.added = true
		case "deleted file mode ":
			f.deleted = true
		case "old mode ", "new mode ":
			f.modes = true
		case "--- ":
			f.hasBefore = true
		}
		return true
	}
	return false
}

// complete reports whether there is nothing to show of a file but its headers: it was only renamed, or its mode changed, or
// it came or went empty.
func (f *section) complete() bool {
	const empty = "e69de29"
	ids, _, _ := strings.Cut(strings.TrimPrefix(f.index, "index "), " ")
	before, after, _ := strings.Cut(ids, "..")
	switch {
	case f.hasBefore:
		return false
	case f.added:
		return strings.HasPrefix(after, empty)
	case f.deleted:
		return strings.HasPrefix(before, empty)
	}
	return f.index == "" && (f.from != "" || f.modes)
}

// binary says which file it is. Git puts names in quotes where they hold anything unusual.
func (f *section) binary() (binary, bool) {
	b := binary{f.from, f.to}
	if f.from == "" {
		names := strings.TrimPrefix(f.head, "diff --git ")
		half := len(names) / 2 // "a/name b/name"
		if len(names)%2 == 0 || names[half] != ' ' || !strings.HasPrefix(names, "a/") || names[half+1:] != "b/"+names[2:half] {
			return b, false
		}
		b = binary{names[2:half], names[2:half]}
	}
	if strings.HasPrefix(b.from, `"`) || strings.HasPrefix(b.to, `"`) {
		return b, false
	}
	if f.added {
		b.from = ""
	}
	if f.deleted {
		b.to = ""
	}
	return b, true
}
