package notice

import (
	"fmt"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

// Tree renders a verdict for a terminal: the sentence, then every rule with its place in the file, then each part of its
// condition with the value that it saw.
func Tree(v policy.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", v.State, Sentence(v))
	for _, r := range v.Reasons {
		if who := Unblock(r); who != "" {
			fmt.Fprintf(&b, "  %s Who can help: %s.\n", Reason(r), who)
		}
	}
	for _, p := range v.Policy.Problems {
		fmt.Fprintf(&b, "  ! %s\n", Problem(p))
	}
	for _, rule := range v.Rules {
		name := rule.Section
		if rule.Name != "" {
			name += " " + quoted(rule.Name)
		}
		fmt.Fprintf(&b, "\n%s %s: %s   %s\n", outcomeMark(rule.Outcome), name, rule.Outcome, plain(rule.Pos.String(), maxText))
		for _, r := range rule.Why {
			fmt.Fprintf(&b, "    %s\n", Reason(r))
		}
		if rule.Condition != nil {
			branch(&b, rule.Condition, 2)
		}
	}
	if would := acts(v.Would); would != "" {
		fmt.Fprintf(&b, "\nWould %s.\n", would)
	}
	if now := acts(v.Actions); now != "" {
		fmt.Fprintf(&b, "\nTo do: %s.\n", now)
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
