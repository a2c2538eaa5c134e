package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func get(t *testing.T, d *Dashboard, path string) string {
	t.Helper()
	w := do(d, request(http.MethodGet, path))
	if w.Code != 200 {
		t.Fatalf("GET %s = %d %s, want 200", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// wants fails for each part that is not in the page, in this order.
func wants(t *testing.T, page string, parts ...string) {
	t.Helper()
	rest := page
	for _, p := range parts {
		_, after, ok := strings.Cut(rest, p)
		if !ok {
			t.Errorf("the page has no %q (after the parts before it)", p)
			continue
		}
		rest = after
	}
}

func TestFrontPage(t *testing.T) {
	page := get(t, New(newFake(), Options{Version: "v1.2.3"}), "/")
	wants(t, page,
		"<h2 class=\"sr\" id=\"h-counters\">", "received</dt><dd>12\u202f859", "waiting</dt><dd>7", "in flight</dt><dd>2", "errors</dt><dd>4", "dead</dt><dd>1",
		"Needs somebody", "Replace the session cache", "Blocked by conflicts with main", "Retry uploads",
		"Waiting <span", "Wip: new editor", ">draft<", "Merging now", "Dry run", "Only observed", "Not looked at yet",
		"Recently merged", "Do not log the request body",
		"What waits", "being looked at", "waits its turn", "failed 5 times",
		"Webhooks arriving", "pull_request", "opened", "octo/app</bdi>#47", "received",
		"v1.2.3",
	)
	if strings.Contains(page, "style=") || strings.Contains(page, "<script>") || strings.Contains(page, "onclick") {
		t.Error("the page has something inline, which its own policy forbids")
	}
}

func TestEmptyFrontPageSaysWhatToDo(t *testing.T) {
	wants(t, get(t, New(&fakeStore{}, Options{PublicURL: "https://pr.example.org"}), "/"),
		"Nothing has arrived yet", "https://pr.example.org/webhook", "WEBHOOK_SECRET", ".github/pr-manager.yml", "github-pr-manager demo")
}

func TestBanners(t *testing.T) {
	f := newFake()
	f.totals.Paused = true
	wants(t, get(t, New(f, Options{}), "/"), "The queue is paused.</strong> Deliveries are kept", "queue resume")
	f.totals.PausedSince, f.totals.PausedBy = time.Now().Add(-3*time.Minute), "<carol>@host"
	wants(t, get(t, New(f, Options{}), "/"), "The queue is paused</strong>, as ordered <time ", "3 min ago</time> by <bdi>&lt;carol&gt;@host</bdi>. Deliveries", "queue resume")
	f.totals.Paused, f.totals.Parked = false, time.Now().Add(10*time.Minute)
	wants(t, get(t, New(f, Options{}), "/"), "limit is reached")
}

// TestNothingIsDueYet: what waits to be taken in is about nobody knows what, and is not nothing.
func TestNothingIsDueYet(t *testing.T) {
	f := newFake()
	f.due, f.totals.OldestQueued = nil, time.Now()
	wants(t, get(t, New(f, Options{}), "/"), "Webhooks wait to be taken in")
	f.totals.OldestQueued = time.Time{}
	wants(t, get(t, New(f, Options{}), "/"), "Everything that arrived has been looked at")
}

func TestPullPage(t *testing.T) {
	page := get(t, New(newFake(), Options{}), "/pulls/octo/app/44")
	wants(t, page,
		"Show the time zone", "Waiting for an approval", "https://github.com/octo/app/pull/44",
		"Why", "octo/app/.github/pr-manager.yml@main", "approval",
		"Merging", "waits", "pr-manager.yml@main:12", "approved", "false: ", "approvals", "0 of 5bd1e24", "unknown: ", "checks.green", "true: ",
		"Label “<bdi>ui", "pr-manager.yml@main:5", "Label “<bdi>hold", "stays off",
		"What was done", "Add label", "Remove label", "GitHub answered 403", "refused · try 2",
		"What happened", "Pushed: the head is ", "checks passed; still needs an approval of ", "unit tests", "Webhooks about it", "check_run",
	)
	// GitHub's addresses are not case-sensitive.
	get(t, New(newFake(), Options{}), "/pulls/Octo/APP/44")
}

func TestAVerdictOfAnotherVersion(t *testing.T) {
	f := newFake()
	f.details[2].Verdict.Tree = []byte(`{"state": 7`)
	wants(t, get(t, New(f, Options{}), "/pulls/octo/app/44"), "Waiting for an approval", "written by another version")
}

// hostile is what people write into titles.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.Secret}}`, "javascript:alert(1)", `</title><script>alert(1)</script>`,
	"\u202egnp.exe", "line\r\nSet-Cookie: a=b\n\ndata: x", "\x1b[2J\x00\x07", "\xff\xfe", "zero\u200bwidth", strings.Repeat("A", 1<<20), strings.Repeat("\u202e", 1<<20), `'; DROP TABLE pulls; --`,
}

func TestHostileTextIsHarmless(t *testing.T) {
	for _, text := range hostile {
		f := newFake()
		f.mu.Lock()
		d := &f.details[2]
		r := &d.Row
		r.Title, r.Author, r.Sentence, r.HeadRef, r.Base, r.URL = text, text, text, text, text, "javascript:alert(1)//"+text
		r.Labels = []string{text, text}
		d.History[0].Sentence, d.Problem = text, text
		d.Intents[0].Action.Target, d.Intents[0].Error, d.Intents[0].Action.Why = text, text, text
		for i := range f.deliveries {
			dl := &f.deliveries[i]
			dl.ID, dl.Hint.Event, dl.Hint.Action, dl.Hint.Sender.Login, dl.Error = text, text, text, text, text
			dl.Hint.Repo.Name = text
		}
		d.Deliveries = f.deliveries
		f.due[0].Title, f.due[0].Repo.Owner = text, text
		f.mu.Unlock()
		dash := New(f, Options{})
		name := fmt.Sprintf("%.40q", text)
		for _, path := range []string{"/", "/pulls/octo/app/44"} {
			page := get(t, dash, path)
			if n := strings.Count(page, "<script"); n != 1 {
				t.Errorf("%s with %s has %d scripts, want ours only", path, name, n)
			}
			for _, bad := range []string{"<img", "href=\"javascript:", "\u202e", "\u200b", "\x1b", "\x00", "onerror=alert(1)>"} {
				if strings.Contains(page, bad) {
					t.Errorf("%s with %s contains %q", path, name, bad)
				}
			}
			if len(page) > 200<<10 || !utf8.ValidString(page) {
				t.Errorf("%s with %s is %d bytes, valid UTF-8 = %v; want it cut and valid", path, name, len(page), utf8.ValidString(page))
			}
		}
		for _, path := range []string{"/api/pulls", "/api/pulls/octo/app/44"} {
			var v any
			if err := json.Unmarshal([]byte(get(t, dash, path)), &v); err != nil {
				t.Errorf("%s with %s: %v", path, name, err)
			}
		}
		if snap, err := dash.loadSnapshot(t.Context()); err != nil || strings.Count(string(snap.data), "\n") != 2 || len(snap.data) > 400<<10 {
			t.Errorf("the snapshot with %s: %d bytes with %d line breaks, %v; want one line", name, len(snap.data), strings.Count(string(snap.data), "\n"), err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	const canary = "canary-secret-0123456789"
	var secrets telemetry.Secrets
	secrets.Add(canary)
	f := newFake()
	f.mu.Lock()
	d := &f.details[2]
	d.Row.Sentence, d.Problem, d.History[0].Sentence = "refused "+canary, "bad "+canary, canary
	d.Verdict.Tree = []byte(strings.ReplaceAll(string(d.Verdict.Tree), "hubot", canary))
	d.Intents[0].Error = "401 for " + canary
	f.deliveries[4].Error = canary
	f.mu.Unlock()
	dash := New(f, Options{Secrets: &secrets})
	for _, path := range []string{"/", "/pulls/octo/app/44", "/api/pulls", "/api/pulls/octo/app/44"} {
		if strings.Contains(get(t, dash, path), canary) {
			t.Errorf("GET %s shows a secret", path)
		}
	}
	snap, err := dash.loadSnapshot(t.Context())
	if err != nil || strings.Contains(string(snap.data), canary) {
		t.Errorf("the snapshot shows a secret (%v)", err)
	}
	if strings.Contains(string(dash.hub.frame(pull.Change{ID: 1, Text: canary}, true)), canary) {
		t.Error("an update shows a secret")
	}
}

func TestClean(t *testing.T) {
	for _, tt := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain", 10, "plain"},
		{"  two\n\twords ", 20, "two words"},
		{"exactly ten", 11, "exactly ten"},
		{"one too many", 11, "one too ma…"},
		{"añb\u0301", 10, "añb\u0301"},
		{"👩\u200d💻", 10, "👩\u200d💻"},
		{"a\u202eb\u2066c\u200bd\ufeffe", 10, "abcde"},
		{"a\x00b\x1b[31mc", 10, "ab[31mc"},
		{"\xff\xfea", 10, "a"},
		{"", 5, ""},
	} {
		if got := clean(tt.in, tt.limit); got != tt.want {
			t.Errorf("clean(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}

func TestSafeURL(t *testing.T) {
	for in, ok := range map[string]bool{
		"https://github.com/octo/app/pull/1": true, "http://ghes.corp/a": true, "javascript:alert(1)": false, "JaVaScRiPt://x/%0aalert(1)": false,
		"data:text/html,x": false, "//evil.example": false, "/pulls": false, "": false, "https:///x": false, "https://x/" + strings.Repeat("a", 3000): false,
	} {
		if got := safeURL(in) != ""; got != ok {
			t.Errorf("safeURL(%.40q) is a link = %v, want %v", in, got, ok)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "just now", 5 * time.Second: "just now", 42 * time.Second: "42 s ago", 90 * time.Second: "1 min ago", 3 * time.Hour: "3 h ago",
		49 * time.Hour: "2 days ago", -30 * time.Second: "in 30 s", -5 * time.Minute: "in 5 min",
	} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567", -1000: "-1\u202f000"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		m := telemetry.NewMetrics("v", "c")
		d := New(f, withToken(Options{Metrics: m}))
		m.Webhook("push", telemetry.OutcomeAccepted)
		m.Webhook("push", telemetry.OutcomeDuplicate)
		m.Webhook("push", telemetry.OutcomeSignature)
		m.Attempt(pull.Attempt{Event: "push", Failed: true, Status: pull.Queued})
		m.Attempt(pull.Attempt{Event: "push", Status: pull.Processed})
		time.Sleep(3 * time.Second)
		read := func() (s statsAnswer) {
			t.Helper()
			w := do(d, request(http.MethodGet, "/webhook/stats", from("192.0.2.1:5", "pr.example.org")))
			if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != 200 {
				t.Fatalf("stats = %d %s, %v", w.Code, w.Body, err)
			}
			if regexp.MustCompile(`octo|mona`).MatchString(w.Body.String()) {
				t.Errorf("stats name somebody: %s", w.Body)
			}
			return s
		}
		s := read()
		if s.Received != 1 || s.Duplicates != 1 || s.Processed != 2 || s.Errors != 1 || s.ByEvent["push"].Received != 1 {
			t.Errorf("since the start: %+v, want 1 received, 1 duplicate, 2 processed, 1 error", s)
		}
		if s.Total.Received != f.totals.Received || s.QueueLength != 7 || s.InFlight != 2 || s.Dead != 1 || s.LastProcessed == nil || s.Uptime != 3 {
			t.Errorf("from the database: %+v, want what it says", s)
		}
		for range 50 {
			read()
		}
		if n := f.calls["totals"]; n != 1 {
			t.Errorf("51 requests in one second read the database %d times, want once", n)
		}
		// A database that hangs or fails leaves the counters as they were known last.
		f.mu.Lock()
		f.slow, f.totals.QueueLength = time.Minute, 99
		f.mu.Unlock()
		time.Sleep(2 * time.Second)
		began := time.Now()
		if s := read(); s.QueueLength != 7 || time.Since(began) > 100*time.Millisecond {
			t.Errorf("with a slow database: queue_length %d after %v, want the last known 7 within 100 ms", s.QueueLength, time.Since(began))
		}
		time.Sleep(10 * time.Second)
		if s := read(); !s.Stale || s.QueueLength != 7 {
			t.Errorf("after a failed read: %+v, want stale and the last known 7", s)
		}
		time.Sleep(10 * time.Second) // for the read in the background to give up
	})
}

func TestAPI(t *testing.T) {
	d := New(newFake(), Options{})
	var list struct{ Pulls []pullJSON }
	if err := json.Unmarshal([]byte(get(t, d, "/api/pulls")), &list); err != nil || len(list.Pulls) != 9 {
		t.Errorf("/api/pulls = %d pull requests, %v; want 9", len(list.Pulls), err)
	}
	if err := json.Unmarshal([]byte(get(t, d, "/api/pulls?state=closed")), &list); err != nil || len(list.Pulls) != 4 {
		t.Errorf("/api/pulls?state=closed = %d pull requests, %v; want 4", len(list.Pulls), err)
	}
	if w := do(d, request(http.MethodGet, "/api/pulls?state=odd")); w.Code != 400 {
		t.Errorf("/api/pulls?state=odd = %d, want 400", w.Code)
	}
	var one struct {
		pullJSON
		Tree     struct{ State string } `json:"verdict_tree"`
		Actions  []actionJSON
		Commands []commandJSON
		History  []decisionJSON
	}
	if err := json.Unmarshal([]byte(get(t, d, "/api/pulls/octo/app/44")), &one); err != nil || one.Number != 44 || one.Tree.State != "waiting" || len(one.Actions) != 3 {
		t.Errorf("/api/pulls/octo/app/44 = %+v, %v; want the verdict's tree and three actions", one, err)
	}
	if len(one.Commands) != 2 || one.Commands[0].Command != "/merge" || one.Commands[0].Answer != "The writer eve may not give /merge here; someone with write access may." ||
		!strings.HasSuffix(one.Commands[0].Comment, "#issuecomment-9") || !strings.HasSuffix(one.Commands[1].Comment, "#pullrequestreview-8") {
		t.Errorf("the commands are %+v", one.Commands)
	}
	if page := get(t, d, "/pulls/octo/app/44"); !strings.Contains(page, "The writer eve may not give /merge here") || strings.Contains(page, "<b>docs") {
		t.Error("the page does not show the commands as text, with their answers")
	}
	if h := one.History[0]; !strings.HasPrefix(h.Changed, "Pushed: the head is ") || !strings.Contains(string(h.Changes), `"checks_failed"`) || one.History[1].Changed != "" {
		t.Errorf("the history is %+v, want what changed in words and as data", one.History)
	}
}

func TestAssetsAreCachedByContent(t *testing.T) {
	d := New(newFake(), Options{})
	page := get(t, d, "/")
	for _, m := range regexp.MustCompile(`/assets/[a-z.]+\?v=[a-z0-9]+`).FindAllString(page, -1) {
		w := do(d, request(http.MethodGet, m))
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("GET %s = %d, %q; want 200 and kept for good", m, w.Code, w.Header().Get("Cache-Control"))
		}
	}
	if cc := do(d, request(http.MethodGet, "/assets/app.js?v=old")).Header().Get("Cache-Control"); cc != "no-cache" {
		t.Errorf("an old version's address: Cache-Control = %q, want no-cache", cc)
	}
}

func TestEveryKindOfActionHasItsWords(t *testing.T) {
	for _, k := range pull.ActionKinds {
		if verbs[k] == "" {
			t.Errorf("the page has no words for %s", k)
		}
	}
	d := &Dashboard{}
	for target, want := range map[string]string{
		"b1e49f0c29310aa": "b1e49f0", pull.ApprovalsName + "@b1e49f0c29310aa": "approvals b1e49f0",
	} {
		if got := d.actionView(pull.Intent{Action: pull.Action{Kind: pull.SetReport, Target: target}}, time.Time{}).Target; got != want {
			t.Errorf("the report %s is shown as %q, want %q", target, got, want)
		}
	}
}
