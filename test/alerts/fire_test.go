package alerts

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A scene is a service with one fault, or none, and what is to be heard of it.
type scene struct {
	fires []string // and arrives
	quiet []string // fires as well, and Alertmanager may say something larger in its place
	may   []string // follows from the fault sooner or later
	// make makes the fault, once Prometheus has seen the service well.
	make func()
	// then is made when what the fault makes has fired, and fires then.
	then      func()
	thenFires []string
}

// downJob is the job that GitHubPRManagerDown is about. The other services have jobs of their own, so that each alert
// shows which fault made it.
const downJob = "github_pr_manager"

// TestEveryAlertFires makes every fault on services beside each other.
func TestEveryAlertFires(t *testing.T) {
	if testing.Short() {
		t.Skip("ten services for two minutes")
	}
	t.Parallel()
	c := newCity(t)
	services := map[string]*service{}
	serve := func(name string, pulls int, env ...string) *service {
		s := c.serve(name, pulls, env...)
		s.command("backup", "--to", t.TempDir())
		services[name] = s
		return s
	}
	often := testenv.Pick(200*time.Millisecond, 400*time.Millisecond) // GitHub's hourly limit has to last
	seldom := 500 * time.Millisecond
	scenes := map[string]*scene{}

	healthy := serve("healthy", 10)
	scenes["healthy"] = &scene{make: func() { healthy.trickle("pull_request", healthy.repo, 10, seldom) }}

	stopped := serve(downJob, 0)
	scenes[downJob] = &scene{fires: []string{"GitHubPRManagerDown"}, make: func() { stopped.Kill(t) }}

	three := serve("three", 40)
	c.refuse(three.repo, 32, 100)
	scenes["three"] = &scene{make: func() { three.trickle("pull_request", three.repo, 40, often) }}

	tenth := serve("tenth", 40)
	c.refuse(tenth.repo, 9, 400)
	scenes["tenth"] = &scene{
		fires: []string{"HighErrorRate"},
		make:  func() { tenth.trickle("pull_request", tenth.repo, 40, often) },
	}

	event := serve("event", 10)
	broken := c.repository("broken", 5, c.hub.User("bot-event"))
	c.refuse(broken, 0, -1)
	scenes["event"] = &scene{
		// It is a fifth of everything, more or less: whether the larger alert takes the smaller one's place is open.
		fires: []string{"DeadLetters"}, quiet: []string{"HighErrorRate"},
		may: []string{"VeryHighErrorRate", "OldestDeliveryWaiting", "LongProcessingTime"},
		make: func() {
			event.trickle("pull_request", event.repo, 10, seldom)
			event.trickle("pull_request_review", broken, 5, 2*time.Second)
		},
	}

	everything := serve("everything", 10)
	c.refuse(everything.repo, 0, -1)
	scenes["everything"] = &scene{
		fires: []string{"NearlyEverythingFails"}, quiet: []string{"VeryHighErrorRate", "HighErrorRate"},
		may:  []string{"DeadLetters", "OldestDeliveryWaiting", "HighWebhookQueueLength", "VeryHighWebhookQueueLength", "LongProcessingTime"},
		make: func() { everything.trickle("pull_request", everything.repo, 10, seldom) },
	}

	paused := serve("paused", 0)
	scenes["paused"] = &scene{
		fires: []string{"HighWebhookQueueLength", "OldestDeliveryWaiting", "CertificateExpiresSoon"},
		make: func() {
			paused.command("queue", "pause")
			paused.sends(150)
			paused.certificate(10 * day)
		},
		then: func() { paused.sends(400) }, thenFires: []string{"VeryHighWebhookQueueLength"},
	}

	slow := serve("slow", 20, "WORKERS=1")
	c.hub.Fail(githubtest.Fault{Op: "graphql.PullRequest", Repo: slow.repo.FullName(), Kind: githubtest.Hang, Delay: 2500 * time.Millisecond, Times: -1})
	scenes["slow"] = &scene{
		fires: []string{"LongProcessingTime", "CertificateExpiresInTwoDays"}, quiet: []string{"CertificateExpiresSoon"},
		may: []string{"OldestDeliveryWaiting", "HighWebhookQueueLength"},
		make: func() {
			slow.trickle("pull_request", slow.repo, 20, seldom)
			slow.certificate(day)
		},
	}

	spent := serve("spent", 2)
	scenes["spent"] = &scene{
		fires: []string{"GitHubBudgetNearlySpent"}, may: []string{"OldestDeliveryWaiting"},
		make: func() { // somebody else uses the same token
			c.hub.Exhaust(spent.token, "graphql", time.Hour)
			spent.sends(2)
		},
	}

	night := serve("night", 0)
	scenes["night"] = &scene{
		fires: []string{"NotReady"},
		make: func() { // the same fault as below, and nobody delivers
			night.mayFail = true
			path := strings.TrimPrefix(night.database(), "sqlite:")
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
		},
	}

	refused := serve("refused", 2)
	scenes["refused"] = &scene{
		fires: []string{"NotReady"}, quiet: []string{"DeliveriesRefused"}, may: []string{"OldestDeliveryWaiting", "HighWebhookQueueLength", "VeryHighWebhookQueueLength"},
		make: func() { // the disk with its database goes away
			refused.mayFail = true
			path := strings.TrimPrefix(refused.database(), "sqlite:")
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			refused.trickle("pull_request", refused.repo, 2, seldom)
		},
	}

	lost := c.servesAnApp("lost")
	services["lost"] = lost.service
	scenes["lost"] = &scene{fires: []string{"LostAfterAcknowledgement", "BackupTooOld"}, make: lost.loses} // it has no backup

	var covered []string
	for _, s := range scenes {
		covered = slices.Concat(covered, s.fires, s.quiet, s.thenFires)
	}
	for name := range shippedRules(t).all() {
		if !slices.Contains(covered, name) {
			t.Errorf("no scene makes %s fire", name)
		}
	}

	targets := map[string]string{}
	for name, s := range services {
		targets[name] = s.address()
	}
	notices := testenv.ReceiveNotices(t)
	am := testenv.Alertmanager(t, alertmanagerConfig(t, notices), nil)
	p := testenv.Prometheus(t, prometheusConfig(t, am, targets), map[string]string{"prometheus-alerts.yml": rules(t).text(t)})
	testenv.Until(t, "every service is scraped twice", testenv.Pick(30*time.Second, 2*time.Minute), func() bool {
		return len(p.Query(t, `count_over_time(up[10m]) > 1`)) == len(services)
	})
	if got := p.Query(t, `ALERTS{alertname!="BackupTooOld"} or ALERTS{job!="lost"}`); len(got) > 0 {
		t.Fatalf("before any fault: %+v", got)
	}

	began := time.Now()
	for _, name := range slices.Sorted(maps.Keys(scenes)) {
		scenes[name].make()
	}
	// What goes pending and fires, and when. An alert without `for` fires at once.
	type moment struct{ pending, firing time.Duration }
	seen := map[string]*moment{} // by job and alert
	look := func() {
		for _, a := range p.Alerts(t) {
			key := a.Labels["job"] + " " + a.Name()
			m := seen[key]
			if m == nil {
				m = &moment{pending: time.Since(began)}
				seen[key] = m
			}
			if a.State == "firing" && m.firing == 0 {
				m.firing = time.Since(began)
			}
		}
	}
	fired := func(job string, names ...[]string) bool {
		for _, name := range slices.Concat(names...) {
			if m := seen[job+" "+name]; m == nil || m.firing == 0 {
				return false
			}
		}
		return true
	}
	missing := func() (all []string) {
		for job, s := range scenes {
			for _, name := range slices.Concat(s.fires, s.quiet, s.thenFires) {
				if !fired(job, []string{name}) {
					all = append(all, job+" "+name)
				}
			}
		}
		slices.Sort(all)
		return all
	}
	for deadline := began.Add(testenv.Pick(2*time.Minute, 40*time.Minute)); len(missing()) > 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v after the faults these have not fired: %s", time.Since(began).Round(time.Second), strings.Join(missing(), ", "))
		}
		look()
		for job, s := range scenes {
			if s.then != nil && fired(job, s.fires) {
				if fired(job, s.thenFires) {
					t.Errorf("%s: %s fires before its time", job, s.thenFires)
				}
				s.then()
				s.then = nil
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%-40s pending after %6.1fs, firing after %6.1fs", key, seen[key].pending.Seconds(), seen[key].firing.Seconds())
	}

	// Nothing else, neither of the faults nor of services that are well.
	for key := range seen {
		job, name, _ := strings.Cut(key, " ")
		if s := scenes[job]; s == nil || !slices.Contains(slices.Concat(s.fires, s.quiet, s.may, s.thenFires), name) {
			if job == "three" && seen[key].firing == 0 {
				continue // above five per cent for a moment is what `for` is for
			}
			t.Errorf("%s: nothing there is a reason for it", key)
		}
	}

	// What fires arrives, with the way into the runbook, once for each fault.
	shipped := shippedRules(t).all()
	for job, s := range scenes {
		for _, name := range slices.Concat(s.fires, s.thenFires) {
			r := shipped[name]
			path := "/" + strings.ToLower(r.Labels["priority"])
			testenv.Until(t, fmt.Sprintf("the notification of %s %s has arrived at %s", job, name, path), testenv.Pick(time.Minute, 15*time.Minute), func() bool {
				for _, n := range notices.All() {
					for _, a := range n.Alerts {
						if n.Path == path && a.Status == "firing" && a.Labels["alertname"] == name && a.Labels["job"] == job &&
							a.Annotations["runbook_url"] == r.Annotations["runbook_url"] {
							return true
						}
					}
				}
				return false
			})
		}
	}
	t.Logf("everything has fired and arrived %v after the faults", time.Since(began).Round(time.Second))
}

