package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A model is the keyed work in the plainest words: what one would say the store does.
type model struct {
	keys       map[int]*modelKey
	deliveries map[string]*modelDelivery
}

type modelKey struct {
	gen, fence     int64
	due, notBefore time.Time // zero: none
	until          time.Time // end of the lease
	leased, dead   bool
	fails          int
	prio           pull.Priority
}

type modelDelivery struct {
	number int
	gen    int64 // of its key when it was taken in
	status pull.DeliveryStatus
}

func (k *modelKey) hint(due time.Time, p pull.Priority) {
	k.gen++
	bulk := k.gen > 1 && k.prio == pull.Bulk
	if k.due.IsZero() || p < k.prio {
		k.prio = p
	}
	if k.due.IsZero() || due.Before(k.due) {
		k.due = due
	}
	if k.dead {
		k.dead, k.fails, k.notBefore = false, 0, time.Time{}
	}
	if bulk && k.fails == 0 && p < pull.Bulk { // what only bulk was parked for
		k.notBefore = time.Time{}
	}
}

// ready returns when the key can be claimed; zero for not until something happens.
func (k *modelKey) ready() time.Time {
	switch {
	case k.leased:
		return k.until
	case k.due.IsZero() || k.due.After(k.notBefore):
		return k.due
	}
	return k.notBefore
}

