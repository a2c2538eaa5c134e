package backup

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What backups are called: github-pr-manager-20261125T131500Z.sql.gz. Nothing else in a directory or under a prefix is
// looked at, and so nothing else is ever removed.
const (
	prefix   = "github-pr-manager-"
	moment   = "20060102T150405Z"
	sumTail  = ".sha256"
	tempTail = ".tmp"
)

var nameShape = regexp.MustCompile(`^github-pr-manager-(\d{8}T\d{6}Z)\.(sql|db)(\.gz)?$`)

func nameOf(at time.Time, engine string, packed bool) string {
	name := prefix + at.UTC().Format(moment)
	if engine == "sqlite" {
		name += ".db"
	} else {
		name += ".sql"
	}
	if packed {
		name += ".gz"
	}
	return name
}

// when is the moment in a backup's name.
func when(name string) (time.Time, bool) {
	m := nameShape.FindStringSubmatch(name)
	if m == nil {
		return time.Time{}, false
	}
	at, err := time.Parse(moment, m[1])
	return at, err == nil
}

var longUnits = map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour}

// Duration reads a length of time as people write it of backups: 30d, 2w, and what Go knows, such as 1h.
func Duration(text string) (time.Duration, error) {
	for unit, length := range longUnits {
		if number, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > 36500 {
				return 0, fmt.Errorf("%q is no length of time: want one such as 30d, 2w or 12h", text)
			}
			return time.Duration(n) * length, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no length of time: want one such as 30d, 2w or 12h", text)
	}
	return d, nil
}
