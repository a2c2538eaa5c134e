package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

type mergeShape struct {
	If           condition `json:"if" jsonschema:"required" jsonschema_description:"The condition, in CEL, under which a pull request is merged. Drafts and conflicts are never merged, whatever it says."`
	Label        texts     `json:"label,omitempty" jsonschema_description:"Names of labels. With this or command, the condition alone does not merge: somebody who may give the command /merge has to set one of the labels."`
	Command      bool      `json:"command,omitempty" jsonschema_description:"true: the condition alone does not merge: somebody who may has to write /merge."`
	Method       methods   `json:"method,omitempty" default:"the first of squash, merge and rebase that the repository allows" jsonschema_description:"How to merge: squash, merge, rebase or fast-forward; or a list of mappings of if and method, the first of which that holds counts, with a method of its own at the end. Without it, the first that the repository allows of squash, merge and rebase."`
	Title        string    `json:"title,omitempty" jsonschema:"enum=pull-request,enum=commits" jsonschema_description:"The first line of the commit that squash and merge make: the pull request's title, or that of its commit if it has only one. Without it, as set up in the repository."`
	Body         bodyShape `json:"body,omitempty" jsonschema_description:"The rest of that commit's message: the pull request's description, the messages of its commits, empty, or what stands between two marks in the description. Without it, as set up in the repository."`
	Update       string    `json:"update,omitempty" jsonschema:"enum=never,enum=merge,enum=rebase" default:"never" jsonschema_description:"What to do when being up to date with the base is all that is missing: never (the default) leaves it to people; merge merges the base into the head branch, rebase rebases it. One pull request at a time for each base."`
	DeleteBranch bool      `json:"delete-branch,omitempty" default:"false" jsonschema_description:"true: delete the head branch after the service has merged it, if nothing was pushed to it since. Pull requests that are based on it get this one's base first."`
}

type (
	methods   []methodShape
	bodyShape struct {
		Between []string `json:"between,omitempty"`
	}
)

type methodShape struct {
	If     condition `json:"if" jsonschema:"required" jsonschema_description:"A condition in CEL."`
	Method string    `json:"method" jsonschema:"required,enum=squash,enum=merge,enum=rebase,enum=fast-forward" jsonschema_description:"How to merge where the condition holds."`
}

var (
	mergeKeys  = keysOf[mergeShape]()
	methodKeys = keysOf[methodShape]()
	bodyKeys   = keysOf[bodyShape]()
)

type mergeRule struct {
	pos          Pos
	when         *program // nil only in the rule that stands for none, where a rule of the section rules merges
	labels       []string // one of them asks for the merge
	command      bool     // so does the command
	methods      []methodChoice
	message      messageRule
	update       pull.MergeMethod // how to bring up to date; "" leaves it to people
	deleteBranch bool
}

// A methodChoice is a way of merging, and when it is the one; without a condition, always.
type methodChoice struct {
	when   *program
	method pull.MergeMethod
}

// methodNames are the ways of merging in the words of the file.
var methodNames = []string{string(pull.Squash), string(pull.MergeCommit), string(pull.Rebase), string(pull.FastForward)}

// maxMethods bounds the choices of a method.
const maxMethods = 20

func (r *reader) merge(e entry) *mergeRule {
	m := &mergeRule{pos: e.at}
	entries, ok := r.mapping(e.value, "merge", mergeKeys, false)
	if !ok {
		return nil
	}
	conditioned := false
	for _, k := range entries {
		switch k.key {
		case "if":
			conditioned = true
			m.when = r.condition(k)
		case "label":
			for _, s := range r.list(k.value, "label") {
				m.labels = append(m.labels, s.text)
			}
		case "command":
			m.command = r.truth(k.value, k.key)
		case "method":
			m.methods = r.methods(k)
		case "title":
			m.message.title = textSource(r.oneOf(k.value, "title", string(fromPull), string(fromCommits)))
		case "body":
			r.body(k, &m.message)
		case "update":
			if how := r.oneOf(k.value, "update", "never", string(pull.MergeCommit), string(pull.Rebase)); how != "never" {
				m.update = pull.MergeMethod(how)
			}
		case "delete-branch":
			m.deleteBranch = r.truth(k.value, k.key)
		}
	}
	if !conditioned {
		r.say(e.at, `For example, "if: approved && checks.green".`, "merge does not say when: it needs the key if.")
	}
	return m
}

