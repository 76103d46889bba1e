# Two commands do all the set-up on a machine that has only python3 and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: bench test test-slow lint clean

bench: .venv/.ready
	$(BIN)/python -m hepvae.bench

test: .venv/.ready
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist loadfile

test-slow: .venv/.ready
	$(BIN)/python -m pytest -m slow --numprocesses auto --dist loadfile

lint: .venv/.ready
	$(BIN)/python -m pip install --quiet ruff
	$(BIN)/ruff check src tests analysis

.venv/.ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	PYTHONWARNINGS='ignore:Editable installation' \
	$(BIN)/python -m pip install --quiet --editable '.[all,test]'
	touch $@

clean:
	rm -rf .venv build bench-output src/*.egg-info
