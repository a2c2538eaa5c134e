package github

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// What the doctor asks for: how things are set up at GitHub. Nothing here is asked while the service works.

// surveyed is how many of the newest pull requests tell which checks report at all.
const surveyed = 5

// AppInstallations lists where the App is installed, with what each owner has accepted.
func (c *Client) AppInstallations(ctx context.Context) ([]pull.Installation, error) {
	var all []pull.Installation
	f := c.pages100(c.path("app", "installations"), func(address string) (string, *pull.Fault) {
		var got []struct {
			ID          int64
			Account     struct{ Login, Slug string }
			SuspendedAt *string `json:"suspended_at"`
			Permissions map[string]string
			Events      []string
		}
		next := ""
		f := c.asApp(ctx, call{
			op: "installation.list", on: "list the App's installations", method: http.MethodGet, url: address,
			accept: func(a answer) *pull.Fault {
				next = nextParam(a.header, "page")
				return a.decode(&got)
			},
		})
		for _, in := range got {
			all = append(all, pull.Installation{
				ID: in.ID, Account: oneLine(in.Account.Login + in.Account.Slug), Suspended: in.SuspendedAt != nil,
				Permissions: in.Permissions, Events: in.Events,
			})
		}
		return next, f
	})
	if f != nil {
		return nil, f
	}
	return all, nil
}

// hookConfig is a webhook's configuration as GitHub shows it. Its secret is never shown.
type hookConfig struct {
	URL         string
	ContentType string `json:"content_type"`
	Insecure    digit  `json:"insecure_ssl"`
}

// A digit is a number that GitHub writes as text or as a number.
type digit string

// UnmarshalJSON takes either.
func (d *digit) UnmarshalJSON(text []byte) error {
	*d = digit(strings.Trim(string(text), `"`))
	return nil
}

func (h hookConfig) setup(hook pull.Hook) pull.HookSetup {
	hook.URL = oneLine(h.URL)
	return pull.HookSetup{Hook: hook, ContentType: oneLine(h.ContentType), InsecureTLS: h.Insecure == "1", Active: true}
}

// AppHook says how the App's own webhook is set up. Its events are the App's. FaultGone: it has none.
func (c *Client) AppHook(ctx context.Context) (pull.HookSetup, error) {
	var got hookConfig
	f := c.asApp(ctx, call{
		op: "hook.config", on: "ask how the App's webhook is set up", method: http.MethodGet, url: c.path("app", "hook", "config"), accept: reading(&got),
	})
	if f != nil {
		return pull.HookSetup{}, f
	}
	return got.setup(pull.Hook{}), nil
}

// HookSetups says how the webhooks of a repository are set up. FaultGone and FaultRefused: that is not ours to see.
func (c *Client) HookSetups(ctx context.Context, scope pull.Scope, repo pull.Repo) ([]pull.HookSetup, error) {
	var all []pull.HookSetup
	f := c.pages100(c.path("repos", repo.Owner, repo.Name, "hooks"), func(address string) (string, *pull.Fault) {
		var got []struct {
			ID     int64
			Active bool
			Events []string
			Config hookConfig
		}
		next := ""
		f := c.do(ctx, scope, call{
			op: "hook.list", on: "list the webhooks of " + repo.FullName(), method: http.MethodGet, url: address,
			accept: func(a answer) *pull.Fault {
				next = nextParam(a.header, "page")
				return a.decode(&got)
			},
		})
		for _, h := range got {
			s := h.Config.setup(pull.Hook{ID: h.ID, Repo: repo, Scope: scope})
			s.Active, s.Events = h.Active, h.Events
			all = append(all, s)
		}
		return next, f
	})
	if f != nil {
		return nil, f
	}
	return all, nil
}

// Limits says what is left of the hourly limits of a scope. Asking costs nothing. FaultGone: the server has no limits.
func (c *Client) Limits(ctx context.Context, scope pull.Scope) ([]pull.Limit, error) {
	var got limits
	f := c.do(ctx, scope, c.askLimits("ask what is left of GitHub's limits", reading(&got)))
	if f != nil {
		return nil, f
	}
	var all []pull.Limit
	for _, name := range []string{"core", "graphql"} {
		if r := got.Resources[name]; r.Limit > 0 {
			all = append(all, pull.Limit{Resource: name, Limit: r.Limit, Remaining: r.Remaining})
		}
	}
	return all, nil
}

