package policy

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// linesOf shows commands as "merge squash; hold".
func linesOf(body string) string {
	var out []string
	for _, l := range commandLines(body) {
		out = append(out, strings.TrimSpace(l.verb+" "+l.args))
	}
	return strings.Join(out, "; ")
}

func TestCommandLines(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"alone", "/merge", "merge"},
		{"with arguments", "/merge squash", "merge squash"},
		{"spaces", "  /merge   squash  ", "merge squash"},
		{"a tab between", "/label\ta", "label a"},
		{"any case", "/Merge Squash", "merge Squash"},
		{"after words", "Looks good.\n/merge", "merge"},
		{"between words", "Looks good.\n/merge\nThank you.", "merge"},
		{"two", "/label a\n/hold for the release", "label a; hold for the release"},
		{"in paragraphs of their own", "/ready\n\nand then\n\n/cc @bob", "ready; cc @bob"},
		{"CRLF", "Fine.\r\n/merge\r\n\r\n/hold\r\n", "merge; hold"},
		{"CR", "Fine.\r/merge\r", "merge"},
		{"twice", "/merge\n/merge", "merge; merge"},
		{"quotes and dashes in arguments", `/label "good first issue" a-b`, `label "good first issue" a-b`},
		{"underscores are no emphasis here", "/cc @a_b_ @c_d_", "cc @a_b_ @c_d_"},
		{"stars in arguments", "/retitle Use **all** of it", "retitle Use **all** of it"},
		{"code in arguments", "/retitle Use `all` of it", "retitle Use `all` of it"},
		{"after a quote, with a line between", "> /close\n\n/merge", "merge"},
		{"after a list, with a line between", "- a\n\n/merge", "merge"},
		{"after code", "```\n/close\n```\n/merge", "merge"},
		{"after a comment of HTML", "<!-- /close -->\n\n/merge", "merge"},
		{"before a comment of HTML", "/merge <!-- please -->", "merge"},
		{"after details", "<details>\n\n/close\n\n</details>\n\n/merge", "merge"},
		{"hard line break", "Fine  \n/merge", "merge"},
		{"backslash line break", "Fine\\\n/merge", "merge"},

		{"within a line", "please /merge", ""},
		{"a path", "/usr/bin/merge", ""},
		{"a path that begins like one", "/merge/this", ""},
		{"an end of a sentence", "/merge.", ""},
		{"a slash alone", "/", ""},
		{"a space after the slash", "/ merge", ""},
		{"two slashes", "//merge", ""},
		{"escaped", `\/merge`, ""},
		{"a character reference", "&#47;merge", ""},
		{"inline code", "`/merge`", ""},
		{"inline code over lines", "`a\n/merge\nb`", ""},
		{"fenced code", "```\n/merge\n```", ""},
		{"fenced with tildes", "~~~\n/merge\n~~~", ""},
		{"fence without an end", "```\n/merge", ""},
		{"a suggestion", "```suggestion\n/merge\n```", ""},
		{"indented code", "    /merge", ""},
		{"quote", "> /merge", ""},
		{"lazy line of a quote", "> somebody wrote\n/merge", ""},
		{"quote in a quote", "> > /merge", ""},
		{"alert", "> [!NOTE]\n> /merge", ""},
		{"list", "- /merge", ""},
		{"lazy line of a list", "- one\n/merge", ""},
		{"numbered list", "1. /merge", ""},
		{"task", "- [ ] /merge", ""},
		{"heading", "# /merge", ""},
		{"underlined heading", "/merge\n======", ""},
		{"table", "| a |\n|---|\n| /merge |", ""},
		{"table that begins with it", "/merge | a\n--- | ---\n/hold | b", ""},
		{"HTML comment", "<!-- /merge -->", ""},
		{"HTML comment over lines", "<!--\n/merge\n-->", ""},
		{"HTML comment without an end", "<!--\n/merge", ""},
		{"HTML comment with lines between", "<!--\n\n/merge\n\n-->", ""},
		{"HTML comment within a paragraph", "a <!--\n/merge\n--> b", ""},
		{"HTML block", "<div>\n/merge\n</div>", ""},
		{"pre", "<pre>\n\n/merge\n\n</pre>", ""},
		{"details", "<details>\n<summary>Log</summary>\n\n/merge\n\n</details>", ""},
		{"details behind an empty comment of HTML", "<!--><details><!-- -->\n\n/merge\n\n</details>", ""},
		{"details in details", "<details>\n\n<details>\n\n</details>\n\n/merge\n\n</details>", ""},
		{"blockquote of HTML", "<blockquote>\n\n/merge\n\n</blockquote>", ""},
		{"text of a link", "[a\n/merge\nb](https://example.com)", ""},
		{"text of an image", "![a\n/merge\nb](https://example.com)", ""},
		{"emphasis", "**\n/merge**", ""},
		{"emphasis over lines", "**a\n/merge\nb**", ""},
		{"struck out", "~~a\n/merge\nb~~", ""},
		{"footnote", "a[^1]\n\n[^1]: b\n    /merge\n", ""},
		{"reference", "[a]: https://example.com\n", ""},
		{"empty", "", ""},
		{"a word that is too long", "/" + strings.Repeat("merge", 20), ""},
	} {
		if got := linesOf(tt.body); got != tt.want {
			t.Errorf("%s: commands in %q: %q, want %q", tt.name, tt.body, got, tt.want)
		}
	}
}

