package delivery

import (
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// How long a key waits for more hints before it is looked at. GitHub sends several events for one click (a push to a
// pull request is a push, a synchronize and a handful of checks), and one look answers them all.
const (
	settleWords  = 0                      // somebody has said something, and waits for the answer
	settlePull   = 200 * time.Millisecond // somebody is watching
	settleChecks = 2 * time.Second        // checks come in swarms; nobody merges by the second
	settleBulk   = 5 * time.Second        // every open pull request of a branch: let what is urgent go first
)

// Route says what intake does with a delivery: which pull requests to look at, how soon, how urgently. It decides only
// where to look, never what is true. The zero Route is "nothing to do"; that is the answer for every event that does
// not concern a pull request and for those that GitHub invents later.
func Route(h pull.Hint) pull.Route {
	if h.Repo.ID == 0 {
		return pull.Route{} // an organization's or an App's event: no repository, no pull request
	}
	switch h.Event {
	case "pull_request":
		// Every action is worth a look, those of label and assignee too: a policy may ask for anything visible.
		if len(h.Numbers) == 0 {
			return pull.Route{}
		}
		r := pull.Route{Settle: settlePull, Priority: pull.Ordinary, Numbers: h.Numbers, Gone: h.Closed}
		switch h.Action {
		case "opened", "reopened", "synchronize":
			// The events that move a head. Others repeat the head as it was when they were written, and late ones would
			// set the index of open heads back; what a pass sees is recorded anyway.
			r.Head, r.HeadAt = h.HeadSHA, h.UpdatedAt
		}
		return r

	case "pull_request_review", "pull_request_review_comment", "issue_comment":
		// There may be a command in it. issue_comment has numbers only where the issue is a pull request.
		if len(h.Numbers) == 0 {
			return pull.Route{}
		}
		return pull.Route{Settle: settleWords, Priority: pull.Urgent, Numbers: h.Numbers}

	case "pull_request_review_thread":
		if len(h.Numbers) == 0 {
			return pull.Route{}
		}
		return pull.Route{Settle: settlePull, Priority: pull.Ordinary, Numbers: h.Numbers}

	case "merge_group":
		// GitHub's merge queue asks for the checks of a commit that it has made for a pull request: somebody waits for ours.
		if len(h.Numbers) == 0 {
			return pull.Route{}
		}
		return pull.Route{Settle: settlePull, Priority: pull.Ordinary, Numbers: h.Numbers}

	case "check_run", "check_suite", "workflow_run", "status":
		// Checks belong to commits. GitHub names the pull requests whose branch is in the same repository; for those of
		// forks, and for statuses, the commit is all there is, and the index of open heads knows the rest.
		r := pull.Route{Settle: settleChecks, Priority: pull.Background, Numbers: h.Numbers, Echo: h.Report}
		if len(r.Numbers) == 0 {
			if h.HeadSHA == "" {
				return pull.Route{}
			}
			r.SHA = h.HeadSHA
		}
		return r

	case "push":
		// A branch that moves changes what can be merged into it, and CODEOWNERS. The default branch holds the policy,
		// which is about every pull request of the repository. A push to a pull request's own branch has its synchronize.
		// Tags and deleted branches have no Branch: GitHub closes the pull requests of the latter, one event each.
		switch h.Branch {
		case "":
			return pull.Route{}
		case h.DefaultBranch:
			return everything()
		}
		return pull.Route{Settle: settleBulk, Priority: pull.Bulk, Base: h.Branch}

	case "label":
		// A label that is renamed or deleted changes pull requests without an event of theirs that could be relied on.
		if h.Action == "edited" || h.Action == "deleted" {
			return everything()
		}

	case "repository", "branch_protection_rule", "repository_ruleset":
		// What may be merged, by which method and from which default branch, is settings too.
		return everything()
	}
	return pull.Route{}
}

func everything() pull.Route {
	return pull.Route{Settle: settleBulk, Priority: pull.Bulk, Base: "*"}
}
