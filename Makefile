# make setup | run | stop | test | check | kills | bench | screens | fmt | clean
SHELL := /bin/bash
export PATH := $(CURDIR)/.tools/bin:$(PATH)
SCRIPTS := $(shell grep -rlE "^(\#!.*bash|\# shellcheck shell=bash)" scripts .ci)

.PHONY: setup run stop test check fmt-check clippy doc shellcheck deny kills bench screens fmt clean

setup: ## what building and testing need
	scripts/setup

run: setup ## the demonstration, in namespaces
	scripts/demo

stop: ## ends what `make run` left running
	scripts/demo stop

test: setup ## every ring: policy, kernel contract, store, api, lab (as root)
	cargo nextest run --workspace --locked

check: fmt-check clippy doc shellcheck deny test ## exactly what CI runs

fmt-check:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

shellcheck:
	shellcheck $(SCRIPTS)

deny:
	scripts/deny

kills: setup ## kill -9 of the gateway, 200 rounds
	KILL_ROUNDS=200 cargo nextest run -p doorward --locked --profile long -E 'test(kill_9)'

bench: ## measures and writes docs/benchmarks.md
	scripts/setup bench
	scripts/bench/run

screens: setup ## pictures of the panel's pages into docs/screens
	PANEL_SCREENS=$(CURDIR)/docs/screens cargo nextest run -p doorward --locked -E 'binary(lab) and test(panel::every)'

fmt:
	cargo fmt --all

clean:
	cargo clean
	rm -rf .tools
