package policy

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

var update = flag.Bool("update", false, "rewrite the golden files with what the code says now")

// TestProblems holds what every kind of broken policy says, against testdata/problems.txtar.
func TestProblems(t *testing.T) {
	const file = "testdata/problems.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		given, want := archive.Files[i], &archive.Files[i+1]
		if want.Name != "=" {
			t.Fatalf("%s: the file %q is not followed by its problems but by %q", file, given.Name, want.Name)
		}
		t.Run(given.Name, func(t *testing.T) {
			p, problems := Parse(FileName, given.Data)
			if p != nil || len(problems) == 0 {
				t.Fatalf("Parse = %v, %v, want problems and no policy", p, problems)
			}
			got := problems.Error() + "\n"
			if *update {
				want.Data = []byte(got)
				return
			}
			if got != string(want.Data) {
				t.Errorf("Parse said\n%s\nwant\n%s", got, want.Data)
			}
			for _, p := range problems {
				if !strings.HasSuffix(p.Message, ".") || (p.Hint != "" && !strings.ContainsAny(p.Hint[len(p.Hint)-1:], ".?")) || strings.Contains(p.Message, "%!") || strings.Contains(p.Hint, "%!") {
					t.Errorf("%q is not a sentence", p.Message)
				}
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParseAccepts(t *testing.T) {
	tests := map[string]string{
		"the least":               "version: 1",
		"a document marker":       "---\nversion: 1\n",
		"a byte order mark":       "\ufeffversion: 1\n",
		"carriage returns":        "version: 1\r\nlabels:\r\n  a: { lines: 1.. }\r\n",
		"json":                    `{"version": 1, "merge": {"if": "approved && checks.green", "method": "squash"}}`,
		"odd names of labels":     "version: 1\nlabels:\n  1: { lines: 1 }\n  true: { lines: 1 }\n  \"a: b\": { lines: 1 }\n  size/L: { lines: 1 }\n  ünï: { lines: 1 }\n",
		"single values and lists": "version: 1\nlabels:\n  a: { files: x, lines: [..10, 20, 30..40, 500..], title: [a, b], branch: main, author: [alice, 'dependabot[bot]'] }\n",
		"a login of digits":       "version: 1\nlabels: { a: { author: 123 } }",
		"true as a condition":     "version: 1\nmerge: { if: true }",
		"an empty section":        "version: 1\nlabels:\n",
		"every key":               everything,
		"time":                    "version: 1\nmerge: { if: 'pr.created_at > timestamp(\"2026-01-31T00:00:00Z\") && pr.updated_at - pr.created_at < duration(\"36h\")' }",
		"one look at each file":   "version: 1\nmerge: { if: 'pr.files.all(f, f.matches(\"^(docs|site)/.*[.](md|txt)$\"))' }",
		"files against labels":    "version: 1\nmerge: { if: 'pr.labels.all(l, !pr.files.exists(f, f == l))' }",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			p, problems := Parse(FileName, []byte(text))
			if p == nil || problems != nil {
				t.Errorf("Parse = %v, %v, want a policy", p, problems)
			}
		})
	}
}

// everything uses every key of the format.
const everything = `
version: 1
mode: active
labels:
  documentation: { files: ["docs/**", "**/*.md", "!docs/internal/**"] }
  size/L: { lines: 500.. }
  fix: { title: "^fix(\\(.+\\))?: " }
  release: { branch: "release/**" }
  dependencies: { author: "dependabot[bot]" }
  needs-rebase: { if: pr.conflicting }
  big-docs: { files: "docs/**", lines: 100.., if: '!pr.draft' }
approvals:
  - { name: core, files: "core/**", lines: 10.., base: main, count: 2, from: ["@acme/core", maintain, carol], allow: contributors }
  - { name: bots, author: "dependabot[bot]", count: 0 }
  - name: everything else
    if: '!pr.fork'
    any:
      - { name: owners, from: codeowners, allow: [author, contributors] }
      - all: [{ from: [bob] }, { from: "@acme/docs", title: "^docs" }]
  - veto: ["@acme/core", write]
  - { veto: false, files: "docs/**" }
checks:
  none-expected: true
merge:
  if: approved && checks.green && !("hold" in pr.labels)
  method: squash
  delete-branch: true
`

func TestParseRefusesWhatIsNotText(t *testing.T) {
	tests := map[string]struct {
		text string
		want string
	}{
		"too large":     {strings.Repeat("#", MaxSize+1), "p.yml:1:1: The file has 65537 bytes; a policy may have 65536."},
		"not UTF-8":     {"version: 1\n# \xff\n", "p.yml:2:3: The file is not text here. Save it as UTF-8 without control characters."},
		"NUL":           {"version: 1\x00\n", "p.yml:1:11: The file is not text here. Save it as UTF-8 without control characters."},
		"escape":        {"version: 1 # \x1b[31m\n", "p.yml:1:14: The file is not text here. Save it as UTF-8 without control characters."},
		"many labels":   {"version: 1\nlabels:\n" + numbered("  l%d: { lines: 1 }\n", 201), "p.yml:203:3: There are 201 labels; at most 200 are possible."},
		"a long list":   {"version: 1\nlabels: { a: { files: [" + numbered("f%d,", 501) + "] } }", "p.yml:2:23: files has 501 entries; at most 500 are possible."},
		"a long regexp": {"version: 1\nlabels: { a: { title: " + strings.Repeat("x", 1001) + " } }", "p.yml:2:23: This is longer than 1000 characters."},
		"a long condition": {
			"version: 1\nmerge: { if: 'pr.title == \"" + strings.Repeat("x", 2000) + "\"' }",
			"p.yml:2:15: The condition is longer than 2000 characters.",
		},
		"a nested condition": {
			"version: 1\nmerge: { if: '" + strings.Repeat("(", 300) + "approved" + strings.Repeat(")", 300) + "' }",
			"p.yml:2:15: The condition is nested too deeply or too long.",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, problems := Parse("p.yml", []byte(tt.text))
			if p != nil || len(problems) != 1 || problems[0].String() != tt.want {
				t.Errorf("Parse = %v, %v, want %s", p, problems, tt.want)
			}
		})
	}
}

// TestProblemsAreBounded: a file that is wrong everywhere says so in a page.
func TestProblemsAreBounded(t *testing.T) {
	_, problems := Parse("p.yml", []byte("version: 1\n"+numbered("key%d: 1\n", 3000)))
	if len(problems) != maxProblems+1 || problems[maxProblems].Message != "There are 2980 more problems." {
		t.Errorf("Parse gives %d problems, the last %q, want %d and a count of the rest", len(problems), problems[len(problems)-1], maxProblems+1)
	}
}

// longToParse are files that take a parser long, if anything does.
var longToParse = map[string]string{
	"brackets":     strings.Repeat("[", MaxSize),
	"braces":       strings.Repeat("{a: ", MaxSize/4),
	"dashes":       strings.Repeat("- ", MaxSize/2),
	"questions":    strings.Repeat("? ", MaxSize/2),
	"anchors":      strings.Repeat("&a ", MaxSize/3),
	"aliases":      strings.Repeat("*a ", MaxSize/3),
	"tags":         strings.Repeat("!a ", MaxSize/3),
	"keys":         numbered("k%d: 1\n", 6000),
	"indentation":  indented(300),
	"quotes":       strings.Repeat("'", MaxSize-1),
	"one line":     "version: " + strings.Repeat("x ", MaxSize/2-10),
	"conditions":   "version: 1\nlabels:\n" + numbered("  l%d: { if: 'approved && checks.green && pr.files.exists(f, f.startsWith(\"docs/\")) && pr.lines < 500 && !pr.draft' }\n", 200),
	"alternatives": "version: 1\nlabels: { a: { files: '" + strings.Repeat("{a,b}", 190) + "' } }",
	"a long chain": "version: 1\nmerge: { if: '" + strings.Repeat("approved&&", 190) + "approved' }",
	"literal":      "version: 1\nmerge:\n  if: |\n" + strings.Repeat("    approved ||\n", 4000),
	"comments":     strings.Repeat("# x\n", MaxSize/4),
	"empty keys":   strings.Repeat(": \n", MaxSize/3),
	"flow list":    "a: [" + strings.Repeat("1,", MaxSize/2-10) + "]",
}

// TestParseTheWorst: whatever a file holds, it is a policy or has problems that say where.
func TestParseTheWorst(t *testing.T) {
	for name, text := range longToParse {
		t.Run(name, func(t *testing.T) {
			p, problems := Parse("p.yml", []byte(text[:min(len(text), MaxSize)]))
			if (p == nil) == (len(problems) == 0) || len(problems) > maxProblems+1 {
				t.Errorf("Parse gives %v and %d problems, want one of the two", p, len(problems))
			}
		})
	}
}

// BenchmarkParseTheWorst reads them: each takes a tenth of a second at most, the 200 long conditions some tenths.
func BenchmarkParseTheWorst(b *testing.B) {
	for name, text := range longToParse {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Parse("p.yml", []byte(text[:min(len(text), MaxSize)]))
			}
		})
	}
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func indented(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func doc(text string) pull.Document {
	return pull.Document{Found: true, Path: "octo/.github/.github/pr-manager.yml@main", OID: pull.SHA(fmt.Sprintf("%x", text)), Text: text}
}

func TestResolve(t *testing.T) {
	none := pull.Document{}
	own := doc("version: 1\nlabels: { mine: { lines: 1.. } }\n")
	broken := doc("version: 1\nlables: {}\n")
	defaults := doc("version: 1\nmode: dry-run\nlabels: { theirs: { lines: 1.. } }\nmerge: { if: approved }\nchecks: { none-expected: true }\n")
	tests := []struct {
		name           string
		repo, def, old pull.Document
		seen           bool
		labels         string
		found, merges  bool
		last, hold     bool
		newly          bool
		mode           Mode
		problem        string
	}{
		{name: "nothing", repo: none},
		{name: "own", repo: own, labels: "mine", found: true, newly: true, mode: Active},
		{name: "own, known", repo: own, old: own, labels: "mine", found: true, mode: Active},
		{name: "own over defaults", repo: own, def: defaults, labels: "mine", found: true, merges: true, newly: true, mode: DryOnly},
		{name: "defaults alone", def: defaults, labels: "theirs", found: true, merges: true, mode: DryOnly},
		{name: "own mode wins", repo: doc("version: 1\nmode: active\n"), def: defaults, labels: "theirs", found: true, merges: true, newly: true, mode: Active},
		{name: "an empty section is a section", repo: doc("version: 1\nlabels: {}\n"), def: defaults, labels: "", found: true, merges: true, newly: true, mode: DryOnly},
		{name: "broken, none before", repo: broken, found: true, problem: `A policy has no key "lables". Did you mean "labels"?`},
		{name: "broken, one before", repo: broken, old: own, labels: "mine", found: true, last: true, mode: Active, problem: `.github/pr-manager.yml:2:1: A policy has no key "lables".`},
		{name: "broken, broken before", repo: broken, old: doc("version: 3"), found: true, problem: "lables"},
		{name: "broken, defaults do not step in", repo: broken, def: defaults, found: true, problem: "lables"},
		{name: "broken over defaults, one before", repo: broken, def: defaults, old: own, labels: "mine", found: true, merges: true, last: true, mode: DryOnly, problem: "lables"},
		{name: "unreadable", repo: pull.Document{Found: true, Unreadable: "it is a binary file"}, old: own, labels: "mine", found: true, last: true, mode: Active, problem: "The file can't be read: it is a binary file."},
		{name: "defaults gone", repo: own, seen: true, labels: "mine", found: true, hold: true, newly: true, mode: Active},
		{name: "defaults gone, nothing else", seen: true, found: true, hold: true},
		{name: "defaults broken", repo: own, def: broken, labels: "mine", found: true, hold: true, newly: true, mode: Active, problem: "octo/.github/.github/pr-manager.yml@main:2:1: "},
		{name: "defaults broken, nothing else", def: broken, found: true, hold: true, problem: "lables"},
		{name: "the file was deleted", old: own},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := Resolve(tt.repo, tt.def, tt.old, tt.seen)
			labels, merges := "", false
			if e.Policy != nil {
				labels, merges = strings.Join(e.Policy.Labels(), ","), e.Policy.Merges()
			}
			got := fmt.Sprint(labels, e.Source.Found, merges, e.Source.UsingLast, e.hold != nil, e.NewlyValid != nil, e.Source.Mode)
			want := fmt.Sprint(tt.labels, tt.found, tt.merges, tt.last, tt.hold, tt.newly, tt.mode)
			if got != want {
				t.Errorf("Resolve = %s, want %s", got, want)
			}
			if (tt.problem == "") != (e.Problem() == "") || !strings.Contains(e.Problem(), tt.problem) {
				t.Errorf("Problem = %q, want %q", e.Problem(), tt.problem)
			}
			if want := tt.seen || tt.def.Found; e.DefaultsSeen != want {
				t.Errorf("DefaultsSeen = %v, want %v", e.DefaultsSeen, want)
			}
		})
	}
}

