package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/visitor"
)

// canary is part of every secret that these tests plant, so that one search finds a leak of any.
const canary = "canary-0123456789abcdef"

// files are a file system for Load; a missing name is fs.ErrNotExist, a value of "!" can't be read.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	text, ok := f[name]
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case text == "!":
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return []byte(text), nil
}

var rsaKey = sync.OnceValue(func() string {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
})

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}

func TestLoadNothing(t *testing.T) {
	c, warnings, err := Load(nil, files{}.read, ".env")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load(nothing) = %v, %v", warnings, err)
	}
	if got, want := c.String(), Default().String(); got != want {
		t.Errorf("Load(nothing) = %s, want the defaults %s", got, want)
	}
	if c.Address() != ":3001" || c.DatabaseURL.Reveal() != "sqlite:data/github-pr-manager.db" || c.PublicURL != "http://localhost:3001" ||
		c.DashboardOrigin != "http://localhost:3001" || c.Lease != 30*time.Second || c.SweepInterval != 10*time.Minute ||
		c.AuditInterval != 5*time.Minute || c.Retention != 30*24*time.Hour || c.QueueKey != "queue:github-webhook" || !c.AgentsEnabled {
		t.Errorf("Load(nothing) = %+v, want the contract's defaults", c)
	}
	if len(c.Secrets.Webhook()) != 0 || c.Secrets.Token() != "" || c.Secrets.AppKey() != nil || c.Secrets.Dashboard() != "" {
		t.Errorf("Load(nothing) has secrets")
	}
}

func TestLoadEverything(t *testing.T) {
	cert, key := testenv.Certificate(t, time.Now().Add(time.Hour))
	f := files{"c.pem": cert, "k.pem": key, "app.pem": rsaKey()}
	c, warnings, err := Load([]string{
		"PORT=3002", "HOST=[::1]", "WEBHOOK_SECRET=first-" + canary + ",second-" + canary, "WEBHOOK_SIGNATURE_VALIDATION=false",
		"GITHUB_TOKEN=ghp_" + canary, "GITHUB_APP_ID=42", "GITHUB_PRIVATE_KEY_FILE=app.pem",
		"GITHUB_API_URL=https://ghe.example.com/api/v3/", "PUBLIC_URL=https://Pulls.Example.com:443/",
		"TRUSTED_PROXIES=10.1.2.3/8, 127.0.0.1,::1", "GITHUB_REPOSITORY=octo/app, Acme/*",
		"DATABASE_URL=postgresql://app:" + canary + "@db:5432/github_agent?sslmode=disable",
		"REDIS_URL=rediss://:" + canary + "@redis:6380/2", "WEBHOOK_QUEUE_KEY=q", "WORKERS=3", "LEASE=1s", "SWEEP_INTERVAL=1h", "AUDIT_INTERVAL=90s",
		"DASHBOARD_ORIGIN=http://10.0.0.1:8080", "DASHBOARD_TOKEN=" + canary, "RATE_LIMIT_ENABLED=off", "RATE_LIMIT_MAX_REQUESTS=7",
		"RATE_LIMIT_WINDOW_MS=900000", "LOG_LEVEL=DEBUG", "LOG_FORMAT=text", "TLS_CERT_FILE=c.pem", "TLS_KEY_FILE=k.pem", "CERTIFICATE_FILES=tls/, a.pem",
		"RETENTION_DAYS=7", "DATA_DIR=/var/lib/x/", "HEAP_DUMP_DIR=/tmp", "AGENTS_ENABLED=no",
	}, f.read, ".env")
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if len(warnings) != 0 {
		t.Errorf("warnings = %q, want none", warnings)
	}
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"Address", c.Address(), "[::1]:3002"},
		{"Webhook", fmt.Sprintf("%s", c.Secrets.Webhook()), "[first-" + canary + " second-" + canary + "]"},
		{"SignatureValidation", c.SignatureValidation, false},
		{"Token", c.Secrets.Token(), "ghp_" + canary},
		{"AppID", c.AppID, int64(42)},
		{"AppKey", string(c.Secrets.AppKey()), rsaKey()},
		{"GitHubAPI", c.GitHubAPI, "https://ghe.example.com/api/v3"},
		{"PublicURL", c.PublicURL, "https://pulls.example.com"},
		{"TrustedProxies", fmt.Sprint(c.TrustedProxies), "[10.0.0.0/8 127.0.0.1/32 ::1/128]"},
		{"octo/app", c.Repositories.Allows("Octo", "APP"), true},
		{"octo/other", c.Repositories.Allows("octo", "other"), false},
		{"acme/any", c.Repositories.Allows("acme", "any"), true},
		{"DatabaseName", c.DatabaseName(), "postgres://db:5432/github_agent"},
		{"QueueKey", c.QueueKey, "q"},
		{"Workers", c.Workers, 3},
		{"Lease", c.Lease, time.Second},
		{"SweepInterval", c.SweepInterval, time.Hour},
		{"AuditInterval", c.AuditInterval, 90 * time.Second},
		{"DashboardOrigin", c.DashboardOrigin, "http://10.0.0.1:8080"},
		{"RateLimit", c.RateLimit, visitor.RateLimit{Max: 7, Window: 15 * time.Minute}},
		{"LogLevel", c.LogLevel, slog.LevelDebug},
		{"LogFormat", c.LogFormat, "text"},
		{"TLS", c.TLSCertFile + c.TLSKeyFile, "c.pemk.pem"},
		{"CERTIFICATE_FILES", strings.Join(c.Certificates, "+"), "tls+a.pem"},
		{"Retention", c.Retention, 7 * 24 * time.Hour},
		{"DataDir", c.DataDir, "/var/lib/x"},
		{"HeapDumpDir", c.HeapDumpDir, "/tmp"},
		{"AgentsEnabled", c.AgentsEnabled, false},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %v, want %v", tt.name, tt.got, tt.want)
		}
	}

	// Nothing that prints a Config shows a secret.
	var shown bytes.Buffer
	fmt.Fprintf(&shown, "%v %+v %#v %s %q %x %d", c, c, c, c, c.DatabaseURL, c.DatabaseURL, c.RedisURL)
	fmt.Fprintf(&shown, "%v %+v %#v", *c.Secrets.now.Load(), *c.Secrets.now.Load(), *c.Secrets.now.Load())
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatalf("json.Marshal(Config): %v", err)
	}
	shown.Write(b)
	log := slog.New(slog.NewJSONHandler(&shown, nil))
	log.Info("x", "config", c, "secrets", c.Secrets, "url", c.DatabaseURL)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "config", c, "secrets", c.Secrets, "url", c.DatabaseURL)
	for _, s := range []string{canary, fmt.Sprintf("%x", canary), "RSA PRIVATE"} {
		if strings.Contains(shown.String(), s) {
			t.Errorf("printed Config shows %q: %s", s, &shown)
		}
	}
	if got := strings.Join(c.SecretTexts(), "\n"); strings.Count(got, canary) != 6 || !strings.Contains(got, "RSA PRIVATE") {
		t.Errorf("SecretTexts() = %q, want all seven", got)
	}
}

