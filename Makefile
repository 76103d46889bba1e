# Two commands do all the set-up on a machine that has only python3 and make.
PYTHON ?= python3
BIN := .venv/bin
# What is installed; of other extras, tests are skipped.
EXTRAS ?= all,docs,lint,test
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile

.PHONY: bench test test-slow test-lowest test-upstream lint docs clean

bench: .venv/.ready
	$(BIN)/python -m hepvae.bench

test: .venv/.ready
	$(PYTEST) -m "not slow"

test-slow: .venv/.ready
	$(PYTEST) -m slow

test-lowest: .venv/.ready
	$(PYTEST) -m slow tests/test_lowest_versions.py

# Against the heads of what hepvae is built on.
UPSTREAM := uproot=scikit-hep/uproot5 vector=scikit-hep/vector hist=scikit-hep/hist mplhep=scikit-hep/mplhep
test-upstream: .venv/.ready
	$(BIN)/python -m pip install --quiet --upgrade \
		$(foreach one,$(UPSTREAM),'$(word 1,$(subst =, ,$(one))) @ git+https://github.com/$(word 2,$(subst =, ,$(one)))')
	$(PYTEST) -m "not slow"

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
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf .venv build bench-output src/*.egg-info
