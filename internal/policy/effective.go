package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A Setting is one top-level key of the policy in force, and where it comes from.
type Setting struct {
	Key    string `json:"key"`
	Origin Origin `json:"origin"`
	Pos    Pos    `json:"pos,omitzero"`    // of the key; nowhere for what is built in
	Value  *Value `json:"value,omitempty"` // nil where nobody says anything
	// BuiltIn is what holds without the key, or for the keys inside it that are left out.
	BuiltIn []BuiltIn `json:"built_in,omitempty"`
}

// An Origin is where a setting comes from.
type Origin string

// The origins.
const (
	FromOwn      Origin = "own"      // the repository's own file
	FromDefaults Origin = "defaults" // the owner's defaults
	FromBuiltIn  Origin = "built-in" // nobody's file
)

// A BuiltIn is a key that a file leaves out, and what holds then.
type BuiltIn struct {
	Key   string `json:"key"`
	Means string `json:"means"`
}

// Settings returns every key of the policy that own and defaults come to, in the order of the manual. Both are valid, or
// not there.
func Settings(own, defaults pull.Document) ([]Setting, Problems) {
	var files []map[string]Entry
	for _, d := range []pull.Document{own, defaults} {
		entries := map[string]Entry{}
		if d.Found {
			v, problems := ReadYAML(or(d.Path, FileName), []byte(d.Text), "a policy", MaxSize)
			if problems != nil {
				return nil, problems
			}
			for _, e := range v.Keys {
				entries[e.Key] = e
			}
		}
		files = append(files, entries)
	}
	shape := reflect.TypeFor[fileShape]()
	var out []Setting
	for i := range shape.NumField() {
		f := shape.Field(i)
		key := jsonKey(f)
		s := Setting{Key: key, Origin: FromBuiltIn}
		for n, origin := range []Origin{FromOwn, FromDefaults} {
			if e, ok := files[n][key]; ok {
				s.Origin, s.Pos, s.Value = origin, e.Pos, &e.Value
				break
			}
		}
		if s.Value == nil {
			s.BuiltIn = []BuiltIn{{key, or(builtIn(f), "none")}}
			if within := leftOut(f.Type, Value{Kind: Mapping}); builtIn(f) == "" && len(within) > 0 {
				s.BuiltIn = within
				for i := range within {
					within[i].Key = key + "." + within[i].Key
				}
			}
		} else {
			s.BuiltIn = leftOut(f.Type, *s.Value)
		}
		out = append(out, s)
	}
	return out, nil
}

// jsonKey returns the key of a field in the file.
func jsonKey(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return key
}

// builtIn is what holds without a key: in a tag of its field, or in the words of its description after "Without it:".
func builtIn(f reflect.StructField) string {
	if means := f.Tag.Get("default"); means != "" {
		return means
	}
	_, means, _ := strings.Cut(f.Tag.Get("jsonschema_description"), "Without it: ")
	return strings.TrimSuffix(means, ".")
}

// leftOut returns what is built in for the keys that a value does not have: of a list or a mapping of rules, those that one
// of them does not have.
func leftOut(t reflect.Type, v Value) []BuiltIn {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Struct && v.Kind == Mapping:
		var out []BuiltIn
		for _, f := range shapeFields(t) {
			means := builtIn(f)
			if means == "" || slices.ContainsFunc(v.Keys, func(e Entry) bool { return e.Key == jsonKey(f) }) {
				continue
			}
			out = append(out, BuiltIn{jsonKey(f), means})
		}
		return out
	case t.Kind() == reflect.Slice && v.Kind == List:
		var out []BuiltIn
		for _, item := range v.List {
			out = append(out, leftOut(t.Elem(), item)...)
		}
		return distinct(out)
	case t.Kind() == reflect.Map && v.Kind == Mapping:
		var out []BuiltIn
		for _, e := range v.Keys {
			out = append(out, leftOut(t.Elem(), e.Value)...)
		}
		return distinct(out)
	}
	return nil
}

// shapeFields returns the fields of a shape, those of the shapes inside it among them.
func shapeFields(t reflect.Type) []reflect.StructField {
	var out []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			out = append(out, shapeFields(f.Type)...)
			continue
		}
		out = append(out, f)
	}
	return out
}

// SettingsYAML writes settings as a policy that says the same, with the origin of each key beside it.
func SettingsYAML(settings []Setting) string {
	var b strings.Builder
	for _, s := range settings {
		if s.Value == nil {
			for _, in := range s.BuiltIn {
				annotate(&b, "", in)
			}
			continue
		}
		origin := s.Pos
		origin.Column = 0
		text := yamlOf(*s.Value, "  ", false)
		if strings.HasPrefix(text, "\n") || strings.HasPrefix(text, "|") {
			head, rest, _ := strings.Cut(text, "\n")
			fmt.Fprintf(&b, "%s:%s  # %s\n%s\n", s.Key, spaced(head), oneLine(origin.String()), rest)
		} else {
			fmt.Fprintf(&b, "%s:%s  # %s\n", s.Key, spaced(text), oneLine(origin.String()))
		}
		for _, in := range s.BuiltIn {
			annotate(&b, "  ", in)
		}
	}
	return b.String()
}

