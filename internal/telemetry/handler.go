package telemetry

import (
	"bytes"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves GET /metrics: the Prometheus text format, and OpenMetrics to a scraper that asks for it. A value that
// can't be collected is logged and left out; the others are still served, since one broken gauge must not blind an
// operator.
//
// An answer is put together before it is sent: whoever reads slowly, or hangs up, keeps nobody else from the numbers
// and writes nothing into the log.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	h := promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		ErrorHandling:       promhttp.ContinueOnError,
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		MaxRequestsInFlight: 8,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !onlyGet(w, r) {
			return
		}
		a := held{header: w.Header(), status: http.StatusOK}
		h.ServeHTTP(&a, r)
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body.Bytes()) // the scraper may be gone
	})
}

// A held response is one that waits to be sent.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *held) Header() http.Header         { return a.header }
func (a *held) WriteHeader(status int)      { a.status = status }
func (a *held) Write(p []byte) (int, error) { return a.body.Write(p) }

// onlyGet answers every method but GET and HEAD with 405, and reports whether to go on.
func onlyGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "method not allowed: use GET", http.StatusMethodNotAllowed)
	return false
}
