package scenario

import (
	"fmt"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

func init() {
	// expect says N "WORDS"… looks for words anywhere in the explained verdict, as a terminal shows it.
	expectations["says"] = func(s *story, words []string) error {
		pr, err := s.pull(words[0])
		if err != nil {
			return err
		}
		tree, err := s.tree(pr)
		for _, w := range words[1:] {
			if err == nil && !strings.Contains(tree, w) {
				err = fmt.Errorf("the verdict does not say %q:\n%s", w, tree)
			}
		}
		return err
	}
}

// tree is the verdict on a pull request, explained.
func (s *story) tree(pr *githubtest.PR) (string, error) {
	var o struct {
		Tree policy.Verdict `json:"verdict_tree"`
	}
	err := s.ask(fmt.Sprintf("/api/pulls/%s/%d", s.repo.FullName(), pr.Number()), &o)
	return notice.Tree(o.Tree), err
}
