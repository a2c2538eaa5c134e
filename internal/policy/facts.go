package policy

import (
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A variable is one name that conditions may use.
type variable struct {
	name string
	typ  *cel.Type
	doc  string
	read func(*facts) any
	// unknown reports whether GitHub has not told enough to say what the value is; nil: it is always known.
	unknown func(*pull.Snapshot) bool
	// size bounds the value for the estimate of what a condition may cost: entries of a list, characters of a text.
	entries, chars uint64
}

// environment is version 1 of what conditions see. Adding to it is compatible; nothing in it may change its meaning.
var environment = []variable{
	{name: "pr.number", typ: cel.IntType, doc: "its number", read: func(f *facts) any { return f.s.Number }},
	{name: "pr.title", typ: cel.StringType, doc: "its title", chars: 256, read: func(f *facts) any { return f.s.Title }},
	{name: "pr.body", typ: cel.StringType, doc: "its description, Markdown as written", chars: 65536, read: func(f *facts) any { return f.s.Body }},
	{name: "pr.author", typ: cel.StringType, doc: "the login of its author; an App's ends in [bot]", chars: 64, read: func(f *facts) any { return f.s.Author.Login }},
	{name: "pr.author_type", typ: cel.StringType, doc: "User, Bot, Organization or Mannequin", chars: 16, read: func(f *facts) any { return string(f.s.Author.Type) }},
	{name: "pr.base", typ: cel.StringType, doc: "the branch it is to be merged into", chars: 255, read: func(f *facts) any { return f.s.Base.Name }},
	{name: "pr.head", typ: cel.StringType, doc: "the branch it comes from", chars: 255, read: func(f *facts) any { return f.s.Head.Name }},
	{name: "pr.labels", typ: cel.ListType(cel.StringType), doc: "the names of its labels", entries: 100, chars: 50, read: func(f *facts) any { return f.labels() }, unknown: func(s *pull.Snapshot) bool { return s.LabelsTruncated }},
	{name: "pr.files", typ: cel.ListType(cel.StringType), doc: "the paths of the changed files", entries: 3000, chars: 255, read: func(f *facts) any { return f.files() }, unknown: func(s *pull.Snapshot) bool { return s.FilesTruncated }},
	{name: "pr.additions", typ: cel.IntType, doc: "lines added", read: func(f *facts) any { return f.s.Additions }},
	{name: "pr.deletions", typ: cel.IntType, doc: "lines deleted", read: func(f *facts) any { return f.s.Deletions }},
	{name: "pr.lines", typ: cel.IntType, doc: "lines added and deleted together", read: func(f *facts) any { return f.s.Additions + f.s.Deletions }},
	{name: "pr.changed_files", typ: cel.IntType, doc: "how many files are changed", read: func(f *facts) any { return f.s.ChangedFiles }},
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

	{name: "approved", typ: cel.BoolType, doc: "someone who may write, and is not the author, has approved the current head, and nobody who may write requests changes", read: func(f *facts) any { return f.approved() }, unknown: reviewsUnknown},
	{name: "reviews.approved_by", typ: cel.ListType(cel.StringType), doc: "the logins of those whose approval counts: given on the current head, by someone who may write and is not the author, and not taken back", entries: 1000, chars: 64, read: func(f *facts) any { return f.approvedBy() }, unknown: reviewsUnknown},
	{name: "reviews.changes_requested_by", typ: cel.ListType(cel.StringType), doc: "the logins of those who may write and whose latest opinion requests changes", entries: 1000, chars: 64, read: func(f *facts) any { return f.reviews().changesBy }, unknown: reviewsUnknown},
	{name: "reviews.commented_by", typ: cel.ListType(cel.StringType), doc: "the logins of all whose review is a comment, whoever they are", entries: 1000, chars: 64, read: func(f *facts) any { return f.reviews().commentedBy }, unknown: reviewsUnknown},

	{name: "repo.owner", typ: cel.StringType, doc: "the account that the repository belongs to", chars: 64, read: func(f *facts) any { return f.s.Repo.Owner }},
	{name: "repo.name", typ: cel.StringType, doc: "the repository's name", chars: 100, read: func(f *facts) any { return f.s.Repo.Name }},
	{name: "repo.default_branch", typ: cel.StringType, doc: "its default branch", chars: 255, read: func(f *facts) any { return f.s.DefaultBranch }},
	{name: "repo.private", typ: cel.BoolType, doc: "it is not public", read: func(f *facts) any { return f.s.Private }},
}

func mergeabilityUnknown(s *pull.Snapshot) bool {
	return s.Mergeable == pull.MergeableUnknown || s.Mergeable == ""
}
func checksUnknown(s *pull.Snapshot) bool  { return s.ChecksTruncated }
func reviewsUnknown(s *pull.Snapshot) bool { return s.ReviewsTruncated }

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
	needs []pull.Need // that a result has turned out to depend on

	values   map[string]any
	latest   []pull.Check
	opinions *opinions
	owners   *owned // nil until somebody asks
	// Of approvals; see approve.go.
	said         []*voice
	contributors *contributions
	compared     map[string]bool // what comparisons came to, to be remembered
	comparisons  []pull.Need
	judgement    *judgement
	whole        *judgement
	vars         cel.PartialActivation
}

