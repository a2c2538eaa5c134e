package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Reviewers are asked once. What is kept in step is not a list of people but a number: of those whom a rule names, so many
// are to have been asked or to have reviewed. Whoever asked them counts, be it the service, a person or GitHub with its
// CODEOWNERS. So nothing that happens later (a push, a changed policy, somebody back from holiday) moves a request from one
// to another.
//
// People win over the service here as they do with labels. Somebody who was asked and is taken off the list is not asked
// again, and their place stays empty: whoever empties it knows why. The command /reroll is how to have somebody else.
//
// All of it follows from the snapshot, the ledger and the policy. Lots are drawn with the repository's id and the pull
// request's number for a seed, so that the same question has the same answer in every process.

// A reviewerShape is one rule of the section reviewers.
type reviewerShape struct {
	Name ruleName `json:"name,omitempty" jsonschema_description:"What it is for, in a few words."`
	selectorShape
	From     texts            `json:"from" jsonschema:"required" jsonschema_description:"Who can be asked: logins, teams (@acme/backend), codeowners."`
	Count    int              `json:"count,omitempty" jsonschema:"minimum=1,maximum=15" default:"1" jsonschema_description:"How many of them are to be asked; 1 without it. With codeowners: for each group of files with the same owners."`
	Pick     string           `json:"pick,omitempty" jsonschema:"enum=round-robin,enum=least-loaded,enum=random" default:"round-robin" jsonschema_description:"Whom to take: round-robin (the default) takes turns by the numbers of the pull requests, least-loaded whoever has the fewest open requests, random draws lots."`
	Weights  map[string]share `json:"weights,omitempty" jsonschema_description:"How many shares somebody takes, by login; 1 without it."`
	Capacity int              `json:"capacity,omitempty" jsonschema:"minimum=1" jsonschema_description:"How many open requests somebody may have and still be asked."`
	Away     texts            `json:"away,omitempty" jsonschema_description:"Logins of those who are not asked for now. Those whom GitHub shows as busy are not either."`
	As       string           `json:"as,omitempty" jsonschema:"enum=members,enum=team" default:"members" jsonschema_description:"members (the default): of a team, members are asked. team: the team itself is."`
	Again    bool             `json:"again,omitempty" jsonschema_description:"true: whoever has reviewed is asked again when a push has changed something since."`
}

// A share is how often it is somebody's turn, compared with others.
type share int

var reviewerKeys = keysOf[reviewerShape]()

// A reviewerRule says whom to ask for a review of what.
type reviewerRule struct {
	name string
	pos  Pos
	selector
	from     *people
	count    int
	pick     string
	weights  map[string]int // by login or team, in lower case
	capacity int            // 0: no limit
	away     []string       // logins
	asTeam   bool
	again    bool
}

// Ways of picking.
const (
	roundRobin  = "round-robin"
	leastLoaded = "least-loaded"
	byLot       = "random"
)

const (
	maxRules     = 100 // of one section
	maxReviewers = 15  // that GitHub lets one pull request ask
	maxShares    = 10
	// maxAsked bounds how many people are looked up for one pull request: of a larger team some are drawn.
	maxAsked = 30
	// maxRefused is after how many refusals GitHub is taken to mean all requests, and not just these people.
	maxRefused = 3
	// awaitPeople is how long to wait for somebody to be back, or to have time again: GitHub does not say when that is.
	awaitPeople = time.Hour
)

func (r *reader) reviewers(e entry) []reviewerRule {
	list, ok := e.value.(*ast.SequenceNode)
	if !ok {
		r.say(r.pos(e.value), "Begin each rule with a dash; write [] for none.", "reviewers must be a list of rules; this is %s.", kindOf(e.value))
		return nil
	}
	if len(list.Values) > maxRules {
		r.say(r.pos(list.Values[maxRules]), "", "There are %d rules; at most %d are possible.", len(list.Values), maxRules)
		return nil
	}
	var out []reviewerRule
	times := map[string]int{}
	for _, n := range list.Values {
		rule := r.reviewerRule(n)
		if times[rule.name]++; times[rule.name] > 1 {
			rule.name = fmt.Sprintf("%s (%d)", rule.name, times[rule.name]) // two verdicts are compared rule by rule
		}
		out = append(out, rule)
	}
	return out
}

