package alerts

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// post hands alerts to an Alertmanager, as Prometheus does.
func post(t *testing.T, am *testenv.AlertmanagerServer, alerts ...testenv.Alert) {
	t.Helper()
	var all []map[string]any
	for _, a := range alerts {
		all = append(all, map[string]any{"labels": a.Labels, "annotations": a.Annotations})
	}
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(am.URL+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("POST alerts: %s %s", res.Status, text)
	}
}

// TestThreeReplicasAreOneNotification: who is woken is woken once.
func TestThreeReplicasAreOneNotification(t *testing.T) {
	t.Parallel()
	notices := testenv.ReceiveNotices(t)
	am := testenv.Alertmanager(t, alertmanagerConfig(t, notices), nil)
	r := shippedRules(t).all()["HighWebhookQueueLength"]
	var alerts []testenv.Alert
	for n := range 3 {
		alerts = append(alerts, testenv.Alert{Labels: map[string]string{
			"alertname": r.Alert, "job": downJob, "instance": fmt.Sprint(n), "severity": r.Labels["severity"], "priority": r.Labels["priority"],
		}})
	}
	post(t, am, alerts...)
	testenv.Until(t, "the notification has arrived", testenv.Pick(20*time.Second, time.Minute), func() bool { return len(notices.All()) > 0 })
	if got := notices.All(); len(got) != 1 || got[0].Path != "/p2" || len(got[0].Alerts) != 3 {
		t.Errorf("notifications = %+v, want one of three alerts at /p2", got)
	}
}

// TestNotificationsCanBeRead has the shipped Alertmanager tell Slack, PagerDuty and a mail server, as far as their
// addresses can be played here: a mistake in a template would show only when somebody ought to be woken.
func TestNotificationsCanBeRead(t *testing.T) {
	t.Parallel()
	heard := make(chan map[string]any, 100)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := map[string]any{"path": r.URL.Path}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		heard <- got
		w.WriteHeader(map[string]int{"/pagerduty": http.StatusAccepted, "/slack": http.StatusOK}[r.URL.Path])
	}))
	t.Cleanup(web.Close)
	letters := make(chan *mail.Message, 100)
	config := parse(t, "deploy/alertmanager.yml")
	global := config["global"].(map[string]any)
	global["pagerduty_url"], global["smtp_smarthost"], global["smtp_require_tls"] = web.URL+"/pagerduty", mailServer(t, letters), false
	delete(global, "smtp_auth_username") // a password goes over TLS only
	config["route"].(map[string]any)["routes"].([]any)[0].(map[string]any)["group_wait"] = "0s"
	dir := t.TempDir()
	text := strings.ReplaceAll(unparse(t, config), "/etc/alertmanager/secrets", dir)
	for name, secret := range map[string]string{"slack-url": web.URL + "/slack", "pagerduty-key": "the key", "smtp-password": "none"} {
		writeFile(t, filepath.Join(dir, name), secret+"\n")
	}
	am := testenv.Alertmanager(t, text, nil)
	r := shippedRules(t).all()["GitHubPRManagerDown"]
	post(t, am, testenv.Alert{
		Labels: map[string]string{"alertname": r.Alert, "job": downJob, "instance": "entrance", "severity": "critical", "priority": "P0"},
		Annotations: map[string]string{
			"summary": r.Annotations["summary"], "description": "Restart it.", "runbook_url": r.Annotations["runbook_url"],
		},
	})
	const what, summary = "P0 GitHubPRManagerDown", "GitHub PR Manager service is down"
	timeout := time.After(20 * time.Second)
	for range 3 {
		select {
		case got := <-heard:
			switch all := fmt.Sprint(got); got["path"] {
			case "/slack":
				for _, part := range []string{"#github-automation-alerts", "FIRING " + what, summary + " (entrance)", "Restart it.", r.Annotations["runbook_url"], "danger"} {
					if !strings.Contains(all, part) {
						t.Errorf("Slack is told %s, which lacks %q", all, part)
					}
				}
			case "/pagerduty":
				for _, part := range []string{"routing_key:the key", what + ": " + summary, "severity:critical", "what:Restart it.", "runbook:" + r.Annotations["runbook_url"], "event_action:trigger"} {
					if !strings.Contains(all, part) {
						t.Errorf("PagerDuty is told %s, which lacks %q", all, part)
					}
				}
			}
		case m := <-letters:
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || subject != "FIRING "+what+": "+summary || m.Header.Get("To") != "platform-team@company.com" {
				t.Errorf("the letter to %s is about %q, want platform-team@company.com and the alert (%v)", m.Header.Get("To"), subject, err)
			}
			if body, err := io.ReadAll(m.Body); err != nil || !bytes.Contains(body, []byte("Restart it.")) {
				t.Errorf("the letter does not say what to do: %v\n%s", err, body)
			}
		case <-timeout:
			t.Fatalf("not all three were told within 20 s; Alertmanager's log:\n%s", am.Log())
		}
	}
}

// mailServer takes letters, and returns where.
func mailServer(t *testing.T, letters chan<- *mail.Message) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				fmt.Fprint(c, "220 test\r\n")
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
					case "DATA":
						fmt.Fprint(c, "354 go on\r\n")
						var text strings.Builder
						for {
							line, err := r.ReadString('\n')
							if err != nil || line == ".\r\n" {
								break
							}
							text.WriteString(line)
						}
						m, err := mail.ReadMessage(strings.NewReader(text.String()))
						if err != nil {
							t.Errorf("a letter can't be read: %v\n%s", err, &text)
							return
						}
						letters <- m
						fmt.Fprint(c, "250 taken\r\n")
					case "QUIT":
						fmt.Fprint(c, "221 bye\r\n")
						return
					default:
						fmt.Fprint(c, "250 fine\r\n")
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
