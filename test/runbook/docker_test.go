package runbook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sys/unix"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// serviceImage is the image of the service, without its tag.
const serviceImage = "github-pr-manager-enhanced"

// A project is what `docker-compose config` prints: the file with its variables replaced and its paths made absolute.
type project struct {
	Services map[string]service
	Volumes  map[string]any
	Networks map[string]*network
	Secrets  map[string]struct{ File string }
}

type network struct {
	Name string
	IPAM struct{ Config []struct{ Subnet string } } `yaml:"ipam"`
}

type service struct {
	Image           string
	Build           struct{ Target string }
	Command         words
	Entrypoint      words
	Environment     map[string]any
	Ports           []port
	Volumes         []volume
	Tmpfs           words
	DependsOn       map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck     struct{ Test words }
	Networks        map[string]*struct{ Aliases []string }
	Secrets         []struct{ Source, Target string }
	Profiles        []string
	User            string
	WorkingDir      string `yaml:"working_dir"`
	StopSignal      string `yaml:"stop_signal"`
	StopGracePeriod string `yaml:"stop_grace_period"`
	Restart         string
	MemLimit        string `yaml:"mem_limit"`
	ReadOnly        bool   `yaml:"read_only"`
	Scale           int
}

func (s service) aliases() (all []string) {
	for _, n := range s.Networks {
		if n != nil {
			all = append(all, n.Aliases...)
		}
	}
	return all
}

// words are a list, or a line as a shell would split it.
type words []string

func (w *words) UnmarshalYAML(into func(any) error) error {
	var list []string
	if into(&list) == nil {
		*w = list
		return nil
	}
	var line string
	if err := into(&line); err != nil {
		return err
	}
	*w = split(line)
	return nil
}

// split splits a line at spaces outside quotes.
func split(line string) (all []string) {
	var word strings.Builder
	quote, within := rune(0), false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, within = r, true
		case quote == 0 && (r == ' ' || r == '\n'):
			if within {
				all = append(all, word.String())
			}
			word.Reset()
			within = false
		default:
			word.WriteRune(r)
			within = true
		}
	}
	if within {
		all = append(all, word.String())
	}
	return all
}

// A port is `127.0.0.1:3001:3001/tcp`, or the same as a map.
type port struct{ IP, Published, Target, Protocol string }

func (p *port) UnmarshalYAML(into func(any) error) error {
	var long struct {
		Published, Target any
		Protocol          string
		HostIP            string `yaml:"host_ip"`
	}
	if into(&long) == nil && long.Target != nil {
		*p = port{long.HostIP, fmt.Sprint(long.Published), fmt.Sprint(long.Target), long.Protocol}
		return nil
	}
	var short string
	if err := into(&short); err != nil {
		return err
	}
	short, p.Protocol, _ = strings.Cut(short, "/")
	parts := strings.Split(short, ":")
	p.Target = parts[len(parts)-1]
	if len(parts) > 1 {
		p.Published = parts[len(parts)-2]
	}
	if len(parts) > 2 {
		p.IP = strings.Join(parts[:len(parts)-2], ":")
	}
	return nil
}

// A volume is `source:target:ro`, or the same as a map.
type volume struct {
	Type, Source, Target string
	ReadOnly             bool `yaml:"read_only"`
}

func (v *volume) UnmarshalYAML(into func(any) error) error {
	type plain volume
	var long plain
	if into(&long) == nil && long.Target != "" {
		*v = volume(long)
		return nil
	}
	var short string
	if err := into(&short); err != nil {
		return err
	}
	parts := strings.Split(short, ":")
	if len(parts) == 1 {
		*v = volume{Type: "tmpfs", Target: parts[0]}
		return nil
	}
	*v = volume{Type: "volume", Source: parts[0], Target: parts[1], ReadOnly: len(parts) > 2 && strings.Contains(parts[2], "ro")}
	if filepath.IsAbs(parts[0]) {
		v.Type = "bind"
	}
	return nil
}

// A request is a command line of docker or docker-compose, as its stand-in was called.
type request struct {
	Args []string
	Env  []string
	Dir  string
}

// An answer is what the stand-in prints, or the command that it becomes.
type answer struct {
	Stdout, Stderr string
	Code           int
	Exec           []string
}

