package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// many is how many deliveries wait in the runbook's example.
const many = 150

// An office is an installation with somebody who operates it: a database, a GitHub on which octo/app#1 is open and wants
// one label, and every other number is gone.
type office struct {
	t        *testing.T
	env      []string
	database string
	hub      *githubtest.Server
	repo     *githubtest.Repo
}

func newOffice(t *testing.T, engine string, more ...string) *office {
	t.Helper()
	o := &office{t: t}
	if engine == "postgres" {
		o.database = testenv.Postgres(t)
	} else {
		o.database = testenv.SQLite(t)
	}
	var err error
	if o.hub, err = githubtest.New(githubtest.Options{Dir: filepath.Join(t.TempDir(), "github")}); err != nil {
		t.Fatal(err)
	}
	o.hub.MergeableAfter(0)
	mira := o.hub.User("mira")
	o.repo = o.hub.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{
		"README.md": "# app\n", ".github/pr-manager.yml": "version: 1\nlabels:\n  docs: { files: [\"*.txt\"] }\n",
	}})
	o.repo.Grant(mira, githubtest.CanMaintain)
	o.repo.Push("topic", map[string]string{"a.txt": "a\n"}, "Write a", mira)
	o.repo.Open(mira, "topic", "main", "Write a", "")
	web := httptest.NewServer(o.hub)
	t.Cleanup(web.Close)
	o.env = append([]string{
		"WEBHOOK_SECRET=" + secret, "GITHUB_TOKEN=" + mira.Token(), "GITHUB_API_URL=" + web.URL, "LOG_FORMAT=json",
		"DATABASE_URL=" + o.database, "LEASE=2s",
	}, more...)
	return o
}

func (o *office) serve() *testenv.Process {
	o.t.Helper()
	return testenv.Start(o.t, testenv.Options{Env: o.env, Timeout: 30 * time.Second})
}

