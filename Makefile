# Every target with a "## " comment is listed by `make help`.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN   := bin/tributary
TOOLS := $(CURDIR)/bin/tools

GOLANGCI_VERSION    := v2.15.0
GOVULNCHECK_VERSION := v1.2.0
GOLANGCI    := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
GOVULNCHECK := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck

# The date is the commit's, so that two builds of one commit are equal.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DATE    ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# Passed on: make run ARGS=--no-demo, make test PKG=./store/... ARGS='-run Search'
ARGS ?=
PKG  ?= ./...
TEST_TIMEOUT ?= 25m
MODEL  := oauthflow/refreshmodel
ORACLE := internal/visibility
# Tested without the race detector: tests that drive the engine or whole processes, made of what is tested with it; and code without goroutines.
PLAIN  := internal/acceptance cmd/tributary internal/soak examples internal/pgserver internal/mutants internal/chunk
# What takes longest begins first, so that nothing is waited for alone.
FIRST  := ./web/... ./store/... ./jobs/... ./internal/visibility/...

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/tributary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/tributary

.PHONY: run
run: ## install what is missing, build, and start with the demo on a managed local PostgreSQL
	@scripts/setup.sh --for run
	@$(MAKE) build
	$(BIN) up --demo $(ARGS)

.PHONY: test
test: ## install what tests need, then vet and test everything with the race detector
	@scripts/setup.sh --for test
	go vet $(PKG)
ifeq ($(PKG),./...)
	TEST_ORACLE_CHECKS=20000 TEST_DIFFERENTIAL_SEEDS=40 go test -race -timeout $(TEST_TIMEOUT) $(ARGS) $$({ go list $(FIRST); go list ./...; } | awk '!seen[$$0]++' | grep -v -E '/($(subst $() ,|,$(MODEL) $(PLAIN)))$$')
	go test -timeout $(TEST_TIMEOUT) $(ARGS) $(addprefix ./,$(PLAIN))
	@# What the race detector saw a part of, in full without it. How many states, seeds and checks there were is part of the result: -v prints it.
	go test -timeout $(TEST_TIMEOUT) -v $(ARGS) ./$(MODEL) | grep -v '^=== '
	go test -timeout $(TEST_TIMEOUT) -v -run 'TestDifferential$$' $(ARGS) ./connectors/... | grep -v -E '^=== |no test'
	go test -timeout $(TEST_TIMEOUT) -v -run 'TestEveryRouteEqualsOracle$$' $(ARGS) ./$(ORACLE) | grep -v '^=== '
else
	go test -race -timeout $(TEST_TIMEOUT) $(ARGS) $(PKG)
endif

.PHONY: bench
bench: ## measure this machine against limit programs (about 4 minutes; BENCH=quick: 1)
	@scripts/setup.sh --for bench
	@scripts/corpus.sh
	go run ./internal/bench $(ARGS)

.PHONY: bench-words
bench-words: ## keyword search over SCALE chunks (80,000) against plain ts_rank over what the reader sees (2 minutes)
	@scripts/setup.sh --for test
	go run ./internal/bench -words $(ARGS)

.PHONY: bench-sync
bench-sync: ## pull 8,000 files over HTTP, against rclone and the ingest alone (needs rclone; about 4 minutes; BENCH=quick: 1)
	@scripts/setup.sh --for bench
	@scripts/corpus.sh
	go run ./internal/bench -sync -rounds 3 $(ARGS)

.PHONY: bench-search
bench-search: ## search as readers of 100 % to 0.1 %, against plain SQL (SCALE=200000 chunks: about 8 minutes; SCALE=1000000: an hour)
	@scripts/setup.sh --for bench
	go run ./internal/bench -search $(ARGS)

.PHONY: bench-web
bench-web: ## every page with SCALE chunks (1,000,000), 500 connections and 100,000 runs in the store, each LOOKS (40) times, against an empty page (about 4 minutes)
	@scripts/setup.sh --for bench
	@$(MAKE) build
	go run ./internal/bench -web $(ARGS)

.PHONY: bench-audit
bench-audit: ## searches that are recorded against searches that are not, in turn (at most 1.05; 1 minute)
	@scripts/setup.sh --for bench
	go test ./store -run '^$$' -bench ReadAudit -benchtime 2000x

.PHONY: bench-load
bench-load: ## 64 readers at a time for two minutes, against one (SCALE=200000 chunks, LOAD=2m: about 8 minutes)
	@scripts/setup.sh --for bench
	go run ./internal/bench -load $(ARGS)

