package runbook

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A unit is a service of systemd's, run as its unit file says: command, working directory, environment, how it is reloaded and
// stopped, and whether it is started again. Its user and its confinement are left out: `systemd-analyze` judges these in test/deploy.
type unit struct {
	name, file string
	says       map[string][]string // the file's settings
	log        *logbook
	cmd        *exec.Cmd
	over       chan struct{}
	wanted     bool
	restarts   int
	code       int
}

// A machine is where units run, and their files are at their places.
type machine struct {
	t     testing.TB
	units map[string]*unit
}

// overlay makes directories of this machine the test's own: what it writes into them is gone with it. The test must be inside
// [inOwnNetwork], whose mounts nobody else sees.
func overlay(t testing.TB, dirs ...string) {
	t.Helper()
	top := t.TempDir()
	for i, dir := range dirs {
		layer := filepath.Join(top, fmt.Sprint(i))
		err := os.MkdirAll(layer, 0o755)
		if err == nil {
			err = syscall.Mount("tmpfs", layer, "tmpfs", 0, "mode=0755")
		}
		if err == nil {
			err = errors.Join(os.Mkdir(layer+"/upper", 0o755), os.Mkdir(layer+"/work", 0o755))
		}
		if err == nil {
			err = syscall.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+layer+"/upper,workdir="+layer+"/work")
		}
		if err != nil {
			t.Fatalf("have %s to itself: %v", dir, err)
		}
		t.Cleanup(func() {
			_ = errors.Join(syscall.Unmount(dir, syscall.MNT_DETACH), syscall.Unmount(layer, syscall.MNT_DETACH))
		})
	}
}

// load reads the unit files of a directory.
func load(t testing.TB, paths ...string) *machine {
	t.Helper()
	m := &machine{t: t, units: map[string]*unit{}}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		u := &unit{name: filepath.Base(path), file: path, says: map[string][]string{}, log: &logbook{}}
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
				u.says[name] = append(u.says[name], value)
			}
		}
		m.units[u.name] = u
		t.Cleanup(func() {
			u.wanted = false
			if u.running() {
				_ = u.cmd.Process.Kill()
				<-u.over
			}
			if t.Failed() {
				t.Logf("journal of %s:\n%s", u.name, u.log.text(time.Time{}, 60))
			}
		})
	}
	return m
}

func (u *unit) running() bool {
	if u.over == nil {
		return false
	}
	select {
	case <-u.over:
		return false
	default:
		return true
	}
}

// environ is what the unit's process gets.
func (u *unit) environ() (env []string, err error) {
	env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, line := range u.says["Environment"] {
		env = append(env, split(line)...)
	}
	for _, path := range u.says["EnvironmentFile"] {
		text, err := os.ReadFile(strings.TrimPrefix(path, "-"))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); strings.Contains(line, "=") && !strings.HasPrefix(line, "#") {
				env = append(env, line)
			}
		}
	}
	return env, nil
}

func (u *unit) start() error {
	if u.running() {
		return nil
	}
	env, err := u.environ()
	if err != nil {
		return err
	}
	args := split(first(u.says["ExecStart"]))
	for i, a := range args {
		args[i] = os.Expand(a, func(name string) string { return lookup(env, name) })
	}
	u.cmd = exec.Command(args[0], args[1:]...)
	u.cmd.Dir, u.cmd.Env = first(u.says["WorkingDirectory"]), env
	u.cmd.Stdout, u.cmd.Stderr = u.log, u.log
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, over, cmd := make(chan error), make(chan struct{}), u.cmd
	go func() {
		runtime.LockOSThread() // the signal is sent when the thread ends that started the process
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait()
		u.code = cmd.ProcessState.ExitCode()
		close(over)
		if u.wanted && first(u.says["Restart"]) == "on-failure" && u.code != 0 && !slices.Contains(u.says["RestartPreventExitStatus"], fmt.Sprint(u.code)) {
			u.restarts++
			time.Sleep(time.Second)
			_ = u.start()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	u.over, u.wanted = over, true
	if first(u.says["Type"]) == "oneshot" {
		u.wanted = false
		<-over
		if u.code != 0 {
			return fmt.Errorf("Job for %s failed because the control process exited with error code.", u.name) //nolint:staticcheck // systemd's words
		}
	}
	return nil
}

func (u *unit) stop() {
	u.wanted = false
	if !u.running() {
		return
	}
	_ = u.cmd.Process.Signal(unix.SignalNum(first(u.says["KillSignal"])))
	select {
	case <-u.over:
	case <-time.After(30 * time.Second):
		_ = u.cmd.Process.Kill()
		<-u.over
	}
}

func (u *unit) state() string {
	if u.running() {
		return "active (running)"
	}
	return "inactive (dead)"
}

// answer does what a command line of systemctl or journalctl says.
func (m *machine) answer(r request) (a answer, err error) {
	name, args := r.Args[0], r.Args[1:]
	opts, rest := options(args, true, "-u -o --since -n -s --signal -p --kill-who")
	if name == "journalctl" {
		u, err := m.find(first(opts["-u"]))
		if err != nil {
			return a, err
		}
		var since time.Time
		if s := first(opts["--since"]); s != "" {
			d, err := time.ParseDuration(strings.Replace(s, "in", "", 1))
			if err != nil {
				return a, err
			}
			since = time.Now().Add(d)
		}
		return answer{Stdout: u.log.text(since, 0)}, nil
	}
	if len(rest) < 2 {
		return a, errors.New("the stand-in for systemctl needs a verb and a unit")
	}
	u, err := m.find(rest[1])
	if err != nil {
		return a, err
	}
	switch rest[0] {
	case "start":
		err = u.start()
	case "stop":
		u.stop()
	case "restart":
		u.stop()
		err = u.start()
	case "reload":
		if !u.running() {
			return a, fmt.Errorf("%s is not active, cannot reload.", u.name) //nolint:staticcheck // systemd's words
		}
		line := strings.ReplaceAll(first(u.says["ExecReload"]), "$MAINPID", fmt.Sprint(u.cmd.Process.Pid))
		err = exec.Command("sh", "-c", line).Run()
	case "kill":
		err = u.cmd.Process.Signal(unix.SignalNum("SIG" + strings.TrimPrefix(first(slices.Concat(opts["-s"], opts["--signal"])), "SIG")))
	case "status":
		a.Stdout = fmt.Sprintf("● %s - %s\n     Loaded: loaded (%s)\n     Active: %s\n", u.name, first(u.says["Description"]), u.file, u.state())
		if !u.running() {
			a.Code = 3
		}
	case "show":
		a.Stdout = fmt.Sprintf("NRestarts=%d\nExecMainStatus=%d\n", u.restarts, u.code)
	case "list-timers":
		a.Stdout = fmt.Sprintf("%s, of %s\n", first(u.says["OnCalendar"]), u.name)
	default:
		err = fmt.Errorf("the stand-in for systemctl has no %q", rest[0])
	}
	return a, err
}

func (m *machine) find(name string) (*unit, error) {
	for _, suffix := range []string{"", ".service"} {
		if u, ok := m.units[name+suffix]; ok {
			return u, nil
		}
	}
	return nil, fmt.Errorf("Unit %s.service could not be found.", name) //nolint:staticcheck // systemd's words
}
