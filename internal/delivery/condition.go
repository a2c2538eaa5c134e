package delivery

import (
	"context"
	"errors"
)

// A Condition is how the Redis of the queue is set up, for whoever looks the installation over.
type Condition struct {
	Key     string
	Version string
	Policy  string // maxmemory-policy
	Kind    string // of the key: list, none, or what stands in the way
	Length  int64  // of the list
}

// LookAt asks a Redis how it is. It changes nothing. Its error is for people, and holds neither host nor password.
func LookAt(ctx context.Context, url, key string) (c Condition, err error) {
	c.Key = key
	client, err := dial(url)
	if err != nil {
		return c, err
	}
	defer client.Close()
	info, err := client.Info(ctx, "server", "memory").Result()
	if err != nil {
		return c, errors.New(explain(err, key))
	}
	told := section(info)
	c.Version, c.Policy = told["redis_version"], told["maxmemory_policy"]
	if c.Kind, err = client.Type(ctx, key).Result(); err != nil {
		return c, errors.New(explain(err, key))
	}
	if c.Kind == "list" {
		if c.Length, err = client.LLen(ctx, key).Result(); err != nil {
			return c, errors.New(explain(err, key))
		}
	}
	return c, nil
}

// Trouble says in one sentence what the queue can't have, as the service would; "" when all is well.
func (c Condition) Trouble() string {
	if c.Kind != "list" && c.Kind != "none" {
		return explain(errWrongType, c.Key)
	}
	return evicts(c.Policy, c.Key)
}
