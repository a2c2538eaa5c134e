package store

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func TestInsertKeepsWhatItWasGiven(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		d := w.delivery("one", 7)
		d.SecretSlot = 1
		d.Hint.Sender = pull.Actor{ID: 1, Login: "octocat", Type: pull.User}
		d.Hint.HeadSHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
		packed := w.delivery("two", 8)
		packed.Packed, packed.Body = compress(packed.Body), nil
		equal(t, "receipts", w.insert(d, packed), []pull.Receipt{{}, {}})

		got, err := w.Delivery(w.ctx, "one")
		if err != nil {
			t.Fatal(err)
		}
		got.Packed = nil
		want := d
		want.Seq, want.Status, want.SeenCount, want.LastSeenAt = got.Seq, pull.Received, 1, w.now()
		equal(t, "Delivery(one)", got, want)
		if got, err := w.Delivery(w.ctx, "two"); err != nil || string(got.Body) != `{"number":8,"id":"two"}` {
			t.Errorf("Delivery(two).Body = %s, %v, want the body that was packed", got.Body, err)
		}
		if _, err := w.Delivery(w.ctx, "three"); !errors.Is(err, ErrNotFound) {
			t.Errorf("Delivery(three) = %v, want ErrNotFound", err)
		}
		if n := w.number(`SELECT count(*) FROM webhook_logs WHERE delivery_id = 'one' AND event = 'pull_request' AND action = 'synchronize'
			AND repository = 'octo/app' AND repo_id = 1296269 AND number = 7 AND sender = 'octocat' AND status = 'received' AND secret_slot = 1`); n != 1 {
			t.Error("the columns for people don't say what the hint says")
		}
	})
}

func TestInsertTellsRepetitions(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		a, b, other := w.delivery("a", 1), w.delivery("b", 2), w.delivery("a", 3)
		got := w.insert(b, a, other, b) // other has a's id and another body
		equal(t, "first receipts", got, []pull.Receipt{{}, {}, {Duplicate: true, Differs: true}, {Duplicate: true}})
		w.pass(time.Minute)
		got = w.insert(w.delivery("c", 3), a, a, other)
		equal(t, "second receipts", got, []pull.Receipt{{}, {Duplicate: true}, {Duplicate: true}, {Duplicate: true, Differs: true}})

		kept, err := w.Delivery(w.ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		if kept.SeenCount != 5 || string(kept.Body) != string(a.Body) || !kept.LastSeenAt.Equal(w.now()) || kept.ReceivedAt.Equal(w.now()) {
			t.Errorf("the row of a: seen %d times, last at %v, body %s; want 5, now, the first body", kept.SeenCount, kept.LastSeenAt, kept.Body)
		}
		st, err := w.Stats(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if st.Received != 3 || st.Duplicates != 5 || st.QueueLength != 3 {
			t.Errorf("Stats = %d received, %d duplicates, queue %d, want 3, 5, 3", st.Received, st.Duplicates, st.QueueLength)
		}
	})
}

func TestInsertManyAtOnce(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for _, n := range []int{1, 63, 64, 65, 200} {
			var batch []pull.Delivery
			for i := range n {
				batch = append(batch, w.delivery(fmt.Sprintf("%d/%d", n, i), i+1))
			}
			for i, r := range w.insert(batch...) {
				if r != (pull.Receipt{}) {
					t.Fatalf("Insert of %d: receipt %d = %+v, want new", n, i, r)
				}
			}
		}
		if n := w.number(`SELECT count(*) FROM webhook_logs`); n != 1+63+64+65+200 {
			t.Errorf("%d rows, want %d", n, 1+63+64+65+200)
		}
	})
}

