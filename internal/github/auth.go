package github

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	gh "github.com/google/go-github/v92/github"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

const (
	noCredentials = "there are no credentials for GitHub: set GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_PRIVATE_KEY"

	// scopeJWT is the limiter of what the App asks as itself. GitHub counts it apart from the installations.
	scopeJWT pull.Scope = "app"

	// GitHub takes a JWT of at most ten minutes and none that was issued in its future: the past minute and the
	// spare one are for clocks that differ.
	jwtBackdate = time.Minute
	jwtLife     = 8 * time.Minute
	// jwtUse is for how long one is used.
	jwtUse = 4 * time.Minute
	// tokenSpare is how long before its end an installation's token is replaced.
	tokenSpare = 5 * time.Minute
)

// parseKey reads an App's private key. Its errors never repeat any of the key.
func parseKey(text []byte) (*rsa.PrivateKey, error) {
	key, err := jwt.ParseRSAPrivateKeyFromPEM(bytes.ReplaceAll(bytes.TrimSpace(text), []byte(`\n`), []byte("\n")))
	switch {
	case errors.Is(err, jwt.ErrKeyMustBePEMEncoded):
		return nil, errors.New(`GITHUB_PRIVATE_KEY: this is not PEM: paste the whole file that GitHub gave you, from "-----BEGIN RSA PRIVATE KEY-----" to "-----END RSA PRIVATE KEY-----" (line ends may be written as \n)`)
	case errors.Is(err, jwt.ErrNotRSAPrivateKey):
		return nil, errors.New("GITHUB_PRIVATE_KEY: this is not an RSA key; GitHub Apps sign with RSA")
	case err != nil:
		return nil, errors.New("GITHUB_PRIVATE_KEY: the PEM block does not hold an RSA private key in PKCS #1 or PKCS #8; it may have been cut off, or is protected by a passphrase")
	}
	return key, nil
}

// A session is the current token of one installation. Whoever holds the turn may replace it; others wait for the
// outcome instead of asking GitHub as well.
type session struct {
	turn  chan struct{}
	token string
	until time.Time // no longer handed out from then on
}

func (c *Client) session(installation int64) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[installation]
	if s == nil {
		s = &session{turn: make(chan struct{}, 1)}
		c.sessions[installation] = s
	}
	return s
}

// credentials returns the secret to sign a request of the scope with. rejected is one that GitHub has just refused: an
// installation's token is then replaced.
func (c *Client) credentials(ctx context.Context, scope pull.Scope, on, rejected string) (string, *pull.Fault) {
	installation := scope.Installation()
	if installation == 0 {
		if t := strings.TrimSpace(c.token()); scope == pull.ScopeToken && t != "" {
			return t, nil
		}
		return "", &pull.Fault{Class: pull.FaultAuth, Op: on, Message: noCredentials}
	}
	if !c.AsApp() {
		return "", &pull.Fault{Class: pull.FaultAuth, Op: on, Message: fmt.Sprintf("installation %d of a GitHub App is asked for, but GITHUB_APP_ID and GITHUB_PRIVATE_KEY are not set", installation)}
	}
	s := c.session(installation)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", notSent(on, ctx.Err())
	}
	if s.token != "" && s.token != rejected && time.Now().Before(s.until) {
		return s.token, nil
	}
	s.token = ""
	var got gh.InstallationToken
	f := c.asApp(ctx, call{
		op: "installation.token", on: on, method: http.MethodPost,
		url:    c.path("app", "installations", strconv.FormatInt(installation, 10), "access_tokens"),
		accept: reading(&got),
	})
	if f == nil && got.GetToken() == "" {
		f = &pull.Fault{Class: pull.FaultUnavailable, Op: on, Message: "GitHub's answer held no installation token"}
	}
	if f != nil {
		if f.Class == pull.FaultGone || f.Class == pull.FaultRefused {
			// Uninstalled or suspended: nothing there is ours to see until the owner changes that.
			f.Class, f.Status, f.Until = pull.FaultGone, 0, time.Time{} // the status was about the token, not about what was asked for
			f.Message = fmt.Sprintf("installation %d of the App is not usable (%s)", installation, f.Message)
		}
		return "", f
	}
	// The lifetime is counted by GitHub's own clock, so that ours may be wrong.
	now := time.Now()
	life := min(got.GetExpiresAt().Sub(now.Add(c.Skew())), time.Hour)
	s.token, s.until = got.GetToken(), now.Add(life-tokenSpare)
	return s.token, nil
}

// A signature is a JWT of the App: signing takes a hundred times as long as all else in a request, and one does for many.
type signature struct {
	jwt  string
	key  [sha256.Size]byte // the PEM that it was made with
	made time.Time         // by the wall clock, which may be set
}

// sign returns what the App shows to GitHub as itself.
func (c *Client) sign() (string, error) {
	text := c.appKey()
	digest, now := sha256.Sum256(text), time.Now().Round(0)
	c.mu.Lock()
	s := c.signature
	c.mu.Unlock()
	if age := now.Sub(s.made); s.key == digest && age >= 0 && age < jwtUse {
		return s.jwt, nil
	}
	key, err := parseKey(text)
	if err != nil {
		return "", err
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer:    strconv.FormatInt(c.appID, 10),
		IssuedAt:  jwt.NewNumericDate(now.Add(-jwtBackdate)),
		ExpiresAt: jwt.NewNumericDate(now.Add(jwtLife)),
	}).SignedString(key)
	if err != nil {
		return "", errors.New("the App's key can't sign: is it shorter than 2048 bits?")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signature = signature{token, digest, now}
	return token, nil
}

// asApp sends a request signed with the App's own key.
func (c *Client) asApp(ctx context.Context, q call) *pull.Fault {
	token, err := c.sign()
	if err != nil {
		return &pull.Fault{Class: pull.FaultAuth, Op: q.on, Message: err.Error()}
	}
	f := c.follow(ctx, scopeJWT, q, token)
	if f != nil && f.Class == pull.FaultAuth {
		if skew := c.Skew().Round(time.Second); skew.Abs() > jwtBackdate {
			f.Message += fmt.Sprintf(" (this machine's clock differs from GitHub's by %s: set it right)", skew.Abs())
		} else {
			f.Message += " (do GITHUB_APP_ID and GITHUB_PRIVATE_KEY belong to the same App?)"
		}
	}
	return f
}

func (c *Client) installationOf(ctx context.Context, on, owner, repo string) (int64, *pull.Fault) {
	var got gh.Installation
	f := c.asApp(ctx, call{
		op: "installation.find", on: on, method: http.MethodGet,
		url: c.path("repos", owner, repo, "installation"), accept: reading(&got),
	})
	if f != nil {
		return 0, f
	}
	if got.GetID() <= 0 {
		return 0, &pull.Fault{Class: pull.FaultUnavailable, Op: on, Message: "GitHub's answer held no installation id"}
	}
	return got.GetID(), nil
}
