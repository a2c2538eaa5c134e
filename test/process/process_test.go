// Package process tests the program as its operator meets it: the built binary, real signals, a real disk, and nothing
// of its insides. What it does for pull requests is told in scenario; here it is started, overloaded, told to reload,
// drained, killed and asked.
package process

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const secret = "a-secret-for-tests-only"

// emptyGitHub is a GitHub on which no repository exists: every pull request that the program asks for is gone.
func emptyGitHub(t *testing.T) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("X-RateLimit-Limit", "5000")
		w.Header().Set("X-RateLimit-Remaining", "4999")
		if strings.HasSuffix(r.URL.Path, "/graphql") {
			io.WriteString(w, `{"data":{"repository":null},"errors":[{"type":"NOT_FOUND","path":["repository"],`+
				`"message":"Could not resolve to a Repository with the name 'octo/app'."}]}`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"message":"Not Found","documentation_url":"https://docs.github.com/rest","status":"404"}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// working is the environment of a service that can do all its work.
func working(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{
		"WEBHOOK_SECRET=" + secret, "GITHUB_TOKEN=ghp_for_tests_only", "GITHUB_API_URL=" + emptyGitHub(t),
		"LOG_FORMAT=json",
	}, more...)
}

// sqliteIn is the URL of the database that a service in a directory has when it is told of none.
func sqliteIn(dir string) string {
	return "sqlite:" + filepath.Join(dir, "data", "github-pr-manager.db")
}

// pullRequest is a delivery's body about pull request number n.
func pullRequest(n int) []byte {
	sha := fmt.Sprintf("%040x", n)
	return fmt.Appendf(nil, `{"action":"synchronize","number":%[1]d,"pull_request":{"id":%[1]d,"number":%[1]d,"state":"open",`+
		`"title":"Change %[1]d","user":{"login":"octocat","id":583231,"type":"User"},"head":{"ref":"topic","sha":"%[2]s"},`+
		`"base":{"ref":"main","sha":"%[2]s"},"updated_at":"2026-01-02T03:04:05Z"},"repository":{"id":1296269,"name":"app",`+
		`"full_name":"octo/app","private":false,"owner":{"login":"octo","id":1,"type":"User"},"default_branch":"main"},`+
		`"sender":{"login":"octocat","id":583231,"type":"User"}}`, n, sha)
}

// client is one connection's worth of GitHub.
var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// An answer is what became of one delivery that was sent.
type answer struct {
	id         string
	status     int // 0: none came
	retryAfter string
	body       string // without an answer, why
	took       time.Duration
}

// post sends a signed delivery.
func post(url, key, id, event, contentType string, body []byte) answer {
	began := time.Now()
	req, err := testenv.Webhook(context.Background(), url, key, event, id, body)
	if err != nil {
		return answer{id: id, body: err.Error()}
	}
	req.Header.Set("Content-Type", contentType)
	res, err := client.Do(req)
	if err != nil {
		return answer{id: id, body: err.Error(), took: time.Since(began)}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{id: id, body: err.Error(), took: time.Since(began)}
	}
	return answer{id, res.StatusCode, res.Header.Get("Retry-After"), string(text), time.Since(began)}
}

// send sends a delivery about a pull request, as JSON.
func send(url, id string, body []byte) answer {
	return post(url, secret, id, "pull_request", "application/json", body)
}

// deliver sends one with a certain secret, and returns the status of the answer, 0 if there was none.
func deliver(url, key, id string, body []byte) int {
	return post(url, key, id, "pull_request", "application/json", body).status
}

// deliveryID makes an id as GitHub does, from two numbers.
func deliveryID(a, b int) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", a, b)
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read %s: %v", url, err)
	}
	return res.StatusCode, string(text)
}

type stats struct {
	Total struct {
		Received, Processed, Errors, Duplicates, Actions int64
	}
	QueueLength int64 `json:"queue_length"`
	InFlight    int64 `json:"in_flight"`
	Dead        int64
}

func askStats(t *testing.T, p *testenv.Process) (s stats) {
	t.Helper()
	status, body := get(t, p.URL+"/webhook/stats")
	if err := json.Unmarshal([]byte(body), &s); err != nil || status != http.StatusOK {
		t.Fatalf("GET /webhook/stats = %d %q, %v", status, body, err)
	}
	return s
}

// metric reads the sum of a metric's series whose line begins with name and has all of the words.
func metric(t *testing.T, p *testenv.Process, name string, words ...string) (sum float64) {
	t.Helper()
	_, body := get(t, p.URL+"/metrics")
	found := false
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, name) || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err != nil {
			t.Fatalf("metric line %q: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("there is no metric %s with %q", name, words)
	}
	return sum
}

// eventually waits until a condition holds.
func eventually(t *testing.T, atMost time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(atMost); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", atMost, what)
		}
	}
}
