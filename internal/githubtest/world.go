package githubtest

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are what a world is made with.
type Options struct {
	// Dir is where the repositories are kept. It must exist or be creatable.
	Dir string
	// Now is the world's clock: of commits, events, token lifetimes and rate limits. Nil is time.Now.
	Now func() time.Time
	// APIURL is the root of the REST API as links in answers name it: https://api.github.com when empty. Requests are
	// served whatever host they name, with or without /api/v3 before the path.
	APIURL string
	// HTMLURL is the root of the links for people: https://github.com when empty.
	HTMLURL string
	// Deliver sends a webhook. Nil is an http.Client that follows no redirect. The request's context ends
	// after DeliveryTimeout.
	Deliver func(*http.Request) (*http.Response, error)
	// PageLimit is the largest page of a REST list, so that small worlds have several pages. 0 is GitHub's 100.
	PageLimit int
	// Seed makes identifiers and the randomness of knobs repeatable.
	Seed uint64
	// Logger hears of deliveries that fail. Nil is silence.
	Logger *slog.Logger
}

// Server is a simulated GitHub. Make one with New; all of its methods may be called concurrently.
type Server struct {
	o   Options
	log *slog.Logger

	mu       sync.Mutex
	rand     *mathrand.Rand
	lastID   map[string]int64
	accounts map[string]*User // by lower-case login
	apps     []*App
	repos    []*Repo
	byName   map[string]*Repo // by lower-case full name, former names included
	tokens   map[string]*token
	nodes    map[string]any // what has a node id
	journal  []Write
	hooks    []*Hook
	post     post
	faults   []*Fault
	limits   Limits
	budgets  map[string]*budget
	usage    Usage
	knobs    knobs
	codes    map[string]*App // manifest conversions
}

type knobs struct {
	unknownReads int
	diffLines    int
	clockSkew    time.Duration
	latency      time.Duration
	onRequest    func(op string, r *http.Request)
	between      func(op string)
}

// New makes an empty world.
func New(o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, fmt.Errorf("githubtest: Options.Dir is empty: repositories need a place")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("githubtest: directory %s: %w", o.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("githubtest: %w", err)
	}
	o.Dir = dir
	if o.Now == nil {
		o.Now = time.Now
	}
	o.APIURL = strings.TrimRight(cmp.Or(o.APIURL, "https://api.github.com"), "/")
	o.HTMLURL = strings.TrimRight(cmp.Or(o.HTMLURL, "https://github.com"), "/")
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		o: o, log: log,
		rand:   mathrand.New(mathrand.NewPCG(o.Seed, 0x6769746875627465)),
		lastID: map[string]int64{}, accounts: map[string]*User{}, byName: map[string]*Repo{},
		tokens: map[string]*token{}, nodes: map[string]any{}, budgets: map[string]*budget{}, codes: map[string]*App{},
		limits: DefaultLimits(),
		knobs:  knobs{unknownReads: 1},
	}
	return s, nil
}

// now is the world's time as GitHub tells it: in UTC and whole seconds.
func (s *Server) now() time.Time { return s.o.Now().UTC().Truncate(time.Second) }

// id returns the next identifier of a kind. Kinds start far apart, so that a mix-up of two never goes unnoticed.
func (s *Server) id(kind string) int64 {
	base := map[string]int64{
		"user": 583231, "app": 29310, "installation": 4421000, "repository": 1296269, "pull": 191568743,
		"label": 208045946, "review": 80000000, "comment": 970000000, "status": 1100000000, "suite": 118578147,
		"run": 128620228, "team": 2300000, "milestone": 1002604, "thread": 70000000, "review-comment": 1950000000,
		"reaction": 250000000, "queue": 4700000, "event": 640000000, "hook": 12345678, "delivery": 30000000000, "key": 500000,
	}[kind]
	s.lastID[kind]++
	return base + s.lastID[kind]
}

func (s *Server) node(prefix string, id int64, x any) string {
	n := fmt.Sprintf("%s_kwDO%08d", prefix, id)
	s.nodes[n] = x
	return n
}

// MergeableAfter sets how many reads of mergeability answer "unknown" after either branch of a pull request has moved.
// The first of them starts the computation, as at GitHub. It is 1 unless set.
func (s *Server) MergeableAfter(reads int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs.unknownReads = reads
}

// ClockSkew makes the Date and rate limit headers wrong by d.
func (s *Server) ClockSkew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs.clockSkew = d
}

// Latency makes every request take d before it is looked at.
func (s *Server) Latency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs.latency = d
}