func TestABadRowCostsItsNeighboursNothing(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		bad := w.delivery(strings.Repeat("x", 300), 2) // longer than the table takes
		nul := w.delivery("with\x00nul", 4)            // cleaned, not refused
		nul.Hint.Action = "a\x00b\xff"
		got, err := w.Insert(w.ctx, []pull.Delivery{w.delivery("a", 1), bad, w.delivery("c", 3), nul, bad})
		var errs InsertErrors
		if !errors.As(err, &errs) {
			t.Fatalf("Insert = %v, want InsertErrors", err)
		}
		for i, wantBad := range []bool{false, true, false, false, true} {
			if (errs[i] != nil) != wantBad {
				t.Errorf("error of delivery %d = %v, want one: %v", i, errs[i], wantBad)
			}
		}
		if got[0].Duplicate || got[2].Duplicate || got[3].Duplicate {
			t.Errorf("receipts = %+v, want the good ones new", got)
		}
		if n := w.number(`SELECT count(*) FROM webhook_logs`); n != 3 {
			t.Errorf("%d rows, want 3", n)
		}
		if _, err := w.Delivery(w.ctx, "withnul"); err != nil {
			t.Error(err)
		}
	})
}

func TestAHookStopsOrHidesACommit(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		stop := errors.New("stopped here")
		for _, after := range []bool{false, true} {
			w.setHook(func(op string, committed bool) error {
				if op == "insert" && committed == after {
					return stop
				}
				return nil
			})
			id := fmt.Sprint("stopped after the commit: ", after)
			if _, err := w.Insert(w.ctx, []pull.Delivery{w.delivery(id, 1)}); !errors.Is(err, stop) {
				t.Fatalf("Insert = %v, want the hook's error", err)
			}
			w.setHook(nil)
			if got := w.insert(w.delivery(id, 1)); got[0].Duplicate != after {
				t.Errorf("%s: the same id again is a duplicate: %v", id, got[0].Duplicate)
			}
		}
	})
}

func TestARepeatedDeliveryCausesAnotherLook(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		w.noClaim("nothing is due")
		before, err := w.Delivery(w.ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.insert(w.delivery("a", 7))
		w.noClaim("it settles")
		w.pass(redeliverySettle)
		c := w.claim()
		if c.Key != pull.PullKey(repoID, 7) || c.Scope != "app:42" {
			t.Errorf("Claim = %s of %s, want pull request 7 of app:42", c.Key, c.Scope)
		}
		if a := w.record(c, pull.PassResult{Outcome: pull.PassDone}); len(a) != 0 {
			t.Errorf("Record = %d attempts, want none: the delivery was processed before", len(a))
		}
		after, err := w.Delivery(w.ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		after.SeenCount, after.LastSeenAt = before.SeenCount, before.LastSeenAt
		equal(t, "the delivery after its repetition", after, before)
	})
}

func TestIntakeFindsKeys(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		// 1 and 2 are open with heads of their own, 3 shares 2's; 1 and 2 go into main, 3 into dev.
		for n, head := range map[int]pull.SHA{1: "aaa", 2: "bbb", 3: "bbb"} {
			w.hint(fmt.Sprint("open", n), n)
			c := w.claim()
			base := "main"
			if n == 3 {
				base = "dev"
			}
			if err := w.Plan(w.ctx, c, pull.Plan{Pull: pull.Row{State: pull.Open, Head: head, Base: base}}); err != nil {
				t.Fatal(err)
			}
			w.record(c, pull.PassResult{Outcome: pull.PassDone})
		}
		for _, c := range []struct {
			name   string
			route  pull.Route
			want   []int
			status pull.DeliveryStatus
		}{
			{"a number", pull.Route{Numbers: []int{9}}, []int{9}, pull.Queued},
			{"several numbers", pull.Route{Numbers: []int{9, 8, 9}}, []int{8, 9}, pull.Processed},
			{"numbers before heads", pull.Route{Numbers: []int{9}, SHA: "aaa"}, []int{9}, pull.Queued},
			{"a head", pull.Route{SHA: "aaa"}, []int{1}, pull.Queued},
			{"a head that two have", pull.Route{SHA: "bbb"}, []int{2, 3}, pull.Processed},
			{"a head that nobody has", pull.Route{SHA: "ccc"}, nil, pull.Processed},
			{"a base", pull.Route{Base: "main"}, []int{1, 2}, pull.Processed},
			{"a base with one", pull.Route{Base: "dev"}, []int{3}, pull.Queued},
			{"every base", pull.Route{Base: "*"}, []int{1, 2, 3}, pull.Processed},
			{"nothing", pull.Route{}, nil, pull.Processed},
		} {
			w.pass(time.Hour)
			w.insert(w.delivery(c.name, 1))
			attempts := w.intake(func(pull.Delivery) pull.Route { return c.route })
			if got := w.statuses()[c.name]; got != c.status {
				t.Errorf("%s: the delivery is %s, want %s", c.name, got, c.status)
			}
			if finished := len(attempts) == 1; finished != (c.status == pull.Processed) {
				t.Errorf("%s: %d attempts are finished", c.name, len(attempts))
			}
			w.pass(time.Minute)
			got := map[int]bool{}
			for range c.want {
				k := w.claim()
				got[k.Key.Number] = true
				w.record(k, pull.PassResult{Outcome: pull.PassDone})
			}
			w.noClaim("all that " + c.name + " means was claimed")
			for _, n := range c.want {
				if !got[n] {
					t.Errorf("%s: %d was not due, but %v", c.name, n, got)
				}
			}
		}
	})
}

