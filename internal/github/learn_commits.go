package github

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	gh "github.com/google/go-github/v92/github"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// maxCommits is where GitHub stops listing the commits of a pull request.
const maxCommits = 250

// maxAuthors is how many authors of one commit are looked up.
const maxAuthors = 20

// coAuthorsQuery asks for the accounts behind Co-authored-by lines, which the REST API does not tell. It tells those of
// Apps, which this does not.
var coAuthorsQuery = operation{"CommitAuthors", `
query CommitAuthors($owner: String!, $name: String!, $number: Int!, $page: Int!, $cursor: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      headRefOid
      baseRefOid
      commits(first: $page, after: $cursor) {
        pageInfo { hasNextPage endCursor }
        nodes {
          commit {
            oid
            authors(first: 20) { totalCount nodes { email user { databaseId login } } }
          }
        }
      }
    }
  }
}
`}

type gitActor struct {
	Email string
	User  *account
}

// commits looks up all that the pull request would bring to its base, through whichever parent it is reached.
func (l *learner) commits() *pull.Fault {
	s := l.s
	k := change{scope: l.scope, repo: s.Repo.ID, number: s.Number, head: s.Head.SHA, into: s.Base.Name, count: s.CommitCount}
	all, known := l.c.learned.commits.get(k)
	if !known {
		var f *pull.Fault
		if all, f = l.askCommits(); f != nil {
			return f
		}
		weight := 0
		for _, c := range all.List {
			weight += 400 + len(c.Message)
		}
		if complete := !all.Truncated; complete || s.CommitCount > maxCommits {
			l.c.learned.commits.put(k, all, weight, contentsFor)
		}
	}
	s.Known.Commits = &all
	return nil
}

func (l *learner) askCommits() (pull.Commits, *pull.Fault) {
	s := l.s
	var all pull.Commits
	coAuthored := false
	complete, f := l.list("commits.list", func(a answer) *pull.Fault {
		var got []gh.RepositoryCommit
		f := a.decode(&got)
		for _, c := range got {
			one := commitOf(&c)
			coAuthored = coAuthored || len(one.Trailers) > 0
			all.List = append(all.List, one)
		}
		return f
	}, l.repo("pulls", strconv.Itoa(s.Number), "commits")...)
	if f != nil {
		if whole(f) {
			return all, f
		}
		return pull.Commits{Truncated: true}, nil
	}
	// A push since the snapshot, or more than GitHub lists: what is missing could be anybody's.
	hasHead := slices.ContainsFunc(all.List, func(c pull.Commit) bool { return c.SHA == s.Head.SHA })
	all.Truncated = !complete || !hasHead || len(all.List) < s.CommitCount
	if coAuthored {
		if f := l.coAuthors(&all); f != nil {
			return all, f
		}
	}
	return all, nil
}

// trailer is a line that names a co-author. GitHub wants it at the end of a message; here it counts wherever it stands,
// since it can only take a right away.
var trailer = regexp.MustCompile(`(?im)^[ \t]*co-authored-by[ \t]*:[ \t]*(.*?<[^<>\r\n]*>)[ \t]*\r?$`)

func commitOf(c *gh.RepositoryCommit) pull.Commit {
	account := func(u *gh.User) pull.Actor {
		if u.GetID() == 0 {
			return pull.Actor{}
		}
		return pull.Actor{ID: u.GetID(), Login: u.GetLogin(), Type: pull.ActorType(u.GetType())}
	}
	out := pull.Commit{
		SHA: pull.SHA(c.GetSHA()), Author: account(c.GetAuthor()), Committer: account(c.GetCommitter()), Message: c.GetCommit().GetMessage(),
		Verified: c.GetCommit().GetVerification().GetVerified(),
	}
	if by := c.GetCommit().GetAuthor(); by.GetName() != "" && by.GetEmail() != "" {
		out.Written = by.GetName() + " <" + by.GetEmail() + ">"
	}
	for _, p := range c.Parents {
		out.Parents = append(out.Parents, pull.SHA(p.GetSHA()))
	}
	for _, m := range trailer.FindAllStringSubmatch(out.Message, -1) {
		line := strings.TrimSpace(m[1])
		out.Trailers = append(out.Trailers, line)
		if a, ok := byMail(line); ok {
			out.CoAuthors = append(out.CoAuthors, a)
		}
	}
	return out
}

// noreply is the address that GitHub gives to an account, with the account's number in it.
var noreply = regexp.MustCompile(`(?i)<([0-9]+)\+([^<>@]+)@users\.noreply\.`)

// byMail finds the account behind an address that GitHub has made.
func byMail(line string) (pull.Actor, bool) {
	m := noreply.FindStringSubmatch(line)
	if m == nil {
		return pull.Actor{}, false
	}
	id, err := strconv.ParseInt(m[1], 10, 64)
	a := pull.Actor{ID: id, Login: m[2], Type: pull.User}
	if strings.HasSuffix(a.Login, botSuffix) {
		a.Type = pull.Bot
	}
	return a, err == nil && id != 0
}

