# Two commands do all the set-up on a machine that has only python3 and make.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile

.PHONY: bench test test-slow lint docs clean

bench: .venv/.ready
	$(BIN)/python -m hepvae.bench

test: .venv/.ready
	$(PYTEST) -m "not slow"

test-slow: .venv/.ready
	$(PYTEST) -m slow

# The same is in .pre-commit-config.yaml.
lint: .venv/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/repo-review .

docs: .venv/.ready
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs build/docs

.venv/.ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all,docs,lint,test]'
	touch $@

clean:
	rm -rf .venv build bench-output src/*.egg-info
