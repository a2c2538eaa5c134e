package alerts

import (
	"encoding/json"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A dashboard is what Grafana reads, as far as these tests do.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name string }
	}
	Panels []panel
}

type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource source
	Targets    []target
	Panels     []panel // of a row that is folded
}

type target struct {
	RefID, Expr, LegendFormat string
	Datasource                source
}

type source struct{ Type, UID string }

// all are the panels that show something.
func (d dashboard) all() []panel {
	var out []panel
	for _, p := range d.Panels {
		if p.Type != "row" {
			out = append(out, p)
		}
		out = append(out, p.Panels...)
	}
	return out
}

func dashboards(t testing.TB) map[string]dashboard {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testenv.Root(t), "deploy/grafana/dashboards/*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	out := map[string]dashboard{}
	for _, path := range paths {
		var d dashboard
		if err := json.Unmarshal([]byte(shipped(t, "deploy/grafana/dashboards/"+filepath.Base(path))), &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[filepath.Base(path)] = d
	}
	return out
}

// Operators know these four panels by their titles, and their queries by heart.
func TestTheFourPanelsAreAsOperatorsKnowThem(t *testing.T) {
	d := dashboards(t)["github-pr-manager.json"]
	if d.Title != "GitHub PR Manager" {
		t.Errorf("title = %q, want GitHub PR Manager", d.Title)
	}
	for title, want := range map[string]struct {
		kind  string
		exprs []string
	}{
		"Queue Length":                          {"stat", []string{"github_webhook_queue_length"}},
		"Processing Rate":                       {"timeseries", []string{"rate(github_webhook_processed_total[5m]) as Processed/sec", "rate(github_webhooks_total[5m]) as Received/sec"}},
		"Error Rate":                            {"timeseries", []string{"rate(github_webhook_errors_total[5m])"}},
		"Processing Duration (95th percentile)": {"timeseries", []string{"histogram_quantile(0.95, rate(github_webhook_processing_duration_seconds_bucket[5m]))"}},
	} {
		i := slices.IndexFunc(d.Panels, func(p panel) bool { return p.Title == title })
		if i < 0 {
			t.Errorf("there is no panel %s", title)
			continue
		}
		p := d.Panels[i]
		if p.Type != want.kind || len(p.Targets) != len(want.exprs) {
			t.Errorf("%s is a %s of %d queries, want a %s of %d", title, p.Type, len(p.Targets), want.kind, len(want.exprs))
			continue
		}
		for n, x := range p.Targets {
			if expr, legend, _ := strings.Cut(want.exprs[n], " as "); x.Expr != expr || legend != "" && x.LegendFormat != legend {
				t.Errorf("%s: %s as %s, want %s", title, x.Expr, x.LegendFormat, want.exprs[n])
			}
		}
	}
}

func TestDashboardsFitTheProvisioning(t *testing.T) {
	sources := parse(t, "deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"].([]any)
	uid := sources[0].(map[string]any)["uid"].(string)
	provider := parse(t, "deploy/grafana/provisioning/dashboards/github-pr-manager.yml")["providers"].([]any)[0].(map[string]any)
	path := provider["options"].(map[string]any)["path"].(string)
	if mount := "./deploy/grafana/dashboards:" + path + ":ro"; !strings.Contains(shipped(t, "docker-compose.production.yml"), mount) {
		t.Errorf("docker-compose.production.yml does not mount %s", mount)
	}
	for name, d := range dashboards(t) {
		if d.UID == "" || d.SchemaVersion < 39 || len(d.all()) < 20 {
			t.Errorf("%s: uid %q, schema %d, %d panels", name, d.UID, d.SchemaVersion, len(d.all()))
		}
		ids := map[int]bool{}
		for _, p := range d.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: panel %s has the id %d of another", name, p.Title, p.ID)
			}
			ids[p.ID] = true
		}
		for _, p := range d.all() {
			if !slices.Contains([]string{"stat", "timeseries"}, p.Type) {
				t.Errorf("%s: panel %s is a %s, which this Grafana may not have", name, p.Title, p.Type)
			}
			if p.Datasource.UID != uid {
				t.Errorf("%s: panel %s asks %q, and the data source is %q", name, p.Title, p.Datasource.UID, uid)
			}
			for _, x := range p.Targets {
				if x.Datasource.UID != uid {
					t.Errorf("%s: panel %s: query %s asks %q, and the data source is %q", name, p.Title, x.RefID, x.Datasource.UID, uid)
				}
			}
		}
	}
}

