package github

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Everything that GitHub, or what stands between, can answer to a read.
func TestFaultsOfReads(t *testing.T) {
	const html = "<!DOCTYPE html><html><title>Unicorn!</title></html>"
	cut := &hub{serve: func(int, sent) (*http.Response, error) {
		r, _ := reply(200, "")
		r.Body = brokenBody{strings.NewReader(recorded(t)[:300])}
		return r, nil
	}}
	graphqlError := func(kind, message, path string) *hub {
		return always(200, `{"data":{"repository":null},"errors":[{"type":"`+kind+`","path":[`+path+`],"message":"`+message+`"}]}`)
	}
	for _, c := range []struct {
		name  string
		hub   *hub
		class pull.FaultClass
		words string
	}{
		{"500", always(500, `{"message":"Server Error"}`), pull.FaultUnavailable, "500"},
		{"502", always(502, html), pull.FaultUnavailable, "502"},
		{"503", always(503, ""), pull.FaultUnavailable, "503"},
		{"504", always(504, `{"message":"We couldn't respond to your request in time."}`), pull.FaultUnavailable, "in time"},
		{"a web page with 200", always(200, html), pull.FaultUnavailable, "web page"},
		{"half an answer", cut, pull.FaultUnavailable, "broke off"},
		{"half an object", always(200, recorded(t)[:500]), pull.FaultUnavailable, "not the JSON"},
		{"nothing", always(200, ""), pull.FaultUnavailable, "not the JSON"},
		{"no data", always(200, `{"data":null}`), pull.FaultUnavailable, "no data"},
		{"304 to an unconditional request", always(304, ""), pull.FaultUnavailable, "304"},
		{"401", always(401, `{"message":"Bad credentials"}`), pull.FaultAuth, "Bad credentials"},
		{"403 about a permission", always(403, `{"message":"Resource not accessible by integration"}`, "X-Accepted-GitHub-Permissions", "contents=read"), pull.FaultRefused, "contents=read"},
		{"451", always(451, `{"message":"Repository access blocked"}`), pull.FaultRefused, "blocked"},
		{"404 of the API itself", always(404, `{"message":"Not Found"}`), pull.FaultGone, "Not Found"},
		{"no repository", graphqlError("NOT_FOUND", "Could not resolve to a Repository with the name 'octo/app'.", `"repository"`), pull.FaultGone, "Could not resolve"},
		{"no pull request", graphqlError("NOT_FOUND", "Could not resolve to a PullRequest with the number of 7.", `"repository","pullRequest"`), pull.FaultGone, "number of 7"},
		{"no pull request and no error", always(200, `{"data":{"repository":{"databaseId":42,"pullRequest":null}}}`), pull.FaultGone, "no such"},
		{"part of it forbidden", graphqlError("FORBIDDEN", "Resource not accessible by personal access token", `"repository","pullRequest","commits"`), pull.FaultRefused, "not accessible"},
		{"part of it missing", always(200, recorded(t, `"path": ["defaults"]`, `"path": ["repository","pullRequest","files"]`)), pull.FaultUnavailable, "Could not resolve"},
		{"part of it timed out", graphqlError("", "Something went wrong while executing your query. This may be the result of a timeout", ``), pull.FaultUnavailable, "timeout"},
		{"over resources", graphqlError("RESOURCE_LIMITS_EXCEEDED", "Resource limits for this query exceeded.", ``), pull.FaultUnavailable, "limits"},
		{"reset", fails(fmt.Errorf("read: %w", syscall.ECONNRESET)), pull.FaultUnavailable, "reset"},
		{"no such host", fails(&net.DNSError{Err: "no such host", Name: "api.github.com"}), pull.FaultUnavailable, "no such host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, c.hub)
				_, err := w.look()
				f := wantFault(t, "Snapshot", err, c.class)
				if !strings.Contains(err.Error(), c.words) || !strings.Contains(f.Op, "octo/app#7") {
					t.Errorf("Snapshot = %q, want it to say %q and name octo/app#7", err, c.words)
				}
				if n := len(c.hub.requests()); n != 1 {
					t.Errorf("%d requests, want 1: nothing is repeated at once", n)
				}
				if got := w.metric(t, "github_api_calls_total", "operation", "graphql.PullRequest", "outcome", string(c.class)); got != 1 && c.name != "no pull request and no error" {
					t.Errorf("github_api_calls_total of class %s = %v, want 1", c.class, got)
				}
			})
		})
	}
}

