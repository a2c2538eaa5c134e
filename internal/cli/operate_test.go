package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
)

// A desk is where an operator sits: a directory with a database, as a service beside them has it open, and perhaps a GitHub.
type desk struct {
	*store.Store
	t       *testing.T
	environ []string
	hub     *githubtest.Server
	repo    pull.Repo
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	t.Chdir(t.TempDir())
	s, err := store.Open(t.Context(), "sqlite:data/github-pr-manager.db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &desk{Store: s, t: t, environ: []string{"SUDO_USER=carol", "LEASE=1s"}, repo: pull.Repo{ID: 42, Owner: "octo", Name: "app"}}
}

// withGitHub adds a GitHub with octo/app, a policy that labels, and pull requests 1 to 3.
func (d *desk) withGitHub() *githubtest.Repo {
	d.t.Helper()
	hub, err := githubtest.New(githubtest.Options{Dir: filepath.Join(d.t.TempDir(), "github")})
	if err != nil {
		d.t.Fatal(err)
	}
	hub.MergeableAfter(0)
	mira := hub.User("mira")
	repo := hub.Repo("octo/app", githubtest.RepoOptions{Files: map[string]string{
		"README.md": "# app\n", policy.FileName: "version: 1\nlabels:\n  docs: { files: [\"*.txt\"] }\n",
	}})
	repo.Grant(mira, githubtest.CanMaintain)
	for _, branch := range []string{"one", "two", "three"} {
		repo.Push(branch, map[string]string{branch + ".txt": "a\n"}, "Write "+branch, mira)
		repo.Open(mira, branch, "main", "Write "+branch, "")
	}
	web := httptest.NewServer(hub)
	d.t.Cleanup(web.Close)
	d.hub, d.repo.ID = hub, repo.ID
	d.environ = append(d.environ, "GITHUB_API_URL="+web.URL, "GITHUB_TOKEN="+mira.Token())
	return repo
}

// run runs a command in the desk's directory.
func (d *desk) run(stdin string, args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	var out, errs strings.Builder
	code = Run(d.t.Context(), args, strings.NewReader(stdin), &out, &errs, d.environ)
	return code, out.String(), errs.String()
}

// does runs a command that must end well, and say all that is wanted.
func (d *desk) does(args string, wants ...string) string {
	d.t.Helper()
	code, out, errs := d.run("", strings.Fields(args)...)
	if code != exitFine || errs != "" {
		d.t.Errorf("%s = %d, %s %s", args, code, out, errs)
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			d.t.Errorf("%s: no %q in\n%s", args, want, out)
		}
	}
	return out
}

// refuses runs a command whose answer is no, in one line.
func (d *desk) refuses(args, want string) {
	d.t.Helper()
	code, out, errs := d.run("", strings.Fields(args)...)
	if code != exitNo || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
		d.t.Errorf("%s = %d, %s, %s want 1 and one line with %q", args, code, out, errs, want)
	}
}

// json runs a command with --json and reads its answer.
func (d *desk) json(into any, args string) {
	d.t.Helper()
	out := d.does(args + " --json")
	if err := json.Unmarshal([]byte(out), into); err != nil {
		d.t.Fatalf("%s --json is no JSON: %v\n%s", args, err, out)
	}
}

func (d *desk) delivery(id string, number int) pull.Delivery {
	body := fmt.Appendf(nil, `{"number":%d,"title":"\u001b[31mred"}`, number)
	return pull.Delivery{
		ID: id, Body: body, BodyHash: sha256.Sum256(body), ReceivedAt: d.Now(), Headers: map[string]string{"X-Github-Event": "pull_request"},
		Hint: pull.Hint{Event: "pull_request", Action: "opened", Repo: d.repo, Sender: pull.Actor{ID: 1, Login: "ana"}, Numbers: []int{number}},
	}
}

// receive keeps deliveries as the entrance does; each is about the pull request of its place.
func (d *desk) receive(ids ...string) {
	d.t.Helper()
	for i, id := range ids {
		d.insert(d.delivery(id, i+1))
	}
}

func (d *desk) insert(ds ...pull.Delivery) {
	d.t.Helper()
	if _, err := d.Insert(d.t.Context(), ds); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) intake(ids ...string) {
	d.t.Helper()
	route := func(d pull.Delivery) pull.Route { return pull.Route{Numbers: d.Hint.Numbers} }
	if _, n, err := d.Intake(d.t.Context(), pull.Taking{IDs: ids}, route); err != nil || n != len(ids) {
		d.t.Fatalf("Intake took %d of %v, %v", n, ids, err)
	}
}

