# make demo    set up, train on a synthetic market, backtest, export, paper-trade; no network needed once installed
# make test    set up and run the whole test suite
# make test-paper   the acceptance table against Alpaca's paper service, with the keys in the environment; places small orders
# make lint    ruff and pyright
# make docs    the guide as a site, in build/site
# make proof NAME   one of the long proofs in experiments/proofs
# make study NAME   one of the studies in experiments/studies
# make bench   the benchmarks in experiments/benchmarks, those that need other packages included (ARGS=NAME: one of them)
# make wheels  fill a folder (WHEELS=wheels) from which `make demo WHEELS=folder` installs without network
#
# PYTHON=... chooses the interpreter, WORKERS=... how many test processes run at once.

SHELL := /bin/bash
WORKERS ?= 2
PIP := .venv/bin/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt $(if $(WHEELS),--no-index --find-links "$(abspath $(WHEELS))")
REQUIREMENTS := pyproject.toml constraints.txt

.PHONY: help demo test test-paper lint docs proof study bench wheels setup setup-dev
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p;/^$$/q' Makefile

demo: setup
	@.venv/bin/python experiments/demo.py

# A worker that dies ends the run: in place of it xdist starts another, and may wait for it for ever.
test: setup-dev
	.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart=0

test-paper: setup-dev
	ACCEPTANCE=paper .venv/bin/python -m pytest tests/acceptance -v --timeout 600

lint: setup-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

docs: setup-dev
	.venv/bin/zensical build --strict

bench: .venv/installed-bench
	.venv/bin/cappuccino bench $(ARGS)

setup: .venv/installed
setup-dev: .venv/installed-dev

.venv/installed: $(REQUIREMENTS) | .venv/bin/python
	@echo "installing into .venv ($$(.venv/bin/python --version)); once, a few minutes"
	@$(INSTALL) --editable .
	@touch $@

.venv/installed-dev: $(REQUIREMENTS) | .venv/bin/python
	@echo "installing into .venv ($$(.venv/bin/python --version)), tools for development included; once, a few minutes"
	@$(INSTALL) --editable '.[dev]'
	@touch .venv/installed $@

# On a CPU; its PyTorch is the one that Stable-Baselines3 asks for.
.venv/installed-bench: $(REQUIREMENTS) | .venv/bin/python
	@echo "installing into .venv ($$(.venv/bin/python --version)), what benchmarks compare with included; once, a few minutes"
	@$(INSTALL) --editable '.[bench]'
	@touch .venv/installed $@

VERSION := import sys, importlib.util as u; print(*sys.version_info[:2], sep=".", end="" if u.find_spec("ensurepip") else " without venv")

# The first that runs and is tested with, then a newer python3. A shim that is there need not run.
.venv/bin/python:
	@for python in $(PYTHON) $(if $(PYTHON),,python3 python3.13 python3.12 python3.11 python3); do \
		version=$$($$python -c '$(VERSION)' 2>/dev/null) || continue; \
		found="$$found $$python ($$version)"; \
		case $$version in \
			3.11|3.12|3.13) chosen=$$python; break;; \
			3.1[4-9]|3.[2-9]?) newer=$$python;; \
		esac; \
	done; \
	chosen=$${chosen:-$$newer}; \
	if [ -z "$$chosen" ]; then \
		echo "Python 3.11 or newer with venv is needed; found:$${found:- none}. Install one, or name it: make PYTHON=/path/to/python3" >&2; \
		exit 2; \
	fi; \
	$$chosen -m venv .venv || { rm -rf .venv; exit 2; }

# Everything that an installation takes, what builds included, for the Python that .venv has.
wheels: WHEELS_FOLDER := $(or $(WHEELS),wheels)
wheels: .venv/bin/python
	$(PIP) wheel --quiet --constraint constraints.txt --wheel-dir "$(WHEELS_FOLDER)" '.[dev]' hatchling editables
	@rm -f "$(WHEELS_FOLDER)"/cappuccino-*.whl
	@echo "$(WHEELS_FOLDER) has $$(ls "$(WHEELS_FOLDER)" | wc -l) wheels for $$(.venv/bin/python --version); elsewhere: make demo WHEELS=$(WHEELS_FOLDER)"

# `make proof kills` and `make proof NAME=kills` are the same.
ifeq (proof,$(firstword $(MAKECMDGOALS)))
NAME ?= $(word 2,$(MAKECMDGOALS))
ifneq (,$(word 2,$(MAKECMDGOALS)))
.PHONY: $(word 2,$(MAKECMDGOALS))
$(word 2,$(MAKECMDGOALS)): proof
	@:
endif
endif
proof: proof-name setup-dev
	.venv/bin/python experiments/record.py proof $(NAME) $(ARGS)

ifeq (study,$(firstword $(MAKECMDGOALS)))
NAME ?= $(word 2,$(MAKECMDGOALS))
ifneq (,$(word 2,$(MAKECMDGOALS)))
.PHONY: $(word 2,$(MAKECMDGOALS))
$(word 2,$(MAKECMDGOALS)): study
	@:
endif
endif
study: setup-dev
	.venv/bin/python experiments/record.py study $(NAME) $(ARGS)

.PHONY: proof-name
proof-name:
	@if [ ! -f "experiments/proofs/$(NAME).py" ]; then \
		echo "proof is '$(NAME)'; it must be one of: $$(cd experiments/proofs 2>/dev/null && ls *.py 2>/dev/null | sed 's/\.py$$//' | xargs)" >&2; \
		exit 2; \
	fi

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
