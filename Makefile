PYTHON ?= python3
BIN := .venv/bin

# Where this is set, each process of the suite translates all files of Python again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-all lint format docs docs-serve addresses clean

install: .venv/installed

.venv/installed: requirements.txt pyproject.toml Makefile
	$(PYTHON) -m venv .venv
	# uv needs a third of the time of pip, for the same versions; where it cannot be had, pip installs them.
	# Python compiles what is imported, a small part of what is installed.
	$(BIN)/python -m pip install --quiet uv && $(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt \
		|| $(BIN)/python -m pip install --quiet --no-compile -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@

demo: install
	$(BIN)/tost-train --flagfile=flags/quickstart.flags

# In three parts, so that no process keeps all the memory that TensorFlow has once taken.
RUNS := tests/experiment tests/colab tests/test_readme.py tests/test_wheel.py tests/convert tests/export
LARGE := tests/analysis tests/compaction tests/graph tests/masks tests/models tests/training tests/test_applications.py
OTHERS := tests $(RUNS:%=--ignore=%) $(LARGE:%=--ignore=%)

test: install lint
	$(BIN)/python -m pytest $(RUNS)
	$(BIN)/python -m pytest $(LARGE)
	$(BIN)/python -m pytest $(OTHERS)

test-all: install lint
	$(BIN)/python -m pytest --all $(RUNS)
	$(BIN)/python -m pytest --all $(LARGE)
	$(BIN)/python -m pytest --all $(OTHERS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy --no-error-summary

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install
	$(BIN)/mkdocs build --strict

docs-serve: install
	$(BIN)/mkdocs serve

addresses: install
	$(BIN)/python colab/addresses.py

clean:
	rm -rf .venv build site *.egg-info .pytest_cache .ruff_cache
