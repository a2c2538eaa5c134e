package webhook

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// Bounds of what routing reads, in bytes. GitHub's own are lower: logins 39 characters, names 100, refs 255.
const (
	maxName  = 255
	maxTitle = 1024
	// maxNumbers is how many pull requests one event may name. A check suite on a commit that is the head of more than
	// that is looked up by the commit instead.
	maxNumbers = 100
)

// The names that are read, by object. Everything else in a payload is validated and forgotten.
var (
	topNames = []string{
		"action", "number", "repository", "installation", "sender", "pull_request", "issue", "check_run", "check_suite",
		"workflow_run", "merge_group", "ref", "after", "deleted", "sha", "context", "state", "description",
	}
	repositoryNames = []string{"id", "name", "owner", "default_branch"}
	ownerNames      = []string{"login", "name"}
	idNames         = []string{"id"}
	senderNames     = []string{"id", "login", "type"}
	pullNames       = []string{"number", "head", "updated_at"}
	headNames       = []string{"sha"}
	issueNames      = []string{"number", "pull_request"}
	checkNames      = []string{"head_sha", "name", "external_id", "status", "conclusion", "output", "pull_requests"}
	outputNames     = []string{"title"}
	suiteNames      = []string{"head_sha", "pull_requests"}
	linkNames       = []string{"number", "base"}
	baseNames       = []string{"repo"}
	groupNames      = []string{"head_sha", "head_ref"}
)

// A payload is what was read, before the event says what it means.
type payload struct {
	action                             string
	number                             int64
	repo                               struct{ id int64 }
	repoName, owner, ownerName         string
	defaultBranch                      string
	installation                       int64
	senderID                           int64
	senderLogin, senderType            string
	pullNumber                         int64
	pullHead, pullUpdated              string
	issueNumber                        int64
	issueIsPull                        bool
	ref, after                         string
	deleted                            bool
	sha, context, state, description   string
	check                              commitEvent // check_run, check_suite or workflow_run: an event has at most one
	checkRunName, externalID           string
	checkStatus, conclusion, checkText string
	mergeGroupHead, mergeGroupRef      string
}

// A commitEvent is about a commit, and names the pull requests of which GitHub knows that it is their head.
type commitEvent struct {
	head  string
	links []link
	many  bool // more than maxNumbers
}

// A link is one entry of pull_requests. It may be of another repository: where a fork and its parent have the same
// head, GitHub lists the parent's pull request in the fork's event.
type link struct{ number, repo int64 }

// Read validates the whole body as exactly one UTF-8 JSON object and returns what routing needs of it.
//
// Validation is strict: no byte order mark, nothing behind the object, at most 10,000 levels, no number beyond a
// float64, and none of the names that routing reads twice or in two cases. Names match case-sensitively.
//
// Reading is lenient: a routing field of an unexpected type, or of an unreasonable length, counts as absent, so that a
// valid object never fails. Events that are new to GitHub arrive like any other.
func Read(event string, body []byte) (pull.Hint, error) {
	s := scanner{b: body}
	var p payload
	err := s.begin()
	if err == nil {
		err = s.payload(&p)
	}
	if err != nil {
		return pull.Hint{}, fmt.Errorf("the body is not one valid UTF-8 JSON object: %w", err)
	}
	return p.hint(event), nil
}

func (s *scanner) payload(p *payload) error {
	err := s.object(topNames, func(name string) error {
		switch name {
		case "action":
			return s.text(&p.action, maxName)
		case "number":
			return s.integer(&p.number)
		case "repository":
			return s.repository(p)
		case "installation":
			return s.object(idNames, func(string) error { return s.integer(&p.installation) })
		case "sender":
			return s.sender(p)
		case "pull_request":
			return s.pullRequest(p)
		case "issue":
			return s.issue(p)
		case "check_run":
			return s.checkRun(p)
		case "check_suite", "workflow_run":
			return s.commit(&p.check)
		case "merge_group":
			return s.object(groupNames, func(name string) error {
				if name == "head_sha" {
					return s.text(&p.mergeGroupHead, maxName)
				}
				return s.text(&p.mergeGroupRef, maxTitle)
			})
		case "ref":
			return s.text(&p.ref, maxTitle)
		case "after":
			return s.text(&p.after, maxName)
		case "deleted":
			return s.truth(&p.deleted)
		case "sha":
			return s.text(&p.sha, maxName)
		case "context":
			return s.text(&p.context, maxName)
		case "state":
			return s.text(&p.state, maxName)
		default: // description
			return s.text(&p.description, maxTitle)
		}
	})
	if err != nil {
		return err
	}
	return s.end()
}

