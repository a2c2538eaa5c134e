package dashboard

import (
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
)

func reasonText(r policy.Reason) string {
	s := strings.ReplaceAll(string(r.Code), "_", " ")
	if len(r.Names) > 0 {
		s += ": " + strings.Join(r.Names, ", ")
	}
	return s
}
