package policytest

import (
	"slices"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

const usual = `version: 1
labels:
  docs: { files: "docs/**" }
  big: { lines: 100.. }
  late: { if: 'pr.created_at < timestamp("2026-03-01T00:00:00Z")' }
merge:
  if: approved && checks.green && !("hold" in pr.labels)
  method: squash
`

func effective(t *testing.T, text string) policy.Effective {
	t.Helper()
	p, problems := policy.Parse(policy.FileName, []byte(text))
	if problems != nil {
		t.Fatal(problems)
	}
	return p.Effective()
}

func suite(t *testing.T, text string) *Suite {
	t.Helper()
	s, problems := Read("pr-manager.test.yml", []byte(text))
	if problems != nil {
		t.Fatal(problems)
	}
	return s
}

// TestHolds runs cases whose expectations are all met: each key of a pull request is seen by the decision.
func TestHolds(t *testing.T) {
	s := suite(t, `version: 1
given: { permissions: { rita: read } }
cases:
  - name: an ordinary pull request waits for its review
    expect: { state: waiting, sentence: needs an approval, reasons: [approval_missing, "!checks_failed"], merge: false, labels: ["!docs"] }
  - name: approved
    given: { reviews: { bea: approved } }
    expect: { state: ready, merge: squash, actions: [merge, "!label.add"], rules: { merge: merge, docs: "off" } }
  - name: by somebody who may only read, as every case says
    given: { reviews: { rita: approved } }
    expect: { reasons: approval_no_write }
  - name: by the author
    given: { author: bea, reviews: { bea: approved } }
    expect: { reasons: approval_missing }
  - name: on an older commit
    given: { reviews: { bea: { says: approved, on: other-change } } }
    expect: { merge: false, sentence: bea approved an older commit }
  - name: changes requested after an approval
    given: { reviews: [{ bea: approved }, { bea: changes-requested }] }
    expect: { state: blocked, reasons: changes_requested }
  - name: a failed check
    given: { reviews: { bea: approved }, checks: { build: failed, lint: { state: passed, app: linters } } }
    expect: { state: blocked, reasons: checks_failed, sentence: "failed checks: build" }
  - name: no check
    given: { reviews: { bea: approved }, checks: [] }
    expect: { reasons: checks_missing }
  - name: files, lines and time
    given: { files: { docs/a.md: 150, b.go: { deletions: 3 } }, opened: 72h }
    expect: { labels: [docs, big, late], actions: label.add docs }
  - name: a label that somebody set
    given: { labels: { big: bob, hold: carol }, reviews: { bea: approved } }
    expect: { labels: [big, hold], rules: { big: left }, reasons: label_blocks, sentence: set by carol }
  - name: a label that the service set
    given: { labels: { big: "pr-manager[bot]" } }
    expect: { labels: "!big", actions: label.remove big }
  - name: a conflict, and a draft
    given: { conflicting: true, draft: true }
    expect: { reasons: [conflict, draft] }
  - name: not known yet
    given: { conflicting: unknown, reviews: { bea: approved } }
    expect: { reasons: mergeable_unknown }
  - name: merged by somebody
    given: { state: merged, merged-by: bob }
    expect: { state: merged }
`)
	for _, r := range s.Run(effective(t, usual)) {
		if !r.Holds {
			t.Errorf("%s (%s): %v", r.Name, r.Pos, r.Failures)
		}
	}
}

// TestFails: each expectation that is not met is said, at its place, with what came out.
func TestFails(t *testing.T) {
	s := suite(t, `version: 1
cases:
  - given: { reviews: { bea: approved }, labels: [big], requested: [zoe] }
    expect:
      state: waiting
      sentence: needs
      reasons: [draft, "!ready"]
      labels: [docs, "!big"]
      reviewers: [bob, "!zoe"]
      merge: rebase
      actions: [close, "!merge"]
      rules: { docs: "on", other: "on" }
`)
	got := s.Run(effective(t, usual))[0].Failures.Error()
	want := `pr-manager.test.yml:5:14: The state is ready, not waiting.
pr-manager.test.yml:6:17: The sentence is "Ready; merging with squash.", without "needs".
pr-manager.test.yml:7:16: "draft" is not among the reasons: ready, holds_not, label_set_by_other.
pr-manager.test.yml:7:16: "ready" is among the reasons (ready, holds_not, label_set_by_other), and should not be.
pr-manager.test.yml:8:15: "big" is among the labels (big), and should not be.
pr-manager.test.yml:8:15: "docs" is not among the labels: big.
pr-manager.test.yml:9:18: "bob" is not among the reviewers: zoe.
pr-manager.test.yml:9:18: "zoe" is among the reviewers (zoe), and should not be.
pr-manager.test.yml:10:14: merge is squash, not rebase.
pr-manager.test.yml:11:16: "close" is not among the actions: merge.
pr-manager.test.yml:11:16: "merge" is among the actions (merge), and should not be.
pr-manager.test.yml:12:14: The rule "docs" came to off, not on.
pr-manager.test.yml:12:14: There is no rule "other" that came to anything.`
	lines := strings.Split(got, "\n")
	for i, l := range lines { // the target of a merge is a commit
		if j := strings.Index(l, ", merge "); j > 0 {
			end := strings.IndexAny(l[j+8:], ".)")
			lines[i] = l[:j] + l[j+8+end:]
		}
	}
	if got = strings.Join(lines, "\n"); got != want {
		t.Errorf("the failures are\n%s\nwant\n%s", got, want)
	}
}

// TestProblems: what is wrong with a file of tests is said with its place and a hint.
func TestProblems(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", `t.yml:1:1: The file is empty. Begin it with the line "version: 1".`},
		{"cases: [{ expect: { state: ready } }]", `t.yml:1:1: The file does not say which version of the format it is in. Begin the file with the line "version: 1".`},
		{"version: 1\n", `t.yml:1:1: The file has no list of cases. For example, "cases: [{ given: { files: docs/a.md }, expect: { labels: documentation } }]".`},
		{"version: 1\ncases:\n  - given: { autor: bob }\n    expect: { state: ready }", `t.yml:3:14: given has no key "autor". Did you mean "author"?`},
		{"version: 1\ncases:\n  - given: { author: bob }", `t.yml:3:5: This case expects nothing. Give it at least one of: state, sentence, reasons, labels, reviewers, merge, message, actions, rules.`},
		{"version: 1\ncases:\n  - expect: { reasons: approval_mising }", `t.yml:3:24: There is no reason "approval_mising". Did you mean "approval_missing"?`},
		{"version: 1\ncases:\n  - expect: { state: redy }", `t.yml:3:22: state can't be "redy". Did you mean "ready"?`},
		{"version: 1\ncases:\n  - expect: { actions: marge }", `t.yml:3:24: There is no action "marge". Did you mean "merge"?`},
		{"version: 1\ncases:\n  - given: { checks: { a: gren } }\n    expect: { merge: true }", `t.yml:3:27: A check can't be "gren". Possible here: cancelled, failed, failure, in_progress, neutral, passed, pending, queued, skipped, success, timed_out.`},
		{"version: 1\ncases:\n  - given: { reviews: { a: aproved } }\n    expect: { merge: true }", `t.yml:3:25: A review can't be "aproved". Did you mean "approved"?`},
		{"version: 1\ncases:\n  - given: { draft: 'yes' }\n    expect: { merge: true }", `t.yml:3:21: draft must be true or false. Write true or false, without quotes.`},
		{"version: 1\ncases:\n  - given: { opened: yesterday }\n    expect: { merge: true }", `t.yml:3:22: opened must be a time. For example 2026-03-02T12:00:00Z, or 36h for so long before now.`},
		{"version: 1\ncases:\n  - given: { files: **/*.md }\n    expect: { merge: true }", `t.yml:3:21: YAML takes an unquoted * at the start of a value for an alias. Put the value into quotes: '**/*.md'. Anchors and aliases are not supported.`},
	} {
		s, problems := Read("t.yml", []byte(tt.text))
		if s != nil || problems.Error() != tt.want {
			t.Errorf("Read(%q) says\n%v\nwant\n%s", tt.text, problems, tt.want)
		}
	}
}

