package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Commands are a state, not an event. Each look reads the comments as they are now and decides on the commands in them that
// it does not know yet (Memory.Commands); what was decided is kept in the same transaction as what is wanted because of it.
// So it does not matter which events were lost, doubled or late, and nothing is done twice.

// A commandsShape is the section commands: who may give which.
type commandsShape struct {
	Bots     texts        `json:"bots,omitempty" jsonschema_description:"Logins of bots whose commands are read. Nobody else's are: a bot's text is often made from other people's."`
	Merge    commandShape `json:"merge,omitempty" jsonschema_description:"Who may have it merged. Without it: write."`
	Unmerge  commandShape `json:"unmerge,omitempty" jsonschema_description:"Who may take /merge back. Without it: author, triage."`
	Hold     commandShape `json:"hold,omitempty" jsonschema_description:"Who may keep it from being merged. Without it: author, triage."`
	Unhold   commandShape `json:"unhold,omitempty" jsonschema_description:"Who may take /hold back, beside who gave it. Without it: write."`
	Approve  commandShape `json:"approve,omitempty" jsonschema_description:"Who may approve by command. Without it: write."`
	Label    commandShape `json:"label,omitempty" jsonschema_description:"Who may put labels on. Without it: triage."`
	Unlabel  commandShape `json:"unlabel,omitempty" jsonschema_description:"Who may take labels off. Without it: triage."`
	Assign   commandShape `json:"assign,omitempty" jsonschema_description:"Who may assign people. Without it: author, triage."`
	Unassign commandShape `json:"unassign,omitempty" jsonschema_description:"Who may unassign people. Without it: author, triage."`
	CC       commandShape `json:"cc,omitempty" jsonschema_description:"Who may ask for reviews. Without it: author, triage."`
	UnCC     commandShape `json:"uncc,omitempty" jsonschema_description:"Who may take requests for reviews back. Without it: author, triage."`
	Reroll   commandShape `json:"reroll,omitempty" jsonschema_description:"Who may have other reviewers picked. Without it: author, triage."`
	Ready    commandShape `json:"ready,omitempty" jsonschema_description:"Who may mark it as ready for review. Without it: author, write."`
	Draft    commandShape `json:"draft,omitempty" jsonschema_description:"Who may make it a draft. Without it: author, triage."`
	Update   commandShape `json:"update,omitempty" jsonschema_description:"Who may have the base merged into it. Without it: author, write."`
	Rebase   commandShape `json:"rebase,omitempty" jsonschema_description:"Who may have it rebased. Without it: author, write."`
	Retest   commandShape `json:"retest,omitempty" jsonschema_description:"Who may have failed checks run again. Without it: author, triage."`
	Close    commandShape `json:"close,omitempty" jsonschema_description:"Who may close it. Without it: author, triage."`
	Reopen   commandShape `json:"reopen,omitempty" jsonschema_description:"Who may open it again. Without it: author, triage."`
	Retitle  commandShape `json:"retitle,omitempty" jsonschema_description:"Who may change the title. Without it: author, triage."`
	Why      commandShape `json:"why,omitempty" jsonschema_description:"Who may ask why it is where it is. Without it: everybody who can read it."`
	Help     commandShape `json:"help,omitempty" jsonschema_description:"Who may ask what they may use. Without it: everybody who can read it."`
}

// A commandShape is what the policy says of one command, if it is not off.
type commandShape struct {
	Allow texts `json:"allow,omitempty" jsonschema_description:"Who may give it: logins, teams (@acme/backend), permissions (write), author. An empty list is nobody."`
}

var (
	commandsKeys = keysOf[commandsShape]()
	commandKeys  = keysOf[commandShape]()
)

// commandRules say who may give which command.
type commandRules struct {
	pos   Pos
	off   bool // all of them
	bots  *logins
	allow map[string]*people // by verb, where the policy says so
}

const wordOff = "off"