// methods reads one method, or a list of choices that ends in one without a condition.
func (r *reader) methods(e entry) []methodChoice {
	if _, list := e.value.(*ast.SequenceNode); !list && !isMapping(e.value) {
		return []methodChoice{{method: r.method(e.value)}}
	}
	const hint = `For example, "[{ if: pr.fork, method: squash }, merge]".`
	var out []methodChoice
	items := r.items(e, "method", maxMethods)
	for i, item := range items {
		var c methodChoice
		if isMapping(item) {
			keys, _ := r.mapping(item, "A choice of method", methodKeys, false)
			for _, k := range keys {
				if k.key == "if" {
					c.when = r.condition(k)
				} else {
					c.method = r.method(k.value)
				}
			}
			if len(keys) < len(methodKeys) && len(r.problems) == 0 {
				r.say(r.pos(item), hint, "A choice of method needs the keys if and method.")
			}
		} else if c.method = r.method(item); i < len(items)-1 {
			r.say(r.pos(item), "Put it at the end of the list.", "What follows a method without a condition is never used.")
		}
		if i == len(items)-1 && isMapping(item) {
			r.say(r.pos(item), hint, "The last method of the list must be one without a condition, for when none of the others holds.")
		}
		out = append(out, c)
	}
	return out
}

func (r *reader) method(n ast.Node) pull.MergeMethod {
	return pull.MergeMethod(r.oneOf(n, "method", methodNames...))
}

// Codes of reasons about merging, beyond those that there are in any policy.
const (
	MergeNotAsked     Code = "merge_not_asked"     // Label: one that asks for it; Verb: the command that does
	MergeLabelDenied  Code = "merge_label_denied"  // Label, By: who set it and may not
	MergeLabelUnknown Code = "merge_label_unknown" // Label, By; Text: why it can't be told whether they may
	MergeByRules      Code = "merge_by_rules"      // there is no merge section, and no rule asks for the merge
	Held              Code = "held"                // By; Text: why

	IsBehind    Code = "behind"       // Branch
	NotForward  Code = "not_forward"  // Branch: it has commits that the head lacks
	Updating    Code = "updating"     // Branch, Method
	Updated     Code = "updated"      // Branch: a moment ago
	UpdatedFor  Code = "updated_for"  // Count: the pull request whose turn it is; Branch, Until
	UpdatedMuch Code = "updated_much" // Count: how often; Branch, Until

	GitHubCheckFailed  Code = "github_check_failed"  // Names
	GitHubCheckPending Code = "github_check_pending" // Names
	GitHubReport       Code = "github_report"        // it waits for the service's own report
	GitHubApprovals    Code = "github_approvals"     // Count: how many it requires; Value: how many are there
	GitHubOwners       Code = "github_owners"
	GitHubLastPush     Code = "github_last_push"
	GitHubThreads      Code = "github_threads"    // Count: how many are not resolved; 0: not known
	GitHubSignatures   Code = "github_signatures" // Names: commits
	GitHubLocked       Code = "github_locked"     // Branch
	GitHubDeployments  Code = "github_deployments"
	GitHubOther        Code = "github_other" // Names: GitHub's names of its rules

	QueueNow     Code = "queue_now"     // SHA, Branch: being put into GitHub's merge queue
	QueueSettles Code = "queue_settles" // put in a moment ago
	InQueue      Code = "in_queue"      // Count: its position; Text: GitHub's word; By
	QueueLeft    Code = "queue_left"    // GitHub or somebody took it out; Until: when it is put in again
	QueueOut     Code = "queue_out"     // being taken out of it, because of what the other reasons say

	BranchInUse Code = "branch_in_use" // Branch; Names: the pull requests that are based on it
)

var mergeCodes = []Code{
	MergeNotAsked, MergeLabelDenied, MergeLabelUnknown, MergeByRules, Held,
	IsBehind, NotForward, Updating, Updated, UpdatedFor, UpdatedMuch,
	GitHubCheckFailed, GitHubCheckPending, GitHubReport, GitHubApprovals, GitHubOwners, GitHubLastPush, GitHubThreads,
	GitHubSignatures, GitHubLocked, GitHubDeployments, GitHubOther,
	QueueNow, QueueSettles, InQueue, QueueLeft, QueueOut, BranchInUse,
}

// An ask is a merge that a rule of the section rules asks for.
type ask struct {
	rule   *freeRule
	cond   *Node
	method pull.MergeMethod // "" leaves it to the merge section
}

