package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// wants are the actions by which a command that was accepted now is carried out.
func (c *commanding) wants(cmd *pull.Command) []pull.Action {
	v := verbNamed(cmd.Verb)
	args, _ := v.read(cmd.Args)
	one := func(kind pull.ActionKind) []pull.Action { return []pull.Action{{Kind: kind, Target: cmd.Key}} }
	each := func(kind pull.ActionKind, names []string) []pull.Action {
		var out []pull.Action
		for _, n := range names {
			if n == "" {
				n = cmd.Writer.Login
			}
			out = append(out, pull.Action{Kind: kind, Target: n})
		}
		return out
	}
	var out []pull.Action
	switch v.name {
	case "label":
		for _, n := range args.names {
			a := pull.Action{Kind: pull.AddLabel, Target: n}
			if rule := c.ruleOf(n); rule != nil {
				a.Target, a.Color, a.Description = rule.name, rule.color, rule.about
				c.next.Labels[rule.name] = pull.LabelMemory{Asked: cmd.Writer.Login, Released: c.next.Labels[rule.name].Released}
			}
			out = append(out, a)
		}
	case "unlabel":
		for _, n := range args.names {
			if l, on := c.s.Has(n); on {
				n = l.Name
			}
			if rule := c.ruleOf(n); rule != nil {
				c.next.Labels[rule.name] = pull.LabelMemory{Asked: cmd.Writer.Login, KeptOff: true, Released: c.next.Labels[rule.name].Released}
			}
			out = append(out, pull.Action{Kind: pull.RemoveLabel, Target: n})
		}
	case "assign":
		out = each(pull.Assign, args.names)
	case "unassign":
		out = each(pull.Unassign, args.names)
	case "cc":
		out = each(pull.AskReview, args.names)
	case "uncc":
		out = each(pull.UnaskReview, args.names)
	case "reroll":
		out = each(pull.UnaskReview, c.picked(args.names))
	case "ready":
		out = one(pull.MarkReady)
	case "draft":
		out = one(pull.MarkDraft)
	case "close":
		out = one(pull.Close)
	case "reopen":
		out = one(pull.Reopen)
	case "retitle":
		out = one(pull.Retitle)
		out[0].Title = args.text
	case "update", "rebase":
		out = []pull.Action{c.update(v.name)}
	case "retest":
		suites, _ := c.failed()
		for _, suite := range suites {
			out = append(out, pull.Action{Kind: pull.Rerun, Target: fmt.Sprintf("%d:%s", suite, cmd.Key), SHA: c.s.Head.SHA})
		}
	}
	for i := range out {
		out[i].Command = cmd.Key
	}
	return out
}

func (c *commanding) update(name string) pull.Action {
	a := pull.Action{Kind: pull.UpdateBranch, Target: string(c.s.Head.SHA), SHA: c.s.Head.SHA, Method: pull.MergeCommit}
	if name == "rebase" {
		a.Method = pull.Rebase
	}
	return a
}

func (d *decider) ruleOf(label string) *labelRule {
	i := slices.IndexFunc(d.p.labels, func(l labelRule) bool { return strings.EqualFold(l.name, label) })
	if i < 0 {
		return nil
	}
	return &d.p.labels[i]
}

// underWay are the actions of a command that was accepted before, as the ledger has them.
func (c *commanding) underWay(cmd *pull.Command) []pull.Action {
	var out []pull.Action
	for _, in := range c.was.Intents {
		a := in.Action
		if a.Command != cmd.Key || a.Kind == pull.React || a.Kind == pull.WriteComment {
			continue
		}
		if a.Kind == pull.UpdateBranch && in.Status == pull.Superseded {
			a = c.update(cmd.Verb) // the head moved on
			a.Command = cmd.Key
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b pull.Action) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Target, b.Target))
	})
	return out
}