func (r *reader) commands(e entry) *commandRules {
	out := &commandRules{pos: e.at, allow: map[string]*people{}}
	if _, empty := e.value.(*ast.NullNode); empty {
		return out
	}
	if r.isOff(e.value) {
		out.off = true
		return out
	}
	entries, ok := r.mapping(e.value, "commands", commandsKeys, false)
	if !ok {
		return out
	}
	for _, c := range entries {
		if c.key == "bots" {
			out.bots = r.bots(c)
			continue
		}
		if r.isOff(c.value) {
			out.allow[c.key] = &people{pos: c.at}
			continue
		}
		keys, ok := r.mapping(c.value, fmt.Sprintf("The command %q", c.key), commandKeys, false)
		if !ok {
			continue
		}
		if len(keys) == 0 {
			r.say(c.at, "Say who may give it, for example allow: write, or off.", "The command %q says nothing.", c.key)
		}
		for _, k := range keys { // there is only allow
			out.allow[c.key] = r.people(k, wordAuthor, wordOwners, wordNobody)
		}
	}
	return out
}

func (r *reader) isOff(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value == wordOff
	case *ast.BoolNode:
		return !n.Value
	}
	return false
}

// mayGive returns who may give a command; nil is everybody. off says that nobody may.
func (p *Policy) mayGive(name string) (who *people, off bool) {
	if p.commands != nil {
		if p.commands.off {
			return nil, true
		}
		if who, said := p.commands.allow[name]; said {
			return who, who.empty()
		}
	}
	v := verbNamed(name)
	if v == nil {
		return nil, true
	}
	return v.allow, false
}

// allowed tells whether an account may give a command, by the section commands or by what holds without it; see among for
// Unknown. A label that asks for a merge is given like the command.
func (d *decider) allowed(name string, a pull.Actor, fresh bool) (result Result, why string) {
	who, off := d.p.mayGive(name)
	switch {
	case off:
		return False, ""
	case who == nil:
		return resultIf(a.ID != 0), ""
	}
	return d.f.among(who, a, fresh)
}

// whoMayGive says who may give a command, for people.
func (d *decider) whoMayGive(name string) []string {
	switch who, off := d.p.mayGive(name); {
	case off:
		return []string{WhoPolicy}
	case who == nil:
		return []string{WhoReader}
	default:
		return who.names(d.s)
	}
}

// How old things may be.
const (
	// commandsFor is how long after it was written a command is carried out. What is older when it is first seen was meant
	// for a world that is gone.
	commandsFor = 24 * time.Hour
	// commandsKept is less than how long the store remembers commands. Of a comment that is older nobody can tell any more
	// which lines were in it before it was edited.
	commandsKept = 80 * 24 * time.Hour
	// headsFor is how long after a comment what tells which commit was the head then may still arrive: GitHub's events are late
	// by seconds, and in no order. A command that needs it is not refused before.
	headsFor = 20 * time.Second
	// commandTries is how often GitHub may refuse for a reason that passes.
	commandTries = 6
	// repliesAnHour bounds how often somebody can make the service write.
	repliesAnHour = 10
)

// A Reply is what the service answers to a comment in words.
type Reply struct {
	Source    pull.CommentSource
	CommentID int64
	To        string   // the login of who wrote the commands
	Refused   []Reason // what was not done, in the order of the comment
	Why       bool     // /why
	Help      []Help   // /help: every command
}

// Target names the reply in the ledger.
func (r Reply) Target() string { return fmt.Sprintf("reply:%s:%d", r.Source, r.CommentID) }

// Help is a command as /help shows it to somebody.
type Help struct {
	Usage, Does string
	May         bool
}

