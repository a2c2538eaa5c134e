// Package cli is the program as its user meets it: the commands, their flags, help and messages, and exit codes.
//
// A command is a struct of options and a method that runs it; everything it needs from the process (streams,
// environment, files) is in a [world], so that tests run the whole program without starting one. What a command does
// is done by the packages below; this one asks, prints, and knows nothing of pull requests itself.
//
// Exit codes: 0 fine; 1 it ran and the answer is no; 2 wrong usage or unusable configuration. An error is one line on
// stderr that says what is wrong and what to do.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

// program is what the program is called in messages.
const program = "github-pr-manager"

// The exit codes.
const (
	exitFine  = 0
	exitNo    = 1
	exitUsage = 2
)

// dotenvFile is read from the working directory.
const dotenvFile = ".env"

// Run runs the program with args (without its own name) until the command ends or ctx does, and returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	w := &world{stdin: stdin, stdout: stdout, stderr: stderr, environ: environ}
	root := w.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	w.complain(err)
	if usage := (*usageError)(nil); errors.As(err, &usage) {
		return exitUsage
	}
	if config := (*app.ConfigError)(nil); errors.As(err, &config) {
		return exitUsage
	}
	return exitNo
}

// A world is what a command has of the process that it runs in.
type world struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	secrets        telemetry.Secrets // blanked out of everything that is logged or complained about
}

// A usageError is a mistake in how the program was called or configured: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef returns a usageError.
func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errSaid ends a command whose output has said already why the answer is no.
var errSaid = errors.New("the answer is no")

// complain prints an error: one line, or one for each problem of a configuration.
func (w *world) complain(err error) {
	if errors.Is(err, errSaid) {
		return
	}
	lines := []string{strings.Join(strings.Fields(err.Error()), " ")}
	if config := (*app.ConfigError)(nil); errors.As(err, &config) {
		lines = config.Problems
	}
	for _, line := range lines {
		fmt.Fprintf(w.stderr, "%s: %s\n", program, telemetry.Printable(w.secrets.Scrub(line)))
	}
}

// warn prints warnings of a command's configuration.
func (w *world) warn(warnings []app.Warning) {
	for _, warning := range warnings {
		fmt.Fprintf(w.stderr, "%s: warning: %s\n", program, telemetry.Printable(string(warning)))
	}
}

// config reads the configuration of the service. Warnings go to stderr.
func (w *world) config() (app.Config, error) {
	c, warnings, err := app.Load(w.environ, os.ReadFile, dotenvFile)
	w.warn(warnings)
	if err == nil {
		w.secrets.Add(c.SecretTexts()...)
	}
	return c, err
}

// json prints v for programs.
func (w *world) json(v any) error {
	enc := json.NewEncoder(w.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printf prints for people. A reader who has closed the pipe has seen enough.
func (w *world) printf(format string, args ...any) { fmt.Fprintf(w.stdout, format, args...) }

// input reads the file that a command was given, or standard input for "-". No webhook of GitHub's and no policy is
// larger than 25 MB.
func (w *world) input(name string) ([]byte, error) {
	const limit = 25 << 20
	r := w.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usagef("can't read %s: %w", name, bare(err))
		}
		defer f.Close()
		r = f
	} else if isTerminal(w.stdin) {
		fmt.Fprintf(w.stderr, "Reading from the terminal; end with Ctrl-D.\n")
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, usagef("can't read %s: %w", name, bare(err))
	}
	if len(b) > limit {
		return nil, usagef("%s is larger than 25 MB, the most that GitHub sends", name)
	}
	return b, nil
}

