package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func TestThePlanIsWhatPagesShow(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		row := pull.Row{
			State: pull.Open, Title: "Fix\x00 it", Author: "octocat", URL: "https://github.com/octo/app/pull/7", Draft: true, Head: "aaa", HeadRef: "fix",
			Base: "main", Labels: []string{"bug", "docs"}, UpdatedAt: w.now().Add(-time.Minute), DecidedAt: w.now(),
		}
		plan := pull.Plan{
			Pull:    row,
			Verdict: pull.Verdict{State: "waiting", Sentence: "Waits for a review.", Tree: []byte(`{"all":[]}`), Digest: "d1", Took: time.Second},
			Memory:  pull.Memory{Looks: 2, Labels: map[string]pull.LabelMemory{"docs": {Ours: true, Released: w.now()}}},
			Policy:  &pull.Document{Found: true, Path: "octo/app/.github/pr-manager.yml@main", OID: "p1", Text: "version: 1"},
		}
		if err := w.Plan(w.ctx, c, plan); err != nil {
			t.Fatal(err)
		}
		again := w.now().Add(time.Hour)
		w.record(c, pull.PassResult{Outcome: pull.PassDone, Again: again})

		got, err := w.Pull(w.ctx, "OCTO", "App", 7)
		if err != nil {
			t.Fatal(err)
		}
		row.Key, row.Repo, row.Number, row.Title = c.Key, octoApp, 7, "Fix it"
		row.Verdict, row.Sentence, row.NextLook = "waiting", "Waits for a review.", again
		equal(t, "Row", got.Row, row)
		equal(t, "Verdict", got.Verdict, plan.Verdict)
		equal(t, "History", got.History, []Decision{{At: w.now(), State: "waiting", Sentence: "Waits for a review.", Head: "aaa"}})
		equal(t, "LastValid", got.LastValid, *plan.Policy)
		if len(got.Deliveries) != 1 || got.Deliveries[0].ID != "a" || got.Deliveries[0].Body != nil || got.Work == nil || !got.Work.ReadyAt.Equal(again) {
			t.Errorf("Deliveries = %v, Work = %+v, want the one without body, and an hour to wait", got.Deliveries, got.Work)
		}
		open, err := w.Pulls(w.ctx, true, 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Pulls(open)", open, []pull.Row{row})
		if closed, err := w.Pulls(w.ctx, false, 10); err != nil || len(closed) != 0 {
			t.Errorf("Pulls(closed) = %v, %v, want none", closed, err)
		}

		w.pass(time.Hour)
		c = w.claim()
		h, err := w.History(w.ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "History", h, pull.History{
			Memory: plan.Memory, LastValid: *plan.Policy, Verdict: pull.Verdict{Digest: plan.Verdict.Digest, Tree: plan.Verdict.Tree},
		})
		if _, err := w.Pull(w.ctx, "octo", "app", 8); !errors.Is(err, ErrNotFound) {
			t.Errorf("Pull(8) = %v, want ErrNotFound", err)
		}
	})
}

func TestVerdictsAreKeptWhenTheyDiffer(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		plan := func(digest, sentence string) {
			t.Helper()
			p := pull.Plan{Pull: pull.Row{State: pull.Open, Head: "aaa"}, Head: &pull.HeadAt{SHA: "aaa", At: time.Unix(1, 0)}, Verdict: pull.Verdict{State: "waiting", Sentence: sentence, Digest: digest, Tree: []byte("{}")}}
			if sentence == "two" {
				p.Verdict.Changes = []byte(`[{"kind":"head"}]`)
			}
			if err := w.Plan(w.ctx, c, p); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Second)
		}
		plan("d1", "one")
		changes := w.number(`SELECT count(*) FROM changes`)
		plan("d1", "one")
		if n := w.number(`SELECT count(*) FROM changes`); n != changes {
			t.Errorf("a plan that shows nothing new announced %d changes", n-changes)
		}
		plan("d2", "two")
		plan("d1", "one")
		if n := w.number(`SELECT count(*) FROM changes`); n != changes+2 {
			t.Errorf("two plans that differ announced %d changes, want 2", n-changes)
		}
		d, err := w.Pull(w.ctx, "octo", "app", 7)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range d.History {
			got = append(got, v.Sentence+string(v.Changes))
		}
		equal(t, "verdicts and what changed, newest first", got, []string{"one", `two[{"kind":"head"}]`, "one"})
		h, err := w.History(w.ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the verdict that the next pass compares with", h.Verdict, pull.Verdict{Digest: "d1", Tree: []byte("{}")})
		if n := w.number(`SELECT count(*) FROM heads`); n != 1 {
			t.Errorf("%d heads noted, want 1", n)
		}
	})
}

