package github

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func sec(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

// Every field of a snapshot, from one recorded answer.
func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := always(200, recorded(t))
		w := newWorld(t, h)
		got, err := w.look()
		if err != nil {
			t.Fatal(err)
		}
		keeper := pull.Actor{ID: 9001, Login: "keeper", Type: pull.User}
		mona := pull.Actor{ID: 2, Login: "mona", Type: pull.User}
		hubot := pull.Actor{ID: 3, Login: "hubot", Type: pull.User}
		ghost := pull.Actor{Login: "ghost", Type: pull.User} // whose account was deleted
		want := pull.Snapshot{
			ObservedAt: epoch, Us: keeper,
			Repo: octoApp, DefaultBranch: "main", Private: true,
			AllowedMethods: []pull.MergeMethod{pull.Squash, pull.Rebase},
			Policy:         pull.Document{Found: true, Path: "octo/app/.github/pr-manager.yml@main", OID: "b10b", Text: "version: 1\n"},
			Permission:     pull.PermissionWrite,
			Number:         7, NodeID: "PR_7", URL: "https://github.com/octo/app/pull/7", Title: "Fix it", Body: "please",
			Author: pull.Actor{ID: 49699333, Login: "dependabot[bot]", Type: pull.Bot},
			State:  pull.Open, CreatedAt: epoch, UpdatedAt: sec(5),
			Head: pull.Branch{Repo: octoApp, Name: "topic", SHA: "aaaa"}, HeadBranchTip: "aaaa",
			Base:      pull.Branch{Repo: octoApp, Name: "main", SHA: "bbbb"},
			Mergeable: pull.MergeableClean, Behind: true,
			Additions: 3, Deletions: 1, ChangedFiles: 1,
			Files: []pull.File{{Path: "a.go", Status: "renamed", Additions: 3, Deletions: 1}},
			Labels: []pull.Label{
				{Name: "Bug", Present: true, SetBy: keeper, SetAt: sec(2)},
				{Name: "hold", SetBy: keeper, SetAt: sec(1), TakenBy: mona, TakenAt: sec(4)},
			},
			Reviews: []pull.Review{
				{ID: 4000000001, Author: mona, CanWrite: true, State: pull.Approved, Commit: "aaaa", SubmittedAt: sec(3)},
				{ID: 4000000002, Author: ghost, State: pull.ChangesRequested, Commit: "a0a0", SubmittedAt: sec(2)},
			},
			Milestone: "v1", Assignees: []pull.Actor{mona}, CommitCount: 3, MergeQueue: true,
			ReviewRequests: []pull.ReviewRequest{
				{Team: "octo/crew", ByOwners: true}, {Who: hubot}, {Who: pull.Actor{ID: 4, Login: "copilot[bot]", Type: pull.Bot}},
			},
			Comments: []pull.Comment{
				{Source: pull.Conversation, ID: 5000000001, NodeID: "IC_1", Author: mona, Body: "Fine.\n/merge", At: sec(1), Editor: hubot, EditedAt: sec(5)},
				{Source: pull.ReviewBody, ID: 4000000002, NodeID: "PRR_2", Author: ghost, Body: "Not like this.\n/hold", At: sec(2), Commit: "a0a0", Reacted: []string{"confused"}},
				{Source: pull.ReviewLine, ID: 6000000001, NodeID: "PRRC_1", Author: mona, Body: "Why?", At: sec(3), Commit: "a0a0"},
				{Source: pull.Conversation, ID: 5000000002, NodeID: "IC_2", Author: hubot, Body: "/merge", At: sec(4), Reacted: []string{"eyes"}},
			},
			Threads:   []pull.Thread{{Resolved: true, Author: mona}},
			BaseSince: sec(2),
			Moves:     []pull.HeadAt{{SHA: "aaaa", At: sec(3)}, {At: sec(4)}},
			Queued:    &pull.QueueEntry{Position: 2, State: "awaiting_checks", Head: "cccc", Base: "bbbb", Ahead: []int{5}, By: mona},
			Reports:   []pull.Report{{SHA: "cccc", Name: pull.ApprovalsName, State: pull.ReportWaiting, Title: "Waiting", URL: "https://pr.example/7", Required: true}},
			Checks: []pull.Check{
				{ID: 70000000001, App: "github-actions", AppID: 15368, Name: "build", State: pull.CheckFailed, Detail: "failure", Required: true, StartedAt: sec(1), URL: "https://github.com/octo/app/runs/1"},
				{ID: 70000000002, App: "github-actions", AppID: 15368, Name: "build", State: pull.CheckPending, Detail: "in_progress", Required: true, StartedAt: sec(3), URL: "https://github.com/octo/app/runs/2"},
				{Name: "ci/old", State: pull.CheckPending, Detail: "expected", Required: true, StartedAt: sec(2)},
			},
			Report: &pull.Report{SHA: "aaaa", State: pull.ReportGood, Title: "Ready", URL: "https://pr.example/7"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Snapshot (-want +got):\n%s", diff)
		}
		if latest := got.LatestChecks(); len(latest) != 2 || latest[0].State != pull.CheckPending {
			t.Errorf("LatestChecks = %+v, want the re-run of build, and ci/old", latest)
		}
		if n := len(h.requests()); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
		if u := h.requests()[0].URL.String(); u != "https://api.github.com/graphql" {
			t.Errorf("asked at %s", u)
		}
	})
}

