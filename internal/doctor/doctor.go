// Package doctor looks a whole installation over, from the configuration to the repositories at GitHub, and says of each
// part whether it is well, what is wrong, and what to do about it.
//
// It owns the judgement and the words. It refuses to know how facts are come by: who calls it hands over the settings, a
// client of GitHub, and functions that look at the database and at Redis. Nothing is changed anywhere, so it may be run
// beside a service at any time, and by anybody who may read the configuration.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A Status is how one part of the installation is.
type Status string

// How a part can be.
const (
	OK      Status = "ok"
	Warning Status = "warning" // works, and somebody should look
	Failing Status = "failing" // the service can't do its work, or not all of it
	Skipped Status = "skipped" // it could not be looked at, or there is nothing to look at
)

// A Finding is what is found of one part. Name is one of a fixed set; About is the repository, installation or webhook that
// it is about, where there may be several.
type Finding struct {
	Name   string `json:"name"`
	About  string `json:"about,omitempty"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"`
}

// Settings are what the configuration says, as far as it is judged. Nothing in it is secret.
type Settings struct {
	Host           string
	Port           int
	TLS            bool // it serves HTTPS itself
	PublicURL      string
	Validate       bool // signatures
	WebhookSecrets int
	AppID          int64
	Token          bool
	DashboardToken bool
	Agents         bool
	Redis          bool
	Warnings       []string
}

// Database is how the database is.
type Database struct {
	Engine, Version          string
	Major, Have, Want        int
	SynchronousCommit, Fsync string
	Used, Most               int // connections
	Journal                  string
	Free, Ballast            int64
}

// ErrNoDatabase says that there is none yet, as before the first start.
var ErrNoDatabase = errors.New("there is none yet: serve makes it when it starts for the first time")

// Redis is how the Redis of the queue is.
type Redis struct {
	Key, Version, Policy, Kind string
	Length                     int64
}

// GitHub is what is asked of the client.
type GitHub interface {
	App(ctx context.Context) (pull.App, error)
	Token(ctx context.Context) (pull.Token, error)
	Skew() time.Duration
	AppInstallations(ctx context.Context) ([]pull.Installation, error)
	AppHook(ctx context.Context) (pull.HookSetup, error)
	HookSetups(ctx context.Context, scope pull.Scope, repo pull.Repo) ([]pull.HookSetup, error)
	Sendings(ctx context.Context, h pull.Hook, cursor string) ([]pull.Sending, string, error)
	Limits(ctx context.Context, scope pull.Scope) ([]pull.Limit, error)
	InstallationFor(ctx context.Context, owner, repo string) (pull.Scope, error)
	RepoSetup(ctx context.Context, scope pull.Scope, repo pull.Repo) (pull.RepoSetup, error)
}

// A Patient is the installation that is looked over.
type Patient struct {
	Settings Settings
	GitHub   GitHub
	Database func(context.Context) (Database, error)
	Redis    func(context.Context) (Redis, error)
	// Repositories are those to look at, and More how many there are besides.
	Repositories []pull.Repo
	More         int
	// HTTP asks the service itself and its public address; nil is a client of our own.
	HTTP *http.Client
	// Narrow looks at the repositories, and at what they need, alone.
	Narrow bool
}

// An examination is under way.
type examination struct {
	Patient
	told     func(Finding)
	findings []Finding
	app      *pull.App // nil: there is none, or it could not be asked
}

// Examine looks everything over and returns what it found, in the order in which it is best repaired. Each finding is told at
// once, too; told may be nil.
func Examine(ctx context.Context, p Patient, told func(Finding)) []Finding {
	if p.HTTP == nil {
		p.HTTP = plainClient()
	}
	e := &examination{Patient: p, told: told}
	if !p.Narrow {
		e.configuration()
		e.database(ctx)
		e.redis(ctx)
		e.port(ctx)
		e.address(ctx)
	}
	if e.credentials(ctx) {
		if !p.Narrow {
			e.limits(ctx)
			e.installations(ctx)
			e.appHook(ctx)
		}
		e.repos(ctx)
	}
	return e.findings
}