// TestKeyedWorkFollowsItsModel runs random histories of hints, repetitions, claims, results, lost leases and time,
// against the store and the model, and compares after every step. In the end every delivery is processed.
func TestKeyedWorkFollowsItsModel(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		if w.sqlite != nil { // nothing is killed here, and this test commits thousands of times
			if _, err := w.sqlite.conn.ExecContext(w.ctx, "PRAGMA synchronous = OFF"); err != nil {
				t.Fatal(err)
			}
		} else {
			w.db.SetMaxOpenConns(1)
			w.db.SetConnMaxIdleTime(0)
			if _, err := w.db.ExecContext(w.ctx, "SET synchronous_commit = off"); err != nil {
				t.Fatal(err)
			}
		}
		rapid.Check(t, func(t *rapid.T) {
			for _, table := range []string{"webhook_logs", "work", "counters", "changes"} {
				w.run("DELETE FROM " + table)
			}
			m := &model{keys: map[int]*modelKey{}, deliveries: map[string]*modelDelivery{}}
			var claims []pull.Claim // every one ever, stale ones too

			claim := func(t *rapid.T) {
				now := w.now()
				claimable := 0
				for _, k := range m.keys {
					if r := k.ready(); !r.IsZero() && !r.After(now) {
						claimable++
					}
				}
				c, ok, err := w.Claim(w.ctx, "w", lease, "")
				if err != nil {
					t.Fatal(err)
				}
				if ok != (claimable > 0) {
					t.Fatalf("Claim = %v, but the model has %d keys that can be claimed", ok, claimable)
				}
				if !ok {
					return
				}
				k := m.keys[c.Key.Number]
				if r := k.ready(); r.IsZero() || r.After(now) {
					t.Fatalf("Claim = %s, which can't be claimed before %v", c.Key, r)
				}
				k.leased, k.until, k.due = true, now.Add(lease), time.Time{}
				k.fence++
				if c.Gen != k.gen || c.Fence != k.fence || c.Fails != k.fails || c.Priority != k.prio {
					t.Fatalf("Claim = gen %d, fence %d, fails %d, priority %d; want %d, %d, %d, %d", c.Gen, c.Fence, c.Fails, c.Priority, k.gen, k.fence, k.fails, k.prio)
				}
				claims = append(claims, c)
			}

			record := func(t *rapid.T, c pull.Claim, r pull.PassResult) {
				now := w.now()
				k := m.keys[c.Key.Number]
				attempts, err := w.Record(w.ctx, c, r)
				if lost := !k.leased || k.fence != c.Fence; lost != errors.Is(err, pull.ErrLost) || (err != nil && !lost) {
					t.Fatalf("Record = %v, want ErrLost: %v", err, lost)
				} else if lost {
					return
				}
				ended := 0
				fails := c.Fails
				var due, notBefore time.Time
				prio := c.Priority // what this pass was to answer still waits
				switch r.Outcome {
				case pull.PassDone:
					fails, due, prio = 0, r.Again, pull.Background
				case pull.PassFailed:
					fails++
					notBefore = now.Add(backoff(c.Key.String(), fails))
					due = notBefore
				case pull.PassParked:
					due, notBefore = r.Again, r.NotBefore
				}
				dead := fails >= pull.MaxFails
				for _, d := range m.deliveries {
					if d.number != c.Key.Number || d.gen > c.Gen {
						continue
					}
					switch {
					case r.Outcome == pull.PassDone && (d.status == pull.Queued || d.status == pull.Dead):
						d.status = pull.Processed
						ended++
					case r.Outcome == pull.PassFailed && d.status == pull.Queued:
						ended++
						if dead {
							d.status = pull.Dead
						}
					}
				}
				if len(attempts) != ended {
					t.Fatalf("Record = %d attempts, want %d", len(attempts), ended)
				}
				if k.gen > c.Gen {
					if dead { // what was heard meanwhile revives it, and is not made to wait for what failed before
						dead, fails = false, 0
						notBefore = now.Add(backoff(c.Key.String(), fails))
						due = notBefore
					}
					more := now.Add(moreSettle)
					if k.due.After(more) {
						more = k.due
					}
					if due.IsZero() || more.Before(due) {
						due = more
					}
					prio = min(prio, k.prio)
				}
				if dead {
					due, notBefore = time.Time{}, time.Time{}
				}
				k.leased, k.due, k.notBefore, k.fails, k.dead, k.prio = false, due, notBefore, fails, dead, prio
			}

			t.Repeat(map[string]func(*rapid.T){
				"hint": func(t *rapid.T) {
					n := rapid.IntRange(1, 3).Draw(t, "number")
					settle := time.Duration(rapid.SampledFrom([]int{0, 200, 2000}).Draw(t, "settle")) * time.Millisecond
					prio := rapid.SampledFrom([]pull.Priority{pull.Urgent, pull.Ordinary, pull.Background, pull.Bulk}).Draw(t, "priority")
					id := fmt.Sprint(len(m.deliveries))
					w.insert(w.delivery(id, n))
					w.intake(func(pull.Delivery) pull.Route {
						return pull.Route{Numbers: []int{n}, Settle: settle, Priority: prio}
					})
					if m.keys[n] == nil {
						m.keys[n] = &modelKey{}
					}
					m.keys[n].hint(w.now().Add(settle), prio)
					m.deliveries[id] = &modelDelivery{n, m.keys[n].gen, pull.Queued}
				},
				"repeat": func(t *rapid.T) {
					if len(m.deliveries) == 0 {
						t.Skip()
					}
					id := fmt.Sprint(rapid.IntRange(0, len(m.deliveries)-1).Draw(t, "id"))
					d := m.deliveries[id]
					w.insert(w.delivery(id, d.number))
					m.keys[d.number].hint(w.now().Add(redeliverySettle), pull.Ordinary)
				},
				"time": func(t *rapid.T) {
					w.pass(time.Duration(rapid.SampledFrom([]int{1, 200, 2000, 15000, 31000, 700000}).Draw(t, "ms")) * time.Millisecond)
				},
				"claim": claim,
				"record": func(t *rapid.T) {
					if len(claims) == 0 {
						t.Skip()
					}
					c := claims[rapid.IntRange(0, len(claims)-1).Draw(t, "claim")]
					r := pull.PassResult{Outcome: rapid.SampledFrom([]pull.Outcome{pull.PassDone, pull.PassFailed, pull.PassFailed, pull.PassParked}).Draw(t, "outcome")}
					again := w.now().Add(time.Minute)
					if r.Outcome == pull.PassParked {
						r.Again, r.NotBefore = again, again
					} else if r.Outcome == pull.PassDone && rapid.Bool().Draw(t, "again") {
						r.Again = again
					}
					record(t, c, r)
				},
				"five failures": func(t *rapid.T) { // or random histories hardly ever see a dead letter
					for range pull.MaxFails - 1 {
						w.pass(backoffMost)
						before := len(claims)
						if claim(t); len(claims) > before {
							record(t, claims[len(claims)-1], pull.PassResult{Outcome: pull.PassFailed, Error: "no"})
						}
					}
				},
				"renew": func(t *rapid.T) {
					if len(claims) == 0 {
						t.Skip()
					}
					c := claims[rapid.IntRange(0, len(claims)-1).Draw(t, "claim")]
					k := m.keys[c.Key.Number]
					err := w.Renew(w.ctx, c, lease)
					if lost := !k.leased || k.fence != c.Fence; lost != errors.Is(err, pull.ErrLost) {
						t.Fatalf("Renew = %v, want ErrLost: %v", err, lost)
					} else if !lost {
						k.until = w.now().Add(lease)
					}
				},
				"": func(t *rapid.T) {
					var earliest time.Time
					for n, k := range m.keys {
						row := w.work(n)
						if r := k.ready(); !row.ReadyAt.Equal(r) {
							t.Fatalf("key %d can be claimed at %v, the model says %v", n, row.ReadyAt, r)
						} else if !r.IsZero() && (earliest.IsZero() || r.Before(earliest)) {
							earliest = r
						}
						if row.Fails != k.fails || row.Dead != k.dead || row.Gen != k.gen || row.Priority != k.prio {
							t.Fatalf("key %d is %+v, the model says %+v", n, row, k)
						}
					}
					if at, ok, err := w.NextDue(w.ctx); err != nil || ok == earliest.IsZero() || (ok && !at.Equal(earliest)) {
						t.Fatalf("NextDue = %v, %v, %v, the model says %v", at, ok, err, earliest)
					}
					got := w.statuses()
					for id, d := range m.deliveries {
						if got[id] != d.status {
							t.Fatalf("delivery %s is %s, the model says %s", id, got[id], d.status)
						}
					}
				},
			})

			// However it went: hear of every key once more, let every pass succeed, and all is answered.
			for n := range m.keys {
				if err := w.MarkDue(w.ctx, pull.PullKey(repoID, n), pull.Ordinary); err != nil {
					t.Fatal(err)
				}
				m.keys[n].hint(w.now(), pull.Ordinary)
			}
			for range 4 * len(m.keys) {
				w.pass(time.Hour)
				before := len(claims)
				claim(t)
				if len(claims) > before {
					record(t, claims[len(claims)-1], pull.PassResult{Outcome: pull.PassDone})
				}
			}
			for id, status := range w.statuses() {
				if status != pull.Processed {
					t.Fatalf("in the end delivery %s is %s", id, status)
				}
			}
		})
	})
}
