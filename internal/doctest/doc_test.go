// Package doctest holds the documentation to the code: links lead somewhere, commands and make targets exist, every
// setting, metric and alert is described, the tests that they name exist, and the policy that a newcomer copies is valid. It has no code of its own.
package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// pages returns the documentation by its path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root := testenv.Root(t)
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(name)] = read(t, name)
		}
	}
	for _, want := range []string{
		"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/operating.md", "docs/policy.md", "docs/how-it-works.md",
		"docs/deploying.md", "docs/runbook.md", "docs/reliability.md", "PRODUCTION_DEPLOYMENT_SUMMARY.md",
	} {
		if texts[want] == "" {
			t.Errorf("%s is missing", want)
		}
	}
	return texts
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for name, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := name
			if target != "" {
				file = filepath.Join(filepath.Dir(name), filepath.FromSlash(target))
			}
			if _, err := os.Stat(filepath.Join(testenv.Root(t), file)); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s links to %s, which has no such heading", name, m[1])
			}
		}
	}
}

// anchors returns what GitHub makes of a page's headings.
func anchors(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.+)$`).FindAllStringSubmatch(text, -1) {
		s := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		all = append(all, strings.ReplaceAll(s, " ", "-"))
	}
	return all
}

func TestMakeTargetsExist(t *testing.T) {
	targets := matches(`(?m)^([a-z]+):.*##`, read(t, "Makefile"))
	for name, text := range pages(t) {
		for _, target := range matches("(?m)(?:^|`)make ([a-z]+)", text) {
			if !slices.Contains(targets, target) {
				t.Errorf("%s says make %s, which the Makefile doesn't have", name, target)
			}
		}
	}
}

func TestCommandsExist(t *testing.T) {
	var commands []string
	for _, source := range sources(t, "internal/cli") {
		commands = append(commands, matches(`Use:\s+"([a-z]+)`, source)...)
	}
	for name, text := range pages(t) {
		for _, command := range matches("(?m)(?:^|`|bin/)github-pr-manager ([a-z]+)", text) {
			if !slices.Contains(commands, command) {
				t.Errorf("%s says github-pr-manager %s, which is no command", name, command)
			}
		}
	}
}

func TestEverySettingIsDescribed(t *testing.T) {
	source := read(t, "internal/app/config.go")
	_, after, found := strings.Cut(source, "\nvar variables = ")
	list, _, ended := strings.Cut(after, "\n}")
	if !found || !ended {
		t.Fatal("internal/app/config.go has no list `var variables`: the test looks in the wrong place")
	}
	compareTables(t, "variable", matches(`"([A-Z_]+)":`, list), matches("`([A-Z][A-Z_]+)`", settings(read(t, "docs/operating.md"))))
}

// settings returns the first cells of the tables in the section Settings.
func settings(text string) string {
	_, text, _ = strings.Cut(text, "\n## Settings\n")
	text, _, _ = strings.Cut(text, "\n## ")
	return strings.Join(matches(`(?m)^\| ([^|]+) \|`, text), "\n")
}

func TestEveryMetricIsDescribed(t *testing.T) {
	var inCode []string
	for _, dir := range []string{"internal/telemetry", "internal/app", "internal/dashboard", "internal/store", "internal/webhook"} {
		for _, source := range sources(t, dir) {
			inCode = append(inCode, matches(`(?:counter\(|histogram\(|Name: |\.Gauge\(|Metrics\.Gauge\()"(github_[a-z_]+)"`, source)...)
		}
	}
	compareTables(t, "metric", inCode, matches("(?m)^\\| `(github_[a-z_]+)` \\|", read(t, "docs/operating.md")))
}

// What /ready can warn of, the smoke test has advice about. It knows the contract and not the code, so that this is where
// the two are compared.
func TestTheSmokeTestHasAdviceForEveryCheck(t *testing.T) {
	_, after, found := strings.Cut(read(t, "internal/probe/smoke.go"), "\nvar advice = ")
	list, _, ended := strings.Cut(after, "\n}")
	if !found || !ended {
		t.Fatal("internal/probe/smoke.go has no list `var advice`: the test looks in the wrong place")
	}
	advice := matches(`"([a-z]+)":`, list)
	registered := []string{"draining"} // which no check looks at
	for _, source := range sources(t, "internal/app") {
		registered = append(registered, matches(`health\.Register\("([a-z]+)"`, source)...)
	}
	if len(registered) < 5 {
		t.Fatalf("found %q registered in internal/app: the test looks in the wrong place", registered)
	}
	for _, name := range registered {
		if !slices.Contains(advice, name) {
			t.Errorf("/ready has the check %s, and internal/probe says nobody what to do about it", name)
		}
	}
	for _, name := range advice {
		if !slices.Contains(registered, name) {
			t.Errorf("internal/probe has advice about %s, which no check of /ready looks at", name)
		}
	}
}

// An alert is a rule, a case of promtool's, and a row of the page; its section in the runbook test/alerts looks for.
func TestEveryAlertIsDescribed(t *testing.T) {
	rules := matches(`(?m)- alert: (\w+)$`, read(t, "prometheus-alerts.yml"))
	_, table, _ := strings.Cut(read(t, "docs/operating.md"), "\n### Alerts\n")
	table, _, _ = strings.Cut(table, "\n### ")
	compareTables(t, "alert", rules, matches("`(\\w+)`", strings.Join(matches(`(?m)^\| ([^|]+) \|`, table), "\n")))
	cases := read(t, "deploy/prometheus-alerts.test.yml")
	for _, name := range rules {
		if !slices.Contains(matches(`alertname: (\w+)`, cases), name) {
			t.Errorf("deploy/prometheus-alerts.test.yml has no case for the alert %s", name)
		}
	}
}

