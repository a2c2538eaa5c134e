package policy

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// documented is the example of GitHub's documentation, "About code owners", line by line.
// https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
const documented = `# This is a comment.
*       @global-owner1 @global-owner2
*.js    @js-owner #This is an inline comment.
*.go docs@example.com
*.txt @octo-org/octocats
/build/logs/ @doctocat
docs/*  docs@example.com
apps/ @octocat
/docs/ @doctocat
/scripts/ @doctocat @octocat
**/logs @octocat
/apps/ @octocat
/apps/github
/apps/ @octocat
/apps/github @doctocat
`

// first is the documented example up to a line, so that the later ones don't hide it.
func first(lines int) string {
	return strings.Join(strings.SplitAfter(documented, "\n")[:lines], "")
}

func ownersOf(text, path string) string {
	l, ok := readOwners("CODEOWNERS", text).of(path)
	if !ok {
		return "no line"
	}
	var out []string
	for _, o := range l.owners {
		out = append(out, o.String())
	}
	return strings.Join(out, " ")
}

// TestOwnersAsDocumented goes through what GitHub says of its own example, and of the syntax.
func TestOwnersAsDocumented(t *testing.T) {
	tests := []struct {
		says string // GitHub's documentation, in short
		text string
		path string
		want string
	}{
		{"the default owners for everything in the repo", first(2), "a/b/c.rb", "@global-owner1 @global-owner2"},
		{"the last matching pattern takes the most precedence: only @js-owner", first(3), "a/b.js", "@js-owner"},
		{"an inline comment is none of the owners", first(3), "b.js", "@js-owner"},
		{"you can also use email addresses", first(4), "main.go", "docs@example.com"},
		{"the octocats team owns all .txt files", first(5), "a/b/c.txt", "@octo-org/octocats"},
		{"/build/logs/ is at the root of the repository", first(6), "build/logs/a.log", "@doctocat"},
		{"… and any of its subdirectories", first(6), "build/logs/x/y/a.log", "@doctocat"},
		{"… and nowhere else", first(6), "x/build/logs/a.log", "@global-owner1 @global-owner2"},
		{"docs/* matches docs/getting-started.md", first(7), "docs/getting-started.md", "docs@example.com"},
		{"… but not docs/build-app/troubleshooting.md", first(7), "docs/build-app/troubleshooting.md", "@global-owner1 @global-owner2"},
		{"… and is anchored, since it has a slash inside", first(7), "x/docs/a.md", "@global-owner1 @global-owner2"},
		{"any file in an apps directory anywhere", first(8), "x/y/apps/z/a", "@octocat"},
		{"… which a file of that name is not", first(8), "x/apps", "@global-owner1 @global-owner2"},
		{"any file in the /docs directory in the root", first(9), "docs/a/b.md", "@doctocat"},
		{"… in the root only", first(9), "x/docs/b.md", "@global-owner1 @global-owner2"},
		{"inside /scripts @doctocat or @octocat", first(10), "scripts/a", "@doctocat @octocat"},
		{"a /logs directory such as /build/logs", first(11), "build/logs/a", "@octocat"},
		{"… /scripts/logs", first(11), "scripts/logs/a", "@octocat"},
		{"… and /deeply/nested/logs", first(11), "deeply/nested/logs/x/a", "@octocat"},
		{"… and one at the root", first(11), "logs/a", "@octocat"},
		{"@octocat owns any file in /apps", first(13), "apps/a", "@octocat"},
		{"… except for /apps/github, whose owners are left empty", first(13), "apps/github/a", ""},
		{"… or which has its own owner", documented, "apps/github/a", "@doctocat"},
		{"the pattern on two lines matches only the last mentioned code owner", "apps/ @octocat\napps/ @doctocat\n", "apps/a", "@doctocat"},
		{"CODEOWNERS paths are case sensitive", "/Docs/ @doctocat\n", "docs/a", "no line"},
		{"a line with invalid syntax is skipped", "* @octocat\n*.js js-owner\n", "a.js", "@octocat"},
		{`escaping a # at the start of a pattern doesn't work`, "* @octocat\n\\#a @doctocat\n", "#a", "@octocat"},
		{"! doesn't negate", "* @octocat\n!*.js\n", "a.js", "@octocat"},
		{"[ ] is no character range", "* @octocat\n*.[ch] @doctocat\n", "a.c", "@octocat"},
		{`"both [ and ] must be escaped with a \"`, "* @octocat\n/s/\\[org\\]/ @doctocat\n", "s/[org]/a", "@doctocat"},
		{`"***/*.rb: did you mean **/*.rb?"`, "* @octocat\n***/*.rb @monalisa\n", "a.rb", "@octocat"},
		{"the pattern / will never match anything", "* @octocat\n/ @doctocat\n", "a", "@octocat"},
	}
	for _, tt := range tests {
		if got := ownersOf(tt.text, tt.path); got != tt.want {
			t.Errorf("%s: the owners of %s are %q, want %q", tt.says, tt.path, got, tt.want)
		}
	}
}

