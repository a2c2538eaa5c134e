package github_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// learn looks needs up, of a snapshot that is taken for it.
func (h *hub) learn(needs ...pull.Need) pull.Lookups {
	h.t.Helper()
	return h.know(h.look(), needs...).Known
}

func (h *hub) know(s pull.Snapshot, needs ...pull.Need) pull.Snapshot {
	h.t.Helper()
	s, err := h.client.Learn(h.t.Context(), h.scope, s, needs)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, n := range needs {
		if !s.Answers(n) {
			h.t.Errorf("%v has no answer", n)
		}
	}
	return s
}

// spent are the requests that f makes, as "op n".
func (h *hub) spent(f func()) []string {
	before := maps.Clone(h.Usage().Requests)
	f()
	var out []string
	for op, n := range h.Usage().Requests {
		if n -= before[op]; n > 0 {
			out = append(out, fmt.Sprintf("%s %d", op, n))
		}
	}
	slices.Sort(out)
	return out
}

func person(login string) pull.Need { return pull.Need{Kind: pull.NeedPerson, Name: login} }
func load(login string) pull.Need   { return pull.Need{Kind: pull.NeedLoad, Name: login} }
func team(name string) pull.Need    { return pull.Need{Kind: pull.NeedTeam, Name: name} }

func TestPeople(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		for role, login := range map[githubtest.Role]string{
			githubtest.CanTriage: "tri", githubtest.CanMaintain: "main", githubtest.CanAdmin: "admin", githubtest.CanWrite: "writer",
		} {
			h.repo.Grant(h.User(login), role)
		}
		h.repo.GrantTeam(h.Team("octo/crew").Add(h.User("member")), githubtest.CanMaintain)
		stranger := h.User("Stranger")
		got := h.learn(person("tri"), person("main"), person("ADMIN"), person("writer"), person("member"), person("stranger"), person("nobody"), person(".."))
		for login, want := range map[string]pull.PermissionLevel{
			"tri": pull.PermissionTriage, "main": pull.PermissionMaintain, "admin": pull.PermissionAdmin, "writer": pull.PermissionWrite,
			"member": pull.PermissionMaintain, "stranger": pull.PermissionRead, "nobody": "", "..": "",
		} {
			p := got.People[login]
			if p.Permission != want || (want == "") != (p.Missing != "") {
				t.Errorf("%s: %+v, want %q", login, p, want)
			}
		}
		if a := got.People["stranger"].Actor; a.ID != stranger.ID || a.Login != "Stranger" || a.Type != pull.User {
			t.Errorf("the account is %+v, want the number and name of the answer", a)
		}
		if m := got.People["nobody"].Missing; m != "there is no such account" {
			t.Errorf("nobody: %q", m)
		}
		// A right that was taken away is missed for a minute, and not at all by whoever asks anew.
		h.repo.Grant(h.User("writer"), githubtest.CanNothing)
		if p := h.learn(person("writer")).People["writer"]; p.Permission != pull.PermissionWrite {
			t.Errorf("asked again: %+v, want what is known", p)
		}
		if p := h.learn(pull.Need{Kind: pull.NeedPerson, Name: "writer", Fresh: true}).People["writer"]; p.Permission != pull.PermissionRead {
			t.Errorf("asked anew: %+v, want read", p)
		}
		h.repo.Grant(h.User("tri"), githubtest.CanWrite)
		time.Sleep(time.Minute)
		if p := h.learn(person("tri")).People["tri"]; p.Permission != pull.PermissionWrite {
			t.Errorf("after a minute: %+v, want write", p)
		}
	})
}