// commands decides on the commands in comments, before anything else is decided: others go by what they have put in force
// (Memory.Merge, Hold and Approvals of d.next).
func (d *decider) commands() {
	order := d.next.Merge
	if order != nil && (d.s.State != pull.Open || order.SHA != d.s.Head.SHA || order.SHA == "" || d.f.ofOtherBase(order.At)) {
		d.next.Merge = nil // of another commit, or into another base; and whoever opens it again has to say so again
	}
	switch {
	case d.e.Source.Mode == DryOnly, d.e.hold != nil && d.p.mode == "": // nothing is written, so nothing is consumed
		return
	case d.p.commands != nil && d.p.commands.off:
		return
	}
	full := len(d.was.Commands) > pull.MaxCommands
	c := commanding{decider: d, byKey: map[string]*pull.Command{}, fresh: map[string]bool{}}
	for _, known := range d.was.Commands {
		c.add(known)
	}
	if !full {
		c.read()
	}
	c.carryOut()
	c.tellOutdated(order)
	for _, cmd := range c.all {
		if i := slices.IndexFunc(d.was.Commands, func(was pull.Command) bool { return was.Key == cmd.Key }); i < 0 || d.was.Commands[i].Status != cmd.Status {
			d.commanded = append(d.commanded, *cmd)
		}
	}
	c.answer()
}

// tellOutdated notes that the last word about a merge is a /merge of another commit, for as long as it is. order is what was in
// force before this look.
func (c *commanding) tellOutdated(order *pull.Order) {
	if c.next.Merge != nil || c.s.State != pull.Open {
		return
	}
	var by pull.Actor
	var sha pull.SHA
	said := order != nil
	if said {
		by, sha = order.By, order.SHA
	}
	var last time.Time
	for _, cmd := range c.all {
		if cmd.Status == pull.CommandDone && (cmd.Verb == "merge" || cmd.Verb == "unmerge") && !cmd.CreatedAt.Before(last) {
			by, sha, last = cmd.Writer, cmd.HeadSeen, cmd.CreatedAt
			said = cmd.Verb == "merge" && sha != c.s.Head.SHA
		}
	}
	if !said {
		return
	}
	c.decider.outdated = &Reason{Code: CommandOutdated, Verb: "merge", By: by.Login, SHA: sha, Who: who(by)}
	rule := Rule{Section: "commands", Name: "merge", Outcome: CommandOver, Why: []Reason{*c.outdated}}
	if c.p.commands != nil {
		rule.Pos = c.p.commands.pos
	}
	c.v.Rules = append(c.v.Rules, rule)
}

// commanding is a decision on commands under way.
type commanding struct {
	*decider
	all   []*pull.Command // known ones in the order of the memory, then new ones in the order in which they were written
	byKey map[string]*pull.Command
	fresh map[string]bool // accepted now
	// waiting are commands that can't be decided on yet: it is not clear which commit they are about.
	waiting []pull.Command
}

func (c *commanding) add(cmd pull.Command) *pull.Command {
	p := &cmd
	c.all = append(c.all, p)
	c.byKey[cmd.Key] = p
	return p
}

// written is when a comment got the text that it has.
func written(m pull.Comment) time.Time {
	if m.EditedAt.After(m.At) {
		return m.EditedAt
	}
	return m.At
}

// writerOf is who wrote what a comment says now.
func writerOf(m pull.Comment) pull.Actor {
	if !m.EditedAt.IsZero() && !m.Editor.Same(m.Author) {
		return m.Editor
	}
	return m.Author
}

// read finds the commands that are not known yet, and decides on each.
func (c *commanding) read() {
	comments := slices.Clone(c.s.Comments)
	slices.SortStableFunc(comments, func(a, b pull.Comment) int {
		return cmp.Or(written(a).Compare(written(b)), cmp.Compare(a.Source, b.Source), cmp.Compare(a.ID, b.ID))
	})
	seen := map[string]bool{}
	for _, m := range comments {
		if id := fmt.Sprint(m.Source, m.ID); seen[id] {
			continue
		} else {
			seen[id] = true
		}
		c.comment(m)
	}
}

