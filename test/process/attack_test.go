package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// Attackers that keep a processor busy run in a process of their own, the test binary once more: the kernel shares the
// machine out among them, the service, and the test that measures; and what they cost themselves can be told.

const (
	hugeSenders = 200
	hugeSize    = 25 << 20
	floodRate   = 2000 // a second
)

// An attackResult is what an attacker saw.
type attackResult struct {
	Answers  map[int]int   // by status; 0: the connection ended without an answer
	P50, P99 time.Duration // until a 503 (huge), or any answer (flood)
	cpu      time.Duration
}

// attack runs an attacker to its end.
func attack(t *testing.T, p *testenv.Process, kind string, lasts time.Duration) (r attackResult) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ATTACK="+kind, "ATTACK_ADDRESS="+address(p), "ATTACK_LASTS="+lasts.String())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		t.Fatalf("attack %s: %v\n%s%s", kind, err, out, &errs)
	}
	r.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(10 * time.Millisecond)
	return r
}

// attacker is the other process.
func attacker(kind string) {
	lasts, err := time.ParseDuration(os.Getenv("ATTACK_LASTS"))
	if err != nil {
		panic(err)
	}
	a := &attackLog{answers: map[int]int{}}
	switch until := time.Now().Add(lasts); kind {
	case "huge":
		a.huge(os.Getenv("ATTACK_ADDRESS"), until)
	case "flood":
		a.flood(os.Getenv("ATTACK_ADDRESS"), until)
	default:
		panic("no such attack: " + kind)
	}
	r := attackResult{Answers: a.answers}
	if slices.Sort(a.took); len(a.took) > 0 {
		r.P50, r.P99 = a.took[len(a.took)/2], a.took[len(a.took)*99/100]
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
}

type attackLog struct {
	mu      sync.Mutex
	answers map[int]int
	took    []time.Duration
}

func (a *attackLog) note(status int, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[status]++
	if took > 0 {
		a.took = append(a.took, took)
	}
}

// huge sends bodies of 25 MB with a wrong signature, some with their length and some without, and tries again soon.
func (a *attackLog) huge(to string, until time.Time) {
	chunk := bytes.Repeat([]byte("x"), 256<<10)
	var wg sync.WaitGroup
	for s := range hugeSenders {
		chunked := s%4 == 3 // how large they are shows only when all of it has come
		wg.Go(func() {
			for time.Now().Before(until) {
				began := time.Now()
				c, err := net.Dial("tcp", to)
				if err != nil {
					panic(err)
				}
				_ = c.SetDeadline(began.Add(30 * time.Second))
				go func() {
					length := fmt.Sprintf("Content-Length: %d\r\n\r\n", hugeSize)
					if chunked {
						length = "Transfer-Encoding: chunked\r\n\r\n"
					}
					_, err := io.WriteString(c, head("sha256="+strings.Repeat("0", 64), length))
					for sent := 0; sent < hugeSize && err == nil; sent += len(chunk) {
						if chunked {
							_, _ = fmt.Fprintf(c, "%x\r\n", len(chunk))
						}
						if _, err = c.Write(chunk); chunked && err == nil {
							_, err = io.WriteString(c, "\r\n")
						}
					}
					if chunked {
						_, _ = io.WriteString(c, "0\r\n\r\n")
					}
				}()
				status := statusOf(c)
				var took time.Duration
				if status == http.StatusServiceUnavailable {
					took = time.Since(began)
				}
				a.note(status, took)
				c.Close()
				time.Sleep(250 * time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// flood sends small deliveries with a wrong signature over a few connections.
func (a *attackLog) flood(to string, until time.Time) {
	const senders = 16
	body := pullRequest(7)
	request := []byte(head("sha256="+strings.Repeat("a", 64), fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)))
	began := time.Now()
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			c, err := net.Dial("tcp", to)
			if err != nil {
				panic(err)
			}
			defer c.Close()
			in := bufio.NewReader(c)
			_ = c.SetDeadline(until.Add(30 * time.Second))
			for n := 0; time.Now().Before(until); n++ {
				if due := began.Add(time.Duration(n) * time.Second * senders / floodRate); time.Until(due) > time.Millisecond {
					time.Sleep(time.Until(due))
				}
				sent := time.Now()
				if _, err := c.Write(request); err != nil {
					a.note(0, 0)
					return
				}
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					a.note(0, 0)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				a.note(res.StatusCode, time.Since(sent))
			}
		})
	}
	wg.Wait()
}
