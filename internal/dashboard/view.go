package dashboard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// clean makes text from outside fit for a page: at most limit characters (… when cut), one line, without control and
// invisible format characters, which could turn the direction of what follows. What joins emoji stays.
func clean(s string, limit int) string {
	if len(s) > 64<<10 { // no more of a megabyte is looked at
		s = s[:64<<10]
	}
	out := make([]rune, 0, min(len(s), limit+1))
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			if len(out) == 0 || out[len(out)-1] == ' ' {
				continue
			}
			r = ' '
		case r == utf8.RuneError, !unicode.IsGraphic(r) && r != '\u200d':
			continue
		}
		if len(out) == limit {
			return string(out[:limit-1]) + "…"
		}
		out = append(out, r)
	}
	return strings.TrimRight(string(out), " ")
}

// text is clean for what may quote an error or somebody's configuration: without secrets, too.
func (d *Dashboard) text(s string, limit int) string { return clean(d.o.Secrets.Scrub(s), limit) }

// safeURL returns u when it leads to the web, else "".
func safeURL(u string) string {
	p, err := url.Parse(u)
	if err != nil || (p.Scheme != "https" && p.Scheme != "http") || p.Host == "" || len(u) > 2000 {
		return ""
	}
	return u
}

// ago says how long ago t was, as people do.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d <= -time.Second:
		return "in " + span(-d)
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d/time.Second))
	}
	return span(d) + " ago"
}

// span says how long d is, in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d/time.Hour))
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}

// number renders a counter with thin groups of three, which columns of figures need.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// A state is how a verdict's state looks and what it means.
type state struct {
	ID    string // of the colour and icon
	Word  string
	Group string // heading of the list
	Hint  string // what the group means
	order int
}

// states says each verdict's state in words. What needs a person comes first.
var states = map[string]state{
	string(policy.Blocked):   {"blocked", "Blocked", "Needs somebody", "A person has to change something first.", 0},
	string(policy.Broken):    {"broken", "Policy broken", "Needs somebody", "A person has to change something first.", 0},
	string(policy.Waiting):   {"waiting", "Waiting", "Waiting", "Nothing to do: what is missing is under way or expected.", 1},
	string(policy.Ready):     {"ready", "Merging", "Merging now", "Everything is there.", 2},
	string(policy.DryRun):    {"dryrun", "Dry run", "Dry run", "Decided and explained; nothing is written.", 3},
	string(policy.Observing): {"observing", "Observed", "Only observed", "No policy file, so nothing is written.", 4},
	string(policy.Off):       {"observing", "Kept off", "Kept off", "A label keeps the service off these.", 4},
	string(policy.Merged):    {"merged", "Merged", "Merged", "", 6},
	string(policy.Closed):    {"closed", "Closed", "Closed", "", 7},
}

var unseen = state{"new", "New", "Not looked at yet", "The first look is due.", 5}

func stateOf(r pull.Row) state {
	switch r.State {
	case pull.Merged:
		return states[string(policy.Merged)]
	case pull.Closed:
		return states[string(policy.Closed)]
	}
	return stateNamed(r.Verdict)
}

func stateNamed(verdict string) state {
	if s, ok := states[verdict]; ok {
		return s
	}
	return unseen
}

// A pullView is a pull request in a list.
type pullView struct {
	ID       string // unique on the page, for the script
	Rev      string // changes when something to look at changes
	State    state
	Repo     string
	Number   int
	Title    string
	Sentence string
	Path     string // of its page here
	GitHub   string // "" when the address is not one
	Author   string
	Head     string
	HeadRef  string
	Base     string
	Draft    bool
	Labels   []labelView
	Decided  stamp
	NextLook stamp
	Updated  stamp
}

type labelView struct {
	Name string
	Hue  int // one of twelve colours, by the name
}

// A stamp is a moment and how far it is away. The zero stamp is shown as nothing.
type stamp struct {
	At  time.Time
	Ago string
}

// ISO is for machines, and for people who point at it.
func (s stamp) ISO() string { return s.At.UTC().Format("2006-01-02T15:04:05Z") }

// Known reports whether there is a moment.
func (s stamp) Known() bool { return !s.At.IsZero() }

func at(t, now time.Time) stamp {
	if t.IsZero() {
		return stamp{}
	}
	return stamp{t, ago(t, now)}
}

// githubName is what GitHub lets people call accounts and repositories; anything else is somebody's attempt at something.
var githubName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// pullPath is the address of a pull request's page, "" when there can be none.
func pullPath(owner, name string, n int) string {
	if !githubName.MatchString(owner) || !githubName.MatchString(name) || n <= 0 {
		return ""
	}
	return "/pulls/" + url.PathEscape(owner) + "/" + url.PathEscape(name) + "/" + strconv.Itoa(n)
}

