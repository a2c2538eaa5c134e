package store

import (
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestDefaultsAreRememberedOfTheOwner: once one pull request has seen an owner's defaults, every other of every repository
// of that owner knows; and nobody else's does.
func TestDefaultsAreRememberedOfTheOwner(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		claims := map[string]pull.Claim{}
		for i, repo := range []pull.Repo{octoApp, {ID: 2, Owner: "Octo", Name: "lib"}, {ID: 3, Owner: "acme", Name: "app"}} {
			d := w.delivery(repo.FullName(), 7+i)
			d.Hint.Repo = repo
			w.insert(d)
			w.intake(byNumber)
			claims[repo.FullName()] = w.claim()
		}
		w.hint("another", 9)
		claims["another of octo/app"] = w.claim()
		seen := func(name string) bool {
			t.Helper()
			h, err := w.History(w.ctx, claims[name])
			if err != nil {
				t.Fatal(err)
			}
			return h.DefaultsSeen
		}
		plan := func(seen bool) {
			t.Helper()
			p := pull.Plan{Pull: pull.Row{State: pull.Open, Repo: octoApp}, DefaultsSeen: seen}
			if err := w.Plan(w.ctx, claims["octo/app"], p); err != nil {
				t.Fatal(err)
			}
		}
		plan(false)
		for name := range claims {
			if seen(name) {
				t.Errorf("before: DefaultsSeen(%s) = true, want false", name)
			}
		}
		plan(true)
		plan(true)
		plan(false) // they are gone again; that they were there is not forgotten
		for name := range claims {
			if got, want := seen(name), name != "acme/app"; got != want {
				t.Errorf("DefaultsSeen(%s) = %v, want %v", name, got, want)
			}
		}
		if d, err := w.Pull(w.ctx, "octo", "app", 7); err != nil || !d.DefaultsSeen {
			t.Errorf("Pull = %v, %v, want one that knows of the defaults", d.DefaultsSeen, err)
		}
	})
}
