package dashboard

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/visitor"
)

const (
	cookieName  = "pr_manager_session"
	sessionLife = 7 * 24 * time.Hour
)

// private lets through who may look. With a token: whoever shows it, or a cookie made from it. Without one: only
// clients on this machine, since everybody else is the internet.
func (d *Dashboard) private(next handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		token := d.o.Token()
		if token == "" {
			if !onThisMachine(r) {
				return errLocalOnly
			}
			return next(w, r)
		}
		if c, err := r.Cookie(cookieName); err == nil && d.sessionFor(token).valid(c.Value, time.Now()) {
			return next(w, r)
		}
		given, ok := bearer(r)
		if !ok {
			return errSignIn
		}
		if err := d.checkToken(r, token, given); err != nil {
			return err
		}
		return next(w, r)
	}
}

// checkToken compares what a client gave with the token, and counts failures against its address. A client that
// failed too often is not compared at all, so that waiting is the only way on.
func (d *Dashboard) checkToken(r *http.Request, token, given string) error {
	addr := d.clientAddr(r)
	if wait := d.fails.Blocked(addr, time.Now()); wait > 0 {
		return tooMany(wait)
	}
	// Digests are compared: equal lengths whatever was given, so that not even the length can be timed.
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		now := time.Now()
		d.fails.Failed(addr, now)
		if n, ok := d.quiet.Pass(now); ok {
			d.log.Warn("dashboard sign-in failed", "client", addr.String(), telemetry.KeyCount, n)
		}
		return errWrongToken
	}
	return nil
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// forwardedHeaders tell that somebody else sent the request on: then the address is not the client's.
var forwardedHeaders = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server",
	"X-Real-Ip", "X-Client-Ip", "X-Original-Host", "Cf-Connecting-Ip", "True-Client-Ip", "Via",
}

// onThisMachine reports whether a request certainly comes from this machine: address and Host are loopback (the Host
// keeps out a foreign page whose name was made to point here), and nothing says that it was forwarded.
func onThisMachine(r *http.Request) bool {
	for _, h := range forwardedHeaders {
		if len(r.Header.Values(h)) > 0 {
			return false
		}
	}
	return visitor.Remote(r).IsLoopback() && loopbackHost(r.Host)
}

func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// clientAddr is the client's address, as far as trusted proxies tell it.
func (d *Dashboard) clientAddr(r *http.Request) netip.Addr {
	return visitor.Addr(r, d.o.TrustedProxies)
}

// secure reports whether the client speaks https, to us or to a trusted proxy.
func (d *Dashboard) secure(r *http.Request) bool {
	return r.TLS != nil || (visitor.Trusted(visitor.Remote(r), d.o.TrustedProxies) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"))
}

func (d *Dashboard) signIn(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	token := d.o.Token()
	if r.Method != http.MethodPost {
		if token == "" {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return nil
		}
		return d.signInPage(w, r, http.StatusOK, "", ownPath(r.URL.Query().Get("next")))
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		return &httpError{status: http.StatusBadRequest, text: "The form could not be read."}
	}
	if token == "" {
		return errLocalOnly
	}
	next := ownPath(r.PostForm.Get("next"))
	if err := d.checkToken(r, token, strings.TrimSpace(r.PostForm.Get("token"))); err != nil {
		he := asHTTP(err)
		if he.retry > 0 {
			w.Header().Set("Retry-After", seconds(he.retry))
		}
		return d.signInPage(w, r, he.status, he.text, next)
	}
	now := time.Now()
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: d.sessionFor(token).issue(now.Add(sessionLife)), Path: "/",
		MaxAge: int(sessionLife / time.Second), HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: d.secure(r),
	})
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

func (d *Dashboard) signOut(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: d.secure(r),
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// ownPath returns p when it is a path on this site, else "/": a sign-in must not send people elsewhere.
func ownPath(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t") ||
		strings.HasPrefix(p, "/sign-") {
		return "/"
	}
	return p
}

// A session makes and checks cookies for one token. The cookie is an expiry time and a signature under a key derived
// from the token, slowly, so that a stolen cookie does not give the token away; and every cookie dies with its token.
type session struct {
	token string
	key   []byte
}

func (d *Dashboard) sessionFor(token string) *session {
	if s := d.session.Load(); s != nil && s.token == token {
		return s
	}
	key, err := pbkdf2.Key(sha256.New, token, []byte("github-pr-manager dashboard session 1"), 100_000, 32)
	if err != nil {
		// Unreachable unless the key length is refused. A key of zeros would let everybody in, so let nobody.
		return &session{}
	}
	s := &session{token, key}
	d.session.Store(s)
	return s
}

func (s *session) mac(expiry []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(expiry)
	return h.Sum(nil)
}

func (s *session) issue(until time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, s.mac(b)...))
}

func (s *session) valid(cookie string, now time.Time) bool {
	b, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(b) != 8+sha256.Size || len(s.key) == 0 || !hmac.Equal(b[8:], s.mac(b[:8])) {
		return false
	}
	return now.Unix() < int64(binary.BigEndian.Uint64(b[:8]))
}

func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
