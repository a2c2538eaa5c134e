package github

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// fileMost is how large a file is read: as large as GitHub lets a CODEOWNERS file be.
const fileMost = 3 << 20

var fileQuery = operation{"File", `
query File($owner: String!, $name: String!, $policy: String!) {
  repository(owner: $owner, name: $name) { object(expression: $policy) { ...document } }
}
` + documentFragment}

// file looks up a file on the base branch as it is now.
func (l *learner) file(path string) *pull.Fault {
	s := l.s
	k := content{l.scope, s.Repo.ID, string(s.BaseBranchTip), path}
	d, known := l.c.learned.files.get(k)
	if !known {
		var f *pull.Fault
		if d, f = l.askFile(path); f != nil {
			return f
		}
		keep := contentsFor
		if d.Unreadable != "" {
			keep = doubtFor
		}
		l.c.learned.files.put(k, d, len(d.Text), keep)
	}
	put(&s.Known.Files, path, d)
	return nil
}

func (l *learner) askFile(path string) (pull.Document, *pull.Fault) {
	s := l.s
	out := pull.Document{Path: s.Repo.FullName() + "/" + path + "@" + s.Base.Name}
	if s.BaseBranchTip == "" {
		out.Unreadable = "the base branch is gone"
		return out, nil
	}
	vars := map[string]string{"owner": s.Repo.Owner, "name": s.Repo.Name, "policy": string(s.BaseBranchTip) + ":" + path}
	var data struct{ Repository *struct{ Object *document } }
	f := l.c.query(l.ctx, l.scope, fileQuery, l.on, vars, &data, readPullErrors)
	if f == nil && data.Repository == nil {
		f = &pull.Fault{Class: pull.FaultGone, Status: 404, Message: "GitHub does not show the repository"}
	}
	if f != nil {
		if whole(f) {
			return out, f
		}
		out.Found, out.Unreadable = true, f.Message
		return out, nil
	}
	if data.Repository.Object == nil {
		return out, nil
	}
	b := data.Repository.Object
	b.read(&out)
	if b.Typename != "Blob" || !b.IsTruncated || b.ByteSize > fileMost {
		return out, nil
	}
	// GraphQL cuts what REST still gives.
	var text string
	f = l.get("contents.get", func(a answer) *pull.Fault {
		text = string(a.body)
		return nil
	}, "application/vnd.github.raw+json", l.repo("git", "blobs", string(b.OID))...)
	switch {
	case f != nil && whole(f):
		return out, f
	case f == nil && len(text) == b.ByteSize && utf8.ValidString(text):
		out.Text, out.Unreadable = text, ""
	}
	return out, nil
}

var rulesQuery = operation{"BranchRules", `
query BranchRules($owner: String!, $name: String!, $number: Int!, $branch: String!) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) { isMergeQueueEnabled }
    ref(qualifiedName: $branch) {
      refUpdateRule {
        requiredApprovingReviewCount
        requiredStatusCheckContexts
        requiresCodeOwnerReviews
        requiresConversationResolution
        requiresLinearHistory
        requiresSignatures
      }
      branchProtectionRule {
        lockBranch
        requireLastPushApproval
        requiredDeploymentEnvironments
        requiresStrictStatusChecks
      }
    }
  }
}
`}

// harmless are the rules that hold no merge of a pull request back.
var harmless = []string{"creation", "deletion", "non_fast_forward", "copilot_code_review"}

// branchRules are rules, and when they were read.
type branchRules struct {
	pull.Rules
	at time.Time
}

// rules looks up what GitHub itself asks for before it merges into the base branch: rulesets, which whoever reads the
// repository may read, and of branch protection what it tells without administration rights. Fresh are rules of the last
// minute: what is held back by them is looked at again when one of them changes, often more than once.
func (l *learner) rules(fresh bool) *pull.Fault {
	s := l.s
	k := content{l.scope, s.Repo.ID, s.Base.Name, ""}
	kept, known := l.c.learned.rules.get(k)
	r := kept.Rules
	if !known || fresh && time.Since(kept.at) >= freshRules {
		r = pull.Rules{}
		for _, part := range []func(*pull.Rules) *pull.Fault{l.rulesets, l.protection} {
			f := part(&r)
			if f != nil && whole(f) {
				return f
			}
			if f != nil {
				r.Missing = "GitHub does not show the rules of the branch: " + f.Message
			}
		}
		l.c.learned.rules.put(k, branchRules{r, time.Now()}, 1024, rulesFor)
	}
	s.Known.Rules = &r
	return nil
}