// TestLoadProblems: each wrong value gives one line that names its variable and says what to do, without the value of
// a secret.
func TestLoadProblems(t *testing.T) {
	cert, key := testenv.Certificate(t, time.Now().Add(time.Hour))
	_, otherKey := testenv.Certificate(t, time.Now().Add(time.Hour))
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := files{
		"empty": "", "blank": " \n", "short": canary[:12] + "\n", "gap": canary + "\n\n" + canary + "\n", "utf16": "\xff\xfec\x00a\x00",
		"nul": canary + "\x00", "denied": "!", "two": canary + "\n" + canary + "\n", "big": strings.Repeat("x", 2<<20),
		"c.pem": cert, "k.pem": key, "other.pem": otherKey, "text": canary, "padded": canary + " \n", "eckey": pkcs8(t, ecKey),
	}
	for _, tt := range []struct {
		env  string // NAME=value, several joined by " & "
		want string // the whole line
	}{
		{"PORT=http", `PORT is "http": want a port number from 1 to 65535`},
		{"PORT=70000", `PORT is "70000": want a port number from 1 to 65535`},
		{"PORT=-1", `PORT is "-1": want a port number from 1 to 65535`},
		{"HOST=http://localhost", `HOST is "http://localhost": want an address or name of this machine, such as 127.0.0.1, without scheme and port`},
		{"HOST=localhost:3001", `HOST is "localhost:3001": want an address or name of this machine, such as 127.0.0.1, without scheme and port`},

		{"WEBHOOK_SECRET=" + canary[:15], `WEBHOOK_SECRET has 15 bytes and needs at least 16: make one with openssl rand -hex 32`},
		{"WEBHOOK_SECRET=" + canary + ",", `WEBHOOK_SECRET (part 2 of 2) is empty: remove it, or write a secret of at least 16 bytes there`},
		{"WEBHOOK_SECRET=," + canary, `WEBHOOK_SECRET (part 1 of 2) is empty: remove it, or write a secret of at least 16 bytes there`},
		{"WEBHOOK_SECRET=" + canary + ",short", `WEBHOOK_SECRET (part 2 of 2) has 5 bytes and needs at least 16: make one with openssl rand -hex 32`},
		{"WEBHOOK_SECRET=" + canary + ", " + canary, `WEBHOOK_SECRET (part 2 of 2) begins or ends with white space: remove it`},
		{"WEBHOOK_SECRET= ", `WEBHOOK_SECRET begins or ends with white space: remove it`},
		{"WEBHOOK_SECRET_FILE=absent", `WEBHOOK_SECRET_FILE names "absent", which can't be read: file does not exist`},
		{"WEBHOOK_SECRET_FILE=denied", `WEBHOOK_SECRET_FILE names "denied", which can't be read: permission denied`},
		{"WEBHOOK_SECRET_FILE=empty", `WEBHOOK_SECRET_FILE names the empty file "empty": write the secret into it`},
		{"WEBHOOK_SECRET_FILE=blank", `WEBHOOK_SECRET_FILE names the empty file "blank": write the secret into it`},
		{"WEBHOOK_SECRET_FILE=short", `WEBHOOK_SECRET_FILE has 12 bytes and needs at least 16: make one with openssl rand -hex 32`},
		{"WEBHOOK_SECRET_FILE=gap", `WEBHOOK_SECRET_FILE (line 2 of 3) is empty: remove it, or write a secret of at least 16 bytes there`},
		{"WEBHOOK_SECRET_FILE=padded", `WEBHOOK_SECRET_FILE begins or ends with white space: remove it`},
		{"WEBHOOK_SECRET_FILE=utf16", `WEBHOOK_SECRET_FILE names "utf16", which is not UTF-8 text: save it as UTF-8`},
		{"WEBHOOK_SECRET_FILE=nul", `WEBHOOK_SECRET_FILE names "nul", which is not UTF-8 text: save it as UTF-8`},
		{"WEBHOOK_SECRET_FILE=big", `WEBHOOK_SECRET_FILE names "big", which is larger than 1 MiB: is it the right file?`},
		{"WEBHOOK_SECRET=" + canary + " & WEBHOOK_SECRET_FILE=two", `WEBHOOK_SECRET and WEBHOOK_SECRET_FILE are both set: keep one`},
		{"WEBHOOK_SIGNATURE_VALIDATION=maybe", `WEBHOOK_SIGNATURE_VALIDATION is "maybe": want true or false`},
		{"WEBHOOK_SIGNATURE_VALIDATION=false", `WEBHOOK_SIGNATURE_VALIDATION is false, which is allowed on a loopback HOST only: set HOST=127.0.0.1, or validate signatures`},
		{"WEBHOOK_SIGNATURE_VALIDATION=false & HOST=0.0.0.0", `WEBHOOK_SIGNATURE_VALIDATION is false, which is allowed on a loopback HOST only: set HOST=127.0.0.1, or validate signatures`},

		{"GITHUB_TOKEN=" + canary + " " + canary, `GITHUB_TOKEN contains a space, a line break or another character that no token has: write the token alone`},
		{"GITHUB_TOKEN_FILE=two", `GITHUB_TOKEN_FILE contains a space, a line break or another character that no token has: write the token alone`},
		{"GITHUB_TOKEN_FILE=absent", `GITHUB_TOKEN_FILE names "absent", which can't be read: file does not exist`},
		{"GITHUB_APP_ID=42", `GITHUB_APP_ID is set without a key: set GITHUB_PRIVATE_KEY_FILE to the App's .pem file, or remove it`},
		{"GITHUB_APP_ID=Iv1.8a61f9b3a7aba766 & GITHUB_PRIVATE_KEY=" + rsaKey(), `GITHUB_APP_ID is a client id: want the App ID, the number beside it on the App's settings page`},
		{"GITHUB_APP_ID=my-app & GITHUB_PRIVATE_KEY=" + rsaKey(), `GITHUB_APP_ID is "my-app": want the number on the App's settings page`},
		{"GITHUB_PRIVATE_KEY=" + rsaKey(), `GITHUB_PRIVATE_KEY is set without GITHUB_APP_ID: set it to the number on the App's settings page`},
		{"GITHUB_APP_ID=42 & GITHUB_PRIVATE_KEY=" + canary, `GITHUB_PRIVATE_KEY is not a PEM private key: want the .pem file of the App, beginning with -----BEGIN RSA PRIVATE KEY-----`},
		{"GITHUB_APP_ID=42 & GITHUB_PRIVATE_KEY_FILE=text", `GITHUB_PRIVATE_KEY_FILE is not a PEM private key: want the .pem file of the App, beginning with -----BEGIN RSA PRIVATE KEY-----`},
		{"GITHUB_APP_ID=42 & GITHUB_PRIVATE_KEY_FILE=c.pem", `GITHUB_PRIVATE_KEY_FILE holds a certificate: want the App's RSA PRIVATE KEY`},
		{"GITHUB_APP_ID=42 & GITHUB_PRIVATE_KEY_FILE=eckey", `GITHUB_PRIVATE_KEY_FILE is not an RSA key, and GitHub Apps sign with RSA: download one from the App's settings page`},
		{
			"GITHUB_APP_ID=42 & GITHUB_PRIVATE_KEY=-----BEGIN RSA PRIVATE KEY-----\\nY2FuYXJ5LTAxMjM0NTY3ODlhYmNkZWY=\\n-----END RSA PRIVATE KEY-----",
			`GITHUB_PRIVATE_KEY is a damaged RSA private key: download a new one from the App's settings page`,
		},

		{"GITHUB_API_URL=api.github.com", `GITHUB_API_URL is not a web address: want https://api.github.com, or https://HOST/api/v3 of a GitHub Enterprise Server`},
		{"GITHUB_API_URL=https://x:" + canary + "@ghe.example.com", `GITHUB_API_URL holds a user name or password: want https://api.github.com, or https://HOST/api/v3 of a GitHub Enterprise Server`},
		{"GITHUB_API_URL=https://x:" + canary + "%zz@ghe.example.com", `GITHUB_API_URL is not a web address: want https://api.github.com, or https://HOST/api/v3 of a GitHub Enterprise Server`},
		{"GITHUB_API_URL=https://ghe.example.com/?token=" + canary, `GITHUB_API_URL has a query or a fragment: want https://api.github.com, or https://HOST/api/v3 of a GitHub Enterprise Server`},
		{"GITHUB_API_URL=https://ghe.example.com:99999", `GITHUB_API_URL has the port "99999": want a number from 1 to 65535`},
		{"GITHUB_API_URL=https://github.com", `GITHUB_API_URL is GitHub's website: want https://api.github.com`},
		{"PUBLIC_URL=pulls.example.com", `PUBLIC_URL is not a web address: want scheme, host and port alone, such as https://pulls.example.com`},
		{"PUBLIC_URL=https://example.com/pulls", `PUBLIC_URL has a path: want scheme, host and port alone, such as https://pulls.example.com`},
		{"DASHBOARD_ORIGIN=*", `DASHBOARD_ORIGIN is *: want exactly one origin, such as https://pulls.example.com`},
		{"DASHBOARD_ORIGIN=null", `DASHBOARD_ORIGIN is not a web address: want scheme, host and port alone, such as https://pulls.example.com`},
		{"DASHBOARD_ORIGIN=https://a.example,https://b.example", `DASHBOARD_ORIGIN is not a web address: want scheme, host and port alone, such as https://pulls.example.com`},
		{"TRUSTED_PROXIES=10.0.0.0/33", `TRUSTED_PROXIES holds "10.0.0.0/33": want networks or addresses separated by commas, such as 10.0.0.0/8,127.0.0.1`},
		{"TRUSTED_PROXIES=127.0.0.1,", `TRUSTED_PROXIES holds "": want networks or addresses separated by commas, such as 10.0.0.0/8,127.0.0.1`},
		{"GITHUB_REPOSITORY=octo", `GITHUB_REPOSITORY holds "octo": want owner/repo or owner/*, separated by commas`},
		{"GITHUB_REPOSITORY=octo/app,*/*", `GITHUB_REPOSITORY holds "*/*": want owner/repo or owner/*, separated by commas`},
		{"GITHUB_REPOSITORY=https://github.com/octo/app", `GITHUB_REPOSITORY holds "https://github.com/octo/app": want owner/repo or owner/*, separated by commas`},

		{"DATABASE_URL=mysql://app:" + canary + "@db/x", `DATABASE_URL is not the address of a database: want sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE`},
		{"DATABASE_URL=host=db password=" + canary, `DATABASE_URL is not the address of a database: want sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE`},
		{"DATABASE_URL=postgres://app:" + canary + "%zz@db/x", `DATABASE_URL is not the address of a database: want sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE`},
		{"DATABASE_URL=postgres://app:" + canary + "@db", `DATABASE_URL names no database: want sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE`},
		{"DATABASE_URL=postgres:///x?password=" + canary, `DATABASE_URL names no host: want sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE`},
		{"DATABASE_URL=sqlite:", `DATABASE_URL names no file: want sqlite:data/github-pr-manager.db`},
		{"DATABASE_URL=sqlite::memory:", `DATABASE_URL is a database in memory, which would lose accepted deliveries: want sqlite:PATH`},
		{"DATABASE_URL=sqlite://data/x.db", `DATABASE_URL begins with sqlite://, which names a host: want sqlite:data/github-pr-manager.db, or sqlite:/absolute/path.db`},
		{"DATABASE_URL=sqlite:x.db?_pragma=1", `DATABASE_URL has parameters after the file's path: want sqlite:PATH alone`},
		{"DATABASE_URL_FILE=absent", `DATABASE_URL_FILE names "absent", which can't be read: file does not exist`},
		{"REDIS_URL=localhost:6379", `REDIS_URL is not the address of a Redis: want redis://HOST:6379, or rediss:// with TLS`},
		{"REDIS_URL=redis://:" + canary + "%zz@r", `REDIS_URL is not the address of a Redis: want redis://HOST:6379, or rediss:// with TLS`},
		{"REDIS_URL=redis://:" + canary + "@r/queue", `REDIS_URL names a database that is not a number: want redis://HOST:6379/0`},
		{"WEBHOOK_QUEUE_KEY=a b", `WEBHOOK_QUEUE_KEY is "a b": want the name of a Redis list without spaces`},
		{"WEBHOOK_QUEUE_KEY=github-pr-manager:x", `WEBHOOK_QUEUE_KEY begins with github-pr-manager:, which this program keeps for its other keys: choose another name`},

		{"WORKERS=0", `WORKERS is 0 on SQLite, where there is no other process that could do the work: want a whole number from 1 to 256, or PostgreSQL`},
		{"WORKERS=-1", `WORKERS is "-1": want a whole number from 0 to 256`},
		{"WORKERS=many", `WORKERS is "many": want a whole number from 0 to 256`},
		{"LEASE=30", `LEASE is "30": want a duration with its unit, such as 30s or 5m, from 1s to 10m`},
		{"LEASE=-30s", `LEASE is "-30s": want a duration with its unit, such as 30s or 5m, from 1s to 10m`},
		{"SWEEP_INTERVAL=0s", `SWEEP_INTERVAL is "0s": want a duration with its unit, such as 30s or 5m, from 1s to 24h`},
		{"AUDIT_INTERVAL=5 minutes", `AUDIT_INTERVAL is "5 minutes": want a duration with its unit, such as 30s or 5m, from 1s to 24h`},
		{"RETENTION_DAYS=30d", `RETENTION_DAYS is "30d": want a whole number from 1 to 3650`},
		{"RATE_LIMIT_ENABLED=2", `RATE_LIMIT_ENABLED is "2": want true or false`},
		{"RATE_LIMIT_MAX_REQUESTS=1.5", `RATE_LIMIT_MAX_REQUESTS is "1.5": want a whole number from 1 to 1000000`},
		{"RATE_LIMIT_WINDOW_MS=1m", `RATE_LIMIT_WINDOW_MS is "1m": want a whole number from 100 to 86400000`},
		{"AGENTS_ENABLED=enabled", `AGENTS_ENABLED is "enabled": want true or false`},
		{"LOG_LEVEL=verbose", `LOG_LEVEL is "verbose": want debug, info, warn or error`},
		{"LOG_FORMAT=xml", `LOG_FORMAT is "xml": want json or text`},
		{"DASHBOARD_TOKEN=" + canary + "\n", `DASHBOARD_TOKEN contains a space, a line break or another character that no token has: write the token alone`},

		{"CERTIFICATE_FILES=a.pem,,b.pem", `CERTIFICATE_FILES has an empty part: want paths, separated by commas`},
		{"TLS_CERT_FILE=c.pem", `TLS_CERT_FILE is set without TLS_KEY_FILE: set both to serve HTTPS, or none`},
		{"TLS_KEY_FILE=k.pem", `TLS_KEY_FILE is set without TLS_CERT_FILE: set both to serve HTTPS, or none`},
		{"TLS_CERT_FILE=absent & TLS_KEY_FILE=k.pem", `TLS_CERT_FILE names "absent", which can't be read: file does not exist`},
		{"TLS_CERT_FILE=text & TLS_KEY_FILE=k.pem", `TLS_CERT_FILE names "text", which is not a PEM certificate`},
		{"TLS_CERT_FILE=c.pem & TLS_KEY_FILE=text", `TLS_KEY_FILE names "text", which is not a PEM private key`},
		{"TLS_CERT_FILE=c.pem & TLS_KEY_FILE=other.pem", `TLS_CERT_FILE and TLS_KEY_FILE are not a pair: want a certificate and the key that belongs to it`},
	} {
		c, _, err := Load(strings.Split(tt.env, " & "), f.read, "")
		shown := strings.NewReplacer(canary, "…", rsaKey(), "…").Replace(tt.env)
		problem, ok := errors.AsType[*ConfigError](err)
		if !ok {
			t.Errorf("Load(%s) = %v, %v, want a ConfigError", shown, c, err)
			continue
		}
		if problem.Error() != tt.want {
			t.Errorf("Load(%s): %s, want %s", shown, problem, tt.want)
		}
		if strings.Contains(problem.Error(), canary) {
			t.Errorf("Load(%s) shows the secret: %s", shown, problem)
		}
	}

	// All at once: a line each.
	_, _, err = Load([]string{"PORT=x", "WORKERS=x", "GITHUB_TOKEN_FILE=absent", "LOG_LEVEL=x"}, f.read, "")
	if got := strings.Count(fmt.Sprint(err), "\n"); got != 3 {
		t.Errorf("Load(four problems): %v, want four lines", err)
	}
}

