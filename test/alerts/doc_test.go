// Package alerts holds the files of the monitoring to the service: the shipped rules are loaded into a real Prometheus
// that scrapes built processes, a fault is made, and the alert has to go pending, fire, and arrive where Alertmanager
// sends it; a service that is well has to be silent meanwhile.
//
// What is shipped is read, never copied: prometheus.yml, prometheus-alerts.yml, deploy/alertmanager.yml and the
// dashboards. In their short form the tests divide every duration of the rules by twenty; TEST_LONG=1 leaves them as
// they are.
package alerts

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// shorter is what the short form divides durations by.
const shorter = 20

// shipped reads a file of the repository.
func shipped(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A rule is an alerting rule.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type ruleGroup struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

// shippedRules are the rules of prometheus-alerts.yml.
func shippedRules(t testing.TB) ruleFile {
	t.Helper()
	var f ruleFile
	if err := yaml.UnmarshalWithOptions([]byte(shipped(t, "prometheus-alerts.yml")), &f, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return f
}

// all are the rules of all groups by name.
func (f ruleFile) all() map[string]rule {
	rules := map[string]rule{}
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			rules[r.Alert] = r
		}
	}
	return rules
}

// waits are thresholds that are a time of waiting themselves, and too long for the short form.
var waits = map[string]string{"OldestDeliveryWaiting": "600"}

// divided returns the rules with every duration divided: `for`, ranges, offsets, and the thresholds of waits.
func (f ruleFile) divided(t testing.TB, by int) ruleFile {
	t.Helper()
	var out ruleFile
	for _, g := range f.Groups {
		d := ruleGroup{Name: g.Name}
		for _, r := range g.Rules {
			if r.For != "" {
				r.For = divide(t, r.For, by)
			}
			r.Expr = inExpr.ReplaceAllStringFunc(r.Expr, func(token string) string {
				switch {
				case token[0] == '[':
					return "[" + divide(t, strings.Trim(token, "[]"), by) + "]"
				case strings.HasPrefix(token, "offset"):
					return "offset " + divide(t, strings.TrimSpace(strings.TrimPrefix(token, "offset")), by)
				case token == waits[r.Alert]:
					var seconds float64
					if _, err := fmt.Sscan(token, &seconds); err != nil {
						t.Fatal(err)
					}
					return fmt.Sprint(seconds / float64(by))
				}
				return token
			})
			d.Rules = append(d.Rules, r)
		}
		out.Groups = append(out.Groups, d)
	}
	return out
}

// inExpr finds the tokens of an expression that matter here: strings, which stay as they are, ranges, offsets, numbers.
// Names and durations elsewhere are matched as wholes, so that no digit of theirs is taken for a number.
var inExpr = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\boffset\s+\w+|[A-Za-z_:][\w:]*|\d[\w.]*`)

// divide divides a duration as Prometheus writes it.
func divide(t testing.TB, duration string, by int) string {
	t.Helper()
	d, err := time.ParseDuration(duration)
	if err != nil {
		t.Fatalf("%q is not a duration that this test understands: %v", duration, err)
	}
	return fmt.Sprintf("%dms", (d / time.Duration(by)).Milliseconds())
}

// text is the file as Prometheus reads it.
func (f ruleFile) text(t testing.TB) string {
	t.Helper()
	b, err := yaml.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rules are the rules for a test: as shipped, or with their durations divided.
func rules(t testing.TB) ruleFile {
	return shippedRules(t).divided(t, testenv.Pick(shorter, 1))
}

// alertmanagerConfig is the shipped configuration with receivers that send to n, each to its name as the path, and its
// waits divided as those of the rules.
func alertmanagerConfig(t testing.TB, n *testenv.Notices) string {
	t.Helper()
	config := parse(t, "deploy/alertmanager.yml")
	config["global"] = map[string]any{}
	for _, r := range config["receivers"].([]any) {
		r := r.(map[string]any)
		for key := range r {
			if key != "name" {
				delete(r, key)
			}
		}
		r["webhook_configs"] = []any{map[string]any{"url": n.URL + "/" + r["name"].(string), "send_resolved": true}}
	}
	var sooner func(route map[string]any)
	sooner = func(route map[string]any) {
		for _, key := range []string{"group_wait", "group_interval", "repeat_interval"} {
			if d, ok := route[key].(string); ok {
				route[key] = divide(t, strings.Replace(d, "1d", "24h", 1), testenv.Pick(shorter, 1))
			}
		}
		children, _ := route["routes"].([]any)
		for _, c := range children {
			sooner(c.(map[string]any))
		}
	}
	sooner(config["route"].(map[string]any))
	return unparse(t, config)
}

// prometheusConfig is the shipped configuration with one scrape job per target, by name, and beside them what of the
// shipped ones keep says.
func prometheusConfig(t testing.TB, am *testenv.AlertmanagerServer, targets map[string]string, keep ...map[string]any) string {
	t.Helper()
	config := parse(t, "prometheus.yml")
	config["alerting"] = map[string]any{"alertmanagers": []any{static(am.Address)}}
	if !testenv.Long() {
		config["global"] = map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
	}
	var jobs []any
	for _, k := range keep {
		jobs = append(jobs, k)
	}
	for name, address := range targets {
		job := static(address)
		job["job_name"] = name
		jobs = append(jobs, job)
	}
	config["scrape_configs"] = jobs
	return unparse(t, config)
}

func static(address string) map[string]any {
	return map[string]any{"static_configs": []any{map[string]any{"targets": []any{address}}}}
}

// scrapeJob is a scrape configuration as it is shipped.
func scrapeJob(t testing.TB, name string) map[string]any {
	t.Helper()
	for _, c := range parse(t, "prometheus.yml")["scrape_configs"].([]any) {
		if c := c.(map[string]any); c["job_name"] == name {
			return c
		}
	}
	t.Fatalf("prometheus.yml has no job %s", name)
	return nil
}

func parse(t testing.TB, name string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal([]byte(shipped(t, name)), &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

func unparse(t testing.TB, v map[string]any) string {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
