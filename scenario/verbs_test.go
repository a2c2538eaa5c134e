package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/githubtest"
)

// What people do in stories beyond what script_test.go has: the words are explained at the type story.

func init() {
	for name, v := range map[string]func(s *story, words []string, by string) error{
		"comment": (*story).comment, "edit": (*story).edit, "delete": (*story).deleteComment, "line": (*story).line, "reply": (*story).reply,
		"resolve": (*story).resolve, "unresolve": (*story).unresolve, "react": (*story).react,
		"review": (*story).review, "dismiss": (*story).dismiss, "mark": (*story).markHead,
		"request": (*story).request, "unrequest": (*story).unrequest, "owner": (*story).askOwner,
		"assign": (*story).assign, "unassign": (*story).unassign, "milestone": (*story).milestone,
		"team": (*story).team, "leave": (*story).leave, "grant": (*story).grant, "busy": (*story).busy,
		"commit": (*story).commit, "update": (*story).update, "evil": (*story).evil, "rebase": (*story).rebase, "mergein": (*story).mergeIn,
		"move": (*story).move, "many": (*story).many, "file": (*story).file, "codeowners": (*story).codeowners, "stack": (*story).stack,
		"unbranch": (*story).unbranch, "base": (*story).base, "protect": (*story).protect, "rules": (*story).rules, "queue": (*story).queue,
		"enqueue": (*story).enqueue, "dequeue": (*story).dequeue, "queuecheck": (*story).queueCheck, "archive": (*story).archive, "rename": (*story).rename,
	} {
		verbs[name] = v
	}
}

// user is an account by its login; a bot's is that of its App.
func (s *story) user(login, otherwise string) *githubtest.User {
	if login == "" {
		login = otherwise
	}
	if slug, isBot := strings.CutSuffix(login, "[bot]"); isBot {
		return s.hub.App(slug, githubtest.AppOptions{}).Bot
	}
	return s.hub.User(login)
}

// us is the account that the service acts as.
func (s *world) us() *githubtest.User {
	if s.token {
		return s.hub.User("robot")
	}
	return s.self.Bot
}

// text is a word as a script has it: "\n" is a new line, and @file is the archive's file.
func (s *story) text(word string) (string, error) {
	if name, isFile := strings.CutPrefix(word, "@"); isFile {
		if text, ok := s.files[name]; ok {
			return strings.TrimSuffix(text, "\n"), nil
		}
	}
	return strings.ReplaceAll(word, `\n`, "\n"), nil
}

// A said is something that people wrote and that can be changed, by the name that the script gave it.
type said interface {
	Edit(by *githubtest.User, body string)
	React(by *githubtest.User, content string)
	Reactions() []string
}

func (s *story) keep(name string, x said, t *githubtest.Thread) {
	if s.said == nil {
		s.said, s.threads = map[string]said{}, map[string]*githubtest.Thread{}
	}
	s.said[name] = x
	if t != nil {
		s.threads[name] = t
	}
}

func (s *story) comment(words []string, by string) error {
	name, words := after(words, "as", "comment")
	pr, err := s.pull(words[0])
	if err != nil {
		return err
	}
	text, err := s.text(words[1])
	if err == nil {
		s.keep(name, pr.Comment(s.user(by, "alice"), text), nil)
	}
	return err
}

func (s *story) written(name string) (said, error) {
	if x := s.said[name]; x != nil {
		return x, nil
	}
	return nil, fmt.Errorf("nobody has written %s in this story", name)
}

func (s *story) edit(words []string, by string) error {
	x, err := s.written(words[0])
	if err != nil {
		return err
	}
	text, err := s.text(words[1])
	if err == nil {
		x.Edit(s.user(by, "alice"), text)
	}
	return err
}

func (s *story) deleteComment(words []string, by string) error {
	x, err := s.written(words[0])
	if err != nil {
		return err
	}
	c, ok := x.(*githubtest.Comment)
	if !ok {
		return fmt.Errorf("%s is no comment of the conversation", words[0])
	}
	c.Delete(s.user(by, "alice"))
	return nil
}

func (s *story) react(words []string, by string) error {
	x, err := s.written(words[0])
	if err == nil {
		x.React(s.user(by, "alice"), words[1])
	}
	return err
}

