package runbook

import (
	"os"
	"strings"
	"testing"
)

func TestEngineTry(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	s := newStage(t)
	s.composed()
	text, _ := os.ReadFile("/tmp/try.txt")
	for c := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		if c == "listen" {
			s.listen()
			continue
		}
		t.Logf("$ %s\n%v", c, s.shell.run(c, ""))
	}
}
