package github

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// What goes over the wire for every kind of action, and GitHub's id that comes back.
func TestRequestsOfActions(t *testing.T) {
	report := func(r pull.Report) pull.Action {
		r.SHA = "aaaa"
		return pull.Action{Kind: pull.SetReport, Target: "aaaa", SHA: "aaaa", Report: &r}
	}
	const labels, statuses, runs = "/repos/octo/app/issues/7/labels", "/repos/octo/app/statuses/aaaa", "/repos/octo/app/check-runs"
	for _, c := range []struct {
		name   string
		app    bool
		action pull.Action
		answer string
		method string
		path   string
		body   string
		id     int64
	}{
		{"add a label", false, addBug, `[{"id":1,"name":"other"},{"id":5,"name":"Bug"}]`, "POST", labels, `{"labels":["bug"]}`, 5},
		{"remove a label", false, removeBug, `[]`, "DELETE", labels + "/needs%2Fcaf%C3%A9", ``, 0},
		{"merge", false, mergeIt, `{"sha":"cccc","merged":true}`, "PUT", "/repos/octo/app/pulls/7/merge", `{"sha":"aaaa","merge_method":"squash"}`, 0},
		{
			"status, waiting", false, report(pull.Report{State: pull.ReportWaiting, Title: "Waiting", URL: "https://pr.example/7"}), `{"id":8}`, "POST", statuses,
			`{"state":"pending","target_url":"https://pr.example/7","description":"Waiting","context":"pr-manager"}`, 8,
		},
		{
			"status, good, without a page", false, report(pull.Report{State: pull.ReportGood, Title: strings.Repeat("é", 200)}), `{"id":8}`, "POST", statuses,
			`{"state":"success","description":"` + strings.Repeat("é", 139) + `…","context":"pr-manager"}`, 8,
		},
		{
			"status, bad", false, report(pull.Report{State: pull.ReportBad, Title: "No", ID: 3}), `{"id":9}`, "POST", statuses,
			`{"state":"failure","description":"No","context":"pr-manager"}`, 9,
		},
		{
			"check run, waiting", true, report(pull.Report{State: pull.ReportWaiting, Title: "Waiting", Summary: "all", URL: "https://pr.example/7", Digest: "d1"}), `{"id":70000000001}`, "POST", runs,
			`{"name":"pr-manager","head_sha":"aaaa","details_url":"https://pr.example/7","external_id":"d1","status":"in_progress","output":{"title":"Waiting","summary":"all"}}`, 70000000001,
		},
		{
			"check run, good, known", true, report(pull.Report{State: pull.ReportGood, Title: "Ready", Digest: "d2", ID: 70000000001}), `{"id":70000000001}`, "PATCH", runs + "/70000000001",
			`{"name":"pr-manager","external_id":"d2","status":"completed","conclusion":"success","output":{"title":"Ready","summary":"Ready"}}`, 70000000001,
		},
		{
			"check run, bad", true, report(pull.Report{State: pull.ReportBad, Title: "No", Summary: "why", Digest: "d3"}), `{"id":6}`, "POST", runs,
			`{"name":"pr-manager","head_sha":"aaaa","external_id":"d3","status":"completed","conclusion":"failure","output":{"title":"No","summary":"why"}}`, 6,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got sent
				h := appHub(t, func(s sent) (*http.Response, error) {
					got = s
					return reply(200, c.answer)
				})
				w, scope := newWorld(t, h, asApp(t)), pull.ScopeToken
				if c.app {
					scope = pull.ScopeApp(9)
				}
				id, err := w.Apply(t.Context(), scope, seven, c.action)
				if err != nil || id != c.id {
					t.Errorf("Apply = %d, %v, want %d", id, err, c.id)
				}
				if got.Method != c.method || got.URL.EscapedPath() != c.path {
					t.Errorf("sent %s %s, want %s %s", got.Method, got.URL.EscapedPath(), c.method, c.path)
				}
				if diff := cmp.Diff(c.body, got.body); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// GitHub refuses a whole check run over one character too many.
func TestLongReportsAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var body string
		w := newWorld(t, appHub(t, func(s sent) (*http.Response, error) {
			body = s.body
			return reply(201, `{"id":6}`)
		}), asApp(t))
		long := strings.Repeat("é", 70000)
		_, err := w.Apply(t.Context(), pull.ScopeApp(9), seven, pull.Action{Kind: pull.SetReport, Report: &pull.Report{SHA: "aaaa", Title: long, Summary: "x" + long}})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Output struct{ Title, Summary string }
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]struct {
			text string
			most int
		}{"title": {got.Output.Title, titleLimit}, "summary": {got.Output.Summary, outputLimit}} {
			if len(s.text) > s.most || len(s.text) < s.most-4 || !utf8.ValidString(s.text) || strings.Contains(s.text, "�") || !strings.HasSuffix(s.text, "…") {
				t.Errorf("the %s has %d bytes, want just under %d whole characters", name, len(s.text), s.most)
			}
		}
	})
}

