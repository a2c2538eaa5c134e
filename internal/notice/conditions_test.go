package notice

import (
	"fmt"
	"slices"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestReportsWhileOff: what stands on the head says once that the service is off, and speaks for nothing any more; what does
// not stand there is not made.
func TestReportsWhileOff(t *testing.T) {
	const says = "The label “hold”, set by carol, keeps the service off this pull request, so nothing is done here until it is taken off."
	v := policy.Verdict{
		Policy: policy.Source{Found: true, Mode: policy.Active}, State: policy.Off, Head: head,
		Reasons: []policy.Reason{{Code: policy.OptedOut, Label: "hold", By: "carol", Who: []string{policy.WhoTriage}}},
	}
	main := &pull.Report{ID: 1, SHA: head, State: pull.ReportGood, Title: "Ready."}
	approvals := pull.Report{ID: 2, SHA: head, Name: pull.ApprovalsName, State: pull.ReportGood, Title: "Approved."}
	for _, tt := range []struct {
		name   string
		change func(*pull.Snapshot)
		want   []string
	}{
		{"none stands", func(*pull.Snapshot) {}, nil},
		{"both stand", func(s *pull.Snapshot) { s.Report, s.Reports = main, []pull.Report{approvals} }, []string{"1 waiting " + says, "2 waiting " + says}},
		{"only the one about approvals", func(s *pull.Snapshot) { s.Reports = []pull.Report{approvals} }, []string{"2 waiting " + says}},
		{"on an older head", func(s *pull.Snapshot) {
			old := approvals
			old.SHA = "0ldhead"
			s.Reports = []pull.Report{old}
		}, nil},
		{"closed", func(s *pull.Snapshot) { s.State, s.Reports = pull.Closed, []pull.Report{approvals} }, nil},
	} {
		s := pull.Snapshot{State: pull.Open, Head: pull.Branch{Name: "door", SHA: head}, AsApp: true}
		tt.change(&s)
		var got []string
		for _, r := range Reports(s, v, "https://pr.example") {
			got = append(got, fmt.Sprintf("%d %s %s", r.ID, r.State, r.Title))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: the reports are %q, want %q", tt.name, got, tt.want)
		}
	}
}
