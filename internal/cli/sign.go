package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/webhook"
)

const secretHelp = `The secret comes from --secret-file, or else from WEBHOOK_SECRET or WEBHOOK_SECRET_FILE (environment or .env), never
from an argument: every user of a machine can read arguments. Of several secrets the first one signs.`

// secret returns what signs: the first secret of the file, or of the configuration.
func (w *world) secret(file string) (string, error) {
	environ, dotenv := w.environ, dotenvFile
	if file != "" {
		environ, dotenv = []string{"WEBHOOK_SECRET_FILE=" + file}, ""
	}
	secrets, err := app.WebhookSecrets(environ, os.ReadFile, dotenv)
	if err != nil {
		return "", err
	}
	if len(secrets) == 0 {
		return "", usagef("there is no secret to sign with: set WEBHOOK_SECRET, or name a file with --secret-file")
	}
	return string(secrets[0]), nil
}

func (w *world) signCommand() *cobra.Command {
	var (
		secretFile string
		asJSON     bool
	)
	cmd := &cobra.Command{
		Use:   "sign [FILE|-]",
		Short: "Signs a payload as GitHub does",
		Long: `Prints the X-Hub-Signature-256 of a payload: sha256= and the HMAC over exactly the bytes of FILE, or of standard
input.

` + secretHelp,
		Example: `  github-pr-manager sign payload.json
  printf '{"zen":"Keep it simple."}' | WEBHOOK_SECRET=… github-pr-manager sign`,
		Args: arguments(0, 1, "one file at most"),
		RunE: func(_ *cobra.Command, args []string) error {
			secret, err := w.secret(secretFile)
			if err != nil {
				return err
			}
			body, err := w.input(append(args, "-")[0])
			if err != nil {
				return err
			}
			signature := webhook.Sign(secret, body)
			if asJSON {
				return w.json(map[string]any{"signature": signature, "bytes": len(body)})
			}
			w.printf("%s\n", signature)
			return nil
		},
	}
	cmd.Flags().StringVar(&secretFile, "secret-file", "", "read the secret from this `file`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// A sending is one webhook to send.
type sending struct {
	url        string
	event      string
	delivery   string
	secretFile string
	form       bool
	timeout    time.Duration
	asJSON     bool
}

func (w *world) sendCommand() *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send [FILE|-]",
		Short: "Sends a signed webhook, as GitHub would",
		Long: `Signs the payload in FILE, or on standard input with -, and posts it to a service's /webhook. Without FILE it sends a
ping: the shortest test of a secret and of the way to the service. Prints the answer; the exit code is 0 for a 2xx.

` + secretHelp,
		Example: `  github-pr-manager send                                               # a ping to this machine's service
  WEBHOOK_SECRET=$NEW_SECRET github-pr-manager send --url https://pulls.example.com/webhook
  github-pr-manager send --event pull_request --form payload.json
  github-pr-manager send --delivery 72d3162e-cc78-11e3-81ab-4c9367dc0958 payload.json   # the same id again: duplicate`,
		Args: arguments(0, 1, "one file at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && cmd.Flags().Changed("event") && s.event != "ping" {
				return usagef("a %s needs a payload: name its file, or - for standard input", s.event)
			}
			return w.send(cmd.Context(), s, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.url, "url", "", "the `URL` of the webhook (default http://127.0.0.1:$PORT/webhook)")
	f.StringVar(&s.event, "event", "ping", "GitHub's `name` of the event")
	f.StringVar(&s.delivery, "delivery", "", "the delivery's `id` (default a new one)")
	f.StringVar(&s.secretFile, "secret-file", "", "read the secret from this `file`")
	f.BoolVar(&s.form, "form", false, "send as application/x-www-form-urlencoded with payload=")
	f.DurationVar(&s.timeout, "timeout", 10*time.Second, "how long to wait for the answer; GitHub waits 10s")
	f.BoolVar(&s.asJSON, "json", false, "print JSON")
	return cmd
}

func (w *world) send(ctx context.Context, s sending, args []string) error {
	if s.delivery == "" {
		s.delivery = newID()
	}
	for _, f := range []struct{ name, value string }{{"event", s.event}, {"delivery", s.delivery}} {
		if f.value == "" || strings.ContainsFunc(f.value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return usagef("--%s is %q: want one word", f.name, f.value)
		}
	}
	if s.timeout <= 0 {
		return usagef("--timeout is %s: want a positive duration such as 10s", s.timeout)
	}
	target, err := w.target(s.url, "/webhook")
	if err != nil {
		return err
	}
	secret, err := w.secret(s.secretFile)
	if err != nil {
		return err
	}
	body := []byte(`{"zen":"Keep it logically awesome.","hook_id":0}`)
	if len(args) > 0 {
		if body, err = w.input(args[0]); err != nil {
			return err
		}
	}
	contentType := "application/json"
	if s.form {
		body = []byte(url.Values{"payload": {string(body)}}.Encode())
		contentType = "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return usagef("--url can't be used: want http://HOST:PORT/webhook")
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", program+"/"+ThisBuild().Version)
	req.Header.Set("X-GitHub-Event", s.event)
	req.Header.Set("X-GitHub-Delivery", s.delivery)
	req.Header.Set("X-Hub-Signature-256", webhook.Sign(secret, body))
	start := time.Now()
	status, answer, err := ask(ctx, req, s.timeout)
	if err != nil {
		return err
	}
	if s.asJSON {
		err = w.json(map[string]any{
			"status": status, "body": rawOrText(answer), "event": s.event, "delivery_id": s.delivery,
			"milliseconds": time.Since(start).Milliseconds(),
		})
	} else {
		w.printf("%d %s\n%s\n", status, http.StatusText(status), telemetry.Printable(strings.TrimSpace(string(answer))))
	}
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("the webhook was not accepted: %d %s%s", status, http.StatusText(status), sendHint(status))
	}
	return err
}

// sendHint says what an answer usually means.
func sendHint(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return ": the service has another secret than the one that signed"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return ": the URL should end in /webhook"
	case http.StatusServiceUnavailable:
		return ": the service can't keep deliveries now; its /ready says why"
	}
	if status/100 == 3 {
		return ": GitHub follows no redirects; use the URL that it leads to"
	}
	return ""
}

