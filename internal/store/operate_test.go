package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const carol = "carol@host"

// audited are the rows of the audit log, oldest first.
func (w *world) audited() []string {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.ctx, `SELECT actor, action, target FROM audits ORDER BY id`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var actor, action, target string
		if err := rows.Scan(&actor, &action, &target); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, actor+" "+action+" "+target)
	}
	return out
}

// said are the texts of the change feed about what people did.
func (w *world) said(after int64) []string {
	w.t.Helper()
	changes, err := w.Changes(w.ctx, after, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, c := range changes {
		out = append(out, string(c.Kind)+" "+c.Key+" "+c.Text)
	}
	return out
}

func (w *world) latest() int64 {
	w.t.Helper()
	id, err := w.LatestChange(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) discard(id string) bool {
	w.t.Helper()
	done, err := w.Discard(w.ctx, carol, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// claimed takes a number's key by hand.
func (w *world) claimed(number int) (pull.Claim, *Holdup) {
	w.t.Helper()
	c, held, err := w.ClaimKey(w.ctx, pull.PullKey(repoID, number), carol, "d", "me", lease)
	if err != nil {
		w.t.Fatal(err)
	}
	return c, held
}

// kill makes a number's key a dead letter.
func (w *world) kill(number int) {
	w.t.Helper()
	for range pull.MaxFails {
		c, held := w.claimed(number)
		if held != nil {
			w.t.Fatalf("ClaimKey is held up: %+v", held)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassFailed, Error: "no way"})
	}
	if k := w.work(number); !k.Dead {
		w.t.Fatalf("after %d failed passes: %+v, want a dead letter", pull.MaxFails, k)
	}
}

// due is when a number's key can be claimed; zero: it is not due.
func (w *world) due(number int) time.Time { return w.work(number).ReadyAt }

func TestUnprocessedIsTheQueue(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("done", 1)
		w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		w.hint("queued", 2)
		w.insert(w.delivery("received", 3), w.delivery("dropped", 4))
		w.discard("dropped")
		ids := func(limit int) (out []string) {
			ds, err := w.Unprocessed(w.ctx, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				key := "-"
				if d.Key != (pull.Key{}) {
					key = d.Key.String()
				}
				out = append(out, fmt.Sprint(d.ID, " ", d.Status, " ", key))
			}
			return out
		}
		equal(t, "Unprocessed", ids(10), []string{"queued queued pr:1296269#2", "received received -"})
		equal(t, "Unprocessed, one", ids(1), []string{"queued queued pr:1296269#2"})
	})
}

func TestDiscard(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.insert(w.delivery("received", 1))
		w.hint("queued", 2)
		w.hint("done", 3)
		c, _ := w.claimed(3)
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		after := w.latest()
		for id, want := range map[string]bool{"received": true, "queued": true, "done": false, "unknown": false} {
			if got := w.discard(id); got != want {
				t.Errorf("Discard(%s) = %v, want %v", id, got, want)
			}
			if w.discard(id) {
				t.Errorf("Discard(%s) again = true, want false", id)
			}
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"received": pull.Discarded, "queued": pull.Discarded, "done": pull.Processed})
		var noted []string
		for _, row := range w.audited() {
			if strings.Contains(row, auditDiscard) {
				noted = append(noted, row)
			}
		}
		slices.Sort(noted)
		equal(t, "audits", noted, []string{"carol@host queue.discard queued", "carol@host queue.discard received"})
		if n := len(w.said(after)); n != 2 {
			t.Errorf("the feed has %d new entries, want one a discarded delivery: %v", n, w.said(after))
		}
		w.intake(byNumber)
		w.noClaim("both are dropped")
		if st, err := w.Stats(w.ctx); err != nil || st.QueueLength != 0 || st.Due != 0 || !st.OldestWaiting.IsZero() {
			t.Errorf("Stats = %+v, %v, want nothing that waits", st, err)
		}
	})
}

