# `make` alone lists the targets. Each sets up what it needs: Python 3.10+ and make are enough.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check bench docs site clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.ready  ## create .venv with badnets in it

$(VENV)/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "expected $(PYTHON) on the PATH, got none; install Python 3.10 or newer" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "expected Python 3.10 or newer, got $$($(PYTHON) --version 2>&1); try make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { \
		echo "expected python's venv module to work, got the error above; on Debian: apt install python3-venv" >&2; exit 2; }
	@echo "installing badnets and what it needs into $(VENV) (minutes the first time)"
	@$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup  ## plant a backdoor, train, measure, and write a page: two minutes
	@$(BIN)/badnets demo

# In CI the slow tests run as well.
test: setup  ## run the tests
	$(PYTEST) $(if $(filter true,$(CI)),,-m "not slow")

test-all: setup  ## run the tests, the slow ones too
	$(PYTEST)

check: setup  ## lint, types, import contracts, spelling, docs, wheel
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python docs/make.py --check
	$(BIN)/python .ci/check_wheel.py

bench: setup  ## measure speed and memory, against other toolkits where they are installed
	@$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

docs: setup  ## write the generated parts of docs/ anew
	$(BIN)/python docs/make.py
	$(BIN)/python docs/make_pictures.py

site: setup  ## write all pages as a site into docs/site/
	@$(BIN)/python docs/make_site.py

clean:  ## delete .venv, caches and built packages (runs are kept)
	rm -rf $(VENV) docs/site build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