// Count says how many findings are of a status.
func Count(findings []Finding, s Status) (n int) {
	for _, f := range findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

func (e *examination) add(f Finding) {
	e.findings = append(e.findings, f)
	if e.told != nil {
		e.told(f)
	}
}

func (e *examination) ok(name, about, format string, args ...any) {
	e.add(Finding{Name: name, About: about, Status: OK, Detail: fmt.Sprintf(format, args...)})
}

func (e *examination) skip(name, about, format string, args ...any) {
	e.add(Finding{Name: name, About: about, Status: Skipped, Detail: fmt.Sprintf(format, args...)})
}

func (e *examination) warn(name, about, detail, do string) {
	e.add(Finding{Name: name, About: about, Status: Warning, Detail: detail, Do: do})
}

func (e *examination) fail(name, about, detail, do string) {
	e.add(Finding{Name: name, About: about, Status: Failing, Detail: detail, Do: do})
}

func (e *examination) configuration() {
	s := e.Settings
	if len(s.Warnings) == 0 {
		e.ok("configuration", "", "it can be read")
	}
	for _, w := range s.Warnings {
		e.warn("configuration", "", w, "set it right, or remove it")
	}
	switch {
	case !s.Validate:
		e.warn("webhook secret", "", "signatures are not validated: whoever reaches the service can make it look at pull requests", "remove WEBHOOK_SIGNATURE_VALIDATION=false")
	case s.WebhookSecrets == 0:
		e.fail("webhook secret", "", "there is no WEBHOOK_SECRET: every webhook is answered 503", "make one with openssl rand -hex 32, set it here and at GitHub")
	case s.WebhookSecrets == 1:
		e.ok("webhook secret", "", "there is one, long enough")
	default:
		e.ok("webhook secret", "", "there are %d, all long enough: remove the old ones when nobody signs with them any more", s.WebhookSecrets)
	}
	if s.DashboardToken {
		e.ok("pages", "", "people sign in with DASHBOARD_TOKEN")
	} else {
		e.ok("pages", "", "they answer this machine only, since there is no DASHBOARD_TOKEN")
	}
	if !s.Agents {
		e.warn("agents", "", "AGENTS_ENABLED is false: the service decides and writes nothing", "remove it when the service is to act")
	}
}

// needPostgres is the oldest PostgreSQL that this program is tested with.
const needPostgres = 15

func (e *examination) database(ctx context.Context) {
	d, err := e.Database(ctx)
	if errors.Is(err, ErrNoDatabase) {
		e.warn("database", "", err.Error(), "start the service once, or github-pr-manager migrate up")
		return
	}
	if err != nil {
		e.fail("database", "", "it can't be used: "+err.Error(), "see DATABASE_URL, and whether the database runs")
		return
	}
	switch name := map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"}[d.Engine]; {
	case d.Engine == "postgres" && d.Major < needPostgres:
		e.warn("database", "", fmt.Sprintf("%s %s answers, which is older than any that this program is tested with", name, d.Version), fmt.Sprintf("use PostgreSQL %d or newer", needPostgres))
	default:
		e.ok("database", "", "%s %s answers", name, d.Version)
	}
	switch {
	case d.Have < d.Want:
		e.fail("schema", "", fmt.Sprintf("it is version %d, and this program needs %d", d.Have, d.Want), "github-pr-manager migrate up, or start the service")
	case d.Have > d.Want:
		e.warn("schema", "", fmt.Sprintf("it is version %d, and this program knows %d: a newer release works on it", d.Have, d.Want), "go on with the newer release when it is well")
	default:
		e.ok("schema", "", "it is version %d", d.Have)
	}
	if d.Engine == "sqlite" {
		if d.Journal != "wal" {
			e.fail("durability", "", "SQLite's journal_mode is "+d.Journal+", and must be wal", "put the file on a local disk")
		} else {
			e.ok("durability", "", "what is acknowledged is on the disk (journal_mode wal, synchronous full)")
		}
		if d.Free < 2*d.Ballast {
			e.fail("disk", "", fmt.Sprintf("%s are free where the database is", size(d.Free)), "make room: with less than that the service takes no more deliveries")
		} else {
			e.ok("disk", "", "%s are free where the database is", size(d.Free))
		}
		return
	}
	if d.Fsync != "on" || d.SynchronousCommit == "off" {
		e.fail("durability", "", fmt.Sprintf("PostgreSQL has fsync %s and synchronous_commit %s: acknowledged deliveries are lost with its power", d.Fsync, d.SynchronousCommit), "set both to on")
	} else {
		e.ok("durability", "", "what is acknowledged is on the disk (fsync on, synchronous_commit %s)", d.SynchronousCommit)
	}
	switch left := d.Most - d.Used; {
	case left < 20: // a service takes up to 16
		e.warn("connections", "", fmt.Sprintf("%d of %d are in use: another service may get none", d.Used, d.Most), "raise max_connections, or find who holds them in pg_stat_activity")
	default:
		e.ok("connections", "", "%d of %d are in use", d.Used, d.Most)
	}
}

func (e *examination) redis(ctx context.Context) {
	if !e.Settings.Redis {
		e.skip("redis", "", "there is no REDIS_URL: the database alone is the queue")
		return
	}
	r, err := e.Redis(ctx)
	if err != nil {
		e.warn("redis", "", "deliveries are taken from the database alone: "+err.Error(), "see REDIS_URL, and whether Redis runs")
		return
	}
	var major, minor int
	_, _ = fmt.Sscanf(r.Version, "%d.%d", &major, &minor)
	switch {
	case major < 6 || major == 6 && minor < 2:
		e.warn("redis", "", "Redis "+r.Version+" is too old", "use Redis 6.2 or newer")
	case r.Kind != "list" && r.Kind != "none":
		e.warn("redis", "", fmt.Sprintf("the key %s holds a %s, where the queue would be a list", r.Key, r.Kind), fmt.Sprintf("remove it (redis-cli DEL %s), or set WEBHOOK_QUEUE_KEY to a key that nobody else uses", r.Key))
	default:
		e.ok("redis", "", "Redis %s answers; %s holds %d deliveries", r.Version, r.Key, r.Length)
	}
	if r.Policy != "" && r.Policy != "noeviction" {
		e.warn("redis memory", "", "maxmemory-policy is "+r.Policy+": Redis may throw the queue away when it is full, and no delivery is lost, but the list does not tell the truth", "redis-cli CONFIG SET maxmemory-policy noeviction")
	} else {
		e.ok("redis memory", "", "maxmemory-policy is %s", r.Policy)
	}
}

// size says a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit*unit {
		return fmt.Sprintf("%d KiB", n/unit)
	}
	f, name := float64(n)/unit/unit, "MiB"
	if f >= unit {
		f, name = f/unit, "GiB"
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + name
}
