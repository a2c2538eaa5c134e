package testenv

import (
	"slices"
	"testing"
)

// In an unpacked archive no git answers: then everything that git would name is found all the same.
func TestTheTreeIsFoundWithoutGit(t *testing.T) {
	root := Root(t)
	known := tree(t, root)
	t.Setenv("GIT_DIR", "/nonexistent")
	found := tree(t, root)
	for _, name := range []string{"go.mod", "deploy/switch", ".env.example", "internal/testenv/checkout.go"} {
		if !slices.Contains(found, name) || !slices.Contains(known, name) {
			t.Errorf("%s: found with git: %v, without: %v", name, slices.Contains(known, name), slices.Contains(found, name))
		}
	}
	if slices.ContainsFunc(found, func(name string) bool { return name == ".env" || name[:min(4, len(name))] == "bin/" }) {
		t.Error("without git, what is built or secret is taken for a part of the repository")
	}
}
