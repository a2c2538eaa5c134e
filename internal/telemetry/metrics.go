// Package telemetry is how the service is seen from outside while it runs: metrics, health, logs and profiles.
//
// It knows names and shapes, not the pipeline: whoever does something says so here in one call. The metrics' names are
// the operators' (their alerts and panels depend on them), all of them exist at 0 from the start, and no label takes a
// value from a payload as it is. A log line is one line, whatever is in it, and holds no secret. A health answer comes
// within a second and tells a process that needs a restart from one whose neighbours are down.
//
// It refuses to know how anything is fixed, and it starts nothing by itself. Begin with [Metrics], [Health] and
// [NewLogger]; [Secrets] is what the last two, and the pages, must never show.
package telemetry

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Error kinds of github_errors_total.
const (
	ErrSignature = "signature"
	ErrRateLimit = "rate_limit"
	ErrAPI       = "api"
	ErrRedis     = "redis"
	ErrDatabase  = "database"
	ErrPolicy    = "policy"
)

// Outcomes of github_webhooks_total.
const (
	OutcomeAccepted    = "accepted"
	OutcomeDuplicate   = "duplicate"
	OutcomeDiffers     = "duplicate_differs" // the same id with another body: the first is kept
	OutcomeSignature   = "bad_signature"
	OutcomeMalformed   = "malformed"
	OutcomeTooLarge    = "too_large"
	OutcomeUnsupported = "unsupported"
	OutcomeLimited     = "rate_limited"
	OutcomeUnavailable = "unavailable"
)

// Outcomes of github_hints_total.
const (
	HintPushed   = "pushed"
	HintDropped  = "dropped"  // not put into the list: taken from the database
	HintRefilled = "refilled" // put back after the list had lost it
	HintTaken    = "taken"
	HintStale    = "stale" // its delivery had been taken already
	HintJunk     = "junk"  // no item at all
)

var outcomes = []string{
	OutcomeAccepted, OutcomeDuplicate, OutcomeDiffers, OutcomeSignature, OutcomeMalformed, OutcomeTooLarge, OutcomeUnsupported,
	OutcomeLimited, OutcomeUnavailable,
}

// Metrics are the service's counters. Make them with NewMetrics; all methods are safe for concurrent use.
type Metrics struct {
	Registry *prometheus.Registry

	webhooks   *prometheus.CounterVec
	processed  *prometheus.CounterVec
	failed     *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	errors     *prometheus.CounterVec
	ack        prometheus.Histogram
	decision   prometheus.Histogram
	actions    *prometheus.CounterVec
	commands   *prometheus.CounterVec
	apiCalls   *prometheus.CounterVec
	budget     map[string]*atomic.Pointer[func() float64] // by resource; the map itself never changes
	passes     *prometheus.CounterVec
	ambiguous  prometheus.Counter
	leasesLost prometheus.Counter
	paused     *prometheus.CounterVec
	secret     *prometheus.CounterVec
	missing    prometheus.Counter
	asked      prometheus.Counter
	recovered  prometheus.Counter
	gaveUp     prometheus.Counter
	lost       prometheus.Counter
	sweeps     *prometheus.CounterVec
	sweptDue   prometheus.Counter
	hints      *prometheus.CounterVec
	redis      prometheus.Gauge

	seen map[string]*seen // by event label; the map itself never changes
}

// Seen are the counters of deliveries that people look at, since the process started.
type Seen struct {
	Received   int64 `json:"received"`  // kept
	Processed  int64 `json:"processed"` // finished attempts, failed ones included
	Errors     int64 `json:"errors"`    // failed attempts
	Duplicates int64 `json:"duplicates"`
}

type seen struct{ received, processed, errors, duplicates atomic.Int64 }

