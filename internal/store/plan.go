package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// ledgerMost is how many rows of a key's ledger a pass is given, newest first.
const ledgerMost = 1000

// History returns what is known of a claimed key when its pass begins.
func (s *Store) History(ctx context.Context, c pull.Claim) (pull.History, error) {
	h, err := s.history(ctx, c.Key)
	if err != nil {
		return pull.History{}, fmt.Errorf("history: %w", err)
	}
	return h, nil
}

func (s *Store) history(ctx context.Context, key pull.Key) (h pull.History, err error) {
	err = s.query(ctx, readMemory, []any{key.String()}, func(scan scanner) error {
		var memory, tree string
		if err := scan(&memory, &h.Verdict.Digest, &tree); err != nil {
			return err
		}
		if tree != "" {
			h.Verdict.Tree = []byte(tree)
		}
		return json.Unmarshal([]byte(memory), &h.Memory)
	})
	if err != nil {
		return h, err
	}
	if h.Memory.Intents, err = s.intents(ctx, key, ledgerMost); err != nil {
		return h, err
	}
	if h.Memory.Heads, err = s.heads(ctx, key); err != nil {
		return h, err
	}
	if h.Memory.Commands, err = s.commands(ctx, key); err != nil {
		return h, err
	}
	err = s.query(ctx, readPolicy, []any{key.RepoID}, func(scan scanner) error {
		var oid string
		err := scan(&h.LastValid.Path, &oid, &h.LastValid.Text, &h.LastValid.Found, &h.Problem)
		h.LastValid.OID = pull.SHA(oid)
		return err
	})
	if err != nil {
		return h, err
	}
	h.DefaultsSeen, err = s.defaultsSeen(ctx, key.RepoID)
	return h, err
}

func (s *Store) intents(ctx context.Context, key pull.Key, limit int) ([]pull.Intent, error) {
	var out []pull.Intent
	err := s.query(ctx, readLedger, []any{key.String(), int64(limit)}, func(scan scanner) error {
		in, err := scanIntent(key, scan)
		out = append(out, in)
		return err
	})
	return out, err
}

// scanIntent reads ledgerColumns.
func scanIntent(key pull.Key, scan scanner) (pull.Intent, error) {
	in := pull.Intent{Key: key}
	var kind, target, request, status string
	var planned int64
	var started, done sql.NullInt64
	err := scan(&kind, &target, &in.Attempt, &request, &status, &in.Failures, &in.Passing, &in.GitHubID, &in.Error, &planned, &started, &done)
	if err != nil {
		return in, err
	}
	if err := json.Unmarshal([]byte(request), &in.Action); err != nil {
		return in, fmt.Errorf("the request of %s %s: %w", kind, target, err)
	}
	in.Action.Kind, in.Action.Target = pull.ActionKind(kind), target
	in.Status = pull.IntentStatus(status)
	in.PlannedAt, in.StartedAt, in.DoneAt = time.UnixMicro(planned).UTC(), moment(started), moment(done)
	return in, nil
}

// shown is what people see of a pull request: when it differs, the change feed says so.
type shown struct {
	state, title, head, base, labels, verdict, sentence, digest string
	draft                                                       int64
}