// TestOwnerPatterns holds what follows from the rules of .gitignore, which GitHub's documentation refers to, and where
// GitHub has been found to differ from them (a last segment of one star does not go below its level).
func TestOwnerPatterns(t *testing.T) {
	tests := []struct{ pattern, yes, no string }{
		{"foo", "foo foo/bar x/foo x/foo/y/z", "foo.txt xfoo x/foo.txt FOO"},
		{"/foo", "foo foo/bar", "x/foo fool"},
		{"foo/", "foo/bar x/foo/bar x/foo/y/z", "foo x/foo"},
		{"/foo/", "foo/bar foo/x/y", "foo x/foo/bar"},
		{"foo/bar", "foo/bar foo/bar/x", "foo/bart x/foo/bar"},
		{"/foo/bar", "foo/bar foo/bar/x", "foo x/foo/bar"},
		{"foo/bar/", "foo/bar/x foo/bar/x/y", "foo/bar x/foo/bar/y"},
		{"*", "a a/b a/b/c .x", ""},
		{"/*", "a b.txt", "a/b"},
		{"/*/", "a/b a/b/c", "a"},
		{"*/", "a/b x/a/b", "a"},
		{"f*", "f foo foo/x x/foo x/foo/y", "xfoo x/xf"},
		{"/f*", "foo foo/x/y", "x/foo"},
		{"foo/*", "foo/bar foo/.x", "foo foo/bar/x x/foo/bar"},
		{"foo/*/", "foo/bar/x foo/bar/x/y", "foo/bar"},
		{"foo/*.txt", "foo/a.txt", "foo/a/b.txt x/foo/a.txt foo/a.txts"},
		{"foo/*/baz", "foo/x/baz foo/x/baz/y", "foo/baz foo/x/y/baz"},
		{"f?o", "foo fxo x/f.o", "fo fooo f/o"},
		{"*.test.js", "a.test.js x/y/.test.js", "test.js a.js a.test.jsx"},
		{"*.tar.*", "a.tar.gz x/b.tar.xz", "a.tar tar.gz"},
		{"a*b*c", "abc axbxc abbc a.b.c", "ab acb abcd"},
		{"*ab", "ab aab abab xab", "aba"},
		{"**", "a a/b", ""},
		{"/**", "a a/b", ""},
		{"**/", "a/b a/b/c", ""},
		{"**/*", "a a/b a/b/c", ""},
		{"**/foo/bar", "foo/bar x/foo/bar x/y/foo/bar/z", "foo/x/bar"},
		{"**/*bar*", "bar x/bar x/rebar x/barrio y/bar/z", "ba/r"},
		{"foo/**", "foo/a foo/a/b", "foo x/foo/a"},
		{"foo/**/", "foo/a foo/a/b", "foo"},
		{"foo/**/bar", "foo/bar foo/x/bar foo/x/y/bar/z", "x/foo/bar foobar"},
		{"foo/**/b*", "foo/b foo/x/bar foo/b/x", "foo/x/c"},
		{"foo**bar", "foobar fooxbar", "foo/bar"},
		{`f\*o`, "f*o", "foo"},
		{`f\?o`, "f?o", "foo"},
		{`\!a`, "!a", "a"},
		{"C#/", "C#/a src/C#/b", "C/a"},
		{"a^b:c(d)+{e}", "a^b:c(d)+{e}", "a"},
		{"dö?r/", "döor/a x/dö€r/a", "dör/a"},
		{"a//b", "", "a/b a"},
	}
	for _, tt := range tests {
		for _, path := range strings.Fields(tt.yes) {
			if got := ownersOf(tt.pattern+" @o", path); got != "@o" {
				t.Errorf("%s does not match %s, want a match (%q)", tt.pattern, path, got)
			}
		}
		for _, path := range strings.Fields(tt.no) {
			if got := ownersOf(tt.pattern+" @o", path); got != "no line" {
				t.Errorf("%s matches %s, want none", tt.pattern, path)
			}
		}
	}
	if got := ownersOf(`/a\ b/c\ d @o`, "a b/c d"); got != "@o" {
		t.Errorf("an escaped space does not match a space: %q", got)
	}
	if got := ownersOf("/a @o", "a/\n"); got != "@o" {
		t.Errorf("a path with a line break has no owner: %q", got)
	}
	if got := ownersOf("\ufeff* @o\r\n*.js\t@p\t@q  \r\n", "a.js"); got != "@p @q" {
		t.Errorf("with a byte order mark, tabs and CRLF, the owners are %q, want @p @q", got)
	}
}

