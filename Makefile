# Everything here runs in an environment of its own in .venv and can be repeated. `make PYTHON=... test` names the
# interpreter that makes the environment.

VENV := .venv
BIN := $(VENV)/bin
# A file of tests stays in one process, with what its tests share. More processes than 4 would want over 16 GB.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
# Left out are the tests marked slow (pyproject.toml); `make test-all` leaves none out.
MARKS := -m "not slow"

export TF_CPP_MIN_LOG_LEVEL := 3
export TF_ENABLE_ONEDNN_OPTS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

NEWEST := 13
usable = $(1) -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $(NEWEST)))' 2>/dev/null
PYTHON = $(shell for python in python3 python3.11 python3.12 python3.13 python; do \
	if $(call usable,$$python); then echo $$python; break; fi; done)

.PHONY: help demo test test-torch test-all test-card test-gpu fuzz docs results site clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##/make \1 -/p' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## plain against shift-invariant pooling on synthetic sounds; the report goes to runs/demo
	KERAS_BACKEND=tensorflow $(BIN)/python recipes/quickstart.py --output runs/demo --overwrite

test: $(VENV)/.dev recipes/browser/node_modules  ## style, and the suite on TensorFlow and on JAX
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	KERAS_BACKEND=tensorflow $(PYTEST) $(MARKS)
	KERAS_BACKEND=jax $(PYTEST) $(MARKS)

test-torch: $(VENV)/.torch  ## the suite on PyTorch
	KERAS_BACKEND=torch $(PYTEST) $(MARKS)

test-all: MARKS :=
test-all: test test-torch  ## both, with the tests that take longest

# TensorFlow 2.17.1, the newest that tensorflow-io decodes with, hence another environment.
test-card: $(VENV)-card/.card  ## the extras cv and tfio, with the libraries of their time
	KERAS_BACKEND=tensorflow $(<D)/bin/python -m pytest tests/test_card.py tests/test_classifier.py tests/test_psla_golden.py
	KERAS_BACKEND=jax $(<D)/bin/python -m pytest tests/test_card.py tests/test_psla_golden.py

# The CUDA builds take the place of the CPU builds, hence another environment. Without a GPU the tests skip.
test-gpu: $(if $(shell nvidia-smi -L 2>/dev/null),$(VENV)-gpu/.gpu,$(VENV)/.dev)  ## the tests that need a GPU
	KERAS_BACKEND=tensorflow $(<D)/bin/python -m pytest tests/test_gpu.py
	KERAS_BACKEND=jax $(<D)/bin/python -m pytest tests/test_gpu.py

COUNT := 10000
TARGETS :=
fuzz: $(VENV)/.torch  ## COUNT damaged files (10000) of every kind that is read, or of the kinds in TARGETS
	KERAS_BACKEND=torch $(BIN)/python tests/fuzz.py --count $(COUNT) $(TARGETS)
	HYPOTHESIS_EXAMPLES=1000 KERAS_BACKEND=tensorflow $(BIN)/python -m pytest tests/test_properties.py

docs: $(VENV)/.dev  ## docs/api.md, from the docstrings
	KERAS_BACKEND=jax $(BIN)/python docs/make_api.py

site: $(VENV)-site/.site  ## the documentation as a web site, in site/
	NO_MKDOCS_2_WARNING=1 KERAS_BACKEND=jax $(<D)/bin/mkdocs build --quiet

results: $(VENV)/.dev  ## recipes/RESULTS.md, from results.csv and the tables of the recipes
	KERAS_BACKEND=jax $(BIN)/python docs/make_results.py

clean:  ## removes the environments
	rm -rf $(VENV) $(VENV)-card $(VENV)-gpu $(VENV)-site site

%/.python:
	@$(call usable,$(or $(PYTHON),false)) || { \
		echo 'No Python from 3.11 to 3.$(NEWEST) with the module venv was found$(if $(PYTHON), as $(PYTHON)).' >&2; \
		echo 'Install one (on Debian and Ubuntu: python3 and python3-venv),' >&2; \
		echo 'or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; \
		exit 1; }
	$(PYTHON) -m venv --clear $*
	touch $@

$(VENV)/.demo: $(VENV)/.python setup.cfg
	$(BIN)/pip install --quiet --editable '.[tensorflow-cpu,plots]'
	touch $@

$(VENV)/.dev: $(VENV)/.python setup.cfg
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

# Of the page in recipes/browser, whose test is skipped without it.
recipes/browser/node_modules: recipes/browser/package-lock.json
	-cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel error && touch node_modules

$(VENV)/.torch: $(VENV)/.dev
	$(BIN)/pip install --quiet torch==2.13.0
	touch $@

$(VENV)-site/.site: $(VENV)-site/.python setup.cfg
	$(<D)/bin/pip install --quiet --editable '.[docs,jax]'
	touch $@

$(VENV)-card/.python: NEWEST := 12

$(VENV)-card/.card: $(VENV)-card/.python setup.cfg
	$(<D)/bin/pip install --quiet --editable '.[card]'
	touch $@

$(VENV)-gpu/.gpu: $(VENV)-gpu/.python setup.cfg
	$(<D)/bin/pip install --quiet --editable '.[test,tensorflow,jax-cuda]'
	touch $@
