package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func TestOneHolderAtATime(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		const workers, keys, rounds = 16, 20, 3
		for n := 1; n <= keys; n++ {
			if err := w.MarkDue(w.ctx, pull.PullKey(repoID, n), pull.Ordinary); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		holds, passes := map[pull.Key]int{}, map[pull.Key]int{}
		var all sync.WaitGroup
		for i := range workers {
			all.Go(func() {
				for {
					c, ok, err := w.Claim(w.ctx, fmt.Sprint("worker", i), time.Hour, "")
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if !ok {
						over := len(passes) == keys
						for _, n := range passes {
							over = over && n >= rounds
						}
						mu.Unlock()
						if over {
							return
						}
						time.Sleep(time.Millisecond)
						continue
					}
					holds[c.Key]++
					if holds[c.Key] != 1 {
						t.Errorf("%s has %d holders", c.Key, holds[c.Key])
					}
					passes[c.Key]++
					again := time.Time{}
					if passes[c.Key] < rounds {
						again = w.now()
					}
					mu.Unlock()
					time.Sleep(time.Millisecond)
					mu.Lock()
					holds[c.Key]--
					mu.Unlock()
					if _, err := w.Record(w.ctx, c, pull.PassResult{Outcome: pull.PassDone, Again: again}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		for k, n := range passes {
			if n != rounds {
				t.Errorf("%s had %d passes, want %d", k, n, rounds)
			}
		}
	})
}

func TestALostLeaseStopsItsHolder(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		slow := w.claim()
		label := pull.Action{Kind: pull.AddLabel, Target: "docs"}
		plan := pull.Plan{Pull: pull.Row{State: pull.Open, Title: "first"}, Actions: []pull.Action{label}}
		if err := w.Plan(w.ctx, slow, plan); err != nil {
			t.Fatal(err)
		}
		w.pass(lease - time.Second)
		if err := w.Renew(w.ctx, slow, lease); err != nil {
			t.Fatalf("Renew in time = %v", err)
		}
		w.pass(lease - time.Second)
		w.noClaim("the lease was renewed")
		w.pass(time.Second)
		quick := w.claim()
		if quick.Key != slow.Key || quick.Fence <= slow.Fence || !quick.Since.Equal(slow.Since) || quick.Gen != slow.Gen {
			t.Errorf("Claim after the lease = %+v, want the same key and hints as %+v with a higher fence", quick, slow)
		}
		before := w.number(`SELECT count(*) FROM changes`)
		plan.Pull.Title = "second"
		in := pull.Intent{Key: slow.Key, Action: label, Status: pull.Done}
		for name, write := range map[string]func() error{
			"Renew":  func() error { return w.Renew(w.ctx, slow, lease) },
			"Plan":   func() error { return w.Plan(w.ctx, slow, plan) },
			"Start":  func() error { _, err := w.Start(w.ctx, slow, label, lease); return err },
			"Finish": func() error { return w.Finish(w.ctx, slow, in, pull.Memory{Looks: 9}) },
			"Record": func() error {
				_, err := w.Record(w.ctx, slow, pull.PassResult{Outcome: pull.PassDone})
				return err
			},
		} {
			if err := write(); !errors.Is(err, pull.ErrLost) {
				t.Errorf("%s with a lost lease = %v, want ErrLost", name, err)
			}
		}
		d, err := w.Pull(w.ctx, "octo", "app", 7)
		if err != nil {
			t.Fatal(err)
		}
		if d.Row.Title != "first" || d.Memory.Looks != 0 || d.Intents[0].Status != pull.Planned || d.Deliveries[0].Status != pull.Queued {
			t.Errorf("a lost lease has written: %q, %d, %s, %s", d.Row.Title, d.Memory.Looks, d.Intents[0].Status, d.Deliveries[0].Status)
		}
		if n := w.number(`SELECT count(*) FROM changes`); n != before {
			t.Error("a lost lease has announced something")
		}
		w.record(quick, pull.PassResult{Outcome: pull.PassDone})
		if _, err := w.Record(w.ctx, quick, pull.PassResult{Outcome: pull.PassDone}); !errors.Is(err, pull.ErrLost) {
			t.Errorf("Record twice = %v, want ErrLost", err)
		}
	})
}

// A lease that ran out and that nobody took is still its holder's: there is nobody to collide with.
func TestAnExpiredLeaseThatNobodyTookStillWrites(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		w.pass(2 * lease)
		if err := w.Renew(w.ctx, c, lease); err != nil {
			t.Errorf("Renew = %v", err)
		}
		w.noClaim("it was renewed after all")
	})
}

