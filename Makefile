# One target a job. `demo` and `test` do all their set-up themselves, once: the stamps below say when it was done.
#
#   make demo       two conversions of the built-in reference models, verified, into ./demo
#   make test       lint, types and every test that is not marked slow; this is what CI runs
#   make test-all   the same with the slow tests
#   make bench      facecvt beside its peers; fills the speed tables of README.md
#   make docs       docs/ops.md, docs/cli.md and docs/models.md from the code
#   make real-models-table   converts every model of ../shared/models in every direction: docs/real-models.md
#   make directions-table    every reference architecture in every direction: docs/directions.md
#   make backend-table       the node tests of ONNX through onnx2torch, onnx2paddle and onnx2mxnet: docs/onnx-backend.md
#   make dist       the wheel, into ./dist
#   make clean      remove what the other targets made, but for .venv

VENV := .venv
BIN := $(VENV)/bin
SET_UP := $(VENV)/.set-up
SET_UP_DEV := $(VENV)/.set-up-dev
WORKERS ?= 2

.PHONY: demo test test-all lint types format bench docs backend-table real-models-table directions-table dist clean help
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

# The first of python3.11 and python3 that runs; requirements.txt is pinned for 3.11. Override with `make PYTHON=...`.
$(SET_UP): requirements.txt pyproject.toml
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  for candidate in $(PYTHON) python3.11 python3; do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	      echo "making $(VENV) with $$candidate"; "$$candidate" -m venv --clear $(VENV) || exit 1; break; \
	    fi; \
	  done; \
	fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "error: no Python 3.10 or newer with venv was found; install Python 3.11, or name one: make PYTHON=/path/to/python" >&2; exit 4; }
	@echo "installing requirements.txt and facecvt into $(VENV), once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt --editable .
	@touch $@

$(SET_UP_DEV): $(SET_UP)
	@echo "installing the tools of the developers into $(VENV), once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt --editable '.[dev]'
	@mkdir -p .typing && ln -sfn .. .typing/facecvt
	@touch $@

demo: $(SET_UP)
	@mkdir -p demo
	$(BIN)/facecvt mxnet2torch r50 --output demo/r50_torch --force
	$(BIN)/facecvt paddle2onnx mobileface_v1.0_infer --output demo/mobileface_v1.0_infer.onnx --force
	@echo "written: $(CURDIR)/demo/r50_torch/ (model.py, weights.pth) and $(CURDIR)/demo/mobileface_v1.0_infer.onnx"

lint: $(SET_UP_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(SET_UP_DEV)
	MYPYPATH=.typing $(BIN)/mypy -p facecvt

format: $(SET_UP_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread a worker: the workers fill the cores, and threads that wait for each other by spinning would slow both.
test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadgroup

test-all: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

bench: $(SET_UP_DEV)
	$(BIN)/python benchmarks/run.py --readme
	$(BIN)/python benchmarks/inference.py --readme
	$(BIN)/python benchmarks/check_cost.py --readme

docs: $(SET_UP_DEV)
	$(BIN)/python docs/generate.py

backend-table: $(SET_UP_DEV)
	$(BIN)/python benchmarks/onnx_backend.py

real-models-table: $(SET_UP_DEV)
	$(BIN)/python benchmarks/real_models.py

directions-table: $(SET_UP_DEV)
	$(BIN)/python benchmarks/directions.py

# build/ is removed first: setuptools would ship files that lie there from an older tree.
dist: $(SET_UP_DEV)
	rm -rf build
	$(BIN)/python -m build --wheel --outdir dist .
	rm -rf build

clean:
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