// standIns are the programs of the test's PATH that ask the engine.
var standIns = []string{"docker", "docker-compose", "systemctl", "journalctl"}

// standIn is one of them.
func standIn(name string) int {
	fail := func(err error) int {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 125
	}
	conn, err := net.Dial("unix", os.Getenv("RUNBOOK_ENGINE"))
	if err != nil {
		return fail(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return fail(err)
	}
	var a answer
	if err := errors.Join(json.NewEncoder(conn).Encode(request{append([]string{name}, os.Args[1:]...), os.Environ(), dir}), json.NewDecoder(conn).Decode(&a)); err != nil {
		return fail(err)
	}
	if a.Exec != nil {
		path, err := exec.LookPath(a.Exec[0])
		if err != nil {
			return fail(err)
		}
		return fail(syscall.Exec(path, a.Exec, os.Environ()))
	}
	fmt.Print(a.Stdout)
	fmt.Fprint(os.Stderr, a.Stderr)
	return a.Code
}

// listen answers stand-ins until the test ends. It returns the directory to put first into PATH and the engine's address.
func (e *engine) listen() (path, address string) {
	e.t.Helper()
	path = filepath.Join(e.dir, "bin")
	address = filepath.Join(e.dir, "engine.sock")
	self, err := os.Executable()
	if err == nil {
		err = os.Mkdir(path, 0o755)
	}
	for _, name := range standIns {
		if err == nil {
			err = os.Symlink(self, filepath.Join(path, name))
		}
	}
	if err != nil {
		e.t.Fatal(err)
	}
	l, err := net.Listen("unix", address)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var r request
				if json.NewDecoder(conn).Decode(&r) != nil {
					return
				}
				gone := make(chan struct{})
				go func() {
					_, _ = io.Copy(io.Discard, conn) // ends when the stand-in does
					close(gone)
				}()
				var a answer
				var err error
				switch {
				case r.Args[0] == "docker":
					a, err = e.docker(r, gone)
				case r.Args[0] == "docker-compose":
					a, err = e.compose(r, gone)
				case e.machine != nil:
					a, err = e.machine.answer(r)
				default:
					err = errors.New("this machine has no systemd")
				}
				if err != nil {
					a.Code = 1
					a.Stderr += err.Error() + "\n"
				}
				_ = json.NewEncoder(conn).Encode(a)
			}()
		}
	}()
	return path, address
}

// options takes options from a command line: those in valued take a value, others none. Without mixed, they end at the
// first word that is none.
func options(args []string, mixed bool, valued string) (opts map[string][]string, rest []string) {
	opts = map[string][]string{}
	takes := strings.Fields(valued)
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--" || !mixed && !strings.HasPrefix(a, "-"):
			return opts, append(rest, args[i:]...)
		case !strings.HasPrefix(a, "-") || a == "-":
			rest = append(rest, a)
		default:
			name, value, glued := strings.Cut(a, "=")
			if slices.Contains(takes, name) && !glued && i+1 < len(args) {
				i++
				value = args[i]
			}
			opts[name] = append(opts[name], value)
		}
	}
	return opts, rest
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func has(opts map[string][]string, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, ok := opts[n]; return ok })
}

func (e *engine) docker(r request, gone chan struct{}) (a answer, err error) {
	if len(r.Args) < 2 {
		return a, errors.New("the stand-in for docker needs a command")
	}
	verb, args := r.Args[1], r.Args[2:]
	switch verb {
	case "exec":
		opts, rest := options(args, false, "-u --user -e --env -w --workdir")
		if len(rest) < 2 {
			return a, errors.New(`"docker exec" requires at least 2 arguments.`)
		}
		c, err := e.find(rest[0])
		if err != nil {
			return a, err
		}
		return e.inside(c, opts, rest[1:])
	case "run":
		return e.run(r, args, gone)
	case "ps":
		opts, _ := options(args, true, "--filter -f --format")
		return e.ps(opts)
	case "volume":
		if len(args) != 2 || args[0] != "rm" {
			return a, errors.New("the stand-in for docker knows `docker volume rm VOLUME` only")
		}
		return a, os.RemoveAll(filepath.Join(e.dir, "volumes", args[1]))
	case "cp":
		if len(args) != 2 {
			return a, errors.New(`"docker cp" requires exactly 2 arguments.`)
		}
		return a, e.copy(r.Dir, args[0], args[1])
	case "logs":
		opts, rest := options(args, true, "--tail -n --since")
		c, err := e.find(first(rest))
		if err != nil {
			return a, err
		}
		text, err := c.read(opts)
		return answer{Stdout: text}, err
	case "inspect", "stats", "restart", "stop", "start", "kill", "update", "rm":
		opts, rest := options(args, true, "-s --signal -t --time -m --memory --memory-swap -f --format")
		var out strings.Builder
		for _, name := range rest {
			c, err := e.find(name)
			if err != nil {
				return a, err
			}
			if err := e.act(verb, c, opts, &out); err != nil {
				return a, err
			}
		}
		return answer{Stdout: out.String()}, nil
	}
	return a, fmt.Errorf("the stand-in for docker has no %q", verb)
}