func TestLoads(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		var needs []pull.Need
		for i := range 12 {
			u := h.User(fmt.Sprintf("u%d", i))
			h.repo.Grant(u, githubtest.CanWrite)
			needs = append(needs, load(u.Login))
			for n := range i % 3 {
				branch := fmt.Sprintf("b%d-%d", i, n)
				h.repo.Push(branch, map[string]string{branch: "x"}, "x", h.dev)
				h.repo.Open(h.dev, branch, "main", branch, "").RequestReview(h.dev, u)
			}
		}
		h.User("u2").Busy(true)
		closed := h.repo.Pull(2)
		closed.Close(h.dev) // u1's only one
		s := h.look()
		var got pull.Lookups
		spent := h.spent(func() { got = h.know(s, append(needs, load("nobody"), load("dependabot[bot]"))...).Known })
		if want := []string{"graphql.Loads 2"}; !slices.Equal(spent, want) {
			t.Errorf("asked %v, want %v: ten people a request", spent, want)
		}
		for login, want := range map[string]pull.Person{"u0": {}, "u1": {}, "u2": {Requests: 2, Away: true}, "u4": {Requests: 1}, "u11": {Requests: 2}} {
			p := got.People[login]
			if !p.Loaded || p.Requests != want.Requests || p.Away != want.Away || p.Actor.ID != h.User(login).ID {
				t.Errorf("%s: %+v, want %d requests, away %v", login, p, want.Requests, want.Away)
			}
		}
		for _, login := range []string{"nobody", "dependabot[bot]"} {
			if p := got.People[login]; p.Missing == "" || p.Loaded {
				t.Errorf("%s: %+v, want a reason why it is not known", login, p)
			}
		}
		// Whoever was asked just now has one more to do at once, whatever GitHub's search has found yet.
		h.must(s, pull.Action{Kind: pull.AskReview, Target: "u0"})
		if p := h.learn(load("u0")).People["u0"]; p.Requests != 1 {
			t.Errorf("asked for a review: %+v, want one request", p)
		}
		// Both lookups of one person go together.
		p := h.learn(person("u4"), load("u4")).People["u4"]
		if p.Permission != pull.PermissionWrite || !p.Loaded || p.Requests != 1 {
			t.Errorf("u4: %+v", p)
		}
	})
}

func TestTeams(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		if h.as == "token" {
			h.User("keeper").Join(h.Org("octo"))
		}
		crew := h.Team("octo/crew").Add(h.User("ann"))
		h.Team("octo/inner").Under(crew).Add(h.User("ben"))
		var many []*githubtest.User
		for i := range 101 {
			many = append(many, h.User(fmt.Sprintf("m%03d", i)))
		}
		h.Team("octo/many").Add(many...)
		h.Team("other/crew").Add(h.User("ann"))
		got := h.learn(team("Octo/Crew"), team("octo/many"), team("octo/nope"), team("other/crew"), team("octo"))
		crewWant := pull.Team{Members: []pull.Actor{
			{ID: h.User("ann").ID, Login: "ann", Type: pull.User}, {ID: h.User("ben").ID, Login: "ben", Type: pull.User},
		}}
		if diff := cmp.Diff(crewWant, got.Teams["octo/crew"]); diff != "" {
			t.Errorf("with its child team (-want +got):\n%s", diff)
		}
		if n := len(got.Teams["octo/many"].Members); n != 101 {
			t.Errorf("%d members, want 101: a list of more than a page", n)
		}
		for _, name := range []string{"octo/nope", "other/crew", "octo"} {
			if tm := got.Teams[name]; tm.Missing == "" || tm.Members != nil {
				t.Errorf("%s: %+v, want a reason", name, tm)
			}
		}
		crew.Remove(h.User("ann"))
		if n := len(h.learn(team("octo/crew")).Teams["octo/crew"].Members); n != 2 {
			t.Errorf("%d members within ten minutes, want the two that are known", n)
		}
		time.Sleep(10 * time.Minute)
		if n := len(h.learn(team("octo/crew")).Teams["octo/crew"].Members); n != 1 {
			t.Errorf("%d members after ten minutes, want 1", n)
		}
	})
}

