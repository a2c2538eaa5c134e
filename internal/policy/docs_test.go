package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	jschema "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

const (
	manual = "../../docs/policy.md"
	schema = "../../docs/pr-manager.schema.json"
)

var fence = regexp.MustCompile("(?ms)^```(yaml|yaml wrong|text)\n(.*?)^```$")

// TestManual executes docs/policy.md: every example is a valid policy, or is marked as wrong and followed by exactly what
// is said about it; every variable of the environment and every key is described.
func TestManual(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	right, wrong := 0, 0
	blocks := fence.FindAllSubmatch(text, -1)
	for i, b := range blocks {
		kind, body := string(b[1]), b[2]
		switch kind {
		case "yaml":
			right++
			if _, problems := Parse(FileName, body); problems != nil {
				t.Errorf("the example\n%s\nis not valid:\n%v", body, problems)
			}
		case "yaml wrong":
			wrong++
			_, problems := Parse(FileName, body)
			if i+1 == len(blocks) || string(blocks[i+1][1]) != "text" {
				t.Errorf("the example\n%s\nis not followed by what is said of it", body)
			} else if want := string(blocks[i+1][2]); problems.Error()+"\n" != want {
				t.Errorf("of the example\n%s\nis said\n%v\nwant\n%s", body, problems, want)
			}
		}
	}
	if right < 8 || wrong < 3 {
		t.Errorf("found %d right and %d wrong examples: is the manual still written the way this test reads it?", right, wrong)
	}
	for _, row := range manualRows() {
		if !bytes.Contains(text, []byte("\n"+row+"\n")) {
			t.Errorf("the manual lacks the row\n%s", row)
		}
	}
	if want := fmt.Sprintf("version %d of the environment", EnvironmentVersion); !bytes.Contains(text, []byte(want)) {
		t.Errorf("the manual does not say %q", want)
	}
	for _, keys := range [][]string{
		approvalKeys[0],
		fileKeys, labelKeys, reviewerKeys, checksKeys, requiredKeys, mergeKeys, methodKeys, bodyKeys, freeKeys, deedKeys,
		{"bots"},
		commandKeys,
	} {
		for _, k := range keys {
			if !bytes.Contains(text, []byte("`"+k+"`")) {
				t.Errorf("the manual does not mention the key %q", k)
			}
		}
	}
}

// manualRows are the rows of the manual's tables of the environment.
func manualRows() []string {
	row := func(v Variable) string {
		return "| `" + v.Name + "` | " + strings.ReplaceAll(v.Type, "google.protobuf.", "") + " | " + v.Doc + " |"
	}
	var out []string
	for _, v := range Environment() {
		out = append(out, row(v))
	}
	for _, o := range Objects() {
		out = append(out, "**"+o.Name+"**")
		for _, v := range o.Fields {
			out = append(out, row(v))
		}
	}
	return out
}

// The words of commands are one list: in the table, in the vocabulary, in the section of the policy and in the manual.
func TestVerbsAreOneList(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range verbs {
		names = append(names, v.name)
		if !bytes.Contains(text, []byte("`/"+v.name)) {
			t.Errorf("the manual does not mention /%s", v.name)
		}
	}
	if diff := cmp.Diff(pull.Verbs, names); diff != "" {
		t.Errorf("pull.Verbs and the table (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(names, commandsKeys[1:]); diff != "" {
		t.Errorf("the table and the section commands (-want +got):\n%s", diff)
	}
}

// generated makes the JSON schema from the shape of the file.
func generated(t *testing.T) []byte {
	t.Helper()
	oneOrMany := func(one *jsonschema.Schema) *jsonschema.Schema {
		min := uint64(1)
		max := uint64(maxList)
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{one, {Type: "array", Items: one, MinItems: &min, MaxItems: &max}}}
	}
	long := uint64(maxText)
	var r jsonschema.Reflector
	r = jsonschema.Reflector{
		Anonymous: true, DoNotReference: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			number := &jsonschema.Schema{Type: "integer"} // is a text like any other: a login may be one
			switch t {
			case reflect.TypeFor[texts]():
				return oneOrMany(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", MaxLength: &long, Pattern: `\S`}, number}})
			case reflect.TypeFor[ranges]():
				return oneOrMany(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `^\s*(\d+\s*(\.\.)?|\d*\s*\.\.\s*\d+|\d+\s*\.\.\s*\d+)\s*$`}, number}})
			case reflect.TypeFor[share]():
				return &jsonschema.Schema{Type: "integer", Minimum: "1", Maximum: json.Number(fmt.Sprint(maxShares))}
			case reflect.TypeFor[commandShape]():
				who := oneOrMany(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", MaxLength: &long, Pattern: `\S`}, number}})
				who.OneOf[1].MinItems = nil // nobody
				field, _ := t.FieldByName("Allow")
				who.Description = field.Tag.Get("jsonschema_description")
				of := jsonschema.NewProperties()
				of.Set("allow", who)
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "object", Properties: of, AdditionalProperties: jsonschema.FalseSchema, Required: []string{"allow"}}, {Enum: []any{wordOff, false}}}}
			case reflect.TypeFor[ruleName]():
				name := uint64(maxRuleName)
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", MaxLength: &name}, {Type: "integer"}}}
			case reflect.TypeFor[allowed]():
				return oneOrMany(&jsonschema.Schema{Type: "string", Enum: []any{wordAuthor, wordContributors}})
			case reflect.TypeFor[vetoes]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{oneOrMany(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", MaxLength: &long, Pattern: `\S`}, number}}), {Const: false}}}
			case reflect.TypeFor[condition]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `\S`}, {Type: "boolean"}}}
			case reflect.TypeFor[words]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `\S`}, number}}
			case reflect.TypeFor[methods]():
				word := &jsonschema.Schema{Type: "string", Enum: wordsOf(methodNames)}
				choices := oneOrMany(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{word, r.ReflectFromType(reflect.TypeFor[methodShape]())}})
				choices.OneOf[0] = word // a single one needs no condition
				return choices
			case reflect.TypeFor[bodyShape]():
				two := uint64(2)
				between := &jsonschema.Schema{Type: "object", Required: []string{"between"}, AdditionalProperties: jsonschema.FalseSchema, Properties: jsonschema.NewProperties()}
				between.Properties.Set("between", &jsonschema.Schema{Type: "array", MinItems: &two, MaxItems: &two, Items: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `\S`}, number}}})
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Enum: wordsOf([]string{string(fromPull), string(fromCommits), string(fromNowhere)})}, between}}
			case reflect.TypeFor[required]():
				return oneOrMany(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `\S`}, number, r.ReflectFromType(reflect.TypeFor[requiredShape]())}})
			case reflect.TypeFor[deeds]():
				one := uint64(1)
				mapping := r.ReflectFromType(reflect.TypeFor[deedShape]())
				mapping.MinProperties, mapping.MaxProperties = &one, &one
				return oneOrMany(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Enum: wordsOf(deedWords)}, mapping}})
			}
			return nil
		},
	}
	s := r.Reflect(fileShape{})
	s.ID = "https://raw.githubusercontent.com/brandonlacoste9-tech/github-pr-manager/main/docs/pr-manager.schema.json"
	s.Title = "Policy of GitHub PR Manager (.github/pr-manager.yml)"
	if labels, ok := s.Properties.Get("labels"); ok {
		// `labels:` with nothing under it is an empty section.
		one := uint64(1)
		labels.AdditionalProperties.MinProperties = &one
		*labels = jsonschema.Schema{Description: labels.Description, AnyOf: []*jsonschema.Schema{{Type: "object", AdditionalProperties: labels.AdditionalProperties}, {Type: "null"}}}
	}
	if commands, ok := s.Properties.Get("commands"); ok {
		*commands = jsonschema.Schema{Description: commands.Description, AnyOf: []*jsonschema.Schema{{Type: "object", Properties: commands.Properties, AdditionalProperties: commands.AdditionalProperties}, {Type: "null"}, {Enum: []any{wordOff, false}}}}
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(orNumbers(text), '\n')
}