// OnRequest calls f before a request is carried out, without any lock held: f may act in the world. Op is the name of
// the operation, such as "pulls.merge" or "graphql.Snapshot". Nil ends it.
func (s *Server) OnRequest(f func(op string, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs.onRequest = f
}

// Between calls f inside an operation that takes time at GitHub, after its preconditions were checked and before it
// takes effect: "pulls.merge" and "pulls.update-branch". A push made in f is what makes GitHub say that a branch was
// modified. Nil ends it.
func (s *Server) Between(f func(op string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs.between = f
}

// User is an account: a person, a bot or an organization.
type User struct {
	s         *Server
	ID        int64
	Login     string // of an App's bot with "[bot]"
	Type      string // User, Bot or Organization
	nodeID    string
	createdAt time.Time
	app       *App // whose bot it is
	members   []*User
	teams     []*Team // of an organization
	busy      bool
	token     string
}

// User returns the person with the login, who is created when new.
func (s *Server) User(login string) *User { return s.account(login, "User") }

// Org returns the organization with the login, which is created when new.
func (s *Server) Org(login string) *User { return s.account(login, "Organization") }

func (s *Server) account(login, kind string) *User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accountLocked(login, kind)
}

// knownAccounts have on every GitHub of ours the number that they have on github.com: whoever trusts one of them goes by it.
var knownAccounts = map[string]int64{"dependabot[bot]": 49699333, "renovate[bot]": 29139614, "web-flow": 19864447}

func (s *Server) accountLocked(login, kind string) *User {
	if u := s.accounts[strings.ToLower(login)]; u != nil {
		return u
	}
	id, known := knownAccounts[login]
	if !known {
		id = s.id("user")
	}
	u := &User{s: s, ID: id, Login: login, Type: kind, createdAt: s.now()}
	prefix := map[string]string{"User": "U", "Bot": "BOT", "Organization": "O"}[kind]
	u.nodeID = s.node(prefix, u.ID, u)
	s.accounts[strings.ToLower(login)] = u
	return u
}

// Join makes u a member of the organization.
func (u *User) Join(org *User) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if !slices.Contains(org.members, u) {
		org.members = append(org.members, u)
	}
}

// Token returns a personal access token of the account, a classic one with the scopes repo and read:org: the same one
// each time, until it is revoked.
func (u *User) Token() string {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if t := u.s.tokens[u.token]; t == nil {
		u.token = u.s.newToken("ghp_", &token{user: u, scopes: []string{"repo", "read:org"}})
	}
	return u.token
}

// NewToken makes another classic token of the account, with these scopes or none.
func (u *User) NewToken(scopes ...string) string {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	return u.s.newToken("ghp_", &token{user: u, scopes: orEmpty(scopes)})
}

// NewFineGrainedToken makes a fine-grained token, which may read and write all that a test does here but checks.
func (u *User) NewFineGrainedToken() string {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	return u.s.newToken("github_pat_", &token{user: u})
}

// Scopes gives a classic token other scopes, as its owner can at any time.
func (s *Server) Scopes(text string, scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tokens[text]; t != nil && t.scopes != nil {
		t.scopes = orEmpty(scopes)
	}
}

func (u *User) sign(at time.Time) signature {
	return signature{name: u.Login, email: fmt.Sprintf("%d+%s@users.noreply.github.com", u.ID, u.Login), at: at}
}

// App is a GitHub App. It acts as its bot.
type App struct {
	s             *Server
	ID            int64
	Slug          string
	Name          string
	Owner         *User
	Bot           *User
	nodeID        string
	clientID      string
	permissions   map[string]string
	events        []string
	key           *rsa.PrivateKey // the newest one
	older         []*rsa.PrivateKey
	installations []*Installation
	createdAt     time.Time
	secret        string
}

// AppOptions are what an App may do and hears of.
type AppOptions struct {
	Permissions map[string]string // name to read or write; metadata: read is always there
	Events      []string          // that its webhook is sent
}

// App registers a GitHub App, or returns the one with the slug.
func (s *Server) App(slug string, o AppOptions) *App {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appLocked(slug, o)
}

func (s *Server) appLocked(slug string, o AppOptions) *App {
	for _, a := range s.apps {
		if a.Slug == slug {
			return a
		}
	}
	a := &App{s: s, ID: s.id("app"), Slug: slug, Name: slug, createdAt: s.now(), events: o.Events, permissions: map[string]string{"metadata": "read"}}
	for k, v := range o.Permissions {
		a.permissions[k] = v
	}
	a.clientID = fmt.Sprintf("Iv1.%016x", a.ID)
	a.nodeID = s.node("A", a.ID, a)
	a.Owner = s.accountLocked(slug+"-author", "User")
	a.Bot = s.accountLocked(slug+"[bot]", "Bot")
	a.Bot.app = a
	s.apps = append(s.apps, a)
	return a
}