// What is certainly not sent may be sent again at once; of everything else the outcome is unknown.
func TestFaultsOfWrites(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		name  string
		hub   *hub
		do    pull.Action
		class pull.FaultClass
		words string
	}{
		{"500", always(500, `{"message":"Server Error"}`), addBug, pull.FaultUnclear, "Server Error"},
		{"502", always(502, ""), mergeIt, pull.FaultUnclear, "502"},
		{"503", always(503, ""), addBug, pull.FaultUnclear, "503"},
		{"504", always(504, ""), mergeIt, pull.FaultUnclear, "504"},
		{"408", always(408, ""), mergeIt, pull.FaultUnclear, "408"},
		{"a web page with 200", always(200, "<html>"), addBug, pull.FaultUnclear, "web page"},
		{"a web page with 200, where nothing is awaited", always(200, "<html>"), removeBug, pull.FaultUnclear, "web page"},
		{"half an answer", always(201, `{"id": 1`), mergeIt, pull.FaultUnclear, "not the JSON"},
		{"202 without a word", always(202, `{}`), mergeIt, pull.FaultUnclear, "did not say"},
		{"304", always(304, ""), addBug, pull.FaultUnclear, "304"},
		{"reset after the request", fails(syscall.ECONNRESET), mergeIt, pull.FaultUnclear, "reset"},
		{"end of file after the request", fails(io.ErrUnexpectedEOF), addBug, pull.FaultUnclear, "EOF"},
		{"no connection", fails(dial), mergeIt, pull.FaultUnavailable, "refused"},
		{"no such host", fails(&net.DNSError{Err: "no such host"}), addBug, pull.FaultUnavailable, "no such host"},
		{"the wrong certificate", fails(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), mergeIt, pull.FaultUnavailable, "certificate"},
		{"401", always(401, `{"message":"Bad credentials"}`), addBug, pull.FaultAuth, "Bad credentials"},
		{"403", always(403, `{"message":"Resource not accessible by integration"}`, "X-Accepted-GitHub-Permissions", "pull_requests=write"), addBug, pull.FaultRefused, "pull_requests=write"},
		{"404", always(404, `{"message":"Not Found"}`), addBug, pull.FaultRefused, "Not Found"},
		{"410", always(410, `{"message":"Issues are disabled"}`), addBug, pull.FaultRefused, "disabled"},
		{"422", always(422, `{"message":"Validation Failed","errors":[{"resource":"Label","field":"name","code":"invalid"}]}`), addBug, pull.FaultRefused, "name invalid"},
		{"422 in words", always(422, `{"message":"Validation Failed","errors":["too long"]}`), addBug, pull.FaultRefused, "too long"},
		{"451", always(451, `{"message":"blocked"}`), addBug, pull.FaultRefused, "blocked"},
		{"merge: the head moved", always(409, `{"message":"Head branch was modified. Review and try the merge again."}`), mergeIt, pull.FaultMoved, "Head branch"},
		{"merge: the base moved", always(405, `{"message":"Base branch was modified. Review and try the merge again."}`), mergeIt, pull.FaultPassing, "Base branch"},
		{"merge: not mergeable", always(405, `{"message":"Pull Request is not mergeable"}`), mergeIt, pull.FaultPassing, "not mergeable"},
		{"merge: a check is awaited", always(405, `{"message":"Required status check \"ci\" is expected."}`), mergeIt, pull.FaultPassing, "expected"},
		{"merge: a review is missing", always(405, `{"message":"At least 1 approving review is required by reviewers with write access."}`), mergeIt, pull.FaultPassing, "review"},
		{"merge: may not push", always(405, `{"message":"You're not authorized to push to this branch. Visit https://docs.github.com/ for more information."}`), mergeIt, pull.FaultRefused, "not authorized"},
		{"merge: method not allowed", always(405, `{"message":"Merge method rebase merging is not allowed on this repository"}`), mergeIt, pull.FaultRefused, "not allowed"},
		{"merge: only the queue merges", always(405, `{"message":"Repository rule violations found\n\nChanges must be made through the merge queue"}`), mergeIt, pull.FaultRefused, "merge queue"},
		{"merge: signatures", always(405, `{"message":"Base branch requires signed commits. Rebase merges cannot be automatically signed by GitHub"}`), mergeIt, pull.FaultRefused, "signed"},
		{"merge: a rebase that fails", always(405, `{"message":"This branch can't be rebased"}`), mergeIt, pull.FaultRefused, "rebased"},
		{"merge: a workflow file", always(405, `{"message":"refusing to allow a GitHub App to create or update workflow .github/workflows/ci.yml without workflows permission"}`), mergeIt, pull.FaultRefused, "workflows"},
		{"merge: a check is missing", always(405, `{"message":"Required status check \"build\" is expected."}`), mergeIt, pull.FaultPassing, "expected"},
		{"merge: an owner is missing", always(405, `{"message":"Waiting on code owner review from octo/core."}`), mergeIt, pull.FaultPassing, "owner"},
		{"merge: not computed yet", always(405, `{"message":"Pull Request is not mergeable"}`), mergeIt, pull.FaultPassing, "mergeable"},
		{"merge: method off", always(405, `{"message":"Merge commits are not allowed on this repository."}`), mergeIt, pull.FaultRefused, "not allowed"},
		{"merge: 403", always(403, `{"message":"Resource not accessible by personal access token"}`), mergeIt, pull.FaultRefused, "not accessible"},
		{"merge: 404", always(404, `{"message":"Not Found"}`), mergeIt, pull.FaultRefused, "Not Found"},
		{"merge: 422", always(422, `{"message":"Validation Failed"}`), mergeIt, pull.FaultRefused, "Validation"},
		{"remove: no such label", always(404, `{"message":"Label does not exist"}`), removeBug, "", ""},
		{"remove: not ours to see", always(404, `{"message":"Not Found"}`), removeBug, pull.FaultRefused, "Not Found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, c.hub)
				_, err := w.do(c.do)
				if c.class == "" {
					if err != nil {
						t.Errorf("Apply(%s) = %v, want nil", c.do.Kind, err)
					}
					return
				}
				wantFault(t, fmt.Sprintf("Apply(%s)", c.do.Kind), err, c.class)
				if !strings.Contains(err.Error(), c.words) {
					t.Errorf("Apply(%s) = %q, want it to say %q", c.do.Kind, err, c.words)
				}
				if n := len(c.hub.requests()); n != 1 {
					t.Errorf("%d requests, want 1: a write is never repeated here", n)
				}
			})
		})
	}
}

