package runbook

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A row says what becomes of one command of a page. Either it is typed and has to do what want says, or it can't be here and
// elsewhere says why, and how it is checked instead.
type row struct {
	section, text string
	before        func(w *walk)                     // what the page supposes, or its reader does by hand
	as            func(w *walk, text string) string // fills in what stands for something else, such as <PID>
	do            func(w *walk, text string) result // types it, where that takes more than a shell
	want          func(w *walk, r result)
	elsewhere     string
}

// A walk goes through a page on a stage.
type walk struct {
	*stage
	e        *engine
	replicas int
	url      string            // of the service, as whoever types sees it
	now      command           // that is being typed
	kept     map[string]string // from one row to a later one
	sent     int
}

// check fails the test with the command and its result unless ok.
func (w *walk) check(ok bool, r result, format string, args ...any) {
	w.t.Helper()
	if !ok {
		w.t.Errorf("line %d, %s: %s\n  %s\n%v", w.now.line, w.now.section, fmt.Sprintf(format, args...), w.now.text, r)
	}
}

// says wants exit code 0 and an output that each pattern is found in.
func says(patterns ...string) func(*walk, result) { return ends(0, patterns...) }

// ends is [says] with another exit code.
func ends(code int, patterns ...string) func(*walk, result) {
	return func(w *walk, r result) {
		w.t.Helper()
		w.check(r.code == code, r, "exit code %d, want %d", r.code, code)
		for _, p := range patterns {
			w.check(regexp.MustCompile(p).MatchString(r.stdout+r.stderr), r, "the output has no %s", p)
		}
	}
}

// all wants several things.
func all(wants ...func(*walk, result)) func(*walk, result) {
	return func(w *walk, r result) {
		w.t.Helper()
		for _, want := range wants {
			want(w, r)
		}
	}
}

// matched finds the row of each command, and complains of commands without and of rows without.
func matched(t testing.TB, page []command, rows []row) map[int]row {
	t.Helper()
	found, used := map[int]row{}, map[int]bool{}
	for i, c := range page {
		at := -1
		for j, r := range rows {
			// What stands several times in a section has one row, or as many as it stands there.
			if r.section == c.section && (r.text == c.text || r.text == "" && c.kind != "inline" && c.kind != "bash" && c.kind != "sh") && (at < 0 || used[at]) {
				at = j
			}
		}
		if at < 0 {
			t.Errorf("line %d, %s: %q is in the page and not in the table", c.line, c.section, c.text)
			continue
		}
		found[i], used[at] = rows[at], true
	}
	for j, r := range rows {
		if !used[j] {
			t.Errorf("%s: %q is in the table and not in the page", r.section, r.text)
		}
		if (r.want == nil) == (r.elsewhere == "") {
			t.Errorf("%s: %q has to be typed or checked elsewhere, exactly one of them", r.section, r.text)
		}
	}
	return found
}

// through types every command of a page that has to be typed.
func (w *walk) through(page []command, rows map[int]row) {
	w.t.Helper()
	typed := 0
	for i, c := range page {
		r, ok := rows[i]
		if !ok || r.want == nil {
			continue
		}
		w.now = c
		begun := time.Now()
		if r.before != nil {
			r.before(w)
		}
		text := c.text
		if r.as != nil {
			text = r.as(w, text)
		}
		var res result
		if r.do != nil {
			res = r.do(w, text)
		} else {
			res = w.shell.run(text, c.input)
		}
		r.want(w, res)
		if took := time.Since(begun); testing.Verbose() && took > 2*time.Second {
			w.t.Logf("%v, of it the command %v: %s", took.Round(100*time.Millisecond), res.took.Round(100*time.Millisecond), text)
		}
		typed++
	}
	w.t.Logf("%d of %d commands were typed with %d replicas; the rest is listed with how it is checked instead", typed, len(page), w.replicas)
}

// client keeps no connection: who stops a server need not wait for it. It believes the certificate that a test has made.
var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
	DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
}}

// get asks the service, and returns the answer's status and body.
func (w *walk) get(url string) (int, string) {
	w.t.Helper()
	res, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

// eventually waits until something holds, or fails the test.
func (w *walk) eventually(what string, holds func() bool) {
	w.t.Helper()
	for start := time.Now(); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			w.t.Fatalf("line %d: waited half a minute in vain until %s", w.now.line, what)
		}
	}
}

