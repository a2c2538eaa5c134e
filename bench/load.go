package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/webhook"
)

const (
	secret      = "the bench's secret, of no use"
	payloadSize = 25_000
)

// loaded is what the load saw.
type loaded struct {
	Accepted, Refused int
	Took, P50, P99    time.Duration
}

// load keeps -conns connections busy for -seconds: each sends a delivery, waits for the answer, sends the next. It
// speaks HTTP by hand, since a full client would take the processor from what is measured.
func load(s settings) error {
	text, err := example(s.payload)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var all []time.Duration
	var total loaded
	var first error
	var wg sync.WaitGroup
	began := time.Now()
	for n := range s.conns {
		wg.Go(func() {
			took, refused, err := sendMany(s, text, n, began.Add(s.seconds))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			total.Refused += refused
			first = errors.Join(first, err)
		})
	}
	wg.Wait()
	if first != nil {
		return first
	}
	total.Took = time.Since(began)
	total.Accepted = len(all)
	if len(all) > 0 {
		slices.Sort(all)
		total.P50, total.P99 = all[len(all)/2], all[len(all)*99/100]
	}
	return json.NewEncoder(os.Stdout).Encode(total)
}

func sendMany(s settings, text *template, n int, until time.Time) (took []time.Duration, refused int, err error) {
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	rnd := rand.New(rand.NewPCG(uint64(n), uint64(time.Now().UnixNano())))
	var body, request []byte
	for i := 0; time.Now().Before(until); i++ {
		body = text.fill(body[:0], rnd)
		request = fmt.Appendf(request[:0], "POST /webhook HTTP/1.1\r\nHost: bench\r\nUser-Agent: GitHub-Hookshot/bench\r\nContent-Type: application/json\r\n"+
			"X-GitHub-Event: pull_request\r\nX-GitHub-Delivery: %s-%d-%d-%x\r\nX-Hub-Signature-256: %s\r\nContent-Length: %d\r\n\r\n",
			s.target, n, i, rnd.Uint64(), webhook.Sign(secret, body), len(body))
		request = append(request, body...)
		at := time.Now()
		if _, err := c.Write(request); err != nil {
			return took, refused, err
		}
		status, err := readAnswer(in)
		if err != nil {
			return took, refused, err
		}
		if status == 202 {
			took = append(took, time.Since(at))
		} else {
			refused++
		}
	}
	return took, refused, nil
}

// readAnswer reads one answer with a Content-Length.
func readAnswer(in *bufio.Reader) (status int, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			if len(line) < 12 {
				return 0, fmt.Errorf("answer %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, fmt.Errorf("answer %q", line)
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return 0, err
			}
		}
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return status, err
}

// A template is a real pull_request delivery with holes: its commits, numbers, ids and words are new in each copy.
type template struct {
	parts [][]byte
	holes []hole // one between every two parts
}

type hole byte

const (
	holeSHA    hole = 'S'
	holeNumber hole = 'N'
	holeRepo   hole = 'R'
	holeText   hole = 'T'
)

func example(path string) (*template, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the example deliveries: %w; run: (cd test && npm ci --ignore-scripts)", err)
	}
	var events []struct {
		Name     string
		Examples []json.RawMessage
	}
	if err := json.Unmarshal(text, &events); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for _, e := range events {
		if e.Name != "pull_request" {
			continue
		}
		for _, raw := range e.Examples {
			var p struct {
				Action     string
				Number     int
				Repository struct{ ID int64 }
				PR         struct {
					Head struct{ SHA string }
					Body *string
				} `json:"pull_request"`
			}
			if err := json.Unmarshal(raw, &p); err != nil {
				return nil, err
			}
			if p.Action != "opened" || p.PR.Body == nil {
				continue
			}
			var b bytes.Buffer
			if err := json.Compact(&b, raw); err != nil {
				return nil, err
			}
			doc := b.Bytes()
			mark := func(old string, h hole) {
				doc = bytes.ReplaceAll(doc, []byte(old), []byte{0, byte(h)})
			}
			mark(p.PR.Head.SHA, holeSHA)
			mark(fmt.Sprintf(`"number":%d`, p.Number), holeNumber)
			mark(fmt.Sprintf(`"id":%d,"node_id":"MDEwOlJlcG9zaXRvcnk`, p.Repository.ID), holeRepo)
			quoted, err := json.Marshal(*p.PR.Body)
			if err != nil {
				return nil, err
			}
			mark(`"body":`+string(quoted), holeText)
			t := &template{}
			for {
				before, after, ok := bytes.Cut(doc, []byte{0})
				t.parts = append(t.parts, before)
				if !ok {
					break
				}
				t.holes = append(t.holes, hole(after[0]))
				doc = after[1:]
			}
			for _, h := range []hole{holeSHA, holeNumber, holeRepo, holeText} {
				if !slices.Contains(t.holes, h) {
					return nil, fmt.Errorf("the example has no place for %c", h)
				}
			}
			return t, nil
		}
	}
	return nil, fmt.Errorf("%s has no pull_request that was opened with a text", path)
}

const words = "fix the flaky test of retries when a runner is lost and the queue waits for somebody to look at it again please see also "

func (t *template) fill(b []byte, rnd *rand.Rand) []byte {
	number, repo := 1+rnd.IntN(500), 1_000_000+rnd.IntN(20)
	var commit [40]byte
	for i := range commit {
		commit[i] = "0123456789abcdef"[rnd.IntN(16)]
	}
	fixed := 0
	for _, p := range t.parts {
		fixed += len(p)
	}
	for i, p := range t.parts {
		b = append(b, p...)
		if i == len(t.holes) {
			break
		}
		switch t.holes[i] {
		case holeSHA:
			b = append(b, commit[:]...)
		case holeNumber:
			b = fmt.Appendf(b, `"number":%d`, number)
		case holeRepo:
			b = fmt.Appendf(b, `"id":%d,"node_id":"MDEwOlJlcG9zaXRvcnk`, repo)
		case holeText:
			b = append(b, `"body":"`...)
			for end := len(b) + payloadSize - fixed - 250; len(b) < end; {
				at := rnd.IntN(len(words) - 12)
				b = append(b, words[at:at+12]...)
			}
			b = append(b, '"')
		}
	}
	return b
}
