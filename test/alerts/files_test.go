package alerts

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// Operators know these four, and have them in their own files and heads.
func TestTheFourAlertsAreAsOperatorsKnowThem(t *testing.T) {
	rules := shippedRules(t).all()
	for _, want := range []rule{
		{Alert: "GitHubPRManagerDown", Expr: `up{job="github_pr_manager"} == 0`, For: "1m", Labels: map[string]string{"severity": "critical"}, Annotations: map[string]string{"summary": "GitHub PR Manager service is down"}},
		{Alert: "HighWebhookQueueLength", Expr: `github_webhook_queue_length > 100`, For: "2m", Labels: map[string]string{"severity": "warning"}, Annotations: map[string]string{"summary": "Webhook queue backing up ({{ $value }} items)"}},
		{Alert: "HighErrorRate", Expr: `rate(github_webhook_errors_total[5m]) / rate(github_webhook_processed_total[5m]) > 0.05`, For: "2m", Labels: map[string]string{"severity": "critical"}, Annotations: map[string]string{"summary": "High error rate: {{ $value | humanizePercentage }}"}},
		{Alert: "LongProcessingTime", Expr: `histogram_quantile(0.95, rate(github_webhook_processing_duration_seconds_bucket[5m])) > 30`, For: "5m", Labels: map[string]string{"severity": "warning"}, Annotations: map[string]string{"summary": "95th percentile processing time > 30s"}},
	} {
		got := rules[want.Alert]
		if got.Expr != want.Expr || got.For != want.For || got.Labels["severity"] != want.Labels["severity"] || got.Annotations["summary"] != want.Annotations["summary"] {
			t.Errorf("%s = %+v, want %+v", want.Alert, got, want)
		}
	}
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	all := shippedRules(t).all()
	for _, name := range []string{"DeadLetters", "OldestDeliveryWaiting", "GitHubBudgetNearlySpent", "LostAfterAcknowledgement", "CertificateExpiresSoon", "BackupTooOld", "DeliveriesRefused", "NotReady"} {
		if _, ok := all[name]; !ok {
			t.Errorf("there is no alert %s", name)
		}
	}
	// The larger size of a fault is explained where the smaller one is.
	section := map[string]string{
		"VeryHighWebhookQueueLength": "HighWebhookQueueLength", "VeryHighErrorRate": "HighErrorRate", "NearlyEverythingFails": "HighErrorRate",
		"CertificateExpiresInTwoDays": "CertificateExpiresSoon",
	}
	runbook := shipped(t, "docs/runbook.md")
	for name, r := range all {
		heading := name
		if s, ok := section[name]; ok {
			heading = s
		}
		want := "https://github.com/brandonlacoste9-tech/github-pr-manager/blob/main/docs/runbook.md#" + strings.ToLower(heading)
		if got := r.Annotations["runbook_url"]; got != want {
			t.Errorf("%s: runbook_url = %s, want %s", name, got, want)
		}
		if !regexp.MustCompile(`(?m)^#+ ` + heading + `$`).MatchString(runbook) {
			t.Errorf("%s: docs/runbook.md has no heading %s", name, heading)
		}
		if !slices.Contains([]string{"P0", "P1", "P2", "P3"}, r.Labels["priority"]) || len(r.Annotations["description"]) < 60 {
			t.Errorf("%s: priority %q, description %q; want P0 to P3, and what to do", name, r.Labels["priority"], r.Annotations["description"])
		}
	}
}