func (l *learner) rulesets(r *pull.Rules) *pull.Fault {
	_, f := l.list("branch.rules", func(a answer) *pull.Fault {
		var got []struct {
			Type       string
			Parameters struct {
				Checks []struct {
					Context string
					App     int64 `json:"integration_id"`
				} `json:"required_status_checks"`
				Strict       bool               `json:"strict_required_status_checks_policy"`
				Approvals    int                `json:"required_approving_review_count"`
				CodeOwners   bool               `json:"require_code_owner_review"`
				LastPush     bool               `json:"require_last_push_approval"`
				Conversation bool               `json:"required_review_thread_resolution"`
				Methods      []pull.MergeMethod `json:"allowed_merge_methods"`
				Reviewers    []struct {
					Approvals int `json:"minimum_approvals"`
				} `json:"required_reviewers"`
				Environments []string `json:"required_deployment_environments"`
			}
		}
		f := a.decode(&got)
		for _, rule := range got {
			p := rule.Parameters
			switch rule.Type {
			case "required_status_checks":
				for _, c := range p.Checks {
					r.Checks = append(r.Checks, pull.RequiredCheck{Name: c.Context, AppID: max(0, c.App)})
				}
				r.UpToDate = r.UpToDate || p.Strict && len(p.Checks) > 0
			case "pull_request":
				r.Approvals = max(r.Approvals, p.Approvals)
				r.CodeOwners, r.LastPush, r.Conversation = r.CodeOwners || p.CodeOwners, r.LastPush || p.LastPush, r.Conversation || p.Conversation
				r.Methods = allowed(r.Methods, p.Methods)
				for _, who := range p.Reviewers {
					if who.Approvals > 0 {
						r.Others = append(r.Others, "required_reviewers")
					}
				}
			case "required_signatures":
				r.Signatures = true
			case "required_linear_history":
				r.Linear = true
			case "update":
				r.Locked = true
			case "merge_queue":
				r.MergeQueue = true
			case "required_deployments":
				r.Deployments = append(r.Deployments, p.Environments...)
			default:
				if !slices.Contains(harmless, rule.Type) {
					r.Others = append(r.Others, oneLine(rule.Type))
				}
			}
		}
		return f
	}, l.repo("rules", "branches", l.s.Base.Name)...)
	slices.Sort(r.Others)
	r.Others = slices.Compact(r.Others)
	return missingIsFine(f) // an older Enterprise Server
}

func (l *learner) protection(r *pull.Rules) *pull.Fault {
	s := l.s
	var data struct {
		Repository *struct {
			PullRequest *struct{ IsMergeQueueEnabled bool }
			Ref         *struct {
				RefUpdateRule *struct {
					RequiredApprovingReviewCount                             *int
					RequiredStatusCheckContexts                              []string
					RequiresCodeOwnerReviews, RequiresConversationResolution bool
					RequiresLinearHistory, RequiresSignatures                bool
				}
				BranchProtectionRule *struct {
					LockBranch, RequireLastPushApproval, RequiresStrictStatusChecks bool
					RequiredDeploymentEnvironments                                  []string
				}
			}
		}
	}
	vars := &variables{Owner: s.Repo.Owner, Name: s.Repo.Name, Number: s.Number, Branch: "refs/heads/" + s.Base.Name}
	f := l.c.query(l.ctx, l.scope, rulesQuery, l.on, vars, &data, func(e gqlError) *pull.Fault {
		if e.Type == "FORBIDDEN" && e.under("repository", "ref", "branchProtectionRule") {
			return nil // it is for administrators
		}
		return readPullErrors(e)
	})
	if f != nil {
		return f
	}
	if data.Repository == nil {
		return &pull.Fault{Class: pull.FaultGone, Op: l.on, Status: 404, Message: "there is no such repository"}
	}
	r.MergeQueue = r.MergeQueue || data.Repository.PullRequest != nil && data.Repository.PullRequest.IsMergeQueueEnabled
	if data.Repository.Ref == nil {
		return nil // the base branch is gone
	}
	if p := data.Repository.Ref.BranchProtectionRule; p != nil {
		r.Locked, r.LastPush = r.Locked || p.LockBranch, r.LastPush || p.RequireLastPushApproval
		r.UpToDate = r.UpToDate || p.RequiresStrictStatusChecks
		r.Deployments = append(r.Deployments, p.RequiredDeploymentEnvironments...)
	}
	p := data.Repository.Ref.RefUpdateRule
	if p == nil {
		return nil
	}
	if p.RequiredApprovingReviewCount != nil {
		r.Approvals = max(r.Approvals, *p.RequiredApprovingReviewCount)
	}
	r.CodeOwners, r.Conversation = r.CodeOwners || p.RequiresCodeOwnerReviews, r.Conversation || p.RequiresConversationResolution
	r.Linear, r.Signatures = r.Linear || p.RequiresLinearHistory, r.Signatures || p.RequiresSignatures
	if len(p.RequiredStatusCheckContexts) == 0 {
		return nil
	}
	return l.protectedChecks(r, p.RequiredStatusCheckContexts)
}