// What may not be seen is missing, in words that say what to do.
func TestTeamsThatMayNotBeSeen(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		h.Team("octo/crew").Add(h.User("ann"))
		want := `the App may not see who is in it: give it the permission "Members: read" in octo`
		if h.as == "app" {
			h.app.Change(githubtest.AppOptions{Permissions: map[string]string{"contents": "write", "pull_requests": "write"}})
		} else {
			h.Scopes(h.secret(), "public_repo")
			want = "the token may not see who is in it: it needs the scope read:org"
		}
		if got := h.learn(team("octo/crew")).Teams["octo/crew"].Missing; got != want {
			t.Errorf("Missing = %q, want %q", got, want)
		}
	})
}

func TestFilesOfTheBase(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		large := strings.Repeat("/some/path/of/a/repository @octo/crew # é\n", 20_000)
		h.repo.Push("main", map[string]string{
			".github/CODEOWNERS": "* @mona\n", "large": large, "binary": "a\x00b", "latin": "caf\xe9", "vast": strings.Repeat(large, 4),
		}, "files", h.dev)
		h.repo.Push("topic/one", map[string]string{".github/CODEOWNERS": "* @mallory\n"}, "mine", h.dev)
		file := func(path string) pull.Need { return pull.Need{Kind: pull.NeedFile, Name: path} }
		got := h.learn(file(".github/CODEOWNERS"), file("nope"), file("large"), file("vast"), file("binary"), file("latin"), file(".github"))
		if d := got.Files[".github/CODEOWNERS"]; d.Text != "* @mona\n" || !d.Found || d.Path != "octo/app/.github/CODEOWNERS@main" {
			t.Errorf("CODEOWNERS: %+v, want that of the base branch", d)
		}
		if d := got.Files["nope"]; d.Found || d.Unreadable != "" {
			t.Errorf("nope: %+v, want nothing found", d)
		}
		if d := got.Files["large"]; d.Text != large {
			t.Errorf("a file of %d bytes was not read: %q", len(large), d.Unreadable)
		}
		for path, want := range map[string]string{
			"vast": fmt.Sprintf("it is too large for GitHub to show (%d bytes)", 4*len(large)), "binary": "it is a binary file", ".github": "it is not a file but a tree",
		} {
			if d := got.Files[path]; !d.Found || d.Unreadable != want || d.Text != "" {
				t.Errorf("%s: %q, want %q", path, d.Unreadable, want)
			}
		}
		if spent := h.spent(func() { h.learn(file(".github/CODEOWNERS"), file("large")) }); !slices.Equal(spent, []string{"graphql.PullRequest 1"}) {
			t.Errorf("looked at again: %v, want nothing but the look", spent)
		}
		h.repo.Push("main", map[string]string{".github/CODEOWNERS": "* @hubot\n"}, "others", h.dev)
		if d := h.learn(file(".github/CODEOWNERS")).Files[".github/CODEOWNERS"]; d.Text != "* @hubot\n" {
			t.Errorf("after a push to the base: %q", d.Text)
		}
	})
}

