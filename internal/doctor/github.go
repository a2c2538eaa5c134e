package doctor

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// credentials asks who we are at GitHub, and reports whether it makes sense to ask for more.
func (e *examination) credentials(ctx context.Context) bool {
	s := e.Settings
	if s.AppID == 0 && !s.Token {
		e.fail("credentials", "", "there are none: the service keeps deliveries and does nothing", "set GITHUB_APP_ID and GITHUB_PRIVATE_KEY_FILE (github-pr-manager setup makes an App), or GITHUB_TOKEN")
		return false
	}
	usable := false
	if s.AppID != 0 {
		app, err := e.GitHub.App(ctx)
		if err == nil {
			usable, e.app = true, &app
			e.ok("credentials", "", "GitHub accepts the key of the App %s (%d)", app.Slug, app.ID)
		} else {
			e.refused(err, "GITHUB_APP_ID and GITHUB_PRIVATE_KEY", "take the App's id and a key from its settings page")
		}
	}
	var token pull.Token
	if s.Token {
		var err error
		if token, err = e.GitHub.Token(ctx); err == nil {
			usable = true
			e.ok("credentials", "", "GitHub accepts GITHUB_TOKEN, a %s token", token.Kind)
		} else {
			e.refused(err, "GITHUB_TOKEN", "make a new classic token with the scope repo")
		}
	}
	e.clock(usable)
	if e.app != nil {
		permissions, events := e.app.Lacks()
		e.allowed("permissions", "", "the App", permissions, "change them on the App's settings page under Permissions & events, and have each owner accept them")
		e.allowed("events", "", "the App's webhook", events, "subscribe to them on the App's settings page under Permissions & events")
		if less := pull.Without(e.app.Permissions, e.app.Events); len(less) > 0 {
			e.warn("permissions", "", "the App does without "+strings.Join(less, ", "), "add them on the App's settings page under Permissions & events, if you need that")
		}
	}
	if s.Token && token.Kind != "" {
		switch what := token.Lacks(); {
		case what != "":
			e.fail("scopes", "", what, "make a new classic token with the scope repo")
		case token.Kind != pull.TokenClassic:
			e.warn("scopes", "", "GITHUB_TOKEN is no personal access token, and lasts an hour or less", "use a classic personal access token with the scope repo, or an App")
		default:
			what := strings.Join(token.Scopes, ", ")
			if !slices.Contains(token.Scopes, "repo") {
				what += ", which is enough for public repositories"
			}
			if !token.SeesTeams() {
				what += "; a policy that names teams needs read:org besides"
			}
			e.ok("scopes", "", "%s", what)
		}
	}
	return usable
}

// refused says why GitHub could not be asked.
func (e *examination) refused(err error, name, do string) {
	f, ok := pull.FaultOf(err)
	switch {
	case ok && f.Class == pull.FaultAuth:
		e.fail("credentials", "", fmt.Sprintf("GitHub does not accept %s: %s", name, f.Message), do)
	case ok && f.Class == pull.FaultThrottled:
		e.warn("credentials", "", "GitHub could not be asked: "+f.Message, "ask again after "+f.Until.UTC().Format("15:04:05")+" UTC")
	default:
		e.fail("credentials", "", err.Error(), "see the network, HTTPS_PROXY and GITHUB_API_URL, and https://www.githubstatus.com")
	}
}

func (e *examination) clock(usable bool) {
	skew := e.GitHub.Skew().Round(time.Second)
	way := "behind"
	if skew < 0 {
		way = "ahead of"
	}
	switch {
	case skew.Abs() > time.Minute:
		e.fail("clock", "", fmt.Sprintf("this machine's clock is %s %s GitHub's", skew.Abs(), way), "set it right and keep it so: timedatectl set-ntp true, or chrony")
	case !usable && skew == 0:
		e.skip("clock", "", "GitHub did not tell its time")
	default:
		e.ok("clock", "", "it differs from GitHub's by less than a minute")
	}
}

