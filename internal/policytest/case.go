package policytest

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// MaxSize is how many bytes a file of tests may have.
const MaxSize = 1 << 20

// maxCases bounds a file of tests.
const maxCases = 1000

// FileFor is where the tests of a policy stand: pr-manager.yml has pr-manager.test.yml beside it.
func FileFor(file string) string {
	for _, end := range []string{".yml", ".yaml"} {
		if base, ok := strings.CutSuffix(file, end); ok {
			return base + ".test" + end
		}
	}
	return file + ".test"
}

// A Suite is a file of tests.
type Suite struct {
	Cases []Case
}

// A Case is one test: a pull request and what is expected of the verdict about it.
type Case struct {
	Name   string
	Pos    policy.Pos
	given  given
	expect expectation
}

// fileShape is the file; the schema for editors is made from it.
type fileShape struct {
	Version int         `json:"version" jsonschema:"required,enum=1" jsonschema_description:"The version of this format. Always 1."`
	Given   given       `json:"given,omitempty" jsonschema_description:"What holds for every case that does not say otherwise."`
	Cases   []caseShape `json:"cases" jsonschema:"required" jsonschema_description:"The cases."`
}

type caseShape struct {
	Name   string      `json:"name,omitempty" jsonschema_description:"What is tested, in a few words."`
	Given  given       `json:"given,omitempty" jsonschema_description:"The pull request. What is not said is as with an ordinary one."`
	Expect expectation `json:"expect" jsonschema:"required" jsonschema_description:"What is expected of the verdict. What is not named is not looked at."`
}

// Read reads a file of tests: it returns them, or everything that is wrong with the file. It accepts any bytes.
func Read(path string, text []byte) (*Suite, policy.Problems) {
	v, problems := policy.ReadYAML(path, text, "a file of tests", MaxSize)
	if problems != nil {
		return nil, problems
	}
	d := &decoder{}
	s := d.suite(v)
	if len(d.problems) > 0 {
		return nil, d.problems.Tidy()
	}
	return s, nil
}

// A decoder fills the shapes from YAML and collects what is wrong.
type decoder struct {
	problems policy.Problems
}

