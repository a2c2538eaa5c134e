package notice

import "github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"

// reviewerClause says a reason about reviewers.
func reviewerClause(r policy.Reason) string {
	switch r.Code {
	}
	return ""
}
