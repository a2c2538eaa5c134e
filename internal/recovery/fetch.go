package recovery

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func sameName(a, b pull.Repo) bool {
	return strings.EqualFold(a.Owner, b.Owner) && strings.EqualFold(a.Name, b.Name)
}

// A Fetched is what an audit by hand found and did.
type Fetched struct {
	Since   time.Time `json:"since"`
	Hooks   int       `json:"webhooks"`        // whose logs were read
	Looked  int       `json:"deliveries"`      // different ones in them
	Blind   int       `json:"blind"`           // repositories whose webhooks the token may not see
	Missing []Found   `json:"missing"`         // oldest first
	Error   string    `json:"error,omitempty"` // what kept it from the end
}

// A Found is a delivery that was not here.
type Found struct {
	ID      string    `json:"delivery_id"`
	Event   string    `json:"event"`
	Action  string    `json:"action,omitempty"`
	SentAt  time.Time `json:"sent_at"`
	Status  string    `json:"status"`          // GitHub's word for how its newest try ended
	Lost    bool      `json:"lost"`            // it had been acknowledged, and nothing explains that it is not here
	Behind  bool      `json:"behind_backup"`   // it had been acknowledged after the backup that the database was restored from
	Asked   bool      `json:"asked"`           // GitHub sends it again; false: Error says why not
	Arrived bool      `json:"arrived"`         // it has come in since
	Error   string    `json:"error,omitempty"` // GitHub's
}

// Refused is how many deliveries are missing and could not be asked for.
func (f Fetched) Refused() (n int) {
	for _, m := range f.Missing {
		if !m.Asked {
			n++
		}
	}
	return n
}

// How long Fetch waits for what it has asked for.
const (
	arrival     = 10 * time.Second
	arrivalStep = 500 * time.Millisecond
)

// Fetch is the audit by hand: it compares GitHub's logs of the last while with what is here, asks for everything that is
// missing, also for what was given up, and waits a moment for it to come in. It needs no lead, and may run beside a
// service. told is called before and between what takes long. Its error is the database's.
func (r *Recovery) Fetch(ctx context.Context, while time.Duration, told func(string)) (out Fetched, err error) {
	ctx = r.hub.Lane(ctx, pull.Ordinary)
	now := r.store.Now()
	out = Fetched{Since: now.Add(-min(while, keeps)), Missing: []Found{}}
	told("asking GitHub which deliveries failed")
	hooks, err := r.everyHook(ctx)
	if err != nil {
		return out, err
	}
	out.Hooks, out.Blind = len(hooks), r.hooks.blind()
	var missing []pull.Missing
	for _, h := range hooks {
		found, looked, err := r.lookThrough(ctx, h, out.Since, now)
		if f, ok := pull.FaultOf(err); ok {
			out.Error = f.Error()
			break
		}
		if err != nil {
			return out, err
		}
		out.Looked += looked
		missing = append(missing, found...)
	}
	if _, err := r.store.Compare(ctx, missing); err != nil { // so that a service knows of them
		return out, err
	}
	slices.SortFunc(missing, func(a, b pull.Missing) int { return a.SentAt.Compare(b.SentAt) })
	if len(missing) > 0 {
		told("asking GitHub for what is missing, one a second")
	}
	var asked []string
	for _, m := range missing {
		f := Found{ID: m.GUID, Event: m.Event, Action: m.Action, SentAt: m.SentAt, Status: m.Status, Lost: m.Lost, Behind: m.Behind}
		mine, err := r.store.AskingByHand(ctx, m.GUID, r.store.Now().Add(patience[0]))
		if err != nil {
			return out, err
		}
		if f.Asked = true; mine { // else the service has asked for it within the last minute
			if err := r.hub.SendAgain(ctx, r.reach(m.Hook), m.ID); err != nil {
				f.Asked, f.Error = false, err.Error()
			}
		}
		if f.Asked {
			asked = append(asked, m.GUID)
		}
		out.Missing = append(out.Missing, f)
	}
	if len(asked) == 0 {
		return out, nil
	}
	told("waiting for them to come in")
	absent := asked
	for waited := time.Duration(0); waited < arrival && len(absent) > 0 && pause(ctx, arrivalStep); waited += arrivalStep {
		if absent, err = r.store.Absent(ctx, absent); err != nil {
			return out, err
		}
	}
	for i := range out.Missing {
		f := &out.Missing[i]
		f.Arrived = f.Asked && !slices.Contains(absent, f.ID)
		if f.Arrived {
			if _, err := r.store.EndMissing(ctx, f.ID, pull.Recovered, ""); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// everyHook is all webhooks that lead here, as far as they may be seen.
func (r *Recovery) everyHook(ctx context.Context) ([]pull.Hook, error) {
	for before := -1; ; {
		hooks, err := r.ours(ctx)
		n := r.hooks.listed()
		if err != nil || r.hub.AsApp() || n == before {
			return hooks, err
		}
		before = n
	}
}

// lookThrough reads a webhook's log back to a moment, and returns what is in it and not here.
func (r *Recovery) lookThrough(ctx context.Context, h pull.Hook, from, now time.Time) (missing []pull.Missing, looked int, err error) {
	a, err := r.store.Audit(ctx, h.String())
	if err != nil {
		return nil, 0, err
	}
	var log []pull.Sending
	for cursor := ""; ; {
		some, next, fault := r.walk(ctx, h, cursor, from)
		if fault != nil {
			return nil, 0, fault
		}
		log = append(log, some...)
		if next == "" {
			break
		}
		cursor = next
	}
	guids := make(map[string]bool, len(log))
	for _, s := range log {
		guids[s.GUID] = true
	}
	restores, err := r.store.Restores(ctx)
	if err != nil {
		return nil, 0, err
	}
	expected := absent(log, h, a.Since, now, restores)
	ids := make([]string, len(expected))
	for i, m := range expected {
		ids[i] = m.GUID
	}
	gone, err := r.store.Absent(ctx, ids)
	missing = slices.DeleteFunc(expected, func(m pull.Missing) bool { return !slices.Contains(gone, m.GUID) })
	return missing, len(guids), err
}