func (s *story) line(words []string, by string) error {
	name, words := after(words, "as", "thread")
	pr, err := s.pull(words[0])
	if err != nil {
		return err
	}
	text, err := s.text(words[2])
	if err == nil {
		t := pr.CommentOnLine(s.user(by, "bob"), words[1], 1, text)
		s.keep(name, t.First(), t)
	}
	return err
}

func (s *story) reply(words []string, by string) error {
	name, words := after(words, "as", "reply")
	t := s.threads[words[0]]
	if t == nil {
		return fmt.Errorf("there is no thread %s in this story", words[0])
	}
	text, err := s.text(words[1])
	if err == nil {
		s.keep(name, t.Reply(s.user(by, "alice"), text), nil)
	}
	return err
}

func (s *story) resolve(words []string, by string) error   { return s.resolved(words, by, true) }
func (s *story) unresolve(words []string, by string) error { return s.resolved(words, by, false) }

func (s *story) resolved(words []string, by string, on bool) error {
	t := s.threads[words[0]]
	switch {
	case t == nil:
		return fmt.Errorf("there is no thread %s in this story", words[0])
	case on:
		t.Resolve(s.user(by, "alice"))
	default:
		t.Unresolve(s.user(by, "alice"))
	}
	return nil
}

func (s *story) markHead(words []string, _ string) error {
	pr, err := s.pull(words[1])
	if err != nil {
		return err
	}
	if s.marks == nil {
		s.marks = map[string]string{}
	}
	s.marks[words[0]] = pr.Head()
	return nil
}

func (s *story) review(words []string, by string) error {
	on, words := after(words, "on", "")
	name, words := after(words, "as", "review")
	pr, err := s.pull(words[0])
	if err != nil {
		return err
	}
	body := ""
	if len(words) > 2 {
		if body, err = s.text(words[2]); err != nil {
			return err
		}
	}
	who := s.user(by, "bob")
	var rv *githubtest.Review
	switch sha := s.marks[on]; {
	case on != "" && sha == "":
		return fmt.Errorf("no commit is marked %s", on)
	case on != "" && body != "":
		return fmt.Errorf("a review of a marked commit has no words here")
	case on != "":
		rv = pr.ReviewOf(who, words[1], sha)
	default:
		rv = pr.ReviewWith(who, words[1], body)
	}
	s.keep(name, rv, nil)
	return nil
}

func (s *story) dismiss(words []string, by string) error {
	x, err := s.written(words[0])
	if err != nil {
		return err
	}
	rv, ok := x.(*githubtest.Review)
	if !ok {
		return fmt.Errorf("%s is no review", words[0])
	}
	rv.Dismiss(s.user(by, "carol"))
	return nil
}

// each calls f with each login, or g with each team.
func (s *story) each(who []string, f func(*githubtest.User), g func(*githubtest.Team)) {
	for _, w := range who {
		if strings.Contains(w, "/") {
			g(s.hub.Team(w))
		} else {
			f(s.user(w, ""))
		}
	}
}

func (s *story) request(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		who := s.user(by, "alice")
		s.each(words[1:], func(u *githubtest.User) { pr.RequestReview(who, u) }, func(t *githubtest.Team) { pr.RequestTeam(who, t) })
	}
	return err
}

func (s *story) unrequest(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		who := s.user(by, "alice")
		s.each(words[1:], func(u *githubtest.User) { pr.Unrequest(who, u) }, func(t *githubtest.Team) { pr.UnrequestTeam(who, t) })
	}
	return err
}

func (s *story) askOwner(words []string, _ string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		s.each(words[1:], pr.RequestOwner, pr.RequestOwnerTeam)
	}
	return err
}

func (s *story) assign(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		s.each(words[1:], func(u *githubtest.User) { pr.Assign(s.user(by, "carol"), u) }, nil)
	}
	return err
}

func (s *story) unassign(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		s.each(words[1:], func(u *githubtest.User) { pr.Unassign(s.user(by, "carol"), u) }, nil)
	}
	return err
}

