package doctor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// askTimeout is how long the service, and its public address, may take to answer.
const askTimeout = 5 * time.Second

// certificateSoon is how long before its end a certificate is worth a warning.
const certificateSoon = 14 * 24 * time.Hour

func plainClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return &http.Client{Timeout: askTimeout, Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// health asks /health, and reports whether it is this service that answers, with its certificate if there is one.
func (e *examination) health(ctx context.Context, base string, anyCertificate bool) (ours bool, state *tls.ConnectionState, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/health", nil)
	if err != nil {
		return false, nil, err
	}
	client := *e.HTTP
	if anyCertificate { // it is for its public name, and this is not it
		if t, ok := client.Transport.(*http.Transport); ok {
			t = t.Clone()
			t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // nothing is sent or believed
			client.Transport = t
		}
	}
	res, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return false, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return false, res.TLS, nil
	}
	var answer struct {
		Status string                     `json:"status"`
		Checks map[string]json.RawMessage `json:"checks"`
	}
	return json.Unmarshal(text, &answer) == nil && answer.Status != "" && answer.Checks != nil, res.TLS, nil
}

// port looks at the port that the service listens on, or is to listen on.
func (e *examination) port(ctx context.Context) {
	s := e.Settings
	if s.Port == 0 {
		e.skip("port", "", "PORT is 0: the service takes any that is free")
		return
	}
	host := s.Host
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if s.TLS {
		scheme = "https"
	}
	address := net.JoinHostPort(host, strconv.Itoa(s.Port))
	ours, _, err := e.health(ctx, scheme+"://"+address, true)
	switch {
	case err == nil && ours:
		who := ""
		if h, ok := HolderOf(s.Port); ok {
			who = ", " + h.String()
		}
		e.ok("port", "", "the service answers on port %d%s", s.Port, who)
	case errors.Is(err, syscall.ECONNREFUSED):
		e.ok("port", "", "port %d is free: no service runs here now", s.Port)
	default:
		e.fail("port", "", PortTaken(s.Port), "end the other program, or choose another port")
	}
}

// address looks at the address under which GitHub and people are to reach the service.
func (e *examination) address(ctx context.Context) {
	u, err := url.Parse(e.Settings.PublicURL)
	if err != nil || u.Hostname() == "" {
		e.fail("public address", "", "PUBLIC_URL is no address", "set it to where people reach the pages, such as https://pulls.example.com")
		return
	}
	if local(u.Hostname()) {
		e.warn("public address", "", "PUBLIC_URL is "+u.String()+", which leads to the machine of whoever follows it: GitHub can't reach that, nor can people", "set PUBLIC_URL to where they reach the service")
		return
	}
	ours, state, err := e.health(ctx, u.String(), false)
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(err, &bad):
		e.fail("public address", "", fmt.Sprintf("the certificate of %s can't be trusted: %v", u.Host, bad.Err), "renew it, or serve the whole chain")
		return
	case err != nil:
		e.warn("public address", "", fmt.Sprintf("%s can't be reached from here: %v", u, err), "see DNS, the load balancer and its firewall; from outside it may be different")
		return
	case !ours:
		e.warn("public address", "", fmt.Sprintf("what answers at %s is not this service", u), "see where the load balancer sends /health, /webhook and /")
	default:
		e.ok("public address", "", "the service answers at %s", u)
	}
	switch {
	case state == nil || len(state.PeerCertificates) == 0:
		e.warn("certificate", "", "PUBLIC_URL is not https: secrets and sign-ins travel unencrypted", "put TLS in front, or set TLS_CERT_FILE and TLS_KEY_FILE")
	default:
		end := state.PeerCertificates[0].NotAfter
		if left := time.Until(end); left < certificateSoon {
			e.warn("certificate", "", fmt.Sprintf("it ends on %s, in %d days", end.UTC().Format("2006-01-02"), int(left.Hours()/24)), "renew it")
		} else {
			e.ok("certificate", "", "it is good until %s", end.UTC().Format("2006-01-02"))
		}
	}
}

// local reports whether a host is the machine of whoever asks.
func local(host string) bool {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}
