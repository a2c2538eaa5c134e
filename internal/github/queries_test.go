package github

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// publishedSchema is GitHub's own description of its GraphQL API, as npm installs it for the tests.
const publishedSchema = "../../test/node_modules/@octokit/graphql-schema/schema.graphql"

// githubSchema loads the schema that GitHub publishes. Two of its types state a field twice, which no parser accepts;
// the second ones are dropped.
func githubSchema(t *testing.T) *ast.Schema {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(publishedSchema))
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("TEST_REQUIRE_SERVERS") != "1" {
		t.Skip("GitHub's GraphQL schema is not installed: npm install --ignore-scripts in test/")
	}
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: withoutDoubles(string(text))})
	if err != nil {
		t.Fatalf("GitHub's schema: %v", err)
	}
	return schema
}

var (
	typeStart  = regexp.MustCompile(`^(type|interface|input) \w+`)
	fieldStart = regexp.MustCompile(`^  (\w+)(\(|:)`)
)

// withoutDoubles drops a field that its type has already, with its description and arguments.
func withoutDoubles(sdl string) string {
	var out, field []string
	seen := map[string]bool{}
	name, quoted := "", false
	flush := func() {
		if name == "" || !seen[name] {
			out = append(out, field...)
		}
		if name != "" {
			seen[name] = true
		}
		field, name = nil, ""
	}
	for line := range strings.Lines(sdl) {
		doc := strings.HasPrefix(line, `  """`)
		switch {
		case typeStart.MatchString(line):
			flush()
			seen = map[string]bool{}
		case line == "}\n":
			flush()
		case doc && !quoted && name != "":
			flush()
		case !quoted && name != "" && fieldStart.MatchString(line):
			flush()
		}
		if doc && strings.Count(line, `"""`) == 1 {
			quoted = !quoted
		}
		if m := fieldStart.FindStringSubmatch(line); m != nil && !quoted && name == "" {
			name = m[1]
		}
		field = append(field, line)
	}
	flush()
	return strings.Join(out, "")
}

func TestOperationsAreValidAgainstGitHubsSchema(t *testing.T) {
	schema := githubSchema(t)
	names := map[string]bool{}
	for _, op := range slices.Concat(operations, mutations) {
		doc, err := gqlparser.LoadQueryWithRules(schema, op.text, rules.NewDefaultRules())
		if err != nil {
			t.Errorf("%s: %v", op.name, err)
			continue
		}
		if len(doc.Operations) != 1 || doc.Operations[0].Name != op.name {
			t.Errorf("%s: its text holds another operation", op.name)
		}
		if names[op.name] {
			t.Errorf("%s: the name is taken", op.name)
		}
		names[op.name] = true
		for _, f := range deprecated(doc) {
			t.Errorf("%s asks for %s, which GitHub is going to remove", op.name, f)
		}
	}
	if _, err := gqlparser.LoadQueryWithRules(schema, `query Wrong { viewer { shoeSize } }`, rules.NewDefaultRules()); err == nil {
		t.Error("a field that GitHub does not have passed: the check checks nothing")
	}
}

// deprecated lists the fields of an operation that the schema marks so.
func deprecated(doc *ast.QueryDocument) (out []string) {
	var walk func(ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, s := range set {
			switch s := s.(type) {
			case *ast.Field:
				if s.Definition != nil && s.Definition.Directives.ForName("deprecated") != nil {
					out = append(out, s.ObjectDefinition.Name+"."+s.Name)
				}
				walk(s.SelectionSet)
			case *ast.InlineFragment:
				walk(s.SelectionSet)
			}
		}
	}
	for _, o := range doc.Operations {
		walk(o.SelectionSet)
	}
	for _, f := range doc.Fragments {
		walk(f.SelectionSet)
	}
	return out
}

// Half of what a pass costs is decided by what it asks for: connections are what GitHub counts, and mergeability is
// only computed for whoever asks for it.
func TestPullRequestQueryAsksForMergeable(t *testing.T) {
	if !regexp.MustCompile(`(?m)^\s+mergeable$`).MatchString(pullRequestQuery.text) {
		t.Error("the query does not select mergeable: GitHub would leave it unknown")
	}
}
