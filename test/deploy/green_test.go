package deploy

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The green release is the service once more: what differs is the release, how many workers it has, and nothing else.
func TestGreenIsTheServiceOnceMore(t *testing.T) {
	each(t, func(t *testing.T, p project, render func(...string) stack) {
		env := filepath.Join(p.dir, ".env")
		write(t, env, readFile(t, env)+"\nGREEN_VERSION=v9.9.9\nWORKERS=7\nGREEN_WORKERS=0\nLOG_LEVEL=warn\n", 0o600)
		s := render(production, "deploy/green.yml")
		blue, green := s.services["github-pr-manager"], s.services["github-pr-manager-green"]
		if got := slices.Sorted(maps.Keys(s.services)); len(got) != len(names)+2 {
			t.Errorf("services = %v, want those of %s, github-pr-manager-green and haproxy-green", got, production)
		}
		if green.Image != "github-pr-manager-enhanced:v9.9.9" {
			t.Errorf("green runs %q, want the release of GREEN_VERSION", green.Image)
		}
		if green.Environment["WORKERS"] != "0" || blue.Environment["WORKERS"] != "7" {
			t.Errorf("WORKERS = %q and %q in green, want 7 and 0", blue.Environment["WORKERS"], green.Environment["WORKERS"])
		}
		want := maps.Clone(blue.Environment)
		want["WORKERS"] = "0"
		if !maps.Equal(green.Environment, want) {
			t.Errorf("the environment of green is\n%v\nwant\n%v", green.Environment, want)
		}
		alike := func(what string, a, b []string) {
			t.Helper()
			if !slices.Equal(a, b) {
				t.Errorf("%s of green is %v, want %v", what, b, a)
			}
		}
		alike("command", blue.Command, green.Command)
		alike("health check", blue.Healthcheck.Test, green.Healthcheck.Test)
		alike("tmpfs", blue.Tmpfs, green.Tmpfs)
		alike("cap_drop", blue.CapDrop, green.CapDrop)
		alike("security_opt", blue.SecurityOpt, green.SecurityOpt)
		alike("the rest", []string{blue.Restart, blue.Grace, blue.memory, blue.User}, []string{green.Restart, green.Grace, green.memory, green.User})
		if !maps.Equal(blue.volumes, green.volumes) || !green.ReadOnly || len(green.ports) > 0 {
			t.Errorf("green: volumes %v, read_only %v, ports %v; want %v, read only, none", green.volumes, green.ReadOnly, green.ports, blue.volumes)
		}

		front := s.services["haproxy-green"]
		if !slices.Equal(front.ports, []string{"127.0.0.1:3002:3002"}) {
			t.Errorf("green is published at %v, want port 3002 of loopback alone", front.ports)
		}
		if front.Image != s.services["haproxy"].Image || front.memory != s.services["haproxy"].memory || !front.ReadOnly {
			t.Errorf("haproxy-green is %s with %s, read_only %v; want what haproxy is", front.Image, front.memory, front.ReadOnly)
		}
	})
}

// Green does not start without being told which release it is.
func TestGreenWantsARelease(t *testing.T) {
	p := newProject(t)
	r := p.compose(t, "-f", production, "-f", "deploy/green.yml", "config", "-q")
	if r.code == 0 || !strings.Contains(r.stderr, "GREEN_VERSION") {
		t.Errorf("docker-compose config without GREEN_VERSION: exit %d, %s; want it named", r.code, r.stderr)
	}
}
