package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// What people have said of a pull request, and what it is worth.
//
// An approval is of a commit. It counts on that commit; and on a later head only if the head makes, textually, the very
// change to the base that the commit made (a rebase, a merge of the base), compared with the commit itself and never by way
// of others. It doesn't count for who has taken part in the commits, nor for who was asked to review again since.
//
// What has to be looked up is looked up only for accounts whose approval could count, and comparisons only where they could
// make a difference: most passes need none.

// maxComparisons bounds the comparisons of commits that one decision asks for.
const maxComparisons = 20

// A voice is what one account has said.
type voice struct {
	who      pull.Actor
	reviewed bool // so canWrite is known
	canWrite bool
	word     pull.ReviewState // the latest of approved, changes requested and dismissed
	given    []given          // the approvals since the last word that was another, the newest last
	asked    bool             // to review again
}

// A given is one approval.
type given struct {
	sha    pull.SHA
	review bool // not by command
	other  bool // before the base was changed: of another change, though the commit may be the same
}

// voices are those of everybody who has said something, in the order in which they first did.
func (f *facts) voices() []*voice {
	if f.said != nil {
		return f.said
	}
	type account struct {
		id    int64
		login string // only where the id is not known
	}
	f.said = []*voice{}
	known := map[account]*voice{}
	of := func(a pull.Actor) *voice {
		key := account{id: a.ID}
		if a.ID == 0 {
			key.login = a.Login
		}
		v := known[key]
		if v == nil {
			v = &voice{}
			known[key] = v
			f.said = append(f.said, v)
		}
		v.who = a
		return v
	}
	orders := maps.Clone(f.was.Approvals)
	order := func(o pull.Order) {
		v := of(o.By)
		delete(orders, o.By.ID)
		v.word = pull.Approved
		v.given = append(v.given, given{sha: o.SHA, other: f.ofOtherBase(o.At)})
	}
	for _, r := range f.s.Reviews {
		if o, ok := orders[r.Author.ID]; ok && r.Author.ID != 0 && o.At.Before(r.SubmittedAt) {
			order(o)
		}
		v := of(r.Author)
		v.reviewed, v.canWrite = true, r.CanWrite
		switch r.State {
		case pull.Approved:
			v.word = r.State
			v.given = append(v.given, given{r.Commit, true, f.ofOtherBase(r.SubmittedAt)})
		case pull.ChangesRequested, pull.Dismissed:
			v.word, v.given = r.State, nil
		}
	}
	rest := slices.SortedFunc(maps.Values(orders), func(a, b pull.Order) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.By.ID, b.By.ID))
	})
	for _, o := range rest {
		if o.By.ID != 0 {
			order(o)
		}
	}
	for _, v := range f.said {
		v.asked = slices.ContainsFunc(f.s.ReviewRequests, func(r pull.ReviewRequest) bool { return r.Who.Same(v.who) })
	}
	return f.said
}

// approvals are those that are in force.
func (v *voice) approvals() []given {
	if !v.asked {
		return v.given
	}
	// Who is asked again has not answered yet. A command is no answer that GitHub could have waited for.
	return slices.DeleteFunc(slices.Clone(v.given), func(g given) bool { return g.review })
}

// ofOtherBase reports whether what was said at a moment is about a change to another base. Who can choose the base must not be
// able to have little approved, and much merged. GitHub tells times to the second.
func (f *facts) ofOtherBase(at time.Time) bool {
	return !f.s.BaseSince.IsZero() && !at.Truncate(time.Second).After(f.s.BaseSince)
}

// A standing is what an account's approval is worth to a rule.
type standing struct {
	who    string
	result Result
	why    Reason
	older  pull.SHA // it would count if the change were the same as at this commit
}

// A seat is what a rule asks for: so many approvals of such people. A rule has one; where code owners have to approve, one for
// each group of files with the same owners.
type seat struct {
	member func(*voice) (Result, string)
	who    []string // for Reason.Who
	files  []string
}

