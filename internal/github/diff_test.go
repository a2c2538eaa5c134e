package github

import (
	"strings"
	"testing"
)

const plainDiff = `diff --git a/f b/f
index 1111111..2222222 100644
--- a/f
+++ b/f
@@ -1,3 +1,3 @@ func f() {
 one
-two
+zwei
 three
diff --git a/old b/new
similarity index 100%
rename from old
rename to new
diff --git a/run b/run
old mode 100644
new mode 100755
diff --git a/empty b/empty
new file mode 100644
index 0000000..e69de29
diff --git a/logo.png b/logo.png
index 3333333..4444444 100644
Binary files a/logo.png and b/logo.png differ
diff --git a/end b/end
index 5555555..6666666 100644
--- a/end
+++ b/end
@@ -1 +1,2 @@
-a
\ No newline at end of file
+a
+b
\ No newline at end of file
`

func TestWhatMakesTwoChangesDiffer(t *testing.T) {
	base := readDiff(plainDiff)
	if base.doubt != "" || len(base.binaries) != 1 || base.binaries[0] != (binary{"logo.png", "logo.png"}) {
		t.Fatalf("readDiff = %+v", base)
	}
	for _, c := range []struct {
		name, old, now string
		same           bool
	}{
		{"the contents before and after a text file", "1111111..2222222", "aaaaaaa..bbbbbbb", true},
		{"a line", "+zwei", "+zwo", false},
		{"a space at the end", "+zwei", "+zwei ", false},
		{"a carriage return", "+zwei", "+zwei\r", false},
		{"a line around it", " three", " drei", false},
		{"where it is", "@@ -1,3 +1,3 @@", "@@ -4,3 +4,3 @@", false},
		{"what it is in", "func f()", "func g()", false},
		{"a mode", "new mode 100755", "new mode 120000", false},
		{"the mode of a file that is changed", "2222222 100644", "2222222 100755", false},
		{"what a file was called", "rename from old", "rename from older", false},
		{"how alike they are", "similarity index 100%", "similarity index 99%", false},
		{"what a binary file is", "3333333..4444444", "3333333..7777777", false},
		{"what a binary file was", "3333333..4444444", "7777777..4444444", false},
		{"the end of a file", "+b\n\\ No newline at end of file\n", "+b\n", false},
	} {
		if !strings.Contains(plainDiff, c.old) {
			t.Fatalf("%s: nothing to change", c.name)
		}
		got := readDiff(strings.Replace(plainDiff, c.old, c.now, 1))
		if got.doubt != "" || (got.digest == base.digest) != c.same {
			t.Errorf("%s: the same is %v (%s), want %v", c.name, got.digest == base.digest, got.doubt, c.same)
		}
	}
}

func TestWhatCanNotBeCompared(t *testing.T) {
	many := strings.Repeat("diff --git a/e b/e\nnew file mode 100644\nindex 0000000..e69de29\n", maxDiffFiles)
	long := "diff --git a/f b/f\nindex 1111111..2222222 100644\n--- a/f\n+++ b/f\n@@ -0,0 +1,20000 @@\n" + strings.Repeat("+x\n", maxDiffLines)
	for name, text := range map[string]string{
		"cut in a line":                   plainDiff[:len(plainDiff)-3],
		"cut in a part":                   plainDiff[:strings.Index(plainDiff, " three")],
		"a part without its file":         "@@ -1 +1 @@\n-a\n+b\n",
		"a file without its change":       "diff --git a/f b/f\nindex 1111111..2222222 100644\ndiff --git a/run b/run\nold mode 100644\nnew mode 100755\n",
		"and with half of it":             "diff --git a/f b/f\nindex 1111111..2222222 100644\n--- a/f\n+++ b/f\n",
		"a new file that is not shown":    "diff --git a/f b/f\nnew file mode 100644\nindex 0000000..2222222\n",
		"words of another kind":           "diff --git a/f b/f\nindex 1111111..2222222 100644\nGIT binary patch\nliteral 3\n",
		"an empty line in a part":         strings.Replace(plainDiff, " one\n", "\n", 1),
		"more lines than a part says":     strings.Replace(plainDiff, "+zwei\n", "+zwei\n+drei\n", 1),
		"a number that is too large":      strings.Replace(plainDiff, "-1,3 +1,3", "-1,99999999999999999999 +1,3", 1),
		"a binary file in quotes":         "diff --git \"a/\\303\\251\" \"b/\\303\\251\"\nindex 3333333..4444444 100644\nBinary files \"a/\\303\\251\" and \"b/\\303\\251\" differ\n",
		"as many files as GitHub shows":   many,
		"as many lines as GitHub shows":   long,
		"a comparison of another program": "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n",
	} {
		if d := readDiff(text); d.doubt == "" {
			t.Errorf("%s: it was believed", name)
		}
	}
}

// FuzzReadDiff: whatever comes is read without harm; what is believed differs from itself with one more line.
func FuzzReadDiff(f *testing.F) {
	f.Add(plainDiff, 40)
	f.Add("", 0)
	f.Add("diff --git a/a b/a\n@@ -1 +1 @@\n", 3)
	f.Fuzz(func(t *testing.T, text string, at int) {
		d := readDiff(text)
		if d.doubt != "" || at < 0 || at > len(text) {
			return
		}
		other := readDiff(text[:at] + "+more\n" + text[at:])
		if other.doubt == "" && other.digest == d.digest && !strings.Contains(text, "index ") {
			t.Errorf("a line more makes no difference:\n%s", text)
		}
	})
}
