package webhook

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// The bounds of what bodies may take. GitHub caps payloads at 25 MB and sends nothing larger.
const (
	maxBody    = 25 << 20
	budgetAll  = 128 << 20
	budgetKept = 16 << 20 // of it, for bodies below smallBody: 200 huge ones must not keep out what is normal
	smallBody  = 1 << 20
)

var (
	errTooLarge = errors.New("the body is larger than 25 MB")
	errNoRoom   = errors.New("too many bodies are being received at the moment; send it again")
)

// A budget counts the bytes of buffers in use, so that memory is bounded whatever arrives at once.
type budget struct {
	mu   sync.Mutex
	used int
	idle []*buffer // large ones to be used again, the latest last
	kept int       // bytes of those; with used never more than budgetAll
	tidy *time.Timer
}

// take reserves n bytes, or reports that there is no room now. It never waits: whoever gets no room is told at once,
// while the connection is cheap.
func (b *budget) take(n int) bool {
	limit := budgetAll
	if n > smallBody {
		limit -= budgetKept
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > limit {
		return false
	}
	b.used += n
	return true
}

func (b *budget) give(n int) {
	b.mu.Lock()
	b.used -= n
	b.mu.Unlock()
}

// Buffers come in a few sizes. A body begins in the smallest and moves up as it really arrives: what a slow sender
// announces costs nothing, only what it has sent does.
//
// All are used again. Of the large ones those that are idle count too: left to the collector they would take as much
// again as the budget allows, and in a pool, once for each size.
var sizes = [...]int{4 << 10, 64 << 10, 256 << 10, smallBody, 8 << 20, maxBody + 1}

var pools [3]sync.Pool // of the small ones

// idleFor is how long large buffers stay after they were used.
const idleFor = 10 * time.Second

// A buffer is a piece of the budget. Its zero value has no room.
type buffer struct {
	b     []byte // length: what is filled
	class int
	from  *budget
}

// newBuffer takes the smallest buffer with room for n bytes.
func (b *budget) newBuffer(n int) (*buffer, error) {
	class := 0
	for sizes[class] < n {
		class++
	}
	if !b.take(sizes[class]) {
		return nil, errNoRoom
	}
	if class >= len(pools) {
		return b.large(class), nil
	}
	if v, ok := pools[class].Get().(*buffer); ok {
		v.b, v.from = v.b[:0], b
		return v, nil
	}
	return &buffer{b: make([]byte, 0, sizes[class]), class: class, from: b}, nil
}

// large returns an idle buffer of the class, or a new one in place of idle ones of other classes.
func (b *budget) large(class int) *buffer {
	b.mu.Lock()
	for i, v := range slices.Backward(b.idle) {
		if v.class == class {
			b.idle = slices.Delete(b.idle, i, i+1)
			b.kept -= sizes[class]
			b.mu.Unlock()
			v.b = v.b[:0]
			return v
		}
	}
	b.trim()
	b.mu.Unlock()
	return &buffer{b: make([]byte, 0, sizes[class]), class: class, from: b}
}

// trim gives idle buffers up, the longest idle first, until all is within the budget. The caller holds mu.
func (b *budget) trim() {
	for len(b.idle) > 0 && b.used+b.kept > budgetAll {
		b.kept -= sizes[b.idle[0].class]
		b.idle = slices.Delete(b.idle, 0, 1)
	}
}

func (v *buffer) free() {
	b := v.from
	if v.class < len(pools) {
		b.give(sizes[v.class])
		pools[v.class].Put(v)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= sizes[v.class]
	b.kept += sizes[v.class]
	b.idle = append(b.idle, v)
	b.trim()
	if b.tidy == nil {
		b.tidy = time.AfterFunc(idleFor, b.forget)
	}
}

// forget leaves the idle buffers to the collector: the bodies of the moment are all small.
func (b *budget) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle, b.kept, b.tidy = nil, 0, nil
}

// readBody reads a body to its end: at most maxBody bytes, with or without an announced length (-1). The caller frees
// the buffer. Its errors are errTooLarge, errNoRoom, or the connection's.
func (b *budget) readBody(r io.Reader, announced int64) (*buffer, error) {
	if announced > maxBody {
		return nil, errTooLarge
	}
	v, err := b.newBuffer(sizes[0])
	if err != nil {
		return nil, err
	}
	for {
		if len(v.b) > maxBody {
			v.free()
			return nil, errTooLarge
		}
		if len(v.b) == cap(v.b) {
			want := len(v.b) + 1
			if v.class > 0 {
				// Enough has arrived to believe the rest. Taking room for all of it now lets a few of many large bodies
				// through and refuses the others at once; growing side by side, none would get through.
				want = max(want, int(announced))
			}
			next, err := b.newBuffer(want)
			if err != nil {
				v.free()
				return nil, err
			}
			next.b = append(next.b, v.b...)
			v.free()
			v = next
		}
		n, err := r.Read(v.b[len(v.b):cap(v.b)])
		v.b = v.b[:len(v.b)+n]
		if err == io.EOF && len(v.b) <= maxBody {
			return v, nil
		}
		if err != nil && err != io.EOF {
			v.free()
			return nil, err
		}
	}
}

// measure reads a body to its end without keeping it and reports whether it is too large. It is for requests that are
// refused in any case, where only the length decides between two refusals.
func measure(r io.Reader, announced int64) error {
	if announced > maxBody {
		return errTooLarge
	}
	if announced >= 0 {
		return nil
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, maxBody+1))
	if err == nil && n > maxBody {
		return errTooLarge
	}
	return err
}

var (
	errFormPayload = errors.New("the form must have exactly one field named payload")
	errFormEscape  = errors.New("the form has a broken percent escape")
)

// formPayload appends the decoded value of a form's one field "payload" to dst. GitHub sends exactly this field; any
// other one is ignored, a second "payload" is refused.
func formPayload(dst, form []byte) ([]byte, error) {
	found := false
	for len(form) > 0 {
		var pair []byte
		pair, form, _ = bytes.Cut(form, []byte("&"))
		rawName, value, _ := bytes.Cut(pair, []byte("="))
		var name [3 * len("payload")]byte
		if len(rawName) > len(name) {
			continue
		}
		n, err := unescapeForm(name[:0], rawName)
		if err != nil {
			return nil, err
		}
		if string(n) != "payload" {
			continue
		}
		if found {
			return nil, errFormPayload
		}
		found = true
		if dst, err = unescapeForm(dst, value); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, errFormPayload
	}
	return dst, nil
}

func unescapeForm(dst, s []byte) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			dst = append(dst, ' ')
		case '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return nil, errFormEscape
			}
			dst = append(dst, hexValue(s[i+1])<<4|hexValue(s[i+2]))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst, nil
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
