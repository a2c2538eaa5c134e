package notice

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

var update = flag.Bool("update", false, "rewrite the golden files with what the code says now")

// full is a reason with every field set, so that a sentence can show what it uses.
func full(c policy.Code) policy.Reason {
	r := policy.Reason{
		Code: c, Label: "hold", Names: []string{"build", "test"}, By: "carol", SHA: "abc1234def5678abc1234def5678abc1234def567",
		Branch: "main", Method: pull.Squash, Text: "pr.lines < 10", Value: "pr.lines is 25",
		Until: time.Date(2026, 3, 2, 14, 5, 0, 0, time.UTC), Who: []string{"alice", policy.WhoWriter},
	}
	switch c {
	case policy.CommandUnknown:
		r.Verb, r.Names = "mreg", []string{"merge"}
	case policy.CommandState:
		r.Verb, r.Value = "merge", "closed"
	case policy.CommandArguments:
		r.Verb, r.Text, r.Value = "merge", "please", "/merge [squash|merge|rebase]"
	case policy.CommandOldHead:
		r.Verb, r.Value = "merge", "0ldhead00000000000000000000000000000000"
	case policy.CommandPointless:
		r.Verb = "retest"
	case policy.CommandUnsure:
		r.Verb, r.Text = "merge", "the App may not see the organization's members"
	case policy.CommandFailed:
		r.Verb, r.Text = "cc", "Reviews may only be requested from collaborators."
	case policy.CommandOff, policy.CommandEdited, policy.CommandHeadUnknown, policy.CommandNotAllowed, policy.CommandOutdated:
		r.Verb = "merge"
	case policy.PolicyBroken, policy.PolicyUsingLast, policy.DefaultsBroken:
		r.Text = `.github/pr-manager.yml:3:7: A policy has no key "merg". Did you mean "merge"?`
	case policy.IsDraft, policy.Conflict:
		r.Who = []string{"alice"}
	case policy.ChangesRequested, policy.ApprovalStale, policy.ApprovalRebased, policy.ApprovalNoWrite:
		r.Names = []string{"bob"}
	case policy.Refused:
		r.Text = "Merge commits are not allowed on this repository."
	case policy.ConditionError:
		r.Value = "division by zero"
	case policy.ApprovalsNeeded:
		r.Text, r.Names, r.Value, r.Count, r.Who = "two for the core", []string{"bob"}, "", 1, []string{"@acme/core", policy.WhoMaintainer}
		r.Any = []policy.Reason{
			{Code: policy.ApprovalByContributor, By: "carol", SHA: r.SHA},
			{Code: policy.ApprovalOlder, By: "dave", SHA: r.SHA},
			{Code: policy.AuthorUnknown, SHA: r.SHA},
		}
	case policy.ApprovalsAny, policy.ApprovalsAll:
		r.Text = "security"
		r.Any = []policy.Reason{
			{Code: policy.ApprovalsNeeded, Text: "the team", Count: 1, Who: []string{"@acme/security"}},
			{Code: policy.ApprovalsNeeded, Count: 2, Value: "auth/key.go", Who: []string{policy.WhoWriter}},
		}
	case policy.ApprovalNotCompared, policy.OwnersUnknown, policy.VetoUnknown, policy.ApproverUnknown:
		r.Text, r.Value = "owners", "the comparison is too large for GitHub to show"
	case policy.QueueAheadLost, policy.QueueAheadUnknown:
		r.Names, r.Value = []string{"#12"}, "Needs an approval by someone with write access."
	case policy.ReviewerTurn, policy.ReviewerIdle, policy.ReviewerDrawn, policy.ReviewerFull, policy.ReviewersFew:
		r.Names, r.Count, r.Value = []string{"bob", "carol"}, 4, "2"
	case policy.ReviewerAsked, policy.ReviewerSettling:
		r.Names, r.Text = []string{"bob"}, "it is their turn, of 4 who could be asked."
	case policy.ReviewerRefused:
		r.Names, r.Text = []string{"bob"}, "Reviews may only be requested from collaborators."
	case policy.ReviewerUnknown:
		r.Names, r.Text = []string{"bob"}, "there is no such account"
	case policy.ReviewersTeam:
		r.Names, r.Text = []string{"acme/backend"}, "there is no such team"
	case policy.OwnersUnclear:
		r.Text = "GitHub lists only 3000 of the 3001 changed files"
	case policy.OwnersSkipped:
		r.Text = `.github/CODEOWNERS:7:1: GitHub skips the line with "*.js": "js-owner" is no owner, which is written @login, @org/team or as an e-mail address.`
	case policy.OwnersMail:
		r.Names = []string{"docs@example.com"}
	case policy.AnyOf:
		r.Any = []policy.Reason{{Code: policy.ApprovalMissing, SHA: r.SHA}, {Code: policy.LabelMissing, Label: "trivial"}}
	}
	fullMerging(&r)
	return r
}

