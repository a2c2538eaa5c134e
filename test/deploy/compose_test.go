package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const production = "docker-compose.production.yml"

// A stack is a Compose file as one of the two readers has rendered it: what both of them know, in one form.
type stack struct {
	services map[string]service
	volumes  []string
	subnet   string
}

type service struct {
	Image         string            `json:"image"`
	ContainerName string            `json:"container_name"`
	User          string            `json:"user"`
	ReadOnly      bool              `json:"read_only"`
	Privileged    bool              `json:"privileged"`
	Restart       string            `json:"restart"`
	Grace         string            `json:"stop_grace_period"`
	CapDrop       []string          `json:"cap_drop"`
	CapAdd        []string          `json:"cap_add"`
	SecurityOpt   []string          `json:"security_opt"`
	Tmpfs         []string          `json:"tmpfs"`
	NetworkMode   string            `json:"network_mode"`
	Environment   map[string]string `json:"environment"`
	Command       []string          `json:"command"`
	Healthcheck   struct {
		Test []string `json:"test"`
	} `json:"healthcheck"`
	Logging struct {
		Driver  string            `json:"driver"`
		Options map[string]string `json:"options"`
	} `json:"logging"`
	RawMemory  any `json:"mem_limit"`
	RawPorts   any `json:"ports"`
	RawVolumes any `json:"volumes"`

	memory  string
	ports   []string          // address:published:target
	volumes map[string]string // source by target; :ro behind it where it is read-only
}

// A project is a directory with what a clone has of the files that Compose reads, and a filled-in .env.
type project struct {
	dir string
	env []string // what the shell exports
}

