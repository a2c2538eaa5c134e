package store

import (
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

func TestCommandsAreKeptOnce(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		c := w.claim()
		at := w.Now().Truncate(time.Second)
		open := pull.Command{
			Key: "comment:5:abc.a", Source: pull.Conversation, CommentID: 5, NodeID: "IC_5", Writer: pull.Actor{ID: 9, Login: "bob", Type: pull.User},
			Verb: "label", Args: `a "b c"`, HeadSeen: "aaa", Status: pull.CommandOpen, CreatedAt: at, DecidedAt: at,
		}
		refused := open
		refused.Key, refused.Verb, refused.Args, refused.CreatedAt = "comment:5:def.a", "merge", "", at.Add(time.Microsecond)
		refused.Status, refused.Reason = pull.CommandRefused, `{"code":"command_not_allowed","verb":"merge"}`
		plan := func(commands ...pull.Command) {
			t.Helper()
			if err := w.Plan(w.ctx, c, pull.Plan{Pull: pull.Row{State: pull.Open, Head: "aaa"}, Commands: commands}); err != nil {
				t.Fatal(err)
			}
		}
		known := func() []pull.Command {
			t.Helper()
			h, err := w.History(w.ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			return h.Memory.Commands
		}
		plan(refused, open)
		equal(t, "commands, oldest first", known(), []pull.Command{open, refused})

		done := open
		done.Status, done.DecidedAt = pull.CommandDone, at.Add(time.Minute)
		plan(done)
		again := refused
		again.Status, again.Reason = pull.CommandOpen, ""
		late := open // of a pass that did not know
		plan(again, late)
		equal(t, "what is decided stays", known(), []pull.Command{done, refused})

		d, err := w.Pull(w.ctx, "octo", "app", 7)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the page's commands", d.Memory.Commands, known())

		w.pass(keepCommands - time.Hour)
		if _, err := w.Purge(w.ctx, time.Hour); err != nil || len(known()) != 2 {
			t.Errorf("Purge = %v, and %d commands are left of the last 90 days, want 2", err, len(known()))
		}
		w.pass(2 * time.Hour)
		if _, err := w.Purge(w.ctx, time.Hour); err != nil || len(known()) != 0 {
			t.Errorf("Purge = %v, and %d commands are left after 90 days, want 0", err, len(known()))
		}
	})
}

// Whoever has lost the key writes no command.
func TestCommandsNeedTheClaim(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.hint("a", 7)
		old := w.claim()
		w.pass(time.Hour) // the lease runs out
		c := w.claim()
		cmd := pull.Command{Key: "comment:5:abc.a", Source: pull.Conversation, CommentID: 5, Verb: "hold", Status: pull.CommandDone, CreatedAt: w.Now()}
		if err := w.Plan(w.ctx, old, pull.Plan{Pull: pull.Row{State: pull.Open}, Commands: []pull.Command{cmd}}); err == nil {
			t.Error("a plan without the key was kept")
		}
		h, err := w.History(w.ctx, c)
		if err != nil || len(h.Memory.Commands) != 0 {
			t.Errorf("History = %v, %v; want no commands", h.Memory.Commands, err)
		}
	})
}

// Heads are kept in the order of GitHub's clock, in whichever order they are heard of, and as long as the pull request is open.
func TestHeadsAreKeptInGitHubsOrder(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		at := w.Now().Truncate(time.Second)
		event := func(id string, sha pull.SHA, after time.Duration) {
			d := w.delivery(id, 7)
			d.Hint.HeadSHA, d.Hint.UpdatedAt = sha, at.Add(after)
			w.insert(d)
		}
		route := func(d pull.Delivery) pull.Route {
			return pull.Route{Numbers: d.Hint.Numbers, Head: d.Hint.HeadSHA, HeadAt: d.Hint.UpdatedAt}
		}
		event("2", "bbb", 2*time.Second)
		w.intake(route)
		event("1", "aaa", time.Second)
		event("1 again", "aaa", time.Second)
		event("untold", "zzz", -time.Duration(at.UnixNano())-time.Hour) // before 1970: a time, if an odd one
		w.intake(route)
		c := w.claim()
		if err := w.Plan(w.ctx, c, pull.Plan{Pull: pull.Row{State: pull.Open, Head: "ccc"}, Head: &pull.HeadAt{SHA: "ccc", At: at.Add(3 * time.Second)}}); err != nil {
			t.Fatal(err)
		}
		h, err := w.History(w.ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		var got []pull.SHA
		for _, h := range h.Memory.Heads {
			got = append(got, h.SHA)
		}
		equal(t, "heads, oldest first", got, []pull.SHA{"zzz", "aaa", "bbb", "ccc"})

		w.pass(30 * 24 * time.Hour)
		if _, err := w.Purge(w.ctx, time.Hour); err != nil {
			t.Fatal(err)
		}
		if n := w.number(`SELECT count(*) FROM heads`); n != 4 {
			t.Errorf("%d heads are left of an open pull request, want 4", n)
		}
	})
}