func TestIntakeFollowsHeads(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		route := func(d pull.Delivery) pull.Route {
			switch d.Hint.Action {
			case "status":
				return pull.Route{SHA: d.Hint.HeadSHA}
			case "closed":
				return pull.Route{Numbers: d.Hint.Numbers, Gone: true}
			}
			return pull.Route{Numbers: d.Hint.Numbers, Head: d.Hint.HeadSHA, HeadAt: d.Hint.UpdatedAt}
		}
		event := func(id, action string, n int, sha pull.SHA) pull.Delivery {
			d := w.delivery(id, n)
			d.Hint.Action, d.Hint.HeadSHA, d.Hint.UpdatedAt = action, sha, w.Now()
			return d
		}
		// In one batch: what is opened there is found there, and so is what it was pushed to.
		w.insert(event("1", "opened", 7, "aaa"))
		w.insert(event("2", "status", 0, "aaa"))
		w.insert(event("3", "synchronize", 7, "bbb"))
		w.insert(event("4", "status", 0, "aaa"), event("5", "status", 0, "bbb"))
		w.intake(route)
		want := map[string]pull.DeliveryStatus{"1": pull.Queued, "2": pull.Queued, "3": pull.Queued, "4": pull.Processed, "5": pull.Queued}
		equal(t, "statuses within a batch", w.statuses(), want)

		w.insert(event("6", "status", 0, "bbb"), event("7", "status", 0, "aaa"))
		w.intake(route)
		w.pass(time.Second)
		// A batch's own news of heads is newer than what was kept before.
		w.insert(event("10", "synchronize", 7, "ccc"))
		w.insert(event("11", "status", 0, "bbb"))
		w.intake(route)
		w.insert(event("8", "closed", 7, ""))
		w.insert(event("9", "status", 0, "ccc"))
		w.intake(route)
		w.insert(event("12", "status", 0, "ccc"))
		w.intake(route)
		want["6"], want["7"], want["8"], want["9"] = pull.Queued, pull.Processed, pull.Queued, pull.Processed
		want["10"], want["11"], want["12"] = pull.Queued, pull.Processed, pull.Processed
		equal(t, "statuses over batches", w.statuses(), want)
		if n := w.number(`SELECT count(*) FROM heads`); n != 3 {
			t.Errorf("%d rows of history, want 3: every head that was told of", n)
		}
	})
}

