//go:build failpoints

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/webhook"
)

// A build with the tag "failpoints" can be made to die, freeze, fail or dawdle at named points of a delivery's way, so
// that a test hits exactly the moment that it is about: random kills hardly ever do. The points are where app joins the
// parts anyway: around the store's commits, the inbox, the requests to GitHub. Nothing of this is in a build without the
// tag, which test/chaos asserts.
//
//	FAILPOINTS="S4=kill@3 R5=sleep:500"
//
// names points, each with an action, and optionally the one hit that it is for; without it, every hit:
//
//	kill      the process is gone, as after SIGKILL
//	pause     the whole process is stopped, as after SIGSTOP, until somebody sends it SIGCONT
//	err       what is being done fails
//	sleep:ms  the goroutine is held up
//
// Each hit that acts is said on stderr first. CLOCK_SKEW=10m makes the store's clock wrong by that much.
var points = map[string]string{
	"S1": "the body of a webhook is read",
	"S2": "its signature was right",
	"S3": "it is inserted, and not yet committed",
	"S4": "it is committed",
	"S5": "its hint is on the way, and it is not yet answered",
	"W1": "deliveries are in the hands of intake",
	"W2": "their keys are marked due, and it is not yet committed",
	"W3": "that is committed",
	"R1": "a key is claimed",
	"R2": "GitHub has been read",
	"R3": "the plan is committed",
	"R4": "an action is written down, and not yet sent",
	"R5": "its request has been answered, and the answer is not yet read",
	"R6": "the answer is read",
	"R7": "the action is marked done",
	"R8": "the key is about to be given back",
}

// commits are the points around the store's transactions, by operation: before the commit, after it.
var commits = map[string][2]string{
	"insert": {"S3", "S4"},
	"intake": {"W2", "W3"},
	"claim":  {"", "R1"},
	"plan":   {"", "R3"},
	"start":  {"", "R4"},
	"finish": {"", "R7"},
	"record": {"R8", ""},
}

// A failpoint is what happens at a point.
type failpoint struct {
	name, action string
	sleep        time.Duration
	only         int64 // the one hit that acts; 0 is every
	hits         atomic.Int64
}

var errFailpoint = errors.New("failpoint")

// armed are the failpoints of this process.
var armed struct {
	sync.Mutex
	at map[string]*failpoint
}

// reach is called where a point is. It returns an error, or not at all, when a failpoint says so.
func reach(name string) error {
	armed.Lock()
	f := armed.at[name]
	armed.Unlock()
	if f == nil {
		return nil
	}
	if n := f.hits.Add(1); f.only != 0 && n != f.only {
		return nil
	}
	fmt.Fprintf(os.Stderr, "failpoint %s: %s\n", f.name, f.action)
	switch f.action {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "pause":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		time.Sleep(10 * time.Millisecond) // the other threads stop a moment later; this one must not go on before
	case "err":
		return fmt.Errorf("%w %s", errFailpoint, f.name)
	default:
		time.Sleep(f.sleep)
	}
	return nil
}

// arm reads FAILPOINTS and CLOCK_SKEW, and puts itself between the parts.
func (a *App) arm() error {
	at := map[string]*failpoint{}
	for _, word := range strings.Fields(os.Getenv("FAILPOINTS")) {
		f, err := parseFailpoint(word)
		if err != nil {
			return fmt.Errorf("FAILPOINTS: %q: %w", word, err)
		}
		at[f.name] = f
	}
	armed.Lock()
	armed.at = at
	armed.Unlock()

	if text := os.Getenv("CLOCK_SKEW"); text != "" {
		skew, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("CLOCK_SKEW: %w", err)
		}
		a.o.StoreClock = func() time.Time { return time.Now().Add(skew) }
	}
	hook := a.o.StoreHook
	a.o.StoreHook = func(op string, committed bool) error {
		if hook != nil {
			if err := hook(op, committed); err != nil {
				return err
			}
		}
		name := commits[op][0]
		if committed {
			name = commits[op][1]
		}
		return reach(name)
	}
	if a.o.GitHub == nil {
		a.o.GitHub = http.DefaultTransport.(*http.Transport).Clone()
	}
	a.o.GitHub = failingWire{a.o.GitHub}
	return nil
}

