package chaos

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// memoryBound is how much memory a replica may have taken in a scenario. It works on a few hundred deliveries.
const memoryBound = 256 << 20

// Findings are what the checker has against a run, by the letters of the package's essay. None is what is wanted.
type findings map[string][]string

func (f findings) add(letter, format string, args ...any) {
	f[letter] = append(f[letter], fmt.Sprintf(format, args...))
}

// String lists them, a few of each.
func (f findings) String() string {
	var out strings.Builder
	for _, letter := range slices.Sorted(maps.Keys(f)) {
		fmt.Fprintf(&out, "%s=%d\n", letter, len(f[letter]))
		for _, one := range f[letter][:min(len(f[letter]), 5)] {
			fmt.Fprintf(&out, "\t%s\n", one)
		}
	}
	return out.String()
}

// check compares what was acknowledged, what is kept, what GitHub shows and what was done twice. It is for the end of a
// run that has settled, with the replicas still there.
func (s *stage) check() findings {
	f := findings{}
	s.checkInbox(f)
	for _, what := range s.missing() {
		f.add("M", "%s", what)
	}
	for _, what := range s.doubled() {
		f.add("D", "%s", what)
	}
	if n := s.post.waiting(); n > 0 {
		f.add("U", "%d deliveries could not be brought to a 202", n)
	}
	if s.redis != nil {
		if n, err := s.redis.Client.LLen(context.Background(), "queue:github-webhook").Result(); err != nil || n != 0 {
			f.add("Q", "LLEN queue:github-webhook = %d, %v", n, err)
		}
	}
	u := s.hub.Usage()
	if u.WhileTold+u.OverPrimary+u.OverSecondary+u.Unauthorized > 0 {
		f.add("A", "GitHub counted %d requests while told to wait, %d and %d beyond its limits, %d not authorized", u.WhileTold, u.OverPrimary, u.OverSecondary, u.Unauthorized)
	}
	for _, r := range s.replicas {
		if r.p != nil && r.p.Running() {
			if b := r.p.RSS(s.t); b > memoryBound {
				f.add("B", "replica %s has taken %d MB", r.name, b>>20)
			}
		}
		for line := range strings.Lines(r.allLogs()) {
			if strings.Contains(line, "panic") {
				f.add("P", "replica %s: %s", r.name, strings.TrimSpace(line))
			}
		}
	}
	for _, p := range s.problems {
		f.add("P", "%s", p)
	}
	s.checkSecrets(f)
	return f
}

// checkInbox compares the inbox with what was answered.
func (s *stage) checkInbox(f findings) {
	rows, err := s.db.Query("SELECT delivery_id, status, attempts, error FROM webhook_logs")
	if err != nil {
		f.add("L", "the inbox can't be read: %v", err)
		return
	}
	defer rows.Close()
	kept := map[string]int{}
	for rows.Next() {
		var id, status, why string
		var attempts int
		if err := rows.Scan(&id, &status, &attempts, &why); err != nil {
			f.add("L", "the inbox can't be read: %v", err)
			return
		}
		kept[id]++
		if status != "processed" {
			f.add("U", "%s is %s after %d attempts: %s", id, status, attempts, why)
		}
	}
	if err := rows.Err(); err != nil {
		f.add("L", "the inbox can't be read: %v", err)
	}
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	for id := range s.post.acked {
		if kept[id] == 0 {
			f.add("L", "%s is acknowledged and not kept", id)
		}
	}
	for id, n := range kept {
		if n > 1 {
			f.add("D", "%s is kept %d times", id, n)
		}
		if s.post.sent[id] == 0 {
			f.add("D", "%s is kept, and nobody has sent it", id)
		}
	}
	for id, n := range s.post.fresh {
		if n > 1 && !(n == 2 && s.restored[id]) {
			f.add("D", "%s was called new %d times", id, n)
		}
	}
}

