package delivery

import (
	"context"
	"strings"
)

// A Condition is how the Redis of the queue is set up, for whoever looks the installation over.
type Condition struct {
	Version string
	Policy  string // maxmemory-policy
	Kind    string // of the key: list, none, or what stands in the way
	Length  int64  // of the list
}

// LookAt asks a Redis how it is. It changes nothing. Its error is for people, and holds neither host nor password.
func LookAt(ctx context.Context, url, key string) (c Condition, err error) {
	client, err := dial(url)
	if err != nil {
		return c, err
	}
	defer client.Close()
	info, err := client.Info(ctx, "server", "memory").Result()
	if err != nil {
		return c, plain(err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			c.Version = value
		case "maxmemory_policy":
			c.Policy = value
		}
	}
	if c.Kind, err = client.Type(ctx, key).Result(); err != nil {
		return c, plain(err)
	}
	if c.Kind == "list" {
		if c.Length, err = client.LLen(ctx, key).Result(); err != nil {
			return c, plain(err)
		}
	}
	return c, nil
}
