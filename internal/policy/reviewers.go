package policy

// A reviewerShape is one rule of the section reviewers.
type reviewerShape struct {
	selectorShape
}

// A reviewerRule says whom to ask for a review of what.
type reviewerRule struct {
	pos Pos
	selector
}

func (r *reader) reviewers(e entry) []reviewerRule { return nil }

// reviewers asks for reviews.
func (d *decider) reviewers() {}

// reviewerCodes are the codes of reasons about reviewers.
var reviewerCodes = []Code{}
