package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

type stage struct {
	Name, Base   string
	Instructions []instruction
}

type instruction struct {
	Name, Text, Form string
	Exec             []string
}

// all returns the instructions of a name.
func (s stage) all(name string) (found []instruction) {
	for _, i := range s.Instructions {
		if i.Name == name {
			found = append(found, i)
		}
	}
	return found
}

func (s stage) one(t *testing.T, name string) instruction {
	t.Helper()
	found := s.all(name)
	if len(found) != 1 {
		t.Fatalf("stage %s has %d times %s, want it once", s.Name, len(found), name)
	}
	return found[0]
}

// dockerfile is the Dockerfile as BuildKit's parser reads it, which also complains about nothing.
func dockerfile(t *testing.T) map[string]stage {
	t.Helper()
	r := run(t, testenv.Root(t), nil, manifests(t), "dockerfile", "Dockerfile")
	var stages []stage
	if err := json.Unmarshal([]byte(must(t, r, "read the Dockerfile")), &stages); err != nil {
		t.Fatal(err)
	}
	byName := map[string]stage{}
	for _, s := range stages {
		byName[s.Name] = s
	}
	if last := stages[len(stages)-1].Name; last != "service" {
		t.Errorf("the last stage, which `docker build` makes, is %s, want service", last)
	}
	return byName
}

func TestDockerfile(t *testing.T) {
	stages := dockerfile(t)
	service, backup := stages["service"], stages["backup"]
	if service.Base != "scratch" {
		t.Errorf("the service is made from %s, want nothing", service.Base)
	}
	if backup.Base != "postgres:15-alpine" {
		t.Errorf("backups are made from %s, want pg_dump of the version that the stack runs", backup.Base)
	}
	program := []string{"/usr/local/bin/github-pr-manager"}
	for _, s := range []stage{service, backup} {
		entry, cmd := s.one(t, "ENTRYPOINT"), s.one(t, "CMD")
		if entry.Form != "exec" || cmd.Form != "exec" || !slices.Equal(entry.Exec, program) {
			t.Errorf("stage %s: ENTRYPOINT %s %q, CMD %s %q, want the binary as process 1", s.Name, entry.Form, entry.Exec, cmd.Form, cmd.Exec)
		}
		if got := s.one(t, "USER").Text; got != "USER 65532:65532" {
			t.Errorf("stage %s: %s, want one that is not root", s.Name, got)
		}
		labels := s.one(t, "LABEL").Text
		for _, label := range []string{"title", "description", "source", "licenses", "version", "revision"} {
			if !strings.Contains(labels, "org.opencontainers.image."+label) {
				t.Errorf("stage %s has no label %s", s.Name, label)
			}
		}
	}
	if got := service.one(t, "CMD").Exec; !slices.Equal(got, []string{"serve"}) {
		t.Errorf("CMD = %q, want serve", got)
	}
	if got := service.one(t, "HEALTHCHECK"); got.Form != "exec" || !slices.Equal(got.Exec, []string{"CMD", program[0], "healthcheck"}) {
		t.Errorf("HEALTHCHECK = %s %q", got.Form, got.Exec)
	}
	if got := service.one(t, "EXPOSE").Text; got != "EXPOSE 3001" {
		t.Errorf("%s, want 3001", got)
	}
	if got := service.one(t, "VOLUME").Text; !strings.Contains(got, "/data") {
		t.Errorf("%s, want /data", got)
	}
	if len(service.all("RUN")) > 0 {
		t.Error("the service's stage runs something, and has no shell for it")
	}
	// What the stack does in its place is the same.
	compose := newProject(t).render(t, "compose-go", production)
	if got := compose.services["backup"].Command; !slices.Equal(got, backup.one(t, "CMD").Exec) {
		t.Errorf("the stack backs up with %q, the image with %q", got, backup.one(t, "CMD").Exec)
	}

	// And the reader would tell.
	dir := t.TempDir()
	for text, want := range map[string]string{"FROM scratch\nRUM true\n": "RUM", "FROM scratch\nMAINTAINER somebody\n": "MaintainerDeprecated"} {
		write(t, filepath.Join(dir, "Dockerfile"), text, 0o600)
		if r := run(t, dir, nil, manifests(t), "dockerfile", "Dockerfile"); r.code == 0 || !strings.Contains(r.stderr, want) {
			t.Errorf("a Dockerfile of %q: exit code %d, %q, want %s named", text, r.code, r.stderr, want)
		}
	}
}