// NewMetrics registers every metric, each with the label values it can have at 0.
func NewMetrics(version, commit string) *Metrics {
	r := prometheus.NewRegistry()
	m := &Metrics{Registry: r, seen: map[string]*seen{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, labels)
		r.MustRegister(h)
		return h
	}
	plain := func(c *prometheus.CounterVec) prometheus.Counter { return c.WithLabelValues() }

	m.webhooks = counter("github_webhooks_total", "Deliveries received, by event and outcome.", "event", "outcome")
	m.processed = counter("github_webhook_processed_total", "Finished attempts at a delivery, failed ones included, by event.", "event")
	m.failed = counter("github_webhook_errors_total", "Failed attempts at a delivery, by event.", "event")
	m.duration = histogram("github_webhook_processing_duration_seconds", "From first taken to done, retries included, by event.",
		[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 45, 60, 120, 300, 900, 3600}, "event")
	m.errors = counter("github_errors_total", "Errors by kind.", "kind")
	m.ack = histogram("github_webhook_acknowledgement_seconds", "From the first byte of a delivery's body to its 202.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}).WithLabelValues().(prometheus.Histogram)
	m.decision = histogram("github_decision_seconds", "How long a pass took to decide, GitHub's answer included.",
		[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}).WithLabelValues().(prometheus.Histogram)
	m.actions = counter("github_actions_total", "Writes to GitHub, by kind and outcome.", "kind", "outcome")
	m.commands = counter("github_commands_total", "Commands in comments, by word and outcome.", "verb", "outcome")
	m.apiCalls = counter("github_api_calls_total", "Requests to GitHub's API, by operation and outcome.", "operation", "outcome")
	m.budget = map[string]*atomic.Pointer[func() float64]{"rest": {}, "graphql": {}}
	for resource, read := range m.budget {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "github_api_budget_remaining_ratio", Help: "What is left of GitHub's primary rate limit, least of all scopes, 0 to 1, by resource.",
			ConstLabels: prometheus.Labels{"resource": resource},
		}, func() float64 {
			if f := read.Load(); f != nil {
				return (*f)()
			}
			return 1
		}))
	}
	m.passes = counter("github_passes_total", "Passes by outcome.", "outcome")
	m.ambiguous = plain(counter("github_ambiguous_outcomes_total", "Writes whose outcome was unknown and had to be read back."))
	m.leasesLost = plain(counter("github_leases_lost_total", "Passes that were stopped because another worker had taken their key over."))
	m.paused = counter("github_paused_seconds_total", "Seconds for which a scope was parked, by reason.", "reason")
	m.secret = counter("github_webhook_secret_used_total", "Accepted deliveries by the position of the secret that signed them.", "slot")
	m.missing = plain(counter("github_deliveries_missing_total", "Deliveries that GitHub had in its log and that were not here."))
	m.asked = plain(counter("github_deliveries_asked_again_total", "Times that GitHub was asked to send a missing delivery again."))
	m.recovered = plain(counter("github_deliveries_recovered_total", "Missing deliveries that have come in."))
	m.gaveUp = plain(counter("github_deliveries_gave_up_total", "Missing deliveries that GitHub did not deliver, however often it was asked."))
	m.lost = plain(counter("github_lost_after_acknowledgement_total", "Deliveries that GitHub was told had arrived, and that were not here. It must stay 0."))
	m.sweeps = counter("github_sweeps_total", "Looks over all open pull requests of a repository, by outcome.", "outcome")
	m.sweptDue = plain(counter("github_sweep_due_total", "Pull requests that a sweep found changed with nobody having told of it."))
	m.hints = counter("github_hints_total", "Items of the queue in Redis, by what became of them.", "outcome")
	m.redis = prometheus.NewGauge(prometheus.GaugeOpts{Name: "github_redis_up", Help: "1 while the queue in Redis is used; 0 without REDIS_URL, or while it can't be."})
	r.MustRegister(m.redis)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "github_build_info", Help: "1, with what is running as labels."}, []string{"version", "commit"})
	r.MustRegister(build)
	build.WithLabelValues(version, commit).Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	// HighErrorRate divides errors by processed: a series that only one side has is left out of the quotient, and an
	// increase from nothing to 1 is no increase for rate(). So every event has all of its series before it happens.
	for _, e := range append([]string{otherEvent}, eventNames...) {
		for _, o := range outcomes {
			m.webhooks.WithLabelValues(e, o)
		}
		m.processed.WithLabelValues(e)
		m.failed.WithLabelValues(e)
		m.duration.WithLabelValues(e)
		m.seen[e] = &seen{}
	}
	for _, k := range []string{ErrSignature, ErrRateLimit, ErrAPI, ErrRedis, ErrDatabase, ErrPolicy} {
		m.errors.WithLabelValues(k)
	}
	for _, k := range pull.ActionKinds {
		for _, o := range []string{"done", "failed", "unclear"} {
			m.actions.WithLabelValues(string(k), o)
		}
	}
	for _, v := range append([]string{otherVerb}, pull.Verbs...) {
		for _, o := range []pull.CommandStatus{pull.CommandDone, pull.CommandRefused, pull.CommandIgnored} {
			m.commands.WithLabelValues(v, string(o))
		}
	}
	for _, o := range []pull.Outcome{pull.PassDone, pull.PassGone, pull.PassParked, pull.PassFailed, pull.PassIgnored} {
		m.passes.WithLabelValues(string(o))
	}
	for _, o := range []string{HintPushed, HintDropped, HintRefilled, HintTaken, HintStale, HintJunk} {
		m.hints.WithLabelValues(o)
	}
	for _, reason := range []string{"primary", "secondary", "retry_after", "unanswered"} {
		m.paused.WithLabelValues(reason)
	}
	for _, o := range []string{"done", "throttled", "gone", "failed"} {
		m.sweeps.WithLabelValues(o)
	}
	for _, s := range []string{"0", "1", "2", "more", "none"} {
		m.secret.WithLabelValues(s)
	}
	return m
}

