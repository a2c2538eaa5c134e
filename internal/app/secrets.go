package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// A Secret is text that no log line, error, page or debugger's print shows. Reveal is the one way to it.
type Secret string

const hidden = "[hidden]"

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the text; whether there is one may be known.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format hides the text from every verb: %x and %#v would not ask String.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue hides the text from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the text from JSON, XML and whatever else encodes.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SecretValues are the secrets that can change while the service runs.
type SecretValues struct {
	Webhook   [][]byte // each may have signed a delivery
	Token     string
	AppKey    []byte // PEM
	Dashboard string
}

// String hides the values.
func (v SecretValues) String() string { return hidden }

// GoString hides the values.
func (v SecretValues) GoString() string { return hidden }

// Secrets holds the secrets of a running service. Readers see either all of the old values or all of the new ones, and
// must not modify what they get. Make it with [Load] or [NewSecrets].
type Secrets struct {
	now    atomic.Pointer[SecretValues]
	mu     sync.Mutex // one reload at a time
	reload func() (SecretValues, error)
	files  []string // that a _FILE variable names
	read   string   // the stamps of the files when they were last read
}

// NewSecrets holds v. Its Reload changes nothing.
func NewSecrets(v SecretValues) *Secrets {
	s := &Secrets{}
	s.now.Store(&v)
	return s
}

// Webhook returns every secret that may have signed a delivery; none means that no webhook can be accepted.
func (s *Secrets) Webhook() [][]byte { return s.now.Load().Webhook }

// Token returns the personal access token, or "".
func (s *Secrets) Token() string { return s.now.Load().Token }

// AppKey returns the GitHub App's private key in PEM, or nil.
func (s *Secrets) AppKey() []byte { return s.now.Load().AppKey }

// Dashboard returns the sign-in token of the pages, or "".
func (s *Secrets) Dashboard() string { return s.now.Load().Dashboard }

// String hides the values.
func (s *Secrets) String() string { return hidden }

// Reload reads the _FILE variables' files and .env again and returns the names of the secrets that are now others.
// When anything in the configuration is wrong, every secret stays as it was and the error says what is wrong. So it is when
// one is gone: a file that is just being replaced, or whose disk is not mounted, must neither have every delivery refused nor
// open the pages. A process's environment can't change, and settings that are no secrets need a restart.
func (s *Secrets) Reload() (changed []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reload == nil {
		return []string{}, nil
	}
	s.read = s.stamps()
	v, err := s.reload()
	if err != nil {
		return nil, fmt.Errorf("reload secrets, the old ones stay in use: %w", err)
	}
	old := s.now.Load()
	for _, it := range []struct {
		name     string
		had, has bool
	}{
		{"WEBHOOK_SECRET", len(old.Webhook) > 0, len(v.Webhook) > 0},
		{"GITHUB_TOKEN", old.Token != "", v.Token != ""},
		{"GITHUB_PRIVATE_KEY", len(old.AppKey) > 0, len(v.AppKey) > 0},
		{"DASHBOARD_TOKEN", old.Dashboard != "", v.Dashboard != ""},
	} {
		if it.had && !it.has {
			return nil, fmt.Errorf("reload secrets, the old ones stay in use: %s is gone: write it again, or restart the service to run without it", it.name)
		}
	}
	changed = []string{}
	if !bytes.Equal(bytes.Join(old.Webhook, []byte{0}), bytes.Join(v.Webhook, []byte{0})) {
		changed = append(changed, "WEBHOOK_SECRET")
	}
	if old.Token != v.Token {
		changed = append(changed, "GITHUB_TOKEN")
	}
	if !bytes.Equal(old.AppKey, v.AppKey) {
		changed = append(changed, "GITHUB_PRIVATE_KEY")
	}
	if old.Dashboard != v.Dashboard {
		changed = append(changed, "DASHBOARD_TOKEN")
	}
	s.now.Store(&v)
	return changed, nil
}

// stamps tells apart the files as they are now from any that take their place: rewritten, renamed into place, or reached
// through a symbolic link that leads elsewhere, as Kubernetes swaps a mounted secret. A file that is not there is also one.
func (s *Secrets) stamps() string {
	var b strings.Builder
	for _, name := range s.files {
		if fi, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%d %d", fi.ModTime().UnixNano(), fi.Size())
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				fmt.Fprintf(&b, " %d", st.Ino)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// stale reports whether the files are others than when they were last read, given what they are now.
func (s *Secrets) stale(stamps string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return stamps != s.read
}

// All returns every secret as text, so that logs can be scrubbed of them.
func (s *Secrets) All() []string {
	v := s.now.Load()
	var out []string
	for _, w := range v.Webhook {
		out = append(out, string(w))
	}
	for _, t := range []string{v.Token, string(v.AppKey), v.Dashboard} {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}
