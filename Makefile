# Everything one does with the project. `make` alone lists it; docs/howto/develop.md explains.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh

# Another environment that happens to be active must not leak into ours.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTEST_ADDOPTS DJANGO_SETTINGS_MODULE

BIN := .venv/bin
ARGS ?=
TOOLS_HOME := MODELPOOL_HOME=$(CURDIR)/.mypy_cache/home

RUNTIME := .venv/.runtime
EVERYTHING := .venv/.everything

# An environment that was moved, or whose Python is gone, is made anew.
$(shell scripts/setup check)

.PHONY: help run setup test test-fast test-sqlite test-postgres lint fmt types contracts bench docs pictures clean

help:  ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: $(RUNTIME)  ## Run the server with a demo on http://127.0.0.1:8000; ARGS="--port 8001" adds options
	@exec $(BIN)/modelpool serve --demo --home ./.modelpool $(ARGS)

setup: $(EVERYTHING)  ## Make the environment .venv with everything in it
	@echo ".venv is ready: . .venv/bin/activate gives you the command modelpool"

test: lint types contracts test-sqlite test-postgres  ## Lint, types, import contracts and all tests, on SQLite and PostgreSQL

test-fast: $(EVERYTHING)  ## The quick tests only, under two minutes; ARGS="-k name" chooses
	$(BIN)/python -m pytest -n auto -m "not slow and not browser" $(ARGS)

test-sqlite: $(EVERYTHING)  ## All tests, the database being SQLite
	@scripts/test-servers
	$(BIN)/python -m pytest -n auto $(ARGS)

test-postgres: $(EVERYTHING)  ## The tests that use a database, on PostgreSQL
	@scripts/test-servers
	MODELPOOL_TEST_DATABASE=postgres $(BIN)/python -m pytest -n auto -m "database" $(ARGS)

lint: $(EVERYTHING)  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fmt: $(EVERYTHING)  ## Mend style and formatting where it can be done safely
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(EVERYTHING)  ## Check types (mypy, strict)
	$(TOOLS_HOME) $(BIN)/mypy

contracts: $(EVERYTHING)  ## Check that imports only point downwards
	$(BIN)/lint-imports --no-cache

bench: $(EVERYTHING)  ## Measure, and write the tables of the page on performance; ARGS=--quick, ARGS="predict peers"
	$(BIN)/python benchmarks/run.py $(ARGS)

docs: $(EVERYTHING)  ## Build the documentation into docs/_build/html
	$(TOOLS_HOME) $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

pictures: $(EVERYTHING)  ## Take the pictures of the console that the documentation shows
	@scripts/test-servers
	$(BIN)/python docs/pictures/take.py

clean:  ## Remove what was made here: environment, caches, built files (not .modelpool, where your models are)
	rm -rf .venv build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml uv.lock
	@scripts/setup runtime

$(EVERYTHING): pyproject.toml uv.lock
	@scripts/setup everything
