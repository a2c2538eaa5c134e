package dashboard

import (
	"context"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A fakeStore is a Reader with a state that tests change. It keeps the promises of the interface; err makes every
// call fail, and slow makes them take their time.
type fakeStore struct {
	mu         sync.Mutex
	totals     Totals
	details    []Detail
	deliveries []pull.Delivery // oldest first
	changes    []pull.Change
	due        []Work
	err        error
	slow       time.Duration
	calls      map[string]int
}

func (f *fakeStore) begin(ctx context.Context, call string) (func(), error) {
	f.mu.Lock()
	slow := f.slow
	f.mu.Unlock()
	if slow > 0 {
		t := time.NewTimer(slow)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return func() {}, ctx.Err()
		}
	}
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[call]++
	return f.mu.Unlock, f.err
}

func (f *fakeStore) Totals(ctx context.Context) (Totals, error) {
	end, err := f.begin(ctx, "totals")
	defer end()
	return f.totals, err
}

func (f *fakeStore) Pulls(ctx context.Context, open bool, limit int) ([]pull.Row, error) {
	end, err := f.begin(ctx, "pulls")
	defer end()
	var out []pull.Row
	for _, d := range f.details {
		if (d.Row.State == pull.Open) == open {
			out = append(out, d.Row)
		}
	}
	slices.SortFunc(out, func(a, b pull.Row) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
	return out[:min(limit, len(out))], err
}

func (f *fakeStore) Pull(ctx context.Context, owner, name string, number int) (Detail, error) {
	end, err := f.begin(ctx, "pull")
	defer end()
	if err != nil {
		return Detail{}, err
	}
	for _, d := range f.details {
		if strings.EqualFold(d.Row.Repo.FullName(), owner+"/"+name) && d.Row.Number == number {
			return d, nil
		}
	}
	return Detail{}, fmt.Errorf("pull request %s/%s#%d: %w", owner, name, number, ErrNotFound)
}

func (f *fakeStore) Deliveries(ctx context.Context, limit int) ([]pull.Delivery, error) {
	end, err := f.begin(ctx, "deliveries")
	defer end()
	out := slices.Clone(f.deliveries)
	slices.Reverse(out)
	return out[:min(limit, len(out))], err
}

func (f *fakeStore) Due(ctx context.Context, limit int) ([]Work, error) {
	end, err := f.begin(ctx, "due")
	defer end()
	return f.due[:min(limit, len(f.due))], err
}

func (f *fakeStore) Changes(ctx context.Context, after int64, limit int) ([]pull.Change, error) {
	end, err := f.begin(ctx, "changes")
	defer end()
	var out []pull.Change
	for _, c := range f.changes {
		if c.ID > after {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b pull.Change) int { return int(a.ID - b.ID) })
	return out[:min(limit, len(out))], err
}

func (f *fakeStore) LatestChange(ctx context.Context) (int64, error) {
	end, err := f.begin(ctx, "latest")
	defer end()
	var id int64
	for _, c := range f.changes {
		id = max(id, c.ID)
	}
	return id, err
}

// change appends to the feed; an id of 0 is the next one.
func (f *fakeStore) change(id int64, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id == 0 {
		for _, c := range f.changes {
			id = max(id, c.ID)
		}
		id++
	}
	f.changes = append(f.changes, pull.Change{ID: id, At: time.Now(), Kind: pull.ChangePull, Key: "pr:1#7", Text: text})
}

// deliver appends a delivery about a pull request.
func (f *fakeStore) deliver(event, action string, repo pull.Repo, n int, status pull.DeliveryStatus, age time.Duration) {
	f.mu.Lock()
	seq := int64(len(f.deliveries) + 1)
	h := pull.Hint{Event: event, Action: action, Repo: repo, Sender: pull.Actor{Login: "pr-manager[bot]"}}
	if n > 0 {
		h.Numbers = []int{n}
	}
	f.deliveries = append(f.deliveries, pull.Delivery{
		Seq: seq, ID: fmt.Sprintf("0b989ba4-242f-11e5-81e1-%012d", seq), Hint: h, Status: status, SeenCount: 1,
		ReceivedAt: time.Now().Add(-age),
	})
	f.totals.Received++
	f.totals.Processed++
	f.mu.Unlock()
	f.change(0, event+" arrived")
}

var (
	app  = pull.Repo{ID: 1, Owner: "octo", Name: "app"}
	docs = pull.Repo{ID: 2, Owner: "octo", Name: "handbook"}
)

// open adds an open pull request with a verdict.
func (f *fakeStore) open(repo pull.Repo, n int, title, verdict, sentence string, labels ...string) *Detail {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.details = append(f.details, Detail{Row: pull.Row{
		Key: pull.PullKey(repo.ID, n), Repo: repo, Number: n, Title: title, Author: "mona", State: pull.Open,
		URL: fmt.Sprintf("https://github.com/%s/pull/%d", repo.FullName(), n), Head: pull.SHA(fmt.Sprintf("%x", sha1.Sum([]byte(title)))),
		HeadRef: "feature/" + fmt.Sprint(n), Base: "main", Labels: labels, UpdatedAt: now.Add(-time.Duration(n) * time.Minute),
		Verdict: verdict, Sentence: sentence, DecidedAt: now.Add(-time.Duration(n) * 40 * time.Second),
	}})
	return &f.details[len(f.details)-1]
}

// newFake is a small installation in the middle of its day.
func newFake() *fakeStore {
	f := &fakeStore{totals: Totals{
		Received: 12847, Processed: 12840, Duplicates: 31, Errors: 4, QueueLength: 7, InFlight: 2, Due: 3, Actions: 1934,
		OldestQueued: time.Now().Add(-40 * time.Second), LastDone: time.Now().Add(-2 * time.Second),
	}}
	f.open(app, 41, "Retry uploads that were cut off in the middle", "blocked", "Blocked: check \"unit tests\" failed on 3c1f0aa; mona can push a fix, or someone with write access can re-run it.", "size/M", "storage")
	f.open(app, 38, "Replace the session cache by one that can be shared between replicas", "blocked", "Blocked by conflicts with main; mona has to rebase or merge main.", "needs-rebase", "size/XL")
	f.open(app, 44, "Show the time zone in the export dialog", "waiting", "Waiting for an approval of 5bd1e24 by someone with write access.", "ui")
	d := f.open(app, 45, "Wip: new editor", "waiting", "Waiting: it is a draft; mona marks it ready for review when it is.", "ui", "experiment")
	d.Row.Draft = true
	f.open(docs, 12, "Explain how to rotate webhook secrets without downtime", "waiting", "Waiting for 2 checks on 8aa01c3: lint, links.", "documentation")
	f.open(app, 46, "Bump golang.org/x/net from 0.44.0 to 0.45.0", "ready", "Approved, all 9 checks green: being merged by squash.", "dependencies")
	f.open(docs, 9, "Typos in the glossary", "dry-run", "Dry run: would be merged by squash; approved and all checks green.", "documentation")
	f.open(docs, 14, "First draft of the style guide", "observing", "Observed only: octo/handbook has no .github/pr-manager.yml.")
	f.open(app, 47, "A pull request that has just been opened", "", "")
	for i, title := range []string{"Do not log the request body", "Speed up the diff view by caching hunks", "Remove the unused metrics endpoint", "Rename confusing flags"} {
		d := f.open(app, 30+i, title, "merged", "Merged into main as 77aa10f by pr-manager.")
		d.Row.State = pull.Merged
		d.Row.UpdatedAt = time.Now().Add(-time.Duration(i*i*35+4) * time.Minute)
	}
	evs := []struct {
		event, action string
		n             int
		status        pull.DeliveryStatus
	}{
		{"ping", "", 0, pull.Processed},
		{"push", "", 0, pull.Processed},
		{"pull_request", "opened", 44, pull.Processed},
		{"check_suite", "requested", 44, pull.Processed},
		{"check_run", "created", 44, pull.Processed},
		{"pull_request_review", "submitted", 46, pull.Processed},
		{"check_run", "completed", 41, pull.Processed},
		{"issue_comment", "created", 38, pull.Dead},
		{"check_run", "completed", 46, pull.Processed},
		{"pull_request", "synchronize", 41, pull.Queued},
		{"check_run", "completed", 12, pull.Queued},
		{"pull_request", "opened", 47, pull.Received},
	}
	for i, e := range evs {
		f.deliver(e.event, e.action, app, e.n, e.status, time.Duration((len(evs)-i)*(len(evs)-i)*3)*time.Second)
	}
	f.deliveries[7].Error = "snapshot octo/app#38: GitHub answered 502: Bad Gateway"
	f.deliveries[8].SeenCount = 3
	now := time.Now()
	f.due = []Work{
		{Key: pull.PullKey(1, 46), Repo: app, Title: "Bump golang.org/x/net from 0.44.0 to 0.45.0", Running: true, Since: now.Add(-2 * time.Second)},
		{Key: pull.PullKey(1, 47), Repo: app, Title: "A pull request that has just been opened", DueAt: now, Since: now},
		{Key: pull.PullKey(1, 38), Repo: app, Title: "Replace the session cache by one that can be shared between replicas", DueAt: now, NotBefore: now.Add(32 * time.Second), Fails: 5},
	}
	f.totals.Dead = 1
	f.explain()
	return f
}

// explain gives octo/app#44 a verdict with all that a page shows.
func (f *fakeStore) explain() {
	const path = "octo/app/.github/pr-manager.yml@main"
	head := f.details[2].Row.Head
	and := func(text string, r policy.Result, kids ...*policy.Node) *policy.Node {
		return &policy.Node{Text: text, Op: policy.And, Result: r, Children: kids}
	}
	v := policy.Verdict{
		State: policy.Waiting, Head: head,
		Reasons: []policy.Reason{
			{Code: policy.ApprovalMissing, SHA: head, Who: []string{policy.WhoWriter}},
			{Code: policy.ChecksPending, Names: []string{"unit tests", "build (linux)"}, SHA: head},
		},
		Policy: policy.Source{Path: path, Found: true, Mode: policy.Active},
		Rules: []policy.Rule{
			{Section: "labels", Name: "ui", Pos: policy.Pos{Path: path, Line: 5, Column: 3}, Outcome: policy.LabelOn, Condition: &policy.Node{
				Text: `files.exists(f, f.startsWith("web/"))`, Result: policy.True, Children: []*policy.Node{{Text: "files", Value: `3 files: web/export.ts, web/export.css, …`}},
			}},
			{Section: "labels", Name: "needs-rebase", Pos: policy.Pos{Path: path, Line: 7, Column: 3}, Outcome: policy.LabelOff, Condition: &policy.Node{
				Text: "pr.conflicting", Result: policy.False,
			}},
			{Section: "labels", Name: "hold", Pos: policy.Pos{Path: path, Line: 9, Column: 3}, Outcome: policy.LabelKeptOff, Why: []policy.Reason{{Code: policy.LabelTakenByOther, Label: "hold", By: "hubot"}}},
			{
				Section: "merge", Pos: policy.Pos{Path: path, Line: 12, Column: 3}, Outcome: policy.MergeWaits,
				Why: []policy.Reason{{Code: policy.ApprovalMissing, SHA: head}},
				Condition: and(`approved && checks.green && !("hold" in pr.labels)`, policy.False,
					&policy.Node{Text: "approved", Result: policy.False, Children: []*policy.Node{{Text: "approvals", Value: "0 of 5bd1e24; 1 of an older commit, by hubot"}}},
					&policy.Node{Text: "checks.green", Result: policy.Unknown, Children: []*policy.Node{{Text: "checks.pending", Value: `["unit tests", "build (linux)"]`}}},
					&policy.Node{Text: `!("hold" in pr.labels)`, Op: policy.Not, Result: policy.True, Children: []*policy.Node{{Text: `"hold" in pr.labels`, Result: policy.False, Children: []*policy.Node{{Text: "pr.labels", Value: `["ui"]`}}}}},
				),
			},
		},
	}
	tree, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	d := &f.details[2]
	d.Verdict = pull.Verdict{State: string(v.State), Sentence: d.Row.Sentence, Tree: tree, Digest: v.Digest()}
	d.Row.NextLook = now.Add(4 * time.Minute)
	d.History = []Decision{
		{now.Add(-8 * time.Minute), "waiting", d.Row.Sentence, head, []byte(`[{"kind":"head","from":"1f00c1d00000","to":"` + string(head) + `"},{"kind":"went","reason":{"code":"checks_failed","names":["unit tests"]},"met":true},{"kind":"stays","reason":{"code":"approval_missing","sha":"` + string(head) + `"}}]`)},
		{now.Add(-19 * time.Minute), "blocked", "Blocked: check \"unit tests\" failed on 1f00c1d; mona can push a fix.", "1f00c1d00000", nil},
		{now.Add(-26 * time.Minute), "waiting", "Waiting for 2 checks on 1f00c1d: unit tests, build (linux).", "1f00c1d00000", nil},
	}
	d.Commands = []pull.Command{
		{
			Key: "comment:9:b.a", Source: pull.Conversation, CommentID: 9, Writer: pull.Actor{ID: 9, Login: "eve"}, Verb: "merge", Status: pull.CommandRefused,
			Reason: `{"code":"command_not_allowed","verb":"merge","by":"eve","who":["role:write"]}`, CreatedAt: d.Row.UpdatedAt,
		},
		{Key: "review:8:a.a", Source: pull.ReviewBody, CommentID: 8, Writer: pull.Actor{ID: 8, Login: "bob"}, Verb: "label", Args: "<b>docs</b>", Status: pull.CommandDone, CreatedAt: d.Row.UpdatedAt},
	}
	d.Intents = []pull.Intent{
		{Action: pull.Action{Kind: pull.SetReport, Target: string(head), Report: &pull.Report{Title: d.Row.Sentence}}, Status: pull.Done, Attempt: 1, DoneAt: now.Add(-8 * time.Minute)},
		{Action: pull.Action{Kind: pull.AddLabel, Target: "ui", Why: "files in web/ changed"}, Status: pull.Done, Attempt: 1, DoneAt: now.Add(-26 * time.Minute)},
		{Action: pull.Action{Kind: pull.RemoveLabel, Target: "needs-rebase", Why: "it merges cleanly again"}, Status: pull.Failed, Attempt: 2, DoneAt: now.Add(-20 * time.Minute), Error: "remove label \"needs-rebase\" from octo/app#44: GitHub answered 403: Resource not accessible by integration"},
	}
	d.Deliveries = []pull.Delivery{f.deliveries[4], f.deliveries[3], f.deliveries[2]}
	d.Work = &Work{Key: d.Row.Key, Repo: app, DueAt: d.Row.NextLook}
}
