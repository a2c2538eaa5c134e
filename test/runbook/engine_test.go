package runbook

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// An engine does what Docker's engine does with a Compose project, as far as processes can show it: each container is a
// process in name spaces of its own (network, mounts, process ids), with an address on a bridge, names of services
// resolved at 127.0.0.11, the volumes of the Compose file at their places over this machine's files, the image's user,
// published ports, log, health check, restart policy and grace period. So the shipped Compose file, HAProxy's and
// Prometheus' configuration and the commands of a runbook are executed as they stand.
//
// What it is not: there are no images. A container sees this machine's programs, and what an image would start is in
// [launch]. Memory limits are read and shown, not set.
type engine struct {
	t       testing.TB
	dir     string                 // named volumes and roots of containers
	program func(tag string) string // the binary in the image of the service with that tag
	root    string                 // of the repository whose Dockerfile makes that image

	mu         sync.Mutex
	containers []*container
	composed   map[string]*project // answers of `docker-compose config`, by what was asked
	last       int                 // number of the last address
	closed     bool
}

// A container is one process of a project and what is known of it.
type container struct {
	name, project, service string
	number                 int
	spec                   service
	networks               []string
	secrets                map[string]string // path on this machine by name

	log      *logbook
	ip       string
	cmd      *exec.Cmd
	pid      int
	over     chan struct{}
	started  time.Time
	restarts int
	code     int
	wanted   bool // it should run: restart it when it ends by itself
	forwards []net.Listener
	resolver net.PacketConn
}

const (
	gateway = "10.88.0.1" // this side of the bridge
	prefix  = "10.88.0."
)

// newEngine makes the bridge. The test must be inside [inOwnNetwork].
func newEngine(t testing.TB, root string, program func(tag string) string) *engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, dir: dir, root: root, program: program, composed: map[string]*project{}, last: 1}
	for _, line := range []string{"link add br0 type bridge", "addr add " + gateway + "/24 dev br0", "link set br0 up"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			testenv.Missing(t, "ip %s: %v: %s; the kernel needs bridge and veth", line, err, out)
		}
	}
	t.Cleanup(func() {
		e.mu.Lock()
		e.closed = true
		all := slices.Clone(e.containers)
		e.mu.Unlock()
		for _, c := range all {
			e.kill(c)
		}
		if t.Failed() {
			for _, c := range all {
				t.Logf("log of %s:\n%s", c.name, c.log.text(time.Time{}, 60))
			}
		}
		_ = os.RemoveAll(dir)
	})
	return e
}

// confinement is what the first process of a container is told.
type confinement struct {
	Root, Address, Host string
	Mounts              []mount
	ReadOnly            bool
	Env, Args           []string
	Dir                 string
	UID, GID            int
}

type mount struct {
	Source, Target string
	ReadOnly       bool
	Memory         bool // a tmpfs
}

// start starts a container that does not run.
func (e *engine) start(c *container) error {
	l, err := e.launch(c)
	if err != nil {
		return err
	}
	if l.Args == nil { // an image of which nothing is here
		return nil
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return errors.New("the engine has stopped")
	}
	if c.ip == "" {
		e.last++
		c.ip = prefix + strconv.Itoa(e.last)
	}
	e.mu.Unlock()
	l.Address = c.ip
	l.Host = c.name
	l.Root = filepath.Join(e.dir, "roots", c.name)
	if err := os.MkdirAll(l.Root, 0o755); err != nil {
		return err
	}
	told, err := json.Marshal(l)
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "engine"), os.NewFile(uintptr(pair[1]), "container")
	defer ours.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = []string{"RUNBOOK_ROLE=container", "RUNBOOK_TOLD=" + string(told), "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	over, started := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // the signal is sent when the thread ends that started the process
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(over)
		}
	}()
	err = <-started
	theirs.Close()
	if err != nil {
		return fmt.Errorf("start container %s: %w", c.name, err)
	}
	veth := "v" + strings.TrimPrefix(c.ip, prefix)
	for _, line := range []string{
		"link add " + veth + " type veth peer name eth0 netns " + strconv.Itoa(cmd.Process.Pid), "link set " + veth + " master br0 up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			_ = cmd.Process.Kill()
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	resolver, err := converse(ours)
	if err != nil {
		_ = cmd.Process.Kill()
		<-over
		return fmt.Errorf("start container %s: %w\n%s", c.name, err, c.log.text(time.Time{}, 20))
	}
	e.mu.Lock()
	c.cmd, c.pid, c.over, c.started, c.wanted, c.resolver = cmd, cmd.Process.Pid, over, time.Now(), true, resolver
	e.mu.Unlock()
	go e.resolve(c, resolver)
	go e.supervise(c, cmd, over)
	return e.publish(c)
}

