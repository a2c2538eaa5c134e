package githubtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

const snapshot = `
query Snapshot($owner: String!, $name: String!, $number: Int!, $deep: Boolean = true) {
  viewer { login databaseId __typename }
  rateLimit { cost remaining limit used }
  repository(owner: $owner, name: $name) {
    nameWithOwner viewerPermission mergeCommitAllowed isArchived
    defaultBranchRef { name target { oid ... on Commit { messageHeadline } } }
    policy: object(expression: "HEAD:.github/pr-manager.yml") { oid ... on Blob { text byteSize isBinary isTruncated } }
    none: object(expression: "HEAD:nowhere.yml") { oid }
    pullRequest(number: $number) {
      ...facts
      ... on PullRequest { title labels(first: 10) { totalCount } }
      labels(first: 10) { nodes { name } }
      timelineItems(last: 10, itemTypes: [LABELED_EVENT, UNLABELED_EVENT]) {
        nodes { __typename ... on LabeledEvent { actor { login } label { name } } ... on UnlabeledEvent { actor { login } label { name } } }
      }
      everything: timelineItems(first: 50) { nodes { __typename ... on PullRequestReview { state } ... on IssueComment { body } } }
      reviews(last: 10, states: [APPROVED, CHANGES_REQUESTED]) {
        nodes { state commit { oid } authorCanPushToRepository authorAssociation author { __typename login ... on User { databaseId } ... on Bot { databaseId } } }
      }
      files(first: 10) @include(if: $deep) { nodes { path additions deletions changeType } }
      commits(last: 1) { nodes { commit { oid statusCheckRollup { state contexts(first: 10) { checkRunCount nodes {
        __typename
        ... on CheckRun { name status conclusion isRequired(pullRequestNumber: $number) checkSuite { app { slug } } }
        ... on StatusContext { context state creator { __typename login } isRequired(pullRequestNumber: $number) }
      } } } } } }
    }
  }
}
fragment facts on PullRequest { number state isDraft merged author { __typename login } baseRefOid baseRef { target { oid } } headRefOid changedFiles isCrossRepository mergedBy { login } }
`