func (s *scanner) repository(p *payload) error {
	return s.object(repositoryNames, func(name string) error {
		switch name {
		case "id":
			return s.integer(&p.repo.id)
		case "name":
			return s.text(&p.repoName, maxName)
		case "owner":
			return s.object(ownerNames, func(name string) error {
				if name == "login" {
					return s.text(&p.owner, maxName)
				}
				return s.text(&p.ownerName, maxName)
			})
		default:
			return s.text(&p.defaultBranch, maxName)
		}
	})
}

func (s *scanner) sender(p *payload) error {
	return s.object(senderNames, func(name string) error {
		switch name {
		case "id":
			return s.integer(&p.senderID)
		case "login":
			return s.text(&p.senderLogin, maxName)
		default:
			return s.text(&p.senderType, maxName)
		}
	})
}

func (s *scanner) pullRequest(p *payload) error {
	return s.object(pullNames, func(name string) error {
		switch name {
		case "number":
			return s.integer(&p.pullNumber)
		case "updated_at":
			return s.text(&p.pullUpdated, maxName)
		}
		return s.object(headNames, func(string) error { return s.text(&p.pullHead, maxName) })
	})
}

func (s *scanner) issue(p *payload) error {
	return s.object(issueNames, func(name string) error {
		if name == "number" {
			return s.integer(&p.issueNumber)
		}
		p.issueIsPull = s.peek() == '{'
		return s.skip()
	})
}

func (s *scanner) checkRun(p *payload) error {
	return s.object(checkNames, func(name string) error {
		switch name {
		case "head_sha":
			return s.text(&p.check.head, maxName)
		case "name":
			return s.text(&p.checkRunName, maxName)
		case "external_id":
			return s.text(&p.externalID, maxName)
		case "status":
			return s.text(&p.checkStatus, maxName)
		case "conclusion":
			return s.text(&p.conclusion, maxName)
		case "output":
			return s.object(outputNames, func(string) error { return s.text(&p.checkText, maxTitle) })
		default:
			return s.links(&p.check)
		}
	})
}

func (s *scanner) commit(c *commitEvent) error {
	return s.object(suiteNames, func(name string) error {
		if name == "head_sha" {
			return s.text(&c.head, maxName)
		}
		return s.links(c)
	})
}

func (s *scanner) links(c *commitEvent) error {
	return s.array(func() error {
		var l link
		err := s.object(linkNames, func(name string) error {
			if name == "number" {
				return s.integer(&l.number)
			}
			return s.object(baseNames, func(string) error {
				return s.object(idNames, func(string) error { return s.integer(&l.repo) })
			})
		})
		if len(c.links) == maxNumbers {
			c.many = true
		} else {
			c.links = append(c.links, l)
		}
		return err
	})
}

