package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func (w *world) beat(owner string) pull.Beat {
	w.t.Helper()
	b, err := w.Beat(w.ctx, owner, time.Minute)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func TestOneReplicaLeads(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		first := w.beat("a")
		if !first.Leads || !first.Last.IsZero() {
			t.Errorf("the first beat = %+v, want the lead, and no beat before", first)
		}
		w.pass(50 * time.Second)
		if b := w.beat("b"); b.Leads || !b.Last.Equal(w.now().Add(-50*time.Second)) {
			t.Errorf("another's beat = %+v, want no lead, and the last one 50 s ago", b)
		}
		if b := w.beat("a"); !b.Leads || b.Lead != first.Lead {
			t.Errorf("the leader's beat = %+v, want the same lead", b)
		}
		w.pass(59 * time.Second)
		if b := w.beat("b"); b.Leads {
			t.Error("b leads before a's term has ended")
		}
		w.pass(time.Second)
		second := w.beat("b")
		if !second.Leads || second.Lead.Fence != first.Lead.Fence+1 {
			t.Errorf("after a's term b has %+v, want the next fence after %+v", second, first.Lead)
		}
		if b := w.beat("a"); b.Leads {
			t.Error("a came back and leads beside b")
		}
		// The former leader's writes are refused, all of them.
		for name, err := range map[string]error{
			"Audited":          w.Audited(w.ctx, first.Lead, "app", pull.Audit{}),
			"NotSwept":         w.NotSwept(w.ctx, first.Lead, repoID, w.now()),
			"NoteRepositories": w.NoteRepositories(w.ctx, first.Lead, []pull.Sweepable{{Repo: octoApp}}),
			"Swept":            errorOf(w.Swept(w.ctx, first.Lead, octoApp, "token", pull.Swept{At: w.now(), Due: []pull.Mark{{Number: 1, Due: w.now()}}})),
			"Asking":           errorOf(w.Asking(w.ctx, first.Lead, pull.Missing{GUID: "x"}, w.now())),
		} {
			if !errors.Is(err, pull.ErrLost) {
				t.Errorf("%s of the former leader = %v, want ErrLost", name, err)
			}
		}
		w.noClaim("nothing was written")

		if err := w.Resign(w.ctx, first.Lead); err != nil {
			t.Fatal(err)
		}
		if b := w.beat("a"); b.Leads {
			t.Error("a former leader gave away what it did not have")
		}
		if err := w.Resign(w.ctx, second.Lead); err != nil {
			t.Fatal(err)
		}
		if b := w.beat("a"); !b.Leads {
			t.Error("b has resigned, and a has to wait")
		}
	})
}

func errorOf[T any](_ T, err error) error { return err }

func gone(guid string, sent time.Time, lost bool) pull.Missing {
	return pull.Missing{GUID: guid, ID: 7, Event: "push", Status: "timed out", SentAt: sent, Lost: lost}
}

