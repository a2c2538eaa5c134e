package app

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
	"github.com/joho/godotenv"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/visitor"
)

// Config is everything that the service can be told from outside. Make one with [Load], or with [Default] where the
// environment has no say. It holds nothing that a log line or an error may not show: what is secret is of type
// [Secret], or inside [Secrets].
type Config struct {
	Host string // "" listens on all interfaces
	Port int    // 0 takes any free port

	SignatureValidation bool // false accepts unsigned webhooks
	Secrets             *Secrets
	AppID               int64  // 0 without a GitHub App
	GitHubAPI           string // without a trailing slash
	Repositories        Repositories
	AgentsEnabled       bool // false observes only, everywhere

	DatabaseURL Secret // may hold a password; DatabaseName says it without
	RedisURL    Secret
	QueueKey    string

	Workers       int // 0: this process keeps deliveries and shows pages, and others do the work
	Lease         time.Duration
	SweepInterval time.Duration
	AuditInterval time.Duration
	Retention     time.Duration

	PublicURL       string // an origin: links in checks and statuses begin with it
	DashboardOrigin string // the one origin that CORS allows
	TrustedProxies  []netip.Prefix
	RateLimit       visitor.RateLimit // of failed signatures and failed sign-ins, for one client address
	StreamClients   int               // of the event stream, at most
	TLSCertFile     string            // both or none
	TLSKeyFile      string
	Certificates    []string // PEM files, or directories of them, whose expiry is watched for whoever ends TLS

	LogLevel    slog.Level
	LogFormat   string // "json", "text", or "": JSON, and text on a terminal
	AccessLog   string // one of the Access constants
	DataDir     string
	HeapDumpDir string
}

// Repositories are the patterns of GITHUB_REPOSITORY: "owner/repo" or "owner/*". Without any, every repository that
// sends webhooks is allowed.
type Repositories []string

// Allows reports whether the service may act on owner/name. GitHub's names don't tell case apart.
func (r Repositories) Allows(owner, name string) bool {
	if len(r) == 0 {
		return true
	}
	for _, p := range r {
		o, n, _ := strings.Cut(p, "/")
		if strings.EqualFold(o, owner) && (n == "*" || strings.EqualFold(n, name)) {
			return true
		}
	}
	return false
}

// Named returns the repositories that are named one by one.
func (r Repositories) Named() []pull.Repo {
	var named []pull.Repo
	for _, p := range r {
		if owner, name, _ := strings.Cut(p, "/"); name != "*" {
			named = append(named, pull.Repo{Owner: owner, Name: name})
		}
	}
	return named
}

// A Warning is something about the configuration that doesn't stop the start and that somebody should know.
type Warning string

// A ConfigError is an unusable configuration: every problem of it, each in one line that names the variable, says what
// is wanted, and never shows the value of a secret.
type ConfigError struct{ Problems []string }

// Error returns the problems, one a line.
func (e *ConfigError) Error() string { return strings.Join(e.Problems, "\n") }

// Limits of what a variable may say.
const (
	minSecret   = 16      // bytes of one webhook secret
	maxFileSize = 1 << 20 // bytes of a file that a variable names, and of .env
	maxInterval = 24 * 3600 * time.Second
)

// Default returns the configuration of an empty environment.
func Default() Config {
	return Config{
		Port:                3001,
		SignatureValidation: true,
		Secrets:             NewSecrets(SecretValues{}),
		GitHubAPI:           "https://api.github.com",
		AgentsEnabled:       true,
		DatabaseURL:         "sqlite:data/github-pr-manager.db",
		QueueKey:            "queue:github-webhook",
		// A worker mostly waits for GitHub, so there are more of them than processors.
		Workers:         min(max(4*runtime.NumCPU(), 4), 32),
		Lease:           30 * time.Second,
		SweepInterval:   10 * time.Minute,
		AuditInterval:   5 * time.Minute,
		Retention:       30 * 24 * time.Hour,
		PublicURL:       "http://localhost:3001",
		DashboardOrigin: "http://localhost:3001",
		RateLimit:       visitor.RateLimit{Enabled: true, Max: 100, Window: time.Minute},
		StreamClients:   1000,
		LogLevel:        slog.LevelInfo,
		AccessLog:       AccessOff,
		DataDir:         "data",
		HeapDumpDir:     "data",
	}
}

