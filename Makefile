# make app   installs what the app needs, fetches the default weights, opens the app
# make test  installs what the tests need, runs linters and tests
# make slow  longer checks on reference material
# make lowest  the tests on the lowest versions that requirements.txt allows, in .venv-lowest (6 GB)
# make soak  crashes, full disks, hostile files and load: the table in docs/reliability.md
#
# Choices: PYTHON=python3.12  HOST=127.0.0.1  PORT=8501  WEIGHTS=none  DINO_WEIGHTS=path-or-name
#          DATA=folder that photos to train on lie below; default: the folder this one lies in
#          TESTERS=3 processes that run tests side by side, whole files each; many wait for a browser
#          HOST=0.0.0.0 opens the app to the network, for a class: anyone on it can look, and training
#          and this machine's folders are off unless ALLOW_TRAINING=1 (docs/server.md)

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8501
TESTERS ?= 3
VENV := .venv
LOWEST := .venv-lowest
# What prints figures: the extra of that name in pyproject.toml.
FIGURES := matplotlib>=3.9
BIN := $(VENV)/bin
export DINO_WEIGHTS WEIGHTS ALLOW_TRAINING
OPEN := $(filter-out 127.0.0.1 localhost ::1,$(HOST))
ifneq ($(OPEN),)
# The address to open and the names that the server answers to are given here: Streamlit would ask a
# server on the internet for its address.
NAMED = $$($(BIN)/python -m app.access $(HOST))
endif
ifneq ($(DATA),)
export DINO_DATA_ROOT := $(DATA)
endif

.PHONY: app test lint slow soak lowest browser clean

app: $(VENV)/.app weights
ifneq ($(OPEN),)
	@echo "Warning: anyone who reaches this machine on port $(PORT) can use the app, without a password."
ifeq ($(ALLOW_TRAINING),1)
	@echo "ALLOW_TRAINING=1: they can also train here and read photos below DATA."
endif
endif
	$(BIN)/streamlit run app/server.py --server.address $(HOST) --server.port $(PORT) $(NAMED)

.PHONY: weights
weights: $(VENV)/.app
ifneq ($(WEIGHTS),none)
ifeq ($(DINO_WEIGHTS),)
	-$(BIN)/python -m dino weights fetch default
endif
endif

test: $(VENV)/.test lint browser
	$(BIN)/python -m pytest -m "not slow and not soak" --numprocesses $(TESTERS) --dist loadfile \
		--cov --cov-report=term-missing:skip-covered

slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

# Every check of docs/reliability.md, the long ones and those under load too; writes its table anew.
soak: $(VENV)/.test browser
	rm -f $(VENV)/figures.jsonl
	status=0; DINO_FIGURES=$(abspath $(VENV))/figures.jsonl \
		$(BIN)/python -m pytest -m "soak or reliability" --durations 20 || status=$$?; \
	$(BIN)/python -m bench.reliability $(VENV)/figures.jsonl docs/reliability.md && exit $$status

# What the lower bounds promise, tried: NumPy or torch of years ago may read files otherwise.
lowest: $(LOWEST)/.test
	$(LOWEST)/bin/python -m pytest -m "not slow and not soak" --numprocesses $(TESTERS) --dist loadfile $(TESTS)

$(LOWEST)/.test: requirements.txt requirements-test.txt
	$(PYTHON) -m venv --clear $(LOWEST)
	sed -E 's/>=([^,# ]+)[^#]*/==\1 /; s/^opencv-python/&-headless/' requirements.txt >$(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --requirement $(LOWEST)/lowest.txt --requirement requirements-test.txt
	@touch $@

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The browser tests need Debian's Chromium; where it cannot be installed they skip and say so.
browser:
	@command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || { \
		[ "$$(id -u)" = 0 ] && apt-get update -qq && { \
		apt-get install -y -qq --no-install-recommends chromium-headless-shell || \
		apt-get install -y -qq --no-install-recommends chromium; } >/dev/null; } || \
		echo "chromium is not installed and could not be: the browser tests will be skipped"

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; got " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "no virtual environment could be made; on Debian: apt install python3-venv"; exit 1; }

# opencv-python wants libGL, which servers and containers often lack; the headless build of the
# same package does not, and everything used here is in both.
$(VENV)/.app: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt "$(FIGURES)"
	@$(BIN)/python -c "import cv2" 2>/dev/null || { \
		$(BIN)/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless && \
		$(BIN)/python -m pip install --quiet --force-reinstall --no-deps opencv-python-headless && \
		$(BIN)/python -c "import cv2"; }
	@touch $@

$(VENV)/.test: requirements-test.txt $(VENV)/.app
	$(BIN)/python -m pip install --quiet --requirement requirements-test.txt
	@touch $@

clean:
	rm -rf $(VENV) $(LOWEST) .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
