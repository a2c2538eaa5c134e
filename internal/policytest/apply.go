package policytest

import (
	"slices"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// between is the time between two looks of a case: more than GitHub takes to show what was written.
const between = time.Minute

// apply does what a decision calls for: the pull request is as GitHub would show it then, and the ledger knows of it.
func (w *world) apply(d policy.Decision) {
	heads, commands, intents := w.m.Heads, w.m.Commands, w.m.Intents
	w.m = d.Memory
	w.m.Heads = heads
	for _, c := range d.Commands {
		if i := slices.IndexFunc(commands, func(k pull.Command) bool { return k.Key == c.Key }); i >= 0 {
			commands[i] = c
		} else {
			commands = append(commands, c)
		}
	}
	w.m.Commands = commands
	for _, a := range d.Actions {
		w.do(a)
		intents = slices.DeleteFunc(intents, func(in pull.Intent) bool { return in.Action.Kind == a.Kind && in.Action.Target == a.Target })
		intents = append(intents, pull.Intent{Action: a, Status: pull.Done, Attempt: 1, PlannedAt: w.at, StartedAt: w.at, DoneAt: w.at})
	}
	w.m.Intents = intents
	w.at = w.at.Add(between)
	w.s.ObservedAt = w.at
}

func (w *world) do(a pull.Action) {
	s := &w.s
	same := func(login string) bool { return strings.EqualFold(login, a.Target) }
	switch a.Kind {
	case pull.AddLabel:
		s.Labels = slices.DeleteFunc(s.Labels, func(l pull.Label) bool { return same(l.Name) })
		s.Labels = append(s.Labels, pull.Label{Name: a.Target, Present: true, SetBy: s.Us, SetAt: w.at})
	case pull.RemoveLabel:
		for i := range s.Labels {
			if same(s.Labels[i].Name) {
				s.Labels[i].Present, s.Labels[i].TakenBy, s.Labels[i].TakenAt = false, s.Us, w.at
			}
		}
	case pull.AskReview:
		r := pull.ReviewRequest{Who: actor(a.Target)}
		if strings.Contains(a.Target, "/") {
			r = pull.ReviewRequest{Team: a.Target}
		}
		s.ReviewRequests = append(s.ReviewRequests, r)
	case pull.UnaskReview:
		s.ReviewRequests = slices.DeleteFunc(s.ReviewRequests, func(r pull.ReviewRequest) bool { return same(r.Who.Login) || same(r.Team) })
	case pull.Assign:
		s.Assignees = append(s.Assignees, actor(a.Target))
	case pull.Unassign:
		s.Assignees = slices.DeleteFunc(s.Assignees, func(who pull.Actor) bool { return same(who.Login) })
	case pull.Approve:
		s.Reviews = append(s.Reviews, pull.Review{
			ID: int64(len(s.Reviews) + 1), Author: s.Us, CanWrite: true, State: pull.Approved, Commit: s.Head.SHA, SubmittedAt: w.at,
		})
	case pull.Unapprove:
		for i := range s.Reviews {
			if s.Reviews[i].Author.Same(s.Us) {
				s.Reviews[i].State = pull.Dismissed
			}
		}
	case pull.Retitle:
		s.Title = a.Title
	case pull.MarkReady:
		s.Draft = false
	case pull.MarkDraft:
		s.Draft = true
	}
}

// withTeams adds the teams of those who are asked: who expects that a team is asked is content with one of its members.
func (w *world) withTeams(asked []string) []string {
	out := slices.Clone(asked)
	for _, team := range wordsIn(w.g.Teams) {
		if slices.ContainsFunc(w.g.Teams[team], func(login string) bool { return slices.Contains(asked, login) }) && !slices.Contains(out, team) {
			out = append(out, team)
		}
	}
	return out
}
