package dashboard

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"number": number,
	"asset":  func(name string) string { return "/assets/" + name + "?v=" + assetVersion },
}).ParseFS(templateFiles, "templates/*.html"))

// assetVersion names the content of the assets, so that a new build is never shown with an old style sheet.
var assetVersion = func() string {
	h := fnv.New64a()
	err := fs.WalkDir(assetFiles, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := assetFiles.ReadFile(path)
		_, _ = h.Write(b)
		return err
	})
	if err != nil {
		panic("dashboard: embedded files can't be read: " + err.Error())
	}
	return strconv.FormatUint(h.Sum64(), 36)
}()

// A frame is what every page has around its content.
type frame struct {
	Title   string
	Version string
	Demo    bool
	Watch   bool // the reader sees only what is observed
	SignOut bool
	Live    bool // the script follows the event stream
	Rev     string
}

func (d *Dashboard) frame(_ *http.Request, title string) frame {
	return frame{Title: title, Version: d.o.Version, Demo: d.o.Demo, Watch: d.o.ReadOnly, SignOut: d.o.Token() != ""}
}

type errorPage struct {
	frame
	Status int
	Text   string
	Local  bool
}

type signInPage struct {
	frame
	Error string
	Next  string
}

func (d *Dashboard) signInPage(w http.ResponseWriter, r *http.Request, status int, text, next string) error {
	f := d.frame(r, "Sign in")
	f.SignOut = false
	return d.render(w, status, "signin.html", signInPage{f, text, next})
}

// render makes the whole page before it sends the first byte, so that an error can still become another page.
func (d *Dashboard) render(w http.ResponseWriter, status int, name string, data any) error {
	b, err := page(name, data)
	if err != nil {
		return err
	}
	sendPage(w, status, b)
	return nil
}