// Plan writes down, in one transaction and before anything is done, what a pass has seen, decided and wants. What is
// wanted becomes a row of the ledger, or re-opens its row; what was planned and is no longer wanted is superseded.
// It returns [pull.ErrLost], and writes nothing, when somebody else has the key.
func (s *Store) Plan(ctx context.Context, c pull.Claim, p pull.Plan) error {
	labels, err := json.Marshal(append([]string{}, p.Pull.Labels...))
	if err != nil {
		return fmt.Errorf("plan: encode labels: %w", err)
	}
	memory, err := json.Marshal(p.Memory)
	if err != nil {
		return fmt.Errorf("plan: encode memory: %w", err)
	}
	requests := make([]string, len(p.Actions))
	for i, a := range p.Actions {
		b, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("plan: encode %s %s: %w", a.Kind, a.Target, err)
		}
		requests[i] = string(b)
	}
	return s.write(ctx, "plan", func(t *tx) error {
		if _, err := t.hold(c); err != nil {
			return err
		}
		for _, in := range p.Settled {
			if err := t.endIntent(c.Key, in); err != nil {
				return err
			}
		}
		if err := t.want(c, p.Actions, requests); err != nil {
			return err
		}
		differs, err := t.setPull(c, p, string(labels), string(memory))
		if err != nil {
			return err
		}
		if p.Sight != "" {
			if _, err := t.exec(sightByPass, c.Key.String(), c.Key.RepoID, int64(c.Key.Number), clean(p.Sight), t.now.UnixMicro()); err != nil {
				return err
			}
		}
		if err := t.setHeads(map[pull.Key]heading{c.Key: {p.Pull.Head, p.Pull.State != pull.Open}}); err != nil {
			return err
		}
		if p.Head != nil {
			if err := t.addHeads([]headRow{{c.Key.String(), p.Head.At.UnixMicro(), clean(string(p.Head.SHA))}}); err != nil {
				return err
			}
		}
		if err := t.putCommands(c.Key, p.Commands); err != nil {
			return err
		}
		if r := p.Pull.Repo; r.Owner != "" && r.Name != "" {
			if _, err := t.exec(renameRepository, c.Key.RepoID, clean(r.Owner), clean(r.Name), t.now.UnixMicro()); err != nil {
				return err
			}
		}
		if err := t.setPolicy(c.Key, p.Policy, p.Problem); err != nil {
			return err
		}
		if p.DefaultsSeen {
			if err := t.seeDefaults(p.Pull.Repo.Owner); err != nil {
				return err
			}
		}
		if differs || len(p.Actions) > 0 || len(p.Commands) > 0 {
			t.announce(pull.ChangePull, c.Key.String(), p.Verdict.Sentence)
		}
		return nil
	})
}

