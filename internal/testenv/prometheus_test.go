package testenv

import (
	"strings"
	"testing"
	"time"
)

// The way of one alert, from a Prometheus that can't reach a target to a receiver of notifications.
func TestPrometheusAndAlertmanagerAreReal(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a scrape and an alert")
	}
	notices := ReceiveNotices(t)
	am := Alertmanager(t, `
route: {receiver: all, group_wait: 0s}
receivers: [{name: all, webhook_configs: [{url: "`+notices.URL+`/all"}]}]
`, nil)
	p := Prometheus(t, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ["`+am.Address+`"]}]}]}
scrape_configs: [{job_name: nobody, static_configs: [{targets: ["127.0.0.1:1"]}]}]
`, map[string]string{"rules.yml": `
groups: [{name: test, rules: [{alert: NobodyThere, expr: 'up{job="nobody"} == 0', annotations: {summary: "{{ $labels.job }} is not there"}}]}]
`})
	a := p.WaitForAlert(t, "NobodyThere", "firing", nil, 20*time.Second)
	if a.Annotations["summary"] != "nobody is not there" {
		t.Errorf("annotations = %v, want the summary with the label filled in", a.Annotations)
	}
	if got := p.Query(t, `up{job="nobody"} + 2`); len(got) != 1 || got[0].Value != 2 || got[0].Labels["instance"] != "127.0.0.1:1" {
		t.Errorf("Query = %+v, want one series of value 2 with its labels", got)
	}
	if got := p.Targets(t); len(got) != 1 || got[0].Health != "down" || got[0].LastError == "" {
		t.Errorf("Targets = %+v, want one that is down, and why", got)
	}
	if _, err := p.TryQuery("rate(up"); err == nil {
		t.Error("TryQuery of a query that is none: no error")
	}
	Until(t, "the notification has arrived", 20*time.Second, func() bool { return len(notices.All()) > 0 })
	n := notices.All()[0]
	if n.Path != "/all" || n.Status != "firing" || len(n.Alerts) != 1 || n.Alerts[0].Labels["alertname"] != "NobodyThere" {
		t.Errorf("notification = %+v, want the alert, firing, at /all", n)
	}
	if out, err := MonitoringTool(t, p.Dir, "promtool", "check", "config", "prometheus.yml"); err != nil || !strings.Contains(out, "SUCCESS") {
		t.Errorf("promtool check config: %v\n%s", err, out)
	}
}