// TestDiscardLeavesWhatElseMakesAKeyDue: only what the delivery alone asked for goes with it.
func TestDiscardLeavesWhatElseMakesAKeyDue(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		// Another delivery waits, whichever of the two is dropped.
		for n, dropped := range []string{"first", "second"} {
			w.hint("first "+dropped, n+1)
			w.hint("second "+dropped, n+1)
			w.discard(dropped + " " + dropped)
			if w.due(n + 1).IsZero() {
				t.Errorf("the %s of two deliveries was dropped, and the key is not due any more", dropped)
			}
		}
		// Something else was heard since: a sweep, or the same delivery again.
		w.hint("swept", 3)
		if err := w.MarkDue(w.ctx, pull.PullKey(repoID, 3), pull.Bulk); err != nil {
			t.Fatal(err)
		}
		w.discard("swept")
		if w.due(3).IsZero() {
			t.Error("a key that a sweep has marked is not due any more")
		}
		// Something else was heard before, which waits for nobody: a push to the base branch (in the same batch, too), the
		// sweep, a repeated delivery.
		both := func(d pull.Delivery) pull.Route {
			r := byNumber(d)
			if d.ID == "push" || d.ID == "push too" {
				r.Numbers = []int{21, 22, 23}
			}
			return r
		}
		w.insert(w.delivery("push", 0))
		w.intake(both)
		w.hint("after a push", 21)
		w.insert(w.delivery("push too", 0), w.delivery("beside a push", 22))
		w.intake(both)
		beat, err := w.Beat(w.ctx, "me", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		if _, err := w.Swept(w.ctx, beat.Lead, octoApp, "app:42", pull.Swept{Sights: map[int]string{24: "moved"}, Due: []pull.Mark{{Number: 24, Due: w.now()}}}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		w.hint("after a sweep", 24)
		w.hint("repeated", 25)
		c, _ := w.claimed(25)
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		w.insert(w.delivery("repeated", 25), w.delivery("after a repetition", 25))
		w.intake(byNumber)
		for id, n := range map[string]int{"after a push": 21, "beside a push": 22, "after a sweep": 24, "after a repetition": 25} {
			if w.discard(id); w.due(n).IsZero() {
				t.Errorf("%s: a delivery was dropped, and what was heard before it with it", id)
			}
		}
		// The last decision asked for a look.
		w.hint("decided", 4)
		c, _ = w.claimed(4)
		timer := w.now().Add(time.Hour)
		if err := w.Plan(w.ctx, c, pull.Plan{Pull: pull.Row{State: pull.Open, NextLook: timer}}); err != nil {
			t.Fatal(err)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassDone, Again: timer})
		w.hint("later", 4)
		if at := w.due(4); !at.Equal(w.now()) {
			t.Fatalf("the key is due at %v, want now", at)
		}
		w.discard("later")
		if at := w.due(4); !at.Equal(timer) {
			t.Errorf("the key is due at %v, want %v, as its last decision asked for", at, timer)
		}
		// Failed passes are not made again for a delivery that nobody waits for.
		w.hint("failing", 5)
		c, _ = w.claimed(5)
		w.record(c, pull.PassResult{Outcome: pull.PassFailed, Error: "no"})
		w.discard("failing")
		if k := w.work(5); !k.ReadyAt.IsZero() || k.Fails != 0 {
			t.Errorf("after its failing delivery was dropped: %+v, want nothing due", k)
		}
	})
}

// TestDiscardDuringAPass: the pass goes on, ends everything else, and nothing is stuck afterwards.
func TestDiscardDuringAPass(t *testing.T) {
	for _, outcome := range []pull.Outcome{pull.PassDone, pull.PassFailed, pull.PassParked} {
		t.Run(string(outcome), func(t *testing.T) {
			worlds(t, func(t *testing.T, w *world) {
				w.hint("dropped", 1)
				c := w.claim()
				if !w.discard("dropped") {
					t.Fatal("a delivery whose key is being looked at can't be dropped")
				}
				if k := w.work(1); k.Owner != "worker" || !k.ReadyAt.Equal(w.now().Add(lease)) {
					t.Errorf("the worker's lease has changed: %+v", k)
				}
				w.hint("kept", 1)
				w.record(c, pull.PassResult{Outcome: outcome, Error: "no", NotBefore: w.now().Add(time.Second)})
				equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"dropped": pull.Discarded, "kept": pull.Queued})
				w.pass(time.Minute)
				w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
				equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"dropped": pull.Discarded, "kept": pull.Processed})
				w.noClaim("all is done")
			})
		})
	}
}