// Rows are written many at a time: each number of them must come out as if they had been written one by one.
func TestIntakeOfManyIsThatOfEach(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		first := 1
		for _, many := range []int{1, 2, 7, 8, 9, 63, 64, 65, 64 + 2*8 + 3} {
			// Of each three: one is pushed to and hinted at again, one is closed, one says of its head what is known.
			head := func(round, n int) pull.SHA { return pull.SHA(fmt.Sprintf("%d-%d", n, round*(n%3))) }
			for round := range 2 {
				var batch []pull.Delivery
				for n := first; n < first+many; n++ {
					batch = append(batch, w.delivery(fmt.Sprint(n, " in ", round), n), w.delivery(fmt.Sprint(n, " idle ", round), 0))
				}
				w.insert(batch...)
				w.pass(time.Second)
				attempts, taken, err := w.Intake(w.ctx, pull.Taking{Limit: 1000}, func(d pull.Delivery) pull.Route {
					if len(d.Hint.Numbers) == 0 || d.Hint.Numbers[0] == 0 {
						return pull.Route{}
					}
					n := d.Hint.Numbers[0]
					return pull.Route{Numbers: d.Hint.Numbers, Head: head(round, n), HeadAt: time.Unix(int64(n), 0), Gone: round == 1 && n%3 == 2, Priority: pull.Ordinary}
				})
				if err != nil || taken != 2*many || len(attempts) != many {
					t.Fatalf("Intake = %d taken, %d finished, %v; want %d and %d", taken, len(attempts), err, 2*many, many)
				}
			}
			for n := first; n < first+many; n++ {
				key := pull.PullKey(repoID, n).String()
				if got := w.number(`SELECT count(*) FROM webhook_logs JOIN work ON work.key = work_key
WHERE work_key = $1 AND status = 'queued' AND (delivery_id = $2 AND work_gen = 1 OR delivery_id = $3 AND work_gen = gen) AND gen = 2`,
					key, fmt.Sprint(n, " in 0"), fmt.Sprint(n, " in 1")); got != 2 {
					t.Errorf("of %d: %d of the deliveries about %d wait for the right pass, want 2", many, got, n)
				}
				open, heads := int64(1), int64(1)
				switch n % 3 {
				case 1:
					heads = 2
				case 2:
					open, heads = 0, 2
				}
				if got := w.number(`SELECT count(*) FROM open_heads WHERE key = $1`, key); got != open {
					t.Errorf("of %d: %d has %d open heads, want %d", many, n, got, open)
				}
				if got := w.number(`SELECT count(*) FROM heads WHERE work_key = $1`, key); got != heads {
					t.Errorf("of %d: %d has had %d heads, want %d", many, n, got, heads)
				}
			}
			if got := w.number(`SELECT count(*) FROM webhook_logs WHERE status = 'processed' AND work_key IS NULL AND attempts = 1`); got != int64(2*(first+many-1)) {
				t.Errorf("of %d: %d deliveries need no look, want %d", many, got, 2*(first+many-1))
			}
			first += many
		}
	})
}

func TestIntakeSpreadsAPushToABase(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		const open = 300
		for n := 1; n <= open; n++ {
			w.run(`INSERT INTO pulls (key, repo_id, number, state, base) VALUES ($1, $2, $3, 'open', 'main')`, pull.PullKey(repoID, n).String(), repoID, n)
		}
		w.insert(w.delivery("push", 0))
		w.intake(func(pull.Delivery) pull.Route {
			return pull.Route{Base: "main", Priority: pull.Bulk, Settle: time.Second}
		})
		due, err := w.Due(w.ctx, 1000)
		if err != nil || len(due) != open {
			t.Fatalf("Due = %d keys, %v, want %d", len(due), err, open)
		}
		if first, last := due[0].DueAt.Sub(w.now()), due[open-1].DueAt.Sub(w.now()); first != time.Second || last != time.Second+spread(open-1) || last > 31*time.Second {
			t.Errorf("due from %v to %v, want from 1s to 30.8s", first, last)
		}
	})
}

func TestIntakeFoldsManyHintsIntoOneKey(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		start := w.now()
		for i := range 20 {
			w.insert(w.delivery(fmt.Sprint("check", i), 7))
			w.intake(func(d pull.Delivery) pull.Route {
				return pull.Route{Numbers: d.Hint.Numbers, Settle: 2 * time.Second, Priority: pull.Background}
			})
			w.pass(50 * time.Millisecond)
		}
		w.insert(w.delivery("push", 7))
		w.intake(func(d pull.Delivery) pull.Route {
			return pull.Route{Numbers: d.Hint.Numbers, Settle: 10 * time.Second, Priority: pull.Ordinary}
		})
		row := w.work(7)
		if !row.DueAt.Equal(start.Add(2*time.Second)) || row.Priority != pull.Ordinary || !row.Since.Equal(start) {
			t.Errorf("due %v after the first hint, priority %d, since %v; want 2s, the more urgent, the first", row.DueAt.Sub(start), row.Priority, row.Since)
		}
		w.pass(time.Minute)
		c := w.claim()
		if !c.Since.Equal(start) || c.Repo != octoApp {
			t.Errorf("Claim since %v of %v, want the first hint's time, octo/app", c.Since, c.Repo)
		}
		if a := w.record(c, pull.PassResult{Outcome: pull.PassDone}); len(a) != 21 {
			t.Errorf("Record = %d attempts, want 21", len(a))
		}
		w.noClaim("one pass answered them all")
	})
}

