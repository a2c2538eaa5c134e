package githubtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Commit is one that a test makes by hand.
type Commit struct {
	Files   map[string]string // as for Push
	Message string
	// Author and Committer are the accounts whose names and addresses the commit carries; nil is who pushes it. Anybody may
	// write anybody's there.
	Author, Committer *User
	// Name and Mail are those of an author whom GitHub does not know.
	Name, Mail string
	// CoAuthors are named in Co-authored-by lines at the end of the message.
	CoAuthors []*User
	// Verified: it is signed, with a key that GitHub knows as the committer's.
	Verified bool
	// From are the parents, branches or commits; the branch's tip when empty. With two, the commit is a merge of them: what git
	// makes of both, and Files on top, which is how a merge can hold what neither side had. Files alone decide conflicts.
	From []string
}

// PushCommit commits onto a branch and pushes it: a branch that does not contain the commit's first parent is moved by
// force. It returns the new commit.
func (r *Repo) PushCommit(branch string, by *User, c Commit) string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	sha := r.make(branch, by, c)
	tip := r.refs[branch]
	r.setRef(branch, sha, actor{user: by}, tip != "" && !r.objects.contains(sha, tip))
	return sha
}

// make writes a commit without moving anything.
func (r *Repo) make(branch string, by *User, c Commit) string {
	o := r.objects
	from := c.From
	if len(from) == 0 {
		from = []string{cmp.Or(r.refs[branch], r.refs[r.branch])}
	}
	parents := []string{}
	for _, p := range from {
		cm := r.commitAt(p)
		if cm == nil {
			panic(fmt.Sprintf("githubtest: commit on %s of %s: no branch or commit %q", branch, r.full(), p))
		}
		parents = append(parents, cm.sha)
	}
	tree := o.commit(parents[0]).tree
	if len(parents) > 1 {
		if m := o.merge(parents[0], parents[1]); !m.conflict {
			tree = m.tree
		}
	}
	now := r.s.now()
	author, committer := cmp.Or(c.Author, by).sign(now), cmp.Or(c.Committer, by).sign(now)
	if c.Name != "" {
		author.name, author.email = c.Name, c.Mail
	}
	message := cmp.Or(c.Message, "Work")
	for i, u := range c.CoAuthors {
		if i == 0 {
			message += "\n"
		}
		s := u.sign(now)
		message += fmt.Sprintf("\nCo-authored-by: %s <%s>", s.name, s.email)
	}
	return o.writeCommit(commit{
		tree: o.withFiles(tree, c.Files), parents: parents, author: author, committer: committer, message: message, signed: c.Verified,
	})
}

// coAuthors are the Co-authored-by lines at the end of a commit's message.
func (c *commit) coAuthors() []signature {
	var out []signature
	paragraphs := strings.Split(strings.TrimSpace(c.message), "\n\n")
	for _, line := range strings.Split(paragraphs[len(paragraphs)-1], "\n") {
		key, value, found := strings.Cut(line, ":")
		name, mail, isPerson := strings.Cut(value, "<")
		if found && isPerson && strings.EqualFold(strings.TrimSpace(key), "co-authored-by") {
			out = append(out, signature{name: strings.TrimSpace(name), email: strings.TrimSuffix(strings.TrimSpace(mail), ">"), at: c.author.at})
		}
	}
	return out
}

// Many are n small files below a directory, all alike, which costs next to nothing.
func Many(dir string, n int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("%s/%05d.txt", dir, i)] = "x\n"
	}
	return files
}

// Move is a push that renames files: old name to new name.
func (r *Repo) Move(branch string, names map[string]string, message string, by *User) string {
	files := map[string]string{}
	for _, from := range slices.Sorted(maps.Keys(names)) {
		text, found := r.File(cmp.Or(r.Tip(branch), r.Tip(r.branch)), from)
		if !found {
			panic(fmt.Sprintf("githubtest: move %s on %s of %s: there is no such file", from, branch, r.FullName()))
		}
		files[from], files[names[from]] = Deleted, text
	}
	return r.Push(branch, files, message, by)
}