func TestCommitsOfThePullRequest(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		eve, ann := h.User("eve"), h.User("ann")
		bot := h.App("renovate", githubtest.AppOptions{}).Bot
		// A side branch by eve comes in through the second parent of a merge.
		side := h.repo.PushCommit("side", eve, githubtest.Commit{Files: map[string]string{"side": "1"}, From: []string{"main"}})
		h.repo.PushCommit("topic/one", h.dev, githubtest.Commit{From: []string{"topic/one", "side"}, Message: "Merge"})
		spoofed := h.repo.PushCommit("topic/one", h.dev, githubtest.Commit{Author: bot, Files: map[string]string{"b": "1"}, Message: "bump"})
		signed := h.repo.PushCommit("topic/one", h.dev, githubtest.Commit{
			Author: bot, Committer: bot, Verified: true, Files: map[string]string{"b": "2"}, Message: "bump", CoAuthors: []*githubtest.User{ann, bot},
		})
		unknown := h.repo.PushCommit("topic/one", h.dev, githubtest.Commit{
			Name: "Jo", Mail: "jo@example.org", Files: map[string]string{"b": "3"}, Message: "x\n\nco-AUTHORED-by: Al <al@example.org>\n\nThe end.",
		})
		got := h.learn(pull.Need{Kind: pull.NeedCommits}).Commits
		if got.Truncated || len(got.List) != 6 {
			t.Fatalf("%d commits, truncated %v, want 6", len(got.List), got.Truncated)
		}
		at := map[pull.SHA]pull.Commit{}
		for _, c := range got.List {
			at[c.SHA] = c
		}
		actor := func(u *githubtest.User) pull.Actor {
			return pull.Actor{ID: u.ID, Login: u.Login, Type: pull.ActorType(u.Type)}
		}
		if c := at[pull.SHA(side)]; !c.Author.Same(actor(eve)) {
			t.Errorf("the commit behind the second parent: %+v", c)
		}
		if c := at[pull.SHA(spoofed)]; !c.Author.Same(actor(bot)) || !c.Committer.Same(actor(h.dev)) || c.Verified {
			t.Errorf("a commit in somebody's name: %+v", c)
		}
		c := at[pull.SHA(signed)]
		if !c.Verified || c.Author.Type != pull.Bot || c.Author.Login != "renovate[bot]" {
			t.Errorf("a commit by an App: %+v", c)
		}
		if diff := cmp.Diff([]pull.Actor{actor(ann), actor(bot)}, c.CoAuthors); diff != "" {
			t.Errorf("co-authors (-want +got):\n%s", diff)
		}
		if c := at[pull.SHA(unknown)]; c.Author.ID != 0 || !slices.Equal(c.Trailers, []string{"Al <al@example.org>"}) || len(c.CoAuthors) != 0 {
			t.Errorf("a commit by people whom GitHub does not know: %+v", c)
		}
		if n := len(at[pull.SHA(unknown)].Parents); n != 1 {
			t.Errorf("%d parents", n)
		}
		if spent := h.spent(func() { h.learn(pull.Need{Kind: pull.NeedCommits}) }); !slices.Equal(spent, []string{"graphql.PullRequest 1"}) {
			t.Errorf("looked at again: %v, want nothing but the look", spent)
		}
		// A push after the look: what it brought is not known, and nothing of it is remembered.
		s := h.look()
		h.repo.ForcePush("topic/one", "main", map[string]string{"n": "1"}, "new", h.dev)
		if s = h.know(s, pull.Need{Kind: pull.NeedCommits}); s.Known.Commits.Truncated {
			t.Error("what is known of a head is no longer")
		}
		s = h.look()
		h.repo.ForcePush("topic/one", "main", map[string]string{"n": "2"}, "newer", h.dev)
		if s = h.know(s, pull.Need{Kind: pull.NeedCommits}); !s.Known.Commits.Truncated {
			t.Error("the commits of another head were taken for those of this one")
		}
	})
}

func TestMoreCommitsThanGitHubLists(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		for i := range 251 {
			h.repo.PushCommit("topic/one", h.dev, githubtest.Commit{Files: map[string]string{"n": fmt.Sprint(i)}})
		}
		s := h.know(h.look(), pull.Need{Kind: pull.NeedCommits})
		if c := s.Known.Commits; s.CommitCount != 252 || len(c.List) != 250 || !c.Truncated {
			t.Errorf("%d of %d commits, truncated %v", len(c.List), s.CommitCount, c.Truncated)
		}
	})
}