func TestASnapshotByGraphQL(t *testing.T) {
	w := newWorld(t)
	before := w.repo.Tip("main")
	pr := w.open("topic", "a.txt", "a\n")
	pr.Label(w.bob, "bug")
	pr.Label(w.bob, "hold")
	pr.Unlabel(w.carol, "hold")
	pr.Comment(w.bob, "hello")
	pr.Review(w.mallory, "comment")
	pr.Review(w.bob, "approve")
	w.repo.Protect("main", &githubtest.Protection{Checks: []githubtest.RequiredCheck{{Context: "test", App: w.ci}}})
	w.repo.Check(pr.Head(), w.ci, "test", "completed", "failure")
	w.repo.Check(pr.Head(), w.ci, "test", "completed", "success")
	w.repo.Status(pr.Head(), "lint", "success", w.User("linter"))
	main := w.repo.Push("main", map[string]string{"z": "z\n"}, "z", w.bob)
	w.do(w.install.Token(), "POST", "/repos/octo/app/statuses/"+pr.Head(), obj{"state": "pending", "context": "pr-manager"})

	d := w.query(w.install.Token(), snapshot, obj{"owner": "octo", "name": "app", "number": 1})
	if d["errors"] != nil {
		t.Fatalf("errors: %v", d["errors"])
	}
	for path, want := range map[string]any{
		"viewer.login": "pr-manager[bot]", "viewer.__typename": "User", "rateLimit.cost": 1.0, "rateLimit.remaining": 4999.0,
		"repository.nameWithOwner": "octo/app", "repository.policy.text": "version: 1\n", "repository.policy.isTruncated": false, "repository.none": nil,
		"repository.defaultBranchRef.target.oid": main, "repository.defaultBranchRef.target.messageHeadline": "z",
		"repository.pullRequest.state": "OPEN", "repository.pullRequest.title": "Change a.txt", "repository.pullRequest.headRefOid": pr.Head(),
		"repository.pullRequest.baseRefOid": before, "repository.pullRequest.baseRef.target.oid": main,
		"repository.pullRequest.author.__typename": "User", "repository.pullRequest.mergedBy": nil,
		"repository.pullRequest.labels.nodes.0.name": "bug", "repository.pullRequest.labels.totalCount": 1.0,
		"repository.pullRequest.timelineItems.nodes.2.__typename": "UnlabeledEvent", "repository.pullRequest.timelineItems.nodes.2.actor.login": "carol",
		"repository.pullRequest.everything.nodes.3.body": "hello", "repository.pullRequest.everything.nodes.5.state": "APPROVED",
		"repository.pullRequest.reviews.nodes.0.author.login": "bob", "repository.pullRequest.reviews.nodes.0.authorCanPushToRepository": true,
		"repository.pullRequest.reviews.nodes.0.commit.oid": pr.Head(), "repository.pullRequest.reviews.nodes.1": nil,
		"repository.pullRequest.files.nodes.0.changeType":                                             "ADDED",
		"repository.pullRequest.commits.nodes.0.commit.statusCheckRollup.state":                       "PENDING",
		"repository.pullRequest.commits.nodes.0.commit.statusCheckRollup.contexts.checkRunCount":      2.0,
		"repository.pullRequest.commits.nodes.0.commit.statusCheckRollup.contexts.nodes.0.conclusion": "FAILURE",
		"repository.pullRequest.commits.nodes.0.commit.statusCheckRollup.contexts.nodes.1.isRequired": true,
		"repository.pullRequest.commits.nodes.0.commit.statusCheckRollup.contexts.nodes.2.isRequired": false,
		"repository.pullRequest.commits.nodes.0.commit.statusCheckRollup.contexts.nodes.3.creator":    obj{"__typename": "Bot", "login": "pr-manager"},
	} {
		if got := at(d, "data."+path); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
}

func TestNothingReportedIsNoRollup(t *testing.T) {
	w := newWorld(t)
	w.open("topic", "a.txt", "a\n")
	d := w.query(w.carol.Token(), `{repository(owner:"octo",name:"app"){pullRequest(number:1){commits(last:1){nodes{commit{statusCheckRollup{state}}}}}}}`, nil)
	commit := at(d, "data.repository.pullRequest.commits.nodes.0.commit").(obj)
	if roll, there := commit["statusCheckRollup"]; !there || roll != nil {
		t.Errorf("statusCheckRollup = %v, want null", roll)
	}
}

func TestGraphQLRefuses(t *testing.T) {
	w := newWorld(t)
	w.Repo("octo/secret", githubtest.RepoOptions{Private: true})
	w.open("topic", "a", "a\n")
	in := func(s string) string { return `{repository(owner:"octo",name:"app"){` + s + `}}` }
	for _, tt := range []struct{ name, query, kind, message string }{
		{"unknown field", in("stars"), "undefinedField", "Field 'stars' doesn't exist on type 'Repository'"},
		{"unknown argument", in("pullRequest(id: 1){id}"), "", ""},
		{"no selection", in("owner"), "", ""},
		{"syntax", "{", "", ""},
		{"no such repository", `{repository(owner:"octo",name:"nope"){id}}`, "NOT_FOUND", "Could not resolve to a Repository with the name 'octo/nope'."},
		{"hidden repository", `{repository(owner:"octo",name:"secret"){id}}`, "NOT_FOUND", "Could not resolve to a Repository with the name 'octo/secret'."},
		{"no such pull request", in("pullRequest(number: 9){id}"), "NOT_FOUND", "Could not resolve to a PullRequest with the number of 9."},
		{"no limit", in("pullRequests{nodes{id}}"), "MISSING_PAGINATION_BOUNDARIES", "You must provide a `first` or `last` value to properly paginate the `pullRequests` connection."},
		{"too many", in("pullRequests(first:101){nodes{id}}"), "EXCESSIVE_PAGINATION", "Requesting 101 records on the `pullRequests` connection exceeds the `first` limit of 100 records."},
		{"a cursor of another world", in(`pullRequests(first:1,after:"x"){nodes{id}}`), "INVALID_CURSOR_ARGUMENTS", "`x` does not appear to be a valid cursor."},
		{"too deep", in("pullRequests(first:100){nodes{commits(first:100){nodes{commit{parents(first:100){nodes{oid}}}}}}}"), "MAX_NODE_LIMIT_EXCEEDED", "This query requests up to 1010100 possible nodes which exceeds the maximum limit of 500,000."},
	} {
		d := w.query(w.mallory.Token(), tt.query, nil)
		e, _ := at(d, "errors.0").(obj)
		if e == nil {
			t.Errorf("%s: no error in %v", tt.name, d)
			continue
		}
		kind := e["type"]
		if kind == nil {
			kind = at(e, "extensions.code")
		}
		if tt.kind != "" && (kind != tt.kind || e["message"] != tt.message) {
			t.Errorf("%s: error = %v %q, want %v %q", tt.name, kind, e["message"], tt.kind, tt.message)
		}
	}
	eq(t, "without a token", w.do("", "POST", "/graphql", obj{"query": "{viewer{login}}"}).status, 401)
	eq(t, "a missing variable", at(w.query(w.mallory.Token(), snapshot, obj{"owner": "octo"}), "errors.0") != nil, true)
}

func TestGraphQLPermissionsOfAnInstallation(t *testing.T) {
	w := newWorld(t)
	secret := w.Repo("octo/secret", githubtest.RepoOptions{Private: true})
	secret.Grant(w.alice, githubtest.CanWrite)
	secret.Push("topic", map[string]string{"a": "a"}, "a", w.alice)
	secret.Open(w.alice, "topic", "main", "a", "")
	weak := w.App("weak", githubtest.AppOptions{Permissions: map[string]string{"pull_requests": "read"}}).Install(secret.Owner(), secret)
	d := w.query(weak.Token(), `{repository(owner:"octo",name:"secret"){object(expression:"HEAD:README.md"){oid} pullRequest(number:1){title statusCheckRollup{state}}}}`, nil)
	eq(t, "title", fmt.Sprint(at(d, "data.repository.pullRequest.title")), "a")
	eq(t, "errors", fmt.Sprint(at(d, "errors.0.type"), at(d, "errors.0.path"), at(d, "errors.1.type"), at(d, "errors.1.path")),
		"FORBIDDEN[repository object]FORBIDDEN[repository pullRequest statusCheckRollup]")
	elsewhere := w.App("elsewhere", githubtest.AppOptions{}).Install(w.repo.Owner(), w.repo)
	d = w.query(elsewhere.Token(), `{repository(owner:"octo",name:"secret"){id}}`, nil)
	eq(t, "an installation elsewhere", fmt.Sprint(at(d, "errors.0.type")), "NOT_FOUND")
}

func TestConnectionsHavePages(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "a", "a\n")
	for i := range 5 {
		pr.Label(w.bob, fmt.Sprintf("l%d", i))
	}
	const q = `query($f: Int, $l: Int, $a: String, $b: String) {repository(owner:"octo",name:"app"){pullRequest(number:1){labels(first:$f,last:$l,after:$a,before:$b){
		totalCount pageInfo{hasNextPage hasPreviousPage startCursor endCursor} nodes{name} edges{cursor node{name}}}}}}`
	page := func(vars obj) (names string, info obj) {
		d := w.query(w.bob.Token(), q, vars)
		c := at(d, "data.repository.pullRequest.labels").(obj)
		for _, n := range c["nodes"].([]any) {
			names += fmt.Sprint(at(n, "name"), " ")
		}
		return strings.TrimSpace(names), c["pageInfo"].(obj)
	}
	names, info := page(obj{"f": 2})
	eq(t, "first 2", fmt.Sprint(names, info["hasNextPage"], info["hasPreviousPage"]), "l0 l1true false")
	names, info = page(obj{"f": 3, "a": info["endCursor"]})
	eq(t, "next 3", fmt.Sprint(names, info["hasNextPage"], info["hasPreviousPage"]), "l2 l3 l4false true")
	names, info = page(obj{"l": 2})
	eq(t, "last 2", fmt.Sprint(names, info["hasNextPage"], info["hasPreviousPage"]), "l3 l4false true")
	names, _ = page(obj{"l": 2, "b": info["startCursor"]})
	eq(t, "2 before them", names, "l1 l2")
}

