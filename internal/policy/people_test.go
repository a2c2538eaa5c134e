package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// readPeople reads one list of people.
func readPeople(t *testing.T, list string, permissions []string, words ...string) (*people, Problems) {
	t.Helper()
	file, err := parser.ParseBytes([]byte("from: "+list), 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{path: "p.yml"}
	v := file.Docs[0].Body.(*ast.MappingNode).Values[0]
	p := r.peopleOf(entry{key: "from", at: r.at(v.Key.GetToken()), value: v.Value}, permissions, words...)
	return p, r.problems
}

func TestPeople(t *testing.T) {
	tests := []struct {
		list string
		want string
	}{
		{"octocat", "octocat"},
		{`["@octocat", Hubot, "dependabot[bot]"]`, "octocat Hubot dependabot[bot]"},
		{`[acme/backend, "@Acme/web_x.y"]`, "team acme/backend team Acme/web_x.y"},
		{"write", "write"},
		{"[maintain, Write, admin]", "write"},
		{`["@write", "@author", "@codeowners"]`, "write author codeowners"},
		{"[author, codeowners]", "the author the owners"},
		{"[]", ""},
		{"[adam, walter, 123]", "adam walter 123"},
	}
	for _, tt := range tests {
		p, problems := readPeople(t, tt.list, permissionWords, wordAuthor, wordOwners, wordNobody)
		var got []string
		got = append(got, p.logins...)
		for _, team := range p.teams {
			got = append(got, "team "+team)
		}
		if p.atLeast != "" {
			got = append(got, string(p.atLeast))
		}
		if p.author {
			got = append(got, "the author")
		}
		if p.owners {
			got = append(got, "the owners")
		}
		if s := strings.Join(got, " "); s != tt.want || problems != nil {
			t.Errorf("%s is %q, %v, want %q", tt.list, s, problems, tt.want)
		}
	}
}

func TestPeopleProblems(t *testing.T) {
	tests := []struct {
		list        string
		permissions []string
		words       []string
		want        string
	}{
		{"[a, maintian]", permissionWords, nil, `p.yml:1:11: "maintian" looks like a misspelt word. Did you mean "maintain"? Write @maintian if an account is called that.`},
		{"wirte", permissionWords, nil, `p.yml:1:7: "wirte" looks like a misspelt word. Did you mean "write"? Write @wirte if an account is called that.`},
		{"codeowner", permissionWords, []string{wordOwners}, `p.yml:1:7: "codeowner" looks like a misspelt word. Did you mean "codeowners"? Write @codeowner if an account is called that.`},
		{"owners", nil, []string{wordOwners}, `p.yml:1:7: "owners" is not a word for anybody here. Write codeowners; @owners if an account is called that.`},
		{"everyone", permissionWords, nil, `p.yml:1:7: "everyone" is not a word for anybody here. Write read; @everyone if an account is called that.`},
		{"nobody", permissionWords, []string{wordNobody}, `p.yml:1:7: "nobody" is not a word for anybody here. Write []; @nobody if an account is called that.`},
		{"author", permissionWords, nil, `p.yml:1:7: "author" can't stand here. Write a login (octocat) or a team (@acme/backend); @author if an account is called that.`},
		{"write", nil, nil, `p.yml:1:7: "write" can't stand here. Write a login (octocat) or a team (@acme/backend); @write if an account is called that.`},
		{"[]", permissionWords, nil, `p.yml:1:7: from is an empty list. Name at least one, or drop the key.`},
		{`"@a/b/c"`, permissionWords, nil, `p.yml:1:7: "@a/b/c" names nobody. Write a login (octocat), a team (@acme/backend) or a permission (maintain).`},
		{`"@acme/"`, nil, nil, `p.yml:1:7: "@acme/" names nobody. Write a login (octocat) or a team (@acme/backend).`},
		{`a@example.com`, nil, nil, `p.yml:1:7: "a@example.com" names nobody. Write a login (octocat) or a team (@acme/backend).`},
	}
	for _, tt := range tests {
		_, problems := readPeople(t, tt.list, tt.permissions, tt.words...)
		if got := problems.Error(); got != tt.want {
			t.Errorf("of %s is said\n%s\nwant\n%s", tt.list, got, tt.want)
		}
	}
}

func TestAmong(t *testing.T) {
	person := func(a pull.Actor, level pull.PermissionLevel) func(*pull.Snapshot) {
		return func(s *pull.Snapshot) {
			s.Known.People = map[string]pull.Person{strings.ToLower(a.Login): {Actor: a, Permission: level}}
		}
	}
	teams := func(s *pull.Snapshot) {
		s.Known.Teams = map[string]pull.Team{"acme/web": {Members: []pull.Actor{bob}}, "acme/lost": {Missing: "there is no such team"}}
	}
	tests := []struct {
		list   string
		who    pull.Actor
		change func(*pull.Snapshot)
		want   string
	}{
		{"BOB", bob, nil, "true"},
		{"bob", carol, nil, "false"},
		{"bob", pull.Actor{Login: "bob"}, nil, "false"},
		{"author", alice, nil, "true"},
		{"author", bob, nil, "false"},
		{`"@ACME/Web"`, bob, nil, "unknown, needs team ACME/Web"},
		{`"@ACME/Web"`, bob, teams, "true"},
		{`"@ACME/Web"`, carol, teams, "false"},
		{`"@acme/lost"`, carol, teams, "unknown: there is no such team"},
		{`["@acme/lost", "@acme/web"]`, bob, teams, "true"},
		{"maintain", bob, nil, "unknown, needs person bob"},
		{"[maintain, bob]", bob, nil, "true"},
		{"maintain", bob, person(bob, pull.PermissionAdmin), "true"},
		{"maintain", bob, person(bob, pull.PermissionWrite), "false"},
		{"read", bob, person(bob, pull.PermissionNone), "false"},
		{"read", bob, person(pull.Actor{ID: 99, Login: "bob"}, pull.PermissionAdmin), "false"},
		{"read", bob, func(s *pull.Snapshot) {
			s.Known.People = map[string]pull.Person{"bob": {Missing: "there is no such account"}}
		}, "unknown: there is no such account"},
		{"[]", alice, nil, "false"},
	}
	for _, tt := range tests {
		p, problems := readPeople(t, tt.list, permissionWords, wordAuthor, wordOwners, wordNobody)
		if problems != nil {
			t.Fatal(problems)
		}
		s := world()
		if tt.change != nil {
			tt.change(&s)
		}
		f := newFacts(must(t, "version: 1\n"), &s, &pull.Memory{}, noon)
		result, why := f.among(p, tt.who, false)
		got := string(result)
		if why != "" {
			got += ": " + why
		}
		for _, n := range f.needs {
			got += fmt.Sprintf(", needs %s %s", n.Kind, n.Name)
		}
		if got != tt.want {
			t.Errorf("%s among %s: %s, want %s", tt.who.Login, tt.list, got, tt.want)
		}
	}
}