// stand says what a voice is worth; ok is false where it has nothing to do with approvals.
func (f *facts) stand(rule *approvalRule, s seat, v *voice) (st standing, ok bool) {
	st = standing{who: v.who.Login, result: False, why: Reason{By: v.who.Login}}
	say := func(c Code) (standing, bool) { st.why.Code = c; return st, true }
	if v.who.ID == 0 {
		return st, false // it may be the author's
	}
	in := v.approvals()
	switch {
	case len(in) > 0:
	case len(v.given) > 0:
		return say(ApprovalAskedAgain)
	case v.word == pull.Dismissed:
		return say(ApprovalDismissed)
	default:
		return st, false
	}
	author := v.who.Same(f.s.Author)
	if author && !rule.allowAuthor {
		return say(ApprovalByAuthor)
	}
	switch member, why := s.member(v); member {
	case True:
	case False:
		return say(ApprovalNotFrom)
	default:
		st.result, st.why.Value = Unknown, why
		return say(ApproverUnknown)
	}
	last := in[len(in)-1]
	onHead := slices.ContainsFunc(in, func(g given) bool { return g.sha == f.s.Head.SHA && g.sha != "" && !g.other })
	if !onHead {
		st.why.SHA = last.sha
		switch {
		case last.other:
			st.why.Branch = f.s.Base.Name
			return say(ApprovalOtherBase)
		case last.sha != "" && f.s.Head.SHA != "":
			st.older = last.sha
		}
		return say(ApprovalOlder)
	}
	return f.afterCommits(rule, v, st, ApprovalGiven)
}

// afterCommits lets a standing count, unless the account has taken part in the commits.
func (f *facts) afterCommits(rule *approvalRule, v *voice, st standing, counts Code) (standing, bool) {
	st.result, st.why.Code = True, counts
	if rule.allowContributors || rule.allowAuthor && v.who.Same(f.s.Author) {
		return st, true
	}
	if result, why := f.contributed(v.who); result != False {
		st.result, st.why = False, why
		if result == Unknown {
			st.result = Unknown
		}
	}
	return st, true
}

// keep says whether an approval of an older commit still counts.
func (f *facts) keep(rule *approvalRule, v *voice, st standing) standing {
	sha := st.older
	st.older = ""
	switch result, why := f.same(sha, f.s.Head.SHA); {
	case result == True:
		st, _ = f.afterCommits(rule, v, st, ApprovalKept)
	case result == False:
		st.why.Code = ApprovalChanged
	default:
		st.why.Code, st.why.Value = ApprovalNotCompared, why
		if why == "" {
			st.result = Unknown // being looked up
		}
	}
	return st
}

// same tells whether two commits make the same change to the base. Unknown means that they have to be compared, or that they
// can't be: why says so then.
func (f *facts) same(a, b pull.SHA) (result Result, why string) {
	if a == b {
		return True, ""
	}
	// What a change is depends on what it is made to.
	key := pull.SameKey(a, b) + " " + f.s.Base.Name
	same, ok := f.compared[key]
	if !ok {
		same, ok = f.was.Same[key]
	}
	if !ok {
		n := pull.Need{Kind: pull.NeedSame, A: a, B: b}
		if !slices.Contains(f.comparisons, n) {
			if len(f.comparisons) == maxComparisons {
				return Unknown, "there are too many commits to compare"
			}
			f.comparisons = append(f.comparisons, n)
		}
		if !f.need(n) {
			return Unknown, ""
		}
		answer := f.s.Known.Same[pull.SameKey(a, b)]
		if answer.Unknown != "" {
			return Unknown, answer.Unknown
		}
		same = answer.Same
	}
	if f.compared == nil {
		f.compared = map[string]bool{}
	}
	f.compared[key] = same
	return resultIf(same), ""
}