// does runs a command that must end well, and returns what it prints.
func (o *office) does(stdin, args string) string {
	o.t.Helper()
	r := testenv.Run(o.t, o.env, stdin, strings.Fields(args)...)
	if r.Code != 0 || r.Stderr != "" {
		o.t.Fatalf("%s = %d: %s%s", args, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// asks runs a command with --json and reads its answer.
func (o *office) asks(into any, args string) {
	o.t.Helper()
	if out := o.does("", args+" --json"); json.Unmarshal([]byte(out), into) != nil {
		o.t.Fatalf("%s --json is no JSON: %s", args, out)
	}
}

func (o *office) length() int {
	o.t.Helper()
	var st struct{ Length int }
	o.asks(&st, "queue status")
	return st.Length
}

// body is a delivery's body about a number of octo/app.
func (o *office) body(n int) []byte {
	return bytes.ReplaceAll(pullRequest(n), []byte(`"repository":{"id":1296269`), []byte(`"repository":{"id":`+strconv.FormatInt(o.repo.ID, 10)))
}

// send sends deliveries about pull requests 1, 2, 3 …, and returns their ids.
func (o *office) send(p *testenv.Process, count int) (ids []string) {
	o.t.Helper()
	for n := 1; n <= count; n++ {
		id := deliveryID(77, n)
		if status := deliver(p.URL, secret, id, o.body(n)); status != 202 {
			o.t.Fatalf("delivery %d of %d is answered %d", n, count, status)
		}
		ids = append(ids, id)
	}
	return ids
}

// onlyFirstIsDone checks that of all deliveries exactly the oldest is processed, and that GitHub shows it.
func (o *office) onlyFirstIsDone(ids []string) {
	o.t.Helper()
	kept := keptStatuses(o.t, o.database)
	if n := kept.count("processed"); n != 1 || kept.count("received") != len(ids)-1 || fmt.Sprint(kept[ids[0]]) != "[processed]" {
		o.t.Errorf("%d are processed and %d received, the oldest is %v; want 1, %d, and the oldest processed", n, kept.count("received"), kept[ids[0]], len(ids)-1)
	}
	if journal := fmt.Sprint(o.hub.Journal()); strings.Count(journal, "label.add docs") != 1 {
		o.t.Errorf("written to GitHub: %s, want one label", journal)
	}
}

// TestAPausedQueueIsWorkedOffByHand: deliveries are kept and counted, the oldest is brought to its end by hand and nothing
// else, and the pause outlives the process.
func TestAPausedQueueIsWorkedOffByHand(t *testing.T) {
	if testing.Short() {
		t.Skip("several processes and seconds; the commands themselves are tested in internal/cli")
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, engine)
			p := o.serve()
			replicas := []*testenv.Process{p}
			if engine == "postgres" {
				replicas = append(replicas, o.serve())
			}
			o.does("", "queue pause")
			ids := o.send(replicas[len(replicas)-1], many)
			if n := o.length(); n != many {
				t.Errorf("queue status says %d, want %d", n, many)
			}
			for _, r := range replicas {
				o.showsThePause(r)
			}

			var list struct{ Deliveries []map[string]any }
			o.asks(&list, "queue list --limit 1")
			oldest := list.Deliveries[0]
			oldest["v"] = 1
			item, err := json.Marshal(oldest)
			if err != nil || oldest["delivery_id"] != ids[0] {
				t.Fatalf("queue list begins with %v, want the oldest, %s", oldest, ids[0])
			}
			out := o.does(string(item), "process -")
			for _, want := range []string{"octo/app#1  Write a", "label.add docs: done", ids[0] + " is processed."} {
				if !strings.Contains(out, want) {
					t.Errorf("process: no %q in\n%s", want, out)
				}
			}
			o.onlyFirstIsDone(ids)
			if n := o.length(); n != many-1 {
				t.Errorf("queue status says %d after one was processed, want %d", n, many-1)
			}
			if out := o.does(string(item), "process -"); !strings.Contains(out, ids[0]+" was processed already") {
				t.Errorf("process of the same item again: %s", out)
			}

			// A restart changes nothing of it. No loop of the service sleeps for more than a second, so in two of them it would
			// have taken something.
			for i, r := range replicas {
				if code, _ := r.Stop(t); code != 0 {
					t.Errorf("SIGTERM: exit %d", code)
				}
				replicas[i] = o.serve()
			}
			time.Sleep(2 * time.Second)
			for _, r := range replicas {
				o.showsThePause(r)
			}
			o.onlyFirstIsDone(ids)

			o.does("", "queue resume")
			eventually(t, 60*time.Second, "everything is processed", func() bool { return o.length() == 0 })
			if kept := keptStatuses(t, o.database); kept.count("processed") != many {
				t.Errorf("%d are processed, want %d", kept.count("processed"), many)
			}
			eventually(t, 5*time.Second, "the pause is over everywhere", func() bool {
				for _, r := range replicas {
					if _, body := get(t, r.URL+"/webhook/stats"); strings.Contains(body, `"paused":true`) || strings.Contains(body, `"paused": true`) {
						return false
					}
				}
				return true
			})
		})
	}
}

// showsThePause checks what a process that is paused says of itself.
func (o *office) showsThePause(p *testenv.Process) {
	o.t.Helper()
	paused := func() bool {
		var s struct{ Paused bool }
		_, body := get(o.t, p.URL+"/webhook/stats")
		return json.Unmarshal([]byte(body), &s) == nil && s.Paused
	}
	eventually(o.t, 5*time.Second, "/webhook/stats says that the queue is paused", paused)
	var ready struct {
		Status   string
		Warnings []string
	}
	warned := func() bool {
		status, body := get(o.t, p.URL+"/ready")
		return status == 200 && json.Unmarshal([]byte(body), &ready) == nil && strings.Contains(strings.Join(ready.Warnings, "\n"), "queue")
	}
	eventually(o.t, 5*time.Second, "/ready is 200 and warns of the pause", warned)
	if status, page := get(o.t, p.URL+"/"); status != 200 || !strings.Contains(page, "The queue is paused</strong>, as ordered") || !strings.Contains(page, "queue resume") {
		o.t.Errorf("the page (%d) says nothing of the pause", status)
	}
}

