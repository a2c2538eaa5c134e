package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) effectiveCommand() *cobra.Command {
	var defaults string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "effective [FILE|OWNER/REPO]",
		Short: "Prints the policy in force, with the origin of each key",
		Long: `Prints the policy that FILE (by default .github/pr-manager.yml) and the owner's defaults come to: each key with the
file and line that it is from, and what is built in for those that nobody writes down. What is printed is a policy that
says the same. With OWNER/REPO both files are read from GitHub, from the default branches, with the credentials of the
service. Nothing is changed.`,
		Example: `  github-pr-manager effective
  github-pr-manager effective --defaults ../.github/.github/pr-manager.yml
  github-pr-manager effective octo/app
  github-pr-manager effective --json octo/app | jq -r '.keys[] | select(.origin == "defaults") | .key'`,
		Args: arguments(0, 1, "one file or repository at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			own, base, err := w.files(cmd.Context(), append(args, policy.FileName)[0], defaults)
			if err != nil {
				return err
			}
			return w.effective(own, base, asJSON)
		},
	}
	cmd.Flags().StringVar(&defaults, "defaults", "", "the `FILE` of the owner's defaults")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

var repositoryShape = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_-]*)/([A-Za-z0-9._-]+)$`)

// files reads a policy and the owner's defaults, from disk or from GitHub.
func (w *world) files(ctx context.Context, name, defaults string) (own, base pull.Document, err error) {
	m := repositoryShape.FindStringSubmatch(name)
	if _, err := os.Stat(name); m != nil && err != nil {
		if defaults != "" {
			return own, base, usagef("--defaults is for a FILE: of %s, the owner's defaults are read from GitHub", name)
		}
		return w.filesAt(ctx, pull.Repo{Owner: m[1], Name: m[2]})
	}
	text, err := w.input(name)
	if err != nil {
		return own, base, err
	}
	own = pull.Document{Found: true, Path: shownAs(name), Text: string(text)}
	if defaults != "" {
		if text, err = w.input(defaults); err != nil {
			return own, base, err
		}
		base = pull.Document{Found: true, Path: shownAs(defaults), Text: string(text)}
	}
	return own, base, nil
}

func (w *world) filesAt(ctx context.Context, repo pull.Repo) (own, base pull.Document, err error) {
	cfg, err := w.config()
	if err != nil {
		return own, base, err
	}
	if !credentials(cfg) {
		return own, base, usagef("there is no file %s, and to ask GitHub for the repository there are no credentials: set GITHUB_APP_ID and GITHUB_PRIVATE_KEY_FILE, or GITHUB_TOKEN", repo.FullName())
	}
	client, _, err := gitHub(cfg)
	if err != nil {
		return own, base, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	scope, err := client.InstallationFor(ctx, repo.Owner, repo.Name)
	if err != nil {
		return own, base, err
	}
	return client.PolicyFiles(ctx, scope, repo)
}

func credentials(cfg app.Config) bool { return cfg.AppID != 0 || cfg.Secrets.Token() != "" }

// effective prints what two files come to.
func (w *world) effective(own, base pull.Document, asJSON bool) error {
	problems := policy.Problems{}
	for _, d := range []pull.Document{own, base} {
		if d.Found {
			_, bad := policy.Parse(d.Path, []byte(d.Text))
			problems = append(problems, bad...)
		}
	}
	if len(problems) > 0 {
		for _, p := range problems {
			w.printf("%s\n", telemetry.Printable(p.String()))
		}
		return errors.New("a file with a problem is not in force: mend it, or see what the service goes by with explain")
	}
	if !own.Found && !base.Found {
		return fmt.Errorf("there is no policy: neither %s, nor defaults of the owner's", policy.FileName)
	}
	settings, bad := policy.Settings(own, base)
	if bad != nil {
		return bad
	}
	if asJSON {
		return w.json(map[string]any{"keys": settings})
	}
	w.printf("%s", printable(policy.SettingsYAML(settings))+"\n")
	return nil
}