func TestLoadDotenv(t *testing.T) {
	load := func(text string, environ ...string) (Config, []Warning, error) {
		return Load(environ, files{
			".env": text, "token": canary + "\n", "multi": "one-" + canary + "\r\ntwo,with-" + canary + "\r\n",
			"run/github-token": canary + "-dir\n", "denied/webhook-secret": "!",
		}.read, ".env")
	}

	c, _, err := load("\xef\xbb\xbf# comment\nexport PORT=3005\nWEBHOOK_SECRET='with$dollar-and-#hash'\n")
	if err != nil || c.Port != 3005 || string(c.Secrets.Webhook()[0]) != "with$dollar-and-#hash" {
		t.Errorf("Load(.env) = %v, %q, %v", c, c.Secrets.Webhook(), err)
	}
	if c, _, err = load("PORT=3005\n", "PORT=3006"); err != nil || c.Port != 3006 {
		t.Errorf("Load(.env and environment) = %v, %v, want the environment's 3006", c, err)
	}
	if c, _, err = load("PORT=3005\n", "PORT="); err != nil || c.Port != 3005 {
		t.Errorf("Load(.env and empty environment) = %v, %v, want 3005", c, err)
	}
	// The environment's NAME_FILE wins over .env's NAME: the two are one setting.
	if c, _, err = load("GITHUB_TOKEN=from-dotenv\n", "GITHUB_TOKEN_FILE=token"); err != nil || c.Secrets.Token() != canary {
		t.Errorf("Load(_FILE over .env) = %q, %v, want the file's", c.Secrets.Token(), err)
	}
	// One secret a line, commas literal, whatever the line ends.
	c, _, err = load("", "WEBHOOK_SECRET_FILE=multi")
	if got := fmt.Sprintf("%q", c.Secrets.Webhook()); err != nil || got != fmt.Sprintf("%q", []string{"one-" + canary, "two,with-" + canary}) {
		t.Errorf("Load(WEBHOOK_SECRET_FILE) = %s, %v", got, err)
	}
	// A file of SECRETS_DIR is taken where nothing else has set the secret, and one that is not there is no mistake.
	for _, tt := range []struct{ dotenv, env, want string }{
		{"", "SECRETS_DIR=run", canary + "-dir"},
		{"SECRETS_DIR=run\n", "LEASE=1m", canary + "-dir"},
		{"GITHUB_TOKEN=from-dotenv\n", "SECRETS_DIR=run", "from-dotenv"},
		{"SECRETS_DIR=run\n", "GITHUB_TOKEN_FILE=token", canary},
		{"", "SECRETS_DIR=elsewhere", ""},
	} {
		if c, _, err = load(tt.dotenv, tt.env); err != nil || c.Secrets.Token() != tt.want {
			t.Errorf("Load(%q, .env %q).Token = %q, %v, want %q", tt.env, tt.dotenv, c.Secrets.Token(), err, tt.want)
		}
	}
	if _, _, err = load("", "SECRETS_DIR=denied"); err == nil || !strings.Contains(err.Error(), `WEBHOOK_SECRET_FILE names "denied/webhook-secret", which can't be read`) {
		t.Errorf("Load(a secret that can't be read) = %v, want it named", err)
	}

	if _, _, err = load("GITHUB_TOKEN=a\nGITHUB_TOKEN_FILE=token\n"); err == nil || err.Error() != "GITHUB_TOKEN and GITHUB_TOKEN_FILE are both set in .env: keep one" {
		t.Errorf("Load(both in .env): %v", err)
	}
	if _, _, err = load("PORT=3005\nWEBHOOK_SECRET='" + canary + "\nHOST=x\n"); err == nil || err.Error() != ".env line 2 is not NAME=value: put values with spaces, quotes or # into single quotes" {
		t.Errorf("Load(broken .env): %v", err)
	}
	if _, _, err = load("PORT=3005\n" + canary + " is my secret\n"); err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("Load(broken .env): %v, want line 2 and no secret", err)
	}
	if _, _, err = load("!"); err == nil || err.Error() != ".env can't be read: permission denied" {
		t.Errorf("Load(unreadable .env): %v", err)
	}
	_, warnings, err := load("WEBHOOK_SECRET=" + canary + "$x\n")
	if err != nil || len(warnings) != 1 || !strings.Contains(string(warnings[0]), "single quotes") || strings.Contains(string(warnings[0]), canary) {
		t.Errorf("Load(.env with $) = %q, %v, want one warning", warnings, err)
	}
}

