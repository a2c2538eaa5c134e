package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/klauspost/compress/s2"
	"golang.org/x/sync/errgroup"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/app"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/store"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/visitor"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/webhook"
)

// status is what a receiver says of itself.
type status struct {
	CPU  time.Duration // of this process, the kernel's share included
	Peak int64         // resident memory at its highest, in bytes
}

// ended is what a receiver found in its database at the end.
type ended struct {
	Kept int // -1: it has none
	Took time.Duration
}

// A receiver is one of the targets.
type receiver struct {
	handler http.Handler
	run     func(context.Context) error          // what works in the background; nil: nothing
	drain   func(context.Context) (ended, error) // nil: nothing is kept
	close   func() error
}

// serve runs one receiver until its standard input ends.
func serve(s settings) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var r receiver
	var err error
	switch s.target {
	case "bare":
		r = receiver{handler: bare(func([]byte) error { return nil })}
	case "file":
		r, err = file(s.dir)
	case "sqlite":
		r, err = ours(ctx, "sqlite:"+filepath.Join(s.dir, "bench.db"))
	case "postgres":
		r, err = ours(ctx, s.postgres)
	default:
		err = fmt.Errorf("unknown target; want bare, file, sqlite or postgres")
	}
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: r.handler}
	webhook.Timeouts(srv)
	var g errgroup.Group
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	if r.run != nil {
		g.Go(func() error { return r.run(ctx) })
	}
	if s.profile != "" {
		f, err := os.Create(filepath.Join(s.profile, s.target+".pprof"))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}

	out := json.NewEncoder(os.Stdout)
	err = out.Encode(struct{ Address string }{l.Addr().String()})
	for in := bufio.NewScanner(os.Stdin); err == nil && in.Scan(); {
		switch in.Text() {
		case "status":
			var st status
			if st, err = self(); err == nil {
				err = out.Encode(st)
			}
		case "drain":
			e := ended{Kept: -1}
			if r.drain != nil {
				e, err = r.drain(ctx)
			}
			if err == nil {
				err = out.Encode(e)
			}
		}
	}
	err = errors.Join(err, srv.Shutdown(ctx))
	cancel()
	err = errors.Join(err, g.Wait())
	if r.close != nil {
		err = errors.Join(err, r.close())
	}
	return err
}

func self() (status, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return status{}, err
	}
	return status{
		CPU:  time.Duration(u.Utime.Nano() + u.Stime.Nano()),
		Peak: u.Maxrss * 1024, // Linux counts it in kilobytes
	}, nil
}

// bare reads a body, verifies its signature, hands it to keep and says 202: what every receiver has to do.
func bare(keep func([]byte) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		want, err := hex.DecodeString(strings.TrimPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="))
		h := hmac.New(sha256.New, []byte(secret))
		h.Write(body)
		if err != nil || !hmac.Equal(h.Sum(nil), want) {
			http.Error(w, "signature", http.StatusUnauthorized)
			return
		}
		if err := keep(body); err != nil {
			http.Error(w, "keep", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"accepted"}`)
	})
}

// file appends compressed bodies to a file and syncs it for whatever has come together: the least that "kept" costs.
func file(dir string) (receiver, error) {
	f, err := os.Create(filepath.Join(dir, "bodies"))
	if err != nil {
		return receiver{}, err
	}
	type entry struct {
		body []byte
		done chan error
	}
	entries := make(chan entry, 1024)
	var mu sync.Mutex // held by the writer while it runs, so that close waits for it
	return receiver{
		handler: bare(func(body []byte) error {
			e := entry{s2.Encode(nil, body), make(chan error, 1)}
			entries <- e
			return <-e.done
		}),
		run: func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			for {
				var batch []entry
				select {
				case e := <-entries:
					batch = append(batch, e)
				case <-ctx.Done():
					return nil
				}
				for more := true; more; {
					select {
					case e := <-entries:
						batch = append(batch, e)
					default:
						more = false
					}
				}
				var all []byte
				for _, e := range batch {
					all = append(all, e.body...)
				}
				_, err := f.Write(all)
				err = errors.Join(err, f.Sync())
				for _, e := range batch {
					e.done <- err
				}
			}
		},
		close: func() error {
			mu.Lock()
			defer mu.Unlock()
			return f.Close()
		},
	}, nil
}

// ours is the service, from the request to the key that is due.
func ours(ctx context.Context, url string) (receiver, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, err := store.Open(ctx, url, store.Options{Logger: log})
	if err != nil {
		return receiver{}, err
	}
	if _, _, err := st.Migrate(ctx); err != nil {
		return receiver{}, errors.Join(err, st.Close())
	}
	m := telemetry.NewMetrics("bench", "bench")
	kept := &counted{Store: st}
	var inbox *delivery.Inbox
	intake := delivery.NewIntake(kept, m, log, delivery.IntakeOptions{Busy: func() bool { return inbox.Busy() }})
	inbox = delivery.NewInbox(kept, m, log, delivery.Options{Committed: func([]pull.Delivery) { intake.Nudge() }})
	h := webhook.New(webhook.Options{
		Secrets: func() [][]byte { return [][]byte{[]byte(secret)} }, Validate: true,
		RateLimit: visitor.RateLimit{Enabled: true, Max: 100, Window: time.Minute},
	}, inbox, m, log)
	first, err := st.Stats(ctx)
	if err != nil {
		return receiver{}, errors.Join(err, st.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/webhook", h)
	lines := telemetry.NewLogger(io.Discard, slog.LevelInfo, telemetry.FormatJSON, nil)
	return receiver{
		handler: app.AccessLog(app.AccessSome, nil, lines, mux), // as production has it
		run: func(ctx context.Context) error {
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { return inbox.Run(ctx) })
			g.Go(func() error { return intake.Run(ctx) })
			g.Go(func() error { return st.Maintain(ctx) })
			return g.Wait()
		},
		drain: func(ctx context.Context) (ended, error) {
			began := time.Now()
			for {
				now, err := st.Stats(ctx)
				if err != nil {
					return ended{}, err
				}
				rows := now.Received - first.Received
				if kept.taken.Load() >= rows || time.Since(began) > time.Minute {
					return ended{Kept: int(rows), Took: time.Since(began)}, nil
				}
				time.Sleep(10 * time.Millisecond)
			}
		},
		close: st.Close,
	}, nil
}

// counted is a store that counts what intake has taken.
type counted struct {
	*store.Store
	taken atomic.Int64
}

func (c *counted) Intake(ctx context.Context, which pull.Taking, route func(pull.Delivery) pull.Route) ([]pull.Attempt, int, error) {
	attempts, n, err := c.Store.Intake(ctx, which, route)
	c.taken.Add(int64(n))
	return attempts, n, err
}
