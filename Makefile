# lab-layers: make help lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
# What the embedded parts and the tests need of the system (Debian's names).
PACKAGES := git runc postgresql busybox-static util-linux iproute2 containernetworking-plugins

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing, or say what to install
	@PACKAGES="$(PACKAGES)" ./.ci/setup

build: ## Build lab-layers, buildkitd and buildctl into bin/
	$(GO) build -o bin/ ./cmd/... github.com/moby/buildkit/cmd/buildkitd github.com/moby/buildkit/cmd/buildctl

cluster: ## Build the Kubernetes of the tests into bin/cluster (minutes, once)
	@deploy/cluster/build

demo: setup build ## Push a sample lab to an agent and watch what it builds
	@testdata/demo.sh bin .demo

torch: setup build ## Build the sample lab on Debian with PyTorch (minutes, 3 GB)
	@PACKAGES=mmdebstrap ./.ci/setup
	@testdata/torch.sh bin .torch

# Tests wait more than they compute, so there is one package more than processors.
test: setup build cluster ## Run every test with the race detector
	$(GO) test -race -p $$(($$(getconf _NPROCESSORS_ONLN) + 1)) -timeout 25m ./...

bench: setup build ## Measure beside the bare tools, as ratios
	@{ $(GO) test -run '^$$' -bench 'Push' -benchtime 20x ./cmd/lab-layers && \
	   $(GO) test -run '^$$' -bench 'Plan|Fetch' -benchtime 10x ./cmd/lab-layers && \
	   $(GO) test -run '^$$' -bench 'History' -benchtime 2x ./cmd/lab-layers && \
	   $(GO) test -run '^$$' -bench . -benchtime 5x ./layers ./agent/git ./pipeline/registry ./pipeline/buildkit; \
	 } | tee .bench.txt
	@awk -f .ci/ratios.awk .bench.txt

DURATION ?= 1h
SEED ?= 0

soak: setup build ## Kill the parts of one agent, then of two, at random for DURATION (1h each, by SEED), and load the agent
	$(GO) test -run '^Test(Soak|Load)' -v -timeout 0 -soak $(DURATION) -soak-seed $(SEED) ./cmd/lab-layers

generate: ## Write what is generated from the types of custom resources
	$(GO) generate ./deploy/operator/api

lint: ## go vet and staticcheck
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

.PHONY: help setup build cluster demo torch test bench soak generate lint