func newProject(t *testing.T) project {
	t.Helper()
	p := project{dir: filepath.Join(t.TempDir(), "clone")}
	write(t, filepath.Join(p.dir, production), read(t, production), 0o644)
	write(t, filepath.Join(p.dir, ".env"), filledIn(t, read(t, ".env.production")), 0o600)
	overlays, err := filepath.Glob(filepath.Join(testenv.Root(t), "deploy", "green.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range overlays {
		name := filepath.Join("deploy", filepath.Base(path))
		write(t, filepath.Join(p.dir, name), read(t, name), 0o644)
	}
	return p
}

// wanted are the values without which the stack does not start.
var wanted = []string{"DASHBOARD_TOKEN", "POSTGRES_PASSWORD", "DATABASE_PASSWORD", "GRAFANA_PASSWORD"}

func filledIn(t *testing.T, env string) string {
	t.Helper()
	for _, name := range wanted {
		env = replace(t, env, "\n"+name+"=\n", "\n"+name+"=filled-in-"+strings.ToLower(name)+"\n")
	}
	return env
}

// noEngine keeps a command from whatever engine this machine may have.
const noEngine = "DOCKER_HOST=unix:///nonexistent/docker.sock"

// compose runs docker-compose in the project as an operator does.
func (p project) compose(t *testing.T, args ...string) result {
	t.Helper()
	if testing.Short() {
		t.Skip("a call of Compose takes more than a second")
	}
	return run(t, p.dir, append([]string{noEngine}, p.env...), program(t, "docker-compose", "docker-compose"), args...)
}

// readers are who must understand a Compose file: Compose 1.29, and the library of every later one.
var readers = map[string]func(t *testing.T, p project, files ...string) (string, result){
	"Compose 1.29": func(t *testing.T, p project, files ...string) (string, result) {
		var args []string
		for _, f := range files {
			args = append(args, "-f", f)
		}
		r := p.compose(t, append(args, "config")...)
		if r.code == 0 && r.stderr != "" {
			t.Errorf("docker-compose config says %q, want nothing", r.stderr)
		}
		if r.code != 0 {
			return "", r
		}
		j, err := yaml.YAMLToJSON([]byte(r.stdout))
		if err != nil {
			t.Fatalf("docker-compose config printed no YAML: %v", err)
		}
		return string(j), r
	},
	"compose-go": func(t *testing.T, p project, files ...string) (string, result) {
		r := run(t, p.dir, p.env, manifests(t), append([]string{"compose"}, files...)...)
		return r.stdout, r
	},
}

// render reads the project's files with one of the readers.
func (p project) render(t *testing.T, reader string, files ...string) stack {
	t.Helper()
	text, r := readers[reader](t, p, files...)
	if r.code != 0 {
		t.Fatalf("%s does not take %v: %s%s", reader, files, r.stdout, r.stderr)
	}
	var raw struct {
		Services map[string]service `json:"services"`
		Volumes  map[string]any     `json:"volumes"`
		Networks map[string]struct {
			IPAM struct {
				Config []struct {
					Subnet string `json:"subnet"`
				} `json:"config"`
			} `json:"ipam"`
		} `json:"networks"`
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatalf("%s: %v in\n%s", reader, err, text)
	}
	s := stack{services: raw.Services, volumes: slices.Sorted(maps.Keys(raw.Volumes))}
	if c := raw.Networks["default"].IPAM.Config; len(c) == 1 {
		s.subnet = c[0].Subnet
	}
	for name, v := range s.services {
		v.memory = memory(t, v.RawMemory)
		for _, p := range list(v.RawPorts) {
			v.ports = append(v.ports, port(t, p))
		}
		slices.Sort(v.ports)
		v.volumes = map[string]string{}
		for _, m := range list(v.RawVolumes) {
			source, target := mount(t, p.dir, m)
			v.volumes[target] = source
		}
		v.RawMemory, v.RawPorts, v.RawVolumes = nil, nil, nil
		v.Grace = strings.TrimSuffix(strings.Replace(v.Grace, "0m30s", "30s", 1), " ")
		s.services[name] = v
	}
	return s
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func memory(t *testing.T, v any) string {
	t.Helper()
	text := fmt.Sprint(v)
	if f, ok := v.(float64); ok {
		text = fmt.Sprintf("%.0f", f)
	}
	var n int64
	if _, err := fmt.Sscanf(text, "%d", &n); err != nil {
		return ""
	}
	if strings.HasSuffix(text, "m") {
		n <<= 20
	}
	return fmt.Sprintf("%dm", n>>20)
}

// port writes a published port as address:published:target, whichever way the reader says it.
func port(t *testing.T, v any) string {
	t.Helper()
	switch v := v.(type) {
	case string:
		v = strings.TrimSuffix(v, "/tcp")
		if strings.Count(v, ":") == 1 {
			v = ":" + v
		}
		return v
	case map[string]any:
		address, _ := v["host_ip"].(string)
		return fmt.Sprintf("%s:%v:%v", address, v["published"], v["target"])
	}
	t.Fatalf("a port is written as %T", v)
	return ""
}

// mount returns where what is mounted comes from, relative to the project, and where to.
func mount(t *testing.T, dir string, v any) (source, target string) {
	t.Helper()
	readOnly := false
	switch v := v.(type) {
	case string:
		parts := strings.Split(v, ":")
		source, target = parts[0], parts[1]
		readOnly = len(parts) > 2 && parts[2] == "ro"
	case map[string]any:
		source, _ = v["source"].(string)
		target, _ = v["target"].(string)
		readOnly, _ = v["read_only"].(bool)
	default:
		t.Fatalf("a volume is written as %T", v)
	}
	if rest, ok := strings.CutPrefix(source, dir+"/"); ok {
		source = "./" + rest
	}
	if readOnly {
		source += ":ro"
	}
	return source, target
}

// each runs a test with both readers.
func each(t *testing.T, test func(t *testing.T, p project, render func(files ...string) stack)) {
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			test(t, p, func(files ...string) stack { return p.render(t, name, files...) })
		})
	}
}

var names = []string{"alertmanager", "backup", "github-pr-manager", "grafana", "haproxy", "postgres", "prometheus", "redis"}