// converse lets the first process of a container go on, and takes the socket over that its names are asked at.
func converse(f *os.File) (net.PacketConn, error) {
	if _, err := f.Write([]byte{1}); err != nil {
		return nil, err
	}
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(f.Fd()), make([]byte, 1), control, 0)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) == 0 {
		return nil, errors.Join(errors.New("it ended before it had a network"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	socket := os.NewFile(uintptr(fds[0]), "resolver")
	defer socket.Close()
	resolver, err := net.FilePacketConn(socket)
	if err != nil {
		return nil, err
	}
	// The next thing is the end of the conversation: the program has replaced its first process.
	_, err = f.Read(make([]byte, 1))
	if !errors.Is(err, io.EOF) {
		return nil, errors.Join(errors.New("the container said more than it should"), err)
	}
	return resolver, nil
}

// supervise waits for the end of a container and starts it again where its policy says so.
func (e *engine) supervise(c *container, cmd *exec.Cmd, over chan struct{}) {
	<-over
	e.mu.Lock()
	c.code = cmd.ProcessState.ExitCode()
	for _, l := range c.forwards {
		l.Close()
	}
	c.resolver.Close()
	c.forwards = nil
	again := c.wanted && !e.closed && (c.spec.Restart == "always" || c.spec.Restart == "unless-stopped" || c.spec.Restart == "on-failure" && c.code != 0)
	if again {
		c.restarts++
	}
	e.mu.Unlock()
	if again {
		time.Sleep(100 * time.Millisecond) // as Docker does, before the first try
		if err := e.start(c); err != nil {
			fmt.Fprintf(c.log, "the engine: %v\n", err)
		}
	}
}

func (c *container) running() bool {
	if c.over == nil {
		return false
	}
	select {
	case <-c.over:
		return false
	default:
		return true
	}
}

// stop ends a container as `docker stop` does: its signal, its grace period, SIGKILL.
func (e *engine) stop(c *container) {
	e.mu.Lock()
	c.wanted = false
	e.mu.Unlock()
	if !c.running() {
		return
	}
	how := syscall.SIGTERM
	if s := unix.SignalNum(c.spec.StopSignal); s != 0 {
		how = s
	} else if strings.HasPrefix(c.spec.Image, "postgres:") {
		how = syscall.SIGINT // the image says so
	} else if strings.HasPrefix(c.spec.Image, "haproxy:") {
		how = syscall.SIGUSR1 // the image says so
	}
	_ = c.cmd.Process.Signal(how)
	grace, err := time.ParseDuration(c.spec.StopGracePeriod)
	if err != nil {
		grace = 10 * time.Second
	}
	select {
	case <-c.over:
	case <-time.After(grace):
		e.kill(c)
	}
}

func (e *engine) kill(c *container) {
	e.mu.Lock()
	c.wanted = false
	e.mu.Unlock()
	if c.running() {
		_ = c.cmd.Process.Kill()
		<-c.over
	}
}

// remove forgets a container that has ended.
func (e *engine) remove(c *container) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers = slices.DeleteFunc(e.containers, func(o *container) bool { return o == c })
	_ = os.RemoveAll(filepath.Join(e.dir, "roots", c.name))
}

// publish listens where the container's ports are published, and hands connections on.
func (e *engine) publish(c *container) error {
	for _, p := range c.spec.Ports {
		if p.Published == "" || p.Published == "0" || p.Protocol == "udp" {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(p.IP, p.Published))
		if err != nil {
			e.kill(c)
			return fmt.Errorf("driver failed programming external connectivity on endpoint %s: Bind for %s:%s failed: port is already allocated", c.name, p.IP, p.Published)
		}
		e.mu.Lock()
		c.forwards = append(c.forwards, l)
		e.mu.Unlock()
		go func() {
			for {
				from, err := l.Accept()
				if err != nil {
					return
				}
				go forward(from, net.JoinHostPort(c.ip, p.Target))
			}
		}()
	}
	return nil
}

// forward joins a connection with one to an address.
func forward(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		wg.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].(*net.TCPConn).CloseWrite()
		})
	}
	wg.Wait()
}