// contributions say who has taken part in the commits of a pull request.
type contributions struct {
	by        map[int64][]pull.Commit
	unknown   pull.SHA // a commit of which GitHub does not know whose account made it
	truncated bool
}

// contributions reads the list of commits; nil until it is known. It holds every commit that the base lacks, through
// whichever parent it is reached.
func (f *facts) contributions() *contributions {
	if f.contributors != nil {
		return f.contributors
	}
	if !f.need(pull.Need{Kind: pull.NeedCommits}) {
		return nil
	}
	list := f.s.Known.Commits
	c := &contributions{by: map[int64][]pull.Commit{}, truncated: list.Truncated || len(list.List) < f.s.CommitCount}
	for _, commit := range list.List {
		people := append([]pull.Actor{commit.Author}, commit.CoAuthors...)
		// GitHub commits what people do on its pages, in a name that is nobody's.
		byGitHub := commit.Committer.ID == webFlowID || commit.Committer.Login == "web-flow" || commit.Committer.ID == 0 && commit.Verified
		if !byGitHub {
			people = append(people, commit.Committer)
		}
		seen := map[int64]bool{}
		for _, who := range people {
			if who.ID != 0 && !seen[who.ID] {
				seen[who.ID] = true
				c.by[who.ID] = append(c.by[who.ID], commit)
			}
		}
		// Who is named as a co-author is named by others; that GitHub does not know them says nothing.
		if c.unknown == "" && (commit.Author.ID == 0 || !byGitHub && commit.Committer.ID == 0) {
			c.unknown = commit.SHA
		}
	}
	f.contributors = c
	return c
}

// contributed tells whether an account has taken part in the commits. Who has only merged the base, cleanly, has not: such a
// merge changes nothing of what the pull request does, which is compared, not believed.
func (f *facts) contributed(a pull.Actor) (Result, Reason) {
	c := f.contributions()
	switch {
	case c == nil:
		return Unknown, Reason{Code: ApproverUnknown, By: a.Login}
	case c.truncated:
		return True, Reason{Code: CommitsTruncated}
	}
	pending := false
	for _, commit := range c.by[a.ID] {
		by := Reason{Code: ApprovalByContributor, By: a.Login, SHA: commit.SHA}
		if len(commit.Parents) != 2 {
			return True, by
		}
		switch result, why := f.same(commit.Parents[0], commit.SHA); {
		case result == True:
		case result == Unknown && why == "":
			pending = true
		default:
			return True, by
		}
	}
	if pending {
		return Unknown, Reason{Code: ApproverUnknown, By: a.Login}
	}
	return False, Reason{}
}

// mayApprove tells whether an account is one of those whose approvals a rule counts, code owners left out. nil is everybody
// who may write.
func (f *facts) mayApprove(p *people, v *voice) (Result, string) {
	q := people{atLeast: pull.PermissionWrite}
	if p != nil {
		q = *p
		q.owners = false
	}
	if v.reviewed && q.atLeast != "" && reaches(pull.PermissionWrite, q.atLeast) {
		// The review tells whether its author may write.
		switch {
		case v.canWrite:
			return True, ""
		case q.atLeast == pull.PermissionWrite:
			q.atLeast = ""
		}
	}
	return f.among(&q, v.who, false)
}

// whoMay lists who can give what a rule asks for.
func (f *facts) whoMay(rule *approvalRule) []string {
	p := rule.from
	if p == nil {
		return []string{WhoWriter}
	}
	var out []string
	for _, login := range p.logins {
		if login != f.s.Author.Login || rule.allowAuthor {
			out = append(out, login)
		}
	}
	for _, team := range p.teams {
		out = append(out, "@"+team)
	}
	if role := roles[p.atLeast]; role != "" {
		out = append(out, role)
	}
	return out
}

// A judgement is what the section approvals came to.
type judgement struct {
	result   Result
	reasons  []Reason
	rules    []Rule
	given    []string
	complete bool // nobody else's approval can turn out to count
}

