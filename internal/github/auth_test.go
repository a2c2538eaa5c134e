package github

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

const testAppID = 77

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func pkcs1(k *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)})
}

func pkcs8(t *testing.T, k any) []byte {
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})
}

// asApp gives a client the App's credentials beside the token.
func asApp(*testing.T) func(*Options) {
	return func(o *Options) {
		o.AppID, o.AppKey = testAppID, func() []byte { return pkcs1(testKey()) }
	}
}

// appHub hands out tokens of an hour to whoever signs as the App, and leaves other requests to serve. The n-th token
// of installation i is token-i-n.
func appHub(t *testing.T, serve func(sent) (*http.Response, error)) *hub {
	var mu sync.Mutex
	minted := map[string]int{}
	return &hub{serve: func(_ int, s sent) (*http.Response, error) {
		rest, ok := strings.CutPrefix(s.URL.Path, "/app/installations/")
		if !ok {
			return serve(s)
		}
		checkJWT(t, s)
		mu.Lock()
		defer mu.Unlock()
		id := strings.TrimSuffix(rest, "/access_tokens")
		minted[id]++
		return reply(201, fmt.Sprintf(`{"token":"token-%s-%d","expires_at":%q}`, id, minted[id], time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	}}
}

// checkJWT is GitHub's side of an App's signature.
func checkJWT(t *testing.T, s sent) {
	text := strings.TrimPrefix(s.Header.Get("Authorization"), "Bearer ")
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return &testKey().PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuedAt(), jwt.WithIssuer("77"), jwt.WithExpirationRequired())
	if err != nil {
		t.Errorf("the App's JWT: %v", err)
		return
	}
	if got := s.at.Sub(claims.IssuedAt.Time); got != jwtBackdate {
		t.Errorf("iat is %s ago, want %s", got, jwtBackdate)
	}
	if got := time.Until(claims.ExpiresAt.Time); got > 9*time.Minute {
		t.Errorf("exp is %s ahead, want at most 9m", got)
	}
}

// minted counts the tokens that were asked for.
func minted(h *hub) (n int) {
	for _, r := range h.requests() {
		if strings.HasSuffix(r.URL.Path, "/access_tokens") {
			n++
		}
	}
	return n
}

func TestInstallationTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var with []string
		h := appHub(t, func(s sent) (*http.Response, error) {
			with = append(with, s.Header.Get("Authorization"))
			return reply(200, recorded(t))
		})
		w := newWorld(t, h, asApp(t))
		scope := w.Scope(pull.Hint{Installation: 9})
		look := func() {
			t.Helper()
			s, err := w.Snapshot(t.Context(), scope, octoApp, 7)
			if err != nil {
				t.Fatal(err)
			}
			if !s.AsApp || s.Us != (pull.Actor{ID: 9001, Login: "keeper[bot]", Type: pull.Bot}) {
				t.Errorf("acting as %+v (App: %v), want the App's account", s.Us, s.AsApp)
			}
		}
		look()
		look()
		if minted(h) != 1 {
			t.Errorf("%d tokens for two looks, want 1", minted(h))
		}
		time.Sleep(54*time.Minute + 59*time.Second)
		look()
		time.Sleep(time.Second) // five minutes before its end
		look()
		want := []string{"Bearer token-9-1", "Bearer token-9-1", "Bearer token-9-1", "Bearer token-9-2"}
		if fmt.Sprint(with) != fmt.Sprint(want) {
			t.Errorf("signed with %q, want %q", with, want)
		}
	})
}

func TestOneTokenForManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := recorded(t)
		h := appHub(t, func(sent) (*http.Response, error) { return reply(200, body) })
		mint := h.serve
		h.serve = func(n int, s sent) (*http.Response, error) {
			time.Sleep(time.Second)
			return mint(n, s)
		}
		w := newWorld(t, h, asApp(t))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := w.Snapshot(t.Context(), pull.ScopeApp(9), octoApp, 7); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if minted(h) != 1 {
			t.Errorf("%d tokens for eight looks at once, want 1", minted(h))
		}
	})
}

