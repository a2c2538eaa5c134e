// Command github-pr-manager manages GitHub pull requests: it receives webhooks, decides by a policy file in each
// repository, and acts. `github-pr-manager help` tells what else it does.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks, the second one kills
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
