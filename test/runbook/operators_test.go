package runbook

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const (
	compose = "docker-compose -f docker-compose.production.yml "
	first1  = "github-pr-manager-enhanced_github-pr-manager_1"
)

// The operators' runbook is typed from its first line to its last into the shipped stack: once as it starts, and once with
// three replicas.
func TestTheOperatorsRunbook(t *testing.T)                  { operators(t, 1) }
func TestTheOperatorsRunbookWithThreeReplicas(t *testing.T) { operators(t, 3) }

// Every command of it has a row, and every row a command: this needs no server.
func TestEveryCommandOfTheOperatorsRunbookHasARow(t *testing.T) {
	matched(t, commands(t, operatorsPage(t)), operatorsRows())
}

func operatorsPage(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/operators-runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func operators(t *testing.T, replicas int) {
	if testing.Short() {
		t.Skip("the walk takes half a minute")
	}
	t.Parallel()
	if !inOwnNetwork(t) {
		return
	}
	page := commands(t, operatorsPage(t))
	w := &walk{stage: newStage(t), replicas: replicas, url: "http://localhost:3001", kept: map[string]string{}}
	w.e = w.composed()
	w.faster()
	w.must(compose + "up -d --scale github-pr-manager=" + strconv.Itoa(replicas))
	w.ready()
	w.hook = w.repo.Hook(w.mira, githubtest.HookOptions{URL: w.url + "/webhook", Secret: secret, Events: events})
	w.idle()
	w.through(page, matched(t, page, operatorsRows()))
}

// faster lets Prometheus look every second instead of every 15: a rate needs two looks.
func (w *walk) faster() {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "prometheus.yml"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, of := range [][2]string{{"scrape_interval: 15s", "scrape_interval: 1s"}, {"scrape_timeout: 10s", "scrape_timeout: 1s"}, {"evaluation_interval: 15s", "evaluation_interval: 1s"}, {"refresh_interval: 10s", "refresh_interval: 1s"}} {
		if !strings.Contains(string(text), of[0]) {
			w.t.Fatalf("prometheus.yml does not say %s", of[0])
		}
		text = []byte(strings.Replace(string(text), of[0], of[1], 1))
	}
	w.write("prometheus.yml", string(text))
}

// settle brings back as many replicas as the walk has, and waits until all are ready. A command of the runbook that says
// `up -d` without --scale leaves one.
func (w *walk) settle() {
	w.t.Helper()
	w.must(compose + "up -d --no-recreate --scale github-pr-manager=" + strconv.Itoa(w.replicas))
	if err := w.e.awaitHealth("github-pr-manager-enhanced", "github-pr-manager"); err != nil {
		w.t.Fatalf("line %d: %v", w.now.line, err)
	}
	w.ready()
}

// counted waits until every replica's gauge says so: each asks the database now and then, and the entrance leads to any of them.
func (w *walk) counted(length float64) {
	w.t.Helper()
	w.eventually("all of them are counted", func() bool {
		for range 2 * w.replicas {
			if w.metric("github_webhook_queue_length") != length {
				return false
			}
		}
		return true
	})
}

// gpm runs a command of the program in the first replica.
func (w *walk) gpm(args string) result {
	w.t.Helper()
	return w.must("docker exec " + first1 + " github-pr-manager " + args)
}

func operatorsRows() []row {
	settled := func(w *walk, _ result) { w.settle() }
	ps1 := "PowerShell is not here: the first line of the .ps1 runs the twin, with the same parameters"
	return []row{
		// Service Down
		{section: "Service Down", text: "curl -f http://localhost:3001/health", want: says(`"status": "(healthy|degraded)"`)},
		{section: "Service Down", text: "docker ps | grep github-pr-manager", want: func(w *walk, r result) {
			says("(?m)"+first1+"$")(w, r)
			n := strings.Count(r.stdout, "_github-pr-manager_")
			w.check(n == w.replicas, r, "%d replicas are listed, want %d", n, w.replicas)
		}},
		{section: "Service Down", text: "systemctl status github-pr-manager  # if using systemd", elsewhere: "no systemd here: test/deploy has systemd-analyze verify read github-pr-manager.service; TestTheRunbook runs its ExecStart"},
		{section: "Service Down", text: "docker-compose -f docker-compose.production.yml restart github-pr-manager", want: func(w *walk, r result) {
			says()(w, r)
			w.ready()
			w.accepted(1, secret)
		}},
		{section: "Service Down", text: "systemctl restart github-pr-manager", elsewhere: "no systemd here: as above"},
		{section: "Service Down", text: "docker logs github-pr-manager-enhanced_github-pr-manager_1 --tail 100", want: func(w *walk, r result) {
			says(`"level":"INFO"`)(w, r)
			w.check(strings.Count(r.stdout, "\n") <= 100, r, "more than 100 lines")
		}},

		// High Queue Length: 150 wait, the queue is paused, and what an operator does to the list loses nothing.
		{section: "High Queue Length (>100 items)", text: "curl -s http://localhost:3001/metrics | grep github_webhook_queue_length", before: func(w *walk) {
			w.idle()
			w.gpm("queue pause")
			w.accepted(150, secret)
			w.counted(150)
		}, want: says(`(?m)^github_webhook_queue_length 150$`)},
		{section: "High Queue Length (>100 items)", text: "docker-compose -f docker-compose.production.yml up -d --scale github-pr-manager=3", want: func(w *walk, r result) {
			says()(w, r)
			was := w.replicas
			w.replicas = 3
			w.eventually("three replicas are healthy", func() bool {
				return strings.Count(w.must("docker ps | grep _github-pr-manager_").stdout, "(healthy)") == 3
			})
			w.replicas = was
			w.eventually("Prometheus sees all of them", func() bool {
				_, body := w.get("http://localhost:9090/api/v1/query?query=count(github_build_info)")
				return strings.Contains(body, `"3"]`)
			})
		}},
		{section: "High Queue Length (>100 items)", text: "redis-cli -h localhost -p 6379", before: func(w *walk) {
			w.eventually("the list is filled", func() bool {
				return w.must("redis-cli -h localhost -p 6379 LLEN queue:github-webhook").stdout == "150\n"
			})
		}, want: func(w *walk, r result) {
			says(`^150\n\{"v":1,.*"repository":"octo/app"`)(w, r)
			left := w.must("redis-cli -h localhost -p 6379 LLEN queue:github-webhook").stdout
			w.check(left == "149\n", r, "%s are left, want 149", left)
			w.gpm("queue resume")
			w.idle() // the one that was popped is processed all the same
			dead := w.count("status = 'dead'")
			w.check(dead == 0, r, "%d are dead", dead)
			w.settle()
		}},

		// High Error Rate: Redis has been gone for a moment.
		{section: "High Error Rate (>5%)", text: "curl -s http://localhost:3001/metrics | grep github_errors_total", before: func(w *walk) {
			w.must(compose + "stop redis")
			w.eventually("every replica misses it", func() bool {
				for n := range w.replicas {
					if !strings.Contains(w.must(fmt.Sprintf("docker logs github-pr-manager-enhanced_github-pr-manager_%d", n+1)).stdout, `"level":"ERROR","msg":"the queue in Redis`) {
						return false
					}
				}
				return true
			})
		}, want: func(w *walk, r result) {
			says(`(?m)^github_errors_total\{kind="redis"\} [1-9]`)(w, r)
			w.check(samples(r.stdout, "github_errors_total") == 6, r, "want a line for each of the six kinds")
		}},
		{section: "High Error Rate (>5%)", text: `docker logs github-pr-manager-enhanced_github-pr-manager_1 --since="10m" | grep ERROR`, want: func(w *walk, r result) {
			says(`"level":"ERROR","msg":"the queue in Redis can't be used`)(w, r)
			w.must("docker start github-pr-manager-enhanced_redis_1") // "3. Redis connection -> Restart Redis container"
			w.ready()
		}},

		// Memory
		{section: "Memory Leak / High Memory Usage", text: "docker stats github-pr-manager-enhanced_github-pr-manager_1", want: func(w *walk, r result) {
			says(`(?m)512m$`)(w, r)
			used := regexp.MustCompile(`(\d+\.\d)MiB`).FindStringSubmatch(r.stdout)
			mib, _ := strconv.ParseFloat(used[1], 64)
			w.check(mib > 1 && mib < 512, r, "it uses %v MiB, want less than 512", mib)
		}},
		{
			section: "Memory Leak / High Memory Usage", text: `docker update --memory="512m" github-pr-manager-enhanced_github-pr-manager_1`,
			elsewhere: "a limit needs Docker's cgroups: test/deploy sees mem_limit 512m in the Compose file; the row above sees what the process uses",
		},
		{section: "Memory Leak / High Memory Usage", text: "docker restart github-pr-manager-enhanced_github-pr-manager_1", want: all(says(first1), settled)},
		{section: "Memory Leak / High Memory Usage", text: "docker exec -it github-pr-manager-enhanced_github-pr-manager_1 kill -USR2 1", want: func(w *walk, r result) {
			says()(w, r)
			var path string
			w.eventually("the log names the heap profile", func() bool {
				m := regexp.MustCompile(`"msg":"heap profile written","path":"([^"]+)"`).FindStringSubmatch(w.must("docker logs " + first1 + " --tail 5").stdout)
				if m != nil {
					path = m[1]
				}
				return m != nil
			})
			w.must("docker cp " + first1 + ":" + path + " heap.pprof")
			profile, err := os.ReadFile(filepath.Join(w.dir, "heap.pprof"))
			w.check(err == nil && strings.HasPrefix(string(profile), "\x1f\x8b"), r, "the profile is no profile")
		}},

		// Monitoring
		{section: "Prometheus Alerts", want: alertsAsShipped, do: asText},
		{section: "Grafana Dashboard Panels", want: panelsHaveData, do: asText},

		// Rotation, in the order of this runbook: what GitHub sends between its change and the restart is refused, and fetched again.
		{section: "Rotate Webhook Secret", text: "NEW_SECRET=$(openssl rand -hex 32)", want: func(w *walk, r result) {
			says()(w, r)
			w.kept["secret"] = strings.TrimSpace(w.must("echo $NEW_SECRET").stdout)
			w.check(len(w.kept["secret"]) == 64, r, "NEW_SECRET is %q", w.kept["secret"])
		}},
		{section: "Rotate Webhook Secret", text: "export WEBHOOK_SECRET=$NEW_SECRET", before: func(w *walk) {
			w.hook.SetSecret(w.kept["secret"]) // the manual step
			w.repo.Push("topic", map[string]string{"b.txt": "b\n"}, "Write b, while the secrets differ", w.mira)
			w.eventually("GitHub's deliveries are refused", func() bool { return w.undelivered() > 0 })
		}, want: says()},
		{section: "Rotate Webhook Secret", text: "docker-compose -f docker-compose.production.yml up -d --force-recreate github-pr-manager", want: func(w *walk, r result) {
			says()(w, r)
			w.settle()
			w.gpm("deliveries recover --since 1h")
			w.eventually("what was refused has come in", func() bool { return w.undelivered() == 0 })
			codes := w.deliver(1, secret)
			w.check(codes[0] == 401, r, "the old secret is answered %d, want 401", codes[0])
		}},
		{section: "Rotate Webhook Secret", text: "./test-webhook-signature.ps1 -Secret $NEW_SECRET", want: all(says("202"), note(ps1))},
		{section: "Rotate GitHub Token", text: "export GITHUB_TOKEN=new_token_here", as: func(w *walk, text string) string {
			return strings.Replace(text, "new_token_here", w.noa.Token(), 1)
		}, want: says()},
		{section: "Rotate GitHub Token", text: "docker-compose -f docker-compose.production.yml up -d --force-recreate github-pr-manager", want: func(w *walk, r result) {
			says()(w, r)
			w.settle()
			w.repo.Push("topic", map[string]string{"c.txt": "c\n"}, "Write c, under the new token", w.mira)
			w.idle()
		}},
		{section: "Security Audit Checklist", text: "npm audit fix", elsewhere: "Go's is `make vuln`, which `make test` runs"},

		// Blue-green: a stack of its own on other ports.
		{section: "Blue-Green Deployment", text: "docker-compose -f docker-compose.production.yml -p github-pr-manager-green up -d", before: func(w *walk) {
			w.must("set -a; . deploy/green.env; set +a")
		}, want: says()},
		{section: "Blue-Green Deployment", text: "curl -f http://localhost:3002/health  # assuming green on port 3002", before: func(w *walk) {
			w.readyAt("http://localhost:3002")
		}, want: says(`"status": "(healthy|degraded)"`)},
		{section: "Blue-Green Deployment", text: "./smoke-tests.ps1 -BaseUrl http://localhost:3002", want: all(says(`(?i)pass`), note(ps1))},
		{section: "Blue-Green Deployment", text: "docker-compose -f docker-compose.production.yml -p github-pr-manager-blue down", want: func(w *walk, r result) {
			says()(w, r) // blue runs under its own name here, and goes on
			w.ready()
			w.must(compose + "-p github-pr-manager-green down -v")
			w.must("unset $(grep -o '^[A-Z_]*' deploy/green.env)")
			w.ready()
		}},

		// Rollback
		{section: "Rollback Procedure", text: "git checkout v0.9.0  # or previous working tag", before: func(w *walk) {
			w.must("git checkout -q -- prometheus.yml") // which the test had changed
		}, want: says()},
		{section: "Rollback Procedure", text: "docker-compose -f docker-compose.production.yml up -d --build --force-recreate", before: (*walk).faster, want: all(says(), settled)},
		{section: "Rollback Procedure", text: "docker run -p 3001:3001 github-pr-manager-enhanced:v0.9.0", do: alone, want: says(`"status": "degraded"`, `"secret"`)},
		{section: "Rollback Procedure", text: "curl -f http://localhost:3001/health", want: says(`"status": "(healthy|degraded)"`)},
		{section: "Rollback Procedure", text: "./smoke-tests.ps1", want: all(says(`(?i)pass`), note(ps1))},

		// Migration
		{section: "Database Migration (if needed)", text: "pg_dump github_agent > backup_$(date +%Y%m%d_%H%M%S).sql", want: func(w *walk, r result) {
			says()(w, r)
			w.idle()
			w.must("cp backup_*.sql whole.sql && grep -c 'COPY public.webhook_logs' whole.sql")
		}},
		{section: "Database Migration (if needed)", text: "docker exec -it github-pr-manager-enhanced_postgres_1 psql -U postgres -d github_agent -f /migrations/001_add_new_columns.sql", want: func(w *walk, r result) {
			says(`already exists, skipping`)(w, r) // it may be run twice
			w.check(!strings.Contains(r.stderr, "ERROR"), r, "the migration does not run twice")
			w.ready()
		}},
		{
			section: "Database Migration (if needed)", text: `docker exec -it github-pr-manager-enhanced_postgres_1 psql -U postgres -d github_agent -c "\d+ webhook_logs"`,
			want: says("delivery_id", "status", "received_at", "webhook_logs_delivery"),
		},

		// Troubleshooting
		{section: "PowerShell Diagnostics", do: asText, want: diagnostics},
		{section: `"Port 3001 already in use"`, text: "ss -ltnp | grep :3001", before: stranger, want: func(w *walk, r result) {
			says(`users:\(\("node",pid=`+w.kept["pid"])(w, r)
		}},
		{section: `"Port 3001 already in use"`, text: "lsof -i :3001", want: func(w *walk, r result) { says(`(?m)^node +`+w.kept["pid"])(w, r) }},
		{section: `"Port 3001 already in use"`, text: "kill -9 <PID>", before: func(w *walk) {
			// Another port does while it is taken.
		}, as: func(w *walk, text string) string { return strings.Replace(text, "<PID>", w.kept["pid"], 1) }, want: func(w *walk, r result) {
			says()(w, r)
			w.eventually("the port is free", func() bool { return w.shell.run("ss -ltn | grep -q :3001", "").code != 0 })
		}},
		{section: `"Port 3001 already in use"`, text: "PORT=3002 docker-compose -f docker-compose.production.yml up -d", want: func(w *walk, r result) {
			says()(w, r)
			w.eventually("it answers on port 3002", func() bool { status, _ := w.get("http://localhost:3002/ready"); return status == 200 })
			w.must(compose + "up -d --no-deps --scale github-pr-manager=" + strconv.Itoa(w.replicas) + " haproxy")
			w.settle()
		}},
		{section: `"No SSE snapshot"`, do: inChromium, want: says(`(?m)^SSE: \{.*"type":"snapshot"`, `(?m)^SSE: \{.*"type":"[^s]`)},
		{
			section: `"CORS errors in browser"`, text: "curl -I -X OPTIONS http://localhost:3001/webhook/events",
			want: says(`(?im)^access-control-allow-origin: http://localhost:3001\r?$`, `(?im)^access-control-allow-headers: .`),
		},
		{section: `"Silent EventSource failure"`, text: "DASHBOARD_ORIGIN", elsewhere: "a variable: internal/doctest finds it in docs/operating.md; the row above sees its default"},
		{section: `"Container keeps restarting"`, text: `docker inspect github-pr-manager-enhanced_github-pr-manager_1 | grep -A 5 "RestartPolicy"`, want: says(`"Name": "unless-stopped"`)},
		{section: `"Container keeps restarting"`, text: `docker inspect github-pr-manager-enhanced_github-pr-manager_1 | grep -A 10 "Health"`, want: says(`"Status": "healthy"`)},
		{section: `"Container keeps restarting"`, text: `docker logs github-pr-manager-enhanced_github-pr-manager_1 --since="1h"`, want: says(`"level":"INFO"`)},

		// Checklists
		{section: "Morning Health Check (5 minutes)", text: "curl -f http://localhost:3001/health", want: says(`"status": "(healthy|degraded)"`)},
		{section: "Morning Health Check (5 minutes)", text: "curl -s http://localhost:3001/metrics | grep queue_length", want: says(`(?m)^github_webhook_queue_length \d`)},
		{section: "Morning Health Check (5 minutes)", text: "df -h", want: says(`Mounted on`)},
		{section: "Morning Health Check (5 minutes)", text: "docker ps", want: func(w *walk, r result) {
			says(first1, "_postgres_1", "_redis_1", "_prometheus_1", "_alertmanager_1", "_haproxy_1")(w, r)
			n := strings.Count(r.stdout, "(healthy)")
			w.check(n >= w.replicas+5, r, "%d are healthy, want all", n)
		}},
		{section: "Weekly Maintenance (30 minutes)", text: "pg_dump github_agent > weekly_backup.sql", want: func(w *walk, r result) {
			says()(w, r)
			w.must("grep -c 'COPY public.webhook_logs' weekly_backup.sql")
		}},
		{section: "Weekly Maintenance (30 minutes)", text: "docker image prune -f", elsewhere: "there are no images here; it is Docker's own command and names nothing of ours"},
		{section: "Weekly Maintenance (30 minutes)", text: "./webhook-integration-test.js", want: says()},
		{section: "Monthly Tasks (1 hour)", text: "npm audit", elsewhere: "Go's is `make vuln`, which `make test` runs"},

		// Disaster recovery
		{section: "Data Recovery", text: "docker exec -i github-pr-manager-enhanced_postgres_1 psql -U postgres -d github_agent < backup_20231103_143000.sql", before: destroyed, want: restored},
		{section: "Data Recovery", text: "docker cp redis_backup.rdb github-pr-manager-enhanced_redis_1:/data/dump.rdb", before: func(w *walk) {
			w.must("redis-cli -h localhost -p 6379 --rdb redis_backup.rdb")
		}, want: says()},
		{section: "Data Recovery", text: "docker restart github-pr-manager-enhanced_redis_1", want: func(w *walk, r result) {
			says()(w, r)
			w.ready()
		}},
		{section: "Complete Environment Recreation", text: "git clone https://github.com/brandonlacoste9-tech/adgenxai.git", before: func(w *walk) {
			w.must(compose + "down -v")
			w.must("cp .env ../filled-in.env; unset WEBHOOK_SECRET GITHUB_TOKEN; cd ..")
			w.kept["begun"] = time.Now().Format(time.RFC3339Nano)
		}, want: says()},
		{section: "Complete Environment Recreation", text: "cd adgenxai/agents/github-pr-manager", want: says()},
		{section: "Complete Environment Recreation", text: "git checkout v1.0.0", want: says()},
		{section: "Complete Environment Recreation", text: "cp .env.production .env", want: func(w *walk, r result) {
			says()(w, r)
			w.must("cp ../../../filled-in.env .env") // "Edit .env with actual values"
			w.must("mkdir -p deploy/tls && cp " + w.dir + "/deploy/tls/* deploy/tls/")
		}},
		{section: "Complete Environment Recreation", text: "docker-compose -f docker-compose.production.yml up -d", want: func(w *walk, r result) {
			says()(w, r)
			w.ready()
			begun, _ := time.Parse(time.RFC3339Nano, w.kept["begun"])
			took := time.Since(begun)
			w.t.Logf("from nothing to ready in %v", took.Round(100*time.Millisecond))
			w.check(took < 15*time.Minute, r, "the recovery time objective is 15 minutes")
		}},
		{section: "Complete Environment Recreation", text: "./production-readiness-test.ps1", before: func(w *walk) {
			w.hook.SetSecret(secret)
			w.eventually("the first backup is there", func() bool { return w.metric("github_last_backup_timestamp_seconds") > 0 })
		}, want: all(says(`(?i)pass`), note(ps1))},
	}
}

// note is for whoever reads the table: nothing is checked.
func note(string) func(*walk, result) { return func(*walk, result) {} }

// asText hands a block of another language on to the row's check.
func asText(_ *walk, text string) result { return result{stdout: text} }

// undelivered counts what GitHub could not deliver and that has not come in since.
func (w *walk) undelivered() int {
	arrived := map[string]bool{}
	for _, d := range w.hook.Deliveries() {
		if d.StatusCode == 202 {
			arrived[d.GUID] = true
		}
	}
	missing := map[string]bool{}
	for _, d := range w.hook.Deliveries() {
		if !arrived[d.GUID] {
			missing[d.GUID] = true
		}
	}
	return len(missing)
}

// alertsAsShipped compares the alerts of the page with those of prometheus-alerts.yml, and asks Prometheus for what they look at.
func alertsAsShipped(w *walk, r result) {
	type file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For string
				Labels           map[string]string
				Annotations      map[string]string
			}
		}
	}
	var page, shipped file
	text, err := os.ReadFile(filepath.Join(w.dir, "prometheus-alerts.yml"))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(r.stdout), &page); err != nil {
		w.t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &shipped); err != nil {
		w.t.Fatal(err)
	}
	if len(page.Groups) != 1 || len(page.Groups[0].Rules) != 4 {
		w.t.Fatalf("the page has %d groups of alerts, want one of four", len(page.Groups))
	}
	for _, want := range page.Groups[0].Rules {
		found := false
		for _, got := range shipped.Groups[0].Rules {
			if got.Alert == want.Alert {
				found = true
				if got.Expr != want.Expr || got.For != want.For || got.Labels["severity"] != want.Labels["severity"] || got.Annotations["summary"] != want.Annotations["summary"] {
					w.t.Errorf("prometheus-alerts.yml has %s as %+v, want the runbook's %+v", want.Alert, got, want)
				}
			}
		}
		if !found {
			w.t.Errorf("prometheus-alerts.yml has no %s", want.Alert)
		}
		side, _, _ := strings.Cut(want.Expr, " > ")
		side, _, _ = strings.Cut(side, " == ")
		w.queries(side)
	}
	if _, body := w.get("http://localhost:9090/api/v1/rules"); strings.Count(body, `"type":"alerting"`) != len(shipped.Groups[0].Rules) || strings.Contains(body, `"health":"err"`) {
		w.t.Errorf("Prometheus has other rules than prometheus-alerts.yml, or can't evaluate one: %s", body)
	}
}

