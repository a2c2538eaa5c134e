// Package policy reads a repository's policy file and decides what a pull request needs.
//
// It owns the file (its keys, its errors with their positions and hints), the environment that conditions see, and the
// decision: [Resolve] works out which policy is in force, [Effective.Evaluate] turns a snapshot and a memory into a
// [Decision], which is the actions that would make GitHub agree with the policy and a [Verdict] that explains every one
// of them, operand by operand. Deciding twice over a snapshot that reflects the first decision wants nothing.
//
// It refuses to know where any of this comes from or goes to. There is no I/O, no context, no clock and no logger: the
// time is an argument. Nor does it write sentences about pull requests: a [Reason] is a code with typed facts, and
// package notice is where it becomes words. Only the problems of a file are worded here, beside the rules they come from.
//
// What is not known is neither yes nor no. A fact that GitHub cut short or has not worked out yet makes a condition
// unknown where it would change the outcome; an unknown condition never merges and never moves a label.
//
// What a decision needs beyond the snapshot it asks for as a [pull.Need], and is made again when that was looked up. An answer
// that can't be had is unknown, and says why.
//
// Read it in this order: [Policy] is a file; [Parse] reads it (read.go), condition.go compiles its CEL and explain.go runs and
// explains it, facts.go says what a condition sees, evaluate.go decides, blame.go says why not, changes.go what is different
// from before. Each section of the file has a file here with its keys, its reader, its part of the decision and its codes:
// selector.go (which pull requests a rule is about) and people.go (whom) are what several share; reviewers.go and owners.go;
// approvals.go, and approve.go, which works out what they come to; commands.go with markdown.go and verbs.go, and carryout.go,
// which does what was asked for and answers; rules.go; merge.go with message.go; optout.go. effective.go prints what is in force.
package policy