// As an App the report is our own newest check run, whoever else uses its name.
func TestOurReportAsAnApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name   string
			change []string
			want   *pull.Report
		}{
			{"the newest of ours", nil, &pull.Report{
				ID: 70000000005, SHA: "aaaa", State: pull.ReportWaiting, Title: "Waiting for review", Summary: "s", URL: "https://pr.example/7", Digest: "d2", Required: true,
			}},
			{"ended by GitHub", []string{
				`"databaseId":70000000005,"name":"pr-manager","status":"IN_PROGRESS","conclusion":null`,
				`"databaseId":70000000005,"name":"pr-manager","status":"COMPLETED","conclusion":"STALE"`,
			}, &pull.Report{
				ID: 70000000005, SHA: "aaaa", State: pull.ReportBad, Title: "Waiting for review", Summary: "s", URL: "https://pr.example/7", Required: true,
			}},
			{"none of ours", []string{`"databaseId":77`, `"databaseId":78`}, nil},
		} {
			body := recorded(t)
			for i := 0; i < len(c.change); i += 2 {
				if !strings.Contains(body, c.change[i]) {
					t.Fatalf("nothing to change: %s", c.change[i])
				}
				body = strings.ReplaceAll(body, c.change[i], c.change[i+1])
			}
			w := newWorld(t, appHub(t, func(sent) (*http.Response, error) { return reply(200, body) }), asApp(t))
			s, err := w.Snapshot(t.Context(), pull.ScopeApp(9), octoApp, 7)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, s.Report); diff != "" {
				t.Errorf("%s: Report (-want +got):\n%s", c.name, diff)
			}
			for _, k := range s.Checks {
				if k.Name == pull.ReportName {
					t.Errorf("%s: a check of our report's name counts: %+v", c.name, k)
				}
			}
		}
	})
}

// A status of our report's name by somebody else is neither our report nor a check.
func TestSomebodyElsesReport(t *testing.T) {
	s, err := newWorld(t, always(200, recorded(t, `"login": "keeper"},`, `"login": "other"},`,
		`"viewer": {"databaseId": 9001, "login": "other"}`, `"viewer": {"databaseId": 1, "login": "other"}`))).look()
	if err != nil {
		t.Fatal(err)
	}
	if s.Report != nil || len(s.Checks) != 3 {
		t.Errorf("Report = %+v, %d checks, want none and 3", s.Report, len(s.Checks))
	}
}