func TestMissingDeliveries(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		lead := w.beat("a").Lead
		compare := func(ms ...pull.Missing) (ids []string) {
			t.Helper()
			fresh, err := w.Compare(w.ctx, ms)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range fresh {
				ids = append(ids, m.GUID)
			}
			return ids
		}
		missing := func() []pull.Missing {
			t.Helper()
			ms, err := w.Missing(w.ctx, 100)
			if err != nil {
				t.Fatal(err)
			}
			return ms
		}
		w.insert(w.delivery("here", 1))
		now := w.now()
		equal(t, "what is new", compare(gone("b", now, false), gone("here", now, false), gone("a", now.Add(-time.Hour), false), gone("c", now, true)), []string{"a", "b", "c"})
		equal(t, "what is new the second time", compare(gone("a", now, false), gone("c", now, true)), []string(nil))
		ms := missing()
		if len(ms) != 3 || ms[0].GUID != "a" || ms[0].ID != 7 || ms[0].Hook.ID != 0 || ms[0].Event != "push" || ms[0].Here || !ms[2].Lost {
			t.Fatalf("Missing = %+v, want a, b, c", ms)
		}

		// Whoever asks has noted it first, and one of two who read the same.
		later := now.Add(5 * time.Minute)
		if mine, err := w.Asking(w.ctx, lead, ms[0], later); !mine || err != nil {
			t.Errorf("Asking = %v, %v", mine, err)
		}
		if mine, err := w.Asking(w.ctx, lead, ms[0], later); mine || err != nil {
			t.Errorf("Asking twice from one reading = %v, %v, want no", mine, err)
		}
		if mine, err := w.AskingByHand(w.ctx, "a", later); mine || err != nil {
			t.Errorf("AskingByHand at once after that = %v, %v, want no", mine, err)
		}
		if len(missing()) != 2 {
			t.Error("what was asked for a moment ago is to be asked for again")
		}
		// It comes in: at once there is something to do about it.
		w.insert(w.delivery("a", 2))
		if ms := missing(); len(ms) != 3 || ms[0].GUID != "a" || !ms[0].Here || ms[0].Asked != 1 {
			t.Errorf("Missing = %+v, want a, which is here", ms)
		}
		for i, want := range []bool{true, false} {
			if first, err := w.EndMissing(w.ctx, "a", pull.Recovered, ""); first != want || err != nil {
				t.Errorf("EndMissing, time %d = %v, %v, want %v", i+1, first, err, want)
			}
		}

		// Asking that failed for certain does not count.
		b := missing()[0]
		if mine, err := w.Asking(w.ctx, lead, b, later); !mine || err != nil {
			t.Fatal(mine, err)
		}
		if err := w.NotAsked(w.ctx, b, now); err != nil {
			t.Fatal(err)
		}
		if ms := missing(); ms[0].GUID != "b" || ms[0].Asked != 0 {
			t.Errorf("after NotAsked: %+v", ms[0])
		}

		// A delivery that was recovered and is gone again was lost here: that is told, once.
		w.run(`DELETE FROM webhook_logs WHERE delivery_id = 'a'`)
		equal(t, "a delivery that vanished", compare(gone("a", now, true)), []string{"a"})
		equal(t, "the second time", compare(gone("a", now, true)), []string(nil))
		if first, err := w.EndMissing(w.ctx, "a", pull.GaveUp, "no"); !first || err != nil {
			t.Fatal(first, err)
		}
		equal(t, "after it was given up", compare(gone("a", now, true)), []string(nil))
		w.pass(2 * time.Minute)
		if mine, err := w.AskingByHand(w.ctx, "a", later); !mine || err != nil {
			t.Errorf("AskingByHand for what was given up = %v, %v", mine, err)
		}
		absent, err := w.Absent(w.ctx, []string{"here", "a", "zzz"})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Absent", absent, []string{"a", "zzz"})

		// Ended ones are forgotten after GitHub has forgotten them, others never.
		if _, err := w.EndMissing(w.ctx, "a", pull.Recovered, ""); err != nil {
			t.Fatal(err)
		}
		w.pass(9 * 24 * time.Hour)
		if _, err := w.Purge(w.ctx, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if n := w.number(`SELECT count(*) FROM missing`); n != 2 {
			t.Errorf("%d missing deliveries are kept, want b and c", n)
		}
	})
}

// TestManyMissing: more than one transaction's worth, several comparing at once.
func TestManyMissing(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		var found []pull.Missing
		for i := range 2*missingBatch + 100 {
			found = append(found, gone(fmt.Sprint("d", i), w.now(), false))
		}
		var mu sync.Mutex
		fresh := 0
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				got, err := w.Compare(w.ctx, found)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				fresh += len(got)
			})
		}
		all.Wait()
		if fresh != len(found) {
			t.Errorf("three who compare the same found %d between them, want each of %d once", fresh, len(found))
		}
	})
}

func TestHowFarAHookIsAudited(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		lead := w.beat("a").Lead
		read := func() pull.Audit {
			t.Helper()
			a, err := w.Audit(w.ctx, "app")
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		began := w.now()
		equal(t, "the first time", read(), pull.Audit{Since: began})
		w.pass(time.Hour)
		equal(t, "later", read(), pull.Audit{Since: began})
		for _, a := range []pull.Audit{
			{Since: began, Done: w.now()},
			{Since: began, Done: w.now(), Top: w.now().Add(time.Minute), Next: "v1_7"},
			{Since: began, Done: w.now().Add(time.Minute)},
		} {
			if err := w.Audited(w.ctx, lead, "app", a); err != nil {
				t.Fatal(err)
			}
			equal(t, "what was kept", read(), a)
		}
	})
}

