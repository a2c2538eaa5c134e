package scenario

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// TestAPushUnderThousandsOfPullRequests: the default branch moves, and every open pull request wants a look. The looks
// take no more than three fifths of the hour's budget and no more in a minute than GitHub allows, and what happens to a
// single pull request meanwhile is answered within five seconds. In the end all have been looked at.
//
// `make test` has a tenth of it, with a tenth of the budget; TEST_LONG=1 has 5,000 pull requests and GitHub's own limit.
func TestAPushUnderThousandsOfPullRequests(t *testing.T) {
	many := 500
	switch {
	case testenv.Long():
		many = 5000
	case testing.Short() || underRace:
		many = 300
	}
	synctest.Test(t, func(t *testing.T) {
		s := newWorld(t, way{name: "plain", seed: 1}, "")
		defer s.open()()
		defer s.stop()
		s.hub.Latency(200 * time.Millisecond)
		limits := githubtest.DefaultLimits()
		limits.REST, limits.GraphQL = 1_000_000, 1_000_000
		s.hub.Limits(limits)
		s.start() // there is no policy, so nothing is written: reading is what this is about
		alice := s.hub.User("alice")
		s.repo.Push("topic", map[string]string{"src/a.go": "a\n"}, "Work", alice)
		var prs []*githubtest.PR
		for i := range many {
			branch := "topic-" + strconv.Itoa(i)
			s.repo.Branch(branch, "topic", alice)
			prs = append(prs, s.repo.Open(alice, branch, "main", "Work", ""))
			if i%20 == 19 {
				time.Sleep(5 * time.Second)
			}
		}
		s.settle()
		s.mu.Lock()
		known := s.reads
		s.mu.Unlock()
		if known < many {
			t.Fatalf("%d reads for %d pull requests: not all are known", known, many)
		}

		time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour + time.Second))) // a new hour
		limits.GraphQL = many
		s.hub.Limits(limits)
		s.manners.mu.Lock()
		s.manners.asked = nil
		s.manners.mu.Unlock()
		began := time.Now()
		s.repo.Push("main", map[string]string{"README.md": "moved\n"}, "Go on", s.hub.User("carol"))
		fresh := 0
		for time.Since(began) < 50*time.Minute {
			time.Sleep(time.Minute)
			pr := prs[fresh*37%len(prs)]
			fresh++
			pr.Edit(alice, "Urgent", "")
			time.Sleep(5 * time.Second)
			var seen struct{ Title string }
			if err := s.ask("/api/pulls/octo/app/"+strconv.Itoa(pr.Number()), &seen); err != nil || seen.Title != "Urgent" {
				t.Errorf("%v after the push: five seconds after an edit the title is %q, %v\n%s", time.Since(began), seen.Title, err, s.log.tail(5))
			}
		}
		s.manners.mu.Lock()
		inHour, inMinute := len(s.manners.asked), mostWithin(s.manners.asked, time.Minute)
		s.manners.mu.Unlock()
		if most := many*3/5 + 2*fresh; inHour > most {
			t.Errorf("%d of %d points in the first hour, want at most %d: three fifths, and what %d events cost", inHour, many, most, fresh)
		}
		if inMinute > 1500 {
			t.Errorf("%d queries in a minute, want at most 1,500", inMinute)
		}
		time.Sleep(2 * time.Hour)
		s.manners.mu.Lock()
		all := len(s.manners.asked)
		s.manners.mu.Unlock()
		if all < many {
			t.Errorf("%d looks in three hours for %d pull requests: some were not looked at", all, many)
		}
		t.Logf("%d pull requests: %d points in the first hour, %d in three; at most %d in a minute; %d events in between, each answered within 5 s", many, inHour, all, inMinute, fresh)
		s.mannered(t)
	})
}