// resolve answers who is who on the networks of a container.
func (e *engine) resolve(c *container, socket net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := socket.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := e.answer(c, buf[:n]); answer != nil {
			_, _ = socket.WriteTo(answer, from)
		}
	}
}

// answer answers one question of the domain name system: an A record for each container that is meant, the error "no such
// name" for strangers, nothing for other kinds of records.
func (e *engine) answer(c *container, q []byte) []byte {
	if len(q) < 17 {
		return nil
	}
	var labels []string
	i := 12
	for i < len(q) && q[i] != 0 {
		n := int(q[i])
		if n > 63 || i+1+n >= len(q) {
			return nil
		}
		labels = append(labels, string(q[i+1:i+1+n]))
		i += 1 + n
	}
	i++
	if i+4 > len(q) {
		return nil
	}
	kind := binary.BigEndian.Uint16(q[i:])
	addresses := e.lookup(c, strings.ToLower(strings.Join(labels, ".")))
	flags := uint16(0x8180) // an answer, recursion asked for and available
	if len(addresses) == 0 {
		flags |= 3
	}
	if kind != 1 {
		addresses = nil
	}
	a := slices.Concat(q[:2], binary.BigEndian.AppendUint16(nil, flags), []byte{0, 1, 0, byte(len(addresses)), 0, 0, 0, 0}, q[12:i+4])
	for _, ip := range addresses {
		a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4)
		a = append(a, net.ParseIP(ip).To4()...)
	}
	return a
}

func (e *engine) lookup(c *container, name string) (addresses []string) {
	name = strings.TrimPrefix(name, "tasks.")
	e.mu.Lock()
	defer e.mu.Unlock()
	if name == "host.docker.internal" {
		return []string{gateway}
	}
	for _, o := range e.containers {
		shared := slices.ContainsFunc(o.networks, func(n string) bool { return slices.Contains(c.networks, n) })
		if shared && o.running() && (o.service == name || o.name == name || slices.Contains(o.spec.aliases(), name)) {
			addresses = append(addresses, o.ip)
		}
	}
	return addresses
}

// within are the arguments that run a command in a container as its user, or as root.
func (c *container) within(l confinement, args []string) []string {
	run := []string{"nsenter", "-t", strconv.Itoa(c.pid), "-m", "-n", "-p", "-u", "-i", "-r", "-w"}
	if l.UID != 0 {
		run = append(run, "-S", strconv.Itoa(l.UID), "-G", strconv.Itoa(l.GID))
	}
	return slices.Concat(run, []string{"--", "env", "-i"}, l.Env, args)
}

// healthy runs a container's health check once.
func (e *engine) healthy(c *container) (ok bool, said string) {
	test := c.spec.Healthcheck.Test
	if len(test) == 0 || test[0] == "NONE" {
		return c.running(), "no health check"
	}
	if !c.running() {
		return false, "it does not run"
	}
	l, err := e.launch(c)
	if err != nil {
		return false, err.Error()
	}
	args := slices.Clone(test[1:])
	if test[0] == "CMD-SHELL" {
		args = append([]string{"sh", "-c"}, args...)
	}
	run := c.within(l, args)
	cmd := exec.Command(run[0], run[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return err == nil, strings.TrimSpace(out.String())
}

// A logbook keeps a container's output by lines with their time, as Docker's json-file does.
type logbook struct {
	mu    sync.Mutex
	lines []entry
	rest  []byte
}

type entry struct {
	at   time.Time
	text string
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		l.lines = append(l.lines, entry{time.Now(), string(l.rest[:i])})
		l.rest = l.rest[i+1:]
	}
}

// text are the lines since a time, at most so many (0: all).
func (l *logbook) text(since time.Time, tail int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	for len(lines) > 0 && lines[0].at.Before(since) {
		lines = lines[1:]
	}
	if tail > 0 && len(lines) > tail {
		lines = lines[len(lines)-tail:]
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line.text + "\n")
	}
	return b.String()
}

