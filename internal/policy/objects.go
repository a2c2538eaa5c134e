package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Some of what conditions look at are things with fields: a changed file, a label, a check. Their types are declared, so
// that a misspelt field is found when the file is read.

// An object is a type of things.
type object struct {
	name   string // as documented: "File"
	what   string // in a message: "a changed file"
	fields []field
}

// A field is one fact about a thing.
type field struct {
	name  string
	typ   *cel.Type
	doc   string
	chars uint64 // bounds a text for the estimate of what a condition may cost
	read  func(f *facts, v any) any
}

// A thing is a value of an object's type.
type thing struct {
	f *facts
	o *object
	v any
}

// as reads a field of things that are of type T.
func as[T any](read func(f *facts, v T) any) func(*facts, any) any {
	return func(f *facts, v any) any { return read(f, v.(T)) }
}

var accountObject = &object{name: "Account", what: "an account", fields: []field{
	{name: "login", typ: cel.StringType, chars: 64, doc: "its login; an App's ends in [bot]", read: as(func(_ *facts, a pull.Actor) any { return a.Login })},
	{name: "id", typ: cel.IntType, doc: "its number, which stays when it is renamed; 0 where GitHub knows no account", read: as(func(_ *facts, a pull.Actor) any { return a.ID })},
	{name: "type", typ: cel.StringType, chars: 16, doc: "User, Bot, Organization or Mannequin", read: as(func(_ *facts, a pull.Actor) any { return string(a.Type) })},
	{name: "permission", typ: cel.StringType, chars: 8, doc: "what it may do on the repository: admin, maintain, write, triage, read or none", read: as(func(f *facts, a pull.Actor) any { return f.permissionValue(a) })},
}}