// Load reads the configuration from environ ("NAME=value" each, as os.Environ returns it) and from the file dotenv,
// which may be absent ("" reads none). Where both set a variable, or one sets NAME and the other NAME_FILE, the
// environment wins. An empty value is no value.
//
// All problems are found at once; the error is then a *[ConfigError]. The returned Config's Secrets read the same
// sources again when they are reloaded.
func Load(environ []string, readFile func(string) ([]byte, error), dotenv string) (Config, []Warning, error) {
	l := &loader{readFile: readFile}
	c, values, err := l.load(environ, dotenv)
	if err != nil {
		return Config{}, l.warnings, err
	}
	c.Secrets = NewSecrets(values)
	c.Secrets.reload = func() (SecretValues, error) {
		_, v, err := (&loader{readFile: readFile}).load(environ, dotenv)
		return v, err
	}
	for _, name := range []string{"WEBHOOK_SECRET", "GITHUB_TOKEN", "GITHUB_PRIVATE_KEY", "DASHBOARD_TOKEN"} {
		switch path, dir := l.vars[name+"_FILE"], l.vars["SECRETS_DIR"]; {
		case path != "":
			c.Secrets.files = append(c.Secrets.files, path)
		case dir != "": // it may come
			c.Secrets.files = append(c.Secrets.files, filepath.Join(dir, secretFiles[name]))
		}
	}
	c.Secrets.read = c.Secrets.stamps()
	return c, l.warnings, nil
}

func (l *loader) load(environ []string, dotenv string) (Config, SecretValues, error) {
	l.gather(environ, dotenv)
	c := Default()

	l.port(&c.Port)
	l.host(&c.Host)
	l.boolean("AGENTS_ENABLED", &c.AgentsEnabled)
	l.boolean("WEBHOOK_SIGNATURE_VALIDATION", &c.SignatureValidation)
	if !c.SignatureValidation && !loopback(c.Host) {
		l.problem("WEBHOOK_SIGNATURE_VALIDATION", "is false, which is allowed on a loopback HOST only: set HOST=127.0.0.1, or validate signatures")
	}

	var v SecretValues
	v.Webhook = l.webhookSecrets()
	v.Token = l.token("GITHUB_TOKEN")
	v.Dashboard = l.token("DASHBOARD_TOKEN")
	if n := len(v.Dashboard); n > 0 && n < minSecret {
		l.warn("DASHBOARD_TOKEN has fewer than %d characters and can be guessed: make one with openssl rand -hex 32", minSecret)
	}
	l.githubApp(&c.AppID, &v.AppKey)

	l.apiURL(&c.GitHubAPI)
	l.repositories(&c.Repositories)
	l.origin("DASHBOARD_ORIGIN", &c.DashboardOrigin)
	c.PublicURL = c.DashboardOrigin
	l.origin("PUBLIC_URL", &c.PublicURL)
	l.proxies(&c.TrustedProxies)

	l.directory("DATA_DIR", &c.DataDir)
	c.HeapDumpDir = c.DataDir
	l.directory("HEAP_DUMP_DIR", &c.HeapDumpDir)
	c.DatabaseURL = Secret("sqlite:" + filepath.ToSlash(filepath.Join(c.DataDir, "github-pr-manager.db")))
	l.database(&c.DatabaseURL)
	l.redis(&c.RedisURL)
	l.queueKey(&c.QueueKey)

	l.integer("WORKERS", &c.Workers, 0, 256)
	if c.Workers == 0 && strings.HasPrefix(c.DatabaseURL.Reveal(), "sqlite:") {
		l.problem("WORKERS", "is 0 on SQLite, where there is no other process that could do the work: want a whole number from 1 to 256, or PostgreSQL")
	}
	l.duration("LEASE", &c.Lease, time.Second, 10*time.Minute)
	l.duration("SWEEP_INTERVAL", &c.SweepInterval, time.Second, maxInterval)
	l.duration("AUDIT_INTERVAL", &c.AuditInterval, time.Second, maxInterval)
	days := int(c.Retention / (24 * time.Hour))
	l.integer("RETENTION_DAYS", &days, 1, 3650)
	c.Retention = time.Duration(days) * 24 * time.Hour

	l.boolean("RATE_LIMIT_ENABLED", &c.RateLimit.Enabled)
	l.integer("RATE_LIMIT_MAX_REQUESTS", &c.RateLimit.Max, 1, 1_000_000)
	window := int(c.RateLimit.Window / time.Millisecond)
	l.integer("RATE_LIMIT_WINDOW_MS", &window, 100, int(maxInterval/time.Millisecond))
	c.RateLimit.Window = time.Duration(window) * time.Millisecond

	l.integer("EVENT_STREAM_CLIENTS", &c.StreamClients, 1, mostConnections)

	l.logging(&c.LogLevel, &c.LogFormat)
	l.accessLog(&c.AccessLog)
	l.certificate(&c.TLSCertFile, &c.TLSKeyFile)
	l.paths("CERTIFICATE_FILES", &c.Certificates)

	if len(l.problems) > 0 {
		return Config{}, SecretValues{}, &ConfigError{Problems: l.problems}
	}
	return c, v, nil
}

