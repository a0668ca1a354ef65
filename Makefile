# The commands of a developer's day; .ci/run calls the same ones. `make` alone lists them.

# The tools in .venv if `make setup` has made it, else those on the PATH: an environment of your own, activated.
BIN ?= $(if $(wildcard .venv/bin/python),.venv/bin/)
# Python for `make setup`; constraints.txt is tested with 3.11.
PYTHON ?= python3.11
# More arguments for pytest: `make unit ARGS="-k tickets -x"`.
ARGS ?=
# How many times the random cases of `make test` that `make differential` and `make fuzz` run.
SCALE ?= 20
# The benchmarks that `make bench` runs, in turn.
BENCHMARKS ?= inference small_jobs training

.DEFAULT_GOAL := help
.PHONY: help setup unit test differential fuzz lint audit format docs site bench

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

setup: ## make .venv with Longshore, its extras and the tools, in the versions of constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -c constraints.txt -e ".[all,dev]"

unit: ## run the unit tests: no services, under a minute
	$(BIN)pytest tests/unit $(ARGS)

test: ## run all tests: each starts the services it needs
	$(BIN)pytest $(ARGS)

differential: ## compare with other libraries on 20 times as many random cases as `make test`; SCALE=100 for more
	LONGSHORE_DIFFERENTIAL_SCALE=$(SCALE) $(BIN)pytest tests/differential $(ARGS)

fuzz: ## read 20 times as many damaged inputs as `make test`; SCALE=100 for more
	$(BIN)python -m tests.fuzz --scale $(SCALE) $(ARGS)
	LONGSHORE_FUZZ_SCALE=$(SCALE) $(BIN)pytest -n0 tests/integration/gateway/test_schema.py

lint: ## check style, formatting, types and the layers of imports
	$(BIN)ruff check .
	$(BIN)ruff format --check .
	$(BIN)mypy
	$(BIN)lint-imports

audit: ## look up known vulnerabilities of the pinned dependencies; needs the network
	$(BIN)python .ci/audit.py $(ARGS)

format: ## format the sources and fix what ruff can fix
	$(BIN)ruff format .
	$(BIN)ruff check --fix .

docs: ## check the documentation: links, the reference pages against the code, and the site
	$(BIN)pytest tests/unit/test_docs.py tests/unit/test_site.py $(ARGS)

site: ## build the site of the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)mkdocs build

bench: ## run the benchmarks; BENCHMARKS="inference" for some of them
	@for name in $(BENCHMARKS); do echo "+ benchmarks.$$name"; $(BIN)python -m benchmarks.$$name || exit 1; done
