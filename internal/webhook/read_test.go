package webhook

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const head = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"

func TestReadHints(t *testing.T) {
	repo := pull.Repo{ID: 186853002, Owner: "octo", Name: "app"}
	const around = `"repository":{"id":186853002,"name":"app","owner":{"login":"octo"},"default_branch":"main"},"sender":{"id":5,"login":"mona","type":"User"},"installation":{"id":77}`
	base := func(h pull.Hint) pull.Hint {
		h.Repo, h.DefaultBranch, h.Installation = repo, "main", 77
		h.Sender = pull.Actor{ID: 5, Login: "mona", Type: pull.User}
		return h
	}
	tests := []struct {
		name, event, body string
		want              pull.Hint
	}{
		{
			"pull request", "pull_request", `{"action":"synchronize","number":7,"pull_request":{"number":7,"head":{"sha":"` + head + `"}},`,
			pull.Hint{Action: "synchronize", Numbers: []int{7}, HeadSHA: head},
		},
		{
			"closed pull request", "pull_request", `{"action":"closed","number":7,"pull_request":{"head":{"sha":"` + head + `"}},`,
			pull.Hint{Action: "closed", Numbers: []int{7}, HeadSHA: head, Closed: true},
		},
		{
			"review", "pull_request_review", `{"action":"submitted","pull_request":{"number":7,"head":{"sha":"` + head + `"}},`,
			pull.Hint{Action: "submitted", Numbers: []int{7}, HeadSHA: head},
		},
		{
			"comment on a pull request", "issue_comment", `{"action":"created","issue":{"number":8,"pull_request":{"url":"x"}},`,
			pull.Hint{Action: "created", Numbers: []int{8}},
		},
		{"comment on an issue", "issue_comment", `{"action":"created","issue":{"number":8},`, pull.Hint{Action: "created"}},
		{"comment on an issue, null", "issue_comment", `{"action":"created","issue":{"number":8,"pull_request":null},`, pull.Hint{Action: "created"}},
		{
			"check run of a fork", "check_run", `{"action":"completed","check_run":{"head_sha":"` + head + `","name":"ci","pull_requests":[]},`,
			pull.Hint{Action: "completed", HeadSHA: head},
		},
		{
			"check run, one pull request of another repository", "check_run",
			`{"action":"created","check_run":{"head_sha":"` + head + `","name":"ci","pull_requests":[{"number":3,"base":{"repo":{"id":1}}},{"number":4,"base":{"repo":{"id":186853002}}},{"number":5},{"number":4}]},`,
			pull.Hint{Action: "created", HeadSHA: head, Numbers: []int{4, 5}},
		},
		{
			"our own check run", "check_run",
			`{"action":"completed","check_run":{"head_sha":"` + head + `","name":"pr-manager","external_id":"abc","status":"completed","conclusion":"failure","output":{"title":"Waiting for a review"},"pull_requests":[{"number":4}]},`,
			pull.Hint{Action: "completed", HeadSHA: head, Numbers: []int{4}, Report: &pull.Report{SHA: head, State: pull.ReportBad, Title: "Waiting for a review", Digest: "abc"}},
		},
		{
			"our own check run, asked for again", "check_run",
			`{"action":"rerequested","check_run":{"head_sha":"` + head + `","name":"pr-manager","external_id":"abc","status":"completed","conclusion":"failure","pull_requests":[{"number":4}]},`,
			pull.Hint{Action: "rerequested", HeadSHA: head, Numbers: []int{4}},
		},
		{
			"check suite", "check_suite", `{"action":"completed","check_suite":{"head_sha":"` + head + `","pull_requests":[{"number":2}]},`,
			pull.Hint{Action: "completed", HeadSHA: head, Numbers: []int{2}},
		},
		{
			"workflow run", "workflow_run", `{"action":"completed","workflow_run":{"head_sha":"` + head + `","pull_requests":[]},`,
			pull.Hint{Action: "completed", HeadSHA: head},
		},
		{"status", "status", `{"sha":"` + head + `","context":"ci","state":"success",`, pull.Hint{HeadSHA: head}},
		{
			"our own status", "status", `{"sha":"` + head + `","context":"pr-manager","state":"pending","description":"Waiting",`,
			pull.Hint{HeadSHA: head, Report: &pull.Report{SHA: head, State: pull.ReportWaiting, Title: "Waiting"}},
		},
		{"push", "push", `{"ref":"refs/heads/release/1","after":"` + head + `","deleted":false,`, pull.Hint{HeadSHA: head, Branch: "release/1"}},
		{"push of a tag", "push", `{"ref":"refs/tags/v1","after":"` + head + `",`, pull.Hint{HeadSHA: head}},
		{"deleted branch", "push", `{"ref":"refs/heads/x","after":"` + strings.Repeat("0", 40) + `","deleted":true,`, pull.Hint{}},
		{"merge group", "merge_group", `{"action":"checks_requested","merge_group":{"head_sha":"` + head + `"},`, pull.Hint{Action: "checks_requested", HeadSHA: head}},
		{"merge group of a pull request", "merge_group", `{"action":"checks_requested","merge_group":{"head_sha":"` + head + `","head_ref":"refs/heads/gh-readonly-queue/release/1/pr-7-` + head + `"},`, pull.Hint{Action: "checks_requested", HeadSHA: head, Numbers: []int{7}}},
		{"merge group of another name", "merge_group", `{"action":"checks_requested","merge_group":{"head_sha":"` + head + `","head_ref":"refs/heads/pr-7-` + head + `"},`, pull.Hint{Action: "checks_requested", HeadSHA: head}},
		{
			"our own status about approvals", "status", `{"sha":"` + head + `","context":"pr-manager/approvals","state":"success","description":"Approved by bob.",`,
			pull.Hint{HeadSHA: head, Report: &pull.Report{SHA: head, Name: pull.ApprovalsName, State: pull.ReportGood, Title: "Approved by bob."}},
		},
		{"unknown event", "tomorrow", `{"action":"x","number":7,`, pull.Hint{Action: "x"}},
		{"names match case-sensitively", "pull_request", `{"Action":"opened","NUMBER":7,`, pull.Hint{}},
		{"escaped name", "pull_request", `{"\u0061ction":"opened",`, pull.Hint{Action: "opened"}},
		{"NUL in text", "pull_request", `{"action":"a\u0000b",`, pull.Hint{Action: "ab"}},
		{"text too long to route by", "push", `{"ref":"refs/heads/` + strings.Repeat("x", 256) + `",`, pull.Hint{}},
		{"other types than usual", "pull_request", `{"action":7,"number":"7","pull_request":[{"number":7}],"ref":null,"deleted":"yes",`, pull.Hint{}},
		{"numbers that no pull request has", "pull_request", `{"number":-1,"pull_request":{"number":9007199254740993},`, pull.Hint{}},
		{"a fraction is no number", "pull_request", `{"number":7.0,`, pull.Hint{}},
		{"not a commit", "status", `{"sha":"HEAD",`, pull.Hint{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := base(tt.want)
			want.Event = tt.event
			got, err := Read(tt.event, []byte(tt.body+around+"}"))
			if err != nil {
				t.Fatalf("Read = %v", err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("Read (-want +got):\n%s", d)
			}
		})
	}
}

func TestReadKeepsLargeIDs(t *testing.T) {
	h, err := Read("ping", []byte(`{"repository":{"id":9007199254740993,"owner":{"name":"octo"}},"installation":{"id":9223372036854775807},"sender":{"id":92233720368547758089}}`))
	if err != nil || h.Repo.ID != 9007199254740993 || h.Installation != 9223372036854775807 || h.Sender.ID != 0 || h.Repo.Owner != "octo" {
		t.Errorf("Read = %+v, %v; want the ids as they were sent, and 0 for one beyond 64 bits", h, err)
	}
}

// TestReadManyPulls: a commit that is the head of more pull requests than a hint holds is looked up by the commit.
func TestReadManyPulls(t *testing.T) {
	var links []string
	for i := range maxNumbers + 1 {
		links = append(links, fmt.Sprintf(`{"number":%d}`, i+1))
	}
	h, err := Read("check_suite", []byte(`{"check_suite":{"head_sha":"`+head+`","pull_requests":[`+strings.Join(links, ",")+`]}}`))
	if err != nil || len(h.Numbers) != 0 || h.HeadSHA != head {
		t.Errorf("Read = %d numbers, head %q, %v; want none and the head", len(h.Numbers), h.HeadSHA, err)
	}
}

// invalid bodies and, for each, a piece of the sentence that the sender reads. Row H5 of the fault matrix.
var invalid = []struct{ name, body, want string }{
	{"empty", "", "ends too early"},
	{"white space", " \n", "ends too early"},
	{"truncated", `{"action":"opened"`, "ends too early"},
	{"truncated in a string", `{"action":"ope`, "ends too early"},
	{"truncated escape", `{"a":"\`, "ends too early"},
	{"truncated unicode escape", `{"a":"\u00`, "ends too early"},
	{"null", "null", "want an object"},
	{"array", "[]", "want an object"},
	{"string", `"x"`, "want an object"},
	{"byte order mark", "\xef\xbb\xbf{}", "want an object"},
	{"two objects", "{} {}", "more text"},
	{"trailing NUL", "{}\x00", "more text"},
	{"trailing brace", "{}}", "more text"},
	{"NaN", `{"a":NaN}`, "want a value"},
	{"Infinity", `{"a":-Infinity}`, "want a digit"},
	{"beyond a float64", `{"a":1e400}`, "too large"},
	{"beyond a float64 in digits", `{"a":` + strings.Repeat("9", 400) + `}`, "too large"},
	{"leading zero", `{"a":01}`, "want a comma"},
	{"leading plus", `{"a":+1}`, "want a value"},
	{"bare point", `{"a":1.}`, "want a digit"},
	{"bare exponent", `{"a":1e}`, "want a digit"},
	{"bare minus", `{"a":-}`, "want a digit"},
	{"trailing comma", `{"a":1,}`, "want a name"},
	{"trailing comma in a skipped object", `{"a":{"b":1,}}`, "want a name"},
	{"trailing comma in an array", `{"a":[1,]}`, "want a value"},
	{"missing colon", `{"a" 1}`, "want a colon"},
	{"missing comma", `{"a":1 "b":2}`, "want a comma"},
	{"missing comma in an array", `{"a":[1 2]}`, "want a comma"},
	{"wrong bracket", `{"a":[1}`, "want a comma"},
	{"wrong brace", `{"a":{"b":1]}`, "want a comma"},
	{"single quotes", `{'a':1}`, "want a name"},
	{"comment", `{/**/}`, "want a name"},
	{"half a word", `{"a":tru}`, "want a value"},
	{"raw newline in a string", "{\"a\":\"x\ny\"}", "control character"},
	{"raw NUL in a string", "{\"aaaaaaaaaaaaaaaa\":\"x\x00y\"}", "control character"},
	{"unknown escape", `{"a":"\x41"}`, "unknown escape"},
	{"bad hexadecimal digits", `{"a":"\u00g0"}`, "four hexadecimal"},
	{"not UTF-8", "{\"a\":\"\xff\"}", "not UTF-8 at byte 6"},
	{"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", "not UTF-8"},
	{"a routing name twice", `{"action":"opened","action":"closed"}`, `"action" a second time at byte 19`},
	{"a routing name twice, once escaped", `{"action":"opened","\u0061ction":"closed"}`, "a second time"},
	{"a routing name in two cases", `{"action":"opened","Action":"closed"}`, "a second time"},
	{"the same the other way round", `{"NUMBER":1,"number":2}`, "a second time"},
	{"a routing name twice inside", `{"repository":{"id":1,"x":2,"id":3}}`, "a second time"},
	{"an object twice", `{"pull_request":{"number":1},"pull_request":{"number":2}}`, "a second time"},
	{"deep arrays", `{"a":` + strings.Repeat("[", 1_000_000), "too deep"},
	{"deep objects", strings.Repeat(`{"a":`, 1_000_000), "too deep"},
	{"one level too deep", `{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + "}", "too deep"},
	{"one level too deep where it is read", `{"check_run":{"pull_requests":[` + strings.Repeat("[", maxDepth-2) + strings.Repeat("]", maxDepth-2) + "]}}", "too deep"},
}

func TestReadRefuses(t *testing.T) {
	for _, tt := range invalid {
		t.Run(tt.name, func(t *testing.T) {
			h, err := Read("pull_request", []byte(tt.body))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Read = %+v, %v; want an error with %q", h, err, tt.want)
			}
		})
	}
}

func TestReadAccepts(t *testing.T) {
	for name, body := range map[string]string{
		"empty object":              "{}",
		"white space everywhere":    " {\r\n\t\"a\" : [ ] , \"b\" : { } , \"c\" : [ 1 , 2 ] } \n",
		"10,000 levels":             `{"a":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + "}",
		"numbers":                   `{"a":[0,-0,1.5,1e10,-1E-10,1e308,12345678901234567890]}`,
		"a lone surrogate, escaped": `{"a":"\ud800"}`,
		"other names twice":         `{"x":1,"x":2,"sender":{"url":1,"url":2}}`,
		"words":                     `{"a":true,"b":false,"c":null}`,
		"null where objects are":    `{"repository":null,"sender":null,"pull_request":null,"installation":null,"check_run":null}`,
	} {
		if _, err := Read("pull_request", []byte(body)); err != nil {
			t.Errorf("%s: Read = %v, want nil", name, err)
		}
	}
}

// TestReadExamples reads every payload that GitHub is known to have sent, as JSON and as a form, and compares with
// what the standard library finds in it.
func TestReadExamples(t *testing.T) {
	examples := testenv.WebhookExamples(t)
	for _, v := range []string{"31", "32", "33", "34", "35"} {
		examples = append(examples, testenv.EnterpriseExamples(t, v)...)
	}
	numbers := 0
	for _, e := range examples {
		got, err := Read(e.Event, e.Payload)
		if err != nil {
			t.Errorf("%s: Read = %v", e.Name, err)
			continue
		}
		var want struct {
			Action     string
			Number     int
			Repository struct {
				ID    int64
				Name  string
				Owner struct{ Login, Name string }
			}
			Sender      pull.Actor
			PullRequest *struct {
				Number int
				Head   struct{ SHA pull.SHA }
			} `json:"pull_request"`
			Issue *struct {
				Number      int
				PullRequest *struct{} `json:"pull_request"`
			}
			CheckRun    *linked `json:"check_run"`
			CheckSuite  *linked `json:"check_suite"`
			WorkflowRun *linked `json:"workflow_run"`
			MergeGroup  *struct {
				HeadRef string `json:"head_ref"`
			} `json:"merge_group"`
		}
		if err := stdjson.Unmarshal(e.Payload, &want); err != nil {
			t.Fatalf("%s: reference: %v", e.Name, err)
		}
		var n []int
		switch e.Event {
		case "pull_request", "pull_request_review", "pull_request_review_comment", "pull_request_review_thread":
			n = []int{want.PullRequest.Number}
			if got.HeadSHA != want.PullRequest.Head.SHA {
				t.Errorf("%s: head = %q, want %q", e.Name, got.HeadSHA, want.PullRequest.Head.SHA)
			}
		case "issue_comment":
			if want.Issue.PullRequest != nil {
				n = []int{want.Issue.Number}
			}
		case "check_run":
			n = want.CheckRun.numbers(want.Repository.ID)
		case "check_suite":
			n = want.CheckSuite.numbers(want.Repository.ID)
		case "workflow_run":
			n = want.WorkflowRun.numbers(want.Repository.ID)
		case "merge_group":
			var number int
			_, rest, _ := strings.Cut(want.MergeGroup.HeadRef, "/pr-")
			if _, err := fmt.Sscanf(rest, "%d-", &number); err != nil {
				t.Errorf("%s: the queue's branch is called %q", e.Name, want.MergeGroup.HeadRef)
			}
			n = []int{number}
		}
		numbers += len(n)
		if d := cmp.Diff(n, got.Numbers); d != "" {
			t.Errorf("%s: numbers (-want +got):\n%s", e.Name, d)
		}
		owner := want.Repository.Owner.Login
		if owner == "" {
			owner = want.Repository.Owner.Name
		}
		if got.Action != want.Action || got.Repo != (pull.Repo{ID: want.Repository.ID, Owner: owner, Name: want.Repository.Name}) || got.Sender != want.Sender {
			t.Errorf("%s: Read = %q %+v %+v, want %q %+v %+v", e.Name, got.Action, got.Repo, got.Sender, want.Action, want.Repository, want.Sender)
		}
		form := []byte("payload=" + url.QueryEscape(string(e.Payload)))
		back, err := formPayload(nil, form)
		if err != nil || !bytes.Equal(back, e.Payload) {
			t.Errorf("%s: the form does not decode to the payload: %v", e.Name, err)
		}
	}
	t.Logf("%d payloads read, which name %d pull requests", len(examples), numbers)
	if len(examples) < 329 || numbers < 100 {
		t.Errorf("read %d payloads with %d numbers: the examples are not what they were", len(examples), numbers)
	}
}

type linked struct {
	PullRequests []struct {
		Number int
		Base   struct{ Repo struct{ ID int64 } }
	} `json:"pull_requests"`
}

func (l *linked) numbers(repo int64) (n []int) {
	for _, p := range l.PullRequests {
		if p.Base.Repo.ID == repo {
			n = append(n, p.Number)
		}
	}
	return n
}

// agree compares Read's verdict on a body with the standard library's. They may differ only where Read is documented
// to be stricter: UTF-8, numbers beyond a float64, and routing names twice.
func agree(t interface{ Fatalf(string, ...any) }, body []byte) {
	_, err := Read("pull_request", body)
	valid := utf8.Valid(body) && stdjson.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
	switch {
	case err == nil && !valid:
		t.Fatalf("Read(%q) = nil, but it is not one valid UTF-8 JSON object", body)
	case err != nil && valid && !strings.Contains(err.Error(), "too large for anybody") && !strings.Contains(err.Error(), "a second time"):
		t.Fatalf("Read(%q) = %v, but encoding/json finds it valid", body, err)
	}
	if err == nil {
		var any map[string]stdjson.RawMessage
		if err := stdjson.Unmarshal(body, &any); err != nil {
			t.Fatalf("Read(%q) = nil, but encoding/json can't read it: %v", body, err)
		}
	}
	// A second implementation, as strict about duplicates as can be: what it takes, Read takes, except for cases.
	v := jsontext.Value(body)
	if v.IsValid() && v.Kind() == '{' && err != nil && !strings.Contains(err.Error(), "too large for anybody") && !strings.Contains(err.Error(), "a second time") {
		t.Fatalf("Read(%q) = %v, but jsontext finds it valid", body, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, tt := range invalid {
		if len(tt.body) < 1000 {
			f.Add([]byte(tt.body))
		}
	}
	f.Add([]byte(`{"action":"opened","number":7,"pull_request":{"number":7,"head":{"sha":"` + head + `"}},"check_run":{"pull_requests":[{"number":1,"base":{"repo":{"id":2}}}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) { agree(t, body) })
}

// TestReadAgrees is the same law on texts that are nearly right, which random bytes seldom are.
func TestReadAgrees(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"{", "}", "[", "]", ",", ":", `"a"`, `"action"`, `"Action"`, `"number"`, `"repository"`, `"check_run"`, `"pull_requests"`, `"\u0061"`,
		"1", "-0", "1.5e3", "1e999", "true", "false", "null", " ", "\n", `"é"`, `"\\"`, "\"\x01\"", "\"\xff\"", `"a long string without anything in it"`,
		`{"id":1}`, `[1,2]`, `{}`, `[]`, `{"action":"x","number":1`,
	})
	rapid.Check(t, func(t *rapid.T) {
		agree(t, []byte("{"+strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "text"), "")+"}"))
	})
}

// benchPayload is a pull_request event of usual size.
func benchPayload(tb testing.TB) []byte {
	for _, e := range testenv.WebhookExamples(tb) {
		if e.Event == "pull_request" && e.Action == "opened" {
			var b bytes.Buffer
			if err := stdjson.Compact(&b, e.Payload); err != nil {
				tb.Fatal(err)
			}
			return b.Bytes()
		}
	}
	tb.Fatal("no pull_request example")
	return nil
}

// BenchmarkRead compares Read with what it replaces: the fields by encoding/json, the fields by its successor, and the
// successor's bare validation.
func BenchmarkRead(b *testing.B) {
	body := benchPayload(b)
	type fields struct {
		Action     string `json:"action"`
		Number     int    `json:"number"`
		Repository struct {
			ID            int64                  `json:"id"`
			Name          string                 `json:"name"`
			Owner         struct{ Login string } `json:"owner"`
			DefaultBranch string                 `json:"default_branch"`
		} `json:"repository"`
		Sender       pull.Actor         `json:"sender"`
		Installation struct{ ID int64 } `json:"installation"`
		PullRequest  struct {
			Number int                    `json:"number"`
			Head   struct{ SHA pull.SHA } `json:"head"`
		} `json:"pull_request"`
	}
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("ours", func() error { _, err := Read("pull_request", body); return err })
	run("jsontext-validate", func() error {
		if !jsontext.Value(body).IsValid() {
			return fmt.Errorf("invalid")
		}
		return nil
	})
	run("json-v2-fields", func() error { var f fields; return jsonv2.Unmarshal(body, &f) })
	run("json-v1-fields", func() error { var f fields; return stdjson.Unmarshal(body, &f) })
}

// When the pull request was updated tells since when its head is the head; nothing else is read of other objects' times.
func TestReadTellsWhenTheHeadWas(t *testing.T) {
	sha := "ec26c3e57ca3a959ca5aad62de7213c562f8c821"
	body := `{"action":"synchronize","number":7,"updated_at":"2001-01-01T00:00:00Z","pull_request":{"number":7,"updated_at":%s,"head":{"sha":"` + sha + `","repo":{"updated_at":"2002-01-01T00:00:00Z"}}},"repository":{"id":1}}`
	for at, want := range map[string]time.Time{
		`"2026-03-02T12:00:05Z"`:      time.Date(2026, 3, 2, 12, 0, 5, 0, time.UTC),
		`"2026-03-02T13:00:05+01:00"`: time.Date(2026, 3, 2, 12, 0, 5, 0, time.UTC),
		`"yesterday"`:                 {},
		`null`:                        {},
		`17`:                          {},
	} {
		h, err := Read("pull_request", fmt.Appendf(nil, body, at))
		if err != nil || !h.UpdatedAt.Equal(want) || string(h.HeadSHA) != sha {
			t.Errorf("updated at %s: %v with head %s, %v; want %v", at, h.UpdatedAt, h.HeadSHA, err, want)
		}
	}
}
