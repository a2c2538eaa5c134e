package deploy

import (
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// Every shell script of the repository, found by its name or its first line.
func TestShellScripts(t *testing.T) {
	shellcheck := program(t, "shellcheck", "shellcheck")
	root := testenv.Root(t)
	var scripts []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "node_modules", "data", "testdata", "secrets"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !slices.Contains([]string{"", ".sh", ".bash"}, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Ext(path) != "" || regexp.MustCompile(`^#!.*\b(ba|da)?sh\b`).Match(text) {
			scripts = append(scripts, path)
			if info, err := d.Info(); err == nil && strings.HasPrefix(string(text), "#!") && !strings.Contains(string(text[:min(len(text), 300)]), "sourced") && info.Mode()&0o111 == 0 {
				t.Errorf("%s has a first line that says who runs it, and is not executable", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) < 8 {
		t.Fatalf("found the scripts %v: the test looks in the wrong place", scripts)
	}
	if r := run(t, root, nil, shellcheck, append([]string{"-x", "--"}, scripts...)...); r.code != 0 {
		t.Errorf("shellcheck:\n%s%s", r.stdout, r.stderr)
	}
}

func TestWorkflow(t *testing.T) {
	root := testenv.Root(t)
	const name = ".github/workflows/github-agent-ci.yml"
	program(t, "shellcheck", "shellcheck") // actionlint asks it about the commands of steps
	r := run(t, root, []string{"CGO_ENABLED=0"}, goTool(t), "tool", "-modfile=tools/go.mod", "actionlint", name)
	if r.code != 0 || r.stdout != "" {
		t.Errorf("actionlint:\n%s%s", r.stdout, r.stderr)
	}
	text := read(t, name)
	uses := regexp.MustCompile(`(?m)uses: (\S+)(.*)$`).FindAllStringSubmatch(text, -1)
	if len(uses) < 10 {
		t.Fatalf("found %d actions: the test looks in the wrong place", len(uses))
	}
	for _, m := range uses {
		if !regexp.MustCompile(`@[0-9a-f]{40}$`).MatchString(m[1]) || !regexp.MustCompile(`^ # v[0-9]+\.[0-9]+\.[0-9]+$`).MatchString(m[2]) {
			t.Errorf("uses %s%s: want a commit, and beside it its version", m[1], m[2])
		}
	}
	jobs := strings.Split(strings.SplitN(text, "\njobs:\n", 2)[1], "\n  ")
	if strings.Count(text, "persist-credentials: false") != strings.Count(text, "actions/checkout@") {
		t.Error("a checkout leaves its token in the clone")
	}
	if !strings.Contains(text, "\npermissions: {}\n") || strings.Count(text, "\n    permissions:\n") != strings.Count(text, "\n    runs-on: ") || len(jobs) == 0 {
		t.Error("not every job says what it may do")
	}
	for _, want := range []string{".ci/run", "make check", "make race", "make vuln", "sbom: true", "provenance: mode=max", "SHA256SUMS", "trivy-action", "cyclonedx-gomod"} {
		if !strings.Contains(text, want) {
			t.Errorf("the workflow has no %s", want)
		}
	}
}

// goTool is the go command that runs this test.
func goTool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// The files that the stack mounts are there, and read by whom they are for, at the path where the container has them.
func TestMountedFilesAreUnderstood(t *testing.T) {
	p := newProject(t)
	s := p.render(t, "compose-go", production)
	brought := []string{"./secrets", "./secrets/alertmanager", "./deploy/tls"} // by whoever runs it
	mounts := 0
	for name, v := range s.services {
		for target, source := range v.volumes {
			path, ok := strings.CutPrefix(strings.TrimSuffix(source, ":ro"), "./")
			if !ok {
				continue // a volume of Docker's
			}
			mounts++
			if !strings.HasSuffix(source, ":ro") {
				t.Errorf("%s may write %s", name, source)
			}
			if _, err := os.Stat(filepath.Join(testenv.Root(t), path)); err != nil && !slices.Contains(brought, "./"+path) {
				t.Errorf("%s mounts %s at %s: %v", name, path, target, err)
			}
		}
	}
	if mounts < 9 {
		t.Errorf("found %d mounted files: the test looks in the wrong place", mounts)
	}
	for _, target := range []string{"/usr/local/etc/haproxy/haproxy.cfg", "/etc/haproxy/tls", "/var/lib/haproxy"} {
		if s.services["haproxy"].volumes[target] == "" {
			t.Errorf("HAProxy has nothing at %s", target)
		}
	}
	if got := s.services["postgres"].volumes["/migrations"]; got != "./migrations:ro" {
		t.Errorf("PostgreSQL has %q at /migrations, and the operators' runbook looks for 001_add_new_columns.sql there", got)
	}
	if _, err := os.Stat(filepath.Join(testenv.Root(t), "migrations", "001_add_new_columns.sql")); err != nil {
		t.Error(err)
	}

	t.Run("HAProxy", func(t *testing.T) {
		// As its command in the container does it, with the paths moved to here; without a certificate, as on the first day.
		dir := t.TempDir()
		command := s.services["haproxy"].Command
		if len(command) != 3 || command[0] != "sh" {
			t.Fatalf("the command of HAProxy is %q, want one of sh -c", command)
		}
		script := replace(t, command[2], "/var/lib/haproxy", dir)
		script = replace(t, script, "/usr/local/etc/haproxy/haproxy.cfg", testenv.HAProxyConfig(t))
		script = replace(t, script, "exec haproxy -W -db", "exec "+program(t, "haproxy", "haproxy")+" -c -q")
		env := []string{"TLS_DIRECTORY=" + t.TempDir(), "LIVE_MAP=" + filepath.Join(dir, "live.map")}
		for range 2 {
			must(t, run(t, dir, env, "sh", "-c", script), "check deploy/haproxy.cfg")
		}
		if got := readFile(t, filepath.Join(dir, "live.map")); got != "live blue\n" {
			t.Errorf("live.map = %q, want that this release has the traffic", got)
		}
	})
	t.Run("Prometheus", func(t *testing.T) {
		promtool := program(t, "promtool", "prometheus")
		dir := t.TempDir()
		for target, source := range s.services["prometheus"].volumes {
			if name, ok := strings.CutPrefix(target, "/etc/prometheus/"); ok {
				write(t, filepath.Join(dir, name), read(t, strings.TrimSuffix(source, ":ro")), 0o644)
			}
		}
		must(t, run(t, dir, nil, promtool, "check", "config", "prometheus.yml"), "check prometheus.yml")
	})
	t.Run("Alertmanager", func(t *testing.T) {
		must(t, run(t, testenv.Root(t), nil, program(t, "amtool", "prometheus-alertmanager"), "check-config", "deploy/alertmanager.yml"), "check deploy/alertmanager.yml")
	})
}

// Redis as the stack starts it: what an operator's commands and the service need works, what could do harm does not, a
// full one says so, and a file that somebody has restored changes nothing.
func TestRedisOfTheStack(t *testing.T) {
	s := newProject(t).render(t, "compose-go", production)
	command := s.services["redis"].Command
	if len(command) < 2 || command[0] != "redis-server" {
		t.Fatalf("the command of Redis is %q", command)
	}
	dir := t.TempDir()
	port := strconv.Itoa(testenv.FreePort(t))
	start := func() *exec.Cmd {
		args := slices.Concat(command[1:], []string{"--port", port, "--bind", "127.0.0.1"})
		args[slices.Index(args, "/data")] = dir
		cmd := exec.Command(program(t, "redis-server", "redis-server"), args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	cli := func(args ...string) string {
		r := run(t, dir, nil, program(t, "redis-cli", "redis-server"), append([]string{"-h", "localhost", "-p", port}, args...)...)
		return strings.TrimSpace(r.stdout + r.stderr)
	}
	await := func() {
		t.Helper()
		for start := time.Now(); cli("ping") != "PONG"; {
			if time.Since(start) > 20*time.Second {
				t.Fatal("Redis does not answer")
			}
		}
	}
	cmd := start()
	await()
	const key = "queue:github-webhook"
	for _, tt := range []struct {
		command, want string
	}{
		{"RPUSH " + key + " one two", "2"},
		{"LLEN " + key, "2"},
		{"LPOP " + key, "one"},
		{"LRANGE " + key + " 0 -1", "two"},
		{"TYPE " + key, "list"},
		{"LREM " + key + " 0 nothing", "0"},
		{"SET github-pr-manager:x y", "OK"},
		{"DEL github-pr-manager:x", "1"},
		{"FLUSHALL", "OK"},
		{"CONFIG SET dir /tmp", "NOPERM"},
		{"MODULE LIST", "NOPERM"},
		{"EVAL return(1) 0", "NOPERM"},
		{"REPLICAOF localhost 1", "NOPERM"},
		{"SHUTDOWN NOSAVE", "NOPERM"},
	} {
		if got := cli(strings.Fields(tt.command)...); got != tt.want && (tt.want != "NOPERM" || !strings.HasPrefix(got, "NOPERM")) {
			t.Errorf("%s: %q, want %q", tt.command, got, tt.want)
		}
	}
	if info := cli("INFO", "memory"); !strings.Contains(info, "maxmemory_policy:noeviction") || !strings.Contains(info, "maxmemory:67108864") {
		t.Errorf("INFO memory = %s, want noeviction and a limit", info)
	}

	// A saved list, as from another Redis, copied to where the runbook copies it.
	other := testenv.Redis(t, "--dbfilename", "dump.rdb")
	if err := other.Client.RPush(t.Context(), key, "stale").Err(); err != nil {
		t.Fatal(err)
	}
	if err := other.Client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "dump.rdb"), readFile(t, filepath.Join(other.Dir, "dump.rdb")), 0o600)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	start()
	await()
	if got := cli("LLEN", key); got != "0" {
		t.Errorf("after a restored dump.rdb and a restart LLEN = %s, want 0", got)
	}
	if s.services["redis"].volumes["/data"] == "" {
		t.Error("/data is on no volume: docker cp into it would be refused, since the container's root is read-only")
	}
}

// The role of the service, made as the image of PostgreSQL makes it, on a real server: the service has what it needs, and
// what the operators' commands make belongs to it.
func TestPostgresOfTheStack(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a cluster of PostgreSQL")
	}
	t.Parallel()
	server := testenv.OwnPostgres(t, "")
	server.Exec(t, "CREATE DATABASE github_agent", "CREATE DATABASE other")
	psql := testenv.PostgresTool(t, "psql")
	s := newProject(t).render(t, "compose-go", production)
	const password = "filled-in-database_password"
	admin := postgresEnv(t, server)
	script := filepath.Join(testenv.Root(t), strings.TrimSuffix(s.services["postgres"].volumes["/docker-entrypoint-initdb.d"], ":ro"), "10-service-role.sh")
	init := append(slices.Clone(admin), "POSTGRES_USER=postgres", "POSTGRES_DB="+s.services["postgres"].Environment["POSTGRES_DB"],
		"DATABASE_PASSWORD="+s.services["postgres"].Environment["DATABASE_PASSWORD"], "PATH="+filepath.Dir(psql)+":"+os.Getenv("PATH"))
	must(t, run(t, t.TempDir(), init, script), "make the role")

	// The runbook's migration, as postgres, before the service has ever run.
	migration := filepath.Join(testenv.Root(t), "migrations", "001_add_new_columns.sql")
	must(t, run(t, t.TempDir(), admin, psql, "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "github_agent", "-q", "-f", migration), "run the migration")

	// DATABASE_URL as the stack has it, with this server's address.
	database := s.services["github-pr-manager"].Environment["DATABASE_URL"]
	if !strings.Contains(database, "github_pr_manager:"+password+"@postgres:5432/github_agent") {
		t.Fatalf("DATABASE_URL = %q", database)
	}
	database = replace(t, database, "@postgres:5432/", "@127.0.0.1:"+strconv.Itoa(server.Port)+"/")
	p := testenv.Start(t, testenv.Options{Ready: "/ready", Env: []string{"DATABASE_URL=" + database, "WEBHOOK_SECRET=0123456789abcdef0123456789abcdef"}})
	if code, _ := p.Stop(t); code != 0 {
		t.Errorf("the service ended with %d", code)
	}
	must(t, run(t, t.TempDir(), admin, psql, "-U", "postgres", "-d", "github_agent", "-c", `\d+ webhook_logs`), "look at webhook_logs")
	owners := must(t, run(t, t.TempDir(), admin, psql, "-d", "github_agent", "-Atc",
		"SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"), "ask for owners")
	if owners != "github_pr_manager\n" {
		t.Errorf("tables belong to %q, want the service alone", owners)
	}

	// On the host: with the environment that docs/deploying.md exports, the runbook's command needs no argument more.
	dump := must(t, run(t, t.TempDir(), admin, testenv.PostgresTool(t, "pg_dump"), "github_agent"), "pg_dump github_agent")
	must(t, run(t, t.TempDir(), admin, psql, "-d", "github_agent", "-qc", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"), "lose everything")
	file := filepath.Join(t.TempDir(), "backup.sql")
	write(t, file, dump, 0o600)
	if r := run(t, t.TempDir(), admin, "sh", "-c", `"$0" -U postgres -d github_agent -v ON_ERROR_STOP=1 -q < "$1"`, psql, file); r.code != 0 {
		t.Errorf("restore: %s", r.stderr)
	}
	if code, _ := testenv.Start(t, testenv.Options{Ready: "/ready", Env: []string{"DATABASE_URL=" + database, "WEBHOOK_SECRET=0123456789abcdef0123456789abcdef"}}).Stop(t); code != 0 {
		t.Errorf("on the restored database the service ended with %d", code)
	}

	// The service's role is nobody elsewhere.
	as := []string{"PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(server.Port), "PGUSER=github_pr_manager", "PGPASSWORD=" + password}
	for _, statement := range []string{"CREATE ROLE intruder", "CREATE DATABASE more", "COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('/etc/hostname')", "ALTER SYSTEM SET log_statement = 'none'"} {
		if r := run(t, t.TempDir(), as, psql, "-d", "github_agent", "-c", statement); r.code == 0 {
			t.Errorf("the service's role may: %s", statement)
		}
	}
}

// postgresEnv is what docs/deploying.md exports on the host, with a server's address and password.
func postgresEnv(t *testing.T, server *testenv.PostgresServer) []string {
	t.Helper()
	superuser, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := superuser.User.Password()
	port := strconv.Itoa(server.Port)
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".env"), "GRAFANA_PASSWORD=other\nPOSTGRES_PASSWORD="+password+"\n", 0o600)
	script := replace(t, block(t, read(t, "docs/deploying.md"), "export PGHOST=localhost"), "PGPORT=5432", "PGPORT="+port)
	out := must(t, run(t, dir, nil, "sh", "-c", "set -eu\n"+script+"\nenv"), "export what docs/deploying.md says")
	var env []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "PG") {
			env = append(env, line)
		}
	}
	want := []string{"PGHOST=localhost", "PGPASSWORD=" + password, "PGPORT=" + port, "PGUSER=postgres"}
	if slices.Sort(env); !slices.Equal(env, want) {
		t.Fatalf("docs/deploying.md exports %d variables, want PGHOST, PGPASSWORD, PGPORT and PGUSER", len(env))
	}
	return env
}

// block returns the block of commands of a page that contains a text.
func block(t *testing.T, page, with string) string {
	t.Helper()
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if strings.Contains(m[1], with) {
			return m[1]
		}
	}
	t.Fatalf("no block of commands has %q", with)
	return ""
}

// Kubernetes takes every object, decoded strictly into its own types, and they say what they should.
func TestKubernetes(t *testing.T) {
	out := must(t, run(t, testenv.Root(t), nil, manifests(t), "kubernetes", "deploy/kubernetes"), "read deploy/kubernetes")
	var objects []struct {
		Kind     string
		Metadata struct{ Name, Namespace string }
		Spec     json.RawMessage
		Data     map[string]string
	}
	if err := json.Unmarshal([]byte(out), &objects); err != nil {
		t.Fatal(err)
	}
	specs := map[string]json.RawMessage{}
	for _, o := range objects {
		specs[o.Kind+" "+o.Metadata.Name] = o.Spec
		if o.Kind != "Namespace" && o.Metadata.Namespace != "github-pr-manager" {
			t.Errorf("%s %s is in the namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
		}
		for name := range o.Data {
			if !slices.Contains(settings(t), name) {
				t.Errorf("the ConfigMap has %s, which is no setting", name)
			}
		}
	}
	type probe struct {
		HTTPGet struct{ Path, Port string }
	}
	type pod struct {
		TerminationGracePeriodSeconds int
		AutomountServiceAccountToken  *bool
		TopologySpreadConstraints     []struct{ TopologyKey string }
		SecurityContext               struct{ RunAsNonRoot bool }
		Containers                    []struct {
			Image, Name                                 string
			Args                                        []string
			LivenessProbe, ReadinessProbe, StartupProbe probe
			SecurityContext                             struct {
				ReadOnlyRootFilesystem   bool
				AllowPrivilegeEscalation *bool
				Capabilities             struct{ Drop []string }
			}
			Resources struct{ Limits map[string]string }
			Env       []struct{ Name, Value string }
			Lifecycle struct {
				PreStop *struct{ Sleep *struct{ Seconds int } }
			}
		}
	}
	check := func(p pod) {
		t.Helper()
		if len(p.Containers) != 1 {
			t.Fatalf("a pod has %d containers", len(p.Containers))
		}
		c := p.Containers[0]
		if !p.SecurityContext.RunAsNonRoot || !c.SecurityContext.ReadOnlyRootFilesystem || c.SecurityContext.AllowPrivilegeEscalation == nil ||
			*c.SecurityContext.AllowPrivilegeEscalation || !slices.Equal(c.SecurityContext.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s: %+v", c.Name, c.SecurityContext)
		}
		if c.Resources.Limits["memory"] != "512Mi" || p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
			t.Errorf("%s: limits %v, automountServiceAccountToken %v", c.Name, c.Resources.Limits, p.AutomountServiceAccountToken)
		}
		if !slices.ContainsFunc(c.Env, func(e struct{ Name, Value string }) bool { return e.Name == "DATABASE_URL_FILE" }) {
			t.Errorf("%s names no database: each pod would make an SQLite file of its own", c.Name)
		}
	}
	decode(t, specs["Deployment github-pr-manager"], func(d struct {
		Replicas int
		Template struct{ Spec pod }
		Strategy struct {
			RollingUpdate struct{ MaxUnavailable, MaxSurge int }
		}
	},
	) {
		check(d.Template.Spec)
		c := d.Template.Spec.Containers[0]
		if d.Replicas != 3 || d.Strategy.RollingUpdate.MaxUnavailable != 0 || d.Template.Spec.TerminationGracePeriodSeconds != 30 || len(d.Template.Spec.TopologySpreadConstraints) < 1 {
			t.Errorf("Deployment: %+v", d)
		}
		if c.LivenessProbe.HTTPGet.Path != "/health" || c.ReadinessProbe.HTTPGet.Path != "/ready" || c.StartupProbe.HTTPGet.Path != "/health" || c.Lifecycle.PreStop == nil {
			t.Errorf("probes: liveness %v, readiness %v, startup %v; preStop %v", c.LivenessProbe, c.ReadinessProbe, c.StartupProbe, c.Lifecycle.PreStop)
		}
		if !slices.Equal(c.Args, []string{"serve"}) {
			t.Errorf("args = %v", c.Args)
		}
	})
	decode(t, specs["CronJob github-pr-manager-backup"], func(c struct {
		Schedule, ConcurrencyPolicy string
		JobTemplate                 struct {
			Spec struct{ Template struct{ Spec pod } }
		}
	},
	) {
		check(c.JobTemplate.Spec.Template.Spec)
		if got := c.JobTemplate.Spec.Template.Spec.Containers[0].Args; len(got) == 0 || got[0] != "backup" || c.ConcurrencyPolicy != "Forbid" {
			t.Errorf("CronJob: args %v, concurrencyPolicy %s", got, c.ConcurrencyPolicy)
		}
		if fields := strings.Fields(c.Schedule); len(fields) != 5 || fields[1] != "*" {
			t.Errorf("the backup runs at %q, want every hour", c.Schedule)
		}
	})
	decode(t, specs["PodDisruptionBudget github-pr-manager"], func(b struct{ MaxUnavailable int }) {
		if b.MaxUnavailable != 1 {
			t.Errorf("maxUnavailable = %d, want 1", b.MaxUnavailable)
		}
	})
	for _, want := range []string{"Service github-pr-manager", "Ingress github-pr-manager", "NetworkPolicy github-pr-manager", "ConfigMap github-pr-manager"} {
		if _, ok := specs[want]; !ok {
			t.Errorf("there is no %s, only %v", want, slices.Sorted(maps.Keys(specs)))
		}
	}

	// The example of a Secret is no part of it, and just as valid.
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secret.yaml"), read(t, "deploy/kubernetes/secret.example.yaml"), 0o600)
	write(t, filepath.Join(dir, "kustomization.yaml"), "resources: [secret.yaml]\n", 0o600)
	must(t, run(t, dir, nil, manifests(t), "kubernetes", "."), "read secret.example.yaml")
	// And the reader would tell: a misspelt field is no object of Kubernetes'.
	write(t, filepath.Join(dir, "secret.yaml"), replace(t, read(t, "deploy/kubernetes/secret.example.yaml"), "stringData:", "stringDate:"), 0o600)
	if r := run(t, dir, nil, manifests(t), "kubernetes", "."); r.code == 0 || !strings.Contains(r.stderr, "stringDate") {
		t.Errorf("with a misspelt field: exit code %d, %q, want it named", r.code, r.stderr)
	}
}

func decode[T any](t *testing.T, spec json.RawMessage, look func(T)) {
	t.Helper()
	var v T
	if err := json.Unmarshal(spec, &v); err != nil {
		t.Fatalf("%v in %s", err, spec)
	}
	look(v)
}