func TestIntakeKnowsItsOwnEcho(t *testing.T) {
	ours := func(state pull.ReportState, title, digest string) *pull.Report {
		return &pull.Report{SHA: "aaa", State: state, Title: title, Digest: digest}
	}
	named := func(r *pull.Report) *pull.Report { r.Name = pull.ApprovalsName; return r }
	long := strings.Repeat("word ", 60)
	cases := []struct {
		name          string
		written, said *pull.Report
		finish        pull.IntentStatus
		echo          bool
	}{
		{"a status, word for word", ours("good", "Ready.", ""), ours("good", "Ready.", ""), pull.Done, true},
		{"a status that GitHub cut", ours("good", long, ""), ours("good", pull.StatusText(long), ""), pull.Done, true},
		{"a status of another state", ours("good", "Ready.", ""), ours("bad", "Ready.", ""), pull.Done, false},
		{"a status of other words", ours("good", "Ready.", ""), ours("good", "Not yet.", ""), pull.Done, false},
		{"a check run by its digest", ours("good", "Ready.", "d1"), ours("good", "", "d1"), pull.Done, true},
		{"a check run of another digest", ours("good", "Ready.", "d1"), ours("good", "Ready.", "d2"), pull.Done, false},
		{"a check run without one", ours("good", "Ready.", "d1"), ours("good", "Ready.", ""), pull.Done, false},
		{"before our answer came", ours("good", "Ready.", ""), ours("good", "Ready.", ""), pull.Executing, true},
		{"after GitHub refused ours", ours("good", "Ready.", ""), ours("good", "Ready.", ""), pull.Failed, false},
		{"another report of ours", named(ours("good", "Ready.", "")), named(ours("good", "Ready.", "")), pull.Done, true},
		{"a report that we have not written", ours("good", "Ready.", ""), named(ours("good", "Ready.", "")), pull.Done, false},
		{"about another commit", ours("good", "Ready.", ""), &pull.Report{SHA: "bbb", State: "good", Title: "Ready."}, pull.Done, false},
	}
	worlds(t, func(t *testing.T, w *world) {
		for i, c := range cases {
			n := i + 1
			w.hint("first "+c.name, n)
			k := w.claim()
			a := pull.Action{Kind: pull.SetReport, Target: c.written.Target(), SHA: "aaa", Report: c.written}
			if err := w.Plan(w.ctx, k, pull.Plan{Pull: pull.Row{State: pull.Open, Head: "aaa"}, Actions: []pull.Action{a}}); err != nil {
				t.Fatal(err)
			}
			in, err := w.Start(w.ctx, k, a, lease)
			if err != nil {
				t.Fatal(err)
			}
			in.Status = c.finish
			if err := w.Finish(w.ctx, k, in, pull.Memory{}); err != nil {
				t.Fatal(err)
			}
			w.record(k, pull.PassResult{Outcome: pull.PassDone})
			w.insert(w.delivery(c.name, n))
			w.intake(func(pull.Delivery) pull.Route { return pull.Route{Numbers: []int{n}, Echo: c.said} })
			want := pull.Queued
			if c.echo {
				want = pull.Processed
			}
			if got := w.statuses()[c.name]; got != want {
				t.Errorf("%s: the delivery is %s, want %s", c.name, got, want)
			}
			if !c.echo {
				w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
			}
			w.noClaim(c.name)
		}
	})
}