// need notes that a result depends on something that is to be looked up, and reports whether it was.
func (f *facts) need(n pull.Need) bool {
	if f.s.Answers(n) {
		return true
	}
	f.needs = append(f.needs, n)
	return false
}

func newFacts(p *Policy, s *pull.Snapshot, was *pull.Memory, now time.Time) *facts {
	f := &facts{p: p, s: s, was: was, now: now, values: make(map[string]any, 8), latest: s.LatestChecks()}
	var unknown []*cel.AttributePatternType
	for i := range environment {
		if v := &environment[i]; v.unknown != nil && v.unknown(s) {
			unknown = append(unknown, cel.AttributePattern(v.name))
		}
	}
	vars, err := cel.PartialVars(f, unknown...)
	if err != nil {
		panic("policy: facts are an activation: " + err.Error())
	}
	f.vars = vars
	return f
}

// ResolveName is how a CEL program reads a variable.
func (f *facts) ResolveName(name string) (any, bool) {
	if v, ok := f.values[name]; ok {
		return v, true
	}
	def, ok := variables[name]
	if !ok {
		return nil, false
	}
	v := def.read(f)
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

func (f *facts) files() []string {
	paths := make([]string, len(f.s.Files))
	for i, file := range f.s.Files {
		paths[i] = file.Path
	}
	return paths
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

func (f *facts) green() bool {
	if len(f.latest) == 0 {
		return f.p.checks != nil && f.p.checks.noneExpected
	}
	for _, c := range f.latest {
		if c.State != pull.CheckPassed {
			return false
		}
	}
	return true
}

// opinions are the reviews of a pull request, boiled down to what each person thinks now.
type opinions struct {
	approvedBy  []string // count
	changesBy   []string // count
	commentedBy []string
	staleBy     []string // would count, but were given on an older commit
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
			p.onHead = p.onHead || (r.Commit == f.s.Head.SHA && r.Commit != "")
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
func (f *facts) approved() any {
	if f.p.approvals != nil {
		if j := f.judged(); j.result == True || j.result == False {
			return j.result == True
		}
		return types.NewUnknown(0, types.NewAttributeTrail("approved"))
	}
	o := f.reviews()
	return len(o.approvedBy) > 0 && len(o.changesBy) == 0
}

// approvedBy is whose approval counts: by the section approvals, where there is one.
func (f *facts) approvedBy() any {
	if f.p.approvals != nil {
		if j := f.judgedWhole(); j.complete {
			return j.given
		}
		return types.NewUnknown(0, types.NewAttributeTrail("reviews.approved_by"))
	}
	return f.reviews().approvedBy
}

// unknownValue returns the value of a variable that has been asked for; nil when it was not.
func (f *facts) unknownValue(name string) ref.Val {
	v, _ := f.values[name].(ref.Val)
	return v
}
