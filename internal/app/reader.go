package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/dashboard"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
)

// reader shows the store to the dashboard: the same read models in the dashboard's words.
type reader struct{ *store.Store }

// Totals are the store's statistics.
func (r reader) Totals(ctx context.Context) (dashboard.Totals, error) {
	s, err := r.Stats(ctx)
	if err != nil {
		return dashboard.Totals{}, err
	}
	var parked time.Time
	for _, p := range s.Parked {
		if p.Until.After(parked) {
			parked = p.Until
		}
	}
	pause, paused, err := r.Paused(ctx)
	if err != nil {
		return dashboard.Totals{}, err
	}
	return dashboard.Totals{
		Paused: paused, PausedSince: pause.Since, PausedBy: pause.By,
		Parked: parked, Received: s.Received, Processed: s.Processed, Errors: s.Errors, Duplicates: s.Duplicates, Dead: s.Dead,
		QueueLength: s.QueueLength, InFlight: s.InFlight, Due: s.Due, Actions: s.Actions,
		OldestQueued: s.OldestWaiting, OldestDue: s.OldestDue, LastDone: s.LastProcessed,
	}, nil
}

// shownCommands is how many commands of a pull request its page has.
const shownCommands = 50

// Pull is everything about one pull request.
func (r reader) Pull(ctx context.Context, owner, name string, number int) (dashboard.Detail, error) {
	d, err := r.Store.Pull(ctx, owner, name, number)
	if errors.Is(err, store.ErrNotFound) {
		return dashboard.Detail{}, dashboard.ErrNotFound
	}
	if err != nil {
		return dashboard.Detail{}, err
	}
	out := dashboard.Detail{Row: d.Row, Verdict: d.Verdict, Intents: d.Intents, Deliveries: d.Deliveries, Problem: d.Problem}
	for _, c := range slices.Backward(d.Memory.Commands) {
		if len(out.Commands) < shownCommands {
			out.Commands = append(out.Commands, c)
		}
	}
	for _, h := range d.History {
		out.History = append(out.History, dashboard.Decision(h))
	}
	if d.Work != nil {
		w := workOf(*d.Work)
		out.Work = &w
	}
	return out, nil
}

// Due is what waits and what is being worked on.
func (r reader) Due(ctx context.Context, limit int) ([]dashboard.Work, error) {
	rows, err := r.Store.Due(ctx, limit)
	if err != nil {
		return nil, err
	}
	out := make([]dashboard.Work, 0, len(rows))
	for _, row := range rows {
		out = append(out, workOf(row))
	}
	return out, nil
}

func workOf(w store.WorkRow) dashboard.Work {
	return dashboard.Work{
		Key: w.Key, Repo: w.Repo, Title: w.Title, DueAt: w.DueAt, NotBefore: w.NotBefore, Since: w.Since,
		Running: w.Owner != "", Fails: w.Fails, Priority: w.Priority, Dead: w.Dead,
		Parked: w.Parked,
	}
}