// PrivateKey returns the App's private key as PEM, as GitHub's page lets one download it.
func (a *App) PrivateKey() string {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	return a.privateKey()
}

func (a *App) privateKey() string {
	if a.key == nil {
		k, ok := firstKeys.Load(a.ID)
		if !ok {
			k, _ = firstKeys.LoadOrStore(a.ID, newKey())
		}
		a.key = k.(*rsa.PrivateKey)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(a.key)}))
}

// NewKey gives the App another private key. Those that it has stay good until RemoveOldKeys.
func (a *App) NewKey() string {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.privateKey()
	a.older, a.key = append(a.older, a.key), newKey()
	return a.privateKey()
}

// RemoveOldKeys makes all but the newest private key worthless.
func (a *App) RemoveOldKeys() {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.older = nil
}

// RenewKey makes the App's former private key worthless.
func (a *App) RenewKey() string {
	defer a.RemoveOldKeys()
	return a.NewKey()
}

// Change gives the App other permissions and events. Installations that are there have accepted them.
func (a *App) Change(o AppOptions) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	clear(a.permissions) // which its installations share
	a.permissions["metadata"] = "read"
	maps.Copy(a.permissions, o.Permissions)
	a.events = o.Events
	for _, h := range a.s.hooks {
		if h.app == a {
			h.events = o.Events
		}
	}
}

// firstKeys are the first keys of Apps, by id: making one takes longer than all else in a small world, and no world
// knows of another's.
var firstKeys sync.Map

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return k
}

// Installation is an App in an account.
type Installation struct {
	ID          int64
	App         *App
	Account     *User
	nodeID      string
	repos       map[*Repo]bool // nil: all
	permissions map[string]string
	createdAt   time.Time
	suspended   bool
	gone        bool
}

// Install installs the App into an account, for all of its repositories or for those named.
func (a *App) Install(account *User, repos ...*Repo) *Installation {
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	in := &Installation{ID: s.id("installation"), App: a, Account: account, permissions: a.permissions, createdAt: s.now()}
	in.nodeID = s.node("IN", in.ID, in)
	if len(repos) > 0 {
		in.repos = map[*Repo]bool{}
		for _, r := range repos {
			in.repos[r] = true
		}
	}
	a.installations = append(a.installations, in)
	s.fireInstallation(in, "created", account)
	return in
}

// Suspend suspends the installation, or ends the suspension.
func (in *Installation) Suspend(by *User, suspended bool) {
	s := in.App.s
	s.mu.Lock()
	defer s.mu.Unlock()
	in.suspended = suspended
	action := "unsuspend"
	if suspended {
		action = "suspend"
	}
	s.fireInstallation(in, action, by)
}

// Uninstall removes the App from the account. Its tokens stop working.
func (in *Installation) Uninstall(by *User) {
	s := in.App.s
	s.mu.Lock()
	defer s.mu.Unlock()
	in.gone = true
	s.fireInstallation(in, "deleted", by)
	in.App.installations = slices.DeleteFunc(in.App.installations, func(x *Installation) bool { return x == in })
}

// Token returns a token of the installation, as POST /app/installations/{id}/access_tokens gives it.
func (in *Installation) Token() string {
	s := in.App.s
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newToken("ghs_", &token{inst: in, permissions: in.permissions, expires: s.o.Now().Add(time.Hour)})
}

// covers reports whether the installation includes the repository.
func (in *Installation) covers(r *Repo) bool {
	return !in.gone && r.owner == in.Account && (in.repos == nil || in.repos[r])
}

// installation finds the App's installation for a repository.
func (a *App) installation(r *Repo) *Installation {
	for _, in := range a.installations {
		if in.covers(r) {
			return in
		}
	}
	return nil
}

type token struct {
	user        *User
	scopes      []string // of a classic token; nil: it is none
	inst        *Installation
	permissions map[string]string
	repos       map[*Repo]bool
	expires     time.Time
	revoked     bool
}

func (s *Server) newToken(prefix string, t *token) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	b := []byte(prefix)
	for range 36 {
		b = append(b, letters[s.rand.IntN(len(letters))])
	}
	s.tokens[string(b)] = t
	return string(b)
}

// Revoke makes a token worthless.
func (s *Server) Revoke(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tokens[text]; t != nil {
		t.revoked = true
		delete(s.tokens, text)
	}
}

// Role is what an account may do in a repository.
type Role int

// The roles, from least to most.
const (
	CanNothing Role = iota
	CanRead
	CanTriage
	CanWrite
	CanMaintain
	CanAdmin
)