func (d *Dashboard) pullView(r pull.Row, now time.Time) pullView {
	v := pullView{
		ID: "p" + strconv.FormatInt(r.Key.RepoID, 10) + "-" + strconv.Itoa(r.Number), State: stateOf(r),
		Repo: clean(r.Repo.FullName(), 120), Number: r.Number, Title: cmp.Or(clean(r.Title, 160), "(no title)"),
		Sentence: d.text(r.Sentence, 400), Path: pullPath(r.Repo.Owner, r.Repo.Name, r.Number),
		GitHub: safeURL(r.URL), Author: clean(r.Author, 60), Head: r.Head.Short(), HeadRef: clean(r.HeadRef, 80),
		Base: clean(r.Base, 60), Draft: r.Draft,
		Decided: at(r.DecidedAt, now), Updated: at(r.UpdatedAt, now),
	}
	if r.NextLook.After(now) {
		v.NextLook = at(r.NextLook, now)
	}
	for _, l := range r.Labels[:min(len(r.Labels), 30)] {
		v.Labels = append(v.Labels, labelView{clean(l, 50), int(hash(l) % 12)})
	}
	v.Rev = revision(v.State.ID, v.Title, v.Sentence, v.Head, v.Draft, r.Labels)
	return v
}

func hash(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // never fails
	return h.Sum32()
}

func revision(parts ...any) string { return strconv.FormatUint(uint64(hash(fmt.Sprint(parts...))), 36) }

// A pullGroup is a heading with its pull requests.
type pullGroup struct {
	Name  string
	Hint  string
	ID    string
	Pulls []pullView
}

// grouped sorts pull requests under headings, what needs a person first, the newest decision first within.
func grouped(pulls []pullView) []pullGroup {
	slices.SortStableFunc(pulls, func(a, b pullView) int {
		return cmp.Or(cmp.Compare(a.State.order, b.State.order), b.Decided.At.Compare(a.Decided.At), cmp.Compare(b.Number, a.Number))
	})
	var out []pullGroup
	for _, p := range pulls {
		if n := len(out); n == 0 || out[n-1].Name != p.State.Group {
			out = append(out, pullGroup{Name: p.State.Group, Hint: p.State.Hint, ID: "g-" + strconv.Itoa(p.State.order)})
		}
		g := &out[len(out)-1]
		g.Pulls = append(g.Pulls, p)
	}
	return out
}

// A deliveryView is a webhook in a list.
type deliveryView struct {
	ID     string
	Rev    string
	Guid   string
	Event  string
	Action string
	Repo   string
	Number int
	Path   string // of the pull request's page, "" without one
	Sender string
	Status pull.DeliveryStatus
	Word   string // the status in a word for people
	Error  string
	Times  int // how often the same id came
	At     stamp
}

// statusWords say a delivery's status in the words of the page.
var statusWords = map[pull.DeliveryStatus]string{
	pull.Received: "received", pull.Queued: "in line", pull.Processed: "done", pull.Dead: "dead", pull.Discarded: "discarded",
}

func (d *Dashboard) deliveryView(dl pull.Delivery, now time.Time) deliveryView {
	v := deliveryView{
		ID: "d" + strconv.FormatInt(dl.Seq, 10), Guid: clean(dl.ID, 64), Event: clean(dl.Hint.Event, 40),
		Action: clean(dl.Hint.Action, 40), Repo: clean(dl.Hint.Repo.FullName(), 120), Number: dl.Hint.Number(),
		Sender: clean(dl.Hint.Sender.Login, 60), Status: dl.Status, Error: d.text(dl.Error, 300),
		Times: dl.SeenCount, At: at(dl.ReceivedAt, now),
	}
	v.Word = cmp.Or(statusWords[dl.Status], clean(string(dl.Status), 20))
	v.Path = pullPath(dl.Hint.Repo.Owner, dl.Hint.Repo.Name, v.Number)
	v.Rev = revision(v.Status, v.Times, v.Error)
	return v
}

// A workView is a key that waits, or is being worked on.
type workView struct {
	ID      string
	Repo    string
	Number  int
	Title   string
	Path    string
	Running bool
	Text    string // why it waits
	Since   stamp
	Due     stamp
}

func (d *Dashboard) workView(w Work, now time.Time) workView {
	v := workView{
		ID: "w" + strconv.FormatInt(w.Key.RepoID, 10) + "-" + strconv.Itoa(w.Key.Number), Repo: clean(w.Repo.FullName(), 120),
		Number: w.Key.Number, Title: clean(w.Title, 120), Running: w.Running, Since: at(w.Since, now),
	}
	v.Path = pullPath(w.Repo.Owner, w.Repo.Name, w.Key.Number)
	due := w.DueAt
	if w.NotBefore.After(due) {
		due = w.NotBefore
	}
	v.Due = at(due, now)
	switch {
	case w.Running:
		v.Text = "being looked at"
	case w.Dead:
		v.Text = fmt.Sprintf("failed %s; waits for a person", times(w.Fails))
	case w.Parked.After(now):
		v.Text = "GitHub's limit is reached; goes on " + ago(w.Parked, now)
	case w.Fails > 0:
		v.Text = fmt.Sprintf("failed %s; next try %s", times(w.Fails), ago(due, now))
	case due.After(now.Add(time.Second)):
		v.Text = "next look " + ago(due, now)
	default:
		v.Text = "waits its turn"
	}
	return v
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return strconv.Itoa(n) + " times"
}

