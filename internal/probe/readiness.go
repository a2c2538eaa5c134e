package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	renewWithin = 14 * 24 * time.Hour // a certificate that is still older then has missed its renewal
	clockOff    = time.Minute         // what a GitHub App's signature forgives
	backupAge   = 75 * time.Minute    // one an hour, and time to make it
)

// Readiness are the checks that production needs beside those of [Smoke], which come first.
func Readiness() []Check {
	return append(Smoke(), []Check{
		{Name: "processing", Want: "the ping is processed within seconds", Look: processing},
		{Name: "rate limit", Want: "an address that fails too often is answered 429", Look: rateLimit},
		{Name: "sign-in", Want: "the pages let nobody in without DASHBOARD_TOKEN", Look: signIn},
		{Name: "certificate", Want: "the certificate is valid, and for two more weeks", Alone: true, Look: certificate},
		{Name: "clock", Want: "the service's clock is within a minute of this one", Look: clock},
		{Name: "backup", Want: "the last backup is not much older than an hour", Look: backup},
	}...)
}

// processing waits until the ping is processed. The event stream names it; where that can't be read, the counters tell that
// something was processed after it.
func processing(ctx context.Context, v *Visit) []Finding {
	if v.Ping.ID == "" {
		return skip("no ping was accepted")
	}
	ctx, done := context.WithTimeout(ctx, v.Patience)
	defer done()
	for {
		named := false // the stream tells of the ping: not where so much comes in that it is no longer among the newest
		if v.stream {
			s, _, _ := v.snapshot(ctx)
			for _, d := range s.Deliveries {
				named = named || d.ID == v.Ping.ID
				switch {
				case d.ID != v.Ping.ID:
				case d.Status == "processed":
					return pass(fmt.Sprintf("processed within %.1f s", time.Since(v.Ping.Sent).Seconds()))
				case d.Status == "dead", d.Status == "discarded":
					return fail("the ping is "+d.Status+": "+d.Error, "github-pr-manager queue dead list says more")
				}
			}
		}
		st, no := v.stats(ctx)
		switch {
		case no != nil && ctx.Err() == nil:
			return no
		case no != nil:
		case st.Paused:
			return fail("the queue is paused: nothing is taken in", advice["queue"])
		case !named && v.before.Total != nil && st.LastProcessed != nil && st.Total.Processed > v.before.Total.Processed &&
			(v.before.LastProcessed == nil || st.LastProcessed.After(*v.before.LastProcessed)):
			return pass(fmt.Sprintf("processed within %.1f s, as the counters show", time.Since(v.Ping.Sent).Seconds()))
		}
		select {
		case <-ctx.Done():
			waiting := ""
			if no == nil && st.QueueLength != nil {
				waiting = fmt.Sprintf("; %d deliveries wait", *st.QueueLength)
			}
			return fail(fmt.Sprintf("not processed within %s%s", v.Patience, waiting), "github-pr-manager queue status says what waits for what")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// rateLimit reads the policy that a refused webhook tells of: making the service refuse a hundred would keep others out.
func rateLimit(_ context.Context, v *Visit) []Finding {
	switch {
	case !v.refused.seen:
		return skip("no unsigned webhook was refused, so nothing tells")
	case v.refused.policy == "":
		return fail("nothing limits how often an address may fail", "set RATE_LIMIT_ENABLED=true where the service runs, and restart it")
	}
	return pass("RateLimit-Policy: " + v.refused.policy)
}

func signIn(ctx context.Context, v *Visit) []Finding {
	const openDo = "set DASHBOARD_TOKEN (openssl rand -hex 32) where the service runs"
	a, err := v.ask(ctx, http.MethodGet, "/", nil)
	switch {
	case err != nil:
		return fail(err.Error(), unreachable(err))
	case a.status == http.StatusForbidden:
		return fail("no DASHBOARD_TOKEN is set: the pages answer on the service's own machine only, and nobody can operate them", openDo)
	case a.status == http.StatusOK:
		return fail("the pages let everybody in who comes from this address: no DASHBOARD_TOKEN is set", openDo)
	case a.status != http.StatusUnauthorized:
		return fail("the pages answer "+a.text(), "does a proxy answer in the service's place?")
	case v.Token == "":
		return pass("they ask for a sign-in; there is no DASHBOARD_TOKEN here to try it with")
	}
	a, err = v.ask(ctx, http.MethodGet, "/", nil, v.bearer()...)
	switch {
	case err != nil:
		return fail(err.Error(), unreachable(err))
	case a.status == http.StatusUnauthorized:
		return fail(wrongToken, setToken)
	case a.status != http.StatusOK:
		return fail("with DASHBOARD_TOKEN the pages answer "+a.text(), "/ready says why, or the service's log")
	}
	return pass("they ask for a sign-in, and DASHBOARD_TOKEN opens them")
}

// certificate looks at the certificates of the addresses that are https: the service's, and the one that people use.
func certificate(ctx context.Context, v *Visit) []Finding {
	var found []Finding
	seen := map[string]bool{}
	for _, address := range []string{v.URL, v.Public} {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || seen[u.Host] {
			continue
		}
		seen[u.Host] = true
		f := v.certificateOf(ctx, u, time.Now())
		f.About = u.Host
		found = append(found, f)
	}
	if len(found) == 0 {
		return skip("neither the address that was asked nor PUBLIC_URL is https; whoever ends TLS must be looked at")
	}
	return found
}

func (v *Visit) certificateOf(ctx context.Context, u *url.URL, now time.Time) Finding {
	ctx, done := context.WithTimeout(ctx, v.Timeout)
	defer done()
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "443"
	}
	var leaf *x509.Certificate
	cfg := v.tls(host)
	verify := cfg.VerifyConnection
	cfg.VerifyConnection = func(c tls.ConnectionState) error {
		if len(c.PeerCertificates) > 0 {
			leaf = c.PeerCertificates[0]
		}
		return verify(c)
	}
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err == nil {
		_ = conn.Close()
		if leaf == nil {
			err = errors.New("the other end shows no certificate")
		}
	}
	if err != nil {
		err = v.plain(ctx, u, err)
		return Finding{Outcome: Fail, Seen: err.Error(), Do: unreachable(err)}
	}
	days := int(leaf.NotAfter.Sub(now).Hours() / 24)
	until := fmt.Sprintf("until %s UTC, %d days", stamp(leaf.NotAfter), days)
	if leaf.NotAfter.Sub(now) < renewWithin {
		return Finding{Outcome: Fail, Seen: "it is valid only " + until, Do: "renew it, and find out why that was not done by itself"}
	}
	if own(host) {
		until += " (on this machine's own address, names and authority are not looked at)"
	}
	return Finding{Outcome: Pass, Seen: "valid " + until}
}

// clock compares the service's clock with this one, as far as an answer's Date tells: to the second.
func clock(ctx context.Context, v *Visit) []Finding {
	a, err := v.ask(ctx, http.MethodGet, "/health", nil)
	if err != nil {
		return fail(err.Error(), unreachable(err))
	}
	at, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return skip("the answer has no Date")
	}
	var off time.Duration // Date is when the answer was made, cut to the second
	switch {
	case at.Add(time.Second).Before(a.sent):
		off = at.Add(time.Second).Sub(a.sent)
	case at.After(a.came):
		off = at.Sub(a.came)
	}
	if off.Abs() > clockOff {
		return fail(fmt.Sprintf("the service's clock is %s off this machine's", off.Round(time.Second).Abs()),
			"set the wrong one right (timedatectl, chrony): GitHub refuses what is signed with a wrong time")
	}
	return pass(fmt.Sprintf("%s off", off.Round(time.Second).Abs()))
}

func backup(ctx context.Context, v *Visit) []Finding {
	const do = "github-pr-manager backup makes one; see to it that one is made every hour"
	a, err := v.ask(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return fail(err.Error(), unreachable(err))
	}
	text, ok := values(a.body)["github_last_backup_timestamp_seconds"]
	if !ok {
		return skip("the service does not tell when the last one was made")
	}
	at, err := strconv.ParseFloat(text, 64)
	if err != nil || at <= 0 {
		return fail("none was ever made", do)
	}
	age := time.Since(time.Unix(int64(at), 0)).Round(time.Minute)
	if age > backupAge {
		return fail(fmt.Sprintf("the last one is %s old", age), do)
	}
	return pass(fmt.Sprintf("the last one is %s old", age))
}