func TestTheLedger(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		label := pull.Action{Kind: pull.AddLabel, Target: "docs", Why: "files match docs/**"}
		merge := pull.Action{Kind: pull.Merge, Target: "aaa", SHA: "aaa", Method: pull.Squash}
		plan := func(settled []pull.Intent, actions ...pull.Action) {
			t.Helper()
			w.pass(time.Second)
			p := pull.Plan{Pull: pull.Row{State: pull.Open, Head: "aaa"}, Actions: actions, Settled: settled}
			if err := w.Plan(w.ctx, c, p); err != nil {
				t.Fatal(err)
			}
		}
		intent := func(a pull.Action) pull.Intent {
			t.Helper()
			h, err := w.History(w.ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			in, ok := h.Memory.Intent(a.Kind, a.Target)
			if !ok {
				t.Fatalf("%s %s is not in the ledger", a.Kind, a.Target)
			}
			return in
		}
		is := func(why string, a pull.Action, status pull.IntentStatus, attempt, failures int) pull.Intent {
			t.Helper()
			in := intent(a)
			if in.Status != status || in.Attempt != attempt || in.Failures != failures {
				t.Errorf("%s: %s %s is %s, attempt %d, %d failures; want %s, %d, %d", why, a.Kind, a.Target, in.Status, in.Attempt, in.Failures, status, attempt, failures)
			}
			return in
		}
		start := func(a pull.Action) pull.Intent {
			t.Helper()
			in, err := w.Start(w.ctx, c, a, lease)
			if err != nil {
				t.Fatal(err)
			}
			return in
		}
		finish := func(in pull.Intent, status pull.IntentStatus, why string) {
			t.Helper()
			in.Status, in.Error, in.Passing = status, why, status == pull.Failed
			if status == pull.Failed {
				in.Failures++
			}
			if status == pull.Done {
				in.GitHubID = 99
			}
			if err := w.Finish(w.ctx, c, in, pull.Memory{Looks: in.Attempt}); err != nil {
				t.Fatal(err)
			}
		}

		plan(nil, label, merge)
		in := is("wanted", label, pull.Planned, 1, 0)
		equal(t, "the action as it was wanted", in.Action, label)
		plan(nil, label, merge)
		is("wanted again before it was sent", label, pull.Planned, 1, 0)

		if _, err := w.Start(w.ctx, c, pull.Action{Kind: pull.AddLabel, Target: "other"}, lease); err == nil {
			t.Error("Start of what is not planned gave no error")
		}
		w.pass(lease / 2)
		in = start(label)
		if in.Status != pull.Executing || !in.StartedAt.Equal(w.now()) || in.Attempt != 1 {
			t.Errorf("Start = %+v, want executing since now", in)
		}
		w.pass(lease / 2)
		if row := w.work(7); !row.Until.Equal(w.now().Add(lease / 2)) {
			t.Errorf("Start left the lease until %v, want extended", row.Until)
		}
		finish(in, pull.Done, "")
		in = is("sent", label, pull.Done, 1, 0)
		if in.GitHubID != 99 || !in.DoneAt.Equal(w.now()) {
			t.Errorf("done = %+v, want GitHub's id and the time", in)
		}
		if h, err := w.History(w.ctx, c); err != nil || h.Memory.Looks != 1 {
			t.Errorf("Memory.Looks = %d, %v, want what Finish was given", h.Memory.Looks, err)
		}
		if _, err := w.Start(w.ctx, c, label, lease); err == nil {
			t.Error("Start of what is done gave no error")
		}

		finish(start(merge), pull.Failed, "Base branch was modified")
		in = is("refused", merge, pull.Failed, 1, 1)
		if !in.Passing || in.Error != "Base branch was modified" {
			t.Errorf("failed = %+v, want passing with GitHub's words", in)
		}
		plan(nil, label, merge)
		is("wanted after it was done", label, pull.Planned, 2, 0)
		is("wanted after a refusal", merge, pull.Planned, 2, 1)
		finish(start(merge), pull.Failed, "Base branch was modified")
		is("refused again", merge, pull.Failed, 2, 2)
		other := merge
		other.Method = pull.Rebase
		plan(nil, other)
		is("another request", other, pull.Planned, 3, 0)
		is("no longer wanted", label, pull.Superseded, 2, 0)

		finish(start(other), pull.Executing, "502 Bad Gateway")
		in = is("of unknown outcome", other, pull.Executing, 3, 0)
		if in.Error != "502 Bad Gateway" || !in.DoneAt.IsZero() || in.StartedAt.IsZero() {
			t.Errorf("unclear = %+v, want the error, started, not done", in)
		}
		plan(nil)
		is("not wanted while its outcome is open", other, pull.Executing, 3, 0)
		in.Status = pull.Done
		plan([]pull.Intent{in})
		is("read back", other, pull.Done, 3, 0)

		plan(nil, other)
		in = start(other)
		in.Status = pull.Superseded
		plan([]pull.Intent{in}, other)
		is("read back as not happened, and wanted again", other, pull.Planned, 5, 0)

		st, err := w.Stats(w.ctx)
		if err != nil || st.Actions != 1 {
			t.Errorf("Stats.Actions = %d, %v, want 1", st.Actions, err)
		}
	})
}

