package policy

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestSettings: every key has its origin, and what is written is a policy that decides the same.
func TestSettings(t *testing.T) {
	own := pull.Document{Found: true, Path: ".github/pr-manager.yml", Text: `version: 1
labels:
  "1": { author: 123, lines: [1, ..5, 6..], title: "^fix: #" }
  docs: { files: ["docs/**", "**/*.md", "!docs/internal/**"] }
  "yes": { if: true }
checks:
`}
	defaults := pull.Document{Found: true, Path: "acme/.github/.github/pr-manager.yml@main", Text: `version: 1
labels: { other: { if: 'true' } }
merge:
  if: |
    approved
      && checks.green
  delete-branch: true
`}
	own.Text = strings.Replace(own.Text, "checks:\n", "", 1)
	settings, problems := Settings(own, defaults)
	if problems != nil {
		t.Fatal(problems)
	}
	origins := map[string]Origin{}
	for _, s := range settings {
		origins[s.Key] = s.Origin
	}
	if len(settings) != len(fileKeys) || origins["version"] != FromOwn || origins["labels"] != FromOwn || origins["merge"] != FromDefaults || origins["mode"] != FromBuiltIn {
		t.Errorf("Settings = %v", origins)
	}
	text := SettingsYAML(settings)
	for _, want := range []string{
		"version: 1  # .github/pr-manager.yml:1\n", "labels:  # .github/pr-manager.yml:2\n", `  docs: { files: ["docs/**", "**/*.md", "!docs/internal/**"] }` + "\n",
		"merge:  # acme/.github/.github/pr-manager.yml@main:3\n  if: |\n    approved\n      && checks.green\n  delete-branch: true\n", "# mode: active  (built in)\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	p, problems := Parse("effective.yml", []byte(text))
	if problems != nil {
		t.Fatalf("what is written is not a policy: %v\n%s", problems, text)
	}
	e := Resolve(own, defaults, pull.Document{}, false)
	for _, s := range []pull.Snapshot{world(), world(func(s *pull.Snapshot) { s.Title, s.Additions = "fix: #1", 3 })} {
		want, got := e.Evaluate(s, pull.Memory{}, noon), p.Evaluate(s, pull.Memory{}, noon)
		if a, b := sayings(want), sayings(got); a != b {
			t.Errorf("what is written decides\n%s\nwant\n%s", b, a)
		}
	}
	if _, err := json.Marshal(settings); err != nil {
		t.Error(err)
	}
}

// sayings is a decision without places in files.
func sayings(d Decision) string {
	v := d.Verdict
	v.Policy = Source{}
	var clean func(*Node)
	clean = func(n *Node) {
		if n == nil {
			return
		}
		n.Pos = Pos{}
		for _, c := range n.Children {
			clean(c)
		}
	}
	for i := range v.Rules {
		v.Rules[i].Pos = Pos{}
		clean(v.Rules[i].Condition)
	}
	return identity(v)
}

// TestSettingsOfTheManual: every example of the manual, written down again, is read as the same.
func TestSettingsOfTheManual(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, b := range fence.FindAllSubmatch(text, -1) {
		if string(b[1]) != "yaml" {
			continue
		}
		n++
		settings, problems := Settings(pull.Document{Found: true, Text: string(b[2])}, pull.Document{})
		if problems != nil {
			t.Fatal(problems)
		}
		again, problems := Settings(pull.Document{Found: true, Text: SettingsYAML(settings)}, pull.Document{})
		if problems != nil {
			t.Errorf("of\n%s\nis written\n%s\nwhich is not valid: %v", b[2], SettingsYAML(settings), problems)
			continue
		}
		want, _ := json.Marshal(values(settings))
		if got, _ := json.Marshal(values(again)); string(got) != string(want) {
			t.Errorf("of\n%s\nis read again\n%s\nwant\n%s", b[2], got, want)
		}
	}
	if n < 8 {
		t.Errorf("only %d examples", n)
	}
}

func values(settings []Setting) map[string]*Value {
	out := map[string]*Value{}
	for _, s := range settings {
		out[s.Key] = s.Value
	}
	return out
}

// TestBuiltInIsWhatIsSaid: what effective prints for a key that is left out is what its description says, and what is the
// case: written down, it decides the same.
func TestBuiltInIsWhatIsSaid(t *testing.T) {
	n := 0
	for _, shape := range []reflect.Type{
		reflect.TypeFor[fileShape](), reflect.TypeFor[reviewerShape](), reflect.TypeFor[approvalLeafShape](), reflect.TypeFor[approvalShape](),
		reflect.TypeFor[mergeShape](), reflect.TypeFor[commandsShape](),
	} {
		for _, f := range shapeFields(shape) {
			means := builtIn(f)
			if means == "" {
				continue
			}
			n++
			if about := f.Tag.Get("jsonschema_description"); !strings.Contains(about, means) && !strings.Contains(about, "ithout") && !strings.HasPrefix(about, "true:") {
				t.Errorf("%s: without it %q, of which its description says nothing: %s", jsonKey(f), means, about)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d keys say what holds without them", n)
	}
	for _, tt := range []struct{ without, with string }{
		{"merge: { if: approved }", "merge: { if: approved, update: never, delete-branch: false }"},
		{"mode: active", ""},
		{"reviewers: [{ from: [bob, carol] }]", "reviewers: [{ from: [bob, carol], count: 1, pick: round-robin, as: members }]"},
		{"approvals: [{ name: a }]", "approvals: [{ name: a, count: 1, from: write }]"},
	} {
		var got []string
		for _, text := range []string{tt.without, tt.with} {
			p, problems := Parse(FileName, []byte("version: 1\n"+text+"\n"))
			if problems != nil {
				t.Fatal(problems)
			}
			d := p.Evaluate(world(), pull.Memory{}, noon)
			d.Needs = nil
			got = append(got, sayings(d))
		}
		if got[0] != got[1] {
			t.Errorf("%s decides\n%s\nand %s\n%s", tt.without, got[0], tt.with, got[1])
		}
	}
}
