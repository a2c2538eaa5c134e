package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A nowhere is a response that nobody reads.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w nowhere) WriteHeader(int)             {}

// What the access log costs a request; a delivery costs a hundred microseconds and more.
func BenchmarkAccessLog(b *testing.B) {
	log := telemetry.NewLogger(io.Discard, slog.LevelInfo, telemetry.FormatJSON, nil)
	mux := http.NewServeMux()
	mux.HandleFunc("/webhook", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	for _, which := range []string{AccessOff, AccessSome, AccessAll} {
		h := AccessLog(which, nil, log, mux)
		b.Run(which, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest("POST", "/webhook", nil)
			r.Header.Set("X-Github-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
			w := nowhere{http.Header{}}
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

// A handler that gives up in the middle has its line too, and the panic goes on to net/http.
func TestABrokenOffAnswerIsLogged(t *testing.T) {
	var lines countingHandler
	h := AccessLog(AccessAll, nil, slog.New(&lines), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the panic did not go on")
		}
		if lines.n != 1 {
			t.Errorf("%d lines, want 1", lines.n)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

// A countingHandler counts log records.
type countingHandler struct {
	slog.Handler
	n int
}

func (*countingHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *countingHandler) Handle(context.Context, slog.Record) error {
	h.n++
	return nil
}
