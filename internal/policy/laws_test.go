package policy

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// labelled is a policy whose labels can all come and go, with a merge rule that looks at much.
const labelled = `
version: 1
labels:
  docs: { files: "docs/**" }
  big: { lines: 100.. }
  stuck: { if: pr.conflicting }
  ready: { if: approved && checks.green }
merge:
  if: (approved || "trivial" in pr.labels) && checks.green && !("hold" in pr.labels) && pr.files.all(f, f != "LOCK")
  delete-branch: true
`

func actors() *rapid.Generator[pull.Actor] {
	return rapid.SampledFrom([]pull.Actor{us, alice, bob, carol, eve, {}})
}

// snapshots are pull requests of every kind, likely and unlikely.
func snapshots() *rapid.Generator[pull.Snapshot] {
	return rapid.Custom(func(t *rapid.T) pull.Snapshot {
		yes := func(name string, oneIn int) bool { return rapid.IntRange(1, oneIn).Draw(t, name) == 1 }
		s := world()
		s.Draft, s.Fork, s.Archived, s.Blocked, s.Behind = yes("draft", 4), yes("fork", 4), yes("archived", 8), yes("blocked", 6), yes("behind", 4)
		s.FilesTruncated, s.LabelsTruncated = yes("files truncated", 8), yes("labels truncated", 8)
		s.ReviewsTruncated, s.ChecksTruncated = yes("reviews truncated", 8), yes("checks truncated", 8)
		s.State = rapid.SampledFrom([]pull.State{pull.Open, pull.Open, pull.Open, pull.Closed, pull.Merged}).Draw(t, "state")
		s.Mergeable = rapid.SampledFrom([]pull.Mergeable{pull.MergeableClean, pull.MergeableClean, pull.MergeableConflict, pull.MergeableUnknown, ""}).Draw(t, "mergeable")
		s.Permission = rapid.SampledFrom([]pull.PermissionLevel{"", pull.PermissionAdmin, pull.PermissionWrite, pull.PermissionRead}).Draw(t, "permission")
		s.AllowedMethods = rapid.SliceOfDistinct(rapid.SampledFrom([]pull.MergeMethod{pull.MergeCommit, pull.Squash, pull.Rebase}), rapid.ID).Draw(t, "methods")
		s.Additions = rapid.IntRange(0, 200).Draw(t, "additions")
		s.Files = nil
		for _, f := range rapid.SliceOf(rapid.SampledFrom([]string{"docs/a", "src/b", "LOCK"})).Draw(t, "files") {
			s.Files = append(s.Files, pull.File{Path: f})
		}
		s.Labels, s.Reviews, s.Checks = nil, nil, nil
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"docs", "big", "stuck", "ready", "hold", "trivial", "Docs"}), rapid.ID).Draw(t, "labels") {
			at := noon.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "set")) * time.Hour)
			s.Labels = append(s.Labels, pull.Label{Name: name, Present: yes("present", 2), SetBy: actors().Draw(t, "set by"), SetAt: at, TakenBy: actors().Draw(t, "taken by"), TakenAt: at})
		}
		for range rapid.IntRange(0, 4).Draw(t, "reviews") {
			s.Reviews = append(s.Reviews, pull.Review{
				Author: actors().Draw(t, "reviewer"), CanWrite: yes("can write", 2), Commit: rapid.SampledFrom([]pull.SHA{head, head, older, ""}).Draw(t, "commit"),
				State: rapid.SampledFrom([]pull.ReviewState{pull.Approved, pull.Approved, pull.ChangesRequested, pull.Commented, pull.Dismissed, pull.PendingReview}).Draw(t, "review"),
			})
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "checks") {
			s.Checks = append(s.Checks, pull.Check{ID: int64(i), Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "check"), State: rapid.SampledFrom([]pull.CheckState{pull.CheckPassed, pull.CheckPassed, pull.CheckPending, pull.CheckFailed}).Draw(t, "check state")})
		}
		return s
	})
}

