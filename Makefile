# Everything that this repository can do, two commands first. `make help` lists them.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# The name of the development cluster that `make demo` leaves running and `make down` takes down.
CLUSTER ?= perfrun
PYTEST_ARGS ?=

.PHONY: help demo test setup lint format test-unit test-gpu test-full generate bench down clean

help: ## show this list
	@printf 'perfrun: SLOs written as Gherkin, proven on a live Kubernetes.\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nNeeds Python 3.11 and, for the development cluster, Go 1.26 and root. CLUSTER=name picks another cluster.\n'

demo: setup ## set up, bring up a 6-node Kubernetes, apply the feature files, show measured verdicts
	@$(BIN)/python -m perfrun.cli.demo --cluster $(CLUSTER)

test: setup lint ## set up, lint, and run all tests that need no GPU (brings up its own cluster)
	@echo 'test: running all tests but those marked full'
	@$(BIN)/pytest -m 'not full' $(PYTEST_ARGS)

setup: ## make .venv/bin/perfrun; instant when up to date
	@scripts/setup

lint: setup ## ruff, strict types, import layers, and whether generated files are in step
	@echo 'lint: ruff check' && $(BIN)/ruff check .
	@echo 'lint: ruff format' && $(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; exit 1; }
	@echo 'lint: mypy --strict' && $(BIN)/mypy
	@echo 'lint: import layers' && mkdir -p build && { $(BIN)/lint-imports >build/imports.log 2>&1 || { cat build/imports.log; exit 1; }; }
	@echo 'lint: generated files' && scripts/generated check

format: setup ## let ruff rewrite what it can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

generate: setup ## rewrite generated files: crds, the chart's copy of them, examples, the vocabulary
	@scripts/generated write

test-unit: setup ## only the tests that need no cluster; seconds
	@$(BIN)/pytest -m 'not full and not cluster and not contract' $(PYTEST_ARGS)

test-gpu: setup ## what only a machine with an NVIDIA GPU can show: the kernels, NVML, features judged on the GPU
	@$(BIN)/pytest tests/gpu tests/unit/kernels $(PYTEST_ARGS)

test-full: setup lint ## every test, the long ones too
	@$(BIN)/pytest $(PYTEST_ARGS)

bench: setup ## measure what the project promises about its own speed, as a table
	@$(BIN)/python bench/run.py

down: ## take the demo's cluster down, leaving nothing
	@if [ -x $(BIN)/perfrun ]; then $(BIN)/perfrun dev down --name $(CLUSTER); else echo 'down: nothing is set up here'; fi

clean: down ## down, then remove what setup and tests made in this directory
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
