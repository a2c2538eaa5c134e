package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func TestALogLineIsOneLineOfPrintableText(t *testing.T) {
	for _, format := range []string{FormatJSON, FormatText} {
		for _, evil := range []string{"a\nb", "a\r\nlevel=ERROR", "\x1b[2J", "\x00\x07\x7f", "\u0085\u2028\u2029", "\u202egnp", "\u009b31m", "\xff\xfe", "\ufeff"} {
			var b bytes.Buffer
			log := NewLogger(&b, slog.LevelInfo, format, nil)
			log.Error("said "+evil, KeyErr, errors.New(evil), KeyRepo, evil, "any", []string{evil}, slog.Group("g", "inner", evil), "key"+evil, 1)
			line := strings.TrimSuffix(b.String(), "\n")
			if Printable(line) != line {
				t.Errorf("%s line for %q = %q, want printable characters only", format, evil, line)
			}
			if !strings.Contains(line, "ERROR") {
				t.Errorf("%s line = %q, want ERROR in it", format, line)
			}
			if format == FormatJSON && !json.Valid([]byte(line)) {
				t.Errorf("line %q is not JSON", line)
			}
		}
	}
}

func TestLogValues(t *testing.T) {
	var b bytes.Buffer
	log := NewLogger(&b, slog.LevelInfo, FormatJSON, nil)
	log.Debug("not shown")
	var none *pull.Fault
	log.Info("x", KeyTook, 1500*time.Millisecond, KeyErr, fmt.Errorf("merge: %w", errors.New("no")), KeyKey, pull.PullKey(1, 7), KeyCount, 3, "nil", none, "nothing", nil)
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("log = %q: %v", b.String(), err)
	}
	for k, want := range map[string]any{"level": "INFO", "msg": "x", KeyTook: "1.5s", KeyErr: "merge: no", KeyKey: "pr:1#7", KeyCount: 3.0} {
		if got[k] != want {
			t.Errorf("%s = %v, want %v", k, got[k], want)
		}
	}
}

type holder struct{ Token string }

func TestSecretsNeverReachALog(t *testing.T) {
	pem := "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx9Qn0123456789abcdefghij\nq2k3J4l5M6n7O8p9Q0r1S2t3U4v5W6x7Y8z9\n-----END RSA PRIVATE KEY-----"
	secrets := []string{"hunter2hunter2", `quo"te\d <&> secret`, "spaced secret/with+signs", pem, "hunter2"}
	var s Secrets
	s.Add(secrets...)
	for _, format := range []string{FormatJSON, FormatText} {
		for _, secret := range secrets {
			var b bytes.Buffer
			log := NewLogger(&b, slog.LevelInfo, format, &s).With("with", secret)
			log.Warn("in "+secret, KeyErr, fmt.Errorf("url?token=%s: %w", secret, errors.New(secret)), "any", holder{secret}, "bytes", []byte("x"),
				slog.Group("g", "deep", []string{secret}), "url", "postgres://u:"+strings.ReplaceAll(secret, " ", "%20")+"@h/d")
			for line := range strings.Lines(secret) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && strings.Contains(b.String(), line) {
					t.Errorf("%s log shows %q: %s", format, line, b.String())
				}
			}
		}
	}
	if got := s.Scrub("hunter2hunter2 and hunter2"); got != "[secret] and [secret]" {
		t.Errorf("Scrub = %q, want the longest first", got)
	}
	var none *Secrets
	if got := none.Scrub("plain"); got != "plain" {
		t.Errorf("Scrub of nothing = %q, want the text as it was", got)
	}
	var short Secrets
	short.Add("", "a", "   ")
	if got := short.Scrub("a banana"); got != "a banana" {
		t.Errorf("Scrub of an empty and a one-letter secret = %q, want the text as it was", got)
	}
}

func ask(h http.HandlerFunc) (int, healthAnswer, string) {
	w := httptest.NewRecorder()
	h(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var a healthAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		panic(err)
	}
	return w.Code, a, w.Body.String()
}

func is(s CheckStatus, detail string) func(context.Context) Check {
	return func(context.Context) Check { return Check{Status: s, Detail: detail} }
}