// Address is what the service listens on, as net.Listen takes it.
func (c Config) Address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// SecretTexts returns every text of the configuration that logs must be scrubbed of: the secrets as they are now, and
// the passwords inside URLs.
func (c Config) SecretTexts() []string {
	out := c.Secrets.All()
	for _, raw := range []Secret{c.DatabaseURL, c.RedisURL} {
		u, err := url.Parse(raw.Reveal())
		if err != nil {
			continue
		}
		if p, ok := u.User.Password(); ok && p != "" {
			out = append(out, p)
		}
		for _, name := range []string{"password", "sslpassword"} {
			if p := u.Query().Get(name); p != "" {
				out = append(out, p)
			}
		}
	}
	return out
}

// WebhookSecrets reads WEBHOOK_SECRET or WEBHOOK_SECRET_FILE alone, as Load does, for commands that sign and need
// nothing else.
func WebhookSecrets(environ []string, readFile func(string) ([]byte, error), dotenv string) ([][]byte, error) {
	l := &loader{readFile: readFile}
	l.gather(environ, dotenv)
	secrets := l.webhookSecrets()
	if len(l.problems) > 0 {
		return nil, &ConfigError{Problems: l.problems}
	}
	return secrets, nil
}

// DatabaseName says which database is meant, without anything that is secret.
func (c Config) DatabaseName() string {
	raw := c.DatabaseURL.Reveal()
	if strings.HasPrefix(raw, "sqlite:") {
		return raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "postgres" // unreachable after Load
	}
	return "postgres://" + u.Host + u.Path
}

// LogValue lets a log line tell how the service is configured.
func (c Config) LogValue() slog.Value {
	credentials := "none: observing only"
	switch {
	case c.AppID != 0:
		credentials = fmt.Sprintf("GitHub App %d", c.AppID)
	case c.Secrets != nil && c.Secrets.Token() != "":
		credentials = "personal access token"
	}
	return slog.GroupValue(
		slog.String("listen", c.Address()),
		slog.String("github", c.GitHubAPI),
		slog.String("credentials", credentials),
		slog.String("database", c.DatabaseName()),
		slog.Int("workers", c.Workers),
		slog.Bool("agents", c.AgentsEnabled),
	)
}

// String says the same as LogValue, for people.
func (c Config) String() string { return c.LogValue().String() }

// A loader collects what the variables say and everything that is wrong with them.
type loader struct {
	readFile func(string) ([]byte, error)
	vars     map[string]string // of known names, none empty
	problems []string
	warnings []Warning
}

// variables are the names that Load reads; true for those that may also be given as NAME_FILE.
var variables = map[string]bool{
	"PORT": false, "HOST": false,
	"WEBHOOK_SECRET": true, "WEBHOOK_SIGNATURE_VALIDATION": false,
	"GITHUB_TOKEN": true, "GITHUB_APP_ID": false, "GITHUB_PRIVATE_KEY": true, "GITHUB_API_URL": false,
	"PUBLIC_URL": false, "TRUSTED_PROXIES": false, "GITHUB_REPOSITORY": false,
	"DATABASE_URL": true, "REDIS_URL": true, "WEBHOOK_QUEUE_KEY": false,
	"WORKERS": false, "LEASE": false, "SWEEP_INTERVAL": false, "AUDIT_INTERVAL": false,
	"DASHBOARD_ORIGIN": false, "DASHBOARD_TOKEN": true,
	"RATE_LIMIT_ENABLED": false, "RATE_LIMIT_MAX_REQUESTS": false, "RATE_LIMIT_WINDOW_MS": false,
	"EVENT_STREAM_CLIENTS": false,
	"LOG_LEVEL":            false, "LOG_FORMAT": false, "ACCESS_LOG": false, "TLS_CERT_FILE": false, "TLS_KEY_FILE": false, "CERTIFICATE_FILES": false,
	"RETENTION_DAYS": false, "DATA_DIR": false, "HEAP_DUMP_DIR": false, "SECRETS_DIR": false, "AGENTS_ENABLED": false,
}