// TestADiscardedDeliveryCanBeRedelivered: whoever presses Redeliver at GitHub wants it looked at.
func TestADiscardedDeliveryCanBeRedelivered(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.insert(w.delivery("a", 1)) // never taken in
		w.discard("a")
		w.hint("b", 2)
		w.discard("b")
		w.insert(w.delivery("a", 1), w.delivery("b", 2))
		w.intake(byNumber)
		w.pass(time.Second)
		for range 2 {
			w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Processed, "b": pull.Discarded})
	})
}

func TestReplay(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		replay := func(id string) bool {
			t.Helper()
			done, err := w.Replay(w.ctx, carol, id)
			if err != nil {
				t.Fatal(err)
			}
			return done
		}
		w.hint("done", 1)
		w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		w.hint("dead", 2)
		w.kill(2)
		w.hint("dropped", 3)
		w.discard("dropped")
		w.run(`UPDATE webhook_logs SET body = NULL`) // its time is over; the hint is enough
		w.pass(time.Hour)
		rows := len(w.audited())
		for _, id := range []string{"done", "dead", "dropped"} {
			if !replay(id) {
				t.Errorf("Replay(%s) = false", id)
			}
			if replay(id) {
				t.Errorf("Replay(%s) of what waits = true", id)
			}
		}
		if replay("unknown") {
			t.Error("Replay of an unknown delivery = true")
		}
		equal(t, "audits", w.audited()[rows:], []string{
			"carol@host deliveries.replay done", "carol@host deliveries.replay dead", "carol@host deliveries.replay dropped",
		})
		again := w.now()
		w.intake(byNumber)
		for _, id := range []string{"done", "dead", "dropped"} {
			d, err := w.Delivery(w.ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if d.Status != pull.Queued || d.Attempts != 0 || d.Error != "" || !d.TakenAt.Equal(again) || !d.ProcessedAt.IsZero() {
				t.Errorf("%s after replay and intake: %s, %d attempts, %q, taken %v", id, d.Status, d.Attempts, d.Error, d.TakenAt)
			}
		}
		for range 3 {
			w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"done": pull.Processed, "dead": pull.Processed, "dropped": pull.Processed})
		if k := w.work(2); k.Dead || k.Fails != 0 {
			t.Errorf("the dead key after the replay of its delivery: %+v", k)
		}
	})
}

// unroutable makes a delivery that can't be taken in.
func (w *world) unroutable(id string, number int) {
	w.t.Helper()
	w.insert(w.delivery(id, number))
	for range pull.MaxFails {
		if _, _, err := w.Intake(w.ctx, pull.Taking{IDs: []string{id}, By: carol}, func(pull.Delivery) pull.Route { panic("no route") }); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestDeadLetters(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		since := w.now()
		w.hint("a", 1)
		w.hint("b", 1)
		w.kill(1)
		w.unroutable("c", 2)
		w.hint("fine", 3)

		letters, err := w.DeadLetters(w.ctx, 10)
		if err != nil || len(letters) != 2 {
			t.Fatalf("DeadLetters = %+v, %v, want two", letters, err)
		}
		key, alone := letters[0], letters[1]
		if key.Key != pull.PullKey(repoID, 1) || key.Repo != octoApp || key.Deliveries != 2 || key.Fails != pull.MaxFails || key.Error != "no way" || !key.Since.Equal(since) || key.Revived {
			t.Errorf("the dead key is %+v", key)
		}
		if alone.Delivery.ID != "c" || alone.Key != (pull.Key{}) || alone.Fails != pull.MaxFails || alone.Error == "" || alone.Deliveries != 1 {
			t.Errorf("the dead delivery is %+v", alone)
		}
		if one, err := w.DeadLetters(w.ctx, 1); err != nil || len(one) != 1 {
			t.Errorf("DeadLetters(1) = %+v, %v", one, err)
		}

		for name, find := range map[string]func() (DeadLetter, []pull.Delivery, error){
			"by key":      func() (DeadLetter, []pull.Delivery, error) { return w.DeadKey(w.ctx, key.Key) },
			"by delivery": func() (DeadLetter, []pull.Delivery, error) { return w.DeadDelivery(w.ctx, "a") },
		} {
			l, ds, err := find()
			if err != nil || l.Key != key.Key || len(ds) != 2 || ds[0].ID != "b" {
				t.Errorf("%s: %+v, %v, %v, want the key with b and a", name, l, ds, err)
			}
		}
		if l, ds, err := w.DeadDelivery(w.ctx, "c"); err != nil || l.Delivery.ID != "c" || len(ds) != 1 {
			t.Errorf("DeadDelivery(c) = %+v, %v, %v", l, ds, err)
		}
		for _, id := range []string{"fine", "unknown"} {
			if _, _, err := w.DeadDelivery(w.ctx, id); !errors.Is(err, ErrNotFound) {
				t.Errorf("DeadDelivery(%s) = %v, want ErrNotFound", id, err)
			}
		}
		if _, _, err := w.DeadKey(w.ctx, pull.PullKey(repoID, 3)); !errors.Is(err, ErrNotFound) {
			t.Errorf("DeadKey of a live one = %v, want ErrNotFound", err)
		}
		if k, err := w.Work(w.ctx, key.Key); err != nil || !k.Dead || k.Fails != pull.MaxFails || k.Repo != octoApp {
			t.Errorf("Work = %+v, %v", k, err)
		}
		if _, err := w.Work(w.ctx, pull.PullKey(repoID, 9)); !errors.Is(err, ErrNotFound) {
			t.Errorf("Work of an unknown key = %v", err)
		}
		if r, err := w.Repository(w.ctx, repoID); err != nil || r != octoApp {
			t.Errorf("Repository = %+v, %v", r, err)
		}
		if _, err := w.Repository(w.ctx, 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("Repository of an unknown id = %v", err)
		}
		if k, err := w.PullKey(w.ctx, "Octo", "APP", 1); err != nil || k != key.Key {
			t.Errorf("PullKey = %v, %v", k, err)
		}
		if _, err := w.PullKey(w.ctx, "octo", "other", 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("PullKey of an unknown repository = %v", err)
		}
	})
}

