package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// What a pull request of Dependabot's or Renovate's updates, and by how much, is read from the messages of its commits, and
// from nothing else: others may edit titles and descriptions, and anybody may name a branch or write a bot's name into a
// commit. So the account that opened the pull request has to be the bot's, by its number and type, and so has the author of
// each of its commits, which GitHub has to have verified and the bot itself or GitHub to have committed. One commit of
// anybody else's, and nothing is known of the update any more.

// An updating is what a bot's pull request changes, as far as it can be trusted.
type updating struct {
	level    string // patch, minor, major; "" when it is not known
	name     string // what is updated; several are joined by commas
	from, to string // of a single one
	why      string // why level is "", a clause
	lack     *lack  // what has to be looked up to tell
}

// The accounts of the bots on github.com, by number: a login can be given up and taken by somebody else.
var updateBots = map[int64]string{49699333: "dependabot[bot]", 29139614: "renovate[bot]"}

// webFlowID is the account that GitHub itself commits with, signing what it makes for an App.
const webFlowID = 19864447

func (f *facts) updateBot(a pull.Actor) bool {
	if a.Type != pull.Bot || a.ID == 0 {
		return false
	}
	if _, known := updateBots[a.ID]; known {
		return true
	}
	return f.p.updateBots != nil && f.p.updateBots.match(a)
}

// update works out what is updated.
func (f *facts) update() updating {
	if f.updated == nil {
		u := f.readUpdate()
		f.updated = &u
	}
	return *f.updated
}

func (f *facts) readUpdate() updating {
	author := f.s.Author
	if !f.updateBot(author) {
		return updating{why: "the author is not a bot that updates dependencies"}
	}
	if n := (pull.Need{Kind: pull.NeedCommits}); !f.s.Answers(n) {
		return updating{lack: &lack{name: "pr.commits", need: &n}}
	}
	commits := f.s.Known.Commits
	switch {
	case commits.Truncated:
		return updating{why: "GitHub does not list all of its commits"}
	case len(commits.List) == 0:
		return updating{why: "it has no commit"}
	}
	var all []bump
	for _, c := range commits.List {
		if why := f.foreign(c, author); why != "" {
			return updating{why: "the commit " + c.SHA.Short() + " " + why}
		}
		bumps, why := readBumps(c.Message)
		if why != "" {
			return updating{why: "the commit " + c.SHA.Short() + " " + why}
		}
		all = append(all, bumps...)
	}
	var u updating
	var names []string
	for _, b := range all {
		if levels[b.level] > levels[u.level] {
			u.level = b.level
		}
		if !slices.Contains(names, b.name) {
			names = append(names, b.name)
		}
	}
	u.name = strings.Join(names, ", ")
	if len(all) == 1 {
		u.from, u.to = all[0].from, all[0].to
	}
	return u
}

// foreign says in which way a commit is not the bot's own.
func (f *facts) foreign(c pull.Commit, bot pull.Actor) string {
	who := func(a pull.Actor) string { return or(a.Login, "nobody that GitHub knows") }
	switch {
	case !c.Author.Same(bot) || c.Author.Type != pull.Bot:
		return "is by " + who(c.Author) + ", not by " + bot.Login
	case !c.Verified:
		return "is not verified, so anybody may have made it"
	case !c.Committer.Same(bot) && c.Committer.ID != webFlowID:
		return "was committed by " + who(c.Committer) + ", not by " + bot.Login
	}
	for _, a := range c.CoAuthors {
		if !a.Same(bot) {
			return "has " + who(a) + " as co-author"
		}
	}
	return ""
}

var levels = map[string]int{"patch": 1, "minor": 2, "major": 3}

// A bump is one dependency's step from a version to another.
type bump struct{ name, from, to, level string }

var (
	bumpsLine   = regexp.MustCompile(`(?m)^Bumps \[?([^\]\s]+)\]?(?:\([^)]*\))? from (\S+) to (\S+?)\.?$`)
	updatesLine = regexp.MustCompile("(?m)^Updates `(\\S+)` (?:from (\\S+) )?to (\\S+?)\\.?$")
	requireLine = regexp.MustCompile(`\b[Uu]pdate (\S+) requirement from (.+) to (.+?)(?: in \S+)?$`)
	trailerForm = regexp.MustCompile(`(?ms)^---\n(updated-dependencies:\n.*?)^\.\.\.$`)
	tableHead   = regexp.MustCompile(`(?m)^\|\s*datasource\s*\|\s*package\s*\|\s*from\s*\|\s*to\s*\|\s*$`)
)

// maxBumps bounds what is read of one message.
const maxBumps = 500

