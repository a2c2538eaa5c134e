package dashboard

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestInABrowser runs test/browser/dashboard.mjs, signed in, against a service in which something happens all the time.
func TestInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	const script, browser = "../../test/browser/dashboard.mjs", "/usr/bin/chromium"
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	for _, needed := range []string{"../../test/node_modules/playwright-core", "../../test/node_modules/axe-core", browser} {
		if _, err := os.Stat(needed); err != nil {
			t.Skipf("%s is not installed", needed)
		}
	}
	f := newFake()
	addr := serve(t, New(f, withToken(Options{Version: "v0.1.0", Demo: true})))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(400 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				f.deliver("check_run", "completed", app, 41+i%6, pull.Processed, 0)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "node", script)
	c.Env = append(os.Environ(), "DASHBOARD_URL=http://"+addr, "DASHBOARD_TOKEN="+testToken, "CHROMIUM="+browser)
	out, err := c.CombinedOutput()
	close(stop)
	<-ended
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("the browser found something: %v", err)
	}
}

// TestLook serves made-up data for whoever works on the pages: DASHBOARD_LOOK=127.0.0.1:3900 go test -run Look -timeout 0.
// Something happens every two seconds.
func TestLook(t *testing.T) {
	address := os.Getenv("DASHBOARD_LOOK")
	if address == "" {
		t.Skip("set DASHBOARD_LOOK to an address to look at the pages")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	f := newFake()
	if os.Getenv("DASHBOARD_EMPTY") != "" {
		f = &fakeStore{}
	}
	o := Options{Version: "v0.1.0", Demo: true, Origin: "http://" + address}
	if token := os.Getenv("DASHBOARD_TOKEN"); token != "" {
		o.Token = func() string { return token }
	}
	d := New(f, o)
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: d}
	go func() { _ = s.Serve(l) }()
	go func() { _ = d.Run(ctx) }()
	t.Log("look at http://" + address)
	tick := time.NewTicker(2 * time.Second)
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			_ = s.Shutdown(context.Background())
			return
		case <-tick.C:
			if len(f.details) == 0 {
				continue
			}
			f.deliver("check_run", "completed", app, 41+i%6, pull.Processed, 0)
			f.mu.Lock()
			f.details[4].Row.Sentence = fmt.Sprintf("Waiting for %d checks on 8aa01c3: lint, links.", 2+i%3)
			f.mu.Unlock()
		}
	}
}
