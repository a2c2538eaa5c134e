package policy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	jschema "github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/tools/txtar"
)

// An editor goes by docs/pr-manager.schema.json, the service by the parser. Whatever the parser accepts, the schema accepts:
// nobody is shown a mistake in a policy that is in force. What only the parser can refuse is the list parserOnly, and nothing
// beyond it. Both are held over thousands of policies, made from those of the documentation by changing them at random.

// parserOnly are the problems that a schema of JSON can't express, each with the words of its message. docs/policy.md has the
// same list in words (TestManualSaysWhatOnlyTheParserSees).
var parserOnly = []struct{ what, message string }{
	{"YAML", `is there twice; the first is on line|nested too deeply|The file has \d+ bytes`},
	{"conditions", `[Cc]ondition|CEL|is not expected here|does not work with|There is nothing called|has no field|^This is not a valid (regular expression|time|duration)\.|This needs to be|looks through lists|is not valid here|of hours|^The hours |is not a day|There is no time zone|[Ss]chedule|checks\.by takes|is not a permission|has no fields|There is no field|Things can't be made`},
	{"globs", `is not a valid glob|has more than \d+ alternatives|Paths begin at the root|Only files have paths|There is no pattern after the !`},
	{"regular expressions", `is not a valid regular expression`},
	{"ranges", `ends before it begins|is too large a number|is not a range of lines`},
	{"people", `can't stand here|can't be the login|can't be asked for a review|can't be assigned|looks like a misspelt word|is not a word for anybody|is a team|names nobody|A login is written without|Teams such as|said by allow`},
	{"approvals", `asks for no approval|any or all, not both|approvals has more than|^This asks for \d+ approvals|so it can't ask for|has no rule that asks`},
	{"labels", `A label's name has|GitHub allows no comma|is not a colour`},
	{"names", `There are two rules|Two rules have the name`},
	{"methods", `What follows a method without a condition|The last method of the list`},
	{"bounds", `A mark has|A rule's name has|A name has at most|at most \d+ are possible|is longer than \d+ characters`},
}

func schemaOf(t testing.TB, text []byte) *jschema.Schema {
	t.Helper()
	parsed, err := jschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jschema.NewCompiler()
	if err := compiler.AddResource("policy.json", parsed); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asEditors validates YAML as an editor does; readable is whether it is YAML at all.
func asEditors(t testing.TB, s *jschema.Schema, text []byte) (readable bool, refused error) {
	t.Helper()
	v, problems := ReadYAML(FileName, text, "a policy", MaxSize)
	if problems != nil {
		return false, nil
	}
	asJSON, err := v.MarshalJSON()
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	parsed, err := jschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatalf("%s: %s: %v", text, asJSON, err)
	}
	return true, s.Validate(parsed)
}

// corpus are policies to begin with: those of the documentation and of the scenarios, and the ones with every key.
func corpus(t testing.TB) [][]byte {
	t.Helper()
	out := [][]byte{[]byte(everything), []byte(labelled)}
	for _, file := range []string{manual, "../../docs/recipes.md", "../../README.md"} {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range fence.FindAllSubmatch(text, -1) {
			if string(b[1]) == "yaml" && bytes.Contains(b[2], []byte("version: 1")) {
				out = append(out, b[2])
			}
		}
	}
	scripts, err := filepath.Glob("../../scenario/testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		a, err := txtar.ParseFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if strings.HasSuffix(f.Name, ".yml") && bytes.Contains(f.Data, []byte("version: 1")) {
				out = append(out, f.Data)
			}
		}
	}
	return out
}

