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
	if c := look(); !strings.Contains(c.Version, ".") || c.Policy != "noeviction" || c.Kind != "none" || c.Length != 0 {
		t.Errorf("LookAt(a new Redis) = %+v", c)
	}
	do("RPUSH", "queue:test", "a", "b")
	do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	if c := look(); c.Policy != "allkeys-lru" || c.Kind != "list" || c.Length != 2 {
		t.Errorf("LookAt = %+v, want allkeys-lru and a list of two", c)
	}
	do("SET", "queue:test", "x")
	if c := look(); c.Kind != "string" {
		t.Errorf("LookAt = %+v, want a string", c)
	}
	_, err := delivery.LookAt(t.Context(), fmt.Sprintf("redis://:the-password@127.0.0.1:%d/0", testenv.FreePort(t)), "queue:test")
	if err == nil || strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "the-password") {
		t.Errorf("LookAt(nobody) = %v, want an error without host and password", err)
	}
}
