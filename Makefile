# `make demo` and `make test` are all that a fresh machine needs: each sets up what it lacks.

PYTHON ?= python3
ARGS   ?=
JOBS   ?= 2

# The tests of the export's page drive a real browser.
BROWSER := $(if $(shell command -v chromium || command -v chromium-browser || command -v google-chrome),, and not browser)
# Clients in other languages.
FOREIGN := $(if $(shell command -v curl && command -v javac && command -v npm),, and not foreign)
# Those of failing disks, power cuts and wrong clocks run the program under these.
FAULTS := $(if $(shell command -v fiu-run && command -v strace && command -v faketime),, and not injected)
# Tests that are named are run, the slow ones too.
QUICK := $(if $(filter tests/%,$(ARGS)),(unit or service or slow),not slow)
PYTEST := .venv/bin/python -m pytest -n $(JOBS) --dist loadfile

BASE = python:$(shell sed -nE 's/^ARG PYTHON=([^@]*).*/\1/p' Dockerfile)

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo run test test-unit test-slow check reliability format schema lock clean bench fuzz schemathesis machine sbom licences pin-base

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20
	@echo 'PYTHON=python3.12 picks the Python (3.11 or newer); ARGS="..." goes to the command: make test ARGS="-k consent"'

demo: setup-run ## Play the whole story with synthetic people
	@.venv/bin/python -m app demo $(ARGS)

run: setup-run ## Serve
	@.venv/bin/python -m app serve $(ARGS)

test: setup-dev ## Run the tests but the slow ones, two at a time; ARGS=tests/laws runs all of tests/laws
	@$(PYTEST) -m "$(QUICK)$(BROWSER)$(FOREIGN)$(FAULTS)" $(ARGS)
	@$(LEFT_OUT)

test-unit: setup-dev ## Run the tests that start no service and no process: the quick check of a change
	@$(PYTEST) -m unit $(ARGS)

test-slow: setup-dev ## Run the slow tests
	@$(PYTEST) -m "slow$(BROWSER)$(FOREIGN)$(FAULTS)" $(ARGS)
	@$(LEFT_OUT)

define LEFT_OUT
test -z '$(BROWSER)' || echo 'There is no Chromium: the tests marked `browser` were left out (apt-get install chromium).'; \
test -z '$(FOREIGN)' || echo 'The tests marked `foreign` were left out: apt-get install curl default-jdk-headless nodejs npm.'; \
test -z '$(FAULTS)' || echo 'The tests marked `injected` were LEFT OUT: apt-get install fiu-utils strace faketime.'
endef

check: setup-dev ## Format, lint, types and import rules
	@echo '* ruff format --check' && { .venv/bin/python -m ruff format --check --quiet . || { echo '`make format` puts this right.'; exit 1; }; }
	@echo '* ruff check' && .venv/bin/python -m ruff check --quiet .
	@echo '* mypy --strict' && .venv/bin/python -m mypy
	@echo '* lint-imports' && .venv/bin/python -c 'from importlinter.cli import lint_imports_command as lint; lint(["--no-logo"])'

reliability: setup-dev ## Kill the process at every step of each operation, and write the table of docs/reference/reliability.md
	@.venv/bin/python -m pytest tests/crash --write-table $(ARGS)

format: setup-dev ## Fix formatting and simple lint faults
	@.venv/bin/python -m ruff check --fix-only --quiet .
	@.venv/bin/python -m ruff format --quiet .

schema: setup-dev ## Write the schema of both databases into migrations/*/schema.sql, after a new migration
	@.venv/bin/python -m tests.support.pin_schema

fuzz: setup-fuzz ## Send broken pictures to the decoder for half a minute
	@mkdir -p build/fuzz/seen build/fuzz/found
	@PYTHONPATH=.venv/fuzz .venv/bin/python -m fuzz.decode -max_total_time=30 -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
		-artifact_prefix=build/fuzz/found/ -verbosity=0 -print_final_stats=1 $(ARGS) build/fuzz/seen fuzz/corpus

schemathesis: setup-dev ## Send generated requests to every operation, in each role: EXAMPLES=50
	@.venv/bin/python -m fuzz.api --max-examples $(or $(EXAMPLES),50) $(ARGS)

machine: setup-dev ## Run random operations and crashes on a service, for about ten minutes: EXAMPLES=100 STEPS=40
	@MIEN_MACHINE_EXAMPLES=$(or $(EXAMPLES),100) MIEN_MACHINE_STEPS=$(or $(STEPS),40) \
		.venv/bin/python -m pytest tests/machine/test_machine.py $(ARGS)

bench: setup-dev ## Measure both engines against the library by itself, and rights against the number of people (twenty minutes)
	@.venv/bin/python -m benchmarks.verify $(ARGS)
	@.venv/bin/python -m benchmarks.engines $(ARGS)
	@.venv/bin/python -m benchmarks.rights $(ARGS)