// panelsHaveData asks Prometheus for what each panel of the page shows.
func panelsHaveData(w *walk, r result) {
	var page struct {
		Dashboard struct {
			Panels []struct{ Targets []struct{ Expr string } }
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &page); err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, p := range page.Dashboard.Panels {
		for _, target := range p.Targets {
			w.queries(target.Expr)
			n++
		}
	}
	if n != 5 {
		w.t.Errorf("the page has %d queries, want 5", n)
	}
}

// alone is `docker run` in a second terminal, with the port free as in the emergency that it is for; it shows what the
// service alone says of itself.
func alone(w *walk, text string) result {
	w.must(compose + "kill haproxy")
	second := newShell(w.t, w.dir, w.env)
	second.run(text+" & echo $! >alone.pid", "")
	w.eventually("the service alone answers", func() bool { status, _ := w.get("http://localhost:3001/health"); return status == 200 })
	r := w.shell.run("curl -f http://localhost:3001/health", "")
	second.run("kill $(cat alone.pid); wait", "")
	w.eventually("the port is free", func() bool { return w.shell.run("ss -ltn | grep -q :3001", "").code != 0 })
	w.must(compose + "up -d --no-recreate --no-deps haproxy")
	w.ready()
	return r
}

// diagnostics does what the PowerShell of the page does: its endpoints answer, its signature is what openssl and Go make of its
// payload, and what it sends is accepted once its secret is the service's.
func diagnostics(w *walk, r result) {
	endpoints := regexp.MustCompile(`\$endpoints = @\((.*)\)`).FindStringSubmatch(r.stdout)
	if endpoints == nil {
		w.t.Fatal("the page's PowerShell names no endpoints")
	}
	for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(endpoints[1], -1) {
		if status, body := w.get("http://localhost:3001/" + m[1]); status != 200 {
			w.t.Errorf("GET /%s is answered %d: %s", m[1], status, body)
		}
	}
	payload := fmt.Sprintf(`{"test":"diagnostic","timestamp":"%d"}`, time.Now().Unix())
	for with, want := range map[string]int{"your-webhook-secret": 401, w.kept["secret"]: 202} {
		sig := w.sign(with, payload)
		if sig != testenv.Sign(with, []byte(payload)) {
			w.t.Errorf("openssl signs with %s", sig)
		}
		got := w.post("http://localhost:3001/webhook", map[string]string{
			"Content-Type": "application/json", "X-GitHub-Event": "ping", "X-Hub-Signature-256": sig,
			"X-GitHub-Delivery": fmt.Sprintf("5d3162ea-cc78-11e3-81ab-%012d", time.Now().UnixNano()%1e12),
		}, payload)
		if got != want {
			w.t.Errorf("the page's test webhook is answered %d, want %d", got, want)
		}
	}
}

// stranger lets somebody else have port 3001.
func stranger(w *walk) {
	w.must(compose + "kill haproxy")
	w.must(`node -e 'require("http").createServer((q, s) => s.end("a stranger")).listen(3001, "127.0.0.1")' >/dev/null 2>&1 & echo $! >stranger.pid`)
	w.kept["pid"] = strings.TrimSpace(w.must("cat stranger.pid").stdout)
	w.eventually("the stranger listens", func() bool { _, body := w.get("http://localhost:3001/"); return body == "a stranger" })
	r := w.shell.run(compose+"up -d --no-recreate --no-deps haproxy", "")
	w.check(r.code != 0 && strings.Contains(r.stderr, "port is already allocated"), r, "two may listen on one port")
}

// inChromium types the page's JavaScript into the console of a browser that shows the service's page.
func inChromium(w *walk, text string) result {
	w.t.Helper()
	root := testenv.Root(w.t)
	if _, err := os.Stat(filepath.Join(root, "test", "node_modules", "playwright-core")); err != nil {
		testenv.Missing(w.t, "playwright is not installed; run: make setup")
	}
	w.ready()
	cmd := exec.CommandContext(w.t.Context(), "node", filepath.Join(root, "test", "runbook", "testdata", "console.mjs"))
	cmd.Env = append(slices.Clone(w.env), "SNIPPET="+text, "DASHBOARD_TOKEN="+token)
	start := time.Now()
	out := make(chan result)
	go func() {
		text, err := cmd.CombinedOutput()
		r := result{stdout: string(text), took: time.Since(start)}
		if err != nil {
			r.code, r.stderr = 1, err.Error()
		}
		out <- r
	}()
	for {
		select {
		case r := <-out:
			return r
		case <-time.After(500 * time.Millisecond):
			w.deliver(1, w.kept["secret"]) // something to tell the page
		}
	}
}

// destroyed loses the database and leaves the backup that the page names.
func destroyed(w *walk) {
	w.idle()
	w.must("pg_dump github_agent > backup_20231103_143000.sql")
	// Into a database that has everything, the command changes nothing.
	count := `psql -At github_agent -c "SELECT count(*), coalesce(sum(attempts), 0) FROM webhook_logs"`
	w.kept["rows"] = w.must(count).stdout
	w.shell.run("docker exec -i github-pr-manager-enhanced_postgres_1 psql -U postgres -d github_agent < backup_20231103_143000.sql", "")
	if got := w.must(count).stdout; got != w.kept["rows"] {
		w.t.Errorf("restored into the running database, there are %s deliveries, want %s", got, w.kept["rows"])
	}
	w.kept["written"] = strconv.Itoa(len(w.hub.Journal()))
	w.must(compose + "down -v")
	w.must(compose + "up -d postgres")
	w.eventually("there is an empty database", func() bool { return w.shell.run("pg_isready -q -d github_agent", "").code == 0 })
}

// restored wants everything back, and nothing done twice.
func restored(w *walk, r result) {
	says()(w, r)
	w.check(!strings.Contains(r.stderr, "ERROR"), r, "an error while restoring")
	w.must(compose + "up -d")
	w.settle()
	w.idle()
	count := w.must(`psql -At github_agent -c "SELECT count(*), coalesce(sum(attempts), 0) FROM webhook_logs"`).stdout
	w.check(count == w.kept["rows"], r, "there are %s deliveries, want %s", count, w.kept["rows"])
	if n := strconv.Itoa(len(w.hub.Journal())); n != w.kept["written"] {
		w.t.Errorf("after the restore GitHub has been written to: %s writes, want %s", n, w.kept["written"])
	}
}
