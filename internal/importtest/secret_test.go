package importtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Two rules about bytes from strangers that no test of behaviour can see broken: how long a comparison takes, and how
// much memory a decoder makes of a body. They read the source.

// secretName is what the last part of an expression is called that holds a signature or a secret.
var secretName = regexp.MustCompile(`(?i)(mac|hmac|sum|sig|signature|secret|token|password|cookie)s?$`)

// notTimed are comparisons of secrets that no stranger can time.
var notTimed = map[string]string{
	"internal/dashboard: s.token == token": "both are the operator's: is the cached key still that of the token?",
	"internal/github: s.token != rejected": "both are GitHub's to us: has the token that it refused been replaced?",
	"internal/app: old.Token != v.Token":   "both are the operator's: has the file changed?",
}

// Whether a secret is right must take the same time wherever it is wrong: hmac.Equal, or subtle.ConstantTimeCompare.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	met := map[string]bool{}
	eachFile(t, func(dir, name string, file *ast.File) {
		for _, found := range timedComparisons(file) {
			if _, ok := notTimed[dir+": "+found]; ok {
				met[dir+": "+found] = true
			} else {
				t.Errorf("%s/%s compares a secret with %s, whose time tells how much of a guess is right: use hmac.Equal or subtle.ConstantTimeCompare", dir, name, found)
			}
		}
	})
	for exception := range notTimed {
		if !met[exception] {
			t.Errorf("the exception %s is in no file any more: remove it", exception)
		}
	}
	for src, want := range map[string]int{
		`hmac.Equal(sum, mac)`: 0, `subtle.ConstantTimeCompare(a, token)`: 0, `token == ""`: 0, `len(secret) == 0`: 0, `secret == nil`: 0, `n == 3`: 0,
		`bytes.Equal(got, sum)`: 1, `bytes.Equal(h.Sum(nil), want[:])`: 1, `string(mac) == v`: 1, `given == s.token`: 1, `want.signature != v`: 1,
		`bytes.Compare(x, secrets[0])`: 1, `strings.EqualFold(v, signature)`: 1, `slices.Equal(sum[:], x)`: 1, `reflect.DeepEqual(sum, x)`: 1, `strings.Compare(v, token)`: 1,
	} {
		file := parse(t, "package p\nvar _ = "+src)
		if got := timedComparisons(file); len(got) != want {
			t.Errorf("%s: the rule finds %q, want %d", src, got, want)
		}
	}
}

// timedComparisons are the comparisons in a file that end early, of what is called like a secret.
func timedComparisons(file *ast.File) (found []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && (secret(n.X) && !constant(n.Y) || secret(n.Y) && !constant(n.X)) {
				found = append(found, types.ExprString(n))
			}
		case *ast.CallExpr:
			f := types.ExprString(n.Fun)
			early := []string{"bytes.Equal", "bytes.Compare", "bytes.EqualFold", "strings.EqualFold", "strings.Compare", "slices.Equal", "slices.Compare", "reflect.DeepEqual"}
			if slices.Contains(early, f) && slices.ContainsFunc(n.Args, secret) {
				found = append(found, types.ExprString(n))
			}
		}
		return true
	})
	return found
}

// secret reports whether an expression is called like a secret.
func secret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return secretName.MatchString(e.Name) && !strings.HasPrefix(e.Name, "err")
	case *ast.SelectorExpr:
		return secretName.MatchString(e.Sel.Name) && !strings.HasPrefix(e.Sel.Name, "Scope") // a scope may be called after a token
	case *ast.IndexExpr:
		return secret(e.X)
	case *ast.SliceExpr:
		return secret(e.X)
	case *ast.ParenExpr:
		return secret(e.X)
	case *ast.CallExpr:
		if s, ok := e.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Sum" {
			return true
		}
		_, array := e.Fun.(*ast.ArrayType)
		if f, ok := e.Fun.(*ast.Ident); array || ok && f.Name == "string" { // a conversion
			return len(e.Args) == 1 && secret(e.Args[0])
		}
	}
	return false
}

// constant reports whether an expression is a literal or nil: whether there is a secret may be known.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil"
	}
	return false
}

// untyped are packages in which nothing is decoded into values without a type, since what they read comes from outside:
// a body of 25 MB that takes 35 MB as a narrow struct takes 753 MB as map[string]any, and large ids come out wrong.
var untyped = []string{
	"internal/webhook", "internal/delivery", "internal/store", "internal/pull", "internal/github", "internal/reconcile", "internal/dashboard", "internal/app",
}