func TestIntakeOfABadDelivery(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.insert(w.delivery("panics", 1))
		w.insert(w.delivery("fine", 2))
		w.insert(w.delivery("undecodable", 3))
		w.run(`UPDATE webhook_logs SET hint = 'what' WHERE delivery_id = 'undecodable'`)
		route := func(d pull.Delivery) pull.Route {
			if d.ID == "panics" {
				panic("no such case")
			}
			return byNumber(d)
		}
		attempts := w.intake(route)
		if len(attempts) != 2 || !attempts[0].Failed || attempts[0].Status != pull.Received || attempts[1].Status != pull.Dead {
			t.Errorf("attempts = %+v, want one to repeat and one given up", attempts)
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"panics": pull.Received, "fine": pull.Queued, "undecodable": pull.Dead})
		if a := w.intake(route); len(a) != 0 {
			t.Errorf("Intake at once again = %+v, want nothing: it waits", a)
		}
		for range pull.MaxFails - 1 {
			w.pass(backoffMost)
			w.intake(route)
		}
		d, err := w.Delivery(w.ctx, "panics")
		if err != nil || d.Status != pull.Dead || d.Attempts != pull.MaxFails || !strings.Contains(d.Error, "no such case") {
			t.Errorf("after %d tries it is %s after %d attempts: %q, want dead", pull.MaxFails, d.Status, d.Attempts, d.Error)
		}
		// GitHub's Redeliver button, after the mistake is mended.
		w.insert(w.delivery("panics", 1))
		w.intake(byNumber)
		if got := w.statuses()["panics"]; got != pull.Queued {
			t.Errorf("redelivered, it is %s, want queued", got)
		}
	})
}

func TestIntakeIsolatesWhatTheDatabaseRefuses(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for _, id := range []string{"a", "poison", "c"} {
			w.insert(w.delivery(id, 1+len(id)))
		}
		var routed []string
		w.setHook(func(op string, committed bool) error {
			defer func() { routed = nil }()
			if op == "intake" && !committed && strings.Contains(strings.Join(routed, " "), "poison") {
				return &pgconn.PgError{Code: "23514", Message: "refused"}
			}
			return nil
		})
		_, n, err := w.Intake(w.ctx, pull.Taking{Limit: 100}, func(d pull.Delivery) pull.Route {
			if d.ID == "poison" && strings.Contains(strings.Join(routed, " "), "poison") {
				t.Error("routed twice in one transaction")
			}
			routed = append(routed, d.ID)
			return byNumber(d)
		})
		if err != nil || n != 3 {
			t.Fatalf("Intake = %d, %v, want 3 taken", n, err)
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Queued, "poison": pull.Received, "c": pull.Queued})
		d, err := w.Delivery(w.ctx, "poison")
		if err != nil || d.Attempts != 1 || !strings.Contains(d.Error, "refused") {
			t.Errorf("poison has %d attempts and %q, %v, want 1 and the reason", d.Attempts, d.Error, err)
		}
	})
}

func TestAFailedTransactionOfIntakeCostsNoAttempt(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.insert(w.delivery("a", 1))
		gone := errors.New("the database is gone")
		w.setHook(func(op string, committed bool) error {
			if op == "intake" && !committed {
				return gone
			}
			return nil
		})
		for range pull.MaxFails + 1 {
			if _, _, err := w.Intake(w.ctx, pull.Taking{Limit: 10}, byNumber); !errors.Is(err, gone) {
				t.Fatalf("Intake = %v, want the error", err)
			}
		}
		w.setHook(nil)
		w.intake(byNumber)
		d, err := w.Delivery(w.ctx, "a")
		if err != nil || d.Status != pull.Queued || d.Attempts != 0 {
			t.Errorf("it is %s after %d attempts, %v, want queued after none", d.Status, d.Attempts, err)
		}
	})
}

func TestIntakeKeepsNames(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		renamed := w.delivery("b", 7)
		renamed.Hint.Repo.Name, renamed.Hint.DefaultBranch = "renamed", "trunk"
		w.insert(renamed)
		w.intake(byNumber)
		c := w.claim()
		if c.Repo.Name != "renamed" || c.Key.RepoID != repoID {
			t.Errorf("Claim of %v, want octo/renamed", c.Repo)
		}
		again := w.delivery("c", 7)
		again.Hint.Repo.Name = "renamed"
		w.insert(again)
		w.intake(byNumber)
		if n := w.number(`SELECT count(*) FROM repositories WHERE name = 'renamed' AND default_branch = 'trunk'`); n != 1 {
			t.Error("a hint without the default branch wiped it out")
		}
	})
}