func TestWhichHooksAreOurs(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for i, target := range []struct{ kind, hook string }{{"repository", "11"}, {"integration", "12"}, {"repository", "x"}, {"repository", "13"}} {
			d := w.delivery(fmt.Sprint("d", i), 1)
			d.Headers = map[string]string{"X-Github-Hook-Id": target.hook, "X-Github-Hook-Installation-Target-Type": target.kind}
			w.insert(d)
		}
		// The header is not signed: whoever may sign anything can name any webhook, and takes it from nobody.
		forged := w.delivery("forged", 1)
		forged.Hint.Repo = pull.Repo{ID: 7, Owner: "acme", Name: "tool"}
		forged.Headers = map[string]string{"X-Github-Hook-Id": "11", "X-Github-Hook-Installation-Target-Type": "repository"}
		w.insert(forged)
		name := func(repo, hook int64) string { return pull.Hook{ID: hook, Repo: pull.Repo{ID: repo}}.String() }
		want := map[string]bool{name(repoID, 11): true, name(repoID, 13): true, name(7, 11): true}
		got, err := w.OurHooks(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "OurHooks", got, want)
		w.run(`DELETE FROM webhook_logs`)
		if got, err = w.OurHooks(w.ctx); err != nil {
			t.Fatal(err)
		}
		equal(t, "OurHooks, once their deliveries are forgotten", got, want)
	})
}

func TestASweepMarksAndRemembers(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		lead := w.beat("a").Lead
		// 1 was looked at and is open; 2 is due already; 3 nobody has heard of.
		w.hint("d1", 1)
		c := w.claim()
		plan := pull.Plan{Pull: pull.Row{Repo: octoApp, State: pull.Open, Head: "aaa"}, Verdict: pull.Verdict{Digest: "1", Tree: []byte("{}")}, Sight: "as a pass saw it"}
		if err := w.Plan(w.ctx, c, plan); err != nil {
			t.Fatal(err)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		w.hint("d2", 2)
		before := w.work(2)

		seen, err := w.Seen(w.ctx, repoID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Seen", seen, map[int]pull.Seen{1: {ByPass: "as a pass saw it", Open: true}})
		list := func() pull.Sweepable {
			t.Helper()
			all, err := w.Sweepable(w.ctx)
			if err != nil || len(all) != 1 {
				t.Fatalf("Sweepable = %+v, %v", all, err)
			}
			return all[0]
		}
		equal(t, "Sweepable", list(), pull.Sweepable{Repo: octoApp, Scope: "app:42", ActiveAt: w.now()})

		w.pass(time.Minute)
		at := w.now()
		sweep := pull.Swept{
			At: at, Requests: 3, Moved: true, Sights: map[int]string{1: "s1", 2: "s2", 3: "s3"},
			Due: []pull.Mark{{Number: 1, Due: at}, {Number: 2, Due: at}, {Number: 3, Due: at.Add(time.Second)}},
		}
		n, err := w.Swept(w.ctx, lead, pull.Repo{ID: repoID, Owner: "octo", Name: "renamed"}, "app:42", sweep)
		if err != nil || n != 2 {
			t.Errorf("Swept = %d, %v, want 2: the third was due already", n, err)
		}
		equal(t, "the one that was due", w.work(2).Gen, before.Gen)
		if row := w.work(3); row.Priority != pull.Bulk || !row.ReadyAt.Equal(at.Add(time.Second)) || row.Scope != "app:42" || !row.Since.Equal(row.ReadyAt) {
			t.Errorf("the new one is %+v", row)
		}
		equal(t, "Sweepable", list(), pull.Sweepable{
			Repo: pull.Repo{ID: repoID, Owner: "octo", Name: "renamed"}, Scope: "app:42", SweptAt: at, Requests: 3, Moved: true, ActiveAt: at.Add(-time.Minute),
		})
		if seen, err = w.Seen(w.ctx, repoID); err != nil {
			t.Fatal(err)
		}
		equal(t, "Seen", seen, map[int]pull.Seen{1: {ByPass: "as a pass saw it", BySweep: "s1", Open: true}, 2: {BySweep: "s2"}, 3: {BySweep: "s3"}})

		// Nobody shows it to us for a while; and a pass that finds it closed takes it out.
		if err := w.NotSwept(w.ctx, lead, repoID, at.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if s := list(); !s.RetryAt.Equal(at.Add(time.Hour)) || !s.SweptAt.Equal(at) {
			t.Errorf("Sweepable = %+v", s)
		}
		c = w.claim() // 2, which is more urgent
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		if c = w.claim(); c.Key.Number != 1 || c.Priority != pull.Bulk {
			t.Fatalf("claimed %+v, want 1", c)
		}
		plan.Pull.State = pull.Closed
		if err := w.Plan(w.ctx, c, plan); err != nil {
			t.Fatal(err)
		}
		w.record(c, pull.PassResult{Outcome: pull.PassDone})
		if seen, err = w.Seen(w.ctx, repoID); err != nil {
			t.Fatal(err)
		}
		equal(t, "Seen", seen, map[int]pull.Seen{2: {BySweep: "s2"}, 3: {BySweep: "s3"}})
		w.pass(9 * 24 * time.Hour)
		if _, err := w.Purge(w.ctx, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if n := w.number(`SELECT count(*) FROM sightings`); n != 2 {
			t.Errorf("%d sightings are kept, want those of 2 and 3", n)
		}
	})
}

// TestASweepOfMany: thousands at once, in transactions that nobody has to wait for.
func TestASweepOfMany(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		lead := w.beat("a").Lead
		sweep := pull.Swept{At: w.now(), Sights: map[int]string{}}
		for n := 1; n <= 3*sweepBatch+1; n++ {
			sweep.Sights[n] = fmt.Sprint("s", n)
			sweep.Due = append(sweep.Due, pull.Mark{Number: n, Due: w.now().Add(time.Duration(n) * time.Second)})
		}
		if n, err := w.Swept(w.ctx, lead, octoApp, "token", sweep); err != nil || n != len(sweep.Due) {
			t.Errorf("Swept = %d, %v, want %d", n, err, len(sweep.Due))
		}
		if n, err := w.Swept(w.ctx, lead, octoApp, "token", sweep); err != nil || n != 0 {
			t.Errorf("Swept again = %d, %v, want all due already", n, err)
		}
		w.noClaim("the first is due in a second")
		w.pass(time.Second)
		w.claim()
		w.noClaim("the second is due in another")
	})
}

