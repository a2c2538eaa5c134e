package runbook

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// A command is one that a page tells its reader to type, or another piece of it that has to work.
type command struct {
	section string // the nearest heading above
	kind    string // the language of its block, or "inline"
	note    string // the HTML comment right above its block
	text    string // as it stands on the page
	input   string // what is typed into it: lines after a prompt "> "
	line    int
}

var (
	heading = regexp.MustCompile(`^#+ +(.+?)\s*$`)
	fence   = regexp.MustCompile("^\\s*```(\\w*)")
	comment = regexp.MustCompile(`^<!-- *(.*?) *-->$`)
	inline  = regexp.MustCompile("`([^`]+)`")
)

// commands takes a page apart: each command of its shell blocks, each block of another language as a whole, and each piece of
// code in its lists, in their order.
func commands(t testing.TB, page string) (all []command) {
	t.Helper()
	section, note := "", ""
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if m := fence.FindStringSubmatch(line); m != nil {
			start := i + 1
			for i++; i < len(lines) && !strings.HasPrefix(strings.TrimSpace(lines[i]), "```"); i++ {
			}
			body := lines[start:min(i, len(lines))]
			if m[1] == "bash" || m[1] == "sh" {
				all = append(all, shellCommands(t, command{section: section, kind: m[1], note: note, line: start + 1}, body)...)
			} else {
				all = append(all, command{section: section, kind: m[1], note: note, text: strings.Join(body, "\n"), line: start + 1})
			}
			note = ""
			continue
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			section = m[1]
		}
		if m := comment.FindStringSubmatch(line); m != nil {
			note = m[1]
		} else if strings.TrimSpace(line) != "" {
			note = ""
		}
		for _, m := range inline.FindAllStringSubmatch(line, -1) {
			all = append(all, command{section: section, kind: "inline", text: m[1], line: i + 1})
		}
	}
	return all
}

// shellCommands splits a block into commands: a line each, or as many lines as the shell needs for one.
func shellCommands(t testing.TB, like command, lines []string) (all []command) {
	t.Helper()
	for i := 0; i < len(lines); i++ {
		text := strings.TrimSpace(lines[i])
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if typed, ok := strings.CutPrefix(text, "> "); ok && len(all) > 0 {
			typed, _, _ = strings.Cut(typed, "  #")
			all[len(all)-1].input += typed + "\n"
			continue
		}
		c := like
		c.line = like.line + i
		c.text = text
		for exec.Command("bash", "-n", "-c", c.text).Run() != nil || strings.HasSuffix(c.text, "\\") {
			if i+1 >= len(lines) || strings.Contains(c.text, "<PID>") {
				break // the shell will say what is wrong
			}
			i++
			c.text += "\n" + lines[i]
		}
		all = append(all, c)
	}
	return all
}
