# Everything happens in a virtual environment of the checkout; nothing is installed beside it, except that `make test`
# as root on Debian installs the keyring packages that its tests need, and `make test-proxies` nginx, haproxy and dnsmasq,
# `make test-pages` Chromium, and `make test-engines` Java.
#
#   make test ARGS="-k keyring"                        some tests only
#   make test PYTHON=python3.13 VENV=.venv-3.13        another Python, beside the first
#   make test-pythons PYTHONS=python3.14               how processes end, on that one

PYTHON  ?= python3
VENV    ?= .venv
SERVERS ?= .servers
SDKS    ?= .sdks
ARGS    ?=
BASE    ?=
ONLY    ?=
PAIRS   ?= 6
PYTHONS ?= python3.10 python3.11 python3.12 python3.13 python3.14
# Test processes side by side; each has servers of its own, about 1.5 GB in all.
WORKERS ?= 2

# What needs more than the tests are set up with, or more time.
ALONE := not campaign and not proxies and not pages and not sdks and not engines

# How processes end, and what they leave to a child.
ENDS := tests/test_process_ends.py tests/test_fork.py tests/test_cycles.py

BIN := $(abspath $(VENV))/bin
export TEST_SERVERS := $(abspath $(SERVERS))
export TEST_SDKS := $(abspath $(SDKS))
LOOPBACK := $(BIN)/python scripts/loopback.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-docs test-programs test-security test-proxies test-pages test-sdks test-engines test-pythons campaign campaign-65536 cov bench bench-quick bench-compare with-base docs docs-serve lint release-check setup setup-tests setup-docs setup-proxies setup-pages setup-engines setup-bench screens clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## a short tour of the command line and the library
	@PATH="$(BIN):$$PATH" scripts/demo

test: setup-tests ## the tests, on real servers (5 minutes)
	@$(LOOPBACK) $(BIN)/python -m pytest -m "not docs and not programs and not security and $(ALONE)" -n $(WORKERS) --dist worksteal $(ARGS)

test-docs: setup-tests ## the pages, samples and explanations, run as they are printed (2 minutes)
	@$(LOOPBACK) $(BIN)/python -m pytest -m "docs and $(ALONE)" -n $(WORKERS) --dist worksteal $(ARGS)

test-programs: setup-tests ## whole programs: how they start, ask, fork, wait and end (4 minutes)
	@$(LOOPBACK) $(BIN)/python -m pytest -m "programs and not security and $(ALONE)" -n $(WORKERS) --dist worksteal $(ARGS)

test-security: setup-tests ## hostile files, and canaries for every output of every command
	@$(LOOPBACK) $(BIN)/python -m pytest -m "security and not campaign and not engines" -n $(WORKERS) --dist worksteal $(ARGS)

test-proxies: setup-proxies ## nginx, haproxy, envoy and traefik in front of a Milvus, names of two addresses (40 seconds)
	@$(LOOPBACK) $(BIN)/python -m pytest -m proxies $(ARGS) tests/proxies

test-pages: setup-pages ## what `test --html` writes, in Chromium, and the pictures of `make screens` (1 minute)
	@$(LOOPBACK) $(BIN)/python -m pytest -m pages $(ARGS)

screens: setup-tests ## the terminal pictures of the documentation, from real runs, into docs/screens
	@$(LOOPBACK) $(BIN)/python scripts/screens.py

test-sdks: setup-tests ## real SDKs, other versions of pymilvus, and frameworks, which this fetches
	@$(BIN)/python scripts/sdks.py $(SDKS)
	@$(LOOPBACK) $(BIN)/python -m pytest -m sdks $(ARGS) tests/sdks tests/test_docs.py tests/test_frameworks.py tests/test_pymilvus.py

test-engines: setup-engines ## the samples of Dask, Ray and Spark, which this fetches (2 minutes)
	@$(LOOPBACK) $(BIN)/python -m pytest -m engines $(ARGS) tests/engines