var roleNames = [...]string{"none", "read", "triage", "write", "maintain", "admin"}

func (r Role) String() string { return roleNames[r] }

// Repo is a repository.
type Repo struct {
	s          *Server
	ID         int64
	nodeID     string
	owner      *User
	name       string
	dir        string
	objects    *objectStore
	refs       map[string]string
	private    bool
	archived   bool
	parent     *Repo
	branch     string // the default one
	methods    map[string]bool
	deleteHead bool
	roles      map[*User]Role
	teams      map[*Team]Role
	labels     []*Label
	milestones []*milestone
	numbers    int
	pulls      []*PR
	comments   []*Comment
	statuses   map[string][]*Status
	suites     []*suite
	runs       map[string][]*Check
	protected  map[string]*Protection
	rules      map[string]Ruleset
	queues     map[string]*queue // by base branch
	createdAt  time.Time
	updatedAt  time.Time
	pushedAt   time.Time
}

// RepoOptions are the settings of a repository. Their zero value is a public repository that allows every merge method.
type RepoOptions struct {
	Private             bool
	DefaultBranch       string            // main when empty
	Files               map[string]string // its first commit; a README when nil
	Methods             []string          // merge, squash, rebase; all when empty
	DeleteBranchOnMerge bool
}

// Repo creates a repository "owner/name". Its owner becomes an organization when new.
func (s *Server) Repo(fullName string, o RepoOptions) *Repo {
	s.mu.Lock()
	defer s.mu.Unlock()
	login, name, ok := strings.Cut(fullName, "/")
	if !ok {
		panic(fmt.Sprintf("githubtest: repository %q: want owner/name", fullName))
	}
	owner := s.accountLocked(login, "Organization")
	r := s.newRepo(owner, name, nil)
	r.private = o.Private
	r.branch = cmp.Or(o.DefaultBranch, "main")
	must(os.WriteFile(filepath.Join(r.dir, "HEAD"), []byte("ref: refs/heads/"+r.branch+"\n"), 0o644))
	r.deleteHead = o.DeleteBranchOnMerge
	if len(o.Methods) > 0 {
		r.setMethods(o.Methods)
	}
	files := o.Files
	if files == nil {
		files = map[string]string{"README.md": "# " + name + "\n"}
	}
	by := owner.sign(s.now())
	tree := r.objects.withFiles("", files)
	r.writeRef(r.branch, r.objects.writeCommit(commit{tree: tree, author: by, committer: by, message: "Initial commit"}))
	return r
}

func (s *Server) newRepo(owner *User, name string, parent *Repo) *Repo {
	full := strings.ToLower(owner.Login + "/" + name)
	if s.byName[full] != nil {
		panic("githubtest: repository " + full + " is there already")
	}
	r := &Repo{
		s: s, ID: s.id("repository"), owner: owner, name: name, parent: parent, refs: map[string]string{},
		roles: map[*User]Role{}, teams: map[*Team]Role{}, statuses: map[string][]*Status{}, runs: map[string][]*Check{}, protected: map[string]*Protection{}, rules: map[string]Ruleset{}, queues: map[string]*queue{},
		createdAt: s.now(), updatedAt: s.now(), pushedAt: s.now(),
	}
	r.dir = filepath.Join(s.o.Dir, fmt.Sprintf("%d-%s.git", r.ID, name))
	r.nodeID = s.node("R", r.ID, r)
	r.setMethods([]string{"merge", "squash", "rebase"})
	if parent == nil {
		initBare(r.dir, "")
		r.objects = newObjectStore(r.dir)
	} else {
		initBare(r.dir, parent.objects.dir)
		r.objects = parent.objects
		r.private = parent.private
		r.branch = parent.branch
	}
	s.repos = append(s.repos, r)
	s.byName[full] = r
	return r
}

// Fork makes by's fork of the repository with all of its branches, or returns the one that is there.
func (r *Repo) Fork(by *User) *Repo {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for _, f := range r.s.repos {
		if f.parent == r && f.owner == by {
			return f
		}
	}
	f := r.s.newRepo(by, r.name, r)
	for branch, sha := range r.refs {
		f.writeRef(branch, sha)
	}
	return f
}

func (r *Repo) setMethods(methods []string) {
	r.methods = map[string]bool{}
	for _, m := range methods {
		r.methods[m] = true
	}
}

// FullName is "owner/name".
func (r *Repo) FullName() string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.full()
}

func (r *Repo) full() string { return r.owner.Login + "/" + r.name }

// Owner is the account that the repository belongs to.
func (r *Repo) Owner() *User { return r.owner }