// merge decides whether to merge, and if not, says everything that is missing.
func (d *decider) merge(look bool) {
	rule := d.p.merge
	switch {
	case rule != nil:
	case d.merging != nil:
		rule = &mergeRule{pos: d.merging.rule.pos}
	default:
		d.v.State = Waiting
		d.v.Reasons = []Reason{{Code: NoMergeRule, Who: []string{WhoWriter}}}
		switch {
		case d.e.hold != nil:
			d.v.Reasons = []Reason{*d.e.hold}
		case d.p.mergesByRule():
			d.v.Reasons = []Reason{{Code: MergeByRules, Who: []string{WhoWriter}}}
		}
		d.look(look)
		return
	}
	out := Rule{Section: "merge", Pos: rule.pos, Outcome: MergeWaits}
	if rule.when != nil {
		out.Condition = rule.when.evaluate(d.f)
	} else {
		out.Condition = d.merging.cond
	}
	reasons := append(d.obstacles(), d.unapproved(rule)...)
	method, more := d.method(rule)
	reasons = append(reasons, more...)
	reasons = append(reasons, blame(out.Condition, true, d.f)...)
	// That mergeability is unknown is worth a word only where nothing else is missing: beside anything else, it will be
	// known by then, and a report that mentions it would be written twice after every push.
	reasons = slices.DeleteFunc(reasons, func(r Reason) bool { return r.Code == MergeableUnknown })
	unsure := d.s.Mergeable != pull.MergeableClean // a conflict is among the obstacles
	reasons = append(reasons, d.notAsked(rule, len(reasons) == 0 && !unsure)...)
	if len(reasons) == 0 && unsure {
		reasons = []Reason{{Code: MergeableUnknown}}
	}
	if out.Condition.Result != True && len(reasons) == 0 {
		// Unreachable unless blame misses a way to be false; never merge on a condition that does not hold.
		reasons = []Reason{{Code: ConditionFalse, Text: out.Condition.Text, Who: []string{WhoPolicy}}}
	}
	reasons = sorted(distinct(reasons))

	asked, _ := d.was.Intent(pull.Merge, string(d.s.Head.SHA))
	behind := d.s.Behind && !d.queues() || method == pull.FastForward && len(reasons) == 0 && !d.forward()
	switch {
	case d.s.Queued != nil:
		reasons = d.queued(&out, reasons)
	case len(reasons) == 1 && reasons[0].Code == MergeableUnknown:
		look = true
	case onlyBehind(reasons):
		reasons = d.update(&out, rule, reasons)
	case len(reasons) > 0:
	case asked.Status == pull.Done && d.now.Before(asked.DoneAt.Add(settle)):
		d.v.Holds = true
		reasons = []Reason{{Code: Merging, Method: method, SHA: d.s.Head.SHA}}
		d.lookAt(asked.DoneAt.Add(settle))
	case d.queues():
		reasons = d.enqueue(&out, method)
	case behind:
		d.v.Holds = true
		reasons = []Reason{d.f.behind()}
		if method == pull.FastForward {
			reasons = []Reason{{Code: NotForward, Branch: d.s.Base.Name, Who: append(who(d.s.Author), WhoWriter)}}
		}
		reasons = d.update(&out, rule, reasons)
	case d.s.Blocked:
		reasons, look = d.blocked(method)
	default:
		reasons = d.mergeNow(&out, rule, method)
	}
	out.Why = reasons
	d.v.Rules = append(d.v.Rules, out)
	d.v.Reasons = reasons
	if d.v.State == "" {
		d.v.State = Waiting
		if slices.ContainsFunc(reasons, func(r Reason) bool { return r.Code.blocks() }) {
			d.v.State = Blocked
		}
	}
	d.keepTurn()
	if hasCode(reasons, ChecksPending, ChecksMissing, CheckAwaited, CheckNotStarted, GitHubCheckPending, InQueue) {
		d.lookAt(d.now.Add(awaitChecks))
	}
	if late := d.f.quietSince().Add(neverStarted); hasCode(reasons, ChecksMissing, CheckAwaited) && d.now.Before(late) {
		d.lookAt(late) // then it is time to say that they did not start
	}
	d.look(look)
}

// mergeNow merges the head, unless GitHub refused that lately. Then it says what GitHub's own rules have to do with it.
func (d *decider) mergeNow(out *Rule, rule *mergeRule, method pull.MergeMethod) []Reason {
	s := d.s
	merge := pull.Action{Kind: pull.Merge, Target: string(s.Head.SHA), SHA: s.Head.SHA, Method: method}
	merge.Title, merge.Body, merge.Blank = d.message(rule.message, method)
	d.v.Holds = true
	d.v.State = Ready
	out.Outcome = MergeNow
	out.Why = []Reason{{Code: ReadyToMerge, Method: method, SHA: s.Head.SHA, Branch: s.Base.Name, Names: d.f.leftOpen()}}
	if d.want(out, merge) {
		return out.Why
	}
	d.v.State = Blocked
	if in, _ := d.was.Intent(pull.Merge, merge.Target); in.Passing {
		d.v.State = Waiting
	}
	if d.f.need(pull.Need{Kind: pull.NeedRules}) {
		named, _ := d.githubs(method)
		return append(named, out.Why...)
	}
	return out.Why
}

// hasCode looks for a code among reasons and their alternatives.
func hasCode(reasons []Reason, codes ...Code) bool {
	return slices.ContainsFunc(reasons, func(r Reason) bool {
		return slices.Contains(codes, r.Code) || hasCode(r.Any, codes...)
	})
}

