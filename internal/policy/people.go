package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/goccy/go-yaml/ast"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// people are those whom a rule is about, by any of: account, team, permission on the repository, being the author, or being
// an owner of the changed files.
type people struct {
	source  string
	pos     Pos
	logins  []string
	teams   []string             // "acme/backend"
	atLeast pull.PermissionLevel // everybody with this permission or a higher one; "" is nobody
	author  bool                 // the author of the pull request
	owners  bool                 // the code owners of the files that are changed
}

// What may stand in a list of people beside logins, teams and permissions, where it means something.
const (
	wordAuthor = "author"
	wordOwners = "codeowners"
	// wordNobody is an empty list: it is nobody, where without the key it would be somebody.
	wordNobody = "[]"
)

// permissionRank orders permissions; a higher one includes the lower ones.
var permissionRank = map[pull.PermissionLevel]int{
	pull.PermissionRead: 1, pull.PermissionTriage: 2, pull.PermissionWrite: 3, pull.PermissionMaintain: 4, pull.PermissionAdmin: 5,
}

// permissionWords are the permissions as a list of people writes them.
var permissionWords = []string{"read", "triage", "write", "maintain", "admin"}

// reaches reports whether a permission is at least another.
func reaches(have, want pull.PermissionLevel) bool {
	return permissionRank[have] >= permissionRank[want] && want != ""
}

// people reads a list of people: logins, teams, permissions, and those of the words above that are named. An @ before a login
// or a team is as good as none, but marks it as one: @write is an account, write a permission.
func (r *reader) people(e entry, words ...string) *people {
	return r.peopleOf(e, permissionWords, words...)
}

// peopleOf is people with the permissions that mean something there.
func (r *reader) peopleOf(e entry, permissions []string, words ...string) *people {
	out := &people{pos: e.at, source: e.key + ": nobody"}
	if list, ok := e.value.(*ast.SequenceNode); ok && len(list.Values) == 0 && slices.Contains(words, wordNobody) {
		return out
	}
	items := r.list(e.value, e.key)
	out.source = sourceOf(e.key, items)
	possible := slices.Concat(permissions, words)
	for _, s := range items {
		name, marked := strings.CutPrefix(s.text, "@")
		word := strings.ToLower(s.text)
		switch {
		case teamForm.MatchString(name):
			out.teams = append(out.teams, name)
		case marked && loginForm.MatchString(name):
			out.logins = append(out.logins, name)
		case word == wordAuthor && slices.Contains(words, word):
			out.author = true
		case word == wordOwners && slices.Contains(words, word):
			out.owners = true
		case slices.Contains(permissions, word):
			if level := pull.PermissionLevel(word); out.atLeast == "" || permissionRank[level] < permissionRank[out.atLeast] {
				out.atLeast = level
			}
		case word == wordAuthor || word == wordOwners || slices.Contains(permissionWords, word):
			r.say(s.at, fmt.Sprintf("Write a login (octocat) or a team (@acme/backend); %s if an account is called that.", "@"+word), "%q can't stand here.", s.text)
		case peopleSynonyms[word] != "" && slices.Contains(possible, peopleSynonyms[word]):
			hint := fmt.Sprintf("Write %s; %s if an account is called that.", peopleSynonyms[word], "@"+s.text)
			r.say(s.at, hint, "%q is not a word for anybody here.", s.text)
		case misspelt(word, possible) != "":
			r.say(s.at, fmt.Sprintf("Did you mean %q? Write %s if an account is called that.", misspelt(word, possible), "@"+s.text), "%q looks like a misspelt word.", s.text)
		case loginForm.MatchString(name):
			out.logins = append(out.logins, name)
		default:
			hint := "Write a login (octocat) or a team (@acme/backend)."
			if len(permissions) > 0 {
				hint = "Write a login (octocat), a team (@acme/backend) or a permission (maintain)."
			}
			r.say(s.at, hint, "%q names nobody.", s.text)
		}
	}
	return out
}

