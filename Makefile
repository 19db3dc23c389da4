# Every target works alone in a fresh clone: Python 3.11 or newer, make and a package index are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
OUT ?= runs/demo

.PHONY: help demo test coverage install install-all lint types bench docs clean

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/core.done          ## forget a class of digits, audit it, and write a report
	@$(BIN)/expunge run examples/digits.yaml --out $(OUT) --overwrite

test: $(VENV)/dev.done           ## run all tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

coverage: $(VENV)/dev.done       ## the same, and which lines they run; half as long again
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --cov --cov-report=term --cov-fail-under=90

install: $(VENV)/core.done       ## install the core into .venv

install-all: $(VENV)/all.done    ## install the core and every extra into .venv

lint: $(VENV)/dev.done           ## style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/dev.done          ## measure the engine, graphs, recommenders, federations, language models, synthetic tables, searches, shadow models and shards
	$(BIN)/python benchmarks/engine_overhead.py
	$(BIN)/python benchmarks/graph_training.py
	$(BIN)/python benchmarks/full_ranking.py
	$(BIN)/python benchmarks/recommender_training.py
	$(BIN)/python benchmarks/client_dampening.py
	$(BIN)/python benchmarks/language_memory.py
	$(BIN)/python benchmarks/unstar_speed.py
	$(BIN)/python benchmarks/concept_erasure.py
	$(BIN)/python benchmarks/tabular_score.py
	$(BIN)/python benchmarks/tabular_training.py
	$(BIN)/python benchmarks/architecture_search.py
	$(BIN)/python benchmarks/shadow_training.py
	$(BIN)/python benchmarks/shadow_attacks.py
	$(BIN)/python benchmarks/sisa.py
	$(BIN)/python benchmarks/repeated_models.py
	$(BIN)/python benchmarks/power_check.py

docs: $(VENV)/dev.done           ## build the documentation into site/
	$(BIN)/mkdocs build --strict

clean:           ## remove what was built
	rm -rf $(VENV) site build dist runs .coverage*

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.done: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing expunge into $(VENV) (some minutes the first time) ..."
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

$(VENV)/dev.done: $(VENV)/core.done
	$(PIP) --editable '.[dev,graph,recommend,language,diffusion]'
	@touch $@

$(VENV)/all.done: $(VENV)/core.done
	$(PIP) --editable '.[all]'
	@touch $@
