package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the binary runs on machines that know no time zones
)

// A schedule is when clocks somewhere show a time within certain hours of certain days: "Mon-Fri 09:00-17:00 Europe/Paris".
//
// It goes by what the clock on the wall shows. Where that shows an hour twice because summer time ends, both count; an hour
// that is skipped never comes.
type schedule struct {
	text  string
	days  [7]bool // by time.Weekday: on which the hours begin
	hours [][2]int
	zone  *time.Location
}

const day = 24 * 60 // minutes

var (
	dayNames  = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	hoursForm = regexp.MustCompile(`^(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$`)
	zoneForm  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+_-]*(/[A-Za-z0-9+_-]+)*$`)
)

const scheduleHint = `For example, schedule("Mon-Fri 09:00-17:00 Europe/Paris").`

// A badSchedule says what is wrong with the text of a schedule, and what to do.
type badSchedule struct{ message, hint string }

func (b *badSchedule) Error() string { return b.message }

// parseSchedule reads days (Mon-Fri, or Mon,Wed; left out: every day), hours (09:00-12:00,13:00-17:00) and a time zone.
func parseSchedule(text string) (*schedule, error) {
	bad := func(hint, format string, args ...any) (*schedule, error) {
		return nil, &badSchedule{fmt.Sprintf(format, args...), hint}
	}
	s := &schedule{text: text}
	words := strings.Fields(text)
	if len(words) == 2 {
		words = append([]string{"Mon-Sun"}, words...)
	}
	if len(words) != 3 {
		return bad(scheduleHint, "The schedule %q is not made of days, hours and a time zone.", shorten(text, 80))
	}
	for _, part := range strings.Split(words[0], ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, last := slices.Index(dayNames, strings.ToLower(from)), slices.Index(dayNames, strings.ToLower(to))
		if first < 0 || last < 0 {
			wrong := from
			if first >= 0 {
				wrong = to
			}
			return bad("Days are Mon, Tue, Wed, Thu, Fri, Sat and Sun, as Mon-Fri or Mon,Wed,Fri.", "%q is not a day.", shorten(wrong, 40))
		}
		for d := first; ; d = (d + 1) % 7 {
			s.days[d] = true
			if d == last {
				break
			}
		}
	}
	for _, part := range strings.Split(words[1], ",") {
		m := hoursForm.FindStringSubmatch(part)
		if m == nil {
			return bad("Hours are written 09:00-17:00.", "%q is not a range of hours.", shorten(part, 40))
		}
		var n [4]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1]) // two digits at most
		}
		from, to := n[0]*60+n[1], n[2]*60+n[3]
		switch {
		case n[1] > 59 || n[3] > 59 || from >= day || to > day:
			return bad("Hours go from 00:00 to 24:00.", "%q is not a range of hours.", part)
		case from == to:
			return bad("A whole day is 00:00-24:00.", "The hours %q end as they begin.", part)
		case to < from:
			to += day // into the next day
		}
		s.hours = append(s.hours, [2]int{from, to})
	}
	var err error
	if s.zone, err = zone(words[2]); err != nil {
		return bad("Zones are named as in Europe/Paris, America/New_York or UTC; see https://en.wikipedia.org/wiki/List_of_tz_database_time_zones.", "There is no time zone %q.", shorten(words[2], 60))
	}
	return s, nil
}

// zones are those that were read, since reading one costs far more than a condition. There are some six hundred.
var zones sync.Map

func zone(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	if !zoneForm.MatchString(name) || strings.EqualFold(name, "local") || len(name) > 60 {
		return nil, fmt.Errorf("%q is not the name of a time zone", name)
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	zones.Store(name, z)
	return z, nil
}

// open reports whether t is within the schedule.
func (s *schedule) open(t time.Time) bool {
	t = t.In(s.zone)
	now := t.Hour()*60 + t.Minute()
	today, yesterday := s.days[t.Weekday()], s.days[(t.Weekday()+6)%7]
	for _, h := range s.hours {
		if today && h[0] <= now && now < h[1] {
			return true
		}
		if yesterday && now+day < h[1] {
			return true
		}
	}
	return false
}

// next returns the first moment after t at which the schedule opens or closes; zero if there is none.
func (s *schedule) next(t time.Time) time.Time {
	was := s.open(t)
	local := t.In(s.zone)
	// Between these moments nothing changes: the hours of the days to come, once more an hour or two later or earlier where
	// the clock shows them twice, and the moments at which clocks are put forward or back.
	var at []time.Time
	for d := -1; d <= 9; d++ {
		for _, h := range s.hours {
			for _, m := range h {
				w := time.Date(local.Year(), local.Month(), local.Day()+d, 0, m, 0, 0, s.zone)
				at = append(at, w)
				before, after := offset(w.Add(-12*time.Hour)), offset(w.Add(12*time.Hour))
				if shift := time.Duration(before-after) * time.Second; shift != 0 {
					at = append(at, w.Add(shift), w.Add(-shift))
				}
			}
		}
	}
	for z, end := local, local.AddDate(0, 0, 10); z.Before(end); {
		_, change := z.ZoneBounds()
		if change.IsZero() {
			break
		}
		at = append(at, change)
		z = change
	}
	slices.SortFunc(at, time.Time.Compare)
	for _, c := range at {
		if c.After(t) && s.open(c) != was {
			return c.UTC()
		}
	}
	return time.Time{}
}

func offset(t time.Time) int {
	_, seconds := t.Zone()
	return seconds
}