func memories() *rapid.Generator[pull.Memory] {
	return rapid.Custom(func(t *rapid.T) pull.Memory {
		m := pull.Memory{Looks: rapid.IntRange(0, 10).Draw(t, "looks"), Labels: map[string]pull.LabelMemory{}}
		for _, name := range []string{"docs", "big", "stuck", "ready"} {
			m.Labels[name] = pull.LabelMemory{Ours: rapid.Bool().Draw(t, "ours"), KeptOff: rapid.Bool().Draw(t, "kept off")}
		}
		for range rapid.IntRange(0, 3).Draw(t, "intents") {
			kind := rapid.SampledFrom([]pull.ActionKind{pull.AddLabel, pull.RemoveLabel, pull.Merge}).Draw(t, "kind")
			target := rapid.SampledFrom([]string{"docs", "big"}).Draw(t, "target")
			if kind == pull.Merge {
				target = string(head)
			}
			if _, known := m.Intent(kind, target); known {
				continue // the ledger has one row for each
			}
			at := noon.Add(-time.Duration(rapid.IntRange(0, 3000).Draw(t, "age")) * time.Second)
			m.Intents = append(m.Intents, pull.Intent{
				Action: pull.Action{Kind: kind, Target: target, Method: pull.Squash}, Failures: rapid.IntRange(0, 3).Draw(t, "failures"), StartedAt: at, DoneAt: at,
				Status: rapid.SampledFrom([]pull.IntentStatus{pull.Planned, pull.Executing, pull.Done, pull.Failed, pull.Superseded}).Draw(t, "status"),
			})
		}
		return m
	})
}

// done is the world and the memory after everything that was decided has been carried out.
func done(s pull.Snapshot, m pull.Memory, d Decision, at time.Time) (pull.Snapshot, pull.Memory) {
	intents := append([]pull.Intent(nil), m.Intents...)
	m = d.Memory
	labels := map[string]pull.LabelMemory{}
	for k, v := range m.Labels {
		labels[k] = v
	}
	s.Labels = append([]pull.Label(nil), s.Labels...)
	for _, a := range d.Actions {
		in := pull.Intent{Action: a, Status: pull.Done, StartedAt: at, DoneAt: at}
		kept := intents[:0]
		for _, old := range intents {
			if old.Action.Kind != a.Kind || old.Action.Target != a.Target {
				kept = append(kept, old)
			}
		}
		intents = append(kept, in)
		switch a.Kind {
		case pull.AddLabel, pull.RemoveLabel:
			l := labels[a.Target]
			l.Ours = a.Kind == pull.AddLabel
			labels[a.Target] = l
			set(&s, a.Target, a.Kind == pull.AddLabel, us, at)
		case pull.Merge:
			s.State, s.Queued, s.MergedBy, s.MergeSHA, s.Mergeable = pull.Merged, nil, us, "ccccccc", pull.MergeableUnknown
		case pull.DeleteBranch:
			s.HeadBranchTip = ""
		case pull.Approve:
			s.Reviews = append(slices.Clone(s.Reviews), pull.Review{ID: 77, Author: us, CanWrite: true, State: pull.Approved, Commit: a.SHA})
		case pull.Unapprove:
			s.Reviews = append(slices.Clone(s.Reviews), pull.Review{ID: 77, Author: us, State: pull.Dismissed, Commit: a.SHA})
		case pull.MarkReady, pull.MarkDraft:
			s.Draft = a.Kind == pull.MarkDraft
		case pull.WriteComment:
			s.Comments = append(slices.Clone(s.Comments), pull.Comment{Author: us, Body: a.Body})
		case pull.Assign:
			s.Assignees = append(slices.Clone(s.Assignees), pull.Actor{Login: a.Target})
		case pull.AskReview:
			s.ReviewRequests = append(slices.Clone(s.ReviewRequests), pull.ReviewRequest{Who: pull.Actor{Login: a.Target}})
		case pull.Close:
			s.State = pull.Closed
		case pull.Enqueue:
			s.Queued = &pull.QueueEntry{Position: 1, State: "queued", By: us}
		case pull.Dequeue:
			s.Queued = nil
		case pull.Retarget:
			s.Known.Dependents = &pull.Pulls{}
		case pull.UpdateBranch:
			s.Behind, s.BaseBranchTip = false, older
		}
	}
	m.Labels, m.Intents = labels, intents
	return s, m
}