func TestRetryDead(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 1)
		w.kill(1)
		w.unroutable("c", 2)
		letters, err := w.DeadLetters(w.ctx, 10)
		if err != nil || len(letters) != 2 {
			t.Fatalf("DeadLetters = %+v, %v", letters, err)
		}
		after, rows := w.latest(), len(w.audited())
		for _, l := range letters {
			if done, err := w.RetryDead(w.ctx, carol, l); err != nil || !done {
				t.Errorf("RetryDead(%+v) = %v, %v", l, done, err)
			}
			if done, err := w.RetryDead(w.ctx, carol, l); err != nil || done {
				t.Errorf("RetryDead again = %v, %v, want false", done, err)
			}
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Queued, "c": pull.Received})
		equal(t, "audits", w.audited()[rows:], []string{"carol@host queue.dead.retry pr:1296269#1", "carol@host queue.dead.retry c"})
		equal(t, "the feed", w.said(after), []string{
			"pull pr:1296269#1 dead letter pr:1296269#1 live again, says carol@host", "delivery  dead letter c live again, says carol@host",
		})
		if k := w.work(1); k.Dead || k.Fails != 0 || !k.ReadyAt.Equal(w.now()) {
			t.Errorf("the key is %+v, want due now with no failures", k)
		}
		w.intake(byNumber)
		for range 2 {
			w.record(w.claim(), pull.PassResult{Outcome: pull.PassDone})
		}
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Processed, "c": pull.Processed})
	})
}

func TestDropDead(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 1)
		w.kill(1)
		w.unroutable("c", 2)
		letters, err := w.DeadLetters(w.ctx, 10)
		if err != nil || len(letters) != 2 {
			t.Fatalf("DeadLetters = %+v, %v", letters, err)
		}
		rows := len(w.audited())
		for _, l := range letters {
			if done, err := w.DropDead(w.ctx, carol, l); err != nil || !done {
				t.Errorf("DropDead(%+v) = %v, %v", l, done, err)
			}
			for name, again := range map[string]func() (bool, error){
				"DropDead":  func() (bool, error) { return w.DropDead(w.ctx, carol, l) },
				"RetryDead": func() (bool, error) { return w.RetryDead(w.ctx, carol, l) },
			} {
				if done, err := again(); err != nil || done {
					t.Errorf("%s of a dropped one = %v, %v, want false", name, done, err)
				}
			}
		}
		equal(t, "audits", w.audited()[rows:], []string{"carol@host queue.dead.drop pr:1296269#1", "carol@host queue.dead.drop c"})
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Discarded, "c": pull.Discarded})
		w.pass(time.Hour)
		w.intake(byNumber)
		w.noClaim("it is given up")
		w.hint("new", 1)
		c := w.claim()
		if c.Fails != 0 {
			t.Errorf("a new hint about a dropped dead letter begins with %d failures, want 0", c.Fails)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Discarded, "c": pull.Discarded, "new": pull.Processed})
		if _, err := w.DropDead(w.ctx, carol, DeadLetter{}); err == nil {
			t.Error("DropDead of nothing = nil, want an error")
		}
	})
}

