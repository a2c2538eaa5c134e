package policy

import "github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"

// A commandsShape is the section commands: who may give which.
type commandsShape map[string]commandShape

// A commandShape is what the policy says of one command.
type commandShape struct {
	Allow texts `json:"allow,omitempty" jsonschema_description:"Who may give it: logins, teams (@acme/backend), permissions (write), author. An empty list is nobody."`
}

// commandRules say who may give which command.
type commandRules struct {
	pos Pos
}

func (r *reader) commands(e entry) *commandRules { return nil }

// commands decides on the commands in comments, before anything else is decided: others go by what they have put in force
// (Memory.Merge, Hold and Approvals of d.next).
func (d *decider) commands() {}

// allowed tells whether an account may give a command, by the section commands or by what holds without it; see among for
// Unknown. A label that asks for a merge is given like the command.
func (d *decider) allowed(verb string, a pull.Actor, fresh bool) (result Result, why string) {
	return d.f.among(&people{atLeast: pull.PermissionWrite}, a, fresh)
}

// commandCodes are the codes of reasons about commands.
var commandCodes = []Code{}