// set puts a label on or takes it off, as somebody.
func set(s *pull.Snapshot, name string, on bool, by pull.Actor, at time.Time) {
	s.Labels = append([]pull.Label(nil), s.Labels...)
	i := -1
	for j, l := range s.Labels {
		if strings.EqualFold(l.Name, name) && (i < 0 || l.Present) {
			i = j
		}
	}
	if i < 0 {
		s.Labels = append(s.Labels, pull.Label{Name: name})
		i = len(s.Labels) - 1
	}
	l := &s.Labels[i]
	l.Present = on
	if on {
		l.SetBy, l.SetAt = by, at
	} else {
		l.TakenBy, l.TakenAt = by, at
	}
}

// TestStillWater: once everything that was decided is done, nothing more is wanted.
func TestStillWater(t *testing.T) {
	p := must(t, labelled)
	rapid.Check(t, func(t *rapid.T) {
		s, m, now := snapshots().Draw(t, "s"), memories().Draw(t, "m"), noon
		for round := 0; ; round++ {
			d := p.Evaluate(s, m, now)
			if len(d.Actions) == 0 {
				break
			}
			if round == 2 { // labels can make the merge rule hold, a merge frees the branch; then it is over
				t.Fatalf("still wants %v", acted(d.Actions))
			}
			s, m = done(s, m, d, now)
			now = now.Add(2 * time.Second)
		}
		// And it stays so, whatever the clock says.
		for _, later := range []time.Duration{time.Minute, 24 * time.Hour} {
			m2 := m
			var settled []pull.Intent
			for _, in := range m.Intents {
				if in.Status != pull.Failed && in.Action.Kind != pull.Merge { // refusals are tried again in time
					settled = append(settled, in)
				}
			}
			m2.Intents = settled
			d := p.Evaluate(s, m2, now.Add(later))
			for _, a := range d.Actions {
				if _, failed := m.Intent(a.Kind, a.Target); !failed {
					t.Fatalf("after %v: wants %v", later, acted(d.Actions))
				}
			}
		}
	})
}

// TestDeterminism: the same arguments, the same decision, to the byte.
func TestDeterminism(t *testing.T) {
	p, q := must(t, labelled), must(t, labelled)
	rapid.Check(t, func(t *rapid.T) {
		s, m := snapshots().Draw(t, "s"), memories().Draw(t, "m")
		a, b := p.Evaluate(s, m, noon), q.Evaluate(s, m, noon)
		if a.Verdict.Digest() != b.Verdict.Digest() || !cmp.Equal(a.Actions, b.Actions) || !cmp.Equal(a.Memory, b.Memory) || !a.Again.Equal(b.Again) {
			t.Fatalf("two decisions:\n%+v\n%+v", a, b)
		}
	})
}

// TestNeverMerges: no condition, however generous, merges what must not be merged; and no merge names another commit.
func TestNeverMerges(t *testing.T) {
	p := must(t, "version: 1\nmerge: { if: true }\n")
	rapid.Check(t, func(t *rapid.T) {
		s, m := snapshots().Draw(t, "s"), memories().Draw(t, "m")
		d := p.Evaluate(s, m, noon)
		for _, a := range d.Actions {
			if a.Kind != pull.Merge {
				continue
			}
			if s.Draft || s.Mergeable != pull.MergeableClean || s.State != pull.Open || s.Archived || len(s.AllowedMethods) == 0 || a.SHA != s.Head.SHA || a.Target != string(s.Head.SHA) {
				t.Fatalf("merges %+v", s)
			}
		}
		if s.State == pull.Open && (d.Verdict.State == Ready) != (len(d.Actions) == 1) {
			t.Fatalf("state %s with actions %v", d.Verdict.State, acted(d.Actions))
		}
		if len(d.Verdict.Reasons) == 0 {
			t.Fatalf("no reason for %s", d.Verdict.State)
		}
	})
}

// askedFor has every way of being asked for a merge, and of going about it.
const askedFor = `
version: 1
checks: { required: [a, { name: b, app: ci }] }
merge:
  if: approved && checks.green
  label: [trivial, hold]
  command: true
  method: [{ if: pr.fork, method: rebase }, { if: pr.lines > 100, method: fast-forward }, squash]
  title: pull-request
  body: commits
  update: merge
  delete-branch: true
`

