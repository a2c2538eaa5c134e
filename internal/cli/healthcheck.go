package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
)

func (w *world) healthcheckCommand() *cobra.Command {
	var (
		at            string
		ready, asJSON bool
		timeout       time.Duration
	)
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Asks a running service whether it is healthy",
		Long: `Asks /health of the service (with --ready, /ready) and tells the answer in one line. The exit code is 0 for a healthy
or degraded service, 1 for any other answer or none: for container health checks, without curl.`,
		Example: `  github-pr-manager healthcheck
  github-pr-manager healthcheck --ready
  github-pr-manager healthcheck --url http://localhost:3002/health

  HEALTHCHECK CMD ["github-pr-manager", "healthcheck"]                 # in a Dockerfile`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return usagef("--timeout is %s: want a positive duration such as 5s", timeout)
			}
			path := "/health"
			if ready {
				path = "/ready"
			}
			target, err := w.target(at, path)
			if err != nil {
				return err
			}
			req, err := http.NewRequest(http.MethodGet, target, nil)
			if err != nil {
				return usagef("--url can't be used: want http://HOST:PORT%s", path)
			}
			status, body, err := ask(cmd.Context(), req, timeout)
			if err != nil {
				return err
			}
			var answer struct {
				Status string `json:"status"`
			}
			if json.Unmarshal(body, &answer) != nil || answer.Status == "" {
				return fmt.Errorf("%s answered %d and is not this service's health page: is the URL right?", req.URL.Redacted(), status)
			}
			if asJSON {
				err = w.json(rawOrText(body))
			}
			if status != http.StatusOK {
				line := strings.Join(strings.Fields(string(body)), " ")
				return fmt.Errorf("%s: %s", answer.Status, telemetry.Printable(line))
			}
			if !asJSON {
				w.printf("%s\n", telemetry.Printable(answer.Status))
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&at, "url", "", "the `URL` to ask (default http://127.0.0.1:$PORT/health)")
	f.BoolVar(&ready, "ready", false, "ask whether it is ready for traffic")
	f.DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the answer")
	f.BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}
