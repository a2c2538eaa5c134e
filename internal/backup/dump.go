package backup

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// headMark is the first line of a dump of ours.
const headMark = "-- GitHub PR Manager: everything that the service keeps, as one transaction for psql or `github-pr-manager restore`"

// A dump is read line by line, whoever made it: what matters stands at the beginning of a line outside of the data of a
// COPY. Lines of data may be millions of bytes long, so they come in pieces.

// A lines is a writer that hands on what it gets line by line, long ones in pieces.
type lines struct {
	each func(piece []byte) error
	held []byte
}

const longestPiece = 64 << 10

// Write takes any bytes.
func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			l.held = append(l.held, b[:i+1]...)
			b = b[i+1:]
		} else {
			l.held = append(l.held, b...)
			b = nil
			if len(l.held) < longestPiece {
				return n, nil
			}
		}
		if err := l.each(l.held); err != nil {
			return 0, err
		}
		l.held = l.held[:0]
	}
	return n, nil
}

func (l *lines) end() error {
	if len(l.held) == 0 {
		return nil
	}
	return l.each(l.held)
}

// A scanner watches a dump go by.
type scanner struct {
	dump
	begins bool   // the next piece is the beginning of a line
	table  string // whose data it is in
	column int    // of the schema's version there
}

// A dump is what a dump says about itself.
type dump struct {
	ours    bool
	taken   time.Time
	whole   bool   // it has its end mark
	schema  int    // the version of the database's schema
	in      string // the schema that its tables are in
	rows    int    // of webhook_logs
	connect bool   // it changes to another database
	creates bool
}

func newScanner() *scanner { return &scanner{begins: true} }

func (s *scanner) found() dump { return s.dump }

// A verdict says what is to become of a line when a dump is restored as whoever restores it.
type verdict int

const (
	pass    verdict = iota
	drop            // it means nothing to this server
	owner           // it gives to a role, which may not be there
	forPsql         // it tells psql what the command tells it in its own way
)

var (
	copyLine   = regexp.MustCompile(`^COPY ("?[^ ".]+"?)\.("?[^ ".]+"?) \(([^)]*)\) FROM stdin;`)
	insertLine = regexp.MustCompile(`^INSERT INTO ("?[^ ".]+"?)\.schema_migrations (?:\([^)]*\) )?VALUES \((\d+),`)
	createLine = regexp.MustCompile(`^CREATE TABLE ("?[^ ".]+"?)\.webhook_logs `)
	ownerLine  = regexp.MustCompile(`^(ALTER [A-Z ]+ .* OWNER TO .*;|(GRANT|REVOKE) .*;|ALTER DEFAULT PRIVILEGES .*;)$`)
	headLine   = regexp.MustCompile(`^-- taken_at (\S+) schema (\d+)$`)
)

// line looks at a piece.
func (s *scanner) line(piece []byte) verdict {
	begins := s.begins
	s.begins = piece[len(piece)-1] == '\n'
	if !begins {
		return pass
	}
	text := strings.TrimRight(string(piece[:min(len(piece), 2000)]), "\r\n")
	if s.table != "" {
		switch {
		case text == `\.`:
			s.table = ""
		case s.table == "schema_migrations":
			if f := strings.Split(text, "\t"); s.column < len(f) {
				n, _ := strconv.Atoi(f[s.column]) // the column is a number
				s.schema = max(s.schema, n)
			}
		case s.table == "webhook_logs":
			s.rows++
		}
		return pass
	}
	switch {
	case text == "":
	case text == headMark:
		s.ours = true
	case text == "-- PostgreSQL database dump complete":
		s.whole = !s.ours
	case text == "COMMIT;" && s.ours:
		s.whole = true
	case text == "SET transaction_timeout = 0;": // of a newer pg_dump, and not known to a server before 17
		return drop
	case text == `\set ON_ERROR_STOP on`, strings.HasPrefix(text, `\restrict `), strings.HasPrefix(text, `\unrestrict `):
		return forPsql
	case strings.HasPrefix(text, `\connect`):
		s.connect = true
	case strings.HasPrefix(text, "COPY "):
		if m := copyLine.FindStringSubmatch(text); m != nil {
			s.in, s.table = strings.Trim(m[1], `"`), strings.Trim(m[2], `"`)
			s.column = slices.Index(strings.Split(strings.ReplaceAll(m[3], `"`, ""), ", "), "version")
			if s.column < 0 {
				s.column = 0
			}
		}
	case ownerLine.MatchString(text):
		return owner
	default:
		if m := headLine.FindStringSubmatch(text); m != nil && s.ours {
			s.taken, _ = time.Parse(time.RFC3339Nano, m[1])
		}
		if m := insertLine.FindStringSubmatch(text); m != nil {
			n, _ := strconv.Atoi(m[2]) // the pattern has found digits
			s.schema = max(s.schema, n)
		}
		if m := createLine.FindStringSubmatch(text); m != nil {
			s.creates, s.in = true, strings.Trim(m[1], `"`)
		}
	}
	return pass
}