func TestNearMisses(t *testing.T) {
	for _, tt := range []struct{ env, dotenv, want string }{
		{"WEBHOK_SECRET=" + canary, "", "WEBHOK_SECRET is not a variable of this program and is ignored: did you mean WEBHOOK_SECRET?"},
		{"GITHUB_TOKN=" + canary, "", "GITHUB_TOKN is not a variable of this program and is ignored: did you mean GITHUB_TOKEN?"},
		{"GITHUB_TOKEN_FIEL=" + canary, "", "GITHUB_TOKEN_FIEL is not a variable of this program and is ignored: did you mean GITHUB_TOKEN_FILE?"},
		{"github_token=" + canary, "", "github_token is not a variable of this program and is ignored: did you mean GITHUB_TOKEN?"},
		{"DATABASE_URI=x", "", "DATABASE_URI is not a variable of this program and is ignored: did you mean DATABASE_URL?"},
		{"", "PROT=3\n", ""},
		{"", "PORTS=3\n", "PORTS in .env is not a variable of this program and is ignored: did you mean PORT?"},
		{"PORTS=3", "", ""}, // the environment is full of other programs' short names
		{"SSL_CERT_FILE=x", "", ""},
		{"GITHUB_ACTIONS=true", "", ""},
		{"GITHUB_REF=x", "", ""},
		{"HOSTNAME=x", "", ""},
		{"POSTGRES_PASSWORD=" + canary, "", ""},
		{"HOME=/root", "POSTGRES_PASSWORD=x\n", ""},
	} {
		_, warnings, err := Load([]string{tt.env}, files{".env": tt.dotenv}.read, ".env")
		got := ""
		for _, w := range warnings {
			got += string(w)
		}
		if err != nil || got != tt.want {
			t.Errorf("Load(%q, .env %q) warns %q, %v, want %q", tt.env, tt.dotenv, got, err, tt.want)
		}
	}
}