func TestDeleteBranch(t *testing.T) {
	const (
		ref   = "/repos/octo/app/git/ref/heads/topic/a%20b"
		refs  = "/repos/octo/app/git/refs/heads/topic/a%20b"
		pulls = "/repos/octo/app/pulls"
	)
	there := `{"ref":"refs/heads/topic/a b","object":{"sha":"aaaa"}}`
	for _, c := range []struct {
		name    string
		base    string // open pull requests into it
		head    string // open pull requests from it
		ref     [2]any // status and body
		del     [2]any
		class   pull.FaultClass
		words   string
		deletes bool
	}{
		{"as it should be", `[]`, `[{"number":7,"head":{"ref":"topic/a b","repo":{"id":42}}}]`, [2]any{200, there}, [2]any{204, ``}, "", "", true},
		{"gone already", `[]`, `[]`, [2]any{404, `{"message":"Not Found"}`}, [2]any{500, ``}, "", "", false},
		{"gone meanwhile", `[]`, `[]`, [2]any{200, there}, [2]any{422, `{"message":"Reference does not exist"}`}, "", "", true},
		{"gone meanwhile, with 404", `[]`, `[]`, [2]any{200, there}, [2]any{404, `{"message":"Not Found"}`}, "", "", true},
		{"moved on", `[]`, `[]`, [2]any{200, `{"object":{"sha":"ffff"}}`}, [2]any{204, ``}, pull.FaultRefused, "the branch has moved on since", false},
		{"needed as a base", `[{"number":9,"base":{"ref":"topic/a b"}},{"number":11,"base":{"ref":"topic/a b"}}]`, `[]`, [2]any{200, there}, [2]any{204, ``}, pull.FaultRefused, "open pull requests go into it: #9, #11", false},
		{"needed as a head", `[]`, `[{"number":8,"head":{"ref":"topic/a b","repo":{"id":42}}}]`, [2]any{200, there}, [2]any{204, ``}, pull.FaultRefused, "come from it: #8", false},
		{"a fork's branch of that name", `[]`, `[{"number":8,"head":{"ref":"topic/a b","repo":{"id":43}}},{"number":9,"head":{"ref":"topic/a b","repo":null}}]`, [2]any{200, there}, [2]any{204, ``}, "", "", true},
		{"protected", `[]`, `[]`, [2]any{200, there}, [2]any{422, `{"message":"Cannot delete this protected branch"}`}, pull.FaultRefused, "protected", true},
		{"not known whether done", `[]`, `[]`, [2]any{200, there}, [2]any{502, ``}, pull.FaultUnclear, "", true},
		{"not known where it is", `[]`, `[]`, [2]any{502, ``}, [2]any{204, ``}, pull.FaultUnavailable, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				deleted := false
				w := newWorld(t, &hub{serve: func(_ int, s sent) (*http.Response, error) {
					switch where := s.Method + " " + s.URL.EscapedPath(); {
					case where == "GET "+pulls && s.URL.Query().Get("base") == "topic/a b" && s.URL.Query().Get("state") == "open":
						return reply(200, c.base)
					case where == "GET "+pulls && s.URL.Query().Get("head") == "octo:topic/a b" && s.URL.Query().Get("state") == "open":
						return reply(200, c.head)
					case where == "GET "+ref:
						return reply(c.ref[0].(int), c.ref[1].(string))
					case where == "DELETE "+refs:
						deleted = true
						return reply(c.del[0].(int), c.del[1].(string))
					default:
						return nil, fmt.Errorf("unexpected %s", where)
					}
				}})
				_, err := w.do(deleteIt)
				if c.class == "" && err != nil {
					t.Errorf("Apply = %v, want nil", err)
				}
				if c.class != "" {
					if f := wantFault(t, "Apply", err, c.class); !strings.Contains(f.Message, c.words) {
						t.Errorf("Message = %q, want %q", f.Message, c.words)
					}
				}
				if deleted != c.deletes {
					t.Errorf("a deletion was sent: %v, want %v", deleted, c.deletes)
				}
			})
		})
	}
}

// What makes no sense is refused before anything goes out.
func TestNonsenseIsNotSent(t *testing.T) {
	fork := seven
	fork.Fork, fork.Head.Repo.ID = true, 99
	onMain := deleteIt
	onMain.Target = "main"
	for name, c := range map[string]struct {
		s pull.Snapshot
		a pull.Action
	}{
		"a merge of anything":           {seven, pull.Action{Kind: pull.Merge}},
		"a report of nothing":           {seven, pull.Action{Kind: pull.SetReport}},
		"a deletion of anything":        {seven, pull.Action{Kind: pull.DeleteBranch, Target: "topic"}},
		"a deletion in a fork":          {fork, deleteIt},
		"deleting the default branch":   {seven, onMain},
		"removing a label called .":     {seven, pull.Action{Kind: pull.RemoveLabel, Target: "."}},
		"something that does not exist": {seven, pull.Action{Kind: "explode"}},
	} {
		h := always(200, `{}`)
		_, err := newWorld(t, h).Apply(t.Context(), pull.ScopeToken, c.s, c.a)
		wantFault(t, name, err, pull.FaultRefused)
		if len(h.requests()) != 0 {
			t.Errorf("%s: %d requests, want none", name, len(h.requests()))
		}
	}
}
