package runbook

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// The project's own runbook is typed from its first line to its last, as somebody with systemd does and as somebody with Compose.
func TestTheRunbookOnAPlainMachine(t *testing.T) { own(t, "plain") }
func TestTheRunbookWithCompose(t *testing.T)     { own(t, "compose") }

// Every command of it has a row, and every row a command: this needs no server.
func TestEveryCommandOfTheRunbookHasARow(t *testing.T) {
	matched(t, ownPage(t, ""), ownRows())
}

// events are those that the README tells a webhook to send.
var events = []string{"pull_request", "pull_request_review", "pull_request_review_comment", "issue_comment", "check_run", "check_suite", "status", "push"}

// typed begins what a reader may type; other pieces of code in the text are names.
var typedWord = regexp.MustCompile(`^(gpm|manager|logs|db|curl|df|docker|docker-compose|deploy/switch|redis-cli|kubectl|make|certbot|go|kill|lsof|ss|\./\S+) \S|^\./\S+$`)

// ownPage are the commands of docs/runbook.md for one way to run the service (empty: for all).
func ownPage(t testing.TB, way string) (page []command) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	whole, _, found := strings.Cut(string(text), "\n## From the operators' runbook to here\n") // a table of names
	if !found {
		t.Fatal("docs/runbook.md does not end with the comparison with the operators' runbook")
	}
	for _, c := range commands(t, whole) {
		if c.note != "" && c.note != "plain" && c.note != "compose" {
			t.Errorf("docs/runbook.md, line %d: the block is for %q, want plain, compose or nothing", c.line, c.note)
		}
		if way != "" && c.note != "" && c.note != way || c.kind == "inline" && !typedWord.MatchString(c.text) {
			continue
		}
		if way == "plain" && strings.HasPrefix(c.text, "deploy/switch") { // there is one release
			continue
		}
		page = append(page, c)
	}
	return page
}

func own(t *testing.T, way string) {
	if testing.Short() {
		t.Skip("the walk takes half a minute")
	}
	t.Parallel()
	if !inOwnNetwork(t) {
		return
	}
	w := &walk{stage: newStage(t), replicas: 1, url: "http://localhost:3001", kept: map[string]string{"way": way}}
	w.e = w.composed()
	w.write("secrets/webhook-secret", secret+"\n")
	w.write("secrets/github-token", w.mira.Token()+"\n")
	w.must(`sed -i -e 's/^WEBHOOK_SECRET=.*/WEBHOOK_SECRET=/' -e 's/^GITHUB_TOKEN=.*/GITHUB_TOKEN=/' .env && echo AUDIT_INTERVAL=2s >> .env`)
	w.faster()
	if way == "plain" {
		w.plain()
	} else {
		w.must(compose + "up -d")
	}
	w.ready()
	w.hook = w.repo.Hook(w.mira, githubtest.HookOptions{URL: w.url + "/webhook", Secret: secret, Events: events})
	w.idle()
	page := ownPage(t, way)
	rows := slices.DeleteFunc(ownRows(), func(r row) bool {
		return !slices.ContainsFunc(page, func(c command) bool { return c.section == r.section && c.text == r.text })
	})
	w.through(page, matched(t, page, rows))
}

