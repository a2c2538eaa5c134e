package github

import (
	"context"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Learn looks up what a decision needs beyond a snapshot, and returns the snapshot with the answers. Every need has one
// afterwards: what GitHub does not have, or does not show us, is marked as missing, so that whoever needs it fails closed.
// Its error is a *[pull.Fault] about GitHub as a whole: unavailable, throttled, or not accepting the credentials.
func (c *Client) Learn(_ context.Context, _ pull.Scope, s pull.Snapshot, needs []pull.Need) (pull.Snapshot, error) {
	for _, n := range needs {
		return s, &pull.Fault{Class: pull.FaultRefused, Op: "look up " + string(n.Kind) + " " + n.Name, Message: "nothing of that kind can be looked up"}
	}
	return s, nil
}
