package deploy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A newcomer goes through docs/deploying.md, from the clone to the signed delivery: the blocks of commands of its first part
// are executed one after the other, in one shell, as they stand there. What is different here:
//
//   - the clone is made from what is in this work tree, and paths of the machine (/etc, /usr/local, /var) are moved below a directory of the test's;
//   - the name is localhost, the port is a free one, and the certificate is signed by an authority of the test's own, which
//     stands for the real one: curl and the program verify it;
//   - the service's user is nobody, who exists everywhere, and nobody is made by useradd;
//   - systemd does not run in a test: `systemctl` is a few lines that start what the installed unit says (its ExecStart with its
//     Environment, EnvironmentFile, WorkingDirectory and User). That systemd takes the unit is tried in TestUnits.
func TestNewcomer(t *testing.T) {
	if testing.Short() {
		t.Skip("it clones and builds the program")
	}
	t.Parallel()
	if os.Geteuid() != 0 {
		testenv.Missing(t, "the page installs a service for another user; run the test as root")
	}
	for name, debian := range map[string]string{"git": "git", "make": "make", "curl": "curl", "openssl": "openssl", "setpriv": "util-linux"} {
		program(t, name, debian)
	}
	page := read(t, "docs/deploying.md")
	_, binary, _ := strings.Cut(page, "\n## The binary\n")
	binary, stackPart, found := strings.Cut(binary, "\n## The stack\n")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(binary, -1)
	if !found || len(blocks) < 6 {
		t.Fatalf("docs/deploying.md has %d blocks of commands for the binary: the test looks in the wrong place", len(blocks))
	}

	dir := t.TempDir()
	for up := dir; up != "/" && up != os.TempDir(); up = filepath.Dir(up) { // nobody has to get in
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	machine := filepath.Join(dir, "machine")
	for _, d := range []string{"etc/systemd/system", "usr/local/bin", "var/lib", "var/backups"} {
		if err := os.MkdirAll(filepath.Join(machine, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	authority(t, dir)
	port, upstream := strconv.Itoa(testenv.FreePort(t)), testenv.Upstream(t)

	move := func(text string) string {
		for _, p := range []string{"/etc/github-pr-manager", "/etc/systemd", "/usr/local/bin", "/var/lib/github-pr-manager", "/var/backups"} {
			text = strings.ReplaceAll(text, p, machine+p)
		}
		return text
	}
	var script strings.Builder
	for _, b := range blocks {
		script.WriteString(b[1])
	}
	text := script.String()
	for _, r := range [][2]string{
		{"NAME=pulls.example.com\n", "NAME=localhost\n"},
		{"CERTIFICATE=/etc/letsencrypt/live/$NAME/fullchain.pem", "CERTIFICATE=" + dir + "/fullchain.pem"},
		{"KEY=/etc/letsencrypt/live/$NAME/privkey.pem", "KEY=" + dir + "/privkey.pem"},
		{"git clone https://github.com/brandonlacoste9-tech/github-pr-manager ", "git clone --quiet file://" + upstream + " github-pr-manager "},
		{"-o github-pr-manager ", "-o nobody "},
		{"-g github-pr-manager ", "-g nogroup "},
		{"PORT=443\n", "PORT=" + port + "\n"},
		{"https://$NAME/", "https://$NAME:" + port + "/"},
	} {
		text = replace(t, text, r[0], r[1])
	}
	text = move(text)

	bin := filepath.Join(dir, "bin")
	write(t, filepath.Join(bin, "sudo"), "#!/bin/sh\nexec \"$@\"\n", 0o755)
	write(t, filepath.Join(bin, "useradd"), "#!/bin/sh\ntest \"$*\" = \"--system --user-group --home-dir "+machine+
		"/var/lib/github-pr-manager --shell /usr/sbin/nologin github-pr-manager\"\n", 0o755)
	write(t, filepath.Join(bin, "systemctl"), systemctl(t, machine, dir), 0o755)

	t.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(dir, "pid")); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("the service's output:\n%s", log)
		}
	})
	env := []string{
		"PATH=" + bin + ":" + filepath.Join(machine, "usr/local/bin") + ":" + os.Getenv("PATH"),
		"CURL_CA_BUNDLE=" + dir + "/authority.pem", "SSL_CERT_FILE=" + dir + "/authority.pem",
		// The clone may belong to somebody else than root.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GOPROXY=off", // what the build needs is here, or these tests could not run
	}
	write(t, filepath.Join(dir, "page.sh"), "set -euo pipefail\n"+text, 0o644)
	r := run(t, dir, env, "bash", "-x", "page.sh")
	if r.code != 0 {
		t.Fatalf("the commands of docs/deploying.md: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for _, want := range []string{`"status": "ready"`, "202 Accepted", `"status":"accepted"`} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the commands of docs/deploying.md print no %s:\n%s", want, r.stdout)
		}
	}

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(readFile(t, filepath.Join(dir, "authority.pem"))))
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	var res *http.Response
	for start := time.Now(); ; { // the page ends with a restart
		var err error
		if res, err = client.Get("https://localhost:" + port + "/webhook/stats"); err == nil {
			break
		}
		if time.Since(start) > 20*time.Second {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	// It is what the page says: another user's process, with its files closed to others, and a certificate that is verified.
	pid := strings.TrimSpace(readFile(t, filepath.Join(dir, "pid")))
	if status := readFile(t, "/proc/"+pid+"/status"); strings.Contains(status, "\nUid:\t0\t") {
		t.Error("the service runs as root")
	}
	for path, want := range map[string]os.FileMode{
		"etc/github-pr-manager/secrets": 0o750 | os.ModeDir, "etc/github-pr-manager/secrets/webhook-secret": 0o640, "etc/github-pr-manager/secrets/dashboard-token": 0o640,
		"etc/github-pr-manager/tls/privkey.pem": 0o640, "etc/github-pr-manager/github-pr-manager.env": 0o640, "var/backups/github-pr-manager": 0o700 | os.ModeDir,
	} {
		if info, err := os.Stat(filepath.Join(machine, path)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, info, err, want)
		}
	}
	if arguments := readFile(t, "/proc/"+pid+"/cmdline"); strings.Contains(arguments, strings.TrimSpace(readFile(t, filepath.Join(machine, "etc/github-pr-manager/secrets/webhook-secret")))) {
		t.Error("a secret is among the arguments")
	}
	defer res.Body.Close()
	var stats struct{ Total struct{ Received int } }
	if err := json.NewDecoder(res.Body).Decode(&stats); err != nil || stats.Total.Received != 1 {
		t.Errorf("/webhook/stats says %d received in all, %v, want the one delivery", stats.Total.Received, err)
	}

	// The backup that the timer starts, by the unit's own words.
	must(t, run(t, dir, env, filepath.Join(bin, "systemctl"), "start", "github-pr-manager-backup.service"), "start the backup")
	backups, err := filepath.Glob(filepath.Join(machine, "var/backups/github-pr-manager/github-pr-manager-*"))
	if err != nil || len(backups) < 1 {
		t.Errorf("the backup's unit left %v, %v", backups, err)
	}

	stackOfThePage(t, dir, upstream, stackPart)
}

