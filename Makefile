# Two commands do all the set-up: `make demo` and `make test`. Python 3.11 or newer is all that is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help setup demo run test check lint types imports nightly containers lock pictures clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY)
$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.13 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## the whole program, offline: a sample newsroom, a mail server, two weeks in a minute
	$(BIN)/python -m monitor.demo $(DEMO)

run: $(READY) ## the program itself: polls, matches, mails, and answers on 127.0.0.1:8000
	$(BIN)/monitor run

test: check ## every check and every test
	$(BIN)/pytest -n auto --dist worksteal --cov --cov-report=term

check: $(READY) lint types imports ## what needs no running: ruff, mypy, import-linter

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports --no-cache

nightly: $(READY) ## the long runs: kill sweeps, fuzzing, ten thousand oracle cases
	NIGHTLY=1 $(BIN)/pytest -n auto --cov --cov-report=term --timeout=3600 -m 'slow or not slow'

containers: ## the image and both compose profiles on a container engine, killed and restored (as root)
	tests/containers/check.sh

lock: $(READY) ## renew the locked dependencies (needs uv)
	uv pip compile pyproject.toml --extra scale --extra demo --extra otel --extra oidc --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev -o requirements-dev.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group bench -o requirements-bench.txt
	echo "hatchling>=1.27" | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements-build.txt

pictures: $(READY) ## the pictures in docs/, with an installed Chromium
	$(BIN)/python scripts/digest_pictures.py
	$(BIN)/python scripts/web_pictures.py

clean: ## what can be made again
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage demo-out
