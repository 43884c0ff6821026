# What a developer needs; `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/videocall
# Continuous integration builds in fresh clones: what it built before lies beside them.
ifdef CI
export CARGO_TARGET_DIR ?= $(CACHE)/target
endif
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
ARGS ?=
ONE ?=
EACH ?= 60

.PHONY: help up test bench web package lint fmt fuzz e2e docs audit hooks clean

help: ## List what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Install what is missing, build, and run the server with its page (ARGS="--lan" for the network)
	@scripts/setup up
	@echo "== building the server"
	@cargo build --profile up -p videocall-server
	@echo "== building the page"
	@cargo xtask web
	@exec $(TARGET)/up/videocall-server --ui-dir dist $(ARGS)

test: ## Install what is missing, and run every check and test
	@scripts/test

bench: ## Print the numbers with their floors (ONLY=relay.websocket for some)
	@ONLY=$(ONLY) scripts/bench

web: ## Build the page into dist/, small and compressed
	@scripts/setup up
	@cargo xtask web

package: ## Build the packages of videocall-cli for amd64 and arm64 (ARGS="--arch arm64" for one)
	@scripts/setup package
	@cargo xtask package $(ARGS)

lint: ## Formatting, clippy, generated code, licences
	@scripts/test lint

fmt: ## Format everything
	@cargo fmt --all

fuzz: ## Fuzz every decoder (EACH=60 seconds)
	@cargo xtask fuzz --seconds $(EACH)

e2e: ## The browser tests alone (ONE=tests/call.test.mjs for one file)
	@scripts/test e2e $(ONE)

docs: ## Build the documentation of the crates
	@cargo doc --workspace --exclude yew-ui --no-deps
	@echo "$(TARGET)/doc/videocall_relay/index.html"

audit: ## Look for known vulnerabilities; needs the network
	@scripts/setup test
	@$(CACHE)/tools/bin/cargo-deny check advisories

hooks: ## Check formatting and generated code before each commit from now on
	@git config core.hooksPath .githooks
	@echo "Enabled. Undo: git config --unset core.hooksPath"

clean: ## Remove what was built
	@cargo clean
	@rm -rf dist e2e/node_modules e2e/artifacts
