package github

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// A gqlError is one entry of "errors" in a GraphQL answer. Half the data beside an error is worth nothing, unless the
// operation says that it expects that very error.
type gqlError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Path    []any  `json:"path"`
	// Extensions.Code is what is wrong with the text of a request.
	Extensions struct {
		Code string `json:"code"`
	} `json:"extensions"`
}

// at reports whether the error is about exactly this field.
func (e gqlError) at(path ...string) bool {
	return slices.EqualFunc(e.Path, path, func(a any, b string) bool { s, ok := a.(string); return ok && s == b })
}

// under reports whether the error is about this field or something in it.
func (e gqlError) under(path ...string) bool {
	return len(e.Path) >= len(path) && gqlError{Path: e.Path[:len(path)]}.at(path...)
}

// A variables is what an operation is asked with.
type variables struct {
	Owner  string   `json:"owner"`
	Name   string   `json:"name"`
	Number int      `json:"number"`
	Policy string   `json:"policy,omitempty"`
	Page   int      `json:"page"`
	Inner  int      `json:"inner,omitempty"` // of a list in each entry of a list
	OID    pull.SHA `json:"oid,omitempty"`
	Node   string   `json:"node,omitempty"`
	Branch string   `json:"branch,omitempty"`
	Cursor *string  `json:"cursor,omitempty"`
}

// query runs an operation and decodes its data. read gives an error a class of its own: nil when it is expected and
// harmless. An exhausted budget answers 200, so the status says nothing.
func (c *Client) query(ctx context.Context, scope pull.Scope, op operation, on string, vars, data any, read func(gqlError) *pull.Fault) *pull.Fault {
	with, err := json.Marshal(vars)
	if err != nil {
		return &pull.Fault{Class: pull.FaultUnavailable, Op: on, Message: "the question can't be written as JSON", Err: err}
	}
	body, err := json.Marshal(struct {
		Query     string          `json:"query"`
		Operation string          `json:"operationName"`
		Variables json.RawMessage `json:"variables"`
	}{op.text, op.name, with})
	if err != nil {
		return &pull.Fault{Class: pull.FaultUnavailable, Op: on, Message: "the question can't be written as JSON", Err: err}
	}
	return c.do(ctx, scope, call{
		op: "graphql." + op.name, on: on, method: http.MethodPost, url: c.graphql, body: body, budget: graphqlBudget,
		accept: func(a answer) *pull.Fault {
			var got struct {
				Data   json.RawMessage `json:"data"`
				Errors []gqlError      `json:"errors"`
				// A refusal as a whole has GitHub's REST shape.
				Message string `json:"message"`
			}
			if f := a.decode(&got); f != nil {
				return f
			}
			if speaksOfLimit(got.Message) {
				return c.park(scope, &pull.Fault{Op: on, Status: a.status, Message: oneLine(got.Message)}, a.header)
			}
			for _, e := range got.Errors {
				f := &pull.Fault{Class: pull.FaultUnavailable, Op: on, Status: a.status, Message: oneLine(e.Message)}
				if e.Type == "RATE_LIMITED" || e.Type == "RATE_LIMIT" || speaksOfLimit(e.Message) {
					return c.park(scope, f, a.header)
				}
				if read != nil {
					f = read(e)
				}
				if f != nil {
					f.Op, f.Status = on, a.status
					return f
				}
			}
			if len(got.Data) == 0 || string(got.Data) == "null" {
				return &pull.Fault{Class: pull.FaultUnavailable, Op: on, Status: a.status, Message: "its answer holds no data"}
			}
			if err := json.Unmarshal(got.Data, data); err != nil {
				return &pull.Fault{Class: pull.FaultUnavailable, Op: on, Status: a.status, Message: "its answer is not what was asked for", Err: err}
			}
			c.budgetOf(scope, a.header, got.Data)
			return nil
		},
	})
}

// budgetOf learns the budget from the answer's own rateLimit where the headers, as on some Enterprise Servers, are
// silent.
func (c *Client) budgetOf(scope pull.Scope, h http.Header, data []byte) {
	var got struct {
		RateLimit *struct {
			Limit, Remaining int
			ResetAt          time.Time
		}
	}
	if h.Get("X-Ratelimit-Remaining") != "" || json.Unmarshal(data, &got) != nil || got.RateLimit == nil || got.RateLimit.Limit <= 0 {
		return
	}
	now, epoch := time.Now(), got.RateLimit.ResetAt.Unix()
	c.limiter(scope).observe(graphqlBudget, rate{
		limit: got.RateLimit.Limit, remaining: got.RateLimit.Remaining, window: epoch, reset: resetAt(h, epoch, now),
	}, now)
}

// tooHeavy reports whether GitHub gave up on a query for its size. Asking the same again costs points and gains
// nothing.
func tooHeavy(f *pull.Fault) bool {
	if f == nil || f.Class != pull.FaultUnavailable {
		return false
	}
	if errors.Is(f, errTooLong) {
		return true
	}
	m := strings.ToLower(f.Message)
	return f.Status == http.StatusBadGateway || f.Status == http.StatusGatewayTimeout ||
		strings.Contains(m, "timeout") || strings.Contains(m, "did not answer within") || strings.Contains(m, "resource limits")
}

// pageSizes remembers for which pull requests GitHub needs smaller pages. The zero value is ready.
type pageSizes struct {
	mu sync.Mutex
	m  map[string]pageSize // by "owner/name#number"
}

type pageSize struct {
	size  int
	until time.Time
}

const (
	pageLeast  = 10
	pageMemory = time.Hour
	pageKeys   = 1000
)

// of returns the page size for a pull request.
func (p *pageSizes) of(k string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.m[k]; ok && time.Now().Before(s.until) {
		return s.size
	}
	return pageMost
}

// halve makes the next look at a pull request smaller.
func (p *pageSizes) halve(k string) {
	size := max(p.of(k)/2, pageLeast)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil || len(p.m) >= pageKeys {
		p.m = map[string]pageSize{} // forgetting costs one heavy query each
	}
	p.m[k] = pageSize{size: size, until: time.Now().Add(pageMemory)}
}