// TestTheSchemaAcceptsWhatTheParserAccepts changes policies at random, tens of thousands of times.
func TestTheSchemaAcceptsWhatTheParserAccepts(t *testing.T) {
	s := schemaOf(t, generated(t))
	var trees []Value
	for _, text := range corpus(t) {
		v, problems := ReadYAML(FileName, text, "a policy", MaxSize)
		if problems == nil {
			trees = append(trees, v)
		}
		agree(t, s, text)
	}
	if len(trees) < 10 {
		t.Fatalf("only %d policies to begin with", len(trees))
	}
	n := 5_000
	if testing.Short() {
		n = 1_500
	}
	r := rand.New(rand.NewPCG(1, 2))
	accepted, onlyParser := 0, 0
	for range n {
		v := copyOf(trees[r.IntN(len(trees))])
		for range 1 + r.IntN(3) {
			v = mutate(r, v, trees)
		}
		switch agree(t, s, []byte(strings.TrimPrefix(yamlOf(v, "", false)+"\n", "\n"))) {
		case "accepted":
			accepted++
		case "parser":
			onlyParser++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d policies: both accept %d, only the parser refuses %d", n, accepted, onlyParser)
	if accepted < n/20 || onlyParser < n/1000 {
		t.Errorf("of %d policies %d are accepted and %d refused by the parser only: are they still changed as meant?", n, accepted, onlyParser)
	}
}

// agree holds parser and schema to each other over one policy.
func agree(t testing.TB, s *jschema.Schema, text []byte) string {
	t.Helper()
	_, problems := Parse(FileName, text)
	readable, refused := asEditors(t, s, text)
	switch {
	case problems == nil && refused != nil:
		t.Errorf("the schema refuses what the parser accepts:\n%s\n%v", text, refused)
	case problems == nil:
		return "accepted"
	case readable && refused == nil:
		for _, p := range problems {
			if !slices.ContainsFunc(parserOnly, func(o struct{ what, message string }) bool {
				return regexp.MustCompile(o.message).MatchString(p.Message)
			}) {
				t.Errorf("the schema accepts this, and what the parser says of it is not among what only the parser sees:\n%s\n%s", text, p)
			}
		}
		return "parser"
	}
	return ""
}

// TestWhatOnlyTheParserSees: each kind on the list is met by some policy that the schema accepts, so that the list holds
// nothing which it need not.
func TestWhatOnlyTheParserSees(t *testing.T) {
	s := schemaOf(t, generated(t))
	a, err := txtar.ParseFile("testdata/problems.txtar")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	note := func(text []byte) {
		_, problems := Parse(FileName, text)
		if readable, refused := asEditors(t, s, text); refused != nil || (!readable && !strings.Contains(problems.Error(), "twice")) {
			return
		}
		for _, p := range problems {
			for _, o := range parserOnly {
				if regexp.MustCompile(o.message).MatchString(p.Message) {
					seen[o.what] = true
				}
			}
		}
	}
	for _, f := range a.Files {
		if f.Name != "=" {
			note(f.Data)
		}
	}
	for _, text := range []string{
		"version: 1\nlabels: { a: { files: '[' } }\n", "version: 1\nlabels: { a: { title: '(' } }\n", "version: 1\nlabels: { a: { lines: 10..5 } }\n",
		"version: 1\nlabels: { a: { author: 'a b' } }\n", "version: 1\nlabels: { 'a,b': { author: ab } }\n", "version: 1\nversion: 1\n",
		"version: 1\nrules: [{ name: a, do: merge }, { name: a, do: merge }]\n", "version: 1\nmerge: { if: approved, method: [squash, merge] }\n",
		"version: 1\nmerge: { if: nobody }\n", "version: 1\nlabels: {" + manyLabels(maxLabels+1) + "}\n",
	} {
		note([]byte(text))
	}
	for _, o := range parserOnly {
		if !seen[o.what] {
			t.Errorf("nothing that the schema accepts is refused by the parser for its %s", o.what)
		}
	}
}

func manyLabels(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "l%d: { lines: 1 },", i)
	}
	return b.String()
}

// TestManualSaysWhatOnlyTheParserSees: the manual has the list in words.
func TestManualSaysWhatOnlyTheParserSees(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range parserOnly {
		if !bytes.Contains(text, []byte("| "+o.what+" |")) {
			t.Errorf("the manual's table of what only the service sees lacks the row of %s", o.what)
		}
	}
}

// FuzzSchema: of any text, what the parser accepts the schema accepts.
func FuzzSchema(f *testing.F) {
	for _, text := range corpus(f) {
		f.Add(string(text))
	}
	var s *jschema.Schema
	f.Fuzz(func(t *testing.T, text string) {
		if s == nil {
			s = schemaOf(t, generated(t))
		}
		if _, problems := Parse(FileName, []byte(text)); problems != nil {
			return
		}
		if readable, refused := asEditors(t, s, []byte(text)); !readable || refused != nil {
			t.Errorf("the parser accepts this, and the schema does not (%v): %v\n%s", readable, refused, text)
		}
	})
}