// TestOwnerLinesSkipped: what GitHub skips is said, with its place.
func TestOwnerLinesSkipped(t *testing.T) {
	text := "* @a\n*.js b\n!x @a\n/y[z] @a\n/z\\\n/w @a/b/c\n/v @app[bot]\n/u @-a\n/t a@b\n"
	o := readOwners("docs/CODEOWNERS", text)
	if len(o.lines) != 1 {
		t.Errorf("%d lines are valid, want the first only", len(o.lines))
	}
	for i, p := range o.problems {
		if p.Pos.Line != i+2 || !strings.HasPrefix(p.String(), fmt.Sprintf("docs/CODEOWNERS:%d:1: GitHub skips", i+2)) {
			t.Errorf("problem %d is %q, want it on line %d", i, p, i+2)
		}
	}
	if len(o.problems) != 8 {
		t.Errorf("%d lines are skipped, want 8: %v", len(o.problems), o.problems)
	}
}

// oneByOne is the file's answer the plain way: every line, the last first.
func oneByOne(o *ownersFile, path string) int {
	for i := len(o.lines) - 1; i >= 0; i-- {
		if matchOwners(o.lines[i].pattern, strings.Split(path, "/")) {
			return o.lines[i].number
		}
	}
	return 0
}

// TestOwnersIndex: a file finds the line that going through all of them finds.
func TestOwnersIndex(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "b", "*", "**", "*.x", "a.x", "?", "a*", "*b.x", `\*`, "a.*"})
	word := rapid.SampledFrom([]string{"a", "b", "a.x", "b.x", "ab.x", "*", "x.a.x"})
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		for range rapid.IntRange(1, 12).Draw(t, "lines") {
			pattern := strings.Join(rapid.SliceOfN(part, 1, 4).Draw(t, "parts"), "/")
			text.WriteString(rapid.SampledFrom([]string{"", "/"}).Draw(t, "root") + pattern + rapid.SampledFrom([]string{"", "/"}).Draw(t, "folder") + " @o\n")
		}
		o := readOwners("CODEOWNERS", text.String())
		path := strings.Join(rapid.SliceOfN(word, 1, 5).Draw(t, "path"), "/")
		l, _ := o.of(path)
		if want := oneByOne(o, path); l.number != want {
			t.Fatalf("of(%q) = line %d, want %d, in\n%s", path, l.number, want, text.String())
		}
	})
}

func FuzzOwners(f *testing.F) {
	f.Add(documented, "apps/github/a")
	f.Add("a\\ b/**/*.[x] @o/t # c\n**/ x@y.z\n", "a b/c")
	f.Add("*a*b*c*/\\", "abc/\xff")
	f.Fuzz(func(t *testing.T, text, path string) {
		o := readOwners("CODEOWNERS", text)
		l, _ := o.of(path)
		if want := oneByOne(o, path); l.number != want {
			t.Errorf("of(%q) = line %d, want %d", path, l.number, want)
		}
		if max := strings.Count(text, "\n") + 1; len(o.lines)+len(o.problems) > max {
			t.Errorf("%d lines and %d problems of %d lines", len(o.lines), len(o.problems), max)
		}
	})
}

// withOwners is a pull request whose base branch has a CODEOWNERS file, and nothing else that GitHub would look for.
func withOwners(text string) func(*pull.Snapshot) {
	return func(s *pull.Snapshot) {
		s.Known.Files = map[string]pull.Document{
			".github/CODEOWNERS": {Found: true, Text: text}, "CODEOWNERS": {}, "docs/CODEOWNERS": {},
		}
	}
}

func changed(files ...pull.File) func(*pull.Snapshot) {
	return func(s *pull.Snapshot) { s.Files, s.ChangedFiles = files, len(files) }
}

func groupsOf(groups []ownerGroup) string {
	var out []string
	for _, g := range groups {
		var who []string
		for _, o := range g.owners {
			who = append(who, o.String())
		}
		out = append(out, fmt.Sprintf("%s:%d %s", strings.Join(who, "+"), g.line, strings.Join(g.paths, ",")))
	}
	return strings.Join(out, "; ")
}

