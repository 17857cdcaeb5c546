# Everything a clone needs is set up by the targets themselves; `make help` lists them.
# Needed beforehand: make, a python3 (3.9 or later) and the network. Python 3.13, Java and Node are found or fetched.

BIN := .venv/bin
UV = $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
# Variables of somebody else's environment that would lead the tools away from this one.
unexport VIRTUAL_ENV UV_PROJECT_ENVIRONMENT PYTHONPATH PYTHONHOME
# uv trusts the machine's certificates, a company's own among them, as every other tool here does (old name, new name).
export UV_NATIVE_TLS ?= true
export UV_SYSTEM_CERTS ?= true
EXPORT = $(UV) export --frozen --quiet --no-header --no-emit-project --no-annotate

.PHONY: help setup demo test test-all stress preview package lint format docs requirements bench clean
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'ARGS="..." adds options: make demo ARGS="--days 2", make test ARGS="-k kinesis"'

setup: .venv/.synced ## Install everything: Python packages, emulator, jars (the others call it; a second time it is instant)
	@$(BIN)/python -m local.emulator_installation
	@$(BIN)/python -m runtime.jars
	@$(BIN)/python -m runtime.log_store
	@$(BIN)/python -m local.class_archive

demo: setup ## Run the lakehouse end to end on real data, then print KPIs, data quality and the proof
	@$(BIN)/lakehouse demo $(ARGS)

# Two workers: most of a test that takes long is waiting for processes that it has started.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test: setup ## Run the unit and integration tests and one demo, in WORKERS=2 processes
	@$(PYTEST) $(or $(ARGS),tests/unit tests/integration tests/e2e/test_demo.py)

test-all: setup ## Run all tests: the estate, killed jobs, full disks and the dashboard in a browser too
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	  command -v $$name > /dev/null && exit 0; \
	done; \
	ls -d "$$HOME"/.cache/ms-playwright/chromium* > /dev/null 2>&1 || \
	  echo 'make: no Chromium or Chrome was found, so the browser tests will fail: apt-get install chromium, or $(BIN)/playwright install chromium' >&2
	@$(PYTEST) $(ARGS)

lint: .venv/.synced ## Check style, formatting, types, and that requirements.txt is the lock
	@$(BIN)/ruff check --no-cache .
	@$(BIN)/ruff format --no-cache --check .
	@$(BIN)/mypy
	@$(EXPORT) | cmp -s - requirements.txt || { echo 'make: requirements.txt is not what uv.lock says: run `make requirements`' >&2; exit 1; }

audit: .venv/.synced ## Look for known vulnerabilities in the locked dependencies, and for secrets in the repository
	@$(BIN)/python -m local.secret_scan
	@$(BIN)/python -m local.dependency_audit

format: .venv/.synced ## Put the code into the house format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: .venv/.synced ## Write docs/contracts from contracts/, and docs/kpis from the KPIs and their meanings
	@$(BIN)/python -m local.contract_pages
	@$(BIN)/python -m local.kpi_pages

preview: package ## Plan the AWS estate of STACK=dev against an empty emulated account; fails on a warning (needs pulumi)
	@$(BIN)/python -m tests.infra.preview $(or $(STACK),dev)

package: setup ## Build what the AWS jobs run into dist/package
	@$(BIN)/python -m infra.packaging

requirements: .venv/.synced ## Write requirements.txt from uv.lock
	@$(EXPORT) > requirements.txt

stress: setup ## Kill the jobs KILLS=200 times at random (SEED=1) while shards split and merge, and prove that nothing was lost
	@$(BIN)/python -m local.stress --seed $(or $(SEED),1) --kills $(or $(KILLS),200)

bench: setup ## Measure the costs that docs/benchmarks.md reports
	@$(BIN)/python -m bench $(ARGS)

clean: ## Stop the local stack and remove all that the other targets made
	@[ ! -f .lakehouse/stack.json ] || [ ! -x $(BIN)/lakehouse ] || $(BIN)/lakehouse down
	@rm -rf .venv .tools .lakehouse dist .pytest_cache .mypy_cache .ruff_cache .hypothesis spark-warehouse metastore_db derby.log
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.synced: pyproject.toml uv.lock .python-version | uv
	@$(UV) sync --frozen || { echo 'make: the Python packages could not be installed. If Python 3.13 is what is missing, install it (pyenv install 3.13, or your system'"'"'s package python3.13) and try again.' >&2; exit 1; }
	@touch $@

# uv on PATH is taken as it is; else pip brings it into .tools, with whichever Python can make an environment.
.PHONY: uv
uv:
	@command -v uv > /dev/null || [ -x .tools/bin/uv ] || { \
	  for python in python3.13 python3 python; do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))' 2> /dev/null; then \
	      $$python -m venv .tools && .tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8' && exit 0; \
	      echo 'make: uv could not be installed with pip: check the network and proxy settings, or install uv yourself.' >&2; exit 1; \
	    fi; \
	  done; \
	  echo 'make: no python3 (3.9 or later) with its venv module was found: install one (Debian: apt-get install python3 python3-venv), or uv.' >&2; exit 1; }
