package notice

import "github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"

// approvalClause says a reason about approvals.
func approvalClause(r policy.Reason) string {
	switch r.Code {
	}
	return ""
}
