package githubtest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

func (c *call) combinedStatus(cm *commit) (reply, *apiError) {
	newest := c.repo.contexts(cm.sha)
	state := "pending"
	if len(newest) > 0 {
		state = "success"
	}
	for _, st := range newest {
		switch st.state {
		case "failure", "error":
			state = "failure"
		case "pending":
			if state == "success" {
				state = "pending"
			}
		}
	}
	out := []any{}
	for _, st := range page(c, newest) {
		o := st.json()
		delete(o, "creator")
		out = append(out, o)
	}
	return ok(object{
		"state": state, "statuses": out, "sha": cm.sha, "total_count": len(newest), "repository": c.repo.json(false),
		"commit_url": c.repo.url("/commits/%s", cm.sha), "url": c.repo.url("/commits/%s/status", cm.sha),
	})
}

func (c *call) listStatuses(cm *commit) (reply, *apiError) {
	all := slices.Clone(c.repo.statuses[cm.sha])
	slices.Reverse(all)
	return list(c, all, (*Status).json)
}

func (c *call) createStatus() (reply, *apiError) {
	var in struct {
		State       string  `json:"state"`
		TargetURL   *string `json:"target_url"`
		Description *string `json:"description"`
		Context     *string `json:"context"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	cm := c.repo.objects.commit(c.vars["sha"])
	if cm == nil {
		return reply{}, refuse(422, "No commit found for SHA: "+c.vars["sha"])
	}
	st := &Status{sha: cm.sha, context: "default", state: in.State}
	if in.Context != nil {
		st.context = *in.Context
	}
	if in.Description != nil {
		st.description = *in.Description
	}
	if in.TargetURL != nil {
		st.targetURL = *in.TargetURL
	}
	if !slices.Contains([]string{"error", "failure", "pending", "success"}, in.State) {
		return reply{}, invalid("Status", "state", "custom")
	}
	if len([]rune(st.description)) > 140 {
		return reply{}, &apiError{status: 422, message: "Validation Failed", errors: []any{object{"resource": "Status", "code": "custom", "field": "description", "message": "description is too long (maximum is 140 characters)"}}}
	}
	if st.targetURL != "" && !strings.HasPrefix(st.targetURL, "http://") && !strings.HasPrefix(st.targetURL, "https://") {
		return reply{}, invalid("Status", "target_url", "custom")
	}
	n := 0
	for _, old := range c.repo.statuses[cm.sha] {
		if old.context == st.context {
			n++
		}
	}
	if n >= 1000 {
		return reply{}, &apiError{status: 422, message: "Validation Failed", errors: []any{object{"resource": "Status", "code": "custom", "message": "This SHA and context has reached the maximum number of statuses."}}}
	}
	return reply{201, c.repo.setStatus(st, c.auth.actor()).json()}, nil
}

func (c *call) listChecks(cm *commit) (reply, *apiError) {
	all := slices.Clone(c.repo.runs[cm.sha])
	if c.query.Get("filter") != "all" {
		all = newest(all)
	}
	all = slices.DeleteFunc(all, func(k *Check) bool {
		name, app, status := c.query.Get("check_name"), c.query.Get("app_id"), c.query.Get("status")
		return name != "" && k.name != name || app != "" && strconv.FormatInt(k.suite.app.ID, 10) != app || status != "" && k.status != status
	})
	slices.Reverse(all)
	out := []any{}
	for _, k := range page(c, all) {
		out = append(out, k.json())
	}
	return ok(object{"total_count": len(all), "check_runs": out})
}

func (c *call) listSuites(cm *commit) (reply, *apiError) {
	var all []*suite
	for _, su := range c.repo.suites {
		if su.sha == cm.sha {
			all = append(all, su)
		}
	}
	out := []any{}
	for _, su := range page(c, all) {
		o := su.json()
		o["repository"] = c.repo.json(false)
		out = append(out, o)
	}
	return ok(object{"total_count": len(all), "check_suites": out})
}

func (c *call) check() *Check {
	if c.repo == nil {
		return nil
	}
	for _, runs := range c.repo.runs {
		for _, k := range runs {
			if strconv.FormatInt(k.id, 10) == c.vars["id"] {
				return k
			}
		}
	}
	return nil
}

func (c *call) getCheck() (reply, *apiError) {
	k := c.check()
	if k == nil {
		return reply{}, refuse(404, "Not Found")
	}
	return ok(k.json())
}

type checkInput struct {
	Name       *string    `json:"name"`
	HeadSHA    string     `json:"head_sha"`
	Status     *string    `json:"status"`
	Conclusion *string    `json:"conclusion"`
	ExternalID *string    `json:"external_id"`
	DetailsURL *string    `json:"details_url"`
	StartedAt  *time.Time `json:"started_at"`
	Completed  *time.Time `json:"completed_at"`
	Output     *struct {
		Title   *string `json:"title"`
		Summary *string `json:"summary"`
		Text    *string `json:"text"`
	} `json:"output"`
}

// into writes what was given over k.
func (in checkInput) into(k *Check) *apiError {
	set := func(to, from *string) {
		if from != nil {
			*to = *from
		}
	}
	if in.Status != nil {
		if !slices.Contains([]string{"queued", "in_progress", "completed", "waiting", "requested", "pending"}, *in.Status) {
			return invalid("CheckRun", "status", "invalid")
		}
		if *in.Status != "completed" {
			k.conclusion = ""
		}
	}
	if in.Conclusion != nil && !slices.Contains([]string{"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}, *in.Conclusion) {
		return invalid("CheckRun", "conclusion", "invalid")
	}
	if in.Status != nil && *in.Status == "completed" && in.Conclusion == nil && k.conclusion == "" {
		return refuse(422, "Invalid request.\n\n\"conclusion\" wasn't supplied.")
	}
	if in.Output != nil {
		if in.Output.Title == nil && k.title == "" || in.Output.Summary == nil && k.summary == "" {
			return refuse(422, "Invalid request.\n\n\"title\", \"summary\" weren't supplied.")
		}
		for _, t := range []*string{in.Output.Summary, in.Output.Text} {
			if t != nil && len(*t) > 65535 {
				return refuse(422, "Invalid request.\n\nOnly 65535 characters are allowed.")
			}
		}
		set(&k.title, in.Output.Title)
		set(&k.summary, in.Output.Summary)
		set(&k.text, in.Output.Text)
	}
	set(&k.name, in.Name)
	set(&k.status, in.Status)
	set(&k.conclusion, in.Conclusion)
	set(&k.externalID, in.ExternalID)
	set(&k.detailsURL, in.DetailsURL)
	if in.StartedAt != nil {
		k.started = in.StartedAt.UTC()
	}
	if in.Completed != nil {
		k.completed = in.Completed.UTC()
	}
	return nil
}

func (c *call) createCheck() (reply, *apiError) {
	var in checkInput
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Name == nil || *in.Name == "" || in.HeadSHA == "" {
		return reply{}, refuse(422, "Invalid request.\n\n\"name\", \"head_sha\" weren't supplied.")
	}
	if c.repo.objects.commit(in.HeadSHA) == nil {
		return reply{}, refuse(422, "No commit found for SHA: "+in.HeadSHA)
	}
	k := &Check{}
	if err := in.into(k); err != nil {
		return reply{}, err
	}
	return reply{201, c.repo.addCheck(k, c.auth.token.inst.App, in.HeadSHA, c.auth.actor()).json()}, nil
}

func (c *call) updateCheck() (reply, *apiError) {
	k := c.check()
	if k == nil {
		return reply{}, refuse(404, "Not Found")
	}
	if k.suite.app != c.auth.token.inst.App {
		return reply{}, refuse(403, "Invalid app_id `"+strconv.FormatInt(c.auth.token.inst.App.ID, 10)+"` - check run can only be modified by the GitHub App that created it.")
	}
	var in checkInput
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	trial := *k
	if err := in.into(&trial); err != nil {
		return reply{}, err
	}
	*k = trial
	k.update(c.auth.actor())
	return ok(k.json())
}