// want opens the rows of what is wanted, and supersedes what was planned otherwise.
func (t *tx) want(c pull.Claim, actions []pull.Action, requests []string) error {
	type row struct{ kind, target string }
	wanted := make(map[row]bool, len(actions))
	for i, a := range actions {
		r := row{string(a.Kind), clean(a.Target)}
		wanted[r] = true
		if _, err := t.exec(want, c.Key.String(), r.kind, r.target, requests[i], string(a.SHA), c.Fence, t.now.UnixMicro()); err != nil {
			return err
		}
	}
	var unwanted []row
	err := t.query(readPlanned, []any{c.Key.String()}, func(scan scanner) error {
		var r row
		err := scan(&r.kind, &r.target)
		if !wanted[r] {
			unwanted = append(unwanted, r)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range unwanted {
		if _, err := t.exec(supersede, c.Key.String(), r.kind, r.target, t.now.UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

// setPull keeps the read model, and the verdict if it is another one. It reports whether people see a difference.
func (t *tx) setPull(c pull.Claim, p pull.Plan, labels, memory string) (differs bool, err error) {
	r, v := p.Pull, p.Verdict
	fresh := shown{
		state: string(r.State), title: clean(r.Title), head: string(r.Head), base: clean(r.Base), labels: labels,
		verdict: v.State, sentence: clean(v.Sentence), digest: v.Digest, draft: flag(r.Draft),
	}
	var was shown
	if _, err := t.row(readShown, []any{c.Key.String()},
		&was.state, &was.title, &was.draft, &was.head, &was.base, &was.labels, &was.verdict, &was.sentence, &was.digest); err != nil {
		return false, err
	}
	decided := r.DecidedAt
	if decided.IsZero() {
		decided = t.now
	}
	tree := clean(string(v.Tree))
	if _, err := t.exec(setPull, c.Key.String(), c.Key.RepoID, int64(c.Key.Number), fresh.state, fresh.title, clean(r.Author), clean(r.URL), fresh.draft,
		fresh.head, clean(r.HeadRef), fresh.base, labels, r.UpdatedAt.UnixMicro(), fresh.verdict, fresh.sentence, fresh.digest, v.Took.Microseconds(),
		decided.UnixMicro(), micros(r.NextLook), memory, tree); err != nil {
		return false, err
	}
	if fresh.digest != was.digest {
		var id int64
		if _, err := t.row(addVerdict, []any{
			c.Key.String(), fresh.verdict, fresh.sentence, fresh.digest, fresh.head, v.Took.Microseconds(), decided.UnixMicro(), tree,
		}, &id); err != nil {
			return false, err
		}
		if len(v.Changes) > 0 {
			// A verdict's number is never given twice, but a table that was restored may have rows above it.
			if _, err := t.exec(addVerdictChanges, id, decided.UnixMicro(), clean(string(v.Changes))); err != nil {
				return false, err
			}
		}
	}
	return fresh != was, nil
}

// setPolicy keeps a newly valid policy, and what is wrong with the current one.
func (t *tx) setPolicy(key pull.Key, valid *pull.Document, problem string) error {
	var was pull.Document
	var oid, wasProblem string
	if _, err := t.row(readPolicy, []any{key.RepoID}, &was.Path, &oid, &was.Text, &was.Found, &wasProblem); err != nil {
		return err
	}
	was.OID = pull.SHA(oid)
	keep, problem := was, clean(problem)
	if valid != nil {
		keep = pull.Document{Found: valid.Found, Path: clean(valid.Path), OID: valid.OID, Text: clean(valid.Text)}
	}
	if keep == was && problem == wasProblem {
		return nil // most passes; and the row is every pull request's of the repository
	}
	if _, err := t.exec(setPolicy, key.RepoID, keep.Path, string(keep.OID), keep.Text, flag(keep.Found), problem, t.now.UnixMicro()); err != nil {
		return err
	}
	text := "a new policy is in force"
	if problem != "" {
		text, _, _ = strings.Cut(problem, "\n")
	}
	t.announce(pull.ChangePolicy, key.String(), text)
	return nil
}

// Start is called right before an action is sent: it checks the fence, extends the lease, and notes that from now on
// the request may have happened. It returns [pull.ErrLost] when somebody else has the key.
func (s *Store) Start(ctx context.Context, c pull.Claim, a pull.Action, lease time.Duration) (pull.Intent, error) {
	var in pull.Intent
	err := s.write(ctx, "start", func(t *tx) error {
		if err := t.extend(c, lease); err != nil {
			return err
		}
		found := false
		err := t.query(startIntent, []any{c.Key.String(), string(a.Kind), clean(a.Target), c.Fence, t.now.UnixMicro()}, func(scan scanner) (err error) {
			found = true
			in, err = scanIntent(c.Key, scan)
			return err
		})
		if err == nil && !found {
			return fmt.Errorf("%s %s of %s is not planned", a.Kind, a.Target, c.Key)
		}
		return err
	})
	return in, err
}

// Finish writes the outcome of an action as in says it, and what is remembered with it. An intent that is handed in as
// still executing is one of unknown outcome: its error is kept, and the next pass has to find out. One that is handed in
// as planned was not sent, and waits as before. It returns
// [pull.ErrLost], and writes nothing, when somebody else has the key.
func (s *Store) Finish(ctx context.Context, c pull.Claim, in pull.Intent, m pull.Memory) error {
	memory, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("finish: encode memory: %w", err)
	}
	return s.write(ctx, "finish", func(t *tx) error {
		if _, err := t.hold(c); err != nil {
			return err
		}
		if err := t.endIntent(c.Key, in); err != nil {
			return err
		}
		if _, err := t.exec(setMemory, c.Key.String(), string(memory)); err != nil {
			return err
		}
		text := string(in.Action.Kind) + " " + in.Action.Target + ": " + string(in.Status)
		switch {
		case in.Status == pull.Done:
			t.count("").actions++
		case in.Error != "":
			text += ": " + in.Error
		}
		t.announce(pull.ChangeAction, c.Key.String(), text)
		return nil
	})
}

// endIntent writes the outcome of an intention.
func (t *tx) endIntent(key pull.Key, in pull.Intent) error {
	var done any
	switch in.Status {
	case pull.Done:
		in.Failures, in.Error, in.Passing = 0, "", false
		done = t.now.UnixMicro()
	case pull.Failed:
		in.Failures = max(in.Failures, 1)
		done = t.now.UnixMicro()
	case pull.Superseded:
		done = t.now.UnixMicro()
	case pull.Executing: // may have been sent
	case pull.Planned: // was certainly not sent
	default:
		return fmt.Errorf("%s %s of %s can't end as %q", in.Action.Kind, in.Action.Target, key, in.Status)
	}
	n, err := t.exec(endIntent, key.String(), string(in.Action.Kind), clean(in.Action.Target), string(in.Status), in.GitHubID, clean(in.Error),
		int64(in.Failures), flag(in.Passing), done)
	if err == nil && n == 0 {
		return fmt.Errorf("%s %s of %s is not in the ledger", in.Action.Kind, in.Action.Target, key)
	}
	return err
}