// TestEverythingHasItsSeriesBeforeAnyTraffic asks for all that operators look at, of a service to which nobody has sent
// anything and that can't reach GitHub.
func TestEverythingHasItsSeriesBeforeAnyTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for scrapes")
	}
	t.Parallel()
	s := testenv.Start(t, testenv.Options{Env: []string{"WEBHOOK_SECRET=" + secret, "GITHUB_API_URL=http://127.0.0.1:1", "GITHUB_TOKEN=none"}})
	res, err := client.Get(s.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, grep := range []string{"github_webhook_queue_length", "github_errors_total", "queue_length"} {
		if !regexp.MustCompile(`(?m)^[^#\n]*` + grep + `.* [0-9.e+-]+$`).Match(text) {
			t.Errorf("curl -s …/metrics | grep %s finds no sample", grep)
		}
	}

	am := testenv.Alertmanager(t, alertmanagerConfig(t, testenv.ReceiveNotices(t)), nil)
	p := testenv.Prometheus(t, prometheusConfig(t, am, map[string]string{downJob: strings.TrimPrefix(s.URL, "http://")}),
		map[string]string{"prometheus-alerts.yml": rules(t).text(t)})
	testenv.Until(t, "the service is scraped", time.Minute, func() bool { return len(p.Query(t, `up == 1`)) == 1 })
	metric := regexp.MustCompile(`\b(?:github|process|go)_[a-z_]+\b|\bup\b`)
	asked := map[string]bool{}
	there := func(where, expr string) {
		for _, name := range metric.FindAllString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, ""), -1) {
			if !asked[name] && len(p.Query(t, name)) == 0 {
				t.Errorf("%s: %s has no series after the first scrape", where, name)
			}
			asked[name] = true
		}
	}
	for name, r := range shippedRules(t).all() {
		there(name, r.Expr)
	}
	queries := 0
	for name, d := range dashboards(t) {
		for _, panel := range d.all() {
			for _, x := range panel.Targets {
				there(name+", "+panel.Title, x.Expr)
			}
		}
	}
	if len(asked) < 30 {
		t.Errorf("only %d metrics are asked for: the test looks in the wrong place", len(asked))
	}

	// A rate needs two samples.
	testenv.Until(t, "the service is scraped again", time.Minute, func() bool { return p.Query(t, `count_over_time(up[5m])`)[0].Value >= 2 })
	for name, d := range dashboards(t) {
		for _, panel := range d.all() {
			if len(panel.Targets) == 0 {
				t.Errorf("%s: panel %s asks nothing", name, panel.Title)
			}
			for _, x := range panel.Targets {
				queries++
				expr := x.Expr
				for _, v := range d.Templating.List {
					expr = strings.NewReplacer("$"+v.Name, ".*", "${"+v.Name+"}", ".*").Replace(expr)
				}
				if got, err := p.TryQuery(expr); err != nil || len(got) == 0 {
					t.Errorf("%s: panel %s: %s has no data: %v", name, panel.Title, expr, err)
				}
			}
		}
	}
	// What an alert compares has a value, also where the comparison is false. (LostAfterAcknowledgement compares twice.)
	comparison := regexp.MustCompile(` (?:==|>|<) [\d.* ]+(?:$| (?:or|and) .*$)`)
	for name, r := range rules(t).all() {
		expr := comparison.ReplaceAllString(strings.ReplaceAll(r.Expr, "_timestamp_seconds > 0)", "_timestamp_seconds)"), "")
		if expr == r.Expr {
			t.Errorf("%s: no comparison is found in %s", name, r.Expr)
		}
		if got := p.WaitForData(t, expr, 20*time.Second); len(got) == 0 {
			t.Errorf("%s: %s has no data", name, expr)
		}
		queries++
	}
	t.Logf("%d metrics, %d queries", len(asked), queries)
}
