package policy

import (
	"github.com/goccy/go-yaml/ast"
)

// A Value is a part of a YAML file with its place: for files beside a policy, which are read as carefully as it is (the unit
// tests of package policytest).
type Value struct {
	Pos  Pos
	Kind ValueKind
	Text string  // of a text, a number, true or false
	List []Value // of a list
	Keys []Entry // of a mapping, in the order of the file
}

// An Entry is one key of a mapping.
type Entry struct {
	Key   string
	Pos   Pos
	Value Value
}

// A ValueKind says what a value is, in the words of messages.
type ValueKind string

// What values there are.
const (
	Empty   ValueKind = "empty"
	Text    ValueKind = "text"
	Number  ValueKind = "a number"
	Truth   ValueKind = "true or false"
	List    ValueKind = "a list"
	Mapping ValueKind = "a mapping"
)

// ReadYAML reads a file of at most most bytes under the rules that hold for a policy: one document of plain text, without
// anchors, tags and repeated keys. what names the file in messages: "a file of tests". It accepts any bytes.
func ReadYAML(path string, text []byte, what string, most int) (v Value, problems Problems) {
	r := &reader{path: path}
	defer func() {
		if recover() != nil { // see Parse
			v, problems = Value{}, Problems{{Pos: Pos{Path: path}, Message: "The file can't be read as YAML."}}
		}
	}()
	if body := r.document(text, what, most); body != nil {
		v = r.value(body, 0)
	}
	if len(r.problems) > 0 {
		return Value{}, r.problems.Tidy()
	}
	return v, nil
}

func (r *reader) value(n ast.Node, depth int) Value {
	v := Value{Pos: r.pos(n), Kind: ValueKind(kindOf(n))}
	if depth > 4*maxNesting { // mappings inside mappings, which have no sign of their own
		r.say(v.Pos, "", "This is nested too deeply.")
		return v
	}
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		entries, _ := r.mapping(n, "This", nil, false)
		for _, e := range entries {
			v.Keys = append(v.Keys, Entry{e.key, e.at, r.value(e.value, depth+1)})
		}
	case *ast.SequenceNode:
		for _, item := range n.Values {
			v.List = append(v.List, r.value(item, depth+1))
		}
	case *ast.StringNode:
		v.Text = n.Value
	case *ast.LiteralNode:
		v.Text = n.Value.Value
	case nil, *ast.NullNode:
	case *ast.TagNode, *ast.AnchorNode, *ast.AliasNode: // unreachable: refused
	default:
		v.Text = n.GetToken().Value
	}
	return v
}

// Suggest is a hint at the known word that somebody may have meant, or at all that there are.
func Suggest(word string, known []string) string { return didYouMean(word, known) }
