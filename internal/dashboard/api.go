package dashboard

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A statsAnswer is GET /webhook/stats. It counts and names nothing, so it is open to all.
type statsAnswer struct {
	Received   int64 `json:"received"` // these four since the process started
	Processed  int64 `json:"processed"`
	Errors     int64 `json:"errors"`
	Duplicates int64 `json:"duplicates"`

	Total         totalJSON                 `json:"total"` // the same, all replicas, ever since
	QueueLength   int64                     `json:"queue_length"`
	InFlight      int64                     `json:"in_flight"`
	Dead          int64                     `json:"dead"`
	LastProcessed *time.Time                `json:"last_processed"` // null until there is one
	Uptime        float64                   `json:"uptime"`         // seconds
	ByEvent       map[string]telemetry.Seen `json:"by_event"`
	Paused        bool                      `json:"paused"`
	// Stale: the database does not answer, and what comes from it is what was known last.
	Stale bool `json:"stale,omitempty"`
}

type totalJSON struct {
	Received   int64 `json:"received"`
	Processed  int64 `json:"processed"`
	Errors     int64 `json:"errors"`
	Duplicates int64 `json:"duplicates"`
	Actions    int64 `json:"actions"`
}

// statsPatience is how long the counters wait for the database before they show what was known last.
const statsPatience = 80 * time.Millisecond

func (d *Dashboard) stats(w http.ResponseWriter, r *http.Request) error {
	t, err := d.totals.get(r.Context(), statsPatience)
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, d.statsOf(t, err))
	return nil
}

func (d *Dashboard) statsOf(t Totals, err error) statsAnswer {
	seen, by := d.o.Metrics.Seen()
	a := statsAnswer{
		Received: seen.Received, Processed: seen.Processed, Errors: seen.Errors, Duplicates: seen.Duplicates,
		Total:       totalJSON{t.Received, t.Processed, t.Errors, t.Duplicates, t.Actions},
		QueueLength: t.QueueLength, InFlight: t.InFlight, Dead: t.Dead, Paused: t.Paused,
		Uptime: time.Since(d.started).Round(time.Millisecond).Seconds(), ByEvent: by, Stale: err != nil,
	}
	if !t.LastDone.IsZero() {
		u := t.LastDone.UTC()
		a.LastProcessed = &u
	}
	return a
}