// While a scope has to wait, not even a token is fetched for it.
func TestNoTokenIsFetchedWhileParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := appHub(t, func(sent) (*http.Response, error) { return reply(429, "", "Retry-After", "3600") })
		w := newWorld(t, h, asApp(t))
		for range 2 {
			_, err := w.Snapshot(t.Context(), pull.ScopeApp(9), octoApp, 7)
			wantFault(t, "Snapshot", err, pull.FaultThrottled)
			time.Sleep(56 * time.Minute) // the token is as good as over, the wait is not
		}
		if minted(h) != 1 || len(h.requests()) != 2 {
			t.Errorf("%d requests, %d of them for tokens, want 2 and 1", len(h.requests()), minted(h))
		}
	})
}

// A token that GitHub no longer takes is replaced once, and the request made again: a 401 has done nothing.
func TestARevokedTokenIsReplacedOnce(t *testing.T) {
	for _, bad := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			refused := 0
			h := appHub(t, func(s sent) (*http.Response, error) {
				if refused < bad {
					refused++
					return reply(401, `{"message":"Bad credentials"}`)
				}
				return reply(200, `{"merged":true}`)
			})
			w := newWorld(t, h, asApp(t))
			_, err := w.Apply(t.Context(), pull.ScopeApp(9), seven, mergeIt)
			if bad == 1 && err != nil {
				t.Errorf("Apply after one 401 = %v, want nil", err)
			}
			if bad == 2 {
				wantFault(t, "Apply after two 401", err, pull.FaultAuth)
			}
			if minted(h) != 2 {
				t.Errorf("%d tokens, want 2", minted(h))
			}
		})
	}
}

func TestInstallationsThatAreNotThere(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		class  pull.FaultClass
	}{
		{404, `{"message":"Not Found"}`, pull.FaultGone},
		{403, `{"message":"This installation has been suspended"}`, pull.FaultGone},
		{401, `{"message":"A JSON web token could not be decoded"}`, pull.FaultAuth},
		{500, ``, pull.FaultUnavailable},
		{200, `{}`, pull.FaultUnavailable},
		{200, `<html>`, pull.FaultUnavailable},
		{429, ``, pull.FaultThrottled},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := always(c.status, c.body)
			w := newWorld(t, h, asApp(t))
			what := fmt.Sprintf("Apply when tokens are answered with %d", c.status)
			_, err := w.Apply(t.Context(), pull.ScopeApp(9), seven, mergeIt)
			wantFault(t, what, err, c.class)
			if len(h.requests()) != 1 {
				t.Errorf("%s: %d requests, want 1", what, len(h.requests()))
			}
		})
	}
}

// A wrong clock is the commonest reason why an App is refused, and nobody thinks of it.
func TestAWrongClockIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always(401, `{"message":"'Expiration time' claim ('exp') is too far in the future"}`,
			"Date", epoch.Add(-10*time.Minute).Format(http.TimeFormat)), asApp(t))
		_, err := w.Snapshot(t.Context(), pull.ScopeApp(9), octoApp, 7)
		f := wantFault(t, "Snapshot", err, pull.FaultAuth)
		if !strings.Contains(f.Message, "clock differs from GitHub's by 10m0s") {
			t.Errorf("Message = %q, want it to name the clock", f.Message)
		}
		if w.Skew() != -10*time.Minute {
			t.Errorf("Skew = %s, want -10m", w.Skew())
		}
	})
}