// stackOfThePage executes the first block of the second part, which needs no Docker, and has Compose read what came of it.
func stackOfThePage(t *testing.T, dir, upstream, page string) {
	t.Helper()
	text := block(t, page, "cp .env.production .env")
	text = replace(t, text, "git clone https://github.com/brandonlacoste9-tech/github-pr-manager ", "git clone --quiet file://"+upstream+" github-pr-manager ")
	second := filepath.Join(dir, "second")
	if err := os.Mkdir(second, 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "NAME=localhost", "CERTIFICATE=" + dir + "/fullchain.pem", "KEY=" + dir + "/privkey.pem",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}
	must(t, run(t, second, env, "bash", "-euo", "pipefail", "-c", text), "prepare the stack")
	clone := filepath.Join(second, "github-pr-manager")
	for path, want := range map[string]string{
		".env": "600 0:0", "secrets": "700 65532:65532", "secrets/webhook-secret": "600 65532:65532", "secrets/alertmanager": "700 65534:65534",
		"deploy/tls/localhost.pem": "440 99:65532",
	} {
		if got := strings.TrimSpace(must(t, run(t, clone, nil, "stat", "-c", "%a %u:%g", path), "stat "+path)); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	p := project{dir: clone}
	for name := range readers {
		env := p.render(t, name, production).services["github-pr-manager"].Environment
		if len(env["DASHBOARD_TOKEN"]) != 48 {
			t.Errorf("%s: DASHBOARD_TOKEN has %d characters, want 48", name, len(env["DASHBOARD_TOKEN"]))
		}
	}
	if status := must(t, run(t, clone, env, "git", "status", "--porcelain"), "git status"); status != "" {
		t.Errorf("git would commit what nobody should: %s", status)
	}
	for _, m := range regexp.MustCompile(`(?m)^docker-compose .*$`).FindAllString(page, -1) {
		words := strings.Fields(m)
		if i := slices.Index(words, "--url"); i >= 0 {
			words = words[:i]
		}
		if r := p.compose(t, words[1:]...); r.code == 0 || !strings.Contains(r.stderr, "Error while fetching server API version") {
			t.Errorf("%s: exit code %d, %s, want that only the engine is missing", m, r.code, last(r.stderr))
		}
	}
}

// authority makes an authority and a certificate for localhost, as a company's own would.
func authority(t *testing.T, dir string) {
	t.Helper()
	const script = `set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=An authority of the test" -keyout authority.key -out authority.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout privkey.pem -out request.pem
printf 'subjectAltName=DNS:localhost\n' >names
openssl x509 -req -in request.pem -CA authority.pem -CAkey authority.key -CAcreateserial -days 30 -extfile names -out leaf.pem
cat leaf.pem authority.pem >fullchain.pem
chmod 600 privkey.pem`
	must(t, run(t, dir, nil, "sh", "-c", script), "make a certificate")
}

// systemctl is what stands for systemd: it starts what an installed unit says. What it knows nothing of fails.
func systemctl(t *testing.T, machine, dir string) string {
	t.Helper()
	setpriv := program(t, "setpriv", "util-linux")
	return fmt.Sprintf(`#!/usr/bin/env bash
set -euo pipefail
machine=%q dir=%q
value() { sed -n "s/^$2=//p" "$machine/etc/systemd/system/$1"; }
start() { # start UNIT COMMAND...: with the unit's environment, directory and user
  local unit=$1 environment=() line; shift
  test "$(value "$unit" User)" = github-pr-manager
  for line in $(value "$unit" Environment); do environment+=("${line/=\/etc/=$machine/etc}"); done
  environment=("${environment[@]/=\/var/=$machine/var}")
  while read -r line; do environment+=("$line"); done <"$machine$(value "$unit" EnvironmentFile)"
  install -d -o nobody -g nogroup -m "$(value "$unit" StateDirectoryMode)" "$machine/var/lib/$(value "$unit" StateDirectory)"
  cd "$machine$(value "$unit" WorkingDirectory)"
  umask 0077
  local command="$machine$(value "$unit" ExecStart)"
  # shellcheck disable=SC2016
  exec env -i "${environment[@]}" PATH=/usr/bin:/bin %s --reuid=nobody --regid=nogroup --clear-groups --no-new-privs \
    sh -c "exec $command"
}
case "$*" in
  daemon-reload) ;;
  "enable --now github-pr-manager github-pr-manager-backup.timer")
    test -s "$machine/etc/systemd/system/github-pr-manager-backup.timer"
    (start github-pr-manager.service) >"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid" ;;
  "restart github-pr-manager")
    kill -TERM "$(cat "$dir/pid")"
    while kill -0 "$(cat "$dir/pid")" 2>/dev/null; do sleep 0.1; done
    (start github-pr-manager.service) >>"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    disown ;;
  "start github-pr-manager-backup.service") (start github-pr-manager-backup.service) ;;
  *) echo "systemctl $*: nobody has said what that does" >&2; exit 1 ;;
esac
`, machine, dir, setpriv)
}