func TestRenames(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		need := pull.Need{Kind: pull.NeedRenames}
		h.look()
		if spent := h.spent(func() { h.learn(need) }); !slices.Equal(spent, []string{"graphql.PullRequest 1"}) {
			t.Errorf("where nothing was renamed: %v, want nothing but the look", spent)
		}
		h.repo.Push("main", map[string]string{"old/name.go": "package name\n\n// A line.\n"}, "old", h.dev)
		h.repo.MergeInto("topic/one", "main", h.dev)
		h.repo.Move("topic/one", map[string]string{"old/name.go": "new/name.go"}, "move", h.dev)
		s := h.know(h.look(), need)
		i := slices.IndexFunc(s.Files, func(f pull.File) bool { return f.Path == "new/name.go" })
		if i < 0 || s.Files[i].Status != "renamed" || s.Files[i].Previous != "old/name.go" || s.FilesTruncated {
			t.Errorf("files = %+v", s.Files)
		}
		if spent := h.spent(func() { h.learn(need) }); !slices.Equal(spent, []string{"graphql.PullRequest 1"}) {
			t.Errorf("looked at again: %v, want nothing but the look", spent)
		}
	})
}

// What a clean merge of the base leaves of a change is the same; anything else is not, and what can't be seen is unknown.
func TestTheSameChange(t *testing.T) {
	const text = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\neleven\ntwelve\n"
	in(t, func(t *testing.T, h *hub) {
		h.repo.Push("main", map[string]string{"f": text, "g": text, "logo": "\x00logo", "run": "x\n"}, "base", h.dev)
		begin := func(name string, files map[string]string) (branch string, first pull.SHA) {
			h.repo.PushCommit(name, h.dev, githubtest.Commit{From: []string{"main"}, Files: files})
			return name, pull.SHA(h.repo.Tip(name))
		}
		same := func(a, b pull.SHA) pull.Sameness {
			s := h.look()
			return h.know(s, pull.Need{Kind: pull.NeedSame, A: a, B: b}).Known.Same[pull.SameKey(a, b)]
		}
		change := strings.Replace(text, "two", "zwei", 1)
		merged, m1 := begin("merged", map[string]string{"f": change, "logo": "\x00better"})
		evil, e1 := begin("evil", map[string]string{"f": change})
		rebased, r1 := begin("rebased", map[string]string{"f": change})
		spaced, s1 := begin("spaced", map[string]string{"f": change})
		swapped, w1 := begin("swapped", map[string]string{"logo": "\x00better"})
		empty, y1 := begin("empty", map[string]string{"new": ""})

		// The base goes on, elsewhere in the same file too.
		h.repo.Push("main", map[string]string{"f": strings.Replace(text, "eleven", "elf", 1), "h": "h\n"}, "go on", h.dev)
		h.repo.MergeInto(merged, "main", h.dev)
		h.repo.PushCommit(evil, h.dev, githubtest.Commit{From: []string{evil, "main"}, Files: map[string]string{"g": "evil\n"}, Message: "Merge main"})
		h.repo.PushCommit(rebased, h.dev, githubtest.Commit{From: []string{"main"}, Files: map[string]string{"f": strings.Replace(change, "eleven", "elf", 1)}})
		h.repo.Push(spaced, map[string]string{"f": strings.Replace(change, "zwei", "zwei ", 1)}, "space", h.dev)
		h.repo.Push(swapped, map[string]string{"logo": "\x00worse"}, "swap", h.dev)
		h.repo.MergeInto(empty, "main", h.dev)
		tip := func(b string) pull.SHA { return pull.SHA(h.repo.Tip(b)) }

		for name, c := range map[string]struct {
			a, b pull.SHA
			want bool
		}{
			"a clean merge of the base, with a binary file": {m1, tip(merged), true},
			"an evil merge":                           {e1, tip(evil), false},
			"a rebase":                                {r1, tip(rebased), true},
			"the same change by different commits":    {e1, r1, true},
			"a space at the end of a line":            {s1, tip(spaced), false},
			"another binary file of the same size":    {w1, tip(swapped), false},
			"an empty file that is new":               {y1, tip(empty), true},
			"two changes that have nothing in common": {m1, y1, false},
			"a commit and itself":                     {m1, m1, true},
		} {
			got := same(c.a, c.b)
			if got.Unknown != "" || got.Same != c.want {
				t.Errorf("%s: %+v, want %v", name, got, c.want)
			}
		}
		if got := same(m1, "feedfacefeedfacefeedfacefeedfacefeedface"); got.Same || got.Unknown != "GitHub no longer has the commit feedfac" {
			t.Errorf("a commit that is gone: %+v", got)
		}
		if spent := h.spent(func() { same(m1, tip(merged)) }); !slices.Equal(spent, []string{"graphql.PullRequest 1"}) {
			t.Errorf("compared again: %v, want nothing but the look", spent)
		}
		h.DiffLimit(3)
		h.repo.Push("main", map[string]string{"i": "i\n"}, "on", h.dev)
		if got := same(m1, tip(merged)); got.Same || !strings.Contains(got.Unknown, "exceeded the maximum number of lines") {
			t.Errorf("too large: %+v", got)
		}
	})
}

