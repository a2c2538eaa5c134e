package app

import (
	"crypto/tls"
	"fmt"
	"log"
	"log/slog"
	"os"
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

// quietLog takes what net/http has to say about broken connections: anybody on the network can cause it, so it is
// worth a debug line and no more.
func quietLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