// hint says what the payload means as this event.
func (p *payload) hint(event string) pull.Hint {
	h := pull.Hint{
		Event:         event,
		Action:        p.action,
		Repo:          pull.Repo{ID: max(p.repo.id, 0), Owner: p.owner, Name: p.repoName},
		Installation:  max(p.installation, 0),
		Sender:        pull.Actor{ID: p.senderID, Login: p.senderLogin, Type: pull.ActorType(p.senderType)},
		DefaultBranch: p.defaultBranch,
	}
	if h.Repo.Owner == "" {
		h.Repo.Owner = p.ownerName // pushes had only this one for years
	}
	switch event {
	case "pull_request":
		h.Numbers = number(h.Numbers, cmp.Or(p.pullNumber, p.number))
		h.HeadSHA = sha(p.pullHead)
		h.UpdatedAt = moment(p.pullUpdated)
		h.Closed = p.action == "closed"
	case "pull_request_review", "pull_request_review_comment", "pull_request_review_thread":
		h.Numbers = number(h.Numbers, p.pullNumber)
		h.HeadSHA = sha(p.pullHead)
	case "issue_comment":
		if p.issueIsPull {
			h.Numbers = number(h.Numbers, p.issueNumber)
		}
	case "check_run":
		p.commitHint(&h)
		// A person's "Re-run" of our own check is no echo: it asks for a look.
		if name, ours := report(p.checkRunName); ours && (p.action == "created" || p.action == "completed") {
			h.Report = &pull.Report{SHA: h.HeadSHA, Name: name, State: checkState(p.checkStatus, p.conclusion), Title: p.checkText, Digest: p.externalID}
		}
	case "check_suite", "workflow_run":
		p.commitHint(&h)
	case "status":
		h.HeadSHA = sha(p.sha)
		if name, ours := report(p.context); ours {
			h.Report = &pull.Report{SHA: h.HeadSHA, Name: name, State: statusState(p.state), Title: p.description}
		}
	case "push":
		h.HeadSHA = sha(p.after)
		if branch, ok := strings.CutPrefix(p.ref, "refs/heads/"); ok && !p.deleted && len(branch) <= maxName {
			h.Branch = branch
		}
	case "merge_group":
		// A group is named by the last of its pull requests; those before it have groups of their own.
		h.HeadSHA = sha(p.mergeGroupHead)
		if m := queueRef.FindStringSubmatch(p.mergeGroupRef); m != nil {
			n, _ := strconv.ParseInt(m[1], 10, 64)
			h.Numbers = number(h.Numbers, n)
		}
	}
	return h
}

// queueRef is how GitHub's merge queue calls the branch that it tests for a pull request.
var queueRef = regexp.MustCompile(`^(?:refs/heads/)?gh-readonly-queue/.+/pr-([0-9]{1,10})-[0-9a-f]{40,64}$`)

// report tells whether a name is one of our reports', and which; "" is the main one.
func report(name string) (which string, ours bool) {
	switch name {
	case pull.ReportName:
		return "", true
	case pull.ApprovalsName:
		return name, true
	}
	return "", false
}

func (p *payload) commitHint(h *pull.Hint) {
	h.HeadSHA = sha(p.check.head)
	if p.check.many && h.HeadSHA != "" {
		return // by the commit, which finds them all
	}
	for _, l := range p.check.links {
		if l.repo == 0 || l.repo == h.Repo.ID {
			h.Numbers = number(h.Numbers, l.number)
		}
	}
}

// number appends n if it can be the number of a pull request, once.
func number(to []int, n int64) []int {
	if n < 1 || n > math.MaxInt32 || slices.Contains(to, int(n)) {
		return to
	}
	return append(to, int(n))
}

// sha returns s if it is a full commit id, and not the one that GitHub writes for "none".
func sha(s string) pull.SHA {
	if len(s) != 40 && len(s) != 64 || strings.Trim(s, "0") == "" {
		return ""
	}
	for i := range len(s) {
		if !isHex(s[i]) {
			return ""
		}
	}
	return pull.SHA(strings.ToLower(s))
}

// moment returns a time as GitHub writes it, or the zero time.
func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

func checkState(status, conclusion string) pull.ReportState {
	if status != "completed" {
		return pull.ReportWaiting
	}
	switch conclusion {
	case "success", "neutral", "skipped":
		return pull.ReportGood
	}
	return pull.ReportBad
}

func statusState(state string) pull.ReportState {
	switch state {
	case "success":
		return pull.ReportGood
	case "failure", "error":
		return pull.ReportBad
	}
	return pull.ReportWaiting
}
