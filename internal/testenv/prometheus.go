package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
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

// A PrometheusServer is a real Prometheus of a test's own, on a free port of loopback, in an empty directory. It ends
// with the test.
type PrometheusServer struct {
	URL string // http://127.0.0.1:port
	Dir string // where its configuration is; what that names is looked for here
	*watcher
}

// An AlertmanagerServer is a real Alertmanager of a test's own, alone in its cluster. It ends with the test.
type AlertmanagerServer struct {
	URL     string
	Address string // host:port, as a Prometheus' configuration names it
	Dir     string
	*watcher
}

// A Series is one element of a query's result.
type Series struct {
	Labels map[string]string `json:"metric"`
	Value  float64
}

// An Alert is one that is pending or firing in a Prometheus.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"` // pending or firing
	ActiveAt    time.Time         `json:"activeAt"`
	Value       string            `json:"value"`
}

// Name is the alert's name.
func (a Alert) Name() string { return a.Labels["alertname"] }

// A Target is one that a Prometheus scrapes.
type Target struct {
	Labels    map[string]string `json:"labels"`
	ScrapeURL string            `json:"scrapeUrl"`
	Health    string            `json:"health"` // up, down or unknown
	LastError string            `json:"lastError"`
}

// Prometheus starts a server with the text of its configuration and with files beside it, by name: rules, targets.
func Prometheus(t testing.TB, config string, files map[string]string, args ...string) *PrometheusServer {
	t.Helper()
	w := watch(t, "prometheus", config, files, func(dir, config, address string) []string {
		return append([]string{
			"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address, "--log.level=warn",
		}, args...)
	}, "prometheus")
	return &PrometheusServer{URL: w.url, Dir: w.dir, watcher: w}
}

// Alertmanager starts a server with the text of its configuration and with files beside it, by name.
func Alertmanager(t testing.TB, config string, files map[string]string) *AlertmanagerServer {
	t.Helper()
	w := watch(t, "alertmanager", config, files, func(dir, config, address string) []string {
		return []string{
			"--config.file=" + config, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address,
			"--cluster.listen-address=", "--log.level=warn",
		}
	}, "prometheus-alertmanager", "alertmanager") // Debian's name, and its makers'
	return &AlertmanagerServer{URL: w.url, Address: strings.TrimPrefix(w.url, "http://"), Dir: w.dir, watcher: w}
}