var (
	accountType = cel.ObjectType(accountObject.name)

	fileObject = &object{name: "File", what: "a changed file", fields: []field{
		{name: "path", typ: cel.StringType, chars: 255, doc: "its path", read: as(func(_ *facts, c pull.File) any { return c.Path })},
		{name: "previous", typ: cel.StringType, chars: 255, doc: "its path before, if it was renamed; \"\" otherwise", read: as(func(f *facts, c pull.File) any {
			if f.moved(c) {
				return f.unknown(lackRenames)
			}
			return c.Previous
		})},
		{name: "status", typ: cel.StringType, chars: 8, doc: "added, modified, deleted, renamed, copied or changed", read: as(func(_ *facts, c pull.File) any { return c.Status })},
		{name: "additions", typ: cel.IntType, doc: "lines added", read: as(func(_ *facts, c pull.File) any { return c.Additions })},
		{name: "deletions", typ: cel.IntType, doc: "lines deleted", read: as(func(_ *facts, c pull.File) any { return c.Deletions })},
		{name: "generated", typ: cel.BoolType, doc: "it is [generated](#generated-files)", read: as(func(f *facts, c pull.File) any {
			if f.p.generated != nil && f.p.generated.match(c.Path) {
				return true
			}
			if f.lackOf(lackAttributes) != nil {
				return f.unknown(lackAttributes)
			}
			return f.attributes().generated(c.Path)
		})},
	}}
	labelObject = &object{name: "Label", what: "a label", fields: []field{
		{name: "name", typ: cel.StringType, chars: 50, doc: "its name", read: as(func(_ *facts, l pull.Label) any { return l.Name })},
		{name: "set_by", typ: accountType, doc: "who put it on last; with id 0 where GitHub does not tell", read: as(func(f *facts, l pull.Label) any { return f.account(l.SetBy) })},
		{name: "set_at", typ: cel.TimestampType, doc: "when", read: as(func(_ *facts, l pull.Label) any { return l.SetAt })},
	}}
	commitObject = &object{name: "Commit", what: "a commit", fields: []field{
		{name: "sha", typ: cel.StringType, chars: 40, doc: "its id", read: as(func(_ *facts, c pull.Commit) any { return string(c.SHA) })},
		{name: "author", typ: accountType, doc: "the account behind its author's mail address: a claim, unless it is verified", read: as(func(f *facts, c pull.Commit) any { return f.account(c.Author) })},
		{name: "committer", typ: accountType, doc: "the account behind its committer's mail address, likewise; `web-flow` for commits made on GitHub's pages", read: as(func(f *facts, c pull.Commit) any { return f.account(c.Committer) })},
		{name: "verified", typ: cel.BoolType, doc: "its signature is valid, and its committer's", read: as(func(_ *facts, c pull.Commit) any { return c.Verified })},
		{name: "message", typ: cel.StringType, chars: 65536, doc: "its whole message", read: as(func(_ *facts, c pull.Commit) any { return c.Message })},
		{name: "merge", typ: cel.BoolType, doc: "it has more than one parent", read: as(func(_ *facts, c pull.Commit) any { return len(c.Parents) > 1 })},
	}}
	checkObject = &object{name: "Check", what: "a check", fields: []field{
		{name: "name", typ: cel.StringType, chars: 255, doc: "its name", read: as(func(_ *facts, c pull.Check) any { return c.Name })},
		{name: "app", typ: cel.StringType, chars: 100, doc: "the name in the address of the App that reports it (`github-actions`); \"\" for a commit status", read: as(func(_ *facts, c pull.Check) any { return c.App })},
		{name: "app_id", typ: cel.IntType, doc: "the App's number; 0 for a commit status", read: as(func(_ *facts, c pull.Check) any { return c.AppID })},
		{name: "state", typ: cel.StringType, chars: 8, doc: "passed, failed or pending; `checks.by` also says missing", read: as(func(_ *facts, c pull.Check) any { return string(c.State) })},
		{name: "passed", typ: cel.BoolType, doc: "its state is passed", read: as(func(_ *facts, c pull.Check) any { return c.State == pull.CheckPassed })},
		{name: "detail", typ: cel.StringType, chars: 32, doc: "GitHub's own word: success, neutral, skipped, timed_out, in_progress …", read: as(func(_ *facts, c pull.Check) any { return c.Detail })},
		{name: "required", typ: cel.BoolType, doc: "GitHub requires it before a merge", read: as(func(_ *facts, c pull.Check) any { return c.Required })},
	}}
	reviewObject = &object{name: "Review", what: "a review", fields: []field{
		{name: "author", typ: accountType, doc: "who gave it", read: as(func(f *facts, r pull.Review) any { return f.account(r.Author) })},
		{name: "state", typ: cel.StringType, chars: 20, doc: "approved, changes_requested, commented or dismissed", read: as(func(_ *facts, r pull.Review) any { return string(r.State) })},
		{name: "on_head", typ: cel.BoolType, doc: "it was given on what is the head now, for the base as it is now", read: as(func(f *facts, r pull.Review) any {
			return r.Commit != "" && r.Commit == f.s.Head.SHA && !f.ofOtherBase(r.SubmittedAt)
		})},
		{name: "can_write", typ: cel.BoolType, doc: "its author may write to the repository", read: as(func(_ *facts, r pull.Review) any { return r.CanWrite })},
		{name: "at", typ: cel.TimestampType, doc: "when it was given", read: as(func(_ *facts, r pull.Review) any { return r.SubmittedAt })},
	}}
	threadObject = &object{name: "Thread", what: "a thread", fields: []field{
		{name: "author", typ: accountType, doc: "who began it", read: as(func(f *facts, t pull.Thread) any { return f.account(t.Author) })},
		{name: "resolved", typ: cel.BoolType, doc: "it is resolved", read: as(func(_ *facts, t pull.Thread) any { return t.Resolved })},
		{name: "outdated", typ: cel.BoolType, doc: "its lines have changed since", read: as(func(_ *facts, t pull.Thread) any { return t.Outdated })},
	}}

	objects = []*object{accountObject, fileObject, labelObject, commitObject, checkObject, reviewObject, threadObject}
)