// target returns the URL to ask: as given, or this machine's service.
func (w *world) target(given, path string) (string, error) {
	if given == "" {
		c, err := w.config()
		if err != nil {
			return "", err
		}
		return localURL(c) + path, nil
	}
	u, err := url.Parse(given)
	if err != nil || !webAddress(given) {
		return "", usagef("--url is not a web address: want http://HOST:PORT%s", path)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = path
	}
	return u.String(), nil
}

// localURL is where this machine's service listens.
func localURL(c app.Config) string {
	host, scheme := c.Host, "http"
	if host == "" || host == "0.0.0.0" {
		host = "127.0.0.1"
	} else if host == "::" {
		host = "::1"
	}
	if c.TLSCertFile != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(c.Port))
}

// ask sends one request and returns the answer's beginning. It follows no redirect and uses no proxy for this machine.
func ask(ctx context.Context, req *http.Request, timeout time.Duration) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	if ip := net.ParseIP(req.URL.Hostname()); ip != nil && ip.IsLoopback() {
		// A certificate names the service as others reach it, not 127.0.0.1, and nobody sits between us and ourselves.
		transport.TLSClientConfig.InsecureSkipVerify = true
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		where := req.URL.Scheme + "://" + req.URL.Host
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			return 0, nil, fmt.Errorf("nothing listens at %s: is the service running, and on that port?", where)
		case errors.Is(err, context.DeadlineExceeded):
			return 0, nil, fmt.Errorf("%s did not answer within %s", where, timeout)
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, which may hold more than its host
		}
		return 0, nil, fmt.Errorf("can't ask %s: %w", where, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return 0, nil, fmt.Errorf("the answer of %s://%s broke off: %w", req.URL.Scheme, req.URL.Host, err)
	}
	return resp.StatusCode, body, nil
}

// rawOrText returns JSON as it is and anything else as text.
func rawOrText(body []byte) any {
	if json.Valid(body) && len(body) > 0 {
		return json.RawMessage(body)
	}
	return string(body)
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
