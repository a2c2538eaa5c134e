package github

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	gh "github.com/google/go-github/v92/github"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// hookPath is where GitHub's own log of a webhook's deliveries is.
func (c *Client) hookPath(h pull.Hook, more ...string) string {
	parts := []string{"app", "hook", "deliveries"}
	if h.ID != 0 {
		parts = []string{"repos", h.Repo.Owner, h.Repo.Name, "hooks", strconv.FormatInt(h.ID, 10), "deliveries"}
	}
	return c.path(append(parts, more...)...)
}

// ofHook sends a request about a webhook: the App's own is asked about with the App's key, which opens nothing else.
func (c *Client) ofHook(ctx context.Context, h pull.Hook, q call) *pull.Fault {
	if h.ID == 0 {
		return c.asApp(ctx, q)
	}
	return c.do(ctx, h.Scope, q)
}

func hookName(h pull.Hook) string {
	if h.ID == 0 {
		return "the App's webhook"
	}
	return fmt.Sprintf("webhook %d of %s", h.ID, h.Repo.FullName())
}

// Sendings reads a page of GitHub's log of a webhook, newest first, and returns GitHub's cursor of the next page, "" for
// the last. Every try is in it, whatever became of it: GitHub's own filter for failures knows only those that were
// answered with a 4xx or 5xx, and not those that found nobody.
func (c *Client) Sendings(ctx context.Context, h pull.Hook, cursor string) (page []pull.Sending, next string, err error) {
	v := url.Values{"per_page": {strconv.Itoa(pageMost)}}
	if cursor != "" {
		v.Set("cursor", cursor)
	}
	var got []*gh.HookDelivery
	f := c.ofHook(ctx, h, call{
		op: "hook.deliveries", on: "read which deliveries of " + hookName(h) + " failed", method: http.MethodGet,
		url: c.hookPath(h) + "?" + v.Encode(),
		accept: func(a answer) *pull.Fault {
			next = nextParam(a.header, "cursor")
			return a.decode(&got)
		},
	})
	if f != nil {
		return nil, "", f
	}
	for _, d := range got {
		if d.GetID() == 0 || d.GetGUID() == "" {
			continue
		}
		page = append(page, pull.Sending{
			ID: d.GetID(), GUID: d.GetGUID(), At: d.GetDeliveredAt().UTC(), Status: oneLine(d.GetStatus()), Code: d.GetStatusCode(),
			OK:    d.GetStatusCode()/100 == 2 || d.GetStatus() == "OK",
			Event: oneLine(d.GetEvent()), Action: oneLine(d.GetAction()),
		})
	}
	return page, next, nil
}

// SendAgain asks GitHub to send a delivery again, by the id of any of its tries. GitHub answers before it does so.
// FaultGone: GitHub has it no more.
func (c *Client) SendAgain(ctx context.Context, h pull.Hook, id int64) error {
	f := c.ofHook(ctx, h, call{
		op: "hook.redeliver", on: fmt.Sprintf("ask for delivery %d of %s again", id, hookName(h)), method: http.MethodPost,
		url: c.hookPath(h, strconv.FormatInt(id, 10), "attempts"), write: true,
	})
	if f != nil {
		return f
	}
	return nil
}

// Hooks lists the webhooks of a repository. FaultGone and FaultRefused: it is not ours to see.
func (c *Client) Hooks(ctx context.Context, scope pull.Scope, repo pull.Repo) ([]pull.Hook, error) {
	var hooks []pull.Hook
	address := c.path("repos", repo.Owner, repo.Name, "hooks")
	f := c.pages100(address, func(address string) (string, *pull.Fault) {
		var got []*gh.Hook
		next := ""
		f := c.do(ctx, scope, call{
			op: "hook.list", on: "list the webhooks of " + repo.FullName(), method: http.MethodGet, url: address,
			accept: func(a answer) *pull.Fault {
				next = nextParam(a.header, "page")
				return a.decode(&got)
			},
		})
		for _, h := range got {
			hooks = append(hooks, pull.Hook{ID: h.GetID(), Repo: repo, Scope: scope, URL: h.GetConfig().GetURL()})
		}
		return next, f
	})
	if f != nil {
		return nil, f
	}
	return hooks, nil
}

// pages100 reads a list of the REST API to its end, or as far as is sensible: read is given a page's address and
// returns the number of the next page.
func (c *Client) pages100(address string, read func(address string) (next string, f *pull.Fault)) *pull.Fault {
	page := "1"
	for range maxPages {
		next, f := read(address + "?" + url.Values{"per_page": {strconv.Itoa(pageMost)}, "page": {page}}.Encode())
		if f != nil {
			return f
		}
		if next == "" {
			return nil
		}
		page = next
	}
	return nil
}

// nextParam takes a parameter out of the link to the next page. The address itself is not used: it is GitHub's idea of
// where its API is.
func nextParam(h http.Header, name string) string {
	for _, part := range strings.Split(h.Get("Link"), ",") {
		address, rel, ok := strings.Cut(part, ";")
		if !ok || strings.TrimSpace(rel) != `rel="next"` {
			continue
		}
		u, err := url.Parse(strings.Trim(strings.TrimSpace(address), "<>"))
		if err != nil {
			return ""
		}
		return u.Query().Get(name)
	}
	return ""
}