// GitHub calls events otherwise in its settings: "Pull request review comments" is pull_request_review_comment.
func TestAWebhookByHandGetsEveryEvent(t *testing.T) {
	_, text, found := strings.Cut(read(t, "README.md"), "and the events *")
	text, _, ended := strings.Cut(text, "*.")
	if !found || !ended {
		t.Fatal("README.md does not list the events of a webhook: the test looks in the wrong place")
	}
	var got []string
	for _, name := range regexp.MustCompile(`\*[,\s]+(?:and )?\*`).Split(text, -1) {
		name = strings.ReplaceAll(strings.ToLower(name), " ", "_")
		if plural := strings.TrimSuffix(name, "es"); plural == "status" || plural == "push" {
			name = plural
		}
		got = append(got, strings.TrimSuffix(name, "s"), name)
	}
	if lacking := pull.LackingEvents(got); len(lacking) > 0 {
		t.Errorf("README.md has a webhook by hand send %q: %q are lacking", got, lacking)
	}
}

// What a page says is tried by a test is.
func TestNamedTestsExist(t *testing.T) {
	var tests []string
	root := testenv.Root(t)
	for _, dir := range []string{"internal/*", "test/*", "scenario", "cmd/*"} {
		paths, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tests = append(tests, matches(`(?m)^func (Test\w+)\(`, string(text))...)
		}
	}
	for name, text := range pages(t) {
		for _, test := range matches("`(Test[A-Z]\\w+)`", text) {
			if !slices.Contains(tests, test) {
				t.Errorf("%s names %s, which is no test", name, test)
			}
		}
	}
}

func compareTables(t *testing.T, what string, code, page []string) {
	t.Helper()
	if len(code) < 10 || len(page) < 10 {
		t.Fatalf("found %d %ss in the code and %d in docs/operating.md: the test looks in the wrong place", len(code), what, len(page))
	}
	for _, name := range code {
		if !slices.Contains(page, name) {
			t.Errorf("the %s %s is missing in docs/operating.md", what, name)
		}
	}
	for _, name := range page {
		if !slices.Contains(code, name) {
			t.Errorf("docs/operating.md describes the %s %s, which does not exist", what, name)
		}
	}
}

func TestThePolicyOfTheReadmeIsValid(t *testing.T) {
	_, text, found := strings.Cut(read(t, "README.md"), "```yaml\n")
	text, _, ended := strings.Cut(text, "```")
	if !found || !ended {
		t.Fatal("README.md has no example of a policy")
	}
	p, problems := policy.Parse(policy.FileName, []byte(text))
	if len(problems) > 0 {
		t.Fatalf("the policy in README.md is not valid:\n%v", problems)
	}
	if !p.Merges() || len(p.Labels()) == 0 {
		t.Errorf("the policy in README.md merges = %v, labels = %v, want an example of both", p.Merges(), p.Labels())
	}
}

func matches(pattern, text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sources returns the Go files of a directory that are not tests.
func sources(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testenv.Root(t), dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
	}
	return texts
}

// What the operators' runbook calls and links to lies where it says, and may be executed where it says `./`.
func TestFilesOfTheOperatorsRunbookExist(t *testing.T) {
	page := read(t, "test/runbook/testdata/operators-runbook.md")
	called := matches(`\./([\w.-]+\.(?:ps1|js|sh))`, page)
	named := append(matches(`\]\(\./([^)]+)\)`, page), matches(`(?:-f|cp) (docker-compose\.production\.yml|\.env\.production)`, page)...)
	named = append(named, matches(`(?m)^# (prometheus-alerts\.yml)$`, page)...)
	for _, name := range matches(`/migrations/(\S+\.sql)`, page) {
		named = append(named, "migrations/"+name)
	}
	named = append(named, matches(`\]\(\.\./\.\./(\.github/[^)]+)\)`, page)...) // there the project was two directories below the root
	if len(called) < 5 || len(named) < 8 {
		t.Fatalf("found %d calls and %d files: the test looks in the wrong place", len(called), len(named))
	}
	for _, name := range append(named, called...) {
		info, err := os.Stat(filepath.Join(testenv.Root(t), name))
		if err != nil {
			t.Errorf("the operators' runbook names %s: %v", name, err)
		} else if slices.Contains(called, name) && info.Mode()&0o111 != 0o111 {
			t.Errorf("the operators' runbook calls ./%s, which has no run bit (%v)", name, info.Mode())
		}
	}
}

// Each alert leads to a section of docs/runbook.md, and the section of an alert has its name.
func TestEveryAlertHasASection(t *testing.T) {
	rules := read(t, "prometheus-alerts.yml")
	alerts := matches(`(?m)^ +- alert: (\w+)$`, rules)
	links := matches(`runbook_url: https://github\.com/brandonlacoste9-tech/github-pr-manager/blob/main/docs/runbook\.md#(\S+)`, rules)
	if len(alerts) < 10 || len(alerts) != len(links) {
		t.Fatalf("prometheus-alerts.yml has %d alerts and %d links into the runbook", len(alerts), len(links))
	}
	page := read(t, "docs/runbook.md")
	for i, link := range links {
		if !slices.Contains(anchors(page), link) {
			t.Errorf("%s leads to #%s, and docs/runbook.md has no such heading", alerts[i], link)
		}
	}
	_, section, _ := strings.Cut(page, "\n## Alerts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, heading := range matches(`(?m)^### (\w+)$`, section) {
		if !slices.Contains(alerts, heading) {
			t.Errorf("docs/runbook.md has a section for the alert %s, which does not exist", heading)
		}
	}
}
