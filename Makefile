# make verify   set up, then the main job: bounds, training and figures on scikit-learn's digits
# make test     set up, then every test
# make lint     set up, then ruff and mypy
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

# One process a core is how everything here runs in parallel; threads inside them only get in each other's way.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: verify test lint clean

verify: $(READY)
	$(BIN)/maskgraph study studies/digits.toml --out runs/digits --resume

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy maskgraph tests

$(READY): setup.cfg pyproject.toml maskgraph/__init__.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "maskgraph needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) runs build dist *.egg-info