# Not in CI: each takes an environment of 350 MB and some minutes.
test-pythons: setup-tests ## how processes end and fork, on every Python that is here, each in an environment of its own
	@for python in $(PYTHONS); do \
		$$python --version 2>/dev/null || { echo "$$python is not here"; continue; }; \
		venv=.venv-$${python##*python}; \
		$(MAKE) --no-print-directory setup PYTHON=$$python VENV=$$venv || exit 1; \
		$$venv/bin/python scripts/loopback.py $$venv/bin/python -m pytest $(ARGS) $(ENDS) || exit 1; \
	done

campaign: setup-tests ## the slow tests, and properties with many examples
	@$(LOOPBACK) $(BIN)/python -m pytest -m "campaign or hypothesis" --hypothesis-profile=large $(ARGS)

campaign-65536: setup-tests ## so many live connections in one process (10 minutes), into benchmarks/campaign-65536.md
	@$(LOOPBACK) $(BIN)/python -m benchmarks.campaign $(ARGS)

cov: setup-tests ## all tests but the campaigns, with a report of what they covered
	@$(BIN)/coverage erase
	@$(LOOPBACK) $(BIN)/coverage run -m pytest -m "$(ALONE)" -n $(WORKERS) --dist worksteal $(ARGS); failed=$$?; \
		$(BIN)/coverage combine --quiet && $(BIN)/coverage report && exit $$failed

bench: setup-bench ## every figure beside its peers (15 minutes), into benchmarks/RESULTS.md and history/
	@$(LOOPBACK) $(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(ARGS)

# A B B A and so on, on one machine in one run: make bench-compare BASE=main ONLY="connect pool" PAIRS=8
bench-compare: with-base setup-bench ## BASE=rev: that version and this one in turns, ONLY="figures", PAIRS=6
	@$(LOOPBACK) $(BIN)/python -m benchmarks.compare "$(BASE)" $(if $(ONLY),--only $(ONLY)) --pairs $(PAIRS) $(ARGS)

with-base:
	@test -n "$(BASE)" || { echo 'which version? make bench-compare BASE=main' >&2; exit 2; }

bench-quick: setup-bench ## the same as a first look (90 seconds), into build/bench
	@$(LOOPBACK) $(BIN)/python -m benchmarks --effort quick --output build/bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

docs: setup-docs ## the site, into build/site
	@$(BIN)/python scripts/docs.py
	@$(BIN)/zensical build --strict --clean

docs-serve: setup-docs ## the same on http://127.0.0.1:8000, built anew as its pages change
	@$(BIN)/python scripts/docs.py
	@$(BIN)/zensical serve --dev-addr 127.0.0.1:8000

lint: setup ## style, and types on Linux, macOS and Windows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin milvus_profiles
	@$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 milvus_profiles

release-check: setup ## build, look at and try what would be published, on every Python that is here
	@$(BIN)/python scripts/release_check.py $(PYTHONS)

setup: ## the virtual environment (every other target does this by itself)
	@$(PYTHON) scripts/bootstrap.py $(VENV)

setup-tests:
	@$(PYTHON) scripts/bootstrap.py $(VENV) --servers

setup-proxies:
	@$(PYTHON) scripts/bootstrap.py $(VENV) --servers --proxies

setup-pages:
	@$(PYTHON) scripts/bootstrap.py $(VENV) --servers --browser --docs

setup-engines:
	@$(PYTHON) scripts/bootstrap.py $(VENV) --servers --engines

setup-docs:
	@$(PYTHON) scripts/bootstrap.py $(VENV) --docs

setup-bench: setup-tests
	@$(PYTHON) scripts/sdks.py $(SDKS) milvus-cli awscli snowflake-cli

clean: ## remove what was made: environment, servers, caches
	@rm -rf $(VENV) $(SERVERS) $(SDKS) build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
