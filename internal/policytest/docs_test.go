package policytest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	jschema "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

var update = flag.Bool("update", false, "rewrite the generated files with what the code says now")

const (
	manual  = "../../docs/policy.md"
	recipes = "../../docs/recipes.md"
	schema  = "../../docs/pr-manager.test.schema.json"
)

var fence = regexp.MustCompile("(?ms)^```(yaml|yaml test)\n(.*?)^```$")

// TestManual executes the tests in docs/policy.md: each stands below the example that it is of.
func TestManual(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	if n := executeTests(t, manual, text); n < 3 {
		t.Errorf("the manual has %d examples with tests: is it still written the way this test reads it?", n)
	}
}

// executeTests runs every block of tests in a page against the policy above it, and returns how many blocks there were.
func executeTests(t *testing.T, page string, text []byte) int {
	t.Helper()
	var above []byte
	n := 0
	for _, b := range fence.FindAllSubmatchIndex(text, -1) {
		kind, body := string(text[b[2]:b[3]]), text[b[4]:b[5]]
		if kind == "yaml" {
			above = body
			continue
		}
		n++
		line := bytes.Count(text[:b[4]], []byte("\n")) + 1
		if !bytes.HasPrefix(body, []byte("version:")) {
			body = append([]byte("version: 1\n"), body...) // said once above the first one
		}
		p, problems := policy.Parse(policy.FileName, above)
		if problems != nil {
			t.Errorf("%s:%d: the policy above is not valid: %v\n%s", page, line, problems, above)
			continue
		}
		s, problems := Read("test", body)
		if problems != nil {
			t.Errorf("%s:%d: the tests can't be read: %v\n%s", page, line, problems, body)
			continue
		}
		for _, r := range s.Run(p.Effective()) {
			if !r.Holds {
				t.Errorf("%s:%d: %s: %v\n%s", page, line, r.Name, r.Failures, above)
			}
		}
	}
	return n
}

// generated makes the JSON schema of a file of tests from its shapes.
func generated(t *testing.T) []byte {
	t.Helper()
	text := func() *jsonschema.Schema { return &jsonschema.Schema{Type: "string"} }
	null := &jsonschema.Schema{Type: "null"}
	many := func(one *jsonschema.Schema) *jsonschema.Schema {
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{one, {Type: "array", Items: one}, null}}
	}
	oneOf := func(words []string) *jsonschema.Schema {
		s := &jsonschema.Schema{Type: "string"}
		for _, w := range words {
			s.Enum = append(s.Enum, w)
		}
		return s
	}
	var r jsonschema.Reflector
	mapping := func(shape reflect.Type, more ...*jsonschema.Schema) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{AnyOf: append(more, r.ReflectFromType(shape))}}
	}
	r = jsonschema.Reflector{
		Anonymous: true, DoNotReference: true,
		Mapper: func(at reflect.Type) *jsonschema.Schema {
			switch at {
			case reflect.TypeFor[words]():
				return many(text())
			case reflect.TypeFor[choice]():
				s := oneOf(mergeChoices[2:])
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "boolean"}}}
			case reflect.TypeFor[doubt]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{oneOf([]string{"unknown"}), {Type: "boolean"}}}
			case reflect.TypeFor[[]thread]():
				return many(r.ReflectFromType(reflect.TypeFor[thread]()))
			case reflect.TypeFor[[]commit]():
				return many(r.ReflectFromType(reflect.TypeFor[commit]()))
			case reflect.TypeFor[[]int]():
				return many(&jsonschema.Schema{Type: "integer"})
			case reflect.TypeFor[moment]():
				return &jsonschema.Schema{Type: "string"}
			case reflect.TypeFor[entries]():
				names := mapping(reflect.TypeFor[statement](), text())
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{names, text(), {Type: "array", Items: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{text(), names}}}, null}}
			case reflect.TypeFor[[]entries]():
				return many(mapping(reflect.TypeFor[statement](), text()))
			case reflect.TypeFor[files]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{many(text()), mapping(reflect.TypeFor[file](), &jsonschema.Schema{Type: "integer"}, null)}}
			case reflect.TypeFor[checks]():
				words := oneOf(wordsIn(checkStates))
				one := mapping(reflect.TypeFor[check](), words)
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{words, one, {Type: "array", Items: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{words, one}}}, null}}
			case reflect.TypeFor[teams]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "object", AdditionalProperties: many(text())}, null}}
			}
			return nil
		},
	}
	s := r.Reflect(fileShape{})
	s.ID = "https://raw.githubusercontent.com/brandonlacoste9-tech/github-pr-manager/main/docs/pr-manager.test.schema.json"
	s.Title = "Unit tests of a policy of GitHub PR Manager (.github/pr-manager.test.yml)"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// TestSchemaIsCurrent keeps docs/pr-manager.test.schema.json at what the Go types say; -update writes it.
func TestSchemaIsCurrent(t *testing.T) {
	want := generated(t)
	if *update {
		if err := os.WriteFile(schema, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schema)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not current: run go test ./internal/policytest -run Schema -update", schema)
	}
}

// TestSchemaAcceptsTheTestsOfTheDocumentation: an editor underlines none of them; and it sees what is plainly wrong.
func TestSchemaAcceptsTheTestsOfTheDocumentation(t *testing.T) {
	parsed, err := jschema.UnmarshalJSON(bytes.NewReader(generated(t)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jschema.NewCompiler()
	if err := compiler.AddResource("test.json", parsed); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("test.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text []byte) error {
		v, problems := policy.ReadYAML("test", text, "a file of tests", MaxSize)
		if problems != nil {
			t.Fatal(problems)
		}
		asJSON, err := v.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(parsed)
	}
	n := 0
	for _, page := range []string{manual, recipes} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range fence.FindAllSubmatch(text, -1) {
			if string(b[1]) != "yaml test" {
				continue
			}
			n++
			body := b[2]
			if !bytes.HasPrefix(body, []byte("version:")) {
				body = append([]byte("version: 1\n"), body...)
			}
			if err := valid(body); err != nil {
				t.Errorf("the schema refuses\n%s\n%v", body, err)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d blocks of tests", n)
	}
	for _, bad := range []string{
		"version: 1\n", "cases: []\n", "version: 1\ncases: [{ given: {} }]\n", "version: 1\ncases: [{ expect: { stat: x } }]\n",
		"version: 1\ncases: [{ given: { checks: gren }, expect: { merge: true } }]\n", "version: 1\ncases: [{ given: { draft: 'yes' }, expect: { merge: true } }]\n",
		"version: 1\ncases: [{ expect: { state: odd } }]\n", "version: 1\ncases: [{ expect: { merge: sqash } }]\n",
	} {
		if valid([]byte(bad)) == nil {
			t.Errorf("the schema accepts\n%s", bad)
		}
	}
}

// TestManualNamesEveryKey: the manual describes every key of a case.
func TestManualNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range []reflect.Type{reflect.TypeFor[given](), reflect.TypeFor[expectation]()} {
		for i := range shape.NumField() {
			f := shape.Field(i)
			if key := keyOf(f); key != "" && !strings.Contains(string(text), "| `"+key+"` | "+f.Tag.Get("jsonschema_description")+" |") {
				t.Errorf("the manual lacks the row\n| `%s` | %s |", key, f.Tag.Get("jsonschema_description"))
			}
		}
	}
}
