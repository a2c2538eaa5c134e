package github

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A user is an account as the REST API shows it.
type user struct {
	ID    int64
	Login string
	Type  pull.ActorType
}

func (u user) actor() pull.Actor { return pull.Actor{ID: u.ID, Login: u.Login, Type: u.Type} }

// person looks up what an account may do in the repository. Who it is, GitHub says: the number counts, not the name.
func (l *learner) person(n pull.Need) *pull.Fault {
	name := strings.ToLower(n.Name)
	k := person{l.scope, l.s.Repo.ID, name}
	p, known := l.c.learned.people.get(k)
	if !known || n.Fresh {
		var f *pull.Fault
		if p, f = l.askPerson(n.Name); f != nil {
			return f
		}
		l.c.learned.people.put(k, p, 0, peopleFor)
	}
	had := l.s.Known.People[name]
	had.Actor, had.Permission = p.Actor, p.Permission
	if p.Missing != "" {
		had.Missing = p.Missing
	}
	put(&l.s.Known.People, name, had)
	return nil
}

// roles are the roles that GitHub has by itself. An organization may define others, each of which is based on one of them.
var roles = []pull.PermissionLevel{
	pull.PermissionAdmin, pull.PermissionMaintain, pull.PermissionWrite, pull.PermissionTriage, pull.PermissionRead, pull.PermissionNone,
}

func (l *learner) askPerson(login string) (pull.Person, *pull.Fault) {
	if strings.Trim(login, ".") == "" {
		return pull.Person{Missing: "there is no such account"}, nil
	}
	var got struct {
		Permission pull.PermissionLevel
		RoleName   pull.PermissionLevel `json:"role_name"`
		User       *user
	}
	f := l.get("collaborator.get", reading(&got), "", l.repo("collaborators", login, "permission")...)
	switch {
	case f == nil && got.User != nil && got.User.ID != 0:
		p := pull.Person{Actor: got.User.actor(), Permission: got.RoleName}
		if !slices.Contains(roles, p.Permission) {
			p.Permission = got.Permission // what a role of the organization's own is based on
		}
		return p, nil
	case f == nil:
		return pull.Person{Missing: "GitHub does not say who it is"}, nil
	case whole(f):
		return pull.Person{}, f
	case f.Class == pull.FaultGone:
		return pull.Person{Missing: "there is no such account"}, nil
	}
	return pull.Person{Missing: "GitHub does not say what it may do here: " + f.Message}, nil
}

// loadSlots is how many people one query is about.
const loadSlots = 10

// loadsQuery asks about several people at once; slots that are not needed ask about the last one again.
var loadsQuery = operation{"Loads", loadsText()}

func loadsText() string {
	var vars, fields strings.Builder
	for i := range loadSlots {
		fmt.Fprintf(&vars, "$login%d: String!, $search%d: String!, ", i, i)
		fmt.Fprintf(&fields, "  user%d: user(login: $login%d) { databaseId login status { indicatesLimitedAvailability } }\n", i, i)
		fmt.Fprintf(&fields, "  asked%d: search(query: $search%d, type: ISSUE, first: 1) { issueCount }\n", i, i)
	}
	return "\nquery Loads(" + strings.TrimSuffix(vars.String(), ", ") + ") {\n" + fields.String() + "}\n"
}

// logins are those of people. What else there may be (an App's ends in [bot]) has no load.
var logins = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// loads looks up how many open pull requests wait for each person's review, and whether they are away.
func (l *learner) loads(needs []pull.Need) *pull.Fault {
	var ask []string
	for _, n := range needs {
		if n.Kind != pull.NeedLoad {
			continue
		}
		if p, known := l.c.learned.loads.get(person{l.scope, l.s.Repo.ID, strings.ToLower(n.Name)}); known && !n.Fresh {
			l.setLoad(n.Name, p)
		} else if !logins.MatchString(n.Name) {
			l.setLoad(n.Name, pull.Person{Missing: "it is nobody's account"})
		} else {
			ask = append(ask, n.Name)
		}
	}
	for batch := range slices.Chunk(ask, loadSlots) {
		if f := l.askLoads(batch); f != nil {
			return f
		}
	}
	return nil
}

func (l *learner) setLoad(login string, p pull.Person) {
	name := strings.ToLower(login)
	had := l.s.Known.People[name]
	had.Loaded, had.Requests, had.Away = p.Loaded, p.Requests, p.Away
	if had.Actor.ID == 0 {
		had.Actor = p.Actor
	}
	if p.Missing != "" {
		had.Missing = p.Missing
	}
	put(&l.s.Known.People, name, had)
}