func (r *reader) reviewerRule(n ast.Node) reviewerRule {
	rule := reviewerRule{pos: r.pos(n), count: 1, pick: roundRobin}
	keys, ok := r.mapping(n, "A rule of reviewers", reviewerKeys, false)
	if !ok {
		return rule
	}
	for _, k := range keys {
		switch k.key {
		case "name":
			if rule.name = r.sentence(k); utf8.RuneCountInString(rule.name) > maxRuleName {
				r.say(r.pos(k.value), "", "A name has at most %d characters.", maxRuleName)
			}
		case "from":
			rule.from = r.peopleOf(k, nil, wordOwners)
		case "count":
			rule.count = r.number(k, 1, maxReviewers)
		case "pick":
			rule.pick = r.oneOf(k.value, "pick", roundRobin, leastLoaded, byLot)
		case "weights":
			rule.weights = r.shares(k)
		case "capacity":
			rule.capacity = r.number(k, 1, math.MaxInt32)
		case "away":
			away := r.peopleOf(k, nil)
			rule.away = away.logins
			if len(away.teams) > 0 {
				r.say(k.at, "Write the logins of its members.", "away lists people; %q is a team.", away.teams[0])
			}
		case "as":
			rule.asTeam = r.oneOf(k.value, "as", "members", "team") == "team"
		case "again":
			rule.again = r.truth(k.value, k.key)
		default:
			r.selectorKey(&rule.selector, k)
		}
	}
	if rule.from == nil {
		r.say(rule.pos, `For example, from: ["@acme/backend"], or from: codeowners.`, "A rule of reviewers does not say whom to ask: it needs the key from.")
	} else if rule.name == "" {
		rule.name = rule.from.source
	}
	return rule
}

func (r *reader) shares(e entry) map[string]int {
	entries, _ := r.mapping(e.value, e.key, nil, true)
	out := make(map[string]int, len(entries))
	for _, w := range entries {
		name := strings.ToLower(strings.TrimPrefix(w.key, "@"))
		if !loginForm.MatchString(name) && !teamForm.MatchString(name) {
			r.say(w.at, "For example, octocat: 2.", "%q can't be the login of an account.", w.key)
		}
		out[name] = r.number(w, 1, maxShares)
	}
	return out
}

// Outcomes of a rule about reviewers.
const (
	ReviewersAsk     Outcome = "ask"       // somebody is asked now
	ReviewersAsked   Outcome = "asked"     // as many as should be were asked, or have reviewed
	ReviewersShort   Outcome = "short"     // fewer: there is nobody left
	ReviewersNone    Outcome = "none"      // the rule is not about this pull request, or about nobody
	ReviewersLater   Outcome = "later"     // it is a draft
	ReviewersUnknown Outcome = "undecided" // GitHub does not tell enough
)

var reviewerOutcomes = []Outcome{ReviewersAsk, ReviewersAsked, ReviewersShort, ReviewersNone, ReviewersLater, ReviewersUnknown}

