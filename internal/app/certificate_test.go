package app

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/telemetry"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

const day = 24 * time.Hour

// write writes a file that is as old as it says, so that a newer one is seen.
func write(t *testing.T, path string, age time.Duration, texts ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(texts, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestWatchedCertificates(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	soon, late := now.Add(9*day+time.Hour), now.Add(80*day+time.Hour)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	cert, key := testenv.Certificate(t, late)
	earlyCert, earlyKey := testenv.Certificate(t, soon)
	expired, _ := testenv.Certificate(t, now.Add(-3*time.Hour))
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("late.pem"), 0, key, cert, earlyCert) // the first certificate is the leaf, wherever the key is
	write(t, path("expired.crt"), 0, expired)
	write(t, path("key"), 0, key)
	write(t, path("tls/both.pem"), 0, earlyCert, earlyKey)
	write(t, path("tls/note.txt"), 0, "who renews this")
	for _, c := range []struct {
		files  string
		want   time.Time
		status telemetry.CheckStatus
		detail string
	}{
		{"late.pem", late, telemetry.CheckOK, "the certificate is good for 80 days"},
		{"late.pem tls", soon, telemetry.CheckWarning, "the certificate expires in 9 days, at " + soon.UTC().Format("2006-01-02 15:04") + " UTC: renew it"},
		{"expired.crt late.pem", now.Add(-3 * time.Hour), telemetry.CheckWarning, "the certificate expired 3 hours ago, at " + now.Add(-3*time.Hour).UTC().Format("2006-01-02 15:04") + " UTC: renew it"},
		{"late.pem absent", late, telemetry.CheckWarning, "a certificate of CERTIFICATE_FILES is missing or can't be read: the log says which and why"},
		{"key", time.Time{}, telemetry.CheckWarning, "a certificate of CERTIFICATE_FILES is missing or can't be read: the log says which and why"},
	} {
		var log bytes.Buffer
		a := &App{watched: &watchedCertificates{log: slog.New(slog.NewTextHandler(&log, nil))}}
		for name := range strings.FieldsSeq(c.files) {
			a.watched.paths = append(a.watched.paths, path(name))
		}
		want := 0.0
		if !c.want.IsZero() {
			want = float64(c.want.Unix())
		}
		if got := a.certificateExpiry(); got != want {
			t.Errorf("%s: expiry = %v, want %v", c.files, got, want)
		}
		if got := a.certificateCheck(now); got.Status != c.status || got.Detail != c.detail {
			t.Errorf("%s: check = %+v, want %s: %s", c.files, got, c.status, c.detail)
		}
		if said := strings.Contains(log.String(), "can't be read"); said != strings.Contains(c.detail, "can't be read") {
			t.Errorf("%s: the log is %q", c.files, &log)
		}
	}
}

func TestARenewedCertificateIsSeen(t *testing.T) {
	soon, late := time.Now().Add(2*day), time.Now().Add(80*day)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	renew := func(age time.Duration, until time.Time) {
		cert, key := testenv.Certificate(t, until)
		write(t, certFile, age, cert)
		write(t, keyFile, age, key)
	}
	renew(time.Hour, soon)
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	certs, err := loadCertificate(certFile, keyFile, l)
	if err != nil {
		t.Fatal(err)
	}
	served := &App{certs: certs, watched: &watchedCertificates{log: l}}
	watched := &App{watched: &watchedCertificates{paths: []string{certFile}, log: l}}
	expect := func(when string, until time.Time) {
		t.Helper()
		for name, a := range map[string]*App{"served": served, "watched": watched} {
			if got := a.certificateExpiry(); got != float64(until.Unix()) {
				t.Errorf("%s, %s: expiry = %v, want %v", when, name, got, until.Unix())
			}
		}
	}
	minuteLater := func() {
		certs.looked = certs.looked.Add(-2 * certificateLook)
		watched.watched.looked = watched.watched.looked.Add(-2 * certificateLook)
	}
	expect("at first", soon)
	renew(time.Minute, late)
	expect("at once after the renewal", soon)
	minuteLater()
	expect("a minute later", late)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	minuteLater()
	expect("without the file", late) // taking the file away renews nothing, and ends nothing
	if got := watched.certificateCheck(time.Now()); got.Status != telemetry.CheckWarning {
		t.Errorf("check without the file = %+v, want a warning", got)
	}
	if n := strings.Count(log.String(), "CERTIFICATE_FILES"); n != 1 {
		t.Errorf("the missing file is in the log %d times, want once:\n%s", n, &log)
	}
}
