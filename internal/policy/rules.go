package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A freeShape is one rule of the section rules.
type freeShape struct {
	Name words `json:"name,omitempty" jsonschema_description:"What it is for, in a few words."`
	selectorShape
	Do deeds `json:"do" jsonschema:"required" jsonschema_description:"What is done while the rule's tests hold: approve, merge, ready, draft, close, or a mapping of one of merge (the method), close (a comment), comment (its text), assign, request-review (who) to its value."`
}

// deeds is one deed or a list of them; a deed is a word, or a mapping of one key.
type deeds []deedShape

type deedShape struct {
	Merge   string `json:"merge,omitempty" jsonschema:"enum=squash,enum=merge,enum=rebase,enum=fast-forward" jsonschema_description:"Asks for the merge, with this method."`
	Comment words  `json:"comment,omitempty" jsonschema_description:"Writes this comment, once for each pull request. {author}, {number} and {base} are filled in."`
	Close   words  `json:"close,omitempty" jsonschema_description:"Closes the pull request, with this comment."`
	Assign  texts  `json:"assign,omitempty" jsonschema_description:"Assigns these logins; author is the author."`
	Ask     texts  `json:"request-review,omitempty" jsonschema_description:"Asks these logins and teams (@acme/backend) for a review."`
}

var (
	freeKeys = keysOf[freeShape]()
	deedKeys = keysOf[deedShape]()
)

// A freeRule does things while its condition holds.
type freeRule struct {
	name string // as the file calls it, or "" ; unique among the rules that have one
	id   string // what the ledger and comments call it
	pos  Pos
	selector
	do []deed
}

// A deed is one thing that a rule does.
type deed struct {
	kind   string
	pos    Pos
	method pull.MergeMethod
	text   string
	who    []string // logins, teams as "acme/backend", wordAuthor
}

// What a rule can do, in the words of the file.
const (
	deedApprove = "approve"
	deedMerge   = "merge"
	deedReady   = "ready"
	deedDraft   = "draft"
	deedClose   = "close"
	deedComment = "comment"
	deedAssign  = "assign"
	deedAsk     = "request-review"
)

// deedWords are the deeds that need no value.
var deedWords = []string{deedApprove, deedMerge, deedReady, deedDraft, deedClose}

// Bounds of the section.
const (
	maxDeeds = 10
	maxWords = 4000
)

func (r *reader) freeRules(e entry) []freeRule {
	if _, empty := e.value.(*ast.NullNode); empty {
		return nil
	}
	list, ok := e.value.(*ast.SequenceNode)
	if !ok {
		r.say(r.pos(e.value), "Begin each rule with a dash.", "rules must be a list; this is %s.", kindOf(e.value))
		return nil
	}
	if len(list.Values) > maxRules {
		r.say(r.pos(e.value), "", "There are %d rules; at most %d are possible.", len(list.Values), maxRules)
		return nil
	}
	var out []freeRule
	names := map[string]bool{}
	for i, n := range list.Values {
		rule := r.freeRule(n)
		rule.id = rule.name
		switch {
		case rule.name == "":
			rule.id = "rule " + strconv.Itoa(i+1)
		case names[rule.name]:
			r.say(rule.pos, "Give each rule a name of its own: it is remembered under it what was done.", "There are two rules %q.", rule.name)
		}
		names[rule.name] = true
		out = append(out, rule)
	}
	return out
}

func (r *reader) freeRule(n ast.Node) freeRule {
	rule := freeRule{pos: r.pos(n)}
	before := len(r.problems)
	keys, ok := r.mapping(n, "A rule", freeKeys, false)
	if !ok {
		return rule
	}
	for _, k := range keys {
		switch k.key {
		case "name":
			rule.name = r.sentence(k)
			if len(r.problems) == before && (rule.name == "" || utf8.RuneCountInString(rule.name) > 100) {
				r.say(k.at, "", "A rule's name has 1 to 100 characters.")
			}
		case "do":
			for _, item := range r.items(k, "do", maxDeeds) {
				if done, ok := r.deed(item); ok {
					rule.do = append(rule.do, done)
				}
			}
		default:
			r.selectorKey(&rule.selector, k)
		}
	}
	if len(rule.do) == 0 && len(r.problems) == before {
		r.say(rule.pos, `For example, "do: [approve, merge]".`, "The rule does not say what to do: it needs the key do.")
	}
	return rule
}