// TestCommandsBesideAServiceUnderLoad: everybody works on one database at once, and nobody gets in anybody's way.
func TestCommandsBesideAServiceUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("several processes and seconds; the commands themselves are tested in internal/cli")
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, engine)
			p := o.serve()
			var senders sync.WaitGroup
			var stop atomic.Bool
			var kept, refused atomic.Int64
			for s := range 4 {
				senders.Go(func() {
					for n := 1; !stop.Load(); n++ {
						if deliver(p.URL, secret, deliveryID(100+s, n), o.body(1+n%20)) == 202 {
							kept.Add(1)
						} else {
							refused.Add(1)
						}
						time.Sleep(5 * time.Millisecond)
					}
				})
			}
			eventually(t, 20*time.Second, "deliveries arrive", func() bool { return kept.Load() > 20 })
			var list struct {
				Deliveries []struct {
					ID     string `json:"delivery_id"`
					Status string
				}
			}
			const rounds = 3
			for round := range rounds {
				for _, args := range []string{"queue status", "queue list", "deliveries list", "queue dead list"} {
					var any map[string]any
					o.asks(&any, args)
				}
				o.does("", "queue pause")
				// What was taken in before the pause may be in a worker's hands, and be done any moment.
				var waiting []string
				eventually(t, 20*time.Second, "three wait that nobody has taken", func() bool {
					o.asks(&list, "queue list --limit 1000")
					waiting = nil
					for _, d := range list.Deliveries {
						if d.Status == "received" {
							waiting = append(waiting, d.ID)
						}
					}
					return len(waiting) >= 3
				})
				var any map[string]any
				o.asks(&any, "queue show "+waiting[0])
				o.asks(&any, "deliveries show --body "+waiting[0])
				o.does("", "queue discard "+waiting[0])
				o.does("", "deliveries replay "+waiting[0])
				o.does("", "queue discard "+waiting[1])
				out := o.does(`{"v":1,"delivery_id":"`+waiting[2]+`"}`, "process --json")
				if err := json.Unmarshal([]byte(out), &any); err != nil || any["outcome"] == "" {
					t.Errorf("process --json: %v, %s", err, out)
				}
				o.does("", "queue resume")

				// Nothing is paused: the service and a person want the same delivery at once, and one of them does it.
				id := deliveryID(200+round, 1)
				if status := deliver(p.URL, secret, id, o.body(1)); status == 202 {
					kept.Add(1)
				}
				out = o.does(`{"v":1,"delivery_id":"`+id+`"}`, "process -")
				if !strings.Contains(out, id+" is processed") && !strings.Contains(out, id+" was processed already") && !strings.Contains(out, id+" has been processed meanwhile") {
					t.Errorf("process beside a service: %s", out)
				}
			}
			stop.Store(true)
			senders.Wait()
			eventually(t, 60*time.Second, "everything is processed", func() bool { return o.length() == 0 })
			if refused.Load() > 0 {
				t.Errorf("%d deliveries were refused while commands ran, %d kept", refused.Load(), kept.Load())
			}
			all := keptStatuses(t, o.database)
			if n := all.count("discarded"); n != rounds || all.count("processed") != len(all)-n || int64(len(all)) != kept.Load() {
				t.Errorf("of %d acknowledged: %d kept, %d processed, %d discarded; want all kept, %d discarded and the rest processed",
					kept.Load(), len(all), all.count("processed"), n, rounds)
			}
			if n := strings.Count(fmt.Sprint(o.hub.Journal()), "label.add docs"); n != 1 {
				t.Errorf("the label was added %d times, want once", n)
			}
			for line := range strings.Lines(p.Logs()) {
				if strings.Contains(line, `"level":"ERROR"`) {
					t.Errorf("the service complains: %s", line)
				}
			}
			t.Logf("%s: %d deliveries kept beside %d rounds of commands", engine, kept.Load(), rounds)
		})
	}
}

