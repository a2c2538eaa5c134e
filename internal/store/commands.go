package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// headsMost is how many heads of a pull request a pass is given, the newest of them.
const headsMost = 1000

// A commandNote is what is kept of a command beside what it is looked up by.
type commandNote struct {
	Source pull.CommentSource `json:"source"`
	Node   string             `json:"node,omitempty"`
	Login  string             `json:"login"`
	Type   pull.ActorType     `json:"type,omitempty"`
	Why    json.RawMessage    `json:"why,omitempty"`
}

// putCommands keeps commands. What was decided on for good stays as it is, whoever comes again.
func (t *tx) putCommands(key pull.Key, commands []pull.Command) error {
	for _, c := range commands {
		note := commandNote{Source: c.Source, Node: c.NodeID, Login: c.Writer.Login, Type: c.Writer.Type, Why: json.RawMessage(c.Reason)}
		text, err := json.Marshal(note)
		if err != nil {
			return fmt.Errorf("encode the command %s: %w", c.Key, err)
		}
		if _, err := t.exec(putCommand, clean(c.Key), key.String(), c.CommentID, c.Writer.ID, clean(c.Verb), clean(c.Args), clean(string(c.HeadSeen)),
			string(c.Status), clean(string(text)), c.CreatedAt.UnixMicro(), micros(c.DecidedAt)); err != nil {
			return err
		}
	}
	return nil
}

// commands returns the commands of a pull request, oldest first: all that are kept, up to one more than are decided on.
func (s *Store) commands(ctx context.Context, key pull.Key) ([]pull.Command, error) {
	var out []pull.Command
	err := s.query(ctx, listCommands, []any{key.String(), int64(pull.MaxCommands + 1)}, func(scan scanner) error {
		var c pull.Command
		var head, status, reason string
		var created int64
		var decided sql.NullInt64
		if err := scan(&c.Key, &c.CommentID, &c.Writer.ID, &c.Verb, &c.Args, &head, &status, &reason, &created, &decided); err != nil {
			return err
		}
		var note commandNote
		if err := json.Unmarshal([]byte(reason), &note); err != nil {
			return fmt.Errorf("the note of the command %s: %w", c.Key, err)
		}
		c.Source, c.NodeID, c.Reason = note.Source, note.Node, string(note.Why)
		c.Writer.Login, c.Writer.Type = note.Login, note.Type
		c.HeadSeen, c.Status = pull.SHA(head), pull.CommandStatus(status)
		c.CreatedAt, c.DecidedAt = time.UnixMicro(created).UTC(), moment(decided)
		out = append(out, c)
		return nil
	})
	slices.Reverse(out)
	return out, err
}

// heads returns which commits the head of a pull request was at, oldest first.
func (s *Store) heads(ctx context.Context, key pull.Key) ([]pull.HeadAt, error) {
	var out []pull.HeadAt
	err := s.query(ctx, listHeads, []any{key.String(), int64(headsMost)}, func(scan scanner) error {
		var sha string
		var at int64
		err := scan(&sha, &at)
		out = append(out, pull.HeadAt{SHA: pull.SHA(sha), At: time.UnixMicro(at).UTC()})
		return err
	})
	slices.Reverse(out)
	return out, err
}