func copyOf(v Value) Value {
	v.Keys, v.List = slices.Clone(v.Keys), slices.Clone(v.List)
	for i := range v.Keys {
		v.Keys[i].Value = copyOf(v.Keys[i].Value)
	}
	for i := range v.List {
		v.List[i] = copyOf(v.List[i])
	}
	return v
}

// mutate changes one place of a policy: another value, one from another policy, a key or entry more or less.
func mutate(r *rand.Rand, v Value, others []Value) Value {
	if r.IntN(4) > 0 {
		switch {
		case len(v.Keys) > 0:
			i := r.IntN(len(v.Keys))
			v.Keys[i].Value = mutate(r, v.Keys[i].Value, others)
			return v
		case len(v.List) > 0:
			i := r.IntN(len(v.List))
			v.List[i] = mutate(r, v.List[i], others)
			return v
		}
	}
	switch r.IntN(8) {
	case 0:
		return sample[r.IntN(len(sample))]
	case 1: // a part of another policy
		return copyOf(somePart(r, others[r.IntN(len(others))]))
	case 2: // in a list
		return Value{Kind: List, List: []Value{v}}
	case 3: // out of a list
		if len(v.List) > 0 {
			return v.List[r.IntN(len(v.List))]
		}
	case 4: // a key or entry less
		if n := len(v.Keys); n > 0 {
			i := r.IntN(n)
			v.Keys = slices.Delete(v.Keys, i, i+1)
		} else if n := len(v.List); n > 0 {
			i := r.IntN(n)
			v.List = slices.Delete(v.List, i, i+1)
		}
	case 5, 6: // a key of another policy, from the same or another place
		if v.Kind == Mapping {
			from := somePart(r, others[r.IntN(len(others))])
			for _, e := range from.Keys {
				if r.IntN(2) == 0 && !slices.ContainsFunc(v.Keys, func(k Entry) bool { return strings.EqualFold(k.Key, e.Key) }) {
					v.Keys = append(v.Keys, Entry{Key: e.Key, Value: copyOf(e.Value)})
				}
			}
		}
	case 7: // once more
		if len(v.List) > 0 {
			v.List = append(v.List, copyOf(v.List[r.IntN(len(v.List))]))
		}
	}
	return v
}

// somePart is some part of a policy.
func somePart(r *rand.Rand, v Value) Value {
	for range r.IntN(5) {
		switch {
		case len(v.Keys) > 0:
			v = v.Keys[r.IntN(len(v.Keys))].Value
		case len(v.List) > 0:
			v = v.List[r.IntN(len(v.List))]
		}
	}
	return v
}

var sample = []Value{
	{Kind: Empty},
	{Kind: Truth, Text: "true"},
	{Kind: Truth, Text: "false"},
	{Kind: Number, Text: "0"},
	{Kind: Number, Text: "1"},
	{Kind: Number, Text: "7"},
	{Kind: Number, Text: "1.5"},
	{Kind: Number, Text: "-3"},
	{Kind: Number, Text: "123456"},
	{Kind: Text, Text: ""},
	{Kind: Text, Text: " "},
	{Kind: Text, Text: "a"},
	{Kind: Text, Text: "docs/**"},
	{Kind: Text, Text: "!x"},
	{Kind: Text, Text: "@acme/backend"},
	{Kind: Text, Text: "octocat"},
	{Kind: Text, Text: "write"},
	{Kind: Text, Text: "author"},
	{Kind: Text, Text: "codeowners"},
	{Kind: Text, Text: "squash"},
	{Kind: Text, Text: "fast-forward"},
	{Kind: Text, Text: "approved"},
	{Kind: Text, Text: "5..10"},
	{Kind: Text, Text: "d73a4a"},
	{Kind: List},
	{Kind: Mapping},
	{Kind: Text, Text: strings.Repeat("x", 1001)},
}
