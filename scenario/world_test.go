// Package scenario is the behaviour manual, executed: each file in testdata tells a story about a pull request, and the
// real service lives through it against a simulated GitHub, in simulated time.
//
// A story is told several times. Plainly; with every delivery doubled; with deliveries that overtake each other; with half of
// the deliveries lost on their way, and the sweep that finds what they were about; and with the service stopped after each
// single write that the plain run made, to its database or to GitHub, and started again on what it had kept. GitHub must end in the same state every time, and no write that can't be repeated may
// stand in GitHub's journal twice.
package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const secret = "a secret of the scenarios"

// A way is how a story is told.
type way struct {
	name     string
	delivery githubtest.Deliveries
	stopAt   int // after this write of the service; 0 never
	seed     uint64
	sweeps   bool // what never arrived is looked for, and the story waits for that
}

// exact reports whether the service's writes must be exactly those that the story names.
func (w way) exact() bool { return w.name == "plain" }

// A world is the default cast of every story, and the service.
//
// There is a repository octo/app with a branch main. alice and bob may write, carol maintains it, mallory may only read
// and works in a fork. The App "ci" reports checks. The service acts as the App "pr-manager", or with the token of the
// account "robot".
type world struct {
	t     *testing.T
	way   way
	dir   string
	url   string // of the database
	token bool
	// recovers lets the service look for what never arrived. Most stories are told without: what they show must come from
	// the deliveries, not from a sweep that mends what they have missed.
	recovers bool
	inTurn   bool // one pull request after the other, so that it is certain what is written first

	hub       *githubtest.Server
	repo      *githubtest.Repo
	fork      *githubtest.Repo
	ci        *githubtest.App
	self      *githubtest.App
	hook      *githubtest.Hook
	installed *githubtest.Installation
	pulls     map[string]*githubtest.PR
	runs      map[string]*githubtest.Check
	log       *lockedBuffer
	again     map[string]int // tries of a delivery that were answered by one more; nil before the first stop

	mu      sync.Mutex
	handler http.Handler // of the running service; nil while it is stopped
	alive   *life
	writes  int       // of the service, to its database and to GitHub
	busy    time.Time // the last time that it did anything
	reads   int       // of GitHub
	manners manners
	post    postbox
	marked  int // journal entries that an earlier `writes` has seen
}

// A life is one process of the service.
type life struct {
	end     context.CancelFunc
	ended   chan struct{}
	stopped bool // from here on nothing of it has any effect
}

var errStopped = errors.New("the process has been stopped")