func TestOwnership(t *testing.T) {
	const file = "* @bob\n/docs/ @acme/docs\n/api/ @carol @Bob\n/web/ @bob @carol\n/free/\n/mail/ x@example.com\n"
	known := func(s *pull.Snapshot) { s.Known.Renames = true }
	tests := []struct {
		name   string
		change []func(*pull.Snapshot)
		groups string
		result Result
		why    string
		needs  string
	}{
		{name: "not looked up", result: Unknown, needs: "file .github/CODEOWNERS, file CODEOWNERS, file docs/CODEOWNERS"},
		{name: "none", change: []func(*pull.Snapshot){withOwners(file), func(s *pull.Snapshot) { s.Known.Files[".github/CODEOWNERS"] = pull.Document{} }}, result: True},
		{name: "the first that exists counts, even if it is empty", change: []func(*pull.Snapshot){withOwners(""), func(s *pull.Snapshot) { s.Known.Files["CODEOWNERS"] = pull.Document{Found: true, Text: file} }}, result: True},
		{name: "the second, where there is no first", change: []func(*pull.Snapshot){withOwners(file), func(s *pull.Snapshot) {
			s.Known.Files["CODEOWNERS"], s.Known.Files[".github/CODEOWNERS"] = s.Known.Files[".github/CODEOWNERS"], pull.Document{}
		}, changed(pull.File{Path: "a"})}, groups: "@bob:1 a", result: True},
		{
			name:   "equal owners are one group, in whatever order and letters they stand",
			change: []func(*pull.Snapshot){withOwners(file), changed(pull.File{Path: "web/a"}, pull.File{Path: "x"}, pull.File{Path: "api/a"}, pull.File{Path: "free/a"}, pull.File{Path: "docs/a"})},
			groups: "@bob+@carol:3 web/a,api/a; @bob:1 x; @acme/docs:2 docs/a", result: True,
		},
		{
			name:   "moved away from its owners, not looked up",
			change: []func(*pull.Snapshot){withOwners(file), changed(pull.File{Path: "free/a", Status: "renamed"}, pull.File{Path: "docs/a"})},
			groups: "@acme/docs:2 docs/a", result: Unknown, needs: "renames ",
		},
		{
			name:   "moved away from its owners",
			change: []func(*pull.Snapshot){withOwners(file), changed(pull.File{Path: "free/a", Previous: "api/a", Status: "renamed"}), known},
			groups: "@carol+@Bob:3 api/a", result: True,
		},
		{
			name:   "renamed from where GitHub does not tell",
			change: []func(*pull.Snapshot){withOwners(file), changed(pull.File{Path: "free/a", Status: "renamed"}), known},
			result: Unknown, why: "GitHub does not tell where free/a was before it was renamed",
		},
		{
			name:   "renames don't matter where nobody owns anything",
			change: []func(*pull.Snapshot){withOwners("# nobody\n"), changed(pull.File{Path: "free/a", Status: "renamed"})},
			result: True,
		},
		{
			name:   "more files than GitHub lists",
			change: []func(*pull.Snapshot){withOwners(file), changed(pull.File{Path: "a"}), func(s *pull.Snapshot) { s.FilesTruncated, s.ChangedFiles = true, 3001 }},
			groups: "@bob:1 a", result: Unknown, why: "GitHub lists only 1 of the 3001 changed files",
		},
		{
			name: "not text",
			change: []func(*pull.Snapshot){withOwners(file), func(s *pull.Snapshot) {
				s.Known.Files[".github/CODEOWNERS"] = pull.Document{Found: true, Unreadable: "it is a binary file"}
			}},
			result: Unknown, why: ".github/CODEOWNERS can't be read: it is a binary file",
		},
		{
			name:   "larger than GitHub loads",
			change: []func(*pull.Snapshot){withOwners(strings.Repeat("#", maxOwnersFile))},
			result: Unknown, why: ".github/CODEOWNERS has more than 3 MB, so that not even GitHub goes by it",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := world(tt.change...)
			f := newFacts(must(t, "version: 1\n"), &s, &pull.Memory{}, noon)
			groups, result, why := f.ownership()
			var needs []string
			for _, n := range pull.SortNeeds(f.needs) {
				needs = append(needs, string(n.Kind)+" "+n.Name)
			}
			if groupsOf(groups) != tt.groups || result != tt.result || why != tt.why || strings.Join(needs, ", ") != tt.needs {
				t.Errorf("ownership() = %q, %s, %q, needs %v\nwant %q, %s, %q, %s", groupsOf(groups), result, why, needs, tt.groups, tt.result, tt.why, tt.needs)
			}
		})
	}
}