// kill makes dead letters of deliveries that were taken in.
func (d *desk) kill(numbers ...int) {
	d.t.Helper()
	for _, n := range numbers {
		for range pull.MaxFails {
			c, held, err := d.ClaimKey(d.t.Context(), pull.PullKey(d.repo.ID, n), "test", "d", "me", time.Minute)
			if err != nil || held != nil {
				d.t.Fatalf("ClaimKey = %+v, %v", held, err)
			}
			if _, err := d.Record(d.t.Context(), c, pull.PassResult{Outcome: pull.PassFailed, Error: "GitHub said \x1b[31mno"}); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

func (d *desk) status(id string) pull.DeliveryStatus {
	d.t.Helper()
	got, err := d.Delivery(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	return got.Status
}

func (d *desk) want(id string, status pull.DeliveryStatus) {
	d.t.Helper()
	if got := d.status(id); got != status {
		d.t.Errorf("%s is %s, want %s", id, got, status)
	}
}

// item is a delivery as it stands in the Redis list.
func item(id string, number int) string {
	return delivery.Item{V: 1, DeliveryID: id, Event: "pull_request", Action: "opened", Repository: "octo/app", Number: number, ReceivedAt: "2026-03-01T12:00:00Z"}.String()
}

func TestQueueCommands(t *testing.T) {
	d := newDesk(t)
	d.does("queue list", "Nothing waits.")
	d.does("queue status", "waiting    0\n", "dead       0\n", "queue      goes on\n")
	d.receive("a", "b", "c")
	d.intake("a")

	d.does("queue status", "waiting    3, the oldest for 0s (since 20", "due        1\n")
	d.does("queue list", "DELIVERY", "\na ", "queued", "pull_request.opened", "octo/app#2")
	d.does("queue list --limit 1", "and 2 more")
	var list struct {
		Length     int
		Deliveries []shownDelivery
	}
	d.json(&list, "queue list --limit 2")
	if list.Length != 3 || len(list.Deliveries) != 2 || list.Deliveries[0].ID != "a" || list.Deliveries[0].Key != "pr:42#1" || list.Deliveries[1].Status != pull.Received {
		t.Errorf("queue list --json = %+v", list)
	}

	d.does("queue show a", "a  pull_request.opened about octo/app#1", "queued: it waits for a free worker")
	d.does("queue show b", "received: it waits to be taken in")
	out := d.does("queue pause", "The queue is paused since 20", " by carol@")
	if again := d.does("queue pause"); again != out {
		t.Errorf("queue pause again = %s, want %s", again, out)
	}
	d.does("queue show a", "queued: the queue is paused")
	d.does("queue status", "queue      paused since 20", " by carol@", "github-pr-manager queue resume ends that")
	var st queueStatus
	d.json(&st, "queue status")
	if st.Length != 3 || st.Due != 1 || !st.Paused || st.PausedSince == nil || !strings.HasPrefix(st.PausedBy, "carol@") || st.OldestWaiting == nil || st.Redis != nil {
		t.Errorf("queue status --json = %+v", st)
	}

	d.does("queue discard a", "a is discarded.")
	d.does("queue discard a", "a is discarded already.")
	d.want("a", pull.Discarded)
	d.refuses("queue discard nobody", `there is no delivery "nobody" in sqlite:data/github-pr-manager.db`)
	var one struct {
		shownDelivery
		WaitsFor string `json:"waits_for"`
		Work     *shownWork
	}
	d.json(&one, "queue show a")
	if one.Status != pull.Discarded || one.Work == nil || one.Work.DueAt != nil || one.Work.PullRequest != "octo/app#1" || !strings.Contains(one.WaitsFor, "deliveries replay") {
		t.Errorf("queue show --json = %+v, %+v", one, one.Work)
	}
	d.does("queue resume", "The queue goes on, after 0s.")
	d.does("queue resume", "The queue is not paused.")
	d.refuses("queue show nobody", "is the id right")
}

func TestDeadCommands(t *testing.T) {
	d := newDesk(t)
	d.does("queue dead list", "There are no dead letters.")
	d.receive("a", "b", "c")
	d.insert(pull.Delivery{ID: "bad", Hint: pull.Hint{Event: "push", Repo: d.repo}, ReceivedAt: d.Now()})
	d.intake("a", "b", "c")
	d.kill(1, 2)
	for range pull.MaxFails {
		if _, _, err := d.Intake(t.Context(), pull.Taking{IDs: []string{"bad"}, By: "test"}, func(pull.Delivery) pull.Route { panic("no route") }); err != nil {
			t.Fatal(err)
		}
	}

	d.does("queue status", "dead       3: see queue dead list")
	d.does("queue dead list", "octo/app#1 ", "octo/app#2 ", "bad ", `GitHub said \x1b[31mno`, "routing failed: no route")
	var list struct{ Dead []shownLetter }
	d.json(&list, "queue dead list")
	if len(list.Dead) != 3 || list.Dead[0].ID != "octo/app#1" || list.Dead[0].Key != "pr:42#1" || list.Dead[0].Fails != pull.MaxFails || list.Dead[2].ID != "bad" {
		t.Errorf("queue dead list --json = %+v", list)
	}
	for _, name := range []string{"octo/app#1", "pr:42#1", "a", "https://github.com/octo/app/pull/1"} {
		d.does("queue dead show "+name, "octo/app#1", "Failed 6 times", `GitHub said \x1b[31mno`, "\na ")
	}
	var one struct {
		shownLetter
		All []shownDelivery
	}
	d.json(&one, "queue dead show bad")
	if one.ID != "bad" || len(one.All) != 1 || one.All[0].Status != pull.Dead {
		t.Errorf("queue dead show --json = %+v", one)
	}
	for _, name := range []string{"c", "octo/app#3", "octo/other#1", "pr:42#3", "nobody"} {
		d.refuses("queue dead show "+name, "there is no dead letter")
	}
	d.refuses("queue discard a", "it is dead: queue dead drop gives it up")
	d.does("queue show a", "dead: it waits for a person: queue dead show a")

	d.does("queue dead retry a", "octo/app#1 is live again.")
	d.want("a", pull.Queued)
	d.refuses("queue dead retry a", "there is no dead letter")
	d.does("queue dead drop octo/app#2", "octo/app#2 is dropped.")
	d.want("b", pull.Discarded)
	d.kill(1)
	d.does("queue dead retry --all", "octo/app#1 is live again.", "bad is live again.")
	d.want("bad", pull.Received)
	d.kill(1)
	d.does("queue dead drop --all", "octo/app#1 is dropped.")
	d.does("queue dead drop --all", "There was nothing to do")
	d.want("c", pull.Queued)
}

func TestDeliveriesCommands(t *testing.T) {
	d := newDesk(t)
	d.does("deliveries list", "Nothing has arrived yet.")
	d.receive("a", "b")
	d.intake("a")
	c, _, err := d.Claim(t.Context(), "test", time.Minute, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Record(t.Context(), c, pull.PassResult{Outcome: pull.PassDone}); err != nil {
		t.Fatal(err)
	}
	if out := d.does("deliveries list", "processed", "received"); strings.Index(out, "\nb ") > strings.Index(out, "\na ") {
		t.Errorf("deliveries list is not newest first:\n%s", out)
	}
	var list struct{ Deliveries []shownDelivery }
	d.json(&list, "deliveries list --limit 1")
	if len(list.Deliveries) != 1 || list.Deliveries[0].ID != "b" || list.Deliveries[0].Sender != "ana" {
		t.Errorf("deliveries list --json = %+v", list)
	}

	out := d.does("deliveries show a", "delivery   a\n", "event      pull_request.opened\n", "about      octo/app#1\n", "status     processed\n", "key        pr:42#1\n",
		"\nreceived   20", "\ntaken      20", "\nprocessed  20", "X-Github-Event: pull_request", `"login": "ana"`)
	if strings.Contains(out, "title") {
		t.Errorf("deliveries show has the body without --body:\n%s", out)
	}
	if out = d.does("deliveries show --body a", `"title": "\u001b[31mred"`); strings.Contains(out, "\x1b") {
		t.Errorf("deliveries show --body moves the terminal: %q", out)
	}
	var one struct {
		shownDelivery
		Headers  map[string]string
		Hint     pull.Hint
		BodyKept bool `json:"body_kept"`
		Body     struct{ Number int }
	}
	d.json(&one, "deliveries show --body a")
	if one.Headers["X-Github-Event"] != "pull_request" || one.Hint.Number() != 1 || !one.BodyKept || one.Body.Number != 1 || one.Taken == nil || one.Processed == nil {
		t.Errorf("deliveries show --json = %+v", one)
	}
	d.refuses("deliveries show nobody", `there is no delivery "nobody"`)

	// Its body is emptied once its time is over.
	if _, err := d.Purge(t.Context(), time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	d.does("deliveries show --body a", "Its body is not kept any more.")
	d.does("deliveries replay a", "a is taken in again.")
	d.want("a", pull.Received)
	d.does("queue pause")
	d.does("deliveries replay a", "a waits already; it is taken up once the queue goes on")
	d.refuses("deliveries replay nobody", `there is no delivery "nobody"`)
}

// process runs the command with an item on its standard input.
func (d *desk) process(stdin string, code int, wants ...string) {
	d.t.Helper()
	got, out, errs := d.run(stdin, "process", "-")
	if got != code || strings.Count(errs, "\n") != code {
		d.t.Errorf("process of %s = %d, want %d\n%s%s", stdin, got, code, out, errs)
	}
	for _, want := range wants {
		if !strings.Contains(out+errs, want) {
			d.t.Errorf("process of %s: no %q in\n%s%s", stdin, want, out, errs)
		}
	}
}

func TestProcess(t *testing.T) {
	d := newDesk(t)
	d.withGitHub()
	d.receive("a", "b", "c")
	d.does("queue pause")

	// Exactly that one, to the end, while the queue is paused.
	d.process(item("b", 2)+"\n", exitFine, "octo/app#2  Write two", "(by this look).", "label.add docs: done", "b is processed.")
	d.want("a", pull.Received)
	d.want("b", pull.Processed)
	d.want("c", pull.Received)
	journal := fmt.Sprint(d.hub.Journal())
	if !strings.Contains(journal, "docs") || strings.Contains(journal, "octo/app#1") || strings.Contains(journal, "octo/app#3") {
		t.Errorf("written to GitHub: %s", journal)
	}

	// Processed already: says so. The same in the form that redis-cli has on a terminal.
	d.process(item("b", 2), exitFine, "b was processed already, at 20")
	d.process(`"`+strings.ReplaceAll(item("b", 2), `"`, `\"`)+`"`, exitFine, "b was processed already")
	if after := fmt.Sprint(d.hub.Journal()); after != journal {
		t.Errorf("a processed item was written again: %s", after)
	}

	// Taken in, and not yet looked at: claimed by hand.
	d.does("queue resume")
	d.intake("c")
	d.does("queue pause")
	code, out, errs := d.run(item("c", 3), "process", "--json")
	var answer processAnswer
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != exitFine {
		t.Fatalf("process --json = %d, %v\n%s%s", code, err, out, errs)
	}
	if answer.Outcome != "pass" || answer.Pass != "done" || answer.Delivery.Status != pull.Processed || answer.Decision == nil || answer.Decision.Number != 3 || len(answer.Did) == 0 || answer.Did[0].Kind != pull.AddLabel {
		t.Errorf("process --json = %+v", answer)
	}

	// Discarded, and replayed: there is nothing left to write.
	d.does("queue discard a")
	d.process(item("a", 1), exitFine, "a was discarded. deliveries replay takes it in again.")
	d.does("deliveries replay b")
	d.process(item("b", 2), exitFine, "There was nothing to write to GitHub.", "b is processed.")

	// From a file.
	path := writeFile(t, t.TempDir(), "item.json", item("b", 2))
	if code, out, errs := d.run("", "process", path); code != exitFine || !strings.Contains(out, "processed already") {
		t.Errorf("process FILE = %d, %s%s", code, out, errs)
	}
}

// What redis-cli prints for an empty list is no error, and what is no item is one line.
func TestProcessOfNoItem(t *testing.T) {
	d := newDesk(t)
	for _, empty := range []string{"", "\n", "(nil)", "(nil)\n", `""`} {
		d.process(empty, exitFine, "The queue is empty.")
	}
	if code, out, _ := d.run("", "process", "--json"); code != exitFine || !json.Valid([]byte(out)) {
		t.Errorf("process --json of nothing = %d, %s", code, out)
	}
	for _, bad := range []string{"x", "{}", "[]", "null", `"{\"v\":1`, `{"v":1}`, `{"v":9,"delivery_id":"a"}`, item("a", 1) + "\n" + item("b", 2), "(error) WRONGTYPE", "ERR unknown command"} {
		d.process(bad, exitNo, "that is not an item of the queue", "queue list shows what waits")
	}
	d.process(item("nobody", 1), exitNo, `there is no delivery "nobody" in sqlite:data/github-pr-manager.db`, "DATABASE_URL")
	if code, _, errs := d.run("", "process", "absent.json"); code != exitUsage || !strings.Contains(errs, "can't read absent.json") {
		t.Errorf("process of an absent file = %d, %s", code, errs)
	}
}

// Deliveries that name no pull request, or several, are done with being taken in.
func TestProcessAtIntake(t *testing.T) {
	d := newDesk(t)
	d.withGitHub()
	ping := d.delivery("ping", 0)
	ping.Hint = pull.Hint{Event: "ping", Repo: d.repo}
	push := d.delivery("push", 0)
	push.Hint = pull.Hint{Event: "push", Repo: d.repo, Branch: "main", DefaultBranch: "main"}
	d.insert(ping, push)
	d.process(item("ping", 0), exitFine, "ping is processed: it is a ping, which names no pull request of its own")
	d.process(item("push", 0), exitFine, "push is processed: it is a push,")
	d.want("ping", pull.Processed)
	d.want("push", pull.Processed)
}

// Without credentials nobody can look, and with repositories left out nobody may: it says so, and does as the service does.
func TestProcessWithoutALook(t *testing.T) {
	d := newDesk(t)
	d.receive("a", "b")
	d.process(item("a", 1), exitFine, "a is ended without a look: there are no credentials for GitHub")
	d.want("a", pull.Processed)
	d.withGitHub()
	d.environ = append(d.environ, "GITHUB_REPOSITORY=octo/other")
	d.process(item("b", 2), exitFine, "b is ended without a look: it is about a repository that GITHUB_REPOSITORY leaves out")
	d.want("b", pull.Processed)
}

// Who may only observe decides, and says that nothing is written.
func TestProcessThatObserves(t *testing.T) {
	d := newDesk(t)
	d.withGitHub()
	d.receive("a")
	d.environ = append(d.environ, "AGENTS_ENABLED=false")
	d.process(item("a", 1), exitFine, "To do: add the label “docs”.", "Nothing is written to GitHub: AGENTS_ENABLED is false.", "a is processed.")
	if writes := d.hub.Journal(); len(writes) != 0 {
		t.Errorf("written to GitHub: %v", writes)
	}
}

// Who stops it in the middle of a pass gets the delivery back as it was, once the request in hand has ended.
func TestProcessThatIsStopped(t *testing.T) {
	d := newDesk(t)
	d.withGitHub()
	d.receive("a")
	ctx, stop := context.WithCancel(t.Context())
	d.hub.Fail(githubtest.Fault{Op: "graphql.*", Kind: githubtest.Hang, Delay: time.Second})
	go func() {
		for d.status("a") == pull.Received {
			time.Sleep(5 * time.Millisecond)
		}
		stop()
	}()
	var out, errs strings.Builder
	code := Run(ctx, []string{"process"}, strings.NewReader(item("a", 1)), &out, &errs, d.environ)
	if code != exitNo || !strings.Contains(errs.String(), "waits in the database as before") || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("process that is stopped = %d, %s%s", code, &out, &errs)
	}
	d.want("a", pull.Queued)
	if writes := d.hub.Journal(); len(writes) != 0 {
		t.Errorf("written to GitHub after the order to stop: %v", writes)
	}
	d.process(item("a", 1), exitFine, "label.add docs: done", "a is processed.") // its lease was given back
}

// A pass that fails leaves the delivery where it was.
func TestProcessThatFails(t *testing.T) {
	d := newDesk(t)
	d.withGitHub()
	d.receive("a", "b", "c", "gone")
	d.process(item("gone", 4), exitFine, "gone is processed: GitHub does not know octo/app#4 (any more).")
	fault := d.hub.Fail(githubtest.Fault{Op: "graphql.*", Status: 500, Times: -1})
	d.process(item("a", 1), exitNo, "the look at octo/app#1 failed: ", "the delivery waits in the database as before, and is tried again")
	d.want("a", pull.Queued)
	fault.Heal()
	d.process(item("a", 1), exitFine, "a is processed.") // whatever its backoff

	// A dead letter gets its pass too.
	d.intake("b")
	d.kill(2)
	d.process(item("b", 2), exitFine, "b is processed.")
	d.want("b", pull.Processed)

	// GitHub's limit is obeyed.
	d.intake("c")
	if err := d.ParkScope(t.Context(), pull.ScopeToken, d.Now().Add(time.Hour), "the budget is spent"); err != nil {
		t.Fatal(err)
	}
	d.process(item("c", 3), exitNo, "GitHub's limit is reached until 20", "the budget is spent", "waits in the database as before")
	d.want("c", pull.Queued)
	d.does("queue status", "parked     token until 20")
	d.does("queue show c", "GitHub's limit is reached until 20")
}

// Somebody else's pass is waited for, and for no longer than a lease.
func TestProcessWaitsForAnother(t *testing.T) {
	d := newDesk(t)
	d.withGitHub()
	d.receive("a", "b")
	d.intake("a", "b")
	claim := func(n int) pull.Claim {
		t.Helper()
		c, held, err := d.ClaimKey(t.Context(), pull.PullKey(d.repo.ID, n), "test", "d", "host:1:1", time.Minute)
		if err != nil || held != nil {
			t.Fatalf("ClaimKey = %+v, %v", held, err)
		}
		return c
	}
	c := claim(1)
	short := d.environ
	d.environ = append(slices.Clone(short), "LEASE=30s")
	go func() {
		time.Sleep(1500 * time.Millisecond) // nothing tells from outside when it has begun to wait
		_, _ = d.Record(t.Context(), c, pull.PassResult{Outcome: pull.PassDone})
	}()
	d.process(item("a", 1), exitFine, "a has been processed meanwhile, by a service.")
	d.environ = short

	claim(2)
	began := time.Now()
	d.process(item("b", 2), exitNo, "host:1:1 is still looking at the pull request of b: the delivery waits in the database as before")
	if took := time.Since(began); took < time.Second || took > 10*time.Second {
		t.Errorf("process waited %v for another's pass, want the lease of a second", took)
	}
	if writes := d.hub.Journal(); len(writes) != 0 {
		t.Errorf("written while somebody else had the lease: %v", writes)
	}
}

// TestEveryOperationIsNoted: who did what, in the audit log and in the feed that the pages follow.
func TestEveryOperationIsNoted(t *testing.T) {
	d := newDesk(t)
	d.withGitHub()
	d.receive("a", "b", "c")
	d.intake("a")
	d.kill(1)
	from, err := d.LatestChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.does("queue pause")
	d.does("queue discard c")
	d.does("deliveries replay c")
	d.does("queue dead retry a")
	d.kill(1)
	d.does("queue dead drop a")
	d.process(item("b", 2), exitFine)
	d.does("queue resume")
	changes, err := d.Changes(t.Context(), from, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, c := range changes {
		if strings.Contains(c.Text, "carol@") {
			said = append(said, regexp.MustCompile(`carol@\S*`).ReplaceAllString(c.Text, "carol"))
		}
	}
	want := []string{
		"the queue is paused by carol deliveries are kept, nothing is worked on", "delivery c discarded by carol", "delivery c is taken in again, says carol",
		fmt.Sprintf("dead letter pr:%d#1 live again, says carol", d.repo.ID), fmt.Sprintf("dead letter pr:%d#1 dropped, says carol", d.repo.ID),
		"taken by hand, says carol", "the queue goes on, says carol",
	}
	if fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("the feed says\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

// TestOperatorsNeedASchema: a database that serve has never seen is told of, and not changed.
func TestOperatorsNeedASchema(t *testing.T) {
	for _, args := range []string{"queue status", "queue list", "queue pause", "queue dead list", "deliveries list", "process -"} {
		code, _, errs := run(t, nil, item("a", 1), strings.Fields(args)...)
		if code != exitNo || !strings.Contains(errs, "there is no database yet at data/github-pr-manager.db: serve and migrate up make it") {
			t.Errorf("%s without a database = %d, %s", args, code, errs)
		}
		s, err := store.Open(t.Context(), "sqlite:data/github-pr-manager.db", store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var out, complaint strings.Builder
		code = Run(t.Context(), strings.Fields(args), strings.NewReader(item("a", 1)), &out, &complaint, nil)
		if code != exitNo || !strings.Contains(complaint.String(), "run github-pr-manager migrate up") {
			t.Errorf("%s on an empty database = %d, %s", args, code, complaint.String())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m", 47 * time.Hour: "47h", 49 * time.Hour: "2d",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %s, want %s", d, got, want)
		}
	}
}