// checkSecrets looks for secrets wherever the service has written anything.
func (s *stage) checkSecrets(f findings) {
	said := map[string]string{}
	for _, r := range s.replicas {
		said["the log of replica "+r.name] = r.allLogs()
	}
	if s.setup.engine == "sqlite" {
		path := strings.TrimPrefix(s.source, "sqlite:")
		for _, name := range []string{path, path + "-wal"} {
			text, err := os.ReadFile(name)
			if err != nil && !os.IsNotExist(err) {
				f.add("K", "the database can't be searched: %v", err)
			}
			said["the database"] += string(text)
		}
	} else if err := s.dump(said); err != nil {
		f.add("K", "the database can't be searched: %v", err)
	}
	if s.redis != nil {
		text, err := s.dumpRedis()
		if err != nil {
			f.add("K", "Redis can't be searched: %v", err)
		}
		said["Redis"] = text
	}
	if r := s.replicas[len(s.replicas)-1]; r.p != nil && r.p.Running() {
		for _, path := range []string{"/metrics", "/health", "/ready", "/webhook/stats", "/webhook/events", "/", "/api/pulls", "/nowhere"} {
			text, err := s.ask(r, http.MethodGet, path)
			if err != nil {
				f.add("K", "GET %s: %v", path, err)
			}
			said[path] = text
		}
		for _, path := range []string{"/webhook", "/sign-in"} {
			text, err := s.ask(r, http.MethodPost, path)
			if err != nil {
				f.add("K", "POST %s: %v", path, err)
			}
			said["the refusal of "+path] = text
		}
	}
	if s.haproxy != nil {
		said["the log of HAProxy"] = s.haproxy.Logs()
	}
	secrets := maps.Clone(s.secrets)
	for i, token := range s.world.faulty.shown() {
		secrets[fmt.Sprintf("credential %d for GitHub", i)] = token
	}
	for where, text := range said {
		for name, secret := range secrets {
			if strings.Contains(text, secret) {
				f.add("K", "%s shows %s", where, name)
			}
		}
	}
}

// dump reads every row of every table as text.
func (s *stage) dump(said map[string]string) error {
	names, err := texts(s.db.Query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"))
	if err != nil {
		return err
	}
	if len(names) < 5 {
		return fmt.Errorf("only %d tables", len(names))
	}
	for _, name := range names {
		rows, err := texts(s.db.Query(`SELECT t::text FROM "` + name + `" t`))
		if err != nil {
			return err
		}
		said["table "+name] = strings.Join(rows, "\n")
	}
	return nil
}

func (s *stage) dumpRedis() (string, error) {
	ctx := context.Background()
	keys, err := s.redis.Client.Keys(ctx, "*").Result()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, key := range keys {
		kind, err := s.redis.Client.Type(ctx, key).Result()
		if err != nil {
			return "", err
		}
		out.WriteString(key + "\n")
		if kind == "list" {
			items, err := s.redis.Client.LRange(ctx, key, 0, -1).Result()
			if err != nil {
				return "", err
			}
			out.WriteString(strings.Join(items, "\n"))
			continue
		}
		text, err := s.redis.Client.Dump(ctx, key).Result()
		if err != nil && !errors.Is(err, redis.Nil) { // evicted meanwhile
			return "", err
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

// ask reads an answer with its headers; of one that does not end, the first half second.
func (s *stage) ask(r *replica, method, path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.url()+path, strings.NewReader(""))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+s.secrets["DASHBOARD_TOKEN"])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var head bytes.Buffer
	if err := resp.Header.Write(&head); err != nil {
		return "", err
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		line, err := bufio.NewReader(resp.Body).ReadString('}')
		return head.String() + line, err
	}
	text, err := io.ReadAll(resp.Body)
	return head.String() + string(text), err
}

// get returns the status of an answer, 0 when there is none.
func get(url string) int {
	resp, err := quick.Get(url)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// quick asks for answers that come at once or not at all.
var quick = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// metric reads a metric without labels.
func (r *replica) metric(name string) float64 {
	text, err := r.s.ask(r, http.MethodGet, "/metrics")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			var v float64
			if json.Unmarshal([]byte(strings.TrimSpace(rest)), &v) == nil {
				return v
			}
		}
	}
	return -1
}

func texts(rows *sql.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, rows.Err()
}