func spaced(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}

func annotate(b *strings.Builder, indent string, in BuiltIn) {
	fmt.Fprintf(b, "%s# %s: %s  (built in)\n", indent, in.Key, in.Means)
}

// wide is how long a line may be before it is broken up.
const wide = 100

// yamlOf writes a value as YAML: what follows the colon of its key. Lines of its own are indented by indent, and come after a
// line break. small says that it may stand in one line.
func yamlOf(v Value, indent string, small bool) string {
	switch v.Kind {
	case Mapping, List:
		if line, ok := flow(v); ok && (small || v.Kind == List) && len(line) <= wide {
			return line
		}
		var lines []string
		for _, e := range v.Keys {
			lines = append(lines, "\n"+indent+yamlText(e.Key)+":"+after(yamlOf(e.Value, indent+"  ", true)))
		}
		for _, item := range v.List {
			text := yamlOf(item, indent+"  ", true)
			if item.Kind == Mapping && strings.HasPrefix(text, "\n") { // its first key beside the dash
				text = strings.TrimPrefix(text, "\n"+indent+"  ")
			}
			lines = append(lines, "\n"+indent+"- "+text)
		}
		if lines == nil {
			return map[ValueKind]string{Mapping: "{}", List: "[]"}[v.Kind]
		}
		return strings.Join(lines, "")
	case Text:
		if strings.Contains(v.Text, "\n") {
			if block, ok := literal(v.Text, indent); ok {
				return block
			}
		}
		return yamlText(v.Text)
	case Empty:
		return ""
	}
	return v.Text
}

func after(s string) string {
	if s == "" || strings.HasPrefix(s, "\n") {
		return s
	}
	return " " + s
}

// flow writes a value in one line, if it can.
func flow(v Value) (string, bool) {
	var parts []string
	switch v.Kind {
	case Mapping:
		for _, e := range v.Keys {
			text, ok := flow(e.Value)
			if !ok || e.Value.Kind == Mapping {
				return "", false
			}
			parts = append(parts, yamlText(e.Key)+": "+text)
		}
		if parts == nil {
			return "{}", true
		}
		return "{ " + strings.Join(parts, ", ") + " }", true
	case List:
		for _, item := range v.List {
			text, ok := flow(item)
			if !ok || item.Kind == Mapping {
				return "", false
			}
			parts = append(parts, text)
		}
		return "[" + strings.Join(parts, ", ") + "]", true
	case Text:
		return yamlText(v.Text), !strings.Contains(v.Text, "\n")
	case Empty:
		return "null", true
	}
	return v.Text, true
}

// literal writes lines as a block, if that keeps every character.
func literal(text, indent string) (string, bool) {
	head := "|-"
	body := text
	if strings.HasSuffix(text, "\n") {
		head, body = "|", strings.TrimSuffix(text, "\n")
	}
	if strings.HasSuffix(body, "\n") || strings.HasPrefix(body, " ") || strings.HasPrefix(body, "\n") {
		return "", false
	}
	lines := strings.Split(body, "\n")
	for i, l := range lines {
		if strings.TrimRight(l, " \t") != l || strings.HasPrefix(l, "\t") {
			return "", false
		}
		if l != "" {
			lines[i] = indent + l
		}
	}
	return head + "\n" + strings.Join(lines, "\n"), true
}

var (
	plainText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./+-]*( [A-Za-z0-9_./+-]+)*$`)
	yamlWords = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
)

// yamlText writes a text, in quotes where YAML could take it for something else.
func yamlText(s string) string {
	if plainText.MatchString(s) && !slices.Contains(yamlWords, strings.ToLower(s)) && !strings.HasSuffix(s, "-") {
		return s
	}
	if strings.ContainsAny(s, `"\`) && !strings.ContainsFunc(s, unicode.IsControl) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'" // easier on the eye than escapes
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil || !utf8.ValidString(s) {
		panic("policy: a text of a file is valid text") // unreachable: the reader refuses others
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// MarshalJSON writes a value as the JSON that says the same.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.Kind {
	case Mapping:
		var b strings.Builder
		b.WriteString("{")
		for i, e := range v.Keys {
			if i > 0 {
				b.WriteString(",")
			}
			key, err := json.Marshal(e.Key)
			if err != nil {
				return nil, err
			}
			value, err := e.Value.MarshalJSON()
			if err != nil {
				return nil, err
			}
			b.Write(key)
			b.WriteString(":")
			b.Write(value)
		}
		b.WriteString("}")
		return []byte(b.String()), nil
	case List:
		return json.Marshal(append([]Value{}, v.List...))
	case Truth:
		return []byte(strings.ToLower(v.Text)), nil
	case Empty:
		return []byte("null"), nil
	case Number:
		if json.Valid([]byte(v.Text)) {
			return []byte(v.Text), nil
		}
	}
	return json.Marshal(v.Text)
}
