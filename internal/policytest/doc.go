// Package policytest runs the unit tests that stand in a file beside a policy: cases that give a pull request in a few words
// and expect something of the verdict about it.
//
// It owns the format of that file ([Read]) and the ordinary pull request that a case starts from; [Suite.Run] decides each
// case with the very function that the service decides with, and says what came out otherwise than expected. It refuses to
// decide anything itself, and asks nobody: what a decision wants to look up is answered from the case, or, where a guess
// could make a test hold by accident, reported as missing from it.
//
// Read it in this order: given.go and expect.go are the two halves of a case, with their keys; case.go reads them; world.go
// makes the snapshot; run.go decides and compares.
package policytest