func TestLoadWarns(t *testing.T) {
	for env, want := range map[string]string{
		"DASHBOARD_TOKEN=short":                    "DASHBOARD_TOKEN has fewer than 16 characters and can be guessed: make one with openssl rand -hex 32",
		"GITHUB_API_URL=http://ghe.example.com/v3": "GITHUB_API_URL is not https: tokens travel unencrypted",
		"GITHUB_API_URL=http://127.0.0.1:4000":     "",
	} {
		_, warnings, err := Load([]string{env}, files{}.read, "")
		got := ""
		for _, w := range warnings {
			got += string(w)
		}
		if err != nil || got != want {
			t.Errorf("Load(%s) warns %q, %v, want %q", env, got, err, want)
		}
	}
}

func TestSecretsReload(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret, dotenv := write("secret", "one-"+canary+"\n"), write(".env", "GITHUB_TOKEN=old\n")
	c, _, err := Load([]string{"WEBHOOK_SECRET_FILE=" + secret}, os.ReadFile, dotenv)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Secrets
	if changed, err := s.Reload(); err != nil || len(changed) != 0 {
		t.Errorf("Reload(nothing new) = %v, %v", changed, err)
	}

	// Rotation: the new one is added, GitHub is changed, the old one is removed.
	write("secret", "one-"+canary+"\ntwo-"+canary+"\n")
	write(".env", "GITHUB_TOKEN=new\nDASHBOARD_TOKEN="+canary+"\n")
	changed, err := s.Reload()
	if got := strings.Join(changed, " "); err != nil || got != "WEBHOOK_SECRET GITHUB_TOKEN DASHBOARD_TOKEN" {
		t.Errorf("Reload = %s, %v", got, err)
	}
	if got := fmt.Sprintf("%s", s.Webhook()); got != "[one-"+canary+" two-"+canary+"]" || s.Token() != "new" || s.Dashboard() != canary {
		t.Errorf("after Reload: %s %s %s", got, s.Token(), s.Dashboard())
	}

	// A bad file changes nothing, not even what is good in the other one.
	write("secret", "short\n")
	write(".env", "GITHUB_TOKEN=newer\nDASHBOARD_TOKEN="+canary+"\n")
	if _, err := s.Reload(); err == nil || !strings.Contains(err.Error(), "WEBHOOK_SECRET_FILE has 5 bytes") || strings.Contains(err.Error(), canary) {
		t.Errorf("Reload(bad file): %v", err)
	}
	if len(s.Webhook()) != 2 || s.Token() != "new" {
		t.Errorf("after a bad Reload: %d secrets, token %s", len(s.Webhook()), s.Token())
	}

	// Readers and reloads at the same time.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if len(s.Webhook()) == 0 || s.Token() == "" {
					t.Error("a reader saw no secrets")
				}
			}
		})
	}
	write("secret", "two-"+canary+"\n")
	for range 20 {
		if _, err := s.Reload(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if len(s.Webhook()) != 1 || s.Token() != "newer" {
		t.Errorf("after the last Reload: %d secrets, token %s", len(s.Webhook()), s.Token())
	}
}

// A secret whose file is gone for a moment stays in use, and so do the others: none may fall silent or open a door.
func TestSecretsThatAreGoneStayInUse(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"webhook-secret": "one-" + canary, "github-token": canary, "dashboard-token": canary}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := Load([]string{"SECRETS_DIR=" + dir}, os.ReadFile, "")
	if err != nil {
		t.Fatal(err)
	}
	s := c.Secrets
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.Rename(path, path+"-away"); err != nil {
			t.Fatal(err)
		}
		variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if _, err := s.Reload(); err == nil || !strings.Contains(err.Error(), variable+" is gone") || strings.Contains(err.Error(), canary) {
			t.Errorf("Reload without %s: %v", name, err)
		}
		if len(s.Webhook()) != 1 || s.Token() == "" || s.Dashboard() == "" {
			t.Errorf("Reload without %s: %d webhook secrets, a token %t, a sign-in token %t", name, len(s.Webhook()), s.Token() != "", s.Dashboard() != "")
		}
		if err := os.WriteFile(path, []byte(text+"-new"), 0o600); err != nil {
			t.Fatal(err)
		}
		if changed, err := s.Reload(); err != nil || len(changed) != 1 || changed[0] != variable {
			t.Errorf("Reload with a new %s = %v, %v", name, changed, err)
		}
	}
}

func TestWebhookSecrets(t *testing.T) {
	// Other variables' problems are no business of a command that signs.
	got, err := WebhookSecrets([]string{"PORT=x", "WEBHOOK_SECRET=" + canary}, files{}.read, ".env")
	if err != nil || len(got) != 1 || string(got[0]) != canary {
		t.Errorf("WebhookSecrets = %q, %v", got, err)
	}
	if _, err = WebhookSecrets([]string{"WEBHOOK_SECRET=short"}, files{}.read, ".env"); err == nil {
		t.Error("WebhookSecrets(short) = nil error")
	}
}

func TestRepositoriesAllowAll(t *testing.T) {
	if !Repositories(nil).Allows("any", "thing") {
		t.Error("no patterns must allow every repository")
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "": false, "0.0.0.0": false, "example.com": false, netip.IPv6Unspecified().String(): false} {
		if got := loopback(host); got != want {
			t.Errorf("loopback(%q) = %v, want %v", host, got, want)
		}
	}
}
