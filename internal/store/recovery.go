package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// leadName is the row of what one replica does for all. There is one such thing so far.
const leadName = "recovery"

// Beat says that a replica is alive, and takes or keeps the lead for a term if no other replica has it. Whoever calls
// it at least twice a term keeps the lead for as long as it lives; another one has it within a term afterwards.
func (s *Store) Beat(ctx context.Context, owner string, term time.Duration) (pull.Beat, error) {
	var b pull.Beat
	err := s.write(ctx, "heartbeat", func(t *tx) error {
		b = pull.Beat{}
		var last sql.NullInt64
		if _, err := t.row(lastBeat, []any{leadName}, &last); err != nil {
			return err
		}
		b.Last = moment(last)
		_, err := t.row(beat, []any{leadName, owner, t.now.Add(term).UnixMicro(), t.now.UnixMicro()}, &b.Lead.Owner, &b.Lead.Fence)
		b.Leads = b.Lead.Owner == owner
		return err
	})
	return b, err
}

// Resign gives the lead up at once, so that another replica need not wait for the end of the term.
func (s *Store) Resign(ctx context.Context, l pull.Lead) error {
	return s.write(ctx, "resign", func(t *tx) error {
		_, err := t.exec(resign, leadName, l.Owner, l.Fence)
		return err
	})
}

// lead checks that nobody has taken the lead over, and keeps others from it until the transaction ends.
func (t *tx) lead(l pull.Lead) error {
	var fence int64
	found, err := t.row(holdLead, []any{leadName, l.Owner, l.Fence}, &fence)
	if err == nil && !found {
		err = pull.ErrLost
	}
	return err
}

// knownHeaders is how many of the newest deliveries tell which webhooks lead here.
const knownHeaders = 1000