func (e *engine) act(verb string, c *container, opts map[string][]string, out *strings.Builder) error {
	switch verb {
	case "restart":
		e.stop(c)
		fmt.Fprintln(out, c.name)
		return e.start(c)
	case "stop":
		e.stop(c)
	case "start":
		if !c.running() {
			if err := e.start(c); err != nil {
				return err
			}
		}
	case "kill":
		s := unix.SignalNum("SIG" + strings.TrimPrefix(first(slices.Concat(opts["-s"], opts["--signal"])), "SIG"))
		if s == 0 {
			e.kill(c)
		} else if err := c.cmd.Process.Signal(s); err != nil {
			return err
		}
	case "rm":
		e.kill(c)
		e.remove(c)
	case "update":
		if !c.running() {
			return fmt.Errorf("container %s is not running", c.name)
		}
		c.spec.MemLimit = first(slices.Concat(opts["-m"], opts["--memory"]))
	case "stats":
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.pid))
		if err != nil {
			return err
		}
		pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "NAME\tMEM USAGE / LIMIT\n%s\t%.1fMiB / %s\n", c.name, float64(pages*int64(os.Getpagesize()))/(1<<20), c.spec.MemLimit)
		return nil
	case "inspect":
		ok, said := e.healthy(c)
		status, code := "healthy", 0
		if !ok {
			status, code = "unhealthy", 1
		}
		text, err := json.MarshalIndent([]any{map[string]any{
			"Name": "/" + c.name, "RestartCount": c.restarts, "Config": map[string]any{"Image": c.spec.Image},
			"State": map[string]any{
				"Running": c.running(), "Pid": c.pid, "ExitCode": c.code, "StartedAt": c.started,
				"Health": map[string]any{"Status": status, "Log": []any{map[string]any{"ExitCode": code, "Output": said}}},
			},
			"HostConfig": map[string]any{"RestartPolicy": map[string]any{"Name": c.spec.Restart, "MaximumRetryCount": 0}, "Memory": c.spec.MemLimit},
		}}, "", "    ")
		fmt.Fprintln(out, string(text))
		return err
	}
	fmt.Fprintln(out, c.name)
	return nil
}

func (e *engine) find(name string) (*container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if c.name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("Error: No such container: %s", name) //nolint:staticcheck // Docker's words
}

// inside is a command in a running container.
func (e *engine) inside(c *container, opts map[string][]string, args []string) (a answer, err error) {
	if !c.running() {
		return a, fmt.Errorf("container %s is not running", c.name)
	}
	l, err := e.launch(c)
	if err != nil {
		return a, err
	}
	if user := first(slices.Concat(opts["-u"], opts["--user"])); user == "root" || user == "0" {
		l.UID, l.GID = 0, 0
	}
	l.Env = append(l.Env, slices.Concat(opts["-e"], opts["--env"])...)
	return answer{Exec: c.within(l, args)}, nil
}

// read is the log that options ask for.
func (c *container) read(opts map[string][]string) (string, error) {
	var since time.Time
	if s := first(opts["--since"]); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			return "", err
		}
		since = time.Now().Add(-d)
	}
	tail, _ := strconv.Atoi(first(slices.Concat(opts["--tail"], opts["-n"])))
	return c.log.text(since, tail), nil
}

