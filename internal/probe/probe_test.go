package probe

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	secret = "a-secret-for-tests-only"
	token  = "a-dashboard-token-for-tests-only"
)

// A contract is a service that does what the contract says and nothing else, written down once more for these tests. What
// a test puts into instead answers in place of a route.
type contract struct {
	instead map[string]http.HandlerFunc // by "METHOD /path"
	ready   map[string]any              // the checks of /ready that are not well
	backup  string                      // a line of /metrics

	mu       sync.Mutex
	seen     map[string]bool
	received int
	last     time.Time
	requests []string
}

func (c *contract) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-GitHub-Event"))
	if f := c.instead[r.Method+" "+r.URL.Path]; f != nil {
		f(w, r)
		return
	}
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	let := func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+token }
	switch r.Method + " " + r.URL.Path {
	case "GET /health":
		say(200, map[string]any{"status": "healthy", "version": "v1.2.3", "uptime": "5m0s"})
	case "GET /ready":
		status, code := "ready", 200
		checks := map[string]any{"database": map[string]string{"status": "ok"}, "secret": map[string]string{"status": "ok"}}
		for name, check := range c.ready {
			checks[name] = check
			if check.(map[string]string)["status"] == "failing" {
				status, code = "not_ready", 503
			}
		}
		say(code, map[string]any{"status": status, "checks": checks})
	case "GET /metrics":
		for _, name := range series {
			fmt.Fprintf(w, "# HELP %s Something.\n%s{event=\"ping\"} 0\n", name, name)
		}
		fmt.Fprintln(w, c.backup)
	case "GET /webhook/stats":
		s := map[string]any{
			"received": c.received, "queue_length": 0, "paused": false,
			"total": map[string]int{"received": c.received, "processed": c.received},
		}
		if !c.last.IsZero() {
			s["last_processed"] = c.last
		}
		say(200, s)
	case "OPTIONS /webhook/events":
		w.Header().Set("Access-Control-Allow-Origin", "https://pulls.example.com")
		w.Header().Set("Access-Control-Allow-Methods", "GET")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization")
		w.WriteHeader(204)
	case "GET /webhook/events":
		if !let(r) {
			say(401, map[string]string{"error": "sign in first"})
			return
		}
		deliveries := []map[string]string{}
		for id := range c.seen {
			deliveries = append(deliveries, map[string]string{"delivery_id": id, "status": "processed"})
		}
		text, _ := json.Marshal(map[string]any{"type": "snapshot", "pulls": []any{}, "deliveries": deliveries})
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "retry: 2000\nid: 7\ndata: %s\n\ndata: {\"type\":\"update\"}\n\n", text)
	case "GET /webhook":
		say(405, map[string]string{"error": "use POST"})
	case "POST /webhook":
		if r.Header.Get("X-Hub-Signature-256") != sign(secret, body) {
			w.Header().Set("RateLimit-Policy", `"failed-signatures";q=100;w=60`)
			say(401, map[string]string{"error": "the signature is missing or wrong"})
			return
		}
		id, status := r.Header.Get("X-GitHub-Delivery"), "accepted"
		if c.seen[id] {
			status = "duplicate"
		} else {
			c.seen[id], c.last = true, time.Now()
			c.received++
		}
		say(202, map[string]string{"status": status, "delivery_id": id})
	case "GET /":
		if !let(r) {
			say(401, map[string]string{"error": "sign in first"})
		}
	default:
		say(404, map[string]string{"error": "nothing here"})
	}
}

// visit runs checks against a contract and returns their results.
func visit(t *testing.T, c *contract, checks []Check, change func(*Service)) []Result {
	t.Helper()
	c.seen = map[string]bool{}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	service := Service{URL: s.URL, Secret: secret, Token: token, Timeout: 10 * time.Second, Patience: time.Second}
	if change != nil {
		change(&service)
	}
	return Run(t.Context(), service, checks, func(Result) {})
}

// failed are the results that are failures, as "check: what was seen".
func failed(all []Result) (out []string) {
	for _, r := range all {
		if r.Outcome == Fail {
			if r.Do == "" || r.Expected == "" || r.Seen == "" {
				out = append(out, "A FAILURE THAT DOES NOT HELP: "+fmt.Sprintf("%+v", r))
			}
			out = append(out, r.Check+": "+r.Seen)
		}
	}
	return out
}

func TestAServiceThatKeepsTheContractPasses(t *testing.T) {
	c := &contract{backup: fmt.Sprintf("github_last_backup_timestamp_seconds %d", time.Now().Add(-10*time.Minute).Unix())}
	all := visit(t, c, Readiness(), nil)
	if f := failed(all); len(f) > 0 {
		t.Errorf("failed: %q, want none", f)
	}
	for _, r := range all {
		if r.Outcome == Skipped && r.Check != "certificate" {
			t.Errorf("%s was skipped: %s", r.Check, r.Seen)
		}
	}
	// What is safe against production: no other delivery than pings, and three of these.
	posts := 0
	for _, q := range c.requests {
		if strings.HasPrefix(q, "POST") {
			posts++
			if q != "POST /webhook ping" {
				t.Errorf("it sends %q, want pings only", q)
			}
		}
	}
	if posts != 4 || c.received != 1 {
		t.Errorf("%d posts, %d deliveries kept; want 4 and 1", posts, c.received)
	}
}