.PHONY: fuzz-routes
fuzz-routes: ## send random requests to every address, as everybody (TIME=10m)
	@scripts/setup.sh --for test
	TEST_FUZZ_ROUTES=$(or $(TIME),10m) go test -race -timeout 120m -count=1 -v -run TestWB9AnyRequestIsAnswered $(ARGS) ./web

.PHONY: test-interleave
test-interleave: ## interleave runs of both lanes with changes of who may read, and read after each (STEPS=10000: about 2 minutes)
	@scripts/setup.sh --for test
	TEST_INTERLEAVINGS=$(or $(STEPS),10000) go test -timeout 60m -count=1 -v -run TestOlderRunNeverOverwritesANewerACL $(ARGS) ./store

.PHONY: test-identity
test-identity: ## ask as 200 readers on a pool of four, cancelled and panicking, also through PgBouncer (QUESTIONS=10000: about 3 minutes)
	@scripts/setup.sh --for test
	TEST_IDENTITY_QUESTIONS=$(or $(QUESTIONS),10000) go test -timeout 120m -count=1 -v -run 'TestNobodyInheritsAnIdentity|TestPE4' $(ARGS) ./store

.PHONY: test-container
test-container: ## change the readers of a container of 100,000 documents, and each document's own (about 5 minutes; DOCUMENTS=n)
	@scripts/setup.sh --for test
	TEST_CONTAINER=$(or $(DOCUMENTS),100000) go test -timeout 40m -count=1 -v -run TestReadersOfAContainerChange $(ARGS) ./store

.PHONY: test-timing
test-timing: ## compare 10,000 fetches of hidden with as many of absent ids (about 2 minutes)
	@scripts/setup.sh --for test
	TEST_TIMING=10000 go test -timeout 20m -count=1 -v -run TestHiddenTakesAsLongAsAbsent $(ARGS) ./web

.PHONY: acceptance
acceptance: ## show on 8,000 real files what the 1,000 of `make test` show (about 10 minutes)
	@scripts/setup.sh --for test
	@scripts/corpus.sh
	TEST_REQUIRE=1 TEST_ACCEPTANCE=full go test -timeout 60m -v $(ARGS) ./internal/acceptance

.PHONY: screenshots
screenshots: ## pictures of a page of every kind, at both widths and in both themes, in data/screenshots (2 minutes)
	@scripts/setup.sh --for test
	TEST_ARTIFACTS=$(CURDIR)/data/screenshots go test -count=1 -run 'TestChromiumFromEmptyToSynced$$' $(ARGS) ./cmd/tributary
	@echo 'Look into data/screenshots.'

.PHONY: test-kill
test-kill: ## kill -9 the process and the postmaster 30 times each during a sync (about 5 minutes)
	@scripts/setup.sh --for test
	TEST_KILLS=30 go test -timeout 60m -v -run 'TestKill' $(ARGS) ./internal/acceptance

.PHONY: test-oracle
test-oracle: ## compare every route with the oracle through random histories: 10 million checks, half an hour (CHECKS=100000000: a night; SEED=n plays one again)
	@scripts/setup.sh --for test
	TEST_ORACLE_CHECKS=$(or $(CHECKS),10000000) TEST_ORACLE_SEED=$(SEED) go test -timeout 720m -count=1 -v $(ARGS) ./internal/visibility

.PHONY: test-mutants
test-mutants: ## put 20 known mistakes into the permissions, one at a time, and let the oracle find each (about 10 minutes)
	@scripts/setup.sh --for test
	@go run ./internal/mutants $(ARGS)

.PHONY: soak-live
soak-live: ## watch 200 pages of a connection that is synced again and again: memory, database sessions, and how the program ends (LIVE=10m)
	@scripts/setup.sh --for bench
	@$(MAKE) build
	go run ./internal/bench -live $(ARGS)

.PHONY: soak-sync
soak-sync: ## sync 1,000 random sources under random faults and compare with the truth (about 15 minutes; SEEDS=n)
	@scripts/setup.sh --for test
	TEST_SOAK_SEEDS=$(or $(SEEDS),1000) go test -timeout 60m -count=1 -v -run 'TestSoak$$' $(ARGS) ./internal/soak