// eventNames are the events that have series of their own from the start; any other is counted as otherEvent.
var eventNames = []string{
	"ping", "pull_request", "pull_request_review", "pull_request_review_comment", "pull_request_review_thread",
	"issue_comment", "issues", "check_run", "check_suite", "status", "push", "create", "delete", "label", "repository",
	"installation", "installation_repositories", "merge_group", "workflow_run", "workflow_job", "member", "team",
}

const otherEvent = "other"

// EventLabel returns the event as a label value: itself for those that matter here, "other" for the rest.
func EventLabel(event string) string {
	for _, e := range eventNames {
		if e == event {
			return e
		}
	}
	return otherEvent
}

// Webhook counts a request to the entrance. event is the header's value, whatever it says.
func (m *Metrics) Webhook(event, outcome string) {
	e := EventLabel(event)
	m.webhooks.WithLabelValues(e, outcome).Inc()
	switch outcome {
	case OutcomeAccepted:
		m.seen[e].received.Add(1)
	case OutcomeDuplicate, OutcomeDiffers:
		m.seen[e].duplicates.Add(1)
	}
}

// Seen returns the counters of deliveries, in all and by event; events that have not happened are left out.
func (m *Metrics) Seen() (all Seen, byEvent map[string]Seen) {
	byEvent = map[string]Seen{}
	for e, c := range m.seen {
		s := Seen{c.received.Load(), c.processed.Load(), c.errors.Load(), c.duplicates.Load()}
		if s == (Seen{}) {
			continue
		}
		byEvent[e] = s
		all.Received += s.Received
		all.Processed += s.Processed
		all.Errors += s.Errors
		all.Duplicates += s.Duplicates
	}
	return all, byEvent
}

// Attempt counts a finished attempt at a delivery. A delivery that is done, dead or discarded is also timed.
func (m *Metrics) Attempt(a pull.Attempt) {
	e := EventLabel(a.Event)
	m.processed.WithLabelValues(e).Inc()
	m.seen[e].processed.Add(1)
	if a.Failed {
		m.failed.WithLabelValues(e).Inc()
		m.seen[e].errors.Add(1)
	}
	if a.Status == pull.Processed || a.Status == pull.Dead {
		m.duration.WithLabelValues(e).Observe(a.Took.Seconds())
	}
}

// Error counts an error by kind, one of the Err constants.
func (m *Metrics) Error(kind string) { m.errors.WithLabelValues(kind).Inc() }

