package policy

// An approvalShape is one rule of the section approvals, or several of them joined.
type approvalShape struct {
	selectorShape
}

// An approvalTree is what has to be approved by whom.
type approvalTree struct {
	pos Pos
}

func (r *reader) approvals(e entry) *approvalTree { return nil }

// approvals judges who has approved what.
func (d *decider) approvals() {}

// approvalCodes are the codes of reasons about approvals.
var approvalCodes = []Code{}
