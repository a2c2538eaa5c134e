package demo

import (
	"fmt"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// The policies of the three repositories: one that merges, one that is stricter, one that only says what it would do.
const (
	shopPolicy = `version: 1
labels:
  documentation: { files: ["docs/**", "**/*.md"] }
  frontend:      { files: "web/**" }
  size/L:        { lines: 80.. }
  needs-rebase:  { if: pr.conflicting, color: "d73a4a", description: "Has to be brought in line with main" }
merge:
  if: approved && checks.green
  method: squash
  delete-branch: true
`
	billingPolicy = `version: 1
labels:
  documentation: { files: "docs/**" }
  money:         { files: "ledger/**" }
reviewers:
  - { name: the ledger, files: "ledger/**", from: mira }
approvals:
  - { name: a colleague }
  - { name: the maintainer for the ledger, files: "ledger/**", from: mira }
merge:
  if: checks.green
  method: merge
  delete-branch: true
`
	websitePolicy = `version: 1
mode: dry-run
labels:
  content: { files: "pages/**" }
merge:
  if: approved && checks.green
`
)

// A change is a pull request under way, with the people around it.
type change struct {
	c        *Cast
	p        *project
	pr       *githubtest.PR
	author   *githubtest.User
	reviewer *githubtest.User
	area     area
	branch   string
	file     string
	edits    int
	lines    int
	fork     bool
}

// A story is what happens to a change, step by step. It begins when the change has been opened.
type story struct {
	name  string
	draft bool
	fork  bool
	where string // a directory; "" anywhere
	lines int    // of the change; 0 any number
	play  func(ch *change)
}

func (c *Cast) anyStory() story {
	return pick(c, smooth, smooth, smooth, red, changes, stale, drafted, held, contributed, rerun, kept, forgotten, collision)
}

// opening sets the scene: within five beats a pull request is merged, and within a minute several are stuck, each for
// a reason of its own. Then new ones come for as long as the play lasts.
func (c *Cast) opening() {
	c.begin(done)
	for i, s := range []story{held, red, drafted, collision, smooth, forgotten, changes} {
		c.after(3+8*float64(i), func() { c.begin(s) })
	}
	var again func()
	again = func() {
		if c.open < crowd {
			c.begin(c.anyStory())
		}
		c.after(between, again)
	}
	c.after(60, again)
}

// The stories.
var (
	done = story{name: "everything is there at once", where: "web", lines: 40, play: func(ch *change) {
		for _, name := range []string{"build", "test", "lint"} {
			ch.p.Check(ch.pr.Head(), ch.c.ci, name, "completed", "success")
		}
		ch.pr.Review(ch.reviewer, "approve")
	}}
	smooth = story{name: "everything goes well", play: func(ch *change) {
		ch.ci(2, "", func() { ch.approve(2) })
	}}
	red = story{name: "a test fails and is mended", play: func(ch *change) {
		ch.ci(2, "test", func() {
			ch.approve(1)
			ch.then(9, func() { ch.push("Mend the test"); ch.ci(2, "", func() { ch.approve(2) }) })
		})
	}}
	changes = story{name: "the reviewer wants something changed", play: func(ch *change) {
		ch.ci(2, "", nil)
		ch.then(4, func() {
			ch.pr.Review(ch.reviewer, "request_changes")
			ch.then(10, func() { ch.push("As discussed"); ch.ci(2, "", func() { ch.approve(3) }) })
		})
	}}
	stale = story{name: "a push after the approval", play: func(ch *change) {
		ch.pr.Review(ch.reviewer, "approve")
		ch.then(2, func() { ch.push("One more thing"); ch.ci(2, "", func() { ch.approve(10) }) })
	}}
	drafted = story{name: "a draft that takes its time", draft: true, play: func(ch *change) {
		ch.ci(2, "", nil)
		ch.then(25, func() { ch.pr.MarkReady(ch.author); ch.approve(4) })
	}}
	held = story{name: "the maintainer holds it back", play: func(ch *change) {
		ch.pr.Comment(ch.c.mira, "Good, but not today.\n\n/hold until the release is out")
		ch.ci(2, "", func() { ch.approve(1) })
		ch.then(12, func() { ch.pr.Comment(ch.author, "/why") })
		ch.then(30, func() { ch.pr.Comment(ch.c.mira, "It is out.\n\n/unhold") })
	}}
	contributed = story{name: "a contribution from a fork", fork: true, play: func(ch *change) {
		ch.ci(4, "", func() { ch.approve(6) })
	}}
	rerun = story{name: "a check is run again", play: func(ch *change) {
		ch.ci(2, "", func() {
			run := ch.p.Check(ch.pr.Head(), ch.c.ci, "test", "in_progress", "")
			ch.approve(1)
			ch.then(12, func() { run.Complete("success") })
		})
	}}
	kept = story{name: "somebody takes a label off", where: "docs", play: func(ch *change) {
		ch.ci(3, "", nil)
		ch.then(5, func() {
			for _, l := range ch.pr.Labels() {
				if l == "documentation" {
					ch.pr.Unlabel(ch.author, l)
				}
			}
			ch.approve(8)
		})
	}}
	forgotten = story{name: "nobody reviews it for a long time", play: func(ch *change) {
		ch.ci(2, "", nil)
		ch.then(70, func() { ch.approve(1) })
	}}
	// Two changes of one line: whoever is merged second has a conflict.
	collision = story{name: "two change the same line", play: func(ch *change) {
		ch.file = ch.area.dir + "/index" + ch.area.ext
		ch.push("Change the first line")
		other := ch.c.start(story{name: "the other one"}, ch.p, ch.area)
		other.file = ch.file
		other.push("Change the first line, too")
		for _, one := range []*change{ch, other} {
			one.ci(2, "", func() { one.approve(2) })
			one.mendConflict(40)
		}
	}}
)

// begin starts a story somewhere.
func (c *Cast) begin(s story) {
	p := c.projects[0] // the busiest, and the one that merges by itself
	if c.serial > 0 {
		p = pick(c, c.projects...)
		for range 2 {
			if p != c.projects[0] {
				p = pick(c, c.projects...)
			}
		}
	}
	a := pick(c, p.areas...)
	for _, b := range p.areas {
		if b.dir == s.where {
			a = b
		}
	}
	s.play(c.start(s, p, a))
}

// start opens the pull request of a story.
func (c *Cast) start(s story, p *project, a area) *change {
	verb := pick(c, "Simplify", "Speed up", "Rework", "Explain", "Test", "Tidy up")
	topic := pick(c, a.topics...)
	ch := &change{c: c, p: p, area: a, author: pick(c, c.tom, c.yuki, c.sam), lines: pick(c, 6, 14, 40, 120), fork: s.fork}
	if s.lines > 0 {
		ch.lines = s.lines
	}
	ch.branch = c.branch(strings.ToLower(verb[:3]) + "-" + a.dir)
	ch.file = fmt.Sprintf("%s/%s%s", a.dir, ch.branch, a.ext)
	head := ch.branch
	if s.fork {
		ch.author = c.noor
		if p.fork == nil {
			p.fork = p.Fork(c.noor)
		}
		head = "noor:" + ch.branch
	}
	ch.reviewer = c.other(ch.author)
	title := verb + " " + topic
	ch.push(title)
	openIt := p.Open
	if s.draft {
		openIt = p.OpenDraft
	}
	ch.pr = openIt(ch.author, head, "main", title, "A change by "+ch.author.Login+".")
	c.open++
	ch.watch()
	return ch
}

// watch notices when the change has ended, and ends it when it has been around for too long.
func (ch *change) watch() {
	beats := 0
	var look func()
	look = func() {
		beats += 3
		if ch.pr.State() == "open" && beats > 240 {
			ch.pr.Close(ch.author)
		}
		if ch.pr.State() != "open" {
			ch.c.open--
			return
		}
		ch.c.after(3, look)
	}
	ch.c.after(3, look)
}

// then plans a step that only makes sense while the pull request is open.
func (ch *change) then(beats float64, do func()) {
	ch.c.after(beats, func() {
		if ch.pr.State() == "open" {
			do()
		}
	})
}

// push commits an edit.
func (ch *change) push(message string) {
	ch.edits++
	var text strings.Builder
	fmt.Fprintf(&text, "edit %d of %s\n", ch.edits, ch.branch)
	for i := range ch.lines {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	repo := ch.p.Repo
	if ch.fork {
		repo = ch.p.fork
	}
	repo.Push(ch.branch, map[string]string{ch.file: text.String()}, message, ch.author)
}

// mendConflict brings the change up to date with main, by hand, when it conflicts after some beats.
func (ch *change) mendConflict(beats float64) {
	ch.then(beats, func() {
		ch.edits++
		text := fmt.Sprintf("edit %d of %s\n", ch.edits, ch.branch)
		ch.p.ForcePush(ch.branch, "main", map[string]string{ch.file: text}, "Bring it up to date", ch.author)
		ch.ci(2, "", func() { ch.approve(2) })
	})
}

// ci runs the checks of the head: they start after some beats and end one after the other. broken names one that fails.
func (ch *change) ci(beats float64, broken string, done func()) {
	head := ch.pr.Head()
	ch.then(beats, func() {
		names := []string{"build", "test", "lint"}
		for i, name := range names {
			run := ch.p.Check(head, ch.c.ci, name, "in_progress", "")
			ch.then(float64(2+2*i), func() {
				conclusion := "success"
				if name == broken {
					conclusion = "failure"
				}
				run.Complete(conclusion)
			})
		}
		if done != nil {
			ch.then(8, done)
		}
	})
}

// approve has the change approved after some beats, by the maintainer too where that is asked for.
func (ch *change) approve(beats float64) {
	ch.then(beats, func() {
		ch.pr.Review(ch.reviewer, "approve")
		if ch.area.dir == "ledger" && ch.reviewer != ch.c.mira && ch.author != ch.c.mira {
			ch.then(14, func() { ch.pr.Review(ch.c.mira, "approve") })
		}
		if ch.p.FullName() == "acme/website" { // whose policy only says what it would do: somebody merges by hand
			ch.then(12, func() { ch.pr.Merge(ch.c.mira, "squash") })
		}
	})
}
