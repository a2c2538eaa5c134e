package policy

import (
	"time"

	"cel.dev/cel-go/cel"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// EnvironmentVersion is the version of what conditions see. Adding to it is compatible; nothing in it may change its meaning.
const EnvironmentVersion = 1

// A variable is one name that conditions may use.
type variable struct {
	name string
	typ  *cel.Type
	doc  string
	read func(*facts) any
	// unknown says what keeps the value from being known, and nil if nothing does; a nil func: it is always known.
	unknown func(*facts) *lack
	// size bounds the value for the estimate of what a condition may cost: entries of a list, characters of a text.
	entries, chars uint64
}

// environment is what conditions see, in the order of the documentation.
var environment = []variable{
	{name: "pr.number", typ: cel.IntType, doc: "its number", read: func(f *facts) any { return f.s.Number }},
	{name: "pr.title", typ: cel.StringType, doc: "its title", chars: 256, read: func(f *facts) any { return f.s.Title }},
	{name: "pr.body", typ: cel.StringType, doc: "its description, Markdown as written", chars: 65536, read: func(f *facts) any { return f.s.Body }},
	{name: "pr.author", typ: cel.StringType, doc: "the login of its author; an App's ends in [bot]", chars: 64, read: func(f *facts) any { return f.s.Author.Login }},
	{name: "pr.author_id", typ: cel.IntType, doc: "the number of its author's account, which stays when it is renamed", read: func(f *facts) any { return f.s.Author.ID }},
	{name: "pr.author_type", typ: cel.StringType, doc: "User, Bot, Organization or Mannequin", chars: 16, read: func(f *facts) any { return string(f.s.Author.Type) }},
	{name: "pr.author_permission", typ: cel.StringType, doc: "what its author may do on the repository: admin, maintain, write, triage, read or none", chars: 8, read: func(f *facts) any { return f.permissionValue(f.s.Author) }, unknown: authorUnknown},
	{name: "pr.base", typ: cel.StringType, doc: "the branch it is to be merged into", chars: 255, read: func(f *facts) any { return f.s.Base.Name }},
	{name: "pr.head", typ: cel.StringType, doc: "the branch it comes from", chars: 255, read: func(f *facts) any { return f.s.Head.Name }},
	{name: "pr.labels", typ: cel.ListType(cel.StringType), doc: "the names of its labels", entries: 100, chars: 50, read: func(f *facts) any { return f.labels() }, unknown: labelsUnknown},
	{name: "pr.labelled", typ: cel.ListType(cel.ObjectType(labelObject.name)), doc: "its labels, with who set each", entries: 100, read: func(f *facts) any { return f.labelled() }, unknown: labelsUnknown},
	{name: "pr.milestone", typ: cel.StringType, doc: "the title of its milestone; \"\" without one", chars: 255, read: func(f *facts) any { return f.s.Milestone }},
	{name: "pr.assignees", typ: cel.ListType(cel.StringType), doc: "the logins of those whom it is assigned to", entries: 10, chars: 64, read: func(f *facts) any { return loginsOf(f.s.Assignees) }},
	{name: "pr.files", typ: cel.ListType(cel.StringType), doc: "the paths of the changed files; of a renamed one both, the new and the previous", entries: 3000, chars: 255, read: func(f *facts) any { return f.paths() }, unknown: pathsUnknown},
	{name: "pr.changes", typ: cel.ListType(cel.ObjectType(fileObject.name)), doc: "the changed files", entries: 3000, read: func(f *facts) any { return things(f, fileObject, f.s.Files) }, unknown: filesUnknown},
	{name: "pr.additions", typ: cel.IntType, doc: "lines added, those of generated files among them", read: func(f *facts) any { return f.s.Additions }},
	{name: "pr.deletions", typ: cel.IntType, doc: "lines deleted, those of generated files among them", read: func(f *facts) any { return f.s.Deletions }},
	{name: "pr.lines", typ: cel.IntType, doc: "lines added and deleted together, without those of [generated files](#generated-files)", read: func(f *facts) any { return f.lines().high }, unknown: linesUnknown},
	{name: "pr.changed_files", typ: cel.IntType, doc: "how many files are changed", read: func(f *facts) any { return f.s.ChangedFiles }},
	{name: "pr.commits", typ: cel.ListType(cel.ObjectType(commitObject.name)), doc: "the commits that the base does not have, oldest first", entries: 250, read: func(f *facts) any { return things(f, commitObject, f.s.Known.Commits.List) }, unknown: commitsUnknown},
	{name: "pr.draft", typ: cel.BoolType, doc: "it is a draft", read: func(f *facts) any { return f.s.Draft }},
	{name: "pr.fork", typ: cel.BoolType, doc: "it comes from another repository", read: func(f *facts) any { return f.s.Fork }},
	{name: "pr.conflicting", typ: cel.BoolType, doc: "it conflicts with its base; unknown while GitHub works it out", read: func(f *facts) any { return f.s.Mergeable == pull.MergeableConflict }, unknown: mergeabilityUnknown},
	{name: "pr.behind", typ: cel.BoolType, doc: "GitHub says that it must be brought up to date before a merge; unknown while GitHub works it out", read: func(f *facts) any { return f.s.Behind }, unknown: mergeabilityUnknown},
	{name: "pr.state", typ: cel.StringType, doc: "open, closed or merged", chars: 8, read: func(f *facts) any { return string(f.s.State) }},
	{name: "pr.created_at", typ: cel.TimestampType, doc: "when it was opened", read: func(f *facts) any { return f.s.CreatedAt }},
	{name: "pr.updated_at", typ: cel.TimestampType, doc: "when it last changed, by whomever", read: func(f *facts) any { return f.s.UpdatedAt }},

	{name: "checks.green", typ: cel.BoolType, doc: "at least one check has reported on the head, and the newest run of each has passed", read: func(f *facts) any { return f.green() }, unknown: checksUnknown},
	{name: "checks.failed", typ: cel.ListType(cel.StringType), doc: "the names of the checks that failed", entries: 1000, chars: 255, read: func(f *facts) any { return f.checks(pull.CheckFailed) }, unknown: checksUnknown},
	{name: "checks.pending", typ: cel.ListType(cel.StringType), doc: "the names of the checks that have not ended", entries: 1000, chars: 255, read: func(f *facts) any { return f.checks(pull.CheckPending) }, unknown: checksUnknown},
	{name: "checks.passed", typ: cel.ListType(cel.StringType), doc: "the names of the checks that passed; skipped and neutral ones among them. A name that two Apps report has passed when it has with both", entries: 1000, chars: 255, read: func(f *facts) any { return f.checks(pull.CheckPassed) }, unknown: checksUnknown},
	{name: "checks.list", typ: cel.ListType(cel.ObjectType(checkObject.name)), doc: "the checks on the head, the newest run of each", entries: 1000, read: func(f *facts) any { return things(f, checkObject, f.latest) }, unknown: checksUnknown},

	{name: "approved", typ: cel.BoolType, doc: "what the section [approvals](#approvals) asks for is there; without that section: someone who may write, and is not the author, has approved the current head, and nobody who may write requests changes", read: func(f *facts) any { return f.approved() }, unknown: approvedUnknown},
	{name: "reviews.approved_by", typ: cel.ListType(cel.StringType), doc: "the logins of those whose approval counts, by the section [approvals](#approvals); without that section: given on the current head, by someone who may write and is not the author, and not taken back", entries: 1000, chars: 64, read: func(f *facts) any { return f.approvedBy() }, unknown: approvedByUnknown},
	{name: "reviews.changes_requested_by", typ: cel.ListType(cel.StringType), doc: "the logins of those who may write and whose latest opinion requests changes", entries: 1000, chars: 64, read: func(f *facts) any { return f.reviews().changesBy }, unknown: reviewsUnknown},
	{name: "reviews.commented_by", typ: cel.ListType(cel.StringType), doc: "the logins of all whose review is a comment, whoever they are", entries: 1000, chars: 64, read: func(f *facts) any { return f.reviews().commentedBy }, unknown: reviewsUnknown},
	{name: "reviews.requested", typ: cel.ListType(cel.StringType), doc: "who is asked to review: logins, and teams as `@acme/backend`", entries: 100, chars: 140, read: func(f *facts) any { return f.requested() }},
	{name: "reviews.list", typ: cel.ListType(cel.ObjectType(reviewObject.name)), doc: "the reviews, oldest first", entries: 1000, read: func(f *facts) any { return things(f, reviewObject, f.s.Reviews) }, unknown: reviewsUnknown},
	{name: "threads.unresolved", typ: cel.IntType, doc: "how many threads on lines of the diff are not resolved", read: func(f *facts) any { return f.unresolved() }, unknown: threadsUnknown},
	{name: "threads.list", typ: cel.ListType(cel.ObjectType(threadObject.name)), doc: "the threads on lines of the diff", entries: 1000, read: func(f *facts) any { return things(f, threadObject, f.s.Threads) }, unknown: threadsUnknown},

	{name: "update.level", typ: cel.StringType, doc: "how far a [dependency update](#dependency-updates) goes: patch, minor or major; \"\" for anything else, and for what can't be trusted", chars: 5, read: func(f *facts) any { return f.update().level }, unknown: updateUnknown},
	{name: "update.name", typ: cel.StringType, doc: "what it updates; the names of several are joined by `, `", chars: 65536, read: func(f *facts) any { return f.update().name }, unknown: updateUnknown},
	{name: "update.from", typ: cel.StringType, doc: "the version that it updates from, if it updates one dependency", chars: 128, read: func(f *facts) any { return f.update().from }, unknown: updateUnknown},
	{name: "update.to", typ: cel.StringType, doc: "the version that it updates to, likewise", chars: 128, read: func(f *facts) any { return f.update().to }, unknown: updateUnknown},

	{name: "now", typ: cel.TimestampType, doc: "the time at which the condition is looked at", read: func(f *facts) any { return f.now }},

	{name: "repo.owner", typ: cel.StringType, doc: "the account that the repository belongs to", chars: 64, read: func(f *facts) any { return f.s.Repo.Owner }},
	{name: "repo.name", typ: cel.StringType, doc: "the repository's name", chars: 100, read: func(f *facts) any { return f.s.Repo.Name }},
	{name: "repo.default_branch", typ: cel.StringType, doc: "its default branch", chars: 255, read: func(f *facts) any { return f.s.DefaultBranch }},
	{name: "repo.private", typ: cel.BoolType, doc: "it is not public", read: func(f *facts) any { return f.s.Private }},
}

func mergeabilityUnknown(f *facts) *lack {
	if f.s.Mergeable == pull.MergeableUnknown || f.s.Mergeable == "" {
		return &lack{soon: true}
	}
	return nil
}

// cutShort makes the lack of a list that GitHub did not list to its end.
func cutShort(cut bool, name string) *lack {
	if cut {
		return &lack{name: name}
	}
	return nil
}

func labelsUnknown(f *facts) *lack  { return cutShort(f.s.LabelsTruncated, "pr.labels") }
func checksUnknown(f *facts) *lack  { return cutShort(f.s.ChecksTruncated, "checks") }
func reviewsUnknown(f *facts) *lack { return cutShort(f.s.ReviewsTruncated, "reviews") }
func threadsUnknown(f *facts) *lack { return cutShort(f.s.ThreadsTruncated, "threads") }
func updateUnknown(f *facts) *lack  { return f.update().lack }

func authorUnknown(f *facts) *lack {
	if f.s.Author.ID == 0 || f.s.Author.Login == "" {
		return nil
	}
	return f.lackOf(lackPerson + f.s.Author.Login)
}

func commitsUnknown(f *facts) *lack {
	n := pull.Need{Kind: pull.NeedCommits}
	switch {
	case !f.s.Answers(n):
		return &lack{name: "pr.commits", need: &n}
	case f.s.Known.Commits.Truncated:
		return &lack{name: "pr.commits"}
	}
	return nil
}

// A Variable documents one name of the environment.
type Variable struct {
	Name, Type, Doc string
}

// Environment lists what conditions may use, in the order of the documentation.
func Environment() []Variable {
	out := make([]Variable, len(environment))
	for i, v := range environment {
		out[i] = Variable{v.name, v.typ.String(), v.doc}
	}
	return out
}

// An ObjectDoc documents a type of things that conditions look at.
type ObjectDoc struct {
	Name   string
	Fields []Variable
}

// Objects lists the types of things, in the order of the documentation.
func Objects() []ObjectDoc {
	var out []ObjectDoc
	for _, o := range objects {
		d := ObjectDoc{Name: o.name}
		for _, f := range o.fields {
			d.Fields = append(d.Fields, Variable{f.name, f.typ.String(), f.doc})
		}
		out = append(out, d)
	}
	return out
}

// variables are those of the environment by name. They are made in init, since what reads a variable may explain others.
var variables map[string]*variable

func init() {
	variables = make(map[string]*variable, len(environment))
	for i := range environment {
		variables[environment[i].name] = &environment[i]
	}
}

// facts are what one snapshot says, worked out when a condition first asks. They serve as the activation of CEL
// programs, and are used by one evaluation at a time.
type facts struct {
	s     *pull.Snapshot
	p     *Policy
	was   *pull.Memory // with what commands have put in force
	now   time.Time
	heads []pull.HeadAt // since when the head is where it is
	needs []pull.Need   // that a result has turned out to depend on

	again time.Time // when a result that depends on the time may change

	values   map[string]any
	latest   []pull.Check
	opinions *opinions
	counted  *lineCount
	attrs    *attributes
	updated  *updating
	owners   *owned // nil until somebody asks
	// strangers are the accounts, in lower case, whose permission a condition would need and nobody has asked for.
	strangers map[string]bool
	// Of approvals; see approve.go.
	said         []*voice
	contributors *contributions
	compared     map[string]bool // what comparisons came to, to be remembered
	comparisons  []pull.Need
	judgement    *judgement
	whole        *judgement
}

// need notes that a result depends on something that is to be looked up, and reports whether it was.
func (f *facts) need(n pull.Need) bool {
	if f.s.Answers(n) {
		return true
	}
	f.needs = append(f.needs, n)
	return false
}

// lookAt notes that a result may change at t by itself.
func (f *facts) lookAt(t time.Time) {
	if !t.IsZero() && (f.again.IsZero() || t.Before(f.again)) {
		f.again = t
	}
}

func newFacts(p *Policy, s *pull.Snapshot, was *pull.Memory, now time.Time) *facts {
	return &facts{p: p, s: s, was: was, now: now, values: make(map[string]any, 8), latest: s.LatestChecks()}
}

// ResolveName is how a CEL program reads a variable. One that is not known has an unknown value, with which CEL reckons as
// one would: a || unknown is true if a is.
func (f *facts) ResolveName(name string) (any, bool) {
	if v, ok := f.values[name]; ok {
		return v, true
	}
	def, ok := variables[name]
	if !ok {
		return nil, false
	}
	var v any
	if def.unknown != nil && def.unknown(f) != nil {
		v = f.unknown(name)
	} else {
		v = def.read(f)
	}
	f.values[name] = v
	return v, true
}

// Parent is nil: there is no other activation behind the facts.
func (f *facts) Parent() cel.Activation { return nil }

func (f *facts) labels() []string {
	names := []string{}
	for _, l := range f.s.Labels {
		if l.Present {
			names = append(names, l.Name)
		}
	}
	return names
}

func (f *facts) labelled() any {
	var present []pull.Label
	for _, l := range f.s.Labels {
		if l.Present {
			present = append(present, l)
		}
	}
	return things(f, labelObject, present)
}

func loginsOf(list []pull.Actor) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.Login
	}
	return out
}

