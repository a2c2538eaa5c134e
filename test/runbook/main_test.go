// Package runbook types both runbooks, the operators' and docs/runbook.md, into the stack that the Compose file describes, and
// docs/runbook.md into a plain machine with systemd too: each command as it stands on its page, in one shell that lives from the
// first line to the last.
//
// It owns the pages as lists of commands (pages_test.go), for each command a row that says what has to come or why it can't be
// typed here (operators_test.go, own_test.go), and what stands for a machine: an engine whose containers are processes in name
// spaces of their own (engine_test.go), the `docker` that asks it (docker_test.go), the `systemctl` of a plain machine
// (systemd_test.go). A command without a row, and a row without a command, is a failure.
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