// Codes of reasons about reviewers. Names are those whom a reason is about.
const (
	ReviewerTurn     Code = "reviewer_turn"       // asked now: it is their turn; Count: of how many
	ReviewerIdle     Code = "reviewer_idle"       // asked now: has the fewest requests; Value: how many, Count: of how many
	ReviewerDrawn    Code = "reviewer_drawn"      // asked now: drawn by lot; Count: of how many
	ReviewerOnly     Code = "reviewer_only"       // asked now: there was no choice
	ReviewerAgain    Code = "reviewer_again"      // asked again, as the head has changed since; SHA: reviewed
	ReviewerAsked    Code = "reviewer_asked"      // is asked
	ReviewerOwner    Code = "reviewer_owner"      // GitHub asked because of CODEOWNERS
	ReviewerReviewed Code = "reviewer_reviewed"   // has reviewed
	ReviewerSettling Code = "reviewer_settling"   // asked just now; GitHub does not show it yet; Text: why
	ReviewerGone     Code = "reviewer_gone"       // was asked, and somebody has taken them off the list
	ReviewerAuthor   Code = "reviewer_author"     // left out
	ReviewerAway     Code = "reviewer_away"       // left out
	ReviewerFull     Code = "reviewer_full"       // left out; Count: the capacity
	ReviewerNoWrite  Code = "reviewer_no_write"   // left out
	ReviewerBot      Code = "reviewer_bot"        // left out
	ReviewerPassed   Code = "reviewer_passed"     // left out: /reroll passed them over
	ReviewerRefused  Code = "reviewer_refused"    // left out; Text: GitHub's words; Until
	ReviewerUnknown  Code = "reviewer_unknown"    // left out; Text: why GitHub does not tell
	ReviewersFew     Code = "reviewers_few"       // Count: how many more there should be
	ReviewersDraft   Code = "reviewers_draft"     // Who: the author
	ReviewersTeam    Code = "reviewers_team"      // Names: the team; Text: why its members are not known
	OwnersNobody     Code = "owners_nobody"       // no changed file has an owner
	OwnersUnclear    Code = "owners_unclear"      // Text: why it is not known who owns the files
	OwnersSkipped    Code = "owners_line_skipped" // Text: the first line of CODEOWNERS that is not valid
	OwnersMail       Code = "owners_mail_unknown" // Names: addresses in CODEOWNERS
)

// reviewerCodes are the codes of reasons about reviewers.
var reviewerCodes = []Code{
	ReviewerTurn, ReviewerIdle, ReviewerDrawn, ReviewerOnly, ReviewerAgain, ReviewerAsked, ReviewerOwner, ReviewerReviewed,
	ReviewerSettling, ReviewerGone, ReviewerAuthor, ReviewerAway, ReviewerFull, ReviewerNoWrite, ReviewerBot, ReviewerPassed,
	ReviewerRefused, ReviewerUnknown, ReviewersFew, ReviewersDraft, ReviewersTeam, OwnersNobody, OwnersUnclear, OwnersSkipped,
	OwnersMail,
}

// reviewers asks for reviews.
func (d *decider) reviewers() {
	asked := map[string]bool{} // in this decision, by a command or a rule
	for _, act := range d.actions {
		if act.Kind == pull.AskReview {
			asked[strings.ToLower(act.Target)] = true
		}
	}
	for i := range d.p.reviewers {
		a := asking{d: d, rule: &d.p.reviewers[i], asked: asked}
		a.decide()
		d.v.Rules = append(d.v.Rules, a.out)
	}
}

// An asking is one rule about reviewers being decided.
type asking struct {
	d     *decider
	rule  *reviewerRule
	asked map[string]bool
	out   Rule

	lacking bool // the members of a team are not looked up
	short   bool // fewer than there should be
	unknown bool // something has to be looked up, or GitHub does not tell
	soon    bool // whom it lacks may be back or have time later
}

// A candidate is somebody who could be asked: an account or a team.
type candidate struct {
	name string     // as it is shown: a login, or "acme/backend"
	who  pull.Actor // of a member of a team; of others only the login is known before they are looked up
	team bool
}

func (c candidate) key() string { return strings.ToLower(c.name) }

// is reports whether a candidate is an account.
func (c candidate) is(a pull.Actor) bool {
	return !c.team && (c.who.Same(a) || (c.who.ID == 0 || a.ID == 0) && a.Login != "" && strings.EqualFold(c.name, a.Login))
}

// say adds a reason about somebody; those that differ in nothing else are one.
func (a *asking) say(r Reason, name string) {
	for i := range a.out.Why {
		w := &a.out.Why[i]
		if w.Code == r.Code && w.Count == r.Count && w.Text == r.Text && w.Value == r.Value && w.SHA == r.SHA && w.Until.Equal(r.Until) {
			if !slices.Contains(w.Names, name) {
				w.Names = append(w.Names, name)
			}
			return
		}
	}
	r.Names = []string{name}
	a.out.Why = append(a.out.Why, r)
}