// peopleSynonyms are what people write for the words that a list of people knows.
var peopleSynonyms = map[string]string{
	"nobody": wordNobody, "none": wordNobody, "owner": wordOwners, "owners": wordOwners, "code-owners": wordOwners, "code_owners": wordOwners,
	"everybody": "read", "everyone": "read", "anybody": "read", "anyone": "read", "all": "read",
	"maintainer": "maintain", "maintainers": "maintain", "collaborator": "write", "collaborators": "write", "writer": "write", "writers": "write", "push": "write", "pull": "read",
}

// misspelt returns the word that another is likely a misspelling of, or "". A list of people takes any login, so only what
// is very near counts: a letter or two, or letters that have changed places.
func misspelt(word string, words []string) string {
	letters := func(s string) string {
		l := []rune(s)
		slices.Sort(l)
		return string(l)
	}
	for _, w := range words {
		if d := levenshtein.ComputeDistance(word, w); len(word) > 3 && (d <= max(1, len(w)/4) || letters(word) == letters(w)) {
			return w
		}
	}
	return ""
}

// empty reports whether p is nobody.
func (p *people) empty() bool {
	return len(p.logins) == 0 && len(p.teams) == 0 && p.atLeast == "" && !p.author && !p.owners
}

// roles say who has at least a permission, as reasons name them.
var roles = map[pull.PermissionLevel]string{
	pull.PermissionRead: WhoReader, pull.PermissionTriage: WhoTriage, pull.PermissionWrite: WhoWriter,
	pull.PermissionMaintain: WhoMaintainer, pull.PermissionAdmin: WhoAdmin,
}

// names say who p is, for people.
func (p *people) names(s *pull.Snapshot) []string {
	if p == nil {
		return nil
	}
	var out []string
	if p.author {
		out = append(out, who(s.Author)...)
	}
	out = append(out, p.logins...)
	for _, t := range p.teams {
		out = append(out, "@"+t)
	}
	if role := roles[p.atLeast]; role != "" {
		out = append(out, role)
	}
	if p.owners {
		out = append(out, WhoCodeOwner)
	}
	return distinct(out)
}

// among tells whether an account is one of p. Unknown means that more has to be looked up, which is noted as a need, or, once
// it was, that GitHub does not tell; why says so then. fresh asks for a permission of now, not of the last minute.
func (f *facts) among(p *people, a pull.Actor, fresh bool) (result Result, why string) {
	if a.ID == 0 || a.Login == "" {
		return False, ""
	}
	if p.author && a.Same(f.s.Author) {
		return True, ""
	}
	for _, login := range p.logins {
		if strings.EqualFold(login, a.Login) {
			return True, ""
		}
	}
	result = False
	for _, name := range p.teams {
		switch r, unknown := f.inTeam(name, a); r {
		case True:
			return True, ""
		case Unknown:
			result, why = Unknown, unknown
		}
	}
	if p.atLeast != "" {
		level, unknown := f.permission(a, fresh)
		switch {
		case level != "" && reaches(level, p.atLeast):
			return True, ""
		case level == "":
			result, why = Unknown, unknown
		}
	}
	if p.owners {
		switch r, unknown := f.owns(a); r {
		case True:
			return True, ""
		case Unknown:
			result, why = Unknown, unknown
		}
	}
	return result, why
}

// permission returns what an account may do on the repository; "" while it is not known, and why, once GitHub was asked.
func (f *facts) permission(a pull.Actor, fresh bool) (level pull.PermissionLevel, why string) {
	if !f.need(pull.Need{Kind: pull.NeedPerson, Name: a.Login, Fresh: fresh}) {
		return "", ""
	}
	p := f.s.Known.People[strings.ToLower(a.Login)]
	switch {
	case p.Missing != "":
		return "", p.Missing
	case !p.Actor.Same(a):
		return pull.PermissionNone, "" // the login is another account's by now
	}
	return p.Permission, ""
}

// inTeam tells whether an account is in a team; see people.among for Unknown.
func (f *facts) inTeam(name string, a pull.Actor) (result Result, why string) {
	if !f.need(pull.Need{Kind: pull.NeedTeam, Name: name}) {
		return Unknown, ""
	}
	team := f.s.Known.Teams[strings.ToLower(name)]
	switch {
	case slices.ContainsFunc(team.Members, a.Same):
		return True, ""
	case team.Missing != "":
		return Unknown, team.Missing
	}
	return False, ""
}