// Dir is the bare git repository. Reading it with git is safe at any time.
func (r *Repo) Dir() string { return r.dir }

// Grant gives u a role in the repository.
func (r *Repo) Grant(u *User, role Role) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.roles[u] = role
}

// Methods sets the merge methods that the repository allows.
func (r *Repo) Methods(methods ...string) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.setMethods(methods)
}

// DeleteBranchOnMerge sets whether GitHub deletes a merged pull request's branch by itself.
func (r *Repo) DeleteBranchOnMerge(on bool) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.deleteHead = on
}

// Archive makes the repository read-only, or ends that.
func (r *Repo) Archive(by *User, on bool) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.archived = on
	action := "unarchived"
	if on {
		action = "archived"
	}
	r.s.fire(r, "repository", action, actor{user: by}, object{})
}

// Rename gives the repository another name. Requests to the former one are answered 301.
func (r *Repo) Rename(by *User, name string) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	old := r.name
	r.name = name
	r.s.byName[strings.ToLower(r.full())] = r
	r.s.fire(r, "repository", "renamed", actor{user: by}, object{"changes": object{"repository": object{"name": object{"from": old}}}})
}

// Transfer gives the repository to another account. Requests to the former name are answered 301.
func (r *Repo) Transfer(by, to *User) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	from := r.owner
	r.owner = to
	r.s.byName[strings.ToLower(r.full())] = r
	r.s.fire(r, "repository", "transferred", actor{user: by}, object{"changes": object{"owner": object{"from": object{
		map[bool]string{true: "organization", false: "user"}[from.Type == "Organization"]: from.json(),
	}}}})
}

// Delete removes the repository, as GitHub shows it; a fork's pull requests stay open without a head repository.
func (r *Repo) Delete(by *User) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fire(r, "repository", "deleted", actor{user: by}, object{})
	s.repos = slices.DeleteFunc(s.repos, func(x *Repo) bool { return x == r })
	for name, x := range s.byName {
		if x == r {
			delete(s.byName, name)
		}
	}
	delete(s.nodes, r.nodeID)
	for _, x := range s.repos {
		for _, pr := range x.pulls {
			if pr.headRepo == r {
				pr.headRepo = nil
			}
		}
	}
}

// role is what an account may do here.
func (r *Repo) role(u *User) Role {
	if u == nil {
		return r.publicRole()
	}
	return max(r.granted(u), r.publicRole())
}

// pushes reports whether an account's reviews count as those of somebody who may write. An App's do where it is installed with
// the permission to write contents, though it has no role.
func (r *Repo) pushes(u *User) bool {
	return r.role(u) >= CanWrite || slices.ContainsFunc(r.s.apps, func(a *App) bool {
		return a.Bot == u && slices.ContainsFunc(a.installations, func(in *Installation) bool {
			return in.permissions["contents"] == "write" && in.covers(r)
		})
	})
}

func (r *Repo) publicRole() Role {
	if r.private {
		return CanNothing
	}
	return CanRead
}

// association is GitHub's word for how an author belongs to the repository.
func (r *Repo) association(u *User) string {
	switch {
	case u == nil:
		return "NONE"
	case u == r.owner:
		return "OWNER"
	case slices.Contains(r.owner.members, u):
		return "MEMBER"
	case r.roles[u] > CanRead:
		return "COLLABORATOR"
	}
	for _, pr := range r.pulls {
		if pr.author == u && pr.merged {
			return "CONTRIBUTOR"
		}
	}
	return "NONE"
}

// RequiredCheck is a check that must have passed before a merge.
type RequiredCheck struct {
	Context string
	App     *App // nil: whoever reports it
}

// Protection are the rules of a protected branch.
type Protection struct {
	Checks        []RequiredCheck
	Strict        bool // the head must contain the base
	Reviews       int  // approving reviews of people who may write
	DismissStale  bool // a push dismisses approvals
	CodeOwners    bool // shown, and left to the test
	LastPush      bool // one of the reviews by somebody other than who pushed last
	Conversation  bool // every thread resolved
	Signatures    bool // every commit verified
	Linear        bool // no merge commits
	Locked        bool // nobody merges
	Deployments   []string
	Pushers       []*User // who may push and merge; nil: all who may write
	EnforceAdmins bool
}

// Protect protects a branch; nil ends the protection.
func (r *Repo) Protect(branch string, p *Protection) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if p == nil {
		delete(r.protected, branch)
		return
	}
	r.protected[branch] = p
}

// Find returns the repository that has the full name, or nil.
func (s *Server) Find(fullName string) *Repo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[strings.ToLower(fullName)]
}
