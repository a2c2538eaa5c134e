package telemetry

import (
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
)

// The keys of log attributes: one word for one thing in every line, so that an operator can grep.
const (
	KeyDelivery = "delivery" // a delivery's id
	KeyEvent    = "event"    // GitHub's name of the event
	KeyKey      = "key"      // what a pass is about
	KeyRepo     = "repo"     // owner/name
	KeyNumber   = "number"   // of the pull request
	KeyAction   = "action"   // kind of a write to GitHub
	KeyTarget   = "target"   // what the write is to
	KeySHA      = "sha"
	KeyTook     = "took"
	KeyErr      = "err"
	KeyScope    = "scope" // whose budget at GitHub
	KeyAttempt  = "attempt"
	KeyStatus   = "status"
	KeyUntil    = "until"
	KeyCount    = "count"
)

// The formats of log lines.
const (
	FormatJSON = "json"
	FormatText = "text"
)

// NewLogger writes lines at or above level to w, as JSON or as key=value text. Each record is exactly one line
// of printable characters, whatever it was given, and what secrets holds is blanked out (nil: nothing is).
// The level's name is in the line in capitals: operators grep for ERROR.
func NewLogger(w io.Writer, level slog.Leveler, format string, secrets *Secrets) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		return cleanAttr(a, secrets)
	}}
	if format == FormatText {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// cleanAttr makes a value safe to print. slog has resolved LogValuers and opened groups before it calls this, for the
// message too.
func cleanAttr(a slog.Attr, secrets *Secrets) slog.Attr {
	a.Key = Printable(a.Key)
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(cleanText(a.Value.String(), secrets))
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	case slog.KindAny:
		if _, ok := a.Value.Any().(slog.Level); ok {
			return a
		}
		a.Value = slog.StringValue(cleanText(textOf(a.Value.Any()), secrets))
	}
	return a
}

// textOf renders a value of any type the way a person expects to read it.
func textOf(v any) string {
	switch v := v.(type) {
	case error:
		return safely(v, v.Error)
	case fmt.Stringer:
		return safely(v, v.String)
	case encoding.TextMarshaler:
		if b, err := v.MarshalText(); err == nil {
			return string(b)
		}
	}
	if b, err := json.Marshal(v); err == nil {
		return string(b)
	}
	return fmt.Sprintf("%+v", v)
}

// safely calls a method of a value that may be a nil pointer: a log line must not end the process.
func safely(v any, text func() string) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("<%T>", v)
		}
	}()
	return text()
}

func cleanText(s string, secrets *Secrets) string {
	return Printable(secrets.Scrub(s))
}

// Printable returns s with everything that could move a terminal's cursor, break a line or turn the direction of
// writing replaced by its escape: control characters (ANSI sequences begin with one), line separators, invisible
// format characters, and bytes that are not UTF-8.
func Printable(s string) string {
	clean := true
	for _, r := range s {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == unicode.ReplacementChar && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// A Throttle lets one of many equal events through per second and says how many it stands for, for log lines that
// strangers can cause. The zero value is ready; safe for concurrent use.
type Throttle struct {
	mu    sync.Mutex
	next  time.Time
	count int
}

// Pass counts an event and reports whether it is the one of its second; count then includes those that were held back.
func (t *Throttle) Pass(now time.Time) (count int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if now.Before(t.next) {
		return 0, false
	}
	count, t.count, t.next = t.count, 0, now.Add(time.Second)
	return count, true
}