// TestTheRunbooksPipeline runs the commands of the runbook as they stand there, with the real redis-cli.
func TestTheRunbooksPipeline(t *testing.T) {
	if testing.Short() {
		t.Skip("several processes and seconds; the commands themselves are tested in internal/cli")
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			r := testenv.Redis(t)
			client, err := exec.LookPath("redis-cli")
			if err != nil {
				testenv.Missing(t, "redis-cli is not installed; run: apt-get install redis-tools")
			}
			o := newOffice(t, engine, "REDIS_URL="+r.URL)
			// The runbook's Redis is on the standard port. But for that, what shell is given is the runbook's text.
			bin := t.TempDir()
			script := fmt.Sprintf("#!/bin/sh\nexec %s -p %d \"$@\"\n", client, r.Port)
			if err := errors.Join(
				os.Symlink(testenv.Binary(t), filepath.Join(bin, "github-pr-manager")), os.WriteFile(filepath.Join(bin, "redis-cli"), []byte(script), 0o755),
			); err != nil {
				t.Fatal(err)
			}
			_, password, _ := strings.Cut(r.URL, "redis://:")
			password, _, _ = strings.Cut(password, "@")
			shell := func(line string) string {
				t.Helper()
				cmd := exec.Command("sh", "-c", line)
				cmd.Env = append(testenv.Environ(t, o.env...), "PATH="+bin+":"+os.Getenv("PATH"), "REDISCLI_AUTH="+password)
				cmd.Dir = t.TempDir()
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%s: %v\n%s", line, err, out)
				}
				return strings.TrimSpace(string(out))
			}
			llen := func(want int) {
				t.Helper()
				got := ""
				eventually(t, 5*time.Second, fmt.Sprintf("LLEN says %d", want), func() bool {
					got = shell("redis-cli LLEN queue:github-webhook")
					return got == strconv.Itoa(want)
				})
			}
			p := o.serve()
			eventually(t, 5*time.Second, "the service uses Redis", func() bool {
				_, body := get(t, p.URL+"/metrics")
				return strings.Contains(body, "github_redis_up 1")
			})
			shell("github-pr-manager queue pause")
			ids := o.send(p, many)
			llen(many)
			if n := o.length(); n != many {
				t.Errorf("queue status says %d, want %d", n, many)
			}
			if out := shell("github-pr-manager queue status"); !strings.Contains(out, fmt.Sprintf("redis      %d in queue:github-webhook", many)) {
				t.Errorf("queue status says nothing of Redis:\n%s", out)
			}

			out := shell("redis-cli LPOP queue:github-webhook | github-pr-manager process -")
			for _, want := range []string{"octo/app#1  Write a", "label.add docs: done", ids[0] + " is processed."} {
				if !strings.Contains(out, want) {
					t.Errorf("the pipeline: no %q in\n%s", want, out)
				}
			}
			llen(many - 1)
			o.onlyFirstIsDone(ids)

			// What is discarded leaves the list with it.
			shell("github-pr-manager queue discard " + ids[1])
			llen(many - 2)

			// The list is lost and nothing else: it is filled up again, and begins with the oldest.
			shell("redis-cli FLUSHALL")
			llen(many - 2)
			if out := shell("redis-cli LPOP queue:github-webhook | github-pr-manager process -"); !strings.Contains(out, ids[2]+" is processed: GitHub does not know octo/app#3") {
				t.Errorf("the pipeline after FLUSHALL: %s", out)
			}
			shell("github-pr-manager queue resume")
			eventually(t, 60*time.Second, "everything is processed", func() bool { return o.length() == 0 })
			llen(0)
			if out := shell("redis-cli LPOP queue:github-webhook | github-pr-manager process -"); out != "The queue is empty." {
				t.Errorf("the pipeline on an empty queue: %s", out)
			}
			if kept := keptStatuses(t, o.database); kept.count("processed") != many-1 || kept.count("discarded") != 1 {
				t.Errorf("%d are processed and %d discarded, want %d and 1", kept.count("processed"), kept.count("discarded"), many-1)
			}
			r.Kill(t)
			if out := shell("github-pr-manager queue status"); !strings.Contains(out, "redis      length of queue:github-webhook: ") {
				t.Errorf("queue status with a dead Redis:\n%s", out)
			}
		})
	}
}
