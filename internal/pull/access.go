package pull

import (
	"maps"
	"slices"
	"strings"
)

// AppPermissions are what a GitHub App must be permitted: what the service does with each is said beside it.
func AppPermissions() map[string]string {
	return map[string]string{
		"metadata":      "read",
		"contents":      "write", // merge, update and delete branches, make drafts of pull requests, read the policy
		"pull_requests": "write", // ask for reviews, approve, retitle, close, react
		"issues":        "write", // labels, assignees, comments
		"checks":        "write", // the report; have checks of other Apps run again
		"statuses":      "write",
		"actions":       "write", // have failed jobs of workflows run again
		"merge_queues":  "read",  // hear of GitHub's own merge queue
		members:         "read",  // who is in a team, and ask teams for reviews
	}
}

// doesWithout are the permissions and events that only a part of the service needs, and which part: without them all the rest
// works as it does with them, so nobody who has set up an App or a webhook before has to change it.
var doesWithout = map[string]string{
	"actions":                    "/retest can't run workflows again",
	"merge_queues":               "GitHub's own merge queue is not heard of",
	members:                      "teams in a policy are not known",
	"merge_group":                "GitHub's own merge queue is told about approvals late or not at all",
	"pull_request_review_thread": "a conversation that is resolved is noticed late",
}

// Without says what does not work because of permissions and events that doesWithout names and have does not hold, sorted.
func Without(permissions map[string]string, events []string) (what []string) {
	for name, level := range AppPermissions() {
		if part := doesWithout[name]; part != "" && ranks[permissions[name]] < ranks[level] && permissions != nil {
			what = append(what, name+": "+level+" ("+part+")")
		}
	}
	for _, e := range AppEvents() {
		if part := doesWithout[e]; part != "" && !slices.Contains(events, e) && !slices.Contains(events, "*") {
			what = append(what, e+" ("+part+")")
		}
	}
	slices.Sort(what)
	return what
}

var ranks = map[string]int{"read": 1, "write": 2, "admin": 3}

// members is the one permission that is on an organization. On a person's account there is none of the kind.
const members = "members"

// AppEvents are the events that a GitHub App must hear of. What it is not told of, only the sweep finds.
func AppEvents() []string {
	return []string{
		"pull_request", "pull_request_review", "pull_request_review_comment", "pull_request_review_thread", "issue_comment",
		"check_run", "check_suite", "status", "push", "merge_group",
	}
}

// An App is a GitHub App as GitHub describes it to itself.
type App struct {
	ID          int64
	Slug        string
	Permissions map[string]string // name to read, write or admin
	Events      []string
}

// Lacks returns what of permissions ("checks: write") and events the App has not been given, sorted.
func (a App) Lacks() (permissions, events []string) {
	return LackingPermissions(a.Permissions), LackingEvents(a.Events)
}

// LackingPermissions are those of AppPermissions that have does not hold and nothing works without, sorted.
func LackingPermissions(have map[string]string) (lacking []string) {
	need := AppPermissions()
	for _, name := range slices.Sorted(maps.Keys(need)) {
		if ranks[have[name]] < ranks[need[name]] && doesWithout[name] == "" {
			lacking = append(lacking, name+": "+need[name])
		}
	}
	return lacking
}

// LackingEvents are those of AppEvents that have does not hold and nothing works without, sorted. A webhook of a repository may have "*".
func LackingEvents(have []string) (lacking []string) {
	if slices.Contains(have, "*") {
		return nil
	}
	for _, e := range slices.Sorted(slices.Values(AppEvents())) {
		if !slices.Contains(have, e) && doesWithout[e] == "" {
			lacking = append(lacking, e)
		}
	}
	return lacking
}

// A TokenKind is what sort of token GITHUB_TOKEN holds.
type TokenKind string

// The kinds. Only a classic one has scopes, and only it can do all that the service does.
const (
	TokenClassic     TokenKind = "classic"
	TokenFineGrained TokenKind = "fine-grained"
	TokenOther       TokenKind = "other" // of an App or of a workflow: it lasts an hour or less
)

// A Token is a personal access token as far as GitHub's answers to it tell.
type Token struct {
	Kind   TokenKind
	Scopes []string // of a classic one
}

// SeesTeams reports whether a classic token is shown an organization's teams.
func (t Token) SeesTeams() bool {
	return slices.ContainsFunc([]string{"read:org", "write:org", "admin:org"}, func(s string) bool { return slices.Contains(t.Scopes, s) })
}

// Lacks says in a few words what the token would need, "" when it has that.
func (t Token) Lacks() string {
	switch {
	case t.Kind == TokenFineGrained:
		return "GITHUB_TOKEN is a fine-grained token, which GitHub lets read no checks: use a classic one with the scope repo, or an App"
	case t.Kind != TokenClassic, slices.Contains(t.Scopes, "repo"), slices.Contains(t.Scopes, "public_repo"):
		return ""
	case len(t.Scopes) == 0:
		return "GITHUB_TOKEN has no scope: it needs repo (or public_repo, for public repositories only)"
	}
	return "GITHUB_TOKEN has the scopes " + strings.Join(t.Scopes, ", ") + ": it needs repo (or public_repo, for public repositories only)"
}

// An Installation is the App in one account.
type Installation struct {
	ID          int64
	Account     string
	Suspended   bool
	Permissions map[string]string // that its owner has accepted
	Events      []string
}

// Lacks are the permissions and events that the installation's owner has not accepted, sorted.
func (in Installation) Lacks() (lacking []string) {
	return append(LackingPermissions(in.Permissions), LackingEvents(in.Events)...)
}

// A HookSetup is how a webhook is set up at GitHub.
type HookSetup struct {
	Hook        Hook
	ContentType string // json or form
	InsecureTLS bool   // GitHub does not check our certificate
	Active      bool
	Events      []string
}

// A Limit is what is left of one of GitHub's hourly limits.
type Limit struct {
	Resource         string // core or graphql
	Limit, Remaining int
}

// A RepoSetup is how a repository is set up at GitHub, as far as it bears on what the service can do there.
type RepoSetup struct {
	Repo          Repo // as it is called now
	Archived      bool
	DefaultBranch string
	Required      []string // checks that the default branch requires, sorted
	MergeQueue    bool     // it can be merged into by GitHub's own merge queue only
	Heads         int      // how many heads of the newest pull requests were looked at
	Reported      []string // the checks that have reported on one of them
	Owners        []string // what GitHub says is wrong with CODEOWNERS
	Policy        []byte   // the policy file on the default branch; nil: there is none
}