// subject names what an action decides on: of two commands about one thing the later one counts.
func subject(a pull.Action) string {
	switch a.Kind {
	case pull.AddLabel, pull.RemoveLabel:
		return "label " + strings.ToLower(a.Target)
	case pull.Assign, pull.Unassign:
		return "assignee " + strings.ToLower(a.Target)
	case pull.AskReview, pull.UnaskReview:
		return "reviewer " + strings.ToLower(a.Target)
	case pull.MarkReady, pull.MarkDraft:
		return "draft"
	case pull.Close, pull.Reopen:
		return "state"
	case pull.Retitle, pull.UpdateBranch:
		return string(a.Kind)
	}
	return string(a.Kind) + " " + a.Target
}

// shows reports whether a pull request is as an action would make it.
func shows(s *pull.Snapshot, a pull.Action) bool {
	is := func(who pull.Actor) bool { return strings.EqualFold(who.Login, a.Target) }
	asked := func(r pull.ReviewRequest) bool { return is(r.Who) || strings.EqualFold(r.Team, a.Target) }
	_, labelled := s.Has(a.Target)
	switch a.Kind {
	case pull.AddLabel:
		return labelled
	case pull.RemoveLabel:
		return !labelled && !s.LabelsTruncated
	case pull.Assign:
		return slices.ContainsFunc(s.Assignees, is)
	case pull.Unassign:
		return !slices.ContainsFunc(s.Assignees, is)
	case pull.AskReview:
		return slices.ContainsFunc(s.ReviewRequests, asked)
	case pull.UnaskReview:
		return !slices.ContainsFunc(s.ReviewRequests, asked)
	case pull.MarkReady, pull.MarkDraft:
		return s.Draft == (a.Kind == pull.MarkDraft)
	case pull.Close:
		return s.State != pull.Open
	case pull.Reopen:
		return s.State != pull.Closed
	case pull.Retitle:
		return s.Title == a.Title
	}
	return false
}

// carryOut wants what open commands ask for, until the ledger says that it was done or can't be, or GitHub shows it.
func (c *commanding) carryOut() {
	decided := map[string]bool{}
	var want []pull.Action
	for _, cmd := range slices.Backward(c.all) {
		if cmd.Status != pull.CommandOpen {
			continue
		}
		if c.now.Sub(cmd.CreatedAt) > commandsFor+time.Hour {
			cmd.Status, cmd.DecidedAt = pull.CommandIgnored, c.now
			continue
		}
		actions := c.underWay
		if c.fresh[cmd.Key] {
			actions = c.wants
		}
		open := false
		var failed *Reason
		for _, a := range slices.Backward(actions(cmd)) {
			if decided[subject(a)] {
				continue // somebody has said otherwise since
			}
			decided[subject(a)] = true
			in, _ := c.was.Intent(a.Kind, a.Target)
			mine := in.Action.Command == cmd.Key
			switch {
			case mine && in.Status == pull.Done, shows(c.s, a):
				continue
			case mine && in.Status == pull.Failed && !(in.Passing && in.Failures < commandTries):
				failed = &Reason{Code: CommandFailed, Verb: cmd.Verb, Text: shorten(in.Error, 300)}
				continue
			case mine && in.Status == pull.Failed:
				if until, _, held := c.was.Withheld(a, c.now); held {
					open = true
					c.lookAt(until)
					continue
				}
			}
			open = true
			want = append(want, a)
			if a.Kind == pull.AddLabel || a.Kind == pull.RemoveLabel {
				if c.labelsAsked == nil {
					c.decider.labelsAsked = map[string]pull.Action{}
				}
				c.labelsAsked[strings.ToLower(a.Target)] = a
			}
		}
		switch {
		case open:
		case failed != nil:
			c.refuse(cmd, *failed)
		default:
			cmd.Status, cmd.DecidedAt = pull.CommandDone, c.now
		}
	}
	slices.Reverse(want)
	c.actions = append(c.actions, want...)
}