// orNumbers lets a schema take a whole number wherever it takes any text: to the parser it is one, as a login may be.
func orNumbers(schema []byte) []byte {
	const text = `"type": "string"`
	var out []byte
	for {
		before, after, found := bytes.Cut(schema, []byte(text))
		out = append(out, before...)
		if !found {
			return out
		}
		if next := bytes.TrimLeft(bytes.TrimPrefix(after, []byte(",")), " \n"); bytes.HasPrefix(next, []byte(`"enum"`)) {
			out = append(out, text...)
		} else {
			out = append(out, `"type": ["string", "integer"]`...)
		}
		schema = after
	}
}

// wordsOf are the values that an enumeration allows.
func wordsOf(list []string) []any {
	var out []any
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

// TestSchemaIsCurrent keeps docs/pr-manager.schema.json at what the Go types say; -update writes it.
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
		t.Errorf("%s is not current: run go test ./internal/policy -run Schema -update", schema)
	}
}

// TestSchemaAcceptsWhatTheParserAccepts: an editor never underlines a valid policy; and it sees what is plainly wrong.
func TestSchemaAcceptsWhatTheParserAccepts(t *testing.T) {
	compiler := jschema.NewCompiler()
	parsed, err := jschema.UnmarshalJSON(bytes.NewReader(generated(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("policy.json", parsed); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text []byte) error {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		v, err = jschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	examples := [][]byte{[]byte(everything), []byte(labelled), []byte("version: 1\nlabels:\n"), []byte("version: 1\ncommands:\n"), []byte("version: 1\ncommands: off\n"), []byte("version: 1\ncommands: { bots: 'x[bot]', close: off, help: false, merge: { allow: [] }, why: { allow: [read, author] } }\n"), []byte("version: 1\nlabels: { 1: { author: 123, lines: [1, ..5, 6..] }, x: { if: true } }\n")}
	for _, b := range fence.FindAllSubmatch(text, -1) {
		if string(b[1]) == "yaml" {
			examples = append(examples, b[2])
		}
	}
	for _, e := range examples {
		if err := valid(e); err != nil {
			t.Errorf("the schema refuses\n%s\n%v", e, err)
		}
	}
	for _, bad := range []string{"mode: active\n", "version: 2\n", "version: 1\nmerg: {}\n", "version: 1\nmode: dryrun\n", "version: 1\nlabels: { a: {} }\n", "version: 1\nlabels: { a: { file: x } }\n", "version: 1\nmerge: { method: squash }\n", "version: 1\nmerge: { if: true, method: sqash }\n", "version: 1\nlabels: { a: { lines: many } }\n", "version: 1\nlabels: { a: { files: [] } }\n", "version: 1\nchecks: { none-expected: 'yes' }\n", "version: 1\ncommands: on\n", "version: 1\ncommands: { merg: off }\n", "version: 1\ncommands: { merge: {} }\n", "version: 1\ncommands: { merge: { allow: ' ' } }\n"} {
		if valid([]byte(bad)) == nil {
			t.Errorf("the schema accepts\n%s", bad)
		}
	}
}
