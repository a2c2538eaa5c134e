package deploy

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

var units = []string{"github-pr-manager.service", "deploy/github-pr-manager-backup.service", "deploy/github-pr-manager-backup.timer"}

// systemd reads the units and has nothing to say: it exits with 0 on a key that it doesn't know, so that any word of it is a
// failure.
func TestUnits(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program, and systemd takes its time")
	}
	analyze := program(t, "systemd-analyze", "systemd")
	dir := t.TempDir()
	verify := func(text map[string]string) result {
		args := []string{"verify", "--man=no"}
		for name, unit := range text {
			path := filepath.Join(dir, filepath.Base(name))
			write(t, path, unit, 0o644)
			args = append(args, path)
		}
		slices.Sort(args[2:])
		return run(t, dir, nil, analyze, args...)
	}
	text := map[string]string{}
	for _, name := range units {
		text[name] = read(t, name)
		if strings.HasSuffix(name, ".service") {
			// The binary is where it is here.
			text[name] = replace(t, text[name], "ExecStart=/usr/local/bin/github-pr-manager ", "ExecStart="+testenv.Binary(t)+" ")
		}
	}
	if r := verify(text); r.code != 0 || r.stdout+r.stderr != "" {
		t.Errorf("systemd-analyze verify: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	broken := map[string]string{units[0]: replace(t, text[units[0]], "ProtectSystem=", "ProtectSystems=")}
	if r := verify(broken); r.stdout+r.stderr == "" {
		t.Error("systemd-analyze verify says nothing of a key that does not exist: the test looks in the wrong place")
	}
	write(t, filepath.Join(dir, units[0]), text[units[0]], 0o644)

	for _, name := range units[:2] {
		r := run(t, dir, nil, analyze, "security", "--offline=true", filepath.Join(dir, filepath.Base(name)))
		m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(r.stdout)
		if m == nil {
			t.Fatalf("systemd-analyze security: %s%s", r.stdout, r.stderr)
		}
		if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 2 {
			t.Errorf("%s is exposed by %s, want 2.0 at most:\n%s", name, m[1], r.stdout)
		}
	}

	service := unit(text[units[0]])
	for key, want := range map[string]string{
		"User": "github-pr-manager", "ExecReload": "kill -HUP $MAINPID", "KillSignal": "SIGTERM", "TimeoutStopSec": "30", "Restart": "on-failure",
		"RestartPreventExitStatus": "2", "StateDirectory": "github-pr-manager", "ProtectSystem": "strict", "MemoryMax": "512M",
	} {
		if !slices.Equal(service[key], []string{want}) {
			t.Errorf("%s: %s=%q, want %s", units[0], key, service[key], want)
		}
	}
	// What is in Environment= is a setting of the service, or the backup's own.
	known := append(settings(t), "BACKUP_TO")
	for _, name := range units[:2] {
		for _, line := range unit(text[name])["Environment"] {
			for _, pair := range strings.Fields(line) {
				if variable, _, _ := strings.Cut(pair, "="); !slices.Contains(known, variable) {
					t.Errorf("%s sets %s, which is no setting", name, variable)
				}
			}
		}
	}
	// A backup must not be older than the alert's limit.
	if got := unit(text[units[2]])["OnCalendar"]; !slices.Equal(got, []string{"hourly"}) {
		t.Errorf("the backup's timer fires at %q, want hourly", got)
	}
}

// unit returns the values of a unit file by key, of all its sections.
func unit(text string) map[string][]string {
	values := map[string][]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			values[key] = append(values[key], value)
		}
	}
	return values
}