func TestAComparisonThatGitHubFailsAt(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		head := pull.SHA(h.pr.Head())
		need := pull.Need{Kind: pull.NeedSame, A: head, B: head}
		h.Fail(githubtest.Fault{Op: "repos.compare-commits-with-basehead", Kind: githubtest.Answer, Status: http.StatusInternalServerError, Times: 9})
		for range 2 {
			if _, err := h.client.Learn(t.Context(), h.scope, h.look(), []pull.Need{need}); class(err) != pull.FaultUnavailable {
				t.Fatalf("Learn = %v, want unavailable: it may be GitHub as a whole", err)
			}
		}
		if got := h.learn(need).Same[pull.SameKey(head, head)]; got.Same || !strings.HasPrefix(got.Unknown, "GitHub fails at the comparison of ") {
			t.Errorf("after three failures: %+v", got)
		}
	})
}

func TestRulesOfTheBase(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		ci := h.App("ci", githubtest.AppOptions{})
		need := pull.Need{Kind: pull.NeedRules}
		if r := *h.learn(need).Rules; !cmp.Equal(r, pull.Rules{}) {
			t.Errorf("where there are none: %+v", r)
		}
		h.repo.Protect("main", &githubtest.Protection{
			Reviews: 2, Conversation: true, Checks: []githubtest.RequiredCheck{{Context: "build", App: ci}, {Context: "lint"}},
		})
		h.repo.Rules("main", githubtest.Ruleset{
			Checks: []string{"lint"}, Required: []githubtest.RequiredCheck{{Context: "e2e", App: ci}}, Strict: true, Approvals: 1, CodeOwners: true,
			LastPush: true, Signatures: true, Linear: true, Methods: []string{"squash", "rebase"}, Deployments: []string{"staging"},
			Others: []string{"commit_message_pattern", "deletion", "some_new_rule"}, MergeQueue: true,
		})
		if r := *h.learn(need).Rules; !cmp.Equal(r, pull.Rules{}) {
			t.Errorf("within a minute: %+v, want what is known", r)
		}
		need.Fresh = true
		if r := *h.learn(need).Rules; !cmp.Equal(r, pull.Rules{}) {
			t.Errorf("what is not a minute old, and asked for fresh: %+v, want what is known", r)
		}
		time.Sleep(time.Minute)
		want := pull.Rules{
			Checks:    []pull.RequiredCheck{{Name: "e2e", AppID: ci.ID}, {Name: "lint"}, {Name: "build", AppID: ci.ID}},
			Approvals: 2, CodeOwners: true, LastPush: true, Conversation: true, UpToDate: true, Signatures: true, Linear: true, MergeQueue: true,
			Methods: []pull.MergeMethod{pull.Squash, pull.Rebase}, Deployments: []string{"staging"}, Others: []string{"commit_message_pattern", "some_new_rule"},
		}
		if diff := cmp.Diff(want, *h.learn(need).Rules); diff != "" {
			t.Errorf("rules (-want +got):\n%s", diff)
		}
		// Who administers the repository is told the rest of its protection.
		if h.as == "token" {
			h.repo.Rules("main", githubtest.Ruleset{})
			h.repo.Protect("main", &githubtest.Protection{Locked: true, LastPush: true, Strict: true, Deployments: []string{"live"}})
			h.repo.Grant(h.User("keeper"), githubtest.CanAdmin)
			time.Sleep(time.Minute)
			want := pull.Rules{Locked: true, LastPush: true, UpToDate: true, Deployments: []string{"live"}}
			if diff := cmp.Diff(want, *h.learn(need).Rules); diff != "" {
				t.Errorf("as an administrator (-want +got):\n%s", diff)
			}
		}
	})
}