// TestARetriedDeadLetterMeetsANewHint: a hint has revived the key, perhaps its pass is under way already; in no order is
// anything left behind, or looked at for ever.
func TestARetriedDeadLetterMeetsANewHint(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for n, when := range []string{"before the hint", "after the hint", "while it is claimed", "after the claim ends"} {
			n++
			dead, fresh := fmt.Sprint("dead", n), fmt.Sprint("new", n)
			w.hint(dead, n)
			w.kill(n)
			l, _, err := w.DeadKey(w.ctx, pull.PullKey(repoID, n))
			if err != nil {
				t.Fatal(err)
			}
			retry := func(at string) {
				if at != when {
					return
				}
				if _, err := w.RetryDead(w.ctx, carol, l); err != nil {
					t.Fatal(err)
				}
			}
			retry("before the hint")
			w.hint(fresh, n)
			retry("after the hint")
			c, _ := w.claimed(n)
			retry("while it is claimed")
			w.record(c, pull.PassResult{Outcome: pull.PassDone})
			retry("after the claim ends")
			w.pass(time.Second)
			for range 3 {
				if c, ok, err := w.Claim(w.ctx, "worker", lease, ""); err != nil {
					t.Fatal(err)
				} else if ok {
					w.record(c, pull.PassResult{Outcome: pull.PassDone})
				}
				w.pass(time.Second)
			}
			w.noClaim("retried " + when + ": all is done")
			if st := w.statuses(); st[dead] != pull.Processed || st[fresh] != pull.Processed {
				t.Errorf("retried %s: the dead delivery is %s, the new one %s, want both processed", when, st[dead], st[fresh])
			}
		}
	})
}

// TestARetryWhileAPassIsBeingRecorded: the two transactions overlap, which only PostgreSQL lets them. The pass then has not
// seen the deliveries wait that were dead a moment ago; another one has to.
func TestARetryWhileAPassIsBeingRecorded(t *testing.T) {
	w := newWorld(t, testenv.Postgres(t))
	other := w.open()
	w.hint("dead", 1)
	w.kill(1)
	l, _, err := w.DeadKey(w.ctx, pull.PullKey(repoID, 1))
	if err != nil {
		t.Fatal(err)
	}
	w.hint("new", 1)
	c, _ := w.claimed(1)
	recorded := make(chan error, 1)
	w.setHook(func(op string, committed bool) error {
		if op != "retry a dead letter" || committed {
			return nil
		}
		go func() {
			_, err := other.Record(w.ctx, c, pull.PassResult{Outcome: pull.PassDone})
			recorded <- err
		}()
		for range 500 {
			if w.number(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0 {
				return nil
			}
			time.Sleep(10 * time.Millisecond)
		}
		return errors.New("the end of the pass does not wait for the retry: the test proves nothing")
	})
	if _, err := w.RetryDead(w.ctx, carol, l); err != nil {
		t.Fatal(err)
	}
	w.setHook(nil)
	if err := <-recorded; err != nil {
		t.Fatal(err)
	}
	w.pass(time.Second)
	if c, ok, err := w.Claim(w.ctx, "worker", lease, ""); err != nil {
		t.Fatal(err)
	} else if ok {
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
	}
	equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"dead": pull.Processed, "new": pull.Processed})
}