// A pullJSON is a pull request for programs. Text is as GitHub has it, but cut and cleaned like on the pages.
type pullJSON struct {
	Repository string     `json:"repository"`
	Number     int        `json:"number"`
	Title      string     `json:"title"`
	Author     string     `json:"author"`
	URL        string     `json:"url,omitempty"`
	State      pull.State `json:"state"`
	Draft      bool       `json:"draft"`
	Head       pull.SHA   `json:"head"`
	Base       string     `json:"base"`
	Labels     []string   `json:"labels"`
	Verdict    string     `json:"verdict,omitempty"`
	Sentence   string     `json:"sentence,omitempty"`
	UpdatedAt  *time.Time `json:"updated_at,omitempty"`
	DecidedAt  *time.Time `json:"decided_at,omitempty"`
	NextLook   *time.Time `json:"next_look,omitempty"`
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (d *Dashboard) pullJSON(r pull.Row) pullJSON {
	p := pullJSON{
		Repository: clean(r.Repo.FullName(), 200), Number: r.Number, Title: clean(r.Title, 300), Author: clean(r.Author, 100),
		URL: safeURL(r.URL), State: r.State, Draft: r.Draft, Head: r.Head, Base: clean(r.Base, 200), Labels: []string{},
		Verdict: r.Verdict, Sentence: d.text(r.Sentence, 600),
		UpdatedAt: moment(r.UpdatedAt), DecidedAt: moment(r.DecidedAt), NextLook: moment(r.NextLook),
	}
	for _, l := range r.Labels {
		p.Labels = append(p.Labels, clean(l, 100))
	}
	return p
}

type deliveryJSON struct {
	ID         string              `json:"delivery_id"`
	Event      string              `json:"event"`
	Action     string              `json:"action,omitempty"`
	Repository string              `json:"repository,omitempty"`
	Number     int                 `json:"number,omitempty"`
	Status     pull.DeliveryStatus `json:"status"`
	Attempts   int                 `json:"attempts"`
	Error      string              `json:"error,omitempty"`
	Received   *time.Time          `json:"received_at,omitempty"`
	Processed  *time.Time          `json:"processed_at,omitempty"`
}

func (d *Dashboard) deliveryJSON(dl pull.Delivery) deliveryJSON {
	return deliveryJSON{
		ID: clean(dl.ID, 100), Event: clean(dl.Hint.Event, 60), Action: clean(dl.Hint.Action, 60),
		Repository: clean(dl.Hint.Repo.FullName(), 200), Number: dl.Hint.Number(), Status: dl.Status, Attempts: dl.Attempts,
		Error: d.text(dl.Error, 600), Received: moment(dl.ReceivedAt), Processed: moment(dl.ProcessedAt),
	}
}

type actionJSON struct {
	Kind    pull.ActionKind   `json:"kind"`
	Target  string            `json:"target"`
	Status  pull.IntentStatus `json:"status"`
	Attempt int               `json:"attempt"`
	Why     string            `json:"why,omitempty"`
	Error   string            `json:"error,omitempty"`
	Planned *time.Time        `json:"planned_at,omitempty"`
	Done    *time.Time        `json:"done_at,omitempty"`
}

// A commandJSON is what somebody has asked for in a comment.
type commandJSON struct {
	Command string             `json:"command"` // "/label docs"
	By      string             `json:"by"`
	Comment string             `json:"comment,omitempty"` // its address
	Status  pull.CommandStatus `json:"status"`
	Answer  string             `json:"answer,omitempty"` // why it was refused
	Head    pull.SHA           `json:"head,omitempty"`   // the commit that it is about, where it is about one
	Written *time.Time         `json:"written_at,omitempty"`
	Decided *time.Time         `json:"decided_at,omitempty"`
}

type decisionJSON struct {
	At       *time.Time `json:"at,omitempty"`
	Verdict  string     `json:"verdict"`
	Sentence string     `json:"sentence"`
	Head     pull.SHA   `json:"head,omitempty"`
	Changed  string     `json:"changed,omitempty"` // what is different from the decision before, in a sentence
	// Changes are the same for programs.
	Changes json.RawMessage `json:"changes,omitempty"`
}

// apiPulls serves GET /api/pulls: open pull requests, or with ?state=closed those that are not.
func (d *Dashboard) apiPulls(w http.ResponseWriter, r *http.Request) error {
	var open bool
	switch r.URL.Query().Get("state") {
	case "", "open":
		open = true
	case "closed":
	default:
		return &httpError{status: http.StatusBadRequest, text: "state is open or closed."}
	}
	rows, err := d.read.Pulls(r.Context(), open, openShown)
	if err != nil {
		return d.readFailed("pull requests", err)
	}
	out := []pullJSON{}
	for _, row := range rows {
		out = append(out, d.pullJSON(row))
	}
	writeJSON(w, http.StatusOK, map[string]any{"pulls": out})
	return nil
}

// apiPull serves GET /api/pulls/{owner}/{repo}/{number}.
func (d *Dashboard) apiPull(w http.ResponseWriter, r *http.Request) error {
	det, err := d.detail(r)
	if err != nil {
		return err
	}
	out := struct {
		pullJSON
		Tree       json.RawMessage `json:"verdict_tree,omitempty"`
		Why        json.RawMessage `json:"explanation,omitempty"` // the same in words
		Actions    []actionJSON    `json:"actions"`
		Commands   []commandJSON   `json:"commands"`
		History    []decisionJSON  `json:"history"`
		Deliveries []deliveryJSON  `json:"deliveries"`
		Problem    string          `json:"policy_problem,omitempty"`
	}{
		pullJSON: d.pullJSON(det.Row), Problem: d.text(det.Problem, 600),
		Actions: []actionJSON{}, Commands: []commandJSON{}, History: []decisionJSON{}, Deliveries: []deliveryJSON{},
	}
	if tree := []byte(d.o.Secrets.Scrub(string(det.Verdict.Tree))); json.Valid(tree) {
		out.Tree = tree
	}
	var verdict policy.Verdict
	if len(out.Tree) > 0 && json.Unmarshal(out.Tree, &verdict) == nil {
		why, err := json.Marshal(notice.Explain(verdict))
		if err != nil {
			return err
		}
		out.Why = why
	}
	for _, in := range det.Intents {
		out.Actions = append(out.Actions, actionJSON{
			Kind: in.Action.Kind, Target: clean(in.Action.Target, 200), Status: in.Status, Attempt: in.Attempt,
			Why: d.text(in.Action.Why, 600), Error: d.text(in.Error, 600),
			Planned: moment(in.PlannedAt), Done: moment(in.DoneAt),
		})
	}
	for _, c := range det.Commands {
		out.Commands = append(out.Commands, commandJSON{
			Command: d.text(spoken(c), 400), By: clean(c.Writer.Login, 100), Comment: commentURL(det.Row, c), Status: c.Status, Answer: d.answer(c),
			Head: c.HeadSeen, Written: moment(c.CreatedAt), Decided: moment(c.DecidedAt),
		})
	}
	for _, h := range det.History {
		one := decisionJSON{At: moment(h.At), Verdict: h.State, Sentence: d.text(h.Sentence, 600), Head: h.Head, Changed: d.text(notice.Changes(changesOf(h)), 800)}
		if list := []byte(d.o.Secrets.Scrub(string(h.Changes))); json.Valid(list) {
			one.Changes = list
		}
		out.History = append(out.History, one)
	}
	for _, dl := range det.Deliveries {
		out.Deliveries = append(out.Deliveries, d.deliveryJSON(dl))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}
