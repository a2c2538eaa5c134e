package policy

import (
	"reflect"
	"strings"
)

// The types below are the shape of the file: which keys it has, and where. The parser takes its known keys from them, and
// docs/pr-manager.schema.json, which editors read, is generated from them; so the three can't differ.

type fileShape struct {
	Version    int                   `json:"version" jsonschema:"required,enum=1" jsonschema_description:"The version of this format. Always 1."`
	Mode       Mode                  `json:"mode,omitempty" jsonschema:"enum=active,enum=dry-run" default:"active" jsonschema_description:"active (the default), or dry-run: decide and explain, write nothing."`
	OptOut     texts                 `json:"opt-out,omitempty" jsonschema_description:"Labels that keep the service off a pull request."`
	Generated  texts                 `json:"generated,omitempty" jsonschema_description:"Globs over the paths of files that are generated, whose lines don't count. A glob that begins with ! takes files out again."`
	UpdateBots texts                 `json:"update-bots,omitempty" jsonschema_description:"Logins of Apps that update dependencies, beside Dependabot and Renovate: update.level and its like trust their pull requests too."`
	Labels     map[string]labelShape `json:"labels,omitempty" jsonschema_description:"Labels that are kept in step with their conditions: added when all of them hold, removed when they no longer do."`
	Reviewers  []reviewerShape       `json:"reviewers,omitempty" jsonschema_description:"Who is asked to review what."`
	Approvals  []approvalShape       `json:"approvals,omitempty" jsonschema:"minItems=1" default:"one approval by somebody else who may write" jsonschema_description:"Who has to approve what. All of the rules have to hold. Without it, one approval by somebody else who may write is enough."`
	Checks     *checksShape          `json:"checks,omitempty" jsonschema_description:"What is known about the checks of this repository."`
	Merge      *mergeShape           `json:"merge,omitempty" default:"merging is left to people" jsonschema_description:"When and how pull requests are merged. Without it, merging is left to people."`
	Rules      []freeShape           `json:"rules,omitempty" jsonschema_description:"Things that are done while a condition holds."`
	Commands   commandsShape         `json:"commands,omitempty" jsonschema_description:"Who may give which command in a comment."`
}

// selectorShape is what says which pull requests a rule is about.
type selectorShape struct {
	Files  texts     `json:"files,omitempty" jsonschema_description:"Globs over the paths of the changed files, one of which has to match; a renamed file counts with both its paths. A glob that begins with ! takes files out again."`
	Lines  ranges    `json:"lines,omitempty" jsonschema_description:"How many lines are added and deleted together, without those of generated files: 500.. or ..10 or 10..499 or 42."`
	Title  texts     `json:"title,omitempty" jsonschema_description:"Regular expressions (RE2), one of which has to match somewhere in the title."`
	Branch texts     `json:"branch,omitempty" jsonschema_description:"Globs over the name of the head branch, one of which has to match. A glob that begins with ! takes names out again."`
	Base   texts     `json:"base,omitempty" jsonschema_description:"Globs over the name of the base branch, one of which has to match. A glob that begins with ! takes names out again."`
	Author texts     `json:"author,omitempty" jsonschema_description:"Logins and teams (@acme/backend), one of which has to be the author or have the author as a member. An App's login ends in [bot]."`
	Label  texts     `json:"label,omitempty" jsonschema_description:"Names of labels, one of which has to be there."`
	If     condition `json:"if,omitempty" jsonschema_description:"A condition in CEL."`
}

type labelShape struct {
	selectorShape
	Color       string `json:"color,omitempty" jsonschema:"pattern=^#?[0-9a-fA-F]{6}$" jsonschema_description:"Its colour, six hexadecimal digits, if the repository does not have the label yet."`
	Description string `json:"description,omitempty" jsonschema:"maxLength=100" jsonschema_description:"Its description, if the repository does not have the label yet."`
}

// words is a string that says something; a number will do. texts is one string or a list of them; ranges the same with plain numbers too; condition is a string or true or false.
type (
	words     string
	texts     []string
	ranges    []string
	condition string
)

// keysOf returns the keys of a shape, in their order.
func keysOf[Shape any]() []string { return keysIn(reflect.TypeFor[Shape]()) }

func keysIn(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			keys = append(keys, keysIn(f.Type)...)
			continue
		}
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	return keys
}

var (
	fileKeys     = keysOf[fileShape]()
	selectorKeys = keysOf[selectorShape]()
	labelKeys    = keysOf[labelShape]()
)