func (a *asking) decide() {
	d, rule := a.d, a.rule
	a.out = Rule{Section: "reviewers", Name: rule.name, Pos: rule.pos, Outcome: ReviewersNone, Condition: rule.evaluate(d.f)}
	switch {
	case a.out.Condition.Result == False:
		return
	case a.out.Condition.Result != True:
		a.out.Outcome, a.out.Why = ReviewersUnknown, blame(a.out.Condition, true, d.f)
		return
	case d.s.Draft:
		a.out.Outcome, a.out.Why = ReviewersLater, []Reason{{Code: ReviewersDraft, Who: who(d.s.Author)}}
		return
	case d.s.Archived:
		a.out.Why = []Reason{{Code: Archived, Who: []string{WhoAdmin}}}
		return
	case d.s.ReviewsTruncated:
		a.out.Outcome, a.out.Why = ReviewersUnknown, []Reason{{Code: FactUnknown, Names: []string{"reviews"}, Text: rule.from.source}}
		return
	}
	before := len(d.actions)
	pools := a.pools()
	if a.lacking {
		a.unknown, pools = true, nil
	}
	for _, pool := range pools {
		// What one list lacks to be decided does not keep the others from saying what they lack: a round less.
		undecided := a.unknown
		a.unknown = false
		a.fill(pool)
		a.unknown = a.unknown || undecided
	}
	switch {
	case len(d.actions) > before:
		a.out.Outcome = ReviewersAsk
	case a.unknown:
		a.out.Outcome = ReviewersUnknown
	case a.short:
		a.out.Outcome = ReviewersShort
	case len(pools) > 0:
		a.out.Outcome = ReviewersAsked
	}
	if a.soon {
		d.lookAt(d.now.Add(awaitPeople))
	}
	for _, r := range a.out.Why {
		slices.Sort(r.Names)
	}
	slices.SortStableFunc(a.out.Why, func(x, y Reason) int {
		return slices.Index(reviewerCodes, x.Code) - slices.Index(reviewerCodes, y.Code)
	})
}

// pools are the lists of candidates of each of which so many are to be asked: one for each group of files with the same
// owners, or a single one.
func (a *asking) pools() [][]candidate {
	d, from := a.d, a.rule.from
	listed := a.candidates(from.logins, from.teams)
	if !from.owners {
		return [][]candidate{listed}
	}
	groups, result, why := d.f.ownership()
	if f := d.f.owned().file; f != nil && len(f.problems) > 0 {
		a.out.Why = append(a.out.Why, Reason{Code: OwnersSkipped, Text: f.problems[0].String()})
	}
	var pools [][]candidate
	for _, g := range groups {
		var logins, teams []string
		for _, o := range g.owners {
			switch {
			case o.team != "":
				teams = append(teams, o.team)
			case o.login != "":
				logins = append(logins, o.login)
			default:
				a.say(Reason{Code: OwnersMail}, o.mail)
			}
		}
		pools = append(pools, append(a.candidates(logins, teams), listed...))
	}
	switch {
	case result != True:
		a.unknown = true
		a.out.Why = append(a.out.Why, Reason{Code: OwnersUnclear, Text: why})
		return nil
	case len(pools) == 0 && len(listed) == 0:
		a.out.Why = append(a.out.Why, Reason{Code: OwnersNobody})
	case len(pools) == 0:
		pools = append(pools, listed)
	}
	return pools
}

// candidates are the accounts and the members of the teams, or the teams themselves.
func (a *asking) candidates(logins, teams []string) []candidate {
	var out []candidate
	for _, login := range logins {
		out = append(out, candidate{name: login})
	}
	for _, name := range teams {
		if a.rule.asTeam {
			out = append(out, candidate{name: name, team: true})
			continue
		}
		team, known := a.team(name)
		switch {
		case !known:
			a.lacking = true
		case team.Missing != "":
			a.say(Reason{Code: ReviewersTeam, Text: team.Missing, Who: []string{WhoAdmin}}, name)
		}
		for _, m := range team.Members {
			out = append(out, candidate{name: m.Login, who: m})
		}
	}
	return out
}