func (f *facts) requested() []string {
	out := make([]string, len(f.s.ReviewRequests))
	for i, r := range f.s.ReviewRequests {
		if out[i] = r.Who.Login; r.Team != "" {
			out[i] = "@" + r.Team
		}
	}
	return out
}

func (f *facts) unresolved() int {
	n := 0
	for _, t := range f.s.Threads {
		if !t.Resolved {
			n++
		}
	}
	return n
}

// checks returns the names of the checks in one state. Two Apps may report one name: whoever can report any check at all
// must not be able to speak for another, so such a name has passed only when all of its checks have.
func (f *facts) checks(state pull.CheckState) []string {
	names := []string{}
	seen := map[string]bool{}
	if state == pull.CheckPassed {
		for _, c := range f.latest {
			seen[c.Name] = seen[c.Name] || c.State != pull.CheckPassed
		}
	}
	for _, c := range f.latest {
		if c.State == state && !seen[c.Name] {
			seen[c.Name] = true
			names = append(names, c.Name)
		}
	}
	return names
}

// opinions are the reviews of a pull request, boiled down to what each person thinks now.
type opinions struct {
	approvedBy  []string // count
	changesBy   []string // count
	commentedBy []string
	staleBy     []string // would count, but were given on an older commit
	otherBaseBy []string // would count, but were given before the base was changed
	powerlessBy []string // on the head, but by someone who may not write
}