// ps is `docker ps` with what scripts use of it.
func (e *engine) ps(opts map[string][]string) (a answer, err error) {
	wanted := func(c *container) bool {
		if !c.running() && !has(opts, "-a", "-aq", "-qa") {
			return false
		}
		for _, f := range slices.Concat(opts["--filter"], opts["-f"]) {
			of, value, _ := strings.Cut(f, "=")
			switch of {
			case "name":
				if !strings.Contains(c.name, value) {
					return false
				}
			case "label":
				if value != "com.docker.compose.service="+c.service {
					return false
				}
			}
		}
		return true
	}
	if !has(opts, "-q", "-aq", "-qa", "--format") {
		return answer{Stdout: e.list(wanted)}, nil
	}
	if f := first(opts["--format"]); f != "" && f != "{{.Names}}" {
		return a, fmt.Errorf("the stand-in for docker knows the format {{.Names}} only, not %s", f)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if wanted(c) {
			a.Stdout += c.name + "\n" // a name does wherever an id does
		}
	}
	return a, nil
}

// list is a table of containers, as `docker ps` prints it.
func (e *engine) list(wanted func(*container) bool) string {
	e.mu.Lock()
	all := slices.Clone(e.containers)
	e.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %-60s %s\n", "IMAGE", "STATUS", "NAMES")
	for _, c := range all {
		if !wanted(c) {
			continue
		}
		status := fmt.Sprintf("Exited (%d)", c.code)
		if c.running() {
			status = "Up " + time.Since(c.started).Round(time.Second).String()
			if len(c.spec.Healthcheck.Test) > 0 {
				if ok, _ := e.healthy(c); ok {
					status += " (healthy)"
				} else {
					status += " (unhealthy)"
				}
			}
		}
		fmt.Fprintf(&b, "%-32s %-60s %s\n", c.spec.Image, status, c.name)
	}
	return b.String()
}

// copy is `docker cp` of one file, either way. It works on a stopped container's volumes too, as Docker's does.
func (e *engine) copy(dir, from, to string) error {
	place := func(s string) (string, error) {
		name, path, ok := strings.Cut(s, ":")
		if !ok {
			if !filepath.IsAbs(s) {
				s = filepath.Join(dir, s)
			}
			return s, nil
		}
		c, err := e.find(name)
		if err != nil {
			return "", err
		}
		if c.running() {
			return fmt.Sprintf("/proc/%d/root%s", c.pid, path), nil
		}
		l, err := e.launch(c)
		if err != nil {
			return "", err
		}
		for _, m := range l.Mounts {
			if rest, ok := strings.CutPrefix(path, m.Target); ok && !m.Memory {
				return m.Source + rest, nil
			}
		}
		return "", fmt.Errorf("%s of the stopped container %s is in no volume", path, name)
	}
	source, err := place(from)
	if err != nil {
		return err
	}
	target, err := place(to)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		target = filepath.Join(target, filepath.Base(source))
	}
	return os.WriteFile(target, text, 0o644)
}

// run is `docker run`, in the foreground: it ends when the container or the stand-in does.
func (e *engine) run(r request, args []string, gone chan struct{}) (a answer, err error) {
	opts, rest := options(args, false, "-p --publish -e --env --env-file --name --network -v --volume")
	if len(rest) == 0 {
		return a, errors.New(`"docker run" requires at least 1 argument.`)
	}
	s := service{Image: rest[0], Command: rest[1:], Environment: map[string]any{}}
	for _, file := range opts["--env-file"] {
		text, err := os.ReadFile(filepath.Join(r.Dir, file))
		if err != nil {
			return a, err
		}
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
				s.Environment[name] = value
			}
		}
	}
	for _, pair := range slices.Concat(opts["-e"], opts["--env"]) {
		name, value, _ := strings.Cut(pair, "=")
		s.Environment[name] = value
	}
	for _, p := range slices.Concat(opts["-p"], opts["--publish"]) {
		var parsed port
		if err := yaml.Unmarshal([]byte(strconv.Quote(p)), &parsed); err != nil {
			return a, err
		}
		s.Ports = append(s.Ports, parsed)
	}
	c := &container{
		name: cmp.Or(first(opts["--name"]), fmt.Sprintf("run_%d", time.Now().UnixNano())), spec: s, log: &logbook{},
		networks: slices.Concat(opts["--network"], []string{"bridge"}), subnet: defaultSubnet,
	}
	e.mu.Lock()
	e.containers = append(e.containers, c)
	e.mu.Unlock()
	if err := e.start(c); err != nil {
		e.remove(c)
		return a, err
	}
	select {
	case <-c.over:
	case <-gone:
		e.stop(c)
	}
	<-c.over
	e.remove(c)
	return answer{Stdout: c.log.text(time.Time{}, 0), Code: c.code}, nil
}