func (a *asking) team(name string) (pull.Team, bool) {
	known := a.d.f.need(pull.Need{Kind: pull.NeedTeam, Name: name})
	return a.d.s.Known.Teams[strings.ToLower(name)], known
}

// fill sees to it that as many of a pool are asked as there should be.
func (a *asking) fill(pool []candidate) {
	// Somebody may be listed, be an owner, and be in two teams; the one whose account is known says most.
	slices.SortStableFunc(pool, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(x.key(), y.key()), cmp.Compare(y.who.ID, x.who.ID))
	})
	pool = slices.CompactFunc(pool, func(x, y candidate) bool { return x.key() == y.key() })
	missing := a.rule.count
	refused := 0
	var left []candidate
	for _, c := range pool {
		placed, out := a.standing(c)
		switch {
		case placed:
			missing--
		case out.Code == "":
			left = append(left, c)
		default:
			if out.Code == ReviewerRefused {
				refused++
			}
			a.leave(c, out)
		}
	}
	if missing <= 0 {
		return
	}
	if refused < maxRefused {
		ranked, ok := a.ranked(pool, left, missing)
		if !ok {
			a.unknown = true
			return
		}
		missing -= a.ask(ranked, len(left), missing)
	}
	if missing > 0 && !a.unknown {
		a.short = true
		a.out.Why = append(a.out.Why, Reason{Code: ReviewersFew, Count: missing, Who: []string{WhoWriter}})
	}
}

// leave says why somebody is left out.
func (a *asking) leave(c candidate, r Reason) {
	if r.Code == ReviewerAway || r.Code == ReviewerFull {
		a.soon = true
	}
	if !r.Until.IsZero() {
		a.d.lookAt(r.Until)
	}
	a.say(r, c.name)
}

// standing tells where a candidate is already: in a place, be it that they are asked or have reviewed or were taken off it;
// or left out for the reason that is returned, as far as that can be told without looking anything up.
func (a *asking) standing(c candidate) (placed bool, out Reason) {
	d := a.d
	requested, reviewed := a.on(c)
	in, asked := d.intent(pull.AskReview, c.name)
	passed := slices.ContainsFunc(d.next.Passed, func(login string) bool { return strings.EqualFold(login, c.name) })
	switch {
	case c.is(d.s.Author):
		return false, Reason{Code: ReviewerAuthor}
	case a.asked[c.key()]:
		if !slices.ContainsFunc(a.out.Why, func(r Reason) bool { return slices.Contains(r.Names, c.name) }) {
			a.say(Reason{Code: ReviewerAsked}, c.name)
		}
		return true, Reason{}
	case passed && a.leaves(c):
		return false, Reason{Code: ReviewerPassed}
	case requested != nil:
		code := ReviewerAsked
		if requested.ByOwners {
			code, in = ReviewerOwner, pull.Intent{}
		}
		a.say(Reason{Code: code, Text: because(in)}, c.name)
		return true, Reason{}
	case reviewed != nil:
		if a.rule.again && !c.team && a.stale(c, *reviewed) {
			if until, words, held := d.was.Withheld(pull.Action{Kind: pull.AskReview, Target: in.Action.Target}, d.now); held {
				d.lookAt(until)
				a.say(Reason{Code: ReviewerRefused, Text: shorten(words, 300), Until: until.UTC()}, c.name)
				return true, Reason{}
			}
			a.want(c)
			a.say(Reason{Code: ReviewerAgain, SHA: reviewed.Commit}, c.name)
			return true, Reason{}
		}
		a.say(Reason{Code: ReviewerReviewed}, c.name)
		return true, Reason{}
	case passed:
		return false, Reason{Code: ReviewerPassed}
	case asked && in.Status == pull.Done && d.now.Before(in.DoneAt.Add(settle)):
		d.lookAt(in.DoneAt.Add(settle))
		a.say(Reason{Code: ReviewerSettling, Text: because(in)}, c.name)
		return true, Reason{}
	case asked && in.Status == pull.Done:
		a.say(Reason{Code: ReviewerGone, Who: []string{WhoWriter}}, c.name)
		return true, Reason{}
	}
	if until, words, held := d.was.Withheld(pull.Action{Kind: pull.AskReview, Target: in.Action.Target}, d.now); asked && held {
		r := Reason{Code: ReviewerRefused, Text: shorten(words, 300), Until: until.UTC()}
		if in.Passing {
			d.lookAt(until)
			a.say(r, c.name)
			return true, Reason{} // it is tried again within seconds: no reason to ask somebody else instead
		}
		return false, r
	}
	switch {
	case c.who.Type == pull.Bot || strings.HasSuffix(c.name, "[bot]"):
		return false, Reason{Code: ReviewerBot}
	case slices.ContainsFunc(a.rule.away, func(login string) bool { return strings.EqualFold(login, c.name) }):
		return false, Reason{Code: ReviewerAway}
	}
	return false, Reason{}
}