func TestKeys(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := pkcs1(testKey())
	for _, c := range []struct {
		name  string
		key   []byte
		words string // "" for a good one
	}{
		{"PKCS #1", key, ""},
		{"PKCS #8", pkcs8(t, testKey()), ""},
		{"line ends written out", bytes.ReplaceAll(key, []byte("\n"), []byte(`\n`)), ""},
		{"carriage returns", bytes.ReplaceAll(key, []byte("\n"), []byte("\r\n")), ""},
		{"space around it", append([]byte("\n  "), key...), ""},
		{"a path", []byte("/etc/key.pem"), "not PEM"},
		{"cut off", key[:len(key)/2], "not PEM"},
		{"an elliptic curve", pkcs8(t, ec), "not an RSA key"},
		{"a public key", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&testKey().PublicKey)}), "does not hold an RSA private key"},
		{"rubbish", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("rubbish")}), "does not hold an RSA private key"},
	} {
		_, err := New(Options{AppID: testAppID, AppKey: func() []byte { return c.key }})
		switch {
		case c.words == "" && err != nil:
			t.Errorf("%s: New = %v, want nil", c.name, err)
		case c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words) || !strings.HasPrefix(err.Error(), "GITHUB_PRIVATE_KEY")):
			t.Errorf("%s: New = %v, want GITHUB_PRIVATE_KEY and %q", c.name, err, c.words)
		}
	}
}

// Keys and tokens are asked for again and again, so that they can be changed while the service runs.
func TestCredentialsAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := "first"
		h := always(200, recorded(t))
		w := newWorld(t, h, func(o *Options) { o.Token = func() string { return token } })
		w.look()
		token = "second\n"
		w.look()
		token = ""
		_, err := w.look()
		wantFault(t, "Snapshot without a token", err, pull.FaultAuth)
		if r := h.requests(); len(r) != 2 || r[0].Header.Get("Authorization") != "Bearer first" || r[1].Header.Get("Authorization") != "Bearer second" {
			t.Errorf("%d requests, want two, with the first and the second token", len(r))
		}

		key := pkcs1(testKey())
		w = newWorld(t, appHub(t, func(sent) (*http.Response, error) { return reply(200, recorded(t)) }), func(o *Options) {
			o.AppID, o.AppKey = testAppID, func() []byte { return key }
		})
		key = []byte("not a key any more")
		_, err = w.Snapshot(t.Context(), pull.ScopeApp(9), octoApp, 7)
		wantFault(t, "Snapshot with a bad new key", err, pull.FaultAuth)
		key = pkcs1(testKey())
		if _, err = w.Snapshot(t.Context(), pull.ScopeApp(9), octoApp, 7); err != nil {
			t.Errorf("Snapshot with the right key again = %v, want nil", err)
		}
	})
}

func TestScope(t *testing.T) {
	app, none := asApp(t), func(o *Options) { o.Token = nil }
	for _, c := range []struct {
		name         string
		change       []func(*Options)
		installation int64
		want         pull.Scope
		configured   bool
	}{
		{"App and installation", []func(*Options){app}, 9, pull.ScopeApp(9), true},
		{"App, but a hook of the repository", []func(*Options){app}, 0, pull.ScopeToken, true},
		{"App alone, a hook of the repository", []func(*Options){app, none}, 0, "", true},
		{"token alone", nil, 9, pull.ScopeToken, true},
		{"nothing", []func(*Options){none}, 9, "", false},
	} {
		w := newWorld(t, always(200, ""), c.change...)
		if got := w.Scope(pull.Hint{Installation: c.installation}); got != c.want || w.Configured() != c.configured {
			t.Errorf("%s: Scope = %q, Configured = %v, want %q, %v", c.name, got, w.Configured(), c.want, c.configured)
		}
	}
	w := newWorld(t, always(200, ""))
	_, err := w.Snapshot(t.Context(), pull.ScopeApp(9), octoApp, 7)
	wantFault(t, "Snapshot of an App that is not configured", err, pull.FaultAuth)
	_, err = w.Snapshot(t.Context(), "", octoApp, 7)
	wantFault(t, "Snapshot without a scope", err, pull.FaultAuth)
}

