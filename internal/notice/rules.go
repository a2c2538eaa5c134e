package notice

import "github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"

// ruleClause says a reason about the section rules.
func ruleClause(r policy.Reason) string {
	switch r.Code {
	}
	return ""
}
