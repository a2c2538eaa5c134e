// Package chaos kills, freezes, starves and confuses the service, and then counts.
//
// A scenario has a stage: a simulated GitHub that speaks HTTP on loopback and knows every write that reached it, one to
// three replicas of the built program on a real database, and a post that carries GitHub's webhooks to them. People work
// on pull requests meanwhile; things break at moments that a seed decides, or at a named point in the program. When the
// dust has settled the checker compares what was acknowledged, what is kept, what GitHub shows, and what was done twice:
//
//	L  acknowledged, and not in the inbox                M  an effect that should be on GitHub and is not
//	D  done twice on GitHub, or taken for new twice      U  kept, and never finished
//	Q  left in the Redis list                            A  GitHub was asked although it had said: wait
//	B  more memory than allowed                          K  a secret where none may be
//	P  a panic, or an end that nobody had asked for
//
// Every scenario prints its seed; SEED=n plays the same plan again. TEST_LONG=1, which `make chaos` sets, runs the
// long forms. Whether the checker is worth anything is tested too: builds that are broken on purpose must not pass it.
package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// A scenario mostly waits: for GitHub's second between two writes, for leases to run out. More of them fit on a
	// machine than it has processors.
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(2) || f.Value.String() == "1" {
		_ = flag.Set("test.parallel", "10")
	}
	testenv.Main(m)
}

// number reads a number from the environment.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// newSeed is SEED, or one that nobody has chosen. It is printed with every failure.
func newSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64N(1 << 32)
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("SEED=%d", seed)
	return seed
}

// plan returns the randomness of a scenario's plan. Name keeps the plans of several scenarios of one seed apart.
func plan(seed uint64, name string) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// guid makes a delivery's id as GitHub does.
func guid(r *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-11f0-%04x-%012x", r.Uint32(), r.Uint32()&0xffff, 0x8000|r.Uint32()&0x3fff, r.Uint64()&0xffffffffffff)
}