func TestWhatChecksMean(t *testing.T) {
	for _, c := range []struct {
		status, conclusion string
		want               pull.CheckState
	}{
		{"QUEUED", "", pull.CheckPending},
		{"REQUESTED", "", pull.CheckPending},
		{"WAITING", "", pull.CheckPending},
		{"PENDING", "", pull.CheckPending},
		{"IN_PROGRESS", "", pull.CheckPending},
		{"INVENTED", "", pull.CheckPending},
		{"COMPLETED", "SUCCESS", pull.CheckPassed},
		{"COMPLETED", "NEUTRAL", pull.CheckPassed},
		{"COMPLETED", "SKIPPED", pull.CheckPassed},
		{"COMPLETED", "FAILURE", pull.CheckFailed},
		{"COMPLETED", "CANCELLED", pull.CheckFailed},
		{"COMPLETED", "TIMED_OUT", pull.CheckFailed},
		{"COMPLETED", "STALE", pull.CheckFailed},
		{"COMPLETED", "STARTUP_FAILURE", pull.CheckFailed},
		{"COMPLETED", "ACTION_REQUIRED", pull.CheckFailed},
		{"COMPLETED", "INVENTED", pull.CheckFailed},
		{"COMPLETED", "", pull.CheckFailed},
	} {
		if got := runState(c.status, c.conclusion); got != c.want {
			t.Errorf("runState(%q, %q) = %q, want %q", c.status, c.conclusion, got, c.want)
		}
	}
	for s, want := range map[string]pull.CheckState{
		"SUCCESS": pull.CheckPassed, "PENDING": pull.CheckPending, "EXPECTED": pull.CheckPending, "FAILURE": pull.CheckFailed,
		"ERROR": pull.CheckFailed, "INVENTED": pull.CheckFailed,
	} {
		if got := statusState(s); got != want {
			t.Errorf("statusState(%q) = %q, want %q", s, got, want)
		}
	}
}

// A policy file that can't be read is there all the same: somebody meant something by it.
func TestPolicyFiles(t *testing.T) {
	const blob = `{"__typename": "Blob", "oid": "b10b", "byteSize": 11, "isBinary": false, "isTruncated": false, "text": "version: 1\n"}`
	for _, c := range []struct {
		name, object string
		want         pull.Document
	}{
		{"none", `null`, pull.Document{}},
		{"empty", `{"__typename":"Blob","oid":"e69d","byteSize":0,"isBinary":false,"isTruncated":false,"text":""}`, pull.Document{Found: true, OID: "e69d"}},
		{"too large", `{"__typename":"Blob","oid":"1","byteSize":900000,"isBinary":false,"isTruncated":true,"text":"vers"}`, pull.Document{Found: true, OID: "1", Unreadable: "it is too large for GitHub to show (900000 bytes)"}},
		{"binary", `{"__typename":"Blob","oid":"1","byteSize":4,"isBinary":true,"isTruncated":false,"text":null}`, pull.Document{Found: true, OID: "1", Unreadable: "it is a binary file"}},
		{"a directory", `{"__typename":"Tree","oid":"1"}`, pull.Document{Found: true, OID: "1", Unreadable: "it is not a file but a tree"}},
		{"Latin-1", `{"__typename":"Blob","oid":"1","byteSize":3,"isBinary":false,"isTruncated":false,"text":"a\ufffdb"}`, pull.Document{Found: true, OID: "1", Unreadable: "it is not UTF-8 text"}},
		{"a replacement character that is meant", `{"__typename":"Blob","oid":"1","byteSize":5,"isBinary":false,"isTruncated":false,"text":"a\ufffdb"}`, pull.Document{Found: true, OID: "1", Text: "a\ufffdb"}},
	} {
		c.want.Path = "octo/app/.github/pr-manager.yml@main"
		s, err := newWorld(t, always(200, recorded(t, blob, c.object))).look()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, s.Policy); diff != "" {
			t.Errorf("%s: Policy (-want +got):\n%s", c.name, diff)
		}
	}
	s, err := newWorld(t, always(200, recorded(t, `"defaults": null`, `"defaults": {"name":".github","owner":{"login":"octo"},"defaultBranchRef":{"name":"trunk"},"object":`+blob+`}`,
		`"errors"`, `"extensions"`))).look()
	want := pull.Document{Found: true, Path: "octo/.github/.github/pr-manager.yml@trunk", OID: "b10b", Text: "version: 1\n"}
	if err != nil || s.Defaults != want {
		t.Errorf("Defaults = %+v, %v, want %+v", s.Defaults, err, want)
	}
}

// TestDefaultsOfSomebodyElse: an owner's .github repository that was transferred or renamed is still found by its old
// name. Whoever has it now must not say what may be merged here.
func TestDefaultsOfSomebodyElse(t *testing.T) {
	const blob = `{"__typename":"Blob","oid":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","byteSize":11,"isBinary":false,"isTruncated":false,"text":"version: 1\n"}`
	for _, tt := range []struct {
		owner, name string
		found       bool
	}{{"octo", ".github", true}, {"Octo", ".GitHub", true}, {"mallory", ".github", false}, {"octo", "old-defaults", false}} {
		s, err := newWorld(t, always(200, recorded(t, `"defaults": null`,
			`"defaults": {"name":"`+tt.name+`","owner":{"login":"`+tt.owner+`"},"defaultBranchRef":{"name":"main"},"object":`+blob+`}`, `"errors"`, `"extensions"`))).look()
		if err != nil {
			t.Fatal(err)
		}
		if s.Defaults.Found != tt.found {
			t.Errorf("defaults from %s/%s are found: %v, want %v", tt.owner, tt.name, s.Defaults.Found, tt.found)
		}
	}
}