// obstacles are what keeps a pull request from being merged whatever the policy says.
func (d *decider) obstacles() []Reason {
	s := d.s
	var out []Reason
	if d.e.hold != nil {
		out = append(out, *d.e.hold)
	}
	if s.Archived {
		out = append(out, Reason{Code: Archived, Who: []string{WhoAdmin}})
	}
	if h := d.next.Hold; h != nil {
		out = append(out, Reason{Code: Held, By: h.By.Login, Text: shorten(h.Args, 200), Who: distinct(append(who(h.By), d.whoMayGive("unhold")...))})
	}
	if s.Draft {
		out = append(out, d.f.draft())
	}
	if s.Mergeable == pull.MergeableConflict {
		out = append(out, d.f.conflict())
	}
	if s.Head.SHA == "" || s.Base.Name == "" {
		out = append(out, Reason{Code: HeadGone, Who: who(s.Author)})
	}
	switch s.Permission {
	case pull.PermissionTriage, pull.PermissionRead, pull.PermissionNone:
		out = append(out, Reason{Code: CannotWrite, By: s.Us.Login, Who: []string{WhoAdmin}})
	}
	return out
}

// method says how to merge, and what is wrong with that.
func (d *decider) method(rule *mergeRule) (pull.MergeMethod, []Reason) {
	var method pull.MergeMethod
	for _, c := range rule.methods {
		if c.when == nil {
			method = c.method
			break
		}
		n := c.when.evaluate(d.f)
		if n.Result == True {
			method = c.method
			break
		}
		if n.Result != False {
			return c.method, blame(n, true, d.f) // it may be this one, or not
		}
	}
	if d.merging != nil && d.merging.method != "" {
		method = d.merging.method
	}
	if o := d.ordered(); o != nil && rule.command && slices.Contains(methodNames, o.Args) {
		method = pull.MergeMethod(o.Args)
	}
	if method == pull.FastForward {
		return method, nil // whether it is possible depends on the commits, not on a setting
	}
	allowed := d.allowedMethods()
	switch {
	case len(allowed) == 0:
		return method, []Reason{{Code: NoMethodAllowed, Who: []string{WhoAdmin}}}
	case method == "":
		for _, m := range []pull.MergeMethod{pull.Squash, pull.MergeCommit, pull.Rebase} {
			if slices.Contains(allowed, m) {
				return m, nil
			}
		}
	case !slices.Contains(allowed, method):
		var names []string
		for _, m := range allowed {
			names = append(names, string(m))
		}
		return method, []Reason{{Code: MethodNotAllowed, Method: method, Names: names, Who: []string{WhoAdmin, WhoPolicy}}}
	}
	return method, nil
}

// allowedMethods are those that the repository allows and, where they are known, GitHub's rules for the base branch.
func (d *decider) allowedMethods() []pull.MergeMethod {
	rules := d.s.Known.Rules
	return slices.DeleteFunc(slices.Clone(d.s.AllowedMethods), func(m pull.MergeMethod) bool {
		return rules != nil && (rules.Methods != nil && !slices.Contains(rules.Methods, m) || rules.Linear && m == pull.MergeCommit)
	})
}

// ordered is the command that asks for the merge of the head as it is now.
func (d *decider) ordered() *pull.Order {
	if o := d.next.Merge; o != nil && o.SHA == d.s.Head.SHA && o.SHA != "" {
		return o
	}
	return nil
}

// notAsked says why nobody's word asks for the merge, where the policy wants one. alone: nothing else is missing, so that
// the merge follows from the answer.
func (d *decider) notAsked(rule *mergeRule, alone bool) []Reason {
	if d.merging != nil || len(rule.labels) == 0 && !rule.command {
		return nil
	}
	_, off := d.p.mayGive("merge")
	if rule.command && !off && d.ordered() != nil {
		return nil
	}
	r := Reason{Code: MergeNotAsked, Who: d.whoMayGive("merge")}
	switch {
	case !rule.command:
	case off && len(rule.labels) == 0:
		r = Reason{Code: CommandOff, Verb: "merge", Who: []string{WhoPolicy}} // nothing could ever ask for it
	case off:
	case d.outdated != nil:
		r = *d.outdated
	default:
		r.Verb = "merge"
	}
	setters := d.labelMerges().names(d.s)
	if len(rule.labels) > 0 && r.Code == MergeNotAsked {
		r.Who = setters // the same as for the command, unless that is switched off
	}
	var denied []Reason
	for _, name := range rule.labels {
		l, there := d.s.Has(name)
		if !there {
			r.Label = or(r.Label, name)
			continue
		}
		switch may, why := d.mayAsk(l, alone); may {
		case True:
			return nil
		case False:
			denied = append(denied, Reason{Code: MergeLabelDenied, Label: l.Name, By: l.SetBy.Login, Verb: r.Verb, Who: setters})
		default:
			denied = append(denied, Reason{Code: MergeLabelUnknown, Label: l.Name, By: l.SetBy.Login, Text: why, Who: setters})
		}
	}
	if len(denied) > 0 && r.Code == MergeNotAsked {
		return denied
	}
	return append([]Reason{r}, denied...)
}