// An appService is a service that works as a GitHub App, and so sees GitHub's log of deliveries.
type appService struct {
	*service
	hook *githubtest.Hook
	open func() // opens a pull request
}

func (c *city) servesAnApp(name string) *appService {
	c.t.Helper()
	app := c.hub.App("manager", githubtest.AppOptions{
		Permissions: map[string]string{"checks": "write", "contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write"},
		Events:      []string{"pull_request"},
	})
	org := c.hub.Org(name + "-org")
	repo := c.hub.Repo(org.Login+"/app", githubtest.RepoOptions{Files: map[string]string{"README.md": "# app\n"}})
	by := c.hub.User("mira")
	repo.Grant(by, githubtest.CanMaintain)
	app.Install(org)
	s := &appService{service: &service{c: c, name: name, repo: repo}}
	s.hook = app.Hook(githubtest.HookOptions{URL: "http://" + name + ".test/webhook", Secret: secret})
	s.start(fmt.Sprintf("GITHUB_APP_ID=%d", app.ID), "GITHUB_PRIVATE_KEY="+app.PrivateKey(), "AUDIT_INTERVAL=1s", "PUBLIC_URL=http://"+name+".test")
	c.routes.Store(name+".test", s.URL)
	s.open = func() {
		repo.Push("topic", map[string]string{"a.txt": "a\n"}, "Write a", by)
		repo.Open(by, "topic", "main", "Write a", "")
	}
	return s
}

// loses acknowledges a delivery and then loses it, as a database does that is set back to a backup.
func (s *appService) loses() {
	t := s.c.t
	t.Helper()
	testenv.Until(t, "GitHub's log was compared", 20*time.Second, func() bool {
		return s.c.hub.Usage().Requests["apps.list-webhook-deliveries"] > 1
	})
	s.open()
	s.c.hub.Flush(t.Context())
	var id string
	for _, d := range s.hook.Deliveries() {
		if d.Event == "pull_request" && d.StatusCode == 202 {
			id = d.GUID
		}
	}
	if id == "" {
		t.Fatalf("no delivery was acknowledged: %+v", s.hook.Deliveries())
	}
	db := testenv.Open(t, s.database())
	testenv.Until(t, "the delivery is processed", 20*time.Second, func() bool {
		var status string
		if err := db.QueryRow(`SELECT status FROM webhook_logs WHERE delivery_id = $1`, id).Scan(&status); err != nil {
			t.Fatal(err)
		}
		return status == "processed"
	})
	if _, err := db.Exec(`DELETE FROM webhook_logs WHERE delivery_id = $1`, id); err != nil {
		t.Fatal(err)
	}
}