func (c *commanding) comment(m pull.Comment) {
	writer := writerOf(m)
	age := c.now.Sub(written(m))
	switch {
	case writer.ID == 0, age > commandsKept: // a deleted account is nobody
		return
	case m.Author.Same(c.s.Us) && (c.s.AsApp || pull.MarkOf(m.Body) != ""):
		return // our own. With a token a person has the same account
	}
	lines := commandLines(m.Body)
	if len(lines) == 0 {
		return
	}
	knows := slices.ContainsFunc(c.was.Commands, func(k pull.Command) bool { return k.Source == m.Source && k.CommentID == m.ID })
	for i, l := range lines {
		cmd := pull.Command{
			Key: fmt.Sprintf("%s:%d:%s", m.Source, m.ID, l.id), Source: m.Source, CommentID: m.ID, NodeID: m.NodeID,
			Writer: writer, Verb: l.verb, Args: shorten(cleanLine(l.args), 300), CreatedAt: written(m).Add(time.Duration(i) * time.Microsecond), DecidedAt: c.now,
		}
		v := verbNamed(l.verb)
		if _, known := c.byKey[cmd.Key]; known || (v == nil && meant(l.verb) == "") {
			continue
		}
		if v == nil {
			cmd.Args = ""
		}
		ignored := age > commandsFor || c.now.Sub(m.At) > commandsKept ||
			(writer.Type == pull.Bot && !c.hears(writer)) ||
			(len(m.Reacted) > 0 && !knows) // from before a restore: it was answered, and the answer is not remembered
		if ignored {
			cmd.Status = pull.CommandIgnored
			c.add(cmd)
			continue
		}
		reason, ready := c.judge(&cmd, v, m)
		switch {
		case !ready:
			c.waiting = append(c.waiting, cmd) // more has to be known first
			continue
		case reason != nil:
			c.refuse(&cmd, *reason)
		default:
			cmd.Status = pull.CommandOpen
		}
		if p := c.add(cmd); p.Status == pull.CommandOpen {
			c.fresh[p.Key] = true
			c.accept(p, v)
		}
	}
}

// hears reports whether the commands of a bot are read.
func (c *commanding) hears(bot pull.Actor) bool {
	return c.p.commands != nil && c.p.commands.bots != nil && c.p.commands.bots.match(bot)
}

func (c *commanding) refuse(cmd *pull.Command, r Reason) {
	text, err := json.Marshal(r)
	if err != nil {
		panic("policy: a reason is plain data and always marshals: " + err.Error())
	}
	cmd.Status, cmd.Reason, cmd.DecidedAt = pull.CommandRefused, string(text), c.now
}

// judge tells why a command is refused; nil is that it is accepted. It is not ready while something has to be looked up.
func (c *commanding) judge(cmd *pull.Command, v *verb, m pull.Comment) (refused *Reason, ready bool) {
	if v == nil {
		return &Reason{Code: CommandUnknown, Verb: cmd.Verb, Names: []string{meant(cmd.Verb)}}, true
	}
	who, off := c.p.mayGive(v.name)
	args, ok := v.read(cmd.Args)
	switch {
	case off:
		return &Reason{Code: CommandOff, Verb: v.name, Who: []string{WhoPolicy}}, true
	case c.s.State != pull.Open && !slices.Contains(v.when, c.s.State):
		return &Reason{Code: CommandState, Verb: v.name, Value: string(c.s.State)}, true
	case !ok:
		return &Reason{Code: CommandArguments, Verb: v.name, Text: cmd.Args, Value: v.usage()}, true
	}
	if v.bound && args.word != "cancel" {
		if r := c.bind(cmd, m); r != nil {
			until := written(m).Add(headsFor)
			if ready = !c.now.Before(until); !ready {
				c.lookAt(until)
			}
			return r, ready
		}
	}
	if r := c.pointless(cmd, v, args); r != nil {
		return r, true
	}
	if c.ownTo(cmd, v, args) {
		return nil, true
	}
	result, why := c.allowed(v.name, cmd.Writer, true)
	switch {
	case result == True:
		return nil, true
	case result == Unknown && why == "":
		return nil, false
	case result == Unknown:
		return &Reason{Code: CommandUnsure, Verb: v.name, By: cmd.Writer.Login, Text: why, Who: who.names(c.s)}, true
	}
	return &Reason{Code: CommandNotAllowed, Verb: v.name, By: cmd.Writer.Login, Who: who.names(c.s)}, true
}