func TestHintsDuringAPassCauseAnotherOne(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		w.pass(time.Second)
		heard := w.now()
		w.hint("b", 7)
		w.noClaim("one at a time")
		w.pass(5 * time.Second)
		if a := w.record(c, pull.PassResult{Outcome: pull.PassDone, Again: w.now().Add(time.Hour)}); len(a) != 1 {
			t.Errorf("Record = %d attempts, want 1: the other came after the pass had begun", len(a))
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Processed, "b": pull.Queued})
		w.noClaim("it settles")
		w.pass(moreSettle)
		c = w.claim()
		if !c.Since.Equal(heard) || c.Priority != pull.Ordinary {
			t.Errorf("Claim since %v with priority %d, want the second hint's", c.Since, c.Priority)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Processed, "b": pull.Processed})
		w.noClaim("all is answered")
	})
}

// The settling time of a hint that came during a pass goes on after it.
func TestAHintDuringAPassStillSettles(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		w.insert(w.delivery("check", 7))
		w.intake(func(pull.Delivery) pull.Route {
			return pull.Route{Numbers: []int{7}, Settle: 2 * time.Second, Priority: pull.Background}
		})
		w.pass(100 * time.Millisecond)
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		if got := w.work(7).DueAt; !got.Equal(w.now().Add(1900 * time.Millisecond)) {
			t.Errorf("due in %v, want 1.9s", got.Sub(w.now()))
		}
	})
}

func TestUrgentKeysComeFirst(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		mark := func(n int, p pull.Priority) {
			if err := w.MarkDue(w.ctx, pull.PullKey(repoID, n), p); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Millisecond)
		}
		mark(1, pull.Bulk)
		mark(2, pull.Background)
		mark(3, pull.Ordinary)
		mark(4, pull.Ordinary)
		mark(5, pull.Urgent)
		mark(2, pull.Ordinary) // more urgent than before, and due since then
		mark(3, pull.Bulk)     // never less urgent
		for _, want := range []int{5, 2, 3, 4, 1} {
			if c := w.claim(); c.Key.Number != want {
				t.Errorf("Claim = %d, want %d", c.Key.Number, want)
			}
		}
		w.noClaim("all are taken")
	})
}

func TestNextDue(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		next := func(why string, want time.Duration, wantOK bool) {
			t.Helper()
			at, ok, err := w.NextDue(w.ctx)
			if err != nil || ok != wantOK || (ok && at.Sub(w.now()) != want) {
				t.Errorf("%s: NextDue = in %v, %v, %v, want in %v, %v", why, at.Sub(w.now()), ok, err, want, wantOK)
			}
		}
		next("nothing known", 0, false)
		w.insert(w.delivery("a", 7))
		w.intake(func(pull.Delivery) pull.Route {
			return pull.Route{Numbers: []int{7}, Settle: 2 * time.Second}
		})
		next("it settles", 2*time.Second, true)
		w.pass(2 * time.Second)
		next("due", 0, true)
		c := w.claim()
		next("leased: when the lease ends", lease, true)
		w.record(c, pull.PassResult{Outcome: pull.PassDone, Again: w.now().Add(time.Hour), NotBefore: w.now().Add(2 * time.Hour)})
		next("held back", 2*time.Hour, true)
		if err := w.ParkScope(w.ctx, "app:42", w.now().Add(3*time.Hour), "rate limit"); err != nil {
			t.Fatal(err)
		}
		next("parked", 3*time.Hour, true)
		if err := w.MarkDue(w.ctx, pull.PullKey(1, 1), pull.Ordinary); err != nil { // a repository of no scope but the token's
			t.Fatal(err)
		}
		next("another scope", 0, true)
	})
}