func (r *reader) deed(n ast.Node) (deed, bool) {
	out := deed{pos: r.pos(n)}
	if !isMapping(n) {
		s, ok := r.text(n, "do")
		if !ok {
			return out, false
		}
		out.kind = s.text
		switch {
		case slices.Contains(deedWords, s.text):
			return out, true
		case slices.Contains(deedKeys, s.text):
			r.say(s.at, fmt.Sprintf("For example, %q.", "{ "+s.text+": … }"), "%s needs a value.", s.text)
		default:
			r.say(s.at, didYouMean(s.text, append(slices.Clone(deedWords), deedComment, deedAssign, deedAsk)), "A rule can't do %q.", s.text)
		}
		return out, false
	}
	keys, ok := r.mapping(n, "An entry of do", deedKeys, false)
	if !ok || len(keys) == 0 {
		return out, false
	}
	if len(keys) > 1 {
		r.say(keys[1].at, "Make it an entry of its own.", "An entry of do has one key.")
		return out, false
	}
	k := keys[0]
	out.kind = k.key
	switch k.key {
	case deedMerge:
		out.method = r.method(k.value)
	case deedComment, deedClose:
		s, ok := r.text(k.value, k.key)
		out.text = strings.TrimSpace(s.text)
		switch {
		case !ok:
		case out.text == "":
			r.say(s.at, "Fill it in, or drop it.", "%s is empty here.", k.key)
		case utf8.RuneCountInString(out.text) > maxWords:
			r.say(s.at, "", "This is longer than %d characters.", maxWords)
		}
	case deedAssign, deedAsk:
		for _, s := range r.list(k.value, k.key) {
			name := strings.TrimPrefix(s.text, "@")
			switch {
			case k.key == deedAsk && teamForm.MatchString(s.text), loginForm.MatchString(name) && (k.key == deedAssign || name != wordAuthor):
				out.who = append(out.who, name)
			case k.key == deedAsk:
				r.say(s.at, "Write a login (octocat) or a team (@acme/backend).", "%q can't be asked for a review.", s.text)
			default:
				r.say(s.at, "Write a login (octocat) or author.", "%q can't be assigned.", s.text)
			}
		}
	}
	return out, true
}

// Codes of reasons about the section rules.
const (
	RuleHolds     Code = "rule_holds"      // Label: the rule
	RuleHoldsNot  Code = "rule_holds_not"  // Label
	RuleEffect    Code = "rule_effect"     // Label; Verb: the kind of action; Text: its target
	RuleOnce      Code = "rule_once"       // Label; Verb, Text: what was done before, and has been undone since
	RuleOwnPull   Code = "rule_own_pull"   // Label: the service can't approve what it has opened itself
	RuleWithdraws Code = "rule_withdraws"  // the service's approval is taken back: no rule asks for it any more
	RuleAsksMerge Code = "rule_asks_merge" // Label
)

// ruleCodes are the codes of reasons about the section rules.
var ruleCodes = []Code{RuleHolds, RuleHoldsNot, RuleEffect, RuleOnce, RuleOwnPull, RuleWithdraws, RuleAsksMerge}

// rules does what the section rules asks for.
//
// What a rule asks for is done once, and not again when a person undoes it: approving, closing, making ready and making a
// draft once for each head commit; commenting, assigning and asking for a review once for each pull request. A merge is asked
// for as long as the rule holds, and the service's approval is taken back when no rule asks for it any more.
func (d *decider) rules() {
	approves, unsure := false, false
	for i := range d.p.rules {
		rule := &d.p.rules[i]
		cond := rule.evaluate(d.f)
		out := Rule{Section: "rules", Name: rule.id, Pos: rule.pos, Condition: cond}
		approving := slices.ContainsFunc(rule.do, func(e deed) bool { return e.kind == deedApprove })
		switch cond.Result {
		case True:
			approves = approves || approving
			d.ruleDoes(&out, rule, cond)
		case False:
			out.Outcome, out.Why = RuleIdle, []Reason{{Code: RuleHoldsNot, Label: rule.id}}
		default:
			unsure = unsure || approving
			out.Outcome, out.Why = LabelUnknown, blame(cond, true, d.f)
		}
		d.v.Rules = append(d.v.Rules, out)
	}
	if !approves && !unsure {
		d.withdraw()
	}
}