func (s *story) milestone(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		title := words[1]
		if title == "none" {
			title = ""
		}
		pr.Milestone(s.user(by, "carol"), title)
	}
	return err
}

var roles = map[string]githubtest.Role{
	"none": githubtest.CanNothing, "read": githubtest.CanRead, "triage": githubtest.CanTriage, "write": githubtest.CanWrite,
	"maintain": githubtest.CanMaintain, "admin": githubtest.CanAdmin,
}

func role(name string) (githubtest.Role, error) {
	r, ok := roles[name]
	if !ok {
		return 0, fmt.Errorf("there is no role %s", name)
	}
	return r, nil
}

func (s *story) team(words []string, _ string) error {
	can, words := after(words, "can", "write")
	parent, words := after(words, "under", "")
	r, err := role(can)
	if err != nil {
		return err
	}
	name := words[0]
	if !strings.Contains(name, "/") {
		name = "octo/" + name
	}
	t := s.hub.Team(name)
	for _, login := range words[1:] {
		t.Add(s.user(login, ""))
	}
	if parent != "" {
		t.Under(s.hub.Team("octo/" + parent))
	}
	if strings.HasPrefix(name, "octo/") {
		s.repo.GrantTeam(t, r)
	}
	return nil
}

func (s *story) leave(words []string, _ string) error {
	s.hub.Team("octo/" + words[0]).Remove(s.user(words[1], ""))
	return nil
}

func (s *story) grant(words []string, _ string) error {
	r, err := role(words[1])
	if err == nil {
		s.repo.Grant(s.user(words[0], ""), r)
	}
	return err
}

func (s *story) busy(words []string, _ string) error {
	s.user(words[0], "").Busy(len(words) < 2 || words[1] != "no")
	return nil
}

func (s *story) commit(words []string, by string) error {
	c := githubtest.Commit{}
	author, words := after(words, "author", "")
	committer, words := after(words, "committer", "")
	name, words := after(words, "name", "")
	message, words := after(words, "message", "")
	co, words := after(words, "with", "")
	c.Verified, words = has(words, "verified")
	pr, err := s.pull(words[0])
	if err != nil {
		return err
	}
	if c.Message, err = s.text(message); err != nil {
		return err
	}
	if author != "" {
		c.Author = s.user(author, "")
	}
	if committer != "" {
		c.Committer = s.user(committer, "")
	}
	if co != "" {
		c.CoAuthors = []*githubtest.User{s.user(co, "")}
	}
	if who, mail, found := strings.Cut(name, "<"); found {
		c.Name, c.Mail = strings.TrimSpace(who), strings.TrimSuffix(mail, ">")
	}
	c.Files = s.content(words[1:])
	from := s.heads[pr]
	from.repo.PushCommit(from.branch, s.user(by, "alice"), c)
	return nil
}

func (s *story) update(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		s.repo.MergeInto(s.heads[pr].branch, s.baseOf(pr), s.user(by, "alice"))
	}
	return err
}

func (s *story) evil(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		branch, base := s.heads[pr].branch, s.baseOf(pr)
		s.repo.PushCommit(branch, s.user(by, "alice"), githubtest.Commit{
			From: []string{branch, base}, Files: s.content(words[1:]), Message: "Merge branch '" + base + "' into " + branch,
		})
	}
	return err
}

func (s *story) rebase(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		s.repo.Rebase(s.heads[pr].branch, s.baseOf(pr), s.user(by, "alice"))
	}
	return err
}

func (s *story) mergeIn(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		s.repo.MergeInto(s.heads[pr].branch, words[1], s.user(by, "alice"))
	}
	return err
}

// baseOf is the branch that a pull request goes into, as GitHub has it now.
func (s *story) baseOf(pr *githubtest.PR) string {
	o, err := s.restPull(pr)
	if err != nil {
		s.t.Fatal(err)
	}
	return o.Base.Ref
}

func (s *story) move(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err != nil {
		return err
	}
	names := map[string]string{}
	for i := 1; i+1 < len(words); i += 2 {
		names[words[i]] = words[i+1]
	}
	from := s.heads[pr]
	from.repo.Move(from.branch, names, "Move files", s.user(by, "alice"))
	return nil
}

