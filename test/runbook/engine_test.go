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
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
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
// What it is not: there are no images. What one would start is in [launch], with this machine's programs; only the service's
// container has, as the Dockerfile says, nothing but the binary, the authorities and `kill`. Memory limits are read and
// shown, not set.
type engine struct {
	t       testing.TB
	dir     string                  // named volumes and roots of containers
	program func(tag string) string // the binary in the image of the service with that tag
	root    string                  // of the repository whose Dockerfile makes that image
	machine *machine                // what systemctl works on, if anything

	mu         sync.Mutex
	containers []*container
	composed   map[string]string  // what `docker-compose config` has said, by what was asked
	bridges    map[string]*bridge // by subnet
	last       int                // number of the last pair of interfaces
	closed     bool
}

// A bridge is a network of a project.
type bridge struct {
	network, name string
	subnet        netip.Prefix
	last          netip.Addr // that was given to somebody; the first is this machine's
}

// A container is one process of a project and what is known of it.
type container struct {
	name, project, service string
	number                 int
	spec                   service
	networks               []string // the first is the one that it has an address on
	subnet                 string
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

// defaultSubnet is that of networks for which the Compose file names none.
const defaultSubnet = "10.88.0.0/24"

// newEngine makes an engine without containers. The test must be inside [inOwnNetwork].
func newEngine(t testing.TB, root string, program func(tag string) string) *engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, dir: dir, root: root, program: program, bridges: map[string]*bridge{}, composed: map[string]string{}}
	if _, err := e.bridge("bridge", defaultSubnet); err != nil {
		testenv.Missing(t, "%v; the kernel needs bridge and veth", err)
	}
	if err := e.tools(); err != nil {
		t.Fatal(err)
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

// bridge returns a network, which it makes where there is none. As at Docker, two can't have the same addresses.
func (e *engine) bridge(network, subnet string) (*bridge, error) {
	p, err := netip.ParsePrefix(subnet)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.bridges {
		if b.network == network {
			return b, nil
		}
		if b.subnet.Overlaps(p) {
			return nil, fmt.Errorf("could not create network %s: Pool overlaps with other one on this address space", network)
		}
	}
	b := &bridge{network: network, name: "br" + strconv.Itoa(len(e.bridges)), subnet: p, last: p.Addr().Next()}
	for _, line := range []string{
		"link add " + b.name + " type bridge", "addr add " + b.last.String() + "/" + strconv.Itoa(p.Bits()) + " dev " + b.name, "link set " + b.name + " up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	e.bridges[subnet] = b
	return b, nil
}

// tools are the two programs of Alpine's images that health checks use and that this machine may lack.
func (e *engine) tools() error {
	dir := filepath.Join(e.dir, "busybox")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"wget": "#!/bin/sh\nfor last; do :; done\nexec curl -sf -o /dev/null \"$last\"\n",
		"nc":   "#!/bin/bash\nif [ \"$1\" = -z ]; then exec 3<>\"/dev/tcp/$2/$3\"; else exec 3<>\"/dev/tcp/$1/$2\" && cat >&3 && cat <&3; fi\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// confinement is what the first process of a container is told.
type confinement struct {
	Root, Address, Host string
	Gateway             string
	Mounts              []mount
	Scratch             bool // nothing of this machine's files
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
	br, err := e.bridge(c.networks[0], c.subnet)
	if err != nil {
		return err
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return errors.New("the engine has stopped")
	}
	// A new address with every start: nothing may rely on the old one.
	e.last++
	veth := "v" + strconv.Itoa(e.last)
	br.last = br.last.Next()
	c.ip = br.last.String()
	e.mu.Unlock()
	l.Address = c.ip + "/" + strconv.Itoa(br.subnet.Bits())
	l.Gateway = br.subnet.Addr().Next().String()
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
	for _, line := range []string{
		"link add " + veth + " type veth peer name eth0 netns " + strconv.Itoa(cmd.Process.Pid), "link set " + veth + " master " + br.name + " up",
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
		time.Sleep(min(100*time.Millisecond<<min(c.restarts-1, 10), time.Minute)) // as Docker does
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
	run := []string{nsenter(), "-t", strconv.Itoa(c.pid), "-m", "-n", "-p", "-u", "-i", "-r", "-w"}
	if l.UID != 0 {
		run = append(run, "-S", strconv.Itoa(l.UID), "-G", strconv.Itoa(l.GID))
	}
	return slices.Concat([]string{"env", "-i"}, l.Env, run, []string{"--"}, args)
}

// nsenter by its path, since PATH is the container's when it is looked for.
func nsenter() string {
	path, err := exec.LookPath("nsenter")
	if err != nil {
		return "nsenter"
	}
	return path
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
	for _, line := range []string{"link set lo up", "addr add " + l.Address + " dev eth0", "link set eth0 up", "route add default via " + l.Gateway} {
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
	if err := errors.Join(l.mount(), syscall.Sethostname([]byte(l.Host)), os.Chdir(l.Dir)); err != nil {
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
func (l *confinement) mount() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to itself: %w", err)
	}
	sources := map[string]int{} // volumes are opened before anything covers them
	for _, m := range l.Mounts {
		if m.Memory {
			continue
		}
		fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("volume %s: %w", m.Source, err)
		}
		sources[m.Source] = fd
	}
	if err := syscall.Mount("tmpfs", l.Root, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	layer := map[string]string{}
	for _, name := range []string{"upper", "work", "merged"} {
		layer[name] = filepath.Join(l.Root, name)
		if err := os.Mkdir(layer[name], 0o755); err != nil {
			return err
		}
	}
	root := layer["merged"]
	if l.Scratch {
		for _, dir := range []string{"etc", "proc", "dev"} {
			if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
				return err
			}
		}
		// A mount of its own, so that it can be read-only.
		if err := syscall.Mount(root, root, "", syscall.MS_BIND, ""); err != nil {
			return err
		}
	} else if err := syscall.Mount("overlay", root, "overlay", 0, "lowerdir=/,upperdir="+layer["upper"]+",workdir="+layer["work"]); err != nil {
		return fmt.Errorf("lay a file system over this machine's: %w", err)
	}
	for _, m := range []struct{ source, target, kind string }{{"proc", "proc", "proc"}, {"/dev", "dev", ""}} {
		flags := uintptr(0)
		if m.kind == "" {
			flags = syscall.MS_BIND | syscall.MS_REC
		}
		if err := syscall.Mount(m.source, filepath.Join(root, m.target), m.kind, flags, ""); err != nil {
			return fmt.Errorf("mount /%s: %w", m.target, err)
		}
	}
	// From here on paths are the container's, so that a link in them leads where it leads in there.
	if err := errors.Join(syscall.Chroot(root), os.Chdir("/"), os.RemoveAll("/etc/resolv.conf")); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"/etc/resolv.conf": "nameserver 127.0.0.11\noptions ndots:0\n", "/etc/hosts": "127.0.0.1 localhost\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, m := range l.Mounts {
		target := m.Target
		if m.Memory {
			if err := errors.Join(os.MkdirAll(target, 0o755), syscall.Mount("tmpfs", target, "tmpfs", 0, "mode=1777")); err != nil {
				return err
			}
			continue
		}
		info, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d", sources[m.Source]))
		if err != nil {
			return err
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
			return err
		}
		if err := syscall.Mount(fmt.Sprintf("/proc/self/fd/%d", sources[m.Source]), target, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("volume %s at %s: %w", m.Source, m.Target, err)
		}
		if m.ReadOnly {
			if err := syscall.Mount("", target, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				return fmt.Errorf("volume %s at %s, read-only: %w", m.Source, m.Target, err)
			}
		}
	}
	if l.ReadOnly {
		if err := syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("make the root read-only: %w", err)
		}
	}
	return nil
}

// killer is `kill` in a container: the test's own binary needs no library and no shell, as the program in the image does not.
func killer() int {
	how, target := syscall.SIGTERM, os.Args[len(os.Args)-1]
	if len(os.Args) == 3 {
		how = unix.SignalNum("SIG" + strings.TrimPrefix(strings.TrimPrefix(os.Args[1], "-"), "SIG"))
	}
	pid, err := strconv.Atoi(target)
	if err == nil && how != 0 {
		err = syscall.Kill(pid, how)
	}
	if err != nil || how == 0 {
		fmt.Fprintf(os.Stderr, "kill: %v: %v\n", os.Args[1:], err)
		return 1
	}
	return 0
}

// postgresImage is what the entrypoint of PostgreSQL's image does: an empty directory becomes a cluster with the user and the
// database of the environment and what the scripts of its directory add; a password for everybody who comes over the
// network, none for who is inside.
const postgresImage = `set -e
: "${POSTGRES_USER:=postgres}"
: "${POSTGRES_DB:=$POSTGRES_USER}"
export POSTGRES_USER POSTGRES_DB PGDATA=/var/lib/postgresql/data
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C --no-sync --no-instructions
  rm /tmp/password
  printf 'host all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql" -w -s start
  [ "$POSTGRES_DB" = postgres ] || psql -X -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
  for f in /docker-entrypoint-initdb.d/*; do
    case $f in
      *.sh) if [ -x "$f" ]; then "$f"; else . "$f"; fi ;;
      *.sql) psql -X -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$f" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w -s stop
fi
[ "$1" != postgres ] || shift
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql "$@"
`

// launch says what a container's image would start, and with what.
func (e *engine) launch(c *container) (l confinement, err error) {
	s := c.spec
	l.Dir, l.ReadOnly = "/", s.ReadOnly
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": c.name, "HOME": "/"}
	image, tag, _ := strings.Cut(s.Image, ":")
	as := "" // whom the image runs as
	args := slices.Concat(s.Entrypoint, s.Command)
	switch {
	case image == "postgres":
		env["PATH"] += ":" + filepath.Dir(testenv.PostgresTool(e.t, "psql"))
		l.Args = append([]string{"sh", "-c", postgresImage, "postgres"}, args...)
		as = "postgres"
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
		if l.Args[0] == "haproxy" { // the image's entrypoint does so
			l.Args = slices.Insert(l.Args, 1, "-W", "-db")
		}
	case image == "prom/prometheus":
		l.Dir = "/prometheus"
		l.Args = append([]string{"prometheus"}, args...)
	case image == "prom/alertmanager":
		l.Dir = "/alertmanager"
		l.Args = append([]string{"prometheus-alertmanager"}, args...)
	case image == serviceImage || image == serviceImage+"-backup":
		d, err := readDockerfile(filepath.Join(e.root, "Dockerfile"), s.Build.Target)
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
		if d.scratch {
			l.Scratch = true
			self, err := os.Executable()
			if err != nil {
				return l, err
			}
			if slices.Contains(d.copied, "/bin/kill") {
				l.Mounts = append(l.Mounts, mount{Source: self, Target: "/bin/kill", ReadOnly: true})
			}
			if slices.Contains(d.copied, "/tmp") {
				l.Mounts = append(l.Mounts, mount{Target: "/tmp", Memory: true})
			}
			if path := "/etc/ssl/certs/ca-certificates.crt"; slices.Contains(d.copied, path) {
				l.Mounts = append(l.Mounts, mount{Source: path, Target: path, ReadOnly: true})
			}
		}
		if image != serviceImage {
			env["PATH"] += ":" + filepath.Dir(testenv.PostgresTool(e.t, "psql")) // its base is PostgreSQL's image
		}
	default:
		return l, nil
	}
	if s.WorkingDir != "" {
		l.Dir = s.WorkingDir
	}
	if s.User != "" {
		as = s.User
	}
	if as != "" {
		if l.UID, l.GID, err = identify(as); err != nil {
			return l, err
		}
	}
	for name, value := range s.Environment {
		if value != nil {
			env[name] = fmt.Sprint(value)
		}
	}
	if !l.Scratch {
		l.Mounts = append(l.Mounts, mount{Source: filepath.Join(e.dir, "busybox"), Target: "/busybox", ReadOnly: true})
		env["PATH"] += ":/busybox"
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
	// What the Compose file puts at a place goes before what an image has there.
	slices.Reverse(l.Mounts)
	seen := map[string]bool{}
	l.Mounts = slices.DeleteFunc(l.Mounts, func(m mount) bool {
		again := seen[m.Target]
		seen[m.Target] = true
		return again
	})
	slices.SortStableFunc(l.Mounts, func(a, b mount) int { return strings.Count(a.Target, "/") - strings.Count(b.Target, "/") })
	return l, nil
}

// volume makes a named volume. What is mounted into an image's directory belongs to the image's user.
func (e *engine) volume(dir string, uid, gid int) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	return errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, uid, gid))
}

