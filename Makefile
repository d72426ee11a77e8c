# Short names for the scripts in tests/. `make help` lists them.
PREFIX ?= /usr/local

.PHONY: help build demo test test-vm fuzz soak bench ci lint deny install clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

build: ## Build target/release/kube
	tests/packages.sh build
	cargo build --release --locked --package kube-play

demo: ## Build, create an image, run manifests/hello.yaml and fetch its page (as root)
	tests/demo.sh

test: ## Format check, clippy, unit, property and end-to-end tests (as root)
	tests/test.sh

test-vm: ## The end-to-end tests in a virtual machine with systemd and cgroup v2 (as root)
	tests/packages.sh build test vm
	cargo build --locked --package kube-play
	tests/vm.sh

bench: build ## Compare kube with podman; BENCH="play ten --runs 5" for a part (as root)
	tests/packages.sh bench
	cargo build --release --locked --package pod-core --example oci_floor
	cargo build --locked --package tests --bin bench
	target/debug/bench $(or $(BENCH),--write docs/benchmarks.md)

soak: ## 500 plays and downs in a row; the host must be as before (as root)
	tests/packages.sh build test
	cargo build --locked --package kube-play
	KUBE_TEST_SOAK=1 cargo test --locked --package tests --test e2e -- --exact --nocapture soak::soak_many_cycles

fuzz: ## Fuzz the parsers of untrusted input, SECONDS=600 per target (as root)
	tests/packages.sh build fuzz
	tests/fuzz.sh $(or $(SECONDS),600)

ci: ## Run test and test-vm, as continuous integration does
	.ci/run

lint: ## Format check and clippy only
	tests/packages.sh build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

deny: ## Check licences, duplicates and sources of dependencies, if cargo-deny is installed
	tests/deny.sh

install: build ## Install kube, its manual pages and completions below PREFIX (/usr/local)
	install -D -m 755 target/release/kube $(DESTDIR)$(PREFIX)/bin/kube
	target/release/kube man $(DESTDIR)$(PREFIX)/share/man/man1
	mkdir -p $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	target/release/kube completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/kube

clean: ## Remove everything that was built
	cargo clean