// TestSentences holds the sentence of every code, with all its facts and with none, against testdata/sentences.txt.
func TestSentences(t *testing.T) {
	var b strings.Builder
	for _, c := range policy.Codes {
		bare := full(c) // what GitHub does not always tell
		bare.By, bare.SHA, bare.Who, bare.Value, bare.Until = "", "", nil, "", time.Time{}
		for _, r := range []policy.Reason{full(c), bare} {
			s := Reason(r)
			if bad := unfit(s); bad != "" {
				t.Errorf("%s: %q %s", c, s, bad)
			}
			if strings.Contains(s, string(c)) && strings.Contains(string(c), "_") || strings.Contains(s, "the reason is") {
				t.Errorf("%s has no sentence", c)
			}
			fmt.Fprintf(&b, "%s: %s\n", c, s)
			if who := Unblock(r); who != "" {
				fmt.Fprintf(&b, "    Who can help: %s.\n", who)
			}
		}
	}
	golden(t, "testdata/sentences.txt", b.String())
}

var hole = regexp.MustCompile(`  |\(\)|“”| [.,](?:\s|$)|\.\.(?:\s|$)|: ?\.(?:\s|$)`)

// unfit says what makes a text unfit to be read as a sentence.
func unfit(s string) string {
	first, _ := utf8.DecodeRuneInString(s)
	switch {
	case len(s) < 5:
		return "is empty"
	case strings.Contains(s, "<no value>") || strings.Contains(s, "%!") || strings.Contains(s, "<nil>") || strings.Contains(s, "role:"):
		return "shows its machinery"
	case hole.MatchString(s):
		return "has a hole in it"
	case !unicode.IsUpper(first):
		return "does not begin with a capital"
	case !strings.ContainsAny(s[len(s)-1:], ".?!"):
		return "does not end"
	}
	return ""
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

var (
	us    = pull.Actor{ID: 1, Login: "pr-manager[bot]", Type: pull.Bot}
	alice = pull.Actor{ID: 2, Login: "alice", Type: pull.User}
	bob   = pull.Actor{ID: 3, Login: "bob", Type: pull.User}
	noon  = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
)

const head pull.SHA = "abc1234111111111111111111111111111111111"

// world is alice's pull request, approved by bob, its one check passed, seen by an App.
func world(change ...func(*pull.Snapshot)) pull.Snapshot {
	s := pull.Snapshot{
		Us: us, AsApp: true, Repo: pull.Repo{ID: 1, Owner: "octo", Name: "app"}, DefaultBranch: "main", AllowedMethods: []pull.MergeMethod{pull.Squash},
		Number: 7, Title: "Add a door", Author: alice, State: pull.Open, Mergeable: pull.MergeableClean,
		Head: pull.Branch{Name: "door", SHA: head}, HeadBranchTip: head, Base: pull.Branch{Name: "main", SHA: "fff"},
		Additions: 20, Files: []pull.File{{Path: "docs/door.md"}},
		Reviews: []pull.Review{{ID: 1, Author: bob, CanWrite: true, State: pull.Approved, Commit: head}},
		Checks:  []pull.Check{{ID: 1, Name: "build", State: pull.CheckPassed}},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

const usual = `version: 1
labels:
  docs: { files: "docs/**" }
  big: { lines: 100.. }
merge:
  if: approved && checks.green && !("hold" in pr.labels)
`

func decide(t *testing.T, text string, s pull.Snapshot, m pull.Memory) policy.Verdict {
	t.Helper()
	e := policy.Resolve(pull.Document{Found: text != "", OID: "deadbeef", Text: text}, pull.Document{}, pull.Document{}, false)
	return e.Evaluate(s, m, noon).Verdict
}

func TestSentence(t *testing.T) {
	tests := []struct {
		name   string
		policy string
		change func(*pull.Snapshot)
		want   string
	}{
		{"ready", usual, func(*pull.Snapshot) {}, "Ready; merging with squash."},
		{"checks", usual, func(s *pull.Snapshot) {
			s.Checks = []pull.Check{{ID: 1, Name: "build", State: pull.CheckPending}, {ID: 2, Name: "test", State: pull.CheckPending}}
		}, "Waiting for checks: build, test."},
		{"many checks", usual, func(s *pull.Snapshot) {
			for i := range 9 {
				s.Checks = append(s.Checks, pull.Check{ID: int64(i + 2), Name: fmt.Sprint("c", i), State: pull.CheckFailed})
			}
		}, "Failed checks: c0, c1, c2 and 6 more (a re-run or a new commit can mend that)."},
		{"two things", usual, func(s *pull.Snapshot) { s.Checks, s.Reviews = nil, nil }, "Needs an approval of abc1234 by someone with write access; waiting for checks: none has reported on abc1234 yet."},
		{"five things", usual, func(s *pull.Snapshot) {
			s.Checks, s.Reviews, s.Draft, s.Mergeable = nil, nil, true, pull.MergeableConflict
			s.Labels = []pull.Label{{Name: "hold", Present: true, SetBy: bob}}
		}, "This is a draft, which alice can mark as ready for review; it conflicts with main, which alice can resolve; carries the label “hold”, set by bob; and 2 reasons more."},
		{"no policy", "", func(*pull.Snapshot) {}, "This repository has no .github/pr-manager.yml on its default branch, so nothing is done here."},
		{"broken", "version: 1\nmerg: {}\n", func(*pull.Snapshot) {}, `The policy is not valid, so nothing is done here until it is mended: .github/pr-manager.yml:2:1: A policy has no key "merg". Did you mean "merge"?`},
		{"merged", usual, func(s *pull.Snapshot) { s.State, s.MergeSHA = pull.Merged, "abc1234ffff" }, "Merged into main as abc1234."},
		{"closed", usual, func(s *pull.Snapshot) { s.State = pull.Closed }, "Closed without being merged."},
		{"dry run", "mode: dry-run\n" + usual, func(*pull.Snapshot) {}, "Dry run, nothing is written: this would add the label “docs” and merge abc1234 with squash."},
		{"dry run, waiting", "mode: dry-run\n" + usual, func(s *pull.Snapshot) { s.Reviews, s.Files = nil, nil }, "Dry run, nothing is written: needs an approval of abc1234 by someone with write access."},
		{"labels only", "version: 1\n", func(*pull.Snapshot) {}, "The policy has no merge section, so merging is left to people."},
		{"other people's text", "version: 1\nmerge: { if: '!(\"a\\u202e\\u0007b\" in pr.labels)' }", func(s *pull.Snapshot) {
			s.Labels = []pull.Label{{Name: "a\u202e\u0007b", Present: true, SetBy: pull.Actor{ID: 9, Login: "x\n\x1b[31my"}}}
		}, "Carries the label “ab”, set by x [31my."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Sentence(decide(t, tt.policy, world(tt.change), pull.Memory{}))
			if got != tt.want {
				t.Errorf("Sentence = %q\nwant %q", got, tt.want)
			}
			if bad := unfit(got); bad != "" {
				t.Errorf("%q %s", got, bad)
			}
		})
	}
}

func TestReport(t *testing.T) {
	had := &pull.Report{ID: 99, SHA: head, State: pull.ReportWaiting, Digest: "old"}
	tests := []struct {
		name   string
		policy string
		change func(*pull.Snapshot)
		wanted bool
		state  pull.ReportState
	}{
		{"ready", usual, func(*pull.Snapshot) {}, true, pull.ReportGood},
		{"waiting for an approval", usual, func(s *pull.Snapshot) { s.Reviews = nil }, true, pull.ReportWaiting},
		{"failed check", usual, func(s *pull.Snapshot) { s.Checks[0].State = pull.CheckFailed }, true, pull.ReportBad},
		{"conflict", usual, func(s *pull.Snapshot) { s.Mergeable = pull.MergeableConflict }, true, pull.ReportBad},
		{"draft", usual, func(s *pull.Snapshot) { s.Draft = true }, true, pull.ReportWaiting},
		{"hold", usual, func(s *pull.Snapshot) { s.Labels = []pull.Label{{Name: "hold", Present: true}} }, true, pull.ReportWaiting},
		{"held back by GitHub's rules, perhaps by this report", usual, func(s *pull.Snapshot) { s.Blocked = true }, true, pull.ReportGood},
		{"labels only", "version: 1\n", func(*pull.Snapshot) {}, true, pull.ReportGood},
		{"broken", "version: 2\n", func(*pull.Snapshot) {}, true, pull.ReportBad},
		{"no policy", "", func(*pull.Snapshot) {}, false, ""},
		{"no policy, with a report from before", "", func(s *pull.Snapshot) { s.Report = had }, false, ""},
		{"dry run", "mode: dry-run\n" + usual, func(*pull.Snapshot) {}, false, ""},
		{"merged without a report", usual, func(s *pull.Snapshot) { s.State = pull.Merged }, false, ""},
		{"merged with one", usual, func(s *pull.Snapshot) { s.State, s.Report = pull.Merged, had }, true, pull.ReportGood},
		{"closed with one", usual, func(s *pull.Snapshot) { s.State, s.Report = pull.Closed, had }, true, pull.ReportWaiting},
		{"head not known", usual, func(s *pull.Snapshot) { s.Head.SHA = "" }, false, ""},
		{"archived", usual, func(s *pull.Snapshot) { s.Archived = true }, false, ""},
	}
	for _, tt := range tests {
		for _, asApp := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, app %v", tt.name, asApp), func(t *testing.T) {
				s := world(tt.change)
				s.AsApp = asApp
				v := decide(t, tt.policy, s, pull.Memory{})
				r, wanted := Report(s, v, "https://pr.example/octo/app/7")
				if wanted != tt.wanted || r.State != tt.state {
					t.Fatalf("Report = %+v, %v, want %s, %v", r, wanted, tt.state, tt.wanted)
				}
				if !wanted {
					return
				}
				if r.SHA != head || (r.Digest != "") != asApp || (r.Summary != "") != asApp || (s.Report != nil && r.ID != 99) {
					t.Errorf("Report = %+v, want digest and summary with an App only, and the id that there was", r)
				}
				if bad := unfit(r.Title); bad != "" {
					t.Errorf("%q %s", r.Title, bad)
				}
				if !Differs(s.Report, r, asApp) {
					t.Error("Differs(before, wanted) = false, want true")
				}
				after := r
				after.Title = pull.StatusText(r.Title)
				if Differs(&after, r, asApp) {
					t.Error("Differs(written, wanted) = true, want false: that would be written for ever")
				}
			})
		}
	}
}

