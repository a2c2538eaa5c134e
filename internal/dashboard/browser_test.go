package dashboard

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

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
	s := &http.Server{Handler: d, ConnContext: ConnContext}
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