func (s *story) many(words []string, by string) error {
	n, err := strconv.Atoi(words[1])
	if err == nil {
		s.repo.Push(words[0], githubtest.Many("many", n), "Work a lot", s.user(by, "alice"))
	}
	return err
}

func (s *story) file(words []string, by string) error {
	on, words := after(words, "on", "main")
	text := githubtest.Deleted
	if words[1] != "none" {
		var ok bool
		if text, ok = s.files[words[1]]; !ok {
			return fmt.Errorf("the archive has no file %s", words[1])
		}
	}
	s.repo.Push(on, map[string]string{words[0]: text}, "Change "+words[0], s.user(by, "carol"))
	return nil
}

func (s *story) codeowners(words []string, by string) error {
	return s.file(slices.Concat([]string{".github/CODEOWNERS"}, words), by)
}

func (s *story) stack(words []string, by string) error {
	who := s.user(by, "alice")
	s.repo.Branch(words[0], words[1], who)
	s.repo.Push(words[0], s.content(words[2:]), "Work on "+words[0], who)
	return nil
}

func (s *story) unbranch(words []string, by string) error {
	s.repo.DeleteBranch(words[0], s.user(by, "alice"))
	return nil
}

func (s *story) base(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		pr.Retarget(s.user(by, "alice"), words[1])
	}
	return err
}

// checks reads "build,lint@ci": names of checks, and the Apps that have to report them.
func (s *story) checks(list string) []githubtest.RequiredCheck {
	var out []githubtest.RequiredCheck
	for _, name := range strings.Split(list, ",") {
		name, slug, pinned := strings.Cut(name, "@")
		c := githubtest.RequiredCheck{Context: name}
		if pinned {
			c.App = s.hub.App(slug, githubtest.AppOptions{Permissions: map[string]string{"checks": "write"}})
		}
		out = append(out, c)
	}
	return out
}

func (s *story) protect(words []string, _ string) error {
	if slices.Contains(words, "none") {
		s.repo.Protect(words[0], nil)
		return nil
	}
	p := &githubtest.Protection{}
	flags := map[string]*bool{
		"strict": &p.Strict, "dismiss-stale": &p.DismissStale, "code-owners": &p.CodeOwners, "last-push": &p.LastPush, "conversation": &p.Conversation,
		"signatures": &p.Signatures, "linear": &p.Linear, "locked": &p.Locked, "admins": &p.EnforceAdmins,
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case flags[key] != nil:
			*flags[key] = true
		case key == "checks":
			p.Checks = s.checks(value)
		case key == "reviews":
			p.Reviews, _ = strconv.Atoi(value)
		case key == "pushers":
			p.Pushers = []*githubtest.User{}
			s.each(strings.Split(value, ","), func(u *githubtest.User) { p.Pushers = append(p.Pushers, u) }, nil)
		case key == "deployments":
			p.Deployments = strings.Split(value, ",")
		default:
			return fmt.Errorf("a protection has no %s", key)
		}
	}
	s.repo.Protect(words[0], p)
	return nil
}

func (s *story) rules(words []string, _ string) error {
	r := githubtest.Ruleset{}
	flags := map[string]*bool{
		"strict": &r.Strict, "code-owners": &r.CodeOwners, "last-push": &r.LastPush, "conversation": &r.Conversation, "signatures": &r.Signatures,
		"linear": &r.Linear, "locked": &r.Locked, "queue": &r.MergeQueue,
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case w == "none":
		case flags[key] != nil:
			*flags[key] = true
		case key == "checks":
			r.Required = s.checks(value)
		case key == "reviews":
			r.Approvals, _ = strconv.Atoi(value)
		case key == "methods":
			r.Methods = strings.Split(value, ",")
		case key == "deployments":
			r.Deployments = strings.Split(value, ",")
		case key == "others":
			r.Others = strings.Split(value, ",")
		case key == "queue-method":
			r.QueueMethod = strings.ToUpper(value)
		default:
			return fmt.Errorf("a ruleset has no %s", key)
		}
	}
	s.repo.Rules(words[0], r)
	return nil
}

func (s *story) queue(words []string, _ string) error {
	return s.rules(slices.Concat(words, []string{"queue"}), "")
}