func TestAParkedScopeWaits(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		park := func(d time.Duration) {
			if err := w.ParkScope(w.ctx, "app:42", w.now().Add(d), "secondary rate limit"); err != nil {
				t.Fatal(err)
			}
		}
		park(time.Minute)
		park(time.Second) // an earlier end changes nothing
		w.pass(30 * time.Second)
		w.noClaim("its scope is parked")
		st, err := w.Stats(w.ctx)
		if err != nil || len(st.Parked) != 1 || st.Parked[0].Reason != "secondary rate limit" {
			t.Errorf("Stats.Parked = %+v, %v, want the one", st.Parked, err)
		}
		if row := w.work(7); !row.Parked.Equal(w.now().Add(30 * time.Second)) {
			t.Errorf("Due says that 7 is parked until %v, want half a minute from %v", row.Parked, w.now())
		}
		if err := w.MarkDue(w.ctx, pull.PullKey(1, 1), pull.Bulk); err != nil {
			t.Fatal(err)
		}
		if c := w.claim(); c.Key.RepoID != 1 || c.Scope != pull.ScopeToken {
			t.Errorf("Claim = %s of %s, want the other scope's", c.Key, c.Scope)
		}
		w.pass(30 * time.Second)
		if c := w.claim(); c.Key.Number != 7 {
			t.Errorf("Claim = %s, want 7", c.Key)
		}
	})
}

func TestAParkedPassIsNoFailure(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		since := w.claim()
		until := w.now().Add(time.Minute)
		if a := w.record(since, pull.PassResult{Outcome: pull.PassParked, NotBefore: until, Again: until}); len(a) != 0 {
			t.Errorf("Record = %+v, want no attempt", a)
		}
		w.hint("b", 7) // hints can't lower it
		w.noClaim("it is held back")
		w.pass(time.Minute)
		c := w.claim()
		if c.Fails != 0 || !c.Since.Equal(since.Since) || c.Priority != pull.Ordinary {
			t.Errorf("Claim = %+v, want no failure, the first hint's time and priority", c)
		}
		if a := w.record(c, pull.PassResult{Outcome: pull.PassDone}); len(a) != 2 {
			t.Errorf("Record = %d attempts, want both", len(a))
		}

		w.hint("c", 7) // handed back at a stop: due at once
		c = w.claim()
		w.record(c, pull.PassResult{Outcome: pull.PassParked, Again: w.now()})
		w.claim()
	})
}

// An hour in which GitHub can't be reached must not leave everything that moved to a person.
func TestAnOutageMakesNoDeadLetters(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		for n := 1; n <= 3*pull.MaxFails; n++ {
			c := w.claim()
			attempts := w.record(c, pull.PassResult{Outcome: pull.PassFailed, Error: "GitHub can't be reached", Outage: true})
			if len(attempts) != 1 || !attempts[0].Failed || attempts[0].Status != pull.Queued {
				t.Fatalf("Record of failure %d = %+v, want one failed attempt that is still queued", n, attempts)
			}
			if at, ok, err := w.NextDue(w.ctx); err != nil || !ok || at.Sub(w.now()) > backoffMost {
				t.Fatalf("after %d failures it is due at %v, %v, %v, want within %v", n, at, ok, err, backoffMost)
			}
			w.pass(backoffMost)
		}
		if a := w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone}); len(a) != 1 || a[0].Status != pull.Processed {
			t.Errorf("Record after the outage = %+v, want the delivery processed", a)
		}
	})
}

