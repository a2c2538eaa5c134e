package githubtest_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

func TestRolesThroughTeams(t *testing.T) {
	w := newWorld(t)
	crew := w.Team("octo/crew")
	w.Team("octo/inner").Under(crew).Add(w.mallory)
	w.repo.GrantTeam(crew, githubtest.CanMaintain)
	o := w.do(w.carol.Token(), "GET", "/repos/octo/app/collaborators/mallory/permission", nil).json(t)
	eq(t, "permission", fmt.Sprint(o["permission"], " ", o["role_name"]), "write maintain")
	crewMembers := w.do(w.mallory.Token(), "GET", "/orgs/octo/teams/crew/members", nil)
	if crewMembers.status != 200 || !strings.Contains(string(crewMembers.body), `"login":"mallory"`) {
		t.Errorf("members = %d %s, want those of the child team too", crewMembers.status, crewMembers.body)
	}
	for who, token := range map[string]string{"a stranger": w.User("stranger").Token(), "an App without the permission": w.install.Token()} {
		if a := w.do(token, "GET", "/orgs/octo/teams/crew/members", nil); a.status != 404 && a.status != 403 {
			t.Errorf("%s was told who is in the team: %d", who, a.status)
		}
	}
}

func TestAReviewAnswersRequests(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "a", "a\n")
	crew := w.Team("octo/crew").Add(w.bob)
	pr.RequestReview(w.alice, w.bob, w.carol)
	pr.RequestTeam(w.alice, crew)
	w.events()
	pr.Review(w.bob, "comment")
	eq(t, "still asked", strings.Join(pr.Requested(), " "), "carol")
	eq(t, "events", strings.Join(w.events(), " "), "pull_request_review.submitted")
}

// The queue builds each entry onto the one before it, merges what has passed from the front, and builds anew behind what has failed.
func TestTheMergeQueue(t *testing.T) {
	w := newWorld(t)
	w.repo.Rules("main", githubtest.Ruleset{Checks: []string{"build"}, MergeQueue: true})
	var prs []*githubtest.PR
	for _, name := range []string{"one", "two", "three"} {
		pr := w.open(name, name, name+"\n")
		w.repo.Check(pr.Head(), w.ci, "build", "completed", "success")
		prs = append(prs, pr)
	}
	one, two, three := prs[0], prs[1], prs[2]
	base := w.repo.Tip("main")
	w.events()
	for _, pr := range prs {
		pr.Enqueue(w.bob)
	}
	eq(t, "queue", fmt.Sprint(w.repo.Queue("main")), "[1 2 3]")
	eq(t, "events", strings.Join(slices.DeleteFunc(w.events(), func(e string) bool { return !strings.Contains(e, "queue") && !strings.Contains(e, "group") }), " "),
		strings.TrimSpace(strings.Repeat("pull_request.enqueued merge_group.checks_requested ", 3)))
	git := func(args ...string) string {
		out, err := exec.Command("git", append([]string{"-C", w.repo.Dir()}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	eq(t, "parents of the second", git("log", "-1", "--format=%P", two.QueueHead()), one.QueueHead()+" "+two.Head())
	eq(t, "files of the third", git("ls-tree", "--name-only", three.QueueHead(), "one", "two", "three"), "one\nthree\ntwo")
	eq(t, "branch", git("for-each-ref", "--format=%(refname:short)", "refs/heads/gh-readonly-queue/main/pr-1-"+base), "gh-readonly-queue/main/pr-1-"+base)
	if a := w.do(w.carol.Token(), "PUT", "/repos/octo/app/pulls/1/merge", nil); a.status != 405 || !strings.Contains(string(a.body), "merge queue") {
		t.Errorf("a merge past the queue = %d %s", a.status, a.body)
	}

	// The second passes first, and waits. When the first fails, it is built without it, and tested again.
	w.repo.Check(two.QueueHead(), w.ci, "build", "completed", "success")
	eq(t, "merged too early", two.State(), "open")
	before := two.QueueHead()
	w.repo.Check(one.QueueHead(), w.ci, "build", "completed", "failure")
	eq(t, "queue", fmt.Sprint(w.repo.Queue("main")), "[2 3]")
	if two.QueueHead() == before || two.QueueHead() == "" {
		t.Error("the second was not built anew")
	}
	head := two.QueueHead()
	w.events()
	w.repo.Check(head, w.ci, "build", "completed", "success")
	eq(t, "second", two.State()+" "+two.MergeSHA(), "merged "+head)
	eq(t, "main", w.repo.Tip("main"), head)
	eq(t, "third", three.State(), "open")
	eq(t, "parents of the third", strings.Fields(git("log", "-1", "--format=%P", three.QueueHead()))[0], head)
	if got := w.events(); !slices.Contains(got, "merge_group.destroyed") || !slices.Contains(got, "pull_request.closed") {
		t.Errorf("events = %v", got)
	}

	// A push to the head takes it out; one to the base builds what is left anew.
	w.repo.Push("three", map[string]string{"more": "more\n"}, "more", w.alice)
	eq(t, "queue", fmt.Sprint(w.repo.Queue("main")), "[]")
	w.repo.Check(three.Head(), w.ci, "build", "completed", "success")
	three.Enqueue(w.bob)
	w.repo.Push("main", map[string]string{"base": "base\n"}, "base", w.carol)
	eq(t, "onto the new base", strings.Fields(git("log", "-1", "--format=%P", three.QueueHead()))[0], w.repo.Tip("main"))
}

func TestAComparisonIsWhatGitSays(t *testing.T) {
	w := newWorld(t)
	pr := w.open("topic", "a", "a\n")
	w.repo.Push("main", map[string]string{"b": "b\n"}, "b", w.bob)
	a := w.do(w.carol.Token(), "GET", "/repos/octo/app/compare/main...topic", nil, "Accept", "application/vnd.github.diff")
	want, err := exec.Command("git", "-C", w.repo.Dir(), "diff", "main...topic").Output()
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "diff", string(a.body), string(want))
	w.DiffLimit(1)
	if a := w.do(w.carol.Token(), "GET", "/repos/octo/app/compare/main..."+pr.Head(), nil, "Accept", "application/vnd.github.diff"); a.status != 406 || !strings.Contains(string(a.body), "too_large") {
		t.Errorf("too large = %d %s", a.status, a.body)
	}
}