func (s *story) enqueue(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		pr.Enqueue(s.user(by, "carol"))
	}
	return err
}

func (s *story) dequeue(words []string, by string) error {
	pr, err := s.pull(words[0])
	if err == nil {
		pr.Dequeue(s.user(by, "carol"))
	}
	return err
}

func (s *story) queueCheck(words []string, _ string) error {
	pr, err := s.pull(words[0])
	if err != nil {
		return err
	}
	head := pr.QueueHead()
	if head == "" {
		return fmt.Errorf("%s is in no queue", words[0])
	}
	s.repo.Check(head, s.ci, words[1], "completed", words[2])
	return nil
}

func (s *story) archive(words []string, by string) error {
	s.repo.Archive(s.user(by, "carol"), len(words) == 0 || words[0] != "no")
	return nil
}

func (s *story) rename(words []string, by string) error {
	s.repo.Rename(s.user(by, "carol"), words[0])
	return nil
}

// A restPull is what GitHub's REST API says of a pull request, as far as stories look at it.
type restPull struct {
	Title, Body string
	Draft       bool
	Base        struct{ Ref string }
	Assignees   []struct{ Login string }
}

func (s *world) restPull(pr *githubtest.PR) (o restPull, err error) {
	return o, s.see(fmt.Sprintf("/repos/%s/pulls/%d", s.repo.FullName(), pr.Number()), &o)
}

// ours are the texts of the service's own comments.
func (s *world) ours(pr *githubtest.PR) ([]string, error) {
	var all []struct {
		Body string
		User struct{ Login string }
	}
	err := s.see(fmt.Sprintf("/repos/%s/issues/%d/comments?per_page=100", s.repo.FullName(), pr.Number()), &all)
	out := []string{}
	for _, c := range all {
		if c.User.Login == s.us().Login {
			out = append(out, c.Body)
		}
	}
	return out, err
}

// reviewsBy are the states of the service's own reviews, oldest first.
func (s *world) reviewsBy(pr *githubtest.PR, login string) ([]string, error) {
	var all []struct {
		State string
		User  struct{ Login string }
	}
	err := s.see(fmt.Sprintf("/repos/%s/pulls/%d/reviews?per_page=100", s.repo.FullName(), pr.Number()), &all)
	out := []string{}
	for _, r := range all {
		if r.User.Login == login {
			out = append(out, strings.ToLower(r.State))
		}
	}
	return out, err
}

func init() {
	onPull := func(f func(s *story, pr *githubtest.PR, words []string) error) func(*story, []string) error {
		return func(s *story, words []string) error {
			pr, err := s.pull(words[0])
			if err != nil {
				return err
			}
			return f(s, pr, words[1:])
		}
	}
	for name, e := range map[string]func(s *story, words []string) error{
		"comments": onPull((*story).expectComments), "reactions": (*story).expectReactions,
		"reviewers": onPull(func(_ *story, pr *githubtest.PR, words []string) error {
			return sameSet("reviewers", pr.Requested(), words)
		}),
		"assignees": onPull(func(_ *story, pr *githubtest.PR, words []string) error {
			return sameSet("assignees", pr.Assignees(), words)
		}),
		"title": onPull((*story).expectTitle), "draft": onPull((*story).expectDraft), "base": onPull((*story).expectBase),
		"message": onPull((*story).expectMessage), "reason": onPull((*story).expectReason), "approvals": onPull((*story).expectApprovals),
		"reviews": onPull((*story).expectReviews), "queued": onPull((*story).expectQueued), "requested": onPull((*story).expectRequested),
	} {
		expectations[name] = e
	}
}

func sameSet(what string, got, want []string) error {
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("the %s are %q", what, got)
	}
	return nil
}

func (s *story) expectComments(pr *githubtest.PR, words []string) error {
	got, err := s.ours(pr)
	if err != nil {
		return err
	}
	if len(got) != len(words) {
		return fmt.Errorf("there are %d comments of the service: %q", len(got), got)
	}
	for i, w := range words {
		if w, err = s.text(w); err != nil {
			return err
		}
		if !strings.Contains(got[i], w) {
			return fmt.Errorf("comment %d of the service is %q", i+1, got[i])
		}
	}
	return nil
}

