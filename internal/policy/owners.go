package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// CODEOWNERS is GitHub's file, so it is read as GitHub reads it: the last line that matches a path decides, also when it
// names nobody; a line that is not valid is skipped; paths are case-sensitive. Its patterns are nearly, but not quite,
// those of .gitignore, which is why no matcher of those serves here: "docs/*" ends at the first level, "!" and "[a-z]" do
// not exist, and a "\" can't rescue a leading "#".
//
// What is about a pull request's files is asked in two ways. "Is she an owner?" (owns) is about any of the files: the owner
// of one may be asked to review, or may give a command. "Have the owners agreed?" is about every file, and is answered group
// by group (ownership, ownedBy): one owner of each group has to.

// ownerFiles are where GitHub looks for CODEOWNERS, in its order. The first that exists counts, even if it is empty.
var ownerFiles = []string{".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"}

const (
	// maxOwnersFile is the size from which on GitHub does not load the file.
	maxOwnersFile = 3 << 20
	// maxTried bounds how many lines are held against paths, to about a second: 3,000 files by 500 lines of all kinds take a
	// hundredth of that.
	maxTried = 10_000_000
)

// An owner is who owns a path by CODEOWNERS. One of the fields is set.
type owner struct {
	login string
	team  string // "acme/backend"
	mail  string // an e-mail address, which only GitHub can tell the account of
}

// String is the owner as CODEOWNERS writes it.
func (o owner) String() string {
	switch {
	case o.login != "":
		return "@" + o.login
	case o.team != "":
		return "@" + o.team
	}
	return o.mail
}

// An ownerGroup is the changed paths that have the same owners.
type ownerGroup struct {
	owners []owner  // at least one
	paths  []string // in the order of the snapshot; of a file that was renamed, the path before too
	line   int      // of CODEOWNERS: the first that gave one of the paths to them
}

// An ownersFile is CODEOWNERS, read.
type ownersFile struct {
	path     string
	lines    []ownerLine
	problems Problems // of the lines that are skipped

	// Lines by what a path must have for them to match; each in the order of the file. A file of thousands of lines would
	// otherwise be gone through for each of thousands of paths.
	byPrefix map[string][]int // the first segments, joined
	byName   map[string][]int // a segment anywhere
	byExt    map[string][]int // the end of a segment from its last dot on
	others   []int

	tried int // lines that were held against a path
}

// An ownerLine gives the paths that match to its owners.
type ownerLine struct {
	number  int
	pattern []segment
	owners  []owner
	key     string // equal for lines with the same owners
}

// A segment is a part of a pattern between slashes.
type segment struct {
	literal string // all of it, if it has no wildcard
	glob    []glyph
	many    bool // any number of segments, none among them
	any     bool // any one segment
}

// A glyph is a character of a glob, or a wildcard: star is any number of characters, one any single one.
type glyph struct {
	char      rune
	star, one bool
}

var mailForm = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)

// readOwners reads a CODEOWNERS file. Any text is one: what is wrong in a line costs that line.
func readOwners(path, text string) *ownersFile {
	o := &ownersFile{path: path, byPrefix: map[string][]int{}, byName: map[string][]int{}, byExt: map[string][]int{}}
	text = strings.TrimPrefix(text, "\ufeff")
	for i, line := range strings.Split(text, "\n") {
		words := ownerWords(strings.TrimSuffix(line, "\r"))
		if len(words) == 0 {
			continue
		}
		at := Pos{Path: path, Line: i + 1, Column: 1}
		l := ownerLine{number: i + 1}
		var wrong string
		if l.pattern, wrong = ownerPattern(words[0]); wrong != "" {
			o.problems = append(o.problems, Problem{Pos: at, Message: fmt.Sprintf("GitHub skips the line with %q: %s.", shorten(words[0], 100), wrong)})
			continue
		}
		for _, w := range words[1:] {
			switch name := strings.TrimPrefix(w, "@"); {
			case name != w && loginForm.MatchString(name) && !strings.HasSuffix(name, "]"):
				l.owners = append(l.owners, owner{login: name})
			case name != w && teamForm.MatchString(name):
				l.owners = append(l.owners, owner{team: name})
			case mailForm.MatchString(w):
				l.owners = append(l.owners, owner{mail: w})
			default:
				wrong = w
			}
		}
		if wrong != "" {
			o.problems = append(o.problems, Problem{Pos: at, Message: fmt.Sprintf("GitHub skips the line with %q: %q is no owner, which is written @login, @org/team or as an e-mail address.", shorten(words[0], 100), shorten(wrong, 100))})
			continue
		}
		names := make([]string, len(l.owners))
		for j, who := range l.owners {
			names[j] = strings.ToLower(who.String())
		}
		slices.Sort(names)
		l.key = strings.Join(slices.Compact(names), " ")
		o.add(l)
	}
	return o
}