// behind shows what each rule of the section came to.
func (j *judgement) behind() []*Node {
	results := map[Outcome]Result{ApprovalHolds: True, ApprovalLacks: False, ApprovalUnknown: Unknown}
	var out []*Node
	for _, r := range j.rules {
		out = append(out, &Node{Text: "approvals: " + r.Name, Value: string(r.Outcome), Result: results[r.Outcome], Pos: r.Pos})
	}
	return out
}

// A judge works a judgement out.
type judge struct {
	*facts
	whole bool // look up what makes no difference to the rules too
	out   judgement
}

// judged judges the section. What makes no difference to its result is not looked up.
func (f *facts) judged() *judgement {
	if f.judgement == nil {
		f.judgement = f.judge(false)
	}
	return f.judgement
}

// judgedWhole is judged with everybody's approval looked at.
func (f *facts) judgedWhole() *judgement {
	if f.whole == nil {
		f.whole = f.judge(true)
	}
	return f.whole
}

func (f *facts) judge(whole bool) *judgement {
	j := judge{facts: f, whole: whole}
	j.out.given = []string{}
	j.out.complete = !f.s.ReviewsTruncated
	section := f.p.approvals
	result, asked := j.each(section.rules, "", true)
	switch {
	case !asked:
		result.outcome = False
		result.reasons = []Reason{{Code: ApprovalsSkipped, Who: []string{WhoPolicy}}}
	case f.s.ReviewsTruncated:
		result.outcome = Unknown
		result.reasons = append(result.reasons, Reason{Code: FactUnknown, Names: []string{"reviews"}, Text: "approvals"})
	}
	veto, why := j.veto(section.vetoes)
	if veto != False {
		result.reasons = append(why, result.reasons...)
		if result.outcome = False; veto == Unknown {
			result.outcome = Unknown
		}
	}
	j.out.result, j.out.reasons = result.outcome, distinct(result.reasons)
	return &j.out
}

// A ruling is what a rule came to.
type ruling struct {
	outcome Result
	skipped bool
	reasons []Reason // why it does not hold
}

// each judges rules, all of which have to hold, or one. asked is false where none is about this pull request.
func (j *judge) each(rules []approvalRule, above string, all bool) (out ruling, asked bool) {
	out.outcome = resultIf(all)
	var lacking [][]Reason
	for i := range rules {
		r := j.rule(&rules[i], above)
		if r.skipped {
			continue
		}
		asked = true
		if r.outcome != True {
			lacking = append(lacking, r.reasons)
		}
		switch {
		case all && r.outcome == False, !all && r.outcome == True:
			out.outcome = r.outcome
		case r.outcome == Unknown && out.outcome != resultIf(!all):
			out.outcome = Unknown
		}
	}
	switch {
	case out.outcome == True:
	case all:
		out.reasons = slices.Concat(lacking...)
	case len(lacking) == 1:
		out.reasons = lacking[0]
	default:
		for _, l := range lacking {
			if len(l) > 1 {
				l = []Reason{{Code: ApprovalsAll, Any: l}}
			}
			out.reasons = append(out.reasons, l...)
		}
	}
	return out, asked
}