// scan reads a dump from end to end.
func scan(ctx context.Context, r io.Reader) (dump, error) {
	s := newScanner()
	l := &lines{each: func(piece []byte) error { s.line(piece); return nil }}
	if _, err := io.Copy(l, reader{ctx, r}); err != nil {
		return dump{}, err
	}
	return s.found(), l.end()
}

// usable says why a dump can't be restored.
func (d dump) usable() error {
	switch {
	case d.connect:
		return errors.New("it was made with --create and leads to a database of its own; make one without, or restore it by hand")
	case !d.creates && d.in == "":
		return errors.New("it is no dump of this service's database: it has no table webhook_logs")
	case !d.creates:
		return errors.New("it holds data without tables; make a dump without --data-only")
	case !d.whole:
		return errors.New("it has no end mark: it is cut off, or still being written")
	case d.schema == 0:
		return errors.New("it does not say which version of the schema it has: it has tables without data")
	}
	return nil
}

// tool finds a program of PostgreSQL: that of the server's version, else one that is newer, else whatever there is.
func tool(name string, server int) (path string, err error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	best, of := "", 0
	for _, p := range found {
		v, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(p))))
		if better := best == "" || v == server || (of != server && of < server && v > of) || (of > server && v >= server && v < of); better {
			best, of = p, v
		}
	}
	if best != "" && (of >= server) {
		return best, nil
	}
	if path, err = exec.LookPath(name); err == nil {
		return path, nil
	}
	if best != "" {
		return best, nil
	}
	return "", fmt.Errorf("%s is not installed, in PATH or in /usr/lib/postgresql: install PostgreSQL's client, such as postgresql-client-%d", name, max(server, 15))
}

// restricting are the minor versions of psql from which on it can be told to take SQL only; from 18 on all can.
var restricting = map[int]int{13: 22, 14: 19, 15: 14, 16: 10, 17: 6}

var versionOfTool = regexp.MustCompile(`\(PostgreSQL\) (\d+)\.(\d+)`)

// restricts reports whether a psql knows \restrict.
func restricts(ctx context.Context, path string) bool {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	m := versionOfTool.FindSubmatch(out)
	if err != nil || m == nil {
		return false
	}
	v, _ := strconv.Atoi(string(m[1])) // the pattern has found digits
	minor, _ := strconv.Atoi(string(m[2]))
	from, known := restricting[v]
	return v >= 18 || known && minor >= from
}

// Words of libpq's addresses; what else stands in one is a setting of the session, or of our own driver.
var (
	ofLibpq = []string{
		"sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcompression", "sslsni", "ssl_min_protocol_version", "ssl_max_protocol_version",
		"connect_timeout", "target_session_attrs", "channel_binding", "gssencmode", "krbsrvname", "passfile", "service", "servicefile", "host", "hostaddr", "port",
		"options", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "requirepeer", "client_encoding",
	}
	ofDriver = []string{"default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity", "min_read_buffer_size", "application_name", "fallback_application_name"}
)