// Each fault is named by the check that looks at it, and by no other.
func TestFaultsAreNamed(t *testing.T) {
	text := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	bad := func(status, detail string) map[string]string {
		return map[string]string{"status": status, "detail": detail}
	}
	in := func(route string, h http.HandlerFunc) func(*contract, *Service) {
		return func(c *contract, _ *Service) { c.instead = map[string]http.HandlerFunc{route: h} }
	}
	for name, f := range map[string]struct {
		change func(*contract, *Service)
		want   []string // beginnings, in order
	}{
		"somebody else's page": {in("GET /health", text(200, "<html>It works!</html>")), []string{"health: http://"}},
		"a restart would help": {
			in("GET /health", text(503, `{"status":"unhealthy","checks":{"writer":{"status":"failing","detail":"stuck"}}}`)),
			[]string{"health: unhealthy; writer: stuck"},
		},
		"warnings": {
			func(c *contract, _ *Service) {
				c.ready = map[string]any{"redis": bad("warning", "Redis does not answer"), "queue": bad("warning", "paused since noon")}
			},
			[]string{"ready: queue: paused since noon", "ready: redis: Redis does not answer"},
		},
		"not ready": {
			func(c *contract, _ *Service) { c.ready = map[string]any{"secret": bad("failing", "no WEBHOOK_SECRET")} },
			[]string{"ready: secret: no WEBHOOK_SECRET"},
		},
		"a warning that somebody may live with": {
			func(c *contract, _ *Service) {
				w := bad("warning", "the token may not see the webhooks")
				w["code"] = "webhooks-not-visible"
				c.ready = map[string]any{"recovery": w}
			},
			nil,
		},
		"another warning of the same check": {
			func(c *contract, _ *Service) {
				c.ready = map[string]any{"recovery": bad("warning", "not compared for 3h")}
			},
			[]string{"ready: recovery: not compared for 3h"},
		},
		"a code does not excuse what is failing": {
			func(c *contract, _ *Service) {
				w := bad("failing", "broken")
				w["code"] = "webhooks-not-visible"
				c.ready = map[string]any{"recovery": w}
			},
			[]string{"ready: recovery: broken"},
		},
		"metrics kept back":  {in("GET /metrics", text(403, "no")), []string{"metrics: /metrics answers 403 no"}},
		"metrics of another": {in("GET /metrics", text(200, "go_goroutines 7\n")), []string{"metrics: without github_webhooks_total, "}},
		"old counters": {
			in("GET /webhook/stats", text(200, `{"received":0,"total":{},"queue_length":0,"stale":true}`)), []string{"statistics: the counters are old"},
		},
		"a proxy answers OPTIONS": {in("OPTIONS /webhook/events", text(200, "")), []string{"cors: without Access-Control-Allow-Origin, "}},
		"open to every origin": {
			in("OPTIONS /webhook/events", text(204, "", "Access-Control-Allow-Origin", "*", "Access-Control-Allow-Methods", "GET", "Access-Control-Allow-Headers", "X")),
			[]string{"cors: every origin may read"},
		},
		"a heartbeat comes first": {
			in("GET /webhook/events", text(200, "data: {\"type\":\"heartbeat\"}\n\n", "Content-Type", "text/event-stream")),
			[]string{"event stream: the first message is no snapshot"},
		},
		"a proxy keeps the stream back": {
			func(c *contract, s *Service) {
				s.Timeout = 2 * time.Second
				c.instead = map[string]http.HandlerFunc{"GET /webhook/events": func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}}
			},
			[]string{"event stream: no message came within 2s"},
		},
		"//webhook is redirected": {
			in("GET //webhook", text(308, "", "Location", "/webhook")), []string{"wrong path: GET //webhook is redirected (308)"},
		},
		"anybody's webhook is accepted": {
			in("POST /webhook", func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(202)
				fmt.Fprintf(w, `{"status":"accepted","delivery_id":%q}`, r.Header.Get("X-GitHub-Delivery"))
			}),
			[]string{
				"unsigned webhook: it was accepted: signatures are not validated", "wrong signature: it was accepted",
				"same ping again: a delivery that was accepted is answered 202", "processing: not processed within 1s",
			},
		},
		"another secret": {
			func(_ *contract, s *Service) { s.Secret = "another" }, []string{"signed ping: the secret here is not the one of the service: 401"},
		},
		"no secret here": {func(_ *contract, s *Service) { s.Secret = "" }, []string{"signed ping: there is no secret here to sign with"}},
		"another token": {
			func(_ *contract, s *Service) { s.Token = "another" },
			[]string{"event stream: the DASHBOARD_TOKEN here is not the one", "sign-in: the DASHBOARD_TOKEN here is not the one"},
		},
		"open pages":    {in("GET /", text(200, "<html>")), []string{"sign-in: the pages let everybody in"}},
		"pages for one": {in("GET /", text(403, "")), []string{"sign-in: no DASHBOARD_TOKEN is set"}},
		"paused": {
			func(c *contract, _ *Service) {
				c.instead = map[string]http.HandlerFunc{
					"GET /webhook/stats":  text(200, `{"received":0,"total":{},"queue_length":3,"paused":true}`),
					"GET /webhook/events": text(200, "data: {\"type\":\"snapshot\"}\n\n", "Content-Type", "text/event-stream"),
				}
			},
			[]string{"processing: the queue is paused"},
		},
		"the clock of yesterday": {
			in("GET /health", text(200, `{"status":"healthy"}`, "Date", time.Now().Add(-24*time.Hour).UTC().Format(http.TimeFormat))),
			[]string{"clock: the service's clock is "},
		},
		"never a backup": {func(c *contract, _ *Service) { c.backup = "github_last_backup_timestamp_seconds 0" }, []string{"backup: none was ever made"}},
		"an old backup": {
			func(c *contract, _ *Service) {
				c.backup = fmt.Sprintf("github_last_backup_timestamp_seconds %v", float64(time.Now().Add(-3*time.Hour).Unix()))
			},
			[]string{"backup: the last one is 3h"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &contract{}
			got := failed(visit(t, c, Readiness(), func(s *Service) { f.change(c, s) }))
			if !slices.EqualFunc(got, f.want, strings.HasPrefix) {
				t.Errorf("failed: %q\nwant beginnings %q", got, f.want)
			}
		})
	}
}

