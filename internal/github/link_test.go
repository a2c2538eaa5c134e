package github

import (
	"net/http"
	"net/url"
	"testing"
)

// FuzzNextParam: whatever a Link header says, it is read without harm; and what GitHub would write for a cursor is read as
// that cursor, whatever else stands beside it.
func FuzzNextParam(f *testing.F) {
	f.Add("v1_abc123", `<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1>; rel="prev"`)
	f.Add("a,b;c>d \"e\"", `<`)
	f.Add("", `<%zz>; rel="next"`)
	f.Fuzz(func(t *testing.T, cursor, other string) {
		nextParam(http.Header{"Link": {other}}, "cursor")
		link := `<https://api.github.com/app/hook/deliveries?per_page=100&` + url.Values{"cursor": {cursor}}.Encode() + `>; rel="next"`
		for _, h := range []string{link, `<https://api.github.com/app/hook/deliveries?cursor=x>; rel="prev", ` + link} {
			if got := nextParam(http.Header{"Link": {h}}, "cursor"); got != cursor {
				t.Errorf("nextParam(%q) = %q, want %q", h, got, cursor)
			}
		}
	})
}