// secretFiles are what the files in SECRETS_DIR are called: as `setup` names them, and everything else like its variable.
var secretFiles = map[string]string{
	"WEBHOOK_SECRET": "webhook-secret", "GITHUB_TOKEN": "github-token", "GITHUB_PRIVATE_KEY": "private-key.pem",
	"DATABASE_URL": "database-url", "REDIS_URL": "redis-url", "DASHBOARD_TOKEN": "dashboard-token",
}

// knownName returns the variable that name sets, NAME for NAME_FILE, or "".
func knownName(name string) string {
	if _, ok := variables[name]; ok {
		return name
	}
	if base, ok := strings.CutSuffix(name, "_FILE"); ok && variables[base] {
		return base
	}
	return ""
}

func (l *loader) problem(name, format string, args ...any) {
	l.problems = append(l.problems, name+" "+fmt.Sprintf(format, args...))
}

func (l *loader) warn(format string, args ...any) {
	l.warnings = append(l.warnings, Warning(fmt.Sprintf(format, args...)))
}

// gather merges the two sources. A variable and its _FILE twin are one thing: whichever source sets either has set it.
func (l *loader) gather(environ []string, dotenv string) {
	l.vars = map[string]string{}
	env := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			env[name] = value
		}
	}
	l.take(env, "")
	l.nearMisses(env, "")
	if dotenv != "" {
		l.gatherFile(dotenv)
	}
	l.secretsDir()
}

// gatherFile takes what the .env file says of variables that the environment has not set.
func (l *loader) gatherFile(dotenv string) {
	file := l.dotenv(dotenv)
	for name := range file {
		base := knownName(name)
		if base == "" {
			continue
		}
		if l.vars[base] != "" || l.vars[base+"_FILE"] != "" {
			file[name] = ""
		}
	}
	l.take(file, " in "+dotenv)
	l.nearMisses(file, " in "+dotenv)
}

// secretsDir takes the files of SECRETS_DIR for secrets that nothing else has set. A file that is not there is no
// secret, so that one directory, mounted or filled by whatever keeps the secrets, serves every way to sign in to GitHub.
func (l *loader) secretsDir() {
	dir, ok := l.vars["SECRETS_DIR"]
	if !ok {
		return
	}
	for _, name := range sortedNames(secretFiles) {
		path := filepath.Join(dir, secretFiles[name])
		if l.vars[name] != "" || l.vars[name+"_FILE"] != "" {
			continue
		}
		if _, err := l.readFile(path); !errors.Is(err, fs.ErrNotExist) {
			l.vars[name+"_FILE"] = path
		}
	}
}

func (l *loader) take(vars map[string]string, where string) {
	for _, name := range sortedNames(vars) {
		base, value := knownName(name), vars[name]
		switch {
		case base == "" || value == "":
		case strings.ContainsRune(value, 0):
			l.problem(name, "contains a NUL character%s: set it again", where)
		default:
			l.vars[name] = value
		}
	}
	for _, name := range sortedNames(variables) {
		if variables[name] && vars[name] != "" && vars[name+"_FILE"] != "" {
			l.problem(name, "and %s_FILE are both set%s: keep one", name, where)
			delete(l.vars, name)
			delete(l.vars, name+"_FILE")
		}
	}
}

// otherPeoples are names that look like ours and are somebody else's.
var otherPeoples = map[string]bool{"SSL_CERT_FILE": true, "GITHUB_ACTION": true, "GITHUB_ACTIONS": true}

// nearMisses warns of names that were probably meant to be ours. Short names are left alone in the environment, which
// is full of other programs' variables.
func (l *loader) nearMisses(vars map[string]string, where string) {
	for _, name := range sortedNames(vars) {
		if knownName(name) != "" || otherPeoples[name] {
			continue
		}
		best, distance := "", 3
		for _, known := range sortedNames(variables) {
			for _, candidate := range []string{known, known + "_FILE"} {
				if (candidate != known && !variables[known]) || (len(candidate) < 8 && where == "") {
					continue
				}
				limit := 3
				if len(candidate) < 8 {
					limit = 2
				}
				if d := levenshtein.ComputeDistance(strings.ToUpper(name), candidate); d < limit && d < distance {
					best, distance = candidate, d
				}
			}
		}
		if best != "" {
			l.warn("%s%s is not a variable of this program and is ignored: did you mean %s?", name, where, best)
		}
	}
}