func TestInstallationFor(t *testing.T) {
	none := func(o *Options) { o.Token = nil }
	for _, c := range []struct {
		name   string
		hub    *hub
		change []func(*Options)
		want   pull.Scope
		class  pull.FaultClass
	}{
		{"installed", always(200, `{"id":9}`), []func(*Options){asApp(t)}, pull.ScopeApp(9), ""},
		{"not installed, with a token", always(404, `{"message":"Not Found"}`), []func(*Options){asApp(t)}, pull.ScopeToken, ""},
		{"not installed", always(404, `{"message":"Not Found"}`), []func(*Options){asApp(t), none}, "", pull.FaultGone},
		{"down", always(502, ``), []func(*Options){asApp(t)}, "", pull.FaultUnavailable},
		{"no App", always(500, ``), nil, pull.ScopeToken, ""},
		{"nothing", always(500, ``), []func(*Options){none}, "", pull.FaultAuth},
	} {
		got, err := newWorld(t, c.hub, c.change...).InstallationFor(t.Context(), "octo", "app")
		if got != c.want || (err == nil) != (c.class == "") {
			t.Errorf("%s: InstallationFor = %q, %v, want %q", c.name, got, err, c.want)
		}
		if c.class != "" {
			wantFault(t, c.name, err, c.class)
		}
	}
}

func TestAddresses(t *testing.T) {
	for api, want := range map[string]string{
		"":                                   "https://api.github.com/graphql",
		"https://api.github.com/":            "https://api.github.com/graphql",
		"https://git.example.com/api/v3":     "https://git.example.com/api/graphql",
		"https://git.example.com/api/v3/":    "https://git.example.com/api/graphql",
		"https://api.acme.ghe.com":           "https://api.acme.ghe.com/graphql",
		"http://127.0.0.1:8080":              "http://127.0.0.1:8080/graphql",
		"http://127.0.0.1:8080/some/where":   "http://127.0.0.1:8080/some/where/graphql",
		"https://proxy.example/hub/api/v3":   "https://proxy.example/hub/api/graphql",
		"https://user:pass@git.example.com":  "",
		"https://git.example.com/?token=abc": "",
		"api.github.com":                     "",
		"ftp://api.github.com":               "",
		"https://":                           "",
		"::":                                 "",
	} {
		c, err := New(Options{API: api})
		switch {
		case want == "" && (err == nil || !strings.HasPrefix(err.Error(), "GITHUB_API_URL")):
			t.Errorf("New(%q) = %v, want it refused", api, err)
		case want == "" && strings.Contains(err.Error(), "pass"):
			t.Errorf("New(%q) = %v: it repeats the password", api, err)
		case want != "" && (err != nil || c.graphql != want):
			t.Errorf("New(%q) = %v, %v, want GraphQL at %s", api, c, err, want)
		}
	}
	for _, o := range []Options{{AppID: 7}, {AppID: -1}, {AppKey: func() []byte { return []byte("x") }}} {
		if _, err := New(o); err == nil {
			t.Errorf("New with id %d and half the credentials = nil, want it refused", o.AppID)
		}
	}
}

func TestWhoWeAre(t *testing.T) {
	for _, tt := range []struct {
		scope pull.Scope
		login string
		want  pull.Actor
	}{
		{pull.ScopeToken, "octocat", pull.Actor{ID: 5, Login: "octocat", Type: pull.User}},
		{pull.ScopeToken, "keeper[bot]", pull.Actor{ID: 5, Login: "keeper[bot]", Type: pull.Bot}}, // an Action's token
		{pull.ScopeApp(42), "keeper", pull.Actor{ID: 5, Login: "keeper[bot]", Type: pull.Bot}},
	} {
		if got := us(tt.scope, 5, tt.login); got != tt.want {
			t.Errorf("us(%s, 5, %s) = %+v, want %+v", tt.scope, tt.login, got, tt.want)
		}
	}
}