// OurHooks returns the names of the repositories' webhooks that have brought deliveries here, as those deliveries say:
// which of a repository's webhooks are its own is for GitHub to say.
func (s *Store) OurHooks(ctx context.Context) (map[string]bool, error) {
	known := make(map[string]bool)
	err := s.query(ctx, listHooks, nil, func(scan scanner) error {
		var h pull.Hook
		err := scan(&h.ID, &h.Repo.ID)
		known[h.String()] = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	fresh := make(map[string]pull.Hook)
	err = s.query(ctx, newestHeaders, []any{int64(knownHeaders)}, func(scan scanner) error {
		var h pull.Hook
		var text sql.RawBytes
		if err := scan(&h.Repo.ID, &text); err != nil {
			return err
		}
		var headers map[string]string
		if json.Unmarshal(text, &headers) != nil || headers["X-Github-Hook-Installation-Target-Type"] != "repository" {
			return nil
		}
		var err error
		if h.ID, err = strconv.ParseInt(headers["X-Github-Hook-Id"], 10, 64); err == nil && h.ID > 0 && !known[h.String()] {
			fresh[h.String()] = h
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	if len(fresh) == 0 {
		return known, nil
	}
	return known, s.write(ctx, "note webhooks", func(t *tx) error {
		for _, name := range slices.Sorted(maps.Keys(fresh)) {
			h := fresh[name]
			if _, err := t.exec(setHook, h.ID, h.Repo.ID, t.now.UnixMicro()); err != nil {
				return err
			}
			known[name] = true
		}
		return nil
	})
}

// Audit returns how far a hook's log has been compared with what is here. For a hook that it does not know, comparing
// begins now.
func (s *Store) Audit(ctx context.Context, hook string) (a pull.Audit, err error) {
	found := false
	read := func(scan scanner) error {
		var since int64
		var done, top sql.NullInt64
		found = true
		err := scan(&since, &done, &top, &a.Next)
		a.Since, a.Done, a.Top = time.UnixMicro(since).UTC(), moment(done), moment(top)
		return err
	}
	if err := s.query(ctx, readHookAudit, []any{hook}, read); err != nil || found {
		return a, err
	}
	err = s.write(ctx, "begin audit", func(t *tx) error {
		if _, err := t.exec(addHookAudit, hook, t.now.UnixMicro()); err != nil {
			return err
		}
		return t.query(readHookAudit, []any{hook}, read)
	})
	return a, err
}

// missingBatch is how many deliveries one transaction compares.
const missingBatch = 500

// Compare notes which deliveries of GitHub's log are not here, and returns those that it has not returned before, or
// not as lost. The caller holds no lead: whoever finds a delivery first has found it.
func (s *Store) Compare(ctx context.Context, found []pull.Missing) (fresh []pull.Missing, err error) {
	found = slices.Clone(found)
	slices.SortFunc(found, func(a, b pull.Missing) int { return a.SentAt.Compare(b.SentAt) })
	for part := range slices.Chunk(found, missingBatch) {
		var some []pull.Missing
		err := s.write(ctx, "compare deliveries", func(t *tx) (err error) {
			some, err = t.compare(part)
			if err == nil && len(some) == 0 {
				return errNothing
			}
			return err
		})
		if err != nil {
			return fresh, err
		}
		fresh = append(fresh, some...)
	}
	return fresh, nil
}

func (t *tx) compare(found []pull.Missing) (fresh []pull.Missing, err error) {
	here := make(map[string]bool)
	ids := make([]any, len(found))
	for i, m := range found {
		ids[i] = clean(m.GUID)
	}
	err = t.bulk(deliveriesHere, nil, ids, func(scan scanner) error {
		var id string
		err := scan(&id)
		here[id] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		id := clean(m.GUID)
		if here[id] {
			continue
		}
		var at, lost int64
		isNew, err := t.row(addMissing, []any{
			id, m.Hook.ID, m.Hook.Repo.ID, m.ID, clean(m.Event), clean(m.Action), clean(m.Status), m.SentAt.UnixMicro(), t.now.UnixMicro(), flag(m.Lost),
		}, &at, &lost)
		if err != nil {
			return nil, err
		}
		if isNew {
			fresh = append(fresh, m)
			if m.Lost {
				t.announce(pull.ChangeDelivery, "", "delivery "+id+" was acknowledged and is not here")
			}
		}
	}
	return fresh, nil
}

// Audited keeps how far a hook's log has been compared.
func (s *Store) Audited(ctx context.Context, l pull.Lead, hook string, a pull.Audit) error {
	return s.write(ctx, "audited", func(t *tx) error {
		if err := t.lead(l); err != nil {
			return err
		}
		_, err := t.exec(setHookAudit, hook, micros(a.Done), micros(a.Top), a.Next, t.now.UnixMicro())
		return err
	})
}

// Missing returns missing deliveries about which something is to be done: those that have come in, and those that
// GitHub may be asked for, oldest first.
func (s *Store) Missing(ctx context.Context, limit int) (out []pull.Missing, err error) {
	err = s.query(ctx, listMissing, []any{s.Now().UnixMicro(), int64(limit)}, func(scan scanner) error {
		var m pull.Missing
		var sent int64
		err := scan(&m.GUID, &m.Hook.ID, &m.Hook.Repo.ID, &m.Hook.Repo.Owner, &m.Hook.Repo.Name, &m.Hook.Scope,
			&m.ID, &m.Event, &m.Action, &m.Status, &sent, &m.Lost, &m.Asked, &m.Here)
		m.SentAt = time.UnixMicro(sent).UTC()
		out = append(out, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("missing deliveries: %w", err)
	}
	return out, nil
}

// Asking notes that GitHub is about to be asked for a missing delivery, and when to see about it next. It reports false
// when somebody else has done so since m was read: then GitHub is not to be asked.
func (s *Store) Asking(ctx context.Context, l pull.Lead, m pull.Missing, next time.Time) (mine bool, err error) {
	err = s.write(ctx, "ask again", func(t *tx) error {
		if err := t.lead(l); err != nil {
			return err
		}
		n, err := t.exec(askMissing, m.GUID, int64(m.Asked), t.now.UnixMicro(), next.UnixMicro())
		mine = n > 0
		return err
	})
	return mine && err == nil, err
}

// NotAsked takes Asking back: GitHub could not be asked after all. A replica that has lost the lead meanwhile may say so
// too.
func (s *Store) NotAsked(ctx context.Context, m pull.Missing, next time.Time) error {
	return s.write(ctx, "ask again", func(t *tx) error {
		_, err := t.exec(notAskedMissing, m.GUID, int64(m.Asked+1), next.UnixMicro())
		return err
	})
}

// AskingByHand is Asking for an operator, who may ask for what was given up, and need not lead. It reports false when
// GitHub has been asked for the delivery within the last minute.
func (s *Store) AskingByHand(ctx context.Context, guid string, next time.Time) (mine bool, err error) {
	err = s.write(ctx, "ask again", func(t *tx) error {
		n, err := t.exec(askMissingNow, guid, t.now.UnixMicro(), next.UnixMicro(), t.now.Add(-time.Minute).UnixMicro())
		mine = n > 0
		return err
	})
	return mine && err == nil, err
}

// EndMissing notes what became of a missing delivery. It reports false when that was known already.
func (s *Store) EndMissing(ctx context.Context, guid string, state pull.MissingState, why string) (first bool, err error) {
	err = s.write(ctx, "end missing", func(t *tx) error {
		n, err := t.exec(endMissing, guid, string(state), clean(why), t.now.UnixMicro())
		first = n > 0
		return err
	})
	return first && err == nil, err
}

// Absent returns those of the deliveries that are not here.
func (s *Store) Absent(ctx context.Context, guids []string) (absent []string, err error) {
	here := make(map[string]bool)
	err = s.write(ctx, "absent", func(t *tx) error {
		ids := make([]any, len(guids))
		for i, id := range guids {
			ids[i] = clean(id)
		}
		err := t.bulk(deliveriesHere, nil, ids, func(scan scanner) error {
			var id string
			err := scan(&id)
			here[id] = true
			return err
		})
		if err == nil {
			err = errNothing
		}
		return err
	})
	for _, id := range guids {
		if !here[clean(id)] {
			absent = append(absent, id)
		}
	}
	return absent, err
}

// Sweepable returns every repository that is known, the one that was looked over longest ago first.
func (s *Store) Sweepable(ctx context.Context) (out []pull.Sweepable, err error) {
	err = s.query(ctx, listSweepable, nil, func(scan scanner) error {
		var r pull.Sweepable
		var swept, retry, active int64
		if err := scan(&r.Repo.ID, &r.Repo.Owner, &r.Repo.Name, &r.Scope, &swept, &r.Requests, &r.Moved, &retry, &active); err != nil {
			return err
		}
		for _, x := range []struct {
			us   int64
			into *time.Time
		}{{swept, &r.SweptAt}, {retry, &r.RetryAt}, {active, &r.ActiveAt}} {
			if x.us > 0 {
				*x.into = time.UnixMicro(x.us).UTC()
			}
		}
		out = append(out, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("repositories: %w", err)
	}
	return out, nil
}

// Seen returns how the pull requests of a repository were last seen, those that are closed as far as is known left out.
func (s *Store) Seen(ctx context.Context, repoID int64) (map[int]pull.Seen, error) {
	seen := make(map[int]pull.Seen)
	err := s.query(ctx, listSightings, []any{repoID}, func(scan scanner) error {
		var n int
		var v pull.Seen
		err := scan(&n, &v.ByPass, &v.BySweep)
		seen[n] = v
		return err
	})
	if err == nil {
		err = s.query(ctx, openInRepo, []any{repoID}, func(scan scanner) error {
			var n int
			err := scan(&n)
			v := seen[n]
			v.Open = true
			seen[n] = v
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("what was seen: %w", err)
	}
	return seen, nil
}

// sweepBatch is how many pull requests one transaction of a sweep writes.
const sweepBatch = 500

// Swept keeps what a complete sweep of a repository found and makes due what it says. It returns how many keys are due
// by that: what is due as soon anyway is left as it is. It may end halfway with an error; then the sweep is repeated.
func (s *Store) Swept(ctx context.Context, l pull.Lead, repo pull.Repo, scope pull.Scope, w pull.Swept) (marked int, err error) {
	due := make(map[int]time.Time, len(w.Due))
	for _, m := range w.Due {
		due[m.Number] = m.Due
	}
	numbers := slices.Collect(maps.Keys(w.Sights))
	for n := range due {
		if _, ok := w.Sights[n]; !ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for part := range slices.Chunk(numbers, sweepBatch) {
		some := 0
		err := s.write(ctx, "sweep", func(t *tx) (err error) {
			some, err = t.swept(l, repo.ID, scope, part, due, w.Sights)
			return err
		})
		if err != nil {
			return marked, err
		}
		marked += some
	}
	return marked, s.write(ctx, "sweep", func(t *tx) error {
		if err := t.lead(l); err != nil {
			return err
		}
		if repo.Owner != "" && repo.Name != "" {
			if _, err := t.exec(renameRepository, repo.ID, clean(repo.Owner), clean(repo.Name), t.now.UnixMicro()); err != nil {
				return err
			}
		}
		_, err := t.exec(setSweep, repo.ID, w.At.UnixMicro(), int64(w.Requests), flag(w.Moved))
		return err
	})
}

func (t *tx) swept(l pull.Lead, repo int64, scope pull.Scope, numbers []int, due map[int]time.Time, sights map[int]string) (marked int, err error) {
	if err := t.lead(l); err != nil {
		return 0, err
	}
	names := make(map[string]int, len(numbers))
	for _, n := range numbers {
		names[pull.PullKey(repo, n).String()] = n
	}
	var marks, seen []any
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		if at, ok := due[n]; ok {
			// It waits since it is due, not since it was found: what is spread over an hour is not an hour late.
			marks = append(marks, name, repo, int64(n), string(scope), at.UnixMicro(), int64(pull.Bulk), at.UnixMicro())
		}
		if sight, ok := sights[n]; ok {
			seen = append(seen, name, repo, int64(n), clean(sight))
		}
	}
	err = t.bulk(markSwept, nil, marks, func(scan scanner) error {
		var name string
		var gen int64
		marked++
		return scan(&name, &gen)
	})
	if err == nil {
		err = t.bulk(sightsBySweep, nil, seen, nil)
	}
	return marked, err
}

// NotSwept keeps that a repository can't be looked over, and when to try again.
func (s *Store) NotSwept(ctx context.Context, l pull.Lead, repoID int64, retry time.Time) error {
	return s.write(ctx, "not swept", func(t *tx) error {
		if err := t.lead(l); err != nil {
			return err
		}
		_, err := t.exec(setRetry, repoID, retry.UnixMicro())
		return err
	})
}

// NoteRepositories keeps repositories that no delivery has told of.
func (s *Store) NoteRepositories(ctx context.Context, l pull.Lead, repos []pull.Sweepable) error {
	return s.write(ctx, "note repositories", func(t *tx) error {
		if err := t.lead(l); err != nil {
			return err
		}
		for _, r := range repos {
			if _, err := t.exec(setRepository, r.Repo.ID, clean(r.Repo.Owner), clean(r.Repo.Name), string(r.Scope), "", t.now.UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
}
