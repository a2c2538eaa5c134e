package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/github"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/reconcile"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) explainCommand() *cobra.Command {
	var live, history, asJSON bool
	cmd := &cobra.Command{
		Use:   "explain OWNER/REPO#NUMBER",
		Short: "Tells why a pull request is where it is",
		Long: `Prints the decision about a pull request: one sentence, then each rule of the policy, each condition and the value that
it saw. It is the newest decision of the service, from its database; with --live, or when the database knows none,
GitHub is asked and the decision made anew. Nothing is written, neither there nor here.

With --history, how it came to that: what changed from one decision to the next, as far back as decisions are kept.
The address of the pull request's page does as well.`,
		Example: `  github-pr-manager explain octo/app#7
  github-pr-manager explain --live https://github.com/octo/app/pull/7
  github-pr-manager explain --history octo/app#7
  github-pr-manager explain --json octo/app#7 | jq -r .sentence`,
		Args: arguments(1, 1, "one pull request, such as octo/app#7"),
		RunE: func(cmd *cobra.Command, args []string) error {
			owner, name, number, err := reference(args[0])
			if err != nil {
				return err
			}
			cfg, err := w.config()
			if err != nil {
				return err
			}
			if history {
				if live {
					return usagef("--history is of the service's own decisions, from its database: leave --live out")
				}
				return w.history(cmd.Context(), cfg, owner, name, number, asJSON)
			}
			x, err := w.explanation(cmd.Context(), cfg, owner, name, number, live)
			if err != nil {
				return err
			}
			if asJSON {
				return w.json(x)
			}
			return w.tell(x)
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask GitHub now instead of the database")
	cmd.Flags().BoolVar(&history, "history", false, "tell what changed from one decision to the next")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// A step is one decision of a history.
type step struct {
	At       time.Time       `json:"at"`
	State    string          `json:"state"`
	Head     pull.SHA        `json:"head,omitempty"`
	Changed  string          `json:"changed,omitempty"` // in a sentence
	Changes  []policy.Change `json:"changes,omitempty"`
	Sentence string          `json:"sentence"`
}

// history prints what changed from one decision to the next, oldest first.
func (w *world) history(ctx context.Context, cfg app.Config, owner, name string, number int, asJSON bool) error {
	d, err := w.known(ctx, cfg, owner, name, number)
	if err != nil {
		return err
	}
	if len(d.History) == 0 {
		return fmt.Errorf("the database knows no decision about %s/%s#%d", owner, name, number)
	}
	steps := []step{}
	for _, h := range slices.Backward(d.History) {
		s := step{At: h.At, State: h.State, Head: h.Head, Sentence: h.Sentence}
		if json.Unmarshal(h.Changes, &s.Changes) == nil { // of another version: the sentence has to do
			s.Changed = notice.Changes(s.Changes)
		}
		steps = append(steps, s)
	}
	if asJSON {
		return w.json(map[string]any{"repository": d.Row.Repo.FullName(), "number": d.Row.Number, "history": steps})
	}
	w.printf("%s#%d  %s\n\n", d.Row.Repo.FullName(), d.Row.Number, telemetry.Printable(d.Row.Title))
	for _, s := range steps {
		text := s.Changed
		if text == "" {
			text = s.Sentence
		}
		w.printf("%s  %-8s  %s  %s\n", s.At.UTC().Format(time.DateTime), s.State, s.Head.Short(), telemetry.Printable(text))
	}
	return nil
}

// An explanation is a decision about one pull request, from wherever it was had.
type explanation struct {
	Repository string          `json:"repository"`
	Number     int             `json:"number"`
	Title      string          `json:"title"`
	URL        string          `json:"url"`
	Head       pull.SHA        `json:"head"`
	State      string          `json:"state"`
	Sentence   string          `json:"sentence"`
	Verdict    json.RawMessage `json:"verdict"`
	// Explanation is the verdict in words; nil where another version has kept it.
	Explanation *notice.Explanation `json:"explanation,omitempty"`
	DecidedAt   time.Time           `json:"decided_at"`
	Source      string              `json:"source"`
}

// Where an explanation is from.
const (
	fromDatabase = "database"
	fromGitHub   = "github"
	fromPass     = "pass"
)

var (
	referenceShape = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_-]*)/([A-Za-z0-9._-]+)#([1-9][0-9]{0,8})$`)
	pathShape      = regexp.MustCompile(`^/([A-Za-z0-9][A-Za-z0-9_-]*)/([A-Za-z0-9._-]+)/pull/([1-9][0-9]{0,8})(/.*)?$`)
)

// reference reads OWNER/REPO#NUMBER, or the address of a pull request's page.
func reference(s string) (owner, name string, number int, err error) {
	m := referenceShape.FindStringSubmatch(s)
	if u, uerr := url.Parse(s); m == nil && uerr == nil && (u.Scheme == "https" || u.Scheme == "http") {
		m = pathShape.FindStringSubmatch(u.Path)
	}
	if m == nil {
		return "", "", 0, usagef("%q is not a pull request: want OWNER/REPO#NUMBER, or the address of its page", s)
	}
	number, err = strconv.Atoi(m[3])
	return m[1], m[2], number, err
}

// explanation finds the newest decision, or makes one.
func (w *world) explanation(ctx context.Context, cfg app.Config, owner, name string, number int, live bool) (explanation, error) {
	what := fmt.Sprintf("%s/%s#%d", owner, name, number)
	known, err := w.known(ctx, cfg, owner, name, number)
	if err != nil {
		return explanation{}, err
	}
	if !live && len(known.Verdict.Tree) > 0 {
		return explained(known, fromDatabase), nil
	}
	if cfg.AppID == 0 && cfg.Secrets.Token() == "" {
		if live {
			return explanation{}, usagef("--live needs credentials to ask GitHub with: set GITHUB_APP_ID and GITHUB_PRIVATE_KEY_FILE, or GITHUB_TOKEN")
		}
		return explanation{}, fmt.Errorf("the database knows no decision about %s, and there are no credentials to ask GitHub with: set GITHUB_APP_ID and GITHUB_PRIVATE_KEY_FILE, or GITHUB_TOKEN", what)
	}
	repo := pull.Repo{Owner: owner, Name: name}
	if known.Row.Repo.ID != 0 {
		repo = known.Row.Repo
	}
	return w.look(ctx, cfg, repo, number, pull.History{
		Memory: known.Memory, LastValid: known.LastValid, Problem: known.Problem, DefaultsSeen: known.DefaultsSeen,
	})
}

// explained is the newest decision of the service.
func explained(d store.PullDetail, source string) explanation {
	x := explanation{
		Repository: d.Row.Repo.FullName(), Number: d.Row.Number, Title: d.Row.Title, URL: d.Row.URL, Head: d.Row.Head,
		State: d.Verdict.State, Sentence: d.Verdict.Sentence, Verdict: d.Verdict.Tree, DecidedAt: d.Row.DecidedAt, Source: source,
	}
	var v policy.Verdict
	if json.Unmarshal(d.Verdict.Tree, &v) == nil {
		words := notice.Explain(v)
		x.Explanation = &words
	}
	return x
}

// known is what the database has about a pull request: nothing, where it has never heard of it or is not there itself.
func (w *world) known(ctx context.Context, cfg app.Config, owner, name string, number int) (store.PullDetail, error) {
	s, err := w.open(ctx, cfg)
	if errors.Is(err, errNoDatabase) {
		return store.PullDetail{}, nil
	}
	if err != nil {
		return store.PullDetail{}, err
	}
	defer s.Close()
	have, _, err := s.SchemaVersion(ctx)
	if err != nil || have == 0 {
		return store.PullDetail{}, err
	}
	d, err := s.Pull(ctx, owner, name, number)
	if errors.Is(err, store.ErrNotFound) {
		return store.PullDetail{}, nil
	}
	return d, err
}

// gitHub is a client of GitHub, and the metrics that nobody reads.
func gitHub(cfg app.Config) (*github.Client, *telemetry.Metrics, error) {
	build := ThisBuild()
	metrics := telemetry.NewMetrics(build.Version, build.Commit)
	client, err := github.New(github.Options{
		API: cfg.GitHubAPI, Token: cfg.Secrets.Token, AppID: cfg.AppID, AppKey: cfg.Secrets.AppKey,
		Metrics: metrics, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, nil, &usageError{err}
	}
	return client, metrics, nil
}

// look asks GitHub and decides as a pass would, and writes nothing.
func (w *world) look(ctx context.Context, cfg app.Config, repo pull.Repo, number int, known pull.History) (explanation, error) {
	client, metrics, err := gitHub(cfg)
	if err != nil {
		return explanation{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	scope, err := client.InstallationFor(ctx, repo.Owner, repo.Name)
	if err != nil {
		return explanation{}, err
	}
	r := reconcile.New(client, clockOnly{}, reconcile.Options{Metrics: metrics, Log: slog.New(slog.DiscardHandler)})
	found, err := r.Look(ctx, scope, repo, number, known)
	if err != nil {
		return explanation{}, err
	}
	tree, err := json.Marshal(found.Verdict)
	if err != nil {
		return explanation{}, fmt.Errorf("write the decision down: %w", err)
	}
	snap := found.Snapshot
	words := notice.Explain(found.Verdict)
	return explanation{
		Explanation: &words,
		Repository:  snap.Repo.FullName(), Number: snap.Number, Title: snap.Title, URL: snap.URL, Head: snap.Head.SHA,
		State: string(found.Verdict.State), Sentence: notice.Sentence(found.Verdict), Verdict: tree, DecidedAt: snap.ObservedAt, Source: fromGitHub,
	}, nil
}

// clockOnly is the store of a look: what is known has been read before, and a look asks for the time and nothing else.
type clockOnly struct{ reconcile.Store }

func (clockOnly) Now() time.Time { return time.Now().UTC() }

// tell prints an explanation for people.
func (w *world) tell(x explanation) error {
	var v policy.Verdict
	if err := json.Unmarshal(x.Verdict, &v); err != nil {
		return fmt.Errorf("the decision about %s#%d is kept in a form that this version can't read: explain it with --live", x.Repository, x.Number)
	}
	from := map[string]string{fromDatabase: "from the database; --live asks GitHub", fromGitHub: "asked GitHub", fromPass: "by this look"}[x.Source]
	w.printf("%s#%d  %s\n%s\n\n%s\n\nDecided %s at %s (%s).\n",
		x.Repository, x.Number, telemetry.Printable(x.Title), telemetry.Printable(x.URL), printable(notice.Tree(v)),
		x.DecidedAt.UTC().Format(time.RFC3339), x.Head.Short(), from)
	return nil
}

// printable takes what moves a terminal out of text of several lines.
func printable(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = telemetry.Printable(line)
	}
	return strings.Join(lines, "\n")
}
