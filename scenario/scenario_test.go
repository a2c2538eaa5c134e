package scenario

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// TestScenarios tells every story in every way.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no stories in testdata: %v", err)
	}
	all := testenv.Long()
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if underRace && i%4 > 0 {
				t.Skip("every fourth story is told under the race detector, which takes ten times as long")
			}
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			plain := tellStory(t, a, way{name: "plain"}, "")
			if t.Failed() {
				return
			}
			same := func(w way, url string) {
				t.Helper()
				if got := tellStory(t, a, w, url); got.told && plain.told && got.ending != plain.ending {
					t.Errorf("%s: GitHub ends as\n%sand in the plain telling as\n%s", w.name, got.ending, plain.ending)
				}
			}
			same(way{name: "doubled", delivery: githubtest.Deliveries{Duplicate: 1}}, "")
			seeds, stops := uint64(2), 5
			switch {
			case underRace:
				seeds, stops = 1, 2
			case testing.Short():
				seeds, stops = 1, 2
			case all:
				seeds, stops = 3, plain.writes
			}
			for seed := range seeds {
				same(way{name: fmt.Sprintf("shuffled with seed %d", seed), seed: seed, delivery: githubtest.Deliveries{Shuffle: true, Jitter: 4 * time.Second}}, "")
			}
			if !bytes.Contains(a.Comment, []byte("# Every delivery has to arrive:")) {
				same(way{name: "dropped", seed: 1, sweeps: true, delivery: githubtest.Deliveries{Drop: .5}}, "")
			}
			// Where not everything is tried, the samples differ from story to story, and are the same each time.
			step := max(1, (plain.writes+stops-1)/max(stops, 1))
			for k := 1 + i%step; k <= plain.writes; k += step {
				same(way{name: fmt.Sprintf("stopped after write %d of %d", k, plain.writes), stopAt: k}, "")
			}
			if !testing.Short() && !underRace && (all || i%4 == 0) {
				same(way{name: "plain"}, testenv.Postgres(t))
				same(way{name: "doubled and shuffled on PostgreSQL", delivery: githubtest.Deliveries{Duplicate: 1, Shuffle: true, Jitter: 4 * time.Second}}, testenv.Postgres(t))
			}
		})
	}
}

// An outcome is what is left of a story when it has been told.
type outcome struct {
	told   bool // -run may have left it out
	ending string
	writes int // of the service, to its database and to GitHub
}

// tellStory tells a story once, in a time of its own.
func tellStory(t *testing.T, a *txtar.Archive, w way, url string) (end outcome) {
	t.Helper()
	done := t.Run(w.name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if w.exact() {
				w.delivery.Parallel = 1
			}
			s := newWorld(t, w, url)
			s.inTurn = w.exact()
			defer s.open()()
			defer s.stop()
			st := &story{world: s, files: map[string]string{}}
			st.tell(a)
			s.settle()
			s.once()
			if u := s.hub.Usage(); u.WhileTold+u.OverPrimary+u.OverSecondary+u.Unauthorized > 0 {
				t.Errorf("the service broke GitHub's rules: %+v", u)
			}
			end = outcome{told: true, ending: s.ending(), writes: s.writes}
		})
	})
	if !done && !strings.HasPrefix(w.name, "plain") {
		t.Logf("told %s", w.name)
	}
	return end
}