// ruleDoes carries out a rule that holds.
func (d *decider) ruleDoes(out *Rule, rule *freeRule, cond *Node) {
	s := d.s
	out.Outcome = RuleDone
	head := string(s.Head.SHA)
	say := func(r Reason) {
		r.Label = rule.id
		out.Why = append(out.Why, r)
	}
	// once wants an action unless it was done before: then somebody has undone it since, and it stays so.
	once := func(a pull.Action) {
		switch in, _ := d.was.Intent(a.Kind, a.Target); {
		case in.Status == pull.Done && d.now.Before(in.DoneAt.Add(settle)):
			d.lookAt(in.DoneAt.Add(settle)) // GitHub may be showing what was before
		case in.Status == pull.Done:
			say(Reason{Code: RuleOnce, Verb: string(a.Kind), Text: a.Target})
		default:
			refused := Rule{}
			if d.want(&refused, a) {
				out.Outcome = RuleDoes
				say(Reason{Code: RuleEffect, Verb: string(a.Kind), Text: a.Target})
				return
			}
			out.Outcome = Withheld
			out.Why = append(out.Why, refused.Why...)
		}
	}
	said := map[string]int{}
	for _, e := range rule.do {
		said[e.kind]++
		switch e.kind {
		case deedMerge:
			say(Reason{Code: RuleAsksMerge})
			if d.merging == nil {
				d.merging = &ask{rule: rule, cond: cond, method: e.method}
			}
		case deedApprove:
			switch {
			case s.Author.Same(s.Us):
				say(Reason{Code: RuleOwnPull})
			case head != "" && !d.approvedByUs():
				once(pull.Action{Kind: pull.Approve, Target: head, SHA: s.Head.SHA, Body: fmt.Sprintf("The rule “%s” of the policy approves this.\n\n%s", rule.id, pull.Marker(head))})
			}
		case deedReady:
			if s.Draft {
				once(pull.Action{Kind: pull.MarkReady, Target: head, SHA: s.Head.SHA})
			}
		case deedDraft:
			if !s.Draft {
				once(pull.Action{Kind: pull.MarkDraft, Target: head, SHA: s.Head.SHA})
			}
		case deedComment:
			d.comment(rule, e, said[e.kind], once)
		case deedClose:
			// The comment comes first, in a pass of its own: nothing more is done to a pull request that is closed.
			if e.text == "" || d.comment(rule, e, said[e.kind], once) {
				once(pull.Action{Kind: pull.Close, Target: head, SHA: s.Head.SHA})
			}
		case deedAssign:
			for _, login := range e.who {
				if login == wordAuthor {
					if login = s.Author.Login; s.Author.Type != pull.User {
						continue // GitHub assigns no bots
					}
				}
				if !slices.ContainsFunc(s.Assignees, func(a pull.Actor) bool { return strings.EqualFold(a.Login, login) }) {
					once(pull.Action{Kind: pull.Assign, Target: login})
				}
			}
		case deedAsk:
			for _, name := range e.who {
				if !strings.EqualFold(name, s.Author.Login) && !d.heardOrAsked(name) {
					once(pull.Action{Kind: pull.AskReview, Target: name})
				}
			}
		}
	}
	if out.Why == nil {
		say(Reason{Code: RuleHolds})
	}
}