// because is why the service asked somebody, as it was written beside the action: a person may want to know that later too.
func because(in pull.Intent) string {
	_, why, _ := strings.Cut(in.Action.Why, ": ")
	if in.Status != pull.Done || in.Action.Command != "" {
		return ""
	}
	return why
}

// leaves reports whether a command is just taking a candidate off the list, which GitHub may show for a while.
func (a *asking) leaves(c candidate) bool {
	in, ok := a.d.intent(pull.UnaskReview, c.name)
	return ok && in.Status == pull.Executing || ok && in.Status == pull.Done && a.d.now.Before(in.DoneAt.Add(settle)) ||
		slices.ContainsFunc(a.d.actions, func(act pull.Action) bool {
			return act.Kind == pull.UnaskReview && strings.EqualFold(act.Target, c.name)
		})
}

// on returns the request that a candidate has, and the review that says what they think. A team has what one of its members
// has: GitHub takes a team off the list when one of them reviews, and may ask members in its place.
func (a *asking) on(c candidate) (requested *pull.ReviewRequest, reviewed *pull.Review) {
	s := a.d.s
	is := c.is
	if c.team {
		for i, r := range s.ReviewRequests {
			if strings.EqualFold(r.Team, c.name) {
				return &s.ReviewRequests[i], nil
			}
		}
		if len(s.ReviewRequests) == 0 && len(s.Reviews) == 0 {
			return nil, nil
		}
		team, known := a.team(c.name)
		a.unknown = a.unknown || !known
		is = func(who pull.Actor) bool { return slices.ContainsFunc(team.Members, who.Same) && !who.Same(s.Author) }
	}
	for i, r := range s.ReviewRequests {
		if r.Team == "" && is(r.Who) {
			requested = &s.ReviewRequests[i]
			break
		}
	}
	opinion := func(r *pull.Review) bool { return r.State == pull.Approved || r.State == pull.ChangesRequested }
	for i := range s.Reviews {
		r := &s.Reviews[i]
		if r.State == pull.PendingReview || !is(r.Author) || reviewed != nil && opinion(reviewed) && !opinion(r) {
			continue // a comment changes nobody's opinion
		}
		reviewed = r
	}
	return requested, reviewed
}

// stale reports whether a review is about something else than what there is now, and its author was not asked again since.
func (a *asking) stale(c candidate, r pull.Review) bool {
	d := a.d
	if r.Commit == d.s.Head.SHA || r.Commit == "" || d.s.Head.SHA == "" {
		return false
	}
	if in, ok := d.intent(pull.AskReview, c.name); ok && in.Status == pull.Done && in.DoneAt.After(r.SubmittedAt) {
		return false
	}
	// A merge of the base or a rebase changes nothing that there is to review.
	same, why := d.f.same(r.Commit, d.s.Head.SHA)
	if same == Unknown && why == "" {
		a.unknown = true // until it was looked up
		return false
	}
	return same != True
}

// intent returns the ledger's newest row of a kind and a target that is a name, which GitHub compares without regard to case.
func (d *decider) intent(kind pull.ActionKind, name string) (last pull.Intent, ok bool) {
	for _, in := range d.was.Intents {
		if in.Action.Kind == kind && strings.EqualFold(in.Action.Target, name) && (!ok || in.PlannedAt.After(last.PlannedAt)) {
			last, ok = in, true
		}
	}
	return last, ok
}

