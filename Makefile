# Two commands matter on a fresh machine: `make demo` and `make test`.
# Stamps in .venv remember what was installed; they are older than the lock files whenever those change.

VENV := .venv
BIN := $(VENV)/bin
SOURCES := fusebox breakers governance rabbitmq collector gateway dashboards examples
ARGS ?=
TOGETHER ?= 2

.PHONY: install system demo test check format docs lock bench bench-peers faults clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	tools/install.sh requirements.lock
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.installed
	tools/install.sh requirements.lock requirements-dev.lock
	touch $@

system: $(VENV)/.dev
	tools/system.sh
	tools/node.sh
	tools/instrumentations.sh

demo: install
	$(BIN)/fusebox demo $(ARGS)

# Two tests at a time; one after the other, and with a debugger: make test TOGETHER=0.
test: $(VENV)/.dev system
	$(BIN)/pytest -n $(TOGETHER) --dist worksteal $(ARGS)

# A cycle of the bus stands for six of the collector: some hundred faults of the one, a thousand kills of the other.
faults: $(VENV)/.dev system
	$(BIN)/pytest -m faults --fault-cycles 60 $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/frame

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev
	$(BIN)/python -m tools.gen_docs

lock: $(VENV)/.dev
	tools/lock.sh

bench: $(VENV)/.dev system
	tools/bench.sh $(ARGS)

bench-peers: $(VENV)/.dev system
	tools/peers.sh
	tools/bench.sh $(ARGS)

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache
