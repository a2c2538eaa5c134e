package dashboard

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/visitor"
)

const testToken = "correct-horse-battery"

// request makes a request as a browser on this machine sends it.
func request(method, path string, change ...func(*http.Request)) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:50000", "localhost:3001"
	r.Header.Set("Accept", "text/html")
	for _, c := range change {
		c(r)
	}
	return r
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func from(addr, host string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr, r.Host = addr, host }
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func withToken(o Options) Options {
	o.Token = func() string { return testToken }
	return o
}

func form(path string, v url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(v.Encode()))
	r.RemoteAddr, r.Host = "203.0.113.9:50000", "pr.example.org"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Origin", "http://pr.example.org")
	return r
}

func TestWithoutATokenPagesAnswerThisMachineOnly(t *testing.T) {
	tests := []struct {
		name string
		mod  []func(*http.Request)
		want int
	}{
		{"loopback", nil, 200},
		{"loopback, IPv6", []func(*http.Request){from("[::1]:4000", "[::1]:3001")}, 200},
		{"loopback, mapped", []func(*http.Request){from("[::ffff:127.0.0.1]:4000", "127.0.0.1")}, 200},
		{"another machine", []func(*http.Request){from("192.0.2.7:4000", "localhost:3001")}, 403},
		{"a name that points here", []func(*http.Request){from("127.0.0.1:4000", "evil.example:3001")}, 403},
		{"a name that begins like it", []func(*http.Request){from("127.0.0.1:4000", "localhost.evil.example")}, 403},
		{"no host", []func(*http.Request){from("127.0.0.1:4000", "")}, 403},
		{"no address", []func(*http.Request){from("pipe", "localhost")}, 403},
		{"forwarded", []func(*http.Request){header("X-Forwarded-For", "127.0.0.1")}, 403},
		{"forwarded, standard", []func(*http.Request){header("Forwarded", "for=127.0.0.1")}, 403},
		{"forwarded, empty", []func(*http.Request){header("X-Real-IP", "")}, 403},
		{"a token that nobody asked for", []func(*http.Request){from("192.0.2.7:4000", "localhost:3001"), header("Authorization", "Bearer ")}, 403},
	}
	for _, path := range []string{"/", "/pulls/octo/app/44", "/api/pulls", "/api/pulls/octo/app/44", "/webhook/events"} {
		for _, tt := range tests {
			t.Run(path+" "+tt.name, func(t *testing.T) {
				method := http.MethodGet
				if path == "/webhook/events" {
					method = http.MethodHead
				}
				w := do(New(newFake(), Options{}), request(method, path, tt.mod...))
				if w.Code != tt.want {
					t.Fatalf("GET %s = %d, want %d", path, w.Code, tt.want)
				}
				if tt.want == 403 && method != http.MethodHead && !strings.Contains(w.Body.String(), "DASHBOARD_TOKEN") {
					t.Errorf("GET %s = %q, want a sentence that says what to do", path, w.Body)
				}
			})
		}
	}
}

func TestWithATokenEveryPageAsksForIt(t *testing.T) {
	d := New(newFake(), withToken(Options{}))
	for _, path := range []string{"/", "/pulls/octo/app/44", "/api/pulls", "/webhook/events"} {
		for _, tt := range []struct {
			auth string
			want int
		}{
			{"", 401},
			{"Bearer wrong", 401},
			{"Bearer " + testToken + "x", 401},
			{"Basic " + testToken, 401},
			{"Bearer " + testToken, 200},
			{"bearer " + testToken, 200},
		} {
			// Not even loopback passes without it: behind a proxy on the same machine everybody comes from there.
			w := do(d, request(http.MethodHead, path, header("Authorization", tt.auth)))
			if w.Code != tt.want {
				t.Errorf("HEAD %s with %q = %d, want %d", path, tt.auth, w.Code, tt.want)
			}
		}
	}
	for _, path := range []string{"/webhook/stats", "/assets/style.css", "/assets/app.js", "/sign-in"} {
		if w := do(d, request(http.MethodGet, path, from("192.0.2.7:4000", "pr.example.org"))); w.Code != 200 {
			t.Errorf("GET %s = %d, want 200: it is open to all", path, w.Code)
		}
	}
}

func TestSignIn(t *testing.T) {
	d := New(newFake(), withToken(Options{PublicURL: "https://pr.example.org"}))

	w := do(d, request(http.MethodGet, "/pulls/octo/app/44"))
	if w.Code != 401 || !strings.Contains(w.Body.String(), `name="next" value="/pulls/octo/app/44"`) {
		t.Fatalf("a page without signing in = %d %s, want 401 and a form that leads back", w.Code, w.Body)
	}
	w = do(d, form("/sign-in", url.Values{"token": {testToken}, "next": {"/pulls/octo/app/44"}}))
	if w.Code != 303 || w.Header().Get("Location") != "/pulls/octo/app/44" {
		t.Fatalf("sign-in = %d to %q, want 303 to where we came from", w.Code, w.Header().Get("Location"))
	}
	c := w.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || strings.Contains(c.Value, testToken) {
		t.Errorf("cookie = %+v, want HttpOnly, SameSite=Strict, not Secure over http, and without the token", c)
	}
	withCookie := func(r *http.Request) { r.AddCookie(c) }
	if w := do(d, request(http.MethodGet, "/", withCookie)); w.Code != 200 {
		t.Errorf("the front page with the cookie = %d, want 200", w.Code)
	}
	for name, value := range map[string]string{"cut": c.Value[:20], "changed": "B" + c.Value[1:], "empty": ""} {
		w := do(d, request(http.MethodGet, "/", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookieName, Value: value}) }))
		if w.Code != 401 {
			t.Errorf("the front page with a cookie that was %s = %d, want 401", name, w.Code)
		}
	}
	d.o.Token = func() string { return "another-token-entirely" }
	if w := do(d, request(http.MethodGet, "/", withCookie)); w.Code != 401 {
		t.Errorf("the cookie of a former token = %d, want 401", w.Code)
	}
}

func TestSessionsEnd(t *testing.T) {
	s := New(&fakeStore{}, Options{}).sessionFor(testToken)
	now := time.Now()
	c := s.issue(now.Add(time.Hour))
	if !s.valid(c, now) || s.valid(c, now.Add(2*time.Hour)) {
		t.Error("a session of an hour is valid now and not in two hours")
	}
}

func TestSignInIsSecureBehindATrustedProxy(t *testing.T) {
	proxy := netip.MustParsePrefix("10.0.0.0/8")
	d := New(newFake(), withToken(Options{TrustedProxies: []netip.Prefix{proxy}}))
	for _, tt := range []struct {
		name   string
		mod    func(*http.Request)
		secure bool
	}{
		{"TLS", func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, true},
		{"trusted", func(r *http.Request) { r.RemoteAddr = "10.1.2.3:99"; r.Header.Set("X-Forwarded-Proto", "https") }, true},
		{"untrusted", func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") }, false},
	} {
		r := form("/sign-in", url.Values{"token": {testToken}})
		tt.mod(r)
		if got := do(d, r).Result().Cookies()[0].Secure; got != tt.secure {
			t.Errorf("%s: cookie is Secure = %v, want %v", tt.name, got, tt.secure)
		}
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	for next, want := range map[string]string{
		"/": "/", "/pulls/a/b/1?x=1": "/pulls/a/b/1?x=1", "": "/", "https://evil.example": "/", "//evil.example": "/",
		`/\evil.example`: "/", "/a\r\nX: y": "/", "/\t/evil.example": "/", "/sign-out": "/", "javascript:alert(1)": "/",
	} {
		if got := ownPath(next); got != want {
			t.Errorf("ownPath(%q) = %q, want %q", next, got, want)
		}
	}
}

func TestFormsFromOtherSitesAreRefused(t *testing.T) {
	d := New(newFake(), withToken(Options{PublicURL: "https://public.example"}))
	for origin, want := range map[string]int{
		"http://pr.example.org": 303, "https://public.example": 303, "https://evil.example": 403, "null": 403, "": 303,
	} {
		for _, path := range []string{"/sign-in", "/sign-out"} {
			r := form(path, url.Values{"token": {testToken}})
			r.Header.Set("Origin", origin)
			if origin == "" {
				r.Header.Del("Origin") // a program, not a browser
			}
			if got := do(d, r).Code; got != want {
				t.Errorf("POST %s from %q = %d, want %d", path, origin, got, want)
			}
		}
	}
	r := form("/sign-out", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Del("Origin")
	if got := do(d, r).Code; got != 403 {
		t.Errorf("a cross-site sign-out = %d, want 403", got)
	}
}

func TestFailedSignInsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(newFake(), withToken(Options{
			RateLimit: visitor.RateLimit{Enabled: true, Max: 3, Window: time.Minute}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		}))
		try := func(token string, mods ...func(*http.Request)) *httptest.ResponseRecorder {
			r := form("/sign-in", url.Values{"token": {token}})
			for _, m := range mods {
				m(r)
			}
			return do(d, r)
		}
		for range 3 {
			if w := try("wrong"); w.Code != 401 || !strings.Contains(w.Body.String(), "That is not the dashboard") {
				t.Fatalf("a wrong token = %d, want 401 with a sentence", w.Code)
			}
		}
		w := try(testToken)
		if w.Code != 429 || w.Header().Get("Retry-After") == "" {
			t.Fatalf("after three failures even the right token = %d (Retry-After %q), want 429 with Retry-After", w.Code, w.Header().Get("Retry-After"))
		}
		bearer := request(http.MethodGet, "/api/pulls", from("203.0.113.9:7", "pr.example.org"), header("Authorization", "Bearer "+testToken))
		if w := do(d, bearer); w.Code != 429 {
			t.Errorf("the same address with a header = %d, want 429", w.Code)
		}
		if w := try(testToken, func(r *http.Request) { r.RemoteAddr = "203.0.113.10:7" }); w.Code != 303 {
			t.Errorf("another address = %d, want 303", w.Code)
		}
		through := func(r *http.Request) {
			r.RemoteAddr = "10.0.0.1:7"
			r.Header.Set("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.0.0.2")
		}
		if w := try(testToken, through); w.Code != 429 {
			t.Errorf("the same address through two trusted proxies = %d, want 429", w.Code)
		}
		spoofed := func(r *http.Request) { r.Header.Set("X-Forwarded-For", "198.51.100.1") }
		if w := try(testToken, spoofed); w.Code != 429 {
			t.Errorf("the same address, pretending = %d, want 429", w.Code)
		}
		time.Sleep(time.Minute)
		if w := try(testToken); w.Code != 303 {
			t.Errorf("a minute later = %d, want 303", w.Code)
		}
	})
}

// Whoever tries tokens from many addresses writes a line a second into the log, and is counted in it.
func TestFailedSignInsAreALineASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := New(newFake(), withToken(Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), RateLimit: visitor.RateLimit{Enabled: true, Max: 3, Window: time.Minute}}))
		for n := range 5000 { // 10 seconds
			addr := fmt.Sprintf("203.0.%d.%d:7", n/250, n%250)
			if w := do(d, request(http.MethodGet, "/api/pulls", from(addr, "pr.example.org"), header("Authorization", "Bearer wrong"))); w.Code != 401 {
				t.Fatalf("a wrong token = %d, want 401", w.Code)
			}
			time.Sleep(2 * time.Millisecond)
		}
		if n := strings.Count(log.String(), "\n"); n < 9 || n > 11 || !strings.Contains(log.String(), "count=500") {
			t.Errorf("%d log lines in 10 seconds of 500 a second, want one a second with a count:\n%.2000s", n, log.String())
		}
	})
}