func TestFailedPassesBackOffAndDie(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		for n := 1; n <= pull.MaxFails; n++ {
			c := w.claim()
			if c.Fails != n-1 {
				t.Errorf("Claim says %d fails, want %d", c.Fails, n-1)
			}
			attempts := w.record(c, pull.PassResult{Outcome: pull.PassFailed, Error: "GitHub is down"})
			want := pull.Queued
			if n == pull.MaxFails {
				want = pull.Dead
			}
			if len(attempts) != 1 || !attempts[0].Failed || attempts[0].Status != want {
				t.Fatalf("Record of failure %d = %+v, want one failed attempt, %s", n, attempts, want)
			}
			if n == pull.MaxFails {
				break
			}
			at, ok, err := w.NextDue(w.ctx)
			base := time.Second << n
			if wait := at.Sub(w.now()); err != nil || !ok || wait < base*8/10 || wait > base*12/10 {
				t.Errorf("after %d fails it waits %v, want %v ± a fifth", n, wait, base)
			}
			w.hint(fmt.Sprint("hint", n), 7)
			w.noClaim("hints can't lower a backoff")
			w.pass(base * 12 / 10)
			// The hint's own delivery is ended by the dead letter too: set it aside.
			w.run(`DELETE FROM webhook_logs WHERE delivery_id = $1`, fmt.Sprint("hint", n))
		}
		w.pass(time.Hour)
		w.noClaim("it is a dead letter")
		d, err := w.Delivery(w.ctx, "a")
		if err != nil || d.Status != pull.Dead || d.Attempts != pull.MaxFails || d.Error != "GitHub is down" {
			t.Errorf("the delivery is %s after %d attempts with %q, want dead", d.Status, d.Attempts, d.Error)
		}
		if row := w.work(7); !row.Dead || row.Fails != pull.MaxFails {
			t.Errorf("work = %+v, want dead", row)
		}
		st, err := w.Stats(w.ctx)
		if err != nil || st.Dead != 1 || st.QueueLength != 0 || st.Errors != pull.MaxFails {
			t.Errorf("Stats = %d dead, %d waiting, %d errors, %v, want 1, 0, %d", st.Dead, st.QueueLength, st.Errors, err, pull.MaxFails)
		}

		w.hint("new", 7)
		if row := w.work(7); row.Dead || row.Fails != 0 {
			t.Errorf("after a new hint work = %+v, want alive", row)
		}
		c := w.claim()
		if c.Fails != 0 {
			t.Errorf("revived, it has %d fails, want 0", c.Fails)
		}
		if a := w.record(c, pull.PassResult{Outcome: pull.PassDone}); len(a) != 2 {
			t.Errorf("Record = %d attempts, want 2: what had died is answered too", len(a))
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Processed, "new": pull.Processed})
	})
}

func TestARepeatedDeliveryRevivesADeadKey(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		for range pull.MaxFails {
			w.record(w.claim(), pull.PassResult{Outcome: pull.PassFailed, Error: "no"})
			w.pass(backoffMost)
		}
		w.noClaim("dead")
		w.insert(w.delivery("a", 7))
		w.pass(redeliverySettle)
		w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Processed})
	})
}

func TestAHintDuringTheLastFailureKeepsTheKeyAlive(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		for n := 1; n <= pull.MaxFails; n++ {
			c := w.claim()
			if n == pull.MaxFails {
				w.hint("b", 7)
			}
			w.record(c, pull.PassResult{Outcome: pull.PassFailed, Error: "no"})
			w.pass(backoffMost)
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Dead, "b": pull.Queued})
		if c := w.claim(); c.Fails != 0 {
			t.Errorf("Claim says %d fails, want 0", c.Fails)
		}
	})
}

func TestSuccessForgetsFailures(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		w.record(w.claim(), pull.PassResult{Outcome: pull.PassFailed, Error: "no", NotBefore: w.now().Add(3 * time.Second)})
		if at, _, _ := w.NextDue(w.ctx); at.Sub(w.now()) != 3*time.Second {
			t.Errorf("it waits %v, want the 3s that the pass asked for", at.Sub(w.now()))
		}
		w.pass(3 * time.Second)
		c := w.claim()
		if c.Fails != 1 {
			t.Errorf("Claim says %d fails, want 1", c.Fails)
		}
		again := w.now().Add(time.Minute)
		w.record(c, pull.PassResult{Outcome: pull.PassDone, Again: again})
		if row := w.work(7); row.Fails != 0 || !row.ReadyAt.Equal(again) || !row.NotBefore.IsZero() {
			t.Errorf("work = %+v, want no fails and due in a minute", row)
		}
		d, err := w.Delivery(w.ctx, "a")
		if err != nil || d.Status != pull.Processed || d.Attempts != 2 || d.Error != "" {
			t.Errorf("the delivery is %s after %d attempts with %q", d.Status, d.Attempts, d.Error)
		}
	})
}

