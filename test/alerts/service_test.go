package alerts

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const secret = "the secret of the alerts' tests"

// A city is GitHub and the services that work for it. Each service has a repository, a person and a database of its own.
type city struct {
	t      *testing.T
	hub    *githubtest.Server
	url    string
	routes sync.Map // from the host of a webhook's address to the URL of a service
	serial atomic.Int64
}

func newCity(t *testing.T) *city {
	t.Helper()
	c := &city{t: t}
	var err error
	c.hub, err = githubtest.New(githubtest.Options{Dir: testenv.Memory(t), Deliver: func(r *http.Request) (*http.Response, error) {
		to, ok := c.routes.Load(r.URL.Host)
		if !ok {
			return nil, fmt.Errorf("nobody is at %s", r.URL.Host)
		}
		u, err := url.Parse(to.(string))
		if err != nil {
			return nil, err
		}
		r.URL.Scheme, r.URL.Host, r.Host = u.Scheme, u.Host, u.Host
		return http.DefaultTransport.RoundTrip(r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.hub.MergeableAfter(0)
	web := httptest.NewServer(c.hub)
	t.Cleanup(web.Close)
	c.url = web.URL
	return c
}

// A service is one process and what it works for.
type service struct {
	*testenv.Process
	c       *city
	name    string
	env     []string
	token   string
	repo    *githubtest.Repo
	cert    string // the file of the certificate in front of it
	mayFail bool   // deliveries to it may be refused
}

const day = 24 * time.Hour

// repository is octo/NAME with open pull requests 1 to pulls, which somebody may write to.
func (c *city) repository(name string, pulls int, by *githubtest.User) *githubtest.Repo {
	c.t.Helper()
	r := c.hub.Repo("octo/"+name, githubtest.RepoOptions{Files: map[string]string{"README.md": "# " + name + "\n"}})
	r.Grant(by, githubtest.CanWrite)
	for n := 1; n <= pulls; n++ {
		branch := fmt.Sprintf("topic-%d", n)
		r.Push(branch, map[string]string{branch: "x\n"}, "Write "+branch, by)
		r.Open(by, branch, "main", "Write "+branch, "")
	}
	return r
}

// serve starts a service for octo/NAME.
func (c *city) serve(name string, pulls int, env ...string) *service {
	c.t.Helper()
	by := c.hub.User("bot-" + name)
	s := &service{c: c, name: name, token: by.Token(), repo: c.repository(name, pulls, by)}
	s.start(append([]string{"GITHUB_TOKEN=" + s.token}, env...)...)
	return s
}

func (s *service) start(env ...string) {
	s.c.t.Helper()
	dir := s.c.t.TempDir()
	s.cert = filepath.Join(dir, "certificate.pem")
	s.certificate(80 * day)
	s.env = append([]string{
		"CERTIFICATE_FILES=" + s.cert,
		"WEBHOOK_SECRET=" + secret, "GITHUB_API_URL=" + s.c.url, "LOG_FORMAT=json", "SWEEP_INTERVAL=24h", "AUDIT_INTERVAL=24h",
		"DATABASE_URL=sqlite:" + filepath.Join(dir, "service.db"), "DATA_DIR=" + dir,
	}, env...)
	s.Process = testenv.Start(s.c.t, testenv.Options{Env: s.env, Timeout: time.Minute})
}

func (s *service) address() string { return strings.TrimPrefix(s.URL, "http://") }

// certificate puts another certificate in front of the service, and tells it.
func (s *service) certificate(left time.Duration) {
	s.c.t.Helper()
	cert, _ := testenv.Certificate(s.c.t, time.Now().Add(left))
	writeFile(s.c.t, s.cert, cert)
	if s.Process != nil {
		s.Signal(s.c.t, syscall.SIGHUP)
	}
}

// database is the URL of its database.
func (s *service) database() string {
	for _, pair := range s.env {
		if u, ok := strings.CutPrefix(pair, "DATABASE_URL="); ok {
			return u
		}
	}
	return ""
}

// command runs a command beside the service.
func (s *service) command(args ...string) {
	s.c.t.Helper()
	if r := testenv.Run(s.c.t, s.env, "", args...); r.Code != 0 {
		s.c.t.Fatalf("%s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
}

var client = &http.Client{Timeout: 10 * time.Second}

// send sends one delivery of an event about pull request n of a repository.
func (s *service) send(event string, repo *githubtest.Repo, n int) error {
	body := fmt.Appendf(nil, `{"action":"edited","number":%[1]d,"pull_request":{"id":%[1]d,"number":%[1]d,"state":"open","title":"x",`+
		`"user":{"login":"x","id":1,"type":"User"},"head":{"ref":"topic-%[1]d","sha":"%040[1]x"},"base":{"ref":"main","sha":"%040[1]x"}},`+
		`"review":{"id":%[1]d,"state":"commented","user":{"login":"x","id":1,"type":"User"}},`+
		`"repository":{"id":%[2]d,"name":%[3]q,"full_name":"octo/%[4]s","private":false,"owner":{"login":"octo","id":%[5]d,"type":"User"},"default_branch":"main"},`+
		`"sender":{"login":"x","id":1,"type":"User"}}`,
		n, repo.ID, strings.TrimPrefix(repo.FullName(), "octo/"), strings.TrimPrefix(repo.FullName(), "octo/"), repo.Owner().ID)
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x", len(s.name), s.c.serial.Add(1))
	req, err := testenv.Webhook(s.c.t.Context(), s.URL, secret, event, id, body)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("a delivery to %s is answered %s: %s", s.name, res.Status, text)
	}
	return nil
}

// sends sends deliveries about pull requests 1 to count.
func (s *service) sends(count int) {
	s.c.t.Helper()
	for n := 1; n <= count; n++ {
		if err := s.send("pull_request", s.repo, n); err != nil {
			s.c.t.Fatal(err)
		}
	}
}

// trickle sends a delivery now and again about the pull requests of a repository in turn, until the test ends.
func (s *service) trickle(event string, repo *githubtest.Repo, pulls int, every time.Duration) {
	var over sync.WaitGroup
	over.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-s.c.t.Context().Done():
				return
			case <-tick.C:
			}
			if err := s.send(event, repo, n%pulls+1); err != nil && !s.mayFail && s.c.t.Context().Err() == nil {
				s.c.t.Error(err)
			}
		}
	})
	s.c.t.Cleanup(over.Wait) // the context ends before cleanups run
}

// refuse makes GitHub refuse to show the pull requests of a repository, as an organization that wants single sign-on
// does: every time after so many that go well (0: each), so many times.
func (c *city) refuse(repo *githubtest.Repo, after, times int) {
	f := githubtest.Fault{
		Op: "graphql.PullRequest", Repo: repo.FullName(), Status: http.StatusForbidden, Times: times,
		Message: "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization.",
	}
	if after == 0 {
		c.hub.Fail(f)
		return
	}
	for n := range times {
		f.Times, f.Skip = 1, after*(n+1)
		c.hub.Fail(f)
	}
}