// want asks a candidate.
func (a *asking) want(c candidate) {
	if !a.asked[c.key()] {
		a.asked[c.key()] = true
		a.d.actions = append(a.d.actions, pull.Action{Kind: pull.AskReview, Target: c.name})
	}
}

// ask asks the first of a ranked list who can be asked, and returns how many it has asked; of is how many there were to
// choose from.
func (a *asking) ask(ranked []candidate, of, missing int) int {
	d := a.d
	// Whoever is likely to be asked is looked up at once, and then everybody else: that takes two rounds, however many are
	// away.
	lookUp, known := missing+2, 0
	for _, c := range ranked {
		if d.s.Answers(pull.Need{Kind: pull.NeedPerson, Name: c.name}) {
			known++
		}
	}
	if known > 0 {
		lookUp = maxAsked
	}
	asked := 0
	for _, c := range ranked {
		if asked == missing || lookUp == 0 {
			break
		}
		requests, out, ok := 0, Reason{}, true
		if !c.team {
			requests, out, ok = a.fit(c)
		}
		switch {
		case !ok:
			lookUp--
			a.unknown = true
		case out.Code != "":
			a.leave(c, out)
		case a.unknown:
			// Whoever comes before is not known yet.
		default:
			asked++
			a.want(c)
			r := Reason{Code: ReviewerTurn, Count: of}
			switch {
			case of <= missing:
				r = Reason{Code: ReviewerOnly}
			case a.rule.pick == leastLoaded:
				r.Code, r.Value = ReviewerIdle, fmt.Sprint(requests)
			case a.rule.pick == byLot:
				r.Code = ReviewerDrawn
			}
			a.say(r, c.name)
		}
	}
	return asked
}

// fit tells whether somebody can be asked by what GitHub knows of them: a reason not to, or how many requests they have. ok
// is false while that is not looked up.
func (a *asking) fit(c candidate) (requests int, out Reason, ok bool) {
	d := a.d
	load := d.f.need(pull.Need{Kind: pull.NeedLoad, Name: c.name})
	if !d.f.need(pull.Need{Kind: pull.NeedPerson, Name: c.name}) || !load {
		return 0, Reason{}, false
	}
	p := d.s.Known.People[c.key()]
	switch {
	case p.Missing != "":
		return 0, Reason{Code: ReviewerUnknown, Text: p.Missing}, true
	case p.Actor.Same(d.s.Author):
		return 0, Reason{Code: ReviewerAuthor}, true
	case p.Actor.Type == pull.Bot:
		return 0, Reason{Code: ReviewerBot}, true
	case !reaches(p.Permission, pull.PermissionWrite):
		return 0, Reason{Code: ReviewerNoWrite, Who: []string{WhoAdmin}}, true
	case p.Away:
		return 0, Reason{Code: ReviewerAway}, true
	case a.rule.capacity > 0 && p.Requests >= a.rule.capacity:
		return 0, Reason{Code: ReviewerFull, Count: a.rule.capacity}, true
	}
	return p.Requests, Reason{}, true
}

