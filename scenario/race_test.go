//go:build race

package scenario

// Under the race detector a story takes ten times as long, and stopping it at yet another place finds no other race.
const underRace = true
