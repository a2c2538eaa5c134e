package policy

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSchedule(t *testing.T) {
	tests := []struct {
		text, at string
		open     bool
		next     string // "": never
	}{
		{"Mon-Fri 09:00-17:00 Europe/Paris", "2026-03-02T07:59:59Z", false, "2026-03-02T08:00:00Z"},
		{"Mon-Fri 09:00-17:00 Europe/Paris", "2026-03-02T08:00:00Z", true, "2026-03-02T16:00:00Z"},
		{"Mon-Fri 09:00-17:00 Europe/Paris", "2026-03-02T15:59:59.999Z", true, "2026-03-02T16:00:00Z"},
		{"Mon-Fri 09:00-17:00 Europe/Paris", "2026-03-02T16:00:00Z", false, "2026-03-03T08:00:00Z"},
		{"Mon-Fri 09:00-17:00 Europe/Paris", "2026-03-06T17:00:00Z", false, "2026-03-09T08:00:00Z"}, // over the weekend
		// Over the night in which clocks go forward, 29 March: 09:00 is an hour earlier in UTC from then on.
		{"Mon-Fri 09:00-17:00 Europe/Paris", "2026-03-27T17:00:00Z", false, "2026-03-30T07:00:00Z"},
		// The hour between 02:00 and 03:00 does not come on that night.
		{"02:15-02:45 Europe/Paris", "2026-03-29T00:59:00Z", false, "2026-03-30T00:15:00Z"},
		{"01:30-02:30 Europe/Paris", "2026-03-29T00:45:00Z", true, "2026-03-29T01:00:00Z"},
		// And on 25 October it comes twice.
		{"02:15-02:45 Europe/Paris", "2026-10-25T00:20:00Z", true, "2026-10-25T00:45:00Z"},
		{"02:15-02:45 Europe/Paris", "2026-10-25T00:50:00Z", false, "2026-10-25T01:15:00Z"},
		{"02:15-02:45 Europe/Paris", "2026-10-25T01:20:00Z", true, "2026-10-25T01:45:00Z"},
		{"fri-mon 10:00-11:00 UTC", "2026-03-08T10:30:00Z", true, "2026-03-08T11:00:00Z"},
		{"Mon,Wed,Fri 10:00-11:00,13:00-14:00 UTC", "2026-03-02T11:30:00Z", false, "2026-03-02T13:00:00Z"},
		{"Fri 22:00-06:00 UTC", "2026-03-07T05:00:00Z", true, "2026-03-07T06:00:00Z"}, // Friday's night ends on Saturday
		{"Fri 22:00-06:00 UTC", "2026-03-06T05:00:00Z", false, "2026-03-06T22:00:00Z"},
		{"00:00-24:00 Asia/Kathmandu", "2026-03-06T05:00:00Z", true, ""},
		{"Sat-Sun 00:00-24:00 America/New_York", "2026-03-06T05:00:00Z", false, "2026-03-07T05:00:00Z"},
		{"Sat-Sun 00:00-24:00 America/New_York", "2026-03-07T06:00:00Z", true, "2026-03-09T04:00:00Z"}, // clocks go forward in between
		{"Mon 0:00-12:00 Australia/Lord_Howe", "2026-04-05T20:00:00Z", true, "2026-04-06T01:30:00Z"},
	}
	for _, tt := range tests {
		s, err := parseSchedule(tt.text)
		if err != nil {
			t.Errorf("parseSchedule(%q): %v", tt.text, err)
			continue
		}
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.open(at); got != tt.open {
			t.Errorf("%q is open at %s: %v, want %v", tt.text, tt.at, got, tt.open)
		}
		next := ""
		if n := s.next(at); !n.IsZero() {
			next = n.Format(time.RFC3339)
		}
		if next != tt.next {
			t.Errorf("%q changes after %s at %q, want %q", tt.text, tt.at, next, tt.next)
		}
	}
}

func TestBadSchedules(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  `The schedule "" is not made of days, hours and a time zone.`,
		"Mon-Fri":                           `The schedule "Mon-Fri" is not made of days, hours and a time zone.`,
		"Mon-Fri 09:00-17:00 Paris":         `There is no time zone "Paris".`,
		"Mon-Fri 09:00-17:00 Local":         `There is no time zone "Local".`,
		"Mon-Fri 09:00-17:00 ../etc/passwd": `There is no time zone "../etc/passwd".`,
		"Mon-Frei 09:00-17:00 UTC":          `"Frei" is not a day.`,
		"Mon-Fri 9-17 UTC":                  `"9-17" is not a range of hours.`,
		"Mon-Fri 09:00-25:00 UTC":           `"09:00-25:00" is not a range of hours.`,
		"Mon-Fri 09:60-17:00 UTC":           `"09:60-17:00" is not a range of hours.`,
		"Mon-Fri 09:00-09:00 UTC":           `The hours "09:00-09:00" end as they begin.`,
		"Mon, Fri 09:00-17:00 UTC":          `The schedule "Mon, Fri 09:00-17:00 UTC" is not made of days, hours and a time zone.`,
	} {
		_, err := parseSchedule(text)
		var bad *badSchedule
		if !errors.As(err, &bad) || bad.message != want || bad.hint == "" {
			t.Errorf("parseSchedule(%q) = %v, want %s with a hint", text, err, want)
		}
	}
}

// TestScheduleChangesWhenItSays: between t and next(t) nothing changes, minute by minute, and at next(t) it does.
func TestScheduleChangesWhenItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hour := func(name string) string {
			return time.Date(2000, 1, 1, rapid.IntRange(0, 23).Draw(t, name), rapid.SampledFrom([]int{0, 15, 30, 45}).Draw(t, name), 0, 0, time.UTC).Format("15:04")
		}
		text := rapid.SampledFrom([]string{"", "Mon-Fri ", "Sat,Sun ", "Wed "}).Draw(t, "days") + hour("from") + "-" + hour("to") + " " +
			rapid.SampledFrom([]string{"UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"}).Draw(t, "zone")
		s, err := parseSchedule(text)
		if err != nil {
			t.Skip(err)
		}
		at := time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(t, "month")), rapid.IntRange(1, 31).Draw(t, "day"), 0, rapid.IntRange(0, day).Draw(t, "minute"), 0, 0, time.UTC)
		was, next := s.open(at), s.next(at)
		if next.IsZero() {
			t.Fatalf("%q never changes after %s", text, at)
		}
		if s.open(next) == was {
			t.Fatalf("%q does not change at %s", text, next)
		}
		for m := at; m.Before(next); m = m.Add(time.Minute) {
			if s.open(m) != was {
				t.Fatalf("%q is %v at %s and %v at %s, before it changes at %s", text, was, at, !was, m, next)
			}
		}
	})
}
