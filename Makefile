# Needs make and Python >= 3.11, nothing else. Everything is installed in .venv, never in the system's Python.

VENV ?= .venv
EXTRAS ?= all,test
PYTEST_ARGS ?=
JOBS ?= 2
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
endif

PY := $(VENV)/bin/python
ifdef UV
CREATE = uv venv -q --seed --python $(PYTHON) $(VENV)
INSTALL = uv pip install -q --python $(PY)
else
CREATE = $(PYTHON) -m venv $(VENV)
INSTALL = $(PY) -m pip install -qq --disable-pip-version-check
endif

# Each test worker uses one BLAS thread; Numba keeps two, so that parallel kernels are tested as such.
TEST_ENV = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=2 MPLBACKEND=Agg

.PHONY: quickstart test sweep docs lint bench-quick benchmarks gpu clean
.NOTPARALLEL:

quickstart: $(VENV)/.with-quickstart,jax
	$(PY) tour

test: $(VENV)/.with-$(EXTRAS)
	$(TEST_ENV) $(PY) -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

# Random calls into every public function; other ones each time, unless SEED says which. What a fault needs to be
# seen again is in .sweep: faults.txt, and for each process that died its last call.
CALLS ?= 100000
SEED ?= $(shell date +%s)
sweep: $(VENV)/.with-$(EXTRAS)
	@mkdir -p .sweep && echo "SEED=$(SEED)"
	$(TEST_ENV) CALLS=$(CALLS) SWEEP_SEED=$(SEED) SWEEP_RECORD=.sweep $(PY) -m pytest -n $(JOBS) --dist load \
	  -o timeout=0 tests/robustness $(PYTEST_ARGS)

docs: $(VENV)/.with-docs
	MPLBACKEND=Agg $(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# After our own types, those that a user's script sees. Both look into Matplotlib and JAX.
lint: $(VENV)/.with-dev-tools $(VENV)/.with-jax,plot
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -m mypy --config-file tests/typing/mypy.ini
	$(PY) -m basedpyright --project tests/typing --pythonpath $(PY)
	$(PY) -m repo_review .

bench-quick: $(VENV)/.with-dev-tools $(VENV)/.with-examples
	$(PY) -m asv machine --yes
	$(PY) -m asv check --python=same
	$(PY) -m asv run --python=same --quick --show-stderr

# Hours on a quiet machine; an interrupted campaign goes on. ARGS="--restart", "--quick", or names of scripts.
benchmarks: $(VENV)/.with-all,peers
	$(PY) benchmarks/peers/_campaign.py $(ARGS)

# On a machine with a CUDA device; CUDA=gpu-cuda12 for CUDA 12. All tests that need one, then the table.
CUDA ?= gpu
gpu:
	@nvidia-smi -L 2>/dev/null | grep -q GPU || { \
	  echo "make gpu needs a CUDA device, and nvidia-smi shows none here. Nothing was run or changed."; exit 1; }
	@$(MAKE) --no-print-directory $(VENV)/.with-$(CUDA),jax,test
	$(TEST_ENV) $(PY) -m pytest -m gpu $(PYTEST_ARGS); tests=$$?; \
	  $(PY) benchmarks/peers/gpu.py --threads $$(nproc) --json docs/benchmarks/gpu.json && exit $$tests

clean:
	rm -rf $(VENV) .asv build dist docs/_build docs/gallery docs/api/generated docs/api/backreferences
	rm -rf .hypothesis .sweep .mypy_cache .pytest_cache .ruff_cache
	find numsolve tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp file for each set of extras: a second call installs nothing.
$(VENV)/.with-dev-tools: pyproject.toml | $(PY)
	@echo "Installing the developers' tools in $(VENV) ..."
	@$(INSTALL) "pip>=25.1" && $(INSTALL) -e . --group dev && touch $@

$(VENV)/.with-%: pyproject.toml | $(PY)
	@echo "Installing numsolve[$*] in $(VENV), which takes a minute ..."
	@$(INSTALL) -e ".[$*]" && touch $@

$(PY):
	@test -n "$(PYTHON)" || { \
	  echo "numsolve needs Python 3.11 or later, and none was found. Name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(CREATE) || { rm -rf $(VENV); \
	  echo "$(PYTHON) could not make $(VENV). On Debian or Ubuntu: apt install python3-venv"; exit 1; }
