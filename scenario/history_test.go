package scenario

import (
	"fmt"
	"strings"
)

//	expect history N "WORDS"        a step of what happened says so; how many steps there are depends on the telling
//	expect explained N "WORDS"      some reason or rule of the explanation says so

func init() {
	type said struct{ Text, Who string }
	type answer struct {
		History []struct {
			Changed string `json:"changed"`
		} `json:"history"`
		Explanation struct {
			Reasons []said
			Rules   []struct {
				Title, Name, Came string
				Why               []said
			}
		} `json:"explanation"`
	}
	ask := func(s *story, n string) (answer, error) {
		var a answer
		pr, err := s.pull(n)
		if err != nil {
			return a, err
		}
		return a, s.ask(fmt.Sprintf("/api/pulls/octo/app/%d", pr.Number()), &a)
	}
	expectations["history"] = func(s *story, words []string) error {
		a, err := ask(s, words[0])
		if err != nil {
			return err
		}
		var all []string
		for _, h := range a.History {
			all = append(all, h.Changed)
		}
		if text := strings.Join(all, "\n  "); s.way.exact() && !strings.Contains(text, words[1]) {
			return fmt.Errorf("what happened is, newest first\n  %s", text)
		}
		return nil
	}
	expectations["explained"] = func(s *story, words []string) error {
		a, err := ask(s, words[0])
		if err != nil {
			return err
		}
		var all []string
		for _, r := range a.Explanation.Reasons {
			all = append(all, r.Text+" "+r.Who)
		}
		for _, r := range a.Explanation.Rules {
			all = append(all, strings.Join([]string{r.Title, r.Name, r.Came}, " "))
			for _, w := range r.Why {
				all = append(all, w.Text+" "+w.Who)
			}
		}
		if text := strings.Join(all, "\n  "); !strings.Contains(text, words[1]) {
			return fmt.Errorf("the explanation is\n  %s", text)
		}
		return nil
	}
}