func (l *learner) askLoads(batch []string) *pull.Fault {
	l.on = fmt.Sprintf("look up how many reviews are asked of people in %s", l.s.Repo.FullName())
	vars := map[string]string{}
	for i := range loadSlots {
		login := batch[min(i, len(batch)-1)]
		vars[fmt.Sprintf("login%d", i)] = login
		vars[fmt.Sprintf("search%d", i)] = fmt.Sprintf("repo:%s is:pr is:open review-requested:%s", l.s.Repo.FullName(), login)
	}
	var data map[string]*struct {
		DatabaseID int64
		Login      string
		Status     *struct{ IndicatesLimitedAvailability bool }
		IssueCount *int
	}
	f := l.c.query(l.ctx, l.scope, loadsQuery, l.on, vars, &data, func(e gqlError) *pull.Fault {
		if e.Type == "NOT_FOUND" && len(e.Path) == 1 {
			return nil // there is no such person
		}
		return readPullErrors(e)
	})
	if f != nil && whole(f) {
		return f
	}
	for i, login := range batch {
		u, asked := data[fmt.Sprintf("user%d", i)], data[fmt.Sprintf("asked%d", i)]
		p := pull.Person{Loaded: true}
		switch {
		case f != nil:
			p = pull.Person{Missing: "GitHub does not say what is asked of it: " + f.Message}
		case u == nil || u.DatabaseID == 0:
			p = pull.Person{Missing: "there is no person of that name"}
		case asked == nil || asked.IssueCount == nil:
			p = pull.Person{Missing: "GitHub does not say what is asked of it"}
		default:
			p.Actor = pull.Actor{ID: u.DatabaseID, Login: u.Login, Type: pull.User}
			p.Requests, p.Away = *asked.IssueCount, u.Status != nil && u.Status.IndicatesLimitedAvailability
		}
		l.c.learned.loads.put(person{l.scope, l.s.Repo.ID, strings.ToLower(login)}, p, 0, loadFor)
		l.setLoad(login, p)
	}
	return nil
}

// asked notes that somebody was asked for one more review, or one less: GitHub's search finds that only later, and until
// then the same person would be the one with the least to do again and again.
func (c *Client) asked(scope pull.Scope, repo pull.Repo, login string, more int) {
	c.learned.loads.change(person{scope, repo.ID, strings.ToLower(login)}, func(p *pull.Person) { p.Requests = max(0, p.Requests+more) })
}

// team looks up who is in a team, or in one of its child teams.
func (l *learner) team(n pull.Need) *pull.Fault {
	name := strings.ToLower(n.Name)
	k := person{scope: l.scope, name: name}
	t, known := l.c.learned.teams.get(k)
	if !known || n.Fresh {
		var f *pull.Fault
		if t, f = l.askTeam(name); f != nil {
			return f
		}
		keep := teamsFor
		if t.Missing != "" {
			keep = missingFor
		}
		l.c.learned.teams.put(k, t, 64*len(t.Members), keep)
	}
	put(&l.s.Known.Teams, name, t)
	return nil
}

func (l *learner) askTeam(name string) (pull.Team, *pull.Fault) {
	org, slug, ok := strings.Cut(name, "/")
	if !ok || strings.Trim(org, ".") == "" || strings.Trim(slug, ".") == "" || strings.Contains(slug, "/") {
		return pull.Team{Missing: "that is not the name of a team, such as acme/backend"}, nil
	}
	var t pull.Team
	complete, f := l.list("team.members", func(a answer) *pull.Fault {
		var got []user
		f := a.decode(&got)
		for _, u := range got {
			t.Members = append(t.Members, u.actor())
		}
		return f
	}, "orgs", org, "teams", slug, "members")
	switch {
	case f != nil && whole(f):
		return pull.Team{}, f
	case f != nil && l.scope.Installation() > 0 && f.Status == http.StatusForbidden:
		return pull.Team{Missing: `the App may not see who is in it: give it the permission "Members: read" in ` + org}, nil
	case f != nil && l.scope.Installation() == 0 && l.c.standing.blind():
		return pull.Team{Missing: "the token may not see who is in it: it needs the scope read:org"}, nil
	case f != nil && f.Class == pull.FaultGone && l.scope.Installation() > 0:
		return pull.Team{Missing: "there is no such team that the App can see"}, nil
	case f != nil && f.Class == pull.FaultGone:
		return pull.Team{Missing: "there is no such team that the token's owner can see"}, nil
	case f != nil:
		return pull.Team{Missing: "GitHub does not say who is in it: " + f.Message}, nil
	case !complete:
		return pull.Team{Missing: fmt.Sprintf("it has more than %d members", len(t.Members))}, nil
	}
	return t, nil
}