// bare returns the cause of a file error without operation and path, which the message has said.
func bare(err error) error {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// isTerminal reports whether a person sits at the stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (w *world) root() *cobra.Command {
	root := &cobra.Command{
		Use:   program,
		Short: "Manages GitHub pull requests by a policy file in each repository",
		Long: `GitHub PR Manager receives a repository's webhooks, looks at the pull request that each is about, decides by the
repository's .github/pr-manager.yml, and acts: labels, merges, and one report that says what is missing and who can
unblock it.`,
		Example: `  github-pr-manager demo                                  # see everything work: no account, no set-up
  github-pr-manager setup --webhook-url https://pulls.example.com/webhook
  github-pr-manager check .github/pr-manager.yml          # is the policy valid?
  github-pr-manager serve                                 # the service; configured by the environment and .env
  github-pr-manager explain octo/app#7                    # why is this pull request where it is?`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // so that an unknown command is ours to explain
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: "begin", Title: "To begin:"},
		&cobra.Group{ID: "run", Title: "To run it:"},
		&cobra.Group{ID: "operate", Title: "To operate it:"},
		&cobra.Group{ID: "look", Title: "To look into it:"},
	)
	root.SetUsageTemplate(usageText)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Tells about a command",
		Example: "  github-pr-manager help setup",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || (about == root && len(rest) > 0) {
				return unknownCommand(root, args[0])
			}
			if len(rest) > 0 {
				return usagef("%s has no command %q: see %s --help", called(about), rest[0], about.CommandPath())
			}
			return about.Help()
		},
	})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("begin", w.demoCommand(), w.setupCommand(), w.checkCommand(), w.effectiveCommand())
	add("run", w.serveCommand(), w.healthcheckCommand(), w.migrateCommand())
	add("operate", w.queueCommand(), w.deliveriesCommand(), w.processCommand(), w.backupCommand(), w.restoreCommand())
	add("look", w.doctorCommand(), w.explainCommand(), w.smokeCommand(), w.readinessCommand(), w.sendCommand(), w.signCommand())
	add("", w.versionCommand())
	return root
}

// usageText is how a command's help goes on after what it does: how to call it, then its commands, flags, examples.
const usageText = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{- if .HasAvailableSubCommands}}{{$cmds := .Commands}}
{{- range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if eq .GroupID $group.ID}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}

{{if .Groups}}Beside that:{{else}}Commands:{{end}}{{range $cmds}}{{if and (eq .GroupID "") (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}{{end}}
{{- if .HasAvailableSubCommands}}

{{.CommandPath}} COMMAND --help tells about one of them.{{end}}
`

// unknownCommand says so, with the command that was probably meant.
func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	if cmd.HasParent() {
		return usagef("%s has no command %q%s: see %s --help", called(cmd), name, didYouMean(name, names), cmd.CommandPath())
	}
	return usagef("there is no command %q%s: see %s help", name, didYouMean(name, names), program)
}

// flagError turns what the flag parser says into one of our lines. The parser's messages may quote a value; what it
// says of an unknown flag doesn't, and somebody who tries to pass a secret as an argument learns where it belongs.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usagef("%w: see %s --help", err, cmd.CommandPath())
	}
	name := unknown.GetSpecifiedName()
	if name == "secret" || name == "token" {
		return usagef("--%s is not taken, because every user of this machine can read arguments: use --secret-file, or the environment", name)
	}
	if short := unknown.GetSpecifiedShortnames(); short != "" {
		return usagef("%s has no flag -%s: see %s --help", called(cmd), name, cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	near := nearest(name, names)
	if near != "" {
		near = fmt.Sprintf(" (did you mean --%s?)", near)
	}
	return usagef("%s has no flag --%s%s: see %s --help", called(cmd), name, near, cmd.CommandPath())
}

// called is what a command is called in a sentence.
func called(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return "the program"
	}
	return strings.TrimPrefix(cmd.CommandPath(), program+" ")
}

func didYouMean(name string, names []string) string {
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

// nearest returns the name that was probably meant, or "".
func nearest(name string, names []string) string {
	best, distance := "", 1+max(1, (len(name)+2)/3)
	for _, n := range names {
		d := levenshtein.ComputeDistance(strings.ToLower(name), n)
		if strings.HasPrefix(n, strings.ToLower(name)) && len(name) >= 2 {
			d = min(d, 1)
		}
		if d < distance {
			best, distance = n, d
		}
	}
	return best
}

// arguments checks how many arguments a command got, in words.
func arguments(least, most int, want string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usagef("%s takes %s: see %s --help", called(cmd), want, cmd.CommandPath())
		}
		return nil
	}
}