func TestEveryServiceIsHardened(t *testing.T) {
	each(t, func(t *testing.T, _ project, render func(...string) stack) {
		s := render(production)
		if got := slices.Sorted(maps.Keys(s.services)); !slices.Equal(got, names) {
			t.Errorf("services = %v, want %v", got, names)
		}
		for name, v := range s.services {
			if v.ContainerName != "" {
				t.Errorf("%s has the container_name %q: then it can't be scaled, and no second stack can run", name, v.ContainerName)
			}
			if !v.ReadOnly || v.Privileged || v.NetworkMode == "host" || !slices.Equal(v.CapDrop, []string{"ALL"}) || len(v.CapAdd) > 0 {
				t.Errorf("%s: read_only %v, privileged %v, network_mode %q, cap_drop %v, cap_add %v", name, v.ReadOnly, v.Privileged, v.NetworkMode, v.CapDrop, v.CapAdd)
			}
			if !slices.Contains(v.SecurityOpt, "no-new-privileges:true") || !slices.Contains(v.Tmpfs, "/tmp") {
				t.Errorf("%s: security_opt %v, tmpfs %v, want no-new-privileges and /tmp", name, v.SecurityOpt, v.Tmpfs)
			}
			grace := "30s"
			if name == "haproxy" { // it takes nothing new while it stops
				grace = "5s"
			}
			if v.Restart != "unless-stopped" || v.Grace != grace {
				t.Errorf("%s: restart %q, stop_grace_period %q, want unless-stopped and %s", name, v.Restart, v.Grace, grace)
			}
			if v.Logging.Driver != "json-file" || v.Logging.Options["max-size"] == "" || v.Logging.Options["max-file"] == "" {
				t.Errorf("%s: its log grows without end: %+v", name, v.Logging)
			}
			if v.memory == "" || v.memory == "0m" {
				t.Errorf("%s has no mem_limit", name)
			}
			if len(v.Healthcheck.Test) < 2 {
				t.Errorf("%s has no health check", name)
			}
			if i := strings.LastIndex(v.Image, ":"); i < 0 || v.Image[i+1:] == "latest" || v.Image[i+1:] == "" {
				t.Errorf("%s runs %q: want a version", name, v.Image)
			}
		}
		us := s.services["github-pr-manager"]
		if us.memory != "512m" {
			t.Errorf("mem_limit of the service = %s, want 512m", us.memory)
		}
		if len(us.ports) > 0 {
			t.Errorf("the service publishes %v: then a second replica can't start", us.ports)
		}
		if us.Environment["TRUSTED_PROXIES"] != s.subnet || s.subnet == "" {
			t.Errorf("TRUSTED_PROXIES = %q, and the network is %q", us.Environment["TRUSTED_PROXIES"], s.subnet)
		}
		for target, want := range map[string]string{"/run/secrets": "./secrets:ro", "/etc/haproxy/tls": "./deploy/tls:ro", "/data": "service-data"} {
			if got := us.volumes[target]; got != want {
				t.Errorf("the service has %q at %s, want %q", got, target, want)
			}
		}
		if got := us.Environment["HEAP_DUMP_DIR"]; !strings.HasPrefix(got, "/data/") {
			t.Errorf("HEAP_DUMP_DIR = %q, want a place on the volume", got)
		}
	})
}

// Every published port is a variable, and only HTTPS is open to others.
func TestPortsAreVariables(t *testing.T) {
	published := func(s stack) (all []string) {
		for _, v := range s.services {
			all = append(all, v.ports...)
		}
		slices.Sort(all)
		return all
	}
	each(t, func(t *testing.T, p project, render func(...string) stack) {
		want := []string{
			"127.0.0.1:3000:3000", "127.0.0.1:3001:3001", "127.0.0.1:5432:5432", "127.0.0.1:6379:6379",
			"127.0.0.1:9090:9090", "127.0.0.1:9093:9093", ":443:8443",
		}
		if got := published(render(production)); !slices.Equal(got, want) {
			t.Errorf("published = %v, want %v", got, want)
		}
	})
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		t.Run(name+" with others exported", func(t *testing.T) {
			p := newProject(t)
			p.env = []string{
				"PORT=4001", "HTTPS_PORT=4002", "REDIS_PORT=4003", "POSTGRES_PORT=4004", "PROMETHEUS_PORT=4005",
				"ALERTMANAGER_PORT=4006", "GRAFANA_PORT=4007", "SUBNET=10.9.8.0/24",
			}
			s := p.render(t, name, production)
			want := []string{
				"127.0.0.1:4001:3001", "127.0.0.1:4003:6379", "127.0.0.1:4004:5432", "127.0.0.1:4005:9090",
				"127.0.0.1:4006:9093", "127.0.0.1:4007:3000", ":4002:8443",
			}
			if got := published(s); !slices.Equal(got, want) {
				t.Errorf("published = %v, want %v", got, want)
			}
			if s.subnet != "10.9.8.0/24" || s.services["github-pr-manager"].Environment["TRUSTED_PROXIES"] != s.subnet {
				t.Errorf("subnet %q, TRUSTED_PROXIES %q", s.subnet, s.services["github-pr-manager"].Environment["TRUSTED_PROXIES"])
			}
			if got := s.services["github-pr-manager"].Environment["PORT"]; got != "3001" {
				t.Errorf("the service listens on %s within its container, and HAProxy asks 3001", got)
			}
		})
	}
}

