# What people and CI run. Everything sets up what it needs; `make help` lists it.
# Written for GNU make 3.81, which macOS still has.

VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest
SOURCES := payflow sandbox wsgi.py

.DEFAULT_GOAL := help
.PHONY: help demo test quick soak lint messages bench lighthouse lock clean setup chromium

help: ## list the targets
	@sed -n 's/^\([a-z][a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

demo: setup ## run the whole of payflow on this machine (PORT, SANDBOX_PORT, PAYFLOW_DATA move it)
	@exec $(PY) -m sandbox.demo

test: setup chromium lint ## run every check, the browser's included
	@$(PYTEST) -n 3 --dist worksteal tests

quick: setup lint ## lint, types and the domain's tests: for while you work
	@$(PYTEST) -q tests/domain

soak: setup ## play many more histories of payments than the tests do (N, HTTP, CHAOS, SEED, PROCESSES)
	@N='$(or $(N),20000)' HTTP='$(or $(HTTP),0)' CHAOS='$(or $(CHAOS),0)' $(PY) -m tests.histories.soak

lint: setup ## style, types, the direction of imports, and that all words are translated
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy --strict $(SOURCES)
	@$(VENV)/bin/lint-imports
	@$(PY) scripts/messages.py --check

messages: setup ## bring translations/ up to date with what is said, and compile it
	@$(PY) scripts/messages.py

bench: setup ## measure the webhook and the pages
	@$(PY) -m bench

lighthouse: chromium ## hold the form and the receipt against Lighthouse (needs node)
	@command -v npm > /dev/null || { echo 'make lighthouse needs node 18.16 or newer, with npm' >&2; exit 1; }
	@test bench/lighthouse/node_modules/.package-lock.json -nt bench/lighthouse/package-lock.json || \
		npm ci --prefix bench/lighthouse --ignore-scripts --no-audit --no-fund --loglevel=error
	@$(PY) -m bench.lighthouse $(VENV)/chromium-path

lock: ## resolve requirements.in and requirements-dev.in anew (needs uv)
	@command -v uv > /dev/null || { echo 'make lock needs uv: https://docs.astral.sh/uv/' >&2; exit 1; }
	uv pip compile -q --universal --python-version 3.11 --no-emit-index-url requirements.in -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 --no-emit-index-url requirements-dev.in -o requirements-dev.txt

clean: ## remove the virtual environment and caches (the demo's data stays)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .make
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@PYTHON='$(PYTHON)' sh scripts/setup.sh $(VENV)

chromium: setup
	@$(PY) scripts/find_chromium.py $(VENV)/chromium-path