// plain installs the service as docs/deploying.md does, on a machine whose PostgreSQL, Redis and Prometheus are elsewhere.
func (w *walk) plain() {
	w.t.Helper()
	overlay(w.t, "/etc", "/var/lib", "/var/backups", "/usr/local/bin")
	w.url = "https://localhost"
	cert, key := testenv.Certificate(w.t, time.Now().Add(60*24*time.Hour))
	for name, text := range map[string]string{
		"/etc/github-pr-manager/tls/fullchain.pem":       cert,
		"/etc/github-pr-manager/tls/privkey.pem":         key,
		"/etc/github-pr-manager/secrets/webhook-secret":  secret + "\n",
		"/etc/github-pr-manager/secrets/github-token":    w.mira.Token() + "\n",
		"/etc/github-pr-manager/secrets/dashboard-token": token + "\n",
		"/etc/github-pr-manager/github-pr-manager.env": `PORT=443
TLS_CERT_FILE=/etc/github-pr-manager/tls/fullchain.pem
TLS_KEY_FILE=/etc/github-pr-manager/tls/privkey.pem
PUBLIC_URL=https://localhost
DASHBOARD_ORIGIN=https://localhost
DATABASE_URL=postgres://github_pr_manager:another-` + dbToken + `@localhost:5432/github_agent?sslmode=disable
REDIS_URL=redis://localhost:6379
GITHUB_API_URL=http://localhost:8080
GITHUB_REPOSITORY=octo/app
LEASE=2s
AUDIT_INTERVAL=2s
`,
	} {
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			err = os.WriteFile(name, []byte(text), 0o644)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	copyFile(w.t, testenv.Binary(w.t), "/usr/local/bin/github-pr-manager")
	w.must("mkdir -p /var/lib/github-pr-manager /var/backups/github-pr-manager")
	w.e.machine = load(w.t, filepath.Join(w.dir, "github-pr-manager.service"), filepath.Join(w.dir, "deploy/github-pr-manager-backup.service"), filepath.Join(w.dir, "deploy/github-pr-manager-backup.timer"))
	text, err := os.ReadFile(filepath.Join(w.dir, "prometheus.yml"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("prometheus.yml", string(text)+`
  - job_name: plain
    scheme: https
    tls_config: {insecure_skip_verify: true}
    static_configs:
      - targets: ["172.30.61.1:443"]
`)
	w.must(compose + "up -d postgres redis prometheus alertmanager")
	w.must("export CURL_CA_BUNDLE=/etc/github-pr-manager/tls/fullchain.pem SSL_CERT_FILE=/etc/github-pr-manager/tls/fullchain.pem")
	w.must("systemctl start github-pr-manager")
}

// stack runs a command of Compose where its file is, wherever the shell is.
func (w *walk) stack(args string) result {
	w.t.Helper()
	return w.must("(cd " + w.dir + " && COMPOSE_FILE= " + compose + args + ")")
}

func ownRows() []row {
	ready := func(w *walk, _ result) { w.ready() }
	ok := says()
	return []row{
		// The shell
		{section: "Your shell, first", text: "cd /var/lib/github-pr-manager", want: ok},
		{section: "Your shell, first", text: "set -a; . /etc/github-pr-manager/github-pr-manager.env; set +a", want: ok},
		{section: "Your shell, first", text: "export DATA_DIR=$PWD SECRETS_DIR=/etc/github-pr-manager/secrets", want: ok},
		{section: "Your shell, first", text: "url=$PUBLIC_URL backups=/var/backups/github-pr-manager", want: ok},
		{section: "Your shell, first", text: `gpm()     { github-pr-manager "$@"; }`, want: ok},
		{section: "Your shell, first", text: `manager() { systemctl "$1" github-pr-manager; }`, want: ok},
		{section: "Your shell, first", text: `logs()    { journalctl -u github-pr-manager -o cat --since "-$1"; }`, want: ok},
		{section: "Your shell, first", text: `db()      { psql "$DATABASE_URL" "$@"; }`, want: ok},
		{section: "Your shell, first", text: "export COMPOSE_FILE=docker-compose.production.yml", want: ok},
		{section: "Your shell, first", text: "url=http://localhost:3001 backups=/backups SECRETS_DIR=secrets", want: ok},
		{section: "Your shell, first", text: `gpm()     { case $1 in backup | restore | migrate) docker-compose run --rm -T backup "$@" ;; *) docker-compose exec -T github-pr-manager github-pr-manager "$@" ;; esac; }`, want: ok},
		{section: "Your shell, first", text: `manager() { case $1 in status) docker-compose ps ;; reload) docker-compose kill -s HUP github-pr-manager ;; *) docker-compose "$1" github-pr-manager ;; esac; }`, want: ok},
		{section: "Your shell, first", text: `logs()    { for c in $(docker ps -q --filter label=com.docker.compose.service=github-pr-manager); do docker logs "$c" --since "$1"; done; }`, want: ok},
		{section: "Your shell, first", text: `db()      { docker-compose exec -T postgres psql -U postgres -d github_agent "$@"; }`, want: ok},
		{section: "Your shell, first", text: "kubectl exec deploy/github-pr-manager -- github-pr-manager", elsewhere: "no Kubernetes here: test/deploy reads the manifests with Kubernetes' own code"},
		{section: "Your shell, first", text: `curl -s "$url/health"                      # "healthy"; "degraded" names what is down, and a restart would not help`, want: says(`"status": "(healthy|degraded)"`)},
		{section: "Your shell, first", text: `curl -s "$url/ready"                       # "ready"; or each check that is not, by name; "warnings" matter too`, want: says(`"status": "ready"`)},
		{section: "Your shell, first", text: "manager status                             # does it run?", want: says(`active \(running\)|Up .*_github-pr-manager_1`)},
		{section: "Your shell, first", text: "gpm queue status                           # what waits, since when, and whether somebody has paused it", want: says(`.`)},

		// Alerts
		{section: "GitHubPRManagerDown", text: "manager status", want: says(`active \(running\)|Up .*_github-pr-manager_1`)},
		{section: "GitHubPRManagerDown", text: `curl -s "$url/health"                      # an answer: only Prometheus' way to the service is broken; look at its targets`, want: says(`"status"`)},
		{section: "GitHubPRManagerDown", text: "logs 15m | tail -20                        # the last thing that it said", want: says(`"level":"INFO"`)},
		{section: "GitHubPRManagerDown", text: "manager restart", want: all(ok, ready)},
		{section: "GitHubPRManagerDown", text: `curl -sf "$url/ready"`, want: says(`"status": "ready"`)},

		{section: "HighWebhookQueueLength", text: "gpm queue status                           # paused? by whom? parked: GitHub makes an installation wait", before: func(w *walk) {
			w.idle()
			w.must("gpm queue pause")
			w.accepted(120, secret)
			w.eventually("all of them are counted", func() bool { return w.metric("github_webhook_queue_length") == 120 })
			w.eventually("the list is filled", func() bool {
				return w.must("redis-cli -h localhost -p 6379 LLEN queue:github-webhook").stdout == "120\n"
			})
		}, want: says(`120`, `(?i)paused since`)},
		{section: "HighWebhookQueueLength", text: "gpm queue list | head                      # what waits, the oldest first", want: says(`octo/app`)},
		{section: "HighWebhookQueueLength", text: `curl -s "$url/metrics" | grep -E '^github_(webhook_queue_length|oldest_due_seconds|redis_up)'`, want: says(`(?m)^github_webhook_queue_length 120$`, `github_redis_up 1`)},
		{section: "HighWebhookQueueLength", text: "redis-cli -h localhost -p 6379 LLEN queue:github-webhook   # how many of them are not even taken in", want: says(`(?m)^120$`)},
		{section: "HighWebhookQueueLength", text: "gpm queue resume", want: func(w *walk, r result) {
			ok(w, r)
			w.idle()
		}},

		{section: "HighErrorRate", text: `curl -s "$url/ready"                       # names the neighbour that is in trouble`, before: func(w *walk) {
			w.stack("stop redis")
			w.eventually("it is missed", func() bool {
				_, body := w.get(w.url + "/ready")
				return regexp.MustCompile(`"redis": \{\s+"status": "warning"`).MatchString(body)
			})
		}, want: says(`"redis": \{\s+"status": "warning"`)},
		{section: "HighErrorRate", text: `curl -s "$url/metrics" | grep -E '^github_errors_total'`, want: says(`(?m)^github_errors_total\{kind="redis"\} [1-9]`)},
		{section: "HighErrorRate", text: `logs 10m | grep -E '"level":"(ERROR|WARN)"' | tail -20`, want: func(w *walk, r result) {
			says(`"level":"ERROR","msg":"the queue in Redis can't be used`)(w, r)
			w.stack("start redis")
			w.ready()
		}},
		{section: "HighErrorRate", text: "gpm doctor", want: ok},

		{section: "LongProcessingTime", text: `curl -s "$url/metrics" | grep -E '^github_(paused_seconds_total|api_budget_remaining_ratio|decision_seconds_(sum|count))'`, want: says("github_paused_seconds_total", "github_api_budget_remaining_ratio", "github_decision_seconds_sum", "github_decision_seconds_count")},
		{section: "LongProcessingTime", text: `curl -s "$url/metrics" | grep -E '^github_passes_total'`, want: says(`outcome="failed"`)},
		{section: "LongProcessingTime", text: "gpm queue status", want: says(`.`)},

		{section: "DeliveriesRefused", text: `curl -s "$url/ready"                       # names what is missing: database, migrations, secret`, before: func(w *walk) {
			w.stack("stop postgres")
			w.eventually("deliveries are refused", func() bool { return w.deliver(1, secret)[0] == 503 })
			w.repo.Push("topic", map[string]string{"refused.txt": "r\n"}, "Write what is refused", w.mira)
			w.eventually("GitHub's are too", func() bool { return w.undelivered() > 0 })
			w.eventually("it says so", func() bool {
				_, body := w.get(w.url + "/ready")
				return regexp.MustCompile(`"database": \{\s+"status": "failing"`).MatchString(body)
			})
		}, want: says(`"status": "not_ready"`, `"database": \{\s+"status": "failing"`)},
		{section: "DeliveriesRefused", text: `curl -s "$url/metrics" | grep -E '^github_webhooks_total.*unavailable' | grep -v ' 0$'`, want: says(`event="pull_request"`)},
		{section: "DeliveriesRefused", text: `logs 15m | grep -E '"level":"(ERROR|WARN)"' | tail -20`, want: func(w *walk, r result) {
			says(`"level":"ERROR"`)(w, r)
			w.stack("start postgres")
			w.ready()
		}},

		{section: "DeadLetters", text: "gpm queue dead list                        # which, since when, and with what error", before: deadLetter, want: says(`octo/app#1`)},
		{section: "DeadLetters", text: "gpm queue dead retry --all                 # once the cause is mended", want: func(w *walk, r result) {
			ok(w, r)
			w.eventually("none is dead", func() bool { return w.count("status = 'dead'") == 0 })
			w.idle()
		}},
		{section: "DeadLetters", text: "gpm queue dead show OWNER/REPO#N", before: deadLetter, as: octo, want: says(`octo/app#1`)},
		{section: "DeadLetters", text: "gpm queue dead drop OWNER/REPO#N", as: octo, want: func(w *walk, r result) {
			ok(w, r)
			w.check(w.count("status = 'dead'") == 0, r, "some are dead")
		}},

		{section: "OldestDeliveryWaiting", text: "gpm queue status", before: func(w *walk) {
			w.must("gpm queue pause")
			w.accepted(1, secret)
		}, want: says(`(?i)paused since`)},
		{section: "OldestDeliveryWaiting", text: "gpm queue list | head -5                   # the oldest first", want: func(w *walk, r result) {
			says(`octo/app`)(w, r)
			w.kept["id"] = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).FindString(r.stdout)
		}},
		{section: "OldestDeliveryWaiting", text: "gpm queue show ID", as: delivery, want: func(w *walk, r result) {
			says(`(?i)paused`)(w, r)
			w.must("gpm queue resume")
			w.idle()
		}},

		{section: "GitHubBudgetNearlySpent", text: `curl -s "$url/metrics" | grep -E '^github_api_budget_remaining_ratio'`, want: says(`resource="graphql"`, `resource="rest"`)},
		{section: "GitHubBudgetNearlySpent", text: `curl -s "$url/metrics" | grep -E '^github_api_calls_total' | sort -t' ' -k2 -rn | head -5`, want: says(`github_api_calls_total\{.* [1-9]`)},

		// What was acknowledged less than a minute ago is no loss yet: test/alerts has the patience, and The database is gone has another way.
		{section: "LostAfterAcknowledgement", text: `logs 2h | grep '"level":"ERROR"' | tail -20`, want: says(`"level":"ERROR"`)},
		{section: "LostAfterAcknowledgement", text: "gpm deliveries recover --since 6h          # what was missing, and that GitHub was asked to send it again", want: func(w *walk, r result) {
			ok(w, r)
			w.eventually("what was refused is here", func() bool { return w.undelivered() == 0 })
		}},

		{section: "CertificateExpiresSoon", text: `echo | openssl s_client -connect localhost:443 -servername localhost 2>/dev/null | openssl x509 -noout -enddate`, want: says(`notAfter=`)},
		{section: "CertificateExpiresSoon", text: "certbot renew", elsewhere: "certbot asks Let's Encrypt: what comes after it is typed below"},

		{section: "BackupTooOld", text: `gpm backup --to "$backups"                 # now, by hand; it says what is wrong if it can't`, want: says(`(?i)github-pr-manager-\d+T\d+Z`)},
		{section: "BackupTooOld", text: `gpm backup list "$backups" | head -3`, want: says(`github-pr-manager-\d+T\d+Z`)},
		{section: "BackupTooOld", text: "df -h", want: says("Mounted on")},

		// Other trouble
		{section: "One pull request", text: "gpm explain octo/app#1                     # each rule, each condition, the value it saw", want: says(`docs`)},
		{section: "One pull request", text: "gpm deliveries list | head -5              # did its delivery arrive at all?", want: func(w *walk, r result) {
			says(`octo/app`)(w, r)
			w.kept["id"] = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).FindString(r.stdout)
		}},
		{section: "One pull request", text: "gpm deliveries recover --since 1h          # no: fetch it from GitHub", want: ok},
		{section: "One pull request", text: "gpm deliveries replay ID", as: delivery, want: func(w *walk, r result) {
			ok(w, r)
			w.idle()
		}},
		{section: "It keeps restarting", text: `logs 1h | grep -E '"level":"ERROR"|github-pr-manager: ' | tail -5`, want: says(`.`)},
		{section: "It keeps restarting", text: "gpm doctor", want: ok},
		{section: "It keeps restarting", text: "systemctl show github-pr-manager -p NRestarts -p ExecMainStatus", want: says(`NRestarts=0`)},
		{section: "It keeps restarting", text: "docker inspect github-pr-manager-enhanced_github-pr-manager_1 | grep -A 5 RestartPolicy", want: says(`unless-stopped`)},
		{section: "It keeps restarting", text: "docker inspect github-pr-manager-enhanced_github-pr-manager_1 | grep -A 10 Health", want: says(`"Status": "healthy"`)},
		{section: "Memory", text: `curl -s "$url/metrics" | grep -E '^(process_resident_memory_bytes|go_memstats_heap_inuse_bytes)'`, want: says("process_resident_memory_bytes", "go_memstats_heap_inuse_bytes")},
		{section: "Memory", text: "systemctl kill -s USR2 --kill-who=main github-pr-manager", want: ok},
		{section: "Memory", text: "docker stats --no-stream github-pr-manager-enhanced_github-pr-manager_1", want: says(`512m`)},
		{section: "Memory", text: "docker exec github-pr-manager-enhanced_github-pr-manager_1 kill -USR2 1", want: ok},
		{section: "Memory", text: "logs 1m | grep 'heap profile written'      # with its path; the last ten are kept", before: func(w *walk) {
			w.eventually("it is written", func() bool { return strings.Contains(w.must("logs 1m").stdout, "heap profile written") })
		}, want: func(w *walk, r result) {
			says(`"path":"[^"]+\.pprof"`)(w, r)
			w.kept["profile"] = regexp.MustCompile(`"path":"([^"]+)"`).FindStringSubmatch(r.stdout)[1]
			if w.kept["way"] == "compose" { // the image has no Go
				w.must("docker cp " + first1 + ":" + w.kept["profile"] + " heap.pprof")
				w.kept["profile"] = "heap.pprof"
			}
		}},
		{section: "Memory", text: "go tool pprof -top PATH", as: func(w *walk, text string) string { return strings.Replace(text, "PATH", w.kept["profile"], 1) }, want: says(`inuse_space`, `flat%`)},
		{section: "Memory", text: "manager restart", want: all(ok, ready)},
		{section: "The port is taken", text: "ss -ltnp | grep :3001", before: func(w *walk) {
			if w.kept["way"] == "plain" {
				w.must(`node -e 'require("http").createServer((q, s) => s.end("a stranger")).listen(3001, "127.0.0.1")' >/dev/null 2>&1 & echo $! >stranger.pid`)
				w.kept["pid"] = strings.TrimSpace(w.must("cat stranger.pid").stdout)
				w.eventually("the stranger listens", func() bool { return w.shell.run("ss -ltn | grep -q :3001", "").code == 0 })
			} else {
				w.must("docker-compose kill haproxy")
				stranger(w)
			}
		}, want: func(w *walk, r result) { says(`users:\(\("node",pid=`+w.kept["pid"])(w, r) }},
		{section: "The port is taken", text: "lsof -i :3001", want: func(w *walk, r result) { says(`(?m)^node +`+w.kept["pid"])(w, r) }},
		{section: "The port is taken", text: "kill PID", as: func(w *walk, text string) string { return strings.Replace(text, "PID", w.kept["pid"], 1) }, want: func(w *walk, r result) {
			ok(w, r)
			w.eventually("the port is free", func() bool { return w.shell.run("ss -ltn | grep -q :3001", "").code != 0 })
			if w.kept["way"] == "compose" {
				w.stack("up -d --no-recreate --no-deps haproxy")
				w.ready()
			}
		}},
		{section: "The page stands still", text: `curl -s -D - -o /dev/null -X OPTIONS "$url/webhook/events" | grep -i '^access-control'`, want: func(w *walk, r result) {
			says(`(?i)access-control-allow-origin: `+w.url)(w, r)
		}},
		{section: "The page stands still", text: `timeout 3 curl -sN -H "Authorization: Bearer $DASHBOARD_TOKEN" "$url/webhook/events" | head -c 300`, before: func(w *walk) {
			w.must("DASHBOARD_TOKEN=" + token)
		}, want: says(`"type":"snapshot"`)},

		// Operating
		{section: "Pause the queue", text: "gpm queue pause", want: ok},
		{section: "Pause the queue", text: "gpm queue status", want: says(`(?i)paused since`)},
		{section: "Pause the queue", text: "gpm queue resume", want: ok},
		{section: "One by hand", text: "gpm queue pause", want: func(w *walk, r result) {
			ok(w, r)
			w.accepted(2, secret)
			w.eventually("the list is filled", func() bool {
				return w.must("redis-cli -h localhost -p 6379 LLEN queue:github-webhook").stdout == "2\n"
			})
		}},
		{section: "One by hand", text: "redis-cli -h localhost -p 6379 LLEN queue:github-webhook", want: says(`(?m)^2$`)},
		{section: "One by hand", text: "redis-cli -h localhost -p 6379 LPOP queue:github-webhook | gpm process -", want: func(w *walk, r result) {
			says(`octo/app`)(w, r)
			n := w.count("status IN ('received', 'queued')")
			w.check(n == 1, r, "%d wait, want the other one", n)
			w.kept["id"] = strings.TrimSpace(w.must(`psql -At github_agent -c "SELECT delivery_id FROM webhook_logs WHERE status IN ('received', 'queued')"`).stdout)
		}},
		{section: "One by hand", text: "gpm queue resume", want: func(w *walk, r result) {
			ok(w, r)
			w.idle()
		}},
		{section: "One by hand", text: "gpm queue discard ID", before: func(w *walk) {
			w.must("gpm queue pause")
			w.accepted(1, secret)
			w.kept["id"] = fmt.Sprintf("72d3162e-cc78-11e3-%04d-4c9367dc0958", w.sent)
		}, as: delivery, want: func(w *walk, r result) {
			ok(w, r)
			w.check(w.count("status = 'discarded' AND delivery_id = '"+w.kept["id"]+"'") == 1, r, "it is not discarded")
			w.must("gpm queue resume")
		}},
		{section: "Drain one process", text: "manager restart", want: all(ok, ready)},
		{section: "More replicas", text: `gpm migrate status                         # "postgres": then start it on a second machine with the same DATABASE_URL and REDIS_URL`, want: says(`(?i)postgres`)},
		{section: "More replicas", text: "docker-compose up -d --no-recreate --scale github-pr-manager=3", want: func(w *walk, r result) {
			ok(w, r)
			w.eventually("three replicas are healthy", func() bool {
				return strings.Count(w.must("docker ps | grep _github-pr-manager_").stdout, "(healthy)") == 3
			})
		}},
		{section: "More replicas", text: "docker-compose ps", want: func(w *walk, r result) {
			says(`github-pr-manager-enhanced_github-pr-manager_3`)(w, r)
			w.stack("up -d --no-recreate --scale github-pr-manager=1")
			w.ready()
		}},
		{section: "Prometheus by hand", text: `curl -sG localhost:9090/api/v1/query --data-urlencode 'query=max(github_webhook_queue_length)'`, want: says(`"value":\[`)},
		{section: "Prometheus by hand", text: `curl -sG localhost:9090/api/v1/query --data-urlencode 'query=sum by (slot) (increase(github_webhook_secret_used_total[10m]))'`, want: says(`"slot":"0"`)},
		{section: "Prometheus by hand", text: "curl -s localhost:9090/api/v1/alerts", want: says(`"status":"success"`)},

		// Security
		{section: "Rotate the webhook secret", text: `old=$(cat "$SECRETS_DIR/webhook-secret") new=$(openssl rand -hex 32)`, want: func(w *walk, r result) {
			ok(w, r)
			w.kept["new"] = strings.TrimSpace(w.must(`echo "$new"`).stdout)
		}},
		{section: "Rotate the webhook secret", text: `printf '%s\n%s\n' "$new" "$old" > "$SECRETS_DIR/webhook-secret"`, want: ok},
		{section: "Rotate the webhook secret", text: "manager reload", want: func(w *walk, r result) { // the first of two
			ok(w, r)
			w.eventually("the new secret is accepted", func() bool { return w.deliver(1, w.kept["new"])[0] == 202 })
			w.accepted(1, secret)
		}},
		{section: "Rotate the webhook secret", text: `gpm send --url "$url/webhook"`, want: func(w *walk, r result) {
			says(`202`)(w, r)
			w.hook.SetSecret(w.kept["new"]) // step 2
			w.repo.Push("topic", map[string]string{"new.txt": "n\n"}, "Write under the new secret", w.mira)
		}},
		{section: "Rotate the webhook secret", text: `curl -s "$url/metrics" | grep '^github_webhook_secret_used_total'`, want: says(`slot="0"\} [1-9]`, `slot="1"\} [1-9]`)},
		{section: "Rotate the webhook secret", text: `printf '%s\n' "$new" > "$SECRETS_DIR/webhook-secret"`, want: ok},
		{section: "Rotate the webhook secret", text: "manager reload", want: func(w *walk, r result) { // the second
			ok(w, r)
			w.eventually("the old secret is refused", func() bool { return w.deliver(1, secret)[0] == 401 })
			w.accepted(1, w.kept["new"])
		}},
		{section: "Rotate the webhook secret", text: `gpm send --url "$url/webhook"`, want: func(w *walk, r result) {
			says(`202`)(w, r)
			w.check(w.undelivered() == 0, r, "GitHub could not deliver %d", w.undelivered())
		}},
		{section: "Rotate what GitHub knows us by", text: `printf '%s\n' "$NEW_TOKEN" > "$SECRETS_DIR/github-token"`, before: func(w *walk) { w.must("NEW_TOKEN=" + w.noa.Token()) }, want: ok},
		{section: "Rotate what GitHub knows us by", text: "manager reload", want: ok},
		{section: "Rotate what GitHub knows us by", text: `curl -s "$url/ready"                       # "github" says "ok"`, want: func(w *walk, r result) {
			says(`"github": \{\s+"status": "ok"`)(w, r)
			w.idle()
		}},
		{section: "Renew the certificate", text: "cat renewed/fullchain.pem > /etc/github-pr-manager/tls/fullchain.pem", before: renewed, want: ok},
		{section: "Renew the certificate", text: "cat renewed/privkey.pem > /etc/github-pr-manager/tls/privkey.pem", want: ok},
		{section: "Renew the certificate", text: "manager reload", want: ok},
		{section: "Renew the certificate", text: "cat renewed/fullchain.pem renewed/privkey.pem > deploy/tls/site.pem", before: renewed, want: ok},
		{section: "Renew the certificate", text: "docker-compose kill -s USR2 haproxy", want: ok},
		{section: "Renew the certificate", text: `echo | openssl s_client -connect localhost:443 -servername localhost 2>/dev/null | openssl x509 -noout -enddate`, before: func(w *walk) {
			w.eventually("the new certificate is served", func() bool {
				return strings.Contains(w.shell.run("echo | openssl s_client -connect localhost:443 -servername localhost 2>/dev/null | openssl x509 -noout -enddate", "").stdout, w.kept["until"])
			})
		}, want: func(w *walk, r result) { says(w.kept["until"])(w, r) }},
		{section: "Audit", text: "make vuln", elsewhere: "`make test` runs it"},
		{section: "Audit", text: "gpm doctor", want: ok},
		{section: "Audit", text: `logs 24h | grep '"status":401' | tail`, want: says(`"status":401`)},
		{section: "Audit", text: "gpm doctor", want: ok},

		// Deploying
		{section: "Upgrade", text: `gpm backup --to "$backups"`, want: ok},
		{section: "Upgrade", text: "install -m 755 new/github-pr-manager /usr/local/bin/github-pr-manager", before: func(w *walk) {
			w.must("mkdir -p new old && cp /usr/local/bin/github-pr-manager new/ && cp /usr/local/bin/github-pr-manager old/")
		}, want: ok},
		{section: "Upgrade", text: "manager restart", want: all(ok, ready)},
		{section: "Upgrade", text: `gpm smoke --url "$url"`, want: says(`pass`)},
		{section: "Blue-green", text: "export GREEN_VERSION=v0.2.0 COMPOSE_FILE=docker-compose.production.yml:deploy/green.yml", want: ok},
		{section: "Blue-green", text: "docker-compose up -d --no-recreate --build github-pr-manager-green", want: func(w *walk, r result) {
			ok(w, r)
			w.readyAt("http://localhost:3002")
		}},
		{section: "Blue-green", text: "./smoke-tests.sh --url http://localhost:3002", want: says(`pass`)},
		{section: "Blue-green", text: "deploy/switch green", want: says(`green has the traffic`)},
		{section: "Blue-green", text: "deploy/switch status", want: func(w *walk, r result) {
			says(`green has the traffic`)(w, r)
			w.accepted(5, w.kept["new"])
		}},
		{section: "Blue-green", text: "deploy/switch blue", before: func(w *walk) {
			w.eventually("blue is ready", func() bool { return w.shell.run("deploy/switch status | grep -q 'blue: 1 of 1 ready'", "").code == 0 })
		}, want: says(`blue has the traffic`)},
		{section: "Blue-green", text: "VERSION=$GREEN_VERSION docker-compose up -d --build --no-deps github-pr-manager", want: ok},
		{section: "Blue-green", text: "docker-compose rm -sf github-pr-manager-green haproxy-green", want: func(w *walk, r result) {
			ok(w, r)
			w.accepted(5, w.kept["new"])
		}},
		{section: "Blue-green", text: "export COMPOSE_FILE=docker-compose.production.yml", want: ok},
		{section: "Roll back", text: "install -m 755 old/github-pr-manager /usr/local/bin/github-pr-manager", want: ok},
		{section: "Roll back", text: "manager restart", want: all(ok, ready)},
		{section: "Roll back", text: "git checkout -q v0.9.0", want: ok},
		{section: "Roll back", text: "docker-compose up -d --build --no-deps github-pr-manager", want: all(ok, ready)},
		{section: "Roll back", text: `gpm smoke --url "$url"`, want: says(`pass`)},
		{section: "Roll back", text: "./smoke-tests.sh", want: says(`pass`)},
		{section: "Migrate the database", text: `gpm backup --to "$backups"`, want: ok},
		{section: "Migrate the database", text: "gpm migrate status", want: says(`.`)},
		{section: "Migrate the database", text: "gpm migrate up", want: ok},
		{section: "Migrate the database", text: `db -c '\d+ webhook_logs'`, want: says("delivery_id")},
		{section: "From SQLite to PostgreSQL", text: "manager stop", want: ok},
		{section: "From SQLite to PostgreSQL", text: "DATABASE_URL=$NEW_DATABASE_URL gpm migrate --from sqlite:/var/lib/github-pr-manager/github-pr-manager.db", before: func(w *walk) {
			w.must("DATABASE_URL=sqlite:/var/lib/github-pr-manager/github-pr-manager.db github-pr-manager migrate up")
			w.must(`psql -q postgres -c "CREATE DATABASE moved OWNER github_pr_manager"`)
			w.must(`NEW_DATABASE_URL=${DATABASE_URL/github_agent/moved}`)
		}, want: func(w *walk, r result) {
			ok(w, r)
			w.must("psql -At moved -c 'SELECT count(*) FROM webhook_logs'")
			w.must("manager start")
			w.ready()
		}},

		// Backup and disaster
		{section: "Back up", text: `gpm backup --to "$backups" --keep 30d`, before: func(w *walk) { w.idle() }, want: says(`github-pr-manager-\d+T\d+Z`)},
		{section: "Back up", text: `gpm backup list "$backups" | head -5`, want: says(`github-pr-manager-\d+T\d+Z`)},
		{section: "Back up", text: `gpm backup verify "$backups"`, want: ok},
		{section: "The database is gone", text: "docker-compose up -d postgres", before: func(w *walk) {
			// A delivery that comes after the last backup, and the database is lost.
			before := len(w.hub.Applied())
			w.repo.Push("topic", map[string]string{"after.txt": "a\n"}, "Write after the backup", w.mira)
			w.eventually("the new head has its report", func() bool { return len(w.hub.Applied()) > before })
			w.idle()
			w.kept["writes"] = strings.Join(w.hub.Applied(), "\n")
			w.kept["rows"] = fmt.Sprint(w.count("true"))
			w.stack("rm -sf postgres")
			w.must("docker volume rm github-pr-manager-enhanced_postgres-data")
		}, do: func(w *walk, _ string) result { return w.stack("up -d postgres") }, want: func(w *walk, r result) {
			ok(w, r)
			w.eventually("there is an empty database", func() bool { return w.shell.run("pg_isready -q -d github_agent", "").code == 0 })
		}},
		{section: "The database is gone", text: "manager stop", want: ok},
		{section: "The database is gone", text: `gpm restore "$backups"`, want: ok},
		{section: "The database is gone", text: "manager start", want: ok},
		{section: "The database is gone", text: `curl -sf --retry 30 --retry-all-errors "$url/ready"`, want: says(`"status": "ready"`)},
		{section: "The database is gone", text: "gpm deliveries recover", want: func(w *walk, r result) {
			ok(w, r)
			w.eventually("what came after the backup is back", func() bool { return w.undelivered() == 0 && w.count("status IN ('received', 'queued')") == 0 })
			if got := strings.Join(w.hub.Applied(), "\n"); got != w.kept["writes"] {
				w.t.Errorf("after the restore GitHub has been written to again:\n%s\nwant\n%s", got, w.kept["writes"])
			}
		}},
		{section: "The machine is gone", text: `gpm readiness --url "$url"`, before: func(w *walk) { w.must(`gpm backup --to "$backups"`) }, want: says(`pass`)},

		// Checklists
		{section: "Every morning, 5 minutes", text: `curl -s "$url/ready"`, want: says(`"status": "ready"`)},
		{section: "Every morning, 5 minutes", text: "gpm queue status", want: says(`.`)},
		{section: "Every morning, 5 minutes", text: "df -h", want: says(`Mounted on`)},
		{section: "Every morning, 5 minutes", text: "manager status", want: says(`active \(running\)|Up .*_github-pr-manager_1`)},
		{section: "Every week, 30 minutes", text: "gpm doctor", want: ok},
		{section: "Every week, 30 minutes", text: `gpm readiness --url "$url"`, want: says(`pass`)},
		{section: "Every week, 30 minutes", text: "./webhook-integration-test.js", elsewhere: "TestTheOperatorsRunbook types it"},
		{section: "Every week, 30 minutes", text: `gpm backup list "$backups" | head -3`, want: says(`github-pr-manager-\d+T\d+Z`)},
		{section: "Every week, 30 minutes", text: "make vuln", elsewhere: "`make test` runs it"},
		{section: "Every week, 30 minutes", text: "docker image prune -f", elsewhere: "Docker's own command, which names nothing of ours"},
		{section: "Objectives", text: "make test", elsewhere: "this test is part of it"},
		{section: "Drill", text: "make test", elsewhere: "this test is part of it"},
		{section: "LostAfterAcknowledgement", text: "gpm restore", elsewhere: "typed in The database is gone"},
	}
}

func octo(_ *walk, text string) string { return strings.Replace(text, "OWNER/REPO#N", "octo/app#1", 1) }

func delivery(w *walk, text string) string { return strings.Replace(text, " ID", " "+w.kept["id"], 1) }

// deadLetter makes one: GitHub answers looks at octo/app#1 wrongly, the first five of six failures are said to have been.
func deadLetter(w *walk) {
	w.idle()
	with := secret
	if w.kept["new"] != "" {
		with = w.kept["new"]
	}
	f := w.hub.Fail(githubtest.Fault{Op: "graphql.PullRequest", Repo: "octo/app", Status: 403, Times: -1, Message: "Resource protected by organization SAML enforcement."})
	w.accepted(1, with)
	w.eventually("the first look has failed", func() bool { return w.count("status = 'queued' AND attempts > 0") > 0 })
	w.must(`psql -q github_agent -c "UPDATE work SET fails = 5"`)
	w.eventually("there is a dead letter", func() bool { return w.count("status = 'dead'") > 0 })
	f.Heal()
}

// renewed makes a certificate that is good for longer.
func renewed(w *walk) {
	until := time.Now().Add(80 * 24 * time.Hour)
	cert, key := testenv.Certificate(w.t, until)
	w.kept["until"] = "notAfter=" + until.UTC().Format("Jan _2 15:04:05 2006") + " GMT"
	w.must("mkdir -p renewed")
	for name, text := range map[string]string{"fullchain.pem": cert, "privkey.pem": key} {
		w.must("cat > renewed/" + name + " <<'EOF'\n" + text + "\nEOF")
	}
}
