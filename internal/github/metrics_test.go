package github

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is not in the list has no series until it happens, and its first time is no increase for a query.
func TestEveryRequestIsInTheListOfTheMetrics(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`(?:\bop: |w\.send\(|w\.read\(|l\.get\(|l\.list\()"([a-z._]+)"( \+)?`).FindAllStringSubmatch(string(text), -1) {
			if m[2] == "" {
				made = append(made, m[1])
			}
		}
	}
	slices.Sort(made)
	if made = slices.Compact(made); !slices.Equal(made, requests) {
		t.Errorf("requests = %v, want all that the code makes, in order: %v", requests, made)
	}
}
