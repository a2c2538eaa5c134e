package githubtest

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // git's object ids
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An objectStore holds the objects of one repository and all its forks, as GitHub does: a commit that was pushed to a
// fork can be named in the parent. It is the objects directory of a real repository; git itself does what is hard
// (merging, rename detection, counting lines) and is started only for that, since a process costs milliseconds and a
// scenario makes hundreds of commits.
type objectStore struct {
	dir     string // the bare repository whose objects directory this is
	commits map[string]*commit
	trees   map[string][]treeEntry
	blobs   map[string][]byte // of a few KiB at most; larger ones are read again
	merges  map[[2]string]mergeResult
	diffs   map[[2]string][]changedFile
}

// A commit is a git commit, decoded.
type commit struct {
	sha       string
	tree      string
	parents   []string
	author    signature
	committer signature
	message   string
	signed    bool // with a key that GitHub knows
}

type signature struct {
	name, email string
	at          time.Time
}

func (s signature) String() string {
	return fmt.Sprintf("%s <%s> %d +0000", s.name, s.email, s.at.Unix())
}

type treeEntry struct {
	mode string // "100644", "100755", "40000", "120000", "160000"
	name string
	sha  string
}

func (e treeEntry) isTree() bool { return e.mode == "40000" }

type mergeResult struct {
	tree     string
	conflict bool
}

// A changedFile is one file that differs between two commits.
type changedFile struct {
	path, previous       string
	status               string // as the REST API says it: added, modified, removed, renamed, copied, changed
	sha                  string
	additions, deletions int
}

const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

func newObjectStore(dir string) *objectStore {
	return &objectStore{
		dir: dir, commits: map[string]*commit{}, trees: map[string][]treeEntry{}, blobs: map[string][]byte{},
		merges: map[[2]string]mergeResult{}, diffs: map[[2]string][]changedFile{},
	}
}