// RepoSetup says how a repository is set up. A renamed one is found under its former name. FaultGone: it is not there, or not ours
// to see.
func (c *Client) RepoSetup(ctx context.Context, scope pull.Scope, repo pull.Repo) (s pull.RepoSetup, err error) {
	get := func(into any, on string, query url.Values, parts ...string) *pull.Fault {
		address := c.path(append([]string{"repos", repo.Owner, repo.Name}, parts...)...)
		if len(query) > 0 {
			address += "?" + query.Encode()
		}
		return c.do(ctx, scope, call{op: "repository.survey", on: on + " of " + repo.FullName(), method: http.MethodGet, url: address, accept: reading(into)})
	}
	var about struct {
		ID            int64
		Name          string
		Owner         struct{ Login string }
		Archived      bool
		DefaultBranch string `json:"default_branch"`
	}
	if f := get(&about, "read the settings", nil); f != nil {
		return s, f
	}
	repo = pull.Repo{ID: about.ID, Owner: about.Owner.Login, Name: about.Name}
	s = pull.RepoSetup{Repo: repo, Archived: about.Archived, DefaultBranch: about.DefaultBranch}
	if s.Archived || s.DefaultBranch == "" {
		return s, nil
	}
	for _, part := range []func() *pull.Fault{
		func() *pull.Fault {
			var file struct{ Content string }
			f := get(&file, "read the policy file", nil, append([]string{"contents"}, strings.Split(pull.PolicyFile, "/")...)...)
			if f == nil {
				s.Policy, _ = base64.StdEncoding.DecodeString(strings.ReplaceAll(file.Content, "\n", ""))
				s.Policy = append([]byte{}, s.Policy...)
			}
			return missingIsFine(f)
		},
		func() *pull.Fault {
			var branch struct {
				Protection struct {
					Required struct{ Contexts []string } `json:"required_status_checks"`
				}
			}
			f := get(&branch, "read the protection of the default branch", nil, "branches", s.DefaultBranch)
			s.Required = append(s.Required, branch.Protection.Required.Contexts...)
			return missingIsFine(f) // an empty repository
		},
		func() *pull.Fault {
			var rules []struct {
				Type       string
				Parameters struct {
					Required []struct{ Context string } `json:"required_status_checks"`
				}
			}
			f := get(&rules, "read the rules of the default branch", url.Values{"per_page": {strconv.Itoa(pageMost)}}, "rules", "branches", s.DefaultBranch)
			for _, r := range rules {
				s.MergeQueue = s.MergeQueue || r.Type == "merge_queue"
				for _, check := range r.Parameters.Required {
					s.Required = append(s.Required, check.Context)
				}
			}
			return missingIsFine(f) // an older Enterprise Server
		},
		func() *pull.Fault {
			var owners struct {
				Errors []struct {
					Line          int
					Path, Message string
				}
			}
			f := get(&owners, "read what is wrong with CODEOWNERS", nil, "codeowners", "errors")
			for _, e := range owners.Errors {
				first, _, _ := strings.Cut(strings.TrimSpace(e.Message), "\n")
				s.Owners = append(s.Owners, fmt.Sprintf("%s:%d: %s", oneLine(e.Path), e.Line, oneLine(first)))
			}
			return missingIsFine(f) // there is no such file
		},
		func() *pull.Fault {
			s.Required = tidy(s.Required)
			if len(s.Required) == 0 {
				return nil
			}
			return c.reports(&s, get)
		},
	} {
		if f := part(); f != nil {
			return s, f
		}
	}
	return s, nil
}

// reports finds out which checks have reported on the newest pull requests into the default branch.
func (c *Client) reports(s *pull.RepoSetup, get func(into any, on string, query url.Values, parts ...string) *pull.Fault) *pull.Fault {
	var pulls []struct{ Head struct{ SHA string } }
	f := get(&pulls, "list the newest pull requests", url.Values{
		"state": {"all"}, "sort": {"updated"}, "direction": {"desc"}, "base": {s.DefaultBranch}, "per_page": {strconv.Itoa(surveyed)},
	}, "pulls")
	if f != nil {
		return f
	}
	for _, p := range pulls {
		var runs struct {
			Runs []struct{ Name string } `json:"check_runs"`
		}
		var status struct {
			Statuses []struct{ Context string }
		}
		all := url.Values{"per_page": {strconv.Itoa(pageMost)}}
		if f := get(&runs, "list the checks", all, "commits", p.Head.SHA, "check-runs"); f != nil {
			return f
		}
		if f := get(&status, "list the statuses", all, "commits", p.Head.SHA, "status"); f != nil {
			return f
		}
		s.Heads++
		for _, r := range runs.Runs {
			s.Reported = append(s.Reported, r.Name)
		}
		for _, st := range status.Statuses {
			s.Reported = append(s.Reported, st.Context)
		}
	}
	s.Reported = tidy(s.Reported)
	return nil
}

func missingIsFine(f *pull.Fault) *pull.Fault {
	if f != nil && f.Class == pull.FaultGone {
		return nil
	}
	return f
}

// tidy sorts names, once each and fit to be printed.
func tidy(names []string) []string {
	for i := range names {
		names[i] = oneLine(names[i])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// PolicyFiles reads the policy of a repository and its owner's defaults, from their default branches. What is not there, or
// not ours to see, is not found.
func (c *Client) PolicyFiles(ctx context.Context, scope pull.Scope, repo pull.Repo) (own, defaults pull.Document, err error) {
	read := func(name string) (pull.Document, *pull.Fault) {
		var file struct {
			Content, SHA string
		}
		on := pull.Repo{Owner: repo.Owner, Name: name}
		parts := append([]string{"repos", on.Owner, on.Name, "contents"}, strings.Split(pull.PolicyFile, "/")...)
		f := c.do(ctx, scope, call{op: "repository.survey", on: "read the policy file of " + on.FullName(), method: http.MethodGet, url: c.path(parts...), accept: reading(&file)})
		if f != nil {
			return pull.Document{}, missingIsFine(f)
		}
		text, _ := base64.StdEncoding.DecodeString(strings.ReplaceAll(file.Content, "\n", ""))
		return pull.Document{Found: true, Path: on.FullName() + "/" + pull.PolicyFile, OID: pull.SHA(file.SHA), Text: string(text)}, nil
	}
	own, f := read(repo.Name)
	if f == nil {
		own.Path = strings.TrimPrefix(own.Path, repo.FullName()+"/")
		defaults, f = read(".github")
	}
	if f != nil {
		return own, defaults, f
	}
	return own, defaults, nil
}
