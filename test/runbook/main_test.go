package runbook

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// The test's binary is also the first process of each container, and the `docker` of the runbooks' command lines, and `kill` in the service's container.
func TestMain(m *testing.M) {
	if os.Getenv("RUNBOOK_ROLE") == "container" {
		os.Exit(contained())
	}
	switch name := filepath.Base(os.Args[0]); name {
	case "docker", "docker-compose":
		os.Exit(standIn(name))
	case "kill":
		os.Exit(killer())
	}
	testenv.Main(m)
}
