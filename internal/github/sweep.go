package github

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	gh "github.com/google/go-github/v92/github"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// openPullsQuery looks at a hundred open pull requests from afar, for one point. In the order of their creation, so that
// none is skipped because another one moved meanwhile.
var openPullsQuery = operation{"OpenPullRequests", `
query OpenPullRequests($owner: String!, $name: String!, $policy: String!, $page: Int!, $cursor: String) {
  rateLimit { cost limit remaining resetAt }
  repository(owner: $owner, name: $name) {
    databaseId
    name
    owner { login }
    object(expression: $policy) { oid }
    pullRequests(states: [OPEN], first: $page, after: $cursor, orderBy: {field: CREATED_AT, direction: ASC}) {
      pageInfo { hasNextPage endCursor }
      nodes {
        number
        updatedAt
        headRefOid
        baseRef { target { oid } }
        statusCheckRollup { state contexts(first: 1) { ...counts } }
      }
    }
  }
  defaults: repository(owner: $owner, name: ".github") {
    name
    owner { login }
    object(expression: $policy) { oid }
  }
}
` + countsFragment}

// A rollup is GitHub's sum of what has reported on a commit.
type rollup struct {
	State    string
	Contexts contexts
}

type contexts struct {
	page[gqlContext]
	CheckRunCountsByState, StatusContextCountsByState []stateCount
}

type stateCount struct {
	State string
	Count int
}

// String says it in one line. Counts tell more than GitHub's own sum: one of two failures that is mended leaves a
// failure.
func (r *rollup) String() string {
	if r == nil {
		return ""
	}
	words := []string{r.State}
	for _, kind := range []struct {
		name   string
		counts []stateCount
	}{{"runs", r.Contexts.CheckRunCountsByState}, {"statuses", r.Contexts.StatusContextCountsByState}} {
		counts := slices.DeleteFunc(slices.Clone(kind.counts), func(c stateCount) bool { return c.Count == 0 })
		slices.SortFunc(counts, func(a, b stateCount) int { return strings.Compare(a.State, b.State) })
		for _, c := range counts {
			words = append(words, fmt.Sprintf("%s.%s=%d", kind.name, c.State, c.Count))
		}
	}
	return strings.Join(words, " ")
}

// OpenPulls reads a page of a repository's open pull requests, as seen from afar. It costs one request and one point.
// The repository may have been renamed: the page says what it is called now, and its id.
func (c *Client) OpenPulls(ctx context.Context, scope pull.Scope, repo pull.Repo, cursor string) (pull.OpenPage, error) {
	on := "look over the open pull requests of " + repo.FullName()
	where := repo.FullName()
	vars := &variables{Owner: repo.Owner, Name: repo.Name, Policy: "HEAD:" + pull.PolicyFile, Page: c.pages.of(where)}
	if cursor != "" {
		vars.Cursor = &cursor
	}
	type object struct{ OID pull.SHA }
	var data struct {
		Repository *struct {
			repository
			Object       *object
			PullRequests page[struct {
				Number            int
				UpdatedAt         time.Time
				HeadRefOid        pull.SHA
				BaseRef           *struct{ Target *object }
				StatusCheckRollup *rollup
			}]
		}
		Defaults *struct {
			repository
			Object *object
		}
	}
	f := c.query(ctx, scope, openPullsQuery, on, vars, &data, readPullErrors)
	if tooHeavy(f) {
		c.pages.halve(where)
	}
	if f != nil {
		return pull.OpenPage{}, f
	}
	r := data.Repository
	if r == nil {
		return pull.OpenPage{}, &pull.Fault{Class: pull.FaultGone, Op: on, Message: "there is no such repository"}
	}
	oid := func(o *object) pull.SHA {
		if o == nil {
			return ""
		}
		return o.OID
	}
	var defaults pull.SHA
	if o := data.Defaults; o != nil && strings.EqualFold(o.Owner.Login, r.Owner.Login) && strings.EqualFold(o.Name, defaultsRepo) {
		defaults = oid(o.Object)
	}
	policy := oid(r.Object)
	out := pull.OpenPage{Repo: r.repo(), Policy: policy != "" || defaults != "", Pulls: make(map[int]pull.Sight, len(r.PullRequests.Nodes))}
	for _, p := range r.PullRequests.Nodes {
		if p == nil {
			continue
		}
		s := pull.Sight{UpdatedAt: p.UpdatedAt.UTC(), Head: p.HeadRefOid, Checks: p.StatusCheckRollup.String(), Policy: policy, Defaults: defaults}
		if p.BaseRef != nil {
			s.Base = oid(p.BaseRef.Target)
		}
		out.Pulls[p.Number] = s
	}
	if r.PullRequests.PageInfo.HasNextPage {
		out.Next = r.PullRequests.PageInfo.EndCursor
	}
	return out, nil
}

// Repository finds a repository by its name.
func (c *Client) Repository(ctx context.Context, scope pull.Scope, owner, name string) (pull.Repo, error) {
	on := "find the repository " + owner + "/" + name
	var got gh.Repository
	f := c.do(ctx, scope, call{op: "repository.get", on: on, method: http.MethodGet, url: c.path("repos", owner, name), accept: reading(&got)})
	if f == nil && got.GetID() == 0 {
		f = &pull.Fault{Class: pull.FaultUnavailable, Op: on, Message: "GitHub's answer held no repository"}
	}
	if f != nil {
		return pull.Repo{}, f
	}
	return pull.Repo{ID: got.GetID(), Owner: got.GetOwner().GetLogin(), Name: got.GetName()}, nil
}

// Installations lists the scopes of the App's installations, suspended ones left out.
func (c *Client) Installations(ctx context.Context) ([]pull.Scope, error) {
	var scopes []pull.Scope
	f := c.pages100(c.path("app", "installations"), func(address string) (string, *pull.Fault) {
		var got []*gh.Installation
		next := ""
		f := c.asApp(ctx, call{
			op: "installation.list", on: "list the App's installations", method: http.MethodGet, url: address,
			accept: func(a answer) *pull.Fault {
				next = nextParam(a.header, "page")
				return a.decode(&got)
			},
		})
		for _, in := range got {
			if in.GetID() > 0 && in.SuspendedAt == nil {
				scopes = append(scopes, pull.ScopeApp(in.GetID()))
			}
		}
		return next, f
	})
	if f != nil {
		return nil, f
	}
	return scopes, nil
}

// InstallationRepos lists the repositories of an installation.
func (c *Client) InstallationRepos(ctx context.Context, scope pull.Scope) ([]pull.Repo, error) {
	var repos []pull.Repo
	on := "list the repositories of installation " + strconv.FormatInt(scope.Installation(), 10)
	f := c.pages100(c.path("installation", "repositories"), func(address string) (string, *pull.Fault) {
		var got gh.ListRepositories
		next := ""
		f := c.do(ctx, scope, call{
			op: "installation.repositories", on: on, method: http.MethodGet, url: address,
			accept: func(a answer) *pull.Fault {
				next = nextParam(a.header, "page")
				return a.decode(&got)
			},
		})
		for _, r := range got.Repositories {
			if r.GetID() > 0 && !r.GetArchived() {
				repos = append(repos, pull.Repo{ID: r.GetID(), Owner: r.GetOwner().GetLogin(), Name: r.GetName()})
			}
		}
		return next, f
	})
	if f != nil {
		return nil, f
	}
	return repos, nil
}
