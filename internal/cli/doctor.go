package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/doctor"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// A check up is the command doctor.
type checkUp struct {
	*world
	repos  []string
	asJSON bool
}

func (w *world) doctorCommand() *cobra.Command {
	d := &checkUp{world: w}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Looks the whole installation over",
		Long: `Looks at everything that a working installation needs, and says of each part whether it is well, what is wrong, and
what to do: the configuration, the database, Redis, the port, the public address and its certificate; the credentials,
what they are allowed, the clock, GitHub's limits; where webhooks lead and whether they arrive; and in each repository
the policy, required checks that never report, owners who may not write, and GitHub's own merge queue.

It changes nothing, works beside a running service or without one, and reads the same environment and .env as serve.
Without --repo it looks at the repositories that GITHUB_REPOSITORY names, or that webhooks have told of.

The exit code is 0 when nothing fails (warnings may be there), 1 when something does.`,
		Example: `  github-pr-manager doctor
  github-pr-manager doctor --repo octo/app
  github-pr-manager doctor --json | jq -r '.findings[] | select(.status == "failing") | .detail'`,
		Args: arguments(0, 0, "no arguments: name repositories with --repo"),
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&d.repos, "repo", nil, "look at this repository alone, `OWNER/REPO`; may be given several times")
	f.BoolVar(&d.asJSON, "json", false, "print JSON")
	return cmd
}

func (d *checkUp) run(ctx context.Context) error {
	var only []pull.Repo
	for _, text := range d.repos {
		owner, name, ok := strings.Cut(text, "/")
		if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
			return usagef("--repo is %q: want OWNER/REPO", text)
		}
		only = append(only, pull.Repo{Owner: owner, Name: name})
	}
	var told func(doctor.Finding)
	if !d.asJSON {
		told = d.show
	}
	findings, err := d.examine(ctx, only, told)
	if err != nil {
		return err
	}
	failing, warnings := doctor.Count(findings, doctor.Failing), doctor.Count(findings, doctor.Warning)
	if d.asJSON {
		for i := range findings {
			findings[i].Detail = d.secrets.Scrub(findings[i].Detail)
		}
		if err := d.json(map[string]any{"well": failing == 0, "failing": failing, "warnings": warnings, "findings": findings}); err != nil {
			return err
		}
	} else {
		d.printf("\n%d looked at: %d ok, %d warnings, %d failing, %d skipped\n", len(findings), doctor.Count(findings, doctor.OK), warnings, failing, doctor.Count(findings, doctor.Skipped))
	}
	if failing > 0 {
		return errSaid
	}
	return nil
}

// examine looks everything over. A configuration that can't be used is a finding like any other, and the only one.
func (d *checkUp) examine(ctx context.Context, only []pull.Repo, told func(doctor.Finding)) (findings []doctor.Finding, err error) {
	cfg, warnings, err := app.Load(d.environ, os.ReadFile, dotenvFile)
	var bad *app.ConfigError
	if errors.As(err, &bad) {
		for _, problem := range bad.Problems {
			f := doctor.Finding{Name: "configuration", Status: doctor.Failing, Detail: problem, Do: "set it right: the service does not start like this"}
			findings = append(findings, f)
			if told != nil {
				told(f)
			}
		}
		return findings, nil
	}
	if err != nil {
		return nil, err
	}
	d.secrets.Add(cfg.SecretTexts()...)
	return app.Doctor(ctx, cfg, warnings, app.Options{}, only, told)
}

// show prints a finding as soon as it is there: some take seconds.
func (d *checkUp) show(f doctor.Finding) {
	name := f.Name
	if f.About != "" {
		name += " (" + f.About + ")"
	}
	line := func(s string) string { return telemetry.Printable(d.secrets.Scrub(s)) }
	d.printf("%-8s %s\n", string(f.Status), line(fmt.Sprintf("%s: %s", name, f.Detail)))
	if f.Do != "" {
		d.printf("%-8s %s\n", "", line("→ "+f.Do))
	}
}
