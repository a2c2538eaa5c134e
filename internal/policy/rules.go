package policy

// A freeShape is one rule of the section rules.
type freeShape struct {
	Name string `json:"name,omitempty" jsonschema_description:"What it is for, in a few words."`
	selectorShape
}

// A freeRule does things while its condition holds.
type freeRule struct {
	name string
	pos  Pos
	selector
}

func (r *reader) freeRules(e entry) []freeRule { return nil }

// rules does what the section rules asks for.
func (d *decider) rules() {}

// ruleCodes are the codes of reasons about the section rules.
var ruleCodes = []Code{}
