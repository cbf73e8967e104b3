.DEFAULT_GOAL := help

# The modules to check: the program, and those that keep their dependencies to themselves: the benchmark its
# peers', the test of the API's description its generator's, that of the exported spans their protocol's, that in
# a browser what drives one.
MODULES := . $(patsubst %/go.mod,%,$(wildcard bench/go.mod test/*/go.mod))

# The linters have a module of their own; `go tool` downloads and builds them when they are first needed.
TOOL := go tool -modfile=$(CURDIR)/tools/go.mod

# Go asks git for the revision to stamp, and fails where git will not answer (a folder owned by someone else, say).
STAMP := $(if $(shell git rev-parse HEAD 2>/dev/null),,-buildvcs=false)

# What a test writes need not outlive the machine: in memory, where there is room, the suite takes two thirds of the
# time. Several packages at once, as each waits much of its time.
MEMORY := $(shell df -k /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 {print "/dev/shm"}')
TEST := $(if $(MEMORY),GOTMPDIR=$(MEMORY) TMPDIR=$(MEMORY)) go test -p 4

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Start everything in one process, on http://127.0.0.1:8080 (ARGS="--listen ..." for flags)
	@exec bin/millrace dev $(ARGS)

.PHONY: build
build: ## Build bin/millrace, one static binary
	CGO_ENABLED=0 go build -trimpath $(STAMP) -o bin/millrace ./cmd/millrace

.PHONY: test
test: ## Run the tests, the longest ones shortened (ARGS="-run Name -v" for flags)
	$(TEST) -short $(ARGS) ./...
	@for module in $(patsubst %/go.mod,%,$(wildcard test/*/go.mod)); do echo "cd $$module && go test -short ./..."; (cd $$module && $(TEST) -short $(ARGS) ./...) || exit 1; done

.PHONY: campaign
campaign: ## Run the longest tests in full: processes that are killed, or die before any of their writes
	$(TEST) -count=1 -timeout 30m -run 'Death|Killed|Campaign' $(ARGS) ./...

# The detector would sleep for a second at the end of each process that a test starts. Left out is what spends days of
# virtual time, and what starts hundreds of processes, on what runs at once in other tests too: ten times as slow, that
# alone would take minutes.
SLOW := TestExample_|TestTasksOfHours|TestReplacedForLong|TestMovedBesideAnUnknownQueue|TestHistory$$|TestSweepUnique|TestCancelBeforeItRuns|TestParked$$|TestDocumentedCommands|TestScriptsApart

.PHONY: race
race: ## Run the tests, the longest ones shortened, under the race detector (needs a C compiler)
	@set -- $$(go env CC); command -v "$$1" >/dev/null || { echo 'make race needs a C compiler: install gcc, or set CC' >&2; exit 1; }
	CGO_ENABLED=1 GORACE=atexit_sleep_ms=10 $(TEST) -p 3 -race -short -timeout 30m -skip '$(SLOW)' $(ARGS) ./...

.PHONY: cover
cover: ## Measure what the tests cover, in cover.out
	go test -coverpkg=./... -coverprofile=cover.out ./...
	@go tool cover -func=cover.out | tail -n 1

.PHONY: check
check: lint test ## All that a change must pass: lint, then the tests

.PHONY: lint
lint: $(MODULES:%=lint/%) ## gofumpt, go vet, staticcheck and deadcode
	@echo 'gofumpt .'; $(call silent,$(TOOL) gofumpt -l .)

.PHONY: $(MODULES:%=lint/%)
$(MODULES:%=lint/%): lint/%:
	cd $* && go vet ./...
	cd $* && $(TOOL) staticcheck ./...
	@echo 'cd $* && deadcode -test ./...'; cd $* && $(call silent,$(TOOL) deadcode -test ./...)

# gofumpt and deadcode report by printing and exit with 0 all the same: whatever they print is a failure.
silent = found=$$($(1)) && test -z "$$found" || { echo "$$found"; exit 1; }

.PHONY: fmt
fmt: ## Format the code
	$(TOOL) gofumpt -w .

.PHONY: bench
bench: ## Measure throughput and latency (ARGS="..." for its flags)
	cd bench && go run . $(ARGS)