// Two replicas insert the same deliveries, take them in and work them off at once: each delivery is kept once and
// processed once.
func TestReplicasShareTheWork(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		replicas := []*Store{w.Store, w.open()}
		const deliveries, keys = 200, 17
		var all sync.WaitGroup
		fresh := make([]int, len(replicas))
		for r, s := range replicas {
			all.Go(func() {
				for at := 0; at < deliveries; at += 10 {
					var batch []pull.Delivery
					for i := range 10 {
						batch = append(batch, w.delivery(fmt.Sprintf("d%03d", at+i), (at+i)%keys+1))
					}
					got, err := s.Insert(w.ctx, batch)
					if err != nil {
						t.Error(err)
						return
					}
					for _, one := range got {
						if !one.Duplicate {
							fresh[r]++
						}
					}
					if _, _, err := s.Intake(w.ctx, pull.Taking{Limit: 7}, byNumber); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		if fresh[0]+fresh[1] != deliveries {
			t.Errorf("%d + %d deliveries were new, want %d in all", fresh[0], fresh[1], deliveries)
		}
		w.pass(time.Second)
		done := make([]int, len(replicas))
		for r, s := range replicas {
			all.Go(func() {
				for {
					_, n, err := s.Intake(w.ctx, pull.Taking{Limit: 7}, byNumber)
					if err != nil {
						t.Error(err)
						return
					}
					w.pass(time.Second)
					c, ok, err := s.Claim(w.ctx, fmt.Sprint("replica", r), time.Hour, "")
					if err != nil {
						t.Error(err)
						return
					}
					if !ok {
						if n == 0 {
							return
						}
						continue
					}
					attempts, err := s.Record(w.ctx, c, pull.PassResult{Outcome: pull.PassDone})
					if err != nil {
						t.Error(err)
						return
					}
					done[r] += len(attempts)
				}
			})
		}
		all.Wait()
		for { // what one replica held while the other found nothing more
			w.pass(time.Minute)
			w.intake(byNumber)
			c, ok, err := w.Claim(w.ctx, "last", time.Hour, "")
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			done[0] += len(w.record(c, pull.PassResult{Outcome: pull.PassDone}))
		}
		if done[0]+done[1] != deliveries {
			t.Errorf("%d + %d deliveries were processed, want %d in all", done[0], done[1], deliveries)
		}
		st, err := w.Stats(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if st.Received != deliveries || st.Duplicates != deliveries || st.Processed != deliveries || st.QueueLength != 0 {
			t.Errorf("Stats = %+v, want %d received, repeated and processed, and nothing waiting", st, deliveries)
		}
	})
}

// A repeated delivery that named several pull requests, or none, is no more than a reason to look at what it is about.
func TestARepeatedPushIsLookedAtAgain(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		route := func(pull.Hint) pull.Route { return pull.Route{Base: "main", Priority: pull.Bulk} }
		w.o.Route = route
		for n := 1; n <= 2; n++ {
			w.run(`INSERT INTO pulls (key, repo_id, number, state, base) VALUES ($1, $2, $3, 'open', 'main')`, pull.PullKey(repoID, n).String(), repoID, n)
		}
		w.insert(w.delivery("push", 0))
		w.intake(func(d pull.Delivery) pull.Route { return route(d.Hint) })
		for range 2 {
			w.pass(time.Second)
			w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		}
		w.noClaim("both are looked at")
		before := w.statuses()
		if r := w.insert(w.delivery("push", 0)); !r[0].Duplicate {
			t.Error("the push is not known")
		}
		if after := w.statuses(); !maps.Equal(before, after) {
			t.Errorf("from %v to %v, want no change", before, after)
		}
		w.pass(time.Second)
		for range 2 {
			w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		}
		w.noClaim("both are looked at once more")
	})
}