// ranked puts those who are left into the order in which they are asked. Whoever was about to be asked stays first. ok is
// false while it is not looked up how much they have to do.
func (a *asking) ranked(pool, left []candidate, missing int) (order []candidate, ok bool) {
	if a.rule.pick == roundRobin {
		order = a.turns(pool)
	} else {
		order = a.drawn(pool)
	}
	isLeft := func(c candidate) bool {
		return slices.ContainsFunc(left, func(l candidate) bool { return l.key() == c.key() })
	}
	order = slices.DeleteFunc(order, func(c candidate) bool { return !isLeft(c) })
	order = order[:min(len(order), maxAsked)]
	if ok = true; a.rule.pick == leastLoaded && len(order) > missing {
		load := map[string]float64{}
		for _, c := range order {
			load[c.key()] = math.Inf(1) // whoever can't be asked comes last, and so do teams
			if c.team {
				continue
			}
			if !a.d.f.need(pull.Need{Kind: pull.NeedLoad, Name: c.name}) {
				ok = false
			} else if p := a.d.s.Known.People[c.key()]; p.Missing == "" && !p.Away {
				load[c.key()] = float64(p.Requests) / float64(a.weight(c))
			}
		}
		slices.SortStableFunc(order, func(x, y candidate) int { return cmp.Compare(load[x.key()], load[y.key()]) })
	}
	begun := func(c candidate) int {
		if in, ok := a.d.intent(pull.AskReview, c.name); ok && in.Status != pull.Done && !(in.Status == pull.Failed && !in.Passing) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(order, func(x, y candidate) int { return begun(x) - begun(y) })
	return order, ok
}

func (a *asking) weight(c candidate) int { return cmp.Or(a.rule.weights[c.key()], 1) }

// drawn puts candidates into an order that is drawn by lot, in which a share more is a chance more to come first. Who comes
// or goes does not change the order of the others.
func (a *asking) drawn(pool []candidate) []candidate {
	order := slices.Clone(pool)
	at := make(map[string]float64, len(pool))
	for _, c := range pool {
		// The first of several waits of one expected length each: the more shares, the shorter.
		u := (float64(a.d.lot("lot", c.key(), a.d.s.Number)>>11) + 0.5) / (1 << 53)
		at[c.key()] = -math.Log(u) / float64(a.weight(c))
	}
	slices.SortStableFunc(order, func(x, y candidate) int { return cmp.Compare(at[x.key()], at[y.key()]) })
	return order
}

// turns puts candidates into the order of their turns, beginning with whose turn it is.
//
// Nothing is kept from one pull request to the next that would tell who had the last turn. So the turns go by numbers: each
// pull request has as many places as it asks people, each place is the next in a row of rounds, and in a round everybody has
// as many places as they have shares. The rounds are shuffled, each in its own way: issues take numbers too, and who is
// second in every round would otherwise have all the even numbers.
func (a *asking) turns(pool []candidate) []candidate {
	var shares []candidate
	for _, c := range pool {
		for range a.weight(c) {
			shares = append(shares, c)
		}
	}
	if len(shares) == 0 {
		return nil
	}
	place := a.d.s.Number * a.rule.count
	var order []candidate
	seen := map[string]bool{}
	for round := place / len(shares); len(order) < len(pool); round++ {
		lots := make([]uint64, len(shares))
		index := make([]int, len(shares))
		for i, c := range shares {
			lots[i], index[i] = a.d.lot("turn", fmt.Sprint(c.key(), " ", i), round), i
		}
		slices.SortFunc(index, func(x, y int) int { return cmp.Or(cmp.Compare(lots[x], lots[y]), x-y) })
		if round == place/len(shares) {
			index = index[place%len(shares):]
		}
		for _, i := range index {
			if c := shares[i]; !seen[c.key()] {
				seen[c.key()] = true
				order = append(order, c)
			}
		}
	}
	return order
}

// lot draws a number for a name in this repository. It is the same wherever and whenever it is drawn.
func (d *decider) lot(what, name string, n int) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d\x00%s", what, d.s.Repo.ID, n, name))
	return binary.BigEndian.Uint64(sum[:])
}

// picked are those whom the service has asked by itself and who have not reviewed, of those that are named if any are: whom
// /reroll passes over. They are still asked, or were taken off the list since, so that their place is empty.
func (d *decider) picked(named []string) []string {
	has := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
	}
	var out []string
	for _, in := range d.was.Intents {
		name := in.Action.Target
		if in.Action.Kind != pull.AskReview || in.Status != pull.Done || in.Action.Command != "" || len(named) > 0 && !has(named, name) {
			continue
		}
		requested := slices.ContainsFunc(d.s.ReviewRequests, func(r pull.ReviewRequest) bool { return has([]string{r.Who.Login, r.Team}, name) })
		reviewed := slices.ContainsFunc(d.s.Reviews, func(r pull.Review) bool {
			return r.State != pull.PendingReview && strings.EqualFold(r.Author.Login, name)
		})
		if requested || !reviewed && !has(d.was.Passed, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