// comment writes a rule's comment, unless it is there, and reports whether it is. nth tells it from others of the rule.
func (d *decider) comment(rule *freeRule, e deed, nth int, once func(pull.Action)) (there bool) {
	target := "rule:" + slug(rule.id)
	if e.kind == deedClose {
		target = "close:" + slug(rule.id)
	}
	if nth > 1 {
		target += fmt.Sprintf(":%d", nth)
	}
	body := d.fill(e.text)
	if in, ok := d.was.Intent(pull.WriteComment, target); ok && in.Status == pull.Done {
		return true
	}
	if slices.ContainsFunc(d.s.Comments, func(c pull.Comment) bool {
		return c.Author.Same(d.s.Us) && pull.Marked(c.Body, target)
	}) {
		return true
	}
	a := pull.Action{Kind: pull.WriteComment, Target: target, Body: body + "\n\n" + pull.Marker(target)}
	once(a)
	// What comes after it comes soon; what GitHub refuses, in a conversation that is locked for example, is not asked for soon.
	if _, _, held := d.was.Withheld(a, d.now); !held {
		d.lookAt(d.now.Add(lookAfter(0)))
	}
	return false
}

// slug is a rule's name as part of a marker, where not everything may stand.
func slug(name string) string {
	plain := strings.Trim(notPlain.ReplaceAllString(strings.ToLower(name), "-"), "-")
	sum := sha256.Sum256([]byte(name))
	return shorten(plain, 40) + "-" + hex.EncodeToString(sum[:3])
}

var notPlain = regexp.MustCompile(`[^a-z0-9]+`)

// fill puts what is known about the pull request into a text of the policy. Nothing that other people have written comes in.
func (d *decider) fill(text string) string {
	author := d.s.Author.Login
	if !loginForm.MatchString(author) {
		author = "author"
	}
	return strings.NewReplacer("{author}", author, "{number}", strconv.Itoa(d.s.Number), "{base}", strings.ReplaceAll(tidyLine(d.s.Base.Name), "`", "")).Replace(text)
}

// approvedByUs reports whether the service's own approval of the head is in force.
func (d *decider) approvedByUs() bool {
	r, ok := d.ourReview()
	return ok && r.Commit == d.s.Head.SHA
}

// ourReview is the service's latest opinion, if it is an approval.
func (d *decider) ourReview() (pull.Review, bool) {
	var last pull.Review
	for _, r := range d.s.Reviews {
		if !r.Author.Same(d.s.Us) || r.Author.ID == 0 {
			continue
		}
		switch r.State {
		case pull.Approved, pull.ChangesRequested, pull.Dismissed:
			last = r
		}
	}
	return last, last.State == pull.Approved
}

// withdraw takes the service's approval back when no rule asks for it any more. With a personal token, only what the ledger
// knows of is the service's: the account is a person's too.
func (d *decider) withdraw() {
	r, ok := d.ourReview()
	if !ok || r.ID == 0 {
		return
	}
	if _, known := d.was.Intent(pull.Approve, string(r.Commit)); !known && !d.s.AsApp {
		return
	}
	a := pull.Action{Kind: pull.Unapprove, Target: strconv.FormatInt(r.ID, 10), SHA: r.Commit}
	out := Rule{Section: "rules", Outcome: RuleDoes, Why: []Reason{{Code: RuleWithdraws}}}
	if done, ok := d.was.Intent(pull.Unapprove, a.Target); ok && done.Status == pull.Done && d.now.Before(done.DoneAt.Add(settle)) {
		d.lookAt(done.DoneAt.Add(settle))
		return
	}
	d.want(&out, a)
	d.v.Rules = append(d.v.Rules, out)
}

// heardOrAsked reports whether somebody has reviewed or is asked to, be it by this very decision.
func (d *decider) heardOrAsked(name string) bool {
	return slices.ContainsFunc(d.actions, func(a pull.Action) bool {
		return a.Kind == pull.AskReview && strings.EqualFold(a.Target, name)
	}) || slices.ContainsFunc(d.s.ReviewRequests, func(r pull.ReviewRequest) bool {
		return strings.EqualFold(r.Team, name) || strings.EqualFold(r.Who.Login, name)
	}) || slices.ContainsFunc(d.s.Reviews, func(r pull.Review) bool { return strings.EqualFold(r.Author.Login, name) })
}