func TestDependents(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		need := pull.Need{Kind: pull.NeedDependents}
		if d := h.learn(need).Dependents; len(d.Numbers) != 0 || d.Truncated {
			t.Errorf("Dependents = %+v, want none", d)
		}
		h.repo.Push("two", map[string]string{"two": "2"}, "two", h.dev)
		h.repo.PushCommit("three", h.dev, githubtest.Commit{From: []string{"topic/one"}, Files: map[string]string{"three": "3"}})
		three := h.repo.Open(h.dev, "three", "topic/one", "Three", "")
		h.repo.PushCommit("four", h.dev, githubtest.Commit{From: []string{"topic/one"}, Files: map[string]string{"four": "4"}})
		h.repo.Open(h.dev, "four", "topic/one", "Four", "").Close(h.dev)
		if d := h.learn(need).Dependents; !slices.Equal(d.Numbers, []int{three.Number()}) || d.Truncated {
			t.Errorf("Dependents = %+v, want #%d, which was opened since", d, three.Number())
		}
	})
}

// A pull request whose policy needs all there is costs no more than the look itself when nothing has changed.
func TestStillWater(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		if h.as == "token" {
			h.User("keeper").Join(h.Org("octo"))
		}
		h.Team("octo/crew").Add(h.dev)
		head := pull.SHA(h.pr.Head())
		needs := []pull.Need{
			person("mona"), load("mona"), team("octo/crew"),
			{Kind: pull.NeedFile, Name: "README.md"},
			{Kind: pull.NeedCommits},
			{Kind: pull.NeedRenames},
			{Kind: pull.NeedSame, A: head, B: head},
			{Kind: pull.NeedRules},
		}
		h.learn(needs...)
		if spent := h.spent(func() { h.learn(needs...) }); !slices.Equal(spent, []string{"graphql.PullRequest 1"}) {
			t.Errorf("looked at again: %v, want one request", spent)
		}
	})
}

// What is wrong with GitHub as a whole is an error, and nobody's answer.
func TestLearnWhileGitHubIsAway(t *testing.T) {
	in(t, func(t *testing.T, h *hub) {
		s := h.look()
		for _, n := range []pull.Need{
			person("mona"), load("mona"), team("octo/crew"),
			{Kind: pull.NeedFile, Name: "README.md"},
			{Kind: pull.NeedCommits},
			{Kind: pull.NeedSame, A: s.Head.SHA, B: s.Head.SHA},
			{Kind: pull.NeedRules},
			{Kind: pull.NeedDependents},
		} {
			h.Fail(githubtest.Fault{Kind: githubtest.Answer, Status: http.StatusBadGateway, Times: 1})
			if _, err := h.client.Learn(t.Context(), h.scope, s, []pull.Need{n}); class(err) != pull.FaultUnavailable {
				t.Errorf("%s: %v, want unavailable", n.Kind, err)
			}
			time.Sleep(time.Minute) // what GitHub does not answer is left alone for a while
			s = h.look()
		}
	})
}
