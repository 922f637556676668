# Everything a contributor types. Each target sets up what it needs; `make help` lists them.

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
SIMULATE := .venv-simulate
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# An editable install is not compiled by pip, and the first run would pay for it.
COMPILE := $(BIN)/python -m compileall -qq analyzer lsp_server || true
NODE := extension/node_modules/.ready
EXAMPLES := $(wildcard examples/*.py examples/*.ipynb)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-editors test-simulate lint format readme accuracy speed latency soak bench peers clean extension

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/developer ## create .venv with everything that tests and lint need

demo: $(VENV)/user ## analyze the example scripts, and print what the tool says
	@for example in $(EXAMPLES); do \
	  printf '\n$$ vramlint check %s --gpu "RTX 4090"\n' "$$example"; \
	  $(BIN)/vramlint check "$$example" --gpu "RTX 4090" --fail-on never || exit; \
	done
	@printf '\n$$ vramlint estimate examples/phi3_dpo_plan.json\n'
	@$(BIN)/vramlint estimate examples/phi3_dpo_plan.json

test: $(VENV)/developer $(NODE) ## run all tests
	$(BIN)/python -m pytest
	cd extension && npm run --silent test

test-editors: extension ## run the tests that drive real editors
	@.ci/editors
	@.ci/vscode
	@.ci/jupyter
	$(BIN)/python -m pytest tests/editor

test-simulate: $(SIMULATE)/ready ## run the tests that need torch, in an environment of their own
	$(SIMULATE)/bin/python -m pytest tests/simulate tests/notebook tests/shim

lint: $(VENV)/developer $(NODE) ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy benchmarks tools
	cd extension && npm run --silent lint && npm run --silent check

format: $(VENV)/developer ## rewrite the source in the house format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

readme: $(VENV)/developer ## renew the output that the README shows, the rules' page and the schemas
	$(BIN)/python -m tools.readme
	$(BIN)/python -m tools.rules_page
	$(BIN)/python -m tools.json_schema

accuracy: $(VENV)/developer ## compare estimates with measured training steps, and fail beyond the limits
	$(BIN)/python -m benchmarks.accuracy --gate

speed: $(VENV)/developer ## print the time of a check against that of its own imports and of a parse
	$(BIN)/python -m benchmarks.speed

latency: $(VENV)/developer ## print how long an editor waits for the language server
	$(BIN)/python -m benchmarks.lsp

soak: $(VENV)/developer ## edit at random 20,000 times, and fail on a crash, a wrong answer or a leak
	$(BIN)/python -m benchmarks.lsp.soak

bench: accuracy speed ## run both benchmarks

peers: $(VENV)/developer $(PEERS)/ready ## compare with other estimators on the same training steps
	$(BIN)/python -m benchmarks.peers --peers $(PEERS)

extension: $(VENV)/developer $(NODE) ## build the VS Code extension with its server for this machine's platform
	cd extension && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent libs && npm run --silent package

clean: ## remove the environment and what the tools left behind
	rm -rf $(VENV) $(PEERS) .editors extension/node_modules extension/dist $(SIMULATE) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. Some systems package venv's pip separately: then the system's pip installs one.
# pip 25.1 is the first that reads dependency groups.
$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) || { \
	  $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; }
	@$(PIP) install --upgrade 'pip>=25.1'

$(VENV)/user: pyproject.toml | $(BIN)/python
	@echo "Installing vramlint into $(VENV)"
	@$(PIP) install --editable .
	@$(COMPILE)
	@touch $@

$(VENV)/developer: pyproject.toml | $(BIN)/python
	@echo "Installing vramlint and what its tests need into $(VENV)"
	@$(PIP) install --editable '.[lsp]' --group dev
	@$(COMPILE)
	@touch $@ $(VENV)/user

# One environment each: llm-analysis wants a huggingface-hub that fitcheck-llm excludes. accelerate's and DeepSpeed's
# estimators run on torch. DeepSpeed then compiles nothing.
$(NODE): extension/package-lock.json
	@echo "Installing what the extension is built with"
	@cd extension && npm ci --silent --no-audit --no-fund
	@touch $@

$(PEERS)/ready: Makefile
	@for peer in torch-preflight==0.5.0 fitcheck-llm==0.3.1 llm-analysis==0.2.2 accelerate==1.15.0; do \
	  name=$${peer%%==*}; $(PYTHON) -m venv $(PEERS)/$$name || exit; \
	  $(PEERS)/$$name/bin/python -m pip --disable-pip-version-check --quiet install $$peer || exit; \
	done
	@$(PEERS)/accelerate/bin/python -m pip --disable-pip-version-check --quiet install torch==2.13.0 transformers setuptools
	@DS_BUILD_OPS=0 $(PEERS)/accelerate/bin/python -m pip --disable-pip-version-check --quiet install \
	  --no-build-isolation deepspeed==0.19.8
	@touch $@

# torch without CUDA is enough; the versions are those that the recorded rows ran with.
$(SIMULATE)/ready: Makefile pyproject.toml
	@$(PYTHON) -m venv $(SIMULATE)
	@$(SIMULATE)/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	@$(SIMULATE)/bin/python -m pip --disable-pip-version-check --quiet install \
	  torch==2.13.0 transformers==5.23.0 peft==0.21.2 nbclient ipykernel --editable . --group test
	@touch $@
