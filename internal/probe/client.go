package probe

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// answerLimit is how much of an answer is read: more than any of ours has.
const answerLimit = 8 << 20

// An answer is what came back for one request.
type answer struct {
	status int
	header http.Header
	body   []byte
	sent   time.Time // when the request left, and when the answer's head was here
	came   time.Time
}

// text is an answer in a few words: what it says of itself, on one line.
func (a answer) text() string {
	var e struct {
		Error string `json:"error"`
	}
	words := string(a.body)
	if json.Unmarshal(a.body, &e) == nil && e.Error != "" {
		words = e.Error
	}
	words = strings.Join(strings.Fields(words), " ")
	if r := []rune(words); len(r) > 200 {
		words = string(r[:200]) + "…"
	}
	if words == "" {
		return fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	}
	return fmt.Sprintf("%d %s", a.status, words)
}

// header is one header of a request.
type header struct{ name, value string }

// ask sends one request and reads its answer. The error is a sentence for people.
func (v *Visit) ask(ctx context.Context, method, path string, body []byte, headers ...header) (answer, error) {
	ctx, done := context.WithTimeout(ctx, v.Timeout)
	defer done()
	var a answer
	res, err := v.open(ctx, method, path, body, &a, headers...)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, answerLimit)); err != nil {
		return a, fmt.Errorf("the answer to %s %s broke off", method, path)
	}
	return a, nil
}

// open sends one request and returns the answer with its body still to come, and its head in a.
func (v *Visit) open(ctx context.Context, method, path string, body []byte, a *answer, headers ...header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, v.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s is not the address of a service", v.URL)
	}
	req.Header.Set("User-Agent", v.Agent)
	for _, h := range headers {
		req.Header.Set(h.name, h.value)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = v.tls(req.URL.Hostname())
	transport.DisableKeepAlives = true // each request may go to another replica
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a.sent = time.Now()
	res, err := client.Do(req)
	a.came = time.Now()
	if err != nil {
		return nil, v.plain(ctx, req.URL, err)
	}
	a.status, a.header = res.StatusCode, res.Header
	return res, nil
}

// tls verifies a certificate as everybody does. On this machine's own address only its dates count: it names the service
// as others reach it, and nobody sits between us and ourselves.
func (s Service) tls(host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: true, // verified below
		VerifyConnection: func(c tls.ConnectionState) error { return s.verify(host, c.PeerCertificates, time.Now()) },
	}
}

func (s Service) verify(host string, chain []*x509.Certificate, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("the other end shows no certificate")
	}
	leaf := chain[0]
	if own(host) {
		if now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
			return x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired}
		}
		return nil
	}
	o := x509.VerifyOptions{DNSName: host, Roots: s.Roots, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(o)
	return err
}

// own reports whether a host is this machine.
func own(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// plain says what the failure of a request means, without the path, which may hold more than it should.
func (v *Visit) plain(ctx context.Context, u *url.URL, err error) error {
	where := u.Scheme + "://" + u.Host
	var (
		invalid  x509.CertificateInvalidError
		stranger x509.UnknownAuthorityError
		name     x509.HostnameError
		record   tls.RecordHeaderError
		dns      *net.DNSError
	)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s", where)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && time.Now().Before(invalid.Cert.NotBefore):
		return fmt.Errorf("the certificate of %s is not valid before %s UTC", u.Host, stamp(invalid.Cert.NotBefore))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of %s has expired, at %s UTC", u.Host, stamp(invalid.Cert.NotAfter))
	case errors.As(err, &stranger):
		return fmt.Errorf("the certificate of %s is signed by an authority that is not known here", u.Host)
	case errors.As(err, &name):
		return fmt.Errorf("the certificate of %s is for another name", u.Host)
	case errors.As(err, &record):
		return fmt.Errorf("%s does not speak TLS", where)
	case errors.As(err, &dns):
		return fmt.Errorf("the name %s is not known here", u.Hostname())
	case ctx.Err() != nil && context.Cause(ctx) == context.Canceled:
		return errors.New("the test was stopped")
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer within %s", where, v.Timeout)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%s closed the connection without an answer", where)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("%s can't be asked: %w", where, err)
}

// unreachable says what to do about an answer that did not come.
func unreachable(err error) string {
	s := err.Error()
	switch {
	case strings.Contains(s, "nothing listens"):
		return "is the service running, and on that port? --url names another one"
	case strings.Contains(s, "has expired"):
		return "renew the certificate: GitHub delivers nothing to an expired one"
	case strings.Contains(s, "not known here") && strings.Contains(s, "authority"):
		return "name the authority's file with --ca, or SSL_CERT_FILE"
	case strings.Contains(s, "another name"):
		return "use the address that the certificate is for, or get one for this address"
	case strings.Contains(s, "does not speak TLS"):
		return "use http:// for this port"
	case strings.Contains(s, "name"):
		return "is the address written as it should be?"
	}
	return "look at the service and at what is between here and there"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// sign is what GitHub puts into X-Hub-Signature-256.
func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// newID is a new delivery's id, a GUID as GitHub makes them.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
