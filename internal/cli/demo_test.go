package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDemo runs the demonstration for as long as it takes until something has happened in it: deliveries arrive, are
// worked on, and lead to writes. It reads nothing of the environment but PORT and HOST, and leaves nothing behind.
func TestDemo(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	dir := t.TempDir()
	t.Chdir(dir)
	writeFile(t, dir, ".env", "PORT=1\nDATABASE_URL=nonsense\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	var errs strings.Builder
	ended := make(chan int, 1)
	go func() {
		code := Run(ctx, []string{"demo", "--pace", "20"}, nil, w, &errs, []string{"PORT=0", "WEBHOOK_SECRET=x", "DATABASE_URL=nonsense", "GITHUB_API_URL=" + canary})
		_ = w.Close()
		ended <- code
	}()
	began := time.Now()
	lines := bufio.NewScanner(r)
	var address string
	for address == "" && lines.Scan() {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "Open  "); ok {
			address = strings.Replace(strings.TrimSuffix(rest, "/"), "localhost", "127.0.0.1", 1)
		}
	}
	if address == "" {
		t.Fatalf("demo ended with %d before it printed an address: %s", <-ended, &errs)
	}
	var logged strings.Builder
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			logged.WriteString(lines.Text() + "\n")
		}
	}()

	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) string {
		t.Helper()
		resp, err := client.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("GET %s = %d %s, %v", path, resp.StatusCode, body, err)
		}
		return string(body)
	}
	var stats struct {
		Received  int `json:"received"`
		Processed int `json:"processed"`
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := json.Unmarshal([]byte(get("/webhook/stats")), &stats); err != nil {
			t.Fatal(err)
		}
		if stats.Processed >= 10 && strings.Contains(get("/"), "acme/") && strings.Contains(get("/metrics"), `github_actions_total{kind="label.add",outcome="done"} `) &&
			!strings.Contains(get("/metrics"), `github_actions_total{kind="label.add",outcome="done"} 0`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: %+v, no label was set, or the page shows no pull request\n%s", stats, get("/metrics"))
		}
	}
	t.Logf("alive after %v: %+v", time.Since(began).Round(time.Millisecond), stats)

	cancel()
	select {
	case code := <-ended:
		if code != exitFine || errs.Len() > 0 {
			t.Errorf("demo = %d, %s", code, &errs)
		}
	case <-time.After(25 * time.Second):
		t.Fatal("demo still runs 25 s after it was asked to end")
	}
	<-read
	if text := logged.String(); strings.Contains(text, "ERROR") || strings.Contains(text, canary) {
		t.Errorf("demo logged\n%s", text)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "*")); err != nil || len(left) > 0 {
		t.Errorf("demo left %v behind, %v", left, err)
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 1 {
		t.Errorf("demo left %v in the working directory, %v", entries, err)
	}
}
