package notice

import (
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// fullMerging sets what reasons about checks, merging and rules say.
func fullMerging(r *policy.Reason) {
	switch r.Code {
	case policy.MergeNotAsked, policy.CheckForged:
		r.Verb, r.Value, r.Names = "merge", "forge", []string{"lint"}
	case policy.Held:
		r.Text = "waits for the release"
	case policy.MergeLabelUnknown:
		r.Text = "GitHub does not tell who set it"
	case policy.GitHubApprovals:
		r.Count, r.Value = 2, "1"
	case policy.GitHubRules:
		r.Text = "the credentials may not read them"
	case policy.GitHubThreads, policy.InQueue:
		r.Count = 2
	case policy.UpdatedFor, policy.UpdatedMuch:
		r.Count = 5
	case policy.GitHubSignatures:
		r.Names = []string{"def5678"}
	case policy.GitHubDeployments:
		r.Names = []string{"staging"}
	case policy.GitHubOther:
		r.Names = []string{"required_linear_something"}
	case policy.BranchInUse:
		r.Names, r.Branch, r.Value = []string{"#12", "#13"}, "door", "main"
	case policy.RuleEffect, policy.RuleOnce:
		r.Label, r.Verb, r.Text = "welcome", string(pull.Assign), "alice"
	case policy.RuleHolds, policy.RuleHoldsNot, policy.RuleOwnPull, policy.RuleAsksMerge:
		r.Label = "patch updates merge themselves"
	case policy.ReadyToMerge:
		r.Names = []string{"docs (skipped)"}
	}
}
