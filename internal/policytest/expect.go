package policytest

import "github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"

// An expectation is what a case expects of the verdict. What it does not name is not looked at. In lists, a leading ! says
// that something is not to be there.
type expectation struct {
	State     string            `json:"state,omitempty" jsonschema:"enum=waiting,enum=ready,enum=merged,enum=closed,enum=blocked,enum=dry-run,enum=off" jsonschema_description:"Where the pull request is."`
	Sentence  words             `json:"sentence,omitempty" jsonschema_description:"What the sentence about it contains."`
	Reasons   words             `json:"reasons,omitempty" jsonschema_description:"Codes of reasons that are given, by the verdict or by one of its rules; with a leading !, that are not."`
	Labels    words             `json:"labels,omitempty" jsonschema_description:"Labels that it has afterwards; with a leading !, that it has not."`
	Reviewers words             `json:"reviewers,omitempty" jsonschema_description:"Logins and teams (@acme/backend) that are asked to review afterwards, a team also when one of its members is; with a leading !, that are not."`
	Merge     choice            `json:"merge,omitempty" jsonschema_description:"true: it is merged now (or put into GitHub's queue); the method with which it is; false: it is not."`
	Message   words             `json:"message,omitempty" jsonschema_description:"What the message of the merge contains, title and body together; with a leading !, what it does not."`
	Actions   words             `json:"actions,omitempty" jsonschema_description:"What is done, by its kind, or by its kind and what it is about: merge, or label.add docs; with a leading !, what is not done."`
	Rules     map[string]string `json:"rules,omitempty" jsonschema_description:"Rules by their names, or sections of the policy, with the outcome of each."`
	at        map[string]policy.Pos
}

// A choice is true, false or a word.
type choice string