// allowed says what of a list is lacking.
func (e *examination) allowed(name, about, who string, lacking []string, do string) {
	if len(lacking) == 0 {
		e.ok(name, about, "%s has all that are needed", who)
		return
	}
	e.fail(name, about, who+" lacks "+strings.Join(lacking, ", "), do)
}

func (e *examination) limits(ctx context.Context) {
	if e.app != nil { // each installation has its own, which its first request would have to open
		e.skip("limits", "", "an App has limits of its own in each installation: see github_api_budget_remaining_ratio")
		return
	}
	left, err := e.GitHub.Limits(ctx, pull.ScopeToken)
	if f, ok := pull.FaultOf(err); ok && f.Class == pull.FaultGone {
		e.ok("limits", "", "this server has none")
		return
	}
	if err != nil {
		e.skip("limits", "", "%v", err)
		return
	}
	var words []string
	low := false
	for _, l := range left {
		words = append(words, fmt.Sprintf("%d of %d (%s)", l.Remaining, l.Limit, map[string]string{"core": "REST", "graphql": "GraphQL"}[l.Resource]))
		low = low || l.Remaining*5 < l.Limit
	}
	if text := "left in this hour: " + strings.Join(words, ", "); low {
		e.warn("limits", "", text, "nothing if it is seldom: what is due waits. An App has limits of its own, and higher ones")
	} else {
		e.ok("limits", "", "%s", text)
	}
}

func (e *examination) installations(ctx context.Context) {
	if e.app == nil {
		return
	}
	all, err := e.GitHub.AppInstallations(ctx)
	if err != nil {
		e.skip("installations", "", "%v", err)
		return
	}
	if len(all) == 0 {
		e.fail("installations", "", "the App is installed nowhere", "install it from its public page, for the repositories that it is to look after")
	}
	for _, in := range all {
		missing := in.Lacks()
		switch permissions, events := e.app.Lacks(); {
		case in.Suspended:
			e.fail("installations", in.Account, "it is suspended: nothing there is ours to see", "have its owner unsuspend it under Settings, GitHub Apps")
		case len(missing) > len(permissions)+len(events):
			e.fail("installations", in.Account, "its owner has not accepted what the App asks for: "+strings.Join(missing, ", "), "have its owner accept the request under Settings, GitHub Apps")
		default:
			e.ok("installations", in.Account, "installation %d", in.ID)
		}
	}
}

// want is where GitHub should send webhooks; "" when that is not known.
func (e *examination) want() string {
	u, err := url.Parse(e.Settings.PublicURL)
	if err != nil || local(u.Hostname()) {
		return ""
	}
	return strings.TrimRight(e.Settings.PublicURL, "/") + "/webhook"
}

func (e *examination) appHook(ctx context.Context) {
	if e.app == nil {
		return
	}
	h, err := e.GitHub.AppHook(ctx)
	switch f, ok := pull.FaultOf(err); {
	case ok && f.Class == pull.FaultGone, err == nil && h.Hook.URL == "":
		e.fail("webhook", "", "the App has no webhook", "set its URL to "+e.shouldBe()+" on the App's settings page, and its secret to WEBHOOK_SECRET")
		return
	case err != nil:
		e.skip("webhook", "", "%v", err)
		return
	}
	h.Events = e.app.Events
	e.hook(ctx, "", h, "on the App's settings page")
}

func (e *examination) shouldBe() string {
	if w := e.want(); w != "" {
		return w
	}
	return "PUBLIC_URL/webhook"
}

