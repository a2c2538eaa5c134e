# Bare `make` prints what there is to make.

# A machine without HOME (a container, a CI runner) still needs a place for Go's caches.
ifeq ($(HOME),)
export HOME := $(or $(shell getent passwd "$$(id -u)" | cut -d: -f6),/tmp)
endif

# The program is built without cgo; only the race detector needs it. One setting everywhere means one build cache.
export CGO_ENABLED := 0

# The commit and version come from git through the go tool, where git answers; a release says VERSION=v1.2.3.
MODULE  := github.com/brandonlacoste9-tech/github-pr-manager
VCS     := $(if $(shell git rev-parse HEAD 2>/dev/null),true,false)
LDFLAGS := -s -w $(if $(VERSION),-X $(MODULE)/internal/cli.version=$(VERSION))
TOOL    := go tool -modfile=tools/go.mod
BINARY  := bin/github-pr-manager

.DEFAULT_GOAL := help
.PHONY: help build run check test setup bench fuzz chaos race vuln cover fmt tools screenshots clean

help: ## Print this list
	@echo "GitHub PR Manager. Needs Go, git and make; the tests install the rest where they may."
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/github-pr-manager, one static binary
	@mkdir -p bin
	go build -trimpath -buildvcs=$(VCS) -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/github-pr-manager

run: build ## Build and run the demo: everything at work, no account, no set-up
	$(BINARY) demo

check: ## Fast checks without servers: build, vet, format, staticcheck, imports, unit tests, scenarios
	@scripts/check

test: ## Everything, as CI runs it; installs what is missing, at most half an hour
	@scripts/test

setup: ## Install what `make test` needs: servers, browser, npm packages
	@scripts/setup

bench: ## Measure what an acknowledgement and a decision cost, in ratios to what this machine can do
	go run ./bench

fuzz: ## Run each fuzz test for FUZZTIME (default 20s)
	@scripts/fuzz

chaos: ## Kill, freeze, starve and confuse the service for hours: the long forms of tests; SEED=n plays a plan again, RUN=Test… a part
	@scripts/chaos

race: ## Run the tests under the race detector (needs gcc)
	@scripts/race

vuln: ## Look the dependencies up in the database of known vulnerabilities
	@scripts/vuln

cover: ## Measure test coverage; bin/cover.html shows it line by line
	@mkdir -p bin
	@scripts/with-postgres --optional go test -coverpkg=./internal/...,./cmd/... -coverprofile=bin/cover.out ./...
	@go tool cover -html=bin/cover.out -o bin/cover.html
	@go tool cover -func=bin/cover.out | tail -1

fmt: ## Format the Go code
	$(TOOL) gofumpt -w .

tools: ## Build the pinned tools and print their versions
	$(TOOL) gofumpt -version
	$(TOOL) staticcheck -version
	$(TOOL) govulncheck -version
	$(TOOL) actionlint -version

screenshots: build ## Take docs/screenshot.png from the running demo (needs `make setup`)
	@scripts/screenshots

clean: ## Remove what was built; data/ and test/node_modules stay
	rm -rf bin
