package github

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// An organization's own role counts as what it is based on, and an answer without an account as none.
func TestAnswersAboutAPerson(t *testing.T) {
	for _, c := range []struct {
		answer     string
		status     int
		permission pull.PermissionLevel
		missing    string
	}{
		{`{"permission":"write","role_name":"release captain","user":{"id":5,"login":"Ann","type":"User"}}`, 200, pull.PermissionWrite, ""},
		{`{"permission":"read","role_name":"triage","user":{"id":5,"login":"Ann","type":"User"}}`, 200, pull.PermissionTriage, ""},
		{`{"permission":"write","role_name":"write","user":null}`, 200, "", "GitHub does not say who it is"},
		{`{"message":"Not Found"}`, 404, "", "there is no such account"},
		{`{"message":"Must have push access to view collaborator permission."}`, 403, "", "GitHub does not say what it may do here: Must have push access to view collaborator permission."},
	} {
		w := newWorld(t, always(c.status, c.answer))
		s, err := w.Learn(context.Background(), pull.ScopeToken, seven, []pull.Need{{Kind: pull.NeedPerson, Name: "ANN"}})
		p := s.Known.People["ann"]
		if err != nil || p.Permission != c.permission || p.Missing != c.missing || (c.permission != "" && p.Actor.ID != 5) {
			t.Errorf("%s = %+v, %v, want %q, %q", c.answer, p, err, c.permission, c.missing)
		}
		if seven.Known.People != nil {
			t.Fatal("the snapshot that was given was written into")
		}
	}
}

// A shelf forgets rather than grows.
func TestAShelfHasRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shelf[int, string]
		s.put(1, "short", 0, time.Minute)
		s.put(2, "long", 0, time.Hour)
		time.Sleep(2 * time.Minute)
		if _, ok := s.get(1); ok {
			t.Error("an answer outlives its time")
		}
		s.put(3, "heavy", shelfRoom-600, time.Hour)
		if _, ok := s.m[1]; ok || len(s.m) != 2 {
			t.Errorf("%d answers, want what has run out gone first", len(s.m))
		}
		s.put(4, "more", shelfRoom/2, time.Hour)
		if v, ok := s.get(4); !ok || v != "more" || len(s.m) != 1 {
			t.Errorf("%d answers, want the newest alone", len(s.m))
		}
		for i := range 10 {
			s.put(4, "again", i, time.Hour)
		}
		if want := 256 + 9; s.weight != want {
			t.Errorf("weight = %d, want %d", s.weight, want)
		}
	})
}
