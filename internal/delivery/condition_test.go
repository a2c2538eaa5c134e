package delivery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestLookAt(t *testing.T) {
	r := testenv.Redis(t)
	do := func(command ...any) {
		t.Helper()
		if err := r.Client.Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	look := func() delivery.Condition {
		t.Helper()
		c, err := delivery.LookAt(t.Context(), r.URL, "queue:test")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := look(); !strings.Contains(c.Version, ".") || c.Policy != "noeviction" || c.Kind != "none" || c.Length != 0 || c.Trouble() != "" {
		t.Errorf("LookAt(a new Redis) = %+v, %q, want noeviction, no key, no trouble", c, c.Trouble())
	}
	do("RPUSH", "queue:test", "a", "b")
	do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	if c := look(); c.Policy != "allkeys-lru" || c.Kind != "list" || c.Length != 2 || !strings.Contains(c.Trouble(), "maxmemory-policy is allkeys-lru") {
		t.Errorf("LookAt = %+v, %q, want allkeys-lru and a list of two", c, c.Trouble())
	}
	do("SET", "queue:test", "x")
	if c := look(); c.Kind != "string" || !strings.Contains(c.Trouble(), "holds something else than a list") {
		t.Errorf("LookAt = %+v, %q, want a string", c, c.Trouble())
	}
	if keys := r.Client.Keys(t.Context(), "*").Val(); len(keys) != 1 {
		t.Errorf("looking has left %q in Redis, want the test's one key", keys)
	}
	_, err := delivery.LookAt(t.Context(), fmt.Sprintf("redis://:the-password@127.0.0.1:%d/0", testenv.FreePort(t)), "queue:test")
	if err == nil || !strings.Contains(err.Error(), "Redis does not answer") || strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "the-password") {
		t.Errorf("LookAt(nobody) = %v, want an error without host and password", err)
	}
}
