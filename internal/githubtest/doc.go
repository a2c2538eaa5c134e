// Package githubtest is a simulated GitHub: accounts, repositories, pull requests, reviews, checks and webhooks, with
// GitHub's REST and GraphQL faces over them.
//
// Every answer follows from state. Repositories are real bare git repositories and every SHA is real; whether a pull
// request conflicts is decided by git; a merge moves a branch; a 404, 405, 409 or 422 is given where GitHub gives it
// and in GitHub's words. A GraphQL request is validated against a true subset of GitHub's schema and executed
// selection by selection, so that a client that asks for what GitHub does not have, or reads what it has not asked
// for, fails here as it would there. Tests compare the schema, the REST answers and the webhook payloads with what
// GitHub publishes about itself.
//
// A Server is one world. It has a cast and an audience. The cast are the people and programs that a test plays through
// Go methods (Repo.Push, Repo.Open, PR.Review, Thread.Reply, PR.Enqueue, Repo.Check); what they do fires the webhooks that
// GitHub would send. The audience is whoever speaks HTTP: the program under test. Each mutating request by the audience is
// written into the Journal, whether it was applied and whatever was answered, so that a test compares what happened rather than
// what was tried.
//
// Knobs make the world as unpleasant as the real one: Fail injects one fault per matching request, before or after it
// has taken effect; Deliveries lags, drops, doubles and reorders webhooks; Limits lowers the budgets; OnRequest and
// Between let a test act between two steps of a client. Usage counts what a well-behaved client never does.
//
// Nothing starts by itself and nothing listens. A Server is an http.Handler; Transport is a client's RoundTripper that
// calls it in the caller's goroutine, so that it works inside a testing/synctest bubble. Webhooks wait in a queue until
// Flush sends them or Run does so as they fall due.
//
// The package knows nothing of the program that it tests, so that one misunderstanding of GitHub can't hide in both.
// It needs git at run time, version 2.38 or newer.
package githubtest
