package policy

import (
	"slices"
	"strings"

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

// What may stand in a list of people beside logins and teams.
const (
	wordAuthor = "author"
	wordOwners = "codeowners"
)

// permissionRank orders permissions; a higher one includes the lower ones.
var permissionRank = map[pull.PermissionLevel]int{
	pull.PermissionRead: 1, pull.PermissionTriage: 2, pull.PermissionWrite: 3, pull.PermissionMaintain: 4, pull.PermissionAdmin: 5,
}

// reaches reports whether a permission is at least another.
func reaches(have, want pull.PermissionLevel) bool {
	return permissionRank[have] >= permissionRank[want] && want != ""
}

// people reads a list of people. words are those of wordAuthor and wordOwners that mean something there.
func (r *reader) people(e entry, words ...string) *people {
	out := &people{pos: e.at}
	items := r.list(e.value, e.key)
	out.source = sourceOf(e.key, items)
	for _, s := range items {
		level := pull.PermissionLevel(strings.ToLower(s.text))
		switch {
		case s.text == wordAuthor && slices.Contains(words, wordAuthor):
			out.author = true
		case s.text == wordOwners && slices.Contains(words, wordOwners):
			out.owners = true
		case permissionRank[level] > 0:
			if out.atLeast == "" || permissionRank[level] < permissionRank[out.atLeast] {
				out.atLeast = level
			}
		case teamForm.MatchString(s.text):
			out.teams = append(out.teams, strings.TrimPrefix(s.text, "@"))
		case strings.HasPrefix(s.text, "@") && loginForm.MatchString(s.text[1:]), loginForm.MatchString(s.text):
			out.logins = append(out.logins, strings.TrimPrefix(s.text, "@"))
		default:
			r.say(s.at, "Write a login (octocat), a team (@acme/backend) or a permission (maintain).", "%q names nobody.", s.text)
		}
	}
	return out
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
		if !f.need(pull.Need{Kind: pull.NeedTeam, Name: name}) {
			result = Unknown
			continue
		}
		team := f.s.Known.Teams[strings.ToLower(name)]
		switch {
		case slices.ContainsFunc(team.Members, a.Same):
			return True, ""
		case team.Missing != "":
			result, why = Unknown, team.Missing
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