// contained is the first process of a container: it makes the container's world around itself and becomes its program.
func contained() int {
	var l confinement
	err := json.Unmarshal([]byte(os.Getenv("RUNBOOK_TOLD")), &l)
	if err == nil {
		err = l.enter()
	}
	fmt.Fprintln(os.Stderr, "the container can't start:", err)
	return 125
}

func (l *confinement) enter() error {
	engine := os.NewFile(3, "engine")
	unix.CloseOnExec(3)
	if _, err := engine.Read(make([]byte, 1)); err != nil { // until there is a network
		return fmt.Errorf("wait for the network: %w", err)
	}
	for _, line := range []string{"link set lo up", "addr add " + l.Address + "/24 dev eth0", "link set eth0 up", "route add default via " + gateway} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	socket, err := net.ListenPacket("udp", "127.0.0.11:53")
	if err != nil {
		return err
	}
	f, err := socket.(*net.UDPConn).File()
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(int(engine.Fd()), []byte{1}, unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
		return err
	}
	f.Close()
	socket.Close()
	root, err := l.mount()
	if err != nil {
		return err
	}
	if err := errors.Join(syscall.Sethostname([]byte(l.Host)), syscall.Chroot(root), os.Chdir(l.Dir)); err != nil {
		return err
	}
	if l.UID != 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(l.GID), syscall.Setuid(l.UID)); err != nil {
			return err
		}
		// A change of the user clears it.
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
			return err
		}
	}
	for _, pair := range l.Env {
		if path, ok := strings.CutPrefix(pair, "PATH="); ok {
			os.Setenv("PATH", path)
		}
	}
	path, err := exec.LookPath(l.Args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, l.Args, l.Env)
}

