package testenv

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A RedisServer is a real Redis of a test's own, on a free port of loopback, with a password, in an empty directory.
// It can be killed and started again on the same port and files; it ends with the test.
type RedisServer struct {
	URL    string        // redis://:password@127.0.0.1:port
	Client *redis.Client // for the test itself: one try, no retry
	Port   int
	Dir    string // where it writes what it keeps

	password string
	args     []string
	cmd      *exec.Cmd
	over     chan struct{} // closed when the server has ended
}

// Redis starts a server with what config says beside the defaults, as command line arguments: "--appendonly", "yes".
// Without any, it keeps nothing over a restart.
func Redis(t testing.TB, config ...string) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		Missing(t, "redis-server is not installed; run: apt-get install redis-server")
	}
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	r := &RedisServer{Dir: dir, password: random(), args: config}
	t.Cleanup(func() {
		if r.Client != nil {
			_ = r.Client.Close()
		}
		r.Kill(t)
		_ = os.RemoveAll(dir)
	})
	for range 3 { // another process may take the free port first
		r.Port = FreePort(t)
		if err = r.start(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port))
	r.URL = "redis://:" + r.password + "@" + address
	r.Client = redis.NewClient(&redis.Options{Addr: address, Password: r.password, MaxRetries: -1, DialTimeout: time.Second})
	return r
}

func (r *RedisServer) start() error {
	log, err := os.OpenFile(filepath.Join(r.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd = exec.Command("redis-server", append([]string{
		"--port", strconv.Itoa(r.Port), "--bind", "127.0.0.1", "--requirepass", r.password, "--dir", r.Dir, "--save", "", "--appendonly", "no",
		"--daemonize", "no",
	}, r.args...)...)
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = r.Dir, log, log
	// The server must not outlive the tests, not even when they are killed: the kernel tells it.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.over = make(chan struct{})
	started, over := make(chan error), r.over
	go func() {
		runtime.LockOSThread() // the signal is sent when the thread ends that started the process
		defer close(over)
		err := r.cmd.Start()
		started <- err
		if err == nil {
			_ = r.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port)), Password: r.password, MaxRetries: -1})
	defer c.Close()
	for range 200 {
		// The password tells this server from a stranger's on the same port. Loading its files counts as up.
		if err = c.Ping(context.Background()).Err(); err == nil || redis.HasErrorPrefix(err, "LOADING") || redis.HasErrorPrefix(err, "MASTERDOWN") {
			return nil
		}
		select {
		case <-over:
			text, _ := os.ReadFile(filepath.Join(r.Dir, "log"))
			return errors.New("the server ended at once: " + string(text))
		case <-time.After(25 * time.Millisecond):
		}
	}
	return err
}

// Kill ends it with SIGKILL and returns when it is gone. One that is gone already stays so.
func (r *RedisServer) Kill(t testing.TB) {
	t.Helper()
	if r.cmd == nil || r.cmd.Process == nil {
		return
	}
	select {
	case <-r.over:
		return
	default:
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("kill redis-server: %v", err)
	}
	<-r.over
}

// Start starts it again, on the same port and files.
func (r *RedisServer) Start(t testing.TB) {
	t.Helper()
	var err error
	for range 20 { // the port may still be closing
		if err = r.start(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("start redis-server again: %v", err)
}

// Signal sends it a signal.
func (r *RedisServer) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %v to redis-server: %v", s, err)
	}
}