// The first check that a service does not answer is the last that it is asked.
func TestAServiceThatDoesNotAnswer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	alone := Check{Name: "alone", Want: "something", Alone: true, Look: func(context.Context, *Visit) []Finding { return pass("seen") }}
	all := Run(t.Context(), Service{URL: s.URL}, append(Readiness(), alone), func(Result) {})
	if got := failed(all); len(got) != 1 || !strings.HasPrefix(got[0], "health: nothing listens at http://127.0.0.1:") {
		t.Errorf("failed: %q, want that nothing listens", got)
	}
	if p := Count(all, Pass); p != 1 {
		t.Errorf("%d checks passed, want the one that needs no service", p)
	}
}

func TestCertificatesThatCantBeBelieved(t *testing.T) {
	server := httptest.NewUnstartedServer(&contract{})
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	leaf := server.Certificate()
	known := x509.NewCertPool()
	known.AddCert(leaf)
	v := &Visit{}
	for _, c := range []struct {
		host  string
		roots *x509.CertPool
		now   time.Time
		want  string
	}{
		{"example.com", known, time.Now(), ""},
		{"127.0.0.1", nil, time.Now(), ""}, // ourselves: neither name nor authority
		{"127.0.0.1", nil, leaf.NotAfter.Add(time.Hour), "has expired, at "},
		{"localhost", nil, leaf.NotBefore.Add(-time.Hour), "has expired, at "}, // by the clock of this machine it is not, see plain
		{"example.com", known, leaf.NotAfter.Add(time.Hour), "has expired, at "},
		{"example.com", x509.NewCertPool(), time.Now(), "signed by an authority that is not known here"},
		{"example.org", known, time.Now(), "is for another name"},
	} {
		err := Service{Roots: c.roots}.verify(c.host, []*x509.Certificate{leaf}, c.now)
		if err != nil {
			req, _ := http.NewRequest(http.MethodGet, "https://"+c.host, nil)
			err = v.plain(t.Context(), req.URL, err)
		}
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("a certificate for %s at %s: %v, want %q", c.host, c.now, err, c.want)
		}
	}
	// One that is good for less than two weeks passes the smoke test and is not ready for production.
	for left, want := range map[time.Duration]Outcome{13 * 24 * time.Hour: Fail, 15 * 24 * time.Hour: Pass} {
		v := &Visit{Service: Service{URL: server.URL, Timeout: time.Second}}
		req, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		if f := v.certificateOf(t.Context(), req.URL, leaf.NotAfter.Add(-left)); f.Outcome != want {
			t.Errorf("%v before it expires: %+v, want %s", left, f, want)
		}
	}
	if all := Run(t.Context(), Service{URL: server.URL}, Smoke()[:1], func(Result) {}); all[0].Outcome != Pass {
		t.Errorf("a service on this machine with a certificate of its own: %+v", all[0])
	}
	kept := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer kept.Close()
	if f := metrics(t.Context(), &Visit{Service: Service{URL: kept.URL, Timeout: time.Second}}); f[0].Outcome != Skipped {
		t.Errorf("metrics that are kept from the public address: %+v, want skipped", f)
	}
	if all := Run(t.Context(), Service{URL: strings.Replace(server.URL, "https", "http", 1)}, Smoke()[:1], func(Result) {}); all[0].Outcome != Fail {
		t.Errorf("http to a port that speaks TLS: %+v", all[0])
	} else {
		t.Log(all[0].Seen)
	}
}