func TestTheCostIsTheConnectionsOverAHundred(t *testing.T) {
	w := newWorld(t)
	d := w.query(w.bob.Token(), `{rateLimit{cost nodeCount} repository(owner:"octo",name:"app"){pullRequests(first:100){nodes{labels(first:50){nodes{name}} reviews(first:20){nodes{comments:state}}}}}}`, nil)
	eq(t, "cost", fmt.Sprint(at(d, "data.rateLimit.cost")), "2") // 1 + 100 + 100, as in GitHub's own example
	eq(t, "nodes", fmt.Sprint(at(d, "data.rateLimit.nodeCount")), "7100")
}

// TestEveryFieldIsAnswered asks for every field of every type in the schema somewhere, so that none is declared only.
func TestEveryFieldIsAnswered(t *testing.T) {
	w := newWorld(t)
	s := gqlparser.MustLoadSchema(&ast.Source{Input: githubtest.Schema()})
	pr := w.open("topic", "a/b", "a\n")
	pr.Label(w.bob, "bug")
	pr.Unlabel(w.bob, "bug")
	pr.Label(w.bob, "bug")
	pr.Review(w.bob, "approve").Dismiss(w.carol)
	pr.Comment(w.bob, "hi")
	pr.Edit(w.alice, "New", "new")
	pr.ConvertToDraft(w.alice)
	pr.MarkReady(w.alice)
	w.repo.Branch("other", "main", w.bob)
	pr.Retarget(w.alice, "other")
	w.repo.ForcePush("topic", "main", map[string]string{"c": "c"}, "c", w.alice)
	w.repo.Check(pr.Head(), w.ci, "test", "completed", "success")
	w.repo.Status(pr.Head(), "lint", "success", w.bob)
	pr.Close(w.alice)
	pr.Reopen(w.alice)
	w.repo.Push("topic", map[string]string{"d": "d"}, "d", w.alice)
	w.repo.Check(pr.Head(), w.ci, "test", "completed", "success")
	w.repo.Status(pr.Head(), "lint", "success", w.self.Bot)
	pr.CommentOnLine(w.bob, "d", 1, "?")
	pr.Assign(w.alice, w.bob)
	pr.RequestReview(w.alice, w.carol)
	pr.Merge(w.carol, "merge")
	w.repo.DeleteBranch("topic", w.alice)
	w.bob.Busy(true)
	team := w.Team("octo/crew").Add(w.carol)
	two := w.open("two", "two", "2\n")
	two.RequestReview(w.alice, w.bob)
	two.RequestTeam(w.alice, team)
	two.Assign(w.alice, w.bob)
	two.Milestone(w.alice, "v1")
	thread := two.CommentOnLine(w.bob, "two", 1, "why?")
	thread.Reply(w.alice, "because").React(w.bob, "+1")
	thread.Resolve(w.alice)
	w.repo.Rules("main", githubtest.Ruleset{Checks: []string{"test"}, MergeQueue: true})
	w.repo.Check(two.Head(), w.ci, "test", "completed", "success")
	three := w.open("three", "three", "3\n")
	w.repo.Check(three.Head(), w.ci, "test", "completed", "success")
	three.Enqueue(w.bob)
	three.Dequeue(w.bob)
	two.Enqueue(w.bob)
	w.repo.PushCommit("signed", w.alice, githubtest.Commit{Verified: true})
	w.repo.Protect("signed", &githubtest.Protection{Reviews: 1})
	w.repo.Grant(w.carol, githubtest.CanAdmin)
	w.repo.Push("four", map[string]string{"4": "4\n"}, "4", w.alice)
	w.repo.Branch("five", "four", w.alice)
	w.repo.Push("five", map[string]string{"5": "5\n"}, "5", w.alice)
	four := w.repo.Open(w.alice, "four", "other", "4", "")
	w.repo.Open(w.alice, "five", "four", "5", "")
	w.repo.DeleteBranchOnMerge(true)
	four.Merge(w.carol, "merge")

	args := map[string]string{
		"Query.repository": `(owner:"octo",name:"app")`, "Query.organization": `(login:"octo")`, "Query.user": `(login:"alice")`,
		"Query.repositoryOwner": `(login:"octo")`, "Query.node": `(id:"` + nodeID(w) + `")`, "Query.nodes": `(ids:["` + nodeID(w) + `"])`,
		"Repository.pullRequest": "(number:1)", "Repository.ref": `(qualifiedName:"main")`, "Repository.label": `(name:"bug")`,
		"Repository.object": `(expression:"` + pr.Head() + `")`, "CheckRun.isRequired": "(pullRequestNumber:1)", "StatusContext.isRequired": "(pullRequestNumber:1)",
		"RequirableByPullRequest.isRequired": "(pullRequestNumber:1)", "Query.search": `(query:"repo:octo/app is:open",type:ISSUE,first:1)`,
		"Organization.team": `(slug:"crew")`,
	}
	// The shortest way from the root to each type, as the text around a selection.
	type way struct{ before, after string }
	ways, todo := map[string]way{
		"Query":                             {"{", "}"},
		"Bot":                               {`{repository(owner:"octo",name:"app"){pullRequest(number:1){commits(last:1){nodes{commit{status: statusCheckRollup{contexts(last:1){nodes{... on StatusContext{creator{... on Bot{`, "}}}}}}}}}}}}"},
		"MergeQueueEntry":                   {`{repository(owner:"octo",name:"app"){pullRequest(number:2){mergeQueueEntry{`, "}}}}"},
		"AddedToMergeQueueEvent":            {`{repository(owner:"octo",name:"app"){pullRequest(number:3){timelineItems(first:9){nodes{... on AddedToMergeQueueEvent{`, "}}}}}}"},
		"RemovedFromMergeQueueEvent":        {`{repository(owner:"octo",name:"app"){pullRequest(number:3){timelineItems(first:9){nodes{... on RemovedFromMergeQueueEvent{`, "}}}}}}"},
		"AutomaticBaseChangeSucceededEvent": {`{repository(owner:"octo",name:"app"){pullRequest(number:5){timelineItems(first:9){nodes{... on AutomaticBaseChangeSucceededEvent{`, "}}}}}}"},
		"ReviewRequest":                     {`{repository(owner:"octo",name:"app"){pullRequest(number:2){reviewRequests(first:9){nodes{`, "}}}}}"},
		"PullRequestReviewThread":           {`{repository(owner:"octo",name:"app"){pullRequest(number:2){reviewThreads(first:9){nodes{`, "}}}}}"},
		"PullRequestReviewComment":          {`{repository(owner:"octo",name:"app"){pullRequest(number:2){reviewThreads(first:9){nodes{comments(first:9){nodes{`, "}}}}}}}"},
		"Milestone":                         {`{repository(owner:"octo",name:"app"){pullRequest(number:2){milestone{`, "}}}}"},
		"UserStatus":                        {`{user(login:"bob"){status{`, "}}}"},
		"GpgSignature":                      {`{repository(owner:"octo",name:"app"){ref(qualifiedName:"signed"){target{... on Commit{signature{... on GpgSignature{`, "}}}}}}}"},
		"RefUpdateRule":                     {`{repository(owner:"octo",name:"app"){ref(qualifiedName:"signed"){refUpdateRule{`, "}}}}"},
		"BranchProtectionRule":              {`{repository(owner:"octo",name:"app"){ref(qualifiedName:"signed"){branchProtectionRule{`, "}}}}"},
		"MergeQueueEntryEdge":               {`{repository(owner:"octo",name:"app"){mergeQueue{entries(first:9){edges{`, "}}}}}"},
		"Blob":                              {`{repository(owner:"octo",name:"app"){object(expression:"HEAD:README.md"){... on Blob{`, "}}}}"},
		"Tree":                              {`{repository(owner:"octo",name:"app"){object(expression:"HEAD:src"){... on Tree{`, "}}}}"},
		"TreeEntry":                         {`{repository(owner:"octo",name:"app"){object(expression:"HEAD:src"){... on Tree{entries{`, "}}}}}"},
	}, []string{"Query"}
	reach := func(name string, via way) {
		if _, known := ways[name]; !known {
			ways[name] = via
			todo = append(todo, name)
		}
	}
	call := func(typ string, f *ast.FieldDefinition) string {
		if f.Arguments.ForName("first") != nil && args[typ+"."+f.Name] == "" {
			return f.Name + "(first:50)"
		}
		return f.Name + args[typ+"."+f.Name]
	}
	for len(todo) > 0 {
		def, via := s.Types[todo[0]], ways[todo[0]]
		todo = todo[1:]
		for _, f := range def.Fields {
			if s.Types[f.Type.Name()].IsCompositeType() && f.Name != "node" && f.Name != "nodes" || f.Name == "nodes" && def.Name != "Query" {
				reach(f.Type.Name(), way{via.before + call(def.Name, f) + "{", "}" + via.after})
			}
		}
		if def.IsAbstractType() && def.Name != "Node" {
			for _, p := range s.GetPossibleTypes(def) {
				reach(p.Name, way{via.before + "... on " + p.Name + "{", "}" + via.after})
			}
		}
	}
	for name, def := range s.Types {
		if def.Kind != ast.Object || strings.HasPrefix(name, "__") || name == "Mannequin" {
			continue
		}
		if name == "Mutation" || strings.HasSuffix(name, "Payload") {
			continue // TestMutations does those
		}
		via, found := ways[name]
		if !found {
			t.Errorf("nothing leads to %s", name)
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "reached_%s:__typename ", name)
		for _, f := range def.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			fmt.Fprintf(&b, "%s_%s:%s", name, f.Name, call(name, f))
			if s.Types[f.Type.Name()].IsCompositeType() {
				b.WriteString("{__typename}")
			}
			b.WriteString(" ")
		}
		a := w.do(w.carol.Token(), "POST", "/graphql", obj{"query": via.before + b.String() + via.after})
		if d := a.json(t); d["errors"] != nil {
			t.Errorf("%s: errors = %v", name, d["errors"])
		}
		if !strings.Contains(string(a.body), fmt.Sprintf(`"reached_%s":"%s"`, name, name)) {
			t.Errorf("%s: %s leads to none of them", name, via.before)
		}
	}
}

func nodeID(w *world) string {
	return fmt.Sprint(at(w.do("", "GET", "/repos/octo/app", nil).json(w.T), "node_id"))
}
