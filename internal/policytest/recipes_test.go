package policytest

import (
	"os"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

// TestRecipes executes docs/recipes.md: each recipe takes at most six lines of policy, has a case in which it does something
// and one in which it does not, and names the tool that it is known from.
func TestRecipes(t *testing.T) {
	text, err := os.ReadFile(recipes)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\n### ")[1:]
	if len(parts) < 20 {
		t.Errorf("there are %d recipes, want at least twenty", len(parts))
	}
	for _, part := range parts {
		title, body, _ := strings.Cut(part, "\n")
		t.Run(title, func(t *testing.T) {
			blocks := fence.FindAllStringSubmatch(body, -1)
			if len(blocks) != 2 || blocks[0][1] != "yaml" || blocks[1][1] != "yaml test" {
				t.Fatalf("want a policy and its tests, have %d blocks", len(blocks))
			}
			lines, ok := strings.CutPrefix(blocks[0][2], "version: 1\n")
			if n := strings.Count(lines, "\n"); !ok || n > 6 {
				t.Errorf("takes %d lines below version: 1, want six at most", n)
			}
			if !strings.Contains(body, "](https://") {
				t.Error("does not link to the tool that it is known from")
			}
			p, problems := policy.Parse(policy.FileName, []byte(blocks[0][2]))
			if problems != nil {
				t.Fatalf("%v\n%s", problems, blocks[0][2])
			}
			s, problems := Read("test", []byte("version: 1\n"+blocks[1][2]))
			if problems != nil {
				t.Fatalf("%v\n%s", problems, blocks[1][2])
			}
			if len(s.Cases) < 2 {
				t.Errorf("has %d cases, want one that holds and one that does not", len(s.Cases))
			}
			seen := map[string]bool{}
			for _, r := range s.Run(p.Effective()) {
				if !r.Holds {
					t.Errorf("%s: %v", r.Name, r.Failures)
				}
				seen[r.Verdict.Digest()] = true
			}
			if len(seen) < 2 {
				t.Error("all cases come to the same verdict")
			}
			if !strings.Contains(string(text), "| ["+title+"](#") {
				t.Error("is not in the index")
			}
		})
	}
}
