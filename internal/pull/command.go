package pull

import "time"

// A Command is one line of a comment that asks the service for something. It is read from the comment as it is on GitHub,
// decided on once, and remembered under its key, so that nothing that is delivered, looked at or edited again repeats it.
type Command struct {
	// Key names it for ever: the comment's source and id, a digest of the line, and which of the equal lines it is.
	Key       string        `json:"key"`
	Source    CommentSource `json:"source"`
	CommentID int64         `json:"comment_id"`
	NodeID    string        `json:"node_id"` // of the comment
	Writer    Actor         `json:"writer"`  // who wrote the line: the comment's author, or its editor
	Verb      string        `json:"verb"`    // "merge"
	Args      string        `json:"args,omitempty"`
	// HeadSeen is the head that the writer saw; "" when that can't be told.
	HeadSeen  SHA           `json:"head_seen,omitempty"`
	Status    CommandStatus `json:"status"`
	Reason    string        `json:"reason,omitempty"` // the reason's JSON when it was refused
	CreatedAt time.Time     `json:"created_at"`       // by GitHub, and a microsecond more for each line above it
	DecidedAt time.Time     `json:"decided_at,omitzero"`
}

// Verbs are the words of all commands. Labels of metrics come from this bounded set.
var Verbs = []string{
	"merge", "unmerge", "hold", "unhold", "approve", "label", "unlabel", "assign", "unassign", "cc", "uncc", "reroll", "ready", "draft",
	"update", "rebase", "retest", "close", "reopen", "retitle", "why", "help",
}

// MaxCommands is how many commands of one pull request are remembered and decided on. Where there are more, new ones are not
// read: whoever floods a pull request must not make the service forget what it has done.
const MaxCommands = 4000

// A CommandStatus is how far a command has come.
type CommandStatus string

// The life of a command.
const (
	CommandOpen    CommandStatus = "open"    // accepted; what it asks for is under way
	CommandDone    CommandStatus = "done"    // what it asked for is done, or in force
	CommandRefused CommandStatus = "refused" // its writer was told why
	CommandIgnored CommandStatus = "ignored" // too old, by a bot, or from before a restore: nobody is told
)