// coAuthors adds the accounts behind other addresses, as GitHub knows them.
func (l *learner) coAuthors(all *pull.Commits) *pull.Fault {
	at := map[pull.SHA]*pull.Commit{}
	for i := range all.List {
		at[all.List[i].SHA] = &all.List[i]
	}
	vars := &variables{Owner: l.s.Repo.Owner, Name: l.s.Repo.Name, Number: l.s.Number, Page: pageMost}
	for n := 0; ; n++ {
		var data struct {
			Repository *struct {
				PullRequest *struct {
					Commits page[struct {
						Commit struct {
							OID     pull.SHA
							Authors page[gitActor]
						}
					}]
				}
			}
		}
		f := l.c.query(l.ctx, l.scope, coAuthorsQuery, l.on, vars, &data, readPullErrors)
		if f != nil && whole(f) {
			return f
		}
		if f != nil || data.Repository == nil || data.Repository.PullRequest == nil {
			all.Truncated = true
			return nil
		}
		list := data.Repository.PullRequest.Commits
		for _, e := range list.Nodes {
			if e == nil || at[e.Commit.OID] == nil {
				continue
			}
			c := at[e.Commit.OID]
			all.Truncated = all.Truncated || e.Commit.Authors.TotalCount > maxAuthors
			for _, g := range e.Commit.Authors.Nodes {
				if g == nil || g.User == nil || g.User.DatabaseID == 0 || g.User.DatabaseID == c.Author.ID {
					continue
				}
				a := pull.Actor{ID: g.User.DatabaseID, Login: g.User.Login, Type: pull.User}
				if !slices.ContainsFunc(c.CoAuthors, a.Same) {
					c.CoAuthors = append(c.CoAuthors, a)
				}
			}
		}
		if !list.PageInfo.HasNextPage || n == maxPages {
			return nil
		}
		vars.Cursor = &list.PageInfo.EndCursor
	}
}

// renames looks up what files were called before.
func (l *learner) renames() *pull.Fault {
	s := l.s
	s.Known.Renames = true
	if !slices.ContainsFunc(s.Files, func(f pull.File) bool { return f.Status == "renamed" }) {
		return nil
	}
	k := change{scope: l.scope, repo: s.Repo.ID, number: s.Number, base: s.BaseBranchTip, head: s.Head.SHA, into: s.Base.Name, count: s.ChangedFiles}
	was, known := l.c.learned.renames.get(k)
	if !known {
		was = map[string]string{}
		weight := 0
		_, f := l.list("files.list", func(a answer) *pull.Fault {
			var got []gh.CommitFile
			f := a.decode(&got)
			for _, c := range got {
				if p := c.GetPreviousFilename(); p != "" {
					was[c.GetFilename()] = p
					weight += len(p) + len(c.GetFilename())
				}
			}
			return f
		}, l.repo("pulls", strconv.Itoa(s.Number), "files")...)
		if f != nil && whole(f) {
			return f
		}
		if f == nil {
			l.c.learned.renames.put(k, maps.Clone(was), weight, contentsFor)
		}
	}
	s.Files = slices.Clone(s.Files)
	for i, f := range s.Files {
		if f.Status != "renamed" {
			continue
		}
		if s.Files[i].Previous = was[f.Path]; was[f.Path] == "" {
			s.FilesTruncated = true // what it was called can't be had: it could be anything
		}
	}
	return nil
}

// same looks up whether two commits make textually the same change, each compared with where it left the base.
func (l *learner) same(a, b pull.SHA) *pull.Fault {
	base := l.s.BaseBranchTip
	k := compared{l.scope, l.s.Repo.ID, base, a, b}
	out, known := l.c.learned.same.get(k)
	if !known {
		var f *pull.Fault
		if out, f = l.compare(base, a, b); f != nil {
			return f
		}
		keep := contentsFor
		if out.Unknown != "" {
			keep = doubtFor
		}
		l.c.learned.same.put(k, out, len(out.Unknown), keep)
	}
	put(&l.s.Known.Same, pull.SameKey(a, b), out)
	return nil
}

func (l *learner) compare(base, a, b pull.SHA) (pull.Sameness, *pull.Fault) {
	if base == "" {
		return pull.Sameness{Unknown: "the base branch is gone"}, nil
	}
	var ds [2]diff
	for i, sha := range []pull.SHA{a, b} {
		d, f := l.diff(base, sha)
		if f != nil {
			return pull.Sameness{}, f
		}
		if d.doubt != "" {
			return pull.Sameness{Unknown: d.doubt}, nil
		}
		ds[i] = d
	}
	if ds[0].digest != ds[1].digest {
		return pull.Sameness{}, nil
	}
	if len(ds[0].binaries) == 0 {
		return pull.Sameness{Same: true}, nil
	}
	// The text of a comparison shows the beginnings of the ids of binary files, which can be made alike.
	return l.sameBinaries(base, [2]pull.SHA{a, b}, ds[0].binaries)
}

