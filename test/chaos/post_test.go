package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A post carries webhooks from GitHub to the replicas, in turn, and keeps a record of what was answered. It sends some of
// them three times at once, and some a second time under another id, as GitHub never would but somebody else might.
//
// What is not acknowledged is sent again, under the same id, until it is: that is what the button at GitHub is for.
type post struct {
	client    *http.Client
	secret    string
	duplicate float64 // part that is sent three times at once
	replay    float64 // part that is sent again under another id
	late      float64 // part that is sent again under the same id, when it has long been processed

	mu      sync.Mutex
	rand    *rand.Rand
	targets []string
	turn    int
	sent    map[string]int // by id: how often
	acked   map[string]bool
	fresh   map[string]int  // by id: how often it was called new
	refused map[int]int     // by status: answers that were not 2xx; 0 is none at all
	unheard int             // connections that nobody took
	worst   time.Duration   // the longest that an acknowledgement took
	took    []time.Duration // by all of them
	again   []parcel
	recent  []parcel // what GitHub has sent lately
	under   int      // on their way
	stopped bool
	ended   sync.WaitGroup
}

// A parcel is one webhook: what is sent, and under which id.
type parcel struct {
	id, event string
	body      []byte
	next      time.Time // not before
}

func newPost(r *rand.Rand, secret string) *post {
	return &post{
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}},
		secret: secret, rand: r, sent: map[string]int{}, acked: map[string]bool{}, fresh: map[string]int{}, refused: map[int]int{},
	}
}

// deliver is GitHub's way to the service.
func (p *post) deliver(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	d := parcel{id: r.Header.Get("X-GitHub-Delivery"), event: r.Header.Get("X-GitHub-Event"), body: body}
	p.mu.Lock()
	if p.recent = append(p.recent, d); len(p.recent) > 50 {
		p.recent = p.recent[1:]
	}
	more := 0
	if p.rand.Float64() < p.duplicate {
		more = 2
	}
	if p.rand.Float64() < p.replay {
		p.again = append(p.again, parcel{id: guid(p.rand), event: d.event, body: body, next: time.Now().Add(time.Duration(p.rand.IntN(500)) * time.Millisecond)})
	}
	if p.rand.Float64() < p.late {
		d := d
		d.next = time.Now().Add(time.Second + time.Duration(p.rand.IntN(1000))*time.Millisecond)
		p.again = append(p.again, d)
	}
	p.mu.Unlock()
	for range more {
		p.spawn(d)
	}
	status, answer := p.send(r.Context(), d)
	if status == 0 {
		p.later(d)
		return nil, errors.New(answer)
	}
	if status/100 != 2 {
		p.later(d)
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(answer)))}, nil
}

// spawn sends a parcel beside everything else.
func (p *post) spawn(d parcel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	p.under++
	p.ended.Go(func() {
		status, _ := p.send(context.Background(), d)
		if status/100 != 2 {
			p.later(d)
		}
		p.mu.Lock()
		p.under--
		p.mu.Unlock()
	})
}

// later puts a parcel back.
func (p *post) later(d parcel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.next = time.Now().Add(250 * time.Millisecond)
	p.again = append(p.again, d)
}

// run sends again what has to be, until ctx ends.
func (p *post) run(ctx context.Context) {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.stopped = true
			p.mu.Unlock()
			p.ended.Wait()
			return
		case <-t.C:
		}
		p.mu.Lock()
		var due []parcel
		now := time.Now()
		for i := 0; i < len(p.again) && p.under+len(due) < 32; {
			if d := p.again[i]; d.next.Before(now) {
				due = append(due, d)
				p.again = slices.Delete(p.again, i, i+1)
				continue
			}
			i++
		}
		p.mu.Unlock()
		for _, d := range due {
			p.spawn(d)
		}
	}
}

// send sends a parcel once, to the next replica that takes the connection, and returns the status of the answer, 0 when
// there was none.
func (p *post) send(ctx context.Context, d parcel) (status int, answer string) {
	p.mu.Lock()
	p.sent[d.id]++
	targets := slices.Clone(p.targets)
	p.turn++
	turn := p.turn
	p.mu.Unlock()
	began := time.Now()
	status, answer = 0, "there is no replica"
	for i := range targets {
		var err error
		if status, answer, err = p.try(ctx, targets[(turn+i)%len(targets)], d); err == nil {
			break
		}
		status, answer = 0, err.Error()
		if op := (*net.OpError)(nil); !errors.As(err, &op) || op.Op != "dial" {
			break // it may have arrived: what became of it is unknown
		}
		p.mu.Lock()
		p.unheard++
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if status != http.StatusAccepted {
		p.refused[status]++
		return status, answer
	}
	p.acked[d.id] = true
	p.worst = max(p.worst, time.Since(began))
	p.took = append(p.took, time.Since(began))
	var a struct{ Status string }
	if json.Unmarshal([]byte(answer), &a) == nil && a.Status == "accepted" {
		p.fresh[d.id]++
	}
	return status, answer
}

func (p *post) try(ctx context.Context, url string, d parcel) (status int, answer string, err error) {
	p.mu.Lock()
	secret := p.secret
	p.mu.Unlock()
	req, err := testenv.Webhook(ctx, url, secret, d.event, d.id, d.body)
	if err != nil {
		return 0, "", err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", fmt.Errorf("read the answer: %w", err)
	}
	return resp.StatusCode, string(text), nil
}

// aim says where parcels go from now on.
func (p *post) aim(targets ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = targets
}

// sign says with which secret parcels are signed from now on.
func (p *post) sign(secret string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.secret = secret
}

// flood sends so many parcels a second, whatever becomes of them, until stop closes: what was sent lately, under new ids.
// Nothing of it is sent again. It returns how many there were.
func (p *post) flood(rate int, stop <-chan struct{}) (n int) {
	t := time.NewTicker(time.Second / time.Duration(rate))
	defer t.Stop()
	var under sync.WaitGroup
	defer under.Wait()
	for {
		select {
		case <-stop:
			return n
		case <-t.C:
		}
		p.mu.Lock()
		d := p.recent[p.rand.IntN(len(p.recent))]
		d.id = guid(p.rand)
		p.mu.Unlock()
		n++
		under.Go(func() { p.send(context.Background(), d) })
	}
}

// answers are how many sendings were answered with each status other than 202; 0 is no answer.
func (p *post) answers() map[int]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.refused)
}

// waiting is how many parcels are on their way or have to be sent again.
func (p *post) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.under + len(p.again)
}

// count returns how many ids were sent, how many sendings that were, and how many ids are acknowledged.
func (p *post) count() (ids, sendings, acked int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.sent {
		sendings += n
	}
	return len(p.sent), sendings, len(p.acked)
}
