package testenv

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestWebhookExamplesAreAll(t *testing.T) {
	examples := WebhookExamples(t)
	names, events := map[string]bool{}, map[string]bool{}
	for _, e := range examples {
		if names[e.Name] {
			t.Errorf("two examples are called %s", e.Name)
		}
		names[e.Name], events[e.Event] = true, true
		if !json.Valid(e.Payload) || !bytes.HasPrefix(bytes.TrimSpace(e.Payload), []byte("{")) {
			t.Errorf("example %s is not a JSON object", e.Name)
		}
	}
	if len(examples) != 329 || len(events) != 58 {
		t.Errorf("WebhookExamples = %d examples of %d events, want 329 of 58", len(examples), len(events))
	}
}

func TestFixturesExist(t *testing.T) {
	for _, name := range []string{WebhookExamplesFile, OpenAPIFile, OpenAPIWebhooksFile, GraphQLSchemaFile} {
		if info, err := os.Stat(Fixture(t, name)); err != nil || info.Size() < 1000 {
			t.Errorf("Fixture(%s): %v", name, err)
		}
	}
}

func TestRootHoldsTheModule(t *testing.T) {
	if _, err := os.Stat(filepath.Join(Root(t), "internal", "testenv")); err != nil {
		t.Errorf("Root = %s: %v", Root(t), err)
	}
}

// holds is what keeps a test from talking to a server that it did not start.
func TestHoldsTellsOwnPortsFromOthers(t *testing.T) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("this system has no /proc/net/tcp")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if !holds(os.Getpid(), port) {
		t.Errorf("holds(self, %s) = false while it listens", port)
	}
	if holds(os.Getppid(), port) {
		t.Errorf("holds(parent, %s) = true, but the listener is ours", port)
	}
	l.Close()
	if holds(os.Getpid(), port) {
		t.Errorf("holds(self, %s) = true after it was closed", port)
	}
}