// hook judges one webhook, and what became of its newest deliveries.
func (e *examination) hook(ctx context.Context, about string, h pull.HookSetup, where string) {
	want := e.want()
	var wrong []string
	do := "set that right " + where
	if !h.Active {
		wrong = append(wrong, "it is switched off")
	}
	if want != "" && h.Hook.URL != want {
		wrong = append(wrong, fmt.Sprintf("it leads to %s, and PUBLIC_URL says %s", h.Hook.URL, want))
	}
	if h.ContentType != "json" && h.ContentType != "form" {
		wrong = append(wrong, "its content type is "+h.ContentType+", and should be application/json")
	}
	if h.InsecureTLS {
		wrong = append(wrong, "GitHub does not check the certificate that it meets there (SSL verification is off)")
	}
	if about != "" { // the App's events have a finding of their own
		if lacking := pull.LackingEvents(h.Events); len(lacking) > 0 {
			wrong = append(wrong, "it does not send "+strings.Join(lacking, ", "))
		}
	}
	if len(wrong) > 0 {
		e.fail("webhook", about, strings.Join(wrong, "; "), do)
	} else {
		e.ok("webhook", about, "it leads to %s", h.Hook.URL)
	}
	if less := pull.Without(nil, h.Events); about != "" && len(wrong) == 0 && len(less) > 0 {
		e.warn("webhook", about, "it does without "+strings.Join(less, ", "), "add them under Settings, Webhooks, if you need that")
	}
	e.deliveries(ctx, about, h.Hook)
}

// newest is how many of GitHub's tries to deliver are looked at.
const newest = 20

func (e *examination) deliveries(ctx context.Context, about string, h pull.Hook) {
	page, _, err := e.GitHub.Sendings(ctx, h, "")
	if err != nil {
		e.skip("deliveries", about, "%v", err)
		return
	}
	page = page[:min(len(page), newest)]
	if len(page) == 0 {
		e.skip("deliveries", about, "GitHub has sent none in the last days")
		return
	}
	failed := 0
	for _, s := range page {
		if !s.OK {
			failed++
		}
	}
	last := page[0]
	how := last.Status
	if last.Code != 0 {
		how = fmt.Sprintf("answered %d", last.Code)
	}
	switch {
	case failed == 0:
		e.ok("deliveries", about, "the last %d have arrived", len(page))
	case last.OK:
		e.warn("deliveries", about, fmt.Sprintf("%d of the last %d have not arrived, the newest has", failed, len(page)), "nothing: the service asks for them again by itself; or github-pr-manager deliveries recover")
	case last.Code == 401:
		e.fail("deliveries", about, "the newest was answered 401: the secret at GitHub is not one of those here", "set the webhook's secret at GitHub to WEBHOOK_SECRET")
	case last.Code == 503:
		e.fail("deliveries", about, "the newest was answered 503: the service could not keep it", "see /ready for what is wrong; it is asked for again by itself")
	case last.Code == 0:
		e.fail("deliveries", about, "the newest did not get through: "+how, "see whether GitHub can reach the address: DNS, load balancer, firewall, certificate")
	default:
		e.fail("deliveries", about, "the newest was "+how, "see what answers at that address, and the service's log")
	}
}

func (e *examination) repos(ctx context.Context) {
	if len(e.Repositories) == 0 {
		e.skip("repository", "", "none is known yet: name one with --repo OWNER/REPO")
		return
	}
	for _, r := range e.Repositories {
		if ctx.Err() != nil {
			return
		}
		e.repository(ctx, r)
	}
	if e.More > 0 {
		e.skip("repository", "", "%d more were not looked at: name one with --repo OWNER/REPO", e.More)
	}
}