// asked is the body of a GraphQL request.
type asked struct {
	OperationName string
	Variables     struct {
		Owner, Name, Policy string
		Number, Page        int
		OID                 string
		Cursor              *string
	}
}

func (s sent) asked(t testing.TB) (a asked) {
	if err := json.Unmarshal([]byte(s.body), &a); err != nil {
		t.Fatalf("the request is not JSON: %v", err)
	}
	return a
}

// library is a pull request with long lists, handed out page by page.
type library struct {
	t                              *testing.T
	files, labels, reviews, checks int
	head                           func(n int) string // at the n-th request
	pages                          []string
}

func (l *library) hub() *hub {
	return &hub{serve: func(n int, s sent) (*http.Response, error) {
		a := s.asked(l.t)
		l.pages = append(l.pages, fmt.Sprintf("%s %d", a.OperationName, a.Variables.Page))
		head := "aaaa"
		if l.head != nil {
			head = l.head(n)
		}
		from := 0
		if a.Variables.Cursor != nil {
			from, _ = strconv.Atoi(*a.Variables.Cursor)
		}
		forward := func(total int, item func(int) string) string {
			to := min(from+a.Variables.Page, total)
			return fmt.Sprintf(`{"pageInfo":{"hasNextPage":%v,"endCursor":"%d"},"nodes":[%s]}`, to < total, to, list(from, to, item))
		}
		backward := func(total int, item func(int) string) string {
			to := total
			if a.Variables.Cursor != nil {
				to = from
			}
			first := max(to-a.Variables.Page, 0)
			return fmt.Sprintf(`{"pageInfo":{"hasPreviousPage":%v,"startCursor":"%d"},"nodes":[%s]}`, first > 0, first, list(first, to, item))
		}
		files := func() string {
			return forward(min(l.files, 3000), func(i int) string { return fmt.Sprintf(`{"path":"f%d","changeType":"ADDED"}`, i) })
		}
		labels := func() string {
			return forward(l.labels, func(i int) string { return fmt.Sprintf(`{"name":"l%d"}`, i) })
		}
		reviews := func() string {
			return backward(l.reviews, func(i int) string { return fmt.Sprintf(`{"fullDatabaseId":"%d","state":"COMMENTED"}`, i+1) })
		}
		contexts := func() string {
			return forward(l.checks, func(i int) string {
				return fmt.Sprintf(`{"__typename":"StatusContext","context":"c%d","state":"SUCCESS"}`, i)
			})
		}
		switch a.OperationName {
		case "PullRequest":
			return reply(200, fmt.Sprintf(`{"data":{"viewer":{"databaseId":1,"login":"k"},"repository":{"databaseId":42,"name":"app","owner":{"login":"octo"},"pullRequest":{
				"number":7,"state":"OPEN","headRefOid":%q,"baseRefOid":"bbbb","changedFiles":%d,"files":%s,"labels":%s,"reviews":%s,"timelineItems":{"nodes":[]},
				"commits":{"nodes":[{"commit":{"oid":%q,"statusCheckRollup":{"contexts":%s}}}]}}}}}`, head, l.files, files(), labels(), reviews(), head, contexts()))
		case "CommitChecks":
			return reply(200, fmt.Sprintf(`{"data":{"repository":{"object":{"oid":%q,"statusCheckRollup":{"contexts":%s}}}}}`, a.Variables.OID, contexts()))
		}
		field := map[string]func() string{"PullRequestFiles": files, "PullRequestLabels": labels, "PullRequestReviews": reviews}[a.OperationName]
		name := strings.ToLower(strings.TrimPrefix(a.OperationName, "PullRequest"))
		return reply(200, fmt.Sprintf(`{"data":{"repository":{"pullRequest":{"headRefOid":%q,"baseRefOid":"bbbb",%q:%s}}}}`, head, name, field()))
	}}
}

func list(from, to int, item func(int) string) string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, item(i))
	}
	return strings.Join(out, ",")
}