// answer reacts to the comments whose commands are decided, and says in words what was refused or asked.
func (c *commanding) answer() {
	type comment struct {
		source pull.CommentSource
		id     int64
	}
	of := map[comment][]*pull.Command{}
	for _, cmd := range c.all {
		k := comment{cmd.Source, cmd.CommentID}
		of[k] = append(of[k], cmd)
	}
	replied := map[int64]int{} // by writer, within the hour
	shown := map[comment]bool{}
	for _, m := range c.s.Comments {
		shown[comment{m.Source, m.ID}] = true
	}
	for at, cmds := range of {
		// Whoever deletes a comment that was answered has had the answer all the same.
		if !shown[at] && slices.ContainsFunc(cmds, func(cmd *pull.Command) bool { return inWords(cmd) && c.now.Sub(cmd.DecidedAt) < time.Hour }) {
			replied[cmds[0].Writer.ID]++
		}
	}
	for _, m := range c.s.Comments {
		cmds := of[comment{m.Source, m.ID}]
		delete(of, comment{m.Source, m.ID})
		if len(cmds) == 0 {
			continue
		}
		var last time.Time
		for _, cmd := range cmds {
			if cmd.DecidedAt.After(last) {
				last = cmd.DecidedAt
			}
		}
		open := slices.ContainsFunc(cmds, func(cmd *pull.Command) bool { return cmd.Status == pull.CommandOpen }) ||
			slices.ContainsFunc(c.waiting, func(w pull.Command) bool { return w.Source == m.Source && w.CommentID == m.ID })
		if open || c.now.Sub(last) > commandsFor {
			continue
		}
		slices.SortStableFunc(cmds, func(a, b *pull.Command) int { return a.CreatedAt.Compare(b.CreatedAt) })
		reply := Reply{Source: m.Source, CommentID: m.ID, To: cmds[0].Writer.Login}
		reaction, words := "", false
		for _, cmd := range cmds {
			switch cmd.Status {
			case pull.CommandRefused:
				var r Reason
				if json.Unmarshal([]byte(cmd.Reason), &r) != nil {
					r = Reason{Code: CommandFailed, Verb: cmd.Verb} // by another version
				}
				reply.Refused, reaction, words = append(reply.Refused, r), "confused", true
			case pull.CommandDone:
				if reaction == "" {
					reaction = "+1"
				}
				reply.Why = reply.Why || cmd.Verb == "why"
				if cmd.Verb == "help" {
					reply.Help = c.help(cmd.Writer)
				}
				words = words || cmd.Verb == "why" || cmd.Verb == "help"
			}
		}
		if reaction != "" && !slices.Contains(m.Reacted, reaction) {
			c.once(pull.Action{Kind: pull.React, Target: m.NodeID + ":" + reaction, Node: m.NodeID, Command: cmds[0].Key})
		}
		if !words {
			continue
		}
		if c.now.Sub(last) < time.Hour {
			replied[cmds[0].Writer.ID]++
		}
		there := slices.ContainsFunc(c.s.Comments, func(o pull.Comment) bool { return o.Author.Same(c.s.Us) && pull.Marked(o.Body, reply.Target()) })
		if !there && replied[cmds[0].Writer.ID] <= repliesAnHour && c.open(pull.Action{Kind: pull.WriteComment, Target: reply.Target()}) {
			c.replies = append(c.replies, reply)
		}
	}
}

// inWords reports whether a command is answered by more than a reaction.
func inWords(cmd *pull.Command) bool {
	return cmd.Status == pull.CommandRefused || cmd.Status == pull.CommandDone && (cmd.Verb == "why" || cmd.Verb == "help")
}

// once wants an answer, unless it was given.
func (c *commanding) once(a pull.Action) {
	if c.open(a) {
		c.actions = append(c.actions, a)
	}
}

// open reports whether an answer is still to be given: it was not, and GitHub has not refused it for good.
func (c *commanding) open(a pull.Action) bool {
	in, known := c.was.Intent(a.Kind, a.Target)
	switch {
	case !known, in.Status == pull.Planned, in.Status == pull.Superseded:
		return true
	case in.Status == pull.Failed && in.Passing && in.Failures < commandTries:
		until, _, held := c.was.Withheld(a, c.now)
		if held {
			c.lookAt(until)
		}
		return !held
	}
	return false
}

// help says of each command whether somebody may give it here.
func (c *commanding) help(a pull.Actor) []Help {
	var out []Help
	for _, v := range verbs {
		r, _ := c.allowed(v.name, a, false)
		out = append(out, Help{Usage: v.usage(), Does: v.does, May: r == True})
	}
	return out
}
