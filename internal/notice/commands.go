package notice

import "github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"

// commandClause says a reason about commands.
func commandClause(r policy.Reason) string {
	switch r.Code {
	}
	return ""
}