// What the shell exports, as the operators' runbook has it for a rotation, reaches the service.
func TestExportedSecretsReachTheService(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			p.env = []string{"WEBHOOK_SECRET=exported-secret-0123456789", "GITHUB_TOKEN=exported-token", "VERSION=v0.9.0"}
			v := p.render(t, name, production).services["github-pr-manager"]
			if v.Environment["WEBHOOK_SECRET"] != "exported-secret-0123456789" || v.Environment["GITHUB_TOKEN"] != "exported-token" {
				t.Errorf("environment = %v, want what was exported", v.Environment)
			}
			for variable := range v.Environment {
				if strings.HasSuffix(variable, "_FILE") {
					t.Errorf("%s is set beside what an operator exports: the service would refuse to start with both", variable)
				}
			}
			if v.Image != "github-pr-manager-enhanced:v0.9.0" {
				t.Errorf("image = %q, want the version that was exported", v.Image)
			}
		})
	}
}

func TestWhatIsWantedStopsTheStart(t *testing.T) {
	if testing.Short() {
		t.Skip("it asks Compose many times")
	}
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		t.Run(name, func(t *testing.T) {
			for i, variable := range wanted {
				if name == "Compose 1.29" && i > 0 {
					break // it takes most of a second for each, and stops at the first as well
				}
				p := newProject(t)
				env := replace(t, filledIn(t, read(t, ".env.production")), "\n"+variable+"=filled-in-"+strings.ToLower(variable)+"\n", "\n"+variable+"=\n")
				write(t, filepath.Join(p.dir, ".env"), env, 0o600)
				_, r := readers[name](t, p, production)
				if r.code == 0 || !strings.Contains(r.stderr, "Set "+variable+" in .env") {
					t.Errorf("without %s: exit code %d, %q, want a sentence that says to set it", variable, r.code, r.stderr)
				}
			}
		})
	}
}

// Every setting can be changed in .env: it is handed on, or what it is in a container is said.
func TestEverySettingReachesTheService(t *testing.T) {
	fixed := []string{"PORT", "HOST", "DATA_DIR", "HEAP_DUMP_DIR", "SECRETS_DIR", "DATABASE_URL", "REDIS_URL", "TRUSTED_PROXIES", "CERTIFICATE_FILES", "LOG_FORMAT"}
	// HAProxy ends TLS, and unsigned webhooks are for loopback only.
	senseless := []string{"TLS_CERT_FILE", "TLS_KEY_FILE", "WEBHOOK_SIGNATURE_VALIDATION"}
	p := newProject(t)
	known := settings(t)
	for _, name := range known {
		if name != "PORT" { // that is the published one
			p.env = append(p.env, name+"=exported")
		}
	}
	env := p.render(t, "compose-go", production).services["github-pr-manager"].Environment
	for _, name := range known {
		got, ok := env[name]
		switch {
		case slices.Contains(senseless, name):
			if ok {
				t.Errorf("%s is set, and makes no sense behind HAProxy", name)
			}
		case slices.Contains(fixed, name):
			if !ok || got == "exported" {
				t.Errorf("%s = %q, want what is right in the container", name, got)
			}
		case got != "exported":
			t.Errorf("%s = %q, want what .env says: add it to %s", name, got, production)
		}
	}
	for name := range env {
		if !slices.Contains(known, name) {
			t.Errorf("%s is set, and the service knows no such setting", name)
		}
	}
}