func TestGlobs(t *testing.T) {
	tests := []struct {
		files string
		path  string
		want  bool
	}{
		{"docs/**", "docs/a/b.md", true},
		{"docs/**", "docs", true}, // doublestar: ** also stands for nothing
		{"docs/**", "mydocs/a", false},
		{"*.md", "README.md", true},
		{"*.md", "docs/a.md", false},
		{"**/*.md", "README.md", true},
		{"**/*.md", "docs/a.md", true},
		{"[docs/**, '!docs/internal/**']", "docs/internal/x", false},
		{"[docs/**, '!docs/internal/**']", "docs/x", true},
		{"['!docs/**']", "src/x", true},
		{"['!docs/**']", "docs/x", false},
		{"'*.{js,ts}'", "a.ts", true},
		{"'Docs/**'", "docs/a", false},
		{"'[a-c]*'", "b.txt", true},
		{`'\*'`, "*", true},
		{`'\*'`, "x", false},
		{"**", ".hidden/x", true},
	}
	for _, tt := range tests {
		files := tt.files
		if strings.HasPrefix(files, "*") {
			files = "'" + files + "'"
		}
		p, problems := Parse("p", []byte("version: 1\nlabels: { x: { files: "+files+" } }"))
		if problems != nil {
			t.Fatalf("Parse(%s): %v", tt.files, problems)
		}
		if got := p.labels[0].files.match(tt.path); got != tt.want {
			t.Errorf("files %s match(%q) = %v, want %v", tt.files, tt.path, got, tt.want)
		}
	}
}
