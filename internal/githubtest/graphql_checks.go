package githubtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// rollup is null while nothing has reported.
func (x *gqlExec) rollup(r *Repo, sha string, path []any, f *ast.Field) any {
	if x.forbidden(r, "checks:read", path, f) || x.forbidden(r, "statuses:read", path, f) {
		return nil
	}
	if _, ok := r.rollup(sha); !ok {
		return nil
	}
	return rollup{r, sha}
}

func (x *gqlExec) ofRollup(o rollup, f *ast.Field, args map[string]any, path []any) any {
	switch f.Name {
	case "id":
		return "SCR_" + o.sha[:16]
	case "state":
		state, _ := o.repo.rollup(o.sha)
		return state
	case "commit":
		return x.commit(o.repo, o.sha)
	case "contexts":
		// A run that was repeated stands beside its older ones.
		runs, statuses := o.repo.runs[o.sha], o.repo.contexts(o.sha)
		return x.page(f, args, path, "StatusCheckRollupContext", append(anys(runs), anys(statuses)...),
			map[string]any{
				"checkRunCount": len(runs), "statusContextCount": len(statuses),
				"checkRunCountsByState":      countsByState("CheckRunStateCount", runs, (*Check).runState),
				"statusContextCountsByState": countsByState("StatusContextStateCount", statuses, func(st *Status) string { return strings.ToUpper(st.state) }),
			})
	}
	return nil
}

// runState is a run's conclusion once it has one, else its status.
func (c *Check) runState() string {
	return strings.ToUpper(cmp.Or(c.conclusion, c.status))
}

// countsByState counts those that are in each state, states that nobody is in left out.
func countsByState[T any](typ string, all []T, state func(T) string) []any {
	counts := map[string]int{}
	for _, x := range all {
		counts[state(x)]++
	}
	out := []any{}
	for _, s := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, stateCount{typ, s, counts[s]})
	}
	return out
}

func (x *gqlExec) requiredBy(r *Repo, args map[string]any, name string, app *App) bool {
	for _, pr := range r.pulls {
		if pr.number == number(args["pullRequestNumber"]) || pr.nodeID == text(args["pullRequestId"]) {
			return pr.required(name, app)
		}
	}
	return false
}

func (x *gqlExec) ofCheck(c *Check, f *ast.Field, args map[string]any) any {
	switch f.Name {
	case "databaseId":
		return c.id
	case "id":
		return c.nodeID
	case "name":
		return c.name
	case "status":
		return strings.ToUpper(c.status)
	case "conclusion":
		return upperOrNull(c.conclusion)
	case "startedAt":
		return c.started
	case "completedAt":
		return c.completed
	case "detailsUrl", "permalink", "url":
		return c.details()
	case "externalId":
		return orNull(c.externalID)
	case "title":
		return orNull(c.title)
	case "summary":
		return orNull(c.summary)
	case "text":
		return orNull(c.text)
	case "checkSuite":
		return c.suite
	case "isRequired":
		return x.requiredBy(c.repo, args, c.name, c.suite.app)
	}
	return nil
}

func (x *gqlExec) ofSuite(su *suite, f *ast.Field, args map[string]any, path []any) any {
	status, conclusion := su.state()
	switch f.Name {
	case "id":
		return su.nodeID
	case "databaseId":
		return su.id
	case "app":
		return su.app
	case "status":
		return strings.ToUpper(status)
	case "conclusion":
		return upperOrNull(conclusion)
	case "createdAt":
		return su.created
	case "updatedAt":
		return su.updated
	case "commit":
		return x.commit(su.repo, su.sha)
	case "checkRuns":
		return x.page(f, args, path, "CheckRun", anys(su.runs(true)), nil)
	}
	return nil
}

func (x *gqlExec) ofStatus(st *Status, f *ast.Field, args map[string]any) any {
	switch f.Name {
	case "id":
		return st.nodeID
	case "context":
		return st.context
	case "state":
		return strings.ToUpper(st.state)
	case "description":
		return orNull(st.description)
	case "targetUrl":
		return orNull(st.targetURL)
	case "createdAt":
		return st.created
	case "creator":
		return who(st.creator)
	case "commit":
		return x.commit(st.repo, st.sha)
	case "isRequired":
		var by *App
		for _, a := range x.s.apps {
			if a.Bot == st.creator {
				by = a
			}
		}
		return x.requiredBy(st.repo, args, st.context, by)
	}
	return nil
}

// Connections.
