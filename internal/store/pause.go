package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// pausedSetting is the setting that holds the pause; "" while there is none. The statements that take something up look at
// it themselves (notPaused), so that nothing is taken after Pause has returned.
const pausedSetting = "paused"

type pauseText struct {
	By    string `json:"by"`
	Since int64  `json:"since"` // microseconds
}

// Pause keeps every replica from taking anything up, over restarts too, until Resume: no delivery is taken in and no key
// is claimed, but for what is done by hand. Passes that have begun go on to their end, and deliveries are kept. A second
// Pause changes nothing.
func (s *Store) Pause(ctx context.Context, by string) error {
	return s.write(ctx, "pause", func(t *tx) error {
		var value string
		if _, err := t.row(readSetting, []any{pausedSetting}, &value); err != nil {
			return err
		}
		if value != "" {
			return errNothing
		}
		text, err := json.Marshal(pauseText{By: clean(by), Since: t.now.UnixMicro()})
		if err != nil {
			return err
		}
		return t.setPause(by, "queue.pause", string(text), "the queue is paused by "+by+": deliveries are kept, nothing is worked on")
	})
}

// Resume lifts the pause. Without one it changes nothing.
func (s *Store) Resume(ctx context.Context, by string) error {
	return s.write(ctx, "resume", func(t *tx) error {
		var value string
		if _, err := t.row(readSetting, []any{pausedSetting}, &value); err != nil {
			return err
		}
		if value == "" {
			return errNothing
		}
		return t.setPause(by, "queue.resume", "", "the queue goes on, says "+by)
	})
}

func (t *tx) setPause(by, action, value, text string) error {
	if _, err := t.exec(setSetting, pausedSetting, value, t.now.UnixMicro()); err != nil {
		return err
	}
	if err := t.audit(by, action, "", ""); err != nil {
		return err
	}
	t.announce(pull.ChangeSetting, "", text)
	return nil
}

// audit notes who operated what.
func (t *tx) audit(actor, action, target, detail string) error {
	_, err := t.exec(addAudit, t.now.UnixMicro(), clean(actor), action, clean(target), clean(detail))
	return err
}

// Paused reports whether the queue is paused, since when and by whom.
func (s *Store) Paused(ctx context.Context) (p pull.Pause, paused bool, err error) {
	var value string
	if err := s.query(ctx, readSetting, []any{pausedSetting}, func(scan scanner) error { return scan(&value) }); err != nil {
		return p, false, fmt.Errorf("paused: %w", err)
	}
	if value == "" {
		return p, false, nil
	}
	var text pauseText
	if json.Unmarshal([]byte(value), &text) == nil { // written by hand: paused all the same
		p = pull.Pause{Since: time.UnixMicro(text.Since).UTC(), By: text.By}
	}
	return p, true, nil
}
