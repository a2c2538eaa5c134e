package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A storm is how often things break, each as a part of the steps of a play.
type storm struct {
	kill     float64 // kill -9 of a replica
	redis    float64 // kill -9 of Redis, which comes back a little later
	flush    float64 // FLUSHALL
	postgres float64 // a crash of the database, which recovers
}

// Whatever breaks, and whenever: everything that was acknowledged is done once.
func TestRandomChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	runs := number("RUNS", testenv.Pick(1, 200))
	seed := newSeed(t)
	for run := range runs {
		seed := seed + uint64(run)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			r := plan(seed, "random")
			o := setup{replicas: 3, orgs: 10, pulls: 12, binary: testenv.Binary(t)}
			o.engine = []string{"sqlite", "sqlite", "sqlite", "postgres", "postgres", "redis", "redis", "own", "own-redis", "own-redis"}[r.IntN(10)]
			switch {
			case os.Getenv("ENGINE") != "":
				o.engine = os.Getenv("ENGINE")
			case !testenv.Long():
				o.engine = "own-redis" // everything that can break is there
			}
			t.Logf("again: make chaos RUN=TestRandomChaos ENGINE=%s SEED=%d RUNS=1", o.engine, seed)
			randomly(t, r, o, 200, 30*time.Millisecond, storm{kill: 0.08, redis: 0.02, flush: 0.04, postgres: 0.015})
		})
	}
}

// The same for longer: thousands of deliveries, and a kill every 150 to 400 milliseconds.
func TestLongRandomChaos(t *testing.T) {
	if !testenv.Long() {
		t.Skip("takes minutes; run make chaos")
	}
	seed := newSeed(t)
	for run := range number("LONG_RUNS", 5) {
		seed := seed + uint64(run)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			// Not parallel: it takes the whole machine.
			o := setup{engine: []string{"own-redis", "own", "sqlite", "own-redis", "redis"}[run%5], replicas: 3, orgs: 60, pulls: 150, binary: testenv.Binary(t)}
			randomly(t, plan(seed, "long"), o, number("DELIVERIES", 4000), 30*time.Millisecond, storm{kill: 0.11, redis: 0.008, flush: 0.015, postgres: 0.004})
		})
	}
}

func randomly(t *testing.T, r *rand.Rand, o setup, deliveries int, gap time.Duration, w storm) {
	if o.engine == "sqlite" {
		o.replicas = 1
	}
	began := time.Now()
	s := newStage(t, r, o)
	s.post.duplicate, s.post.replay = 0.1, 0.05
	s.faulty.fail(0.05, 0.04)
	// Every life of a replica asks for its installations' tokens anew, and in a storm there are a hundred lives a minute:
	// GitHub's points a minute are not made for that. Its other limits hold.
	limits := githubtest.DefaultLimits()
	limits.RESTPoints *= 10
	s.hub.Limits(limits)
	s.open()
	var kills, crashes, flushes, redises int
	back := -1 // the step at which Redis comes back
	s.play(deliveries, gap, func(step int) {
		// The dice are thrown whether or not there is anything to break, so that one seed has one plan.
		victim := s.replicas[r.IntN(len(s.replicas))]
		kill, redis, flush, postgres := r.Float64() < w.kill, r.Float64() < w.redis, r.Float64() < w.flush, r.Float64() < w.postgres
		away := 5 + r.IntN(20)
		if kill {
			victim.kill()
			kills++
		}
		if s.postgres != nil && postgres {
			s.postgres.Stop(t, testenv.Immediate)
			s.postgres.Start(t)
			crashes++
		}
		switch {
		case s.redis == nil:
		case step == back:
			s.redis.Start(t)
			back = -1
		case back < 0 && redis:
			s.redis.Kill(t)
			redises++
			back = step + away
		case back < 0 && flush:
			if err := s.redis.Client.FlushAll(context.Background()).Err(); err != nil {
				t.Errorf("FLUSHALL: %v", err)
			}
			flushes++
		}
	})
	if back >= 0 {
		s.redis.Start(t)
	}
	played := time.Since(began)
	settled := s.settle(120 * time.Second)
	f := s.check()
	ids, sendings, acked := s.post.count()
	t.Logf("%s: %d deliveries, %d sendings, %d acknowledged, worst %v; %d kills, %d crashes of PostgreSQL, %d of Redis, %d flushes, %d of GitHub's answers lost or false; played %v, settled %v",
		o.engine, ids, sendings, acked, s.post.worst.Round(time.Millisecond), kills, crashes, redises, flushes, s.faulty.failures(), played.Round(time.Second), settled.Round(100*time.Millisecond))
	if len(f) > 0 {
		t.Errorf("after the storm:\n%s", f)
	}
}
