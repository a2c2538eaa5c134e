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
