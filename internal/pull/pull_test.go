package pull

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestKeyRoundTrip(t *testing.T) {
	k := PullKey(1296269, 7)
	if got := k.String(); got != "pr:1296269#7" {
		t.Errorf("PullKey(1296269, 7).String() = %q", got)
	}
	if got, err := ParseKey(k.String()); err != nil || got != k {
		t.Errorf("ParseKey(%q) = %v, %v, want %v", k.String(), got, err, k)
	}
	for _, bad := range []string{"", "pr:", "pr:x#1", "pr:1#", "pr:1", "lane:1#2", "1#2"} {
		if got, err := ParseKey(bad); err == nil {
			t.Errorf("ParseKey(%q) = %v, want an error", bad, got)
		}
	}
}

func TestLatestChecks(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	run := func(id int64, app, name string, st CheckState, after time.Duration) Check {
		return Check{ID: id, App: app, AppID: int64(len(app)), Name: name, State: st, StartedAt: at.Add(after)}
	}
	s := Snapshot{Checks: []Check{
		run(10, "ci", "build", CheckPassed, 0),
		run(12, "ci", "build", CheckPending, time.Minute), // the re-run
		run(11, "forger", "build", CheckPassed, 2*time.Minute),
		run(0, "", "lint", CheckFailed, 0),
		run(0, "", "lint", CheckPassed, time.Minute),
	}}
	got := s.LatestChecks()
	want := []CheckState{CheckPending, CheckPassed, CheckPassed}
	if len(got) != len(want) {
		t.Fatalf("LatestChecks() = %+v, want %d checks", got, len(want))
	}
	for i := range want {
		if got[i].State != want[i] {
			t.Errorf("LatestChecks()[%d] = %s of %s/%s, want %s", i, got[i].State, got[i].App, got[i].Name, want[i])
		}
	}
}

