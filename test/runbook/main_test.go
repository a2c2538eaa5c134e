package runbook

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// The test's binary is also the first process of each container, and the `docker` of the runbooks' command lines.
func TestMain(m *testing.M) {
	if os.Getenv("RUNBOOK_ROLE") == "container" {
		os.Exit(contained())
	}
	if name := filepath.Base(os.Args[0]); name == "docker" || name == "docker-compose" {
		os.Exit(standIn(name))
	}
	testenv.Main(m)
}