// rule judges one rule, and adds what it came to to the verdict.
func (j *judge) rule(rule *approvalRule, above string) ruling {
	name := rule.name
	if above != "" {
		name = above + " › " + name
	}
	at := len(j.out.rules)
	j.out.rules = append(j.out.rules, Rule{Section: "approvals", Name: name, Pos: rule.pos})
	if !rule.selector.empty() {
		about := rule.selector.evaluate(j.facts)
		j.out.rules[at].Condition = about
		switch about.Result {
		case True:
		case False:
			j.out.rules[at].Outcome = ApprovalSkipped
			return ruling{skipped: true}
		default:
			why := blame(about, true, j.facts)
			j.out.rules[at].Outcome, j.out.rules[at].Why = ApprovalUnknown, why
			j.out.complete = false
			return ruling{outcome: Unknown, reasons: why}
		}
	}
	var out ruling
	var why []Reason
	switch {
	case rule.any != nil || rule.all != nil:
		parts, all := rule.any, false
		if rule.all != nil {
			parts, all = rule.all, true
		}
		var asked bool
		out, asked = j.each(parts, name, all)
		out.skipped = !asked
		if out.outcome != True && !all && len(out.reasons) > 1 {
			out.reasons = []Reason{{Code: ApprovalsAny, Text: rule.said(), Any: out.reasons}}
		}
		why = out.reasons
	default:
		out, why = j.leaf(rule)
	}
	row := &j.out.rules[at]
	row.Why = why
	switch {
	case out.skipped:
		row.Outcome = ApprovalSkipped
	case out.outcome == True:
		row.Outcome = ApprovalHolds
	case out.outcome == False:
		row.Outcome = ApprovalLacks
	default:
		row.Outcome = ApprovalUnknown
	}
	return out
}

// said is the rule's name as reasons say it.
func (r *approvalRule) said() string {
	if r.named {
		return r.name
	}
	return ""
}

// leaf judges a rule that asks for approvals. why explains it whatever it came to.
func (j *judge) leaf(rule *approvalRule) (out ruling, why []Reason) {
	if rule.count == 0 {
		return ruling{outcome: True}, []Reason{{Code: ApprovalNotAsked}}
	}
	seats, bad := j.seats(rule)
	switch {
	case bad != nil:
		j.out.complete = false
		return ruling{outcome: Unknown, reasons: bad}, bad
	case len(seats) == 0:
		return ruling{skipped: true}, []Reason{{Code: NobodyOwns}}
	}
	out.outcome = True
	for _, s := range seats {
		result, good, lacks := j.seat(rule, s)
		why = append(why, good...)
		if result == True {
			continue
		}
		out.reasons = append(out.reasons, lacks)
		why = append(why, lacks)
		if out.outcome == True || result == False {
			out.outcome = result
		}
	}
	return out, distinct(why)
}

// seats are what a rule asks for; none where it asks for code owners and there are none. bad says why they are not known.
func (j *judge) seats(rule *approvalRule) (seats []seat, bad []Reason) {
	others := seat{who: j.whoMay(rule), member: func(v *voice) (Result, string) { return j.mayApprove(rule.from, v) }}
	if rule.from == nil || !rule.from.owners {
		return []seat{others}, nil
	}
	groups, known, why := j.ownership()
	if known != True {
		return nil, []Reason{{Code: OwnersUnknown, Text: rule.said(), Value: why}}
	}
	for _, g := range groups {
		s := seat{who: others.who, files: g.paths, member: func(v *voice) (Result, string) {
			other, why := others.member(v)
			if other == True {
				return True, ""
			}
			owner, whyOwner := j.ownedBy(g, v.who)
			if owner == True || other == False {
				return owner, whyOwner
			}
			return other, why
		}}
		for _, o := range g.owners {
			if o.login != "" {
				s.who = append(s.who[:len(s.who):len(s.who)], o.login)
			} else {
				s.who = append(s.who[:len(s.who):len(s.who)], o.String())
			}
		}
		seats = append(seats, s)
	}
	if len(seats) == 0 && len(others.who) > 0 {
		seats = []seat{others}
	}
	return seats, nil
}

