# `make demo` shows pybuild at work, `make test` proves it. Both begin with nothing but Python 3.11 and make.

VENV := .venv
RUN := $(VENV)/bin
UNIT := tests/unit tests/property tests/golden tests/style
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

help: ## say what can be made (the default)
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

demo: demo-packages $(VENV)/installed ## build a real image from a Buildfile, show it, run it
	@scripts/demo

test: test-packages $(VENV)/installed-dev ## run every check and every test
	@$(RUN)/pytest -n 3 --dist loadgroup

unit: $(VENV)/installed-dev ## run the tests that need no root and no other programs
	@$(RUN)/pytest -n 2 --dist loadgroup $(wildcard $(UNIT))

faults: test-packages $(VENV)/installed-dev ## kill, fail and lose power at every point of every command (two hours or more)
	@PYBUILD_FAULTS=all $(RUN)/pytest -n 2 --dist loadgroup tests/faults

check: $(VENV)/installed-dev ## check format, lint, types and imports
	@$(RUN)/pytest -q tests/style

bench: test-packages $(VENV)/installed-dev ## measure against the other builders (about an hour; the machine must be idle)
	@$(RUN)/python -m bench

bench-quick: test-packages $(VENV)/installed-dev ## the same in under five minutes, with a tenth of the bytes
	@$(RUN)/python -m bench --quick --out bench/quick

profile: test-packages $(VENV)/installed-dev ## where the time of the benchmark's cases goes
	@$(RUN)/pip install --quiet --disable-pip-version-check py-spy
	@$(RUN)/python -m bench.profile

growth: test-packages $(VENV)/installed-dev ## time and memory against size: files, steps, layers, stages, store
	@$(RUN)/python -m bench.growth

fuzz: $(VENV)/installed-dev ## feed all that reads foreign bytes: FUZZ_SECONDS=60 each, or only those of TARGETS=
	@$(RUN)/pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@$(RUN)/python -m tests.fuzz $(TARGETS)

format: $(VENV)/installed-dev ## put the source into the one format
	@$(RUN)/ruff check --fix --quiet . && $(RUN)/ruff format .

clean: ## remove what was made here (the cache of the tests stays)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .fuzz

demo-packages test-packages: %-packages:
	@python=$$(scripts/find-python) && "$$python" scripts/machine.py $*

$(VENV)/installed: pyproject.toml scripts/find-python
	@echo "making $(VENV): a virtual environment with pybuild and the libraries it uses"
	@python=$$(scripts/find-python) && "$$python" -m venv --clear $(VENV)
	@$(RUN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "adding the tools of the tests to $(VENV): pytest, ruff, mypy, import-linter and others"
	@$(RUN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test unit faults fuzz check bench bench-quick profile growth format clean demo-packages test-packages
