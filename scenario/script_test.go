package scenario

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// A story is a txtar archive: its comment is the script, its files are policies.
//
// The script has one command a line; # begins a comment, and "…" holds words together. What follows `writes`, indented,
// are the writes that the service must have made to GitHub since the last `writes`, in this order.
//
//	token                              the service acts with a personal token instead of as an App
//	policy FILE | policy none          commits a file of the archive as main's .github/pr-manager.yml, or takes it away
//	defaults FILE | defaults none      the same in the owner's .github repository, of which GitHub tells nobody
//	branch NAME PATH[:LINES]…          makes a branch of main with files, each of so many lines
//	stack NAME ON PATH[:LINES]…        makes a branch of another one
//	many NAME COUNT                    a commit of so many files, which makes the branch when it is new
//	unbranch NAME                      deletes a branch
//	file PATH FILE|none [on BRANCH]    commits a file of the archive, or takes it away; on main unless told otherwise
//	codeowners FILE|none [on BRANCH]   the same for .github/CODEOWNERS
//	open N BRANCH "TITLE" [by USER] [draft] [fork] [into BRANCH] [body "TEXT"]
//	push N PATH[:LINES]… [by USER]     commits to the pull request's branch
//	commit N PATH[:LINES]… [author USER] [committer USER] [name "NAME <MAIL>"] [with USER] [message "TEXT"] [verified]
//	                                   one by hand: whose names it carries, a co-author, a signature that GitHub knows
//	bump NAME PATH "TEXT" by BOT       a branch of main with one commit of a bot's, signed by GitHub
//	move N FROM TO…                    renames files
//	update N                           merges the base into it, cleanly
//	evil N PATH[:LINES]…               the same, with more in the merge than either side had
//	mergein N BRANCH                   merges another branch into it
//	rebase N                           replays its commits on the base
//	mark NAME N                        remembers the head
//	replace N PATH[:LINES]…            force-pushes one commit on top of main
//	main PATH[:LINES]…                 commits to main, by carol
//	label N NAME by USER, unlabel N NAME by USER
//	comment N "TEXT" by USER [as NAME] "\n" is a new line, and @FILE a file of the archive; the name is for what follows
//	line N PATH "TEXT" by USER [as NAME], reply NAME "TEXT" by USER [as NAME]    a thread on the first line of a file
//	edit NAME "TEXT" by USER, delete NAME by USER, react NAME CONTENT by USER, resolve NAME, unresolve NAME
//	review N approve|request_changes|comment ["TEXT"] by USER [on MARK] [as NAME], dismiss NAME by USER
//	request N WHO… by USER, unrequest N WHO… by USER    WHO is a login, or a team as octo/backend
//	owner N WHO…                       GitHub asks by itself, because of CODEOWNERS
//	assign N USER… by USER, unassign N USER… by USER, milestone N "TITLE"|none, base N BRANCH by USER
//	team NAME USER… [under NAME] [can ROLE], leave NAME USER, grant USER ROLE, busy USER [no]
//	protect BRANCH [checks=NAME[@APP],…] [reviews=N] [pushers=USER,…] [deployments=NAME,…] [strict] [dismiss-stale] [code-owners]
//	    [last-push] [conversation] [signatures] [linear] [locked] [admins] | none
//	rules BRANCH …                     likewise, as a ruleset; and [methods=NAME,…] [others=NAME,…] [queue] [queue-method=squash]
//	queue BRANCH …                     the same, with GitHub's merge queue
//	enqueue N, dequeue N, queuecheck N NAME STATE    in the queue, and a check on the commit that it tests
//	archive [no], rename NAME          the repository
//	check N NAME STATE [app SLUG]      queued, in_progress, or a conclusion; ends a run that is in progress
//	rerun N NAME                       starts a newer run of a check
//	status N CONTEXT STATE
//	ready N, draft N, close N, reopen N, merge N    by carol, on GitHub
//	retitle N "TITLE"
//	methods NAME…                      the merge methods that the repository allows
//	mergeable after N reads            GitHub says so late; "never" for a long time
//	fail OP [after] [times N] [STATUS "MESSAGE"]    GitHub answers so, after having done it or without
//	mend                               GitHub behaves again
//	before OP COMMAND…                 somebody does this just before GitHub gets the request
//	heard COMMAND…                     the deliveries about it are not among those that get lost: nothing looks over closed pull requests
//	settle                             until nothing happens any more
//	run DURATION                       for a while
//	look N                             an event that changes nothing: the service looks again
//	expect labels N NAME…, expect state N open|closed|merged, expect branch NAME there|gone
//	expect report N none|waiting|good|bad ["WORDS"], expect verdict N "WORDS", expect reads N (since the last look or settle)
//	expect approvals N [queued] none|waiting|good|bad ["WORDS"]    the report about approvals, on the head or in the queue
//	expect reason N [not] CODE…        anywhere in the verdict
//	expect comments N ["WORDS"…]       the service has written just these, each with its words
//	expect reactions NAME CONTENT…     that the service has left; expect reviews N STATE… of the service
//	expect reviewers N WHO…, expect requested N COUNT, expect assignees N USER…, expect title N "TITLE", expect draft N yes|no
//	expect base N BRANCH, expect queued N yes|no, expect message N [not] "WORDS"… of the commit that merged it
type story struct {
	*world
	heads  map[*githubtest.PR]source
	faults []*githubtest.Injected
	files  map[string]string
	late   map[string][]string // commands to do before an operation

	defaults *githubtest.Repo // the owner's .github repository, once there is one
	said     map[string]said  // what people wrote, by the names of the script
	threads  map[string]*githubtest.Thread
	marks    map[string]string // commits
}