// mayAsk tells whether whoever put a label on may ask for a merge. What the service itself put on says nothing: it does that
// on the word of people who may set labels, and by conditions.
func (d *decider) mayAsk(l pull.Label, fresh bool) (Result, string) {
	if l.SetBy.ID == 0 {
		return Unknown, "GitHub does not tell who set it"
	}
	if l.SetBy.Same(d.s.Us) {
		wrote := slices.ContainsFunc(d.was.Intents, func(in pull.Intent) bool {
			// A command may have named it in other letters.
			return in.Action.Kind == pull.AddLabel && strings.EqualFold(in.Action.Target, l.Name) && in.Status != pull.Failed
		})
		if d.s.AsApp || wrote {
			return False, ""
		}
	}
	return d.f.among(d.labelMerges(), l.SetBy, fresh)
}

// labelMerges returns whose label asks for a merge: of those who may give the command; where it is switched off, of those who
// may without a word of the policy.
func (d *decider) labelMerges() *people {
	if who, off := d.p.mayGive("merge"); !off {
		return who
	}
	return verbNamed("merge").allow
}

// queues reports whether GitHub's own merge queue is what merges into the base.
func (d *decider) queues() bool {
	if d.s.MergeQueue || d.s.Known.Rules != nil && d.s.Known.Rules.MergeQueue {
		return true
	}
	// That a queue is asked for may only show in a merge that is refused.
	if in, ok := d.was.Intent(pull.Merge, string(d.s.Head.SHA)); ok && in.Status == pull.Failed && in.Failures > 0 {
		d.f.need(pull.Need{Kind: pull.NeedRules})
	}
	return false
}

// queueAgain spaces the times that one commit is put into GitHub's queue by itself.
const queueAgain = 2 * time.Hour

// enqueue puts the head into GitHub's own queue. What GitHub or a person took out of it stays out, until somebody asks
// again, a commit is pushed, or enough time has passed.
func (d *decider) enqueue(out *Rule, method pull.MergeMethod) []Reason {
	s := d.s
	add := pull.Action{Kind: pull.Enqueue, Target: string(s.Head.SHA), SHA: s.Head.SHA, Method: method}
	d.v.Holds = true
	if in, ok := d.was.Intent(pull.Enqueue, add.Target); ok && in.Status == pull.Done {
		if settled := in.DoneAt.Add(settle); d.now.Before(settled) {
			d.lookAt(settled)
			return []Reason{{Code: QueueSettles, Branch: s.Base.Name}}
		}
		ours, _ := d.was.Intent(pull.Dequeue, add.Target)
		left := in.DoneAt
		again := left.Add(min(queueAgain<<min(max(in.Attempt, 1)-1, 6), 24*time.Hour))
		if ours.Status == pull.Done && ours.DoneAt.After(left) {
			again = ours.DoneAt.Add(settle) // by the service itself, for a reason that is gone
			if in.Attempt > restlessAfter {
				again = ours.DoneAt.Add(restlessFor)
			}
		}
		if d.now.Before(again) && !d.askedSince(left) {
			d.lookAt(again)
			return []Reason{{Code: QueueLeft, Branch: s.Base.Name, Until: again.UTC(), Who: []string{WhoWriter}}}
		}
	}
	d.v.State = Ready
	out.Outcome = MergeQueue
	out.Why = []Reason{{Code: QueueNow, SHA: s.Head.SHA, Branch: s.Base.Name}}
	if !d.want(out, add) {
		d.v.State = Blocked
	}
	return out.Why
}

// askedSince reports whether somebody has asked for the merge after a moment.
func (d *decider) askedSince(at time.Time) bool {
	if o := d.ordered(); o != nil && o.At.After(at) {
		return true
	}
	if d.p.merge != nil {
		for _, name := range d.p.merge.labels {
			if l, ok := d.s.Has(name); ok && l.SetAt.After(at) {
				return true
			}
		}
	}
	return false
}

// queued is what follows for a pull request in GitHub's queue: it stays while all holds. What is the service's doing is
// taken out again when something no longer does; what a person put in is theirs.
func (d *decider) queued(out *Rule, reasons []Reason) []Reason {
	s := d.s
	q := s.Queued
	here := Reason{Code: InQueue, Branch: s.Base.Name, Count: q.Position, Text: q.State, By: q.By.Login}
	missing := slices.DeleteFunc(reasons, func(r Reason) bool { return r.Code == MergeableUnknown })
	if len(missing) == 0 {
		d.v.Holds = true
		return []Reason{here}
	}
	if !d.enqueuedByUs() {
		return append([]Reason{here}, missing...)
	}
	if !d.dequeue(out) {
		return append(out.Why, missing...)
	}
	return append([]Reason{{Code: QueueOut, Branch: s.Base.Name}}, missing...)
}

