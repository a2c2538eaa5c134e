package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/notice"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policytest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) checkCommand() *cobra.Command {
	var asJSON bool
	var tests, defaults string
	cmd := &cobra.Command{
		Use:   "check [FILE|-]",
		Short: "Validates a repository's policy file, and runs its unit tests",
		Long: `Reads FILE, by default .github/pr-manager.yml, as the service would, and prints every problem with its line and column
and a hint. Then it runs the unit tests of the policy, if a file of them is beside it (.github/pr-manager.test.yml):
each gives a pull request in a few words and expects something of the decision about it. It asks nobody and changes
nothing. The exit code is 1 when there is a problem or a test fails, 2 when there is no file.`,
		Example: `  github-pr-manager check
  git show main:.github/pr-manager.yml | github-pr-manager check -
  github-pr-manager check policy.yml --tests cases.yml
  github-pr-manager check --json policy.yml | jq -r '.problems[].message'`,
		Args: arguments(0, 1, "one file at most"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := w.checked(append(args, policy.FileName)[0], defaults, tests)
			if err != nil {
				return err
			}
			if asJSON {
				if err := w.json(c); err != nil {
					return err
				}
				if !c.fine() {
					return errSaid
				}
				return nil
			}
			return w.tellChecked(c)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&tests, "tests", "", "the `FILE` of the unit tests (default: FILE's name with .test.yml, if it is there)")
	cmd.Flags().StringVar(&defaults, "defaults", "", "the `FILE` of the owner's defaults, for what FILE leaves out")
	return cmd
}

// A check is what `check` has found.
type check struct {
	File     string              `json:"file"`
	Valid    bool                `json:"valid"`
	Problems policy.Problems     `json:"problems"`
	Tests    string              `json:"tests,omitempty"` // the file of the unit tests
	Results  []policytest.Result `json:"results,omitempty"`
	defaults string
}

func (c check) fine() bool { return c.Valid && c.failed() == 0 }

func (c check) failed() int {
	n := 0
	for _, r := range c.Results {
		if !r.Holds {
			n++
		}
	}
	return n
}

// checked reads a policy, the defaults and the tests, as far as there are any, and runs the tests.
func (w *world) checked(name, defaults, tests string) (check, error) {
	text, err := w.input(name)
	if err != nil {
		return check{}, err
	}
	c := check{File: shownAs(name), Problems: policy.Problems{}, defaults: defaults}
	own := pull.Document{Found: true, Path: c.File, Text: string(text)}
	p, problems := policy.Parse(c.File, text)
	c.Problems = append(c.Problems, problems...)
	e := policy.Effective{}
	if p != nil {
		e = p.Effective()
	}
	if defaults != "" {
		text, err := w.input(defaults)
		if err != nil {
			return check{}, err
		}
		_, problems := policy.Parse(shownAs(defaults), text)
		c.Problems = append(c.Problems, problems...)
		e = policy.Resolve(own, pull.Document{Found: true, Path: shownAs(defaults), Text: string(text)}, pull.Document{}, false)
	}
	suite, err := w.suite(&c, name, tests)
	c.Valid = len(c.Problems) == 0
	if err != nil || suite == nil || !c.Valid {
		return c, err
	}
	c.Results = suite.Run(e)
	return c, nil
}

// suite reads the unit tests; nil when there are none.
func (w *world) suite(c *check, name, tests string) (*policytest.Suite, error) {
	asked := tests != ""
	if !asked {
		if name == "-" {
			return nil, nil
		}
		tests = policytest.FileFor(name)
	}
	text, err := w.input(tests)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c.Tests = shownAs(tests)
	suite, problems := policytest.Read(c.Tests, text)
	c.Problems = append(c.Problems, problems...)
	return suite, nil
}

func shownAs(name string) string {
	if name == "-" {
		return "stdin"
	}
	return name
}

func (w *world) tellChecked(c check) error {
	ofTests := 0
	for _, p := range c.Problems {
		w.printf("%s\n", telemetry.Printable(p.String()))
		if c.Tests != "" && p.Pos.Path == c.Tests {
			ofTests++
		}
	}
	switch n := len(c.Problems) - ofTests; {
	case n == 1:
		return fmt.Errorf("%s has a problem: the last valid policy would stay in force", c.File)
	case n > 1:
		return fmt.Errorf("%s has %d problems: the last valid policy would stay in force", c.File, n)
	case ofTests > 0:
		return fmt.Errorf("%s is valid, but its tests in %s can't be read", c.File, c.Tests)
	}
	w.printf("%s is valid.\n", c.File)
	if c.Tests == "" {
		return nil
	}
	shown := false
	for _, r := range c.Results {
		if r.Holds {
			continue
		}
		for _, f := range r.Failures {
			w.printf("%s: %s: %s\n", f.Pos, telemetry.Printable(r.Name), telemetry.Printable(strings.TrimSpace(f.Message+" "+f.Hint)))
		}
		if shown { // one tree is read, ten are scrolled past: --json has them all
			w.printf("    %s: %s\n", r.Verdict.State, telemetry.Printable(notice.Sentence(r.Verdict)))
			continue
		}
		w.printf("%s\n\n", indented(printable(notice.Tree(r.Verdict))))
		shown = true
	}
	failed, all := c.failed(), len(c.Results)
	if failed > 0 {
		return fmt.Errorf("%d of the %d cases in %s came out otherwise than expected", failed, all, c.Tests)
	}
	if all == 1 {
		w.printf("%s: its one case holds.\n", c.Tests)
		return nil
	}
	w.printf("%s: all %d cases hold.\n", c.Tests, all)
	return nil
}

func indented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "    " + line
		}
	}
	return strings.Join(lines, "\n")
}