func TestPolicies(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		plan := func(valid *pull.Document, problem string) pull.History {
			t.Helper()
			if err := w.Plan(w.ctx, c, pull.Plan{Pull: pull.Row{State: pull.Open}, Policy: valid, Problem: problem}); err != nil {
				t.Fatal(err)
			}
			h, err := w.History(w.ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		changes := func() int64 { return w.number(`SELECT count(*) FROM changes WHERE kind = 'policy'`) }
		v1 := &pull.Document{Found: true, Path: "p", OID: "1", Text: "version: 1"}
		equal(t, "no policy yet, a broken one", plan(nil, "line 1: no"), pull.History{Problem: "line 1: no"})
		equal(t, "valid", plan(v1, ""), pull.History{LastValid: *v1})
		if n := changes(); n != 2 {
			t.Errorf("%d policy changes, want 2", n)
		}
		equal(t, "the same", plan(nil, ""), pull.History{LastValid: *v1})
		if n := changes(); n != 2 {
			t.Errorf("%d policy changes, want still 2", n)
		}
		equal(t, "broken", plan(nil, "line 2: what"), pull.History{LastValid: *v1, Problem: "line 2: what"})
		d, err := w.Pull(w.ctx, "octo", "app", 7)
		if err != nil || d.Problem != "line 2: what" || d.LastValid.OID != "1" {
			t.Errorf("Pull = %q, %v, %v", d.Problem, d.LastValid, err)
		}
	})
}

