package notice

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// TestReplies holds every answer against testdata/replies.txt, as GitHub gets it.
func TestReplies(t *testing.T) {
	v := decide(t, usual, world(func(s *pull.Snapshot) { s.Draft, s.Checks = true, nil }), pull.Memory{})
	merged := decide(t, usual, world(func(s *pull.Snapshot) { s.State = pull.Merged; s.MergeSHA = head }), pull.Memory{})
	notAllowed := policy.Reason{Code: policy.CommandNotAllowed, Verb: "merge", By: "eve", Who: []string{"@octo/core", policy.WhoMaintainer}}
	var b strings.Builder
	for _, tt := range []struct {
		name string
		v    policy.Verdict
		r    policy.Reply
	}{
		{"one refusal", v, policy.Reply{Refused: []policy.Reason{notAllowed}}},
		{"three refusals", v, policy.Reply{Refused: []policy.Reason{
			notAllowed,
			{Code: policy.CommandUnknown, Verb: "mege", Names: []string{"merge"}},
			{Code: policy.CommandPointless, Verb: "cc", Names: []string{"acme/core"}},
		}}},
		{"nothing to take back", v, policy.Reply{Refused: []policy.Reason{
			{Code: policy.CommandPointless, Verb: "unmerge"},
			{Code: policy.CommandPointless, Verb: "unhold"},
			{Code: policy.CommandPointless, Verb: "approve"},
			{Code: policy.CommandPointless, Verb: "reroll"},
			{Code: policy.CommandPointless, Verb: "retest", SHA: head},
		}}},
		{"why", v, policy.Reply{Why: true}},
		{"why, once merged", merged, policy.Reply{Why: true}},
		{"help", v, policy.Reply{Help: []policy.Help{{Usage: "/merge [squash|merge|rebase]", Does: "merge it as soon as everything is there"}, {Usage: "/why", Does: "say why it is where it is", May: true}}}},
		{"all of it", v, policy.Reply{Refused: []policy.Reason{notAllowed}, Why: true, Help: []policy.Help{{Usage: "/why", Does: "say why it is where it is", May: true}}}},
	} {
		tt.r.Source, tt.r.CommentID, tt.r.To = pull.Conversation, 5, "eve"
		text := Reply(tt.r, tt.v, "https://pr.example.com/pulls/octo/app/7")
		if !pull.Marked(text, tt.r.Target()) {
			t.Errorf("%s: the reply does not end in its marker", tt.name)
		}
		fmt.Fprintf(&b, "=== %s\n%s\n", tt.name, text)
	}
	golden(t, "testdata/replies.txt", b.String())
}

// Whatever somebody writes, the answer to it mentions nobody, asks no bot for anything, and links to nothing of theirs.
func TestRepliesAreHarmless(t *testing.T) {
	command := regexp.MustCompile(`(?m)^\s*/`)
	for _, evil := range []string{
		"@octo/everyone", "/merge", "x\n/merge", "x\r\n\r\n/merge", "</td>\n\n/merge", "--> /merge", "`/merge`\n/merge", "[a](https://evil.example)", "https://evil.example",
		"#1", "octo/app#1", "fixes #1", "<img src=x>", "\u202e/merge", "**bold**", "- /merge", "> @alice",
	} {
		for _, code := range policy.Codes {
			r := full(code)
			r.Verb, r.Text, r.Value, r.By, r.Label, r.Names, r.Who = evil, evil, evil, evil, evil, []string{evil, evil}, []string{evil}
			text := Reply(policy.Reply{Source: pull.Conversation, CommentID: 5, To: evil, Why: true, Refused: []policy.Reason{r, r}}, policy.Verdict{Reasons: []policy.Reason{r}}, "")
			body := strings.TrimSuffix(text, pull.Marker("reply:comment:5"))
			switch {
			case command.MatchString(body):
				t.Errorf("%s with %q has a line that is a command:\n%s", code, evil, body)
			case strings.Contains(body, "@"), strings.Contains(body, "<"), strings.Contains(body, "]("), strings.Contains(body, "://"):
				t.Errorf("%s with %q lets it through:\n%s", code, evil, body)
			}
		}
	}
}
