package process

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// Everything that GitHub has been recorded to send, in both of its forms: accepted, kept, processed, and the second time
// known. None of it is worth an error line, and a pull request that GitHub doesn't know (any more) ends quietly.
func TestEveryRecordedPayloadIsProcessedOnce(t *testing.T) {
	examples := testenv.WebhookExamples(t)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			database := sqliteIn(dir)
			env := working(t)
			if engine == "postgres" {
				database = testenv.Postgres(t)
				env = append(env, "DATABASE_URL="+database)
			}
			p := testenv.Start(t, testenv.Options{Env: env, Dir: dir})

			sendAll := func(want string) {
				t.Helper()
				for i, e := range examples {
					form := []byte("payload=" + url.QueryEscape(string(e.Payload)))
					for j, sent := range []struct {
						contentType string
						body        []byte
					}{{"application/json", e.Payload}, {"application/x-www-form-urlencoded", form}} {
						a := post(p.URL, secret, deliveryID(10+j, i), e.Event, sent.contentType, sent.body)
						if a.status != 202 || !strings.Contains(a.body, `"`+want+`"`) {
							t.Errorf("%s as %s = %d %s, want 202 %s", e.Name, sent.contentType, a.status, a.body, want)
						}
					}
				}
			}
			// The counters are read at most once a second, so what was asked before may still be shown.
			sendAll("accepted")
			eventually(t, time.Minute, "everything is processed", func() bool {
				s := askStats(t, p)
				return s.QueueLength == 0 && s.Total.Processed == int64(2*len(examples))
			})
			sendAll("duplicate")
			eventually(t, time.Minute, "the repetitions are counted as such and looked at", func() bool {
				s := askStats(t, p)
				return s.QueueLength == 0 && s.InFlight == 0 && s.Total.Duplicates == int64(2*len(examples))
			})
			second := askStats(t, p)
			if second.Total.Received != int64(2*len(examples)) || second.Total.Processed != int64(2*len(examples)) {
				t.Errorf("sent again: %d received and %d processed in all, want %d of each as before", second.Total.Received,
					second.Total.Processed, 2*len(examples))
			}
			if second.Dead != 0 || second.Total.Errors != 0 {
				t.Errorf("%d dead letters, %d failed attempts, want none", second.Dead, second.Total.Errors)
			}
			p.Stop(t)
			for line := range strings.Lines(p.Logs()) {
				if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, `"level":"WARN"`) {
					t.Errorf("the log complains: %s", line)
				}
			}
			statuses := keptStatuses(t, database)
			if n := statuses.count("processed"); n != 2*len(examples) || len(statuses) != n {
				t.Errorf("%d of %d kept deliveries are processed, want %d of them", n, len(statuses), 2*len(examples))
			}
			t.Logf("%d examples, twice each as JSON and form: all processed once", len(examples))
		})
	}
}
