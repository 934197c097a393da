# The one set of commands: a person, the hook and CI run the same.
GOLANGCI := v2.15.0
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
export CGO_ENABLED ?= 0

.PHONY: demo test check bench build tools docs

demo: ## the trial: both simulators and the gateway on loopback
	go run ./cmd/kdgate-demo

build: ## the static production binary
	go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/kdgate ./cmd/kdgate

tools: ## what the tests need beside Go: redis-server and a Chromium
	@./.ci/tools

test: tools ## every test, with real Redis and a real browser
	go test -timeout 15m ./...

check: tools ## vet, lint, import rules, race tests
	go vet ./...
	./.ci/lint $(GOLANGCI)
	go test ./internal/archtest
	CGO_ENABLED=1 go test -race -short -timeout 15m ./...

bench: tools ## sign-ins per second on both drivers, vendors at 0 and 50 ms
	go test -run '^$$' -bench . -benchtime 3s -timeout 20m ./bench/

docs: ## the generated pages
	go run ./cmd/kdgate config-reference > docs/configuration.md