// reviews works out the opinions. A comment changes nobody's opinion. A dismissed review leaves its author without one.
// An approval counts for the commit that it was given on, and for no other.
func (f *facts) reviews() *opinions {
	if f.opinions != nil {
		return f.opinions
	}
	type person struct {
		who      pull.Actor
		canWrite bool
		state    pull.ReviewState // the latest of approved, changes requested and dismissed
		onHead   bool             // approved the current head, and has not said otherwise since
		other    bool             // the latest approval is from before the base was changed
		comments bool
	}
	type account struct {
		id    int64
		login string // only where the id is not known
	}
	var order []account
	people := map[account]*person{}
	for _, r := range f.s.Reviews {
		key := account{id: r.Author.ID}
		if key.id == 0 {
			key.login = r.Author.Login
		}
		p := people[key]
		if p == nil {
			p = &person{}
			people[key] = p
			order = append(order, key)
		}
		p.who, p.canWrite = r.Author, r.CanWrite
		switch r.State {
		case pull.Approved:
			p.state = r.State
			p.other = f.ofOtherBase(r.SubmittedAt)
			p.onHead = p.onHead || (r.Commit == f.s.Head.SHA && r.Commit != "" && !p.other)
		case pull.ChangesRequested, pull.Dismissed:
			p.state, p.onHead = r.State, false
		case pull.Commented:
			p.comments = true
		}
	}
	o := &opinions{approvedBy: []string{}, changesBy: []string{}, commentedBy: []string{}}
	for _, key := range order {
		p := people[key]
		// Nobody approves their own pull request, and an account that GitHub does not name may be the author's.
		mayApprove := key.id != 0 && !p.who.Same(f.s.Author)
		switch {
		case p.state == pull.ChangesRequested && p.canWrite:
			o.changesBy = append(o.changesBy, p.who.Login)
		case p.state == pull.Approved && mayApprove && p.canWrite && p.onHead:
			o.approvedBy = append(o.approvedBy, p.who.Login)
		case p.state == pull.Approved && mayApprove && p.canWrite && p.other:
			o.otherBaseBy = append(o.otherBaseBy, p.who.Login)
		case p.state == pull.Approved && mayApprove && p.canWrite:
			o.staleBy = append(o.staleBy, p.who.Login)
		case p.state == pull.Approved && mayApprove && p.onHead:
			o.powerlessBy = append(o.powerlessBy, p.who.Login)
		}
		if p.comments {
			o.commentedBy = append(o.commentedBy, p.who.Login)
		}
	}
	f.opinions = o
	return o
}

// approved is what the section approvals came to, where there is one.
func (f *facts) approved() bool {
	if f.p.approvals != nil {
		return f.judged().result == True
	}
	o := f.reviews()
	return len(o.approvedBy) > 0 && len(o.changesBy) == 0
}

// approvedUnknown: what the section depends on and GitHub has not told, it has asked for itself.
func approvedUnknown(f *facts) *lack {
	if f.p.approvals == nil {
		return reviewsUnknown(f)
	}
	r := f.judged().result
	return cutShort(r != True && r != False, "approved")
}

// approvedBy is whose approval counts: by the section approvals, where there is one.
func (f *facts) approvedBy() []string {
	if f.p.approvals != nil {
		return f.judgedWhole().given
	}
	return f.reviews().approvedBy
}

func approvedByUnknown(f *facts) *lack {
	if f.p.approvals == nil {
		return reviewsUnknown(f)
	}
	return cutShort(!f.judgedWhole().complete, "reviews.approved_by")
}