// seat counts the approvals for one seat. good is who counts, lacks what is missing.
func (j *judge) seat(rule *approvalRule, s seat) (result Result, good []Reason, lacks Reason) {
	var counted, others []standing
	var older []*voice
	unknown, pending, need := 0, 0, rule.count
	note := func(st standing) {
		switch st.result {
		case True:
			counted = append(counted, st)
			return
		case Unknown:
			if unknown++; st.why.Value == "" {
				pending++
			}
		}
		others = append(others, st)
	}
	behind := map[*voice]standing{}
	for _, v := range j.voices() {
		st, ok := j.stand(rule, s, v)
		switch {
		case !ok:
		case st.older != "":
			older, behind[v] = append(older, v), st
		default:
			note(st)
		}
	}
	var extra []Reason
	more := func() {
		// An account that GitHub does not know may be anybody's, one of those who approve too: then one more has to.
		if extra == nil && !rule.allowContributors && j.contributors != nil && !j.contributors.truncated && j.contributors.unknown != "" {
			need++
			extra = []Reason{{Code: AuthorUnknown, SHA: j.contributors.unknown}}
		}
	}
	more()
	// What is being looked up may be enough already, or ask for more: comparisons come last.
	matters := pending == 0 && len(counted) < need && len(counted)+unknown+len(older) >= need
	for _, v := range older {
		st := behind[v]
		if matters || j.whole {
			st = j.keep(rule, v, st)
		}
		note(st)
	}
	more()
	if unknown > 0 {
		j.out.complete = false
	}
	for _, st := range counted {
		good = append(good, st.why)
		if !slices.Contains(j.out.given, st.who) {
			j.out.given = append(j.out.given, st.who)
		}
	}
	switch {
	case len(counted) >= need:
		return True, append(good, extra...), Reason{}
	case len(counted)+unknown >= need:
		result = Unknown
	default:
		result = False
	}
	lacks = Reason{Code: ApprovalsNeeded, Text: rule.said(), Count: need - len(counted), Who: s.who}
	if n := len(s.files); n > 0 {
		lacks.Value = strings.Join(s.files[:min(n, 3)], ", ")
		if n > 3 {
			lacks.Value += ", …"
		}
	}
	for _, st := range counted {
		lacks.Names = append(lacks.Names, st.who)
	}
	for _, st := range others {
		lacks.Any = append(lacks.Any, st.why)
	}
	lacks.Any = append(distinct(lacks.Any), extra...)
	return result, good, lacks
}

// veto tells whether somebody's requested changes hold the pull request back. Where no rule says whose do, everybody's do who
// may write.
func (j *judge) veto(rules []vetoRule) (Result, []Reason) {
	var applies []*people
	some := false
	for i := range rules {
		r := &rules[i]
		about := True
		if !r.selector.empty() {
			about = r.selector.evaluate(j.facts).Result
		}
		// Where it is not known whether a rule is about this pull request, its people hold it back, and so do all others.
		some = some || about == True
		if about != False && r.who != nil {
			applies = append(applies, r.who)
		}
	}
	if !some {
		applies = []*people{nil}
	}
	var by []string
	var unsure []Reason
	for _, v := range j.voices() {
		if v.word != pull.ChangesRequested {
			continue
		}
		result, why := False, ""
		for _, p := range applies {
			switch r, w := j.mayVeto(p, v); r {
			case True:
				result = True
			case Unknown:
				if result == False {
					result, why = Unknown, w
				}
			}
		}
		switch result {
		case True:
			by = append(by, v.who.Login)
		case Unknown:
			unsure = append(unsure, Reason{Code: VetoUnknown, By: v.who.Login, Value: why, Who: who(v.who)})
		}
	}
	switch {
	case len(by) > 0:
		return True, append([]Reason{{Code: ChangesRequested, Names: by, Who: by}}, unsure...)
	case len(unsure) > 0:
		return Unknown, unsure
	}
	return False, nil
}

// mayVeto tells whether an account's requested changes hold back, by one rule; nil is everybody who may write.
func (j *judge) mayVeto(p *people, v *voice) (Result, string) {
	result, why := j.mayApprove(p, v)
	if result != True && p != nil && p.owners {
		if owns, w := j.owns(v.who); owns != False {
			return owns, w
		}
	}
	return result, why
}