func TestDiffers(t *testing.T) {
	wanted := pull.Report{SHA: head, State: pull.ReportGood, Title: strings.Repeat("x", 200), URL: "https://pr.example", Digest: "d"}
	for _, tt := range []struct {
		name     string
		observed pull.Report
		asApp    bool
		want     bool
	}{
		{"status, same", pull.Report{State: pull.ReportGood, Title: pull.StatusText(wanted.Title)}, false, false},
		{"status, other colour", pull.Report{State: pull.ReportBad, Title: pull.StatusText(wanted.Title)}, false, true},
		{"status, other text", pull.Report{State: pull.ReportGood, Title: "y"}, false, true},
		{"check run, same", pull.Report{Digest: "d"}, true, false},
		{"check run, other", pull.Report{Digest: "e"}, true, true},
	} {
		if got := Differs(&tt.observed, wanted, tt.asApp); got != tt.want {
			t.Errorf("%s: Differs = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestTitleFits: a title says as many reasons as fit a commit status, whole.
func TestTitleFits(t *testing.T) {
	s := world(func(s *pull.Snapshot) {
		s.Reviews, s.Checks = nil, nil
		s.Labels = []pull.Label{{Name: "hold", Present: true, SetBy: bob}}
	})
	r, _ := Report(s, decide(t, usual, s, pull.Memory{}), "")
	if n := utf8.RuneCountInString(r.Title); n > pull.StatusLimit || !strings.Contains(r.Title, "and 1 reason more") {
		t.Errorf("the title %q has %d characters, want at most %d and the rest counted", r.Title, n, pull.StatusLimit)
	}
}

// TestSummary holds a whole summary against testdata/summary.md.
func TestSummary(t *testing.T) {
	s := world(func(s *pull.Snapshot) {
		s.Reviews[0].Commit = "0000000"
		s.Labels = []pull.Label{{Name: "big", Present: true, SetBy: bob}}
	})
	r, _ := Report(s, decide(t, usual, s, pull.Memory{}), "https://pr.example/octo/app/7")
	golden(t, "testdata/summary.md", r.Summary)
	golden(t, "testdata/tree.txt", Tree(decide(t, usual, s, pull.Memory{})))
}

// TestNothingIsInjected: other people's text stays text in Markdown, and leaves the terminal alone.
func TestNothingIsInjected(t *testing.T) {
	const evil = "@octo/all #1 [x](https://evil.example) <img src=x> **b** `c` | d\n# e\x1b[31m\u202ef"
	s := world(func(s *pull.Snapshot) {
		s.Title, s.Author.Login = evil, evil
		s.Checks = append(s.Checks, pull.Check{ID: 9, Name: evil, State: pull.CheckFailed})
		s.Labels = []pull.Label{{Name: "hold", Present: true, SetBy: pull.Actor{ID: 8, Login: evil}}, {Name: evil, Present: true}}
		s.Head.Name, s.Base.Name = evil, evil
		s.Mergeable = pull.MergeableConflict
	})
	text := usual + "  method: squash\n"
	text = strings.Replace(text, "approved &&", "approved && pr.title == \"y\" && pr.labels == [] &&", 1)
	v := decide(t, text, s, pull.Memory{})
	r, _ := Report(s, v, "https://pr.example/\n<script>")
	for _, bad := range []string{"@octo", " #1", "](https", "<img", "**b**", "`c`", "` | d", "\n# e", "\x1b", "\u202e", "<script>", "https://evil"} {
		if strings.Contains(r.Summary, bad) {
			t.Errorf("the summary holds %q:\n%s", bad, r.Summary)
		}
	}
	for what, text := range map[string]string{"tree": Tree(v), "sentence": Sentence(v), "title": r.Title} {
		if strings.ContainsAny(text, "\x1b\u202e") || (what != "tree" && strings.Contains(text, "\n")) {
			t.Errorf("the %s holds control characters: %q", what, text)
		}
	}
}

// TestSummaryFits: GitHub takes 65,535 characters, bytes counted generously.
func TestSummaryFits(t *testing.T) {
	var text strings.Builder
	text.WriteString("version: 1\nlabels:\n")
	for i := range 85 {
		fmt.Fprintf(&text, "  label-%d-%s: { title: '%s' }\n", i, strings.Repeat("é", 20), strings.Repeat("(é)*", 60))
	}
	s := world()
	r, _ := Report(s, decide(t, text.String(), s, pull.Memory{}), "https://pr.example/octo/app/7")
	if len(r.Summary) > 65_535 || !strings.Contains(r.Summary, "too long for GitHub") || !strings.Contains(r.Summary, "https://pr.example/octo/app/7") {
		t.Errorf("the summary has %d bytes, want at most 65535, the cut said and the link kept", len(r.Summary))
	}
}

func TestWhy(t *testing.T) {
	v := decide(t, usual, world(), pull.Memory{})
	for _, a := range append(v.Actions, pull.Action{Kind: pull.SetReport, Target: string(head)}, pull.Action{Kind: pull.RemoveLabel, Target: "big"}) {
		if bad := unfit(Why(v, a)); bad != "" {
			t.Errorf("Why(%s) = %q %s", a.Kind, Why(v, a), bad)
		}
	}
	if got, want := Why(v, v.Actions[0]), "Add the label “docs”: its condition (files: docs/**) holds."; got != want {
		t.Errorf("Why = %q, want %q", got, want)
	}
	asking := decide(t, "version: 1\nreviewers: [{ from: bob }]\n", world(func(s *pull.Snapshot) {
		s.Reviews = nil
		s.Known.People = map[string]pull.Person{"bob": {Actor: bob, Permission: pull.PermissionWrite, Loaded: true}}
	}), pull.Memory{})
	if got, want := Why(asking, asking.Actions[0]), "Ask bob for a review: there is nobody else to choose from."; got != want {
		t.Errorf("Why = %q, want %q", got, want)
	}
	merged := decide(t, usual+"  delete-branch: true\n", world(func(s *pull.Snapshot) { s.State, s.MergedBy, s.Known.Dependents = pull.Merged, us, &pull.Pulls{} }),
		pull.Memory{Intents: []pull.Intent{{Action: pull.Action{Kind: pull.Merge, Target: string(head)}, Status: pull.Done}}})
	if got, want := Why(merged, merged.Actions[0]), "The branch door is merged, so it is deleted."; got != want {
		t.Errorf("Why = %q, want %q", got, want)
	}
}

// A report must not be written again because somebody was asked to review, which it said.
func TestReportLastsWhenReviewersAreAsked(t *testing.T) {
	dave := pull.Actor{ID: 9, Login: "dave", Type: pull.User}
	e := policy.Resolve(pull.Document{Found: true, Text: "version: 1\nreviewers:\n  - { from: [bob, dave, erin], count: 2, pick: least-loaded }\n  - { from: erin, count: 1 }\n"}, pull.Document{}, pull.Document{}, false)
	s := world(func(s *pull.Snapshot) {
		s.Reviews = nil
		s.Known.People = map[string]pull.Person{
			"bob":  {Actor: bob, Permission: pull.PermissionWrite, Loaded: true, Requests: 3},
			"dave": {Actor: dave, Permission: pull.PermissionWrite, Loaded: true, Requests: 1}, "erin": {Missing: "there is no such account"},
		}
	})
	d := e.Evaluate(s, pull.Memory{}, noon)
	if len(d.Needs) > 0 || len(d.Actions) != 2 {
		t.Fatalf("needs %v, does %v, want bob and dave asked", d.Needs, d.Actions)
	}
	first, _ := Report(s, d.Verdict, "")
	m := pull.Memory{}
	for _, a := range d.Actions {
		a.Why = Why(d.Verdict, a)
		m.Intents = append(m.Intents, pull.Intent{Action: a, Status: pull.Done, PlannedAt: noon, DoneAt: noon})
	}
	settling, _ := Report(s, e.Evaluate(s, m, noon.Add(time.Second)).Verdict, "")
	s.ReviewRequests = []pull.ReviewRequest{{Who: dave}, {Who: bob}}
	after, _ := Report(s, e.Evaluate(s, m, noon.Add(time.Minute)).Verdict, "")
	for when, r := range map[string]pull.Report{"a second later": settling, "a minute later": after} {
		if r.Digest != first.Digest {
			t.Errorf("%s the report is\n%s\nwant it as it was:\n%s", when, r.Summary, first.Summary)
		}
	}
	if want := "none of the 3 who could be asked has fewer open requests"; !strings.Contains(after.Summary, want) {
		t.Errorf("the report forgets why: %s", after.Summary)
	}
}

// A report must not be written again for each check that ends, nor for a label that no condition waits for.
func TestReportLasts(t *testing.T) {
	say := func(pending, passed []string, labels ...string) pull.Report {
		s := pull.Snapshot{
			State: pull.Open, Number: 1, AsApp: true, Mergeable: pull.MergeableClean, AllowedMethods: []pull.MergeMethod{pull.Squash},
			Head: pull.Branch{SHA: "aaaaaaa", Name: "topic"}, Base: pull.Branch{SHA: "bbbbbbb", Name: "main"},
			Policy: pull.Document{Found: true, Text: "version: 1\nmerge: { if: 'checks.green && !(\"hold\" in pr.labels) && size(checks.passed) > 0' }"},
		}
		for i, name := range pending {
			s.Checks = append(s.Checks, pull.Check{ID: int64(i + 1), Name: name, State: pull.CheckPending})
		}
		for i, name := range passed {
			s.Checks = append(s.Checks, pull.Check{ID: int64(i + 100), Name: name, State: pull.CheckPassed})
		}
		for _, name := range labels {
			s.Labels = append(s.Labels, pull.Label{Name: name, Present: true})
		}
		v := policy.Resolve(s.Policy, pull.Document{}, pull.Document{}, false).Evaluate(s, pull.Memory{}, time.Unix(0, 0)).Verdict
		r, ok := Report(s, v, "https://example.test/pulls/1")
		if !ok {
			t.Fatal("Report = nothing, want a report")
		}
		return r
	}
	first := say([]string{"build", "test"}, []string{"lint"})
	if again := say([]string{"test"}, []string{"lint", "build"}, "priority"); again.Digest != first.Digest {
		t.Errorf("Report after one of two checks has ended =\n%s\n%s\nwant it as before:\n%s\n%s", again.Title, again.Summary, first.Title, first.Summary)
	}
	for name, other := range map[string]pull.Report{
		"all checks have passed":    say(nil, []string{"lint", "build", "test"}),
		"a label holds it back":     say([]string{"test"}, []string{"lint"}, "hold"),
		"no check has reported yet": say(nil, nil),
	} {
		if other.Digest == first.Digest {
			t.Errorf("Report when %s = %q, want it to differ from %q", name, other.Title, first.Title)
		}
	}
}
