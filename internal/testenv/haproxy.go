package testenv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	crypto "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
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
)

// An HAProxyServer is a real HAProxy that runs the shipped deploy/haproxy.cfg as it is: everything that depends on the place
// is a variable there. Instead of Docker's DNS it asks one of the test's, which knows the replicas of both releases; each
// replica has a loopback address of its own, since they share a port as containers do:
//
//	h := testenv.HAProxy(t)
//	a := testenv.Start(t, testenv.Options{Env: append(h.Environ(1), …)})
//	h.Names("blue", 1)
//	h.Await(t, "blue", 1)
//
// It ends with the test.
type HAProxyServer struct {
	URL     string // plain HTTP, to the release that has the traffic
	TLS     string // the same by HTTPS; [HAProxyServer.Client] knows the certificate
	Green   string // plain HTTP to the green release, whoever has the traffic
	Metrics string // of HAProxy itself
	Port    int    // where replicas listen
	Dir     string // its files: live.map, tls/

	config  string
	network string // 127.x.y.
	env     []string
	dns     *names
	logs    *logs
	cmd     *exec.Cmd
	over    chan struct{} // closed when it has ended

	authority *x509.Certificate
	signer    *ecdsa.PrivateKey
}

// HAProxy starts an HAProxy with a certificate for localhost. It knows no replica yet, and blue has the traffic.
func HAProxy(t testing.TB) *HAProxyServer {
	t.Helper()
	if _, err := haproxyPath(); err != nil {
		Missing(t, "HAProxy is not installed; run: apt-get install haproxy")
	}
	dir, err := os.MkdirTemp("", "haproxy")
	if err != nil {
		t.Fatal(err)
	}
	h := &HAProxyServer{
		Port: FreePort(t), Dir: dir, config: HAProxyConfig(t), logs: &logs{},
		// A network of its own among the 16 million addresses of this machine: the port is free there.
		network: fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(256)),
	}
	h.dns, err = serveNames()
	if err != nil {
		t.Fatalf("start a name server: %v", err)
	}
	t.Cleanup(func() {
		h.Stop(t)
		h.dns.conn.Close()
		_ = os.RemoveAll(dir)
		if t.Failed() {
			t.Logf("output of HAProxy:\n%s", h.Logs())
		}
	})
	if err := errors.Join(h.authorize(), os.Mkdir(h.tls(), 0o755), os.WriteFile(h.LiveMap(), []byte("live blue\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	h.Certify(t)
	for range 3 { // another process may take a free port first
		var ports [5]string
		for i := range ports {
			ports[i] = strconv.Itoa(FreePort(t))
		}
		h.URL, h.TLS = "http://127.0.0.1:"+ports[0], "https://localhost:"+ports[1]
		h.Green, h.Metrics = "http://127.0.0.1:"+ports[2], "http://127.0.0.1:"+ports[3]
		h.env = []string{
			"PATH=" + os.Getenv("PATH"),
			"PLAIN_BIND=127.0.0.1:" + ports[0], "TLS_BIND=127.0.0.1:" + ports[1], "GREEN_BIND=127.0.0.1:" + ports[2],
			"METRICS_BIND=127.0.0.1:" + ports[3], "ADMIN_SOCKET=ipv4@127.0.0.1:" + ports[4],
			"TLS_DIRECTORY=" + h.tls(), "LIVE_MAP=" + h.LiveMap(), "DNS=" + h.dns.conn.LocalAddr().String(),
			fmt.Sprintf("BLUE=github-pr-manager:%d", h.Port), fmt.Sprintf("GREEN=github-pr-manager-green:%d", h.Port),
		}
		if err = h.start(); err == nil {
			return h
		}
	}
	t.Fatalf("start HAProxy: %v", err)
	return nil
}

// haproxyPath finds the program, which Debian puts where only root looks.
func haproxyPath() (string, error) {
	if path, err := exec.LookPath("haproxy"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/haproxy")
}

// HAProxyConfig is the path of the shipped configuration.
func HAProxyConfig(t testing.TB) string {
	t.Helper()
	return filepath.Join(Root(t), "deploy", "haproxy.cfg")
}

func (h *HAProxyServer) tls() string { return filepath.Join(h.Dir, "tls") }

// LiveMap is the file that says which release has the traffic.
func (h *HAProxyServer) LiveMap() string { return filepath.Join(h.Dir, "live.map") }

// AdminAddress is where it takes commands.
func (h *HAProxyServer) AdminAddress() string {
	return strings.TrimPrefix(lookup(h.env, "ADMIN_SOCKET"), "ipv4@")
}

// start starts it and returns when it answers.
func (h *HAProxyServer) start() error {
	path, err := haproxyPath()
	if err != nil {
		return err
	}
	h.cmd = exec.Command(path, "-W", "-db", "-f", h.config)
	h.cmd.Dir, h.cmd.Env, h.cmd.Stdout, h.cmd.Stderr = h.Dir, h.env, h.logs, h.logs
	h.cmd.WaitDelay = 5 * time.Second
	// It must not outlive the tests, not even when they are killed: the kernel tells it, and it tells its workers.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	h.over = make(chan struct{})
	started, over := make(chan error), h.over
	go func() {
		runtime.LockOSThread() // the signal is sent when the thread ends that started the process
		defer close(over)
		err := h.cmd.Start()
		started <- err
		if err == nil {
			_ = h.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	for range 400 {
		if _, err = h.ask("show info"); err == nil {
			return nil
		}
		select {
		case <-over:
			return errors.New("it ended at once: " + h.logs.String())
		case <-time.After(25 * time.Millisecond):
		}
	}
	return err
}

// Stop ends it at once, and returns when it is gone. One that has ended stays so.
func (h *HAProxyServer) Stop(t testing.TB) {
	t.Helper()
	if h.cmd == nil || h.cmd.Process == nil {
		return
	}
	select {
	case <-h.over:
		return
	default:
	}
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stop HAProxy: %v", err)
	}
	select {
	case <-h.over:
	case <-time.After(10 * time.Second):
		_ = h.cmd.Process.Kill()
		<-h.over
		t.Errorf("HAProxy was still running 10 s after SIGTERM, and was killed")
	}
}

// Start starts it again, on the same ports and files.
func (h *HAProxyServer) Start(t testing.TB) {
	t.Helper()
	if err := h.start(); err != nil {
		t.Fatalf("start HAProxy again: %v", err)
	}
}

// Reload has it read its configuration and certificates again, as SIGUSR2 does, and returns when the new worker answers.
func (h *HAProxyServer) Reload(t testing.TB) {
	t.Helper()
	before := h.worker(t)
	if err := h.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatalf("reload HAProxy: %v", err)
	}
	for range 400 {
		if h.worker(t) != before {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("HAProxy has no new worker 10 s after SIGUSR2:\n%s", h.Logs())
}

// worker is the process that answers; "" when none does.
func (h *HAProxyServer) worker(t testing.TB) string {
	t.Helper()
	text, err := h.ask("show info")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		if pid, ok := strings.CutPrefix(line, "Pid: "); ok {
			return strings.TrimSpace(pid)
		}
	}
	t.Fatalf("HAProxy's `show info` has no Pid:\n%s", text)
	return ""
}

// Check has HAProxy read its configuration and say what it has against it.
func (h *HAProxyServer) Check(t testing.TB) (string, error) {
	t.Helper()
	path, err := haproxyPath()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "-c", "-f", h.config)
	cmd.Env = h.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Logs returns everything that it has written so far.
func (h *HAProxyServer) Logs() string { return h.logs.String() }

// Admin gives it a command at its socket and returns the answer.
func (h *HAProxyServer) Admin(t testing.TB, command string) string {
	t.Helper()
	text, err := h.ask(command)
	if err != nil {
		t.Fatalf("HAProxy, %s: %v", command, err)
	}
	return text
}

func (h *HAProxyServer) ask(command string) (string, error) {
	c, err := net.DialTimeout("tcp", h.AdminAddress(), time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	if err == nil && len(text) == 0 {
		err = io.ErrUnexpectedEOF
	}
	return string(text), err
}

// Host is the loopback address of the replica with a number, 1 to 254.
func (h *HAProxyServer) Host(n int) string { return h.network + strconv.Itoa(n) }

// Replica is the URL of the replica with a number, past HAProxy.
func (h *HAProxyServer) Replica(n int) string {
	return fmt.Sprintf("http://%s:%d", h.Host(n), h.Port)
}

// Environ is what a replica with a number needs in its environment so that this HAProxy finds it and is believed.
func (h *HAProxyServer) Environ(n int) []string {
	return []string{"HOST=" + h.Host(n), fmt.Sprintf("PORT=%d", h.Port), "TRUSTED_PROXIES=127.0.0.0/8"}
}

// Names has the name server answer with these replicas when it is asked for a release, blue or green, as Docker's does
// with the containers that run. Without any, it has never heard of it.
func (h *HAProxyServer) Names(release string, replicas ...int) {
	name := "github-pr-manager"
	if release == "green" {
		name += "-green"
	}
	hosts := make([]string, len(replicas))
	for i, n := range replicas {
		hosts[i] = h.Host(n)
	}
	h.dns.set(name, hosts)
}

// A Backend is a line of HAProxy's statistics about one server of a backend, or about all of it (BACKEND).
type Backend struct {
	Backend, Name, Status, Check, Address string
	Sessions                              int // requests under way
}

// Servers are the servers of all backends that have an address, and the sums of the backends.
func (h *HAProxyServer) Servers(t testing.TB) []Backend {
	t.Helper()
	text := strings.TrimPrefix(h.Admin(t, "show stat"), "# ")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("HAProxy's statistics can't be read: %v\n%s", err, text)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var out []Backend
	for _, row := range rows[1:] {
		get := func(name string) string { return row[column[name]] }
		b := Backend{Backend: get("pxname"), Name: get("svname"), Status: get("status"), Check: get("check_status"), Address: get("addr")}
		b.Sessions, _ = strconv.Atoi(get("scur"))
		if b.Name == "BACKEND" || b.Address != "" {
			out = append(out, b)
		}
	}
	return out
}

// Ready is how many replicas of a release have passed their last check of /ready.
func (h *HAProxyServer) Ready(t testing.TB, release string) (n int) {
	t.Helper()
	for _, s := range h.Servers(t) {
		if s.Backend == release && s.Name != "BACKEND" && strings.HasPrefix(s.Status, "UP") && s.Check == "L7OK" {
			n++
		}
	}
	return n
}

// Await waits until exactly so many replicas of a release are ready in its eyes.
func (h *HAProxyServer) Await(t testing.TB, release string, n int) {
	t.Helper()
	got := -1
	for range 600 {
		if got = h.Ready(t, release); got == n {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("HAProxy finds %d replicas of %s ready after 30 s, want %d: %v", got, release, n, h.Servers(t))
}

// Switch runs deploy/switch on this HAProxy.
func (h *HAProxyServer) Switch(t testing.TB, args ...string) Result {
	t.Helper()
	cmd := exec.Command(filepath.Join(Root(t), "deploy", "switch"), args...)
	cmd.Dir = h.Dir
	cmd.Env = Environ(t, "HAPROXY_ADMIN="+h.AdminAddress(), "HAPROXY_MAP="+h.LiveMap())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("deploy/switch: %v", err)
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errs.String(), Took: time.Since(start)}
}

// Certify puts a new certificate for localhost in the place of the one that it has, and returns its serial number. It is
// served after [HAProxyServer.Reload].
func (h *HAProxyServer) Certify(t testing.TB) *big.Int {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crypto.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial := big.NewInt(rand.Int64())
	der, err := x509.CreateCertificate(crypto.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}, h.authority, key.Public(), h.signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	path := filepath.Join(h.tls(), "site.pem")
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	return serial
}

// Authority is the file of the authority that signs its certificates.
func (h *HAProxyServer) Authority() string { return filepath.Join(h.Dir, "authority.pem") }

// authorize makes the authority that signs its certificates.
func (h *HAProxyServer) authorize() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crypto.Reader)
	if err != nil {
		return err
	}
	h.authority = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(crypto.Reader, h.authority, h.authority, key.Public(), key)
	if err != nil {
		return err
	}
	h.signer = key
	if h.authority, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	return os.WriteFile(h.Authority(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// Client is a client with connections of its own, which trusts the certificates.
func (h *HAProxyServer) Client() *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(h.authority)
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 64, DisableCompression: true},
	}
}

// names is a name server that knows IPv4 addresses, and nothing else.
type names struct {
	conn  *net.UDPConn
	mu    sync.Mutex
	hosts map[string][]netip.Addr
}

func serveNames() (*names, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	n := &names{conn: conn, hosts: map[string][]netip.Addr{}}
	go func() {
		b := make([]byte, 4096)
		for {
			size, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return // closed
			}
			if answer := n.answer(b[:size]); answer != nil {
				_, _ = conn.WriteToUDPAddrPort(answer, from)
			}
		}
	}()
	return n, nil
}

func (n *names) set(name string, hosts []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[name] = nil
	for _, h := range hosts {
		n.hosts[name] = append(n.hosts[name], netip.MustParseAddr(h))
	}
}

// answer answers a query of one question, or is nil for what is none (RFC 1035, 4).
func (n *names) answer(query []byte) []byte {
	const head = 12
	if len(query) < head || binary.BigEndian.Uint16(query[4:]) != 1 {
		return nil
	}
	var labels []string
	at := head
	for at < len(query) && query[at] != 0 {
		end := at + 1 + int(query[at])
		if end > len(query) {
			return nil
		}
		labels = append(labels, string(query[at+1:end]))
		at = end
	}
	if at+5 > len(query) {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	n.mu.Lock()
	hosts := n.hosts[strings.ToLower(strings.Join(labels, "."))]
	n.mu.Unlock()
	code := uint16(0)
	if len(hosts) == 0 {
		code = 3 // no such name
	}
	if kind != 1 { // only A
		hosts = nil
	}
	out := slices.Clone(query[:at+5])
	binary.BigEndian.PutUint16(out[2:], 0x8180|code)
	binary.BigEndian.PutUint16(out[6:], uint16(len(hosts)))
	binary.BigEndian.PutUint16(out[8:], 0)
	binary.BigEndian.PutUint16(out[10:], 0)
	for _, h := range hosts {
		out = append(out, 0xc0, head, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4) // the name of the question, A, IN, one second, four bytes
		out = append(out, h.AsSlice()...)
	}
	return out
}