// ownTo reports whether a command takes back what its writer has put in force: that takes no permission.
func (c *commanding) ownTo(cmd *pull.Command, v *verb, args arguments) bool {
	switch {
	case v.name == "unhold":
		return gave(cmd.Writer, c.next.Hold)
	case v.name == "unmerge":
		return gave(cmd.Writer, c.next.Merge)
	}
	return v.name == "approve" && args.word == "cancel"
}

// bind finds the commit that the writer of a command saw, and refuses unless it is the head now.
func (c *commanding) bind(cmd *pull.Command, m pull.Comment) *Reason {
	head := c.s.Head.SHA
	if m.Source == pull.Conversation {
		cmd.HeadSeen = c.headAt(m.At)
	} else {
		cmd.HeadSeen = m.Commit
	}
	switch {
	case !m.EditedAt.IsZero() && (!m.Editor.Same(m.Author) || c.headAt(m.EditedAt) != cmd.HeadSeen):
		return &Reason{Code: CommandEdited, Verb: cmd.Verb}
	case cmd.HeadSeen == "" || head == "" || c.f.ofOtherBase(m.At):
		return &Reason{Code: CommandHeadUnknown, Verb: cmd.Verb, SHA: head}
	case cmd.HeadSeen != head:
		return &Reason{Code: CommandOldHead, Verb: cmd.Verb, Value: string(cmd.HeadSeen), SHA: head}
	}
	return nil
}

// headAt tells which commit the head was at a moment, from what was seen of it before and after. It is "" where that is not
// certain: GitHub tells times to the second, and what was pushed within the same one may have been seen or not.
func (d *decider) headAt(at time.Time) pull.SHA {
	type step struct {
		pull.HeadAt
		forced bool // GitHub says that the head was moved there then, so it was elsewhere before
	}
	var steps []step
	for _, h := range d.was.Heads {
		steps = append(steps, step{h, false})
	}
	for _, h := range d.s.Moves {
		steps = append(steps, step{h, true})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.At.Compare(b.At) })
	at = at.Truncate(time.Second)
	var seen pull.SHA
	for _, h := range steps {
		switch when := h.At.Truncate(time.Second); {
		case when.Before(at):
			seen = h.SHA
		case h.SHA != seen && when.Equal(at):
			return ""
		case h.SHA == seen && h.forced:
			// Moved away and back, and nobody knows since when it was elsewhere: what is pushed and gone again between two
			// looks leaves no trace, whatever was seen after it.
			return ""
		}
	}
	return seen
}

// pointless refuses what could have no effect.
func (c *commanding) pointless(cmd *pull.Command, v *verb, args arguments) *Reason {
	r := &Reason{Code: CommandPointless, Verb: v.name, SHA: c.s.Head.SHA}
	switch v.name {
	case "merge":
		if m := c.p.merge; m != nil && (m.command || len(m.labels) == 0) { // where nobody has to ask, asking does no harm
			return nil
		}
	case "unmerge":
		if c.next.Merge != nil || len(c.taken(cmd)) > 0 {
			return nil
		}
	case "unhold":
		if c.next.Hold != nil {
			return nil
		}
	case "approve":
		if _, given := c.next.Approvals[cmd.Writer.ID]; given || args.word != "cancel" || len(c.taken(cmd)) > 0 {
			return nil
		}
	case "reroll":
		if len(c.picked(args.names)) > 0 {
			return nil
		}
	case "retest":
		suites, others := c.failed()
		if len(suites) > 0 {
			return nil
		}
		r.Names = others
	case "cc", "uncc":
		for _, n := range args.names {
			if org, _, team := strings.Cut(n, "/"); team && !strings.EqualFold(org, c.s.Repo.Owner) {
				r.Names = []string{n}
				return r
			}
		}
		return nil
	default:
		return nil
	}
	return r
}

