# make demo   a small study of what selection by the text is worth, with a table and a picture (installs into .venv first)
# make test   run the tests, one process a core; a slice of them with ARGS=tests/heads, one process with PROCESSES=0
# make test-slow   run those that take seconds each: whole trainings, other processes, compilers
# make browser   install Debian's chromium (as root, if it is not there) and run the tests that look at pages in it
# make test-transformers-5   run the tests of what transformers 5 changes, in a virtual environment of its own (some GB)
# make lint   check style, types, the pre-commit config, and the files of .github and CITATION.cff by their schemas
# make parity compare with public packages, in a virtual environment of its own (some GB), and write tools/PARITY.md
# make dist   build the source distribution and the wheel into dist/ and check them
# make docs   build the pages of the Python interface into build/docs
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow browser chromium test-transformers-5 lint parity dist docs clean

# The first Python in the supported range that can make a virtual environment; override with `make PYTHON=... test`.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.10 python; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' >/dev/null 2>&1 \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Peers may want other versions of what the toolkit needs, so they get an environment of their own.
PARITY_VENV ?= build/parity
# The tests run with both majors of transformers: all with the last 4.x, and with 5 those of the parts that use it. That
# takes several minutes beside the installation, so continuous integration runs the first alone.
TRANSFORMERS_4 := transformers==4.57.6
TRANSFORMERS_5 := transformers==5.24.0
TRANSFORMERS_5_VENV ?= build/transformers_5
TRANSFORMERS_5_TESTS := $(addprefix tests/,backbones contracts decoders fusion heads huggingface models text_decoders \
	text_encoders vlm_benchmark weights openmmlab/test_backbone.py test_mmpretrain_shim.py)
PYTEST = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal
SCHEMA = $(BIN)/check-jsonschema --builtin-schema
PLUGINS := $(wildcard plugins/*/pyproject.toml)
EDITABLE_PLUGINS := $(foreach file,$(PLUGINS),-e ./$(dir $(file)))
DEMO := registry_configs/_studies_/demo.yaml
DEMO_DIR ?= work_dirs/demo
DEMO_IMAGE := data/needles_demo/test_300/images/200000000001.png
DEMO_ARMS ?= text-aware text-free random
DEMO_QUESTIONS := "what color is the mark on the white diamond" "what color is the mark on the green cross"
# The tests' tensors are too small for a second thread to help, so each core gets a process of its own; a process takes
# up to 2 GB of memory, hence the limit. 0 runs the tests in this process (for --pdb).
PROCESSES ?= $(shell cores=$$(env -u OMP_NUM_THREADS nproc 2>/dev/null || getconf _NPROCESSORS_ONLN); echo $$((cores < 8 ? cores : 8)))

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/.installed
	@echo "Eight short trainings, two at a time; each writes its progress to run.log in its folder below $(DEMO_DIR)."
	$(BIN)/python -m bus_toolkit study $(DEMO) --out $(DEMO_DIR) $(ARGS)
	$(BIN)/python -m bus_toolkit infer explain $(foreach arm,$(DEMO_ARMS),$(DEMO_DIR)/questions/$(arm)/keep_0.11/seed_0) \
		--images $(DEMO_IMAGE) --text $(DEMO_QUESTIONS) --side-by-side --out $(DEMO_DIR)
	$(BIN)/python -m bus_toolkit save-pretrained $(DEMO_DIR)/questions/text-aware/keep_0.11/seed_0 \
		--out $(DEMO_DIR)/model --licence Apache-2.0
	$(BIN)/python -m bus_toolkit infer answer $(DEMO_DIR)/model --images $(DEMO_IMAGE) --text $(DEMO_QUESTIONS)

test: $(VENV)/.installed-test
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed-test
	$(PYTEST) -m slow $(ARGS)

# Screenshots of the pages go to build/screenshots.
browser: chromium $(VENV)/.installed-test
	OMP_NUM_THREADS=1 SCREENSHOTS=build/screenshots $(BIN)/python -m pytest -m browser tests/browser $(ARGS)

chromium:
	@command -v chromedriver >/dev/null && command -v chromium >/dev/null || { apt-get update -q \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium chromium-driver; }

test-transformers-5: $(TRANSFORMERS_5_VENV)/.installed
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(TRANSFORMERS_5_VENV)/bin/python -m pytest -n $(PROCESSES) --dist worksteal \
		$(if $(ARGS),$(ARGS),$(TRANSFORMERS_5_TESTS))

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pre-commit validate-config
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA) vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(SCHEMA) vendor.citation-file-format CITATION.cff

parity: $(PARITY_VENV)/.installed
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 nice $(PARITY_VENV)/bin/python -m tests.parity --out tools/PARITY.md $(ARGS)

# The list of files of an earlier build would bring what it named into the archives, hence the removal.
dist: $(VENV)/.installed-dev
	rm -rf dist bus_toolkit.egg-info
	trap 'rm -f MANIFEST.in' EXIT; cp tools/manifest.in MANIFEST.in && $(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*

docs: $(VENV)/.installed-docs
	$(BIN)/python tools/docs/build.py

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10, 3.11 or 3.12 with venv found. Install one, or run: make PYTHON=/path/to/python ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(PARITY_VENV)/.installed: pyproject.toml tests/parity/requirements.txt tests/parity/requirements-alone.txt
	$(PYTHON) -m venv $(PARITY_VENV)
	$(PARITY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e . -r tests/parity/requirements.txt
	$(PARITY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/parity/requirements-alone.txt
	@touch $@

$(TRANSFORMERS_5_VENV)/.installed: pyproject.toml $(PLUGINS)
	$(PYTHON) -m venv $(TRANSFORMERS_5_VENV)
	$(TRANSFORMERS_5_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]' \
		'$(TRANSFORMERS_5)' $(EDITABLE_PLUGINS)
	@touch $@

# The stamps make a second call install nothing while the project files are unchanged.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) -e . '$(TRANSFORMERS_4)'
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(PLUGINS) | $(BIN)/python
	$(PIP) -e '.[test]' '$(TRANSFORMERS_4)' $(EDITABLE_PLUGINS)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed-test
	$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[docs]' '$(TRANSFORMERS_4)'
	@touch $@ $(VENV)/.installed