// command builds a call of pg_dump or psql. The password goes by the environment, where only this user can read it.
func command(ctx context.Context, path, address string, getenv func(string) string, args ...string) (*exec.Cmd, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the database's URL can't be read")
	}
	env := []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "PGAPPNAME=github-pr-manager-command"}
	for _, name := range []string{"HOME", "PGPASSFILE", "PGSSLMODE", "PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSERVICE", "PGSERVICEFILE", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGCONNECT_TIMEOUT"} {
		if v := getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	if password, ok := u.User.Password(); ok {
		env = append(env, "PGPASSWORD="+password)
		u.User = url.User(u.User.Username())
	}
	q, kept := u.Query(), url.Values{}
	var settings []string
	for name, values := range q {
		switch {
		case name == "password":
			env = append(env, "PGPASSWORD="+values[0])
		case name == "sslpassword":
			kept[name] = nil // an unusual one; libpq takes it from no variable
		case slices.Contains(ofLibpq, name):
			kept[name] = values
		case slices.Contains(ofDriver, name), strings.HasPrefix(name, "pool_"):
		default:
			settings = append(settings, "-c "+name+"="+strings.ReplaceAll(strings.ReplaceAll(values[0], `\`, `\\`), " ", `\ `))
		}
	}
	delete(kept, "sslpassword")
	if !kept.Has("connect_timeout") && getenv("PGCONNECT_TIMEOUT") == "" {
		kept.Set("connect_timeout", "10")
	}
	if len(settings) > 0 && !kept.Has("options") {
		env = append(env, "PGOPTIONS="+strings.Join(settings, " "))
	}
	u.RawQuery = kept.Encode()
	cmd := exec.CommandContext(ctx, path, append([]string{"--dbname=" + u.String(), "--no-password"}, args...)...)
	cmd.Env = env
	cmd.WaitDelay = 5 * time.Second
	return cmd, nil
}

// pgDump lets pg_dump write to out.
func pgDump(ctx context.Context, address string, getenv func(string) string, plan Plan, out io.Writer) error {
	path, err := tool("pg_dump", plan.Server)
	if err != nil {
		return err
	}
	args := []string{"--format=plain", "--encoding=UTF8", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-security-labels", "--lock-wait-timeout=30s"}
	for _, t := range plan.Tables {
		args = append(args, "--table="+t)
	}
	cmd, err := command(ctx, path, address, getenv, args...)
	if err != nil {
		return err
	}
	said := &saying{}
	cmd.Stderr = said
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run pg_dump: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", path, bare(err))
	}
	_, copied := io.Copy(out, bufio.NewReaderSize(pipe, 1<<18))
	if copied != nil {
		_ = cmd.Process.Kill() // it would wait for ever for somebody to read
	}
	if err := cmd.Wait(); err != nil && copied == nil {
		text := said.String()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case strings.Contains(text, "server version mismatch"):
			return fmt.Errorf("%s is too old for the server, which is version %d: install postgresql-client-%d", path, plan.Server, plan.Server)
		case text == "":
			return fmt.Errorf("pg_dump: %w", err)
		}
		return fmt.Errorf("pg_dump: %s", text)
	}
	return copied
}

// A saying is what a program says, in a few lines.
type saying struct{ text []byte }

// Write keeps the first few thousand bytes.
func (s *saying) Write(b []byte) (int, error) {
	if left := 8<<10 - len(s.text); left > 0 {
		s.text = append(s.text, b[:min(left, len(b))]...)
	}
	return len(b), nil
}

// String is the first error of what was said, or all of it.
func (s *saying) String() string {
	for line := range strings.Lines(string(s.text)) {
		if _, what, ok := strings.Cut(line, "error: "); ok {
			return strings.TrimSpace(what)
		}
		if _, what, ok := strings.Cut(line, "ERROR:  "); ok {
			return strings.TrimSpace(what)
		}
		if _, what, ok := strings.Cut(line, "FATAL:  "); ok {
			return strings.TrimSpace(what)
		}
	}
	return oneLine(string(s.text))
}

// warnings are the lines that begin with a word of PostgreSQL's for things that somebody should know.
func (s *saying) warnings() (out []string) {
	for line := range strings.Lines(string(s.text)) {
		if _, what, ok := strings.Cut(line, "WARNING:  "); ok {
			out = append(out, strings.TrimSpace(what))
		}
	}
	return out
}
