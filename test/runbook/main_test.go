package runbook

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// The test's binary is also the first process of each container, and the `docker` of the runbooks' command lines, and `kill` in the service's container.
func TestMain(m *testing.M) {
	if os.Getenv("RUNBOOK_ROLE") == "container" {
		os.Exit(contained())
	}
	if name := filepath.Base(os.Args[0]); slices.Contains(standIns, name) {
		os.Exit(standIn(name))
	} else if name == "kill" {
		os.Exit(killer())
	}
	testenv.Main(m)
}
