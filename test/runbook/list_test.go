package runbook

import (
	"os"
	"testing"
)

func TestList(t *testing.T) {
	text, _ := os.ReadFile("testdata/operators-runbook.md")
	for _, c := range commands(t, string(text)) {
		x := c.text
		if c.kind != "bash" && c.kind != "inline" {
			x = x[:40]
		}
		t.Logf("%q|%s|%q|%q", c.section, c.kind, x, c.input)
	}
}