func TestHealthAndReady(t *testing.T) {
	for _, tt := range []struct {
		name     string
		prepare  func(*Health)
		health   string
		code     int
		ready    int
		warnings int
	}{
		{"all is well", func(h *Health) { h.Register("database", true, is(CheckOK, "")) }, "healthy", 200, 200, 0},
		{"the database is dead: no restart helps", func(h *Health) { h.Register("database", true, is(CheckFailing, "gone")) }, "degraded", 200, 503, 0},
		{"something optional is dead", func(h *Health) { h.Register("github", false, is(CheckFailing, "gone")) }, "degraded", 200, 200, 1},
		{"a warning", func(h *Health) { h.Register("secret", true, is(CheckWarning, "hm")) }, "degraded", 200, 200, 1},
		{"stuck", func(h *Health) { h.RegisterStuck("writer", func() bool { return true }) }, "unhealthy", 503, 200, 0},
		{"not stuck", func(h *Health) { h.RegisterStuck("writer", func() bool { return false }) }, "healthy", 200, 200, 0},
		{"draining", func(h *Health) { h.Drain() }, "healthy", 200, 503, 0},
		{"a check that panics", func(h *Health) { h.Register("x", true, func(context.Context) Check { panic("no") }) }, "degraded", 200, 503, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := NewHealth("v1", nil)
			tt.prepare(h)
			code, a, _ := ask(h.ServeHealth)
			if code != tt.code || a.Status != tt.health || a.Version != "v1" {
				t.Errorf("/health = %d %s, want %d %s", code, a.Status, tt.code, tt.health)
			}
			code, a, text := ask(h.ServeReady)
			if code != tt.ready || len(a.Warnings) != tt.warnings || (a.Status == "ready") != (tt.ready == 200) || a.Checks["draining"].Status == "" {
				t.Errorf("/ready = %d %s, want %d with %d warnings", code, text, tt.ready, tt.warnings)
			}
		})
	}
}

func TestHealthIsBoundedInTimeAndDoesNotLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth("v1", nil)
		var runs, quick atomic.Int64
		let := make(chan struct{})
		h.Register("hangs", true, func(context.Context) Check { runs.Add(1); <-let; return Check{Status: CheckOK} }) // ignores its context
		h.Register("slow", false, func(ctx context.Context) Check {
			select {
			case <-ctx.Done():
				return Check{Status: CheckFailing, Detail: "too slow"}
			case <-time.After(time.Hour):
				return Check{Status: CheckOK}
			}
		})
		h.Register("quick", true, func(context.Context) Check { quick.Add(1); return Check{Status: CheckOK} })
		for range 20 {
			began := time.Now()
			code, a, _ := ask(h.ServeReady)
			if took := time.Since(began); took > checkTimeout {
				t.Fatalf("/ready took %v, want at most %v", took, checkTimeout)
			}
			if code != 503 || a.Checks["hangs"].Status != CheckFailing || a.Checks["quick"].Status != CheckOK {
				t.Fatalf("/ready = %d %v, want 503 because of what hangs", code, a.Checks)
			}
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("the check that hangs was started %d times, want once", n)
		}
		close(let)
		synctest.Wait()
		if code, _, _ := ask(h.ServeReady); code != 200 {
			t.Errorf("/ready after it came back = %d, want 200", code)
		}
		time.Sleep(checkCache)
		ask(h.ServeHealth) // takes a second, because of the slow one
		before := quick.Load()
		began := time.Now()
		for range 20 {
			ask(h.ServeHealth)
		}
		if ran, most := quick.Load()-before, 1+int64(time.Since(began)/checkCache); ran > most {
			t.Errorf("20 requests in %v ran a check %d times, want at most once a second", time.Since(began), ran)
		}
		time.Sleep(2 * time.Second) // for the slow one's context
	})
}

func TestHealthShowsNoSecrets(t *testing.T) {
	var s Secrets
	s.Add("hunter2hunter2")
	h := NewHealth("v1", &s)
	h.Register("database", true, is(CheckFailing, "password hunter2hunter2\n\x1b[0m"))
	_, _, text := ask(h.ServeHealth)
	if strings.Contains(text, "hunter2") || strings.Contains(text, "\x1b") {
		t.Errorf("/health = %s, want no secret and no escapes", text)
	}
}

// series scrapes as Prometheus does.
func series(t *testing.T, m *Metrics, accept string) (text string, samples map[string]float64) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	text = w.Body.String()
	samples = map[string]float64{}
	if accept != "" {
		return text, samples
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	for name, f := range families {
		for _, one := range f.Metric {
			id := name
			for _, l := range one.Label {
				id += "," + l.GetName() + "=" + l.GetValue()
			}
			samples[id] = one.GetCounter().GetValue() + one.GetGauge().GetValue()
			if h := one.GetHistogram(); h != nil {
				for i := range h.Bucket {
					samples[fmt.Sprint(id, ",bucket=", i)] = 0
				}
				samples[id] = float64(h.GetSampleCount())
			}
		}
	}
	return text, samples
}

