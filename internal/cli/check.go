package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) checkCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE|-]",
		Short: "Validates a repository's policy file",
		Long: `Reads FILE, by default .github/pr-manager.yml, as the service would, and prints every problem with its line and column
and a hint. It asks nobody and changes nothing. The exit code is 1 when there is a problem, 2 when there is no file.`,
		Example: `  github-pr-manager check
  git show main:.github/pr-manager.yml | github-pr-manager check -
  github-pr-manager check --json policy.yml | jq -r '.problems[].message'`,
		Args: arguments(0, 1, "one file at most"),
		RunE: func(_ *cobra.Command, args []string) error {
			name := append(args, policy.FileName)[0]
			text, err := w.input(name)
			if err != nil {
				return err
			}
			shown := name
			if name == "-" {
				shown = "stdin"
			}
			_, problems := policy.Parse(shown, text)
			if problems == nil {
				problems = policy.Problems{}
			}
			if asJSON {
				if err := w.json(map[string]any{"file": shown, "valid": len(problems) == 0, "problems": problems}); err != nil {
					return err
				}
				if len(problems) > 0 {
					return errSaid
				}
				return nil
			}
			for _, p := range problems {
				w.printf("%s\n", telemetry.Printable(p.String()))
			}
			switch len(problems) {
			case 0:
				w.printf("%s is valid.\n", shown)
				return nil
			case 1:
				return fmt.Errorf("%s has a problem: the last valid policy would stay in force", shown)
			}
			return fmt.Errorf("%s has %d problems: the last valid policy would stay in force", shown, len(problems))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