func TestLongListsAreReadToTheirEnd(t *testing.T) {
	l := &library{t: t, files: 250, labels: 101, reviews: 230, checks: 201}
	s, err := newWorld(t, l.hub()).look()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Files) != 250 || len(s.Labels) != 101 || len(s.Reviews) != 230 || len(s.Checks) != 201 {
		t.Errorf("%d files, %d labels, %d reviews, %d checks, want 250, 101, 230, 201", len(s.Files), len(s.Labels), len(s.Reviews), len(s.Checks))
	}
	if s.FilesTruncated || s.LabelsTruncated || s.ReviewsTruncated || s.ChecksTruncated {
		t.Error("something is called truncated, want everything read")
	}
	for i, r := range s.Reviews {
		if r.ID != int64(i+1) {
			t.Fatalf("review %d has id %d: not oldest first", i, r.ID)
		}
	}
	for i, f := range s.Files {
		if f.Path != fmt.Sprintf("f%d", i) {
			t.Fatalf("file %d is %s", i, f.Path)
		}
	}
	if want := 1 + 2 + 1 + 2 + 2; len(l.pages) != want {
		t.Errorf("%d requests (%q), want %d", len(l.pages), l.pages, want)
	}
}

// What GitHub itself cuts is said, so that rules can fail closed.
func TestWhatGitHubCutsIsSaid(t *testing.T) {
	l := &library{t: t, files: 3500}
	s, err := newWorld(t, l.hub()).look()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Files) != 3000 || !s.FilesTruncated || s.ChangedFiles != 3500 {
		t.Errorf("%d of %d files, truncated %v, want 3000 of 3500, truncated", len(s.Files), s.ChangedFiles, s.FilesTruncated)
	}
	s, err = newWorld(t, always(200, recorded(t, `"files": {"pageInfo": {"hasNextPage": false, "endCursor": "x"}, "nodes": [{"path": "a.go", "changeType": "RENAMED", "additions": 3, "deletions": 1}]}`, `"files": null`))).look()
	if err != nil || !s.FilesTruncated {
		t.Errorf("no list of files: truncated %v, %v, want true", s.FilesTruncated, err)
	}
}

// Pages of two different heads are never put together.
func TestAPushBetweenPagesBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &library{t: t, files: 150, head: func(n int) string {
			if n == 1 {
				return "old"
			}
			return "new"
		}}
		s, err := newWorld(t, l.hub()).look()
		if err != nil || s.Head.SHA != "new" || len(s.Files) != 150 {
			t.Errorf("Snapshot = head %s, %d files, %v, want the new head and 150", s.Head.SHA, len(s.Files), err)
		}
		l = &library{t: t, files: 150, head: strconv.Itoa}
		_, err = newWorld(t, l.hub()).look()
		wantFault(t, "Snapshot of what never rests", err, pull.FaultUnavailable)
		if len(l.pages) != 2*maxLooks {
			t.Errorf("%d requests, want %d", len(l.pages), 2*maxLooks)
		}
	})
}

// The last commit that GitHub lists need not be the head.
func TestChecksAreThoseOfTheHead(t *testing.T) {
	for _, c := range []struct {
		name, object string
		checks       int
		truncated    bool
	}{
		{"asked for by id", `{"oid":"aaaa","statusCheckRollup":{"contexts":{"nodes":[{"__typename":"StatusContext","context":"ci","state":"SUCCESS"}]}}}`, 1, false},
		{"nothing reported", `{"oid":"aaaa","statusCheckRollup":null}`, 0, false},
		{"not to be seen", `null`, 0, true},
	} {
		h := &hub{serve: func(n int, s sent) (*http.Response, error) {
			if n == 1 {
				return reply(200, recorded(t, `{"commit": {"oid": "aaaa"`, `{"commit": {"oid": "0ther"`))
			}
			if a := s.asked(t); a.OperationName != "CommitChecks" || a.Variables.OID != "aaaa" {
				t.Errorf("%s: asked for %s of %s", c.name, a.OperationName, a.Variables.OID)
			}
			return reply(200, `{"data":{"repository":{"object":`+c.object+`}}}`)
		}}
		s, err := newWorld(t, h).look()
		if err != nil || len(s.Checks) != c.checks || s.ChecksTruncated != c.truncated {
			t.Errorf("%s: %d checks, truncated %v, %v, want %d, %v", c.name, len(s.Checks), s.ChecksTruncated, err, c.checks, c.truncated)
		}
	}
}