// known are answers to whatever may be asked, likely and unlikely.
func known(t *rapid.T, s *pull.Snapshot) {
	yes := func(name string) bool { return rapid.IntRange(1, 4).Draw(t, name) == 1 }
	s.AsApp, s.MergeQueue = yes("as an App"), yes("merge queue")
	s.BaseBranchTip = rapid.SampledFrom([]pull.SHA{older, head, ""}).Draw(t, "tip")
	if rapid.Bool().Draw(t, "all is well") { // by chance it hardly ever is
		s.Draft, s.Archived, s.FilesTruncated, s.LabelsTruncated, s.ReviewsTruncated, s.ChecksTruncated = false, false, false, false, false, false
		s.State, s.Mergeable, s.Permission = pull.Open, pull.MergeableClean, pull.PermissionWrite
		s.AllowedMethods = []pull.MergeMethod{pull.MergeCommit, pull.Squash, pull.Rebase}
		s.Reviews = []pull.Review{{ID: 1, Author: bob, CanWrite: true, State: pull.Approved, Commit: head}}
		s.Checks = []pull.Check{{ID: 1, Name: "a", AppID: 1, State: pull.CheckPassed}, {ID: 2, Name: "b", App: "ci", AppID: 1, State: pull.CheckPassed}}
	}
	if yes("queued") {
		s.Queued = &pull.QueueEntry{Position: 1, By: actors().Draw(t, "queued by")}
	}
	s.Known = pull.Lookups{
		Rules: &pull.Rules{
			MergeQueue: yes("a queue is required"), Linear: yes("linear"), Approvals: rapid.IntRange(0, 2).Draw(t, "approvals"),
			Checks: []pull.RequiredCheck{{Name: "a", AppID: rapid.Int64Range(0, 2).Draw(t, "app")}}, Conversation: yes("conversation"), Signatures: yes("signatures"),
		},
		Dependents: &pull.Pulls{Numbers: rapid.SampledFrom([][]int{nil, nil, {8}}).Draw(t, "dependents")},
		Commits:    &pull.Commits{List: []pull.Commit{{SHA: head, Parents: []pull.SHA{older}, Message: "x", Author: bob}}},
		Turn:       &pull.Turn{Number: rapid.SampledFrom([]int{0, 7, 5}).Draw(t, "turn"), Until: noon.Add(time.Hour)},
		People:     map[string]pull.Person{},
		Files:      map[string]pull.Document{attributesFile: {}},
		Renames:    true,
	}
	for _, a := range []pull.Actor{us, alice, bob, carol, eve} {
		s.Known.People[a.Login] = pull.Person{Actor: a, Permission: rapid.SampledFrom([]pull.PermissionLevel{pull.PermissionAdmin, pull.PermissionWrite, pull.PermissionRead}).Draw(t, "level")}
	}
}

// orders are what commands may have put in force.
func orders(t *rapid.T, m *pull.Memory) {
	if rapid.Bool().Draw(t, "ordered") {
		m.Merge = &pull.Order{By: bob, SHA: rapid.SampledFrom([]pull.SHA{head, older, ""}).Draw(t, "saw"), At: noon.Add(-time.Minute)}
	}
	if rapid.IntRange(1, 4).Draw(t, "held") == 1 {
		m.Hold = &pull.Order{By: eve}
	}
}