func TestOwns(t *testing.T) {
	team := func(team pull.Team) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) { s.Known.Teams = map[string]pull.Team{"acme/docs": team} }
	}
	const file = "* @Bob\n/docs/ @Acme/Docs\n/mail/ x@example.com\n"
	tests := []struct {
		name   string
		change []func(*pull.Snapshot)
		who    pull.Actor
		want   Result
		why    string
		needs  int
	}{
		{"a login, in whatever letters", []func(*pull.Snapshot){changed(pull.File{Path: "a"})}, bob, True, "", 0},
		{"somebody else", []func(*pull.Snapshot){changed(pull.File{Path: "a"})}, carol, False, "", 0},
		{"nobody that GitHub names", []func(*pull.Snapshot){changed(pull.File{Path: "a"})}, pull.Actor{Login: "bob"}, False, "", 0},
		{"of one file of two", []func(*pull.Snapshot){changed(pull.File{Path: "docs/a"}, pull.File{Path: "a"})}, bob, True, "", 1},
		{"a team, not looked up", []func(*pull.Snapshot){changed(pull.File{Path: "docs/a"})}, carol, Unknown, "", 1},
		{"a team's member", []func(*pull.Snapshot){changed(pull.File{Path: "docs/a"}), team(pull.Team{Members: []pull.Actor{alice, carol}})}, carol, True, "", 0},
		{"no member", []func(*pull.Snapshot){changed(pull.File{Path: "docs/a"}), team(pull.Team{Members: []pull.Actor{alice}})}, carol, False, "", 0},
		{"a team that can't be seen", []func(*pull.Snapshot){changed(pull.File{Path: "docs/a"}), team(pull.Team{Missing: "there is no such team"})}, carol, Unknown, "there is no such team", 0},
		{"an address", []func(*pull.Snapshot){changed(pull.File{Path: "mail/a"})}, carol, Unknown, "CODEOWNERS names x@example.com, and only GitHub knows whose address that is", 0},
		{"of a listed file of many more", []func(*pull.Snapshot){changed(pull.File{Path: "a"}), func(s *pull.Snapshot) { s.FilesTruncated = true }}, bob, True, "", 0},
		{"of no listed file of many more", []func(*pull.Snapshot){changed(pull.File{Path: "a"}), func(s *pull.Snapshot) { s.FilesTruncated = true }}, carol, Unknown, "GitHub lists only 1 of the 1 changed files", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := world(append([]func(*pull.Snapshot){withOwners(file)}, tt.change...)...)
			f := newFacts(must(t, "version: 1\n"), &s, &pull.Memory{}, noon)
			got, why := f.owns(tt.who)
			if got != tt.want || why != tt.why || len(f.needs) != tt.needs {
				t.Errorf("owns(%s) = %s, %q with %d needs, want %s, %q with %d", tt.who.Login, got, why, len(f.needs), tt.want, tt.why, tt.needs)
			}
		})
	}
}

// TestOwnersTooMany: a file that would take long (minutes, this one) is not gone through, and nobody is taken for an owner.
func TestOwnersTooMany(t *testing.T) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "*%d*/*x @bob\n", i)
	}
	s := world(withOwners(text.String()))
	s.Files = nil
	for i := range 3000 {
		s.Files = append(s.Files, pull.File{Path: fmt.Sprintf("some/where/in/the/tree/file%d.go", i)})
	}
	f := newFacts(must(t, "version: 1\n"), &s, &pull.Memory{}, noon)
	_, result, why := f.ownership()
	if result != Unknown || why != ".github/CODEOWNERS has too many lines to be gone through for so many files" {
		t.Errorf("ownership() = %s, %q, want it unknown", result, why)
	}
}

// BenchmarkOwnership finds the owners of 3,000 files by 500 lines of every kind.
func BenchmarkOwnership(b *testing.B) {
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "/area%d/ @o%d\n*.e%d @o%d\nname%d/ @o%d\n**/deep%d/**/*.go @o%d\n/*/x%d*/ @o%d\n", i, i, i, i, i, i, i, i, i, i)
	}
	s := world(withOwners(text.String()))
	s.Files = nil
	for i := range 3000 {
		s.Files = append(s.Files, pull.File{Path: fmt.Sprintf("area%d/some/where/deep%d/in/the/tree/file%d.go", i%150, i%77, i)})
	}
	p := must(b, "version: 1\n")
	for b.Loop() {
		f := newFacts(p, &s, &pull.Memory{}, noon)
		if groups, result, _ := f.ownership(); result != True || len(groups) == 0 {
			b.Fatal("no owners")
		}
	}
}