// readBumps reads the message of one commit, by Dependabot (its block "updated-dependencies") or by Renovate (its table,
// which the option commitBodyTable adds). why is a clause when it does not say enough about one of the dependencies.
func readBumps(message string) (bumps []bump, why string) {
	message = strings.ReplaceAll(message, "\r\n", "\n")
	if m := trailerForm.FindStringSubmatch(message + "\n"); m != nil {
		bumps, why = dependabotBumps(message, m[1])
	} else if at := tableHead.FindStringIndex(message); at != nil {
		bumps = renovateBumps(message[at[1]:])
	} else {
		return nil, "does not say from which version to which; Renovate's say so with its option commitBodyTable"
	}
	switch {
	case why != "":
		return nil, why
	case len(bumps) == 0:
		return nil, "does not say what it updates"
	case len(bumps) > maxBumps:
		return nil, fmt.Sprintf("updates more than %d dependencies", maxBumps)
	}
	for i := range bumps {
		b := &bumps[i]
		stated := b.level
		computed, problem := levelOf(b.from, b.to)
		// Where both speak, the larger step counts.
		if levels[computed] > levels[stated] {
			b.level = computed
		}
		if b.level == "" {
			return nil, "does not say how far " + or(shorten(b.name, 60), "it") + " moves: " + problem
		}
	}
	return bumps, ""
}

// dependabotBumps reads the block that Dependabot ends its messages with, and the versions from the lines above it.
func dependabotBumps(message, block string) ([]bump, string) {
	updated, ok := readBlock(block)
	if !ok {
		return nil, "ends in a block that can't be read"
	}
	versions := map[string][][2]string{}
	for _, re := range []*regexp.Regexp{bumpsLine, updatesLine} {
		for _, m := range re.FindAllStringSubmatch(message, maxBumps) {
			versions[m[1]] = append(versions[m[1]], [2]string{m[2], m[3]})
		}
	}
	first, _, _ := strings.Cut(message, "\n")
	if m := requireLine.FindStringSubmatch(first); m != nil && len(versions) == 0 {
		versions[m[1]] = [][2]string{{lastWord(m[2]), lastWord(m[3])}}
	}
	var out []bump
	for _, d := range updated {
		b := bump{name: d["dependency-name"], to: d["dependency-version"]}
		b.level = strings.TrimPrefix(d["update-type"], "version-update:semver-")
		if levels[b.level] == 0 {
			b.level = ""
		}
		if v := versions[b.name]; len(v) > 0 {
			b.from, versions[b.name] = v[0][0], v[1:]
			if b.to == "" {
				b.to = v[0][1]
			} else if computed, _ := levelOf(b.from, v[0][1]); levels[computed] > levels[b.level] && b.level != "" {
				b.level = computed
			}
		}
		out = append(out, b)
	}
	return out, ""
}

// lastWord is the version in a requirement such as ">= 1.2".
func lastWord(s string) string {
	words := strings.Fields(s)
	if len(words) == 0 {
		return ""
	}
	return strings.TrimLeft(words[len(words)-1], "^~<>=")
}

var blockLine = regexp.MustCompile(`^(- |  )([a-z-]+): (?:"([^"\\]*)"|'([^']*)'|([^"'].*))$`)

// readBlock reads the list under "updated-dependencies:", which is YAML of the plainest kind. Anything else in it is not
// Dependabot's.
func readBlock(block string) ([]map[string]string, bool) {
	var out []map[string]string
	for i, line := range strings.Split(strings.TrimSuffix(block, "\n"), "\n") {
		if i == 0 {
			continue // the head
		}
		m := blockLine.FindStringSubmatch(line)
		if m == nil {
			return nil, false
		}
		if m[1] == "- " {
			out = append(out, map[string]string{})
		}
		if len(out) == 0 || len(out) > maxBumps {
			return nil, false
		}
		d := out[len(out)-1]
		if _, twice := d[m[2]]; twice {
			return nil, false
		}
		d[m[2]] = m[3] + m[4] + m[5]
	}
	return out, len(out) > 0
}

// renovateBumps reads the rows of Renovate's table: datasource, package, from, to.
func renovateBumps(rows string) []bump {
	var out []bump
	for line := range strings.Lines(strings.TrimPrefix(rows, "\n")) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if strings.Trim(line, "|-: ") == "" {
			continue
		}
		if len(cells) != 4 {
			out = append(out, bump{name: strings.TrimSpace(line)}) // a row that can't be read makes the update unknown
			continue
		}
		out = append(out, bump{name: strings.TrimSpace(cells[1]), from: strings.TrimSpace(cells[2]), to: strings.TrimSpace(cells[3])})
	}
	return out
}

var versionForm = regexp.MustCompile(`^[vV=]?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?((?:\.\d{1,18})*)(?:[-+.][0-9A-Za-z.+-]*)?$`)

// levelOf says which number of a version moves: the first is major, the second minor, any other patch. A step down, or
// one between texts that are no versions, has no level, and problem says why.
func levelOf(from, to string) (level, problem string) {
	if from == "" || to == "" {
		return "", "a version is missing"
	}
	a, b := versionForm.FindStringSubmatch(from), versionForm.FindStringSubmatch(to)
	if a == nil || b == nil {
		wrong := from
		if a != nil {
			wrong = to
		}
		return "", shorten(wrong, 40) + " is not a version"
	}
	if from == to {
		return "", "it stays at " + shorten(from, 40)
	}
	for i, name := range []string{"major", "minor", "patch"} {
		x, _ := strconv.ParseInt(or(a[i+1], "0"), 10, 64)
		y, _ := strconv.ParseInt(or(b[i+1], "0"), 10, 64)
		switch {
		case y > x:
			return name, ""
		case y < x:
			return "", fmt.Sprintf("%s is older than %s", shorten(to, 40), shorten(from, 40))
		}
	}
	return "patch", ""
}