func TestReadersOfTheFeedMissNothing(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		ids := func(after int64) (out []int64) {
			t.Helper()
			cs, err := w.Changes(w.ctx, after, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range cs {
				out = append(out, c.ID)
			}
			return out
		}
		latest := func() int64 {
			t.Helper()
			n, err := w.LatestChange(w.ctx)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		add := func(id int64) {
			w.run(`INSERT INTO changes (id, at, kind, key, text) VALUES ($1, $2, 'pull', 'pr:1#1', 'x')`, id, w.now().UnixMicro())
		}
		if got := latest(); got != 0 {
			t.Errorf("LatestChange of an empty feed = %d, want 0", got)
		}
		add(1)
		add(2)
		add(4) // 3 is on its way in another transaction
		equal(t, "with a gap", ids(0), []int64{1, 2})
		equal(t, "after the last", ids(2), []int64(nil))
		if got := latest(); got != 2 {
			t.Errorf("LatestChange below a gap = %d, want 2", got)
		}
		add(3)
		equal(t, "closed", ids(2), []int64{3, 4})
		add(6) // 5 was rolled back
		equal(t, "with a hole", ids(2), []int64{3, 4})
		w.pass(gapPatience)
		equal(t, "a hole that stays", ids(2), []int64{3, 4, 6})
		if got := latest(); got != 6 {
			t.Errorf("LatestChange = %d, want 6", got)
		}
		w.run(`DELETE FROM changes WHERE id < 6`)
		equal(t, "after a purge", ids(0), []int64{6})
		add(8)
		add(9)
		if got := latest(); got != 6 {
			t.Errorf("LatestChange below a young gap = %d, want 6", got)
		}
	})
}

func TestTheFeedTellsTheStory(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		a := pull.Action{Kind: pull.AddLabel, Target: "docs"}
		p := pull.Plan{Pull: pull.Row{State: pull.Open}, Verdict: pull.Verdict{Sentence: "Waits for checks.", Digest: "d"}, Actions: []pull.Action{a}}
		if err := w.Plan(w.ctx, c, p); err != nil {
			t.Fatal(err)
		}
		in, err := w.Start(w.ctx, c, a, lease)
		if err != nil {
			t.Fatal(err)
		}
		in.Status = pull.Done
		if err := w.Finish(w.ctx, c, in, pull.Memory{}); err != nil {
			t.Fatal(err)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		changes, err := w.Changes(w.ctx, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, fmt.Sprint(c.Kind, " ", c.Key, " ", c.Text))
		}
		equal(t, "the feed", got, []string{
			"delivery  1 delivery received",
			"pull pr:1296269#7 Waits for checks.",
			"action pr:1296269#7 label.add docs: done",
			"delivery  1 delivery processed",
		})
	})
}

func TestStats(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		start := w.now()
		w.hint("a", 1)
		w.pass(time.Second)
		check := w.delivery("b", 2)
		check.Hint.Event = "check_run"
		w.insert(check)
		odd := w.delivery("c", 3)
		odd.Hint.Event = "Not An Event"
		w.insert(odd)
		got, err := w.Stats(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := Stats{
			Received: 3, QueueLength: 3, Due: 1, OldestWaiting: start, OldestDue: start,
			ByEvent: map[string]EventStats{"pull_request": {Received: 1}, "check_run": {Received: 1}, "other": {Received: 1}},
		}
		equal(t, "Stats", got, want)

		c := w.claim()
		w.pass(time.Second)
		w.record(c, pull.PassResult{Outcome: pull.PassFailed, Error: "no"})
		w.intake(func(d pull.Delivery) pull.Route {
			if d.ID == "c" {
				return pull.Route{}
			}
			return byNumber(d)
		})
		done := w.now()
		w.claim()
		got, err = w.Stats(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		want = Stats{
			Received: 3, Processed: 2, Errors: 1, QueueLength: 2, InFlight: 1, Due: 1, OldestWaiting: start, LastProcessed: done,
			ByEvent: map[string]EventStats{"pull_request": {Received: 1, Processed: 1, Errors: 1}, "check_run": {Received: 1}, "other": {Received: 1, Processed: 1}},
		}
		equal(t, "Stats", got, want)
	})
}
