# NovaHouse chatbot API. Needs Python 3.11 or newer and make; everything else is fetched into .uv and .venv here.
.DEFAULT_GOAL := help
.PHONY: help up test lint eval bench chaos simulation fuzz audit licences sbom image-check fmt clean _run _dev
MAKEFLAGS += --no-print-directory

# Compiled modules are kept in .venv even where the environment asks for none: each start would compile everything anew.
export PYTHONDONTWRITEBYTECODE =
export PYTHONPYCACHEPREFIX = $(CURDIR)/.venv/pycache

VENV := .venv/bin/python
FIND_PYTHON := for python in $(VENV) python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && break; python=; done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer is needed, and none was found on PATH." >&2; exit 1; fi

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

up: _run ## Run everything here: PostgreSQL, Redis, API, worker, sink (PORT=8010 make up chooses the port)
	@$(VENV) -m app.devstack --stop-with-parent

test: _dev ## Run all tests on throw-away servers (ARGS="tests/alerts -x" passes on to pytest)
	@$(VENV) -m pytest -n 2 $(ARGS)

lint: _dev ## Check style, types and the arrows between packages
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports

eval: _dev ## Have the conversations of tests/evaluation and judge them (ARGS="--file PATH" has others)
	@$(VENV) -m tests.evaluation $(ARGS)

bench: _dev ## Measure the chat write path and the alerts (ARGS passes on)
	@$(VENV) -m bench $(ARGS)

chaos: _dev ## Kill workers, Redis and PostgreSQL at random under load and count the alerts (ARGS="--rounds 50 --seed 1")
	@$(VENV) -m tests.chaos $(ARGS)

simulation: _dev ## Two weeks of follow-ups in minutes, with workers that die (ARGS="--conversations 1000 --seed 1")
	@$(VENV) -m tests.simulation $(ARGS)

audit: _dev ## Known vulnerabilities in what uv.lock pins
	@$(VENV) -m tests.supply.audit

licences: _dev ## Write docs/licences.md from uv.lock
	@$(VENV) -m tests.supply.licences

sbom: _dev ## Print the bill of materials of the image (CycloneDX)
	@.uv/bin/uv export --quiet --frozen --no-dev --format cyclonedx1.5 --preview-features sbom-export

image-check: _dev ## Search the files of IMAGE for secrets, compilers and the like (podman or docker)
	@$(VENV) -m tests.supply.image $(IMAGE)

fuzz: _dev ## Send what the schema allows and what it does not to a real API (ARGS="--max-examples 500" passes on)
	@$(VENV) -m tests.fuzz $(ARGS)

fmt: _dev ## Format, and fix what can be fixed
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

clean: ## Remove what was fetched and cached; the data in .novahouse stays
	rm -rf .venv .uv .mypy_cache .ruff_cache .import_linter_cache .hypothesis

_run:
	@$(FIND_PYTHON); exec "$$python" -I app/devstack/bootstrap.py

_dev:
	@$(FIND_PYTHON); exec "$$python" -I app/devstack/bootstrap.py --dev