// mount puts the container's files together: this machine's, under a layer of its own, and the volumes at their places.
func (l *confinement) mount() (root string, err error) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return "", fmt.Errorf("keep mounts to itself: %w", err)
	}
	sources := map[string]int{} // volumes are opened before anything covers them
	for _, m := range l.Mounts {
		if m.Memory {
			continue
		}
		fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", fmt.Errorf("volume %s: %w", m.Source, err)
		}
		sources[m.Source] = fd
	}
	if err := syscall.Mount("tmpfs", l.Root, "tmpfs", 0, "mode=0755"); err != nil {
		return "", err
	}
	layer := map[string]string{}
	for _, name := range []string{"upper", "work", "merged"} {
		layer[name] = filepath.Join(l.Root, name)
		if err := os.Mkdir(layer[name], 0o755); err != nil {
			return "", err
		}
	}
	root = layer["merged"]
	if err := syscall.Mount("overlay", root, "overlay", 0, "lowerdir=/,upperdir="+layer["upper"]+",workdir="+layer["work"]); err != nil {
		return "", fmt.Errorf("lay a file system over this machine's: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(root, "etc/resolv.conf")); err != nil {
		return "", err
	}
	for name, text := range map[string]string{
		"etc/resolv.conf": "nameserver 127.0.0.11\noptions ndots:0\n", "etc/hosts": "127.0.0.1 localhost\n" + l.Address + " " + l.Host + "\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	for _, m := range l.Mounts {
		target := filepath.Join(root, m.Target)
		if m.Memory {
			if err := errors.Join(os.MkdirAll(target, 0o755), syscall.Mount("tmpfs", target, "tmpfs", 0, "mode=1777")); err != nil {
				return "", err
			}
			continue
		}
		info, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d", sources[m.Source]))
		if err != nil {
			return "", err
		}
		if info.IsDir() {
			err = os.MkdirAll(target, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
			var f *os.File
			if f, err = os.OpenFile(target, os.O_CREATE, 0o755); err == nil {
				f.Close()
			}
		}
		if err != nil {
			return "", err
		}
		if err := syscall.Mount(fmt.Sprintf("/proc/self/fd/%d", sources[m.Source]), target, "", syscall.MS_BIND, ""); err != nil {
			return "", fmt.Errorf("volume %s at %s: %w", m.Source, m.Target, err)
		}
		if m.ReadOnly {
			if err := syscall.Mount("", target, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				return "", fmt.Errorf("volume %s at %s, read-only: %w", m.Source, m.Target, err)
			}
		}
	}
	for _, m := range []struct{ source, target, kind string }{{"proc", "proc", "proc"}, {"/dev", "dev", ""}} {
		flags := uintptr(0)
		if m.kind == "" {
			flags = syscall.MS_BIND | syscall.MS_REC
		}
		if err := syscall.Mount(m.source, filepath.Join(root, m.target), m.kind, flags, ""); err != nil {
			return "", fmt.Errorf("mount /%s: %w", m.target, err)
		}
	}
	if l.ReadOnly {
		if err := syscall.Mount("", root, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
			return "", fmt.Errorf("make the root read-only: %w", err)
		}
	}
	return root, nil
}

// postgresImage is what the entrypoint of PostgreSQL's image does: an empty directory becomes a cluster with the user and the
// database of the environment; a password for everybody who comes over the network, none for who is inside.
const postgresImage = `set -e
: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
: "${PGDATA:=/var/lib/postgresql/data}"
if [ -n "$POSTGRES_PASSWORD_FILE" ]; then POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); fi
mkdir -p "$PGDATA" /var/run/postgresql
chown -R postgres "$PGDATA" /var/run/postgresql
chmod 700 "$PGDATA"
as() { setpriv --reuid postgres --regid postgres --clear-groups -- env HOME=/tmp "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
  chown postgres /tmp/password
  as initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C --no-sync --no-instructions
  rm /tmp/password
  printf 'host all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
  as pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
  [ "$POSTGRES_DB" = postgres ] || as psql -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
  as pg_ctl -D "$PGDATA" -m fast -w stop
fi
[ "$1" != postgres ] || shift
exec setpriv --reuid postgres --regid postgres --clear-groups -- postgres -D "$PGDATA" -c listen_addresses='*' "$@"
`

// launch says what a container's image would start, and with what.
func (e *engine) launch(c *container) (l confinement, err error) {
	s := c.spec
	l.Dir, l.ReadOnly = "/", s.ReadOnly
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": c.name, "HOME": "/"}
	image, tag, _ := strings.Cut(s.Image, ":")
	args := slices.Concat(s.Entrypoint, s.Command)
	switch {
	case image == "postgres":
		env["PATH"] += ":" + filepath.Dir(testenv.PostgresTool(e.t, "psql"))
		l.Args = append([]string{"sh", "-c", postgresImage, "postgres"}, args...)
	case image == "redis":
		l.Dir = "/data"
		l.Args = args
		if len(args) == 0 || strings.HasPrefix(args[0], "-") {
			l.Args = append([]string{"redis-server"}, args...)
		}
		if l.Args[0] == "redis-server" {
			l.Args = append(l.Args, "--protected-mode", "no") // the image is built so
		}
	case image == "haproxy":
		l.Args = args
		if len(args) == 0 {
			l.Args = []string{"haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"}
		}
		l.Args = slices.Insert(l.Args, 1, "-W", "-db")
	case image == "prom/prometheus":
		l.Dir = "/prometheus"
		l.Args = append([]string{"prometheus"}, args...)
	case image == "prom/alertmanager":
		l.Dir = "/alertmanager"
		l.Args = append([]string{"prometheus-alertmanager"}, args...)
	case image == serviceImage:
		d, err := readDockerfile(filepath.Join(e.root, "Dockerfile"))
		if err != nil {
			return l, err
		}
		maps.Copy(env, d.env)
		l.Args = slices.Concat(d.entrypoint, d.command)
		if len(s.Command) > 0 {
			l.Args = slices.Concat(d.entrypoint, s.Command)
		}
		if len(s.Entrypoint) > 0 {
			l.Args = args
		}
		l.UID, l.GID = d.uid, d.gid
		if d.dir != "" {
			l.Dir = d.dir
		}
		l.Mounts = append(l.Mounts, mount{Source: e.program(tag), Target: d.program, ReadOnly: true})
		env["PATH"] += ":" + filepath.Dir(testenv.PostgresTool(e.t, "psql")) // pg_dump of the server's version is in the image
	default:
		return l, nil
	}
	if s.WorkingDir != "" {
		l.Dir = s.WorkingDir
	}
	if s.User != "" {
		uid, gid, _ := strings.Cut(s.User, ":")
		if n, err := strconv.Atoi(uid); err == nil {
			l.UID, l.GID = n, n
		} else if uid == "root" {
			l.UID, l.GID = 0, 0
		}
		if n, err := strconv.Atoi(gid); err == nil {
			l.GID = n
		}
	}
	for name, value := range s.Environment {
		if value != nil {
			env[name] = fmt.Sprint(value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		l.Env = append(l.Env, name+"="+env[name])
	}
	for _, v := range s.Volumes {
		source := v.Source
		if v.Type == "volume" {
			source = filepath.Join(e.dir, "volumes", c.project+"_"+v.Source)
			if err := e.volume(source, l.UID, l.GID); err != nil {
				return l, err
			}
		} else if _, err := os.Stat(source); err != nil { // Docker makes a directory of what is not there
			if err := os.MkdirAll(source, 0o755); err != nil {
				return l, err
			}
		}
		l.Mounts = append(l.Mounts, mount{Source: source, Target: v.Target, ReadOnly: v.ReadOnly, Memory: v.Type == "tmpfs"})
	}
	for _, target := range s.Tmpfs {
		target, _, _ = strings.Cut(target, ":")
		l.Mounts = append(l.Mounts, mount{Target: target, Memory: true})
	}
	for name, path := range c.secrets {
		l.Mounts = append(l.Mounts, mount{Source: path, Target: "/run/secrets/" + name, ReadOnly: true})
	}
	for _, dir := range []string{"/data", "/prometheus", "/alertmanager"} { // of images whose volume the file does not name
		if l.Dir == dir && !slices.ContainsFunc(l.Mounts, func(m mount) bool { return m.Target == dir }) {
			l.Mounts = append(l.Mounts, mount{Target: dir, Memory: true})
		}
	}
	return l, nil
}

// volume makes a named volume. What is mounted into an image's directory belongs to the image's user.
func (e *engine) volume(dir string, uid, gid int) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	return errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, uid, gid))
}

