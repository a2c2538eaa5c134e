package scenario

import (
	"fmt"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// bump is how a bot that updates dependencies works: a branch of main with one commit by the bot, which GitHub has signed.
func init() {
	verbs["bump"] = func(s *story, words []string, by string) error {
		if len(words) != 3 {
			return fmt.Errorf("bump takes a branch, a path and a message")
		}
		message, err := s.text(words[2])
		if err != nil {
			return err
		}
		bot := s.user(by, "dependabot[bot]")
		s.repo.PushCommit(words[0], bot, githubtest.Commit{
			Files: s.content(words[1:2]), Message: message, Author: bot, Committer: s.hub.User("web-flow"), Verified: true,
		})
		return nil
	}
}