func TestNotedRepositories(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		lead := w.beat("a").Lead
		r := pull.Sweepable{Repo: octoApp, Scope: "app:1"}
		if err := w.NoteRepositories(w.ctx, lead, []pull.Sweepable{r}); err != nil {
			t.Fatal(err)
		}
		all, err := w.Sweepable(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Sweepable", all, []pull.Sweepable{r})
	})
}

// TestEventsOvertakeAParkedSweep: what is left of GitHub's budget is kept from a pass that only a sweep asked for, until
// the hour is over. An event of the pull request has a part of the budget to itself, and is not to wait that long; a
// backoff, and a scope that GitHub told to wait, hold it all the same.
func TestEventsOvertakeAParkedSweep(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		lead := w.beat("a").Lead
		sweep := func(number int) pull.Claim {
			t.Helper()
			if _, err := w.Swept(w.ctx, lead, octoApp, "app:42", pull.Swept{At: w.now(), Due: []pull.Mark{{Number: number, Due: w.now()}}}); err != nil {
				t.Fatal(err)
			}
			return w.claim()
		}
		until := w.now().Add(time.Hour)
		w.record(sweep(1), pull.PassResult{Outcome: pull.PassParked, NotBefore: until, Again: until})
		w.record(sweep(2), pull.PassResult{Outcome: pull.PassFailed, NotBefore: until, Error: "no"})
		w.noClaim("both wait")
		if _, err := w.Swept(w.ctx, lead, octoApp, "app:42", pull.Swept{At: w.now(), Due: []pull.Mark{{Number: 1, Due: w.now()}}}); err != nil {
			t.Fatal(err)
		}
		w.noClaim("another sweep waits as the first")
		w.hint("d1", 1)
		w.hint("d2", 2)
		if c := w.claim(); c.Key.Number != 1 || c.Priority != pull.Ordinary {
			t.Errorf("claimed %s with priority %d, want 1 with that of its event", c.Key, c.Priority)
		}
		w.noClaim("a backoff holds")
	})
}