// TestRacesOfOperators: discards, retries, drops and replays, by two people at once, against workers and new hints. In the
// end nothing waits that nobody will look at.
func TestRacesOfOperators(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		const keys, rounds = 4, 6
		stop := make(chan struct{})
		var workers, people sync.WaitGroup
		stores := []*Store{w.Store, w.open()}
		tick := func() { w.pass(200 * time.Millisecond) }
		for _, s := range stores {
			workers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					tick()
					if _, _, err := s.Intake(w.ctx, pull.Taking{Limit: 5}, byNumber); err != nil {
						t.Error(err)
						return
					}
					c, ok, err := s.Claim(w.ctx, "worker", lease, "")
					if err != nil {
						t.Error(err)
						return
					}
					if !ok {
						time.Sleep(5 * time.Millisecond) // the people's turn
						continue
					}
					r := pull.PassResult{Outcome: pull.PassDone}
					if n%3 != 0 {
						r = pull.PassResult{Outcome: pull.PassFailed, Error: "no", NotBefore: w.now()}
					}
					if _, err := s.Record(w.ctx, c, r); err != nil && !errors.Is(err, pull.ErrLost) {
						t.Error(err)
						return
					}
				}
			})
		}
		for p, s := range stores {
			people.Go(func() {
				for round := range rounds {
					for n := 1; n <= keys; n++ {
						id := fmt.Sprint(p, "/", round, "/", n)
						if _, err := s.Insert(w.ctx, []pull.Delivery{w.delivery(id, n)}); err != nil {
							t.Error(err)
						}
						if _, err := s.Discard(w.ctx, carol, fmt.Sprint(1-p, "/", round, "/", n)); err != nil {
							t.Error(err)
						}
						if _, err := s.Replay(w.ctx, carol, fmt.Sprint(1-p, "/", max(0, round-2), "/", n)); err != nil {
							t.Error(err)
						}
					}
					letters, err := s.DeadLetters(w.ctx, 100)
					if err != nil {
						t.Error(err)
					}
					for i, l := range letters {
						end := s.RetryDead
						if (i+round+p)%2 == 0 {
							end = s.DropDead
						}
						if _, err := end(w.ctx, carol, l); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		people.Wait()
		close(stop)
		workers.Wait()
		// Quiet: from here on every look succeeds.
		for range 20 * keys {
			w.pass(time.Minute)
			w.intake(byNumber)
			if c, ok, err := w.Claim(w.ctx, "last", lease, ""); err != nil {
				t.Fatal(err)
			} else if ok {
				w.record(c, pull.PassResult{Outcome: pull.PassDone})
			}
		}
		waiting, err := w.Unprocessed(w.ctx, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(waiting) > 0 {
			t.Errorf("%d deliveries wait for ever: the first %+v with its key %+v", len(waiting), waiting[0], w.work(waiting[0].Hint.Number()))
		}
		if st, err := w.Stats(w.ctx); err != nil || st.Due != 0 || st.InFlight != 0 {
			t.Errorf("Stats = %+v, %v, want nothing due", st, err)
		}
	})
}

func TestClaimKey(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		if _, _, err := w.ClaimKey(w.ctx, pull.PullKey(repoID, 1), carol, "d", "me", lease); !errors.Is(err, ErrNotFound) {
			t.Errorf("ClaimKey of an unknown key = %v, want ErrNotFound", err)
		}
		// Whatever the pause, the due time and the backoff say.
		w.insert(w.delivery("a", 1))
		w.intake(func(d pull.Delivery) pull.Route { r := byNumber(d); r.Settle = time.Hour; return r })
		if err := w.Pause(w.ctx, carol); err != nil {
			t.Fatal(err)
		}
		c, held := w.claimed(1)
		if held != nil || c.Key != pull.PullKey(repoID, 1) || c.Repo != octoApp || c.Scope != pull.ScopeApp(42) || c.Gen != 1 || c.Priority != pull.Ordinary || !c.Until.Equal(w.now().Add(lease)) {
			t.Fatalf("ClaimKey = %+v, %+v", c, held)
		}
		equal(t, "audits", w.audited(), []string{"carol@host queue.pause ", "carol@host process.pass d"})
		w.record(c, pull.PassResult{Outcome: pull.PassFailed, Error: "no", NotBefore: w.now().Add(time.Hour)})
		if c, held = w.claimed(1); held != nil || c.Fails != 1 {
			t.Fatalf("ClaimKey during a backoff = %+v, %+v", c, held)
		}
		// Never while somebody else has the lease, however it was had.
		if _, held = w.claimed(1); held == nil || held.Owner != "me" || held.Limit || !held.Until.Equal(c.Until) {
			t.Errorf("ClaimKey of a claimed key = %+v, want me until %v", held, c.Until)
		}
		w.pass(lease)
		next, held := w.claimed(1)
		if held != nil || next.Fence <= c.Fence {
			t.Fatalf("ClaimKey after the lease = %+v, %+v", next, held)
		}
		if _, err := w.Record(w.ctx, c, pull.PassResult{Outcome: pull.PassDone}); !errors.Is(err, pull.ErrLost) {
			t.Errorf("Record with the lost claim = %v, want ErrLost", err)
		}
		if a := w.record(next, pull.PassResult{Outcome: pull.PassDone}); len(a) != 1 || a[0].Status != pull.Processed {
			t.Errorf("Record = %+v, want the delivery processed", a)
		}
		// A scope that waits for GitHub's limit is obeyed.
		until := w.now().Add(5 * time.Minute)
		if err := w.ParkScope(w.ctx, pull.ScopeApp(42), until, "the budget is spent"); err != nil {
			t.Fatal(err)
		}
		if _, held = w.claimed(1); held == nil || !held.Limit || !held.Until.Equal(until) || held.Reason != "the budget is spent" || held.Owner != "" {
			t.Errorf("ClaimKey of a parked scope = %+v, want until %v", held, until)
		}
		w.pass(5 * time.Minute)
		if c, held = w.claimed(1); held != nil {
			t.Errorf("ClaimKey after the limit = %+v", held)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		// Dead or alive.
		w.hint("b", 2)
		if _, _, err := w.Intake(w.ctx, pull.Taking{IDs: []string{"b"}, By: carol}, byNumber); err != nil {
			t.Fatal(err)
		}
		w.kill(2)
		if c, held = w.claimed(2); held != nil {
			t.Fatalf("ClaimKey of a dead key = %+v", held)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		if k := w.work(2); k.Dead || w.statuses()["b"] != pull.Processed {
			t.Errorf("after a pass by hand: %+v, %s", k, w.statuses()["b"])
		}
	})
}

// TestOneClaimByHand: a worker and several people want one key at once.
func TestOneClaimByHand(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 1)
		var mu sync.Mutex
		var all sync.WaitGroup
		holders := 0
		won := func(ok bool, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if ok {
				holders++
			}
		}
		for i := range 8 {
			all.Go(func() {
				if i%2 == 0 {
					_, ok, err := w.Claim(w.ctx, "worker", lease, "")
					won(ok, err)
					return
				}
				_, held, err := w.ClaimKey(w.ctx, pull.PullKey(repoID, 1), carol, "a", "me", lease)
				won(held == nil, err)
			})
		}
		all.Wait()
		if holders != 1 {
			t.Errorf("the key has %d holders, want 1", holders)
		}
	})
}