.PHONY: soak-fair
soak-fair: ## share two slots between 100 connections of very different size, with the times that ship (MINUTES=n, 5 by default)
	@scripts/setup.sh --for test
	TEST_FAIR_MINUTES=$(or $(MINUTES),5) go test -timeout 180m -count=1 -parallel 1 -v -run 'TestManyDueSchedules$$|TestSmallConnectionsDoNotWaitBehindLargeOnes$$' $(ARGS) ./jobs

.PHONY: soak-rolling
soak-rolling: ## restart three workers in turn, again and again, while a source that changes is synced (MINUTES=n, 60 by default)
	@scripts/setup.sh --for test
	TEST_ROLLING_MINUTES=$(or $(MINUTES),60) go test -timeout 300m -count=1 -v -run 'TestRollingRestarts$$' $(ARGS) ./internal/acceptance

.PHONY: chaos
chaos: ## kill, freeze, restart and cut off workers through 10,000 documents, with the times that ship (about 15 minutes)
	@scripts/setup.sh --for test
	TEST_CHAOS=full go test -timeout 60m -count=1 -parallel 1 -v -run 'TestKilledAndFrozen|TestTakeover|TestPostgresRestarts|TestNetworkCut|TestDiskFull|TestNoSpaceLeft' $(ARGS) ./internal/acceptance

.PHONY: soak-erase
soak-erase: ## erase a connection of 10,000 documents during a sync and read every file of the database (about 1 minute; DOCUMENTS=n)
	@scripts/setup.sh --for test
	TEST_ERASE_DOCUMENTS=$(or $(DOCUMENTS),10000) go test -timeout 30m -count=1 -v -run 'TestEraseConnectionDuringASync$$' $(ARGS) ./jobs

.PHONY: test-feed
test-feed: ## kill -9 the sample consumer of the feed 50 times while everything changes (about 2 minutes; KILLS=50 SEED=1)
	@scripts/setup.sh --for test
	TEST_FEED_KILLS=$(or $(KILLS),50) TEST_FEED_SEED=$(or $(SEED),1) go test -timeout 30m -count=1 -v -run TestKilledConsumer $(ARGS) ./examples/feed

.PHONY: test-push
test-push: ## push 100,000 documents twice with kill -9 of the server in between (about 15 minutes; PUSH=10000: 2)
	@scripts/setup.sh --for test
	TEST_PUSH=$(or $(PUSH),100000) go test -timeout 90m -count=1 -v -run TestPushedDocumentsSurviveKills $(ARGS) ./cmd/tributary

.PHONY: test-refresh
test-refresh: ## refresh under 16 processes, 4,000 kills, outages, an hour of faults (about 80 minutes; SOAK=60s: 20)
	@scripts/setup.sh --for test
	TEST_RF1_PROCESSES=16 TEST_RF1_CALLS=1000 TEST_RF1_ROUNDS=50 TEST_RF2_KILLS=1000 TEST_RF3_OUTAGE_MS=60000 TEST_RF4_SOAK=$(or $(SOAK),1h) TEST_RF7_GRANTS=10000 \
		go test -timeout 180m -v -run 'TestRF' $(ARGS) ./oauthflow/refresh

.PHONY: test-tokens
test-tokens: ## sync for five minutes with tokens that live 30 seconds (about 7 minutes)
	@scripts/setup.sh --for test
	TEST_CONSENT=full go test -timeout 20m -count=1 -v -run TestShortTokens $(ARGS) ./internal/consenttest

.PHONY: test-gitea
test-gitea: ## run the gitea connector against a real Gitea (about 10 minutes the first time, which builds it; then 5)
	TEST_GITEA=$$(scripts/gitea.sh) go test -timeout 20m -count=1 -v $(ARGS) ./internal/giteatest

.PHONY: lint
lint: $(GOLANGCI) ## run the linters of .golangci.yml
	$(GOLANGCI) config verify
	$(GOLANGCI) run $(PKG)

.PHONY: format
format: $(GOLANGCI) ## format every Go file the way lint wants it
	$(GOLANGCI) fmt $(PKG)

.PHONY: generate
generate: ## write every generated file anew
	go generate ./...

.PHONY: verify
verify: $(GOVULNCHECK) ## check module sums, generated files and known vulnerabilities
	go mod verify
	scripts/check-generated.sh
	scripts/check-vulnerabilities.sh $(GOVULNCHECK)

.PHONY: clean
clean: ## delete what building made
	rm -rf bin coverage.out

# Tools live in directories named by version: another version is another file.
$(GOLANGCI):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(GOVULNCHECK):
	GOBIN=$(@D) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