func (s *story) expectReactions(words []string) error {
	x, err := s.written(words[0])
	if err != nil {
		return err
	}
	var got []string
	for _, r := range x.Reactions() {
		if who, content, _ := strings.Cut(r, " "); who == s.us().Login {
			got = append(got, content)
		}
	}
	return sameSet("reactions of the service", got, words[1:])
}

func (s *story) expectTitle(pr *githubtest.PR, words []string) error {
	o, err := s.restPull(pr)
	if err == nil && o.Title != words[0] {
		err = fmt.Errorf("the title is %q", o.Title)
	}
	return err
}

func (s *story) expectDraft(pr *githubtest.PR, words []string) error {
	o, err := s.restPull(pr)
	if err == nil && o.Draft != (words[0] == "yes") {
		err = fmt.Errorf("it is a draft: %v", o.Draft)
	}
	return err
}

func (s *story) expectBase(pr *githubtest.PR, words []string) error {
	o, err := s.restPull(pr)
	if err == nil && o.Base.Ref != words[0] {
		err = fmt.Errorf("the base is %s", o.Base.Ref)
	}
	return err
}

// expectMessage looks at the commit that merged it: each of the words is in its message, and what follows "not" is not.
func (s *story) expectMessage(pr *githubtest.PR, words []string) error {
	var o struct{ Commit struct{ Message string } }
	if err := s.see(fmt.Sprintf("/repos/%s/commits/%s", s.repo.FullName(), pr.MergeSHA()), &o); err != nil {
		return err
	}
	wanted := true
	for _, w := range words {
		if w == "not" {
			wanted = false
			continue
		}
		text, err := s.text(w)
		if err != nil {
			return err
		}
		if strings.Contains(o.Commit.Message, text) != wanted {
			return fmt.Errorf("the commit's message is %q", o.Commit.Message)
		}
		wanted = true
	}
	return nil
}

// expectReason looks for codes anywhere in the verdict: of the whole, or of one of its rules.
func (s *story) expectReason(pr *githubtest.PR, words []string) error {
	var v struct {
		Tree     any `json:"verdict_tree"`
		Sentence string
	}
	if err := s.ask(fmt.Sprintf("/api/pulls/%s/%d", s.repo.FullName(), pr.Number()), &v); err != nil {
		return err
	}
	wanted := true
	for _, code := range words {
		if code == "not" {
			wanted = false
			continue
		}
		if got := codes(v.Tree); slices.Contains(got, code) != wanted {
			return fmt.Errorf("the verdict is %q, of the reasons %q", v.Sentence, got)
		}
		wanted = true
	}
	return nil
}

// codes are those of all reasons in a verdict.
func codes(v any) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		if code, ok := v["code"].(string); ok {
			out = append(out, code)
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, codes(v[k])...)
		}
	case []any:
		for _, x := range v {
			out = append(out, codes(x)...)
		}
	}
	return out
}

// expectApprovals looks at the report about approvals: on the head, or after "queued" on the commit that the queue tests.
func (s *story) expectApprovals(pr *githubtest.PR, words []string) error {
	queued, words := has(words, "queued")
	sha := pr.Head()
	if queued {
		sha = pr.QueueHead()
	}
	r, err := s.reportNamed("pr-manager/approvals", sha)
	if err != nil {
		return err
	}
	return r.is(words)
}

func (s *story) expectReviews(pr *githubtest.PR, words []string) error {
	got, err := s.reviewsBy(pr, s.us().Login)
	if err == nil && !slices.Equal(got, words) {
		err = fmt.Errorf("the reviews of the service are %q", got)
	}
	return err
}

func (s *story) expectQueued(pr *githubtest.PR, words []string) error {
	if in := pr.QueueHead() != ""; in != (words[0] == "yes") {
		return fmt.Errorf("it is in the queue: %v", in)
	}
	return nil
}

// expectRequested looks at how many are asked to review, whoever they are.
func (s *story) expectRequested(pr *githubtest.PR, words []string) error {
	if got := pr.Requested(); strconv.Itoa(len(got)) != words[0] {
		return fmt.Errorf("asked are %q", got)
	}
	return nil
}