// diff reads the change that a commit makes to the base.
func (l *learner) diff(base, sha pull.SHA) (diff, *pull.Fault) {
	k := diffed{l.scope, l.s.Repo.ID, base, sha}
	if d, known := l.c.learned.diffs.get(k); known {
		return d, nil
	}
	var d diff
	f := l.get("compare", func(a answer) *pull.Fault {
		d = readDiff(string(a.body))
		return nil
	}, "application/vnd.github.diff", l.repo("compare", string(base)+"..."+string(sha))...)
	switch {
	case f == nil:
	case f.Class == pull.FaultUnavailable && f.Status >= 500:
		// GitHub fails at comparisons that are too much for it, and at anything when it is not well. Only the former lasts.
		n, _ := l.c.learned.failed.get(k)
		if n+1 < compareTries {
			l.c.learned.failed.put(k, n+1, 0, doubtFor)
			return d, f
		}
		d = diff{doubt: fmt.Sprintf("GitHub fails at the comparison of %s", sha.Short())}
	case whole(f):
		return d, f
	case f.Class == pull.FaultGone:
		d = diff{doubt: fmt.Sprintf("GitHub no longer has the commit %s", sha.Short())}
	default:
		d = diff{doubt: fmt.Sprintf("GitHub does not show the comparison of %s: %s", sha.Short(), f.Message)}
	}
	keep := contentsFor
	if d.doubt != "" {
		keep = doubtFor
	}
	weight := len(d.doubt)
	for _, b := range d.binaries {
		weight += len(b.from) + len(b.to)
	}
	l.c.learned.diffs.put(k, d, weight, keep)
	return d, nil
}

// compareTries is after how many failures a comparison is taken for one that GitHub can't make.
const compareTries = 3

// blobSlots is how many files one query is about.
const blobSlots = 20

var blobsQuery = operation{"Blobs", blobsText()}

func blobsText() string {
	var vars, fields strings.Builder
	for i := range blobSlots {
		fmt.Fprintf(&vars, ", $at%d: String!", i)
		fmt.Fprintf(&fields, "    at%d: object(expression: $at%d) { oid }\n", i, i)
	}
	return "\nquery Blobs($owner: String!, $name: String!" + vars.String() + ") {\n  repository(owner: $owner, name: $name) {\n" + fields.String() + "  }\n}\n"
}

// sameBinaries compares binary files by their whole ids: what they are, and what they were.
func (l *learner) sameBinaries(base pull.SHA, commits [2]pull.SHA, files []binary) (pull.Sameness, *pull.Fault) {
	var expressions []string // in pairs that have to be alike
	var parted [2]pull.SHA
	for i, sha := range commits {
		var got struct {
			MergeBase struct{ SHA pull.SHA } `json:"merge_base_commit"`
		}
		f := l.get("compare", reading(&got), "", l.repo("compare", string(base)+"..."+string(sha))...)
		if f != nil && whole(f) {
			return pull.Sameness{}, f
		}
		if f != nil || got.MergeBase.SHA == "" {
			return pull.Sameness{Unknown: fmt.Sprintf("GitHub does not say where %s left the base branch", sha.Short())}, nil
		}
		parted[i] = got.MergeBase.SHA
	}
	for _, b := range files {
		if b.from != "" {
			expressions = append(expressions, string(parted[0])+":"+b.from, string(parted[1])+":"+b.from)
		}
		if b.to != "" {
			expressions = append(expressions, string(commits[0])+":"+b.to, string(commits[1])+":"+b.to)
		}
	}
	for batch := range slices.Chunk(expressions, blobSlots) {
		vars := map[string]string{"owner": l.s.Repo.Owner, "name": l.s.Repo.Name}
		for i := range blobSlots {
			vars[fmt.Sprintf("at%d", i)] = batch[min(i, len(batch)-1)]
		}
		var data struct {
			Repository map[string]*struct{ OID pull.SHA }
		}
		f := l.c.query(l.ctx, l.scope, blobsQuery, l.on, vars, &data, readPullErrors)
		if f != nil && whole(f) {
			return pull.Sameness{}, f
		}
		for i := 0; i < len(batch); i += 2 {
			x, y := data.Repository[fmt.Sprintf("at%d", i)], data.Repository[fmt.Sprintf("at%d", i+1)]
			if f != nil || x == nil || y == nil || x.OID == "" {
				return pull.Sameness{Unknown: "GitHub does not show the binary file " + oneLine(batch[i])}, nil
			}
			if x.OID != y.OID {
				return pull.Sameness{}, nil
			}
		}
	}
	return pull.Sameness{Same: true}, nil
}