// enqueuedByUs reports whether the service has put the pull request into GitHub's queue.
func (d *decider) enqueuedByUs() bool {
	q := d.s.Queued
	in, ok := d.was.Intent(pull.Enqueue, string(d.s.Head.SHA))
	return q != nil && (d.s.AsApp && q.By.Same(d.s.Us) || ok && in.Status == pull.Done && (q.By.ID == 0 || q.By.Same(d.s.Us)))
}

// dequeue takes the pull request out of GitHub's queue, and reports whether it is on its way out.
func (d *decider) dequeue(out *Rule) bool {
	remove := pull.Action{Kind: pull.Dequeue, Target: string(d.s.Head.SHA), SHA: d.s.Head.SHA}
	in, _ := d.was.Intent(pull.Enqueue, remove.Target)
	if was, _ := d.was.Intent(pull.Dequeue, remove.Target); was.Status == pull.Done && was.DoneAt.After(in.DoneAt) && d.now.Before(was.DoneAt.Add(settle)) {
		d.lookAt(was.DoneAt.Add(settle)) // GitHub may be showing what was before
		return true
	}
	out.Outcome = MergeDequeue
	return d.want(out, remove)
}

// leaveQueue takes the pull request out of GitHub's queue when the service is to keep off it.
func (d *decider) leaveQueue() {
	if d.s.State == pull.Open && d.enqueuedByUs() {
		out := Rule{Section: "merge", Why: []Reason{{Code: QueueOut, Branch: d.s.Base.Name}}}
		if d.p.merge != nil {
			out.Pos = d.p.merge.pos
		}
		d.dequeue(&out)
		d.v.Rules = append(d.v.Rules, out)
	}
}

// forward reports whether the base can be moved forward to the head: it has nothing that the head lacks. That is so when
// one of the head's own commits grows out of the tip of the base.
func (d *decider) forward() bool {
	if !d.f.need(pull.Need{Kind: pull.NeedCommits}) {
		return true // the decision is made again
	}
	tip := d.s.BaseBranchTip
	return tip != "" && slices.ContainsFunc(d.s.Known.Commits.List, func(c pull.Commit) bool { return slices.Contains(c.Parents, tip) })
}

// onlyBehind reports whether the condition wants nothing else than a head that is up to date.
func onlyBehind(reasons []Reason) bool {
	return len(reasons) == 1 && (reasons[0].Code == IsBehind || reasons[0].Code == NotForward)
}

// How often a branch is brought up to date by itself, so that a base that moves all the time costs no more than that.
const (
	updatesMost = 5
	updatesIn   = 12 * time.Hour
)

// update brings the head up to date with its base, when it is this pull request's turn; why is what it would be for.
func (d *decider) update(out *Rule, rule *mergeRule, why []Reason) []Reason {
	s := d.s
	if rule.update == "" {
		return why
	}
	a := pull.Action{Kind: pull.UpdateBranch, Target: string(s.Head.SHA), SHA: s.Head.SHA, Method: rule.update}
	if in, ok := d.was.Intent(pull.UpdateBranch, a.Target); ok && in.Status == pull.Done && d.now.Before(in.DoneAt.Add(settle)) {
		d.lookAt(in.DoneAt.Add(settle))
		return []Reason{{Code: Updated, Branch: s.Base.Name}}
	}
	count, first := 0, time.Time{}
	for _, in := range d.was.Intents {
		if in.Action.Kind == pull.UpdateBranch && in.Action.Command == "" && in.Status == pull.Done && in.DoneAt.After(d.now.Add(-updatesIn)) {
			count += max(in.Attempt, 1)
			if first.IsZero() || in.DoneAt.Before(first) {
				first = in.DoneAt
			}
		}
	}
	if count >= updatesMost {
		until := first.Add(updatesIn).UTC()
		d.lookAt(until)
		return append([]Reason{{Code: UpdatedMuch, Branch: s.Base.Name, Count: count, Until: until, Who: []string{WhoWriter}}}, why...)
	}
	if !d.f.need(pull.Need{Kind: pull.NeedTurn, Name: s.Base.Name}) {
		return why
	}
	if t := s.Known.Turn; t.Number != 0 && t.Number != s.Number {
		again := d.now.Add(awaitChecks)
		if t.Until.Before(again) {
			again = t.Until
		}
		d.lookAt(again)
		return []Reason{{Code: UpdatedFor, Branch: s.Base.Name, Count: t.Number, Until: t.Until.UTC()}}
	}
	d.turnTaken = true
	out.Outcome = MergeUpdate
	out.Why = []Reason{{Code: Updating, Branch: s.Base.Name, Method: rule.update}}
	if !d.want(out, a) {
		return append(out.Why, why...)
	}
	return out.Why
}

