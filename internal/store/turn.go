package store

import (
	"context"
	"fmt"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

var (
	takeTurn = sqlText("take the turn of a base branch", `
INSERT INTO turns (repo_id, base, number, until) VALUES ($1, $2, $3, $4)
ON CONFLICT (repo_id, base) DO UPDATE SET number = excluded.number, until = excluded.until
WHERE turns.number = excluded.number OR turns.until <= $5`)
	readTurn = sqlText("read whose turn it is", `SELECT number, until FROM turns WHERE repo_id = $1 AND base = $2 AND until > $3`)
	endTurn  = sqlText("end a turn", `DELETE FROM turns WHERE repo_id = $1 AND base = $2 AND number = $3`)
)

// TakeTurn takes the turn of a base branch for a claimed pull request until then, or for as much longer if it has the turn
// already, unless another has it. It returns whose it is.
func (s *Store) TakeTurn(ctx context.Context, c pull.Claim, base string, until time.Time) (pull.Turn, error) {
	var turn pull.Turn
	err := s.write(ctx, "take turn", func(t *tx) error {
		if _, err := t.hold(c); err != nil {
			return err
		}
		if _, err := t.exec(takeTurn, c.Key.RepoID, clean(base), int64(c.Key.Number), until.UnixMicro(), t.now.UnixMicro()); err != nil {
			return err
		}
		turn = pull.Turn{}
		return t.query(readTurn, []any{c.Key.RepoID, clean(base), t.now.UnixMicro()}, scanTurn(&turn))
	})
	if err != nil {
		return pull.Turn{}, fmt.Errorf("take the turn of %s: %w", base, err)
	}
	return turn, nil
}

// Turn returns whose turn a base branch's is.
func (s *Store) Turn(ctx context.Context, repo int64, base string) (pull.Turn, error) {
	var turn pull.Turn
	if err := s.query(ctx, readTurn, []any{repo, clean(base), s.Now().UnixMicro()}, scanTurn(&turn)); err != nil {
		return pull.Turn{}, fmt.Errorf("read whose turn %s is: %w", base, err)
	}
	return turn, nil
}

// EndTurn gives a pull request's turn back, if it still has it.
func (s *Store) EndTurn(ctx context.Context, c pull.Claim, base string) error {
	err := s.write(ctx, "end turn", func(t *tx) error {
		if _, err := t.hold(c); err != nil {
			return err
		}
		_, err := t.exec(endTurn, c.Key.RepoID, clean(base), int64(c.Key.Number))
		return err
	})
	if err != nil {
		return fmt.Errorf("end the turn of %s: %w", base, err)
	}
	return nil
}

func scanTurn(into *pull.Turn) func(scanner) error {
	return func(scan scanner) error {
		var until int64
		err := scan(&into.Number, &until)
		into.Until = time.UnixMicro(until).UTC()
		return err
	}
}
