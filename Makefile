.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup repro demo study compare verify test test-all faults check bench bench-accuracy plots draw doctor lock licences audit

VENV := .venv
# The first Python on the PATH that the locked packages exist for; PYTHON=... chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := $(VENV)/bin
# The stages' commands begin with `python`: the one of the environment.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
# A DVC that was killed as it wrote a file of its own leaves a part, which the next one may refuse:
# only if the doctor has repaired something, DVC runs once more.
define REPRO
@export $(RUN); trap 'exit 130' INT; \
	dvc --cd $(1) repro || { code=$$?; $(DOCTOR) --fix || exit $$code; dvc --cd $(1) repro; }
endef
# Without Python's bytecode, which a full disk may have cut off.
DOCTOR := python -X pycache_prefix=/dev/null -m pipeline doctor
# What looks at the locked packages from outside: small, and set up without them.
AUDIT := .venv-audit

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed  ## Make the environment .venv; the other targets do it where needed

repro: $(VENV)/.installed  ## Run what has changed of the pipeline, all of it the first time
	$(call REPRO,.)

demo: $(VENV)/.installed  ## Run the whole pipeline in demo/ on 5,000 real digits, without internet
	$(RUN) python -m pipeline demo

study: $(VENV)/.installed  ## Train each recipe with ten seeds; JOBS=4: several at once. Goes on where it was interrupted (forty minutes)
	$(RUN) dvc repro preprocess
	$(if $(JOBS),cd studies && $(RUN) python -m pipeline parallel --jobs $(JOBS),$(call REPRO,studies))

compare: $(VENV)/.installed  ## Compare the working files with BASE=... (main; on main, the commit before)
	$(RUN) python -m pipeline compare $(BASE)

verify: $(VENV)/.installed  ## Run the last commit from scratch in a clean clone, and compare its results
	$(RUN) python -m pipeline verify

test: $(VENV)/.installed  ## Run the tests of every behaviour, in about ten minutes
	$(RUN) $(PYTEST) -m "$(TESTS)"

test-all: $(VENV)/.installed  ## Run all tests, the slow repetitions and fault campaigns too
	$(RUN) $(PYTEST)

# One thread each for the products of small matrices: more would wait for each other.
PYTEST := OPENBLAS_NUM_THREADS=1 python -m pytest -n 3 --dist worksteal
# TESTS=slow are those that `make test` leaves out.
TESTS := not slow

faults: $(VENV)/.installed  ## Run the fault tests at full length: kills, full disks, damage (two hours)
	rm -f faults.jsonl
	$(RUN) FAULTS=full $(PYTEST) tests/faults
	$(RUN) python tests/faults/summary.py

check: $(VENV)/.installed  ## Check style, types and workflows
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	$(RUN) check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(RUN) zizmor --offline --quiet .github

bench: $(VENV)/.installed  ## Measure speed and memory, as ratios taken side by side
	$(RUN) $(BENCH) benchmarks/epoch.py
	$(RUN) $(BENCH) benchmarks/distortion.py
	$(RUN) $(BENCH) benchmarks/checkpoint.py
	$(RUN) $(BENCH) benchmarks/evaluation.py
	$(RUN) $(BENCH) benchmarks/noop.py
	$(RUN) $(BENCH) benchmarks/compare.py
	$(RUN) $(BENCH) benchmarks/memory.py
	$(RUN) $(BENCH) benchmarks/parallel.py
	$(RUN) $(BENCH) benchmarks/reading_speed.py

bench-accuracy: $(VENV)/.installed  ## Measure seconds of training to 99.0% and 99.3%: the champion, and Keras's own way; a quarter of an hour
	$(RUN) $(BENCH) benchmarks/time_to_accuracy.py

# Where these two tie NumPy's BLAS to an old kernel, it would be no yardstick.
BENCH := PYTHONPATH="$(CURDIR)" env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python

plots: $(VENV)/.installed  ## Open a page of the plots that needs no network; with BASE=..., beside those of BASE
	$(RUN) python -m pipeline plots $(BASE)

draw: $(VENV)/.installed  ## Open a page to draw digits on, with the champion inside
	$(RUN) python -m pipeline draw

doctor: $(VENV)/.installed  ## Diagnose the installation: what is wrong, and what to do
	$(RUN) $(DOCTOR)

lock: $(VENV)/.installed  ## Resolve the dependencies of pyproject.toml anew into requirements*.lock
	$(RUN) uv pip compile -q --upgrade $(COMPILE) --extra cluster --extra s3 --group dev -o requirements.lock pyproject.toml
	$(RUN) uv pip compile -q $(COMPILE) --extra gpu --extra s3 -c requirements.lock -o requirements-gpu.lock pyproject.toml
	$(RUN) uv pip compile -q $(COMPILE) --group tools -c requirements.lock -o requirements-tools.lock
	$(RUN) uv pip compile -q --upgrade $(COMPILE) --group audit -c requirements.lock -o requirements-audit.lock
	$(MAKE) licences

# One version of each package for all systems and Pythons, known by its hash; no address of any index.
COMPILE := --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-header --no-emit-index-url --no-emit-find-links

licences: $(AUDIT)/.installed  ## Write docs/licences.md, the licence of every locked package
	$(AUDIT)/bin/python tests/licences.py

audit: $(AUDIT)/.installed  ## Ask PyPI for known vulnerabilities of the locked packages
	@rm -f $(AUDIT)/found
	@$(AUDIT)/bin/pip-audit $(AUDITED) --output $(AUDIT)/found || { \
		if test -s $(AUDIT)/found; then cat $(AUDIT)/found; \
		else echo "The audit could not be made: nothing is known of these versions, good or bad." >&2; fi; exit 1; }

# Without --strict, a package that PyPI does not know counts as one without vulnerabilities.
AUDITED := --strict --disable-pip --require-hashes --progress-spinner off $(addprefix --requirement ,$(wildcard requirements*.lock))

$(VENV)/.installed: requirements.lock
	@test -n "$(PYTHON)" || { echo "$(NO_PYTHON)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the packages of requirements.lock into $(VENV): about a minute, 3 GB"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	@touch $@

$(AUDIT)/.installed: requirements-audit.lock
	@test -n "$(PYTHON)" || { echo "$(NO_PYTHON)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(AUDIT)
	$(AUDIT)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-audit.lock
	@touch $@

NO_PYTHON := No Python 3.11, 3.12 or 3.13 found: install one, or name it: make PYTHON=/path/to/python3
