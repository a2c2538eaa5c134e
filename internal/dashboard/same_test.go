package dashboard

import (
	"encoding/json"
	"html"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestTheSameVerdictEverywhere: the report on GitHub, the answer to /why, `explain`, the API and the page say the same sentences about one
// verdict, and who can help: those of notice.Explain.
func TestTheSameVerdictEverywhere(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	const head pull.SHA = "5bd1e24111111111111111111111111111111111"
	bob := pull.Actor{ID: 3, Login: "bob", Type: pull.User}
	s := pull.Snapshot{
		Us: pull.Actor{ID: 1, Login: "pr-manager[bot]", Type: pull.Bot}, AsApp: true, Repo: pull.Repo{ID: 1, Owner: "octo", Name: "app"},
		DefaultBranch: "main", AllowedMethods: []pull.MergeMethod{pull.Squash}, Number: 44, Author: pull.Actor{ID: 2, Login: "alice", Type: pull.User},
		State: pull.Open, Mergeable: pull.MergeableConflict, Draft: true, Head: pull.Branch{Name: "door", SHA: head}, Base: pull.Branch{Name: "main", SHA: "fff"},
		Files:   []pull.File{{Path: "docs/door.md"}},
		Labels:  []pull.Label{{Name: "hold", Present: true, SetBy: bob}, {Name: "big", Present: true, SetBy: bob}},
		Checks:  []pull.Check{{ID: 1, Name: "build & <test>", State: pull.CheckFailed}},
		Reviews: []pull.Review{{ID: 1, Author: bob, CanWrite: true, State: pull.Approved, Commit: "older"}},
	}
	e := policy.Resolve(pull.Document{Found: true, OID: "abc", Text: `version: 1
labels:
  docs: { files: "docs/**" }
  big: { lines: 100.. }
merge:
  if: (approved || "trivial" in pr.labels) && checks.green && !("hold" in pr.labels)
`}, pull.Document{}, pull.Document{}, false)
	v := e.Evaluate(s, pull.Memory{}, noon).Verdict
	tree, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	f := newFake()
	f.details[2].Verdict = pull.Verdict{State: string(v.State), Sentence: notice.Sentence(v), Tree: tree, Digest: v.Digest()}
	f.details[2].Row.Sentence = notice.Sentence(v)
	d := New(f, Options{})
	report, _ := notice.Report(s, v, "")
	plain := strings.NewReplacer("\u200b", "", "<bdi>", "", "</bdi>", "")
	var api struct{ Explanation notice.Explanation }
	if err := json.Unmarshal([]byte(get(t, d, "/api/pulls/octo/app/44")), &api); err != nil {
		t.Fatal(err)
	}
	said, err := json.Marshal(api.Explanation)
	if err != nil {
		t.Fatal(err)
	}
	var words any
	if err := json.Unmarshal(said, &words); err != nil {
		t.Fatal(err)
	}
	places := map[string]string{
		"the report": plain.Replace(html.UnescapeString(report.Summary)),
		"explain":    notice.Tree(v),
		"/why":       plain.Replace(html.UnescapeString(notice.Reply(policy.Reply{To: "bob", Why: true}, v, ""))),
		"the page":   plain.Replace(html.UnescapeString(get(t, d, "/pulls/octo/app/44"))),
		"the API":    strings.Join(texts(words), "\n"),
	}
	explained := notice.Explain(v)
	sentences := 0
	for _, r := range explained.Reasons {
		for place, text := range places {
			for _, want := range []string{r.Text, r.Who} {
				if !strings.Contains(text, want) {
					t.Errorf("%s does not say %q:\n%s", place, want, text)
				}
			}
		}
		sentences++
	}
	delete(places, "/why") // says the reasons, and leaves the rules to the page that it links to
	for _, rule := range explained.Rules {
		for place, text := range places {
			if !strings.Contains(text, rule.Name) {
				t.Errorf("%s does not name the rule %q", place, rule.Name)
			}
			for _, r := range rule.Why {
				if r.Text != "The condition of the label “"+rule.Name+"” holds." && !strings.Contains(text, r.Text) { // the report shows that condition instead
					t.Errorf("%s does not say %q of the rule %q:\n%s", place, r.Text, rule.Name, text)
				}
			}
		}
		sentences++
	}
	if sentences < 8 {
		t.Errorf("compared %d sentences: is the verdict still as rich as meant?", sentences)
	}
	if report.Title != notice.Sentence(v) && !strings.HasPrefix(notice.Sentence(v), strings.SplitN(report.Title, ";", 2)[0]) {
		t.Errorf("the report is titled %q, and the sentence is %q", report.Title, notice.Sentence(v))
	}
}

// texts returns every text in a JSON value.
func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, x := range v {
			out = append(out, texts(x)...)
		}
	case map[string]any:
		for _, x := range v {
			out = append(out, texts(x)...)
		}
	}
	return out
}