// dotenv reads the .env file. What is wrong with it is told by line number: the parser's own words quote the text.
func (l *loader) dotenv(path string) map[string]string {
	text, err := l.readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		l.problem(path, "can't be read: %s", cause(err))
		return nil
	}
	if len(text) > maxFileSize {
		l.problem(path, "is larger than 1 MiB: it should hold NAME=value lines")
		return nil
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		l.problem(path, "is not UTF-8 text: save it as UTF-8")
		return nil
	}
	vars, err := godotenv.UnmarshalBytes(text)
	if err != nil {
		lines := bytes.SplitAfter(text, []byte("\n"))
		bad := len(lines)
		for bad > 1 {
			if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[:bad-1], nil)); err == nil {
				break
			}
			bad--
		}
		l.problem(path, "line %d is not NAME=value: put values with spaces, quotes or # into single quotes", bad)
		return nil
	}
	for _, name := range sortedNames(vars) {
		if variables[name] && expands(text, name) {
			l.warn("%s in %s holds a $ outside single quotes, and what follows it is replaced: put the value into single quotes if the $ belongs to it", name, path)
		}
	}
	return vars
}

// expands reports whether the value of name is written with a $ that the .env syntax replaces.
func expands(text []byte, name string) bool {
	line := regexp.MustCompile(`(?m)^\s*(?:export\s+)?` + regexp.QuoteMeta(name) + `\s*[=:][ \t]*([^'\s].*)$`).FindSubmatch(text)
	return line != nil && regexp.MustCompile(`(?:^|[^\\])\$`).Match(line[1])
}

func (l *loader) port(out *int) {
	s, ok := l.vars["PORT"]
	if !ok {
		return
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 65535 {
		l.problem("PORT", "is %s: want a port number from 1 to 65535", quote(s))
		return
	}
	*out = n
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// isHost reports whether s is an address or the name of a machine.
func isHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || hostname.MatchString(s)
}

func (l *loader) host(out *string) {
	s, ok := l.vars["HOST"]
	if !ok {
		return
	}
	h := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if !isHost(h) {
		l.problem("HOST", "is %s: want an address or name of this machine, such as 127.0.0.1, without scheme and port", quote(s))
		return
	}
	*out = h
}

// loopback reports whether host can only be reached from this machine.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func (l *loader) boolean(name string, out *bool) {
	s, ok := l.vars[name]
	if !ok {
		return
	}
	switch strings.ToLower(s) {
	case "true", "1", "yes", "on":
		*out = true
	case "false", "0", "no", "off":
		*out = false
	default:
		l.problem(name, "is %s: want true or false", quote(s))
	}
}

func (l *loader) integer(name string, out *int, least, most int) {
	s, ok := l.vars[name]
	if !ok {
		return
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		l.problem(name, "is %s: want a whole number from %d to %d", quote(s), least, most)
		return
	}
	*out = n
}