func (e *engine) compose(r request, gone chan struct{}) (a answer, err error) {
	global, rest := options(r.Args[1:], false, "-f --file -p --project-name --env-file --profile --project-directory")
	if len(rest) == 0 {
		return a, errors.New("the stand-in for docker-compose needs a command")
	}
	verb, args := rest[0], rest[1:]
	p, name, err := e.config(r, r.Args[1:len(r.Args)-len(rest)], first(slices.Concat(global["-p"], global["--project-name"])))
	if err != nil {
		return a, err
	}
	mine := func(services []string) (all []*container, err error) {
		for _, s := range services {
			if _, ok := p.Services[s]; !ok {
				return nil, fmt.Errorf("ERROR: No such service: %s", s) //nolint:staticcheck // Compose's words
			}
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, c := range e.containers {
			if c.project == name && (len(services) == 0 || slices.Contains(services, c.service)) {
				all = append(all, c)
			}
		}
		return all, nil
	}
	switch verb {
	case "config":
		out, err := e.real(r, r.Args[1:])
		return answer{Stdout: out}, err
	case "build", "pull":
		return a, nil // there are no images
	case "up":
		opts, services := options(args, true, "--scale -t --timeout")
		profiles := slices.Concat(global["--profile"], strings.Split(lookup(r.Env, "COMPOSE_PROFILES"), ","))
		return a, e.up(name, p, opts, services, profiles)
	case "down":
		all, err := mine(nil)
		e.each(all, e.stop)
		for _, c := range all {
			e.remove(c)
		}
		if slices.Contains(args, "-v") || slices.Contains(args, "--volumes") {
			for v := range p.Volumes {
				_ = os.RemoveAll(filepath.Join(e.dir, "volumes", name+"_"+v))
			}
		}
		return a, err
	case "ps":
		return answer{Stdout: e.list(func(c *container) bool { return c.project == name })}, nil
	case "logs":
		opts, services := options(args, true, "--tail --since")
		all, err := mine(services)
		for _, c := range all {
			text, err := c.read(opts)
			if err != nil {
				return a, err
			}
			for line := range strings.Lines(text) {
				if has(opts, "--no-log-prefix") {
					a.Stdout += line
				} else {
					a.Stdout += fmt.Sprintf("%s_%d | %s", c.service, c.number, line)
				}
			}
		}
		return a, err
	case "restart", "stop", "start", "kill", "rm":
		opts, services := options(args, true, "-t --timeout -s")
		all, err := mine(services)
		if err != nil {
			return a, err
		}
		var mu sync.Mutex
		e.each(all, func(c *container) {
			var out strings.Builder
			if failed := e.act(verb, c, opts, &out); failed != nil {
				mu.Lock()
				err = errors.Join(err, failed)
				mu.Unlock()
			}
		})
		return a, err
	case "exec":
		opts, rest := options(args, false, "-u --user -e --env --index")
		if len(rest) < 2 {
			return a, errors.New("exec needs a service and a command")
		}
		all, err := mine(rest[:1])
		if err != nil {
			return a, err
		}
		n, _ := strconv.Atoi(cmp.Or(first(opts["--index"]), "1"))
		for _, c := range all {
			if c.number == n {
				return e.inside(c, opts, rest[1:])
			}
		}
		return a, fmt.Errorf("ERROR: No container found for %s_%d", rest[0], n) //nolint:staticcheck // Compose's words
	case "run":
		opts, rest := options(args, false, "-e --entrypoint -v --volume -u --user -w --workdir --name")
		if len(rest) == 0 {
			return a, errors.New("run needs a service")
		}
		s, ok := p.Services[rest[0]]
		if !ok {
			return a, fmt.Errorf("ERROR: No such service: %s", rest[0]) //nolint:staticcheck // Compose's words
		}
		s.Ports, s.Restart = nil, ""
		if len(rest) > 1 {
			s.Command = rest[1:]
		}
		if ep := first(opts["--entrypoint"]); ep != "" {
			s.Entrypoint = split(ep)
		}
		s.Environment = maps.Clone(s.Environment)
		for _, pair := range opts["-e"] {
			n, v, _ := strings.Cut(pair, "=")
			s.Environment[n] = v
		}
		c := e.create(name, p, rest[0], s, 0)
		c.name += fmt.Sprintf("run_%d", time.Now().UnixNano())
		e.mu.Lock()
		e.containers = append(e.containers, c)
		e.mu.Unlock()
		defer e.remove(c)
		if err := e.start(c); err != nil {
			return a, err
		}
		select {
		case <-c.over:
		case <-gone:
			e.stop(c)
		}
		<-c.over
		return answer{Stdout: c.log.text(time.Time{}, 0), Code: c.code}, nil
	}
	return a, fmt.Errorf("the stand-in for docker-compose has no %q", verb)
}

// each does something to all at once and waits.
func (e *engine) each(all []*container, do func(*container)) {
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() { do(c) })
	}
	wg.Wait()
}