func TestCommandLinesAreBounded(t *testing.T) {
	if n := len(commandLines(strings.Repeat("/merge\n", 1000))); n != maxCommands {
		t.Errorf("%d commands are read of a thousand, want %d", n, maxCommands)
	}
	if n := len(commandLines("/merge\n\n" + strings.Repeat("x", maxComment))); n != 0 {
		t.Errorf("%d commands are read of a comment that is too long", n)
	}
	for name, part := range longToRead {
		n, want := len(commandLines(beside(part))), 1
		switch name {
		case "links", "quotes": // not read at all: a parser of Markdown would take minutes
			want = 0
		case "lines":
			want = maxCommands
		}
		if n != want {
			t.Errorf("%s: %d commands are read beside them, want %d", name, n, want)
		}
	}
}

// longToRead is what takes a parser of Markdown long.
var longToRead = map[string]string{
	"links": "[a](", "quotes": "> ", "brackets": "[", "images": "![", "emphasis": "**a", "code": "`a``b```c", "tags": "<a ", "lists": "- ",
	"references": "[a]: b\n", "tables": "|a", "struck out": "~~a", "footnotes": "[^a]", "lines": "/a b\n", "deep quotes": strings.Repeat(">", 300) + "\n",
}

// beside is as long a comment as is read, with a command and a part again and again.
func beside(part string) string {
	return "/merge\n\n" + strings.Repeat(part, (maxComment-20)/len(part))
}

// BenchmarkCommandLines reads the longest comments: each takes some hundredths of a second at most.
func BenchmarkCommandLines(b *testing.B) {
	for name, part := range longToRead {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				commandLines(beside(part))
			}
		})
	}
}

// Of a line that is edited away and of others that come, each keeps its name.
func TestCommandLinesKeepTheirNames(t *testing.T) {
	ids := func(body string) (out []string) {
		for _, l := range commandLines(body) {
			out = append(out, l.id)
		}
		return out
	}
	before := ids("/merge\n/label a\n/merge")
	after := ids("/hold\n\n/label   a\n\nFine.\n/merge\n/MERGE")
	if before[0] == before[2] {
		t.Error("two equal lines have one name")
	}
	if after[1] != before[1] || after[2] != before[0] || after[3] != before[2] {
		t.Errorf("names of lines changed: %v, then %v", before, after)
	}
}

func FuzzCommands(f *testing.F) {
	for _, s := range []string{
		"/merge", "> /merge\n\n/hold", "```\n/merge\n```\n/close", "<!-- /merge -->\n/why", "/label \"a b\" c", "- /merge\n\n/help", "`/merge\n`", "<details>\n\n/merge\n",
		"[a\n/merge](b)", "/cc @a @b/c", "\r\n/merge\r\n", "/retitle \u202eabc", "a\n/merge\n===", "|a|\n|-|\n|/merge|", "[^1]: /merge", "/assign me", "/MERGE\tsquash",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		lines := commandLines(body)
		if len(lines) > maxCommands {
			t.Fatalf("%d commands", len(lines))
		}
		seen := map[string]bool{}
		for _, l := range lines {
			if l.verb != strings.ToLower(l.verb) || l.verb == "" || strings.ContainsAny(l.args, "\n\r") || seen[l.id] {
				t.Fatalf("command %+v in %q", l, body)
			}
			seen[l.id] = true
			if v := verbNamed(l.verb); v != nil {
				if args, ok := v.read(cleanLine(l.args)); ok {
					for _, n := range args.names {
						if utf8.RuneCountInString(n) > 100 {
							t.Fatalf("name %q in %q", n, body)
						}
					}
				}
			}
		}
		// Whatever it is, in a quote and in code it is talk.
		quoted := "> " + strings.NewReplacer("\r\n", "\n> ", "\n", "\n> ", "\r", "\n> ").Replace(body)
		if inside := commandLines(quoted); len(inside) > 0 {
			t.Fatalf("commands %+v in the quote %q", inside, quoted)
		}
		if inside := commandLines("<!-- " + strings.ReplaceAll(body, "-->", "") + " -->"); len(inside) > 0 {
			t.Fatalf("commands %+v in a comment of HTML around %q", inside, body)
		}
	})
}
