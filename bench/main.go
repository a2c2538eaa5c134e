// Bench measures what an acknowledgement costs: how many deliveries per second the entrance takes, how long a sender
// waits, and how much processor time and memory that needs. Run it with
//
//	go run ./bench
//
// It compares in one run, with the same load, four receivers:
//
//	bare      net/http that reads the body and verifies the signature: nobody can do less
//	file      the same, and the body is compressed and appended to a file that is synced in groups: the disk's limit
//	sqlite    this service: handler, inbox, intake and store on SQLite, synchronous=FULL
//	postgres  this service on PostgreSQL, synchronous_commit=on
//
// Each runs as a process of its own (this program, started again), and so does what makes the load, so that
// the processor time of one is not that of another. All deliveries are pull_request events of 25 KB, signed, and no two
// are the same. Ratios are what to compare between machines; the rest is this machine's.
//
// Beside these it measures what a decision costs ("decide", policy.go), which is a matter of the processor alone.
//
// After a run it looks into the database: every acknowledged delivery must be there, and intake must get through them.
// It exits with 1 if one is missing, if any was refused, or if a target is missed.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are the flags. The other two programs in this one are reached by -role.
type settings struct {
	role, target, address, dir, postgres, payload, profile string
	seconds, warmup                                        time.Duration
	rounds, conns                                          int
	targets                                                string
	check                                                  bool
}

func run() error {
	var s settings
	flag.StringVar(&s.targets, "targets", "bare,file,sqlite,postgres,decide", "what to measure")
	flag.DurationVar(&s.seconds, "seconds", 5*time.Second, "how long to measure each target in a round")
	flag.DurationVar(&s.warmup, "warmup", time.Second, "how long to run each before that")
	flag.IntVar(&s.rounds, "rounds", 2, "how often to go round; the best of each target counts")
	flag.IntVar(&s.conns, "conns", 64, "connections")
	flag.StringVar(&s.dir, "dir", "", "where databases and files go; a temporary directory by default. Must be on a disk to mean anything")
	flag.StringVar(&s.postgres, "postgres", os.Getenv("BENCH_POSTGRES"), "an empty PostgreSQL database to use, as a URL; by default a server of its own is started for the run")
	flag.StringVar(&s.payload, "payload", "test/node_modules/@octokit/webhooks-examples/api.github.com/index.json", "where the example deliveries are")
	flag.BoolVar(&s.check, "check", true, "whether a missed target is a failure")
	flag.StringVar(&s.profile, "profile", "", "directory to write a processor profile of each target to")
	flag.StringVar(&s.role, "role", "", "internal: serve or load")
	flag.StringVar(&s.target, "target", "", "internal: what to serve")
	flag.StringVar(&s.address, "address", "", "internal: what to load")
	flag.Parse()
	switch s.role {
	case "serve":
		return serve(s)
	case "load":
		return load(s)
	case "":
		return measure(s)
	}
	return fmt.Errorf("-role %q is not one of serve, load", s.role)
}

// A result is one target in one round.
type result struct {
	target  string
	load    loaded
	cpu     time.Duration // of the receiver, while measured
	rss     int64         // its peak, in bytes
	kept    int           // deliveries in the database at the end; -1: there is none
	acked   int           // 202s, warm-up included
	drained time.Duration // until intake had taken them all
}

func (r result) rate() float64 { return float64(r.load.Accepted) / r.load.Took.Seconds() }
func (r result) each() float64 {
	return float64(r.cpu.Microseconds()) / float64(max(1, r.load.Accepted))
}

func measure(s settings) error {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.dir = dir
	}
	targets := strings.Split(s.targets, ",")
	decides := slices.Contains(targets, "decide")
	targets = slices.DeleteFunc(targets, func(t string) bool { return t == "decide" })
	if slices.Contains(targets, "postgres") && s.postgres == "" {
		url, stop, err := startPostgres(s.dir)
		if err != nil {
			return fmt.Errorf("start PostgreSQL (or name one with -postgres, or leave it out with -targets): %w", err)
		}
		defer stop()
		s.postgres = url
	}
	best := map[string]result{}
	for round := range s.rounds {
		for _, target := range targets {
			r, err := one(s, target, round)
			if err != nil {
				return fmt.Errorf("%s: %w", target, err)
			}
			if r.kept >= 0 && r.kept < r.acked {
				return fmt.Errorf("%s: %d deliveries were acknowledged, %d are kept", target, r.acked, r.kept)
			}
			if old, ok := best[target]; !ok || r.rate() > old.rate() {
				r.load.Refused += old.load.Refused
				best[target] = r
			} else {
				old.load.Refused += r.load.Refused
				best[target] = old
			}
			fmt.Fprintf(os.Stderr, "round %d, %s: %.0f/s\n", round+1, target, r.rate())
		}
	}
	return report(targets, best, decides, s.check)
}