func newWorld(t *testing.T, w way, url string) *world {
	dir := testenv.Memory(t)
	if url == "" {
		url = "sqlite:" + filepath.Join(dir, "service.db")
	}
	s := &world{t: t, way: w, recovers: w.sweeps, dir: dir, url: url, pulls: map[string]*githubtest.PR{}, runs: map[string]*githubtest.Check{}, log: &lockedBuffer{}}
	hub, err := githubtest.New(githubtest.Options{
		Dir: filepath.Join(dir, "github"), Seed: w.seed,
		Deliver: func(r *http.Request) (*http.Response, error) { return s.deliver(r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.hub = hub
	org := hub.Org("octo")
	s.repo = hub.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{"README.md": "hello\n", "src/main.go": "package main\n"}})
	for name, role := range map[string]githubtest.Role{
		"alice": githubtest.CanWrite, "bob": githubtest.CanWrite, "robot": githubtest.CanWrite, "carol": githubtest.CanMaintain, "mallory": githubtest.CanRead,
	} {
		s.repo.Grant(hub.User(name), role)
	}
	s.ci = hub.App("ci", githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
	s.ci.Install(org, s.repo)
	s.self = hub.App("pr-manager", githubtest.AppOptions{
		Permissions: pull.AppPermissions(), Events: pull.AppEvents(),
	})
	hub.Deliveries(w.delivery)
	return s
}

// open lets GitHub send its webhooks, until the story ends.
func (s *world) open() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.hub.Run(ctx); err != nil {
			s.t.Errorf("GitHub ended by itself: %v", err)
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// connect says how the service acts; the first start does it for stories that don't say.
func (s *world) connect() {
	if s.hook != nil {
		return
	}
	o := githubtest.HookOptions{URL: "http://service.test/webhook", Secret: secret}
	if s.token {
		s.hook = s.repo.Hook(s.hub.User("carol"), o)
		return
	}
	s.hook = s.self.Hook(o)
	s.installed = s.self.Install(s.hub.Org("octo"), s.repo)
}

// start brings the service up on what it has kept.
func (s *world) start() {
	s.t.Helper()
	s.connect()
	cfg := app.Default()
	cfg.DatabaseURL = app.Secret(s.url)
	cfg.DataDir, cfg.HeapDumpDir = s.dir, s.dir
	if cfg.Workers = 4; s.inTurn {
		cfg.Workers = 1
	}
	if !s.recovers {
		cfg.SweepInterval, cfg.AuditInterval = 0, 0
	}
	v := app.SecretValues{Webhook: [][]byte{[]byte(secret)}}
	if s.token {
		v.Token = s.hub.User("robot").Token()
	} else {
		cfg.AppID, v.AppKey = s.self.ID, []byte(s.self.PrivateKey())
	}
	cfg.Secrets = app.NewSecrets(v)

	l := &life{ended: make(chan struct{})}
	ctx, end := context.WithCancel(context.Background())
	l.end = end
	o := app.Options{
		Log:        slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		GitHub:     &wire{s, l, s.hub.Transport()},
		NoListener: true,
		Poll:       30 * time.Second, // nobody else works on this database
		Ask:        time.Hour,        // how it stands with GitHub is no part of a story
		StoreClock: time.Now,
		StoreHook: func(op string, committed bool) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if l.stopped {
				return errStopped
			}
			if op == "heartbeat" {
				return nil // each minute, at rest or not
			}
			if committed {
				fmt.Fprintf(s.log, "--- %d: wrote %s", s.writes+1, op)
				return s.wrote(l)
			}
			return nil
		},
	}
	a, err := app.New(ctx, cfg, o)
	for range 100 {
		if err == nil || !strings.Contains(err.Error(), "another service") {
			break
		}
		// A git that the simulated GitHub is just about to start still shares the file's lock, until its exec.
		_ = syscall.Nanosleep(&syscall.Timespec{Nsec: 1e6}, nil)
		a, err = app.New(ctx, cfg, o)
	}
	if err != nil && l.stopped {
		s.start() // stopped while it was starting
		return
	}
	if err != nil {
		s.t.Fatalf("start the service: %v", err)
	}
	s.mu.Lock()
	s.alive, s.handler = l, a.Handler()
	s.mu.Unlock()
	go func() {
		defer close(l.ended)
		if err := a.Run(ctx); err != nil {
			s.t.Errorf("the service ended by itself: %v", err)
		}
	}()
}

// wrote counts a write of the service, and stops it when it is the one. The caller holds mu.
func (s *world) wrote(l *life) error {
	s.writes++
	s.busy = time.Now()
	if s.writes == s.way.stopAt {
		l.stopped = true
		s.handler = nil
		l.end()
		return errStopped
	}
	return nil
}

// A wire is the service's way to GitHub.
type wire struct {
	s  *world
	l  *life
	to http.RoundTripper
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	// How the service stands with GitHub it asks once a minute, whatever happens: that is no part of any story.
	standing := r.URL.Path == "/app" || r.URL.Path == "/rate_limit"
	w.s.mu.Lock()
	stopped := w.l.stopped
	if !standing {
		w.s.busy = time.Now()
	}
	w.s.mu.Unlock()
	if stopped {
		return nil, errStopped
	}
	reads := r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "/graphql") && !mutates(r)
	if !standing {
		defer w.s.manners.note(r)()
	}
	resp, err := w.to.RoundTrip(r)
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	switch {
	case standing:
	case reads:
		w.s.reads++
	case !strings.Contains(r.URL.Path, "/access_tokens"):
		if serr := w.s.wrote(w.l); serr != nil {
			return nil, serr // the answer is lost with the process
		}
	}
	return resp, err
}

// mutates reports whether a GraphQL request changes something.
func mutates(r *http.Request) bool {
	if r.GetBody == nil {
		return false
	}
	body, err := r.GetBody()
	if err != nil {
		return false
	}
	text, err := io.ReadAll(body)
	return err == nil && bytes.Contains(text, []byte(`"query":"\nmutation `))
}

// deliver brings a webhook to the service.
func (s *world) deliver(r *http.Request) (*http.Response, error) {
	if s.post.take(r) {
		return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody, Request: r}, nil
	}
	s.mu.Lock()
	h := s.handler
	s.mu.Unlock()
	if h == nil {
		return nil, errors.New("connection refused")
	}
	return githubtest.InProcess(h).RoundTrip(r)
}

// revive starts the service again after a stop.
func (s *world) revive() {
	s.mu.Lock()
	l := s.alive
	stopped := l != nil && l.stopped
	s.mu.Unlock()
	if stopped {
		<-l.ended
		s.start()
		s.again = map[string]int{}
	}
	if s.again != nil {
		s.redeliver()
	}
}

// redeliver sends again what the service has not acknowledged: that is what the "Redeliver" button is for.
func (s *world) redeliver() {
	tries, ok, last := map[string]int{}, map[string]bool{}, map[string]int64{}
	for _, d := range s.hook.Deliveries() {
		tries[d.GUID]++
		ok[d.GUID] = ok[d.GUID] || d.Status == "OK"
		last[d.GUID] = d.ID
	}
	for guid, id := range last {
		// One that is on its way is not in the log yet: each failure is answered by one more try.
		if !ok[guid] && s.again[guid] < tries[guid] {
			s.again[guid] = tries[guid]
			s.hook.Redeliver(id)
		}
	}
}

// quiet is how long nothing must happen before a story goes on. It is longer than the lease of a stopped process and
// than the waits between two looks at a pull request whose state is about to be known.
const quiet = 100 * time.Second

// swept is how long a story waits until what nobody has told the service of has been looked for.
const swept = 11 * time.Minute

// settle lets the world run until nothing happens any more, and until a sweep has looked where there are any.
func (s *world) settle() {
	s.t.Helper()
	s.rest()
	if s.way.sweeps {
		for end := time.Now().Add(swept); time.Now().Before(end); time.Sleep(time.Second) {
			s.pump()
		}
		s.rest()
	}
}

// rest lets the world run until nothing happens any more.
func (s *world) rest() {
	s.t.Helper()
	s.touch()
	for limit := time.Now().Add(6 * time.Hour); ; {
		s.pump()
		s.mu.Lock()
		calm := time.Since(s.busy) >= quiet && s.hub.Waiting() == 0
		s.mu.Unlock()
		if calm {
			return
		}
		if time.Now().After(limit) {
			s.t.Fatalf("the world does not come to rest: %d webhooks wait, the last write was %v ago\n%s", s.hub.Waiting(), time.Since(s.busy), s.log.tail(40))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// run lets the world run for a while, at rest or not.
func (s *world) run(d time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		s.pump()
		time.Sleep(min(50*time.Millisecond, time.Until(end)))
	}
}

func (s *world) pump() {
	if n := s.hub.Waiting(); n > 0 {
		s.touch()
	}
	s.revive()
}

func (s *world) touch() {
	s.mu.Lock()
	s.busy = time.Now()
	s.mu.Unlock()
}

// stop ends the service in an orderly way.
func (s *world) stop() {
	s.mu.Lock()
	l := s.alive
	s.handler = nil
	s.mu.Unlock()
	if l != nil {
		l.end()
		<-l.ended
	}
}

// ask reads something from the service's JSON interface.
func (s *world) ask(path string, into any) error {
	s.mu.Lock()
	h := s.handler
	s.mu.Unlock()
	return get(githubtest.InProcess(h), "http://localhost:3001"+path, "", into)
}

// see reads something from GitHub, as carol.
func (s *world) see(path string, into any) error {
	return get(s.hub.Transport(), "https://api.github.com"+path, s.hub.User("carol").Token(), into)
}

func get(to http.RoundTripper, url, token string, into any) error {
	r := httptest.NewRequest(http.MethodGet, url, nil)
	r.RequestURI = ""
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := to.RoundTrip(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %d %s", url, resp.StatusCode, body)
	}
	return json.Unmarshal(body, into)
}

// A report is what the service says on GitHub about a commit.
type report struct{ state, title string }

// is compares a report with what a story expects: its state, and words of it.
func (r report) is(words []string) error {
	if r.state == "" {
		r.state = "none"
	}
	if r.state != words[0] || len(words) > 1 && !strings.Contains(r.title, words[1]) {
		return fmt.Errorf("the report is %s %q", r.state, r.title)
	}
	return nil
}

// reportOf reads the report of a commit.
func (s *world) reportOf(sha string) (report, error) { return s.reportNamed("pr-manager", sha) }

// reportNamed reads one of the service's reports on a commit: a check run of the App, or a commit status.
func (s *world) reportNamed(name, sha string) (report, error) {
	var runs struct {
		CheckRuns []struct {
			Status, Conclusion string
			App                struct{ Slug string }
			Output             struct{ Title string }
		} `json:"check_runs"`
	}
	at := "/repos/" + s.repo.FullName() + "/commits/" + sha
	if err := s.see(at+"/check-runs?check_name="+url.QueryEscape(name), &runs); err != nil {
		return report{}, err
	}
	for _, r := range runs.CheckRuns {
		if r.App.Slug == "pr-manager" {
			state := map[string]string{"success": "good", "failure": "bad"}[r.Conclusion]
			if r.Status != "completed" {
				state = "waiting"
			}
			return report{state, r.Output.Title}, nil
		}
	}
	var combined struct {
		Statuses []struct{ Context, State, Description string }
	}
	if err := s.see(at+"/status", &combined); err != nil {
		return report{}, err
	}
	for _, st := range combined.Statuses {
		if st.Context == name {
			return report{map[string]string{"pending": "waiting", "success": "good", "failure": "bad"}[st.State], st.Description}, nil
		}
	}
	return report{}, nil
}

var (
	anySHA     = regexp.MustCompile(`\b[0-9a-f]{7}\b`)
	anyLongSHA = regexp.MustCompile(`\b[0-9a-f]{40}\b`)
	anyTime    = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`)
)

// ending is what GitHub looks like at the end of a story, without what differs from telling to telling.
func (s *world) ending() string {
	var out strings.Builder
	names := make([]string, 0, len(s.pulls))
	for name := range s.pulls {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		pr := s.pulls[name]
		labels := pr.Labels()
		slices.Sort(labels)
		r, err := s.reportOf(pr.Head())
		if err != nil {
			s.t.Errorf("report of %s: %v", name, err)
		}
		fmt.Fprintf(&out, "#%s %s labels=%v report=%s %q\n", name, pr.State(), labels, r.state, plain(r.title))
		if err := s.details(&out, pr); err != nil {
			s.t.Errorf("look at %s: %v", name, err)
		}
	}
	return out.String()
}

// plain is a text without what differs from telling to telling.
func plain(text string) string {
	return anyTime.ReplaceAllString(anySHA.ReplaceAllString(anyLongSHA.ReplaceAllString(text, "<sha>"), "<sha>"), "<time>")
}

// details are what else the service may have changed about a pull request.
func (s *world) details(out *strings.Builder, pr *githubtest.PR) error {
	o, err := s.restPull(pr)
	if err != nil {
		return err
	}
	comments, err := s.ours(pr)
	if err != nil {
		return err
	}
	reviews, err := s.reviewsBy(pr, s.us().Login)
	if err != nil {
		return err
	}
	requested, assigned := pr.Requested(), pr.Assignees()
	for _, list := range [][]string{requested, assigned, comments} {
		slices.Sort(list)
	}
	fmt.Fprintf(out, "  %q into %s draft=%v reviewers=%v assignees=%v reviews=%v\n", o.Title, o.Base.Ref, o.Draft, requested, assigned, reviews)
	for _, c := range comments {
		fmt.Fprintf(out, "  said %q\n", plain(c))
	}
	if r, err := s.reportNamed("pr-manager/approvals", pr.Head()); err != nil {
		return err
	} else if r.state != "" {
		fmt.Fprintf(out, "  approvals=%s %q\n", r.state, plain(r.title))
	}
	return nil
}

// once checks that nothing stands twice in the journal that may stand there only once.
func (s *world) once() {
	s.t.Helper()
	seen := map[string]int{}
	for _, w := range s.hub.Journal() {
		if w.Applied && slices.Contains([]string{"merge", "check.create", "comment.create", "review.create", "branch.update", "queue.add", "ref.update"}, w.Kind) {
			seen[w.What+" at "+w.SHA+" "+w.Text]++
		}
	}
	for what, n := range seen {
		if n > 1 {
			s.t.Errorf("%d × %s: that must happen once", n, what)
		}
	}
}

// A lockedBuffer keeps the service's log, for the story of a failure.
type lockedBuffer struct {
	mu    sync.Mutex
	lines []string
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func (b *lockedBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.lines[max(0, len(b.lines)-n):], "\n")
}
