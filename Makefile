# Everything runs in .venv, made from the lock file the first time it is needed.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3 python3.13 python3.12 python3.11 2>/dev/null | while read p; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
LOCK := requirements$(if $(GPU),-gpu).lock
VENV := .venv
LIBRARIES := $(VENV)/.made-from-$(LOCK)
STAMP := $(VENV)/.ready-for-$(LOCK)
# Every Python of .venv puts its own folder first on PATH, as `activate` does: cron, systemd and editors call
# .venv/bin/dvc without that, and DVC has to find the same Python for the stages.
FIRST_ON_PATH := import os, sys; here = os.path.dirname(sys.executable); path = os.environ.get("PATH", os.defpath); os.environ["PATH"] = path if path.split(os.pathsep)[0] == here else here + os.pathsep + path
# A fresh machine has git, make and Python; what else the tests need is optional here, and .ci/run installs it.
POSTGRES = $(shell command -v initdb || ls -d /usr/lib/postgresql/*/bin/initdb 2> /dev/null)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false

.DEFAULT_GOAL := help
.PHONY: help setup demo unit test test-slow lint format repro ui server lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv from the lock file (GPU=1: with CUDA); `. .venv/bin/activate` to use it
	@# A merge then keeps this side's dvc.lock, without the conflict that .gitattributes leaves: a clone is asked for that.
	@if file=$$(git rev-parse --git-path info/attributes 2> /dev/null); then \
	  git config merge.made-anew.driver true && mkdir -p "$${file%/*}" && touch "$$file"; \
	  grep -q merge=made-anew "$$file" || echo '/dvc.lock merge=made-anew' >> "$$file"; fi

$(STAMP): $(LIBRARIES) pyproject.toml
	@$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@echo '$(FIRST_ON_PATH)' > "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/first_on_path.pth"
	@touch $@

$(LIBRARIES): $(LOCK)
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed and none is on PATH; install one or give PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) from $(LOCK) (one to four minutes, 3 GB; only this once)"
	@rm -f $(VENV)/.made-from-* $(VENV)/.ready-for-*
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r $(LOCK)
	@touch $@

demo: $(STAMP) ## The main job: four cycles on handwritten digits in a scratch workspace
	@python -m benchmarks.demo

unit: $(STAMP) ## The quick tests, which need no project, no DVC and no training: a minute on two cores
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not project and not slow and not postgres" --hypothesis-profile quick

test: $(STAMP) ## All tests but the slow ones; no network, less than an hour on two cores
	@$(if $(POSTGRES),,echo "make test: no PostgreSQL on this machine: the tests of the registry on it are left out; CI runs them, and so do you after: sudo apt-get install postgresql")
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow$(if $(POSTGRES),, and not postgres)"

test-slow: $(STAMP) ## The tests that take minutes: the demo, the benchmark, both workflows run for real
	@python -m pytest -m slow

lint: $(STAMP) ## Lint, format and type checks
	@ruff check . && ruff format --check . && mypy

format: $(STAMP) ## Format the code
	@ruff check --fix . && ruff format .

repro: $(STAMP) ## One cycle on the data of this checkout: the same as `dvc repro`
	@dvc repro

ui: $(STAMP) ## Open the MLflow UI on the registry (PORT=5001; else the first free port from 5000 on)
	@python -m pipeline ui $(if $(PORT),--port $(PORT)) $(if $(OPEN),--open)

server: $(STAMP) ## MLflow on PostgreSQL for a team, by Docker or by plain commands (server/run --help)
	@server/run

lock: $(STAMP) ## Resolve the newest releases into the lock files
	@uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o requirements.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --group dev --extra gpu -c requirements.lock pyproject.toml -o requirements-gpu.lock
	@{ echo "# Of the image. Written by \`make lock\`."; \
	  sed -nE 's/^psycopg==/psycopg[binary]==/; s/^((boto3|flask-wtf|mlflow|psycopg\[binary\])==[^ ]+).*/\1/p' requirements.lock; } > server/requirements.txt

clean: ## Remove .venv and what the demo left (never images, models or the registry)
	@rm -rf $(VENV) .demo
