package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/doctor"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/github"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
)

// mostExamined is how many repositories are looked at when none is named: each costs a handful of requests.
const mostExamined = 20

// Doctor looks the installation over that a configuration describes, beside whatever service runs on it or without one, and
// changes nothing. With repositories given it looks at those alone.
func Doctor(ctx context.Context, cfg Config, warnings []Warning, o Options, only []pull.Repo, told func(doctor.Finding)) ([]doctor.Finding, error) {
	s, serr := openBeside(ctx, cfg)
	if serr == nil {
		defer s.Close()
	}
	client, err := github.New(github.Options{
		API: cfg.GitHubAPI, Token: cfg.Secrets.Token, AppID: cfg.AppID, AppKey: cfg.Secrets.AppKey, HTTP: o.GitHub,
	})
	if err != nil {
		return nil, err
	}
	p := doctor.Patient{
		Settings: doctor.Settings{
			Host: cfg.Host, Port: cfg.Port, TLS: cfg.TLSCertFile != "", PublicURL: cfg.PublicURL, Validate: cfg.SignatureValidation,
			WebhookSecrets: len(cfg.Secrets.Webhook()), AppID: cfg.AppID, Token: cfg.Secrets.Token() != "",
			DashboardToken: cfg.Secrets.Dashboard() != "", Agents: cfg.AgentsEnabled, Redis: cfg.RedisURL != "",
		},
		GitHub: client,
		Database: func(ctx context.Context) (doctor.Database, error) {
			if serr != nil {
				return doctor.Database{}, serr
			}
			c, err := s.Condition(ctx)
			return doctor.Database(c), err
		},
		Redis: func(ctx context.Context) (doctor.Redis, error) {
			c, err := delivery.LookAt(ctx, cfg.RedisURL.Reveal(), cfg.QueueKey)
			return doctor.Redis(c), err
		},
		HTTP: o.Self, Repositories: only, Narrow: len(only) > 0,
	}
	for _, w := range warnings {
		p.Settings.Warnings = append(p.Settings.Warnings, string(w))
	}
	if len(only) == 0 {
		p.Repositories = cfg.Repositories.Named()
		if len(p.Repositories) == 0 && serr == nil {
			// Without an answer the database has its finding already.
			p.Repositories, _ = s.Repositories(ctx, 10*mostExamined)
		}
		if n := len(p.Repositories); n > mostExamined {
			p.Repositories, p.More = p.Repositories[:mostExamined], n-mostExamined
		}
	}
	return doctor.Examine(ctx, p, told), nil
}

// openBeside opens the database beside a service, and never makes a file.
func openBeside(ctx context.Context, cfg Config) (*store.Store, error) {
	if path, ok := strings.CutPrefix(cfg.DatabaseURL.Reveal(), "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, doctor.ErrNoDatabase
		}
	}
	return store.Open(ctx, cfg.DatabaseURL.Reveal(), store.Options{Beside: true})
}