// Go's own transport tells whether there ever was a connection; that settles what is sent and what is not.
func TestWritesOverARealConnection(t *testing.T) {
	hangs, arrived := make(chan struct{}), make(chan struct{}, 1)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/merge") {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		arrived <- struct{}{}
		<-hangs
	}))
	defer s.Close()
	defer close(hangs)
	w := newWorld(t, nil, func(o *Options) { o.API, o.HTTP = s.URL, nil })
	_, err := w.do(mergeIt)
	wantFault(t, "Apply(merge) that was cut off", err, pull.FaultUnclear)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-arrived; cancel() }()
	_, err = w.Apply(ctx, pull.ScopeToken, seven, addBug)
	wantFault(t, "Apply(label.add) without an answer", err, pull.FaultUnclear)

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = w.Apply(ctx, pull.ScopeToken, seven, addBug)
	wantFault(t, "Apply(label.add) after the end", err, pull.FaultUnavailable)

	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	w = newWorld(t, nil, func(o *Options) { o.API, o.HTTP = closed.URL, nil })
	_, err = w.do(mergeIt)
	wantFault(t, "Apply(merge) to a closed port", err, pull.FaultUnavailable)

	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of what this test is about
	secure.StartTLS()
	defer secure.Close()
	w = newWorld(t, nil, func(o *Options) { o.API, o.HTTP = secure.URL, nil })
	_, err = w.do(mergeIt)
	wantFault(t, "Apply(merge) to a stranger's certificate", err, pull.FaultUnavailable)
}

func TestAHangingGitHubIsGivenUpAfterFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{serve: func(_ int, r sent) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		w := newWorld(t, h)
		began := time.Now()
		_, err := w.do(mergeIt)
		wantFault(t, "Apply(merge)", err, pull.FaultUnclear)
		_, err = w.look()
		wantFault(t, "Snapshot", err, pull.FaultUnavailable)
		if took := time.Since(began); took != 2*requestTimeout {
			t.Errorf("two requests without an answer took %s, want %s", took, 2*requestTimeout)
		}
	})
}