// keepTurn keeps the turn to be brought up to date that this pull request has, for as long as nothing but time stands
// between it and the merge.
func (d *decider) keepTurn() {
	d.next.Turn = ""
	onWay := !slices.ContainsFunc(d.v.Reasons, func(r Reason) bool {
		switch r.Code {
		case ChecksPending, ChecksMissing, CheckAwaited, MergeableUnknown, Merging, ReadyToMerge, Updating, Updated, GitHubRules,
			GitHubReport, GitHubCheckPending, QueueNow, QueueSettles, InQueue:
			return false
		}
		return true
	})
	if onWay && (d.turnTaken || d.was.Turn == d.s.Base.Name) {
		d.next.Turn = d.s.Base.Name
	}
}

// blocked says which of GitHub's own rules hold a pull request back that has all that the policy asks for.
func (d *decider) blocked(method pull.MergeMethod) (reasons []Reason, look bool) {
	// They may wait for this service's report, which turns green with this very decision: so look again soon. Trying
	// anyway would be refused, and a refusal is not repeated for an hour.
	d.v.Holds = true
	reasons = []Reason{{Code: GitHubRules, Who: []string{WhoAdmin}}}
	certain := false
	if d.f.need(pull.Need{Kind: pull.NeedRules, Fresh: true}) {
		var named []Reason
		if named, certain = d.githubs(method); len(named) > 0 {
			reasons = named
		} else if why := d.s.Known.Rules.Missing; why != "" {
			reasons[0].Text = why
		}
	}
	if !certain && d.was.Looks < len(lookAgain) {
		return reasons, true
	}
	d.next.Looks = d.was.Looks
	d.lookAt(d.now.Add(awaitChecks))
	return reasons, false
}

// githubs names the rules of GitHub's that hold a pull request back: those of which it can be seen that they do (certain),
// or else those that may.
func (d *decider) githubs(method pull.MergeMethod) (named []Reason, certain bool) {
	s, f := d.s, d.f
	rules := s.Known.Rules
	add := func(r Reason) { named = append(named, r) }
	var failed, pending []string
	for _, c := range rules.Checks {
		q := requirement{name: c.Name, appID: c.AppID}
		if ourReport(c.Name) {
			continue
		}
		switch q.state(f.latest) {
		case pull.CheckFailed:
			failed = append(failed, c.Name)
		case pull.CheckPending:
			pending = append(pending, c.Name)
		}
	}
	if len(failed) > 0 {
		add(Reason{Code: GitHubCheckFailed, Names: distinct(failed), Who: who(s.Author)})
	}
	if len(pending) > 0 {
		add(Reason{Code: GitHubCheckPending, Names: distinct(pending)})
	}
	named = append(named, f.absent()...)
	if o := f.reviews(); len(o.changesBy) > 0 && (rules.Approvals > 0 || rules.CodeOwners) {
		add(Reason{Code: ChangesRequested, Names: o.changesBy, Who: o.changesBy})
	}
	have := f.givenAnyway()
	if have < rules.Approvals {
		add(Reason{Code: GitHubApprovals, Count: rules.Approvals, Value: strconv.Itoa(have), Who: []string{WhoWriter}})
	}
	if open := f.openThreads(); rules.Conversation && (open > 0 || s.ThreadsTruncated) {
		if s.ThreadsTruncated {
			open = 0
		}
		add(Reason{Code: GitHubThreads, Count: open, Who: append(who(s.Author), WhoWriter)})
	}
	if rules.UpToDate && s.Behind {
		add(f.behind())
	}
	if rules.Signatures && f.need(pull.Need{Kind: pull.NeedCommits}) {
		if bad := unsigned(s.Known.Commits.List); len(bad) > 0 {
			add(Reason{Code: GitHubSignatures, Names: bad, Who: who(s.Author)})
		}
	}
	if rules.Locked {
		add(Reason{Code: GitHubLocked, Branch: s.Base.Name, Who: []string{WhoAdmin}})
	}
	if len(named) > 0 {
		return named, true
	}

	// From here on it can't be seen whether a rule is met, only that there is one.
	for _, c := range rules.Checks {
		if ourReport(c.Name) && (s.Report == nil || s.Report.State != pull.ReportGood) {
			return []Reason{{Code: GitHubReport}}, false
		}
	}
	if rules.CodeOwners {
		add(Reason{Code: GitHubOwners, Who: []string{WhoWriter}})
	}
	if rules.LastPush {
		add(Reason{Code: GitHubLastPush, Who: []string{WhoWriter}})
	}
	if len(rules.Deployments) > 0 {
		add(Reason{Code: GitHubDeployments, Names: rules.Deployments, Who: []string{WhoWriter}})
	}
	if len(rules.Others) > 0 {
		add(Reason{Code: GitHubOther, Names: rules.Others, Who: []string{WhoAdmin}})
	}
	if len(named) > 0 && rules.Missing != "" {
		add(Reason{Code: GitHubRules, Text: rules.Missing, Who: []string{WhoAdmin}})
	}
	return named, false
}