// An actionView is a row of the ledger.
type actionView struct {
	Verb   string
	Target string
	Why    string
	Status pull.IntentStatus
	Word   string
	Tries  int
	Error  string
	At     stamp
}

// verbs are the words of every kind of action; a test holds that each has some.
var verbs = map[pull.ActionKind]string{
	pull.AddLabel: "Add label", pull.RemoveLabel: "Remove label", pull.AskReview: "Ask to review", pull.UnaskReview: "No longer ask",
	pull.Assign: "Assign", pull.Unassign: "Unassign", pull.Retitle: "Retitle", pull.MarkReady: "Mark ready", pull.MarkDraft: "Make a draft",
	pull.Approve: "Approve", pull.Unapprove: "Take approval back", pull.SetReport: "Report", pull.Rerun: "Run checks again",
	pull.UpdateBranch: "Bring up to date", pull.Enqueue: "Put into GitHub's queue", pull.Dequeue: "Take out of GitHub's queue", pull.Merge: "Merge",
	pull.Close: "Close", pull.Reopen: "Reopen", pull.Retarget: "Change the base of", pull.DeleteBranch: "Delete branch",
	pull.WriteComment: "Comment", pull.DropComment: "Delete a spare comment", pull.React: "React",
}

var intentWords = map[pull.IntentStatus]string{
	pull.Planned: "planned", pull.Executing: "sent, outcome unknown", pull.Done: "done", pull.Failed: "refused",
	pull.Superseded: "no longer wanted",
}

func (d *Dashboard) actionView(in pull.Intent, now time.Time) actionView {
	a := in.Action
	v := actionView{
		Verb: cmp.Or(verbs[a.Kind], clean(string(a.Kind), 40)), Target: clean(a.Target, 80), Why: d.text(a.Why, 300),
		Status: in.Status, Word: cmp.Or(intentWords[in.Status], clean(string(in.Status), 20)), Tries: in.Attempt,
		Error: d.text(in.Error, 300), At: at(latest(in.DoneAt, in.StartedAt, in.PlannedAt), now),
	}
	switch a.Kind {
	case pull.AddLabel, pull.RemoveLabel, pull.AskReview, pull.UnaskReview, pull.Assign, pull.Unassign, pull.DeleteBranch:
	case pull.SetReport:
		name, sha, other := strings.Cut(v.Target, "@")
		if v.Target = pull.SHA(name).Short(); other {
			v.Target = strings.TrimPrefix(name, pull.ReportName+"/") + " " + pull.SHA(sha).Short()
		}
	case pull.Retarget:
		v.Target = "#" + strings.TrimPrefix(v.Target, "#") + " to " + clean(a.Branch, 80)
	case pull.Retitle:
		v.Target = clean(a.Title, 80)
	case pull.React:
		v.Target = v.Target[strings.LastIndexByte(v.Target, ':')+1:]
	default:
		v.Target = a.SHA.Short()
	}
	if a.Kind == pull.Merge && a.Method != "" {
		v.Target += " by " + clean(string(a.Method), 10)
	}
	if a.Kind == pull.SetReport && a.Report != nil && v.Why == "" {
		v.Why = d.text(a.Report.Title, 300)
	}
	return v
}

// A commandView is what somebody has asked for in a comment, and the answer.
type commandView struct {
	Says   string
	By     string
	URL    string // of the comment
	Status pull.CommandStatus
	Answer string
	At     stamp
}

func (d *Dashboard) commandView(row pull.Row, c pull.Command, now time.Time) commandView {
	return commandView{
		Says: d.text(spoken(c), 120), By: clean(c.Writer.Login, 60), URL: commentURL(row, c), Status: c.Status, Answer: d.answer(c),
		At: at(c.CreatedAt, now),
	}
}

// spoken is a command as it was given.
func spoken(c pull.Command) string { return strings.TrimSpace("/" + c.Verb + " " + c.Args) }

// answer says why a command was not carried out; "" if it was, or will be.
func (d *Dashboard) answer(c pull.Command) string {
	var r policy.Reason
	switch {
	case c.Status == pull.CommandIgnored:
		return "Not read: it was too old when it was first seen, or a bot's that the policy does not name."
	case c.Status != pull.CommandRefused || json.Unmarshal([]byte(c.Reason), &r) != nil:
		return ""
	}
	return d.text(notice.Reason(r), 600)
}

// commentURL is where a comment stands on GitHub.
func commentURL(row pull.Row, c pull.Command) string {
	base := safeURL(row.URL)
	if base == "" {
		return ""
	}
	return base + map[pull.CommentSource]string{
		pull.Conversation: "#issuecomment-", pull.ReviewBody: "#pullrequestreview-", pull.ReviewLine: "#discussion_r",
	}[c.Source] + strconv.FormatInt(c.CommentID, 10)
}

// latest returns the first known of the moments.
func latest(ts ...time.Time) time.Time {
	for _, t := range ts {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
