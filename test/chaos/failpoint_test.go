package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// failing is the program with failpoints, built once.
var failing = sync.OnceValue(func() func(testing.TB) string {
	var once sync.Once
	var path string
	return func(t testing.TB) string {
		once.Do(func() { path = testenv.Build(t, "-tags", "failpoints") })
		return path
	}
})()

// points are the named points, and between which of their hits a kill comes. What GitHub sends while the world is made
// (installations, a ping) must be over, and more must be under way.
var points = []struct {
	name     string
	from, to int
}{
	{"S1", 12, 30},
	{"S2", 12, 30},
	{"S3", 10, 20},
	{"S4", 10, 20},
	{"S5", 12, 30},
	{"W1", 4, 8},
	{"W2", 4, 8},
	{"W3", 4, 8},
	{"R1", 1, 4},
	{"R2", 1, 4},
	{"R3", 1, 4},
	{"R4", 1, 4},
	{"R5", 1, 4},
	{"R6", 1, 4},
	{"R7", 1, 4},
	{"R8", 1, 4},
}

// What is acknowledged survives a kill at any line: the process dies at each named point while people are at work, other
// replicas go on where there are any, it is started again, and nothing is lost, missing, or done twice.
func TestKilledAtEachPoint(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	t.Parallel()
	binary := failing(t)
	seed := newSeed(t)
	runs := number("RUNS", testenv.Pick(1, 20))
	for _, engine := range engines {
		for _, point := range points {
			for run := range runs {
				name := fmt.Sprintf("%s/%s/%d", engine, point.name, run)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					killedAt(t, plan(seed, name), engine, binary, point.name, point.from, point.to)
				})
			}
		}
	}
}

func killedAt(t *testing.T, r *rand.Rand, engine, binary, point string, from, to int) {
	o := setup{engine: engine, replicas: 2, orgs: 6, pulls: 6, binary: binary}
	if engine == "sqlite" {
		o.replicas = 1
	}
	s := newStage(t, r, o)
	s.open(fmt.Sprintf("FAILPOINTS=%s=kill@%d", point, from+r.IntN(to-from)))
	first := s.replicas[0]
	s.play(60, 15*time.Millisecond, nil)
	s.dies(point)
	died := first.ended
	unclear, err := s.unclear()
	if err != nil {
		t.Error(err)
	}
	recovered := s.recovers(died, lease+5*time.Second, unclear...)
	// So long the service gives GitHub to show what became of a request that must not be repeated.
	awaited := s.recovers(died, lease+15*time.Second)
	s.settle(45 * time.Second)
	ids, sendings, acked := s.post.count()
	t.Logf("killed at %s; recovered in %v, all in %v; %d deliveries, %d sendings, %d acknowledged", point, recovered, awaited, ids, sendings, acked)
	if f := s.check(); len(f) > 0 {
		t.Errorf("killed at %s:\n%s", point, f)
	}
}

// dies lets people talk on until the first replica has died at its failpoint, and was started again.
func (s *stage) dies(point string) {
	s.t.Helper()
	if !eventually(15*time.Second, func() bool { s.act(); s.keep(); return s.replicas[0].lives > 1 }) {
		s.t.Fatalf("the point %s was never reached: nothing is tested", point)
	}
}

// recovers waits until what waited when a replica died is done, without what is about certain keys, and returns how long
// that took. It is an error when that is too long.
func (s *stage) recovers(died time.Time, bound time.Duration, without ...string) time.Duration {
	s.t.Helper()
	eventually(time.Until(died.Add(bound+20*time.Second)), func() bool {
		s.keep()
		n, err := s.unprocessed(died, without...)
		return err == nil && n == 0
	})
	took := time.Since(died).Round(10 * time.Millisecond)
	if took > bound {
		s.t.Errorf("what waited when the process died was done after %v, want at most %v", took, bound)
	}
	return took
}

// The program as it ships must not hold a way to make it fail.
func TestTheProgramHasNoFailpoints(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program twice")
	}
	t.Parallel()
	for _, c := range []struct {
		path string
		want bool
	}{{testenv.Binary(t), false}, {failing(t), true}} {
		text, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"FAILPOINTS", "CLOCK_SKEW", "app.reach", "failpoint %s"} {
			if strings.Contains(string(text), word) != c.want {
				t.Errorf("%s contains %q: %v, want %v", c.path, word, !c.want, c.want)
			}
		}
		symbols, err := exec.Command("go", "tool", "nm", c.path).Output()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(symbols), "internal/app.reach") != c.want {
			t.Errorf("%s has the symbol of a failpoint: %v, want %v", c.path, !c.want, c.want)
		}
	}
}