func (l *loader) duration(name string, out *time.Duration, least, most time.Duration) {
	s, ok := l.vars[name]
	if !ok {
		return
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < least || d > most {
		l.problem(name, "is %s: want a duration with its unit, such as 30s or 5m, from %s to %s", quote(s), short(least), short(most))
		return
	}
	*out = d
}

// secret returns the value of a variable that may also come from a file, what it is called in messages, and whether it
// came from a file.
func (l *loader) secret(name string) (value, called string, file bool) {
	if v, ok := l.vars[name]; ok {
		return v, name, false
	}
	path, ok := l.vars[name+"_FILE"]
	if !ok {
		return "", "", false
	}
	text, ok := l.text(name+"_FILE", path)
	if !ok {
		return "", "", true
	}
	if strings.TrimSpace(text) == "" {
		l.problem(name+"_FILE", "names the empty file %s: write the secret into it", quote(path))
		return "", "", true
	}
	return text, name + "_FILE", true
}

// text reads the file that a variable names.
func (l *loader) text(name, path string) (string, bool) {
	b, err := l.readFile(path)
	switch {
	case err != nil:
		l.problem(name, "names %s, which can't be read: %s", quote(path), cause(err))
		return "", false
	case len(b) > maxFileSize:
		l.problem(name, "names %s, which is larger than 1 MiB: is it the right file?", quote(path))
		return "", false
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		l.problem(name, "names %s, which is not UTF-8 text: save it as UTF-8", quote(path))
		return "", false
	}
	return string(b), true
}

// webhookSecrets returns every secret that may have signed a delivery. White space around one is refused rather than
// cut off or kept: either guess would fail only when GitHub's first delivery arrives.
func (l *loader) webhookSecrets() [][]byte {
	value, called, file := l.secret("WEBHOOK_SECRET")
	if value == "" {
		return nil
	}
	parts, kind := strings.Split(value, ","), "part"
	if file {
		parts, kind = strings.Split(strings.TrimRight(value, "\r\n"), "\n"), "line"
	}
	var out [][]byte
	for i, p := range parts {
		if file {
			p = strings.TrimSuffix(p, "\r")
		}
		switch {
		case p == "":
			l.problem(called, "%sis empty: remove it, or write a secret of at least %d bytes there", of(kind, i, len(parts)), minSecret)
		case strings.TrimSpace(p) != p:
			l.problem(called, "%sbegins or ends with white space: remove it", of(kind, i, len(parts)))
		case len(p) < minSecret:
			l.problem(called, "%shas %d bytes and needs at least %d: make one with openssl rand -hex 32", of(kind, i, len(parts)), len(p), minSecret)
		default:
			out = append(out, []byte(p))
		}
	}
	return out
}

// of names one of several parts of a value, or nothing when there is one only.
func of(kind string, i, n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("(%s %d of %d) ", kind, i+1, n)
}

// token returns a secret that is sent in a header: one word.
func (l *loader) token(name string) string {
	value, called, file := l.secret(name)
	if file {
		value = strings.TrimRight(value, "\r\n")
	}
	for _, r := range value {
		if r <= ' ' || r > '~' {
			l.problem(called, "contains a space, a line break or another character that no token has: write the token alone")
			return ""
		}
	}
	return value
}

func (l *loader) githubApp(id *int64, key *[]byte) {
	idSet, keySet := l.vars["GITHUB_APP_ID"] != "", l.vars["GITHUB_PRIVATE_KEY"] != "" || l.vars["GITHUB_PRIVATE_KEY_FILE"] != ""
	if s := l.vars["GITHUB_APP_ID"]; idSet {
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case strings.HasPrefix(s, "Iv"):
			l.problem("GITHUB_APP_ID", "is a client id: want the App ID, the number beside it on the App's settings page")
		case err != nil || n <= 0:
			l.problem("GITHUB_APP_ID", "is %s: want the number on the App's settings page", quote(s))
		default:
			*id = n
		}
	}
	if idSet && !keySet {
		l.problem("GITHUB_APP_ID", "is set without a key: set GITHUB_PRIVATE_KEY_FILE to the App's .pem file, or remove it")
	}
	if keySet && !idSet {
		l.problem("GITHUB_PRIVATE_KEY", "is set without GITHUB_APP_ID: set it to the number on the App's settings page")
	}
	value, called, _ := l.secret("GITHUB_PRIVATE_KEY")
	if value == "" {
		return
	}
	text := []byte(strings.TrimSpace(strings.ReplaceAll(value, `\n`, "\n")) + "\n")
	if err := checkKey(text); err != nil {
		l.problem(called, "%v", err)
		return
	}
	*key = text
}

// checkKey says what is wrong with an App's private key, without showing any of it.
func checkKey(text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("is not a PEM private key: want the .pem file of the App, beginning with -----BEGIN RSA PRIVATE KEY-----")
	}
	switch block.Type {
	case "RSA PRIVATE KEY":
		if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return errors.New("is a damaged RSA private key: download a new one from the App's settings page")
		}
		return nil
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return errors.New("is a damaged private key: download a new one from the App's settings page")
		}
		if _, ok := key.(*rsa.PrivateKey); !ok {
			return errors.New("is not an RSA key, and GitHub Apps sign with RSA: download one from the App's settings page")
		}
		return nil
	}
	return fmt.Errorf("holds a %s: want the App's RSA PRIVATE KEY", strings.ToLower(block.Type))
}

// parseURL parses what a variable says and refuses what none of our URLs has. A message never shows the value when it
// may hold a password.
func (l *loader) parseURL(name, s, want string) *url.URL {
	u, err := url.Parse(s)
	if err == nil && u.User != nil {
		l.problem(name, "holds a user name or password: want %s", want)
		return nil
	}
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !isHost(u.Hostname()) || strings.Contains(s, "@") {
		l.problem(name, "is not a web address: want %s", want)
		return nil
	}
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		l.problem(name, "has a query or a fragment: want %s", want)
		return nil
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			l.problem(name, "has the port %s: want a number from 1 to 65535", quote(p))
			return nil
		}
	}
	return u
}