func TestLongAnswersAreNotRead(t *testing.T) {
	h := &hub{serve: func(int, sent) (*http.Response, error) {
		r, _ := reply(200, "")
		r.Body = io.NopCloser(io.LimitReader(zeros{}, maxBody+10))
		return r, nil
	}}
	_, err := newWorld(t, h).look()
	wantFault(t, "Snapshot of 32 MB and more", err, pull.FaultUnavailable)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A refusal may be written by anybody who stands between: it reaches logs and pages in one line, cut, without secrets.
func TestWordsFromOutsideAreTamed(t *testing.T) {
	h := always(403, `{"message":"no\r\n\u001b[31m`+testToken+` `+strings.Repeat("x", 5000)+`"}`)
	_, err := newWorld(t, h).look()
	f := wantFault(t, "Snapshot", err, pull.FaultRefused)
	if strings.ContainsAny(f.Message, "\r\n\x1b") || len([]rune(f.Message)) > maxMessage {
		t.Errorf("Message = %q, want one clean short line", f.Message)
	}
	h = fails(errors.New("proxy said: Authorization: Bearer " + testToken))
	_, err = newWorld(t, h).look()
	if strings.Contains(err.Error(), testToken) {
		t.Errorf("Snapshot = %v, want no token in it", err)
	}
}

func TestRedirects(t *testing.T) {
	for _, c := range []struct {
		name, to string
		status   int
		follows  bool
	}{
		{"renamed", "https://api.github.com/repositories/42/issues/7/labels", 301, true},
		{"moved for now", "https://api.github.com/repositories/42/issues/7/labels", 307, true},
		{"found", "/repositories/42/issues/7/labels", 302, true},
		{"moved for ever", "https://api.github.com/repositories/42/issues/7/labels", 308, true},
		{"to another host", "https://evil.example/repositories/42/issues/7/labels", 301, false},
		{"to a host that looks alike", "https://api.github.com.evil.example/x", 307, false},
		{"to plain text", "http://api.github.com/repositories/42/issues/7/labels", 301, false},
		{"with a password", "https://a:b@api.github.com/x", 301, false},
		{"to another port", "https://api.github.com:8443/x", 308, false},
		{"to a service of the machine", "http://169.254.169.254/latest/meta-data", 302, false},
		{"to nowhere", "", 301, false},
		{"303", "https://api.github.com/x", 303, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hub{serve: func(n int, r sent) (*http.Response, error) {
					if r.URL.Host != "api.github.com" || r.URL.Scheme != "https" {
						t.Errorf("a request went to %s", r.URL)
					}
					if n == 1 {
						return reply(c.status, `{"message":"Moved Permanently"}`, "Location", c.to)
					}
					if r.Method != "POST" || r.body != `{"labels":["bug"]}` || r.Header.Get("Authorization") == "" {
						t.Errorf("the redirected request is %s %q, want the same as before", r.Method, r.body)
					}
					return reply(200, `[{"id":5,"name":"Bug"}]`)
				}}
				id, err := newWorld(t, h).do(addBug)
				switch {
				case c.follows && (err != nil || id != 5):
					t.Errorf("Apply = %d, %v, want 5", id, err)
				case !c.follows && err == nil:
					t.Error("Apply = nil, want a fault")
				case !c.follows && len(h.requests()) != 1:
					t.Errorf("%d requests, want 1", len(h.requests()))
				}
			})
		})
	}
}

func TestRedirectsInCirclesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := always(301, "", "Location", "https://api.github.com/again")
		w := newWorld(t, h)
		_, err := w.do(addBug)
		wantFault(t, "Apply", err, pull.FaultRefused)
		sent := h.requests()
		if len(sent) != maxRedirects+1 {
			t.Errorf("%d requests, want %d", len(sent), maxRedirects+1)
		}
		for i := 1; i < len(sent); i++ {
			if gap := sent[i].at.Sub(sent[i-1].at); gap < time.Second {
				t.Errorf("write %d came %s after the one before, want a second", i, gap)
			}
		}
	})
}

// TestTrouble: from the first request that GitHub does not answer, until it answers one, be it with a no.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer func() (*http.Response, error)
		w := newWorld(t, &hub{serve: func(int, sent) (*http.Response, error) { return answer() }})
		status := func(code int) func() (*http.Response, error) {
			return func() (*http.Response, error) { return reply(code, `{"message":"so"}`) }
		}
		away := func() (*http.Response, error) { return nil, errors.New("connection refused") }
		began := time.Now()
		const refused = "GitHub does not accept the credentials (GITHUB_TOKEN)"
		for _, tt := range []struct {
			name   string
			answer func() (*http.Response, error)
			since  time.Duration
			words  string
		}{
			{"a no", status(422), 0, ""},
			{"502", status(502), 10 * time.Second, "GitHub answers with errors of its own"},
			{"no answer", away, 10 * time.Second, "GitHub can't be reached"},
			{"401", status(401), 30 * time.Second, refused},
			{"401 again", status(401), 30 * time.Second, refused},
			{"not there", status(404), 0, ""},
			{"no answer once more", away, 60 * time.Second, "GitHub can't be reached"},
		} {
			answer = tt.answer
			_, _ = w.do(addBug)
			words, since, ok := w.Trouble()
			if ok != (tt.words != "") || words != tt.words || (ok && since.Sub(began).Truncate(10*time.Second) != tt.since) {
				t.Errorf("after %s: Trouble = %q, %v after the beginning, %v; want %q, %v", tt.name, words, since.Sub(began), ok, tt.words, tt.since)
			}
			time.Sleep(time.Until(began.Add(time.Since(began).Truncate(10*time.Second) + 10*time.Second)))
		}
	})
}