// TestMergingLaws: whatever is asked for and whatever GitHub's own rules are, a merge is asked for by somebody who may, is of
// the head, is not held, and goes where GitHub wants it; one decision does one thing about merging; and it comes to rest.
func TestMergingLaws(t *testing.T) {
	p := must(t, askedFor)
	rapid.Check(t, func(t *rapid.T) {
		s, m, now := snapshots().Draw(t, "s"), memories().Draw(t, "m"), noon
		known(t, &s)
		orders(t, &m)
		for round := 0; ; round++ {
			d := p.Evaluate(s, m, now)
			if len(d.Needs) > 0 {
				for _, n := range d.Needs {
					if !s.Answers(n) {
						t.Fatalf("needs %v, which is answered", n)
					}
				}
				t.Fatalf("needs %v though all of it is answered", d.Needs)
			}
			if len(d.Actions) == 0 {
				break
			}
			if round == 6 {
				t.Fatalf("still wants %v", acted(d.Actions))
			}
			ways := 0
			for _, a := range d.Actions {
				switch a.Kind {
				case pull.Merge, pull.Enqueue, pull.UpdateBranch, pull.Dequeue:
					if ways++; a.SHA != s.Head.SHA || a.Target != string(s.Head.SHA) {
						t.Fatalf("%s of %s, which is not the head", a.Kind, a.SHA)
					}
				}
				if a.Kind != pull.Merge && a.Kind != pull.Enqueue && a.Kind != pull.UpdateBranch {
					continue
				}
				byLabel := false
				for _, name := range []string{"trivial", "hold"} {
					l, ok := s.Has(name)
					level := s.Known.People[l.SetBy.Login].Permission
					byLabel = byLabel || ok && l.SetBy.ID != 0 && reaches(level, pull.PermissionWrite) && !(s.AsApp && l.SetBy.Same(us))
				}
				byOrder := m.Merge != nil && m.Merge.SHA == head
				if m.Hold != nil || s.Draft || s.Archived || s.Mergeable != pull.MergeableClean || !byLabel && !byOrder {
					t.Fatalf("%s, held %v, label %v, order %v of %+v", a.Kind, m.Hold, byLabel, byOrder, s)
				}
				if queue := s.MergeQueue || s.Known.Rules.MergeQueue; a.Kind != pull.UpdateBranch && queue != (a.Kind == pull.Enqueue) {
					t.Fatalf("%s where a queue is required: %v", a.Kind, queue)
				}
				if a.Kind == pull.Merge && (s.Behind || s.Blocked) || a.Kind == pull.UpdateBranch && s.Known.Turn.Number == 5 {
					t.Fatalf("%s though behind %v, blocked %v, the turn is of %d", a.Kind, s.Behind, s.Blocked, s.Known.Turn.Number)
				}
			}
			if ways > 1 {
				t.Fatalf("wants %v at once", acted(d.Actions))
			}
			s, m = done(s, m, d, now)
			now = now.Add(2 * time.Second)
		}
	})
}

// TestTruncationFailsClosed: what GitHub cuts short never makes the service merge, or move a label, that it would not
// have with everything in view.
func TestTruncationFailsClosed(t *testing.T) {
	p := must(t, labelled)
	rapid.Check(t, func(t *rapid.T) {
		s := snapshots().Draw(t, "s")
		s.FilesTruncated, s.LabelsTruncated, s.ReviewsTruncated, s.ChecksTruncated = true, true, true, true
		for _, a := range p.Evaluate(s, memories().Draw(t, "m"), noon).Actions {
			if a.Kind == pull.Merge {
				t.Fatal("merges on half the facts")
			}
			if a.Target == "ready" {
				t.Fatal("moves a label on half the facts")
			}
		}
	})
}

// TestOurLabelsOnly: whatever happened before, a label that somebody else put on last is never taken off.
func TestOurLabelsOnly(t *testing.T) {
	p := must(t, labelled)
	rapid.Check(t, func(t *rapid.T) {
		s := snapshots().Draw(t, "s")
		for _, a := range p.Evaluate(s, memories().Draw(t, "m"), noon).Actions {
			if a.Kind != pull.RemoveLabel {
				continue
			}
			if l, _ := findLabel(&s, a.Target); l.SetBy.ID != 0 && !l.SetBy.Same(us) {
				t.Fatalf("takes off %s, set by %s", a.Target, l.SetBy.Login)
			}
		}
	})
}