func (l *loader) apiURL(out *string) {
	s, ok := l.vars["GITHUB_API_URL"]
	if !ok {
		return
	}
	u := l.parseURL("GITHUB_API_URL", s, "https://api.github.com, or https://HOST/api/v3 of a GitHub Enterprise Server")
	if u == nil {
		return
	}
	if strings.EqualFold(u.Hostname(), "github.com") {
		l.problem("GITHUB_API_URL", "is GitHub's website: want https://api.github.com")
		return
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		l.warn("GITHUB_API_URL is not https: tokens travel unencrypted")
	}
	*out = strings.TrimRight(u.String(), "/")
}

// origin reads a scheme, host and port, in the form in which browsers send it.
func (l *loader) origin(name string, out *string) {
	s, ok := l.vars[name]
	if !ok {
		return
	}
	if s == "*" {
		l.problem(name, "is *: want exactly one origin, such as https://pulls.example.com")
		return
	}
	u := l.parseURL(name, s, "scheme, host and port alone, such as https://pulls.example.com")
	if u == nil {
		return
	}
	if u.Path != "" && u.Path != "/" {
		l.problem(name, "has a path: want scheme, host and port alone, such as https://pulls.example.com")
		return
	}
	host := strings.ToLower(u.Host)
	if (u.Scheme == "http" && u.Port() == "80") || (u.Scheme == "https" && u.Port() == "443") {
		host = strings.TrimSuffix(host, ":"+u.Port())
	}
	*out = u.Scheme + "://" + host
}