func parseFailpoint(word string) (*failpoint, error) {
	name, action, _ := strings.Cut(word, "=")
	action, hit, once := strings.Cut(action, "@")
	f := &failpoint{name: name, action: action}
	if points[name] == "" {
		return nil, errors.New("there is no such point")
	}
	if ms, ok := strings.CutPrefix(action, "sleep:"); ok {
		n, err := strconv.Atoi(ms)
		if err != nil {
			return nil, errors.New("sleep: wants milliseconds")
		}
		f.sleep = time.Duration(n) * time.Millisecond
	} else if !slices.Contains([]string{"kill", "pause", "err"}, action) {
		return nil, errors.New("the action is kill, pause, err or sleep:ms")
	}
	if once {
		n, err := strconv.ParseInt(hit, 10, 64)
		if err != nil || n < 1 {
			return nil, errors.New("@ wants the number of a hit, from 1")
		}
		f.only = n
	}
	return f, nil
}

// failingInbox has the points between a signature and an answer.
type failingInbox struct {
	webhook.Inbox
	hints bool
}

func (a *App) entrance() webhook.Inbox { return failingInbox{a.inbox, a.hints != nil} }

func (in failingInbox) Accept(ctx context.Context, d pull.Delivery) (pull.Receipt, error) {
	if err := reach("S2"); err != nil {
		return pull.Receipt{}, err
	}
	receipt, err := in.Inbox.Accept(ctx, d)
	if err == nil && !in.hints {
		err = reach("S5")
	}
	return receipt, err
}

// told is called when hints have been put into the list in Redis: with one, that is where S5 is.
func (a *App) told() {
	_ = reach("S5") // nothing can fail here
	a.intake.Nudge()
}

// A failingShelf has the point where intake has deliveries in its hands. The hook has those around its commit.
type failingShelf struct{ delivery.Store }

func (a *App) shelf() delivery.Store { return failingShelf{a.store} }

func (s failingShelf) Intake(ctx context.Context, which pull.Taking, route func(pull.Delivery) pull.Route) ([]pull.Attempt, int, error) {
	var once sync.Once
	if which.IDs != nil { // taken from the list in Redis
		if err := reach("W1"); err != nil {
			return nil, 0, err
		}
		once.Do(func() {})
	}
	return s.Store.Intake(ctx, which, func(d pull.Delivery) pull.Route {
		once.Do(func() {
			if err := reach("W1"); err != nil {
				panic(err) // fails this delivery's routing, as a bug would
			}
		})
		return route(d)
	})
}

// failingBodies has the point at the end of a webhook's body.
func failingBodies(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &failingBody{ReadCloser: r.Body, point: "S1"}
		h.ServeHTTP(w, r)
	})
}

// A failingBody reaches its point when it has been read.
type failingBody struct {
	io.ReadCloser
	point string
	once  sync.Once
}

func (b *failingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.once.Do(func() {
			if ferr := reach(b.point); ferr != nil {
				err = ferr
			}
		})
	}
	return n, err
}

// A failingWire is the way to GitHub, with the points before and after an answer is read.
type failingWire struct{ to http.RoundTripper }

func (w failingWire) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.to.RoundTrip(r)
	switch {
	case err != nil || strings.HasSuffix(r.URL.Path, "/access_tokens"):
		return resp, err
	case strings.HasSuffix(r.URL.Path, "/graphql"):
		resp.Body = &failingBody{ReadCloser: resp.Body, point: "R2"}
	case r.Method != http.MethodGet:
		if err := reach("R5"); err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
		resp.Body = &failingBody{ReadCloser: resp.Body, point: "R6"}
	}
	return resp, nil
}