// Acknowledged times a 202.
func (m *Metrics) Acknowledged(took time.Duration) { m.ack.Observe(took.Seconds()) }

// Signed counts which secret signed an accepted delivery; -1 when signatures are not validated.
func (m *Metrics) Signed(slot int) {
	v := "more"
	switch {
	case slot < 0:
		v = "none"
	case slot < 3:
		v = string(rune('0' + slot))
	}
	m.secret.WithLabelValues(v).Inc()
}

// Hints counts items of the queue in Redis; outcome is one of the Hint constants.
func (m *Metrics) Hints(outcome string, n int) { m.hints.WithLabelValues(outcome).Add(float64(n)) }

// RedisUp says whether the queue in Redis is used.
func (m *Metrics) RedisUp(up bool) {
	if up {
		m.redis.Set(1)
	} else {
		m.redis.Set(0)
	}
}

// Decided times observing and deciding in one pass.
func (m *Metrics) Decided(took time.Duration) { m.decision.Observe(took.Seconds()) }

// Pass counts the end of a pass.
func (m *Metrics) Pass(o pull.Outcome) { m.passes.WithLabelValues(string(o)).Inc() }

// Action counts a write to GitHub; outcome is done, failed or unclear.
func (m *Metrics) Action(kind pull.ActionKind, outcome string) {
	m.actions.WithLabelValues(string(kind), outcome).Inc()
	if outcome == "unclear" {
		m.ambiguous.Inc()
	}
}

// otherVerb counts words that are no command, and look like one.
const otherVerb = "other"

// Command counts a command that was decided on for good: done, refused or ignored.
func (m *Metrics) Command(verb, outcome string) {
	if !slices.Contains(pull.Verbs, verb) {
		verb = otherVerb
	}
	m.commands.WithLabelValues(verb, outcome).Inc()
}

// APIOperations names the requests to GitHub that there can be, and how they can end, so that each has its series
// before the first.
func (m *Metrics) APIOperations(operations, outcomes []string) {
	for _, op := range operations {
		for _, o := range outcomes {
			m.apiCalls.WithLabelValues(op, o)
		}
	}
}

// APICall counts a request to GitHub. operation and outcome are of those that APIOperations has named.
func (m *Metrics) APICall(operation, outcome string) {
	m.apiCalls.WithLabelValues(operation, outcome).Inc()
}

// Budget says how to find out what is left of the primary limits: resource is rest or graphql. It is asked with every
// scrape, because a limit is whole again when its hour is over, whether or not GitHub is asked anything then.
func (m *Metrics) Budget(resource string, left func() float64) { m.budget[resource].Store(&left) }

// Paused counts seconds for which a scope was parked: reason is primary, secondary, retry_after or unanswered.
func (m *Metrics) Paused(reason string, d time.Duration) {
	m.paused.WithLabelValues(reason).Add(d.Seconds())
}

// LeaseLost counts a pass that had to stop.
func (m *Metrics) LeaseLost() { m.leasesLost.Inc() }

// Missing counts deliveries that an audit found missing; Lost, those among them that had been acknowledged.
func (m *Metrics) Missing(n int) { m.missing.Add(float64(n)) }

// Lost counts a delivery that was acknowledged and is not here.
func (m *Metrics) Lost() { m.lost.Inc() }

// AskedAgain counts that GitHub was asked for a missing delivery.
func (m *Metrics) AskedAgain() { m.asked.Inc() }

// Recovered counts a missing delivery that has come in.
func (m *Metrics) Recovered() { m.recovered.Inc() }

// GaveUp counts a missing delivery that is given up.
func (m *Metrics) GaveUp() { m.gaveUp.Inc() }

// Sweep counts the end of a repository's sweep; outcome is done, throttled, gone or failed.
func (m *Metrics) Sweep(outcome string) { m.sweeps.WithLabelValues(outcome).Inc() }

// SweptDue counts pull requests that a sweep made due.
func (m *Metrics) SweptDue(n int) { m.sweptDue.Add(float64(n)) }

// Gauge registers a value that is read when it is scraped, such as github_webhook_queue_length.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}