// ownerWords splits a line into its pattern and its owners. A space after a \ belongs to the word. A # that begins a word
// begins a comment.
func ownerWords(line string) []string {
	var words []string
	var word strings.Builder
	escaped := false
	for _, c := range line {
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == ' ' || c == '\t':
			if word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
			}
			continue
		case c == '#' && word.Len() == 0:
			return words
		}
		word.WriteRune(c)
	}
	if word.Len() > 0 {
		words = append(words, word.String())
	}
	return words
}

// ownerPattern reads a pattern, or says what is wrong with it.
func ownerPattern(text string) (segments []segment, wrong string) {
	switch {
	case strings.HasPrefix(text, "!"):
		return nil, "a pattern can't be negated with !"
	case strings.HasPrefix(text, `\#`):
		return nil, `a pattern can't begin with #, not even after a \`
	case strings.Contains(text, "***"):
		return nil, "three stars in a row mean nothing"
	case strings.Trim(text, "/") == "":
		return nil, "it matches nothing; * is everything"
	}
	rooted := strings.HasPrefix(text, "/")
	text = strings.TrimPrefix(text, "/")
	text, folder := strings.CutSuffix(text, "/")
	parts := strings.Split(text, "/")
	if !rooted && len(parts) == 1 {
		segments = append(segments, segment{many: true}) // a name alone is meant anywhere
	}
	for i, part := range parts {
		last := i == len(parts)-1
		if part == "**" {
			if last && !folder {
				segments = append(segments, segment{any: true})
			}
			segments = append(segments, segment{many: true})
			continue
		}
		s, wrong := ownerSegment(part)
		if wrong != "" {
			return nil, wrong
		}
		segments = append(segments, s)
		if last && !folder && part != "*" {
			segments = append(segments, segment{many: true}) // a folder of that name stands for all that is in it
		}
	}
	if folder {
		segments = append(segments, segment{any: true}, segment{many: true})
	}
	return segments, ""
}

// ownerSegment reads one segment.
func ownerSegment(text string) (s segment, wrong string) {
	var literal strings.Builder
	wild, escaped := false, false
	for _, c := range text {
		g := glyph{char: c}
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
			continue
		case c == '*':
			g.star, wild = true, true
			if n := len(s.glob); n > 0 && s.glob[n-1].star {
				continue // two stars within a name are one
			}
		case c == '?':
			g.one, wild = true, true
		case c == '[' || c == ']':
			return s, `[ and ] are no ranges here, and have to be written \[ and \]`
		}
		s.glob = append(s.glob, g)
		literal.WriteRune(c)
	}
	switch {
	case escaped:
		return s, `there is nothing after the last \`
	case wild && len(s.glob) == 1 && s.glob[0].star:
		s.any, s.glob = true, nil
	case !wild:
		s.literal, s.glob = literal.String(), nil
	}
	return s, ""
}

// add files a line where paths that may match it will find it.
func (o *ownersFile) add(l ownerLine) {
	n := len(o.lines)
	o.lines = append(o.lines, l)
	var prefix []string
	for _, s := range l.pattern {
		if s.literal == "" {
			break
		}
		prefix = append(prefix, s.literal)
	}
	switch {
	case len(prefix) > 0:
		at := strings.Join(prefix, "/")
		o.byPrefix[at] = append(o.byPrefix[at], n)
	case l.pattern[0].many && len(l.pattern) > 1 && l.pattern[1].literal != "":
		o.byName[l.pattern[1].literal] = append(o.byName[l.pattern[1].literal], n)
	case l.pattern[0].many && len(l.pattern) > 1 && l.pattern[1].ext() != "":
		ext := l.pattern[1].ext()
		o.byExt[ext] = append(o.byExt[ext], n)
	default:
		o.others = append(o.others, n)
	}
}

// ext returns what every name that matches ends with, from its last dot on; "" if that can't be said.
func (s segment) ext() string {
	var tail []rune
	for i := len(s.glob) - 1; i >= 0; i-- {
		g := s.glob[i]
		if g.star || g.one {
			return ""
		}
		tail = append(tail, g.char)
		if g.char == '.' {
			slices.Reverse(tail)
			return string(tail)
		}
	}
	return ""
}

// match reports whether the segment is one of a path.
func (s segment) match(name string) bool {
	switch {
	case s.any:
		return true
	case s.glob == nil:
		return s.literal == name
	}
	// A star is tried with nothing first, and takes one more character whenever what follows it does not fit. Only the last
	// star has to be tried anew: an earlier one that took more would leave less to choose from.
	at, star, resume := 0, -1, 0
	i := 0
	for i < len(name) {
		c, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case at < len(s.glob) && s.glob[at].star:
			star, resume = at, i
			at++
		case at < len(s.glob) && (s.glob[at].one || s.glob[at].char == c):
			at++
			i += n
		case star >= 0:
			_, n := utf8.DecodeRuneInString(name[resume:])
			resume += n
			at, i = star+1, resume
		default:
			return false
		}
	}
	for at < len(s.glob) && s.glob[at].star {
		at++
	}
	return at == len(s.glob)
}

// matchOwners reports whether a pattern is one of the path's; the same walk as for a segment, a level higher.
func matchOwners(pattern []segment, path []string) bool {
	at, many, resume := 0, -1, 0
	i := 0
	for i < len(path) {
		switch {
		case at < len(pattern) && pattern[at].many:
			many, resume = at, i
			at++
		case at < len(pattern) && pattern[at].match(path[i]):
			at++
			i++
		case many >= 0:
			resume++
			at, i = many+1, resume
		default:
			return false
		}
	}
	for at < len(pattern) && pattern[at].many {
		at++
	}
	return at == len(pattern)
}

// of returns the line that says who owns a path: the last that matches.
func (o *ownersFile) of(path string) (ownerLine, bool) {
	segments := strings.Split(path, "/")
	best := -1
	try := func(lines []int) {
		for _, n := range slices.Backward(lines) {
			if n <= best {
				return
			}
			o.tried++
			if matchOwners(o.lines[n].pattern, segments) {
				best = n
				return
			}
		}
	}
	end := 0
	for i, s := range segments {
		if i > 0 {
			end++
		}
		end += len(s)
		try(o.byPrefix[path[:end]])
		try(o.byName[s])
		if dot := strings.LastIndexByte(s, '.'); dot >= 0 {
			try(o.byExt[s[dot:]])
		}
	}
	try(o.others)
	if best < 0 {
		return ownerLine{}, false
	}
	return o.lines[best], true
}

// An owned is what ownership has found out.
type owned struct {
	file   *ownersFile // nil: there is none, or it is not known
	groups []ownerGroup
	result Result
	why    string
}

// ownership tells who owns the changed files by the CODEOWNERS of the base branch, in groups of files with the same owners.
// Files that nobody owns are in no group.
//
// It is True when the groups are all there are. Unknown means that more has to be looked up, which is noted as a need, or
// that GitHub does not tell, and why says so then; groups are then those that are known all the same: enough to say that
// somebody is an owner, not enough to say that all the owners have agreed.
//
// "Every file's owners have approved" is this: the result is True, and for each group there is somebody of whom ownedBy is
// True and whose approval counts. A group whose owners can't approve (nobody of the team may write, an account that does
// not exist) stays without, though GitHub would do without it: what is not known to be agreed is not.
func (f *facts) ownership() (groups []ownerGroup, result Result, why string) {
	o := f.owned()
	return o.groups, o.result, o.why
}

func (f *facts) owned() *owned {
	if f.owners == nil {
		f.owners = f.findOwners()
	}
	return f.owners
}

func (f *facts) findOwners() *owned {
	// All three at once: one after the other would take three rounds where there is none.
	known := true
	for _, path := range ownerFiles {
		known = f.need(pull.Need{Kind: pull.NeedFile, Name: path}) && known
	}
	if !known {
		return &owned{result: Unknown}
	}
	out := &owned{result: True}
	for _, path := range ownerFiles {
		doc := f.s.Known.Files[path]
		switch {
		case doc.Unreadable != "":
			return &owned{result: Unknown, why: path + " can't be read: " + doc.Unreadable}
		case doc.Found && len(doc.Text) >= maxOwnersFile:
			return &owned{result: Unknown, why: path + " has more than 3 MB, so that not even GitHub goes by it"}
		case doc.Found:
			out.file = readOwners(path, doc.Text)
		default:
			continue
		}
		break
	}
	if out.file == nil || len(out.file.lines) == 0 {
		return out
	}
	if f.s.FilesTruncated {
		out.result, out.why = Unknown, fmt.Sprintf("GitHub lists only %d of the %d changed files", len(f.s.Files), f.s.ChangedFiles)
	}
	at := map[string]int{}
	add := func(path string) {
		l, ok := out.file.of(path)
		if !ok || len(l.owners) == 0 {
			return
		}
		i, ok := at[l.key]
		if !ok {
			i = len(out.groups)
			at[l.key] = i
			out.groups = append(out.groups, ownerGroup{owners: l.owners, line: l.number})
		}
		g := &out.groups[i]
		g.paths = append(g.paths, path)
		g.line = min(g.line, l.number)
	}
	for _, file := range f.s.Files {
		if out.file.tried > maxTried {
			return &owned{file: out.file, result: Unknown, why: out.file.path + " has too many lines to be gone through for so many files"}
		}
		add(file.Path)
		// Who moves a file away takes it from its owners: they have a say too.
		switch {
		case file.Status != "renamed":
		case file.Previous != "":
			add(file.Previous)
		case f.need(pull.Need{Kind: pull.NeedRenames}):
			out.result, out.why = Unknown, "GitHub does not tell where "+file.Path+" was before it was renamed"
		case out.result == True:
			out.result = Unknown
		}
	}
	return out
}

// ownedBy tells whether an account is one of a group's owners. Unknown means that more has to be looked up, which is noted
// as a need, or that GitHub does not tell; why says so then.
func (f *facts) ownedBy(g ownerGroup, a pull.Actor) (result Result, why string) {
	if a.ID == 0 || a.Login == "" {
		return False, ""
	}
	for _, o := range g.owners {
		if o.login != "" && strings.EqualFold(o.login, a.Login) {
			return True, ""
		}
	}
	result = False
	for _, o := range g.owners {
		switch {
		case o.team != "":
			switch r, unknown := f.inTeam(o.team, a); r {
			case True:
				return True, ""
			case Unknown:
				result, why = Unknown, unknown
			}
		case o.mail != "" && result == False:
			result, why = Unknown, "CODEOWNERS names "+o.mail+", and only GitHub knows whose address that is"
		}
	}
	return result, why
}

// owns tells whether an account is a code owner of at least one changed file; see people.among for Unknown.
func (f *facts) owns(a pull.Actor) (result Result, why string) {
	groups, result, why := f.ownership()
	if result == True {
		result = False
	}
	for _, g := range groups {
		switch r, unknown := f.ownedBy(g, a); r {
		case True:
			return True, ""
		case Unknown:
			if result = Unknown; why == "" {
				why = unknown
			}
		}
	}
	return result, why
}
