# Everything a change needs. `make` alone lists the targets.

GO ?= go
BIN := bin
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/canald
LINT_VERSION := v2.12.2
LINT := $(CACHE)/golangci-lint-$(LINT_VERSION)/golangci-lint
SOURCES ?= mysql-9.7,mariadb-10.11
MATRIX := mysql-9.7,mysql-8.0,mysql-5.6,mysql-5.5,mariadb-10.11,mariadb-11.4,mariadb-10.2
UNIT := $(shell $(GO) list ./... 2>/dev/null | grep -v /test/)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
FUZZ_TIME ?= 10s
SOAK_SECONDS ?= 600
comma := ,

.DEFAULT_GOAL := help
.PHONY: help build test unit lint fmt generate fuzz parts integration conformance fault systemd golden truth soak matrix bench demo dist deb image cover check clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## build bin/canald, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/canald ./cmd/canald

test: lint unit parts ## all that a change must pass: lint, unit and race tests, real servers and clients
	CANALD_TEST_SOURCES=$(SOURCES) $(GO) test -p 1 -count=1 -timeout 20m ./test/...

unit: ## unit tests with the race detector
	$(GO) vet ./...
	$(GO) test -race -shuffle=on -p 2 -timeout 10m $(UNIT)

lint: $(LINT) ## golangci-lint with the set of .golangci.yml
	GOLANGCI_LINT_CACHE=$(CURDIR)/$(BIN)/lint-cache $(LINT) run --timeout 10m ./...

$(LINT):
	@echo "building golangci-lint $(LINT_VERSION), which takes a few minutes the first time"
	@mkdir -p $(dir $(LINT))
	GOBIN=$(dir $(LINT)) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

fmt: $(LINT) ## format the code
	$(LINT) fmt ./...

generate: ## make the generated code again
	$(GO) generate ./...

fuzz: ## run each fuzz target for FUZZ_TIME
	@set -e; for p in $$($(GO) list ./internal/... ./client/...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZ_TIME) $$p; done; done

parts: ## get the real servers and clients that tests use
	test/parts/get.sh $(subst $(comma), ,$(SOURCES)) mysql-8.0 java-client java-server python-client zookeeper

integration: parts ## tests on real servers
	CANALD_TEST_SOURCES=$(SOURCES) $(GO) test -count=1 -timeout 20m ./test/integration

conformance: parts ## tests with the unmodified Java, Go and Python clients
	CANALD_TEST_SOURCES=$(SOURCES) $(GO) test -count=1 -timeout 20m ./test/conformance

fault: parts ## kill, cut and starve the real binary
	CANALD_TEST_SOURCES=$(SOURCES) $(GO) test -count=1 -timeout 20m ./test/fault

systemd: ## the unit under a real systemd; needs root, debootstrap and systemd-nspawn
	rm -f dist/canald_*_amd64.deb && deploy/package/deb.sh $(VERSION) amd64
	test -d $(CACHE)/systemd/usr || debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,adduser bookworm $(CACHE)/systemd
	test/parts/get.sh mysql-9.7 zookeeper
	CANALD_SYSTEMD_TREE=$(CACHE)/systemd CANALD_TEST_SOURCES=mysql-9.7 $(GO) test -tags systemd -v -count=1 -timeout 20m -run TestSystemd ./test/fault

golden: ## replay recorded scripts and compare with what Canal's Java server sent
	test/parts/get.sh mysql-9.7 mariadb-10.11
	$(GO) test -count=1 -timeout 10m ./test/golden

truth: parts ## tables rebuilt from the stream against the database: SEED=7 or SEEDS=1-200, SERVER=mysql-9.7
	CANALD_TEST_SOURCES=$(or $(SERVER),$(SOURCES)) CANALD_TRUTH_SEEDS=$(or $(SEED),$(SEEDS)) $(GO) test -v -count=1 -timeout 120m -run TestTruth ./test/truth

soak: parts ## seeds of truth for SOAK_SECONDS on each server
	CANALD_TEST_SOURCES=$(or $(SERVER),$(SOURCES)) CANALD_TRUTH_SECONDS=$(SOAK_SECONDS) $(GO) test -v -count=1 -timeout 600m -run TestTruth ./test/truth

matrix: ## the integration tests on all seven versions, with a table at the end
	test/parts/get.sh $(subst $(comma), ,$(MATRIX))
	CANALD_TEST_SOURCES=$(MATRIX) $(GO) test -json -count=1 -timeout 40m ./test/integration | $(GO) run ./test/matrix $(MATRIX)

bench: build ## speed and memory beside a raw dump
	$(GO) run ./test/bench -rows 600000 -runs 5
	$(GO) run ./test/bench -idle 100
	$(GO) run ./test/bench -transaction 1000

demo: build ## see rows arrive: a real source, canald, a client, in a throw-away folder
	$(GO) run ./test/demo

dist: ## dist/canald-VERSION-linux-ARCH.tar.gz with the layout of a Canal home
	deploy/package/dist.sh $(VERSION) amd64 arm64

image: build ## build the Docker image canald:latest around bin/canald
	docker build -t canald:latest -f deploy/docker/Dockerfile .

deb: ## dist/canald_VERSION_amd64.deb with the systemd unit
	deploy/package/deb.sh $(VERSION) amd64

cover: ## coverage of the unit tests
	$(GO) test -coverprofile=coverage.out $(UNIT)
	$(GO) tool cover -func=coverage.out | tail -1

check: lint unit ## what needs no other program, in minutes

clean: ## remove what was built
	rm -rf $(BIN) coverage.out
