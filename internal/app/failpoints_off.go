//go:build !failpoints

package app

import (
	"net/http"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/webhook"
)

// The service as it ships has no failpoints; failpoints.go says what they are.

func (*App) arm() error { return nil }

func (a *App) entrance() webhook.Inbox { return a.inbox }

func (a *App) told() { a.intake.Nudge() }

func (a *App) shelf() delivery.Store { return a.store }

func failingBodies(h http.Handler) http.Handler { return h }