// identify returns the numbers of `user`, `user:group`, in either form.
func identify(as string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(as, ":")
	uid, err = strconv.Atoi(name)
	gid = uid
	if err != nil {
		u, err := user.Lookup(name)
		if err != nil {
			return 0, 0, fmt.Errorf("run as %s: %w", as, err)
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	if n, err := strconv.Atoi(group); err == nil {
		gid = n
	}
	return uid, gid, nil
}

// A dockerfile is what a stage of one says about running.
type dockerfile struct {
	entrypoint, command words
	program, dir        string
	env                 map[string]string
	uid, gid            int
	scratch             bool
	copied              []string // paths in the image
}

// readDockerfile reads a stage by its name; the last one has none to be asked for.
func readDockerfile(path, target string) (d dockerfile, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	joined := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(text), "")
	stages, stage := map[string]dockerfile{}, ""
	for line := range strings.Lines(strings.ReplaceAll(joined, "\\\n", " ")) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		switch strings.ToUpper(word) {
		case "FROM":
			stages[stage] = d
			f := slices.DeleteFunc(strings.Fields(rest), func(w string) bool { return strings.HasPrefix(w, "--") })
			d, stage = stages[f[0]], ""
			d.env = maps.Clone(d.env)
			if d.env == nil {
				d.env = map[string]string{}
			}
			if len(f) > 2 {
				stage = f[2]
			}
			d.scratch = d.scratch || f[0] == "scratch"
		case "COPY":
			f := strings.Fields(rest)
			d.copied = append(slices.Clip(d.copied), f[len(f)-1])
		case "ENTRYPOINT":
			d.entrypoint = nil
			err = json.Unmarshal([]byte(rest), &d.entrypoint)
		case "CMD":
			d.command = nil
			err = json.Unmarshal([]byte(rest), &d.command)
		case "WORKDIR":
			d.dir = rest
		case "ENV":
			for pair := range strings.FieldsSeq(rest) {
				if name, value, ok := strings.Cut(pair, "="); ok {
					d.env[name] = strings.Trim(value, `"`)
				}
			}
		case "USER":
			d.uid, d.gid, err = identify(rest)
		}
		if err != nil {
			return d, fmt.Errorf("%s: %s: %w", path, strings.TrimSpace(line), err)
		}
	}
	stages[stage] = d
	if target != "" {
		if _, ok := stages[target]; !ok {
			return d, fmt.Errorf("%s has no stage %s", path, target)
		}
		d = stages[target]
	}
	if len(d.entrypoint) == 0 {
		return d, fmt.Errorf("%s: the stage %q has no ENTRYPOINT", path, target)
	}
	d.program = d.entrypoint[0]
	if !filepath.IsAbs(d.program) {
		d.program = "/usr/local/bin/" + d.program
	}
	return d, nil
}