// objectNamed finds the object of a CEL type's name, or of the entries of a list.
func objectNamed(name string) *object {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "list("), ")")
	for _, o := range objects {
		if o.name == name {
			return o
		}
	}
	return nil
}

func (o *object) field(name string) *field {
	for i := range o.fields {
		if o.fields[i].name == name {
			return &o.fields[i]
		}
	}
	return nil
}

func (o *object) fieldNames() []string {
	var out []string
	for _, f := range o.fields {
		out = append(out, f.name)
	}
	return out
}

func (f *facts) account(a pull.Actor) *thing { return &thing{f, accountObject, a} }

// things makes a list for CEL of values of one object's type.
func things[T any](f *facts, o *object, list []T) ref.Val {
	out := make([]ref.Val, len(list))
	for i := range list {
		out[i] = &thing{f, o, list[i]}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, out)
}

// String is how an explanation shows a thing.
func (t *thing) String() string {
	switch v := t.v.(type) {
	case pull.Actor:
		return or(v.Login, "nobody that GitHub knows")
	case pull.File:
		return v.Path
	case pull.Label:
		return fmt.Sprintf("%s, set by %s", v.Name, or(v.SetBy.Login, "somebody"))
	case pull.Commit:
		return v.SHA.Short() + ", by " + or(v.Author.Login, "nobody that GitHub knows")
	case pull.Check:
		name := v.Name
		if v.App != "" {
			name += " by " + v.App
		}
		return name + ": " + string(v.State)
	case pull.Review:
		return fmt.Sprintf("%s by %s", v.State, or(v.Author.Login, "somebody"))
	case pull.Thread:
		if v.Resolved {
			return "resolved, by " + or(v.Author.Login, "somebody")
		}
		return "unresolved, by " + or(v.Author.Login, "somebody")
	}
	return t.o.what
}

// ConvertToNative is for Go code that unwraps values; nothing here does.
func (t *thing) ConvertToNative(typ reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s has no counterpart of Go type %v", t.o.what, typ)
}

// ConvertToType refuses: a thing has no other form.
func (t *thing) ConvertToType(typ ref.Type) ref.Val {
	if typ.TypeName() == types.TypeType.TypeName() {
		return cel.ObjectType(t.o.name)
	}
	return types.NewErr("%s can't be made a %s", t.o.what, typ.TypeName())
}

// Equal compares accounts by their numbers, and other things by all they are.
func (t *thing) Equal(other ref.Val) ref.Val {
	u, ok := other.(*thing)
	if !ok || u.o != t.o {
		return types.False
	}
	if a, ok := t.v.(pull.Actor); ok {
		return types.Bool(a.Same(u.v.(pull.Actor)))
	}
	return types.Bool(reflect.DeepEqual(t.v, u.v))
}

// Type is the declared type.
func (t *thing) Type() ref.Type { return cel.ObjectType(t.o.name) }

// Value is the thing itself, which the fields are read from.
func (t *thing) Value() any { return t }

// objectTypes tells CEL of the objects, beside its own types.
type objectTypes struct{ types.Provider }