sbom: setup-sbom ## List every installed package, with its version and licence, in build/sbom.json (CycloneDX)
	@mkdir -p build
	@PYTHONPATH=.venv/sbom .venv/bin/python -m cyclonedx_py environment --output-reproducible --of JSON --output-file build/sbom.json \
		.venv/bin/python $(ARGS)

licences: setup-sbom ## Write the texts of the licences of every installed package to build/licences.txt
	@mkdir -p build
	@PYTHONPATH=.venv/sbom .venv/bin/python -m piplicenses --python .venv/bin/python --format plain-vertical \
		--with-license-file --no-license-path --output-file build/licences.txt $(ARGS)

pin-base: ## Write the digest of today's base image into the Dockerfile: from then on every build has that image
	@digest=$$(docker buildx imagetools inspect "$(BASE)" --format '{{.Manifest.Digest}}'); \
		[[ $$digest =~ ^sha256:[0-9a-f]{64}$$ ]] || { echo "the registry gave no digest of $(BASE)"; exit 1; }; \
		sed -i -E "s|^(ARG PYTHON=[^@]*).*|\1@$$digest|" Dockerfile; grep '^ARG PYTHON' Dockerfile

clean: ## Remove the environment and the caches; data stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

# --- Setup. Hashed lists, wheels only, so nothing compiles. Another Python or another list makes a new environment.

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
INSTALL := .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes --no-deps --only-binary :all:
NO_WHEEL = { echo 'That did not install. Either the network failed, or a package has no wheel for Python $(VERSION) on this machine:' \
	'then name another, as in PYTHON=python3.13.'; exit 1; }

.PHONY: setup-run setup-dev setup-fuzz setup-sbom
setup-run: .venv/.run-$(VERSION) ; @:
setup-dev: .venv/.dev-$(VERSION) ; @:
setup-fuzz: .venv/.fuzz-$(VERSION) ; @:
setup-sbom: .venv/.sbom-$(VERSION) ; @:

.venv/.run-$(VERSION): requirements/run.txt
	@test ! -L .venv || { echo '.venv is a link to somewhere else: remove it, or run this command where it points to.'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo 'Mien needs Python 3.11 or newer; $(PYTHON) is $(or $(VERSION),not there). Name another, as in PYTHON=python3.12.'; exit 1; }
	@echo '* making .venv with Python $(VERSION)'
	@$(PYTHON) -m venv --clear .venv || { echo 'That did not work. On Debian and Ubuntu: apt-get install python3-venv'; exit 1; }
	@echo '* installing what the program needs (up to a minute)'
	@$(INSTALL) -r $< || $(NO_WHEEL)
	@.venv/bin/python requirements/remove_unused.py
	@printf '%s\n' '#!/bin/sh' 'here=$$(dirname "$$(readlink -f "$$0")")' 'PYTHONPATH="$$here/../.." exec "$$here/python" -m app "$$@"' > .venv/bin/mien
	@chmod +x .venv/bin/mien
	@touch $@

.venv/.dev-$(VERSION): requirements/dev.txt .venv/.run-$(VERSION)
	@echo '* installing what the tests need'
	@$(INSTALL) -r $< || $(NO_WHEEL)
	@touch $@

.venv/.fuzz-$(VERSION): requirements/fuzz.txt .venv/.run-$(VERSION)
	@echo '* installing the fuzzer'
	@rm -rf .venv/fuzz
	@$(INSTALL) --target .venv/fuzz -r $< || $(NO_WHEEL)
	@touch $@

.venv/.sbom-$(VERSION): requirements/sbom.txt .venv/.run-$(VERSION)
	@echo '* installing the programs that list packages and licences'
	@rm -rf .venv/sbom
	@$(INSTALL) --target .venv/sbom -r $< || $(NO_WHEEL)
	@touch $@

# --- The lists. No configuration is read, so no address and no path of this machine gets into them.

LOCK = env -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS .venv/lock/bin/uv pip compile pyproject.toml \
	--quiet --upgrade --no-config --universal --python-version 3.11 --only-binary :all: --generate-hashes --no-emit-index-url \
	--overrides requirements/overrides.in --custom-compile-command 'make lock'

lock: ## Make the hashed requirement lists anew, with the newest versions that pyproject.toml allows
	@$(PYTHON) -m venv .venv/lock && .venv/lock/bin/python -m pip install -qq --disable-pip-version-check --only-binary :all: uv
	@echo '* requirements/run.txt' && $(LOCK) --extra evaluate --output-file requirements/run.txt
	@echo '* requirements/postgres.txt' && $(LOCK) --extra evaluate --extra postgres --constraints requirements/run.txt --output-file requirements/postgres.txt
	@echo '* requirements/dev.txt' && $(LOCK) --extra dev --extra evaluate --extra postgres --constraints requirements/run.txt --output-file requirements/dev.txt
	@echo '* requirements/fuzz.txt' && $(subst pyproject.toml,requirements/fuzz.in,$(LOCK)) --output-file requirements/fuzz.txt
	@echo '* requirements/sbom.txt' && $(subst pyproject.toml,requirements/sbom.in,$(LOCK)) --output-file requirements/sbom.txt