// Only what the build reads gets to the builder: no secret, no history.
func TestDockerignore(t *testing.T) {
	var allowed []string
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			allowed = append(allowed, name)
		}
	}
	if !strings.Contains(read(t, ".dockerignore"), "\n*\n") {
		t.Error(".dockerignore does not leave everything outside first")
	}
	var copied []string
	for _, c := range dockerfile(t)["build"].all("COPY") {
		words := strings.Fields(c.Text)
		copied = append(copied, words[1:len(words)-1]...)
	}
	slices.Sort(allowed)
	slices.Sort(copied)
	if !slices.Equal(allowed, copied) {
		t.Errorf("the Dockerfile copies %v, and .dockerignore lets %v through", copied, allowed)
	}
}

// The image as its steps make it, without Docker: the commands of the Dockerfile are executed as they stand there, what the
// last stage copies becomes the root of a container, and that is started as Docker starts it: process 1, another user,
// a root that can't be written, no capabilities, and no environment but the image's.
func TestImage(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program")
	}
	t.Parallel()
	stages := dockerfile(t)
	out := t.TempDir()
	args := []string{"VERSION=v1.2.3", "REVISION=0123456789abcdef"}
	for _, step := range stages["build"].all("RUN") {
		command := step.Exec[0]
		if command == "go mod download" {
			continue // the modules are here
		}
		r := run(t, testenv.Root(t), args, "sh", "-ec", strings.ReplaceAll(command, "/out/", out+"/"))
		must(t, r, command)
	}
	version := must(t, run(t, out, nil, filepath.Join(out, "github-pr-manager"), "version"), "version")
	if !strings.Contains(version, "v1.2.3") || !strings.Contains(version, "0123456789abcdef") {
		t.Errorf("version = %q, want what the build was told", version)
	}
	if info, err := os.Stat(filepath.Join(out, "github-pr-manager")); err != nil || info.Size() > 64<<20 {
		t.Errorf("the binary: %v, %d bytes, want less than 64 MiB", err, info.Size())
	}
	if text := run(t, out, nil, "ldd", filepath.Join(out, "github-pr-manager")); text.code == 0 {
		t.Errorf("the binary is linked to %s, and the image has no libraries", text.stdout)
	}
	container(t, stages["service"], out)
}