func TestPromtoolAndAmtoolAreContent(t *testing.T) {
	if testing.Short() {
		t.Skip("runs ten programs")
	}
	root := testenv.Root(t)
	short := filepath.Join(t.TempDir(), "divided.yml")
	writeFile(t, short, shippedRules(t).divided(t, shorter).text(t))
	for _, args := range []string{
		"promtool check rules --lint=all --lint-fatal prometheus-alerts.yml",
		"promtool check config --lint=all --lint-fatal prometheus.yml",
		"promtool test rules deploy/prometheus-alerts.test.yml",
		"promtool check rules --lint=all --lint-fatal " + short,
		"amtool check-config deploy/alertmanager.yml",
	} {
		f := strings.Fields(args)
		if out, err := testenv.MonitoringTool(t, root, f[0], f[1:]...); err != nil {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	for priority, want := range map[string]string{"P0": "p0", "P1": "p1", "P2": "p2", "P3": "p3", "": "p2"} {
		out, err := testenv.MonitoringTool(t, root, "amtool", "config", "routes", "test", "--config.file=deploy/alertmanager.yml", "--verify.receivers="+want, "priority="+priority)
		if err != nil {
			t.Errorf("priority %q does not lead to %s: %v\n%s", priority, want, err, out)
		}
	}
}

// The rules that the other tests run are the shipped ones, shorter, and nothing else.
func TestRulesAreDividedAndNothingElse(t *testing.T) {
	f := ruleFile{Groups: []ruleGroup{{Name: "x", Rules: []rule{
		{Alert: "OldestDeliveryWaiting", For: "2m", Expr: `max by (job) (github_x600_seconds{a="600 [5m] offset 1h"} offset 1h) > 600 or rate(x[1h30m]) > 14 * 86400`},
	}}}}
	got := f.divided(t, 20).Groups[0].Rules[0]
	if want := `max by (job) (github_x600_seconds{a="600 [5m] offset 1h"} offset 180000ms) > 30 or rate(x[270000ms]) > 14 * 86400`; got.Expr != want || got.For != "6000ms" {
		t.Errorf("divided = %s for %s, want %s for 6000ms", got.Expr, got.For, want)
	}
	rules := shippedRules(t)
	duration := regexp.MustCompile(`\[[^\]]*\]|offset \w+`)
	for name, r := range rules.divided(t, shorter).all() {
		was := rules.all()[name]
		if r.For != "" && r.For == was.For {
			t.Errorf("%s is still for %s", name, r.For)
		}
		if _, ok := waits[name]; !ok && duration.ReplaceAllString(r.Expr, "D") != duration.ReplaceAllString(was.Expr, "D") {
			t.Errorf("%s: more than durations has changed: %s", name, r.Expr)
		}
		for _, d := range duration.FindAllString(was.Expr, -1) {
			if strings.Contains(r.Expr, d) {
				t.Errorf("%s still has %s", name, d)
			}
		}
	}
}

// Of one fault one thing is told, by the shipped rules of inhibition, in a real Alertmanager.
func TestOfOneFaultOneThingIsTold(t *testing.T) {
	am := testenv.Alertmanager(t, alertmanagerConfig(t, testenv.ReceiveNotices(t)), nil)
	type labels = map[string]string
	alert := func(name, priority string, more ...string) testenv.Alert {
		l := labels{"alertname": name, "priority": priority}
		for i := 0; i < len(more); i += 2 {
			l[more[i]] = more[i+1]
		}
		return testenv.Alert{Labels: l}
	}
	for i, c := range []struct {
		alerts []testenv.Alert
		quiet  []string
	}{
		{ // nothing answers
			[]testenv.Alert{alert("GitHubPRManagerDown", "P0", "instance", "entrance"), alert("DeadLetters", "P2"), alert("HighErrorRate", "P2", "instance", "a")},
			[]string{"DeadLetters", "HighErrorRate"},
		},
		{ // one replica of two is down
			[]testenv.Alert{alert("GitHubPRManagerDown", "P0", "instance", "a"), alert("DeadLetters", "P2"), alert("HighErrorRate", "P2", "instance", "a"), alert("LongProcessingTime", "P1", "instance", "b")},
			[]string{"HighErrorRate"},
		},
		{
			[]testenv.Alert{alert("VeryHighWebhookQueueLength", "P1"), alert("HighWebhookQueueLength", "P2", "instance", "a"), alert("HighWebhookQueueLength", "P2", "instance", "b"), alert("BackupTooOld", "P2")},
			[]string{"HighWebhookQueueLength", "HighWebhookQueueLength"},
		},
		{
			[]testenv.Alert{alert("NearlyEverythingFails", "P0"), alert("VeryHighErrorRate", "P1"), alert("HighErrorRate", "P2", "instance", "a")},
			[]string{"HighErrorRate", "VeryHighErrorRate"},
		},
		{
			[]testenv.Alert{alert("NotReady", "P0"), alert("DeliveriesRefused", "P0"), alert("DeadLetters", "P2")},
			[]string{"DeliveriesRefused"},
		},
		{
			[]testenv.Alert{alert("CertificateExpiresInTwoDays", "P1"), alert("CertificateExpiresSoon", "P3")},
			[]string{"CertificateExpiresSoon"},
		},
	} {
		for _, a := range c.alerts {
			a.Labels["job"] = fmt.Sprint(downJob, i) // a set of its own
		}
		post(t, am, c.alerts...)
		// Whether an alert is kept quiet shows once its group has been gone through.
		testenv.Until(t, fmt.Sprintf("of case %d these are kept quiet: %s", i, c.quiet), 20*time.Second, func() bool {
			res, err := http.Get(am.URL + "/api/v2/alerts?active=false&silenced=false&inhibited=true&filter=job=" + fmt.Sprint(downJob, i))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var got []struct{ Labels labels }
			if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
				t.Fatal(err)
			}
			var quiet []string
			for _, a := range got {
				quiet = append(quiet, a.Labels["alertname"])
			}
			slices.Sort(quiet)
			return slices.Equal(quiet, c.quiet)
		})
	}
}

// TestDownFiresWhenNothingRuns runs the shipped scrape configuration against replicas behind the shipped HAProxy. Docker's
// DNS is a file here: the replicas that run are in it, and one that is stopped is not.
func TestDownFiresWhenNothingRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for scrapes and alerts")
	}
	t.Parallel()
	h := testenv.HAProxy(t)
	replicas := map[int]*testenv.Process{}
	url := testenv.Postgres(t)
	for n := 1; n <= 2; n++ {
		replicas[n] = testenv.Start(t, testenv.Options{Env: append(h.Environ(n), "DATABASE_URL="+url, "WEBHOOK_SECRET="+secret)})
	}
	notices := testenv.ReceiveNotices(t)
	am := testenv.Alertmanager(t, alertmanagerConfig(t, notices), nil)

	byName, entrance := scrapeJob(t, downJob), scrapeJob(t, "github_pr_manager_entrance")
	delete(byName, "dns_sd_configs")
	byName["file_sd_configs"] = []any{map[string]any{"files": []any{"dns.json"}, "refresh_interval": "1s"}}
	entrance["static_configs"] = static(strings.TrimPrefix(h.URL, "http://"))["static_configs"]
	dns := func() string {
		var running []string
		for _, p := range replicas {
			running = append(running, strings.TrimPrefix(p.URL, "http://"))
		}
		if running == nil {
			return "[]"
		}
		text, err := json.Marshal([]map[string]any{{"targets": running}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	p := testenv.Prometheus(t, prometheusConfig(t, am, map[string]string{"haproxy": strings.TrimPrefix(h.Metrics, "http://")}, byName, entrance),
		map[string]string{"prometheus-alerts.yml": rules(t).text(t), "dns.json": dns()})
	stop := func(n int) {
		t.Helper()
		replicas[n].Kill(t)
		delete(replicas, n)
		h.Names("blue", slices.Collect(maps.Keys(replicas))...)
		p.Write(t, "dns.json", dns())
	}
	h.Names("blue", 1, 2)
	h.Await(t, "blue", 2)

	testenv.Until(t, "both replicas and the entrance are up", testenv.Pick(20*time.Second, 2*time.Minute), func() bool {
		return len(p.Query(t, `up{job="github_pr_manager"} == 1`)) == 3 && len(p.Query(t, `up{job="haproxy"} == 1`)) == 1
	})
	if got := p.Query(t, `count by (instance) (count_over_time(github_webhook_queue_length[1m]))`); len(got) != 2 {
		t.Errorf("github_webhook_queue_length has %d series, want one for each replica and none of the entrance: %v", len(got), got)
	}
	if got := p.Query(t, `haproxy_backend_active_servers`); len(got) == 0 {
		t.Error("nothing is known of HAProxy")
	}

	// Scaled down: the target goes with the replica. Prometheus takes up to five seconds to follow its list of targets, which no test
	// divides by twenty; a minute's `for` is not reached by that.
	stop(1)
	targets := func(want int) {
		t.Helper()
		testenv.Until(t, fmt.Sprintf("there are %d targets", want), testenv.Pick(20*time.Second, 2*time.Minute), func() bool {
			return len(p.Query(t, `up{job="github_pr_manager"}`)) == want
		})
	}
	targets(2)
	h.Await(t, "blue", 1)
	// On a busy machine a scrape may take longer than its second: what counts is that nothing stays down.
	testenv.Until(t, "nothing is down after a replica was taken away", testenv.Pick(20*time.Second, 2*time.Minute), func() bool {
		return len(p.Query(t, `up{job="github_pr_manager"} == 1`)) == 2
	})

	stop(2)
	began := time.Now()
	entranceOnly := func(a testenv.Alert) bool { return a.Labels["instance"] == "entrance" }
	a := p.WaitForAlert(t, "GitHubPRManagerDown", "firing", entranceOnly, testenv.Pick(30*time.Second, 3*time.Minute))
	t.Logf("fires %v after the last replica was stopped", time.Since(began).Round(100*time.Millisecond))
	if a.Labels["job"] != downJob || !strings.HasPrefix(a.Annotations["description"], "No replica answers at the entrance") {
		t.Errorf("alert = %+v, want that of the entrance", a)
	}
	targets(1) // without the entrance nobody would be left to say so
	h.Stop(t)  // and everything else: the address stays, and nobody is there
	testenv.Until(t, "the notification has arrived", testenv.Pick(20*time.Second, time.Minute), func() bool {
		return slices.ContainsFunc(notices.All(), func(n testenv.Notice) bool {
			return n.Path == "/p0" && slices.ContainsFunc(n.Alerts, func(a testenv.NoticeAlert) bool {
				return a.Status == "firing" && a.Labels["alertname"] == "GitHubPRManagerDown" && a.Labels["instance"] == "entrance"
			})
		})
	})
	testenv.Until(t, "the entrance was scraped without HAProxy", 20*time.Second, func() bool {
		return slices.ContainsFunc(p.Targets(t), func(x testenv.Target) bool {
			return x.Labels["instance"] == "entrance" && strings.Contains(x.LastError, "connection refused")
		})
	})
	p.WaitForAlert(t, "GitHubPRManagerDown", "firing", entranceOnly, testenv.Pick(20*time.Second, 2*time.Minute))
}