// TestLabelLife plays a label's life move by move against a plain model of guarantee 9: with the condition true a label
// is on unless a person took it off since the condition was last false; with the condition false it is on only if a
// person put it on last.
func TestLabelLife(t *testing.T) {
	p := must(t, "version: 1\nlabels: { big: { lines: 100.. } }\n")
	rapid.Check(t, func(t *rapid.T) {
		s, m, now := world(), pull.Memory{}, noon
		s.Additions, s.Deletions = 0, 0
		on, person, barred := false, false, false // the model: on, put on last by a person, taken off by a person while true
		for range rapid.IntRange(1, 12).Draw(t, "moves") {
			now = now.Add(time.Minute)
			switch rapid.SampledFrom([]string{"grow", "shrink", "put on", "take off", "look"}).Draw(t, "move") {
			case "grow":
				s.Additions = 100
			case "shrink":
				s.Additions = 0
			case "put on":
				if !on {
					on, person, barred = true, true, false
					set(&s, "big", true, bob, now)
				}
			case "take off":
				if on {
					on, person = false, false
					barred = s.Additions >= 100
					set(&s, "big", false, bob, now)
				}
			}
			now = now.Add(time.Minute)
			d := p.Evaluate(s, m, now)
			s, m = done(s, m, d, now)
			switch {
			case s.Additions < 100:
				barred = false
				if on && !person {
					on = false
				}
			case !on && !barred:
				on, person = true, false
			}
			l, _ := findLabel(&s, "big")
			if l.Present != on {
				t.Fatalf("the label is on: %v, want %v (%s)", l.Present, on, d.Verdict.Rules[0].Outcome)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(labelled))
	if text, err := os.ReadFile("testdata/problems.txtar"); err == nil {
		for _, part := range strings.Split(string(text), "-- ") {
			if _, body, ok := strings.Cut(part, "--\n"); ok && strings.Contains(body, ":") {
				f.Add([]byte(body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, problems := Parse("p.yml", text)
		if (p == nil) == (len(problems) == 0) {
			t.Fatalf("Parse = %v, %v, want one of the two", p, problems)
		}
		lines := strings.Split(string(text), "\n")
		for _, q := range problems {
			if q.Message == "" || !strings.HasSuffix(q.Message, ".") {
				t.Errorf("%q is not a sentence", q.Message)
			}
			if q.Pos.Line > len(lines)+1 {
				t.Errorf("%s is beyond the end of %d lines", q.Pos, len(lines))
			}
		}
		if p != nil {
			d := p.Evaluate(world(), pull.Memory{}, noon)
			if d.Verdict.State == "" || d.Verdict.Digest() == "" {
				t.Errorf("Evaluate(%q) has no state", text)
			}
		}
	})
}

func FuzzEvaluate(f *testing.F) {
	f.Add("approved && checks.green", "docs/**", "Add a door", "docs/a", uint16(0))
	f.Add(`pr.files.exists(f, f.matches("^x"))`, "!x", "", "x", uint16(0xffff))
	f.Add(`pr.lines / 0 > 1 || pr.title.contains(pr.body)`, "{a,b}/**", "\x00", "\xff", uint16(0x0f))
	f.Add(`!(pr.conflicting ? approved : "x" in pr.labels)`, "**", "x", "x", uint16(0xf0))
	f.Add(`pr.changes.exists(f, f.status == "renamed" && f.previous != "") || pr.commits.all(c, c.verified && c.author.can("write"))`, "a", "x", "x", uint16(0x180))
	f.Add(`checks.by("ci", "build").passed && update.level in ["patch"] && schedule("Mon-Fri 09:00-17:00 Europe/Paris")`, "a", "x", "x", uint16(0x280))
	f.Add(`now - pr.created_at > duration("1h") ? pr.labelled.exists(l, l.set_by.permission == "admin") : threads.list.all(t, t.resolved)`, "a", "x", "x", uint16(0x340))
	f.Add(`pr.labels.map(l, l + l).filter(l, l.size() > 3) != []`, "a", "x", "x", uint16(3))
	f.Fuzz(func(t *testing.T, condition, glob, title, path string, flags uint16) {
		quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
		p, _ := Parse("p.yml", []byte(fmt.Sprintf("version: 1\nlabels:\n  x: { files: %s, if: %s }\nmerge: { if: %s, delete-branch: true }\n", quoted(glob), quoted(condition), quoted(condition))))
		if p == nil {
			return
		}
		s := world(func(s *pull.Snapshot) {
			s.Title, s.Files = title, []pull.File{{Path: path}}
			s.Draft, s.FilesTruncated, s.ReviewsTruncated, s.ChecksTruncated, s.LabelsTruncated = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0, flags&16 != 0
			if flags&32 != 0 {
				s.Mergeable = pull.MergeableUnknown
			}
			if flags&64 != 0 {
				s.Labels = []pull.Label{{Name: title, Present: true, SetBy: bob}}
			}
			if flags&128 != 0 {
				s.Files = append(s.Files, pull.File{Path: title, Previous: path, Status: "renamed", Additions: int(flags)})
				s.Threads = []pull.Thread{{Author: bob}}
			}
			if flags&256 != 0 {
				s.Known.Commits, s.Known.Renames = &pull.Commits{List: []pull.Commit{{SHA: head, Author: alice, Message: title}}}, true
				s.Known.People = map[string]pull.Person{"bob": {Actor: bob, Permission: pull.PermissionAdmin}, "alice": {Missing: "gone"}}
			}
			if flags&512 != 0 {
				byBot(dependabot, title, bumpLodash)(s)
				s.Known.Files = map[string]pull.Document{attributesFile: {Found: true, Text: glob + " linguist-generated"}}
			}
		})
		a, b := p.Evaluate(s, pull.Memory{}, noon), p.Evaluate(s, pull.Memory{}, noon)
		if a.Verdict.Digest() != b.Verdict.Digest() {
			t.Error("two decisions differ")
		}
		for _, act := range a.Actions {
			if act.Kind == pull.Merge && (s.Draft || s.Mergeable != pull.MergeableClean || a.Verdict.Rules[len(a.Verdict.Rules)-1].Condition.Result != True) {
				t.Errorf("merges although %s is %s", condition, a.Verdict.Rules[1].Condition.Result)
			}
		}
		s2, m2 := done(s, pull.Memory{}, a, noon)
		if len(s2.Labels) == len(s.Labels) && len(a.Actions) == 0 && len(p.Evaluate(s2, m2, noon).Actions) != 0 {
			t.Error("not still")
		}
	})
}

// BenchmarkEvaluate decides by 100 rules over an ordinary pull request: 30 files, 40 checks.
func BenchmarkEvaluate(b *testing.B) {
	var text strings.Builder
	text.WriteString("version: 1\nlabels:\n")
	for i := range 33 {
		fmt.Fprintf(&text, "  f%d: { files: ['area%d/**', '**/*.x%d', '!**/testdata/**'], title: '^(feat|fix)' }\n", i, i, i)
		fmt.Fprintf(&text, "  c%d: { if: 'pr.lines > %d && !pr.draft && pr.title.startsWith(\"fix\") || checks.by(\"ci\", \"check %d\").passed' }\n", i, i, i)
		fmt.Fprintf(&text, "  e%d: { if: 'pr.changes.exists(f, f.status == \"added\" && f.path.startsWith(\"area%d/\"))' }\n", i, i)
	}
	text.WriteString("merge: { if: 'approved && checks.green && !(\"hold\" in pr.labels)' }\n")
	p := must(b, text.String())
	s := world(func(s *pull.Snapshot) {
		for i := range 28 {
			s.Files = append(s.Files, pull.File{Path: fmt.Sprintf("area%d/some/where/file%d.go", i%10, i)})
		}
		for i := range 40 {
			s.Checks = append(s.Checks, pull.Check{ID: int64(i), AppID: 9, App: "ci", Name: fmt.Sprintf("check %d", i), State: pull.CheckPassed})
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		p.Evaluate(s, pull.Memory{}, noon)
	}
}

// BenchmarkGlobs matches 200 distinct globs over 3,000 files.
func BenchmarkGlobs(b *testing.B) {
	var text strings.Builder
	text.WriteString("version: 1\nlabels:\n")
	for i := range 200 {
		// Of three kinds: what begins elsewhere, what ends elsewhere, and what has to be looked through.
		glob := []string{"no/such/area%d/**/*.{go,ts}", "**/*.no%d", "some/**/no%d*/**/*.go"}[i%3]
		fmt.Fprintf(&text, "  l%d: { files: '"+glob+"' }\n", i, i)
	}
	p := must(b, text.String())
	s := world(func(s *pull.Snapshot) {
		for i := range 3000 {
			s.Files = append(s.Files, pull.File{Path: fmt.Sprintf("some/where/area%d/deep/file%d.go", i%100, i)})
		}
	})
	for b.Loop() {
		p.Evaluate(s, pull.Memory{}, noon)
	}
}

// BenchmarkParse reads an ordinary policy.
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		must(b, everything)
	}
}
