# Every target sets up what it needs: .venv is made once, and again only when the requirements change.
# Another interpreter: make test PYTHON=python3.12

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What the processors of some model families import, in a folder that only tests/families looks into:
# beside a CPU build of torch, a torchvision that everybody sees would be worse than none.
FAMILIES := $(VENV)/families/.installed

# The first interpreter that is new enough; plain python3 if none is, so that the check below can speak.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(or $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done),python3)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint bench bench-gpu clean

help:
	@echo "make demo       forget five people, keep ninety-five; opens as excise-demo/report.html"
	@echo "make test       the fast tests"
	@echo "make test-slow  the tests that train for minutes"
	@echo "make lint       ruff, mypy --strict, the import order of the rooms"
	@echo "make bench      measure speed and memory against the usual way, growth, start-up"
	@echo "make bench-gpu  the same for models of 7B shape on a GPU of 80 GB"
	@echo "make clean      remove the environment, caches and the demo's output"

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null 2>&1 || \
		{ echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || \
		{ echo "excise needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1): name another with PYTHON=..." >&2; exit 1; }
	@echo "setting up $(VENV): a few minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(FAMILIES): constraints.txt | $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target $(@D) -c constraints.txt torchvision num2words
	@touch $@

demo: $(STAMP)
	$(BIN)/excise demo --out excise-demo

# Two runs, one with torchvision and one without; both run, and either fails the target. Each has a
# worker a core, a file of tests going to one worker, and a thread a worker. pytest ends with 5 where
# PYTEST_ARGS leave none of the families' tests.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile
test: $(STAMP) $(FAMILIES)
	@$(PYTEST) tests/families $(PYTEST_ARGS); families=$$?; \
	$(PYTEST) $(PYTEST_ARGS) && { [ $$families -eq 0 ] || [ $$families -eq 5 ]; }

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports

bench: $(STAMP)
	@for name in startup training evaluation growth; do \
		echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

bench-gpu: $(STAMP)
	$(BIN)/python benchmarks/gpu.py --out runs/gpu

clean:
	rm -rf $(VENV) build dist excise-demo .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
