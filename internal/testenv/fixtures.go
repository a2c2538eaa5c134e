package testenv

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Files of the npm packages that test/package.json pins, for [Fixture].
const (
	WebhookExamplesFile = "@octokit/webhooks-examples/api.github.com/index.json"
	OpenAPIFile         = "@octokit/openapi/generated/api.github.com.json"
	OpenAPIWebhooksFile = "@octokit/openapi-webhooks/generated/api.github.com.json"
	GraphQLSchemaFile   = "@octokit/graphql-schema/schema.graphql"
)

// Fixture returns the path of a file in one of the npm packages of test/package.json, such as [GraphQLSchemaFile].
func Fixture(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), "test", "node_modules", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		Missing(t, "the fixture %s is not installed; run: (cd test && npm ci --ignore-scripts)", name)
	}
	return path
}

// An Example is one payload that GitHub has really sent, as the community recorded it.
type Example struct {
	Event   string // as in X-GitHub-Event
	Name    string // unique among all examples: "pull_request/opened/3"
	Action  string // "" where the event has none
	Payload json.RawMessage
}

// WebhookExamples returns all recorded payloads of github.com: every event, every example.
func WebhookExamples(t testing.TB) []Example {
	t.Helper()
	return readExamples(t, WebhookExamplesFile)
}

// EnterpriseExamples returns the recorded payloads of a GitHub Enterprise Server, version "31" to "35" for 3.1 to 3.5.
func EnterpriseExamples(t testing.TB, version string) []Example {
	t.Helper()
	return readExamples(t, "@octokit/webhooks-examples/ghes-"+version+"/index.json")
}

func readExamples(t testing.TB, name string) []Example {
	t.Helper()
	text, err := os.ReadFile(Fixture(t, name))
	if err != nil {
		t.Fatalf("read examples: %v", err)
	}
	var events []struct {
		Name     string            `json:"name"`
		Examples []json.RawMessage `json:"examples"`
	}
	if err := json.Unmarshal(text, &events); err != nil {
		t.Fatalf("read examples %s: %v", name, err)
	}
	var all []Example
	for _, event := range events {
		count := map[string]int{}
		for _, payload := range event.Examples {
			var head struct {
				Action string `json:"action"`
			}
			if err := json.Unmarshal(payload, &head); err != nil {
				t.Fatalf("read examples %s: event %s: %v", name, event.Name, err)
			}
			label := event.Name
			if head.Action != "" {
				label += "/" + head.Action
			}
			count[label]++
			all = append(all, Example{
				Event:   event.Name,
				Name:    fmt.Sprintf("%s/%d", label, count[label]),
				Action:  head.Action,
				Payload: payload,
			})
		}
	}
	if len(all) == 0 {
		t.Fatalf("read examples %s: it holds none", name)
	}
	return all
}