// real runs Debian's docker-compose, which needs no engine to read a file.
func (e *engine) real(r request, args []string) (string, error) {
	ours := filepath.Join(e.dir, "bin")
	for _, dir := range filepath.SplitList(lookup(r.Env, "PATH")) {
		path := filepath.Join(dir, "docker-compose")
		if dir == ours {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			continue
		}
		cmd := exec.Command(path, args...)
		cmd.Dir, cmd.Env = r.Dir, r.Env
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("docker-compose %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
		}
		return out.String(), nil
	}
	testenv.Missing(e.t, "docker-compose is not installed; run: apt-get install docker-compose")
	return "", nil
}

// config reads the Compose file as Compose does: by asking it.
// What it says is kept as long as nothing changes that it could say something else for.
func (e *engine) config(r request, global []string, name string) (*project, string, error) {
	asked := strings.Join(append(append(slices.Clone(global), r.Dir), r.Env...), "\x00")
	for _, pattern := range []string{"*.yml", ".env", "deploy/*.yml"} {
		paths, _ := filepath.Glob(filepath.Join(r.Dir, pattern))
		for _, path := range paths {
			text, _ := os.ReadFile(path)
			asked += "\x00" + string(text)
		}
	}
	e.mu.Lock()
	out, known := e.composed[asked]
	e.mu.Unlock()
	if !known {
		var err error
		if out, err = e.real(r, append(slices.Clone(global), "config")); err != nil {
			return nil, "", err
		}
		e.mu.Lock()
		e.composed[asked] = out
		e.mu.Unlock()
	}
	var p project
	// A dollar is doubled in what config prints, so that it could be read again.
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(out, "$$", "$")), &p); err != nil {
		return nil, "", fmt.Errorf("read what docker-compose config prints: %w", err)
	}
	if name == "" {
		name = lookup(r.Env, "COMPOSE_PROJECT_NAME")
	}
	if name == "" {
		text, _ := os.ReadFile(filepath.Join(r.Dir, ".env"))
		name = lookup(strings.Split(string(text), "\n"), "COMPOSE_PROJECT_NAME")
	}
	if name == "" {
		name = strings.ToLower(filepath.Base(r.Dir))
	}
	return &p, name, nil
}

func lookup(pairs []string, name string) (value string) {
	for _, pair := range pairs {
		if n, v, _ := strings.Cut(strings.TrimSpace(pair), "="); n == name {
			value = v
		}
	}
	return value
}

// create makes a container of a service, which does not run yet.
func (e *engine) create(name string, p *project, of string, s service, number int) *container {
	c := &container{
		name: fmt.Sprintf("%s_%s_%d", name, of, number), project: name, service: of, number: number, spec: s, log: &logbook{},
		secrets: map[string]string{},
	}
	names := slices.Sorted(maps.Keys(s.Networks))
	if len(names) == 0 {
		names = []string{"default"}
	}
	c.subnet = defaultSubnet
	for i, n := range names {
		full, d := name+"_"+n, p.Networks[n]
		if d != nil && d.Name != "" {
			full = d.Name
		}
		if d != nil && i == 0 && len(d.IPAM.Config) > 0 {
			c.subnet = d.IPAM.Config[0].Subnet
		}
		c.networks = append(c.networks, full)
	}
	for _, secret := range s.Secrets {
		c.secrets[cmp.Or(secret.Target, secret.Source)] = p.Secrets[secret.Source].File
	}
	return c
}

