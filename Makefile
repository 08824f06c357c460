# `make` prints this list. Everything runs in .venv, from versions locked in requirements.lock; after
# `make setup GPU=1`, from those of requirements-gpu.lock, which adds CUDA's libraries.
PYTHON ?= python3
GPU ?= $(if $(wildcard .venv/installed-gpu),1)
LOCK := requirements$(if $(GPU),-gpu).lock
INSTALLED := .venv/installed$(if $(GPU),-gpu)
GPU_FILES := $(wildcard /dev/nvidia[0-9]*)
BIN := .venv/bin
IMGCLS := $(BIN)/imgcls

.PHONY: help setup demo test test-full test-extras check docs bench recipes recipes-long gpu chaos lock clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

setup: $(INSTALLED) ## Install imgcls and the locked versions into .venv (Python 3.11 to 3.13); with GPU=1, CUDA's too
	@$(if $(GPU),,$(if $(GPU_FILES),echo "This machine has an NVIDIA GPU ($(GPU_FILES)); to train on it: make setup GPU=1"))

# `make setup GPU=` empties .venv first if it has CUDA's libraries.
$(INSTALLED): $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), "imgcls needs Python 3.11 to 3.13; run make PYTHON=python3.12"'
	$(PYTHON) -m venv $(if $(GPU),,$(if $(wildcard .venv/installed-gpu),--clear)) .venv
	rm -f .venv/installed .venv/installed-gpu
	$(BIN)/pip install --quiet --require-hashes -r $(LOCK)
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

demo: setup ## Prepare, train, evaluate and plot a classifier of real handwritten digits, in about a minute
	$(IMGCLS) prepare configs/digits.yaml
	$(IMGCLS) train configs/digits.yaml
	$(IMGCLS) eval configs/digits.yaml
	$(IMGCLS) plot configs/digits.yaml

# By default, files with few tests come last; the slowest, whose tests start processes, are such. A
# process that ended is not started again: with whole files, pytest-xdist would never end.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
test: setup ## Run the tests, but for rare combinations and extras; the last line counts those
	$(BIN)/python -m pytest $(PARALLEL) -m "not full and not extras"

EXTRAS := tfds,pretrained,hub,mlflow,parquet,litert,quantizer,onnx,openvino,tune
test-full: setup ## Install the extras but cuda and bench, and run every test
	$(BIN)/pip install --quiet -e '.[$(EXTRAS)]'
	$(BIN)/python -m pytest $(PARALLEL)

test-extras: setup ## Install the extras but cuda and bench, and run the tests that need them
	$(BIN)/pip install --quiet -e '.[$(EXTRAS)]'
	$(BIN)/python -m pytest -m extras

check: setup build/types/imgcls/cli ## Lint, and check the formatting and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

build/types/imgcls/cli:
	mkdir -p $(@D)
	ln -s ../../../cli $@

docs: setup ## Write the pages that are made from the code
	$(BIN)/python scripts/document_commands.py
	$(BIN)/python scripts/document_files.py

bench: setup ## Measure speed as ratios in one run; never fails on time (DATA=folder with Fashion-MNIST's files, then also the time to an accuracy; else noise)
	$(BIN)/pip install --quiet -e '.[bench,tune]'
	$(BIN)/python -m bench $(DATA)

recipes: setup ## Train the quick experiments of configs/ again: exit code 6 if accuracy changed (DATA=folder with Fashion-MNIST's files)
	$(BIN)/python scripts/recipes.py check $(if $(DATA),--data $(DATA))

recipes-long: setup ## The same for the long ones, in hours; again to continue
	$(BIN)/python scripts/recipes.py check --long $(if $(DATA),--data $(DATA))

gpu: setup ## Check on the GPUs of this machine what the other tests cannot, in ten minutes; prints a table for docs/gpu.md
	$(BIN)/python -m bench.gpu

chaos: setup ## Kill training 36 times, and compare with runs left alone (four minutes)
	$(BIN)/python tests/chaos.py

# The second file starts from the first, so that both have the same versions.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev --no-header pyproject.toml
lock: setup ## Renew requirements.lock and requirements-gpu.lock from pyproject.toml
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra cuda --constraint requirements.lock --output-file requirements-gpu.lock

clean: ## Remove what the build and tests left; runs/ and data/ stay
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