// givenAnyway counts the approvals as GitHub does where it does not dismiss them: whatever commit they were given on.
func (f *facts) givenAnyway() int {
	o := f.reviews()
	return len(o.approvedBy) + len(o.staleBy) + len(o.otherBaseBy)
}

func (f *facts) openThreads() int {
	open := 0
	for _, t := range f.s.Threads {
		if !t.Resolved {
			open++
		}
	}
	return open
}

func unsigned(list []pull.Commit) []string {
	var out []string
	for _, c := range list {
		if !c.Verified {
			out = append(out, c.SHA.Short())
		}
	}
	return out
}

func (f *facts) behind() Reason {
	return Reason{Code: IsBehind, Branch: f.s.Base.Name, Who: append(who(f.s.Author), WhoWriter)}
}

// branch deletes the head branch of a pull request that the service has merged. Others that are based on it get this one's
// base first: GitHub would close them.
func (d *decider) branch() {
	if d.p.merge == nil || !d.p.merge.deleteBranch {
		return
	}
	s := d.s
	out := Rule{Section: "merge", Name: "delete-branch", Pos: d.p.merge.pos, Outcome: BranchKept}
	merged, _ := d.was.Intent(pull.Merge, string(s.Head.SHA))
	enqueued, _ := d.was.Intent(pull.Enqueue, string(s.Head.SHA))
	ours := merged.Status == pull.Done || merged.Status == pull.Executing || enqueued.Status == pull.Done ||
		d.s.AsApp && s.MergedBy.Same(s.Us) // by a ledger that is gone
	theirs := s.MergedBy.ID != 0 && s.Us.ID != 0 && !s.MergedBy.Same(s.Us) && enqueued.Status != pull.Done // a queue merges in GitHub's own name
	why := Reason{Branch: s.Head.Name}
	switch {
	case s.HeadBranchTip == "":
		why.Code = BranchIsDeleted
	case !ours || theirs:
		why.Code, why.By = BranchNotOurs, s.MergedBy.Login
	case s.Fork:
		why.Code = BranchOfFork
	case s.Head.Name == "" || s.Head.Name == s.Base.Name || s.Head.Name == s.DefaultBranch:
		why.Code = BranchProtected
	case s.HeadBranchTip != s.Head.SHA:
		why.Code = BranchMoved
	default:
		why.Code = BranchUnused
		out.Outcome = BranchDelete
	}
	if out.Outcome == BranchDelete && !d.f.need(pull.Need{Kind: pull.NeedDependents, Fresh: true}) {
		return
	}
	if out.Outcome == BranchDelete && (len(s.Known.Dependents.Numbers) > 0 || s.Known.Dependents.Truncated) {
		why.Code, out.Outcome = BranchInUse, BranchKept
		for _, n := range s.Known.Dependents.Numbers {
			why.Names = append(why.Names, "#"+strconv.Itoa(n))
		}
		why.Value = s.Base.Name
		out.Why = []Reason{why}
		d.retarget(&out)
		d.v.Rules = append(d.v.Rules, out)
		return
	}
	out.Why = []Reason{why}
	if out.Outcome == BranchDelete {
		d.want(&out, pull.Action{Kind: pull.DeleteBranch, Target: s.Head.Name, SHA: s.Head.SHA})
	}
	d.v.Rules = append(d.v.Rules, out)
}

// retarget gives the pull requests that are based on the head branch another base. The branch is deleted in a later pass,
// once GitHub shows that nothing is based on it any more.
func (d *decider) retarget(out *Rule) {
	for _, n := range d.s.Known.Dependents.Numbers {
		a := pull.Action{Kind: pull.Retarget, Target: strconv.Itoa(n), Branch: d.s.Base.Name}
		if in, ok := d.was.Intent(pull.Retarget, a.Target); ok && in.Status == pull.Done && d.now.Before(in.DoneAt.Add(settle)) {
			d.lookAt(d.now.Add(lookAfter(1)))
			continue
		}
		// What GitHub refuses, as it does where the new base has all the commits, is not looked at every two seconds for ever.
		if d.want(out, a) {
			d.lookAt(d.now.Add(lookAfter(1)))
		}
	}
	d.lookAt(d.now.Add(awaitChecks)) // what people do about them themselves
}

// mergesByRule reports whether a rule of the section rules can ask for a merge.
func (p *Policy) mergesByRule() bool {
	return slices.ContainsFunc(p.rules, func(r freeRule) bool {
		return slices.ContainsFunc(r.do, func(e deed) bool { return e.kind == deedMerge })
	})
}