// A source is where a pull request's head branch lives.
type source struct {
	repo   *githubtest.Repo
	branch string
}

// verbs are the commands of a script that other files of this package add, each in its init: what they do with the words after
// the command, and with whom "by" names ("" nobody). expectations are likewise what can be expected.
var (
	verbs        = map[string]func(s *story, words []string, by string) error{}
	expectations = map[string]func(s *story, words []string) error{}
)

// tell runs the script.
func (s *story) tell(a *txtar.Archive) {
	s.t.Helper()
	s.late, s.heads = map[string][]string{}, map[*githubtest.PR]source{}
	for _, f := range a.Files {
		s.files[f.Name] = string(f.Data)
	}
	lines := bufio.NewScanner(strings.NewReader(string(a.Comment)))
	n := 0
	var writes []string // nil: not collecting
	flush := func() {
		if writes != nil {
			s.compareWrites(n, writes)
		}
		writes = nil
	}
	for lines.Scan() {
		n++
		line := lines.Text()
		if writes != nil && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			writes = append(writes, strings.TrimSpace(line))
			continue
		}
		flush()
		words, err := split(line)
		switch {
		case err != nil:
			s.t.Fatalf("line %d: %v", n, err)
		case len(words) == 0:
			continue
		case words[0] == "writes":
			writes = []string{}
			continue
		}
		if err := s.do(words); err != nil {
			s.t.Fatalf("line %d: %s: %v\n%s", n, line, err, s.log.tail(60))
		}
	}
	flush()
}

// split takes a line apart into words; "…" holds words together.
func split(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t")
		switch {
		case line == "" || line[0] == '#':
			return words, nil
		case line[0] == '"':
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				return nil, fmt.Errorf("a quote is not closed")
			}
			words, line = append(words, line[1:end+1]), line[end+2:]
		default:
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, line[:end]), line[end:]
		}
	}
}

// after takes "key value" out of words.
func after(words []string, key, otherwise string) (string, []string) {
	for i := 0; i+1 < len(words); i++ {
		if words[i] == key {
			return words[i+1], slices.Concat(words[:i], words[i+2:])
		}
	}
	return otherwise, words
}

func has(words []string, flag string) (bool, []string) {
	i := slices.Index(words, flag)
	if i < 0 {
		return false, words
	}
	return true, slices.Concat(words[:i], words[i+1:])
}

// content makes the files that PATH:LINES stands for. Each call makes other content.
func (s *story) content(specs []string) map[string]string {
	files := map[string]string{}
	for _, spec := range specs {
		path, count, ok := strings.Cut(spec, ":")
		n := 1
		if ok {
			n, _ = strconv.Atoi(count)
		}
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "line %d of %s at %s\n", i, path, time.Now().Format(time.RFC3339Nano))
		}
		files[path] = text.String()
	}
	return files
}

func (s *story) pull(name string) (*githubtest.PR, error) {
	pr := s.pulls[name]
	if pr == nil {
		return nil, fmt.Errorf("there is no pull request %s in this story", name)
	}
	return pr, nil
}

