package runbook

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const (
	secret  = "the-secret-of-the-runbook-test"
	token   = "the-dashboard-token-of-the-test" // signs in to the pages
	dbToken = "the-password-of-the-test"
	subnet  = "172.30.61.0/24" // of .env.production
)

// A stage is a production machine for a runbook: a clone of the repository with its releases, a GitHub, a shell.
type stage struct {
	t     *testing.T
	hub   *githubtest.Server
	mira  *githubtest.User // whose token the service has
	noa   *githubtest.User // whose it gets in its place
	repo  *githubtest.Repo
	hook  *githubtest.Hook
	home  string // the machine's files
	dir   string // the clone
	env   []string
	shell *shell
}

// newStage sets the machine up. GitHub listens on every address of this network at port 8080.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, home: t.TempDir()}
	s.dir = filepath.Join(s.home, "github-pr-manager")
	s.releases()
	s.github()
	s.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "TZ=UTC", "LC_ALL=C.UTF-8",
		"GIT_CONFIG_GLOBAL=" + filepath.Join(s.home, ".gitconfig"), "GIT_CONFIG_NOSYSTEM=1",
		"GOCACHE=" + goEnv(s.t, "GOCACHE"), "GOPATH=" + goEnv(s.t, "GOPATH"), // for go tool pprof
		// As docs/deploying.md sets them for the host.
		"PGHOST=localhost", "PGUSER=postgres", "PGPASSWORD=" + dbToken,
	}
	return s
}

func goEnv(t testing.TB, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatalf("go env %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// releases makes the clone, with the tags that the runbook names, and the repository that it was cloned from.
func (s *stage) releases() {
	s.t.Helper()
	upstream := filepath.Join(s.home, "upstream")
	for _, to := range []string{s.dir, filepath.Join(upstream, "agents", "github-pr-manager")} {
		testenv.CopyTree(s.t, to, "internal", "test", "scenario", "bench", "tools") // what no runbook names
	}
	config := filepath.Join(s.home, ".gitconfig")
	text := fmt.Sprintf("[user]\n\tname = Mira\n\temail = mira@example.com\n[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n"+
		"[url %q]\n\tinsteadOf = https://github.com/brandonlacoste9-tech/adgenxai.git\n", upstream)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	for _, dir := range []string{s.dir, upstream} {
		for _, line := range []string{"init -q", "add -A", "commit -q -m Release", "tag v0.9.0", "tag v1.0.0"} {
			cmd := exec.Command("git", strings.Fields(line)...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL="+config, "GIT_CONFIG_NOSYSTEM=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				s.t.Fatalf("git %s: %v: %s", line, err, out)
			}
		}
	}
}

// copyFile copies a file with its run bit.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	var info os.FileInfo
	if err == nil {
		info, err = os.Stat(from)
	}
	if err == nil {
		err = os.WriteFile(to, text, info.Mode().Perm())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// github is the world outside: octo/app with a pull request that wants a label, and a webhook to this machine.
func (s *stage) github() {
	s.t.Helper()
	var err error
	if s.hub, err = githubtest.New(githubtest.Options{Dir: filepath.Join(s.home, "github"), Deliver: client.Do}); err != nil {
		s.t.Fatal(err)
	}
	s.hub.MergeableAfter(0)
	s.mira = s.hub.User("mira")
	s.repo = s.hub.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{
		"README.md": "# app\n", ".github/pr-manager.yml": "version: 1\nlabels:\n  docs: { files: [\"*.txt\"] }\n",
	}})
	s.noa = s.hub.User("noa")
	s.repo.Grant(s.mira, githubtest.CanAdmin)
	s.repo.Grant(s.noa, githubtest.CanAdmin)
	s.repo.Push("topic", map[string]string{"a.txt": "a\n"}, "Write a", s.mira)
	s.repo.Open(s.mira, "topic", "main", "Write a", "")
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		s.t.Fatal(err)
	}
	web := &http.Server{Handler: s.hub}
	go func() { _ = web.Serve(l) }()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	go func() { over <- s.hub.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			s.t.Errorf("GitHub ended by itself: %v", err)
		}
		web.Close()
	})
}

// write puts a file below the clone.
func (s *stage) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// must runs a command of the test's own, which has to end well.
func (s *stage) must(command string) result {
	s.t.Helper()
	r := s.shell.run(command, "")
	if r.code != 0 {
		s.t.Fatalf("%s: %v", command, r)
	}
	return r
}

// composed prepares the clone as docs/deploying.md says, starts an engine for it, and opens the shell. Nothing runs yet.
func (s *stage) composed() *engine {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, ".env.production"))
	if err != nil {
		s.t.Fatal(err)
	}
	env := string(text)
	for name, value := range map[string]string{
		"WEBHOOK_SECRET": secret, "DASHBOARD_TOKEN": token, "POSTGRES_PASSWORD": dbToken, "DATABASE_PASSWORD": "another-" + dbToken,
		"GRAFANA_PASSWORD": dbToken, "GITHUB_TOKEN": s.mira.Token(), "GITHUB_REPOSITORY": "octo/app",
	} {
		if !strings.Contains(env, "\n"+name+"=\n") {
			s.t.Fatalf(".env.production has no empty %s", name)
		}
		env = strings.Replace(env, "\n"+name+"=\n", "\n"+name+"="+value+"\n", 1)
	}
	s.write(".env", env+"\nGITHUB_API_URL=http://172.30.61.1:8080\nLEASE=2s\n")
	cert, key := testenv.Certificate(s.t, time.Now().Add(60*24*time.Hour))
	s.write("deploy/tls/site.pem", cert+key)
	e := newEngine(s.t, s.dir, func(string) string { return testenv.Binary(s.t) })
	path, address := e.listen()
	if err := os.Symlink(testenv.Binary(s.t), filepath.Join(path, "github-pr-manager")); err != nil {
		s.t.Fatal(err)
	}
	s.env = append(s.env, "PATH="+path+":"+os.Getenv("PATH"), "RUNBOOK_ENGINE="+address)
	s.shell = newShell(s.t, s.dir, s.env)
	return e
}
