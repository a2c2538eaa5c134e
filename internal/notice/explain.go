package notice

import (
	"maps"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

// An Explanation is all that a verdict says, in words. The report on GitHub, the answer to /why, `explain`, the API and the
// page are made from it and from nothing else, so that they can't say different things.
type Explanation struct {
	State    policy.State `json:"state"`
	Sentence string       `json:"sentence"`
	Reasons  []Said       `json:"reasons,omitempty"`
	Problems []string     `json:"problems,omitempty"` // of the policy file
	Rules    []Told       `json:"rules,omitempty"`    // section by section, in the order of the file within one
	Would    []string     `json:"would,omitempty"`    // what would be done, in a dry run
	Doing    []string     `json:"doing,omitempty"`    // what is being done
}

// A Said is a reason as a sentence, and who can change it.
type Said struct {
	Text string `json:"text"`
	Who  string `json:"who,omitempty"` // "alice or someone with write access"
}

// String puts both into one line.
func (s Said) String() string {
	if s.Who == "" || strings.Contains(s.Text, s.Who) {
		return s.Text
	}
	return s.Text + " Who can help: " + s.Who + "."
}

// A Told is what one rule came to.
type Told struct {
	Section string         `json:"section"` // the top-level key of the policy
	Title   string         `json:"title"`   // what one of its rules is called: "Label"
	Name    string         `json:"name,omitempty"`
	Pos     policy.Pos     `json:"pos"`
	Outcome policy.Outcome `json:"outcome"`
	Came    string         `json:"came"` // the outcome in words: "is being added"
	Mark    string         `json:"mark"` // ✓ ✗ ! ?
	Tone    Tone           `json:"tone,omitempty"`
	Why     []Said         `json:"why,omitempty"`
	// Condition is explained part by part; nil where there is none.
	Condition *policy.Node `json:"-"`
}

// sectionTitles are the sections of a policy that have rules, in the order in which they are told: what merging waits for
// comes first. One that is not named here comes last.
var sectionTitles = []struct{ key, one, all string }{
	{"merge", "Merging", "Merging"},
	{"approvals", "Approval", "Approvals"},
	{"reviewers", "Reviewers", "Reviewers"},
	{"commands", "Command", "Commands"},
	{"rules", "Rule", "Rules"},
	{"labels", "Label", "Labels"},
	{"opt-out", "Opt-out", "Opt-out"},
}

// Explain puts a verdict into words.
func Explain(v policy.Verdict) Explanation {
	e := Explanation{State: v.State, Sentence: Sentence(v), Reasons: said(v.Reasons)}
	for _, p := range v.Policy.Problems {
		e.Problems = append(e.Problems, Problem(p))
	}
	for _, r := range inSections(v.Rules) {
		title, _ := sectionTitle(r.Section)
		e.Rules = append(e.Rules, Told{
			Section: r.Section, Title: title, Name: plain(r.Name, maxName), Pos: r.Pos, Outcome: r.Outcome, Came: came(r.Outcome),
			Mark: outcomeMark(r.Outcome), Tone: outcomeWords[r.Outcome].tone, Why: said(r.Why), Condition: r.Condition,
		})
	}
	for _, a := range v.Would {
		e.Would = append(e.Would, act(a))
	}
	for _, a := range v.Actions {
		e.Doing = append(e.Doing, act(a))
	}
	return e
}

func said(reasons []policy.Reason) []Said {
	var out []Said
	for _, r := range reasons {
		out = append(out, Said{Text: Reason(r), Who: Unblock(r)})
	}
	return out
}

// inSections puts rules together that belong together.
func inSections(rules []policy.Rule) []policy.Rule {
	var out []policy.Rule
	for _, s := range sectionTitles {
		for _, r := range rules {
			if r.Section == s.key {
				out = append(out, r)
			}
		}
	}
	for _, r := range rules {
		if _, all := sectionTitle(r.Section); all == "" {
			out = append(out, r)
		}
	}
	return out
}

// sectionTitle returns what one rule of a section is called, and what the section is.
func sectionTitle(key string) (one, all string) {
	for _, s := range sectionTitles {
		if s.key == key {
			return s.one, s.all
		}
	}
	return plain(key, maxName), ""
}

// A Tone is how an outcome looks where there are colours.
type Tone string

// The tones; without one, it is no news.
const (
	Good Tone = "yes"
	Wait Tone = "no"
	Bad  Tone = "bad"
)

// An ending is how an outcome is told.
type ending struct {
	words, mark string
	tone        Tone
}

// outcomeWords say what became of a rule, and with which mark; a test holds that every outcome has its words. Those of a
// section stand in its file.
var outcomeWords = func() map[policy.Outcome]ending {
	all := map[policy.Outcome]ending{}
	for _, section := range []map[policy.Outcome]ending{coreEndings, reviewerEndings} {
		maps.Copy(all, section)
	}
	return all
}()

var coreEndings = map[policy.Outcome]ending{
	policy.LabelAdd:      {"is being added", "✓", Good},
	policy.LabelRemove:   {"is being removed", "✗", Wait},
	policy.LabelOn:       {"is on, as it should be", "✓", Good},
	policy.LabelOff:      {"is off, as it should be", "✗", ""},
	policy.LabelLeft:     {"was set by a person, and stays", "!", ""},
	policy.LabelKeptOff:  {"was taken off by a person, and stays off", "!", ""},
	policy.LabelUnknown:  {"is left as it is: not known", "?", Wait},
	policy.LabelSettling: {"was just written", "✓", ""},
	policy.Withheld:      {"GitHub refused it lately", "!", Bad},
	policy.MergeNow:      {"merges now", "✓", Good},
	policy.MergeWaits:    {"waits", "✗", Wait},
	policy.MergeQueue:    {"goes into GitHub's merge queue", "✓", Good},
	policy.MergeDequeue:  {"is taken out of GitHub's merge queue", "✗", Wait},
	policy.MergeUpdate:   {"is being brought up to date", "✓", Good},
	policy.BranchDelete:  {"is being deleted", "✓", Good},
	policy.BranchKept:    {"is kept", "✗", ""},
	policy.RuleDoes:      {"acts", "✓", Good},
	policy.RuleDone:      {"holds; what it asks for is done", "✓", ""},
	policy.RuleIdle:      {"does not hold", "✗", ""},
	policy.CommandOver:   {"is no longer in force", "✗", Wait},

	policy.ApprovalHolds:   {"holds", "✓", Good},
	policy.ApprovalLacks:   {"lacks approvals", "✗", Wait},
	policy.ApprovalSkipped: {"is not about this pull request", "–", ""},
	policy.ApprovalUnknown: {"is not known", "?", Wait},
}

// came says an outcome in words.
func came(o policy.Outcome) string {
	if w, ok := outcomeWords[o]; ok {
		return w.words
	}
	return plain(string(o), maxName) // unreachable unless an outcome lacks its words
}

func outcomeMark(o policy.Outcome) string { return or(outcomeWords[o].mark, "✗") }
