package chaos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

// A mutant is the program, broken on purpose. It exists as replacements in its source that only the build of a test sees
// (go build -overlay), so that the source itself holds no sabotage.
type mutant struct {
	name string
	edit []edit
	// must is the finding that gives the mutant away.
	must string
	// scenario is what the sound build passes and the mutant does not.
	scenario func(t *testing.T, binary string) findings
}

// An edit replaces text that must occur exactly once in a file.
type edit struct{ file, old, new string }

var mutants = []mutant{
	{
		name: "202 before the commit", must: "L", scenario: killedBeforeCommit,
		edit: []edit{{
			"internal/delivery/inbox.go",
			"	if err := in.enqueue(e); err != nil {\n		return pull.Receipt{}, err\n	}\n",
			"	if err := in.enqueue(e); err != nil || true {\n		return pull.Receipt{}, err\n	}\n",
		}},
	},
	{
		name: "the list as the only copy", must: "U", scenario: lostFromTheList,
		edit: []edit{
			{
				"internal/delivery/intake.go",
				"		return t.all(ctx, pull.Taking{Limit: t.Batch})\n	case look:\n" +
					"		return t.all(ctx, pull.Taking{Limit: t.Batch, Before: t.store.Now().Add(-patience)})\n",
				"		_ = patience\n",
			},
			{
				"internal/delivery/hints.go",
				"	if refill {\n",
				"	if refill && false {\n",
			},
		},
	},
	{
		name: "no reading back", must: "D", scenario: answerLost("check-runs"),
		edit: []edit{{
			"internal/reconcile/act.go",
			"	id, err := p.forge.Apply(ctx, p.claim.Scope, s, a)\n",
			"	id, err := p.forge.Apply(ctx, p.claim.Scope, s, a)\n" +
				"	if f, ok := pull.FaultOf(err); ok && f.Class == pull.FaultUnclear && a.Kind == pull.SetReport {\n" +
				"		id, err = p.forge.Apply(ctx, p.claim.Scope, s, a)\n	}\n",
		}},
	},
	{
		name: "no fence", must: "D", scenario: func(t *testing.T, binary string) findings { f, _ := frozen(t, binary); return f },
		edit: []edit{
			{
				"internal/store/work.go",
				"	if err == nil && n == 0 {\n		return pull.ErrLost\n	}\n",
				"	_ = n\n",
			},
			{
				"internal/store/work.go",
				"	if err == nil && !found {\n		err = pull.ErrLost\n	}\n",
				"	_ = found\n",
			},
		},
	},
	{
		name: "no duplicate check", must: "D", scenario: sentThrice,
		edit: []edit{{
			"internal/store/inbox.go",
			"			isNew := seen == int64(len(e.all))\n",
			"			isNew := seen > 0\n",
		}},
	},
	{
		name: "a merge repeated", must: "D", scenario: answerLost("merge"),
		edit: []edit{{
			"internal/reconcile/act.go",
			"	id, err := p.forge.Apply(ctx, p.claim.Scope, s, a)\n",
			"	id, err := p.forge.Apply(ctx, p.claim.Scope, s, a)\n" +
				"	if f, ok := pull.FaultOf(err); ok && f.Class == pull.FaultUnclear && a.Kind == pull.Merge {\n" +
				"		id, err = p.forge.Apply(ctx, p.claim.Scope, s, a)\n	}\n",
		}},
	},
}

// The suite is worth something only if it catches what it is for: each of these builds must be caught, by the very
// scenario that the sound build passes.
func TestBrokenBuildsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program several times")
	}
	t.Parallel()
	for _, m := range mutants {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			t.Run("sound", func(t *testing.T) {
				if f := m.scenario(t, failing(t)); len(f) > 0 {
					t.Errorf("the sound build does not pass:\n%s", f)
				}
			})
			t.Run("broken", func(t *testing.T) {
				f := m.scenario(t, m.build(t))
				if len(f[m.must]) == 0 {
					t.Fatalf("the build with %s is not caught: want %s, found:\n%s", m.name, m.must, f)
				}
				t.Logf("caught:\n%s", f)
			})
		})
	}
}

// The product moves on, and a mutant that is forgotten proves nothing any more: it is noticed here, before anything is
// built.
func TestMutantsAreUpToDate(t *testing.T) {
	for _, m := range mutants {
		m.texts(t)
	}
}

// texts are the mutant's files as it has them.
func (m mutant) texts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, e := range m.edit {
		text, ok := texts[e.file]
		if !ok {
			content, err := os.ReadFile(filepath.Join(testenv.Root(t), e.file))
			if err != nil {
				t.Fatal(err)
			}
			text = string(content)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("the text that %q replaces occurs %d times in %s, want once: the product has moved on, bring the mutant up to date:\n%s", m.name, n, e.file, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return texts
}

// build makes the broken program.
func (m mutant) build(t *testing.T) string {
	t.Helper()
	root := testenv.Root(t)
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range m.texts(t) {
		path := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, file)] = path
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return testenv.Build(t, "-tags", "failpoints", "-overlay", list)
}

// killedBeforeCommit kills the service while a transaction of the inbox is about to be committed, under load.
func killedBeforeCommit(t *testing.T, binary string) findings {
	s := newStage(t, plan(newSeed(t), "before the commit"), setup{engine: "sqlite", replicas: 1, orgs: 4, pulls: 4, binary: binary})
	s.open("FAILPOINTS=S3=kill@8")
	s.play(60, 10*time.Millisecond, nil)
	s.dies("S3")
	s.settle(20 * time.Second)
	return s.check()
}

// lostFromTheList kills the service when it has taken deliveries from the list in Redis and done nothing about them yet.
func lostFromTheList(t *testing.T, binary string) findings {
	s := newStage(t, plan(newSeed(t), "lost from the list"), setup{engine: "redis", replicas: 1, orgs: 4, pulls: 4, binary: binary})
	s.open("FAILPOINTS=W1=kill@4")
	s.play(60, 10*time.Millisecond, nil)
	s.dies("W1")
	s.settle(20 * time.Second)
	return s.check()
}

// answerLost loses GitHub's answer to the first writes of a kind, each after it was carried out.
func answerLost(kind string) func(t *testing.T, binary string) findings {
	return func(t *testing.T, binary string) findings {
		s := newStage(t, plan(newSeed(t), "answer lost: "+kind), setup{engine: "sqlite", replicas: 1, orgs: 2, pulls: 2, binary: binary})
		for _, c := range s.pulls {
			c.held, c.docs = false, false
			c.story = []func(){c.story[0], c.story[len(c.story)-1]} // opened, and green
		}
		s.faulty.lose(kind, 2)
		s.open()
		s.play(0, 10*time.Millisecond, nil)
		s.settle(25 * time.Second)
		if n := s.faulty.lost(); n != 2 {
			t.Fatalf("%d answers to %s were lost, want 2: nothing is tested", n, kind)
		}
		return s.check()
	}
}

// sentThrice sends a delivery three times at once, and again when it is done.
func sentThrice(t *testing.T, binary string) findings {
	s := newStage(t, plan(newSeed(t), "thrice"), setup{engine: "sqlite", replicas: 1, orgs: 2, pulls: 2, binary: binary})
	s.post.duplicate, s.post.late = 1, 1
	s.open()
	s.play(20, 20*time.Millisecond, nil)
	s.settle(30 * time.Second)
	f := s.check()
	ids, sendings, _ := s.post.count()
	if sendings < 3*ids {
		f.add("M", "only %d sendings of %d deliveries: nothing is tested", sendings, ids)
	}
	return f
}
