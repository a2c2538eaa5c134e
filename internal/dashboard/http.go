package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A handlerFunc answers, or returns an error that route turns into an answer. It must not have written before.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

// An httpError is an error as a client sees it: a status and one plain sentence.
type httpError struct {
	status int
	title  string
	text   string
	retry  time.Duration
	signIn bool // answered with the sign-in form
}

func (e *httpError) Error() string { return e.text }

var (
	errNoPage    = &httpError{status: http.StatusNotFound, title: "Nothing here", text: "There is no page at this address."}
	errNoPull    = &httpError{status: http.StatusNotFound, title: "Not seen yet", text: "The service has not looked at this pull request. It will when GitHub sends a webhook about it."}
	errLocalOnly = &httpError{
		status: http.StatusForbidden, title: "This machine only",
		text: "No sign-in is set up, so these pages answer on the service's own machine only. Set DASHBOARD_TOKEN to open them to others.",
	}
	errSignIn = &httpError{
		status: http.StatusUnauthorized, title: "Sign in", signIn: true,
		text: "Sign in first: send the dashboard token as \"Authorization: Bearer …\", or use the form at /sign-in.",
	}
	errWrongToken = &httpError{status: http.StatusUnauthorized, title: "Sign in", text: "That is not the dashboard's token.", signIn: true}
	errForeign    = &httpError{
		status: http.StatusForbidden, title: "From another site",
		text: "The form was sent from another site. Open the page at the address in PUBLIC_URL and try again.",
	}
	errUnavailable = &httpError{
		status: http.StatusServiceUnavailable, title: "The database does not answer", retry: 5 * time.Second,
		text: "What the service knows can't be read at the moment. Webhooks that can't be kept are refused, so none is lost; see /health.",
	}
)

func tooMany(wait time.Duration) error {
	return &httpError{
		status: http.StatusTooManyRequests, title: "Too many attempts", retry: wait,
		text: fmt.Sprintf("Too many failed sign-ins from your address. Try again in %s seconds.", seconds(wait)),
	}
}

func asHTTP(err error) *httpError {
	var he *httpError
	if errors.As(err, &he) {
		return he
	}
	return &httpError{status: http.StatusInternalServerError, title: "Something broke", text: "The page could not be made. The service's log says why."}
}

// csp forbids everything that the pages don't use. Nothing inline, nothing from elsewhere, no frames around them.
const csp = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard is around everything: security headers, protection of forms, and panics as pages.
func (d *Dashboard) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not no-referrer: browsers then send "Origin: null" with our own forms, which is what a forgery looks like.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			d.log.Error("a page panicked", "path", r.URL.Path, telemetry.KeyErr, fmt.Sprint(v), "stack", string(debug.Stack()))
			d.fail(w, r, errors.New("panic"))
		}()
		next.ServeHTTP(w, r)
	})
}

// route turns a handlerFunc into a handler for the methods given (HEAD comes with GET; none given: every method).
func (d *Dashboard) route(h handlerFunc, methods ...string) http.Handler {
	allow := strings.Join(methods, ", ")
	if slices.Contains(methods, http.MethodGet) {
		allow += ", HEAD"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if len(methods) > 0 && !slices.Contains(methods, method) {
			w.Header().Set("Allow", allow)
			d.fail(w, r, &httpError{status: http.StatusMethodNotAllowed, title: "Wrong method", text: "This address answers " + allow + " only."})
			return
		}
		if err := d.csrf.Check(r); err != nil {
			d.fail(w, r, errForeign)
			return
		}
		if err := h(w, r); err != nil {
			d.fail(w, r, err)
		}
	})
}

// fail answers with an error: the sign-in form or a page to a browser, JSON to a program.
func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, err error) {
	he := asHTTP(err)
	if he.status == http.StatusInternalServerError {
		d.log.Error("page failed", "path", r.URL.Path, telemetry.KeyErr, err)
	}
	if he.retry > 0 {
		w.Header().Set("Retry-After", seconds(he.retry))
	}
	if he.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="github-pr-manager"`)
	}
	w.Header().Set("Cache-Control", "no-store")
	if !wantsHTML(r) {
		writeJSON(w, he.status, map[string]string{"error": he.text})
		return
	}
	if he.signIn {
		text := ""
		if he == errWrongToken {
			text = he.text
		}
		err = d.signInPage(w, r, he.status, text, ownPath(r.URL.RequestURI()))
	} else {
		err = d.render(w, he.status, "error.html", errorPage{
			frame: d.frame(r, he.title), Status: he.status, Text: he.text, Local: he == errLocalOnly,
		})
	}
	if err != nil {
		d.log.Error("error page failed", "path", r.URL.Path, telemetry.KeyErr, err)
		http.Error(w, he.text, he.status)
	}
}

// wantsHTML reports whether the client is a person: it asks for HTML, and not for an address made for programs.
func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") &&
		!strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/webhook")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		http.Error(w, `{"error":"the answer could not be encoded"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may be gone
}

// cors lets the pages of one other origin read an address, with credentials, and answers preflights. A program without
// an Origin gets the same headers, so that curl shows what a browser would see.
func (d *Dashboard) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", d.o.Origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Add("Vary", "Origin")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "Authorization, Cache-Control, Content-Type, Last-Event-ID")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