func TestSecurityHeaders(t *testing.T) {
	d := New(newFake(), withToken(Options{}))
	for _, path := range []string{"/", "/nowhere", "/sign-in", "/assets/app.js", "/api/pulls", "/webhook/stats", "/webhook/events", "/pulls/octo/app/x"} {
		w := do(d, request(http.MethodGet, path))
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("GET %s: %s = %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestUnknownAddressesAndMethods(t *testing.T) {
	d := New(newFake(), Options{})
	for _, tt := range []struct {
		method, path string
		code         int
		allow        string
	}{
		{"GET", "/nowhere", 404, ""},
		{"GET", "/pulls/octo/app/999", 404, ""},
		{"GET", "/pulls/octo/app/-1", 404, ""},
		{"GET", "/pulls/octo/app/0x1", 404, ""},
		{"GET", "/pulls/octo/app/99999999999999999999", 404, ""},
		{"GET", "/assets/../dashboard.go", 307, ""},
		{"GET", "/assets/..%2fdashboard.go", 404, ""},
		{"POST", "/", 405, "GET, HEAD"},
		{"DELETE", "/api/pulls", 405, "GET, HEAD"},
		{"GET", "/sign-out", 405, "POST"},
		{"PUT", "/sign-in", 405, "GET, POST, HEAD"},
		{"POST", "/webhook/events", 405, "GET, HEAD"},
	} {
		for _, accept := range []string{"text/html", "*/*"} {
			w := do(d, request(tt.method, tt.path, header("Accept", accept)))
			if w.Code != tt.code || w.Header().Get("Allow") != tt.allow {
				t.Errorf("%s %s = %d, Allow %q; want %d, %q", tt.method, tt.path, w.Code, w.Header().Get("Allow"), tt.code, tt.allow)
			}
			if tt.code == 307 {
				continue
			}
			html := strings.Contains(w.Body.String(), "<!doctype html>")
			if wantHTML := accept == "text/html" && !strings.HasPrefix(tt.path, "/api") && !strings.HasPrefix(tt.path, "/webhook"); html != wantHTML {
				t.Errorf("%s %s for %q: HTML = %v, want %v: %s", tt.method, tt.path, accept, html, wantHTML, w.Body)
			}
			if !html && !strings.Contains(w.Body.String(), `"error"`) {
				t.Errorf("%s %s = %s, want a JSON error", tt.method, tt.path, w.Body)
			}
		}
	}
}

func TestBrokenDatabase(t *testing.T) {
	f := newFake()
	f.err = fmt.Errorf("dial tcp db.internal:5432: password authentication failed for %q", testToken)
	d := New(f, Options{})
	for _, path := range []string{"/", "/pulls/octo/app/44", "/api/pulls", "/api/pulls/octo/app/44", "/webhook/events"} {
		w := do(d, request(http.MethodGet, path))
		if w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("GET %s = %d, want 503 with Retry-After", path, w.Code)
		}
		if strings.Contains(w.Body.String(), "db.internal") || strings.Contains(w.Body.String(), testToken) {
			t.Errorf("GET %s shows internals: %s", path, w.Body)
		}
	}
}

func TestPanicsAreAPage(t *testing.T) {
	d := New(struct{ Reader }{}, Options{}) // every read panics
	for _, path := range []string{"/", "/pulls/octo/app/44"} {
		w := do(d, request(http.MethodGet, path))
		if w.Code < 500 || strings.Contains(w.Body.String(), "nil pointer") || !strings.Contains(w.Body.String(), "<h1>") {
			t.Errorf("GET %s while reading panics = %d %s, want a page that says no more than it should", path, w.Code, w.Body)
		}
	}
}