// A query that GitHub gives up on is never asked again at once, and then for less.
func TestHeavyPullRequestsAreReadInSmallerPages(t *testing.T) {
	for _, heavy := range []*hub{
		always(502, ""), always(504, ""),
		always(200, `{"data":null,"errors":[{"message":"Something went wrong while executing your query. This may be the result of a timeout."}]}`),
		always(200, `{"data":{},"errors":[{"type":"RESOURCE_LIMITS_EXCEEDED","message":"Resource limits for this query exceeded."}]}`),
		always(200, `{"data":"`+strings.Repeat("x", maxBody)+`"}`), // more than is read
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &library{t: t, files: 60}
			h := l.hub()
			good := h.serve
			h.serve = func(n int, s sent) (*http.Response, error) {
				if a := s.asked(t); a.Variables.Page > 25 {
					l.pages = append(l.pages, fmt.Sprintf("%s %d", a.OperationName, a.Variables.Page))
					return heavy.serve(n, s)
				}
				return good(n, s)
			}
			w := newWorld(t, h)
			for range 2 {
				_, err := w.look()
				wantFault(t, "Snapshot", err, pull.FaultUnavailable)
			}
			s, err := w.look()
			if err != nil || len(s.Files) != 60 {
				t.Errorf("Snapshot in small pages = %d files, %v, want 60", len(s.Files), err)
			}
			want := []string{"PullRequest 100", "PullRequest 50", "PullRequest 25", "PullRequestFiles 25", "PullRequestFiles 25"}
			if diff := cmp.Diff(want, l.pages); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			time.Sleep(pageMemory)
			if got := w.pages.of("octo/app#7"); got != pageMost {
				t.Errorf("page size after an hour = %d, want %d again", got, pageMost)
			}
			for range 9 {
				w.pages.halve("octo/app#7")
			}
			if got := w.pages.of("octo/app#7"); got != pageLeast {
				t.Errorf("page size after many halvings = %d, want %d", got, pageLeast)
			}
		})
	}
}

// A repository is its id. Who takes a name over takes nothing else over.
func TestRenames(t *testing.T) {
	t.Run("moved to another owner", func(t *testing.T) {
		h := &hub{serve: func(n int, s sent) (*http.Response, error) {
			if a := s.asked(t); n == 2 && a.Variables.Owner != "acme" {
				t.Errorf("the second look asks %s, want the defaults of the new owner", a.Variables.Owner)
			}
			return reply(200, recorded(t, `"owner": {"login": "octo"}`, `"owner": {"login": "acme"}`))
		}}
		s, err := newWorld(t, h).look()
		if err != nil || s.Repo.FullName() != "acme/app" || len(h.requests()) != 2 {
			t.Errorf("Snapshot = %s, %v after %d requests, want acme/app after 2", s.Repo.FullName(), err, len(h.requests()))
		}
	})
	t.Run("the name belongs to another repository", func(t *testing.T) {
		h := &hub{serve: func(_ int, s sent) (*http.Response, error) {
			switch {
			case s.URL.Path == "/repositories/42":
				return reply(200, `{"id":42,"name":"renamed","owner":{"login":"octo"}}`)
			case s.asked(t).Variables.Name == "app":
				return reply(200, recorded(t, `"databaseId": 42, "name": "app"`, `"databaseId": 666, "name": "app"`))
			}
			return reply(200, recorded(t, `"name": "app"`, `"name": "renamed"`))
		}}
		s, err := newWorld(t, h).look()
		if err != nil || s.Repo != (pull.Repo{ID: 42, Owner: "octo", Name: "renamed"}) {
			t.Errorf("Snapshot = %+v, %v, want octo/renamed", s.Repo, err)
		}
	})
	t.Run("and ours is gone", func(t *testing.T) {
		h := &hub{serve: func(_ int, s sent) (*http.Response, error) {
			if s.URL.Path == "/repositories/42" {
				return reply(404, `{"message":"Not Found"}`)
			}
			return reply(200, recorded(t, `"databaseId": 42, "name": "app"`, `"databaseId": 666, "name": "app"`))
		}}
		_, err := newWorld(t, h).look()
		wantFault(t, "Snapshot", err, pull.FaultGone)
		if len(h.requests()) != 2 {
			t.Errorf("%d requests, want 2", len(h.requests()))
		}
	})
}
