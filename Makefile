# The developer's commands. Each needs nothing but Debian 12, root (once), git, make and python3: see scripts/setup.
.DEFAULT_GOAL := help
.PHONY: help setup run test check lint bench bench-network schemas guests lab docs
BIN := .venv/bin

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: ## install what is missing (Debian packages, .venv); starts no service
	@scripts/setup

run: setup ## converge specs/ on a throw-away host; stays watching on a terminal
	@$(BIN)/python scripts/demo.py

test: setup ## all tests: quick, live and on a booted kernel (PYTEST_ARGS="-k bond" for some)
	@scripts/check tests

check: setup ## what CI runs: lint, types, layers, schemas, docs, tests
	@scripts/check

lint: setup ## ruff, mypy --strict and the layers of the design
	@scripts/check lint types layers

bench: setup ## the figures, each beside its floor
	@$(BIN)/python -m tests.bench

bench-network: setup ## bond, VLANs, bridges beside bare pyroute2 and ifupdown2 (BENCH_ARGS="--kernel vm 100")
	@$(BIN)/python -m tests.bench network $(BENCH_ARGS)

schemas: setup ## write schemas/, generated from the declarations of the fields
	@$(BIN)/python -m cell_reconciler.load.schema --write schemas

guests: setup ## write what is known of guest operating systems, from this machine's osinfo-db and tzdata
	@$(BIN)/python scripts/guests.py

lab: setup ## a throw-away host to play with; `cellctl lab down` ends it
	@$(BIN)/cellctl lab up

docs: setup ## write the generated reference pages and build the documentation into site/
	@$(BIN)/python -m cell_reconciler.load.docs --write docs/reference/spec
	@$(BIN)/python -m cell_reconciler.cli.docs --write docs/reference/cli.md
	@scripts/check docs
