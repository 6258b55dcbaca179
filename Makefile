# Every command of the project. Needs only Python 3.11-3.13 and git; all it installs goes into .venv.
# PYTHON=/path/to/python3.12 chooses the interpreter that .venv is made from.

.DEFAULT_GOAL := help
.PHONY: help setup setup-core demo test test-all lint format types docs reproduction-page notebooks wheel release-check check clean

# Another environment's settings must not leak into ours.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python)
FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
UV_INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# uv is several times faster; where it cannot be had, pip does the same and says so.
INSTALL = if [ -x $(BIN)/uv ]; then $(UV_INSTALL) -c constraints.txt $(1); else $(PIP_INSTALL) -c constraints.txt $(1); fi
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q
# A test that hangs where pytest-timeout cannot end it (in C, in a destructor) shows its stacks and fails.
HANGS := -o faulthandler_timeout=240 -o faulthandler_exit_on_timeout=true

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-17s %s\n", $$1, $$2 }'

# --- set-up ------------------------------------------------------------------------------------------------------------
# A stamp is written after its step is done, so an interrupted step is repeated and a finished one is not.

$(BIN)/.made:
	@set -e; \
	if [ ! -x $(BIN)/uv ] || ! $(BIN)/uv --version >/dev/null 2>&1 || ! $(BIN)/python -c '' 2>/dev/null; then \
	  for python in $(CANDIDATES); do \
	    if $$python -c '$(FITS)' 2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$${found:-}" ]; then \
	    echo "rarefy needs Python 3.11, 3.12 or 3.13 with its venv module; tried: $(CANDIDATES)." >&2; \
	    echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
	    exit 1; \
	  fi; \
	  echo "Making .venv from $$($$found --version) ($$found)"; \
	  rm -rf .venv; \
	  $$found -m venv .venv; \
	  $(PIP_INSTALL) -c constraints.txt uv || echo "uv cannot be installed here: pip does its work, more slowly." >&2; \
	fi
	@touch $@

$(BIN)/.core: $(BIN)/.made pyproject.toml constraints.txt
	@echo "Installing rarefy into .venv"
	@$(call INSTALL,-e .)
	@touch $@

$(BIN)/.dev: $(BIN)/.made pyproject.toml constraints.txt
	@echo "Installing rarefy and its development tools into .venv"
	@$(call INSTALL,-e ".[dev]")
	@touch $(BIN)/.core $@

setup-core: $(BIN)/.core
setup: $(BIN)/.dev

# --- what one comes for --------------------------------------------------------------------------------------------------

demo: $(BIN)/.core  ## train dense and 5% random on handwritten digits; accuracy, bytes and times in a table
	$(BIN)/python examples/gains.py demo

test: $(BIN)/.dev  ## the tests, doctests and architecture rules (without the slow ones)
	$(PYTEST) -m "not slow" $(HANGS)

test-all: $(BIN)/.dev  ## every test
	$(PYTEST)

lint: $(BIN)/.dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(BIN)/.dev  ## rewrite the files as `make lint` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(BIN)/.dev  ## mypy, strict
	$(BIN)/mypy

docs: $(BIN)/.dev  ## the documentation as HTML in docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

reproduction-page: $(BIN)/.dev  ## rebuild docs/reproduction.md and the front page from the records in experiments/results
	$(BIN)/python docs/plots/reproduction.py
	$(BIN)/python docs/plots/front.py

notebooks: $(BIN)/.dev  ## run the notebooks of the documentation again (about ten minutes)
	$(BIN)/python docs/plots/notebooks.py

# --- release -------------------------------------------------------------------------------------------------------------
# RAREFY_REPOSITORY=https://... names the repository in the package's metadata and the documentation; on GitHub it is known.

wheel: $(BIN)/.dev  ## build dist/*.tar.gz and, from it, dist/*.whl
	rm -rf dist
	$(BIN)/python -m hatchling build -t sdist
	mkdir -p dist/source && tar -xzf dist/*.tar.gz -C dist/source --strip-components 1
	cd dist/source && ../../$(BIN)/python -m hatchling build -t wheel -d ..
	rm -rf dist/source

release-check: wheel  ## install the wheel in an empty environment and run every command of the README that needs no data
	$(BIN)/python .ci/release_check.py

check:  ## all of what CI checks, in CI's order: the definition of done
	@.ci/run

clean:  ## remove the environment and everything built (not your runs)
	rm -rf .venv dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
