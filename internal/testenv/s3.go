package testenv

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// An S3Server is a real server that speaks S3 and checks signatures: Versity's gateway over a directory, built from the
// module in tools/s3. It ends with the test.
type S3Server struct {
	URL         string
	Key, Secret string
	Dir         string // a directory in it is a bucket, and what is below are its objects
	cmd         *exec.Cmd
}

// S3 starts a server with empty buckets.
func S3(t testing.TB, buckets ...string) *S3Server {
	t.Helper()
	program, err := gateway(Root(t))
	if err != nil {
		Missing(t, "the S3 server can't be built (%v)", err)
	}
	s := &S3Server{Key: "AKIA" + random(), Secret: random() + random(), Dir: t.TempDir()}
	for _, b := range buckets {
		if err := os.Mkdir(filepath.Join(s.Dir, b), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
	s.URL = "http://" + address
	var log bytes.Buffer
	// Metadata in a directory of its own: not every file system has extended attributes.
	s.cmd = exec.Command(program, "--port", address, "--region", "us-east-1", "posix", "--sidecar", t.TempDir(), s.Dir)
	s.cmd.Env = append(Environ(t), "ROOT_ACCESS_KEY="+s.Key, "ROOT_SECRET_KEY="+s.Secret)
	s.cmd.Stdout, s.cmd.Stderr = &log, &log
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start the S3 server: %v", err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Logf("the S3 server's output:\n%s", &log)
		}
	})
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return s
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the S3 server does not listen after 20 s")
		}
	}
}

// Environ is what a program has to know of it.
func (s *S3Server) Environ() []string {
	return []string{"AWS_ENDPOINT_URL=" + s.URL, "AWS_ACCESS_KEY_ID=" + s.Key, "AWS_SECRET_ACCESS_KEY=" + s.Secret}
}

var gatewayVersion = regexp.MustCompile(`github.com/versity/versitygw (v\S+)`)

// gateway builds the server, once for all tests of a version.
func gateway(root string) (string, error) {
	module := filepath.Join(root, "tools", "s3")
	text, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", err
	}
	m := gatewayVersion.FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("tools/s3/go.mod does not name its version")
	}
	dir := filepath.Join(root, "bin", "test")
	path := filepath.Join(dir, "versitygw-"+string(m[1]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	made := path + "-" + random()
	defer os.Remove(made)
	build := exec.Command("go", "build", "-o", made, "-ldflags=-s -w", "github.com/versity/versitygw/cmd/versitygw")
	build.Dir = module
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, os.Rename(made, path)
}
