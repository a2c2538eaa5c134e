package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A certificate is the pair of files that HTTPS is served with. A renewed file is picked up within a minute, or at
// once by SIGHUP; a broken one leaves the last good pair in use.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	stamp  time.Time // of the newer file
	looked time.Time
}

// certificateLook is how often the files' times are compared.
const certificateLook = time.Minute

// loadCertificate reads the pair; without files it returns nil, which serves plain HTTP.
func loadCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	if cert == "" {
		return nil, nil
	}
	c := &certificate{cert: cert, key: key, log: log}
	return c, c.reload()
}

// reload reads the files again. A nil certificate has nothing to reload.
func (c *certificate) reload() error {
	if c == nil {
		return nil
	}
	stamp := c.stamps()
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", c.cert, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pair, c.stamp, c.looked = &pair, stamp, time.Now()
	return nil
}

func (c *certificate) stamps() time.Time {
	var newest time.Time
	for _, name := range []string{c.cert, c.key} {
		if fi, err := os.Stat(name); err == nil && fi.ModTime().After(newest) {
			newest = fi.ModTime()
		}
	}
	return newest
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	stale := time.Since(c.looked) > certificateLook
	if stale {
		c.looked = time.Now()
	}
	pair, stamp := c.pair, c.stamp
	c.mu.Unlock()
	if !stale || c.stamps().Equal(stamp) {
		return pair, nil
	}
	if err := c.reload(); err != nil {
		c.log.Error("the renewed certificate can't be used, the old one stays in use", telemetry.KeyErr, err)
		return pair, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pair, nil
}

// expiry is when the pair expires that is served; a nil certificate never does.
func (c *certificate) expiry() time.Time {
	if c == nil {
		return time.Time{}
	}
	pair, _ := c.get(nil) // which also picks up a renewed file when nobody has come for a while
	return pair.Leaf.NotAfter
}

// watchedCertificates are files of whoever ends TLS in front of the service. They are not served here: what matters is
// when the first of them expires, because GitHub then delivers nothing more and nobody here would notice.
type watchedCertificates struct {
	paths []string // of PEM files, or of directories of them
	log   *slog.Logger

	mu      sync.Mutex
	known   map[string]time.Time // when what is at each path expires, as far as it could be read
	trouble bool                 // with one of them
	looked  time.Time
}

// look returns when the first of them expires, and whether one of them can't be read. The files are read again every
// minute, so that a renewal is seen.
func (w *watchedCertificates) look() (first time.Time, trouble bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.looked) >= certificateLook {
		w.looked = time.Now()
		w.read()
	}
	for _, path := range w.paths {
		first = earlier(first, w.known[path])
	}
	return first, w.trouble
}

// read reads all of them. What can't be read expires when it did: taking the file away renews nothing.
func (w *watchedCertificates) read() {
	said := w.trouble
	w.trouble = false
	for _, path := range w.paths {
		leaves, err := readLeaves(path)
		if err != nil {
			if w.trouble = true; !said {
				w.log.Error("a certificate of CERTIFICATE_FILES is missing or can't be read", telemetry.KeyErr, err)
			}
			continue
		}
		var first time.Time
		for _, leaf := range leaves {
			first = earlier(first, leaf.NotAfter)
		}
		if w.known == nil {
			w.known = map[string]time.Time{}
		}
		w.known[path] = first
	}
}

// forget has the files read again at the next look.
func (w *watchedCertificates) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = time.Time{}
}

// readLeaves returns the first certificate of a PEM file, or of each file in a directory that holds one.
func readLeaves(path string) ([]*x509.Certificate, error) {
	entries, err := os.ReadDir(path)
	if err != nil { // no directory: ReadFile says what else is wrong
		leaf, err := readLeaf(path)
		return []*x509.Certificate{leaf}, err
	}
	var leaves []*x509.Certificate
	for _, e := range entries {
		leaf, err := readLeaf(filepath.Join(path, e.Name()))
		switch {
		case err == nil:
			leaves = append(leaves, leaf)
		case errors.Is(err, errNoCertificate): // a key of its own, a note
		case e.Type().IsRegular():
			return nil, err
		}
	}
	if len(leaves) == 0 {
		return nil, fmt.Errorf("no file in the directory %s holds a certificate", path)
	}
	return leaves, nil
}

var errNoCertificate = errors.New("it holds no certificate in PEM")

func readLeaf(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("read the certificate in %s: %w", path, err)
			}
			return leaf, nil
		}
	}
	return nil, fmt.Errorf("read the certificate in %s: %w", path, errNoCertificate)
}

// earlier is the earlier of two moments; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// certificateExpiry is when the first certificate expires, in unix seconds; 0 while none is known.
func (a *App) certificateExpiry() float64 {
	watched, _ := a.watched.look()
	first := earlier(a.certs.expiry(), watched)
	if first.IsZero() {
		return 0
	}
	return float64(first.Unix())
}

// renewWithin is how long before it expires a certificate ought to have been renewed. Who renews by machine does so a
// month before, so something has failed for two weeks by then.
const renewWithin = 14 * 24 * time.Hour

// certificateCheck warns of a certificate that soon expires: smoke and readiness tests fail on warnings.
func (a *App) certificateCheck(now time.Time) telemetry.Check {
	watched, trouble := a.watched.look()
	first := earlier(a.certs.expiry(), watched)
	left := first.Sub(now)
	warning := func(format string, args ...any) telemetry.Check {
		return telemetry.Check{Status: telemetry.CheckWarning, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case !first.IsZero() && left <= 0:
		return warning("the certificate expired %s ago, at %s UTC: renew it", age(-left), first.UTC().Format("2006-01-02 15:04"))
	case !first.IsZero() && left < renewWithin:
		return warning("the certificate expires in %s, at %s UTC: renew it", age(left), first.UTC().Format("2006-01-02 15:04"))
	case trouble:
		return warning("a certificate of CERTIFICATE_FILES is missing or can't be read: the log says which and why")
	case first.IsZero():
		return warning("no certificate is known")
	}
	return telemetry.Check{Status: telemetry.CheckOK, Detail: fmt.Sprintf("the certificate is good for %s", age(left))}
}

// age is a span of time as people say it.
func age(d time.Duration) string {
	switch hours := int(d.Hours()); {
	case hours >= 48:
		return fmt.Sprintf("%d days", hours/24)
	case hours >= 2:
		return fmt.Sprintf("%d hours", hours)
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}

// quietLog takes what net/http has to say about broken connections: anybody on the network can cause it, so it is
// worth a debug line and no more.
func quietLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
