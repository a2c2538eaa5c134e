// Package runbook types what operators are told to type, and looks at what comes of it: the operators' runbook, a copy of which is in
// testdata, and the project's own, docs/runbook.md.
//
// A page is taken apart into commands (pages_test.go). Each has a row in a table that says what its result must be, or why it can't
// be typed here and how it is checked instead (operators_test.go, own_test.go): a command without a row fails, and so does a row
// without a command. They are typed into a bash (shell_test.go) that has the ports of the runbook to itself, on a stage (stage_test.go) with
// the releases, a simulated GitHub, and the shipped Compose file, whose containers are processes here (engine_test.go; docker_test.go is
// the `docker` of the command lines), or the shipped units (systemd_test.go).
package runbook

import (
	"flag"
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
	// The walks mostly wait, for grace periods and checks: all of them at once take little more than one.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	testenv.Main(m)
}