// ready waits until the entrance says ready, without a warning.
func (w *walk) ready() {
	w.t.Helper()
	w.readyAt(w.url)
}

func (w *walk) readyAt(url string) {
	w.t.Helper()
	w.eventually(url+" is ready", func() bool {
		status, body := w.get(url + "/ready")
		return status == 200 && strings.Contains(body, `"status": "ready"`) && !strings.Contains(body, `"warning"`)
	})
}

// deliver sends signed deliveries about octo/app#1, as GitHub would, and returns the answers' status codes.
func (w *walk) deliver(count int, with string) (codes []int) {
	w.t.Helper()
	for range count {
		w.sent++
		body := fmt.Sprintf(`{"action":"edited","number":1,"pull_request":{"number":1,"state":"open","draft":false,"head":{"sha":%q,"ref":"topic"},"base":{"ref":"main"}},`+
			`"repository":{"id":%d,"name":"app","full_name":"octo/app","owner":{"login":"octo"}},"sender":{"login":"mira"}}`, strings.Repeat("a", 40), w.repo.ID)
		id := fmt.Sprintf("72d3162e-cc78-11e3-%04d-4c9367dc0958", w.sent)
		req, err := testenv.Webhook(w.t.Context(), w.url, with, "pull_request", id, []byte(body))
		if err != nil {
			w.t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			codes = append(codes, 0)
			continue
		}
		res.Body.Close()
		codes = append(codes, res.StatusCode)
	}
	return codes
}

// accepted sends deliveries that have to be acknowledged.
func (w *walk) accepted(count int, with string) {
	w.t.Helper()
	for _, code := range w.deliver(count, with) {
		if code != http.StatusAccepted {
			w.t.Fatalf("line %d: a signed delivery is answered %d, want 202", w.now.line, code)
		}
	}
}

// count asks the database how many deliveries there are of which something holds.
func (w *walk) count(what string) int {
	w.t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(w.must(`psql -At github_agent -c "SELECT count(*) FROM webhook_logs WHERE ` + what + `"`).stdout))
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// idle waits until nothing waits any more.
func (w *walk) idle() {
	w.t.Helper()
	w.eventually("all deliveries are processed", func() bool { return w.count("status IN ('received', 'queued')") == 0 })
}

// metric is a sample at the entrance, by its line without the value.
func (w *walk) metric(line string) float64 {
	w.t.Helper()
	_, body := w.get(w.url + "/metrics")
	for l := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(l, line+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

// samples counts the lines of a metric in what a grep has printed.
func samples(text, name string) (n int) {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, name+" ") || strings.HasPrefix(l, name+"{") {
			n++
		}
	}
	return n
}

// queries asks Prometheus for each expression until it has data.
func (w *walk) queries(exprs ...string) {
	w.t.Helper()
	for _, expr := range exprs {
		w.eventually("Prometheus has data for "+expr, func() bool {
			var a struct {
				Status, Error string
				Data          struct{ Result []json.RawMessage }
			}
			req, _ := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://localhost:9090/api/v1/query", nil)
			q := req.URL.Query()
			q.Set("query", expr)
			req.URL.RawQuery = q.Encode()
			res, err := client.Do(req)
			if err != nil {
				return false
			}
			defer res.Body.Close()
			if err := json.NewDecoder(res.Body).Decode(&a); err != nil || a.Status != "success" {
				w.t.Fatalf("line %d: Prometheus refuses %s: %v %s", w.now.line, expr, err, a.Error)
			}
			return len(a.Data.Result) > 0
		})
	}
}

// sign asks openssl for a signature, so that nothing of ours is asked whether ours is right.
func (w *walk) sign(with, payload string) string {
	w.t.Helper()
	path := filepath.Join(w.home, "payload")
	if err := os.WriteFile(path, []byte(payload), 0o600); err != nil {
		w.t.Fatal(err)
	}
	r := w.must("openssl dgst -sha256 -hmac " + with + " -hex " + path)
	f := strings.Fields(r.stdout)
	return "sha256=" + f[len(f)-1]
}

// post sends a body with headers, and returns the status of the answer.
func (w *walk) post(url string, headers map[string]string, body string) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		w.t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}