func (d *decoder) say(at policy.Pos, hint, format string, args ...any) {
	d.problems = append(d.problems, policy.Problem{Pos: at, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (d *decoder) suite(v policy.Value) *Suite {
	s := &Suite{}
	var common given
	var cases policy.Value
	versioned := false
	for _, e := range d.keys(v, "A file of tests", keysOf(reflect.TypeFor[fileShape]())) {
		switch e.Key {
		case "version":
			versioned = true
			if e.Value.Text != "1" {
				d.say(e.Value.Pos, `Write "version: 1".`, "This version of the format is not known here.")
			}
		case "given":
			d.fill(reflect.ValueOf(&common).Elem(), e.Value, "given")
		case "cases":
			cases = e.Value
		}
	}
	if !versioned {
		d.say(v.Pos, `Begin the file with the line "version: 1".`, "The file does not say which version of the format it is in.")
	}
	switch {
	case cases.Kind != policy.List || len(cases.List) == 0:
		d.say(v.Pos, `For example, "cases: [{ given: { files: docs/a.md }, expect: { labels: documentation } }]".`, "The file has no list of cases.")
	case len(cases.List) > maxCases:
		d.say(cases.Pos, "", "There are %d cases; at most %d are possible.", len(cases.List), maxCases)
	default:
		for i, c := range cases.List {
			s.Cases = append(s.Cases, d.one(c, common, i+1))
		}
	}
	return s
}

func (d *decoder) one(v policy.Value, common given, number int) Case {
	c := Case{Name: fmt.Sprintf("case %d", number), Pos: v.Pos, given: common}
	before := len(d.problems)
	expects := false
	for _, e := range d.keys(v, "A case", keysOf(reflect.TypeFor[caseShape]())) {
		switch e.Key {
		case "name":
			d.fill(reflect.ValueOf(&c.Name).Elem(), e.Value, "name")
		case "given":
			d.fill(reflect.ValueOf(&c.given).Elem(), e.Value, "given")
		case "expect":
			d.fill(reflect.ValueOf(&c.expect).Elem(), e.Value, "expect")
			c.expect.at = map[string]policy.Pos{}
			for _, k := range e.Value.Keys {
				c.expect.at[k.Key] = k.Value.Pos
			}
			expects = len(e.Value.Keys) > 0
			d.expectable(&c.expect)
		}
	}
	if !expects && len(d.problems) == before {
		d.say(v.Pos, "Give it at least one of: "+strings.Join(keysOf(reflect.TypeFor[expectation]()), ", ")+".", "This case expects nothing.")
	}
	return c
}

// expectable finds what no verdict can ever say.
func (d *decoder) expectable(e *expectation) {
	codes := wordsOf(policy.Codes)
	for _, w := range e.Reasons {
		if code := strings.TrimPrefix(w, "!"); !slices.Contains(codes, code) {
			d.say(e.at["reasons"], policy.Suggest(code, codes), "There is no reason %q.", code)
		}
	}
	kinds := wordsOf(pull.ActionKinds)
	for _, w := range e.Actions {
		kind, _, _ := strings.Cut(strings.TrimPrefix(w, "!"), " ")
		if !slices.Contains(kinds, kind) {
			d.say(e.at["actions"], policy.Suggest(kind, kinds), "There is no action %q.", kind)
		}
	}
	d.oneOf(e.at["merge"], "merge", string(e.Merge), mergeChoices)
	outcomes := wordsOf(policy.Outcomes)
	for _, outcome := range e.Rules {
		d.oneOf(e.at["rules"], "The outcome of a rule", outcome, outcomes)
	}
}

var mergeChoices = []string{"true", "false", string(pull.MergeCommit), string(pull.Squash), string(pull.Rebase), string(pull.FastForward)}

func (d *decoder) oneOf(at policy.Pos, what, word string, options []string) {
	if word != "" && options != nil && !slices.Contains(options, word) {
		d.say(at, policy.Suggest(word, options), "%s can't be %q.", what, word)
	}
}

func wordsOf[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// keys returns the entries of a mapping, and reports those that are not known.
func (d *decoder) keys(v policy.Value, what string, known []string) []policy.Entry {
	if v.Kind != policy.Mapping {
		if v.Kind != policy.Empty {
			d.say(v.Pos, "Possible keys: "+strings.Join(known, ", ")+".", "%s must be a mapping of keys to values; this is %s.", what, v.Kind)
		}
		return nil
	}
	var out []policy.Entry
	for _, e := range v.Keys {
		if !slices.Contains(known, e.Key) {
			d.say(e.Pos, policy.Suggest(e.Key, known), "%s has no key %q.", what, e.Key)
			continue
		}
		out = append(out, e)
	}
	return out
}

func keysOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		if name := keyOf(t.Field(i)); name != "" {
			out = append(out, name)
		}
	}
	return out
}

func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

// fill reads a value into a field of a shape. what is the key, for messages.
func (d *decoder) fill(to reflect.Value, v policy.Value, what string) {
	switch into := to.Addr().Interface().(type) {
	case *words:
		*into = d.words(v, what)
	case *choice:
		*into = choice(v.Text)
	case *doubt:
		*into = doubt(v.Text)
		d.oneOf(v.Pos, what, v.Text, []string{"true", "false", "unknown"})
	case *moment:
		*into = d.moment(v, what)
	case *entries:
		*into = d.entries(v, what)
	case *[]entries:
		*into = d.sayings(v, what)
	case *files:
		*into = d.files(v)
	case *checks:
		*into = d.checks(v)
	case *teams:
		*into = d.teams(v)
	default:
		d.plain(to, v, what)
	}
}

func (d *decoder) plain(to reflect.Value, v policy.Value, what string) {
	switch to.Kind() {
	case reflect.Pointer:
		p := reflect.New(to.Type().Elem())
		d.fill(p.Elem(), v, what)
		to.Set(p)
	case reflect.String:
		if v.Kind != policy.Text {
			hint := ""
			if v.Text != "" {
				hint = fmt.Sprintf("If you mean the text, put it into quotes: %q.", v.Text)
			}
			d.say(v.Pos, hint, "%s must be text; this is %s.", what, v.Kind)
			return
		}
		to.SetString(v.Text)
	case reflect.Bool:
		if v.Kind != policy.Truth {
			d.say(v.Pos, "Write true or false, without quotes.", "%s must be true or false.", what)
			return
		}
		to.SetBool(v.Text == "true")
	case reflect.Int:
		n, err := strconv.Atoi(v.Text)
		if err != nil || n < 0 {
			d.say(v.Pos, "", "%s must be a whole number.", what)
			return
		}
		to.SetInt(int64(n))
	case reflect.Slice:
		items := []policy.Value{v}
		switch v.Kind {
		case policy.List:
			items = v.List
		case policy.Empty:
			items = nil
		}
		out := reflect.MakeSlice(to.Type(), len(items), len(items))
		for i, item := range items {
			d.fill(out.Index(i), item, what)
		}
		to.Set(out)
	case reflect.Map:
		out := reflect.MakeMap(to.Type())
		if v.Kind != policy.Mapping && v.Kind != policy.Empty {
			d.say(v.Pos, "", "%s must be a mapping of names to values; this is %s.", what, v.Kind)
		}
		for _, e := range v.Keys {
			one := reflect.New(to.Type().Elem()).Elem()
			d.fill(one, e.Value, e.Key)
			out.SetMapIndex(reflect.ValueOf(e.Key), one)
		}
		to.Set(out)
	case reflect.Struct:
		for _, e := range d.keys(v, what, keysOf(to.Type())) {
			for i := range to.NumField() {
				f := to.Type().Field(i)
				if keyOf(f) != e.Key {
					continue
				}
				d.fill(to.Field(i), e.Value, e.Key)
				if f.Type.Kind() == reflect.String {
					d.oneOf(e.Value.Pos, e.Key, to.Field(i).String(), enumOf(f))
				}
			}
		}
	}
}

// enumOf returns what a field may be, by the same words from which the schema is made; nil: anything.
func enumOf(f reflect.StructField) []string {
	var out []string
	for _, part := range strings.Split(f.Tag.Get("jsonschema"), ",") {
		if w, ok := strings.CutPrefix(part, "enum="); ok {
			out = append(out, w)
		}
	}
	return out
}

func (d *decoder) words(v policy.Value, what string) words {
	out := words{}
	items := []policy.Value{v}
	switch v.Kind {
	case policy.List:
		items = v.List
	case policy.Empty:
		return out
	}
	for _, item := range items {
		var s string
		d.plain(reflect.ValueOf(&s).Elem(), item, what)
		out = append(out, s)
	}
	return out
}

func (d *decoder) moment(v policy.Value, what string) moment {
	if at, err := time.Parse(time.RFC3339, v.Text); err == nil {
		return moment{at: at.UTC(), set: true}
	}
	if ago, err := time.ParseDuration(v.Text); err == nil && ago >= 0 {
		return moment{ago: ago, set: true}
	}
	d.say(v.Pos, "For example 2026-03-02T12:00:00Z, or 36h for so long before now.", "%s must be a time.", what)
	return moment{}
}

// entries reads names: a list of them, or a mapping to what is said of each.
func (d *decoder) entries(v policy.Value, what string) entries {
	out := entries{}
	switch v.Kind {
	case policy.Empty:
	case policy.Mapping:
		for _, e := range v.Keys {
			one := entry{name: e.Key, pos: e.Pos}
			switch e.Value.Kind {
			case policy.Mapping:
				d.plain(reflect.ValueOf(&one.statement).Elem(), e.Value, what)
			default:
				d.plain(reflect.ValueOf(&one.Says).Elem(), e.Value, what)
			}
			out = append(out, one)
		}
	case policy.List:
		for _, item := range v.List {
			if item.Kind == policy.Mapping {
				out = append(out, d.entries(item, what)...)
				continue
			}
			one := entry{pos: item.Pos}
			d.plain(reflect.ValueOf(&one.name).Elem(), item, what)
			out = append(out, one)
		}
	default:
		one := entry{pos: v.Pos}
		d.plain(reflect.ValueOf(&one.name).Elem(), v, what)
		out = append(out, one)
	}
	return out
}

// sayings reads what people said: a mapping of logins, or a list of such.
func (d *decoder) sayings(v policy.Value, what string) []entries {
	items := []policy.Value{v}
	switch v.Kind {
	case policy.List:
		items = v.List
	case policy.Empty:
		return []entries{}
	}
	out := []entries{}
	for _, item := range items {
		if item.Kind != policy.Mapping {
			d.say(item.Pos, `For example, "bea: approved".`, "%s must be logins with what they said; this is %s.", what, item.Kind)
			continue
		}
		said := d.entries(item, what)
		if what == "reviews" {
			for _, e := range said {
				d.oneOf(e.pos, "A review", e.Says, wordsIn(reviewStates))
				if e.Says == "" {
					d.say(e.pos, policy.Suggest("", wordsIn(reviewStates)), "The review by %s says nothing.", e.name)
				}
			}
		}
		out = append(out, said)
	}
	return out
}

func (d *decoder) files(v policy.Value) files {
	out := files{}
	switch v.Kind {
	case policy.Empty:
	case policy.Mapping:
		for _, e := range v.Keys {
			f := file{Path: e.Key}
			switch e.Value.Kind {
			case policy.Mapping:
				d.plain(reflect.ValueOf(&f).Elem(), e.Value, "A file")
			case policy.Empty:
			default:
				d.plain(reflect.ValueOf(&f.Additions).Elem(), e.Value, "How many lines a file has more")
			}
			out = append(out, f)
		}
	default:
		for _, path := range d.words(v, "files") {
			out = append(out, file{Path: path})
		}
	}
	return out
}

func (d *decoder) checks(v policy.Value) checks {
	out := checks{}
	switch v.Kind {
	case policy.Empty:
	case policy.List:
		for _, item := range v.List {
			out = append(out, d.checks(item)...)
		}
	case policy.Mapping:
		for _, e := range v.Keys {
			c := check{Name: e.Key, App: "github-actions"}
			if e.Value.Kind == policy.Mapping {
				d.plain(reflect.ValueOf(&c).Elem(), e.Value, "A check")
			} else {
				d.plain(reflect.ValueOf(&c.State).Elem(), e.Value, "A check")
			}
			d.oneOf(e.Value.Pos, "A check", c.State, wordsIn(checkStates))
			out = append(out, c)
		}
	default:
		d.oneOf(v.Pos, "checks", v.Text, wordsIn(checkStates))
		out = append(out, check{Name: "build", App: "github-actions", State: v.Text})
	}
	return out
}

func (d *decoder) teams(v policy.Value) teams {
	out := teams{}
	if v.Kind != policy.Mapping && v.Kind != policy.Empty {
		d.say(v.Pos, `For example, "teams: { '@acme/backend': [bea, ben] }".`, "teams must be a mapping of teams to logins; this is %s.", v.Kind)
	}
	for _, e := range v.Keys {
		out[teamName(e.Key)] = append([]string{}, d.words(e.Value, "A team")...)
	}
	return out
}

// teamName is a team as look-ups call it: "acme/backend".
func teamName(s string) string { return strings.ToLower(strings.TrimPrefix(s, "@")) }

// wordsIn returns the words of a table in order.
func wordsIn[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for w := range m {
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}