// initBare writes an empty bare repository: what `git init --bare` does, without its hooks and samples.
func initBare(dir string, alternate string) {
	for _, d := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags"} {
		must(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	must(os.WriteFile(filepath.Join(dir, "HEAD"), []byte("ref: refs/heads/main\n"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "config"), []byte("[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"), 0o644))
	if alternate != "" {
		must(os.WriteFile(filepath.Join(dir, "objects/info/alternates"), []byte(filepath.Join(alternate, "objects")+"\n"), 0o644))
	}
}

func must(err error) {
	if err != nil {
		panic("githubtest: " + err.Error())
	}
}

// git runs git in the repository and returns what it printed and how it ended. Any exit status in ok is an answer.
func (o *objectStore) git(ok []int, args ...string) (string, int) {
	cmd := exec.Command("git", append([]string{"--git-dir=" + o.dir}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	code := 0
	if cmd.ProcessState != nil {
		code = cmd.ProcessState.ExitCode()
	}
	if err != nil && !slices.Contains(ok, code) {
		panic(fmt.Sprintf("githubtest: git %s: %v: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String())))
	}
	return out.String(), code
}

func (o *objectStore) write(kind string, content []byte) string {
	head := kind + " " + strconv.Itoa(len(content)) + "\x00"
	h := sha1.New() //nolint:gosec
	io.WriteString(h, head)
	h.Write(content)
	sha := hex.EncodeToString(h.Sum(nil))
	path := filepath.Join(o.dir, "objects", sha[:2], sha[2:])
	if _, err := os.Stat(path); err == nil {
		return sha
	}
	var z bytes.Buffer
	w, err := zlib.NewWriterLevel(&z, zlib.BestSpeed)
	must(err)
	io.WriteString(w, head)
	w.Write(content)
	must(w.Close())
	must(os.MkdirAll(filepath.Dir(path), 0o755))
	// Under its final name only when complete: git may be reading.
	must(os.WriteFile(path+".tmp", z.Bytes(), 0o444))
	must(os.Rename(path+".tmp", path))
	return sha
}

func (o *objectStore) read(sha string) (kind string, content []byte, ok bool) {
	if len(sha) != 40 {
		return "", nil, false
	}
	f, err := os.Open(filepath.Join(o.dir, "objects", sha[:2], sha[2:]))
	if err != nil {
		return "", nil, false
	}
	defer f.Close()
	z, err := zlib.NewReader(f)
	must(err)
	all, err := io.ReadAll(z)
	must(err)
	head, body, _ := bytes.Cut(all, []byte{0})
	kind, _, _ = strings.Cut(string(head), " ")
	return kind, body, true
}

func (o *objectStore) writeBlob(content []byte) string {
	sha := o.write("blob", content)
	if len(content) <= 4096 {
		o.blobs[sha] = content
	}
	return sha
}

func (o *objectStore) blob(sha string) ([]byte, bool) {
	if b, ok := o.blobs[sha]; ok {
		return b, true
	}
	kind, b, ok := o.read(sha)
	return b, ok && kind == "blob"
}

func (o *objectStore) writeTree(entries []treeEntry) string {
	// Git sorts a directory as if its name ended in a slash.
	key := func(e treeEntry) string {
		if e.isTree() {
			return e.name + "/"
		}
		return e.name
	}
	slices.SortFunc(entries, func(a, b treeEntry) int { return strings.Compare(key(a), key(b)) })
	var b bytes.Buffer
	for _, e := range entries {
		raw, err := hex.DecodeString(e.sha)
		must(err)
		fmt.Fprintf(&b, "%s %s\x00", e.mode, e.name)
		b.Write(raw)
	}
	sha := o.write("tree", b.Bytes())
	o.trees[sha] = entries
	return sha
}

func (o *objectStore) tree(sha string) ([]treeEntry, bool) {
	if sha == emptyTree || sha == "" {
		return nil, true
	}
	if t, ok := o.trees[sha]; ok {
		return t, true
	}
	kind, body, ok := o.read(sha)
	if !ok || kind != "tree" {
		return nil, false
	}
	var t []treeEntry
	for len(body) > 0 {
		head, rest, _ := bytes.Cut(body, []byte{0})
		mode, name, _ := strings.Cut(string(head), " ")
		t = append(t, treeEntry{mode: mode, name: name, sha: hex.EncodeToString(rest[:20])})
		body = rest[20:]
	}
	o.trees[sha] = t
	return t, true
}

// withFiles returns the tree with files written into it by their path. A file whose content is Deleted is taken out.
func (o *objectStore) withFiles(tree string, files map[string]string) string {
	old, _ := o.tree(tree)
	entries := map[string]treeEntry{}
	for _, e := range old {
		entries[e.name] = e
	}
	below := map[string]map[string]string{}
	for path, content := range files {
		dir, rest, nested := strings.Cut(path, "/")
		switch {
		case nested:
			if below[dir] == nil {
				below[dir] = map[string]string{}
			}
			below[dir][rest] = content
		case content == Deleted:
			delete(entries, path)
		default:
			mode := "100644"
			if e, ok := entries[path]; ok && !e.isTree() {
				mode = e.mode
			}
			entries[path] = treeEntry{mode: mode, name: path, sha: o.writeBlob([]byte(content))}
		}
	}
	for dir, inner := range below {
		sub := ""
		if e, ok := entries[dir]; ok && e.isTree() {
			sub = e.sha
		}
		sub = o.withFiles(sub, inner)
		if sub == emptyTree {
			delete(entries, dir)
		} else {
			entries[dir] = treeEntry{mode: "40000", name: dir, sha: sub}
		}
	}
	return o.writeTree(slices.Collect(maps.Values(entries)))
}

// lookup finds the entry at a path of a tree.
func (o *objectStore) lookup(tree, path string) (treeEntry, bool) {
	path = strings.Trim(path, "/")
	if path == "" {
		return treeEntry{mode: "40000", sha: tree}, true
	}
	name, rest, nested := strings.Cut(path, "/")
	entries, _ := o.tree(tree)
	for _, e := range entries {
		if e.name != name {
			continue
		}
		if !nested {
			return e, true
		}
		if e.isTree() {
			return o.lookup(e.sha, rest)
		}
	}
	return treeEntry{}, false
}

func (o *objectStore) writeCommit(c commit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s\n", c.tree)
	for _, p := range c.parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author %s\ncommitter %s\n", c.author, c.committer)
	if c.signed {
		b.WriteString("gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQEzBAABCAAdFiEE\n -----END PGP SIGNATURE-----\n")
	}
	fmt.Fprintf(&b, "\n%s\n", strings.TrimRight(c.message, "\n"))
	c.sha = o.write("commit", []byte(b.String()))
	o.commits[c.sha] = &c
	return c.sha
}

func (o *objectStore) commit(sha string) *commit { return o.commits[sha] }

// find resolves a full or abbreviated commit id.
func (o *objectStore) find(prefix string) *commit {
	if c := o.commits[prefix]; c != nil {
		return c
	}
	if len(prefix) < 7 || len(prefix) >= 40 {
		return nil
	}
	for sha, c := range o.commits {
		if strings.HasPrefix(sha, prefix) {
			return c
		}
	}
	return nil
}

// ancestors is every commit that can be reached from sha, itself included.
func (o *objectStore) ancestors(sha string) map[string]bool {
	seen := map[string]bool{}
	todo := []string{sha}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s == "" || seen[s] {
			continue
		}
		seen[s] = true
		if c := o.commits[s]; c != nil {
			todo = append(todo, c.parents...)
		}
	}
	return seen
}

// contains reports whether old can be reached from tip.
func (o *objectStore) contains(tip, old string) bool {
	return tip == old || o.ancestors(tip)[old]
}

// mergeBase is the newest commit that both have, or "" when they have none.
func (o *objectStore) mergeBase(a, b string) string {
	if a == b {
		return a
	}
	inA := o.ancestors(a)
	best := map[string]bool{}
	parents := map[string]bool{}
	for s := range o.ancestors(b) {
		if !inA[s] {
			continue
		}
		best[s] = true
		for _, p := range o.commits[s].parents {
			parents[p] = true
		}
	}
	var found *commit
	for s := range best {
		if parents[s] {
			continue
		}
		c := o.commits[s]
		if found == nil || c.committer.at.After(found.committer.at) || c.committer.at.Equal(found.committer.at) && c.sha < found.sha {
			found = c
		}
	}
	if found == nil {
		return ""
	}
	return found.sha
}

// between lists the commits that head has and base has not, parents first.
func (o *objectStore) between(base, head string) []*commit {
	have := o.ancestors(base)
	var out []*commit
	var visit func(string)
	visit = func(sha string) {
		c := o.commits[sha]
		if have[sha] || c == nil {
			return
		}
		have[sha] = true
		for _, p := range c.parents {
			visit(p)
		}
		out = append(out, c)
	}
	visit(head)
	return out
}

// merge merges two commits' trees as `git merge` would.
func (o *objectStore) merge(ours, theirs string) mergeResult {
	key := [2]string{ours, theirs}
	if r, ok := o.merges[key]; ok {
		return r
	}
	var r mergeResult
	switch {
	case o.contains(theirs, ours):
		r.tree = o.commits[theirs].tree
	case o.contains(ours, theirs):
		r.tree = o.commits[ours].tree
	default:
		out, code := o.git([]int{0, 1}, "merge-tree", "--write-tree", "--allow-unrelated-histories", "--no-messages", ours, theirs)
		tree, _, _ := strings.Cut(out, "\n")
		r = mergeResult{tree: tree, conflict: code == 1}
	}
	o.merges[key] = r
	return r
}

// rebase replays the commits of base..head on top of base, and returns the new tip. GitHub does not rebase merges.
func (o *objectStore) rebase(base, head string, by signature) (tip string, conflict bool) {
	commits := o.between(base, head)
	if slices.ContainsFunc(commits, func(c *commit) bool { return len(c.parents) != 1 }) {
		return "", true
	}
	return o.replay(base, commits, by)
}

// replay puts commits on top of base, one after the other.
func (o *objectStore) replay(base string, commits []*commit, by signature) (tip string, conflict bool) {
	tip = base
	for _, c := range commits {
		// A commit with the tip's content on the old parent makes that parent the merge base: a cherry-pick.
		stand := o.writeCommit(commit{tree: o.commits[tip].tree, parents: c.parents, author: c.author, committer: c.committer, message: "pick"})
		m := o.merge(stand, c.sha)
		if m.conflict {
			return "", true
		}
		if m.tree == o.commits[tip].tree {
			continue // already there
		}
		tip = o.writeCommit(commit{tree: m.tree, parents: []string{tip}, author: c.author, committer: by, message: c.message})
	}
	return tip, false
}

// diff lists the files that differ between two commits, with renames found.
func (o *objectStore) diff(from, to string) []changedFile {
	a, b := emptyTree, o.commits[to].tree
	if c := o.commits[from]; c != nil {
		a = c.tree
	}
	key := [2]string{a, b}
	if d, ok := o.diffs[key]; ok {
		return d
	}
	var out []changedFile
	if a != b {
		if a == emptyTree {
			o.write("tree", nil)
		}
		text, _ := o.git(nil, "diff-tree", "-r", "-M", "-z", "--raw", "--numstat", "--no-abbrev", a, b)
		out = parseDiff(text)
	}
	o.diffs[key] = out
	return out
}

// parseDiff reads git's raw lines and its counts, separated by NUL: first every raw line, then every count.
func parseDiff(text string) []changedFile {
	status := map[byte]string{'A': "added", 'M': "modified", 'D': "removed", 'R': "renamed", 'C': "copied", 'T': "changed"}
	parts := strings.Split(text, "\x00")
	var out []changedFile
	at := map[string]int{}
	for i := 0; i < len(parts) && parts[i] != ""; {
		if strings.HasPrefix(parts[i], ":") {
			f := strings.Fields(parts[i])
			c := changedFile{status: status[f[4][0]], sha: f[3], path: parts[i+1]}
			if f[3] == strings.Repeat("0", 40) {
				c.sha = f[2]
			}
			i += 2
			if c.status == "renamed" || c.status == "copied" {
				c.previous, c.path = c.path, parts[i]
				i++
			}
			at[c.path] = len(out)
			out = append(out, c)
			continue
		}
		f := strings.SplitN(parts[i], "\t", 3)
		path := f[2]
		i++
		if path == "" {
			path = parts[i+1]
			i += 2
		}
		c := &out[at[path]]
		c.additions, _ = strconv.Atoi(f[0]) // "-" for a binary file: 0, as GitHub says
		c.deletions, _ = strconv.Atoi(f[1])
	}
	return out
}

// changedPaths lists the files that differ between two trees, without looking for renames.
func (o *objectStore) changedPaths(from, to, prefix string) (added, removed, modified []string) {
	if from == to {
		return nil, nil, nil
	}
	old := map[string]treeEntry{}
	before, _ := o.tree(from)
	for _, e := range before {
		old[e.name] = e
	}
	collect := func(a, b, path string) {
		x, y, z := o.changedPaths(a, b, path+"/")
		added, removed, modified = append(added, x...), append(removed, y...), append(modified, z...)
	}
	after, _ := o.tree(to)
	for _, e := range after {
		was, ok := old[e.name]
		delete(old, e.name)
		path := prefix + e.name
		switch {
		case ok && was == e:
		case ok && was.isTree() && e.isTree():
			collect(was.sha, e.sha, path)
		default:
			if ok && !was.isTree() && !e.isTree() {
				modified = append(modified, path)
				continue
			}
			if e.isTree() {
				collect("", e.sha, path)
			} else {
				added = append(added, path)
			}
			if ok {
				old[e.name] = was
			}
		}
	}
	for _, e := range before {
		if _, gone := old[e.name]; !gone {
			continue
		}
		if e.isTree() {
			collect(e.sha, "", prefix+e.name)
		} else {
			removed = append(removed, prefix+e.name)
		}
	}
	return added, removed, modified
}