// up makes what runs like the file: in the order of dependencies, waiting for health where a service asks for it.
func (e *engine) up(name string, p *project, opts map[string][]string, services, profiles []string) error {
	scale := map[string]int{}
	for _, s := range opts["--scale"] {
		of, n, _ := strings.Cut(s, "=")
		count, err := strconv.Atoi(n)
		if _, known := p.Services[of]; !known || err != nil {
			return fmt.Errorf("--scale %s: no such service, or no number", s)
		}
		scale[of] = count
	}
	named := len(services) > 0
	var order []string
	var visit func(of string) error
	visit = func(of string) error {
		if slices.Contains(order, of) {
			return nil
		}
		s, ok := p.Services[of]
		if !ok {
			return fmt.Errorf("ERROR: No such service: %s", of) //nolint:staticcheck // Compose's words
		}
		if !has(opts, "--no-deps") {
			for _, d := range slices.Sorted(maps.Keys(s.DependsOn)) {
				if err := visit(d); err != nil {
					return err
				}
			}
		}
		order = append(order, of)
		return nil
	}
	if !named {
		for _, of := range slices.Sorted(maps.Keys(p.Services)) {
			active := p.Services[of].Profiles
			if len(active) == 0 || slices.ContainsFunc(active, func(a string) bool { return slices.Contains(profiles, a) }) {
				services = append(services, of)
			}
		}
	}
	for _, of := range services {
		if err := visit(of); err != nil {
			return err
		}
	}
	for _, of := range order {
		s := p.Services[of]
		for d, how := range s.DependsOn {
			if how.Condition == "service_healthy" && !has(opts, "--no-deps") {
				if err := e.awaitHealth(name, d); err != nil {
					return err
				}
			}
		}
		count := max(1, s.Scale)
		if n, ok := scale[of]; ok {
			count = n
		}
		again := has(opts, "--force-recreate") && (!named || slices.Contains(services, of))
		if err := e.converge(name, p, of, s, count, again); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) converge(name string, p *project, of string, s service, count int, again bool) error {
	spec := func(s service) string { text, _ := json.Marshal(s); return string(text) }
	var old []*container
	e.mu.Lock()
	for _, c := range e.containers {
		if c.project == name && c.service == of {
			old = append(old, c)
		}
	}
	e.mu.Unlock()
	var gone []*container
	have := map[int]bool{}
	for _, c := range old {
		if c.number > count || again || spec(c.spec) != spec(s) {
			gone = append(gone, c)
		} else {
			have[c.number] = true
			if !c.running() {
				if err := e.start(c); err != nil {
					return err
				}
			}
		}
	}
	e.each(gone, e.stop)
	for _, c := range gone {
		e.remove(c)
	}
	for n := 1; n <= count; n++ {
		if have[n] {
			continue
		}
		c := e.create(name, p, of, s, n)
		e.mu.Lock()
		e.containers = append(e.containers, c)
		e.mu.Unlock()
		if err := e.start(c); err != nil {
			return fmt.Errorf("ERROR: for %s  Cannot start service %s: %w", of, of, err) //nolint:staticcheck // Compose's words
		}
	}
	return nil
}

func (e *engine) awaitHealth(name, of string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		said, all := "", true
		e.mu.Lock()
		containers := slices.Clone(e.containers)
		e.mu.Unlock()
		for _, c := range containers {
			if c.project == name && c.service == of {
				if ok, s := e.healthy(c); !ok {
					said, all = c.name+": "+s+"\n"+c.log.text(time.Time{}, 20), false
				}
			}
		}
		if all {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("ERROR: for %s  Container is unhealthy: %s", of, said) //nolint:staticcheck // Compose's words
		}
		time.Sleep(100 * time.Millisecond)
	}
}