// A dockerfile is what the last stage of one says about running.
type dockerfile struct {
	entrypoint, command words
	program, dir        string
	env                 map[string]string
	uid, gid            int
}

func readDockerfile(path string) (d dockerfile, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	for line := range strings.Lines(joined) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		switch strings.ToUpper(word) {
		case "FROM":
			d = dockerfile{env: map[string]string{}}
		case "ENTRYPOINT":
			err = errors.Join(err, json.Unmarshal([]byte(rest), &d.entrypoint))
		case "CMD":
			err = errors.Join(err, json.Unmarshal([]byte(rest), &d.command))
		case "WORKDIR":
			d.dir = rest
		case "ENV":
			for pair := range strings.FieldsSeq(rest) {
				if name, value, ok := strings.Cut(pair, "="); ok {
					d.env[name] = strings.Trim(value, `"`)
				}
			}
		case "USER":
			uid, gid, _ := strings.Cut(rest, ":")
			if d.uid, err = strconv.Atoi(uid); err != nil {
				return d, fmt.Errorf("%s: USER %s is no number: Kubernetes can't see that it isn't root", path, rest)
			}
			if d.gid, err = strconv.Atoi(gid); err != nil {
				d.gid, err = d.uid, nil
			}
		}
	}
	if err == nil && len(d.entrypoint) == 0 {
		err = fmt.Errorf("%s has no ENTRYPOINT", path)
	}
	if err == nil {
		d.program = d.entrypoint[0]
		if !filepath.IsAbs(d.program) {
			d.program = "/usr/local/bin/" + d.program
		}
	}
	return d, err
}