// taken are the commands that wait and that a later one takes back: any /merge, but nobody else's /approve.
func (c *commanding) taken(by *pull.Command) []pull.Command {
	var out []pull.Command
	for _, w := range c.waiting {
		if by.Verb == "unmerge" && w.Verb == "merge" || by.Verb == "approve" && w.Verb == "approve" && w.Writer.Same(by.Writer) {
			out = append(out, w)
		}
	}
	return out
}

// takeBack lets those come to nothing.
func (c *commanding) takeBack(by *pull.Command) {
	for _, w := range c.taken(by) {
		w.Status = pull.CommandDone
		c.add(w)
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(w pull.Command) bool { return c.byKey[w.Key] != nil })
}

// failed are the suites of the checks that failed, and the names of checks that belong to none and can't be run again from here.
func (c *commanding) failed() (suites []int64, others []string) {
	for _, check := range c.f.latest {
		switch {
		case check.State != pull.CheckFailed:
		case check.Suite == 0:
			others = append(others, check.Name)
		case !slices.Contains(suites, check.Suite):
			suites = append(suites, check.Suite)
		}
	}
	return suites, others
}

// gave reports whether somebody gave an order that is in force.
func gave(a pull.Actor, o *pull.Order) bool { return o != nil && o.By.Same(a) }

// accept puts what a command says in force, or leaves it open with what it wants done.
func (c *commanding) accept(cmd *pull.Command, v *verb) {
	args, _ := v.read(cmd.Args)
	order := &pull.Order{By: cmd.Writer, SHA: cmd.HeadSeen, At: cmd.CreatedAt, Command: cmd.Key, Args: args.word}
	switch v.name {
	case "merge":
		c.next.Merge = order
	case "unmerge":
		c.next.Merge = nil
		c.takeBack(cmd)
	case "hold":
		order.Args = args.text
		c.next.Hold = order
	case "unhold":
		c.next.Hold = nil
	case "approve":
		c.next.Approvals = maps.Clone(c.next.Approvals)
		if args.word == "cancel" {
			delete(c.next.Approvals, cmd.Writer.ID)
			c.takeBack(cmd)
			break
		}
		if c.next.Approvals == nil {
			c.next.Approvals = map[int64]pull.Order{}
		}
		c.next.Approvals[cmd.Writer.ID] = *order
	case "reroll":
		c.next.Passed = distinct(append(slices.Clone(c.next.Passed), c.picked(args.names)...))
		return
	case "why", "help":
	default:
		return // open until it is done
	}
	cmd.Status = pull.CommandDone
}

// commandCodes are the codes of reasons about commands.
var commandCodes = []Code{
	CommandUnknown, CommandOff, CommandState, CommandArguments, CommandEdited, CommandHeadUnknown, CommandOldHead, CommandPointless,
	CommandUnsure, CommandNotAllowed, CommandFailed, CommandOutdated, LabelAsked,
}

// Codes of reasons about commands.
const (
	CommandUnknown     Code = "command_unknown"      // Verb, Names: what may have been meant
	CommandOff         Code = "command_off"          // Verb
	CommandState       Code = "command_state"        // Verb, Value: closed or merged
	CommandArguments   Code = "command_arguments"    // Verb, Text: what was given, Value: how it is written
	CommandEdited      Code = "command_edited"       // Verb
	CommandHeadUnknown Code = "command_head_unknown" // Verb, SHA: the head
	CommandOldHead     Code = "command_old_head"     // Verb, Value: what its writer saw, SHA: the head
	CommandPointless   Code = "command_pointless"    // Verb, SHA, Names: checks that can't be run again, or a team
	CommandUnsure      Code = "command_unsure"       // Verb, By, Text: why it is not known whether they may
	CommandNotAllowed  Code = "command_not_allowed"  // Verb, By
	CommandFailed      Code = "command_failed"       // Verb, Text: GitHub's words
	CommandOutdated    Code = "command_outdated"     // Verb, By, SHA: the commit that it was about
	LabelAsked         Code = "label_asked"          // Label, By: somebody has asked for it in a comment
)