// TestIntakeByHandIsAudited: whoever takes a delivery by hand is noted with it.
func TestIntakeByHandIsAudited(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.insert(w.delivery("a", 1), w.delivery("b", 2))
		if _, n, err := w.Intake(w.ctx, pull.Taking{IDs: []string{"a", "unknown"}, By: carol}, byNumber); err != nil || n != 1 {
			t.Fatalf("Intake by hand took %d, %v", n, err)
		}
		equal(t, "audits", w.audited(), []string{"carol@host process.intake a"})
		equal(t, "statuses", w.statuses(), map[string]pull.DeliveryStatus{"a": pull.Queued, "b": pull.Received})
	})
}

// The queue is listed by what waits, never by reading all that ever was.
func TestListsOfOperatorsUseTheirIndexes(t *testing.T) {
	w := newWorld(t, testenv.SQLite(t))
	for _, c := range []struct {
		st   *statement
		args []any
		want []string
	}{
		{listUnprocessed, []any{1}, []string{"webhook_logs_received", "webhook_logs_queued", "SEARCH webhook_logs USING INTEGER PRIMARY KEY"}},
		{listDeadDeliveries, []any{1}, []string{"webhook_logs_dead"}},
		{dismissKey, []any{"", 1, 1}, []string{"webhook_logs_queued"}},
	} {
		plan := w.plan(c.st, c.args...)
		for _, want := range c.want {
			if !strings.Contains(plan, want) {
				t.Errorf("%s doesn't use %s: %s", c.st.name, want, plan)
			}
		}
	}
}