// TestWorkflowsWithOneJobName: GitHub Actions makes a suite for each workflow and each event. That a later workflow passes
// does not make the failure of another one history.
func TestWorkflowsWithOneJobName(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	run := func(id, suite int64, after time.Duration, detail string) Check {
		st := map[string]CheckState{"success": CheckPassed, "in_progress": CheckPending}[detail]
		if st == "" {
			st = CheckFailed
		}
		return Check{ID: id, App: "github-actions", AppID: 15368, Name: "build", State: st, Detail: detail, Suite: suite, SuiteAt: at.Add(after)}
	}
	for _, tt := range []struct {
		name string
		runs []Check
		want []CheckState
	}{
		{"two workflows of one push", []Check{run(1, 1, 0, "failure"), run(2, 2, time.Second, "success")}, []CheckState{CheckFailed, CheckPassed}},
		{"the first of them run again", []Check{run(1, 1, 0, "failure"), run(2, 2, time.Second, "success"), run(3, 1, 0, "success")}, []CheckState{CheckPassed, CheckPassed}},
		{"one workflow, started again later", []Check{run(1, 1, 0, "failure"), run(2, 2, 5*time.Minute, "success")}, []CheckState{CheckPassed}},
		{"one workflow, started again at once", []Check{run(1, 1, 0, "cancelled"), run(2, 2, 3*time.Second, "success")}, []CheckState{CheckPassed}},
		{"the newer one cancelled", []Check{run(1, 1, 0, "success"), run(2, 2, 3*time.Second, "cancelled")}, []CheckState{CheckPassed, CheckFailed}},
		{"still running", []Check{run(2, 2, 3*time.Second, "success"), run(1, 1, 0, "in_progress")}, []CheckState{CheckPassed, CheckPending}},
	} {
		var got []CheckState
		for _, c := range (&Snapshot{Checks: tt.runs}).LatestChecks() {
			got = append(got, c.State)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: LatestChecks = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestWithheld(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	merge := Action{Kind: Merge, Target: "aaa", SHA: "aaa", Method: Squash}
	failed := func(n int, passing bool) Memory {
		return Memory{Intents: []Intent{{Action: merge, Status: Failed, Failures: n, Passing: passing, DoneAt: at, Error: "no"}}}
	}
	for _, tt := range []struct {
		name  string
		m     Memory
		a     Action
		after time.Duration
		held  bool
	}{
		{"never tried", Memory{}, merge, 0, false},
		{"a passing refusal, 3 s ago", failed(1, true), merge, 3 * time.Second, true},
		{"a passing refusal, 4 s ago", failed(1, true), merge, 4 * time.Second, false},
		{"the second passing refusal, 7 s ago", failed(2, true), merge, 7 * time.Second, true},
		{"a definite refusal, 59 min ago", failed(1, false), merge, 59 * time.Minute, true},
		{"a definite refusal, an hour ago", failed(1, false), merge, time.Hour, false},
		{"refused for ever, a day ago", failed(90, false), merge, 24 * time.Hour, false},
		{"another method", failed(1, false), Action{Kind: Merge, Target: "aaa", Method: Rebase}, 0, false},
		{"another head", failed(1, false), Action{Kind: Merge, Target: "bbb", Method: Squash}, 0, false},
	} {
		if until, why, held := tt.m.Withheld(tt.a, at.Add(tt.after)); held != tt.held || (held && (why != "no" || !until.After(at))) {
			t.Errorf("%s: Withheld = %v, %q, %v, want %v", tt.name, until, why, held, tt.held)
		}
	}
}

func TestStatusText(t *testing.T) {
	long := ""
	for range 200 {
		long += "ä"
	}
	if got := StatusText(long); utf8.RuneCountInString(got) != StatusLimit || !utf8.ValidString(got) {
		t.Errorf("StatusText(200 × ä) has %d characters", utf8.RuneCountInString(got))
	}
	if got := StatusText("short"); got != "short" {
		t.Errorf("StatusText(short) = %q", got)
	}
}

// What only a part of the service needs is said apart from what nothing works without.
func TestWhatAnInstallationLacks(t *testing.T) {
	have := AppPermissions()
	delete(have, "members")
	delete(have, "checks")
	in := Installation{Permissions: have, Events: []string{"push", "merge_group"}}
	if got, want := fmt.Sprint(in.Lacks()), "[checks: write check_run check_suite issue_comment pull_request pull_request_review pull_request_review_comment status]"; got != want {
		t.Errorf("it lacks %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(Without(in.Permissions, in.Events)), "[members: read (teams in a policy are not known) pull_request_review_thread (a conversation that is resolved is noticed late)]"; got != want {
		t.Errorf("it does without %s, want %s", got, want)
	}
	if got := Without(nil, []string{"*"}); got != nil {
		t.Errorf("a webhook that sends everything does without %s", got)
	}
}

func TestMarkers(t *testing.T) {
	for _, target := range []string{"c1", "comment:97:ab12", "rule: a --> b", "two\nlines", "<b>"} {
		body := "No.\n\n" + Marker(target)
		if strings.Count(Marker(target), "-->") != 1 || strings.Contains(Marker(target), "\n") {
			t.Errorf("Marker(%q) = %q: it ends too early", target, Marker(target))
		}
		for text, want := range map[string]bool{
			body: true, body + "\r\n": true, Marker(target): true, "> " + Marker(target): false, body + "\nMore.": false, "No." + Marker(target): false, "": false,
		} {
			if got := Marked(text, target); got != want {
				t.Errorf("Marked(%q, %q) = %v, want %v", text, target, got, want)
			}
		}
		if Marked(body, target+"x") || Marked(body, "") {
			t.Errorf("%q is taken for another's", body)
		}
	}
}

func TestWhichTokensSeeTeams(t *testing.T) {
	for scopes, want := range map[string]bool{"repo": false, "repo read:org": true, "admin:org": true, "read:orgs public_repo": false, "": false} {
		if got := (Token{Kind: TokenClassic, Scopes: strings.Fields(scopes)}).SeesTeams(); got != want {
			t.Errorf("a token with %q sees teams: %v, want %v", scopes, got, want)
		}
	}
}

// TestSightOfASecond: a look within the second of the last change is no look at all of that second.
func TestSightOfASecond(t *testing.T) {
	updated := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]bool{0: false, 999 * time.Millisecond: false, time.Second: true, time.Hour: true} {
		s := Snapshot{UpdatedAt: updated, ObservedAt: updated.Add(after), Head: Branch{SHA: "a"}, BaseBranchTip: "b"}
		afar := Sight{UpdatedAt: updated, Head: "a", Base: "b"}
		if got := s.Sight().String() == afar.String(); got != want {
			t.Errorf("looked at %v after it changed, it is what a sweep sees: %v, want %v", after, got, want)
		}
	}
}