// MonitoringTool runs promtool or amtool in a directory to its end, and returns what it said and whether it was content.
func MonitoringTool(t testing.TB, dir, name string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		Missing(t, "%s is not installed; run: apt-get install prometheus prometheus-alertmanager", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, Environ(t)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Query returns the result of an instant query, a vector or a scalar.
func (p *PrometheusServer) Query(t testing.TB, expr string) []Series {
	t.Helper()
	all, err := p.TryQuery(expr)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TryQuery is [PrometheusServer.Query] for queries that may be wrong.
func (p *PrometheusServer) TryQuery(expr string) ([]Series, error) {
	var res struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	}
	if err := p.get("/api/v1/query?query="+url.QueryEscape(expr), &res); err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	value := func(pair [2]any) float64 {
		text, _ := pair[1].(string)
		f, _ := strconv.ParseFloat(text, 64)
		return f
	}
	switch res.Type {
	case "vector":
		var vector []struct {
			Series
			Value [2]any `json:"value"`
		}
		if err := json.Unmarshal(res.Result, &vector); err != nil {
			return nil, fmt.Errorf("query %s: %w", expr, err)
		}
		all := make([]Series, len(vector))
		for i, v := range vector {
			all[i] = Series{Labels: v.Labels, Value: value(v.Value)}
		}
		return all, nil
	case "scalar":
		var pair [2]any
		if err := json.Unmarshal(res.Result, &pair); err != nil {
			return nil, fmt.Errorf("query %s: %w", expr, err)
		}
		return []Series{{Value: value(pair)}}, nil
	}
	return nil, fmt.Errorf("query %s: the result is a %s, want a vector or a scalar", expr, res.Type)
}

// Alerts returns all alerts that are pending or firing.
func (p *PrometheusServer) Alerts(t testing.TB) []Alert {
	t.Helper()
	var res struct{ Alerts []Alert }
	if err := p.get("/api/v1/alerts", &res); err != nil {
		t.Fatal(err)
	}
	return res.Alerts
}

// Targets returns all that is scraped.
func (p *PrometheusServer) Targets(t testing.TB) []Target {
	t.Helper()
	var res struct {
		Active []Target `json:"activeTargets"`
	}
	if err := p.get("/api/v1/targets?state=active", &res); err != nil {
		t.Fatal(err)
	}
	return res.Active
}

// WaitForAlert returns the first alert of that name in that state which ok accepts (nil: any), or fails the test.
func (p *PrometheusServer) WaitForAlert(t testing.TB, name, state string, ok func(Alert) bool, atMost time.Duration) Alert {
	t.Helper()
	var found Alert
	Until(t, fmt.Sprintf("alert %s is %s", name, state), atMost, func() bool {
		i := slices.IndexFunc(p.Alerts(t), func(a Alert) bool {
			found = a
			return a.Name() == name && a.State == state && (ok == nil || ok(a))
		})
		return i >= 0
	})
	return found
}

// WaitForData waits until a query has a result.
func (p *PrometheusServer) WaitForData(t testing.TB, expr string, atMost time.Duration) []Series {
	t.Helper()
	var all []Series
	Until(t, "there is data for "+expr, atMost, func() bool {
		all = p.Query(t, expr)
		return len(all) > 0
	})
	return all
}

// get reads an answer of Prometheus' API.
func (p *PrometheusServer) get(path string, data any) error {
	res, err := http.Get(p.URL + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var a struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		return fmt.Errorf("GET %s: %s: %w", path, res.Status, err)
	}
	if a.Status != "success" {
		return errors.New(a.Error)
	}
	return json.Unmarshal(a.Data, data)
}

// Notices are what an Alertmanager has sent to a webhook receiver. [ReceiveNotices] makes one.
type Notices struct {
	URL string // to put into the Alertmanager's configuration; a path may be added to tell receivers apart

	mu  sync.Mutex
	all []Notice
}

// A Notice is one notification: what happened to a group of alerts.
type Notice struct {
	Path        string            `json:"-"` // that it was sent to
	At          time.Time         `json:"-"`
	Receiver    string            `json:"receiver"`
	Status      string            `json:"status"` // firing or resolved
	Alerts      []NoticeAlert     `json:"alerts"`
	GroupLabels map[string]string `json:"groupLabels"`
}

// A NoticeAlert is one of the alerts of a notification.
type NoticeAlert struct {
	Status      string            `json:"status"` // firing or resolved
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// ReceiveNotices listens for notifications until the test ends.
func ReceiveNotices(t testing.TB) *Notices {
	t.Helper()
	n := &Notices{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := Notice{Path: r.URL.Path, At: time.Now()}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Errorf("a notification is not JSON: %v", err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.all = append(n.all, got)
	}))
	t.Cleanup(s.Close)
	n.URL = s.URL
	return n
}

// All returns the notifications so far, the oldest first.
func (n *Notices) All() []Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// A watcher is a server of the Prometheus family.
type watcher struct {
	url, dir string
	cmd      *exec.Cmd
	over     chan struct{} // closed when it has ended
}

// watch starts the first of the programs that is installed.
func watch(t testing.TB, kind, config string, files map[string]string, args func(dir, config, address string) []string, programs ...string) *watcher {
	t.Helper()
	i := slices.IndexFunc(programs, func(p string) bool { _, err := exec.LookPath(p); return err == nil })
	if i < 0 {
		Missing(t, "%s is not installed; run: apt-get install %s", programs[0], programs[0])
	}
	dir, err := os.MkdirTemp("", kind)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{dir: dir}
	t.Cleanup(func() {
		w.Kill(t)
		if t.Failed() {
			t.Logf("%s's log:\n%s", kind, w.Log())
		}
		_ = os.RemoveAll(dir)
	})
	path := filepath.Join(dir, kind+".yml")
	for name, text := range files {
		w.Write(t, name, text)
	}
	w.Write(t, kind+".yml", config)
	for range 3 { // another process may take the free port first
		port := strconv.Itoa(FreePort(t))
		address := net.JoinHostPort("127.0.0.1", port)
		if err = w.start(programs[i], port, args(dir, path, address)); err == nil {
			w.url = "http://" + address
			return w
		}
	}
	t.Fatalf("start %s: %v\n%s", programs[i], err, w.Log())
	return nil
}

func (w *watcher) start(program, port string, args []string) error {
	log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	w.cmd = exec.Command(program, args...)
	w.cmd.Dir, w.cmd.Stdout, w.cmd.Stderr = w.dir, log, log
	// The server must not outlive the tests, not even when they are killed: the kernel tells it.
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	w.over = make(chan struct{})
	started, over := make(chan error), w.over
	go func() {
		runtime.LockOSThread() // the signal is sent when the thread ends that started the process
		defer close(over)
		err := w.cmd.Start()
		started <- err
		if err == nil {
			_ = w.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	client := &http.Client{Timeout: time.Second}
	for range 600 {
		// Asked only once the process holds the port: a stranger who took it in between is never mistaken for it.
		if holds(w.cmd.Process.Pid, port) {
			if res, err := client.Get("http://" + net.JoinHostPort("127.0.0.1", port) + "/-/ready"); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					return nil
				}
			}
		}
		select {
		case <-over:
			return errors.New("the server ended at once")
		case <-time.After(50 * time.Millisecond):
		}
	}
	_ = w.cmd.Process.Kill()
	<-over
	return errors.New("the server was not ready within 30 s")
}

// Write writes a file beside the configuration, at once: a server that reads it meanwhile finds the old one or the new.
func (w *watcher) Write(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// Log is everything that the server has logged: warnings and errors.
func (w *watcher) Log() string {
	text, err := os.ReadFile(filepath.Join(w.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Kill ends it and returns when it is gone. One that is gone already stays so.
func (w *watcher) Kill(t testing.TB) {
	t.Helper()
	if w.cmd == nil || w.cmd.Process == nil {
		return
	}
	select {
	case <-w.over:
		return
	default:
	}
	if err := w.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("kill %s: %v", w.cmd.Path, err)
	}
	<-w.over
}