// settings returns the names of all settings, from the code.
func settings(t *testing.T) []string {
	t.Helper()
	_, after, _ := strings.Cut(read(t, "internal/app/config.go"), "\nvar variables = ")
	table, _, found := strings.Cut(after, "\n}")
	var all []string
	for _, m := range regexp.MustCompile(`"([A-Z_]+)":`).FindAllStringSubmatch(table, -1) {
		all = append(all, m[1])
	}
	if !found || len(all) < 20 {
		t.Fatalf("found %d settings in internal/app/config.go: the test looks in the wrong place", len(all))
	}
	return all
}

func TestExampleNamesEverySetting(t *testing.T) {
	lines := strings.Split(read(t, ".env.example"), "\n")
	var named []string
	for i, line := range lines {
		m := regexp.MustCompile(`^#([A-Z_]+)=`).FindStringSubmatch(line)
		if m == nil {
			if line != "" && !strings.HasPrefix(line, "# ") && line != "#" {
				t.Errorf(".env.example:%d: %q changes something as it is", i+1, line)
			}
			continue
		}
		named = append(named, m[1])
		if !strings.HasPrefix(lines[i-1], "# ") || !strings.HasSuffix(strings.TrimRight(lines[i-1], "…"), ".") && !strings.HasSuffix(lines[i-1], "…") && !strings.Contains(lines[i-1], ". ") && !strings.Contains(lines[i-1], ": ") {
			t.Errorf(".env.example:%d: no sentence stands above %s", i+1, m[1])
		}
	}
	known := settings(t)
	for _, name := range known {
		if !slices.Contains(named, name) {
			t.Errorf("%s is missing in .env.example", name)
		}
	}
	for _, name := range named {
		if !slices.Contains(known, name) {
			t.Errorf(".env.example names %s, which is no setting", name)
		}
	}
}

// The commands of the operators' runbook, as they stand there. There is no engine: what is wrong with the words or the
// files is said before one is asked for.
func TestRunbookCommandsAreUnderstood(t *testing.T) {
	if testing.Short() {
		t.Skip("it asks Compose many times")
	}
	t.Parallel()
	for _, command := range []string{
		"restart github-pr-manager",
		"up -d --scale github-pr-manager=3",
		"up -d --force-recreate github-pr-manager",
		"-p github-pr-manager-green up -d",
		"-p github-pr-manager-blue down",
		"up -d --build --force-recreate",
		"up -d",
	} {
		p := newProject(t)
		r := p.compose(t, append([]string{"-f", production}, strings.Fields(command)...)...)
		if r.code == 0 || !strings.Contains(r.stderr, "Error while fetching server API version") {
			t.Errorf("docker-compose -f %s %s: exit code %d, %q, want that only the engine is missing", production, command, r.code, last(r.stderr))
		}
	}
	p := newProject(t)
	if r := p.compose(t, "-f", production, "up", "--scael"); strings.Contains(r.stderr, "server API version") {
		t.Errorf("a wrong option got as far as the engine: %s", r.stderr)
	}
}

// last is the last line of a text.
func last(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}

