package githubtest

import (
	"fmt"
	"slices"
	"strings"
)

// How a repository, a branch and a webhook are set up, as far as GitHub tells it over REST.

// Ruleset are the rules of a branch in GitHub's newer form, beside its protection.
type Ruleset struct {
	Checks     []string // that must have passed
	MergeQueue bool     // merges go through GitHub's own queue
}

// Rules sets the rules of a branch.
func (r *Repo) Rules(branch string, rules Ruleset) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.rules[branch] = rules
}

// ruled is GitHub's sentence about the first rule that holds the pull request back, or "". They bind administrators too.
func (pr *PR) ruled() string {
	rules := pr.repo.rules[pr.baseBranch]
	if rules.MergeQueue {
		return "Repository rule violations found\n\nChanges must be made through the merge queue\n\n"
	}
	for _, c := range rules.Checks {
		if state := pr.repo.requiredState(pr.headSHA, RequiredCheck{Context: c}); state != "" {
			return fmt.Sprintf("Repository rule violations found\n\nRequired status check \"%s\" is %s.\n\n", c, state)
		}
	}
	return ""
}

// branch is what everybody who reads the repository may know of a branch.
func (c *call) branch() (reply, *apiError) {
	name := c.vars["branch"]
	sha := c.repo.refs[name]
	if sha == "" {
		return reply{}, refuse(404, "Branch not found")
	}
	at := c.repo.url("/branches/%s", name)
	checks, names, p, level := []any{}, []string{}, c.repo.protected[name], "off"
	if p != nil {
		level = "non_admins"
		if p.EnforceAdmins {
			level = "everyone"
		}
		for _, k := range p.Checks {
			var app any
			if k.App != nil {
				app = k.App.ID
			}
			names, checks = append(names, k.Context), append(checks, object{"context": k.Context, "app_id": app})
		}
	}
	return ok(object{
		"name": name, "commit": c.repo.commitJSON(c.repo.objects.commit(sha)), "_links": object{"self": at, "html": c.repo.page("/tree/%s", name)},
		"protected": p != nil || len(c.repo.rules[name].Checks) > 0 || c.repo.rules[name].MergeQueue, "protection_url": at + "/protection",
		"protection": object{"enabled": p != nil, "required_status_checks": object{"enforcement_level": level, "contexts": names, "checks": checks}},
	})
}

// branchRules are the rules that are active on a branch.
func (c *call) branchRules() (reply, *apiError) {
	rules, all := c.repo.rules[c.vars["branch"]], []object{}
	add := func(kind string, parameters object) {
		all = append(all, object{"type": kind, "ruleset_source_type": "Repository", "ruleset_source": c.repo.full(), "ruleset_id": c.repo.ID, "parameters": parameters})
	}
	if len(rules.Checks) > 0 {
		checks := []any{}
		for _, k := range rules.Checks {
			checks = append(checks, object{"context": k})
		}
		add("required_status_checks", object{"required_status_checks": checks, "strict_required_status_checks_policy": false})
	}
	if rules.MergeQueue {
		add("merge_queue", object{
			"check_response_timeout_minutes": 60, "grouping_strategy": "ALLGREEN", "max_entries_to_build": 5, "max_entries_to_merge": 5,
			"merge_method": "MERGE", "min_entries_to_merge": 1, "min_entries_to_merge_wait_minutes": 5,
		})
	}
	return list(c, all, func(o object) object { return o })
}

// ownersErrors is what GitHub finds wrong with CODEOWNERS: here, owners who are not there or may not write.
func (c *call) ownersErrors() (reply, *apiError) {
	cm := c.repo.commitAt(c.query.Get("ref"))
	if cm == nil {
		return reply{}, refuse(404, "Not Found")
	}
	for _, path := range []string{".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"} {
		e, found := c.repo.objects.lookup(cm.tree, path)
		if !found || e.isTree() {
			continue
		}
		text, _ := c.repo.objects.blob(e.sha)
		errors := []any{}
		for i, line := range strings.Split(string(text), "\n") {
			rule, _, _ := strings.Cut(line, "#")
			words := strings.Fields(rule)
			for _, owner := range words[min(1, len(words)):] {
				login, isLogin := strings.CutPrefix(owner, "@")
				if !isLogin || c.repo.role(c.s.accounts[strings.ToLower(login)]) >= CanWrite {
					continue
				}
				column := strings.Index(line, owner) + 1
				errors = append(errors, object{
					"line": i + 1, "column": column, "source": line, "kind": "Unknown owner", "path": path,
					"suggestion": "make sure " + owner + " exists and has write access to the repository",
					"message": fmt.Sprintf("Unknown owner on line %d: make sure %s exists and has write access to the repository\n\n  %s\n  %s^",
						i+1, owner, line, strings.Repeat(" ", column-1)),
				})
			}
		}
		return ok(object{"errors": errors})
	}
	return reply{}, refuse(404, "Not Found")
}

// hookConfig is the App's webhook as its own page shows it.
func (c *call) hookConfig() (reply, *apiError) {
	h := c.hook()
	if h == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(h.json()["config"])
}

// Change changes where a webhook goes, and how. Its secret stays when none is given.
func (h *Hook) Change(o HookOptions) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.url, h.form, h.insecure, h.off = o.URL, o.Form, o.InsecureTLS, o.Inactive
	if o.Secret != "" {
		h.secret = o.Secret
	}
	if h.app == nil {
		h.events = slices.Clone(o.Events)
	}
}
