package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
)

// A demonstration is what `demo` can be told.
type demonstration struct {
	cfg     app.Config // of PORT and HOST, and of nothing else
	seed    uint64
	pace    float64
	verbose bool
}

func (w *world) demoCommand() *cobra.Command {
	var (
		d          demonstration
		host, port string
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Shows everything work, with a simulated GitHub",
		Long: `Runs the service against a simulated GitHub on this machine, in which a small cast opens, reviews, breaks, repairs and
merges pull requests for as long as it runs. It needs no account, no set-up and no network, and leaves nothing behind:
the database, the secret and GitHub are its own and temporary. Of the environment it reads PORT and HOST only, and no
.env; it listens on this machine alone unless HOST says otherwise.`,
		Example: `  github-pr-manager demo
  github-pr-manager demo --pace 4          # four times as fast
  PORT=8080 github-pr-manager demo`,
		Args: arguments(0, 0, "no arguments, only flags"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.pace < 0.1 || d.pace > 100 {
				return usagef("--pace is %v: want a factor from 0.1 to 100", d.pace)
			}
			environ := only(w.environ, "PORT", "HOST")
			if host != "" {
				environ = append(environ, "HOST="+host)
			}
			if cmd.Flags().Changed("port") {
				environ = append(environ, "PORT="+port)
			}
			cfg, _, err := app.Load(environ, nil, "")
			if err != nil {
				return err
			}
			if cfg.Host == "" {
				cfg.Host = "127.0.0.1"
			}
			d.cfg = cfg
			return w.demo(cmd.Context(), d)
		},
	}
	f := cmd.Flags()
	f.StringVar(&port, "port", "", "the `port` to listen on (default $PORT, or 3001)")
	f.StringVar(&host, "host", "", "the `address` to listen on (default $HOST, or 127.0.0.1)")
	f.Float64Var(&d.pace, "pace", 1, "how fast the cast works: 2 is twice as fast")
	f.Uint64Var(&d.seed, "seed", 1, "which story is told: the same seed tells the same one")
	f.BoolVar(&d.verbose, "verbose", false, "print the service's log, not only its warnings")
	return cmd
}

// only returns the named variables of an environment; an empty one is none. The last of a name counts.
func only(environ []string, names ...string) []string {
	var out []string
	for _, name := range names {
		for _, kv := range environ {
			if value, ok := strings.CutPrefix(kv, name+"="); ok && value != "" {
				out = append(out, kv)
			}
		}
	}
	return out
}

// welcome tells a newcomer what there is to see. repos are the simulated repositories, "owner/name" each.
func (w *world) welcome(d demonstration, port int, repos []string) {
	host := "localhost"
	if d.cfg.Host != "127.0.0.1" && d.cfg.Host != "localhost" {
		host = strings.TrimPrefix(localURL(d.cfg), "http://")
		host = host[:strings.LastIndexByte(host, ':')]
	}
	w.printf(`
  GitHub PR Manager, demonstration

  Open  http://%s:%d/

  A simulated GitHub sends signed webhooks about %s.
  Its people open pull requests, review them, push fixes; its CI breaks and recovers. Watch labels
  come and go, pull requests get merged, and read in one sentence why the others are not.
  Click a pull request for the reasons, rule by rule, and for what was done.

  Also:  http://%s:%d/health   /ready   /metrics   /webhook/stats   /webhook/events

  Nothing here is real and nothing is kept. Ctrl-C ends it.
`, host, port, strings.Join(repos, " and "), host, port)
}