func TestBackoffIsBounded(t *testing.T) {
	for fails := 1; fails < 100; fails++ {
		base := min(time.Second<<min(fails, 20), backoffMost)
		for _, key := range []string{"pr:1#1", "pr:1#2", "pr:99#12345"} {
			if d := backoff(key, fails); d < base*8/10 || d > min(base*12/10, backoffMost) {
				t.Errorf("backoff(%s, %d) = %v, want %v ± a fifth, at most 10m", key, fails, d, base)
			}
		}
	}
}

func TestAPullRequestThatIsGone(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		if err := w.Plan(w.ctx, c, pull.Plan{Pull: pull.Row{State: pull.Open, Head: "aaa"}}); err != nil {
			t.Fatal(err)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		w.hint("b", 7)
		if a := w.record(w.claim(), pull.PassResult{Outcome: pull.PassGone, Gone: true}); len(a) != 1 || a[0].Failed || a[0].Status != pull.Processed {
			t.Errorf("Record = %+v, want one attempt, processed", a)
		}
		if open, err := w.Pulls(w.ctx, true, 10); err != nil || len(open) != 0 {
			t.Errorf("Pulls(open) = %v, %v, want none", open, err)
		}
		w.insert(w.delivery("status", 0))
		w.intake(func(pull.Delivery) pull.Route { return pull.Route{SHA: "aaa"} })
		w.noClaim("its head is no longer an open one")
	})
}

// Another installation comes before one that GitHub answers slowly, unless the latter's work is more urgent.
func TestClaimOtherScopeFirst(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		route := func(p pull.Priority) func(pull.Delivery) pull.Route {
			return func(d pull.Delivery) pull.Route { return pull.Route{Numbers: d.Hint.Numbers, Priority: p} }
		}
		of := func(id string, number int, installation int64) pull.Delivery {
			d := w.delivery(id, number)
			d.Hint.Repo.ID, d.Hint.Installation = installation, installation
			return d
		}
		w.insert(of("a", 1, 1), of("b", 2, 1))
		w.intake(route(pull.Ordinary))
		w.pass(time.Second)
		w.insert(of("c", 3, 2))
		w.intake(route(pull.Ordinary))
		w.insert(of("d", 4, 2))
		w.intake(route(pull.Bulk))
		var got []int
		for range 4 {
			c, ok, err := w.Claim(w.ctx, "me", time.Minute, pull.ScopeApp(1))
			if err != nil || !ok {
				t.Fatalf("Claim = %v, %v", ok, err)
			}
			got = append(got, c.Key.Number)
		}
		if want := []int{3, 1, 2, 4}; !slices.Equal(got, want) {
			t.Errorf("claimed in the order %v, want %v", got, want)
		}
	})
}

// TestParkedUntil: every replica learns until when a scope waits, for as long as it does.
func TestParkedUntil(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		until := w.now().Add(time.Minute)
		if err := w.ParkScope(w.ctx, pull.ScopeApp(42), until, "secondary"); err != nil {
			t.Fatal(err)
		}
		other := w.open()
		at, why, err := other.ParkedUntil(w.ctx, pull.ScopeApp(42))
		if err != nil || !at.Equal(until) || why != "secondary" {
			t.Errorf("ParkedUntil = %v, %q, %v; want %v, secondary", at, why, err, until)
		}
		if at, _, err := other.ParkedUntil(w.ctx, pull.ScopeToken); err != nil || !at.IsZero() {
			t.Errorf("another scope is parked until %v, %v", at, err)
		}
		w.pass(time.Minute)
		if at, _, err := other.ParkedUntil(w.ctx, pull.ScopeApp(42)); err != nil || !at.IsZero() {
			t.Errorf("a minute later it is parked until %v, %v", at, err)
		}
	})
}