func report(targets []string, best map[string]result, decides, check bool) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "target\treq/s\tCPU µs/req\tp50 ms\tp99 ms\tpeak RSS MB\trefused\tof file's req/s\tof bare's CPU\tintake done after\t")
	bare, file := best["bare"], best["file"]
	var missed []string
	for _, t := range targets {
		r := best[t]
		share, times, drained := "", "", ""
		if file.target != "" {
			share = fmt.Sprintf("%.0f %%", 100*r.rate()/file.rate())
		}
		if bare.target != "" {
			times = fmt.Sprintf("%.1f ×", r.each()/bare.each())
		}
		if r.kept >= 0 {
			drained = r.drained.Round(time.Millisecond).String()
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.1f\t%.1f\t%.0f\t%d\t%s\t%s\t%s\t\n", t, r.rate(), r.each(),
			r.load.P50.Seconds()*1e3, r.load.P99.Seconds()*1e3, float64(r.rss)/1e6, r.load.Refused, share, times, drained)
		if r.load.Refused > 0 {
			missed = append(missed, fmt.Sprintf("%s refused %d", t, r.load.Refused))
		}
		if t != "sqlite" {
			continue
		}
		if file.target != "" && r.rate() < 0.4*file.rate() {
			missed = append(missed, "sqlite takes less than 40 % of what the disk allows")
		}
		if bare.target != "" && r.each() > 5*bare.each() {
			missed = append(missed, "sqlite needs more than 5 times the processor time of a bare receiver")
		}
		if r.rss > 80e6 {
			missed = append(missed, "sqlite takes more than 80 MB")
		}
	}
	if len(targets) > 0 {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if decides {
		more, err := decide()
		if err != nil {
			return err
		}
		missed = append(missed, more...)
	}
	if len(missed) > 0 && check {
		return fmt.Errorf("targets missed: %s", strings.Join(missed, "; "))
	}
	return nil
}

// one starts a receiver and a load, and returns what they say.
func one(s settings, target string, round int) (result, error) {
	r := result{target: target, kept: -1}
	dir, err := os.MkdirTemp(s.dir, target)
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	srv, err := spawn("-role", "serve", "-target", target, "-dir", dir, "-postgres", s.postgres, "-profile", s.profile)
	if err != nil {
		return r, err
	}
	defer srv.stop()
	var hello struct{ Address string }
	if err := srv.ask("", &hello); err != nil {
		return r, err
	}
	var acked int
	once := func(d time.Duration) (loaded, error) {
		var l loaded
		gen, err := spawn("-role", "load", "-address", hello.Address, "-seconds", d.String(), "-conns", fmt.Sprint(s.conns), "-payload", s.payload, "-target", fmt.Sprintf("%s-%d-%v", target, round, d))
		if err != nil {
			return l, err
		}
		defer gen.stop()
		err = gen.ask("", &l)
		acked += l.Accepted
		return l, err
	}
	if s.warmup > 0 {
		if _, err := once(s.warmup); err != nil {
			return r, err
		}
	}
	var before, after status
	if err := srv.ask("status", &before); err != nil {
		return r, err
	}
	if r.load, err = once(s.seconds); err != nil {
		return r, err
	}
	if err := srv.ask("status", &after); err != nil {
		return r, err
	}
	r.cpu, r.rss, r.acked = after.CPU-before.CPU, after.Peak, acked
	var end ended
	if err := srv.ask("drain", &end); err != nil {
		return r, err
	}
	r.kept, r.drained = end.Kept, end.Took
	return r, nil
}

// A child is this program in another role. It is talked to in lines: a question on its standard input, JSON back.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func spawn(args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, args...)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.cmd.Start()
}

func (c *child) ask(question string, answer any) error {
	if question != "" {
		if _, err := fmt.Fprintln(c.in, question); err != nil {
			return err
		}
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the %v process ended: %w", c.cmd.Args[1:3], err)
	}
	return json.Unmarshal(line, answer)
}

func (c *child) stop() {
	c.in.Close()
	_ = c.cmd.Wait() // how it ended matters only if a question found no answer
}