func TestPayloadsAreNotDecodedWithoutAType(t *testing.T) {
	eachFile(t, func(dir, name string, file *ast.File) {
		if !slices.Contains(untyped, dir) {
			return
		}
		for _, found := range untypedDecodes(file) {
			if dir == "internal/github" && found == "[]any `json:\"path\"`" {
				continue // GraphQL's path to what is wrong mixes names and numbers, in an answer that is bounded
			}
			t.Errorf("%s/%s decodes into %s: name the few fields that are needed in a struct", dir, name, found)
		}
	})
	for src, want := range map[string]int{
		`func f() { var p struct{ ID int64 }; json.Unmarshal(b, &p) }`:            0,
		`func f() { v := map[string]any{"a": 1}; write(v) }`:                      0, // an answer, not a question
		`func f() { m := map[string]int64{}; json.Unmarshal(b, &m) }`:             0,
		`func f() { var v any; json.Unmarshal(b, &v) }`:                           1,
		`func f() { var v interface{}; json.NewDecoder(r).Decode(&v) }`:           1,
		`func f() { var m map[string]any; json.Unmarshal(b, &m) }`:                1,
		`func f() { m := map[string]interface{}{}; json.Unmarshal(b, &m) }`:       1,
		`func f() { m := make(map[string]any); json.NewDecoder(r).Decode(&m) }`:   1,
		`func f() { var m []map[string]any; json.Unmarshal(b, &m) }`:              1,
		`func f() { var p struct{ Repo map[string]any }; json.Unmarshal(b, &p) }`: 1,
		`func f() { m := new(map[string]any); json.Unmarshal(b, m) }`:             1,
		"type payload struct { Sender any `json:\"sender\"` }":                    1,
		"type payload struct { Labels []map[string]any `json:\"labels\"` }":       1,
		"type payload struct { Labels []json.RawMessage `json:\"labels\"` }":      0,
		`func f() { v, err := jsontext.Value(b), json.Unmarshal(b, &typed) }`:     0,
	} {
		if got := untypedDecodes(parse(t, "package p\n"+src)); len(got) != want {
			t.Errorf("%s: the rule finds %q, want %d", src, got, want)
		}
	}
}

// untypedDecodes finds variables of a type with `any` in it that a decoder fills, and such fields with a JSON tag.
func untypedDecodes(file *ast.File) (found []string) {
	loose := map[string]string{} // names of variables, and their types
	note := func(name *ast.Ident, typ ast.Expr) {
		if isLoose(typ) {
			loose[name.Name] = types.ExprString(typ)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for _, name := range n.Names {
				note(name, n.Type)
			}
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				name, ok := l.(*ast.Ident)
				if !ok || len(n.Lhs) != len(n.Rhs) {
					continue
				}
				switch r := n.Rhs[i].(type) {
				case *ast.CompositeLit:
					note(name, r.Type)
				case *ast.CallExpr:
					if f, ok := r.Fun.(*ast.Ident); ok && (f.Name == "make" || f.Name == "new") {
						note(name, r.Args[0])
					}
				}
			}
		case *ast.Field:
			if n.Tag != nil && strings.Contains(n.Tag.Value, "json:") && isLoose(n.Type) {
				found = append(found, types.ExprString(n.Type)+" "+n.Tag.Value)
			}
		}
		return true
	})
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Unmarshal", "Decode", "UnmarshalRead"}, f.Sel.Name) || len(call.Args) == 0 {
			return true
		}
		into := call.Args[len(call.Args)-1]
		if u, ok := into.(*ast.UnaryExpr); ok {
			into = u.X
		}
		if name, ok := into.(*ast.Ident); ok && loose[name.Name] != "" {
			found = append(found, loose[name.Name])
		}
		return true
	})
	return found
}

// isLoose reports whether a type has `any` somewhere in it.
func isLoose(typ ast.Expr) (loose bool) {
	if typ == nil {
		return false
	}
	ast.Inspect(typ, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			loose = loose || n.Name == "any"
		case *ast.InterfaceType:
			loose = loose || len(n.Methods.List) == 0
		case *ast.FuncType:
			return false
		}
		return true
	})
	return loose
}

// eachFile parses every file of the program, tests aside.
func eachFile(t *testing.T, do func(dir, name string, file *ast.File)) {
	t.Helper()
	files := 0
	for _, p := range packages(t) {
		dir := strings.TrimPrefix(p.ImportPath, module+"/")
		if dir == "internal/githubtest" || dir == "internal/testenv" || dir == "bench" {
			continue
		}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatalf("parse %s/%s: %v", dir, name, err)
			}
			files++
			do(dir, name, file)
		}
	}
	if files < 50 {
		t.Fatalf("only %d files were read: the test looks in the wrong place", files)
	}
}

func parse(t *testing.T, src string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", src, err))
	}
	return file
}