// protectedChecks adds the checks that branch protection requires. Of which App they have to be, only the branch itself says.
func (l *learner) protectedChecks(r *pull.Rules, names []string) *pull.Fault {
	var got struct {
		Protection struct {
			Required struct {
				Checks []struct {
					Context string
					App     int64 `json:"app_id"`
				}
			} `json:"required_status_checks"`
		}
	}
	f := l.get("branch.get", reading(&got), "", l.repo("branches", l.s.Base.Name)...)
	if f != nil && whole(f) {
		return f
	}
	add := func(c pull.RequiredCheck) {
		if !slices.Contains(r.Checks, c) {
			r.Checks = append(r.Checks, c)
		}
	}
	for _, c := range got.Protection.Required.Checks {
		add(pull.RequiredCheck{Name: c.Context, AppID: max(0, c.App)})
	}
	for _, name := range names {
		if !slices.ContainsFunc(r.Checks, func(c pull.RequiredCheck) bool { return c.Name == name }) {
			add(pull.RequiredCheck{Name: name})
		}
	}
	return nil
}

var dependentsQuery = operation{"Dependents", `
query Dependents($owner: String!, $name: String!, $branch: String!) {
  repository(owner: $owner, name: $name) {
    pullRequests(states: OPEN, baseRefName: $branch, first: 100) { pageInfo { hasNextPage } nodes { number } }
  }
}
`}

// dependents looks up the open pull requests into the head branch. It is asked for when the branch is about to go, and is
// never kept: one that was opened since would be closed with it.
func (l *learner) dependents() *pull.Fault {
	s := l.s
	out := pull.Pulls{Numbers: []int{}}
	s.Known.Dependents = &out
	if s.Fork || s.Head.Repo.ID != s.Repo.ID {
		return nil // nothing here is based on a branch of another repository
	}
	var data struct {
		Repository *struct {
			PullRequests *page[struct{ Number int }]
		}
	}
	vars := &variables{Owner: s.Repo.Owner, Name: s.Repo.Name, Branch: s.Head.Name}
	f := l.c.query(l.ctx, l.scope, dependentsQuery, l.on, vars, &data, readPullErrors)
	if f != nil && whole(f) {
		return f
	}
	if f != nil || data.Repository == nil || data.Repository.PullRequests == nil {
		out.Truncated = true
		return nil
	}
	for _, p := range data.Repository.PullRequests.Nodes {
		if p != nil {
			out.Numbers = append(out.Numbers, p.Number)
		}
	}
	out.Truncated = data.Repository.PullRequests.PageInfo.HasNextPage
	return nil
}

// allowed are the methods that both a former rule and another one allow.
func allowed(had, also []pull.MergeMethod) []pull.MergeMethod {
	switch {
	case len(also) == 0:
		return had
	case had == nil:
		return also
	}
	return slices.DeleteFunc(had, func(m pull.MergeMethod) bool { return !slices.Contains(also, m) })
}

// read puts what GitHub says of a file into a document.
func (b *document) read(d *pull.Document) {
	d.Found, d.OID = true, b.OID
	switch {
	case b.Typename != "Blob":
		d.Unreadable = "it is not a file but a " + strings.ToLower(b.Typename)
	case b.IsTruncated:
		d.Unreadable = fmt.Sprintf("it is too large for GitHub to show (%d bytes)", b.ByteSize)
	case b.IsBinary || b.Text == nil:
		d.Unreadable = "it is a binary file"
	case len(*b.Text) != b.ByteSize && strings.ContainsRune(*b.Text, utf8.RuneError):
		// GitHub replaces what is not UTF-8, which changes the length.
		d.Unreadable = "it is not UTF-8 text"
	default:
		d.Text = *b.Text
	}
}