func page(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

func sendPage(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may be gone
}

func (d *Dashboard) asset(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("file")
	b, err := assetFiles.ReadFile("assets/" + name)
	if err != nil || strings.Contains(name, "/") {
		return errNoPage
	}
	if r.URL.Query().Get("v") == assetVersion {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
	return nil
}

func (d *Dashboard) favicon(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, "/assets/icon.svg", http.StatusFound)
	return nil
}

// How much the front page shows.
const (
	openShown     = 200
	mergedShown   = 12
	deliveryShown = 16
	dueShown      = 12
)

// An overview is what the front page, the JSON interface and the stream's snapshot are made from.
type overview struct {
	totals     Totals
	open       []pull.Row
	closed     []pull.Row
	deliveries []pull.Delivery
	due        []Work
}

func (d *Dashboard) loadOverview(ctx context.Context) (*overview, error) {
	var o overview
	var err error
	if o.totals, err = d.totals.get(ctx, 0); err != nil {
		return nil, fmt.Errorf("totals: %w", err)
	}
	if o.open, err = d.read.Pulls(ctx, true, openShown); err != nil {
		return nil, fmt.Errorf("open pull requests: %w", err)
	}
	if o.closed, err = d.read.Pulls(ctx, false, 3*mergedShown); err != nil {
		return nil, fmt.Errorf("closed pull requests: %w", err)
	}
	if o.deliveries, err = d.read.Deliveries(ctx, deliveryShown); err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	if o.due, err = d.read.Due(ctx, dueShown); err != nil {
		return nil, fmt.Errorf("due keys: %w", err)
	}
	return &o, nil
}

// A counter is a figure at the top of the front page.
type counter struct {
	ID    string
	Name  string
	Value int64
	Tone  string // "", "warn" or "bad"
	Hint  string
}

type frontPage struct {
	frame
	Counters   []counter
	Paused     bool
	PausedAt   stamp
	PausedBy   string
	Parked     stamp
	Groups     []pullGroup
	Open       int
	More       bool
	Merged     []pullView
	Deliveries []deliveryView
	Due        []workView
	DueMore    int64
	Oldest     stamp
	Hook       string // where GitHub should send webhooks
	Empty      bool
}

func (d *Dashboard) front(w http.ResponseWriter, _ *http.Request) error {
	b, err := d.frontHTML.get(context.Background(), 0)
	if err != nil {
		return d.readFailed("front page", err)
	}
	sendPage(w, http.StatusOK, b)
	return nil
}

// loadFront renders the front page. It is the same for everybody, so that a thousand browsers that hear of one
// change cost one rendering.
func (d *Dashboard) loadFront(ctx context.Context) ([]byte, error) {
	o, err := d.overview.get(ctx, 0)
	if err != nil {
		return nil, err
	}
	return page("front.html", d.frontPage(o, time.Now()))
}

func (d *Dashboard) frontPage(o *overview, now time.Time) frontPage {
	p := frontPage{frame: d.frame(nil, "Pull requests"), Counters: counters(o.totals), Paused: o.totals.Paused}
	p.PausedAt, p.PausedBy = at(o.totals.PausedSince, now), clean(o.totals.PausedBy, 100)
	p.Live = true
	p.Hook = strings.TrimSuffix(d.o.PublicURL, "/") + "/webhook"
	if o.totals.Parked.After(now) {
		p.Parked = at(o.totals.Parked, now)
	}
	p.Oldest = at(o.totals.OldestQueued, now)
	var open []pullView
	for _, r := range o.open {
		open = append(open, d.pullView(r, now))
	}
	p.Groups, p.Open, p.More = grouped(open), len(open), len(open) == openShown
	for _, r := range o.closed {
		if r.State == pull.Merged && len(p.Merged) < mergedShown {
			p.Merged = append(p.Merged, d.pullView(r, now))
		}
	}
	for _, dl := range o.deliveries {
		p.Deliveries = append(p.Deliveries, d.deliveryView(dl, now))
	}
	for _, k := range o.due {
		p.Due = append(p.Due, d.workView(k, now))
	}
	p.DueMore = max(0, o.totals.Due+o.totals.InFlight-int64(len(p.Due)))
	p.Empty = p.Open == 0 && len(p.Merged) == 0 && len(p.Deliveries) == 0
	return p
}

func counters(t Totals) []counter {
	tone := func(n int64, tone string) string {
		if n > 0 {
			return tone
		}
		return ""
	}
	waiting := ""
	if t.QueueLength > 100 { // the operators' alert
		waiting = "warn"
	}
	return []counter{
		{"received", "received", t.Received, "", "deliveries kept"},
		{"processed", "processed", t.Processed, "", "finished attempts at a delivery"},
		{"waiting", "waiting", t.QueueLength, waiting, "accepted and not yet processed"},
		{"inflight", "in flight", t.InFlight, "", "pull requests being looked at now"},
		{"actions", "actions", t.Actions, "", "writes to GitHub that were done"},
		{"duplicates", "duplicates", t.Duplicates, "", "deliveries that had come before"},
		{"errors", "errors", t.Errors, tone(t.Errors, "warn"), "failed attempts"},
		{"dead", "dead", t.Dead, tone(t.Dead, "bad"), "failed too often; waiting for a person"},
	}
}

type pullPage struct {
	frame
	Pull       pullView
	Summary    verdictView
	Problem    string
	Actions    []actionView
	Work       *workView
	Commands   []commandView
	History    []historyView
	Deliveries []deliveryView
}

type historyView struct {
	State    state
	Changes  string // what was different from the decision before; "" where that is not known
	Sentence string
	Head     string
	At       stamp
}

func (d *Dashboard) pullPage(w http.ResponseWriter, r *http.Request) error {
	det, err := d.detail(r)
	if err != nil {
		return err
	}
	now := time.Now()
	row := det.Row
	p := pullPage{
		frame: d.frame(r, ""), Pull: d.pullView(row, now), Summary: d.verdictView(det.Verdict),
		Problem: d.text(det.Problem, 600),
	}
	p.Live = true
	p.Title = p.Pull.Repo + "#" + strconv.Itoa(row.Number) + " " + p.Pull.Title
	for _, in := range det.Intents {
		p.Actions = append(p.Actions, d.actionView(in, now))
	}
	// A look that is merely planned stands beside the commit; what is under way, overdue or in trouble is said aloud.
	if w := det.Work; w != nil && (w.Running || w.Dead || w.Fails > 0 || w.Parked.After(now) || !w.DueAt.IsZero() && !w.DueAt.After(now)) {
		v := d.workView(*w, now)
		v.Text = strings.ToUpper(v.Text[:1]) + v.Text[1:] + "."
		p.Work = &v
	}
	for _, c := range det.Commands {
		p.Commands = append(p.Commands, d.commandView(row, c, now))
	}
	for _, h := range det.History {
		p.History = append(p.History, historyView{stateNamed(h.State), d.text(notice.Changes(changesOf(h)), 800), d.text(h.Sentence, 400), h.Head.Short(), at(h.At, now)})
	}
	for _, dl := range det.Deliveries {
		p.Deliveries = append(p.Deliveries, d.deliveryView(dl, now))
	}
	return d.render(w, http.StatusOK, "pull.html", p)
}

// detail reads the pull request that a request's path names.
func (d *Dashboard) detail(r *http.Request) (Detail, error) {
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || n <= 0 {
		return Detail{}, errNoPage
	}
	det, err := d.read.Pull(r.Context(), r.PathValue("owner"), r.PathValue("repo"), n)
	switch {
	case errors.Is(err, ErrNotFound):
		return Detail{}, errNoPull
	case err != nil:
		return Detail{}, d.readFailed("pull request", err)
	}
	return det, nil
}
