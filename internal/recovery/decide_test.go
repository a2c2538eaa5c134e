package recovery

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

func TestAbsent(t *testing.T) {
	sending := func(id int64, guid string, at time.Time, ok bool) pull.Sending {
		return pull.Sending{ID: id, GUID: guid, At: at, OK: ok}
	}
	since := ago(time.Hour)
	for _, tt := range []struct {
		name string
		log  []pull.Sending // newest first
		want string
	}{
		{"nothing", nil, ""},
		{"a failure", []pull.Sending{sending(1, "a", ago(time.Minute), false)}, "a by 1; "},
		{"a failure of this second", []pull.Sending{sending(1, "a", noon, false)}, "a by 1; "},
		{"two failures of one delivery", []pull.Sending{sending(2, "a", ago(time.Minute), false), sending(1, "a", ago(2*time.Minute), false)}, "a by 2; "},
		{"a failure of before the first look", []pull.Sending{sending(1, "a", ago(2*time.Hour), false)}, "a by 1; "},
		{"a success", []pull.Sending{sending(1, "a", ago(2*time.Minute), true)}, "a by 1 lost; "},
		{"a success after failures", []pull.Sending{sending(2, "a", ago(2*time.Minute), true), sending(1, "a", ago(3*time.Minute), false)}, "a by 2 lost; "},
		{"a failure after a success", []pull.Sending{sending(2, "a", ago(2*time.Minute), false), sending(1, "a", ago(3*time.Minute), true)}, "a by 2 lost; "},
		{"a success of this minute", []pull.Sending{sending(1, "a", ago(30*time.Second), true)}, ""},
		{"a success of before the first look", []pull.Sending{sending(1, "a", ago(61*time.Minute), true)}, ""},
		{"a failure after a success of before the first look", []pull.Sending{sending(2, "a", ago(2*time.Minute), false), sending(1, "a", ago(61*time.Minute), true)}, ""},
		{"several", []pull.Sending{sending(3, "b", ago(time.Minute), false), sending(2, "c", ago(2*time.Minute), true), sending(1, "a", ago(3*time.Minute), false)}, "b by 3; c by 2 lost; a by 1; "},
	} {
		got := ""
		for _, m := range absent(tt.log, pull.Hook{}, since, noon, nil) {
			got += fmt.Sprintf("%s by %d%s; ", m.GUID, m.ID, map[bool]string{true: " lost"}[m.Lost])
		}
		if got != tt.want {
			t.Errorf("%s: absent = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    pull.Audit
		want time.Time
	}{
		{"the first time", pull.Audit{Since: noon}, ago(24 * time.Hour)},
		{"after an audit", pull.Audit{Since: ago(48 * time.Hour), Done: ago(5 * time.Minute)}, ago(20 * time.Minute)},
		{"after a long time", pull.Audit{Since: ago(900 * time.Hour), Done: ago(800 * time.Hour)}, ago(7 * 24 * time.Hour)},
	} {
		if got := back(tt.a, noon, nil); !got.Equal(tt.want) {
			t.Errorf("%s: back = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestJudge(t *testing.T) {
	was := pull.Sight{UpdatedAt: ago(time.Hour), Head: "aaa", Base: "bbb", Checks: "SUCCESS runs.SUCCESS=1", Policy: "ppp", Defaults: "ddd"}
	sight := func(change func(*pull.Sight)) pull.Sight {
		s := was
		change(&s)
		return s
	}
	text := was.String()
	looked := pull.Seen{ByPass: text, BySweep: text, Open: true}
	for _, tt := range []struct {
		name   string
		listed map[int]pull.Sight
		seen   map[int]pull.Seen
		policy bool
		due    []int
		sights int
	}{
		{"nothing at all", nil, nil, true, nil, 0},
		{"unchanged", map[int]pull.Sight{1: was}, map[int]pull.Seen{1: looked}, true, nil, 0},
		{"unknown here", map[int]pull.Sight{1: was}, nil, true, []int{1}, 1},
		{"unknown here, and nothing speaks about it", map[int]pull.Sight{1: was}, nil, false, nil, 0},
		{"known, and the policy is gone", map[int]pull.Sight{1: sight(func(s *pull.Sight) { s.Policy = "" })}, map[int]pull.Seen{1: looked}, false, []int{1}, 1},
		{"marked by the last sweep, no pass yet", map[int]pull.Sight{1: was}, map[int]pull.Seen{1: {BySweep: text}}, true, nil, 0},
		{"a pass was faster", map[int]pull.Sight{1: was}, map[int]pull.Seen{1: {ByPass: text, BySweep: "older", Open: true}}, true, nil, 1},
		{"looked at by the version before", map[int]pull.Sight{1: was}, map[int]pull.Seen{1: {Open: true}}, true, []int{1}, 1},
		{"touched", map[int]pull.Sight{1: sight(func(s *pull.Sight) { s.UpdatedAt = noon })}, map[int]pull.Seen{1: looked}, true, []int{1}, 1},
		{"pushed to", map[int]pull.Sight{1: sight(func(s *pull.Sight) { s.Head = "ccc" })}, map[int]pull.Seen{1: looked}, true, []int{1}, 1},
		{"its base moved", map[int]pull.Sight{1: sight(func(s *pull.Sight) { s.Base = "ccc" })}, map[int]pull.Seen{1: looked}, true, []int{1}, 1},
		{"checked", map[int]pull.Sight{1: sight(func(s *pull.Sight) { s.Checks = "FAILURE runs.FAILURE=1" })}, map[int]pull.Seen{1: looked}, true, []int{1}, 1},
		{"another policy", map[int]pull.Sight{1: sight(func(s *pull.Sight) { s.Policy = "qqq" })}, map[int]pull.Seen{1: looked}, true, []int{1}, 1},
		{"other defaults", map[int]pull.Sight{1: sight(func(s *pull.Sight) { s.Defaults = "" })}, map[int]pull.Seen{1: looked}, true, []int{1}, 1},
		{"no longer open", nil, map[int]pull.Seen{1: looked}, true, []int{1}, 1},
		{"no longer open, and marked for that", nil, map[int]pull.Seen{1: {ByPass: text, BySweep: closed, Open: true}}, true, nil, 0},
		{"marked once, and closed before any look", nil, map[int]pull.Seen{1: {BySweep: text}}, true, nil, 0},
		{"open again", map[int]pull.Sight{1: was}, map[int]pull.Seen{1: {ByPass: "older", BySweep: closed, Open: true}}, true, []int{1}, 1},
		{"in their order", map[int]pull.Sight{3: was, 1: was, 2: was}, nil, true, []int{1, 2, 3}, 3},
	} {
		sights, due := judge(tt.listed, tt.seen, tt.policy)
		if diff := cmp.Diff(tt.due, due); diff != "" || len(sights) != tt.sights {
			t.Errorf("%s: judge = %v due, %d sights, want %v and %d", tt.name, due, len(sights), tt.due, tt.sights)
		}
	}
}

func TestDueAt(t *testing.T) {
	const every = 10 * time.Minute
	at := func(d time.Duration) pull.Sweepable { return pull.Sweepable{SweptAt: ago(d), Requests: 1} }
	with := func(s pull.Sweepable, change func(*pull.Sweepable)) pull.Sweepable { change(&s); return s }
	for _, tt := range []struct {
		name  string
		s     pull.Sweepable
		every time.Duration
		since time.Time
		want  time.Duration // from noon
	}{
		{"never swept, just found", pull.Sweepable{RetryAt: ago(time.Second)}, every, ago(0), -time.Second},
		{"quiet", at(time.Minute), every, ago(time.Hour), 9 * time.Minute},
		{"the last sweep found something", with(at(time.Minute), func(s *pull.Sweepable) { s.Moved = true }), every, ago(time.Hour), time.Minute},
		{"a pass since", with(at(time.Minute), func(s *pull.Sweepable) { s.ActiveAt = ago(30 * time.Second) }), every, ago(time.Hour), time.Minute},
		{"a pass before", with(at(time.Minute), func(s *pull.Sweepable) { s.ActiveAt = ago(2 * time.Minute) }), every, ago(time.Hour), 9 * time.Minute},
		{"busy, and the operator wants it more often", with(at(time.Minute), func(s *pull.Sweepable) { s.Moved = true }), time.Minute, ago(time.Hour), 0},
		{"swept before this replica began", at(5 * time.Minute), every, ago(0), -4 * time.Minute},
		{"just swept, by another replica", at(10 * time.Second), every, ago(0), 50 * time.Second},
		{"large and busy", with(at(time.Minute), func(s *pull.Sweepable) { s.Moved, s.Requests = true, 50 }), every, ago(time.Hour), 7*time.Minute + 20*time.Second},
		{"larger than that", with(at(time.Minute), func(s *pull.Sweepable) { s.Requests = 100 }), every, ago(time.Hour), 15*time.Minute + 40*time.Second},
		{"not shown to us", with(at(time.Hour), func(s *pull.Sweepable) { s.RetryAt = noon.Add(time.Hour) }), every, ago(0), time.Hour},
	} {
		if got := dueAt(tt.s, tt.every, tt.since).Sub(noon); got != tt.want {
			t.Errorf("%s: due %s from now, want %s", tt.name, got, tt.want)
		}
	}
}

// TestSpread: 5,000 pull requests of one scope are spread over hours, those of an ordinary outage over minutes, and one
// scope does not wait for another.
func TestSpread(t *testing.T) {
	var s spread
	var at []time.Duration
	for range 5000 {
		at = append(at, s.next("token", noon).Sub(noon))
	}
	if at[0] != 0 || at[499] > 2*time.Minute {
		t.Errorf("the first is due after %s, the 500th after %s: want at once, and within two minutes", at[0], at[499])
	}
	if got := at[899]; got > 15*time.Minute {
		t.Errorf("the 900th is due after %s, want within a quarter of an hour", got)
	}
	for i := range at[:len(at)-2000] {
		// Whatever the hour, what it has is less than 60 % of GitHub's least limit of 5,000.
		n := 0
		for _, d := range at[i:] {
			if d > at[i]+time.Hour {
				break
			}
			n++
		}
		if n > 3000 {
			t.Fatalf("%d are due within an hour of %s", n, at[i])
		}
	}
	if got := s.next("app:1", noon); !got.Equal(noon) {
		t.Errorf("another scope's first is due at %s, want at once", got)
	}
	if got := s.next("token", noon.Add(12*time.Hour)); !got.Equal(noon.Add(12 * time.Hour)) {
		t.Errorf("half a day later one is due at %s, want at once", got)
	}
}

// What was acknowledged between a backup and its restore is asked for, and is no alarm; all else is as before.
func TestAbsentAfterARestore(t *testing.T) {
	restores := []pull.Restore{{Taken: ago(3 * time.Hour), At: ago(time.Hour)}}
	for _, tt := range []struct {
		name  string
		acked time.Time
		want  string
	}{
		{"well before the backup", ago(4 * time.Hour), "lost"},
		{"as the backup was taken, by another clock", ago(3*time.Hour + 30*time.Second), "behind"},
		{"between the two", ago(2 * time.Hour), "behind"},
		{"after the restore", ago(30 * time.Minute), "lost"},
	} {
		log := []pull.Sending{{ID: 1, GUID: "a", At: tt.acked, OK: true}}
		got := "not missed"
		for _, m := range absent(log, pull.Hook{}, ago(48*time.Hour), noon, restores) {
			got = map[[2]bool]string{{true, false}: "lost", {false, true}: "behind"}[[2]bool{m.Lost, m.Behind}]
		}
		if got != tt.want {
			t.Errorf("acknowledged %s: %s, want %s", tt.name, got, tt.want)
		}
	}
	// A backup from before the first audit: comparing begins with the restore, and goes back to the backup all the same.
	if got := absent([]pull.Sending{{ID: 1, GUID: "a", At: ago(2 * time.Hour), OK: true}}, pull.Hook{}, ago(time.Hour), noon, restores); len(got) != 1 || got[0].Lost {
		t.Errorf("from before the first audit: %+v, want it asked for and no alarm", got)
	}
	old := []pull.Restore{{Taken: ago(60 * time.Hour), At: noon}}
	if got, want := back(pull.Audit{Since: noon}, noon, old), ago(60*time.Hour+overlap); !got.Equal(want) {
		t.Errorf("the first audit after the restore looks back to %s, want %s", got, want)
	}
}
