package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// FileName is where a repository keeps its policy, and an owner's .github repository the defaults.
const FileName = pull.PolicyFile

// MaxSize is how many bytes a policy file may have.
const MaxSize = 64 << 10

// A Mode says whether a policy acts.
type Mode string

// The modes.
const (
	Active  Mode = "active"
	DryOnly Mode = "dry-run"
)

// A Policy is a valid policy file, compiled. It does not change once made and may be used by many at once.
type Policy struct {
	path string
	// keys are the top-level keys that the file has, even if they are empty, and where: it takes no defaults for them.
	keys map[string]Pos

	mode       Mode // "" when the file does not say
	optOut     []string
	generated  *globs
	updateBots *logins
	labels     []labelRule
	reviewers  []reviewerRule
	approvals  *approvalTree // nil: there is no section
	checks     *checksRule
	merge      *mergeRule
	rules      []freeRule
	commands   *commandRules
}

type labelRule struct {
	name  string
	pos   Pos
	color string // six hex digits, for a label that the repository does not have yet; "" leaves it to GitHub
	about string // its description, likewise
	selector
}

// Labels returns the names of the labels that the policy governs, in the order of the file.
func (p *Policy) Labels() []string {
	names := make([]string, len(p.labels))
	for i, l := range p.labels {
		names[i] = l.name
	}
	return names
}

// Mode returns the mode that the policy is in.
func (p *Policy) Mode() Mode {
	if p.mode == "" {
		return Active
	}
	return p.mode
}

// Merges reports whether the policy has a merge rule.
func (p *Policy) Merges() bool { return p.merge != nil }

// readsLabels reports whether a label can decide about something else.
func (p *Policy) readsLabels() bool {
	reads := func(l *selector) bool { return l.labels != nil || l.when != nil && l.when.mention("pr.labels") != nil }
	return slices.ContainsFunc(p.labels, func(l labelRule) bool { return reads(&l.selector) }) ||
		slices.ContainsFunc(p.reviewers, func(l reviewerRule) bool { return reads(&l.selector) }) ||
		slices.ContainsFunc(p.rules, func(l freeRule) bool { return reads(&l.selector) }) ||
		p.approvals != nil ||
		p.merge != nil && (len(p.merge.labels) > 0 || p.merge.when != nil && p.merge.when.mention("pr.labels") != nil)
}

// over returns p with the sections that it lacks taken from the owner's defaults.
func (p *Policy) over(defaults *Policy) *Policy {
	q := *p
	q.keys = maps.Clone(p.keys)
	for key, pos := range defaults.keys {
		if _, own := p.keys[key]; own {
			continue
		}
		q.keys[key] = pos
		switch key {
		case "mode":
			q.mode = defaults.mode
		case "opt-out":
			q.optOut = defaults.optOut
		case "generated":
			q.generated = defaults.generated
		case "update-bots":
			q.updateBots = defaults.updateBots
		case "labels":
			q.labels = defaults.labels
		case "reviewers":
			q.reviewers = defaults.reviewers
		case "approvals":
			q.approvals = defaults.approvals
		case "checks":
			q.checks = defaults.checks
		case "merge":
			q.merge = defaults.merge
		case "rules":
			q.rules = defaults.rules
		case "commands":
			q.commands = defaults.commands
		}
	}
	return &q
}

// An Effective is the policy that is in force for a repository, and how that came about. It depends on nothing but the
// documents that it was made from, so callers may keep it by their ids. It does not change once made and may be used by
// many at once.
type Effective struct {
	Source Source
	// Policy is what is in force; nil while nothing is, because there is none or it is not valid.
	Policy *Policy
	// NewlyValid is the repository's own file, when it is valid as it is now and not the last valid one that is known: it
	// is the one to fall back on from here on.
	NewlyValid *pull.Document
	// DefaultsSeen is to be remembered of the owner (pull.History.DefaultsSeen): the defaults were there once.
	DefaultsSeen bool

	hold *Reason // nothing is merged while this is set
}

// Problem returns the first problem of the files, in one line, or "".
func (e Effective) Problem() string {
	if len(e.Source.Problems) == 0 {
		return ""
	}
	return e.Source.Problems[0].String()
}

// Resolve works out the policy that is in force.
//
// The repository's own file counts, completed by the owner's defaults: a top-level section that it lacks is taken from
// there whole. A file that is not valid leaves the last valid one in force (lastValid, which may be the zero Document),
// with the problems beside it; without one, nothing is in force. Defaults that were seen once (defaultsSeen) and are gone
// now, or are not valid, may have held back merges that nothing holds back any more: so nothing is merged until they are
// back.
func Resolve(repo, defaults, lastValid pull.Document, defaultsSeen bool) Effective {
	e := Effective{DefaultsSeen: defaultsSeen || defaults.Found}
	e.Source = Source{Path: FileName, OID: repo.OID, Found: repo.Found || defaults.Found || defaultsSeen}

	var own *Policy
	if repo.Found {
		var bad Problems
		if own, bad = read(FileName, repo); bad == nil {
			if !lastValid.Found || lastValid.OID != repo.OID {
				e.NewlyValid = &repo
			}
		} else {
			e.Source.Problems = bad
			if lastValid.Found {
				own, bad = read(FileName, lastValid)
				e.Source.UsingLast = bad == nil
			}
			if own == nil {
				return e
			}
		}
	}

	var base *Policy
	switch {
	case defaults.Found:
		var bad Problems
		if base, bad = read(defaultsPath(defaults), defaults); bad != nil {
			e.Source.Problems = append(e.Source.Problems, bad...)
			e.hold = &Reason{Code: DefaultsBroken, Text: bad[0].String(), Who: []string{WhoOwner}}
		}
	case defaultsSeen:
		e.hold = &Reason{Code: DefaultsGone, Who: []string{WhoOwner}}
	}
	e.Source.Defaults = base != nil

	switch {
	case own != nil && base != nil:
		e.Policy = own.over(base)
	case own != nil:
		e.Policy = own
	case base != nil:
		e.Policy = base
		e.Source.Path = base.path
	}
	if e.Policy != nil {
		e.Source.Mode = e.Policy.Mode()
	}
	return e
}

// Effective returns p as if it were the only policy there is, for tools that evaluate a file that no repository has.
func (p *Policy) Effective() Effective {
	return Effective{Policy: p, Source: Source{Path: p.path, Found: true, Mode: p.Mode()}}
}

// read parses a document, which may be one that could not be read at all.
func read(path string, d pull.Document) (*Policy, Problems) {
	if d.Unreadable != "" {
		return nil, Problems{{
			Pos:     Pos{Path: path},
			Message: fmt.Sprintf("The file can't be read: %s.", d.Unreadable),
			Hint:    fmt.Sprintf("A policy is UTF-8 text of at most %d KiB.", MaxSize>>10),
		}}
	}
	return Parse(path, []byte(d.Text))
}

func defaultsPath(d pull.Document) string {
	if d.Path == "" {
		return "defaults of the owner: " + FileName
	}
	return d.Path
}