func (e *examination) repository(ctx context.Context, r pull.Repo) {
	about := r.FullName()
	scope, err := e.GitHub.InstallationFor(ctx, r.Owner, r.Name)
	if err != nil {
		e.unseen(about, err)
		return
	}
	s, err := e.GitHub.RepoSetup(ctx, scope, r)
	if err != nil && s.Repo.Name == "" {
		e.unseen(about, err)
		return
	}
	switch {
	case s.Archived:
		e.warn("repository", about, "it is archived: nothing there can be changed", "nothing, or take it out of GITHUB_REPOSITORY")
		return
	case !strings.EqualFold(s.Repo.FullName(), about):
		e.warn("repository", about, "it is called "+s.Repo.FullName()+" now", "use its new name in GITHUB_REPOSITORY, if it is named there")
	default:
		e.ok("repository", about, "it can be seen, as %s", scope)
	}
	if err != nil {
		e.warn("repository", about, err.Error(), "see what the sentence says; the rest was not looked at")
		return
	}
	if e.app == nil {
		e.repoHooks(ctx, about, scope, s.Repo)
	}
	e.policy(about, s)
	if s.MergeQueue {
		e.warn("merge queue", about, "its branch "+s.DefaultBranch+" takes merges from GitHub's own merge queue only: the service can't merge there", "let the policy decide labels and reports there, or take the rule away")
	} else {
		e.ok("merge queue", about, "GitHub's own is not required")
	}
	e.checks(about, s)
	if len(s.Owners) > 0 {
		e.warn("owners", about, strings.Join(s.Owners, "; "), "give them write access, or name somebody else: GitHub asks nobody for a review meanwhile")
	} else {
		e.ok("owners", about, "GitHub finds nothing wrong with CODEOWNERS, or there is none")
	}
}

func (e *examination) unseen(about string, err error) {
	if f, ok := pull.FaultOf(err); ok && f.Class == pull.FaultGone {
		do := "see that the account of GITHUB_TOKEN may see it"
		if e.app != nil {
			do = "install the App there"
		}
		e.fail("repository", about, "it is not there, or not ours to see", do)
		return
	}
	e.skip("repository", about, "%v", err)
}

func (e *examination) repoHooks(ctx context.Context, about string, scope pull.Scope, r pull.Repo) {
	hooks, err := e.GitHub.HookSetups(ctx, scope, r)
	if err != nil {
		e.skip("webhook", about, "its webhooks are shown to a token with the scope repo whose account is an admin there")
		return
	}
	want := e.want()
	ours := func(h pull.HookSetup) bool {
		if want != "" {
			return h.Hook.URL == want
		}
		return strings.HasSuffix(h.Hook.URL, "/webhook")
	}
	near := func(h pull.HookSetup) bool { return strings.HasSuffix(h.Hook.URL, "/webhook") }
	for _, is := range []func(pull.HookSetup) bool{ours, near} {
		if i := slices.IndexFunc(hooks, is); i >= 0 {
			e.hook(ctx, about, hooks[i], "under Settings, Webhooks")
			return
		}
	}
	e.warn("webhook", about, "none of its webhooks leads here", "add one under Settings, Webhooks that leads to "+e.shouldBe()+", or see that the organization has one")
}

func (e *examination) policy(about string, s pull.RepoSetup) {
	if s.Policy == nil {
		e.warn("policy", about, "there is no "+pull.PolicyFile+" on "+s.DefaultBranch+": the service observes and writes nothing, unless the owner's .github repository has one", "add one: docs/policy.md has examples")
		return
	}
	_, problems := policy.Parse(pull.PolicyFile, s.Policy)
	if len(problems) == 0 {
		e.ok("policy", about, "%s is valid", pull.PolicyFile)
		return
	}
	text := problems[0].String()
	if len(problems) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(problems)-1)
	}
	e.fail("policy", about, text, "github-pr-manager check "+pull.PolicyFile+"; the last valid policy stays in force meanwhile")
}

func (e *examination) checks(about string, s pull.RepoSetup) {
	var silent []string
	for _, name := range s.Required {
		if !slices.Contains(s.Reported, name) {
			silent = append(silent, name)
		}
	}
	switch {
	case len(s.Required) == 0:
		e.ok("required checks", about, "%s requires none", s.DefaultBranch)
	case s.Heads == 0:
		e.skip("required checks", about, "there is no pull request that would tell whether they report")
	case len(silent) > 0:
		e.warn("required checks", about, fmt.Sprintf("%s: required by %s, and reported on none of the last %d pull requests, which can't be merged", strings.Join(silent, ", "), s.DefaultBranch, s.Heads), "see whether the name is right, and the workflow runs on pull requests; or require it no more")
	default:
		e.ok("required checks", about, "all report: %s", strings.Join(s.Required, ", "))
	}
}
