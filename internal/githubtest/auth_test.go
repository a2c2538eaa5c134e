package githubtest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// token makes an App's JSON Web Token by hand.
func token(t *testing.T, a *githubtest.App, at time.Time, life time.Duration) string {
	t.Helper()
	return signed(t, a.PrivateKey(), fmt.Sprint(a.ID), "RS256", at, life)
}

func signed(t *testing.T, key, issuer, alg string, at time.Time, life time.Duration) string {
	t.Helper()
	block, _ := pem.Decode([]byte(key))
	k, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	part := func(o obj) string {
		b, _ := json.Marshal(o)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(obj{"alg": alg, "typ": "JWT"}) + "." + part(obj{"iss": issuer, "iat": at.Unix() - 60, "exp": at.Add(life).Unix()})
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestAppAuthentication(t *testing.T) {
	now := time.Now()
	s, err := githubtest.New(githubtest.Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Server: s, alice: s.User("alice")}
	w.repo = s.Repo("octo/app", githubtest.RepoOptions{Private: true})
	w.repo.Grant(w.alice, githubtest.CanWrite)
	app := s.App("keeper", githubtest.AppOptions{Permissions: map[string]string{"issues": "write", "pull_requests": "read", "contents": "read"}})
	in := app.Install(w.repo.Owner())
	w.open("topic", "a", "a\n")
	key := app.PrivateKey()
	stranger := s.App("stranger", githubtest.AppOptions{}).PrivateKey()
	for _, tt := range []struct {
		name, jwt string
		want      int
	}{
		{"good", token(t, app, now, 9*time.Minute), 200},
		{"another's key", signed(t, stranger, fmt.Sprint(app.ID), "RS256", now, time.Minute), 401},
		{"unknown App", signed(t, key, "1", "RS256", now, time.Minute), 401},
		{"expired", signed(t, key, fmt.Sprint(app.ID), "RS256", now, -time.Second), 401},
		{"too long", signed(t, key, fmt.Sprint(app.ID), "RS256", now, 11*time.Minute), 401},
		{"issued in the future", signed(t, key, fmt.Sprint(app.ID), "RS256", now.Add(2*time.Minute), time.Minute), 401},
		{"another algorithm", signed(t, key, fmt.Sprint(app.ID), "none", now, time.Minute), 401},
		{"garbage", "a.b.c", 401},
		{"none", "", 401},
	} {
		eq(t, tt.name, w.do(tt.jwt, "GET", "/app", nil).status, tt.want)
	}
	jwt := token(t, app, now, 9*time.Minute)
	eq(t, "installation of a repository", fmt.Sprint(w.do(jwt, "GET", "/repos/octo/app/installation", nil).json(t)["id"]), fmt.Sprint(float64(in.ID)))
	a := w.do(jwt, "POST", fmt.Sprintf("/app/installations/%d/access_tokens", in.ID), nil)
	eq(t, "token", a.status, 201)
	tok := fmt.Sprint(a.json(t)["token"])
	eq(t, "it is read as the bot", fmt.Sprint(at(w.query(tok, "{viewer{login}}", nil), "data.viewer.login")), "keeper[bot]")
	eq(t, "GET /user", w.do(tok, "GET", "/user", nil).status, 403)
	eq(t, "read", w.do(tok, "GET", "/repos/octo/app/pulls/1", nil).status, 200)
	eq(t, "label", w.do(tok, "POST", "/repos/octo/app/issues/1/labels", obj{"labels": []string{"x"}}).status, 200)
	a = w.do(tok, "PUT", "/repos/octo/app/pulls/1/merge", nil)
	eq(t, "merge without permission", fmt.Sprint(a.status, " ", a.json(t)["message"], " ", a.header.Get("X-Accepted-GitHub-Permissions")), "403 Resource not accessible by integration contents=write")
	eq(t, "a JSON Web Token at a repository", w.do(jwt, "GET", "/repos/octo/app", nil).status, 401)
	a = w.do(jwt, "POST", fmt.Sprintf("/app/installations/%d/access_tokens", in.ID), obj{"permissions": obj{"checks": "write"}})
	eq(t, "more than granted", a.status, 422)

	in.Suspend(w.alice, true)
	eq(t, "suspended", w.do(tok, "GET", "/repos/octo/app/pulls/1", nil).status, 403)
	in.Suspend(w.alice, false)
	now = now.Add(time.Hour)
	eq(t, "an hour later", w.do(tok, "GET", "/repos/octo/app/pulls/1", nil).status, 401)
	eq(t, "unauthorized", w.Usage().Unauthorized > 0, true)
}

func TestWhoMayWhat(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "a", "a\n")
	hidden := w.Repo("octo/hidden", githubtest.RepoOptions{Private: true})
	hidden.Grant(w.alice, githubtest.CanRead)
	elsewhere := w.Repo("else/where", githubtest.RepoOptions{})
	elsewhere.Grant(w.alice, githubtest.CanWrite)
	triager := w.User("triager")
	w.repo.Grant(triager, githubtest.CanTriage)
	label := obj{"labels": []string{"x"}}
	status := obj{"state": "success"}
	run := obj{"name": "x", "head_sha": pr.Head()}
	for _, tt := range []struct {
		who, token, method, path string
		body                     obj
		want                     int
	}{
		{"a stranger", w.mallory.Token(), "GET", "/repos/octo/hidden", nil, 404},
		{"a reader", w.alice.Token(), "GET", "/repos/octo/hidden", nil, 200},
		{"nobody", "", "GET", "/repos/octo/app", nil, 200},
		{"nobody", "", "POST", "/repos/octo/app/issues/1/labels", label, 401},
		{"mallory", w.mallory.Token(), "POST", "/repos/octo/app/issues/1/labels", label, 403},
		{"the triager", triager.Token(), "POST", "/repos/octo/app/issues/1/labels", label, 200},
		{"the triager", triager.Token(), "POST", "/repos/octo/app/statuses/" + pr.Head(), status, 403},
		{"bob", w.bob.Token(), "POST", "/repos/octo/app/statuses/" + pr.Head(), status, 201},
		{"bob", w.bob.Token(), "POST", "/repos/octo/app/check-runs", run, 403},
		{"bob", w.bob.Token(), "GET", "/repos/octo/app/hooks", nil, 404},
		{"the App", w.install.Token(), "POST", "/repos/octo/app/check-runs", run, 201},
		{"the App elsewhere", w.install.Token(), "POST", "/repos/else/where/check-runs", run, 403},
		{"the CI, not installed", w.ci.Install(elsewhere.Owner()).Token(), "PATCH", "/repos/octo/app/check-runs/128620229", obj{"status": "queued"}, 403},
		{"mallory", w.mallory.Token(), "POST", "/repos/octo/app/issues/1/comments", obj{"body": "x"}, 201},
		{"mallory", w.mallory.Token(), "PATCH", "/repos/octo/app/pulls/1", obj{"title": "x"}, 403},
		{"alice of her own", w.alice.Token(), "POST", "/repos/octo/app/pulls/1/reviews", obj{"event": "APPROVE"}, 422},
		{"mallory", w.mallory.Token(), "POST", "/repos/octo/app/pulls/1/reviews", obj{"event": "APPROVE"}, 200},
	} {
		if a := w.do(tt.token, tt.method, tt.path, tt.body); a.status != tt.want {
			t.Errorf("%s: %s %s = %d, want %d: %s", tt.who, tt.method, tt.path, a.status, tt.want, a.body)
		}
	}
	p := w.do(w.bob.Token(), "GET", "/repos/octo/app/collaborators/carol/permission", nil).json(t)
	eq(t, "permission", fmt.Sprint(p["permission"], " ", p["role_name"]), "write maintain")
	w.Revoke(w.bob.Token())
	old := w.bob.Token()
	w.Revoke(old)
	eq(t, "revoked", w.do(old, "GET", "/user", nil).status, 401)
}

func TestRenamedRepositoriesMove(t *testing.T) {
	w := newWorld(t)
	w.open("topic", "a", "a\n")
	w.repo.Rename(w.carol, "renamed")
	a := w.do(w.bob.Token(), "GET", "/repos/octo/app/pulls?state=open", nil)
	eq(t, "status", a.status, 301)
	to := strings.TrimPrefix(a.header.Get("Location"), "https://api.github.com")
	eq(t, "Location", to, fmt.Sprintf("/repositories/%d/pulls?state=open", w.repo.ID))
	a = w.do(w.bob.Token(), "GET", to, nil)
	if a.status != 200 || !strings.Contains(string(a.body), `"full_name":"octo/renamed"`) {
		t.Errorf("GET %s = %d %.80s, want the pull requests", to, a.status, a.body)
	}
	a = w.do(w.bob.Token(), "POST", "/repos/octo/app/issues/1/labels", obj{"labels": []string{"x"}})
	eq(t, "a write", a.status, 307)
	d := w.query(w.bob.Token(), `{repository(owner:"octo",name:"app"){nameWithOwner}}`, nil)
	eq(t, "GraphQL follows", fmt.Sprint(at(d, "data.repository.nameWithOwner")), "octo/renamed")
	d = w.query(w.bob.Token(), `{repository(owner:"octo",name:"app",followRenames:false){nameWithOwner}}`, nil)
	eq(t, "unless told not to", fmt.Sprint(at(d, "errors.0.type")), "NOT_FOUND")
}

func TestListsHavePages(t *testing.T) {
	s, err := githubtest.New(githubtest.Options{Dir: t.TempDir(), PageLimit: 2, APIURL: "http://localhost:1/api/v3"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Server: s, alice: s.User("alice")}
	w.repo = s.Repo("octo/app", githubtest.RepoOptions{})
	w.repo.Grant(w.alice, githubtest.CanWrite)
	for i := range 5 {
		w.open(fmt.Sprint("b", i), fmt.Sprint("f", i), "x\n")
	}
	path, seen := "/repos/octo/app/pulls?per_page=100&direction=asc&sort=created", []string{}
	for range 5 {
		a := w.do(w.alice.Token(), "GET", "/api/v3"+path, nil)
		var list []obj
		if err := json.Unmarshal(a.body, &list); err != nil {
			t.Fatal(err)
		}
		for _, pr := range list {
			seen = append(seen, fmt.Sprint(pr["number"]))
		}
		path = ""
		for _, link := range strings.Split(a.header.Get("Link"), ", ") {
			if strings.HasSuffix(link, `rel="next"`) {
				path = strings.TrimPrefix(link[1:strings.Index(link, ">")], "http://localhost:1/api/v3")
			}
		}
		if path == "" {
			break
		}
	}
	same(t, "numbers over all pages", seen, []string{"1", "2", "3", "4", "5"})
	eq(t, "GraphQL of an Enterprise Server", w.do(w.alice.Token(), "POST", "/api/graphql", obj{"query": "{viewer{login}}"}).status, 200)
}

func TestAppManifest(t *testing.T) {
	w := newWorld(t)
	code, app := w.Manifest("made", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
	a := w.do("", "POST", "/app-manifests/"+code+"/conversions", nil)
	eq(t, "status", a.status, 201)
	o := a.json(t)
	eq(t, "id", fmt.Sprint(o["id"]), fmt.Sprint(float64(app.ID)))
	eq(t, "pem", fmt.Sprint(o["pem"]), app.PrivateKey())
	eq(t, "a second time", w.do("", "POST", "/app-manifests/"+code+"/conversions", nil).status, 404)
}

// TestScopes: a classic token does what its scopes allow, and GitHub names them in every answer; another token has none.
func TestScopes(t *testing.T) {
	w := newWorld(t)
	secret := w.Repo("octo/secret", githubtest.RepoOptions{Private: true})
	secret.Grant(w.bob, githubtest.CanWrite)
	w.repo.NewLabel("bug", "d73a4a", "", w.carol)
	w.open("topic", "a", "a\n")
	fine := w.bob.NewFineGrainedToken()
	for _, tt := range []struct {
		name, token          string
		scopes               []string
		write, read, private int
	}{
		{"repo", w.bob.Token(), []string{"repo, read:org"}, 200, 200, 200},
		{"public_repo", w.bob.NewToken("public_repo"), []string{"public_repo"}, 200, 200, 404},
		{"another one", w.bob.NewToken("gist", "read:user"), []string{"gist, read:user"}, 404, 200, 404},
		{"none", w.bob.NewToken(), []string{""}, 404, 200, 404},
		{"fine-grained", fine, nil, 200, 200, 200},
	} {
		a := w.do(tt.token, "POST", "/repos/octo/app/issues/1/labels", obj{"labels": []string{"bug"}})
		eq(t, tt.name+": a write", a.status, tt.write)
		eq(t, tt.name+": scopes", fmt.Sprint(a.header["X-Oauth-Scopes"]), fmt.Sprint(tt.scopes))
		a = w.do(tt.token, "GET", "/repos/octo/app/pulls/1", nil)
		eq(t, tt.name+": a read", a.status, tt.read)
		eq(t, tt.name+": scopes", fmt.Sprint(a.header["X-Oauth-Scopes"]), fmt.Sprint(tt.scopes))
		eq(t, tt.name+": a private repository", w.do(tt.token, "GET", "/repos/octo/secret", nil).status, tt.private)
		a = w.do(tt.token, "GET", "/rate_limit", nil)
		eq(t, tt.name+": limits", a.status, 200)
		eq(t, tt.name+": what is left", a.header.Get("X-Ratelimit-Remaining") != "", true)
	}
	late := w.bob.NewToken()
	w.Scopes(late, "repo")
	eq(t, "a scope that was added later", w.do(late, "GET", "/repos/octo/secret", nil).status, 200)
}

// TestKeysOverlap: an App may have several private keys, until the old ones are removed.
func TestKeysOverlap(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	first := signed(t, w.self.PrivateKey(), fmt.Sprint(w.self.ID), "RS256", now, 5*time.Minute)
	second := signed(t, w.self.NewKey(), fmt.Sprint(w.self.ID), "RS256", now, 5*time.Minute)
	eq(t, "the first key beside the second", w.do(first, "GET", "/app", nil).status, 200)
	eq(t, "the second key", w.do(second, "GET", "/app", nil).status, 200)
	w.self.RemoveOldKeys()
	eq(t, "the first key, removed", w.do(first, "GET", "/app", nil).status, 401)
	eq(t, "the second key, alone", w.do(second, "GET", "/app", nil).status, 200)
	w.self.Change(githubtest.AppOptions{Permissions: map[string]string{"checks": "read"}, Events: []string{"push"}})
	a := w.do(second, "GET", "/app", nil).json(t)
	eq(t, "permissions", fmt.Sprint(a["permissions"]), "map[checks:read metadata:read]")
	eq(t, "events", fmt.Sprint(a["events"]), "[push]")
}