// FindStructType finds a type of things by its name.
func (p objectTypes) FindStructType(name string) (*types.Type, bool) {
	for _, o := range objects {
		if o.name == name {
			return types.NewTypeTypeWithParam(cel.ObjectType(name)), true
		}
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames lists the fields of a type of things.
func (p objectTypes) FindStructFieldNames(name string) ([]string, bool) {
	if o := objectNamed(name); o != nil && o.name == name {
		return o.fieldNames(), true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType says of which type a field is, and how it is read.
func (p objectTypes) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	o := objectNamed(name)
	if o == nil || o.name != name {
		return p.Provider.FindStructFieldType(name, fieldName)
	}
	fd := o.field(fieldName)
	if fd == nil {
		return nil, false
	}
	return &types.FieldType{
		Type:  fd.typ,
		IsSet: func(any) bool { return true },
		GetFrom: func(target any) (any, error) {
			t, ok := target.(*thing)
			if !ok {
				return nil, fmt.Errorf("%s is read from %T", fieldName, target)
			}
			return fd.read(t.f, t.v), nil
		},
	}, true
}

// A lack is a fact that GitHub has not told (yet).
type lack struct {
	name string     // the name of the environment that depends on it
	need *pull.Need // what would tell; nil once it was asked for, or where nothing would
	why  string     // a clause for people, where there is something to say
	soon bool       // GitHub is working it out, and will know by itself
}

// unknown is the value of what a lack keeps from being known.
func (f *facts) unknown(key string) *types.Unknown {
	return types.NewUnknown(0, types.NewAttributeTrail(key))
}

// lacksOf returns what an unknown value is unknown for.
func (f *facts) lacksOf(u *types.Unknown) []lack {
	var out []lack
	for _, id := range u.IDs() {
		trails, _ := u.GetAttributeTrails(id)
		for _, t := range trails {
			if l := f.lackOf(t.Variable()); l != nil {
				out = append(out, *l)
			}
		}
	}
	slices.SortFunc(out, func(a, b lack) int { return strings.Compare(a.name+a.why, b.name+b.why) })
	return out
}

// The keys of lacks that are not variables; of a person's permission it is lackPerson and the login.
const (
	lackRenames    = "?renames"
	lackAttributes = "?attributes"
	lackPerson     = "?person "
)

// lackOf returns what keeps something from being known: a variable by its name, or one of the keys above. nil: nothing does.
func (f *facts) lackOf(key string) *lack {
	login, person := strings.CutPrefix(key, lackPerson)
	switch {
	case person:
		n := pull.Need{Kind: pull.NeedPerson, Name: login}
		if !f.s.Answers(n) {
			name := strings.ToLower(login)
			if !f.strangers[name] && len(f.s.Known.People)+len(f.strangers) >= maxPeople {
				return &lack{name: "permission of " + login, why: "there are too many people to ask GitHub about"}
			}
			if f.strangers == nil {
				f.strangers = map[string]bool{}
			}
			f.strangers[name] = true
			return &lack{name: "permission of " + login, need: &n}
		}
		if p := f.s.Known.People[strings.ToLower(login)]; p.Missing != "" {
			return &lack{name: "permission of " + login, why: p.Missing}
		}
		return nil
	case key == lackRenames:
		if n := (pull.Need{Kind: pull.NeedRenames}); !f.s.Answers(n) {
			return &lack{name: "previous paths of renamed files", need: &n}
		}
		return &lack{name: "previous paths of renamed files", why: "GitHub does not tell from where a file was renamed"}
	case key == lackAttributes:
		if n := (pull.Need{Kind: pull.NeedFile, Name: attributesFile}); !f.s.Answers(n) {
			return &lack{name: attributesFile, need: &n}
		}
		if d := f.s.Known.Files[attributesFile]; d.Unreadable != "" {
			return &lack{name: attributesFile, why: attributesFile + " can't be read: " + d.Unreadable}
		}
		return nil
	}
	if v, ok := variables[key]; ok && v.unknown != nil {
		return v.unknown(f)
	}
	return nil
}

// maxPeople bounds how many accounts' permissions conditions ask for. Each takes a request of GitHub, and whoever pushes commits
// writes what accounts they like into them.
const maxPeople = 100

// permissionValue is what an account may do, for CEL.
func (f *facts) permissionValue(a pull.Actor) any {
	if a.ID == 0 || a.Login == "" {
		return string(pull.PermissionNone)
	}
	if key := lackPerson + a.Login; f.lackOf(key) != nil {
		return f.unknown(key)
	}
	p := f.s.Known.People[strings.ToLower(a.Login)]
	if !p.Actor.Same(a) {
		return string(pull.PermissionNone) // the login is another account's by now
	}
	return string(p.Permission)
}

// moved reports whether a file was renamed from where is not known.
func (f *facts) moved(c pull.File) bool { return c.Status == "renamed" && c.Previous == "" }

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}