// container makes the last stage's root and runs it.
func container(t *testing.T, s stage, out string) {
	t.Helper()
	if os.Geteuid() != 0 {
		testenv.Missing(t, "a container's root can be made by root only; run the test as root")
	}
	if r := run(t, out, nil, "unshare", "--mount", "--pid", "--fork", "true"); r.code != 0 {
		// The workflow does the same with a real engine.
		t.Skipf("nobody may make namespaces here, not even root: the image was built and not started (%s)", strings.TrimSpace(r.stderr))
	}
	busybox := program(t, "busybox", "busybox-static")
	if ldd := run(t, out, nil, "ldd", busybox); ldd.code == 0 {
		testenv.Missing(t, "busybox needs libraries, which the image has not; run: apt-get install busybox-static")
	}
	root := t.TempDir()
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.all("COPY") {
		words := strings.Fields(c.Text)
		from, to := words[len(words)-2], filepath.Join(root, words[len(words)-1])
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(from, "/out/"):
			from = filepath.Join(out, strings.TrimPrefix(from, "/out/"))
		case from == "/bin/busybox":
			from = busybox
		}
		must(t, run(t, out, nil, "cp", "-a", "--dereference", from, to), c.Text)
		if owner, ok := strings.CutPrefix(words[1], "--chown="); ok || strings.HasPrefix(words[2], "--chown=") {
			if !ok {
				owner = strings.TrimPrefix(words[2], "--chown=")
			}
			must(t, run(t, out, nil, "chown", "-R", owner, to), c.Text)
		}
	}
	var env []string
	for _, e := range s.all("ENV") {
		for _, pair := range strings.Fields(strings.TrimPrefix(e.Text, "ENV ")) {
			env = append(env, strings.ReplaceAll(pair, `"`, ""))
		}
	}
	// What Docker does: a root that can't be written, a volume with what the image has there, process 1 of its own, the image's
	// user, and no capabilities. The one thing that `docker run -p 3001:3001` adds is the port, which here must be a free one.
	const start = `set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
cp -a "$1/data" "$2"
mount --bind "$2" "$1/data"
root=$1; shift 2
exec setpriv --bounding-set=-all,+setuid,+setgid,+setpcap,+sys_chroot --inh-caps=-all chroot --userspec=65532:65532 --groups= "$root" "$@"`
	port := strconv.Itoa(testenv.FreePort(t))
	cmd := exec.Command("unshare", slices.Concat([]string{"--mount", "--pid", "--fork", "--kill-child", "sh", "-c", start, "sh", root, filepath.Join(out, "volume")},
		s.one(t, "ENTRYPOINT").Exec, s.one(t, "CMD").Exec)...)
	for _, e := range env {
		if !strings.HasPrefix(e, "PATH=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "PORT="+port, "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	output := filepath.Join(out, "output")
	log, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		// With its user, process 1 has lost its tie to unshare (--kill-child): it is ended by itself.
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		for _, pid := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
		_ = cmd.Process.Kill()
	})
	url := "http://127.0.0.1:" + port
	health := await(t, url+"/health", ended, output)
	if !strings.Contains(health, "degraded") {
		t.Errorf("/health = %s, want degraded: there is no secret", health)
	}
	pid := child(t, cmd.Process.Pid)
	status := readFile(t, "/proc/"+pid+"/status")
	for _, want := range []string{"\nUid:\t65532\t65532\t65532\t65532\n", "\nGid:\t65532\t65532\t65532\t65532\n", "\nCapEff:\t0000000000000000\n", "\nNSpid:\t" + pid + "\t1\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("the process has no %q in its status, want process 1 of nobody's:\n%s", want, status)
		}
	}

	// docker exec CONTAINER kill -USR2 1, and what is in HEALTHCHECK.
	inside := func(words ...string) result {
		return run(t, out, slices.Concat(env, []string{"PORT=" + port}), "nsenter", slices.Concat([]string{
			"--target", pid, "--mount", "--pid", "--root", "--wd", "--setgid", "65532", "--setuid", "65532", "--",
		}, words)...)
	}
	must(t, inside(s.one(t, "HEALTHCHECK").Exec[1:]...), "health check")
	must(t, inside("kill", "-USR2", "1"), "kill -USR2 1")
	profile := ""
	for start := time.Now(); profile == "" && time.Since(start) < 20*time.Second; {
		found, _ := filepath.Glob("/proc/" + pid + "/root/data/profiles/heap-*.pprof")
		if len(found) > 0 && strings.Contains(readFile(t, output), "heap-") {
			profile = found[0]
		}
	}
	if profile == "" {
		t.Errorf("kill -USR2 1 wrote no heap profile\n%s", readFile(t, output))
	}
	must(t, inside("kill", "-TERM", "1"), "kill -TERM 1")
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("after SIGTERM the container ended with %v\n%s", err, readFile(t, output))
		}
	case <-time.After(28 * time.Second):
		t.Errorf("the container runs 28 s after SIGTERM\n%s", readFile(t, output))
	}
}

// await asks until the answer is 200.
func await(t *testing.T, url string, ended <-chan error, output string) string {
	t.Helper()
	client := &http.Client{Timeout: time.Second}
	for start := time.Now(); time.Since(start) < 20*time.Second; {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, readFile(t, output))
		default:
		}
		if res, err := client.Get(url); err == nil {
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return string(body)
			}
		}
	}
	t.Fatalf("%s does not answer 200\n%s", url, readFile(t, output))
	return ""
}

// child returns the process id of the only child of a process.
func child(t *testing.T, pid int) string {
	t.Helper()
	text := readFile(t, "/proc/"+strconv.Itoa(pid)+"/task/"+strconv.Itoa(pid)+"/children")
	children := strings.Fields(text)
	if len(children) != 1 {
		t.Fatalf("process %d has the children %q, want one: %v", pid, text, errors.Join(syscall.Kill(pid, 0)))
	}
	return children[0]
}