// TestEveryNeedIsAnswered: whatever a decision may want to look up, a case has the answer.
func TestEveryNeedIsAnswered(t *testing.T) {
	for _, kind := range pull.NeedKinds {
		w := build(Case{given: given{Teams: teams{"acme/backend": {"bea"}}}})
		n := pull.Need{Kind: kind, Name: "acme/backend", A: sha(onHead), B: sha(onOther)}
		if w.learn(n); !w.s.Answers(n) || len(w.bad) > 0 {
			t.Errorf("%s is not answered: %v", kind, w.bad)
		}
	}
	w := build(Case{})
	if w.learn(pull.Need{Kind: pull.NeedTeam, Name: "acme/backend"}); len(w.bad) != 1 || !strings.Contains(w.bad[0].Hint, "@acme/backend") {
		t.Errorf("a team that the case does not name: %v", w.bad)
	}
}

func TestFileFor(t *testing.T) {
	for file, want := range map[string]string{".github/pr-manager.yml": ".github/pr-manager.test.yml", "a.yaml": "a.test.yaml", "policy": "policy.test"} {
		if got := FileFor(file); got != want {
			t.Errorf("FileFor(%q) = %q, want %q", file, got, want)
		}
	}
}

// FuzzRead: any bytes are read or refused with a place, and what is read can be run.
func FuzzRead(f *testing.F) {
	f.Add("version: 1\ncases:\n  - given: { labels: { a: b }, reviews: [{ bea: { says: approved, on: head, at: 3h } }] }\n    expect: { merge: true }\n")
	f.Add("version: 1\ngiven: { teams: { '@a/b': c }, load: { a: 1 } }\ncases: [{ expect: { rules: { a: merge } } }]\n")
	p, problems := policy.Parse(policy.FileName, []byte(usual))
	if problems != nil {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, problems := Read("t.yml", []byte(text))
		if (s == nil) == (problems == nil) {
			t.Fatalf("Read = %v, %v: want one of the two", s, problems)
		}
		if s != nil {
			first, second := s.Run(p.Effective()), s.Run(p.Effective())
			for i := range first {
				if first[i].Verdict.Digest() != second[i].Verdict.Digest() || !slices.Equal(first[i].Failures, second[i].Failures) {
					t.Fatalf("case %d came out in two ways", i)
				}
			}
		}
	})
}
