# The one set of commands: a person, the hook and CI run the same.
GOLANGCI := v2.15.0
VULN     := v1.8.0
DB       ?= https://vuln.go.dev
STEADY   ?= 1h# of make soak's load
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BIN      ?= bin/kdgate
# Templates find methods by name, so the linker keeps the methods that nobody calls, and
# inlining writes them out again. What is large and never hot goes without it: 2.1 MB of
# go-redis, which has Redis's 600 commands on each of a dozen types, 0.8 MB of the other
# libraries, 0.3 MB of the console and of what runs at the start or on a command.
COLD     := github.com/redis/go-redis/v9 google.golang.org/protobuf/... github.com/expr-lang/... github.com/spf13/... github.com/xuri/... \
            go.yaml.in/... github.com/pelletier/... github.com/prometheus/... github.com/go-viper/... github.com/shopspring/... \
            github.com/subosito/... github.com/sagikazarmark/... github.com/richardlehane/... github.com/tiendc/... golang.org/x/text/... \
            kdgate/web/... kdgate/internal/config kdgate/internal/setup kdgate/internal/checkup kdgate/internal/localapi
SMALL    := $(foreach library,$(COLD),-gcflags=$(library)=-l)
export CGO_ENABLED ?= 0

.PHONY: demo test check bench chaos soak build sbom vuln tools docs

demo: ## the trial: both simulators and the gateway on loopback
	go run ./cmd/kdgate-demo

build: ## the static production binary: the same bytes from the same files, whichever folder they lie in
	go build -trimpath -buildvcs=false $(SMALL) -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/kdgate

sbom: build ## what the binary is made of, as CycloneDX JSON beside it
	$(BIN) version --sbom > $(BIN).cdx.json

vuln: ## known holes in what the program calls; DB=file:///path where vuln.go.dev cannot be reached
	./.ci/vulncheck $(VULN) $(DB)

tools: ## what the tests need beside Go: redis-server and a Chromium
	@./.ci/tools

test: tools ## every test, with real Redis and a real browser
	go test -timeout 15m ./...

check: tools ## vet, lint, import rules, race tests
	go vet ./...
	./.ci/lint $(GOLANGCI)
	go test ./internal/archtest
	CGO_ENABLED=1 go test -race -short -timeout 15m ./...

bench: tools ## clicks per second and 100,000 people beside their floors, start, bursts, then the parts alone; eight minutes
	go test -run '^$$' -bench 'Click|Start|Proxied' -benchtime 1s -timeout 15m ./bench/
	go test -run '^$$' -bench Burst -benchtime 1x -timeout 5m ./bench/
	go test -run '^$$' -bench Directory -benchtime 1x -timeout 10m ./bench/
	go test -run '^$$' -bench . -benchtime 300ms ./audit ./store/... ./kingdee ./identity/session
	go test -run '^$$' -bench 'Import|Search|Resolve' -benchtime 1x ./mapping
	go test -run '^$$' -bench Console -benchtime 1x ./web/admin

chaos: tools ## 1,000 people sign in while Redis is killed, failed over, starved and made to lie; four minutes, loopback only
	go test -count=1 -v -timeout 8m -run 'TestCampaign' ./bench/chaos -args -chaos

soak: tools ## the long forms: 200 clicks a second for an hour, abuse for minutes, Redis under faults for minutes, 10,000 and 100,000 approvals, 2,000 crashes, ten million audit records; over three hours, loopback only
	go test -count=1 -v -timeout 90m -run 'TestSteady$$' ./bench -args -steady $(STEADY)
	go test -count=1 -v -timeout 20m -run 'TestAbuse' ./bench/chaos -args -soak
	go test -count=1 -v -timeout 20m -run 'TestSoak' ./bench/chaos -args -soak
	go test -count=1 -v -timeout 60m -run 'TestTenThousand|TestAwayForHours|TestKilledReplica' ./jobs/approval -args -long
	go test -count=1 -v -timeout 20m -run 'TestKilledAtEveryWrite' ./cmd/kdgate -args -long
	go test -count=1 -v -timeout 3h -run 'TestScale$$' ./audit -args -scale 10000000

docs: ## the generated pages
	go run ./cmd/kdgate config-reference > docs/configuration.md