func (l *loader) proxies(out *[]netip.Prefix) {
	s, ok := l.vars["TRUSTED_PROXIES"]
	if !ok {
		return
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if a, err := netip.ParseAddr(part); err == nil {
			*out = append(*out, netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			l.problem("TRUSTED_PROXIES", "holds %s: want networks or addresses separated by commas, such as 10.0.0.0/8,127.0.0.1", quote(part))
			return
		}
		*out = append(*out, p.Masked())
	}
}

var repoPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*(_[A-Za-z0-9]+)?/(\*|[A-Za-z0-9._-]+)$`)

func (l *loader) repositories(out *Repositories) {
	s, ok := l.vars["GITHUB_REPOSITORY"]
	if !ok {
		return
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if !repoPattern.MatchString(part) {
			l.problem("GITHUB_REPOSITORY", "holds %s: want owner/repo or owner/*, separated by commas", quote(part))
			return
		}
		*out = append(*out, part)
	}
}

func (l *loader) database(out *Secret) {
	s, called, _ := l.secret("DATABASE_URL")
	if s = strings.TrimRight(s, "\r\n"); s == "" {
		return
	}
	const want = "want sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE"
	if path, ok := strings.CutPrefix(s, "sqlite:"); ok {
		switch {
		case strings.TrimSpace(path) == "":
			l.problem(called, "names no file: want sqlite:data/github-pr-manager.db")
		case strings.Contains(path, ":memory:") || strings.Contains(path, "mode=memory"):
			l.problem(called, "is a database in memory, which would lose accepted deliveries: want sqlite:PATH")
		case strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///"):
			l.problem(called, "begins with sqlite://, which names a host: want sqlite:data/github-pr-manager.db, or sqlite:/absolute/path.db")
		case strings.ContainsAny(path, "?#"):
			l.problem(called, "has parameters after the file's path: want sqlite:PATH alone")
		default:
			*out = Secret("sqlite:" + strings.TrimPrefix(path, "//"))
		}
		return
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		l.problem(called, "is not the address of a database: %s", want)
		return
	}
	if u.Hostname() == "" && u.Query().Get("host") == "" {
		l.problem(called, "names no host: %s", want)
		return
	}
	if strings.Trim(u.Path, "/") == "" {
		l.problem(called, "names no database: %s", want)
		return
	}
	*out = Secret(s)
}

func (l *loader) redis(out *Secret) {
	s, called, _ := l.secret("REDIS_URL")
	if s = strings.TrimRight(s, "\r\n"); s == "" {
		return
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "redis" && u.Scheme != "rediss") || u.Hostname() == "" {
		l.problem(called, "is not the address of a Redis: want redis://HOST:6379, or rediss:// with TLS")
		return
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if n, err := strconv.Atoi(db); err != nil || n < 0 {
			l.problem(called, "names a database that is not a number: want redis://HOST:6379/0")
			return
		}
	}
	*out = Secret(s)
}

func (l *loader) queueKey(out *string) {
	s, ok := l.vars["WEBHOOK_QUEUE_KEY"]
	if !ok {
		return
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) || len(s) > 512 {
		l.problem("WEBHOOK_QUEUE_KEY", "is %s: want the name of a Redis list without spaces", quote(s))
		return
	}
	if strings.HasPrefix(s, "github-pr-manager:") {
		l.problem("WEBHOOK_QUEUE_KEY", "begins with github-pr-manager:, which this program keeps for its other keys: choose another name")
		return
	}
	*out = s
}

func (l *loader) directory(name string, out *string) {
	if s, ok := l.vars[name]; ok {
		*out = filepath.Clean(s)
	}
}

// paths reads a list of files. Whether they are there is seen when they are read: what others write may come later.
func (l *loader) paths(name string, out *[]string) {
	s, ok := l.vars[name]
	if !ok {
		return
	}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			l.problem(name, "has an empty part: want paths, separated by commas")
			return
		}
		*out = append(*out, filepath.Clean(part))
	}
}

func (l *loader) logging(level *slog.Level, format *string) {
	if s, ok := l.vars["LOG_LEVEL"]; ok {
		switch strings.ToLower(s) {
		case "debug":
			*level = slog.LevelDebug
		case "info":
			*level = slog.LevelInfo
		case "warn", "warning":
			*level = slog.LevelWarn
		case "error":
			*level = slog.LevelError
		default:
			l.problem("LOG_LEVEL", "is %s: want debug, info, warn or error", quote(s))
		}
	}
	if s, ok := l.vars["LOG_FORMAT"]; ok {
		switch f := strings.ToLower(s); f {
		case "json", "text":
			*format = f
		default:
			l.problem("LOG_FORMAT", "is %s: want json or text", quote(s))
		}
	}
}

func (l *loader) accessLog(out *string) {
	s, ok := l.vars["ACCESS_LOG"]
	if !ok {
		return
	}
	switch v := strings.ToLower(s); v {
	case AccessOff, AccessSome, AccessAll:
		*out = v
	default:
		l.problem("ACCESS_LOG", "is %s: want off, some or all", quote(s))
	}
}

func (l *loader) certificate(cert, key *string) {
	c, k := l.vars["TLS_CERT_FILE"], l.vars["TLS_KEY_FILE"]
	switch {
	case c == "" && k == "":
		return
	case c == "":
		l.problem("TLS_KEY_FILE", "is set without TLS_CERT_FILE: set both to serve HTTPS, or none")
		return
	case k == "":
		l.problem("TLS_CERT_FILE", "is set without TLS_KEY_FILE: set both to serve HTTPS, or none")
		return
	}
	ct, ok1 := l.text("TLS_CERT_FILE", c)
	kt, ok2 := l.text("TLS_KEY_FILE", k)
	if !ok1 || !ok2 {
		return
	}
	if block, _ := pem.Decode([]byte(ct)); block == nil {
		l.problem("TLS_CERT_FILE", "names %s, which is not a PEM certificate", quote(c))
		return
	}
	if block, _ := pem.Decode([]byte(kt)); block == nil {
		l.problem("TLS_KEY_FILE", "names %s, which is not a PEM private key", quote(k))
		return
	}
	if _, err := tls.X509KeyPair([]byte(ct), []byte(kt)); err != nil {
		l.problem("TLS_CERT_FILE", "and TLS_KEY_FILE are not a pair: want a certificate and the key that belongs to it")
		return
	}
	*cert, *key = c, k
}

// quote shows a value that is no secret, within reason.
func quote(s string) string {
	if utf8.RuneCountInString(s) > 60 {
		s = string([]rune(s)[:60]) + "…"
	}
	return strconv.Quote(s)
}

// cause is the reason of a file error without the operation and the path, which the message has said.
func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// short writes a duration as people do: 10m0s is 10m.
func short(d time.Duration) string {
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if s = strings.TrimSuffix(s, "h0m") + map[bool]string{true: "h"}[strings.HasSuffix(s, "h0m")]; s == "" {
		return "0s"
	}
	return s
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
