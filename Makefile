# make demo: fit the bundled screen and print its hits. make test: run the tests. Both install what they need.
# make docs: build the documentation site. make quick: the tests that take seconds. make soak: load and long sampling. make test is all but soak.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test quick soak lint audit docs clean constraints
.DELETE_ON_ERROR:

demo: .venv/.runs
	$(BIN)/python run.py
	@echo "to type commands of your own, first: source .venv/bin/activate"

# Each worker has one thread; one more than there are cores, since tests of Slurm and MLflow mostly wait.
WORKERS ?= $(shell expr `getconf _NPROCESSORS_ONLN` + 1)
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

test: .venv/.tests
	$(PYTEST) -m "not soak"

quick: .venv/.tests
	$(PYTEST) -m "not slow and not soak"

soak: .venv/.tests
	$(PYTEST) -m soak

lint: .venv/.lints
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Whether a pinned version has a known vulnerability, where the database answers.
audit: .venv/.lints
	$(BIN)/python .ci/audit.py

# A warning is an error: a dead link, an anchor that is not there, a docstring that cannot be read.
docs: .venv/.docs
	$(BIN)/python docs/_site/build.py

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build dist

# A stamp is as old as the install that made it; a newer pyproject.toml or constraints.txt installs again.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fatebias needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# torch first and by itself: where a machine's index offers a build without CUDA, that one is taken.
.venv/.runs: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e .
	touch $@

.venv/.tests: .venv/.runs
	$(PIP) install -c constraints.txt -e '.[test]'
	touch $@

.venv/.lints: .venv/.runs
	$(PIP) install -c constraints.txt -e '.[dev]'
	touch $@

.venv/.docs: .venv/.runs
	$(PIP) install -c constraints.txt -e '.[docs]'
	touch $@

# The newest versions that pyproject.toml allows, as a new constraints.txt.
constraints:
	rm -rf build/freeze
	$(PYTHON) -m venv build/freeze
	build/freeze/bin/python -m pip install torch==2.13.0
	build/freeze/bin/python -m pip install '.[dev,docs]'
	{ echo '# Versions that were tested together, written by `make constraints`.'; \
	  build/freeze/bin/python -m pip freeze --all --exclude fatebias --exclude pip \
	  | sed 's/+cpu$$//' | grep -viE '^(nvidia|cuda|triton)'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/freeze