// The names that the runbook's `docker` commands use are what Compose makes of this project: asked of its own code.
func TestContainersAreCalledAsTheRunbookCallsThem(t *testing.T) {
	compose := program(t, "docker-compose", "docker-compose")
	first, _, _ := strings.Cut(readFile(t, compose), "\n")
	python, ok := strings.CutPrefix(first, "#!")
	if !ok {
		testenv.Missing(t, "docker-compose is not the Python program of 1.29; run: apt-get install docker-compose")
	}
	p := newProject(t)
	r := run(t, p.dir, nil, strings.TrimSpace(python), "-c", `
from compose.cli.command import get_project_name
from compose.config.environment import Environment
from compose.service import build_container_name
environment = Environment.from_env_file(".")
for project in (None, "github-pr-manager-green"):
    name = get_project_name(".", project_name=project, environment=environment)
    for service in ("github-pr-manager", "postgres", "redis"):
        print(build_container_name(name, service, 1))
`)
	want := `github-pr-manager-enhanced_github-pr-manager_1
github-pr-manager-enhanced_postgres_1
github-pr-manager-enhanced_redis_1
github-pr-manager-green_github-pr-manager_1
github-pr-manager-green_postgres_1
github-pr-manager-green_redis_1
`
	if got := must(t, r, "ask Compose for names"); got != want {
		t.Errorf("containers are called\n%swant\n%s", got, want)
	}
	// Later ones write dashes, unless this says otherwise.
	if !strings.Contains(read(t, ".env.production"), "\nCOMPOSE_COMPATIBILITY=true\n") {
		t.Error(".env.production does not say COMPOSE_COMPATIBILITY=true")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// With deploy/green.env exported, the runbook's `-p github-pr-manager-green` is a stack that shares nothing with the first.
func TestGreenStackIsIsolated(t *testing.T) {
	each(t, func(t *testing.T, p project, render func(...string) stack) {
		blue := render(production)
		for line := range strings.Lines(read(t, "deploy/green.env")) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				p.env = append(p.env, line)
			}
		}
		for reader := range readers {
			if strings.HasSuffix(t.Name(), strings.ReplaceAll(reader, " ", "_")) {
				green := p.render(t, reader, production)
				for name, v := range green.services {
					for _, port := range v.ports {
						if slices.Contains(blue.services[name].ports, port) {
							t.Errorf("%s of both stacks publishes %s", name, port)
						}
					}
					for target, source := range v.volumes {
						if strings.HasPrefix(source, "/") {
							t.Errorf("%s of both stacks has %s at %s", name, source, target)
						}
					}
				}
				if !slices.Contains(green.services["haproxy"].ports, "127.0.0.1:3002:3001") {
					t.Errorf("green is at %v, want loopback's 3002", green.services["haproxy"].ports)
				}
				if got := green.services["github-pr-manager"].Environment["AGENTS_ENABLED"]; got != "false" {
					t.Errorf("AGENTS_ENABLED of the green stack = %q: two services that know nothing of each other would act on the same pull requests", got)
				}
				a, b := netip.MustParsePrefix(blue.subnet), netip.MustParsePrefix(green.subnet)
				if a.Overlaps(b) {
					t.Errorf("the networks %v and %v overlap", a, b)
				}
			}
		}
	})
}

// The version in the file is that of the newest release in the changelog: a checkout of a tag runs that tag.
func TestVersionIsThatOfTheChangelog(t *testing.T) {
	m := regexp.MustCompile(`(?m)^## \[([0-9]+\.[0-9]+\.[0-9]+)\]`).FindStringSubmatch(read(t, "CHANGELOG.md"))
	if m == nil {
		t.Fatal("CHANGELOG.md names no release")
	}
	each(t, func(t *testing.T, _ project, render func(...string) stack) {
		s := render(production)
		for name, image := range map[string]string{"github-pr-manager": "github-pr-manager-enhanced", "backup": "github-pr-manager-enhanced-backup"} {
			if got, want := s.services[name].Image, image+":v"+m[1]; got != want {
				t.Errorf("%s runs %s, want %s as in CHANGELOG.md", name, got, want)
			}
		}
	})
	if kustomization := read(t, "deploy/kubernetes/kustomization.yaml"); strings.Count(kustomization, "newTag: v"+m[1]+"\n") != 2 {
		t.Errorf("deploy/kubernetes/kustomization.yaml does not have v%s for both images", m[1])
	}
}

// A green release on the same data: deploy/green.yml adds to the stack and changes nothing of it.
func TestGreenReleaseAddsToTheStack(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			p.env = []string{"GREEN_VERSION=v9.9.9"}
			blue := p.render(t, name, production)
			both := p.render(t, name, production, "deploy/green.yml")
			for service, v := range blue.services {
				if got := both.services[service]; fmt.Sprint(got) != fmt.Sprint(v) {
					t.Errorf("%s is another with deploy/green.yml, and would be started anew:\n%v\n%v", service, v, got)
				}
			}
			green := both.services["github-pr-manager-green"]
			if green.Image != "github-pr-manager-enhanced:v9.9.9" || len(both.services) != len(blue.services)+2 {
				t.Errorf("green runs %q, services %v", green.Image, slices.Sorted(maps.Keys(both.services)))
			}
			if got, want := green.Environment["DATABASE_URL"], both.services["github-pr-manager"].Environment["DATABASE_URL"]; got != want {
				t.Errorf("green works on %q, blue on %q", got, want)
			}
			if ports := both.services["haproxy-green"].ports; !slices.Equal(ports, []string{"127.0.0.1:3002:3002"}) {
				t.Errorf("green answers at %v, want loopback's 3002", ports)
			}
		})
	}
}
