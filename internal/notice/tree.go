package notice

import (
	"fmt"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

// Tree renders a verdict for a terminal: the sentence, then every rule with its place in the file, then each part of its
// condition with the value that it saw.
func Tree(v policy.Verdict) string {
	e := Explain(v)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", e.State, e.Sentence)
	for _, r := range e.Reasons {
		if len(e.Reasons) > 1 || r.String() != e.Sentence {
			fmt.Fprintf(&b, "  %s\n", r)
		}
	}
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "  ! %s\n", p)
	}
	for _, rule := range e.Rules {
		name := rule.Section
		if rule.Name != "" {
			name += " " + quoted(rule.Name)
		}
		fmt.Fprintf(&b, "\n%s %s: %s   %s\n", rule.Mark, name, rule.Outcome, plain(rule.Pos.String(), maxText))
		for _, r := range rule.Why {
			fmt.Fprintf(&b, "    %s\n", r)
		}
		if rule.Condition != nil {
			branch(&b, rule.Condition, 2)
		}
	}
	if len(e.Would) > 0 {
		fmt.Fprintf(&b, "\nWould %s.\n", enumerate(e.Would, "and"))
	}
	if len(e.Doing) > 0 {
		fmt.Fprintf(&b, "\nTo do: %s.\n", enumerate(e.Doing, "and"))
	}
	return b.String()
}

func branch(b *strings.Builder, n *policy.Node, depth int) {
	sign := mark(n.Result)
	if sign == "" {
		sign = "·"
	}
	fmt.Fprintf(b, "%s%s %s", strings.Repeat("  ", depth), sign, plain(n.Text, maxText))
	if v := plain(n.Value, maxText); v != "" {
		fmt.Fprintf(b, " = %s", v)
	}
	if n.Pos.Line > 0 && depth > 2 && n.Result != "" {
		fmt.Fprintf(b, "   %d:%d", n.Pos.Line, n.Pos.Column)
	}
	b.WriteString("\n")
	for _, c := range n.Children {
		branch(b, c, depth+1)
	}
}
