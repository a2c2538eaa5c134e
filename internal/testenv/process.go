package testenv

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var build struct {
	once sync.Once
	path string
	err  error
}

// Binary returns the path of the program, built from the work tree once per test process, without cgo as it is
// shipped. TEST_BINARY names one to use instead (one built with -race, or a release).
func Binary(t testing.TB) string {
	t.Helper()
	build.once.Do(func() { build.path, build.err = buildBinary(Root(t)) })
	if build.err != nil {
		t.Fatalf("build the program: %v", build.err)
	}
	return build.path
}

// Build builds the program with more arguments for `go build`, such as -tags or -overlay, and returns its path. Unlike
// [Binary] it builds whenever it is called; the result is named by its content all the same.
func Build(t testing.TB, args ...string) string {
	t.Helper()
	path, err := goBuild(Root(t), args...)
	if err != nil {
		t.Fatalf("build the program with %q: %v", args, err)
	}
	return path
}

func buildBinary(root string) (string, error) {
	if path := os.Getenv("TEST_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	return goBuild(root)
}

// goBuild names the result by its content: test processes that run at the same time may share it, and no one overwrites
// a file that another is executing.
func goBuild(root string, args ...string) (string, error) {
	dir := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(dir, "build-*")
	if err != nil {
		return "", err
	}
	tmp.Close()
	defer os.Remove(tmp.Name())
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", tmp.Name()}, args, []string{"./cmd/github-pr-manager"})...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	content, err := os.ReadFile(tmp.Name())
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	path := filepath.Join(dir, "github-pr-manager-"+hex.EncodeToString(sum[:6]))
	if err := os.Rename(tmp.Name(), path); err != nil {
		return "", err
	}
	old, err := filepath.Glob(filepath.Join(dir, "github-pr-manager-*"))
	if err != nil {
		return "", err
	}
	for _, name := range old { // earlier builds, once no test run can still be using them
		if info, err := os.Stat(name); err == nil && name != path && time.Since(info.ModTime()) > 2*time.Hour {
			os.Remove(name)
		}
	}
	return path, nil
}

// Environ returns a small clean environment for a process of the program: PATH, an empty home directory, and the
// given NAME=value pairs. Nothing else of the test's own environment gets in.
func Environ(t testing.TB, pairs ...string) []string {
	t.Helper()
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TZ=UTC"}, pairs...)
}

// A Result is how a command ended.
type Result struct {
	Code           int // exit code; -1 if a signal ended it
	Stdout, Stderr string
	Took           time.Duration
}

// Run runs the program to its end in an empty directory with a clean environment and returns how it ended.
// One that has not ended after a minute fails the test.
func Run(t testing.TB, env []string, stdin string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = Environ(t, env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("github-pr-manager %s: %v after %v\n%s%s", strings.Join(args, " "), err, time.Since(start), &out, &errs)
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errs.String(), Took: time.Since(start)}
}

// Options say how to start a process. The zero value starts `serve` on a new SQLite file, without credentials.
type Options struct {
	Args []string // default: serve
	Env  []string // NAME=value; PORT and HOST are set to a free port on loopback unless they are given
	Dir  string   // working directory; default: a new empty one
	// Ready is the path that answers 200 when the process can be used; default: /health. Its answer may be degraded.
	Ready string
	// Files is how many file descriptors it may have; 0: as many as the test.
	Files int
	// Timeout is how long it may take until then; default: 15 s, generous for a busy machine.
	Timeout time.Duration
	// Binary is the program; default: that of [Binary].
	Binary string
	// NoWait returns as soon as the process exists. The caller finds out when it answers.
	NoWait bool
	// Quiet leaves the log of a failed test to the caller, who has many processes.
	Quiet bool
}

// A Process is a running program that [Start] started. It is killed when the test ends, if it hasn't been stopped.
type Process struct {
	URL   string        // http://127.0.0.1:port, or at the HOST that it was given; no slash at the end
	Dir   string        // its working directory
	Took  time.Duration // from start to the first 200
	cmd   *exec.Cmd
	logs  *logs
	ended chan struct{} // closed when the process is gone and its output is read
}

// Start starts the program and returns when it answers. If the test fails, its output is logged.
func Start(t testing.TB, o Options) *Process {
	t.Helper()
	if len(o.Args) == 0 {
		o.Args = []string{"serve"}
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Ready == "" {
		o.Ready = "/health"
	}
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	port := lookup(o.Env, "PORT")
	if port == "" {
		port = strconv.Itoa(FreePort(t))
		o.Env = append([]string{"PORT=" + port}, o.Env...)
	}
	host := "127.0.0.1"
	if given := lookup(o.Env, "HOST"); given == "" {
		o.Env = append([]string{"HOST=" + host}, o.Env...)
	} else if a, err := netip.ParseAddr(given); err == nil && a.IsLoopback() {
		host = given
	}

	p := &Process{
		URL: "http://" + net.JoinHostPort(host, port), Dir: o.Dir,
		logs: &logs{}, ended: make(chan struct{}),
	}
	if o.Binary == "" {
		o.Binary = Binary(t)
	}
	p.cmd = exec.Command(o.Binary, o.Args...)
	if o.Files > 0 {
		p.cmd = exec.Command("sh", append([]string{"-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(o.Files), o.Binary}, o.Args...)...)
	}
	p.cmd.Dir = o.Dir
	p.cmd.Env = Environ(t, o.Env...)
	p.cmd.Stdout, p.cmd.Stderr = p.logs, p.logs
	p.cmd.WaitDelay = 5 * time.Second
	start := time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start github-pr-manager %s: %v", strings.Join(o.Args, " "), err)
	}
	go func() {
		defer close(p.ended)
		p.cmd.Wait() // its result is read from ProcessState
	}()
	t.Cleanup(func() {
		if p.Running() {
			p.Kill(t)
		}
		if t.Failed() && !o.Quiet {
			t.Logf("output of github-pr-manager %s (%s):\n%s", strings.Join(o.Args, " "), p.cmd.ProcessState, p.Logs())
		}
	})

	if o.NoWait {
		return p
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		if !p.Running() {
			t.Fatalf("github-pr-manager %s ended before it was ready: %s", strings.Join(o.Args, " "), p.cmd.ProcessState)
		}
		// Asked for only after the process holds the port: a stranger who took it in between is never mistaken for it.
		if holds(p.PID(), port) {
			if res, err := client.Get(p.URL + o.Ready); err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					p.Took = time.Since(start)
					return p
				}
			}
		}
		if time.Since(start) > o.Timeout {
			t.Fatalf("github-pr-manager %s: %s did not answer 200 within %v", strings.Join(o.Args, " "), o.Ready, o.Timeout)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running reports whether it has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Signal sends it a signal.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %v to process %d: %v", s, p.PID(), err)
	}
}

// Kill ends it with SIGKILL, as the kernel or a power cut would, and returns when it is gone.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("kill process %d: %v", p.PID(), err)
	}
	<-p.ended
}

// Stop sends SIGTERM and waits for the end, at most the 25 s that the service promises and a little for the machine.
// It returns the exit code and how long that took.
func (p *Process) Stop(t testing.TB) (code int, took time.Duration) {
	t.Helper()
	start := time.Now()
	p.Signal(t, syscall.SIGTERM)
	return p.Wait(t, 28*time.Second), time.Since(start)
}

// Wait waits for the process to end by itself and returns its exit code, -1 if a signal ended it.
func (p *Process) Wait(t testing.TB, atMost time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(atMost):
		t.Fatalf("process %d is still running after %v", p.PID(), atMost)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Logs returns everything that it has written so far, stdout and stderr together.
func (p *Process) Logs() string { return p.logs.String() }

// RSS returns its resident memory in bytes.
func (p *Process) RSS(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID()))
	if err != nil {
		Missing(t, "memory of process %d can't be read: %v", p.PID(), err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		t.Fatalf("memory of process %d: unexpected %q", p.PID(), text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		t.Fatalf("memory of process %d: %v", p.PID(), err)
	}
	return pages * int64(os.Getpagesize())
}

// CPU returns the processor time that it has used, to a hundredth of a second.
func (p *Process) CPU(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		Missing(t, "processor time of process %d can't be read: %v", p.PID(), err)
	}
	// The name in parentheses may hold anything; utime and stime are the 12th and 13th field after it.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		t.Fatalf("processor time of process %d: unexpected %q", p.PID(), text)
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatalf("processor time of process %d: %v", p.PID(), err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
}

// FreePort returns a TCP port on loopback that nobody listened on a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// holds reports whether a process listens on a TCP port. Where the system doesn't tell (no /proc), it says yes.
func holds(pid int, port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return true
	}
	suffix := fmt.Sprintf(":%04X", n)
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			// sl local remote state queues timer retransmits uid timeout inode; state 0A is LISTEN
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], suffix) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		return true
	}
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(fds)
	if err != nil {
		return false // it has just ended, which the caller sees next
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && inodes[target] {
			return true
		}
	}
	return false
}

// lookup returns the value of the last NAME=value pair of a name, or "".
func lookup(pairs []string, name string) (value string) {
	for _, pair := range pairs {
		if n, v, _ := strings.Cut(pair, "="); n == name {
			value = v
		}
	}
	return value
}

// logs collects output that is read while it is written.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
