package notice

import (
	"fmt"
	"slices"
	"strings"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/policy"
	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// reviewerClause says a reason about reviewers. No sentence begins with a login, which a capital would change.
func reviewerClause(r policy.Reason) string {
	who := persons(r.Names)
	switch r.Code {
	case policy.ReviewerTurn, policy.ReviewerIdle, policy.ReviewerDrawn, policy.ReviewerOnly:
		return fmt.Sprintf("to be asked for a review: %s, as %s", who, asBecause(r))
	case policy.ReviewerAgain:
		return fmt.Sprintf("to be asked for a review again: %s, as %s", who, asBecause(r))
	case policy.ReviewerAsked:
		return "asked for a review: " + who + asWas(r.Text)
	case policy.ReviewerOwner:
		return "asked for a review by GitHub, because of CODEOWNERS: " + who
	case policy.ReviewerReviewed:
		return "reviewed by " + who
	case policy.ReviewerSettling:
		return "asked for a review a moment ago, which GitHub does not show yet: " + who + asWas(r.Text)
	case policy.ReviewerGone:
		return "asked before and taken off the list since, so the place stays empty until /reroll fills it: " + who

	case policy.ReviewerAuthor:
		return "left out as the author: " + who
	case policy.ReviewerAway:
		return "left out as away, by the policy or by what GitHub shows: " + who
	case policy.ReviewerFull:
		return fmt.Sprintf("left out with %s or more to review already: %s", counted(r.Count, "pull request", "pull requests"), who)
	case policy.ReviewerNoWrite:
		return "left out for want of write access, which an administrator can give: " + who
	case policy.ReviewerBot:
		return "left out as no person: " + who
	case policy.ReviewerPassed:
		return "left out as /reroll passed them over: " + who
	case policy.ReviewerRefused:
		return fmt.Sprintf("left out as GitHub refused (%s): %s", or(strings.TrimRight(plain(r.Text, maxText), ". "), "it did not say why"), who) + triedAgain(r.Until)
	case policy.ReviewerUnknown:
		return fmt.Sprintf("left out as %s: %s", or(plain(r.Text, maxText), "GitHub does not tell enough"), who)

	case policy.ReviewersFew:
		return fmt.Sprintf("nobody is left who could be asked, though %d more should be", r.Count)
	case policy.ReviewersDraft:
		if who := people(r.Who); who != "" {
			return "nobody is asked to review a draft, which " + who + " can mark as ready"
		}
		return "nobody is asked to review a draft"
	case policy.ReviewersTeam:
		return fmt.Sprintf("nobody of %s can be asked: %s", who, or(plain(r.Text, maxText), "GitHub does not tell who is in it"))
	case policy.OwnersNobody:
		return "nobody owns the changed files by CODEOWNERS, so nobody is asked"
	case policy.OwnersUnclear:
		return "nobody is asked, as it is not known who owns the changed files: " + or(plain(r.Text, maxText), "that is being looked up")
	case policy.OwnersSkipped:
		return "a line of CODEOWNERS does not count: " + plain(r.Text, maxText)
	case policy.OwnersMail:
		return fmt.Sprintf("only GitHub knows whose addresses CODEOWNERS names, so nobody is asked for %s", who)
	}
	return ""
}

// asBecause says why somebody is asked, after "as".
func asBecause(r policy.Reason) string {
	switch r.Code {
	case policy.ReviewerTurn:
		return fmt.Sprintf("it is their turn, of %d who could be asked", r.Count)
	case policy.ReviewerIdle:
		s := fmt.Sprintf("none of the %d who could be asked has fewer open requests", r.Count)
		if r.Value != "" {
			s += " (" + plain(r.Value, maxName) + ")"
		}
		return s
	case policy.ReviewerDrawn:
		return fmt.Sprintf("the lot fell on them, of %d who could be asked", r.Count)
	case policy.ReviewerOnly:
		return "there is nobody else to choose from"
	case policy.ReviewerAgain:
		if r.SHA == "" {
			return "the head has changed since they reviewed it"
		}
		return "the head has changed since they reviewed " + commit(r.SHA)
	}
	return ""
}

// asWas repeats why somebody was asked.
func asWas(why string) string {
	if why == "" {
		return ""
	}
	return ", as " + strings.TrimSuffix(plain(why, maxText), ".")
}

// lastingReviewers are reasons about reviewers as they read before somebody is asked and after: that would be one more
// write of the report for each time that the service asks.
func lastingReviewers(rule policy.Rule) policy.Rule {
	if rule.Outcome == policy.ReviewersAsk {
		rule.Outcome = policy.ReviewersAsked
		if slices.ContainsFunc(rule.Why, func(r policy.Reason) bool { return r.Code == policy.ReviewersFew }) {
			rule.Outcome = policy.ReviewersShort
		}
	}
	why := slices.Clone(rule.Why)
	for i, r := range why {
		switch r.Code {
		case policy.ReviewerTurn, policy.ReviewerIdle, policy.ReviewerDrawn, policy.ReviewerOnly, policy.ReviewerAgain:
			why[i] = policy.Reason{Code: policy.ReviewerAsked, Names: r.Names, Text: asBecause(r)}
		case policy.ReviewerSettling:
			why[i].Code = policy.ReviewerAsked
		}
		why[i].Text = strings.TrimSuffix(why[i].Text, ".")
	}
	slices.SortStableFunc(why, func(a, b policy.Reason) int { return strings.Compare(clause(a), clause(b)) })
	rule.Why = why
	return rule
}

// persons names a few people, and counts the rest.
func persons(list []string) string {
	if len(list) > maxNames {
		return names(list)
	}
	var out []string
	for _, s := range list {
		out = append(out, plain(s, maxName))
	}
	return enumerate(out, "and")
}

// askedBecause says why an action asks somebody, or "" if the rule does not.
func askedBecause(rule policy.Rule, a pull.Action) string {
	for _, r := range rule.Why {
		why := asBecause(r)
		if why == "" {
			continue
		}
		for _, name := range r.Names {
			if strings.EqualFold(name, a.Target) {
				return finish(act(a) + ": " + why)
			}
		}
	}
	return ""
}

// reviewerEndings say what became of a rule about reviewers.
var reviewerEndings = map[policy.Outcome]ending{
	policy.ReviewersAsk:     {"asks for reviews now", "✓", Good},
	policy.ReviewersAsked:   {"has as many as it asks for", "✓", Good},
	policy.ReviewersShort:   {"finds nobody more to ask", "!", Wait},
	policy.ReviewersNone:    {"asks nobody", "✗", ""},
	policy.ReviewersLater:   {"waits until it is no draft", "✗", ""},
	policy.ReviewersUnknown: {"is left as it is: not known", "?", Wait},
}
