package dashboard

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A verdictView is the tree of a verdict: what each rule came to, and each condition part by part.
type verdictView struct {
	Reasons  []string
	Problems []string
	Policy   string // path of the file that it follows
	Mode     string
	Rules    []ruleView
	Would    []string
}

type ruleView struct {
	ID      string
	Rev     string
	Section string
	Name    string
	Where   string // file:line of the rule
	Outcome string
	Tone    string // yes, no, bad or ""
	Why     []string
	Tree    *nodeView
	Open    bool // the condition is shown at once, since it is why the pull request waits
}

type nodeView struct {
	Text  string
	Value string
	Mark  string // yes, no, unknown or ""
	Says  string // the mark for who can't see it
	Kids  []nodeView
}

// verdictView decodes a stored verdict. A tree from another version that can't be read is shown as none: the sentence
// beside it still says why.
func (d *Dashboard) verdictView(v pull.Verdict) verdictView {
	var out verdictView
	var tree policy.Verdict
	if len(v.Tree) == 0 {
		return out
	}
	if err := json.Unmarshal(v.Tree, &tree); err != nil {
		out.Reasons = []string{"The details of this decision were written by another version and can't be shown."}
		return out
	}
	e := notice.Explain(tree)
	reasons := func(rs []notice.Said) (out []string) {
		for _, r := range rs[:min(len(rs), 40)] {
			out = append(out, d.text(r.String(), 600))
		}
		return out
	}
	out.Policy, out.Mode = d.text(tree.Policy.Path, 200), d.text(string(tree.Policy.Mode), 20)
	if tree.Policy.UsingLast {
		out.Mode = strings.TrimPrefix(out.Mode+", the last valid version", ", ")
	}
	out.Reasons = reasons(e.Reasons)
	if len(out.Reasons) == 1 && strings.EqualFold(out.Reasons[0], v.Sentence) {
		out.Reasons = nil // the headline has just said it
	}
	for _, p := range e.Problems[:min(len(e.Problems), 20)] {
		out.Problems = append(out.Problems, d.text(p, 400))
	}
	for _, w := range e.Would {
		out.Would = append(out.Would, d.text(w, 200))
	}
	for i, r := range e.Rules[:min(len(e.Rules), 100)] {
		rv := ruleView{
			ID: "r" + strconv.Itoa(i), Section: d.text(r.Title, 40), Name: d.text(r.Name, 80),
			Where: d.text(where(r.Pos), 200), Outcome: d.text(r.Came, 80), Tone: string(r.Tone), Why: reasons(r.Why),
		}
		if r.Condition != nil {
			budget := 400
			n := d.nodeView(r.Condition, 0, &budget)
			rv.Tree, rv.Open = &n, r.Section == "merge"
		}
		rv.Rev = revision(rv.Outcome, rv.Why)
		out.Rules = append(out.Rules, rv)
	}
	return out
}

// where is file:line; the column is for editors.
func where(p policy.Pos) string {
	p.Column = 0
	return p.String()
}

// nodeView renders a condition's part, at most budget of them and twelve deep: the tree comes from a file that
// somebody wrote.
func (d *Dashboard) nodeView(n *policy.Node, depth int, budget *int) nodeView {
	*budget--
	v := nodeView{Text: d.text(n.Text, 300), Value: d.text(n.Value, 200), Says: "value"}
	switch n.Result {
	case policy.True:
		v.Mark, v.Says = "yes", "true"
	case policy.False:
		v.Mark, v.Says = "no", "false"
	case policy.Unknown:
		v.Mark, v.Says = "unknown", "unknown"
		v.Value = cmp.Or(v.Value, "not known yet")
	case policy.Failed:
		v.Mark, v.Says = "unknown", "could not be worked out"
	}
	switch {
	case n.Op == policy.And:
		v.Value = cmp.Or(v.Value, "all of")
	case n.Op == policy.Or:
		v.Value = cmp.Or(v.Value, "any of")
	case n.Op == policy.Not:
		v.Value = cmp.Or(v.Value, "not")
	}
	for _, c := range n.Children {
		if c == nil || depth >= 12 || *budget <= 0 {
			break
		}
		v.Kids = append(v.Kids, d.nodeView(c, depth+1, budget))
	}
	return v
}

// changesOf decodes what is kept of the changes to a decision; of another version's, nothing.
func changesOf(h Decision) []policy.Change {
	var list []policy.Change
	if json.Unmarshal(h.Changes, &list) != nil {
		return nil
	}
	return list
}