func TestMetricsAreThereFromTheStart(t *testing.T) {
	m := NewMetrics("v1", "abc")
	m.Gauge("github_webhook_queue_length", "x", func() float64 { return 0 })
	_, s := series(t, m, "")
	for _, want := range []string{
		"github_webhook_queue_length", "github_webhooks_total,event=push,outcome=accepted", "github_webhook_processed_total,event=other",
		"github_webhook_errors_total,event=other", "github_webhook_processing_duration_seconds,event=push", "github_errors_total,kind=signature",
		"github_errors_total,kind=rate_limit", "github_errors_total,kind=api", "github_errors_total,kind=redis", "github_errors_total,kind=database",
		"github_errors_total,kind=policy", "github_actions_total,kind=merge,outcome=done", "github_leases_lost_total",
	} {
		if v, ok := s[want]; !ok || v != 0 {
			t.Errorf("at the start %s = %v (there: %v), want 0", want, v, ok)
		}
	}
	for id := range s {
		if strings.HasPrefix(id, "github_webhook_processed_total") {
			if _, ok := s[strings.Replace(id, "processed", "errors", 1)]; !ok {
				t.Errorf("%s has no series of errors beside it, so that HighErrorRate can't divide", id)
			}
		}
	}
	if text, _ := series(t, m, "application/openmetrics-text; version=1.0.0"); !strings.HasSuffix(text, "# EOF\n") {
		t.Error("a scraper that asks for OpenMetrics does not get it")
	}
}

// A stuck reader takes nothing until it is let go, and then hangs up.
type stuck struct {
	*httptest.ResponseRecorder
	entered chan struct{}
	leave   chan struct{}
}

func (s *stuck) Write([]byte) (int, error) {
	s.entered <- struct{}{}
	<-s.leave
	return 0, errors.New("connection reset by peer")
}

func TestStuckScrapersKeepNobodyFromTheNumbers(t *testing.T) {
	var log bytes.Buffer
	h := NewMetrics("", "").Handler(slog.New(slog.NewTextHandler(&log, nil)))
	get := func(w http.ResponseWriter) { h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil)) }
	entered, leave := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { get(&stuck{httptest.NewRecorder(), entered, leave}) })
		<-entered
	}
	w := httptest.NewRecorder()
	get(w)
	close(leave)
	all.Wait()
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "github_webhooks_total") {
		t.Errorf("with 20 stuck scrapers /metrics answers %d: %.100s", w.Code, w.Body)
	}
	if log.Len() > 0 {
		t.Errorf("they are in the log: %.300s", log.String())
	}
}

func TestLabelsAreBounded(t *testing.T) {
	m := NewMetrics("v1", "abc")
	_, before := series(t, m, "")
	for i := range 5000 {
		e := fmt.Sprint("made-up-", i)
		m.Webhook(e, OutcomeAccepted)
		m.Webhook(e, OutcomeSignature)
		m.Attempt(pull.Attempt{Event: e, Failed: i%2 == 0, Status: pull.Processed, Took: time.Second})
		m.Signed(i)
	}
	_, after := series(t, m, "")
	if len(after) != len(before) || len(after) > 2000 {
		t.Errorf("%d series after 5,000 unknown events, %d before; want no more, and at most 2,000", len(after), len(before))
	}
	if all, by := m.Seen(); all.Received != 5000 || all.Errors != 2500 || len(by) != 1 {
		t.Errorf("Seen() = %+v over %d events, want 5,000 received and 2,500 errors of one event", all, len(by))
	}
}

func TestHeapProfile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	var last string
	for range profilesKept + 3 {
		path, err := WriteHeapProfile(dir)
		if err != nil {
			t.Fatal(err)
		}
		last = path
	}
	info, err := os.Stat(last)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("profile %s: %v, %v; want a file that only its owner reads", last, info, err)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "*")); len(kept) != profilesKept {
		t.Errorf("%d profiles are kept, want %d", len(kept), profilesKept)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteHeapProfile(file); err == nil || !strings.Contains(err.Error(), "heap profile") {
		t.Errorf("WriteHeapProfile into a file = %v, want an error that says what it was about", err)
	}
}
