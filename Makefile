# What a person or CI does here. `make test` and `make demo` need only Python 3.11 or newer (with venv and pip) and a network.
# `make clean test PYTHON=/path/to/python3.13` chooses the Python of a new .venv.

.DEFAULT_GOAL := help
.PHONY: help bootstrap lock fmt lint types contracts house test test-long test-pythons bench demo clean

BIN := .venv/bin
JOBS ?= 2
TREES := src tests tools $(wildcard examples benchmarks)
COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap: ## make or renew .venv from the lock (the other targets do it themselves)
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec $$python tools/bootstrap.py $(BOOTSTRAP); \
		fi; \
	done; \
	echo "make: Surefoot needs Python 3.11 or newer; none was found on PATH. Install one, or name it:" >&2; \
	echo "  make test PYTHON=/path/to/python3.11" >&2; \
	exit 1

lock: bootstrap ## lock dependencies with hashes for every platform (UPGRADE=1 takes newer versions)
	$(COMPILE) pyproject.toml --output-file requirements/base.txt
	$(COMPILE) pyproject.toml --group dev --constraint requirements/base.txt --output-file requirements/dev.txt
	$(COMPILE) --no-deps --group demo --output-file requirements/demo.txt

fmt: bootstrap ## format the code, mend what lint can mend
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .

lint: bootstrap ## style, format and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: bootstrap ## strict types, and names that macOS and Windows lack
	$(BIN)/mypy $(TREES)
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin src
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 src

contracts: bootstrap ## the floors of the architecture: who may import whom
	$(BIN)/lint-imports --no-logo

house: bootstrap ## the house rules
	$(BIN)/python tools/house.py

test: lint types contracts house ## all that CI asks: lint, types, contracts, house rules and the test suite
	$(BIN)/pytest -n $(JOBS) --reruns 1 -r aR $(ARGS)

test-long: lint types contracts house ## the same with the full counts of faults and promises
	SUREFOOT_TEST_POSTGRES=$${SUREFOOT_TEST_POSTGRES:-all} $(BIN)/pytest -n $(JOBS) -m "long or not long" --timeout 1800 $(ARGS)

test-pythons: bootstrap ## the test suite on each Python that is found, 3.11 and newer (PYTHONS="python3.13 ..." names them)
	$(BIN)/python tools/pythons.py $(if $(PYTHONS),--pythons "$(PYTHONS)") -n $(JOBS) $(ARGS)

bench: bootstrap ## one JSON line a figure, beside its floor
	@set -e; for script in benchmarks/[!_]*.py; do $(BIN)/python $$script; done

demo: BOOTSTRAP = demo
demo: bootstrap ## the main job on real data: 336,776 flights
	$(BIN)/python examples/demo.py

clean: ## remove everything that make has made
	rm -rf .venv .venvs .demo-data .demo-home .demo-output .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +
