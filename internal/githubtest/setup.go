package githubtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// How a repository, a branch and a webhook are set up, as far as GitHub tells it over REST.

// Ruleset are the rules of a branch in GitHub's newer form, beside its protection.
type Ruleset struct {
	Checks       []string        // that must have passed
	Required     []RequiredCheck // likewise, with who has to report them
	Strict       bool            // the head must contain the base
	Approvals    int             // approving reviews of people who may write
	CodeOwners   bool            // shown, and left to the test
	LastPush     bool            // one of the approvals by somebody other than who pushed last
	Conversation bool            // every thread resolved
	Signatures   bool            // every commit verified
	Linear       bool            // no merge commits
	Locked       bool            // nobody merges
	Methods      []string        // the only ways to merge: merge, squash, rebase
	Deployments  []string        // environments; shown, and left to the test
	Others       []string        // more rules, by GitHub's names of their types; shown
	MergeQueue   bool            // merges go through GitHub's own queue
	QueueMethod  string          // of the queue: MERGE when empty, or SQUASH
}

func (rules Ruleset) required() []RequiredCheck {
	out := slices.Clone(rules.Required)
	for _, name := range rules.Checks {
		out = append(out, RequiredCheck{Context: name})
	}
	return out
}

// violation is how GitHub says that a ruleset forbids something.
func violation(what string) string { return "Repository rule violations found\n\n" + what + "\n\n" }

// Rules sets the rules of a branch.
func (r *Repo) Rules(branch string, rules Ruleset) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.rules[branch] = rules
}

// ruled is GitHub's sentence about the first rule that holds the pull request back, or "". They bind administrators too.
// How it is to be merged is not among them.
func (pr *PR) ruled() string {
	rules := pr.repo.rules[pr.baseBranch]
	for _, c := range rules.required() {
		if state := pr.repo.requiredState(pr.headSHA, c); state != "" {
			return violation(fmt.Sprintf("Required status check \"%s\" is %s.", c.Context, state))
		}
	}
	why := cmp.Or(pr.unapproved(rules.Approvals), pr.unmet(rules.LastPush, rules.Conversation, rules.Signatures))
	if why == "" && rules.Locked {
		why = "Cannot update this protected ref."
	}
	if why == "" {
		return ""
	}
	return violation(why)
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
		"protected": p != nil || len(c.activeRules(name)) > 0, "protection_url": at + "/protection",
		"protection": object{"enabled": p != nil, "required_status_checks": object{"enforcement_level": level, "contexts": names, "checks": checks}},
	})
}

// branchRules are the rules that are active on a branch.
func (c *call) branchRules() (reply, *apiError) {
	return list(c, c.activeRules(c.vars["branch"]), func(o object) object { return o })
}

func (c *call) activeRules(branch string) []object {
	rules, all := c.repo.rules[branch], []object{}
	add := func(on bool, kind string, parameters object) {
		if !on {
			return
		}
		o := object{"type": kind, "ruleset_source_type": "Repository", "ruleset_source": c.repo.full(), "ruleset_id": c.repo.ID}
		if parameters != nil {
			o["parameters"] = parameters
		}
		all = append(all, o)
	}
	checks := []any{}
	for _, k := range rules.required() {
		o := object{"context": k.Context}
		if k.App != nil {
			o["integration_id"] = k.App.ID
		}
		checks = append(checks, o)
	}
	add(len(checks) > 0 || rules.Strict, "required_status_checks", object{"required_status_checks": checks, "strict_required_status_checks_policy": rules.Strict})
	pull := object{
		"dismiss_stale_reviews_on_push": false, "require_code_owner_review": rules.CodeOwners, "require_last_push_approval": rules.LastPush,
		"required_approving_review_count": rules.Approvals, "required_review_thread_resolution": rules.Conversation,
	}
	if len(rules.Methods) > 0 {
		pull["allowed_merge_methods"] = rules.Methods
	}
	add(rules.Approvals > 0 || rules.CodeOwners || rules.LastPush || rules.Conversation || len(rules.Methods) > 0, "pull_request", pull)
	add(rules.Signatures, "required_signatures", nil)
	add(rules.Linear, "required_linear_history", nil)
	add(rules.Locked, "update", object{"update_allows_fetch_and_merge": false})
	add(len(rules.Deployments) > 0, "required_deployments", object{"required_deployment_environments": orEmpty(rules.Deployments)})
	for _, kind := range rules.Others {
		add(true, kind, nil)
	}
	add(rules.MergeQueue, "merge_queue", object{
		"check_response_timeout_minutes": 60, "grouping_strategy": "ALLGREEN", "max_entries_to_build": 5, "max_entries_to_merge": 5,
		"merge_method": cmp.Or(rules.QueueMethod, "MERGE"), "min_entries_to_merge": 1, "min_entries_to_merge_wait_minutes": 5,
	})
	return all
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
