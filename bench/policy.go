package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// What deciding costs, beside what it can't be done without.
//
//	rules   100 rules over an ordinary pull request (30 files, 40 checks), explained; beside writing that pull request as JSON
//	globs   200 distinct globs over 3,000 files, none of which matches; beside path.Match of each with each
const (
	mostRules = 2 * time.Millisecond
	mostGlobs = 200 * time.Millisecond
)

// decide measures both, prints them, and returns what missed its target.
func decide() ([]string, error) {
	rules, ordinary, err := hundredRules()
	if err != nil {
		return nil, err
	}
	globs, large, err := manyGlobs()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	best := func(f func()) time.Duration {
		least := time.Duration(-1)
		for n, began := 0, time.Now(); n < 5 || (time.Since(began) < time.Second && n < 1000); n++ {
			start := time.Now()
			f()
			if took := time.Since(start); least < 0 || took < least {
				least = took
			}
		}
		return least
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\ndecide\tms\tat most\tbeside\tms\tratio\t")
	var missed []string
	for _, m := range []struct {
		name, beside string
		most         time.Duration
		run, base    func()
	}{
		{"rules", "its JSON", mostRules, func() { rules.Evaluate(ordinary, pull.Memory{}, now) }, func() { json.Marshal(ordinary) }},
		{"globs", "path.Match", mostGlobs, func() { globs.Evaluate(large, pull.Memory{}, now) }, func() {
			for n := range 200 {
				pattern := fmt.Sprintf("no/such/area%d/*/*.go", n)
				for _, f := range large.Files {
					path.Match(pattern, f.Path)
				}
			}
		}},
	} {
		took, base := best(m.run), best(m.base)
		fmt.Fprintf(w, "%s\t%.2f\t%.0f\t%s\t%.2f\t%.1f ×\t\n", m.name, took.Seconds()*1e3, m.most.Seconds()*1e3, m.beside, base.Seconds()*1e3, took.Seconds()/base.Seconds())
		if took > m.most {
			missed = append(missed, fmt.Sprintf("%s takes more than %v", m.name, m.most))
		}
	}
	return missed, w.Flush()
}

// hundredRules is a policy of a hundred rules of every kind, and an ordinary pull request.
func hundredRules() (*policy.Policy, pull.Snapshot, error) {
	var text strings.Builder
	text.WriteString("version: 1\nlabels:\n")
	for i := range 33 {
		fmt.Fprintf(&text, "  f%d: { files: ['area%d/**', '**/*.x%d', '!**/testdata/**'], title: '^(feat|fix)' }\n", i, i, i)
		fmt.Fprintf(&text, "  c%d: { if: 'pr.lines > %d && !pr.draft && pr.title.startsWith(\"fix\") || checks.by(\"ci\", \"check %d\").passed' }\n", i, i, i)
		fmt.Fprintf(&text, "  e%d: { if: 'pr.changes.exists(f, f.status == \"added\" && f.path.startsWith(\"area%d/\"))' }\n", i, i)
	}
	text.WriteString("merge: { if: 'approved && checks.green && !(\"hold\" in pr.labels) && schedule(\"Mon-Fri 09:00-17:00 Europe/Paris\")' }\n")
	p, problems := policy.Parse(policy.FileName, []byte(text.String()))
	if problems != nil {
		return nil, pull.Snapshot{}, problems
	}
	s := wide(30)
	for i := range 40 {
		s.Checks = append(s.Checks, pull.Check{ID: int64(i + 1), AppID: 9, App: "ci", Name: fmt.Sprintf("check %d", i), State: pull.CheckPassed})
	}
	return p, s, nil
}

// manyGlobs is a policy of 200 globs, and a pull request as large as GitHub shows one.
func manyGlobs() (*policy.Policy, pull.Snapshot, error) {
	var text strings.Builder
	text.WriteString("version: 1\nlabels:\n")
	for i := range 200 {
		// Of three kinds: what begins elsewhere, what ends elsewhere, and what has to be looked through.
		glob := []string{"no/such/area%d/**/*.{go,ts}", "**/*.no%d", "some/**/no%d*/**/*.go"}[i%3]
		fmt.Fprintf(&text, "  l%d: { files: '"+glob+"' }\n", i, i)
	}
	p, problems := policy.Parse(policy.FileName, []byte(text.String()))
	if problems != nil {
		return nil, pull.Snapshot{}, problems
	}
	return p, wide(3000), nil
}

// wide is an open pull request with so many changed files.
func wide(files int) pull.Snapshot {
	s := pull.Snapshot{
		Number: 7, Title: "Add a door", Author: pull.Actor{ID: 2, Login: "alice", Type: pull.User}, State: pull.Open, DefaultBranch: "main",
		Head: pull.Branch{Name: "door", SHA: "aaaaaaa"}, Base: pull.Branch{Name: "main", SHA: "bbbbbbb"}, Mergeable: pull.MergeableClean,
		AllowedMethods: []pull.MergeMethod{pull.Squash}, ChangedFiles: files,
	}
	for i := range files {
		s.Files = append(s.Files, pull.File{Path: fmt.Sprintf("some/where/area%d/deep/file%d.go", i%100, i), Status: "modified", Additions: 3})
		s.Additions += 3
	}
	s.Known.Files = map[string]pull.Document{".gitattributes": {}}
	return s
}