// do carries one command out.
func (s *story) do(words []string) error {
	verb, words := words[0], words[1:]
	by, words := after(words, "by", "")
	user := func(otherwise string) *githubtest.User { return s.user(by, otherwise) }
	carol := s.hub.User("carol")
	if verb == "token" {
		s.token = true
		return nil
	}
	if s.alive == nil {
		s.start()
	}
	switch verb {
	case "policy", "defaults":
		text, ok := s.files[words[0]]
		if words[0] == "none" {
			text, ok = githubtest.Deleted, true
		}
		if !ok {
			return fmt.Errorf("the archive has no file %s", words[0])
		}
		repo := s.repo
		if verb == "defaults" {
			if s.defaults == nil {
				s.defaults = s.hub.Repo("octo/.github", githubtest.RepoOptions{})
				s.defaults.Grant(carol, githubtest.CanMaintain)
			}
			repo = s.defaults
		}
		repo.Push("main", map[string]string{".github/pr-manager.yml": text}, "Change the policy", carol)
		return nil
	case "branch":
		s.repo.Push(words[0], s.content(words[1:]), "Work on "+words[0], user("alice"))
		return nil
	case "open":
		draft, words := has(words, "draft")
		fork, words := has(words, "fork")
		base, words := after(words, "into", "main")
		body, words := after(words, "body", "")
		body, err := s.text(body)
		if err != nil {
			return err
		}
		head, author, from := words[1], user("alice"), source{s.repo, words[1]}
		if fork {
			author = s.hub.User("mallory")
			if s.fork == nil {
				s.fork = s.repo.Fork(author)
			}
			s.fork.Push(words[1], s.content([]string{"src/contributed.go"}), "Contribute", author)
			head, from.repo = author.Login+":"+words[1], s.fork
		}
		open := s.repo.Open
		if draft {
			open = s.repo.OpenDraft
		}
		pr := open(author, head, base, words[2], body)
		s.pulls[words[0]], s.heads[pr] = pr, from
		return nil
	case "main":
		s.repo.Push("main", s.content(words), "Go on", carol)
		return nil
	case "settle":
		s.settle()
		return nil
	case "run":
		d, err := time.ParseDuration(words[0])
		if err == nil {
			s.run(d)
		}
		return err
	case "methods":
		s.repo.Methods(words...)
		return nil
	case "mergeable":
		n := 1000
		if words[1] != "never" {
			n, _ = strconv.Atoi(words[1])
		}
		s.hub.MergeableAfter(n)
		return nil
	case "fail":
		return s.fail(words)
	case "heard":
		s.hub.Deliveries(githubtest.Deliveries{})
		err := s.do(slices.Concat(words, strings.Fields(suffix(by))))
		s.hub.Deliveries(s.way.delivery)
		return err
	case "before":
		s.late[words[0]] = append(s.late[words[0]], strings.Join(words[1:], " ")+suffix(by))
		s.hub.OnRequest(func(op string, _ *http.Request) { s.before(op) })
		return nil
	case "mend":
		for _, f := range s.faults {
			f.Heal()
		}
		return nil
	case "expect":
		return s.expect(words)
	}

	if v := verbs[verb]; v != nil {
		return v(s, words, by)
	}
	pr, err := s.pull(words[0])
	if err != nil {
		return err
	}
	switch verb {
	case "push":
		from := s.heads[pr]
		from.repo.Push(from.branch, s.content(words[1:]), "Go on", user("alice"))
	case "replace":
		s.repo.ForcePush(s.heads[pr].branch, "main", s.content(words[1:]), "Start anew", user("alice"))
	case "label":
		pr.Label(user("carol"), words[1])
	case "unlabel":
		pr.Unlabel(user("carol"), words[1])
	case "check":
		slug, words := after(words, "app", "ci")
		s.check(pr, slug, words[1], words[2], false)
	case "rerun":
		s.check(pr, "ci", words[1], "in_progress", true)
	case "status":
		s.repo.Status(pr.Head(), words[1], words[2], user("bob"))
	case "ready":
		pr.MarkReady(carol)
	case "draft":
		pr.ConvertToDraft(carol)
	case "close":
		pr.Close(carol)
	case "reopen":
		pr.Reopen(carol)
	case "merge":
		pr.Merge(carol, "merge")
	case "retitle":
		pr.Edit(user("alice"), words[1], "")
	case "look":
		s.mu.Lock()
		s.reads = 0
		s.mu.Unlock()
		for _, d := range slices.Backward(s.hook.Deliveries()) {
			if d.Event == "pull_request" {
				s.hook.Redeliver(d.ID)
				break
			}
		}
		s.settle()
	default:
		return fmt.Errorf("there is no command %s", verb)
	}
	return nil
}

func suffix(by string) string {
	if by == "" {
		return ""
	}
	return " by " + by
}

func (s *story) check(pr *githubtest.PR, slug, name, state string, anew bool) {
	app := s.ci
	if slug != "ci" {
		app = s.hub.App(slug, githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
		app.Install(s.hub.Org("octo"), s.repo)
	}
	key := pr.Head() + slug + name
	run := s.runs[key]
	switch open := state == "queued" || state == "in_progress"; {
	case open && (run == nil || anew):
		s.runs[key] = s.repo.Check(pr.Head(), app, name, state, "")
	case run != nil && !open:
		run.Complete(state)
		delete(s.runs, key)
	case !open:
		s.repo.Check(pr.Head(), app, name, "completed", state)
	}
}

// fail makes GitHub misbehave.
func (s *story) fail(words []string) error {
	f := githubtest.Fault{Op: words[0]}
	f.After, words = has(words[1:], "after")
	times, words := after(words, "times", "1")
	f.Times, _ = strconv.Atoi(times)
	if len(words) > 0 {
		status, err := strconv.Atoi(words[0])
		if err != nil {
			return err
		}
		f.Status = status
	}
	if len(words) > 1 {
		f.Message = words[1]
	}
	s.faults = append(s.faults, s.hub.Fail(f))
	return nil
}

// before does what a story wants done just before an operation, once.
func (s *story) before(op string) {
	s.mu.Lock()
	commands := s.late[op]
	delete(s.late, op)
	s.mu.Unlock()
	for _, c := range commands {
		words, err := split(c)
		if err == nil {
			err = s.do(words)
		}
		if err != nil {
			s.t.Errorf("before %s: %s: %v", op, c, err)
		}
	}
}

// expect compares the world with what the story says.
func (s *story) expect(words []string) error {
	what, words := words[0], words[1:]
	if e := expectations[what]; e != nil {
		return e(s, words)
	}
	switch what {
	case "branch":
		if there := s.repo.Tip(words[0]) != ""; there != (words[1] == "there") {
			return fmt.Errorf("branch %s is there: %v", words[0], there)
		}
		return nil
	case "reads":
		if want, _ := strconv.Atoi(words[0]); s.way.exact() && s.reads != want {
			return fmt.Errorf("GitHub was read %d times", s.reads)
		}
		return nil
	}
	pr, err := s.pull(words[0])
	if err != nil {
		return err
	}
	switch what {
	case "labels":
		got, want := pr.Labels(), slices.Clone(words[1:])
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			return fmt.Errorf("the labels are %v", got)
		}
	case "state":
		if got := pr.State(); got != words[1] {
			return fmt.Errorf("it is %s", got)
		}
	case "report":
		r, err := s.reportOf(pr.Head())
		if err != nil {
			return err
		}
		return r.is(words[1:])
	case "verdict":
		var v struct {
			Sentence string `json:"sentence"`
		}
		if err := s.ask(fmt.Sprintf("/api/pulls/%s/%d", s.repo.FullName(), pr.Number()), &v); err != nil {
			return err
		}
		if !strings.Contains(v.Sentence, words[1]) {
			return fmt.Errorf("the verdict is %q", v.Sentence)
		}
	default:
		return fmt.Errorf("can't expect %s", what)
	}
	return nil
}

// compareWrites compares what the service wrote to GitHub since the last time.
func (s *story) compareWrites(line int, want []string) {
	s.t.Helper()
	journal := s.hub.Journal()
	var got []string
	for _, w := range journal[s.marked:] {
		if w.Applied {
			got = append(got, w.What)
		} else {
			got = append(got, fmt.Sprintf("%s: %d", w.What, w.Status))
		}
	}
	s.marked = len(journal)
	if s.way.exact() && !slices.Equal(got, want) {
		s.t.Errorf("line %d: the service wrote\n  %s\nwant\n  %s\n%s", line, strings.Join(got, "\n  "), strings.Join(want, "\n  "), s.log.tail(60))
	}
}
