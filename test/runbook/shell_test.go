package runbook

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// apart does, in name spaces of its own, what the stage will need: a network and its links, and a file system over this machine's.
const apart = `
ip link set lo up
ip link add probe type veth peer name eborp
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/merged
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/merged
mount -t proc proc /mnt/merged/proc
`

// inOwnNetwork runs the rest of a test in a process with a network and mounts of its own, so that localhost:3001,
// 5432, 6379 and 9090 are free whatever else this machine does, and each port is the one that the runbook names. It
// returns false in the process that waits for the other one: that has nothing more to do.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv("RUNBOOK_ROLE") == "inside" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("bring the network up: %v: %s", err, out)
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatalf("keep mounts to itself: %v", err)
		}
		return true
	}
	if os.Geteuid() != 0 {
		testenv.Missing(t, "only root may make a network in which the runbook's ports are free; run this test as root")
	}
	// What a machine forbids even to root (many containers, a chroot) can't be installed: a skip, and it says why.
	if out, err := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--pid", "--fork", "sh", "-ec", apart).CombinedOutput(); err != nil {
		t.Skipf("this machine gives a test no network and no mounts of its own, so the page is not typed here (%v: %s)", err, strings.TrimSpace(string(out)))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), "RUNBOOK_ROLE=inside", "TEST_BINARY="+testenv.Binary(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.Process == nil:
		testenv.Missing(t, "this machine makes no network of a test's own: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP: "+t.Name()+" "):
		t.Skipf("%s", out)
	default:
		t.Logf("%s", out)
	}
	return false
}

// A shell is a bash that lives as long as its test: what one command sets, the next ones see.
type shell struct {
	t   testing.TB
	dir string // where it keeps what commands print
	in  io.WriteCloser
	out *bufio.Reader
	cmd *exec.Cmd
}

// A result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("exit %d after %v\n%s%s", r.code, r.took.Round(time.Millisecond), r.stdout, r.stderr)
}

// newShell starts one in a directory. Commands are read from a pipe, ended by a NUL, so that each is exactly what the page says.
func newShell(t testing.TB, dir string, env []string) *shell {
	t.Helper()
	s := &shell{t: t, dir: t.TempDir()}
	s.cmd = exec.Command("bash", "-c", `while IFS= read -r -d '' command <&3; do eval "$command" <"$RUNBOOK_IO/in" >"$RUNBOOK_IO/out" 2>"$RUNBOOK_IO/err" 3<&- 4>&-; echo $? >&4; done`)
	s.cmd.Dir, s.cmd.Env = dir, append(env, "RUNBOOK_IO="+s.dir)
	commands, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, codes, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewReader(out)
	s.cmd.ExtraFiles = []*os.File{commands, codes}
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start bash: %v", err)
	}
	commands.Close()
	codes.Close()
	t.Cleanup(func() {
		in.Close()
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // with all that it left running
		_ = s.cmd.Wait()
		out.Close()
	})
	return s
}

// run executes a command and waits for its end, a minute at most.
func (s *shell) run(text, input string) (r result) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "in"), []byte(input), 0o600); err != nil {
		s.t.Fatal(err)
	}
	start := time.Now()
	if _, err := io.WriteString(s.in, text+"\x00"); err != nil {
		s.t.Fatalf("type %q: %v", text, err)
	}
	type said struct {
		line string
		err  error
	}
	answer := make(chan said, 1)
	go func() {
		line, err := s.out.ReadString('\n')
		answer <- said{line, err}
	}()
	select {
	case a := <-answer:
		code, err := strconv.Atoi(strings.TrimSpace(a.line))
		if a.err != nil || err != nil {
			s.t.Fatalf("%s: the shell ended: %v\n%s", text, a.err, s.read("err"))
		}
		r.code = code
	case <-time.After(time.Minute):
		s.t.Fatalf("%s: still running after a minute\n%s%s", text, s.read("out"), s.read("err"))
	}
	r.took, r.stdout, r.stderr = time.Since(start), s.read("out"), s.read("err")
	return r
}

func (s *shell) read(name string) string {
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
